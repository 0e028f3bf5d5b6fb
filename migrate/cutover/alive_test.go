package cutover

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

func leaseOf(name, holder string, renewed time.Time) *coordinationv1.Lease {
	at, seconds := metav1.NewMicroTime(renewed), int32(35)
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: name},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &at, LeaseDurationSeconds: &seconds},
	}
}

func ofOneSecond(l *coordinationv1.Lease) *coordinationv1.Lease {
	one := int32(1)
	l.Spec.LeaseDurationSeconds = &one
	return l
}

func TestAnEngineWhoseClockIsWrongLivesWhileItRenewsItsLease(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"slow": -time.Hour, "fast": time.Hour} {
		t.Run(name, func(t *testing.T) {
			kube := fake.NewClientset(leaseOf("fluxover-agent-leader-election", "laptop_1", time.Now().Add(wrong)))
			// Each look finds it renewed since the last one.
			looks := 0
			kube.PrependReactor("list", "leases", func(kubetesting.Action) (bool, runtime.Object, error) {
				looks++
				renewed := leaseOf("fluxover-agent-leader-election", "laptop_1", time.Now().Add(wrong))
				return true, &coordinationv1.LeaseList{Items: []coordinationv1.Lease{*renewed}}, nil
			})
			r := &repository{env: &env{c: &cluster.Client{Kube: kube}}}
			if alive, err := r.engineAlive(t.Context()); err != nil || !alive || looks != 2 {
				t.Errorf("alive %v after %d looks, %v", alive, looks, err)
			}
		})
	}
}

func TestALeaseThatWasWatchedInVainIsNotWatchedAgain(t *testing.T) {
	kube := fake.NewClientset(ofOneSecond(leaseOf("fluxover-agent-leader-election", "laptop_1", time.Now().Add(-time.Hour))))
	r := &repository{env: &env{c: &cluster.Client{Kube: kube}}}
	if alive, err := r.engineAlive(t.Context()); err != nil || alive {
		t.Fatalf("alive %v, %v", alive, err)
	}
	begun, looks := time.Now(), 0
	kube.PrependReactor("list", "leases", func(kubetesting.Action) (bool, runtime.Object, error) {
		looks++
		return false, nil, nil
	})
	if alive, err := r.engineAlive(t.Context()); err != nil || alive || looks != 1 {
		t.Errorf("alive %v after %d looks and %s, %v", alive, looks, time.Since(begun), err)
	}
}

func podOf(namespace, image string, phase corev1.PodPhase, labels map[string]string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p", Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Image: image, Args: args}}},
		Status:     corev1.PodStatus{Phase: phase},
	}
}

func TestAnEngineIsDeadOnlyWithoutPodAndWithoutLease(t *testing.T) {
	raw, err := json.Marshal(runRecord{Version: 1, Run: "r", Agent: agentRecord{Engine: "bundled", State: Done, Namespace: "flux-system", Release: "agent"}})
	if err != nil {
		t.Fatal(err)
	}
	record := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: migrate.StateNamespace, Name: RunRecord}, Data: map[string]string{journalKey: string(raw)}}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "agent", Annotations: map[string]string{"meta.helm.sh/release-name": "agent"}},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"own": "label"}}},
	}
	now := time.Now()
	unusual := "ghcr.io/acme/fluxover-agent:1"
	instance := map[string]string{"app.kubernetes.io/instance": "agent"}
	for name, c := range map[string]struct {
		objects []runtime.Object
		alive   bool
	}{
		"nothing":                                     {},
		"the bundled agent":                           {objects: []runtime.Object{podOf("x", "fluxover:1", corev1.PodRunning, nil, "agent")}, alive: true},
		"the stock controller":                        {objects: []runtime.Object{podOf("x", "ghcr.io/fluxcd/kustomize-controller:v1", corev1.PodRunning, nil)}, alive: true},
		"a mirrored stock controller":                 {objects: []runtime.Object{podOf("x", "mirror/kc:v1", corev1.PodRunning, map[string]string{"app": "kustomize-controller"})}, alive: true},
		"an image of another name, of the release":    {objects: []runtime.Object{record, podOf("flux-system", unusual, corev1.PodPending, instance, "agent")}, alive: true},
		"an image of another name, of the Deployment": {objects: []runtime.Object{record, deployment, podOf("flux-system", unusual, corev1.PodRunning, map[string]string{"own": "label"})}, alive: true},
		"that of another namespace":                   {objects: []runtime.Object{record, deployment, podOf("x", unusual, corev1.PodRunning, instance)}},
		"a pod of the release that has ended":         {objects: []runtime.Object{record, podOf("flux-system", unusual, corev1.PodSucceeded, instance)}},
		"some other program":                          {objects: []runtime.Object{record, deployment, podOf("flux-system", "nginx", corev1.PodRunning, nil)}},
		"an agent outside the cluster":                {objects: []runtime.Object{leaseOf("fluxover-agent-leader-election", "laptop_1", now)}, alive: true},
		"a stock controller's lease":                  {objects: []runtime.Object{leaseOf("kustomize-controller-leader-election", "pod_1", now)}, alive: true},
		"a lease with a selector's hash":              {objects: []runtime.Object{leaseOf("fluxover-agent-leader-election-0a1b2c", "laptop_1", now)}, alive: true},
		"a lease that is not renewed":                 {objects: []runtime.Object{ofOneSecond(leaseOf("fluxover-agent-leader-election", "laptop_1", now.Add(-time.Minute)))}},
		"one of tomorrow that is not renewed":         {objects: []runtime.Object{ofOneSecond(leaseOf("fluxover-agent-leader-election", "laptop_1", now.Add(24*time.Hour)))}},
		"a lease that was given back":                 {objects: []runtime.Object{leaseOf("fluxover-agent-leader-election", "", now)}},
		"the lease of a controller that applies none": {objects: []runtime.Object{leaseOf("source-controller-leader-election", "pod_1", now)}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &repository{env: &env{c: &cluster.Client{Kube: fake.NewClientset(c.objects...)}}}
			if got, err := r.engineAlive(t.Context()); err != nil || got != c.alive {
				t.Errorf("alive: got %v, %v; want %v", got, err, c.alive)
			}
		})
	}
}

func TestWithoutAnAnswerAboutLeasesNoEngineIsCalledDead(t *testing.T) {
	kube := fake.NewClientset()
	forbidden := errors.New("leases are forbidden")
	kube.PrependReactor("list", "leases", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, forbidden })
	r := &repository{env: &env{c: &cluster.Client{Kube: kube}}}
	if alive, err := r.engineAlive(t.Context()); !errors.Is(err, forbidden) {
		t.Errorf("got %v, %v", alive, err)
	}
}
