package main

import (
	"context"
	"sync"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
)

// replans plans again for Repositories that are handed over at the same time.
// Each discovery reads the whole cluster, so those that are asked for while one
// is under way, to be tried as the same accounts, share the next one, which is as
// fresh as one of their own. One
// that is without an engine meanwhile does not wait for that.
type replans struct {
	// ctx is that of the command: one Repository that gives up must not end the
	// others' answer.
	ctx  context.Context
	plan cutover.Replan

	mu      sync.Mutex
	busy    bool
	waiting []*question
}

// question of one Repository, with its answer once done is closed.
type question struct {
	ids    []string
	staged bool
	done   chan struct{}
	inv    migrate.Inventory
	plan   migrate.Plan
	err    error
}

// replan is a cutover.Replan.
func (r *replans) replan(ctx context.Context, ids []string) (migrate.Inventory, migrate.Plan, error) {
	if cutover.Urgent(ctx) {
		return r.plan(ctx, ids)
	}
	q := &question{ids: ids, staged: cutover.Staged(ctx), done: make(chan struct{})}
	r.mu.Lock()
	r.waiting = append(r.waiting, q)
	if !r.busy {
		r.busy = true
		go r.answer()
	}
	r.mu.Unlock()
	select {
	case <-q.done:
		return q.inv, q.plan, q.err
	case <-ctx.Done():
		return migrate.Inventory{}, migrate.Plan{}, context.Cause(ctx)
	}
}

// answer goes on until nobody waits.
func (r *replans) answer() {
	for {
		r.mu.Lock()
		var together, others []*question
		for _, q := range r.waiting {
			if q.staged == r.waiting[0].staged {
				together = append(together, q)
			} else {
				others = append(others, q)
			}
		}
		r.waiting = others
		r.busy = len(together) > 0
		r.mu.Unlock()
		if len(together) == 0 {
			return
		}
		ctx := r.ctx
		if together[0].staged {
			ctx = cutover.AsStaged(ctx)
		}
		all := &question{}
		for _, q := range together {
			all.ids = append(all.ids, q.ids...)
		}
		all.inv, all.plan, all.err = r.plan(ctx, all.ids)
		for _, q := range together {
			q.inv, q.plan, q.err = all.inv, all.plan, all.err
			if all.err != nil && len(together) > 1 {
				// It may be the trouble of one of them.
				q.inv, q.plan, q.err = r.plan(ctx, q.ids)
			}
			close(q.done)
		}
	}
}
