package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
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
