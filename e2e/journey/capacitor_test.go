package journey

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/gitserver"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// controlResources are the kinds that fluxover makes for a repository.
var controlResources = []schema.GroupVersionResource{
	kustomizations, gitRepositories,
	{Version: "v1", Resource: "secrets"}, {Version: "v1", Resource: "serviceaccounts"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
}

// capacitor is the flux-capacitor on the laboratory's Git server.
type capacitor struct {
	w                    *world
	repo                 string
	writer, reader       string // files with deploy keys
	knownHosts, stranger string // files with host keys: the server's, another's
}

func newCapacitor(w *world) *capacitor {
	w.t.Helper()
	c := &capacitor{w: w, repo: "flux-capacitor"}
	if err := w.Git.CreateRepo(w.t.Context(), c.repo, "main"); err != nil {
		w.t.Fatal(err)
	}
	dir := w.t.TempDir()
	write := func(name string, content []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			w.t.Fatal(err)
		}
		return file
	}
	key := func(name string, push bool) string {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			w.t.Fatal(err)
		}
		signer, err := ssh.NewSignerFromKey(private)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.Git.AllowKey(c.repo, signer.PublicKey(), push); err != nil {
			w.t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			w.t.Fatal(err)
		}
		return write(name, pem.EncodeToMemory(block))
	}
	c.writer, c.reader = key("writer", true), key("reader", false)
	c.knownHosts = write("known_hosts", []byte(w.Git.KnownHosts()))
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	other, err := ssh.NewPublicKey(public)
	if err != nil {
		w.t.Fatal(err)
	}
	host := strings.Fields(w.Git.KnownHosts())[0]
	c.stranger = write("stranger", append([]byte(host+" "), ssh.MarshalAuthorizedKey(other)...))
	return c
}

func (c *capacitor) flags(identity, knownHosts string) []string {
	return []string{
		"--capacitor", c.w.Git.SSHURL(c.repo), "--capacitor-cluster", "lab",
		"--capacitor-identity", identity, "--capacitor-known-hosts", knownHosts,
	}
}

func (c *capacitor) files() map[string][]byte {
	c.w.t.Helper()
	tree, err := c.w.Git.Tree(c.w.t.Context(), c.repo, "main")
	if err != nil {
		c.w.t.Fatal(err)
	}
	return tree
}

// protect lets the server refuse pushes, and allow them again.
func (c *capacitor) protect(yes bool) {
	c.w.t.Helper()
	hook := filepath.Join(c.w.Dir, "git", c.repo+".git", "hooks", "pre-receive")
	err := os.Remove(hook)
	if yes {
		err = os.MkdirAll(filepath.Dir(hook), 0o755)
		if err == nil {
			err = os.WriteFile(hook, []byte("#!/bin/sh\necho this branch is protected >&2\nexit 1\n"), 0o755)
		}
	}
	if err != nil {
		c.w.t.Fatal(err)
	}
}

// teams that have a folder in the repository.
func (c *capacitor) teams() []string {
	found := map[string]bool{}
	for p := range c.files() {
		parts := strings.Split(p, "/")
		if len(parts) == 4 && parts[0] == "clusters" && parts[1] == "lab" && parts[2] != "agent" {
			found[parts[2]] = true
		}
	}
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// account is what a team's folder is called: its release without "flux-".
func account(team fleet.Team) string { return strings.TrimPrefix(team.Release, "flux-") }

func accounts(teams []fleet.Team) []string {
	var names []string
	for _, t := range teams {
		names = append(names, account(t))
	}
	slices.Sort(names)
	return names
}

func id(team fleet.Team) string { return team.AgentNamespace + "/" + team.Release }

func (w *world) kustomization(name string) *unstructured.Unstructured {
	w.t.Helper()
	k, err := w.dynamic().Resource(kustomizations).Namespace("flux-system").Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

func inventory(k *unstructured.Unstructured) []string {
	entries, _, _ := unstructured.NestedSlice(k.Object, "status", "inventory", "entries")
	var ids []string
	for _, e := range entries {
		if m, ok := e.(map[string]any); ok {
			ids = append(ids, m["id"].(string))
		}
	}
	slices.Sort(ids)
	return ids
}

func ready(k *unstructured.Unstructured) bool { return condition(k) == "True" }

// condition is the status of Ready: Unknown while a pass runs, False only of one that failed.
func condition(k *unstructured.Unstructured) string {
	status, _ := readiness(k)
	return status
}

// settled is a Kustomization once it is Ready, a pass that runs awaited.
func (w *world) settled(name string) *unstructured.Unstructured {
	w.t.Helper()
	var k *unstructured.Unstructured
	w.eventually(time.Minute, name+" Ready", func(context.Context) bool {
		k = w.kustomization(name)
		return ready(k)
	})
	return k
}

// controlObjects are the sources and Kustomizations of a team, and what they
// need, as the cluster holds them.
func (w *world) controlObjects(team fleet.Team) []unstructured.Unstructured {
	w.t.Helper()
	selector := metav1.ListOptions{LabelSelector: "fluxover.dev/release=" + team.Release}
	var all []unstructured.Unstructured
	for _, gvr := range controlResources {
		list, err := w.dynamic().Resource(gvr).List(w.t.Context(), selector)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, list.Items...)
	}
	return slices.DeleteFunc(all, func(u unstructured.Unstructured) bool { return u.GetKind() == "Secret" })
}

// handedOver fails the test unless the flux-capacitor alone applies a team's
// control objects, all of them, as its files say.
func (c *capacitor) handedOver(team fleet.Team) {
	c.w.t.Helper()
	child := c.w.settled("flux-capacitor-" + account(team))
	var want []string
	for _, u := range c.w.controlObjects(team) {
		want = append(want, strings.Join([]string{u.GetNamespace(), strings.ReplaceAll(u.GetName(), ":", "__"), u.GroupVersionKind().Group, u.GetKind()}, "_"))
		var appliers []string
		for _, e := range u.GetManagedFields() {
			if e.Subresource == "" && e.Operation == metav1.ManagedFieldsOperationApply {
				appliers = append(appliers, e.Manager)
			}
			if e.Manager == "fluxover" {
				c.w.t.Errorf("%s %s: the executor still owns fields (%s)", u.GetKind(), u.GetName(), e.FieldsV1)
			}
		}
		if !slices.Equal(appliers, []string{"kustomize-controller"}) {
			c.w.t.Errorf("%s %s is applied by %q, want the new agent alone", u.GetKind(), u.GetName(), appliers)
		}
	}
	slices.Sort(want)
	if got := inventory(child); !slices.Equal(got, want) || len(want) < 4 {
		c.w.t.Errorf("%s lists\n%s\nwant\n%s", child.GetName(), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheFluxCapacitorTakesOverWhatSettlesAndGivesItBack(t *testing.T) {
	beside(t)
	w := upWith(t, programs.crashing, laboratory.Options{Teams: 4, Apps: 2, Seed: 7})
	c := newCapacitor(w)
	first, rest := w.Teams[:2], w.Teams[2:]
	before := w.dump()

	// A wrong host key, or a key that does not open it, changes nothing at all.
	r := w.try(nil, append(append([]string{"migrate", "--yes", "--image", image}, acceptAll...), c.flags(c.writer, c.stranger)...)...)
	if r.code != 1 || !strings.Contains(r.stderr, "host key") {
		t.Errorf("with a wrong host key: exit code %d\n%s", r.code, r.stderr)
	}
	same(t, "after a refused connection", before, w.dump())

	// Nor does a key that may only read.
	r = w.try(nil, append(append([]string{"migrate", "--yes", "--image", image}, acceptAll...), c.flags(c.reader, c.knownHosts)...)...)
	if r.code != 1 || !strings.Contains(r.stderr, "may write") {
		t.Errorf("with a key that may only read: exit code %d\n%s", r.code, r.stderr)
	}
	same(t, "with a key that may only read", before, w.dump())

	// A push that is refused stops it before anything is handed over, and no
	// credential stays.
	c.protect(true)
	r = w.try(nil, append(append([]string{"migrate", "--yes", "--image", image}, acceptAll...), c.flags(c.writer, c.knownHosts)...)...)
	c.protect(false)
	if r.code != 1 || !strings.Contains(r.stderr, "push refused") {
		t.Errorf("with a protected branch: exit code %d\n%s", r.code, r.stderr)
	}
	for object := range w.dump() {
		if strings.Contains(object, "flux-capacitor") {
			t.Errorf("after a refused push there is still %s", object)
		}
	}
	after := withoutOwn(w.dump())
	for object := range after {
		if strings.HasSuffix(object, "_IPAddress") {
			delete(after, object) // the address of the new agent's Service
			delete(before, object)
		}
	}
	same(t, "after a refused push", withoutOwn(before), after)

	// Two of four.
	since := time.Now()
	w.migrate(append(c.flags(c.writer, c.knownHosts), "--repo", id(first[0]), "--repo", id(first[1]))...)
	adopted := time.Now()
	if got := c.teams(); !slices.Equal(got, accounts(first)) {
		t.Fatalf("the repository holds the teams %q, want %q", got, accounts(first))
	}
	files := c.files()
	for _, p := range []string{"capacitor.yaml", "clusters/lab/kustomization.yaml", "clusters/lab/agent/source.yaml", "clusters/lab/agent/sync.yaml", "clusters/lab/agent/rbac.yaml", "clusters/lab/agent/teams/" + account(first[0]) + ".yaml"} {
		if len(files[p]) == 0 {
			t.Errorf("the repository holds no %s", p)
		}
	}
	key, err := os.ReadFile(c.writer)
	if err != nil {
		t.Fatal(err)
	}
	secrets := w.secretValues()
	secrets["the deploy key"] = strings.Split(string(key), "\n")[2]
	for p, content := range files {
		if strings.Contains(string(content), "suspend") {
			t.Errorf("%s says something about suspending", p)
		}
		for name, value := range secrets {
			if strings.Contains(string(content), value) {
				t.Errorf("%s holds the value of %s", p, name)
			}
		}
	}
	root := w.settled("flux-capacitor")
	if !slices.Contains(inventory(root), "flux-system_flux-capacitor-"+account(first[0])+"_kustomize.toolkit.fluxcd.io_Kustomization") {
		t.Errorf("the capacitor's own Kustomization lists %q", inventory(root))
	}
	for _, team := range first {
		c.handedOver(team)
	}
	for _, team := range rest {
		if n := len(w.controlObjects(team)); n > 0 {
			t.Errorf("%d control objects of %s, which was not handed over", n, team.Name)
		}
	}
	report := w.pass(auditor.Options{Since: since, MaxGap: gapLimit()})
	writes := map[string]int{}
	for _, write := range report.Writes {
		if write.Engine == auditor.Flux2 && write.Subresource == "" {
			writes[write.ID]++
		}
	}
	if len(writes) == 0 {
		t.Error("the auditor saw no adoption")
	}
	for object, n := range writes {
		// Adoption is one apply, after which old marks and owners are cleared.
		if n > 2 {
			t.Errorf("%s was written %d times by the new agent", object, n)
		}
	}

	// A change by hand in the repository is applied, and touches no workload; a file
	// that cannot be built stops the team that it is of, and nobody else.
	edited := ""
	for p := range c.files() {
		if strings.HasPrefix(p, "clusters/lab/"+account(first[0])+"/"+account(first[0])) {
			edited = max(edited, p)
		}
	}
	text := string(c.files()[edited])
	changed := strings.Replace(text, "\n  interval: ", "\n  interval: 17m0s # was ", 1)
	if edited == "" || changed == text {
		t.Fatalf("no interval to edit in %q:\n%s", edited, text)
	}
	commit := func(message string, files map[string][]byte) string {
		t.Helper()
		sha, err := w.Git.Commit(t.Context(), c.repo, "main", message, files)
		if err != nil {
			t.Fatal(err)
		}
		w.kubectl("-n", "flux-system", "annotate", "--overwrite", "gitrepository/flux-capacitor", "reconcile.fluxcd.io/requestedAt="+time.Now().Format(time.RFC3339Nano))
		return sha
	}
	name, bad := strings.TrimSuffix(filepath.Base(edited), ".yaml"), "clusters/lab/"+account(first[1])+"/bad.yaml"
	of := func(team fleet.Team) *unstructured.Unstructured {
		return w.kustomization("flux-capacitor-" + account(team))
	}
	mistaken := commit("slower, and a mistake", map[string][]byte{edited: []byte(changed), bad: []byte("kind: [\n")})
	w.eventually(2*time.Minute, "the new interval of "+name+", and the mistake of another team", func(context.Context) bool {
		interval, _, _ := unstructured.NestedString(w.kustomization(name).Object, "spec", "interval")
		return interval == "17m0s" && ready(w.kustomization(name)) && condition(of(first[1])) == "False"
	})
	w.eventually(time.Minute, "the commit with the mistake of "+first[1].Name+" applied for all others", func(context.Context) bool {
		return !slices.ContainsFunc([]*unstructured.Unstructured{w.kustomization("flux-capacitor"), of(first[0])}, func(k *unstructured.Unstructured) bool {
			revision, _, _ := unstructured.NestedString(k.Object, "status", "lastAppliedRevision")
			return !ready(k) || !strings.HasSuffix(revision, mistaken)
		})
	})
	commit("mend it", map[string][]byte{bad: nil})
	w.eventually(time.Minute, "the mistake mended", func(context.Context) bool { return ready(of(first[1])) })

	// What somebody deletes is made anew from its file, with the rights that
	// the flux-capacitor's account has on it alone, and is still known later.
	binding := ""
	for _, u := range w.controlObjects(first[1]) {
		if u.GetKind() == "ClusterRoleBinding" {
			binding = u.GetName()
		}
	}
	w.kubectl("delete", "clusterrolebinding", binding)
	w.eventually(time.Minute, "ClusterRoleBinding "+binding+" made anew", func(ctx context.Context) bool {
		_, err := w.kube().RbacV1().ClusterRoleBindings().Get(ctx, binding, metav1.GetOptions{})
		return err == nil
	})

	// A push that is refused: settling, said so, and gone on with later.
	c.protect(true)
	r = w.try(nil, append(append([]string{"migrate", "--yes", "--image", image, "--repo", id(rest[0])}, acceptAll...), c.flags(c.writer, c.knownHosts)...)...)
	if r.code != 1 || !strings.Contains(r.stderr, "push refused") {
		t.Errorf("with a protected branch: exit code %d\n%s", r.code, r.stderr)
	}
	if phase := w.phases()[id(rest[0])]; phase != "settling" {
		t.Errorf("%s is %s, want settling", id(rest[0]), phase)
	}
	if status := w.run(0, "status", "-o", "json").out; !strings.Contains(status, "push refused") {
		t.Errorf("status does not say why it waits:\n%s", status)
	}
	c.protect(false)
	// The credential is known to the cluster by now.
	w.migrate("--repo", id(rest[0]))
	// Killed at the end of settling, and gone on with.
	args := append([]string{"migrate", "--yes", "--image", image, "--repo", id(rest[1])}, acceptAll...)
	if r := w.try([]string{"FLUXOVER_CRASH=" + id(rest[1]) + "|settle|before-done"}, args...); !r.killed {
		t.Errorf("the program was to be killed and ended with %d:\n%s", r.code, r.stderr)
	}
	w.migrate("--repo", id(rest[1]))
	for _, team := range w.Teams {
		if phase := w.phases()[id(team)]; phase != "settled" {
			t.Errorf("%s is %s, want settled", id(team), phase)
		}
		c.handedOver(team)
	}
	if interval, _, _ := unstructured.NestedString(w.kustomization(name).Object, "spec", "interval"); interval != "17m0s" {
		t.Errorf("the change by hand was lost: interval %s", interval)
	}
	if got := c.teams(); !slices.Equal(got, accounts(w.Teams)) {
		t.Errorf("the repository holds the teams %q, want %q", got, accounts(w.Teams))
	}
	settled := time.Now()
	// Everything that happened to the first two since they were adopted came
	// from the flux-capacitor: nothing may have reached a workload.
	w.wroteNothing(auditor.Options{Since: adopted, Until: settled}, first)
	w.arrives(first[0], w.commit(first[0]))

	// One goes back; the others stay.
	w.run(0, "rollback", "--yes", "--repo", id(first[0]))
	if got := c.teams(); slices.Contains(got, account(first[0])) || len(got) != 3 {
		t.Errorf("after the rollback of %s the repository holds %q", first[0].Name, got)
	}
	if left := w.controlObjects(first[0]); len(left) > 0 {
		t.Errorf("%d control objects of %s are left, as %s %s", len(left), first[0].Name, left[0].GetKind(), left[0].GetName())
	}
	w.commit(first[0])
	if err := w.WaitSynced(t.Context(), first[0]); err != nil {
		t.Errorf("after the rollback of one: %v", err)
	}
	for _, team := range w.Teams[1:] {
		c.handedOver(team)
	}

	// Without Git its objects are parked, and go once Git is back.
	if err := w.Git.Fail(c.repo, gitserver.Refuse); err != nil {
		t.Fatal(err)
	}
	w.run(0, "rollback", "--yes", "--repo", id(first[1]))
	if err := w.Git.Fail(c.repo, gitserver.None); err != nil {
		t.Fatal(err)
	}
	if err := w.WaitSynced(t.Context(), first[1]); err != nil {
		t.Errorf("after the rollback without Git: %v", err)
	}
	if phase := w.phases()[id(first[1])]; phase != "rolled-back" {
		t.Errorf("%s is %s, want rolled-back", id(first[1]), phase)
	}
	parked := w.controlObjects(first[1])
	suspended := 0
	for _, u := range parked {
		if off, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); off && u.GetAnnotations()["kustomize.toolkit.fluxcd.io/reconcile"] == "disabled" {
			suspended++
		}
	}
	if suspended == 0 {
		t.Errorf("none of %d parked objects is suspended and left alone", len(parked))
	}
	w.run(0, "rollback", "--yes", "--repo", id(first[1]))
	if left := w.controlObjects(first[1]); len(left) > 0 {
		t.Errorf("%d parked objects are left, as %s %s", len(left), left[0].GetKind(), left[0].GetName())
	}

	// All go back: nothing of the flux-capacitor is left but what people edit.
	w.run(0, "rollback", "--yes", "--uninstall-agent")
	for _, team := range w.Teams {
		if phase := w.phases()[id(team)]; phase != "rolled-back" {
			t.Errorf("%s is %s, want rolled-back", id(team), phase)
		}
		w.commit(team)
	}
	if err := w.WaitSynced(t.Context()); err != nil {
		t.Errorf("after the rollback of all: %v", err)
	}
	for p := range c.files() {
		if p != "capacitor.yaml" {
			t.Errorf("%s is left in the repository", p)
		}
	}
	for _, gvr := range controlResources {
		list, err := w.dynamic().Resource(gvr).List(t.Context(), metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue // the kind went with the agent
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range list.Items {
			if strings.HasPrefix(u.GetName(), "flux-capacitor") {
				t.Errorf("%s %s is left in the cluster", u.GetKind(), u.GetName())
			}
		}
	}

	// And over again.
	w.migrate(append(c.flags(c.writer, c.knownHosts), "--repo", id(first[0]))...)
	c.handedOver(first[0])
}
