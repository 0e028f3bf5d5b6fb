package discover

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxover/fluxover/e2e/gitserver"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/source"
)

// manyAgents is a cluster of agents n0, n1 …, each with a repository of its
// name at url.
func manyAgents(t *testing.T, count int, url func(name string) string) *fixture {
	t.Helper()
	text := "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system, uid: the-uid}\n"
	for i := range count {
		name := fmt.Sprint("n", i)
		text += fmt.Sprintf(`---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: flux}
spec:
  selector: {matchLabels: {name: %[1]s}}
  template:
    metadata: {labels: {name: %[1]s}}
    spec:
      containers:
      - name: flux
        image: fluxcd/flux:1.25.4
        args: ["--git-url=%[2]s", --git-branch=main, --registry-disable-scanning]
`, name, url(name))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cluster.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

// gate is a Git server that answers nobody before so many ask at once.
type gate struct {
	want int

	mu         sync.Mutex
	now, most  int
	all        chan struct{} // closed when so many have asked at once
	impatience time.Duration
}

func (g *gate) refs(context.Context, source.Remote) (map[string]string, error) {
	g.mu.Lock()
	g.now++
	if g.most = max(g.most, g.now); g.now == g.want {
		select {
		case <-g.all:
		default:
			close(g.all)
		}
	}
	g.mu.Unlock()
	select {
	case <-g.all:
	case <-time.After(g.impatience):
	}
	time.Sleep(time.Millisecond) // a test of a limit: in this time one too many would come in and be counted
	g.mu.Lock()
	g.now--
	g.mu.Unlock()
	return nil, source.ErrNotFound
}

func (*gate) ancestry(context.Context, source.Remote, string, string) (int, bool, error) {
	return 0, false, source.ErrNotFound
}

func (*gate) tree(context.Context, source.Remote, source.Reference) (fs.FS, func(), error) {
	return nil, nil, source.ErrNotFound
}

func TestRepositoriesAreReadSeveralAtATimeAndNeverMoreThanTheLimit(t *testing.T) {
	for _, c := range []struct{ parallel, want int }{{1, 1}, {3, 3}, {0, defaultParallel}} {
		f := manyAgents(t, 3*defaultParallel, func(name string) string { return "https://git.example.com/" + name + ".git" })
		g := &gate{want: c.want, all: make(chan struct{}), impatience: 20 * time.Second}
		f.witness.git, f.witness.opts.Parallel = g, c.parallel
		var said []string
		f.witness.opts.Progress = func(line string) { said = append(said, line) }
		if _, err := f.witness.inventory(t.Context()); err != nil {
			t.Fatal(err)
		}
		if g.most != c.want {
			t.Errorf("with a limit of %d, %d repositories are read at once, want %d", c.parallel, g.most, c.want)
		}
		if !slices.ContainsFunc(said, func(line string) bool {
			return strings.HasPrefix(line, fmt.Sprintf("read %[1]d of %[1]d repositories", 3*defaultParallel))
		}) {
			t.Errorf("nobody is told how far it is: %q", said)
		}
	}
}

// gitFleet is a Git server of so many repositories, each with a commit that
// its agent has synced.
func gitFleet(t *testing.T, count int) (*gitserver.Server, string) {
	t.Helper()
	dir := t.TempDir()
	server, err := gitserver.Start(t.Context(), gitserver.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	for i := range count {
		name := fmt.Sprint("n", i)
		if err := server.CreateRepo(t.Context(), name, "main"); err != nil {
			t.Fatal(err)
		}
		if err := server.AllowUser(name, "bot", "pw", false); err != nil {
			t.Fatal(err)
		}
		commit(t, server, dir, name, "first", true)
	}
	return server, dir
}

// commit adds a manifest to a repository, and marks it as synced.
func commit(t *testing.T, server *gitserver.Server, dir, repo, name string, synced bool) {
	t.Helper()
	manifest := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: default}\n", name)
	made, err := server.Commit(t.Context(), repo, "main", name, map[string][]byte{name + ".yaml": []byte(manifest)})
	if err != nil {
		t.Fatal(err)
	}
	if !synced {
		return
	}
	folders, err := filepath.Glob(filepath.Join(dir, "*", repo+".git"))
	if direct := filepath.Join(dir, repo+".git"); err == nil && len(folders) == 0 {
		folders = []string{direct}
	}
	if len(folders) != 1 {
		t.Fatalf("folders of %s: %v, %v", repo, folders, err)
	}
	if out, err := exec.CommandContext(t.Context(), "git", "-C", folders[0], "tag", "-f", "flux-sync", made).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestASecondDiscoveryFetchesOnlyWhatIsNew(t *testing.T) {
	const count = 4
	server, dir := gitFleet(t, count)
	cache := t.TempDir()
	discovered := func() migrate.Inventory {
		t.Helper()
		store, err := source.Open(cache, source.Options{}) // as the next process does
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = store.Close() }()
		f := manyAgents(t, count, func(name string) string {
			return strings.Replace(server.HTTPURL(name), "http://", "http://bot:pw@", 1)
		})
		f.witness.git = storeReader{store}
		inv, err := f.witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return inv
	}
	objects := func(inv migrate.Inventory) string {
		var all []string
		for _, a := range inv.Agents {
			text := fmt.Sprintf("%s behind %d:", a.ID, a.Synced.Behind)
			for _, o := range a.Objects {
				text += " " + o.ID
			}
			text += " head:"
			for _, o := range a.HeadObjects {
				text += " " + o.ID
			}
			all = append(all, text)
		}
		return strings.Join(all, "\n")
	}
	fetches := func() (n int) {
		for _, s := range server.Stats() {
			n += s.Fetches
		}
		return n
	}
	bytesOf := func(repo string) int64 { return server.Stats()[repo].BytesSent }

	first := objects(discovered())
	if strings.Count(first, "default_first__ConfigMap") != 2*count {
		t.Fatalf("not every repository was read:\n%s", first)
	}
	cold := fetches()
	if cold < count {
		t.Fatalf("%d fetches of %d repositories", cold, count)
	}
	second := objects(discovered())
	if second != first {
		t.Errorf("the second differs:\n%s\n%s", second, first)
	}
	if n := fetches() - cold; n != 0 {
		t.Errorf("nothing has changed, and %d packs were fetched", n)
	}

	// A large history, of which a second clone would transfer all again.
	large := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(large)
	if _, err := server.Commit(t.Context(), "n2", "main", "large", map[string][]byte{"large.bin": large}); err != nil {
		t.Fatal(err)
	}
	commit(t, server, dir, "n2", "second", true)
	discovered()
	before, sent := fetches(), bytesOf("n2")
	commit(t, server, dir, "n2", "third", false)
	third := objects(discovered())
	if !strings.Contains(third, "flux/n2 behind 1: default_first__ConfigMap default_second__ConfigMap head: default_first__ConfigMap default_second__ConfigMap default_third__ConfigMap") {
		t.Errorf("what is new is not read:\n%s", third)
	}
	// The files of the new commit, and the commits alone of the history, which
	// was not asked for while the mark was the head.
	if n := fetches() - before; n != 2 {
		t.Errorf("one repository has changed, and %d packs were fetched", n)
	}
	if n := bytesOf("n2") - sent; n > 64<<10 {
		t.Errorf("a commit of one small file took %d bytes", n)
	}

	// What is kept is broken: it is fetched anew, or an error, and never less.
	packs, err := filepath.Glob(filepath.Join(cache, "clones/*/objects/pack/*.pack"))
	if err != nil || len(packs) < count {
		t.Fatalf("packs: %v, %v", packs, err)
	}
	for _, how := range []func(string) error{
		func(name string) error { return os.Truncate(name, 40) },
		func(name string) error { return os.WriteFile(name, bytes.Repeat([]byte("x"), 4000), 0o600) },
		os.Remove,
	} {
		packs, _ := filepath.Glob(filepath.Join(cache, "clones/*/objects/pack/*.pack"))
		for _, name := range packs {
			if err := os.Chmod(name, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := how(name); err != nil {
				t.Fatal(err)
			}
		}
		inv := discovered()
		if got := objects(inv); got != third {
			t.Errorf("from a broken cache it gave:\n%s\nfindings %v", got, inv.Findings)
		}
	}
}
