package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fluxover/fluxover/e2e/laboratory"
)

// bin holds lab and what its Pods run.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "lab-*"); err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(bin) }()
		if err := laboratory.Build(context.Background(), bin, false); err != nil {
			panic(err)
		}
		out, err := exec.Command("go", "build", "-o", bin+"/", ".").CombinedOutput()
		if err != nil {
			panic(err.Error() + ": " + string(out))
		}
		return m.Run()
	}())
}

// lab runs the command and returns stdout; stderr goes to the test's log.
func lab(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(bin, "lab"), args...)
	var out, words bytes.Buffer
	command.Stdout, command.Stderr = &out, &words
	err := command.Run()
	t.Logf("lab %s:\n%s%s", strings.Join(args, " "), out.String(), words.String())
	if err != nil {
		return out.String(), errors.New(words.String())
	}
	return out.String(), nil
}

func TestLabStaysUpAfterTheCommandUntilDown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	up := []string{"up", "--dir", dir, "--bin-dir", bin, "--teams", "1", "--apps", "1", "--poll-interval", "2s"}
	t.Cleanup(func() { // also when the test failed in between
		if _, err := lab(t, "down", "--dir", dir); err != nil {
			t.Error(err)
		}
	})
	if _, err := lab(t, "status", "--dir", dir); err == nil {
		t.Error("status of a laboratory that is down succeeded")
	}
	out, err := lab(t, up...)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if err != nil {
		t.Fatal(err)
	}
	var described running
	if err := json.Unmarshal(content, &described); err != nil {
		t.Fatal(err)
	}
	if want := "KUBECONFIG=" + described.Kubeconfig + "\nGIT=" + described.Git.HTTP + "\n"; out != want {
		t.Errorf("up printed %q, want %q", out, want)
	}
	for _, path := range []string{described.Kubeconfig, described.CAFile, described.AuditLog, described.BinDir, described.Git.Dir} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	again, err := lab(t, up...)
	if err != nil || again != out {
		t.Errorf("up on a running laboratory: %q, %v; want %q", again, err, out)
	}
	if status, err := lab(t, "status", "--dir", dir); err != nil || status != out {
		t.Errorf("status: %q, %v; want %q", status, err, out)
	}

	team := described.Teams[0]
	commit, err := lab(t, "commit", "--dir", dir, "--team", team.Name)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.Replace(described.Git.HTTP, "://", "://"+described.Git.User+":"+described.Git.Password+"@", 1) + "/" + team.Repo + ".git"
	refs, err := exec.CommandContext(t.Context(), "git", "ls-remote", address, "refs/heads/"+team.Branch).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(refs), strings.TrimSpace(commit)) {
		t.Errorf("git ls-remote: %s, %v; want commit %s", refs, err, commit)
	}
	if _, err := lab(t, "commit", "--dir", dir, "--team", "nobody"); err == nil || !strings.Contains(err.Error(), team.Name) {
		t.Errorf("commit of an unknown team: %v; want the teams named", err)
	}

	words, err := lab(t, "down", "--dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, stopped := range []string{"kubelet", "Git server", "control plane"} {
		if !strings.Contains(words, "stopped the "+stopped) {
			t.Errorf("down said %q, not that it stopped the %s", words, stopped)
		}
	}
	mustNotRun(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "lab.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lab.json is still there: %v", err)
	}
}

func TestInterruptedUpLeavesNothingRunning(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "lab"), "up", "--dir", dir, "--bin-dir", bin, "--teams", "2", "--apps", "1")
	var words bytes.Buffer
	command.Stderr = &words
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the control plane to start", func() bool { return len(processesNaming(t, dir+"/controlplane")) > 0 })
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := command.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("interrupted up: %v, want exit code %d\n%s", err, exitInterrupted, words.String())
	}
	mustNotRun(t, dir)
}

func TestFailedUpSaysWhy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	_, err := lab(t, "up", "--dir", dir, "--bin-dir", bin, "--profile", "odd")
	if err == nil || !strings.Contains(err.Error(), `no profile "odd"`) {
		t.Errorf("error %v, want one about the profile", err)
	}
	mustNotRun(t, dir)
}

func TestDownEndsOnlyItsOwnProcess(t *testing.T) {
	dir := t.TempDir()
	stranger := exec.CommandContext(t.Context(), "sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	r := &running{PID: stranger.Process.Pid, Executable: filepath.Join(dir, "bin", "lab")}
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	var words bytes.Buffer
	if err := down(t.Context(), dir, &words); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(words.String(), "no laboratory runs") {
		t.Errorf("down said %q", words.String())
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other process: %v", err)
	}
}

func mustNotRun(t *testing.T, dir string) {
	t.Helper()
	if left := processesNaming(t, dir); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
}

// processesNaming lists processes whose command line names a folder.
func processesNaming(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no processes in /proc (%v); this test needs Linux", err)
	}
	var found []string
	for _, path := range paths {
		content, err := os.ReadFile(path)
		line := string(bytes.ReplaceAll(content, []byte{0}, []byte(" ")))
		if err == nil && strings.Contains(line, dir) && !strings.Contains(line, "/lab up ") {
			found = append(found, line)
		}
	}
	return found
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
