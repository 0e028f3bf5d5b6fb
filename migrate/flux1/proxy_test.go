package flux1

import "testing"

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
		"that of all schemes":              {http, map[string]string{"ALL_PROXY": "p:1"}, "ALL_PROXY"},
		"SSH reads none":                   {ssh, map[string]string{"ALL_PROXY": "p:1", "https_proxy": "p:1"}, ""},
		"the host is exempt":               {https, map[string]string{"HTTPS_PROXY": "p:1", "NO_PROXY": "localhost, git.example.com"}, ""},
		"its domain is exempt":             {https, map[string]string{"HTTPS_PROXY": "p:1", "no_proxy": ".example.com"}, ""},
		"everything is exempt":             {https, map[string]string{"HTTPS_PROXY": "p:1", "no_proxy": "*"}, ""},
		"a host that ends alike is not":    {https, map[string]string{"HTTPS_PROXY": "p:1", "no_proxy": "it.example.com,le.com"}, "HTTPS_PROXY"},
		"no_proxy in lower case first":     {https, map[string]string{"HTTPS_PROXY": "p:1", "no_proxy": "x", "NO_PROXY": "*"}, "HTTPS_PROXY"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ProxyVariable(c.url, func(n string) (string, bool) { v, ok := c.env[n]; return v, ok })
			if got != c.want {
				t.Errorf("proxy of %q, want %q", got, c.want)
			}
		})
	}
}
