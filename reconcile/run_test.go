package reconcile

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestRunServesHealthAndMetricsAndEndsWithItsContext(t *testing.T) {
	l := inLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const namespace = "run"
	if err := l.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	opts := testOptions(t.TempDir())
	opts.Namespace, opts.EnableLeaderElection, opts.LogLevel = namespace, true, "error"
	opts.WatchLabelSelector = shardKey + "=run"
	var err error
	for _, address := range []*string{&opts.HealthAddr, &opts.MetricsAddr, &opts.StorageAddr} {
		if *address, err = freeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, l.plane.Config(), opts) }()
	get := func(url string) string {
		response, err := http.Get(url)
		if err != nil {
			return ""
		}
		body, err := io.ReadAll(response.Body)
		if closeErr := response.Body.Close(); err != nil || closeErr != nil || response.StatusCode != http.StatusOK {
			return ""
		}
		return string(body)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		waitFor(t, path, func() bool { return get("http://"+opts.HealthAddr+path) != "" })
	}
	waitFor(t, "metrics", func() bool {
		return strings.Contains(get("http://"+opts.MetricsAddr+"/metrics"), "fluxover_git_queries_total")
	})
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(stopLimit + 10*time.Second):
		t.Fatal("does not end")
	}
}
