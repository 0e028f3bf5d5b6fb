package source

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// repository is a bare repository on disk with a work tree to commit from.
type repository struct {
	t    *testing.T
	bare string
	work string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git for the server side")
	}
	dir := t.TempDir()
	r := &repository{t: t, bare: filepath.Join(dir, "team.git"), work: filepath.Join(dir, "work")}
	r.run(dir, "init", "--quiet", "--bare", "--initial-branch=main", r.bare)
	r.run(dir, "init", "--quiet", "--initial-branch=main", r.work)
	r.run(r.work, "remote", "add", "origin", r.bare)
	return r
}

func (r *repository) run(dir string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+r.t.TempDir(),
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files ("" deletes) and pushes them to the branch; it returns
// the commit.
func (r *repository) commit(branch, message string, files map[string]string) string {
	r.t.Helper()
	for name, text := range files {
		p := filepath.Join(r.work, name)
		if text == "" {
			if err := os.Remove(p); err != nil {
				r.t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	r.run(r.work, "add", "-A")
	r.run(r.work, "commit", "--quiet", "--allow-empty", "-m", message)
	sha := r.run(r.work, "rev-parse", "HEAD")
	r.run(r.work, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/"+branch)
	return sha
}

// httpServer serves repositories below a folder by the real git http-backend,
// to one user, and counts requests and bytes sent.
type httpServer struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	sent     int
	gate     func(*http.Request)
}

const (
	testUser     = "deploy"
	testPassword = "s3cr3t-/+pass word"
)

func serveHTTP(t *testing.T, root string, anonymous bool) *httpServer {
	t.Helper()
	core := strings.TrimSpace(string(must(exec.Command("git", "--exec-path").Output())))
	backend := &cgi.Handler{
		Path: filepath.Join(core, "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + t.TempDir(),
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
		Logger: nil, Stderr: io.Discard,
	}
	s := &httpServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, req.Method+" "+req.URL.Path)
		gate := s.gate
		s.mu.Unlock()
		if gate != nil {
			gate(req)
		}
		user, password, ok := req.BasicAuth()
		bearer := req.Header.Get("Authorization") == "Bearer "+testPassword
		if !anonymous && !bearer && (!ok || user != testUser || password != testPassword) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "bad credential "+password, http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(&countingWriter{w, s}, req)
	}))
	t.Cleanup(s.Close)
	return s
}

type countingWriter struct {
	http.ResponseWriter
	s *httpServer
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	w.s.sent += len(p)
	w.s.mu.Unlock()
	return w.ResponseWriter.Write(p)
}

// seen returns and forgets the requests since the last call, and the bytes.
func (s *httpServer) seen() (requests []string, sent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests, sent = s.requests, s.sent
	s.requests, s.sent = nil, 0
	return requests, sent
}

// sshServer serves git-upload-pack to one key.
type sshServer struct {
	address    string
	identity   []byte
	knownHosts []byte
}

func serveSSH(t *testing.T, root, passphrase string) *sshServer {
	t.Helper()
	hostKey := newSigner(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() == "git" && bytes.Equal(key.Marshal(), client.PublicKey().Marshal()) {
			return nil, nil
		}
		return nil, errors.New("unknown key")
	}}
	config.AddHostKey(hostKey)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() { listener.Close(); running.Wait() })
	running.Add(1)
	go func() {
		defer running.Done()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Add(1)
			go func() { defer running.Done(); serveConnection(conn, config, root) }()
		}
	}()
	return &sshServer{
		address:    listener.Addr().String(),
		identity:   pem.EncodeToMemory(block),
		knownHosts: []byte(knownhosts.Line([]string{listener.Addr().String()}, hostKey.PublicKey()) + "\n"),
	}
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func serveConnection(conn net.Conn, config *ssh.ServerConfig, root string) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			for req := range requests {
				if req.Type != "exec" {
					_ = req.Reply(req.Type == "env", nil)
					continue
				}
				_ = req.Reply(true, nil)
				command := string(req.Payload[4:])
				name := strings.Trim(strings.TrimPrefix(command, "git-upload-pack "), "'")
				cmd := exec.Command("git", "-c", "safe.directory=*", "upload-pack", filepath.Join(root, filepath.Clean("/"+name)))
				cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
				stdin, _ := cmd.StdinPipe()
				go func() { _, _ = io.Copy(stdin, channel); stdin.Close() }()
				status := uint32(0)
				if cmd.Run() != nil {
					status = 1
				}
				_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
				channel.Close()
			}
		}()
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func openStore(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "store"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *httpServer) remote() Remote {
	return Remote{URL: s.URL + "/team.git", Auth: &Auth{Username: testUser, Password: testPassword}}
}

func (s *sshServer) remote() Remote {
	return Remote{URL: fmt.Sprintf("ssh://git@%s/team.git", s.address), Auth: &Auth{Identity: s.identity, KnownHosts: s.knownHosts}}
}
