package discover

import (
	"path/filepath"
	"slices"
	"testing"
)

// What is expected of a folder stands for a form, so that the list of them says
// what there is. cmd/fluxover demands that each form is shown by what it names.
func TestEachFolderStandsForAForm(t *testing.T) {
	forms := slices.Concat(ClusterForms, GitForms)
	for _, pattern := range []string{inCluster + "*", inCheckout + "*.json", asLoaded + "*"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatal("no cases ", pattern, err)
		}
		for _, name := range found {
			if !slices.ContainsFunc(forms, func(f Form) bool {
				return f.Golden == name || filepath.Dir(f.Golden) == name
			}) {
				t.Errorf("%s stands for no form: list one in forms.go", name)
			}
		}
	}
}
