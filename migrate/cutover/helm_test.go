package cutover

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/chart"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

func TestTheClusterAgentIsInstalledOnceAndRemovedOnlyWhenUnused(t *testing.T) {
	l := laboratory(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	want := migrate.ClusterAgent{
		Engine: engineBundled, Namespace: "agent-here", Release: "flux-agent",
		Args: []string{"--default-service-account=fluxover-no-rights", "--no-cross-namespace-refs=true"},
	}
	// The label makes the kubelet's part take the pods up.
	engine := Engine{Image: "registry.example:5000/team/fluxover:1.2.3", Values: map[string]any{"podLabels": map[string]any{"test": "flux1"}}, Limit: 2 * time.Minute}
	open := func(crash func(string, string, When) bool) *session {
		t.Helper()
		s, err := begin(ctx, l.c, Identity{User: "erin", Host: "here"}, func(Event) {}, crash)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	playStock(t, l, 0)
	done := func(s *session) {
		t.Helper()
		if err := s.end(nil); err != nil {
			t.Fatal(err)
		}
	}
	// Other tests of this package found an engine "existing"; begin anew.
	s := open(nil)
	if err := s.noteAgent(ctx, func(a *agentRecord) { *a = agentRecord{} }); err != nil {
		t.Fatal(err)
	}

	t.Run("a Flux v2 controller of somebody else blocks", func(t *testing.T) {
		one := int32(1)
		labels := map[string]string{"app": "kustomize-controller"}
		d, err := l.c.Kube.AppsV1().Deployments(metav1.NamespaceDefault).Create(ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "kustomize-controller"},
			Spec: appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "ghcr.io/fluxcd/kustomize-controller:v1.9.4"}}},
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		err = engine.install(ctx, s, want)
		if !errors.Is(err, ErrBlocked) || !strings.Contains(err.Error(), "default/kustomize-controller") {
			t.Errorf("want it blocked by name, got %v", err)
		}
		if err := l.c.Kube.AppsV1().Deployments(d.Namespace).Delete(ctx, d.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	done(s)

	for _, when := range []When{AfterStarted, BeforeDone} {
		s = open(func(_, step string, w When) bool { return step == "agent" && w == when })
		if err := s.end(engine.install(ctx, s, want)); when == AfterStarted && !errors.Is(err, errCrash) {
			t.Fatalf("want a crash %s, got %v", when, err)
		}
		err := l.c.Kube.CoordinationV1().Leases(migrate.StateNamespace).Delete(ctx, leaseName, metav1.DeleteOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	// As a kill in the middle of Helm's work leaves it.
	config, err := helmConfig(l.c, want.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	last, err := lastRelease(config, want.Release)
	if err != nil || last == nil {
		t.Fatalf("%v, %v", last, err)
	}
	last.Info.Status = release.StatusPendingInstall
	if err := config.Releases.Update(last); err != nil {
		t.Fatal(err)
	}

	s = open(nil)
	for range 2 {
		if err := engine.install(ctx, s, want); err != nil {
			t.Fatal(err)
		}
	}
	if a := s.record.Agent; !a.Installed || a.State != Done || !a.MadeNamespace || len(a.MadeCRDs) != 0 {
		t.Errorf("noted: %+v", a)
	}
	d, err := l.c.Kube.AppsV1().Deployments(want.Namespace).Get(ctx, "fluxover-agent", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := d.Spec.Template.Spec.Containers[0]
	args := strings.Join(c.Args, " ")
	if c.Image != "registry.example:5000/team/fluxover:1.2.3" || !engineImage(d.Spec.Template.Spec.Containers) ||
		!strings.Contains(args, "--default-service-account=fluxover-no-rights") || !strings.Contains(args, "--no-cross-namespace-refs") {
		t.Errorf("image %s, args %s", c.Image, args)
	}

	k := shape((&team{t: t, lab: l, name: "uses", flux: "flux-uses", commit: commitA}).someKustomization(), staged)
	if _, err := l.c.Apply(ctx, k, "somebody"); err != nil {
		t.Fatal(err)
	}
	if err := uninstallEngine(ctx, s); err == nil || !strings.Contains(err.Error(), "stays") {
		t.Errorf("an agent in use must stay, got %v", err)
	}
	live, err := l.c.Get(ctx, kustomizationKind, k.GetNamespace(), k.GetName())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.c.Dynamic.Resource(kustomizationKind.GroupVersion().WithResource("kustomizations")).Namespace(live.GetNamespace()).Delete(ctx, live.GetName(), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	gone := func() bool {
		left, err := objectsOf(ctx, l.c, neededCRDs[1])
		return err == nil && len(left) == 0
	}
	if err := (&team{t: t}).await(gone); err != nil {
		left, _ := objectsOf(ctx, l.c, neededCRDs[1])
		t.Fatalf("%v: left by other tests: %v", err, left)
	}
	if err := uninstallEngine(ctx, s); err != nil {
		t.Fatal(err)
	}
	if _, err := l.c.Kube.AppsV1().Deployments(want.Namespace).Get(ctx, "fluxover-agent", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Deployment is still there: %v", err)
	}
	if _, err := l.c.Get(ctx, crdKind, "", neededCRDs[0]); err != nil {
		t.Errorf("a definition that was there before must stay: %v", err)
	}
	done(s)
}

// stockControllers makes (or changes) Deployments of the stock controllers, as
// whose pods the engine's double acts, in the ClusterAgent's namespace.
func stockControllers(ctx context.Context, c *cluster.Client, replicas int32, args ...string) error {
	for _, name := range []string{sourceController, kustomizeController} {
		labels := map[string]string{"app": name, "test": "flux1"}
		d := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: migrate.AgentNamespace, Name: name},
			Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "registry.example/fluxcd/" + name + ":v1.9.5", Args: args}}},
			}},
		}
		api := c.Kube.AppsV1().Deployments(d.Namespace)
		_, err := api.Create(ctx, d, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = retryConflict(ctx, func(ctx context.Context) error {
				live, err := api.Get(ctx, name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				live.Spec = d.Spec
				_, err = api.Update(ctx, live, metav1.UpdateOptions{})
				return err
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// playStock sets them for a test and waits until it is so; after the test
// they run as other tests expect.
func playStock(t *testing.T, l *lab, replicas int32, args ...string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := stockControllers(ctx, l.c, 1); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := stockControllers(ctx, l.c, replicas, args...); err != nil {
		t.Fatal(err)
	}
	err := cluster.Wait(ctx, 50*time.Millisecond, time.Minute, func(ctx context.Context) (bool, string, error) {
		for _, name := range []string{sourceController, kustomizeController} {
			d, err := l.c.Kube.AppsV1().Deployments(migrate.AgentNamespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, "", err
			}
			if d.Status.ObservedGeneration < d.Generation || d.Status.Replicas != replicas || d.Status.AvailableReplicas != replicas || d.Status.UpdatedReplicas != replicas {
				return false, name + " is not as it was set", nil
			}
		}
		return true, "", nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// engineTest opens a run of its own, in which no engine is noted.
func engineTest(t *testing.T, l *lab) (context.Context, *session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	s, err := begin(ctx, l.c, Identity{User: "erin", Host: "here"}, func(Event) {}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.end(nil); err != nil {
			t.Error(err)
		}
	})
	if err := s.noteAgent(ctx, func(a *agentRecord) { *a = agentRecord{} }); err != nil {
		t.Fatal(err)
	}
	return ctx, s
}

// confinedPlan is a ClusterAgent for a fleet with confined agents.
func confinedPlan(engine, namespace string) migrate.ClusterAgent {
	want := migrate.ClusterAgent{Engine: engine, Namespace: namespace, Args: []string{"--default-service-account=fluxover-no-rights", "--no-cross-namespace-refs=true"}}
	if engine != "existing" {
		want.Release = "flux-agent"
	}
	return want
}

// refusedFor fails unless err holds everything back and names all of words.
func refusedFor(t *testing.T, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, ErrBlocked) {
		t.Errorf("want it held back, got %v", err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not named: %v", word, err)
		}
	}
}

func TestAnExistingEngineIsUsedOnlyIfItIsAtWorkAndKeepsTenantsApart(t *testing.T) {
	l := laboratory(t)
	ctx, s := engineTest(t, l)
	open := migrate.ClusterAgent{Engine: engineExisting, Namespace: migrate.AgentNamespace}
	confined := confinedPlan(engineExisting, migrate.AgentNamespace)
	engine := Engine{Limit: time.Second}

	playStock(t, l, 0)
	refusedFor(t, engine.install(ctx, s, open), "Deployment/flux-system/kustomize-controller is scaled to 0", "Deployment/flux-system/source-controller is scaled to 0")

	playStock(t, l, 1)
	if err := (Engine{Limit: time.Minute}).install(ctx, s, open); err != nil {
		t.Errorf("controllers that run: %v", err)
	}
	refusedFor(t, engine.install(ctx, s, confined), "Deployment/flux-system/kustomize-controller runs without --default-service-account=fluxover-no-rights", "--no-cross-namespace-refs=true")
	elsewhere := open
	elsewhere.Namespace = "tenants"
	playStock(t, l, 1, "--watch-all-namespaces=false")
	refusedFor(t, engine.install(ctx, s, elsewhere), "kustomize-controller watches its own namespace only", "namespace tenants")
	playStock(t, l, 1, "--watch-label-selector", "sharding.fluxcd.io/key=a")
	refusedFor(t, engine.install(ctx, s, open), "--watch-label-selector=sharding.fluxcd.io/key=a")
	playStock(t, l, 1, "--default-service-account=default", "--no-cross-namespace-refs")
	refusedFor(t, engine.install(ctx, s, confined), "runs with --default-service-account=default instead of --default-service-account=fluxover-no-rights")
	playStock(t, l, 1, "--watch-label-selector=!sharding.fluxcd.io/key", "--default-service-account=fluxover-no-rights", "--no-cross-namespace-refs")
	if err := (Engine{Limit: time.Minute}).install(ctx, s, confined); err != nil {
		t.Errorf("controllers that are locked down: %v", err)
	}

	// A definition that is there, in an older version only.
	old := manifest(t, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.old.example.org}
spec:
  group: old.example.org
  scope: Namespaced
  names: {kind: Thing, listKind: ThingList, plural: things, singular: thing}
  versions:
  - {name: v1beta2, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
  - {name: v1, served: false, storage: false, schema: {openAPIV3Schema: {type: object}}}
`)
	if _, err := l.c.Apply(ctx, old, "test"); err != nil {
		t.Fatal(err)
	}
	needed := neededCRDs
	neededCRDs = append(slices.Clone(needed), old.GetName())
	refusedFor(t, engine.install(ctx, s, confined), "things.old.example.org", "v1beta2", "version v1")
	neededCRDs = append(slices.Clone(needed), "things.nowhere.example.org")
	refusedFor(t, engine.install(ctx, s, confined), "does not serve things.nowhere.example.org")
	neededCRDs = needed
	stored, err := l.c.Get(ctx, crdKind, "", old.GetName())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.c.Delete(ctx, stored, cluster.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{sourceController, kustomizeController} {
		if err := l.c.Kube.AppsV1().Deployments(migrate.AgentNamespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	refusedFor(t, engine.install(ctx, s, open), "no Deployment of source-controller", "no Deployment of kustomize-controller", "any namespace")
	if d := s.record.Agent; d.Installed {
		t.Errorf("noted: %+v", d)
	}
}

func TestOurOwnReleaseIsUpgradedToTheConfiningFlagsAndNeverLoosened(t *testing.T) {
	l := laboratory(t)
	ctx, s := engineTest(t, l)
	playStock(t, l, 0)
	confined := confinedPlan(engineBundled, "agent-upgraded")
	open := confined
	open.Args = nil
	given := map[string]any{"podLabels": map[string]any{"test": "flux1"}, "agent": map[string]any{"extraArgs": []any{"--no-cross-namespace-refs=false", "--concurrent-ssa=2"}}}
	engine := Engine{Image: "registry.example/fluxover:1", Values: given, Limit: time.Minute}
	config, err := helmConfig(l.c, open.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		uninstall := action.NewUninstall(config)
		uninstall.IgnoreNotFound = true
		if _, err := uninstall.Run(open.Release); err != nil {
			t.Error(err)
		}
	})
	live := func() string {
		t.Helper()
		d, err := l.c.Kube.AppsV1().Deployments(open.Namespace).Get(ctx, "fluxover-agent", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return d.Spec.Template.Spec.Containers[0].Image + " " + strings.Join(d.Spec.Template.Spec.Containers[0].Args, " ")
	}
	revision := func() int {
		t.Helper()
		last, err := lastRelease(config, open.Release)
		if err != nil || last == nil {
			t.Fatalf("%v %v", last, err)
		}
		return last.Version
	}
	if err := engine.install(ctx, s, open); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(live(), "--default-service-account") {
		t.Fatalf("an open fleet's agent is confined already: %s", live())
	}

	// A later run's plan has confined agents. The process is killed twice
	// in the middle: once before Helm was called, once while it worked.
	later := Engine{Image: "registry.example/fluxover:2", Limit: time.Minute}
	s.crash = func(_, step string, when When) bool { return step == "agent" && when == AfterStarted }
	if err := later.install(ctx, s, confined); !errors.Is(err, errCrash) {
		t.Fatalf("want a crash, got %v", err)
	}
	s.crash = nil
	last, err := lastRelease(config, open.Release)
	if err != nil {
		t.Fatal(err)
	}
	cut := *last
	info := *last.Info
	cut.Version, cut.Info = last.Version+1, &info
	cut.Info.Status, cut.Info.Description = release.StatusPendingUpgrade, "Preparing upgrade"
	if err := config.Releases.Create(&cut); err != nil {
		t.Fatal(err)
	}
	if err := later.install(ctx, s, confined); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"registry.example/fluxover:2 ", "--default-service-account=fluxover-no-rights", "--no-cross-namespace-refs=true", "--concurrent-ssa=2"} {
		if !strings.Contains(live(), want) {
			t.Errorf("%s is missing after the upgrade: %s", want, live())
		}
	}
	if strings.Contains(live(), "=false") {
		t.Errorf("a flag that loosens stays: %s", live())
	}
	upgraded := revision()
	// An upgrade that is under way, and not by us, is not cut off.
	last, err = lastRelease(config, open.Release)
	if err != nil {
		t.Fatal(err)
	}
	running := *last
	runningInfo := *last.Info
	running.Version, running.Info = last.Version+1, &runningInfo
	running.Info.Status, running.Info.Description = release.StatusPendingUpgrade, "Preparing upgrade"
	if err := config.Releases.Create(&running); err != nil {
		t.Fatal(err)
	}
	if err := later.install(ctx, s, confined); !errors.Is(err, ErrBlocked) || revision() != running.Version {
		t.Errorf("somebody's running upgrade: %v, revision %d", err, revision())
	}
	if _, err := config.Releases.Delete(running.Name, running.Version); err != nil {
		t.Fatal(err)
	}
	// A plan for an open fleet takes nothing back, and changes nothing.
	for _, want := range []migrate.ClusterAgent{open, confined} {
		if err := engine.install(ctx, s, want); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(live(), "--default-service-account=fluxover-no-rights") || !strings.Contains(live(), "--no-cross-namespace-refs=true") || revision() != upgraded {
		t.Errorf("revision %d, before %d: %s", revision(), upgraded, live())
	}

	// By hand, one flag goes and the plan asks for that one alone: the
	// other stays though no plan asks for it.
	half := confined
	half.Args = []string{"--no-cross-namespace-refs=true"}
	_, err = l.c.Kube.AppsV1().Deployments(open.Namespace).Patch(ctx, "fluxover-agent", types.StrategicMergePatchType,
		[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"agent","args":["agent","--default-service-account","fluxover-no-rights"]}]}}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := later.install(ctx, s, half); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(live(), "--default-service-account=fluxover-no-rights") || !strings.Contains(live(), "--no-cross-namespace-refs=true") {
		t.Errorf("an upgrade loosened a flag: %s", live())
	}

	// Somebody's choice of an account is not overwritten.
	other := confined
	other.Args = []string{"--default-service-account=another"}
	refusedFor(t, later.install(ctx, s, other), "--default-service-account=fluxover-no-rights", "--default-service-account=another", "Deployment/agent-upgraded/fluxover-agent")

	// The same release, declared by somebody else since: theirs to change, though
	// the record still says who installed it.
	loaded, err := chart.Load()
	if err != nil {
		t.Fatal(err)
	}
	theirs := action.NewUpgrade(config)
	theirs.Namespace, theirs.ResetValues = open.Namespace, true
	if _, err := theirs.Run(open.Release, loaded, map[string]any{"image": map[string]any{"repository": "x"}, "podLabels": map[string]any{"test": "flux1"}}); err != nil {
		t.Fatal(err)
	}
	before := revision()
	refusedFor(t, later.install(ctx, s, confined), "--default-service-account=fluxover-no-rights", "Deployment/agent-upgraded/fluxover-agent", "agent.defaultServiceAccount", "was not installed by fluxover")
	if revision() != before {
		t.Errorf("somebody else's release was taken: revision %d, before %d", revision(), before)
	}
	if err := later.install(ctx, s, open); err != nil {
		t.Errorf("an open fleet may use it: %v", err)
	}
}

func TestAReleaseOfAnotherChartIsNotTakenForTheClusterAgent(t *testing.T) {
	l := laboratory(t)
	ctx, s := engineTest(t, l)
	playStock(t, l, 0)
	want := confinedPlan(engineBundled, "agent-foreign")
	want.Args = nil
	engine := Engine{Image: "registry.example/fluxover:1", Limit: 2 * time.Second}
	if err := s.store.ensureNamespace(ctx, want.Namespace); err != nil {
		t.Fatal(err)
	}
	config, err := helmConfig(l.c, want.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	one := int32(1)
	labels := map[string]string{"app": "kustomize-controller", "test": "flux1"}
	foreign := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "kc", Namespace: want.Namespace, Annotations: map[string]string{"meta.helm.sh/release-name": want.Release}},
		Spec: appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "registry.example/fluxcd/kustomize-controller:v1"}}},
		}},
	}
	api := l.c.Kube.AppsV1().Deployments(want.Namespace)
	if _, err := api.Create(ctx, foreign, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// Its annotation alone makes nothing ours.
	refusedFor(t, engine.install(ctx, s, want), "agent-foreign/kc")

	stored := &release.Release{
		Name: want.Release, Namespace: want.Namespace, Version: 1,
		Info:  &release.Info{Status: release.StatusDeployed, Description: "Install complete"},
		Chart: &helmchart.Chart{Metadata: &helmchart.Metadata{APIVersion: "v2", Name: "somebodys-flux", Version: "1.0.0"}},
	}
	if err := config.Releases.Create(stored); err != nil {
		t.Fatal(err)
	}
	refusedFor(t, engine.install(ctx, s, want), "agent-foreign/flux-agent", `"somebodys-flux"`, "fluxover-agent")
	if s.record.Agent.State != "" {
		t.Errorf("noted as the ClusterAgent: %+v", s.record.Agent)
	}
	if _, err := config.Releases.Delete(stored.Name, stored.Version); err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(ctx, "kc", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}
