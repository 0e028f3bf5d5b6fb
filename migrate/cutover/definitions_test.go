package cutover

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/chart"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// widgets is a definition of this version, with a string for each field of its
// spec.
func widgets(version string, fields ...string) string {
	properties := ""
	for _, f := range fields {
		properties += f + ": {type: string}, "
	}
	return `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.test.example.org, annotations: {` + chart.DefinitionVersion + `: "` + version + `"}}
spec:
  group: test.example.org
  scope: Namespaced
  names: {kind: Widget, listKind: WidgetList, plural: widgets, singular: widget}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {` + properties + `}}}}}}
`
}

// chartWith is the agent's chart with one definition in place of its own.
func chartWith(t *testing.T, definition string) *helmchart.Chart {
	t.Helper()
	loaded, err := chart.Load()
	if err != nil {
		t.Fatal(err)
	}
	loaded.Files = slices.DeleteFunc(loaded.Files, func(f *helmchart.File) bool { return strings.HasPrefix(f.Name, "crds/") })
	loaded.Files = append(loaded.Files, &helmchart.File{Name: "crds/widgets.yaml", Data: []byte(definition)})
	return loaded
}

func TestDefinitionsOfOursAreKeptUpToDateAndNobodyElsesAreTouched(t *testing.T) {
	l := laboratory(t)
	ctx, s := engineTest(t, l)
	playStock(t, l, 0)
	const name = "widgets.test.example.org"
	needed := neededCRDs
	neededCRDs = []string{name}
	t.Cleanup(func() { neededCRDs = needed })
	var notes []string
	s.emit = func(e Event) {
		if e.State == EventNote {
			notes = append(notes, e.Message)
		}
	}
	want := migrate.ClusterAgent{Engine: engineBundled, Namespace: "agent-definitions", Release: "flux-agent"}
	engine := func(definition string) Engine {
		return Engine{Image: "registry.example/fluxover:1", Values: map[string]any{"podLabels": map[string]any{"test": "flux1"}}, Limit: time.Minute, Chart: chartWith(t, definition)}
	}
	install := func(definition string) {
		t.Helper()
		if err := engine(definition).install(ctx, s, want); err != nil {
			t.Fatal(err)
		}
	}
	live := func() *unstructured.Unstructured {
		t.Helper()
		crd, err := l.c.Get(ctx, crdKind, "", name)
		if err != nil {
			t.Fatal(err)
		}
		return crd
	}
	is := func(version string, fields ...string) {
		t.Helper()
		crd := live()
		if got := definitionVersion(crd); got != version {
			t.Errorf("the definition is of version %q, want %q", got, version)
		}
		for _, f := range fields {
			if !knows(schemaOf(crd), []string{"spec", f}) {
				t.Errorf("the definition does not know spec.%s", f)
			}
		}
	}
	config, err := helmConfig(l.c, want.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		uninstall := action.NewUninstall(config)
		uninstall.IgnoreNotFound = true
		if _, err := uninstall.Run(want.Release); err != nil {
			t.Error(err)
		}
	})

	// Made, by a run that is killed on the way.
	crash := func(step string, when When) {
		s.crash = func(_, st string, w When) bool { return st == step && w == when }
	}
	for _, when := range []When{BeforeStarted, AfterStarted, BeforeDone, AfterDone} {
		crash("definitions", when)
		if err := engine(widgets("v1.0.0", "size")).install(ctx, s, want); !errors.Is(err, errCrash) {
			t.Fatalf("want a crash %s, got %v", when, err)
		}
	}
	s.crash = nil
	install(widgets("v1.0.0", "size"))
	is("v1.0.0", "size")
	if r := s.record.Agent; !slices.Equal(r.MadeCRDs, []string{name}) || r.Definitions[name] != (definitionRecord{To: "v1.0.0", State: Done}) {
		t.Errorf("noted: %+v", r)
	}
	widget := manifest(t, "apiVersion: test.example.org/v1\nkind: Widget\nmetadata: {name: one, namespace: "+want.Namespace+"}\nspec: {size: large}\n")
	if _, err := l.c.Apply(ctx, widget, "somebody"); err != nil {
		t.Fatal(err)
	}

	// A newer fluxover brings a newer one, at its next run, killed or not.
	crash("definitions", BeforeDone)
	if err := engine(widgets("v1.1.0", "size", "colour")).install(ctx, s, want); !errors.Is(err, errCrash) {
		t.Fatalf("want a crash, got %v", err)
	}
	s.crash = nil
	install(widgets("v1.1.0", "size", "colour"))
	is("v1.1.0", "size", "colour")
	if r := s.record.Agent.Definitions[name]; r != (definitionRecord{From: "v1.0.0", To: "v1.1.0", State: Done}) {
		t.Errorf("noted: %+v", r)
	}
	if !slices.ContainsFunc(notes, func(n string) bool {
		return strings.Contains(n, name) && strings.Contains(n, "from version v1.0.0 to v1.1.0")
	}) {
		t.Errorf("nothing was said of the update: %q", notes)
	}
	if one, err := l.c.Get(ctx, widget.GroupVersionKind(), want.Namespace, "one"); err != nil {
		t.Errorf("the object that was there: %v", err)
	} else if size, _, _ := unstructured.NestedString(one.Object, "spec", "size"); size != "large" {
		t.Errorf("the object that was there is %v", one.Object["spec"])
	}

	// An older fluxover takes nothing back, and nothing happens twice.
	unchanged := live().GetResourceVersion()
	for _, definition := range []string{widgets("v1.0.0", "size"), widgets("v1.1.0", "size", "colour"), widgets("not-a-version", "size")} {
		install(definition)
	}
	if got := live().GetResourceVersion(); got != unchanged {
		t.Errorf("the definition was written again (resourceVersion %s, before %s)", got, unchanged)
	}

	// A version in which the cluster may hold objects is never dropped.
	dropping := strings.ReplaceAll(widgets("v2.0.0", "size"), "name: v1,", "name: v1beta9,")
	refusedFor(t, engine(dropping).install(ctx, s, want), name, "stored in version v1,", "status.storedVersions")
	is("v1.1.0")

	// Somebody else applies it since: it is theirs.
	theirs := live()
	theirs.SetManagedFields(nil)
	theirs.SetResourceVersion("")
	if _, err := l.c.Apply(ctx, theirs, "flux"); err != nil {
		t.Fatal(err)
	}
	notes = nil
	install(widgets("v1.2.0", "size", "colour", "weight"))
	is("v1.1.0")
	if !slices.ContainsFunc(notes, func(n string) bool {
		return strings.Contains(n, "applied by flux") && strings.Contains(n, "spec.weight")
	}) {
		t.Errorf("nothing was said of a definition that is behind: %q", notes)
	}
	if err := l.c.Dynamic.Resource(widget.GroupVersionKind().GroupVersion().WithResource("widgets")).Namespace(want.Namespace).Delete(ctx, "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := uninstallEngine(ctx, s); err != nil {
		t.Fatal(err)
	}
	if err := l.c.Delete(ctx, live(), cluster.DeleteOptions{}); err != nil { // and it was left
		t.Fatal(err)
	}
	gone := func() bool { _, err := l.c.Get(ctx, crdKind, "", name); return cluster.IsGone(err) }
	if err := (&team{t: t}).await(gone); err != nil {
		t.Fatal(err)
	}

	// Somebody's that will not do stops it before anything is made.
	foreign := manifest(t, strings.ReplaceAll(widgets("", "size"), "name: v1,", "name: v1beta9,"))
	unstructured.RemoveNestedField(foreign.Object, "metadata", "annotations")
	if _, err := l.c.Apply(ctx, foreign, "flux"); err != nil {
		t.Fatal(err)
	}
	if err := awaitServed(ctx, l.c, name); err != nil {
		t.Fatal(err)
	}
	refusedFor(t, engine(widgets("v1.0.0", "size")).install(ctx, s, want), name, "v1beta9", "version v1 is needed")
	if last, err := lastRelease(config, want.Release); err != nil || last != nil {
		t.Errorf("a release was made: %v %v", last, err)
	}
	if err := l.c.Delete(ctx, live(), cluster.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := (&team{t: t}).await(gone); err != nil {
		t.Fatal(err)
	}

	// Its own goes with the agent.
	install(widgets("v1.0.0", "size"))
	if err := uninstallEngine(ctx, s); err != nil {
		t.Fatal(err)
	}
	if err := (&team{t: t}).await(gone); err != nil {
		t.Errorf("the definition that this run made is still there: %v", err)
	}
}

func TestDefinitionsThatLackAFieldThatCountsAreRefused(t *testing.T) {
	loaded, err := chart.Load()
	if err != nil {
		t.Fatal(err)
	}
	crds, err := chartDefinitions(loaded)
	if err != nil {
		t.Fatal(err)
	}
	if len(crds) != len(neededCRDs) {
		t.Fatalf("the chart brings %d definitions, want %d", len(crds), len(neededCRDs))
	}
	for _, crd := range crds {
		if err := usable(crd); err != nil {
			t.Errorf("the chart's own: %v", err)
		}
		if lacks := unknownFields(schemaOf(crd), schemaOf(crd), ""); len(lacks) > 0 {
			t.Errorf("%s lacks %q of itself", crd.GetName(), lacks)
		}
		for i, v := range crd.Object["spec"].(map[string]any)["versions"].([]any) {
			if v.(map[string]any)["name"] != "v1" {
				continue
			}
			old := crd.DeepCopy()
			version := old.Object["spec"].(map[string]any)["versions"].([]any)[i].(map[string]any)
			unstructured.RemoveNestedField(version, "schema", "openAPIV3Schema", "properties", "spec", "properties", "deletionPolicy")
			unstructured.RemoveNestedField(version, "schema", "openAPIV3Schema", "properties", "status", "properties", "conditions", "items", "properties", "reason")
			err := usable(old)
			if crd.GetName() == "kustomizations.kustomize.toolkit.fluxcd.io" {
				refusedFor(t, err, "spec.deletionPolicy", "would delete the workloads")
			} else if err != nil {
				t.Error(err)
			}
			if lacks := unknownFields(schemaOf(crd), schemaOf(old), ""); !slices.Contains(lacks, "status.conditions[].reason") {
				t.Errorf("a field that is not there is not named: %q", lacks)
			}
		}
	}
}

func TestAnUninstallThatMayNotMarkItsReleaseRemovesNothing(t *testing.T) {
	l := laboratory(t)
	ctx, s := engineTest(t, l)
	playStock(t, l, 0)
	needed := neededCRDs
	neededCRDs = nil // those are in use by other tests
	t.Cleanup(func() { neededCRDs = needed })
	want := migrate.ClusterAgent{Engine: engineBundled, Namespace: "agent-marked", Release: "flux-agent"}
	engine := Engine{Image: "registry.example/fluxover:1", Values: map[string]any{"podLabels": map[string]any{"test": "flux1"}}, Limit: time.Minute}
	if err := engine.install(ctx, s, want); err != nil {
		t.Fatal(err)
	}
	forbidden := rest.CopyConfig(l.cp.Config())
	forbidden.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/namespaces/"+want.Namespace+"/secrets/") {
				return answered(r, http.StatusForbidden, metav1.StatusReasonForbidden, "cannot update secrets"), nil
			}
			return next.RoundTrip(r)
		})
	})
	c, err := cluster.ForConfig(forbidden)
	if err != nil {
		t.Fatal(err)
	}
	whole := s.c
	s.c = c
	err = uninstallEngine(ctx, s)
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "nothing is removed") {
		t.Errorf("want it refused by name, got %v", err)
	}
	s.c = whole
	replicas := func() int32 {
		t.Helper()
		d, err := l.c.Kube.AppsV1().Deployments(want.Namespace).Get(ctx, "fluxover-agent", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return *d.Spec.Replicas
	}
	if replicas() != 1 {
		t.Error("the agent was stopped all the same")
	}

	// Cut off in the middle, it is gone on with, or the agent is put back.
	config, err := helmConfig(l.c, want.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"undo-agent-pods", "undo-agent-release"} {
		s.crash = func(_, st string, when When) bool { return st == step && when == AfterDone }
		if err := uninstallEngine(ctx, s); !errors.Is(err, errCrash) {
			t.Fatalf("want a crash after %s, got %v", step, err)
		}
		s.crash = nil
		last, err := lastRelease(config, want.Release)
		if err != nil {
			t.Fatal(err)
		}
		if step == "undo-agent-pods" && (last == nil || last.Info.Status != release.StatusUninstalling) {
			t.Errorf("in the middle of being uninstalled, the release is %+v", last)
		}
		if err := engine.install(ctx, s, want); err != nil {
			t.Fatalf("put back after %s: %v", step, err)
		}
		if last, err := lastRelease(config, want.Release); err != nil || last == nil || last.Info.Status != release.StatusDeployed || replicas() != 1 {
			t.Errorf("put back after %s: %v %v, %d replicas", step, last, err, replicas())
		}
	}
	for _, crash := range []bool{true, false} {
		s.crash = func(_, st string, when When) bool { return crash && st == "undo-agent-pods" }
		if err := uninstallEngine(ctx, s); errors.Is(err, errCrash) != crash || err != nil && !crash {
			t.Fatal(err)
		}
	}
	if _, err := l.c.Kube.AppsV1().Deployments(want.Namespace).Get(context.WithoutCancel(ctx), "fluxover-agent", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the agent is still there: %v", err)
	}
}
