package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	for name, c := range map[string]struct {
		before        func(*migrate.Plan)
		change        func(*migrate.Plan)
		holds         bool
		state         string
		moved, taken  string
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
		"the agent is gone":           {change: func(p *migrate.Plan) { p.Repositories = nil }, state: "moved", moved: "the agent is gone"},
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
			if v.Holds != c.holds || string(r.State) != c.state || strings.Join(r.Moved, "; ") != c.moved || strings.Join(r.Taken, "; ") != c.taken || strings.Join(v.Moved, "; ") != c.aboutTheWhole {
				t.Errorf("got %+v", v)
			}
			var text bytes.Buffer
			if err := writeVerification(&text, v, "plan.json"); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text.String(), "plan.json holds: ") != c.holds {
				t.Errorf("it says %s", text.String())
			}
		})
	}
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
