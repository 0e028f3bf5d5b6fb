package migrate

import (
	"crypto/ed25519"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Each row is also put to the library that Flux v2 asks, with real keys: SERVER
// stands for the server's, OTHER for one that it does not have.
func TestAHostIsKnownWhereFluxV2KnowsIt(t *testing.T) {
	key := func(seed byte) ssh.PublicKey {
		public := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+seed)), ed25519.SeedSize))).Public()
		k, err := ssh.NewPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	server, other := key(0), key(1)
	text := func(k ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) }
	hashed := func(host string) string { return knownhosts.HashHostname(host) + " SERVER\n" }
	const plain, ported = "git.example.com", "[git.example.com]:2222"
	for name, c := range map[string]struct {
		lines, host string
		want        bool
	}{
		"a name":                               {"git.example.com SERVER\n", plain, true},
		"one name of several":                  {"10.0.0.1,git.example.com SERVER\n", plain, true},
		"no line":                              {"", plain, false},
		"another name":                         {"other.example.com SERVER\n", plain, false},
		"a name that this one ends with":       {"example.com SERVER\n", plain, false},
		"a comment":                            {"# git.example.com SERVER\n", plain, false},
		"port 22, said":                        {"[git.example.com]:22 SERVER\n", plain, true},
		"the port":                             {"[git.example.com]:2222 SERVER\n", ported, true},
		"another port":                         {"[git.example.com]:2223 SERVER\n", ported, false},
		"a name says nothing of its ports":     {"git.example.com SERVER\n", ported, false},
		"a port says nothing of the name":      {"[git.example.com]:2222 SERVER\n", plain, false},
		"a wildcard":                           {"*.example.com SERVER\n", plain, true},
		"a wildcard is about port 22":          {"*.example.com SERVER\n", ported, false},
		"a wildcard with the port":             {"[*.example.com]:2222 SERVER\n", ported, true},
		"any port is none":                     {"[git.example.com]:* SERVER\n", ported, false},
		"everything":                           {"* SERVER\n", plain, true},
		"everything is about port 22":          {"* SERVER\n", ported, false},
		"a wildcard of another domain":         {"*.example.org SERVER\n", plain, false},
		"a wildcard within":                    {"g*t.ex*.com SERVER\n", plain, true},
		"one character":                        {"gi?.example.com SERVER\n", plain, true},
		"one character too many":               {"git?.example.com SERVER\n", plain, false},
		"left out of a wildcard":               {"*.example.com,!git.example.com SERVER\n", plain, false},
		"left out before the wildcard":         {"!git.example.com,*.example.com SERVER\n", plain, false},
		"another one left out":                 {"*.example.com,!ssh.example.com SERVER\n", plain, true},
		"left out of one line, and in another": {"*.example.com,!git.example.com OTHER\ngit.example.com SERVER\n", plain, true},
		"hashed":                               {hashed(plain), plain, true},
		"hashed with its port":                 {hashed(ported), ported, true},
		"another one, hashed":                  {hashed("other.example.com"), plain, false},
		"hashed with another port":             {hashed(plain), ported, false},
		"revoked":                              {"@revoked git.example.com SERVER\n", plain, false},
		"revoked, and named":                   {"git.example.com SERVER\n@revoked * SERVER\n", plain, false},
		"another key revoked":                  {"@revoked git.example.com OTHER\ngit.example.com SERVER\n", plain, true},
		"an authority":                         {"@cert-authority *.example.com OTHER\n", plain, false},
		"an authority, and a key":              {"@cert-authority *.example.com OTHER\ngit.example.com SERVER\n", plain, true},
		"an address":                           {"10.0.0.1 SERVER\n", "10.0.0.1", true},
		"an IPv6 address with a port":          {"[fd00::1]:2222 SERVER\n", "[fd00::1]:2222", true},
	} {
		lines := strings.NewReplacer("SERVER", text(server), "OTHER", text(other)).Replace(c.lines)
		if got := KnownHost(lines, c.host); got != c.want {
			t.Errorf("%s: known %t, want %t", name, got, c.want)
		}
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		check, err := knownhosts.New(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		address := c.host
		if _, _, err := net.SplitHostPort(address); err != nil {
			address += ":22"
		}
		if err := check(address, &net.TCPAddr{}, server); (err == nil) != c.want {
			t.Errorf("%s: the library says %v, want known %t", name, err, c.want)
		}
	}
}

func TestAPatternOfManyStarsIsReadInNoTime(t *testing.T) {
	name := strings.Repeat("a", 60)
	key := " ssh-ed25519 AAAA\n"
	start := time.Now()
	if KnownHost(strings.Repeat("*a", 30)+"*x"+key, name) {
		t.Error("a pattern is said to be like a name that it is not")
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %s", d)
	}
	for pattern, want := range map[string]bool{"*": true, "**a": true, "a*a*a": true, "*b": false, "a?*": true, strings.Repeat("?", 60): true, strings.Repeat("?", 61): false, "*a*b*": false, name + "*": true, "a": false} {
		if got := KnownHost(pattern+key, name); got != want {
			t.Errorf("%s is said to be like it: %v", pattern, got)
		}
	}
}
