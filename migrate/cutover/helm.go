package cutover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/chart"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// Kinds of engine.
const (
	engineBundled  = "bundled"
	engineFlux2    = "flux2"
	engineExisting = "existing"
)

// Engine says how step 0 brings the ClusterAgent into the cluster. Which
// engine it is says the plan.
type Engine struct {
	// Image of the bundled agent as pushed by the user, "repository[:tag]" or
	// "repository@digest".
	Image string
	// Chart replaces the embedded one; required for the engine "flux2".
	Chart *helmchart.Chart
	// Values are merged over what the plan demands.
	Values map[string]any
	// Limit until it is Ready; 0 means 5 m.
	Limit time.Duration
}

var crdKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// neededCRDs are what the cut-over and the agent meet through.
var neededCRDs = []string{"gitrepositories.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io"}

// install is step 0: the ClusterAgent is there, by us or found, and Ready.
func (e Engine) install(ctx context.Context, s *session, want migrate.ClusterAgent) (err error) {
	begun := time.Now()
	s.emit(Event{At: begun, Step: "agent", State: EventStarted})
	defer func() {
		event := Event{At: time.Now(), Step: "agent", State: EventDone, Elapsed: time.Since(begun)}
		if err != nil {
			event.State, event.Message = EventFailed, err.Error()
			err = fmt.Errorf("install the ClusterAgent: %w", err)
		}
		s.emit(event)
	}()
	if want.Engine == engineExisting {
		if err := e.found(ctx, s); err != nil {
			return err
		}
		return s.noteAgent(ctx, func(a *agentRecord) { a.Engine, a.State = engineExisting, Done })
	}
	others, err := otherEngines(ctx, s.c, want)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		return fmt.Errorf("%w: Flux v2 controllers already run (%s): use them with --engine existing, or remove them", ErrBlocked, strings.Join(others, ", "))
	}
	config, err := helmConfig(s.c, want.Namespace)
	if err != nil {
		return err
	}
	last, err := lastRelease(config, want.Release)
	if err != nil {
		return err
	}
	if last != nil && last.Info.Status == release.StatusDeployed {
		if s.record.Agent.State == "" || s.record.Agent.State == Undone {
			if err := s.noteAgent(ctx, func(a *agentRecord) {
				*a = agentRecord{Engine: want.Engine, State: Done, Namespace: want.Namespace, Release: want.Release}
			}); err != nil {
				return err
			}
		}
	} else {
		if err := e.installRelease(ctx, s, config, want, last); err != nil {
			return err
		}
	}
	if err := e.awaitReady(ctx, s.c, want); err != nil {
		return err
	}
	return s.noteAgent(ctx, func(a *agentRecord) { a.State = Done })
}

func (s *session) noteAgent(ctx context.Context, change func(*agentRecord)) error {
	record, err := s.store.changeRun(ctx, func(r *runRecord) {
		change(&r.Agent)
		r.Agent.At, r.Agent.By = time.Now().UTC(), s.who.who()
	})
	if err == nil {
		s.record = record
	}
	return err
}

// found checks that somebody else's engine can be used.
func (e Engine) found(ctx context.Context, s *session) error {
	for _, name := range neededCRDs {
		if _, err := s.c.Get(ctx, crdKind, "", name); err != nil {
			if cluster.IsGone(err) {
				return fmt.Errorf("%w: the engine is to be an existing one, and the cluster does not serve %s", ErrBlocked, name)
			}
			return err
		}
	}
	return nil
}

func (e Engine) installRelease(ctx context.Context, s *session, config *action.Configuration, want migrate.ClusterAgent, last *release.Release) error {
	ours := s.record.Agent.Installed && s.record.Agent.Release == want.Release && (s.record.Agent.State == Started || s.record.Agent.State == Done)
	if last != nil && !ours {
		return fmt.Errorf("%w: the Helm release %s/%s is %s and was not installed by fluxover: repair or remove it", ErrBlocked, want.Namespace, want.Release, last.Info.Status)
	}
	loaded, values, err := e.chartAndValues(want)
	if err != nil {
		return err
	}
	if !ours {
		record := agentRecord{Engine: want.Engine, State: Started, Installed: true, Namespace: want.Namespace, Release: want.Release}
		for _, name := range neededCRDs {
			if _, err := s.c.Get(ctx, crdKind, "", name); cluster.IsGone(err) {
				record.MadeCRDs = append(record.MadeCRDs, name)
			} else if err != nil {
				return err
			}
		}
		if _, err := s.c.Kube.CoreV1().Namespaces().Get(ctx, want.Namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			record.MadeNamespace = true
		} else if err != nil {
			return fmt.Errorf("read namespace %s: %w", want.Namespace, err)
		}
		if err := s.noteAgent(ctx, func(a *agentRecord) { *a = record }); err != nil {
			return err
		}
	}
	if s.crashed("", "agent", AfterStarted) {
		return errCrash
	}
	if err := s.store.ensureNamespace(ctx, want.Namespace); err != nil {
		return err
	}
	if last != nil {
		// Our own, cut off in the middle: Helm would call it pending for ever.
		if _, err := config.Releases.Delete(last.Name, last.Version); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
			return fmt.Errorf("clear the unfinished release %s/%s: %w", want.Namespace, want.Release, err)
		}
	}
	install := action.NewInstall(config)
	install.Namespace, install.ReleaseName = want.Namespace, want.Release
	install.TakeOwnership = ours
	install.Description = "installed by fluxover"
	if _, err := install.RunWithContext(ctx, loaded, values); err != nil {
		return fmt.Errorf("helm install %s/%s: %w", want.Namespace, want.Release, err)
	}
	s.c.Refresh()
	if s.crashed("", "agent", BeforeDone) {
		return errCrash
	}
	return nil
}

// chartAndValues gives what is installed.
func (e Engine) chartAndValues(want migrate.ClusterAgent) (*helmchart.Chart, map[string]any, error) {
	values := map[string]any{}
	loaded := e.Chart
	switch want.Engine {
	case engineBundled:
		if loaded == nil {
			var err error
			if loaded, err = chart.Load(); err != nil {
				return nil, nil, err
			}
		}
		agent := map[string]any{}
		var extra []any
		for _, arg := range want.Args {
			name, value, _ := strings.Cut(arg, "=")
			switch name {
			case "--default-service-account":
				agent["defaultServiceAccount"] = value
			case "--no-cross-namespace-refs":
				agent["noCrossNamespaceRefs"] = value != "false"
			default:
				extra = append(extra, arg)
			}
		}
		if extra != nil {
			agent["extraArgs"] = extra
		}
		if len(agent) > 0 {
			values["agent"] = agent
		}
		if e.Image != "" {
			values["image"] = imageValues(e.Image)
		}
	case engineFlux2:
		if loaded == nil {
			return nil, nil, errors.New("the engine flux2 needs its chart: give --engine-chart")
		}
		if len(want.Args) > 0 {
			var args []any
			for _, a := range want.Args {
				args = append(args, a)
			}
			values["kustomizeController"] = map[string]any{"container": map[string]any{"additionalArgs": args}}
		}
	default:
		return nil, nil, fmt.Errorf("no engine is called %q: bundled, flux2 or existing", want.Engine)
	}
	return loaded, mergeValues(values, e.Values), nil
}

func mergeValues(into, over map[string]any) map[string]any {
	for key, value := range over {
		a, okA := into[key].(map[string]any)
		b, okB := value.(map[string]any)
		if okA && okB {
			into[key] = mergeValues(a, b)
		} else {
			into[key] = value
		}
	}
	return into
}

func imageValues(image string) map[string]any {
	values := map[string]any{}
	if name, digest, ok := strings.Cut(image, "@"); ok {
		image = name
		values["digest"] = digest
	}
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		values["tag"] = image[i+1:]
		image = image[:i]
	}
	values["repository"] = image
	return values
}

// awaitReady waits until all Deployments of the release are available.
func (e Engine) awaitReady(ctx context.Context, c *cluster.Client, want migrate.ClusterAgent) error {
	limit := e.Limit
	if limit == 0 {
		limit = 5 * time.Minute
	}
	return cluster.Wait(ctx, 200*time.Millisecond, limit, func(ctx context.Context) (bool, string, error) {
		list, err := c.Kube.AppsV1().Deployments(want.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", fmt.Errorf("read the ClusterAgent's Deployments: %w", err)
		}
		found := false
		for _, d := range list.Items {
			if d.Annotations["meta.helm.sh/release-name"] != want.Release {
				continue
			}
			found = true
			if !available(&d) {
				return false, fmt.Sprintf("Deployment %s/%s of the ClusterAgent is not available: look at its pods", d.Namespace, d.Name), nil
			}
		}
		return found, "the ClusterAgent's Deployment was not made", nil
	})
}

func available(d *appsv1.Deployment) bool {
	replicas := int32(1)
	if d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	return d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas >= max(replicas, 1)
}

// otherEngines are Flux v2 controllers that are not of the wanted release.
func otherEngines(ctx context.Context, c *cluster.Client, want migrate.ClusterAgent) ([]string, error) {
	list, err := c.Kube.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("look for Flux v2 controllers: %w", err)
	}
	var others []string
	for _, d := range list.Items {
		if d.Namespace == want.Namespace && d.Annotations["meta.helm.sh/release-name"] == want.Release {
			continue
		}
		if d.Spec.Replicas != nil && *d.Spec.Replicas == 0 {
			continue
		}
		if engineImage(d.Spec.Template.Spec.Containers) {
			others = append(others, d.Namespace+"/"+d.Name)
		}
	}
	slices.Sort(others)
	return others, nil
}

// uninstallEngine removes the ClusterAgent if this run installed it and
// nothing is left for it to do. Its CRDs go if this run made them and none of
// the kind is left; its namespace stays.
func uninstallEngine(ctx context.Context, s *session) error {
	agent := s.record.Agent
	if !agent.Installed || agent.State == "" || agent.State == Undone {
		return nil
	}
	for _, name := range neededCRDs {
		left, err := objectsOf(ctx, s.c, name)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return fmt.Errorf("the ClusterAgent stays: %s still use it", strings.Join(left[:min(3, len(left))], ", "))
		}
	}
	if err := s.noteAgent(ctx, func(a *agentRecord) { a.State = Undoing }); err != nil {
		return err
	}
	config, err := helmConfig(s.c, agent.Namespace)
	if err != nil {
		return err
	}
	uninstall := action.NewUninstall(config)
	uninstall.IgnoreNotFound = true
	if _, err := uninstall.Run(agent.Release); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return fmt.Errorf("uninstall the ClusterAgent: %w", err)
	}
	for _, name := range agent.MadeCRDs {
		left, err := objectsOf(ctx, s.c, name)
		if err != nil {
			return err
		}
		crd, err := s.c.Get(ctx, crdKind, "", name)
		if cluster.IsGone(err) {
			continue
		}
		if err != nil {
			return err
		}
		if len(left) > 0 || !slices.Contains(neededCRDs, name) {
			continue
		}
		if err := s.c.Delete(ctx, crd, cluster.DeleteOptions{ExactVersion: true}); err != nil {
			return fmt.Errorf("remove the definition %s: %w", name, err)
		}
	}
	s.c.Refresh()
	return s.noteAgent(ctx, func(a *agentRecord) { a.State = Undone })
}

// objectsOf lists the objects of a definition, in all namespaces.
func objectsOf(ctx context.Context, c *cluster.Client, crd string) ([]string, error) {
	resource, group, _ := strings.Cut(crd, ".")
	list, err := c.Dynamic.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", crd, err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, cluster.Describe(&list.Items[i]))
	}
	return out, nil
}

// releasePayload reads the newest revision of the old agent's Helm release, as
// Helm stores it; nil where it was not installed by Helm.
func releasePayload(ctx context.Context, c *cluster.Client, agent agentFacts) ([]*unstructured.Unstructured, error) {
	if agent.Release == "" {
		return nil, nil
	}
	selector := metav1.ListOptions{LabelSelector: "owner=helm,name=" + agent.Release}
	var newest *unstructured.Unstructured
	version := -1
	consider := func(obj runtime.Object, kind, revision string) error {
		n, err := strconv.Atoi(revision)
		if err != nil || n <= version {
			return nil
		}
		m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
		if err != nil {
			return fmt.Errorf("keep the Helm release %s/%s: %w", agent.Namespace, agent.Release, err)
		}
		newest, version = &unstructured.Unstructured{Object: m}, n
		newest.SetAPIVersion("v1")
		newest.SetKind(kind)
		return nil
	}
	secrets, err := c.Kube.CoreV1().Secrets(agent.Namespace).List(ctx, selector)
	if err != nil {
		return nil, fmt.Errorf("read the Helm release %s/%s: %w", agent.Namespace, agent.Release, err)
	}
	for i := range secrets.Items {
		if err := consider(&secrets.Items[i], "Secret", secrets.Items[i].Labels["version"]); err != nil {
			return nil, err
		}
	}
	maps, err := c.Kube.CoreV1().ConfigMaps(agent.Namespace).List(ctx, selector)
	if err != nil {
		return nil, fmt.Errorf("read the Helm release %s/%s: %w", agent.Namespace, agent.Release, err)
	}
	for i := range maps.Items {
		if err := consider(&maps.Items[i], "ConfigMap", maps.Items[i].Labels["version"]); err != nil {
			return nil, err
		}
	}
	if newest == nil {
		return nil, nil
	}
	return []*unstructured.Unstructured{newest}, nil
}

func lastRelease(config *action.Configuration, name string) (*release.Release, error) {
	last, err := config.Releases.Last(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the Helm release %s: %w", name, err)
	}
	return last, nil
}

// helmConfig lets Helm use our connection.
func helmConfig(c *cluster.Client, namespace string) (*action.Configuration, error) {
	config := &action.Configuration{}
	quiet := func(string, ...any) {}
	if err := config.Init(connection{c, namespace}, namespace, "secret", quiet); err != nil {
		return nil, fmt.Errorf("prepare Helm: %w", err)
	}
	return config, nil
}

// connection is what Helm and cli-runtime call a RESTClientGetter.
type connection struct {
	c         *cluster.Client
	namespace string
}

func (g connection) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.c.Config), nil }

func (g connection) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.c.Discovery, nil
}

func (g connection) ToRESTMapper() (meta.RESTMapper, error) { return g.c.Mapper, nil }

func (g connection) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: g.namespace}})
}
