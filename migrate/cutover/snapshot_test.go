package cutover

import (
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/fluxover/fluxover/migrate"
)

// snapshotting is a repository with a stored journal, in a double of the API
// server.
func snapshotting(t *testing.T, id string) *repository {
	t.Helper()
	s := doubledStore()
	j := &journal{Repository: id, Run: "r1", Attempt: 1}
	if err := s.save(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	return &repository{env: &env{c: s.c, store: s, run: "r1", held: t.Context(), emit: func(Event) {}}, id: id, j: j}
}

func (r *repository) kept(t *testing.T) []string {
	t.Helper()
	list, err := r.c.Kube.CoreV1().Secrets(migrate.StateNamespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range list.Items {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}

func TestASnapshotGoesOnceAStoredJournalNamesTheNextOne(t *testing.T) {
	r := snapshotting(t, "flux/a")
	for _, commit := range []string{commitA, commitB} {
		if err := r.replaceSnapshot(t.Context(), &snapshot{Repository: r.id, Commit: commit}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := r.kept(t), []string{"snapshot.flux.a.1-2.0"}; !slices.Equal(got, want) || !slices.Equal(r.j.Snapshot.Secrets, want) {
		t.Errorf("kept are %q, the journal names %+v, want %q", got, r.j.Snapshot, want)
	}
	stored, err := r.store.load(t.Context(), r.id)
	if err != nil {
		t.Fatal(err)
	}
	if snap, err := r.store.loadSnapshot(t.Context(), stored); err != nil || snap.Commit != commitB {
		t.Errorf("the stored journal names %+v: %v", snap, err)
	}

	// A journal that cannot be stored still names the one before.
	double := r.c.Kube.(*fake.Clientset)
	double.PrependReactor("update", "configmaps", func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(corev1.Resource("configmaps"), "", errors.New("no right"))
	})
	if err := r.replaceSnapshot(t.Context(), &snapshot{Repository: r.id, Commit: commitA}); !apierrors.IsForbidden(err) {
		t.Errorf("got %v", err)
	}
	if snap, err := r.store.loadSnapshot(t.Context(), stored); err != nil || snap.Commit != commitB {
		t.Errorf("what the stored journal names is gone: %+v, %v", snap, err)
	}
}

// putPart stores a Secret as if it were a part of a snapshot.
func (r *repository) putPart(t *testing.T, name, repository, run string, kind corev1.SecretType) {
	t.Helper()
	_, err := r.c.Kube.CoreV1().Secrets(migrate.StateNamespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: migrate.StateNamespace, Name: name, Labels: repositoryLabels(repository, stateSnapshot),
			Annotations: map[string]string{migrate.AnnotationRepository: repository, annotationRun: run},
		},
		Type: kind,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDroppingASnapshotLeavesNoSecretOfItAndNoneOfOthersGoes(t *testing.T) {
	r := snapshotting(t, "flux/a")
	for _, name := range []string{"snapshot.flux.a.1-1.0", "snapshot.flux.a.1-2.0", "snapshot.flux.a.1-2.1", "snapshot.flux.a.1-3.0"} {
		r.putPart(t, name, "flux/a", "r1", snapshotType)
	}
	r.putPart(t, "snapshot.flux.b.1-1.0", "flux/b", "r1", snapshotType)
	// The run that wrote the third died before it was noted.
	r.j.Snapshot = snapshotRef{Sequence: 2, Secrets: []string{"snapshot.flux.a.1-2.0", "snapshot.flux.a.1-2.1"}, Superseded: []string{"snapshot.flux.a.1-0.0", "snapshot.flux.a.1-1.0"}}
	if err := dropSnapshot(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got, want := r.kept(t), []string{"snapshot.flux.b.1-1.0"}; !slices.Equal(got, want) {
		t.Errorf("kept are %q, want %q", got, want)
	}
	if r.j.Snapshot.Sequence != 0 || len(r.j.Snapshot.Secrets)+len(r.j.Snapshot.Superseded) > 0 {
		t.Errorf("the journal still names %+v", r.j.Snapshot)
	}
}

func TestNoSecretThatIsNoSnapshotOfTheRunIsDroppedWithIt(t *testing.T) {
	for _, c := range []struct {
		name, run string
		kind      corev1.SecretType
	}{{"one of another run", "r2", snapshotType}, {"a Secret of another type", "r1", corev1.SecretTypeOpaque}} {
		r := snapshotting(t, "flux/a")
		r.putPart(t, "snapshot.flux.a.1-1.0", "flux/a", c.run, c.kind)
		r.j.Snapshot.Secrets = []string{"snapshot.flux.a.1-1.0"}
		if err := dropSnapshot(t.Context(), r); !errors.Is(err, ErrBudget) || len(r.kept(t)) != 1 {
			t.Errorf("%s: got %v, want %v; kept are %q", c.name, err, ErrBudget, r.kept(t))
		}
	}
}

func TestHandingOverAgainAndAgainPilesUpNoSnapshots(t *testing.T) {
	tm := newTeam(t)
	for range 3 {
		hit := false
		tm.crash = crashPoint{"stage", BeforeStarted}.at(&hit)
		if err := tm.migrate(); !errors.Is(err, errCrash) || !hit {
			t.Fatalf("want it to end before it stages, got %v", err)
		}
		tm.breakLease()
		var secrets []string
		for _, o := range tm.state() {
			if strings.HasPrefix(o, "Secret/") {
				secrets = append(secrets, o)
			}
		}
		if len(secrets) != 1 {
			t.Errorf("there are %q, want one", secrets)
		}
	}
	tm.crash = nil
	tm.must(tm.rollback())
}
