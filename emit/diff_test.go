package emit

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
)

// rich has a list of each sort, and every sort of value.
const rich = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  labels: {app: web, app.kubernetes.io/part-of: shop}
  annotations: {note: "two words", config.example.com/on: "true"}
  finalizers: [a.example.com/one, b.example.com/two]
spec:
  replicas: 3
  paused: false
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {}
      initContainers: [{name: first, image: a}, {name: second, image: a}]
      tolerations: [{key: x, operator: Exists}, {key: x, operator: Equal, value: "1"}]
      containers:
      - name: web
        image: web:1
        args: [--one, --two, --one]
        env: [{name: A, value: "1"}, {name: B, value: $(A)}]
        ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}, {containerPort: 81, name: x}]
        volumeMounts: [{name: data, mountPath: /a}, {name: data, mountPath: /b}]
      - name: side
        image: side:1
        resources: {limits: {cpu: 1, memory: 1.5Gi}}
      volumes: [{name: data, emptyDir: {}}]
`

const secretText = `
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: shop}
type: Opaque
data: {user: dXNlcg==, password: TUFSS0VELVNFQ1JFVA==}
stringData: {token: MARKED-SECRET-TOKEN}
`

func parsed(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[string]any
	raw, err := sigsyaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	return u.Object
}

// asRendered is an object as the new agent renders it: without the fields that
// the API server would throw away, and without empty labels and annotations,
// which a rule is about.
func asRendered(t testing.TB, text string) map[string]any {
	t.Helper()
	m := proof.Normalized(un(parsed(t, text))).Object
	metadata := m["metadata"].(map[string]any)
	for _, field := range []string{"labels", "annotations"} {
		if empty(metadata[field]) {
			delete(metadata, field)
		}
	}
	if metadata["creationTimestamp"] == nil {
		delete(metadata, "creationTimestamp")
	}
	return m
}

// corpus are objects of all sorts: those of the public configurations, and two
// that have what those lack.
func corpus(t *testing.T) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{"rich": asRendered(t, rich), "secret": asRendered(t, secretText)}
	kinds := map[string]int{}
	root := filepath.Join("..", "discover", "testdata", "real")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ".yaml" {
			return err
		}
		raw, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		reader := yaml.NewYAMLToJSONDecoder(strings.NewReader(string(raw)))
		for n := 0; ; n++ {
			u := &unstructured.Unstructured{}
			if err := reader.Decode(&u.Object); err != nil {
				return nil // the end, or a file that is none of ours to read
			}
			if u.GetKind() == "" || u.GetName() == "" {
				continue
			}
			text, err := json.Marshal(u.Object)
			if err != nil {
				return err
			}
			// Each field of it is changed in turn, so a few of each kind will do.
			if kinds[u.GetKind()]++; len(text) > 3000 || kinds[u.GetKind()] > 3 {
				continue
			}
			out[fmt.Sprintf("%s#%d", p, n)] = asRendered(t, string(text))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 25 {
		t.Fatalf("only %d objects to try", len(out))
	}
	return out
}

// mutation is one real change of an object.
type mutation struct {
	what   string
	object map[string]any
}

// mutations gives, for every place of an object, each sort of change that can
// be made there.
func mutations(object map[string]any) []mutation {
	var out []mutation
	// change calls edit with a fresh copy's value at the steps, for the
	// container to be rebuilt around its answer.
	var visit func(path string, v any, put func(any) map[string]any)
	visit = func(path string, v any, put func(any) map[string]any) {
		add := func(what string, with any) {
			if m := put(with); m != nil {
				out = append(out, mutation{what + " " + path, m})
			}
		}
		switch v := v.(type) {
		case map[string]any:
			for _, k := range sortedKeys(v) {
				without := clone(v).(map[string]any)
				delete(without, k)
				add("remove "+k+" of", without)
				visit(path+"."+k, v[k], func(with any) map[string]any {
					m := clone(v).(map[string]any)
					m[k] = with
					return put(m)
				})
			}
			more := clone(v).(map[string]any)
			more["somethingNew"] = "x"
			add("add to", more)
			add("write as text", asText(v))
		case []any:
			for i := range v {
				add(fmt.Sprintf("remove item %d of", i), slices.Delete(clone(v).([]any), i, i+1))
				if i > 0 && !proof.Equal(v[i-1], v[i]) {
					swapped := clone(v).([]any)
					swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
					add(fmt.Sprintf("swap items %d and %d of", i-1, i), swapped)
				}
				visit(fmt.Sprintf("%s[%d]", path, i), v[i], func(with any) map[string]any {
					l := clone(v).([]any)
					l[i] = with
					return put(l)
				})
			}
			if len(v) > 0 {
				add("repeat an item of", append(clone(v).([]any), clone(v[0])))
			}
			add("append to", append(clone(v).([]any), "x"))
			add("write as text", asText(v))
		case string:
			add("change", v+"x")
			add("another type at", map[string]any{"x": v})
		case bool:
			add("change", !v)
			add("write as text", fmt.Sprint(v))
		case int64:
			add("change", v+1)
			add("write as text", fmt.Sprint(v))
		case float64:
			add("change", v+1)
		}
	}
	visit("", object, func(with any) map[string]any { m, _ := with.(map[string]any); return m })
	return out
}

// asText is what a file holds in which a structure was written as a text.
func asText(v any) string {
	raw, err := sigsyaml.Marshal(v)
	if err != nil {
		panic(err)
	}
	return strings.TrimSuffix(string(raw), "\n")
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k := range v {
			out[k] = clone(v[k])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = clone(v[i])
		}
		return out
	}
	return v
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func un(m map[string]any) *unstructured.Unstructured { return &unstructured.Unstructured{Object: m} }

func compared(e *proof.Evidence) Difference {
	d := Difference{ObjectPlan: migrate.ObjectPlan{ID: "shop_web_apps_Deployment", Verb: migrate.Adopt, Application: "shop-web"}}
	d.compare(e, map[string]string{"kustomize.toolkit.fluxcd.io/prune": "disabled"}, false)
	return d
}

// shows fails unless a person sees something go or come.
func shows(t *testing.T, d Difference) bool {
	t.Helper()
	for _, c := range d.Changes {
		for _, l := range c.lines() {
			if l.mark == '-' || l.mark == '+' {
				return true
			}
		}
	}
	return false
}

// Whatever real change is made, at whatever place of whatever object, it is
// shown: between the live object and what becomes of it, and between the
// renderings. This is what the rules of noise may not break.
func TestNoRealChangeAtAnyPlaceIsHidden(t *testing.T) {
	tried := 0
	for name, object := range corpus(t) {
		if d := compared(&proof.Evidence{Old: un(object), New: un(object), Live: un(object), After: un(object)}); len(d.Changes) > 0 {
			t.Errorf("%s differs from itself: %+v", name, d.Changes)
		}
		for _, m := range mutations(object) {
			if proof.Equal(any(object), any(m.object)) {
				continue // such as a null that goes
			}
			tried++
			if d := compared(&proof.Evidence{New: un(object), Live: un(object), After: un(m.object)}); !shows(t, d) {
				t.Errorf("%s: %s: what becomes of the live object is not shown: %+v", name, m.what, d)
			}
			if u := un(m.object); proof.Equal(any(proof.Normalized(un(object)).Object), any(proof.Normalized(u).Object)) {
				continue // the renderer itself makes the same of both
			}
			normal := proof.Normalized(un(m.object)).Object
			if d := compared(&proof.Evidence{Old: un(object), New: un(normal)}); !shows(t, d) {
				t.Errorf("%s: %s: another rendering is not shown: %+v", name, m.what, d)
			}
		}
	}
	if tried < 1500 {
		t.Errorf("only %d changes were tried", tried)
	}
	t.Logf("%d changes tried", tried)
}

// Several changes at once: with what is found put back, the objects are the
// same, so nothing was hidden behind something else.
func TestWhatIsFoundIsAllThereIs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	objects := corpus(t)
	var names []string
	for name := range objects {
		names = append(names, name)
	}
	slices.Sort(names)
	for n := range 400 {
		name := names[random.IntN(len(names))]
		before, after := objects[name], objects[name]
		var what []string
		for range 1 + random.IntN(4) {
			all := mutations(after)
			m := all[random.IntN(len(all))]
			after, what = m.object, append(what, m.what)
		}
		back := clone(after)
		var changes []string
		differing(nil, before, after, func(steps []step, was, _ any) {
			changes = append(changes, pathOf(steps))
			if len(steps) == 0 || steps[len(steps)-1].field != orderField {
				back = putBack(back, steps, was)
			}
		})
		if d := cmp.Diff(unordered(before), unordered(back)); d != "" {
			t.Fatalf("case %d, %s: after %q, with %q put back: %s", n, name, what, changes, d)
		}
	}
}

// putBack sets what stands at a path; nil removes it.
func putBack(v any, steps []step, value any) any {
	if len(steps) == 0 {
		return clone(value)
	}
	s := steps[0]
	switch holder := v.(type) {
	case map[string]any:
		if below := putBack(holder[s.field], steps[1:], value); below == nil {
			delete(holder, s.field)
		} else {
			holder[s.field] = below
		}
		return holder
	case []any:
		for i, item := range holder {
			if proof.Equal(s.in([]any{item}), item) && s.keys != nil || s.keys == nil && i == s.index {
				below := putBack(item, steps[1:], value)
				if below == nil {
					return slices.Delete(holder, i, i+1)
				}
				holder[i] = below
				return holder
			}
		}
		return append(holder, clone(value))
	}
	return putBack(map[string]any{}, steps, value)
}

// unordered sorts the lists whose items are maps, and drops nulls, and maps of
// nothing else.
func unordered(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k := range v {
			below := unordered(v[k])
			if held, is := v[k].(map[string]any); is && len(held) > 0 && len(below.(map[string]any)) == 0 || v[k] == nil {
				continue
			}
			out[k] = below
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, unordered(item))
		}
		slices.SortFunc(out, func(a, b any) int {
			ra, _ := json.Marshal(a)
			rb, _ := json.Marshal(b)
			return strings.Compare(string(ra), string(rb))
		})
		return out
	}
	return v
}

// Each rule hides what it is for, and at the same place nothing else.
func TestRulesOfNoiseHideWhatTheySayAndNothingElse(t *testing.T) {
	const base = `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: shop`
	type sample struct{ live, after string }
	for i, c := range []struct{ hidden, shown []sample }{
		{
			hidden: []sample{{`, generation: 1, resourceVersion: "1"}}`, `, generation: 2, resourceVersion: "2"}}`}, {`}}`, `, managedFields: [{manager: x}]}}`}},
			shown:  []sample{{`, uid: a}}`, `, uid: b}}`}, {`}, spec: {generation: 1}}`, `}, spec: {generation: 2}}`}, {`, creationTimestamp: "2020-01-01T00:00:00Z"}}`, `, creationTimestamp: "2021-01-01T00:00:00Z"}}`}},
		},
		{
			hidden: []sample{{`}, status: {a: 1}}`, `}, status: {a: 2, b: 3}}`}},
			shown:  []sample{{`}, spec: {status: 1}}`, `}, spec: {status: 2}}`}},
		},
		{
			hidden: []sample{
				{`, labels: {fluxcd.io/sync-gc-mark: x, a: b}}}`, `, labels: {a: b}}}`},
				{`, annotations: {fluxcd.io/sync-checksum: x, kubectl.kubernetes.io/last-applied-configuration: "{}"}}}`, `}}`},
			},
			shown: []sample{
				{`, labels: {fluxcd.io/sync-gc-mark: x}}}`, `, labels: {fluxcd.io/sync-gc-mark: y}}}`},
				{`}}`, `, labels: {fluxcd.io/sync-gc-mark: x}}}`},
				{`, annotations: {fluxcd.io/sync-gc-mark: x}}}`, `}}`}, {`}, spec: {labels: {fluxcd.io/sync-gc-mark: x}}}`, `}, spec: {}}`},
			},
		},
		{
			hidden: []sample{{`}}`, `, labels: {kustomize.toolkit.fluxcd.io/name: shop-web, kustomize.toolkit.fluxcd.io/namespace: flux-system}}}`}},
			shown: []sample{
				{`}}`, `, labels: {kustomize.toolkit.fluxcd.io/name: other}}}`}, {`}}`, `, labels: {kustomize.toolkit.fluxcd.io/namespace: other}}}`},
				{`, labels: {kustomize.toolkit.fluxcd.io/name: other}}}`, `, labels: {kustomize.toolkit.fluxcd.io/name: shop-web}}}`},
				{`, labels: {kustomize.toolkit.fluxcd.io/name: shop-web}}}`, `}}`},
			},
		},
		{
			hidden: []sample{{`}}`, `, annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}}}`}},
			shown: []sample{
				{`}}`, `, annotations: {kustomize.toolkit.fluxcd.io/prune: enabled}}}`}, {`}}`, `, annotations: {kustomize.toolkit.fluxcd.io/reconcile: disabled}}}`},
				{`, annotations: {kustomize.toolkit.fluxcd.io/prune: other}}}`, `, annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}}}`},
			},
		},
		{
			hidden: []sample{{`, labels: {}}}`, `}}`}, {`}}`, `, annotations: {}}}`}},
			shown:  []sample{{`}, data: {}}`, `}}`}, {`, labels: {a: ""}}}`, `}}`}, {`}, spec: {labels: {}}}`, `}, spec: {}}`}},
		},
	} {
		see := func(s sample) Difference {
			return compared(&proof.Evidence{New: un(parsed(t, base+`}}`)), Live: un(parsed(t, base+s.live)), After: un(parsed(t, base+s.after))})
		}
		for _, s := range c.hidden {
			d := see(s)
			if len(d.Changes) > 0 || d.Hidden[noise[i].why] == 0 {
				t.Errorf("%q does not hide %+v: %+v", noise[i].why, s, d)
			}
		}
		for _, s := range c.shown {
			if d := see(s); !shows(t, d) {
				t.Errorf("beside %q, %+v is hidden: %+v", noise[i].why, s, d)
			}
		}
		if i == len(noise)-1 {
			return
		}
	}
	t.Errorf("there are %d rules, and not each is tried", len(noise))
}

func TestAStatusThatGitHoldsIsShown(t *testing.T) {
	git := parsed(t, `{apiVersion: example.com/v1, kind: Thing, metadata: {name: x}, status: {a: 1}}`)
	live := parsed(t, `{apiVersion: example.com/v1, kind: Thing, metadata: {name: x}, status: {a: 2}}`)
	if d := compared(&proof.Evidence{New: un(git), Live: un(live), After: un(git)}); !shows(t, d) {
		t.Errorf("%+v", d)
	}
}

func TestListItemsAreMatchedByTheirKeys(t *testing.T) {
	before := asRendered(t, rich)
	for name, c := range map[string]struct {
		change func(spec map[string]any)
		want   []string
	}{
		"a container in front": {func(s map[string]any) {
			s["containers"] = append([]any{map[string]any{"name": "new", "image": "n"}}, s["containers"].([]any)...)
		}, []string{".spec.template.spec.containers[name=new]"}},
		"one image": {func(s map[string]any) { s["containers"].([]any)[1].(map[string]any)["image"] = "side:2" }, []string{".spec.template.spec.containers[name=side].image"}},
		"a port by number and protocol": {func(s map[string]any) {
			s["containers"].([]any)[0].(map[string]any)["ports"].([]any)[1].(map[string]any)["hostPort"] = int64(1)
		}, []string{".spec.template.spec.containers[name=web].ports[containerPort=80,protocol=UDP].hostPort"}},
		"a mount, whose name is no key here": {func(s map[string]any) {
			s["containers"].([]any)[0].(map[string]any)["volumeMounts"].([]any)[1].(map[string]any)["readOnly"] = true
		}, []string{".spec.template.spec.containers[name=web].volumeMounts[mountPath=/b].readOnly"}},
		"no keys, by position": {func(s map[string]any) { s["tolerations"].([]any)[1].(map[string]any)["value"] = "2" }, []string{".spec.template.spec.tolerations[1].value"}},
		"another order":        {func(s map[string]any) { slices.Reverse(s["initContainers"].([]any)) }, []string{".spec.template.spec.initContainers.(order)"}},
	} {
		after := clone(before).(map[string]any)
		spec, _, _ := unstructured.NestedFieldNoCopy(after, "spec", "template", "spec")
		c.change(spec.(map[string]any))
		var got []string
		for _, change := range compared(&proof.Evidence{New: un(after), Live: un(before), After: un(after)}).Changes {
			got = append(got, change.Path)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestAChangeSaysWhoSetTheFieldAndWhatGitSays(t *testing.T) {
	live := asRendered(t, rich)
	live["metadata"].(map[string]any)["managedFields"] = []any{
		map[string]any{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": map[string]any{"f:spec": map[string]any{"f:template": map[string]any{"f:spec": map[string]any{
			"f:containers": map[string]any{`k:{"name":"web"}`: map[string]any{"f:image": map[string]any{}}}}}, "f:minReadySeconds": map[string]any{}, "f:revisionHistoryLimit": map[string]any{}}}},
		map[string]any{"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale", "fieldsV1": map[string]any{"f:spec": map[string]any{"f:replicas": map[string]any{}}}},
	}
	git := asRendered(t, rich)
	unset := clone(live).(map[string]any)
	unset["spec"].(map[string]any)["minReadySeconds"] = int64(5)
	unset["spec"].(map[string]any)["revisionHistoryLimit"] = int64(3)
	git["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"] = "web:2"
	git["spec"].(map[string]any)["replicas"] = int64(2)
	after := clone(git).(map[string]any)
	after["spec"].(map[string]any)["injected"] = "x"
	after["spec"].(map[string]any)["revisionHistoryLimit"] = int64(10)
	want := map[string]string{
		".spec.template.spec.containers[name=web].image": "Git says so; the live value was set by kubectl-edit",
		".spec.replicas":             "Git says so; the live value was set by kube-controller-manager (scale)",
		".spec.minReadySeconds":      "set by kubectl-edit, and not in Git",
		".spec.revisionHistoryLimit": "set by kubectl-edit, and not in Git, so that the API server or an admission webhook fills it in anew",
		".spec.injected":             "the API server, or an admission webhook, changes it",
	}
	got := map[string]string{}
	for _, c := range compared(&proof.Evidence{Old: un(git), New: un(git), Live: un(unset), After: un(after)}).Changes {
		got[c.Path] = c.Why
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestSecretsAreMaskedAndStillShownAsChanged(t *testing.T) {
	live := parsed(t, secretText)
	live["metadata"].(map[string]any)["annotations"] = map[string]any{"kubectl.kubernetes.io/last-applied-configuration": `{"stringData":{"token":"MARKED-SECRET-TOKEN"}}`, "x": "1"}
	after := clone(live).(map[string]any)
	after["data"].(map[string]any)["password"] = "TUFSS0VELUFOT1RIRVI="
	after["data"].(map[string]any)["more"] = "TUFSS0VELU1PUkU="
	delete(after["data"].(map[string]any), "user")
	annotations := after["metadata"].(map[string]any)["annotations"].(map[string]any)
	annotations["x"] = "2"
	annotations["kubectl.kubernetes.io/last-applied-configuration"] = `{"stringData":{"token":"MARKED-OTHER-TOKEN"}}`
	d := compared(&proof.Evidence{Old: un(live), New: un(after), Live: un(live), After: un(after)})
	d.Verb = migrate.Change
	got := map[string]string{}
	for _, c := range d.Changes {
		if c.In != "rendering" {
			got[c.Path] = fmt.Sprintf("%v -> %v", c.Live, c.After)
		}
	}
	want := map[string]string{
		".data.password": "*** (A) -> *** (B)", ".data.more": "<nil> -> ***", ".data.user": "*** -> <nil>", `.metadata.annotations.x`: "1 -> 2",
		`.metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`: "*** (A) -> *** (B)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	created := Difference{ObjectPlan: migrate.ObjectPlan{ID: "shop_s__Secret", Verb: migrate.Create}}
	created.compare(&proof.Evidence{New: un(after), After: un(after)}, nil, false)
	noSecretIn(t, []Difference{d, created}, "MARKED", "TUFSS0VE")
}

func TestWhatIsEncryptedInGitIsMaskedWhateverItsKind(t *testing.T) {
	encrypted := parsed(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {a: "ENC[AES256_GCM,data:x]"}, sops: {mac: "ENC[AES256_GCM,data:y]"}}`)
	live := parsed(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {a: MARKED-PLAIN}}`)
	after := parsed(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {a: MARKED-NEW}}`)
	d := compared(&proof.Evidence{Old: un(encrypted), New: un(after), Live: un(live), After: un(after)})
	var b strings.Builder
	if err := WriteDifferences(&b, []Difference{d}, DiffText{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), ".data.a") || !strings.Contains(b.String(), "encrypted") {
		t.Errorf("got\n%s", b.String())
	}
	// Without the encrypted form, the file's kind says it.
	known := Difference{ObjectPlan: migrate.ObjectPlan{ID: "shop_c__ConfigMap", Verb: migrate.Change}}
	known.compare(&proof.Evidence{New: un(after), Live: un(live), After: un(after)}, nil, true)
	if !shows(t, known) {
		t.Error("the change is lost")
	}
	// Nor does the file say it of what the new agent alone decrypts.
	proved := Difference{ObjectPlan: migrate.ObjectPlan{ID: "shop_c__ConfigMap", Verb: migrate.Change}}
	proved.compare(&proof.Evidence{New: un(after), Live: un(live), After: un(after), Encrypted: true}, nil, false)
	if !shows(t, proved) {
		t.Error("the change is lost")
	}
	noSecretIn(t, []Difference{d, known, proved}, "MARKED")
}

// noSecretIn writes differences in every form.
func noSecretIn(t *testing.T, differences []Difference, marked ...string) {
	t.Helper()
	r := Report{Differences: differences, Objects: len(differences)}
	r.Plan.Repositories = []migrate.Repository{{ID: differences[0].Repository}}
	var all strings.Builder
	raw, err := json.Marshal(NewDiff(r))
	if err != nil {
		t.Fatal(err)
	}
	all.Write(raw)
	for _, err := range []error{WriteDifferences(&all, differences, DiffText{Whole: true}), Markdown(&all, r, 0), HTML(&all, r)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(all.String(), "***") {
		t.Error("no mark is shown")
	}
	for _, m := range marked {
		if found := auditor.Shown(all.String(), m); len(found) > 0 {
			t.Errorf("the output holds %s %s", m, strings.Join(found, ", "))
		}
	}
}

func TestTheDifferenceIsKnownExactlyWhereTheProofKnowsOne(t *testing.T) {
	for name, object := range corpus(t) {
		for _, m := range mutations(object) {
			found := false
			differing(nil, object, m.object, func([]step, any, any) { found = true })
			if found == proof.Equal(any(object), any(m.object)) {
				t.Fatalf("%s: %s: the proof and diff disagree", name, m.what)
			}
		}
	}
}

func TestControlCharactersDoNotReachATerminal(t *testing.T) {
	live := parsed(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "x"}}`)
	after := clone(live).(map[string]any)
	after["data"] = map[string]any{"a": "\x1b[2J\u202eevil", "b\x1b]0;t\x07": "1"}
	var b strings.Builder
	if err := WriteDifferences(&b, []Difference{compared(&proof.Evidence{New: un(after), Live: un(live), After: un(after)})}, DiffText{}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\x07\u202e") {
		t.Errorf("%q", b.String())
	}
}

// What is written about a difference fits the terminal; only names and values
// that have no space to break at may be longer, each on a line of its own.
func TestDifferencesFitATerminal(t *testing.T) {
	before, after := map[string]any{}, map[string]any{}
	for i := range 60 {
		before[fmt.Sprintf("setting-%02d", i)], after[fmt.Sprintf("setting-%02d", i)] = "a", "b"
	}
	var differences []Difference
	for i, verb := range verbs {
		name := strings.Repeat("a-rather-long-name-", 1+i%3) + "x"
		differences = append(differences, Difference{
			Repository: "flux/flux-payments", Where: "clusters/production/eu-west-1/" + name + "/deployment.yaml:117",
			ObjectPlan: migrate.ObjectPlan{ID: "payments_" + name + "_apps_Deployment", Verb: verb},
			Changes:    []Change{{Path: ".spec", In: "cluster", Live: before, After: after, Why: "set by kubectl-edit, and not in Git, so that the API server or an admission webhook fills it in anew"}},
			Hidden:     map[string]int{noise[0].why: 3},
		})
	}
	for _, width := range []int{60, 80, 120} {
		for _, whole := range []bool{false, true} {
			var b strings.Builder
			if err := WriteDifferences(&b, differences, DiffText{Style: Style{Color: true, Width: width}, Whole: whole, Objects: 12345}); err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(ansi.ReplaceAllString(b.String(), ""), "\n") {
				if n := utf8.RuneCountInString(line); n > width && len(strings.Fields(line)) > 2 {
					t.Errorf("at width %d a line of words has %d characters: %s", width, n, line)
				}
				if strings.HasSuffix(line, ", 1") {
					t.Errorf("at width %d a number stands without its word: %s", width, line)
				}
			}
		}
	}
}

func TestWhatCouldNotBeComparedIsInEveryFormOfADifference(t *testing.T) {
	var r proof.Result
	why := "not proven: Kustomization shop-bad could not be built"
	r.Plan = migrate.Plan{Proof: "server", Repositories: []migrate.Repository{{ID: "flux/flux-shop", Objects: []migrate.ObjectPlan{
		{ID: "shop_a__ConfigMap", Application: "shop-good", Verb: migrate.Adopt, Why: "both renderings, the live object and the dry-run agree"},
		{ID: "shop_b__ConfigMap", Application: "shop-bad", Verb: migrate.Adopt, Why: why},
	}}}}
	report := NewReport(r, migrate.Inventory{}, migrate.Requests{})
	report.DiffOnly = true
	var text, markdown, page strings.Builder
	for _, err := range []error{
		WriteDifferences(&text, report.Differences, DiffText{Objects: report.Objects}), Markdown(&markdown, report, 0), HTML(&page, report),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for form, got := range map[string]string{"text": text.String(), "markdown": markdown.String(), "html": page.String()} {
		got = strings.Join(strings.Fields(got), " ")
		for _, want := range []string{why, "1 object compared, 1 could not be compared, 1 with something to look at"} {
			if !strings.Contains(strings.ReplaceAll(got, `\-`, "-"), want) || strings.Contains(got, "u000a") {
				t.Errorf("%s does not say %q: %s", form, want, got)
			}
		}
	}
	if d := NewDiff(report); d.Objects != 2 || d.Uncompared != 1 || len(d.Differences) != 1 || d.Differences[0].ID != "shop_b__ConfigMap" {
		t.Errorf("as JSON: %+v", d)
	}
}

// What Flux v2 is told to leave alone in the cluster takes no commit any more: a
// difference, though nothing of the object changes.
func TestAnObjectThatFluxdAppliesAndTheNewAgentLeavesAloneIsADifference(t *testing.T) {
	object := func(name string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "shop"}}}
	}
	inv := migrate.Inventory{Agents: []migrate.Flux1Agent{{ID: "flux/shop"}}}
	repo := migrate.Repository{ID: "flux/shop"}
	evidence := map[string]*proof.Evidence{}
	for name, class := range map[string]migrate.ObjectClass{"applied": migrate.ClassApplied, "kept": migrate.ClassSyncOnly, "ignored": migrate.ClassIgnored, "foreign": migrate.ClassForeign} {
		u := object(name)
		id := migrate.ObjectID(u)
		inv.Agents[0].Objects = append(inv.Agents[0].Objects, migrate.Object{ID: id, Class: class, File: "a.yaml", Line: 1, Manifest: u})
		repo.Objects = append(repo.Objects, migrate.ObjectPlan{ID: id, Verb: migrate.Skip, Why: "the live object says so"})
		evidence[id] = &proof.Evidence{Old: u, New: u, Live: u}
	}
	var got []string
	for _, d := range Differences(proof.Result{Plan: migrate.Plan{Repositories: []migrate.Repository{repo}}, Evidence: map[string]map[string]*proof.Evidence{"flux/shop": evidence}}, inv, false) {
		got = append(got, d.ID)
		if d.told() == "" {
			t.Errorf("%s: nothing says why", d.ID)
		}
	}
	slices.Sort(got)
	if want := []string{"shop_applied__ConfigMap", "shop_kept__ConfigMap"}; !slices.Equal(got, want) {
		t.Errorf("differences are %q, want %q", got, want)
	}
}

// What each of two repositories would change says nothing of that they fight over it.
func TestAConflictIsToldBesideWhatWouldChange(t *testing.T) {
	changed := Difference{ObjectPlan: migrate.ObjectPlan{Verb: migrate.Change, Why: "set by hand"}, Changes: []Change{{Path: ".data.a"}}}
	if got := changed.told(); got != "" {
		t.Errorf("of a change, whose fields say why, it tells %q", got)
	}
	changed.Verb = migrate.Conflict
	if got := changed.told(); got != "set by hand" {
		t.Errorf("of a conflict it tells %q", got)
	}
}

// Where nobody asked a cluster, what is made anew is not said to be missing in it.
func TestWithoutAClusterNothingIsSaidToBeMissingInIt(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a", "namespace": "shop"}}}
	for why, missing := range map[string]bool{"not proven: no cluster was asked": false, "it is not in the cluster; the dry-run made it": true} {
		d := Difference{ObjectPlan: migrate.ObjectPlan{ID: migrate.ObjectID(u), Verb: migrate.Create, Why: why}}
		d.compare(&proof.Evidence{New: u}, nil, false)
		if len(d.Changes) != 1 || strings.Contains(d.Changes[0].Why, "not in the cluster") != missing {
			t.Errorf("%s: %+v", why, d.Changes)
		}
	}
}
