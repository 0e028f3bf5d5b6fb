package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	ssaerrors "github.com/fluxcd/pkg/ssa/errors"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	validation "k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/fluxover/fluxover/e2e/sops"
	"github.com/fluxover/fluxover/reconcile/build"
)

func TestARefusalOfADecryptedObjectIsToldWithoutItsWords(t *testing.T) {
	const marked = "MARKED-VALUE"
	key, err := sops.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sops.Encrypt("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  namespace: n\ndata:\n  k: "+marked+"\n", "yaml", sops.For(key))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := build.ReadKeys(map[string][]byte{"a.agekey": []byte(key.Private)})
	if err != nil {
		t.Fatal(err)
	}
	ks := &kustomizev1.Kustomization{}
	ks.Spec.Decryption = &kustomizev1.Decryption{Provider: "sops"}
	mixed, err := build.Render(t.Context(), build.Input{Kustomization: ks, Keys: keys, Tree: fstest.MapFS{
		"a.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: n}\n")}, "b.yaml": {Data: []byte(sealed)},
	}})
	if err != nil || len(mixed.Objects) != 2 {
		t.Fatal(err)
	}
	plain := &build.Rendering{Objects: mixed.Objects}
	refusal := apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "x", validation.ErrorList{validation.Invalid(validation.NewPath("data").Key("k"), marked, "no")})
	a, b := mixed.Objects[0], mixed.Objects[1]
	for name, c := range map[string]struct {
		err       error
		rendering *build.Rendering
		told      bool
		says      string
	}{
		"nothing is decrypted":        {ssaerrors.NewDryRunErr(refusal, b), plain, true, "ConfigMap/n/b dry-run failed"},
		"one that is not":             {ssaerrors.NewDryRunErr(refusal, a), mixed, true, "ConfigMap/n/a dry-run failed"},
		"one that is":                 {ssaerrors.NewDryRunErr(refusal, b.DeepCopy()), mixed, false, "ConfigMap/n/b was refused: Invalid (data[k])"},
		"one that is not known":       {fmt.Errorf("something failed: %w", refusal), mixed, false, "Invalid (data[k])"},
		"one that is, by a write":     {fmt.Errorf("ConfigMap/n/b apply failed: %w", refusal), mixed, false, "ConfigMap/n/b was refused: Invalid (data[k])"},
		"one that is not, by a write": {fmt.Errorf("ConfigMap/n/a apply failed: %w", refusal), mixed, true, "ConfigMap/n/a apply failed"},
		"no answer of the server":     {fmt.Errorf("connection refused"), mixed, true, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			said := wordless(c.err, c.rendering).Error()
			if !strings.Contains(said, c.says) || name != "no answer of the server" && strings.Contains(said, marked) != c.told {
				t.Errorf("said: %s", said)
			}
		})
	}
}
