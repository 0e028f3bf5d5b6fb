package cutover

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/release"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/migrate"
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
