package migrate

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// autoscalers are the kinds that set another object's number of replicas, and
// the kind that they mean where they name none.
var autoscalers = map[schema.GroupKind]string{
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: "",
	{Group: "keda.sh", Kind: "ScaledObject"}:                "Deployment",
}

// scaledBy names the object that an autoscaler sets the replicas of; empty if
// the object is no autoscaler.
func scaledBy(o *Object) string {
	if o.Manifest == nil || !applies(o) {
		return ""
	}
	usual, is := autoscalers[o.Manifest.GroupVersionKind().GroupKind()]
	name, _, _ := unstructured.NestedString(o.Manifest.Object, "spec", "scaleTargetRef", "name")
	if !is || name == "" {
		return ""
	}
	kind, _, _ := unstructured.NestedString(o.Manifest.Object, "spec", "scaleTargetRef", "kind")
	return cmp.Or(kind, usual) + "/" + o.Manifest.GetNamespace() + "/" + name
}

// ReplicasRemedy is what to do where Git and an autoscaler set one number.
const ReplicasRemedy = "after the hand-over leave the number to the autoscaler by a rule that keeps what is live: spec.ignore of the Kustomization with the path /spec/replicas, which a flux-capacitor has from capacitor.yaml (kustomization.ignore, for the application); replicas that only leave Git would go to 1 for a moment"

// autoscaled finds objects for which Git says how many replicas there are while
// an autoscaler in Git, of whichever repository, says so as well (reference
// H47). Of autoscalers that are live only, the proof tells by what they write.
func autoscaled(plan *Plan, inv Inventory) []Finding {
	by := map[string]string{}
	each := func(visit func(a *Flux1Agent, o *Object)) {
		for i := range inv.Agents {
			for j := range inv.Agents[i].Objects {
				visit(&inv.Agents[i], &inv.Agents[i].Objects[j])
			}
		}
	}
	each(func(_ *Flux1Agent, o *Object) {
		if target := scaledBy(o); target != "" && by[target] == "" {
			by[target] = DisplayID(o.ID)
		}
	})
	var findings []Finding
	each(func(a *Flux1Agent, o *Object) {
		if o.Manifest == nil || !applies(o) {
			return
		}
		scaler := by[o.Manifest.GetKind()+"/"+o.Manifest.GetNamespace()+"/"+o.Manifest.GetName()]
		replicas, says, _ := unstructured.NestedFieldNoCopy(o.Manifest.Object, "spec", "replicas")
		if scaler == "" || !says || replicas == nil || plan.Repository(a.ID) == nil {
			return
		}
		if o.Encrypted {
			replicas = "*** (encrypted)"
		}
		findings = append(findings, Finding{
			Severity: Warning, Code: "REPLICAS_AND_AUTOSCALER", Subject: a.ID + " " + o.ID, Repository: a.ID, Where: fmt.Sprintf("%s:%d", o.File, o.Line),
			Message: fmt.Sprintf("Git says replicas: %v for %s, and %s sets it too; fluxd puts it back at each sync, the new agent whenever it is changed", replicas, DisplayID(o.ID), scaler),
			Hint:    ReplicasRemedy,
		})
	})
	return findings
}
