package discover

import (
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

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
