package discover

import (
	"cmp"
	"context"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate/flux1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// chartInTree is a chart of the repository that an object of it has installed.
type chartInTree struct {
	dir string
	installed
}

// boundByCharts are whom the templates of charts of the repository bind that objects of some sets have
// installed, and whom commands of their pods bind, by the object; beside tells what stands beside those of a set.
func (c *checkout) boundByCharts(ctx context.Context, sets []declaration, beside func(declaration) []flux1.Parsed) map[*unstructured.Unstructured][]givenToChart {
	out := map[*unstructured.Unstructured][]givenToChart{}
	for _, set := range sets {
		for _, o := range set.objects {
			its := func() []flux1.Parsed { return beside(set) }
			if pod := podIn(o.Manifest); len(pod) > 0 {
				if g := boundByPod(o, pod, its); g != nil {
					out[o.Manifest] = append(out[o.Manifest], *g)
				}
				continue
			}
			if !isHelmRelease1(o.Manifest) && !isInstaller(o.Manifest) {
				continue
			}
			for _, release := range c.chartsOf(o.Manifest, its) {
				if g := c.boundBy(ctx, resourceName(o.Manifest)+" in "+fileLine(o.File, o.Line)+" installs", release); g != nil {
					out[o.Manifest] = append(out[o.Manifest], *g)
				}
			}
		}
	}
	return out
}

// boundBy are whom a chart of the repository may bind; nil if nobody. what says who installs it.
func (c *checkout) boundBy(ctx context.Context, what string, release chartInTree) *givenToChart {
	local := c.readChart(ctx, release.dir)
	g := givenToChart{what: what + " the chart in " + release.dir, filled: local.binds.of(release.installed)}
	switch {
	case local.left != "" && local.kind == "":
		g.what, g.more = g.what+", of which not all was read, since "+local.left+",", true
	case len(g.filled) > 0:
		g.what += ", in whose templates there are bindings, which are not rendered here,"
	default:
		return nil
	}
	return &g
}

// boundByTools are whom charts of the repository may bind that Helmfile installs and that Kustomize
// renders. In which cluster somebody has them do so is not known.
func (c *checkout) boundByTools(ctx context.Context) (out []givenToChart) {
	add := func(what string, chart chartInTree) {
		if !isFile(c.tree, path.Join(chart.dir, "Chart.yaml")) {
			return
		}
		if g := c.boundBy(ctx, what, chart); g != nil {
			out = append(out, *g)
		}
	}
	text := func(m map[string]any, name string) string { s, _ := m[name].(string); return s }
	// values are those that are given, of which a text may name a file.
	values := func(dir string, given ...any) *terraform.Node {
		out := &terraform.Node{Kind: terraform.List}
		for _, v := range given {
			if file, isText := v.(string); isText && file != "" {
				content, err := c.contentOf(path.Join(dir, file))
				if v = nil; err != nil || path.Ext(file) == ".gotmpl" || sigsyaml.Unmarshal(content, &v) != nil {
					out.List = append(out.List, &terraform.Node{Kind: terraform.Unknown})
					continue
				}
			}
			out.List = append(out.List, asWritten(v))
		}
		return out
	}
	for _, file := range c.index.files {
		if !helmfile.MatchString(file) {
			continue
		}
		content, err := c.contentOf(file)
		if err != nil {
			continue
		}
		dir, what := path.Dir(file), file+" has Helmfile install"
		for _, document := range documentEnd.Split(string(content), -1) {
			var doc map[string]any
			if sigsyaml.Unmarshal([]byte(document), &doc) != nil { // a template of one
				for _, m := range chartOfHelmfile.FindAllStringSubmatch(document, -1) {
					unknown := &terraform.Node{Kind: terraform.Unknown}
					add(what, chartInTree{path.Join(dir, m[1]), installed{unknown, unknown, unknown}})
				}
				continue
			}
			releases, _ := doc["releases"].([]any)
			for _, x := range releases {
				release, _ := x.(map[string]any)
				if text(release, "chart") == "" {
					continue
				}
				given, _ := release["values"].([]any)
				add(what, chartInTree{path.Join(dir, text(release, "chart")), installed{textNode(text(release, "name")), textNode(text(release, "namespace")), values(dir, append(slices.Clone(given), asList(release["set"])...)...)}})
			}
		}
	}
	for _, dir := range sortedNames(c.index.folders) {
		o := c.index.folders[dir]
		var doc map[string]any
		if !o.generates || sigsyaml.Unmarshal(o.content, &doc) != nil {
			continue
		}
		globals, _ := doc["helmGlobals"].(map[string]any)
		for _, x := range asList(doc["helmCharts"]) {
			chart, _ := x.(map[string]any)
			if text(chart, "name") == "" {
				continue
			}
			at := path.Join(dir, cmp.Or(text(globals, "chartHome"), "charts"), text(chart, "name"))
			given := append([]any{chart["valuesInline"], chart["valuesFile"]}, asList(chart["additionalValuesFiles"])...)
			name := &terraform.Node{Kind: terraform.Unknown, Text: text(chart, "name") + "-${generated}"} // as Helm makes one up
			if text(chart, "releaseName") != "" {
				name = textNode(text(chart, "releaseName"))
			}
			add(o.file+" has Kustomize render", chartInTree{at, installed{name, textNode(text(chart, "namespace")), values(dir, given...)}})
		}
	}
	return out
}

// chartOfHelmfile is a chart by its folder in a file of Helmfile, and documentEnd parts its documents.
var (
	chartOfHelmfile = regexp.MustCompile(`(?m)^[ \t]*(?:-[ \t]+)?["']?chart["']?:[ \t]*["']?(\.{0,2}/?[\w./-]+)`)
	documentEnd     = regexp.MustCompile(`(?m)^---(?:[ \t].*)?$`)
)

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// textNode is a text, of which nothing is known where a template or a variable stands in it, or none is given.
func textNode(text string) *terraform.Node {
	if text == "" || strings.Contains(text, "{{") || strings.Contains(text, "${") {
		return &terraform.Node{Kind: terraform.Unknown}
	}
	return &terraform.Node{Kind: terraform.Scalar, Scalar: text}
}

// asWritten is decoded YAML, of which nothing is known where a template stands in a text.
func asWritten(v any) *terraform.Node {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "{{") {
			return &terraform.Node{Kind: terraform.Unknown}
		}
	case map[string]any:
		out := &terraform.Node{Kind: terraform.Map, Map: map[string]*terraform.Node{}}
		for k, e := range v {
			out.Map[k] = asWritten(e)
		}
		return out
	case []any:
		out := &terraform.Node{Kind: terraform.List}
		for _, e := range v {
			out.List = append(out.List, asWritten(e))
		}
		return out
	}
	return &terraform.Node{Kind: terraform.Scalar, Scalar: v}
}

// podIn is the pod that an object is, or makes; empty if it has none.
func podIn(u *unstructured.Unstructured) map[string]any {
	pod := u.Object
	for _, field := range terraform.PodOf(u.GetKind()) {
		pod, _ = pod[field].(map[string]any)
	}
	spec, _ := pod["spec"].(map[string]any)
	if list, _ := spec["containers"].([]any); len(list) == 0 {
		return nil
	}
	return spec
}

// scriptFile is what a script is called in a ConfigMap that a pod mounts.
var scriptFile = regexp.MustCompile(`\.(?:sh|bash|zsh|py|rb|pl|js)$`)

// boundByPod are whom the commands of a pod may bind, those in the scripts of ConfigMaps that it mounts
// among them; nil if nobody. beside is called for these, if need be.
func boundByPod(o flux1.Parsed, pod map[string]any, beside func() []flux1.Parsed) *givenToChart {
	var texts []string
	add := func(words ...any) {
		var all []string
		for _, w := range words {
			all = append(all, scalarText(w))
		}
		texts = append(texts, strings.Join(all, " "))
	}
	for _, x := range append(slices.Clone(asList(pod["initContainers"])), asList(pod["containers"])...) {
		m, _ := x.(map[string]any)
		command, args := asList(m["command"]), asList(m["args"])
		if len(command) == 0 && strings.Contains(imageName(scalarText(m["image"])), "kubectl") { // which it runs by itself
			command = []any{"kubectl"}
		}
		if len(args) > 0 || len(asList(m["command"])) > 0 {
			add(append(slices.Clone(command), args...)...)
		}
		hooks, _ := m["lifecycle"].(map[string]any)
		for _, name := range sortedNames(hooks) {
			words, _, _ := unstructured.NestedFieldNoCopy(hooks, name, "exec", "command")
			add(asList(words)...)
		}
		for _, e := range asList(m["env"]) {
			if v, _ := e.(map[string]any); strings.Contains(scalarText(v["value"]), " ") {
				add(v["value"])
			}
		}
	}
	var mounted []string
	for _, v := range asList(pod["volumes"]) {
		volume, _ := v.(map[string]any)
		sources, _, _ := unstructured.NestedFieldNoCopy(volume, "projected", "sources")
		for _, s := range append([]any{volume}, asList(sources)...) {
			source, _ := s.(map[string]any)
			if name, _, _ := unstructured.NestedString(source, "configMap", "name"); name != "" {
				mounted = append(mounted, name)
			}
		}
	}
	if len(mounted) > 0 {
		objects := beside()
		for _, name := range mounted {
			m, _ := configMapIn(objects, o.Manifest.GetNamespace(), name)
			if m == nil {
				continue
			}
			for _, key := range sortedNames(m.Data) {
				if scriptFile.MatchString(key) || strings.HasPrefix(m.Data[key], "#!") {
					texts = append(texts, m.Data[key])
				}
			}
		}
	}
	accounts, what := terraform.BoundByCommands(strings.Join(texts, "\n"))
	g := &givenToChart{what: resourceName(o.Manifest) + " in " + fileLine(o.File, o.Line), filled: accounts, more: what != ""}
	switch {
	case what != "":
		g.what += " runs commands (" + what + " is not read)"
	case len(accounts) > 0:
		g.what += " runs commands that bind accounts,"
	default:
		return nil
	}
	return g
}

// readChart reads a chart of the repository, once.
func (r *reading) readChart(ctx context.Context, dir string) localChart {
	if r.index.read == nil {
		r.index.read = map[string]localChart{}
	}
	local, ok := r.index.read[dir]
	if !ok {
		local = readChart(ctx, limitedTree{r.tree, r}, dir)
		r.index.read[dir] = local
	}
	return local
}

// limitedTree is the tree of a repository of which what is read counts against the limits.
type limitedTree struct {
	fs.FS
	r *reading
}

func (c limitedTree) ReadFile(name string) ([]byte, error)       { return c.r.readFile(c.r.index, name) }
func (c limitedTree) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(c.FS, name) }
func (c limitedTree) Lstat(name string) (fs.FileInfo, error)     { return fs.Lstat(c.FS, name) }
func (c limitedTree) ReadLink(name string) (string, error)       { return fs.ReadLink(c.FS, name) }

// chartsOf are the charts that an object has installed from a folder of this repository, by
// the helm-operator, Flux v2 or Argo CD; beside is called for what stands beside it, if need be.
func (c *checkout) chartsOf(u *unstructured.Unstructured, beside func() []flux1.Parsed) []chartInTree {
	text := func(of map[string]any, path ...string) string {
		s, _, _ := unstructured.NestedString(of, path...)
		return s
	}
	node := textNode
	values := func(cause string, of ...any) *terraform.Node {
		out := nodeOf(of, terraform.Origin{})
		if cause != "" {
			out.List = append(out.List, &terraform.Node{Kind: terraform.Unknown})
		}
		return out
	}
	isHere := func(dir, url string) bool {
		return isFile(c.tree, path.Join(dir, "Chart.yaml")) && c.mayBeThis(url)
	}
	folder := func(dir string) string { return cmp.Or(strings.TrimPrefix(path.Clean("/"+dir), "/"), ".") }
	spec, _ := u.Object["spec"].(map[string]any)
	own := cmp.Or(u.GetNamespace(), c.agent.DefaultNamespace)
	switch {
	case isHelmRelease1(u):
		url, dir := text(spec, "chart", "git"), folder(text(spec, "chart", "path"))
		if url == "" || !isHere(dir, url) {
			return nil
		}
		name, namespace := releaseOfHelmRelease(u)
		from := c.valuesFrom(beside(), u, own)
		return []chartInTree{{dir, installed{node(name), node(cmp.Or(namespace, own)), values(from.unknown, from.known, spec["values"])}}}
	case isHelmRelease2(u):
		if text(spec, "chart", "spec", "sourceRef", "kind") != "GitRepository" && text(spec, "chartRef", "kind") != "HelmChart" {
			return nil
		}
		objects := beside()
		dir, url, _, inGit, files := c.chartOf2(objects, u, own)
		if dir = folder(dir); !inGit || !isHere(dir, url) {
			return nil
		}
		name, namespace := releaseOfHelmRelease2(u, own)
		from := c.valuesFrom2(objects, u, own, files, spec["values"])
		return []chartInTree{{dir, installed{node(name), node(namespace), values(from.unknown, from.known, from.own)}}}
	case u.GroupVersionKind().Group == "argoproj.io":
		if template, _, _ := unstructured.NestedMap(spec, "template", "spec"); u.GetKind() == "ApplicationSet" {
			spec = template
		}
		sources, _, _ := unstructured.NestedSlice(spec, "sources")
		var out []chartInTree
		for _, x := range append(sources, spec["source"]) {
			source, _ := x.(map[string]any)
			dir := folder(text(source, "path"))
			if text(source, "path") == "" || !isHere(dir, text(source, "repoURL")) {
				continue
			}
			given := values("", source["helm"])
			files, _, _ := unstructured.NestedStringSlice(source, "helm", "valueFiles")
			for _, file := range files {
				var v any
				content, err := c.contentOf(path.Join(dir, file))
				if err != nil || sigsyaml.Unmarshal(content, &v) != nil { // as of another source
					given.List = append(given.List, &terraform.Node{Kind: terraform.Unknown})
					continue
				}
				given.List = append(given.List, nodeOf(v, terraform.Origin{}))
			}
			out = append(out, chartInTree{dir, installed{node(cmp.Or(text(source, "helm", "releaseName"), u.GetName())), node(text(spec, "destination", "namespace")), given}})
		}
		return out
	}
	return nil
}

// mayBeThis reports whether a URL may be of the repository that is read.
func (c *checkout) mayBeThis(url string) bool {
	own := []string{c.agent.Git.URL}
	if c.agent.Git.URL == "" {
		own = nil
		if c.folder != nil {
			own = c.folder.remotes
		}
	}
	if url == "" || len(own) == 0 {
		return true
	}
	return slices.ContainsFunc(own, func(o string) bool { return SameRepository(o, url) })
}
