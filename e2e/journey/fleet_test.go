package journey

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// fleetSize is how many teams TestAFleetIsHandedOverWhileTeamsCommit hands
// over: TEAMS, or 40 with LONG=1, or 6.
func fleetSize(t *testing.T) int {
	t.Helper()
	if s := os.Getenv("TEAMS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("TEAMS: %v", err)
		}
		return n
	}
	if os.Getenv("LONG") != "" {
		return 40
	}
	return 6
}

// pushes is CI at work: a commit to some team every interval.
type pushes struct {
	mu   sync.Mutex
	head map[string]string // by team
	err  error
	stop context.CancelFunc
	done chan struct{}
}

func (w *world) startPushing(every time.Duration) *pushes {
	ctx, cancel := context.WithCancel(w.t.Context())
	p := &pushes{head: map[string]string{}, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			team := w.Teams[(i*7)%len(w.Teams)]
			sha, err := w.CommitNext(ctx, team)
			p.mu.Lock()
			if err != nil && ctx.Err() == nil {
				p.err = err
			} else if err == nil {
				p.head[team.Name] = sha
			}
			p.mu.Unlock()
		}
	}()
	return p
}

// end stops CI and gives the newest commit of each team that got one.
func (p *pushes) end(t *testing.T) map[string]string {
	t.Helper()
	p.stop()
	<-p.done
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.head
}

// expected are the changes that CI's commits make: images of Deployments and
// one value of ConfigMaps.
func expected(t *testing.T, teams []fleet.Team) []auditor.Expectation {
	t.Helper()
	var out []auditor.Expectation
	for _, team := range teams {
		objects, err := fleet.ObjectsIn(team.Files, team.Path)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			switch o.Kind {
			case "Deployment":
				out = append(out, auditor.Expectation{ID: fmt.Sprintf("%s_%s_apps_Deployment", o.Namespace, o.Name), Verbs: []string{"change"}})
			case "ConfigMap":
				out = append(out, auditor.Expectation{ID: fmt.Sprintf("%s_%s__ConfigMap", o.Namespace, o.Name), Verbs: []string{"change"}})
			}
		}
	}
	return out
}

func TestAFleetIsHandedOverWhileTeamsCommit(t *testing.T) {
	teams := fleetSize(t)
	w := up(t, laboratory.Options{Teams: teams, Apps: 6, Seed: 8, PollInterval: 15 * time.Second, SyncInterval: 5 * time.Minute})
	plan := w.plan()
	ci := w.startPushing(10 * time.Second)
	since := time.Now()
	r := w.migrate()
	took := time.Since(since)
	heads := ci.end(t)
	t.Logf("%d repositories in %s, %d of them with commits meanwhile", teams, took.Round(time.Second), len(heads))
	if took > 5*time.Minute {
		t.Errorf("the fleet took %s, want 5m at most", took)
	}
	for id, phase := range w.phases() {
		if phase != "settled" {
			t.Errorf("%s is %s\n%s", id, phase, r.stderr)
		}
	}
	for _, team := range w.Teams {
		if sha := heads[team.Name]; sha != "" {
			w.arrives(team, sha)
		}
	}
	status, err := auditor.ParseStatus([]byte(w.run(0, "status", "-o", "json").out))
	if err != nil {
		t.Fatal(err)
	}
	report := w.pass(auditor.Options{Since: since, Plan: plan, Status: status, Expected: expected(t, w.Teams), MaxGap: 5 * time.Second})
	longest := 0.0
	for _, h := range report.Handovers {
		if h.Gap != nil {
			longest = max(longest, *h.Gap)
		}
	}
	t.Logf("longest gap %.2f s, %d managed objects", longest, report.Objects.Managed)
	if len(report.Handovers) != teams {
		t.Errorf("the auditor saw %d repositories handed over, want %d", len(report.Handovers), teams)
	}
}
