package discover

import (
	"fmt"
	"strings"
	"testing"
)

// fluxdNamed is a Deployment of fluxd, of a Helm release if one is named.
func fluxdNamed(name, release string, args ...string) string {
	labels := "{}"
	if release != "" {
		labels = "{heritage: Helm, release: " + release + "}"
	}
	return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s, namespace: flux, labels: %s}\nspec:\n  selector: {matchLabels: {name: %[1]s}}\n  template:\n    metadata: {labels: {name: %[1]s}}\n"+
		"    spec:\n      containers:\n      - name: flux\n        image: fluxcd/flux:1.25.4\n        args: [%[3]s]\n        env: [{name: OF_THE_POD, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]\n---\n",
		name, labels, strings.Join(append([]string{`"--git-url=https://h/` + name + `"`}, args...), ", "))
}

// A release may have the name of a Deployment that another agent is, and then they
// are two agents with an id each; what Terraform declares stays with its own.
func TestTwoAgentsNeverHaveOneID(t *testing.T) {
	inv := liveIn(t, fluxdNamed("shop-flux", "shop")+fluxdNamed("shop", "")+fluxdNamed("pay", "shop-flux")+fluxdNamed("alone-flux", "alone"))
	equal(t, "agents", agentIDs(inv), []string{"flux/alone", "flux/pay", "flux/shop", "flux/shop-flux"})
	said(t, inv, AmbiguousRelease.Name, "flux/shop-flux", "another agent has the name of release flux/shop")
	said(t, inv, AmbiguousRelease.Name, "flux/pay", "another agent has the name of release flux/shop-flux")
	urls := map[string]string{}
	for _, a := range inv.Agents {
		urls[a.ID] = a.Git.URL
	}
	equal(t, "shop", []string{urls["flux/shop"], urls["flux/shop-flux"]}, []string{"https://h/shop", "https://h/shop-flux"})

	merged := Merge(inv, declaredBy(t, map[string]string{"main.tf": ordinaryRelease}))
	for _, a := range merged.Agents {
		if (a.Terraform != nil) != (a.ID == "flux/shop-flux") {
			t.Errorf("%s is declared as %+v", a.ID, a.Terraform)
		}
	}
}
