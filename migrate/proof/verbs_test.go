package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	validation "k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// proven proves a repository of one application, in a world.
func proven(t *testing.T, w World, files map[string]string) Result {
	t.Helper()
	return provenOf(t, w, inventoryOf(t, files))
}

func provenOf(t *testing.T, w World, inv migrate.Inventory) Result {
	t.Helper()
	r, err := Prove(t.Context(), inv, migrate.Options{}, w)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func annotated(name, key, value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: team, annotations: {" + key + ": \"" + value + "\"}}\ndata: {kept: \"1\"}\n"
}

// set puts an annotation on a live object.
func set(u *unstructured.Unstructured, key, value string) *unstructured.Unstructured {
	a := u.GetAnnotations()
	a[key] = value
	u.SetAnnotations(a)
	return u
}

func TestWhatFluxV2LeavesAloneIsSkippedAndSaid(t *testing.T) {
	other := map[string]any{"kept": "another"}
	r := proven(t, &fakeWorld{live: map[string]*unstructured.Unstructured{
		"team_git__ConfigMap":    liveConfigMap("git", other, nil),
		"team_live__ConfigMap":   set(liveConfigMap("live", other, nil), keyReconcile, "Disabled"),
		"team_label__ConfigMap":  liveConfigMap("label", other, map[string]any{keySSA: "ignore"}),
		"team_there__ConfigMap":  liveConfigMap("there", other, nil),
		"team_onlive__ConfigMap": set(liveConfigMap("onlive", other, nil), keySSA, "IfNotPresent"),
	}}, map[string]string{
		"p/app/git.yaml":    annotated("git", keyReconcile, "disabled"),
		"p/app/live.yaml":   configMap("live", `{kept: "1"}`),
		"p/app/label.yaml":  configMap("label", `{kept: "1"}`),
		"p/app/there.yaml":  annotated("there", keySSA, "IfNotPresent"),
		"p/app/absent.yaml": annotated("absent", keySSA, "IfNotPresent"),
		"p/app/onlive.yaml": configMap("onlive", `{kept: "1"}`), // of effect in the manifest alone
	})
	want := map[string]string{
		"ConfigMap/team/git": "skip", "ConfigMap/team/live": "skip", "ConfigMap/team/label": "skip", "ConfigMap/team/there": "skip",
		"ConfigMap/team/absent": "create", "ConfigMap/team/onlive": "change .data.kept .metadata.annotations[\"" + keySSA + "\"]",
	}
	got := verbsOf(r)
	// The fake server does not merge annotations; what counts is that it changes.
	if strings.HasPrefix(got["ConfigMap/team/onlive"], "change .data.kept") {
		got["ConfigMap/team/onlive"] = want["ConfigMap/team/onlive"]
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := strings.Count(codesOf(r.Plan), "OBJECT_LEFT_ALONE"); n != 4 {
		t.Errorf("%d objects are said to be left alone, want 4: %s", n, codesOf(r.Plan))
	}
}

func TestAnObjectThatMergesLosesNothing(t *testing.T) {
	entries := entry("kubectl-edit", update, "", `{"f:data":{"f:more":{}}}`)
	hand := map[string]any{"kept": "1", "more": "x"}
	for name, c := range map[string]struct {
		file string
		live *unstructured.Unstructured
		want string
	}{
		"without": {configMap("a", `{kept: "1"}`), liveConfigMap("a", hand, nil, entries), "change .data.more"},
		"in Git":  {annotated("a", keySSA, "merge"), set(liveConfigMap("a", hand, nil, entries), keySSA, "merge"), "adopt"},
		"live":    {configMap("a", `{kept: "1"}`), liveConfigMap("a", hand, map[string]any{keySSA: "Merge"}, entries), "adopt"},
	} {
		t.Run(name, func(t *testing.T) {
			r := proven(t, &fakeWorld{live: map[string]*unstructured.Unstructured{"team_a__ConfigMap": c.live}}, map[string]string{"p/app/a.yaml": c.file})
			got := verbsOf(r)["ConfigMap/team/a"]
			if verb, _, _ := strings.Cut(got, " "); name == "live" && verb == "change" && !strings.Contains(got, ".data") {
				got = "adopt" // the fake server drops the live label
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// ownersWorld is one whose Kustomizations are served in one version, or cannot be
// read.
type ownersWorld struct {
	fakeWorld
	version string
	err     error
	asked   atomic.Int32
}

func (w *ownersWorld) Live(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	switch {
	case o.GetKind() != "Kustomization" && o.GetKind() != "HelmRelease":
		return w.fakeWorld.Live(ctx, o)
	case w.err != nil:
		return nil, w.err
	case !strings.HasSuffix(o.GroupVersionKind().Group, ".toolkit.fluxcd.io"):
		return nil, nil
	}
	if v := o.GroupVersionKind().Version; v != "" && v != w.version { // without one, in which it is served
		return nil, nil
	}
	w.asked.Add(1)
	return w.fakeWorld.Live(ctx, o)
}

func TestOnlyAKustomizationThatIsThereOwnsAnObject(t *testing.T) {
	const id, theirs = "team_a__ConfigMap", "elsewhere_other_kustomize.toolkit.fluxcd.io_Kustomization"
	labels := map[string]any{LabelOwnerName: "other", LabelOwnerNamespace: "elsewhere"}
	remote := kustomizationOf(id)
	remote.Object["spec"] = map[string]any{"kubeConfig": map[string]any{"secretRef": map[string]any{"name": "there"}}}
	applied := metav1.ManagedFieldsEntry{Manager: applyManager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:data": {"f:kept": {}}}`)}
	updated := applied
	updated.Operation = metav1.ManagedFieldsOperationUpdate
	exported := strings.Replace(configMap("a", `{kept: "1"}`), "namespace: team", "namespace: team, labels: {"+LabelOwnerName+": other, "+LabelOwnerNamespace+": elsewhere}", 1)
	for name, c := range map[string]struct {
		owner   *unstructured.Unstructured
		version string
		err     error
		file    string
		live    string // of the key "kept"
		labels  map[string]any
		entry   *metav1.ManagedFieldsEntry
		verb    string
		finding string // severity, code, whether it can be accepted
		says    []string
	}{
		"it lists the object":               {owner: kustomizationOf("team_b__ConfigMap", id), verb: "conflict", finding: "blocker OBJECT_OWNED false", says: []string{"already owned by Kustomization elsewhere/other"}},
		"it is of an older version":         {owner: kustomizationOf(id), version: "v1beta2", verb: "conflict", finding: "blocker OBJECT_OWNED false"},
		"it does not list the object":       {owner: kustomizationOf("team_b__ConfigMap"), verb: "adopt", finding: "blocker OBJECT_OWNED true", says: []string{"does not list it", "accept it if"}},
		"it is gone":                        {verb: "adopt", finding: "warning OWNER_GONE false", says: []string{"elsewhere/other, which does not exist", "the new agent puts its own"}},
		"it is gone, and the object drifts": {live: "2", verb: "change .data.kept", finding: "warning OWNER_GONE false"},
		"it is gone, and Git holds labels":  {file: exported, verb: "adopt", finding: "warning OWNER_GONE false", says: []string{"Git holds that label", "take the label out of Git"}},
		"it applies to another cluster":     {owner: remote, verb: "adopt", finding: "blocker OBJECT_OWNED true", says: []string{"applies by a kubeconfig of its own (spec.kubeConfig)", "accept it if"}},
		"it is gone, and a Flux v2 applied": {entry: &applied, verb: "adopt", finding: "blocker OWNER_GONE true", says: []string{"elsewhere/other, which is not in this cluster", "another cluster and applies here", "accept it if that Flux v2 is gone"}},
		"it is gone, and it only updated":   {entry: &updated, verb: "adopt", finding: "warning OWNER_GONE false"},
		"it has no namespace":               {owner: kustomizationOf(id), labels: map[string]any{LabelOwnerName: "other"}, verb: "adopt", finding: "warning OWNER_GONE false"},
		"it may not be read": {owner: kustomizationOf(id), err: apierrors.NewForbidden(schema.GroupResource{Group: "kustomize.toolkit.fluxcd.io", Resource: "kustomizations"}, "other", errors.New("no")),
			verb: "conflict", finding: "blocker OBJECT_OWNED false", says: []string{"whether that is there is not known"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &ownersWorld{version: cmp.Or(c.version, "v1"), err: c.err}
			w.live = map[string]*unstructured.Unstructured{id: liveConfigMap("a", map[string]any{"kept": cmp.Or(c.live, "1")}, labels)}
			if c.labels != nil {
				w.live[id] = liveConfigMap("a", map[string]any{"kept": "1"}, c.labels)
			}
			if c.entry != nil {
				w.live[id].SetManagedFields([]metav1.ManagedFieldsEntry{*c.entry})
			}
			if c.owner != nil {
				w.live[theirs] = c.owner
			}
			r := proven(t, w, map[string]string{"p/app/a.yaml": cmp.Or(c.file, configMap("a", `{kept: "1"}`))})
			if got := verbsOf(r)["ConfigMap/team/a"]; got != c.verb {
				t.Errorf("it is told as %q, want %q", got, c.verb)
			}
			var got []string
			for _, f := range r.Plan.Findings {
				if f.Code == "OBJECT_OWNED" || f.Code == "OWNER_GONE" {
					got = append(got, fmt.Sprintf("%s %s %t", f.Severity, f.Code, f.Acceptable))
					for _, word := range c.says {
						if !strings.Contains(f.Message+f.Hint, word) {
							t.Errorf("%s (%s) does not say %q", f.Message, f.Hint, word)
						}
					}
				}
			}
			if !slices.Equal(got, []string{c.finding}) {
				t.Errorf("found %q, want %q", got, c.finding)
			}
		})
	}
	// No answer is none.
	w := &ownersWorld{err: errors.New("connection reset")}
	w.live = map[string]*unstructured.Unstructured{id: liveConfigMap("a", map[string]any{"kept": "1"}, labels)}
	if _, err := Prove(t.Context(), inventoryOf(t, map[string]string{"p/app/a.yaml": configMap("a", `{kept: "1"}`)}), migrate.Options{}, w); err == nil || !strings.Contains(err.Error(), "elsewhere/other") {
		t.Errorf("no answer is taken for one: %v", err)
	}
}

// Of a Secret a plan keeps no value and no hash of one: that it is reviewed says nothing
// of what a later commit gives it, which the reviewer is told.
func TestASecretSaysThatAPlanKeepsNoneOfItsValues(t *testing.T) {
	secret := func(name, value string) string {
		return "apiVersion: v1\nkind: Secret\nmetadata: {name: " + name + ", namespace: team}\nstringData: {password: " + value + "}\n"
	}
	live := liveConfigMap("changed", map[string]any{"password": "b2xk"}, nil)
	live.SetKind("Secret")
	r := proven(t, &fakeWorld{live: map[string]*unstructured.Unstructured{"team_changed__Secret": live, "team_plain__ConfigMap": liveConfigMap("plain", map[string]any{"kept": "2"}, nil)}},
		map[string]string{"p/app/changed.yaml": secret("changed", "new"), "p/app/made.yaml": secret("made", "new"), "p/app/plain.yaml": configMap("plain", `{kept: "1"}`)})
	got := map[string]bool{}
	for _, f := range r.Plan.Findings {
		if !strings.HasPrefix(f.Code, "OBJECT_") {
			continue
		}
		got[f.Code+" "+f.Subject] = strings.Contains(f.Hint, "a plan keeps none of its values") && strings.Contains(f.Hint, "is taken, and named")
	}
	want := map[string]bool{"OBJECT_CHANGES flux/flux-team team_changed__Secret": true, "OBJECT_CREATED flux/flux-team team_made__Secret": true, "OBJECT_CHANGES flux/flux-team team_plain__ConfigMap": false}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAHelmReleaseThatIsThereOwnsAnObject(t *testing.T) {
	const id, theirs = "team_a__ConfigMap", "elsewhere_other_helm.toolkit.fluxcd.io_HelmRelease"
	release := func(fields map[string]any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": map[string]any{"name": "other", "namespace": "elsewhere"}}}
		maps.Copy(u.Object, fields)
		return u
	}
	listing := func(ids ...string) map[string]any {
		return map[string]any{"status": kustomizationOf(ids...).Object["status"]}
	}
	exported := strings.Replace(configMap("a", `{kept: "1"}`), "namespace: team", "namespace: team, labels: {"+labelRelease+": other, "+labelReleaseNamespace+": elsewhere}", 1)
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "helm.toolkit.fluxcd.io", Resource: "helmreleases"}, "other", errors.New("no"))
	for name, c := range map[string]struct {
		release    *unstructured.Unstructured
		err        error
		file       string
		acceptable bool
		says       string // in the finding; no finding if it is empty
	}{
		"it is there":                       {release: release(nil), says: "managed by Flux v2 HelmRelease elsewhere/other"},
		"it lists the object":               {release: release(listing(id)), says: "managed by Flux v2 HelmRelease elsewhere/other"},
		"it is there, and Git holds labels": {release: release(nil), file: exported, says: "managed by Flux v2 HelmRelease elsewhere/other"},
		"it lists others":                   {release: release(listing("team_b__ConfigMap")), acceptable: true, says: "does not list it"},
		"it applies to another cluster":     {release: release(map[string]any{"spec": map[string]any{"kubeConfig": map[string]any{}}}), acceptable: true, says: "spec.kubeConfig"},
		"it is gone":                        {acceptable: true, says: "elsewhere/other, which is not in this cluster"},
		"it is gone, and Git holds labels":  {file: exported},
		"it may not be read":                {release: release(nil), err: forbidden, says: "whether that is there is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &ownersWorld{version: "v2", err: c.err}
			w.live = map[string]*unstructured.Unstructured{id: liveConfigMap("a", map[string]any{"kept": "1"}, map[string]any{labelRelease: "other", labelReleaseNamespace: "elsewhere"})}
			// Helm leaves its own mark beside it, which says less.
			set(w.live[id], "meta.helm.sh/release-name", "other")
			if c.release != nil {
				w.live[theirs] = c.release
			}
			r := proven(t, w, map[string]string{"p/app/a.yaml": cmp.Or(c.file, configMap("a", `{kept: "1"}`))})
			if got := verbsOf(r)["ConfigMap/team/a"]; (got == "conflict") != (c.says != "" && !c.acceptable) {
				t.Errorf("it is told as %q", got)
			}
			said, times := false, 0
			for _, f := range r.Plan.Findings {
				if f.Code != "OTHER_OWNER" {
					continue
				}
				times++
				if strings.Contains(f.Message, "HelmRelease") {
					said = true
					if f.Severity != migrate.Blocker || f.Acceptable != c.acceptable || !strings.Contains(f.Message, c.says) {
						t.Errorf("%+v, want %q", f, c.says)
					}
				}
			}
			if said != (c.says != "") || times != 1 {
				t.Errorf("found %v", r.Plan.Findings)
			}
		})
	}
}

// leavingWorld is one in which a repository fails after it was the first to ask for an
// owner.
type leavingWorld struct {
	fakeWorld
	asked chan struct{}
}

func (w *leavingWorld) Live(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if o.GetKind() == "Kustomization" {
		close(w.asked)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
			return nil, nil
		}
	}
	if o.GetName() != "first" {
		<-w.asked
	}
	switch o.GetName() {
	case "broken":
		return nil, errors.New("connection reset")
	case "slow": // its repository is heard of last
		time.Sleep(200 * time.Millisecond)
	}
	return w.fakeWorld.Live(ctx, o)
}

// An owner is asked for once for all repositories. That the one which asked first has
// failed is no answer for the others, and not why they fail.
func TestTheFailureOfWhoAskedFirstIsNobodyElses(t *testing.T) {
	w := &leavingWorld{asked: make(chan struct{})}
	labels, kept := map[string]any{LabelOwnerName: "other", LabelOwnerNamespace: "elsewhere"}, map[string]any{"kept": "1"}
	w.live = map[string]*unstructured.Unstructured{"team_first__ConfigMap": liveConfigMap("first", kept, labels), "team_second__ConfigMap": liveConfigMap("second", kept, labels)}
	inv, other := inventoryOf(t, map[string]string{
		"p/app/first.yaml": configMap("first", `{kept: "1"}`), "p/app/broken.yaml": configMap("broken", `{kept: "1"}`), "p/app/slow.yaml": configMap("slow", `{kept: "1"}`),
	}), inventoryOf(t, map[string]string{"p/app/second.yaml": configMap("second", `{kept: "1"}`)}).Agents[0]
	other.ID, other.Release = "flux/flux-other", "flux-other"
	inv.Agents = append(inv.Agents, other)
	if _, err := Prove(t.Context(), inv, migrate.Options{}, w); err == nil || !strings.Contains(err.Error(), "connection reset") {
		t.Errorf("it fails with %v", err)
	}
}

// The cluster is asked for a Kustomization once, however many objects it is said to
// hold, and for a kind that it does not serve: to look for one reads the whole API.
func TestOwnersAreAskedForOnce(t *testing.T) {
	w, files := &ownersWorld{version: "v1beta2"}, map[string]string{}
	w.live = map[string]*unstructured.Unstructured{}
	for _, name := range []string{"a", "b", "c"} {
		w.live["team_"+name+"__ConfigMap"] = liveConfigMap(name, map[string]any{"kept": "1"}, map[string]any{LabelOwnerName: "other", LabelOwnerNamespace: "elsewhere"})
		files["p/app/"+name+".yaml"] = configMap(name, `{kept: "1"}`)
	}
	r := proven(t, w, files)
	found := slices.DeleteFunc(r.Plan.Findings, func(f migrate.Finding) bool { return f.Code != "OWNER_GONE" })
	if n := w.asked.Load(); n != 1 || len(found) != 3 {
		t.Errorf("it was asked for %d times, and found gone of %d objects", n, len(found))
	}
}

// servingNothing counts how often a kind is looked for.
type servingNothing struct {
	meta.RESTMapper
	asked int
}

func (s *servingNothing) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	s.asked++
	return nil, &meta.NoKindMatchError{GroupKind: kind, SearchedVersions: versions}
}

func TestAKindThatIsNotServedIsLookedForOnce(t *testing.T) {
	mapper := &servingNothing{}
	w := ClusterWorld(&cluster.Client{Mapper: mapper})
	for _, name := range []string{"a", "b"} {
		u := kustomizationOf()
		u.SetName(name)
		if live, err := w.Live(t.Context(), u); live != nil || err != nil {
			t.Errorf("%s: %v, %v", name, live, err)
		}
	}
	if mapper.asked != 1 {
		t.Errorf("it was looked for %d times", mapper.asked)
	}
}

func TestOthersThatClaimAnObjectAreNamed(t *testing.T) {
	kept := map[string]any{"kept": "1"}
	inv := inventoryOf(t, map[string]string{
		"p/app/helm.yaml":     configMap("helm", `{kept: "1"}`),
		"p/app/exported.yaml": annotated("exported", "meta.helm.sh/release-name", "r"),
		"p/app/argo.yaml":     configMap("argo", `{kept: "1"}`),
		"p/app/theirs.yaml":   configMap("theirs", `{kept: "1"}`),
		"p/app/both.yaml":     configMap("both", `{kept: "1"}`),
	})
	inv.Agents[0].Marked = []string{"team_both__ConfigMap"}
	inv.Agents = append(inv.Agents, migrate.Flux1Agent{ID: "flux/other", Marked: []string{"team_theirs__ConfigMap", "team_both__ConfigMap"}})
	r := provenOf(t, &fakeWorld{live: map[string]*unstructured.Unstructured{
		"team_helm__ConfigMap":     set(liveConfigMap("helm", kept, nil), "meta.helm.sh/release-name", "shop"),
		"team_exported__ConfigMap": set(liveConfigMap("exported", kept, nil), "meta.helm.sh/release-name", "r"),
		"team_argo__ConfigMap":     liveConfigMap("argo", kept, map[string]any{"argocd.argoproj.io/instance": "shop"}),
		"team_theirs__ConfigMap":   liveConfigMap("theirs", kept, nil),
		"team_both__ConfigMap":     liveConfigMap("both", kept, nil),
	}}, inv)
	got := map[string]string{}
	for _, f := range r.Plan.Findings {
		if f.Code == "OTHER_OWNER" || f.Code == "OTHER_AGENT" {
			if !f.Acceptable || f.Severity != migrate.Blocker || f.Where == "" {
				t.Errorf("not a blocker with a place that a person can accept: %+v", f)
			}
			got[strings.TrimPrefix(f.Subject, "flux/flux-team ")] = f.Code + ": " + f.Message
		}
	}
	for id, say := range map[string]string{
		"team_helm__ConfigMap": "OTHER_OWNER: ConfigMap/team/helm is also managed by Helm release shop", "team_argo__ConfigMap": "Argo CD application shop",
		"team_theirs__ConfigMap": "OTHER_AGENT: ConfigMap/team/theirs carries the mark of flux/other",
	} {
		if !strings.Contains(got[id], say) {
			t.Errorf("%s: %q does not say %q", id, got[id], say)
		}
		delete(got, id)
	}
	if len(got) > 0 {
		t.Errorf("also %v", got)
	}
}

func TestWhatFluxdWouldNeverDeleteAndFluxV2WouldIsSaid(t *testing.T) {
	kept := map[string]any{"kept": "1"}
	owned := func(u *unstructured.Unstructured) *unstructured.Unstructured {
		u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "example.org/v1", Kind: "Widget", Name: "w", UID: "1"}})
		return u
	}
	for collect, want := range map[migrate.GarbageCollection]string{migrate.CollectOn: "flux/flux-team team_owned__ConfigMap", migrate.CollectOff: "", migrate.CollectDry: ""} {
		inv := inventoryOf(t, map[string]string{
			"p/app/free.yaml":   configMap("free", `{kept: "1"}`),
			"p/app/owned.yaml":  configMap("owned", `{kept: "1"}`),
			"p/app/marked.yaml": annotated("marked", "kustomize.toolkit.fluxcd.io/prune", "disabled"),
			"p/app/live.yaml":   configMap("live", `{kept: "1"}`),
			"p/app/synced.yaml": annotated("synced", "fluxcd.io/ignore", "sync_only"),
		})
		inv.Agents[0].Sync.GarbageCollection = collect
		found := findingsOf(t, inv, &fakeWorld{live: map[string]*unstructured.Unstructured{
			"team_free__ConfigMap": liveConfigMap("free", kept, nil), "team_owned__ConfigMap": owned(liveConfigMap("owned", kept, nil)),
			"team_marked__ConfigMap": owned(liveConfigMap("marked", kept, nil)), "team_synced__ConfigMap": owned(liveConfigMap("synced", kept, nil)),
			"team_live__ConfigMap": owned(set(liveConfigMap("live", kept, nil), "kustomize.toolkit.fluxcd.io/prune", "disabled")),
		}}, "PRUNED_FROM_NOW_ON")
		got := ""
		for _, f := range found {
			got += f.Subject
			if f.Severity != migrate.Warning || !strings.Contains(f.Message, "Widget/w") {
				t.Errorf("it does not name the owner: %+v", f)
			}
		}
		if got != want {
			t.Errorf("collection %s: found %q, want %q", collect, got, want)
		}
	}
}

func TestWhatCannotBeBuiltIsNotProvenAndNotLost(t *testing.T) {
	r := proven(t, &fakeWorld{}, map[string]string{
		"p/good/a.yaml": configMap("a", `{kept: "1"}`),
		"p/bad/b.yaml":  configMap("b", `{kept: "1"}`),
		"p/bad/c.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: team}\n",
	})
	if d := gocmp.Diff(map[string]string{"ConfigMap/team/a": "create", "ConfigMap/team/b": "adopt", "ConfigMap/team/": "adopt"}, verbsOf(r)); d != "" {
		t.Error(d)
	}
	for _, o := range r.Plan.Repositories[0].Objects {
		if (o.ID != "team_a__ConfigMap") != strings.HasPrefix(o.Why, "not proven: Kustomization team-bad could not be built") {
			t.Errorf("%s: %s", o.ID, o.Why)
		}
	}
	for _, o := range r.Plan.Repositories[0].Objects {
		if Compared(o) != (o.ID == "team_a__ConfigMap") {
			t.Errorf("%s is said to be compared: %v", o.ID, Compared(o))
		}
	}
	if codes := codesOf(r.Plan); !strings.Contains(codes, "BUILD_FAILED") || strings.Contains(codes, "OBJECT_LOST") {
		t.Errorf("findings %s", codes)
	}
}

func TestAllRefusalsAreCollectedEachWithItsRemedy(t *testing.T) {
	kind, resource := schema.GroupKind{Kind: "ConfigMap"}, schema.GroupResource{Resource: "configmaps"}
	invalid := func(text string) error {
		return apierrors.NewInvalid(kind, "x", validation.ErrorList{validation.Forbidden(validation.NewPath("spec"), text)})
	}
	refuse := map[string]error{
		"team_immutable__ConfigMap": invalid("field is immutable"),
		"team_unknown__ConfigMap":   errors.New(`failed to create typed patch object: .spec.x: field not declared in schema`),
		"team_webhook__ConfigMap":   apierrors.NewBadRequest("admission webhook x does not support dry run"),
		"team_forbidden__ConfigMap": apierrors.NewForbidden(resource, "x", errors.New(`User "system:serviceaccount:flux:flux" cannot patch resource "configmaps" in API group "" in the namespace "team"`)),
		"team_escalates__ConfigMap": apierrors.NewForbidden(resource, "x", errors.New(`user "a" (groups=["b"]) is attempting to grant RBAC permissions not currently held:`)),
		"team_policy__ConfigMap":    apierrors.NewForbidden(resource, "x", errors.New("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no")),
		"team_range__ConfigMap":     apierrors.NewForbidden(resource, "x", errors.New("maximum storage usage per PersistentVolumeClaim is 1Ti, but request is 2Ti")),
		"team_goes__ConfigMap":      apierrors.NewForbidden(resource, "x", errors.New("unable to create new content in namespace team because it is being terminated")),
		"team_quota__ConfigMap":     apierrors.NewForbidden(resource, "x", errors.New("exceeded quota: q")),
		"team_nowhere__ConfigMap":   apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "team"),
		"team_forced__ConfigMap":    invalid("field is immutable"),
	}
	files, live := map[string]string{}, map[string]*unstructured.Unstructured{}
	for id := range refuse {
		name := strings.TrimSuffix(strings.TrimPrefix(id, "team_"), "__ConfigMap")
		files["p/app/"+name+".yaml"] = configMap(name, `{kept: "1"}`)
		if name != "nowhere" {
			live[id] = liveConfigMap(name, map[string]any{"kept": "1"}, nil)
		}
	}
	files["p/app/forced.yaml"] = annotated("forced", keyForce, "enabled")
	r := proven(t, &fakeWorld{live: live, refuse: refuse}, files)
	hints := map[string]string{}
	for _, f := range r.Plan.Findings {
		hints[strings.TrimPrefix(f.Subject, "flux/flux-team ")] = f.Code + " " + f.Where + " " + f.Hint
	}
	for id, say := range map[string]string{
		"team_immutable__ConfigMap": "make Git say what is live", "team_unknown__ConfigMap": "no such field", "team_webhook__ConfigMap": "sideEffects",
		"team_forbidden__ConfigMap": "lacks the right", "team_escalates__ConfigMap": "lacks the right", "team_goes__ConfigMap": "is being deleted",
		"team_policy__ConfigMap": "whoever asks", "team_range__ConfigMap": "whoever asks", "team_quota__ConfigMap": "ResourceQuota", "team_nowhere__ConfigMap": "namespace team exists",
		"team_forced__ConfigMap": "OBJECT_RECREATED p/app/forced.yaml:1 take that annotation",
	} {
		if !strings.Contains(hints[id], say) || !strings.Contains(hints[id], ".yaml:1") {
			t.Errorf("%s: %q does not say %q", id, hints[id], say)
		}
	}
	for name, verb := range verbsOf(r) {
		if verb != "conflict" {
			t.Errorf("%s: %s", name, verb)
		}
	}
}

func TestWhatTheRepositoryItselfMakesFirstIsCreated(t *testing.T) {
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "team")
	r := proven(t, &fakeWorld{refuse: map[string]error{"team_a__ConfigMap": missing, "elsewhere_b__ConfigMap": missing}}, map[string]string{
		"p/ns/ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n",
		"p/app/a.yaml": configMap("a", `{kept: "1"}`),
		"p/app/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: elsewhere}\n",
	})
	if d := gocmp.Diff(map[string]string{"Namespace/team": "create", "ConfigMap/team/a": "create", "ConfigMap/elsewhere/b": "conflict"}, verbsOf(r)); d != "" {
		t.Error(d)
	}
	for _, o := range r.Plan.Repositories[0].Objects {
		if o.ID == "team_a__ConfigMap" && !strings.HasPrefix(o.Why, notProven) {
			t.Errorf("it was tried in a namespace that is not there: %s", o.Why)
		}
	}
}

// What is told to be of a kind that nobody serves is not told to be created as well, since a CRD of the
// repository defines another version of it.
func TestAKindThatNobodyServesIsNotCreated(t *testing.T) {
	widget := &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "example.com", Kind: "Widget"}, SearchedVersions: []string{"v2"}}
	definition := &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "example.com", Kind: "Widget"}, SearchedVersions: []string{"v1"}}
	r := proven(t, &fakeWorld{refuse: map[string]error{"team_w_example.com_Widget": widget, "team_v_example.com_Widget": definition}}, map[string]string{
		"p/crd/crd.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\n" +
			"spec: {group: example.com, scope: Namespaced, names: {kind: Widget, plural: widgets}, versions: [{name: v1, served: true, storage: true}]}\n",
		"p/app/v.yaml": "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: v, namespace: team}\n",
		"p/app/w.yaml": "apiVersion: example.com/v2\nkind: Widget\nmetadata: {name: w, namespace: team}\n---\n" + configMap("a", `{kept: "1"}`),
	})
	verbs := verbsOf(r)
	for name, want := range map[string]string{"Widget/team/v": "create", "Widget/team/w": "conflict"} {
		if verbs[name] != want {
			t.Errorf("%s: %s, want %s", name, verbs[name], want)
		}
	}
	for _, f := range r.Plan.Findings {
		if strings.Contains(f.Subject, "team_w_") && f.Code != "UNKNOWN_KIND" {
			t.Errorf("it says as well: %s", f)
		}
	}
}

// A kind that nobody serves is not made by making the namespace of its objects.
func TestOnlyWhatIsMadeIsAwaited(t *testing.T) {
	object := func(apiVersion, kind, namespace string, spec map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": "a", "namespace": namespace}, "spec": spec}}
	}
	namespace := object("v1", "Namespace", "", nil)
	namespace.SetName("team")
	left := namespace.DeepCopy()
	left.SetAnnotations(map[string]string{keyReconcile: "disabled"})
	definition := object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", map[string]any{"group": "example.com", "names": map[string]any{"kind": "Widget"}})
	widget, unserved := object("example.com/v1", "Widget", "team", nil), &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "example.com", Kind: "Widget"}}
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "team")
	gone := apierrors.NewNotFound(schema.GroupResource{Group: "example.com", Resource: "widgets"}, "a")
	for name, c := range map[string]struct {
		made  []*unstructured.Unstructured
		tried *unstructured.Unstructured
		err   error
		want  bool
	}{
		"a namespace":                     {[]*unstructured.Unstructured{namespace}, object("v1", "ConfigMap", "team", nil), missing, true},
		"another namespace":               {[]*unstructured.Unstructured{namespace}, object("v1", "ConfigMap", "other", nil), missing, false},
		"a kind":                          {[]*unstructured.Unstructured{definition}, widget, unserved, true},
		"a kind that is served no more":   {[]*unstructured.Unstructured{definition}, widget, gone, true},
		"a kind, and no namespace":        {[]*unstructured.Unstructured{definition}, widget, missing, false},
		"a kind and a namespace":          {[]*unstructured.Unstructured{definition, namespace}, widget, missing, true},
		"a kind of nobody's":              {[]*unstructured.Unstructured{namespace}, widget, unserved, false},
		"another refusal":                 {[]*unstructured.Unstructured{namespace, definition}, widget, errors.New("denied the request"), false},
		"none, of a Namespace left alone": {[]*unstructured.Unstructured{left}, object("v1", "ConfigMap", "team", nil), missing, false},
	} {
		if got := MadeBy(c.made).Awaited(c.tried, c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWhatTheAgentLeavesAloneMakesNothingFirst(t *testing.T) {
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "team")
	r := proven(t, &fakeWorld{refuse: map[string]error{"team_a__ConfigMap": missing}}, map[string]string{
		"p/ns/ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: team, annotations: {fluxcd.io/ignore: \"true\"}}\n",
		"p/app/a.yaml": configMap("a", `{kept: "1"}`),
	})
	if d := gocmp.Diff(map[string]string{"Namespace/team": "skip", "ConfigMap/team/a": "conflict"}, verbsOf(r)); d != "" {
		t.Error(d)
	}
}

func TestAnotherImageIsNamedWhateverHoldsIt(t *testing.T) {
	template := func(image string) map[string]any {
		return map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "web", "image": image}, map[string]any{"name": "same", "image": "s"}}}}
	}
	live := map[string]any{"spec": map[string]any{"jobTemplate": map[string]any{"spec": map[string]any{"template": template("web:2")}}}}
	after := map[string]any{"spec": map[string]any{"jobTemplate": map[string]any{"spec": map[string]any{"template": template("web:1")}}}}
	if d := gocmp.Diff([]string{"container web runs web:2 and would run web:1"}, imageChanges(live, after)); d != "" {
		t.Error(d)
	}
	if got := imageChanges(live, live); got != nil {
		t.Errorf("equal images differ: %v", got)
	}
}

func TestContainersOfOneNameInSeveralTemplatesAreToldApart(t *testing.T) {
	object := func(head, workers string) map[string]any {
		template := func(image string) map[string]any {
			return map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "main", "image": image}}}}}
		}
		of := func(name string, v map[string]any) map[string]any { v["groupName"] = name; return v }
		return map[string]any{"spec": map[string]any{"head": template(head), "workers": []any{of("small", template(workers)), of("large", template("large:1"))}}}
	}
	for range 50 { // maps are walked in any order
		if got := imageChanges(object("head:1", "small:1"), object("head:1", "small:1")); got != nil {
			t.Fatalf("equal images differ: %v", got)
		}
		if d := gocmp.Diff([]string{"container main runs small:1 and would run small:2"}, imageChanges(object("head:1", "small:1"), object("head:1", "small:2"))); d != "" {
			t.Fatal(d)
		}
	}
}

func TestAChangeSaysWhoSetTheFields(t *testing.T) {
	for name, c := range map[string]struct {
		manager, sub, fields string
		path, want           string
	}{
		"by hand":     {"kubectl-edit", "", ownReplicas, ".spec.replicas", "set by hand, by kubectl-edit"},
		"by the HPA":  {"kube-controller-manager", "scale", ownReplicas, ".spec.replicas", "written by kube-controller-manager (scale)"},
		"a restart":   {"kubectl-rollout", "", ownRestart, `.spec.template.metadata.annotations["kubectl.kubernetes.io/restartedAt"]`, "kubectl rollout restart"},
		"a list item": {"kubectl-set", "", ownEnv, ".spec.template.spec.containers[0].env", "set by hand, by kubectl-set"},
		"fluxd's own": {"kubectl-client-side-apply", "", ownReplicas, ".spec.replicas", "drifted from Git"},
		"elsewhere":   {"kubectl-edit", "", ownNote, ".spec.replicas", "drifted from Git"},
	} {
		if got := whyChanges(deployment(entry(c.manager, update, c.sub, c.fields)), []string{c.path}, nil, nil); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q does not say %q", name, got, c.want)
		}
	}
	live := deployment(entry("kubectl-edit", update, "", `{"f:spec":{"f:replicas":{},"f:paused":{}}}`))
	live.Object["spec"].(map[string]any)["paused"] = true
	after := live.DeepCopy()
	fields := func() (all, gone []string) {
		return differences(live.Object, after.Object), removals(live.Object, after.Object)
	}
	for _, c := range []struct {
		field string
		value any // nil if Git does not say it
		want  string
	}{
		{"replicas", int64(9), "to something else than Git says"},
		{"paused", nil, "removes what Git does not say, and sets what it does"},
		{"replicas", live.Object["spec"].(map[string]any)["replicas"], "and removes what Git does not say"},
	} {
		spec := after.Object["spec"].(map[string]any)
		if spec[c.field] = c.value; c.value == nil {
			delete(spec, c.field)
		}
		all, gone := fields()
		if got := whyChanges(live, all, gone, unsaid(all, after.Object, after.Object)); !strings.HasSuffix(got, c.want) {
			t.Errorf("%v of %v go: %q does not end with %q", gone, all, got, c.want)
		}
	}
	after = live.DeepCopy()
	after.Object["spec"].(map[string]any)["replicas"] = int64(9)
	git := after.DeepCopy()
	delete(git.Object["spec"].(map[string]any), "replicas")
	all, gone := fields()
	if got, want := whyChanges(live, all, gone, unsaid(all, git.Object, after.Object)), "not in Git, so that the API server or an admission webhook fills it in anew"; !strings.HasSuffix(got, want) {
		t.Errorf("of what Git does not say: %q does not end with %q", got, want)
	}
	delete(after.Object["spec"].(map[string]any), "paused")
	all, gone = fields()
	if got, want := whyChanges(live, all, gone, unsaid(all, git.Object, after.Object)), "removes what Git does not say, and sets what it does"; !strings.HasSuffix(got, want) {
		t.Errorf("of what goes beside it: %q does not end with %q", got, want)
	}
}

func TestALiveObjectThatChangesWhileItIsTriedIsLookedAtAgain(t *testing.T) {
	live := liveConfigMap("a", map[string]any{"kept": "1"}, nil)
	live.SetResourceVersion("7")
	w := &movingWorld{fakeWorld: fakeWorld{live: map[string]*unstructured.Unstructured{"team_a__ConfigMap": live}}, until: 2}
	r := proven(t, w, map[string]string{"p/app/a.yaml": configMap("a", `{kept: "1"}`)})
	if got := verbsOf(r)["ConfigMap/team/a"]; got != "adopt" || w.reads != 3 {
		t.Errorf("%s after %d readings, want adopt after 3", got, w.reads)
	}
	w = &movingWorld{fakeWorld: fakeWorld{live: map[string]*unstructured.Unstructured{"team_a__ConfigMap": live}}, until: 1 << 10}
	r = proven(t, w, map[string]string{"p/app/a.yaml": configMap("a", `{kept: "1"}`)})
	o := r.Plan.Repositories[0].Objects[0]
	if codesOf(r.Plan) != "OBJECT_UNSTEADY" || !strings.HasPrefix(o.Why, notProven) || !r.Plan.Repositories[0].Blocked {
		t.Errorf("one that never comes to rest is %v, with %v", o, r.Plan.Findings)
	}
}

func TestHashesTellFormsApartAndNoSecret(t *testing.T) {
	secret := func(value string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s"}, "data": map[string]any{"k": value}}}
	}
	if digest(secret("a"), false) != digest(secret("b"), false) {
		t.Error("a hash tells a Secret's value")
	}
	other := secret("a")
	other.Object["data"] = map[string]any{"l": "a"}
	if digest(secret("a"), false) == digest(other, false) {
		t.Error("another key is not seen")
	}
	one, two := liveConfigMap("a", map[string]any{"k": "1"}, nil), liveConfigMap("a", map[string]any{"k": "2"}, nil)
	if digest(one, false) == digest(two, false) {
		t.Error("another value is not seen")
	}
	two = liveConfigMap("a", map[string]any{"k": "1"}, nil)
	two.SetResourceVersion("9")
	if digest(one, false) != digest(two, false) {
		t.Error("the API server's own counts")
	}
	if digest(nil, false) != "" {
		t.Error("nothing has a hash")
	}
}

// unreadWorld cannot give some objects.
type unreadWorld struct {
	fakeWorld
	errs map[string]error
}

func (w *unreadWorld) Live(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if err := w.errs[migrate.ObjectID(o)]; err != nil {
		return nil, err
	}
	return w.fakeWorld.Live(ctx, o)
}

func TestAnObjectThatTheAPIServerCannotGiveHoldsBackItsRepositoryAlone(t *testing.T) {
	files := map[string]string{"p/app/a.yaml": configMap("a", `{kept: "1"}`), "p/app/b.yaml": configMap("b", `{kept: "1"}`)}
	conversion := apierrors.NewInternalError(errors.New(`conversion webhook for example.com/v1beta1, Kind=Widget failed: Post "https://widgets.example.svc": no endpoints available`))
	w := &unreadWorld{errs: map[string]error{"team_a__ConfigMap": conversion}}
	w.live = map[string]*unstructured.Unstructured{"team_b__ConfigMap": liveConfigMap("b", map[string]any{"kept": "1"}, nil)}
	r := proven(t, w, files)
	for _, o := range r.Plan.Repositories[0].Objects {
		if unread := o.ID == "team_a__ConfigMap"; unread == Compared(o) {
			t.Errorf("%s is compared %t: %s", o.ID, Compared(o), o.Why)
		}
	}
	found := false
	for _, f := range r.Plan.Findings {
		if f.Code == "OBJECT_UNREAD" {
			found = true
			if f.Subject != "flux/flux-team team_a__ConfigMap" || f.Where != "p/app/a.yaml:1" || !strings.Contains(f.Message, "conversion webhook") {
				t.Errorf("%+v", f)
			}
		}
	}
	if !found || !r.Plan.Repositories[0].Blocked {
		t.Errorf("found %t, blocked %t", found, r.Plan.Repositories[0].Blocked)
	}
	// What says nothing of the object is no finding.
	for name, err := range map[string]error{
		"no connection": errors.New("connection refused"), "no login": apierrors.NewUnauthorized("token expired"), "no time": apierrors.NewTooManyRequests("later", 1),
		"a failing authorizer": apierrors.NewInternalError(errors.New("Post \"https://authorizer.example\": connection refused")),
		"no leader":            apierrors.NewInternalError(errors.New("etcdserver: leader changed")), "too late": apierrors.NewTimeoutError("request timed out", 1),
	} {
		w.errs["team_a__ConfigMap"] = err
		if _, got := Prove(t.Context(), inventoryOf(t, files), migrate.Options{}, w); !errors.Is(got, err) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestADefinitionThatIsLeftAloneMustBeInTheCluster(t *testing.T) {
	ignored := func(kind, name, apiVersion string) string {
		return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: " + name + ", annotations: {fluxcd.io/ignore: \"true\"}}\n"
	}
	files := map[string]string{
		"p/app/a.yaml":     configMap("a", `{kept: "1"}`),
		"p/app/here.yaml":  ignored("Namespace", "here", "v1"),
		"p/app/gone.yaml":  ignored("Namespace", "gone", "v1"),
		"p/app/other.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: team, annotations: {fluxcd.io/ignore: \"true\"}}\n",
		"p/app/left.yaml":  "apiVersion: v1\nkind: Namespace\nmetadata: {name: left, annotations: {" + keyReconcile + ": disabled}}\n",
	}
	here := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "here"}}}
	r := proven(t, &fakeWorld{live: map[string]*unstructured.Unstructured{
		"_here__Namespace": here, "team_a__ConfigMap": liveConfigMap("a", map[string]any{"kept": "1"}, nil),
	}}, files)
	var got []string
	for _, f := range r.Plan.Findings {
		if f.Code == "DEFINITION_AWAITED" {
			got = append(got, strings.TrimPrefix(f.Subject, "flux/flux-team "))
		}
	}
	slices.Sort(got)
	if d := gocmp.Diff([]string{"_gone__Namespace", "_left__Namespace"}, got); d != "" {
		t.Errorf("%s of %v", d, r.Plan.Findings)
	}
}

func TestADefinitionThatIsNotReadyHoldsBackWhatWaitsForIt(t *testing.T) {
	const crd, class = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n", "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\n"
	const meta, spec, going = "metadata: {name: x}\n", "spec: {a: b}\n", "metadata: {name: x, deletionTimestamp: '2026-01-01T00:00:00Z'}\n"
	const notReady = "status: {conditions: [{type: Ready, status: 'False', message: waiting}]}\n"
	const taken = "status: {conditions: [{type: NamesAccepted, status: 'False', reason: KindConflict, message: taken}]}\n"
	const served = "status: {conditions: [{type: NamesAccepted, status: 'True'}, {type: Established, status: 'True'}]}\n"
	for name, c := range map[string]struct {
		git, live  string
		want       string // of the message, after what it is about
		acceptable bool
	}{
		"a CRD whose names are taken":               {crd + meta + spec, crd + meta + spec + taken, "is not ready: Failed: taken", false},
		"one that this commit gives others":         {crd + meta + spec, crd + meta + "spec: {a: c}\n" + taken, "is not ready now: Failed: taken; whether it will be is not known, since the adoption changes it", true},
		"one of which only a label changes":         {crd + "metadata: {name: x, labels: {a: b}}\n" + spec, crd + meta + spec + taken, "is not ready: Failed: taken", false},
		"a CRD that is served":                      {crd + meta + spec, crd + meta + spec + served, "", false},
		"a CRD of which nothing is reported yet":    {crd + meta + spec, crd + meta + spec, "is not ready now: InProgress: Install in progress; whether it will be is not known", true},
		"a CRD that is being deleted":               {crd + meta + spec, crd + going + spec + served, "is not ready: Terminating", false},
		"one that is, and changes":                  {crd + meta + spec, crd + going + "spec: {a: c}\n" + served, "is not ready: Terminating", false},
		"a class that is not ready":                 {class + meta + spec, class + meta + spec + notReady, "is not ready now: InProgress: waiting; whether it will be is not known", true},
		"a class that this commit mends":            {class + meta + spec, class + meta + "spec: {a: c}\n" + notReady, "is not ready now: InProgress: waiting; whether it will be is not known, since the adoption changes it", true},
		"a class whose controller lags":             {class + meta + spec, class + "metadata: {name: x, generation: 2}\n" + spec + "status: {observedGeneration: 1, conditions: [{type: Ready, status: 'True'}]}\n", "is not ready now: InProgress: GatewayClass generation is 2, but latest observed generation is 1", true},
		"a class that is ready":                     {class + meta + spec, class + meta + spec + "status: {conditions: [{type: Ready, status: 'True'}]}\n", "", false},
		"a class that reports nothing":              {class + meta + spec, class + meta + spec, "", false},
		"a Namespace that is going":                 {"apiVersion: v1\nkind: Namespace\n" + meta, "apiVersion: v1\nkind: Namespace\n" + going + "status: {phase: Terminating}\n", "is not ready: Terminating", false},
		"a Namespace":                               {"apiVersion: v1\nkind: Namespace\n" + meta, "apiVersion: v1\nkind: Namespace\n" + meta + "status: {phase: Active}\n", "", false},
		"another object, for which nobody waits":    {"apiVersion: example.com/v1\nkind: Shop\n" + meta + spec, "apiVersion: example.com/v1\nkind: Shop\n" + meta + spec + notReady, "", false},
		"one that is left alone and is being made":  {class + "metadata: {name: x, annotations: {fluxcd.io/ignore: 'true'}}\n" + spec, class + meta + spec + notReady, "is not ready now: InProgress: waiting", true},
		"one that is left alone, and whose is gone": {crd + "metadata: {name: x, annotations: {" + keyReconcile + ": disabled}}\n" + spec, crd + meta + spec + taken, "is not ready: Failed: taken", false},
	} {
		raw, err := yaml.YAMLToJSON([]byte(c.live))
		if err != nil {
			t.Fatal(err)
		}
		live := &unstructured.Unstructured{}
		if err := live.UnmarshalJSON(raw); err != nil {
			t.Fatal(err)
		}
		world := &servingWorld{live: map[string]*unstructured.Unstructured{migrate.ObjectID(live): live}}
		found := findingsOf(t, inventoryOf(t, map[string]string{"p/app/a.yaml": c.git}), world, "DEFINITION_AWAITED")
		if c.want == "" && len(found) > 0 || c.want != "" && (len(found) != 1 || !strings.Contains(found[0].Message, c.want) || found[0].Acceptable != c.acceptable || found[0].Severity != migrate.Blocker) {
			t.Errorf("%s: the findings are %+v", name, found)
		}
	}
}
