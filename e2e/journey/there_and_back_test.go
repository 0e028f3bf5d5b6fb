package journey

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// ownObjects are what a finished rollback may leave behind, by design: the
// closed journals and snapshots, the agent that was installed, and its CRDs.
func ownObjects(id string) bool {
	// The address of the agent's Service is an object too.
	for _, part := range []string{"fluxover-system", "flux-system", "fluxover-agent", "toolkit.fluxcd.io", "networking.k8s.io_IPAddress"} {
		if strings.Contains(id, part) {
			return true
		}
	}
	return false
}

// withoutOwn leaves out what fluxover keeps for itself.
func withoutOwn(dump auditor.Dump) auditor.Dump {
	out := auditor.Dump{}
	for id, content := range dump {
		if !ownObjects(id) {
			out[id] = content
		}
	}
	return out
}

// same fails the test if two dumps differ.
func same(t *testing.T, what string, before, after auditor.Dump) {
	t.Helper()
	differences := auditor.Diff(before, after)
	if len(differences) == 0 {
		return
	}
	var b bytes.Buffer
	if err := auditor.WriteDifferences(&b, differences); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if len(text) > 6000 {
		text = text[:6000] + "\n…"
	}
	t.Errorf("%s: %d objects differ:\n%s", what, len(differences), text)
}

// acceptFlags are the flags that accept findings, as they are printed.
var acceptFlags = regexp.MustCompile(`--accept '[^']+'`)

// shellWords are the words that a shell makes of a line.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "set -- "+line+"\nprintf '%s\\n' \"$@\"").Output()
	if err != nil {
		t.Fatalf("the words of %q: %v", line, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func TestAFleetIsHandedOverAndBackAndOverAgain(t *testing.T) {
	beside(t)
	w := up(t, laboratory.Options{Teams: 3, Apps: 2, Seed: 1})
	before := w.dump()

	// Reading changes nothing, and says what needs a decision; what is printed to take it
	// and to go on is what works, word for word.
	w.run(0, "discover")
	file := filepath.Join(t.TempDir(), "the plan.json")
	blocked := w.run(3, "plan", "--out", file)
	if strings.Contains(blocked.stderr, "to carry it out") {
		t.Errorf("a plan that is held back is to be carried out:\n%s", blocked.stderr)
	}
	refused := w.run(3, "migrate", file, "--yes", "--image", image)
	flags := acceptFlags.FindAllString(blocked.out, -1)
	if anew := acceptFlags.FindAllString(refused.stderr, -1); len(flags) == 0 || !slices.Contains(anew, flags[0]) {
		t.Fatalf("plan says to accept with %q, and migrate of its file with %q", flags, anew)
	}
	planned := w.run(0, append([]string{"plan", "--out", file}, shellWords(t, strings.Join(flags, " "))...)...)
	_, next, _ := strings.Cut(planned.stderr, "to carry it out: fluxover ")
	next, _, _ = strings.Cut(next, "\n")
	handOver := shellWords(t, strings.Replace(next, "IMAGE", image, 1))
	w.run(2, append([]string{"plan", "--detailed-exitcode"}, acceptAll...)...)
	same(t, "after discover and plan", before, w.dump())
	plan := w.plan()

	since := time.Now()
	w.run(0, append(handOver, "--yes")...)
	for id, phase := range w.phases() {
		if phase != "settled" {
			t.Errorf("%s is %s, want settled", id, phase)
		}
	}
	if n := len(w.phases()); n != 3 {
		t.Errorf("status names %d repositories, want 3", n)
	}
	status, err := auditor.ParseStatus([]byte(w.run(0, "status", "-o", "json").out))
	if err != nil {
		t.Fatal(err)
	}
	report := w.pass(auditor.Options{Since: since, Plan: plan, Status: status, MaxGap: gapLimit()})
	if len(report.Handovers) != 3 {
		t.Errorf("the auditor saw %d repositories handed over, want 3", len(report.Handovers))
	}

	// The one agent brings commits, which plan no more: nothing is left to do.
	for _, team := range w.Teams[:2] {
		w.arrives(team, w.commit(team))
	}
	w.run(0, "plan", "--detailed-exitcode")

	// Back: one, then the rest. Old agents sync what came meanwhile.
	one := w.Teams[0]
	w.run(0, "rollback", "--yes", "--repo", one.AgentNamespace+"/"+one.Release)
	if err := w.WaitSynced(t.Context(), one); err != nil {
		t.Errorf("after the rollback of one: %v", err)
	}
	if phase := w.phases()[w.Teams[1].AgentNamespace+"/"+w.Teams[1].Release]; phase != "settled" {
		t.Errorf("the rollback of one made another %s", phase)
	}
	w.run(2, append([]string{"plan", "--detailed-exitcode"}, acceptAll...)...)
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

	// And over again.
	since = time.Now()
	w.migrate()
	w.pass(auditor.Options{Since: since, MaxGap: gapLimit()})
}

// becomes waits until the cluster's content, as view shows it, is as it was,
// and fails the test with the differences when it does not within a minute:
// Deployments take a moment to have their Pods again.
func (w *world) becomes(before auditor.Dump, what string, view func(auditor.Dump) auditor.Dump) {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		now := view(w.dump())
		if len(auditor.Diff(before, now)) == 0 {
			return
		}
		if time.Now().After(deadline) {
			same(w.t, what, before, now)
			return
		}
		select {
		case <-w.t.Context().Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func TestARollbackWithoutLaterCommitsLeavesTheClusterAsItWas(t *testing.T) {
	beside(t)
	w := up(t, laboratory.Options{Teams: 2, Apps: 2, Seed: 2, SyncInterval: 10 * time.Minute})
	before := withoutOwn(w.dump())
	w.migrate()
	if len(auditor.Diff(before, withoutOwn(w.dump()))) == 0 {
		t.Fatal("the migration changed nothing, so the comparison shows nothing")
	}
	w.run(0, "rollback", "--yes")
	w.becomes(before, "after the rollback", withoutOwn)
}

func TestEncryptedFilesAreCarriedOverAndOutputHoldsNoSecret(t *testing.T) {
	beside(t)
	w := up(t, laboratory.Options{Teams: 4, Apps: 1, Seed: 3})
	sealed := []*sealedTeam{w.encrypts(w.Teams[0], "pgp"), w.encrypts(w.Teams[1], "age")}
	secrets := w.secretValues()
	if len(secrets) < 6 {
		t.Fatalf("only %d secret values in the fleet", len(secrets))
	}
	for _, s := range sealed {
		// A later value begins with it.
		secrets[s.Name+", in plain text"], secrets[s.Name+", encoded"] = s.value, base64.StdEncoding.EncodeToString([]byte(s.value))[:20]
	}
	emitted := t.TempDir()
	saved := filepath.Join(emitted, "inventory.json")
	var seen bytes.Buffer
	run := func(code int, args ...string) string {
		t.Helper()
		r := w.run(code, args...)
		seen.WriteString(r.out + r.stderr)
		return r.out
	}
	run(0, "discover", "-o", "json")
	run(0, "discover", "--save", saved)
	run(0, planArgs("-o", "json", "--emit", emitted, "--out", filepath.Join(emitted, "plan.json"))...)
	if text := run(0, planArgs()...); strings.Contains(text, "SOPS_") {
		t.Errorf("the plan holds encrypted files back:\n%s", text)
	}
	if text := run(3, planArgs("--inventory", saved)...); !strings.Contains(text, "SOPS_NOT_SAVED") {
		t.Errorf("without the keys, the plan goes on:\n%s", text)
	}
	run(0, append([]string{"diff", "--all", "-o", "yaml"}, acceptAll...)...)
	run(0, migrateArgs()...)
	run(0, "status", "-o", "json")
	for _, s := range sealed {
		w.checkSealed(s)
	}
	run(0, "rollback", "--plan")
	control := w.kubectl("get", "events,kustomizations.kustomize.toolkit.fluxcd.io,gitrepositories.source.toolkit.fluxcd.io", "-A", "-o", "yaml")
	run(0, "rollback", "--yes")
	for _, s := range sealed {
		w.checkSealedBack(s)
	}
	err := filepath.Walk(emitted, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		seen.Write(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"output": seen.String(), "ConfigMaps": w.configMaps(), "the new agent's log": w.agentLog(), "events and status": control} {
		if len(text) < 100 {
			t.Errorf("%s: only %d bytes were searched", where, len(text))
		}
		for name, value := range secrets {
			if strings.Contains(text, value) {
				t.Errorf("%s holds the value of %s", where, name)
			}
		}
	}
}

func TestOperatorsAreToldWhatIsSo(t *testing.T) {
	beside(t)
	lab := up(t, laboratory.Options{Teams: 2, Apps: 1, Seed: 6})
	for _, part := range []struct {
		name string
		test func(*world)
	}{
		{"JSON is what the contract says", (*world).testContract},
		{"what moved since planning is refused and named", (*world).testMovedSincePlanning},
		{"a second operator is refused by name", (*world).testSecondOperator},
		{"JSON is what the contract says of what was handed over", (*world).testContractAfterwards},
	} {
		t.Run(part.name, func(t *testing.T) {
			part.test(&world{Lab: lab.Lab, t: t, cache: lab.cache})
		})
	}
}

func (w *world) testContract() {
	for _, c := range []struct {
		args   []string
		code   int
		kind   string
		schema string
		keys   []string
	}{
		{[]string{"discover", "-o", "json"}, 0, "Inventory", "inventory", []string{"agents", "findings"}},
		{append([]string{"plan", "-o", "json"}, acceptAll...), 0, "Plan", "plan", []string{"inputs", "proof", "clusterAgent", "sources", "credentials", "accepted", "repositories", "findings"}},
		{append([]string{"diff", "-o", "json", "--all"}, acceptAll...), 0, "Diff", "diff", []string{"proof", "objects", "differences"}},
		{[]string{"status", "-o", "json"}, 0, "Status", "status", []string{"paused", "repositories"}},
		{[]string{"rollback", "--plan", "-o", "json"}, 0, "RollbackPlan", "rollback-plan", []string{"repositories"}},
	} {
		out := w.run(c.code, c.args...).out
		w.matches(c.schema, out)
		var doc map[string]any
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			w.t.Fatalf("%v: %v", c.args, err)
		}
		if doc["apiVersion"] != "fluxover.dev/v1" || doc["kind"] != c.kind {
			w.t.Errorf("%v: apiVersion %v, kind %v", c.args, doc["apiVersion"], doc["kind"])
		}
		for _, key := range c.keys {
			if v, ok := doc[key]; !ok || v == nil {
				w.t.Errorf("%v: %q is absent or null", c.args, key)
			}
		}
	}
}

func (w *world) testMovedSincePlanning() {
	file := filepath.Join(w.t.TempDir(), "plan.json")
	w.run(0, planArgs("--out", file)...)
	team := w.Teams[0]
	refused := func(parts ...string) {
		w.t.Helper()
		w.unchanged(func() {
			w.answers(answer{1, append(parts, "moved since the plan was made", id(team)+":", "nothing has changed", "plan again"), []string{id(w.Teams[1]) + ":"}, 0},
				"migrate", file, "--yes", "--image", image)
		})
	}
	upgrade := func(pollInterval string) {
		w.t.Helper()
		team.Values["git"].(map[string]any)["pollInterval"] = pollInterval
		if err := fleet.Upgrade(w.t.Context(), w.ControlPlane.Config(), w.Git, team); err != nil {
			w.t.Fatal(err)
		}
		w.rolledOut(team)
	}
	planned := team.Values["git"].(map[string]any)["pollInterval"].(string)

	// Another right of the account, and fewer rules of a role that it has.
	w.kubectl("create", "clusterrolebinding", "more-for-flux", "--clusterrole=cluster-admin", "--serviceaccount="+team.AgentNamespace+":"+team.Release)
	refused("ClusterRoleBinding/more-for-flux (new: ClusterRole/cluster-admin: * */*")
	w.kubectl("delete", "clusterrolebinding", "more-for-flux")
	const all = `{"nonResourceURLs":["*"],"verbs":["*"]}`
	w.kubectl("patch", "clusterrole", team.Release, "--type=json", "-p", `[{"op":"test","path":"/rules/1","value":`+all+`},{"op":"remove","path":"/rules/1"}]`)
	refused("ClusterRoleBinding/" + team.Release + " (ClusterRole/" + team.Release + ": * */*; * *, now ClusterRole/" + team.Release + ": * */*)")
	w.kubectl("patch", "clusterrole", team.Release, "--type=json", "-p", `[{"op":"add","path":"/rules/1","value":`+all+`}]`)

	// Another value of the release.
	upgrade("7s")
	refused("--git-poll-interval (" + planned + ", now 7s)")
	upgrade(planned)

	// An argument that somebody gave the Deployment by hand.
	const args = "/spec/template/spec/containers/0/args"
	patch := func(patch string) {
		w.kubectl("-n", team.AgentNamespace, "patch", "deployment", team.Release, "--type=json", "-p", patch)
		w.rolledOut(team)
	}
	patch(`[{"op":"add","path":"` + args + `/0","value":"--sync-garbage-collection-dry"}]`)
	refused("--sync-garbage-collection-dry (new: ")
	if phase := w.phases()[id(team)]; phase == "settled" {
		w.t.Errorf("%s was migrated although it had moved", id(team))
	}
	// The other one is as planned; it is not held back for ever.
	other := id(w.Teams[1])
	w.run(0, "migrate", file, "--yes", "--image", image, "--repo", other)
	if phase := w.phases()[other]; phase != "settled" {
		w.t.Errorf("%s is %s", other, phase)
	}
	patch(`[{"op":"test","path":"` + args + `/0","value":"--sync-garbage-collection-dry"},{"op":"remove","path":"` + args + `/0"}]`)
}

// rolledOut waits until one Pod of a team's old agent is left, the newest.
func (w *world) rolledOut(team fleet.Team) {
	w.t.Helper()
	w.kubectl("-n", team.AgentNamespace, "rollout", "status", "deployment", team.Release, "--timeout=2m")
	w.eventually(time.Minute, "one Pod of "+id(team), func(context.Context) bool {
		return len(strings.Fields(w.kubectl("-n", team.AgentNamespace, "get", "pods", "-o", "name", "-l", "release="+team.Release))) == 1
	})
}

func (w *world) testSecondOperator() {
	first := w.command(w.t.Context(), nil, append([]string{"migrate", "--yes", "--image", image, "--hold", "30s"}, acceptAll...)...)
	var out bytes.Buffer
	first.Stdout, first.Stderr = &out, &out
	if err := first.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.eventually(2*time.Minute, "the first operator at work", func(context.Context) bool {
		return w.phases()[id(w.Teams[0])] == "holding"
	})
	host, err := os.Hostname()
	if err != nil {
		w.t.Fatal(err)
	}
	w.answers(answer{1, []string{"another operator is at work in this cluster", "@" + host + " (fluxover migrate) since 20", "if that one is dead, try again after 20",
		"nothing has changed", `"fluxover status" shows how far it is`}, nil, 0}, migrateArgs()...)
	if err := first.Wait(); err != nil {
		w.t.Errorf("the first operator: %v\n%s", err, out.String())
	}
}

func (w *world) testContractAfterwards() {
	status := w.run(0, "status", "-o", "json").out
	w.matches("status", status)
	// The finding NO_CAPACITOR.
	if !strings.Contains(status, "stand in the cluster only, in no repository") {
		w.t.Errorf("without --capacitor nothing says that the objects stand in no repository:\n%s", status)
	}
	w.matches("rollback-plan", w.run(0, "rollback", "--plan", "-o", "json").out)
}

// matches demands that what was printed is as its published schema says.
func (w *world) matches(name, out string) {
	w.t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/schemas/" + name + ".schema.json")
	if err != nil {
		w.t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	if err := schema.Validate(value); err != nil {
		w.t.Errorf("%s is not what docs/schemas says: %v", name, err)
	}
}
