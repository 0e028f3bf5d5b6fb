package migrate

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestTheApiVersionThatTookAnothersPlaceIsNamed(t *testing.T) {
	kinds := []ServedKind{
		{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "batch", Version: "v1", Kind: "CronJob"},
		{Group: "autoscaling", Version: "v1", Kind: "HorizontalPodAutoscaler"}, {Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"}, {Group: "example.com", Version: "v1", Kind: "Widget"}, {Group: "example.org", Version: "v1", Kind: "Gadget"},
	}
	for gvk, want := range map[schema.GroupVersionKind]string{
		{Group: "extensions", Version: "v1beta1", Kind: "Deployment"}:                               "apiVersion: apps/v1,",
		{Group: "apps", Version: "v1beta2", Kind: "Deployment"}:                                     "apiVersion: apps/v1,",
		{Group: "extensions", Version: "v1beta1", Kind: "Ingress"}:                                  "apiVersion: networking.k8s.io/v1,",
		{Group: "batch", Version: "v1beta1", Kind: "CronJob"}:                                       "apiVersion: batch/v1,",
		{Group: "autoscaling", Version: "v2beta2", Kind: "HorizontalPodAutoscaler"}:                 "apiVersion: autoscaling/v2,",
		{Group: "example.com", Version: "v1alpha1", Kind: "Widget"}:                                 "apiVersion: example.com/v1,",
		{Group: "policy", Version: "v1beta1", Kind: "PodSecurityPolicy"}:                            "Kubernetes 1.25 took the kind away",
		{Group: "helm.integrations.flux.weave.works", Version: "v1alpha2", Kind: "FluxHelmRelease"}: "no helm-operator since 0.5",
		{Group: "example.com", Version: "v1", Kind: "Gadget"}:                                       "install what serves it",
		{Group: "extensions", Version: "v1beta1", Kind: "Widget"}:                                   "install what serves it",
		{Group: "", Version: "v1", Kind: "List"}:                                                    "install what serves it",
	} {
		if got := KindRemedy(gvk, kinds, "remove it"); !strings.Contains(got, want) || !strings.Contains(got, "remove it") {
			t.Errorf("%s: %q, want %q", gvk, got, want)
		}
	}
}
