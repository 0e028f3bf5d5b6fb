package journey

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func (w *world) kube() *kubernetes.Clientset {
	w.t.Helper()
	client, err := kubernetes.NewForConfig(w.ControlPlane.Config())
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

func (w *world) kubectl(args ...string) string {
	w.t.Helper()
	out, err := w.tryKubectl(w.t.Context(), args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// tryKubectl is kubectl for what may fail, or runs beside the test.
func (w *world) tryKubectl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(w.ControlPlane.BinDir, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// secretValues are the values that must never be seen: those of the Secrets
// of the agents' namespace that are not Helm's own.
func (w *world) secretValues() map[string]string {
	w.t.Helper()
	list, err := w.kube().CoreV1().Secrets("flux").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	values := map[string]string{}
	for _, s := range list.Items {
		if strings.HasPrefix(string(s.Type), "helm.sh/") {
			continue
		}
		for key, value := range s.Data {
			// User names are no secrets; a key's middle line tells it apart.
			text := strings.TrimSpace(string(value))
			if lines := strings.Split(text, "\n"); len(lines) > 2 {
				text = lines[len(lines)/2]
			}
			if len(text) >= 12 && !strings.HasSuffix(strings.ToLower(key), "user") {
				values[s.Name+"/"+key] = text
			}
		}
	}
	return values
}

func (w *world) configMaps() string {
	w.t.Helper()
	list, err := w.kube().CoreV1().ConfigMaps("fluxover-system").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := json.Marshal(list)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(raw)
}

func (w *world) agentLog() string {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.Dir, "kubelet", "logs", "flux-system_*"))
	if err != nil {
		w.t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		all.Write(raw)
	}
	return all.String()
}
