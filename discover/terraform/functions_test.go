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

// functionsFile is the recording of the functions that a program has.
func functionsFile(program string) string { return "testdata/functions." + program + ".json" }

// recordedFunctions are those of the programs, sorted.
func recordedFunctions(t *testing.T, programs ...string) []string {
	t.Helper()
	out := map[string]bool{}
	for _, program := range programs {
		var recorded struct{ Functions []string }
		readRecording(t, functionsFile(program), &recorded)
		for _, name := range recorded.Functions {
			out[name] = true
		}
	}
	return sortedKeys(out)
}

// gone are the functions of Terraform up to 0.11 that no later program has.
var gone = []string{"list", "map"}

// Every function of Terraform and of OpenTofu is evaluated, or there is a reason
// why not.
func TestEveryFunctionIsEvaluatedOrSaysWhyNot(t *testing.T) {
	have := []string{}
	for _, f := range Forms() {
		if f.Group == "functions" && !slices.Contains(gone, f.Name) {
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
	if d := cmp.Diff(recordedFunctions(t, "terraform", "tofu"), have); d != "" {
		t.Errorf("functions (-terraform and tofu +here):\n%s", d)
	}
}

// Each function is called in the case of the language, or in the one that it names, and
// so compared with what Terraform answered.
func TestEveryFunctionIsCalledInItsCase(t *testing.T) {
	ofTerraform, language := append(recordedFunctions(t, "terraform"), gone...), readText(t, "testdata/language/main.tf")
	for _, f := range Forms() {
		if f.Group != "functions" {
			continue
		}
		file := "main.tf"
		if !slices.Contains(ofTerraform, f.Name) {
			file = "main.tofu"
		}
		if !strings.Contains(language, f.Name+"(") && !strings.Contains(readText(t, f.Folder+"/"+file), f.Name+"(") {
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

// The recorded list is still that of the terraform, or tofu, that is installed.
func TestTheRecordedFunctionsAreThoseOfTheProgram(t *testing.T) {
	program := terraformProgram(t, functionsFile("*"), true)
	name := filepath.Base(program)
	ask := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE="+os.DevNull)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v", program, args, err)
		}
		return string(out)
	}
	var printed struct {
		Functions map[string]any `json:"function_signatures"`
	}
	if err := json.Unmarshal([]byte(ask("metadata", "functions", "-json")), &printed); err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(sortedKeys(printed.Functions), func(n string) bool { return strings.HasPrefix(n, "core::") })
	if *update {
		version, _, _ := strings.Cut(ask("version"), "\n")
		data, err := json.MarshalIndent(map[string]any{"origin": name + " metadata functions -json, " + version, "functions": got}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, functionsFile(name), string(data)+"\n")
	}
	recorded := recordedFunctions(t, name)
	for _, n := range got {
		if !slices.Contains(recorded, n) {
			t.Errorf("this %s has the function %s, which is not recorded: evaluate it, or say in notEvaluated why not", name, n)
		}
	}
}
