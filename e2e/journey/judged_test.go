package journey

import (
	"testing"
	"time"

	"github.com/fluxover/fluxover/e2e/auditor"
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
