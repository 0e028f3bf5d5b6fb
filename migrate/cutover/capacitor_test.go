package cutover

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/gitserver"
	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/source"
)

func testCapacitor(t *testing.T, url string, secret map[string][]byte) *GitCapacitor {
	t.Helper()
	git, err := source.Open(t.TempDir(), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewCapacitor(git, CapacitorOptions{URL: url, Cluster: "lab", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	g.env, g.identity = &env{run: "0123"}, "uid"
	return g
}

func adding(subject string, files map[string]string) *capacitorEdit {
	return &capacitorEdit{verb: "settle", subject: subject, change: func(_ fs.FS, _ emit.Settings, changes map[string][]byte) error {
		for p, content := range files {
			changes[p] = []byte(content)
		}
		return nil
	}}
}

const writtenForShop = "# Written by fluxover for flux/shop. Edits are lost when it is written again.\n"

func TestTheCapacitorKeepsWhatPeopleWrote(t *testing.T) {
	g := testCapacitor(t, "https://git.example.com/capacitor", nil)
	own := adding("flux/shop", map[string]string{"clusters/lab/shop/source.yaml": writtenForShop + "kind: GitRepository\n"})
	for name, c := range map[string]struct {
		tree fstest.MapFS
		want string // part of the error; empty: none
	}{
		"an empty repository": {tree: fstest.MapFS{}},
		"its own file":        {tree: fstest.MapFS{"clusters/lab/shop/source.yaml": {Data: []byte(writtenForShop + "kind: Old\n")}}},
		"somebody's file where its own is to be": {
			tree: fstest.MapFS{"clusters/lab/shop/source.yaml": {Data: []byte("kind: GitRepository\n")}}, want: "clusters/lab/shop/source.yaml",
		},
		"another cluster's folder": {
			tree: fstest.MapFS{"clusters/lab/kustomization.yaml": {Data: []byte("# Written by fluxover for cluster lab (other). Edits are lost when it is written again.\nresources: []\n")}},
			want: "--capacitor-cluster",
		},
		"settings that do not parse":     {tree: fstest.MapFS{"capacitor.yaml": {Data: []byte("kind: [")}}, want: "capacitor.yaml"},
		"settings of another kind":       {tree: fstest.MapFS{"capacitor.yaml": {Data: []byte("apiVersion: v1\nkind: List\n")}}, want: "Capacitor"},
		"an interval that is no":         {tree: fstest.MapFS{"capacitor.yaml": {Data: []byte("apiVersion: fluxover.dev/v1\nkind: Capacitor\nsync: {interval: soon}\n")}}, want: "capacitor.yaml"},
		"an interval of nothing to wait": {tree: fstest.MapFS{"capacitor.yaml": {Data: []byte("apiVersion: fluxover.dev/v1\nkind: Capacitor\nsync: {interval: 1ms}\n")}}, want: "line 3"},
		"settings with more than is known": {
			tree: fstest.MapFS{"capacitor.yaml": {Data: []byte("apiVersion: fluxover.dev/v1\nkind: Capacitor\nsync: {interval: 7m}\nlater: {x: y}\n")}}, want: "line 4",
		},
		"another interval": {tree: fstest.MapFS{"capacitor.yaml": {Data: []byte("apiVersion: fluxover.dev/v1\nkind: Capacitor\nsync: {interval: 7m}\n")}}},
	} {
		t.Run(name, func(t *testing.T) {
			changes, err := g.edit(c.tree, []*capacitorEdit{own})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("want an error about %s, got %v", c.want, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, written := changes["capacitor.yaml"]
			if _, there := c.tree["capacitor.yaml"]; written == there {
				t.Errorf("capacitor.yaml there %v, written %v", there, written)
			}
			var sync unstructured.Unstructured
			if err := yaml.Unmarshal(changes["clusters/lab/agent/sync.yaml"], &sync.Object); err != nil {
				t.Fatal(err)
			}
			want := "10m0s"
			if name == "another interval" {
				want = "7m0s"
			}
			if interval, _, _ := unstructured.NestedString(sync.Object, "spec", "interval"); interval != want {
				t.Errorf("sync.yaml has the interval %q, want %q", interval, want)
			}
		})
	}
}

func TestWithdrawingLeavesOtherFilesInTheFolder(t *testing.T) {
	g := testCapacitor(t, "https://git.example.com/capacitor", nil)
	repo := migrate.Repository{ID: "flux/shop", Supporting: []*unstructured.Unstructured{manifest(t, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: shop, namespace: flux-system}\n")}}
	tree := fstest.MapFS{
		"clusters/lab/shop/source.yaml":        {Data: []byte(writtenForShop)},
		"clusters/lab/shop/notes.md":           {Data: []byte("by hand\n")},
		"clusters/lab/agent/teams/shop.yaml":   {Data: []byte(writtenForShop)},
		"clusters/lab/agent/teams/other.yaml":  {Data: []byte(strings.ReplaceAll(writtenForShop, "shop", "other"))},
		"clusters/lab/shop-two/source.yaml":    {Data: []byte(strings.ReplaceAll(writtenForShop, "shop", "shop-two"))},
		"clusters/elsewhere/shop/source.yaml":  {Data: []byte(writtenForShop)},
		"clusters/lab/shop/of-another-id.yaml": {Data: []byte(strings.ReplaceAll(writtenForShop, "shop", "x"))},
	}
	changes, err := g.edit(tree, []*capacitorEdit{{verb: "withdraw", subject: repo.ID, change: func(files fs.FS, _ emit.Settings, changes map[string][]byte) error {
		return g.layout().Remove(files, &repo, changes)
	}}})
	if err != nil {
		t.Fatal(err)
	}
	var gone []string
	for p, content := range changes {
		if content == nil {
			gone = append(gone, p)
		}
	}
	slices.Sort(gone)
	if want := []string{"clusters/lab/agent/teams/shop.yaml", "clusters/lab/shop/source.yaml"}; !slices.Equal(gone, want) {
		t.Errorf("removed %q, want %q", gone, want)
	}
	index := string(changes[emit.IndexPath("lab")])
	if strings.Contains(index, "teams/shop.yaml") || !strings.Contains(index, "teams/other.yaml") {
		t.Errorf("the index is\n%s", index)
	}
}

func TestTheCapacitorsAccountGetsRightsByNameOnly(t *testing.T) {
	repo := migrate.Repository{ID: "flux/shop", Supporting: []*unstructured.Unstructured{
		manifest(t, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: shop, namespace: flux-system}\n"),
		manifest(t, "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: copy}\nrules: []\n"),
		manifest(t, "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b1}\nroleRef: {kind: ClusterRole, name: copy}\n"),
		manifest(t, "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: b2, namespace: shop}\nroleRef: {kind: Role, name: deployer}\n"),
	}}
	access, err := emit.AccessOf(&repo)
	if err != nil {
		t.Fatal(err)
	}
	rules, _, _ := unstructured.NestedSlice(access[0].Object, "rules")
	got := map[string]string{}
	for _, r := range rules {
		m := r.(map[string]any)
		if names, _ := m["resourceNames"].([]any); len(names) == 0 {
			t.Errorf("a rule without names: %v", m)
		}
		for _, verb := range m["verbs"].([]any) {
			if verb == "escalate" || verb == "bind" || verb == "*" {
				got[fmt.Sprint(verb, m["resources"])] += fmt.Sprint(m["resourceNames"])
			}
		}
	}
	want := map[string]string{"escalate[clusterroles]": "[copy]", "bind[clusterroles]": "[copy]", "bind[roles]": "[deployer]"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	repo.Supporting = append(repo.Supporting, manifest(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: shop}\n"))
	if _, err := emit.AccessOf(&repo); err == nil || !strings.Contains(err.Error(), "ConfigMap/shop/x") {
		t.Errorf("a kind without a rule: %v", err)
	}
}

// settledOn is a flux-capacitor on a real Git server, to which its user may push
// or not, with the files that somebody committed to it.
func settledOn(t *testing.T, mayPush bool, files map[string][]byte) (*gitserver.Server, *GitCapacitor) {
	t.Helper()
	server, err := gitserver.Start(t.Context(), gitserver.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := server.CreateRepo(t.Context(), "capacitor", "main"); err != nil {
		t.Fatal(err)
	}
	if err := server.AllowUser("capacitor", "bot", "password", mayPush); err != nil {
		t.Fatal(err)
	}
	if len(files) > 0 {
		if _, err := server.Commit(t.Context(), "capacitor", "main", "by hand", files); err != nil {
			t.Fatal(err)
		}
	}
	g := testCapacitor(t, server.HTTPURL("capacitor"), map[string][]byte{"username": []byte("bot"), "password": []byte("password")})
	if err := g.Check(t.Context()); err != nil {
		t.Fatalf("an empty repository, or one with other files, is fine: %v", err)
	}
	return server, g
}

func teamFile(i int) string { return fmt.Sprintf("clusters/lab/team%d/source.yaml", i) }

// settleTogether commits the files of so many teams. The first is held up in the
// middle of its push until all others wait, so that those are one batch. It
// returns what each was told, and how often each was asked for its files.
func settleTogether(t *testing.T, g *GitCapacitor, teams int) (errs []error, asked []int) {
	t.Helper()
	errs, asked = make([]error, teams), make([]int, teams)
	others := func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.waiting) == teams-1 }
	var wg sync.WaitGroup
	begun := make(chan struct{})
	var once sync.Once
	for i := range teams {
		e := adding(fmt.Sprintf("flux/team%d", i), map[string]string{teamFile(i): strings.ReplaceAll(writtenForShop, "shop", fmt.Sprintf("team%d", i))})
		change := e.change
		e.change = func(files fs.FS, s emit.Settings, changes map[string][]byte) error {
			asked[i]++
			if i == 0 {
				once.Do(func() { close(begun) })
			}
			for i == 0 && !others() {
				if !pause(t.Context(), 5*time.Millisecond) {
					return t.Context().Err()
				}
			}
			return change(files, s, changes)
		}
		wg.Go(func() {
			if i > 0 {
				<-begun
			}
			_, errs[i] = g.commit(t.Context(), e)
		})
	}
	wg.Wait()
	return errs, asked
}

func TestRepositoriesThatSettleTogetherShareACommit(t *testing.T) {
	server, g := settledOn(t, true, nil)
	const teams = 6
	errs, _ := settleTogether(t, g, teams)
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	n, err := server.Commits(t.Context(), "capacitor", "main")
	if err != nil || n != 2 {
		t.Errorf("%d commits for %d repositories, want 2 (%v)", n, teams, err)
	}
	files, err := server.Files(t.Context(), "capacitor", "main")
	if err != nil {
		t.Fatal(err)
	}
	for i := range teams {
		if !slices.Contains(files, teamFile(i)) {
			t.Errorf("%s is not in the repository: %q", teamFile(i), files)
		}
	}
}

func TestAFileInTheWayOfOneRepositoryStopsNoneThatSettleWithIt(t *testing.T) {
	const teams, bad = 5, 2
	byHand := []byte("kind: GitRepository\n")
	server, g := settledOn(t, true, map[string][]byte{teamFile(bad): byHand})
	errs, _ := settleTogether(t, g, teams)
	tree, err := server.Tree(t.Context(), "capacitor", "main")
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		held, there := tree[teamFile(i)]
		if i == bad {
			if err == nil || !strings.Contains(err.Error(), teamFile(bad)) || !strings.Contains(err.Error(), "not written by fluxover") {
				t.Errorf("the one that it is in the way of: %v", err)
			}
			if string(held) != string(byHand) {
				t.Errorf("what somebody wrote is now %q", held)
			}
			continue
		}
		if err != nil || !there {
			t.Errorf("team%d: its file is there: %v, %v", i, there, err)
		}
	}
}

func TestAPushThatIsRefusedIsTriedOnceForAllThatSettleTogether(t *testing.T) {
	_, g := settledOn(t, false, nil)
	errs, asked := settleTogether(t, g, 4)
	for i, err := range errs {
		if err == nil || asked[i] != 1 {
			t.Errorf("team%d was asked for its files %d times, want once (%v)", i, asked[i], err)
		}
	}
}
