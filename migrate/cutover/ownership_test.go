package cutover

import (
	"maps"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

func owns(manager string, op metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: op, APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields)}
}

func sub(e metav1.ManagedFieldsEntry, name string) metav1.ManagedFieldsEntry {
	e.Subresource = name
	return e
}

const (
	update = metav1.ManagedFieldsOperationUpdate
	apply  = metav1.ManagedFieldsOperationApply
)

func TestOwnershipGoesBackToWhoHadItLessWhatOthersTookSince(t *testing.T) {
	object := map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"app": "x"}},
		"data":     map[string]any{"a": "1", "b": "2", "c": "3"},
	}
	type entries = []metav1.ManagedFieldsEntry
	for name, c := range map[string]struct {
		before, live, want entries
		convert            bool
	}{
		"adopted": {
			before: entries{owns("kubectl-client-side-apply", update, `{"f:data":{"f:a":{},"f:b":{}}}`)},
			live:   entries{owns("kustomize-controller", apply, `{"f:data":{"f:a":{},"f:b":{}}}`)},
			want:   entries{owns("kubectl-client-side-apply", update, `{"f:data":{"f:a":{},"f:b":{}}}`)},
		},
		"several managers were taken over": {
			before: entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`), owns("kubectl-edit", update, `{"f:data":{"f:b":{}}}`)},
			live:   entries{owns("kustomize-controller", apply, `{"f:data":{"f:a":{}}}`), owns("fluxover", update, `{"f:data":{"f:b":{}}}`)},
			want:   entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`), owns("kubectl-edit", update, `{"f:data":{"f:b":{}}}`)},
		},
		"another manager took a field since": {
			before: entries{owns("kubectl", update, `{"f:data":{"f:a":{},"f:b":{}}}`)},
			live:   entries{owns("kustomize-controller", apply, `{"f:data":{"f:a":{}}}`), owns("hpa", update, `{"f:data":{"f:b":{}}}`)},
			want:   entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`), owns("hpa", update, `{"f:data":{"f:b":{}}}`)},
		},
		"a manager that co-owned before still does": {
			before: entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`), owns("op", update, `{"f:data":{"f:a":{}}}`)},
			live:   entries{owns("kustomize-controller", apply, `{"f:data":{"f:a":{}}}`), owns("op", update, `{"f:data":{"f:a":{}}}`)},
			want:   entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`), owns("op", update, `{"f:data":{"f:a":{}}}`)},
		},
		"a field that is gone is owned by nobody": {
			before: entries{owns("kubectl", update, `{"f:data":{"f:a":{},"f:gone":{}}}`)},
			live:   entries{owns("kustomize-controller", apply, `{"f:data":{"f:a":{}}}`)},
			want:   entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`)},
		},
		"status stays with the controllers": {
			before: entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`), sub(owns("kcm", update, `{"f:status":{"f:x":{}}}`), "status")},
			live:   entries{owns("kustomize-controller", apply, `{"f:data":{"f:a":{}}}`), sub(owns("kcm", update, `{"f:status":{"f:y":{}}}`), "status")},
			want:   entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`), sub(owns("kcm", update, `{"f:status":{"f:y":{}}}`), "status")},
		},
		"never adopted": {
			before: entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`)},
			live:   entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`)},
			want:   entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`)},
		},
		"nobody was noted before the new agent's first apply": {
			live: entries{owns("before-first-apply", update, `{"f:data":{"f:a":{}}}`), owns("kustomize-controller", apply, `{"f:data":{"f:a":{}}}`), owns("op", update, `{"f:data":{"f:b":{}}}`)},
			want: entries{owns("op", update, `{"f:data":{"f:b":{}}}`)},
		},
		"edited by hand since": {
			before: entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`)},
			live:   entries{owns("kustomize-controller", apply, `{"f:data":{"f:a":{}}}`), owns("kubectl-edit", update, `{"f:data":{"f:c":{}}}`)},
			want:   entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`), owns("kubectl-edit", update, `{"f:data":{"f:c":{}}}`)},
		},
		"changed in Git since": {
			convert: true,
			before:  entries{owns("kubectl", update, `{"f:data":{"f:a":{}}}`)},
			live:    entries{owns("kustomize-controller", apply, `{"f:metadata":{"f:labels":{"f:app":{},"f:removed-owner":{}}},"f:data":{"f:a":{},"f:c":{}}}`)},
			want:    entries{owns("kubectl", update, `{"f:metadata":{"f:labels":{"f:app":{}}},"f:data":{"f:a":{},"f:c":{}}}`)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := restoredOwnership(c.before, c.live, object, c.convert, "kubectl")
			if err != nil {
				t.Fatal(err)
			}
			if !sameOwnership(got, c.want) {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			again, err := restoredOwnership(c.before, got, object, c.convert, "kubectl")
			if err != nil || !sameOwnership(again, c.want) {
				t.Errorf("a second time: %s, %v", again, err)
			}
		})
	}
}

func TestPathsThroughListsAreFoundAndWritten(t *testing.T) {
	object := map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "a", "env": []any{map[string]any{"name": "X", "value": "1"}}}}}}
	env := func(name string) fieldpath.Path {
		return fieldpath.MakePathOrDie("spec", "containers", fieldpath.KeyByFields("name", "a"), "env", fieldpath.KeyByFields("name", name), "value")
	}
	if v, ok := lookup(object, env("X")); !ok || v != "1" {
		t.Errorf("got %v, %v", v, ok)
	}
	if _, ok := lookup(object, env("Y")); ok {
		t.Error("found what is not there")
	}
	if !set(object, env("Y"), "2") {
		t.Fatal("could not write")
	}
	if v, ok := lookup(object, env("Y")); !ok || v != "2" {
		t.Errorf("got %v, %v", v, ok)
	}
	if set(map[string]any{"spec": "text"}, env("X"), "1") {
		t.Error("wrote through a text")
	}
}

// Labels that a Flux v2 left which is gone are part of what an object was.
func TestOwnerLabelsGoBackToWhatTheyWere(t *testing.T) {
	ours := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "team-web", "namespace": "flux-system"}}}
	r := &repository{j: &journal{plan: &planSlice{}}}
	r.j.plan.Repository.Kustomizations = []*unstructured.Unstructured{ours}
	object := func(labels map[string]string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a", "namespace": "team"}}}
		u.SetLabels(labels)
		return u
	}
	adopted := map[string]string{"app": "web", ownerName: "team-web", ownerNamespace: "flux-system"}
	for name, before := range map[string]map[string]string{
		"none":                     {"app": "web"},
		"of one that is gone":      {"app": "web", ownerName: "apps", ownerNamespace: "flux-system"},
		"of one without namespace": {"app": "web", ownerName: "apps"},
	} {
		for _, f := range []fate{unchanged, changedInGit} {
			want := object(adopted)
			r.restoreMetadata(want, &heldObject{Object: object(before)}, f)
			if !maps.Equal(want.GetLabels(), before) {
				t.Errorf("%s: %v", name, want.GetLabels())
			}
		}
	}
	taken := map[string]string{ownerName: "theirs", ownerNamespace: "elsewhere"}
	want := object(taken)
	if r.restoreMetadata(want, &heldObject{Object: object(nil)}, changedInGit); !maps.Equal(want.GetLabels(), taken) {
		t.Errorf("labels of somebody else are taken away: %v", want.GetLabels())
	}
}
