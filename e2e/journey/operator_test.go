package journey

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// progressLine is a line of a run's progress: time, repository, step and what
// became of it.
var progressLine = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d  (\S+)  +(\S+) +(done|failed|undone) `)

// atATime is the largest number of repositories that a run had begun with, and
// not ended, at the same time. A repository begins and ends with these steps.
func atATime(stderr, first, last string) int {
	at, most := map[string]bool{}, 0
	for _, line := range progressLine.FindAllStringSubmatch(stderr, -1) {
		switch repository, step := line[1], line[2]; {
		case step == first:
			at[repository] = true
			most = max(most, len(at))
		case step == last:
			delete(at, repository)
		}
	}
	return most
}

// decisions writes a decisions file that accepts what acceptAll does.
func (w *world) decisions() string {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "decisions.yaml")
	const content = "- code: CLUSTER_ADMIN\n  subject: '*'\n  reason: as their old agents had it\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

func TestSeveralRepositoriesAtATimeAreBoundedAndSurviveAKill(t *testing.T) {
	beside(t)
	const teams = 5 // one of them the canary, so that four go at a time
	w := upWith(t, programs.crashing, laboratory.Options{Teams: teams, Apps: 1, Seed: 12, SyncInterval: 10 * time.Minute})
	before := settledContent(withoutOwn(w.dump()))
	decisions := w.decisions()
	var plan struct {
		Accepted     []struct{ Code, Reason string }
		Repositories []struct {
			ID   string
			Wave int
		}
	}
	if err := json.Unmarshal([]byte(w.run(0, "plan", "--decisions", decisions, "-o", "json").out), &plan); err != nil {
		t.Fatal(err)
	}
	for _, a := range plan.Accepted {
		if a.Code != "CLUSTER_ADMIN" || a.Reason != "as their old agents had it" {
			t.Errorf("the plan accepts %+v, want what the file says", a)
		}
	}
	if len(plan.Accepted) != teams {
		t.Errorf("the plan accepts %d findings, want one of each repository", len(plan.Accepted))
	}
	victim := plan.Repositories[0].ID
	for _, r := range plan.Repositories {
		if r.Wave == 2 {
			victim = r.ID // the last: others begin before it
		}
	}
	migrate := func(parallel int) []string {
		return []string{"migrate", "--yes", "--image", image, "--decisions", decisions, "--max-parallel", fmt.Sprint(parallel)}
	}
	back := func(parallel int, after string) {
		t.Helper()
		r := w.run(0, "rollback", "--yes", "--max-parallel", fmt.Sprint(parallel))
		if most := atATime(r.stderr, "undo-adopt", "undo-lock"); most > parallel {
			t.Errorf("%d repositories went back at a time, want %d at most\n%s", most, parallel, r.stderr)
		}
		w.becomes(before, "rolled back after "+after, func(d auditor.Dump) auditor.Dump { return settledContent(withoutOwn(d)) })
	}

	r := w.run(0, migrate(2)...)
	if most := atATime(r.stderr, "lock", "settle"); most != 2 {
		t.Errorf("%d repositories were under way at a time, want 2\n%s", most, r.stderr)
	}
	whole := settledContent(w.dump())
	back(1, "an unbroken run")

	for _, point := range sample(t, 2, []string{"stage|before-done", "fence|after-started", "adopt|after-started", "settle|before-started"}) {
		broken := func(w *world) {
			w.t.Helper()
			r := w.try([]string{"FLUXOVER_CRASH=" + victim + "|" + point}, migrate(4)...)
			if !r.killed {
				w.t.Fatalf("it never came to %s, and ended with exit code %d\n%s", point, r.code, r.stderr)
			}
			if under := w.underWay(); len(under) < 2 {
				w.t.Errorf("only %q were under way when it was killed, want several\n%s", under, r.stderr)
			}
		}
		t.Run("killed at "+point+" with others under way, all go on", func(t *testing.T) {
			w := &world{Lab: w.Lab, t: t, cache: w.cache}
			broken(w)
			w.run(0, migrate(4)...)
			same(t, "after going on", whole, settledContent(w.dump()))
		})
		back(4, point+" and going on")
		t.Run("killed at "+point+" with others under way, all go back", func(t *testing.T) {
			broken(&world{Lab: w.Lab, t: t, cache: w.cache})
		})
		back(4, point)
	}
}

// underWay are the repositories that were begun and are not settled, with the
// step that was begun last.
func (w *world) underWay() []string {
	w.t.Helper()
	var report struct {
		Repositories []struct{ ID, Step, Phase string }
	}
	if err := json.Unmarshal([]byte(w.run(0, "status", "-o", "json").out), &report); err != nil {
		w.t.Fatal(err)
	}
	var under []string
	for _, r := range report.Repositories {
		if r.Step != "" && r.Phase != "settled" {
			under = append(under, r.ID+" "+r.Step)
		}
	}
	return under
}

// background is a run of the program that a test looks at while it goes on.
type background struct {
	*exec.Cmd
	out  bytes.Buffer
	done chan error
}

// start runs the program in the background; it is killed with the test at last.
func (w *world) start(args ...string) *background {
	w.t.Helper()
	b := &background{Cmd: w.command(w.t.Context(), nil, args...), done: make(chan error, 1)}
	b.Stdout, b.Stderr = &b.out, &b.out
	if err := b.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { b.done <- b.Wait() }()
	return b
}

// ends demands the exit code of a run in the background, within two minutes.
func (w *world) ends(b *background, want int) {
	w.t.Helper()
	select {
	case <-b.done:
		if got := b.ProcessState.ExitCode(); got != want {
			w.t.Errorf("fluxover %s: exit code %d, want %d\n%s", strings.Join(b.Args[1:], " "), got, want, b.out.String())
		}
	case <-time.After(2 * time.Minute):
		w.t.Fatalf("fluxover %s does not end", strings.Join(b.Args[1:], " "))
	}
}

// come waits until as many repositories are in the phase.
func (w *world) come(n int, phase string) {
	w.t.Helper()
	w.eventually(2*time.Minute, fmt.Sprintf("%d repositories %s", n, phase), func(context.Context) bool {
		return len(w.in(phase)) == n
	})
}

// in are the repositories in a phase.
func (w *world) in(phase string) []string {
	w.t.Helper()
	var ids []string
	for id, p := range w.phases() {
		if p == phase {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestOperatorsPauseResumeAndAbort(t *testing.T) {
	beside(t)
	w := up(t, laboratory.Options{Teams: 3, Apps: 1, Seed: 13, SyncInterval: 10 * time.Minute})
	before := withoutOwn(w.dump())
	const nothing = "no migration was begun in this cluster"
	for _, command := range [][]string{{"pause"}, {"resume"}, {"abort", "--yes"}} {
		w.unchanged(func() { w.answers(answer{1, []string{nothing, "nothing has changed"}, nil, 0}, command...) })
	}

	// Paused while the canary is held: it does not settle when the hold is
	// over, and no other is begun, until resumed.
	run := w.start(migrateArgs("--hold", "30s")...)
	w.come(1, "holding")
	w.answers(answer{0, []string{"paused: each repository stops before its next step"}, nil, 0}, "pause")
	w.answers(answer{0, []string{"paused", "fluxover resume"}, nil, 0}, "status")
	time.Sleep(33 * time.Second) // the hold, and a little more: that nothing settles shows only then
	select {
	case <-run.done:
		t.Fatalf("the migration ended while it was paused:\n%s", run.out.String())
	default:
	}
	if held, settled := w.in("holding"), w.in("settled"); len(held) != 1 || len(settled) > 0 {
		t.Errorf("while paused %q are held and %q settled, want one held and nothing settled", held, settled)
	}
	w.answers(answer{0, []string{"resumed"}, nil, 0}, "resume")
	w.ends(run, 0)
	w.come(3, "settled")
	w.run(0, "rollback", "--yes")
	w.becomes(before, "after the rollback", withoutOwn)

	// Aborted while one is held: what is unfinished goes back, what is settled stays.
	w.run(0, migrateArgs("--wave", "1")...)
	settled := w.in("settled")
	if len(settled) != 1 {
		t.Fatalf("wave 1 settled %q, want one repository", settled)
	}
	run = w.start(migrateArgs("--hold", "10m")...)
	w.come(2, "holding")
	if text := w.run(0, "status").out; !strings.Contains(text, "at work since ") || !strings.Contains(text, " (fluxover migrate") {
		t.Errorf("status does not say who is at work:\n%s", text)
	}
	r := w.answers(answer{0, []string{"asked ", "to stop and roll back"}, nil, 0}, "abort", "--yes")
	if got := strings.Count(r.out, " aborted "); got != 2 || !strings.Contains(r.out, settled[0]) {
		t.Errorf("abort says that %d repositories were aborted, want 2, beside what stays settled:\n%s", got, r.out)
	}
	w.ends(run, 1)
	if !strings.Contains(words(run.out.String()), "aborted") {
		t.Errorf("the migration does not say that it was aborted:\n%s", run.out.String())
	}
	if now := w.in("settled"); !slices.Equal(now, settled) || len(w.in("aborted")) != 2 {
		t.Errorf("after the abort %q are settled and %q aborted, want %q settled and the others aborted", now, w.in("aborted"), settled)
	}
	if err := w.WaitSynced(t.Context()); err != nil {
		t.Errorf("after the abort: %v", err)
	}
	// An abort stays in nobody's way.
	w.migrate()
	w.come(3, "settled")
	w.run(0, "rollback", "--yes")
	w.becomes(before, "after the last rollback", withoutOwn)
}

// shell runs lines in a folder with the laboratory's kubectl and the program to
// test, and demands that they succeed.
func (w *world) shell(folder, lines string) {
	w.t.Helper()
	if err := w.inShell(folder, lines); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) inShell(folder, lines string) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu")
	cmd.Dir, cmd.Stdin = folder, strings.NewReader(lines)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig, "XDG_CACHE_HOME="+w.cache, "PATH="+w.ControlPlane.BinDir+":"+w.BinDir+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s\n%s", err, out, lines)
	}
	return nil
}

// What the runbook says does by hand what migrate does, and its way back what
// rollback does.
func TestARepositoryIsHandedOverByHandFromTheRunbook(t *testing.T) {
	beside(t)
	w := up(t, laboratory.Options{Teams: 2, Apps: 2, Seed: 14, SyncInterval: 10 * time.Minute})
	first, second := w.Teams[0], w.Teams[1]
	w.migrate("--repo", id(first)) // with the agent
	var script string
	w.unchanged(func() {
		script = w.run(0, append([]string{"migrate", "--runbook", "--repo", id(second)}, acceptAll...)...).out
	})
	secrets := w.secretValues()
	if len(secrets) == 0 {
		t.Fatal("there is no secret to search for")
	}
	for name, value := range secrets {
		if strings.Contains(script, value) {
			t.Errorf("the runbook holds the value of %s", name)
		}
	}
	plan := w.plan()
	before := ofTeam(w.dump(), second)
	since, folder := time.Now(), t.TempDir()
	const identity = "= " // the UID of kube-system
	if i := strings.Index(script, identity); i < 0 || w.inShell(folder, script[:i+len(identity)]+"0"+script[i+len(identity):]) == nil {
		t.Error("the runbook runs in another cluster than the plan's")
	}
	w.shell(folder, script)
	report := w.pass(auditor.Options{Since: since, Plan: plan, MaxGap: time.Minute})
	if !slices.ContainsFunc(report.Handovers, func(h auditor.Handover) bool { return h.Adopted.After(since) && h.Gap != nil }) {
		t.Error("the auditor saw no repository handed over by hand")
	}
	if len(auditor.Diff(before, ofTeam(w.dump(), second))) == 0 {
		t.Error("handing over by hand changed nothing")
	}
	w.arrives(second, w.commit(second))

	// Not twice over one snapshot, and not once another commit was synced.
	if err := w.inShell(folder, script); err == nil {
		t.Error("the runbook runs a second time, over its snapshot")
	}
	// Back, from the last step to the first.
	var back []string
	for _, step := range strings.Split(script, "\n#### ") {
		var lines []string
		for _, line := range strings.Split(step, "\n") {
			if undo, ok := strings.CutPrefix(line, "#back "); ok {
				lines = append(lines, undo)
			}
		}
		back = append(lines, back...)
	}
	if len(back) < 8 {
		t.Fatalf("the way back by hand is %q", back)
	}
	w.shell(filepath.Join(folder, filepath.FromSlash(id(second))), strings.Join(back, "\n"))
	if left := w.kubectl("-n", "flux-system", "get", "secrets", "-o", "name"); strings.Contains(left, account(second)) {
		t.Errorf("the way back by hand leaves %s", left)
	}
	w.commit(second)
	if err := w.WaitSynced(t.Context(), second); err != nil {
		t.Errorf("after the way back by hand: %v", err)
	}
	stale := t.TempDir()
	if err := w.inShell(stale, script); err == nil {
		t.Error("the runbook adopts a commit from before the last one that the old agent synced")
	}
	if _, err := os.Stat(filepath.Join(stale, filepath.FromSlash(id(second)), "deployment.yaml")); err == nil {
		t.Error("the runbook went on though another commit was synced since")
	}
	w.answers(answer{3, []string{"left out, since findings hold them back: " + id(second)}, nil, 0}, "migrate", "--runbook", "--repo", id(second))
	commits := expected(t, []fleet.Team{second}, map[string]map[string][]byte{second.Name: second.Files}, w.trees())
	for _, v := range w.audit(auditor.Options{Since: since, Plan: plan, MaxGap: time.Minute, Expected: commits}).Violations {
		// That the old agent may write again, the log shows of a rollback by the program alone.
		if v.Check != auditor.CheckInterleaved {
			t.Errorf("%s: %s: %s", v.Check, v.Subject, v.What)
		}
	}
	for _, made := range []string{"gitrepositories.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io"} {
		if left := w.kubectl("-n", "flux-system", "get", made, "-o", "name"); strings.Contains(left, account(second)) {
			t.Errorf("%s is left of what was made by hand", left)
		}
	}
	// And the program can do it after all.
	w.migrate("--repo", id(second))
}

func TestCommitsSinceThePlanAndFieldsSetByHand(t *testing.T) {
	beside(t)
	w := up(t, laboratory.Options{Teams: 1, Apps: 2, Seed: 15, SyncInterval: 10 * time.Minute})
	team := w.Teams[0]

	// A commit that the plan does not know is taken as --commits says.
	file := filepath.Join(t.TempDir(), "plan.json")
	w.run(0, planArgs("--out", file)...)
	sha := w.commit(team)
	w.synced(team)
	workloads := withoutOwn(w.dump())
	w.answers(answer{1, []string{id(team), "moved since the plan was made: the commit, from", "to " + sha[:12], "plan again and review", "nothing was changed"}, nil, 0},
		"migrate", file, "--yes", "--image", image, "--commits", "exact")
	same(t, "after a commit was refused", workloads, withoutOwn(w.dump()))
	if phase := w.phases()[id(team)]; phase != "blocked" {
		t.Errorf("a repository with a commit that is not taken is %s, want blocked", phase)
	}
	for _, commits := range []string{"equivalent", "any"} {
		if r := w.run(0, "migrate", file, "--yes", "--image", image, "--commits", commits); !strings.Contains(words(r.stderr), sha[:7]) {
			t.Errorf("--commits %s does not name the commit that it takes:\n%s", commits, r.stderr)
		}
		w.run(0, "rollback", "--yes")
		w.synced(team)
	}

	// Fields that were set by hand go with the adoption. A rollback puts them
	// back, those of pod templates only when it is asked to.
	deployment := strings.Fields(w.kubectl("-n", team.Namespace, "get", "deployments", "-o", "name"))[0]
	seconds := func() string {
		return w.kubectl("-n", team.Namespace, "get", deployment, "-o", "jsonpath={.spec.minReadySeconds}")
	}
	restarted := func() string {
		return w.kubectl("-n", team.Namespace, "get", deployment, "-o", `jsonpath={.spec.template.metadata.annotations.kubectl\.kubernetes\.io/restartedAt}`)
	}
	for _, c := range []struct {
		flags    []string
		restored bool
	}{{nil, false}, {[]string{"--pod-templates"}, true}} {
		w.kubectl("-n", team.Namespace, "patch", deployment, "--field-manager=kubectl-edit", "-p", `{"spec":{"minReadySeconds":3}}`)
		w.kubectl("-n", team.Namespace, "rollout", "restart", deployment)
		at := restarted()
		if at == "" || seconds() != "3" {
			t.Fatalf("by hand were set %q and %q", at, seconds())
		}
		w.run(3, planArgs()...) // a decision is asked for
		w.answers(answer{0, []string{"restartedAt", "minReadySeconds"}, nil, 0}, migrateArgs("--accept", "PODS_RESTART=*")...)
		if got := restarted(); got != "" || seconds() == "3" {
			t.Errorf("after the adoption there are %q and %q, want neither", got, seconds())
		}
		r := w.run(0, append([]string{"rollback", "--yes"}, c.flags...)...)
		if got := restarted(); (got == at) != c.restored || seconds() != "3" {
			t.Errorf("after rollback %q there are %q and %q, want %q back: %t, and 3", c.flags, got, seconds(), at, c.restored)
		}
		if said := strings.Contains(words(r.stderr), "was removed by the adoption and stays so"); said == c.restored {
			t.Errorf("rollback %q says of the field that it leaves: %t\n%s", c.flags, said, r.stderr)
		}
		w.synced(team)
	}
}
