package gitserver

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

var gitssh string // the built client

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gitssh-*")
	if err != nil {
		panic(err)
	}
	gitssh = filepath.Join(dir, "gitssh")
	if out, err := exec.Command("go", "build", "-o", gitssh, "./gitssh").CombinedOutput(); err != nil {
		panic("build gitssh: " + err.Error() + ": " + string(out))
	}
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// client is a git client with a key and the server's host key on disk.
type client struct {
	t          *testing.T
	dir        string
	identity   string
	knownHosts string
	key        ssh.PublicKey
	sshCommand string // empty: as git's configuration says
}

func newClient(t *testing.T, server *Server) *client {
	t.Helper()
	c := &client{t: t, dir: t.TempDir(), sshCommand: gitssh}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	c.identity = c.write("identity", string(pem.EncodeToMemory(block)))
	c.knownHosts = c.write("known_hosts", server.KnownHosts())
	if c.key, err = ssh.NewPublicKey(public); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) write(name, content string) string {
	c.t.Helper()
	file := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// run runs git in the client's folder; it never asks anyone anything.
func (c *client) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "git", args...)
	command.Dir = c.dir
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "LC_ALL=C",
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com",
		"GIT_SSH_IDENTITY=" + c.identity, "GIT_SSH_KNOWN_HOSTS=" + c.knownHosts,
	}
	if c.sshCommand != "" {
		command.Env = append(command.Env, "GIT_SSH_COMMAND="+c.sshCommand)
	}
	out, err := command.CombinedOutput()
	return string(out), err
}

func (c *client) must(args ...string) string {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c *client) mustFail(want string, args ...string) {
	c.t.Helper()
	out, err := c.run(args...)
	if err == nil {
		c.t.Fatalf("git %s: succeeded, want failure with %q", strings.Join(args, " "), want)
	}
	if !strings.Contains(out, want) {
		c.t.Fatalf("git %s: failed with\n%s\nwant %q", strings.Join(args, " "), out, want)
	}
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	server, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// serverWith starts a server with a repository of one commit.
func serverWith(t *testing.T, repo string) *Server {
	t.Helper()
	server := start(t, t.TempDir())
	if err := server.CreateRepo(t.Context(), repo, "main"); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Commit(t.Context(), repo, "main", "first", map[string][]byte{"app/a.yaml": []byte("kind: A\n")}); err != nil {
		t.Fatal(err)
	}
	return server
}

func withUser(address, user, password string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func TestGitClonesAndPushesOverHTTP(t *testing.T) {
	server := serverWith(t, "payments")
	if err := server.AllowUser("payments", "bot", "p@ss/word", true); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, server)
	c.must("clone", "-q", withUser(server.HTTPURL("payments"), "bot", "p@ss/word"), "work")
	// More than git's post buffer, so that the push is sent in chunks.
	noise := make([]byte, 3<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	c.write("work/large", string(noise))
	c.must("-C", "work", "add", "large")
	c.must("-C", "work", "commit", "-q", "-m", "large file")
	c.must("-C", "work", "push", "-q", "origin", "HEAD:main")

	got, err := server.File(t.Context(), "payments", "main", "large")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(noise) {
		t.Error("the pushed file is not what was committed")
	}
}

func TestGitClonesAndPushesOverSSH(t *testing.T) {
	server := serverWith(t, "payments")
	c := newClient(t, server)
	if err := server.AllowKey("payments", c.key, true); err != nil {
		t.Fatal(err)
	}
	c.must("clone", "-q", server.SSHURL("payments"), "work")
	c.write("work/b.yaml", "kind: B\n")
	c.must("-C", "work", "add", "b.yaml")
	c.must("-C", "work", "commit", "-q", "-m", "second")
	c.must("-C", "work", "push", "-q", "origin", "HEAD:main")
	c.must("-C", "work", "tag", "-f", "-a", "-m", "Sync pointer", "flux-sync")
	c.must("-C", "work", "push", "-q", "-f", "origin", "tag", "flux-sync")

	head, err := server.Head(t.Context(), "payments", "main")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(c.must("-C", "work", "rev-parse", "HEAD")); head != want {
		t.Errorf("head of main = %s, want %s", head, want)
	}
	tag, err := server.Tag(t.Context(), "payments", "flux-sync")
	if err != nil {
		t.Fatal(err)
	}
	if tag != head {
		t.Errorf("annotated tag resolves to %s, want the commit %s", tag, head)
	}
}

func TestAccessIsRefusedToWhoeverIsNotAllowed(t *testing.T) {
	server := serverWith(t, "payments")
	if err := server.CreateRepo(t.Context(), "search", "main"); err != nil {
		t.Fatal(err)
	}
	reader, stranger, neighbour := newClient(t, server), newClient(t, server), newClient(t, server)
	for _, err := range []error{
		server.AllowUser("payments", "reader", "secret", false),
		server.AllowUser("search", "other", "secret", true),
		server.AllowKey("payments", reader.key, false),
		server.AllowKey("search", neighbour.key, true),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	readerURL := withUser(server.HTTPURL("payments"), "reader", "secret")

	reader.must("clone", "-q", readerURL, "over-http")
	reader.must("clone", "-q", server.SSHURL("payments"), "over-ssh")
	reader.mustFail("403", "-C", "over-http", "push", "origin", "HEAD:refs/heads/new")
	reader.mustFail("this key may only read", "-C", "over-ssh", "push", "origin", "HEAD:refs/heads/new")
	stranger.mustFail("could not read Username", "ls-remote", server.HTTPURL("payments"))
	stranger.mustFail("Authentication failed", "ls-remote", withUser(server.HTTPURL("payments"), "reader", "wrong"))
	stranger.mustFail("Authentication failed", "ls-remote", withUser(server.HTTPURL("payments"), "other", "secret"))
	stranger.mustFail("unable to authenticate", "ls-remote", server.SSHURL("payments"))
	neighbour.mustFail("repository not found", "ls-remote", server.SSHURL("payments"))
	reader.mustFail("not found", "ls-remote", withUser(server.HTTPURL("absent"), "reader", "secret"))
	reader.mustFail("repository not found", "ls-remote", "ssh://git@"+server.SSHAddr()+"/../payments.git")

	if got := server.Stats()["payments"].Denied; got < 5 {
		t.Errorf("denied requests counted = %d, want at least 5", got)
	}
}

func TestClientRefusesAnUnknownHostKey(t *testing.T) {
	server, other := serverWith(t, "payments"), serverWith(t, "payments")
	c := newClient(t, server)
	if err := server.AllowKey("payments", c.key, false); err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(server.KnownHosts(), " ")
	_, key, _ := strings.Cut(other.KnownHosts(), " ")
	c.write("known_hosts", host+" "+key)
	c.mustFail("key mismatch", "ls-remote", server.SSHURL("payments"))
	c.write("known_hosts", other.KnownHosts())
	c.mustFail("key is unknown", "ls-remote", server.SSHURL("payments"))
}

func TestClientTakesItsSettingsFromAFile(t *testing.T) {
	server := serverWith(t, "payments")
	c := newClient(t, server)
	if err := server.AllowKey("payments", c.key, false); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(server.SSHAddr(), ":")
	config := c.write("config", "# no global settings\nHost other\n  Port 1\nHost team-*\n  HostName 127.0.0.1\n  User git\n  Port "+port+
		"\n  StrictHostKeyChecking yes\n  IdentityFile "+c.identity+"\n  UserKnownHostsFile "+c.knownHosts+"\n")
	c.must("config", "--global", "core.sshCommand", gitssh+" -F "+config)
	c.sshCommand, c.identity, c.knownHosts = "", "", ""
	if out := c.must("ls-remote", "ssh://team-payments/payments.git"); !strings.Contains(out, "refs/heads/main") {
		t.Errorf("references = %q, want refs/heads/main", out)
	}
	c.mustFail("no key given", "ls-remote", "ssh://elsewhere/payments.git")
}

func TestServerKeepsEverythingOverARestart(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir)
	c := newClient(t, first)
	for _, err := range []error{
		first.CreateRepo(t.Context(), "payments", "main"),
		first.AllowUser("payments", "bot", "secret", true),
		first.AllowKey("payments", c.key, true),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	commit, err := first.Commit(t.Context(), "payments", "main", "first", map[string][]byte{"a": []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	overHTTP, overSSH := withUser(first.HTTPURL("payments"), "bot", "secret"), first.SSHURL("payments")
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	c.mustFail("onnect", "ls-remote", overHTTP)

	second := start(t, dir)
	for _, address := range []string{overHTTP, overSSH} {
		if out := c.must("ls-remote", address, "refs/heads/main"); !strings.HasPrefix(out, commit) {
			t.Errorf("after a restart %s lists %q, want %s", address, out, commit)
		}
	}
	if second.KnownHosts() != first.KnownHosts() {
		t.Errorf("known hosts changed from %q to %q", first.KnownHosts(), second.KnownHosts())
	}
}

func TestCommitAddsChangesAndDeletesFiles(t *testing.T) {
	server := serverWith(t, "payments")
	ctx := t.Context()
	first, err := server.Head(ctx, "payments", "main")
	if err != nil {
		t.Fatal(err)
	}
	second, err := server.Commit(ctx, "payments", "main", "second\n\nwith a body", map[string][]byte{
		"app/a.yaml": nil, "app/ü b.yaml": []byte("kind: B\n"), "empty": {},
	})
	if err != nil {
		t.Fatal(err)
	}
	if head, err := server.Head(ctx, "payments", "main"); err != nil || head != second || second == first {
		t.Errorf("head = %s, %v; want the new commit %s", head, err, second)
	}
	files, err := server.Files(ctx, "payments", "main")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"app/ü b.yaml", "empty"}; !slices.Equal(files, want) {
		t.Errorf("files = %q, want %q", files, want)
	}
	tree, err := server.Tree(ctx, "payments", "main")
	if err != nil || len(tree) != 2 || string(tree["app/ü b.yaml"]) != "kind: B\n" || len(tree["empty"]) != 0 {
		t.Errorf("tree = %q, %v", tree, err)
	}
	if got, err := server.File(ctx, "payments", second, "app/ü b.yaml"); err != nil || string(got) != "kind: B\n" {
		t.Errorf("file = %q, %v", got, err)
	}
	if _, err := server.File(ctx, "payments", second, "app/a.yaml"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted file: error %v, want ErrNotFound", err)
	}
	if got, err := server.File(ctx, "payments", first, "app/a.yaml"); err != nil || string(got) != "kind: A\n" {
		t.Errorf("file of the first commit = %q, %v", got, err)
	}
	if _, err := server.Tag(ctx, "payments", "flux-sync"); !errors.Is(err, ErrNotFound) {
		t.Errorf("absent tag: error %v, want ErrNotFound", err)
	}
	if _, err := server.Head(ctx, "absent", "main"); !errors.Is(err, ErrNoRepository) {
		t.Errorf("absent repository: error %v, want ErrNoRepository", err)
	}
	for _, bad := range []string{"../x", "/x", "a//b", "", "a\nb"} {
		if _, err := server.Commit(ctx, "payments", "main", "bad", map[string][]byte{bad: {}}); err == nil {
			t.Errorf("commit of path %q succeeded", bad)
		}
	}
}

func TestCommitMakesLinksAndSubmodules(t *testing.T) {
	server := serverWith(t, "payments")
	if _, err := server.CommitLinks(t.Context(), "payments", "main", "link", map[string][]byte{"app/b.yaml": []byte("kind: B\n")},
		map[string]string{"app/l.yaml": "../elsewhere/c.yaml"}, map[string]string{"app/lib": strings.Repeat("ab", 20)}); err != nil {
		t.Fatal(err)
	}
	got, err := server.git(t.Context(), server.repoDir("payments"), nil, "ls-tree", "main", "app/")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(got), "120000 blob") || !strings.Contains(string(got), "160000 commit "+strings.Repeat("ab", 20)) || strings.Count(string(got), "100644 blob") != 2 {
		t.Errorf("the folder holds\n%s", got)
	}
	target, err := server.git(t.Context(), server.repoDir("payments"), nil, "cat-file", "blob", "main:app/l.yaml")
	if err != nil || string(target) != "../elsewhere/c.yaml" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}

func TestConcurrentCommitsAllArrive(t *testing.T) {
	server := serverWith(t, "payments")
	done := make(chan error)
	names := []string{"a", "b", "c"}
	for _, name := range names {
		go func() {
			_, err := server.Commit(t.Context(), "payments", "main", name, map[string][]byte{name: []byte(name)})
			done <- err
		}()
	}
	for range names {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	files, err := server.Files(t.Context(), "payments", "main")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "app/a.yaml", "b", "c"}; !slices.Equal(files, want) {
		t.Errorf("files = %q, want %q", files, want)
	}
}

func TestStatsCountPollsFetchesAndPushes(t *testing.T) {
	for _, protocol := range []string{"0", "2"} {
		for _, transport := range []string{"http", "ssh"} {
			t.Run(transport+" protocol "+protocol, func(t *testing.T) {
				server := serverWith(t, "payments")
				c := newClient(t, server)
				for _, err := range []error{
					server.AllowUser("payments", "bot", "secret", true), server.AllowKey("payments", c.key, true),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
				address := server.SSHURL("payments")
				if transport == "http" {
					address = withUser(server.HTTPURL("payments"), "bot", "secret")
				}
				c.must("config", "--global", "protocol.version", protocol)
				check := func(after string, advertisements, fetches, pushes int) {
					t.Helper()
					got := server.Stats()["payments"]
					if got.Advertisements != advertisements || got.Fetches != fetches || got.Pushes != pushes {
						t.Errorf("after %s: %+v, want %d advertisements, %d fetches, %d pushes", after, got, advertisements, fetches, pushes)
					}
				}
				c.must("ls-remote", address)
				check("a poll", 1, 0, 0)
				c.must("clone", "-q", "--mirror", address, "work")
				check("a clone", 2, 1, 0)
				c.must("-C", "work", "fetch", "-q")
				check("a fetch with nothing new", 3, 1, 0)
				c.must("-C", "work", "push", "-q", address, "main:refs/heads/copy")
				check("a push", 3, 1, 1)
				c.must("-C", "work", "push", "-q", "--delete", address, "copy")
				check("a deletion", 3, 1, 2)
			})
		}
	}
}

func TestFaultsHitOneRepositoryUntilLifted(t *testing.T) {
	server := serverWith(t, "payments")
	c := newClient(t, server)
	if err := server.CreateRepo(t.Context(), "search", "main"); err != nil {
		t.Fatal(err)
	}
	for _, repo := range []string{"payments", "search"} {
		for _, err := range []error{server.AllowUser(repo, "bot", "secret", true), server.AllowKey(repo, c.key, true)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	address := func(repo string) []string {
		return []string{withUser(server.HTTPURL(repo), "bot", "secret"), server.SSHURL(repo)}
	}
	for how, words := range map[Fault][]string{
		Refuse:        {"Empty reply from server", "connection lost"},
		InternalError: {"500", "internal error"},
	} {
		if err := server.Fail("payments", how); err != nil {
			t.Fatal(err)
		}
		for i, url := range address("payments") {
			c.mustFail(words[i], "ls-remote", url)
		}
		for _, url := range address("search") {
			c.must("ls-remote", url)
		}
	}
	if err := server.Fail("payments", None); err != nil {
		t.Fatal(err)
	}
	for _, url := range address("payments") {
		c.must("ls-remote", url)
	}
	if err := server.Fail("payments", "explode"); err == nil {
		t.Error("an unknown fault was taken")
	}
}

func TestStopEndsHangingRequests(t *testing.T) {
	server := serverWith(t, "payments")
	c := newClient(t, server)
	for _, err := range []error{
		server.AllowUser("payments", "bot", "secret", true), server.AllowKey("payments", c.key, true), server.Fail("payments", Hang),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error)
	for _, url := range []string{withUser(server.HTTPURL("payments"), "bot", "secret"), server.SSHURL("payments")} {
		go func() {
			_, err := c.run("ls-remote", url)
			ended <- err
		}()
	}
	waitFor(t, "both requests to hang", func() bool { return server.hanging.Load() == 2 })
	begin := time.Now()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 15*time.Second { // a request that hangs does so for ever
		t.Errorf("stop took %s with hanging requests", took)
	}
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("a hanging request succeeded")
		}
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited 20s for %s", what)
		}
	}
}
