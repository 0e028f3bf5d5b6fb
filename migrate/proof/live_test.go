package proof

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/migrate"
)

// countingWorld counts how objects are read.
type countingWorld struct {
	fakeWorld
	mayList bool
	lists   map[string]int // limit by kind and namespace
	reads   int
}

func (w *countingWorld) Live(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	w.reads++
	return w.fakeWorld.Live(ctx, o)
}

func (w *countingWorld) LiveIn(_ context.Context, kind schema.GroupVersionKind, namespace string, limit int) (map[string]*unstructured.Unstructured, bool) {
	w.lists[kind.Kind+" "+namespace] = limit
	if !w.mayList {
		return nil, false
	}
	objects := map[string]*unstructured.Unstructured{}
	for _, o := range w.live {
		if o.GetKind() == kind.Kind && o.GetNamespace() == namespace {
			objects[o.GetName()] = o
		}
	}
	return objects, true
}

func TestSeveralObjectsOfAKindAreReadAtOnce(t *testing.T) {
	inv := inventoryOf(t, map[string]string{
		"p/a.yaml": configMap("a", "{kept: x}"), "p/b.yaml": configMap("b", "{kept: x}"), "p/gone.yaml": configMap("gone", "{kept: x}"),
		"p/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: team}\n",
	})
	var verbs []map[string]string
	for _, mayList := range []bool{true, false} {
		w := &countingWorld{mayList: mayList, lists: map[string]int{}, fakeWorld: fakeWorld{live: map[string]*unstructured.Unstructured{}}}
		for _, name := range []string{"a", "b"} {
			o := liveConfigMap(name, map[string]any{"kept": "x"}, nil)
			w.live[migrate.ObjectID(o)] = o
		}
		r, err := Prove(t.Context(), inv, migrate.Options{}, w)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int{"ConfigMap team": 3 * spare}, w.lists); diff != "" {
			t.Errorf("lists (-want +got):\n%s", diff)
		}
		if want := map[bool]int{true: 1, false: 4}[mayList]; w.reads != want {
			t.Errorf("may list: %v: %d objects were read alone, want %d", mayList, w.reads, want)
		}
		verbs = append(verbs, verbsOf(r))
	}
	if diff := cmp.Diff(verbs[0], verbs[1]); diff != "" {
		t.Errorf("the way of reading changes the verbs:\n%s", diff)
	}
	if verbs[0]["ConfigMap/team/gone"] != "create" || verbs[0]["ConfigMap/team/a"] != "adopt" {
		t.Errorf("verbs: %v", verbs[0])
	}
}
