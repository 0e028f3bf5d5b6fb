package proof

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDifferencesNamesFieldsAndOnlyThose(t *testing.T) {
	for name, c := range map[string]struct {
		a, b string
		want []string
	}{
		"equal":                          {"{a: {b: 1}}", "{a: {b: 1}}", nil},
		"number types":                   {"{a: 1}", "{a: 1.0}", nil},
		"a number and its text":          {"{a: 1}", `{a: "1"}`, []string{".a"}},
		"a boolean and its text":         {"{a: true}", `{a: "true"}`, []string{".a"}},
		"large numbers one apart":        {"{a: 9007199254740993}", "{a: 9007199254740995}", []string{".a"}},
		"null and absent":                {"{c: null}", "{}", nil},
		"an empty map is not absent":     {"{a: {}}", "{}", []string{".a"}},
		"an empty list is not absent":    {"{a: []}", "{}", []string{".a"}},
		"an empty text is not absent":    {`{a: ""}`, "{}", []string{".a"}},
		"nested, list item":              {"{a: [{b: 1}, {b: 2}]}", "{a: [{b: 1}, {b: 3}]}", []string{".a[1].b"}},
		"lists of two lengths":           {"{a: [1]}", "{a: [1, 2]}", []string{".a"}},
		"added map":                      {"{}", "{a: {b: 1, c: {d: 2}}}", []string{".a.b", ".a.c.d"}},
		"keys with dots and slashes":     {"{a: {x.y/z: 1}}", "{a: {x.y/z: 2}}", []string{`.a["x.y/z"]`}},
		"a map where there was a scalar": {"{a: 1}", "{a: {b: 1}}", []string{".a"}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := object(t, c.a), object(t, c.b)
			if d := cmp.Diff(c.want, differences(a, b)); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(c.want, differences(b, a)); d != "" {
				t.Errorf("the other way round: %s", d)
			}
		})
	}
}

func TestReducedDropsMarksAndKeepsEverythingElse(t *testing.T) {
	got := reduced(object(t, `
metadata:
  name: web
  uid: u
  generation: 2
  labels: {app: web, fluxcd.io/sync-gc-mark: sha256.x, kustomize.toolkit.fluxcd.io/name: n, kustomize.toolkit.fluxcd.io/namespace: n}
  annotations: {fluxcd.io/sync-checksum: x, kubectl.kubernetes.io/last-applied-configuration: "{}", mine: kept, added: disabled}
  finalizers: [kept]
spec: {a: 1}
status: {b: 2}
`), map[string]bool{"added": true})
	want := object(t, `{metadata: {name: web, labels: {app: web}, annotations: {mine: kept}, finalizers: [kept]}, spec: {a: 1}}`)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAHashOfWhatChangesTellsValuesApartAndNoSecretOnes(t *testing.T) {
	object := func(kind, value string) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"labels": map[string]any{"l": value}}, "data": map[string]any{"k": value}}
	}
	hash := func(kind, before, after string, encrypted bool) string {
		was, is := object(kind, before), object(kind, after)
		delete(was["metadata"].(map[string]any), "labels")
		delete(is["metadata"].(map[string]any), "labels")
		return changeDigest(&unstructured.Unstructured{Object: was}, was, is, is, encrypted)
	}
	if hash("ConfigMap", "a", "a", false) != "" {
		t.Error("nothing changes, and there is a hash of it")
	}
	if hash("ConfigMap", "2", "1", false) == hash("ConfigMap", "20", "1", false) || hash("ConfigMap", "2", "1", false) == hash("ConfigMap", "2", "3", false) {
		t.Error("other values are not told apart")
	}
	for _, c := range []struct {
		kind      string
		encrypted bool
	}{{"Secret", false}, {"ConfigMap", true}} {
		if hash(c.kind, "a", "b", c.encrypted) != hash(c.kind, "c", "d", c.encrypted) {
			t.Errorf("%s, encrypted %t: the hash is taken over its values", c.kind, c.encrypted)
		}
	}
	was, is := object("Secret", "a"), object("Secret", "b")
	other := object("Secret", "c")
	was["data"], is["data"], other["data"] = nil, nil, nil
	live := &unstructured.Unstructured{Object: was}
	if changeDigest(live, was, is, is, false) == changeDigest(live, was, other, other, false) {
		t.Error("another label of a Secret is not told apart")
	}
}

func TestAHashOfWhatChangesDoesNotMoveByItself(t *testing.T) {
	object := func(replicas, stamp any) map[string]any {
		spec := map[string]any{"replicas": replicas}
		if stamp != nil {
			spec["stamp"] = stamp
		}
		return map[string]any{"spec": spec}
	}
	live := &unstructured.Unstructured{Object: object(7, "old")}
	hash := func(was, is, git map[string]any) string { return changeDigest(live, was, is, git, false) }
	setBy := func(e metav1.ManagedFieldsEntry) { live.SetManagedFields([]metav1.ManagedFieldsEntry{e}) }
	for _, hand := range []metav1.ManagedFieldsEntry{
		entry("kubectl-edit", update, "", `{"f:spec":{"f:replicas":{}}}`), entry("kubectl", update, "scale", `{"f:spec":{"f:replicas":{}}}`), entry("k9s", update, "scale", `{"f:spec":{"f:replicas":{}}}`), entry("oc", update, "scale", `{"f:spec":{"f:replicas":{}}}`), entry("kube-controller-manager", update, "scale", `{"f:spec":{"f:other":{}}}`), {},
	} {
		setBy(hand)
		if hash(object(7, nil), object(3, nil), object(3, nil)) == hash(object(20, nil), object(3, nil), object(3, nil)) {
			t.Errorf("replicas that a person set do not count, by %s", hand.Manager)
		}
	}
	for _, manager := range []string{"k3s", "metrics-bridge", "kube-controller-manager"} {
		setBy(entry(manager, update, "scale", `{"f:spec":{"f:replicas":{}}}`))
		if hash(object(7, nil), object(3, nil), object(3, nil)) != hash(object(8, nil), object(3, nil), object(3, nil)) {
			t.Errorf("an autoscaler's replicas count, by %s", manager)
		}
	}
	if hash(object(7, nil), object(3, nil), object(3, nil)) == hash(object(7, nil), object(4, nil), object(4, nil)) {
		t.Error("other replicas in Git do not count")
	}
	if hash(object(7, "old"), object(7, "10:00"), object(7, nil)) != hash(object(7, "old"), object(7, "10:01"), object(7, nil)) {
		t.Error("what admission makes anew counts")
	}
	if hash(object(7, "old"), object(7, nil), object(7, nil)) == hash(object(7, "other"), object(7, nil), object(7, nil)) {
		t.Error("another value that goes does not count")
	}
}

func TestAListIsNormalizedAsItStands(t *testing.T) {
	list := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "List", "items": []any{}}}
	if got := Normalized(list); !reflect.DeepEqual(got.Object, list.Object) {
		t.Errorf("%v", got.Object)
	}
}

// Kustomize makes text of an annotation that is none: the rest of the object is no difference.
func TestMetadataThatIsNoTextIsTheOnlyDifference(t *testing.T) {
	object := func(value any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": "web", "namespace": "shop", "annotations": map[string]any{"a": value}, "labels": map[string]any{"b": value}},
			"spec":     map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "web"}}}}}}}
	}
	got := differences(reduced(Normalized(object(true)).Object, nil), reduced(Normalized(object("true")).Object, nil))
	if want := []string{".metadata.annotations.a", ".metadata.labels.b"}; !slices.Equal(got, want) {
		t.Errorf("differences in %q, want %q", got, want)
	}
}
