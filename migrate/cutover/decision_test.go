package cutover

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

func TestAJournalIsWrittenOnlyByWhoReadItLast(t *testing.T) {
	s := store{c: &cluster.Client{Kube: fake.NewClientset()}}
	ctx := t.Context()
	mine := &journal{Repository: "flux/a", Attempt: 1}
	mine.add(Entry{Step: "lock", State: Started})
	if err := s.save(ctx, mine); err != nil {
		t.Fatal(err)
	}
	if err := s.save(ctx, &journal{Repository: "flux/a"}); !errors.Is(err, ErrJournal) {
		t.Errorf("a second beginning: want ErrJournal, got %v", err)
	}
	read, err := s.load(ctx, "flux/a")
	if err != nil || read.state("lock") != Started {
		t.Fatalf("%+v, %v", read, err)
	}
	if got, err := s.load(ctx, "flux/b"); got != nil || err != nil {
		t.Errorf("a journal that is not there: %v, %v", got, err)
	}
}

func TestAJournalKeepsTheNewestEntryOfEachStep(t *testing.T) {
	j := &journal{}
	j.add(Entry{Step: "lock", State: Done})
	for i := range 2 * maxEntries {
		j.add(Entry{Step: "fence", State: Failed, Message: fmt.Sprint(i)})
	}
	if len(j.Entries) > maxEntries || j.state("lock") != Done || j.last().Message != fmt.Sprint(2*maxEntries-1) {
		t.Errorf("%d entries, lock %q, last %q", len(j.Entries), j.state("lock"), j.last().Message)
	}
}

// A ConfigMap holds 1 MiB, and the compressed plan is part of it. Nobody could
// go on or back with a journal that has grown beyond.
func TestAJournalCanBeWrittenHoweverOftenAndWithHoweverManyWordsAStepFails(t *testing.T) {
	refused := func(n int) string {
		var errs []error
		for i := range n {
			errs = append(errs, fmt.Errorf("apply Deployment/shop/web-%d: is forbidden: the account may not patch it", i))
		}
		return errors.Join(errs...).Error()
	}
	j := &journal{Repository: "flux/a"}
	// Written before there was a limit.
	j.Entries = []Entry{{Step: "stage", State: Failed, Message: refused(14000)}, {Step: "verify", State: Failed, Message: strings.Repeat("é", 1<<19)}}
	words := refused(250)
	for range maxEntries {
		j.add(Entry{Step: "stage", State: Started})
		j.add(Entry{Step: "stage", State: Failed, Message: words})
	}
	j.add(Entry{Step: "stage", State: Undoing})
	raw, err := json.Marshal(j)
	if err != nil || len(raw) > 512<<10 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	if j.state("stage") != Undoing || j.state("verify") != Failed {
		t.Errorf("stage %q, verify %q", j.state("stage"), j.state("verify"))
	}
	for _, e := range j.Entries {
		lines := strings.Split(e.Message, "\n")
		more := 0
		switch {
		case e.Message == "":
		case e.Step == "verify":
			if len(e.Message) > maxMessage || !utf8.ValidString(e.Message) || !strings.HasSuffix(e.Message, " more bytes") {
				t.Errorf("one long line ends as %q", e.Message[len(e.Message)-40:])
			}
		default:
			if _, err := fmt.Sscanf(lines[len(lines)-1], "… and %d more lines", &more); err != nil || more+len(lines)-1 != 250 || len(e.Message) > maxMessage {
				t.Fatalf("%d lines, the last %q", len(lines), lines[len(lines)-1])
			}
		}
	}
	if got := shortened("a\nb", maxMessage); got != "a\nb" {
		t.Errorf("a short text became %q", got)
	}
}

func TestAJournalStaysSmallWhateverItsMessagesAreWrittenWith(t *testing.T) {
	j := &journal{Repository: "flux/a"}
	for i := range maxEntries {
		j.add(Entry{Step: steps[i%3].Name, State: Failed, At: time.Unix(int64(i), 0), Message: strings.Repeat("<\x01\"", maxMessage)})
	}
	raw, err := json.Marshal(j)
	if err != nil || len(raw) > maxMessages+64<<10 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	for _, s := range steps[:3] {
		if j.state(s.Name) != Failed {
			t.Errorf("the newest entry of %s is gone", s.Name)
		}
	}
}

func TestAFailedUndoTellsWhetherTheRepositoryIsOnItsWayBack(t *testing.T) {
	failing := &step{Name: "stage", Undo: func(context.Context, *repository) error { return errors.New("connection refused") }}
	for _, back := range []bool{true, false} {
		r := &repository{env: &env{store: doubledStore(), emit: func(Event) {}}, id: "flux/a", j: &journal{Repository: "flux/a", GoingBack: back}}
		var failed *StepError
		if err := r.backward(t.Context(), failing); !errors.As(err, &failed) || failed.GoingBack != back {
			t.Errorf("going back %v: got %+v", back, err)
		}
	}
}

func TestPhasesFollowTheJournal(t *testing.T) {
	entries := func(done int, rest ...Entry) []Entry {
		var out []Entry
		for _, s := range steps[:done] {
			out = append(out, Entry{Step: s.Name, State: Started}, Entry{Step: s.Name, State: Done})
		}
		return append(out, rest...)
	}
	at := func(name string) int { return slices.IndexFunc(steps, func(s step) bool { return s.Name == name }) }
	for want, j := range map[Phase]*journal{
		PhasePending:     {},
		PhaseBlocked:     {Blocked: "why"},
		PhaseStaged:      {Entries: entries(at("fence"))},
		PhaseFenced:      {Entries: entries(at("top-up"))},
		PhaseAdopting:    {Entries: entries(at("adopt"), Entry{Step: "adopt", State: Started})},
		PhaseVerifying:   {Entries: entries(at("verify"))},
		PhaseHolding:     {Entries: entries(at("settle"))},
		PhaseSettling:    {Entries: entries(at("settle"), Entry{Step: "settle", State: Started})},
		PhaseSettled:     {Entries: entries(len(steps)), Closed: closedSettled},
		PhaseFinalized:   {Closed: closedFinalized},
		PhaseRollingBack: {GoingBack: true, Entries: entries(3)},
		PhaseRolledBack:  {Closed: closedRolledBack},
		PhaseAborted:     {Closed: closedAborted},
		PhaseFailed:      {Entries: entries(at("fence"), Entry{Step: "fence", State: Failed}, Entry{Step: "fence", State: Undoing}, Entry{Step: "fence", State: Undone})},
	} {
		if got := phaseOf(j); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestANewPlanIsTakenOnlyWhereItIsTheSame(t *testing.T) {
	base := func() *planSlice {
		return &planSlice{Repository: migrate.Repository{
			Commit:       commitA,
			Applications: []migrate.Application{{Name: "a-web", Path: "./web"}},
			Objects:      []migrate.ObjectPlan{{ID: "ns_web_apps_Deployment", Verb: migrate.Adopt}},
		}}
	}
	agent := &migrate.Flux1Agent{ID: "flux/a", Image: "fluxcd/flux:1.25.4", Settings: []migrate.Setting{{Name: "--git-branch", Value: "main"}}}
	moved := *agent
	moved.Settings = []migrate.Setting{{Name: "--git-branch", Value: "prod"}}
	moved.Rights = []migrate.Binding{{Name: "all", Role: rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"}}}
	const whatMoved = "--git-branch (main, now prod); ClusterRoleBinding/all (new: ClusterRole/cluster-admin); plan again"
	for name, c := range map[string]struct {
		change  func(*planSlice)
		agent   *migrate.Flux1Agent
		commits Commits
		want    string
	}{
		"the same":                   {change: func(*planSlice) {}},
		"another commit, equivalent": {change: func(p *planSlice) { p.Repository.Commit = commitB }},
		"another commit, exact":      {change: func(p *planSlice) { p.Repository.Commit = commitB }, commits: CommitsExact, want: "the commit"},
		"another verb":               {change: func(p *planSlice) { p.Repository.Objects[0].Verb = migrate.Restart }, want: "verbs (new: restart Deployment/ns/web; no longer: adopt Deployment/ns/web)"},
		"another verb, any":          {change: func(p *planSlice) { p.Repository.Objects[0].Verb = migrate.Restart }, commits: CommitsAny},
		"another application":        {change: func(p *planSlice) { p.Repository.Applications[0].Path = "./new" }, want: "applications"},
		"another finding":            {change: func(p *planSlice) { p.Findings = []migrate.Finding{{Code: "NEW"}} }, want: "findings"},
		"other rights":               {change: func(*planSlice) {}, agent: &moved, want: whatMoved},
		"other rights, any commit":   {change: func(*planSlice) {}, agent: &moved, commits: CommitsAny, want: whatMoved},
	} {
		t.Run(name, func(t *testing.T) {
			fresh := base()
			c.change(fresh)
			j := &journal{plan: base(), Agent: agentFacts{Fingerprint: migrate.FingerprintOf(agent)}}
			if c.commits == "" {
				c.commits = CommitsEquivalent
			}
			err := comparePlans(j, fresh, cmp.Or(c.agent, agent), c.commits)
			if (err != nil) != (c.want != "") || err != nil && (!errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("want %q, got %v", c.want, err)
			}
		})
	}
}

func TestKustomizationsAreResumedAfterThoseTheyNeed(t *testing.T) {
	k := func(name string, needs ...string) *unstructured.Unstructured {
		var list []any
		for _, n := range needs {
			list = append(list, map[string]any{"name": n})
		}
		u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"dependsOn": list}}}
		u.SetName(name)
		return u
	}
	got := fmt.Sprint(levels([]*unstructured.Unstructured{k("c", "b"), k("b", "a", "elsewhere"), k("a"), k("d")}))
	if got != "[[a d] [b] [c]]" {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprint(levels([]*unstructured.Unstructured{k("a", "b"), k("b", "a")})); got != "[[a b]]" {
		t.Errorf("a circle: got %s", got)
	}
}

func TestAChangeCountsAsForetoldOnlyOnItsField(t *testing.T) {
	o := migrate.ObjectPlan{Verb: migrate.Change, Fields: []string{`.spec.template.spec.containers[name="web"].image`}}
	for path, want := range map[string]bool{
		".spec.template.spec.containers[0].image": true,
		".spec.template.spec.containers":          true,
		".spec.template.spec.containers[0].env":   false,
		".spec.replicas":                          false,
	} {
		if got := foretold(path, o); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
	o.Verb = migrate.Adopt
	if foretold(".spec.template.spec.containers[0].image", o) {
		t.Error("adoption changes nothing")
	}
}

func TestAHolderOnThisMachineIsKnownToBeDead(t *testing.T) {
	if processMark(os.Getpid()) == "" {
		t.Skip("this system does not name its processes")
	}
	if processDead(processMark(os.Getpid())) {
		t.Error("this process lives")
	}
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if !processDead(processMark(cmd.Process.Pid)) {
		t.Error("an ended process counts as alive")
	}
	if processDead("another-boot pid:[1] 999999") {
		t.Error("of another machine nothing is known")
	}
}

func TestALostLeaseEndsEverything(t *testing.T) {
	kube := fake.NewClientset()
	who, err := Identity{User: "a", Host: "h"}.filled()
	if err != nil {
		t.Fatal(err)
	}
	l, held, err := acquire(t.Context(), kube, who, func(Event) {})
	if err != nil {
		t.Fatal(err)
	}
	// Another operator takes it, as after a long sleep of this machine.
	live, err := kube.CoordinationV1().Leases(migrate.StateNamespace).Get(t.Context(), leaseName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other := "b@elsewhere/1"
	live.Spec.HolderIdentity = &other
	if _, err := kube.CoordinationV1().Leases(migrate.StateNamespace).Update(t.Context(), live, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-held.Done():
		// Who is refused at the door has changed nothing; this one may have.
		if cause := context.Cause(held); !errors.Is(cause, ErrLeaseLost) || errors.Is(cause, ErrLocked) {
			t.Errorf("the cause is %v", cause)
		}
	case <-time.After(4 * leaseRenew):
		t.Error("the loss was not noticed")
	}
	if err := l.release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALostLeaseIsNamedByTheStepThatItEnds(t *testing.T) {
	held, lose := context.WithCancelCause(t.Context())
	lost := errors.New("the Lease could not be renewed")
	lose(lost)
	kube := fake.NewClientset()
	c := &cluster.Client{Kube: kube}
	r := &repository{env: &env{c: c, store: store{c: c}, held: held, emit: func(Event) {}}, id: "flux/a", j: &journal{Repository: "flux/a"}}
	err := r.forward(withHeld(t.Context(), held), &step{Name: "stage", Limit: within(time.Minute), Before: func(ctx context.Context, _ *repository) error {
		<-ctx.Done()
		return fmt.Errorf("apply it: %w", ctx.Err())
	}})
	if !errors.Is(err, lost) || !strings.Contains(err.Error(), "apply it") {
		t.Errorf("got %v", err)
	}
}

func TestWhatHoldsBackIsToldWhole(t *testing.T) {
	plan := migrate.Plan{Repositories: []migrate.Repository{{ID: "flux/a", Blocked: true}}}
	for i := range 100 {
		plan.Findings = append(plan.Findings, migrate.Finding{Severity: migrate.Blocker, Code: "CODE", Subject: "flux/a", Repository: "flux/a", Message: fmt.Sprintf("%s number %d", strings.Repeat("x", maxMessage/50), i)})
	}
	slice, err := slicePlan(&plan, "flux/a")
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{Repository: "flux/a", Blocked: shortened(blockers(slice, nil), maxMessage)}
	if err := j.setPlan(slice); err != nil {
		t.Fatal(err)
	}
	var told string
	r := &repository{env: &env{emit: func(e Event) { told = e.Message }}, id: "flux/a", j: j}
	err = New(nil, plan, nil, Options{}, nil).one(t.Context(), r)
	if !errors.Is(err, ErrBlocked) || !strings.Contains(err.Error(), "number 0; ") || !strings.HasSuffix(err.Error(), "number 99") || told != err.Error() {
		t.Errorf("told %d bytes, %v", len(told), err)
	}
}

// The journal may be another operator's by then, who has read it.
func TestNothingIsWrittenDownOnceTheLeaseIsLost(t *testing.T) {
	for name, run := range map[string]func(*repository, context.Context, *step) error{"forward": (*repository).forward, "backward": (*repository).backward} {
		held, lose := context.WithCancelCause(t.Context())
		kube := fake.NewClientset()
		c := &cluster.Client{Kube: kube}
		r := &repository{env: &env{c: c, store: store{c: c}, held: held, emit: func(Event) {}}, id: "flux/a", j: &journal{Repository: "flux/a"}}
		before := 0
		act := func(context.Context, *repository) error {
			before = len(kube.Actions())
			lose(ErrLeaseLost)
			return errors.New("connection refused")
		}
		err := run(r, withHeld(t.Context(), held), &step{Name: "stage", Limit: within(time.Minute), Do: act, Undo: act})
		if err == nil || !strings.Contains(err.Error(), "connection refused") || !errors.Is(err, ErrLeaseLost) || before == 0 {
			t.Fatalf("%s: after %d requests: %v", name, before, err)
		}
		if more := kube.Actions()[before:]; len(more) > 0 {
			t.Errorf("%s: %s %s after the loss", name, more[0].GetVerb(), more[0].GetResource().Resource)
		}
	}
}
