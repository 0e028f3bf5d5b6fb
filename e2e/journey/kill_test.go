package journey

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// Steps of the runbook, and the places around a journal entry at which the
// program can be killed (FLUXOVER_CRASH="repository|step|when"), if it was
// built with the tag faults.
var (
	steps = []string{"lock", "recheck", "snapshot", "credentials", "stage", "fence", "top-up", "adopt", "verify", "unpin", "hold", "settle"}
	whens = []string{"before-started", "after-started", "before-done", "after-done"}
)

// points are places to be killed at: all with LONG=1, else a seeded sample.
func points(t *testing.T, prefix string, sample int) []string {
	t.Helper()
	var all []string
	for _, s := range steps {
		for _, w := range whens {
			all = append(all, prefix+s+"|"+w)
		}
	}
	if os.Getenv("LONG") != "" {
		return all
	}
	random := rand.New(rand.NewPCG(2, uint64(len(prefix))))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:sample]
}

// settledContent is a dump without what differs between two runs that came to
// the same end: journals with their times, ids of runs and times of requests.
func settledContent(dump auditor.Dump) auditor.Dump {
	out := auditor.Dump{}
	for id, content := range dump {
		if strings.Contains(id, "fluxover-system") {
			continue
		}
		scrubbed, ok := scrub(content).(map[string]any)
		if !ok {
			continue
		}
		// Control objects are made anew by each run; workloads never are.
		if m, isMap := scrubbed["metadata"].(map[string]any); isMap && (strings.HasPrefix(id, "flux-system_") || strings.Contains(id, "_fluxover__") || strings.HasPrefix(id, "_fluxover-fence.")) {
			delete(m, "uid")
		}
		out[id] = scrubbed
	}
	return out
}

var perRun = map[string]bool{
	"fluxover.dev/run": true, "reconcile.fluxcd.io/requestedAt": true,
	// Which of two runs of one program wrote last shows in nothing but this.
	"f:fluxover.dev/run": true, "f:reconcile.fluxcd.io/requestedAt": true,
}

func scrub(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if !perRun[k] {
				out[k] = scrub(x)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = scrub(v[i])
		}
		return out
	}
	return v
}

// killed runs the program with a crash point and says whether it was reached.
func (w *world) killed(point string, args ...string) bool {
	w.t.Helper()
	r := w.try([]string{"FLUXOVER_CRASH=|" + point}, args...)
	if !r.killed && r.code != 0 {
		w.t.Errorf("killed at %s: exit code %d instead\n%s", point, r.code, r.stderr)
	}
	return r.killed
}

func TestKilledMigrationsAndRollbacksEndAsUnbrokenOnes(t *testing.T) {
	w := up(t, laboratory.Options{Teams: 1, Apps: 2, Seed: 7, SyncInterval: 10 * time.Minute, Faults: true})
	before := settledContent(withoutOwn(w.dump()))
	w.migrate()
	after := settledContent(w.dump())
	back := func(point string) {
		t.Helper()
		w.run(0, "rollback", "--yes")
		w.becomes(before, "after "+point, func(d auditor.Dump) auditor.Dump { return settledContent(withoutOwn(d)) })
	}
	back("an unbroken run")
	reached := 0
	migrate := append([]string{"migrate", "--yes", "--image", image}, acceptAll...)
	for _, point := range points(t, "", 4) {
		t.Run(fmt.Sprintf("migrate killed at %s goes on", point), func(t *testing.T) {
			w := &world{Lab: w.Lab, t: t, cache: w.cache}
			if w.killed(point, migrate...) {
				reached++
			}
			w.run(0, migrate...)
			same(t, "after going on", after, settledContent(w.dump()))
		})
		back(point)
		t.Run(fmt.Sprintf("migrate killed at %s goes back", point), func(t *testing.T) {
			w := &world{Lab: w.Lab, t: t, cache: w.cache}
			w.killed(point, migrate...)
		})
		back(point)
	}
	for _, point := range points(t, "undo-", 4) {
		w.migrate()
		t.Run(fmt.Sprintf("rollback killed at %s", point), func(t *testing.T) {
			w := &world{Lab: w.Lab, t: t, cache: w.cache}
			if w.killed(point, "rollback", "--yes") {
				reached++
			}
		})
		back(point)
	}
	if reached < 4 {
		t.Errorf("only %d of the crash points were reached", reached)
	}
}
