package migrate

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha1" // what known_hosts hashes names with
	"encoding/base64"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// KnownHost reports whether lines of known_hosts hold a key by which Flux v2
// knows the host, which is written as there: "git.example.com", or
// "[git.example.com]:2222" if its port is not 22. It goes by the rules of Flux
// v2's library, which differ from OpenSSH's: a pattern of hosts says nothing
// about another port than its own, and of the keys of one type the first that is
// about the host counts alone, be it an authority's (source: fluxcd/pkg,
// ssh/knownhosts: checkAddr; the bundled agent asks x/crypto itself, which takes
// each). A key that is revoked, and an authority that may sign keys, is
// none: the agent asks no server for a certificate. Lines that are no part of
// [ReadKnownHosts] do not count.
func KnownHost(lines, host string) bool {
	known, _ := hostKeys(lines, host)
	return known
}

// hostKeys is KnownHost, and gives the types, sorted, of which keys of the host
// stand behind the first: the bundled agent takes each of them, stock Flux v2
// the first alone.
func hostKeys(lines, host string) (known bool, more []string) {
	name, port := splitHost(host)
	revoked := map[string]bool{}
	first := map[string]hostLine{} // by the key's type
	var behind []hostLine
	for line := range strings.Lines(lines) {
		l, ok := hostLineOf(line)
		switch {
		case !ok:
		case l.marker == markRevoked:
			revoked[string(l.key.Marshal())] = true
		case aboutHost(l.hosts, name, port):
			if _, found := first[l.key.Type()]; !found {
				first[l.key.Type()] = l
			} else if l.marker == "" {
				behind = append(behind, l)
			}
		}
	}
	for _, l := range first {
		known = known || l.marker == "" && !revoked[string(l.key.Marshal())]
	}
	for _, l := range behind {
		if key := string(l.key.Marshal()); !revoked[key] && key != string(first[l.key.Type()].key.Marshal()) {
			more = append(more, l.key.Type())
		}
	}
	slices.Sort(more)
	return known, slices.Compact(more)
}

// ReadKnownHosts gives the lines of known_hosts that both OpenSSH and Flux v2
// read, and how many are left out. OpenSSH passes over a line that it cannot
// read, where Flux v2's library refuses the whole file for it and knows no server
// at all.
func ReadKnownHosts(lines string) (read string, unread int) {
	var out strings.Builder
	for line := range strings.Lines(lines) {
		text := strings.Trim(line, " \t\r\n")
		if _, ok := hostLineOf(line); !ok && (text != "" && text[0] != '#' || len(line) >= bufio.MaxScanTokenSize) {
			unread++
			continue
		}
		out.WriteString(line)
	}
	return out.String(), unread
}

// linesFor gives the lines of known_hosts that are about a host, and those of
// revoked keys. Stock Flux v2 asks a server for a key of any type that stands in the
// file, whichever host it is of, in a random order: with lines of others it is
// shown, at times, a key that it does not know (source: fluxcd/pkg,
// ssh/knownhosts: hostKeyAlgorithms, git/gogit: CustomPublicKeys.ClientConfig).
func linesFor(lines, host string) string {
	name, port := splitHost(host)
	var out strings.Builder
	for line := range strings.Lines(lines) {
		if l, ok := hostLineOf(line); ok && (l.marker == markRevoked || aboutHost(l.hosts, name, port)) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// The marks that a line of known_hosts may begin with.
const (
	markRevoked   = "@revoked"
	markAuthority = "@cert-authority"
)

// hostLine is a line of known_hosts.
type hostLine struct {
	marker, hosts string // one of the marks, or empty
	key           ssh.PublicKey
}

// hostLineOf reads a line of known_hosts; false for one without a key, and for
// one that not all read: where Flux v2's library fails (source: fluxcd/pkg,
// ssh/knownhosts, parseLine), and where OpenSSH does, for which the key must be
// of the type that is said.
func hostLineOf(line string) (hostLine, bool) {
	var l hostLine
	fields := strings.FieldsFunc(strings.TrimRight(line, "\r\n"), func(c rune) bool { return c == ' ' || c == '\t' }) // no other space, as the library
	if len(fields) == 0 || strings.HasPrefix(fields[0], "#") || len(line) >= bufio.MaxScanTokenSize {
		return l, false
	}
	if fields[0] == markRevoked || fields[0] == markAuthority {
		l.marker, fields = fields[0], fields[1:]
	}
	if len(fields) < 3 || !readHosts(fields[0]) {
		return l, false
	}
	blob, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		return l, false
	}
	l.hosts = fields[0]
	l.key, err = ssh.ParsePublicKey(blob)
	return l, err == nil && l.key.Type() == fields[1]
}

// readHosts reports whether Flux v2's library reads the first field of a line of
// known_hosts.
func readHosts(patterns string) bool {
	switch patterns[0] {
	case '@':
		return false
	case '|':
		_, _, ok := hashedHost(patterns)
		return ok
	}
	for pattern := range strings.SplitSeq(patterns, ",") {
		bare := strings.TrimPrefix(pattern, "!")
		if bare == "" && pattern != "" {
			return false
		}
		if _, _, err := net.SplitHostPort(bare); err != nil && strings.HasPrefix(bare, "[") {
			return false
		}
	}
	return true
}

// splitHost takes a host of known_hosts and its port apart.
func splitHost(host string) (name, port string) {
	if name, port, err := net.SplitHostPort(host); err == nil {
		return name, port
	}
	return strings.Trim(host, "[]"), "22"
}

// aboutHost reports whether the first field of a line of known_hosts is about a
// host: patterns, of which none may exclude it, or its hash.
func aboutHost(patterns, name, port string) bool {
	if strings.HasPrefix(patterns, "|") {
		return hashOf(patterns, name, port)
	}
	about := false
	for pattern := range strings.SplitSeq(patterns, ",") {
		pattern, excludes := strings.CutPrefix(pattern, "!")
		of, at := splitHost(pattern)
		if pattern == "" || at != port || !likeHost(of, name) {
			continue
		}
		if excludes {
			return false
		}
		about = true
	}
	return about
}

// hashedHost takes "|1|SALT|HASH" apart; false if it is not so.
func hashedHost(hashed string) (salt, hash []byte, ok bool) {
	parts := strings.Split(hashed, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return nil, nil, false
	}
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, nil, false
	}
	hash, err = base64.StdEncoding.DecodeString(parts[3])
	return salt, hash, err == nil
}

// hashOf reports whether "|1|SALT|HASH" stands for a host.
func hashOf(hashed, name, port string) bool {
	salt, want, ok := hashedHost(hashed)
	if !ok {
		return false
	}
	if port != "22" {
		name = "[" + name + "]:" + port
	}
	sum := hmac.New(sha1.New, salt)
	sum.Write([]byte(name)) // a hash never fails
	return hmac.Equal(sum.Sum(nil), want)
}

// likeHost reports whether a name is as a pattern says, in which ? stands for one
// character and * for any, at the end of a name for one at least (source:
// x/crypto, ssh/knownhosts, wildcardMatch, and fluxcd/pkg's copy).
func likeHost(pattern, name string) bool {
	// Of several *, only the last need ever take more.
	star, taken := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, taken = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p, n = p+1, n+1
		case star >= 0:
			taken++
			p, n = star+1, taken
		default:
			return false
		}
	}
	return p == len(pattern)
}
