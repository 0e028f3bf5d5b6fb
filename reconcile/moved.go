package reconcile

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/fluxcd/cli-utils/pkg/object"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxover/fluxover/reconcile/build"
)

// heir is a Kustomization that has an object which left another's build.
type heir struct {
	name string
	// lists is true once its status inventory holds the object: it was applied.
	lists bool
}

// heirs finds those of the objects that left the build of k, at the revision of
// t, which another Kustomization of the same Git repository builds: a file that
// moved from one folder to another must not be deleted and made anew because the
// folder that it left is looked at first. Stock kustomize-controller does not
// look; there the order decides.
//
// Others count if they are in k's namespace and their GitRepository has the same
// URL. They are rendered at k's revision where they follow the same reference,
// else at their own; where that is not there, their inventory counts. One that
// cannot be rendered is an error if its files name one of the objects: whether it
// would take that over is not known.
func (r *kustomizer) heirs(ctx context.Context, k *kustomizev1.Kustomization, t *tree, left []*unstructured.Unstructured) (map[object.ObjMetadata]heir, error) {
	sources := &sourcev1.GitRepositoryList{}
	if err := r.live.List(ctx, sources, client.InNamespace(sourceName(k).Namespace)); err != nil {
		return nil, fmt.Errorf("list GitRepositories: %w", err)
	}
	byName := map[types.NamespacedName]*sourcev1.GitRepository{}
	for i := range sources.Items {
		byName[client.ObjectKeyFromObject(&sources.Items[i])] = &sources.Items[i]
	}
	own := byName[sourceName(k)]
	if own == nil {
		return nil, fmt.Errorf("GitRepository %s is gone", sourceName(k))
	}
	others := &kustomizev1.KustomizationList{}
	if err := r.live.List(ctx, others, client.InNamespace(k.Namespace)); err != nil {
		return nil, fmt.Errorf("list Kustomizations: %w", err)
	}
	wanted := map[object.ObjMetadata]bool{}
	for _, u := range left {
		wanted[object.UnstructuredToObjMetadata(u)] = true
	}
	found := map[object.ObjMetadata]heir{}
	for i := range others.Items {
		other := &others.Items[i]
		from := byName[sourceName(other)]
		if other.Name == k.Name || !other.DeletionTimestamp.IsZero() || from == nil || from.Spec.URL != own.Spec.URL {
			continue
		}
		listed, err := listedBy(other)
		if err != nil {
			return nil, err
		}
		artifact, done, err := r.builtFrom(other, from, own, t)
		if err != nil {
			return nil, fmt.Errorf("read what Kustomization %s is built from: %w", other.Name, err)
		}
		built, err := r.wouldBuild(ctx, other, artifact)
		if err != nil && ctx.Err() == nil {
			err = perhaps(err, other, artifact, left)
		}
		done()
		if err != nil {
			return nil, fmt.Errorf("whether Kustomization %s takes them over cannot be told: %w", other.Name, err)
		}
		if built == nil {
			built = listed
		}
		for id := range built {
			if wanted[id] {
				found[id] = heir{name: other.Name, lists: found[id].lists || listed[id]}
			}
		}
	}
	return found, nil
}

// listedBy are the objects of a Kustomization's status inventory.
func listedBy(k *kustomizev1.Kustomization) (map[object.ObjMetadata]bool, error) {
	objects, err := inventoryObjects(k.Status.Inventory)
	if err != nil {
		return nil, fmt.Errorf("Kustomization %s: %w", k.Name, err)
	}
	return idsOf(objects), nil
}

func idsOf(objects []*unstructured.Unstructured) map[object.ObjMetadata]bool {
	ids := map[object.ObjMetadata]bool{}
	for _, u := range objects {
		ids[object.UnstructuredToObjMetadata(u)] = true
	}
	return ids
}

// builtFrom is the artifact that a Kustomization with the source from is built
// from: at the revision of t, a tree of the source own, if it follows the same
// reference. It is nil if the tree is not there. done must be called.
func (r *kustomizer) builtFrom(k *kustomizev1.Kustomization, from, own *sourcev1.GitRepository, t *tree) (artifact *build.Artifact, done func(), err error) {
	done = func() {}
	switch {
	case from.Name == own.Name && from.Namespace == own.Namespace:
		return t.artifact, done, nil
	case reflect.DeepEqual(from.Spec.Reference, own.Spec.Reference):
		artifact, err = t.artifact.Ignoring(from.Spec.Ignore)
		return artifact, done, err
	case from.Status.Artifact == nil:
		return nil, done, nil
	}
	theirs, free := r.trees.use(sourceName(k), from.Status.Artifact.Revision, from.Status.Artifact.Digest)
	if theirs == nil {
		return nil, done, nil
	}
	return theirs.artifact, free, nil
}

// wouldBuild are the objects that a Kustomization builds from an artifact; nil
// without one.
func (r *kustomizer) wouldBuild(ctx context.Context, k *kustomizev1.Kustomization, artifact *build.Artifact) (map[object.ObjMetadata]bool, error) {
	if artifact == nil {
		return nil, nil
	}
	rendering, err := r.render(ctx, k, artifact)
	if errors.Is(err, build.ErrPathNotFound) {
		return map[object.ObjMetadata]bool{}, nil // its folder is gone, and nothing is built of it
	}
	if err != nil {
		return nil, err
	}
	return idsOf(rendering.Objects), nil
}

// perhaps is why a Kustomization could not be rendered, if it might build one of the
// objects that left another: its files name it. A bad file elsewhere in the
// repository keeps nothing from being deleted.
func perhaps(err error, k *kustomizev1.Kustomization, artifact *build.Artifact, left []*unstructured.Unstructured) error {
	for _, u := range left {
		named, unread := artifact.Speaks(build.Folder(k.Spec.Path), u.GetName())
		if named || unread != nil {
			return errors.Join(err, unread)
		}
	}
	return nil
}
