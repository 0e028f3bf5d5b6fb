package differential

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
)

// TestEachWayToBeWrongIsSeen shows the comparison what it must not let pass.
func TestEachWayToBeWrongIsSeen(t *testing.T) {
	const id = "c000-a_web_apps_Deployment"
	object := func(image string, labels map[string]any) map[string]any {
		return map[string]any{"metadata": map[string]any{"name": "web", "labels": labels},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "web", "image": image}}}}}}
	}
	plain, image := object("web:1", map[string]any{"app": "web"}), object("web:2", map[string]any{"app": "web"})
	marked := object("web:1", map[string]any{"app": "web", "kustomize.toolkit.fluxcd.io/name": "k", "fluxcd.io/sync-gc-mark": "x"})
	noted := func(who string) map[string]any {
		o := object("web:1", map[string]any{"app": "web"})
		o["metadata"].(map[string]any)["annotations"] = map[string]any{noteKey: who}
		return o
	}
	old, now := noted("system:serviceaccount:flux:flux-c000"), noted("system:serviceaccount:"+agentNamespace+":c000")
	imageField := []string{".spec.template.spec.containers[0].image"}
	const awaited, opaque = "not proven: what it needs (its namespace or kind) is itself made first", "not proven: Kustomization k could not be built"
	for name, c := range map[string]struct {
		object        *planned
		before, after map[string]any
		state         string // why the Kustomization fails
		wrong         string // empty if the plan is right
	}{
		"adopted, marks only":              {&planned{Verb: "adopt"}, plain, marked, "", ""},
		"adopted, and another image":       {&planned{Verb: "adopt"}, plain, image, "", "changes: [.spec.template.spec.containers.image]"},
		"deleted by force, as foretold":    {&planned{Verb: "conflict", Why: "it would be deleted and made anew"}, plain, nil, "ReconciliationFailed", ""},
		"refused, and gone":                {&planned{Verb: "conflict", Why: "the dry-run was refused"}, plain, nil, "ReconciliationFailed", "is gone"},
		"owned by nobody that is there":    {&planned{Verb: "conflict", Why: "Kustomization elsewhere/other owns it"}, plain, marked, "", "no other Kustomization is there"},
		"refused, and applied":             {&planned{Verb: "conflict", Why: "the dry-run was refused"}, plain, image, "ReconciliationFailed", "changes: [.spec.template"},
		"refused, as foretold":             {&planned{Verb: "conflict", Why: "the dry-run was refused"}, plain, plain, "ReconciliationFailed", ""},
		"adopted, and gone":                {&planned{Verb: "adopt"}, plain, nil, "", "is gone"},
		"adopted, and noted anew":          {&planned{Verb: "adopt"}, old, now, "", ""},
		"a person's note that goes":        {&planned{Verb: "adopt"}, noted("admin"), now, "", "changes: [.metadata.annotations.admitted-by]"},
		"a note of somebody else":          {&planned{Verb: "adopt"}, old, noted("admin"), "", "changes: [.metadata.annotations.admitted-by]"},
		"restarted as foretold":            {&planned{Verb: "restart", Fields: imageField}, plain, image, "", ""},
		"a restart called a change":        {&planned{Verb: "change", Fields: imageField}, plain, image, "", "its pods are replaced"},
		"another field than foretold":      {&planned{Verb: "restart", Fields: []string{".spec.replicas"}}, plain, image, "", "also changes"},
		"a field that does not change":     {&planned{Verb: "restart", Fields: append([]string{".spec.replicas"}, imageField...)}, plain, image, "", "does not change in .spec.replicas"},
		"the same under a failed one":      {&planned{Verb: "restart", Fields: append([]string{".spec.replicas"}, imageField...)}, plain, image, "ReconciliationFailed", ""},
		"skipped, and touched":             {&planned{Verb: "skip"}, plain, marked, "", "was changed"},
		"stale, and touched":               {&planned{Verb: "stale"}, plain, marked, "", "was changed"},
		"made as foretold":                 {&planned{Verb: "create"}, nil, plain, "", ""},
		"made, and said to be there":       {&planned{Verb: "adopt"}, nil, plain, "", "was made"},
		"not made":                         {&planned{Verb: "create"}, plain, plain, "", "was not made"},
		"a verb that is no verb":           {&planned{Verb: "adapt"}, plain, plain, "", "no such verb"},
		"changed, and not in the plan":     {nil, plain, image, "", "is not in the plan, and was changed"},
		"made, and not in the plan":        {nil, nil, plain, "", "is not in the plan, and was added"},
		"assumed, and not made":            {&planned{Verb: "create", Why: awaited}, nil, nil, "", "was not made"},
		"assumed, and made":                {&planned{Verb: "create", Why: awaited}, nil, plain, "", ""},
		"assumed, and its owner fails":     {&planned{Verb: "create", Why: awaited}, nil, nil, "ReconciliationFailed", ""},
		"assumed, and it does not build":   {&planned{Verb: "adopt", Why: opaque}, plain, plain, "BuildFailed", ""},
		"not built, and touched":           {&planned{Verb: "adopt", Why: opaque}, plain, marked, "BuildFailed", "was changed"},
		"assumed for some reason":          {&planned{Verb: "adopt", Why: "not proven: x"}, plain, plain, "", "no reason for which a verb may be assumed"},
		"changed below a map that is told": {&planned{Verb: "restart", Fields: []string{".spec.template"}}, plain, image, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			one := &played{prefix: "c000", team: fleet.Team{Release: "flux-c000"}}
			before, after := auditor.Dump{}, auditor.Dump{}
			if c.before != nil {
				before[id] = c.before
			}
			if c.after != nil {
				after[id] = c.after
			}
			all := comparison{w: &world{cases: []*played{one}}, before: before, after: after, states: map[string]string{"k": c.state},
				moved: map[string]auditor.Difference{}, wrong: map[*played][]string{}, sum: tally{verbs: map[string]int{}, unproven: map[string]int{}}}
			for _, d := range auditor.Diff(before, after) {
				all.moved[d.ID] = d
			}
			r := repository{ID: one.id()}
			if c.object != nil {
				o := *c.object
				o.ID, o.Application = id, "k"
				r.Objects = []planned{o}
			}
			all.objects(one, &r)
			got := strings.Join(all.wrong[one], "; ")
			if (got == "") != (c.wrong == "") || !strings.Contains(got, c.wrong) {
				t.Errorf("it says %q, want %q", got, c.wrong)
			}
		})
	}
}

// TestAFailureThatNoFindingMeansIsSeen shows the comparison Kustomizations that fail for
// another reason than a finding gives.
func TestAFailureThatNoFindingMeansIsSeen(t *testing.T) {
	const web, role, definition = "c000-a_web_apps_Deployment", "_c000__reader_rbac.authorization.k8s.io_ClusterRole", "_firsts.c000.example.com_apiextensions.k8s.io_CustomResourceDefinition"
	const refusal = "ReconciliationFailed: Deployment/c000-a/web dry-run failed (Invalid): spec.selector: field is immutable"
	of := func(code, subject string) finding {
		return finding{Severity: "blocker", Code: code, Subject: "flux/flux-c000 " + subject}
	}
	for name, c := range map[string]struct {
		state string
		found finding
		told  bool
	}{
		"refused as foretold":                  {refusal, of("DRY_RUN_REFUSED", web), true},
		"refused, and another was to be":       {refusal, of("DRY_RUN_REFUSED", role), false},
		"one of a longer name is refused":      {strings.ReplaceAll(refusal, "/web ", "/web-front "), of("DRY_RUN_REFUSED", web), false},
		"refused, and it was not to build":     {refusal, of("BUILD_FAILED", "Kustomization/k"), false},
		"it does not build":                    {"BuildFailed: no such file", of("BUILD_FAILED", "Kustomization/k"), true},
		"another does not build":               {"BuildFailed: no such file", of("BUILD_FAILED", "Kustomization/l"), false},
		"it does not build, and one refused":   {"BuildFailed: no such file", of("DRY_RUN_REFUSED", web), false},
		"a finding that says no such thing":    {refusal, of("OBJECT_CHANGES", web), false},
		"one that is only warned of":           {refusal, finding{Severity: "warning", Code: "DRY_RUN_REFUSED", Subject: "flux/flux-c000 " + web}, false},
		"a colon in a name":                    {"ReconciliationFailed: ClusterRole/c000:reader dry-run failed (Forbidden): no", of("DRY_RUN_REFUSED", role), true},
		"a definition that is waited for":      {"ReconciliationFailed: timeout waiting for: [CustomResourceDefinition/firsts.c000.example.com status: 'InProgress']", of("DEFINITION_AWAITED", definition), true},
		"another definition is waited for":     {"ReconciliationFailed: timeout waiting for: [CustomResourceDefinition/others.c000.example.com status: 'InProgress']", of("DEFINITION_AWAITED", definition), false},
		"time runs out while it is waited for": {"ReconciliationFailed: client rate limiter Wait returned an error: rate: Wait(n=1) would exceed context deadline", of("DEFINITION_AWAITED", definition), true},
		"time runs out over a refused one":     {"ReconciliationFailed: context deadline exceeded", of("DRY_RUN_REFUSED", web), false},
		"an unknown kind of another object":    {`ReconciliationFailed: AllowList/c000-a/a dry-run failed: no matches for kind "AllowList"`, of("UNKNOWN_KIND", web), false},
		"another builds nothing":               {refusal, of("EMPTY_BUILD", "Kustomization/l"), false},
		"refused, and another's, too":          {refusal, of("OBJECT_IN_TWO_REPOSITORIES", web), true},
		"an exported one that is not tried":    {"ReconciliationFailed: Deployment/c000-a/web dry-run failed (BadRequest): metadata.managedFields must be nil", finding{Severity: "warning", Code: exported, Subject: "flux/flux-c000 " + web}, true},
		"it waits for one that fails":          {"DependencyNotReady: l", of("OBJECT_CHANGES", web), true},
	} {
		t.Run(name, func(t *testing.T) {
			one := &played{prefix: "c000", team: fleet.Team{Release: "flux-c000"}}
			c.found.Repository = one.id()
			r := repository{ID: one.id(), Objects: []planned{{ID: web, Application: "k"}, {ID: role, Application: "k"}, {ID: definition, Application: "k"}}}
			k := unstructured.Unstructured{Object: map[string]any{}}
			k.SetName("k")
			r.Kustomizations = []unstructured.Unstructured{k}
			all := comparison{w: &world{cases: []*played{one}}, plan: &plan{Findings: []finding{c.found}, Repositories: []repository{r}}, states: map[string]string{"k": c.state},
				early: map[string]bool{}, wrong: map[*played][]string{}}
			all.kustomizations(one, &r)
			if got := all.wrong[one]; (len(got) == 0) != c.told {
				t.Errorf("told: %v; it says %q", c.told, got)
			}
		})
	}
}

func TestAProofThatShrugsIsSeen(t *testing.T) {
	for _, objects := range []int{50, 1000} {
		for _, a := range assumptions {
			most := atMost(objects, a.percent)
			for n, want := range map[int]int{0: 0, most: 0, most + 1: 1, objects: 1} {
				sum := tally{objects: objects, unproven: map[string]int{a.words: n}}
				if got := sum.shrugs(); len(got) != want {
					t.Errorf("%d of %d are %q: it says %q", n, objects, a.words, got)
				}
			}
		}
		most := atMost(objects, unseenPercent)
		for n, want := range map[int]int{0: 0, most: 0, most + 1: 1} {
			sum := tally{objects: objects, unseen: n}
			if got := sum.shrugs(); len(got) != want {
				t.Errorf("%d of %d are not seen: it says %q", n, objects, got)
			}
		}
	}
	// A short series has not much more to itself than its share.
	if most := atMost(50, 10); most < 5 || most > 12 {
		t.Errorf("of 50 objects %d may be not proven", most)
	}
}

// TestAnObjectOfTwoRepositoriesHoldsBothBack shows the comparison two agents
// that claim one object.
func TestAnObjectOfTwoRepositoriesHoldsBothBack(t *testing.T) {
	const id, own = "c000-a_both__ConfigMap", "c000-a_own__ConfigMap"
	first := &played{prefix: "c000", team: fleet.Team{Release: "flux-c000"}}
	twin := &played{prefix: "c000", team: fleet.Team{Release: "flux-c000-twin"}, of: first}
	before := auditor.Dump{id: {"metadata": map[string]any{"name": "both"}, "data": map[string]any{"a": "b"}}}
	changed := auditor.Dump{id: {"metadata": map[string]any{"name": "both"}, "data": map[string]any{"a": "c"}}, own: {"metadata": map[string]any{"name": "own"}}}
	blocker := finding{Severity: "blocker", Code: "OBJECT_IN_TWO_REPOSITORIES", Subject: first.id() + " " + id, Repository: first.id()}
	note, another, otherwise := blocker, blocker, blocker
	note.Severity, another.Subject, otherwise.Code = "warning", first.id()+" "+own, "OBJECT_CHANGES"
	for name, c := range map[string]struct {
		after    auditor.Dump
		findings []finding
		wrong    string
	}{
		"held back":           {changed, []finding{blocker}, ""},
		"not held back":       {changed, nil, "nothing holds this one back"},
		"only told":           {changed, []finding{note}, "nothing holds this one back"},
		"another object held": {changed, []finding{another}, "nothing holds this one back"},
		"for another reason":  {changed, []finding{otherwise}, "nothing holds this one back"},
		"held back, and gone": {auditor.Dump{own: changed[own]}, []finding{blocker}, "and is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			adopted := planned{ID: id, Application: "k", Verb: "adopt"}
			p := &plan{Findings: c.findings, Repositories: []repository{
				{ID: first.id(), Objects: []planned{adopted}},
				{ID: twin.id(), Objects: []planned{adopted, {ID: own, Application: "l", Verb: "create"}}},
			}}
			all := comparison{w: &world{cases: []*played{first, twin}}, plan: p, before: before, after: c.after, moved: map[string]auditor.Difference{},
				wrong: map[*played][]string{}, sum: tally{verbs: map[string]int{}, unproven: map[string]int{}}}
			for _, d := range auditor.Diff(before, c.after) {
				all.moved[d.ID] = d
			}
			all.objects(first, &p.Repositories[0])
			got := strings.Join(all.wrong[first], "; ")
			if (got == "") != (c.wrong == "") || !strings.Contains(got, c.wrong) {
				t.Errorf("it says %q, want %q", got, c.wrong)
			}
			// Where its own Kustomization does not build, the other one alone applies it.
			p.Repositories[0].Objects[0].Why = "not proven: Kustomization k " + unbuilt
			all.wrong = map[*played][]string{}
			if all.objects(first, &p.Repositories[0]); len(all.wrong[first]) > 0 {
				t.Errorf("what the other repository does is taken for what this one does: %s", all.wrong[first])
			}
		})
	}
}

// TestAKeptCaseDemandsItsVerbs shows the comparison other verbs than a kept case
// wants.
func TestAKeptCaseDemandsItsVerbs(t *testing.T) {
	const id = "c000-a_web__ConfigMap"
	object := auditor.Dump{id: {"metadata": map[string]any{"name": "web"}}}
	for want, verbs := range map[string]map[string]string{
		"": {id: "adopt"}, "and it is \"change\"": {id: "change"}, "was to be \"adopt\"": {"c000-a_other__ConfigMap": "adopt"},
	} {
		one := &played{Case: Case{Verbs: verbs}, prefix: "c000"}
		all := comparison{w: &world{cases: []*played{one}}, plan: &plan{}, before: object, after: object, moved: map[string]auditor.Difference{},
			wrong: map[*played][]string{}, sum: tally{verbs: map[string]int{}, unproven: map[string]int{}}}
		all.objects(one, &repository{Objects: []planned{{ID: id, Application: "k", Verb: "adopt"}}})
		got := strings.Join(all.wrong[one], "; ")
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}

// TestTheSeedsReachEachCornerOfTheGenerator counts what 300 seeds make.
func TestTheSeedsReachEachCornerOfTheGenerator(t *testing.T) {
	made := map[string]int{}
	count := func(what string, yes bool) {
		if yes {
			made[what]++
		}
	}
	corners := []string{"confined", "confined by itself", "confined to one", "outside, made by others", "one file for a path", "one path in another", "linked",
		"encrypted with age", "encrypted with pgp", "refused", "changed by a webhook", "a late webhook", "noted by a webhook", "twin",
		"by kubectl", "edited", "patched by JSON", "autoscaled", "acted on while planned", "acted on after planning", "HelmRelease", "a submodule", "Git LFS", "ahead",
		"a folder called files", "a circle", "a circle beside an idle path", "a flat twin",
		"two environments", "a generator that is refused", "two generators"}
	acts := func(c Case, is func(Act) bool) bool { return slices.ContainsFunc(c.Acts, is) }
	for seed := range int64(300) {
		c := Generate(seed)
		confined := len(c.Allowed) > 0
		count("confined", confined && !c.AdminAccount)
		count("confined by itself", confined && c.AdminAccount)
		count("confined to one", len(c.Allowed) == 1)
		count("outside, made by others", slices.ContainsFunc(c.Acts, func(a Act) bool { return a.Do == "create" && !slices.Contains(c.Allowed, a.Namespace) }))
		count("one file for a path", slices.ContainsFunc(c.Paths, func(p string) bool { return c.Commits[0].Files[p] != "" }))
		count("one path in another", slices.ContainsFunc(c.Paths, func(p string) bool {
			return slices.ContainsFunc(c.Paths, func(below string) bool { return strings.HasPrefix(path.Clean(below), path.Clean(p)+"/") })
		}))
		count("linked", len(c.Commits[0].Links) > 0)
		count("encrypted with age", len(c.Encrypted) > 0 && c.Key == "age")
		count("encrypted with pgp", len(c.Encrypted) > 0 && c.Key == "pgp")
		for _, a := range c.Admission {
			count("refused", a.Do == "refuse")
			count("changed by a webhook", a.Do != "refuse" && a.Do != "note")
			count("noted by a webhook", a.Do == "note")
			count("a late webhook", a.Late)
		}
		count("twin", c.Twin != nil)
		holds := func(name string) bool { return c.Commits[0].Files[path.Join(append(c.Paths, "")[0], name)] != "" }
		count("a folder called files", holds("files/cm.yaml") && holds("loose.yaml"))
		count("a circle", holds("circle-c/ns.yaml"))
		count("a circle beside an idle path", holds("circle-c/ns.yaml") && slices.Contains(c.Paths, "idle"))
		count("a flat twin", c.Twin != nil && len(c.Twin.Paths) == 0 && holds("twin/cm.yaml"))
		count("by kubectl", acts(c, func(a Act) bool { return a.Do == "kubectl" }))
		count("edited", acts(c, func(a Act) bool { return a.Edit != "" }))
		count("patched by JSON", acts(c, func(a Act) bool { return slices.Contains(a.Args, "--type=json") }))
		count("autoscaled", acts(c, func(a Act) bool { return a.Subresource == "scale" && a.Manager == "kube-controller-manager" }))
		count("acted on while planned", acts(c, func(a Act) bool { return a.When == "planning" }))
		count("acted on after planning", acts(c, func(a Act) bool { return a.When == "planned" }))
		count("a submodule", len(c.Commits[0].Submodules) > 0)
		count("ahead", c.ahead())
		for _, text := range c.Commits[0].Files {
			count("HelmRelease", strings.Contains(text, "kind: HelmRelease\n"))
			count("Git LFS", strings.HasPrefix(text, "version https://git-lfs"))
		}
		built := GenerateBuilt(seed)
		count("two environments", len(built.Paths) > 1)
		for name, text := range built.Commits[0].Files {
			if path.Base(name) == ".flux.yaml" {
				count("a generator that is refused", strings.ContainsAny(text, "|&>"))
				count("two generators", strings.Count(text, "command: ") > 1)
			}
		}
	}
	for _, corner := range corners {
		if made[corner] < 2 {
			t.Errorf("of 300 seeds %d are %q", made[corner], corner)
		}
	}
	t.Log(made)
}

func TestTheSameSeedMakesTheSameCase(t *testing.T) {
	kinds := map[string]bool{}
	for seed := range int64(300) {
		a, b := Generate(seed), Generate(seed)
		if d := cmp.Diff(a, b); d != "" {
			t.Fatalf("seed %d makes two cases: %s", seed, d)
		}
		for _, text := range a.Commits[0].Files {
			for line := range strings.Lines(text) {
				if kind, ok := strings.CutPrefix(strings.TrimSpace(line), "kind: "); ok {
					kinds[kind] = true
				}
			}
		}
	}
	if len(kinds) < 25 {
		t.Errorf("300 seeds make only %d kinds: %v", len(kinds), kinds)
	}
	for seed := range int64(100) {
		if d := cmp.Diff(GenerateBuilt(seed), GenerateBuilt(seed)); d != "" {
			t.Fatalf("seed %d makes two cases: %s", seed, d)
		}
	}
}
