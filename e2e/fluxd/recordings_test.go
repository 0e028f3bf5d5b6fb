package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	yamlv2 "gopkg.in/yaml.v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

// recordingOrigin heads a recording; what follows it is compared.
const recordingOrigin = "# origin: fluxd 1.25.4 on Kubernetes and kubectl "

// TestStandInDoesWhatTheRealDaemonWasRecordedDoing runs every scenario of
// testdata/real against a real control plane and compares what can be seen from
// outside: each document given to kubectl, byte for byte and in order, the live
// objects, the sync tag, the counts of objects applied and failed. With FLUXD it
// holds the real daemon to the same recordings, and -update takes them anew.
//
// A scenario is a txtar: "flags", one a line; "before.yaml", applied at first;
// "account", the namespace/name of a ServiceAccount to run as; "N/…", the files
// of commit N; "N.sh", run in the tree before commit N; "N.live", kubectl
// commands run before it.
func TestStandInDoesWhatTheRealDaemonWasRecordedDoing(t *testing.T) {
	scenarios, err := filepath.Glob("testdata/real/*/scenario.txtar")
	if err != nil || len(scenarios) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, path := range scenarios {
		name := filepath.Base(filepath.Dir(path))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, name, archive)
			golden := filepath.Join(filepath.Dir(path), "recording.txt")
			if *update {
				if os.Getenv("FLUXD") == "" {
					t.Fatal("-update records the real daemon: name it in FLUXD")
				}
				if err := os.WriteFile(golden, []byte(recordingOrigin+controlPlane(t).Version+"\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			recorded, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			origin, want, _ := strings.Cut(string(recorded), "\n")
			if !strings.HasPrefix(origin, recordingOrigin) {
				t.Fatalf("the recording does not say where it comes from: %q", origin)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the daemon did otherwise than recorded (-recorded +now):\n%s", diff)
			}
		})
	}
}

// scenario is a parsed txtar.
type scenario struct {
	live            map[int]string
	before, account string
	flagLines       []string
	context         string
	files           map[int]map[string]string
	scripts         map[int]string
	steps           int
}

func parseScenario(t *testing.T, archive *txtar.Archive) scenario {
	t.Helper()
	s := scenario{live: map[int]string{}, files: map[int]map[string]string{}, scripts: map[int]string{}}
	for _, file := range archive.Files {
		text := string(file.Data)
		switch file.Name {
		case "flags":
			s.flagLines = strings.Split(strings.TrimSpace(text), "\n")
			continue
		case "before.yaml":
			s.before = text
			continue
		case "account":
			s.account = strings.TrimSpace(text)
			continue
		case "context-namespace":
			s.context = strings.TrimSpace(text)
			continue
		}
		var step int
		var rest string
		if _, err := fmt.Sscanf(file.Name, "%d%s", &step, &rest); err != nil || step < 1 {
			t.Fatalf("unknown section %q", file.Name)
		}
		s.steps = max(s.steps, step)
		switch {
		case rest == ".sh":
			s.scripts[step] = text
		case rest == ".live":
			s.live[step] = text
		case strings.HasPrefix(rest, "/"):
			if s.files[step] == nil {
				s.files[step] = map[string]string{}
			}
			s.files[step][rest[1:]] = text
		default:
			t.Fatalf("unknown section %q", file.Name)
		}
	}
	return s
}

// play runs a scenario and returns what was seen.
func play(t *testing.T, name string, archive *txtar.Archive) string {
	t.Helper()
	s := parseScenario(t, archive)
	w := newWorkshop(t, name)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	seen := map[identityWithVersion]bool{}
	if s.before != "" {
		w.kubectl(s.before, "create", "-f", "-")
		remember(t, seen, s.before)
	}
	token := ""
	if s.account != "" {
		namespace, account, _ := strings.Cut(s.account, "/")
		token = strings.TrimSpace(w.kubectl("", "--namespace", namespace, "create", "token", account))
	}
	w.writeKubeconfig(token, s.context)

	var out strings.Builder
	for step := 1; step <= s.steps; step++ {
		for _, line := range strings.Split(strings.TrimSpace(s.live[step]), "\n") {
			if line != "" {
				w.kubectl("", strings.Fields(line)...)
			}
		}
		w.commit(s.files[step], s.scripts[step])
		if step == 1 {
			w.start(s.flagLines...)
		} else {
			w.notify()
		}
		// One sync fails before the repository is cloned.
		w.waitFor(fmt.Sprintf("sync %d has ended", step), func() bool {
			succeeded, failed := w.syncs()
			return int(succeeded+failed) == step+1
		})
		succeeded, failed := w.syncs()
		applied, _ := w.metric(`flux_daemon_sync_manifests{success="true"}`)
		refused, _ := w.metric(`flux_daemon_sync_manifests{success="false"}`)

		fmt.Fprintf(&out, "\n##### commit %d\n", step)
		for _, call := range w.calls() {
			verdict := "ok"
			if !call.OK {
				verdict = "failed"
			}
			text := call.Stdin
			remember(t, seen, text)
			if call.Verb == "delete" {
				text = canonical(t, text)
			}
			fmt.Fprintf(&out, "### kubectl %s: %s\n%s", call.Verb, verdict, text)
		}
		fmt.Fprintf(&out, "### syncs succeeded %g, failed %g; last one applied %g, refused %g\n", succeeded, failed-1, applied, refused)
		fmt.Fprintf(&out, "### tags\n%s", w.syncTags())
		fmt.Fprintf(&out, "### live\n%s", liveState(ctx, t, w, seen))
	}
	return out.String()
}

// identityWithVersion is how a live object is looked up.
type identityWithVersion struct {
	apiVersion, kind, namespace, name string
}

// remember notes the objects of a stream of documents, to look at them live.
func remember(t *testing.T, seen map[identityWithVersion]bool, stream string) {
	t.Helper()
	decoder := yamlv2.NewDecoder(strings.NewReader(stream))
	for {
		var h header
		if err := decoder.Decode(&h); err != nil {
			return
		}
		if h.Kind != "" && h.Metadata.Name != "" {
			seen[identityWithVersion{h.APIVersion, h.Kind, h.Metadata.Namespace, h.Metadata.Name}] = true
		}
	}
}

// canonical prints identifying documents the same however they are spelled.
func canonical(t *testing.T, stream string) string {
	t.Helper()
	var out strings.Builder
	decoder := yamlv2.NewDecoder(strings.NewReader(stream))
	for {
		var document map[string]any
		if err := decoder.Decode(&document); err != nil {
			return out.String()
		}
		if len(document) == 0 {
			continue
		}
		text, err := yamlv2.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "---\n%s", text)
	}
}

// liveState describes the objects as the API server has them: labels,
// annotations and who manages fields, in a fixed order.
func liveState(ctx context.Context, t *testing.T, w *workshop, seen map[identityWithVersion]bool) string {
	t.Helper()
	client, err := dynamic.NewForConfig(w.plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(w.plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	var lines []string
	for id := range seen {
		gvk := schema.FromAPIVersionAndKind(id.apiVersion, id.kind)
		name := fmt.Sprintf("%s %s/%s", id.kind, id.namespace, id.name)
		mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			lines = append(lines, name+": unknown kind\n")
			continue
		}
		namespace := id.namespace
		if mapping.Scope.Name() == "root" {
			namespace = ""
		}
		object, err := client.Resource(mapping.Resource).Namespace(namespace).Get(ctx, id.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			lines = append(lines, name+": absent\n")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		line := name + ": there\n"
		line += pairs("label", object.GetLabels()) + pairs("annotation", object.GetAnnotations())
		line += managers(object.GetManagedFields())
		lines = append(lines, line)
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}

// managers lists who manages fields, in no order of time.
func managers(entries []metav1.ManagedFieldsEntry) string {
	var lines []string
	for _, m := range entries {
		if strings.HasPrefix(m.Manager, "kube-") {
			continue // a controller's, at its own time
		}
		lines = append(lines, fmt.Sprintf("  manager %s %s\n", m.Manager, m.Operation))
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}

func pairs(what string, values map[string]string) string {
	var lines []string
	for key, value := range values {
		if key == "deployment.kubernetes.io/revision" {
			continue // a controller's, at its own time
		}
		lines = append(lines, fmt.Sprintf("  %s %s=%s\n", what, key, strings.ReplaceAll(value, "\n", `\n`)))
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}
