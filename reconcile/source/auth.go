package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/fluxcd/pkg/git"
)

// Auth is what a Git server is given, and what is trusted about it. The zero
// value and nil mean: anonymous, the system's certificates, the proxy of the
// environment. An Auth is not changed after its first use.
type Auth struct {
	// Username and Password of HTTP basic authentication. For SSH, Username
	// is the user to log in as; empty takes that of the URL, else "git".
	Username, Password string
	// BearerToken for HTTP; used if Username and Password are empty.
	BearerToken string
	// Identity is the private key for SSH (PEM or OpenSSH format), Passphrase
	// what it is encrypted with, if it is.
	Identity   []byte
	Passphrase string
	// KnownHosts in the format of OpenSSH; required for SSH.
	KnownHosts []byte
	// CAFile holds certificates (PEM) to trust beside the system's.
	CAFile []byte
	// ClientCert and ClientKey (PEM) for mutual TLS.
	ClientCert, ClientKey []byte
	// ProxyURL is the proxy to use (http, https, socks5), with its own
	// ProxyUsername and ProxyPassword; empty takes HTTP(S)_PROXY and
	// NO_PROXY of the environment for HTTP and ALL_PROXY for SSH.
	ProxyURL, ProxyUsername, ProxyPassword string
}

// AuthFromSecret reads the data of a Secret for spec.secretRef (identity,
// known_hosts, password; username, password; bearerToken; ca.crt or caFile;
// tls.crt, tls.key). What the URL's scheme makes mandatory is checked; the
// error names the key, wraps ErrAuth and holds no value. (source: fluxcd/pkg
// git/options.go)
func AuthFromSecret(rawURL string, data map[string][]byte) (*Auth, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	o, err := git.NewAuthOptions(*u, data)
	if err != nil {
		return nil, fmt.Errorf("read the credential for %s: %w: %w", SafeURL(rawURL), ErrAuth, err)
	}
	a := &Auth{
		Username: o.Username, Password: o.Password, BearerToken: o.BearerToken,
		Identity: o.Identity, KnownHosts: o.KnownHosts,
		CAFile: o.CAFile, ClientCert: o.ClientCert, ClientKey: o.ClientKey,
	}
	if o.Transport == git.SSH {
		a.Passphrase, a.Password = o.Password, ""
	}
	return a, nil
}

// WithProxySecret returns a copy that uses the proxy described by the data of
// a Secret for spec.proxySecretRef: address, username, password. The receiver
// may be nil.
func (a *Auth) WithProxySecret(data map[string][]byte) (*Auth, error) {
	address := strings.TrimSpace(string(data["address"]))
	if address == "" {
		return nil, fmt.Errorf("%w: the proxy Secret has no 'address'", ErrAuth)
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" {
		return nil, fmt.Errorf("%w: the proxy Secret's 'address' is no URL", ErrAuth)
	}
	b := Auth{}
	if a != nil {
		b = *a
	}
	b.ProxyURL, b.ProxyUsername, b.ProxyPassword = address, string(data["username"]), string(data["password"])
	return &b, nil
}

// String names the parts that are set, never a value.
func (a Auth) String() string {
	var parts []string
	for _, p := range []struct {
		name string
		set  bool
	}{
		{"username", a.Username != ""}, {"password", a.Password != ""}, {"bearerToken", a.BearerToken != ""},
		{"identity", len(a.Identity) > 0}, {"passphrase", a.Passphrase != ""}, {"known_hosts", len(a.KnownHosts) > 0},
		{"ca.crt", len(a.CAFile) > 0}, {"tls.crt", len(a.ClientCert) > 0}, {"proxy", a.ProxyURL != ""},
	} {
		if p.set {
			parts = append(parts, p.name)
		}
	}
	if len(parts) == 0 {
		return "anonymous"
	}
	return strings.Join(parts, "+")
}

// Format prints String for every verb, so that %#v and %x show no more.
func (a Auth) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.String())) }

// MarshalText gives String: an Auth cannot be stored as JSON by accident.
func (a Auth) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// key is a hash of all that decides what a server may answer.
func (a *Auth) key() string {
	hash := sha256.New()
	if a != nil {
		for _, part := range []string{
			a.Username, a.Password, a.BearerToken, string(a.Identity), a.Passphrase, string(a.KnownHosts),
			string(a.CAFile), string(a.ClientCert), string(a.ClientKey), a.ProxyURL, a.ProxyUsername, a.ProxyPassword,
		} {
			fmt.Fprintf(hash, "%d:%s", len(part), part)
		}
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// secrets are the values that no message may hold. Very short ones are left
// out: replacing them would garble every text and hide nothing.
func (a *Auth) secrets() []string {
	if a == nil {
		return nil
	}
	var list []string
	for _, s := range []string{a.Password, a.BearerToken, a.Passphrase, a.ProxyPassword} {
		if len(s) >= 4 {
			list = append(list, s)
		}
	}
	return list
}

// parseURL accepts what GitRepository.spec.url may be.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		var parse *url.Error
		if strings.Contains(raw, "@") || !errors.As(err, &parse) {
			// What is wrong may be a part of the password.
			return nil, fmt.Errorf("%w: a user name or password in it may have to be escaped", ErrURL)
		}
		return nil, fmt.Errorf("%w: %w", ErrURL, parse.Err) // parse itself repeats the URL
	}
	switch u.Scheme {
	case "http", "https", "ssh":
	default:
		return nil, fmt.Errorf("%w: %s: the scheme must be http, https or ssh", ErrURL, SafeURL(raw))
	}
	if u.Host == "" || u.Path == "" || u.Path == "/" {
		return nil, fmt.Errorf("%w: %s: host and path are needed", ErrURL, SafeURL(raw))
	}
	return u, nil
}

// urlInText is a URL within a text, up to what can stand in none.
var urlInText = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]+`)

// SafeText is a text, such as the error of another program, with each URL in it as
// SafeURL gives it.
func SafeText(text string) string { return urlInText.ReplaceAllStringFunc(text, SafeURL) }

// SafeURL is the URL without password (and without user, for http and https,
// where a user name can be a token). What cannot be parsed is not repeated.
func SafeURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable URL)"
	}
	if u.Scheme == "ssh" && u.User != nil {
		u.User = url.User(u.User.Username())
	} else {
		u.User = nil
	}
	u.RawQuery, u.Fragment = "", ""
	return u.String()
}
