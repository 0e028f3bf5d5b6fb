package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/fluxcd/cli-utils/pkg/object"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/fluxover/fluxover/reconcile/build"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func everySecond(r *sourcev1.GitRepository) { r.Spec.Interval.Duration = time.Second }

// The new application waits for the one that the file leaves, so that this one
// always comes first: it must not delete what the other is about to have.
func TestAFileThatMovesToAnotherApplicationIsNotDeletedAndMadeAnew(t *testing.T) {
	for name, loose := range map[string]bool{"of the same source": false, "of another source of the same repository": true} {
		t.Run(name, func(t *testing.T) {
			namespace := nextTeam(t)
			moving := configMapYAML(namespace, "moving", "1")
			e := newTeam(t, map[string]string{
				"a/kept.yaml": configMapYAML(namespace, "kept", "1"), "a/moving.yaml": moving, "a/going.yaml": configMapYAML(namespace, "going", "1"),
				"b.yaml": configMapYAML(namespace, "files", "1"), "b/other.yaml": configMapYAML(namespace, "other", "1"),
			}, everySecond)
			a := e.kustomization("a", "./a")
			b := e.kustomization("b", "./b", func(k *kustomizev1.Kustomization) {
				k.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "a"}}
			})
			to := "b/moving.yaml"
			if loose {
				files, ignore := e.repository("files"), "/a/\n/b/\n"
				everySecond(files)
				files.Spec.Ignore = &ignore
				e.create(files)
				b.Spec.Path, b.Spec.SourceRef.Name, b.Spec.DependsOn = "./", "files", nil
				to = "moving.yaml"
			}
			e.create(a)
			e.create(b)
			until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
			until(e, b, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
			cm := e.configMap("moving")
			if !e.exists(cm) || cm.Labels[ownerName] != "a" {
				t.Fatalf("it is not a's: %v", cm.Labels)
			}
			uid := cm.UID

			if loose {
				// Its source hears of the commit later than a's.
				files := e.repository("files")
				e.patch(files, func() { files.Spec.Suspend = true })
			}
			commit := e.push("move one, remove one", map[string]string{"a/moving.yaml": "", to: moving, "a/going.yaml": ""})
			e.untilReady(a, commit)
			if loose {
				files := e.repository("files")
				e.patch(files, func() { files.Spec.Suspend = false })
			}
			e.untilReady(b, commit)
			if e.exists(e.configMap("going")) {
				t.Error("what left Git is still there")
			}
			after := e.configMap("moving")
			if !e.exists(after) || after.UID != uid || after.Labels[ownerName] != "b" {
				t.Errorf("it was made anew, or is not b's: UID %s, then %s, labels %v", uid, after.UID, after.Labels)
			}
			id := namespace + "_moving__ConfigMap"
			if !slices.Contains(e.inventory(b), id) {
				t.Errorf("b holds %v", e.inventory(b))
			}

			commit = e.push("change a", map[string]string{"a/kept.yaml": configMapYAML(namespace, "kept", "2")})
			e.untilReady(a, commit)
			if slices.Contains(e.inventory(a), id) {
				t.Errorf("a still holds %v", e.inventory(a))
			}
			e.untilReady(b, e.push("remove it", map[string]string{to: ""}))
			if e.exists(e.configMap("moving")) {
				t.Error("it left Git, and is still there")
			}
		})
	}
}

// A plan fills in a namespace, and takes one away, by a patch for each object of one
// Kustomization: another one that builds the file has it as it stands in Git.
func TestAFileThatMovesAwayFromThePatchOfItsNamespaceIsNotDeleted(t *testing.T) {
	namespace := nextTeam(t)
	role := "moving-" + namespace
	unplaced := strings.Replace(configMapYAML(namespace, "web", "1"), "  namespace: "+namespace+"\n", "", 1)
	placed := fmt.Sprintf("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: %s\n  namespace: %s\nrules: []\n", role, namespace)
	e := newTeam(t, map[string]string{
		"a/kept.yaml": configMapYAML(namespace, "kept", "1"), "a/web.yaml": unplaced, "a/role.yaml": placed,
		"b/other.yaml": configMapYAML(namespace, "other", "1"),
	}, everySecond)
	fill := "- op: add\n  path: /metadata/namespace\n  value: " + namespace + "\n"
	a := e.kustomization("a", "./a", func(k *kustomizev1.Kustomization) {
		k.Spec.Patches = []kustomize.Patch{
			{Patch: fill, Target: &kustomize.Selector{Kind: "^ConfigMap$", Name: "^web$"}},
			{Patch: fill + "- op: remove\n  path: /metadata/namespace\n", Target: &kustomize.Selector{Kind: "^ClusterRole$"}},
		}
	})
	b := e.kustomization("b", "./b", func(k *kustomizev1.Kustomization) {
		k.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "a"}}
	})
	e.create(a)
	e.create(b)
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	until(e, b, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	cm, clusterRole := e.configMap("web"), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: role}}
	if !e.exists(cm) || !e.exists(clusterRole) {
		t.Fatal("they are not there")
	}
	uid, roleUID := cm.UID, clusterRole.UID

	e.untilReady(a, e.push("move both", map[string]string{"a/web.yaml": "", "b/web.yaml": unplaced, "a/role.yaml": "", "b/role.yaml": placed}))
	if !e.exists(e.configMap("web")) {
		t.Fatal("the one without a namespace was deleted")
	}
	e.untilEvent("Warning", "ConfigMap/"+namespace+"/web is left to Kustomization b, where it has no namespace")
	commit := e.push("name the namespace", map[string]string{"b/web.yaml": configMapYAML(namespace, "web", "1")})
	e.untilReady(a, commit)
	e.untilReady(b, commit)
	if after := e.configMap("web"); !e.exists(after) || after.UID != uid || after.Labels[ownerName] != "b" {
		t.Errorf("it was made anew, or is not b's: UID %s, then %s, labels %v", uid, after.UID, after.Labels)
	}
	if !e.exists(clusterRole) || clusterRole.UID != roleUID || clusterRole.Labels[ownerName] != "b" {
		t.Errorf("the one of no namespace was made anew, or is not b's: UID %s, then %s, labels %v", roleUID, clusterRole.UID, clusterRole.Labels)
	}
}

// untilEvent waits for an event of the team's namespace.
func (e *team) untilEvent(kind, text string) {
	e.t.Helper()
	waitFor(e.t, kind+" "+text, func() bool {
		events := &corev1.EventList{}
		e.must(e.client.List(e.ctx, events, client.InNamespace(e.namespace)))
		return slices.ContainsFunc(events.Items, func(event corev1.Event) bool {
			return event.Type == kind && strings.Contains(event.Message, text)
		})
	})
}

// All of an application's files may move: that its build is empty is then no
// reason to stop.
func TestAnApplicationWhoseFilesAllMoveDeletesNothing(t *testing.T) {
	namespace := nextTeam(t)
	one, two := configMapYAML(namespace, "one", "1"), configMapYAML(namespace, "two", "1")
	e := newTeam(t, map[string]string{"a/README.md": "of a\n", "a/one.yaml": one, "a/two.yaml": two, "b/other.yaml": configMapYAML(namespace, "other", "1")}, everySecond)
	a, b := e.kustomization("a", "./a"), e.kustomization("b", "./b", func(k *kustomizev1.Kustomization) {
		k.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "a"}}
	})
	e.create(a)
	e.create(b)
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	until(e, b, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	cm := e.configMap("one")
	if !e.exists(cm) {
		t.Fatal("it is not there")
	}
	uid := cm.UID
	e.push("move one, lose the other", map[string]string{"a/one.yaml": "", "a/two.yaml": "", "b/one.yaml": one})
	until(e, a, "refused", func(k *kustomizev1.Kustomization) bool {
		return strings.Contains(conditions.GetMessage(k, fluxmeta.ReadyCondition), "builds no object while 2 are in the inventory")
	})
	commit := e.push("move the other too", map[string]string{"b/two.yaml": two})
	e.untilReady(a, commit)
	e.untilReady(b, commit)
	if after := e.configMap("one"); !e.exists(after) || after.UID != uid || after.Labels[ownerName] != "b" || !e.exists(e.configMap("two")) {
		t.Errorf("it was made anew, or is not b's: UID %s, then %s, labels %v", uid, after.UID, after.Labels)
	}
}

// An heir that goes after it was asked whether all moved is none to leave them to,
// and does not make an empty build one that deletes.
func TestAnApplicationWhoseHeirGoesMeanwhileDeletesNothing(t *testing.T) {
	reader := &goneAtSecondSight{name: "b"}
	labels := agentOfItsOwn(t, "heirless", func(a *agent) {
		reader.Reader = a.kustomizations.live
		a.kustomizations.live = reader
	})
	namespace := nextTeam(t)
	one, two := configMapYAML(namespace, "one", "1"), configMapYAML(namespace, "two", "1")
	e := newTeam(t, map[string]string{"a/README.md": "of a\n", "a/one.yaml": one, "a/two.yaml": two, "b/other.yaml": configMapYAML(namespace, "other", "1")},
		everySecond, func(r *sourcev1.GitRepository) { r.Labels = labels })
	mine := func(k *kustomizev1.Kustomization) { k.Labels = labels }
	a := e.kustomization("a", "./a", mine)
	b := e.kustomization("b", "./b", mine, func(k *kustomizev1.Kustomization) {
		k.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "a"}}
	})
	e.create(a)
	e.create(b)
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	until(e, b, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	e.push("move both", map[string]string{"a/one.yaml": "", "a/two.yaml": "", "b/one.yaml": one, "b/two.yaml": two})
	until(e, a, "refused", func(k *kustomizev1.Kustomization) bool {
		return strings.Contains(conditions.GetMessage(k, fluxmeta.ReadyCondition), "builds no object while 2 are in the inventory")
	})
	if !e.exists(e.configMap("one")) || !e.exists(e.configMap("two")) || len(e.inventory(a)) != 2 {
		t.Errorf("they were deleted, or forgotten: the inventory is %v", e.inventory(a))
	}
	if n := reader.lists.Load(); n < 2 {
		t.Errorf("Kustomizations were listed %d times", n)
	}
}

// agentOfItsOwn starts an agent for objects of a shard, and gives their labels.
func agentOfItsOwn(t *testing.T, shard string, change func(*agent)) map[string]string {
	t.Helper()
	opts := testOptions(t.TempDir())
	opts.WatchLabelSelector = shardKey + "=" + shard
	stop, err := startAgent(t.Context(), inLab(t).plane.Config(), opts, change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return map[string]string{shardKey: shard}
}

// goneAtSecondSight shows a Kustomization when they are first listed, and never again.
type goneAtSecondSight struct {
	client.Reader
	name  string
	lists atomic.Int64
}

func (r *goneAtSecondSight) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := r.Reader.List(ctx, list, opts...)
	if found, ok := list.(*kustomizev1.KustomizationList); ok && r.lists.Add(1) > 1 {
		found.Items = slices.DeleteFunc(found.Items, func(k kustomizev1.Kustomization) bool { return k.Name == r.name })
	}
	return err
}

// When a base changes, all that are built of it ask each other: each is rendered
// for that once, not once for each that asks.
func TestApplicationsThatLoseTheSameAtOnceAreRenderedOnceMore(t *testing.T) {
	const n = 5
	namespace := nextTeam(t)
	files, without := map[string]string{}, map[string]string{}
	for i := range n {
		folder := fmt.Sprintf("app-%d", i)
		files[folder+"/kept.yaml"] = configMapYAML(namespace, "kept-"+folder, "1")
		files[folder+"/gone.yaml"] = configMapYAML(namespace, "gone-"+folder, "1")
		without[folder+"/gone.yaml"] = ""
	}
	e := newTeam(t, files, everySecond)
	var apps []*kustomizev1.Kustomization
	for i := range n {
		apps = append(apps, e.kustomization(fmt.Sprintf("app-%d", i), fmt.Sprintf("./app-%d", i)))
		e.create(apps[i])
	}
	for _, k := range apps {
		until(e, k, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	}
	before := testutil.ToFloat64(buildsTotal)
	commit := e.push("lose them", without)
	for i, k := range apps {
		e.untilReady(k, commit)
		if e.exists(e.configMap(fmt.Sprintf("gone-app-%d", i))) {
			t.Errorf("what left app-%d is still there", i)
		}
	}
	if builds := testutil.ToFloat64(buildsTotal) - before; builds > 3*n { // n^2 if each asked anew
		t.Errorf("%d applications were rendered %v times", n, builds)
	}
}

// One that leaves Git before the other application had it is deleted by the
// first, which has not forgotten it.
func TestAFileThatMovedAndThenLeftGitIsDeletedByWhoeverHadIt(t *testing.T) {
	namespace := nextTeam(t)
	moving := configMapYAML(namespace, "moving", "1")
	e := newTeam(t, map[string]string{"a/kept.yaml": configMapYAML(namespace, "kept", "1"), "a/moving.yaml": moving, "b/other.yaml": configMapYAML(namespace, "other", "1")}, everySecond)
	a, b := e.kustomization("a", "./a"), e.kustomization("b", "./b")
	e.create(a)
	e.create(b)
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	until(e, b, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	e.patch(b, func() { b.Spec.Suspend = true })
	e.request(b, "suspended")
	until(e, b, "suspended", func(k *kustomizev1.Kustomization) bool {
		return k.Status.GetLastHandledReconcileRequest() == "suspended"
	})
	e.untilReady(a, e.push("move it", map[string]string{"a/moving.yaml": "", "b/moving.yaml": moving}))
	if !e.exists(e.configMap("moving")) {
		t.Fatal("it was deleted, though b builds it")
	}
	e.untilEvent("Warning", "ConfigMap/"+namespace+"/moving is left to Kustomization b, which is suspended")
	e.untilReady(a, e.push("remove it", map[string]string{"b/moving.yaml": ""}))
	if e.exists(e.configMap("moving")) {
		t.Error("nobody builds it, and it is still there")
	}
}

// Nothing is deleted that another application, which cannot be built, may have by
// now, which holds up nobody; one whose files do not name it has it not, and one of
// another repository is nobody to ask.
func TestAnApplicationThatCannotBeBuiltKeepsOthersFromDeleting(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{
		"a/kept.yaml": configMapYAML(namespace, "kept", "1"), "a/gone.yaml": configMapYAML(namespace, "gone", "1"),
		"a/going.yaml": configMapYAML(namespace, "going", "1"), "b/other.yaml": configMapYAML(namespace, "other", "1"),
	}, everySecond)
	a, b := e.kustomization("a", "./a"), e.kustomization("b", "./b", func(k *kustomizev1.Kustomization) {
		k.Spec.Patches = []kustomize.Patch{{ // as a plan writes them
			Patch:  "- op: add\n  path: /metadata/annotations\n  value: {kustomize.toolkit.fluxcd.io/prune: disabled}\n",
			Target: &kustomize.Selector{Kind: "^ConfigMap$", Name: "^other$"},
		}}
	})
	e.create(a)
	e.create(b)
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	until(e, b, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	e.untilReady(a, e.push("remove one, break b", map[string]string{"a/gone.yaml": "", "b/other.yaml": "kind: [\n"}))
	if e.exists(e.configMap("gone")) {
		t.Error("it is still there, though b does not name it")
	}
	moved := e.push("move one into a file that cannot be read", map[string]string{"a/going.yaml": "", "b/other.yaml": "kind: [\nname: going\n"})
	e.untilReady(a, moved)
	if !e.exists(e.configMap("going")) {
		t.Error("it was deleted")
	}
	e.untilEvent("Warning", "ConfigMap/"+namespace+"/going is not deleted: Kustomization b may have it now")
	e.patch(b, func() { b.Spec.SourceRef.Name = "elsewhere" })
	elsewhere := e.repository("elsewhere")
	elsewhere.Spec.URL += "-of-another"
	e.create(elsewhere)
	e.request(a, "again")
	until(e, a, "looked at again", func(k *kustomizev1.Kustomization) bool {
		return k.Status.GetLastHandledReconcileRequest() == "again" && conditions.IsReady(k)
	})
	if e.exists(e.configMap("going")) {
		t.Error("it is still there")
	}
}

func TestAPatchThatCannotGiveANameKeepsNothing(t *testing.T) {
	for patch, want := range map[string]bool{
		"- op: add\n  path: /metadata/annotations\n  value: {a: b}\n":                                false,
		"- {op: add, path: /metadata/namespace, value: default}\n- {op: remove, path: /spec/name}\n": false,
		`[{"op": "replace", "path": "/spec/replicas", "value": 2}]`:                                  false,
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: every\n":                                false,
		"- op: replace\n  path: /metadata/name\n  value: other\n":                                    true,
		"- op: replace\n  path: /metadata\n  value: {}\n":                                            true,
		"- op: copy\n  from: /data/a\n  path: /metadata/name\n":                                      true,
		"- op: replace\n  path: \"\"\n  value: {}\n":                                                 true,
		"- op: replace\n":   true,
		"data:\n  a: web\n": true,
		"a: [\n":            true,
		"":                  true,
	} {
		if got := mayName(patch, "web"); got != want {
			t.Errorf("%q may name it: %t", patch, got)
		}
	}
}

// The object stays, whatever keeps the other one from applying it, which is told.
func TestWhyAnHeirDoesNotApplyWhatMovedIsTold(t *testing.T) {
	namespace := nextTeam(t)
	one, two := configMapYAML(namespace, "one", "1"), configMapYAML(namespace, "two", "1")
	e := newTeam(t, map[string]string{
		"a/kept.yaml": configMapYAML(namespace, "kept", "1"), "a/one.yaml": one, "a/two.yaml": two, "b/other.yaml": configMapYAML(namespace, "other", "1"),
	}, everySecond)
	a, b := e.kustomization("a", "./a"), e.kustomization("b", "./b")
	e.create(a)
	e.create(b)
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	until(e, b, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	marked := strings.Replace(one, "metadata:\n", "metadata:\n  annotations: {kustomize.toolkit.fluxcd.io/reconcile: disabled}\n", 1)
	commit := e.push("move one, and leave it alone", map[string]string{"a/one.yaml": "", "b/one.yaml": marked})
	e.untilReady(a, commit)
	e.untilReady(b, commit)
	e.untilEvent("Warning", "ConfigMap/"+namespace+"/one is left to Kustomization b, which leaves it alone, as it is marked")
	e.patch(b, func() {
		b.Spec.HealthCheckExprs = []kustomize.CustomHealthCheck{{APIVersion: "v1", Kind: "ConfigMap", HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: "true"}}}
	})
	until(e, b, "stalled", func(k *kustomizev1.Kustomization) bool { return conditions.IsStalled(k) })
	e.untilReady(a, e.push("move the other", map[string]string{"a/two.yaml": "", "b/two.yaml": two}))
	e.untilEvent("Warning", "ConfigMap/"+namespace+"/two is left to Kustomization b, which is stalled: UnsupportedField")
	if !e.exists(e.configMap("one")) || !e.exists(e.configMap("two")) {
		t.Error("one of them was deleted")
	}
}

// What another Kustomization's status holds is no reason to fail.
func TestAnInventoryOfAnotherThatCannotBeReadHoldsUpNobody(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{
		"a/kept.yaml": configMapYAML(namespace, "kept", "1"), "a/gone.yaml": configMapYAML(namespace, "gone", "1"), "b/other.yaml": configMapYAML(namespace, "other", "1"),
	}, everySecond)
	a := e.kustomization("a", "./a")
	b := e.kustomization("b", "./b", func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true })
	e.create(a)
	e.create(b)
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(b), b))
	before := b.DeepCopy()
	b.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{{ID: "not-an-id", Version: "v1"}}}
	e.must(e.client.Status().Patch(e.ctx, b, client.MergeFrom(before)))
	e.untilReady(a, e.push("remove one", map[string]string{"a/gone.yaml": ""}))
	if e.exists(e.configMap("gone")) {
		t.Error("what left Git is still there")
	}
}

// Others have a limit of their own, within that of who asks.
func TestAnotherThatIsNotRenderedInTimeHoldsUpNobody(t *testing.T) {
	reader := &slowAtWill{name: "values"}
	labels := agentOfItsOwn(t, "slow", func(a *agent) {
		reader.Reader = a.kustomizations.live
		a.kustomizations.live, a.kustomizations.neighbourLimit = reader, 500*time.Millisecond
	})
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{
		"a/kept.yaml": configMapYAML(namespace, "kept", "1"), "a/gone.yaml": configMapYAML(namespace, "gone", "1"), "b/other.yaml": configMapYAML(namespace, "other", "1"),
	}, everySecond, func(r *sourcev1.GitRepository) { r.Labels = labels })
	e.create(e.configMap("values"))
	a := e.kustomization("a", "./a", func(k *kustomizev1.Kustomization) {
		k.Labels, k.Spec.Timeout = labels, &metav1.Duration{Duration: 5 * time.Second}
	})
	b := e.kustomization("b", "./b", func(k *kustomizev1.Kustomization) {
		k.Labels, k.Spec.Suspend = labels, true
		k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "ConfigMap", Name: "values"}}}
	})
	e.create(a)
	e.create(b)
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	reader.slow.Store(true)
	e.untilReady(a, e.push("remove one", map[string]string{"a/gone.yaml": ""}))
	e.untilEvent("Warning", "ConfigMap/"+namespace+"/gone is not deleted: Kustomization b may have it now, and cannot be built: not done after 500ms")
	if !e.exists(e.configMap("gone")) {
		t.Error("it was deleted, though nobody knows what b has")
	}
	reader.slow.Store(false)
	for n := 0; e.exists(e.configMap("gone")); n++ { // it may be slow again, on a busy machine
		if n == 20 {
			t.Fatal("what left Git is still there")
		}
		again := fmt.Sprintf("again %d", n)
		e.request(a, again)
		until(e, a, "looked at again", func(k *kustomizev1.Kustomization) bool {
			return k.Status.GetLastHandledReconcileRequest() == again && conditions.IsReady(k)
		})
	}
}

// slowAtWill answers for a ConfigMap only once its reader gives up.
type slowAtWill struct {
	client.Reader
	name string
	slow atomic.Bool
}

func (r *slowAtWill) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if _, ok := o.(*corev1.ConfigMap); ok && key.Name == r.name && r.slow.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return r.Reader.Get(ctx, key, o, opts...)
}

// Who asks for what another builds waits for it together with the others that ask, and
// no longer than for a while; what comes of it later is kept.
func TestOneThatIsSlowToRenderIsRenderedOnceAndHoldsUpNobody(t *testing.T) {
	files := &slowFile{name: "b/other.yaml", released: make(chan struct{}), FS: fstest.MapFS{
		"b/other.yaml": {Data: []byte(configMapYAML("team", "moved", "1"))},
		"c/other.yaml": {Data: []byte(configMapYAML("team", "quick", "1"))},
	}}
	release := sync.OnceFunc(func() { close(files.released) })
	defer release()
	artifact, err := build.NewArtifact(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	named := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "team", Name: name, UID: types.UID(name)}
	}
	building := func(name string) kustomizev1.Kustomization {
		return kustomizev1.Kustomization{ObjectMeta: named(name), Spec: kustomizev1.KustomizationSpec{
			Path: "./" + name, SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
			PostBuild: &kustomizev1.PostBuild{Substitute: map[string]string{"any": "value"}}, // it may build whatever
		}}
	}
	repository := types.NamespacedName{Namespace: "team", Name: "app"}
	r := &kustomizer{trees: &trees{}, neighbourLimit: 300 * time.Millisecond, renderings: make(chan struct{}, 2), now: time.Now, live: listed{
		sources: []sourcev1.GitRepository{{ObjectMeta: named("app")}}, kustomizations: []kustomizev1.Kustomization{building("b"), building("c")},
	}}
	closed := &closes{}
	r.trees.put(repository, &tree{revision: "first", digest: "d", artifact: artifact, snapshot: closed})
	tr, done := r.trees.use(repository, "first", "d")
	type answer struct {
		heirs map[object.ObjMetadata]heir
		err   error
	}
	moved := object.ObjMetadata{Namespace: "team", Name: "moved", GroupKind: schema.GroupKind{Kind: "ConfigMap"}}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(moved.GroupKind.WithVersion("v1"))
	u.SetNamespace(moved.Namespace)
	u.SetName(moved.Name)
	ask := func(ctx context.Context, name string) chan answer {
		answers := make(chan answer, 1)
		k := building(name)
		go func() {
			heirs, err := r.heirs(ctx, &k, tr, []*unstructured.Unstructured{u})
			answers <- answer{heirs, err}
		}()
		return answers
	}
	hear := func(answers chan answer) answer {
		t.Helper()
		select {
		case a := <-answers:
			return a
		case <-time.After(waitLimit):
			t.Fatal("it is still waited for the slow one")
		}
		return answer{}
	}
	files.slow.Store(true)
	hurried, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	first, second, third := ask(t.Context(), "a1"), ask(t.Context(), "a2"), ask(hurried, "a3")
	if a := hear(third); !errors.Is(a.err, context.DeadlineExceeded) {
		t.Errorf("who has no more time got %v, %v", a.heirs, a.err)
	}
	for _, answers := range []chan answer{first, second} {
		if a := hear(answers); a.err != nil || !strings.Contains(a.heirs[moved].broken, "not done after 300ms") || !a.heirs[moved].passing {
			t.Errorf("of the slow one is known %+v, %v", a.heirs[moved], a.err)
		}
	}
	if n := files.opened.Load(); n != 1 {
		t.Errorf("three asked, and it was begun %d times", n)
	}
	r.neighbourLimit = time.Hour
	if a := hear(ask(t.Context(), "a5")); a.err != nil || !a.heirs[moved].passing {
		t.Errorf("who asks once it is known to be slow got %+v, %v", a.heirs[moved], a.err)
	}
	done()
	r.trees.put(repository, nil)
	if closed.Load() {
		t.Error("the tree is freed while it is read")
	}
	release()
	waitFor(t, "the tree to be freed", closed.Load)
	opened := files.opened.Load()
	if a := hear(ask(t.Context(), "a4")); a.err != nil || a.heirs[moved] != (heir{name: "b"}) {
		t.Errorf("once it is done it is known: %+v, %v", a.heirs[moved], a.err)
	}
	if n := files.opened.Load(); n != opened {
		t.Errorf("what came late was not kept: its file was read %d times more", n-opened)
	}
}

func TestWhatIsNotAnsweredIsToldApartFromWhatCannotBeBuilt(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("not done after 20s: %w", context.DeadlineExceeded), true},
		{fmt.Errorf("post build failed: %w", apierrors.NewTimeoutError("slow", 1)), true},
		{fmt.Errorf("post build failed: %w", apierrors.NewInternalError(errors.New("etcd"))), true},
		{fmt.Errorf("post build failed: %w", apierrors.NewNotFound(secrets, "x")), false},
		{fmt.Errorf("post build failed: %w", apierrors.NewForbidden(secrets, "x", nil)), false},
		{errors.New("did not find expected node content"), false},
	} {
		if got := unanswered(c.err); got != c.want {
			t.Errorf("%v: %t", c.err, got)
		}
	}
}

// slowFile opens a file only once that is released, if it is slow.
type slowFile struct {
	fs.FS
	name     string
	slow     atomic.Bool
	opened   atomic.Int64
	released chan struct{}
}

func (f *slowFile) Open(name string) (fs.File, error) {
	if name == f.name && f.slow.Load() {
		f.opened.Add(1)
		<-f.released
	}
	return f.FS.Open(name)
}

// One that reads values in the cluster is rendered anew once these are others, and that
// one cannot be rendered is remembered for a while.
func TestWhatAnotherBuildsIsRememberedWhileItReadsTheSame(t *testing.T) {
	files := &slowFile{name: "b/other.yaml", released: make(chan struct{}), FS: fstest.MapFS{
		"b/other.yaml": {Data: []byte(configMapYAML("team", "moved", "${value:=1}"))},
	}}
	files.slow.Store(true)
	close(files.released) // it only counts
	values := &valuesOfOne{version: "1"}
	now := time.Now()
	r := &kustomizer{trees: &trees{}, neighbourLimit: waitLimit, renderings: make(chan struct{}, 1), now: func() time.Time { return now }, live: values}
	other := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "b", UID: "b"}, Spec: kustomizev1.KustomizationSpec{
		Path: "./b", PostBuild: &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "ConfigMap", Name: "values"}}},
	}}
	newTree := func() *tree {
		artifact, err := build.NewArtifact(files, nil)
		if err != nil {
			t.Fatal(err)
		}
		tr := &tree{revision: "r", digest: "d", artifact: artifact}
		files.opened.Store(0)
		return tr
	}
	look := func(tr *tree) error {
		_, err := r.wouldBuild(t.Context(), other, origin{artifact: tr.artifact, tree: tr, as: builtAs{kustomization: other.UID}}, tr)
		return err
	}
	tr := newTree()
	for i, version := range []string{"1", "1", "2"} {
		values.version = version
		before := files.opened.Load()
		if err := look(tr); err != nil {
			t.Fatal(err)
		}
		if rendered := files.opened.Load() > before; rendered != (i != 1) {
			t.Errorf("look %d, at version %s of its values: rendered is %t", i, version, rendered)
		}
	}
	files.FS = fstest.MapFS{"b/other.yaml": {Data: []byte("kind: [\n")}}
	tr = newTree()
	for i, later := range []time.Duration{0, brokenFor / 2, brokenFor} {
		now = now.Add(later)
		before := files.opened.Load()
		if err := look(tr); err == nil || unanswered(err) {
			t.Errorf("what cannot be built gave %v", err)
		}
		if rendered := files.opened.Load() > before; rendered != (i != 1) {
			t.Errorf("look %d, %s after the one before: rendered is %t", i, later, rendered)
		}
	}
	values.err = apierrors.NewInternalError(errors.New("etcd"))
	tr = newTree()
	if err := look(tr); !unanswered(err) {
		t.Errorf("without an answer: %v", err)
	}
	values.err = nil
	if err := look(tr); err == nil || unanswered(err) {
		t.Errorf("that there was no answer is remembered: %v", err)
	}
}

// valuesOfOne is a cluster of one ConfigMap; its content is not given while err is one.
type valuesOfOne struct {
	client.Reader
	version string
	err     error
}

func (v *valuesOfOne) Get(_ context.Context, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	if _, whole := o.(*corev1.ConfigMap); whole {
		return v.err
	}
	o.SetResourceVersion(v.version)
	return nil
}

// A source whose content is not there holds up a removal that was allowed only while
// it may still be fetched.
func TestAllowedDeletionsWaitOnlyForASourceThatMayBeFetched(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*sourcev1.GitRepository)
		goes   bool
	}{
		"ready": {func(s *sourcev1.GitRepository) { conditions.MarkTrue(s, fluxmeta.ReadyCondition, "Succeeded", "") }, false},
		"begun": {func(s *sourcev1.GitRepository) { conditions.MarkUnknown(s, fluxmeta.ReadyCondition, "Progressing", "") }, false},
		"failing": {func(s *sourcev1.GitRepository) {
			conditions.MarkFalse(s, fluxmeta.ReadyCondition, "GitOperationFailed", "")
		}, true},
		"suspended": {func(s *sourcev1.GitRepository) { s.Spec.Suspend = true }, true},
	} {
		t.Run(name, func(t *testing.T) {
			source := sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "app"}}
			source.Status.Artifact = &fluxmeta.Artifact{Revision: "main@sha1:1", Digest: "d"}
			c.change(&source)
			building := func(name, allowed string) kustomizev1.Kustomization {
				return kustomizev1.Kustomization{
					ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, Annotations: map[string]string{AllowDeletionsAnnotation: allowed}},
					Spec:       kustomizev1.KustomizationSpec{SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"}},
				}
			}
			r := &kustomizer{trees: &trees{}, live: listed{sources: []sourcev1.GitRepository{source}, kustomizations: []kustomizev1.Kustomization{building("b", "")}}}
			objects := []*unstructured.Unstructured{{}}
			k := building("a", "")
			remedy := "it is tried again"
			if c.goes {
				remedy = AllowDeletionsAnnotation + "=1"
			}
			if left, err := r.withoutHeirs(t.Context(), &k, objects); len(left) > 0 || err == nil || !strings.Contains(err.Error(), remedy) {
				t.Errorf("not allowed: %d go, %v, want %q", len(left), err, remedy)
			}
			k = building("a", "1")
			if left, err := r.withoutHeirs(t.Context(), &k, objects); (len(left) == 1) != c.goes || (err == nil) != c.goes {
				t.Errorf("allowed: %d go, %v", len(left), err)
			}
		})
	}
}

// closes is true once it was closed.
type closes struct{ atomic.Bool }

func (c *closes) Close() error {
	c.Store(true)
	return nil
}

// listed is a cluster of GitRepositories and Kustomizations.
type listed struct {
	client.Reader
	sources        []sourcev1.GitRepository
	kustomizations []kustomizev1.Kustomization
}

func (l listed) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch list := list.(type) {
	case *sourcev1.GitRepositoryList:
		list.Items = slices.Clone(l.sources)
	case *kustomizev1.KustomizationList:
		list.Items = slices.Clone(l.kustomizations)
	}
	return nil
}

// What was read to delete it, or to see whose it is, is no object of the first one
// any more: whatever becomes of it is no drift.
func TestWhatIsDeletedOrLeftToAnotherIsNotWatchedForDrift(t *testing.T) {
	var watching *kustomizer
	labels := agentOfItsOwn(t, "sighted", func(a *agent) { watching = a.kustomizations })
	namespace := nextTeam(t)
	moving := configMapYAML(namespace, "moving", "1")
	e := newTeam(t, map[string]string{
		"a/kept.yaml": configMapYAML(namespace, "kept", "1"), "a/moving.yaml": moving, "a/going.yaml": configMapYAML(namespace, "going", "1"),
		"b/other.yaml": configMapYAML(namespace, "other", "1"),
	}, everySecond, func(r *sourcev1.GitRepository) { r.Labels = labels })
	mine := func(k *kustomizev1.Kustomization) { k.Labels = labels }
	a, b := e.kustomization("a", "./a", mine), e.kustomization("b", "./b", mine)
	e.create(a)
	e.create(b)
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	until(e, b, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	seen := func() (names []string) {
		for id := range watching.state(client.ObjectKeyFromObject(a)).seen.all() {
			names = append(names, id.Name)
		}
		slices.Sort(names)
		return names
	}
	if got := seen(); !slices.Equal(got, []string{"going", "kept", "moving"}) {
		t.Fatalf("first it watches %v", got)
	}
	commit := e.push("move one, remove one", map[string]string{"a/moving.yaml": "", "b/moving.yaml": moving, "a/going.yaml": ""})
	e.untilReady(a, commit)
	if got := seen(); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("it watches what it deleted, or leaves to another: %v", got)
	}
	e.untilReady(b, commit)
	e.request(a, "again")
	until(e, a, "looked at again", func(k *kustomizev1.Kustomization) bool {
		return k.Status.GetLastHandledReconcileRequest() == "again" && conditions.IsReady(k)
	})
	if got := seen(); !slices.Equal(got, []string{"kept"}) || len(e.inventory(a)) != 1 {
		t.Errorf("it watches what is another's: %v, of %v", got, e.inventory(a))
	}
}

// What moved, and was not applied by the other one yet, is not deleted with the
// Kustomization that it left.
func TestRemovingAnApplicationDeletesNothingThatMovedToAnother(t *testing.T) {
	namespace := nextTeam(t)
	moving := configMapYAML(namespace, "moving", "1")
	e := newTeam(t, map[string]string{"a/kept.yaml": configMapYAML(namespace, "kept", "1"), "a/moving.yaml": moving, "b/other.yaml": configMapYAML(namespace, "other", "1")}, everySecond)
	a := e.kustomization("a", "./a", func(k *kustomizev1.Kustomization) { k.Spec.DeletionPolicy = kustomizev1.DeletionPolicyDelete })
	b := e.kustomization("b", "./b", func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true })
	e.create(a)
	e.create(b)
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	cm := e.configMap("moving")
	if !e.exists(cm) {
		t.Fatal("it is not there")
	}
	e.untilReady(a, e.push("move it", map[string]string{"a/moving.yaml": "", "b/moving.yaml": moving}))
	e.must(e.client.Delete(e.ctx, a))
	e.untilGone(a)
	if e.exists(e.configMap("kept")) {
		t.Error("what nobody else has was not deleted")
	}
	e.patch(b, func() { b.Spec.Suspend = false })
	until(e, b, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	if after := e.configMap("moving"); !e.exists(after) || after.UID != cm.UID || after.Labels[ownerName] != "b" {
		t.Errorf("it was made anew, or is not b's: UID %s, then %s, labels %v", cm.UID, after.UID, after.Labels)
	}
}

func TestRemovingAnApplicationWaitsWhileItIsNotKnownWhatAnotherHas(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{"a/kept.yaml": configMapYAML(namespace, "kept", "1"), "b/other.yaml": "kind: [\nname: kept\n"}, everySecond)
	a := e.kustomization("a", "./a", func(k *kustomizev1.Kustomization) { k.Spec.DeletionPolicy = kustomizev1.DeletionPolicyDelete })
	e.create(a)
	e.create(e.kustomization("b", "./b"))
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	e.must(e.client.Delete(e.ctx, a))
	until(e, a, "refused", func(k *kustomizev1.Kustomization) bool {
		message := conditions.GetMessage(k, fluxmeta.ReadyCondition)
		return strings.Contains(message, "Kustomization b cannot be built") && strings.Contains(message, AllowDeletionsAnnotation+"=1")
	})
	if !e.exists(e.configMap("kept")) {
		t.Error("it was deleted")
	}
	e.patch(a, func() { a.Annotations = map[string]string{AllowDeletionsAnnotation: "1"} })
	e.untilGone(a)
	if e.exists(e.configMap("kept")) {
		t.Error("it is still there, though its deletion was allowed")
	}
}

// What is allowed to go is what nobody knows of: not what another is known to build,
// and nothing while there is no answer.
func TestAllowedDeletionsSpareWhatAnotherIsKnownToBuild(t *testing.T) {
	reader := &listsAtWill{}
	labels := agentOfItsOwn(t, "spared", func(a *agent) {
		reader.Reader = a.kustomizations.live
		a.kustomizations.live = reader
	})
	for name, failing := range map[string]bool{"beside one that cannot be built": false, "though the list of others fails": true} {
		t.Run(name, func(t *testing.T) {
			namespace := nextTeam(t)
			moving := configMapYAML(namespace, "moving", "1")
			e := newTeam(t, map[string]string{
				"a/kept.yaml": configMapYAML(namespace, "kept", "1"), "a/moving.yaml": moving,
				"b/other.yaml": configMapYAML(namespace, "other", "1"), "c/broken.yaml": "kind: [\nname: kept\n",
			}, everySecond, func(r *sourcev1.GitRepository) { r.Labels = labels })
			mine := func(k *kustomizev1.Kustomization) { k.Labels = labels }
			a := e.kustomization("a", "./a", mine, func(k *kustomizev1.Kustomization) { k.Spec.DeletionPolicy = kustomizev1.DeletionPolicyDelete })
			e.create(a)
			e.create(e.kustomization("b", "./b", mine, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true }))
			e.create(e.kustomization("c", "./c", mine))
			until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
			e.untilReady(a, e.push("move it", map[string]string{"a/moving.yaml": "", "b/moving.yaml": moving}))
			e.patch(a, func() { a.Annotations = map[string]string{AllowDeletionsAnnotation: "2"} })
			reader.failing.Store(failing)
			e.must(e.client.Delete(e.ctx, a))
			if failing {
				until(e, a, "refused", func(k *kustomizev1.Kustomization) bool {
					message := conditions.GetMessage(k, fluxmeta.ReadyCondition)
					return strings.Contains(message, "list Kustomizations: no answer; nothing was deleted; it is tried again")
				})
				if !e.exists(e.configMap("kept")) || !e.exists(e.configMap("moving")) {
					t.Error("one of them was deleted")
				}
				reader.failing.Store(false)
			}
			e.untilGone(a)
			if e.exists(e.configMap("kept")) {
				t.Error("what may be of the one that cannot be built was not deleted, though that was allowed")
			}
			if !e.exists(e.configMap("moving")) {
				t.Error("what b is known to build was deleted")
			}
		})
	}
}

// The source of a team that is removed at once may go first, and the others name it
// until they are marked as well: that holds up none, and is told to nobody.
func TestRemovingASourceWithAllThatBuildFromItHoldsUpNone(t *testing.T) {
	e, reader, a, b := sourceless(t, "leaving", func(*agent) {})
	before := reader.lists.Load()
	e.must(e.client.Delete(e.ctx, a))
	waitFor(t, "a look at the others", func() bool { return reader.lists.Load() > before })
	e.must(e.client.Delete(e.ctx, b))
	e.untilGone(a)
	e.untilGone(b)
	if e.exists(e.configMap("one")) || e.exists(e.configMap("two")) {
		t.Error("one of their objects is still there")
	}
	events := &corev1.EventList{}
	e.must(e.client.List(e.ctx, events, client.InNamespace(e.namespace)))
	for _, event := range events.Items {
		if strings.Contains(event.Message, "nothing was deleted") {
			t.Errorf("it was told that %s", event.Message)
		}
	}
}

func TestRemovingOneOfThoseWhoseSourceIsGoneIsToldOnceThatLasts(t *testing.T) {
	e, _, a, b := sourceless(t, "left-behind", func(a *agent) { a.kustomizations.opts.RequeueDependency = time.Second })
	e.must(e.client.Delete(e.ctx, a))
	e.untilEvent("Warning", "GitRepository "+e.namespace+"/app is gone, or was never fetched; nothing was deleted")
	e.must(e.client.Delete(e.ctx, b))
	e.untilGone(a) // long before its retry interval
	e.untilGone(b)
}

// sourceless is a team of two applications that delete their objects when they are
// removed, and whose source is gone, with an agent of its own.
func sourceless(t *testing.T, shard string, change func(*agent)) (*team, *listsAtWill, *kustomizev1.Kustomization, *kustomizev1.Kustomization) {
	t.Helper()
	reader := &listsAtWill{}
	labels := agentOfItsOwn(t, shard, func(a *agent) {
		reader.Reader = a.kustomizations.live
		a.kustomizations.live = reader
		change(a)
	})
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{"a/one.yaml": configMapYAML(namespace, "one", "1"), "b/two.yaml": configMapYAML(namespace, "two", "1")},
		func(r *sourcev1.GitRepository) { r.Labels = labels })
	going := func(k *kustomizev1.Kustomization) {
		k.Labels, k.Spec.DeletionPolicy, k.Spec.RetryInterval = labels, kustomizev1.DeletionPolicyDelete, &metav1.Duration{Duration: time.Hour}
	}
	a, b := e.kustomization("a", "./a", going), e.kustomization("b", "./b", going)
	e.create(a)
	e.create(b)
	until(e, a, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	until(e, b, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	repository := e.repository("app")
	e.must(e.client.Delete(e.ctx, repository))
	e.untilGone(repository)
	return e, reader, a, b
}

// listsAtWill counts the lists of Kustomizations, and lets them fail.
type listsAtWill struct {
	client.Reader
	lists   atomic.Int64
	failing atomic.Bool
}

func (r *listsAtWill) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if _, ok := list.(*kustomizev1.KustomizationList); ok {
		r.lists.Add(1)
		if r.failing.Load() {
			return errors.New("no answer")
		}
	}
	return r.Reader.List(ctx, list, opts...)
}
