package reconcile

import (
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/ssa"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func withInventory(ids ...string) *kustomizev1.Kustomization {
	k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{}}}
	k.Spec.Prune = true
	k.Status.Inventory = &kustomizev1.ResourceInventory{}
	for _, id := range ids {
		k.Status.Inventory.Entries = append(k.Status.Inventory.Entries, kustomizev1.ResourceRef{ID: id, Version: "v1"})
	}
	return k
}

func TestEmptyBuildIsRefusedOnlyWhereItWouldPrune(t *testing.T) {
	k := withInventory("a_x__ConfigMap", "a_y__ConfigMap")
	if err := refuseEmptyBuild(k, 0, "r"); err == nil {
		t.Error("an empty build is taken for a deletion")
	}
	if err := refuseEmptyBuild(k, 1, "r"); err != nil {
		t.Error(err)
	}
	k.Annotations[AllowDeletionsAnnotation] = "1"
	if err := refuseEmptyBuild(k, 0, "r"); err == nil {
		t.Error("one allowed deletion allows two")
	}
	k.Annotations[AllowDeletionsAnnotation] = "2"
	if err := refuseEmptyBuild(k, 0, "r"); err != nil {
		t.Error(err)
	}
	k.Annotations[AllowDeletionsAnnotation], k.Spec.Prune = "", false
	if err := refuseEmptyBuild(k, 0, "r"); err != nil {
		t.Errorf("without prune nothing would be deleted: %v", err)
	}
	if err := refuseEmptyBuild(withInventory(), 0, "r"); err != nil {
		t.Error(err)
	}
}

func TestBudgetCountsDeletions(t *testing.T) {
	k := withInventory()
	for _, c := range []struct {
		deletions, budget int
		annotation        string
		refused           bool
	}{
		{3, 3, "", false}, {4, 3, "", true}, {4, 0, "", false}, {4, 3, "4", false}, {4, 3, "3", true}, {4, 3, "all", true}, {4, 3, "-9", true},
	} {
		k.Annotations[AllowDeletionsAnnotation] = c.annotation
		if refused := refuseOverBudget(k, c.deletions, c.budget) != nil; refused != c.refused {
			t.Errorf("%+v: refused %t", c, refused)
		}
	}
}

func TestInventoryIDThatCannotBeReadIsNotForgotten(t *testing.T) {
	k := withInventory("not-an-id")
	if _, err := leftOut(k.Status.Inventory, &kustomizev1.ResourceInventory{}); err == nil {
		t.Error("an id that cannot be read was passed over")
	}
}

func TestWhatWasNotConfirmedStaysInTheInventory(t *testing.T) {
	k := withInventory("a_x__ConfigMap", "a_y__ConfigMap", "a_z__ConfigMap", "_r_rbac.authorization.k8s.io_ClusterRole")
	objects, err := inventoryObjects(k.Status.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	changes := ssa.NewChangeSet()
	for i, action := range []ssa.Action{ssa.DeletedAction, ssa.SkippedAction, ssa.UnknownAction} {
		entry := ssa.ChangeSetEntry{Action: action}
		entry.ObjMetadata.Namespace, entry.ObjMetadata.Name = objects[i].GetNamespace(), objects[i].GetName()
		entry.ObjMetadata.GroupKind = objects[i].GroupVersionKind().GroupKind()
		changes.Add(entry)
	}
	rest := unconfirmed(objects, changes)
	if len(rest) != 2 || rest[0].GetName() != objects[2].GetName() || rest[1].GetName() != objects[3].GetName() {
		t.Errorf("rest %v", rest)
	}
	inventory := &kustomizev1.ResourceInventory{}
	retain(inventory, rest)
	retain(inventory, rest)
	if len(inventory.Entries) != 2 {
		t.Errorf("inventory %v", inventory.Entries)
	}
}
