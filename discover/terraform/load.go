package terraform

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// Options say what to read and with which inputs.
type Options struct {
	// Dir is the root module: where one would run terraform.
	Dir string
	// Root bounds what may be read; default Dir. Modules and files above Dir
	// are found only if Root holds them.
	Root string
	// Arguments are -var and -var-file in the order of the command line, of which
	// the last one counts.
	Arguments []Argument
	// Env holds environment variables; those count that [Environment] names.
	Env map[string]string
	// Workspace is the selected workspace. Without it TF_WORKSPACE counts, then
	// what "terraform workspace select" left in the folder, then the one that a
	// block "cloud" names; else it is unknown.
	Workspace string
	// RemoteStates names for terraform_remote_state data sources, by their
	// address, a file that holds the state which they read.
	RemoteStates map[string]string
	Limits       Limits
}

// Argument is a -var, or a -var-file if File is set.
type Argument struct {
	File        string // absolute, or relative to Dir; it may lie outside of Root
	Name, Value string
}

// Result is what a configuration declares.
type Result struct {
	Dir         string // the root module, relative to Root
	Resources   []*Resource
	Blocks      []ResourceBlock
	Modules     []ModuleCall
	Providers   []ProviderConfig
	Variables   []Input
	Outputs     []Output
	Moves       []Move
	Backend     Backend
	Diagnostics []Diagnostic
	// Broken are the lines of configuration files from which on they were not
	// understood, so that what they declare there is not known; without a line, of
	// files that were not read at all.
	Broken []Position

	about  map[aboutMove]int // of Moves
	loader *loader
}

// ResourceBlock is one resource or data block in one module instance, with the
// number of its instances: none is a fact worth knowing.
type ResourceBlock struct {
	Address  string
	Mode     string
	Type     string
	Count    int // instances; 0 also when unknown
	Unknown  []Cause
	Position Position
}

// Input is a variable of the root module and where its value comes from.
type Input struct {
	Name      string
	From      Position // where it is set; a File without a line is -var or an environment variable
	Set       bool     // false when the default counts, or nothing is known
	Value     cty.Value
	Sensitive bool
	Position  Position
}

// Output is an output of the root module.
type Output struct {
	Name      string
	Value     cty.Value
	Sensitive bool
	Position  Position
}

// Move is a moved, removed or import block of some module, as written.
type Move struct {
	Type     string   `json:"type"` // moved, removed or import
	Module   string   `json:"module,omitempty"`
	From     string   `json:"from,omitempty"` // of an import, the id
	To       string   `json:"to,omitempty"`
	Destroy  bool     `json:"destroy,omitempty"` // of a removed block; true unless it says otherwise
	Position Position `json:"position"`
}

// loader holds what one Load needs. It is not safe for concurrent use.
type loader struct {
	tree       *tree
	limits     Limits
	diags      *diagnostics
	budget     *budget
	syntax     *syntax
	dir        string
	dataDir    string // as TF_DATA_DIR has it
	workspace  string
	functions  map[string]function.Function
	modules    map[string]*module
	newer      map[string]bool            // folders that are written for Terraform since 0.12, of those that were asked for
	installed  map[string]installedModule // by module key, from "terraform init"
	inputs     map[string]given
	openInputs []Cause // why there may be inputs that are not known
	// terragruntDir is the folder of Terragrunt's file, "" without one;
	// terragruntArgs what it gives to terraform beside the inputs; terragruntRead
	// the files that others of its files have read, by name.
	terragruntDir string
	// terragruntBackend is where Terragrunt keeps the state; nil if it does not say.
	terragruntBackend *terragruntBackend
	terragruntArgs    []extraArguments
	terragruntRead    map[string]cty.Value
	// generated are the files that Terragrunt writes into the folder generatedIn, by name.
	generated   map[string]generatedFile
	generatedIn string
	// terragruntFiles counts how often one was read.
	terragruntFiles int
	remote          *Cause // a root module that is not in the tree, of Terragrunt
	resources       map[string][]*Resource
	templates       map[string]*expression
	moduleFiles     int
	broken          []Position
	// inError are the blocks that a file's error leaves uncertain.
	inError map[*hclsyntax.Body]Cause

	chain, instances, moduleInstances int
	rendering                         bool // a template is being rendered
	workspaceUsed                     bool // terraform.workspace is asked for
	tries                             int  // how many of "try" and "can" are being evaluated
	remoteStates                      map[string]string
}

type given struct {
	value cty.Value
	text  *string // of -var and TF_VAR_, whose meaning depends on the type
	from  Position
	// environment is true of a value that Terragrunt writes into TF_VAR_.
	environment bool
}

// Load reads and evaluates the configuration in opts.Dir. Problems in the
// files are Diagnostics of the result; the error is for what makes reading
// impossible: a folder that is not there or holds no configuration, or ctx.
func Load(ctx context.Context, opts Options) (*Result, error) {
	if opts.Dir == "" {
		return nil, errors.New("read configuration: no folder is named")
	}
	limits := opts.Limits.withDefaults()
	root := cmp.Or(opts.Root, opts.Dir)
	t, err := openTree(ctx, root, limits)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	abs, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	dir, err := t.locate(".", abs)
	if err != nil {
		return nil, fmt.Errorf("read configuration in %s: %w", opts.Dir, err)
	}
	l := &loader{
		tree: t, limits: limits, diags: &diagnostics{}, budget: &budget{ctx: ctx, left: limits.Work}, dir: dir,
		modules: map[string]*module{}, installed: map[string]installedModule{}, inputs: map[string]given{}, resources: map[string][]*Resource{}, templates: map[string]*expression{},
		remoteStates: opts.RemoteStates,
	}
	l.dataDir = cmp.Or(opts.Env["TF_DATA_DIR"], ".terraform")
	l.syntax = newSyntax(l.budget, limits, l.diags)
	l.syntax.newer = l.writtenForHCL2
	l.newer = map[string]bool{}
	l.functions = l.functionTable()
	l.syntax.functions = l.functions
	l.workspace = l.selectedWorkspace(opts)
	l.readInstalled()

	start := dir
	terragrunt, err := l.terragrunt()
	if err != nil {
		return nil, fmt.Errorf("read configuration in %s: %w", opts.Dir, err)
	}
	if terragrunt != "" {
		start, l.dir = terragrunt, terragrunt
	}
	mod, err := l.module(start)
	if err != nil {
		return nil, fmt.Errorf("read configuration in %s: %w", opts.Dir, err)
	}
	if l.moduleFiles == 0 && l.remote == nil && len(l.inputs) == 0 {
		return nil, fmt.Errorf("read configuration in %s: it holds no .tf, .tf.json or .tofu file, so nothing is read%s%s", opts.Dir, l.terragruntElse(), l.modulesBelow(start))
	}
	if l.workspace == "" {
		l.workspace = l.cloudWorkspace(mod)
	}
	l.readInputs(opts, mod)

	top := l.newScope(mod)
	l.preload(mod, map[string]bool{})
	r := &Result{Dir: dir, loader: l}
	if l.remote != nil {
		r.Modules = append(r.Modules, ModuleCall{Source: l.remote.Name, Position: l.remote.Position, Missing: l.remote})
	}
	r.add(top)
	r.about = moveIndex(r.Moves)
	r.describe(top)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read configuration in %s: %w", opts.Dir, err)
	}
	r.Diagnostics, r.Broken = l.diags.sorted(), l.broken
	return r, nil
}

// modulesBelow names the folders below one in which Terraform or Terragrunt can be run, for
// who named the one above them. Those that Terragrunt made of a stack are among them.
func (l *loader) modulesBelow(dir string) string {
	names, err := l.tree.walk(dir)
	if err != nil {
		return ""
	}
	var below []string
	for _, name := range names {
		at := path.Dir(name)
		file := path.Base(name)
		files, overrides, _ := configFiles([]string{file})
		if (len(files)+len(overrides) > 0 || file == terragruntFile) && !slices.Contains(below, at) && !strings.Contains(strings.ReplaceAll("/"+at+"/", "/"+terragruntStackDir+"/", "/"), "/.") {
			below = append(below, at)
		}
	}
	const most = 5
	switch n := len(below); {
	case n == 0:
		return ""
	case n > most:
		return fmt.Sprintf("; folders below it do, each to be named by itself: %s and %d more", strings.Join(below[:most], ", "), n-most)
	}
	return "; folders below it do, each to be named by itself: " + strings.Join(below, ", ")
}

func newSyntax(b *budget, limits Limits, d *diagnostics) *syntax {
	return &syntax{budget: b, limits: limits, diags: d, prepare: map[hclsyntax.Expression]*expression{}, names: map[string]bool{}, templates: map[[2]string]*expression{}}
}

func (l *loader) newScope(m *module) *scope {
	return &scope{l: l, mod: m, memo: map[string]cty.Value{}, busy: map[string]bool{}, calls: map[string]*callExpansion{}, expands: map[string]*expansion{}}
}

// limit is the cause of what is unknown since a limit was reached, which is
// also a diagnostic.
func (l *loader) limit(why string, pos Position) Cause {
	l.diags.error(pos, limitReached, why)
	return Cause{CauseLimit, why, Position{}}
}

func (l *loader) absolute(dir string) string {
	return filepath.ToSlash(filepath.Join(l.tree.abs, filepath.FromSlash(dir)))
}

// preload reads the local modules that a module calls, so that every name
// mentioned in any of them is known before values are computed.
func (l *loader) preload(m *module, seen map[string]bool) {
	if seen[m.dir] || len(seen) > l.limits.Modules {
		return
	}
	seen[m.dir] = true
	for _, name := range sortedKeys(m.calls) {
		a, ok := m.calls[name].Body.Attributes["source"]
		if !ok {
			continue
		}
		v := l.constant(l.prepared(a))
		if v.Type() != cty.String || !strings.HasPrefix(v.AsString(), ".") {
			continue
		}
		dir, err := l.tree.locate(m.dir, v.AsString())
		if err != nil {
			continue
		}
		if child, err := l.module(dir); err == nil {
			l.preload(child, seen)
		}
	}
}

// add puts what one module instance declares into the result, and then what
// its modules do.
func (r *Result) add(s *scope) {
	for _, name := range sortedKeys(s.mod.resources) {
		b := s.mod.resources[name]
		list := s.instances(name)
		r.Resources = append(r.Resources, list...)
		x := s.expands[name]
		block := ResourceBlock{Address: s.address(name), Mode: modeOf(b), Type: b.Labels[0], Count: len(list), Position: at(b.DefRange())}
		if block.Unknown = sortCauses(append(slices.Clone(x.unknown), s.uncertain()...)); block.Unknown != nil {
			block.Count = 0
		}
		r.Blocks = append(r.Blocks, block)
	}
	for _, p := range s.mod.providers {
		r.Providers = append(r.Providers, s.providerConfigs(p.Labels[0], p)...)
	}
	for _, b := range s.mod.others {
		m := Move{Type: b.Type, Module: s.path, Position: at(b.DefRange()), Destroy: b.Type == "removed"}
		m.From = strings.Join(traversals(b.Body.Attributes["from"]), "")
		m.To = strings.Join(traversals(b.Body.Attributes["to"]), "")
		if b.Type == "import" {
			m.From = s.text(b.Body, "id")
		}
		for _, n := range b.Body.Blocks {
			if a, ok := n.Body.Attributes["destroy"]; ok && n.Type == "lifecycle" {
				v := s.l.constant(s.l.prepared(a))
				m.Destroy = !(v.Type() == cty.Bool && v.False())
			}
		}
		r.Moves = append(r.Moves, m)
	}
	for _, name := range sortedKeys(s.mod.calls) {
		b := s.mod.calls[name]
		c := s.call1(name, b)
		for i := range c.expansion.keys {
			m := ModuleCall{
				Address: s.address("module."+name) + c.expansion.suffix(i), Source: migrate.DisplayURL(c.source), Version: c.version, Dir: c.dir, Position: at(b.DefRange()),
				Missing: c.missing, Unknown: sortCauses(append(slices.Clone(c.expansion.unknown), s.uncertain()...)),
			}
			if c.missing != nil {
				m.takesAccounts(s, b, c.expansion.in[i])
			}
			r.Modules = append(r.Modules, m)
		}
		for _, child := range c.scopes {
			r.add(child)
		}
	}
}

func (s *scope) providerConfigs(name string, p *hclsyntax.Block) []ProviderConfig {
	ref := ProviderRef{Name: name, Alias: s.text(p.Body, "alias"), Module: s.path}
	x := &expansion{kind: single, keys: []cty.Value{cty.NilVal}, in: []iteration{{}}}
	if a, ok := p.Body.Attributes["for_each"]; ok {
		x = s.expandEach(s.l.prepared(a))
	}
	var out []ProviderConfig
	for i := range x.keys {
		ref.Key, ref.Unknown = x.suffix(i), sortCauses(slices.Clone(x.unknown))
		body := s.body(p.Body, x.in[i], true)
		body.hideCredentials()
		out = append(out, ProviderConfig{Ref: ref, Body: body, Position: at(p.DefRange())})
	}
	return out
}

// describe adds the inputs and outputs of the root module.
func (r *Result) describe(top *scope) {
	l := r.loader
	r.Backend = l.backend(top)
	for _, name := range sortedKeys(top.mod.variables) {
		v := top.mod.variables[name]
		in := Input{Name: name, Sensitive: v.sensitive, Position: v.pos, Value: redact(top.variable(name, v.pos))}
		if g, ok := l.inputs[name]; ok {
			in.Set, in.From = true, g.from
		}
		r.Variables = append(r.Variables, in)
	}
	for _, name := range sortedKeys(top.mod.outputs) {
		o := top.mod.outputs[name]
		v := top.output(o)
		r.Outputs = append(r.Outputs, Output{Name: name, Value: redact(v), Sensitive: o.sensitive || isSensitive(v), Position: o.pos})
	}
	slices.SortStableFunc(r.Resources, func(a, b *Resource) int { return cmp.Compare(a.Address, b.Address) })
}

// Instances returns the instances of one type of managed resource or, with the
// prefix "data.", of data source.
func (r *Result) Instances(typ string) []*Resource {
	var out []*Resource
	for _, x := range r.Resources {
		if x.blockType() == typ {
			out = append(out, x)
		}
	}
	return out
}

func (l *loader) selectedWorkspace(opts Options) string {
	if w := cmp.Or(opts.Workspace, opts.Env["TF_WORKSPACE"]); w != "" {
		return w
	}
	_, data, err := l.dataFile("environment")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// readInstalled reads where "terraform init" put the modules that are not
// local. Without it they are unknown.
func (l *loader) readInstalled() {
	name, data, err := l.dataFile("modules", "modules.json")
	if err != nil {
		return
	}
	var manifest struct {
		Modules []installedModule
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		l.diags.error(Position{File: name}, "the list of installed modules is not read", err.Error())
		return
	}
	for _, m := range manifest.Modules {
		if m.Key == "" || m.Dir == "" {
			continue
		}
		dir, err := l.tree.locate(l.dir, m.Dir)
		if err != nil {
			m.outside = fmt.Sprintf("it is installed in %s, and %s; a wider --terraform-root takes it in", m.Dir, err)
		}
		m.Dir = dir
		l.installed[m.Key] = m
	}
}

// installedModule is what "terraform init" noted of a module: what it was asked for
// then, and where it put it.
type installedModule struct {
	Key, Source, Version, Dir string
	outside                   string // why it cannot be read where it is
}

// stale says why the module is not the one that a call asks for by now, as Terraform
// finds, and then refuses to go on; empty if nothing shows that.
func (m installedModule) stale(source, wanted string) string {
	was, is := moduleSource(m.Source), moduleSource(source)
	if strings.HasPrefix(m.Source, "s3::") { // the bucket may stand before or behind the host
		file := func(source string) string {
			repository, rest, _ := strings.Cut(source, "//")
			return path.Base(repository) + "//" + rest
		}
		was, is = file(was), file(is)
	}
	if was != is {
		return fmt.Sprintf("it was installed from %s, and the call says %s", migrate.DisplayURL(m.Source), migrate.DisplayURL(source))
	}
	constraint, err := version.NewConstraint(wanted)
	if err != nil || m.Version == "" {
		return ""
	}
	if has, err := version.NewVersion(m.Version); err == nil && !constraint.Check(has) {
		return fmt.Sprintf("version %s is installed, and the call wants %s", m.Version, wanted)
	}
	return ""
}

// moduleSource is a source without what "terraform init" may write in another way than
// a call: how it is fetched, by whom, and the registry that is meant where none is named.
func moduleSource(source string) string {
	at, query, _ := strings.Cut(source, "?")
	if _, after, ok := strings.Cut(at, "::"); ok {
		at = after
	}
	scheme, after, ok := strings.Cut(at, "://")
	if ok {
		at = after
	}
	if _, after, ok := strings.Cut(at, "@"); ok {
		at = after
	}
	if !ok || scheme == "" {
		at = strings.Replace(at, ":", "/", 1) // git@host:path
	}
	for _, registry := range []string{"registry.terraform.io/", "registry.opentofu.org/"} {
		at = strings.TrimPrefix(at, registry)
	}
	repository, folder, _ := strings.Cut(at, "//")
	if parsed, err := url.ParseQuery(query); err == nil {
		query = parsed.Encode()
	}
	return strings.TrimSuffix(repository, ".git") + "//" + folder + "?" + query
}

// readInputs collects the values of the root module's variables, the weakest
// source first: the environment, terraform.tfvars, *.auto.tfvars, files and
// arguments of the command line. Terragrunt's inputs count as environment, weaker
// than what is set there by anyone else.
func (l *loader) readInputs(opts Options, mod *module) {
	for _, k := range sortedKeys(opts.Env) {
		if name, ok := strings.CutPrefix(k, "TF_VAR_"); ok {
			v := opts.Env[k]
			l.inputs[name] = given{text: &v, from: Position{File: k}}
		}
	}
	for _, x := range l.terragruntArgs {
		x.give(l.inputs, x.env)
	}
	// Terragrunt puts the files of its folder beside those of the module.
	files := map[string]string{}
	for _, dir := range []string{mod.dir, l.terragruntDir} {
		if dir == "" {
			continue
		}
		if names, err := l.tree.list(dir); err == nil {
			for _, n := range names {
				files[n] = path.Join(dir, n)
			}
		}
	}
	for _, n := range []string{"terraform.tfvars", "terraform.tfvars.json"} {
		if file, ok := files[n]; ok {
			l.readInputFile(file, mod)
		}
	}
	for _, n := range sortedKeys(files) {
		if strings.HasSuffix(n, ".auto.tfvars") || strings.HasSuffix(n, ".auto.tfvars.json") {
			l.readInputFile(files[n], mod)
		}
	}
	fromEnv, err := environmentArguments(opts.Env)
	if err != nil {
		l.diags.error(Position{File: "TF_CLI_ARGS"}, "the variables of the environment's arguments are not read", err.Error())
		l.mayBeGiven(Cause{CauseError, "TF_CLI_ARGS", Position{File: "TF_CLI_ARGS"}})
	}
	l.readArguments(fromEnv, mod)
	l.readExtraArguments(mod)
	l.readArguments(opts.Arguments, mod)
}

// readArguments reads arguments of the command line.
func (l *loader) readArguments(arguments []Argument, mod *module) {
	for _, a := range arguments {
		if a.File != "" {
			l.readInputFile(l.argumentFile(a.File), mod)
			continue
		}
		l.inputs[a.Name] = given{text: &a.Value, from: Position{File: "-var " + a.Name}}
		if mod.variables[a.Name] == nil {
			l.diags.warn(Position{File: "-var " + a.Name}, "no such variable", a.Name)
		}
	}
}

// readInputFile reads a variables file. One that is not read may set any variable: of
// those that were given before it, and of defaults, none is known to count then.
func (l *loader) readInputFile(name string, mod *module) {
	if !l.readVarFile(name, mod) {
		l.mayBeGiven(Cause{CauseFile, name, Position{File: name}})
	}
}

// mayBeGiven notes that there may be inputs which are not known, and why.
func (l *loader) mayBeGiven(causes ...Cause) {
	l.inputs = map[string]given{}
	l.openInputs = sortCauses(append(l.openInputs, causes...))
}

// readVarFile takes over what a variables file of the tree sets, or one by its
// absolute path, which somebody named on the command line and which may lie
// anywhere. It reports whether it could be read as a whole.
func (l *loader) readVarFile(name string, mod *module) bool {
	src, err := l.readAnywhere(name)
	if err != nil {
		l.diags.error(Position{File: name}, "the variables file is not read", err.Error())
		return false
	}
	ctx := &hcl.EvalContext{}
	set := func(k string, e *expression) {
		if mod.variables[k] == nil {
			return // Terraform ignores it, with a warning
		}
		l.inputs[k] = given{value: l.value(e, ctx), from: at(e.Range())}
	}
	if strings.HasSuffix(name, ".json") {
		root, err := decodeJSON(src, l.limits.Nesting) // as large as one file at most
		if err == nil && root.kind != '{' {
			err = errors.New("it holds no object")
		}
		if err != nil {
			l.diags.error(Position{File: name}, "the variables file is not read", err.Error())
			return false
		}
		for _, m := range root.object {
			set(m.key, l.syntax.expr(l.syntax.jsonExpr(m.value, name, false)))
		}
		return true
	}
	body, wrong := l.syntax.parseWhole(src, name)
	if body == nil || wrong > 0 {
		return false
	}
	for _, k := range sortedKeys(body.Attributes) {
		set(k, l.syntax.expr(body.Attributes[k].Expr))
	}
	return true
}

// readAnywhere reads a file of the tree, or one by its absolute path.
func (l *loader) readAnywhere(name string) ([]byte, error) {
	if !filepath.IsAbs(name) {
		return l.tree.read(name)
	}
	t, err := openTree(l.tree.ctx, filepath.Dir(name), l.limits)
	if err != nil {
		return nil, err
	}
	return t.read(filepath.Base(name))
}

// argumentFile is a file of the command line: in the tree, or by its absolute path.
func (l *loader) argumentFile(file string) string {
	if name, err := l.tree.locate(l.dir, file); err == nil {
		return name
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(l.tree.abs, filepath.FromSlash(l.dir), file)
	}
	return file
}

// input returns the value given for a variable of the root module, or NilVal.
func (l *loader) input(v *variable) (cty.Value, Position) {
	g, ok := l.inputs[v.name]
	if !ok {
		return cty.NilVal, Position{}
	}
	if g.text == nil && g.environment && !v.typed {
		return environmentText(g.value), g.from
	}
	if g.text == nil {
		return g.value, g.from
	}
	if !v.typed || v.ty.IsPrimitiveType() {
		if v.value != nil && !v.typed {
			switch bare(v.value).(type) {
			case *hclsyntax.ObjectConsExpr, *hclsyntax.TupleConsExpr:
				l.diags.warn(g.from, "the value is a text", fmt.Sprintf("var.%s has no type, so what stands on the command line or in the environment is a text, as for Terraform, and its default is none; a file gives it another value (-var-file)", v.name))
			}
		}
		return cty.StringVal(*g.text), g.from
	}
	e, err := l.syntax.literal(*g.text, g.from.File)
	if err != nil {
		l.diags.error(g.from, "the value is not an expression", err.Error())
		return unknown(v.ty, Cause{CauseError, "var." + v.name, g.from}), g.from
	}
	return l.value(e, &hcl.EvalContext{}), g.from
}

// environmentText is a value as Terragrunt writes it into the environment, which a
// variable without a type takes as it is: a text, and JSON of what is more than one.
func environmentText(v cty.Value) cty.Value {
	bare, marks := v.UnmarkDeep()
	if text, err := convert.Convert(bare, cty.String); err == nil && bare.IsKnown() && !bare.IsNull() {
		return text.WithMarks(marks)
	}
	if bare.IsNull() || !bare.IsWhollyKnown() {
		return v // what Terragrunt makes of it is not known
	}
	text, err := stdlib.JSONEncode(bare)
	if err != nil {
		return v
	}
	return text.WithMarks(marks)
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
