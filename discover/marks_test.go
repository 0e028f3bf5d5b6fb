package discover

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/object"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// TestObjectsThatNobodyCanBeCalledAreNotAskedFor: one manifest without a name,
// or with one that no path can hold, made the discovery of all agents fail.
func TestObjectsThatNobodyCanBeCalledAreNotAskedFor(t *testing.T) {
	var lock sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		asked = append(asked, r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata",
			"metadata":{"name":"held","namespace":"team","annotations":{"fluxcd.io/ignore":"true"}}}`))
	}))
	defer server.Close()
	client, err := metadata.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	kind := schema.GroupKind{Kind: "ConfigMap"}
	w := &witness{meta: client}
	l := &live{kinds: map[schema.GroupKind]*listable{kind: {gvr: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, kind: "ConfigMap", namespaced: true}}}
	var ids []object.ObjMetadata
	for _, of := range [][2]string{{"team", ""}, {"team", ".."}, {"team", "a/b"}, {"team", "100%"}, {"te/am", "held"}, {"..", "held"}, {"team", "held"}} {
		ids = append(ids, object.ObjMetadata{Namespace: of[0], Name: of[1], GroupKind: kind})
	}
	found, _, err := w.ignoredLive(t.Context(), l, ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found["team_held__ConfigMap"] == "" {
		t.Errorf("found %v", found)
	}
	if want := []string{"/api/v1/namespaces/team/configmaps/held"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// TestAnIgnoreAnnotationThatFluxdDoesNotSeeHasNoEffect: fluxd finds that of live
// objects by listing them, and does not list all kinds.
func TestAnIgnoreAnnotationThatFluxdDoesNotSeeHasNoEffect(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata",
			"metadata":{"name":%q,"namespace":"team","annotations":{"fluxcd.io/ignore":"true"}}}`, path.Base(r.URL.Path))
	}))
	defer server.Close()
	client, err := metadata.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{meta: client}
	l := &live{kinds: map[schema.GroupKind]*listable{}, marked: map[string]*liveObject{}}
	var ids []object.ObjMetadata
	for gvr, kind := range map[schema.GroupVersionResource]string{
		{Version: "v1", Resource: "secrets"}: "Secret", {Version: "v1", Resource: "configmaps"}: "ConfigMap", {Version: "v1", Resource: "endpoints"}: "Endpoints",
		{Group: "apps", Version: "v1", Resource: "deployments"}: "Deployment",
	} {
		gk := schema.GroupKind{Group: gvr.Group, Kind: kind}
		l.kinds[gk] = &listable{gvr: gvr, kind: kind, namespaced: true}
		ids = append(ids, object.ObjMetadata{Namespace: "team", Name: "a", GroupKind: gk})
	}
	marked := &listable{gvr: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, kind: "Deployment", namespaced: true}
	l.marked["team_a_apps_Deployment"] = &liveObject{listable: marked, namespace: "team", name: "a", ignore: "true"} // found by its mark
	const configMap, secret, deployment = "team_a__ConfigMap", "team_a__Secret", "team_a_apps_Deployment"
	for _, c := range []struct{ excluded, want []string }{
		{nil, []string{configMap, secret, deployment}}, // never Endpoints
		{[]string{"v1/Secret"}, []string{configMap, deployment}},
		{[]string{"apps/*", "v1/C*p"}, []string{secret}},
		{[]string{"*"}, nil},
		{[]string{"Secret", "v1/Secre", "v1/?ecret"}, []string{configMap, secret, deployment}}, // a star is the only wildcard
	} {
		found, _, err := w.ignoredLive(t.Context(), l, ids, c.excluded)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, c.want) {
			t.Errorf("with --k8s-unsafe-exclude-resource=%s it sees the annotations of %q, want %q", strings.Join(c.excluded, ","), got, c.want)
		}
	}
}
