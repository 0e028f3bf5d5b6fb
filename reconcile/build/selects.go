package build

import (
	"context"
	"fmt"

	apiskustomize "github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// Selects reports whether kustomize applies a patch of a Kustomization to an object, by the
// patch's target or, without one, by the object that it names. An error means that kustomize
// cannot tell, as of an expression or a patch that is none.
func Selects(p apiskustomize.Patch, u *unstructured.Unstructured) (selects bool, err error) {
	defer func() {
		if r := recover(); r != nil { // kustomize trusts the types of what it is given
			selects, err = false, fmt.Errorf("kustomize cannot read %s", u.GetKind())
		}
	}()
	schemaLock.RLock()
	defer schemaLock.RUnlock()
	_ = openapi.Schema()
	factory := provider.NewDefaultDepProvider().GetResourceFactory()
	r, err := factory.FromMap(u.DeepCopy().Object)
	if err != nil {
		return false, fmt.Errorf("read the object that may be patched: %w", cleanError(err))
	}
	m := resmap.New()
	if err := m.Append(r); err != nil {
		return false, fmt.Errorf("read the object that may be patched: %w", cleanError(err))
	}
	if p.Target != nil {
		found, err := m.Select(*selector(p.Target))
		if err != nil {
			return false, fmt.Errorf("select what is patched: %w", cleanError(err))
		}
		return len(found) > 0, nil
	}
	patches, err := factory.SliceFromBytes([]byte(p.Patch))
	if err != nil {
		return false, fmt.Errorf("read a patch without a target: %w", cleanError(err))
	}
	for _, patch := range patches {
		if _, err := m.GetById(patch.OrgId()); err == nil {
			return true, nil
		}
	}
	return false, nil
}

// IsLocal reports whether kustomize drops an object with these annotations from what it builds.
func IsLocal(annotations map[string]string) bool {
	v, has := annotations[konfig.IgnoredByKustomizeAnnotation]
	return has && v != "false"
}

// Built gives what kustomize builds of a Kustomization, before it is made ready for the apply,
// so that what is to be substituted may stand where no text does. An error is as that of [Render].
func Built(ctx context.Context, in Input) ([]*unstructured.Unstructured, error) {
	a, err := NewArtifact(in.Tree, in.SpecIgnore)
	if err != nil {
		return nil, err
	}
	built, err := buildKustomize(ctx, a, Folder(in.Kustomization.Spec.Path), in)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, b := range built {
		out = append(out, b.object)
	}
	return out, nil
}
