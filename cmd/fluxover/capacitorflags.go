package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
	"github.com/fluxover/fluxover/reconcile/source"
)

// capacitorFlags say where the flux-capacitor is and how to log in to it.
type capacitorFlags struct {
	url, branch, cluster   string
	credentials            string
	identity, knownHosts   string
	username, passwordFile string
}

func (c *capacitorFlags) add(f *pflag.FlagSet) {
	f.StringVar(&c.url, "capacitor", "", "Git repository that takes over the sources and Kustomizations when a repository settles (default: the one that an earlier run has set up, if any)")
	f.StringVar(&c.branch, "capacitor-branch", "main", "branch of --capacitor to push to")
	f.StringVar(&c.cluster, "capacitor-cluster", "", "this cluster's folder in --capacitor, below clusters/ (default: the kubeconfig's name for the cluster)")
	c.addCredentials(f)
}

// addCredentials are the flags of commands that find out by themselves where
// the flux-capacitor is.
func (c *capacitorFlags) addCredentials(f *pflag.FlagSet) {
	f.StringVar(&c.credentials, "capacitor-credentials", "", "Secret (namespace/name) with what may push to the flux-capacitor, in the shape that a GitRepository reads")
	f.StringVar(&c.identity, "capacitor-identity", "", "file with the SSH key that may push to the flux-capacitor")
	f.StringVar(&c.knownHosts, "capacitor-known-hosts", "", "file with the SSH host keys of the flux-capacitor's server")
	f.StringVar(&c.username, "capacitor-username", "", "user who may push to the flux-capacitor over HTTPS")
	f.StringVar(&c.passwordFile, "capacitor-password-file", "", "file with that user's password or token")
}

// check finds flags that do not fit together, before anything is read.
func (c *capacitorFlags) check() error {
	ssh, basic := c.identity != "" || c.knownHosts != "", c.username != "" || c.passwordFile != ""
	switch {
	case ssh && (c.identity == "" || c.knownHosts == ""):
		return usage("--capacitor-identity and --capacitor-known-hosts go together")
	case basic && (c.username == "" || c.passwordFile == ""):
		return usage("--capacitor-username and --capacitor-password-file go together")
	case ssh && basic, c.credentials != "" && (ssh || basic):
		return usage("give one kind of credential for the flux-capacitor: a Secret, an SSH key, or user and password")
	}
	if namespace, name, ok := strings.Cut(c.credentials, "/"); c.credentials != "" && (!ok || namespace == "" || name == "") {
		return usage("--capacitor-credentials %s: want namespace/secret", c.credentials)
	}
	if u, err := url.Parse(c.url); err == nil && u.User != nil {
		if _, password := u.User.Password(); password || u.Scheme != "ssh" {
			return usage("--capacitor must hold no user and password: use --capacitor-username and --capacitor-password-file")
		}
	}
	return nil
}

// secret reads the credential that the flags name; empty if they name none.
func (c *capacitorFlags) secret(ctx context.Context, f *facts) (map[string][]byte, error) {
	data := map[string][]byte{}
	for key, file := range map[string]string{"identity": c.identity, "known_hosts": c.knownHosts, "password": c.passwordFile} {
		if file == "" {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, usage("credential of the flux-capacitor: %w", err)
		}
		if key == "password" {
			content = bytes.TrimRight(content, "\r\n")
		}
		data[key] = content
	}
	if c.username != "" {
		data["username"] = []byte(c.username)
	}
	if namespace, name, ok := strings.Cut(c.credentials, "/"); ok {
		secret, err := f.client.Kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read the credential of the flux-capacitor: %w", err)
		}
		data = secret.Data
	}
	return data, nil
}

// open gives the flux-capacitor of the flags, else the one that this cluster
// syncs already, and proves that it can be fetched; nil if there is neither.
func (c *capacitorFlags) open(ctx context.Context, f *facts) (cutover.Capacitor, error) {
	secret, err := c.secret(ctx, f)
	if err != nil {
		return nil, err
	}
	if c.url == "" {
		if len(secret) > 0 || c.cluster != "" {
			if _, found, err := cutover.CapacitorInUse(ctx, f.client); err == nil && !found {
				return nil, usage("a credential or name for the flux-capacitor was given, and no --capacitor")
			}
		}
		found, err := c.find(ctx, f, secret)
		if found == nil || err != nil {
			return nil, err
		}
		return found, checkCapacitor(ctx, found)
	}
	address, err := migrate.SourceURL(c.url)
	if err != nil {
		return nil, usage("--capacitor: %w", err)
	}
	if len(secret) == 0 {
		if used, found, err := cutover.CapacitorInUse(ctx, f.client); err != nil {
			return nil, err
		} else if found && used.URL == address {
			found, err := c.find(ctx, f, nil)
			if err != nil {
				return nil, err
			}
			return found, checkCapacitor(ctx, found)
		}
	}
	capacitor, err := cutover.NewCapacitor(f.store, cutover.CapacitorOptions{
		URL: address, Branch: c.branch, Cluster: clusterFolder(c.cluster, f.clusterName), Secret: secret,
	})
	if err != nil {
		return nil, &exitError{Code: exitFailed, Err: fmt.Errorf("the flux-capacitor %s: %w", source.SafeURL(address), err), Hints: []string{"nothing has changed"}}
	}
	if err := checkCapacitor(ctx, capacitor); err != nil {
		return nil, err
	}
	switch _, inUse, err := cutover.CapacitorInUse(ctx, f.client); {
	case err != nil:
		return nil, err
	case inUse:
		return capacitor, nil
	}
	if err := capacitor.MayBegin(ctx); err != nil {
		return nil, &exitError{Code: exitFailed, Err: fmt.Errorf("the flux-capacitor: %w", err), Hints: []string{"nothing has changed"}}
	}
	return capacitor, nil
}

func checkCapacitor(ctx context.Context, c *cutover.GitCapacitor) error {
	if err := c.Check(ctx); err != nil {
		return &exitError{Code: exitFailed, Err: fmt.Errorf("read the flux-capacitor: %w", err), Hints: []string{
			"nothing has changed", "check --capacitor, --capacitor-branch and the credential",
		}}
	}
	return nil
}

// find gives the flux-capacitor that this cluster syncs.
func (c *capacitorFlags) find(ctx context.Context, f *facts, secret map[string][]byte) (*cutover.GitCapacitor, error) {
	return cutover.FindCapacitor(ctx, f.client, f.store, secret)
}

// inUse gives the flux-capacitor that this cluster syncs, for going back. It
// need not be reachable: then control objects are parked. nil if there is none.
func (c *capacitorFlags) inUse(ctx context.Context, f *facts) (cutover.Capacitor, error) {
	secret, err := c.secret(ctx, f)
	if err != nil {
		return nil, err
	}
	found, err := c.find(ctx, f, secret)
	if found == nil || err != nil {
		return nil, err
	}
	return found, nil
}

var notInFolder = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// clusterFolder is the name given, else one made of the kubeconfig's, which may
// hold anything.
func clusterFolder(given, kubeconfig string) string {
	if given != "" {
		return given
	}
	if name := strings.Trim(notInFolder.ReplaceAllString(kubeconfig, "-"), "-._"); name != "" {
		return name
	}
	return "cluster"
}
