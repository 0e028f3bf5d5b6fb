package migrate

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// movedKinds are the groups that kinds of the group extensions have today (Kubernetes:
// deprecation guide).
var movedKinds = map[string]string{
	"DaemonSet": "apps", "Deployment": "apps", "ReplicaSet": "apps",
	"Ingress": "networking.k8s.io", "NetworkPolicy": "networking.k8s.io",
}

// ServedAs is the apiVersion under which a cluster serves a kind that it does not serve
// under the one given: another version of its group, or of the group that it moved to;
// empty if there is none.
func ServedAs(gvk schema.GroupVersionKind, kinds []ServedKind) string {
	groups := []string{gvk.Group}
	if gvk.Group == "extensions" {
		groups = append(groups, movedKinds[gvk.Kind])
	}
	var found []schema.GroupVersion
	for _, k := range kinds {
		gv := schema.GroupVersion{Group: k.Group, Version: k.Version}
		if k.Kind == gvk.Kind && gv != gvk.GroupVersion() && k.Group != "" && slices.Contains(groups, k.Group) {
			found = append(found, gv)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return slices.MaxFunc(found, func(a, b schema.GroupVersion) int {
		return version.CompareKubeAwareVersionStrings(a.Version, b.Version)
	}).String()
}

// KindRemedy is what to do about an object of a kind that a cluster, which serves kinds,
// does not; instead completes it with what else can be done.
func KindRemedy(gvk schema.GroupVersionKind, kinds []ServedKind, instead string) string {
	as := ServedAs(gvk, kinds)
	switch {
	case as != "":
		return fmt.Sprintf("write apiVersion: %s, which the cluster serves, with the fields that it has there; or %s", as, instead)
	case gvk.Kind == "PodSecurityPolicy" && (gvk.Group == "policy" || gvk.Group == "extensions"):
		return "Kubernetes 1.25 took the kind away (Pod Security Admission stands in its place): " + instead
	case gvk.Group == "helm.integrations.flux.weave.works":
		return "no helm-operator since 0.5 reads the kind: write a HelmRelease (helm.fluxcd.io/v1) of the same releaseName in its place, or " + instead
	default:
		return "install what serves it, write an apiVersion that is served, or " + instead
	}
}
