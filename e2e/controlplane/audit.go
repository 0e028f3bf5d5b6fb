package controlplane

import "sigs.k8s.io/yaml"

// auditRule is a rule of audit.k8s.io/v1 Policy, as far as it is used here.
type auditRule struct {
	Level           string          `json:"level"`
	Users           []string        `json:"users,omitempty"`
	Verbs           []string        `json:"verbs,omitempty"`
	Resources       []auditResource `json:"resources,omitempty"`
	NonResourceURLs []string        `json:"nonResourceURLs,omitempty"`
}

type auditResource struct {
	Group     string   `json:"group"`
	Resources []string `json:"resources,omitempty"`
}

// wholeGroups are the API groups of which every write is logged with request
// and response. The policy knows no wildcard for groups.
var wholeGroups = []string{
	"apps", "batch", "autoscaling", "policy", "networking.k8s.io",
	"rbac.authorization.k8s.io", "apiextensions.k8s.io", "admissionregistration.k8s.io",
	"source.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io",
	"image.toolkit.fluxcd.io", "notification.toolkit.fluxcd.io",
	"helm.fluxcd.io", "flux.weave.works",
}

// auditPolicy returns the audit policy. The first rule that matches decides:
// values of Secrets and tokens are never logged, so those rules stand before
// every rule that logs content.
func auditPolicy(extraGroups []string) ([]byte, error) {
	var (
		reads  = []string{"get", "list", "watch"}
		writes = []string{"create", "update", "patch", "delete", "deletecollection"}
		core   = []string{"system:apiserver", ControllerUser, KubeletUser}
	)
	bodies := []auditResource{{Resources: []string{
		"namespaces", "services", "configmaps", "serviceaccounts", "persistentvolumeclaims", "persistentvolumes",
		"pods", "pods/status", "resourcequotas", "limitranges", "endpoints", "replicationcontrollers",
	}}}
	for _, group := range append(append([]string{}, wholeGroups...), extraGroups...) {
		bodies = append(bodies, auditResource{Group: group})
	}
	policy := struct {
		APIVersion string      `json:"apiVersion"`
		Kind       string      `json:"kind"`
		OmitStages []string    `json:"omitStages"`
		Rules      []auditRule `json:"rules"`
	}{
		APIVersion: "audit.k8s.io/v1", Kind: "Policy",
		OmitStages: []string{"RequestReceived"},
		Rules: []auditRule{
			{Level: "None", NonResourceURLs: []string{"/healthz*", "/livez*", "/readyz*"}},
			{Level: "None", Users: core, Resources: []auditResource{
				{Group: "coordination.k8s.io"}, {Resources: []string{"events"}}, {Group: "events.k8s.io"},
			}},
			{Level: "None", Users: core, Verbs: reads},
			{Level: "Metadata", Resources: []auditResource{
				{Resources: []string{"secrets", "serviceaccounts/token", "events"}},
				{Group: "events.k8s.io"}, {Group: "authentication.k8s.io"}, {Group: "coordination.k8s.io"},
			}},
			{Level: "Metadata", Verbs: reads},
			// What core components report each second; it cannot hold a change of spec.
			{Level: "Metadata", Users: core, Resources: []auditResource{
				{Group: "apps", Resources: []string{"deployments/status", "replicasets/status", "statefulsets/status", "daemonsets/status"}},
			}},
			{Level: "RequestResponse", Verbs: writes, Resources: bodies},
			{Level: "Metadata"},
		},
	}
	return yaml.Marshal(policy)
}
