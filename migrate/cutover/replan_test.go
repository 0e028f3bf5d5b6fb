package cutover

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

const scaledID = "shop_web_apps_Deployment"

// replanned is a Repository whose plan, made anew each time, holds one object; plan
// changes what comes next, and git what Git says of the object.
func replanned(t *testing.T, first migrate.ObjectPlan) (r *repository, plan func(migrate.ObjectPlan, ...migrate.Finding), git *migrate.ObjectInputs) {
	t.Helper()
	var next migrate.Plan
	git = &migrate.ObjectInputs{Rendered: "web:1", Replicas: "3"}
	plan = func(o migrate.ObjectPlan, findings ...migrate.Finding) {
		o.ID = scaledID
		next = migrate.Plan{Repositories: []migrate.Repository{{ID: "flux/a", Objects: []migrate.ObjectPlan{o}}}}
		inputs := migrate.ObjectInputs{Rendered: git.Rendered + " " + git.Replicas, Replicas: git.Replicas, Live: "live"}
		if o.Verb == migrate.Change {
			inputs.Change = "from 5 to " + strings.Join(o.Fields, " ")
			findings = append(findings, migrate.Finding{Severity: migrate.Blocker, Code: "OBJECT_CHANGES", Subject: "flux/a " + scaledID, Acceptable: true})
		}
		next.Inputs.Objects = map[string]map[string]migrate.ObjectInputs{"flux/a": {scaledID: inputs}}
		for _, f := range findings {
			f.Repository = "flux/a"
			next.Findings = append(next.Findings, f)
		}
		next.Settle([]migrate.Decision{{Code: "OBJECT_CHANGES", Subject: "flux/a " + scaledID}})
	}
	r = &repository{env: &env{emit: func(Event) {}}, id: "flux/a", j: &journal{Repository: "flux/a"}}
	r.replan = func(context.Context, []string) (migrate.Inventory, migrate.Plan, error) {
		return migrate.Inventory{Agents: []migrate.Flux1Agent{{ID: "flux/a", Namespace: "flux", Workload: "a"}}}, next, nil
	}
	plan(first)
	slice, err := slicePlan(&next, "flux/a")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.j.setPlan(slice); err != nil {
		t.Fatal(err)
	}
	return r, plan, git
}

// The old agent puts the number back at each sync, and the autoscaler sets it again
// soon after: what was accepted comes and goes with that.
func TestAnAcceptedNumberOfReplicasMayBeSoAlreadyAndBeSetAgain(t *testing.T) {
	scaled := migrate.ObjectPlan{Verb: migrate.Change, Fields: []string{".spec.replicas"}}
	same := migrate.ObjectPlan{Verb: migrate.Adopt}
	r, plan, git := replanned(t, scaled)
	for i, o := range []migrate.ObjectPlan{same, scaled, same, same} {
		plan(o)
		if err := r.predictAgain(t.Context(), "recheck"); err != nil {
			t.Fatalf("plan %d, in which it is to %s: %v", i+1, o.Verb, err)
		}
		// Whatever the number is when it is adopted, that it changes was foretold.
		if got := r.j.plan.Repository.Objects[0]; !foretold(".spec.replicas", got) {
			t.Errorf("plan %d: %+v", i+1, got)
		}
	}
	plan(scaled, migrate.Finding{Severity: migrate.Warning, Code: "ANOTHER", Subject: scaledID})
	if err := r.predictAgain(t.Context(), "recheck"); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "ANOTHER") || strings.Contains(err.Error(), "verbs") {
		t.Errorf("another finding: %v", err)
	}
	git.Rendered = "web:2"
	for _, o := range []migrate.ObjectPlan{same, scaled, same} {
		plan(o)
		if err := r.predictAgain(t.Context(), "recheck"); err != nil {
			t.Errorf("another image, of which Git says as many replicas, and it is to %s: %v", o.Verb, err)
		}
	}
	git.Replicas = "20"
	plan(same)
	if err := r.predictAgain(t.Context(), "recheck"); !errors.Is(err, ErrMoved) {
		t.Errorf("it is as Git says, which is another number than was reviewed: %v", err)
	}
}

// Plans of before the number was noted by itself hold but the whole of what Git says.
func TestWhereTheNumberOfReplicasIsNotNotedGitMustSayTheSame(t *testing.T) {
	scaled := migrate.ObjectPlan{Verb: migrate.Change, Fields: []string{".spec.replicas"}}
	for image, moved := range map[string]bool{"web:1": false, "web:2": true} {
		r, plan, git := replanned(t, scaled)
		noted := r.j.plan.Inputs[scaledID]
		noted.Replicas = ""
		r.j.plan.Inputs[scaledID] = noted
		git.Rendered = image
		plan(migrate.ObjectPlan{Verb: migrate.Adopt})
		if err := r.predictAgain(t.Context(), "recheck"); errors.Is(err, ErrMoved) != moved {
			t.Errorf("%s: %v", image, err)
		}
	}
}

func TestANumberOfReplicasThatNobodyAcceptedIsAMove(t *testing.T) {
	for name, c := range map[string]struct{ was, is migrate.ObjectPlan }{
		"it was as Git says":         {migrate.ObjectPlan{Verb: migrate.Adopt}, migrate.ObjectPlan{Verb: migrate.Change, Fields: []string{".spec.replicas"}}},
		"more would change":          {migrate.ObjectPlan{Verb: migrate.Change, Fields: []string{".spec.replicas"}}, migrate.ObjectPlan{Verb: migrate.Change, Fields: []string{".spec.paused", ".spec.replicas"}}},
		"another field does no more": {migrate.ObjectPlan{Verb: migrate.Change, Fields: []string{".spec.paused"}}, migrate.ObjectPlan{Verb: migrate.Adopt}},
		"it would not be taken over": {migrate.ObjectPlan{Verb: migrate.Change, Fields: []string{".spec.replicas"}}, migrate.ObjectPlan{Verb: migrate.Skip}},
	} {
		r, plan, _ := replanned(t, c.was)
		plan(c.is)
		if err := r.predictAgain(t.Context(), "recheck"); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "verbs") {
			t.Errorf("%s: want ErrMoved for its verb, got %v", name, err)
		}
	}
}

// Who may no longer look for the agent does not see that it is gone.
func TestAnAgentThatMayNotBeLookedForIsNotGone(t *testing.T) {
	unknown := migrate.Finding{Severity: migrate.Blocker, Code: "AGENTS_UNKNOWN", Message: "you may not list deployments.apps", Hint: "have the right granted"}
	for _, findings := range [][]migrate.Finding{nil, {unknown}} {
		r, _, _ := replanned(t, migrate.ObjectPlan{Verb: migrate.Adopt})
		r.replan = func(context.Context, []string) (migrate.Inventory, migrate.Plan, error) {
			return migrate.Inventory{Findings: findings}, migrate.Plan{}, nil
		}
		err := r.predictAgain(t.Context(), "recheck")
		if gone := len(findings) == 0; errors.Is(err, ErrMoved) != gone || errors.Is(err, ErrBlocked) == gone || !gone && (!strings.Contains(err.Error(), unknown.Message) || !strings.Contains(err.Error(), unknown.Hint)) {
			t.Errorf("%v: %v", findings, err)
		}
	}
}

// The plan that is made next, as the old account, is clean: the server's words stand
// nowhere else.
func TestWhatBlocksANewPlanIsSaidBesideWhatMoved(t *testing.T) {
	r, plan, _ := replanned(t, migrate.ObjectPlan{Verb: migrate.Adopt})
	plan(migrate.ObjectPlan{Verb: migrate.Conflict}, migrate.Finding{Severity: migrate.Blocker, Code: "DRY_RUN_REFUSED", Subject: scaledID, Message: "policy no-privileged said no"})
	err := r.predictAgain(t.Context(), "stage")
	if !errors.Is(err, ErrMoved) || !errors.Is(err, ErrBlocked) || !strings.Contains(err.Error(), "policy no-privileged said no") {
		t.Errorf("want what moved, and the server's words, got %v", err)
	}
}

// A journal or plan file of another version holds a finding that it graded otherwise.
func TestWhatIsAcceptedMayHaveBeenGradedOtherwise(t *testing.T) {
	changes := migrate.ObjectPlan{Verb: migrate.Change, Fields: []string{".data.key"}}
	const gone = "OWNER_GONE"
	for name, c := range map[string]struct {
		was      migrate.Finding // of the old plan, in place of what it says now
		is       migrate.Finding
		accepted bool
		moved    string
	}{
		"it was a warning":                     {was: migrate.Finding{Severity: migrate.Warning, Code: gone, Acceptable: true}, is: migrate.Finding{Severity: migrate.Blocker, Code: gone, Acceptable: true}, accepted: true},
		"it was one that none could accept":    {was: migrate.Finding{Severity: migrate.Warning, Code: gone}, is: migrate.Finding{Severity: migrate.Blocker, Code: gone, Acceptable: true}, accepted: true},
		"it is a warning":                      {was: migrate.Finding{Severity: migrate.Blocker, Code: gone, Acceptable: true}, is: migrate.Finding{Severity: migrate.Warning, Code: gone}},
		"it is not accepted":                   {was: migrate.Finding{Severity: migrate.Warning, Code: gone, Acceptable: true}, is: migrate.Finding{Severity: migrate.Blocker, Code: gone, Acceptable: true}, moved: "new: blocker OWNER_GONE"},
		"it is another finding, and accepted":  {was: migrate.Finding{Severity: migrate.Warning, Code: "ANOTHER", Acceptable: true}, is: migrate.Finding{Severity: migrate.Blocker, Code: gone, Acceptable: true}, accepted: true, moved: "OWNER_GONE"},
		"none of both could ever be accepted":  {was: migrate.Finding{Severity: migrate.Info, Code: "ANOTHER"}, is: migrate.Finding{Severity: migrate.Warning, Code: "ANOTHER"}, moved: "new: warning ANOTHER"},
		"what is accepted is of another thing": {was: migrate.Finding{Severity: migrate.Warning, Code: gone, Subject: "flux/a other__v1_Other"}, is: migrate.Finding{Severity: migrate.Blocker, Code: gone, Acceptable: true}, accepted: true, moved: "OWNER_GONE"},
	} {
		planned := func(f migrate.Finding, accepted bool) *migrate.Plan {
			f.Repository, f.Subject = "flux/a", cmp.Or(f.Subject, "flux/a "+scaledID)
			o := changes
			o.ID = scaledID
			p := &migrate.Plan{Repositories: []migrate.Repository{{ID: "flux/a", Objects: []migrate.ObjectPlan{o}}}, Findings: []migrate.Finding{f}}
			var decisions []migrate.Decision
			if accepted {
				decisions = []migrate.Decision{{Code: f.Code, Subject: "*"}}
			}
			p.Settle(decisions)
			return p
		}
		moved, err := Moved(planned(c.was, true), planned(c.is, c.accepted), "flux/a", CommitsEquivalent)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(moved, "; "); (got == "") != (c.moved == "") || !strings.Contains(got, c.moved) {
			t.Errorf("%s: %q moved, want %q", name, got, c.moved)
		}
	}
}
