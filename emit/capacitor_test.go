package emit

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxover/fluxover/e2e/crds"
	"github.com/fluxover/fluxover/migrate"
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
	for name, spoil := range map[string]func(*migrate.Flux1Agent){
		"an interval that is not known": func(a *migrate.Flux1Agent) { a.Unknown = []string{"sync.interval", "sync.garbageCollection"} },
		"rights that are not known":     func(a *migrate.Flux1Agent) { a.Unknown = []string{"confinement"} },
		"a URL that Flux v2 refuses":    func(a *migrate.Flux1Agent) { a.Git.URL = "file:///srv/git/shop" },
		"a URL with a variable":         func(a *migrate.Flux1Agent) { a.Git.URL = "ssh://git@git.example.com/$(TEAM)/deploy.git" },
		"a tree that was not read":      func(a *migrate.Flux1Agent) { a.Tree, a.Objects, a.Files = nil, nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			inv := fleetInventory(t, 2)
			good := migrate.Build(inv, migrate.Options{})
			spoil(&inv.Agents[0])
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

// What the agent builds of the tree is exactly what stands in it.
func TestTheTreeBuildsWhatItHolds(t *testing.T) {
	r, _ := fleet(t, 3)
	tree := treeOf(t, fstest.MapFS{}, &r.Plan, prod)
	built := func(folder string) []string {
		k := &kustomizev1.Kustomization{}
		k.Name, k.Namespace, k.Spec.Path = "x", "flux-system", "./"+folder
		objects, err := build.Objects(t.Context(), build.Input{Tree: tree, Kustomization: k})
		if err != nil {
			t.Fatalf("%s: %v", folder, err)
		}
		var ids []string
		for _, o := range objects {
			ids = append(ids, migrate.ObjectID(o))
		}
		slices.Sort(ids)
		return ids
	}
	held := func(under string) []string {
		var ids []string
		for p, f := range tree {
			if strings.HasPrefix(p, under+"/") {
				objects, err := documents(f.Data)
				if err != nil {
					t.Fatal(err)
				}
				for id := range objects {
					ids = append(ids, id)
				}
			}
		}
		slices.Sort(ids)
		return ids
	}
	if got, want := built("clusters/prod"), held("clusters/prod/agent"); !slices.Equal(got, want) || len(want) < 5+3*3 {
		t.Errorf("the cluster's folder builds %q, want %q", got, want)
	}
	for i := range r.Plan.Repositories {
		folder := TeamFolder(&r.Plan.Repositories[i], "prod")
		if got, want := built(folder), held(folder); !slices.Equal(got, want) || len(want) < 8 {
			t.Errorf("%s builds %q, want %q", folder, got, want)
		}
	}
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
		"defaults: {kustomization: {interval: 1m, interval: 2m}}\n": "already defined",
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
