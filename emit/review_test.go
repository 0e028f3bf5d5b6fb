package emit

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/proof"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// mixed is a fleet of seven agents in which each thing that a review tells of
// is true of somebody: it has a repository that needs another, an agent that may
// do everything and one whose rights are not known, an account that gains a
// right and one that loses one, Secrets of each owner, and an object that fluxd
// leaves alone.
func mixed(t testing.TB) (proof.Result, migrate.Inventory) {
	t.Helper()
	inv := fleetInventory(t, 7)
	agent := func(team string) *migrate.Flux1Agent {
		return &inv.Agents[slices.IndexFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return a.Release == "flux-"+team })]
	}
	// The account of checkout writes into the namespace that payments brings.
	guest := agent("checkout")
	guest.Tree.(fstest.MapFS)["production/guest/app.yaml"] = &fstest.MapFile{Data: []byte(`apiVersion: v1
kind: ConfigMap
metadata: {name: guest, namespace: payments, annotations: {fluxcd.io/ignore: "true"}}
data: {LEVEL: info}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other, namespace: payments}
data: {LEVEL: info}
`)}
	read, write := []string{"get", "list"}, []string{"create", "patch", "delete"}
	guest.Rights = append(guest.Rights, migrate.Binding{Namespace: "payments", Name: "guest", Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "guest"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: slices.Concat(read, write)}}})
	guest.Confinement.Namespaces = []string{"checkout", "payments"}
	var err error
	guest.Files, guest.Objects, _, err = flux1.Load(guest.Tree, flux1.LoadConfig{Repository: guest.ID, Paths: guest.Git.Paths, DefaultNamespace: "default", Kinds: inv.Cluster.Kinds})
	if err != nil {
		t.Fatal(err)
	}
	all := []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}, {NonResourceURLs: []string{"*"}, Verbs: []string{"*"}}}
	for _, team := range []string{"catalog", "search"} {
		a := agent(team)
		a.Confinement = migrate.Confinement{Kind: "cluster-admin"}
		a.Rights = []migrate.Binding{{Name: "flux-" + team, Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}, Rules: all}}
	}
	agent("search").Terraform = &migrate.TerraformPlace{Dir: "infra", Address: `helm_release.flux["search"]`, Instance: "search", Where: "infra/flux.tf:3"}
	agent("identity").Unknown = append(agent("identity").Unknown, "confinement")
	inv.Cluster.Home = []migrate.HomeBinding{{Account: "billing", Binding: migrate.Binding{Namespace: "billing-old", Name: "left-over",
		Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: read}}}}}
	r, err := proof.Prove(context.Background(), inv, migrate.Options{
		WaveSize: 2, Owners: map[string]migrate.Owner{"flux/flux-payments": migrate.OwnerTerraform, "flux/flux-checkout": migrate.OwnerSOPS},
		Decisions: []migrate.Decision{{Code: "CLUSTER_ADMIN", Subject: "flux/flux-search", Reason: "until the search team has split its namespaces"}},
	}, driftingWorld{})
	if err != nil {
		t.Fatal(err)
	}
	// A role that cannot be copied does not happen with the planner as it is.
	lossy := r.Plan.Repository("flux/flux-shipping").Rights
	lossy.Lost, lossy.Kept = lossy.Kept, nil
	return r, inv
}

// offline is a fleet of three that no cluster was asked about.
func offline(t testing.TB) (proof.Result, migrate.Inventory) {
	t.Helper()
	inv := fleetInventory(t, 3)
	inv.Cluster = migrate.Cluster{From: "values", Kinds: inv.Cluster.Kinds}
	r, err := proof.Prove(context.Background(), inv, migrate.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, inv
}

func TestReviewsAreAsTheGoldens(t *testing.T) {
	for name, make := range map[string]func(testing.TB) (proof.Result, migrate.Inventory){
		"mixed": mixed, "offline": offline,
		"fleet": func(t testing.TB) (proof.Result, migrate.Inventory) { return fleet(t, 40) },
	} {
		t.Run(name, func(t *testing.T) {
			r, inv := make(t)
			report := NewReport(r, inv, requestsOfTheChart)
			var text, wide, markdown, differences strings.Builder
			for _, err := range []error{
				Review(&text, report, Style{}), Review(&wide, report, Style{Width: 120}), Markdown(&markdown, report, 0),
				WriteDifferences(&differences, report.Differences, DiffText{Objects: report.Objects}),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for _, repo := range r.Plan.Repositories {
				if row := regexp.MustCompile(`(?m)^ +\d+  ` + regexp.QuoteMeta(repo.ID) + ` `); !row.MatchString(text.String()) || !row.MatchString(wide.String()) {
					t.Errorf("the table does not name %s so that it can be given to a command", repo.ID)
				}
			}
			for file, got := range map[string]string{"80.txt": text.String(), "120.txt": wide.String(), "comment.md": markdown.String(), "diff.txt": differences.String()} {
				if columns := map[string]int{"80.txt": 80, "120.txt": 120}[file]; columns > 0 && widestLine(got) > columns {
					t.Errorf("%s: %d columns wide", file, widestLine(got))
				}
				path := filepath.Join("testdata", "review", name, file)
				if *update {
					if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("%s is not what was written (-update writes it anew):\n%s", path, got)
				}
			}
		})
	}
}

// What there is before stands on lines of the width that is there.
func TestWhatThereIsBeforeFitsOnTheLine(t *testing.T) {
	a := migrate.Flux1Agent{ID: "flux/shop", InstalledBy: "helm", Requests: migrate.Requests{CPU: "50m", Memory: "536870912"}, Memcached: migrate.Requests{CPU: "50m", Memory: "134217728"}}
	inv := migrate.Inventory{Agents: slices.Repeat([]migrate.Flux1Agent{a}, 8)}
	var out strings.Builder
	if err := Review(&out, Report{Inventory: inv}, Style{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), "before 8 Flux v1 agents, asking for 400m CPU") {
		t.Errorf("what there is before is not told:\n%s", out.String())
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d signs: %s", n, line)
		}
	}
}

func TestAnAgentIsCalledConfinedOnlyWhereThatIsKnown(t *testing.T) {
	r := Report{Plan: migrate.Plan{ClusterAgent: migrate.ClusterAgent{Args: []string{"--no-cross-namespace-refs=true"}}}}
	for _, c := range []struct {
		kinds []string
		want  string
	}{
		{[]string{"namespaces", "cluster-admin"}, "(1 of 2 agents) "},
		{[]string{""}, "(0 of 1 agent; of 1 it is not known) "},
		{[]string{"custom", "", ""}, "(1 of 3 agents; of 2 it is not known) "},
	} {
		r.Inventory.Agents = nil
		for _, kind := range c.kinds {
			r.Inventory.Agents = append(r.Inventory.Agents, migrate.Flux1Agent{Confinement: migrate.Confinement{Kind: kind}})
		}
		if got := r.flagsWhy(); !strings.Contains(got, c.want) {
			t.Errorf("%q: %s", c.kinds, got)
		}
	}
}

// What nobody has looked for is not told as an amount.
func TestAReviewSaysThatMemcachedIsUnknown(t *testing.T) {
	r, inv := mixed(t)
	inv.Agents = slices.Clone(inv.Agents)
	for i := range inv.Agents {
		inv.Agents[i].Memcached, inv.Agents[i].Unknown = migrate.Requests{}, []string{"memcached"}
	}
	var text strings.Builder
	if err := Review(&text, NewReport(r, inv, requestsOfTheChart), Style{}); err != nil {
		t.Fatal(err)
	}
	if before, _, _ := strings.Cut(text.String(), "\n  after"); !strings.HasSuffix(strings.Join(strings.Fields(before), " "), "; memcached unknown") {
		t.Errorf("before: %s", before)
	}
}

// Whoever reads one form must not be told less than whoever reads the JSON.
func TestEveryReviewTellsTheRightsTheOrderAndTheOwners(t *testing.T) {
	r, inv := mixed(t)
	report := NewReport(r, inv, requestsOfTheChart)
	var text, markdown strings.Builder
	if err := Review(&text, report, Style{}); err != nil {
		t.Fatal(err)
	}
	if err := Markdown(&markdown, report, 0); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, repo := range r.Plan.Repositories {
		want = append(want, repo.ID)
		for _, d := range repo.After {
			want = append(want, repo.ID+" comes after "+d.Name, d.Why)
		}
		if repo.Rights == nil {
			continue
		}
		for _, s := range slices.Concat(repo.Rights.Lost, repo.Rights.Gained) {
			want = append(want, s.Place())
		}
		for _, s := range repo.Rights.Kept {
			want = append(want, s.Namespace)
		}
	}
	for _, c := range r.Plan.Credentials {
		want = append(want, c.To.Name, string(c.Owner))
	}
	for _, d := range r.Plan.Accepted {
		want = append(want, d.Reason)
	}
	want = append(want, r.Plan.ClusterAgent.Args...)
	for _, repo := range r.Plan.Repositories {
		for _, a := range repo.Adds {
			want = append(want, a.Key+": "+a.Value, a.Why)
		}
	}
	if len(want) < 50 || len(r.Plan.ClusterAgent.Args) != 2 || len(r.Plan.Accepted) != 1 {
		t.Fatalf("there is little to look for: %q", want)
	}
	for form, said := range map[string]string{"text": text.String(), "Markdown": markdown.String(), "HTML": htmlOf(t, report)} {
		said = readable(said)
		for _, w := range want {
			if !strings.Contains(said, strings.Join(strings.Fields(w), " ")) {
				t.Errorf("the %s does not tell %q", form, w)
			}
		}
	}
}

var elements = regexp.MustCompile(`</?[a-z][^>]*>`)

// readable is what a reader sees of a form: without signs of Markdown and HTML,
// on one line.
func readable(said string) string {
	said = elements.ReplaceAllString(said, " ")
	said = strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&amp;", "&", "&#43;", "+", "\\", "").Replace(said)
	return strings.Join(strings.Fields(said), " ")
}

// Where nobody knows the old accounts' rights, it is not said that nothing is kept or lost.
func TestRightsThatNobodyKnowsAreNotNone(t *testing.T) {
	known := &migrate.Rights{From: "flux/a", To: "flux-system/a"}
	for name, c := range map[string]struct {
		rights []*migrate.Rights
		want   string
	}{
		"none is known": {[]*migrate.Rights{nil, nil}, "not known"},
		"one is known":  {[]*migrate.Rights{known, nil}, "nothing that is known"},
		"all are known": {[]*migrate.Rights{known, known}, "nothing"},
	} {
		report := Report{}
		for i, r := range c.rights {
			report.Plan.Repositories = append(report.Plan.Repositories, migrate.Repository{ID: fmt.Sprintf("flux/%d", i), Rights: r})
		}
		var text, markdown strings.Builder
		if err := Review(&text, report, Style{}); err != nil {
			t.Fatal(err)
		}
		if err := Markdown(&markdown, report, 0); err != nil {
			t.Fatal(err)
		}
		for form, got := range map[string]string{"text": text.String(), "Markdown": markdown.String(), "HTML": htmlOf(t, report)} {
			got = readable(got)
			lost := regexp.MustCompile(`lost:? (nothing that is known|nothing|not known)`).FindStringSubmatch(got)
			if len(lost) != 2 || lost[1] != c.want {
				t.Errorf("%s: the %s says %q is lost, want %q\n%s", name, form, lost, c.want, got)
			}
		}
	}
}

// All that there is of the core group is no URL, and a URL is no resource.
func TestWhatAnAccountMayIsSaidInWords(t *testing.T) {
	all := []string{"*"}
	core := rbacv1.PolicyRule{Verbs: all, APIGroups: []string{""}, Resources: all}
	urls := rbacv1.PolicyRule{Verbs: all, NonResourceURLs: all}
	for _, c := range []struct {
		rules []rbacv1.PolicyRule
		want  string
	}{
		{[]rbacv1.PolicyRule{core}, "everything of the core group in the whole cluster"},
		{[]rbacv1.PolicyRule{urls}, "every URL in the whole cluster"},
		{[]rbacv1.PolicyRule{core, urls}, "everything of the core group and every URL in the whole cluster"},
		{[]rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{"", "apps"}, Resources: all}}, "get core/*,apps/* in the whole cluster"},
		{[]rbacv1.PolicyRule{{Verbs: all, APIGroups: all, Resources: all}}, "everything in the whole cluster"},
	} {
		if got, _ := rightsInWords([]migrate.ScopedRules{{Rules: c.rules}}); got != c.want {
			t.Errorf("%v: %q, not %q", c.rules, got, c.want)
		}
	}
}

func TestTheReasonOfEachWaveIsTheRuleOfThePlanner(t *testing.T) {
	r, inv := mixed(t)
	report := Report{Plan: r.Plan, Inventory: inv}
	var got []string
	for _, w := range report.waves() {
		got = append(got, fmt.Sprintf("%d: %s", w.Number, w.Why))
		got = append(got, w.After...)
	}
	for _, repo := range report.Plan.Repositories {
		got = append(got, fmt.Sprintf("%s %d: %s", repo.ID, repo.Wave, report.waveWhy(&repo)))
	}
	want := `1: the canary, with the fewest objects (19) of those that need no other repository
2: 1 repository of 28 objects, next by size of those whose needs are met by then; 1 held back by blockers, which come last
3: 2 held back by blockers, which come last
4: 2 held back by blockers, which come last
flux/flux-checkout comes after flux/flux-payments (it defines Namespace payments)
flux/flux-payments 1: it is the canary, with the fewest objects (19) of those that need no other repository
flux/flux-billing 2: it comes last, since it is held back by OBJECT_CHANGES, RIGHTS_WIDER
flux/flux-shipping 2: by its size, 28 objects: smaller repositories come first
flux/flux-catalog 3: it comes last, since it is held back by CLUSTER_ADMIN
flux/flux-identity 3: it comes last, since it is held back by FACTS_UNKNOWN
flux/flux-checkout 4: it comes last, since it is held back by OWNER_NOT_SUPPORTED
flux/flux-search 4: it comes last, since it is held back by OBJECT_CHANGES`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got:\n%s\nwant:\n%s", text, want)
	}
}

func TestRightsAreSaidOfSeveralOnlyWhenTheyAreTheSame(t *testing.T) {
	scope := func(namespace string, verbs ...string) migrate.ScopedRules {
		return migrate.ScopedRules{Namespace: namespace, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: verbs}}}
	}
	of := func(id string, kept ...migrate.ScopedRules) migrate.Repository {
		return migrate.Repository{ID: id, Rights: &migrate.Rights{Kept: kept, Needs: []migrate.ScopedKinds{{Kinds: []string{"Namespace"}}, {Namespace: "n", Kinds: []string{"Service"}}}}}
	}
	report := Report{Plan: migrate.Plan{Repositories: []migrate.Repository{
		of("f/a", scope("a", "get")), of("f/b", scope("b", "get")), of("f/c", scope("c", "get", "list")),
		of("f/d", scope("d", "get"), scope("e", "list")), of("f/e", scope("e", "get"), scope("d", "list")),
		of("f/f", scope("", "get")), of("f/g", scope("", "get"), scope("g", "list")), of("f/h", scope("h", "get"), scope("i", "get")),
		{ID: "f/i"},
	}}}
	v := report.rights()
	var got []string
	for _, g := range v.Kept {
		if got = append(got, g.Text()); g.Names() != "" {
			got = append(got, "  "+g.Names())
		}
	}
	want := `get apps/deployments in one namespace (2)
  f/a (a), f/b (b)
f/c: get,list apps/deployments in namespace c
f/d: get apps/deployments in namespace d; list apps/deployments in namespace e
f/e: get apps/deployments in namespace e; list apps/deployments in namespace d
f/f: get apps/deployments in the whole cluster
f/g: get apps/deployments in the whole cluster; list apps/deployments in namespace g
f/h: get apps/deployments in namespaces h, i`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got:\n%s\nwant:\n%s", text, want)
	}
	if len(v.Unknown) != 1 || v.Unknown[0] != "f/i" || v.verdict() != "no account gains any, none loses any, 1 cannot be told" {
		t.Errorf("unknown %q, verdict %q", v.Unknown, v.verdict())
	}
}
