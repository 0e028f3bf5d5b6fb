package terraform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fuzzLimits keep one input short.
var fuzzLimits = Limits{Work: 100_000, Instances: 200, Modules: 20, ModuleDepth: 4, FileBytes: 1 << 16, TotalBytes: 1 << 20}

// maxFuzzed bounds an input: what is larger has tests of its own, and few of it
// would be tried.
const maxFuzzed = 16 << 10

// seeds are files that stand below testdata as people write them, and not what
// a test expects of them.
func seeds(f *testing.F, patterns ...string) map[string]string {
	f.Helper()
	out := map[string]string{}
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			switch base := filepath.Base(name); {
			case strings.HasSuffix(base, "expected.json"), base == "inventory.json", base == "options.json":
				continue
			}
			if data, err := os.ReadFile(name); err == nil && len(data) <= maxFuzzed {
				out[name] = string(data)
			}
		}
	}
	if len(out) == 0 {
		f.Fatalf("no seeds in %v", patterns)
	}
	return out
}

// No configuration makes reading panic, and whatever is unknown has a cause.
func FuzzConfiguration(f *testing.F) {
	files := seeds(f, "testdata/forms/*/*", "testdata/language/*")
	for _, name := range sortedKeys(files) {
		f.Add(files[name], strings.HasSuffix(name, ".json"))
	}
	f.Fuzz(func(t *testing.T, text string, asJSON bool) {
		if len(text) > maxFuzzed {
			t.Skip("larger configurations have tests of their own")
		}
		name := "main.tf"
		if asJSON {
			name = "main.tf.json"
		}
		dir := t.TempDir()
		for n, s := range map[string]string{name: text, "flux.yaml": text, "sub/main.tf": text} {
			p := filepath.Join(dir, n)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, []byte(s), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Load(t.Context(), Options{Dir: dir, Limits: fuzzLimits})
		if err != nil {
			return
		}
		for _, h := range HelmReleases(t.Context(), r) {
			if _, err := h.MarshalJSON(); err != nil {
				t.Error(err)
			}
			for _, l := range h.Values.Leaves() {
				if l.Node.Kind == Unknown && len(l.Node.Causes) == 0 {
					t.Errorf("%s: %v is unknown without a cause", h.Address, l.Path)
				}
			}
		}
		Workloads(t.Context(), r)
		Scripts(t.Context(), r)
		r.SpokenWorkspaces()
		for _, o := range r.Outputs {
			if !o.Value.IsWhollyKnown() && len(Causes(o.Value)) == 0 {
				t.Errorf("output %s is unknown without a cause", o.Name)
			}
		}
	})
}

// No state makes reading panic.
func FuzzState(f *testing.F) {
	files := seeds(f, "testdata/forms/*/*.json", "testdata/states/*")
	for _, name := range sortedKeys(files) {
		f.Add(files[name])
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadState(t.Context(), strings.NewReader(text), fuzzLimits)
		if err != nil {
			return
		}
		for _, r := range s.Resources {
			if r.Release != nil {
				r.Release.Values.Leaves()
			}
		}
		for _, h := range s.HelmReleases("state") {
			for _, n := range []*Node{h.Name, h.Namespace, h.Chart, h.Version, h.Values} {
				if n == nil {
					t.Errorf("%s: something is neither known nor unknown", h.Address)
				}
			}
		}
		for _, w := range s.Workloads("state") {
			w.Tree()
		}
	})
}

// No files of Terragrunt make reading panic.
func FuzzTerragrunt(f *testing.F) {
	files, err := filepath.Glob("testdata/forms/terragrunt*/*.hcl")
	if err != nil {
		f.Fatal(err)
	}
	for _, pattern := range []string{"*", "*/*", "*/*/*", "*/*/*/*"} {
		more, err := filepath.Glob("testdata/forms/terragrunt-hierarchy/" + pattern + ".hcl")
		if err != nil {
			f.Fatal(err)
		}
		files = append(files, more...)
	}
	for _, a := range files {
		for _, b := range files {
			child, err := os.ReadFile(a)
			if err != nil {
				f.Fatal(err)
			}
			root, err := os.ReadFile(b)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(child), string(root))
		}
	}
	f.Fuzz(func(t *testing.T, child, root string) {
		dir := writeTree(t, map[string]string{
			"app/terragrunt.hcl": strings.TrimPrefix(child, "-> "), "root.hcl": strings.TrimPrefix(root, "-> "), "account.hcl": strings.TrimPrefix(root, "-> "),
			"modules/flux/main.tf": "variable \"a\" {}\nvariable \"b\" { default = 1 }\n",
		})
		r, err := Load(t.Context(), Options{Dir: filepath.Join(dir, "app"), Root: dir, Limits: fuzzLimits})
		if err != nil {
			return
		}
		for _, v := range r.Variables {
			if !v.Value.IsWhollyKnown() && len(Causes(v.Value)) == 0 {
				t.Errorf("variable %s is unknown without a cause", v.Name)
			}
		}
	})
}
