package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// api is a minimal API server: discovery of a few kinds and one answer for
// everything else. It records what it was asked. What a real server makes of
// these requests is proven end to end; here is what we send.
type api struct {
	t  *testing.T
	mu sync.Mutex
	// kinds that exist: "v1/ConfigMap" and so on.
	widgets  bool
	requests []request
	answer   func(r request) (int, any)
}

type request struct {
	method, path, query string
	header              http.Header
	body                map[string]any
}

func newAPI(t *testing.T) (*api, *Client) {
	t.Helper()
	a := &api{t: t}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	c, err := ForConfig(&rest.Config{Host: server.URL, BearerToken: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

func (a *api) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	reply := func(code int, v any) {
		w.WriteHeader(code)
		if err := json.NewEncoder(w).Encode(v); err != nil {
			a.t.Error(err)
		}
	}
	resources := func(groupVersion string, list ...metav1.APIResource) {
		reply(200, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: groupVersion, APIResources: list})
	}
	switch req.URL.Path {
	case "/api":
		reply(200, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
		return
	case "/apis":
		groups := []metav1.APIGroup{group("rbac.authorization.k8s.io", "v1")}
		if a.widgets {
			groups = append(groups, group("example.org", "v2", "v1"))
		}
		reply(200, metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: groups})
		return
	case "/api/v1":
		resources("v1", metav1.APIResource{Name: "configmaps", Kind: "ConfigMap", Namespaced: true}, metav1.APIResource{Name: "namespaces", Kind: "Namespace"})
		return
	case "/apis/rbac.authorization.k8s.io/v1":
		resources("rbac.authorization.k8s.io/v1", metav1.APIResource{Name: "clusterroles", Kind: "ClusterRole"})
		return
	case "/apis/example.org/v1", "/apis/example.org/v2":
		if a.widgets {
			resources(strings.TrimPrefix(req.URL.Path, "/apis/"), metav1.APIResource{Name: "widgets", Kind: "Widget", Namespaced: true})
			return
		}
	}
	r := request{method: req.Method, path: req.URL.Path, query: req.URL.RawQuery, header: req.Header}
	if text, err := io.ReadAll(req.Body); err != nil {
		a.t.Error(err)
	} else if len(text) > 0 {
		if err := json.Unmarshal(text, &r.body); err != nil {
			a.t.Errorf("%s: %v", text, err)
		}
	}
	a.requests = append(a.requests, r)
	if a.answer != nil {
		code, v := a.answer(r)
		reply(code, v)
		return
	}
	reply(200, map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "answered"}})
}

func group(name string, versions ...string) metav1.APIGroup {
	g := metav1.APIGroup{Name: name}
	for _, v := range versions {
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: name + "/" + v, Version: v})
	}
	g.PreferredVersion = g.Versions[0]
	return g
}

// only gives the one request since the last call.
func (a *api) only() request {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.requests) != 1 {
		a.t.Fatalf("%d requests: %+v", len(a.requests), a.requests)
	}
	r := a.requests[0]
	a.requests = nil
	return r
}

func status(code int, reason metav1.StatusReason) func(request) (int, any) {
	return func(request) (int, any) {
		return code, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: reason, Code: int32(code), Message: string(reason)}
	}
}

func manifest(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

func TestApplyIsServerSideAndForced(t *testing.T) {
	a, c := newAPI(t)
	cm := manifest("v1", "ConfigMap", "shop", "web")
	cm.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "x"}})
	if err := unstructured.SetNestedField(cm.Object, nil, "metadata", "creationTimestamp"); err != nil {
		t.Fatal(err)
	}
	before := cm.DeepCopy()
	got, err := c.Apply(t.Context(), cm, "fluxover")
	if err != nil || got.GetName() != "answered" {
		t.Fatal(got, err)
	}
	r := a.only()
	if r.method != "PATCH" || r.path != "/api/v1/namespaces/shop/configmaps/web" || r.query != "fieldManager=fluxover&force=true" ||
		r.header.Get("Content-Type") != "application/apply-patch+yaml" {
		t.Errorf("sent %s %s?%s as %s", r.method, r.path, r.query, r.header.Get("Content-Type"))
	}
	want := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "web", "namespace": "shop"}}
	if diff := cmp.Diff(want, r.body); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, cm); diff != "" {
		t.Errorf("the object was changed: %s", diff)
	}
	if _, err := c.DryRunApply(t.Context(), cm, "kustomize-controller", false); err != nil {
		t.Fatal(err)
	}
	r = a.only()
	if r.query != "dryRun=All&fieldManager=kustomize-controller&force=false" {
		t.Errorf("dry-run: %s", r.query)
	}
	if _, ok := r.body["metadata"].(map[string]any)["managedFields"]; !ok {
		t.Errorf("a try that an engine makes of a manifest went without its managedFields: %v", r.body)
	}
	if _, err := c.ApplyWith(t.Context(), cm, Options{FieldManager: "m", Strict: true}); err != nil {
		t.Fatal(err)
	}
	if r := a.only(); r.query != "fieldManager=m&fieldValidation=Strict&force=false" {
		t.Errorf("strict: %s", r.query)
	}
}

func TestApplyRefusesWhatHasNoPlace(t *testing.T) {
	a, c := newAPI(t)
	for _, u := range []*unstructured.Unstructured{manifest("v1", "ConfigMap", "", "web"), manifest("v1", "ConfigMap", "shop", ""), manifest("example.org/v1", "Widget", "shop", "w")} {
		if _, err := c.Apply(t.Context(), u, "fluxover"); err == nil {
			t.Errorf("%v was applied", u)
		}
	}
	if _, err := c.Apply(t.Context(), manifest("v1", "ConfigMap", "shop", "web"), ""); err == nil {
		t.Error("applied without a manager")
	}
	if len(a.requests) > 0 {
		t.Errorf("sent %+v", a.requests)
	}
	// A namespace on a cluster-scoped object does not count.
	if _, err := c.Apply(t.Context(), manifest("v1", "Namespace", "x", "shop"), "fluxover"); err != nil {
		t.Fatal(err)
	}
	if r := a.only(); r.path != "/api/v1/namespaces/shop" {
		t.Errorf("sent to %s", r.path)
	}
}

func TestAnImpersonatedClientActsAsTheUserAndKeepsDiscovery(t *testing.T) {
	a, c := newAPI(t)
	as, err := c.As(ServiceAccountUser("flux", "payments"), ServiceAccountGroups("flux"), map[string][]string{"authentication.kubernetes.io/pod-name": {"p"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := as.Get(t.Context(), schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, "shop", "web"); err != nil {
		t.Fatal(err)
	}
	h := a.only().header
	if h.Get("Impersonate-User") != "system:serviceaccount:flux:payments" || h.Get("Authorization") != "Bearer operator" {
		t.Errorf("headers: %v", h)
	}
	if diff := cmp.Diff([]string{"system:serviceaccounts", "system:serviceaccounts:flux", "system:authenticated"}, h["Impersonate-Group"]); diff != "" {
		t.Error(diff)
	}
	if len(h["Impersonate-Extra-Authentication.kubernetes.io%2fpod-Name"]) != 1 {
		t.Errorf("extra: %v", h)
	}
	if as.Mapper != c.Mapper || c.Config.Impersonate.UserName != "" {
		t.Error("the parent was changed or discovery not shared")
	}
	if _, err := c.As("", nil, nil); err == nil {
		t.Error("impersonated nobody")
	}
}

func TestObjectsAreFoundByInventoryID(t *testing.T) {
	a, c := newAPI(t)
	a.widgets = true
	for id, want := range map[string]string{
		"shop_web__ConfigMap": "/api/v1/namespaces/shop/configmaps/web",
		"_shop__Namespace":    "/api/v1/namespaces/shop",
		"_system__aggregate_rbac.authorization.k8s.io_ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:aggregate",
		"shop_w_example.org_Widget":                                "/apis/example.org/v2/namespaces/shop/widgets/w",
	} {
		if _, err := c.GetByID(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if r := a.only(); r.path != want {
			t.Errorf("%s: asked %s, want %s", id, r.path, want)
		}
	}
	if _, err := c.GetByIDVersion(t.Context(), "shop_w_example.org_Widget", "v1"); err != nil {
		t.Fatal(err)
	}
	if r := a.only(); r.path != "/apis/example.org/v1/namespaces/shop/widgets/w" {
		t.Errorf("asked %s", r.path)
	}
	if _, err := c.GetByID(t.Context(), "nonsense"); err == nil || IsGone(err) {
		t.Errorf("nonsense: %v", err)
	}
}

func TestOnlyAbsenceIsGone(t *testing.T) {
	a, c := newAPI(t)
	get := func() error {
		_, err := c.GetByID(t.Context(), "shop_web__ConfigMap")
		return err
	}
	for code, reason := range map[int]metav1.StatusReason{403: metav1.StatusReasonForbidden, 401: metav1.StatusReasonUnauthorized, 500: metav1.StatusReasonInternalError} {
		a.answer = status(code, reason)
		if err := get(); err == nil || IsGone(err) {
			t.Errorf("%d: %v", code, err)
		}
	}
	a.answer = status(404, metav1.StatusReasonNotFound)
	if err := get(); !IsGone(err) || !apierrors.IsNotFound(err) {
		t.Errorf("404: %v", err)
	}
	if _, err := c.GetByID(t.Context(), "shop_w_example.org_Widget"); !IsGone(err) {
		t.Errorf("absent kind: %v", err)
	}
}

func TestAKindMadeLaterIsFound(t *testing.T) {
	a, c := newAPI(t)
	w := manifest("example.org/v1", "Widget", "shop", "w")
	if _, err := c.Apply(t.Context(), w, "fluxover"); !isNoMatch(err) {
		t.Fatalf("before: %v", err)
	}
	a.mu.Lock()
	a.widgets = true
	a.mu.Unlock()
	if _, err := c.Apply(t.Context(), w, "fluxover"); err != nil {
		t.Errorf("after: %v", err)
	}
}

func TestDeleteDemandsTheSameObject(t *testing.T) {
	a, c := newAPI(t)
	cm := manifest("v1", "ConfigMap", "shop", "web")
	if err := c.Delete(t.Context(), cm, DeleteOptions{}); !errors.Is(err, ErrPreconditionRequired) {
		t.Errorf("without uid: %v", err)
	}
	cm.SetUID("u-1")
	if err := c.Delete(t.Context(), cm, DeleteOptions{ExactVersion: true}); err == nil {
		t.Error("deleted an exact version without one")
	}
	cm.SetResourceVersion("7")
	if err := c.Delete(t.Context(), cm, DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r := a.only()
	if r.method != "DELETE" || r.path != "/api/v1/namespaces/shop/configmaps/web" {
		t.Errorf("sent %s %s", r.method, r.path)
	}
	if diff := cmp.Diff(map[string]any{"uid": "u-1"}, r.body["preconditions"]); diff != "" || r.body["propagationPolicy"] != "Background" {
		t.Errorf("%s, %v", diff, r.body)
	}
	if err := c.Delete(t.Context(), cm, DeleteOptions{ExactVersion: true, Propagation: metav1.DeletePropagationOrphan}); err != nil {
		t.Fatal(err)
	}
	r = a.only()
	if diff := cmp.Diff(map[string]any{"uid": "u-1", "resourceVersion": "7"}, r.body["preconditions"]); diff != "" || r.body["propagationPolicy"] != "Orphan" {
		t.Errorf("%s, %v", diff, r.body)
	}
	a.answer = status(404, metav1.StatusReasonNotFound)
	if err := c.Delete(t.Context(), cm, DeleteOptions{}); err != nil {
		t.Errorf("an object that is gone: %v", err)
	}
	a.answer = status(409, metav1.StatusReasonConflict)
	if err := c.Delete(t.Context(), cm, DeleteOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("another object: %v", err)
	}
	widget := manifest("example.org/v1", "Widget", "shop", "w")
	widget.SetUID("u-2")
	if err := c.Delete(t.Context(), widget, DeleteOptions{}); err != nil {
		t.Errorf("an object of a kind that is gone: %v", err)
	}
}

func TestMergePatchCarriesThePreconditionsOfTheObject(t *testing.T) {
	a, c := newAPI(t)
	cm := manifest("v1", "ConfigMap", "shop", "web")
	cm.SetUID("u-1")
	cm.SetResourceVersion("7")
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]any{"x": nil}}}
	if _, err := c.MergePatch(t.Context(), cm, patch, "fluxover"); err != nil {
		t.Fatal(err)
	}
	r := a.only()
	want := map[string]any{"metadata": map[string]any{"annotations": map[string]any{"x": nil}, "uid": "u-1", "resourceVersion": "7"}}
	if diff := cmp.Diff(want, r.body); diff != "" || r.header.Get("Content-Type") != "application/merge-patch+json" || r.query != "fieldManager=fluxover" {
		t.Errorf("%s %v %s", diff, r.header, r.query)
	}
	if diff := cmp.Diff(map[string]any{"metadata": map[string]any{"annotations": map[string]any{"x": nil}}}, patch); diff != "" {
		t.Errorf("the patch was changed: %s", diff)
	}
	if _, err := c.Update(t.Context(), manifest("v1", "ConfigMap", "shop", "web"), "fluxover"); err == nil {
		t.Error("updated without a resourceVersion")
	}
}

func TestWaitNamesWhatIsMissing(t *testing.T) {
	synctest.Test(t, testWait) // in a time that no busy machine can stretch
}

func testWait(t *testing.T) {
	calls := 0
	err := Wait(t.Context(), time.Millisecond, 30*time.Millisecond, func(context.Context) (bool, string, error) {
		calls++
		return false, fmt.Sprintf("Deployment/flux/payments has %d pods", 3), nil
	})
	if !errors.Is(err, ErrWaitExpired) || !strings.Contains(err.Error(), "Deployment/flux/payments has 3 pods") || calls < 30 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if err := Wait(t.Context(), time.Hour, time.Hour, func(context.Context) (bool, string, error) { return true, "", nil }); err != nil {
		t.Error(err)
	}
	boom := errors.New("forbidden")
	if err := Wait(t.Context(), time.Hour, time.Hour, func(context.Context) (bool, string, error) { return false, "", boom }); !errors.Is(err, boom) || errors.Is(err, ErrWaitExpired) {
		t.Error(err)
	}
	// A limit reached in the middle of a request is the expiry.
	err = Wait(t.Context(), time.Hour, 10*time.Millisecond, func(ctx context.Context) (bool, string, error) {
		<-ctx.Done()
		return false, "the source", ctx.Err()
	})
	if !errors.Is(err, ErrWaitExpired) || !strings.Contains(err.Error(), "the source") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = Wait(ctx, time.Hour, time.Hour, func(context.Context) (bool, string, error) {
		cancel()
		return false, "the lease", nil
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrWaitExpired) || !strings.Contains(err.Error(), "the lease") {
		t.Error(err)
	}
	calls = 0
	err = Wait(t.Context(), time.Hour, 0, func(context.Context) (bool, string, error) { calls++; return false, "it", nil })
	if !errors.Is(err, ErrWaitExpired) || calls != 1 {
		t.Error(calls, err)
	}
}

func TestAPasswordInTheServersAddressIsSentAndNotShown(t *testing.T) {
	const secret = "s3cr3t"
	var user, password string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		user, password, _ = req.BasicAuth()
		http.Error(w, "no", http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	ask := func(address, token string) (shown string) {
		t.Helper()
		c, err := ForConfig(&rest.Config{Host: address, BearerToken: token})
		if err != nil {
			return err.Error()
		}
		err = c.Kube.Discovery().RESTClient().Get().AbsPath("/version").Do(t.Context()).Error()
		return fmt.Sprintf("%v %s", err, c.Config.Host)
	}
	with := func(address, info string) string { return strings.Replace(address, "://", "://"+info+"@", 1) }
	for _, token := range []string{"", "token"} {
		user, password = "", ""
		if shown := ask(with(server.URL, "ops:"+secret), token); strings.Contains(shown, secret) || !strings.Contains(shown, server.URL) {
			t.Errorf("shown is: %s", shown)
		}
		if user != "ops" || password != secret {
			t.Errorf("with token %q it was asked as %q with %q", token, user, password)
		}
	}
	server.Close()
	for _, address := range []string{with(server.URL, "ops:"+secret), with(server.URL, secret), with(server.URL, secret+":"), "ops:" + secret + "@127.0.0.1:1", with(server.URL, "ops:"+secret+"%zz"), with(server.URL, "ops:"+secret+"/x")} {
		if shown := ask(address, ""); strings.Contains(shown, secret) {
			t.Errorf("of %s is shown: %s", address, shown)
		}
	}
}
