package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestAnImageHoldsTheProgramAloneAndIsTheSameEachTime(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	var archives [][]byte
	for _, out := range []string{filepath.Join(dir, "a.tar"), filepath.Join(dir, "b.tar")} {
		if err := pack(program, "arm64", "registry.example.com/fluxover:v1", out); err != nil {
			t.Fatal(err)
		}
		archive, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, archive)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of one program differ")
	}
	image, err := tarball.ImageFromPath(filepath.Join(dir, "a.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != "arm64" || config.OS != "linux" || config.Config.User != user || len(config.RootFS.DiffIDs) != 1 ||
		len(config.Config.Entrypoint) != 1 || config.Config.Entrypoint[0] != "/fluxover" {
		t.Errorf("the image is %+v", config)
	}
	files := mutate.Extract(image)
	defer files.Close()
	content, err := io.ReadAll(files)
	if err != nil || !bytes.Contains(content, []byte("a program")) || !bytes.Contains(content, []byte("fluxover")) {
		t.Errorf("the program is not in it: %v", err)
	}
}

func TestWhatCannotBePackedIsSaid(t *testing.T) {
	dir := t.TempDir()
	if err := pack(filepath.Join(dir, "none"), "amd64", "fluxover:v1", filepath.Join(dir, "x.tar")); err == nil {
		t.Error("a program that is not there was packed")
	}
	if err := pack(os.Args[0], "amd64", "Not A Name", filepath.Join(dir, "x.tar")); err == nil {
		t.Error("an image without a proper name was packed")
	}
}
