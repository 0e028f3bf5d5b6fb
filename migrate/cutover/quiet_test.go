package cutover

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"
)

func TestNoLoudStepBeginsWhileAnotherIsInItsGap(t *testing.T) {
	shared := &env{gaps: make(chan struct{}, atOnce), quiet: semaphore.NewWeighted(silence), emit: func(Event) {}}
	inGap, other := &repository{env: shared, id: "flux/a"}, &repository{env: shared, id: "flux/b"}

	// A loud step that is under way ends first.
	if !shared.quiet.TryAcquire(1) {
		t.Fatal("the quiet is taken")
	}
	entered := make(chan error, 1)
	go func() { entered <- inGap.enterGap(t.Context()) }()
	select {
	case err := <-entered:
		t.Fatalf("in the gap beside a loud step: %v", err)
	case <-time.After(50 * time.Millisecond): // nothing tells that it waits
	}
	shared.quiet.Release(1)
	if err := <-entered; err != nil || !inGap.hushed {
		t.Fatalf("the gap was not entered quietly: %v, hushed %v", err, inGap.hushed)
	}

	loud := &step{Name: "recheck", Loud: true, Limit: within(time.Minute), Do: func(context.Context, *repository) error {
		t.Error("the loud step was begun")
		return nil
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := other.aloud(ctx, loud); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a loud step beside a gap: %v", err)
	}
	inGap.leaveGap()
	if inGap.inGap || inGap.hushed || !shared.quiet.TryAcquire(silence) {
		t.Error("the gap was left and its quiet was not")
	}
}
