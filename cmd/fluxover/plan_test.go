package main

import (
	"errors"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

func TestThePlanOfWhatIsSettledExitsWithZero(t *testing.T) {
	plan := func(repositories ...migrate.Repository) migrate.Plan { return migrate.Plan{Repositories: repositories} }
	a, b := migrate.Repository{ID: "flux/a"}, migrate.Repository{ID: "flux/b"}
	blocked := migrate.Repository{ID: "flux/b", Blocked: true}
	ofCluster := plan(a)
	ofCluster.Findings = []migrate.Finding{{Code: "RBAC_MISSING", Severity: migrate.Blocker, Subject: "list deployments", Acceptable: true}}
	accepted := ofCluster
	accepted.Accepted = []migrate.Decision{{Code: "RBAC_MISSING", Subject: "list deployments"}}
	none, onlyA, onlyB, both := map[string]bool{}, map[string]bool{"flux/a": true}, map[string]bool{"flux/b": true}, map[string]bool{"flux/a": true, "flux/b": true}
	for name, c := range map[string]struct {
		plan     migrate.Plan
		detailed bool
		settled  map[string]bool
		want     int
	}{
		"nothing was begun":                    {plan(a, b), true, none, exitDifferences},
		"no cluster was asked":                 {plan(a, b), true, nil, exitDifferences},
		"one is left":                          {plan(a, b), true, onlyA, exitDifferences},
		"the last one is held back":            {plan(a, blocked), true, onlyA, exitBlocked},
		"held back, and something to do":       {plan(a, blocked), true, none, exitBlocked},
		"what is settled is not held back":     {plan(a, blocked), true, onlyB, exitDifferences},
		"all are settled":                      {plan(a, blocked), true, both, exitDone},
		"only a settled one was asked for":     {plan(a), true, onlyA, exitDone},
		"others are settled":                   {plan(a), true, onlyB, exitDifferences},
		"not all can be seen":                  {ofCluster, true, both, exitBlocked},
		"not all can be seen, and that is so":  {accepted, true, both, exitDone},
		"no repository":                        {plan(), true, both, exitBlocked},
		"nobody asked whether there is a rest": {plan(a, b), false, nil, exitDone},
		"nobody asked, and one is held back":   {plan(a, blocked), false, nil, exitBlocked},
	} {
		got := exitDone
		var exit *exitError
		if err := outcome(c.plan, c.detailed, c.settled); errors.As(err, &exit) {
			got = exit.Code
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got != c.want {
			t.Errorf("%s: exit code %d, want %d", name, got, c.want)
		}
	}
}
