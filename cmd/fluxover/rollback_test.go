package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate/cutover"
)

func TestAWayBackThatIsNotOpenIsNamedAndEndsWithOne(t *testing.T) {
	plan := cutover.RollbackPlan{Repositories: []cutover.RepositoryReturn{{ID: "flux/a"}, {ID: "flux/b", Blocked: "its snapshot is gone"}}}
	err := cannotReturn(plan)
	var exit *exitError
	if !errors.As(err, &exit) || exit.Code != exitFailed || !strings.Contains(exit.Err.Error(), "flux/b") || strings.Contains(exit.Err.Error(), "flux/a") {
		t.Errorf("got %v", err)
	}
	plan.Repositories = plan.Repositories[:1]
	if err := cannotReturn(plan); err != nil {
		t.Errorf("an open way: %v", err)
	}
}
