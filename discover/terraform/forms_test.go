package terraform

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write expected.json anew")

// form is options.json of a folder below testdata: how it is read.
type form struct {
	Dir       string            `json:"dir"` // the root module, below the folder
	VarFiles  []string          `json:"varFiles"`
	Vars      map[string]string `json:"vars"`
	Env       map[string]string `json:"env"`
	Workspace string            `json:"workspace"`
	State     string            `json:"state"`
	// Remote are the files of states that data sources read, by their addresses.
	Remote map[string]string `json:"remote"`

	// RunVars and RunWorkspace are those with which the real program is run, in
	// place of Vars and Workspace; NotRun says why it is not. Planned is true if
	// it only plans: what it would make of workloads, scripts and bindings is
	// compared, not what Helm gets. Runs are of what it is run with, each with the blocks of the root
	// module that it is not given then, and why: "" is what is built from
	// modules, and the others name what TERRAFORM_PLUGINS gives in its place, as
	// in "terraform 0.11.15, hashicorp/template 2.2.0". Without any it is run
	// with what is built, whole. Plans are runs that plan a form which others apply. Open are the values, each after the address of
	// its release, that are not known here, and by a run.
	RunVars      map[string]string            `json:"runVars"`
	RunWorkspace string                       `json:"runWorkspace"`
	NotRun       string                       `json:"notRun"`
	Planned      bool                         `json:"planned"`
	OpenTofu     bool                         `json:"openTofu"`
	Runs         map[string]map[string]string `json:"runs"`
	Plans        map[string]map[string]string `json:"plans"`
	Open         []string                     `json:"open"`
}

// view is what expected.json holds of a configuration.
type view struct {
	Blocks       map[string]any `json:"blocks,omitempty"`
	Modules      []ModuleCall   `json:"modules,omitempty"`
	Releases     []*HelmRelease `json:"releases,omitempty"`
	Repositories []any          `json:"repositories,omitempty"`
	Workloads    []any          `json:"workloads,omitempty"`
	Scripts      []any          `json:"scripts,omitempty"`
	Providers    []any          `json:"providers,omitempty"`
	Variables    map[string]any `json:"variables,omitempty"`
	Outputs      map[string]any `json:"outputs,omitempty"`
	Moves        []Move         `json:"moves,omitempty"`
	Matches      []any          `json:"matches,omitempty"`
	Origins      map[string]any `json:"origins,omitempty"`
	Diagnostics  []string       `json:"diagnostics,omitempty"`
}

func viewOf(t *testing.T, r *Result, s *State) view {
	t.Helper()
	v := view{Blocks: map[string]any{}, Modules: r.Modules, Variables: map[string]any{}, Outputs: map[string]any{}, Moves: r.Moves, Origins: map[string]any{}}
	v.Releases = HelmReleases(t.Context(), r)
	for _, b := range r.Blocks {
		v.Blocks[b.Address] = b.Count
		if b.Unknown != nil {
			v.Blocks[b.Address] = causeTexts(b.Unknown)
		}
	}
	for _, h := range v.Releases {
		leaves := map[string]string{}
		for _, l := range h.Values.Leaves() {
			path, err := json.Marshal(l.Path)
			if err != nil {
				t.Fatal(err)
			}
			leaves[string(path)] = l.Node.Origin.String()
		}
		v.Origins[h.Address] = leaves
	}
	for _, h := range HelmRepositories(t.Context(), r) {
		v.Repositories = append(v.Repositories, map[string]any{"address": h.Address, "name": h.Name, "url": h.URL})
	}
	for _, w := range Workloads(t.Context(), r) {
		x := map[string]any{"address": w.Address, "kind": w.Kind, "name": w.Name, "namespace": w.Namespace, "unknown": causeTexts(w.Unknown)}
		for _, c := range w.Containers {
			env := []any{}
			for _, e := range c.Env {
				env = append(env, map[string]any{"name": e.Name, "value": e.Value, "from": e.From})
			}
			x["container "+c.Name.String()] = map[string]any{"image": c.Image, "args": c.Args, "command": c.Command, "env": env}
		}
		v.Workloads = append(v.Workloads, x)
	}
	for _, s := range Scripts(t.Context(), r) {
		x := map[string]any{"address": s.Address, "tools": s.Tools, "flux": s.Flux, "destroy": s.Destroy, "command": s.Command}
		if len(s.In) > 0 {
			x["in"] = s.In
		}
		if len(s.Unread) > 0 {
			x["unread"] = s.Unread
		}
		if s.UnreadMore {
			x["unreadMore"] = true
		}
		if s.Open {
			x["open"] = true
		}
		v.Scripts = append(v.Scripts, x)
	}
	for _, p := range r.Providers {
		v.Providers = append(v.Providers, map[string]any{"ref": p.Ref, "body": p.Body})
	}
	for _, in := range r.Variables {
		v.Variables[in.Name] = map[string]any{"value": ValueTree(in.Value), "from": in.From.String(), "set": in.Set}
	}
	for _, o := range r.Outputs {
		v.Outputs[o.Name] = ValueTree(o.Value)
	}
	if s != nil {
		for _, m := range MatchState(r, s, "helm_release") {
			x := map[string]any{"address": m.Address, "config": m.Config != nil}
			if m.State != nil {
				x["state"] = m.State.Release
			}
			v.Matches = append(v.Matches, x)
		}
	}
	for _, d := range r.Diagnostics {
		v.Diagnostics = append(v.Diagnostics, d.String())
	}
	return v
}

func readForm(t *testing.T, dir string) (form, Options) {
	t.Helper()
	f := form{}
	data, err := os.ReadFile(filepath.Join(dir, "options.json"))
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	remote := map[string]string{}
	for address, file := range f.Remote {
		remote[address] = filepath.Join(dir, file)
	}
	return f, Options{Dir: filepath.Join(dir, f.Dir), Root: dir, Arguments: f.arguments(f.Vars), Env: f.Env, Workspace: f.Workspace, RemoteStates: remote}
}

// arguments are the form's files of variables and then these variables, as they stand
// on a command line.
func (f form) arguments(vars map[string]string) []Argument {
	var out []Argument
	for _, file := range f.VarFiles {
		out = append(out, Argument{File: file})
	}
	for _, name := range sortedKeys(vars) {
		out = append(out, Argument{Name: name, Value: vars[name]})
	}
	return out
}

func readStateFile(t *testing.T, name string) *State {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	s, err := ReadState(t.Context(), file, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// golden compares got with a file, or writes it with -update.
func golden(t *testing.T, file string, got any) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(got); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run with -update and look at what it writes", err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("%s differs (-expected +got):\n%s", file, d)
	}
}

// Each folder below testdata/forms holds one way to write a configuration, and
// what it means.
func TestEachFormMeansWhatIsExpected(t *testing.T) {
	dirs, err := filepath.Glob("testdata/forms/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) < 30 {
		t.Fatalf("testdata/forms has only %d folders", len(dirs))
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			f, opts := readForm(t, dir)
			r, err := Load(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			var s *State
			if f.State != "" {
				s = readStateFile(t, filepath.Join(dir, f.State))
			}
			golden(t, filepath.Join(dir, "expected.json"), viewOf(t, r, s))
		})
	}
}
