package migrate

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestClusterAdminSaysWhatWouldBeEnoughOrThatItIsNotKnown(t *testing.T) {
	object := func(kind, namespace string) Object {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
		u.SetName("x")
		u.SetNamespace(namespace)
		return Object{ID: ObjectID(u), Class: ClassApplied, Manifest: u}
	}
	homeless := object("Secret", "")
	homeless.NamespaceUnknown = true
	for name, c := range map[string]struct {
		objects []Object
		want    string
	}{
		"a default namespace that is not known": {[]Object{homeless, object("ConfigMap", "shop"), object("Namespace", "")},
			"its objects need only namespace shop and the agent's default namespace, which is not known (Secret) and cluster-scoped Namespace"},
		"nothing was read": {nil, "and its new account would too; what its objects need is not known, since none could be read"},
		"both scopes":      {[]Object{object("ConfigMap", "shop"), object("Namespace", ""), object("ConfigMap", "bar")}, "would too; its objects need only namespaces bar, shop and cluster-scoped Namespace"},
		"one namespace":    {[]Object{object("ConfigMap", "shop")}, "would too; its objects need only namespace shop"},
	} {
		t.Run(name, func(t *testing.T) {
			inv := Inventory{Agents: []Flux1Agent{{ID: "flux/a", Namespace: "flux", Confinement: Confinement{Kind: "cluster-admin"}, Objects: c.objects}}}
			for _, f := range Build(inv, Options{}).Findings {
				if f.Code == "CLUSTER_ADMIN" {
					if !strings.HasSuffix(f.Message, c.want) {
						t.Errorf("it reads %q, want the end %q", f.Message, c.want)
					}
					return
				}
			}
			t.Error("no finding asks for a decision")
		})
	}
}
