package cutover

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxover/fluxover/migrate"
)

func TestAPodThatDoesNotEndKeepsNobodyElseQuiet(t *testing.T) {
	tm := newTeam(t)
	r := tm.atTheFence()
	r.quiet = semaphore.NewWeighted(silence)
	pod := tm.oldPod("")
	hold := func(patch string) {
		_, err := tm.lab.c.Kube.CoreV1().Pods(tm.flux).Patch(tm.ctx(), pod.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		tm.must(err)
	}
	hold(`{"metadata":{"finalizers":["test.example/hold"]}}`)
	ended := make(chan error, 1)
	go func() { ended <- fence(tm.ctx(), r) }()
	tm.must(tm.await(func() bool {
		p, err := tm.lab.c.Kube.CoreV1().Pods(tm.flux).Get(tm.ctx(), pod.Name, metav1.GetOptions{})
		tm.must(err)
		return p.DeletionTimestamp != nil
	}))
	ctx, cancel := context.WithTimeout(tm.ctx(), 30*time.Second)
	defer cancel()
	err := r.quiet.Acquire(ctx, 1)
	if err == nil {
		r.quiet.Release(1)
	}
	hold(`{"metadata":{"finalizers":null}}`)
	tm.must(<-ended)
	if err != nil {
		t.Error("a pod that is terminating keeps everybody from checking and staging")
	}
	if !r.hushed {
		t.Error("it is not quiet once the pod is gone")
	}
	r.leaveGap()
}

func TestAWaitForTheQuietIsToldAndItsEndIsExplained(t *testing.T) {
	told := make(chan Event, 1)
	shared := &env{quiet: semaphore.NewWeighted(silence), emit: func(e Event) { told <- e }}
	r := &repository{env: shared, id: "flux/b"}
	if !shared.quiet.TryAcquire(silence) {
		t.Fatal("the quiet is taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.aloud(ctx, &step{Name: "stage", Loud: true}) }()
	select {
	case e := <-told:
		if e.State != EventNote || e.Step != "stage" || e.Repository != "flux/b" || !strings.Contains(e.Message, "without an engine") {
			t.Errorf("told: %+v", e)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing is said of a long wait")
	}
	cancel()
	err := <-ended
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "hand over flux/b: interrupted before step stage") {
		t.Errorf("got %v", err)
	}
}

// A sync of the old agent while its Repository waits for its turn is planned for
// again: all the reads and dry-runs of a first plan.
func TestWhatWasSyncedMeanwhileIsNotPlannedForInTheGapOfAnother(t *testing.T) {
	asked := make(chan struct{}, 1)
	enough := errors.New("planned again")
	shared := &env{
		quiet: semaphore.NewWeighted(silence), emit: func(Event) {},
		marks: func(context.Context, AgentGit, map[string][]byte) (Marks, error) {
			return Marks{Synced: commitB, Head: commitB}, nil
		},
		replan: func(context.Context, []string) (migrate.Inventory, migrate.Plan, error) {
			asked <- struct{}{}
			return migrate.Inventory{}, migrate.Plan{}, enough
		},
	}
	r := &repository{env: shared, id: "flux/b", j: &journal{Repository: "flux/b", Commit: "a"}}
	slice, err := slicePlan(&migrate.Plan{Repositories: []migrate.Repository{{ID: "flux/b"}}}, "flux/b")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.j.setPlan(slice); err != nil {
		t.Fatal(err)
	}
	if !shared.quiet.TryAcquire(silence) { // another is in its gap
		t.Fatal("the quiet is taken")
	}
	ended := make(chan error, 1)
	go func() { ended <- r.awaitSyncEnd(t.Context(), time.Now().Add(time.Minute)) }()
	select {
	case <-asked:
		t.Error("planned while another repository is without an engine")
	case err := <-ended:
		t.Fatalf("ended with %v", err)
	case <-time.After(time.Second):
	}
	shared.quiet.Release(silence)
	if err := <-ended; !errors.Is(err, enough) {
		t.Errorf("want it planned afterwards, got %v", err)
	}
	if !shared.quiet.TryAcquire(silence) {
		t.Error("the quiet is kept after planning")
	}
}

func TestWhileTheOldAgentIsLetInAgainNobodyNeedsToBeQuiet(t *testing.T) {
	shared := &env{gaps: make(chan struct{}, atOnce), quiet: semaphore.NewWeighted(silence), emit: func(Event) {}}
	r := &repository{env: shared, id: "flux/a"}
	if err := r.enterGap(t.Context()); err != nil || !r.hushed {
		t.Fatalf("%v, hushed %v", err, r.hushed)
	}
	r.endHush()
	if r.hushed || !r.inGap || !shared.quiet.TryAcquire(1) {
		t.Error("the quiet was not given back")
	}
	shared.quiet.Release(1)
	r.leaveGap()
	if !shared.quiet.TryAcquire(silence) {
		t.Error("the quiet was given back twice, or not at all")
	}
}
