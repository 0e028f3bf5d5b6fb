package proof

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func entry(manager string, op metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: op, Subresource: subresource, FieldsType: "FieldsV1", APIVersion: "apps/v1",
		FieldsV1: metav1.NewFieldsV1(fields)}
}

func deployment(entries ...metav1.ManagedFieldsEntry) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "web", "namespace": "shop", "annotations": map[string]any{
			"note": "by hand", "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
		"spec": map[string]any{
			"replicas": int64(3),
			"template": map[string]any{
				"metadata": map[string]any{"annotations": map[string]any{"kubectl.kubernetes.io/restartedAt": "2020-01-01T00:00:00Z"}},
				"spec": map[string]any{"containers": []any{map[string]any{"name": "web", "image": "web:1",
					"env": []any{map[string]any{"name": "DEBUG", "value": "1"}}}}},
			},
		},
	}}
	u.SetManagedFields(entries)
	return u
}

const (
	ownImage    = `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:name":{},"f:image":{}}}}}}}`
	ownReplicas = `{"f:spec":{"f:replicas":{}}}`
	ownRestart  = `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`
	ownEnv      = `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{"f:env":{".":{},"k:{\"name\":\"DEBUG\"}":{".":{},"f:name":{},"f:value":{}}}}}}}}}`
	ownNote     = `{"f:metadata":{"f:annotations":{"f:note":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}}}}`
	update      = metav1.ManagedFieldsOperationUpdate
	apply       = metav1.ManagedFieldsOperationApply
)

func TestRemovalsForecastsWhatOwnershipTakeOverRemoves(t *testing.T) {
	sent := deployment(entry("kustomize-controller", apply, "", ownImage))
	for name, c := range map[string]struct {
		live []metav1.ManagedFieldsEntry
		want []string
	}{
		"nothing set by hand": {[]metav1.ManagedFieldsEntry{entry("kubectl-client-side-apply", update, "", ownImage)}, nil},
		"a rollout restart": {[]metav1.ManagedFieldsEntry{entry("kubectl-rollout", update, "", ownRestart)},
			[]string{".spec.template.metadata.annotations", ".spec.template.metadata.annotations.kubectl.kubernetes.io/restartedAt"}},
		"replicas by kubectl edit":        {[]metav1.ManagedFieldsEntry{entry("kubectl-edit", update, "", ownReplicas)}, []string{".spec.replicas"}},
		"replicas co-owned by the HPA":    {[]metav1.ManagedFieldsEntry{entry("kubectl-edit", update, "", ownReplicas), entry("kube-controller-manager", update, "scale", ownReplicas)}, nil},
		"kubectl scale is a subresource":  {[]metav1.ManagedFieldsEntry{entry("kubectl", update, "scale", ownReplicas)}, nil},
		"another manager is left alone":   {[]metav1.ManagedFieldsEntry{entry("flux-client-side-apply", update, "", ownReplicas), entry("helm", update, "", ownEnv)}, nil},
		"apply of kubectl --server-side":  {[]metav1.ManagedFieldsEntry{entry("kubectl", apply, "", ownReplicas)}, []string{".spec.replicas"}},
		"before-first-apply":              {[]metav1.ManagedFieldsEntry{entry("before-first-apply", update, "", ownReplicas)}, []string{".spec.replicas"}},
		"marks go on purpose, notes show": {[]metav1.ManagedFieldsEntry{entry("kubectl-annotate", update, "", ownNote)}, []string{".metadata.annotations.note"}},
		"a variable set by kubectl set": {[]metav1.ManagedFieldsEntry{entry("kubectl-set", update, "", ownEnv)},
			[]string{`.spec.template.spec.containers[name="web"].env`, `.spec.template.spec.containers[name="web"].env[name="DEBUG"]`, `.spec.template.spec.containers[name="web"].env[name="DEBUG"].value`}},
	} {
		t.Run(name, func(t *testing.T) {
			left, got, err := Removals(deployment(c.live...), sent)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if changed := differences(sent.Object, left.Object); (len(changed) > 0) != (len(got) > 0) {
				t.Errorf("paths %v are said to go, and %v are gone", got, changed)
			}
			if name == "a rollout restart" && !replacesPods(deployment(), got) {
				t.Error("it is not seen as a restart")
			}
			if name == "replicas by kubectl edit" && replacesPods(deployment(), got) {
				t.Error("a scale is taken for a restart")
			}
		})
	}
}

func TestTheCountOfADeploymentComesBackByItself(t *testing.T) {
	live := deployment()
	live.SetAnnotations(map[string]string{revision: "2", "note": "by hand"})
	tried := live.DeepCopy()
	tried.SetManagedFields([]metav1.ManagedFieldsEntry{entry("kustomize-controller", apply, "", ownImage),
		entry("before-first-apply", update, "", `{"f:metadata":{"f:annotations":{".":{},"f:note":{},"f:deployment.kubernetes.io/revision":{}}}}`)})
	left, got, err := Removals(live, tried)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{".metadata.annotations.note"}, got); d != "" || left.GetAnnotations()[revision] != "2" {
		t.Errorf("%s, and left is %v", d, left.GetAnnotations())
	}
}

func TestRemovalsRefusesManagedFieldsItCannotRead(t *testing.T) {
	if _, _, err := Removals(deployment(entry("kubectl-edit", update, "", `{"i:spec":{}}`)), deployment()); err == nil {
		t.Error("broken managedFields were taken for none")
	}
}

func TestWhatNobodyIsNotedForGoesAtTheSecondApply(t *testing.T) {
	// An object without managedFields gets them by the first apply, dry or not:
	// all that it holds is before-first-apply's then.
	tried := deployment(entry("kustomize-controller", apply, "", ownImage), entry("before-first-apply", update, "", ownReplicas))
	_, got, err := Removals(deployment(), tried)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{".spec.replicas"}, got); d != "" {
		t.Error(d)
	}
	if why := whyChanges(deployment(), got, got, nil); !strings.Contains(why, "before-first-apply") {
		t.Errorf("nobody is told why: %s", why)
	}
}
