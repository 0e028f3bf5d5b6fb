package cutover

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// doubledStore keeps journals in a double of the API server.
func doubledStore() store {
	kube := fake.NewClientset()
	// The double gives no versions, by which a stored object is told from a new one.
	kube.PrependReactor("create", "configmaps", func(a kubetesting.Action) (bool, runtime.Object, error) {
		a.(kubetesting.CreateAction).GetObject().(*corev1.ConfigMap).ResourceVersion = "1"
		return false, nil, nil
	})
	return store{c: &cluster.Client{Kube: kube}}
}

func TestAnAbortGoesOnWhenGitDoesNotAnswer(t *testing.T) {
	s := doubledStore()
	c := s.c
	j := &journal{Repository: "flux/a", Attempt: 1}
	j.add(Entry{Step: "lock", State: Done})
	if err := s.save(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	asked := false
	silent := func(context.Context, string) ([]migrate.Object, error) {
		asked = true
		return nil, errors.New("git: connection timed out")
	}
	if err := Abort(t.Context(), c, RollbackOptions{Head: silent, Identity: Identity{User: "a", Host: "h"}}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := s.load(t.Context(), "flux/a")
	if err != nil || got.Closed != closedAborted || !asked {
		t.Errorf("asked %v, closed %q, %v", asked, got.Closed, err)
	}
	record, err := s.run(t.Context())
	if err != nil || record.abort != "" {
		t.Errorf("the abort is still asked for: %q, %v", record.abort, err)
	}
}
