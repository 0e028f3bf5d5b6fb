package cutover

import (
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/migrate"
)

// damage changes a team's journal and returns the way back.
func (tm *team) damage(change func(*corev1.ConfigMap)) (mend func()) {
	tm.t.Helper()
	maps := tm.lab.c.Kube.CoreV1().ConfigMaps(migrate.StateNamespace)
	whole, err := maps.Get(tm.ctx(), journalName(tm.id), metav1.GetOptions{})
	tm.must(err)
	bad := whole.DeepCopy()
	change(bad)
	_, err = maps.Update(tm.ctx(), bad, metav1.UpdateOptions{})
	tm.must(err)
	return func() {
		tm.t.Helper()
		whole.ResourceVersion = ""
		_, err := maps.Update(tm.ctx(), whole, metav1.UpdateOptions{})
		tm.must(err)
	}
}

func TestAnUnreadableJournalOrSnapshotStopsOnlyItsOwnRepository(t *testing.T) {
	noSnapshot, noJournal, noPlan, good := newTeam(t), newTeam(t), newTeam(t), newTeam(t)
	teams := []*team{noSnapshot, noJournal, noPlan, good}
	before := map[string]picture{}
	var ids []string
	for _, tm := range teams {
		before[tm.id] = tm.picture()
		tm.must(tm.migrate())
		ids = append(ids, tm.id)
	}
	secrets := good.lab.c.Kube.CoreV1().Secrets(migrate.StateNamespace)
	part, err := secrets.Get(good.ctx(), noSnapshot.journal().Snapshot.Secrets[0], metav1.GetOptions{})
	good.must(err)
	good.must(secrets.Delete(good.ctx(), part.Name, metav1.DeleteOptions{}))
	mendJournal := noJournal.damage(func(cm *corev1.ConfigMap) { cm.Data[journalKey] = "{" })
	mendPlan := noPlan.damage(func(cm *corev1.ConfigMap) { cm.BinaryData[journalPlanKey] = []byte("not packed") })
	after := map[string]picture{}
	for _, tm := range teams {
		after[tm.id] = withoutRun(tm.picture())
	}
	named := map[string]string{
		noSnapshot.id: part.Name, noJournal.id: journalName(noJournal.id), noPlan.id: journalName(noPlan.id),
	}

	plan, err := PlanRollback(good.ctx(), good.lab.c, RollbackOptions{Repositories: ids})
	good.must(err)
	if len(plan.Repositories) != len(teams) {
		t.Fatalf("the plan leaves some out:\n%s", plan.Text())
	}
	for _, r := range plan.Repositories {
		what, bad := named[r.ID]
		if (r.Blocked != "") != bad {
			t.Errorf("%s: blocked %q", r.ID, r.Blocked)
		}
		if bad && (!strings.Contains(r.Blocked, what) || !strings.Contains(r.Blocked, "backup") || !strings.Contains(r.Blocked, fenceName(r.ID))) {
			t.Errorf("%s: it is not said what to do about %s: %s", r.ID, what, r.Blocked)
		}
	}
	if got := plan.Blocked(); len(got) != len(named) {
		t.Errorf("blocked: %v", got)
	}
	report, err := Status(good.ctx(), good.lab.c)
	good.must(err)
	for _, r := range report.Repositories {
		if r.ID == noJournal.id && (r.Phase != PhaseFailed || !strings.Contains(r.Message, journalName(r.ID))) {
			t.Errorf("status: %+v", r)
		}
	}

	err = good.rollback(func(o *RollbackOptions) { o.Repositories, o.Head = ids, nil })
	for id := range named {
		if err == nil || !strings.Contains(err.Error(), id) {
			t.Fatalf("the rollback must fail and name %s, got %v", id, err)
		}
	}
	if got := good.status(); got.Phase != PhaseRolledBack {
		t.Errorf("the good one: %+v", got)
	}
	good.same("the good one", before[good.id], good.picture())
	for _, tm := range teams[:3] {
		tm.same("nothing was changed", after[tm.id], withoutRun(tm.picture()))
	}

	part.ResourceVersion, part.UID = "", ""
	_, err = secrets.Create(good.ctx(), part, metav1.CreateOptions{})
	good.must(err)
	mendJournal()
	mendPlan()
	for _, tm := range teams[:3] {
		tm.must(tm.rollback())
		tm.same("mended", before[tm.id], tm.picture())
	}
}

func TestWhatARepositoryWithoutReadableJournalUsesIsSeen(t *testing.T) {
	tm := newTeam(t)
	tm.must(tm.migrate())
	var want []string
	for _, c := range tm.journal().Created {
		want = append(want, c.key())
	}
	mend := tm.damage(func(cm *corev1.ConfigMap) { cm.Data[journalKey] = "{" })
	defer mend()
	all, err := (store{c: tm.lab.c}).list(tm.ctx())
	tm.must(err)
	i := slices.IndexFunc(all, func(j *journal) bool { return j.Repository == tm.id })
	if i < 0 || all[i].broken == nil {
		t.Fatalf("it is not in the list as broken")
	}
	for _, key := range want {
		if !slices.ContainsFunc(all[i].Created, func(c created) bool { return c.key() == key }) {
			t.Errorf("%s counts as used by nobody", key)
		}
	}
}

func TestAJournalOfANewerProgramAsksForThatOne(t *testing.T) {
	cm := &corev1.ConfigMap{Data: map[string]string{journalKey: `{"version": 99, "repository": "flux/a"}`}}
	j, err := decodeJournal(cm)
	if err == nil {
		t.Fatal("it was read")
	}
	j.broken = err
	_, err = (&repository{env: &env{}, id: "flux/a", j: j}).mayReturn(t.Context())
	if err == nil || !strings.Contains(err.Error(), "newer fluxover") || strings.Contains(err.Error(), "backup") {
		t.Errorf("got %v", err)
	}
}

func TestABrokenJournalHoldsBackItsRepositoryAlone(t *testing.T) {
	bad, good := newTeam(t), newTeam(t)
	before := bad.picture()
	bad.must(bad.migrate())
	bad.must(bad.rollback())
	mend := bad.damage(func(cm *corev1.ConfigMap) { cm.Data[journalKey] = "{" })
	defer mend()
	both, replan := together(bad, good, func(*migrate.Plan) {})
	err := New(bad.lab.c, both(), replan, bad.options(), bad.record).Migrate(bad.ctx())
	if err == nil || !strings.Contains(err.Error(), bad.id) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("want the broken journal of %s and what to do, got %v", bad.id, err)
	}
	var begun *StepError
	var not *NotBegunError
	if errors.As(err, &begun) || !errors.As(err, &not) || not.Repository != bad.id {
		t.Errorf("it counts as begun, so a rollback is advised that refuses: %#v", err)
	}
	if got := good.status(); got.Phase != PhaseSettled {
		t.Errorf("the other one: %+v", got)
	}
	bad.same("the one with the broken journal is untouched", before, bad.picture())
}
