package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
)

// reviewed is a plan of one repository, as it was reviewed.
func reviewed() migrate.Plan {
	return migrate.Plan{
		APIVersion: migrate.APIVersion, Kind: "Plan", Proof: "server", ClusterAgent: migrate.ClusterAgent{Engine: "bundled"},
		Inputs: migrate.PlanInputs{
			Cluster: "uid-1", Server: "https://one", Version: "v1.36.1", Tool: "v1",
			Agents:  map[string]migrate.Fingerprint{"flux/flux-shop": {"image": "flux:1"}},
			Objects: map[string]map[string]migrate.ObjectInputs{"flux/flux-shop": {"shop_web_apps_Deployment": {Rendered: "r1", Live: "l1"}}},
		},
		Repositories: []migrate.Repository{{ID: "flux/flux-shop", Commit: "aaaa", Wave: 1, Objects: []migrate.ObjectPlan{{ID: "shop_web_apps_Deployment", Application: "shop-web", Verb: migrate.Adopt}}}},
	}
}

func TestVerifySaysWhatMovedPartByPart(t *testing.T) {
	// What a person accepted of an object, and its values.
	const changed = "shop_db__ConfigMap"
	accepted := func(p *migrate.Plan, change, message string) {
		p.Repositories[0].Objects = append(p.Repositories[0].Objects, migrate.ObjectPlan{ID: changed, Application: "shop-web", Verb: migrate.Change, Fields: []string{".spec.replicas"}})
		p.Inputs.Objects["flux/flux-shop"][changed] = migrate.ObjectInputs{Rendered: "r", Live: "l", Change: change}
		p.Findings = append(p.Findings, migrate.Finding{Severity: migrate.Blocker, Code: "IMAGE_DIFFERS", Subject: "flux/flux-shop " + changed, Repository: "flux/flux-shop", Acceptable: true, Message: message})
	}
	secrets := func(p *migrate.Plan) {
		p.Repositories[0].Objects = append(p.Repositories[0].Objects, migrate.ObjectPlan{ID: "shop_kept__Secret", Verb: migrate.Adopt},
			migrate.ObjectPlan{ID: "shop_labels__Secret", Verb: migrate.Change, Fields: []string{".metadata.labels.a"}}, migrate.ObjectPlan{ID: "shop_made__Secret", Verb: migrate.Create},
			migrate.ObjectPlan{ID: "shop_token__Secret", Verb: migrate.Change, Fields: []string{".data.password"}})
	}
	for name, c := range map[string]struct {
		before        func(*migrate.Plan)
		change        func(*migrate.Plan)
		holds         bool
		state         string
		moved, taken  string
		unknown       string
		aboutTheWhole string
	}{
		"an accepted change from another value": {
			before: func(p *migrate.Plan) { accepted(p, "2 to 1", "m") }, change: func(p *migrate.Plan) { accepted(p, "20 to 1", "m") },
			state: "moved", moved: "values, to or from others than were reviewed (change ConfigMap/shop/db .spec.replicas)"},
		"an accepted finding that says something else": {
			before: func(p *migrate.Plan) { accepted(p, "c", "runs 1.1 and would run 1.0") }, change: func(p *migrate.Plan) { accepted(p, "c", "runs 1.1 and would run 0.9") },
			state: "moved", moved: "findings (new: blocker IMAGE_DIFFERS flux/flux-shop shop_db__ConfigMap: runs 1.1 and would run 0.9; no longer: blocker IMAGE_DIFFERS flux/flux-shop shop_db__ConfigMap: runs 1.1 and would run 1.0)"},
		"an accepted change as it was": {
			before: func(p *migrate.Plan) { accepted(p, "c", "m") }, change: func(p *migrate.Plan) { accepted(p, "c", "m") }, holds: true, state: "holds"},
		"a plan of before the values were noted": {
			before: func(p *migrate.Plan) { accepted(p, "", "m") }, change: func(p *migrate.Plan) { accepted(p, "c", "m") }, holds: true, state: "holds"},
		"nothing": {change: func(*migrate.Plan) {}, holds: true, state: "holds"},
		"a commit that plans to the same": {change: func(p *migrate.Plan) {
			p.Repositories[0].Commit = "bbbb"
			p.Inputs.Objects = map[string]map[string]migrate.ObjectInputs{"flux/flux-shop": {"shop_web_apps_Deployment": {Rendered: "r2", Live: "l2"}}}
		}, holds: true, state: "holds", taken: "the commit (aaaa, now bbbb); what Git says of Deployment/shop/web; the live form of Deployment/shop/web"},
		"a commit that may give a Secret other values": {before: func(p *migrate.Plan) { secrets(p) }, change: func(p *migrate.Plan) {
			secrets(p)
			p.Repositories[0].Commit = "bbbb"
		}, holds: true, state: "holds", taken: "the commit (aaaa, now bbbb); the values, perhaps others, that this commit gives to Secret/shop/made, Secret/shop/token .data.password: a plan keeps none of a Secret, so that they are not compared"},
		"Secrets of the same commit":  {before: func(p *migrate.Plan) { secrets(p) }, change: func(p *migrate.Plan) { secrets(p) }, holds: true, state: "holds"},
		"another version of the tool": {change: func(p *migrate.Plan) { p.Inputs.Tool = "v2" }, holds: true, state: "holds", taken: "the version of fluxover (v1, now v2)"},
		"another Kubernetes":          {change: func(p *migrate.Plan) { p.Inputs.Version = "v1.37.0" }, holds: true, state: "holds", taken: "the version of Kubernetes (v1.36.1, now v1.37.0)"},
		"a verb": {change: func(p *migrate.Plan) {
			p.Repositories[0].Objects = []migrate.ObjectPlan{{ID: "shop_web_apps_Deployment", Application: "shop-web", Verb: migrate.Restart, Fields: []string{".spec.template"}}}
		}, state: "moved", moved: "verbs (new: restart Deployment/shop/web .spec.template; no longer: adopt Deployment/shop/web)"},
		"the agent": {change: func(p *migrate.Plan) {
			p.Inputs.Agents = map[string]migrate.Fingerprint{"flux/flux-shop": {"image": "flux:2"}}
		}, state: "moved", moved: "image (flux:1, now flux:2)"},
		"a finding that holds it back": {change: func(p *migrate.Plan) {
			p.Repositories[0].Blocked = true
			p.Findings = []migrate.Finding{{Severity: migrate.Blocker, Code: "X", Subject: "flux/flux-shop", Repository: "flux/flux-shop"}}
		}, state: "blocked", moved: "findings (new: blocker X flux/flux-shop)"},
		"the agent is gone": {change: func(p *migrate.Plan) { p.Repositories = nil }, state: "moved", moved: "the agent is gone"},
		"agents that may not be looked for": {change: func(p *migrate.Plan) {
			p.Repositories, p.Findings = nil, []migrate.Finding{{Severity: migrate.Blocker, Code: "AGENTS_UNKNOWN", Message: "you may not list deployments.apps"}}
		}, state: "unknown", unknown: "you may not list deployments.apps"},
		"an agent that is gone, and something else that may not be read": {change: func(p *migrate.Plan) {
			p.Repositories, p.Findings = nil, []migrate.Finding{{Severity: migrate.Blocker, Code: "RBAC_MISSING", Message: "you may not list pods"}}
		}, state: "moved", moved: "the agent is gone", unknown: "you may not list pods"},
		"a binding that may not be read": {
			before: func(p *migrate.Plan) {
				p.Inputs.Agents["flux/flux-shop"]["ClusterRoleBinding/a"] = "ClusterRole/edit"
				p.Findings = []migrate.Finding{{Severity: migrate.Blocker, Code: "RBAC_MISSING", Message: "you may not list pods"}}
			}, change: func(p *migrate.Plan) {
				p.Findings = []migrate.Finding{{Severity: migrate.Blocker, Code: "RBAC_MISSING", Message: "you may not list pods"}, {Severity: migrate.Blocker, Code: "RBAC_MISSING", Message: "you may not list clusterrolebindings"}}
			}, state: "moved", moved: "ClusterRoleBinding/a (gone, was ClusterRole/edit)", unknown: "you may not list clusterrolebindings"},
		"another cluster":             {change: func(p *migrate.Plan) { p.Inputs.Cluster, p.Inputs.Server = "uid-2", "https://two" }, state: "holds", aboutTheWhole: "the cluster (https://one, uid-1, now https://two, uid-2)"},
		"a cluster that is not known": {change: func(p *migrate.Plan) { p.Inputs.Cluster = "" }, state: "holds", aboutTheWhole: "the cluster (https://one, uid-1, now not known)"},
		"a repository that came":      {change: func(p *migrate.Plan) { p.Repositories = append(p.Repositories, migrate.Repository{ID: "flux/new"}) }, state: "holds", aboutTheWhole: "repository flux/new (new: the plan does not hold it)"},
		"less proof":                  {change: func(p *migrate.Plan) { p.Proof = "offline" }, state: "holds", aboutTheWhole: "the proof (server, now offline)"},
		"another engine":              {change: func(p *migrate.Plan) { p.ClusterAgent.Args = []string{"--x"} }, state: "holds", aboutTheWhole: "the new agent (bundled, now bundled --x)"},
	} {
		t.Run(name, func(t *testing.T) {
			stored, now := reviewed(), reviewed()
			if c.before != nil {
				c.before(&stored)
			}
			c.change(&now)
			v, err := cutover.Verify(&stored, &now, nil)
			if err != nil {
				t.Fatal(err)
			}
			r := v.Repositories[0]
			if v.Holds != c.holds || string(r.State) != c.state || strings.Join(r.Moved, "; ") != c.moved || strings.Join(r.Taken, "; ") != c.taken || strings.Join(r.Unknown, "; ") != c.unknown || strings.Join(v.Moved, "; ") != c.aboutTheWhole {
				t.Errorf("got %+v", v)
			}
			var text bytes.Buffer
			if err := writeVerification(&text, v, "plan.json"); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text.String(), "plan.json holds: ") != c.holds || !strings.Contains(text.String(), c.unknown) || c.state == "unknown" && strings.Contains(text.String(), "plan again") {
				t.Errorf("it says %s", text.String())
			}
		})
	}
}

func TestVerifySaysInWhatACopiedSecretIsAnother(t *testing.T) {
	at := func(name string) migrate.Value {
		return migrate.Value{Secret: &migrate.SecretKey{Namespace: "flux", Name: name, Key: "identity"}}
	}
	const how = "how Secrets are copied, and who makes them anew (flux-system/shop: "
	for want, change := range map[string]func(*migrate.Credential){
		"":                   func(c *migrate.Credential) { c.OwnerWhy = "another reason" },
		how + "known_hosts)": func(c *migrate.Credential) { c.KnownHosts = "marked-host ssh-ed25519 AAAA" },
		how + "the kind (ssh, now basic) and where identity stands and where password stands and where username stands)": func(c *migrate.Credential) {
			c.Kind, c.From = "basic", map[string]migrate.Value{"username": {Literal: "marked-user"}, "password": {Argument: true}}
		},
		how + "where identity stands)":                                              func(c *migrate.Credential) { c.From = map[string]migrate.Value{"identity": at("other")} },
		how + "the owner (terraform, now sops))":                                    func(c *migrate.Credential) { c.Owner = migrate.OwnerSOPS },
		"the copied Secrets (new: flux-system/shop-2; no longer: flux-system/shop)": func(c *migrate.Credential) { c.To.Name = "shop-2" },
	} {
		stored, now := reviewed(), reviewed()
		stored.Credentials = []migrate.Credential{{
			To: migrate.ObjectRef{Namespace: "flux-system", Name: "shop"}, Kind: "ssh", From: map[string]migrate.Value{"identity": at("git")},
			KnownHosts: "h", Agent: "flux/flux-shop", Owner: migrate.OwnerTerraform, OwnerWhy: "w",
		}}
		now.Credentials = slices.Clone(stored.Credentials)
		change(&now.Credentials[0])
		v, err := cutover.Verify(&stored, &now, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(v.Repositories[0].Taken, "; "); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}

// wholePlan is one of which nothing is empty.
func wholePlan() migrate.Plan {
	object := func(kind, name string, spec map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "x/v1", "kind": kind, "spec": spec, "metadata": map[string]any{
			"namespace": "flux-system", "name": name, "labels": map[string]any{"label": "a"}, "annotations": map[string]any{"annotation": "a"},
		}}}
	}
	rules := []migrate.ScopedRules{{Namespace: "shop", Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, Resources: []string{"pods"}, APIGroups: []string{"apps"}}}}}
	value := migrate.Value{Secret: &migrate.SecretKey{Namespace: "flux", Name: "git", Key: "identity"}}
	p := reviewed()
	p.ClusterAgent = migrate.ClusterAgent{Engine: "bundled", Namespace: "flux-system", Release: "flux-agent", Args: []string{"--x"}}
	p.Inputs.Objects["flux/flux-shop"]["shop_web_apps_Deployment"] = migrate.ObjectInputs{Rendered: "r1", Live: "l1", Change: "c1", Replicas: "n1"}
	p.Sources = []*unstructured.Unstructured{object("GitRepository", "shop", map[string]any{"url": "https://git.example.com/shop"})}
	p.Credentials = []migrate.Credential{{To: migrate.ObjectRef{Namespace: "flux-system", Name: "shop"}, Kind: "ssh", From: map[string]migrate.Value{"identity": value}, KnownHosts: "h", Agent: "flux/flux-shop", Owner: migrate.OwnerTerraform, OwnerWhy: "w"}}
	p.Findings = []migrate.Finding{{Severity: migrate.Warning, Code: "X", Subject: "flux/flux-shop", Where: "w", Message: "m", Hint: "h", Repository: "flux/flux-shop"}}
	after := []migrate.Dependency{{Name: "flux/flux-base", Why: "w"}}
	p.Repositories = []migrate.Repository{{
		ID: "flux/flux-shop", Commit: "aaaa", Wave: 1, After: after, Sources: []migrate.ObjectRef{{Namespace: "flux-system", Name: "shop"}},
		Kustomizations: []*unstructured.Unstructured{object("Kustomization", "shop-web", map[string]any{"prune": true})},
		Supporting:     []*unstructured.Unstructured{object("ServiceAccount", "shop", map[string]any{})},
		Rights:         &migrate.Rights{From: "flux/flux", To: "flux-system/shop", Kept: rules, Lost: rules, Gained: rules, Needs: []migrate.ScopedKinds{{Namespace: "shop", Kinds: []string{"Pod"}}}},
		Applications:   []migrate.Application{{Name: "shop-web", Path: "./web", Source: "shop", Why: "w", DependsOn: []migrate.Dependency{{Name: "shop-base", Why: "w"}}}},
		Objects:        []migrate.ObjectPlan{{ID: "shop_web_apps_Deployment", Application: "shop-web", Verb: migrate.Change, Fields: []string{".spec.replicas"}, Why: "w"}},
		Adds:           []migrate.Addition{{Object: "shop_web_apps_Deployment", Type: "annotation", Key: "k", Value: "v", Why: "w"}},
	}}
	return p
}

// notVerified are the fields of a plan that may be others without a word, by the end
// of their paths.
var notVerified = map[string]string{
	".why": "words", ".ownerWhy": "words", ".message": "words, but for images", ".hint": "words", ".where": "words",
	".inputs.server": "an address of the same cluster", ".clusterAgent.namespace": "always the same", ".clusterAgent.release": "follows from the engine",
	".replicas": "part of what is rendered", ".acceptable": "follows from code and severity", ".blocked": "the state says it",
}

// What a plan holds, and so what its seal is over, is what was reviewed: each part
// that is another when it is planned again is named, or is known to be no part of it.
func TestEachPartOfAPlanThatIsAnotherNowIsNamed(t *testing.T) {
	stored := wholePlan()
	raw, err := json.Marshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	var content map[string]any
	if err := json.Unmarshal(raw, &content); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []string{"accepted", "seal", "apiVersion", "kind"} {
		delete(content, taken) // of the file, or what is verified is planned with it
	}
	delete(content["inputs"].(map[string]any), "options")
	seen := 0
	verify := func(path string) {
		seen++
		mutated, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		var now migrate.Plan
		if err := json.Unmarshal(mutated, &now); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		v, err := cutover.Verify(&stored, &now, nil)
		if err != nil {
			return // it says that the plan does not hold together
		}
		var said []string
		for _, r := range v.Repositories {
			said = append(append(said, r.Moved...), r.Taken...)
		}
		for end := range notVerified {
			if strings.HasSuffix("."+path, end) {
				return
			}
		}
		if len(said)+len(v.Moved) == 0 {
			t.Errorf("%s is another, and nothing says so", path)
		}
	}
	var walk func(path string, at any, put func(any))
	walk = func(path string, at any, put func(any)) {
		switch at := at.(type) {
		case map[string]any:
			if len(at) == 0 {
				return
			}
			for _, key := range slices.Sorted(maps.Keys(at)) {
				walk(strings.TrimPrefix(path+"."+key, "."), at[key], func(v any) { at[key] = v })
			}
		case []any:
			for i := range at {
				walk(fmt.Sprintf("%s[%d]", path, i), at[i], func(v any) { at[i] = v })
			}
		default:
			switch v := at.(type) {
			case string:
				put(v + "x")
			case float64:
				put(v + 1)
			case bool:
				put(!v)
			case nil:
				return
			}
			verify(path)
			put(at)
		}
	}
	walk("", content, nil)
	if seen < 60 {
		t.Errorf("only %d parts were looked at", seen)
	}
	for _, empty := range emptyFields("plan", reflect.ValueOf(stored)) {
		t.Errorf("%s is empty, so that nobody knows whether it is compared", empty)
	}
}

// emptyFields are those of the fields of a value of this project that have no
// content, less those that are not of a plan that is verified.
func emptyFields(path string, v reflect.Value) []string {
	var out []string
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return emptyFields(path, v.Elem())
		}
	case reflect.Struct:
		if !strings.HasSuffix(v.Type().PkgPath(), "fluxover/migrate") || v.Type() == reflect.TypeFor[migrate.Value]() { // one of its fields is set
			return nil
		}
		for i := range v.NumField() {
			name := path + "." + v.Type().Field(i).Name
			switch v.Type().Field(i).Name {
			case "Seal", "Accepted", "Options", "Blocked", "Acceptable":
				continue
			}
			if v.Field(i).IsZero() {
				out = append(out, name)
				continue
			}
			out = append(out, emptyFields(name, v.Field(i))...)
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, emptyFields(fmt.Sprintf("%s[%d]", path, i), v.Index(i))...)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			out = append(out, emptyFields(path+"."+key.String(), v.MapIndex(key))...)
		}
	}
	return out
}

func TestAPlanFileThatWasChangedIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	kubeconfig := nowhere(t)
	file := planFile(t, storedPlan("existing"))
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(raw, []byte(`"wave":2`), []byte(`"wave":1`), 1)
	if bytes.Equal(raw, edited) {
		t.Fatal("nothing was edited")
	}
	if err := os.WriteFile(file, edited, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"migrate", "--yes", file}, {"plan", "--verify", file}, {"rbac", "--for", "migrate", file}} {
		code, _, stderr := try(t, append(args, "--kubeconfig", kubeconfig)...)
		if text := strings.Join(strings.Fields(stderr), " "); code != exitUsage || !strings.Contains(text, "the plan was changed after it was made") || !strings.Contains(text, "nothing has changed") {
			t.Errorf("%q: exit code %d: %s", args, code, stderr)
		}
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{{"--out", "x"}, {"--emit", "x"}, {"--detailed-exitcode"}, {"--accept", "A=b"}, {"--repo", "flux/none"}} {
		if code, _, stderr := try(t, append(append([]string{"plan", "--verify", file}, more...), "--kubeconfig", kubeconfig)...); code != exitUsage {
			t.Errorf("%q: exit code %d: %s", more, code, stderr)
		}
	}
	if code, _, stderr := try(t, "plan", "--verify", file, "--kubeconfig", kubeconfig); code != exitFailed || !strings.Contains(stderr, "127.0.0.1:1") {
		t.Errorf("as it was made: exit code %d: %s", code, stderr)
	}
}

func TestAPlanFileIsReadAsItWasSealed(t *testing.T) {
	file := planFile(t, storedPlan("existing"))
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := openPlanFile(file)
	if err != nil {
		t.Fatal(err)
	}
	forged := append([]byte(`{"inputs": {"options": {"groupBy": "forged", "owners": {"*": "forged"}}}, "findings": [{"code": "FORGED"}],`), raw[bytes.IndexByte(raw, '{')+1:]...)
	if err := os.WriteFile(file, forged, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := openPlanFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("keys that stand twice change what is read (-want +got):\n%s", d)
	}
}

func TestAWrittenPlanIsSealed(t *testing.T) {
	plan := reviewed()
	if err := plan.SealUp(); err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/plan.json"
	if err := writePlanFile(file, plan); err != nil {
		t.Fatal(err)
	}
	read, err := openPlanFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(plan)
	b, _ := json.Marshal(read)
	if !bytes.Equal(a, b) {
		t.Errorf("written %s, read %s", a, b)
	}
}
