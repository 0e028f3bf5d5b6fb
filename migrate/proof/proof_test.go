package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	validation "k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

const marked = "MARKED-SECRET-VALUE"

// fakeWorld answers from maps; a dry-run gives the object itself, as applied
// by the new agent.
type fakeWorld struct {
	live   map[string]*unstructured.Unstructured
	refuse map[string]error
	broken error
	fenced bool
}

func (w *fakeWorld) Live(_ context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return w.live[migrate.ObjectID(o)], w.broken
}

func (w *fakeWorld) LiveIn(context.Context, schema.GroupVersionKind, string, int) (map[string]*unstructured.Unstructured, bool) {
	return nil, false
}

func (w *fakeWorld) DryRun(_ context.Context, as Account, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if w.fenced && as.Namespace == "flux" {
		return nil, errors.New("admission: ValidatingAdmissionPolicy 'fluxover-fence.flux.flux-team' denied the request")
	}
	if want := (Account{"flux", "flux-team"}); !w.fenced && as != want {
		return nil, errors.New("asked as another account")
	}
	if want := (Account{"flux-system", "team"}); w.fenced && as != want {
		return nil, errors.New("asked as another account")
	}
	if err := w.refuse[migrate.ObjectID(o)]; err != nil {
		return nil, err
	}
	out := o.DeepCopy()
	if live := w.live[migrate.ObjectID(o)]; live != nil {
		// Server-side apply merges: fields that it does not send stay.
		data, _, _ := unstructured.NestedMap(live.Object, "data")
		sent, _, _ := unstructured.NestedMap(o.Object, "data")
		for k, v := range sent {
			data[k] = v
		}
		out.Object["data"] = data
	}
	out.SetManagedFields([]metav1.ManagedFieldsEntry{entry("kustomize-controller", apply, "", `{"f:data":{"f:kept":{}}}`)})
	return out, nil
}

var kinds = []migrate.ServedKind{
	{Version: "v1", Kind: "ConfigMap", Namespaced: true}, {Version: "v1", Kind: "Secret", Namespaced: true},
	{Version: "v1", Kind: "Namespace"}, {Group: "apps", Version: "v1", Kind: "Deployment", Namespaced: true},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role", Namespaced: true}, {Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler", Namespaced: true},
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}, {Group: "gateway.networking.k8s.io", Version: "v1", Kind: "GatewayClass"}, {Group: "example.com", Version: "v1", Kind: "Shop"},
}

func (w *fakeWorld) DryRunChange(_ context.Context, _ Account, _, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return o, nil
}

// inventoryOf is one agent whose repository holds the files, read as fluxd
// reads them.
func inventoryOf(t *testing.T, files map[string]string) migrate.Inventory {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	a := migrate.Flux1Agent{
		ID: "flux/flux-team", Namespace: "flux", Release: "flux-team", ServiceAccount: "flux-team",
		Git:    migrate.AgentGit{URL: "https://git.example.com/team", Branch: "main", Paths: []string{"p"}, PollInterval: metav1.Duration{Duration: time.Minute}},
		Sync:   migrate.AgentSync{Interval: metav1.Duration{Duration: time.Minute}, GarbageCollection: migrate.CollectOff},
		Synced: migrate.Synced{Commit: strings.Repeat("c", 40)}, Confinement: migrate.Confinement{Kind: "custom"}, Tree: tree,
	}
	var err error
	a.Files, a.Objects, _, err = flux1.Load(tree, flux1.LoadConfig{Repository: a.ID, Paths: a.Git.Paths, DefaultNamespace: "default", Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	return migrate.Inventory{Agents: []migrate.Flux1Agent{a}}
}

func configMap(name, data string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: team}\ndata: " + data + "\n"
}

// liveConfigMap is as fluxd left it: marks, and kubectl as the manager.
func liveConfigMap(name string, data map[string]any, labels map[string]any, entries ...metav1.ManagedFieldsEntry) *unstructured.Unstructured {
	all := map[string]any{"fluxcd.io/sync-gc-mark": "sha256.x"}
	for k, v := range labels {
		all[k] = v
	}
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name, "namespace": "team", "uid": "u", "labels": all,
			"annotations": map[string]any{"fluxcd.io/sync-checksum": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
		"data": data}}
	u.SetManagedFields(entries)
	return u
}

func verbsOf(r Result) map[string]string {
	out := map[string]string{}
	for _, o := range r.Plan.Repositories[0].Objects {
		out[migrate.DisplayID(o.ID)] = strings.Join(append([]string{string(o.Verb)}, o.Fields...), " ")
	}
	return out
}

func codesOf(p migrate.Plan) string {
	var codes []string
	for _, f := range p.Findings {
		if f.Code != "NEW_FOLDER_NOT_APPLIED" { // said of every path that is split into folders
			codes = append(codes, f.Code)
		}
	}
	return strings.Join(codes, " ")
}

// kustomizationOf is one of somebody else's that applied the objects.
func kustomizationOf(ids ...string) *unstructured.Unstructured {
	entries := []any{}
	for _, id := range ids {
		entries = append(entries, map[string]any{"id": id, "v": "v1"})
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": map[string]any{"name": "other", "namespace": "elsewhere"},
		"status": map[string]any{"inventory": map[string]any{"entries": entries}},
	}}
}

func TestVerbsSayWhatWillHappenToEachObject(t *testing.T) {
	inv := inventoryOf(t, map[string]string{
		"p/app/same.yaml":    configMap("same", `{kept: "1"}`),
		"p/app/drift.yaml":   configMap("drift", `{kept: "1"}`),
		"p/app/hand.yaml":    configMap("hand", `{kept: "1"}`),
		"p/app/absent.yaml":  configMap("absent", `{kept: "1"}`),
		"p/app/owned.yaml":   configMap("owned", `{kept: "1"}`),
		"p/app/ignored.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ignored, namespace: team, annotations: {fluxcd.io/ignore: \"true\"}}\n",
		"p/app/lost.yaml":    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lost, namespace: team, annotations: {config.kubernetes.io/local-config: \"true\"}}\n",
	})
	inv.Agents[0].Marked = []string{"team_gone__ConfigMap", "team_same__ConfigMap"}
	kept := map[string]any{"kept": "1"}
	w := &fakeWorld{live: map[string]*unstructured.Unstructured{
		"team_same__ConfigMap":  liveConfigMap("same", kept, nil, entry("kubectl-client-side-apply", update, "", `{"f:data":{"f:kept":{}}}`)),
		"team_drift__ConfigMap": liveConfigMap("drift", map[string]any{"kept": "2"}, nil),
		"team_hand__ConfigMap": liveConfigMap("hand", map[string]any{"kept": "1", "more": "x"}, nil,
			entry("kubectl-edit", update, "", `{"f:data":{"f:more":{}}}`)),
		"team_owned__ConfigMap": liveConfigMap("owned", kept, map[string]any{LabelOwnerName: "other", LabelOwnerNamespace: "elsewhere"}),
		"elsewhere_other_kustomize.toolkit.fluxcd.io_Kustomization": kustomizationOf("team_owned__ConfigMap"),
	}}
	r, err := Prove(t.Context(), inv, migrate.Options{}, w)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"ConfigMap/team/same":    "adopt",
		"ConfigMap/team/drift":   "change .data.kept",
		"ConfigMap/team/hand":    "change .data.more",
		"ConfigMap/team/absent":  "create",
		"ConfigMap/team/owned":   "conflict",
		"ConfigMap/team/ignored": "skip",
		"ConfigMap/team/lost":    "unmanage",
		"ConfigMap/team/gone":    "stale",
	}
	if d := cmp.Diff(want, verbsOf(r)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff("OBJECT_CHANGES OBJECT_CHANGES OBJECT_LOST OBJECT_OWNED IGNORE_ANNOTATIONS OBJECT_CREATED STALE_OBJECT", codesOf(r.Plan)); d != "" {
		t.Error(d)
	}
	if !r.Plan.Repositories[0].Blocked || r.Plan.Proof != "server" {
		t.Errorf("blocked %v, proof %s", r.Plan.Repositories[0].Blocked, r.Plan.Proof)
	}
}

func TestRenderingsThatDifferAreBlocked(t *testing.T) {
	// YAML 1.1 reads an unquoted "yes" as true, which fluxd sends as a boolean
	// and the API server refuses; kustomize keeps the text.
	inv := inventoryOf(t, map[string]string{"p/app/a.yaml": configMap("a", "{kept: yes}")})
	r, err := Prove(t.Context(), inv, migrate.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	old, _, _ := unstructured.NestedFieldNoCopy(inv.Agents[0].Objects[0].Manifest.Object, "data", "kept")
	now, _, _ := unstructured.NestedFieldNoCopy(r.Evidence["flux/flux-team"]["team_a__ConfigMap"].New.Object, "data", "kept")
	if old == now {
		t.Fatalf("both read %v: the case shows nothing", old)
	}
	if codesOf(r.Plan) != "RENDERING_DIFFERS" || !r.Plan.Repositories[0].Blocked {
		t.Errorf("fluxd reads %v, the new agent %v, and the findings are %q", old, now, codesOf(r.Plan))
	}
	w := &fakeWorld{live: map[string]*unstructured.Unstructured{"team_a__ConfigMap": liveConfigMap("a", map[string]any{"kept": "yes"}, nil)}}
	r, err = Prove(t.Context(), inv, migrate.Options{}, w)
	if err != nil {
		t.Fatal(err)
	}
	o := r.Plan.Repositories[0].Objects[0]
	if o.Verb != migrate.Adopt || !strings.Contains(o.Why, "rendering differs") || strings.Contains(o.Why, "both renderings") {
		t.Errorf("%s: %s", o.Verb, o.Why)
	}
}

func TestARefusalOfASecretNamesFieldsAndNoValue(t *testing.T) {
	inv := inventoryOf(t, map[string]string{"p/app/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: team}\nstringData: {k: " + marked + "}\n"})
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "s", validation.ErrorList{validation.Invalid(validation.NewPath("data").Key("k"), marked, "no")})
	r, err := Prove(t.Context(), inv, migrate.Options{}, &fakeWorld{refuse: map[string]error{"team_s__Secret": invalid}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(r.Plan)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), "DRY_RUN_REFUSED") || !strings.Contains(string(raw), "data[k]") {
		t.Errorf("the plan does not name the refusal: %s", raw)
	}
	if strings.Contains(string(raw), marked) {
		t.Error("the plan holds the Secret's value")
	}
}

func TestATryThatWentUnansweredIsNoRefusal(t *testing.T) {
	inv := inventoryOf(t, map[string]string{"p/app/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: team}\n"})
	for name, c := range map[string]struct {
		err      error
		answered bool
	}{
		"a connection that broke":                 {fmt.Errorf("dry-run: %w", io.ErrUnexpectedEOF), false},
		"an API server without time":              {apierrors.NewTooManyRequests("later", 1), false},
		"a webhook that cannot be called":         {apierrors.NewInternalError(errors.New("failed calling webhook")), true},
		"a field of another type":                 {&apierrors.StatusError{ErrStatus: metav1.Status{Code: 500, Message: "failed to create typed patch object"}}, true},
		"an account without the right to do this": {apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "c", errors.New("no")), true},
	} {
		r, err := Prove(t.Context(), inv, migrate.Options{}, &fakeWorld{refuse: map[string]error{"team_c__ConfigMap": c.err}})
		if (err == nil) != c.answered {
			t.Errorf("%s: error %v", name, err)
		}
		if refused := strings.Contains(codesOf(r.Plan), "DRY_RUN_REFUSED"); refused != c.answered {
			t.Errorf("%s is shown as a refusal: %t", name, refused)
		}
	}
}

func TestAWorldThatCannotBeAskedIsAnErrorAndNoEmptyAnswer(t *testing.T) {
	inv := inventoryOf(t, map[string]string{"p/app/a.yaml": configMap("a", `{kept: "1"}`)})
	_, err := Prove(t.Context(), inv, migrate.Options{}, &fakeWorld{broken: errors.New("no route")})
	if err == nil || !strings.Contains(err.Error(), "ConfigMap/team/a") {
		t.Errorf("error %v does not name what could not be read", err)
	}
}

func TestOneObjectInTwoRepositoriesBlocksBoth(t *testing.T) {
	inv := inventoryOf(t, map[string]string{"p/app/a.yaml": configMap("a", `{kept: "1"}`)})
	other := inv.Agents[0]
	other.ID, other.Release = "flux/flux-other", "flux-other"
	inv.Agents = append(inv.Agents, other)
	p, err := Plan(t.Context(), inv, migrate.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Repositories {
		if !r.Blocked {
			t.Errorf("%s is not held back", r.ID)
		}
	}
}

func TestAnObjectInTwoRepositoriesIsInConflictInBothWhateverIsTrueOfItAlone(t *testing.T) {
	files := map[string]string{"p/app/a.yaml": configMap("a", `{kept: "1"}`), "p/app/b.yaml": configMap("b", `{kept: "1"}`)}
	inv := inventoryOf(t, files)
	delete(files, "p/app/a.yaml")
	files["p/app/c.yaml"] = configMap("c", `{kept: "1"}`)
	other := inventoryOf(t, files).Agents[0]
	other.ID, other.Release = "flux/flux-other", "flux-other"
	inv.Agents = append(inv.Agents, other)
	hand := liveConfigMap("b", map[string]any{"kept": "2"}, nil)
	for name, w := range map[string]World{
		"no cluster": nil,
		"a cluster":  &servingWorld{live: map[string]*unstructured.Unstructured{"team_a__ConfigMap": liveConfigMap("a", map[string]any{"kept": "1"}, nil), "team_b__ConfigMap": hand}},
	} {
		p, err := Plan(t.Context(), inv, migrate.Options{}, w)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Repositories {
			for _, o := range r.Objects {
				shared := o.ID == "team_b__ConfigMap"
				if conflict := o.Verb == migrate.Conflict; conflict != shared || shared && (o.Why != "the repositories of flux/flux-other and flux/flux-team apply it" || len(o.Fields) > 0) {
					t.Errorf("%s: %s of %s is %s, %s %v", name, o.ID, r.ID, o.Verb, o.Why, o.Fields)
				}
			}
		}
	}
}

// What an object that is claimed twice would become must not be accepted of it, and
// that a third owns it is not forgotten.
func TestOfAnObjectInTwoRepositoriesNothingElseIsForetold(t *testing.T) {
	files := map[string]string{"p/app/new.yaml": configMap("new", "{}"), "p/app/owned.yaml": configMap("owned", "{}"), "p/app/web.yaml": webDeployment}
	live := deployed(t, "kubectl-set", "{}", func(spec map[string]any) {
		containers := spec["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)
		containers[0].(map[string]any)["image"] = "web:2"
	})
	live["team_owned__ConfigMap"] = liveConfigMap("owned", map[string]any{}, map[string]any{LabelOwnerName: "other", LabelOwnerNamespace: "elsewhere"})
	live["elsewhere_other_kustomize.toolkit.fluxcd.io_Kustomization"] = kustomizationOf("team_owned__ConfigMap")
	live["team_own__ConfigMap"] = liveConfigMap("own", map[string]any{"a": "c"}, nil)
	inv := inventoryOf(t, files)
	files["p/app/own.yaml"] = configMap("own", `{a: "b"}`)
	files["p/app/twice.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: twice}\n" // fluxd takes either
	files["p/twice/twice.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: twice, namespace: default}\n"
	other := inventoryOf(t, files).Agents[0]
	other.ID, other.Release = "flux/flux-other", "flux-other"
	inv.Agents = append(inv.Agents, other)
	r := provenOf(t, &servingWorld{live: live}, inv)
	for _, f := range r.Plan.Findings {
		_, id, _ := strings.Cut(f.Subject, " ")
		own := f.Repository == other.ID && id == "team_own__ConfigMap"
		switch f.Code {
		case "OBJECT_CHANGES":
			if !own {
				t.Errorf("it is foretold of %s", f.Subject)
			}
		case "PODS_RESTART", "IMAGE_DIFFERS", "OBJECT_CREATED":
			t.Errorf("%s is foretold of %s", f.Code, f.Subject)
		}
	}
	if !strings.Contains(codesOf(r.Plan), "OBJECT_CHANGES") {
		t.Error("of one that is in one repository nothing is foretold either")
	}
	both := "the repositories of flux/flux-other and flux/flux-team apply it"
	for id, want := range map[string]string{
		"team_owned__ConfigMap": "Kustomization elsewhere/other owns it; " + both, "team_new__ConfigMap": both,
		"team_web_apps_Deployment": both, "default_twice__ConfigMap": "the Kustomizations other-app and other-twice apply it",
	} {
		for _, repo := range r.Plan.Repositories {
			for _, o := range repo.Objects {
				if o.ID == id && (o.Verb != migrate.Conflict || o.Why != want) {
					t.Errorf("%s of %s is to %s: %s", id, repo.ID, o.Verb, o.Why)
				}
			}
		}
	}
}

// Who only holds an object that Flux v2 is told to leave alone fights with nobody.
func TestAnObjectThatOneOfTwoRepositoriesLeavesAloneIsNoClash(t *testing.T) {
	for mark, blocks := range map[string]bool{"fluxcd.io/ignore: 'true'": false, keyReconcile + ": disabled": false, keySSA + ": Ignore": false, "fluxcd.io/ignore: sync_only": true} {
		text := configMap("a", `{kept: "1"}`)
		inv := inventoryOf(t, map[string]string{"p/app/a.yaml": text})
		other := inventoryOf(t, map[string]string{"p/app/a.yaml": strings.Replace(text, "namespace: team", "namespace: team, annotations: {"+mark+"}", 1)}).Agents[0]
		other.ID, other.Release = "flux/flux-other", "flux-other"
		inv.Agents = append(inv.Agents, other)
		p, err := Plan(t.Context(), inv, migrate.Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(codesOf(p), "OBJECT_IN_TWO_REPOSITORIES"); got != blocks {
			t.Errorf("%s: a clash is found: %t", mark, got)
		}
	}
}

func TestWhatAnUnreadRepositorySharesIsSaidToBeUnknown(t *testing.T) {
	inv := inventoryOf(t, map[string]string{"p/app/a.yaml": configMap("a", `{kept: "1"}`)})
	other := inv.Agents[0]
	other.ID, other.Release, other.Tree, other.Files, other.Objects = "flux/flux-other", "flux-other", nil, nil, nil
	both := migrate.Inventory{Agents: []migrate.Flux1Agent{inv.Agents[0], other}}
	for name, c := range map[string]struct {
		inv  migrate.Inventory
		want bool
	}{
		"one of two is not read":  {both, true},
		"the only one is read":    {inv, false},
		"none is read, nor known": {migrate.Inventory{Agents: []migrate.Flux1Agent{other}}, false},
	} {
		p, err := Plan(t.Context(), c.inv, migrate.Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := false
		for _, f := range p.Findings {
			got = got || f.Code == "SHARED_OBJECTS_UNKNOWN" && f.Subject == other.ID && f.Repository == ""
		}
		if got != c.want {
			t.Errorf("%s: said %t", name, got)
		}
	}
}

func TestOfflineProofSaysWhatItDidNotProve(t *testing.T) {
	p, err := Plan(t.Context(), inventoryOf(t, map[string]string{"p/app/a.yaml": configMap("a", `{kept: "1"}`)}), migrate.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o := p.Repositories[0].Objects[0]; p.Proof != "offline" || !strings.Contains(o.Why, "not proven") {
		t.Errorf("proof %s, object %+v", p.Proof, o)
	}
}

func TestOnceTheOldAccountIsFencedTheNewOneTries(t *testing.T) {
	inv := inventoryOf(t, map[string]string{"p/app/a.yaml": configMap("a", `{kept: "1"}`), "p/app/b.yaml": configMap("b", `{kept: "1"}`)})
	r, err := Prove(t.Context(), inv, migrate.Options{}, &fakeWorld{fenced: true})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"ConfigMap/team/a": "create", "ConfigMap/team/b": "create"}
	if d := cmp.Diff(want, verbsOf(r)); d != "" {
		t.Errorf("%s%s", d, codesOf(r.Plan))
	}
}

// stagedWorld notes as whom it is asked; something at admission notes that, too,
// in an annotation and in a key of the data.
type stagedWorld struct {
	fakeWorld
	mu    sync.Mutex
	asked map[Account]int
}

func (w *stagedWorld) DryRun(ctx context.Context, as Account, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[as]++
	out, err := w.fakeWorld.DryRun(ctx, Account{"flux", "flux-team"}, o)
	if err != nil {
		return nil, err
	}
	who := "system:serviceaccount:" + as.Namespace + ":" + as.Name
	annotations := map[string]string{"by": who}
	out.SetAnnotations(annotations)
	if o.GetName() == "b" {
		return out, unstructured.SetNestedField(out.Object, who, "data", "by")
	}
	return out, nil
}

func TestWhatIsStagedIsTriedAsTheFutureAccount(t *testing.T) {
	inv := inventoryOf(t, map[string]string{"p/app/a.yaml": configMap("a", `{kept: "1"}`), "p/app/b.yaml": configMap("b", `{kept: "1"}`)})
	const old = "system:serviceaccount:flux:flux-team"
	live := map[string]*unstructured.Unstructured{}
	for name, data := range map[string]map[string]any{"a": {"kept": "1"}, "b": {"kept": "1", "by": old}} {
		u := liveConfigMap(name, data, nil, entry("kubectl-client-side-apply", update, "", `{"f:data":{"f:kept":{}}}`))
		u.SetAnnotations(map[string]string{"by": old})
		live[migrate.ObjectID(u)] = u
	}
	for _, c := range []struct {
		staged bool
		by     Account
		want   map[string]string
	}{
		{false, Account{"flux", "flux-team"}, map[string]string{"ConfigMap/team/a": "adopt", "ConfigMap/team/b": "adopt"}},
		{true, Account{"flux-system", "team"}, map[string]string{"ConfigMap/team/a": "adopt", "ConfigMap/team/b": "change .data.by"}},
	} {
		w := &stagedWorld{fakeWorld: fakeWorld{live: live}, asked: map[Account]int{}}
		r, err := Prove(t.Context(), inv, migrate.Options{Staged: c.staged}, w)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, verbsOf(r)); d != "" {
			t.Errorf("staged %v: %s%s", c.staged, d, codesOf(r.Plan))
		}
		if len(w.asked) != 1 || w.asked[c.by] == 0 {
			t.Errorf("staged %v: asked as %v", c.staged, w.asked)
		}
	}
}

func TestWhatTheRendererWritesOutIsNoDifference(t *testing.T) {
	inv := inventoryOf(t, map[string]string{"p/app/n.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n",
		"p/app/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: team}\nstringData: {k: v}\n",
		"p/app/r.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, namespace: team}\nrules: [{apiGroups: [''], resources: [pods], verbs: [get], resourceNames: []}]\n"})
	p, err := Plan(t.Context(), inv, migrate.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if codesOf(p) != "" {
		t.Errorf("findings %v", p.Findings)
	}
}

// movingWorld is one in which somebody writes between reading and trying, for
// the first until readings.
type movingWorld struct {
	fakeWorld
	reads, until int
}

func (w *movingWorld) Live(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	w.reads++
	live, err := w.fakeWorld.Live(ctx, o)
	return live.DeepCopy(), err
}

func (w *movingWorld) DryRun(ctx context.Context, as Account, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	out, err := w.fakeWorld.DryRun(ctx, as, o)
	out.SetResourceVersion("7")
	if w.reads <= w.until {
		out.SetResourceVersion("8")
	}
	return out, err
}
