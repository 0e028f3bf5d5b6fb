package cutover

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxover/fluxover/migrate"
)

// dieBeforeTheStop ends a run in step fence before anything was stopped.
func (tm *team) dieBeforeTheStop() {
	tm.t.Helper()
	hit := false
	tm.crash = crashPoint{"fence", AfterStarted}.at(&hit)
	if err := tm.migrate(); !errors.Is(err, errCrash) || !hit {
		tm.t.Fatalf("want a crash, got %v", err)
	}
	tm.crash = nil
	tm.breakLease()
}

// shutOutByTheDead ends a run in step fence as dieBeforeTheStop, and gives a pod
// that came since: the fence that the run may have put up refuses what it writes.
func (tm *team) shutOutByTheDead() *corev1.Pod {
	tm.t.Helper()
	tm.dieBeforeTheStop()
	j := tm.journal()
	dead := &repository{env: &env{c: tm.lab.c, store: store{c: tm.lab.c}, run: j.Run, emit: func(Event) {}, limits: testLimits.filled()}, id: tm.id, j: j}
	first := tm.oldPod("")
	tm.must(dead.raise(tm.ctx(), []types.UID{first.UID}))
	tm.must(tm.lab.c.Kube.CoreV1().Pods(tm.flux).Delete(tm.ctx(), first.Name, metav1.DeleteOptions{}))
	second := tm.oldPod(first.Name)
	tm.must(tm.await(func() bool { return refusedByFence(tm.write(asPod(second)), tm.id) }))
	return second
}

func TestAFenceThatNobodyTendsIsTakenDownAlsoWhereTheEngineCannotBeInstalled(t *testing.T) {
	other, tm := newTeam(t), newTeam(t)
	second := tm.shutOutByTheDead()
	both, replan := together(other, tm, func(plan *migrate.Plan) { plan.ClusterAgent.Engine = "flux2" })
	err := New(tm.lab.c, both(), replan, tm.options(), tm.record).Migrate(tm.ctx())
	if err == nil || !strings.Contains(err.Error(), "install the ClusterAgent") {
		t.Fatalf("want that the engine cannot be installed, got %v", err)
	}
	if err := tm.write(asPod(second)); err != nil {
		t.Errorf("no engine works for the repository, and nobody tends its fence: %v", err)
	}
	if state := tm.journal().state("fence"); state != Undone {
		t.Errorf("step fence is %q", state)
	}
	if got := other.status(); got.Phase != PhasePending {
		t.Errorf("the other one: %+v", got)
	}
}

// The old agent was told to end, and is let in again, when the run dies: what it
// began is ended, and said as it is.
func TestARunThatDiedWhileItLetTheOldAgentInIsFollowedByOneThatDoes(t *testing.T) {
	for _, when := range []When{AfterStarted, BeforeDone} {
		tm := newTeam(t)
		before := tm.picture()
		hit := false
		tm.crash = crashPoint{"undo-fence", when}.at(&hit)
		// What the old agent does at its end fails the top-up.
		reads := func(ctx context.Context, agent AgentGit, credential map[string][]byte) (Marks, error) {
			if tm.journal().Fence.GoneAt != nil {
				return Marks{}, errors.New("no answer")
			}
			return tm.marks(ctx, agent, credential)
		}
		if err := tm.migrate(func(o *Options) { o.Marks = reads }); !errors.Is(err, errCrash) || !hit {
			t.Fatalf("%s: want a crash, got %v", when, err)
		}
		tm.crash = nil
		tm.breakLease()
		heard := len(tm.events)
		replicas := int32(-1)
		tm.must(tm.migrate(func(o *Options) {
			o.Crash = func(_, step string, when When) bool {
				if step == "recheck" && when == AfterStarted {
					d, err := tm.lab.c.Kube.AppsV1().Deployments(tm.flux).Get(tm.ctx(), "flux", metav1.GetOptions{})
					tm.must(err)
					replicas = *d.Spec.Replicas
				}
				return false
			}
		}))
		if replicas != 1 {
			t.Errorf("%s: while all is checked again the old agent has %d replicas (-1: nothing was checked)", when, replicas)
		}
		said := ""
		for _, e := range tm.events[heard:] {
			if e.Step == "fence" && strings.Contains(e.Message, "an earlier run ended") {
				said = e.Message
			}
		}
		if !strings.Contains(said, "let the old agent work again") || strings.Contains(said, "not stopped") {
			t.Errorf("%s: it is said that %q", when, said)
		}
		tm.must(tm.rollback())
		tm.same("there and back", before, tm.picture())
	}
}

func TestARunThatDiedBeforeTheStopIsCheckedAndStagedAnew(t *testing.T) {
	tm := newTeam(t)
	second := tm.shutOutByTheDead()
	replans, asked := len(tm.replans), tm.kustomization("web").GetAnnotations()[requestedAt]
	snapshots := tm.journal().Snapshot.Secrets

	rechecked, staged := false, ""
	var while error
	tm.must(tm.migrate(func(o *Options) {
		o.Crash = func(_, step string, when When) bool {
			switch {
			case step == "recheck" && when == AfterStarted:
				rechecked, while = true, tm.write(asPod(second))
			case step == "stage" && when == AfterDone:
				staged = tm.kustomization("web").GetAnnotations()[requestedAt]
			}
			return false
		}
	}))
	if !rechecked || len(tm.replans) == replans {
		t.Error("the plan's inputs were not checked again")
	}
	if while != nil {
		t.Errorf("the old agent is shut out while the run checks: %v", while)
	}
	if staged == "" || staged == asked {
		t.Errorf("the new agent was not asked again: %q, before %q", staged, asked)
	}
	if now := tm.journal().Snapshot.Secrets; len(now) == 0 || now[0] == snapshots[0] {
		t.Errorf("the snapshot is the one of the dead run: %v", now)
	}
}

// What ends a run while the old agent ends is not noted by anybody: neither
// what is left until somebody goes on, nor how long it was.
func TestAGapThatBeganAfterItsRunDiedIsToldAndCounted(t *testing.T) {
	t.Run("nobody comes back", func(t *testing.T) { gapAfterDeath(t, func(*team) {}) })
	t.Run("a pod comes back, which the fence refuses", func(t *testing.T) {
		gapAfterDeath(t, func(tm *team) {
			if out, err := tm.kubectl(false, "", "-n", tm.flux, "scale", "deployment", "flux", "--replicas=1"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			tm.awaitReady()
		})
	})
}

func gapAfterDeath(t *testing.T, then func(*team)) {
	t.Helper()
	tm := newTeam(t)
	hit := false
	tm.crash = crashPoint{"fence", BeforeDone}.at(&hit)
	if err := tm.migrate(); !errors.Is(err, errCrash) || !hit {
		t.Fatalf("want a crash, got %v", err)
	}
	tm.crash = nil
	if got := tm.status(); got.Gap != nil {
		t.Errorf("somebody still tends it, who waits for the old agent's pods: %+v", got)
	}
	tm.breakLease()
	stopped := tm.journal().Fence.StoppedAt
	if stopped == nil {
		t.Fatal("the old agent was not stopped")
	}
	then(tm)
	time.Sleep(5 * time.Second) // the gap
	got := tm.status()
	if got.Phase != PhaseFenced || got.Gap == nil || got.Gap.Duration < 5*time.Second || !strings.Contains(got.Message, "no engine can write it since "+stopped.Format(time.RFC3339)+" at the earliest") {
		t.Errorf("in the gap: %+v", got)
	}
	tm.must(tm.migrate())
	took := time.Since(*stopped)
	got = tm.status()
	if got.Phase != PhaseSettled || got.Gap == nil || got.Gap.Duration < 5*time.Second || got.Gap.Duration > took {
		t.Errorf("afterwards: %+v, and it took %s", got, took)
	}
	if got.WaitingForOldPod != nil || !got.GapAtMost {
		t.Errorf("the gap is told as exact, or a wait for the old pod as known: %v", got.WaitingForOldPod)
	}
}

// It worked all that time: who died had written down that it was to be stopped,
// and no more.
func TestAnOldAgentThatWorkedOnAfterItsRunDiedIsNotCountedAsGap(t *testing.T) {
	tm := newTeam(t)
	hit := false
	tm.crash = crashPoint{fenceStopped, AfterDone}.at(&hit)
	if err := tm.migrate(); !errors.Is(err, errCrash) || !hit {
		t.Fatalf("want a crash, got %v", err)
	}
	tm.crash = nil
	tm.breakLease()
	time.Sleep(5 * time.Second) // in which it works on: what must not be counted
	if got := tm.status(); got.Gap != nil || strings.Contains(got.Message, "no engine") {
		t.Errorf("the old agent works: %+v", got)
	}
	tm.must(tm.migrate())
	if got := tm.status(); got.Gap == nil || got.WaitingForOldPod == nil || got.WaitingForOldPod.Duration < 5*time.Second {
		t.Errorf("afterwards: %+v", got)
	}
}

func TestAnAgentThatTookAnotherAccountIsNotFencedUnderItsOldOne(t *testing.T) {
	tm := newTeam(t)
	tm.dieBeforeTheStop()
	ctx, kube := tm.ctx(), tm.lab.c.Kube
	_, err := kube.CoreV1().ServiceAccounts(tm.flux).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "flux2"}}, metav1.CreateOptions{})
	tm.must(err)
	_, err = kube.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: tm.flux + "-2"},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: tm.flux, Name: "flux2"}},
	}, metav1.CreateOptions{})
	tm.must(err)
	_, err = kube.AppsV1().Deployments(tm.flux).Patch(ctx, "flux", types.MergePatchType, []byte(`{"spec":{"template":{"spec":{"serviceAccountName":"flux2"}}}}`), metav1.PatchOptions{})
	tm.must(err)
	tm.awaitReady()
	// The planning of this test does not see it: the last look must.
	err = tm.migrate()
	if !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "flux2") || !strings.Contains(err.Error(), "rollback --repo "+tm.id) {
		t.Fatalf("want it refused and the account named, got %v", err)
	}
	tm.must(tm.write(nil))
	if d, err := kube.AppsV1().Deployments(tm.flux).Get(ctx, "flux", metav1.GetOptions{}); err != nil || *d.Spec.Replicas != 1 {
		t.Errorf("the old agent was stopped: %v", err)
	}
}

func TestOnceHeldBackANewPlanIsCarriedOut(t *testing.T) {
	tm := newTeam(t)
	tm.plan.Inputs.Agents[tm.id]["RoleBinding/team/edit"] = "ClusterRole/edit"
	if err := tm.migrate(); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "plan again") {
		t.Fatalf("want ErrMoved, got %v", err)
	}
	// Planned again and reviewed.
	tm.plan = tm.makePlan()
	tm.must(tm.migrate())
	if got := tm.status(); got.Phase != PhaseSettled {
		t.Errorf("status: %+v", got)
	}
}

func TestAPlanThatIsNotTheOneStagedIsRefusedUntilThatIsTakenBack(t *testing.T) {
	tm, good := newTeam(t), newTeam(t)
	tm.dieBeforeTheStop()
	before := tm.picture()
	both, replan := together(tm, good, func(*migrate.Plan) {})
	tm.verbs["ConfigMap/settings"] = migrate.ObjectPlan{Verb: migrate.Change, Fields: []string{".data.size"}}
	err := New(tm.lab.c, both(), replan, tm.options(), tm.record).Migrate(tm.ctx())
	if !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "rollback --repo "+tm.id) || !strings.Contains(err.Error(), "verbs") {
		t.Fatalf("want it refused, and the way named, got %v", err)
	}
	blocked := false
	for _, e := range tm.events {
		blocked = blocked || e.State == EventBlocked && e.Repository == tm.id
	}
	if got := good.status(); !blocked || got.Phase != PhaseSettled {
		t.Errorf("held back alone: told %v, the other one %+v", blocked, got)
	}
	tm.same("nothing was changed", before, tm.picture())
	tm.must(tm.rollback())
	delete(tm.verbs, "ConfigMap/settings")
	tm.plan = tm.makePlan()
	tm.must(tm.migrate())
}

// waiting runs a migration up to the wait for a sync that never ends, does
// then, and returns the run's error.
func (tm *team) waiting(then func(cancel context.CancelFunc)) error {
	tm.t.Helper()
	ctx, cancel := context.WithCancel(tm.ctx())
	defer cancel()
	o := tm.options()
	o.SyncWait = 0 // half a minute
	o.Marks = func(context.Context, AgentGit, map[string][]byte) (Marks, error) {
		return Marks{Synced: tm.commit, Head: commitB}, nil
	}
	heard := false
	return New(tm.lab.c, tm.plan, tm.replan, o, func(e Event) {
		tm.record(e)
		if e.Step == "fence" && strings.Contains(e.Message, "waiting up to") && !heard {
			heard = true
			then(cancel)
		}
	}).Migrate(ctx)
}

func (tm *team) mustBeUntouched() {
	tm.t.Helper()
	tm.must(tm.write(nil))
	j := tm.journal()
	if state := j.state("fence"); state != Undone || j.Fence.StoppedAt != nil {
		tm.t.Errorf("fence %q, stopped %v", state, j.Fence.StoppedAt)
	}
	for _, e := range tm.events {
		if e.Step == "top-up" || e.Step == "adopt" {
			tm.t.Fatalf("the cut-over was begun: %+v", e)
		}
	}
}

func TestAnInterruptWhileATurnIsWaitedForStopsNothing(t *testing.T) {
	tm := newTeam(t)
	err := tm.waiting(func(cancel context.CancelFunc) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("want it interrupted, got %v", err)
	}
	tm.mustBeUntouched()
	if got := tm.status(); got.Phase != PhaseStaged {
		t.Errorf("status: %+v", got)
	}
	tm.must(tm.migrate())
}

func TestAnAbortWhileATurnIsWaitedForStopsNothing(t *testing.T) {
	tm := newTeam(t)
	err := tm.waiting(func(context.CancelFunc) {
		_, err := (store{c: tm.lab.c}).changeRun(tm.ctx(), func(record *runRecord) { record.abort = "dave" })
		tm.must(err)
	})
	_, clear := (store{c: tm.lab.c}).changeRun(tm.ctx(), func(record *runRecord) { record.abort = "" })
	tm.must(clear)
	if !errors.Is(err, ErrAborted) {
		t.Fatalf("want it aborted, got %v", err)
	}
	tm.mustBeUntouched()
	if got := tm.status(); got.Phase != PhaseAborted {
		t.Errorf("status: %+v", got)
	}
}

func TestAPauseWhileATurnIsWaitedForTakesTheFenceDownUntilItGoesOn(t *testing.T) {
	tm := newTeam(t)
	who := Identity{User: "dave", Host: "phone"}
	paused, cancelled := make(chan struct{}), make(chan error, 1)
	go func() {
		<-paused
		err := tm.await(func() bool { return tm.journal().state("fence") == Undone })
		if err == nil {
			err = tm.write(nil)
		}
		_, resumed := Resume(tm.ctx(), tm.lab.c, who)
		cancelled <- errors.Join(err, resumed)
	}()
	tm.must(tm.waiting(func(context.CancelFunc) {
		tm.must(Pause(tm.ctx(), tm.lab.c, who))
		close(paused)
	}))
	tm.must(<-cancelled)
	if got := tm.status(); got.Phase != PhaseSettled {
		t.Errorf("after the pause: %+v", got)
	}
	for _, e := range tm.journal().Entries {
		if e.State == Failed {
			t.Errorf("a pause is no failure: %+v", e)
		}
	}
}
