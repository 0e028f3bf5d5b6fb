package fleet

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fluxover/fluxover/e2e/gitserver"
)

// installWorkers is how many teams are installed at a time.
const installWorkers = 8

// Install puts teams on a Git server and a cluster: a repository with its first
// commit, a deploy key or a user, the Secret the agent needs for it, and a Helm
// release of Chart in Helm's own storage. What is already there is left as it
// is, so that an interrupted Install is finished by another one. It returns when
// all releases are deployed; it does not wait for agents to sync.
func Install(ctx context.Context, config *rest.Config, server *gitserver.Server, teams []Team) error {
	to, err := newInstaller(config, server)
	if err != nil {
		return fmt.Errorf("install fleet: %w", err)
	}
	namespaces := map[string]bool{}
	for _, team := range teams {
		if namespaces[team.AgentNamespace] {
			continue
		}
		namespaces[team.AgentNamespace] = true
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: team.AgentNamespace}}
		_, err := to.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("install fleet: create namespace %s: %w", team.AgentNamespace, err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(installWorkers)
	for _, team := range teams {
		group.Go(func() error {
			if err := to.team(ctx, &team); err != nil {
				return fmt.Errorf("install team %s: %w", team.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Upgrade brings a team's release to its Values, as a platform engineer does who
// changed them. It does not wait for the agent.
func Upgrade(ctx context.Context, config *rest.Config, server *gitserver.Server, team Team) error {
	to, err := newInstaller(config, server)
	if err != nil {
		return fmt.Errorf("upgrade release %s: %w", team.Release, err)
	}
	helm, err := to.helm(&team)
	if err != nil {
		return err
	}
	chart, err := Chart()
	if err != nil {
		return err
	}
	upgrade := action.NewUpgrade(helm)
	upgrade.Namespace = team.AgentNamespace
	upgrade.DisableOpenAPIValidation = true // the API server validates anyway
	if _, err := upgrade.RunWithContext(ctx, team.Release, chart, team.ChartValues(server)); err != nil {
		return fmt.Errorf("upgrade release %s/%s: %w", team.AgentNamespace, team.Release, err)
	}
	return nil
}

type installer struct {
	server       *gitserver.Server
	client       kubernetes.Interface
	config       *rest.Config
	discovery    discovery.CachedDiscoveryInterface
	mapper       meta.RESTMapper
	capabilities *chartutil.Capabilities
}

// newInstaller asks the cluster once what it can do; Helm would ask per release.
func newInstaller(config *rest.Config, server *gitserver.Server) (*installer, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	to := &installer{server: server, client: client, config: config, discovery: memory.NewMemCacheClient(client.Discovery())}
	to.mapper = restmapper.NewDeferredDiscoveryRESTMapper(to.discovery)
	version, err := to.discovery.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask cluster for its version: %w", err)
	}
	apis, err := action.GetVersionSet(to.discovery)
	if err != nil {
		return nil, fmt.Errorf("ask cluster for its API: %w", err)
	}
	to.capabilities = &chartutil.Capabilities{
		APIVersions: apis,
		KubeVersion: chartutil.KubeVersion{Version: version.GitVersion, Major: version.Major, Minor: version.Minor},
		HelmVersion: chartutil.DefaultCapabilities.HelmVersion,
	}
	return to, nil
}

// team installs one team, in the order in which a platform engineer would.
func (to *installer) team(ctx context.Context, team *Team) error {
	if err := to.server.CreateRepo(ctx, team.Repo, team.Branch); err != nil {
		return err
	}
	_, err := to.server.Head(ctx, team.Repo, team.Branch)
	if errors.Is(err, gitserver.ErrNotFound) {
		_, err = to.server.Commit(ctx, team.Repo, team.Branch, "Render manifests", team.Files)
	}
	if err != nil {
		return err
	}
	if err := to.credentials(ctx, team); err != nil {
		return err
	}
	return to.release(ctx, team)
}

// credentials makes the Secret with which the agent reaches its repository, and
// lets its holder in.
func (to *installer) credentials(ctx context.Context, team *Team) error {
	name, newData := team.CredentialsSecret(), to.newPassword
	if team.SSH {
		name, newData = team.KeySecret(), to.newDeployKey
	}
	secrets := to.client.CoreV1().Secrets(team.AgentNamespace)
	_, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("look for secret %s/%s: %w", team.AgentNamespace, name, err)
	}
	data, err := newData(team)
	if err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: team.AgentNamespace}, Data: data}
	if _, err := secrets.Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create secret %s/%s: %w", team.AgentNamespace, name, err)
	}
	return nil
}

// newDeployKey makes a key, lets it push, and returns the private half as Flux v1 wants it.
func (to *installer) newDeployKey(team *Team) (map[string][]byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make deploy key: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("make deploy key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, team.Release)
	if err != nil {
		return nil, fmt.Errorf("make deploy key: %w", err)
	}
	if err := to.server.AllowKey(team.Repo, key, true); err != nil {
		return nil, err
	}
	return map[string][]byte{"identity": pem.EncodeToMemory(block)}, nil
}

// newPassword makes a user that may push, and returns both parts encoded for a
// URL. The password has characters that need it.
func (to *installer) newPassword(team *Team) (map[string][]byte, error) {
	noise := make([]byte, 18)
	if _, err := rand.Read(noise); err != nil {
		return nil, fmt.Errorf("make password: %w", err)
	}
	user, password := "flux-"+team.Name, "p@/"+base64.RawURLEncoding.EncodeToString(noise)
	if err := to.server.AllowUser(team.Repo, user, password, true); err != nil {
		return nil, err
	}
	return map[string][]byte{
		"GIT_AUTHUSER": []byte(url.QueryEscape(user)),
		"GIT_AUTHKEY":  []byte(url.QueryEscape(password)),
	}, nil
}

// helm acts in a team's namespace.
func (to *installer) helm(team *Team) (*action.Configuration, error) {
	helm := &action.Configuration{Capabilities: to.capabilities}
	getter := &clientGetter{installer: to, namespace: team.AgentNamespace}
	if err := helm.Init(getter, team.AgentNamespace, "secret", func(string, ...any) {}); err != nil {
		return nil, fmt.Errorf("prepare helm: %w", err)
	}
	return helm, nil
}

// release installs the agent with Helm, unless the release is deployed.
func (to *installer) release(ctx context.Context, team *Team) error {
	helm, err := to.helm(team)
	if err != nil {
		return err
	}
	last, err := helm.Releases.Last(team.Release)
	switch {
	case err == nil && last.Info.Status.IsPending():
		// Helm refuses to go on from an interrupted install.
		if _, err := helm.Releases.Delete(last.Name, last.Version); err != nil {
			return fmt.Errorf("clear interrupted release %s/%s: %w", team.AgentNamespace, team.Release, err)
		}
	case err == nil:
		return nil
	case !errors.Is(err, driver.ErrReleaseNotFound):
		return fmt.Errorf("look for release %s/%s: %w", team.AgentNamespace, team.Release, err)
	}
	chart, err := Chart()
	if err != nil {
		return err
	}
	install := action.NewInstall(helm)
	install.ReleaseName, install.Namespace = team.Release, team.AgentNamespace
	install.DisableOpenAPIValidation = true // the API server validates anyway
	install.TakeOwnership = true            // of what an interrupted install left
	if _, err := install.RunWithContext(ctx, chart, team.ChartValues(to.server)); err != nil {
		return fmt.Errorf("install release %s/%s: %w", team.AgentNamespace, team.Release, err)
	}
	return nil
}

// clientGetter gives Helm clients that share one discovery.
type clientGetter struct {
	*installer
	namespace string
}

func (g *clientGetter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

func (g *clientGetter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.discovery, nil
}

func (g *clientGetter) ToRESTMapper() (meta.RESTMapper, error) { return g.mapper, nil }

func (g *clientGetter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: g.namespace}}
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), overrides)
}
