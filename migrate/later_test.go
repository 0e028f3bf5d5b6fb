package migrate_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
)

// A commit that comes after the hand-over is built by the plan of before, and a
// finding says so where it has no effect, though fluxd would apply it.
func TestWhatALaterCommitAddsIsAppliedOrAFindingSaysThatItIsNot(t *testing.T) {
	shop, api := configMap("shop", "one"), configMap("api", "one")
	const unserved = "apiVersion: monitoring.example.com/v1\nkind: Monitor\nmetadata: {name: m, namespace: one}\n"
	for name, c := range map[string]struct {
		files   map[string]string
		paths   []string
		groupBy string
		// added is the file that holds ConfigMap one/new in the later commit.
		added string
		// code of the finding that says that it is not applied; empty if it is.
		code, where string
	}{
		"a folder beside others":             {map[string]string{"p/shop/a.yaml": shop, "p/api/a.yaml": api}, []string{"p"}, "", "p/pay/a.yaml", "NEW_FOLDER_NOT_APPLIED", "p"},
		"a file where there is none":         {map[string]string{"p/shop/a.yaml": shop, "p/api/a.yaml": api}, []string{"p"}, "", "p/a.yaml", "NEW_FOLDER_NOT_APPLIED", "p"},
		"a folder beside the only one":       {map[string]string{"p/shop/a.yaml": shop}, []string{"p"}, "", "p/pay/a.yaml", "NEW_FOLDER_NOT_APPLIED", "p"},
		"a folder of the whole repository":   {map[string]string{"shop/a.yaml": shop}, nil, "", "pay/a.yaml", "NEW_FOLDER_NOT_APPLIED", "."},
		"a folder of one of two paths":       {map[string]string{"p/a.yaml": shop, "q/api/a.yaml": api}, []string{"p", "q"}, "", "q/pay/a.yaml", "NEW_FOLDER_NOT_APPLIED", "q"},
		"a folder beside others and files":   {map[string]string{"p/shop/a.yaml": shop, "p/a.yaml": api}, []string{"p"}, "", "p/pay/a.yaml", "", ""},
		"a folder of a path without folders": {map[string]string{"p/a.yaml": api}, []string{"p"}, "", "p/pay/a.yaml", "", ""},
		"a file whose kind was not served":   {map[string]string{"p/a.yaml": api, "p/monitor.yaml": unserved}, []string{"p"}, "", "p/monitor.yaml", "FILE_LEFT_OUT", "p/monitor.yaml"},
		"a file of a path that holds none":   {map[string]string{"p/a.yaml": api, "q/.gitkeep": ""}, []string{"p", "q"}, "", "q/a.yaml", "NEW_FOLDER_NOT_APPLIED", "q"},
		"a file of a path beside a file":     {map[string]string{"p/a.yaml": api, "p/q/.gitkeep": ""}, []string{"p/a.yaml", "p/q"}, "", "p/q/a.yaml", "NEW_FOLDER_NOT_APPLIED", "p/q"},
		"a folder beside a chart":            {map[string]string{"p/a.yaml": api, "q/c/Chart.yaml": "name: c", "q/c/values.yaml": "{}"}, []string{"p", "q"}, "", "q/a.yaml", "NEW_FOLDER_NOT_APPLIED", "q"},
		"a folder of an empty path in one":   {map[string]string{"p/a.yaml": api, "p/q/.gitkeep": ""}, []string{"p", "p/q"}, "", "p/q/pay/a.yaml", "", ""},
		"a folder of an empty path in two":   {map[string]string{"p/shop/a.yaml": api, "p/q/.gitkeep": ""}, []string{"p", "p/q"}, "", "p/q/pay/a.yaml", "NEW_FOLDER_NOT_APPLIED", "p"},
		"a folder of a path that is whole":   {map[string]string{"p/shop/a.yaml": shop, "p/api/a.yaml": api}, []string{"p"}, "path", "p/pay/a.yaml", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := agentReading(t, "flux/flux-team", c.files, c.paths, nil, false)
			p := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, migrate.Options{GroupBy: c.groupBy})
			later := maps.Clone(c.files)
			later[c.added] = configMap("new", "one")
			after := agentReading(t, "flux/flux-team", later, c.paths, nil, false)
			if !slices.ContainsFunc(after.Objects, func(o migrate.Object) bool { return o.ID == "one_new__ConfigMap" && o.Class == migrate.ClassApplied }) {
				t.Fatal("fluxd would not apply it either")
			}
			owners := builds(t, &p, &after)
			if applied := len(owners["one_new__ConfigMap"]) == 1; applied != (c.code == "") {
				t.Errorf("it is applied: %t, by %q", applied, owners["one_new__ConfigMap"])
			}
			var told []string
			for _, f := range p.Findings {
				if f.Severity == migrate.Warning {
					told = append(told, f.Code+" "+f.Where)
				}
			}
			var want []string
			if c.code != "" {
				want = []string{c.code + " " + c.where}
			}
			if !slices.Equal(told, want) {
				t.Errorf("the warnings are %q, want %q", told, want)
			}
		})
	}
}

func TestAFileThatMovesIsOnlyInDangerWithAnEngineThatDoesNotLook(t *testing.T) {
	two := map[string]string{"p/shop/a.yaml": configMap("shop", "one"), "p/api/a.yaml": configMap("api", "one")}
	one := map[string]string{"p/shop/a.yaml": configMap("shop", "one")}
	for name, c := range map[string]struct {
		files           map[string]string
		engine, groupBy string
		collection      migrate.GarbageCollection
		want            bool
	}{
		"two applications, stock Flux v2":    {two, "existing", "", migrate.CollectOn, true},
		"one application":                    {one, "existing", "", migrate.CollectOn, false},
		"one Kustomization of the path":      {two, "existing", "path", migrate.CollectOn, false},
		"nothing is deleted":                 {two, "existing", "", migrate.CollectOff, false},
		"nothing is deleted but noted":       {two, "existing", "", migrate.CollectDry, false},
		"the bundled agent":                  {two, "", "", migrate.CollectOn, false},
		"the bundled agent, by its own name": {two, "bundled", "", migrate.CollectOn, false},
	} {
		a := agentReading(t, "flux/flux-team", c.files, []string{"p"}, nil, false)
		a.Sync.GarbageCollection = c.collection
		p := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, migrate.Options{Engine: c.engine, GroupBy: c.groupBy})
		if got := slices.ContainsFunc(p.Findings, func(f migrate.Finding) bool { return f.Code == "MOVED_FILE_DELETED" }); got != c.want {
			t.Errorf("%s: found %t", name, got)
		}
	}
}

func TestThatAFileMovedToANewFolderIsDeletedIsSaidWhereAnythingIs(t *testing.T) {
	for collection, want := range map[migrate.GarbageCollection]bool{migrate.CollectOn: true, migrate.CollectOff: false, migrate.CollectDry: false} {
		a := agentReading(t, "flux/flux-team", map[string]string{"p/shop/a.yaml": configMap("shop", "one")}, []string{"p"}, nil, false)
		a.Sync.GarbageCollection = collection
		p := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, migrate.Options{})
		i := slices.IndexFunc(p.Findings, func(f migrate.Finding) bool { return f.Code == "NEW_FOLDER_NOT_APPLIED" })
		if i < 0 {
			t.Fatalf("collection is %s: the findings are %+v", collection, p.Findings)
		}
		if got := strings.Contains(p.Findings[i].Message, "moves there from one of them is deleted"); got != want {
			t.Errorf("collection is %s: it says %q", collection, p.Findings[i].Message)
		}
	}
}

// Deletion goes by what stands on the live object: what must stay bears its mark
// before anybody turns prune on, since the next commit may take it out of Git.
func TestWhatHoldsOthersIsMarkedAlsoWhereNothingIsDeletedYet(t *testing.T) {
	const namespace = "_shop__Namespace"
	files := map[string]string{"p/shop/a.yaml": configMap("shop", "one"), "p/shop/ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"}
	for _, collection := range []migrate.GarbageCollection{migrate.CollectOn, migrate.CollectOff, migrate.CollectDry} {
		a := agentReading(t, "flux/flux-team", files, []string{"p"}, nil, false)
		a.Sync.GarbageCollection = collection
		p := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, migrate.Options{})
		var added []string
		for _, x := range p.Repositories[0].Adds {
			added = append(added, x.Object+" "+x.Key+": "+x.Value)
		}
		if want := []string{namespace + " kustomize.toolkit.fluxcd.io/prune: disabled"}; !slices.Equal(added, want) {
			t.Errorf("collection %s: the plan adds %q, want %q", collection, added, want)
		}
		for _, k := range p.Repositories[0].Kustomizations {
			if prune, _, _ := unstructured.NestedBool(k.Object, "spec", "prune"); prune != (collection == migrate.CollectOn) {
				t.Errorf("collection %s: prune %t", collection, prune)
			}
			objects, err := proof.Render(t.Context(), &a, &p, k)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objects {
				if marked := o.GetAnnotations()["kustomize.toolkit.fluxcd.io/prune"] == "disabled"; marked != (o.GetKind() == "Namespace") {
					t.Errorf("collection %s: %s is marked: %t", collection, o.GetName(), marked)
				}
			}
		}
	}
}

func TestFilesThatAreLeftOutByNameAreNamed(t *testing.T) {
	const unserved = "apiVersion: monitoring.example.com/v1\nkind: Monitor\nmetadata: {name: m, namespace: one}\n"
	a := agentReading(t, "flux/flux-team", map[string]string{
		"p/a.yaml": configMap("a", "one"), "p/both.yaml": unserved + "---\n" + configMap("b", "one"), "p/m.yaml": strings.Replace(unserved, "name: m", "name: n", 1),
		"p/bank.yaml": configMap("c", "bank"), "p/values.yaml": "a: 1\n", "p/kustomization.yaml": "resources: []\n",
		"p/1.yaml": "a: 1\n", "p/2.yaml": "a: 1\n", "p/3.yaml": "a: 1\n",
	}, []string{"p"}, []string{"one"}, false)
	p := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, migrate.Options{})
	got := map[string]string{}
	for _, f := range p.Findings {
		if f.Code == "FILE_LEFT_OUT" {
			got[f.Where] = string(f.Severity) + " " + f.Message
		}
	}
	for where, want := range map[string]string{
		"p/m.yaml":    "warning fluxd applies nothing of this file, since the cluster does not serve",
		"p/bank.yaml": "warning fluxd applies nothing of this file, since it holds no object that the agent may act on",
		"p/1.yaml, p/2.yaml, p/3.yaml and 1 more": "info no document of these files has a kind",
	} {
		if !strings.HasPrefix(got[where], want) {
			t.Errorf("%s: %q", where, got[where])
		}
		delete(got, where)
	}
	if len(got) > 0 {
		t.Errorf("also named: %q", got)
	}
}

func TestIgnoreAnnotationsOfFluxV1AreSaidToMeanNothingLater(t *testing.T) {
	ignored := func(value string) string {
		return strings.Replace(configMap("b", "one"), "}\ndata", ", annotations: {fluxcd.io/ignore: "+value+"}}\ndata", 1)
	}
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"an object that is ignored":  {ignored("'true'"), true},
		"one that is never deleted":  {ignored("sync_only"), true},
		"an annotation that says no": {ignored("'false'"), false},
		"none":                       {configMap("b", "one"), false},
	} {
		a := agentReading(t, "flux/flux-team", map[string]string{"a.yaml": configMap("a", "one"), "b.yaml": c.text}, nil, nil, false)
		p := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, migrate.Options{})
		got := slices.ContainsFunc(p.Findings, func(f migrate.Finding) bool {
			return f.Code == "IGNORE_ANNOTATIONS" && f.Where == "b.yaml:1" && strings.Contains(f.Message, " on 1 object,")
		})
		if got != c.want {
			t.Errorf("%s: found %t", name, got)
		}
		later := agentReading(t, "flux/flux-team", map[string]string{"a.yaml": configMap("a", "one"), "b.yaml": c.text, "c.yaml": strings.Replace(ignored("'true'"), "name: b", "name: c", 1)}, nil, nil, false)
		for _, k := range p.Repositories[0].Kustomizations {
			objects, err := proof.Render(t.Context(), &later, &p, k)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objects {
				if o.GetName() == "c" && o.GetAnnotations()["kustomize.toolkit.fluxcd.io/reconcile"] != "" {
					t.Error("a later one is heeded, so that there is nothing to warn of")
				}
			}
		}
	}
}

func TestPoliciesThatNoFenceReachesAreSaid(t *testing.T) {
	const binding = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: b}\nspec: {policyName: p}\n"
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"a binding":              {binding, true},
		"one that fluxd ignores": {strings.Replace(binding, "{name: b}", "{name: b, annotations: {fluxcd.io/ignore: 'true'}}", 1), false},
		"a webhook's":            {"apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: b}\n", false},
		"of another group":       {strings.Replace(binding, "admissionregistration.k8s.io", "example.com", 1), false},
	} {
		a := agentReading(t, "flux/flux-team", map[string]string{"a.yaml": configMap("a", "one"), "b.yaml": c.text}, nil, nil, false)
		p := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, migrate.Options{})
		if got := slices.ContainsFunc(p.Findings, func(f migrate.Finding) bool {
			return f.Code == "FENCE_DOES_NOT_REACH" && f.Where == "b.yaml:1" && strings.Contains(f.Message, "holds 1 admission policy object:")
		}); got != c.want {
			t.Errorf("%s: found %t", name, got)
		}
	}
}

// The patch of a plan sets its own annotation alone, whatever others later commits
// add or take away.
func TestAMarkThatAPlanAddsLeavesTheAnnotationsOfLaterCommits(t *testing.T) {
	plain := "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
	noted := strings.Replace(plain, "{name: shop}", "{name: shop, annotations: {linkerd.io/inject: enabled}}", 1)
	for name, c := range map[string]struct {
		now, later string
		want       map[string]string
	}{
		"one that comes": {plain, noted, map[string]string{"linkerd.io/inject": "enabled", "kustomize.toolkit.fluxcd.io/prune": "disabled"}},
		"one that goes":  {noted, plain, map[string]string{"kustomize.toolkit.fluxcd.io/prune": "disabled"}},
	} {
		a := agentReading(t, "flux/flux-team", map[string]string{"a.yaml": configMap("a", "one"), "n.yaml": c.now}, nil, nil, false)
		p := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, migrate.Options{})
		later := agentReading(t, "flux/flux-team", map[string]string{"a.yaml": configMap("a", "one"), "n.yaml": c.later}, nil, nil, false)
		found := false
		for _, k := range p.Repositories[0].Kustomizations {
			objects, err := proof.Render(t.Context(), &later, &p, k)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objects {
				if o.GetKind() == "Namespace" {
					found = true
					if got := o.GetAnnotations(); !maps.Equal(got, c.want) {
						t.Errorf("%s: %v", name, got)
					}
				}
			}
		}
		if !found {
			t.Errorf("%s: the Namespace is not built", name)
		}
	}
}
