package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Errors that callers tell apart with errors.Is. Every error of a remote
// operation wraps exactly one of them, or the context's error.
var (
	// ErrAuth: the server did not accept the credential, or demands one, or
	// the credential itself is unusable.
	ErrAuth = errors.New("authentication failed")
	// ErrNotFound: there is no such repository, or ErrReferenceNotFound.
	// Servers also say this to hide a repository from a wrong credential.
	ErrNotFound = errors.New("not found")
	// ErrReferenceNotFound: the repository holds no such branch, tag, name,
	// version or commit. It is an ErrNotFound too.
	ErrReferenceNotFound = fmt.Errorf("reference %w", ErrNotFound)
	// ErrKnownHosts: the SSH host's key is not in known_hosts, or is another.
	ErrKnownHosts = errors.New("host key not accepted")
	// ErrNetwork: the server could not be reached or the connection broke.
	ErrNetwork = errors.New("network")
	// ErrTooLarge: a limit of Options was exceeded.
	ErrTooLarge = errors.New("too large")
	// ErrInvalid: the repository's content or the server's answer is not
	// what Git would write.
	ErrInvalid = errors.New("invalid repository")
	// ErrURL: the URL cannot be used (source-controller's URLInvalid).
	ErrURL = errors.New("invalid URL")
)

// classified gives an error one of the package's marks and takes secrets and
// long server output out of its text.
type classified struct {
	mark  error
	text  string
	cause error
}

func (e *classified) Error() string {
	if e.text == "" {
		return e.mark.Error()
	}
	return e.mark.Error() + ": " + e.text
}

func (e *classified) Unwrap() []error { return []error{e.mark, e.cause} }

// classify marks an error of a remote operation. An error that is marked
// already is returned as it is.
func classify(err error, a *Auth) error {
	if err == nil {
		return nil
	}
	for _, mark := range []error{ErrAuth, ErrNotFound, ErrKnownHosts, ErrNetwork, ErrTooLarge, ErrInvalid, ErrURL} {
		if errors.Is(err, mark) {
			return err
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	text := a.scrub(err.Error())
	lower := strings.ToLower(text)
	mark := ErrInvalid
	var keyErr *knownhosts.KeyError
	switch {
	case errors.As(err, &keyErr):
		mark = ErrKnownHosts
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed),
		errors.Is(err, transport.ErrInvalidAuthMethod), strings.Contains(lower, "unable to authenticate"):
		mark = ErrAuth
	case errors.Is(err, transport.ErrRepositoryNotFound), errors.Is(err, transport.ErrEmptyRemoteRepository):
		mark = ErrNotFound
	case unreachable(err), strings.Contains(lower, "unexpected eof"),
		strings.Contains(lower, "connection re"), strings.Contains(lower, "ssh: handshake failed"),
		strings.Contains(lower, "unexpected requesting"), strings.Contains(lower, "broken pipe"),
		strings.HasSuffix(lower, "eof"):
		mark = ErrNetwork
	}
	return &classified{mark: mark, text: text, cause: opaque{err}}
}

// unreachable reports whether an error is one of the connection, whatever is
// kept.
func unreachable(err error) bool {
	var netErr net.Error
	var urlErr *url.Error
	return errors.As(err, &netErr) || errors.As(err, &urlErr)
}

// opaque keeps the chain for errors.Is and As but prints nothing of it.
type opaque struct{ err error }

func (o opaque) Error() string { return "" }
func (o opaque) Unwrap() error { return o.err }

// maxErrorText is the most of a server's answer that a message repeats.
const maxErrorText = 300

// scrub removes the credential from a text, and what URLs in it may hold of others,
// and shortens it to one line.
func (a *Auth) scrub(text string) string {
	text = SafeText(text)
	for _, secret := range a.secrets() {
		text = strings.ReplaceAll(text, secret, "***")
		text = strings.ReplaceAll(text, url.QueryEscape(secret), "***")
		text = strings.ReplaceAll(text, url.PathEscape(secret), "***")
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	return text
}
