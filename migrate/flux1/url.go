package flux1

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// RawURL is a Git URL as configured. It may hold a password or a token, so
// every way of printing it shows [DisplayURL] instead.
type RawURL string

// String hides secrets.
func (u RawURL) String() string { return DisplayURL(string(u)) }

// GoString hides secrets from %#v.
func (u RawURL) GoString() string { return fmt.Sprintf("%q", u.String()) }

// MarshalText hides secrets from encoders.
func (u RawURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// ErrUnreadableURL is [migrate.ErrUnreadableURL].
var ErrUnreadableURL = migrate.ErrUnreadableURL

// gitTransports are the URL schemes that fluxd takes for Git (flux:
// pkg/git/url.go, through whilp/git-urls 1.0.0).
var gitTransports = map[string]bool{
	"ssh": true, "git": true, "git+ssh": true, "http": true, "https": true,
	"ftp": true, "ftps": true, "rsync": true, "file": true,
}

// scpForm is the "user@host:path" spelling as fluxd's URL library sees it.
// What follows the characters it allows in a path counts as a query.
var scpForm = regexp.MustCompile(`^([a-zA-Z0-9_]+@)?([a-zA-Z0-9._-]+):([a-zA-Z0-9./_-]+)(.*)$`)

// SafeURL is the spelling of a Git URL that fluxd hashes into its marks: the
// URL with every $(VAR) filled in, taken apart and written again without its
// password (flux: pkg/git/url.go). The user name stays, and with some hosts
// that is a token: the result is for hashing, never for showing.
func SafeURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err == nil && gitTransports[u.Scheme] {
		if u.User != nil {
			u.User = url.User(u.User.Username())
		}
		return u.String(), nil
	}
	if strings.Contains(raw, "://") {
		// fluxd's library takes such a URL for the scp form, and would
		// publish what it holds; Git could not clone from it.
		return "", fmt.Errorf("hash git url: %w", ErrUnreadableURL)
	}
	if m := scpForm.FindStringSubmatch(raw); m != nil {
		u := url.URL{Scheme: "ssh", Host: m[2], Path: m[3], RawQuery: strings.TrimPrefix(m[4], "?")}
		if m[1] != "" {
			u.User = url.User(strings.TrimSuffix(m[1], "@"))
		}
		return u.String(), nil
	}
	return (&url.URL{Scheme: "file", Path: raw}).String(), nil
}

// DisplayURL is [migrate.DisplayURL].
func DisplayURL(raw string) string { return migrate.DisplayURL(raw) }

// URLCredentials are the user and password that stand in a Git URL, as
// written there: percent-encoded, and perhaps a symbol such as $(VAR).
type URLCredentials struct {
	Scheme             string
	Username, Password string
	// HasPassword tells an empty password from none.
	HasPassword bool
}

// String hides the password.
func (c URLCredentials) String() string {
	switch {
	case c.Username == "" && !c.HasPassword:
		return "no credentials"
	case c.UserIsSecret():
		return "a user name that may be a token"
	default:
		return "user " + c.Username
	}
}

// GoString hides the password from %#v.
func (c URLCredentials) GoString() string { return c.String() }

// UserIsSecret reports whether the user name, as it is written, may be a token.
func (c URLCredentials) UserIsSecret() bool { return c.UserMayBeToken() && !isSymbol(c.Username) }

// UserMayBeToken reports whether the user name, or what a symbol in its place
// stands for, may be a token, by [migrate.UserMayBeToken].
func (c URLCredentials) UserMayBeToken() bool {
	return migrate.UserMayBeToken(c.Scheme, c.Username, c.Password)
}

// isSymbol reports whether s is one symbol and nothing else.
func isSymbol(s string) bool {
	names := Symbols(s)
	return len(names) == 1 && s == "$("+names[0]+")"
}

func userInfo(scheme, info string) URLCredentials {
	user, password, has := strings.Cut(info, ":")
	return URLCredentials{Scheme: scheme, Username: user, Password: password, HasPassword: has}
}

// FluxV2URL is [migrate.SourceURL] with the credentials that the URL holds
// over HTTP, apart; over SSH only the user that stays in it.
func FluxV2URL(raw string) (string, URLCredentials, error) {
	bare, err := migrate.SourceURL(raw)
	if err != nil {
		return "", URLCredentials{}, err
	}
	// A short form has become an ssh:// URL, so that bare has a scheme anyway.
	scheme, rest, _ := strings.Cut(bare, "://")
	if scheme == "ssh" {
		user, _, _ := migrate.SplitAuthority(rest)
		return bare, URLCredentials{Scheme: scheme, Username: user}, nil
	}
	info, _, _ := migrate.SplitAuthority(strings.TrimPrefix(raw, scheme+"://"))
	return bare, userInfo(scheme, info), nil
}
