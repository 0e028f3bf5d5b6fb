package proof

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// applyManager is the field manager under which Flux v2 applies.
const applyManager = "kustomize-controller"

// takenOver reports whether Flux v2's first apply merges this managedFields
// entry into its own (reference 2.11; kc: kustomization_controller.go,
// pkg: ssa/patch.go): managers whose name starts with "kubectl", and Update
// entries of before-first-apply and kustomize-controller; never entries of a
// subresource.
func takenOver(e metav1.ManagedFieldsEntry) bool {
	if e.Subresource != "" {
		return false
	}
	if strings.HasPrefix(e.Manager, "kubectl") {
		return true
	}
	return e.Operation == metav1.ManagedFieldsOperationUpdate && (e.Manager == "before-first-apply" || e.Manager == applyManager)
}

// Removals forecasts which fields of the live object the first apply of Flux
// v2 takes away: those owned by a manager that is taken over, not sent by the
// new agent, and owned by nobody else (reference H4). tried is the answer of
// the dry-run of the new agent's apply; its managedFields say what the new
// agent sends. The marks that are removed on purpose are left out.
//
// An object without managedFields loses them at the second apply: the first
// one, dry or not, has the API server give all that it holds to
// before-first-apply (Kubernetes: apimachinery util/managedfields,
// skipNonAppliedManager), which the next one takes over.
//
// left is tried without those fields, as it would be sent to be stored. What
// the API server then fills in again by its defaults is known only when it is
// asked: an object that kubectl applied owns its defaults too. paths are what
// is taken away, sorted; none means that left is tried.
func Removals(live, tried *unstructured.Unstructured) (left *unstructured.Unstructured, paths []string, err error) {
	mine, kept := &fieldpath.Set{}, &fieldpath.Set{}
	for _, e := range live.GetManagedFields() {
		set, err := fieldSet(e)
		if err != nil {
			return nil, nil, err
		}
		if takenOver(e) || ownApply(e) { // what it applied before and no longer sends goes as well
			mine = mine.Union(set)
		} else {
			kept = kept.Union(set)
		}
	}
	for _, e := range tried.GetManagedFields() {
		set, err := fieldSet(e)
		switch {
		case err != nil:
			return nil, nil, err
		case ownApply(e):
			kept = kept.Union(set)
		case takenOver(e):
			mine = mine.Union(set)
		}
	}
	// A field stays while anything below it is owned.
	stays := map[string]bool{}
	kept.Iterate(func(p fieldpath.Path) {
		for i := range p {
			stays[p[:i+1].String()] = true
		}
	})
	if _, counted := live.GetAnnotations()[revision]; counted {
		for _, p := range []string{".metadata", ".metadata.annotations", ".metadata.annotations." + revision} {
			stays[p] = true
		}
	}
	var gone []fieldpath.Path
	mine.Iterate(func(p fieldpath.Path) {
		if s := p.String(); !stays[s] && !markPath(s) {
			gone = append(gone, p.Copy())
		}
	})
	// The deepest first, so that an element is still found by its key.
	slices.SortStableFunc(gone, func(a, b fieldpath.Path) int { return len(b) - len(a) })
	left = tried.DeepCopy()
	for _, p := range gone {
		if remove(left.Object, p) {
			paths = append(paths, p.String())
		}
	}
	slices.Sort(paths)
	return left, paths, nil
}

func ownApply(e metav1.ManagedFieldsEntry) bool {
	return e.Manager == applyManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
}

func fieldSet(e metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	set := &fieldpath.Set{}
	if e.FieldsV1 == nil {
		return set, nil
	}
	if err := set.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
		return nil, fmt.Errorf("decode managedFields of %s: %w", e.Manager, err)
	}
	return set, nil
}

// revision is the annotation by which the Deployment controller counts. Where it
// is taken away, as from an object that does not tell who wrote it, the
// controller writes it again at once.
const revision = "deployment.kubernetes.io/revision"

// markPath reports whether a path is one of the marks removed on purpose.
func markPath(path string) bool {
	for _, l := range removedMarks.Labels {
		if path == ".metadata.labels."+l {
			return true
		}
	}
	for _, a := range removedMarks.Annotations {
		if path == ".metadata.annotations."+a {
			return true
		}
	}
	return false
}

// remove takes what the path leads to out of the object, and reports whether
// there was anything. Maps that become empty go with their last field. A
// field that is the key of a list's element stays as long as the element does:
// the element goes by its own path.
func remove(at any, path fieldpath.Path) bool {
	parent, last := path[:len(path)-1], path[len(path)-1]
	if last.FieldName != nil {
		if len(parent) > 0 && keyField(parent[len(parent)-1], *last.FieldName) {
			return false
		}
		m, ok := find(at, parent).(map[string]any)
		if !ok {
			return false
		}
		if _, ok := m[*last.FieldName]; !ok {
			return false
		}
		delete(m, *last.FieldName)
		return true
	}
	if len(parent) == 0 || parent[len(parent)-1].FieldName == nil {
		return false
	}
	holder, ok := find(at, parent[:len(parent)-1]).(map[string]any)
	if !ok {
		return false
	}
	name := *parent[len(parent)-1].FieldName
	list, _ := holder[name].([]any)
	i := index(list, last)
	if i < 0 {
		return false
	}
	holder[name] = slices.Delete(slices.Clone(list), i, i+1)
	return true
}

func keyField(element fieldpath.PathElement, name string) bool {
	return element.Key != nil && slices.ContainsFunc(*element.Key, func(f value.Field) bool { return f.Name == name })
}

// find follows a path; nil if it leads nowhere.
func find(at any, path fieldpath.Path) any {
	for _, step := range path {
		if step.FieldName != nil {
			m, _ := at.(map[string]any)
			at = m[*step.FieldName]
			continue
		}
		list, _ := at.([]any)
		i := index(list, step)
		if i < 0 {
			return nil
		}
		at = list[i]
	}
	return at
}

// index finds the list element that a step names; -1 if there is none.
func index(list []any, step fieldpath.PathElement) int {
	switch {
	case step.Key != nil:
		return slices.IndexFunc(list, func(item any) bool {
			m, ok := item.(map[string]any)
			for _, k := range *step.Key {
				ok = ok && sameScalar(m[k.Name], k.Value.Unstructured())
			}
			return ok
		})
	case step.Value != nil:
		return slices.IndexFunc(list, func(item any) bool { return sameScalar(item, (*step.Value).Unstructured()) })
	case step.Index != nil && *step.Index < len(list):
		return *step.Index
	}
	return -1
}

// replacesPods reports whether a change of one of the fields of a live object
// makes its controller replace its pods: any kind that holds a template of
// pods counts, an operator's too, but for those that use it for new pods alone,
// and where the pods are replaced once somebody deletes them.
func replacesPods(live *unstructured.Unstructured, fields []string) bool {
	switch live.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Group: "batch", Kind: "Job"}, schema.GroupKind{Kind: "ReplicationController"}, schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}:
		return false
	case schema.GroupKind{Group: "apps", Kind: "DaemonSet"}, schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		if strategy, _, _ := unstructured.NestedString(live.Object, "spec", "updateStrategy", "type"); strategy == "OnDelete" {
			return false
		}
	}
	return slices.ContainsFunc(fields, func(f string) bool { return InPodTemplate(live, f) })
}

// InPodTemplate reports whether a path, in the form of this package or of
// managedFields, is of a pod template of an object, or of what holds one. Kinds of
// operators have several, at any place in their spec; the items of a list are not
// told apart. Each of its containers has a name: patterns of policies that look like
// one do not. A template of Jobs is none: it makes pods later, and replaces none.
func InPodTemplate(u *unstructured.Unstructured, path string) bool {
	path = plainPath(path)
	found := false
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			spec, _ := v["spec"].(map[string]any)
			if containers, is := spec["containers"].([]any); is && !slices.ContainsFunc(containers, unnamed) {
				found = found || path == at || strings.HasPrefix(path, at+".") || strings.HasPrefix(at, path+".")
				return
			}
			for key, inner := range v {
				if key != "jobTemplate" && key != "job" {
					walk(at+"."+key, inner)
				}
			}
		case []any:
			for _, item := range v {
				walk(at, item)
			}
		}
	}
	walk(".spec", u.Object["spec"])
	return found
}

// unnamed reports whether an item of a list has no name that a container can have.
func unnamed(container any) bool {
	fields, _ := container.(map[string]any)
	name, _ := fields["name"].(string)
	return len(validation.IsDNS1123Label(name)) > 0
}
