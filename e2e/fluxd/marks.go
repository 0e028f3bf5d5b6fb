package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// What fluxd 1.14 and later adds to every object it applies (reference 2.5).
const (
	markLabel          = "fluxcd.io/sync-gc-mark"
	checksumAnnotation = "fluxcd.io/sync-checksum"
)

// setName identifies a sync set: one repository, branch and list of paths, as
// configured and in their order (reference 2.7).
func setName(safeURL, branch string, paths []string) string {
	sum := sha256.Sum256([]byte(safeURL + branch + strings.Join(paths, "")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// mark is the value of the mark label of one object of a sync set.
func mark(setName, resourceID string) string {
	sum := sha256.Sum256([]byte(setName + resourceID))
	return "sha256." + base64.RawURLEncoding.EncodeToString(sum[:])
}

// checksum is the value of the checksum annotation of a re-encoded document.
func checksum(document []byte) string {
	sum := sha1.Sum(document)
	return hex.EncodeToString(sum[:])
}

var (
	urlScheme = regexp.MustCompile(`^(ssh|git|git\+ssh|http|https|ftp|ftps|rsync|file)://`)
	scpURL    = regexp.MustCompile(`^([a-zA-Z0-9_]+@)?([a-zA-Z0-9._-]+):(.*)$`)
)

// parseGitURL reads the spellings that Git knows: a URL, user@host:path, and a
// path on this machine.
func parseGitURL(raw string) (*url.URL, error) {
	if urlScheme.MatchString(raw) {
		return url.Parse(raw)
	}
	if m := scpURL.FindStringSubmatch(raw); m != nil {
		u := &url.URL{Scheme: "ssh", Host: m[2], Path: m[3]}
		if m[1] != "" {
			u.User = url.User(strings.TrimSuffix(m[1], "@"))
		}
		return u, nil
	}
	return &url.URL{Scheme: "file", Path: raw}, nil
}

// safeURL prints a Git URL without its password, in the spelling that goes into
// marks: the user is kept, git@host:org/repo becomes ssh://git@host/org/repo.
func safeURL(raw string) string {
	u, err := parseGitURL(raw)
	if err != nil {
		// The parser's message quotes its input, which may hold a password.
		return "<unparseable URL>"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	return u.String()
}

// sameRepository tells whether two spellings mean one repository: host and path
// without .git are equal (reference 6.3).
func sameRepository(a, b string) bool {
	ua, errA := parseGitURL(a)
	ub, errB := parseGitURL(b)
	if errA != nil || errB != nil {
		return false
	}
	plain := func(u *url.URL) string { return path.Clean("/" + strings.TrimSuffix(u.Path, ".git")) }
	return ua.Hostname() == ub.Hostname() && plain(ua) == plain(ub)
}

// redact returns a function that removes the password of a Git URL from a text,
// for output of git that quotes the URL.
func redact(raw string) func(string) string {
	u, err := parseGitURL(raw)
	if err != nil || u.User == nil {
		return func(s string) string { return strings.ReplaceAll(s, raw, safeURL(raw)) }
	}
	password, has := u.User.Password()
	return func(s string) string {
		s = strings.ReplaceAll(s, raw, safeURL(raw))
		if has && password != "" {
			s = strings.ReplaceAll(s, url.PathEscape(password), "***")
			s = strings.ReplaceAll(s, password, "***")
		}
		return s
	}
}

// identity names an object as fluxd does. The API group is not part of it
// (reference 2.3).
type identity struct {
	namespace string // empty: cluster-scoped, or none named
	kind      string // lower case
	name      string
}

func newIdentity(namespace, kind, name string) identity {
	return identity{namespace: namespace, kind: strings.ToLower(kind), name: name}
}

// String is the resource ID that goes into marks.
func (id identity) String() string {
	ns := id.namespace
	if ns == "" {
		ns = "<cluster>"
	}
	return fmt.Sprintf("%s:%s/%s", ns, id.kind, id.name)
}
