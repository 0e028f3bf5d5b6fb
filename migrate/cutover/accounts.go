package cutover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// stampStep is the coarsest step in which what stamps the time at admission is
// taken to count, and by which clocks of API servers may differ, with a margin.
const stampStep = 2 * time.Second

// trialAllowance is what stage's limit grows by with each object: it is tried four
// times at most, with readParallel others, so that a try may take 0.4 s.
const trialAllowance = 100 * time.Millisecond

// account is one of those as which objects are tried.
type account struct {
	namespace, name string
	// dryRun asks what the API server would make of an object.
	dryRun func(context.Context, *unstructured.Unstructured) (*unstructured.Unstructured, error)
}

func (r *repository) account(namespace, name string) (*account, error) {
	as, err := r.c.As(cluster.ServiceAccountUser(namespace, name), cluster.ServiceAccountGroups(namespace), nil)
	if err != nil {
		return nil, err
	}
	return &account{namespace, name, func(ctx context.Context, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return as.DryRunApply(ctx, u, engineManager, true)
	}}, nil
}

func (a *account) String() string { return a.namespace + "/" + a.name }

// trial is of one object as two accounts: old, as which the plan was proved, and
// the one that will apply it. What differs by the account alone, such as by a
// webhook that spares one of them, shows in two turns with stampStep between.
//
// What differs between two tries of one account, as times and random names do, is
// no evidence. The new account is asked first in the first turn and last in the
// second: a time that is stamped is then another in the old account's second try,
// if it was another in the first turn, since clocks do not go back.
type trial struct {
	id       string
	manifest *unstructured.Unstructured
	old, new *account
	// unmade: the object's Namespace may be made by the hand-over.
	unmade bool
	// wordless takes values out of a refusal.
	wordless func(error) error

	// suspect are the fields that differed in the first turn, in which asOld and
	// asNew came out of it.
	suspect      []string
	asOld, asNew *unstructured.Unstructured
}

// first is the first turn. There is no suspect where the old account is fenced off
// already: all was compared before it was.
func (t *trial) first(ctx context.Context) error {
	asNew, err := t.new.dryRun(ctx, t.manifest)
	// A rights binding takes a moment to count.
	for try := 0; apierrors.IsForbidden(err) && try < 10 && pause(ctx, 200*time.Millisecond); try++ {
		asNew, err = t.new.dryRun(ctx, t.manifest)
	}
	if apierrors.IsNotFound(err) && t.unmade {
		return nil
	}
	if err != nil {
		return fmt.Errorf("as %s: %w", t.new, t.wordless(err))
	}
	asOld, err := t.old.dryRun(ctx, t.manifest)
	if err != nil {
		return t.incomparable(err)
	}
	asNew = t.notesAside(asNew, asOld)
	if t.suspect = proof.Differences(asOld, asNew); len(t.suspect) > 0 {
		t.asOld, t.asNew = asOld, asNew
	}
	return nil
}

// second is the second turn, of a suspect; it fails with ErrMoved where the new
// account would get something else than the old one.
func (t *trial) second(ctx context.Context) error {
	asOld, err := t.old.dryRun(ctx, t.manifest)
	if err != nil {
		return t.incomparable(err)
	}
	asNew, err := t.new.dryRun(ctx, t.manifest)
	if err != nil {
		return t.incomparable(err)
	}
	asNew = t.notesAside(asNew, asOld)
	restless := append(proof.Differences(t.asOld, asOld), proof.Differences(t.asNew, asNew)...)
	still := proof.Differences(asOld, asNew)
	fields := slices.DeleteFunc(t.suspect, func(field string) bool {
		return slices.Contains(restless, field) || !slices.Contains(still, field)
	})
	if len(fields) == 0 {
		return nil
	}
	return fmt.Errorf("%w: as %s, %s would be another than as %s, as which the plan was proved, in %s: something at admission (a webhook or a policy) treats the two accounts differently; have it treat %s as it treats %s, then go on",
		ErrMoved, t.new, migrate.DisplayID(t.id), t.old, strings.Join(fields, ", "),
		cluster.ServiceAccountUser(t.new.namespace, t.new.name), cluster.ServiceAccountUser(t.old.namespace, t.old.name))
}

func (t *trial) incomparable(err error) error {
	if strings.Contains(err.Error(), "'"+migrate.FencePrefix) {
		return nil
	}
	return fmt.Errorf("compare what accounts %s and %s would make of it: %w", t.old, t.new, t.wordless(err))
}

// notesAside is what the new account would get, less the notes of who wrote.
func (t *trial) notesAside(asNew, asOld *unstructured.Unstructured) *unstructured.Unstructured {
	return proof.NotesAside(asNew, asOld, proof.Account{Namespace: t.old.namespace, Name: t.old.name}, proof.Account{Namespace: t.new.namespace, Name: t.new.name})
}

// runTrials takes the first turn of all, waits once where there are suspects, and
// takes the second turn of those. All errors are collected: the agent itself would
// stop at the first. False from wait ends it.
func runTrials(ctx context.Context, trials []*trial, wait func(context.Context) bool) error {
	errs := turn(ctx, trials, (*trial).first)
	suspects := slices.DeleteFunc(slices.Clone(trials), func(t *trial) bool { return len(t.suspect) == 0 })
	switch {
	case len(suspects) == 0:
	case !wait(ctx):
		errs = append(errs, context.Cause(ctx))
	default:
		errs = append(errs, turn(ctx, suspects, (*trial).second)...)
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// turn runs one turn of each trial, some at a time.
func turn(ctx context.Context, trials []*trial, run func(*trial, context.Context) error) []error {
	var mu sync.Mutex
	var errs []error
	var g errgroup.Group
	g.SetLimit(readParallel)
	for _, t := range trials {
		g.Go(func() error {
			if err := run(t, ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
			return nil
		})
	}
	_ = g.Wait() // none fails
	return errs
}
