package reconcile

import (
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// UnsupportedFieldReason is the reason of Ready=False and Stalled=True on an
// object that asks for something this agent cannot do. Stock Flux has no such
// reason; there the field would be honoured.
const UnsupportedFieldReason = "UnsupportedField"

// field is one row of a table that accounts for a spec. The tables hold every
// field of the API types (a test compares them by reflection): a field is either
// honoured, or refused whenever set tells that the object uses it.
type field[T any] struct {
	// path is the JSON path below spec; lists and maps end with their own name.
	path string
	// set tells whether the object uses a field that is not supported. Nil means
	// that the field, with all below it that has no row of its own, is supported.
	set func(*T) bool
}

// gitRepositoryFields accounts for GitRepository.spec.
var gitRepositoryFields = []field[sourcev1.GitRepository]{
	{path: "url"},
	{path: "secretRef"},
	{path: "interval"},
	{path: "timeout"},
	{path: "ref"},
	{path: "ignore"},
	{path: "suspend"},
	{path: "provider", set: func(r *sourcev1.GitRepository) bool { return r.GetProvider() != sourcev1.GitProviderGeneric }},
	{path: "serviceAccountName", set: func(r *sourcev1.GitRepository) bool { return r.Spec.ServiceAccountName != "" }},
	{path: "verify", set: func(r *sourcev1.GitRepository) bool { return r.Spec.Verification != nil }},
	{path: "proxySecretRef"},
	{path: "recurseSubmodules", set: func(r *sourcev1.GitRepository) bool { return r.Spec.RecurseSubmodules }},
	{path: "include", set: func(r *sourcev1.GitRepository) bool { return len(r.Spec.Include) > 0 }},
	{path: "sparseCheckout", set: func(r *sourcev1.GitRepository) bool { return len(r.Spec.SparseCheckout) > 0 }},
}

// kustomizationFields accounts for Kustomization.spec. A row below another row
// (sourceRef.kind, dependsOn.readyExpr) narrows it.
var kustomizationFields = []field[kustomizev1.Kustomization]{
	{path: "commonMetadata"},
	{path: "dependsOn"},
	{path: "dependsOn.readyExpr", set: func(k *kustomizev1.Kustomization) bool {
		for _, dependency := range k.Spec.DependsOn {
			if dependency.ReadyExpr != "" {
				return true
			}
		}
		return false
	}},
	{path: "decryption"},
	{path: "decryption.serviceAccountName", set: func(k *kustomizev1.Kustomization) bool {
		return k.Spec.Decryption != nil && k.Spec.Decryption.ServiceAccountName != ""
	}},
	{path: "interval"},
	{path: "retryInterval"},
	{path: "kubeConfig", set: func(k *kustomizev1.Kustomization) bool { return k.Spec.KubeConfig != nil }},
	{path: "path"},
	{path: "postBuild"},
	{path: "prune"},
	{path: "deletionPolicy"},
	{path: "healthChecks"},
	{path: "namePrefix"},
	{path: "nameSuffix"},
	{path: "patches"},
	{path: "images"},
	{path: "serviceAccountName"},
	{path: "sourceRef"},
	{path: "sourceRef.kind", set: func(k *kustomizev1.Kustomization) bool {
		return k.Spec.SourceRef.Kind != sourcev1.GitRepositoryKind
	}},
	{path: "suspend"},
	{path: "targetNamespace"},
	{path: "timeout"},
	{path: "force"},
	{path: "wait"},
	{path: "buildMetadata"},
	{path: "components"},
	{path: "ignoreMissingComponents"},
	{path: "healthCheckExprs", set: func(k *kustomizev1.Kustomization) bool { return len(k.Spec.HealthCheckExprs) > 0 }},
	{path: "ignore"},
}

// unsupported names the fields of spec that object uses and this agent refuses,
// in a message for people; empty when there are none.
func unsupported[T any](fields []field[T], object *T) string {
	var paths []string
	for _, f := range fields {
		if f.set != nil && f.set(object) {
			paths = append(paths, "spec."+f.path)
		}
	}
	if len(paths) == 0 {
		return ""
	}
	return fmt.Sprintf("this agent does not support %s: remove it, or run stock Flux controllers; nothing was changed", strings.Join(paths, ", "))
}
