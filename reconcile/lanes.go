package reconcile

import (
	"context"
	"sync"
	"time"
)

const (
	// patience is how long work may stay in the fast lane.
	patience = 5 * time.Second
	// slowLanes is how many slow lanes there are for each fast one.
	slowLanes = 8
)

// lanes bounds how much work goes on at the same time, and keeps slow work from
// holding up the rest: what has not left the fast lane after a while moves to a
// slow one, if one is free, and the next may enter.
type lanes struct {
	fast, slow chan struct{}
	patience   time.Duration
}

func newLanes(width int, patience time.Duration) *lanes {
	return &lanes{fast: make(chan struct{}, width), slow: make(chan struct{}, width*slowLanes), patience: patience}
}

// workers is how many goroutines can be inside or waiting usefully.
func (l *lanes) workers() int { return 2*cap(l.fast) + cap(l.slow) }

// enter waits for a place in the fast lane. leave gives the place back; calling
// it again does nothing.
func (l *lanes) enter(ctx context.Context) (leave func(), err error) {
	select {
	case l.fast <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var (
		mu   sync.Mutex
		held = l.fast
	)
	timer := time.AfterFunc(l.patience, func() {
		mu.Lock()
		defer mu.Unlock()
		if held != l.fast {
			return
		}
		select {
		case l.slow <- struct{}{}:
			<-l.fast
			held = l.slow
		default: // all slow lanes are taken; it stays where it is
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		if held != nil {
			<-held
			held = nil
		}
	}, nil
}
