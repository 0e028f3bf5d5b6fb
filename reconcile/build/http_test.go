package build

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

func TestRemoteFilesAreLoadedOnlyOnRequest(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: remote}\n"))
	}))
	t.Cleanup(server.Close)
	in := Input{
		Tree:          fstest.MapFS{"kustomization.yaml": {Data: []byte("resources:\n- " + server.URL + "/x.yaml\n")}},
		Kustomization: &kustomizev1.Kustomization{},
	}
	if _, err := Objects(t.Context(), in); err == nil || asked > 0 {
		t.Errorf("refused: %v; the server was asked %d times", err, asked)
	}
	in.AllowRemoteBases = true
	objects, err := Objects(t.Context(), in)
	if err != nil || len(objects) != 1 || objects[0].GetName() != "remote" {
		t.Errorf("allowed: %d objects, %v", len(objects), err)
	}
}
