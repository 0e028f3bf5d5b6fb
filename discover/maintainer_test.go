package discover

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/build"
)

// gitopsIstioPage argues, point by point, each difference between what the
// maintainer of gitops-istio made of it and what is planned. Its tables are
// written by -update; its points are people's.
var gitopsIstioPage = filepath.Join("..", "docs", "gitops-istio.md")

// gitopsIstioValues describe its fluxd, as far as SOURCE.md tells: the whole
// repository, state in a Secret, garbage collection on.
const gitopsIstioValues = `git: {url: "git@github.com:stefanprodan/gitops-istio", branch: main, path: ""}
sync: {state: secret}
syncGarbageCollection: {enabled: true}
`

// Points of the page.
const (
	pointFolders = iota + 1
	pointOrder
	pointHealth
	pointPrune
	pointSource
	pointAccount
	pointTimes
	pointReleases
	pointDefinitions
	pointContent
)

// pointsOfFields are where a field of Kustomizations is argued. One that
// differs and is not here fails the test.
var pointsOfFields = map[string]int{
	"deletionPolicy": pointPrune, "healthChecks": pointHealth, "interval": pointTimes, "retryInterval": pointTimes, "timeout": pointTimes,
	"patches": pointPrune, "serviceAccountName": pointAccount, "sourceRef": pointSource, "validation": pointHealth,
}

// migration is one of the two: the Kustomizations by name, in order, and
// the objects that each builds.
type migration struct {
	names          []string
	kustomizations map[string]map[string]any
	builds         map[string]map[string]*unstructured.Unstructured
}

func (s *migration) add(u *unstructured.Unstructured, objects []*unstructured.Unstructured) {
	spec, _, _ := unstructured.NestedMap(u.Object, "spec")
	s.names = append(s.names, u.GetName())
	s.kustomizations[u.GetName()] = spec
	s.builds[u.GetName()] = map[string]*unstructured.Unstructured{}
	for _, o := range objects {
		s.builds[u.GetName()][migrate.ObjectID(o)] = bare(o)
	}
}

// bare is an object without what the two migrations write onto every object.
func bare(o *unstructured.Unstructured) *unstructured.Unstructured {
	o = o.DeepCopy()
	others := func(values map[string]string) map[string]string {
		maps.DeleteFunc(values, func(key, _ string) bool { return strings.HasPrefix(key, kustomizev1.GroupVersion.Group+"/") })
		return values
	}
	o.SetLabels(others(o.GetLabels()))
	o.SetAnnotations(others(o.GetAnnotations()))
	return o
}

func newMigration() migration {
	return migration{kustomizations: map[string]map[string]any{}, builds: map[string]map[string]*unstructured.Unstructured{}}
}

// plannedGitopsIstio is what is planned for the tree before the migration.
func plannedGitopsIstio(t *testing.T) (migration, migrate.Plan) {
	t.Helper()
	inv, err := Values(t.Context(), []ValuesFile{{Name: "fluxcd/flux", File: "values.yaml", Content: []byte(gitopsIstioValues)}})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("testdata", "real", "stefanprodan__gitops-istio", "before-flux1")
	inv, err = Repositories(t.Context(), inv, []Folder{{URL: "git@github.com:stefanprodan/gitops-istio", Dir: dir}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Which version the chart was of is not told, and old ones do not know
	// garbage collection.
	agent := &inv.Agents[0]
	agent.Sync.GarbageCollection = migrate.CollectOn
	agent.Unknown = slices.DeleteFunc(agent.Unknown, func(name string) bool { return name == "sync.garbageCollection" })
	plan := migrate.Build(inv, migrate.Options{})
	s := newMigration()
	for _, k := range plan.Repositories[0].Kustomizations {
		objects, err := proof.Render(t.Context(), &inv.Agents[0], &plan, k)
		if err != nil {
			t.Fatal(err)
		}
		s.add(k, objects)
	}
	return s, plan
}

// madeGitopsIstio is what its maintainer made of it.
func madeGitopsIstio(t *testing.T) migration {
	t.Helper()
	tree := os.DirFS(filepath.Join("testdata", "real", "stefanprodan__gitops-istio", "after-flux2"))
	s := newMigration()
	// In the order in which they are reconciled, which is that of the files but
	// for the applications.
	for _, file := range []string{"clusters/my-cluster/istio.yaml", "clusters/my-cluster/apps.yaml"} {
		content, err := fs.ReadFile(tree, file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := flux1.Parse(file, content, flux1.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parsed {
			k := &kustomizev1.Kustomization{}
			k.Name, k.Namespace = p.Manifest.GetName(), p.Manifest.GetNamespace()
			k.Spec.Path, _, _ = unstructured.NestedString(p.Manifest.Object, "spec", "path")
			objects, err := build.Objects(t.Context(), build.Input{Tree: tree, Kustomization: k})
			if err != nil {
				t.Fatal(err)
			}
			s.add(p.Manifest, objects)
		}
	}
	return s
}

// counterpart is the Kustomization of the other migration that builds most of the same
// objects.
func (s migration) counterpart(of string, other migration) string {
	best, most := "", 0
	for _, name := range other.names {
		if n := len(s.common(of, other, name)); n > most {
			best, most = name, n
		}
	}
	return best
}

func (s migration) common(name string, other migration, its string) (ids []string) {
	for id := range s.builds[name] {
		if other.builds[its][id] != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// find gives the object and the Kustomization that builds it.
func (s migration) find(id string) (*unstructured.Unstructured, string) {
	for _, name := range s.names {
		if o := s.builds[name][id]; o != nil {
			return o, name
		}
	}
	return nil, ""
}

func (s migration) dependsOn(name string) string {
	list, _ := s.kustomizations[name]["dependsOn"].([]any)
	var names []string
	for _, d := range list {
		names = append(names, "`"+d.(map[string]any)["name"].(string)+"`")
	}
	return cmp.Or(strings.Join(names, ", "), "nothing")
}

// argued is a link to a point of the page.
func argued(point int) string { return fmt.Sprintf("[%d](#point-%d)", point, point) }

// partsTable sets the Kustomizations side by side.
func partsTable(planned, made migration) string {
	var b strings.Builder
	b.WriteString("| planned | path | depends on | made | path | depends on | objects in both | argued in |\n|---|---|---|---|---|---|---|---|\n")
	for _, name := range planned.names {
		its := planned.counterpart(name, made)
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | `%s` | `%s` | %s | %d of %d planned, %d made | %s, %s |\n",
			name, planned.kustomizations[name]["path"], planned.dependsOn(name), its, made.kustomizations[its]["path"], made.dependsOn(its),
			len(planned.common(name, made, its)), len(planned.builds[name]), len(made.builds[its]), argued(pointFolders), argued(pointOrder))
	}
	return b.String()
}

// values gives a field's values on one side, each with the Kustomizations that
// have it.
func (s migration) values(field string) string {
	by := map[string][]string{}
	for _, name := range s.names {
		text := "nothing"
		switch v := s.kustomizations[name][field].(type) {
		case nil:
		case []any:
			text = fmt.Sprintf("%d", len(v))
			if field == "healthChecks" {
				var names []string
				for _, e := range v {
					names = append(names, e.(map[string]any)["name"].(string))
				}
				text = "Deployments `" + strings.Join(names, "`, `") + "`"
			}
		case map[string]any:
			text = fmt.Sprintf("`%v/%v`", v["kind"], v["name"])
		default:
			text = fmt.Sprintf("`%v`", v)
		}
		by[text] = append(by[text], name)
	}
	if len(by) == 1 {
		for text := range by {
			return text
		}
	}
	var parts []string
	for _, text := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, text+" ("+strings.Join(by[text], ", ")+")")
	}
	return strings.Join(parts, "; ")
}

// fieldsTable lists each field of Kustomizations that differs.
func fieldsTable(t *testing.T, planned, made migration) string {
	t.Helper()
	fields := map[string]bool{}
	for _, s := range []migration{planned, made} {
		for _, spec := range s.kustomizations {
			for field := range spec {
				fields[field] = field != "path" && field != "dependsOn" // in the table above
			}
		}
	}
	var b strings.Builder
	b.WriteString("| field of the Kustomizations | planned | made | argued in |\n|---|---|---|---|\n")
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		ours, his := planned.values(field), made.values(field)
		switch {
		case !fields[field]:
		case ours == his:
			fmt.Fprintf(&b, "| `%s` | %s | the same | |\n", field, ours)
		case pointsOfFields[field] == 0:
			t.Errorf("%s differs (%s, made %s), and no point argues it", field, ours, his)
		default:
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", field, ours, his, argued(pointsOfFields[field]))
		}
	}
	return b.String()
}

// changed are the places at which two objects differ; lists are compared whole.
func changed(a, b any, at string) []string {
	x, isMap := a.(map[string]any)
	y, both := b.(map[string]any)
	if !isMap || !both {
		if ja, jb := asJSON(a), asJSON(b); ja != jb {
			return []string{at}
		}
		return nil
	}
	keys := map[string]bool{}
	for k := range x {
		keys[k] = true
	}
	for k := range y {
		keys[k] = true
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		out = append(out, changed(x[k], y[k], at+"."+k)...)
	}
	return out
}

func asJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// objectsTable lists each object that is not built alike by the counterpart.
func objectsTable(planned, made migration) string {
	var b strings.Builder
	b.WriteString("| object | planned in | made | argued in |\n|---|---|---|---|\n")
	ids := map[string]bool{}
	for _, s := range []migration{planned, made} {
		for _, objects := range s.builds {
			for id := range objects {
				ids[id] = true
			}
		}
	}
	alike := 0
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		o, name := planned.find(id)
		its, by := made.find(id)
		_, _, kind, err := migrate.ParseObjectID(id)
		if err != nil {
			return err.Error()
		}
		shown, what, point := migrate.DisplayID(id), "", 0
		switch {
		case strings.HasPrefix(kind.Group, "helm.") || strings.HasPrefix(kind.Group, "source."):
			shown, point = shown+" ("+kind.Group+")", pointReleases
		case o != nil && o.GetKind() == "CustomResourceDefinition" && its == nil:
			point = pointDefinitions
		}
		switch {
		case o == nil:
			name, what = "nothing", fmt.Sprintf("new, in `%s`", by)
		case its == nil:
			name, what = "`"+name+"`", "gone"
		case len(changed(o.Object, its.Object, "")) > 0:
			what, point = fmt.Sprintf("in `%s`, with another `%s`", by, strings.Join(changed(o.Object, its.Object, ""), "`, `")), pointContent
			name = "`" + name + "`"
		case by != planned.counterpart(name, made):
			what, point = fmt.Sprintf("in `%s`", by), pointFolders
			name = "`" + name + "`"
		default:
			alike++
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", shown, name, what, argued(point))
	}
	fmt.Fprintf(&b, "\n%d more objects are built alike by both.\n", alike)
	return b.String()
}

// between are the marks around a table that is written.
func between(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?s)(<!-- ` + name + `: written by the test -->\n)(.*?)(\n<!-- end of ` + name + ` -->)`)
}

func TestThePageOnGitopsIstioSaysWhatIsPlannedAndWhatItsMaintainerMade(t *testing.T) {
	planned, plan := plannedGitopsIstio(t)
	made := madeGitopsIstio(t)
	page, err := os.ReadFile(gitopsIstioPage)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for name, table := range map[string]string{"parts": partsTable(planned, made), "fields": fieldsTable(t, planned, made), "objects": objectsTable(planned, made)} {
		found := between(name).FindStringSubmatch(text)
		switch {
		case found == nil:
			t.Errorf("the page has no place for the table of %s", name)
		case *update:
			text = between(name).ReplaceAllLiteralString(text, found[1]+table+found[3])
		case found[2] != table:
			t.Errorf("the table of %s is not what is planned and made:\n%s\nthe page says:\n%s", name, table, found[2])
		}
	}
	if *update {
		if err := os.WriteFile(gitopsIstioPage, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Every point that a table names is argued, and every argument is about one.
	for point := 1; point <= pointContent; point++ {
		if heading := fmt.Sprintf("<a id=\"point-%d\"></a>\n## %d. ", point, point); strings.Count(text, heading) != 1 {
			t.Errorf("the page does not argue point %d under one heading", point)
		}
		if !strings.Contains(text, argued(point)) {
			t.Errorf("point %d argues nothing of the tables", point)
		}
	}

	// What SOURCE.md demands of any migration: what leaves Git is deleted, and
	// what an operator brings is there before what needs it.
	place := map[string]int{}
	for i, name := range planned.names {
		place[name] = i
		if planned.kustomizations[name]["prune"] != true {
			t.Errorf("%s does not prune, and fluxd collects", name)
		}
	}
	for _, pair := range [][2]string{
		{"_istiooperators.install.istio.io_apiextensions.k8s.io_CustomResourceDefinition", "istio-system_istio-default_install.istio.io_IstioOperator"},
		{"istio-system_istio-default_install.istio.io_IstioOperator", "istio-system_public-gateway_networking.istio.io_Gateway"},
		{"istio-system_istio-default_install.istio.io_IstioOperator", "prod_default_networking.istio.io_Sidecar"},
		{"_canaries.flagger.app_apiextensions.k8s.io_CustomResourceDefinition", "prod_backend_flagger.app_Canary"},
	} {
		_, first := planned.find(pair[0])
		_, then := planned.find(pair[1])
		if first == "" || then == "" || place[first] >= place[then] {
			t.Errorf("%s (%s) does not come before %s (%s)", pair[0], first, pair[1], then)
		}
	}
	if n := len(plan.Sources); n != 1 {
		t.Errorf("%d sources are planned", n)
	}
}
