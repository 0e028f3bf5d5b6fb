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

// recorded is what the real program said of a configuration: the values of the
// outputs, and of each instance of terraform_data its address and input.
type recorded struct {
	Version   string         `json:"version"`
	Provider  string         `json:"provider,omitempty"`
	Outputs   map[string]any `json:"outputs"`
	Instances map[string]any `json:"instances,omitempty"`
}

// spoken are the folders of testdata that are evaluated by the real program as
// well, and the provider that it needs for that.
var spoken = []struct{ name, provider string }{
	{"language", ""},
	{"outputs", ""},
	{"templates", "hashicorp/template 2.2.0"},
}

func recordedFile(name string) string { return "testdata/" + name + ".terraform.json" }

// What this package evaluates equals what Terraform said, for every function
// and every form of expression in testdata/language, for outputs of every kind,
// and for the templates of the provider template.
func TestTheLanguageIsEvaluatedAsTerraformDoes(t *testing.T) {
	for _, c := range spoken {
		t.Run(c.name, func(t *testing.T) {
			want := recorded{}
			if err := json.Unmarshal([]byte(readText(t, recordedFile(c.name))), &want); err != nil {
				t.Fatal(err)
			}
			if len(want.Outputs) < 5 {
				t.Errorf("only %d outputs are recorded", len(want.Outputs))
			}
			compareLanguage(t, c.name, want)
		})
	}
}

// The recorded answers are still those of the terraform that is installed and,
// where a provider is needed, of the one in the folder that TERRAFORM_PLUGINS
// names, which is laid out for "terraform init -plugin-dir".
func TestTheRecordedAnswersAreTerraforms(t *testing.T) {
	for _, c := range spoken {
		t.Run(c.name, func(t *testing.T) {
			program := terraformProgram(t, recordedFile(c.name), true)
			plugins := os.Getenv("TERRAFORM_PLUGINS")
			if c.provider != "" && plugins == "" {
				t.Skipf("TERRAFORM_PLUGINS names no folder with the provider %s; what it said is recorded in %s and compared by another test", c.provider, recordedFile(c.name))
			}
			askAnew(t, program, plugins, c.name, c.provider)
		})
	}
}

// askAnew applies a configuration and compares, or records, what comes of it.
func askAnew(t *testing.T, program, plugins, name, provider string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/"+name)); err != nil {
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
	init := []string{"init", "-input=false", "-no-color"}
	if provider != "" {
		init = append(init, "-plugin-dir="+plugins)
	}
	run(init...)
	run("apply", "-auto-approve", "-input=false", "-no-color")
	got := recorded{Provider: provider, Outputs: map[string]any{}, Instances: map[string]any{}}
	var outputs map[string]struct{ Value any }
	printed := run("output", "-json")
	if err := json.Unmarshal(printed, &outputs); err != nil {
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
	addresses := map[string]bool{}
	all.Values.Root.collect(got.Instances, addresses)
	state := readText(t, filepath.Join(dir, "terraform.tfstate"))
	if *update {
		data, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, recordedFile(name), string(data)+"\n")
		if name == "outputs" {
			for file, text := range map[string]string{"output.json": string(printed), "show.json": string(show), "state.json": state} {
				writeFile(t, filepath.Join(printedFolder, file), text)
			}
		}
	}
	compareLanguage(t, name, got)

	// Both ways of reading the state name the instances that it has, and the
	// outputs are the same wherever they are read.
	for form, text := range map[string]string{"show": string(show), "4": state} {
		s, err := ReadState(t.Context(), strings.NewReader(text), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if s.Version != form {
			t.Errorf("the format is %q, want %q", s.Version, form)
		}
		held := map[string]bool{}
		for _, r := range s.Resources {
			held[r.Address] = true
		}
		if d := cmp.Diff(sortedKeys(addresses), sortedKeys(held)); d != "" {
			t.Errorf("addresses in %s (-terraform +state):\n%s", form, d)
		}
	}
	for form, text := range map[string]string{"output": string(printed), "show": string(show), "4": state} {
		compareOutputs(t, form, []byte(text), got.Outputs)
	}
}

// printedFolder holds what Terraform wrote and printed of testdata/outputs.
const printedFolder = "testdata/outputs/printed"

// The outputs of a state are the same wherever they are read: in the file, in
// what "terraform show -json" prints, and in what "terraform output -json"
// does; and those that are sensitive are marked so.
func TestOutputsOfAStateAreThoseThatTerraformPrints(t *testing.T) {
	want := recorded{}
	if err := json.Unmarshal([]byte(readText(t, recordedFile("outputs"))), &want); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"output.json", "show.json", "state.json"} {
		compareOutputs(t, file, []byte(readText(t, filepath.Join(printedFolder, file))), want.Outputs)
	}
}

func compareOutputs(t *testing.T, form string, text []byte, want map[string]any) {
	t.Helper()
	v, err := stateOutputs(text, "state")
	if err != nil {
		t.Errorf("%s: %v", form, err)
		return
	}
	got := map[string]any{}
	for name, o := range v.AsValueMap() {
		if secret := name == "password" || name == "partly"; secret != isSensitive(o) {
			t.Errorf("%s: whether %s is sensitive is %v", form, name, isSensitive(o))
		}
		bare, _ := o.UnmarkDeep()
		got[name] = ValueTree(bare)
	}
	if d := cmp.Diff(generic(t, want), generic(t, got)); d != "" {
		t.Errorf("%s: other outputs (-terraform +here):\n%s", form, d)
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
		Address, Type string
		Values        struct{ Input any }
	}
	ChildModules []shownModule `json:"child_modules"`
}

func (m shownModule) collect(inputs map[string]any, addresses map[string]bool) {
	for _, r := range m.Resources {
		addresses[r.Address] = true
		if r.Type == "terraform_data" {
			inputs[r.Address] = r.Values.Input
		}
	}
	for _, c := range m.ChildModules {
		c.collect(inputs, addresses)
	}
}

func compareLanguage(t *testing.T, name string, want recorded) {
	t.Helper()
	r, err := Load(t.Context(), Options{Dir: "testdata/" + name, Workspace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range r.Diagnostics {
		t.Errorf("unexpected: %s", d)
	}
	got := recorded{Version: want.Version, Provider: want.Provider, Outputs: map[string]any{}, Instances: map[string]any{}}
	for _, o := range r.Outputs {
		switch {
		case o.Sensitive: // what it is, is not kept
			got.Outputs[o.Name] = want.Outputs[o.Name]
		case o.Value.IsKnown() && o.Value.IsNull(): // Terraform has no output then
		default:
			got.Outputs[o.Name] = ValueTree(o.Value)
		}
	}
	for _, x := range r.Instances("terraform_data") {
		got.Instances[x.Address] = ValueTree(x.Body.Attributes["input"].Value)
	}
	if want.Instances == nil {
		want.Instances = map[string]any{}
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
