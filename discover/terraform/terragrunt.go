package terraform

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// terragruntFile is the name of Terragrunt's configuration of a folder.
const terragruntFile = "terragrunt.hcl"

// terragruntStackFile is the name of a file of which Terragrunt makes folders, each with
// such a configuration, in a folder beside it.
const (
	terragruntStackFile = "terragrunt.stack.hcl"
	terragruntStackDir  = ".terragrunt-stack"
)

// oldTerragrunt is how Terragrunt before 0.19 is configured in terraform.tfvars, and
// oldSource the module that it names there.
var (
	oldTerragrunt = regexp.MustCompile(`(?m)^[ \t]*terragrunt\s*=?\s*\{`)
	oldSource     = regexp.MustCompile(`\bsource\s*=\s*"([^"\n]+)"`)
)

// terragruntElse says of a folder without configuration what Terragrunt has there instead
// that is not read, and what to give in its place.
func (l *loader) terragruntElse() string {
	if ok, err := l.exists(path.Join(l.dir, terragruntStackFile), false); err == nil && ok {
		return fmt.Sprintf(`; it is a stack of Terragrunt, which makes a folder of each unit that %s names: run "terragrunt stack generate" and name each of these by itself (they are in %s), or give the states of the units (--terraform-state)`, terragruntStackFile, terragruntStackDir)
	}
	src, err := l.tree.read(path.Join(l.dir, "terraform.tfvars"))
	if err != nil {
		return ""
	}
	at := oldTerragrunt.FindIndex(src)
	if at == nil {
		return ""
	}
	module := "the folder of the module that it names"
	if m := oldSource.FindSubmatch(src[at[1]:]); m != nil {
		module = "the folder of its module, " + migrate.DisplayURL(string(m[1])) + " from there,"
	}
	return "; its terraform.tfvars configures Terragrunt before 0.19 (terragrunt = {...}), which is not read: name " + module + " with a copy of that file without this part as --var-file, or give its state (--terraform-state)"
}

// terragruntConfig is what is read of such a file.
type terragruntConfig struct {
	inputs map[string]given
	open   []Cause // why there may be inputs that are not known
	source string
	from   Position
	// extra are the extra arguments for terraform, in order; those of one name
	// stand once.
	extra []extraArguments
	// generated are the files that Terragrunt writes into the module's folder, by label.
	generated map[string]generatedFile
	// backend is where Terragrunt has Terraform keep the state; nil if it does not say.
	backend *terragruntBackend
	// exposed is what others can read of it: its locals and inputs.
	exposed cty.Value
}

// terragruntBackend is a block or an attribute remote_state.
type terragruntBackend struct {
	Type   string // "unknown" if that is not known
	config cty.Value
	from   Position
	// writes is true if Terragrunt writes the backend block, and does not only complete
	// that of the module.
	writes bool
	// cached is true if Terraform runs in a copy of the module, to which paths are relative.
	cached bool
}

// generatedFile is one that Terragrunt writes, with what is known of it.
type generatedFile struct {
	name string
	body *hclsyntax.Body
	// keeps is true if a file of that name that is there already stays.
	keeps bool
}

// extraArguments are what a block of that name gives to terraform.
type extraArguments struct {
	name string
	args []extraArgument
	env  map[string]given // variables in the environment
	open []Cause          // why they may set variables that are not known
	// perhaps is why it is not known whether they are given at all.
	perhaps []Cause
}

// extraArgument is a file of variables, or one variable.
type extraArgument struct {
	file     string
	optional bool
	name     string
	given
}

// terragrunt reads the inputs of the root module from a terragrunt.hcl beside
// it, and the folder of the module from its source. Of Terragrunt's language it
// has local values, inputs, includes, other files that are read as such, extra
// arguments and the functions that name folders; what comes from a dependency,
// the environment or a program is unknown. It returns "" for a folder without
// such a file or without a source.
func (l *loader) terragrunt() (string, error) {
	name := path.Join(l.dir, terragruntFile)
	if ok, err := l.exists(name, false); err != nil || !ok {
		return "", nil
	}
	c := l.readTerragrunt(terragruntPlace{file: name, dir: l.dir}, 0)
	l.inputs, l.openInputs, l.terragruntArgs, l.terragruntDir = c.inputs, sortCauses(c.open), c.extra, l.dir
	for name, g := range l.inputs {
		g.environment = true
		l.inputs[name] = g
	}
	l.generatedIn, l.generated = l.dir, map[string]generatedFile{}
	for _, label := range sortedKeys(c.generated) {
		if f := c.generated[label]; f.name != "" {
			l.generated[f.name] = f
		}
	}
	if l.terragruntBackend = c.backend; c.backend != nil {
		c.backend.cached = c.source != ""
	}
	if c.source == "" {
		return "", nil
	}
	local := strings.Replace(c.source, "//", "/", 1)
	if !strings.HasPrefix(local, ".") && !strings.HasPrefix(local, "/") {
		l.diags.warn(c.from, "the module is not read", "its source is not in the tree: "+migrate.DisplayURL(c.source))
		l.remote = &Cause{CauseModule, migrate.DisplayURL(c.source), c.from}
		return "", nil
	}
	local, _, _ = strings.Cut(local, "?") // a version says nothing of a folder
	dir, err := l.tree.locate(l.dir, local)
	if err != nil {
		return "", fmt.Errorf("source %s: %w", migrate.DisplayURL(c.source), err)
	}
	l.generatedIn = dir
	if names, err := l.tree.list(l.dir); err == nil && dir != l.dir {
		for _, n := range names {
			if strings.HasSuffix(n, ".tf") || strings.HasSuffix(n, ".tf.json") {
				l.diags.warn(Position{File: path.Join(l.dir, n)}, "the file is not read", "Terragrunt puts it beside the files of the module")
			}
		}
	}
	return dir, nil
}

// terragruntPlace is a file that is read, and for whom.
type terragruntPlace struct {
	file string
	dir  string // the folder of the file that is read first, or of one that is read as a value
	// included are the folders of the files that this one includes, by label;
	// nil in a file that is included.
	included map[string]string
	parent   bool // it is included
}

// parentDir is the folder of the file that includes are about: of the included
// file itself or, in the one that includes it, of the only one or of the one
// that a label names. ok is false where that does not tell which it is.
func (p terragruntPlace) parentDir(labels []cty.Value) (dir string, ok bool) {
	switch {
	case p.parent || len(p.included) == 0:
		return path.Dir(p.file), true
	case len(p.included) == 1:
		for _, dir = range p.included {
			return dir, true
		}
	case len(labels) == 1:
		dir, ok = p.included[labels[0].AsString()]
	}
	return dir, ok
}

// maxIncludes bounds how deep files read one another. A file that is included
// cannot include others.
const maxIncludes = 4

// maxTerragruntFiles bounds how often a file of Terragrunt is read.
const maxTerragruntFiles = 200

// readTerragrunt reads one file.
func (l *loader) readTerragrunt(place terragruntPlace, depth int) terragruntConfig {
	name := place.file
	out := terragruntConfig{inputs: map[string]given{}, generated: map[string]generatedFile{}, exposed: unknown(cty.DynamicPseudoType, Cause{CauseFile, name, Position{File: name}})}
	if l.terragruntFiles++; l.terragruntFiles > maxTerragruntFiles {
		why := l.limit(fmt.Sprintf("more than %d files of Terragrunt are read, or one of them that often", maxTerragruntFiles), Position{File: terragruntFile})
		out.open, out.exposed = []Cause{why}, unknown(cty.DynamicPseudoType, why)
		return out
	}
	body := l.parseFile(name)
	if body == nil {
		out.open = []Cause{{CauseFile, name, Position{File: name}}}
		return out
	}
	l.prepareBody(body)
	if !place.parent {
		place.included = map[string]string{}
	}
	m := &module{dir: path.Dir(name), locals: map[string]*hclsyntax.Attribute{}}
	s := l.newScope(m)
	s.roots = map[string]cty.Value{}
	for _, root := range []string{"dependency", "include", "feature", "values", "unit", "stack"} {
		s.roots[root] = unknown(cty.DynamicPseudoType, Cause{CauseInput, root, Position{File: name}})
	}
	before := l.functions
	l.functions = l.terragruntFunctions(place, depth)
	defer func() { l.functions = before }()
	for _, b := range body.Blocks {
		if b.Type == "locals" {
			maps.Copy(m.locals, b.Body.Attributes)
		}
	}
	// What a file says can depend on what it includes, wherever it stands.
	parents := l.includes(s, body, place, depth)
	for _, b := range body.Blocks {
		switch b.Type {
		case "terraform":
			if a := b.Body.Attributes["source"]; a != nil {
				v, _ := s.eval(l.prepared(a), iteration{}).Unmark()
				out.from = at(a.SrcRange)
				out.source = stringOr(v, "a source that is not literal")
			}
			for _, extra := range b.Body.Blocks {
				if extra.Type == "extra_arguments" {
					if x, ok := s.extraArguments(extra); ok {
						out.extra = append(out.extra, x)
					}
				}
			}
		case "remote_state":
			out.backend = s.remoteStateBlock(b)
		case "generate":
			label := strings.Join(b.Labels, " ")
			f, why := s.generated(b)
			if why != "" {
				l.diags.warn(at(b.DefRange()), "a file that Terragrunt writes is not read", "generate "+label+": "+why)
				f = generatedFile{} // nor is what it stands in the place of
			}
			out.generated[label] = f
		}
	}
	inputs := out.readInputs(s, body)
	locals := map[string]cty.Value{}
	for _, n := range sortedKeys(m.locals) {
		locals[n] = s.local(n, at(m.locals[n].SrcRange))
	}
	out.exposed = cty.ObjectVal(map[string]cty.Value{"locals": cty.ObjectVal(locals), "inputs": inputs})
	// The last include is merged first.
	for _, p := range slices.Backward(parents) {
		out.inherit(p)
	}
	return out
}

// remoteStateBlock reads where Terragrunt has Terraform keep the state.
func (s *scope) remoteStateBlock(b *hclsyntax.Block) *terragruntBackend {
	out := &terragruntBackend{from: at(b.DefRange()), config: cty.EmptyObjectVal}
	value := func(name string) (v cty.Value, set bool) {
		if a := b.Body.Attributes[name]; a != nil {
			return s.eval(s.l.prepared(a), iteration{}), true
		}
		return cty.NilVal, false
	}
	out.Type = "unknown"
	if v, ok := value("backend"); ok {
		out.Type = stringOr(bareOf(v), out.Type)
	}
	if v, ok := value("config"); ok {
		out.config = v
	}
	_, out.writes = value("generate")
	return out
}

// generated reads what a generate block writes; why says why that is not known. Its
// lines are those of the file that the block stands in, where it is written out there.
func (s *scope) generated(b *hclsyntax.Block) (f generatedFile, why string) {
	text := func(name string) (string, bool) {
		a := b.Body.Attributes[name]
		if a == nil {
			return "", false
		}
		v := bareOf(s.eval(s.l.prepared(a), iteration{}))
		if !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
			return "", false
		}
		return v.AsString(), true
	}
	name, named := text("path")
	contents, told := text("contents")
	if a := b.Body.Attributes["disable"]; a != nil {
		switch v := bareOf(s.eval(s.l.prepared(a), iteration{})); {
		case !v.IsKnown() || v.IsNull() || v.Type() != cty.Bool:
			return f, "whether it is written is not known"
		case v.True():
			return generatedFile{}, ""
		}
	}
	ifExists, _ := text("if_exists")
	f.name, f.keeps = path.Clean(name), ifExists == "skip"
	files, overrides, _ := configFiles([]string{f.name})
	switch {
	case !named:
		return f, "its path is not known"
	case path.Dir(f.name) != "." || len(files)+len(overrides) == 0:
		return f, "it is no file of configuration of the module's folder"
	case !told:
		return f, "its contents are not known"
	}
	from := b.Body.Attributes["contents"].Expr.Range()
	before := from.Start.Line
	if from.End.Line == before { // else it begins in the line below
		before--
	}
	if strings.HasSuffix(f.name, ".json") {
		f.body = s.l.believed(s.l.syntax.parseJSON([]byte(contents), from.Filename), 0, from.Filename)
	} else {
		body, line := s.l.syntax.parseWhole([]byte(strings.Repeat("\n", before)+contents), from.Filename)
		if body != nil && line > 0 {
			line = firstOdd(body, line)
		}
		f.body = s.l.believed(body, line, from.Filename)
	}
	if f.body == nil {
		return f, "it is not understood"
	}
	return f, ""
}

// includedFile is a file that another includes, and how it is merged into that.
type includedFile struct {
	terragruntConfig
	strategy string // no_merge, shallow or deep; "" if that is not known
	from     Position
}

// includes reads the files that a body includes, in order.
func (l *loader) includes(s *scope, body *hclsyntax.Body, place terragruntPlace, depth int) []includedFile {
	var out []includedFile
	exposed := map[string]cty.Value{}
	for _, b := range body.Blocks {
		a := b.Body.Attributes["path"]
		if b.Type != "include" || a == nil {
			continue
		}
		from := at(a.SrcRange)
		f := includedFile{strategy: "shallow", from: from}
		if a := b.Body.Attributes["merge_strategy"]; a != nil {
			f.strategy = stringOr(bareOf(s.eval(l.prepared(a), iteration{})), "")
		}
		fail := func(causes ...Cause) {
			f.terragruntConfig = terragruntConfig{open: causes}
			out = append(out, f)
		}
		v, marks := s.eval(l.prepared(a), iteration{}).Unmark()
		if !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
			fail(append(causesOf(marks), Cause{CauseInput, "include", from})...)
			continue
		}
		if place.parent {
			fail(Cause{CauseLimit, "an included file includes another, which Terragrunt refuses", from})
			continue
		}
		p, err := l.tree.locate(s.mod.dir, v.AsString())
		if err != nil {
			fail(Cause{CauseFile, v.AsString(), from})
			continue
		}
		f.terragruntConfig = l.readTerragrunt(terragruntPlace{file: p, dir: place.dir, parent: true}, depth+1)
		label := ""
		if len(b.Labels) > 0 {
			label = b.Labels[0]
		}
		place.included[label] = path.Dir(p)
		exposed[label] = f.exposed
		out = append(out, f)
	}
	if only, ok := exposed[""]; ok && len(exposed) == 1 {
		s.roots["include"] = only
	} else if len(exposed) > 0 {
		s.roots["include"] = cty.ObjectVal(exposed)
	}
	return out
}

// inherit merges what a file includes into it, as Terragrunt does: what the
// file itself says counts.
func (c *terragruntConfig) inherit(p includedFile) {
	switch p.strategy {
	case "no_merge":
		return
	case "shallow", "deep":
	default:
		c.open = append(c.open, Cause{CauseInput, "merge_strategy", p.from})
	}
	// What is merged deeply with something unknown is unknown, but for what
	// replaces whatever that is.
	if p.strategy != "shallow" && len(p.open) > 0 {
		for k, own := range c.inputs {
			if !replaces(own.value) {
				own.value = unknown(cty.DynamicPseudoType, p.open...)
				c.inputs[k] = own
			}
		}
	}
	// Inputs that are not known may be any of those that are inherited.
	if len(c.open) == 0 {
		for k, v := range p.inputs {
			own, both := c.inputs[k]
			switch {
			case !both:
				c.inputs[k] = v
			case p.strategy == "deep":
				own.value = deepMerged(v.value, own.value, k)
				c.inputs[k] = own
			}
		}
	}
	c.open = append(c.open, p.open...)
	if c.source == "" {
		c.source, c.from = p.source, p.from
	}
	if c.backend == nil {
		c.backend = p.backend
	}
	for label, f := range p.generated {
		if _, own := c.generated[label]; !own {
			c.generated[label] = f
		}
	}
	extra := slices.Clone(p.extra)
	for _, own := range c.extra {
		if i := slices.IndexFunc(extra, func(x extraArguments) bool { return x.name == own.name }); i >= 0 {
			extra[i] = own
		} else {
			extra = append(extra, own)
		}
	}
	c.extra = extra
}

// deepMerged merges two values of an input as merge_strategy "deep" does: maps
// key by key, lists one after the other. A scalar of the file's own that is not
// empty replaces whatever was there; of the rest it is not told here what comes.
func deepMerged(parent, own cty.Value, name string) cty.Value {
	open := unknown(cty.DynamicPseudoType, Cause{Kind: CauseLimit, Name: "what Terragrunt makes of both values of " + name + " is not followed"})
	if parent == cty.NilVal || own == cty.NilVal || parent.IsMarked() || own.IsMarked() || !parent.IsKnown() || !own.IsKnown() || own.IsNull() {
		return open
	}
	isMap := func(v cty.Value) bool { return v.Type().IsObjectType() || v.Type().IsMapType() }
	isList := func(v cty.Value) bool { return v.Type().IsTupleType() || v.Type().IsListType() }
	switch {
	case parent.IsNull():
		return own
	case isMap(parent) && isMap(own):
		out := parent.AsValueMap()
		if out == nil {
			out = map[string]cty.Value{}
		}
		for k, v := range own.AsValueMap() {
			if p, ok := out[k]; ok {
				v = deepMerged(p, v, name+"."+k)
			}
			out[k] = v
		}
		return cty.ObjectVal(out)
	case isList(parent) && isList(own):
		return cty.TupleVal(slices.Concat(parent.AsValueSlice(), own.AsValueSlice()))
	case replaces(own):
		return own
	case own.Type().IsPrimitiveType() && own.RawEquals(parent):
		return own
	}
	return open
}

// replaces reports whether a file's own value of an input stands for any other
// when they are merged deeply: a scalar that is not empty. One that is sensitive
// is not looked at.
func replaces(own cty.Value) bool {
	if own == cty.NilVal || own.IsMarked() || !own.IsKnown() || own.IsNull() {
		return false
	}
	switch own.Type() {
	case cty.String:
		return own.AsString() != ""
	case cty.Bool:
		return own.True()
	case cty.Number:
		return own.AsBigFloat().Sign() != 0
	}
	return false
}

// readInputs reads the argument inputs of a file, and returns all of it.
func (c *terragruntConfig) readInputs(s *scope, body *hclsyntax.Body) cty.Value {
	a := body.Attributes["inputs"]
	if a == nil {
		return cty.EmptyObjectVal
	}
	l := s.l
	e := l.prepared(a)
	whole := s.eval(e, iteration{})
	v, marks := whole.Unmark()
	switch {
	case !v.IsKnown():
		c.open = append(c.open, append(causesOf(marks), Cause{CauseInput, "inputs", at(a.SrcRange)})...)
	case v.IsNull() || !(v.Type().IsObjectType() || v.Type().IsMapType()):
		l.diags.error(at(a.SrcRange), "inputs is not a map", "")
	default:
		positions := itemPositions(e)
		for it := v.ElementIterator(); it.Next(); {
			k, x := it.Element()
			from, ok := positions[k.AsString()]
			if !ok {
				from = at(e.Range())
			}
			c.inputs[k.AsString()] = given{value: x.WithMarks(marks), from: from}
		}
	}
	return whole
}

// extraArguments reads what a block gives to terraform beside the inputs:
// arguments that set variables, files of variables, and variables in the
// environment. ok is false if it gives them to no command that makes something.
func (s *scope) extraArguments(b *hclsyntax.Block) (out extraArguments, ok bool) {
	out.name, out.env = strings.Join(b.Labels, " "), map[string]given{}
	l := s.l
	value := func(name string) (v cty.Value, marks cty.ValueMarks, from Position) {
		a := b.Body.Attributes[name]
		if a == nil {
			return cty.NilVal, nil, from
		}
		from = at(a.SrcRange)
		if v, marks = s.eval(l.prepared(a), iteration{}).Unmark(); !v.IsKnown() || !v.IsNull() && !v.CanIterateElements() {
			out.open = append(out.open, append(causesOf(marks), Cause{CauseInput, name, from})...)
			return cty.NilVal, nil, from
		}
		return v, marks, from
	}
	list := func(name string) (texts []string, from Position) {
		v, _, from := value(name)
		if v == cty.NilVal || v.IsNull() {
			return nil, from
		}
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			e, marks := e.Unmark()
			if stringOr(e, "") == "" {
				out.open = append(out.open, append(causesOf(marks), Cause{CauseInput, name, from})...)
				continue
			}
			texts = append(texts, e.AsString())
		}
		return texts, from
	}
	commands, _ := list("commands")
	if !slices.Contains(commands, "plan") && !slices.Contains(commands, "apply") {
		if len(out.open) == 0 {
			return out, false
		}
		out.perhaps = sortCauses(out.open)
	}
	out.open = nil
	args, from := list("arguments")
	for i := 0; i < len(args); i++ {
		name, text, assigned := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(args[i], "-"), "-"), "=")
		if !strings.HasPrefix(args[i], "-") || name != "var" && name != "var-file" {
			continue
		}
		if !assigned && i+1 < len(args) {
			i++
			text = args[i]
		}
		x := extraArgument{file: text, given: given{from: from}}
		if name == "var" {
			variable, v, _ := strings.Cut(text, "=")
			x.file, x.name, x.text = "", variable, &v
		}
		out.args = append(out.args, x)
	}
	for _, name := range []string{"required_var_files", "optional_var_files"} {
		files, from := list(name)
		for _, file := range files {
			out.args = append(out.args, extraArgument{file: file, optional: name == "optional_var_files", given: given{from: from}})
		}
	}
	env, marks, from := value("env_vars")
	if env == cty.NilVal || env.IsNull() || !env.Type().IsObjectType() && !env.Type().IsMapType() {
		return out, true
	}
	for it := env.ElementIterator(); it.Next(); {
		k, x := it.Element()
		name, ok := strings.CutPrefix(k.AsString(), "TF_VAR_")
		if !ok {
			continue
		}
		g := given{value: x.WithMarks(marks), from: from}
		if !g.value.IsMarked() && stringOr(g.value, "") != "" {
			text := g.value.AsString()
			g.text = &text
		}
		out.env[name] = g
	}
	return out, true
}

// readExtraArguments reads what Terragrunt gives to terraform on its command
// line. A file that is relative is one of Terragrunt's folder, or of the module.
func (l *loader) readExtraArguments(mod *module) {
	for _, x := range l.terragruntArgs {
		open := slices.Clone(x.open)
		before := l.inputs
		l.inputs = map[string]given{}
		for _, a := range x.args {
			if a.file == "" {
				l.inputs[a.name] = a.given
				continue
			}
			switch file, err := l.extraFile(a, mod); {
			case err != nil:
				open = append(open, Cause{CauseFile, a.file, a.from})
			case file != "":
				if !l.readVarFile(file, mod) {
					open = append(open, Cause{CauseFile, file, a.from})
				}
			}
		}
		set := l.inputs
		l.inputs = before
		x.give(l.inputs, set)
		if len(open) > 0 {
			l.mayBeGiven(open...)
		}
	}
}

// give adds to the inputs what the extra arguments set. Where it is not known
// whether they are given, neither is which value counts.
func (x *extraArguments) give(inputs, set map[string]given) {
	for name, g := range set {
		if len(x.perhaps) > 0 {
			g = given{value: unknown(cty.DynamicPseudoType, x.perhaps...), from: g.from}
		}
		inputs[name] = g
	}
}

// extraFile finds a file of variables in the tree; "" if there need not be one.
func (l *loader) extraFile(a extraArgument, mod *module) (string, error) {
	dirs := []string{l.terragruntDir}
	if mod.dir != l.terragruntDir && !filepath.IsAbs(a.file) {
		// terraform runs in a copy of the module, whose surroundings differ.
		if strings.HasPrefix(path.Clean(a.file), "..") {
			return "", errOutside
		}
		if !a.optional {
			dirs = append(dirs, mod.dir)
		}
	}
	for _, dir := range dirs {
		p, err := l.tree.locate(dir, a.file)
		if err != nil {
			return "", err
		}
		if ok, err := l.exists(p, false); err != nil || ok {
			return p, err
		}
	}
	if a.optional {
		return "", nil
	}
	return "", fs.ErrNotExist
}

// itemPositions is where the values of an object that is written out stand, by
// key; the first of those of one key.
func itemPositions(e *expression) map[string]Position {
	o, ok := bare(e).(*hclsyntax.ObjectConsExpr)
	if !ok {
		return nil
	}
	out := map[string]Position{}
	for _, item := range o.Items {
		v, diags := item.KeyExpr.Value(nil)
		if diags.HasErrors() || v.IsMarked() || v.Type() != cty.String || !v.IsKnown() || v.IsNull() {
			continue
		}
		if _, twice := out[v.AsString()]; !twice {
			out[v.AsString()] = at(item.ValueExpr.Range())
		}
	}
	return out
}

// commandsThatNeed are terraform's commands that take arguments of a kind
// (gruntwork-io/terragrunt, config/config_helpers.go). Of those that need
// locking, earlier versions also name init, which no plan or apply depends on.
var commandsThatNeed = map[string][]string{
	"vars":        {"apply", "console", "destroy", "import", "plan", "push", "refresh"},
	"input":       {"apply", "import", "init", "plan", "refresh"},
	"locking":     {"apply", "destroy", "import", "plan", "refresh", "taint", "untaint"},
	"parallelism": {"apply", "plan", "destroy"},
}

// terragruntFunctions adds those of Terragrunt's functions that name folders
// and read other files.
func (l *loader) terragruntFunctions(place terragruntPlace, depth int) map[string]function.Function {
	t := maps.Clone(l.functions)
	// Some take the label of an include.
	labelled := func(of func(labels []cty.Value) cty.Value) function.Function {
		return function.New(&function.Spec{
			VarParam: &function.Parameter{Name: "include", Type: cty.String},
			Type:     function.StaticReturnType(cty.String),
			Impl:     func(args []cty.Value, _ cty.Type) (cty.Value, error) { return of(args), nil },
		})
	}
	constant := func(s string) function.Function {
		return labelled(func([]cty.Value) cty.Value { return cty.StringVal(s) })
	}
	included := func(of func(dir string) string) function.Function {
		return labelled(func(labels []cty.Value) cty.Value {
			dir, ok := place.parentDir(labels)
			if !ok {
				return unknown(cty.String, Cause{CauseInput, "include", Position{File: place.file}})
			}
			return cty.StringVal(of(dir))
		})
	}
	t["get_terragrunt_dir"] = constant(l.absolute(place.dir))
	t["get_original_terragrunt_dir"] = constant(l.absolute(l.dir))
	t["get_parent_terragrunt_dir"] = included(l.absolute)
	t["path_relative_to_include"] = included(func(dir string) string { return relative(dir, place.dir) })
	t["path_relative_from_include"] = included(func(dir string) string { return relative(place.dir, dir) })
	if root, ok := l.repository(place.dir); ok {
		t["get_repo_root"] = constant(l.absolute(root))
		t["get_path_from_repo_root"] = constant(relative(root, place.dir))
		t["get_path_to_repo_root"] = constant(relative(place.dir, root))
	}
	for of, commands := range commandsThatNeed {
		var names []cty.Value
		for _, n := range commands {
			names = append(names, cty.StringVal(n))
		}
		t["get_terraform_commands_that_need_"+of] = function.New(&function.Spec{
			Type: function.StaticReturnType(cty.List(cty.String)),
			Impl: func([]cty.Value, cty.Type) (cty.Value, error) { return cty.ListVal(names), nil },
		})
	}
	t["get_env"] = function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "name", Type: cty.String}},
		VarParam: &function.Parameter{Name: "default", Type: cty.String},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return unknown(cty.String, Cause{Kind: CauseInput, Name: "get_env(" + strconv.Quote(args[0].AsString()) + ")"}), nil
		},
	})
	t["find_in_parent_folders"] = function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "name", Type: cty.String},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			wanted := []string{terragruntFile, "root.hcl"}
			if len(args) > 0 {
				wanted = []string{args[0].AsString()}
			}
			p, err := l.above(place.dir, wanted)
			switch {
			case err != nil:
			case p != "":
				return cty.StringVal(l.absolute(p)), nil
			case len(args) > 1 && place.dir != ".": // above the tree it cannot be looked for
				return args[1], nil
			}
			return unknown(cty.String, Cause{Kind: CauseFile, Name: wanted[0]}), nil
		},
	})
	t["read_terragrunt_config"] = function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "path", Type: cty.String}},
		VarParam: &function.Parameter{Name: "default", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowMarked: true, AllowDynamicType: true},
		Type:     function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return l.readConfig(place, args[0].AsString(), args[1:], depth), nil
		},
	})
	return t
}

// readConfig is what read_terragrunt_config returns.
func (l *loader) readConfig(place terragruntPlace, file string, otherwise []cty.Value, depth int) cty.Value {
	missing := unknown(cty.DynamicPseudoType, Cause{Kind: CauseFile, Name: file})
	name, err := l.tree.locate(place.dir, file)
	if err != nil {
		return missing
	}
	if ok, err := l.exists(name, true); err == nil && ok {
		name = path.Join(name, terragruntFile)
	}
	switch ok, err := l.exists(name, false); {
	case err != nil:
		return missing
	case !ok && len(otherwise) > 0:
		return otherwise[0]
	case !ok:
		return missing
	case depth >= maxIncludes:
		return unknown(cty.DynamicPseudoType, l.limit("files read one another deeper than is followed", Position{File: name}))
	}
	if v, ok := l.terragruntRead[name]; ok {
		return v
	}
	if l.terragruntRead == nil {
		l.terragruntRead = map[string]cty.Value{}
	}
	// A file that reads itself finds this.
	l.terragruntRead[name] = unknown(cty.DynamicPseudoType, Cause{CauseError, file, Position{File: name}})
	l.terragruntRead[name] = l.readTerragrunt(terragruntPlace{file: name, dir: path.Dir(name)}, depth+1).exposed
	return l.terragruntRead[name]
}

// above finds the first of some files in the folders above one of the tree; ""
// if there is none.
func (l *loader) above(dir string, names []string) (string, error) {
	for dir != "." {
		dir = path.Dir(dir)
		for _, n := range names {
			p, err := l.tree.locate(dir, n)
			if err != nil {
				return "", err
			}
			if ok, err := l.exists(p, false); err != nil || ok {
				return p, err
			}
		}
	}
	return "", nil
}

// repository is the folder of the tree that is the Git checkout around another.
func (l *loader) repository(dir string) (root string, ok bool) {
	for {
		for _, folder := range []bool{true, false} { // a file in a worktree or a submodule
			if ok, err := l.exists(path.Join(dir, ".git"), folder); err == nil && ok {
				return dir, true
			}
		}
		if dir == "." {
			return "", false
		}
		dir = path.Dir(dir)
	}
}

// relative writes the folder to of the tree relative to the folder from.
func relative(from, to string) string {
	rel, err := filepath.Rel(filepath.FromSlash(from), filepath.FromSlash(to))
	if err != nil {
		return to
	}
	return filepath.ToSlash(rel)
}
