package reconcile

import (
	"context"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// unmetDependency is a dependency that is not ready.
type unmetDependency struct {
	message string
	// pending tells that the dependency is on its way: it is neither missing nor
	// failed, so that waiting a moment is worth more than a status that is wrong
	// a moment later.
	pending bool
}

func (u *unmetDependency) Error() string { return u.message }

// checkDependencies returns an *unmetDependency for the first dependency of k
// that is not ready: absent, not observed, Ready not True, or from the same
// source and not applied at revision. Any other error is one of reading.
func checkDependencies(ctx context.Context, reader client.Reader, k *kustomizev1.Kustomization, revision string) error {
	for _, reference := range k.Spec.DependsOn {
		name := dependencyName(k, reference)
		dependency := &kustomizev1.Kustomization{}
		if err := reader.Get(ctx, name, dependency); err != nil {
			if client.IgnoreNotFound(err) == nil {
				// Worded as the server would, whether the cache or the server answered.
				err = apierrors.NewNotFound(schema.GroupResource{Group: group, Resource: "kustomizations"}, name.Name)
				return &unmetDependency{message: fmt.Sprintf("dependency '%s' not found: %s", name, err)}
			}
			return fmt.Errorf("read dependency %s: %w", name, err)
		}
		pending := conditions.IsReconciling(dependency) && !conditions.IsFalse(dependency, fluxmeta.ReadyCondition)
		if len(dependency.Status.Conditions) == 0 || dependency.Generation != dependency.Status.ObservedGeneration || !conditions.IsTrue(dependency, fluxmeta.ReadyCondition) {
			return &unmetDependency{message: fmt.Sprintf("dependency '%s' is not ready", name), pending: pending}
		}
		if sourceName(dependency) == sourceName(k) && dependency.Spec.SourceRef.Kind == k.Spec.SourceRef.Kind &&
			dependency.Status.LastAppliedRevision != revision {
			return &unmetDependency{message: fmt.Sprintf("dependency '%s' revision is not up to date", name), pending: !dependency.Spec.Suspend}
		}
	}
	return nil
}

func dependencyName(k *kustomizev1.Kustomization, reference kustomizev1.DependencyReference) types.NamespacedName {
	name := types.NamespacedName{Namespace: reference.Namespace, Name: reference.Name}
	if name.Namespace == "" {
		name.Namespace = k.Namespace
	}
	return name
}

func sourceName(k *kustomizev1.Kustomization) types.NamespacedName {
	name := types.NamespacedName{Namespace: k.Spec.SourceRef.Namespace, Name: k.Spec.SourceRef.Name}
	if name.Namespace == "" {
		name.Namespace = k.Namespace
	}
	return name
}

// standing is what others wait for in a Kustomization. Its dependents are woken
// when it changes.
func standing(k *kustomizev1.Kustomization) string {
	return fmt.Sprintf("%t %s %s", k.Generation == k.Status.ObservedGeneration,
		conditions.GetReason(k, fluxmeta.ReadyCondition), k.Status.LastAppliedRevision)
}
