package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPasswordOfTheURLIsInNoError(t *testing.T) {
	t.Parallel()
	set, err := parseFlags([]string{"--git-url=https://bot:s3cr3t%21@127.0.0.1:1/x.git", "--git-timeout=20s"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	r := newRepository(set, "", t.TempDir())
	if r.step(t.Context()) {
		t.Fatal("a repository that is not there was cloned")
	}
	_, err = r.status()
	if err == nil || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("the error is %v; it should name the host and not the password", err)
	}
}

func TestSSHUsesTheKeysOfThePodWithStrictHostKeys(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	got := sshCommand(&settings{secretVolumeMountPath: "/etc/fluxd/ssh", explicit: map[string]bool{}}, podRoot(root))
	for _, want := range []string{
		"-i " + filepath.Join(root, "etc/fluxd/ssh/identity"), "-i " + filepath.Join(root, "var/fluxd/keygen/identity"),
		"StrictHostKeyChecking=yes", "UserKnownHostsFile=" + filepath.Join(root, "root/.ssh/known_hosts"), "-F /dev/null",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
}

func TestKeyIsMadeWithoutSSHKeygen(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	file := filepath.Join(t.TempDir(), "identity")
	if err := makeKey(t.Context(), &settings{}, file); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	key, err := describeKey(t.Context(), file)
	if err != nil || !strings.HasPrefix(key.Key, "ssh-ed25519 ") || key.Fingerprints["sha256"].Hash == "" {
		t.Errorf("key is %+v, %v", key, err)
	}
}

func TestMetricsCountSyncsByOutcome(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.synced(false, 100*time.Millisecond)
	m.synced(true, 7*time.Second)
	m.synced(true, time.Second)
	m.applied(3, 1)
	var out strings.Builder
	m.write(&out)
	for _, want := range []string{
		`flux_daemon_sync_duration_seconds_count{success="true"} 2`, `flux_daemon_sync_duration_seconds_count{success="false"} 1`,
		`flux_daemon_sync_duration_seconds_bucket{success="true",le="5"} 1`, `flux_daemon_sync_duration_seconds_bucket{success="true",le="10"} 2`,
		`flux_daemon_sync_manifests{success="true"} 3`, `flux_daemon_sync_manifests{success="false"} 1`,
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("%s is missing in:\n%s", want, out.String())
		}
	}
}

// What of its own environment the daemon gives to git, by a git that writes down
// what it is given.
func TestGitIsGivenFewOfTheVariables(t *testing.T) {
	w := newWorkshop(t, "variables")
	w.kubectl(namespaceManifest("variables"), "create", "-f", "-")
	w.commit(map[string]string{"a.yaml": configMap("variables", "a")}, "")
	git, err := exec.LookPath("git")
	w.must(err)
	env, err := exec.LookPath("env")
	w.must(err)
	given := filepath.Join(w.dir, "given")
	w.must(os.WriteFile(filepath.Join(w.dir, "bin", "git"), fmt.Appendf(nil, "#!/bin/sh\n%s >>%s\nexec %s \"$@\"\n", env, given, git), 0o700))
	const marker = "of-the-pod"
	seen, unseen := []string{
		"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "CLOUDSDK_CONFIG", "CLOUDSDK_PYTHON", "GIT_PROXY_COMMAND", "GNUPGHOME", "HTTPS_PROXY", "NO_PROXY",
		"NSS_WRAPPER_GROUP", "NSS_WRAPPER_PASSWD", "SECRETS_DIR", "SECRETS_EXTENSION", "http_proxy", "https_proxy", "no_proxy",
	}, []string{
		"ALL_PROXY", "all_proxy", "HTTP_PROXY", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY", "GIT_CONFIG_COUNT", "GIT_CONFIG_GLOBAL",
		"GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "XDG_CONFIG_HOME", "ANY_OTHER",
	}
	before := w.env
	for _, name := range append(slices.Clone(seen), unseen...) {
		w.env = append(w.env, name+"="+marker)
	}
	w.start()
	w.succeededSyncs(1)
	w.must(w.stop())
	w.env = before
	text, err := os.ReadFile(given)
	w.must(err)
	got := map[string]bool{}
	home := false
	for _, line := range strings.Split(string(text), "\n") {
		name, value, _ := strings.Cut(line, "=")
		if value == marker {
			got[name] = true
		}
		home = home || line == "HOME="+filepath.Join(w.dir, "home")
	}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, seen) || !home {
		t.Errorf("git is given %v and HOME %v, want %v and HOME", names, home, seen)
	}
}

func TestAPasswordInTheNetrcOfTheHomeIsUsed(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "netrc")
	w.kubectl(namespaceManifest("netrc"), "create", "-f", "-")
	server := w.serve("team", map[string][]byte{"a.yaml": []byte(configMap("netrc", "a"))})
	w.must(server.AllowUser("team", "bot", "pass-1", true))
	w.must(os.WriteFile(filepath.Join(w.dir, "home", ".netrc"), []byte("machine 127.0.0.1 login bot password pass-1\n"), 0o600))
	w.url = server.HTTPURL("team")
	w.start()
	w.succeededSyncs(1)
	if !w.exists("netrc", "a") {
		t.Error("the object is missing")
	}
}
