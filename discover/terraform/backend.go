package terraform

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Backend is where a root module keeps its state.
type Backend struct {
	// Type is that of the backend block, "cloud", or "local" without either.
	Type string `json:"type"`
	// Place is the arguments that say which state it is, such as bucket and
	// key. Credentials are not among them, nor anything else.
	Place    map[string]string `json:"place,omitempty"`
	Position Position          `json:"position,omitzero"` // none without a block

	hidden map[string]bool // arguments that are sensitive, wherever else they may be read
	open   map[string]bool // arguments that are not known
}

// withheld reports whether an argument is set to what is not in Place.
func (b *Backend) withheld(name string) bool {
	return b.Place[name] == "" && (b.hidden[name] || b.open[name])
}

// backendPlace are the arguments that say where a state is. A URL among them
// may hold a password.
var backendPlace = []string{
	"path", "workspace_dir", "bucket", "key", "prefix", "region", "workspace_key_prefix", "container_name", "storage_account_name",
	"resource_group_name", "hostname", "organization", "address", "namespace", "secret_suffix", "schema_name",
	"workspace_name", "workspace_prefix", "workspace_project", "workspace_tags", // of a block "workspaces"
}

func (b Backend) String() string {
	var parts []string
	for _, k := range sortedKeys(b.Place) {
		parts = append(parts, k+"="+b.Place[k])
	}
	if len(parts) == 0 {
		return b.Type
	}
	return b.Type + ": " + strings.Join(parts, ", ")
}

// PlaceKnown reports whether it is known where in the folder the state lies, of
// a backend that keeps it there.
func (b Backend) PlaceKnown() bool { return !b.withheld("path") && !b.withheld("workspace_dir") }

// setPlace keeps of an argument what says where the state is.
func (b *Backend) setPlace(name string, v cty.Value) {
	bare, marks := v.Unmark()
	for _, o := range secretsOf(marks) {
		if o != "config.address" { // hidden for the password that it may hold, which goes below
			b.hide(name)
		}
	}
	if !slices.Contains(backendPlace, name) || b.hidden[name] {
		return
	}
	if !bare.IsKnown() {
		if b.open == nil {
			b.open = map[string]bool{}
		}
		b.open[name] = true
	}
	text := stringOr(bare, "")
	if name == "workspace_tags" {
		if tags, marks := bare.UnmarkDeep(); len(secretsOf(marks)) > 0 {
			b.hide(name)
			return
		} else {
			text = tagsOf(tags)
		}
	}
	if text == "" {
		return
	}
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if at := strings.LastIndex(rest, "@"); at >= 0 {
			text = scheme + "://" + rest[at+1:]
		}
		text, _, _ = strings.Cut(text, "?")
	}
	if b.Place == nil {
		b.Place = map[string]string{}
	}
	b.Place[name] = text
}

// hide leaves out an argument that is sensitive. That workspaces are chosen by
// tags is shown all the same, since it tells that there may be several.
func (b *Backend) hide(name string) {
	if b.hidden == nil {
		b.hidden = map[string]bool{}
	}
	b.hidden[name] = true
	delete(b.Place, name)
	if name == "workspace_tags" {
		if b.Place == nil {
			b.Place = map[string]string{}
		}
		b.Place[name] = "***"
	}
}

// setWorkspaces keeps what a block "workspaces", or an object or a list of one
// in its place, says of the workspaces that the backend has.
func (b *Backend) setWorkspaces(v cty.Value) {
	v, marks := v.Unmark()
	if len(secretsOf(marks)) > 0 {
		for _, name := range backendPlace {
			if strings.HasPrefix(name, "workspace_") && name != "workspace_dir" && name != "workspace_key_prefix" {
				b.hide(name)
			}
		}
		return
	}
	if !v.IsKnown() || v.IsNull() || !v.CanIterateElements() {
		return
	}
	if ty := v.Type(); !ty.IsObjectType() && !ty.IsMapType() {
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			b.setWorkspaces(e)
		}
		return
	}
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		b.setPlace("workspace_"+k.AsString(), e)
	}
}

// tagsOf writes the tags by which workspaces are chosen: a set of keys or,
// since Terraform 1.10, a map.
func tagsOf(v cty.Value) string {
	if !v.IsWhollyKnown() || v.IsNull() || !v.CanIterateElements() {
		return ""
	}
	var tags []string
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		value := stringOr(bareOf(e), "")
		if ty := v.Type(); ty.IsObjectType() || ty.IsMapType() {
			value = k.AsString() + "=" + value
		}
		tags = append(tags, value)
	}
	slices.Sort(tags)
	return strings.Join(tags, "+")
}

func bareOf(v cty.Value) cty.Value {
	v, _ = v.Unmark()
	return v
}

// backend reads where the root module keeps its state: its backend block, what
// Terragrunt says in its place or beside it, and what an earlier "terraform init" was told beside it.
func (l *loader) backend(top *scope) Backend {
	out := Backend{Type: "local"}
	if b := top.mod.backend; b != nil {
		out.Type, out.Position = b.Type, at(b.DefRange())
		if len(b.Labels) > 0 {
			out.Type = b.Labels[0]
		}
		for _, name := range sortedKeys(b.Body.Attributes) {
			v := top.eval(l.prepared(b.Body.Attributes[name]), iteration{})
			if name == "workspaces" { // of Terraform 0.11, as a list
				out.setWorkspaces(v)
				continue
			}
			out.setPlace(name, v)
		}
		for _, w := range b.Body.Blocks {
			for _, name := range sortedKeys(w.Body.Attributes) {
				if w.Type == "workspaces" {
					out.setPlace("workspace_"+name, top.eval(l.prepared(w.Body.Attributes[name]), iteration{}))
				}
			}
		}
	}
	if t := l.terragruntBackend; t != nil && (t.writes || top.mod.backend != nil && (t.Type == out.Type || t.Type == "unknown")) {
		if t.writes {
			out = Backend{Position: t.from}
		}
		out.Type = t.Type
		if v, marks := t.config.Unmark(); len(secretsOf(marks)) > 0 || !v.IsKnown() || v.IsNull() || !v.CanIterateElements() {
			out.open = map[string]bool{}
			for _, name := range backendPlace {
				out.open[name] = true
			}
		} else if ty := v.Type(); ty.IsObjectType() || ty.IsMapType() {
			for it := v.ElementIterator(); it.Next(); {
				k, e := it.Element()
				if name := k.AsString(); name == "workspaces" {
					out.setWorkspaces(e)
				} else {
					out.setPlace(name, e)
				}
			}
		}
		if out.Type == "local" && t.cached && !path.IsAbs(out.Place["path"]) { // below the copy that Terragrunt makes
			if out.open == nil {
				out.open = map[string]bool{}
			}
			out.open["path"] = true
			delete(out.Place, "path")
		}
	}
	_, data, err := l.dataFile("terraform.tfstate")
	if err != nil {
		return out
	}
	var initialized struct {
		Backend struct {
			Type   string
			Config map[string]json.RawMessage
		}
	}
	if json.Unmarshal(data, &initialized) != nil || initialized.Backend.Type != out.Type {
		return out
	}
	for k, v := range initialized.Backend.Config {
		var s string
		switch ty, err := ctyjson.ImpliedType(v); {
		case json.Unmarshal(v, &s) == nil:
			out.setPlace(k, cty.StringVal(s))
		case k == "workspaces" && err == nil:
			if w, err := ctyjson.Unmarshal(v, ty); err == nil {
				out.setWorkspaces(w)
			}
		}
	}
	return out
}

// cloudWorkspace is the one workspace that a block "cloud" names, which is the
// selected one then; "" if it names none.
func (l *loader) cloudWorkspace(m *module) string {
	if m.backend == nil || m.backend.Type != "cloud" {
		return ""
	}
	for _, w := range m.backend.Body.Blocks {
		if a := w.Body.Attributes["name"]; w.Type == "workspaces" && a != nil {
			return stringOr(l.constant(l.prepared(a)), "")
		}
	}
	return ""
}

// RemoteName is what HCP Terraform calls the workspace that terraform on one's
// own machine calls by a shorter name: with the prefix of a backend "remote" or,
// where that names one workspace, by its name instead of "default". It is also
// what terraform.workspace stands for where HCP Terraform runs it, since
// Terraform 1.1. It is "" for every other backend.
func (b Backend) RemoteName(workspace string) string {
	switch prefix := b.Place["workspace_prefix"]; {
	case b.Type != "remote":
		return ""
	case b.Place["workspace_name"] != "":
		return b.Place["workspace_name"]
	case prefix == "" || workspace == "" || strings.HasPrefix(workspace, prefix):
		return ""
	default:
		return prefix + workspace
	}
}

// CLIName is what terraform on one's own machine calls a workspace that may be
// named as HCP Terraform does.
func (b Backend) CLIName(workspace string) string {
	switch short, ok := strings.CutPrefix(workspace, b.Place["workspace_prefix"]); {
	case b.Type != "remote":
		return workspace
	case b.Place["workspace_name"] != "" && workspace == b.Place["workspace_name"]:
		return "default"
	case ok && short != "":
		return short
	}
	return workspace
}

// localState is the path in the tree of the state that a local backend keeps
// for a workspace, relative to the folder dir.
func (l *loader) localState(dir string, place map[string]string, workspace string) (string, error) {
	name := cmp.Or(place["path"], "terraform.tfstate")
	if workspace != "" && workspace != "default" {
		if strings.ContainsAny(workspace, `/\`) || workspace == ".." {
			return "", fmt.Errorf("workspace %q is no name", workspace)
		}
		name = path.Join(cmp.Or(place["workspace_dir"], "terraform.tfstate.d"), workspace, "terraform.tfstate")
	}
	return l.tree.locate(dir, name)
}

// LocalState opens the state that the configuration's own local backend keeps
// in the tree for the selected workspace, which is the default one where none
// is known to be selected. It returns nil, and no error, where the backend is
// another or there is no such file.
func (r *Result) LocalState() (*os.File, string, error) {
	l := r.loader
	if r.Backend.Type != "local" || !r.Backend.PlaceKnown() {
		return nil, "", nil
	}
	name, err := l.localState(l.dir, r.Backend.Place, l.workspace)
	if errors.Is(err, errOutside) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("find the state: %w", err)
	}
	root, err := l.tree.open()
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Stat(filepath.FromSlash(name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("look for the state: %w", err)
	}
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, "", fmt.Errorf("open the state: %w", err)
	}
	return f, name, nil
}

// maxWorkspaces bounds how many workspaces of one folder are looked at.
const maxWorkspaces = 100

// Workspaces returns the names of the workspaces that have left a local state
// in the folder, sorted.
func (r *Result) Workspaces() []string {
	l := r.loader
	if r.Backend.Type != "local" || r.Backend.withheld("workspace_dir") {
		return nil
	}
	dir, err := l.tree.locate(l.dir, cmp.Or(r.Backend.Place["workspace_dir"], "terraform.tfstate.d"))
	if err != nil {
		return nil
	}
	root, err := l.tree.open()
	if err != nil {
		return nil
	}
	defer func() { _ = root.Close() }()
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && len(out) < maxWorkspaces {
			out = append(out, e.Name())
		}
	}
	if name, err := l.localState(l.dir, r.Backend.Place, ""); err == nil && len(out) > 0 {
		if ok, err := l.exists(name, false); err == nil && ok {
			out = append(out, "default")
		}
	}
	slices.Sort(out)
	return out
}

// OneWorkspace reports whether the backend keeps one workspace alone, or all
// that it keeps can be seen in the folder.
func (b Backend) OneWorkspace() bool {
	return b.Type == "local" || b.Place["workspace_name"] != ""
}

// Workspace is the selected workspace, "" where that is not known.
func (r *Result) Workspace() string { return r.loader.workspace }

// UsesWorkspace reports whether the configuration asks for the name of the
// workspace.
func (r *Result) UsesWorkspace() bool { return r.loader.workspaceUsed }

// RemoteState is a terraform_remote_state data source.
type RemoteState struct {
	Address  string
	Backend  Backend // which state it reads
	Read     bool    // its outputs are known
	Position Position
}

// RemoteStates returns the data sources that read other states, by address.
func (r *Result) RemoteStates() []RemoteState {
	var out []RemoteState
	for _, x := range r.Instances("data.terraform_remote_state") {
		backend, outputs := x.remoteState()
		out = append(out, RemoteState{Address: x.Address, Backend: backend, Read: bareOf(outputs).IsKnown(), Position: x.Position})
	}
	return out
}

// remoteState is the outputs that a terraform_remote_state data source reads:
// from the file that the caller names for it, or from the state of a local
// backend in the tree. The outputs of any other are unknown.
func (r *Resource) remoteState() (backend Backend, outputs cty.Value) {
	l := r.scope.l
	backend = Backend{Type: "unknown"}
	if a := r.Body.Attributes["backend"]; a != nil {
		if v, marks := a.raw.Unmark(); len(secretsOf(marks)) == 0 {
			backend.Type = stringOr(v, backend.Type)
		}
	}
	workspace, workspaceKnown := "", true
	for _, n := range []string{"workspace", "environment"} {
		if a := r.Body.Attributes[n]; a != nil {
			v, marks := a.raw.Unmark()
			workspaceKnown = v.IsKnown() && len(secretsOf(marks)) == 0
			workspace = stringOr(v, "")
		}
	}
	placeKnown := true
	set := func(name string, v cty.Value) {
		if name == "workspaces" {
			backend.setWorkspaces(v)
			return
		}
		backend.setPlace(name, v)
		placeKnown = placeKnown && !backend.withheld(name)
	}
	if a := r.Body.Attributes["config"]; a != nil {
		if v, marks := a.raw.Unmark(); v.IsKnown() && !v.IsNull() && v.CanIterateElements() && (v.Type().IsObjectType() || v.Type().IsMapType()) {
			for it := v.ElementIterator(); it.Next(); {
				k, x := it.Element()
				set(k.AsString(), x.WithMarks(marks))
			}
		} else {
			placeKnown = placeKnown && v.IsKnown()
		}
	}
	for _, b := range r.Body.All("config") {
		for n, a := range b.Body.Attributes {
			set(n, *a.raw)
		}
	}
	open := unknown(cty.DynamicPseudoType, Cause{Kind: CauseOutput, Name: r.Address + ".outputs", Position: r.Position})
	var data []byte
	from := l.remoteStates[r.Address]
	if from == "" {
		from = l.remoteStates[r.blockName()]
	}
	switch {
	case from != "":
		content, err := readAtMost(from, l.limits.FileBytes*32)
		if err != nil {
			l.diags.error(Position{File: from}, "the state is not read", err.Error())
			return backend, open
		}
		data = content
	case backend.Type == "local" && placeKnown && workspaceKnown:
		name, err := l.localState(l.dir, backend.Place, workspace)
		if err != nil {
			return backend, unknown(cty.DynamicPseudoType, Cause{CauseFile, cmp.Or(backend.Place["path"], "terraform.tfstate"), r.Position})
		}
		content, err := l.tree.readUpTo(name, l.limits.FileBytes*32)
		if err != nil {
			return backend, unknown(cty.DynamicPseudoType, Cause{CauseFile, name, r.Position})
		}
		data, from = content, name
	default:
		return backend, open
	}
	outputs, err := stateOutputs(data, r.Address)
	if err == nil {
		err = l.budget.chargeValue(outputs)
	}
	if err != nil {
		l.diags.error(Position{File: from}, "the outputs of the state are not read", err.Error())
		return backend, open
	}
	if a := r.Body.Attributes["defaults"]; a != nil {
		outputs = withDefaults(outputs, *a.raw)
	}
	return backend, outputs
}

// withDefaults adds the attributes of defaults that outputs does not have.
func withDefaults(outputs, defaults cty.Value) cty.Value {
	d, marks := defaults.Unmark()
	if !d.IsKnown() || d.IsNull() || !d.Type().IsObjectType() && !d.Type().IsMapType() {
		return outputs
	}
	all := map[string]cty.Value{}
	for it := d.ElementIterator(); it.Next(); {
		k, v := it.Element()
		all[k.AsString()] = v.WithMarks(marks)
	}
	for it := outputs.ElementIterator(); it.Next(); {
		k, v := it.Element()
		all[k.AsString()] = v
	}
	return cty.ObjectVal(all)
}

// readAtMost reads a file that the caller named.
func readAtMost(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read file: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("read %s: not a regular file", name)
	case info.Size() > limit:
		return nil, fmt.Errorf("read %s: larger than %d bytes", name, limit)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	return data, nil
}

// stateOutput is an output as states of every version write it.
type stateOutput struct {
	Sensitive bool
	Type      json.RawMessage
	Value     json.RawMessage
}

// stateOutputs reads the outputs of the root module from a state of version 3
// or 4, or from what "terraform show -json" or "terraform output -json" prints
// of one. Errors quote nothing of it.
func stateOutputs(data []byte, of string) (cty.Value, error) {
	var s struct {
		Version       json.RawMessage
		FormatVersion json.RawMessage `json:"format_version"`

		Outputs map[string]stateOutput
		Modules []struct {
			Path    []string
			Outputs map[string]stateOutput
		}
		Values struct{ Outputs map[string]stateOutput }
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return cty.NilVal, fmt.Errorf("it is not a state%s", where(err))
	}
	all := s.Outputs
	if all == nil {
		all = s.Values.Outputs
	}
	for _, m := range s.Modules {
		if len(m.Path) == 1 {
			all = m.Outputs
		}
	}
	if s.Version == nil && s.FormatVersion == nil { // outputs alone
		if err := json.Unmarshal(data, &all); err != nil {
			return cty.NilVal, fmt.Errorf("it is neither a state nor outputs%s", where(err))
		}
	}
	out := map[string]cty.Value{}
	for _, name := range sortedKeys(all) {
		o := all[name]
		v, err := outputValue(o)
		if err != nil {
			return cty.NilVal, fmt.Errorf("output %q: %w", clip(name), err)
		}
		if o.Sensitive {
			v = v.Mark(secret{of + ".outputs." + name})
		}
		out[name] = v
	}
	return cty.ObjectVal(out), nil
}

func outputValue(o stateOutput) (cty.Value, error) {
	ty := cty.DynamicPseudoType
	if t, err := ctyjson.UnmarshalType(o.Type); err == nil {
		ty = t
	} else if t, err := ctyjson.ImpliedType(o.Value); err == nil { // of version 3, whose types are words, or without one
		ty = t
	}
	v, err := ctyjson.Unmarshal(o.Value, ty)
	if err != nil {
		return cty.NilVal, errors.New("its value is not of its type")
	}
	return v, nil
}
