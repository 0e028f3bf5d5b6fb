package cutover

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheAddressOfAProxyIsTakenApart(t *testing.T) {
	for address, want := range map[string]map[string]string{
		"proxy:3128":                           {"address": "http://proxy:3128"},
		" http://proxy:3128/\n":                {"address": "http://proxy:3128/"},
		"socks5://proxy:1080":                  {"address": "socks5://proxy:1080"},
		"http://user:p%40ss@proxy.example:80":  {"address": "http://proxy.example:80", "username": "user", "password": "p@ss"},
		"user:secret@proxy:3128":               {"address": "http://proxy:3128", "username": "user", "password": "secret"},
		"https://token@proxy":                  {"address": "https://proxy", "username": "token"},
		"http://user:MARKED-SECRET%zz@proxy:1": nil,
		"http://":                              nil,
	} {
		got, err := proxyData(address)
		if want == nil {
			if err == nil || strings.Contains(err.Error(), "MARKED") {
				t.Errorf("%q: %v, error %v", address, got, err)
			}
			continue
		}
		text := map[string]string{}
		for k, v := range got {
			text[k] = string(v)
		}
		if d := cmp.Diff(want, text); err != nil || d != "" {
			t.Errorf("%q: error %v\n%s", address, err, d)
		}
	}
}
