package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxover/fluxover/e2e/sops"
)

// loader reads the manifests of a checkout.
type loader struct {
	// keys gives the private keys with which it decrypts files; nil makes it
	// decrypt none.
	keys func() ([]string, error)
	// generate makes it honour .flux.yaml.
	generate bool
	// generatorTimeout limits a generator that names no limit of its own.
	generatorTimeout time.Duration
	// env is the environment of generators: the daemon's own.
	env []string
	// place fills in namespaces; it is called once for all scanned files and
	// once for each generator configuration.
	place func(manifestSet) (manifestSet, error)
}

// load reads all paths below dir, the whole of it when none is given. Any error
// means that nothing of the commit may be applied (reference 2.1, 2.3).
func (l loader) load(ctx context.Context, dir string, paths []string) (manifestSet, error) {
	roots := []string{dir}
	if len(paths) > 0 {
		roots = nil
		for _, p := range paths {
			roots = append(roots, filepath.Join(dir, p))
		}
	}
	if l.generate {
		return l.loadConfigured(ctx, dir, roots)
	}
	return l.loadFiles(ctx, dir, roots)
}

// loadFiles reads the YAML files of all roots. A file below two roots defines
// its objects twice, which is an error.
func (l loader) loadFiles(ctx context.Context, dir string, roots []string) (manifestSet, error) {
	set := manifestSet{}
	charts, err := chartDirs(dir)
	if err != nil {
		return nil, err
	}
	for _, root := range roots {
		files, err := manifestFiles(dir, root, charts)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			found, err := l.loadFile(dir, file)
			if err != nil {
				return nil, err
			}
			if err := set.merge(found); err != nil {
				return nil, err
			}
		}
	}
	return l.place(set)
}

func (l loader) loadFile(dir, file string) (manifestSet, error) {
	source, err := filepath.Rel(dir, file)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("unable to read file at %q: %w", source, err)
	}
	if l.keys != nil && bytes.Contains(text, []byte("sops:")) {
		if text, err = l.decrypt(text); err != nil {
			return nil, fmt.Errorf("unable to read file at %q: failed to decrypt file: %w", source, err)
		}
	}
	return parseDocuments(text, source)
}

// manifestFiles lists the files fluxd loads below a root, which may be a file:
// *.yaml and *.yml, hidden directories included, charts left out, links to
// directories not followed (reference 2.3).
func manifestFiles(dir, root string, charts map[string]bool) ([]string, error) {
	if _, err := os.Stat(root); err != nil {
		return nil, fmt.Errorf("unable to read root path %q: %w", root, err)
	}
	if belowChart(dir, root, charts) {
		return nil, nil
	}
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if charts[path] {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(path) {
		case ".yaml", ".yml":
			files = append(files, path)
		}
		return nil
	})
	return files, err
}

// chartDirs finds the directories that hold both Chart.yaml and values.yaml;
// charts inside charts do not matter.
func chartDirs(dir string) (map[string]bool, error) {
	charts := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil
		}
		if exists(filepath.Join(path, "Chart.yaml")) && exists(filepath.Join(path, "values.yaml")) {
			charts[path] = true
			return filepath.SkipDir
		}
		return nil
	})
	return charts, err
}

// belowChart tells whether a root is a chart or lies in one.
func belowChart(dir, root string, charts map[string]bool) bool {
	for at := filepath.Clean(root); ; at = filepath.Dir(at) {
		if charts[at] {
			return true
		}
		if at == dir || at == filepath.Dir(at) {
			return false
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil || !os.IsNotExist(err)
}

// decrypt decrypts a whole file by SOPS's own library, as YAML, with the keys
// that sops finds where fluxd runs (reference 2.8). A text without its metadata is
// returned as it is.
func (l loader) decrypt(text []byte) ([]byte, error) {
	keys, err := l.keys()
	if err != nil {
		return nil, err
	}
	plain, err := sops.DecryptYAML(text, keys...)
	if errors.Is(err, sops.ErrNotEncrypted) {
		return text, nil
	}
	return plain, err
}
