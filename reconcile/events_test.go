package reconcile

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
)

func TestEventsReachTheNotificationControllerAfterItFailedOnce(t *testing.T) {
	got := make(chan notification, 10)
	failed := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !failed {
			failed = true
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		var n notification
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			t.Error(err)
		}
		got <- n
	}))
	defer server.Close()
	e := newEvents(record.NewFakeRecorder(10), scheme, kustomizeController, server.URL, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Start(ctx) }()
	k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app", UID: "u",
		Annotations: map[string]string{eventGroup + "/summary": "mine", "other": "not sent"}}}
	e.send(k, group, severityError, "BuildFailed", "no kind", map[string]string{metaRevision: "main@sha1:a", metaDigest: ""})
	select {
	case n := <-got:
		if n.InvolvedObject.Kind != "Kustomization" || n.InvolvedObject.Name != "app" || n.Severity != "error" || n.Reason != "BuildFailed" ||
			n.Message != "no kind" || n.ReportingController != "kustomize-controller" {
			t.Errorf("event %+v", n)
		}
		if len(n.Metadata) != 2 || n.Metadata[group+"/revision"] != "main@sha1:a" || n.Metadata[eventGroup+"/summary"] != "mine" {
			t.Errorf("metadata %v", n.Metadata)
		}
	case <-time.After(20 * time.Second):
		t.Error("no event arrived")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
