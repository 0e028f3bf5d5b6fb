package cutover

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// write tries to change the team's ConfigMap as the old account.
func (tm *team) write(extra map[string][]string) error {
	tm.t.Helper()
	as, err := tm.lab.c.As("system:serviceaccount:"+tm.flux+":flux", cluster.ServiceAccountGroups(tm.flux), extra)
	tm.must(err)
	_, err = as.Kube.CoreV1().ConfigMaps(tm.shop).Patch(tm.ctx(), "settings", types.MergePatchType, []byte(`{"metadata":{"annotations":{"written":"yes"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

func refusedByFence(err error, id string) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), fenceName(id))
}

func TestTheFenceRefusesEveryWriteOfTheOldAgentWhateverComesBack(t *testing.T) {
	tm := newTeam(t)
	tm.must(tm.write(nil))
	tm.must(tm.migrate())
	if err := tm.write(nil); !refusedByFence(err, tm.id) {
		t.Fatalf("a patch of the old agent: want it refused by the fence, got %v", err)
	}
	if out, err := tm.kubectl(true, "", "-n", tm.shop, "delete", "configmap", "settings"); err == nil || !strings.Contains(out, fenceName(tm.id)) {
		t.Fatalf("a delete of the old agent: %v\n%s", err, out)
	}
	if out, err := tm.kubectl(true, "", "-n", tm.shop, "create", "configmap", "new"); err == nil || !strings.Contains(out, fenceName(tm.id)) {
		t.Fatalf("a create of the old agent: %v\n%s", err, out)
	}
	if out, err := tm.kubectl(true, "", "-n", tm.shop, "scale", "deployment", "web", "--replicas=3"); err == nil || !strings.Contains(out, fenceName(tm.id)) {
		t.Fatalf("a write to a subresource: %v\n%s", err, out)
	}
	// But for what the API server asks no policy about (finding FENCE_DOES_NOT_REACH).
	const binding = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: of-a-team}\nspec: {policyName: none, validationActions: [Deny]}\n"
	if out, err := tm.kubectl(true, binding, "create", "--dry-run=server", "-f", "-"); err != nil {
		t.Errorf("the fence is said not to reach policies, and does: %v\n%s", err, out)
	}
	if _, err := tm.lab.c.Kube.CoreV1().ConfigMaps(tm.shop).Get(tm.ctx(), "settings", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	// What a "helm upgrade" of the old release does.
	if out, err := tm.kubectl(false, "", "-n", tm.flux, "scale", "deployment", "flux", "--replicas=1"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tm.awaitReady()
	if got := tm.status(); !strings.Contains(got.Message, "started again") {
		t.Errorf("status does not report the old agent that came back: %+v", got)
	}
	tm.must(tm.rollback())
	tm.must(tm.write(nil))
}

func TestAFenceOnASharedAccountRefusesOnlyTheAgentsPods(t *testing.T) {
	tm := newTeam(t, func(tm *team) { tm.shared = true })
	before := tm.picture()
	tm.must(tm.migrate())
	pod := func(name string) map[string][]string { return map[string][]string{extraPodName: {name}} }
	for name, refused := range map[string]bool{
		"flux-6d4cf56db6-x7k2p":           true,
		"flux-5b9-zzzzz":                  true,
		"flux-memcached-6d4cf56db6-x7k2p": false,
		"flux-agent-x7k2p":                false,
		"other-6d4cf56db6-x7k2p":          false,
		"flux-0":                          false,
	} {
		if err := tm.write(pod(name)); refusedByFence(err, tm.id) != refused || !refused && err != nil {
			t.Errorf("a write by pod %s: refused is to be %v, got %v", name, refused, err)
		}
	}
	tm.must(tm.write(nil)) // another workload that uses the account
	tm.must(tm.rollback())
	tm.same("after rollback", before, tm.picture())
}

func TestTheFenceStandsBeforeTheOldAgentEndsAndLetsItEnd(t *testing.T) {
	tm := newTeam(t)
	pods, err := tm.lab.c.Kube.CoreV1().Pods(tm.flux).List(tm.ctx(), metav1.ListOptions{LabelSelector: "test=flux1"})
	tm.must(err)
	uid := string(pods.Items[0].UID)
	var running, other error
	asked := false
	tm.crash = nil
	marks := func(ctx context.Context, g AgentGit, credential map[string][]byte) (Marks, error) {
		if !asked {
			asked = true
			running = tm.write(map[string][]string{extraPodName: {pods.Items[0].Name}, extraPodUID: {uid}})
			other = tm.write(map[string][]string{extraPodName: {"flux-bbbbb-bbbbb"}, extraPodUID: {"11111111-1111-1111-1111-111111111111"}})
		}
		if string(credential["identity"]) != "private-key-of-"+tm.name {
			t.Errorf("the copied credential is not given to who reads the mark")
		}
		return tm.marks(ctx, g, credential)
	}
	tm.must(tm.migrate(func(o *Options) { o.Marks = marks }))
	if !asked {
		t.Fatal("the mark was never read")
	}
	if running != nil {
		t.Errorf("the pod that runs must be able to finish its sync, got %v", running)
	}
	if !refusedByFence(other, tm.id) {
		t.Errorf("a pod started in its place must be refused before the old one ends, got %v", other)
	}
	if err := tm.await(func() bool { return refusedByFence(tm.write(map[string][]string{extraPodUID: {uid}}), tm.id) }); err != nil {
		t.Errorf("once the pods are gone nobody is exempt: %v", err)
	}
}

func TestAPodThatDoesNotEndIsNamedAndTheOldAgentGoesOn(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	pods, err := tm.lab.c.Kube.CoreV1().Pods(tm.flux).List(tm.ctx(), metav1.ListOptions{LabelSelector: "test=flux1"})
	tm.must(err)
	hold := func(patch string) {
		_, err := tm.lab.c.Kube.CoreV1().Pods(tm.flux).Patch(tm.ctx(), pods.Items[0].Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		tm.must(err)
	}
	hold(`{"metadata":{"finalizers":["test.example/hold"]}}`)
	err = tm.migrate(func(o *Options) { o.Limits.Pods = 5 * time.Second })
	if err == nil || !strings.Contains(err.Error(), pods.Items[0].Name) || !strings.Contains(err.Error(), "terminating") {
		t.Fatalf("want an error that names the pod, got %v", err)
	}
	if got := tm.status(); got.Phase != PhaseFailed || got.Step != "fence" {
		t.Errorf("status: %+v", got)
	}
	tm.must(tm.write(nil))
	d, err := tm.lab.c.Kube.AppsV1().Deployments(tm.flux).Get(tm.ctx(), "flux", metav1.GetOptions{})
	tm.must(err)
	if *d.Spec.Replicas != 1 {
		t.Errorf("replicas are %d, want them put back", *d.Spec.Replicas)
	}
	hold(`{"metadata":{"finalizers":null}}`)
	tm.must(tm.migrate())
	tm.must(tm.rollback())
	tm.same("after all", before, tm.picture())
}

func TestAMarkThatMovesBeforeTheOldAgentEndedIsAdopted(t *testing.T) {
	tm := newTeam(t)
	// The old agent syncs commit B at the last moment, as its pod ends.
	reads := 0
	marks := func(context.Context, AgentGit, map[string][]byte) (Marks, error) {
		if reads++; reads == 2 {
			tm.commit, tm.head = commitB, commitB
			tm.git["web"][2].Object["data"] = map[string]any{"colour": "green"}
			tm.sync()
			for app := range tm.git {
				tm.lab.engine.serve(tm.name+"-"+app, commitB, tm.git[app])
			}
			tm.lab.engine.setHead(tm.name, commitB)
		}
		return Marks{Synced: tm.commit, Head: tm.head}, nil
	}
	// The write happens before the fence of this test's double: let it pass.
	syncBeforeFence := func(repository, step string, when When) bool {
		if repository == tm.id && step == "fence" && when == BeforeStarted && reads == 0 {
			reads = 1
			_, _ = marks(tm.ctx(), AgentGit{}, nil) // the result is read again later
		}
		return false
	}
	tm.must(tm.migrate(func(o *Options) { o.Marks, o.Crash = marks, syncBeforeFence }))
	if got := tm.status(); got.Commit != commitB || got.Phase != PhaseSettled {
		t.Fatalf("want it adopted at the new mark: %+v", got)
	}
	for _, e := range tm.events {
		if strings.Contains(e.Message, "predicting again") {
			t.Errorf("what was synced before the old agent was stopped is planned for again in the gap: %s", e.Message)
		}
	}
	applied, _, _ := nested(tm.kustomization("web"), "status", "lastAppliedRevision")
	if applied != "main@sha1:"+commitB {
		t.Errorf("applied %s", applied)
	}
	if n := len(tm.replans); n < 2 || tm.replans[0] || !tm.replans[n-1] {
		t.Errorf("commit B, which came after staging, is to be tried as the future account, and commit A as the old one: %v", tm.replans)
	}
}

func TestAChangeSeenAfterTheFenceIsPredictedAgainAndABlockerLiftsTheFence(t *testing.T) {
	tm := newTeam(t)
	// Somebody edits a managed field between snapshot and top-up.
	edit := func(_, step string, when When) bool {
		if step == "top-up" && when == BeforeStarted {
			out, err := tm.kubectl(false, "", "-n", tm.shop, "patch", "service", "web", "--type=merge", "-p", `{"spec":{"sessionAffinity":"ClientIP"}}`)
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			tm.blockedOnReplan = &migrate.Finding{Severity: migrate.Blocker, Code: "SURPRISE", Subject: tm.id, Repository: tm.id, Message: "a surprise"}
		}
		return false
	}
	err := tm.migrate(func(o *Options) { o.Crash, o.Commits = edit, CommitsAny })
	if !errors.Is(err, ErrBlocked) || !strings.Contains(err.Error(), "SURPRISE") {
		t.Fatalf("want it held back by the finding, got %v", err)
	}
	tm.must(tm.write(nil))
	tm.awaitReady()
	if web := tm.live("Deployment", "web"); web.GetLabels()[flux1.MarkLabel] == "" {
		t.Error("something was adopted")
	}
	tm.blockedOnReplan = nil
}

func TestAMarkThatMovedWhileTheOldAgentEndedIsRepinnedBehindTheFence(t *testing.T) {
	tm := newTeam(t)
	move := func(_, step string, when When) bool {
		if step == "top-up" && when == BeforeStarted {
			tm.commit, tm.head = commitB, commitB
			for app := range tm.git {
				tm.lab.engine.serve(tm.name+"-"+app, commitB, tm.git[app])
			}
			tm.lab.engine.setHead(tm.name, commitB)
		}
		return false
	}
	tm.must(tm.migrate(func(o *Options) { o.Crash = move }))
	if got := tm.status(); got.Commit != commitB || got.Phase != PhaseSettled {
		t.Fatalf("want it adopted at the new mark: %+v", got)
	}
	for _, e := range tm.journal().Entries {
		if e.State == Undone {
			t.Errorf("step %s was undone", e.Step)
		}
	}
	if n := len(tm.replans); n < 2 || tm.replans[0] || !tm.replans[n-1] {
		t.Errorf("behind the fence the future account is to be asked, which no refusal tells where the account is shared: %v", tm.replans)
	}
}

func TestABindingThatWasChangedOrDeletedIsMended(t *testing.T) {
	tm := newTeam(t)
	r := tm.atTheFence()
	bindings := tm.lab.c.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	tm.must(r.raise(tm.ctx(), nil))
	live, err := bindings.Get(tm.ctx(), fenceName(tm.id), metav1.GetOptions{})
	tm.must(err)
	live.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn}
	_, err = bindings.Update(tm.ctx(), live, metav1.UpdateOptions{})
	tm.must(err)
	tm.must(r.raise(tm.ctx(), nil))
	mended, err := bindings.Get(tm.ctx(), fenceName(tm.id), metav1.GetOptions{})
	tm.must(err)
	if !slices.Equal(mended.Spec.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny}) {
		t.Errorf("a binding that was changed is to be mended, it says %v", mended.Spec.ValidationActions)
	}
	tm.must(bindings.Delete(tm.ctx(), fenceName(tm.id), metav1.DeleteOptions{}))
	tm.must(r.raise(tm.ctx(), nil))
	if _, err := bindings.Get(tm.ctx(), fenceName(tm.id), metav1.GetOptions{}); err != nil {
		t.Errorf("a binding that was deleted is to be made again: %v", err)
	}
}
