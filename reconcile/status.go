package reconcile

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// writeStatus writes what differs between the status of before and of now, in
// one merge patch, and nothing when nothing differs. owner is the field manager.
// It returns the resource version after the write, "" if there was none. An
// object that is gone is no error.
func writeStatus(ctx context.Context, c client.Client, before, now client.Object, owner string) (string, error) {
	patch := client.MergeFrom(before)
	body, err := patch.Data(now)
	if err != nil {
		return "", fmt.Errorf("compare status of %s: %w", client.ObjectKeyFromObject(now), err)
	}
	if string(body) == "{}" {
		return "", nil
	}
	answer, ok := now.DeepCopyObject().(client.Object)
	if !ok {
		return "", fmt.Errorf("write status of %s: %T cannot be copied", client.ObjectKeyFromObject(now), now)
	}
	if err := c.Status().Patch(ctx, answer, patch, client.FieldOwner(owner)); err != nil {
		if apierrors.IsNotFound(err) {
			return "", nil
		}
		return "", fmt.Errorf("write status of %s: %w", client.ObjectKeyFromObject(now), err)
	}
	return answer.GetResourceVersion(), nil
}

// setFinalizers writes the finalizers of now. The version that they were read
// with must be the present one: the list is replaced as a whole.
func setFinalizers(ctx context.Context, c client.Client, before, now client.Object, owner string) error {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Patch(ctx, now, patch, client.FieldOwner(owner)); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("write finalizers of %s: %w", client.ObjectKeyFromObject(now), err)
	}
	return nil
}

// freshest reads an object from the cache, or from the server when the cache
// does not yet hold what the agent itself wrote as version written.
func freshest(ctx context.Context, cached, live client.Reader, name types.NamespacedName, object client.Object, written string) error {
	if err := cached.Get(ctx, name, object); err != nil {
		return err
	}
	if written == "" || !olderThan(object.GetResourceVersion(), written) {
		return nil
	}
	return live.Get(ctx, name, object)
}
