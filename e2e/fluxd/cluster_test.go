package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestGlobStarMatchesSlashes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"*metrics.k8s.io/*", "metrics.k8s.io/v1beta1/PodMetrics", true},
		{"*metrics.k8s.io/*", "custom.metrics.k8s.io/v1beta1/", true},
		{"webhook.certmanager.k8s.io/*", "webhook.certmanager.k8s.io/v1/X", true},
		{"webhook.certmanager.k8s.io/*", "my.webhook.certmanager.k8s.io/v1/X", false},
		{"v1/Event", "v1/Event", true},
		{"v1/Event", "events.k8s.io/v1/Event", false},
		{"v1/Event", "v1/", false},
		{"*", "anything/at/all", true},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxcyyb", false},
		{"aa*a", "aa", false},
	} {
		if got := globMatches(c.pattern, c.text); got != c.want {
			t.Errorf("%q on %q: %t, want %t", c.pattern, c.text, got, c.want)
		}
	}
}

func TestAllowedNamespacesBindNamespacedObjectsAndNamespacesOnly(t *testing.T) {
	t.Parallel()
	confined := &cluster{allowed: map[string]bool{"a": true}}
	for id, want := range map[identity]bool{
		{"a", "configmap", "x"}: true, {"b", "configmap", "a"}: false,
		{"", "namespace", "a"}: true, {"", "namespace", "b"}: false,
		{"", "clusterrole", "b"}: true,
	} {
		if got := confined.allows(id); got != want {
			t.Errorf("%s allowed: %t, want %t", id, got, want)
		}
		if free := (&cluster{}); !free.allows(id) {
			t.Errorf("%s is not allowed although no namespaces are named", id)
		}
	}
}

func TestDefaultNamespaceComesFromFlagThenContextThenDefault(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("KUBECONFIG", "")
	check := func(set *settings, root podRoot, want string) {
		t.Helper()
		got, err := defaultNamespace(set, root)
		if err != nil || got != want {
			t.Errorf("default namespace %q, %v; want %q", got, err, want)
		}
	}
	write := func(path, namespace string) {
		t.Helper()
		text := "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: x, user: z, namespace: " + namespace + "}}]}"
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check(&settings{}, "", "default")
	write(filepath.Join(home, ".kube/config"), "of-home")
	check(&settings{}, "", "of-home")
	root := t.TempDir()
	check(&settings{}, podRoot(root), "default")
	write(filepath.Join(root, "root/.kube/config"), "of-image")
	check(&settings{}, podRoot(root), "of-image")
	mounted := filepath.Join(root, "root/.kubectl/config")
	write(mounted, "of-chart")
	t.Setenv("KUBECONFIG", mounted)
	check(&settings{}, podRoot(root), "of-chart")
	check(&settings{defaultNamespace: "of-flag"}, podRoot(root), "of-flag")
}
