package cutover

import (
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// The files of a parked repository are still in the flux-capacitor, so that an
// object that is deleted by hand is made anew, without the annotation that keeps
// the new agent from it.
func TestWhatIsParkedIsToBeTakenOutOfTheFluxCapacitorAndNeverDeleted(t *testing.T) {
	const id, remedy = "flux/a", `run "fluxover rollback --repo flux/a" where the flux-capacitor can be reached`
	s := doubledStore()
	j := &journal{Repository: id, Attempt: 1, InCapacitor: true, Parked: []string{"kustomize.toolkit.fluxcd.io/v1/Kustomization/flux-system/a"}}
	j.add(Entry{Step: "settle", State: Undone})
	for _, closed := range []string{closedAborted, closedRolledBack} {
		j.Closed = closed
		if err := s.save(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		e := &Executor{plan: migrate.Plan{Repositories: []migrate.Repository{{ID: id}}}}
		repos, failures, err := e.open(t.Context(), &session{env: &env{store: s}}, []string{id})
		if err != nil || len(repos) != 0 || len(failures) != 1 {
			t.Fatalf("%s: %d go on, %d do not: %v", closed, len(repos), len(failures), err)
		}
		says := failures[0].Error()
		for _, want := range []string{"Kustomization/flux-system/a", "do not delete them", remedy} {
			if !strings.Contains(says, want) {
				t.Errorf("%s: does not say %q: %s", closed, want, says)
			}
		}
	}
	if one := statusOf(j); !strings.Contains(one.Message, remedy) {
		t.Errorf("status says %q", one.Message)
	}
}
