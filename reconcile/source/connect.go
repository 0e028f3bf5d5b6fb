package source

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// session is one conversation with a server: its references, and after them
// at most one pack.
type session struct {
	transport.UploadPackSession
	auth *Auth
	refs *packp.AdvRefs
	// wholeOnly: the server refuses clients without multi_ack (see
	// needsMultiACK), so every fetch is made as if nothing were held.
	wholeOnly bool
}

// needsMultiACK names the hosts that speak only to clients with multi_ack,
// which go-git announces to none by itself because it understands it only for
// fetches from nothing (source: fluxcd/pkg git/gogit/client.go, which announces
// it to all).
func needsMultiACK(host string) bool {
	host = strings.ToLower(host)
	return host == "dev.azure.com" || host == "ssh.dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com") ||
		(strings.HasPrefix(host, "git-codecommit.") && strings.Contains(host, ".amazonaws.com"))
}

// connect opens a session and asks for the references. The caller closes it.
// The context ends everything, also a server that stops answering.
func (s *Store) connect(ctx context.Context, r Remote) (*session, error) {
	u, auth, err := endpoint(r)
	if err != nil {
		return nil, err
	}
	type result struct {
		session *session
		err     error
	}
	done := make(chan result, 1)
	go func() {
		// The SSH transport dials without a context.
		se, err := s.dial(ctx, u, auth)
		if err == nil {
			if se.refs, err = se.AdvertisedReferencesContext(ctx); err != nil {
				_ = se.Close()
				se = nil
			}
		}
		if err != nil && se == nil {
			err = fmt.Errorf("list the references of %s: %w", SafeURL(r.URL), classify(err, auth))
		}
		done <- result{se, err}
	}()
	select {
	case got := <-done:
		if got.err != nil && ctx.Err() != nil {
			return nil, fmt.Errorf("list the references of %s: %w", SafeURL(r.URL), ctx.Err())
		}
		return got.session, got.err
	case <-ctx.Done():
		go func() {
			if got := <-done; got.session != nil {
				_ = got.session.Close()
			}
		}()
		return nil, fmt.Errorf("list the references of %s: %w", SafeURL(r.URL), ctx.Err())
	}
}

// endpoint takes a credential out of the URL and puts it into the Auth, so that
// no layer below can print it.
func endpoint(r Remote) (*url.URL, *Auth, error) {
	u, err := parseURL(r.URL)
	if err != nil {
		return nil, nil, err
	}
	auth := r.Auth
	if auth == nil {
		auth = &Auth{}
	}
	if u.Scheme != "ssh" && u.User != nil {
		merged := *auth
		if merged.Username == "" && merged.Password == "" && merged.BearerToken == "" {
			merged.Username = u.User.Username()
			merged.Password, _ = u.User.Password()
		}
		auth, u.User = &merged, nil
	}
	return u, auth, nil
}

// dialer opens conversations of either direction with one server.
type dialer struct {
	transport.Transport
	endpoint *transport.Endpoint
	auth     transport.AuthMethod
	ssh      *sshAuth // nil over HTTP
}

// explain prefers what this package refused to the words of the SSH library.
func (d dialer) explain(err error) error {
	if err != nil && d.ssh != nil && d.ssh.refused != nil {
		return d.ssh.refused
	}
	return err
}

func (s *Store) dialer(ctx context.Context, u *url.URL, auth *Auth) (d dialer, err error) {
	if d.endpoint, err = transport.NewEndpoint(u.String()); err != nil {
		return dialer{}, fmt.Errorf("%w: %w", ErrURL, err)
	}
	if u.Scheme == "ssh" {
		if d.ssh, err = newSSHAuth(ctx, u, auth); err != nil {
			return dialer{}, err
		}
		d.endpoint.Proxy = transport.ProxyOptions{URL: auth.ProxyURL, Username: auth.ProxyUsername, Password: auth.ProxyPassword}
		d.Transport, d.auth = gitssh.NewClient(nil), d.ssh
		return d, nil
	}
	client, err := s.httpClient(auth)
	if err != nil {
		return dialer{}, err
	}
	switch {
	// Some servers refuse empty credentials for public repositories.
	case auth.Username != "" || auth.Password != "":
		d.auth = &githttp.BasicAuth{Username: auth.Username, Password: auth.Password}
	case auth.BearerToken != "":
		d.auth = &githttp.TokenAuth{Token: auth.BearerToken}
	}
	d.Transport = githttp.NewClient(client)
	return d, nil
}

func (s *Store) dial(ctx context.Context, u *url.URL, auth *Auth) (*session, error) {
	d, err := s.dialer(ctx, u, auth)
	if err != nil {
		return nil, err
	}
	se := &session{auth: auth, wholeOnly: needsMultiACK(u.Hostname())}
	if se.UploadPackSession, err = d.NewUploadPackSession(d.endpoint, d.auth); err != nil {
		return nil, d.explain(err)
	}
	return se, nil
}

// httpClient gives the client for a credential, kept so that polling reuses
// connections.
func (s *Store) httpClient(auth *Auth) (*http.Client, error) {
	key := auth.key()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[key]; c != nil {
		return c, nil
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if auth.ProxyURL != "" {
		p, err := (&transport.ProxyOptions{URL: auth.ProxyURL, Username: auth.ProxyUsername, Password: auth.ProxyPassword}).FullURL()
		if err != nil {
			return nil, fmt.Errorf("%w: the proxy address is no URL", ErrAuth)
		}
		t.Proxy = http.ProxyURL(p)
	}
	if len(auth.CAFile) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(auth.CAFile) {
			return nil, fmt.Errorf("%w: ca.crt holds no certificate", ErrAuth)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if len(auth.ClientCert) > 0 || len(auth.ClientKey) > 0 {
		pair, err := tls.X509KeyPair(auth.ClientCert, auth.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("%w: tls.crt and tls.key are no pair", ErrAuth)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	if len(s.clients) >= maxClients {
		for k, c := range s.clients {
			c.CloseIdleConnections()
			delete(s.clients, k)
		}
	}
	c := &http.Client{Transport: shortErrors{t}, CheckRedirect: sameHost}
	s.clients[key] = c
	return c, nil
}

// maxClients is how many HTTP clients are kept before all are dropped: far
// more than there are credentials, so it only bounds rotation.
const maxClients = 1000

// sameHost follows redirects only on one host and never from TLS to none:
// another host must not be given the credential, and what it serves is not
// what was asked for.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > 5 {
		return errors.New("too many redirects")
	}
	if !strings.EqualFold(req.URL.Hostname(), first.Hostname()) || (first.Scheme == "https" && req.URL.Scheme != "https") {
		return fmt.Errorf("redirect to %s refused: use that URL itself", SafeURL(req.URL.String()))
	}
	return nil
}

// shortErrors cuts the body of an error answer: it is read whole, into a
// message.
type shortErrors struct{ http.RoundTripper }

func (t shortErrors) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.RoundTripper.RoundTrip(req)
	if err == nil && res.StatusCode >= 400 {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4*maxErrorText))
		_ = res.Body.Close()
		res.Body = io.NopCloser(bytes.NewReader(text))
	}
	return res, err
}

func (t shortErrors) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// sshAuth gives the SSH transport key and trust.
type sshAuth struct {
	config  *ssh.ClientConfig
	refused error
}

var _ gitssh.AuthMethod = (*sshAuth)(nil)

func (a *sshAuth) Name() string                             { return "ssh-public-keys" }
func (a *sshAuth) String() string                           { return "ssh-public-keys" }
func (a *sshAuth) ClientConfig() (*ssh.ClientConfig, error) { return a.config, nil }

func newSSHAuth(ctx context.Context, u *url.URL, auth *Auth) (*sshAuth, error) {
	if len(auth.Identity) == 0 {
		return nil, fmt.Errorf("%w: 'identity' is required for ssh", ErrAuth)
	}
	if len(auth.KnownHosts) == 0 {
		return nil, fmt.Errorf("%w: 'known_hosts' is required for ssh", ErrKnownHosts)
	}
	var signer ssh.Signer
	var err error
	if auth.Passphrase != "" {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(auth.Identity, []byte(auth.Passphrase))
	} else {
		signer, err = ssh.ParsePrivateKey(auth.Identity)
	}
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		return nil, fmt.Errorf("%w: the private key is encrypted: give its passphrase as 'password'", ErrAuth)
	case err != nil:
		return nil, fmt.Errorf("%w: the private key cannot be read (wrong format or passphrase)", ErrAuth)
	}
	callback, err := parseKnownHosts(auth.KnownHosts)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "22"
	}
	address := net.JoinHostPort(u.Hostname(), port)
	algorithms := hostKeyAlgorithms(callback, address)
	if len(algorithms) == 0 {
		return nil, fmt.Errorf("%w: known_hosts has no key for %s", ErrKnownHosts, knownhosts.Normalize(address))
	}
	user := u.User.Username()
	if user == "" {
		user = auth.Username
	}
	if user == "" {
		user = "git"
	}
	a := &sshAuth{}
	a.config = &ssh.ClientConfig{
		User: user,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			// host is what the transport dialled; only the URL's counts, so
			// that an ssh_config on the machine cannot change it.
			err := callback(address, noAddr{}, key)
			if err != nil {
				a.refused = fmt.Errorf("%w: %s presented a key that known_hosts does not hold: %s", ErrKnownHosts,
					knownhosts.Normalize(address), ssh.FingerprintSHA256(key))
				return a.refused
			}
			return nil
		},
		HostKeyAlgorithms: algorithms,
		Timeout:           30 * time.Second,
	}
	if deadline, ok := ctx.Deadline(); ok {
		a.config.Timeout = min(a.config.Timeout, max(time.Until(deadline), time.Millisecond))
	}
	return a, nil
}

// noAddr stands for the peer's address, which must not count: a key trusted
// for an IP address says nothing about the host name.
type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return "0.0.0.0:0" }

// parseKnownHosts reads known_hosts lines. The parser of x/crypto only reads
// files, so they pass through a temporary one in the system's folder.
func parseKnownHosts(lines []byte) (ssh.HostKeyCallback, error) {
	f, err := os.CreateTemp("", "known_hosts-")
	if err != nil {
		return nil, fmt.Errorf("read known_hosts: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(lines)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read known_hosts: %w", err)
	}
	callback, err := knownhosts.New(f.Name())
	if err != nil {
		return nil, fmt.Errorf("%w: known_hosts cannot be read: %s", ErrKnownHosts, strings.ReplaceAll(err.Error(), f.Name(), "line"))
	}
	return callback, nil
}

// hostKeyAlgorithms are the kinds of host key to ask for: those that
// known_hosts holds, since a server with several keys would otherwise choose
// one that is not there.
func hostKeyAlgorithms(callback ssh.HostKeyCallback, address string) []string {
	var keyErr *knownhosts.KeyError
	if !errors.As(callback(address, noAddr{}, noKey{}), &keyErr) {
		return nil
	}
	var algorithms []string
	seen := map[string]bool{}
	for _, want := range keyErr.Want {
		kinds := []string{want.Key.Type()}
		if kinds[0] == ssh.KeyAlgoRSA {
			kinds = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, k := range kinds {
			if !seen[k] {
				seen[k] = true
				algorithms = append(algorithms, k)
			}
		}
	}
	return algorithms
}

// noKey equals no host key; known_hosts answers it with the keys it holds.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }
