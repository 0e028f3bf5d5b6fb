package reconcile

import (
	"context"
	"sync"
	"time"
)

const (
	// patience is how long work may stay in a fast lane, and how long it lets
	// first applications pass.
	patience = 5 * time.Second
	// slowLanes is how many slow lanes there are for each fast one.
	slowLanes = 8
	// linger is for how long after a first application the next is looked out
	// for: applications follow the Namespace that they depend on.
	linger = 500 * time.Millisecond
)

// lanes bounds how much work goes on at the same time, and keeps slow work from
// holding up the rest: what has not left its fast lane after a while moves to a
// slow one, if one is free, and the next may enter.
//
// First applications have fast lanes of their own, and others let them pass:
// objects that change hands have no engine until the new one has applied them,
// while a later change finds its old state kept.
type lanes struct {
	fast, first, slow chan struct{}
	patience, linger  time.Duration

	mu      sync.Mutex
	firsts  int           // how many first applications go on or wait to
	passing chan struct{} // closed when they have passed; nil when there are none
	passed  *time.Timer   // closes it
}

func newLanes(width int, patience time.Duration) *lanes {
	return &lanes{
		fast: make(chan struct{}, width), first: make(chan struct{}, width), slow: make(chan struct{}, width*slowLanes),
		patience: patience, linger: linger,
	}
}

// workers is how many goroutines can be inside or waiting usefully.
func (l *lanes) workers() int { return 2*(cap(l.fast)+cap(l.first)) + cap(l.slow) }

// enter waits for a place in a fast lane, having let first applications pass.
// leave gives the place back; calling it again does nothing.
func (l *lanes) enter(ctx context.Context) (leave func(), err error) {
	if passing := l.letPass(); passing != nil {
		timer := time.NewTimer(l.patience)
		defer timer.Stop()
		select {
		case <-passing:
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return l.take(ctx, l.fast, func() {})
}

// enterFirst is enter for the first application of something. One that takes
// long is not let pass for longer than others may stay in their lane.
func (l *lanes) enterFirst(ctx context.Context) (leave func(), err error) {
	l.mu.Lock()
	l.firsts++
	if l.passing == nil {
		l.passing = make(chan struct{})
	}
	if l.passed != nil {
		l.passed.Stop()
	}
	l.mu.Unlock()
	left := sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.firsts--; l.firsts == 0 {
			l.passed = time.AfterFunc(l.linger, l.pass)
		}
	})
	giveBack, err := l.take(ctx, l.first, left)
	if err != nil {
		left()
		return nil, err
	}
	return func() { giveBack(); left() }, nil
}

// letPass returns what to wait for, nil if there is nothing.
func (l *lanes) letPass() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passing
}

// pass lets others go on, unless another first application came.
func (l *lanes) pass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.firsts == 0 && l.passing != nil {
		close(l.passing)
		l.passing = nil
	}
}

// take waits for a place in lane. slow is called when it was held for long.
func (l *lanes) take(ctx context.Context, lane chan struct{}, slow func()) (leave func(), err error) {
	select {
	case lane <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var (
		mu   sync.Mutex
		held = lane
	)
	timer := time.AfterFunc(l.patience, func() {
		slow()
		mu.Lock()
		defer mu.Unlock()
		if held != lane {
			return
		}
		select {
		case l.slow <- struct{}{}:
			<-lane
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
