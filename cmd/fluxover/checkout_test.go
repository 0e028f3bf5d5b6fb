package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
		{[]string{"--checkout", "git@github.com:org/dev-team1=" + tenancy + "-team1", "--checkout", tenancy}, "checkout/fluxcd__multi-tenancy flux-system/flux team1/flux"}, // which team1/flux reads
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

// A checkout that holds too much is told, and the other one is read.
func TestACheckoutThatIsTooDeepDoesNotEndTheDiscovery(t *testing.T) {
	deep, other := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(deep, strings.Repeat("d/", 101)), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, other, map[string]string{"x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"})
	var out, progress bytes.Buffer
	cmd := newRoot(streams{Out: &out, Err: &progress})
	cmd.SetArgs([]string{"discover", "--no-cluster", "-o", "json", "--checkout", "git@h:o/deep=" + deep, "--checkout", "git@h:o/other=" + other})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	var inv migrate.Inventory
	if err := json.Unmarshal(out.Bytes(), &inv); err != nil {
		t.Fatal(err)
	}
	if len(inv.Agents) != 2 || !slices.Contains(inv.Agents[0].Unknown, "counts") || inv.Agents[1].Counts.Objects != 1 {
		t.Errorf("agents: %+v", inv.Agents)
	}
	told := slices.DeleteFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code != "TREE_TOO_LARGE" })
	if len(told) != 1 || !strings.Contains(told[0].Message, "nested deeper than 100") {
		t.Errorf("it is told so: %+v", told)
	}
}

// The repository of an agent that one checkout declares is read from another one.
func TestACheckoutIsReadAsTheAgentThatAnotherOneDeclares(t *testing.T) {
	infra, shop := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		filepath.Join(infra, "flux.yaml"): `apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: flux}
spec:
  selector: {matchLabels: {name: flux}}
  template:
    metadata: {labels: {name: flux}}
    spec: {containers: [{name: flux, image: "fluxcd/flux:1.25.4", args: ["--git-url=git@git.example.com:org/shop", --git-path=prod, --k8s-default-namespace=till]}]}
`,
		filepath.Join(shop, "prod", "a.yaml"): "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
		filepath.Join(shop, "test", "b.yaml"): "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(url string, flags ...string) (ids []string, objects int) {
		t.Helper()
		code, out, errs := runDiscover(t, append([]string{"--no-cluster", "--checkout", infra, "--checkout", url + "=" + shop, "-o", "json"}, flags...)...)
		var inv migrate.Inventory
		if err := json.Unmarshal([]byte(out), &inv); err != nil || code != exitDone {
			t.Fatalf("exit code %d, %v: %s", code, err, errs)
		}
		for _, a := range inv.Agents {
			ids = append(ids, a.ID)
			if a.ID == "flux/flux" {
				objects = a.Counts.Objects
			}
		}
		return ids, objects
	}
	infraID, shopID := "checkout/"+filepath.Base(infra), "checkout/"+filepath.Base(shop)
	if ids, objects := read("https://git.example.com/org/shop.git"); !slices.Equal(ids, []string{infraID, "flux/flux"}) || objects != 1 {
		t.Errorf("agents %v, of whom flux/flux applies %d objects", ids, objects)
	}
	// Whoever says how it is read gets that, too.
	if ids, objects := read("https://git.example.com/org/shop.git", "--git-path=test"); !slices.Equal(ids, slices.Sorted(slices.Values([]string{infraID, shopID, "flux/flux"}))) || objects != 1 {
		t.Errorf("agents %v, of whom flux/flux applies %d objects", ids, objects)
	}
	if ids, _ := read("https://git.example.com/org/other.git"); !slices.Equal(ids, slices.Sorted(slices.Values([]string{infraID, shopID, "flux/flux"}))) {
		t.Errorf("agents %v", ids)
	}
}

// A URL and a branch tell whose repository it is: an agent that it declares with the same
// reads it, by its own paths, and nobody else does.
func TestACheckoutIsReadAsTheAgentThatItDeclares(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		filepath.Join(dir, "boot", "flux.yaml"): `apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: flux}
spec:
  selector: {matchLabels: {name: flux}}
  template:
    metadata: {labels: {name: flux}}
    spec: {containers: [{name: flux, image: "fluxcd/flux:1.25.4", args: ["--git-url=git@git.example.com:org/shop", --git-branch=master, --git-path=app]}]}
`,
		filepath.Join(dir, "app", "a.yaml"): "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	const url = "git@git.example.com:org/shop"
	reader := "checkout/" + filepath.Base(dir)
	for name, c := range map[string]struct {
		args  []string
		want  []string
		inGit int
	}{
		"its URL beside it":     {[]string{"--checkout", dir, "--git-url", url}, []string{"flux/flux"}, 0},
		"its URL in front":      {[]string{"--checkout", url + "=" + dir}, []string{"flux/flux"}, 0},
		"its branch, too":       {[]string{"--checkout", dir, "--git-url", url, "--git-branch", "master"}, []string{"flux/flux"}, 0},
		"another branch":        {[]string{"--checkout", dir, "--git-url", url, "--git-branch", "other"}, []string{"checkout/shop", "flux/flux"}, 1},
		"another repository's":  {[]string{"--checkout", dir, "--git-url", url + "s"}, []string{"checkout/shops", "flux/flux"}, 1},
		"paths that are given":  {[]string{"--checkout", dir, "--git-url", url, "--git-path", "boot"}, []string{"checkout/shop", "flux/flux"}, 1},
		"nothing but its files": {[]string{"--checkout", dir}, []string{reader, "flux/flux"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := runDiscover(t, append([]string{"--no-cluster", "-o", "json"}, c.args...)...)
			var inv migrate.Inventory
			if err := json.Unmarshal([]byte(out), &inv); err != nil || code != exitDone {
				t.Fatalf("exit code %d, %v: %s", code, err, errs)
			}
			var got []string
			for _, a := range inv.Agents {
				got = append(got, a.ID)
				if len(c.want) == 1 && (a.Counts.Objects != 1 || a.InstalledBy != "manifest") {
					t.Errorf("%s applies %d objects, and is installed by %q", a.ID, a.Counts.Objects, a.InstalledBy)
				}
			}
			inGit := 0
			for _, f := range inv.Findings {
				if f.Code == "AGENT_IN_GIT" {
					inGit++
				}
			}
			if !slices.Equal(got, c.want) || inGit != c.inGit {
				t.Errorf("agents %v, want %v; AGENT_IN_GIT %d times, want %d", got, c.want, inGit, c.inGit)
			}
		})
	}
}

// A clone tells by its remotes whose repository it is.
func TestACloneIsReadAsTheAgentThatItDeclares(t *testing.T) {
	dir := teamRepository(t, map[string]string{"boot/flux.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: flux}
spec:
  selector: {matchLabels: {name: flux}}
  template:
    metadata: {labels: {name: flux}}
    spec: {containers: [{name: flux, image: "fluxcd/flux:1.25.4", args: ["--git-url=git@git.example.com:org/shop", --git-branch=main, --git-path=apps]}]}
`})
	config := filepath.Join(dir, ".git", "config")
	before, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	reader := "checkout/" + filepath.Base(dir)
	for name, c := range map[string]struct {
		remotes string
		flags   []string
		want    []string
		objects int // that flux/flux applies
	}{
		"its clone":            {"[remote \"origin\"]\n\turl = https://git.example.com/org/shop.git\n", nil, []string{"flux/flux"}, 3},
		"a fork of it":         {"[remote \"origin\"]\n\turl = https://git.example.com/me/shop.git\n[remote \"upstream\"]\n\turl = https://git.example.com/org/shop\n", nil, []string{"flux/flux"}, 3},
		"and described":        {"[remote \"origin\"]\n\turl = https://git.example.com/org/shop.git\n", []string{"--git-path=apps/web"}, []string{reader, "flux/flux"}, 3},
		"of another branch":    {"[remote \"origin\"]\n\turl = https://git.example.com/org/shop.git\n", []string{"--git-branch=other"}, []string{reader, "flux/flux"}, 0},
		"another repository's": {"[remote \"origin\"]\n\turl = https://git.example.com/org/till.git\n", nil, []string{reader, "flux/flux"}, 0},
		"without a remote":     {"", nil, []string{reader, "flux/flux"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(config, append(slices.Clone(before), c.remotes...), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errs := runDiscover(t, append([]string{"--no-cluster", "-o", "json", "--checkout", dir}, c.flags...)...)
			var inv migrate.Inventory
			if err := json.Unmarshal([]byte(out), &inv); err != nil || code != exitDone {
				t.Fatalf("exit code %d, %v: %s", code, err, errs)
			}
			var got []string
			for _, a := range inv.Agents {
				got = append(got, a.ID)
				if a.ID == "flux/flux" && a.Counts.Objects != c.objects {
					t.Errorf("it applies %d objects, want %d", a.Counts.Objects, c.objects)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("agents %v, want %v", got, c.want)
			}
			for _, f := range inv.Findings {
				if f.Repository != "" && !slices.Contains(got, f.Repository) || strings.HasPrefix(f.Message, "the repository of "+reader) && !slices.Contains(got, reader) {
					t.Errorf("of none of them: %+v", f)
				}
			}
		})
	}
}

// The default namespace of an agent holds for what that one applies, and for no file beside;
// and a checkout in which nothing is found says so by an empty list.
func TestNoDefaultNamespaceHoldsBesideTheAgentsPaths(t *testing.T) {
	dir := t.TempDir()
	deployment := func(namespace, more string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux" + namespace + "}\nspec:\n  selector: {matchLabels: {name: flux}}\n  template:\n    metadata: {labels: {name: flux}}\n" +
			"    spec: {containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=git@git.example.com:org/" + more + "]}]}\n"
	}
	writeFiles(t, dir, map[string]string{
		"boot/flux.yaml":  deployment(", namespace: flux", "shop', '--git-branch=master', '--git-path=app', '--k8s-default-namespace=team'"),
		"app/a.yaml":      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n",
		"other/flux.yaml": deployment("", "other', '--git-branch=master'"),
	})
	read := func(args ...string) (inv migrate.Inventory) {
		code, stdout, stderr := runDiscover(t, append([]string{"--no-cluster", "-o", "json"}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &inv); code != exitDone || err != nil {
			t.Fatalf("exit code %d, %v\n%s", code, err, stderr)
		}
		return inv
	}
	values := filepath.Join(t.TempDir(), "flux.yaml")
	if err := os.WriteFile(values, []byte("git: {url: 'git@git.example.com:org/shop', branch: master, path: app}\nadditionalArgs: [--k8s-default-namespace=team]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"as it is declared": nil, "by its values": {"--values", "flux/flux=" + values + "@1.13.3"}} {
		var ids []string
		for _, a := range read(append(args, "--checkout", "git@git.example.com:org/shop="+dir)...).Agents {
			ids = append(ids, a.ID)
		}
		if want := []string{"flux/flux", "unknown/flux"}; !slices.Equal(ids, want) {
			t.Errorf("%s: agents %v, want %v", name, ids, want)
		}
	}
	if inv := read("--checkout", "git@git.example.com:org/none="+filepath.Join(dir, "app")); inv.Findings == nil {
		t.Error("findings are null")
	}
}

// An agent that stands in the paths of another is synced by it; one that stands elsewhere in
// its repository is declared there, and by whom it is applied is not known.
func TestAgentsInAndOutsideOfTheOnesPathsAreToldApart(t *testing.T) {
	dir := t.TempDir()
	const map1 = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n"
	writeFiles(t, dir, map[string]string{
		"boot/flux.yaml":           fluxdThatReads("flux", "shop", ", --git-path=app"),
		"app/a.yaml":               map1,
		"app/team.yaml":            fluxdThatReads("team1", "team1", ""),
		"other/team.yaml":          fluxdThatReads("team2", "team2", ""),
		"clusters/b/flux.yaml":     fluxdThatReads("flux", "shop", ", --git-path=clusters/b"),
		"clusters/b/map.yaml":      strings.Replace(map1, "name: a", "name: b", 1),
		"stuff/deep/x.yaml":        map1,
		"stuff/deep/er/x.yaml":     map1,
		".github/workflows/x.yaml": map1,
		"stuff/values.yaml":        "a: b\n",
		"docs/values.yaml":         "a: b\n",
	})
	values := filepath.Join(t.TempDir(), "flux.yaml")
	const url = "git@git.example.com:org/shop"
	if err := os.WriteFile(values, []byte("git: {url: '"+url+"', branch: master, path: app}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const b = " flux/flux@manifests:flux1:2" // the other cluster's
	for name, c := range map[string]struct {
		args []string
		want string // each agent, who installs it, and how many objects it applies
	}{
		"the URL alone": {[]string{"--checkout", dir, "--git-url", url}, "flux/flux:manifest:2" + strings.Replace(b, "manifests", "clusters/b/flux.yaml", 1) + " team1/flux:flux1:0 team2/flux:manifest:0"},
		"its values":    {[]string{"--checkout", url + "=" + dir, "--values", "flux/flux=" + values + "@1.13.3"}, "flux/flux:helm:2" + b + " team1/flux:flux1:0 team2/flux:manifest:0"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := runDiscover(t, append([]string{"--no-cluster", "-o", "json"}, c.args...)...)
			var inv migrate.Inventory
			if err := json.Unmarshal([]byte(out), &inv); err != nil || code != exitDone {
				t.Fatalf("exit code %d, %v: %s", code, err, errs)
			}
			var got, inGit, unread []string
			for _, a := range inv.Agents {
				got = append(got, fmt.Sprintf("%s:%s:%d", a.ID, a.InstalledBy, a.Counts.Objects))
			}
			for _, f := range inv.Findings {
				switch f.Code {
				case "AGENT_IN_GIT":
					inGit = append(inGit, f.Repository+" "+f.Where)
				case "FOLDERS_UNREAD":
					unread = append(unread, f.Message)
				case "OBJECT_IN_TWO_AGENTS":
					t.Errorf("what two clusters have: %s", f.Message)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("agents %v, want %s", got, c.want)
			}
			if len(inGit) != 2 || !strings.HasPrefix(inGit[0], "flux/flux@") || !strings.HasSuffix(inGit[0], " clusters/b/flux.yaml:1") || inGit[1] != "team1/flux app/team.yaml:1" {
				t.Errorf("in the paths of an agent: %v", inGit)
			}
			if len(unread) != 1 || !strings.Contains(unread[0], "reads what boot, other, stuff holds (4 manifests)") {
				t.Errorf("of what no agent reads it says %q", unread)
			}
		})
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

// By its id an agent is planned, counted and accepted: no two of an inventory have one,
// by whatever they are told of. Those of a cluster alone are tested where they are found.
func TestAnIDStandsOnceInAnInventory(t *testing.T) {
	dir := t.TempDir()
	const values = "git: {url: 'git@git.example.com:org/shop', branch: master, path: cluster}"
	writeFiles(t, dir, map[string]string{
		"shop/boot/flux.yaml":    fluxdThatReads("flux", "shop", ", --git-path=cluster"),
		"shop/cluster/team.yaml": fluxdThatReads("team1", "team1", ""),
		// Two Deployments, of which one is of the release that has the name of the other.
		"shop/cluster/release.yaml": `apiVersion: helm.fluxcd.io/v1
kind: HelmRelease
metadata: {name: flux, namespace: team1}
spec:
  releaseName: flux
  chart: {repository: https://charts.fluxcd.io, name: flux, version: 1.3.0}
  values: {fullnameOverride: other, git: {url: git@git.example.com:org/other}}
`,
		"tf/main.tf":        "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n chart = \"flux\"\n version = \"1.13.3\"\n values = [\"" + values + "\"]\n}\n",
		"values.yaml":       values + "\n",
		"tills/flux/d.yaml": fluxdThatReads("checkout", "till", ""), // a namespace that folders are named like
		"one/r/d.yaml":      fluxdThatReads("flux", "one", ""),
		"two/r/d.yaml":      fluxdThatReads("flux", "two", ""),
		"three/r/d.yaml":    fluxdThatReads("flux", "three", ""),
	})
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	shop := "git@git.example.com:org/shop=" + at("shop")
	applied := []string{"flux/flux", "team1/flux", "team1/flux@shop/cluster/team.yaml"}
	for name, c := range map[string]struct {
		args, want []string
	}{
		"a checkout":             {[]string{"--checkout", shop}, []string{"flux/flux", "team1/flux", "team1/flux@cluster/team.yaml"}},
		"values":                 {[]string{"--values", "flux/flux=" + at("values.yaml") + "@1.13.3", "--checkout", shop}, applied},
		"Terraform":              {[]string{"--terraform", at("tf"), "--checkout", shop}, applied},
		"a folder like an agent": {[]string{"--checkout", at("tills/flux")}, []string{"checkout/flux", "checkout/flux@manifests"}},
		"folders of one name": {[]string{"--checkout", "git@git.example.com:org/one=" + at("one/r"), "--checkout", "git@git.example.com:org/two=" + at("two/r"), "--checkout", "git@git.example.com:org/three=" + at("three/r")},
			[]string{"flux/flux", "flux/flux@r-2", "flux/flux@r-3"}},
	} {
		t.Run(name, func(t *testing.T) {
			saved := filepath.Join(t.TempDir(), "inventory.json")
			code, out, errs := runDiscover(t, append([]string{"--no-cluster", "-o", "json", "--save", saved}, c.args...)...)
			var inv migrate.Inventory
			if err := json.Unmarshal([]byte(out), &inv); err != nil || code != exitDone {
				t.Fatalf("exit code %d, %v: %s", code, err, errs)
			}
			var got []string
			for _, a := range inv.Agents {
				got = append(got, a.ID)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("agents %v, want %v", got, c.want)
			}
			for _, f := range inv.Findings {
				if f.Repository != "" && !slices.Contains(got, f.Repository) {
					t.Errorf("of none of them: %+v", f)
				}
			}
			// What an earlier version saved may hold one twice.
			content, err := os.ReadFile(saved)
			if err != nil {
				t.Fatal(err)
			}
			var file map[string]any
			if err := json.Unmarshal(content, &file); err != nil {
				t.Fatal(err)
			}
			file["agents"] = append(file["agents"].([]any), file["agents"].([]any)[0])
			if content, err = json.Marshal(file); err == nil {
				err = os.WriteFile(saved, content, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if code, out, errs := runDiscover(t, "--inventory", saved); code != exitFailed || out != "" || !strings.Contains(errs, got[0]+" is found twice") {
				t.Errorf("of a file that holds %s twice: exit code %d: %s%s", got[0], code, out, errs)
			}
		})
	}
}

// fluxdThatReads is the manifest of a fluxd in a namespace, of a repository, with more arguments.
func fluxdThatReads(namespace, repository, more string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: ` + namespace + `}
spec:
  selector: {matchLabels: {name: flux}}
  template:
    metadata: {labels: {name: flux}}
    spec: {containers: [{name: flux, image: "fluxcd/flux:1.25.4", args: ["--git-url=git@git.example.com:org/` + repository + `", --git-branch=master` + more + `]}]}
`
}

// writeFiles writes files below a folder, by their names there.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}
