package discover

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/discover/terraform"
)

// formOptions is options.json of a form's folder: how it is read.
type formOptions struct {
	Dir       string            `json:"dir"`
	VarFiles  []string          `json:"varFiles"`
	Vars      map[string]string `json:"vars"`
	Env       map[string]string `json:"env"`
	Workspace string            `json:"workspace"`
	State     string            `json:"state"`
	// Remote are the files of states that data sources read, by their addresses.
	Remote map[string]string `json:"remote"`
	// Shows is what a running terraform prints when it is asked for the state.
	Shows string `json:"shows"`
}

// Each form in which Terraform can be written gives the inventory that stands
// in its folder, and no secret of it.
func TestEachFormGivesTheInventoryThatIsExpected(t *testing.T) {
	seen := map[string]bool{}
	for _, form := range terraform.Forms() {
		folder := filepath.Join("terraform", filepath.FromSlash(form.Folder))
		if seen[folder] || !strings.Contains(form.Folder, "/forms/") {
			continue
		}
		seen[folder] = true
		t.Run(filepath.Base(folder), func(t *testing.T) {
			var f formOptions
			data, err := os.ReadFile(filepath.Join(folder, "options.json"))
			if err == nil {
				err = json.Unmarshal(data, &f)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			o := TerraformOptions{Dirs: []string{filepath.Join(folder, f.Dir)}, Root: folder, Env: f.Env, Workspace: f.Workspace}
			for _, file := range f.VarFiles {
				o.Arguments = append(o.Arguments, terraform.Argument{File: file})
			}
			o.Arguments = append(o.Arguments, variables(f.Vars)...)
			if f.State != "" {
				o.StateFiles = []string{filepath.Join(folder, f.State)}
			}
			for _, address := range slices.Sorted(maps.Keys(f.Remote)) {
				o.StateFiles = append(o.StateFiles, address+"="+filepath.Join(folder, f.Remote[address]))
			}
			if f.Shows != "" {
				programOnPath(t, "terraform", "[ \"$1 $2\" = \"show -json\" ] && cat "+f.Shows)
				o.Show = true
			}
			inv, err := Terraform(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(inv, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(got), "hunter2") {
				t.Error("the inventory holds a secret")
			}
			equalsGolden(t, filepath.Join(folder, "inventory.json"), string(got)+"\n")
		})
	}
	if len(seen) < 50 {
		t.Fatalf("only %d forms have a folder", len(seen))
	}
}
