package cutover

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

func TestAWaitThatEndsSaysForWhatAndHowLong(t *testing.T) {
	synctest.Test(t, testWaitThatEnds) // in a time that no busy machine can stretch
}

func testWaitThatEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := follow(ctx, troubled(nil, 0, 0), metav1.ListOptions{}, func(objects) (bool, string, error) { return false, "the moon is not full", nil })
	if got, want := err.Error(), "waited 200ms, and the moon is not full"; got != want || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %q, want %q", got, want)
	}
	lost, lose := context.WithCancelCause(t.Context())
	lose(ErrLocked)
	err = follow(lost, troubled(nil, 0, 0), metav1.ListOptions{}, func(objects) (bool, string, error) { return false, "the moon is not full", nil })
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "the moon is not full") {
		t.Errorf("who was stopped: %v", err)
	}
}

// stepAlone runs one step of a repository of which nothing is stored yet.
func stepAlone(t *testing.T, s *step) ([]Event, error) {
	t.Helper()
	var events []Event
	r := &repository{
		env: &env{held: t.Context(), emit: func(e Event) { events = append(events, e) }, store: store{c: &cluster.Client{Kube: fakeWithVersions()}}},
		id:  "flux/a", j: &journal{Repository: "flux/a"},
	}
	err := r.forward(t.Context(), s)
	return events, err
}

// fakeWithVersions gives what is stored a version, by which a stored object is
// told from a new one.
func fakeWithVersions() *fake.Clientset {
	kube := fake.NewClientset()
	kube.PrependReactor("create", "*", func(a kubetesting.Action) (bool, runtime.Object, error) {
		a.(kubetesting.CreateAction).GetObject().(metav1.Object).SetResourceVersion("1")
		return false, nil, nil
	})
	return kube
}

func TestAStepThatReachesItsLimitSaysSo(t *testing.T) {
	slow := &step{
		Name: "slow", Limit: within(300 * time.Millisecond),
		Do: func(ctx context.Context, _ *repository) error { <-ctx.Done(); return ctx.Err() },
	}
	_, err := stepAlone(t, slow)
	if err == nil || !strings.Contains(err.Error(), "the step's limit of 300ms has passed") {
		t.Errorf("got %v", err)
	}
}

func TestWhatAFindingHoldsBackIsBlockedAndNotFailed(t *testing.T) {
	held := &step{Name: "recheck", Limit: within(time.Minute), Do: func(context.Context, *repository) error { return ErrBlocked }}
	events, err := stepAlone(t, held)
	if last := events[len(events)-1]; !errors.Is(err, ErrBlocked) || last.State != EventState("blocked") {
		t.Errorf("got %v, %+v", err, last)
	}
	failing := &step{Name: "recheck", Limit: within(time.Minute), Do: func(context.Context, *repository) error { return errors.New("no") }}
	if events, _ = stepAlone(t, failing); events[len(events)-1].State != EventFailed {
		t.Errorf("a failure: %+v", events)
	}
	events = nil
	plan := &planSlice{Findings: []migrate.Finding{{Severity: migrate.Blocker, Code: "IMAGE_AUTOMATION", Subject: "flux/a", Message: "images are updated"}}}
	r := &repository{env: &env{emit: func(e Event) { events = append(events, e) }}, id: "flux/a", j: &journal{Blocked: "IMAGE_AUTOMATION", plan: plan}}
	err = (&Executor{}).one(t.Context(), r)
	if !errors.Is(err, ErrBlocked) || len(events) != 1 || events[0].State != EventState("blocked") || !strings.Contains(events[0].Message, "IMAGE_AUTOMATION") {
		t.Errorf("before the first step: %v, %+v", err, events)
	}
}

func TestAPodIsTerminatingSinceItWasToldTo(t *testing.T) {
	pod := &unstructured.Unstructured{}
	if told := toldToEnd(pod); told != nil {
		t.Errorf("one that runs: %s", told)
	}
	end, grace := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 50, 0, time.UTC)), int64(30)
	pod.SetDeletionTimestamp(&end)
	pod.SetDeletionGracePeriodSeconds(&grace)
	if told := toldToEnd(pod); told == nil || !told.Equal(end.Add(-30*time.Second)) {
		t.Errorf("got %v", told)
	}
}

// admissibleAt asks whether a plan made for a server of a version may be
// carried out on one that serves the kinds.
func admissibleAt(t *testing.T, plan migrate.Plan, kinds []*metav1.APIResourceList, discoveryErr error) error {
	t.Helper()
	kube := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: "uid"}})
	kube.Resources = kinds
	kube.Discovery().(*fakediscovery.FakeDiscovery).FakedServerVersion = &version.Info{GitVersion: "v1.29.3"}
	if discoveryErr != nil {
		kube.PrependReactor("get", "resource", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, discoveryErr })
	}
	return New(&cluster.Client{Kube: kube}, plan, nil, Options{}, nil).admissible(t.Context(), nil)
}

func TestAServerWithoutAdmissionPoliciesIsRefusedBeforeAnythingIsMade(t *testing.T) {
	with := []*metav1.APIResourceList{{GroupVersion: "admissionregistration.k8s.io/v1", APIResources: []metav1.APIResource{{Name: "validatingadmissionpolicies"}}}}
	without := []*metav1.APIResourceList{{GroupVersion: "admissionregistration.k8s.io/v1", APIResources: []metav1.APIResource{{Name: "validatingwebhookconfigurations"}}}}
	at := func(v string) migrate.Plan {
		return migrate.Plan{Proof: "server", Inputs: migrate.PlanInputs{Cluster: "uid", Version: v}}
	}
	refused := func(err error) bool {
		return errors.Is(err, ErrBlocked) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy") && strings.Contains(err.Error(), "nothing was changed")
	}
	if err := admissibleAt(t, at("v1.29.3-eks-1"), without, nil); !refused(err) || !strings.Contains(err.Error(), "v1.29.3") {
		t.Errorf("an old server: %v", err)
	}
	if err := admissibleAt(t, at(""), without, nil); !refused(err) {
		t.Errorf("an old server of a plan without a version: %v", err)
	}
	if err := admissibleAt(t, at("v1.29.3"), with, nil); err != nil {
		t.Errorf("a server that was upgraded since: %v", err)
	}
	trouble := errors.New("no answer")
	if err := admissibleAt(t, at("v1.29.3"), with, trouble); !refused(err) {
		t.Errorf("no answer, and planned at an old one: %v", err)
	}
	if err := admissibleAt(t, at("v1.33.1+k3s1"), with, trouble); err != nil {
		t.Errorf("no answer, and planned at a new one: %v", err)
	}
	if err := admissibleAt(t, at(""), with, trouble); !errors.Is(err, trouble) {
		t.Errorf("nothing is known: %v", err)
	}
}

func TestAPlanWithoutProofIsToldWhichRightsProofNeeds(t *testing.T) {
	k := func(namespace, account string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"serviceAccountName": account}}}
		u.SetNamespace(namespace)
		return u
	}
	plan := migrate.Plan{Proof: "offline", Repositories: []migrate.Repository{
		{Kustomizations: []*unstructured.Unstructured{k("flux-system", "team-a"), k("flux-system", "team-a"), k("flux-system", "team-b")}},
	}}
	err := admissibleAt(t, plan, nil, nil)
	if !errors.Is(err, ErrBlocked) || !strings.Contains(err.Error(), "ServiceAccount/flux-system/team-a, ServiceAccount/flux-system/team-b") || !strings.Contains(err.Error(), `"impersonate"`) {
		t.Errorf("got %v", err)
	}
	if regexp.MustCompile(`fluxover rbac`).MatchString(err.Error()) {
		t.Errorf("it names a command that does not exist: %v", err)
	}
}
