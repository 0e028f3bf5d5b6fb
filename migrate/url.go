package migrate

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// ErrUnreadableURL is returned for Git URLs that cannot be taken apart. It does
// not quote them, since they may hold a password.
var ErrUnreadableURL = errors.New("not a Git URL that can be read")

var (
	plainScheme = regexp.MustCompile(`^[a-z+]+$`)
	// SymbolForm is a reference to an environment variable in a container's
	// arguments, which Kubernetes fills in: whatever stands before the next
	// bracket is its name.
	SymbolForm = regexp.MustCompile(`\$\(([^)]*)\)`)
)

// SourceURL rewrites a Git URL of Flux v1 to the form that
// GitRepository.spec.url demands (reference 6.3): http, https or ssh, without
// user and password over HTTP; Git's short form "user@host:path" becomes
// ssh://, in which nothing is a port. Over SSH the user stays ("git" if there
// is none). The path is kept as it is, but for a slash at its end over HTTP: Git puts one
// behind the URL where there is none, go-git in any case (git: http.c; go-git:
// plumbing/transport/http). Symbols such as $(VAR) may stand
// anywhere behind the scheme, and stay. A URL as [DisplayURL] shows it gives the
// same, or an error where more than user and password is hidden. The error never
// quotes the URL.
func SourceURL(raw string) (string, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if _, host, path := SplitAuthority(rest); strings.Contains(host+path, hidden) && !strings.ContainsAny(rest, "?#") {
		return "", errors.New("rewrite git url: what may be a password stands in it behind the host: write an @ of its path as %40, and a slash of its password as %2F")
	}
	if !ok {
		return shortForm(raw)
	}
	switch scheme {
	case "http", "https", "ssh":
	default:
		lower := strings.ToLower(scheme)
		switch {
		case lower == "http" || lower == "https" || lower == "ssh":
			return "", fmt.Errorf("rewrite git url: its scheme is written in capitals: fluxd takes it, but its git has no transport of that name and fetches nothing (it is not a git command), and Flux v2 refuses it: write %s://", lower)
		case plainScheme.MatchString(scheme):
			return "", fmt.Errorf("rewrite git url: %s:// URLs are not supported by Flux v2", scheme)
		}
		return "", errors.New("rewrite git url: URLs of this scheme are not supported by Flux v2, which takes http, https and ssh")
	}
	u, err := url.Parse(SymbolForm.ReplaceAllString(raw, "symbol"))
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("rewrite git url: %w", ErrUnreadableURL)
	}
	if strings.ContainsAny(rest, "?#") {
		return "", errors.New("rewrite git url: it holds a query, which may hold a token")
	}
	info, host, path := SplitAuthority(rest)
	if scheme != "ssh" {
		return scheme + "://" + host + strings.TrimSuffix(path, "/"), nil
	}
	user, _, _ := strings.Cut(info, ":")
	if user == "" {
		user = "git"
	}
	return "ssh://" + user + "@" + host + path, nil
}

// SplitAuthority takes apart what follows "://" in a URL: user and password as
// written, host with port, and path.
func SplitAuthority(rest string) (info, host, path string) {
	host = rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	if i := strings.LastIndex(host, "@"); i >= 0 {
		info, host = host[:i], host[i+1:]
	}
	return info, host, path
}

// shortForm rewrites "[user@]host:path".
func shortForm(raw string) (string, error) {
	host, path, ok := strings.Cut(raw, ":")
	if strings.HasPrefix(raw, "[") || strings.Contains(host, "@[") {
		end := strings.Index(raw, "]:")
		if end < 0 {
			return "", fmt.Errorf("rewrite git url: %w", ErrUnreadableURL)
		}
		host, path = raw[:end+1], raw[end+2:]
	}
	if user, rest, named := strings.Cut(raw, "@"); named && user != "" && !strings.ContainsAny(user, "/:") && strings.Index(rest, "/") > 0 && !strings.Contains(rest[:strings.Index(rest, "/")], ":") {
		return "", errors.New("rewrite git url: there is no colon between the host and the path (user@host:path), so that Git takes it for a local path")
	}
	if !ok || host == "" || path == "" || strings.Contains(host, "/") {
		return "", errors.New("rewrite git url: local paths are not supported by Flux v2")
	}
	if !strings.Contains(host, "@") && strings.Contains(path, "@") {
		// A URL mistyped, in which what follows the colon may be a password.
		return "", fmt.Errorf("rewrite git url: %w", ErrUnreadableURL)
	}
	user := "git"
	if i := strings.LastIndex(host, "@"); i >= 0 {
		user, host = host[:i], host[i+1:]
	}
	if user == "" || host == "" {
		return "", fmt.Errorf("rewrite git url: %w", ErrUnreadableURL)
	}
	return "ssh://" + user + "@" + host + "/" + strings.TrimPrefix(path, "/"), nil
}
