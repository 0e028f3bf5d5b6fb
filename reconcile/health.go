package reconcile

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/cli-utils/pkg/object"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/ssa"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// healthPoll is how often the health of what was applied is looked at while it
// is awaited. Between two looks no worker is held.
const healthPoll = 2 * time.Second

// pendingHealth is a wait for health, begun by an apply.
type pendingHealth struct {
	objects []*unstructured.Unstructured
	// finishedJobs are Jobs that delete themselves after they ended; their absence is success.
	finishedJobs map[object.ObjMetadata]bool
	began        time.Time
	deadline     time.Time
	// digest is that of what was built, for the history.
	digest string
	// news tells that success is worth an event.
	news bool
	// quiet tells that success is not worth a word if all was healthy before.
	quiet bool
}

// awaited returns the objects whose health decides about k: what was applied and
// not skipped with spec.wait, else those of spec.healthChecks; never k itself.
func awaited(k *kustomizev1.Kustomization, changes *ssa.ChangeSet) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	if k.Spec.Wait {
		for _, change := range changes.Entries {
			if change.Action != ssa.SkippedAction {
				u, err := inventoryObject(kustomizev1.ResourceRef{ID: change.ObjMetadata.String(), Version: change.GroupVersion})
				if err != nil {
					return nil, err
				}
				objects = append(objects, u)
			}
		}
	} else {
		for _, reference := range k.Spec.HealthChecks {
			apiVersion := reference.APIVersion
			if apiVersion == "" {
				apiVersion = "apps/v1"
			}
			gv, err := schema.ParseGroupVersion(apiVersion)
			if err != nil {
				return nil, fmt.Errorf("read spec.healthChecks: %w", err)
			}
			u := &unstructured.Unstructured{}
			u.SetGroupVersionKind(gv.WithKind(reference.Kind))
			u.SetNamespace(reference.Namespace)
			u.SetName(reference.Name)
			objects = append(objects, u)
		}
	}
	kept := objects[:0]
	for _, u := range objects {
		itself := u.GetKind() == kustomizev1.KustomizationKind && u.GroupVersionKind().Group == group &&
			u.GetName() == k.Name && u.GetNamespace() == k.Namespace
		if !itself {
			kept = append(kept, u)
		}
	}
	return kept, nil
}

// look reads the objects once. done tells that all are healthy. An error tells
// that some failed for good, or that the deadline has passed.
func (p *pendingHealth) look(ctx context.Context, reader client.Reader, now time.Time) (done bool, err error) {
	var failed, unfinished []string
	for _, want := range p.objects {
		id := object.UnstructuredToObjMetadata(want)
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(want.GroupVersionKind())
		var state status.Status
		getErr := reader.Get(ctx, client.ObjectKeyFromObject(want), live)
		switch {
		case apierrors.IsNotFound(getErr) && p.finishedJobs[id]:
			continue
		case apierrors.IsNotFound(getErr):
			state = status.NotFoundStatus
		case getErr != nil:
			unfinished = append(unfinished, fmt.Sprintf("can't determine status for %s: %s", ssautil.FmtObjMetadata(id), getErr))
			continue
		default:
			state = health(live)
		}
		line := fmt.Sprintf("%s status: '%s'", ssautil.FmtObjMetadata(id), state)
		switch state {
		case status.CurrentStatus:
		case status.FailedStatus:
			failed = append(failed, line)
		default:
			unfinished = append(unfinished, line)
		}
	}
	sort.Strings(failed)
	sort.Strings(unfinished)
	switch {
	case len(failed) > 0:
		return false, fmt.Errorf("failed early due to stalled resources: [%s]", strings.Join(failed, ", "))
	case len(unfinished) == 0:
		return true, nil
	case now.After(p.deadline):
		return false, fmt.Errorf("timeout waiting for: [%s]", strings.Join(unfinished, ", "))
	}
	return false, nil
}

// health is the kstatus of a live object, except that a Job counts as current
// only when it has completed.
func health(live *unstructured.Unstructured) status.Status {
	result, err := status.Compute(live)
	if err != nil {
		return status.UnknownStatus
	}
	if live.GetKind() == "Job" && live.GroupVersionKind().Group == "batch" && result.Status == status.CurrentStatus {
		// The error tells of a malformed list, which holds no completion.
		conditions, _, _ := unstructured.NestedSlice(live.Object, "status", "conditions")
		for _, c := range conditions {
			if condition, ok := c.(map[string]any); ok && condition["type"] == "Complete" && condition["status"] == "True" {
				return status.CurrentStatus
			}
		}
		return status.InProgressStatus
	}
	return result.Status
}
