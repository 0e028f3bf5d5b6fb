package reconcile

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// forwarding passes requests on to the Git server, whatever host they name.
func forwarding(e *team) http.Handler {
	target, err := url.Parse(e.git.HTTPURL(e.repo))
	e.must(err)
	server := &url.URL{Scheme: target.Scheme, Host: target.Host}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(server)
		r.Out.Host = server.Host
	}}
}

func TestASourceGoesThroughItsProxy(t *testing.T) {
	e := newTeam(t, map[string]string{"a.yaml": "x: 1\n"})
	var allowed, refused atomic.Int64
	pass := forwarding(e)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "Basic dTpwYXNzMTIz" { // u:pass123
			refused.Add(1)
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		allowed.Add(1)
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	secret := &corev1.Secret{ObjectMeta: e.meta("proxy"), StringData: map[string]string{"address": proxy.URL, "username": "u", "password": "swordfish-2"}}
	e.create(secret)
	repository := e.repository("proxied")
	direct, err := url.Parse(repository.Spec.URL)
	e.must(err)
	direct.Host = "git.example.invalid" // nobody but the proxy knows it
	repository.Spec.URL, repository.Spec.ProxySecretRef = direct.String(), &fluxmeta.LocalObjectReference{Name: "proxy"}
	e.create(repository)
	until(e, repository, "refused", func(r *sourcev1.GitRepository) bool { return conditions.IsTrue(r, sourcev1.FetchFailedCondition) })
	if message := conditions.GetMessage(repository, fluxmeta.ReadyCondition); strings.Contains(message, "swordfish") || refused.Load() == 0 {
		t.Errorf("%d requests refused, message %q", refused.Load(), message)
	}
	e.patch(secret, func() { secret.StringData = map[string]string{"password": "pass123"} })
	e.request(repository, "now")
	until(e, repository, "ready", ready)
	if allowed.Load() == 0 {
		t.Error("it is ready, and nothing went through the proxy")
	}

	missing := e.repository("unproxied")
	missing.Spec.ProxySecretRef = &fluxmeta.LocalObjectReference{Name: "absent"}
	e.create(missing)
	until(e, missing, "failed", func(r *sourcev1.GitRepository) bool { return conditions.IsTrue(r, sourcev1.FetchFailedCondition) })
	if got := conditions.GetReason(missing, sourcev1.FetchFailedCondition); got != sourcev1.AuthenticationFailedReason {
		t.Errorf("reason %s", got)
	}
}

func TestASourceTrustsTheAuthorityOfItsSecret(t *testing.T) {
	e := newTeam(t, map[string]string{"a.yaml": "x: 1\n"})
	server := httptest.NewTLSServer(forwarding(e))
	t.Cleanup(server.Close)
	git := &corev1.Secret{}
	e.must(e.client.Get(e.ctx, client.ObjectKey{Namespace: e.namespace, Name: "git"}, git))
	data := map[string][]byte{"username": git.Data["username"], "password": git.Data["password"]}
	secret := &corev1.Secret{ObjectMeta: e.meta("private"), Data: data}
	e.create(secret)
	repository := e.repository("private")
	u, err := url.Parse(repository.Spec.URL)
	e.must(err)
	repository.Spec.URL, repository.Spec.SecretRef.Name = server.URL+u.Path, "private"
	e.create(repository)
	until(e, repository, "refused", func(r *sourcev1.GitRepository) bool { return conditions.IsTrue(r, sourcev1.FetchFailedCondition) })
	e.patch(secret, func() {
		secret.Data["ca.crt"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	})
	e.request(repository, "now")
	until(e, repository, "ready", ready)
}
