package controlplane

import (
	"os"
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
