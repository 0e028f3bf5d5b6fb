package source

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFetchGivesTheTreeOverHTTPAndSSH(t *testing.T) {
	repo := newRepository(t)
	if err := os.MkdirAll(filepath.Join(repo.work, "apps"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(repo.work, "apps/run.sh"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("web.yaml", filepath.Join(repo.work, "apps/link.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(repo.work, "out")); err != nil {
		t.Fatal(err)
	}
	sha := repo.commit("main", "first\n\nwith a body", map[string]string{"apps/web.yaml": "kind: A\n", "README.md": "hello\n"})
	root := filepath.Dir(repo.bare)
	h, k := serveHTTP(t, root, false), serveSSH(t, root, "")
	bearer := h.remote()
	bearer.Auth = &Auth{BearerToken: testPassword}
	inURL := Remote{URL: strings.Replace(h.remote().URL, "://", "://"+url.UserPassword(testUser, testPassword).String()+"@", 1)}
	locked := serveSSH(t, root, "open sesame")
	withPassphrase := locked.remote()
	withPassphrase.Auth.Passphrase = "open sesame"
	for name, remote := range map[string]Remote{
		"basic": h.remote(), "in memory": h.remote(), "bearer": bearer, "credential in the URL": inURL, "ssh": k.remote(), "ssh with passphrase": withPassphrase,
	} {
		t.Run(name, func(t *testing.T) {
			var o Options
			if name == "in memory" {
				o.MemoryBytes = 1 << 20
			}
			s := openStore(t, o)
			rev, err := s.Resolve(t.Context(), remote, Reference{Branch: "main"})
			if err != nil {
				t.Fatal(err)
			}
			if want := "main@sha1:" + sha; rev.String() != want {
				t.Fatalf("resolved %s, want %s", rev, want)
			}
			snap, err := s.Fetch(t.Context(), remote, Reference{Branch: "main"})
			if err != nil {
				t.Fatal(err)
			}
			defer snap.Close()
			if snap.Revision != rev || snap.Author != "Ada" || snap.Email != "ada@example.org" || snap.Message != "first\n\nwith a body\n" || time.Since(snap.When) > time.Hour {
				t.Errorf("commit facts are wrong: %+v", snap.Revision)
			}
			if strings.Contains(snap.URL, "s3cr3t") {
				t.Errorf("the URL holds the password: %s", snap.URL)
			}
			var files []string
			err = fs.WalkDir(snap.Tree, ".", func(p string, d fs.DirEntry, err error) error {
				if err == nil {
					files = append(files, fmt.Sprint(p, " ", d.Type()))
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			want := []string{". d---------", "README.md ----------", "apps d---------", "apps/link.yaml L---------", "apps/run.sh ----------", "apps/web.yaml ----------", "out L---------"}
			if diff := cmp.Diff(want, files); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			if text, err := fs.ReadFile(snap.Tree, "apps/link.yaml"); err != nil || string(text) != "kind: A\n" {
				t.Errorf("a link inside the tree is not read through: %q, %v", text, err)
			}
			if _, err := fs.ReadFile(snap.Tree, "out"); err == nil {
				t.Error("a link out of the tree was followed")
			}
			if target, err := fs.ReadLink(snap.Tree, "out"); err != nil || target != "/etc/passwd" {
				t.Errorf("link target: %q, %v", target, err)
			}
			if info, err := fs.Stat(snap.Tree, "apps/run.sh"); err != nil || info.Mode()&0o111 == 0 {
				t.Errorf("run.sh is not executable: %v, %v", info.Mode(), err)
			}
			if info, err := fs.Stat(snap.Tree, "apps/web.yaml"); err != nil || info.Mode()&0o222 != 0 {
				t.Errorf("a file is writable: %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestEachKeyOfAHostInKnownHostsIsTaken(t *testing.T) {
	repo := newRepository(t)
	repo.commit("main", "first", map[string]string{"a.yaml": "kind: A\n"})
	k := serveSSH(t, filepath.Dir(repo.bare), "")
	other := serveSSH(t, filepath.Dir(repo.bare), "") // another key of the same type
	before := strings.ReplaceAll(string(other.knownHosts), port(other.address), port(k.address))
	remote := k.remote()
	remote.Auth.KnownHosts = []byte(before + string(k.knownHosts))
	if _, err := openStore(t, Options{}).Resolve(t.Context(), remote, Reference{Branch: "main"}); err != nil {
		t.Errorf("the second of two keys: %v", err)
	}
}

func TestResolveIsOneSmallQuery(t *testing.T) {
	repo := newRepository(t)
	repo.commit("main", "first", map[string]string{"a": "1"})
	h := serveHTTP(t, filepath.Dir(repo.bare), false)
	s := openStore(t, Options{})
	if _, err := s.Resolve(t.Context(), h.remote(), Reference{Branch: "main"}); err != nil {
		t.Fatal(err)
	}
	requests, _ := h.seen()
	if diff := cmp.Diff([]string{"GET /team.git/info/refs"}, requests); diff != "" {
		t.Error(diff)
	}
}

func TestResolveFollowsTheOrderOfReferences(t *testing.T) {
	repo := newRepository(t)
	first := repo.commit("main", "first", map[string]string{"a": "1"})
	repo.run(repo.work, "tag", "-a", "-m", "sync", "flux-sync")
	repo.run(repo.work, "tag", "v1.2.0")
	second := repo.commit("main", "second", map[string]string{"a": "2"})
	repo.run(repo.work, "tag", "1.10.0")
	repo.run(repo.work, "tag", "2.0.0-rc1")
	repo.run(repo.work, "tag", "1.99")
	third := repo.commit("master", "third", map[string]string{"a": "3"})
	repo.run(repo.work, "push", "--quiet", "origin", "--tags", "HEAD:refs/pull/1/head")
	h := serveHTTP(t, filepath.Dir(repo.bare), true)
	s := openStore(t, Options{})
	for _, c := range []struct {
		ref  Reference
		want string
	}{
		{Reference{}, "master@sha1:" + third},
		{Reference{Branch: "main"}, "main@sha1:" + second},
		{Reference{Branch: "main", Tag: "flux-sync"}, "flux-sync@sha1:" + first},
		{Reference{Tag: "flux-sync", SemVer: ">=1.0.0"}, "1.10.0@sha1:" + second},
		{Reference{SemVer: "~1.2"}, "v1.2.0@sha1:" + first},
		{Reference{SemVer: "1.x", Name: "refs/pull/1/head"}, "refs/pull/1/head@sha1:" + third},
		{Reference{Name: "refs/tags/flux-sync^{}"}, "refs/tags/flux-sync^{}@sha1:" + first},
		{Reference{Name: "refs/heads/main", Commit: first}, "sha1:" + first},
		{Reference{Branch: "main", Commit: first}, "main@sha1:" + first},
	} {
		rev, err := s.Resolve(t.Context(), h.remote(), c.ref)
		if err != nil || rev.String() != c.want {
			t.Errorf("%+v: got %s, %v; want %s", c.ref, rev, err, c.want)
		}
	}
	for _, ref := range []Reference{{Branch: "absent"}, {Tag: "v9"}, {SemVer: ">=3"}, {SemVer: "no version"}, {Name: "refs/x"}, {Commit: "main"}, {Commit: first, Branch: "absent"}} {
		if _, err := s.Resolve(t.Context(), h.remote(), ref); !errors.Is(err, ErrReferenceNotFound) || !errors.Is(err, ErrNotFound) {
			t.Errorf("%+v: %v is no ErrReferenceNotFound", ref, err)
		}
	}
	refs, err := s.Refs(t.Context(), h.remote())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"refs/heads/main": second, "refs/heads/master": third,
		"refs/tags/flux-sync": first, "refs/tags/v1.2.0": first, "refs/tags/1.10.0": second, "refs/tags/2.0.0-rc1": second, "refs/tags/1.99": second,
	}
	if diff := cmp.Diff(want, refs); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsAreToldApartAndHoldNoSecret(t *testing.T) {
	repo := newRepository(t)
	sha := repo.commit("main", "first", map[string]string{"a": "1"})
	root := filepath.Dir(repo.bare)
	repo.run(root, "init", "--quiet", "--bare", "empty.git")
	h, k := serveHTTP(t, root, false), serveSSH(t, root, "")
	other := serveSSH(t, root, "")
	closed := httptest.NewServer(nil)
	closed.Close()
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, strings.Replace(h.URL, "127.0.0.1", "localhost", 1)+req.URL.String(), http.StatusFound)
	}))
	t.Cleanup(away.Close)
	signed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, closed.URL+"/other.git?signature=s3cr3t", http.StatusFound)
	}))
	t.Cleanup(signed.Close)
	const secret = "s3cr3t-wrong"
	with := func(r Remote, change func(*Remote, *Auth)) Remote {
		a := *r.Auth
		r.Auth = &a
		change(&r, &a)
		return r
	}
	for _, c := range []struct {
		name   string
		remote Remote
		ref    Reference
		want   error
	}{
		{"wrong password", with(h.remote(), func(_ *Remote, a *Auth) { a.Password = secret }), Reference{Branch: "main"}, ErrAuth},
		{"no credential", Remote{URL: h.remote().URL}, Reference{Branch: "main"}, ErrAuth},
		{"wrong password in the URL", Remote{URL: strings.Replace(h.remote().URL, "://", "://"+testUser+":"+secret+"@", 1)}, Reference{Branch: "main"}, ErrAuth},
		{"no repository over HTTP", with(h.remote(), func(r *Remote, _ *Auth) { r.URL = h.URL + "/absent.git" }), Reference{Branch: "main"}, ErrNotFound},
		{"empty repository", with(h.remote(), func(r *Remote, _ *Auth) { r.URL = h.URL + "/empty.git" }), Reference{Branch: "main"}, ErrNotFound},
		{"no repository over SSH", with(k.remote(), func(r *Remote, _ *Auth) { r.URL = "ssh://git@" + k.address + "/absent.git" }), Reference{Branch: "main"}, ErrNotFound},
		{"no branch", h.remote(), Reference{Branch: "absent"}, ErrReferenceNotFound},
		{"no commit", h.remote(), Reference{Commit: strings.Repeat("0", 39) + "1"}, ErrReferenceNotFound},
		{"key of another user", with(k.remote(), func(_ *Remote, a *Auth) { a.Identity = other.identity }), Reference{Branch: "main"}, ErrAuth},
		{"no key", with(k.remote(), func(_ *Remote, a *Auth) { a.Identity = nil }), Reference{Branch: "main"}, ErrAuth},
		{"key that is none", with(k.remote(), func(_ *Remote, a *Auth) { a.Identity = []byte("s3cr3t-identity") }), Reference{Branch: "main"}, ErrAuth},
		{"no known_hosts", with(k.remote(), func(_ *Remote, a *Auth) { a.KnownHosts = nil }), Reference{Branch: "main"}, ErrKnownHosts},
		{"known_hosts of another host", with(k.remote(), func(_ *Remote, a *Auth) { a.KnownHosts = other.knownHosts }), Reference{Branch: "main"}, ErrKnownHosts},
		{"changed host key", with(k.remote(), func(_ *Remote, a *Auth) {
			a.KnownHosts = []byte(strings.ReplaceAll(string(other.knownHosts), port(other.address), port(k.address)))
		}), Reference{Branch: "main"}, ErrKnownHosts},
		{"no server", Remote{URL: closed.URL + "/team.git", Auth: &Auth{Username: "u", Password: secret}}, Reference{Branch: "main"}, ErrNetwork},
		{"no SSH server", with(k.remote(), func(r *Remote, a *Auth) {
			r.URL = "ssh://git@" + strings.TrimPrefix(closed.URL, "http://") + "/team.git"
			a.KnownHosts = []byte(strings.ReplaceAll(string(k.knownHosts), port(k.address), port(closed.URL)))
		}), Reference{Branch: "main"}, ErrNetwork},
		{"redirect to another host", with(h.remote(), func(r *Remote, _ *Auth) { r.URL = away.URL + "/team.git" }), Reference{Branch: "main"}, ErrNetwork},
		{"scp form", Remote{URL: "git@example.org:team/repo.git"}, Reference{Branch: "main"}, ErrURL},
		{"local path", Remote{URL: "file:///srv/team.git"}, Reference{Branch: "main"}, ErrURL},
		{"unreadable URL", Remote{URL: "https://u:" + secret + "%zz@example.org/x"}, Reference{Branch: "main"}, ErrURL},
		{"a slash in the password", Remote{URL: "https://u:s3cr3t/x@example.org/x"}, Reference{Branch: "main"}, ErrURL},
		{"no server, and a token in the query", Remote{URL: closed.URL + "/team.git?token=s3cr3t"}, Reference{Branch: "main"}, ErrNetwork},
		{"no such host, and a token in the query", Remote{URL: "http://absent.invalid/team.git?token=s3cr3t"}, Reference{Branch: "main"}, ErrNetwork},
		{"no repository, and a token in the query", with(h.remote(), func(r *Remote, _ *Auth) { r.URL = h.URL + "/absent.git?token=s3cr3t" }), Reference{Branch: "main"}, ErrInvalid},
		{"no credential but a token in the query", Remote{URL: h.remote().URL + "?token=s3cr3t"}, Reference{Branch: "main"}, ErrInvalid},
		{"redirect to a signed URL", Remote{URL: signed.URL + "/team.git"}, Reference{Branch: "main"}, ErrNetwork},
		{"CA that is none", with(h.remote(), func(_ *Remote, a *Auth) { a.CAFile = []byte("s3cr3t-ca") }), Reference{Branch: "main"}, ErrAuth},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openStore(t, Options{})
			_, err := s.Fetch(t.Context(), c.remote, c.ref)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			for _, mark := range []error{ErrAuth, ErrNotFound, ErrKnownHosts, ErrNetwork, ErrTooLarge, ErrInvalid, ErrURL} {
				if errors.Is(err, mark) && !errors.Is(c.want, mark) {
					t.Errorf("%v is also marked %v", err, mark)
				}
			}
			for _, shown := range []string{err.Error(), fmt.Sprintf("%v %+v %#v", err, c.remote.Auth, c.remote.Auth)} {
				if strings.Contains(shown, "s3cr3t") {
					t.Errorf("a secret is shown: %s", shown)
				}
			}
			t.Log(err)
		})
	}
	_ = sha
}

func port(address string) string {
	_, p, err := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	if err != nil {
		panic(err)
	}
	return p
}

func TestAuthPrintsNoSecret(t *testing.T) {
	a := &Auth{Username: "s3cr3t-user", Password: "s3cr3t", BearerToken: "s3cr3t", Identity: []byte("s3cr3t"), Passphrase: "s3cr3t", ProxyURL: "http://u:s3cr3t@p"}
	encoded, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{a.String(), fmt.Sprint(a), fmt.Sprintf("%#v %+v %s %x %q", a, *a, *a, *a, a), string(encoded)} {
		if strings.Contains(shown, "s3cr3t") {
			t.Errorf("a secret is shown: %s", shown)
		}
	}
	if want := "username+password+bearerToken+identity+passphrase+proxy"; a.String() != want {
		t.Errorf("got %s, want %s", a, want)
	}
}

func TestAuthFromSecretReadsTheShapesOfFlux(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	for _, c := range []struct {
		name, url string
		data      map[string][]byte
		want      *Auth
	}{
		{"ssh", "ssh://deploy@example.org/r", map[string][]byte{"identity": b("I"), "known_hosts": b("K"), "password": b("P")},
			&Auth{Username: "deploy", Identity: b("I"), KnownHosts: b("K"), Passphrase: "P"}},
		{"ssh without user", "ssh://example.org/r", map[string][]byte{"identity": b("I"), "known_hosts": b("K")},
			&Auth{Username: "git", Identity: b("I"), KnownHosts: b("K")}},
		{"ssh without known_hosts", "ssh://example.org/r", map[string][]byte{"identity": b("I")}, nil},
		{"ssh without identity", "ssh://example.org/r", map[string][]byte{"known_hosts": b("K")}, nil},
		{"basic", "https://example.org/r", map[string][]byte{"username": b("U"), "password": b("P"), "caFile": b("C")},
			&Auth{Username: "U", Password: "P", CAFile: b("C")}},
		{"password without user", "https://example.org/r", map[string][]byte{"password": b("P")}, nil},
		{"bearer", "https://example.org/r", map[string][]byte{"bearerToken": b("T"), "ca.crt": b("C"), "caFile": b("D")},
			&Auth{BearerToken: "T", CAFile: b("C")}},
		{"mutual TLS", "https://example.org/r", map[string][]byte{"tls.crt": b("X"), "tls.key": b("Y")},
			&Auth{ClientCert: b("X"), ClientKey: b("Y")}},
		{"user in the URL", "https://u:p@example.org/r", nil, &Auth{Username: "u", Password: "p"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := AuthFromSecret(c.url, c.data)
			if c.want == nil {
				if !errors.Is(err, ErrAuth) {
					t.Errorf("got %v, want an ErrAuth", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain(c.want), plain(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// plain is an Auth without its methods, so that cmp shows what differs.
func plain(a *Auth) any {
	type plainAuth Auth
	return plainAuth(*a)
}

func TestManyCallersShareOneFetchAndOneTree(t *testing.T) {
	repo := newRepository(t)
	repo.commit("main", "first", map[string]string{"a": "1"})
	h := serveHTTP(t, filepath.Dir(repo.bare), false)
	s := openStore(t, Options{})
	// The first request waits until all callers are on their way.
	const callers = 20
	var started sync.WaitGroup
	started.Add(callers)
	h.gate = func(*http.Request) { started.Wait() }
	snaps := make([]*Snapshot, callers)
	errs := make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Add(1)
		go func() {
			defer all.Done()
			started.Done()
			snaps[i], errs[i] = s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"})
		}()
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	requests, _ := h.seen()
	posts := 0
	for _, r := range requests {
		if strings.HasPrefix(r, "POST") {
			posts++
		}
	}
	if posts != 1 {
		t.Errorf("%d packs were fetched: %v", posts, requests)
	}
	if trees, err := os.ReadDir(filepath.Join(s.dir, "trees")); err != nil || len(trees) != 1 {
		t.Errorf("%d trees, %v", len(trees), err)
	}
	for _, snap := range snaps {
		if _, err := fs.ReadFile(snap.Tree, "a"); err != nil {
			t.Error(err)
		}
		snap.Close()
	}
	// The same commit under another name needs no pack either.
	repo.run(repo.work, "push", "--quiet", "origin", "HEAD:refs/heads/copy")
	snap, err := s.Fetch(t.Context(), h.remote(), Reference{Branch: "copy"})
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	if requests, _ := h.seen(); len(requests) != 1 {
		t.Errorf("fetching a known commit took %v", requests)
	}
}

func TestCredentialsDoNotShareWhatWasFetched(t *testing.T) {
	repo := newRepository(t)
	sha := repo.commit("main", "first", map[string]string{"a": "1"})
	h := serveHTTP(t, filepath.Dir(repo.bare), false)
	s := openStore(t, Options{})
	snap, err := s.Fetch(t.Context(), h.remote(), Reference{Commit: sha})
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	stranger := h.remote()
	stranger.Auth = &Auth{Username: testUser, Password: "guess"}
	for _, ref := range []Reference{{Commit: sha}, {Branch: "main"}, {Branch: "main", Commit: sha}} {
		if got, err := s.Fetch(t.Context(), stranger, ref); !errors.Is(err, ErrAuth) {
			t.Errorf("%s: a stranger got %v, %v", ref, got, err)
		}
	}
	if _, _, err := s.Ancestry(t.Context(), stranger, sha, sha); !errors.Is(err, ErrAuth) {
		t.Errorf("a stranger compared commits: %v", err)
	}
}

func TestFurtherFetchesTransferOnlyWhatIsNew(t *testing.T) {
	for _, transport := range []string{"http", "ssh"} {
		t.Run(transport, func(t *testing.T) {
			repo := newRepository(t)
			files := map[string]string{}
			for i := range 300 {
				// Text that does not compress to nothing.
				noise := make([]byte, 2048)
				_, _ = rand.Read(noise)
				files[fmt.Sprintf("d%d/f%d", i%10, i)] = fmt.Sprintf("%x\n", noise)
			}
			repo.commit("main", "first", files)
			h := serveHTTP(t, filepath.Dir(repo.bare), false)
			remote := h.remote()
			if transport == "ssh" {
				remote = serveSSH(t, filepath.Dir(repo.bare), "").remote()
			}
			s := openStore(t, Options{})
			for i := range 4 {
				want := fmt.Sprintf("new %d\n", i)
				repo.commit("main", "next", map[string]string{"d3/f3": want})
				snap, err := s.Fetch(t.Context(), remote, Reference{Branch: "main"})
				if err != nil {
					t.Fatal(err)
				}
				if text, err := fs.ReadFile(snap.Tree, "d3/f3"); err != nil || string(text) != want {
					t.Errorf("got %q, %v", text, err)
				}
				if snap.Files != 310 {
					t.Errorf("%d files and folders", snap.Files)
				}
				snap.Close()
				_, sent := h.seen()
				if transport == "http" && i > 0 && sent > 10_000 {
					t.Errorf("fetch %d transferred %d bytes", i+1, sent)
				}
				t.Logf("fetch %d: %d bytes", i+1, sent)
			}
			if size, _ := measure(filepath.Join(s.dir, "clones")); size > 3_000_000 {
				t.Errorf("the clone takes %d bytes", size)
			}
		})
	}
}

func TestAKeptCommitNeedsNoServerInTheNextProcess(t *testing.T) {
	repo := newRepository(t)
	sha := repo.commit("main", "first", map[string]string{"a": "one\n"})
	h := serveHTTP(t, filepath.Dir(repo.bare), false)
	dir := t.TempDir()
	other := h.remote()
	other.Auth = &Auth{Username: testUser, Password: "another"}
	for i, c := range []struct {
		remote Remote
		asked  bool
		fails  bool
	}{{h.remote(), true, false}, {h.remote(), false, false}, {other, true, true}} {
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		h.seen()
		snap, err := s.Fetch(t.Context(), c.remote, Reference{Commit: sha})
		if (err != nil) != c.fails {
			t.Errorf("process %d: %v", i+1, err)
		}
		if err == nil {
			if text, err := fs.ReadFile(snap.Tree, "a"); err != nil || string(text) != "one\n" {
				t.Errorf("process %d: %q, %v", i+1, text, err)
			}
			snap.Close()
		}
		if requests, _ := h.seen(); (len(requests) > 0) != c.asked {
			t.Errorf("process %d asked the server: %q", i+1, requests)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestACommitInTheHistoryIsFetchedAlsoFromServersThatGiveOnlyTips(t *testing.T) {
	for _, allow := range []string{"true", "false"} {
		for _, transport := range []string{"http", "ssh"} {
			t.Run("allowReachableSHA1InWant="+allow+" over "+transport, func(t *testing.T) {
				repo := newRepository(t)
				repo.run(repo.bare, "config", "uploadpack.allowReachableSHA1InWant", allow)
				repo.commit("main", "zeroth", map[string]string{"a": "0"})
				pinned := repo.commit("main", "first", map[string]string{"a": "1"})
				repo.commit("main", "second", map[string]string{"a": "2"})
				repo.run(repo.work, "checkout", "--quiet", "--orphan", "other")
				aside := repo.commit("other", "aside", map[string]string{"a": "3"})
				h := serveHTTP(t, filepath.Dir(repo.bare), false)
				remote := h.remote()
				if transport == "ssh" {
					remote = serveSSH(t, filepath.Dir(repo.bare), "").remote()
				}
				for _, ref := range []Reference{{Commit: pinned}, {Commit: pinned, Branch: "main"}} {
					s := openStore(t, Options{})
					snap, err := s.Fetch(t.Context(), remote, ref)
					if err != nil {
						t.Fatal(err)
					}
					if text, err := fs.ReadFile(snap.Tree, "a"); err != nil || string(text) != "1" {
						t.Errorf("got %q, %v", text, err)
					}
					snap.Close()
					// From the same kept clone, a later ordinary fetch.
					snap, err = s.Fetch(t.Context(), remote, Reference{Branch: "main"})
					if err != nil {
						t.Fatal(err)
					}
					if text, err := fs.ReadFile(snap.Tree, "a"); err != nil || string(text) != "2" {
						t.Errorf("got %q, %v", text, err)
					}
					snap.Close()
				}
				s := openStore(t, Options{})
				if _, err := s.Fetch(t.Context(), remote, Reference{Commit: aside, Branch: "main"}); !errors.Is(err, ErrReferenceNotFound) {
					t.Errorf("a commit of another branch: %v", err)
				}
			})
		}
	}
}

func TestACommitUnderAnAnnotatedTagIsFetched(t *testing.T) {
	repo := newRepository(t)
	tagged := repo.commit("main", "first", map[string]string{"a": "1"})
	repo.run(repo.work, "tag", "-a", "-m", "sync", "flux-sync")
	repo.run(repo.work, "push", "--quiet", "origin", "--tags")
	repo.commit("main", "second", map[string]string{"a": "2"})
	h := serveHTTP(t, filepath.Dir(repo.bare), false)
	s := openStore(t, Options{})
	snap, err := s.Fetch(t.Context(), h.remote(), Reference{Tag: "flux-sync"})
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	if text, _ := fs.ReadFile(snap.Tree, "a"); string(text) != "1" || snap.Revision.SHA != tagged {
		t.Errorf("got %q at %s", text, snap.Revision)
	}
	if requests, _ := h.seen(); len(requests) != 2 {
		t.Errorf("the tag's commit took %v", requests)
	}
}

func TestAncestryCountsCommits(t *testing.T) {
	for _, filter := range []string{"true", "false"} {
		t.Run("allowFilter="+filter, func(t *testing.T) {
			repo := newRepository(t)
			repo.run(repo.bare, "config", "uploadpack.allowFilter", filter)
			first := repo.commit("main", "1", map[string]string{"a": "1"})
			repo.run(repo.work, "checkout", "--quiet", "-b", "side")
			side := repo.commit("side", "s1", map[string]string{"b": "1"})
			repo.run(repo.work, "checkout", "--quiet", "main")
			second := repo.commit("main", "2", map[string]string{"a": "2"})
			repo.run(repo.work, "merge", "--quiet", "--no-edit", "side")
			last := repo.commit("main", "3", map[string]string{"a": "3"})
			h := serveHTTP(t, filepath.Dir(repo.bare), false)
			s := openStore(t, Options{})
			for _, c := range []struct {
				from, to string
				behind   int
				ancestor bool
			}{
				{last, last, 0, true}, {first, last, 4, true}, {second, last, 3, true}, {side, last, 3, true},
				{last, first, 0, false}, {side, second, 1, false}, {first, side, 1, true},
			} {
				behind, ancestor, err := s.Ancestry(t.Context(), h.remote(), c.from, c.to)
				if err != nil || behind != c.behind || ancestor != c.ancestor {
					t.Errorf("%.7s..%.7s: got %d, %v, %v; want %d, %v", c.from, c.to, behind, ancestor, err, c.behind, c.ancestor)
				}
				// The history itself is the witness.
				if want := repo.run(repo.work, "rev-list", "--count", c.from+".."+c.to); fmt.Sprint(behind) != want {
					t.Errorf("%.7s..%.7s: git counts %s", c.from, c.to, want)
				}
			}
			if requests, _ := h.seen(); len(requests) != 2 {
				t.Errorf("comparing known commits asked the server again: %v", requests)
			}
			newer := repo.commit("main", "4", map[string]string{"a": "4"})
			if behind, ok, err := s.Ancestry(t.Context(), h.remote(), last, newer); err != nil || behind != 1 || !ok {
				t.Errorf("after a push: %d, %v, %v", behind, ok, err)
			}
			if _, _, err := s.Ancestry(t.Context(), h.remote(), strings.Repeat("0", 39)+"1", newer); !errors.Is(err, ErrReferenceNotFound) {
				t.Errorf("unknown commit: %v", err)
			}
		})
	}
}

func TestAFailedConnectionLeavesWhatIsKept(t *testing.T) {
	repo := newRepository(t)
	first := repo.commit("main", "first", map[string]string{"a": "1"})
	second := repo.commit("main", "second", map[string]string{"a": "2"})
	h := serveHTTP(t, filepath.Dir(repo.bare), false)
	git := h.Config.Handler
	var fails atomic.Value // what the server does with a request; true where it has dealt with it
	fails.Store(func(http.ResponseWriter, *http.Request) bool { return false })
	h.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !fails.Load().(func(http.ResponseWriter, *http.Request) bool)(w, req) {
			git.ServeHTTP(w, req)
		}
	})
	away := func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	dir := t.TempDir()
	with := func(do func(*Store)) { // as one process after the other
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		do(s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(how string) {
		t.Helper()
		with(func(s *Store) {
			snap, err := s.Fetch(t.Context(), h.remote(), Reference{Commit: second})
			if err != nil {
				t.Fatalf("%s: the kept commit is gone: %v", how, err)
			}
			defer snap.Close()
			if text, err := fs.ReadFile(snap.Tree, "a"); err != nil || string(text) != "2" {
				t.Errorf("%s: the kept commit holds %q, %v", how, text, err)
			}
			if behind, ok, err := s.Ancestry(t.Context(), h.remote(), first, second); err != nil || behind != 1 || !ok {
				t.Errorf("%s: of the kept history: %d, %v, %v", how, behind, ok, err)
			}
		})
	}
	with(func(s *Store) {
		snap, err := s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"})
		if err != nil {
			t.Fatal(err)
		}
		snap.Close()
		if _, _, err := s.Ancestry(t.Context(), h.remote(), first, second); err != nil {
			t.Fatal(err)
		}
	})
	third := repo.commit("main", "third", map[string]string{"a": "3"})
	for _, c := range []struct {
		name string
		does func() func(http.ResponseWriter, *http.Request) bool
	}{
		{"nobody answers", func() func(http.ResponseWriter, *http.Request) bool { return away }},
		{"cut before the pack", func() func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, req *http.Request) bool {
				return req.Method == http.MethodPost && away(w, req)
			}
		}},
		// What is no pack may be the fault of what is kept, so that it is asked
		// for once more from nothing.
		{"no pack, and then nobody answers", func() func(http.ResponseWriter, *http.Request) bool {
			var spoilt atomic.Bool
			return func(w http.ResponseWriter, req *http.Request) bool {
				if spoilt.Load() {
					return away(w, req)
				}
				if req.Method != http.MethodPost {
					return false
				}
				spoilt.Store(true)
				w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
				_, _ = io.WriteString(w, "0008NAK\n0009\x03no!\n0000")
				return true
			}
		}},
	} {
		for _, ask := range []func(*Store) error{
			func(s *Store) error {
				snap, err := s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"})
				if err == nil {
					snap.Close()
				}
				return err
			},
			func(s *Store) error {
				_, _, err := s.Ancestry(t.Context(), h.remote(), second, third)
				return err
			},
		} {
			fails.Store(c.does())
			with(func(s *Store) {
				if err := ask(s); err == nil {
					t.Errorf("%s: no error", c.name)
				} else {
					t.Logf("%s: %v", c.name, err)
				}
			})
			fails.Store(away)
			kept(c.name)
		}
	}
}

func TestForcePushAndCollectedHistoryAreFetched(t *testing.T) {
	repo := newRepository(t)
	repo.commit("main", "first", map[string]string{"a": "1", "b": "same"})
	h := serveHTTP(t, filepath.Dir(repo.bare), false)
	s := openStore(t, Options{})
	snap, err := s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	snap.Close()
	repo.run(repo.work, "checkout", "--quiet", "--orphan", "fresh")
	repo.commit("main", "rewritten", map[string]string{"a": "2"})
	repo.run(repo.bare, "reflog", "expire", "--expire=now", "--all")
	repo.run(repo.bare, "gc", "--quiet", "--prune=now")
	snap, err = s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for name, want := range map[string]string{"a": "2", "b": "same"} {
		if text, err := fs.ReadFile(snap.Tree, name); err != nil || string(text) != want {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
	}
}

func TestABrokenKeptCloneIsReplaced(t *testing.T) {
	repo := newRepository(t)
	repo.commit("main", "first", map[string]string{"a": "1"})
	h := serveHTTP(t, filepath.Dir(repo.bare), false)
	dir := t.TempDir()
	s := must(Open(dir, Options{}))
	snap, err := s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	snap.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	packs := must(filepath.Glob(filepath.Join(dir, "clones/*/objects/pack/*.pack")))
	if len(packs) != 1 {
		t.Fatalf("packs: %v", packs)
	}
	if err := os.Chmod(packs[0], 0o600); err != nil {
		t.Fatal(err)
	}
	info := must(os.Stat(packs[0]))
	if err := os.Truncate(packs[0], info.Size()/2); err != nil {
		t.Fatal(err)
	}
	repo.commit("main", "second", map[string]string{"a": "2"})
	s = must(Open(dir, Options{}))
	defer s.Close()
	snap, err = s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	if text, err := fs.ReadFile(snap.Tree, "a"); err != nil || string(text) != "2" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestUnusedTreesGoOldestFirstAndHeldOnesStay(t *testing.T) {
	repo := newRepository(t)
	h := serveHTTP(t, filepath.Dir(repo.bare), true)
	s := openStore(t, Options{MaxBytes: 2500})
	fetch := func() *Snapshot {
		t.Helper()
		snap, err := s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"})
		if err != nil {
			t.Fatal(err)
		}
		return snap
	}
	var snaps []*Snapshot
	for i := range 4 {
		repo.commit("main", "next", map[string]string{"a": strings.Repeat(fmt.Sprint(i), 1000)})
		snaps = append(snaps, fetch())
	}
	for i, snap := range snaps {
		if text, err := fs.ReadFile(snap.Tree, "a"); err != nil || text[0] != byte('0'+i) {
			t.Errorf("a held tree is gone: %v", err)
		}
	}
	count := func() int { return len(must(os.ReadDir(filepath.Join(s.dir, "trees")))) }
	if count() != 4 {
		t.Errorf("%d trees while all are held", count())
	}
	for _, i := range []int{2, 0, 1, 3} {
		snaps[i].Close()
		snaps[i].Close()
	}
	if count() != 2 {
		t.Errorf("%d trees where two fit", count())
	}
	if _, err := fs.ReadFile(snaps[3].Tree, "a"); err != nil {
		t.Errorf("the newest is gone: %v", err)
	}
	if _, err := fs.ReadFile(snaps[2].Tree, "a"); err == nil {
		t.Error("the longest unused is still there")
	}
}

func TestTreesBeyondTheMemoryAreOnDisk(t *testing.T) {
	repo := newRepository(t)
	h := serveHTTP(t, filepath.Dir(repo.bare), true)
	s := openStore(t, Options{MemoryBytes: 2500})
	var snaps []*Snapshot
	for i := range 4 {
		repo.commit("main", "next", map[string]string{"a": strings.Repeat(fmt.Sprint(i), 1000)})
		snap, err := s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"})
		if err != nil {
			t.Fatal(err)
		}
		snaps = append(snaps, snap)
	}
	if got := len(must(os.ReadDir(filepath.Join(s.dir, "trees")))); got != 2 {
		t.Errorf("%d trees are on disk, where two fit into memory", got)
	}
	for i, snap := range snaps {
		if err := fstest.TestFS(snap.Tree, "a"); err != nil {
			t.Error(err)
		}
		if text, err := fs.ReadFile(snap.Tree, "a"); err != nil || text[0] != byte('0'+i) || len(text) != 1000 || snap.Bytes != 1000 || snap.Files != 1 {
			t.Errorf("tree %d: %d bytes, %v; counted %d bytes, %d files", i, len(text), err, snap.Bytes, snap.Files)
		}
		snap.Close()
	}
}

func TestLimitsStopAFetch(t *testing.T) {
	repo := newRepository(t)
	repo.commit("main", "first", map[string]string{"a": strings.Repeat("a", 100_000), "b": "1", "c": "1"})
	h := serveHTTP(t, filepath.Dir(repo.bare), true)
	for name, o := range map[string]Options{
		"bytes": {MaxTreeBytes: 99_999}, "files": {MaxTreeFiles: 2}, "pack": {MaxPackBytes: 100},
		"bytes, in memory": {MaxTreeBytes: 99_999, MemoryBytes: 1 << 20}, "files, in memory": {MaxTreeFiles: 2, MemoryBytes: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, o)
			if _, err := s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"}); !errors.Is(err, ErrTooLarge) {
				t.Errorf("got %v", err)
			}
			if left := must(os.ReadDir(filepath.Join(s.dir, "tmp"))); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// Folders count as files do, and few objects make very many paths.
func TestHostileFoldersStopAFetch(t *testing.T) {
	for name, tc := range map[string]struct {
		depth int
		names []string
		files int
		want  string
	}{
		"deep":       {maxDepth + 1, []string{"d"}, 0, "nested deeper than 512"},
		"many":       {10, []string{"a", "b", "c", "d"}, 1000, "more than 1000 files and folders"},
		"long paths": {500, []string{"a" + strings.Repeat("x", 250), "b" + strings.Repeat("x", 250)}, 0, "longer than 134217728 bytes together"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := newRepository(t)
			folder := repo.tree()
			for range tc.depth {
				var lines []treeLine
				for _, name := range tc.names {
					lines = append(lines, treeLine{"40000", name, folder})
				}
				folder = repo.tree(lines...)
			}
			repo.run(repo.bare, "update-ref", "refs/heads/main", repo.run(repo.bare, "commit-tree", "-m", "folders", folder))
			s := openStore(t, Options{MaxTreeFiles: tc.files, MemoryBytes: 1 << 20})
			h := serveHTTP(t, filepath.Dir(repo.bare), true)
			if _, err := s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"}); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestAHangingServerEndsWithTheContextOrTheTimeout(t *testing.T) {
	hang := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(web.Close)
	t.Cleanup(func() { close(hang) })
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { listener.Close() })
	k := serveSSH(t, t.TempDir(), "")
	mute := k.remote()
	mute.URL = "ssh://git@" + listener.Addr().String() + "/team.git"
	mute.Auth.KnownHosts = []byte(strings.ReplaceAll(string(k.knownHosts), port(k.address), port(listener.Addr().String())))
	for name, remote := range map[string]Remote{"http": {URL: web.URL + "/team.git"}, "ssh": mute} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Options{})
			remote.Timeout = 200 * time.Millisecond
			if _, err := s.Resolve(t.Context(), remote, Reference{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("timeout: %v", err)
			}
			if _, err := s.Fetch(t.Context(), remote, Reference{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("timeout: %v", err)
			}
			remote.Timeout = time.Minute
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if _, err := s.Fetch(ctx, remote, Reference{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("context: %v", err)
			}
		})
	}
}

func TestTheProxyIsUsed(t *testing.T) {
	repo := newRepository(t)
	repo.commit("main", "first", map[string]string{"a": "1"})
	h := serveHTTP(t, filepath.Dir(repo.bare), false)
	var mu sync.Mutex
	var seen []string
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.In.Header.Get("Proxy-Authorization")+" "+r.In.URL.Host)
		target, _ := url.Parse(h.URL)
		r.SetURL(target)
		r.Out.Host = target.Host
	}})
	t.Cleanup(proxy.Close)
	auth, err := h.remote().Auth.WithProxySecret(map[string][]byte{"address": []byte(proxy.URL), "username": []byte("u"), "password": []byte("p")})
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, Options{})
	snap, err := s.Fetch(t.Context(), Remote{URL: "http://git.example.invalid/team.git", Auth: auth}, Reference{Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	snap.Close()
	want := []string{"Basic dTpw git.example.invalid", "Basic dTpw git.example.invalid"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestTheCAFileIsTrusted(t *testing.T) {
	repo := newRepository(t)
	repo.commit("main", "first", map[string]string{"a": "1"})
	h := serveHTTP(t, filepath.Dir(repo.bare), false)
	secure := httptest.NewTLSServer(h.Config.Handler)
	t.Cleanup(secure.Close)
	remote := Remote{URL: secure.URL + "/team.git", Auth: &Auth{Username: testUser, Password: testPassword}}
	s := openStore(t, Options{})
	if _, err := s.Resolve(t.Context(), remote, Reference{Branch: "main"}); !errors.Is(err, ErrNetwork) {
		t.Errorf("without the CA: %v", err)
	}
	remote.Auth = &Auth{Username: testUser, Password: testPassword, CAFile: pemOf(secure.Certificate().Raw)}
	if _, err := s.Resolve(t.Context(), remote, Reference{Branch: "main"}); err != nil {
		t.Errorf("with the CA: %v", err)
	}
}

func TestHostileTreesAreRefused(t *testing.T) {
	for name, build := range map[string]func(r *repository) string{
		"link and folder of one name": func(r *repository) string {
			// A link to a folder outside, and a folder of that name with a
			// file in it: naive unpacking writes through the link.
			link := r.object("blob", "/tmp")
			file := r.object("blob", "x")
			below := r.tree(treeLine{"100644", "evil", file})
			return r.tree(treeLine{"120000", "dir", link}, treeLine{"40000", "dir", below})
		},
		"dot dot": func(r *repository) string {
			below := r.tree(treeLine{"100644", "evil", r.object("blob", "x")})
			return r.tree(treeLine{"40000", "..", below})
		},
		"git folder": func(r *repository) string {
			below := r.tree(treeLine{"100644", "config", r.object("blob", "x")})
			return r.tree(treeLine{"40000", ".GIT", below})
		},
		"slash": func(r *repository) string {
			return r.tree(treeLine{"100644", "a/../../evil", r.object("blob", "x")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			repo := newRepository(t)
			commit := repo.run(repo.bare, "commit-tree", "-m", "evil", build(repo))
			repo.run(repo.bare, "update-ref", "refs/heads/main", commit)
			h := serveHTTP(t, filepath.Dir(repo.bare), true)
			for _, room := range []int64{0, 1 << 20} {
				s := openStore(t, Options{MemoryBytes: room})
				if snap, err := s.Fetch(t.Context(), h.remote(), Reference{Branch: "main"}); !errors.Is(err, ErrInvalid) {
					t.Errorf("with %d bytes of memory: got %v, %v", room, snap, err)
				}
			}
		})
	}
}

func TestAFolderBelongsToOneStoreAtATime(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrFolderInUse) {
		t.Errorf("a second Store got the folder: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, Options{})
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCloseEndsTheFetchesThatEverybodyLeft(t *testing.T) {
	repo := newRepository(t)
	repo.commit("main", "first", map[string]string{"a": "1"})
	h := serveHTTP(t, filepath.Dir(repo.bare), false)
	// The server lists its references, and never sends a pack.
	asked, let := make(chan struct{}), make(chan struct{})
	behind := must(url.Parse(h.URL))
	proxy := httputil.NewSingleHostReverseProxy(behind)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			close(asked)
			select {
			case <-let:
			case <-req.Context().Done():
			}
			return
		}
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(let) })
	dir := t.TempDir()
	s := must(Open(dir, Options{}))
	remote := h.remote()
	remote.URL = slow.URL + "/team.git"
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := s.Fetch(ctx, remote, Reference{Branch: "main"})
		left <- err
	}()
	<-asked
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that gave up got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	under := len(s.flights)
	s.mu.Unlock()
	if under != 0 {
		t.Errorf("%d fetches go on in a folder that is another's now", under)
	}
}
