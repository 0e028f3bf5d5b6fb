package terraform

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/e2e/tfprovider"
)

// run is one of the real program on a folder.
type run struct {
	form
	Name    string // in what is recorded: the folder's and, of what is given, with what
	Folder  string
	Given   []string // of TERRAFORM_PLUGINS, in place of what is built and of TERRAFORM
	LeftOut map[string]string
}

// runs are those on a folder that is read so.
func (f form) runs(folder string) []run { return f.runsWith(folder, f.Runs) }

func (f form) runsWith(folder string, with map[string]map[string]string) []run {
	if with == nil {
		with = map[string]map[string]string{"": nil}
	}
	var out []run
	for _, given := range sortedKeys(with) {
		r := run{form: f, Folder: folder, Name: filepath.Base(folder), LeftOut: with[given]}
		if given != "" {
			r.Name += " with " + given
			r.Given = strings.Split(given, ", ")
		}
		out = append(out, r)
	}
	return out
}

// formRuns are the runs that apply a form and those that only plan one, and of
// the forms without any why that is.
func formRuns(t *testing.T) (applied, planned []run, reasons map[string]string) {
	t.Helper()
	dirs, err := filepath.Glob("testdata/forms/*")
	if err != nil {
		t.Fatal(err)
	}
	reasons = map[string]string{}
	for _, dir := range dirs {
		switch f, _ := readForm(t, dir); {
		case f.NotRun != "":
			reasons[filepath.Base(dir)] = f.NotRun
		case f.Planned:
			planned = append(planned, f.runs(dir)...)
		default:
			applied = append(applied, f.runs(dir)...)
			if f.Plans != nil {
				planned = append(planned, f.runsWith(dir, f.Plans)...)
			}
		}
	}
	return applied, planned, reasons
}

// options are those with which the folder is evaluated: the variables of the
// run and, where it has no workspace of its own, the one that is selected.
func (r run) options(t *testing.T) Options {
	t.Helper()
	_, opts := readForm(t, r.Folder)
	if r.RunVars != nil {
		opts.Arguments = r.arguments(r.RunVars)
	}
	opts.Workspace = cmp.Or(r.RunWorkspace, opts.Workspace)
	if opts.Workspace == "" {
		found, err := Load(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		opts.Workspace = cmp.Or(found.Workspace(), "default")
	}
	return opts
}

// copy copies the folder without what is left out of it, and with what lies in
// testdata/overlays for it: what stands there for a backend or a cluster that
// cannot be had. It returns the copy, and the root module in it.
func (r run) copy(t *testing.T) (tree, dir string) {
	t.Helper()
	tree = t.TempDir()
	if err := os.CopyFS(tree, os.DirFS(r.Folder)); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(tree, r.Dir)
	leaveOut(t, dir, r.LeftOut)
	overlay := filepath.Join("testdata/overlays", filepath.Base(r.Folder))
	if _, err := os.Stat(overlay); err == nil {
		if err := os.CopyFS(tree, os.DirFS(overlay)); err != nil {
			t.Fatal(err)
		}
	}
	return tree, dir
}

// with is the laboratory in which what a run is given takes its place; without
// it, the run is skipped.
func (l *terraformLab) with(t *testing.T, r run, recording string) *terraformLab {
	t.Helper()
	out := *l
	out.versions = map[string]string{}
	for source, version := range l.versions {
		out.versions[source] = version
	}
	for _, given := range r.Given {
		name, version, _ := strings.Cut(given, " ")
		place := filepath.Join(l.given, name+"-"+version)
		if strings.Contains(name, "/") {
			place = filepath.Join(l.given, "registry.terraform.io", filepath.FromSlash(name), version)
		}
		if _, err := os.Stat(place); l.given == "" || err != nil {
			t.Skipf("TERRAFORM_PLUGINS names no folder with %s; what it made is recorded in %s and compared by another test", given, recording)
		}
		if strings.Contains(name, "/") {
			out.versions[name] = version
			continue
		}
		if name == "terragrunt" {
			// It runs init by itself too, also for what is depended on.
			out.env = []string{"TERRAGRUNT_TFPATH=" + l.program, "TERRAGRUNT_NON_INTERACTIVE=true", "TF_CLI_ARGS_init=-plugin-dir=" + strings.Join(l.plugins, " -plugin-dir=")}
		}
		out.program = place
		if said := out.run(t, l.home, nil, "--version"); !bytes.Contains(said, []byte(version)) {
			t.Fatalf("%s says that it is %s", place, said)
		}
		out.flat = strings.HasPrefix(version, "0.11.")
	}
	return &out
}

// init installs the providers of the laboratory in their versions, and no other,
// for a root module that is run in dir.
func (l *terraformLab) init(t *testing.T, dir, module string) {
	t.Helper()
	args := []string{"init", "-input=false", "-no-color"}
	if l.flat {
		args = append(args, "-plugin-dir="+l.flatPlugins(t))
	} else {
		text := "terraform {\n  required_providers {\n"
		for _, source := range sortedKeys(l.versions) {
			text += "    " + filepath.Base(source) + " = {\n      source  = \"" + source + "\"\n      version = \"" + l.versions[source] + "\"\n    }\n"
		}
		writeFile(t, filepath.Join(module, "zz_versions_override.tf"), text+"  }\n}\n")
		for _, p := range l.plugins {
			args = append(args, "-plugin-dir="+p)
		}
	}
	l.run(t, dir, nil, args...)
}

// flatPlugins lays the providers out as Terraform 0.11 looks for them.
func (l *terraformLab) flatPlugins(t *testing.T) string {
	t.Helper()
	flat := t.TempDir()
	for source, version := range l.versions {
		for _, p := range l.plugins {
			programs, err := filepath.Glob(filepath.Join(p, "registry.terraform.io", filepath.FromSlash(source), version, "*", "terraform-provider-*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, program := range programs {
				if err := os.Symlink(program, filepath.Join(flat, "terraform-provider-"+filepath.Base(source)+"_v"+version+"_x4")); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return flat
}

// leaves reports whether a resource is of a block that is left out.
func (r run) leaves(address string) bool {
	for block := range r.LeftOut {
		if rest, ok := strings.CutPrefix(address, block); ok && (rest == "" || strings.ContainsRune(".[", rune(rest[0]))) {
			return true
		}
	}
	return false
}

// open are the paths in a release to what is not known here, and by the run.
func (r run) open(address string) (paths [][]string) {
	for _, o := range r.Open {
		if of, path, _ := strings.Cut(o, " "); of == address {
			paths = append(paths, strings.Split(path, "."))
		}
	}
	return paths
}

// comparable is a release without what is open, and with what is hidden here
// hidden.
func (r run) comparable(address string, x, here appliedRelease) appliedRelease {
	for _, path := range r.open(address) {
		if path[0] == "namespace" {
			x.Namespace = ""
			continue
		}
		last := len(path) - 1
		if in, ok := inside(x.Values, toAny(path[1:last])...).(map[string]any); ok {
			delete(in, path[last])
		}
	}
	x.Values, _ = hiddenAs(x.Values, here.Values).(map[string]any)
	return x
}

func toAny(texts []string) (out []any) {
	for _, x := range texts {
		out = append(out, x)
	}
	return out
}

// hiddenAs hides what is hidden here: what a provider does not take for
// sensitive may be for Terraform.
func hiddenAs(v, here any) any {
	switch v := v.(type) {
	case map[string]any:
		h, _ := here.(map[string]any)
		for k := range v {
			v[k] = hiddenAs(v[k], h[k])
		}
	case []any:
		h, _ := here.([]any)
		for i := range min(len(v), len(h)) {
			v[i] = hiddenAs(v[i], h[i])
		}
	default:
		if here == hiddenValue && v != nil {
			return hiddenValue
		}
	}
	return v
}

// versionsOf are the versions of providers, by their sources.
func versionsOf(providers []tfprovider.Provider) map[string]string {
	out := map[string]string{}
	for _, p := range providers {
		out[p.Source] = p.Version
	}
	return out
}
