package journey

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/controlplane"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

func TestTheGapsThatTheLogShowsAreCounted(t *testing.T) {
	status, err := auditor.ParseStatus([]byte(`{"repositories": [{"id": "a", "gap": "1.3s"}, {"id": "b", "gap": "1.3s"}, {"id": "c"}, {"id": "d", "gap": "1.3s"}, {"id": "e", "gap": "1.3s"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	gap := func(seconds float64) *float64 { return &seconds }
	report := &auditor.Report{Handovers: []auditor.Handover{
		{ID: "a", Gap: gap(1.2)}, {ID: "b", Gap: gap(1.6)}, {ID: "c", Gap: gap(1.3)}, {ID: "d", Gap: gap(1.3), Abandoned: true}, {ID: "e"},
	}}
	if gaps, exact := exactGaps(status, report, 200*time.Millisecond); gaps != 4 || exact != 1 {
		t.Errorf("%d gaps are told, %d of them exact, want 4 and a's alone", gaps, exact)
	}
}

func TestAnEventThatIsBeingWrittenEndsTheLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "audit.log")
	var whole []byte
	for _, verb := range []string{"get", "list"} {
		line, err := json.Marshal(auditor.Event{Verb: verb})
		if err != nil {
			t.Fatal(err)
		}
		whole = append(append(whole, line...), '\n')
	}
	if err := os.WriteFile(log, whole[:len(whole)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	w := &world{Lab: &laboratory.Lab{ControlPlane: &controlplane.ControlPlane{AuditLog: log}}, t: t}
	var verbs []string
	audited(w, func(e *auditor.Event) { verbs = append(verbs, e.Verb) })
	if len(verbs) != 1 || verbs[0] != "get" {
		t.Errorf("the events are %q, want the first one", verbs)
	}
}
