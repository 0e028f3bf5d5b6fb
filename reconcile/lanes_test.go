package reconcile

import (
	"context"
	"testing"
	"time"
)

func TestSlowWorkMakesRoomForOthers(t *testing.T) {
	l := newLanes(1, 20*time.Millisecond)
	slow, err := l.enter(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	quick, err := l.enter(ctx)
	if err != nil {
		t.Fatal("slow work holds the only fast lane for ever")
	}
	quick()
	quick()
	slow()
	if len(l.fast) != 0 || len(l.slow) != 0 {
		t.Errorf("%d fast and %d slow places are still taken", len(l.fast), len(l.slow))
	}
}

func TestWorkIsBounded(t *testing.T) {
	l := newLanes(2, time.Hour)
	for range 2 {
		if _, err := l.enter(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.enter(ctx); err == nil {
		t.Error("a third entered two lanes")
	}
}
