package discover

import (
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// Hosts are the same in any case, and on some of them the names of repositories are.
func TestOneRepositoryIsNamedInManyWays(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"git@host:org/repo.git", "ssh://git@host/org/repo", true},
		{"https://user:pw@host/org/repo/", "git@host:org/repo", true},
		{"https://HOST/org/repo", "git@host:org/repo", true},
		{"https://host:8443/org/repo", "https://host/org/repo", false},
		{"git@host:org/repo", "git@host:Org/repo", false},
		{"git@host:org/repo", "git@other:org/repo", false},
		{"https://github.com/Org/Repo.git", "git@github.com:org/repo", true},
		{"ssh://git@GitHub.com/org/repo", "https://github.com/org/REPO", true},
		{"https://gitlab.com/Org/Team/repo", "git@gitlab.com:org/team/repo.git", true},
		{"https://github.com/org/repo", "https://gitlab.com/org/repo", false},
		{"https://github.com.example.org/Org/repo", "https://github.com.example.org/org/repo", false},
		{"", "", false},
		{"/srv/repo", "/srv/repo", false},
	} {
		if got := SameRepository(c.a, c.b); got != c.same {
			t.Errorf("%s and %s: %v, want %v", c.a, c.b, got, c.same)
		}
		w := &witness{}
		agents := []*agent{{}, {}}
		for i, url := range []string{c.a, c.b} {
			agents[i].Git.URL, agents[i].Git.SyncTag, agents[i].Sync.State = url, "flux-sync", "git"
		}
		w.sharedMarks(agents)
		if got := len(w.findings) > 0; got != c.same {
			t.Errorf("one tag of %s and %s is found shared: %v", c.a, c.b, w.findings)
		}
	}
}

// fluxd neither applies nor collects what Git says to ignore, whatever mark it bears
// from before: so an agent that a repository holds is taken out of fluxd's hands.
func TestAnAgentThatGitSaysToIgnoreIsKeptByNobody(t *testing.T) {
	const id = "flux_flux_apps_Deployment"
	for class, kept := range map[migrate.ObjectClass]bool{migrate.ClassApplied: true, migrate.ClassSyncOnly: true, migrate.ClassIgnored: false} {
		a := &agent{Flux1Agent: migrate.Flux1Agent{
			ID: "flux/flux", Namespace: "flux", Workload: "flux", Marked: []string{id},
			Objects: []migrate.Object{{ID: id, Class: class, File: "flux.yaml", Line: 1}},
		}}
		w := &witness{}
		w.agentsInGit([]*agent{a})
		if got := len(w.findings) > 0; got != kept {
			t.Errorf("%s: %v", class, w.findings)
		}
	}
}
