package cutover

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/fluxover/fluxover/reconcile/cluster"
)

// unanswered is a probe that no server answers in a way that tells anything.
func unanswered(t *testing.T) []probe {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	as, err := cluster.ForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	target := &unstructured.Unstructured{}
	target.SetAPIVersion("v1")
	target.SetKind("ConfigMap")
	target.SetNamespace("gone")
	target.SetName("gone")
	target.SetUID("1")
	return []probe{{as: as, target: target}}
}

func TestAFenceThatIsGoneIsLiftedThoughNoProbeAnswers(t *testing.T) {
	t.Parallel()
	r := &repository{env: &env{c: &cluster.Client{Kube: fake.NewClientset()}, limits: limits{fence: 2 * time.Second}}, id: "flux/a", j: &journal{}}
	begun := time.Now()
	if err := r.awaitAnswers(t.Context(), unanswered(t), false, 0); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < inForceSpread {
		t.Errorf("believed after %s, before every API server can know", took)
	}
}

func TestAFenceThatStandsIsNotLiftedThoughNoProbeAnswers(t *testing.T) {
	t.Parallel()
	r := &repository{env: &env{limits: limits{fence: time.Second}}, id: "flux/a", j: &journal{}}
	r.c = &cluster.Client{Kube: fake.NewClientset(&admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: fenceName(r.id)}})}
	if err := r.awaitAnswers(t.Context(), unanswered(t), false, 0); !errors.Is(err, cluster.ErrWaitExpired) {
		t.Errorf("want the wait to expire, got %v", err)
	}
	// Nor is one ever in force that no probe has seen.
	r.c = &cluster.Client{Kube: fake.NewClientset()}
	if err := r.awaitAnswers(t.Context(), unanswered(t), true, 0); !errors.Is(err, cluster.ErrWaitExpired) {
		t.Errorf("want the wait to expire, got %v", err)
	}
}
