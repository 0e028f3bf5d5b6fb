package discover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	"github.com/fluxover/fluxover/reconcile/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The kinds of findings about how an agent reaches its Git server.
var (
	Proxy = flux1.Code{
		Name: "PROXY", Severity: migrate.Info,
		Cause:       "the agent reaches its Git server through a proxy of its environment",
		Consequence: "the new source goes through the same proxy, by a Secret that is made from that variable (GitRepository.spec.proxySecretRef)",
		Remedy:      "see that the proxy may be reached from the new agent's namespace",
	}
	ProxyUnknown = flux1.Code{
		Name: "PROXY_UNKNOWN", Severity: migrate.Blocker,
		Cause:       "the agent reaches its Git server through a proxy whose address cannot be told",
		Consequence: "the new source could not be given it",
		Remedy:      "set the variable in the agent's Deployment, or from a Secret or ConfigMap that can be read",
	}
	CustomCA = flux1.Code{
		Name: "CUSTOM_CA", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the agent trusts certificates beside those of its image, and they cannot be told",
		Consequence: "the new source trusts those of its own image alone",
		Remedy:      "give the agent the certificates as one file of a Secret or ConfigMap, mounted at /etc/ssl/certs/ca-certificates.crt, or accept this finding if its Git server's certificate is one that everybody trusts",
	}
	CloudIdentity = flux1.Code{
		Name: "CLOUD_IDENTITY", Severity: migrate.Info,
		Cause:       "the agent's account or its pods have a role in a cloud, or may have one",
		Consequence: "the new agent, which is one for all, does not take it; nothing that it does for this repository needs one",
		Remedy:      "nothing; image scanning, which may have used it, ends with the agent",
	}
	CloudIdentityUsed = flux1.Code{
		Name: "CLOUD_IDENTITY_USED", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the agent's account or its pods have a role in a cloud, or may have one, with which it may fetch or decrypt",
		Consequence: "the new agent is one for all repositories and takes no repository's role, so that none gets another's; what needs the role would fail",
		Remedy:      "fetch with a key or password of the repository's own, and encrypt to a key that is not the cloud's; accept this finding if the role is used for neither",
	}
	reachCodes = []flux1.Code{Proxy, ProxyUnknown, CustomCA, CloudIdentity, CloudIdentityUsed}
)

// proxyVariable names the variable of a container from which git takes the
// proxy for a URL; one whose value stands elsewhere counts as set.
func proxyVariable(sourceURL string, container *corev1.Container) string {
	return flux1.ProxyVariable(container.Image, sourceURL, func(name string) (string, bool) {
		for _, v := range slices.Backward(container.Env) {
			if v.Name == name {
				return orText(v.Value, v.ValueFrom != nil), true
			}
		}
		return "", false
	})
}

// orText stands for a value that is not known.
func orText(value string, unknown bool) string {
	if value == "" && unknown {
		return "unknown"
	}
	return value
}

// reach finds what stands between an agent and its Git server: the proxy and
// the certificates that it trusts. bare is the URL without credentials.
func (w *witness) reach(ctx context.Context, a *agent, bare string) error {
	if strings.HasPrefix(bare, "ssh://") {
		return nil // no proxy, no certificates
	}
	if err := w.readProxy(ctx, a, bare); err != nil {
		return err
	}
	if !strings.HasPrefix(bare, "https://") {
		return nil
	}
	return w.readCA(ctx, a)
}

// proxy finds the variable from which the agent's git takes the proxy for a URL;
// there is none if the name is empty.
func (e *environment) proxy(ctx context.Context, bare string) (name string, v *variable, err error) {
	found := map[string]*variable{}
	name = flux1.ProxyVariable(e.container.Image, bare, func(name string) (string, bool) {
		v, failed := e.look(ctx, name)
		err = errors.Join(err, failed)
		if v == nil || v.assumed {
			return "", false
		}
		found[name] = v
		return orText(v.value, v.secret != nil || v.unknown != ""), true
	})
	return name, found[name], err
}

func (w *witness) readProxy(ctx context.Context, a *agent, bare string) error {
	name, v, err := a.env.proxy(ctx, bare)
	switch {
	case err != nil:
		return err
	case name == "" && a.env.unnamed != "":
		w.find(ProxyUnknown.Finding(a.ID, a.where("env"), "whether a proxy is set is unknown: "+a.env.unnamed))
		return nil
	case name == "":
		return nil
	}
	entry := migrate.LastVariable(a.env.container, name)
	switch {
	case v.secret != nil:
		a.Credential.Proxy = migrate.Value{Secret: v.secret}
	case v.unknown != "":
		w.find(ProxyUnknown.Finding(a.ID, a.where("env "+name), fmt.Sprintf("the proxy in $(%s) is unknown: %s", name, v.unknown)))
		return nil
	case !strings.Contains(v.value, "@"):
		a.Credential.Proxy = migrate.Value{Literal: v.value}
	case entry != nil && entry.Value == v.value:
		// It holds a password, so that it is read only when it is copied.
		a.Credential.Proxy = migrate.Value{Variable: name}
	default:
		w.find(ProxyUnknown.Finding(a.ID, v.where, fmt.Sprintf("the proxy's address with its password stands in plain text outside of a Secret (%s)", v.where)))
		return nil
	}
	w.find(Proxy.Finding(a.ID, a.where("env "+name), "a proxy is set by "+name))
	return nil
}

// unknownCA is what is not known without a file of certificates.
const unknownCA = "the certificates that the agent trusts"

// trusted are the files of certificates that are mounted where git looks for
// such: that which takes the place of its image's own, or all. mount is the
// last place that was looked at; empty if none is mounted.
func (e *environment) trusted(ctx context.Context) (files []string, mount string, err error) {
	for _, m := range e.container.VolumeMounts {
		if !flux1.IsCAFolder(m.MountPath) {
			continue
		}
		mount = m.MountPath
		names, err := e.filesOf(ctx, m, unknownCA)
		if err != nil {
			return files, mount, err
		}
		for _, name := range names {
			if flux1.IsCAFolder(name) {
				files = append(files, name)
			}
		}
	}
	if i := slices.IndexFunc(files, flux1.IsCABundle); i >= 0 {
		files = files[i : i+1]
	}
	return files, mount, nil
}

// readCA finds certificates that the agent trusts beside its image's own.
func (w *witness) readCA(ctx context.Context, a *agent) error {
	files, mount, err := a.env.trusted(ctx)
	switch {
	case errors.Is(err, errUnreadable):
		if a.env.declared {
			w.find(CustomCA.Finding(a.ID, a.where("volumeMount "+mount), "which certificates are mounted at "+mount+" is not known without the cluster"))
		}
		return nil // reported as a missing right
	case err != nil:
		return err
	case mount != "" && len(files) == 0:
		w.find(CustomCA.Finding(a.ID, a.where("volumeMount "+path.Clean(mount)), "which certificates are mounted at "+mount+" cannot be told"))
		return nil
	case len(files) > 1:
		w.find(CustomCA.Finding(a.ID, a.where("volumeMounts"), fmt.Sprintf("%d files of certificates are mounted, and a Secret of Flux v2 takes one", len(files))))
		return nil
	case len(files) == 0 && a.env.unmounted != "":
		w.find(CustomCA.Finding(a.ID, a.where("volumeMounts"), "whether certificates are mounted is unknown: "+a.env.unmounted))
		return nil
	case len(files) == 0:
		return nil
	}
	value, _, where, err := a.env.locate(ctx, files[0], unknownCA)
	switch {
	case errors.Is(err, errUnreadable):
	case err != nil:
		return err
	case value == nil:
		w.find(CustomCA.Finding(a.ID, a.where(where), fmt.Sprintf("the certificates in %s cannot be told", files[0])))
	default:
		a.Credential.CA = *value
	}
	return nil
}

// cloudHosts end the names of Git servers that let a cloud's roles in.
var cloudHosts = []string{".amazonaws.com", "source.developers.google.com", "dev.azure.com", ".visualstudio.com"}

// readIdentity finds the agent's role in a cloud.
func (w *witness) readIdentity(ctx context.Context, a *agent) error {
	account, err := w.account(ctx, a.Namespace, a.ServiceAccount)
	switch {
	case notFound(err) || err == nil && account == nil:
		return nil
	case isForbidden(err):
		w.forbidden("get", "serviceaccounts", a.Namespace, a.ID, "whether the agent's account has a role in a cloud")
		return nil
	case err != nil:
		return fmt.Errorf("read ServiceAccount %s/%s: %w", a.Namespace, a.ServiceAccount, err)
	}
	place := "ServiceAccount/" + a.Namespace + "/" + a.ServiceAccount
	for _, name := range chart.AccountIdentities {
		role := account.Annotations[name]
		if role == "" {
			continue
		}
		if a.Identity == nil {
			a.Identity = map[string]string{}
		}
		a.Identity[name] = role
	}
	for _, name := range slices.Sorted(maps.Keys(a.Identity)) {
		code, why := CloudIdentity, "nothing that Flux v2 does for the repository needs it"
		if use := a.usesIdentity(); use != "" {
			code, why = CloudIdentityUsed, use
		}
		a.Settings = append(a.Settings, migrate.Setting{
			Name: "serviceAccount.annotations." + name, Value: a.Identity[name], Fate: migrate.Dropped, Why: why,
			From: []migrate.Origin{{Witness: "cluster", Where: place}},
		})
		w.find(code.Finding(a.ID, place, fmt.Sprintf("the account has the role %s (%s)", a.Identity[name], name)))
	}
	return nil
}

// account reads a service account; there is none, or an error.
func (w *witness) account(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	if read := w.together[namespace].accounts; read != nil {
		return read[name], nil
	}
	return cluster.Ask(ctx, func() (*corev1.ServiceAccount, error) {
		return w.kube.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
	})
}

// usesIdentity says what the agent may use a role in a cloud for; empty if
// nothing that concerns the new agent.
func (a *agent) usesIdentity() string {
	if a.SOPS {
		return "keys of the cloud may decrypt files; those that are found encrypted have a finding of their own"
	}
	bare, _, err := flux1.FluxV2URL(string(a.config.URL))
	if err != nil || a.Credential.Kind != "none" {
		return ""
	}
	u, err := url.Parse(bare)
	if err == nil && slices.ContainsFunc(cloudHosts, func(end string) bool { return strings.HasSuffix(u.Hostname(), end) }) {
		return "the Git server may let the role in, since no other credential is given"
	}
	return ""
}
