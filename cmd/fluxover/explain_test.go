package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/e2e/answers"
	"github.com/fluxover/fluxover/e2e/crds"
	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
)

// The goldens are inventories of clusters, of Terraform configurations and of
// repositories, and hold settings that no other test makes up.
func TestEverySettingOfTheGoldensIsExplained(t *testing.T) {
	files, settings := 0, 0
	err := filepath.WalkDir(filepath.Join(moduleRoot, "discover/testdata"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".json" || strings.Contains(filepath.ToSlash(name), "/testdata/real/") {
			return err
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var golden struct {
			Kind   string
			Agents []struct {
				ID       string
				Settings []migrate.Setting
			}
		}
		if json.Unmarshal(raw, &golden) != nil || golden.Kind != "Inventory" {
			return nil
		}
		files++
		report := emit.Report{Codes: catalogue()}
		for _, a := range golden.Agents {
			report.Plan.Repositories = append(report.Plan.Repositories, migrate.Repository{ID: a.ID})
			report.Inventory.Agents = append(report.Inventory.Agents, migrate.Flux1Agent{ID: a.ID, Settings: a.Settings})
		}
		for _, a := range golden.Agents {
			for _, s := range a.Settings {
				settings++
				found := emit.Explain(report, a.ID+" "+s.Name)
				told := false
				for _, e := range found {
					told = told || e.Value == s.Value && len(e.From) > 0 && len(e.To) > 0 && e.Why != ""
				}
				if !told {
					t.Errorf("%s: %s %s = %q: %+v", name, a.ID, s.Name, s.Value, found)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 || settings < 200 {
		t.Errorf("only %d settings of %d goldens were looked at", settings, files)
	}
}

// withDefaults gives agents of which only the repository is known what fluxd has
// by default: without it, nothing of them would be emitted.
func withDefaults(inv migrate.Inventory) {
	for i := range inv.Agents {
		a := &inv.Agents[i]
		a.Git.PollInterval.Duration, a.Git.Timeout.Duration = 5*time.Minute, 20*time.Second
		a.Sync.Interval.Duration, a.Sync.Timeout.Duration, a.Sync.GarbageCollection = 5*time.Minute, time.Minute, migrate.CollectOff
		a.Confinement.Kind, a.ServiceAccount, a.Unknown = "cluster-admin", "flux", nil
	}
}

// explaining asks for explanations of what a report is of.
func explaining(r emit.Report) answers.Ask {
	explain := emit.Explainer(r)
	return func(subject string) any { return explain(subject) }
}

// What is emitted of public repositories holds what no other test makes up:
// patches, ignored files, roles; and each line must have an answer.
func TestEveryLineThatIsEmittedOfPublicRepositoriesIsExplained(t *testing.T) {
	lines := 0
	for dir, paths := range map[string][]string{
		"equinor__sdp-flux":                       {"prod"},
		"fluxcd__flux-get-started":                nil,
		"fluxcd__flux-kustomize-example":          {"staging"},
		"fluxcd__multi-tenancy":                   {"cluster"},
		"fluxcd__multi-tenancy-team1":             nil,
		"stefanprodan__gitops-istio/before-flux1": nil,
		"fluxcd__helm-operator-get-started":       nil,
		"weaveworks__eks-quickstart-app-dev":      nil,
	} {
		inv, err := discover.Checkout(t.Context(), discover.CheckoutOptions{
			Dir: filepath.Join(moduleRoot, "discover/testdata/real", filepath.FromSlash(dir)), URL: "git@github.com:org/" + filepath.Base(dir), Branch: "master", Paths: paths, DefaultNamespace: "flux",
		})
		if err != nil {
			t.Fatal(err)
		}
		withDefaults(inv)
		res, err := proof.Prove(t.Context(), inv, migrate.Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := emit.Capacitor{URL: "https://git.example.com/flux-capacitor", Branch: "main", Cluster: "prod"}
		tree, err := emit.Tree(fstest.MapFS{}, &res.Plan, c)
		if err != nil {
			t.Fatal(err)
		}
		if crds.Read(t, filepath.Join(moduleRoot, "reconcile/chart/crds")).Check(t, answers.Tree(tree)) == 0 {
			t.Errorf("%s: nothing was emitted", dir)
		}
		report := emit.Report{Plan: res.Plan, Inventory: inv, Capacitor: c, Codes: catalogue()}
		lines += explaining(report).Lines(t, answers.Tree(tree))
		explaining(report).Settings(t, inv)
	}
	if lines < 500 {
		t.Errorf("only %d lines were looked at", lines)
	}
}

// Of spec.ignore each pattern has a reason of its own.
func TestEachPatternThatIsIgnoredIsExplained(t *testing.T) {
	manifest := func(name string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: shop}\n")}
	}
	inv, err := discover.Checkout(t.Context(), discover.CheckoutOptions{
		FS: fstest.MapFS{
			"app/a.yaml": manifest("a"), "app/values[1].yaml": {Data: []byte("no: kind\n")}, "app/kustomization.yaml": {Data: []byte("resources: [a.yaml]\n")},
			"app/cloudbuild.yaml": manifest("taken"), "app/chart/Chart.yaml": {Data: []byte("name: c\n")}, "app/chart/values.yaml": {Data: []byte("a: b\n")}, "loose.yaml": manifest("loose"),
		},
		ID: "flux/shop", URL: "https://git.example.com/shop", Branch: "main", DefaultNamespace: "shop",
	})
	if err != nil {
		t.Fatal(err)
	}
	withDefaults(inv)
	plan := migrate.Build(inv, migrate.Options{})
	c := emit.Capacitor{Branch: "main", Cluster: "prod"}
	tree, err := emit.Tree(fstest.MapFS{}, &plan, c)
	if err != nil {
		t.Fatal(err)
	}
	report := emit.Report{Plan: plan, Inventory: inv, Capacitor: c}
	name := emit.TeamFolder(&plan.Repositories[0], "prod") + "/source.yaml"
	want := map[string]string{
		"/app/chart/": "Helm chart", "/app/kustomization.yaml": "does not honour", `/app/values\[1].yaml`: "no document in it has a kind",
		"!/app/cloudbuild.yaml": "takes it back", "/app/": "alone (files beside application folders), and leaves out all else", "*.jpg": "said again", ".github/": "said again",
	}
	for i, text := range strings.Split(string(tree[name]), "\n") {
		pattern := strings.TrimSpace(text)
		says, asked := want[pattern]
		if !asked {
			continue
		}
		found := emit.Explain(report, fmt.Sprintf("%s:%d", name, i+1))
		if len(found) != 1 || !strings.Contains(found[0].Why, says) || found[0].Value != pattern {
			t.Errorf("%s: %+v, want %q", pattern, found, says)
		}
		delete(want, pattern)
	}
	if len(want) > 0 {
		t.Errorf("%v are not in\n%s", want, tree[name])
	}
}
