package flux1

import (
	"net/url"
	"strings"
)

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
