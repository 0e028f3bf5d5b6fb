package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestSyncStopsBeforeTheFirstUnsignedCommit(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("needs gpg on PATH")
	}
	w := newWorkshop(t, "signed")
	// A socket's path must be short, which a test's directory is not.
	gnupg, err := os.MkdirTemp("", "gpg")
	w.must(err)
	w.env = append(w.env, "GNUPGHOME="+gnupg)
	gpg := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("gpg", append([]string{"--batch", "--quiet"}, args...)...)
		cmd.Env = w.env
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %s: %v", strings.Join(args, " "), err)
		}
		return string(out)
	}
	t.Cleanup(func() {
		kill := exec.Command("gpgconf", "--kill", "all")
		kill.Env = w.env
		if err := kill.Run(); err != nil {
			t.Logf("end gpg's helpers: %v", err)
		}
		if err := os.RemoveAll(gnupg); err != nil {
			t.Log(err)
		}
	})
	gpg("--passphrase", "", "--quick-generate-key", "Team <team@example.com>", "ed25519", "sign", "never")
	key := filepath.Join(w.dir, "public.asc")
	w.must(os.WriteFile(key, []byte(gpg("--armor", "--export")), 0o600))

	w.kubectl(namespaceManifest("signed"), "create", "-f", "-")
	w.git(w.tree, "config", "user.signingKey", "team@example.com")
	w.git(w.tree, "config", "commit.gpgSign", "true")
	w.commit(map[string]string{"a.yaml": configMap("signed", "a")}, "")
	w.start("--git-verify-signatures-mode=all", "--git-signing-key=team@example.com", "--git-gpg-key-import="+key)
	w.endedSyncs(2)

	w.git(w.tree, "config", "commit.gpgSign", "false")
	w.commit(map[string]string{"a.yaml": configMap("signed", "b")}, "")
	w.git(w.tree, "config", "commit.gpgSign", "true")
	w.commit(map[string]string{"a.yaml": configMap("signed", "c")}, "")
	w.notify()
	w.waitFor("the unsigned commit is found", func() bool {
		return strings.Contains(w.stderr.String(), "found invalid GPG signature for commit\" revision="+w.commits[1])
	})
	if tags := w.syncTags(); !strings.Contains(tags, "flux-sync tag commit-1") {
		t.Errorf("tags are %q", tags)
	}
	if !w.exists("signed", "a") || w.exists("signed", "b") || w.exists("signed", "c") {
		t.Error("want the signed first commit applied and nothing after it")
	}
	if out := w.git(w.bare, "cat-file", "-p", "flux-sync"); !strings.Contains(out, "BEGIN PGP SIGNATURE") {
		t.Errorf("the sync tag is not signed:\n%s", out)
	}
}
