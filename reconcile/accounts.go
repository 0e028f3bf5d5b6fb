package reconcile

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maxAccounts bounds how many clients of impersonated accounts are kept.
const maxAccounts = 1000

// accounts makes and keeps clients that act as service accounts. The accounts
// stand in the Kustomization's own namespace, always: that is what keeps a
// tenant from borrowing the rights of another.
type accounts struct {
	cfg    *rest.Config
	mapper meta.RESTMapper
	reader client.Reader // live, as the agent itself
	// fallback is the account of a Kustomization that names none; empty is the agent.
	fallback string

	mu      sync.Mutex
	clients map[string]client.Client
}

// user returns the user name under which k is applied, "" for the agent itself.
func (a *accounts) user(k *kustomizev1.Kustomization) (user, name string) {
	name = k.Spec.ServiceAccountName
	if name == "" {
		name = a.fallback
	}
	if name == "" {
		return "", ""
	}
	return fmt.Sprintf("system:serviceaccount:%s:%s", k.Namespace, name), name
}

// client returns a client, without cache, that acts as k's account.
func (a *accounts) client(k *kustomizev1.Kustomization) (client.Client, error) {
	user, _ := a.user(k)
	a.mu.Lock()
	defer a.mu.Unlock()
	if found := a.clients[user]; found != nil {
		return found, nil
	}
	cfg := rest.CopyConfig(a.cfg)
	if user != "" {
		cfg.Impersonate = rest.ImpersonationConfig{UserName: user}
	}
	// A dry-run of an old object may be answered with warnings, each time.
	cfg.WarningHandler = rest.NoWarnings{}
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", user, err)
	}
	made, err := newClient(cfg, httpClient, a.mapper)
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", user, err)
	}
	if a.clients == nil || len(a.clients) >= maxAccounts {
		a.clients = map[string]client.Client{}
	}
	a.clients[user] = made
	return made, nil
}

func newClient(cfg *rest.Config, httpClient *http.Client, mapper meta.RESTMapper) (client.Client, error) {
	return client.New(cfg, client.Options{HTTPClient: httpClient, Mapper: mapper, Scheme: scheme})
}

// exists tells whether k's account is there. Without an account the agent acts
// as itself, which is.
func (a *accounts) exists(ctx context.Context, k *kustomizev1.Kustomization) (bool, error) {
	_, name := a.user(k)
	if name == "" {
		return true, nil
	}
	account := &metav1.PartialObjectMetadata{}
	account.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
	err := a.reader.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: name}, account)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("get service account %s/%s: %w", k.Namespace, name, err)
	}
	return true, nil
}
