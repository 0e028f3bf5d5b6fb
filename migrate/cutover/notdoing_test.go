package cutover

import (
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// What comes and goes while a repository is handed over is no change of its plan.
func TestFindingsThatComeAndGoMoveNoPlan(t *testing.T) {
	left := notOurDoing([]migrate.Finding{{Code: "AGENT_STOPPED"}, {Code: "AGENT_NOT_READY"}, {Code: "REPLICAS_AND_AUTOSCALER"}, {Code: "OBJECT_CHANGES"}})
	if len(left) != 1 || left[0].Code != "OBJECT_CHANGES" {
		t.Errorf("%v are left, want OBJECT_CHANGES alone", left)
	}
}
