package discover

import (
	"cmp"
	"context"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate/flux1"
	corev1 "k8s.io/api/core/v1"
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
		its := sync.OnceValue(func() []flux1.Parsed { return beside(set) })
		named := sync.OnceValue(func() namedObjects { return objectsByName(its()) })
		for _, o := range set.objects {
			if !c.look(0) || ctx.Err() != nil {
				return out
			}
			if pod := podIn(o.Manifest); len(pod) > 0 {
				if g := boundByPod(o, pod, named); g != nil {
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
	if local.binds != nil && !c.look(len(local.binds.subjects)+local.binds.bytes/10) {
		return nil // nor is what it is asked for
	}
	g := givenToChart{what: what + " the chart in " + release.dir, filled: append(local.binds.of(release.installed), local.commands...)}
	switch {
	case local.left != "" && local.kind == "":
		g.what, g.more = g.what+", of which not all was read, since "+local.left+",", true
	case local.runs != "":
		g.what, g.more = g.what+", which runs commands ("+local.runs+")", true
	case len(g.filled) > len(local.commands):
		g.what += ", in whose templates there are bindings, which are not rendered here,"
	case len(g.filled) > 0:
		g.what += ", which runs commands that bind accounts,"
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
	// unknown notes that it is not known which of the charts of the repository is installed, if it has any.
	hasCharts := slices.ContainsFunc(c.index.files, func(file string) bool { return path.Base(file) == "Chart.yaml" })
	unknown := func(what string) {
		if g := (givenToChart{what: what + " by a template, so that it is not known which chart,", more: true}); hasCharts && !slices.ContainsFunc(out, func(o givenToChart) bool { return o.what == g.what }) {
			out = append(out, g)
		}
	}
	c.chartsOfHelmfile(add, unknown, func(what string) { out = append(out, givenToChart{what: what, more: true}) })
	c.chartsOfKustomize(add)
	return out
}

// textIn is a text of a mapping; empty if it has none of that name.
func textIn(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

// valuesGiven are values that a chart is given, of which a text may name a file.
func (c *checkout) valuesGiven(dir string, given ...any) *terraform.Node {
	out := &terraform.Node{Kind: terraform.List}
	for _, v := range given {
		if file, isText := v.(string); isText && file != "" {
			content, err := c.contentOf(path.Join(dir, file))
			if v = nil; err != nil || path.Ext(file) == ".gotmpl" || !c.look(len(content)/10) || sigsyaml.Unmarshal(content, &v) != nil {
				out.List = append(out.List, &terraform.Node{Kind: terraform.Unknown})
				continue
			}
		}
		out.List = append(out.List, asWritten(v))
	}
	return out
}

// chartsOfHelmfile adds the charts of the repository that Helmfile installs, notes which are unknown, and tells
// of files that are too many.
func (c *checkout) chartsOfHelmfile(add func(what string, chart chartInTree), unknown, tooMany func(what string)) {
	// A file of Helmfile, and those that it names, with the folder by which its charts go.
	type fileOf struct{ file, dir string }
	var files []fileOf
	for _, file := range c.index.files {
		if helmfile.MatchString(file) {
			files = append(files, fileOf{file, path.Dir(file)})
		}
	}
	none, named, more := textNode(""), 0, false
	for i := 0; i < len(files); i++ {
		file, dir := files[i].file, files[i].dir
		content, err := c.contentOf(file)
		if err != nil {
			continue
		}
		what, some := file+" has Helmfile install", file+" has Helmfile install what it names"
		read := func(f fileOf) {
			if len(files) < maxHelmfiles && !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
		also := func(name string, base bool) {
			at := path.Join(path.Dir(file), name)
			named++
			switch {
			case named > maxHelmfiles || len(files) >= maxHelmfiles:
				if !more {
					more = true
					tooMany(file + " names more files of Helmfile than are read,")
				}
			case strings.Contains(name, "{{"):
				unknown(some)
			case strings.Contains(name, "://"): // as a chart of another repository
			case !c.look(len(c.index.files) / 10):
			default: // a file, a folder or a pattern
				for _, other := range c.index.files {
					matches, _ := path.Match(at, other)
					ext := path.Ext(strings.TrimSuffix(other, ".gotmpl"))
					if other != at && (!matches && path.Dir(other) != at || ext != ".yaml" && ext != ".yml") {
						continue
					}
					if read(fileOf{other, path.Dir(other)}); base {
						read(fileOf{other, dir})
					}
				}
			}
		}
		for _, document := range documentEnd.Split(string(content), -1) {
			var doc map[string]any
			if sigsyaml.Unmarshal([]byte(document), &doc) != nil { // a template of one
				for _, m := range chartOfHelmfile.FindAllStringSubmatch(document, -1) {
					switch {
					case ofTree.MatchString(m[1]+m[2]) && m[2] != "":
						unknown(some)
					case m[1] != "":
						add(what, chartInTree{path.Join(dir, m[1]), installed{none, none, none}})
					}
				}
				for _, m := range filesOfHelmfile.FindAllStringSubmatch(document, -1) {
					for _, name := range strings.FieldsFunc(m[2]+"\n"+m[3], func(r rune) bool { return r == ',' || r == '\n' }) {
						name = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), "-"))
						if name = strings.Trim(strings.TrimSpace(strings.TrimPrefix(name, "path:")), `"'`); name != "" && !strings.HasPrefix(name, "{{") && !strings.HasPrefix(name, "#") {
							also(name, m[1] == "bases")
						}
					}
				}
				continue
			}
			for _, of := range []string{"bases", "helmfiles"} {
				for _, x := range asList(doc[of]) {
					m, _ := x.(map[string]any)
					name, _ := x.(string)
					if name = cmp.Or(name, textIn(m, "path")); name != "" {
						also(name, of == "bases")
					}
				}
			}
			templates, _ := doc["templates"].(map[string]any)
			for _, x := range asList(doc["releases"]) {
				release, _ := x.(map[string]any)
				name, namespace, chart := textIn(release, "name"), textIn(release, "namespace"), textIn(release, "chart")
				given := append(slices.Clone(asList(release["values"])), asList(release["set"])...)
				given = append(given, asList(release["setString"])...)
				open := len(asList(release["secrets"])) > 0
				for _, x := range asList(release["inherit"]) {
					inherits, _ := x.(map[string]any)
					template, has := templates[textIn(inherits, "template")].(map[string]any)
					if !has && chart == "" {
						unknown(some)
					}
					chart = cmp.Or(chart, textIn(template, "chart"))
					open = true // which a template may fill in
				}
				nodes := c.valuesGiven(dir, given...)
				if open {
					nodes.List = append(nodes.List, none)
				}
				its := installed{textNode(name), textNode(namespace), nodes}
				install := func(chart string, as installed) {
					switch {
					case chart == "":
					case strings.Contains(chart, "{{") && ofTree.MatchString(chart):
						unknown(some)
					default:
						add(what, chartInTree{path.Join(dir, chart), as})
					}
				}
				install(chart, its)
				for _, x := range asList(release["dependencies"]) {
					part, _ := x.(map[string]any)
					install(textIn(part, "chart"), installed{its.name, its.namespace, none})
				}
			}
		}
	}
}

// chartsOfKustomize adds the charts of the repository that Kustomize renders.
func (c *checkout) chartsOfKustomize(add func(what string, chart chartInTree)) {
	none := textNode("")
	for _, dir := range sortedNames(c.index.folders) {
		o := c.index.folders[dir]
		var doc map[string]any
		if !o.generates || sigsyaml.Unmarshal(o.content, &doc) != nil {
			continue
		}
		globals, _ := doc["helmGlobals"].(map[string]any)
		for _, x := range asList(doc["helmCharts"]) {
			chart, _ := x.(map[string]any)
			if textIn(chart, "name") == "" {
				continue
			}
			at := path.Join(dir, cmp.Or(textIn(globals, "chartHome"), "charts"), textIn(chart, "name"))
			if version := textIn(chart, "version"); version != "" && textIn(chart, "repo") != "" { // where one of a repository is kept
				kept := path.Join(path.Dir(at), textIn(chart, "name")+"-"+version, textIn(chart, "name"))
				if isFile(c.tree, path.Join(kept, "Chart.yaml")) {
					at = kept
				}
			}
			given := append([]any{chart["valuesInline"], chart["valuesFile"]}, asList(chart["additionalValuesFiles"])...)
			name := &terraform.Node{Kind: terraform.Unknown, Text: textIn(chart, "name") + "-${generated}"} // as Helm makes one up
			if textIn(chart, "releaseName") != "" {
				name = textNode(textIn(chart, "releaseName"))
			}
			add(o.file+" has Kustomize render", chartInTree{at, installed{name, textNode(textIn(chart, "namespace")), c.valuesGiven(dir, given...)}})
		}
		generated := asList(doc["helmChartInflationGenerator"]) // as Kustomize called helmCharts before
		read := map[string]bool{}                               // each once, however often it is named
		for _, x := range asList(doc["generators"]) {
			file, _ := x.(string)
			if read[file] {
				continue
			}
			read[file] = true
			for _, generator := range c.generatorsIn(dir, file) {
				if textIn(generator, "kind") == "HelmChartInflationGenerator" {
					generated = append(generated, generator)
				}
			}
		}
		for _, x := range generated {
			chart, _ := x.(map[string]any)
			globals, _ := chart["helmGlobals"].(map[string]any)
			if name := cmp.Or(textIn(chart, "name"), textIn(chart, "chartName")); name != "" {
				home := cmp.Or(textIn(chart, "chartHome"), textIn(globals, "chartHome"), "charts")
				add(o.file+" has Kustomize render", chartInTree{path.Join(dir, home, name), installed{none, none, none}})
			}
		}
	}
}

// maxHelmfiles bounds the files of Helmfile that others name.
const maxHelmfiles = 1000

// generatorsIn are the objects of the generators that a kustomization file names: in a file, or a folder; or written there.
func (c *checkout) generatorsIn(dir, name string) (out []map[string]any) {
	content := name
	if !strings.Contains(name, "\n") {
		var all strings.Builder
		at := path.Join(dir, name)
		c.look(len(c.index.files) / 10)
		for _, file := range c.index.files {
			if file == at || path.Dir(file) == at && path.Ext(file) == ".yaml" {
				data, _ := c.contentOf(file)
				if !c.look(len(data) / 10) {
					return nil
				}
				all.WriteString("\n---\n" + string(data))
			}
		}
		content = all.String()
	}
	for _, document := range documentEnd.Split(content, -1) {
		var object map[string]any
		if sigsyaml.Unmarshal([]byte(document), &object) == nil && object != nil {
			out = append(out, object)
		}
	}
	return out
}

// chartOfHelmfile is a chart by its folder in a file of Helmfile, filesOfHelmfile where one names others, and
// documentEnd parts its documents. ofTree is a chart that may be one of the tree.
var (
	chartOfHelmfile = regexp.MustCompile(`(?m)^[ \t]*(?:-[ \t]+)?["']?chart["']?:[ \t]*["']?((?:\.{1,2}/|/)?[\w./-]*)((?:\{\{)?)`)
	filesOfHelmfile = regexp.MustCompile(`(?m)^(bases|helmfiles):[ \t]*(?:\[([^\]\n]*)\])?[^\n]*((?:\n(?:[ \t]*-|[ \t]+|\{\{|#)[^\n]*|\n)*)`)
	documentEnd     = regexp.MustCompile(`(?m)^---(?:[ \t].*)?$`)
	ofTree          = regexp.MustCompile(`^(?:\.{0,2}/|\{\{)`)
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

// podIn is the pod that an object is, or makes, or one with the steps of a task as its containers; empty
// if it has none.
func podIn(u *unstructured.Unstructured) map[string]any {
	if steps := stepsOf(u); len(steps) > 0 {
		volumes, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "volumes")
		return map[string]any{"containers": steps, "volumes": volumes}
	}
	pod := u.Object
	fields := terraform.PodOf(u.GetKind())
	if u.GetKind() == "PodTemplate" {
		fields = []string{"template"}
	}
	for _, field := range fields {
		pod, _ = pod[field].(map[string]any)
	}
	spec, _ := pod["spec"].(map[string]any)
	if list, _ := spec["containers"].([]any); len(list) == 0 {
		return nil
	}
	return spec
}

// stepsOf are the containers that an object of Tekton or of Argo Workflows has run, wherever they stand in it.
func stepsOf(u *unstructured.Unstructured) (out []any) {
	switch group := u.GroupVersionKind().Group; {
	case group == "tekton.dev", group == "triggers.tekton.dev", group == "argoproj.io" && strings.Contains(u.GetKind(), "Workflow"):
	default:
		return nil
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if v["image"] != nil && (v["command"] != nil || v["args"] != nil || v["script"] != nil || v["source"] != nil) {
				out = append(out, v)
			}
			for _, k := range sortedNames(v) {
				walk(v[k])
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(u.Object["spec"])
	return out
}

var (
	// scriptFile is what a script is called in a ConfigMap that a pod mounts.
	scriptFile = regexp.MustCompile(`\.(?:sh|bash|zsh|py|rb|pl|js)$`)
	// runsScripts is what runs texts that it is given.
	runsScripts = regexp.MustCompile(`(?:^|[\s/;&|"'])(?:(?:ba|z|da|k|a)?sh|python[\d.]*|perl|ruby|node|kubectl|oc|source|eval)(?:$|[\s"';&|])`)
	// runsVariable is a shell that runs what a variable holds.
	runsVariable = regexp.MustCompile(`(?:\b(?:ba|z|da|k)?sh[ \t]+(?:-\S+[ \t]+)*?-\w*c|\beval)[ \t]+["']?\$[({]?[A-Za-z_]`)
	// runsFile is where a file stands that is run: its path follows.
	runsFile = `(?m)(?:^|[;&|(]|\b(?:(?:ba|z|da|k)?sh|python[\d.]*|perl|ruby|node|source|exec|do|then|xargs)[ \t]|[ \t]\.[ \t]|-\w*c[ \t]|<)[ \t]*(?:-\S+[ \t]+)*["']?`
	// programOf are the programs that images of their names run by themselves.
	programOf = map[string]string{"terraform": "terraform", "opentofu": "tofu", "tofu": "tofu", "terragrunt": "terragrunt", "helmfile": "helmfile", "kapp": "kapp", "pulumi": "pulumi", "origin-cli": "oc"}
)

// boundByPod are whom the commands of a pod may bind; nil if nobody.
func boundByPod(o flux1.Parsed, pod map[string]any, beside func() namedObjects) *givenToChart {
	accounts, what := boundByCommands(o.Manifest.GetNamespace(), pod, beside)
	g := &givenToChart{what: resourceName(o.Manifest) + " in " + fileLine(o.File, o.Line), filled: accounts, more: what != ""}
	switch {
	case what != "":
		g.what += " runs commands (" + what + ")"
	case len(accounts) > 0:
		g.what += " runs commands that bind accounts,"
	default:
		return nil
	}
	return g
}

// boundByCommands are the accounts that the commands of a pod bind by their names, those in the ConfigMaps
// and Secrets that they are given among them, and what else of them may bind anybody. beside is called
// for these, if need be.
func boundByCommands(namespace string, pod map[string]any, beside func() namedObjects) (accounts []terraform.Subject, what string) {
	var texts []string
	missing := ""
	// given are the texts of a ConfigMap or Secret; ran is true if what it holds is run.
	given := func(kind, name string, ran bool) map[string]string {
		if name == "" {
			return nil
		}
		out, known := scriptsIn(beside()[objectName{kind, namespace, name}], kind, namespace, name)
		if !known && ran {
			missing = cmp.Or(missing, "what it runs of the "+kind+" "+name+" is not known from the repository")
		}
		return out
	}
	type mount struct{ at, text string }
	mounts := map[string][]mount{} // by the volume
	for _, x := range append(slices.Clone(asList(pod["initContainers"])), asList(pod["containers"])...) {
		m, _ := x.(map[string]any)
		var its []string
		add := func(words ...any) {
			var all []string
			for _, w := range words {
				all = append(all, scalarText(w))
			}
			its = append(its, strings.Join(all, " "))
		}
		image := imageName(scalarText(m["image"]))
		command, args := asList(m["command"]), asList(m["args"])
		switch { // which it runs by itself
		case len(command) > 0:
		case strings.Contains(image, "kubectl"):
			command = []any{"kubectl"}
		case programOf[image] != "":
			command = []any{programOf[image]}
		}
		if len(args) > 0 || len(asList(m["command"])) > 0 {
			add(append(slices.Clone(command), args...)...)
		}
		add(m["script"]) // of Tekton
		add(m["source"]) // of Argo Workflows
		hooks, _ := m["lifecycle"].(map[string]any)
		for _, name := range sortedNames(hooks) {
			words, _, _ := unstructured.NestedFieldNoCopy(hooks, name, "exec", "command")
			add(asList(words)...)
		}
		for _, name := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
			probe, _ := m[name].(map[string]any)
			words, _, _ := unstructured.NestedFieldNoCopy(probe, "exec", "command")
			add(asList(words)...)
		}
		text := strings.Join(its, "\n")
		ran := runsVariable.MatchString(text)
		variables := map[string]string{}
		for _, e := range asList(m["env"]) {
			v, _ := e.(map[string]any)
			variables[scalarText(v["name"])] = scalarText(v["value"])
			for _, of := range []struct{ field, kind string }{{"configMapKeyRef", "ConfigMap"}, {"secretKeyRef", "Secret"}} {
				name, _, _ := unstructured.NestedString(v, "valueFrom", of.field, "name")
				key, _, _ := unstructured.NestedString(v, "valueFrom", of.field, "key")
				if name != "" {
					variables[scalarText(v["name"])] = given(of.kind, name, ran)[key]
				}
			}
		}
		for _, e := range asList(m["envFrom"]) {
			v, _ := e.(map[string]any)
			for _, of := range []struct{ field, kind string }{{"configMapRef", "ConfigMap"}, {"secretRef", "Secret"}} {
				name, _, _ := unstructured.NestedString(v, of.field, "name")
				for key, value := range given(of.kind, name, ran) {
					variables[of.kind+" "+name+" "+key] = value
				}
			}
		}
		for _, name := range sortedNames(variables) {
			if strings.Contains(variables[name], " ") {
				texts = append(texts, variables[name])
			}
		}
		for _, e := range asList(m["volumeMounts"]) {
			v, _ := e.(map[string]any)
			name := scalarText(v["name"])
			mounts[name] = append(mounts[name], mount{strings.TrimSuffix(scalarText(v["mountPath"]), "/"), text})
		}
		texts = append(texts, its...)
	}
	for _, v := range asList(pod["volumes"]) {
		volume, _ := v.(map[string]any)
		name := scalarText(volume["name"])
		shell := slices.ContainsFunc(mounts[name], func(m mount) bool { return runsScripts.MatchString(m.text) })
		named := slices.ContainsFunc(mounts[name], func(m mount) bool { return m.at != "" && strings.Contains(m.text, m.at) })
		ran := slices.ContainsFunc(mounts[name], func(m mount) bool {
			return m.at != "" && regexp.MustCompile(runsFile+regexp.QuoteMeta(m.at)+`(?:$|[/\s"';&|])`).MatchString(m.text)
		})
		sources, _, _ := unstructured.NestedFieldNoCopy(volume, "projected", "sources")
		for _, s := range append([]any{volume}, asList(sources)...) {
			source, _ := s.(map[string]any)
			configMap, _, _ := unstructured.NestedString(source, "configMap", "name")
			secret, _, _ := unstructured.NestedString(source, "secret", "secretName")
			projected, _, _ := unstructured.NestedString(source, "secret", "name")
			for _, of := range []map[string]string{given("ConfigMap", configMap, ran), given("Secret", cmp.Or(secret, projected), ran)} {
				for _, key := range sortedNames(of) {
					if shell || named && path.Ext(key) == "" || scriptFile.MatchString(key) || strings.HasPrefix(of[key], "#!") {
						texts = append(texts, of[key])
					}
				}
			}
		}
	}
	accounts, what = terraform.BoundByCommands(strings.Join(texts, "\n"))
	if what != "" {
		what += " is not read"
	}
	return accounts, cmp.Or(what, missing)
}

var (
	templateLine = regexp.MustCompile(`(?m)^[ \t]*\{\{[^\n]*\}\}[ \t]*$`)
	hasPod       = regexp.MustCompile(`(?m)^[ \t]*(?:-[ \t]+)?(?:containers|initContainers|steps):`)
	heldInChart  = regexp.MustCompile(`(?m)^kind:[ \t]*["']?(?:ConfigMap|Secret)\b`)
)

// boundByPodsOf are the accounts that the pods among a chart's templates bind by commands, and what else of
// these may bind anybody. Of what Helm fills in nothing is known.
func boundByPodsOf(files map[string][]byte) (accounts []terraform.Subject, what string) {
	var objects, pods []flux1.Parsed
	for _, file := range sortedNames(files) {
		if ext := path.Ext(file); !strings.Contains("/"+file, "/templates/") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		text := templateLine.ReplaceAllString(templateComment.ReplaceAllString(string(files[file]), ""), "")
		for _, document := range documentEnd.Split(templateOfHelm.ReplaceAllString(text, "$$template"), -1) {
			pod := hasPod.MatchString(document)
			if !pod && !heldInChart.MatchString(document) {
				continue
			}
			u := &unstructured.Unstructured{}
			if sigsyaml.Unmarshal([]byte(document), &u.Object) != nil || u.Object == nil { // with more of Helm in it
				if pod {
					its, more := terraform.BoundByCommands(document)
					if accounts = append(accounts, its...); more != "" {
						what = cmp.Or(what, more+" is not read")
					}
				}
				continue
			}
			if objects = append(objects, flux1.Parsed{File: file, Manifest: u}); pod {
				pods = append(pods, objects[len(objects)-1])
			}
		}
	}
	named := sync.OnceValue(func() namedObjects { return objectsByName(objects) })
	for _, o := range pods {
		if pod := podIn(o.Manifest); len(pod) > 0 {
			its, more := boundByCommands(o.Manifest.GetNamespace(), pod, named)
			accounts, what = append(accounts, its...), cmp.Or(what, more)
		}
	}
	return accounts, what
}

// namedObjects are objects by their kinds and names.
type namedObjects map[objectName][]flux1.Parsed

type objectName struct{ kind, namespace, name string }

func objectsByName(objects []flux1.Parsed) namedObjects {
	out := namedObjects{}
	for _, o := range objects {
		at := namedAs(o.Manifest)
		out[at] = append(out[at], o)
	}
	return out
}

func namedAs(u *unstructured.Unstructured) objectName {
	return objectName{u.GetKind(), u.GetNamespace(), u.GetName()}
}

// scriptsIn are the texts that a ConfigMap or Secret among objects holds; known is false if there is none, or
// not one alone, or it is encrypted.
func scriptsIn(objects []flux1.Parsed, kind, namespace, name string) (out map[string]string, known bool) {
	out = map[string]string{}
	if kind == "ConfigMap" {
		m, _ := configMapIn(objects, namespace, name)
		if m == nil {
			return nil, false
		}
		for key, data := range m.BinaryData {
			out[key] = string(data)
		}
		maps.Copy(out, m.Data)
		return out, true
	}
	for _, o := range objects {
		u := o.Manifest
		if u.GetKind() != kind || u.GetName() != name || u.GetNamespace() != namespace || u.GroupVersionKind().Group != "" {
			continue
		}
		secret, ok := typed[corev1.Secret](u)
		if !ok || known { // as one whose values are encrypted, or one of several
			return nil, false
		}
		known = true
		for key, data := range secret.Data {
			out[key] = string(data)
		}
		maps.Copy(out, secret.StringData)
		for _, text := range out {
			if strings.HasPrefix(text, "ENC[") {
				return nil, false
			}
		}
	}
	return out, known
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
	values := func(cause string, of ...any) *terraform.Node {
		out := nodeOf(of, terraform.Origin{})
		if cause != "" {
			out.List = append(out.List, &terraform.Node{Kind: terraform.Unknown})
		}
		return out
	}
	isHere := func(dir, url string) bool {
		may, _ := c.mayBeThis(url)
		return may && isFile(c.tree, path.Join(dir, "Chart.yaml"))
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
		return []chartInTree{{dir, installed{textNode(name), textNode(cmp.Or(namespace, own)), values(from.unknown, from.known, spec["values"])}}}
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
		return []chartInTree{{dir, installed{textNode(name), textNode(namespace), values(from.unknown, from.known, from.own)}}}
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
				if err != nil || !c.look(len(content)/10) || sigsyaml.Unmarshal(content, &v) != nil { // as of another source
					given.List = append(given.List, &terraform.Node{Kind: terraform.Unknown})
					continue
				}
				given.List = append(given.List, nodeOf(v, terraform.Origin{}))
			}
			out = append(out, chartInTree{dir, installed{textNode(cmp.Or(text(source, "helm", "releaseName"), u.GetName())), textNode(text(spec, "destination", "namespace")), given}})
		}
		return out
	}
	return nil
}

// These say why a source may be of another repository.
const (
	noRemote    = "its source names a URL that no remote of this clone has"
	noURL       = "its source names a URL, and which this repository has is not known: give it (--git-url)"
	variableURL = "its source's URL holds a variable"
)

// mayBeThis reports whether a URL may be of the repository that is read, and why it may be of another one. A
// clone's remotes tell only which it is: they may be of a mirror, a fork or a folder, or name the host otherwise.
func (c *checkout) mayBeThis(url string) (may bool, unsure string) {
	own := c.agent.Git.URL
	switch {
	case url == "":
		return true, ""
	case own != "" && strings.Contains(url, "${"):
		return mayBecome(url, own), variableURL
	case own != "":
		return SameRepository(own, url), ""
	case strings.Contains(url, "${"):
		return true, variableURL
	case c.folder == nil || len(c.folder.remotes) == 0:
		return true, noURL
	case !slices.ContainsFunc(c.folder.remotes, func(o string) bool { return SameRepository(o, url) }):
		return true, noRemote
	}
	return true, ""
}

// mayBecome reports whether a URL with variables may be of the same repository as another by its fixed parts.
func mayBecome(url, own string) bool {
	const any = "anyvalue" // of letters that stand anywhere in a URL
	key := repositoryKey(unknownPart.ReplaceAllLiteralString(url, any))
	if key == "" {
		return true // as where the scheme is one
	}
	key = "^" + strings.ReplaceAll(regexp.QuoteMeta(key), any, ".*") + "$"
	may, err := regexp.MatchString(key, repositoryKey(own))
	with, _ := regexp.MatchString(key, repositoryKey(own)+".git") // which a variable may end
	return may || with || err != nil
}
