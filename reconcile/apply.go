package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/clusterreader"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/engine"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/jsondiff"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	"github.com/fluxover/fluxover/reconcile/build"
	"github.com/fluxover/fluxover/reconcile/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// removedAnnotations and removedLabels are what kubectl, fluxd and older Flux
// leave on objects and what the first apply takes away, and tookOver whose
// fields become the agent's (reference 2.11; flux: kustomize-controller's
// clean-up list).
var (
	removedAnnotations = []string{
		corev1.LastAppliedConfigAnnotation,
		"kustomize.toolkit.fluxcd.io/checksum",
		"fluxcd.io/sync-checksum",
	}
	removedLabels = []string{"fluxcd.io/sync-gc-mark"}
	tookOver      = []ssa.FieldManager{
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: kustomizeController, OperationType: metav1.ManagedFieldsOperationUpdate},
	}
)

// newManager returns the engine that applies and deletes as k's account. Reads
// and writes pass through seen, which remembers what the objects looked like.
func newManager(c client.Client, seen *sightings, concurrency int) *ssa.ResourceManager {
	watched := &sightingClient{Client: c, seen: seen}
	poller := polling.NewStatusPoller(c, c.RESTMapper(), polling.Options{
		ClusterReaderFactory: engine.ClusterReaderFactoryFunc(clusterreader.NewDirectClusterReader),
	})
	manager := ssa.NewResourceManager(watched, poller, ssa.Owner{Field: kustomizeController, Group: group})
	manager.SetConcurrency(concurrency)
	return manager
}

// applyOptions translates k's wishes. Force is never more than k says.
func applyOptions(k *kustomizev1.Kustomization, overridden []string) ssa.ApplyOptions {
	opts := ssa.DefaultApplyOptions()
	opts.Force = k.Spec.Force
	opts.ExclusionSelector = leftAlone
	opts.IfNotPresentSelector = map[string]string{ssaKey: kustomizev1.IfNotPresentValue}
	opts.ForceSelector = map[string]string{forceKey: kustomizev1.EnabledValue}
	managers := append([]ssa.FieldManager{}, tookOver...)
	for _, name := range overridden {
		managers = append(managers,
			ssa.FieldManager{Name: name, OperationType: metav1.ManagedFieldsOperationApply},
			ssa.FieldManager{Name: name, OperationType: metav1.ManagedFieldsOperationUpdate})
	}
	opts.Cleanup = ssa.ApplyCleanupOptions{
		Annotations:   removedAnnotations,
		Labels:        removedLabels,
		FieldManagers: managers,
		Exclusions:    map[string]string{ssaKey: kustomizev1.MergeValue},
	}
	for _, rule := range k.Spec.Ignore {
		ignored := jsondiff.IgnoreRule{Paths: rule.Paths}
		if target := rule.Target; target != nil {
			ignored.Selector = &jsondiff.Selector{
				Group: target.Group, Version: target.Version, Kind: target.Kind,
				Name: target.Name, Namespace: target.Namespace,
				AnnotationSelector: target.AnnotationSelector, LabelSelector: target.LabelSelector,
			}
		}
		opts.DriftIgnoreRules = append(opts.DriftIgnoreRules, ignored)
	}
	return opts
}

// apply brings objects to the cluster in stages, each dry-run as a whole before
// any of it is written. changed lists what was written, one object a line. On
// error some of the objects may have been applied; the error names them, and
// quotes no value that was decrypted.
func apply(ctx context.Context, manager *ssa.ResourceManager, k *kustomizev1.Kustomization, rendering *build.Rendering, overridden []string) (changes *ssa.ChangeSet, changed string, err error) {
	changes = ssa.NewChangeSet()
	if len(rendering.Objects) == 0 {
		return changes, "", nil
	}
	applied, err := manager.ApplyAllStaged(ctx, rendering.Objects, applyOptions(k, overridden))
	var lines []string
	if applied != nil {
		changes.Append(applied.Entries)
		for _, change := range applied.Entries {
			if change.Action == ssa.CreatedAction || change.Action == ssa.ConfiguredAction {
				lines = append(lines, change.String())
			}
		}
	}
	changed = strings.Join(lines, "\n")
	if err != nil {
		if changed != "" {
			changed += "\n"
		}
		// The form in which stock Flux reports a partial apply.
		return nil, "", fmt.Errorf("%w\n%s", wordless(err, rendering), changed)
	}
	return changes, changed, nil
}

// wordless is a failure to apply without the words of the API server, where they
// may quote what was decrypted: status, events and log are read by more people
// than may read a Secret. What is not about a decrypted object is left as it is.
func wordless(err error, r *build.Rendering) error {
	if !slices.ContainsFunc(r.Objects, r.Decrypted) {
		return err
	}
	what := "an object of this Kustomization, which holds such as are encrypted in Git,"
	// The library begins each error with the object's name.
	i := slices.IndexFunc(r.Objects, func(u *unstructured.Unstructured) bool {
		return strings.HasPrefix(err.Error(), ssautil.FmtUnstructured(u)+" ")
	})
	if i >= 0 {
		if !r.Decrypted(r.Objects[i]) {
			return err
		}
		what = ssautil.FmtUnstructured(r.Objects[i])
	}
	without := cluster.Wordless(err)
	if without == err {
		return err
	}
	return fmt.Errorf("%s was refused: %w; the words of the API server are not repeated, since they may quote a value that is encrypted in Git", what, without)
}
