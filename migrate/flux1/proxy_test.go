package flux1

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// What the git of each release is given, as git/operations.go and
// pkg/git/operations.go of fluxcd/flux say at its tag.
func TestGitSeesWhatItsReleaseGivesIt(t *testing.T) {
	given := map[string]string{
		"1.8.0":   "",
		"1.8.1":   "",
		"1.8.2":   "http_proxy https_proxy no_proxy",
		"1.9.0":   "http_proxy https_proxy no_proxy",
		"1.10.0":  "HOME http_proxy https_proxy no_proxy",
		"1.11.0":  "GNUPGHOME HOME http_proxy https_proxy no_proxy",
		"1.13.1":  "GNUPGHOME HOME http_proxy https_proxy no_proxy",
		"1.13.2":  "CLOUDSDK_CONFIG CLOUDSDK_PYTHON GNUPGHOME HOME http_proxy https_proxy no_proxy",
		"1.14.0":  "CLOUDSDK_CONFIG CLOUDSDK_PYTHON GIT_PROXY_COMMAND GNUPGHOME HOME SECRETS_DIR SECRETS_EXTENSION http_proxy https_proxy no_proxy",
		"1.16.0":  "CLOUDSDK_CONFIG CLOUDSDK_PYTHON GIT_PROXY_COMMAND GNUPGHOME HOME SECRETS_DIR SECRETS_EXTENSION http_proxy https_proxy no_proxy",
		"v1.17.0": "CLOUDSDK_CONFIG CLOUDSDK_PYTHON GIT_PROXY_COMMAND GNUPGHOME HOME HTTPS_PROXY NO_PROXY SECRETS_DIR SECRETS_EXTENSION http_proxy https_proxy no_proxy",
		"1.20.0":  "CLOUDSDK_CONFIG CLOUDSDK_PYTHON GIT_PROXY_COMMAND GNUPGHOME HOME HTTPS_PROXY LD_PRELOAD NO_PROXY NSS_WRAPPER_GROUP NSS_WRAPPER_PASSWD SECRETS_DIR SECRETS_EXTENSION http_proxy https_proxy no_proxy",
	}
	all := slices.Sorted(maps.Keys(gitEnvironment))
	for _, image := range []string{"fluxcd/flux:1.22.0", "fluxcd/flux:1.25.4-debug", "fluxcd/flux:1.25.4@sha256:0", "fluxcd/flux", "registry:1.8/flux", "fluxcd/flux:master-0", "",
		"registry:5000/flux:1.8.0", "gitops/deployer:1.0.3", "myfluxcd/flux:1.8.0", "fluxcd/flux/agent:1.8.0"} {
		given[image] = strings.Join(all, " ")
	}
	given["quay.io/weaveworks/flux:1.8.0"], given["weaveworks/flux:1.8.1@sha256:0"] = "", ""
	for image, want := range given {
		if !strings.Contains(image, "/") && image != "" {
			image = "registry:5000/mirror/fluxcd/flux:" + image
		}
		var got []string
		for _, name := range append(slices.Clone(all), notForGit...) {
			if GitSees(image, name) {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("git of %q sees %s, want %s", image, strings.Join(got, " "), want)
		}
	}
}

func TestTheProxyHangsOnTheRelease(t *testing.T) {
	env := map[string]string{"HTTPS_PROXY": "p:1", "https_proxy": "q:1", "NO_PROXY": "git.example.com"}
	for release, want := range map[string]string{"1.8.1": "", "1.8.2": "https_proxy", "1.16.0": "https_proxy", "1.17.0": ""} {
		if got := ProxyVariable("fluxcd/flux:"+release, "https://git.example.com/a", func(n string) (string, bool) { v, ok := env[n]; return v, ok }); got != want {
			t.Errorf("%s takes its proxy from %q, want %q", release, got, want)
		}
	}
	delete(env, "https_proxy")
	if got := ProxyVariable("fluxcd/flux:1.16.0", "https://git.example.com/a", func(n string) (string, bool) { v, ok := env[n]; return v, ok }); got != "" {
		t.Errorf("1.16.0 takes its proxy from %q", got)
	}
}

func TestEachVariableThatGitWouldHeedIsAccountedFor(t *testing.T) {
	const last, old = "fluxcd/flux:1.25.4", "fluxcd/flux:1.16.0"
	for of, want := range map[[2]string]string{
		{last, "https_proxy"}:         "carried git takes the proxy",
		{last, "HTTPS_PROXY"}:         "dropped git does not take the proxy",
		{last, "NO_PROXY"}:            "dropped it has been applied",
		{old, "HTTPS_PROXY"}:          "dropped git never saw it: fluxd gives it to git since 1.17.0",
		{old, "NO_PROXY"}:             "dropped git never saw it: fluxd gives it to git since 1.17.0",
		{last, "HTTP_PROXY"}:          "dropped git never saw it: fluxd does not",
		{last, "ALL_PROXY"}:           "dropped git never saw it: fluxd does not",
		{last, "all_proxy"}:           "dropped git never saw it: fluxd does not",
		{last, "GIT_SSL_CAINFO"}:      "dropped git never saw it: fluxd does not",
		{last, "GIT_SSL_NO_VERIFY"}:   "dropped git never saw it: fluxd does not",
		{last, "SSL_CERT_FILE"}:       "dropped git never saw it: fluxd does not",
		{last, "GIT_CONFIG_COUNT"}:    "dropped git never saw it: fluxd does not",
		{last, "GIT_SSH_COMMAND"}:     "dropped git never saw it: fluxd does not",
		{last, "SSH_AUTH_SOCK"}:       "dropped git never saw it: fluxd does not",
		{last, "GIT_PROXY_COMMAND"}:   "dropped git uses it for URLs of git://",
		{last, "HOME"}:                "dropped git looks there",
		{last, "CLOUDSDK_CONFIG"}:     "dropped git is given it",
		{last, "DD_AGENT_HOST"}:       "",
		{"fluxcd/flux:1.9", "HOME"}:   "dropped git looks there", // which release it is is not told
		{"fluxcd/flux:1.9.0", "HOME"}: "dropped git never saw it: fluxd gives it to git since 1.10.0",
		{last, "COMPANY_PROXY"}:       "",
		{last, "SECRETS_DIR"}:         "dropped git is given it",
		{old, "AWS_ROLE_ARN"}:         "dropped git never saw it: fluxd gives it to git since 1.22.0",
	} {
		fate, _, why, ok := GitVariable(of[0], of[1], "https_proxy", false)
		got := fmt.Sprintf("%s %s", fate, why)
		if want == "" && ok || want != "" && (!ok || !strings.HasPrefix(got, want)) {
			t.Errorf("%s of %s: %s (%v), want %s", of[1], of[0], got, ok, want)
		}
	}
	// What commands and decryption may read is not settled by git.
	for of := range map[[2]string]bool{
		{last, "HOME"}: true, {last, "AWS_ROLE_ARN"}: true, {last, "GNUPGHOME"}: true, {old, "AWS_ROLE_ARN"}: true,
		{last, "GIT_SSL_CAINFO"}: true, {last, "SSL_CERT_FILE"}: true, {last, "HTTP_PROXY"}: true, {old, "HTTPS_PROXY"}: true,
	} {
		if _, _, why, ok := GitVariable(of[0], of[1], "", true); ok {
			t.Errorf("%s of %s is settled: %s", of[1], of[0], why)
		}
	}
	if fate, _, _, ok := GitVariable(last, "NO_PROXY", "", true); !ok || fate != migrate.Dropped {
		t.Errorf("NO_PROXY is %s", fate)
	}
}

func TestWhereGitLooksForCertificates(t *testing.T) {
	for at, want := range map[string][2]bool{
		"/etc/ssl": {true, false}, "/etc/ssl/cert.pem": {true, true}, "/etc/ssl/certs": {true, false}, "/etc/ssl/certs/ca-certificates.crt": {true, true},
		"/etc/ssl/certs/own.pem": {true, false}, "/usr/share/ca-certificates/own.crt": {true, false}, "/etc/ssl/openssl.cnf": {}, "/etc/ssl/private": {}, "/tls": {},
	} {
		if got := [2]bool{IsCAFolder(at), IsCABundle(at)}; got != want {
			t.Errorf("%s: folder and bundle are %v, want %v", at, got, want)
		}
	}
}

func TestTheProxyIsTheOneThatGitUses(t *testing.T) {
	const https, http, ssh = "https://git.example.com/org/app", "http://git.example.com/org/app", "ssh://git@git.example.com/org/app"
	for name, c := range map[string]struct {
		url  string
		env  map[string]string
		want string
	}{
		"none":                             {https, nil, ""},
		"HTTPS":                            {https, map[string]string{"HTTPS_PROXY": "p:1"}, "HTTPS_PROXY"},
		"lower case counts first":          {https, map[string]string{"HTTPS_PROXY": "p:1", "https_proxy": "q:1"}, "https_proxy"},
		"an empty one is none":             {https, map[string]string{"https_proxy": "", "HTTPS_PROXY": "p:1"}, "HTTPS_PROXY"},
		"that of the other scheme":         {https, map[string]string{"http_proxy": "p:1", "HTTP_PROXY": "p:1"}, ""},
		"HTTP in lower case":               {http, map[string]string{"http_proxy": "p:1"}, "http_proxy"},
		"HTTP in upper case does not hold": {http, map[string]string{"HTTP_PROXY": "p:1"}, ""},
		"git never sees that of all":       {http, map[string]string{"ALL_PROXY": "p:1", "all_proxy": "p:1"}, ""},
		"SSH reads none":                   {ssh, map[string]string{"ALL_PROXY": "p:1", "https_proxy": "p:1"}, ""},
		"the host is exempt":               {https, map[string]string{"HTTPS_PROXY": "p:1", "NO_PROXY": "localhost, git.example.com"}, ""},
		"its domain is exempt":             {https, map[string]string{"HTTPS_PROXY": "p:1", "no_proxy": ".example.com"}, ""},
		"everything is exempt":             {https, map[string]string{"HTTPS_PROXY": "p:1", "no_proxy": "*"}, ""},
		"a host that ends alike is not":    {https, map[string]string{"HTTPS_PROXY": "p:1", "no_proxy": "it.example.com,le.com"}, "HTTPS_PROXY"},
		"no_proxy in lower case first":     {https, map[string]string{"HTTPS_PROXY": "p:1", "no_proxy": "x", "NO_PROXY": "*"}, "HTTPS_PROXY"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ProxyVariable("fluxcd/flux:1.25.4", c.url, func(n string) (string, bool) { v, ok := c.env[n]; return v, ok })
			if got != c.want {
				t.Errorf("proxy of %q, want %q", got, c.want)
			}
		})
	}
}
