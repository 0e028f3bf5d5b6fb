package emit

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

func TestAgentsSaysWhetherACommitIsUnknownOrNeverWas(t *testing.T) {
	agent := func(id, commit string) migrate.Flux1Agent {
		return migrate.Flux1Agent{ID: id, Git: migrate.AgentGit{URL: "https://h/x.git", Branch: "main"}, Synced: migrate.Synced{Commit: commit}, Confinement: migrate.Confinement{Kind: "none"}}
	}
	unreadable := agent("flux/no-rights", "")
	unreadable.Confinement.Kind = ""
	inv := migrate.Inventory{
		Agents: []migrate.Flux1Agent{agent("flux/synced", "0123456789abcdef"), agent("flux/new", ""), agent("flux/key", ""), agent("flux/two-reasons", ""), unreadable, agent("flux/else", "")},
		Findings: []migrate.Finding{
			{Severity: migrate.Blocker, Code: "NEVER_SYNCED", Repository: "flux/new"},
			{Severity: migrate.Blocker, Code: "GIT_AUTH", Repository: "flux/key"},
			{Severity: migrate.Blocker, Code: "SAME_SYNC_SET", Repository: "flux/two-reasons"},
			{Severity: migrate.Blocker, Code: "CREDENTIAL_MISSING", Repository: "flux/two-reasons"},
			{Severity: migrate.Blocker, Code: "RBAC_MISSING", Repository: "flux/no-rights"},
			{Severity: migrate.Warning, Code: "SIDECAR", Repository: "flux/else"},
			{Severity: migrate.Info, Code: "FLUX2_FOUND", Where: "namespace flux-system", Message: "in namespace flux-system: kustomize-controller v1.9.4"},
		},
	}
	var out strings.Builder
	if err := Agents(&out, inv, 0); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"flux/synced": " 0123456 ", "flux/new": " never ", "flux/key": " unknown: GIT_AUTH ", "flux/two-reasons": " unknown: CREDENTIAL_MISSING ",
		"flux/no-rights": " unknown: RBAC_MISSING ", "flux/else": " unknown ",
	} {
		i := slices.IndexFunc(strings.Split(out.String(), "\n"), func(line string) bool { return strings.HasPrefix(line, id+" ") && strings.Contains(line, want) })
		if i < 0 {
			t.Errorf("%s is not said to be %q:\n%s", id, want, out.String())
		}
	}
	if strings.Count(out.String(), " never ") != 1 {
		t.Errorf("an agent of which nothing is known is said to have never synced:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "kustomize-controller v1.9.4") {
		t.Errorf("the controllers of Flux v2 are not named:\n%s", out.String())
	}
}

func TestTheReasonsForAnUnknownCommitAreCodesOfFindings(t *testing.T) {
	known := slices.Concat(discover.Codes(), flux1.Codes())
	for _, code := range append(slices.Clone(unread), "NEVER_SYNCED") {
		if !slices.ContainsFunc(known, func(c flux1.Code) bool { return c.Name == code }) {
			t.Errorf("no finding has the code %s", code)
		}
	}
}

func TestAgentsNamesTheControllersOfFlux2(t *testing.T) {
	for _, c := range []struct {
		flux2 []string
		want  string
	}{
		{nil, ""},
		{[]string{"flux-system/source-controller"}, "1 running controller of Flux v2: flux-system/source-controller\n"},
		{[]string{"a/kustomize-controller", "a/source-controller"}, "2 running controllers of Flux v2: a/kustomize-controller, a/source-controller\n"},
	} {
		var out strings.Builder
		if err := Agents(&out, migrate.Inventory{Cluster: migrate.Cluster{Flux2: c.flux2}}, 0); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); c.want == "" && strings.Contains(got, "Flux v2") || !strings.Contains(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestWhatIsAskedForIsUnknownWhereItIsNotToldOfAnyAgent(t *testing.T) {
	told := migrate.Flux1Agent{ID: "flux/told", InstalledBy: "helm", Requests: migrate.Requests{CPU: "500m"}}
	open := migrate.Flux1Agent{ID: "flux/open", InstalledBy: "terraform", Unknown: []string{"requests"}}
	none := migrate.Flux1Agent{ID: "flux/none", InstalledBy: "helm"}
	reader := migrate.Flux1Agent{ID: "checkout/x", Unknown: []string{"requests"}}
	for _, c := range []struct {
		agents []migrate.Flux1Agent
		want   string
	}{
		{[]migrate.Flux1Agent{told, told, none}, "3 Flux v1 agents, asking for 1 CPU in all\n"},
		{[]migrate.Flux1Agent{open, open}, "2 Flux v1 agents, asking for an unknown amount of CPU in all\n"},
		{[]migrate.Flux1Agent{told, open}, "2 Flux v1 agents, asking for at least 500m CPU in all\n"},
		{[]migrate.Flux1Agent{none, none}, "2 Flux v1 agents, asking for 0 CPU in all\n"},
		{[]migrate.Flux1Agent{told, reader}, "1 Flux v1 agent, asking for 500m CPU in all\n"},
	} {
		var out strings.Builder
		if err := Agents(&out, migrate.Inventory{Agents: c.agents}, 0); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("want %q:\n%s", c.want, out.String())
		}
	}
	var review strings.Builder
	if err := Review(&review, Report{Inventory: migrate.Inventory{Agents: []migrate.Flux1Agent{open}}, After: migrate.Requests{CPU: "100m", Memory: "128Mi"}}, Style{}); err != nil {
		t.Fatal(err)
	}
	if text := review.String(); !strings.Contains(text, "asking for an unknown amount of CPU") || strings.Contains(text, "freed") {
		t.Errorf("the review says of an agent whose CPU is unknown:\n%s", text)
	}
}

func TestOrphansAreCountedWhereThereAreAny(t *testing.T) {
	a, b := migrate.Flux1Agent{ID: "flux/a"}, migrate.Flux1Agent{ID: "flux/b", Unknown: []string{"counts.orphans"}}
	show := func(agents ...migrate.Flux1Agent) string {
		var out strings.Builder
		if err := Agents(&out, migrate.Inventory{Agents: agents}, 0); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if text := show(a, b); strings.Contains(text, "ORPHANS") {
		t.Errorf("there are none, and the table says:\n%s", text)
	}
	a.Counts.Orphans = 12
	if text := show(a, b); !strings.Contains(text, "ORPHANS") || !strings.Contains(text, " 12 ") {
		t.Errorf("12 are not counted:\n%s", text)
	}
	var wide strings.Builder
	if err := AgentsWide(&wide, migrate.Inventory{Agents: []migrate.Flux1Agent{a, b}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(wide.String(), " 12 ") {
		t.Errorf("12 are not counted:\n%s", wide.String())
	}
}
