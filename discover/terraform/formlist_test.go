package terraform

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Every form has a folder with what it is expected to mean, and every folder is
// of a form.
func TestEachFormHasItsCase(t *testing.T) {
	folders := map[string]bool{}
	names := map[[2]string]bool{}
	for _, f := range Forms() {
		if names[[2]string{f.Group, f.Name}] {
			t.Errorf("%s %q is listed twice", f.Group, f.Name)
		}
		names[[2]string{f.Group, f.Name}] = true
		folders[f.Folder] = true
		entries, err := os.ReadDir(filepath.FromSlash(f.Folder))
		if err != nil || len(entries) == 0 {
			t.Errorf("%s %q has no case: %v", f.Group, f.Name, err)
		}
	}
	dirs, err := filepath.Glob("testdata/forms/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !folders[filepath.ToSlash(d)] {
			t.Errorf("%s is of no form", d)
		}
	}
	groups := []string{}
	for _, f := range Forms() {
		if !slices.Contains(groups, f.Group) {
			groups = append(groups, f.Group)
		}
	}
	if len(names) < 100 || len(groups) < 9 {
		t.Errorf("only %d forms of %d groups are listed", len(names), len(groups))
	}
}
