package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// runOffline runs a command with no cluster to be found.
func runOffline(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// teamRepository is a clone of a team's repository as an agent with sync tag
// left it.
func teamRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"apps/web/web.yaml":       "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web:1}]}\n",
		"apps/web/secret.yaml":    "apiVersion: v1\nkind: Secret\nmetadata: {name: web, namespace: shop}\nstringData: {password: MARKED-SECRET}\n",
		"apps/shop/namespace.yml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main", "."}, {"add", "."}, {"commit", "-q", "-m", "one"}, {"tag", "-a", "-m", "Sync pointer", "flux-sync"}} {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	return dir
}

func TestAPlanIsMadeWithoutAClusterAndTheSameFromTheSavedFile(t *testing.T) {
	repository := teamRepository(t)
	dir := t.TempDir()
	values := filepath.Join(dir, "values.yaml")
	if err := os.WriteFile(values, []byte("git: {url: 'git@git.example.com:shop/shop', branch: main, path: apps}\nssh: {known_hosts: 'git.example.com ssh-ed25519 AAAA'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	saved, planFile := filepath.Join(dir, "inventory.json"), filepath.Join(dir, "plan.json")
	witness := []string{"--no-cluster", "--values", "flux/shop=" + values, "--checkout", "git@git.example.com:shop/shop=" + repository}
	if code, _, errs := runOffline(t, append([]string{"discover", "--save", saved}, witness...)...); code != exitDone {
		t.Fatalf("discover: exit code %d: %s", code, errs)
	}
	code, direct, errs := runOffline(t, append([]string{"plan", "-o", "json", "--out", planFile}, witness...)...)
	codeSaved, fromFile, errsSaved := runOffline(t, "plan", "-o", "json", "--inventory", saved)
	if code != codeSaved || direct != fromFile {
		t.Errorf("exit codes %d and %d; the plans differ:\n%s\n%s\n%s\n%s", code, codeSaved, direct, fromFile, errs, errsSaved)
	}
	var plan migrate.Plan
	if err := json.Unmarshal([]byte(direct), &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Proof != "offline" || len(plan.Repositories) != 1 || len(plan.Repositories[0].Objects) != 3 || len(plan.Repositories[0].Kustomizations) != 2 || len(plan.Repositories[0].Commit) != 40 {
		t.Errorf("the plan: %s", direct)
	}
	for _, f := range plan.Findings {
		if f.Code == "RENDERING_DIFFERS" || f.Code == "OBJECT_LOST" || f.Code == "BUILD_FAILED" {
			t.Errorf("%s", f)
		}
	}
	// What the renderers write out differently counts as a difference.
	code, text, errs := runOffline(t, "diff", "--inventory", saved, "--all")
	if code == exitBlocked || code == exitFailed || !strings.Contains(errs, "no cluster was asked") || !strings.Contains(text, "Secret/shop/web") {
		t.Errorf("diff: exit code %d:\n%s\n%s", code, text, errs)
	}
	if code, _, errs := runOffline(t, "migrate", planFile, "--image", "x", "--yes"); code != exitUsage || !strings.Contains(errs, "proved offline") {
		t.Errorf("migrate took a plan that no cluster proved: exit code %d: %s", code, errs)
	}
	content, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	if all := direct + fromFile + text + errs + errsSaved + string(content); strings.Contains(all, "MARKED-SECRET") {
		t.Error("a secret is told")
	}
}
