package cutover

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// fenceBegun reports whether the fence step was ever begun.
func (tm *team) fenceBegun() bool {
	return slices.ContainsFunc(tm.events, func(e Event) bool { return e.Step == "fence" })
}

func TestAnEngineThatDoesNotSeeTheKustomizationsIsFoundBeforeTheFence(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	blind := tm.name + "-web"
	tm.lab.engine.ignore(blind, true)
	t.Cleanup(func() { tm.lab.engine.ignore(blind, false) })
	err := tm.migrate(func(o *Options) { o.Limits.Echo, o.Limits.Adopt = 3*time.Second, 5*time.Second })
	if err == nil || !strings.Contains(err.Error(), "Kustomization/"+migrate.AgentNamespace+"/"+blind) || !strings.Contains(err.Error(), "no controller has answered") {
		t.Fatalf("want an error that names the Kustomization that nobody answers for, got %v", err)
	}
	for _, want := range []string{"1 of 3", "waited 3", "finalizer"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if tm.fenceBegun() {
		t.Error("the fence was begun although nobody would follow")
	}
	if got := tm.status(); got.Phase != PhaseFailed || got.Step != "stage" {
		t.Errorf("status: %+v", got)
	}
	tm.must(tm.write(nil))
	tm.lab.engine.ignore(blind, false)
	tm.must(tm.migrate())
	tm.must(tm.rollback())
	tm.same("after all", before, tm.picture())
}

func TestAnEngineThatStoppedSinceItStagedIsAskedAgainBeforeTheFence(t *testing.T) {
	tm := newTeam(t)
	hit := false
	tm.crash = crashPoint{"stage", AfterDone}.at(&hit)
	if err := tm.migrate(); !errors.Is(err, errCrash) || !hit {
		t.Fatalf("want a crash, got %v", err)
	}
	tm.crash, tm.events = nil, nil
	tm.breakLease()
	tm.lab.engine.pause(true)
	t.Cleanup(func() { tm.lab.engine.pause(false) })
	err := tm.migrate(func(o *Options) { o.Limits.Echo, o.Limits.Adopt = 2*time.Second, 5*time.Second })
	if err == nil || !strings.Contains(err.Error(), "no controller has answered") {
		t.Fatalf("want it found that nobody answers, got %v", err)
	}
	if tm.fenceBegun() {
		t.Error("the fence was begun although nobody would follow")
	}
	tm.must(tm.write(nil))
	tm.lab.engine.pause(false)
	tm.must(tm.migrate())
}

// TestAStockControllerAnswersForASuspendedKustomization: what the stage step
// waits for is what the real program does, and it applies nothing.
func TestAStockControllerAnswersForASuspendedKustomization(t *testing.T) {
	program, definitions := os.Getenv("KUSTOMIZE_CONTROLLER"), os.Getenv("STOCK_CRDS")
	if program == "" || definitions == "" {
		t.Skip("needs the real controller and the definitions that it watches: KUSTOMIZE_CONTROLLER or STOCK_CRDS not set")
	}
	l := laboratory(t)
	tm := &team{t: t, lab: l, name: "stock-answers"}
	for _, dir := range filepath.SplitList(definitions) {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		tm.must(err)
		for _, file := range files {
			content, err := os.ReadFile(file)
			tm.must(err)
			crd := manifest(t, string(content))
			if _, err := l.c.Get(t.Context(), crdKind, "", crd.GetName()); cluster.IsGone(err) {
				_, err = l.c.Apply(t.Context(), crd, "test")
				tm.must(err)
			}
		}
	}
	const shard = "sharding.fluxcd.io/key"
	command := exec.Command(program, "--watch-label-selector="+shard+"=stock", "--metrics-addr=0", "--health-addr=0", "--enable-leader-election=false")
	command.Env = append(os.Environ(), "KUBECONFIG="+l.cp.Kubeconfig, "RUNTIME_NAMESPACE=default")
	tm.must(command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	r := &repository{env: &env{c: l.c, emit: tm.record, run: "run-of-" + tm.name, limits: limits{echo: time.Minute}}, id: "flux/" + tm.name, j: &journal{plan: &planSlice{}}}
	r.store = store{c: l.c}
	seen, unseen := tm.someKustomization(), tm.someKustomization()
	seen.SetLabels(map[string]string{shard: "stock"})
	unseen.SetName(tm.name + "-elsewhere")
	for _, k := range []*unstructured.Unstructured{seen, unseen} {
		l.engine.ignore(k.GetName(), true)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			tm.must(r.remove(ctx, created{APIVersion: k.GetAPIVersion(), Kind: k.GetKind(), Namespace: k.GetNamespace(), Name: k.GetName()}, nil))
			l.engine.ignore(k.GetName(), false)
		})
	}
	ask := func(k *unstructured.Unstructured) error {
		r.j.plan.Repository.Kustomizations = []*unstructured.Unstructured{k}
		token := time.Now().UTC().Format(time.RFC3339Nano)
		tm.must(r.putKustomizations(t.Context(), staged, nil, token))
		return r.awaitEngine(t.Context(), token)
	}
	tm.must(ask(seen))
	tm.must(ask(seen)) // one that is known already answers again
	live, err := l.c.Get(t.Context(), kustomizationKind, seen.GetNamespace(), seen.GetName())
	tm.must(err)
	if conditionOf(live, "Ready").status != "" || len(inventoryOf(live)) > 0 {
		t.Errorf("it did more than answer: %v", live.Object["status"])
	}
	r.limits.echo = 3 * time.Second
	if err := ask(unseen); err == nil || !strings.Contains(err.Error(), "no controller has answered") {
		t.Errorf("one of another shard: %v", err)
	}
}
