package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// handler serves the part of fluxd's API that probes, fluxctl and webhooks use
// (reference 2.10); it asks for no password, as fluxd.
func (d *daemon) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/flux/v6/identity.pub", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, d.keys.current())
	})
	mux.HandleFunc("GET /api/flux/v6/sync", d.serveSyncStatus)
	mux.HandleFunc("POST /api/flux/v9/git-repo-config", d.serveGitRepoConfig)
	mux.HandleFunc("POST /api/flux/v11/notify", d.serveNotify)
	mux.HandleFunc("/api/flux/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		// A client that went away needs no answer.
		_, _ = io.WriteString(w, "API endpoint not found")
	})
	if d.set.listenMetrics == "" {
		mux.Handle("/metrics", d.metricsHandler())
	}
	return mux
}

// serveSyncStatus lists the commits between the sync mark and a reference.
func (d *daemon) serveSyncStatus(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), d.set.gitTimeout)
	defer cancel()
	ref := r.URL.Query().Get("ref")
	if ref == "" || strings.HasPrefix(ref, "-") {
		http.Error(w, "give the commit as ?ref=", http.StatusBadRequest)
		return
	}
	synced, err := d.state.revision(ctx)
	if err == nil {
		var commits []commit
		span := ref
		if synced != "" {
			span = synced + ".." + ref
		}
		if commits, err = d.repository.commits(ctx, span, false, d.set.gitPaths); err == nil {
			revisions := make([]string, 0, len(commits))
			for _, c := range commits {
				revisions = append(revisions, c.revision)
			}
			writeJSON(w, revisions)
			return
		}
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// serveGitRepoConfig tells what is synced, making a new deploy key when the body
// is true.
func (d *daemon) serveGitRepoConfig(w http.ResponseWriter, r *http.Request) {
	var regenerate bool
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<10)).Decode(&regenerate); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if regenerate {
		if err := d.keys.regenerate(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	status, err := d.repository.status()
	message := ""
	if err != nil {
		message = err.Error()
	}
	writeJSON(w, map[string]any{
		"remote": map[string]string{
			"url": safeURL(d.set.gitURL), "branch": d.set.gitBranch, "path": strings.Join(d.set.gitPaths, ","),
		},
		"publicSSHKey": d.keys.current(),
		"status":       status,
		"errors":       message,
	})
}

// serveNotify fetches soon, unless told of another branch of this repository.
func (d *daemon) serveNotify(w http.ResponseWriter, r *http.Request) {
	var change struct {
		Kind   string
		Source struct{ URL, Branch string }
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&change); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch change.Kind {
	case "git":
		if sameRepository(change.Source.URL, d.set.gitURL) && change.Source.Branch != d.set.gitBranch {
			d.log.line("component", "daemon", "msg", "notified about unrelated change",
				"url", safeURL(change.Source.URL), "branch", change.Source.Branch)
			break
		}
		d.repository.askForFetch()
	case "image":
	default:
		http.Error(w, "unknown kind of change", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func writeJSON(w http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	// A client that went away needs no answer.
	_, _ = w.Write(body)
}

// metrics are the three of fluxd's that tell health (reference 2.1).
type metrics struct {
	mu        sync.Mutex
	durations map[bool]*histogram
	manifests map[bool]int
}

// histogram counts durations up to each bound, in seconds.
type histogram struct {
	counts []int
	sum    float64
	count  int
}

var syncBounds = []float64{0.5, 5, 10, 20, 30, 40, 50, 60, 75, 90, 120, 240}

func newMetrics() *metrics {
	return &metrics{durations: map[bool]*histogram{}, manifests: map[bool]int{}}
}

func (m *metrics) synced(success bool, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.durations[success]
	if h == nil {
		h = &histogram{counts: make([]int, len(syncBounds))}
		m.durations[success] = h
	}
	for i, bound := range syncBounds {
		if took.Seconds() <= bound {
			h.counts[i]++
		}
	}
	h.sum += took.Seconds()
	h.count++
}

func (m *metrics) applied(succeeded, failed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.manifests[true], m.manifests[false] = succeeded, failed
}

func (d *daemon) metricsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		d.metrics.write(w)
		ready := 0
		if state, _ := d.repository.status(); state == repositoryReady {
			ready = 1
		}
		fmt.Fprintf(w, "# HELP flux_git_ready Status of the git repository.\n# TYPE flux_git_ready gauge\nflux_git_ready %d\n", ready)
	})
}

func (m *metrics) write(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const duration = "flux_daemon_sync_duration_seconds"
	fmt.Fprintf(w, "# HELP %s Duration of git-to-cluster synchronisation, in seconds.\n# TYPE %s histogram\n", duration, duration)
	for _, success := range []bool{false, true} {
		h := m.durations[success]
		if h == nil {
			continue
		}
		for i, bound := range syncBounds {
			fmt.Fprintf(w, "%s_bucket{success=\"%t\",le=\"%g\"} %d\n", duration, success, bound, h.counts[i])
		}
		fmt.Fprintf(w, "%s_bucket{success=\"%t\",le=\"+Inf\"} %d\n", duration, success, h.count)
		fmt.Fprintf(w, "%s_sum{success=\"%t\"} %g\n", duration, success, h.sum)
		fmt.Fprintf(w, "%s_count{success=\"%t\"} %d\n", duration, success, h.count)
	}
	const manifests = "flux_daemon_sync_manifests"
	fmt.Fprintf(w, "# HELP %s Number of synchronized manifests\n# TYPE %s gauge\n", manifests, manifests)
	for _, success := range []bool{false, true} {
		if n, ok := m.manifests[success]; ok {
			fmt.Fprintf(w, "%s{success=\"%t\"} %d\n", manifests, success, n)
		}
	}
}
