package migrate

import (
	"crypto/ed25519"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// rsaKey is one of another type.
const rsaKey = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7Hr1oTWqNqOlzGJOfGJ4NakVyIzf1rXYd4d7wo6jBlkLvCA4odBlL0mDUyZ0/QUfTTqeu+tm22gOsv+VrVTMk6vwRU75gY/y9ut5Mb3bR5BV58dKXyq9A9UeB5Cakehn5Zgm6x1mKoVyf+FFn26iYqXJRgzIZZcZ5V6hrE0Qg39kZm4az48o0AUbf6Sp4SLdvnuMa2sVNwHBboS7EJkm57XQPVU3/QpyNLHbWDdzwtrlS+ez30S3AdYhLKEOxAG8weOnyrtLJAUen9mTkol8oII1edf7mWWbWVf0nBmly21+nZcmCTISQBtdcyPaEno7fFQMDD26/s0lfKob4Kw8H"

// testHostKey is the key of a server.
const testHostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

// Each row is also put to golang.org/x/crypto, of which Flux v2 asks a fork, with
// real keys: SERVER stands for the server's, OTHER for one that it does not have,
// both of one type. Where the fork differs a row says what it does (source:
// fluxcd/pkg v0.25.0, ssh/knownhosts: checkAddr).
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
		fork        bool // where x/crypto says the contrary
	}{
		"a name":                               {"git.example.com SERVER\n", plain, true, false},
		"one name of several":                  {"10.0.0.1,git.example.com SERVER\n", plain, true, false},
		"no line":                              {"", plain, false, false},
		"another name":                         {"other.example.com SERVER\n", plain, false, false},
		"a name that this one ends with":       {"example.com SERVER\n", plain, false, false},
		"a comment":                            {"# git.example.com SERVER\n", plain, false, false},
		"port 22, said":                        {"[git.example.com]:22 SERVER\n", plain, true, false},
		"the port":                             {"[git.example.com]:2222 SERVER\n", ported, true, false},
		"another port":                         {"[git.example.com]:2223 SERVER\n", ported, false, false},
		"a name says nothing of its ports":     {"git.example.com SERVER\n", ported, false, false},
		"a port says nothing of the name":      {"[git.example.com]:2222 SERVER\n", plain, false, false},
		"a wildcard":                           {"*.example.com SERVER\n", plain, true, false},
		"a wildcard is about port 22":          {"*.example.com SERVER\n", ported, false, false},
		"a wildcard with the port":             {"[*.example.com]:2222 SERVER\n", ported, true, false},
		"any port is none":                     {"[git.example.com]:* SERVER\n", ported, false, false},
		"everything":                           {"* SERVER\n", plain, true, false},
		"everything is about port 22":          {"* SERVER\n", ported, false, false},
		"a wildcard of another domain":         {"*.example.org SERVER\n", plain, false, false},
		"a wildcard within":                    {"g*t.ex*.com SERVER\n", plain, true, false},
		"one character":                        {"gi?.example.com SERVER\n", plain, true, false},
		"one character too many":               {"git?.example.com SERVER\n", plain, false, false},
		"left out of a wildcard":               {"*.example.com,!git.example.com SERVER\n", plain, false, false},
		"left out before the wildcard":         {"!git.example.com,*.example.com SERVER\n", plain, false, false},
		"another one left out":                 {"*.example.com,!ssh.example.com SERVER\n", plain, true, false},
		"left out of one line, and in another": {"*.example.com,!git.example.com OTHER\ngit.example.com SERVER\n", plain, true, false},
		"hashed":                               {hashed(plain), plain, true, false},
		"hashed with its port":                 {hashed(ported), ported, true, false},
		"another one, hashed":                  {hashed("other.example.com"), plain, false, false},
		"hashed with another port":             {hashed(plain), ported, false, false},
		"revoked":                              {"@revoked git.example.com SERVER\n", plain, false, false},
		"revoked, and named":                   {"git.example.com SERVER\n@revoked * SERVER\n", plain, false, false},
		"another key revoked":                  {"@revoked git.example.com OTHER\ngit.example.com SERVER\n", plain, true, false},
		"an authority":                         {"@cert-authority *.example.com OTHER\n", plain, false, false},
		"a key, and an authority":              {"git.example.com SERVER\n@cert-authority *.example.com OTHER\n", plain, true, false},
		"an authority, and a key":              {"@cert-authority *.example.com OTHER\ngit.example.com SERVER\n", plain, false, true},
		"another's authority, and a key":       {"@cert-authority *.example.org OTHER\ngit.example.com SERVER\n", plain, true, false},
		"an authority, and another type":       {"@cert-authority *.example.com RSA\ngit.example.com SERVER\n", plain, true, false},
		"the first is revoked":                 {"git.example.com OTHER\ngit.example.com SERVER\n@revoked * OTHER\n", plain, false, true},
		"an address":                           {"10.0.0.1 SERVER\n", "10.0.0.1", true, false},
		"an IPv6 address with a port":          {"[fd00::1]:2222 SERVER\n", "[fd00::1]:2222", true, false},
	} {
		lines := strings.NewReplacer("SERVER", text(server), "OTHER", text(other), "RSA", rsaKey).Replace(c.lines)
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
		if err := check(address, &net.TCPAddr{}, server); (err == nil) != (c.want != c.fork) {
			t.Errorf("%s: x/crypto says %v, want known %t", name, err, c.want != c.fork)
		}
	}
}

// Both x/crypto and the fork of it refuse a whole file for one line.
func TestOneLineThatFluxV2CannotReadTakesNoOtherWithIt(t *testing.T) {
	const good = "# a comment\n\ngit.example.com " + testHostKey + "\n"
	library := func(lines string) error {
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := knownhosts.New(file)
		return err
	}
	for name, line := range map[string]string{
		"two fields":               "git.example.com ssh-ed25519",
		"one field":                "git.example.com",
		"a mark alone":             "@revoked",
		"an unknown mark":          "@foo git.example.com " + testHostKey,
		"an unknown mark of three": "@foo ssh-ed25519 " + strings.Fields(testHostKey)[1],
		"two marks":                "@revoked @cert-authority * " + testHostKey,
		"SSH 1":                    "git.example.com 1024 35 1234567",
		"no base64":                "git.example.com ssh-ed25519 !!!",
		"no key":                   "git.example.com ssh-ed25519 AAAA",
		"a key of another type":    "git.example.com ssh-rsa " + strings.Fields(testHostKey)[1],
		"brackets without a port":  "[git.example.com] " + testHostKey,
		"one such of several":      "other.example.com,![git.example.com] " + testHostKey,
		"nothing left out":         "other.example.com,! " + testHostKey,
		"a hash of another kind":   "|2|AAAA|AAAA " + testHostKey,
		"a hash that is none":      "|1|AAAA " + testHostKey,
		"a space of another kind":  "git.example.com " + testHostKey + "\u00a0comment",
		"nothing but such spaces":  "\u00a0",
		"a comment without end":    "#" + strings.Repeat("x", 1<<16),
		"a line without end":       "git.example.com " + testHostKey + strings.Repeat(" ", 1<<16) + "x",
	} {
		lines := line + "\n" + good
		if library(lines) == nil {
			t.Errorf("%s: the library reads it", name)
		}
		if read, unread := ReadKnownHosts(lines); read != good || unread != 1 || library(read) != nil {
			t.Errorf("%s: left out %d, and kept %q", name, unread, read)
		}
		if KnownHost(line, "git.example.com") {
			t.Errorf("%s: the host counts as known", name)
		}
		a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
		a.Credential.KnownHosts = lines
		if p := planOf(a); hasFinding(p, "KNOWN_HOSTS_MISSING") || !hasFinding(p, "KNOWN_HOSTS_LEFT_OUT") || p.Credentials[0].KnownHosts != strings.TrimPrefix(good, "# a comment\n\n") {
			t.Errorf("%s: the plan has the lines %q, and finds %q", name, p.Credentials[0].KnownHosts, codesOf(p.Findings))
		}
		a.Credential.KnownHosts = good
		if hasFinding(planOf(a), "KNOWN_HOSTS_LEFT_OUT") {
			t.Errorf("%s: lines are said to be left out where none are", name)
		}
		a.Credential.KnownHosts = line
		p := planOf(a)
		if at := slices.IndexFunc(p.Findings, func(f Finding) bool { return f.Code == "KNOWN_HOSTS_MISSING" }); at < 0 || !strings.HasSuffix(p.Findings[at].Message, "do not count: 1") {
			t.Errorf("%s: nothing says that the line is left out: %+v", name, p.Findings)
		}
	}
}

func TestAPatternOfManyStarsIsReadInNoTime(t *testing.T) {
	name := strings.Repeat("a", 60)
	start := time.Now()
	if likeHost(strings.Repeat("*a", 30)+"*x", name) {
		t.Error("a pattern is said to be like a name that it is not")
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %s", d)
	}
	for pattern, want := range map[string]bool{
		"*": true, "**": true, "**a": true, "a*a*a": true, "*b": false, "a?*": true, "*a*b*": false, "a": false, "": false,
		strings.Repeat("?", 60): true, strings.Repeat("?", 61): false, name: true, name + "*": false, name[1:] + "*": true,
	} {
		if got := likeHost(pattern, name); got != want {
			t.Errorf("%s is said to be like it: %v", pattern, got)
		}
	}
}

// Of a host's keys of one type the fork takes the first (source: fluxcd/pkg
// v0.25.0, ssh/knownhosts: checkAddr), x/crypto and OpenSSH each.
func TestASecondKeyOfOneTypeIsSaidToBeNoneForStockFluxV2(t *testing.T) {
	const other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf"
	const first, second = "git.example.com " + testHostKey + "\n", "git.example.com " + other + "\n"
	for name, c := range map[string]struct {
		lines, engine string
		want          bool
	}{
		"two keys":                        {first + second, "existing", true},
		"two keys, the bundled agent":     {first + second, "", false},
		"one key":                         {first, "existing", false},
		"one key twice":                   {first + first, "existing", false},
		"the second is another host's":    {first + "other.example.com " + other + "\n", "existing", false},
		"the second is of another type":   {first + "git.example.com " + rsaKey + "\n", "existing", false},
		"the second is revoked":           {first + second + "@revoked * " + other + "\n", "existing", false},
		"the second is an authority's":    {first + "@cert-authority " + second, "existing", false},
		"no key counts, and that is said": {"@cert-authority " + first + second, "existing", false},
	} {
		a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
		a.Credential.KnownHosts = c.lines
		p := Build(Inventory{Cluster: Cluster{UID: "uid"}, Agents: []Flux1Agent{a}}, Options{Engine: c.engine})
		if got := hasFinding(p, "KNOWN_HOSTS_FIRST_KEY"); got != c.want {
			t.Errorf("%s: the findings are %v", name, codesOf(p.Findings))
		}
	}
}

func TestOnlyLinesAboutTheHostAreCopied(t *testing.T) {
	const own, revoked = "git.example.com " + testHostKey + "\n", "@revoked * " + rsaKey + "\n"
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	a.Credential.KnownHosts = "# those that we use\nother.example.com " + rsaKey + "\n" + revoked + own + "git.example.com,other.example.com " + rsaKey + "\n@cert-authority *.example.org " + testHostKey
	if got, want := planOf(a).Credentials[0].KnownHosts, revoked+own+"git.example.com,other.example.com "+rsaKey+"\n"; got != want {
		t.Errorf("copied are\n%s\nwant\n%s", got, want)
	}
}
