package terraform

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/fluxover/fluxover/migrate"
)

// scope is one instance of a module: what its expressions refer to. Values are
// computed when they are first asked for, and kept.
type scope struct {
	l       *loader
	mod     *module
	path    string // address of the instance, "" for the root
	parent  *scope
	call    *hclsyntax.Block // in the parent's module; nil for the root
	in      iteration        // the call's each and count
	of      *expansion       // the call's instances; nil for the root
	depth   int
	memo    map[string]cty.Value
	busy    map[string]bool
	calls   map[string]*callExpansion
	expands map[string]*expansion
	aliases map[string]ProviderRef      // providers passed in by the call, by local name
	configs map[string]*hclsyntax.Block // those that the module configures, by name and alias; nil until asked for
	roots   map[string]cty.Value        // names that stand for something of their own everywhere, as Terragrunt's do
}

// iteration is what stands for each, count, self and the iterators of dynamic
// blocks in one instance.
type iteration struct {
	vars map[string]cty.Value
}

func (it iteration) with(name string, v cty.Value) iteration {
	out := iteration{vars: maps.Clone(it.vars)}
	if out.vars == nil {
		out.vars = map[string]cty.Value{}
	}
	out.vars[name] = v
	return out
}

// address returns the address of something in this module instance.
func (s *scope) address(rest string) string {
	if s.path == "" {
		return rest
	}
	return s.path + "." + rest
}

// cached computes a named value once. A value that leads to itself is an
// error, as in Terraform, and so is a chain that is too long.
func (s *scope) cached(name string, pos Position, f func() cty.Value) cty.Value {
	if v, ok := s.memo[name]; ok {
		return v
	}
	if s.busy[name] {
		s.l.diags.error(pos, "a value refers to itself", s.address(name))
		return unknown(cty.DynamicPseudoType, Cause{CauseError, s.address(name), pos})
	}
	if s.l.chain >= maxChain {
		return unknown(cty.DynamicPseudoType, s.l.limit("references lead further than is followed", pos))
	}
	s.busy[name] = true
	s.l.chain++
	v := f()
	s.l.chain--
	delete(s.busy, name)
	s.memo[name] = v
	return v
}

// eval evaluates an expression of this module. What is in error is unknown.
func (s *scope) eval(e *expression, it iteration) cty.Value {
	return s.l.value(e, s.context(e, it))
}

// guarded runs f, which calls into the expression libraries. It is the one
// place where a panic of theirs is caught: it becomes an error at r.
func guarded(r hcl.Range, f func() (cty.Value, hcl.Diagnostics)) (v cty.Value, diags hcl.Diagnostics) {
	defer func() {
		if p := recover(); p != nil {
			v = cty.DynamicVal
			diags = hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "the expression cannot be evaluated", Detail: "the expression library failed", Subject: &r}}
		}
	}()
	return f()
}

// value evaluates a prepared expression in ctx. What is in error is unknown,
// and a diagnostic.
func (l *loader) value(e *expression, ctx *hcl.EvalContext) cty.Value {
	pos := at(e.Range())
	if err := l.budget.charge(textWork(e)); err != nil {
		return unknown(cty.DynamicPseudoType, l.limit(err.Error(), pos))
	}
	v, diags := guarded(e.Range(), func() (cty.Value, hcl.Diagnostics) { return e.Value(ctx) })
	if l.budget.spent != nil {
		return unknown(cty.DynamicPseudoType, l.limit(l.budget.spent.Error(), pos))
	}
	if diags.HasErrors() {
		reason := ""
		if l.mentionsSecret(e, ctx) {
			reason = "the expression has a sensitive value"
		}
		if l.budget.spent != nil {
			return unknown(cty.DynamicPseudoType, l.limit(l.budget.spent.Error(), pos))
		}
		for _, d := range diags {
			if reason == "" && (len(e.refs) > 0 || len(e.calls) > 1) && quotesValue(d) {
				l.diags.hcl(d, "it may quote a value")
				continue
			}
			l.diags.hcl(d, reason)
		}
		causes := l.causesIn(e, ctx)
		return unknown(cty.DynamicPseudoType, append(causes, e.inError())...)
	}
	if err := l.budget.chargeValue(v); err != nil {
		return unknown(cty.DynamicPseudoType, l.limit(err.Error(), pos))
	}
	return l.settle(v, e, ctx, pos)
}

// duplicateKey is the summary of HCL's error about two equal keys of a "for"
// expression.
const duplicateKey = "Duplicate object key"

// quotesValue reports whether an error may quote a value, of which not only what
// is marked sensitive is a secret. A "for" expression names the key that it has
// twice. The functions of the libraries name in quotation marks what they were
// given; ours say no more than names.
func quotesValue(d *hcl.Diagnostic) bool {
	if d.Summary == duplicateKey {
		return true
	}
	call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d)
	if !ok || call.FunctionCallError() == nil {
		return false
	}
	var names namesError
	return !errors.As(call.FunctionCallError(), &names) && strings.ContainsAny(call.FunctionCallError().Error(), "\"`'")
}

// namesError is an error of a function that quotes names of the configuration,
// and no value.
type namesError struct{ error }

// inError is the cause of what depends on an expression that is in error,
// named by what it refers to first.
func (e *expression) inError() Cause {
	name := "expression"
	if len(e.refs) > 0 {
		name = traversalText(e.refs[0])
	}
	return Cause{CauseError, name, at(e.Range())}
}

// settle gives every unknown part of v its causes, and each cause a position.
func (l *loader) settle(v cty.Value, e *expression, ctx *hcl.EvalContext, pos Position) cty.Value {
	if !v.ContainsMarked() && v.IsWhollyKnown() {
		return v
	}
	v = tidy(v, func() []Cause {
		if c := l.causesIn(e, ctx); len(c) > 0 {
			return c
		}
		return []Cause{e.inError()}
	})
	out, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		bare, marks := v.Unmark()
		changed := false
		next := cty.ValueMarks{}
		for m := range marks {
			if c, ok := m.(Cause); ok && c.Position.File == "" {
				c.Position = pos
				m, changed = c, true
			}
			next[m] = struct{}{}
		}
		if !changed {
			return v, nil
		}
		return bare.WithMarks(next), nil
	})
	if err != nil {
		return v
	}
	return out
}

// causesIn returns the causes of everything that an expression refers to.
func (l *loader) causesIn(e *expression, ctx *hcl.EvalContext) []Cause {
	var out []Cause
	for _, v := range l.referents(e, ctx) {
		out = append(out, Causes(v)...)
		if len(out) > 100 {
			break
		}
	}
	for _, name := range e.calls {
		if _, ok := l.functions[name]; !ok {
			out = append(out, Cause{CauseFunction, name, at(e.Range())})
		}
	}
	return sortCauses(out)
}

// referents returns the values that the references of e lead to in ctx.
func (l *loader) referents(e *expression, ctx *hcl.EvalContext) []cty.Value {
	var out []cty.Value
	for _, t := range e.refs {
		v, diags := t.TraverseAbs(ctx)
		if diags.HasErrors() {
			continue
		}
		out = append(out, v)
	}
	return out
}

// mentionsSecret reports whether an error message about e could quote a
// sensitive value. To look into large ones for each of many expressions is work,
// too; nothing more is said once there are too many errors.
func (l *loader) mentionsSecret(e *expression, ctx *hcl.EvalContext) bool {
	if slices.Contains(e.calls, "sensitive") || slices.Contains(e.calls, "nonsensitive") {
		return true
	}
	if l.diags.full {
		return true
	}
	n, found := int64(0), false
	for c := ctx; c != nil && !found; c = c.Parent() {
		for _, v := range c.Variables {
			if found = holdsSecret(v, &n); found {
				break
			}
		}
	}
	return l.budget.charge(n/16) != nil || found
}

// context builds what e needs: the values it refers to, and the functions.
func (s *scope) context(e *expression, it iteration) *hcl.EvalContext {
	vars := map[string]cty.Value{}
	maps.Copy(vars, s.roots)
	maps.Copy(vars, it.vars)
	nested := map[string]map[string]cty.Value{}
	put := func(root, name string, f func() cty.Value) {
		if nested[root] == nil {
			nested[root] = map[string]cty.Value{}
		}
		if _, ok := nested[root][name]; !ok {
			nested[root][name] = f()
		}
	}
	data := map[string]map[string]cty.Value{}
	for _, t := range e.refs {
		root := t.RootName()
		if _, ok := vars[root]; ok {
			continue
		}
		name := step(t, 1)
		pos := at(t.SourceRange())
		switch root {
		case "var":
			put(root, name, func() cty.Value { return s.variable(name, pos) })
		case "local":
			put(root, name, func() cty.Value { return s.local(name, pos) })
		case "module":
			key := name
			if nested[root] == nil || nested[root][key] == cty.NilVal {
				put(root, key, func() cty.Value { return s.moduleValue(key, e.names, pos) })
			}
		case "path":
			put(root, name, func() cty.Value { return s.pathValue(name, pos) })
		case "terraform", "tofu":
			put(root, name, func() cty.Value { return s.l.meta(name, pos) })
		case "each", "count", "self", "ephemeral":
			vars[root] = unknown(cty.DynamicPseudoType, Cause{CauseComputed, root, pos})
		case "data":
			typ, n := name, step(t, 2)
			if data[typ] == nil {
				data[typ] = map[string]cty.Value{}
			}
			if _, ok := data[typ][n]; !ok {
				data[typ][n] = s.resourceIn(e, "data."+typ+"."+n, pos)
			}
		default:
			if name == "" {
				continue // the parser's own error, "invalid reference", follows
			}
			put(root, name, func() cty.Value { return s.resourceIn(e, root+"."+name, pos) })
		}
	}
	if len(data) > 0 {
		types := map[string]cty.Value{}
		for typ, names := range data {
			types[typ] = cty.ObjectVal(names)
		}
		vars["data"] = cty.ObjectVal(types)
	}
	for root, names := range nested {
		vars[root] = cty.ObjectVal(names)
	}
	return &hcl.EvalContext{Variables: vars, Functions: s.functionsFor(e)}
}

// functionsFor returns the functions of the language, and for each other name
// that e calls a function whose result is unknown because of that name.
func (s *scope) functionsFor(e *expression) map[string]function.Function {
	have := s.l.functions
	cloned := false
	for _, name := range e.calls {
		if _, ok := have[name]; ok {
			continue
		}
		if !cloned {
			have, cloned = maps.Clone(have), true
		}
		have[name] = unsupported(name)
	}
	return have
}

// step returns the name of the i-th step of a traversal, "" without one.
func step(t hcl.Traversal, i int) string {
	if i >= len(t) {
		return ""
	}
	switch x := t[i].(type) {
	case hcl.TraverseAttr:
		return x.Name
	case hcl.TraverseIndex:
		if x.Key.Type() == cty.String && x.Key.IsKnown() && !x.Key.IsNull() {
			return x.Key.AsString()
		}
	}
	return ""
}

func (s *scope) pathValue(name string, pos Position) cty.Value {
	switch name {
	case "module":
		return cty.StringVal(s.l.fromRoot(s.mod.dir))
	case "root":
		return cty.StringVal(".")
	case "cwd":
		return cty.StringVal(s.l.absolute(s.l.dir))
	}
	s.l.diags.error(pos, "no such path", "path."+name)
	return unknown(cty.String, Cause{CauseError, "path." + name, pos})
}

// meta is the value of terraform.NAME.
func (l *loader) meta(name string, pos Position) cty.Value {
	if name != "workspace" && name != "env" {
		return unknown(cty.DynamicPseudoType, Cause{CauseComputed, "terraform." + name, pos})
	}
	l.workspaceUsed = true
	if l.workspace == "" {
		return unknown(cty.String, Cause{CauseWorkspace, "terraform.workspace", pos})
	}
	return cty.StringVal(l.workspace)
}

func (s *scope) local(name string, pos Position) cty.Value {
	a, ok := s.mod.locals[name]
	if !ok {
		s.l.diags.error(pos, "no such local value", s.address("local."+name))
		return unknown(cty.DynamicPseudoType, Cause{CauseError, s.address("local." + name), pos})
	}
	return s.cached("local."+name, at(a.SrcRange), func() cty.Value { return s.eval(s.l.prepared(a), iteration{}) })
}

// variable returns the value of an input variable: what the call or the caller
// gives, else the default, else unknown.
func (s *scope) variable(name string, pos Position) cty.Value {
	v, ok := s.mod.variables[name]
	if !ok {
		s.l.diags.error(pos, "no such variable", s.address("var."+name))
		return unknown(cty.DynamicPseudoType, Cause{CauseError, s.address("var." + name), pos})
	}
	return s.cached("var."+name, v.pos, func() cty.Value {
		given, from := s.given(v)
		if given != cty.NilVal && given.IsNull() && v.notNull {
			given = cty.NilVal
		}
		if given == cty.NilVal {
			if s.parent == nil && len(s.l.openInputs) > 0 {
				given = unknown(v.ty, s.l.openInputs...)
			} else if v.value == nil {
				given = unknown(v.ty, Cause{CauseVariable, s.address("var." + name), v.pos})
			} else {
				given, from = s.l.value(v.value, &hcl.EvalContext{Functions: s.l.functions}), at(v.value.Range())
			}
		}
		given = s.conform(given, v, from)
		if v.sensitive {
			given = given.Mark(secret{s.address("var." + name)})
		}
		return given
	})
}

// conform converts a value to the declared type of a variable.
func (s *scope) conform(given cty.Value, v *variable, from Position) cty.Value {
	if !v.typed || v.ty == cty.DynamicPseudoType {
		return given
	}
	var err error
	out, diags := guarded(hcl.Range{}, func() (cty.Value, hcl.Diagnostics) {
		out := given
		if v.defaults != nil && !out.IsNull() {
			if bare, marks := out.Unmark(); bare.IsKnown() {
				if err = s.l.budget.foresee(func(c *comparisons) { c.defaults(bare, v.defaults) }); err != nil {
					return out, nil
				}
				out = v.defaults.Apply(bare).WithMarks(marks)
			}
		}
		out, err = s.l.budget.convert(out, v.ty)
		return out, nil
	})
	if diags.HasErrors() {
		err = errors.New(diags[0].Detail)
	}
	if err != nil && s.l.budget.spent == nil {
		err = firstMisfit(s.l.budget, given, v.ty, err)
	}
	if spent := s.l.budget.spent; spent != nil {
		return unknown(v.ty, s.l.limit(spent.Error(), from))
	}
	if err != nil {
		// The message of a conversion names types and paths, not values.
		s.l.diags.error(from, "the value does not fit the variable's type", fmt.Sprintf("%s: %v", s.address("var."+v.name), err))
		return unknown(v.ty, Cause{CauseError, s.address("var." + v.name), from})
	}
	return tidy(out, func() []Cause {
		return []Cause{{CauseVariable, s.address("var." + v.name), v.pos}}
	})
}

// firstMisfit is the error of the first of several fields, or elements, that do not convert, by
// name; a conversion takes fields in any order.
func firstMisfit(b *budget, v cty.Value, to cty.Type, err error) error {
	v, _ = v.Unmark()
	if !v.IsKnown() || v.IsNull() {
		return err
	}
	if v.Type().IsListType() || v.Type().IsTupleType() {
		for i, element := range v.AsValueSlice() {
			var of cty.Type
			switch {
			case to.IsListType() || to.IsSetType():
				of = to.ElementType()
			case to.IsTupleType() && i < to.Length():
				of = to.TupleElementType(i)
			default:
				return err
			}
			if _, misfit := b.convert(element, of); misfit != nil {
				return fmt.Errorf("element %d: %w", i, firstMisfit(b, element, of, misfit))
			}
		}
		return err
	}
	if !v.Type().IsObjectType() && !v.Type().IsMapType() {
		return err
	}
	fields := v.AsValueMap()
	for _, name := range sortedKeys(fields) {
		var field cty.Type
		switch {
		case to.IsMapType():
			field = to.ElementType()
		case to.IsObjectType() && to.HasAttribute(name):
			field = to.AttributeType(name)
		default:
			continue
		}
		if _, misfit := b.convert(fields[name], field); misfit != nil {
			return fmt.Errorf("attribute %q: %w", name, firstMisfit(b, fields[name], field, misfit))
		}
	}
	return err
}

// given returns what is passed for a variable and where, or NilVal.
func (s *scope) given(v *variable) (cty.Value, Position) {
	if s.parent == nil {
		return s.l.input(v)
	}
	a, ok := s.call.Body.Attributes[v.name]
	if !ok {
		return cty.NilVal, Position{}
	}
	return s.parent.eval(s.l.prepared(a), s.in), at(a.Expr.Range())
}

// output returns the value of an output of this module instance.
func (s *scope) output(o *output) cty.Value {
	return s.cached("output."+o.name, o.pos, func() cty.Value {
		if o.value == nil {
			return unknown(cty.DynamicPseudoType, Cause{CauseError, s.address("output." + o.name), o.pos})
		}
		v := s.eval(o.value, iteration{})
		if o.sensitive {
			v = v.Mark(secret{s.address("output." + o.name)})
		}
		return v
	})
}

// moduleValue is what module.NAME stands for: its outputs, by instance. Only
// the outputs that are mentioned are evaluated, since two modules may refer to
// each other as long as their values do not.
func (s *scope) moduleValue(name string, mentioned map[string]bool, pos Position) cty.Value {
	block, ok := s.mod.calls[name]
	if !ok {
		s.l.diags.error(pos, "no such module", s.address("module."+name))
		return unknown(cty.DynamicPseudoType, Cause{CauseError, s.address("module." + name), pos})
	}
	c := s.call1(name, block)
	if c.missing != nil {
		return unknown(cty.DynamicPseudoType, *c.missing)
	}
	if c.expansion.unknown != nil {
		return unknown(cty.DynamicPseudoType, c.expansion.unknown...)
	}
	one := func(child *scope) cty.Value {
		any := false
		for n := range child.mod.outputs {
			any = any || mentioned[n]
		}
		out := map[string]cty.Value{}
		for n, o := range child.mod.outputs {
			if mentioned[n] || !any {
				out[n] = child.output(o)
			} else {
				out[n] = unknown(cty.DynamicPseudoType, Cause{CauseComputed, child.address("output." + n), o.pos})
			}
		}
		return cty.ObjectVal(out)
	}
	return assemble(c.expansion, func(i int) cty.Value { return one(c.scopes[i]) })
}

// assemble puts the values of the instances of one block together.
func assemble(x *expansion, value func(i int) cty.Value) cty.Value {
	switch x.kind {
	case single:
		if len(x.keys) == 0 {
			return cty.NullVal(cty.DynamicPseudoType)
		}
		return value(0)
	case counted:
		list := make([]cty.Value, len(x.keys))
		for i := range list {
			list[i] = value(i)
		}
		return cty.TupleVal(list)
	}
	m := make(map[string]cty.Value, len(x.keys))
	for i, k := range x.keys {
		m[k.AsString()] = value(i)
	}
	return cty.ObjectVal(m)
}

// expansionKind says how a block is repeated.
type expansionKind int

const (
	single expansionKind = iota
	counted
	mapped
)

// expansion is the instances of a resource or module block.
type expansion struct {
	kind    expansionKind
	keys    []cty.Value // NilVal for a single instance
	in      []iteration
	unknown []Cause // set when it is not known which instances there are; then there is one that stands for all
}

func (x *expansion) suffix(i int) string {
	switch {
	case x.unknown != nil && x.kind != single:
		return "[*]"
	case x.kind == counted:
		return "[" + x.keys[i].AsBigFloat().Text('f', 0) + "]"
	case x.kind == mapped:
		return "[" + quoteKey(x.keys[i].AsString()) + "]"
	}
	return ""
}

// maxKey is how many bytes a key may have that is written in addresses.
const maxKey = 200

// quoteKey writes a key as Terraform does in addresses. One that is a text of
// several lines, or a long one, or a URL with what may be secret, is written as
// its digest: some take whole manifests for keys, with all that stands in them,
// and addresses are shown.
func quoteKey(k string) string {
	if len(k) > maxKey || strings.ContainsAny(k, "\r\n") || migrate.DisplayURL(k) != k {
		return fmt.Sprintf(`"sha256:%x"`, sha256.Sum256([]byte(k)))
	}
	q := strconv.Quote(k)
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(q)
}

// expand finds the instances of a block from its count or for_each.
func (s *scope) expand(name string, b *hclsyntax.Body, pos Position) *expansion {
	if x, ok := s.expands[name]; ok {
		return x
	}
	if s.busy["expand "+name] {
		s.l.diags.error(pos, "the number of instances depends on itself", s.address(name))
		return openExpansion(single, Cause{CauseError, s.address(name), pos})
	}
	if cause, bad := s.l.inError[b]; bad {
		x := openExpansion(single, cause)
		s.expands[name] = x
		return x
	}
	s.busy["expand "+name] = true
	x := s.expandBody(b)
	delete(s.busy, "expand "+name)
	if s.l.instances += len(x.keys); s.l.instances > s.l.limits.Instances {
		x = openExpansion(x.kind, s.l.limit("more instances than are followed", pos))
	}
	s.expands[name] = x
	return x
}

// openExpansion stands for instances that are not known.
func openExpansion(kind expansionKind, causes ...Cause) *expansion {
	u := unknown(cty.DynamicPseudoType, causes...)
	vars := map[string]cty.Value{}
	switch kind {
	case counted:
		vars["count"] = cty.ObjectVal(map[string]cty.Value{"index": unknown(cty.Number, causes...)})
	case mapped:
		vars["each"] = cty.ObjectVal(map[string]cty.Value{"key": unknown(cty.String, causes...), "value": u})
	}
	return &expansion{kind: kind, keys: []cty.Value{cty.NilVal}, in: []iteration{{vars: vars}}, unknown: causes}
}

func (s *scope) expandBody(b *hclsyntax.Body) *expansion {
	if a, ok := b.Attributes["count"]; ok {
		return s.expandCount(s.l.prepared(a))
	}
	if a, ok := b.Attributes["for_each"]; ok {
		return s.expandEach(s.l.prepared(a))
	}
	for _, n := range b.Blocks {
		if a, ok := n.Body.Attributes["enabled"]; ok && n.Type == "lifecycle" {
			return s.expandEnabled(s.l.prepared(a))
		}
	}
	return &expansion{kind: single, keys: []cty.Value{cty.NilVal}, in: []iteration{{}}}
}

// expandEnabled reads the lifecycle argument of OpenTofu that leaves a block
// out.
func (s *scope) expandEnabled(e *expression) *expansion {
	pos := at(e.Range())
	v, marks := s.eval(e, iteration{}).Unmark()
	if origins := secretsOf(marks); len(origins) > 0 {
		return openExpansion(single, Cause{CauseSensitive, origins[0], pos})
	}
	if !v.IsKnown() {
		return openExpansion(single, causesOf(marks)...)
	}
	on, err := convert.Convert(v, cty.Bool)
	switch {
	case err != nil || on.IsNull():
		s.l.diags.error(pos, "enabled is neither true nor false", "")
		return openExpansion(single, Cause{CauseError, "enabled", pos})
	case on.False():
		return &expansion{kind: single}
	}
	return &expansion{kind: single, keys: []cty.Value{cty.NilVal}, in: []iteration{{}}}
}

func (s *scope) expandCount(e *expression) *expansion {
	pos := at(e.Range())
	v, marks := s.eval(e, iteration{}).Unmark()
	if origins := secretsOf(marks); len(origins) > 0 {
		return openExpansion(counted, Cause{CauseSensitive, origins[0], pos})
	}
	if !v.IsKnown() {
		return openExpansion(counted, causesOf(marks)...)
	}
	if v.Type() == cty.Bool && !v.IsNull() {
		// Terraform up to 0.11 counts true as one.
		s.l.diags.warn(pos, "count is a boolean", "Terraform since 0.12 refuses it; it is read as 1 or 0")
		v = map[bool]cty.Value{true: cty.NumberIntVal(1), false: cty.NumberIntVal(0)}[v.True()]
	}
	n, err := convert.Convert(v, cty.Number)
	if err != nil || n.IsNull() || !n.AsBigFloat().IsInt() || n.AsBigFloat().Sign() < 0 {
		s.l.diags.error(pos, "count is not a whole number", "")
		return openExpansion(counted, Cause{CauseError, "count", pos})
	}
	count, acc := n.AsBigFloat().Int64()
	if acc != 0 || count > int64(s.l.limits.Instances) {
		return openExpansion(counted, s.l.limit("more instances than are followed", pos))
	}
	x := &expansion{kind: counted}
	for i := range count {
		index := cty.NumberIntVal(i)
		x.keys = append(x.keys, index)
		x.in = append(x.in, iteration{}.with("count", cty.ObjectVal(map[string]cty.Value{"index": index})))
	}
	return x
}

func (s *scope) expandEach(e *expression) *expansion {
	pos := at(e.Range())
	v, marks := s.eval(e, iteration{}).Unmark()
	if origins := secretsOf(marks); len(origins) > 0 {
		return openExpansion(mapped, Cause{CauseSensitive, origins[0], pos})
	}
	if !v.IsKnown() {
		return openExpansion(mapped, causesOf(marks)...)
	}
	ty := v.Type()
	if v.IsNull() || !(ty.IsMapType() || ty.IsObjectType() || ty.IsSetType()) {
		s.l.diags.error(pos, "for_each is neither a map nor a set of strings", "")
		return openExpansion(mapped, Cause{CauseError, "for_each", pos})
	}
	if v.LengthInt() > s.l.limits.Instances {
		return openExpansion(mapped, s.l.limit("more instances than are followed", pos))
	}
	x := &expansion{kind: mapped}
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		if ty.IsSetType() {
			k, _ = e.Unmark()
		}
		k, _ = k.Unmark()
		if !k.IsKnown() {
			causes := causesOf(marks)
			if len(causes) == 0 {
				causes = []Cause{{CauseError, "for_each", pos}}
			}
			return openExpansion(mapped, causes...)
		}
		if k.IsNull() || k.Type() != cty.String {
			s.l.diags.error(pos, "for_each is neither a map nor a set of strings", "")
			return openExpansion(mapped, Cause{CauseError, "for_each", pos})
		}
		x.keys = append(x.keys, k)
		x.in = append(x.in, iteration{}.with("each", cty.ObjectVal(map[string]cty.Value{"key": k, "value": e})))
	}
	return x
}
