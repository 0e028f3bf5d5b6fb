package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

func TestDiscoverReadsCheckoutsWithoutACluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	real := filepath.Join("..", "..", "discover", "testdata", "real")
	discovered := func(args ...string) (migrate.Inventory, error) {
		t.Helper()
		var out, progress bytes.Buffer
		cmd := newRoot(streams{Out: &out, Err: &progress})
		cmd.SetArgs(append([]string{"discover", "--no-cluster", "-o", "json"}, args...))
		err := cmd.ExecuteContext(t.Context())
		var inv migrate.Inventory
		if err == nil {
			if err := json.Unmarshal(out.Bytes(), &inv); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(progress.String(), "reading the repository in") {
				t.Errorf("progress: %s", &progress)
			}
		}
		return inv, err
	}
	ids := func(inv migrate.Inventory) string {
		var out []string
		for _, a := range inv.Agents {
			out = append(out, a.ID)
		}
		return strings.Join(out, " ")
	}
	tenancy := filepath.Join(real, "fluxcd__multi-tenancy")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--checkout", tenancy, "--git-path", "cluster", "--git-url", "git@github.com:org/dev-cluster", "--git-branch", "master"}, "flux-system/flux team1/flux"},
		{[]string{"--checkout", tenancy}, "checkout/fluxcd__multi-tenancy flux-system/flux team1/flux"},
		{[]string{"--checkout", "git@github.com:org/dev-team1=" + tenancy + "-team1", "--checkout", tenancy}, "checkout/fluxcd__multi-tenancy checkout/fluxcd__multi-tenancy-team1 flux-system/flux team1/flux"},
		{[]string{"--checkout", tenancy, "--checkout", tenancy}, "checkout/fluxcd__multi-tenancy checkout/fluxcd__multi-tenancy-2 flux-system/flux flux-system/flux@fluxcd__multi-tenancy-2 team1/flux team1/flux@fluxcd__multi-tenancy-2"},
	} {
		inv, err := discovered(c.args...)
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
		} else if got := ids(inv); got != c.want {
			t.Errorf("%q: agents %s, want %s", c.args, got, c.want)
		}
	}
	for _, args := range [][]string{
		{"--git-path", "cluster"},
		{"--checkout", ""},
		{"--checkout", tenancy, "--checkout", real, "--git-url", "git@github.com:a/b"},
		{"--checkout", "git@github.com:a/b=" + tenancy, "--git-url", "git@github.com:a/b"},
		{"--checkout", filepath.Join(real, "nothere")},
	} {
		if _, err := discovered(args...); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestACheckoutIsReadInTheNamespacesThatAreGiven(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nameless.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nameless}\n",
		"inside.yaml":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: inside, namespace: shop}\n",
		"outside.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: outside, namespace: elsewhere}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--no-cluster", "--checkout", dir, "--git-url", "git@github.com:org/shop", "-o", "json"}
	read := func(more ...string) migrate.Flux1Agent {
		t.Helper()
		code, out, errs := runDiscover(t, append(args, more...)...)
		var inv migrate.Inventory
		if err := json.Unmarshal([]byte(out), &inv); err != nil || code != exitDone || len(inv.Agents) != 1 {
			t.Fatalf("exit code %d, %v: %s", code, err, errs)
		}
		return inv.Agents[0]
	}
	without, with := read(), read("--default-namespace", "shop", "--allow-namespace", "shop,till")
	if with.DefaultNamespace != "shop" || !slices.Equal(with.AllowedNamespaces, []string{"shop", "till"}) {
		t.Errorf("default namespace %q, allowed %q", with.DefaultNamespace, with.AllowedNamespaces)
	}
	// The object in a namespace that is not allowed is none of the agent's.
	if without.Counts.Objects != 3 || with.Counts.Objects != 2 {
		t.Errorf("%d objects, and %d with the namespaces", without.Counts.Objects, with.Counts.Objects)
	}
}
