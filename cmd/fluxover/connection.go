package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/migrate/cutover"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// connectLimit bounds the first request to the API server, so that a wrong
// address is said soon and not after minutes.
const connectLimit = 15 * time.Second

// client connects to the cluster that kubectl's flags name, and asks it for
// its version, so that a wrong address or credential is told apart from
// everything that may fail later: at this point nothing has changed.
func (k *kube) client(ctx context.Context) (*cluster.Client, error) {
	c, err := cluster.New(k.flags)
	if err != nil {
		return nil, &exitError{Code: exitFailed, Err: fmt.Errorf("connect to the cluster: %w", err), Hints: []string{
			"nothing has changed", "check --kubeconfig and --context, or the variable KUBECONFIG",
		}}
	}
	raw, _ := k.raw() // what cannot be read was said above
	if len(raw.Clusters) == 0 && value(k.flags.APIServer) == "" && c.Config.Host == noAddress {
		return nil, &exitError{Code: exitFailed, Err: fmt.Errorf("connect to the cluster: no cluster is configured in %s", k.files()), Hints: []string{
			"nothing has changed", "say --kubeconfig FILE, or set the variable KUBECONFIG",
		}}
	}
	limited, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	begun := time.Now()
	err = c.Kube.Discovery().RESTClient().Get().AbsPath("/version").Do(limited).Error()
	var slow net.Error
	switch {
	case err == nil || apierrors.IsForbidden(err): // some clusters tell only what is asked for
		return c, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil || errors.As(err, &slow) && slow.Timeout():
		err = fmt.Errorf("no answer from %s within %s", c.Config.Host, time.Since(begun).Round(time.Second))
	case apierrors.IsUnauthorized(err):
		err = fmt.Errorf("%s does not accept the credentials: %w", c.Config.Host, err)
	default:
		err = fmt.Errorf("ask %s for its version: %w", c.Config.Host, err)
	}
	return nil, &exitError{Code: exitFailed, Err: fmt.Errorf("connect to the cluster: %w", err), Hints: []string{
		"nothing has changed", k.origin(), remedy(err),
	}}
}

// noAddress is where client-go connects when nothing names a cluster.
const noAddress = "http://localhost:8080"

// remedy is the hint for a connection that failed.
func remedy(err error) string {
	var dns *net.DNSError
	switch {
	case apierrors.IsUnauthorized(err):
		return "renew the token or certificate there; it may have expired"
	case errors.As(err, &dns):
		return "check the host name, and that it is known from here"
	case strings.Contains(err.Error(), "x509:"), strings.Contains(err.Error(), "tls:"):
		return "check the certificate authority there, and that the address is the API server's"
	}
	return "check that the address is right and that the API server can be reached from here"
}

// origin says where address and credentials come from.
func (k *kube) origin() string {
	var from []string
	if s := value(k.flags.APIServer); s != "" {
		from = append(from, "the address from --server")
	}
	if value(k.flags.BearerToken) != "" {
		from = append(from, "the token from --token")
	}
	raw, err := k.raw()
	if name := k.contextName(raw); err == nil && name != "" {
		from = append(from, fmt.Sprintf("context %q of %s", name, k.files()))
	}
	if len(from) == 0 {
		return "the kubeconfig is " + k.files()
	}
	return "tried " + strings.Join(from, ", ")
}

// files are the kubeconfigs that count.
func (k *kube) files() string {
	access := k.flags.ToRawKubeConfigLoader().ConfigAccess()
	if access.IsExplicitFile() {
		return access.GetExplicitFile()
	}
	return strings.Join(access.GetLoadingPrecedence(), ", ")
}

func (k *kube) raw() (api.Config, error) { return k.flags.ToRawKubeConfigLoader().RawConfig() }

// contextName is the context in use; empty if there is none.
func (k *kube) contextName(raw api.Config) string {
	if name := value(k.flags.Context); name != "" {
		return name
	}
	return raw.CurrentContext
}

// name is what the kubeconfig calls the cluster; empty if it does not say.
func (k *kube) name() string {
	raw, err := k.raw()
	if err != nil {
		return ""
	}
	if name := value(k.flags.ClusterName); name != "" {
		return name
	}
	if c := raw.Contexts[k.contextName(raw)]; c != nil {
		return c.Cluster
	}
	return ""
}

func value(flag *string) string {
	if flag == nil {
		return ""
	}
	return *flag
}

// unlessBegun is a hint, after the word that nothing has changed if no step had begun: in the midst of
// one, what it leaves is told by itself.
func unlessBegun(err error, hint string) []string {
	var step *cutover.StepError
	if errors.As(err, &step) {
		return []string{hint, `"fluxover status" says how far it is`}
	}
	return []string{"nothing has changed", hint}
}

// hintsOf are the hints for an error of the API server that came later, or for a
// Lease that was lost.
func hintsOf(err error) []string {
	var account *cutover.AccountError
	switch {
	case errors.Is(err, discover.ErrUnreachable):
		return unlessBegun(err, "see that the API server can be reached from here and is well, and run the same command again")
	case errors.Is(err, discover.ErrNotAnswered):
		return unlessBegun(err, "see why this is not answered: what the API server's log says of it, and what stands between (an aggregated API server, a proxy); then run the same command again")
	case errors.Is(err, cutover.ErrLeaseLost):
		return []string{`another operator may be at work by now: "fluxover status" shows who, and how far it is`}
	case errors.As(err, &account) && apierrors.IsForbidden(account.Err):
		return []string{fmt.Sprintf("it is account %s that is refused, not you: see what its roles and bindings lack, or which policy or webhook refuses it, and have it treated as the old agent's account is", account.Account)}
	case apierrors.IsForbidden(err):
		return []string{"have this right granted, or use an account that has it (--context, --as)"}
	case apierrors.IsUnauthorized(err):
		return []string{"the credentials are no longer accepted: renew the token or certificate of the kubeconfig"}
	}
	return nil
}
