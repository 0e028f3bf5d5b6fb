package flux1

import (
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// CAVariables name a file of certificates that git trusts, the first that is
// set (git: Documentation/config/http.adoc; curl; OpenSSL).
var CAVariables = []string{"GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}

// caFolders are where certificates of one's own are mounted into an image.
var caFolders = []string{"/etc/ssl/certs", "/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"}

// IsCAFolder reports whether certificates of one's own are mounted there.
func IsCAFolder(at string) bool {
	at = path.Clean(at)
	return slices.ContainsFunc(caFolders, func(dir string) bool { return at == dir || strings.HasPrefix(at, dir+"/") })
}

// GitVariable says what becomes of a variable of fluxd's environment by which its
// git finds its server, where no argument refers to it; ok is false for any
// other. inUse is the one that [ProxyVariable] names.
func GitVariable(name, inUse string) (fate migrate.Fate, to, why string, ok bool) {
	upper := strings.ToUpper(name)
	switch {
	case name != "" && name == inUse:
		return migrate.Carried, "GitRepository.spec.proxySecretRef", "git takes the proxy for the agent's URL from it", true
	case upper == "NO_PROXY":
		return migrate.Dropped, "", "it has been applied to the agent's URL, which is the only one that the new source fetches from", true
	case upper == "HTTP_PROXY" || upper == "HTTPS_PROXY" || upper == "ALL_PROXY":
		return migrate.Dropped, "", "git does not take the proxy for the agent's URL from it", true
	case slices.Contains(CAVariables, name):
		return migrate.Carried, "GitRepository.spec.secretRef", "the certificates that it names, as ca.crt", true
	case strings.HasPrefix(upper, "GIT_") || strings.HasPrefix(upper, "SSH_"):
		return migrate.Unknown, "a person's decision", "it may change what git does, and Flux v2 reads no such variable", true
	}
	return "", "", "", false
}

// ProxyVariable names the variable of fluxd's environment from which its git
// takes the proxy for a Git URL; empty if it uses none. get gives a variable's
// value and whether it is set; a value that is not known is given as some text.
// Over SSH there is none, whatever is set. (source: curl, lib/url.c,
// detect_proxy, and lib/noproxy.c: the name in lower case counts first, and
// HTTP_PROXY in upper case not at all.)
func ProxyVariable(sourceURL string, get func(name string) (value string, set bool)) string {
	u, err := url.Parse(sourceURL)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	var names []string
	switch u.Scheme {
	case "http":
		names = []string{"http_proxy"}
	case "https":
		names = []string{"https_proxy", "HTTPS_PROXY"}
	default:
		return ""
	}
	first := func(names ...string) (name, value string) {
		for _, n := range names {
			if v, set := get(n); set && v != "" {
				return n, v
			}
		}
		return "", ""
	}
	if _, except := first("no_proxy", "NO_PROXY"); exempt(u.Hostname(), except) {
		return ""
	}
	name, _ := first(append(names, "all_proxy", "ALL_PROXY")...)
	return name
}

// exempt reports whether a list of hosts, such as "localhost,.example.com",
// names the host or a domain that it is in.
func exempt(host, list string) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, entry := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		entry = strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(entry), "."), ".")
		if entry != "" && (host == entry || strings.HasSuffix(host, "."+entry)) {
			return true
		}
	}
	return false
}
