package journey

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// stockControllers are the controllers of Flux v2 that these tests run, in the
// order in which they take over.
var stockControllers = []string{"source-controller", "kustomize-controller"}

// stockCRDs is a list of folders, as PATH is, with the definitions that the
// controllers come with (config/crd/bases of both repositories).
const stockCRDs = "STOCK_CRDS"

// stockUsers are the accounts that installStock gives the controllers.
var stockUsers = []string{
	"system:serviceaccount:flux-system:source-controller", "system:serviceaccount:flux-system:kustomize-controller",
}

// needStock skips the test unless the real controllers are there.
func needStock(t *testing.T) {
	t.Helper()
	var missing []string
	for _, variable := range []string{"SOURCE_CONTROLLER", "KUSTOMIZE_CONTROLLER", stockCRDs} {
		if os.Getenv(variable) == "" {
			missing = append(missing, variable)
		}
	}
	if len(missing) > 0 {
		t.Skipf("needs the real controllers of Flux v2 and their definitions: %s not set", strings.Join(missing, ", "))
	}
}

// stockManifest is one controller, as its own installation declares it, as far
// as it matters here.
const stockManifest = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME, namespace: flux-system, labels: {app.kubernetes.io/part-of: flux}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: stock-NAME, labels: {app.kubernetes.io/part-of: flux}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: NAME, namespace: flux-system}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: flux-system, labels: {app.kubernetes.io/part-of: flux}}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      serviceAccountName: NAME
      terminationGracePeriodSeconds: 10
      containers:
        - name: manager
          image: registry.example.com/fluxcd/NAME:stock
          args: ["--watch-all-namespaces=true", "--log-level=info", "--enable-leader-election" ARGS]
          env:
            - name: RUNTIME_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
          readinessProbe: {httpGet: {PROBE}, periodSeconds: 5}
          volumeMounts:
            - {name: data, mountPath: /data}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - {name: data, emptyDir: {}}
        - {name: tmp, emptyDir: {}}
`

// installStock installs the stock controllers and waits until they are ready:
// first the one for sources. The other one retries for minutes to fetch an
// artifact whose address names an engine that is gone (pkg/http/fetch, 9 times,
// 5 s to 30 s apart), so it starts when every source has an artifact again.
func (w *world) installStock() {
	w.t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv(stockCRDs)) {
		// Definitions that fluxover's agent brought are the same ones, maybe of
		// another release: the newcomer's hold.
		w.kubectl("apply", "--server-side", "--force-conflicts", "-f", dir)
	}
	w.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	w.installController("source-controller", `, "--storage-path=/data"`, "path: /, port: 9090") // it serves artifacts while it leads
	w.reconcile(gitRepositories)
	w.installController("kustomize-controller", "", "path: /readyz, port: 9440")
}

func (w *world) installController(name, args, probe string) {
	w.t.Helper()
	manifests := "apiVersion: v1\nkind: Namespace\nmetadata: {name: flux-system}\n---" +
		strings.NewReplacer("NAME", name, " ARGS", args, "PROBE", probe).Replace(stockManifest)
	file := filepath.Join(w.t.TempDir(), name+".yaml")
	if err := os.WriteFile(file, []byte(manifests), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.kubectl("apply", "--server-side", "-f", file)
	w.stockReady(name)
}

func (w *world) stockReady(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.kubectl("-n", "flux-system", "rollout", "status", "deployment/"+name, "--timeout=120s")
	}
}

// scale sets a Deployment's replicas and waits until that many run and no
// other Pod is left.
func (w *world) scale(name string, replicas int) {
	w.t.Helper()
	w.kubectl("-n", "flux-system", "scale", "deployment/"+name, fmt.Sprintf("--replicas=%d", replicas))
	w.kubectl("-n", "flux-system", "rollout", "status", "deployment/"+name, "--timeout=120s")
	w.eventually(time.Minute, fmt.Sprintf("%d Pods of %s", replicas, name), func(ctx context.Context) bool {
		pods, err := w.kube().CoreV1().Pods("flux-system").List(ctx, metav1.ListOptions{})
		if err != nil {
			return false
		}
		n := 0
		for _, p := range pods.Items {
			if strings.HasPrefix(p.Name, name+"-") {
				n++
			}
		}
		return n == replicas
	})
}

// reconcileAll asks the engine to look at everything anew, sources first.
func (w *world) reconcileAll() {
	w.t.Helper()
	w.reconcile(gitRepositories)
	w.reconcile(kustomizations)
}

// reconcile asks the engine to look at all objects of a kind anew, and waits
// until it has answered for each and all are Ready.
func (w *world) reconcile(gvr schema.GroupVersionResource) {
	w.t.Helper()
	now := time.Now().Format(time.RFC3339Nano)
	w.kubectl("-n", "flux-system", "annotate", "--overwrite", "--all", gvr.Resource+"."+gvr.Group, "reconcile.fluxcd.io/requestedAt="+now)
	lacking := "nothing was read"
	defer func() {
		if w.t.Failed() {
			w.t.Logf("reconcile %s: %s", gvr.Resource, lacking)
		}
	}()
	w.eventually(2*time.Minute, "an answer for every one of "+gvr.Resource, func(ctx context.Context) bool {
		list, err := w.dynamic().Resource(gvr).List(ctx, metav1.ListOptions{})
		if err != nil {
			lacking = err.Error()
			return false
		}
		for i := range list.Items {
			k := &list.Items[i]
			handled, _, _ := unstructured.NestedString(k.Object, "status", "lastHandledReconcileAt")
			if handled != now || !ready(k) {
				lacking = fmt.Sprintf("%s was asked at %s and is %v", k.GetName(), now, k.Object["status"])
				return false
			}
		}
		return true
	})
}

// inventories are the status inventories of all Kustomizations, by name.
func (w *world) inventories() map[string][]string {
	w.t.Helper()
	list, err := w.dynamic().Resource(kustomizations).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string][]string{}
	for i := range list.Items {
		all[list.Items[i].GetName()] = inventory(&list.Items[i])
	}
	return all
}

// quiet fails the test if an engine wrote any object of a team since a time.
func (w *world) quiet(what string, since time.Time) {
	w.t.Helper()
	report := w.pass(auditor.Options{Since: since, AgentUsers: stockUsers})
	for _, write := range report.Writes {
		if write.Engine == auditor.Controller {
			continue // Kubernetes' own, on status
		}
		w.t.Errorf("%s: %s was written (%s) by %s as %s: %+v", what, write.ID, write.Verb, write.User, write.Manager, write)
	}
	if report.Objects.Managed == 0 {
		w.t.Errorf("%s: the auditor knows no managed object", what)
	}
}

// longestGap is the longest time that a repository was without an engine.
func longestGap(report *auditor.Report) float64 {
	longest := 0.0
	for _, h := range report.Handovers {
		if h.Gap != nil {
			longest = max(longest, *h.Gap)
		}
	}
	return longest
}

func TestStockControllersTakeAFleetOverAndGiveItBack(t *testing.T) {
	beside(t)
	needStock(t)
	w := up(t, laboratory.Options{Teams: 3, Apps: 3, Seed: 11})
	w.installStock()
	before := withoutOwn(w.dump())

	r := w.run(0, "discover", "-o", "json")
	for _, name := range stockControllers {
		if !strings.Contains(r.out, "flux-system/"+name) {
			t.Errorf("discover does not name %s:\n%s", name, r.out)
		}
	}
	blocked := w.run(3, append([]string{"plan", "-o", "json"}, acceptAll...)...)
	type finding struct{ Severity, Code, Where string }
	var refusal struct{ Findings []finding }
	if err := json.Unmarshal([]byte(blocked.out), &refusal); err != nil {
		t.Fatalf("plan: %v\n%s", err, blocked.out)
	}
	if want := (finding{"blocker", "FLUX2_RUNNING", "flux-system/kustomize-controller, flux-system/source-controller"}); !slices.Contains(refusal.Findings, want) {
		t.Errorf("plan does not say %v:\n%s", want, blocked.out)
	}
	w.run(3, append([]string{"migrate", "--yes", "--image", image}, acceptAll...)...)
	same(t, "after a refused migration", before, withoutOwn(w.dump()))

	existing := append([]string{"--engine", "existing"}, acceptAll...)
	planned := w.run(0, append([]string{"plan", "-o", "json"}, existing...)...)
	plan, err := auditor.ParsePlan([]byte(planned.out))
	if err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	w.run(0, append([]string{"migrate", "--yes"}, existing...)...)
	took := time.Since(since)
	status, err := auditor.ParseStatus([]byte(w.run(0, "status", "-o", "json").out))
	if err != nil {
		t.Fatal(err)
	}
	report := w.pass(auditor.Options{Since: since, Plan: plan, Status: status, AgentUsers: stockUsers, MaxGap: gapLimit()})
	if len(report.Handovers) != 3 {
		t.Errorf("the auditor saw %d repositories handed over, want 3", len(report.Handovers))
	}
	t.Logf("%d repositories in %s, longest gap %.2f s, %d managed objects", len(w.Teams), took.Round(time.Second), longestGap(report), report.Objects.Managed)
	for id, phase := range w.phases() {
		if phase != "settled" {
			t.Errorf("%s is %s, want settled", id, phase)
		}
	}
	for _, team := range w.Teams {
		w.arrives(team, w.commit(team))
	}

	// Nothing changed: looking at everything anew writes to no workload.
	since = time.Now()
	w.reconcileAll()
	w.quiet("reconciled anew", since)

	since = time.Now()
	w.run(0, "rollback", "--yes", "--repo", id(w.Teams[0]))
	t.Logf("one repository back in %s", time.Since(since).Round(time.Second))
	if err := w.WaitSynced(t.Context(), w.Teams[0]); err != nil {
		t.Errorf("after the rollback of one: %v", err)
	}
	w.run(0, "rollback", "--yes")
	for id, phase := range w.phases() {
		if phase != "rolled-back" {
			t.Errorf("%s is %s, want rolled-back", id, phase)
		}
	}
	for _, team := range w.Teams {
		w.commit(team)
	}
	if err := w.WaitSynced(t.Context()); err != nil {
		t.Errorf("after the rollback of all: %v", err)
	}
	// Others' controllers stay.
	w.stockReady(stockControllers...)
}

func TestARollbackFromStockControllersLeavesTheClusterAsItWas(t *testing.T) {
	beside(t)
	needStock(t)
	w := up(t, laboratory.Options{Teams: 2, Apps: 2, Seed: 2, SyncInterval: 10 * time.Minute})
	w.installStock()
	before := withoutOwn(w.dump())
	w.run(0, append([]string{"migrate", "--yes", "--engine", "existing"}, acceptAll...)...)
	w.run(0, "rollback", "--yes")
	w.becomes(before, "after the rollback", withoutOwn)
}

func TestStockControllersAndTheBundledAgentTakeEachOthersPlace(t *testing.T) {
	beside(t)
	needStock(t)
	w := up(t, laboratory.Options{Teams: 3, Apps: 3, Seed: 12})
	w.migrate()
	const bundled = "fluxover-agent"
	want := w.inventories()

	since := time.Now()
	w.scale(bundled, 0)
	w.installStock()
	w.reconcileAll()
	w.quiet("from the bundled agent to the stock controllers", since)
	sameInventories(t, "under the stock controllers", want, w.inventories())
	team := w.Teams[0]
	w.arrives(team, w.commit(team))
	// What they do write, the auditor sees as theirs.
	if !slices.ContainsFunc(w.audit(auditor.Options{Since: since, AgentUsers: stockUsers}).Writes, func(write auditor.Write) bool {
		return write.Engine == auditor.Flux2 && strings.HasPrefix(write.ID, team.Namespace+"_")
	}) {
		t.Errorf("the auditor saw no write of the stock controllers for a commit of %s", team.Name)
	}

	since = time.Now()
	for _, name := range stockControllers {
		w.scale(name, 0)
	}
	w.scale(bundled, 1)
	w.reconcileAll()
	w.quiet("from the stock controllers back to the bundled agent", since)
	sameInventories(t, "under the bundled agent again", want, w.inventories())
	w.arrives(team, w.commit(team))
	w.run(0, "rollback", "--yes")
	w.commit(team)
	if err := w.WaitSynced(t.Context()); err != nil {
		t.Errorf("after the rollback of all: %v", err)
	}
}

func sameInventories(t *testing.T, what string, want, got map[string][]string) {
	t.Helper()
	if len(want) == 0 || len(got) != len(want) {
		t.Errorf("%s: %d Kustomizations, want %d", what, len(got), len(want))
	}
	for name, ids := range want {
		if !slices.Equal(got[name], ids) {
			t.Errorf("%s: %s lists %q, want %q", what, name, got[name], ids)
		}
	}
}
