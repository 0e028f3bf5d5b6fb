package cutover

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// doubledStore keeps journals in a double of the API server.
func doubledStore() store { return store{c: &cluster.Client{Kube: fakeWithVersions()}} }

func TestAnAbortGoesOnWhenGitDoesNotAnswer(t *testing.T) {
	s := leftAbort(t, "flux/a")
	asked := false
	silent := func(context.Context, string) ([]migrate.Object, error) {
		asked = true
		return nil, errors.New("git: connection timed out")
	}
	if err := Abort(t.Context(), s.c, RollbackOptions{Head: silent, Identity: Identity{User: "a", Host: "h"}}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := s.load(t.Context(), "flux/a")
	if err != nil || got.Closed != closedAborted || !asked {
		t.Errorf("asked %v, closed %q, %v", asked, got.Closed, err)
	}
	record, err := s.run(t.Context())
	if err != nil || record.abort != "" {
		t.Errorf("the abort is still asked for: %q, %v", record.abort, err)
	}
}

func TestWhereNothingWasBegunThereIsNothingToPauseResumeOrAbort(t *testing.T) {
	s, who := doubledStore(), Identity{User: "a", Host: "h"}
	_, resumed := Resume(t.Context(), s.c, who)
	for name, err := range map[string]error{
		"pause": Pause(t.Context(), s.c, who), "resume": resumed, "ask for an abort": AskAbort(t.Context(), s.c, who),
		"abort": Abort(t.Context(), s.c, RollbackOptions{Identity: who}, nil),
	} {
		if !errors.Is(err, ErrNothingBegun) {
			t.Errorf("%s: %v, want %v", name, err, ErrNothingBegun)
		}
	}
	if record, err := s.run(t.Context()); err != nil || record != nil {
		t.Errorf("a record of a run was made: %+v, %v", record, err)
	}
}

func TestWhoMayChangeTheRecordAloneIsToldThatThereIsNone(t *testing.T) {
	s, who := doubledStore(), Identity{User: "a", Host: "h"}
	refuse := func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(corev1.Resource("configmaps"), "", errors.New("no right"))
	}
	double := s.c.Kube.(*fake.Clientset)
	double.PrependReactor("list", "configmaps", refuse)
	double.PrependReactor("create", "configmaps", refuse)
	_, resumed := Resume(t.Context(), s.c, who)
	for name, err := range map[string]error{"pause": Pause(t.Context(), s.c, who), "resume": resumed, "ask for an abort": AskAbort(t.Context(), s.c, who)} {
		if !errors.Is(err, ErrNothingBegun) || !strings.Contains(err.Error(), "was deleted since") {
			t.Errorf("%s: %v", name, err)
		}
	}
	double.PrependReactor("list", "configmaps", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("no answer") })
	if err := Pause(t.Context(), s.c, who); err == nil || errors.Is(err, ErrNothingBegun) {
		t.Errorf("journals that cannot be read are none: %v", err)
	}
}

func TestAnAbortThatWasLiftedMeanwhileIsNotCarriedOut(t *testing.T) {
	s, who := leftAbort(t, "flux/a"), Identity{User: "a", Host: "h"}
	if _, err := Resume(t.Context(), s.c, who); err != nil {
		t.Fatal(err)
	}
	err := Abort(t.Context(), s.c, RollbackOptions{Asked: true, Identity: who}, nil)
	if err == nil || !strings.Contains(err.Error(), "lifted meanwhile") {
		t.Errorf("got %v", err)
	}
	if j, err := s.load(t.Context(), "flux/a"); err != nil || j.Closed != "" {
		t.Errorf("its repository was closed as %q (%v)", j.Closed, err)
	}
}

func TestWhereTheRecordOfTheRunIsGoneAnAbortIsHeardAllTheSame(t *testing.T) {
	s, who := leftAbort(t, "flux/a"), Identity{User: "a", Host: "h"}
	if err := s.c.Kube.CoreV1().ConfigMaps(migrate.StateNamespace).Delete(t.Context(), RunRecord, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := Abort(t.Context(), s.c, RollbackOptions{Identity: who}, nil); err != nil {
		t.Fatal(err)
	}
	if j, err := s.load(t.Context(), "flux/a"); err != nil || j.Closed != closedAborted {
		t.Errorf("its repository is closed as %q (%v)", j.Closed, err)
	}
}

// leftAbort is a store in which an abort was asked for and not carried out, with
// journals of the repositories given, each begun and not ended.
func leftAbort(t *testing.T, ids ...string) store {
	t.Helper()
	s := doubledStore()
	for _, id := range ids {
		j := &journal{Repository: id, Attempt: 1}
		j.add(Entry{Step: "lock", State: Done})
		if err := s.save(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.changeRun(t.Context(), func(r *runRecord) { r.abort = "dave@phone" }); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestALeftoverAbortRefusesAMigrationBeforeAnythingChanges(t *testing.T) {
	s := leftAbort(t)
	s.c.Kube.Discovery().(*fakediscovery.FakeDiscovery).Resources = []*metav1.APIResourceList{{
		GroupVersion: "admissionregistration.k8s.io/v1", APIResources: []metav1.APIResource{{Name: "validatingadmissionpolicies"}},
	}}
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: "1"}}
	if _, err := s.c.Kube.CoreV1().Namespaces().Create(t.Context(), system, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	plan := migrate.Plan{Proof: "server", Repositories: []migrate.Repository{{ID: "flux/a"}}}
	err := New(s.c, plan, nil, Options{Identity: Identity{User: "a", Host: "h"}}, nil).Migrate(t.Context())
	if !errors.Is(err, ErrAborted) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"dave@phone", "nothing has changed", `"fluxover abort"`, `"fluxover resume"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("does not say %q: %v", want, err)
		}
	}
	if j, err := s.load(t.Context(), "flux/a"); err != nil || j != nil {
		t.Errorf("a journal was begun: %+v, %v", j, err)
	}
}

func TestARollbackThatLeavesNothingUnfinishedLiftsALeftoverAbort(t *testing.T) {
	s := leftAbort(t, "flux/a", "flux/b")
	for i, id := range []string{"flux/a", "flux/b"} {
		if err := Rollback(t.Context(), s.c, RollbackOptions{Repositories: []string{id}, Identity: Identity{User: "a", Host: "h"}}, nil); err != nil {
			t.Fatal(err)
		}
		record, err := s.run(t.Context())
		if last := i == 1; err != nil || (record.abort == "") != last {
			t.Errorf("after the rollback of %s an abort is asked for by %q, %v", id, record.abort, err)
		}
	}
}
