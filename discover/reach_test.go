package discover

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fluxover/fluxover/e2e/gitserver"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/source"
)

// enclosed is a Git server of one repository behind TLS with a certificate that
// nobody knows, under a name that only a proxy knows.
type enclosed struct {
	ca    string // PEM
	proxy string
	// tunnels through the proxy; refused ones came without its password.
	tunnels, refused atomic.Int32
}

const (
	proxyUser, proxyPassword = "proxy", "MARKED-SECRET-proxy"
	gitUser, gitPassword     = "bot", "MARKED-SECRET@/git"
	// enclosedHost is in the certificate of httptest, and nowhere on loopback.
	enclosedHost = "example.com"
)

func newEnclosed(t *testing.T, files map[string][]byte) *enclosed {
	t.Helper()
	server, err := gitserver.Start(t.Context(), gitserver.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := server.CreateRepo(t.Context(), "team", "main"); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Commit(t.Context(), "team", "main", "one", files); err != nil {
		t.Fatal(err)
	}
	if err := server.AllowUser("team", gitUser, gitPassword, false); err != nil {
		t.Fatal(err)
	}
	plain := &url.URL{Scheme: "http", Host: server.HTTPAddr()}
	secure := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(plain) }})
	t.Cleanup(secure.Close)
	e := &enclosed{ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword))
		if r.Header.Get("Proxy-Authorization") != want {
			e.refused.Add(1)
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect || r.Host != enclosedHost+":443" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		e.tunnels.Add(1)
		to, err := net.Dial("tcp", secure.Listener.Addr().String())
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		// Taken over before it is answered: what the client sends upon the answer
		// would else be in the server's reader in part.
		from, read, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		_, _ = io.WriteString(from, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() {
			_, _ = io.Copy(to, read)
			_ = to.Close()
		}()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(proxy.Close)
	e.proxy = strings.Replace(proxy.URL, "http://", "http://"+proxyUser+":"+proxyPassword+"@", 1)
	return e
}

// enclosedCluster is a cluster of one agent; around is what its container has
// beside its arguments.
func enclosedCluster(t *testing.T, ca, proxy, container, pod string) *fixture {
	t.Helper()
	indent := func(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") }
	encoded := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	text := `apiVersion: v1
kind: Namespace
metadata: {name: kube-system, uid: the-uid}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca, namespace: flux}
data:
  readme.txt: no certificate
  ours.crt: |
    ` + indent(ca) + `
---
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: flux}
data: {user: ` + encoded(url.PathEscape(gitUser)) + `, password: ` + encoded(url.QueryEscape(gitPassword)) + `, proxy: ` + encoded(proxy) + `}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: flux}
spec:
  selector: {matchLabels: {name: flux}}
  template:
    metadata: {labels: {name: flux}}
    spec:
      ` + pod + `
      containers:
      - name: flux
        image: fluxcd/flux:1.25.4
        args: ["--git-url=https://$(GIT_AUTHUSER):$(GIT_AUTHKEY)@` + enclosedHost + `/team.git", --git-branch=main]
        ` + container + `
`
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cluster.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

const credentialEnv = `{name: GIT_AUTHUSER, valueFrom: {secretKeyRef: {name: git, key: user}}}, {name: GIT_AUTHKEY, valueFrom: {secretKeyRef: {name: git, key: password}}}`

func TestARepositoryIsReadThroughTheAgentsProxyWithItsCertificates(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, "")
	}
	e := newEnclosed(t, map[string][]byte{"a.yaml": []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n")})
	proxied := credentialEnv + `, {name: HTTPS_PROXY, valueFrom: {secretKeyRef: {name: git, key: proxy}}}`
	volume := `volumes: [{name: ca, configMap: {name: ca}}]`
	for name, c := range map[string]struct {
		container, pod string
		want           string // code of the finding; empty if it can be read
	}{
		"a folder of certificates":  {"env: [" + proxied + "]\n        volumeMounts: [{name: ca, mountPath: /usr/local/share/ca-certificates}]", volume, ""},
		"one file among the others": {"env: [" + proxied + "]\n        volumeMounts: [{name: ca, mountPath: /etc/ssl/certs/ours.pem, subPath: ours.crt}]", volume, ""},
		"in place of the image's":   {"env: [" + proxied + "]\n        volumeMounts: [{name: ca, mountPath: /etc/ssl/cert.pem, subPath: ours.crt}]", volume, ""},
		"items of a volume":         {"env: [" + proxied + "]\n        volumeMounts: [{name: ca, mountPath: /etc/ssl}]", `volumes: [{name: ca, configMap: {name: ca, items: [{key: ours.crt, path: cert.pem}]}}]`, ""},
		"named to no git":           {"env: [" + proxied + ", {name: GIT_SSL_CAINFO, value: /tls/ours.crt}, {name: SSL_CERT_FILE, value: /tls/ours.crt}]\n        volumeMounts: [{name: ca, mountPath: /tls}]", volume, GitUnreadable.Name},
		"no certificates":           {"env: [" + proxied + "]", "", GitUnreadable.Name},
	} {
		t.Run(name, func(t *testing.T) {
			f := enclosedCluster(t, e.ca, e.proxy, c.container, c.pod)
			store, err := source.Open(t.TempDir(), source.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			f.witness.git = storeReader{store}
			before := e.tunnels.Load()
			inv, err := f.witness.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if e.tunnels.Load() == before || e.refused.Load() > 0 {
				t.Errorf("%d tunnels, %d refused", e.tunnels.Load()-before, e.refused.Load())
			}
			a := inv.Agents[0]
			read := len(a.Objects) == 1 && len(a.Synced.Head) == 40
			if read != (c.want == "") {
				t.Errorf("read is %v: %v", read, inv.Findings)
			}
			if c.want != "" {
				if f := find(inv.Findings, c.want); f == nil || !strings.Contains(f.Message, "certificate") {
					t.Errorf("no finding %s about the certificate: %v", c.want, inv.Findings)
				}
			}
			if text := dump(t, inv); strings.Contains(text, "MARKED-SECRET") {
				t.Errorf("a secret is told:\n%s", text)
			}
		})
	}
}

func find(findings []migrate.Finding, code string) *migrate.Finding {
	for i := range findings {
		if findings[i].Code == code {
			return &findings[i]
		}
	}
	return nil
}

// unreachableProxy is a Git server that is reached without a proxy alone.
type unreachableProxy struct {
	gitFixture
	asked []string
}

func (u *unreachableProxy) refs(ctx context.Context, r source.Remote) (map[string]string, error) {
	u.asked = append(u.asked, r.Auth.ProxyURL)
	if r.Auth.ProxyURL != "" {
		return nil, source.ErrNetwork
	}
	return u.gitFixture.refs(ctx, r)
}

func TestTheServerIsAskedDirectlyWhereTheAgentsProxyIsNotThere(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "")
	t.Setenv("https_proxy", "")
	for env, want := range map[string][]string{
		`{name: HTTPS_PROXY, value: "http://u:MARKED-SECRET@proxy.internal:3128"}`:                                  {"http://proxy.internal:3128", ""},
		`{name: ALL_PROXY, value: "socks5://proxy.internal:1080"}`:                                                  {""},
		`{name: HTTPS_PROXY, value: "http://proxy.internal:3128"}, {name: no_proxy, value: "internal,example.com"}`: {""},
		`{name: http_proxy, value: "http://proxy.internal:3128"}`:                                                   {""},
	} {
		f := enclosedCluster(t, "none", "none", "env: ["+credentialEnv+", "+env+"]", "")
		server := &unreachableProxy{gitFixture: gitFixture{"https://" + enclosedHost + "/team.git": {Refs: map[string]string{"refs/heads/main": strings.Repeat("1", 40)}, folder: "testdata/cluster/ordinary"}}}
		f.witness.git = server
		inv, err := f.witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(server.asked, " ") != strings.Join(want, " ") || inv.Agents[0].Synced.Head == "" {
			t.Errorf("%s: asked through %q, want %q; %v", env, server.asked, want, inv.Findings)
		}
		if strings.Contains(dump(t, inv), "MARKED-SECRET") {
			t.Error("a secret is told")
		}
	}
}
