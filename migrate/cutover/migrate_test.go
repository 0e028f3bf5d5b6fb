package cutover

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

const childVariable = "FLUXOVER_CUTOVER_CHILD"

func child(string) int {
	fmt.Fprintln(os.Stderr, "not used yet")
	return 1
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
	tm.plan.Inputs.Agents[tm.id] = "another"
	err := tm.migrate()
	if !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "rights") {
		t.Fatalf("want ErrMoved naming rights, got %v", err)
	}
	tm.same("nothing was changed", before, tm.picture())
}
