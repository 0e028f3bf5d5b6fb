package terraform

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const functionsFile = "testdata/functions.terraform.json"

// notTerraforms are the functions that Terraform does not have: those of 0.11
// and of OpenTofu.
var notTerraforms = []string{"list", "map", "cidrcontains", "urldecode", "base64gunzip"}

// Every function of the language is evaluated, or there is a reason why not.
func TestEveryFunctionOfTerraformIsEvaluatedOrSaysWhyNot(t *testing.T) {
	var recorded struct{ Functions []string }
	data, err := os.ReadFile(functionsFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	have := []string{}
	for _, f := range Forms() {
		if f.Group == "functions" && !slices.Contains(notTerraforms, f.Name) {
			have = append(have, f.Name)
		}
	}
	for name, why := range notEvaluated {
		if why == "" {
			t.Errorf("%s has no reason", name)
		}
		have = append(have, name)
	}
	slices.Sort(have)
	if d := cmp.Diff(recorded.Functions, have); d != "" {
		t.Errorf("functions (-terraform +here):\n%s", d)
	}
}

// Each function is called in the case that it names, and so compared with what
// Terraform answered.
func TestEveryFunctionIsCalledInItsCase(t *testing.T) {
	for _, f := range Forms() {
		if f.Group != "functions" || slices.Contains([]string{"cidrcontains", "urldecode", "base64gunzip"}, f.Name) {
			continue // of OpenTofu; tested beside
		}
		if !strings.Contains(readText(t, f.Folder+"/main.tf"), f.Name+"(") {
			t.Errorf("%s is not called in %s", f.Name, f.Folder)
		}
	}
}

func TestFunctionsOfOpenTofuAreEvaluated(t *testing.T) {
	dir := writeTree(t, map[string]string{"main.tofu": `output "all" {
  value = [cidrcontains("10.0.0.0/8", "10.1.2.3"), cidrcontains("10.0.0.0/8", "10.1.0.0/16"), cidrcontains("10.0.0.0/8", "11.0.0.0/16"), urldecode("a+b%26"), base64gunzip(base64gzip("hello"))]
}`})
	r, err := Load(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(generic(t, []any{true, true, false, "a b&", "hello"}), generic(t, ValueTree(r.Outputs[0].Value))); d != "" {
		t.Error(d)
	}
}

// The recorded list is still that of the terraform that is installed.
func TestTheRecordedFunctionsAreTerraforms(t *testing.T) {
	program := terraformProgram(t, functionsFile, true)
	if filepath.Base(program) != "terraform" {
		t.Skip("OpenTofu has other functions than Terraform, whose list is recorded and compared by another test")
	}
	cmd := exec.CommandContext(t.Context(), program, "metadata", "functions", "-json")
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "CHECKPOINT_DISABLE=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var printed struct {
		Functions map[string]any `json:"function_signatures"`
	}
	if err := json.Unmarshal(out, &printed); err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(sortedKeys(printed.Functions), func(n string) bool { return strings.HasPrefix(n, "core::") })
	if *update {
		data, err := json.MarshalIndent(map[string]any{"origin": "terraform metadata functions -json, Terraform 1.11.4", "functions": got}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(functionsFile, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var recorded struct{ Functions []string }
	if err := json.Unmarshal([]byte(readText(t, functionsFile)), &recorded); err != nil {
		t.Fatal(err)
	}
	for _, n := range got {
		if !slices.Contains(recorded.Functions, n) {
			t.Errorf("this terraform has the function %s, which is not recorded: evaluate it, or say in notEvaluated why not", n)
		}
	}
}
