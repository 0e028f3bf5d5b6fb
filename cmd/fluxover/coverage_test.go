package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate/flux1"
)

var showCoverage = flag.Bool("coverage", false, "print what has no case")

// aspect is one kind of thing that has to have a case: a test or an example
// that would be another one without it.
type aspect struct {
	name string
	// items that there are, and which of them have a case.
	items   []string
	covered func(item string) bool
}

// knownGaps are the items without a case that were there when the list was
// last looked at. Nothing may be added to it without a reason; what gets its
// case leaves it.
var knownGaps = map[string][]string{
	terraformRuns: {
		"broken-file: Terraform refuses a file that is in error",
		"cycles: Terraform refuses values that depend on themselves",
		"paths-out-of-the-tree: Terraform refuses it: of the files outside of the tree that it reads, some are not there and others hold no values",
		"terraform-0.11-workloads: Terraform up to 0.11 prints no plan as JSON",
		"terragrunt-remote: its modules are in a Git repository elsewhere, and a file that it reads is missing",
	},
}

// clusterForms and gitForms are those that a golden shows.
const (
	clusterForms = "form of the cluster"
	gitForms     = "form of Git"
)

// formsOfTerraform have a folder with the inventory that it is expected to give.
const formsOfTerraform = "form of Terraform"

// terraformRuns are the forms that a real program was run on.
const terraformRuns = "form that Terraform itself reads"

func TestMeaningIsCovered(t *testing.T) {
	src := parseSource(t)
	var report strings.Builder
	fmt.Fprintf(&report, "%-34s %6s %6s\n", "", "cases", "of")
	var lists strings.Builder
	for _, a := range aspects(t, src) {
		if len(a.items) == 0 {
			t.Errorf("%s: nothing was found that could have a case", a.name)
		}
		var without []string
		for _, item := range a.items {
			if a.covered(item) {
				continue
			}
			without = append(without, item)
			if !slices.Contains(knownGaps[a.name], item) {
				t.Errorf("%s %s has no case: add a test, or an example in testdata", a.name, item)
			}
		}
		fmt.Fprintf(&report, "%-34s %6d %6d\n", a.name, len(a.items)-len(without), len(a.items))
		if len(without) > 0 {
			fmt.Fprintf(&lists, "\n%s without a case: %s\n", a.name, strings.Join(without, ", "))
		}
		for _, known := range knownGaps[a.name] {
			if !slices.Contains(without, known) {
				t.Errorf("%s %s is listed as a known gap and has a case, or is gone: take it off the list", a.name, known)
			}
		}
	}
	if *showCoverage {
		fmt.Print(report.String() + lists.String())
	}
}

// aspects lists everything that needs cases.
func aspects(t *testing.T, src *goSource) []aspect {
	t.Helper()
	withLab := readCorpus(t, "e2e", productFolders...)
	// What becomes of a flag, at its default and at another value.
	fates := readFiles(t, []string{"migrate/flux1/testdata"}, func(name string) bool { return filepath.Base(name) == "flags.txt" })
	configurations := readConfigurations(t, "discover")
	discovery := readFiles(t, []string{"discover"}, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	agent := readCorpus(t, "reconcile", "migrate/cutover", "e2e")
	shown, named := testWords(t), identifiersOfCodes(src)
	chartValues, planned := recordedChartValues(t), shownFields(t)
	explained := readFiles(t, []string{"emit"}, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	return []aspect{
		{"hazard", hazardNames(), func(h string) bool { return !slices.Contains(openHazards(), h) }},
		{"finding", findingNames(), func(c string) bool { return shown[c] != "" || named[c] != "" }},
		{"command line flag", commandFlags(), func(f string) bool { return withLab.holds("--" + f) }},
		{"fluxd flag", fluxdFlags(), func(f string) bool { return strings.Count("\n"+fates.text, "\n--"+f+"=") == 2 }},
		{"flux chart value", fluxChartValues(src), func(v string) bool { return chartValues[v] }},
		{"agent chart value", agentChartValues(t), func(v string) bool {
			return agent.holds(`"` + v[strings.LastIndex(v, ".")+1:] + `"`)
		}},
		{"planned field", plannedFields(src), func(f string) bool {
			kind, name, _ := strings.Cut(f, ".")
			return planned[f] || explained.matches(kind+`/\S+ \.spec\.`+name+`\b`) // a line of such an object, which is explained
		}},
		{"condition reason", conditionReasons(src), func(r string) bool { return agent.holds(r) || agent.holds(r+"Reason") }},
		{"Terraform function", terraformForms(true), standsInItsFolder(t)},
		{formsOfTerraform, terraformForms(false), hasCase},
		{clusterForms, formsOf(discover.ClusterForms), showing(discover.ClusterForms)},
		{gitForms, formsOf(discover.GitForms), showing(discover.GitForms)},
		{terraformRuns, formsToRun(t), func(f string) bool { return !strings.Contains(f, ": ") }},
		{"Terraform block", terraformBlocks(src), configurations.holds},
		{"Terraform resource type", terraformTypes(src), func(r string) bool {
			r = strings.TrimPrefix(r, "data.")
			return configurations.holds(`"`+r+`"`) || discovery.holds(r)
		}},
		{"Terraform argument", terraformArguments(src), configurations.sets},
	}
}

// corpus is text in which cases are looked for.
type corpus struct{ text string }

// holds reports whether the text has the words, not as a part of longer ones.
func (c corpus) holds(words string) bool {
	pattern := regexp.QuoteMeta(words)
	if isWord(words[0]) {
		pattern = `(^|[^A-Za-z0-9_-])` + pattern
	}
	if isWord(words[len(words)-1]) {
		pattern += `($|[^A-Za-z0-9_-])`
	}
	// The plain search is much faster, and says no to most.
	return strings.Contains(c.text, words) && regexp.MustCompile(pattern).MatchString(c.text)
}

// matches reports whether an expression is found in the text.
func (c corpus) matches(expression string) bool {
	return regexp.MustCompile(expression).MatchString(c.text)
}

func isWord(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}

// readCorpus reads all tests and their data below the folders.
func readCorpus(t *testing.T, folder string, more ...string) corpus {
	return readFiles(t, append(more, folder), func(name string) bool {
		return strings.HasSuffix(name, "_test.go") && !strings.HasSuffix(name, "cmd/fluxover/coverage_test.go") || strings.Contains(name, "/testdata/")
	})
}

// readConfigurations reads the Terraform and Terragrunt files of the examples in folders:
// what is expected of them, and what tests say, is no example.
func readConfigurations(t *testing.T, folders ...string) corpus {
	results := []string{"expected.json", "inventory.json", "shown.json", "options.json", "provider.json", "provider.tofu.json", "functions.tofu.json", "want.json"}
	return readFiles(t, folders, func(name string) bool {
		return strings.Contains(name, "/testdata/") && !slices.Contains(results, filepath.Base(name)) && !strings.HasSuffix(name, ".expected.json") && !strings.HasSuffix(name, ".terraform.json") &&
			slices.Contains([]string{".tf", ".hcl", ".tofu", ".json", ".tpl", ".tmpl", ".tfvars", ".tftest"}, filepath.Ext(name))
	})
}

// sets reports whether the text has an argument or a block of that name, in
// either syntax.
func (c corpus) sets(name string) bool {
	return regexp.MustCompile(`(?m)(^|[\s{;])` + regexp.QuoteMeta(name) + `\s*(=|\{|"[^"]*"\s*\{)|"` + regexp.QuoteMeta(name) + `"\s*[:{]`).MatchString(c.text)
}

func readFiles(t *testing.T, folders []string, want func(name string) bool) corpus {
	t.Helper()
	var b strings.Builder
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(moduleRoot, filepath.FromSlash(folder)), func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || !want(filepath.ToSlash(name)) {
				return err
			}
			content, err := os.ReadFile(name)
			b.Write(content)
			b.WriteByte('\n')
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return corpus{b.String()}
}

func hazardNames() []string {
	var out []string
	for _, h := range hazards {
		out = append(out, fmt.Sprintf("H%d", h.number))
	}
	return out
}

func findingNames() []string {
	var out []string
	for _, c := range catalogue() {
		out = append(out, c.Name)
	}
	return out
}

// commandFlags are the flags of all commands, less those that every client of
// Kubernetes has.
func commandFlags() []string {
	client := pflag.NewFlagSet("", pflag.ContinueOnError)
	genericclioptions.NewConfigFlags(true).AddFlags(client)
	flags := map[string]bool{}
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if client.Lookup(f.Name) == nil && f.Name != "help" && !f.Hidden {
				flags[f.Name] = true
			}
		})
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(newRoot(streams{}))
	return slices.Sorted(maps.Keys(flags))
}

func fluxdFlags() []string {
	var out []string
	for _, f := range flux1.Flags {
		out = append(out, f.Name)
	}
	return out
}

// fluxChartValues are the rows of the table of chart values.
func fluxChartValues(src *goSource) []string {
	paths := map[string]bool{}
	ast.Inspect(src.files["migrate/flux1/chart/keys.go"], func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok {
			if p, ok := text(field(lit, "path")); ok {
				paths[p] = true
			}
		}
		return true
	})
	return slices.Sorted(maps.Keys(paths))
}

// recordedChartValues are the paths of all values that the public charts were
// rendered with, and all paths that lead to one.
func recordedChartValues(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(moduleRoot, "migrate/flux1/chart/testdata/charts/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("recordings of the public charts: %v (%d found)", err, len(files))
	}
	out := map[string]bool{}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var recording struct {
			Cases []struct{ Values map[string]any }
		}
		if err := json.Unmarshal(content, &recording); err != nil {
			t.Fatal(err)
		}
		for _, c := range recording.Cases {
			valuePaths("", c.Values, func(path string) { out[path] = true })
		}
	}
	return out
}

// valuePaths calls visit with the path of each value in a mapping, and with those
// of the mappings around it.
func valuePaths(at string, value any, visit func(path string)) {
	if at != "" {
		visit(at)
	}
	if m, ok := value.(map[string]any); ok {
		for k, v := range m {
			valuePaths(strings.TrimPrefix(at+"."+k, "."), v, visit)
		}
	}
}

// agentChartValues are the values of the agent's own chart, where they end.
func agentChartValues(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(moduleRoot, "reconcile/chart/values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(content, &values); err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	valuePaths("", values, func(path string) { all[path] = true })
	var out []string
	for _, p := range slices.Sorted(maps.Keys(all)) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(all)), func(q string) bool { return strings.HasPrefix(q, p+".") }) {
			out = append(out, p)
		}
	}
	return out
}

// plannedFields are the fields of Flux v2's objects that the planner writes.
func plannedFields(src *goSource) []string {
	specs := map[string]reflect.Type{
		"KustomizationSpec": reflect.TypeFor[kustomizev1.KustomizationSpec](),
		"GitRepositorySpec": reflect.TypeFor[sourcev1.GitRepositorySpec](),
	}
	out := map[string]bool{}
	note := func(spec, goName string) {
		if f, ok := specs[spec].FieldByName(goName); ok {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			out[strings.TrimSuffix(spec, "Spec")+"."+name] = true
		}
	}
	for name, file := range src.files {
		if filepath.Dir(name) != "migrate" {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				for spec := range specs {
					if isType(n.Type, spec, "kustomizev1", "sourcev1") {
						for _, m := range n.Elts {
							if kv, ok := m.(*ast.KeyValueExpr); ok {
								if k, ok := kv.Key.(*ast.Ident); ok {
									note(spec, k.Name)
								}
							}
						}
					}
				}
			case *ast.AssignStmt: // k.Spec.DependsOn = …, g.Spec.SecretRef = …
				for _, l := range n.Lhs {
					if sel, ok := l.(*ast.SelectorExpr); ok {
						if in, ok := sel.X.(*ast.SelectorExpr); ok && in.Sel.Name == "Spec" {
							for spec := range specs {
								note(spec, sel.Sel.Name)
							}
						}
					}
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(out))
}

// groupsOfPlanned are the API groups of the kinds of Flux v2 that the planner writes.
var groupsOfPlanned = map[string]string{"Kustomization": "kustomize.toolkit.fluxcd.io", "GitRepository": "source.toolkit.fluxcd.io"}

// shownFields are the fields of Flux v2's objects, as KIND.FIELD, that a golden of a
// plan shows in such an object.
func shownFields(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, folder := range []string{"migrate/testdata/plan", "discover/testdata/plan"} {
		files, err := filepath.Glob(filepath.Join(moduleRoot, folder, "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatal("no goldens of plans in ", folder, err)
		}
		for _, name := range files {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var plan any
			if err := yaml.Unmarshal(content, &plan); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			fieldsShown(plan, out)
		}
	}
	return out
}

// fieldsShown notes those of the objects in a value.
func fieldsShown(v any, out map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			fieldsShown(e, out)
		}
	case map[string]any:
		kind, _ := v["kind"].(string)
		version, _ := v["apiVersion"].(string)
		if group, _, _ := strings.Cut(version, "/"); group != "" && groupsOfPlanned[kind] == group {
			spec, _ := v["spec"].(map[string]any)
			for field := range spec {
				out[kind+"."+field] = true
			}
		}
		for _, e := range v {
			fieldsShown(e, out)
		}
	}
}

// A field counts where an object of its kind has it, and nowhere else.
func TestAFieldOfAnotherKindIsNoCase(t *testing.T) {
	got := map[string]bool{}
	fieldsShown(map[string]any{
		"objects": []any{
			map[string]any{"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "spec": map[string]any{"prune": true, "sourceRef": map[string]any{"branch": "b"}}},
			map[string]any{"apiVersion": "v1", "kind": "Service", "spec": map[string]any{"timeout": "1m"}},
			map[string]any{"apiVersion": "example.com/v1", "kind": "GitRepository", "spec": map[string]any{"url": "u"}},
		},
		"source": map[string]any{"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "spec": map[string]any{"ref": map[string]any{"branch": "b"}}},
		"text":   "timeout: 1m",
	}, got)
	if want := []string{"GitRepository.ref", "Kustomization.prune", "Kustomization.sourceRef"}; !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Errorf("they are %v", slices.Sorted(maps.Keys(got)))
	}
}

// conditionReasons are those that the bundled agent gives. Upstream names each
// constant for its value.
func conditionReasons(src *goSource) []string {
	out := map[string]bool{}
	for name, file := range src.files {
		if filepath.Dir(name) != "reconcile" {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if p, ok := n.X.(*ast.Ident); ok && slices.Contains([]string{"fluxmeta", "sourcev1", "kustomizev1", "apiacl"}, p.Name) {
					if reason, ok := strings.CutSuffix(n.Sel.Name, "Reason"); ok {
						out[reason] = true
					}
				}
			case *ast.ValueSpec:
				for i, n2 := range n.Names {
					if strings.HasPrefix(strings.ToLower(n2.Name), "reason") || strings.HasSuffix(n2.Name, "Reason") {
						if i < len(n.Values) {
							if reason, ok := text(n.Values[i]); ok {
								out[reason] = true
							}
						}
					}
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(out))
}

// terraformForms are the functions of the language that are evaluated, or all
// other ways to write what is read, with their groups.
func terraformForms(functions bool) []string {
	var out []string
	for _, f := range terraform.Forms() {
		switch isFunction := f.Group == "functions"; {
		case isFunction && functions:
			out = append(out, f.Name)
		case !isFunction && !functions:
			out = append(out, formName(f))
		}
	}
	return out
}

func formName(f terraform.Form) string { return f.Group + ": " + f.Name }

// standsInItsFolder tells of a function whether it stands in the folder of its form: one
// with an expected inventory, if it is met in such folders or in public configurations.
func standsInItsFolder(t *testing.T) func(function string) bool {
	t.Helper()
	const forms, public = "discover/terraform/testdata/forms", "discover/testdata/real"
	met := readConfigurations(t, forms, public)
	texts := map[string]corpus{}
	return func(function string) bool {
		all := terraform.Forms()
		i := slices.IndexFunc(all, func(f terraform.Form) bool { return f.Group == "functions" && f.Name == function })
		folder := "discover/terraform/" + all[i].Folder
		if _, err := os.Stat(filepath.Join(moduleRoot, filepath.FromSlash(folder), "inventory.json")); err != nil && met.holds(function+"(") {
			return false
		}
		if _, read := texts[folder]; !read {
			texts[folder] = readConfigurations(t, folder)
		}
		return texts[folder].holds(function + "(")
	}
}

// hasCase reports whether a form's folder holds the inventory that it is expected to give.
func hasCase(form string) bool {
	i := slices.IndexFunc(terraform.Forms(), func(f terraform.Form) bool { return formName(f) == form })
	folder := filepath.Join(moduleRoot, "discover/terraform", filepath.FromSlash(terraform.Forms()[i].Folder))
	_, err := os.Stat(filepath.Join(folder, "inventory.json"))
	return err == nil
}

func formsOf(forms []discover.Form) (names []string) {
	for _, f := range forms {
		names = append(names, nameOf(f))
	}
	return names
}

func nameOf(f discover.Form) string { return f.Group + ": " + f.Name }

// showing reports whether the golden of a form shows it.
func showing(forms []discover.Form) func(string) bool {
	return func(form string) bool {
		f := forms[slices.IndexFunc(forms, func(f discover.Form) bool { return nameOf(f) == form })]
		content, err := os.ReadFile(filepath.Join(moduleRoot, "discover", filepath.FromSlash(f.Golden)))
		return err == nil && f.Shows != "" && strings.Contains(string(content), f.Shows)
	}
}

// formsToRun are the folders of the forms of configurations, each with why no real
// program is run on it, if none was.
func formsToRun(t *testing.T) []string {
	t.Helper()
	testdata := filepath.Join(moduleRoot, "discover", "terraform", "testdata")
	read := func(into any, name ...string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(append([]string{testdata}, name...)...))
		if err == nil {
			err = json.Unmarshal(data, into)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	recorded := map[string]bool{}
	for _, file := range []string{"provider.json", "provider.tofu.json", "planned.json"} {
		var made struct{ Forms map[string]any }
		read(&made, file)
		for name := range made.Forms {
			form, _, _ := strings.Cut(name, " with ")
			recorded[form] = true
		}
	}
	folders, err := os.ReadDir(filepath.Join(testdata, "forms"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, folder := range folders {
		options := struct{ NotRun string }{"no real program was run on it"}
		read(&options, "forms", folder.Name(), "options.json")
		if name := folder.Name(); recorded[name] {
			out = append(out, name)
		} else {
			out = append(out, name+": "+options.NotRun)
		}
	}
	return out
}

// terraformBlocks are the types of blocks that are told apart.
func terraformBlocks(src *goSource) []string {
	out := map[string]bool{}
	for name, file := range src.files {
		if filepath.Dir(name) != "discover/terraform" {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if isBlockType(n.X) {
					if v, ok := text(n.Y); ok {
						out[v] = true
					}
				}
			case *ast.SwitchStmt:
				if isBlockType(n.Tag) {
					for _, c := range n.Body.List {
						for _, e := range c.(*ast.CaseClause).List {
							if v, ok := text(e); ok {
								out[v] = true
							}
						}
					}
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(out))
}

func isBlockType(e ast.Expr) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Type" {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && (x.Name == "b" || x.Name == "block")
}

// terraformArguments are the arguments and blocks that are asked for by name,
// wherever Terraform is read: in a call of Field, field or All, in a look at
// Attributes, or by a loop over names that are used so.
func terraformArguments(src *goSource) []string {
	out := map[string]bool{}
	for name, file := range src.files {
		if filepath.Dir(name) != "discover/terraform" && filepath.Dir(name) != "discover" {
			continue
		}
		// names of loop variables, by what they run over.
		loops := map[string][]string{}
		ask := func(e ast.Expr) {
			if v, ok := text(e); ok {
				out[v] = true
			} else if id, ok := e.(*ast.Ident); ok {
				for _, v := range loops[id.Name] {
					out[v] = true
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				loops = map[string][]string{}
			case *ast.RangeStmt:
				id, ok := n.Value.(*ast.Ident)
				list, literal := n.X.(*ast.CompositeLit)
				if ok && literal {
					loops[id.Name] = nil
					for _, e := range list.Elts {
						if v, ok := text(e); ok {
							loops[id.Name] = append(loops[id.Name], v)
						}
					}
				}
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 0 && slices.Contains([]string{"Field", "field", "All"}, sel.Sel.Name) {
					ask(n.Args[len(n.Args)-1])
				}
			case *ast.IndexExpr:
				if sel, ok := n.X.(*ast.SelectorExpr); ok && sel.Sel.Name == "Attributes" {
					ask(n.Index)
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(out))
}

// terraformTypes are the types of resources and data that are read.
func terraformTypes(src *goSource) []string {
	out := map[string]bool{}
	kind := regexp.MustCompile(`^(data\.)?(helm|kubernetes|kubectl|null|template|local|terraform)_[a-z0-9_]+$`)
	for name, file := range src.files {
		if filepath.Dir(name) != "discover/terraform" && filepath.Dir(name) != "discover" {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if v, ok := text(n); ok && kind.MatchString(v) {
					out[v] = true
				}
			case *ast.BinaryExpr: // of a resource, one whose type is of no such kind
				if sel, ok := n.X.(*ast.SelectorExpr); ok && sel.Sel.Name == "Type" {
					if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "x" || x.Name == "r") {
						if v, ok := text(n.Y); ok {
							out[v] = true
						}
					}
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(out))
}
