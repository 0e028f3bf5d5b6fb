package terraform

import (
	"cmp"
	"context"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Speaker is a resource of a type that is not read, of which the values speak of Flux v1
// being installed. It is named so that nobody believes that it does not; it is not
// converted.
type Speaker struct {
	Address string
	// What it speaks of: "fluxcd/flux", "the flux chart", "git.url", that of a part of a chart,
	// "fluxctl install" or Azure's configurations of Flux v1.
	What     string
	Unknown  []Cause // set when it is not known whether it exists
	Position Position
}

var (
	// fluxImage is the image of fluxd, or its chart in the repository of its makers.
	// Flux v2's is fluxcd/flux2, and the sources are of both on GitHub.
	fluxImage   = regexp.MustCompile(`(?:^|[^\w./-]|[\w:-]/)(?:fluxcd|weaveworks)/flux(?:$|[^\w./-])`)
	fluxSources = regexp.MustCompile(`git(?:hub|lab)\.com[/:](?:fluxcd|weaveworks)/flux`)
	fluxInstall = regexp.MustCompile(`\bfluxctl["',\s]+install\b`)
	// gitURL is the value that the flux chart cannot do without, as a key, an option of
	// helm, or in YAML.
	gitURL = regexp.MustCompile(`(?:^|[\s"',])git\.url(?:["']?\s*[=:]|$)|(?m:^git:[ \t]*(?:#.*)?\n(?:[ \t]+.*\n)*?[ \t]+url:[ \t]*["']?[\w$])`)
	// partURL is the same of a part of a chart, by its key.
	partURL = regexp.MustCompile(`(?:^|[\s"',])([\w.-]+)\.git\.url(?:["']?\s*[=:]|$)`)
	// fluxChart is the flux chart as what installs a chart by an object of YAML or JSON names it.
	fluxChart = regexp.MustCompile(`(?m:\bchart["']?\s*[:=]\s*["']?flux["']?\s*(?:[,}]|$))`)
	// azureFlux is Azure's resource that has it run Flux v1 in a cluster; that of Flux v2
	// is called fluxConfigurations.
	azureFlux = regexp.MustCompile(`(?i)\bsourceControlConfigurations\b`)
	// chartNames are the arguments by which resources name a chart.
	chartNames = []string{"chart", "chart_name", "template_name"}
	fluxWord   = regexp.MustCompile(`(?i)(?:^|[^n])flux(?:$|[^2c]|c[^l])`)
	// looksAtImage are commands that look at an image or copy it, from which nothing runs: where a command
	// begins, and without what another command prints.
	looksAtImage = regexp.MustCompile(`(?m)(?:^|[;&|]|\b(?:ba|z|da|k)?sh[ \t]+(?:-\S+[ \t]+)*?-\w*c[ \t]+["']?)[ \t]*(?:(?:then|do|else|time|sudo)[ \t]+)*(?:[\w.-]*/)*(?:` +
		`(?:trivy|grype|syft|snyk|dockle|dive|crane|skopeo|cosign|notation|oras|regctl)|` +
		`(?:docker|podman|nerdctl|crictl)(?:[ \t]+(?:(?:--context|--host|--config|--namespace|-[cHn])[= ][\w.:/@$-]+|--[\w-]+=[^\s;&|()` + "`" + `]+))*[ \t]+(?:images?[ \t]+)?(?:pull|tag|push|inspect|inspecti|save|scan|history|manifest|scout)` +
		`)[ \t][^\n;&|()` + "`" + `]*`)
	fluxMakers = regexp.MustCompile(`(?i)(?:^|[^\w-])(?:fluxcd|weaveworks)(?:$|[^\w-])`)
)

// maxSpeaks bounds the texts of one resource that are looked at.
const maxSpeaks = 1000

// Speakers returns, by address, the managed resources of types that nothing else here
// reads and that speak of Flux v1 being installed. What kustomization_build builds is
// looked up in the tree, for the resources that refer to it.
func Speakers(ctx context.Context, r *Result) []*Speaker {
	defer r.during(ctx)()
	var out []*Speaker
	for _, x := range r.Resources {
		if ctx.Err() != nil {
			return out
		}
		_, runs := podTypes[x.Type]
		build := x.Mode == "data" && x.Type == "kustomization_build"
		switch {
		case build:
		case x.Mode != "managed" || x.Type == "helm_release" || x.Type == "kubectl_manifest":
			continue
		case strings.HasPrefix(x.Type, "kubernetes_") && !runs:
			continue
		}
		s := speech{l: x.scope.l, word: fluxWord.MatchString(x.Address)}
		s.body(x.Body)
		if build {
			s.built(x)
		}
		if what := s.what(); what != "" {
			out = append(out, &Speaker{Address: x.Address, What: what, Unknown: x.Unknown, Position: x.Position})
		}
	}
	return out
}

// Speaks says what a resource speaks of that may install Flux v1, as [Speaker.What]; empty
// if it does not. It is asked of Helm releases of other charts, which may be given any
// objects to make.
func (r *Resource) Speaks(ctx context.Context) string {
	defer (&Result{loader: r.scope.l}).during(ctx)()
	s := speech{l: r.scope.l, word: fluxWord.MatchString(r.Address)}
	s.body(r.Body)
	return s.what()
}

// TextSpeaks says what of Flux v1 a command installs, as [Speaker.What]; empty if nothing. An image that it
// merely looks at or copies is not installed by it.
func TextSpeaks(command string) string {
	switch {
	case fluxInstall.MatchString(command):
		return "fluxctl install"
	case fluxImage.MatchString(fluxSources.ReplaceAllString(withoutLooks(command), "")):
		return "fluxcd/flux"
	}
	return ""
}

// withoutLooks is a command without what merely looks at an image or copies it; what such a one gives
// to another (`|`) stays.
func withoutLooks(command string) string {
	command = oneLine(command)
	var out strings.Builder
	from := 0
	for _, at := range looksAtImage.FindAllStringIndex(command, -1) {
		rest := command[at[1]:]
		if strings.HasPrefix(rest, "|") && !strings.HasPrefix(rest, "||") || strings.HasPrefix(rest, "(") || strings.HasPrefix(rest, "`") {
			continue
		}
		out.WriteString(command[from:at[0]] + "\n")
		from = at[1]
	}
	return out.String() + command[from:]
}

// speech is what a resource says.
type speech struct {
	l                                       *loader
	texts                                   int
	image, install, url, chart, maker, word bool
	azure                                   bool
	part                                    string // of a chart, that is given a git.url
}

func (s *speech) what() string {
	switch {
	case s.image:
		return "fluxcd/flux"
	case s.chart && s.maker:
		return "the flux chart"
	case s.install:
		return "fluxctl install"
	case s.azure:
		return "Azure's sourceControlConfigurations, which run Flux v1"
	case s.url && s.word:
		return "git.url"
	case s.part != "":
		return s.part + ".git.url"
	}
	return ""
}

func (s *speech) body(b *Body) {
	for _, name := range sortedKeys(b.Attributes) {
		n := b.field(s.l, name)
		if text, ok := n.Str(); ok && slices.Contains(chartNames, name) && path.Base(text) == "flux" {
			s.chart = true
		}
		s.part = cmp.Or(s.part, n.FluxPart())
		s.node(n)
	}
	for _, x := range b.Blocks {
		s.body(x.Body)
	}
}

func (s *speech) node(n *Node) {
	switch {
	case n == nil:
	case n.Kind == Map:
		for _, k := range sortedKeys(n.Map) {
			s.text(k)
			s.node(n.Map[k])
		}
	case n.Kind == List:
		for _, e := range n.List {
			s.node(e)
		}
		s.text(strings.Join(words(n), " ")) // of a command
	default:
		s.text(commandText(n))
	}
}

func (s *speech) text(text string) {
	if s.texts++; text == "" || s.texts > maxSpeaks || s.l.budget.afford(int64(len(text)/searchWork)+1) != nil {
		return
	}
	s.image = s.image || fluxImage.MatchString(fluxSources.ReplaceAllString(text, ""))
	s.install = s.install || fluxInstall.MatchString(text)
	s.url = s.url || gitURL.MatchString(text)
	s.word = s.word || fluxWord.MatchString(text)
	if m := partURL.FindStringSubmatch(text); m != nil {
		s.part = cmp.Or(s.part, FluxPartOf(m[1]+".git.url"))
	}
	if s.part == "" && strings.Contains(text, "git") && strings.Contains(text, "url") && checkYAML(text, s.l.limits.Nesting) == nil {
		var values map[string]any
		if yaml.Unmarshal([]byte(text), &values) == nil {
			s.part = FluxPart(values)
		}
	}
	s.chart = s.chart || fluxChart.MatchString(text)
	s.azure = s.azure || azureFlux.MatchString(text)
	s.maker = s.maker || fluxMakers.MatchString(text)
}

// built reads the files of a folder that is built with kustomize, as far as they lie in it.
func (s *speech) built(x *Resource) {
	name, ok := x.Field("path").Str()
	if !ok {
		return
	}
	dir, err := s.l.tree.locate(s.l.dir, name)
	if err != nil {
		return
	}
	files, err := s.l.tree.walk(dir)
	if err != nil {
		return
	}
	for _, f := range files {
		if ext := path.Ext(f); ext != ".yaml" && ext != ".yml" {
			continue
		}
		if data, err := s.l.tree.read(path.Join(dir, f)); err == nil {
			s.text(string(data))
		}
	}
}
