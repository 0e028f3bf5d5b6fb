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

// trialAllowance is what stage's limit grows by with each object: it is tried twice,
// and twice in each further turn, with readParallel others, so that a try may take
// 0.8 s where nothing differs, and 0.09 s where all does, in every turn.
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
// webhook that spares one of them, shows in all of several turns, with stampStep
// after the first.
//
// What differs between two tries of one account, as times and random names do, is
// no evidence. The new account is asked first in the first turn and last in the
// others: a time that is stamped is then another in the old account's second try,
// if it was another in the first turn, since clocks do not go back.
type trial struct {
	id       string
	manifest *unstructured.Unstructured
	old, new *account
	// made is what the hand-over makes.
	made proof.Made
	// wordless takes values out of a refusal.
	wordless func(error) error

	// suspect are the fields that differed in each turn so far, and in none of them
	// from the first, in which asOld and asNew came out.
	suspect      []string
	asOld, asNew *unstructured.Unstructured
	// fenced: a fence refused the old account, so that nothing was compared.
	fenced bool
}

// AccountError: the API server refused an object that was tried as the account
// that is to apply it.
type AccountError struct {
	// Account is the service account, as namespace/name.
	Account string
	Err     error
}

func (e *AccountError) Error() string { return fmt.Sprintf("as %s: %v", e.Account, e.Err) }

func (e *AccountError) Unwrap() error { return e.Err }

// first is the first turn. There is no suspect where the old account is fenced off
// already, see uncompared.
func (t *trial) first(ctx context.Context) error {
	asNew, err := t.new.dryRun(ctx, t.manifest)
	// A rights binding takes a moment to count.
	for try := 0; apierrors.IsForbidden(err) && !notImpersonated(err) && try < 10 && pause(ctx, 200*time.Millisecond); try++ {
		asNew, err = t.new.dryRun(ctx, t.manifest)
	}
	if err != nil && t.made.Awaited(t.manifest, err) {
		return nil
	}
	if notImpersonated(err) {
		return fmt.Errorf("try as %s: %w", t.new, t.wordless(err))
	}
	if err != nil {
		return &AccountError{Account: t.new.String(), Err: t.wordless(err)}
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

// notImpersonated reports whether the operator lacks the right to act as an account:
// it was then not the account that was refused. The server tells in words alone.
func notImpersonated(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot impersonate")
}

// again is a further turn, of a suspect, which is less of one after it.
func (t *trial) again(ctx context.Context) error {
	suspect := t.suspect
	t.suspect = nil
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
	t.suspect = slices.DeleteFunc(suspect, func(field string) bool {
		return slices.ContainsFunc(restless, overlaps(field)) || !slices.ContainsFunc(still, overlaps(field))
	})
	return nil
}

// overlaps tells of a path whether it is another, or one of the two lies below the
// other: a list is one field where its length differs, and its items are where it
// does not.
func overlaps(path string) func(other string) bool {
	covers := func(outer, inner string) bool {
		below, ok := strings.CutPrefix(inner, outer)
		return ok && (below == "" || below[0] == '.' || below[0] == '[')
	}
	return func(other string) bool { return covers(path, other) || covers(other, path) }
}

// verdict fails with ErrMoved where a suspect is left after all turns: the new
// account would get something else than the old one.
func (t *trial) verdict() error {
	if len(t.suspect) == 0 {
		return nil
	}
	return fmt.Errorf("%w: as %s, %s would be another than as %s, as which the plan was proved, in %s: something at admission (a webhook or a policy) treats the two accounts differently; have it treat %s as it treats %s, then go on",
		ErrMoved, t.new, migrate.DisplayID(t.id), t.old, strings.Join(t.suspect, ", "),
		cluster.ServiceAccountUser(t.new.namespace, t.new.name), cluster.ServiceAccountUser(t.old.namespace, t.old.name))
}

func (t *trial) incomparable(err error) error {
	if strings.Contains(err.Error(), "'"+migrate.FencePrefix) {
		t.fenced = true
		return nil
	}
	return fmt.Errorf("compare what accounts %s and %s would make of it: %w", t.old, t.new, t.wordless(err))
}

// notesAside is what the new account would get, less the notes of who wrote.
func (t *trial) notesAside(asNew, asOld *unstructured.Unstructured) *unstructured.Unstructured {
	return proof.NotesAside(asNew, asOld, proof.Account{Namespace: t.old.namespace, Name: t.old.name}, proof.Account{Namespace: t.new.namespace, Name: t.new.name})
}

// furtherTurns is how often suspects are tried again. The first turn leaves a half of
// the values that are one of two by chance, as of a webhook of two versions, and
// each further one a quarter of those: of one object in 131,072 after all.
const furtherTurns = 8

// runTrials takes the first turn of all, waits once where there are suspects, and
// takes further turns of those that are left. All errors are collected: the agent
// itself would stop at the first. False from wait ends it.
func runTrials(ctx context.Context, trials []*trial, wait func(context.Context) bool) error {
	errs := turn(ctx, trials, (*trial).first)
	ended := false
	for i := range furtherTurns {
		suspects := slices.DeleteFunc(slices.Clone(trials), func(t *trial) bool { return len(t.suspect) == 0 })
		if len(suspects) == 0 {
			break
		}
		if ended = i == 0 && !wait(ctx) || ctx.Err() != nil; ended {
			errs = append(errs, context.Cause(ctx))
			break
		}
		errs = append(errs, turn(ctx, suspects, (*trial).again)...)
	}
	for _, t := range trials {
		if err := t.verdict(); err != nil && !ended {
			errs = append(errs, err)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// uncompared says of how many trials no two accounts were compared; empty if there
// is none.
func uncompared(trials []*trial) string {
	fenced := 0
	for _, t := range trials {
		if t.fenced {
			fenced++
		}
	}
	if fenced == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d objects were tried as the future account alone: a fence refuses the old one, so that it is not known whether something at admission treats the two differently", fenced, len(trials))
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
