package migrate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReplicasThatAnAutoscalerSetsAsWellAreNamed(t *testing.T) {
	workload := func(kind, namespace, name, replicas string) string {
		return fmt.Sprintf(`{apiVersion: apps/v1, kind: %s, metadata: {name: %s, namespace: %s}, spec: {%s}}`, kind, name, namespace, replicas)
	}
	hpa := func(kind, namespace, name string) string {
		return fmt.Sprintf(`{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: of-%s, namespace: %s}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: %s, name: %s}}}`, name, namespace, kind, name)
	}
	const scaled = `{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: queue, namespace: shop}, spec: {scaleTargetRef: {name: worker}}}`
	ignored := strings.Replace(workload("Deployment", "shop", "left", "replicas: 1"), "namespace: shop", `namespace: shop, annotations: {fluxcd.io/ignore: "true"}`, 1)
	one := repositoryOf(t, "flux/one", 1,
		workload("Deployment", "shop", "web", "replicas: 2"), hpa("Deployment", "shop", "web"), // both in one repository
		workload("Deployment", "shop", "free", "minReadySeconds: 1"), hpa("Deployment", "shop", "free"), // Git says no number
		workload("StatefulSet", "shop", "db", "replicas: 3"), hpa("Deployment", "shop", "db"), // another kind is scaled
		workload("Deployment", "pay", "web", "replicas: 2"), // another namespace
		workload("Deployment", "shop", "worker", "replicas: 0"), scaled,
		workload("Deployment", "shop", "far", "replicas: 4"), ignored, hpa("Deployment", "shop", "left"))
	for i := range one.Objects {
		if strings.Contains(one.Objects[i].ID, "_left_") {
			one.Objects[i].Class = ClassIgnored
		}
	}
	two := repositoryOf(t, "flux/two", 1, hpa("Deployment", "shop", "far")) // in another repository
	inv := Inventory{Agents: []Flux1Agent{one, two}}
	got := map[string]string{}
	for _, f := range Build(inv, Options{}).Findings {
		if f.Code == "REPLICAS_AND_AUTOSCALER" {
			got[f.Subject] = f.Message[:strings.Index(f.Message, "; ")]
		}
	}
	want := map[string]string{
		"flux/one shop_web_apps_Deployment":    "Git says replicas: 2 for Deployment/shop/web, and HorizontalPodAutoscaler/shop/of-web sets it too",
		"flux/one shop_worker_apps_Deployment": "Git says replicas: 0 for Deployment/shop/worker, and ScaledObject/shop/queue sets it too",
		"flux/one shop_far_apps_Deployment":    "Git says replicas: 4 for Deployment/shop/far, and HorizontalPodAutoscaler/shop/of-far sets it too",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, f := range Build(inv, Options{Repositories: []string{"flux/two"}}).Findings {
		if f.Code == "REPLICAS_AND_AUTOSCALER" {
			t.Errorf("it is not planned: %v", f)
		}
	}
}
