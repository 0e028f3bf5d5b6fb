package cutover

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

func nested(u *unstructured.Unstructured, path ...string) (string, bool, error) {
	return unstructured.NestedString(u.Object, path...)
}

func TestRollbackAfterLaterCommitsMarksOnlyWhatFlux1Loads(t *testing.T) {
	tm := newTeam(t)
	tm.must(tm.migrate())
	// Commit B changes one object, drops another and brings a new one.
	dropped := tm.git["store"][1]
	settings := tm.git["web"][2]
	tm.git["web"][2] = manifest(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: "+tm.shop+", annotations: {team: shop}}\ndata: {colour: red}\n")
	added := manifest(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: added, namespace: "+tm.shop+"}\ndata: {a: b}\n")
	tm.git["store"] = []*unstructured.Unstructured{tm.git["store"][0], added}
	tm.commit, tm.head = commitB, commitB
	for app := range tm.git {
		tm.lab.engine.serve(tm.name+"-"+app, commitB, tm.git[app])
	}
	tm.lab.engine.setHead(tm.name, commitB)
	tm.must(tm.await(func() bool {
		for _, app := range []string{"base", "web", "store"} {
			if applied, _, _ := nested(tm.kustomization(app), "status", "lastAppliedRevision"); applied != "main@sha1:"+commitB {
				return false
			}
		}
		return true
	}))

	plan, err := PlanRollback(tm.ctx(), tm.lab.c, RollbackOptions{Repositories: []string{tm.id}, Head: tm.headObjects})
	tm.must(err)
	if got := plan.Repositories[0]; len(got.LeftGit) != 1 || got.LeftGit[0] != migrate.ObjectID(dropped) || len(got.Changed) != 2 || got.Restored != 4 {
		raw, _ := json.MarshalIndent(plan, "", " ")
		t.Errorf("the rollback's plan:\n%s\n%s", raw, plan.Text())
	}
	tm.must(tm.rollback())

	left, err := tm.lab.c.GetByID(tm.ctx(), migrate.ObjectID(dropped))
	tm.must(err)
	if left.GetLabels()[flux1.MarkLabel] != "" || left.GetLabels()[ownerName] != "" {
		t.Errorf("an object that left Git must carry neither mark nor owner: %v", left.GetLabels())
	}
	if tm.live("Deployment", "web").GetLabels()[flux1.MarkLabel] == "" {
		t.Error("an object with an unchanged manifest must have its mark back")
	}
	changed, err := tm.lab.c.GetByID(tm.ctx(), migrate.ObjectID(settings))
	tm.must(err)
	if changed.GetLabels()[flux1.MarkLabel] != "" || changed.GetLabels()[ownerName] != "" {
		t.Errorf("a changed object waits for the next sync: %v", changed.GetLabels())
	}
	for _, u := range []*unstructured.Unstructured{left, changed} {
		for _, e := range u.GetManagedFields() {
			if e.Manager == engineManager || executors(e) {
				t.Errorf("%s: %s still owns fields", u.GetName(), e.Manager)
			}
		}
	}
	tm.sync() // Flux v1 goes on, at the new head
	for _, name := range []string{"settings", "added"} {
		if tm.live("ConfigMap", name).GetLabels()[flux1.MarkLabel] == "" {
			t.Errorf("%s is not marked by the next sync", name)
		}
	}
	if colour, _, _ := nested(tm.live("ConfigMap", "settings"), "data", "colour"); colour != "red" {
		t.Errorf("a later commit was lost: %s", colour)
	}
}

func (tm *team) await(done func() bool) error {
	ctx, cancel := context.WithTimeout(tm.ctx(), time.Minute)
	defer cancel()
	for !done() {
		if !pause(ctx, 50*time.Millisecond) {
			return errors.New("waited a minute in vain")
		}
	}
	return nil
}

func TestRollbackRefusesARepositoryThatFlux1CannotLoad(t *testing.T) {
	tm := newTeam(t)
	tm.must(tm.migrate())
	after := tm.picture()
	broken := func(context.Context, string) ([]migrate.Object, error) {
		return nil, errors.New("web.yaml:3 does not parse")
	}
	err := tm.rollback(func(o *RollbackOptions) { o.Head = broken })
	if err == nil || !strings.Contains(err.Error(), "web.yaml:3") {
		t.Fatalf("want a refusal that names the file, got %v", err)
	}
	if !strings.Contains(err.Error(), "--ignore-head") {
		t.Errorf("the refusal does not say how to go on: %v", err)
	}
	tm.same("the new agent goes on", withoutRun(after), withoutRun(tm.picture()))
}

func TestRollbackWithoutGitAndWithoutAController(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	tm.must(tm.migrate())
	tm.lab.engine.pause(true)
	defer tm.lab.engine.pause(false)
	playStock(t, tm.lab, 0)
	tm.must(tm.rollback(func(o *RollbackOptions) { o.Head, o.Limits.Echo = nil, 2*time.Second }))
	tm.same("after rollback with the engine dead", before, tm.picture())
}

func TestAFailedAdoptionIsRolledBackOnRequest(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	tm.lab.engine.fail(tm.name+"-store", "dry-run failed: Secret is invalid")
	defer tm.lab.engine.fail(tm.name+"-store", "")
	err := tm.migrate(func(o *Options) { o.OnFailure = RollBack })
	var step *StepError
	if !errors.As(err, &step) || step.Step != "adopt" || !strings.Contains(err.Error(), "Secret is invalid") {
		t.Fatalf("want the agent's message from step adopt, got %v", err)
	}
	if got := tm.status(); got.Phase != PhaseRolledBack {
		t.Errorf("status: %+v", got)
	}
	tm.same("everything is as before", before, tm.picture())
}

func TestAFailedAdoptionIsLeftForAPersonByDefaultAndGoesOnLater(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	tm.lab.engine.fail(tm.name+"-store", "broken")
	if err := tm.migrate(); err == nil {
		t.Fatal("want a failure")
	}
	if got := tm.status(); got.Phase != PhaseFailed || !strings.Contains(got.Message, "broken") {
		t.Errorf("status: %+v", got)
	}
	tm.lab.engine.fail(tm.name+"-store", "")
	tm.must(tm.migrate())
	tm.must(tm.rollback())
	tm.same("everything is as before", before, tm.picture())
}

func TestAChangeThatWasNotForetoldFailsVerification(t *testing.T) {
	tm := newTeam(t)
	delete(tm.verbs, "Deployment/web")
	tm.plan = tm.makePlan()
	err := tm.migrate()
	if !errors.Is(err, ErrPredictionFailed) || !strings.Contains(err.Error(), "minReadySeconds") {
		t.Fatalf("want the field named, got %v", err)
	}
	if prune, _, _ := unstructured.NestedBool(tm.kustomization("web").Object, "spec", "prune"); prune {
		t.Error("a repository that does not verify must not be allowed to delete")
	}
}

func TestASecondOperatorIsRefusedByName(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	s, err := begin(tm.ctx(), tm.lab.c, Identity{User: "carol", Host: "bastion", Command: "fluxover migrate"}, func(Event) {}, nil)
	tm.must(err)
	err = tm.migrate()
	var locked *LockedError
	if !errors.As(err, &locked) || locked.User != "carol" || locked.Host != "bastion" || locked.Since.IsZero() || !errors.Is(err, ErrLocked) {
		t.Errorf("want to be told who is at work, got %v", err)
	}
	if err := tm.rollback(); err == nil {
		t.Error("a rollback beside a migration must be refused as well")
	}
	report, err := Status(tm.ctx(), tm.lab.c)
	tm.must(err)
	if report.Operator == nil || report.Operator.User != "carol" || report.Operator.Expired {
		t.Errorf("status: %+v", report.Operator)
	}
	tm.must(s.end(nil))
	tm.same("nothing was changed", before, tm.picture())
	tm.must(tm.migrate())
}

func TestPauseHoldsBeforeTheNextStepAndAbortGoesBack(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	who := Identity{User: "dave", Host: "phone"}
	// Paused in the middle of the cut-over: it stops after the adoption, not
	// while no engine works.
	pauseInTheGap := func(_, step string, when When) bool {
		if step == "top-up" && when == AfterStarted {
			tm.must(Pause(tm.ctx(), tm.lab.c, who))
		}
		return false
	}
	ended := make(chan error, 1)
	go func() { ended <- tm.migrate(func(o *Options) { o.Crash, o.Hold = pauseInTheGap, time.Hour }) }()
	tm.must(tm.await(func() bool { return tm.journal().state("adopt") == Done }))
	_, err := Resume(tm.ctx(), tm.lab.c, who)
	tm.must(err)
	tm.must(tm.await(func() bool { return tm.status().Phase == PhaseHolding }))
	abort := make(chan error, 1)
	go func() {
		abort <- Abort(tm.ctx(), tm.lab.c, RollbackOptions{Repositories: []string{tm.id}, Identity: who, Head: tm.headObjects, Limits: testLimits}, nil)
	}()
	if err := <-ended; !errors.Is(err, ErrAborted) {
		t.Errorf("the migration says: %v", err)
	}
	tm.must(<-abort)
	if got := tm.status(); got.Phase != PhaseAborted {
		t.Errorf("status: %+v", got)
	}
	tm.same("everything is as before", before, tm.picture())
	tm.must(tm.migrate())
}

func (tm *team) journal() *journal {
	tm.t.Helper()
	loaded, err := (store{c: tm.lab.c}).load(tm.ctx(), tm.id)
	tm.must(err)
	if loaded == nil {
		return &journal{}
	}
	return loaded
}

func TestWhatOthersMadeIsNeverTouched(t *testing.T) {
	tm := newTeam(t)
	k := shape(tm.plan.Repositories[0].Kustomizations[1], staged)
	_, err := tm.lab.c.Apply(tm.ctx(), k, "somebody")
	tm.must(err)
	before := tm.picture()
	err = tm.migrate()
	if err == nil || !strings.Contains(err.Error(), "not made by fluxover") {
		t.Fatalf("want a refusal that names it, got %v", err)
	}
	tm.must(tm.rollback())
	tm.same("after rollback", before, tm.picture())

	r := &repository{env: &env{c: tm.lab.c, run: "other", emit: func(Event) {}, limits: defaultLimits}, id: tm.id, j: &journal{}}
	live := tm.live("ConfigMap", "settings")
	err = r.remove(tm.ctx(), created{APIVersion: "v1", Kind: "ConfigMap", Namespace: tm.shop, Name: "settings", UID: live.GetUID()}, nil)
	if !errors.Is(err, ErrBudget) {
		t.Fatalf("a workload is never deleted, got %v", err)
	}
	tm.live("ConfigMap", "settings")
}

func TestAnInterruptIsNoFailureAndIsNotHeardWhileNoEngineWorks(t *testing.T) {
	tm := newTeam(t)
	for _, c := range []struct {
		at    string
		phase Phase
		done  string
	}{
		{at: "stage", phase: PhasePending, done: "credentials"},
		{at: "top-up", phase: PhaseVerifying, done: "adopt"},
	} {
		ctx, cancel := context.WithCancel(tm.ctx())
		o := tm.options()
		o.Crash = func(_, step string, when When) bool {
			if step == c.at && when == AfterStarted {
				cancel()
			}
			return false
		}
		err := New(tm.lab.c, tm.plan, tm.replan, o, nil).Migrate(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted at %s: %v", c.at, err)
		}
		if got := tm.status(); got.Phase != c.phase || tm.journal().state(c.done) != Done {
			t.Errorf("interrupted at %s: %+v", c.at, got)
		}
	}
	tm.must(tm.migrate())
	if got := tm.status(); got.Phase != PhaseSettled {
		t.Errorf("%+v", got)
	}
}

func TestAnOldAgentThatComesBackDuringACrashIsStoppedBeforeAdoption(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	hit := false
	tm.crash = crashPoint{"adopt", AfterStarted}.at(&hit)
	if err := tm.migrate(); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	tm.crash = nil
	tm.breakLease()
	if out, err := tm.kubectl(false, "", "-n", tm.flux, "patch", "deployment", "flux", "--field-manager=helm", "--type=merge", "-p", `{"spec":{"replicas":1}}`); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tm.awaitReady()
	tm.must(tm.migrate())
	pods, err := tm.lab.c.Kube.CoreV1().Pods(tm.flux).List(tm.ctx(), metav1.ListOptions{LabelSelector: "test=flux1"})
	tm.must(err)
	if len(pods.Items) != 0 {
		t.Error("a pod of the old agent runs beside the new one")
	}
	tm.must(tm.rollback())
	tm.same("after rollback", before, tm.picture())
}

// together gives the plan of two teams, the second in a later wave, and how it
// is made anew. change is given the plan of the first.
func together(first, second *team, change func(*migrate.Plan)) (both func() migrate.Plan, replan Replan) {
	both = func() migrate.Plan {
		plan, other := first.makePlan(), second.makePlan()
		change(&plan)
		other.Repositories[0].Wave = 2
		plan.Repositories = append(plan.Repositories, other.Repositories...)
		plan.Sources = append(plan.Sources, other.Sources...)
		plan.Credentials = append(plan.Credentials, other.Credentials...)
		plan.Inputs.Agents[second.id] = other.Inputs.Agents[second.id]
		return plan
	}
	return both, func(context.Context, []string) (migrate.Inventory, migrate.Plan, error) {
		return migrate.Inventory{Agents: []migrate.Flux1Agent{first.agent(), second.agent()}}, both(), nil
	}
}

func TestAFailureStopsLaterWavesUnlessToldToContinue(t *testing.T) {
	bad, good := newTeam(t), newTeam(t)
	both, replan := together(bad, good, func(*migrate.Plan) {})
	before := good.picture()
	bad.lab.engine.fail(bad.name+"-web", "broken")
	defer bad.lab.engine.fail(bad.name+"-web", "")
	run := func(f OnFailure) error {
		o := bad.options()
		o.OnFailure = f
		return New(bad.lab.c, both(), replan, o, nil).Migrate(bad.ctx())
	}
	if err := run(Stop); err == nil || !strings.Contains(err.Error(), bad.id) || strings.Contains(err.Error(), good.id) {
		t.Fatalf("want the failure of %s alone, got %v", bad.id, err)
	}
	if got := good.status(); got.Phase != PhasePending {
		t.Errorf("the other one: %+v", got)
	}
	good.same("the other one is untouched", before, good.picture())
	if err := run(Continue); err == nil {
		t.Fatal("the failure must be reported")
	}
	if got := good.status(); got.Phase != PhaseSettled {
		t.Errorf("the other one: %+v", got)
	}
	if got := bad.status(); got.Phase != PhaseFailed {
		t.Errorf("the failed one: %+v", got)
	}
}

func TestAHeldBackRepositoryStopsNobodyElse(t *testing.T) {
	bad, good := newTeam(t), newTeam(t)
	both, replan := together(bad, good, func(plan *migrate.Plan) {
		plan.Repositories[0].Blocked = true
		plan.Findings = append(plan.Findings, migrate.Finding{Severity: migrate.Blocker, Code: "X", Subject: bad.id, Repository: bad.id, Message: "held back"})
	})
	before := bad.picture()
	o := bad.options()
	o.OnFailure = Stop
	if err := New(bad.lab.c, both(), replan, o, nil).Migrate(bad.ctx()); !errors.Is(err, ErrBlocked) {
		t.Fatalf("want %v, got %v", ErrBlocked, err)
	}
	if got := good.status(); got.Phase != PhaseSettled {
		t.Errorf("the other one: %+v", got)
	}
	bad.same("the one held back is untouched", before, bad.picture())
}
