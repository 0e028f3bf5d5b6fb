package cutover

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/fluxover/fluxover/migrate"
)

// engineManager is the field manager under which Flux v2 applies.
const engineManager = "kustomize-controller"

// takenOver reports whether Flux v2's first apply merges this entry into its
// own (reference 2.11; pkg: ssa/patch.go): managers whose name starts with
// "kubectl", and Update entries of before-first-apply and
// kustomize-controller; never entries of a subresource.
func takenOver(e metav1.ManagedFieldsEntry) bool {
	if e.Subresource != "" {
		return false
	}
	if strings.HasPrefix(e.Manager, "kubectl") {
		return true
	}
	return e.Operation == metav1.ManagedFieldsOperationUpdate && (e.Manager == beforeFirstApply || e.Manager == engineManager)
}

// beforeFirstApply is whom the API server gives all fields of an object without
// managedFields to when it is applied for the first time.
const beforeFirstApply = "before-first-apply"

// takenFields are the fields of an object that adoption takes over. Of one
// without managedFields that is everything, at its second apply; which lists it
// knows by keys is guessed then.
func takenFields(u *unstructured.Unstructured) (*fieldpath.Set, error) {
	if entries := u.GetManagedFields(); len(entries) > 0 {
		return union(entries, takenOver)
	}
	content := maps.Clone(u.Object)
	delete(content, "status")
	metadata := map[string]any{}
	for _, field := range []string{"labels", "annotations"} {
		if m, found, _ := unstructured.NestedMap(u.Object, "metadata", field); found {
			metadata[field] = m
		}
	}
	content["metadata"] = metadata
	return fieldpath.SetFromValue(value.NewValueInterface(content)), nil
}

// engines reports whether the entry is what Flux v2 applied.
func engines(e metav1.ManagedFieldsEntry) bool {
	return e.Manager == engineManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
}

// executors reports whether the entry is what this package wrote.
func executors(e metav1.ManagedFieldsEntry) bool {
	return e.Manager == migrate.FieldManager && e.Subresource == ""
}

// entryKey tells managedFields entries apart as the API server does.
func entryKey(e metav1.ManagedFieldsEntry) string {
	return strings.Join([]string{e.Manager, string(e.Operation), e.APIVersion, e.Subresource}, "|")
}

func fieldsOf(e metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	set := fieldpath.NewSet()
	if e.FieldsV1 == nil || len(e.FieldsV1.GetRawBytes()) == 0 {
		return set, nil
	}
	if err := set.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
		return nil, fmt.Errorf("decode managedFields of %s: %w", e.Manager, err)
	}
	return set, nil
}

func withFields(e metav1.ManagedFieldsEntry, set *fieldpath.Set) (metav1.ManagedFieldsEntry, error) {
	raw, err := set.ToJSON()
	if err != nil {
		return e, fmt.Errorf("encode managedFields of %s: %w", e.Manager, err)
	}
	e.FieldsType = "FieldsV1"
	e.FieldsV1 = metav1.NewFieldsV1(string(raw))
	return e, nil
}

// union of the fields of all entries that want names.
func union(entries []metav1.ManagedFieldsEntry, want func(metav1.ManagedFieldsEntry) bool) (*fieldpath.Set, error) {
	all := fieldpath.NewSet()
	for _, e := range entries {
		if !want(e) {
			continue
		}
		set, err := fieldsOf(e)
		if err != nil {
			return nil, err
		}
		all = all.Union(set)
	}
	return all, nil
}

// ownership is the state of managedFields being put together.
type ownership struct {
	entries []metav1.ManagedFieldsEntry
	sets    []*fieldpath.Set
}

func (o *ownership) add(e metav1.ManagedFieldsEntry, set *fieldpath.Set) {
	if set.Empty() {
		return
	}
	for i := range o.entries {
		if entryKey(o.entries[i]) == entryKey(e) {
			o.sets[i] = o.sets[i].Union(set)
			return
		}
	}
	o.entries, o.sets = append(o.entries, e), append(o.sets, set)
}

func (o *ownership) list() ([]metav1.ManagedFieldsEntry, error) {
	out := make([]metav1.ManagedFieldsEntry, 0, len(o.entries))
	for i, e := range o.entries {
		e, err := withFields(e, o.sets[i])
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// restoredOwnership says which managedFields an object must have after it was
// given back to Flux v1: before are the entries of the Snapshot, live those of
// now, object the live object's content.
//
//   - entries that adoption took over come back, less what another manager has
//     taken since and less what is no longer in the object;
//   - the entry of Flux v2 goes, unless it was there before;
//   - the executor's own goes, and so does before-first-apply's where nobody was
//     noted before;
//   - what anybody else owns stays as it is now.
//
// With convert, for objects whose manifest is another than at the cut-over,
// what Flux v2 applied goes to applyManager as an Update, as if kubectl apply
// had written it; ownerLabels are left out.
func restoredOwnership(before, live []metav1.ManagedFieldsEntry, object map[string]any, convert bool, applyManager string) ([]metav1.ManagedFieldsEntry, error) {
	byOthers := func(e metav1.ManagedFieldsEntry) bool { return !takenOver(e) && !engines(e) && !executors(e) }
	othersNow, err := union(live, byOthers)
	if err != nil {
		return nil, err
	}
	othersThen, err := union(before, byOthers)
	if err != nil {
		return nil, err
	}
	stolen := othersNow.Difference(othersThen)
	was := map[string]bool{}
	out := &ownership{}
	for _, e := range before {
		was[entryKey(e)] = true
		if byOthers(e) {
			continue // as it is now
		}
		set, err := fieldsOf(e)
		if err != nil {
			return nil, err
		}
		out.add(e, existing(set.Difference(stolen), object))
	}
	for _, e := range live {
		set, err := fieldsOf(e)
		if err != nil {
			return nil, err
		}
		switch {
		case was[entryKey(e)] && !byOthers(e):
			if !engines(e) && !executors(e) {
				out.add(e, set)
			}
		case executors(e), len(before) == 0 && e.Manager == beforeFirstApply:
		case engines(e):
			if convert {
				to := metav1.ManagedFieldsEntry{Manager: applyManager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: e.APIVersion, Time: e.Time}
				out.add(to, existing(set, object))
			}
		default:
			out.add(e, set)
		}
	}
	return out.list()
}

// sameOwnership compares by manager, operation, version, subresource and field
// set; times and order do not count.
func sameOwnership(a, b []metav1.ManagedFieldsEntry) bool {
	canonical := func(entries []metav1.ManagedFieldsEntry) ([]string, bool) {
		var out []string
		for _, e := range entries {
			set, err := fieldsOf(e)
			if err != nil {
				return nil, false
			}
			raw, err := set.ToJSON()
			if err != nil {
				return nil, false
			}
			out = append(out, entryKey(e)+" "+string(raw))
		}
		slices.Sort(out)
		return out, true
	}
	x, okA := canonical(a)
	y, okB := canonical(b)
	return okA && okB && slices.Equal(x, y)
}

// existing keeps the paths that lead to something in the object.
func existing(set *fieldpath.Set, object map[string]any) *fieldpath.Set {
	kept := fieldpath.NewSet()
	set.Iterate(func(p fieldpath.Path) {
		if _, ok := lookup(object, p); ok {
			kept.Insert(p.Copy())
		}
	})
	return kept
}

// lookup follows a path through an object. A path that ends in a list's item
// by key gives that item.
func lookup(object any, path fieldpath.Path) (any, bool) {
	at := object
	for _, step := range path {
		switch {
		case step.FieldName != nil:
			m, ok := at.(map[string]any)
			if !ok {
				return nil, false
			}
			if at, ok = m[*step.FieldName]; !ok {
				return nil, false
			}
		case step.Key != nil:
			list, _ := at.([]any)
			i := itemIndex(list, step)
			if i < 0 {
				return nil, false
			}
			at = list[i]
		case step.Value != nil:
			list, _ := at.([]any)
			want := (*step.Value).Unstructured()
			i := slices.IndexFunc(list, func(item any) bool { return sameValue(item, want) })
			if i < 0 {
				return nil, false
			}
			at = list[i]
		case step.Index != nil:
			list, _ := at.([]any)
			if *step.Index < 0 || *step.Index >= len(list) {
				return nil, false
			}
			at = list[*step.Index]
		}
	}
	return at, true
}

func itemIndex(list []any, step fieldpath.PathElement) int {
	return slices.IndexFunc(list, func(item any) bool {
		m, ok := item.(map[string]any)
		if !ok {
			return false
		}
		for _, k := range *step.Key {
			if !sameValue(m[k.Name], k.Value.Unstructured()) {
				return false
			}
		}
		return true
	})
}

// set writes a value at a path, making maps and keyed list items on the way.
// It reports whether that was possible.
func set(object map[string]any, path fieldpath.Path, value any) bool {
	if len(path) == 0 {
		return false
	}
	var write func(at any, path fieldpath.Path) (any, bool)
	write = func(at any, path fieldpath.Path) (any, bool) {
		if len(path) == 0 {
			return value, true
		}
		step := path[0]
		switch {
		case step.FieldName != nil:
			m, ok := at.(map[string]any)
			if at != nil && !ok {
				return nil, false
			}
			if m == nil {
				m = map[string]any{}
			}
			child, ok := write(m[*step.FieldName], path[1:])
			if !ok {
				return nil, false
			}
			m[*step.FieldName] = child
			return m, true
		case step.Key != nil:
			list, ok := at.([]any)
			if at != nil && !ok {
				return nil, false
			}
			i := itemIndex(list, step)
			var item any
			if i >= 0 {
				item = list[i]
			} else {
				m := map[string]any{}
				for _, k := range *step.Key {
					m[k.Name] = k.Value.Unstructured()
				}
				item = m
			}
			child, ok := write(item, path[1:])
			if !ok {
				return nil, false
			}
			if i >= 0 {
				list[i] = child
				return list, true
			}
			return append(list, child), true
		case step.Value != nil:
			list, ok := at.([]any)
			if at != nil && !ok {
				return nil, false
			}
			want := (*step.Value).Unstructured()
			if slices.ContainsFunc(list, func(item any) bool { return sameValue(item, want) }) {
				return list, true
			}
			return append(list, want), true
		}
		return nil, false
	}
	_, ok := write(object, path)
	return ok
}

// sameValue compares JSON values; numbers by value, whatever their Go type.
func sameValue(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// applyManagerOf tells the name under which the old agent's kubectl wrote: the
// manager of an entry that owns Flux v1's checksum.
func applyManagerOf(entries []metav1.ManagedFieldsEntry) string {
	path := fieldpath.MakePathOrDie("metadata", "annotations", checksumAnnotation)
	names := []string{}
	for _, e := range entries {
		if set, err := fieldsOf(e); err == nil && e.Operation == metav1.ManagedFieldsOperationUpdate && set.Has(path) {
			names = append(names, e.Manager)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(a, b) })
	if len(names) == 0 {
		return ""
	}
	return names[0]
}
