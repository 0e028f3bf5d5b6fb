package terraform

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The configurations found in public are those of discover's own tests; REAL
// names another folder of such. Every folder of theirs that holds configuration
// loads, and says why each value that it does not know is not known.
func TestConfigurationsFoundInPublicLoad(t *testing.T) {
	root := os.Getenv("REAL")
	if root == "" {
		root = filepath.Join("..", "testdata", "real")
	}
	var dirs []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if name := d.Name(); strings.HasSuffix(name, ".tf") || strings.HasSuffix(name, ".tf.json") {
			if dir := filepath.Dir(p); !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) == 0 {
		t.Fatalf("%s holds no configuration", root)
	}
	for _, dir := range dirs {
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(rel, func(t *testing.T) {
			tree := filepath.Join(root, strings.Split(filepath.ToSlash(rel), "/")[0])
			r, err := Load(t.Context(), Options{Dir: dir, Root: tree})
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range r.Resources {
				for n, a := range x.Body.Attributes {
					if !a.Value.IsWhollyKnown() && len(Causes(a.Value)) == 0 {
						t.Errorf("%s: %s.%s is unknown without a cause", a.Position, x.Address, n)
					}
				}
			}
			for _, h := range HelmReleases(t.Context(), r) {
				t.Logf("%s: %s %s %s", h.Address, h.Name, h.Chart, h.Values)
				for _, l := range h.Values.Leaves() {
					if l.Node.Kind == Unknown && len(l.Node.Causes) == 0 {
						t.Errorf("%s: %v is unknown without a cause", h.Address, l.Path)
					}
				}
			}
			for _, w := range Workloads(t.Context(), r) {
				for _, c := range w.Containers {
					t.Logf("%s: %s %s", w.Address, c.Image, c.Args)
				}
			}
			for _, s := range Scripts(t.Context(), r) {
				t.Logf("%s: %v flux=%v", s.Address, s.Tools, s.Flux)
			}
			for _, d := range r.Diagnostics {
				t.Log(d)
			}
		})
	}
}
