package gitserver

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"strings"
)

// Git's two services, as they are called in both transports.
const (
	uploadPack  = "git-upload-pack"
	receivePack = "git-receive-pack"
)

// serveHTTP checks user and password, then lets git http-backend answer.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		http.Error(w, "the git server is stopping", http.StatusServiceUnavailable)
		return
	}
	defer s.work.Done()
	repo, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	if !ok || !s.serves(repo) {
		http.NotFound(w, r)
		return
	}
	service := uploadPack
	if rest == receivePack || (rest == "info/refs" && r.URL.Query().Get("service") == receivePack) {
		service = receivePack
	}
	switch s.fault(repo) {
	case Refuse:
		panic(http.ErrAbortHandler)
	case Hang:
		s.hang(r.Context())
		panic(http.ErrAbortHandler)
	case InternalError:
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}

	user, password, given := r.BasicAuth()
	may, write := s.userMay(repo, user, password)
	switch {
	case !given || !may:
		if given {
			s.count(repo, func(c *Stats) { c.Denied++ })
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "user or password wrong", http.StatusUnauthorized)
		return
	case service == receivePack && !write:
		s.count(repo, func(c *Stats) { c.Denied++ })
		http.Error(w, "this user may not push", http.StatusForbidden)
		return
	}

	// CGI needs the length of the body beforehand; git sends large ones in chunks.
	if len(r.TransferEncoding) > 0 {
		body, err := spool(r.Body)
		if err != nil {
			http.Error(w, "cannot take the request: "+err.Error(), http.StatusInternalServerError)
			return
		}
		defer body.remove()
		r.Body, r.ContentLength, r.TransferEncoding = body.File, body.size, nil
	}
	if service == uploadPack {
		if rest == "info/refs" && !strings.Contains(r.Header.Get("Git-Protocol"), "version=2") {
			s.count(repo, func(c *Stats) { c.Advertisements++ })
		}
		if r.Body != nil {
			r.Body = teeBody{io.TeeReader(r.Body, s.requestCounter(repo)), r.Body}
		}
	}
	backend := cgi.Handler{
		Path: s.backendPath,
		Root: "/",
		Dir:  s.dir,
		Env: append(s.gitEnv(),
			"GIT_PROJECT_ROOT="+s.dir,
			"GIT_HTTP_EXPORT_ALL=1",
			"REMOTE_USER="+user,
		),
		Stderr: io.Discard,
	}
	backend.ServeHTTP(&countedResponse{w, s.answerCounter(repo, service)}, r)
}

// userMay says whether a user may read and whether it may push.
func (s *Server) userMay(repo, user, password string) (read, write bool) {
	sum := sha256.Sum256([]byte(password))
	s.mu.Lock()
	allowed, found := s.state.Repositories[repo].Users[user]
	s.mu.Unlock()
	if !found || subtle.ConstantTimeCompare([]byte(allowed.PasswordSHA256), []byte(hex.EncodeToString(sum[:]))) != 1 {
		return false, false
	}
	return true, allowed.Write
}

// spooled is a request body kept in a file.
type spooled struct {
	*os.File
	size int64
}

// spool copies a body to a temporary file, positioned at its start.
func spool(body io.Reader) (*spooled, error) {
	file, err := os.CreateTemp("", "gitserver-body-*")
	if err != nil {
		return nil, err
	}
	kept := &spooled{File: file}
	if kept.size, err = io.Copy(file, body); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		kept.remove()
		return nil, err
	}
	return kept, nil
}

// remove closes and deletes the file; a leftover in the temporary folder harms nobody.
func (s *spooled) remove() {
	_ = s.Close()
	_ = os.Remove(s.Name())
}

type teeBody struct {
	io.Reader
	io.Closer
}

// countedResponse shows what is sent to the client to a counter.
type countedResponse struct {
	http.ResponseWriter
	counter io.Writer
}

func (c *countedResponse) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	if n > 0 {
		_, _ = c.counter.Write(p[:n]) // a counter never fails
	}
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (c *countedResponse) Unwrap() http.ResponseWriter { return c.ResponseWriter }
