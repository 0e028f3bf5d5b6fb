package migrate

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Annotations of Flux v2 that carry the meaning of Flux v1's ignore
// annotations (reference 2.6, 8.6).
const (
	annotationReconcile = "kustomize.toolkit.fluxcd.io/reconcile"
	annotationPrune     = "kustomize.toolkit.fluxcd.io/prune"
	disabled            = "disabled"
)

// patches are the Kustomization.spec.patches that make Flux v2 treat an
// application's objects as fluxd does: the fallback namespace where Git names
// none (H10), none where Git names one for a kind that knows none, objects left
// alone (H13), objects that must never be pruned (H7, H36). They are written per
// object, so that nothing else is touched.
func patches(objects []*Object) []kustomize.Patch {
	var out []kustomize.Patch
	for _, o := range objects {
		if o.Manifest == nil {
			continue
		}
		if o.Build != nil {
			out = append(out, builtPatches(o)...)
			continue
		}
		var ops []string
		if o.NamespaceFilled || o.NamespaceDropped {
			ops = append(ops, namespaceOperation(o))
		}
		// Never all annotations at once: those that a later commit adds would go. There
		// are always some, since kustomize notes in them where an object comes from before
		// it patches it (source: sigs.k8s.io/kustomize/api resource, StorePreviousId).
		for _, a := range additions(o) {
			ops = append(ops, jsonAdd("/metadata/annotations/"+strings.ReplaceAll(a.Key, "/", "~1"), fmt.Sprintf("%q", a.Value)))
		}
		if len(ops) == 0 {
			continue
		}
		out = append(out, kustomize.Patch{Patch: strings.Join(ops, ""), Target: target(o)})
	}
	return out
}

// target selects the object as it stands in Git, and no other, whatever version
// of its kind's API a later commit names: one name of a kind in a namespace is one
// object. Every field of a selector but the labels is a regular expression that
// must match the whole, and an empty one matches everything, so that the core
// group is written "^$"
// (source: sigs.k8s.io/kustomize/api types/selector.go). An object without a
// namespace is looked for in "default" (source: sigs.k8s.io/kustomize/kyaml
// resid, EffectiveNamespace).
func target(o *Object) *kustomize.Selector {
	exactly := func(s string) string { return "^" + regexp.QuoteMeta(s) + "$" }
	gvk := o.Manifest.GroupVersionKind()
	s := &kustomize.Selector{
		Group: exactly(gvk.Group), Kind: exactly(gvk.Kind), Name: exactly(o.Manifest.GetName()),
	}
	switch namespace := o.Manifest.GetNamespace(); {
	case o.NamespaceFilled:
		s.Namespace = exactly("default")
	case namespace != "":
		s.Namespace = exactly(namespace)
	}
	return s
}

func jsonAdd(path, value string) string {
	return fmt.Sprintf("- op: add\n  path: %s\n  value: %s\n", path, value)
}

// additions are the annotations that an object gets on purpose. What must not be
// pruned is protected also where nothing is deleted yet: deletion goes by what stands
// on the live object, and who turns it on later may do so as the object leaves Git.
func additions(o *Object) []Addition {
	annotate := func(key, why string) []Addition {
		return []Addition{{Object: o.ID, Type: "annotation", Key: key, Value: disabled, Why: why}}
	}
	switch {
	case o.Class == ClassIgnored:
		return annotate(annotationReconcile, "Flux v1's ignore annotation has no meaning for Flux v2")
	case o.Class == ClassSyncOnly:
		return annotate(annotationPrune, "Flux v1's sync_only annotation has no meaning for Flux v2")
	case o.Manifest != nil && o.Class == ClassApplied && Annotations(o.Manifest)[annotationPrune] == "":
		if why := precious(o.Manifest.GroupVersionKind().GroupKind()); why != "" {
			return annotate(annotationPrune, why)
		}
	}
	return nil
}

// preciousKinds are those of which nothing must be pruned, with why.
var preciousKinds = []struct {
	schema.GroupKind
	why string
}{
	{schema.GroupKind{Kind: "Namespace"}, holdsOthers},
	{schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}, holdsOthers},
	{schema.GroupKind{Kind: "PersistentVolumeClaim"}, holdsOthers},
	{schema.GroupKind{Kind: "PersistentVolume"}, holdsOthers},
	{schema.GroupKind{Kind: "Endpoints"}, "Flux v1 never deletes objects of this kind"}, // reference 2.7
	{schema.GroupKind{Group: "helm.fluxcd.io", Kind: "HelmRelease"}, ownsRelease},
	{schema.GroupKind{Group: "flux.weave.works", Kind: "HelmRelease"}, ownsRelease},
}

const (
	holdsOthers = "deleting it would delete what it holds"
	ownsRelease = "deleting it would make the helm-operator uninstall the release" // reference H43
)

// precious says why objects of a kind must not be pruned; empty if they may be.
func precious(gk schema.GroupKind) string {
	for _, k := range preciousKinds {
		if k.GroupKind == gk {
			return k.why
		}
	}
	return ""
}

// ProtectPrecious are the patches of a Kustomization that keep every object of the
// kinds whose loss takes more with it from being pruned. A plan protects the objects
// that it knows, one by one; these are for a Kustomization that is made to prune where
// Flux v1 did not, which deletes also what came after the plan. They protect what has
// been applied with them once.
func ProtectPrecious() []any {
	out := make([]any, 0, len(preciousKinds))
	for _, k := range preciousKinds {
		group := "^" + regexp.QuoteMeta(k.Group) + "$"
		out = append(out, map[string]any{
			"target": map[string]any{"group": group, "kind": "^" + k.Kind + "$"},
			// Kustomize puts the version and name of each object in their place.
			"patch": yamlOf(map[string]any{
				"apiVersion": schema.GroupVersion{Group: k.Group, Version: "v1"}.String(), "kind": k.Kind,
				"metadata": map[string]any{"name": "every", "annotations": map[string]any{annotationPrune: disabled}},
			}),
		})
	}
	return out
}
