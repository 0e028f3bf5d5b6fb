package migrate

import (
	"slices"
	"strings"
)

// Login is what a .netrc says of a server.
type Login struct{ User, Password string }

// NetrcLogin finds what a .netrc says of a host, to which a user must belong if one is
// given; nil if it has no password for it (curl: lib/netrc.c).
func NetrcLogin(netrc, host, user string) *Login {
	var found *Login
	words := netrcWords(netrc)
	for i := 0; i < len(words); i++ {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch words[i] {
		case "machine", "default":
			if found != nil && found.Password != "" && (user == "" || found.User == user) {
				return found
			}
			if found = nil; words[i] == "default" || strings.EqualFold(next, host) {
				found = &Login{}
			}
			if words[i] == "default" {
				continue
			}
		case "login":
			if found != nil {
				found.User = next
			}
		case "password":
			if found != nil {
				found.Password = next
			}
		default:
			continue
		}
		i++
	}
	if found == nil || found.Password == "" || user != "" && found.User != user {
		return nil
	}
	return found
}

// netrcWords are the words that count: a line that begins with # is a comment, and what
// follows a macdef, up to an empty line, is a macro.
func netrcWords(netrc string) []string {
	var out []string
	macro := false
	for line := range strings.Lines(netrc) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			macro = false
		case macro || strings.HasPrefix(words[0], "#"):
		default:
			if i := slices.Index(words, "macdef"); i >= 0 {
				words, macro = words[:i], true
			}
			out = append(out, words...)
		}
	}
	return out
}
