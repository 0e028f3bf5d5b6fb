package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// answering is an API server in name alone: it gives the answers by path, and
// says of everything else that it is not there. The flags lead to it.
func answering(t *testing.T, answers map[string]string) (flags []string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`
		}
		if _, err := fmt.Fprint(w, answer); err != nil {
			t.Errorf("answer %s: %v", r.URL.Path, err)
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	err := os.WriteFile(kubeconfig, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],
"clusters":[{"name":"c","cluster":{"server":%q}}]}`, server.URL), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"--kubeconfig", kubeconfig, "--cache-dir", filepath.Join(dir, "cache")}
}

func TestAPasswordInTheServersAddressIsShownByNoCommand(t *testing.T) {
	const secret = "MARKED-SECRET"
	reached := answering(t, map[string]string{"/version": `{"major":"1","minor":"34","gitVersion":"v1.34.0"}`})
	for _, kubeconfig := range []string{reached[1], nowhere(t)} {
		content, err := os.ReadFile(kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range []string{"ops:" + secret, secret, "ops:" + secret + "%zz", "ops:" + secret + "/x"} {
			with := strings.ReplaceAll(string(content), "://", "://"+info+"@")
			if err := os.WriteFile(kubeconfig, []byte(with), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, command := range [][]string{
				{"discover"}, {"discover", "-o", "json"}, {"plan"}, {"status"}, {"rollback", "--yes"}, {"pause"}, {"rbac", "--for", "discover"},
			} {
				code, out, stderr := try(t, append(command, "--kubeconfig", kubeconfig, "--cache-dir", reached[3])...)
				if shown := out + stderr; strings.Contains(shown, secret) {
					t.Errorf("%v with %s ends with %d and shows: %s", command, info, code, shown)
				}
			}
		}
	}
}
