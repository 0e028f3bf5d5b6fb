package cutover

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/reconcile/cluster"
)

// holding is a repository at the beginning of its hold.
func holding(t *testing.T, hold time.Duration, events *[]Event) *repository {
	t.Helper()
	c := &cluster.Client{Kube: fakeWithVersions()}
	r := &repository{
		env: &env{c: c, store: store{c: c}, emit: func(e Event) { *events = append(*events, e) }, hold: hold},
		id:  "flux/a",
		j:   &journal{Repository: "flux/a", plan: &planSlice{}, Agent: agentFacts{Namespace: "flux", Workload: "a", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "flux"}}}},
	}
	if _, err := r.store.changeRun(t.Context(), func(*runRecord) {}); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAPauseDoesNotUseUpTheLimitOfTheHold(t *testing.T) {
	var events []Event
	r := holding(t, 2*time.Second, &events)
	if err := Pause(t.Context(), r.c, Identity{User: "dave", Host: "phone"}); err != nil {
		t.Fatal(err)
	}
	// The step's limit is the hold and five minutes; here a little more.
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	if err := holdAndWatch(ctx, r); err != nil {
		t.Errorf("paused for longer than the hold: %v", err)
	}
	said := 0
	for _, e := range events {
		if strings.Contains(e.Message, "paused by dave") {
			said++
		}
	}
	if said != 1 {
		t.Errorf("the pause is to be told once: %+v", events)
	}
	// It holds up what comes next, without a limit.
	waiting, stop := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer stop()
	if err := r.mayGoOn(waiting); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the next step began although the run is paused: %v", err)
	}
	for _, want := range []bool{true, false} {
		if lifted, err := Resume(t.Context(), r.c, Identity{User: "dave", Host: "phone"}); err != nil || lifted != want {
			t.Fatalf("lifted %t, %v, want %t", lifted, err, want)
		}
	}
	if err := r.mayGoOn(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnAbortEndsTheHold(t *testing.T) {
	var events []Event
	r := holding(t, time.Hour, &events)
	if _, err := r.store.changeRun(t.Context(), func(record *runRecord) { record.abort = "dave" }); err != nil {
		t.Fatal(err)
	}
	if err := holdAndWatch(t.Context(), r); !errors.Is(err, ErrAborted) {
		t.Errorf("got %v", err)
	}
}
