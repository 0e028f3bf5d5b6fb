package reconcile

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const deploymentYAML = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: %[1]s
  labels: {app: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: registry.example/web:1
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: %[1]s}
spec:
  selector: {app: web}
  ports: [{port: 80}]
`

func TestAdoptingWhatFluxdAppliedTouchesMetadataOnly(t *testing.T) {
	namespace := nextTeam(t)
	manifests := fmt.Sprintf(deploymentYAML, namespace)
	e := newTeam(t, map[string]string{"deploy/web.yaml": manifests})
	// As fluxd applies: kubectl's client-side apply, with its marks in the manifest.
	marked := strings.ReplaceAll(manifests, "metadata:\n  name: web\n", "metadata:\n  name: web\n  annotations: {fluxcd.io/sync-checksum: abc}\n")
	marked = strings.ReplaceAll(marked, "labels: {app: web}\nspec", "labels: {app: web, fluxcd.io/sync-gc-mark: sha256.x}\nspec")
	marked = strings.ReplaceAll(marked, "metadata: {name: web, ", "metadata: {annotations: {fluxcd.io/sync-checksum: abc}, labels: {fluxcd.io/sync-gc-mark: sha256.x}, name: web, ")
	e.kubectl(marked, "apply", "-f", "-")
	before, serviceBefore := &appsv1.Deployment{ObjectMeta: e.meta("web")}, &corev1.Service{ObjectMeta: e.meta("web")}
	e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(before), before))
	e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(serviceBefore), serviceBefore))
	if before.Labels["fluxcd.io/sync-gc-mark"] == "" || before.Annotations["fluxcd.io/sync-checksum"] == "" {
		t.Fatal("the fixture bears no marks of fluxd")
	}

	k := e.kustomization("web", "./deploy")
	e.create(k)
	commit, err := e.git.Head(e.ctx, e.repo, "main")
	e.must(err)
	e.untilReady(k, commit)

	after, service := &appsv1.Deployment{ObjectMeta: e.meta("web")}, &corev1.Service{ObjectMeta: e.meta("web")}
	e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(after), after))
	e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(service), service))
	if after.UID != before.UID || service.UID != serviceBefore.UID {
		t.Error("an object was recreated")
	}
	if !reflect.DeepEqual(after.Spec, before.Spec) || !reflect.DeepEqual(service.Spec, serviceBefore.Spec) {
		t.Error("a spec changed")
	}
	for _, object := range []client.Object{after, service} {
		for _, key := range []string{"fluxcd.io/sync-checksum", corev1.LastAppliedConfigAnnotation} {
			if _, found := object.GetAnnotations()[key]; found {
				t.Errorf("%T keeps annotation %s", object, key)
			}
		}
		if _, found := object.GetLabels()["fluxcd.io/sync-gc-mark"]; found {
			t.Errorf("%T keeps the mark", object)
		}
		if object.GetLabels()[ownerName] != "web" || object.GetLabels()[ownerNamespace] != e.namespace {
			t.Errorf("%T has owner labels %v", object, object.GetLabels())
		}
		var managers []string
		for _, entry := range object.GetManagedFields() {
			if entry.Subresource == "" && entry.Manager != "kube-controller-manager" {
				managers = append(managers, entry.Manager+" "+string(entry.Operation))
			}
		}
		if !slices.Equal(managers, []string{"kustomize-controller Apply"}) {
			t.Errorf("%T has managers %v", object, managers)
		}
	}
	want := []string{e.namespace + "_web__Service", e.namespace + "_web_apps_Deployment"}
	if got := e.inventory(k); !slices.Equal(got, want) {
		t.Errorf("inventory %v, want %v", got, want)
	}
}

func TestFieldsOfManagersGivenByFlagAreTakenOver(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		stays bool
	}{
		"of a manager that is given": {[]string{"--override-manager=other-tool", "--override-manager=own-tool"}, false},
		"of no manager":              {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := nextTeam(t)
			e := newTeam(t, map[string]string{"app/cm.yaml": configMapYAML(namespace, "shared", "of-git")})
			cm := e.configMap("shared")
			cm.Data = map[string]string{"key": "of-git", "by-tool": "yes"}
			e.must(e.client.Create(e.ctx, cm, client.FieldOwner("own-tool")))
			stop, err := startAgent(e.ctx, e.plane.Config(), withFlags(t, t.TempDir(), append(c.args, "--watch-label-selector="+shardKey+"="+e.namespace)...))
			e.must(err)
			t.Cleanup(stop)
			mine := map[string]string{shardKey: e.namespace}
			repository := e.repository("second")
			repository.Labels = mine
			e.create(repository)
			k := e.kustomization("app", "./app", func(k *kustomizev1.Kustomization) { k.Labels, k.Spec.SourceRef.Name = mine, "second" })
			e.create(k)
			head, err := e.git.Head(e.ctx, e.repo, "main")
			e.must(err)
			e.untilReady(k, head)
			e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(cm), cm))
			if _, stays := cm.Data["by-tool"]; stays != c.stays || cm.Data["key"] != "of-git" {
				t.Errorf("data: %v", cm.Data)
			}
		})
	}
}

func TestPushArrivesAndPruneFollowsTheSpec(t *testing.T) {
	for name, prune := range map[string]bool{"prune on": true, "prune off": false} {
		t.Run(name, func(t *testing.T) {
			namespace := nextTeam(t)
			e := newTeam(t, map[string]string{
				"app/a.yaml": configMapYAML(namespace, "a", "1"), "app/b.yaml": configMapYAML(namespace, "b", "1"),
			}, func(r *sourcev1.GitRepository) { r.Spec.Interval.Duration = time.Second })
			k := e.kustomization("app", "./app", func(k *kustomizev1.Kustomization) { k.Spec.Prune = prune })
			e.create(k)
			until(e, k, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
			commit := e.push("change a, remove b", map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "2"), "app/b.yaml": ""})
			e.untilReady(k, commit)
			a := e.configMap("a")
			if !e.exists(a) || a.Data["key"] != "2" {
				t.Errorf("a is %v", a.Data)
			}
			if e.exists(e.configMap("b")) == prune {
				t.Errorf("with prune %t, b exists: %t", prune, !prune)
			}
			if got := e.inventory(k); !slices.Equal(got, []string{namespace + "_a__ConfigMap"}) {
				t.Errorf("inventory %v", got)
			}
		})
	}
}

func TestPruneSparesWhatIsProtectedOrOwnedByAnother(t *testing.T) {
	namespace := nextTeam(t)
	files := map[string]string{}
	for _, name := range []string{"kept", "protected", "foreign", "gone"} {
		files["app/"+name+".yaml"] = configMapYAML(namespace, name, "1")
	}
	e := newTeam(t, files, func(r *sourcev1.GitRepository) { r.Spec.Interval.Duration = time.Second })
	k := e.kustomization("app", "./app")
	e.create(k)
	until(e, k, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	protected, foreign := e.configMap("protected"), e.configMap("foreign")
	e.patch(protected, func() { protected.Annotations = map[string]string{pruneKey: "disabled"} })
	// Suspended, so that the label is not taken back as drift.
	e.patch(k, func() { k.Spec.Suspend = true })
	e.request(k, "suspended")
	until(e, k, "suspended", func(k *kustomizev1.Kustomization) bool {
		return k.Status.GetLastHandledReconcileRequest() == "suspended"
	})
	e.patch(foreign, func() { foreign.Labels[ownerName] = "another" })
	commit := e.push("remove three", map[string]string{"app/protected.yaml": "", "app/foreign.yaml": "", "app/gone.yaml": ""})
	until(e, e.repository("app"), "new revision", func(r *sourcev1.GitRepository) bool { return r.Status.Artifact.HasRevision("main@sha1:" + commit) })
	e.patch(k, func() { k.Spec.Suspend = false })
	e.untilReady(k, commit)
	if e.exists(e.configMap("gone")) {
		t.Error("what left Git is still there")
	}
	if !e.exists(protected) {
		t.Error("a protected object was deleted")
	}
	if !e.exists(foreign) {
		t.Error("an object of another owner was deleted")
	}
	if got := e.inventory(k); !slices.Equal(got, []string{namespace + "_kept__ConfigMap"}) {
		t.Errorf("inventory %v", got)
	}
}

func TestSuspendedKustomizationEchoesRequestsAndAppliesNothing(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "1")})
	k := e.kustomization("app", "./app", func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true })
	e.create(k)
	for _, value := range []string{"one", "two"} {
		e.request(k, value)
		until(e, k, "echo of "+value, func(k *kustomizev1.Kustomization) bool { return k.Status.GetLastHandledReconcileRequest() == value })
	}
	if len(k.Status.Conditions) != 0 || k.Status.Inventory != nil || e.exists(e.configMap("a")) {
		t.Errorf("something was done: %+v", k.Status)
	}
}

func TestRequestReconcilesAndIsEchoed(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "1")})
	k := e.kustomization("app", "./app")
	e.create(k)
	until(e, k, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	runs := k.Status.History[0].TotalReconciliations
	e.request(k, "now")
	until(e, k, "echo", func(k *kustomizev1.Kustomization) bool {
		return k.Status.GetLastHandledReconcileRequest() == "now" && conditions.IsReady(k) && k.Status.History[0].TotalReconciliations == runs+1
	})
	repository := e.repository("app")
	commit := e.push("next", map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "2")})
	e.request(repository, "now")
	until(e, repository, "new revision", func(r *sourcev1.GitRepository) bool {
		return r.Status.Artifact.HasRevision("main@sha1:"+commit) && r.Status.GetLastHandledReconcileRequest() == "now"
	})
	e.untilReady(k, commit)
}

func TestRemovalDeletesOnlyWhereTheFieldsSaySo(t *testing.T) {
	for _, c := range []struct {
		policy  string
		prune   bool
		suspend bool
		deleted bool
	}{
		{"", true, false, true},
		{"", false, false, false},
		{"", true, true, false},
		{kustomizev1.DeletionPolicyMirrorPrune, true, false, true},
		{kustomizev1.DeletionPolicyDelete, false, false, true},
		{kustomizev1.DeletionPolicyDelete, true, true, false},
		{kustomizev1.DeletionPolicyWaitForTermination, false, false, true},
		{kustomizev1.DeletionPolicyOrphan, true, false, false},
	} {
		t.Run(fmt.Sprintf("policy=%s,prune=%t,suspend=%t", c.policy, c.prune, c.suspend), func(t *testing.T) {
			namespace := nextTeam(t)
			e := newTeam(t, map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "1")})
			k := e.kustomization("app", "./app", func(k *kustomizev1.Kustomization) {
				k.Spec.DeletionPolicy, k.Spec.Prune = c.policy, c.prune
			})
			e.create(k)
			until(e, k, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
			if c.suspend {
				e.patch(k, func() { k.Spec.Suspend = true })
			}
			e.must(e.client.Delete(e.ctx, k))
			e.untilGone(k)
			if deleted := !e.exists(e.configMap("a")); deleted != c.deleted {
				t.Errorf("deleted: %t, want %t", deleted, c.deleted)
			}
		})
	}
}

func TestDependentsAreWokenByTheirDependency(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{
		"a/a.yaml": "kind: wrong\n", "b/b.yaml": configMapYAML(namespace, "b", "1"), "c/c.yaml": configMapYAML(namespace, "c", "1"),
	}, func(r *sourcev1.GitRepository) { r.Spec.Interval.Duration = time.Second })
	dependsOn := func(name string) func(*kustomizev1.Kustomization) {
		return func(k *kustomizev1.Kustomization) { k.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: name}} }
	}
	c := e.kustomization("c", "./c", dependsOn("b"))
	b := e.kustomization("b", "./b", dependsOn("a"))
	e.create(c)
	e.create(b)
	e.untilReason(b, fluxmeta.DependencyNotReadyReason)
	if message := conditions.GetMessage(b, fluxmeta.ReadyCondition); !strings.HasPrefix(message, "dependency '"+namespace+"/a' not found") {
		t.Errorf("message %q", message)
	}
	a := e.kustomization("a", "./a")
	e.create(a)
	e.untilReason(a, fluxmeta.BuildFailedReason)
	e.untilReason(c, fluxmeta.DependencyNotReadyReason)
	if e.exists(e.configMap("b")) {
		t.Fatal("b was applied before a")
	}
	commit := e.push("mend a", map[string]string{"a/a.yaml": configMapYAML(namespace, "a", "1")})
	e.untilReady(a, commit)
	began := time.Now()
	e.untilReady(b, commit)
	e.untilReady(c, commit)
	// The fallback is half a minute.
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("dependents followed after %s", took)
	}
}

func TestImpersonatedAccountWithoutRightsFailsTheWhole(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "1")})
	e.create(&corev1.ServiceAccount{ObjectMeta: e.meta("deployer")})
	k := e.kustomization("app", "./app", func(k *kustomizev1.Kustomization) { k.Spec.ServiceAccountName = "deployer" })
	e.create(k)
	e.untilReason(k, fluxmeta.ReconciliationFailedReason)
	message := conditions.GetMessage(k, fluxmeta.ReadyCondition)
	if !strings.Contains(message, "system:serviceaccount:"+namespace+":deployer") || !strings.Contains(message, "orbidden") {
		t.Errorf("message %q", message)
	}
	if conditions.GetReason(k, fluxmeta.ReconcilingCondition) != fluxmeta.ProgressingWithRetryReason {
		t.Errorf("conditions %+v", k.Status.Conditions)
	}
	e.create(&rbacv1.Role{ObjectMeta: e.meta("deployer"), Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"*"}}}})
	e.create(&rbacv1.RoleBinding{ObjectMeta: e.meta("deployer"),
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "deployer"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "deployer", Namespace: namespace}}})
	until(e, k, "ready after retryInterval", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	if conditions.Has(k, fluxmeta.ReconcilingCondition) {
		t.Error("Reconciling stays after success")
	}
}

func TestTenantsAreKeptApart(t *testing.T) {
	namespace := nextTeam(t)
	shard := func(o client.Object) { o.SetLabels(map[string]string{shardKey: strict}) }
	e := newTeam(t, map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "1")},
		func(r *sourcev1.GitRepository) { shard(r) })
	t.Run("a reference to another namespace is refused", func(t *testing.T) {
		k := e.kustomization("cross", "./app", func(k *kustomizev1.Kustomization) { shard(k); k.Spec.SourceRef.Namespace = "kube-system" })
		e.create(k)
		until(e, k, "stalled", func(k *kustomizev1.Kustomization) bool { return conditions.IsStalled(k) })
		if got, want := conditions.GetMessage(k, fluxmeta.ReadyCondition), "can't access 'GitRepository/kube-system/app', cross-namespace references have been blocked"; got != want {
			t.Errorf("message %q, want %q", got, want)
		}
		if conditions.GetReason(k, fluxmeta.StalledCondition) != "AccessDenied" {
			t.Errorf("conditions %+v", k.Status.Conditions)
		}
	})
	t.Run("without an account the default account is impersonated", func(t *testing.T) {
		k := e.kustomization("plain", "./app", shardKustomization)
		e.create(k)
		e.untilReason(k, fluxmeta.ReconciliationFailedReason)
		if message := conditions.GetMessage(k, fluxmeta.ReadyCondition); !strings.Contains(message, "system:serviceaccount:"+namespace+":nobody") {
			t.Errorf("message %q", message)
		}
	})
}

func shardKustomization(k *kustomizev1.Kustomization) {
	k.Labels = map[string]string{shardKey: strict}
}

func TestDeletionBudgetStopsPruneUntilAllowed(t *testing.T) {
	namespace := nextTeam(t)
	files := map[string]string{}
	for i := range 6 {
		files[fmt.Sprintf("app/%d.yaml", i)] = configMapYAML(namespace, fmt.Sprintf("c%d", i), "1")
	}
	e := newTeam(t, files, func(r *sourcev1.GitRepository) {
		r.Labels = map[string]string{shardKey: strict}
		r.Spec.Interval.Duration = time.Second
	})
	e.create(&corev1.ServiceAccount{ObjectMeta: e.meta("admin")})
	e.create(&rbacv1.RoleBinding{ObjectMeta: e.meta("admin"),
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "admin", Namespace: namespace}}})
	k := e.kustomization("app", "./app", shardKustomization, func(k *kustomizev1.Kustomization) { k.Spec.ServiceAccountName = "admin" })
	e.create(k)
	until(e, k, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	commit := e.push("remove four", map[string]string{"app/0.yaml": "", "app/1.yaml": "", "app/2.yaml": "", "app/3.yaml": ""})
	e.untilReason(k, fluxmeta.PruneFailedReason)
	if message := conditions.GetMessage(k, fluxmeta.ReadyCondition); !strings.Contains(message, "4 objects would be deleted, the deletion budget is 3") {
		t.Errorf("message %q", message)
	}
	if len(k.Status.Inventory.Entries) != 6 || !e.exists(e.configMap("c0")) {
		t.Errorf("inventory %v", e.inventory(k))
	}
	e.patch(k, func() { k.Annotations = map[string]string{AllowDeletionsAnnotation: "4"} })
	e.untilReady(k, commit)
	if len(k.Status.Inventory.Entries) != 2 || e.exists(e.configMap("c0")) {
		t.Errorf("inventory %v", e.inventory(k))
	}
}

func TestEmptyBuildDeletesNothingUntilAllowed(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "1"), "app/README.md": "x"},
		func(r *sourcev1.GitRepository) { r.Spec.Interval.Duration = time.Second })
	k := e.kustomization("app", "./app")
	e.create(k)
	until(e, k, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	commit := e.push("empty", map[string]string{"app/a.yaml": ""})
	e.untilReason(k, fluxmeta.PruneFailedReason)
	if !e.exists(e.configMap("a")) || len(k.Status.Inventory.Entries) != 1 {
		t.Error("an empty build deleted something")
	}
	e.patch(k, func() { k.Annotations = map[string]string{AllowDeletionsAnnotation: "1"} })
	e.untilReady(k, commit)
	if e.exists(e.configMap("a")) {
		t.Error("what was allowed to go stays")
	}
}

// What would take too much to build fails, and what was there before stays.
func TestAFolderTooLargeToBuildDeletesNothing(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "1")},
		func(r *sourcev1.GitRepository) { r.Spec.Interval.Duration = time.Second })
	k := e.kustomization("app", "./app")
	e.create(k)
	until(e, k, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	files := map[string]string{"app/a.yaml": "", "app/kustomization.yaml": "resources: [l0]\n", "app/l40/kustomization.yaml": "resources: [b.yaml]\n", "app/l40/b.yaml": configMapYAML(namespace, "b", "1")}
	for i := range 40 {
		files[fmt.Sprintf("app/l%d/kustomization.yaml", i)] = "resources: [p, q]\n"
		for _, s := range []string{"p", "q"} {
			files[fmt.Sprintf("app/l%d/%s/kustomization.yaml", i, s)] = fmt.Sprintf("resources: [../../l%d]\nnamePrefix: %s-\n", i+1, s)
		}
	}
	e.push("folders that include the next one twice", files)
	e.untilReason(k, fluxmeta.BuildFailedReason)
	if message := conditions.GetMessage(k, fluxmeta.ReadyCondition); !strings.Contains(message, "folder app is not built: too large to be built") || !strings.Contains(message, "the limit is 5000") {
		t.Errorf("the message is %q", message)
	}
	if !e.exists(e.configMap("a")) || len(k.Status.Inventory.Entries) != 1 {
		t.Error("a folder that is not built deleted something")
	}
}

func TestFailuresAreToldWithTheReasonsOfFlux(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{
		"bad/x.yaml":         "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: " + namespace + "}\n\tdata: 1\n",
		"unknown/x.yaml":     "apiVersion: example.org/v1\nkind: Nothing\nmetadata: {name: x, namespace: " + namespace + "}\n",
		"nonamespace/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
		"encrypted/x.yaml":   "apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: " + namespace + "}\ndata: {a: RU5D}\nsops: {mac: x}\n",
		"vars/x.yaml":        configMapYAML(namespace, "x", "${name}"),
	})
	until(e, e.repository("app"), "ready", ready)
	for path, want := range map[string]struct{ reason, message string }{
		"bad":         {fluxmeta.BuildFailedReason, "bad/x.yaml"},
		"absent":      {fluxmeta.ArtifactFailedReason, "kustomization path not found"},
		"unknown":     {fluxmeta.ReconciliationFailedReason, "no matches for kind \"Nothing\""},
		"nonamespace": {fluxmeta.ReconciliationFailedReason, "namespace not specified"},
		"encrypted":   {fluxmeta.ReconciliationFailedReason, "SOPS encrypted"},
		"vars":        {fluxmeta.BuildFailedReason, "post build failed"},
	} {
		t.Run(path, func(t *testing.T) {
			e := &team{laboratory: e.laboratory, t: t, ctx: e.ctx, namespace: namespace, repo: e.repo}
			k := e.kustomization(path, "./"+path, func(k *kustomizev1.Kustomization) {
				if path == "vars" {
					k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "ConfigMap", Name: "missing"}}}
				}
			})
			e.create(k)
			e.untilReason(k, want.reason)
			if message := conditions.GetMessage(k, fluxmeta.ReadyCondition); !strings.Contains(message, want.message) {
				t.Errorf("message %q does not tell %q", message, want.message)
			}
			if k.Status.ObservedGeneration == k.Generation {
				t.Error("a failed generation counts as observed")
			}
		})
	}
}

func TestHealthIsAwaitedWithoutHoldingAWorker(t *testing.T) {
	namespace := nextTeam(t)
	files := map[string]string{"quick/x.yaml": configMapYAML(namespace, "x", "1")}
	for i := range 12 {
		files[fmt.Sprintf("slow%d/web.yaml", i)] = strings.ReplaceAll(fmt.Sprintf(deploymentYAML, namespace), "web", fmt.Sprintf("web%d", i))
	}
	// No controller for StatefulSets runs here, so the test can say how it fares.
	files["slow0/web.yaml"] = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web0, namespace: " + namespace + "}\nspec: {replicas: 1, selector: {matchLabels: {app: x}}, " +
		"template: {metadata: {labels: {app: x}}, spec: {containers: [{name: x, image: registry.example/x:1}]}}}\n"
	e := newTeam(t, files)
	var slow []*kustomizev1.Kustomization
	for i := range 12 {
		k := e.kustomization(fmt.Sprintf("slow%d", i), fmt.Sprintf("./slow%d", i), func(k *kustomizev1.Kustomization) { k.Spec.Wait = true })
		e.create(k)
		slow = append(slow, k)
	}
	for _, k := range slow {
		until(e, k, "waiting for health", func(k *kustomizev1.Kustomization) bool {
			return conditions.IsUnknown(k, fluxmeta.HealthyCondition) && conditions.Has(k, fluxmeta.HealthyCondition)
		})
	}
	began := time.Now()
	quick := e.kustomization("quick", "./quick", func(k *kustomizev1.Kustomization) { k.Spec.Wait = true })
	e.create(quick)
	until(e, quick, "healthy", func(k *kustomizev1.Kustomization) bool {
		return conditions.IsReady(k) && conditions.IsTrue(k, fluxmeta.HealthyCondition)
	})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a healthy one took %s behind twelve that wait", took)
	}
	web := &appsv1.StatefulSet{ObjectMeta: e.meta("web0")}
	e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(web), web))
	web.Status = appsv1.StatefulSetStatus{ObservedGeneration: web.Generation, Replicas: 1, ReadyReplicas: 1, CurrentReplicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
	e.must(e.client.Status().Update(e.ctx, web))
	until(e, slow[0], "healthy", func(k *kustomizev1.Kustomization) bool {
		return conditions.IsTrue(k, fluxmeta.HealthyCondition) && conditions.IsReady(k)
	})
}

func TestUnhealthyObjectsFailAfterTheTimeout(t *testing.T) {
	if os.Getenv("LONG") == "" {
		t.Skip("the least timeout of the API is 30 s; set LONG=1")
	}
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{"app/web.yaml": fmt.Sprintf(deploymentYAML, namespace)})
	k := e.kustomization("app", "./app", func(k *kustomizev1.Kustomization) {
		k.Spec.Wait, k.Spec.Timeout = true, &metav1.Duration{Duration: time.Second}
	})
	e.create(k)
	limit := time.NewTimer(25 * time.Second)
	<-limit.C
	e.untilReason(k, fluxmeta.HealthCheckFailedReason)
	message := conditions.GetMessage(k, fluxmeta.ReadyCondition)
	if !strings.HasPrefix(message, "health check failed after 3") || !strings.Contains(message, "timeout waiting for: [Deployment/"+namespace+"/web status: 'InProgress'") {
		t.Errorf("message %q", message)
	}
	if !conditions.IsFalse(k, fluxmeta.HealthyCondition) {
		t.Errorf("conditions %+v", k.Status.Conditions)
	}
}

func TestDriftIsMendedInSeconds(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "1"), "app/web.yaml": fmt.Sprintf(deploymentYAML, namespace)})
	k := e.kustomization("app", "./app")
	e.create(k)
	until(e, k, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	for _, c := range []struct {
		name   string
		break_ func()
		mended func() bool
	}{
		{"a value is edited", func() {
			e.kubectl("", "-n", namespace, "patch", "configmap", "a", "--type=merge", "-p", `{"data":{"key":"edited"}}`)
		},
			func() bool { a := e.configMap("a"); return e.exists(a) && a.Data["key"] == "1" }},
		{"an object is deleted", func() { e.must(e.client.Delete(e.ctx, e.configMap("a"))) },
			func() bool { return e.exists(e.configMap("a")) }},
		{"kubectl adds a field", func() { e.kubectl("", "-n", namespace, "annotate", "deployment", "web", "by=hand") },
			func() bool {
				web := &appsv1.Deployment{ObjectMeta: e.meta("web")}
				return e.exists(web) && web.Annotations["by"] == ""
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			c.break_()
			until(e, k, "mended", func(*kustomizev1.Kustomization) bool { return c.mended() })
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("mended after %s", took)
			}
		})
	}
}

func TestQuietClusterCostsNoWriteNoRenderAndNoDryRun(t *testing.T) {
	namespace := nextTeam(t)
	files := map[string]string{}
	for i := range 4 {
		files[fmt.Sprintf("app%d/x.yaml", i)] = configMapYAML(namespace, fmt.Sprintf("x%d", i), "1")
	}
	// What is left alone as it is marked is somebody else's, and no drift.
	for name, mark := range map[string]string{"ignored": "ssa: Ignore", "disabled": "reconcile: disabled", "first": "ssa: IfNotPresent"} {
		files["app0/"+name+".yaml"] = strings.Replace(configMapYAML(namespace, name, "1"), "\ndata:", "\n  annotations:\n    kustomize.toolkit.fluxcd.io/"+mark+"\ndata:", 1)
	}
	e := newTeam(t, files, func(r *sourcev1.GitRepository) { r.Spec.Interval.Duration = time.Second })
	for _, name := range []string{"ignored", "disabled", "first"} {
		e.create(e.configMap(name))
	}
	twin := e.repository("twin")
	twin.Spec.Interval.Duration = time.Second
	e.create(twin)
	const interval = 10 * time.Second
	var all []*kustomizev1.Kustomization
	for i := range 4 {
		k := e.kustomization(fmt.Sprintf("app%d", i), fmt.Sprintf("./app%d", i), func(k *kustomizev1.Kustomization) {
			k.Spec.Interval.Duration = interval // a full check comes after twelve, two minutes
			if i%2 == 1 {
				k.Spec.SourceRef.Name = "twin"
			}
		})
		e.create(k)
		all = append(all, k)
	}
	for _, k := range all {
		until(e, k, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	}
	written := func(skip int64) (requests []string, end int64) {
		events, end := e.audit(t, skip)
		for _, event := range events {
			if event.ObjectRef.Namespace == namespace && !slices.Contains([]string{"get", "list", "watch"}, event.Verb) {
				requests = append(requests, event.Verb+" "+event.RequestURI)
			}
		}
		return requests, end
	}
	// Events and caches come to rest: on a busy machine later than on others.
	_, skip := written(0)
	for rests := 0; ; rests++ {
		<-time.NewTimer(interval).C
		var late []string
		if late, skip = written(skip); len(late) == 0 {
			break
		}
		if rests == 7 { // with the quiet, the full check must not come
			t.Fatalf("it does not come to rest: %q", late)
		}
	}
	gitBefore := e.git.Stats()[e.repo]
	const quiet = 2 * interval
	<-time.NewTimer(quiet).C
	git := e.git.Stats()[e.repo] // before the audit log is read, which takes its time
	if late, _ := written(skip); len(late) > 0 {
		t.Errorf("%q", late)
	}
	if git.Fetches != gitBefore.Fetches {
		t.Errorf("%d fetches", git.Fetches-gitBefore.Fetches)
	}
	// Two GitRepositories with the same question: one query per interval for both.
	queries := git.Advertisements - gitBefore.Advertisements
	if limit := int(quiet/time.Second) + 2; queries > limit || queries < limit/2 {
		t.Errorf("%d queries in %s for two repositories with an interval of 1s, want about one per second", queries, quiet)
	}
	for _, k := range all {
		before := k.ResourceVersion
		e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(k), k))
		if k.ResourceVersion != before {
			t.Errorf("%s was written", k.Name)
		}
	}
}

func TestRestartChecksEverythingAndWritesNothing(t *testing.T) {
	namespace := nextTeam(t)
	shard := map[string]string{shardKey: "restart"}
	e := newTeam(t, map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "1")}, func(r *sourcev1.GitRepository) { r.Labels = shard })
	k := e.kustomization("app", "./app", func(k *kustomizev1.Kustomization) { k.Labels = shard })
	e.create(k)
	start := func(name string) (stop func()) {
		opts := testOptions(t.TempDir())
		opts.WatchLabelSelector = shardKey + "=restart"
		config := rest.CopyConfig(e.plane.Config())
		config.UserAgent = name
		stop, err := startAgent(e.ctx, config, opts)
		e.must(err)
		return stop
	}
	stop := start(agentName)
	until(e, k, "ready", func(k *kustomizev1.Kustomization) bool { return conditions.IsReady(k) })
	stop()
	// Drift while no agent runs is found by the first check.
	e.kubectl("", "-n", namespace, "patch", "configmap", "a", "--type=merge", "-p", `{"data":{"key":"edited"}}`)
	e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(k), k))
	passes := k.Status.History.Latest().TotalReconciliations
	stop = start(agentName)
	until(e, k, "mended, and the pass at its end", func(k *kustomizev1.Kustomization) bool {
		return conditions.IsReady(k) && k.Status.History.Latest().TotalReconciliations > passes
	})
	if a := e.configMap("a"); !e.exists(a) || a.Data["key"] != "1" {
		t.Errorf("the drift stands after the check: %v", a.Data)
	}
	stop()
	// Without drift there is a dry-run and nothing else. Events of those before may
	// still be on their way, so that this one has a name of its own.
	third := agentName + "-third"
	_, skip := e.audit(t, 0)
	requests := func() []auditEvent {
		events, _ := e.audit(t, skip)
		return slices.DeleteFunc(events, func(event auditEvent) bool {
			return event.UserAgent != third || event.ObjectRef.Namespace != namespace
		})
	}
	dryRun := func(event auditEvent) bool { return strings.Contains(event.RequestURI, "dryRun=All") }
	stop = start(third)
	waitFor(t, "a dry-run after the start", func() bool { return slices.ContainsFunc(requests(), dryRun) })
	stop()
	for _, event := range requests() {
		if !slices.Contains([]string{"get", "list", "watch"}, event.Verb) && !dryRun(event) {
			t.Errorf("%s %s", event.Verb, event.RequestURI)
		}
	}
}

func TestUnpinningAtTheSameCommitChangesNothing(t *testing.T) {
	namespace := nextTeam(t)
	e := newTeam(t, map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "1")}, func(r *sourcev1.GitRepository) { r.Spec.Suspend = true })
	commit, err := e.git.Head(e.ctx, e.repo, "main")
	e.must(err)
	repository := e.repository("app")
	e.patch(repository, func() { repository.Spec.Reference.Commit, repository.Spec.Suspend = commit, false })
	k := e.kustomization("app", "./app")
	e.create(k)
	e.untilReady(k, commit)
	if k.Status.LastAppliedRevision != "main@sha1:"+commit {
		t.Errorf("revision %q", k.Status.LastAppliedRevision)
	}
	fetches := e.git.Stats()[e.repo].Fetches
	version := k.ResourceVersion
	e.patch(repository, func() { repository.Spec.Reference.Commit = "" })
	until(e, repository, "observed", func(r *sourcev1.GitRepository) bool {
		return r.Status.ObservedGeneration == r.Generation && conditions.IsReady(r)
	})
	e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(k), k))
	if k.ResourceVersion != version || e.git.Stats()[e.repo].Fetches != fetches {
		t.Errorf("unpinning wrote the Kustomization or fetched again: %s -> %s", version, k.ResourceVersion)
	}
	next := e.push("next", map[string]string{"app/a.yaml": configMapYAML(namespace, "a", "2")})
	e.request(repository, "now")
	e.untilReady(k, next)
}

func TestFieldsThatAreNotSupportedStall(t *testing.T) {
	e := newTeam(t, map[string]string{"README.md": "x"}, func(r *sourcev1.GitRepository) { r.Spec.RecurseSubmodules = true })
	repository := e.repository("app")
	until(e, repository, "stalled", func(r *sourcev1.GitRepository) bool {
		return conditions.IsStalled(r) && r.Status.ObservedGeneration == r.Generation && conditions.IsFalse(r, fluxmeta.ReadyCondition)
	})
	if message := conditions.GetMessage(repository, fluxmeta.ReadyCondition); !strings.Contains(message, "spec.recurseSubmodules") {
		t.Errorf("message %q", message)
	}
	k := e.kustomization("app", "./", func(k *kustomizev1.Kustomization) {
		k.Spec.Decryption = &kustomizev1.Decryption{Provider: "sops", ServiceAccountName: "role"}
	})
	e.create(k)
	e.untilReason(k, UnsupportedFieldReason)
	e.patch(k, func() { k.Spec.Decryption = nil })
	e.untilReason(k, fluxmeta.ArtifactFailedReason)
	if conditions.Has(k, fluxmeta.StalledCondition) {
		raw, _ := json.Marshal(k.Status.Conditions)
		t.Errorf("still stalled: %s", raw)
	}
}
