package journey

import (
	"context"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/laboratory"
	"github.com/fluxover/fluxover/e2e/machine"
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

// pollInterval is how often each of so many old agents asks its Git server: a
// poll is a dozen processes, and those of 40 agents every 15 s are more than two
// CPUs have for all of a laboratory. The chart's own default is 5 minutes.
func pollInterval(teams int) time.Duration {
	return max(15*time.Second, time.Duration(teams)*1500*time.Millisecond)
}

// pushes is CI at work: a commit to some team at once, and every interval.
type pushes struct {
	mu    sync.Mutex
	head  map[string]string // by team
	made  int
	every time.Duration
	since time.Time
	err   error
	stop  context.CancelFunc
	done  chan struct{}
}

func (w *world) startPushing(every time.Duration, teams []fleet.Team) *pushes {
	ctx, cancel := context.WithCancel(w.t.Context())
	p := &pushes{head: map[string]string{}, every: every, since: time.Now(), stop: cancel, done: make(chan struct{})}
	w.t.Cleanup(func() { // before the laboratory ends, when the test failed
		cancel()
		<-p.done
	})
	go func() {
		defer close(p.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			if i > 0 {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
			team := teams[(i*7)%len(teams)]
			// One that is cut off may have moved the branch, or leave a lock.
			sha, err := w.CommitNext(context.WithoutCancel(ctx), team)
			p.mu.Lock()
			if err != nil {
				p.err = err
			} else {
				p.head[team.Name] = sha
				p.made++
			}
			p.mu.Unlock()
		}
	}()
	return p
}

// end stops CI and gives the newest commit of each team that got one. It fails the
// test unless commits were made all the time: a fleet at rest shows nothing of what
// is to arrive. The one under way at the end is finished.
func (p *pushes) end(t *testing.T) map[string]string {
	t.Helper()
	p.stop()
	<-p.done
	if p.err != nil {
		t.Fatal(p.err)
	}
	if took := time.Since(p.since); p.made < max(1, int(took/p.every)) {
		t.Fatalf("CI made %d commits in %s, want one every %s", p.made, took.Round(time.Second), p.every)
	}
	return p.head
}

// trees are the files of each team's branch, by team.
func (w *world) trees() map[string]map[string][]byte {
	w.t.Helper()
	trees := map[string]map[string][]byte{}
	for _, team := range w.Teams {
		head, err := w.Git.Head(w.t.Context(), team.Repo, team.Branch)
		if err != nil {
			w.t.Fatal(err)
		}
		if trees[team.Name], err = w.Git.Tree(w.t.Context(), team.Repo, head); err != nil {
			w.t.Fatal(err)
		}
	}
	return trees
}

// expected are the changes that commits made between two states of all
// branches: of the objects that they named, the fields that differ, and no more.
func expected(t *testing.T, teams []fleet.Team, before, after map[string]map[string][]byte) []auditor.Expectation {
	t.Helper()
	var out []auditor.Expectation
	for _, team := range teams {
		changes, err := fleet.Changes(before[team.Name], after[team.Name], team.Path)
		if err != nil {
			t.Fatalf("%s: %v", team.Repo, err)
		}
		for _, c := range changes {
			out = append(out, auditor.Expectation{ID: c.ID(), Verbs: []string{"change"}, Fields: c.Fields})
		}
	}
	return out
}

// measured tells whether a large fleet was asked for: then its figures count,
// and its test runs alone.
func measured() bool { return os.Getenv("TEAMS") != "" || os.Getenv("LONG") != "" }

// fleetGap is how long a repository of a fleet may be without an engine: 2 s
// where that is measured.
func fleetGap() time.Duration {
	if measured() {
		return 2 * time.Second
	}
	return gapLimit()
}

// gapLimit is for runs that share their machine with other tests: 5 s for each
// process that wants to run on a CPU.
func gapLimit() time.Duration {
	return time.Duration(float64(5*time.Second) * machine.Crowd())
}

// figureTolerance is how far the gaps that the product tells may be from those of
// the audit log, at least half of them and each: it notes the ends of a gap once it
// hears of them, and the API server when it answers. Where tests share a machine,
// some of what it hears comes late.
func figureTolerance() (most, each time.Duration) {
	const exact = 200 * time.Millisecond
	if measured() {
		return exact, exact
	}
	busy := machine.Crowd()
	return time.Duration(busy * float64(exact)), time.Duration(busy * float64(500*time.Millisecond))
}

// exactGaps counts the gaps that the product tells, and those of them that the log
// shows within a tolerance.
func exactGaps(status *auditor.Status, report *auditor.Report, tolerance time.Duration) (gaps, exact int) {
	for _, told := range status.Repositories {
		if told.Gap == nil {
			continue
		}
		gaps++
		if slices.ContainsFunc(report.Handovers, func(h auditor.Handover) bool {
			return h.ID == told.ID && h.Gap != nil && !h.Abandoned && math.Abs(*h.Gap-told.Gap.Seconds()) <= tolerance.Seconds()
		}) {
			exact++
		}
	}
	return gaps, exact
}

func besideUnlessMeasured(t *testing.T) {
	t.Helper()
	if !measured() {
		beside(t)
	}
}

// judge lets the auditor judge a hand-over of teams, with what commits changed
// meanwhile, and logs its figures.
func (w *world) judge(since, until time.Time, plan *auditor.Plan, commits []auditor.Expectation, handedOver int) {
	w.t.Helper()
	status, err := auditor.ParseStatus([]byte(w.run(0, "status", "-o", "json").out))
	if err != nil {
		w.t.Fatal(err)
	}
	report := w.pass(auditor.Options{Since: since, Until: until, Plan: plan, Status: status, Expected: commits, MaxGap: fleetGap()})
	longest, adopted := 0.0, 0
	for _, h := range report.Handovers {
		if h.Gap != nil && h.Adopted.After(since) && (until.IsZero() || h.Adopted.Before(until)) {
			longest = max(longest, *h.Gap)
			adopted++
		}
	}
	w.t.Logf("longest gap %.2f s, %d managed objects", longest, report.Objects.Managed)
	if adopted != handedOver {
		w.t.Errorf("the auditor saw %d repositories handed over, want %d", adopted, handedOver)
	}
}

// wroteNothing fails the test if the new agent, the executor or anybody else
// that is not excused wrote an object of the teams in a time.
func (w *world) wroteNothing(during auditor.Options, teams []fleet.Team, but ...auditor.Engine) {
	w.t.Helper()
	objects, want := w.objects(teams), 0
	for _, team := range teams {
		want += team.Objects
	}
	if len(objects) != want {
		w.t.Errorf("%d objects of %d teams are looked at, want %d", len(objects), len(teams), want)
	}
	excused := append(but, auditor.Controller)
	for _, write := range w.audit(during).Writes {
		if objects[write.ID] && write.Subresource == "" && !slices.Contains(excused, write.Engine) {
			w.t.Errorf("%s was written by %s (%s) though nothing was to reach it", write.ID, write.User, write.Manager)
		}
	}
}

// objects are the ids of all that the heads of teams' branches hold.
func (w *world) objects(teams []fleet.Team) map[string]bool {
	w.t.Helper()
	trees, ids := w.trees(), map[string]bool{}
	for _, team := range teams {
		objects, err := fleet.ObjectsIn(trees[team.Name], team.Path)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, o := range objects {
			ids[o.ID()] = true
		}
	}
	return ids
}

// ofTeam is what a dump holds of a team: its namespace, and its old agent.
func ofTeam(dump auditor.Dump, team fleet.Team) auditor.Dump {
	out := auditor.Dump{}
	for id, content := range dump {
		if strings.HasPrefix(id, team.Namespace+"_") || id == "_"+team.Namespace+"__Namespace" ||
			strings.Contains(id, "_"+team.Release+"_") && !ownObjects(id) {
			out[id] = content
		}
	}
	return out
}

// marked fails the test unless the executor, and not the old agent with its
// next sync, put Flux v1's marks back on every object of a team.
func (w *world) marked(since time.Time, team fleet.Team) {
	w.t.Helper()
	for _, mark := range []string{flux1Label, flux1Annotation} {
		first := map[string]auditor.Engine{}
		for _, write := range w.audit(auditor.Options{Since: since}).Writes {
			if first[write.ID] == "" && slices.ContainsFunc(write.Fields, func(f auditor.Field) bool { return strings.Contains(f.Path, mark) && f.After != "" }) {
				first[write.ID] = write.Engine
			}
		}
		for object := range w.objects([]fleet.Team{team}) {
			if first[object] != auditor.Executor {
				w.t.Errorf("%s of %s was put back by %q, want the rollback", mark, object, first[object])
			}
		}
	}
}

// repos are the flags that choose teams.
func repos(teams []fleet.Team) []string {
	var flags []string
	for _, team := range teams {
		flags = append(flags, "--repo", id(team))
	}
	return flags
}

func TestAFleetIsHandedOverWhileTeamsCommitAndGoesBack(t *testing.T) {
	besideUnlessMeasured(t)
	teams := fleetSize(t)
	if teams < 2 {
		t.Fatalf("a fleet of %d: some go back, and others stay", teams)
	}
	w := up(t, laboratory.Options{Teams: teams, Apps: 6, Seed: 8, PollInterval: pollInterval(teams), SyncInterval: 5 * time.Minute})
	plan := w.plan()
	planned := w.trees()
	// Some go back later, one of them without a commit since before it was handed
	// over: what Flux v1 would apply anew hides what the rollback put back.
	some, others := w.Teams[:min(5, teams/2)], w.Teams[min(5, teams/2):]
	quiet, busy := some[0], w.Teams[1:]
	before := ofTeam(w.dump(), quiet)
	ci := w.startPushing(10*time.Second, busy)
	since := time.Now()
	r := w.migrate()
	took := time.Since(since)
	heads := ci.end(t)
	t.Logf("%d repositories in %s, %d of them with commits meanwhile", teams, took.Round(time.Second), len(heads))
	limit := 5 * time.Minute
	if !measured() {
		limit = time.Duration(float64(limit) * machine.Crowd())
	}
	if took > limit {
		t.Errorf("the fleet took %s, want %s at most", took, limit)
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
		w.owned(team, true)
	}
	migrated := w.trees()
	commits := expected(t, w.Teams, planned, migrated)
	t.Logf("commits changed %d objects", len(commits))
	w.judge(since, time.Time{}, plan, commits, teams)

	// Back: some, while CI goes on and the others stay; then all.
	if len(auditor.Diff(before, ofTeam(w.dump(), quiet))) == 0 {
		t.Fatalf("the hand-over changed nothing of %s, so the comparison shows nothing", quiet.Name)
	}
	ci = w.startPushing(10*time.Second, busy)
	since = time.Now()
	w.run(0, append([]string{"rollback", "--yes"}, repos(some)...)...)
	t.Logf("rollback of %d in %s", len(some), time.Since(since).Round(time.Second))
	heads = ci.end(t)
	w.owned(quiet, false)
	w.becomes(before, "after the rollback of "+quiet.Name, func(d auditor.Dump) auditor.Dump { return ofTeam(d, quiet) })
	w.marked(since, quiet)
	for _, team := range some {
		heads[team.Name] = w.commit(team)
	}
	if err := w.WaitSynced(t.Context(), some...); err != nil {
		t.Errorf("after the rollback of %d: %v", len(some), err)
	}
	for _, team := range some {
		w.owned(team, false)
	}
	for _, team := range others {
		if sha := heads[team.Name]; sha != "" {
			w.arrives(team, sha)
		}
		w.owned(team, true)
	}
	all := time.Now()
	w.run(0, "rollback", "--yes")
	t.Logf("rollback of the other %d in %s", len(others), time.Since(all).Round(time.Second))
	for _, team := range w.Teams {
		w.commit(team)
	}
	if err := w.WaitSynced(t.Context()); err != nil {
		t.Errorf("after the rollback of all: %v", err)
	}
	for _, team := range w.Teams {
		w.owned(team, false)
	}
	for id, phase := range w.phases() {
		if phase != "rolled-back" {
			t.Errorf("%s is %s", id, phase)
		}
	}
	w.pass(auditor.Options{Since: since, Expected: expected(t, w.Teams, migrated, w.trees())})
}

func TestHalfAFleetInTheFluxCapacitorMovesNoWorkload(t *testing.T) {
	besideUnlessMeasured(t)
	teams := 4
	if measured() {
		teams = fleetSize(t)
	}
	w := up(t, laboratory.Options{Teams: teams, Apps: 6, Seed: 9, PollInterval: pollInterval(teams), SyncInterval: 5 * time.Minute})
	plan := w.plan()
	c := newCapacitor(w)
	half, rest := w.Teams[:teams/2], w.Teams[teams/2:]

	since := time.Now()
	w.migrate(append(c.flags(c.writer, c.knownHosts), repos(half)...)...)
	settled := time.Now()
	t.Logf("%d repositories into the flux-capacitor in %s", len(half), settled.Sub(since).Round(time.Second))
	w.judge(since, settled, plan, nil, len(half))
	if got := c.teams(); !slices.Equal(got, accounts(half)) {
		t.Fatalf("the flux-capacitor holds %q, want %q", got, accounts(half))
	}

	// A sweeping change of all of them, applied through the flux-capacitor.
	edits := map[string][]byte{}
	for p, content := range c.files() {
		for _, team := range half {
			if strings.HasPrefix(p, "clusters/lab/"+account(team)+"/") && strings.Contains(string(content), "kind: Kustomization\n") {
				edits[p] = []byte(strings.Replace(string(content), "\n  interval: ", "\n  interval: 17m0s # was ", 1))
			}
		}
	}
	if len(edits) < len(half) {
		t.Fatalf("only %d files of Kustomizations in the flux-capacitor", len(edits))
	}
	if _, err := w.Git.Commit(t.Context(), c.repo, "main", "slower", edits); err != nil {
		t.Fatal(err)
	}
	w.kubectl("-n", "flux-system", "annotate", "--overwrite", "gitrepository/flux-capacitor", "reconcile.fluxcd.io/requestedAt="+time.Now().Format(time.RFC3339Nano))
	w.eventually(5*time.Minute, "the new interval of all", func(ctx context.Context) bool {
		list, err := w.dynamic().Resource(kustomizations).Namespace("flux-system").List(ctx, metav1.ListOptions{LabelSelector: "fluxover.dev/release"})
		if err != nil {
			return false
		}
		slower := 0
		for i := range list.Items {
			interval, _, _ := unstructured.NestedString(list.Items[i].Object, "spec", "interval")
			if interval == "17m0s" && ready(&list.Items[i]) {
				slower++
			}
		}
		return slower == len(edits)
	})
	w.wroteNothing(auditor.Options{Since: settled, Until: time.Now()}, w.Teams, auditor.Flux1) // the old agents of the rest still sync
	// The others are handed over beside it.
	w.migrate(repos(rest)...)
	w.wroteNothing(auditor.Options{Since: settled}, half)
	for _, team := range w.Teams {
		c.handedOver(team)
	}
	w.judge(settled, time.Time{}, plan, nil, len(rest))

	w.run(0, "rollback", "--yes")
	for _, team := range w.Teams {
		w.commit(team)
	}
	if err := w.WaitSynced(t.Context()); err != nil {
		t.Errorf("after the rollback of all: %v", err)
	}
	for _, team := range w.Teams {
		w.owned(team, false)
	}
	if got := c.teams(); len(got) > 0 {
		t.Errorf("after the rollback of all the flux-capacitor holds %q", got)
	}
}
