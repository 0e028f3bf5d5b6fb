package discover

import (
	"net/http"
	"net/http/httptest"
	"slices"
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
	found, err := w.ignoredLive(t.Context(), l, ids)
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
