package migrate

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhatIsUnknownOfAnAgentIsNull(t *testing.T) {
	running := true
	a := Flux1Agent{
		ID: "flux/shop", Namespace: "flux", Running: &running,
		Git:     AgentGit{Branch: "a<b", Paths: []string{}, Timeout: metav1.Duration{Duration: time.Minute}},
		Synced:  Synced{Behind: -1, Head: "0123"},
		Counts:  Counts{Objects: 3},
		Unknown: []string{"git.url", "git.paths", "sync", "synced", "counts.orphans", "requests", "terraform", "sops", "image", "replicas"},
	}
	raw, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": "flux/shop", "namespace": "flux", "running": true, "sops": nil, "manifestGeneration": false, "terraform": nil,
		"git":      map[string]any{"url": nil, "branch": "a<b", "paths": nil, "pollInterval": "0s", "timeout": "1m0s", "readonly": false, "secretName": "", "syncTag": ""},
		"sync":     map[string]any{"interval": nil, "timeout": nil, "garbageCollection": nil, "state": nil},
		"synced":   map[string]any{"commit": nil, "behind": nil, "head": "0123"},
		"counts":   map[string]any{"objects": 3.0, "applications": 0.0, "orphans": nil},
		"requests": map[string]any{"cpu": nil, "memory": nil},
	}
	for name, v := range want {
		if d := cmp.Diff(v, got[name]); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	for _, name := range []string{"image", "replicas"} { // not of the contract
		if _, ok := got[name]; ok {
			t.Errorf("%s is written", name)
		}
	}
	// The order is that of the fields.
	if i, j := strings.Index(string(raw), `"namespace"`), strings.Index(string(raw), `"git"`); i < 0 || j < i {
		t.Errorf("the order is another: %s", raw)
	}

	var again Flux1Agent
	if err := json.Unmarshal(raw, &again); err != nil {
		t.Fatal(err)
	}
	a.AllowedNamespaces, a.Git.Paths = nil, nil // as null is read
	if d := cmp.Diff(a, again); d != "" {
		t.Errorf("read back, it differs (-was +is):\n%s", d)
	}
}

func TestAnAgentWrittenBeforeNullStoodForTheUnknownIsRead(t *testing.T) {
	var a Flux1Agent
	err := json.Unmarshal([]byte(`{"id":"flux/shop","running":null,"git":{"url":"","paths":[],"pollInterval":"0s","timeout":"20s"},
		"sync":{"interval":"5m0s"},"synced":{"commit":"","behind":-1},"requests":{"cpu":"1"},"unknown":["git.url"]}`), &a)
	if err != nil {
		t.Fatal(err)
	}
	want := Flux1Agent{ID: "flux/shop", Git: AgentGit{Paths: []string{}, Timeout: metav1.Duration{Duration: 20 * time.Second}},
		Sync: AgentSync{Interval: metav1.Duration{Duration: 5 * time.Minute}}, Synced: Synced{Behind: -1}, Requests: Requests{CPU: "1"}, Unknown: []string{"git.url"}}
	if d := cmp.Diff(want, a); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, bad := range []string{`[]`, `{"git":{"timeout":"soon"}}`, `{"id":1}`, `{`} {
		if err := json.Unmarshal([]byte(bad), &a); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}
