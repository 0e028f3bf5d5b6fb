package cutover

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxover/fluxover/reconcile/cluster"
)

// engineDouble plays the ClusterAgent as far as the cut-over sees it: it
// applies with the very library of stock kustomize-controller, takes over
// ownership as that does, and writes the status that the executor waits for.
// What a Kustomization holds at a commit is told by the test.
type engineDouble struct {
	c   *cluster.Client
	ssa *ssa.ResourceManager

	mu      sync.Mutex
	content map[string][]*unstructured.Unstructured // name@commit
	heads   map[string]string
	paused  bool
	failing map[string]string
	// ignored Kustomizations are out of its sight, as by a label selector.
	ignored map[string]bool
}

func startEngine(ctx context.Context, config *rest.Config) (*engineDouble, error) {
	c, err := cluster.ForConfig(config)
	if err != nil {
		return nil, err
	}
	direct, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	e := &engineDouble{
		c:       c,
		ssa:     ssa.NewResourceManager(direct, nil, ssa.Owner{Field: engineManager, Group: "kustomize.toolkit.fluxcd.io"}),
		content: map[string][]*unstructured.Unstructured{}, heads: map[string]string{}, failing: map[string]string{},
		ignored: map[string]bool{},
	}
	go e.run(ctx)
	return e, nil
}

func (e *engineDouble) serve(kustomization, commit string, objects []*unstructured.Unstructured) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.content[kustomization+"@"+commit] = objects
}

func (e *engineDouble) setHead(source, commit string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heads[source] = commit
}

// fail makes a Kustomization's reconciles fail with a message; empty ends it.
func (e *engineDouble) fail(kustomization, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failing[kustomization] = message
}

// ignore takes a Kustomization out of the double's sight, or back into it.
func (e *engineDouble) ignore(kustomization string, yes bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ignored[kustomization] = yes
}

// pause stops the double, as if its pod were gone.
func (e *engineDouble) pause(yes bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.paused = yes
}

func (e *engineDouble) run(ctx context.Context) {
	for pause(ctx, 40*time.Millisecond) {
		e.mu.Lock()
		paused := e.paused
		e.mu.Unlock()
		if paused {
			continue
		}
		if err := e.round(ctx); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			fmt.Fprintln(os.Stderr, "engine's double:", err)
		}
	}
}

func (e *engineDouble) round(ctx context.Context) error {
	sources, err := e.c.Dynamic.Resource(sourceKind.GroupVersion().WithResource("gitrepositories")).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	revisions := map[string]string{}
	for i := range sources.Items {
		revision, err := e.source(ctx, &sources.Items[i])
		if err != nil {
			return err
		}
		revisions[sources.Items[i].GetName()] = revision
	}
	list, err := e.c.Dynamic.Resource(kustomizationKind.GroupVersion().WithResource("kustomizations")).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for i := range list.Items {
		wg.Go(func() {
			k := &list.Items[i]
			source, _, _ := unstructured.NestedString(k.Object, "spec", "sourceRef", "name")
			if err := e.kustomization(ctx, k, revisions[source]); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				fmt.Fprintln(os.Stderr, "engine's double:", cluster.Describe(k), err)
			}
		})
	}
	wg.Wait()
	return nil
}

func (e *engineDouble) finalizer(ctx context.Context, u *unstructured.Unstructured) (bool, error) {
	if u.GetDeletionTimestamp() != nil {
		if !slices.Contains(u.GetFinalizers(), finalizerName) {
			return true, nil
		}
		_, err := e.c.MergePatch(ctx, u, map[string]any{"metadata": map[string]any{"finalizers": []any{}}}, "engine")
		return true, err
	}
	if slices.Contains(u.GetFinalizers(), finalizerName) {
		return false, nil
	}
	stored, err := e.c.MergePatch(ctx, u, map[string]any{"metadata": map[string]any{"finalizers": []any{finalizerName}}}, "engine")
	if err == nil {
		*u = *stored
	}
	return false, err
}

func (e *engineDouble) source(ctx context.Context, s *unstructured.Unstructured) (string, error) {
	if done, err := e.finalizer(ctx, s); done || err != nil {
		return "", err
	}
	commit, _, _ := unstructured.NestedString(s.Object, "spec", "ref", "commit")
	if commit == "" {
		e.mu.Lock()
		commit = e.heads[s.GetName()]
		e.mu.Unlock()
	}
	revision := "main@sha1:" + commit
	had, _, _ := unstructured.NestedString(s.Object, "status", "artifact", "revision")
	if had == revision && caughtUp(s) {
		return revision, nil
	}
	now := time.Now().UTC().Format(time.RFC3339)
	return revision, e.status(ctx, s, map[string]any{
		"observedGeneration": s.GetGeneration(),
		"artifact":           map[string]any{"revision": revision, "digest": "sha256:0000000000000000000000000000000000000000000000000000000000000000", "path": "x", "url": "http://x/", "lastUpdateTime": now},
		"conditions":         []any{map[string]any{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored", "lastTransitionTime": now}},
	})
}

func (e *engineDouble) status(ctx context.Context, u *unstructured.Unstructured, status map[string]any) error {
	resource, err := e.c.Resource(u.GroupVersionKind(), u.GetNamespace())
	if err != nil {
		return err
	}
	raw, err := (&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "x", "status": status}}).MarshalJSON()
	if err != nil {
		return err
	}
	_, err = resource.Patch(ctx, u.GetName(), types.MergePatchType, raw, metav1.PatchOptions{FieldManager: "engine"}, "status")
	return err
}

func (e *engineDouble) kustomization(ctx context.Context, k *unstructured.Unstructured, revision string) error {
	e.mu.Lock()
	ignored := e.ignored[k.GetName()]
	e.mu.Unlock()
	if ignored {
		return nil
	}
	if done, err := e.finalizer(ctx, k); done || err != nil {
		return err
	}
	requested := k.GetAnnotations()[requestedAt]
	handled, _, _ := unstructured.NestedString(k.Object, "status", "lastHandledReconcileAt")
	if suspended, _, _ := unstructured.NestedBool(k.Object, "spec", "suspend"); suspended {
		if requested != "" && requested != handled {
			return e.status(ctx, k, map[string]any{"lastHandledReconcileAt": requested})
		}
		return nil
	}
	applied, _, _ := unstructured.NestedString(k.Object, "status", "lastAppliedRevision")
	attempted, _, _ := unstructured.NestedString(k.Object, "status", "lastAttemptedRevision")
	if revision == "" || caughtUp(k) && applied == revision && (requested == "" || requested == handled) {
		return nil
	}
	now := time.Now().UTC().Format(time.RFC3339)
	e.mu.Lock()
	message := e.failing[k.GetName()]
	content := e.content[k.GetName()+"@"+revision[len("main@sha1:"):]]
	e.mu.Unlock()
	if message != "" {
		if attempted == revision && requested == handled {
			return nil
		}
		return e.status(ctx, k, map[string]any{
			"lastHandledReconcileAt": requested, "lastAttemptedRevision": revision,
			"conditions": []any{map[string]any{"type": "Ready", "status": "False", "reason": "ReconciliationFailed", "message": message, "lastTransitionTime": now}},
		})
	}
	var objects []*unstructured.Unstructured
	for _, u := range content {
		objects = append(objects, u.DeepCopy())
	}
	e.ssa.SetOwnerLabels(objects, k.GetName(), k.GetNamespace())
	opts := ssa.DefaultApplyOptions()
	opts.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{lastApplied, "kustomize.toolkit.fluxcd.io/checksum", checksumAnnotation},
		Labels:      []string{markLabels[0]},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: engineManager, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{"kustomize.toolkit.fluxcd.io/ssa": "Merge"},
	}
	if _, err := e.ssa.ApplyAll(ctx, objects, opts); err != nil {
		return fmt.Errorf("apply: %s", ssautil.FmtUnstructuredList(objects)+" "+err.Error())
	}
	var entries []any
	for _, u := range objects {
		entries = append(entries, map[string]any{"id": object.UnstructuredToObjMetadata(u).String(), "v": u.GroupVersionKind().Version})
	}
	return e.status(ctx, k, map[string]any{
		"observedGeneration": k.GetGeneration(), "lastAppliedRevision": revision, "lastAttemptedRevision": revision, "lastHandledReconcileAt": requested,
		"inventory":  map[string]any{"entries": entries},
		"conditions": []any{map[string]any{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "message": "Applied revision: " + revision, "lastTransitionTime": now}},
	})
}
