package cutover

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// A field that adoption took from somebody's hand goes back by itself, in a pod
// template only where it was asked for (--pod-templates), since that replaces
// pods.
func TestPodTemplatesGoBackOnlyOnRequest(t *testing.T) {
	parse := func(text string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		return u
	}
	held := parse(`
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  managedFields:
  - {manager: kubectl-edit, operation: Update, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:paused": {}, "f:template": {"f:spec": {"f:hostname": {}}}}}}
spec: {paused: true, replicas: 2, template: {spec: {hostname: by-hand}}}
`)
	const path = ".spec.template.spec.hostname"
	for _, asked := range []bool{false, true} {
		now := parse("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2, template: {spec: {dnsPolicy: Default}}}\n")
		left := restoreFields(now, held, asked)
		hostname, back, _ := unstructured.NestedString(now.Object, "spec", "template", "spec", "hostname")
		paused, _, _ := unstructured.NestedBool(now.Object, "spec", "paused")
		if back != asked || asked && hostname != "by-hand" || slices.Contains(left, path) == asked || !paused {
			t.Errorf("asked %t: %v, left %q", asked, now.Object["spec"], left)
		}
	}
}
