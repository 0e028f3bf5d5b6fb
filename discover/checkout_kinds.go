package discover

import (
	"cmp"
	"reflect"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// clusterKinds are the kinds of Kubernetes' own API groups that lie in no
// namespace, by group.
var clusterKinds = map[string][]string{
	"":                             {"ComponentStatus", "Namespace", "Node", "PersistentVolume"},
	"admissionregistration.k8s.io": {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"},
	"apiextensions.k8s.io":         {"CustomResourceDefinition"},
	"apiregistration.k8s.io":       {"APIService"},
	"authentication.k8s.io":        {"SelfSubjectReview", "TokenReview"},
	"authorization.k8s.io":         {"SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"},
	"certificates.k8s.io":          {"CertificateSigningRequest", "ClusterTrustBundle"},
	"extensions":                   {"PodSecurityPolicy"},
	"flowcontrol.apiserver.k8s.io": {"FlowSchema", "PriorityLevelConfiguration"},
	"internal.apiserver.k8s.io":    {"StorageVersion"},
	"networking.k8s.io":            {"IPAddress", "IngressClass", "ServiceCIDR"},
	"node.k8s.io":                  {"RuntimeClass"},
	"policy":                       {"PodSecurityPolicy"},
	"rbac.authorization.k8s.io":    {"ClusterRole", "ClusterRoleBinding"},
	"resource.k8s.io":              {"DeviceClass", "DeviceTaintRule", "ResourceSlice"},
	"scheduling.k8s.io":            {"PriorityClass"},
	"storage.k8s.io":               {"CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"},
	"storagemigration.k8s.io":      {"StorageVersionMigration"},
}

// notInScheme are kinds of Kubernetes' own that client-go's scheme does not
// hold: those of the API server's extensions, and one that is gone.
var notInScheme = []schema.GroupVersionKind{
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
	{Group: "apiextensions.k8s.io", Version: "v1beta1", Kind: "CustomResourceDefinition"},
	{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"},
	{Group: "apiregistration.k8s.io", Version: "v1beta1", Kind: "APIService"},
	{Group: "policy", Version: "v1beta1", Kind: "PodSecurityPolicy"},
	{Group: "extensions", Version: "v1beta1", Kind: "PodSecurityPolicy"},
}

// notInSchemeRemoved are the versions of Kubernetes that were the first without
// those (Kubernetes: deprecation guide).
var notInSchemeRemoved = map[schema.GroupVersion]*version.Version{
	{Group: "apiextensions.k8s.io", Version: "v1beta1"}:   version.MajorMinor(1, 22),
	{Group: "apiregistration.k8s.io", Version: "v1beta1"}: version.MajorMinor(1, 22),
	{Group: "policy", Version: "v1beta1"}:                 version.MajorMinor(1, 25),
	{Group: "extensions", Version: "v1beta1"}:             version.MajorMinor(1, 16),
}

// kindsOfKubernetes are those of its own API groups.
type kindsOfKubernetes struct {
	// served are the kinds, in all versions that are known, and their scope. A
	// cluster serves some of them.
	served []migrate.ServedKind
	// removed are those of them that no cluster serves which can be migrated, by the
	// first version without them.
	removed map[schema.GroupVersionKind]string
}

var ownKinds = sync.OnceValue(func() kindsOfKubernetes {
	out := kindsOfKubernetes{removed: map[schema.GroupVersionKind]string{}}
	add := func(gvk schema.GroupVersionKind, gone *version.Version) {
		if gone != nil && oldestKubernetes.AtLeast(gone) {
			out.removed[gvk] = gone.String()
		}
		out.served = append(out.served, migrate.ServedKind{
			Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespaced: !slices.Contains(clusterKinds[gvk.Group], gvk.Kind),
		})
	}
	for gvk, of := range scheme.Scheme.AllKnownTypes() {
		if !reflect.PointerTo(of).Implements(reflect.TypeFor[metav1.Object]()) || gvk.Version == "__internal" {
			continue // a list, options: nothing that a cluster keeps
		}
		var gone *version.Version
		if o, ok := reflect.New(of).Interface().(interface{ APILifecycleRemoved() (major, minor int) }); ok {
			major, minor := o.APILifecycleRemoved()
			gone = version.MajorMinor(uint(major), uint(minor))
		}
		add(gvk, gone)
	}
	for _, gvk := range notInScheme {
		add(gvk, notInSchemeRemoved[gvk.GroupVersion()])
	}
	slices.SortFunc(out.served, func(a, b migrate.ServedKind) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Kind, b.Kind))
	})
	return out
})

// assumeKinds has a repository read where no cluster was asked what it serves.
func assumeKinds(c *flux1.LoadConfig) {
	own := ownKinds()
	c.Kinds, c.KindsAssumed, c.Removed = own.served, true, own.removed
}
