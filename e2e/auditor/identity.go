package auditor

import (
	"strings"

	"github.com/fluxcd/cli-utils/pkg/object"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// key names an object independently of the version it was asked in.
type key struct{ group, resource, namespace, name string }

// builtinKinds are the kinds of resources whose bodies the log may never hold,
// so that an inventory id can be made for them.
var builtinKinds = map[string]string{
	"secrets": "Secret", "configmaps": "ConfigMap", "services": "Service", "serviceaccounts": "ServiceAccount",
	"namespaces": "Namespace", "pods": "Pod", "persistentvolumeclaims": "PersistentVolumeClaim",
	"persistentvolumes": "PersistentVolume", "limitranges": "LimitRange", "resourcequotas": "ResourceQuota",
	"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "replicasets": "ReplicaSet",
	"jobs": "Job", "cronjobs": "CronJob", "ingresses": "Ingress", "networkpolicies": "NetworkPolicy",
	"roles": "Role", "rolebindings": "RoleBinding", "clusterroles": "ClusterRole", "clusterrolebindings": "ClusterRoleBinding",
	"horizontalpodautoscalers": "HorizontalPodAutoscaler", "poddisruptionbudgets": "PodDisruptionBudget",
	"customresourcedefinitions": "CustomResourceDefinition", "kustomizations": "Kustomization", "gitrepositories": "GitRepository",
}

// inventoryID is the id Flux v2 gives the object in an inventory:
// namespace_name_group_Kind, a colon in the name written as two underscores.
func inventoryID(namespace, name, group, kind string) string {
	return object.ObjMetadata{
		Namespace: namespace, Name: name, GroupKind: schema.GroupKind{Group: group, Kind: kind},
	}.String()
}

// untracked are resources that no Git repository manages and that are written
// all the time, or that are questions rather than objects.
func untracked(ref *ObjectRef) bool {
	switch ref.APIGroup {
	case "authentication.k8s.io", "authorization.k8s.io", "coordination.k8s.io", "events.k8s.io", "discovery.k8s.io", "metrics.k8s.io":
		return true
	case "":
		switch ref.Resource {
		case "events", "endpoints", "nodes", "bindings", "componentstatuses":
			return true
		}
	case "apps":
		return ref.Resource == "replicasets" || ref.Resource == "controllerrevisions"
	}
	return false
}

// changesObject tells whether a write of the subresource is a write of the
// object itself.
func changesObject(subresource string) bool {
	switch subresource {
	case "token", "exec", "attach", "portforward", "proxy", "log", "eviction", "binding":
		return false
	}
	return true
}

func isFluxGroup(group string) bool { return strings.HasSuffix(group, ".toolkit.fluxcd.io") }
