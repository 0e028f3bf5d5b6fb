package differential

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
)

// admit registers the webhooks of a case that come early, or late.
func (w *world) admit(ctx context.Context, c *played, late bool) error {
	for i, a := range c.Admission {
		if a.Late != late {
			continue
		}
		kind, resource := "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"
		if a.Do == "refuse" {
			kind, resource = "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"
		}
		name := c.prefix + "-" + strconv.Itoa(i)
		u := object("admissionregistration.k8s.io/v1", kind, "", name)
		u.Object["webhooks"] = []any{map[string]any{
			"name": name + ".example.com", "admissionReviewVersions": []any{"v1"}, "sideEffects": "None", "matchPolicy": "Equivalent",
			"clientConfig": map[string]any{
				"url": w.hooks.URL + "/" + a.Do, "caBundle": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.hooks.Certificate().Raw}),
			},
			"rules": []any{map[string]any{
				"apiGroups": []any{a.Group}, "apiVersions": []any{"*"}, "resources": []any{a.Resource}, "operations": []any{"CREATE", "UPDATE"},
			}},
			"namespaceSelector": map[string]any{"matchExpressions": []any{map[string]any{
				"key": corev1.LabelMetadataName, "operator": "In", "values": []any{c.prefix + "-a", c.prefix + "-b"},
			}}},
		}}
		raw, err := json.Marshal(u.Object) // which writes the certificate as the API wants it
		if err != nil {
			return err
		}
		content := map[string]any{}
		if err := json.Unmarshal(raw, &content); err != nil {
			return err
		}
		gvr := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: resource}
		if _, err := w.client.Resource(gvr).Create(ctx, &unstructured.Unstructured{Object: content}, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("register webhook %s: %w", name, err)
		}
	}
	return nil
}

// noteKey is the annotation of the webhook that notes who wrote an object.
const noteKey = "admitted-by"

// otherNote reports whether a field is the note of a webhook that named the old
// account, and then the new one: a plan takes no such note for a change.
func otherNote(f auditor.Field) bool {
	const account = `"system:serviceaccount:`
	return plain(f.Path) == ".metadata.annotations."+noteKey &&
		strings.HasPrefix(f.Before, account+fleet.AgentNamespace+":") && strings.HasPrefix(f.After, account+agentNamespace+":")
}

// decide is a webhook; the path says what it does. What it adds it adds once.
func decide(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	var content map[string]any
	err := json.NewDecoder(r.Body).Decode(&review)
	if err == nil && review.Request == nil {
		err = fmt.Errorf("a review without a request")
	}
	if err == nil {
		err = json.Unmarshal(review.Request.Object.Raw, &content)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	var patch []map[string]any
	switch u := (&unstructured.Unstructured{Object: content}); r.URL.Path {
	case "/refuse":
		answer.Allowed, answer.Result = false, &metav1.Status{Message: "not on a Friday"}
	case "/label":
		switch labels := u.GetLabels(); {
		case labels == nil:
			patch = append(patch, map[string]any{"op": "add", "path": "/metadata/labels", "value": map[string]string{"admitted": "yes"}})
		case labels["admitted"] == "":
			patch = append(patch, map[string]any{"op": "add", "path": "/metadata/labels/admitted", "value": "yes"})
		}
	case "/note":
		annotations := u.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[noteKey] = review.Request.UserInfo.Username
		patch = append(patch, map[string]any{"op": "add", "path": "/metadata/annotations", "value": annotations})
	case "/sidecar":
		containers, found, _ := unstructured.NestedSlice(content, "spec", "template", "spec", "containers")
		for _, c := range containers {
			if one, _ := c.(map[string]any); one["name"] == "admitted" {
				found = false
			}
		}
		if found {
			patch = append(patch, map[string]any{"op": "add", "path": "/spec/template/spec/containers/-",
				"value": map[string]any{"name": "admitted", "image": "registry.example.com/admitted:1"}})
		}
	default:
		http.Error(w, "no such webhook", http.StatusNotFound)
		return
	}
	if len(patch) > 0 {
		kind := admissionv1.PatchTypeJSONPatch
		if answer.Patch, err = json.Marshal(patch); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer.PatchType = &kind
	}
	review.Request, review.Response = nil, answer
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(review); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
