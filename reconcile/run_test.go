package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
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

// An API server serves a kind only some time after its definition was created,
// and an agent that ended meanwhile would be started later and later.
func TestTheAgentWaitsForItsKindsToBeServed(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list := metav1.APIResourceList{GroupVersion: strings.TrimPrefix(r.URL.Path, "/apis/")}
		switch n := asked.Add(1); {
		case n == 1: // no definition is there
			http.NotFound(w, r)
			return
		case n == 2: // another one of the group is
			list.APIResources = []metav1.APIResource{{Name: "ocirepositories", Kind: "OCIRepository"}}
		default:
			list.APIResources = []metav1.APIResource{{Name: "gitrepositories", Kind: "GitRepository"}, {Name: "kustomizations", Kind: "Kustomization"}}
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(list); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	var log bytes.Buffer
	if err := definitionsServed(t.Context(), &rest.Config{Host: server.URL}, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if asked.Load() != 4 {
		t.Errorf("asked %d times", asked.Load())
	}
	if strings.Count(log.String(), "waiting for the API server to serve a kind") != 1 {
		t.Errorf("it is not said once that it waits: %s", log.String())
	}
}

// Requests to the API server are held back here, so that what was let through
// can be counted: one kind is never served, and the agent asks again and again.
func TestRequestsToTheAPIServerAreAsManyAsTheFlagsAllow(t *testing.T) {
	const enough = 4
	for name, c := range map[string]struct {
		args []string
		want int64
	}{
		"a burst of one":   {[]string{"--kube-api-qps=0.001", "--kube-api-burst=1"}, 1},
		"a burst of three": {[]string{"--kube-api-qps=0.001", "--kube-api-burst=3"}, 3},
		"many a second":    {[]string{"--kube-api-qps=1000", "--kube-api-burst=1"}, enough},
		"no limit":         {[]string{"--kube-api-qps=-1", "--kube-api-burst=1"}, enough},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// It asks once a second: there is time for twice as often as is looked for,
			// less than the agent's patience.
			ctx, cancel := context.WithTimeout(t.Context(), 2*enough*time.Second+time.Second)
			defer cancel()
			var asked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) == enough {
					cancel()
				}
				http.NotFound(w, r)
			}))
			t.Cleanup(server.Close)
			opts := withFlags(t, t.TempDir(), append(c.args, "--log-level=error")...)
			if err := Run(ctx, &rest.Config{Host: server.URL}, opts); err != nil {
				t.Logf("ended with: %v", err) // what is counted is what was asked until then
			}
			if got := asked.Load(); got != c.want {
				t.Errorf("the API server was asked %d times, want %d", got, c.want)
			}
		})
	}
}
