package cutover

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// remake deletes a Kustomization and makes it anew, as somebody does with
// kubectl and the emitted file; change may alter the file.
func (tm *team) remake(app string, change func(*unstructured.Unstructured)) *unstructured.Unstructured {
	tm.t.Helper()
	old := tm.kustomization(app)
	tm.must(tm.lab.c.Delete(tm.ctx(), old, cluster.DeleteOptions{}))
	tm.must(tm.await(func() bool {
		_, err := tm.lab.c.Get(tm.ctx(), kustomizationKind, migrate.AgentNamespace, tm.name+"-"+app)
		return cluster.IsGone(err)
	}))
	i := slices.IndexFunc(tm.plan.Repositories[0].Kustomizations, func(k *unstructured.Unstructured) bool { return k.GetName() == tm.name+"-"+app })
	k := tm.plan.Repositories[0].Kustomizations[i].DeepCopy()
	if change != nil {
		change(k)
	}
	made, err := tm.lab.c.Create(tm.ctx(), k, "kubectl-create")
	tm.must(err)
	return made
}

// awaitApplied waits until a Kustomization lists what it applied.
func (tm *team) awaitApplied(name string) {
	tm.t.Helper()
	tm.must(tm.await(func() bool {
		k, err := tm.lab.c.Get(tm.ctx(), kustomizationKind, migrate.AgentNamespace, name)
		return err == nil && len(inventoryOf(k)) > 0
	}))
}

func (tm *team) suspend(name string) {
	tm.t.Helper()
	if out, err := tm.kubectl(false, "", "-n", migrate.AgentNamespace, "patch", "kustomization", name, "--type=merge", "-p", `{"spec":{"suspend":true,"deletionPolicy":"Orphan"}}`); err != nil {
		tm.t.Fatalf("%v\n%s", err, out)
	}
}

// drop removes a Kustomization that a test made.
func (tm *team) drop(name string) {
	tm.t.Helper()
	k, err := tm.lab.c.Get(tm.ctx(), kustomizationKind, migrate.AgentNamespace, name)
	tm.must(err)
	tm.must(tm.lab.c.Delete(tm.ctx(), k, cluster.DeleteOptions{}))
	tm.must(tm.await(func() bool {
		_, err := tm.lab.c.Get(tm.ctx(), kustomizationKind, migrate.AgentNamespace, name)
		return cluster.IsGone(err)
	}))
}

func TestAKustomizationReMadeByHandIsSuspendedNamedAndLeft(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	tm.must(tm.migrate())
	made := tm.remake("web", nil)
	tm.awaitApplied(made.GetName())
	name := cluster.Describe(made)

	plan, err := PlanRollback(tm.ctx(), tm.lab.c, RollbackOptions{Repositories: []string{tm.id}, Head: tm.headObjects})
	tm.must(err)
	if got := plan.Repositories[0]; got.Blocked != "" || !slices.Equal(got.Left, []string{name}) || !strings.Contains(plan.Text(), name) {
		t.Errorf("the rollback's plan does not say what stays:\n%s", plan.Text())
	}
	tm.must(tm.rollback())
	live := tm.kustomization("web")
	if policy, _, _ := nested(live, "spec", "deletionPolicy"); live.GetUID() != made.GetUID() || !suspended(live) || policy != "Orphan" {
		t.Errorf("want it suspended with Orphan and not removed: %v", live.Object["spec"])
	}
	if got := tm.status(); got.Phase != PhaseRolledBack || !strings.Contains(got.Message, name) {
		t.Errorf("status does not name it: %+v", got)
	}
	if !slices.ContainsFunc(tm.events, func(e Event) bool { return strings.Contains(e.Message, name) }) {
		t.Error("the run did not name it")
	}
	if err := tm.migrate(); err == nil || !strings.Contains(err.Error(), made.GetName()) {
		t.Errorf("a migration must not take it over unasked: %v", err)
	}
	tm.must(tm.rollback())
	tm.drop(made.GetName())
	tm.same("without it", before, tm.picture())
	tm.must(tm.migrate())
}

func TestAKustomizationThatLostItsMarkIsStillKnownByItsUID(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	tm.must(tm.migrate())
	if out, err := tm.kubectl(false, "", "-n", migrate.AgentNamespace, "annotate", "kustomization", tm.name+"-web", annotationRun+"-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tm.must(tm.rollback())
	tm.same("rolled back", before, tm.picture())
}

func TestNoRollbackBeginsWhileAStrangerAppliesTheObjects(t *testing.T) {
	tm := newTeam(t)
	tm.must(tm.migrate())
	stranger := func(name string) *unstructured.Unstructured {
		k := tm.plan.Repositories[0].Kustomizations[0].DeepCopy()
		for _, p := range tm.plan.Repositories[0].Kustomizations {
			if p.GetName() == tm.name+"-web" {
				k = p.DeepCopy()
			}
		}
		k.SetName(name)
		k.SetLabels(nil)
		k.SetAnnotations(nil)
		unstructured.RemoveNestedField(k.Object, "spec", "dependsOn")
		return k
	}
	refused := func(what, name string) {
		t.Helper()
		tm.must(tm.await(func() bool { // what is under way has ended
			return caughtUp(tm.kustomization("base"))
		}))
		after := withoutRun(tm.picture())
		for _, head := range []HeadFunc{tm.headObjects, nil} {
			err := tm.rollback(func(o *RollbackOptions) { o.Head = head })
			var step *StepError
			if err == nil || errors.As(err, &step) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "suspend") {
				t.Fatalf("%s: want a refusal that names it and the remedy, got %v", what, err)
			}
			plan, err := PlanRollback(tm.ctx(), tm.lab.c, RollbackOptions{Repositories: []string{tm.id}, Head: head})
			tm.must(err)
			if !strings.Contains(plan.Repositories[0].Blocked, name) {
				t.Errorf("%s: the plan does not say so:\n%s", what, plan.Text())
			}
		}
		tm.same(what+": nothing was changed", after, withoutRun(tm.picture()))
	}

	// One of another name that applies the same objects.
	other := tm.name + "-theirs"
	tm.lab.engine.serve(other, commitA, tm.git["web"])
	_, err := tm.lab.c.Create(tm.ctx(), stranger(other), "somebody")
	tm.must(err)
	tm.awaitApplied(other)
	refused("another name", other)
	tm.suspend(other)

	// One of a planned name that reads something else.
	tm.remake("store", func(k *unstructured.Unstructured) {
		tm.must(unstructured.SetNestedField(k.Object, "another", "spec", "sourceRef", "name"))
	})
	refused("another source", tm.name+"-store")
	tm.suspend(tm.name + "-store")

	tm.must(tm.rollback())
	if got := tm.status(); got.Phase != PhaseRolledBack {
		t.Errorf("with both suspended: %+v", got)
	}
	tm.drop(other)
	tm.drop(tm.name + "-store")
}

func TestAKustomizationMadeWhileTheRunWasDeadIsStoppedBeforeTheFenceIsLifted(t *testing.T) {
	tm := newTeam(t)
	hit := false
	tm.crash = crashPoint{"top-up", AfterStarted}.at(&hit)
	if err := tm.migrate(); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	tm.crash = nil
	tm.breakLease()
	made := tm.remake("web", nil)
	fenced := true
	watch := func(_, step string, when When) bool {
		if step == "undo-fence" && when == AfterStarted {
			fenced = suspended(tm.kustomization("web"))
		}
		return false
	}
	tm.must(tm.rollback(func(o *RollbackOptions) { o.Crash = watch }))
	if !fenced || !suspended(tm.kustomization("web")) {
		t.Error("it was at work when the fence was lifted")
	}
	if got := tm.status(); got.Phase != PhaseRolledBack || !strings.Contains(got.Message, made.GetName()) {
		t.Errorf("status: %+v", got)
	}
	tm.drop(made.GetName())
}
