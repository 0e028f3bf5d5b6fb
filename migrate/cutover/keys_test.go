package cutover

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	validation "k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/fluxover/fluxover/e2e/sops"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/build"
)

// oldKeys is the Secret from which a team's agent has its keys.
const oldKeys = "flux-age"

// holdsKeys gives the team's agent a key for encrypted files. They are in use
// from the moment on that encrypts is set.
func holdsKeys(tm *team) { tm.keys = map[string]string{"keys.txt": newAge(tm.t).Private} }

func newAge(t *testing.T) sops.Key {
	t.Helper()
	k, err := sops.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// putKeys writes the Secret of the agent's keys.
func (tm *team) putKeys() {
	tm.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: oldKeys, Namespace: tm.flux}, StringData: tm.keys}
	_, err := tm.lab.c.Kube.CoreV1().Secrets(tm.flux).Create(tm.ctx(), secret, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = tm.lab.c.Kube.CoreV1().Secrets(tm.flux).Update(tm.ctx(), secret, metav1.UpdateOptions{})
	}
	tm.must(err)
}

// keyPlaces is what discovery and plan say of the keys.
func (tm *team) keyPlaces() map[string]migrate.Value {
	return map[string]migrate.Value{"keys.txt.agekey": {Secret: &migrate.SecretKey{Namespace: tm.flux, Name: oldKeys, Key: "keys.txt"}}}
}

// withKeys fills in what discovery finds of the keys.
func (tm *team) withKeys(a *migrate.Flux1Agent) {
	if tm.keys == nil {
		return
	}
	a.SOPS, a.Decryption = true, tm.keyPlaces()
	if !tm.encrypts {
		return
	}
	// The test's own context has ended when its cleanup asks.
	live, err := tm.lab.c.Kube.CoreV1().Secrets(tm.flux).Get(context.Background(), oldKeys, metav1.GetOptions{})
	tm.must(err)
	a.DecryptsWith = []string{"keys.txt.agekey"}
	a.Keys, err = build.ReadKeys(map[string][]byte{"keys.txt.agekey": live.Data["keys.txt"]})
	tm.must(err)
}

// planKeys plans their copy for an application.
func (tm *team) planKeys(plan *migrate.Plan) {
	if !tm.encrypts {
		return
	}
	to := migrate.ObjectRef{Namespace: migrate.AgentNamespace, Name: tm.name + "-sops"}
	plan.Credentials = append(plan.Credentials, migrate.Credential{To: to, Kind: migrate.KindDecryption, Agent: tm.id, From: tm.keyPlaces()})
	for _, k := range plan.Repositories[0].Kustomizations {
		if k.GetName() == tm.name+"-web" {
			tm.must(unstructured.SetNestedField(k.Object, map[string]any{"provider": "sops", "secretRef": map[string]any{"name": to.Name}}, "spec", "decryption"))
		}
	}
}

// copied is the Secret of copied keys; nil if it is not there.
func (tm *team) copied() *corev1.Secret {
	tm.t.Helper()
	live, err := tm.lab.c.Kube.CoreV1().Secrets(migrate.AgentNamespace).Get(tm.ctx(), tm.name+"-sops", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	tm.must(err)
	return live
}

// wantCopied demands that the copy holds what the old agent has.
func (tm *team) wantCopied() {
	tm.t.Helper()
	live := tm.copied()
	if live == nil || len(live.Data) != 1 || string(live.Data["keys.txt.agekey"]) != tm.keys["keys.txt"] {
		tm.t.Errorf("the copy is not what the old agent has: %v", live != nil)
	}
}

// tellsNoKey demands that nothing that was told or noted holds a key.
func (tm *team) tellsNoKey(errs ...error) {
	tm.t.Helper()
	journal, err := json.Marshal(tm.journal())
	tm.must(err)
	text := bytes.NewBuffer(journal)
	for _, e := range tm.events {
		text.WriteString(e.Message)
	}
	for _, err := range errs {
		if err != nil {
			text.WriteString(err.Error())
		}
	}
	if strings.Contains(text.String(), "AGE-SECRET-KEY") {
		tm.t.Error("a key is told")
	}
}

func at(step string, do func()) func(string, string, When) bool {
	done := false
	return func(_, s string, when When) bool {
		if s == step && when == BeforeStarted && !done {
			done = true
			do()
		}
		return false
	}
}

func TestDecryptionKeysThatChangedAreSeenBeforeTheOldAgentIsStopped(t *testing.T) {
	for name, change := range map[string]func(*team){
		"the old agent's": func(tm *team) { tm.keys["keys.txt"] = newAge(tm.t).Private; tm.putKeys() },
		"the copy": func(tm *team) {
			live := tm.copied()
			live.Data["more.agekey"] = []byte(newAge(tm.t).Private)
			_, err := tm.lab.c.Kube.CoreV1().Secrets(live.Namespace).Update(tm.ctx(), live, metav1.UpdateOptions{})
			tm.must(err)
		},
		"the copy, deleted": func(tm *team) {
			tm.must(tm.lab.c.Kube.CoreV1().Secrets(migrate.AgentNamespace).Delete(tm.ctx(), tm.name+"-sops", metav1.DeleteOptions{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tm := newTeam(t, holdsKeys, func(tm *team) { tm.encrypts = true })
			generation := func() int64 {
				d, err := tm.lab.c.Kube.AppsV1().Deployments(tm.flux).Get(tm.ctx(), "flux", metav1.GetOptions{})
				tm.must(err)
				return d.Generation
			}
			before := generation()
			err := tm.migrate(func(o *Options) { o.Crash = at("fence", func() { change(tm) }) })
			if err == nil || name != "the copy" && !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "key") {
				t.Fatalf("want it to be seen, got %v", err)
			}
			if generation() != before {
				t.Error("the old agent was stopped")
			}
			tm.tellsNoKey(err)
			if live := tm.copied(); name == "the copy" {
				tm.must(tm.lab.c.Kube.CoreV1().Secrets(live.Namespace).Delete(tm.ctx(), live.Name, metav1.DeleteOptions{}))
			}
			// The next run looks anew, and copies anew.
			tm.must(tm.migrate())
			tm.wantCopied()
			if got := tm.status(); got.Phase != PhaseSettled {
				t.Errorf("phase %s", got.Phase)
			}
		})
	}
}

func TestARunThatGoesOnCopiesTheKeysThatItProvedWith(t *testing.T) {
	tm := newTeam(t, holdsKeys, func(tm *team) { tm.encrypts = true })
	tm.crash = func(_, step string, when When) bool { return step == "stage" && when == BeforeStarted }
	if err := tm.migrate(); err == nil {
		t.Fatal("it did not crash")
	}
	tm.crash = nil
	tm.breakLease()
	tm.wantCopied()
	tm.keys["keys.txt"] = newAge(t).Private
	tm.putKeys()
	tm.must(tm.migrate())
	tm.wantCopied()
	tm.tellsNoKey()
}

func TestACommitWithTheFirstEncryptedFileIsAdoptedWithItsKeys(t *testing.T) {
	for _, step := range []string{"fence", "top-up"} {
		t.Run(step, func(t *testing.T) {
			tm := newTeam(t, holdsKeys)
			move := at(step, func() {
				tm.commit, tm.head, tm.encrypts = commitB, commitB, true
				for app := range tm.git {
					tm.lab.engine.serve(tm.name+"-"+app, commitB, tm.git[app])
				}
				tm.lab.engine.setHead(tm.name, commitB)
			})
			tm.must(tm.migrate(func(o *Options) { o.Crash, o.Commits = move, CommitsAny }))
			if got := tm.status(); got.Commit != commitB || got.Phase != PhaseSettled {
				t.Fatalf("want it adopted at the new mark: %+v", got)
			}
			tm.wantCopied()
			if named, _, _ := nested(tm.kustomization("web"), "spec", "decryption", "secretRef", "name"); named != tm.name+"-sops" {
				t.Errorf("decrypts with %v", named)
			}
			tm.must(tm.rollback())
			if tm.copied() != nil {
				t.Error("the rollback left the copy")
			}
			tm.tellsNoKey()
		})
	}
}

func TestACommitThatIsEncryptedForAnotherKeyIsAdoptedWithThatOne(t *testing.T) {
	tm := newTeam(t, holdsKeys, func(tm *team) { tm.encrypts = true })
	move := at("top-up", func() {
		tm.commit, tm.head = commitB, commitB
		tm.keys["keys.txt"] = newAge(t).Private
		tm.putKeys()
		for app := range tm.git {
			tm.lab.engine.serve(tm.name+"-"+app, commitB, tm.git[app])
		}
		tm.lab.engine.setHead(tm.name, commitB)
	})
	tm.must(tm.migrate(func(o *Options) { o.Crash = move }))
	tm.wantCopied()
	tm.tellsNoKey()
}

func TestARollbackLeavesKeysThatSomebodyPutIntoTheCopy(t *testing.T) {
	tm := newTeam(t, holdsKeys, func(tm *team) { tm.encrypts = true })
	tm.must(tm.migrate())
	live := tm.copied()
	newer := newAge(t).Private
	live.Data["newer.agekey"] = []byte(newer)
	secrets := tm.lab.c.Kube.CoreV1().Secrets(migrate.AgentNamespace)
	_, err := secrets.Update(tm.ctx(), live, metav1.UpdateOptions{})
	tm.must(err)
	plan, err := PlanRollback(tm.ctx(), tm.lab.c, RollbackOptions{Repositories: []string{tm.id}, Head: tm.headObjects, Limits: testLimits})
	tm.must(err)
	if text := plan.Text(); !strings.Contains(text, "leave Secret/flux-system/"+live.Name) || !strings.Contains(text, "and Secrets (3)") {
		t.Errorf("the plan does not say that the keys stay:\n%s", text)
	}
	tm.must(tm.rollback())
	kept := tm.copied()
	if kept == nil || string(kept.Data["newer.agekey"]) != newer {
		t.Fatal("the only copy of a key was deleted")
	}
	named := slices.ContainsFunc(tm.events, func(e Event) bool {
		return strings.Contains(e.Message, "rolled back, but Secret/flux-system/"+live.Name+" stays")
	})
	if !named {
		t.Errorf("nobody says that the keys stay: %v", tm.events)
	}
	tm.tellsNoKey()
	// They are not written over, either.
	if err := tm.migrate(); err == nil || !strings.Contains(err.Error(), live.Name) {
		t.Errorf("want the next migration to stop at it, got %v", err)
	}
	if again := tm.copied(); again == nil || !maps.EqualFunc(again.Data, kept.Data, bytes.Equal) {
		t.Error("the keys were written over")
	}
	tm.must(tm.rollback())
	tm.must(secrets.Delete(tm.ctx(), live.Name, metav1.DeleteOptions{}))
}

func TestARollbackLeavesKeysThatTheOldAgentHasNoMore(t *testing.T) {
	tm := newTeam(t, holdsKeys, func(tm *team) { tm.encrypts = true })
	tm.must(tm.migrate())
	tm.must(tm.lab.c.Kube.CoreV1().Secrets(tm.flux).Delete(tm.ctx(), oldKeys, metav1.DeleteOptions{}))
	head := func(o *RollbackOptions) { o.Head = nil }
	tm.must(tm.rollback(head))
	kept := tm.copied()
	if kept == nil || string(kept.Data["keys.txt.agekey"]) != tm.keys["keys.txt"] {
		t.Fatal("the only copy of a key was deleted")
	}
	tm.tellsNoKey()
	tm.putKeys() // for the end of the test
	tm.must(tm.lab.c.Kube.CoreV1().Secrets(kept.Namespace).Delete(tm.ctx(), kept.Name, metav1.DeleteOptions{}))
}

func TestARefusalOfWhatMayBeDecryptedIsToldWithoutItsWords(t *testing.T) {
	const marked = "MARKED-VALUE"
	kustomization := func(name string, decrypts bool) *unstructured.Unstructured {
		k := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": name, "namespace": "flux-system"}, "spec": map[string]any{}}}
		if decrypts {
			k.Object["spec"] = map[string]any{"decryption": map[string]any{"provider": "sops"}}
		}
		return k
	}
	plan := &planSlice{Repository: migrate.Repository{
		Kustomizations: []*unstructured.Unstructured{kustomization("plain", false), kustomization("sealed", true)},
		Objects: []migrate.ObjectPlan{
			{ID: "b_a__ConfigMap", Application: "plain"}, {ID: "b_a__Secret", Application: "plain"}, {ID: "b_c__ConfigMap", Application: "sealed"},
		},
	}}
	r := &repository{j: &journal{plan: plan}}
	refusal := apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "a", validation.ErrorList{validation.Invalid(validation.NewPath("data").Key("k"), marked, "no")})
	for id, told := range map[string]bool{"b_a__ConfigMap": true, "b_a__Secret": false, "b_c__ConfigMap": false, "b_new__ConfigMap": false} {
		err := r.wordless(id, refusal)
		if strings.Contains(err.Error(), marked) != told || !strings.Contains(err.Error(), "data[k]") {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, c := range []struct {
		k      *unstructured.Unstructured
		reason string
		told   bool
	}{
		{plan.Repository.Kustomizations[0], "ReconciliationFailed", true}, {plan.Repository.Kustomizations[1], "ReconciliationFailed", false},
		{plan.Repository.Kustomizations[1], "BuildFailed", false}, {plan.Repository.Kustomizations[1], "ArtifactFailed", true},
	} {
		k := c.k.DeepCopy()
		k.SetGeneration(2)
		k.Object["status"] = map[string]any{"lastHandledReconcileAt": "t", "observedGeneration": int64(1), "conditions": []any{
			map[string]any{"type": "Ready", "status": "False", "reason": c.reason, "message": "refused: " + marked},
		}}
		_, lack, err := r.kustomizationReady(k, "t")
		if err != nil {
			lack += err.Error()
		}
		if strings.Contains(lack, marked) != c.told || !strings.Contains(lack, c.reason) {
			t.Errorf("%s, %s: %s %v", k.GetName(), c.reason, lack, err)
		}
	}
}
