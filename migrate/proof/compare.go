package proof

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Marks that fluxd and kubectl leave on objects and that Flux v2's first
// apply takes away (reference 2.11; kc: internal/controller/kustomization_controller.go).
var removedMarks = struct{ Labels, Annotations []string }{
	Labels: []string{"fluxcd.io/sync-gc-mark"},
	Annotations: []string{
		"kubectl.kubernetes.io/last-applied-configuration",
		"kustomize.toolkit.fluxcd.io/checksum",
		"fluxcd.io/sync-checksum",
	},
}

// RemovedMark reports whether Flux v2's first apply takes a label or annotation
// away; field is "labels" or "annotations".
func RemovedMark(field, key string) bool {
	switch field {
	case "labels":
		return slices.Contains(removedMarks.Labels, key)
	case "annotations":
		return slices.Contains(removedMarks.Annotations, key)
	}
	return false
}

// labelsByDefault are the labels that an object gets on the way to the new
// agent. Flux v2 takes the marks of Flux v1 away before it puts on labels of its
// own; an object that had no other label has none in between, and the API server
// then gives a Job and a ReplicationController those of their pod template
// (Kubernetes: pkg/apis/batch/v1/defaults.go, pkg/apis/core/v1/defaults.go).
func labelsByDefault(live *unstructured.Unstructured) map[string]string {
	switch live.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Group: "batch", Kind: "Job"}, schema.GroupKind{Kind: "ReplicationController"}:
	default:
		return nil
	}
	marked := live.GetLabels()
	for key := range marked {
		if !RemovedMark("labels", key) {
			return nil
		}
	}
	if len(marked) == 0 {
		return nil
	}
	labels, _, _ := unstructured.NestedStringMap(live.Object, "spec", "template", "metadata", "labels")
	return labels
}

// withoutMarks is the object without the marks that Flux v2's first apply takes
// away, which a dry-run of that apply does not; one that Git holds comes back.
func withoutMarks(u, rendered *unstructured.Unstructured) *unstructured.Unstructured {
	u = u.DeepCopy()
	for field, keys := range map[string][]string{"labels": removedMarks.Labels, "annotations": removedMarks.Annotations} {
		for _, key := range keys {
			if _, inGit, _ := unstructured.NestedFieldNoCopy(rendered.Object, "metadata", field, key); !inGit {
				unstructured.RemoveNestedField(u.Object, "metadata", field, key)
			}
		}
		if left, found, _ := unstructured.NestedMap(u.Object, "metadata", field); found && len(left) == 0 {
			unstructured.RemoveNestedField(u.Object, "metadata", field)
		}
	}
	return u
}

// withLabels is the object with more labels.
func withLabels(u *unstructured.Unstructured, more map[string]string) *unstructured.Unstructured {
	if len(more) == 0 {
		return u
	}
	u = u.DeepCopy()
	labels := map[string]string{}
	maps.Copy(labels, more)
	maps.Copy(labels, u.GetLabels())
	u.SetLabels(labels)
	return u
}

// onlyLabels reports whether fields are labels of these alone.
func onlyLabels(fields []string, labels map[string]string) bool {
	for _, f := range fields {
		key, ok := strings.CutPrefix(plainPath(f), ".metadata.labels.")
		if _, among := labels[key]; !ok || !among {
			return false
		}
	}
	return len(labels) > 0
}

// Owner labels that Flux v2 puts on every object it applies.
const (
	LabelOwnerName      = "kustomize.toolkit.fluxcd.io/name"
	LabelOwnerNamespace = "kustomize.toolkit.fluxcd.io/namespace"
)

// serverFields of metadata are the API server's own.
var serverFields = []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"}

// reduced is a deep copy of an object without what the hand-over changes on
// purpose: the API server's own metadata, status, the marks of Flux v1 and
// the owner labels of Flux v2. annotations are the keys added on purpose.
func reduced(object map[string]any, annotations map[string]bool) map[string]any {
	out := copyMap(object)
	delete(out, "status")
	metadata, _ := out["metadata"].(map[string]any)
	if metadata == nil {
		return out
	}
	for _, f := range serverFields {
		delete(metadata, f)
	}
	drop := func(field string, unwanted func(string) bool) {
		m, _ := metadata[field].(map[string]any)
		for k := range m {
			if unwanted(k) {
				delete(m, k)
			}
		}
		if len(m) == 0 {
			delete(metadata, field)
		}
	}
	drop("labels", func(k string) bool {
		return k == LabelOwnerName || k == LabelOwnerNamespace || slices.Contains(removedMarks.Labels, k)
	})
	drop("annotations", func(k string) bool {
		return annotations[k] || slices.Contains(removedMarks.Annotations, k)
	})
	return out
}

func copyMap(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = copyValue(v)
	}
	return out
}

func copyValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return copyMap(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = copyValue(v[i])
		}
		return out
	}
	return v
}

// differences lists the JSON paths at which two objects differ, sorted.
// Numbers are compared by value, whatever Go type holds them. A null and an
// absent field are the same; an empty map or list is not: an empty selector
// selects everything.
func differences(a, b any) []string {
	return differing(a, b, func(any) bool { return true })
}

// removals are those of differences that b does not have.
func removals(a, b any) []string {
	return differing(a, b, func(after any) bool { return after == nil })
}

// unsaid are those of an object's fields that it has, and Git does not.
func unsaid(fields []string, git, object any) []string {
	var without []string
	walk("", git, object, func(path string, said, _ any) {
		if said == nil {
			without = append(without, path)
		}
	})
	var out []string
	for _, f := range fields {
		if slices.ContainsFunc(without, func(p string) bool { return f == p || strings.HasPrefix(f, p+".") || strings.HasPrefix(f, p+"[") }) {
			out = append(out, f)
		}
	}
	return out
}

func differing(a, b any, wanted func(after any) bool) []string {
	var paths []string
	walk("", a, b, func(path string, _, after any) {
		if wanted(after) {
			paths = append(paths, path)
		}
	})
	slices.Sort(paths)
	return slices.Compact(paths)
}

// Equal reports whether two values of an object are the same by the rules of
// differences.
func Equal(a, b any) bool {
	equal := true
	walk("", a, b, func(string, any, any) { equal = false })
	return equal
}

func walk(path string, a, b any, differ func(path string, before, after any)) {
	switch av := a.(type) {
	case map[string]any:
		bv, ok := b.(map[string]any)
		if !ok && (b != nil || len(av) == 0) {
			break
		}
		for k := range av {
			walk(path+field(k), av[k], bv[k], differ)
		}
		for k := range bv {
			if _, both := av[k]; !both {
				walk(path+field(k), nil, bv[k], differ)
			}
		}
		return
	case []any:
		bv, ok := b.([]any)
		if !ok || len(av) != len(bv) {
			break
		}
		for i := range av {
			walk(fmt.Sprintf("%s[%d]", path, i), av[i], bv[i], differ)
		}
		return
	case nil:
		if bv, ok := b.(map[string]any); ok && len(bv) > 0 {
			for k := range bv {
				walk(path+field(k), nil, bv[k], differ)
			}
			return
		}
	}
	if !sameScalar(a, b) {
		differ(path, a, b)
	}
}

// field writes one step of a path; keys with dots or slashes are quoted.
func field(key string) string {
	if strings.ContainsAny(key, "./[]\" ") {
		return fmt.Sprintf("[%q]", key)
	}
	return "." + key
}

func sameScalar(a, b any) bool {
	if an, ok := number(a); ok {
		if bn, ok := number(b); ok {
			return an == bn
		}
	}
	return reflect.DeepEqual(a, b)
}

// number gives a JSON number's value. Integers beyond 2^53 stay integers, so
// that two large different ones are not taken for equal.
func number(v any) (any, bool) {
	const exact = 1 << 53
	switch n := v.(type) {
	case int:
		return number(int64(n))
	case int64:
		if n > exact || n < -exact {
			return n, true
		}
		return float64(n), true
	case float64:
		return n, true
	}
	return nil, false
}

// NotesAside is an object as one account would leave it, with the labels and
// annotations that it had before where they differ by no more than the names of
// the accounts: Knative, Rancher and common policies note who wrote an object,
// which is to be another. Anywhere else a name is what the object says: in a pod
// template another one replaces pods. A user's name ends with namespace and name;
// an account that is impersonated has no UID.
func NotesAside(after, before *unstructured.Unstructured, accounts ...Account) *unstructured.Unstructured {
	var names []string
	for _, a := range accounts {
		names = append(names, a.Namespace+":"+a.Name, a.Namespace+"/"+a.Name, "system:serviceaccounts:"+a.Namespace)
	}
	// One may begin with another.
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, name := range names {
		pairs = append(pairs, name, "<account>")
	}
	unnamed := strings.NewReplacer(pairs...)
	after = after.DeepCopy()
	for _, field := range []string{"labels", "annotations"} {
		was, _, _ := unstructured.NestedStringMap(before.Object, "metadata", field)
		is, _, _ := unstructured.NestedStringMap(after.Object, "metadata", field)
		for key, value := range is {
			if old, both := was[key]; both && unnamed.Replace(old) == unnamed.Replace(value) {
				// The path is there, and holds texts.
				_ = unstructured.SetNestedField(after.Object, old, "metadata", field, key)
			}
		}
	}
	return after
}

// Differences lists the JSON paths at which two objects differ, sorted, as they
// are compared: without the API server's own metadata, status, and what a
// hand-over changes on purpose.
func Differences(a, b *unstructured.Unstructured) []string {
	return differences(reduced(a.Object, nil), reduced(b.Object, nil))
}
