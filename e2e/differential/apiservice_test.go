package differential

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// measures is the aggregated API of a world: one kind, of which there is none,
// and whose server can be made to fail.
const (
	measures   = "measures.example.com"
	apiService = "v1." + measures
)

var apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}

// aggregate registers the API, with a server of its own that works.
func (w *world) aggregate() {
	w.t.Helper()
	w.extension = httptest.NewUnstartedServer(http.HandlerFunc(w.measure))
	w.extension.Config.ErrorLog = log.New(io.Discard, "", 0) // the API server breaks connections off when it looks
	w.extension.StartTLS()
	w.t.Cleanup(w.extension.Close)
	at, err := url.Parse(w.extension.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	port, err := strconv.ParseInt(at.Port(), 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	const namespace = "default"
	service := object("v1", "Service", namespace, "measures")
	service.Object["spec"] = map[string]any{"type": "ExternalName", "externalName": "localhost", "ports": []any{map[string]any{"port": port}}}
	w.make(schema.GroupVersionResource{Version: "v1", Resource: "services"}, namespace, service)
	u := object("apiregistration.k8s.io/v1", "APIService", "", apiService)
	u.Object["spec"] = map[string]any{
		"group": measures, "version": "v1", "groupPriorityMinimum": int64(100), "versionPriority": int64(100), "insecureSkipTLSVerify": true,
		"service": map[string]any{"namespace": namespace, "name": "measures", "port": port},
	}
	w.make(apiServices, "", u)
	w.serve(true)
}

// serve has the server of the aggregated API work, or fail, and waits until the
// API server has noticed.
func (w *world) serve(works bool) {
	w.t.Helper()
	w.failing.Store(!works)
	looks := 0
	w.eventually(2*time.Minute, fmt.Sprintf("an aggregated API that works: %v", works), func(ctx context.Context) (bool, error) {
		// A change has the API server look at once, and not only twice a minute.
		looks++
		look := fmt.Appendf(nil, `{"metadata":{"annotations":{"looks":"%v-%d"}}}`, works, looks)
		u, err := w.client.Resource(apiServices).Patch(ctx, apiService, "application/merge-patch+json", look, metav1.PatchOptions{FieldManager: "test"})
		if err != nil {
			return false, err
		}
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		if available := fmt.Sprint(conditions); strings.Contains(available, "type:Available") && strings.Contains(available, "status:True") != works || !strings.Contains(available, "type:Available") {
			return false, fmt.Errorf("its conditions are %s", available)
		}
		raw, err := w.disco.RESTClient().Get().AbsPath("/apis").SetHeader("Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").DoRaw(ctx)
		if err != nil {
			return false, err
		}
		said, err := freshness(raw)
		if err != nil {
			return false, err
		}
		if want := map[bool]string{true: "Current", false: "Stale"}[works]; said != want {
			return false, fmt.Errorf("discovery says %q of it", said)
		}
		return true, nil
	})
}

// freshness is what the discovery of all groups says of the aggregated one.
func freshness(discovery []byte) (string, error) {
	var groups struct {
		Items []struct {
			Metadata struct{ Name string }
			Versions []struct{ Freshness string }
		}
	}
	if err := json.Unmarshal(discovery, &groups); err != nil {
		return "", err
	}
	for _, g := range groups.Items {
		if g.Metadata.Name == measures && len(g.Versions) == 1 {
			return g.Versions[0].Freshness, nil
		}
	}
	return "nothing", nil
}

// measure is the server of the aggregated API.
func (w *world) measure(out http.ResponseWriter, r *http.Request) {
	if w.failing.Load() {
		http.Error(out, "not now", http.StatusServiceUnavailable)
		return
	}
	kind := func(name, apiVersion string) map[string]any {
		return map[string]any{"kind": name, "apiVersion": apiVersion}
	}
	var answer map[string]any
	switch path := strings.TrimPrefix(r.URL.Path, "/apis/"+measures); path {
	case "":
		answer = kind("APIGroup", "v1")
		answer["name"], answer["versions"] = measures, []any{map[string]any{"groupVersion": measures + "/v1", "version": "v1"}}
	case "/v1":
		answer = kind("APIResourceList", "v1")
		answer["groupVersion"] = measures + "/v1"
		answer["resources"] = []any{map[string]any{"name": "gauges", "singularName": "gauge", "namespaced": true, "kind": "Gauge", "verbs": []any{"get", "list"}}}
	default:
		if !strings.HasSuffix(path, "/gauges") {
			http.NotFound(out, r)
			return
		}
		answer = kind("GaugeList", measures+"/v1")
		if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList") {
			answer = kind("PartialObjectMetadataList", "meta.k8s.io/v1")
		}
		answer["metadata"], answer["items"] = map[string]any{}, []any{}
	}
	out.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
	}
}

// groupsDown are the findings about APIs that do not answer.
func (p *plan) groupsDown() []string {
	var out []string
	for _, f := range p.Findings {
		if f.Code == "API_GROUP_DOWN" {
			out = append(out, f.Subject)
		}
	}
	slices.Sort(out)
	return out
}

// aggregated is what a world knows of its aggregated API.
type aggregated struct {
	extension *httptest.Server
	failing   atomic.Bool
}
