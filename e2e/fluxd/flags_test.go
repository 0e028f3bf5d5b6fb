package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFlagsAreThoseOfTheRealDaemon compares with a list taken from its help.
func TestFlagsAreThoseOfTheRealDaemon(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/real/flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{"stringSlice": "strings", "float64": "float", "int": "int", "uint": "uint"}
	set := flagSet(&settings{})
	rows := 0
	for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:] {
		fields := strings.Split(line, " | ")
		name, kind, short, value := fields[0], fields[1], fields[2], strings.Trim(fields[3], `"`)
		rows++
		f := set.Lookup(name)
		if f == nil {
			t.Errorf("--%s is missing", name)
			continue
		}
		got := f.Value.Type()
		if plain, ok := kinds[got]; ok {
			got = plain
		}
		if got != kind {
			t.Errorf("--%s is a %s, want %s", name, got, kind)
		}
		if want := strings.Trim(short, "-"); f.Shorthand != want {
			t.Errorf("--%s has shorthand %q, want %q", name, f.Shorthand, want)
		}
		have := f.DefValue
		switch {
		case strings.HasPrefix(name, "ssh-keygen-"):
			continue // no value of its own: ssh-keygen decides
		case value == "" && (have == "[]" || have == "false" || have == "0"):
			continue
		case have != value:
			t.Errorf("--%s defaults to %q, want %q", name, have, value)
		}
	}
	if rows < 60 {
		t.Errorf("only %d flags were compared", rows)
	}
	// Deprecated ones are accepted, though its help does not list them.
	for _, name := range []string{"git-verify-signatures", "k8s-namespace-whitelist", "kube-config", "k8s-in-cluster", "registry-poll-interval", "registry-cache-expiry"} {
		if set.Lookup(name) == nil {
			t.Errorf("deprecated --%s is missing", name)
		}
	}
}

func TestFlagsFollowThePflagRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want []string // git paths
	}{
		{nil, nil},
		{[]string{"--git-path="}, []string{}},
		{[]string{"--git-path=a,b"}, []string{"a", "b"}},
		{[]string{"--git-path", "a"}, []string{"a"}},
		{[]string{"--git-path=a, b"}, []string{"a", " b"}},
		{[]string{"--git-path=a", "--git-path=b,c"}, []string{"a", "b", "c"}},
		{[]string{`--git-path="a,b",c`}, []string{"a,b", "c"}},
		{[]string{"--git-path=[a b]"}, []string{"[a b]"}},
	} {
		set, err := parseFlags(c.args, &bytes.Buffer{})
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
			continue
		}
		if len(c.want) == 0 && len(set.gitPaths) == 0 {
			continue
		}
		if diff := cmp.Diff(c.want, set.gitPaths); diff != "" {
			t.Errorf("%q: %s", c.args, diff)
		}
	}
	set, err := parseFlags([]string{"--git-branch=a", "--git-branch=b", "--git-readonly", "--k8s-allow-namespace=x",
		"--k8s-namespace-whitelist=y", "--git-label=l", "--git-sync-tag=t", "--git-verify-signatures"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if err := set.check(); err != nil {
		t.Fatal(err)
	}
	if set.gitBranch != "b" || set.syncState != "secret" || set.gitSyncTag != "l" || set.verifySignaturesMode != "all" || len(set.allowedNamespaces()) != 2 {
		t.Errorf("settings are %+v", set)
	}
}

func TestWrongCommandLinesEndAsWithTheRealDaemon(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		code int
		word string
	}{
		{"--nope", exitUsage, "unknown flag: --nope"},
		{"--sync-timeout=abc", exitUsage, "invalid argument"},
		{"--git-path=/abs", exitFailed, "leading forward slash"},
		{"--sync-state=other", exitFailed, "other"},
		{"--git-verify-signatures-mode=other", exitFailed, "other"},
		{"--help", exitDone, "--git-url"},
		{"--version", exitDone, version},
	} {
		var out bytes.Buffer
		if code := run([]string{c.args}, &out, &out); code != c.code || !strings.Contains(out.String(), c.word) {
			t.Errorf("%s: exit code %d, want %d with %q in:\n%s", c.args, code, c.code, c.word, out.String())
		}
	}
}
