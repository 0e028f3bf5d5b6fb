package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fluxover/fluxover/e2e/controlplane"
	"github.com/fluxover/fluxover/e2e/machine"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// workshop is what one daemon under test works with: a bare repository under a
// fixed URL, a home directory with its kubeconfig, and a recorded kubectl.
type workshop struct {
	t      *testing.T
	plane  *controlplane.ControlPlane
	dir    string
	url    string
	bare   string
	tree   string
	record string
	seen   int // recorded calls already taken
	env    []string

	// commits are the revisions pushed, in order.
	commits []string

	cmd    *exec.Cmd
	addr   string
	stderr *lineBuffer
	ended  chan error
}

// lineBuffer collects output; safe for concurrent use.
type lineBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lineBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lineBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newWorkshop lays out the files. The URL is an SSH address that git's own
// configuration turns into the bare repository, so that marks are the same on
// every machine.
func newWorkshop(t *testing.T, name string) *workshop {
	t.Helper()
	plane := controlPlane(t)
	dir := t.TempDir()
	w := &workshop{
		t: t, plane: plane, dir: dir,
		url:    "git@git.example.com:teams/" + name + ".git",
		bare:   filepath.Join(dir, "bare.git"),
		tree:   filepath.Join(dir, "tree"),
		record: filepath.Join(dir, "record"),
	}
	home, bin := filepath.Join(dir, "home"), filepath.Join(dir, "bin")
	for _, d := range []string{w.record, bin, filepath.Join(home, ".kube"), filepath.Join(dir, "keygen"), filepath.Join(dir, "tmp")} {
		w.must(os.MkdirAll(d, 0o700))
	}
	self, err := os.Executable()
	w.must(err)
	w.must(os.Symlink(self, filepath.Join(bin, "kubectl")))
	w.must(os.WriteFile(filepath.Join(home, ".gitconfig"),
		fmt.Appendf(nil, "[url %q]\n\tinsteadOf = %q\n[init]\n\tdefaultBranch = main\n", "file://"+w.bare, w.url), 0o600))
	w.env = []string{
		"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + home, "TMPDIR=" + filepath.Join(dir, "tmp"), "GIT_CONFIG_NOSYSTEM=1",
		recordDir + "=" + w.record, recordedTool + "=" + filepath.Join(plane.BinDir, "kubectl"),
	}
	w.git(dir, "init", "--quiet", "--bare", "--initial-branch=main", w.bare)
	w.git(dir, "init", "--quiet", "--initial-branch=main", w.tree)
	w.writeKubeconfig("", "")
	return w
}

func (w *workshop) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// writeKubeconfig gives the daemon the admin's access, or that of a token, with
// a namespace in its context.
func (w *workshop) writeKubeconfig(token, namespace string) {
	w.t.Helper()
	config, err := clientcmd.LoadFromFile(w.plane.Kubeconfig)
	w.must(err)
	current := config.Contexts[config.CurrentContext]
	current.Namespace = namespace
	if token != "" {
		config.AuthInfos[current.AuthInfo] = &clientcmdapi.AuthInfo{Token: token}
	}
	w.must(clientcmd.WriteToFile(*config, filepath.Join(w.dir, "home", ".kube", "config")))
}

func (w *workshop) git(dir string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(w.env,
		"GIT_AUTHOR_NAME=Team", "GIT_AUTHOR_EMAIL=team@example.com", "GIT_AUTHOR_DATE=2020-01-02T03:04:05Z",
		"GIT_COMMITTER_NAME=Team", "GIT_COMMITTER_EMAIL=team@example.com", "GIT_COMMITTER_DATE=2020-01-02T03:04:05Z")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// kubectl runs the real kubectl as the administrator.
func (w *workshop) kubectl(stdin string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command(filepath.Join(w.plane.BinDir, "kubectl"), append([]string{"--kubeconfig", w.plane.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// commit makes the files the whole content of the tree, runs a script in it and
// pushes a commit.
func (w *workshop) commit(files map[string]string, script string) {
	w.t.Helper()
	entries, err := os.ReadDir(w.tree)
	w.must(err)
	for _, entry := range entries {
		if entry.Name() != ".git" {
			w.must(os.RemoveAll(filepath.Join(w.tree, entry.Name())))
		}
	}
	for name, text := range files {
		path := filepath.Join(w.tree, filepath.FromSlash(name))
		w.must(os.MkdirAll(filepath.Dir(path), 0o755))
		w.must(os.WriteFile(path, []byte(text), 0o644))
	}
	if script != "" {
		cmd := exec.Command("/bin/sh", "-euc", script)
		cmd.Dir = w.tree
		if out, err := cmd.CombinedOutput(); err != nil {
			w.t.Fatalf("script: %v: %s", err, out)
		}
	}
	w.git(w.tree, "add", "--all", "--force")
	w.git(w.tree, "commit", "--quiet", "--allow-empty", "--message", fmt.Sprintf("commit %d", len(w.commits)+1))
	w.commits = append(w.commits, strings.TrimSpace(w.git(w.tree, "rev-parse", "HEAD")))
	w.git(w.tree, "push", "--quiet", "--force", "file://"+w.bare, "HEAD:refs/heads/main")
}

// start runs the daemon under test: the stand-in, or the program that FLUXD
// names. It is ended with the test.
func (w *workshop) start(flags ...string) {
	w.t.Helper()
	var err error
	w.addr, err = machine.FreeAddress()
	w.must(err)
	args := append([]string{
		"--git-url=" + w.url, "--git-branch=main", "--listen=" + w.addr,
		"--git-poll-interval=1h", "--sync-interval=1h",
		"--git-timeout=3m", "--sync-timeout=3m", // a busy machine is not what is compared
		"--registry-disable-scanning", "--memcached-hostname=",
		"--ssh-keygen-dir=" + filepath.Join(w.dir, "keygen"),
	}, flags...)
	program := os.Getenv("FLUXD")
	env := w.env
	if program == "" {
		program, err = os.Executable()
		w.must(err)
		env = append([]string{playStandIn + "=1"}, env...)
	}
	w.cmd = exec.Command(program, args...)
	w.cmd.Dir = w.dir
	w.cmd.Env = env
	w.stderr = &lineBuffer{}
	w.cmd.Stdout, w.cmd.Stderr = w.stderr, w.stderr
	w.must(w.cmd.Start())
	w.ended = make(chan error, 1)
	ended, cmd := w.ended, w.cmd
	go func() { ended <- cmd.Wait() }()
	w.t.Cleanup(func() {
		w.stop()
		if w.t.Failed() {
			w.t.Logf("log of the daemon:\n%s", w.stderr)
		}
	})
}

// stop ends the daemon with SIGTERM and returns how it ended.
func (w *workshop) stop() error {
	if w.cmd == nil {
		return nil
	}
	cmd := w.cmd
	w.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return <-w.ended
	}
	select {
	case err := <-w.ended:
		return err
	case <-time.After(syncLimit):
		w.t.Errorf("the daemon did not end within %s of SIGTERM", syncLimit)
		return cmd.Process.Kill()
	}
}

// waitFor waits until a condition holds.
func (w *workshop) waitFor(what string, condition func() bool) {
	w.t.Helper()
	for end := time.Now().Add(syncLimit); time.Now().Before(end); time.Sleep(pollEvery) {
		if condition() {
			return
		}
		if w.cmd != nil {
			select {
			case err := <-w.ended:
				w.cmd = nil
				w.t.Fatalf("the daemon ended while waiting until %s: %v\n%s", what, err, w.stderr)
			default:
			}
		}
	}
	w.t.Fatalf("not within %s: %s", syncLimit, what)
}

// metric returns a metric of the daemon, and whether it is there.
func (w *workshop) metric(name string) (float64, bool) {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get("http://" + w.addr + "/metrics")
	if err != nil {
		return 0, false
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			number, err := strconv.ParseFloat(value, 64)
			return number, err == nil
		}
	}
	return 0, false
}

const syncCount = "flux_daemon_sync_duration_seconds_count"

// syncs counts the syncs that ended, the one before the clone included.
func (w *workshop) syncs() (succeeded, failed float64) {
	succeeded, _ = w.metric(syncCount + `{success="true"}`)
	failed, _ = w.metric(syncCount + `{success="false"}`)
	return succeeded, failed
}

// notify asks the daemon to fetch.
func (w *workshop) notify() {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"Kind": "git", "Source": map[string]string{"URL": w.url, "Branch": "main"}})
	w.must(err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.addr+"/api/flux/v11/notify", bytes.NewReader(body))
	w.must(err)
	answer, err := http.DefaultClient.Do(request)
	w.must(err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		text, _ := io.ReadAll(answer.Body)
		w.t.Fatalf("notify: %s: %s", answer.Status, text)
	}
}

// calls returns what kubectl was given since the last time.
func (w *workshop) calls() []kubectlCall {
	w.t.Helper()
	names, err := filepath.Glob(filepath.Join(w.record, "*.json"))
	w.must(err)
	sort.Strings(names)
	var calls []kubectlCall
	for _, name := range names[w.seen:] {
		text, err := os.ReadFile(name)
		w.must(err)
		var call kubectlCall
		w.must(json.Unmarshal(text, &call))
		calls = append(calls, call)
	}
	w.seen = len(names)
	return calls
}

// syncTag describes the sync tags of the bare repository, commits by number.
func (w *workshop) syncTags() string {
	w.t.Helper()
	out := w.git(w.bare, "for-each-ref", "--format=%(refname) %(objecttype) %(*objectname) %(taggername) %(taggeremail) %(contents:subject)", "refs/tags", "refs/notes")
	for i, revision := range w.commits {
		out = strings.ReplaceAll(out, revision, fmt.Sprintf("commit-%d", i+1))
	}
	if out == "" {
		return "none\n"
	}
	return out
}
