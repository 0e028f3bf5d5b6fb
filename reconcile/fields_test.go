package reconcile

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// jsonNames returns the JSON names of the fields of a struct.
func jsonNames(spec reflect.Type) []string {
	var names []string
	for i := range spec.NumField() {
		name, _, _ := strings.Cut(spec.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func topLevel[T any](fields []field[T]) []string {
	var names []string
	for _, f := range fields {
		if !strings.Contains(f.path, ".") {
			names = append(names, f.path)
		}
	}
	slices.Sort(names)
	return names
}

func TestEveryFieldOfTheAPIIsHonouredOrRefused(t *testing.T) {
	if got, want := topLevel(gitRepositoryFields), jsonNames(reflect.TypeFor[sourcev1.GitRepositorySpec]()); !slices.Equal(got, want) {
		t.Errorf("GitRepository: table %v, API %v", got, want)
	}
	if got, want := topLevel(kustomizationFields), jsonNames(reflect.TypeFor[kustomizev1.KustomizationSpec]()); !slices.Equal(got, want) {
		t.Errorf("Kustomization: table %v, API %v", got, want)
	}
	// Structs that are honoured as a whole: a field that the API gains inside of
	// one must be looked at before this list is extended.
	for _, c := range []struct {
		spec reflect.Type
		want []string
	}{
		{reflect.TypeFor[sourcev1.GitRepositoryRef](), []string{"branch", "commit", "name", "semver", "tag"}},
		{reflect.TypeFor[kustomizev1.DependencyReference](), []string{"name", "namespace", "readyExpr"}},
		{reflect.TypeFor[kustomizev1.CrossNamespaceSourceReference](), []string{"apiVersion", "kind", "name", "namespace"}},
		{reflect.TypeFor[kustomizev1.PostBuild](), []string{"substitute", "substituteFrom", "substituteStrategy"}},
		{reflect.TypeFor[kustomizev1.SubstituteReference](), []string{"kind", "name", "optional"}},
		{reflect.TypeFor[kustomizev1.Decryption](), []string{"provider", "secretRef", "serviceAccountName"}},
		{reflect.TypeFor[kustomizev1.CommonMetadata](), []string{"annotations", "labels"}},
		{reflect.TypeFor[kustomizev1.IgnoreRule](), []string{"paths", "target"}},
		{reflect.TypeFor[fluxmeta.NamespacedObjectKindReference](), []string{"apiVersion", "kind", "name", "namespace"}},
	} {
		if got := jsonNames(c.spec); !slices.Equal(got, c.want) {
			t.Errorf("%s has fields %v, known are %v", c.spec, got, c.want)
		}
	}
}

func TestRefusedFieldsAreNamed(t *testing.T) {
	for want, k := range map[string]*kustomizev1.Kustomization{
		"spec.kubeConfig":                    {Spec: kustomizev1.KustomizationSpec{KubeConfig: &fluxmeta.KubeConfigReference{}}},
		"spec.decryption.serviceAccountName": {Spec: kustomizev1.KustomizationSpec{Decryption: &kustomizev1.Decryption{ServiceAccountName: "role"}}},
		"spec.dependsOn.readyExpr":           {Spec: kustomizev1.KustomizationSpec{DependsOn: []kustomizev1.DependencyReference{{}, {ReadyExpr: "true"}}}},
	} {
		k.Spec.SourceRef.Kind = sourcev1.GitRepositoryKind
		if got := unsupported(kustomizationFields, k); !strings.Contains(got, want+":") {
			t.Errorf("message %q does not name %s alone", got, want)
		}
	}
	keys := &kustomizev1.Kustomization{Spec: kustomizev1.KustomizationSpec{
		SourceRef:  kustomizev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind},
		Decryption: &kustomizev1.Decryption{Provider: "sops", SecretRef: &fluxmeta.LocalObjectReference{Name: "keys"}},
	}}
	if got := unsupported(kustomizationFields, keys); got != "" {
		t.Errorf("decryption with keys is refused: %s", got)
	}
	bucket := &kustomizev1.Kustomization{Spec: kustomizev1.KustomizationSpec{SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "Bucket"}}}
	if got := unsupported(kustomizationFields, bucket); !strings.Contains(got, "spec.sourceRef.kind") {
		t.Errorf("message %q", got)
	}
	plain := &sourcev1.GitRepository{Spec: sourcev1.GitRepositorySpec{URL: "https://x/y", Provider: "generic"}}
	if got := unsupported(gitRepositoryFields, plain); got != "" {
		t.Errorf("a plain GitRepository is refused: %s", got)
	}
	plain.Spec.Verification, plain.Spec.Provider = &sourcev1.GitRepositoryVerification{}, "azure"
	if got := unsupported(gitRepositoryFields, plain); !strings.Contains(got, "spec.provider, spec.verify") {
		t.Errorf("message %q", got)
	}
}
