package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
)

// What is tried as one account is no answer to who asks about the other.
func TestReplansOfWhatIsStagedAreTriedAsTheFutureAccount(t *testing.T) {
	var mu sync.Mutex
	asked := map[bool][]string{}
	begun, goOn := make(chan struct{}), make(chan struct{})
	r := &replans{ctx: t.Context(), plan: func(ctx context.Context, ids []string) (migrate.Inventory, migrate.Plan, error) {
		if slices.Contains(ids, "first") {
			close(begun)
			<-goOn
		}
		opts := again(ctx, migrate.Options{Repositories: []string{"all"}, GroupBy: "path"}, ids)
		mu.Lock()
		defer mu.Unlock()
		asked[opts.Staged] = append(asked[opts.Staged], opts.Repositories...)
		if opts.GroupBy != "path" {
			t.Errorf("options: %+v", opts)
		}
		return migrate.Inventory{}, migrate.Plan{}, nil
	}}
	var group sync.WaitGroup
	ask := func(ctx context.Context, id string) {
		group.Go(func() {
			if _, _, err := r.replan(ctx, []string{id}); err != nil {
				t.Error(err)
			}
		})
	}
	ask(t.Context(), "first")
	<-begun
	ask(t.Context(), "a")
	ask(cutover.AsStaged(t.Context()), "b")
	ask(t.Context(), "c")
	ask(cutover.AsStaged(t.Context()), "d")
	for waiting := 0; waiting < 4; runtime.Gosched() {
		r.mu.Lock()
		waiting = len(r.waiting)
		r.mu.Unlock()
	}
	if _, _, err := r.replan(cutover.Urgently(cutover.AsStaged(t.Context())), []string{"urgent"}); err != nil {
		t.Error(err)
	}
	close(goOn)
	group.Wait()
	for staged, want := range map[bool][]string{false: {"a", "c", "first"}, true: {"b", "d", "urgent"}} {
		if got := slices.Sorted(slices.Values(asked[staged])); !slices.Equal(got, want) {
			t.Errorf("staged %v: asked for %q, want %q", staged, got, want)
		}
	}
}

func TestReplansAskedForMeanwhileShareTheNextOne(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	begun, goOn := make(chan struct{}), make(chan struct{})
	r := &replans{ctx: t.Context(), plan: func(_ context.Context, ids []string) (migrate.Inventory, migrate.Plan, error) {
		mu.Lock()
		first := len(asked) == 0
		ids = slices.Sorted(slices.Values(ids))
		asked = append(asked, strings.Join(ids, "+"))
		mu.Unlock()
		if first {
			close(begun)
			<-goOn
		}
		if slices.Contains(ids, "broken") {
			return migrate.Inventory{}, migrate.Plan{}, errors.New("it is broken")
		}
		return migrate.Inventory{Kind: strings.Join(ids, "+")}, migrate.Plan{}, nil
	}}
	var group sync.WaitGroup
	answers := map[string]string{}
	ask := func(id string) {
		group.Go(func() {
			inv, _, err := r.replan(t.Context(), []string{id})
			mu.Lock()
			defer mu.Unlock()
			if answers[id] = inv.Kind; err != nil {
				answers[id] = err.Error()
			}
		})
	}
	ask("a")
	<-begun
	ask("b")
	ask("broken")
	for waiting := 0; waiting < 2; runtime.Gosched() {
		r.mu.Lock()
		waiting = len(r.waiting)
		r.mu.Unlock()
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("given up"))
	if _, _, err := r.replan(gone, []string{"c"}); err == nil || err.Error() != "given up" {
		t.Errorf("who gives up waits on: %v", err)
	}
	if inv, _, err := r.replan(cutover.Urgently(t.Context()), []string{"urgent"}); err != nil || inv.Kind != "urgent" {
		t.Errorf("an urgent question waits for others: %q, %v", inv.Kind, err)
	}
	close(goOn)
	group.Wait()
	if !slices.Equal(asked[:3], []string{"a", "urgent", "b+broken+c"}) || !slices.Contains(asked[3:], "b") || !slices.Contains(asked[3:], "broken") {
		t.Errorf("asked %q", asked)
	}
	if answers["a"] != "a" || answers["b"] != "b" || answers["broken"] != "it is broken" {
		t.Errorf("answers %q", answers)
	}
	if _, _, err := r.replan(t.Context(), []string{"later"}); err != nil {
		t.Errorf("it does not begin again: %v", err)
	}
}
