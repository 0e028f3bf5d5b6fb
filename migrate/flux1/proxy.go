package flux1

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// gitEnvironment are the variables that fluxd gives to git out of its own
// environment, each with the first release 1.x.y that does. Git never sees any
// other, whatever it would make of it. (source: flux: git/operations.go, from 1.15
// pkg/git/operations.go, allowedEnvVars at each tag; up to 1.8.1 git is given none.)
var gitEnvironment = map[string][]int{
	"http_proxy": {8, 2}, "https_proxy": {8, 2}, "no_proxy": {8, 2},
	"HTTPS_PROXY": {17, 0}, "NO_PROXY": {17, 0},
	"GIT_PROXY_COMMAND": {14, 0},
	"HOME":              {10, 0}, "GNUPGHOME": {11, 0},
	"SECRETS_DIR": {14, 0}, "SECRETS_EXTENSION": {14, 0},
	"CLOUDSDK_CONFIG": {13, 2}, "CLOUDSDK_PYTHON": {13, 2},
	"NSS_WRAPPER_PASSWD": {20, 0}, "NSS_WRAPPER_GROUP": {20, 0}, "LD_PRELOAD": {20, 0},
	"AWS_WEB_IDENTITY_TOKEN_FILE": {22, 0}, "AWS_ROLE_ARN": {22, 0},
}

// notForGit are variables that git or what it runs would heed and that no fluxd
// gives to it, beside those named GIT_ and SSH_.
var notForGit = []string{"HTTP_PROXY", "ALL_PROXY", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CONFIG_HOME"}

// fluxdTag finds the release of an image that is fluxd's own by its name, or a mirror
// of it. What a tag of any other image counts is not known.
var fluxdTag = regexp.MustCompile(`(?:^|/)(?:fluxcd|weaveworks)/flux:v?1\.(\d+)\.(\d+)[^/]*$`)

// isSince reports whether the fluxd of an image is of release 1.x.y or a later one. An
// image that names no release of fluxd's counts as the last one.
func isSince(image string, release ...int) bool {
	tag := fluxdTag.FindStringSubmatch(image)
	if tag == nil {
		return true
	}
	minor, _ := strconv.Atoi(tag[1])
	patch, _ := strconv.Atoi(tag[2])
	return slices.Compare([]int{minor, patch}, release) >= 0
}

// GitSees reports whether the fluxd of an image gives its git a variable of that
// name, which is set for the container. An image that names no release of fluxd's
// counts as the last one. (source: flux: pkg/git/operations.go, allowedEnvVars and env)
func GitSees(image, name string) bool {
	since, listed := gitEnvironment[name]
	return listed && isSince(image, since...)
}

// TakesKubeConfig reports whether the fluxd of an image takes its API server from a
// kubeconfig without --k8s-in-cluster=false, as it does since 1.18. (source: flux:
// cmd/fluxd/main.go at v1.18.0 and 1.17.1)
func TakesKubeConfig(image string) bool { return isSince(image, 18, 0) }

// Marks reports whether the fluxd of an image puts [MarkLabel], or [OldMarkLabel], on all
// that it applies, as it does since 1.11, whether it collects garbage or not; known is false
// for an image that names no release of fluxd's. (source: flux:
// cluster/kubernetes/sync.go and daemon/loop.go at 1.11.0 and 1.10.1)
func Marks(image string) (marks, known bool) {
	return isSince(image, 11, 0), fluxdTag.MatchString(image)
}

// caFolders are where certificates of one's own are mounted into an image, and
// caBundles, of which one stands for the other, the file that git reads there.
// (source: Alpine: ca-certificates, where /etc/ssl/cert.pem is a link to the other;
// main/curl, of which git takes its certificates.)
var (
	caFolders = []string{"/etc/ssl/certs", "/usr/local/share/ca-certificates", "/usr/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"}
	caBundles = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"}
)

// IsCAFolder reports whether certificates of one's own are mounted there.
func IsCAFolder(at string) bool {
	at = path.Clean(at)
	return at == "/etc/ssl" || IsCABundle(at) || slices.ContainsFunc(caFolders, func(dir string) bool { return at == dir || strings.HasPrefix(at, dir+"/") })
}

// IsCABundle reports whether a file takes the place of all certificates that
// fluxd's git would trust otherwise.
func IsCABundle(file string) bool { return slices.Contains(caBundles, path.Clean(file)) }

// GitVariable says what becomes of a variable of fluxd's environment that git would
// heed, where no argument refers to it; ok is false for any other. inUse is the one
// that [ProxyVariable] names; others is true where commands that generate manifests, or
// SOPS, may read variables as well: of those only what git has used of a proxy is told.
func GitVariable(image, name, inUse string, others bool) (fate migrate.Fate, to, why string, ok bool) {
	upper := strings.ToUpper(name)
	since, listed := gitEnvironment[name]
	switch {
	case name != "" && name == inUse:
		return migrate.Carried, "GitRepository.spec.proxySecretRef", "git takes the proxy for the agent's URL from it", true
	case others && !(strings.HasSuffix(upper, "_PROXY") && GitSees(image, name)):
		return "", "", "", false
	case listed && !GitSees(image, name):
		return migrate.Dropped, "", fmt.Sprintf("git never saw it: fluxd gives it to git since 1.%d.%d, which is later than the agent's", since[0], since[1]), true
	case !listed && (slices.Contains(notForGit, upper) || strings.HasPrefix(upper, "GIT_") || strings.HasPrefix(upper, "SSH_")):
		return migrate.Dropped, "", "git never saw it: fluxd does not give it to git", true
	case upper == "NO_PROXY":
		return migrate.Dropped, "", "it has been applied to the agent's URL, which is the only one that the new source fetches from", true
	case upper == "HTTP_PROXY" || upper == "HTTPS_PROXY":
		return migrate.Dropped, "", "git does not take the proxy for the agent's URL from it", true
	case name == "HOME":
		return migrate.Dropped, "", "git looks there for a configuration and a .netrc; findings speak of one that is mounted", true
	case name == "GIT_PROXY_COMMAND":
		return migrate.Dropped, "", "git uses it for URLs of git:// alone", true
	case listed:
		return migrate.Dropped, "", "git is given it for signatures, git-secret, or what its own configuration names, of which findings speak", true
	}
	return "", "", "", false
}

// ProxyVariable names the variable of fluxd's environment from which the git of an
// image takes the proxy for a Git URL; empty if it uses none. get gives a variable's
// value and whether it is set; a value that is not known is given as some text.
// Over SSH there is none, whatever is set. (source: flux: pkg/git/operations.go,
// allowedEnvVars, for what git is given, ALL_PROXY not among it; curl: lib/url.c,
// detect_proxy, and lib/noproxy.c: the name in lower case counts first, and
// HTTP_PROXY in upper case not at all.)
func ProxyVariable(image, sourceURL string, get func(name string) (value string, set bool)) string {
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
			if !GitSees(image, n) {
				continue
			}
			if v, set := get(n); set && v != "" {
				return n, v
			}
		}
		return "", ""
	}
	if _, except := first("no_proxy", "NO_PROXY"); exempt(u.Hostname(), except) {
		return ""
	}
	name, _ := first(names...)
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
