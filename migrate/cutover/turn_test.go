package cutover

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxover/fluxover/migrate"
)

// atTheFence is the team's repository right before its fence, with one turn
// for all.
func (tm *team) atTheFence() *repository {
	tm.t.Helper()
	agent := tm.agent()
	r := &repository{
		env: &env{
			c: tm.lab.c, store: store{c: tm.lab.c}, run: "run-of-" + tm.name, emit: oneAtATime(tm.record),
			held: context.Background(), gaps: make(chan struct{}, atOnce), limits: testLimits.filled(),
		},
		id: tm.id, j: &journal{Repository: tm.id, Run: "run-of-" + tm.name, Commit: tm.commit, Agent: factsOf(&agent)},
	}
	_, err := r.store.changeRun(tm.ctx(), func(*runRecord) {})
	tm.must(err)
	slice, err := slicePlan(&tm.plan, tm.id)
	tm.must(err)
	tm.must(r.j.setPlan(slice))
	settings := tm.live("ConfigMap", "settings")
	r.snap = &snapshot{Repository: tm.id, Objects: []heldObject{{ID: migrate.ObjectID(settings), Object: settings}}}
	tm.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		tm.must(r.lower(ctx))
		tm.must(r.scale(ctx, 1))
		err := tm.lab.c.Kube.CoreV1().ConfigMaps(migrate.StateNamespace).Delete(ctx, journalName(tm.id), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			tm.t.Error(err)
		}
	})
	return r
}

// oldPod is the one pod of the team's old agent, other than the one given.
func (tm *team) oldPod(not string) *corev1.Pod {
	tm.t.Helper()
	var found *corev1.Pod
	tm.must(tm.await(func() bool {
		pods, err := tm.lab.c.Kube.CoreV1().Pods(tm.flux).List(tm.ctx(), metav1.ListOptions{LabelSelector: "test=flux1"})
		tm.must(err)
		for i := range pods.Items {
			if p := &pods.Items[i]; p.Name != not && p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				found = p
			}
		}
		return found != nil
	}))
	return found
}

func asPod(p *corev1.Pod) map[string][]string {
	return map[string][]string{extraPodName: {p.Name}, extraPodUID: {string(p.UID)}}
}

func TestAPodThatTakesAnothersPlaceMayWriteUntilTheTurnComes(t *testing.T) {
	tm := newTeam(t)
	r := tm.atTheFence()
	first := tm.oldPod("")
	r.gaps <- struct{}{} // another repository has the turn
	ended := make(chan error, 1)
	go func() { ended <- fence(tm.ctx(), r) }()
	other := map[string][]string{extraPodName: {"flux-bbbbb-bbbbb"}, extraPodUID: {"11111111-1111-1111-1111-111111111111"}}
	tm.must(tm.await(func() bool { return refusedByFence(tm.write(other), tm.id) }))
	tm.must(tm.write(asPod(first)))
	// A node is drained: the pod goes, another comes.
	tm.must(tm.lab.c.Kube.CoreV1().Pods(tm.flux).Delete(tm.ctx(), first.Name, metav1.DeleteOptions{}))
	second := tm.oldPod(first.Name)
	begun := time.Now()
	if err := tm.await(func() bool { return tm.write(asPod(second)) == nil }); err != nil {
		t.Fatalf("the new pod is kept out while it waits, so no agent works: %v", err)
	}
	t.Logf("the new pod could write after %s", time.Since(begun).Round(time.Millisecond))
	if err := tm.write(other); !refusedByFence(err, tm.id) {
		t.Errorf("a pod that nobody knows is not refused: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("the fence did not wait for its turn: %v", err)
	default:
	}
	<-r.gaps
	tm.must(<-ended)
	if !r.inGap || !r.fenced || r.j.Fence.GoneAt == nil {
		t.Errorf("in the gap %v, fenced %v, %+v", r.inGap, r.fenced, r.j.Fence)
	}
	third := map[string][]string{extraPodName: {"flux-bbbbb-ccccc"}, extraPodUID: {"22222222-2222-2222-2222-222222222222"}}
	if err := tm.write(third); !refusedByFence(err, tm.id) {
		t.Errorf("whoever comes after the last pod is to be refused, got %v", err)
	}
}

func TestAPodThatTakesAnothersPlaceMayWriteWhileASyncIsWaitedFor(t *testing.T) {
	tm := newTeam(t)
	r := tm.atTheFence()
	r.syncWait = time.Hour
	var synced atomic.Bool
	r.marks = func(context.Context, AgentGit, map[string][]byte) (Marks, error) {
		m := Marks{Synced: tm.commit, Head: commitB}
		if synced.Load() {
			m.Head = m.Synced
		}
		return m, nil
	}
	r.credential = map[string][]byte{}
	first := tm.oldPod("")
	ended := make(chan error, 1)
	go func() { ended <- fence(tm.ctx(), r) }()
	tm.must(tm.await(func() bool {
		return refusedByFence(tm.write(map[string][]string{extraPodName: {"flux-bbbbb-bbbbb"}}), tm.id)
	}))
	tm.must(tm.lab.c.Kube.CoreV1().Pods(tm.flux).Delete(tm.ctx(), first.Name, metav1.DeleteOptions{}))
	second := tm.oldPod(first.Name)
	if err := tm.await(func() bool { return tm.write(asPod(second)) == nil }); err != nil {
		t.Fatalf("the new pod cannot end the sync that is waited for: %v", err)
	}
	synced.Store(true)
	tm.must(<-ended)
	if !slices.Equal(r.j.Fence.ExemptPods, []types.UID{second.UID}) {
		t.Errorf("exempt for those who go on after a crash: %v, want the pod that ran last", r.j.Fence.ExemptPods)
	}
}

func TestTheTurnIsNotHeldWhileTheOldAgentIsBusy(t *testing.T) {
	tm := newTeam(t)
	r := tm.atTheFence()
	r.syncWait = time.Minute
	// What each look at the marks finds, and whether the turn was held then.
	busy := []bool{false, true, true, false, false}
	var held []bool
	r.marks = func(context.Context, AgentGit, map[string][]byte) (Marks, error) {
		m := Marks{Synced: tm.commit, Head: tm.commit}
		if len(held) < len(busy) && busy[len(held)] {
			m.Head = commitB
		}
		held = append(held, len(r.gaps) > 0)
		return m, nil
	}
	r.credential = map[string][]byte{}
	tm.must(fence(tm.ctx(), r))
	if want := []bool{false, true, false, false, true}; !slices.Equal(held, want) {
		t.Errorf("the turn was held at the looks: %v, want %v", held, want)
	}
}

func TestASyncThatNeverEndsHoldsNothingUp(t *testing.T) {
	tm := newTeam(t)
	r := tm.atTheFence()
	r.syncWait = 2 * time.Second
	looks := 0
	r.marks = func(context.Context, AgentGit, map[string][]byte) (Marks, error) {
		looks++
		return Marks{Synced: tm.commit, Head: commitB}, nil
	}
	r.credential = map[string][]byte{}
	begun := time.Now()
	tm.must(fence(tm.ctx(), r))
	if took := time.Since(begun); took < r.syncWait || took > 30*time.Second {
		t.Errorf("waited %s for a sync that is due, want about %s (%d looks)", took, r.syncWait, looks)
	}
}

func TestATurnThatDoesNotComeIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in a time that no busy machine can stretch
		r := &repository{env: &env{gaps: make(chan struct{}, atOnce)}, id: "flux/a"}
		for range cap(r.gaps) {
			r.gaps <- struct{}{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := r.enterGap(ctx)
		if err == nil || r.inGap {
			t.Fatalf("in the gap %v, %v", r.inGap, err)
		}
		if got, want := err.Error(), "wait for the turn of flux/a to be without an agent: waited 1s, and others were still being handed over"; got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	})
}

func TestASyncOfAnAgentThatIsScaledToZeroIsNotWaitedFor(t *testing.T) {
	tm := newTeam(t)
	r := tm.atTheFence()
	r.syncWait = time.Hour
	r.j.Agent.Replicas = 0
	r.marks = func(context.Context, AgentGit, map[string][]byte) (Marks, error) {
		return Marks{Synced: tm.commit, Head: commitB}, nil
	}
	r.credential = map[string][]byte{}
	ctx, cancel := context.WithTimeout(tm.ctx(), time.Minute)
	defer cancel()
	tm.must(fence(ctx, r))
}
