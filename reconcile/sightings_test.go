package reconcile

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSignatureTellsDriftFromOrdinaryLife(t *testing.T) {
	owned := func(raw string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: kustomizeController, Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(raw)}
	}
	make := func(change func(*metav1.PartialObjectMetadata)) string {
		m := &metav1.PartialObjectMetadata{}
		m.UID, m.ResourceVersion, m.Generation = "u", "1", 1
		m.ManagedFields = []metav1.ManagedFieldsEntry{owned(`{"f:data":{"f:a":{},"f:b":{}}}`)}
		change(m)
		return signature(m)
	}
	base := make(func(*metav1.PartialObjectMetadata) {})
	for name, change := range map[string]func(*metav1.PartialObjectMetadata){
		"status of another manager": func(m *metav1.PartialObjectMetadata) {
			m.ResourceVersion, m.Generation = "9", 4
			m.ManagedFields = append(m.ManagedFields, metav1.ManagedFieldsEntry{Manager: "kubelet", Operation: metav1.ManagedFieldsOperationUpdate, Subresource: "status"})
		},
		"kubectl scales through the subresource": func(m *metav1.PartialObjectMetadata) {
			m.ManagedFields = append(m.ManagedFields, metav1.ManagedFieldsEntry{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationUpdate, Subresource: "scale"})
		},
		"another order of keys": func(m *metav1.PartialObjectMetadata) {
			m.ManagedFields[0] = owned(`{ "f:data": {"f:b":{}, "f:a":{}} }`)
		},
		"an annotation of a controller": func(m *metav1.PartialObjectMetadata) {
			m.Annotations = map[string]string{"deployment.kubernetes.io/revision": "2"}
		},
	} {
		if make(change) != base {
			t.Errorf("%s counts as drift", name)
		}
	}
	for name, change := range map[string]func(*metav1.PartialObjectMetadata){
		"a field was taken": func(m *metav1.PartialObjectMetadata) { m.ManagedFields[0] = owned(`{"f:data":{"f:a":{}}}`) },
		"it was recreated":  func(m *metav1.PartialObjectMetadata) { m.UID = "v" },
		"kubectl edited it": func(m *metav1.PartialObjectMetadata) {
			m.ManagedFields = append(m.ManagedFields, metav1.ManagedFieldsEntry{Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate})
		},
		"fluxd marked it": func(m *metav1.PartialObjectMetadata) { m.Labels = map[string]string{"fluxcd.io/sync-gc-mark": "x"} },
		"it is going":     func(m *metav1.PartialObjectMetadata) { m.DeletionTimestamp = &metav1.Time{} },
	} {
		if make(change) == base {
			t.Errorf("%s is not seen", name)
		}
	}
}
