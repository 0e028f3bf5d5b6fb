package cutover

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
)

// tried asks the API server for an apply of an object, which refuses a field
// that it does not know, and stores nothing but the object's namespace, which
// is there where a plan is carried out.
func (l *lab) tried(t *testing.T, u *unstructured.Unstructured) error {
	t.Helper()
	_, err := l.c.DryRunApply(t.Context(), u, "test", true)
	if ns := u.GetNamespace(); apierrors.IsNotFound(err) && ns != "" {
		made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
		if _, err := l.c.Kube.CoreV1().Namespaces().Create(t.Context(), made, metav1.CreateOptions{FieldManager: "test"}); err != nil {
			t.Fatal(err)
		}
		_, err = l.c.DryRunApply(t.Context(), u, "test", true)
	}
	return err
}

// Schemas are checked without a cluster as well (emit); rules in CEL, names and
// roles are judged by an API server alone.
func TestAnAPIServerTakesWhatIsEmitted(t *testing.T) {
	l := laboratory(t)
	const decided = "apiVersion: fluxover.dev/v1\nkind: Capacitor\ndefaults:\n  gitRepository: {interval: 90m, timeout: 90s}\n" +
		"  kustomization: {interval: 1.5h, retryInterval: 1500ms, timeout: 90m, prune: true, wait: true}\n"
	kinds := map[string]*unstructured.Unstructured{} // one of each
	taken := 0
	for _, of := range []string{"../../discover", ".."} {
		names, err := filepath.Glob(filepath.Join(of, "testdata", "plan", "*.yaml"))
		if err != nil || len(names) < 10 {
			t.Fatalf("%d plans of %s: %v", len(names), of, err)
		}
		for _, name := range names {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var plan migrate.Plan
			if err := yaml.Unmarshal(raw, &plan); err != nil {
				t.Fatal(err)
			}
			changes, err := emit.Tree(fstest.MapFS{emit.CapacitorFile: {Data: []byte(decided)}}, &plan, emit.Capacitor{URL: "https://git.example.com/flux-capacitor", Branch: "main", Cluster: "prod", Credential: true})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for file, content := range changes {
				if file == emit.IndexPath("prod") {
					continue // Kustomize's, and never applied
				}
				decoder := yamlutil.NewYAMLToJSONDecoder(bytes.NewReader(content))
				for {
					u := &unstructured.Unstructured{}
					if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						t.Fatalf("%s: %v", file, err)
					}
					if err := l.tried(t, u); err != nil {
						t.Errorf("%s: %s: %v", name, file, err)
						continue
					}
					taken++
					kinds[u.GetKind()] = u
				}
			}
		}
	}
	if taken < 800 || len(kinds) != 7 {
		t.Errorf("%d objects of %d kinds were taken", taken, len(kinds))
	}
	t.Logf("%d objects were taken", taken)

	for what, c := range map[string]struct {
		kind, want string
		fields     map[string]any
	}{
		"a rule in CEL":         {"GitRepository", "serviceAccountName can only be set when provider is", map[string]any{"serviceAccountName": "x"}},
		"a rule in CEL, nested": {"Kustomization", "exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef", map[string]any{"kubeConfig": map[string]any{}}},
		"a field unknown":       {"Kustomization", "intervall", map[string]any{"intervall": "1m"}},
		"a bad duration":        {"Kustomization", "spec.timeout", map[string]any{"timeout": "soon"}},
	} {
		u := kinds[c.kind].DeepCopy()
		for field, value := range c.fields {
			u.Object["spec"].(map[string]any)[field] = value
		}
		if err := l.tried(t, u); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s is not refused: %v", what, err)
		}
	}
}
