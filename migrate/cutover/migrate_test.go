package cutover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

const childVariable = "FLUXOVER_CUTOVER_CHILD"

// child is this test binary run as an operator of its own: it migrates what
// the parent planned, and kills itself where the parent said.
func child(spec string) int {
	var job childJob
	if err := json.Unmarshal([]byte(spec), &job); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	getter := genericclioptions.NewConfigFlags(false)
	getter.KubeConfig = &job.Kubeconfig
	c, err := cluster.New(getter)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	replan := func(context.Context, []string) (migrate.Inventory, migrate.Plan, error) {
		return migrate.Inventory{Agents: []migrate.Flux1Agent{job.agent()}}, job.Plan, nil
	}
	o := Options{SyncWait: -1, Limits: testLimits, Identity: Identity{User: "child", Command: "fluxover migrate"}}
	o.Crash = func(_, step string, when When) bool {
		if step != job.DieIn || when != job.DieWhen {
			return false
		}
		if p, err := os.FindProcess(os.Getpid()); err != nil || p.Kill() != nil {
			return true
		}
		select {} // the signal is on its way
	}
	if err := New(c, job.Plan, replan, o, nil).Migrate(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// childJob crosses the border between the processes. The fields of the agent
// that its JSON form leaves out go apart.
type childJob struct {
	Kubeconfig string
	Plan       migrate.Plan
	Agent      migrate.Flux1Agent
	Replicas   int32
	Selector   *metav1.LabelSelector
	Objects    []migrate.Object
	Marked     []string
	DieIn      string
	DieWhen    When
}

func (j childJob) agent() migrate.Flux1Agent {
	a := j.Agent
	a.Replicas, a.Selector, a.Objects, a.Marked = j.Replicas, j.Selector, j.Objects, j.Marked
	return a
}

func TestAKilledProcessIsFollowedByTheNextWithoutWaitingForTheLease(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	agent := tm.agent()
	for _, point := range []crashPoint{{"adopt", AfterStarted}, {"fence", BeforeDone}} {
		job, err := json.Marshal(childJob{
			Kubeconfig: tm.lab.cp.Kubeconfig, Plan: tm.plan, Agent: agent,
			Replicas: agent.Replicas, Selector: agent.Selector, Objects: agent.Objects, Marked: agent.Marked,
			DieIn: point.step, DieWhen: point.when,
		})
		tm.must(err)
		cmd := exec.CommandContext(tm.ctx(), os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+string(job))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("want it killed, got %v\n%s", err, out)
		}
		report, err := Status(tm.ctx(), tm.lab.c)
		tm.must(err)
		if report.Operator == nil || report.Operator.User != "child" {
			t.Errorf("the dead one still holds the Lease: %+v", report.Operator)
		}
		tm.must(tm.migrate(func(o *Options) { o.Identity.Host = "" }))
		tm.must(tm.rollback())
		tm.same("killed, resumed and rolled back", before, tm.picture())
	}
}

func TestThereAndBackAndThereAgain(t *testing.T) {
	tm := newTeam(t)
	before, uids := tm.picture(), tm.uids()

	tm.must(tm.migrate())
	if got := tm.status(); got.Phase != PhaseSettled || got.Gap == nil {
		t.Fatalf("after migrate: %+v", got)
	}
	t.Logf("gap %s", tm.status().Gap.Duration)
	first := tm.picture()
	if cmp.Equal(normal(t, before), normal(t, first)) {
		t.Fatal("the picture does not show the migration: it could not show a failed rollback either")
	}
	web := tm.live("Deployment", "web")
	if web.GetLabels()[ownerName] != tm.name+"-web" || web.GetLabels()[flux1.MarkLabel] != "" {
		t.Errorf("labels after adoption: %v", web.GetLabels())
	}
	if _, found, _ := unstructured.NestedInt64(web.Object, "spec", "minReadySeconds"); found {
		t.Error("the field set by hand is still there: the adoption was none")
	}
	k := tm.kustomization("web")
	if prune, _, _ := unstructured.NestedBool(k.Object, "spec", "prune"); !prune {
		t.Error("prune is not as planned")
	}
	for _, e := range k.GetManagedFields() {
		if executors(e) {
			t.Error("the executor still owns fields of a settled Kustomization")
		}
	}

	tm.must(tm.rollback())
	if got := tm.status(); got.Phase != PhaseRolledBack {
		t.Fatalf("after rollback: %+v", got)
	}
	tm.same("after rollback everything is as before", before, tm.picture())
	tm.sync()
	tm.same("a sync of Flux v1 after rollback changes nothing", before, tm.picture())

	tm.must(tm.migrate())
	tm.same("a second migration ends as the first", withoutRun(first), withoutRun(tm.picture()))
	for id, uid := range tm.uids() {
		if uids[id] != uid {
			t.Errorf("%s was made anew", id)
		}
	}
	tm.must(tm.rollback())
	tm.same("after the second rollback", before, tm.picture())
	for _, e := range tm.events {
		if strings.Contains(e.Message, "private-key") || strings.Contains(e.Message, "secret-value") {
			t.Errorf("an event holds a secret: %s", e.Message)
		}
	}
}

// withoutRun drops what two runs cannot have in common: UIDs and times of
// control objects and what the test's engine was asked.
func withoutRun(p picture) picture {
	out := picture{}
	for key, value := range p {
		u := (&unstructured.Unstructured{Object: value.(map[string]any)}).DeepCopy()
		if u.GetNamespace() == migrate.AgentNamespace || u.GetAnnotations()[annotationRun] != "" {
			u.SetUID("")
		}
		out[key] = u.Object
	}
	return out
}

func TestAMovedPlanIsRefusedAndNothingChanges(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	tm.plan.Inputs.Agents[tm.id]["RoleBinding/team/edit"] = "ClusterRole/edit"
	for _, on := range []OnFailure{Stop, RollBack} {
		err := tm.migrate(func(o *Options) { o.OnFailure = on })
		if !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "RoleBinding/team/edit (gone, was ClusterRole/edit)") {
			t.Fatalf("want ErrMoved naming the binding, got %v", err)
		}
		tm.same("nothing was changed", before, tm.picture())
		if got := tm.status(); got.Phase != PhaseBlocked {
			t.Errorf("on failure %s: it is %s, want %s", on, got.Phase, PhaseBlocked)
		}
	}
}
