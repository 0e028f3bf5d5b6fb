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
