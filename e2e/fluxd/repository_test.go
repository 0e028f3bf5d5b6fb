package main

import (
	"bytes"
	"os"
	"path/filepath"
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
