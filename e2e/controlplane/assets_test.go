package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
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

func TestABrokenBuildIsNeverTakenForAGoodOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v1.2.3")
	broken := errors.New("no space left")
	err := ensure(t.Context(), dir, "v1.2.3", os.Stderr, func(part string) error {
		fakePrograms(t, part, "v1.2.3", programs...)
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("broken build: %v", err)
	}
	if absent := missing(dir, programs...); len(absent) != len(programs) {
		t.Errorf("a broken build left programs in place, only %v are missing", absent)
	}
	if err := ensure(t.Context(), dir, "v1.2.3", os.Stderr, func(part string) error {
		fakePrograms(t, part, "v1.2.3", "etcd")
		return nil
	}); err == nil || !strings.Contains(err.Error(), "kube-apiserver") {
		t.Errorf("a build without kube-apiserver: %v", err)
	}
	if err := ensure(t.Context(), dir, "v1.2.3", os.Stderr, func(part string) error {
		fakePrograms(t, part, "v1.2.3", programs...)
		return nil
	}); err != nil || len(missing(dir, programs...)) != 0 {
		t.Errorf("a good build after broken ones: %v, missing %v", err, missing(dir, programs...))
	}
}

func TestTwoProcessesDoNotBuildAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v1.2.3")
	building, second := make(chan struct{}), make(chan error, 1)
	err := ensure(t.Context(), dir, "v1.2.3", os.Stderr, func(part string) error {
		go func() {
			close(building)
			second <- ensure(context.WithoutCancel(t.Context()), dir, "v1.2.3", os.Stderr, func(string) error {
				return errors.New("built a second time")
			})
		}()
		<-building
		fakePrograms(t, part, "v1.2.3", programs...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
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
	dir, err := nestedModule(t.Context())
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
