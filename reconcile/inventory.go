package reconcile

import (
	"fmt"
	"sort"

	"github.com/fluxcd/cli-utils/pkg/object"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/ssa"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// inventoryOf returns the status inventory of an apply, in the order applied.
// Skipped objects are in it, as with stock Flux.
func inventoryOf(changes *ssa.ChangeSet) *kustomizev1.ResourceInventory {
	inventory := &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{}}
	for _, change := range changes.Entries {
		inventory.Entries = append(inventory.Entries, kustomizev1.ResourceRef{
			ID: change.ObjMetadata.String(), Version: change.GroupVersion,
		})
	}
	return inventory
}

// inventoryObjects returns the objects of inventory with kind, namespace and
// name only, in the order of applying. An id that cannot be read is an error:
// what is not understood is neither deleted nor forgotten.
func inventoryObjects(inventory *kustomizev1.ResourceInventory) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	if inventory == nil {
		return nil, nil
	}
	for _, entry := range inventory.Entries {
		u, err := inventoryObject(entry)
		if err != nil {
			return nil, err
		}
		objects = append(objects, u)
	}
	sort.Sort(ssa.SortableUnstructureds(objects))
	return objects, nil
}

func inventoryObject(entry kustomizev1.ResourceRef) (*unstructured.Unstructured, error) {
	id, err := object.ParseObjMetadata(entry.ID)
	if err != nil {
		return nil, fmt.Errorf("read inventory entry %q: %w", entry.ID, err)
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: id.GroupKind.Group, Version: entry.Version, Kind: id.GroupKind.Kind})
	u.SetNamespace(id.Namespace)
	u.SetName(id.Name)
	return u, nil
}

// leftOut returns the objects of before that are not in now.
func leftOut(before, now *kustomizev1.ResourceInventory) ([]*unstructured.Unstructured, error) {
	kept := map[string]bool{}
	if now != nil {
		for _, entry := range now.Entries {
			kept[entry.ID] = true
		}
	}
	gone := &kustomizev1.ResourceInventory{}
	if before != nil {
		for _, entry := range before.Entries {
			if !kept[entry.ID] {
				gone.Entries = append(gone.Entries, entry)
			}
		}
	}
	return inventoryObjects(gone)
}

// retain adds objects to inventory that are not in it.
func retain(inventory *kustomizev1.ResourceInventory, objects []*unstructured.Unstructured) {
	present := map[string]bool{}
	for _, entry := range inventory.Entries {
		present[entry.ID] = true
	}
	for _, u := range objects {
		id := object.UnstructuredToObjMetadata(u).String()
		if !present[id] {
			present[id] = true
			inventory.Entries = append(inventory.Entries, kustomizev1.ResourceRef{ID: id, Version: u.GroupVersionKind().Version})
		}
	}
}
