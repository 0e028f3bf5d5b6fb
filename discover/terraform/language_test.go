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

// recorded is what the real program said of testdata/language: the values of
// the outputs, and of each instance its address and input.
type recorded struct {
	Version   string         `json:"version"`
	Outputs   map[string]any `json:"outputs"`
	Instances map[string]any `json:"instances"`
}

const recordedFile = "testdata/language.terraform.json"

// What this package evaluates equals what Terraform said, for every function
// and every form of expression in testdata/language.
func TestTheLanguageIsEvaluatedAsTerraformDoes(t *testing.T) {
	want := recorded{}
	data, err := os.ReadFile(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	compareLanguage(t, want)
}

// The recorded answers are still those of the terraform that is installed.
func TestTheRecordedAnswersAreTerraforms(t *testing.T) {
	program := terraformProgram(t, recordedFile, true)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/language")); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) []byte {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = dir
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "TF_") }), "CHECKPOINT_DISABLE=1")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", program, args, err, stderr.String())
		}
		return out
	}
	run("init", "-input=false", "-no-color")
	run("apply", "-auto-approve", "-input=false", "-no-color")
	got := recorded{Outputs: map[string]any{}, Instances: map[string]any{}}
	var outputs map[string]struct{ Value any }
	if err := json.Unmarshal(run("output", "-json"), &outputs); err != nil {
		t.Fatal(err)
	}
	for k, o := range outputs {
		got.Outputs[k] = o.Value
	}
	show := run("show", "-json")
	var version struct {
		Version string `json:"terraform_version"`
	}
	if err := json.Unmarshal(run("version", "-json"), &version); err != nil {
		t.Fatal(err)
	}
	got.Version = filepath.Base(program) + " " + version.Version
	var all struct {
		Values struct {
			Root shownModule `json:"root_module"`
		}
	}
	if err := json.Unmarshal(show, &all); err != nil {
		t.Fatal(err)
	}
	all.Values.Root.collect(got.Instances)
	if *update {
		data, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(recordedFile, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	compareLanguage(t, got)

	// Both ways of reading the state name the instances that it has.
	for name, text := range map[string]string{"show": string(show), "4": readText(t, filepath.Join(dir, "terraform.tfstate"))} {
		s, err := ReadState(t.Context(), strings.NewReader(text), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if s.Version != name {
			t.Errorf("the format is %q, want %q", s.Version, name)
		}
		addresses := map[string]bool{}
		for _, r := range s.Resources {
			addresses[r.Address] = true
		}
		if d := cmp.Diff(sortedKeys(got.Instances), sortedKeys(addresses)); d != "" {
			t.Errorf("addresses in %s (-terraform +state):\n%s", name, d)
		}
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

type shownModule struct {
	Resources []struct {
		Address string
		Values  struct{ Input any }
	}
	ChildModules []shownModule `json:"child_modules"`
}

func (m shownModule) collect(into map[string]any) {
	for _, r := range m.Resources {
		into[r.Address] = r.Values.Input
	}
	for _, c := range m.ChildModules {
		c.collect(into)
	}
}

func compareLanguage(t *testing.T, want recorded) {
	t.Helper()
	r, err := Load(t.Context(), Options{Dir: "testdata/language", Workspace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range r.Diagnostics {
		t.Errorf("unexpected: %s", d)
	}
	got := recorded{Version: want.Version, Outputs: map[string]any{}, Instances: map[string]any{}}
	for _, o := range r.Outputs {
		got.Outputs[o.Name] = ValueTree(o.Value)
	}
	for _, x := range r.Resources {
		got.Instances[x.Address] = ValueTree(x.Body.Attributes["input"].Value)
	}
	if d := cmp.Diff(generic(t, want), generic(t, got)); d != "" {
		t.Errorf("evaluated differently (-terraform +here):\n%s", d)
	}
}

// generic brings numbers to one form.
func generic(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
