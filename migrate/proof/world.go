package proof

import (
	"context"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/reconcile/cluster"
)

// clusterWorld asks a real API server.
type clusterWorld struct {
	client *cluster.Client

	mu       sync.Mutex
	accounts map[Account]*cluster.Client
}

// ClusterWorld gives the World of a cluster. The client's user needs get on
// every planned object, and impersonation of the accounts of the plan
// ("fluxover rbac --for prove").
func ClusterWorld(c *cluster.Client) World {
	return &clusterWorld{client: c, accounts: map[Account]*cluster.Client{}}
}

func (w *clusterWorld) Live(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live, err := w.client.Get(ctx, object.GroupVersionKind(), object.GetNamespace(), object.GetName())
	if cluster.IsGone(err) {
		return nil, nil
	}
	return live, err
}

func (w *clusterWorld) DryRun(ctx context.Context, as Account, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	c, err := w.as(as)
	if err != nil {
		return nil, err
	}
	return c.DryRunApply(ctx, object, applyManager, true)
}

// as gives the client of an account, made once.
func (w *clusterWorld) as(account Account) (*cluster.Client, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.accounts[account]; c != nil {
		return c, nil
	}
	c, err := w.client.As(cluster.ServiceAccountUser(account.Namespace, account.Name), cluster.ServiceAccountGroups(account.Namespace), nil)
	if err != nil {
		return nil, fmt.Errorf("impersonate %s/%s: %w", account.Namespace, account.Name, err)
	}
	w.accounts[account] = c
	return c, nil
}

func (w *clusterWorld) DryRunUpdate(ctx context.Context, as Account, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	c, err := w.as(as)
	if err != nil {
		return nil, err
	}
	resource, err := c.Resource(object.GroupVersionKind(), object.GetNamespace())
	if err != nil {
		return nil, err
	}
	return resource.Update(ctx, object, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: applyManager})
}
