package main

import (
	"strings"
	"testing"
)

// The first four are the vectors of the reference, section 2.7; the last is a
// label that fluxd 1.25.4 wrote (testdata/real/roots).
func TestMarksEqualTheReferenceVectors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url, branch string
		paths       []string
		id          identity
		want        string
	}{
		{"git@github.com:org/app", "main", []string{"deploy"}, identity{"demo", "deployment", "podinfo"},
			"sha256.k9L-nKM9beP_v-RyAgs0-gHnZF4p2s870B_of22Mvbw"},
		{"ssh://git@github.com/org/app", "main", []string{"deploy"}, identity{"", "namespace", "demo"},
			"sha256.vr7RdAym4poU_KE_KdWr-Ps8ew4mZlDrbjmqvtWc4NU"},
		{"git@github.com:org/app", "master", nil, identity{"demo", "deployment", "podinfo"},
			"sha256.9oPCa0UWmUzOz-JUOoXU-K5VXP4EOAOTn4KVo49htQY"},
		{"https://bot:secret@github.com/org/app.git", "main", []string{"a", "b"}, newIdentity("demo", "Deployment", "podinfo"),
			"sha256.P-uDKP_2E8I1YBmuHnyhCKGiu0QZIUuaJJ-fufmY7YQ"},
		{"git@git.example.com:teams/roots.git", "main", []string{"one", "two/file.yaml", "three.txt", "link", "chart/crds"},
			identity{"roots", "configmap", "a-dir"}, "sha256.te7faaXkKTDaQUjfc9i2JFOmT5zCmXMfGq75AE0gqTI"},
	} {
		got := mark(setName(safeURL(c.url), c.branch, c.paths), c.id.String())
		if got != c.want {
			t.Errorf("%s %s %v %s: mark %s, want %s", safeURL(c.url), c.branch, c.paths, c.id, got, c.want)
		}
	}
}

func TestSafeURLKeepsTheUserAndDropsThePassword(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"git@host:org/repo":                 "ssh://git@host/org/repo",
		"git@host:org/repo.git":             "ssh://git@host/org/repo.git",
		"git@host:2222/org/repo":            "ssh://git@host/2222/org/repo",
		"git@host:/abs/repo":                "ssh://git@host/abs/repo",
		"host:org/repo":                     "ssh://host/org/repo",
		"ssh://git@host:2222/org/repo":      "ssh://git@host:2222/org/repo",
		"https://user:pw@host/x.git":        "https://user@host/x.git",
		"https://user:p%40w@host/x":         "https://user@host/x",
		"https://host/x":                    "https://host/x",
		"https://us%40er:pw@host/x":         "https://us%40er@host/x",
		"file:///srv/x.git":                 "file:///srv/x.git",
		"/srv/x.git":                        "file:///srv/x.git",
		"https://user:%zz@host/unparseable": "<unparseable URL>",
	} {
		if got := safeURL(raw); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
		if strings.Contains(safeURL(raw), "pw") {
			t.Errorf("%s: the password is shown", raw)
		}
	}
}

func TestRedactRemovesThePasswordFromGitOutput(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"https://bot:s3cr3t@host/x", "https://bot:s3%20cr3t@host/x", "https://bot:s3cr3t@ho st/x"} {
		output := "fatal: unable to access '" + raw + "/': s3cr3t s3 cr3t s3%20cr3t"
		got := redact(raw)(output)
		if strings.Contains(got, "bot:s3") {
			t.Errorf("%s is left in %q", raw, got)
		}
	}
}

func TestSameRepositoryIgnoresSpellingAndGitSuffix(t *testing.T) {
	t.Parallel()
	if !sameRepository("git@host:org/repo.git", "ssh://git@host/org/repo") || !sameRepository("https://host/org/repo", "git@host:org/repo") {
		t.Error("spellings of one repository are told apart")
	}
	if sameRepository("git@host:org/repo", "git@host:org/other") || sameRepository("git@host:org/repo", "git@other:org/repo") {
		t.Error("different repositories count as one")
	}
}
