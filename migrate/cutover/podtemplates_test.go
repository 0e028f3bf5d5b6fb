package cutover

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
spec: {paused: true, replicas: 2, template: {spec: {hostname: by-hand, containers: [{name: web}]}}}
`)
	const path = ".spec.template.spec.hostname"
	for _, kind := range []string{"apps/v1 Deployment", "apps/v1 ReplicaSet", "argoproj.io/v1alpha1 Rollout"} { // an operator's kind has pods too
		apiVersion, kind, _ := strings.Cut(kind, " ")
		for _, asked := range []bool{false, true} {
			now := parse("metadata: {name: web}\nspec: {replicas: 2, template: {spec: {dnsPolicy: Default, containers: [{name: web}]}}}\n")
			for _, u := range []*unstructured.Unstructured{held, now} {
				u.SetAPIVersion(apiVersion)
				u.SetKind(kind)
			}
			left := restoreFields(now, held, asked)
			hostname, back, _ := unstructured.NestedString(now.Object, "spec", "template", "spec", "hostname")
			paused, _, _ := unstructured.NestedBool(now.Object, "spec", "paused")
			if back != asked || asked && hostname != "by-hand" || slices.Contains(left, path) == asked || !paused {
				t.Errorf("%s, asked %t: %v, left %q", kind, asked, now.Object["spec"], left)
			}
		}
	}
}

func TestEveryPodTemplateOfAnOperatorsKindIsLeftAlone(t *testing.T) {
	held := manifest(t, `
apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: ray
  managedFields:
  - {manager: kubectl-edit, operation: Update, apiVersion: ray.io/v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:paused": {}, "f:head": {"f:template": {"f:spec": {"f:hostname": {}}}}, "f:groups": {"k:{\"name\":\"a\"}": {"f:template": {"f:spec": {"f:hostname": {}}}}}}}}
spec:
  paused: true
  head: {template: {spec: {hostname: by-hand, containers: [{name: head}]}}}
  groups: [{name: a, template: {spec: {hostname: by-hand, containers: [{name: worker}]}}}]
`)
	now := manifest(t, `
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: ray}
spec:
  head: {template: {spec: {containers: [{name: head}]}}}
  groups: [{name: a, template: {spec: {containers: [{name: worker}]}}}]
`)
	want := now.DeepCopy()
	if err := unstructured.SetNestedField(want.Object, true, "spec", "paused"); err != nil {
		t.Fatal(err)
	}
	left := restoreFields(now, held, false)
	slices.Sort(left)
	if d := cmp.Diff([]string{`.spec.groups[name="a"].template.spec.hostname`, ".spec.head.template.spec.hostname"}, left); d != "" {
		t.Errorf("left alone: %s", d)
	}
	if d := cmp.Diff(want.Object, now.Object); d != "" {
		t.Errorf("its pods would be replaced (-want +got):\n%s", d)
	}
}

// Of an object without managedFields the adoption takes everything, and its
// second apply removes what Git does not say.
func TestWhatNobodyIsNotedForGoesBackToo(t *testing.T) {
	parse := func(text string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		return u
	}
	held := parse("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, uid: u, resourceVersion: \"1\"}\nspec: {replicas: 12, paused: true}\nstatus: {replicas: 12}\n")
	now := parse(`
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  managedFields:
  - {manager: kustomize-controller, operation: Apply, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:paused": {}}}}
spec: {replicas: 1, paused: false}
`)
	restoreFields(now, held, false)
	if replicas, _, _ := unstructured.NestedNumberAsFloat64(now.Object, "spec", "replicas"); replicas != 12 {
		t.Errorf("%v replicas came back, want 12", replicas)
	}
	if paused, _, _ := unstructured.NestedBool(now.Object, "spec", "paused"); paused {
		t.Error("a field that the new agent owns was overwritten")
	}

	same, other := held.DeepCopy(), held.DeepCopy()
	same.SetResourceVersion("2")
	same.Object["status"] = map[string]any{"replicas": int64(11)}
	if err := unstructured.SetNestedField(other.Object, int64(20), "spec", "replicas"); err != nil {
		t.Fatal(err)
	}
	snap := func(u *unstructured.Unstructured) *snapshot {
		return &snapshot{Objects: []heldObject{{ID: "team_web_apps_Deployment", Object: u}}}
	}
	// Who scaled it is not noted: an autoscaler does so all the time.
	for _, now := range []*unstructured.Unstructured{same, other} {
		if ids := drifted(snap(held), snap(now)); len(ids) > 0 {
			t.Errorf("it is said to have moved: %v", ids)
		}
	}

	scaled := other.DeepCopy()
	if restoreFields(scaled, held, false); !reflect.DeepEqual(scaled.Object, other.Object) {
		t.Errorf("it was never adopted, and is put back: %v", scaled.Object)
	}
}

func TestListsOfWhichTheKeysWereGuessedAreLeftToTheirOwners(t *testing.T) {
	parse := func(text string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		return u
	}
	held := parse("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{name: http, port: 80, nodePort: 30000}], subjects: [{name: a, kind: User}], env: [{name: A, value: x}, {name: B, value: q}]}\n")
	now := parse(`
apiVersion: v1
kind: Service
metadata:
  name: web
  managedFields:
  - {manager: kustomize-controller, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {
      "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}, "f:subjects": {}, "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:value": {}}}}}}
spec: {ports: [{name: http, port: 80, nodePort: 31111}], subjects: [{name: a, kind: Group}], env: [{name: A, value: z}]}
`)
	want := now.DeepCopy()
	if err := unstructured.SetNestedSlice(want.Object, []any{map[string]any{"name": "A", "value": "z"}, map[string]any{"name": "B", "value": "q"}}, "spec", "env"); err != nil {
		t.Fatal(err)
	}
	restoreFields(now, held, false)
	if d := cmp.Diff(want.Object, now.Object); d != "" {
		t.Errorf("what was set by hand comes back, and nothing else (-want +got):\n%s", d)
	}
}

// The adoption applies under the name that a Flux v2 applied by that is gone, and so
// removes what that had applied and Git does not hold.
func TestWhatAGoneFlux2AppliedGoesBack(t *testing.T) {
	held := manifest(t, `
apiVersion: v1
kind: ConfigMap
metadata:
  name: web
  managedFields:
  - {manager: kustomize-controller, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:both": {}, "f:theirs": {}, "f:taken": {}}}}
  - {manager: operator, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:operators": {}}}}
data: {both: old, theirs: kept, taken: theirs, operators: "1"}
`)
	now := manifest(t, `
apiVersion: v1
kind: ConfigMap
metadata:
  name: web
  managedFields:
  - {manager: kustomize-controller, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:both": {}}}}
  - {manager: somebody, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:taken": {}}}}
data: {both: new, taken: since}
`)
	restoreFields(now, held, false)
	if diff := cmp.Diff(map[string]any{"both": "new", "theirs": "kept", "taken": "since"}, now.Object["data"]); diff != "" {
		t.Errorf("what was given back (-want +got):\n%s", diff)
	}
}
