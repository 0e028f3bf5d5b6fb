package source

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/fluxover/fluxover/e2e/gitserver"
)

// forge is a real Git server with one repository, and ways to log in to it.
type forge struct {
	*gitserver.Server
	t            *testing.T
	dir          string
	write, read  Remote // over SSH
	writer, user Remote // over HTTP: may push; may only read
}

const forgeRepo = "capacitor"

func newForge(t *testing.T) *forge {
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
	f := &forge{Server: server, t: t, dir: dir}
	f.must(server.CreateRepo(t.Context(), forgeRepo, "main"))
	f.must(server.AllowUser(forgeRepo, "bot", testPassword, true))
	f.must(server.AllowUser(forgeRepo, "reader", testPassword, false))
	f.writer = Remote{URL: server.HTTPURL(forgeRepo), Auth: &Auth{Username: "bot", Password: testPassword}}
	f.user = Remote{URL: server.HTTPURL(forgeRepo), Auth: &Auth{Username: "reader", Password: testPassword}}
	f.write = Remote{URL: server.SSHURL(forgeRepo), Auth: &Auth{Identity: f.key(true), KnownHosts: []byte(server.KnownHosts())}}
	f.read = Remote{URL: server.SSHURL(forgeRepo), Auth: &Auth{Identity: f.key(false), KnownHosts: []byte(server.KnownHosts())}}
	return f
}

func (f *forge) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *forge) key(write bool) []byte {
	f.t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	f.must(err)
	signer, err := ssh.NewSignerFromKey(private)
	f.must(err)
	f.must(f.AllowKey(forgeRepo, signer.PublicKey(), write))
	block, err := ssh.MarshalPrivateKey(private, "")
	f.must(err)
	return pem.EncodeToMemory(block)
}

// holds fails the test unless the branch holds exactly these files.
func (f *forge) holds(want map[string]string) {
	f.t.Helper()
	tree, err := f.Tree(f.t.Context(), forgeRepo, "main")
	f.must(err)
	for name, content := range want {
		if string(tree[name]) != content {
			f.t.Errorf("%s holds %q, want %q", name, tree[name], content)
		}
	}
	for name := range tree {
		if _, wanted := want[name]; !wanted {
			f.t.Errorf("%s should not be there", name)
		}
	}
}

func change(files map[string][]byte) Change {
	return Change{
		Branch: "main", Message: "change", Author: "fluxover", Email: "fluxover@example.org",
		Edit: func(fs.FS) (map[string][]byte, error) { return files, nil },
	}
}

func TestPushBringsOneCommitAndLeavesOtherFilesAlone(t *testing.T) {
	for _, name := range []string{"ssh", "http"} {
		t.Run(name, func(t *testing.T) {
			f := newForge(t)
			remote := map[string]Remote{"ssh": f.write, "http": f.writer}[name]
			s := openStore(t, Options{})
			first, pushed, err := s.Push(t.Context(), remote, change(map[string][]byte{"a/b/one.yaml": []byte("1"), "top.yaml": []byte("t")}))
			if err != nil || !pushed {
				t.Fatalf("push to an empty repository: %v, pushed %v", err, pushed)
			}
			f.holds(map[string]string{"a/b/one.yaml": "1", "top.yaml": "t"})
			// Somebody else's commit, with a file that must stay.
			_, err = f.Commit(t.Context(), forgeRepo, "main", "by hand", map[string][]byte{"a/hand.yaml": []byte("h")})
			f.must(err)
			second, pushed, err := s.Push(t.Context(), remote, change(map[string][]byte{"a/b/one.yaml": nil, "a/two.yaml": []byte("2"), "gone.yaml": nil, "no/such": nil}))
			if err != nil || !pushed || second.SHA == first.SHA {
				t.Fatalf("second push: %v, pushed %v", err, pushed)
			}
			f.holds(map[string]string{"a/hand.yaml": "h", "a/two.yaml": "2", "top.yaml": "t"})
			third, pushed, err := s.Push(t.Context(), remote, change(map[string][]byte{"a/two.yaml": []byte("2"), "gone.yaml": nil}))
			if err != nil || pushed || third.SHA != second.SHA {
				t.Errorf("a change that changes nothing: %v, pushed %v, %s instead of %s", err, pushed, third, second)
			}
			if n, err := f.Commits(t.Context(), forgeRepo, "main"); err != nil || n != 3 {
				t.Errorf("%d commits, want 3 (%v)", n, err)
			}
			snapshot, err := s.Fetch(t.Context(), remote, Reference{Branch: "main"})
			if err != nil {
				t.Fatal(err)
			}
			defer snapshot.Close()
			if snapshot.Revision.SHA != second.SHA || snapshot.Author != "fluxover" {
				t.Errorf("fetched %s by %q", snapshot.Revision, snapshot.Author)
			}
		})
	}
}

func TestPushBeginsAnewWhenSomebodyWasFaster(t *testing.T) {
	f := newForge(t)
	_, err := f.Commit(t.Context(), forgeRepo, "main", "begin", map[string][]byte{"list": []byte("0")})
	f.must(err)
	s := openStore(t, Options{})
	calls := 0
	c := change(nil)
	c.Edit = func(files fs.FS) (map[string][]byte, error) {
		calls++
		if calls <= 2 {
			_, err := f.Commit(t.Context(), forgeRepo, "main", "faster", map[string][]byte{"list": fmt.Appendf(nil, "%d", calls)})
			f.must(err)
		}
		list, err := fs.ReadFile(files, "list")
		if err != nil {
			return nil, err
		}
		return map[string][]byte{"seen": list}, nil
	}
	if _, pushed, err := s.Push(t.Context(), f.write, c); err != nil || !pushed {
		t.Fatalf("push: %v, pushed %v", err, pushed)
	}
	if calls != 3 {
		t.Errorf("the change was made %d times, want 3", calls)
	}
	f.holds(map[string]string{"list": "2", "seen": "2"})
}

func TestPushesAtTheSameTimeAllArrive(t *testing.T) {
	f := newForge(t)
	want := map[string]string{}
	var wg sync.WaitGroup
	for i := range 4 {
		name := fmt.Sprintf("team-%d/source.yaml", i)
		want[name] = name
		s := openStore(t, Options{})
		remote := f.write
		if i%2 == 0 {
			remote = f.writer
		}
		wg.Go(func() {
			if _, _, err := s.Push(t.Context(), remote, change(map[string][]byte{name: []byte(name)})); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f.holds(want)
	if n, err := f.Commits(t.Context(), forgeRepo, "main"); err != nil || n != 4 {
		t.Errorf("%d commits, want 4 (%v)", n, err)
	}
}

func TestPushGivesUpOnABranchThatNeverRests(t *testing.T) {
	f := newForge(t)
	_, err := f.Commit(t.Context(), forgeRepo, "main", "begin", map[string][]byte{"list": []byte("0")})
	f.must(err)
	s := openStore(t, Options{})
	calls := 0
	c := change(nil)
	c.Edit = func(fs.FS) (map[string][]byte, error) {
		calls++
		_, err := f.Commit(t.Context(), forgeRepo, "main", "faster", map[string][]byte{"list": fmt.Appendf(nil, "%d", calls)})
		return map[string][]byte{"mine": []byte("m")}, err
	}
	if _, _, err := s.Push(t.Context(), f.write, c); !errors.Is(err, ErrBusy) || calls != pushTries {
		t.Errorf("%d tries: %v", calls, err)
	}
}

// TestServersSayInManyWordsThatAKeyMayOnlyRead takes what servers write to
// stderr (source: GitHub, GitLab's gitlab-shell, Gitea).
func TestServersSayInManyWordsThatAKeyMayOnlyRead(t *testing.T) {
	for _, line := range []string{
		"ERROR: The key you are authenticating with has been marked as read only.",
		"ERROR: This deploy key does not have write access to this project.",
		"ERROR: You are not allowed to push code to this project.",
		"Gitea: Unauthorized",
		"User: 3:bot with Key: 5:key is not authorized to write to org/capacitor.",
	} {
		if err := classifyPush(fmt.Errorf("unknown error: %s", line), nil); !errors.Is(err, ErrAuth) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestWhoMayPushIsToldSoBefore(t *testing.T) {
	f := newForge(t)
	s := openStore(t, Options{})
	for _, state := range []string{"empty", "with a commit"} {
		for name, remote := range map[string]Remote{"ssh": f.write, "http": f.writer} {
			if err := s.MayPush(t.Context(), remote); err != nil {
				t.Errorf("%s, over %s: %v", state, name, err)
			}
		}
		if state == "empty" {
			_, err := f.Commit(t.Context(), forgeRepo, "main", "begin", map[string][]byte{"a": []byte("a")})
			f.must(err)
		}
	}
	f.holds(map[string]string{"a": "a"})
}

func TestPushTellsWhyItWasNotTaken(t *testing.T) {
	f := newForge(t)
	_, err := f.Commit(t.Context(), forgeRepo, "main", "begin", map[string][]byte{"a": []byte("a")})
	f.must(err)
	head, err := f.Head(t.Context(), forgeRepo, "main")
	f.must(err)
	wrongHost := f.write
	other := newForge(t)
	host := strings.SplitN(f.KnownHosts(), " ", 2)[0]
	key := strings.SplitN(other.KnownHosts(), " ", 2)[1]
	wrongHost.Auth = &Auth{Identity: f.write.Auth.Identity, KnownHosts: []byte(host + " " + key)}
	wrongPassword := f.writer
	wrongPassword.Auth = &Auth{Username: "bot", Password: "not-the-password"}
	for name, c := range map[string]struct {
		remote Remote
		branch string
		want   error
	}{
		"a key that may only read":      {f.read, "main", ErrAuth},
		"a user who may only read":      {f.user, "main", ErrAuth},
		"a wrong password":              {wrongPassword, "main", ErrAuth},
		"another host key":              {wrongHost, "main", ErrKnownHosts},
		"a branch that is not there":    {f.write, "trunk", ErrReferenceNotFound},
		"a repository that is not here": {Remote{URL: f.SSHURL("nothing"), Auth: f.write.Auth}, "main", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Options{})
			edit := change(map[string][]byte{"b": []byte("b")})
			edit.Branch = c.branch
			_, _, err := s.Push(t.Context(), c.remote, edit)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("want %v, got %v", c.want, err)
			}
			asked := s.MayPush(t.Context(), c.remote)
			switch {
			case errors.Is(c.want, ErrReferenceNotFound): // a push tells
				if asked != nil {
					t.Errorf("asked before, without a branch: %v", asked)
				}
			case asked == nil || c.want != nil && !errors.Is(asked, c.want):
				t.Errorf("asked before: want %v, got %v", c.want, asked)
			}
			for _, secret := range []string{testPassword, "not-the-password", "PRIVATE KEY"} {
				if err := errors.Join(err, asked); err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds a secret: %v", err)
				}
			}
		})
	}
	for name, remote := range map[string]Remote{"over ssh": f.write, "over http": f.writer} {
		t.Run("a protected branch "+name, func(t *testing.T) {
			hook := filepath.Join(f.dir, forgeRepo+".git", "hooks", "pre-receive")
			f.must(os.MkdirAll(filepath.Dir(hook), 0o755))
			f.must(os.WriteFile(hook, []byte("#!/bin/sh\necho protected >&2\nexit 1\n"), 0o755))
			defer func() { f.must(os.Remove(hook)) }()
			_, _, err := openStore(t, Options{}).Push(t.Context(), remote, change(map[string][]byte{"b": []byte("b")}))
			if !errors.Is(err, ErrRefused) {
				t.Errorf("want %v, got %v", ErrRefused, err)
			}
		})
	}
	t.Run("a server that does not answer", func(t *testing.T) {
		f.must(f.Fail(forgeRepo, gitserver.Hang))
		defer func() { f.must(f.Fail(forgeRepo, gitserver.None)) }()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, _, err := openStore(t, Options{}).Push(ctx, f.write, change(map[string][]byte{"b": []byte("b")}))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 10*time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		for name, remote := range map[string]Remote{"ssh": f.write, "http": f.writer} {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			begun := time.Now()
			if err := openStore(t, Options{}).MayPush(ctx, remote); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 10*time.Second {
				t.Errorf("asked over %s, after %s: %v", name, time.Since(begun), err)
			}
			cancel()
		}
	})
	if now, err := f.Head(t.Context(), forgeRepo, "main"); err != nil || now != head {
		t.Errorf("the branch moved to %s (%v)", now, err)
	}
}

func TestPushWritesNothingOutsideTheTree(t *testing.T) {
	f := newForge(t)
	s := openStore(t, Options{})
	for _, name := range []string{"../x", "/x", "a/../x", ".git/config", "a/.GIT/config", "", "."} {
		if _, _, err := s.Push(t.Context(), f.write, change(map[string][]byte{name: []byte("x")})); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: want a refusal, got %v", name, err)
		}
	}
}

func TestCloseEndsPushesAndLooksAtTheHistory(t *testing.T) {
	f := newForge(t)
	first, err := f.Commit(t.Context(), forgeRepo, "main", "first", map[string][]byte{"a": []byte("1")})
	f.must(err)
	second, err := f.Commit(t.Context(), forgeRepo, "main", "second", map[string][]byte{"a": []byte("2")})
	f.must(err)
	for name, c := range map[string]struct {
		// unanswered is the request of which the server makes nothing.
		unanswered string
		do         func(*Store, Remote) error
	}{
		"a push": {"POST git-receive-pack", func(s *Store, r Remote) error {
			_, _, err := s.Push(t.Context(), r, change(map[string][]byte{"a": []byte("3")}))
			return err
		}},
		"asking to push": {"GET refs", func(s *Store, r Remote) error { return s.MayPush(t.Context(), r) }},
		"a look at the history": {"POST git-upload-pack", func(s *Store, r Remote) error {
			_, _, err := s.Ancestry(t.Context(), r, first, second)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			asked, let := make(chan struct{}, 1), make(chan struct{})
			behind := must(url.Parse(f.writer.URL))
			proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: behind.Scheme, Host: behind.Host})
			slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method+" "+path.Base(req.URL.Path) != c.unanswered {
					proxy.ServeHTTP(w, req)
					return
				}
				select {
				case asked <- struct{}{}:
				default:
				}
				select {
				case <-let:
				case <-req.Context().Done():
				}
			}))
			t.Cleanup(slow.Close)
			t.Cleanup(func() { close(let) })
			s := must(Open(t.TempDir(), Options{}))
			remote := f.writer
			remote.URL = slow.URL + behind.Path
			ended := make(chan error)
			go func() { ended <- c.do(s, remote) }()
			<-asked
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v", err)
			}
			if err := c.do(s, remote); !errors.Is(err, errClosed) {
				t.Errorf("of the closed store: %v", err)
			}
		})
	}
}

func TestCloseAwaitsAPush(t *testing.T) {
	f := newForge(t)
	s := must(Open(t.TempDir(), Options{}))
	begun, ended := make(chan struct{}), false
	c := change(nil)
	c.Edit = func(fs.FS) (map[string][]byte, error) {
		close(begun)
		<-s.closing.Done()
		ended = true
		return map[string][]byte{"a": []byte("1")}, nil
	}
	failed := make(chan error, 1)
	go func() {
		_, _, err := s.Push(t.Context(), f.write, c)
		failed <- err
	}()
	<-begun
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !ended {
		t.Error("the push goes on in a folder that is another's now")
	}
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
