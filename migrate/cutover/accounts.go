package cutover

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// stampStep is the coarsest step in which what stamps the time at admission is
// taken to count, and by which clocks of API servers may differ, with a margin.
const stampStep = 2 * time.Second

// try asks what the API server would make of an object, as one account.
type try func(context.Context) (*unstructured.Unstructured, error)

// differently says in which fields the API server makes of an object something
// else for one account than for another, such as by a webhook that spares one of
// them; asOther is what the other account's first try was answered. What differs
// between two tries of one account, as times and random names do, is no evidence.
//
// A time that is stamped is another in the second try of the first account, if
// it was another in the other account's first, since clocks do not go back: the
// accounts are asked in turn, and wait lets a step of the stamp pass between the
// turns; false from it ends the comparison.
func differently(ctx context.Context, one, other try, asOther *unstructured.Unstructured, wait func(context.Context) bool) ([]string, error) {
	asOne, err := one(ctx)
	if err != nil {
		return nil, err
	}
	suspect := proof.Differences(asOne, asOther)
	if len(suspect) == 0 {
		return nil, nil
	}
	if !wait(ctx) {
		return nil, context.Cause(ctx)
	}
	againOne, err := one(ctx)
	if err != nil {
		return nil, err
	}
	againOther, err := other(ctx)
	if err != nil {
		return nil, err
	}
	restless := append(proof.Differences(asOne, againOne), proof.Differences(asOther, againOther)...)
	still := proof.Differences(againOne, againOther)
	return slices.DeleteFunc(suspect, func(field string) bool {
		return slices.Contains(restless, field) || !slices.Contains(still, field)
	}), nil
}

// comparer tells whether the old agent's account, as which the plan was proved,
// would get the same of each object as the one that will apply it.
type comparer struct {
	as      *cluster.Client
	account string
}

func (r *repository) oldAccount() (*comparer, error) {
	namespace, name := r.j.Agent.Namespace, r.j.Agent.ServiceAccount
	as, err := r.c.As(cluster.ServiceAccountUser(namespace, name), cluster.ServiceAccountGroups(namespace), nil)
	if err != nil {
		return nil, fmt.Errorf("impersonate %s/%s: %w", namespace, name, err)
	}
	return &comparer{as, namespace + "/" + name}, nil
}

// compare fails with ErrMoved where the new account, as which asNew was answered,
// would get something else of an object than the old one. An old account that is
// fenced off already was compared before it was.
func (o *comparer) compare(ctx context.Context, r *repository, id, newAccount string, manifest, asNew *unstructured.Unstructured, again try) error {
	old := func(ctx context.Context) (*unstructured.Unstructured, error) {
		return o.as.DryRunApply(ctx, manifest, engineManager, true)
	}
	fields, err := differently(ctx, old, again, asNew, func(ctx context.Context) bool { return pause(ctx, stampStep) })
	switch {
	case err != nil && strings.Contains(err.Error(), "'"+migrate.FencePrefix):
		return nil
	case err != nil:
		return fmt.Errorf("compare what accounts %s and %s would make of it: %w", o.account, newAccount, r.wordless(id, err))
	case len(fields) == 0:
		return nil
	}
	return fmt.Errorf("%w: as %s, %s would be another than as %s, as which the plan was proved, in %s: something at admission (a webhook or a policy) treats the two accounts differently; have it treat system:serviceaccount:%s as it treats system:serviceaccount:%s, then go on",
		ErrMoved, newAccount, migrate.DisplayID(id), o.account, strings.Join(fields, ", "), strings.Replace(newAccount, "/", ":", 1), strings.Replace(o.account, "/", ":", 1))
}
