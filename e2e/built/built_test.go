package built

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var programs = []string{"one", "other"}

// fakePrograms writes executables that do nothing.
func fakePrograms(t *testing.T, dir string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestABrokenBuildIsNeverTakenForAGoodOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v1.2.3")
	broken := errors.New("no space left")
	err := Ensure(t.Context(), dir, programs, "it", os.Stderr, func(part string) error {
		fakePrograms(t, part, programs...)
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("broken build: %v", err)
	}
	if absent := Missing(dir, programs...); len(absent) != len(programs) {
		t.Errorf("a broken build left programs in place, only %v are missing", absent)
	}
	if err := Ensure(t.Context(), dir, programs, "it", os.Stderr, func(part string) error {
		fakePrograms(t, part, "one")
		return nil
	}); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("a build without one of them: %v", err)
	}
	if err := Ensure(t.Context(), dir, programs, "it", os.Stderr, func(part string) error {
		fakePrograms(t, part, programs...)
		return nil
	}); err != nil || len(Missing(dir, programs...)) != 0 {
		t.Errorf("a good build after broken ones: %v, missing %v", err, Missing(dir, programs...))
	}
}

func TestTwoProcessesDoNotBuildAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "v1.2.3")
	building, second := make(chan struct{}), make(chan error, 1)
	err := Ensure(t.Context(), dir, programs, "it", os.Stderr, func(part string) error {
		go func() {
			close(building)
			second <- Ensure(context.WithoutCancel(t.Context()), dir, programs, "it", os.Stderr, func(string) error {
				return errors.New("built a second time")
			})
		}()
		<-building
		fakePrograms(t, part, programs...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
}
