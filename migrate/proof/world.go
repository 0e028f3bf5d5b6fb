package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"

	"github.com/fluxover/fluxover/reconcile/cluster"
)

// clusterWorld asks a real API server.
type clusterWorld struct {
	client *cluster.Client

	mu       sync.Mutex
	accounts map[Account]*cluster.Client
	// unserved are kinds that Live did not find. To look for one makes the client
	// ask for the whole API again, so it is done once.
	unserved map[schema.GroupVersionKind]bool
}

// ClusterWorld gives the World of a cluster. The client's user needs get on
// every planned object, and impersonation of the accounts of the plan; what is
// missing becomes a finding. It is for one proof: it does not see kinds that are made
// later.
func ClusterWorld(c *cluster.Client) World {
	return &clusterWorld{client: c, accounts: map[Account]*cluster.Client{}, unserved: map[schema.GroupVersionKind]bool{}}
}

func (w *clusterWorld) Live(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	kind := object.GroupVersionKind()
	w.mu.Lock()
	unserved := w.unserved[kind]
	w.mu.Unlock()
	if unserved {
		return nil, nil
	}
	live, err := w.client.Get(ctx, kind, object.GetNamespace(), object.GetName())
	if meta.IsNoMatchError(err) {
		w.mu.Lock()
		w.unserved[kind] = true
		w.mu.Unlock()
	}
	if cluster.IsGone(err) {
		return nil, nil
	}
	return live, err
}

func (w *clusterWorld) LiveIn(ctx context.Context, kind schema.GroupVersionKind, namespace string, limit int) (map[string]*unstructured.Unstructured, bool) {
	resource, err := w.client.Resource(kind, namespace)
	if err != nil {
		return nil, false
	}
	list, err := resource.List(ctx, metav1.ListOptions{Limit: int64(limit)})
	if err != nil || list.GetContinue() != "" {
		return nil, false
	}
	objects := make(map[string]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		objects[list.Items[i].GetName()] = &list.Items[i]
	}
	return objects, true
}

func (w *clusterWorld) DryRun(ctx context.Context, as Account, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	c, err := w.as(ctx, as)
	if err != nil {
		return nil, err
	}
	return c.DryRunApply(ctx, object, applyManager, true)
}

// MissingRight says that the proof's user may not do what it takes to prove.
type MissingRight struct{ What string }

func (e *MissingRight) Error() string { return "you may not " + e.What }

// as gives the client of an account, made once. It asks first whether the user
// may impersonate the account: a client that acts for somebody else already
// (--as) would lose that one by impersonating again, and prove with the rights
// of the person behind. Without the right the error is a *MissingRight.
func (w *clusterWorld) as(ctx context.Context, account Account) (*cluster.Client, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.accounts[account]; c != nil {
		return c, nil
	}
	asked := []authorizationv1.ResourceAttributes{{Resource: "serviceaccounts", Namespace: account.Namespace, Name: account.Name}}
	for _, group := range cluster.ServiceAccountGroups(account.Namespace) {
		asked = append(asked, authorizationv1.ResourceAttributes{Resource: "groups", Name: group})
	}
	for _, a := range asked {
		what := fmt.Sprintf("impersonate group %s", a.Name)
		if a.Namespace != "" {
			what = fmt.Sprintf("impersonate ServiceAccount %s/%s", a.Namespace, a.Name)
		}
		a.Verb = "impersonate"
		review, err := cluster.Ask(ctx, func() (*authorizationv1.SelfSubjectAccessReview, error) {
			return w.client.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a},
			}, metav1.CreateOptions{})
		})
		if err != nil {
			return nil, fmt.Errorf("ask whether you may %s: %w", what, err)
		}
		if !review.Status.Allowed {
			return nil, &MissingRight{What: what}
		}
	}
	c, err := w.client.As(cluster.ServiceAccountUser(account.Namespace, account.Name), cluster.ServiceAccountGroups(account.Namespace), nil)
	if err != nil {
		return nil, fmt.Errorf("impersonate %s/%s: %w", account.Namespace, account.Name, err)
	}
	w.accounts[account] = c
	return c, nil
}

// DryRunChange sends a patch, since kubectl apply and Flux v2 send nothing else: an
// account may lack the verb update and apply all the same. Nothing is lost by it: the
// API server treats both as an update, with the same defaults, validation and
// admission. managedFields are left to it.
func (w *clusterWorld) DryRunChange(ctx context.Context, as Account, live, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	c, err := w.as(ctx, as)
	if err != nil {
		return nil, err
	}
	resource, err := c.Resource(live.GroupVersionKind(), live.GetNamespace())
	if err != nil {
		return nil, err
	}
	patch, err := changeOf(live, wanted)
	if err != nil {
		return nil, err
	}
	return cluster.Ask(ctx, func() (*unstructured.Unstructured, error) {
		return resource.Patch(ctx, live.GetName(), types.MergePatchType, patch, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: applyManager})
	})
}

// changeOf is the merge patch that makes one object another, if it is still of
// that version.
func changeOf(live, wanted *unstructured.Unstructured) ([]byte, error) {
	from, to := live.DeepCopy(), wanted.DeepCopy()
	for _, u := range []*unstructured.Unstructured{from, to} {
		u.SetManagedFields(nil)
		u.SetResourceVersion("")
	}
	to.SetResourceVersion(live.GetResourceVersion())
	was, err := json.Marshal(from.Object)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", live.GetName(), err)
	}
	is, err := json.Marshal(to.Object)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", live.GetName(), err)
	}
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(was, is, was)
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", live.GetName(), err)
	}
	return patch, nil
}
