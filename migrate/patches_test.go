package migrate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/reconcile/build"
)

func TestAPatchTouchesItsObjectAndNoOther(t *testing.T) {
	ignored := map[string]string{"fluxcd.io/ignore": "true"}
	for name, c := range map[string]struct {
		// patched is the document of the object that needs a patch; other one
		// that is like it in all but one part of its identity.
		patched, other string
		// later is the apiVersion that a later commit gives the patched one.
		later  string
		filled bool
		class  ObjectClass
		want   []string
	}{
		"a namespace is filled in where Git names none": {
			patched: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n",
			other:   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: elsewhere}\n",
			filled:  true, class: ClassApplied,
			want: []string{"v1 ConfigMap/elsewhere/settings ", "v1 ConfigMap/team/settings "},
		},
		"a custom resource gets its namespace": {
			patched: "apiVersion: example.com/v1\nkind: Shop\nmetadata: {name: main}\n",
			other:   "apiVersion: example.com/v1\nkind: Shop\nmetadata: {name: main, namespace: elsewhere}\n",
			filled:  true, class: ClassApplied,
			want: []string{"example.com/v1 Shop/elsewhere/main ", "example.com/v1 Shop/team/main "},
		},
		"one kind in the core group and in another": {
			patched: "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: team}\n",
			other:   "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web, namespace: team}\n",
			class:   ClassIgnored,
			want:    []string{"serving.knative.dev/v1 Service/team/web ", "v1 Service/team/web disabled"},
		},
		"groups that differ by a character where the pattern has a dot": {
			patched: "apiVersion: a.example.com/v1\nkind: Shop\nmetadata: {name: main, namespace: team}\n",
			other:   "apiVersion: a-example.com/v1\nkind: Shop\nmetadata: {name: main, namespace: team}\n",
			class:   ClassIgnored,
			want:    []string{"a-example.com/v1 Shop/team/main ", "a.example.com/v1 Shop/team/main disabled"},
		},
		"a later commit raises the version of what is left alone": {
			patched: "apiVersion: cert-manager.io/v1alpha3\nkind: Certificate\nmetadata: {name: web, namespace: team}\n",
			other:   "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: api, namespace: team}\n",
			later:   "cert-manager.io/v1", class: ClassIgnored,
			want: []string{"cert-manager.io/v1 Certificate/team/api ", "cert-manager.io/v1 Certificate/team/web disabled"},
		},
		"a later commit raises the version of what is given a namespace": {
			patched: "apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: web}\n",
			other:   "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: elsewhere}\n",
			later:   "apps/v1", filled: true, class: ClassApplied,
			want: []string{"apps/v1 Deployment/elsewhere/web ", "apps/v1 Deployment/team/web "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			object := func(text string, class ObjectClass, filled bool) *Object {
				u := &unstructured.Unstructured{}
				if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
					t.Fatal(err)
				}
				if filled {
					u.SetNamespace("team")
				}
				if class == ClassIgnored {
					u.SetAnnotations(ignored)
				}
				return &Object{ID: ObjectID(u), Class: class, Manifest: u, NamespaceFilled: filled}
			}
			text := c.patched
			if c.class == ClassIgnored {
				u := map[string]any{}
				if err := yaml.Unmarshal([]byte(text), &u); err != nil {
					t.Fatal(err)
				}
				if err := unstructured.SetNestedStringMap(u, ignored, "metadata", "annotations"); err != nil {
					t.Fatal(err)
				}
				raw, err := yaml.Marshal(u)
				if err != nil {
					t.Fatal(err)
				}
				text = string(raw)
			}
			if c.later != "" {
				now, _, _ := strings.Cut(c.patched, "\n")
				text = strings.Replace(text, now, "apiVersion: "+c.later, 1)
			}
			k := &kustomizev1.Kustomization{}
			k.Name, k.Namespace = "team-app", AgentNamespace
			k.Spec.Path = "./app"
			k.Spec.Patches = patches([]*Object{object(c.patched, c.class, c.filled), object(c.other, ClassApplied, false)})
			built, err := build.Objects(t.Context(), build.Input{
				Tree: fstest.MapFS{
					"app/a.yaml": {Data: []byte(text), Mode: 0o644}, "app/b.yaml": {Data: []byte(c.other), Mode: 0o644},
				},
				Kustomization: k,
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, u := range built {
				got = append(got, fmt.Sprintf("%s %s %s", u.GetAPIVersion(), DisplayID(ObjectID(u)), u.GetAnnotations()[annotationReconcile]))
			}
			slices.Sort(got)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
