package discover

import (
	"cmp"
	"slices"
	"sync"

	"github.com/fluxover/fluxover/migrate"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
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

// ownKinds are the kinds of Kubernetes' own API groups, in all versions that
// are known, and their scope. A cluster serves some of them.
var ownKinds = sync.OnceValue(func() []migrate.ServedKind {
	var kinds []migrate.ServedKind
	add := func(gvk schema.GroupVersionKind) {
		kinds = append(kinds, migrate.ServedKind{
			Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespaced: !slices.Contains(clusterKinds[gvk.Group], gvk.Kind),
		})
	}
	for gvk := range scheme.Scheme.AllKnownTypes() {
		if gvk.Version != "__internal" {
			add(gvk)
		}
	}
	for _, gvk := range notInScheme {
		add(gvk)
	}
	slices.SortFunc(kinds, func(a, b migrate.ServedKind) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Kind, b.Kind))
	})
	return kinds
})
