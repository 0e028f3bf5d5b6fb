package emit

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/crds"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/build"
)

var prod = Capacitor{URL: "https://git.example.com/flux-capacitor", Branch: "main", Cluster: "prod", Identity: "uid-of-prod", Credential: true}

// treeOf emits a plan into a tree and gives the tree as it is then.
func treeOf(t testing.TB, files fstest.MapFS, plan *migrate.Plan, c Capacitor) fstest.MapFS {
	t.Helper()
	changes, err := Tree(files, plan, c)
	if err != nil {
		t.Fatal(err)
	}
	out := fstest.MapFS{}
	for p, f := range files {
		out[p] = f
	}
	for p, content := range changes {
		if delete(out, p); content != nil {
			out[p] = &fstest.MapFile{Data: content}
		}
	}
	crds.Read(t, filepath.Join("..", "reconcile", "chart", "crds")).Check(t, out)
	return out
}

func TestTheTreeIsTheSameBytesEachTime(t *testing.T) {
	r, _ := fleet(t, 6)
	first := treeOf(t, fstest.MapFS{}, &r.Plan, prod)
	again, _ := fleet(t, 6)
	second := treeOf(t, fstest.MapFS{}, &again.Plan, prod)
	third := treeOf(t, first, &again.Plan, prod)
	for p := range first {
		if !bytes.Equal(first[p].Data, second[p].Data) || third[p] == nil || !bytes.Equal(first[p].Data, third[p].Data) {
			t.Errorf("%s is not the same twice", p)
		}
	}
	if len(first) != len(second) || len(first) != len(third) || len(first) < 6*9 {
		t.Errorf("%d, %d and %d files", len(first), len(second), len(third))
	}
	changes, err := Tree(first, &r.Plan, prod)
	if err != nil {
		t.Fatal(err)
	}
	if diff, err := TreeDiff(first, changes); err != nil || len(diff) > 0 {
		t.Errorf("emitting again changes %v (%v)", diff, err)
	}
}

// Every file must hold what the API server of a cluster with the agent's own
// CRDs takes, and no field that it would drop. [treeOf] sees to it of each tree.
func TestTheTreeIsValidAgainstTheCRDs(t *testing.T) {
	definitions := crds.Read(t, filepath.Join("..", "reconcile", "chart", "crds"))
	r, _ := fleet(t, 4)
	if checked := definitions.Check(t, treeOf(t, fstest.MapFS{}, &r.Plan, prod)); checked < 4*8 {
		t.Errorf("only %d objects were checked", checked)
	}
	for name, broken := range map[string]map[string]any{
		"an unknown field": {"intervall": "1m"}, "a bad interval": {"interval": "soon"}, "a wrong type": {"prune": "yes"},
	} {
		k := r.Plan.Repositories[0].Kustomizations[0].DeepCopy()
		for field, value := range broken {
			k.Object["spec"].(map[string]any)[field] = value
		}
		if problems, _ := definitions.Problems(k.Object); len(problems) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
}

// Manifests in which something is left out, since it is not known, are none that
// a cluster takes: the files that are there stay, and none are made.
func TestARepositoryOfWhichNotEnoughIsKnownKeepsItsFiles(t *testing.T) {
	found := func(code flux1.Code) func(*migrate.Inventory) {
		return func(inv *migrate.Inventory) {
			inv.Findings = append(inv.Findings, code.Finding(inv.Agents[0].ID, "", "it is not told"))
		}
	}
	for name, spoil := range map[string]func(*migrate.Inventory){
		"an interval that is not known": func(inv *migrate.Inventory) {
			inv.Agents[0].Unknown = []string{"sync.interval", "sync.garbageCollection"}
		},
		"rights that are not known":           func(inv *migrate.Inventory) { inv.Agents[0].Unknown = []string{"confinement"} },
		"a URL that Flux v2 refuses":          func(inv *migrate.Inventory) { inv.Agents[0].Git.URL = "file:///srv/git/shop" },
		"a URL with a variable":               func(inv *migrate.Inventory) { inv.Agents[0].Git.URL = "ssh://git@git.example.com/$(TEAM)/deploy.git" },
		"a tree that was not read":            func(inv *migrate.Inventory) { a := &inv.Agents[0]; a.Tree, a.Objects, a.Files = nil, nil, nil },
		"a path whose manifests are not told": found(flux1.NotGenerated),
		"a file that cannot be read":          found(flux1.Stuck),
		"a file that is too large":            found(flux1.TooLarge),
		"files whose keys are not known":      found(flux1.Encrypted),
	} {
		t.Run(name, func(t *testing.T) {
			inv := fleetInventory(t, 2)
			good := migrate.Build(inv, migrate.Options{})
			spoil(&inv)
			bad := migrate.Build(inv, migrate.Options{})
			spoiled := bad.Repository(inv.Agents[0].ID)
			if why := bad.Incomplete(spoiled); why == "" || !spoiled.Blocked {
				t.Fatalf("it is incomplete %q, blocked %t", why, spoiled.Blocked)
			}
			if why := bad.Incomplete(bad.Repository(inv.Agents[1].ID)); why != "" {
				t.Errorf("so is the other one: %s", why)
			}
			tree := treeOf(t, fstest.MapFS{}, &good, prod)
			if after := treeOf(t, tree, &bad, prod); !reflect.DeepEqual(tree, after) {
				t.Errorf("the files changed")
			}
			for p := range treeOf(t, fstest.MapFS{}, &bad, prod) {
				if strings.Contains(p, TeamName(spoiled)) {
					t.Errorf("%s is made", p)
				}
				for _, e := range Explain(Report{Plan: bad, Inventory: inv, Capacitor: prod}, p) {
					if strings.Contains(e.Subject, TeamName(spoiled)+".yaml") {
						t.Errorf("%s is explained by a file that is not written", p)
					}
				}
			}
			for _, e := range Explain(Report{Plan: bad, Inventory: inv, Capacitor: prod}, inv.Agents[0].ID) {
				for _, to := range e.To {
					if strings.Contains(to, "clusters/prod/"+TeamName(spoiled)) {
						t.Errorf("%s goes to %s, which is not written", e.Subject, to)
					}
				}
			}
		})
	}
}

// What capacitor.yaml says of it stands as well: it is there, and not known today.
func TestWhatIsSaidOfARepositoryOfWhichNotEnoughIsKnownIsNoSlip(t *testing.T) {
	inv := fleetInventory(t, 2)
	inv.Agents[0].Unknown = []string{"sync.interval"}
	plan := migrate.Build(inv, migrate.Options{})
	team, other := TeamName(plan.Repository(inv.Agents[0].ID)), TeamName(plan.Repository(inv.Agents[1].ID))
	file := func(team string) fstest.MapFS {
		return withSettings(fstest.MapFS{}, "clusters:\n  prod:\n    teams:\n      "+team+":\n        kustomization: {wait: true}\n        applications:\n          nosuch: {kustomization: {wait: true}}\n")
	}
	if _, err := Tree(file(team), &plan, prod); err != nil {
		t.Errorf("%v", err)
	}
	for _, slip := range []string{other, "nosuch"} {
		if _, err := Tree(file(slip), &plan, prod); err == nil {
			t.Errorf("a slip in what is said of %s is taken", slip)
		}
	}
}

// goldens are the plans that the tests of discover and migrate keep, by file.
func goldens(t *testing.T) map[string]migrate.Plan {
	t.Helper()
	out := map[string]migrate.Plan{}
	for _, of := range []string{"discover", "migrate"} {
		names, err := filepath.Glob(filepath.Join("..", of, "testdata", "plan", "*.yaml"))
		if err != nil || len(names) < 10 {
			t.Fatalf("%d goldens of %s: %v", len(names), of, err)
		}
		for _, name := range names {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var plan migrate.Plan
			if err := sigsyaml.Unmarshal(raw, &plan); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out[of+"/"+filepath.Base(name)] = plan
		}
	}
	return out
}

// What the agent builds of the tree is exactly what stands in it.
func TestTheTreeBuildsWhatItHolds(t *testing.T) {
	r, _ := fleet(t, 3)
	plans := goldens(t)
	plans["a fleet"] = r.Plan
	emitted, kinds := 0, map[string]bool{}
	for name, plan := range plans {
		t.Run(name, func(t *testing.T) {
			tree := treeOf(t, fstest.MapFS{}, &plan, prod)
			folders := map[string]string{"clusters/prod": "clusters/prod/agent"}
			for i := range plan.Repositories {
				folder := TeamFolder(&plan.Repositories[i], "prod")
				if got := len(held(t, tree, folder)) > 0; got != (plan.Incomplete(&plan.Repositories[i]) == "") {
					t.Errorf("%s is emitted: %t", folder, got)
				} else if got {
					folders[folder] = folder
					emitted++
				}
			}
			for folder, holds := range folders {
				want := held(t, tree, holds)
				if d := cmp.Diff(want, built(t, tree, folder)); d != "" {
					t.Errorf("%s does not build what stands in %s: %s", folder, holds, d)
				}
				for id := range want {
					_, _, gk, err := migrate.ParseObjectID(id)
					if err != nil {
						t.Error(err)
					}
					kinds[gk.Kind] = true
				}
			}
		})
	}
	if emitted < 60 || len(kinds) != 7 {
		t.Errorf("only %d repositories of %d plans were emitted, with %v", emitted, len(plans), kinds)
	}
}

// built are the objects that the agent builds of a folder, by id.
func built(t *testing.T, tree fs.FS, folder string) map[string]map[string]any {
	t.Helper()
	k := &kustomizev1.Kustomization{}
	k.Name, k.Namespace, k.Spec.Path = "x", "flux-system", "./"+folder
	objects, err := build.Objects(t.Context(), build.Input{Tree: tree, Kustomization: k})
	if err != nil {
		t.Fatalf("%s: %v", folder, err)
	}
	out := map[string]map[string]any{}
	for _, o := range objects {
		labels := o.GetLabels() // those of whoever applies it are not the tree's
		delete(labels, proof.LabelOwnerName)
		delete(labels, proof.LabelOwnerNamespace)
		o.SetLabels(labels)
		unstructured.RemoveNestedField(o.Object, "metadata", "creationTimestamp") // nor is an empty one
		out[migrate.ObjectID(o)] = o.Object
	}
	return out
}

// held are the objects that stand in the files of a folder, by id.
func held(t *testing.T, tree fstest.MapFS, folder string) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for p, f := range tree {
		if !strings.HasPrefix(p, folder+"/") {
			continue
		}
		objects, err := documents(f.Data)
		if err != nil {
			t.Fatal(err)
		}
		for id, o := range objects {
			if out[id] != nil {
				t.Errorf("%s stands twice in %s", id, folder)
			}
			out[id] = o.Object
		}
	}
	return out
}

const decided = "apiVersion: fluxover.dev/v1\nkind: Capacitor\n"

func withSettings(tree fstest.MapFS, text string) fstest.MapFS {
	out := fstest.MapFS{}
	for p, f := range tree {
		out[p] = f
	}
	out[CapacitorFile] = &fstest.MapFile{Data: []byte(decided + text)}
	return out
}

func TestOneLineIsASweepingChangeAndTheNarrowestHolds(t *testing.T) {
	r, _ := fleet(t, 3)
	tree := treeOf(t, fstest.MapFS{}, &r.Plan, prod)
	swept := withSettings(tree, "defaults: {kustomization: {interval: 30m}}\n")
	changes, err := Tree(swept, &r.Plan, prod)
	if err != nil {
		t.Fatal(err)
	}
	diff, err := TreeDiff(swept, changes)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for i := range r.Plan.Repositories {
		total += len(r.Plan.Repositories[i].Kustomizations)
	}
	if len(diff) != 1 || diff[0].What != "Kustomization .spec.interval: 5m0s -> 30m0s" || len(diff[0].Paths) != total {
		t.Errorf("one line changes %v, want all %d applications alike", diff, total)
	}
	var text strings.Builder
	if err := WriteTreeDiff(&text, diff, Style{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "5m0s -> 30m0s") || !strings.Contains(text.String(), fmt.Sprintf("%d files: ", total)) {
		t.Errorf("it is shown as\n%s", text.String())
	}

	narrowed := treeOf(t, withSettings(tree, `
defaults: {kustomization: {interval: 30m, timeout: 2m}, gitRepository: {interval: 3m}}
clusters:
  prod:
    kustomization: {timeout: 4m}
    teams:
      catalog:
        kustomization: {wait: true, prune: false}
        applications:
          catalog-web: {kustomization: {interval: 10m, wait: false}}
`), &r.Plan, prod)
	want := map[string]map[string]any{
		"clusters/prod/payments/payments-web.yaml": {"interval": "30m0s", "timeout": "4m0s", "prune": true},
		"clusters/prod/catalog/catalog-api.yaml":   {"interval": "30m0s", "timeout": "4m0s", "prune": false, "wait": true},
		"clusters/prod/catalog/catalog-web.yaml":   {"interval": "10m0s", "timeout": "4m0s", "prune": false, "wait": false},
		"clusters/prod/catalog/source.yaml":        {"interval": "3m0s"},
	}
	for p, fields := range want {
		if narrowed[p] == nil {
			t.Fatalf("there is no %s", p)
		}
		objects, err := documents(narrowed[p].Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range objects {
			for field, value := range fields {
				if got := u.Object["spec"].(map[string]any)[field]; got != value {
					t.Errorf("%s: %s is %v, want %v", p, field, got, value)
				}
			}
		}
	}
}

// Where Flux v1 collected no garbage, what comes after the plan has no protection of
// its own: who turns pruning on must not lose a namespace with all in it.
func TestNothingThatHoldsOthersIsPrunedWhereCapacitorYAMLTurnsPruningOn(t *testing.T) {
	inv := fleetInventory(t, 3)
	for i := range inv.Agents {
		inv.Agents[i].Sync.GarbageCollection = migrate.CollectOff
	}
	plan := migrate.Build(inv, migrate.Options{})
	const file = "clusters/prod/catalog/catalog-web.yaml"
	read := func(settings string) *kustomizev1.Kustomization {
		tree := treeOf(t, withSettings(fstest.MapFS{}, settings), &plan, prod)
		objects, err := documents(tree[file].Data)
		if err != nil || len(objects) != 1 {
			t.Fatalf("%v, %v", objects, err)
		}
		k := &kustomizev1.Kustomization{}
		for _, u := range objects {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, k); err != nil {
				t.Fatal(err)
			}
		}
		return k
	}
	if k := read(""); k.Spec.Prune || len(k.Spec.Patches) > 0 {
		t.Errorf("without a word it is %+v", k.Spec)
	}
	k := read("clusters: {prod: {teams: {catalog: {kustomization: {prune: true}}}}}\n")
	k.Spec.Path = "./app"
	files := fstest.MapFS{"app/all.yaml": {Data: []byte(`
{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {a: b}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: one, namespace: shop}, spec: {accessModes: [ReadWriteOnce]}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: two, namespace: shop}, spec: {accessModes: [ReadWriteOnce]}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: disk}, spec: {capacity: {storage: 1Gi}}}
---
{apiVersion: apiextensions.k8s.io/v1beta1, kind: CustomResourceDefinition, metadata: {name: things.example.com}, spec: {group: example.com}}
---
{apiVersion: v1, kind: Endpoints, metadata: {name: db, namespace: shop}}
---
{apiVersion: helm.fluxcd.io/v1, kind: HelmRelease, metadata: {name: web, namespace: shop}, spec: {releaseName: web}}
---
{apiVersion: flux.weave.works/v1beta1, kind: HelmRelease, metadata: {name: web, namespace: old}, spec: {releaseName: web}}
---
{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: web, namespace: new}, spec: {interval: 1m}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: web, namespace: shop}, data: {a: b}}
`)}}
	built, err := build.Objects(t.Context(), build.Input{Tree: files, Kustomization: k})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range built {
		annotations := u.GetAnnotations()
		kept := annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"
		delete(annotations, "kustomize.toolkit.fluxcd.io/prune")
		got = append(got, fmt.Sprintf("%s %s/%s %v %v", u.GetAPIVersion(), u.GetKind(), u.GetName(), annotations, kept))
	}
	slices.Sort(got)
	want := []string{
		"apiextensions.k8s.io/v1beta1 CustomResourceDefinition/things.example.com map[] true",
		"flux.weave.works/v1beta1 HelmRelease/web map[] true",
		"helm.fluxcd.io/v1 HelmRelease/web map[] true",
		"helm.toolkit.fluxcd.io/v2 HelmRelease/web map[] false",
		"v1 ConfigMap/web map[] false",
		"v1 Endpoints/db map[] true",
		"v1 Namespace/shop map[a:b] true",
		"v1 PersistentVolume/disk map[] true",
		"v1 PersistentVolumeClaim/one map[] true",
		"v1 PersistentVolumeClaim/two map[] true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("built is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	settings, err := ReadSettings([]byte(decided + "defaults: {kustomization: {prune: true}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	report := Report{Plan: plan, Inventory: inv, Capacitor: prod, Settings: settings}
	found := explained(t, report, "Kustomization/flux-system/catalog-web .spec.patches[0].patch")
	if all := strings.Join(found[0].From, "|"); !strings.Contains(all, "capacitor.yaml:3 defaults.kustomization.prune: it prunes where Flux v1 did not, and no Namespace must go") {
		t.Errorf("the first patch is explained by %q", all)
	}
}

func TestWhereDeletionIsTurnedOnItSaysWhatFollows(t *testing.T) {
	inv := fleetInventory(t, 4)
	for i := range inv.Agents {
		if i > 0 { // the first one's deletes already
			inv.Agents[i].Sync.GarbageCollection = migrate.CollectOff
		} else {
			inv.Agents[i].Sync.GarbageCollection = migrate.CollectOn
		}
	}
	const moves, holds = " deletes and makes anew a file that moves from one application to another, in ", "let each be Ready first"
	for name, c := range map[string]struct {
		engine, groupBy, settings string
		want                      []string // of each line: how it begins, and what it holds
		not                       string
	}{
		"nothing is said":              {"existing", "", "", nil, ""},
		"it is turned off":             {"existing", "", "defaults: {kustomization: {prune: false}}\n", nil, ""},
		"for all, stock Flux v2":       {"existing", "", "defaults: {kustomization: {prune: true}}\n", []string{"capacitor.yaml:3 defaults.kustomization.prune: ", holds, moves}, inv.Agents[0].ID},
		"for all, the bundled engine":  {"bundled", "", "defaults: {kustomization: {prune: true}}\n", []string{"capacitor.yaml:3 defaults.kustomization.prune: ", holds}, "moves"},
		"one Kustomization for a path": {"existing", "path", "defaults: {kustomization: {prune: true}}\n", []string{"capacitor.yaml:3 defaults.kustomization.prune: ", holds}, "moves"},
	} {
		plan := migrate.Build(inv, migrate.Options{Engine: c.engine, GroupBy: c.groupBy})
		settings, err := ReadSettings([]byte(decided + c.settings))
		if err != nil {
			t.Fatal(err)
		}
		got := settings.PruneTurnedOn(prod.Cluster, &plan)
		if len(got) != min(len(c.want), 1) {
			t.Errorf("%s: it says %q", name, got)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(got[0], want) {
				t.Errorf("%s: it does not say %q: %q", name, want, got[0])
			}
		}
		if c.not != "" && strings.Contains(got[0], c.not) {
			t.Errorf("%s: it says %q: %q", name, c.not, got[0])
		}
	}
	plan := migrate.Build(inv, migrate.Options{Engine: "existing"})
	last := &plan.Repositories[len(plan.Repositories)-1]
	app := last.Kustomizations[0].GetName()
	settings, err := ReadSettings([]byte(decided + "clusters: {prod: {teams: {" + TeamName(last) + ": {applications: {" + app + ": {kustomization: {prune: true}}}}}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := settings.PruneTurnedOn(prod.Cluster, &plan); len(got) != 1 || !strings.Contains(got[0], "applications."+app+".kustomization.prune: 1 Kustomization of "+last.ID+" will delete") {
		t.Errorf("for one application it says %q", got)
	}
}

// Each key at each level has an effect on exactly the files that it is about,
// or is an error with its line.
func TestEachSettingAtEachLevelReachesWhatItIsAboutAndNothingElse(t *testing.T) {
	r, _ := fleet(t, 3)
	tree := treeOf(t, fstest.MapFS{}, &r.Plan, prod)
	tree["clusters/test/agent/source.yaml"] = &fstest.MapFile{Data: []byte("# of another cluster\n")}
	keys := map[string]struct{ given, written string }{
		"gitRepository.interval": {"7m", "7m0s"}, "gitRepository.timeout": {"90m", "90m0s"},
		"kustomization.interval": {"7m", "7m0s"}, "kustomization.retryInterval": {"1.5h", "1h30m0s"}, "kustomization.timeout": {"7m", "7m0s"},
		"kustomization.prune": {"false", "false"}, "kustomization.wait": {"true", "true"},
		"kustomization.ignore": {"[{paths: [/spec/replicas], target: {kind: Deployment, name: web}}]", "- paths: - /spec/replicas target: kind: Deployment name: web"},
	}
	definitions := crds.Read(t, filepath.Join("..", "reconcile", "chart", "crds"))
	levels := map[string]struct {
		path string
		// below is the folder, or the file, in which all that is about is.
		below string
	}{
		"everywhere":                {"defaults", "clusters/prod/"},
		"a cluster":                 {"clusters.prod", "clusters/prod/"},
		"a team":                    {"clusters.prod.teams.payments", "clusters/prod/payments/"},
		"an application":            {"clusters.prod.teams.payments.applications.payments-web", "clusters/prod/payments/payments-web.yaml"},
		"another cluster":           {"clusters.test", ""},
		"a team of another cluster": {"clusters.test.teams.payments", ""},
	}
	tried := 0
	for level, at := range levels {
		for key, value := range keys {
			t.Run(level+" "+key, func(t *testing.T) {
				tried++
				var text strings.Builder
				indent := ""
				for _, name := range strings.Split(at.path+"."+key, ".") {
					text.WriteString(indent + name + ":\n")
					indent += "  "
				}
				settings := strings.TrimSuffix(text.String(), "\n") + " " + value.given + "\n"
				files := withSettings(tree, settings)
				changes, err := Tree(files, &r.Plan, prod)
				section, field, _ := strings.Cut(key, ".")
				if level == "an application" && section == "gitRepository" {
					if err == nil || !strings.Contains(err.Error(), `capacitor.yaml of the flux-capacitor: line 9: there is no setting "gitRepository" here`) {
						t.Errorf("want an error with its line, got %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				definitions.Check(t, treeOf(t, files, &r.Plan, prod))
				diff, err := TreeDiff(files, changes)
				if err != nil {
					t.Fatal(err)
				}
				var want []string
				for p := range tree {
					_, team, _ := strings.Cut(p, "clusters/prod/")
					isSource := strings.HasSuffix(p, "/source.yaml")
					if at.below != "" && strings.HasPrefix(p, at.below) && strings.Contains(team, "/") && !strings.HasPrefix(team, "agent/") &&
						!strings.HasSuffix(p, "/rbac.yaml") && isSource == (section == "gitRepository") {
						want = append(want, p)
					}
				}
				slices.Sort(want)
				if len(want) == 0 {
					if len(diff) > 0 || at.below != "" {
						t.Errorf("%s\nchanges %v", settings, diff)
					}
					return
				}
				kind := map[string]string{"gitRepository": "GitRepository", "kustomization": "Kustomization"}[section]
				if len(diff) != 1 || !strings.HasPrefix(diff[0].What, kind+" .spec."+field+": ") || !strings.HasSuffix(diff[0].What, " -> "+value.written) || !slices.Equal(diff[0].Paths, want) {
					t.Errorf("%s\nchanges %v\nwant %s .spec.%s to be %s in %q", settings, diff, kind, field, value.written, want)
				}
			})
		}
	}
	if tried != len(keys)*len(levels) {
		t.Errorf("%d settings were tried", tried)
	}
	// Whoever adds a key has to add it here.
	known := reflect.TypeFor[Override]()
	count := known.Field(0).Type.NumField() + known.Field(1).Type.NumField()
	if count != len(keys) {
		t.Errorf("%d keys are tried of %d", len(keys), count)
	}
	for key, file := range map[string]string{"source": "source.yaml", "sync": "sync.yaml"} {
		files := withSettings(tree, key+": {interval: 7m}\n")
		changes, err := Tree(files, &r.Plan, prod)
		if err != nil {
			t.Fatal(err)
		}
		diff, err := TreeDiff(files, changes)
		if err != nil || len(diff) != 1 || !strings.HasSuffix(diff[0].What, ".spec.interval: "+map[string]string{"source": "1m0s", "sync": "10m0s"}[key]+" -> 7m0s") || !slices.Contains(diff[0].Paths, AgentFile("prod", file)) {
			t.Errorf("%s.interval changes %v (%v)", key, diff, err)
		}
	}
}

func TestTheNarrowestRulesOfIgnoreHoldAlone(t *testing.T) {
	r, _ := fleet(t, 3)
	tree := treeOf(t, withSettings(fstest.MapFS{}, `
defaults: {kustomization: {ignore: [{paths: [/spec/replicas, /data]}]}}
clusters:
  prod:
    teams:
      catalog:
        kustomization:
          ignore:
          - paths: [/spec/x]
            target: {group: apps, version: v1, kind: Deployment, namespace: shop, name: web, labelSelector: a=b, annotationSelector: c=d}
          - paths: [/spec/y]
        applications:
          catalog-web: {kustomization: {ignore: []}}
`), &r.Plan, prod)
	for file, want := range map[string]any{
		"payments/payments-web.yaml": []any{map[string]any{"paths": []any{"/spec/replicas", "/data"}}},
		"catalog/catalog-api.yaml": []any{
			map[string]any{"paths": []any{"/spec/x"}, "target": map[string]any{
				"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": "web", "labelSelector": "a=b", "annotationSelector": "c=d",
			}},
			map[string]any{"paths": []any{"/spec/y"}},
		},
		"catalog/catalog-web.yaml": nil,
	} {
		objects, err := documents(tree["clusters/prod/"+file].Data)
		if err != nil || len(objects) != 1 {
			t.Fatalf("%s: %v, %v", file, objects, err)
		}
		for _, u := range objects {
			if got := u.Object["spec"].(map[string]any)["ignore"]; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, want %v", file, got, want)
			}
		}
	}
}

func TestASlipInTheSettingsIsAnErrorWithItsLine(t *testing.T) {
	r, _ := fleet(t, 2)
	for text, want := range map[string]string{
		"defaults: {kustomization: {intervall: 1m}}\n":      `line 3: there is no setting "intervall" here`,
		"defaults:\n  kustomization:\n    interval: soon\n": `line 5: "soon" is no duration`,
		"defaults: {kustomization: {prune: maybe}}\n":       "line 3",
		"cluster: {}\n":           `line 3: there is no setting "cluster" here`,
		"clusters:\n  pord: {}\n": `capacitor.yaml:4: there is no cluster "pord"; near it: prod`,
		"clusters:\n  prod:\n    teams:\n      paymets: {}\n":                                                                                `capacitor.yaml:6: there is no team "paymets"; near it: payments`,
		"clusters:\n  prod:\n    teams:\n      payments:\n        applications:\n          payments-wbe: {kustomization: {wait: true}}\n":    `capacitor.yaml:8: there is no application "payments-wbe"; near it: payments-web`,
		"clusters:\n  prod:\n    teams:\n      payments:\n        applications:\n          payments-web: {gitRepository: {interval: 30m}}\n": `line 8: there is no setting "gitRepository" here`,
		"clusters:\n  prod:\n    teams:\n      payments:\n        applications:\n          source: {kustomization: {wait: true}}\n":          `capacitor.yaml:8: there is no application "source"`,
		"clusters:\n  prod:\n    teams:\n      payments:\n        applications:\n          rbac: {kustomization: {wait: true}}\n":            `capacitor.yaml:8: there is no application "rbac"`,
		"---\nkind: Other\n": "more than one YAML document",
		"defaults:\n  kustomization:\n    ignore: [{paths: [spec.replicas]}]\n":                                                                                                `line 5: a rule of ignore needs paths such as /spec/replicas, got ["spec.replicas"]`,
		"clusters:\n  prod:\n    kustomization:\n      ignore: [{target: {kind: Deployment}}]\n":                                                                               `line 6: a rule of ignore needs paths`,
		"clusters:\n  prod:\n    teams:\n      payments:\n        kustomization:\n          ignore: [{}]\n":                                                                    `line 8: a rule of ignore needs paths`,
		"clusters:\n  prod:\n    teams:\n      payments:\n        applications:\n          payments-web:\n            kustomization:\n              ignore: [{paths: ['']}]\n": `line 10: a rule of ignore needs paths`,
		"defaults: {kustomization: {ignore: [{paths: [/spec/replicas], target: {kinds: Deployment}}]}}\n":                                                                      `there is no setting "kinds" here`,
		"defaults: {kustomization: {interval: 1m, interval: 2m}}\n":                                                                                                            "already defined",
	} {
		tree := withSettings(fstest.MapFS{}, text)
		changes, err := Tree(tree, &r.Plan, prod)
		if err == nil || !strings.Contains(err.Error(), want) || changes != nil {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if s, err := ReadSettings([]byte(FirstSettings)); err != nil || s.Source.Interval.String() != "1m0s" || s.Sync.Interval.String() != "10m0s" {
		t.Errorf("the first settings: %v, %+v", err, s)
	}
	// What is shown there as a comment is right as well.
	var uncommented strings.Builder
	for line := range strings.Lines(FirstSettings) {
		if after, ok := strings.CutPrefix(line, "# "); ok && (strings.HasPrefix(after, "defaults:") || strings.HasPrefix(after, " ") || strings.HasPrefix(after, "clusters:")) {
			line = after
		}
		uncommented.WriteString(line)
	}
	s, err := ReadSettings([]byte(uncommented.String()))
	if err != nil || len(s.Clusters) != 1 || s.Defaults.Kustomization.Prune == nil {
		t.Errorf("the example: %v, %+v", err, s)
	}
}

func TestWhatAPlanDoesNotHoldKeepsItsFiles(t *testing.T) {
	r, _ := fleet(t, 3)
	tree := treeOf(t, fstest.MapFS{}, &r.Plan, prod)
	less := r.Plan
	less.Repositories = slices.Clone(r.Plan.Repositories[:1])
	changes, err := Tree(tree, &less, prod)
	if err != nil {
		t.Fatal(err)
	}
	diff, err := TreeDiff(tree, changes)
	if err != nil || len(diff) > 0 {
		t.Errorf("%v (%v)", diff, err)
	}
	less.Repositories = nil // an empty plan is no order to remove anything
	if changes, err = Tree(tree, &less, prod); err != nil {
		t.Fatal(err)
	}
	if diff, err := TreeDiff(tree, changes); err != nil || len(diff) > 0 {
		t.Errorf("%v (%v)", diff, err)
	}
}

func TestAClusterTakesOverWhatWasWrittenBeforeItsIdentityWasKnown(t *testing.T) {
	r, _ := fleet(t, 1)
	offline := Capacitor{URL: "https://git.example.com/capacitor", Branch: "main", Cluster: "prod"}
	known, another := offline, offline
	known.Identity, another.Identity = "uid-1", "uid-2"
	tree := treeOf(t, fstest.MapFS{}, &r.Plan, offline)
	changes, err := Tree(tree, &r.Plan, known)
	if err != nil {
		t.Fatal(err)
	}
	if content := string(changes[AgentFile("prod", "source.yaml")]); !strings.Contains(content, "for cluster prod (uid-1).") {
		t.Errorf("the identity is not noted: %s", content)
	}
	tree = treeOf(t, fstest.MapFS{}, &r.Plan, known)
	for name, c := range map[string]Capacitor{"another cluster": another, "one that is not known": offline} {
		if _, err := Tree(tree, &r.Plan, c); err == nil || !strings.Contains(err.Error(), "was written for cluster prod (uid-1)") {
			t.Errorf("%s takes over the files: %v", name, err)
		}
	}
}
