package cutover

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

func TestSettledAreThoseWhoseJournalsSaySoAndCanBeRead(t *testing.T) {
	kube := fake.NewClientset()
	c := &cluster.Client{Kube: kube, Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}: "KustomizationList"})}
	if got, err := Settled(t.Context(), c); err != nil || len(got) > 0 {
		t.Errorf("before the first migration: %v, %v", got, err)
	}
	for id, j := range map[string]*journal{
		"flux/settled": {Closed: closedSettled}, "flux/finalized": {Closed: closedFinalized},
		"flux/back": {Closed: closedRolledBack}, "flux/aborted": {Closed: closedAborted},
		"flux/holding": {Entries: []Entry{{Step: "hold", State: Done}}}, "flux/settling": {Entries: []Entry{{Step: "settle", State: Started}}},
		"flux/begun": {}, "flux/blocked": {Blocked: "CRD_MISSING"},
		// Settled once, and on its way back.
		"flux/leaving": {GoingBack: true, Entries: []Entry{{Step: "settle", State: Undoing}}},
	} {
		j.Repository = id
		if err := (store{c: c}).save(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	newer := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: migrate.StateNamespace, Name: journalName("flux/newer"), Labels: repositoryLabels("flux/newer", stateJournal)},
		Data:       map[string]string{journalKey: `{"version": 99, "repository": "flux/newer", "closed": "settled"}`},
	}
	if _, err := kube.CoreV1().ConfigMaps(migrate.StateNamespace).Create(t.Context(), newer, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := Settled(t.Context(), c)
	if ids := slices.Sorted(maps.Keys(got)); err != nil || !slices.Equal(ids, []string{"flux/finalized", "flux/settled"}) {
		t.Errorf("settled: %v, %v", ids, err)
	}
	kube.PrependReactor("list", "configmaps", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("no answer") })
	if got, err := Settled(t.Context(), c); err == nil {
		t.Errorf("journals that cannot be read are none: %v", got)
	}
}

func TestStatusShowsAGapWhileItIsOpen(t *testing.T) {
	gone := time.Now().Add(-90 * time.Second)
	stopped := gone.Add(-5 * time.Second)
	journalWith := func(entries ...Entry) *journal {
		return &journal{Repository: "flux/a", Fence: fenceFacts{StoppedAt: &stopped, GoneAt: &gone}, Entries: entries}
	}
	fenced := Entry{Step: "fence", State: Done}
	for name, j := range map[string]*journal{
		"fenced":                journalWith(fenced),
		"adopting":              journalWith(fenced, Entry{Step: "adopt", State: Started}),
		"adoption failed":       journalWith(fenced, Entry{Step: "adopt", State: Failed}),
		"going back from there": journalWith(Entry{Step: "fence", State: Undoing}),
	} {
		got := statusOf(j)
		if got.Gap == nil || got.Gap.Duration < 90*time.Second || got.Gap.Duration > 2*time.Minute || !strings.Contains(got.Message, "no engine") {
			t.Errorf("%s: %+v", name, got)
		} else if got.WaitingForOldPod == nil || got.WaitingForOldPod.Duration != 5*time.Second {
			t.Errorf("%s: waited %v", name, got.WaitingForOldPod)
		}
	}
	closed := journalWith(fenced)
	closed.Closed = closedAborted
	running := journalWith(fenced)
	running.Fence.GoneAt = nil
	for name, j := range map[string]*journal{
		"nothing begun":         {Repository: "flux/a"},
		"the old agent runs":    running,
		"the fence was lifted":  journalWith(Entry{Step: "fence", State: Undone}),
		"adopted":               journalWith(fenced, Entry{Step: "adopt", State: Done}),
		"going back from adopt": journalWith(fenced, Entry{Step: "adopt", State: Undoing}),
		"closed":                closed,
	} {
		if got := statusOf(j); got.Gap != nil {
			t.Errorf("%s: a gap of %s", name, got.Gap.Duration)
		}
	}
	unseen := journalWith(fenced)
	unseen.Fence.GoneAt, unseen.Fence.GoneUnseen = &stopped, true
	if got := statusOf(unseen); got.Gap == nil || got.Gap.Duration < 95*time.Second || !strings.Contains(got.Message, "at the earliest") || got.WaitingForOldPod != nil {
		t.Errorf("nobody saw the old agent end: %+v", got)
	}
	measured := journalWith(fenced, Entry{Step: "adopt", State: Started})
	measured.Gap = &Gap{From: gone, To: gone.Add(2 * time.Second)}
	if got := statusOf(measured); got.Gap.Duration != 2*time.Second {
		t.Errorf("a measured gap stands: %s", got.Gap.Duration)
	}
}

func TestARepositoryThatIsHeldBackIsShownAsBlockedWithTheReason(t *testing.T) {
	blocked := ErrBlocked.Error() + ": blocker CRD_MISSING of flux/a:\n  no such kind"
	moved := ErrMoved.Error() + ": the agent's release"
	lock := Entry{Step: "lock", State: Done}
	undone := []Entry{{Step: "top-up", State: Undoing}, {Step: "top-up", State: Undone}, {Step: "fence", State: Undoing}, {Step: "fence", State: Undone}}
	for name, c := range map[string]struct {
		j       journal
		phase   Phase
		message string
	}{
		"by the plan":                   {journal{Blocked: "CRD_MISSING: a\nb"}, PhaseBlocked, "CRD_MISSING: a b"},
		"when checked again":            {journal{Entries: []Entry{lock, {Step: "recheck", State: Failed, Message: blocked}}}, PhaseBlocked, "CRD_MISSING of flux/a: no such kind"},
		"moved before anything began":   {journal{Entries: []Entry{lock, {Step: "recheck", State: Failed, Message: moved}}}, PhaseBlocked, "the agent's release"},
		"found when fenced, and undone": {journal{Entries: append([]Entry{lock, {Step: "fence", State: Done}, {Step: "top-up", State: Failed, Message: blocked}}, undone...)}, PhaseBlocked, "CRD_MISSING"},
		"the undo goes on":              {journal{Entries: []Entry{lock, {Step: "fence", State: Done}, {Step: "top-up", State: Failed, Message: blocked}, {Step: "fence", State: Undoing}}}, PhaseFailed, "CRD_MISSING"},
		"a failure":                     {journal{Entries: []Entry{lock, {Step: "recheck", State: Failed, Message: "no answer"}}}, PhaseFailed, "no answer"},
		"tried again":                   {journal{Entries: []Entry{lock, {Step: "recheck", State: Failed, Message: blocked}, {Step: "recheck", State: Done}}}, PhasePending, ""},
	} {
		got := statusOf(&c.j)
		if got.Phase != c.phase || !strings.Contains(got.Message, c.message) || c.phase == PhaseBlocked && strings.Contains(got.Message, "\n") {
			t.Errorf("%s: %s, %q", name, got.Phase, got.Message)
		}
	}
}

func TestAJournalWhoseMessageWasCutStillSaysThatItsRepositoryIsHeldBack(t *testing.T) {
	j := &journal{Repository: "flux/a"}
	j.add(Entry{Step: "lock", State: Done})
	j.add(Entry{Step: "recheck", State: Failed, Message: strings.Repeat("plan again: ", maxMessage/10) + ErrBlocked.Error() + ": blocker CRD_MISSING"})
	if got := statusOf(j); got.Phase != PhaseBlocked || strings.Contains(got.Message, "CRD_MISSING") {
		t.Errorf("%s, with a message of %d bytes", got.Phase, len(got.Message))
	}
	j.add(Entry{Step: "recheck", State: Failed, Message: strings.Repeat("no answer ", maxMessage)})
	if got := statusOf(j); got.Phase != PhaseFailed {
		t.Errorf("a failure is %s", got.Phase)
	}
}

// Of a settled repository migrate does nothing, so that nothing is to do for
// "plan --detailed-exitcode" either; what is wrong with it stands in the status.
func TestASettledRepositoryWhoseFenceIsGoneIsSettledAndSaidToBeOpen(t *testing.T) {
	one, none := int32(1), int32(0)
	for name, c := range map[string]struct {
		fence    bool
		replicas *int32
		want     []string
		not      string
	}{
		"as it was left":                {true, &none, nil, "the fence"},
		"the old agent is started":      {true, &one, []string{"the fence refuses what it writes"}, "taken down"},
		"the fence is gone":             {false, &none, []string{"was taken down by somebody", "rollback --repo flux/a"}, "started again"},
		"the fence, and it is started":  {false, &one, []string{"was taken down by somebody", "no fence refuses what it writes"}, "; the fence refuses"},
		"the fence, by the default one": {false, nil, []string{"no fence refuses what it writes"}, "; the fence refuses"},
	} {
		kube := fakeWithVersions()
		client := &cluster.Client{Kube: kube, Dynamic: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())}
		j := &journal{Repository: "flux/a", Closed: closedSettled, Agent: agentFacts{Namespace: "flux", Workload: "a"}}
		for _, s := range steps {
			j.Entries = append(j.Entries, Entry{Step: s.Name, State: Done})
		}
		if err := errors.Join(j.setPlan(&planSlice{}), (store{c: client}).save(t.Context(), j)); err != nil {
			t.Fatal(err)
		}
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "a"}, Spec: appsv1.DeploymentSpec{Replicas: c.replicas}}
		objects := []runtime.Object{d}
		if c.fence {
			objects = append(objects, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: fenceName("flux/a")}})
		}
		for _, o := range objects {
			if err := kube.Tracker().Add(o); err != nil {
				t.Fatal(err)
			}
		}
		settled, err := Settled(t.Context(), client)
		if err != nil || !settled["flux/a"] {
			t.Errorf("%s: settled %v, %v", name, settled, err)
		}
		report, err := Status(t.Context(), client)
		if err != nil || len(report.Repositories) != 1 {
			t.Fatalf("%s: %+v, %v", name, report, err)
		}
		got := report.Repositories[0]
		if got.Phase != PhaseSettled || strings.Contains(got.Message, c.not) {
			t.Errorf("%s: %s, %q", name, got.Phase, got.Message)
		}
		for _, want := range c.want {
			if !strings.Contains(got.Message, want) {
				t.Errorf("%s: it is not said that %q: %q", name, want, got.Message)
			}
		}
	}
}
