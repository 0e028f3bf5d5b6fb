package reconcile

import (
	"context"
	"fmt"
	"strconv"

	"github.com/fluxcd/cli-utils/pkg/object"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/ssa"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// AllowDeletionsAnnotation on a Kustomization holds a number: as many objects
// may be deleted although the deletion budget is lower, or although the build
// holds no object any more. Take it away when the deletion is done.
const AllowDeletionsAnnotation = "fluxover.dev/allow-deletions"

// annotation and label keys of the group, and values, that protect objects.
const (
	group        = "kustomize.toolkit.fluxcd.io"
	pruneKey     = group + "/prune"
	reconcileKey = group + "/reconcile"
	ssaKey       = group + "/ssa"
	forceKey     = group + "/force"
)

// leftAlone are the marks of objects that are neither applied nor deleted.
var leftAlone = map[string]string{reconcileKey: kustomizev1.DisabledValue, ssaKey: kustomizev1.IgnoreValue}

// allowedDeletions reads AllowDeletionsAnnotation; anything but a number of at
// least 1 allows nothing.
func allowedDeletions(k *kustomizev1.Kustomization) int {
	allowed, err := strconv.Atoi(k.GetAnnotations()[AllowDeletionsAnnotation])
	if err != nil || allowed < 0 {
		return 0
	}
	return allowed
}

// refuseEmptyBuild returns an error when a build without any object would prune
// everything. Stock Flux prunes; here an empty answer never means that nothing
// should exist, whether or not the folder is still there: a moved folder, a
// kustomization file that lost its resources and a wrong ignore look the same.
func refuseEmptyBuild(k *kustomizev1.Kustomization, built int, revision string) error {
	if built > 0 || !k.Spec.Prune || k.Status.Inventory == nil {
		return nil
	}
	known := len(k.Status.Inventory.Entries)
	if known == 0 || allowedDeletions(k) >= known {
		return nil
	}
	return fmt.Errorf("revision %s builds no object while %d are in the inventory: nothing was deleted; if they shall go, annotate this Kustomization with %s=%d",
		revision, known, AllowDeletionsAnnotation, known)
}

// refuseOverBudget returns an error when deleting so many objects exceeds budget.
func refuseOverBudget(k *kustomizev1.Kustomization, deletions, budget int) error {
	if budget == 0 || deletions <= budget || deletions <= allowedDeletions(k) {
		return nil
	}
	return fmt.Errorf("%d objects would be deleted, the deletion budget is %d: nothing was deleted; if they shall go, annotate this Kustomization with %s=%d",
		deletions, budget, AllowDeletionsAnnotation, deletions)
}

// deletesOnRemoval tells whether removing k deletes what it applied. The fields
// are those of the object as it is when it is removed (flux: kustomizations,
// deletion; reference 8.5).
func deletesOnRemoval(k *kustomizev1.Kustomization) bool {
	if k.Spec.Suspend || k.Status.Inventory == nil || len(k.Status.Inventory.Entries) == 0 {
		return false
	}
	switch k.GetDeletionPolicy() {
	case kustomizev1.DeletionPolicyDelete, kustomizev1.DeletionPolicyWaitForTermination:
		return true
	case kustomizev1.DeletionPolicyMirrorPrune:
		return k.Spec.Prune
	default:
		return false
	}
}

// deleteOwned deletes those of objects whose live owner labels name k and which
// nothing protects. Objects that are gone count as deleted. It returns what
// became of each; with an error, some are unconfirmed (see unconfirmed).
func deleteOwned(ctx context.Context, manager *ssa.ResourceManager, k *kustomizev1.Kustomization, objects []*unstructured.Unstructured) (*ssa.ChangeSet, error) {
	return manager.DeleteAll(ctx, objects, ssa.DeleteOptions{
		PropagationPolicy: metav1.DeletePropagationBackground,
		Inclusions:        manager.GetOwnerLabels(k.Name, k.Namespace),
		Exclusions: map[string]string{
			pruneKey:     kustomizev1.DisabledValue,
			reconcileKey: kustomizev1.DisabledValue,
			ssaKey:       kustomizev1.IgnoreValue,
		},
	})
}

// unconfirmed returns the objects that were neither deleted nor skipped on
// purpose. They stay in the inventory, so that deleting them is tried again.
func unconfirmed(objects []*unstructured.Unstructured, changes *ssa.ChangeSet) []*unstructured.Unstructured {
	settled := map[object.ObjMetadata]bool{}
	if changes != nil {
		for _, change := range changes.Entries {
			if change.Action == ssa.DeletedAction || change.Action == ssa.SkippedAction {
				settled[change.ObjMetadata] = true
			}
		}
	}
	var rest []*unstructured.Unstructured
	for _, u := range objects {
		if !settled[object.UnstructuredToObjMetadata(u)] {
			rest = append(rest, u)
		}
	}
	return rest
}
