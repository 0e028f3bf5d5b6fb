// Package gitserver serves bare Git repositories the way a Git host does: over
// smart HTTP with a user and password per repository, and over SSH with deploy
// keys per repository and a host key that clients can check. Both transports
// run Git's own programs (git http-backend, git upload-pack, git receive-pack),
// so what clients meet is Git's behaviour and not an imitation of it.
//
// It is a fixture for tests, demonstrations and benchmarks. It listens on
// loopback unless told otherwise, speaks plain HTTP, has no pull requests and
// no web pages, and refuses anonymous access: a repository is open only to the
// users and keys allowed to it.
package gitserver

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/fluxover/fluxover/e2e/machine"
)

const (
	stateFile   = "gitserver.json"
	hostKeyFile = "ssh_host_ed25519_key"

	// stopLimit bounds how long Stop waits for requests in flight before it cuts them.
	stopLimit = 2 * time.Second
)

// Options say where a server keeps its repositories and where it listens.
type Options struct {
	// Dir holds the bare repositories (<name>.git), the host key and the
	// users and keys. It is made if absent. Required.
	Dir string
	// HTTPAddr is the address for HTTP. Empty means the address used by the
	// last server in Dir if its port is free, else a free port on 127.0.0.1.
	HTTPAddr string
	// SSHAddr is the address for SSH, with the same default as HTTPAddr.
	SSHAddr string
}

// Server is a running Git server. Its methods may be called concurrently.
type Server struct {
	*Repositories
	backendPath string
	hostKey     ssh.Signer

	httpServer   *http.Server
	httpListener net.Listener
	sshListener  net.Listener

	ctx    context.Context // ends with Stop: no request outlives the server
	cancel context.CancelFunc
	work   sync.WaitGroup

	stop    sync.Once
	stopErr error
	hanging atomic.Int32 // requests held by the fault Hang

	mu       sync.Mutex
	state    state
	faults   map[string]Fault
	stats    map[string]*Stats
	sshConns map[net.Conn]struct{}
	stopped  bool
}

// state is what survives a restart, kept as JSON in Dir. Passwords are kept as
// SHA-256 sums.
type state struct {
	HTTPAddr     string             `json:"httpAddr"`
	SSHAddr      string             `json:"sshAddr"`
	Repositories map[string]*access `json:"repositories"`
}

// access says who may use one repository.
type access struct {
	Users map[string]userAccess `json:"users,omitempty"`
	// Keys maps the SHA-256 fingerprint of a deploy key to whether it may push.
	Keys map[string]bool `json:"keys,omitempty"`
}

type userAccess struct {
	PasswordSHA256 string `json:"passwordSHA256"`
	Write          bool   `json:"write"`
}

// Start serves the repositories below options.Dir until Stop is called or ctx
// ends. A server started again in the same Dir keeps host key, users, keys and
// repositories, and the ports if they are free. It needs git on PATH.
func Start(ctx context.Context, options Options) (*Server, error) {
	if options.Dir == "" {
		return nil, errors.New("start git server: Options.Dir is empty; name a folder for the repositories")
	}
	repositories, err := OpenRepositories(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("start git server: %w", err)
	}
	dir := repositories.dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("start git server: %w", err)
	}
	backendPath, err := repositories.httpBackend(ctx)
	if err != nil {
		return nil, fmt.Errorf("start git server: %w", err)
	}
	hostKey, err := loadOrCreateHostKey(filepath.Join(dir, hostKeyFile))
	if err != nil {
		return nil, fmt.Errorf("start git server: %w", err)
	}
	before, err := readState(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, fmt.Errorf("start git server: %w", err)
	}

	server := &Server{
		Repositories: repositories, backendPath: backendPath, hostKey: hostKey, state: before,
		faults: map[string]Fault{}, stats: map[string]*Stats{}, sshConns: map[net.Conn]struct{}{},
	}
	if server.httpListener, err = listen(options.HTTPAddr, before.HTTPAddr); err != nil {
		return nil, fmt.Errorf("start git server: listen for http: %w", err)
	}
	if server.sshListener, err = listen(options.SSHAddr, before.SSHAddr); err != nil {
		return nil, errors.Join(fmt.Errorf("start git server: listen for ssh: %w", err), server.httpListener.Close())
	}
	server.state.HTTPAddr = server.httpListener.Addr().String()
	server.state.SSHAddr = server.sshListener.Addr().String()
	if err := server.saveState(); err != nil {
		return nil, errors.Join(fmt.Errorf("start git server: %w", err), server.httpListener.Close(), server.sshListener.Close())
	}

	server.ctx, server.cancel = context.WithCancel(ctx)
	server.httpServer = &http.Server{
		Handler:           http.HandlerFunc(server.serveHTTP),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return server.ctx },
	}
	server.work.Go(func() {
		// Serve always ends with an error; after Stop it is ErrServerClosed,
		// and before it only when the listener is gone.
		_ = server.httpServer.Serve(server.httpListener)
	})
	server.work.Go(server.serveSSH)
	context.AfterFunc(server.ctx, func() { _ = server.Stop() })
	return server, nil
}

// Stop ends the server: it takes no new connections, gives requests in flight
// two seconds, then cuts them and ends the git programs that served them. The
// repositories stay. Calling it again waits for the end and is harmless.
func (s *Server) Stop() error {
	s.stop.Do(func() { s.stopErr = s.shutDown() })
	return s.stopErr
}

func (s *Server) shutDown() error {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()

	limit, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	problem := s.httpServer.Shutdown(limit)
	if errors.Is(problem, context.DeadlineExceeded) {
		problem = s.httpServer.Close()
	}
	s.cancel()
	if err := s.sshListener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		problem = errors.Join(problem, err)
	}
	s.mu.Lock()
	for conn := range s.sshConns {
		// An error means that the client closed first, which is what is wanted.
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
	if problem != nil {
		return fmt.Errorf("stop git server: %w", problem)
	}
	return nil
}

// enter counts a request as work that Stop waits for. It is false when the
// server is stopping; otherwise the caller must call s.work.Done.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.work.Add(1)
	return true
}

// HTTPAddr is the address on which HTTP is served, host:port.
func (s *Server) HTTPAddr() string { return s.httpListener.Addr().String() }

// SSHAddr is the address on which SSH is served, host:port.
func (s *Server) SSHAddr() string { return s.sshListener.Addr().String() }

// HTTPURL is the URL of a repository over HTTP, without credentials:
// http://127.0.0.1:PORT/<repo>.git.
func (s *Server) HTTPURL(repo string) string {
	return "http://" + s.HTTPAddr() + "/" + repo + ".git"
}

// SSHURL is the URL of a repository over SSH: ssh://git@127.0.0.1:PORT/<repo>.git.
func (s *Server) SSHURL(repo string) string {
	return "ssh://git@" + s.SSHAddr() + "/" + repo + ".git"
}

// KnownHosts is the known_hosts line of the server's host key, ending in a newline.
func (s *Server) KnownHosts() string {
	host, port, err := net.SplitHostPort(s.SSHAddr())
	if err != nil { // an address of a listener always splits
		return ""
	}
	return fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(s.hostKey.PublicKey()))
}

// AllowUser lets user with password read a repository over HTTP, and push to it
// if write is set. Naming a user again replaces password and right.
func (s *Server) AllowUser(repo, user, password string, write bool) error {
	return s.changeAccess(repo, func(a *access) {
		sum := sha256.Sum256([]byte(password))
		a.Users[user] = userAccess{PasswordSHA256: hex.EncodeToString(sum[:]), Write: write}
	})
}

// AllowKey lets the holder of a deploy key read a repository over SSH, and push
// to it if write is set. Naming a key again replaces its right.
func (s *Server) AllowKey(repo string, key ssh.PublicKey, write bool) error {
	return s.changeAccess(repo, func(a *access) { a.Keys[ssh.FingerprintSHA256(key)] = write })
}

// changeAccess changes who may use a repository and stores it.
func (s *Server) changeAccess(repo string, change func(*access)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, found := s.state.Repositories[repo]
	if !found {
		return fmt.Errorf("allow access to repository %s: %w", repo, ErrNoRepository)
	}
	change(a)
	return s.saveState()
}

// listen takes the wanted address, else the one used before, else a free port.
func listen(wanted, before string) (net.Listener, error) {
	if wanted != "" {
		return net.Listen("tcp", wanted)
	}
	if before != "" {
		if listener, err := net.Listen("tcp", before); err == nil {
			return listener, nil
		}
	}
	return machine.Listen()
}

// saveState writes the state so that a reader sees the old or the new one,
// never half of it. The caller holds mu, or is the only one to know s.
func (s *Server) saveState() error {
	content, err := json.MarshalIndent(s.state, "", "  ")
	if err != nil {
		return fmt.Errorf("save git server state: %w", err)
	}
	path := filepath.Join(s.dir, stateFile)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("save git server state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("save git server state: %w", err)
	}
	return nil
}

// readState reads what an earlier server left; no file is an empty state.
func readState(path string) (state, error) {
	found := state{Repositories: map[string]*access{}}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return found, fmt.Errorf("read git server state: %w", err)
	}
	if err := json.Unmarshal(content, &found); err != nil {
		return found, fmt.Errorf("read git server state %s: %w", path, err)
	}
	if found.Repositories == nil {
		found.Repositories = map[string]*access{}
	}
	for name, a := range found.Repositories {
		if a == nil {
			a = &access{}
			found.Repositories[name] = a
		}
		if a.Users == nil {
			a.Users = map[string]userAccess{}
		}
		if a.Keys == nil {
			a.Keys = map[string]bool{}
		}
	}
	return found, nil
}

// loadOrCreateHostKey reads the host key, or makes an ed25519 key and keeps it.
func loadOrCreateHostKey(path string) (ssh.Signer, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make ssh host key: %w", err)
		}
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			return nil, fmt.Errorf("make ssh host key: %w", err)
		}
		content = pem.EncodeToMemory(block)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, fmt.Errorf("keep ssh host key: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("read ssh host key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(content)
	if err != nil {
		return nil, fmt.Errorf("read ssh host key %s: %w", path, err)
	}
	return signer, nil
}

// httpBackend finds git http-backend.
func (r *Repositories) httpBackend(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, r.gitPath, "--exec-path").Output()
	if err != nil {
		return "", fmt.Errorf("ask git for its programs: %w", err)
	}
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		return "", fmt.Errorf("find git http-backend: %w; install the whole of git", err)
	}
	return backend, nil
}
