package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// The tests of this file run the program that FLUXD names, or the stand-in.

func configMap(namespace, name string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: %s}}\n---\n", name, namespace)
}

func namespaceManifest(name string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}\n", name)
}

// endedSyncs waits until that many syncs ended, the one before the clone included.
func (w *workshop) endedSyncs(n int) {
	w.t.Helper()
	w.waitFor(fmt.Sprintf("%d syncs have ended", n), func() bool {
		succeeded, failed := w.syncs()
		return int(succeeded+failed) >= n
	})
}

// succeededSyncs waits until that many syncs succeeded; with a short interval,
// several may fail before the repository is cloned.
func (w *workshop) succeededSyncs(n int) {
	w.t.Helper()
	w.waitFor(fmt.Sprintf("%d syncs have succeeded", n), func() bool {
		succeeded, _ := w.syncs()
		return int(succeeded) >= n
	})
}

func (w *workshop) exists(namespace, name string) bool {
	w.t.Helper()
	return strings.TrimSpace(w.kubectl("", "get", "configmap", "--namespace", namespace, name, "--ignore-not-found", "--output=name")) != ""
}

func TestSyncUnderWayIsFinishedAfterSIGTERM(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "termination")
	w.kubectl(namespaceManifest("termination"), "create", "-f", "-")
	w.commit(map[string]string{"a.yaml": configMap("termination", "a") + configMap("termination", "b")}, "")
	hold := filepath.Join(w.record, holdFile)
	w.must(os.WriteFile(hold, nil, 0o600))
	w.start()
	w.waitFor("kubectl is running", func() bool { return isFile(filepath.Join(w.record, "0001")) })
	process := w.cmd.Process
	w.must(process.Signal(syscall.SIGTERM))
	w.waitFor("the daemon has taken note", func() bool { return strings.Contains(w.stderr.String(), "exiting=terminated") })
	if w.exists("termination", "a") {
		t.Fatal("the object is there before kubectl ran; the test shows nothing")
	}
	w.must(os.Remove(hold))
	select {
	case err := <-w.ended:
		w.cmd = nil
		if err != nil {
			t.Errorf("ended with %v, want exit code 0", err)
		}
	case <-time.After(syncLimit):
		t.Fatal("still running")
	}
	if !w.exists("termination", "a") || !w.exists("termination", "b") {
		t.Error("the sync was not finished: objects are missing")
	}
	if tags := w.syncTags(); !strings.Contains(tags, "flux-sync tag commit-1") {
		t.Errorf("the sync was not finished: tags are %q", tags)
	}
}

func TestSyncLimitDoesNotEndKubectlButKeepsTheTagWhereItIs(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "limit")
	w.kubectl(namespaceManifest("limit"), "create", "-f", "-")
	w.commit(map[string]string{"a.yaml": configMap("limit", "a")}, "")
	hold := filepath.Join(w.record, holdFile)
	w.must(os.WriteFile(hold, nil, 0o600))
	w.start("--sync-timeout=15s") // time enough for Git on a busy machine
	w.waitFor("kubectl is running", func() bool { return isFile(filepath.Join(w.record, "0001")) })
	began := time.Now()
	w.waitFor("the limit has passed", func() bool { return time.Since(began) > 16*time.Second })
	w.must(os.Remove(hold))
	w.endedSyncs(2)
	if succeeded, failed := w.syncs(); succeeded != 0 || failed != 2 {
		t.Errorf("%g syncs succeeded and %g failed, want 0 and 2", succeeded, failed)
	}
	if !w.exists("limit", "a") {
		t.Error("the object was not applied")
	}
	if tags := w.syncTags(); tags != "none\n" {
		t.Errorf("tags are %q, want none", tags)
	}
}

func TestSyncTagIsPushedOnlyWhenItMovesInThisProcess(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "tag")
	w.kubectl(namespaceManifest("tag"), "create", "-f", "-")
	w.commit(map[string]string{"a.yaml": configMap("tag", "a")}, "")
	w.start("--sync-interval=1s")
	w.succeededSyncs(1)
	w.git(w.bare, "tag", "--delete", "flux-sync")
	before, _ := w.syncs()
	w.succeededSyncs(int(before) + 2)
	if tags := w.syncTags(); tags != "none\n" {
		t.Errorf("a periodic sync pushed the tag again: %q", tags)
	}
	if err := w.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	w.start()
	w.succeededSyncs(1)
	if tags := w.syncTags(); !strings.Contains(tags, "flux-sync tag commit-1") {
		t.Errorf("a new process did not push the tag: %q", tags)
	}
}

func TestNewHeadIsFoundByPolling(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "polling")
	w.kubectl(namespaceManifest("polling"), "create", "-f", "-")
	w.commit(map[string]string{"a.yaml": configMap("polling", "a")}, "")
	w.start("--git-poll-interval=1s")
	w.endedSyncs(2)
	w.commit(map[string]string{"a.yaml": configMap("polling", "b")}, "")
	w.waitFor("the second commit is applied", func() bool { return w.exists("polling", "b") })
}

func TestDriftIsMendedByThePeriodicSync(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "drift")
	w.kubectl(namespaceManifest("drift"), "create", "-f", "-")
	w.commit(map[string]string{"a.yaml": configMap("drift", "a")}, "")
	w.start("--sync-interval=1s")
	w.succeededSyncs(1)
	w.kubectl("", "delete", "configmap", "--namespace=drift", "a")
	w.waitFor("the object is back", func() bool { return w.exists("drift", "a") })
}

func TestGitTroubleIsRetriedWithoutEndingTheDaemon(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "trouble")
	w.kubectl(namespaceManifest("trouble"), "create", "-f", "-")
	w.commit(map[string]string{"a.yaml": configMap("trouble", "a")}, "")
	away := w.bare + ".away"
	w.must(os.Rename(w.bare, away))
	w.start()
	w.waitFor("the API is up", func() bool { _, ok := w.metric("flux_git_ready"); return ok })
	if ready, _ := w.metric("flux_git_ready"); ready != 0 {
		t.Errorf("flux_git_ready is %g without a repository", ready)
	}
	w.must(os.Rename(away, w.bare))
	w.waitFor("the repository was cloned and synced", func() bool { return w.exists("trouble", "a") })
	w.waitFor("the repository counts as ready", func() bool { ready, _ := w.metric("flux_git_ready"); return ready == 1 })

	w.must(os.Rename(w.bare, away))
	w.notify()
	w.waitFor("a failed fetch is noticed", func() bool { ready, ok := w.metric("flux_git_ready"); return ok && ready == 0 })
	w.must(os.Rename(away, w.bare))
	w.commit(map[string]string{"a.yaml": configMap("trouble", "b")}, "")
	w.notify() // the repository may have been found again before the commit
	w.waitFor("syncing goes on", func() bool { return w.exists("trouble", "b") })
}

func TestRepositoryThatRefusesPushesIsNotSynced(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "refusing")
	w.kubectl(namespaceManifest("refusing"), "create", "-f", "-")
	w.commit(map[string]string{"a.yaml": configMap("refusing", "a")}, "")
	w.must(os.WriteFile(filepath.Join(w.bare, "hooks", "pre-receive"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	w.start()
	w.waitFor("the write check has failed", func() bool {
		config := w.get(t, http.MethodPost, "v9/git-repo-config", "false")
		return strings.Contains(config, `"status":"cloned"`) && strings.Contains(config, "attempt to push tag")
	})
	if calls := w.calls(); len(calls) != 0 {
		t.Errorf("kubectl ran %d times", len(calls))
	}
	if out := w.git(w.bare, "tag", "--list"); out != "" {
		t.Errorf("tags were left: %q", out)
	}
}

// get asks the API and returns its status line and body.
func (w *workshop) get(t *testing.T, method, path, body string) string {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.addr+"/api/flux/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, text)
}

func TestAPIAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "api")
	w.kubectl(namespaceManifest("api"), "create", "-f", "-")
	w.commit(map[string]string{"x/a.yaml": configMap("api", "a"), "y/b.yaml": ""}, "")
	w.start("--git-path=x,y")
	w.endedSyncs(2)
	w.commit(map[string]string{"x/a.yaml": "broken: ["}, "")
	w.notify()
	w.endedSyncs(3)
	// Recorded from fluxd 1.25.4.
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "v6/identity.pub", "", `200 {"key":"","fingerprints":null}`},
		{"GET", "v6/sync?ref=" + w.commits[0], "", "200 []"},
		{"GET", "v6/sync?ref=" + w.commits[1], "", `200 ["` + w.commits[1] + `"]`},
		{"GET", "v6/sync?ref=main", "", `200 ["` + w.commits[1] + `"]`},
		{"GET", "v6/nothing", "", "404 API endpoint not found"},
		{"GET", "v11/notify", "", "404 API endpoint not found"},
		{"POST", "v9/git-repo-config", "false", `200 {"remote":{"url":"ssh://git@git.example.com/teams/api.git","branch":"main","path":"x,y"},` +
			`"publicSSHKey":{"key":"","fingerprints":null},"status":"ready","errors":""}`},
		{"POST", "v11/notify", "{}", "400 unknown kind of change"},
		{"POST", "v11/notify", `{"Kind":"git","Source":{"URL":"` + w.url + `","Branch":"other"}}`, "202 "},
	} {
		got := strings.TrimSuffix(w.get(t, c.method, c.path, c.body), "\n")
		if !sameAnswer(got, c.want) {
			t.Errorf("%s %s\n got %s\nwant %s", c.method, c.path, got, c.want)
		}
	}
}

// sameAnswer compares a status and a body, which may be JSON in another order.
func sameAnswer(got, want string) bool {
	gotStatus, gotBody, _ := strings.Cut(got, " ")
	wantStatus, wantBody, _ := strings.Cut(want, " ")
	var a, b any
	if json.Unmarshal([]byte(gotBody), &a) != nil || json.Unmarshal([]byte(wantBody), &b) != nil {
		return got == want
	}
	textA, errA := json.Marshal(a)
	textB, errB := json.Marshal(b)
	return gotStatus == wantStatus && errA == nil && errB == nil && string(textA) == string(textB)
}

func TestNotifyOfAnotherBranchFetchesNothing(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "branches")
	w.kubectl(namespaceManifest("branches"), "create", "-f", "-")
	w.commit(map[string]string{"a.yaml": configMap("branches", "a")}, "")
	w.start()
	w.endedSyncs(2)
	refreshes := func() int { return strings.Count(w.stderr.String(), "event=refreshed") }
	w.waitFor("the fetch after the sync is over", func() bool { return refreshes() == 2 })
	for _, spelling := range []string{"git@git.example.com:teams/branches.git", "ssh://git@git.example.com/teams/branches"} {
		w.get(t, "POST", "v11/notify", `{"Kind":"git","Source":{"URL":"`+spelling+`","Branch":"other"}}`)
	}
	w.waitFor("both are logged", func() bool {
		return strings.Count(w.stderr.String(), "notified about unrelated change") == 2
	})
	w.notify()
	w.waitFor("a notify of this branch is heeded", func() bool { return refreshes() == 3 })
}

// inPod lays out what the kubelet gives a fluxd pod below a root directory and
// makes the next start run there: account, Secret mount, the image's kubeconfig.
type inPod struct {
	root      string
	namespace string
	clients   kubernetes.Interface
}

func (w *workshop) enterPod(namespace string) inPod {
	w.t.Helper()
	clients, err := kubernetes.NewForConfig(w.plane.Config())
	w.must(err)
	w.kubectl(namespaceManifest(namespace)+`---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: flux, namespace: `+namespace+`}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: `+namespace+`}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: flux, namespace: `+namespace+`}]
---
{apiVersion: v1, kind: Secret, metadata: {name: flux-git-deploy, namespace: `+namespace+`}}
`, "create", "-f", "-")
	token := strings.TrimSpace(w.kubectl("", "create", "token", "flux", "--namespace", namespace))
	ca, err := os.ReadFile(w.plane.CAFile)
	w.must(err)
	root := filepath.Join(w.dir, "pod")
	account := filepath.Join(root, serviceAccountMount)
	for _, dir := range []string{account, filepath.Join(root, "etc/fluxd/ssh"), filepath.Join(root, keygenMount), filepath.Join(root, "root/.kube")} {
		w.must(os.MkdirAll(dir, 0o755))
	}
	for name, text := range map[string]string{"token": token, "namespace": namespace, "ca.crt": string(ca)} {
		w.must(os.WriteFile(filepath.Join(account, name), []byte(text), 0o600))
	}
	image := `{apiVersion: v1, kind: Config, clusters: [], users: [], preferences: {}, current-context: default,
contexts: [{name: default, context: {cluster: "", user: "", namespace: default}}]}`
	w.must(os.WriteFile(filepath.Join(root, "root/.kube/config"), []byte(image), 0o600))
	gitconfig, err := os.ReadFile(filepath.Join(w.dir, "home/.gitconfig"))
	w.must(err)
	w.must(os.WriteFile(filepath.Join(root, "root/.gitconfig"), gitconfig, 0o600))

	server, err := url.Parse(w.plane.Server)
	w.must(err)
	w.env = append(w.env, "POD_ROOT="+root, "HOME="+filepath.Join(root, "root"),
		"KUBERNETES_SERVICE_HOST="+server.Hostname(), "KUBERNETES_SERVICE_PORT="+server.Port())
	return inPod{root: root, namespace: namespace, clients: clients}
}

// startInPod starts the daemon as a pod's process. The real one knows no
// POD_ROOT: it gets a mount namespace of its own in which the account's files
// lie at their fixed path, which takes root.
func (w *workshop) startInPod(pod inPod, flags ...string) {
	w.t.Helper()
	flags = append(flags, "--ssh-keygen-dir="+filepath.Join(pod.root, keygenMount))
	program := os.Getenv("FLUXD")
	if program == "" {
		w.start(flags...)
		return
	}
	if os.Geteuid() != 0 {
		w.t.Skip("the real fluxd looks for its account at a fixed path: needs root for a mount namespace")
	}
	script := filepath.Join(w.dir, "fluxd-in-pod")
	w.must(os.WriteFile(script, fmt.Appendf(nil, `#!/bin/sh
exec unshare --mount sh -euc '
mount -t tmpfs tmpfs /run
mkdir -p %[1]s
mount --bind %[2]s%[1]s %[1]s
exec "$@"' sh %[3]s --k8s-secret-volume-mount-path=%[2]s/etc/fluxd/ssh "$@"
`, serviceAccountMount, pod.root, program), 0o700))
	w.t.Setenv("FLUXD", script)
	w.start(flags...)
}

func TestInPodWithoutAKeyOneIsMadeIntoTheSecret(t *testing.T) {
	w := newWorkshop(t, "keygen")
	pod := w.enterPod("flux-keygen")
	w.commit(map[string]string{"a.yaml": configMap("flux-keygen", "a") + configMap("", "from-default")}, "")
	w.startInPod(pod)
	w.endedSyncs(2)
	if !w.exists("flux-keygen", "a") || !w.exists("default", "from-default") {
		t.Error("objects are missing")
	}
	secret, err := pod.clients.CoreV1().Secrets(pod.namespace).Get(t.Context(), "flux-git-deploy", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(private, secret.Data["identity"], 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-y", "-f", private).Output()
	if err != nil {
		t.Fatalf("the Secret holds no usable private key: %v", err)
	}
	public := string(secret.Data["identity.pub"])
	if keyOf(public) != keyOf(string(out)) {
		t.Errorf("identity.pub is %q, want the public half %q", public, out)
	}
	var answer publicKey
	_, body, _ := strings.Cut(w.get(t, "GET", "v6/identity.pub", ""), " ")
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	if keyOf(answer.Key) != keyOf(public) || answer.Fingerprints["sha256"].Hash == "" || answer.Fingerprints["md5"].Randomart == "" {
		t.Errorf("identity.pub answers %+v", answer)
	}
	for _, call := range w.calls() {
		for _, arg := range call.Args {
			if os.Getenv("FLUXD") == "" && strings.Contains(arg, "token=") {
				t.Errorf("kubectl was given a token as an argument")
			}
		}
	}
}

// keyOf is a public key without its comment.
func keyOf(line string) string {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return line
	}
	if _, err := base64.StdEncoding.DecodeString(fields[1]); err != nil {
		return line
	}
	return fields[0] + " " + fields[1]
}

func TestReadOnlyRepositoryIsMarkedInTheSecret(t *testing.T) {
	w := newWorkshop(t, "readonly")
	pod := w.enterPod("flux-readonly")
	out, err := exec.Command("ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", filepath.Join(pod.root, "etc/fluxd/ssh/identity")).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	w.must(os.WriteFile(filepath.Join(w.bare, "hooks", "pre-receive"), []byte("#!/bin/sh\n"), 0o755))
	w.commit(map[string]string{"a.yaml": configMap("flux-readonly", "a") + "{apiVersion: v1, kind: ConfigMap, metadata: {name: Bad}}\n"}, "")
	w.must(os.WriteFile(filepath.Join(w.bare, "hooks", "pre-receive"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	w.startInPod(pod, "--git-readonly")
	w.endedSyncs(2)
	secret, err := pod.clients.CoreV1().Secrets(pod.namespace).Get(t.Context(), "flux-git-deploy", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := secret.Annotations["flux.weave.works/sync-hwm"]; got != w.commits[0] {
		t.Errorf("sync mark is %q, want %q", got, w.commits[0])
	}
	if len(secret.Data) != 0 {
		t.Errorf("a key was written beside the one that is mounted")
	}
	if tags := w.syncTags(); tags != "none\n" {
		t.Errorf("tags were pushed: %q", tags)
	}
	if !w.exists("flux-readonly", "a") {
		t.Error("the good object is missing")
	}
}

func TestUnknownSyncMarkStopsASecretModeDaemon(t *testing.T) {
	w := newWorkshop(t, "rewritten")
	pod := w.enterPod("flux-rewritten")
	if _, err := pod.clients.CoreV1().Secrets(pod.namespace).Patch(context.Background(), "flux-git-deploy",
		"application/merge-patch+json", []byte(`{"metadata":{"annotations":{"flux.weave.works/sync-hwm":"0123456789012345678901234567890123456789"}}}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	w.commit(map[string]string{"a.yaml": configMap("flux-rewritten", "a")}, "")
	w.startInPod(pod, "--sync-state=secret")
	w.endedSyncs(2)
	if succeeded, _ := w.syncs(); succeeded != 0 || w.exists("flux-rewritten", "a") {
		t.Errorf("%g syncs succeeded although the mark names no commit of the repository", succeeded)
	}
}
