package cutover

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	kubetesting "k8s.io/client-go/testing"
)

// troubled gives Kustomizations whose lists and watches fail as often as said.
func troubled(err error, lists, watches int) dynamic.ResourceInterface {
	gvr := kustomizationKind.GroupVersion().WithResource("kustomizations")
	k := &unstructured.Unstructured{}
	k.SetGroupVersionKind(kustomizationKind)
	k.SetNamespace("flux-system")
	k.SetName("web")
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{gvr: "KustomizationList"}, k)
	client.PrependReactor("list", "*", func(kubetesting.Action) (bool, runtime.Object, error) {
		lists--
		return lists >= 0, nil, err
	})
	client.PrependWatchReactor("*", func(kubetesting.Action) (bool, watch.Interface, error) {
		watches--
		return watches >= 0, nil, err
	})
	return client.Resource(gvr).Namespace("flux-system")
}

func TestFollowingOutlastsPassingTroubleOfTheServer(t *testing.T) {
	checks := 0
	err := follow(t.Context(), troubled(apierrors.NewServiceUnavailable("restarting"), 2, 2), metav1.ListOptions{}, func(now objects) (bool, string, error) {
		checks++
		return now["web"] != nil && checks == 3, "web", nil
	})
	if err != nil || checks != 3 {
		t.Errorf("%d checks, %v", checks, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err = follow(ctx, troubled(apierrors.NewTooManyRequests("slow down", 1), 1000, 0), metav1.ListOptions{}, func(objects) (bool, string, error) { return true, "", nil })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "slow down") {
		t.Errorf("the limit's error does not name the trouble: %v", err)
	}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "kustomizations"}, "", errors.New("no"))
	if err := follow(t.Context(), troubled(forbidden, 1, 0), metav1.ListOptions{}, func(objects) (bool, string, error) { return true, "", nil }); !apierrors.IsForbidden(err) {
		t.Errorf("a refusal is an answer: %v", err)
	}
}

func TestAnArtifactThatIsNotThereYetIsWaitedFor(t *testing.T) {
	r := &repository{env: &env{}, j: &journal{}}
	k := func(reason string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{
			"lastHandledReconcileAt": "token",
			"conditions":             []any{map[string]any{"type": "Ready", "status": "False", "reason": reason, "message": "why"}},
		}}}
		u.SetGroupVersionKind(kustomizationKind)
		u.SetGeneration(1)
		return u
	}
	if ok, lack, err := r.kustomizationReady(k("ArtifactFailed"), "token"); ok || err != nil || !strings.Contains(lack, "why") {
		t.Errorf("got %v, %q, %v", ok, lack, err)
	}
	if _, _, err := r.kustomizationReady(k("ReconciliationFailed"), "token"); !errors.Is(err, errReconcileFailed) {
		t.Errorf("an apply that failed: %v", err)
	}
}
