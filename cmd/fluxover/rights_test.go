package main

import (
	"slices"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

func TestARightIsAskedForEverythingThatGoingBackListsAndWhereItLists(t *testing.T) {
	for engine, home := range map[string]string{"bundled": "agents", "existing": ""} {
		rights := rightsToMigrate(scope{plan: migrate.Plan{ClusterAgent: migrate.ClusterAgent{Engine: engine, Namespace: "agents"}}})
		for _, want := range []right{
			{"list", "coordination.k8s.io", "leases", home, ""},
			{"list", "", "pods", home, ""},
			{"list", "kustomize.toolkit.fluxcd.io", "kustomizations", "", ""},
		} {
			if !slices.Contains(rights, want) {
				t.Errorf("%s: nobody asks for %q", engine, want)
			}
		}
	}
}
