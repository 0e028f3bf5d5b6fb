package migrate

import (
	"crypto/hmac"
	"crypto/sha1" // what known_hosts hashes names with
	"encoding/base64"
	"net"
	"strings"
)

// KnownHost reports whether lines of known_hosts hold a key by which Flux v2
// knows the host, which is written as there: "git.example.com", or
// "[git.example.com]:2222" if its port is not 22. It goes by the rules of Flux
// v2's library, which differ from OpenSSH's in that a pattern of hosts says
// nothing about another port than its own (source: golang.org/x/crypto,
// ssh/knownhosts). A key that is revoked, and an authority that may sign keys, is
// none: the agent asks no server for a certificate.
func KnownHost(lines, host string) bool {
	name, port := splitHost(host)
	revoked := map[string]bool{}
	var keys []string
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		marker, marked := "", strings.HasPrefix(fields[0], "@")
		if marked {
			marker, fields = fields[0], fields[1:]
		}
		switch {
		case len(fields) < 3:
		case marker == "@revoked":
			revoked[fields[2]] = true
		case !marked && aboutHost(fields[0], name, port):
			keys = append(keys, fields[2])
		}
	}
	for _, key := range keys {
		if !revoked[key] {
			return true
		}
	}
	return false
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

// hashOf reports whether "|1|SALT|HASH" stands for a host.
func hashOf(hashed, name, port string) bool {
	parts := strings.Split(hashed, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	want, err := base64.StdEncoding.DecodeString(parts[3])
	if err != nil {
		return false
	}
	if port != "22" {
		name = "[" + name + "]:" + port
	}
	sum := hmac.New(sha1.New, salt)
	sum.Write([]byte(name)) // a hash never fails
	return hmac.Equal(sum.Sum(nil), want)
}

// likeHost reports whether a name is as a pattern says, in which * stands for
// any characters and ? for one.
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
	return strings.Trim(pattern[p:], "*") == ""
}
