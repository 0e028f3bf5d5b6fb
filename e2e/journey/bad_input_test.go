package journey

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/gitserver"
	"github.com/fluxover/fluxover/e2e/laboratory"
	"github.com/fluxover/fluxover/e2e/machine"
)

// answer is what the program must say to bad input.
type answer struct {
	code int
	// says must all be in the output, whatever its line breaks.
	says []string
	// silent must not be in it.
	silent []string
	// within bounds the run; 0 means a minute.
	within time.Duration
}

// answers runs the program and compares.
func (w *world) answers(want answer, args ...string) result {
	w.t.Helper()
	begun := time.Now()
	r := w.try(nil, args...)
	if r.code != want.code {
		w.t.Errorf("fluxover %s: exit code %d, want %d", strings.Join(args, " "), r.code, want.code)
	}
	limit := want.within
	if limit == 0 {
		limit = time.Minute
	}
	if took := time.Since(begun); took > limit {
		w.t.Errorf("fluxover %s: took %s, want less than %s", strings.Join(args, " "), took, limit)
	}
	text := words(r.out + r.stderr)
	for _, part := range want.says {
		if !strings.Contains(text, words(part)) {
			w.t.Errorf("fluxover %s: does not say %q", strings.Join(args, " "), part)
		}
	}
	for _, part := range want.silent {
		if strings.Contains(text, part) {
			w.t.Errorf("fluxover %s: says %q", strings.Join(args, " "), part)
		}
	}
	if w.t.Failed() || testing.Verbose() {
		w.t.Logf("fluxover %s (%s, exit code %d):\n%s%s", strings.Join(args, " "), time.Since(begun).Round(time.Millisecond), r.code, r.out, r.stderr)
	}
	return r
}

// words is a text on one line.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// unchanged runs do and demands the same cluster content after it as before.
func (w *world) unchanged(do func()) {
	w.t.Helper()
	before := w.dump()
	do()
	same(w.t, "after "+w.t.Name(), before, w.dump())
}

// commitFiles pushes files to a team's branch.
func (w *world) commitFiles(team fleet.Team, message string, files map[string][]byte) string {
	w.t.Helper()
	sha, err := w.Git.Commit(w.t.Context(), team.Repo, team.Branch, message, files)
	if err != nil {
		w.t.Fatal(err)
	}
	return sha
}

// synced waits for the old agents of teams.
func (w *world) synced(teams ...fleet.Team) {
	w.t.Helper()
	if err := w.WaitSynced(w.t.Context(), teams...); err != nil {
		w.t.Fatal(err)
	}
}

// fileOf is a manifest of a team that holds the kind.
func (w *world) fileOf(team fleet.Team, kind string) (path string, content []byte) {
	w.t.Helper()
	for _, path := range slices.Sorted(maps.Keys(team.Files)) {
		if strings.HasPrefix(path, team.Path+"/") && bytes.Contains(team.Files[path], []byte("kind: "+kind+"\n")) {
			return path, team.Files[path]
		}
	}
	w.t.Fatalf("%s has no %s", team.Name, kind)
	return "", nil
}

func planArgs(more ...string) []string {
	return append(append([]string{"plan"}, acceptAll...), more...)
}

func migrateArgs(more ...string) []string {
	return append(append([]string{"migrate", "--yes", "--image", image}, acceptAll...), more...)
}

func TestBadInputIsNamedWithItsRemedyAndChangesNothing(t *testing.T) {
	beside(t)
	var stuck atomic.Value // the prefix of the names of Pods that do not end
	stuck.Store("")
	lab := up(t, laboratory.Options{Teams: 4, Apps: 2, Seed: 8, SyncInterval: 20 * time.Minute, Stuck: func(_, pod string) bool {
		prefix := stuck.Load().(string)
		return prefix != "" && strings.HasPrefix(pod, prefix)
	}})
	good, http, third, last := lab.Teams[0], lab.Teams[1], lab.Teams[2], lab.Teams[3]
	if !good.SSH || http.SSH {
		t.Fatal("the fleet's first teams are not one with SSH and one with HTTP")
	}
	for _, c := range []struct {
		name string
		test func(*world)
	}{
		{"wrong usage is told before anything is asked", (*world).testWrongUsage},
		{"no cluster is said at once, with what was tried", (*world).testNoCluster},
		{"a lack of rights is a finding, and migrate refuses", (*world).testLackOfRights},
		{"a corrupt Helm release holds its repository back", func(w *world) { w.testCorruptRelease(last) }},
		{"a repository that cannot be read is held back, and says why", func(w *world) { w.testUnreadableRepository(good, http) }},
		{"a manifest that does not parse is named by file", func(w *world) { w.testBadManifest(third) }},
		{"two agents that claim one object are both held back", func(w *world) { w.testClaimedTwice(http, third) }},
		{"a commit that changes what will happen holds back its repository only", func(w *world) { w.testCommitAfterPlan(last, http) }},
		{"an interrupted migration exits 130 and goes on", func(w *world) { w.testInterrupt(third) }},
		{"a Pod that does not end fails its repository only, which is put back", func(w *world) { w.testStuckPod(last, good, &stuck) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(&world{Lab: lab.Lab, t: t, cache: lab.cache})
		})
	}
}

func (w *world) testWrongUsage() {
	dir := w.t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			w.t.Fatal(err)
		}
		return path
	}
	stored := filepath.Join(dir, "plan.json")
	w.run(0, planArgs("--out", stored)...)
	raw, err := os.ReadFile(stored)
	if err != nil {
		w.t.Fatal(err)
	}
	var plan map[string]any
	if err := json.Unmarshal(raw, &plan); err != nil {
		w.t.Fatal(err)
	}
	changed := func(change func(map[string]any)) map[string]any {
		var copied map[string]any
		if err := json.Unmarshal(raw, &copied); err != nil {
			w.t.Fatal(err)
		}
		change(copied)
		return copied
	}
	written := func(name string, plan map[string]any) string {
		out, err := json.Marshal(plan)
		if err != nil {
			w.t.Fatal(err)
		}
		return file(name, string(out))
	}
	// As if it had been made so: the seal is a hash over all but itself.
	sealed := func(plan map[string]any) map[string]any {
		delete(plan, "seal")
		out, err := json.Marshal(plan)
		if err != nil {
			w.t.Fatal(err)
		}
		plan["seal"] = fmt.Sprintf("sha256:%x", sha256.Sum256(out))
		return plan
	}
	offline := func(p map[string]any) { p["proof"] = "offline" }
	foreign := func(p map[string]any) {
		p["inputs"].(map[string]any)["cluster"] = "another-uid"
		p["inputs"].(map[string]any)["server"] = "https://other.example.com"
	}
	w.unchanged(func() {
		for _, c := range []struct {
			args []string
			want answer
		}{
			{[]string{"nosuch"}, answer{64, []string{`no command "nosuch"`, "--help"}, nil, 0}},
			{[]string{"discover", "--nosuch"}, answer{64, []string{"--nosuch", "--help"}, nil, 0}},
			{[]string{"discover", "extra"}, answer{64, []string{`"extra"`}, nil, 0}},
			{[]string{"discover", "-o", "html"}, answer{64, []string{"-o html", "text, json, yaml"}, nil, 0}},
			{[]string{"plan", "--accept", "CLUSTER_ADMIN"}, answer{64, []string{"--accept CLUSTER_ADMIN", "CODE=SUBJECT"}, nil, 0}},
			{[]string{"plan", "--group-by", "team"}, answer{64, []string{"--group-by team"}, nil, 0}},
			{[]string{"plan", "--wave-size", "-1"}, answer{64, []string{"--wave-size -1"}, nil, 0}},
			{[]string{"plan", "--decisions", file("d.yaml", "- code: X\n")}, answer{64, []string{"d.yaml", "needs code, subject and reason"}, nil, 0}},
			{planArgs("--repo", "flux/nosuch"), answer{3, []string{"UNKNOWN_REPOSITORY flux/nosuch", "fluxover discover"}, nil, 0}},
			{[]string{"migrate", "--yes"}, answer{64, []string{"--image is needed"}, nil, 0}},
			{migrateArgs("--max-parallel", "0"), answer{64, []string{"--max-parallel"}, nil, 0}},
			{migrateArgs("--hold", "5"), answer{64, []string{"--hold"}, nil, 0}},
			{migrateArgs("--wait-old-pod", "0s"), answer{64, []string{"--wait-old-pod"}, nil, 0}},
			{migrateArgs("--wait-sync", "-1s"), answer{64, []string{"--wait-sync"}, nil, 0}},
			{migrateArgs("--on-failure", "panic"), answer{64, []string{"--on-failure panic", "stop, continue or rollback"}, nil, 0}},
			{[]string{"migrate", "--image", image, stored}, answer{64, []string{"--yes"}, nil, 0}},
			{[]string{"migrate", "--yes", "--image", image, filepath.Join(dir, "absent.json")}, answer{64, []string{"absent.json", "no such file"}, nil, 0}},
			{[]string{"migrate", "--yes", "--image", image, file("half.json", string(raw[:len(raw)/2]))}, answer{64, []string{"half.json", "fluxover plan --out"}, nil, 0}},
			{[]string{"migrate", "--yes", "--image", image, file("status.json", `{"apiVersion":"fluxover.dev/v1","kind":"Status"}`)}, answer{64, []string{"status.json", "Status"}, nil, 0}},
			{[]string{"migrate", "--yes", "--image", image, written("edited.json", changed(foreign))}, answer{64, []string{"edited.json", "the plan was changed after it was made", "nothing has changed"}, nil, 0}},
			{[]string{"migrate", "--yes", "--image", image, written("offline.json", sealed(changed(offline)))}, answer{64, []string{"proved offline"}, nil, 0}},
			{[]string{"migrate", "--yes", "--image", image, written("foreign.json", sealed(changed(foreign)))}, answer{1, []string{"another cluster", "https://other.example.com", w.ControlPlane.Server, "nothing has changed"}, nil, 0}},
			{[]string{"rollback", "--yes", "--repo", "flux/nosuch"}, answer{1, []string{"flux/nosuch"}, nil, 0}},
		} {
			w.answers(c.want, c.args...)
		}
	})
}

// kubeconfig writes a kubeconfig for the laboratory with a token.
func (w *world) kubeconfig(server, token string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "kubeconfig")
	content := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: somebody, user: {token: %q}}]
contexts: [{name: oncall, context: {cluster: lab, user: somebody}}]
current-context: oncall
`, server, w.ControlPlane.CAFile, token)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) testNoCluster() {
	// A server that takes connections and never answers.
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer mute.Close()
	closed, err := machine.FreeAddress()
	if err != nil {
		w.t.Fatal(err)
	}
	gone := "https://" + closed
	commands := [][]string{{"discover"}, {"plan"}, {"diff"}, {"status"}, {"pause"}, {"rollback", "--yes"}, migrateArgs()}
	for _, args := range commands {
		w.answers(answer{1, []string{gone, "connection refused", "nothing has changed", "--server", "check that the address is right"}, nil, 20 * time.Second},
			append(args, "--server", gone)...)
	}
	hanging := "https://" + mute.Addr().String()
	w.answers(answer{1, []string{"no answer from " + hanging, "nothing has changed", "oncall"}, nil, 40 * time.Second},
		"status", "--kubeconfig", w.kubeconfig(hanging, "any"))
	absent := filepath.Join(w.t.TempDir(), "absent")
	w.answers(answer{1, []string{absent, "no such file", "nothing has changed", "--kubeconfig"}, nil, 0}, "discover", "--kubeconfig", absent)
	w.answers(answer{1, []string{`"nosuch"`, "--context"}, nil, 0}, "discover", "--context", "nosuch")
	const token = "not-a-token-of-this-cluster"
	refused := w.kubeconfig(w.ControlPlane.Server, token)
	for _, args := range commands {
		w.answers(answer{1, []string{w.ControlPlane.Server, "does not accept the credentials", `context "oncall" of ` + refused, "renew the token", "nothing has changed"}, []string{token}, 0},
			append(args, "--kubeconfig", refused)...)
	}
	nowhere := w.try([]string{"KUBECONFIG=" + absent}, "discover")
	if text := words(nowhere.stderr); nowhere.code != 1 || !strings.Contains(text, absent) || !strings.Contains(text, "KUBECONFIG") {
		w.t.Errorf("without a kubeconfig: exit code %d, says %q", nowhere.code, text)
	}
}

func (w *world) testLackOfRights() {
	stored := filepath.Join(w.t.TempDir(), "plan.json")
	w.run(0, planArgs("--out", stored)...)
	w.kubectl("create", "clusterrole", "reader", "--verb=get,list,watch", "--resource=*.*")
	w.kubectl("create", "clusterrolebinding", "reader", "--clusterrole=reader", "--serviceaccount=default:reader")
	w.kubectl("create", "serviceaccount", "-n", "default", "reader")
	w.kubectl("create", "clusterrolebinding", "narrow", "--clusterrole=view", "--serviceaccount=default:narrow")
	w.kubectl("create", "serviceaccount", "-n", "default", "narrow")
	defer func() {
		w.kubectl("delete", "clusterrole/reader", "clusterrolebinding/reader", "clusterrolebinding/narrow")
		w.kubectl("delete", "-n", "default", "serviceaccount/reader", "serviceaccount/narrow")
	}()
	as := func(account string) string {
		token, err := w.kube().CoreV1().ServiceAccounts("default").CreateToken(w.t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		return w.kubeconfig(w.ControlPlane.Server, token.Status.Token)
	}
	first := w.Teams[0]
	impersonate := "you may not impersonate ServiceAccount " + first.AgentNamespace + "/"
	w.unchanged(func() {
		// A kubeconfig of its own and --as must come to the same.
		for _, who := range [][]string{{"--kubeconfig", as("reader")}, {"--as", "system:serviceaccount:default:reader"}} {
			with := func(args []string) []string { return append(args, who...) }
			w.answers(answer{0, []string{"4 Flux v1 agents"}, []string{"RBAC_MISSING"}, 0}, with([]string{"discover"})...)
			w.answers(answer{3, []string{"proof offline", "RBAC_MISSING", impersonate, "4 repositories of 4 held back", "--as"}, []string{"every object was tried", "DRY_RUN_REFUSED"}, 0}, with(planArgs())...)
			w.answers(answer{3, []string{"not proven: " + impersonate, "not all of these could be compared, so this is less than the whole difference: ", id(first) + " ("}, nil, 0}, with([]string{"diff"})...)
			w.answers(answer{3, []string{impersonate, "no repository can be migrated", "nothing has changed"}, nil, 0}, with(migrateArgs())...)
			w.answers(answer{3, []string{"you lack rights", "create namespaces", "nothing has changed", "--as"}, nil, 0}, with([]string{"migrate", stored, "--yes", "--image", image})...)
			w.answers(answer{1, []string{"no migration was begun in this cluster: there is nothing to pause", "nothing has changed"}, nil, 0}, with([]string{"pause"})...)
		}
		narrow := as("narrow")
		w.answers(answer{0, []string{"RBAC_MISSING", "you may not list secrets in namespace flux", "you may not list clusterrolebindings, so", "have the right granted"},
			[]string{"CREDENTIAL_MISSING", "fluxover rbac"}, 0}, "discover", "--kubeconfig", narrow)
		w.answers(answer{3, []string{"RBAC_MISSING", "proof offline"}, []string{"every object was tried"}, 0}, planArgs("--kubeconfig", narrow)...)
		w.answers(answer{3, []string{"what these hold is not known", id(first)}, nil, 0}, "diff", "--kubeconfig", narrow)
		w.answers(answer{3, []string{"no repository can be migrated", "nothing has changed"}, nil, 0}, migrateArgs("--kubeconfig", narrow)...)
		// Nobody may do anything; no answer may look like an empty cluster.
		w.answers(answer{0, []string{"you may not list deployments.apps in all namespaces, so this is unknown: which Flux v1 agents there are"}, nil, 0}, "discover", "--as", "nobody")
		w.answers(answer{3, []string{"RBAC_MISSING"}, nil, 0}, planArgs("--as", "nobody")...)
		w.answers(answer{3, []string{"no repository to compare"}, nil, 0}, "diff", "--as", "nobody")
		w.answers(answer{1, []string{"nobody", "have this right granted"}, nil, 0}, "rollback", "--yes", "--as", "nobody")
		w.answers(answer{1, []string{"nobody", "have this right granted"}, nil, 0}, "status", "--as", "nobody")
	})
}

func (w *world) testCorruptRelease(team fleet.Team) {
	secret := "sh.helm.release.v1." + team.Release + ".v1"
	payload := w.kubectl("-n", team.AgentNamespace, "get", "secret", secret, "-o", "jsonpath={.data.release}")
	set := func(value string) {
		w.kubectl("-n", team.AgentNamespace, "patch", "secret", secret, "--type=merge", "-p", fmt.Sprintf(`{"data":{"release":%q}}`, value))
	}
	defer set(payload)
	for _, corrupt := range []string{"Z2FyYmFnZQ==", payload[:len(payload)/2/4*4], ""} {
		set(corrupt)
		w.unchanged(func() {
			says := []string{"HELM_RELEASE_CORRUPT " + id(team), "Secret/" + team.AgentNamespace + "/" + secret, "helm rollback"}
			w.answers(answer{0, says, nil, 0}, "discover")
			w.answers(answer{3, append(says, "1 repository of 4 held back"), nil, 0}, planArgs()...)
			w.answers(answer{3, append(says, "no repository can be migrated", "nothing has changed"), nil, 0}, migrateArgs("--repo", id(team))...)
		})
	}
	// It holds back nobody else, though it is in the first wave.
	w.answers(answer{3, []string{"HELM_RELEASE_CORRUPT " + id(team), "held back"}, nil, 5 * time.Minute}, migrateArgs()...)
	for repository, phase := range w.phases() {
		if (repository == id(team)) != (phase == "blocked") || repository != id(team) && phase != "settled" {
			w.t.Errorf("%s is %s", repository, phase)
		}
	}
	w.back()
}

func (w *world) testUnreadableRepository(ssh, http fleet.Team) {
	held := func(team fleet.Team, code string, more ...string) {
		w.t.Helper()
		w.unchanged(func() {
			says := append([]string{code + " " + id(team), "hint:"}, more...)
			w.answers(answer{3, append(says, "1 repository of 4 held back"), []string{gitPassword}, 0}, planArgs()...)
			w.answers(answer{3, append(says, "no repository can be migrated", "nothing has changed"), []string{gitPassword}, 0}, migrateArgs("--repo", id(team))...)
		})
	}
	for _, team := range []fleet.Team{ssh, http} {
		for _, fault := range []gitserver.Fault{gitserver.Refuse, gitserver.InternalError} {
			if err := w.Git.Fail(team.Repo, fault); err != nil {
				w.t.Fatal(err)
			}
			held(team, "GIT_UNREADABLE", team.Repo, "make the repository reachable")
		}
		if err := w.Git.Fail(team.Repo, gitserver.None); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, c := range []struct {
		team        fleet.Team
		secret, key string
		value       string
	}{
		{ssh, ssh.KeySecret(), "identity", "Z2FyYmFnZQ=="},
		{http, http.CredentialsSecret(), "GIT_AUTHKEY", "d3Jvbmc="},
	} {
		right := w.kubectl("-n", c.team.AgentNamespace, "get", "secret", c.secret, "-o", "jsonpath={.data."+c.key+"}")
		set := func(value string) {
			w.kubectl("-n", c.team.AgentNamespace, "patch", "secret", c.secret, "--type=merge", "-p", fmt.Sprintf(`{"data":{%q:%q}}`, c.key, value))
		}
		set(c.value)
		held(c.team, "GIT_AUTH", "Secret/"+c.team.AgentNamespace+"/"+c.secret+" key "+c.key, "renew the deploy key or password")
		set("")
		held(c.team, "CREDENTIAL_MISSING", c.secret)
		set(right)
	}
	w.run(0, planArgs()...)
}

// gitPassword is a word that only wrong credentials of this test hold.
const gitPassword = "garbage"

func (w *world) testBadManifest(team fleet.Team) {
	path := team.Path + "/broken/values.yaml"
	before, err := w.Git.Head(w.t.Context(), team.Repo, team.Branch)
	if err != nil {
		w.t.Fatal(err)
	}
	bad := w.commitFiles(team, "Break the manifests", map[string][]byte{path: []byte("kind: ConfigMap\nmetadata: {name: [\n")})
	// Stuck at the head: the old agent works on at an earlier commit.
	w.unchanged(func() {
		says := []string{"FLUX1_STUCK_AT_HEAD " + id(team), path, before[:7], "mend the file in Git"}
		w.answers(answer{0, says, nil, 0}, "discover")
		w.answers(answer{0, says, nil, 0}, planArgs()...)
	})
	// As if it had been synced: what it would apply cannot be known.
	tag := exec.CommandContext(w.t.Context(), "git", "-C", filepath.Join(w.Dir, "git", team.Repo+".git"), "tag", "-f", "flux-sync", bad)
	if out, err := tag.CombinedOutput(); err != nil {
		w.t.Fatalf("move the sync tag: %v\n%s", err, out)
	}
	w.unchanged(func() {
		says := []string{"FLUX1_STUCK " + id(team), path, bad[:7], "mend the file in Git"}
		w.answers(answer{3, append(says, "1 repository of 4 held back"), nil, 0}, planArgs()...)
		w.answers(answer{3, append(says, "no repository can be migrated", "nothing has changed"), nil, 0}, migrateArgs("--repo", id(team))...)
	})
	w.commitFiles(team, "Mend the manifests", map[string][]byte{path: nil})
	w.synced(team)
	w.run(0, planArgs()...)
}

func (w *world) testClaimedTwice(owner, thief fleet.Team) {
	_, content := w.fileOf(owner, "Service")
	path := thief.Path + "/copied/manifests.yaml"
	w.commitFiles(thief, "Copy from another team", map[string][]byte{path: content})
	w.synced(thief)
	w.unchanged(func() {
		says := []string{"OBJECT_IN_TWO_AGENTS", id(owner), id(thief), path, "remove it from one of the repositories"}
		w.answers(answer{0, says, nil, 0}, "discover")
		w.answers(answer{3, append(says, "2 repositories of 4 held back"), nil, 0}, planArgs()...)
		w.answers(answer{3, append(says, "no repository can be migrated", "nothing has changed"), nil, 0}, migrateArgs("--repo", id(thief))...)
	})
	w.commitFiles(thief, "Remove the copy", map[string][]byte{path: nil})
	w.synced(thief)
	// The owner takes its mark back with its next sync.
	w.commitFiles(owner, "Say whose it is", map[string][]byte{"NOTES.md": []byte("The Service is ours.\n")})
	w.synced(owner)
	w.eventually(2*time.Minute, "one claim only", func(context.Context) bool { return w.try(nil, planArgs()...).code == 0 })
}

// waitPhase waits until status names a phase for a team.
func (w *world) waitPhase(team fleet.Team, phase string) {
	w.t.Helper()
	w.eventually(2*time.Minute, id(team)+" "+phase, func(context.Context) bool { return w.phases()[id(team)] == phase })
}

// back rolls everything back and waits for the old agents.
func (w *world) back() {
	w.t.Helper()
	w.run(0, "rollback", "--yes")
	w.synced()
}

func (w *world) testCommitAfterPlan(moved, twice fleet.Team) {
	// What an agent is about to collect would move between plan and migration.
	w.eventually(time.Minute, "nothing is stale", func(context.Context) bool {
		return !strings.Contains(w.run(0, planArgs("-o", "json")...).out, "STALE_OBJECT")
	})
	stored := filepath.Join(w.t.TempDir(), "plan.json")
	w.run(0, planArgs("--out", stored)...)
	path, _ := w.fileOf(moved, "Service")
	folder := filepath.Dir(path)
	away := map[string][]byte{}
	for name, file := range moved.Files {
		if rest, found := strings.CutPrefix(name, folder+"/"); found {
			away[name], away[folder+"-moved/"+rest] = nil, file
		}
	}
	w.commitFiles(moved, "Move an application", away)
	service, copied := w.fileOf(twice, "Service")
	w.commitFiles(twice, "Define an object twice", map[string][]byte{filepath.Dir(service) + "/again.yaml": copied})
	w.synced(moved)
	raw, err := os.ReadFile(stored)
	if err != nil {
		w.t.Fatal(err)
	}
	var plan struct {
		Repositories []struct {
			ID   string
			Wave int
		}
	}
	if err := json.Unmarshal(raw, &plan); err != nil {
		w.t.Fatal(err)
	}
	if first := plan.Repositories[0]; first.ID != id(moved) || first.Wave != 1 {
		w.t.Errorf("the plan begins with %s in wave %d; want %s, so that all others come after it", first.ID, first.Wave, id(moved))
	}
	since := time.Now()
	r := w.answers(answer{1, []string{id(moved), "moved since the plan was made", filepath.Base(folder) + "-moved", id(twice), "FLUX1_STUCK_AT_HEAD", "plan again", "nothing was changed"}, nil, 5 * time.Minute},
		"migrate", stored, "--yes", "--image", image)
	phases := w.phases()
	for _, team := range w.Teams {
		// A definition too many stops the old agent, and would the new one.
		want := "settled"
		if id(team) == id(moved) || id(team) == id(twice) {
			want = "blocked"
		}
		if phases[id(team)] != want {
			w.t.Errorf("%s is %s, want %s", id(team), phases[id(team)], want)
		}
	}
	if w.t.Failed() {
		w.t.Logf("%s", r.stderr)
	}
	w.pass(auditor.Options{Since: since, MaxGap: gapLimit()})
	w.commitFiles(twice, "Define it once", map[string][]byte{filepath.Dir(service) + "/again.yaml": nil})
	for name, file := range away {
		if file != nil {
			away[name] = nil
		} else {
			away[name] = moved.Files[name]
		}
	}
	w.commitFiles(moved, "Move it back", away)
	w.back()
}

func (w *world) testInterrupt(team fleet.Team) {
	since := time.Now()
	// On a terminal, as people do it.
	keyboard, screen, err := pty.Open()
	if err != nil {
		w.t.Fatal(err)
	}
	defer keyboard.Close()
	first := w.command(w.t.Context(), nil, migrateArgs("--repo", id(team), "--hold", "1m")...)
	var out bytes.Buffer
	first.Stderr = screen
	if err := first.Start(); err != nil {
		w.t.Fatal(err)
	}
	screen.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&out, keyboard) // ends with the program, in an error
	}()
	w.waitPhase(team, "holding")
	if err := first.Process.Signal(syscall.SIGINT); err != nil {
		w.t.Fatal(err)
	}
	begun := time.Now()
	_ = first.Wait() // its exit code is judged below
	<-read
	if took := time.Since(begun); took > 20*time.Second {
		w.t.Errorf("it took %s to stop", took)
	}
	text := words(out.String())
	if code := first.ProcessState.ExitCode(); code != 130 || !strings.Contains(text, "interrupted: what must not stay half done is ended first") || !strings.Contains(text, "run the same command to go on") {
		w.t.Errorf("exit code %d:\n%s", code, out.String())
	}
	w.t.Logf("%s", out.String())
	w.migrate("--repo", id(team))
	if phase := w.phases()[id(team)]; phase != "settled" {
		w.t.Errorf("%s is %s, want settled", id(team), phase)
	}
	w.pass(auditor.Options{Since: since, MaxGap: gapLimit()})
	w.back()
}

func (w *world) testStuckPod(team, other fleet.Team, stuck *atomic.Value) {
	stuck.Store(team.Release)
	defer stuck.Store("")
	pod := strings.TrimSpace(w.kubectl("-n", team.AgentNamespace, "get", "pods", "-o", "name", "-l", "release="+team.Release))
	// All but the count of the old agent's Pods, of which one is about to end, and
	// the rights of the new account, which stay staged.
	content := func(d auditor.Dump) auditor.Dump {
		out := ofTeam(d, team)
		maps.DeleteFunc(out, func(id string, _ map[string]any) bool {
			return strings.HasPrefix(id, team.AgentNamespace+"_") && strings.HasSuffix(id, "_Pod") || strings.HasPrefix(id, "_fluxover__")
		})
		return out
	}
	before, since := content(w.dump()), time.Now()
	r := w.answers(answer{1, []string{id(team), "step fence", strings.TrimPrefix(pod, "pod/"), "is terminating since", "delete the pod by hand",
		"the fence was taken down again and the old agent's replicas put back", "rollback --repo " + id(team)}, nil, 5 * time.Minute},
		migrateArgs("--repo", id(team)+","+id(other), "--wait-old-pod", "20s", "--on-failure", "continue")...)
	if phases := w.phases(); phases[id(team)] != "failed" || phases[id(other)] != "settled" {
		w.t.Errorf("phases: %v\n%s", phases, r.stderr)
	}
	if n := w.kubectl("-n", team.AgentNamespace, "get", "deployment", team.Release, "-o", "jsonpath={.spec.replicas}"); n != "1" {
		w.t.Errorf("the old agent has %s replicas, want 1", n)
	}
	if policies := w.kubectl("get", "validatingadmissionpolicies", "-o", "name"); strings.Contains(policies, team.Release) {
		w.t.Errorf("a fence is left: %s", policies)
	}
	w.becomes(before, "after the failure of "+id(team), content)
	w.pass(auditor.Options{Since: since, MaxGap: gapLimit()})
	w.wroteNothing(auditor.Options{Since: since}, []fleet.Team{team}, auditor.Flux1)
	// The old agent works on.
	w.commit(team)
	w.synced(team)
	// Once the Pod has ended, the same command brings it over. Until then its
	// fluxd may still apply what was in Git before, beside the one that took its place.
	stuck.Store("")
	w.eventually(time.Minute, pod+" has ended", func(context.Context) bool {
		return !strings.Contains(w.kubectl("-n", team.AgentNamespace, "get", "pods", "-o", "name"), pod)
	})
	w.commit(team)
	w.synced(team)
	w.migrate("--repo", id(team))
	if phase := w.phases()[id(team)]; phase != "settled" {
		w.t.Errorf("%s is %s, want settled", id(team), phase)
	}
	w.back()
}
