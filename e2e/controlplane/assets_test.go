package controlplane

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/e2e/built"
)

// fakePrograms writes executables that say they are of the version.
func fakePrograms(t *testing.T, dir, version string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho Kubernetes "+version+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAssetsTakesAllProgramsFromKubebuilderAssets(t *testing.T) {
	dir := t.TempDir()
	fakePrograms(t, dir, "v1.30.1", programs...)
	t.Setenv("KUBEBUILDER_ASSETS", dir)
	got, err := Assets(t.Context(), "", nil)
	if err != nil || got != dir {
		t.Errorf("Assets = %s, %v, want %s", got, err, dir)
	}
}

func TestAssetsTakesTheCacheWhenKubebuilderAssetsHasAnotherVersion(t *testing.T) {
	given, cache := t.TempDir(), t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", given)
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	base, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(base, "fluxover", "controlplane", "v1.31.4")
	fakePrograms(t, given, "v1.30.1", programs...)
	fakePrograms(t, want, "v1.31.4", programs...)
	var log strings.Builder
	got, err := Assets(t.Context(), "v1.31.4", &log)
	if err != nil || got != want {
		t.Errorf("Assets = %s, %v, want %s", got, err, want)
	}
	if !strings.Contains(log.String(), "v1.30.1") {
		t.Errorf("log %q does not say why KUBEBUILDER_ASSETS is not used", log.String())
	}
}

func TestAVersionThatIsNoneIsRefused(t *testing.T) {
	for _, version := range []string{"1.37", "latest", "v1.37.2/../x"} {
		if _, err := Assets(t.Context(), version, nil); err == nil || !strings.Contains(err.Error(), DefaultVersion) {
			t.Errorf("Assets(%q): %v, want an error that shows how to write it", version, err)
		}
	}
}

func TestTheNestedModuleIsOfTheDefaultVersion(t *testing.T) {
	dir, err := built.Module(t.Context(), "e2e/controlplane/kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), "\t"+kubernetesModule+" "+DefaultVersion) {
		t.Errorf("%s does not require %s %s", dir, kubernetesModule, DefaultVersion)
	}
	for _, pkg := range packages {
		if !strings.Contains(string(content), "\n\t"+pkg.path+"\n") {
			t.Errorf("%s has no tool line for %s", dir, pkg.path)
		}
	}
}

// What KUBEBUILDER_ASSETS lacks is built beside what it has, of its version: the
// archives of envtest hold no kube-controller-manager, and some no kubectl.
func TestWhatKubebuilderAssetsLacksIsBuilt(t *testing.T) {
	absent := "kubectl" // the smaller one to compile where nothing of it is cached
	if os.Getenv("LONG") != "" {
		absent = "kube-controller-manager"
	}
	whole, err := Assets(t.Context(), DefaultVersion, testLog{t})
	if err != nil {
		t.Fatal(err)
	}
	given := t.TempDir()
	for _, name := range programs {
		if name == absent {
			continue
		}
		if err := os.Symlink(filepath.Join(whole, name), filepath.Join(given, name)); err != nil {
			t.Fatal(err)
		}
	}
	cacheOfItsOwn(t)
	t.Setenv("KUBEBUILDER_ASSETS", given)
	got, err := Assets(t.Context(), "", testLog{t})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range programs {
		switch to, err := os.Readlink(filepath.Join(got, name)); {
		case name == absent && err == nil:
			t.Errorf("%s is that of %s, which was to have none", name, to)
		case name != absent && (err != nil || to != filepath.Join(given, name)):
			t.Errorf("%s is %q (%v), want that of KUBEBUILDER_ASSETS", name, to, err)
		}
	}
	asked := []string{"--version"}
	if absent == "kubectl" {
		asked = []string{"version", "--client"}
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(got, absent), asked...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), DefaultVersion) {
		t.Errorf("%s is of another version than %s: %s (%v)", absent, DefaultVersion, out, err)
	}
	// Once.
	var log strings.Builder
	if again, err := Assets(t.Context(), "", &log); err != nil || again != got || log.Len() > 0 {
		t.Errorf("a second call gives %s, %v and says %q, want %s and nothing", again, err, log.String(), got)
	}
}

// Another version of Kubernetes than the committed module's is resolved from
// that version's own go.mod; with LONG it is built, too.
func TestAnotherVersionOfKubernetesCanBeHad(t *testing.T) {
	const version = "v1.34.1"
	dir := t.TempDir()
	if err := writeModule(t.Context(), dir, version, testLog{t}); err != nil {
		t.Fatal(err)
	}
	args := []string{"list", "-deps", "-f", "{{with .Module}}{{.Path}} {{with .Replace}}{{.Version}}{{else}}{{.Version}}{{end}}{{end}}"}
	for _, name := range programs {
		args = append(args, packages[name].path)
	}
	out, err := built.Go(t.Context(), dir, nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"k8s.io/kubernetes v1.34.1\n", "k8s.io/api v0.34.1\n", "k8s.io/apiserver v0.34.1\n", "go.etcd.io/etcd/server/v3 v3.6."} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the programs are not built from %s", want)
		}
	}
	if os.Getenv("LONG") == "" {
		t.Log("resolved, not built: LONG=1 builds it, for some minutes")
		return
	}
	cacheOfItsOwn(t)
	t.Setenv("KUBEBUILDER_ASSETS", "")
	dir, err = Assets(t.Context(), version, testLog{t})
	if err != nil {
		t.Fatal(err)
	}
	if has, err := serverVersion(t.Context(), filepath.Join(dir, "kube-apiserver")); err != nil || has != version {
		t.Errorf("kube-apiserver is %s (%v), want %s", has, err, version)
	}
}

// cacheOfItsOwn lets what is built here go nowhere else. The Go command keeps
// its own caches, or it would compile Kubernetes anew.
func cacheOfItsOwn(t *testing.T) {
	t.Helper()
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		at, err := built.Go(t.Context(), ".", nil, "env", name)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(name, strings.TrimSpace(string(at)))
	}
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
}

// testLog writes to a test's log.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
