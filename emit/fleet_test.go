package emit

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/proof"
)

// teams have names that people give.
var teams = []string{
	"payments", "checkout", "catalog", "search", "identity", "billing", "shipping", "geo", "pricing", "reviews", "loyalty", "chat", "mailer", "reports",
	"ledger", "fraud", "stock", "suppliers", "gateway", "sessions", "profiles", "consent", "audit", "exports", "imports", "archive", "metrics", "alerts",
	"routing", "returns", "weather", "tickets", "support", "media", "coupons", "taxes", "invoices", "contracts", "partners", "kiosk",
}

var apps = []string{"api", "web", "worker", "cron", "cache", "admin"}

// fleetInventory is of so many agents with six applications each; every flag
// that is carried is given by one of them.
func fleetInventory(t testing.TB, count int) migrate.Inventory {
	t.Helper()
	return inventoryOf(t, count, 0)
}

// inventoryOf is fleetInventory with so many more objects for each agent, in all
// of its applications.
func inventoryOf(t testing.TB, count, more int) migrate.Inventory {
	t.Helper()
	inv := migrate.Inventory{APIVersion: migrate.APIVersion, Kind: "Inventory", Cluster: migrate.Cluster{
		Name: "prod", Server: "https://prod.example.com:6443", UID: "uid-of-prod", Version: "v1.33.2", From: "cluster", Namespaces: []string{"flux", "flux-system"},
	}}
	kinds := []migrate.ServedKind{
		{Version: "v1", Kind: "ConfigMap", Namespaced: true}, {Version: "v1", Kind: "Secret", Namespaced: true}, {Version: "v1", Kind: "Service", Namespaced: true},
		{Version: "v1", Kind: "Namespace"}, {Group: "apps", Version: "v1", Kind: "Deployment", Namespaced: true},
	}
	inv.Cluster.Kinds = kinds
	for i, team := range teams[:count] {
		args := []string{
			"--git-url=ssh://git@git.example.com/" + team + "/deploy.git", "--git-branch=main", "--git-path=production", "--git-poll-interval=1m",
			"--sync-interval=5m", "--sync-garbage-collection=true", "--k8s-secret-name=flux-" + team + "-key", "--registry-disable-scanning=true",
		}
		config, settings, _ := flux1.ParseArgs(args)
		for n := range settings {
			for m := range settings[n].From {
				settings[n].From[m] = migrate.Origin{Witness: "cluster", Where: fmt.Sprintf("Deployment/flux/flux-%s container flux %s", team, settings[n].From[m].Where)}
			}
		}
		tree := fstest.MapFS{"production/namespaces/" + team + ".yaml": {Data: fmt.Appendf(nil, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", team)}}
		for _, app := range apps {
			replicas := "  replicas: 3\n"
			if app == "web" {
				replicas = "" // as where people or an autoscaler decide
			}
			tree["production/"+app+"/app.yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, `apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: %[2]s}
spec:
%[3]s  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {containers: [{name: %[1]s, image: "registry.example.com/%[2]s/%[1]s:1.4.2"}]}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: %[2]s}
spec: {selector: {app: %[1]s}, ports: [{port: 80, protocol: TCP, targetPort: 8080}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: %[1]s, namespace: %[2]s}
data: {LEVEL: info}
`, app, team, replicas)}
		}
		// Teams differ in how much they have.
		for n := range i * 7 % 11 {
			file := tree["production/api/app.yaml"]
			file.Data = fmt.Appendf(file.Data, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: region-%d, namespace: %s}\ndata: {LEVEL: info}\n", n+1, team)
		}
		for n := range more {
			file := tree["production/"+apps[n%len(apps)]+"/app.yaml"]
			file.Data = fmt.Appendf(file.Data, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: setting-%d, namespace: %s}\ndata: {LEVEL: info}\n", n, team)
		}
		commit := sha1.Sum([]byte(team))
		running := true
		id := "flux/flux-" + team
		a := migrate.Flux1Agent{
			ID: id, Namespace: "flux", Release: "flux-" + team, Workload: "flux-" + team, ServiceAccount: "flux-" + team, InstalledBy: "helm", Running: &running,
			Git:    migrate.AgentGit{URL: config.URL.String(), Branch: config.Branch, Paths: config.Paths, PollInterval: metav1.Duration{Duration: config.PollInterval}, Timeout: metav1.Duration{Duration: config.GitTimeout}},
			Sync:   migrate.AgentSync{Interval: metav1.Duration{Duration: config.SyncInterval}, Timeout: metav1.Duration{Duration: config.SyncTimeout}, GarbageCollection: config.GarbageCollection, State: config.State},
			Synced: migrate.Synced{Commit: hex.EncodeToString(commit[:])}, Requests: migrate.Requests{CPU: "1", Memory: "512Mi"},
			Settings: settings, Confinement: migrate.Confinement{Kind: "namespaces", Namespaces: []string{team}}, Tree: tree, DefaultNamespace: "default",
			Credential: migrate.AgentCredential{Kind: "ssh", Identity: migrate.SecretKey{Namespace: "flux", Name: "flux-" + team + "-key", Key: "identity"}, KnownHosts: "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n"},
			Rights: []migrate.Binding{{Namespace: team, Name: "flux-" + team, Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "flux-" + team}, ReleaseOwned: true,
				Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}}},
		}
		if i%13 == 9 {
			a.Credential.KnownHosts = ""
		}
		var err error
		a.Files, a.Objects, _, err = flux1.Load(tree, flux1.LoadConfig{Repository: id, Paths: a.Git.Paths, DefaultNamespace: "default", Kinds: kinds})
		if err != nil {
			t.Fatal(err)
		}
		inv.Agents = append(inv.Agents, a)
	}
	return inv
}

// driftingWorld is a cluster as fluxd left it, in which people changed a little
// by hand: every object is live as it stands in Git but for a few. It answers
// as an API server does, field owners included.
type driftingWorld struct{}

func (driftingWorld) Live(_ context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live := o.DeepCopy()
	labels := live.GetLabels()
	delete(labels, proof.LabelOwnerName)
	delete(labels, proof.LabelOwnerNamespace)
	if labels == nil {
		labels = map[string]string{}
	}
	labels["fluxcd.io/sync-gc-mark"] = "sha256.x"
	live.SetLabels(labels)
	manager, fields := "", ""
	team := live.GetNamespace()
	switch {
	case team == "search" && live.GetKind() == "Deployment" && live.GetName() == "web":
		unstructuredSet(live, int64(5), "spec", "replicas")
		manager, fields = "kubectl-edit", `{"f:spec":{"f:replicas":{}}}`
	case team == "billing" && live.GetKind() == "ConfigMap" && live.GetName() == "worker":
		unstructuredSet(live, "true", "data", "VERBOSE")
		manager, fields = "kubectl-edit", `{"f:data":{"f:VERBOSE":{}}}`
	case team == "geo" && live.GetKind() == "Deployment" && live.GetName() == "api":
		unstructuredSet(live, "2026-01-01T00:00:00Z", "spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
		manager, fields = "kubectl-rollout", `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`
	case strings.HasPrefix(live.GetName(), "setting-") && strings.HasSuffix(live.GetName(), "7"):
		unstructuredSet(live, "debug", "data", "LEVEL")
		unstructuredSet(live, "true", "data", "VERBOSE")
		manager, fields = "kubectl-edit", `{"f:data":{"f:LEVEL":{},"f:VERBOSE":{}}}`
	case team == "chat" && live.GetKind() == "Service" && live.GetName() == "cron":
		return nil, nil
	}
	if fields != "" {
		live.SetManagedFields([]metav1.ManagedFieldsEntry{entryOf(live, manager, metav1.ManagedFieldsOperationUpdate, fields)})
	}
	return live, nil
}

func entryOf(o *unstructured.Unstructured, manager string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, APIVersion: o.GetAPIVersion(), FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields)}
}

func unstructuredSet(u *unstructured.Unstructured, value any, fields ...string) {
	if err := unstructured.SetNestedField(u.Object, value, fields...); err != nil {
		panic(err)
	}
}

func (w driftingWorld) LiveIn(context.Context, schema.GroupVersionKind, string, int) (map[string]*unstructured.Unstructured, bool) {
	return nil, false
}

// DryRun answers a forced server-side apply: what is applied wins, what others
// set beside it stays.
func (w driftingWorld) DryRun(ctx context.Context, _ proof.Account, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	out := o.DeepCopy()
	live, err := w.Live(ctx, o)
	if err != nil {
		return nil, err
	}
	var entries []metav1.ManagedFieldsEntry
	if live != nil {
		out.Object = over(live.Object, o.Object)
		entries = live.GetManagedFields()
	}
	fields, err := json.Marshal(appliedFields(o.Object))
	if err != nil {
		return nil, err
	}
	out.SetManagedFields(append(entries, entryOf(o, "kustomize-controller", metav1.ManagedFieldsOperationApply, string(fields))))
	return out, nil
}

// over lays one map over another, which stays as it is.
func over(below, above map[string]any) map[string]any {
	out := runtime.DeepCopyJSON(below)
	for key, value := range above {
		if m, is := value.(map[string]any); is {
			if held, is := out[key].(map[string]any); is {
				value = over(held, m)
			}
		}
		out[key] = value
	}
	return out
}

// appliedFields names the fields of an object as managedFields do; lists whole.
func appliedFields(m map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range m {
		below, is := value.(map[string]any)
		if out["f:"+key] = map[string]any{}; is {
			out["f:"+key] = appliedFields(below)
		}
	}
	return out
}

// DryRunChange answers the storing of an object as it is given: empty maps are
// left out, and a Deployment without a number of replicas has one.
func (driftingWorld) DryRunChange(_ context.Context, _ proof.Account, _, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	out := o.DeepCopy()
	if held, found, _ := unstructured.NestedMap(out.Object, "spec", "template", "metadata", "annotations"); found && len(held) == 0 {
		unstructured.RemoveNestedField(out.Object, "spec", "template", "metadata", "annotations")
	}
	if _, found, _ := unstructured.NestedInt64(out.Object, "spec", "replicas"); !found && out.GetKind() == "Deployment" {
		unstructuredSet(out, int64(1), "spec", "replicas")
	}
	return out, nil
}

// fleet plans and proves it.
func fleet(t testing.TB, count int) (proof.Result, migrate.Inventory) {
	t.Helper()
	inv := fleetInventory(t, count)
	return proved(t, inv), inv
}

func proved(t testing.TB, inv migrate.Inventory) proof.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	r, err := proof.Prove(ctx, inv, migrate.Options{}, driftingWorld{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// requestsOfTheChart is what the bundled agent's chart asks for.
var requestsOfTheChart = migrate.Requests{CPU: "100m", Memory: "128Mi"}
