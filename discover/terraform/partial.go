package terraform

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// A text of which one part is not known is, to the language, unknown as a
// whole. To keep the rest of a YAML document, partial evaluation renders the
// text again with a blank in place of each part that is not known, and only
// there: blanks are put in when text is put together, never before, so that no
// decision is taken on one.
//
// A blank is a short text between two private-use characters that no pattern
// of a configuration is likely to touch; one that does not come out whole makes
// the text unknown.

const (
	blankOpen  = '\uE000'
	blankClose = '\uE001'
	blankDigit = '\uE100' // the first of 256 digits
)

// blank is a gap in a text.
type blank struct {
	causes    []Cause
	sensitive bool
	name      string // for people: var.host
	lines     bool   // it may hold lines of its own
	indented  bool   // it may hold lines, each indented
	pos       Position
}

// blanks are the gaps of one text.
type blanks struct {
	list []blank
}

func (b *blanks) add(x blank) string {
	b.list = append(b.list, x)
	return blankText(len(b.list) - 1)
}

// blankText writes the blank of number n.
func blankText(n int) string {
	return string([]rune{blankOpen, blankDigit + rune(n>>8&255), blankDigit + rune(n&255), blankClose})
}

const maxBlanks = 1 << 16

// mergedKey begins the key, before a blank, by which a map that is put together says
// that it may hold further keys, and why.
const mergedKey = "further keys "

// further are the causes of a key that says so; nil for any other.
func (b *blanks) further(key string) []Cause {
	if !strings.HasPrefix(key, mergedKey) || !hasBlankMarks(key) {
		return nil
	}
	return b.allCauses(key)
}

// allCauses are those of every blank in a text.
func (b *blanks) allCauses(text string) []Cause {
	if !hasBlankMarks(text) {
		return nil
	}
	_, numbers, _ := b.split(text)
	var out []Cause
	for _, i := range numbers {
		if b.list[i].sensitive {
			out = append(out, Cause{CauseSensitive, b.list[i].name, Position{}})
		}
		out = append(out, b.list[i].causes...)
	}
	return sortCauses(out)
}

// hasBlankMarks reports whether a text holds the characters of blanks.
func hasBlankMarks(s string) bool {
	return strings.ContainsRune(s, blankOpen) || strings.ContainsRune(s, blankClose)
}

// split takes a text apart: known text and numbers of blanks in turn. It is
// not ok when a blank is damaged.
func (b *blanks) split(s string) (texts []string, numbers []int, ok bool) {
	for {
		before, rest, found := strings.Cut(s, string(blankOpen))
		texts = append(texts, before)
		if strings.ContainsRune(before, blankClose) {
			return nil, nil, false
		}
		if !found {
			return texts, numbers, true
		}
		token, after, found := strings.Cut(rest, string(blankClose))
		digits := []rune(token)
		if !found || len(digits) != 2 {
			return nil, nil, false
		}
		hi, lo := int(digits[0]-blankDigit), int(digits[1]-blankDigit)
		if hi < 0 || hi > 255 || lo < 0 || lo > 255 || hi<<8|lo >= len(b.list) {
			return nil, nil, false
		}
		numbers = append(numbers, hi<<8|lo)
		s = after
	}
}

// partialEnv is where partial evaluation looks names up.
type partialEnv struct {
	l      *loader
	scope  *scope // nil inside a template, which sees its variables only
	ctx    *hcl.EvalContext
	vars   map[string]cty.Value // what the names of inner scopes stand for, with blanks
	blanks *blanks
	depth  int
}

// partial evaluates e to a value in which texts have blanks where a part is
// not known or is sensitive.
func (p *partialEnv) partial(e hclsyntax.Expression) cty.Value {
	v := p.plain(e)
	if v.IsWhollyKnown() && !isSensitive(v) {
		out, _ := v.UnmarkDeep()
		return out
	}
	if p.depth > 200 || len(p.blanks.list) >= maxBlanks || p.l.budget.charge(16) != nil {
		return p.fill(v, p.gapIn(e))
	}
	p.depth++
	defer func() { p.depth-- }()
	if out := p.inner(bare(e), v); out != cty.NilVal {
		return out
	}
	return p.fill(v, p.gapIn(e))
}

// plain evaluates e as the language does.
func (p *partialEnv) plain(e hclsyntax.Expression) cty.Value {
	if p.l.budget.charge(textWork(e)) != nil {
		return cty.DynamicVal
	}
	v, diags := guarded(e.Range(), func() (cty.Value, hcl.Diagnostics) { return e.Value(p.ctx) })
	if diags.HasErrors() {
		v = cty.DynamicVal
	}
	if v.IsWhollyKnown() && !v.ContainsMarked() && !v.IsMarked() {
		return v
	}
	own := &expression{Expression: e}
	_ = hclsyntax.VisitAll(bare(e), func(n hclsyntax.Node) hcl.Diagnostics {
		if x, ok := n.(hclsyntax.Expression); ok {
			n = bare(x)
		}
		if t, ok := n.(*hclsyntax.ScopeTraversalExpr); ok {
			own.refs = append(own.refs, t.Traversal)
		}
		return nil
	})
	return p.l.settle(v, own, p.ctx, at(e.Range()))
}

// inner evaluates the kinds of expressions that put text together; NilVal for
// all others.
func (p *partialEnv) inner(e hclsyntax.Expression, v cty.Value) cty.Value {
	switch e := e.(type) {
	case *hclsyntax.TemplateExpr:
		var b strings.Builder
		for _, part := range e.Parts {
			x := p.partial(part)
			s, err := convert.Convert(x, cty.String)
			if err != nil || !s.IsKnown() || s.IsNull() {
				return cty.NilVal
			}
			b.WriteString(s.AsString())
		}
		if p.l.budget.charge(int64(b.Len()/64)) != nil {
			return cty.NilVal
		}
		return cty.StringVal(b.String())
	case *hclsyntax.TemplateWrapExpr:
		return p.partial(e.Wrapped)
	case *hclsyntax.ParenthesesExpr:
		return p.partial(e.Expression)
	case *hclsyntax.TemplateJoinExpr:
		return p.join(cty.StringVal(""), p.partial(e.Tuple))
	case *hclsyntax.ConditionalExpr:
		cond, marks := p.plain(e.Condition).Unmark()
		if cond, err := convert.Convert(cond, cty.Bool); err == nil && cond.IsKnown() && !cond.IsNull() && len(secretsOf(marks)) == 0 {
			if cond.True() {
				return p.partial(e.TrueResult)
			}
			return p.partial(e.FalseResult)
		}
	case *hclsyntax.TupleConsExpr:
		list := make([]cty.Value, len(e.Exprs))
		for i, x := range e.Exprs {
			list[i] = p.partial(x)
		}
		return cty.TupleVal(list)
	case *hclsyntax.ObjectConsExpr:
		out := map[string]cty.Value{}
		for _, item := range e.Items {
			k, marks := p.plain(item.KeyExpr).Unmark()
			key, err := convert.Convert(k, cty.String)
			if err != nil || !key.IsKnown() || key.IsNull() || len(secretsOf(marks)) > 0 {
				return cty.NilVal
			}
			out[key.AsString()] = p.partial(item.ValueExpr)
		}
		return cty.ObjectVal(out)
	case *hclsyntax.ForExpr:
		return p.forTuple(e)
	case *hclsyntax.FunctionCallExpr:
		return p.call(e, v)
	case *hclsyntax.ScopeTraversalExpr:
		return p.traverse(e.Traversal)
	case *hclsyntax.RelativeTraversalExpr:
		return follow(p.partial(e.Source), e.Traversal)
	}
	return cty.NilVal
}

// follow applies the steps of a traversal to a value; NilVal if it cannot.
func follow(v cty.Value, t hcl.Traversal) cty.Value {
	if v == cty.NilVal {
		return v
	}
	out, diags := guarded(hcl.Range{}, func() (cty.Value, hcl.Diagnostics) { return t.TraverseRel(v) })
	if diags.HasErrors() || !out.IsKnown() {
		return cty.NilVal
	}
	return out
}

// traverse follows a reference to the expression behind it.
func (p *partialEnv) traverse(t hcl.Traversal) cty.Value {
	root := t.RootName()
	if v, ok := p.vars[root]; ok {
		return follow(v, t[1:])
	}
	s := p.scope
	if s == nil {
		return cty.NilVal
	}
	name := step(t, 1)
	switch root {
	case "local":
		if a, ok := s.mod.locals[name]; ok {
			return p.in(s, s.l.prepared(a), iteration{}, t[2:])
		}
	case "var":
		v, ok := s.mod.variables[name]
		if !ok || v.sensitive || s.parent == nil {
			return cty.NilVal
		}
		if a, ok := s.call.Body.Attributes[name]; ok {
			e := s.l.prepared(a)
			if !v.typed {
				return p.in(s.parent, e, s.in, t[2:])
			}
			given := p.in(s.parent, e, s.in, nil)
			return follow(p.conformed(given, s.variable(name, at(t.SourceRange())), p.gapIn(e)), t[2:])
		}
	case "module":
		c, ok := s.calls[name]
		if !ok || c.missing != nil || c.expansion.unknown != nil || c.expansion.kind != single || len(c.scopes) != 1 || len(t) < 3 {
			return cty.NilVal
		}
		if o := c.scopes[0].mod.outputs[step(t, 2)]; o != nil && o.value != nil && !o.sensitive {
			return p.in(c.scopes[0], o.value, iteration{}, t[3:])
		}
	case "data":
		if name == "template_file" && len(t) >= 4 {
			return p.templateFile(s, t)
		}
	}
	return cty.NilVal
}

// conformed lays over the value that a module is given, with blanks, what its
// variable's type makes of it: v has the defaults of optional attributes, has
// converted what it can, and has not what the type has not. Of given are the texts
// that v does not know.
func (p *partialEnv) conformed(given, v cty.Value, gap blank) cty.Value {
	bare, marks := v.Unmark()
	if ty := bare.Type(); !bare.IsKnown() || len(secretsOf(marks)) > 0 {
		if given != cty.NilVal && given.IsKnown() && !given.IsNull() && (ty == cty.DynamicPseudoType || given.Type() == cty.String) {
			return given
		}
		return p.fill(v, gap)
	}
	if !isSensitive(v) && v.IsWhollyKnown() {
		out, _ := v.UnmarkDeep()
		return out
	}
	part := func(key cty.Value) cty.Value {
		out, err := hcl.Index(given, key, nil)
		if err.HasErrors() {
			return cty.NilVal
		}
		return out
	}
	ty, list := bare.Type(), []cty.Value{}
	switch {
	case given == cty.NilVal || !given.IsKnown() || given.IsNull() || !bare.CanIterateElements() || ty.IsSetType():
		return p.fill(v, gap)
	case ty.IsObjectType() || ty.IsMapType():
		out := map[string]cty.Value{}
		for it := bare.ElementIterator(); it.Next(); {
			k, x := it.Element()
			out[k.AsString()] = p.conformed(part(k), x, gap)
		}
		return cty.ObjectVal(out)
	}
	for it := bare.ElementIterator(); it.Next(); {
		k, x := it.Element()
		list = append(list, p.conformed(part(k), x, gap))
	}
	return cty.TupleVal(list)
}

// in evaluates another expression of the configuration in its own scope, or of it the
// part to which a traversal leads.
func (p *partialEnv) in(s *scope, e *expression, it iteration, t hcl.Traversal) cty.Value {
	if p.l.budget.charge(int64(len(e.refs))) != nil {
		return cty.NilVal
	}
	q := &partialEnv{l: p.l, scope: s, ctx: s.context(e, it), blanks: p.blanks, depth: p.depth + 1}
	part, rest := within(e, t)
	return follow(q.partial(part), rest)
}

// within follows a traversal into the lists and maps that are written out: what else
// they hold need not be evaluated each time. It returns what it came to, and the steps
// that are left.
func within(e hclsyntax.Expression, t hcl.Traversal) (hclsyntax.Expression, hcl.Traversal) {
	for ; len(t) > 0; t = t[1:] {
		next := hclsyntax.Expression(nil)
		switch x := bare(e).(type) {
		case *hclsyntax.TupleConsExpr:
			if step, ok := t[0].(hcl.TraverseIndex); ok && step.Key.Type() == cty.Number {
				if i, exact := step.Key.AsBigFloat().Int64(); exact == big.Exact && i >= 0 && i < int64(len(x.Exprs)) {
					next = x.Exprs[i]
				}
			}
		case *hclsyntax.ObjectConsExpr:
			name := step(t, 0)
			for _, item := range x.Items {
				key, ok := keyOf(item.KeyExpr)
				if !ok || name == "" { // it may be any
					return e, t
				}
				if key == name {
					next = item.ValueExpr
				}
			}
		}
		if next == nil {
			break
		}
		e = next
	}
	return e, t
}

// keyOf returns the key of a map that is written out, where it is a word or text.
func keyOf(e hclsyntax.Expression) (string, bool) {
	if word := hcl.ExprAsKeyword(e); word != "" {
		return word, true
	}
	if k, ok := bare(e).(*hclsyntax.ObjectConsKeyExpr); ok {
		e = k.Wrapped
	}
	if t, ok := bare(e).(*hclsyntax.TemplateExpr); ok && t.IsStringLiteral() {
		if v, diags := t.Value(nil); !diags.HasErrors() {
			return v.AsString(), true
		}
	}
	return "", false
}

// templateFile renders data.template_file.NAME.rendered, of one instance or
// of the one that an index names.
func (p *partialEnv) templateFile(s *scope, t hcl.Traversal) cty.Value {
	name := "data.template_file." + step(t, 2)
	if s.mod.resources[name] == nil {
		return cty.NilVal
	}
	list, rest := s.instances(name), t[3:]
	var r *Resource
	if x := s.expands[name]; x == nil || x.unknown != nil {
		return cty.NilVal
	} else if x.kind == single {
		if len(list) == 1 {
			r = list[0]
		}
	} else if i, ok := rest[0].(hcl.TraverseIndex); ok && p.l.budget.charge(int64(len(x.keys))) == nil {
		for n := range x.keys {
			if eq := x.keys[n].Equals(i.Key); eq.IsKnown() && eq.True() {
				r = list[n]
			}
		}
		rest = rest[1:]
	}
	if r == nil || step(rest, 0) != "rendered" {
		return cty.NilVal
	}
	e, vars, cause := r.template()
	if cause != nil || p.l.budget.charge(lengthOf(vars)) != nil {
		return cty.NilVal
	}
	filled := cty.NilVal
	if a := r.Body.Attributes["vars"]; a != nil {
		if filled = p.in(a.scope, a.expr, a.in, nil); filled != cty.NilVal {
			filled = asTexts(filled)
		}
	}
	return p.render(e, vars, filled)
}

// render evaluates a template whose variables have the values vars, and with
// blanks the values filled.
func (p *partialEnv) render(e *expression, vars, filled cty.Value) cty.Value {
	ctx, err := p.l.templateContext(e, vars)
	if err != nil {
		return cty.NilVal
	}
	q := &partialEnv{l: p.l, ctx: ctx, vars: map[string]cty.Value{}, blanks: p.blanks, depth: p.depth + 1}
	if filled != cty.NilVal && filled.IsKnown() && !filled.IsNull() && filled.CanIterateElements() {
		for it := filled.ElementIterator(); it.Next(); {
			k, v := it.Element()
			q.vars[k.AsString()] = v
		}
	}
	return q.partial(e)
}

// forTuple evaluates [for x in list : text] element by element.
func (p *partialEnv) forTuple(e *hclsyntax.ForExpr) cty.Value {
	if e.KeyExpr != nil {
		return cty.NilVal
	}
	coll, marks := p.plain(e.CollExpr).Unmark()
	if len(secretsOf(marks)) > 0 || !coll.IsKnown() || coll.IsNull() || !coll.CanIterateElements() {
		return cty.NilVal
	}
	var out []cty.Value
	gap := p.gapIn(e.CollExpr)
	for it := coll.ElementIterator(); it.Next(); {
		k, x := it.Element()
		child := p.ctx.NewChild()
		child.Variables = map[string]cty.Value{e.ValVar: x}
		q := *p
		q.ctx, q.vars = child, map[string]cty.Value{}
		for n, v := range p.vars {
			if n != e.ValVar && n != e.KeyVar {
				q.vars[n] = v
			}
		}
		q.vars[e.ValVar] = q.fill(x, gap)
		if e.KeyVar != "" {
			child.Variables[e.KeyVar] = k
			q.vars[e.KeyVar] = q.fill(k, gap)
		}
		if e.CondExpr != nil {
			cond, marks := q.plain(e.CondExpr).Unmark()
			if cond.Type() != cty.Bool || !cond.IsKnown() || cond.IsNull() || len(secretsOf(marks)) > 0 {
				return cty.NilVal
			}
			if cond.False() {
				continue
			}
		}
		out = append(out, q.partial(e.ValExpr))
	}
	return cty.TupleVal(out)
}

// call evaluates the functions that put texts together without looking at
// what they say.
func (p *partialEnv) call(e *hclsyntax.FunctionCallExpr, v cty.Value) cty.Value {
	if e.ExpandFinal {
		return cty.NilVal
	}
	args := e.Args
	str := func(i int) (cty.Value, bool) {
		x := p.partial(args[i])
		return x, x.Type() == cty.String && x.IsKnown() && !x.IsNull()
	}
	one := func(f func(cty.Value) (cty.Value, error)) cty.Value {
		if len(args) == 0 {
			return cty.NilVal
		}
		if x, ok := str(len(args) - 1); ok {
			if out, err := f(x); err == nil {
				return out
			}
		}
		return cty.NilVal
	}
	switch strings.TrimPrefix(e.Name, "core::") {
	case "join":
		if len(args) != 2 {
			return cty.NilVal
		}
		if sep, ok := str(0); ok {
			return p.join(sep, p.partial(args[1]))
		}
	case "concat":
		var out []cty.Value
		for _, a := range args {
			x := p.partial(a)
			if !x.IsKnown() || x.IsNull() || !(x.Type().IsTupleType() || x.Type().IsListType()) {
				return cty.NilVal
			}
			out = append(out, x.AsValueSlice()...)
		}
		return cty.TupleVal(out)
	case "merge":
		out := map[string]cty.Value{}
		for _, a := range args {
			if p.l.budget.charge(int64(len(out)/16)) != nil {
				return cty.NilVal
			}
			switch x := p.partial(a); {
			case x.IsNull():
			case !x.IsKnown():
				return cty.NilVal
			case x.Type() == cty.String && hasBlankMarks(x.AsString()):
				for k := range out {
					out[k] = x // unless it is given anew there
				}
				out[mergedKey+x.AsString()] = cty.NullVal(cty.String)
			case x.Type().IsObjectType() || x.Type().IsMapType():
				for it := x.ElementIterator(); it.Next(); {
					k, _ := it.Element()
					if rest, ok := strings.CutPrefix(k.AsString(), mergedKey); ok {
						for known := range out {
							out[known] = cty.StringVal(rest)
						}
					}
				}
				for it := x.ElementIterator(); it.Next(); {
					k, e := it.Element()
					out[k.AsString()] = e
				}
			default:
				return cty.NilVal
			}
		}
		return cty.ObjectVal(out)
	case "tolist", "tostring", "nonsensitive":
		if len(args) == 1 {
			return p.partial(args[0])
		}
	case "chomp":
		return one(func(s cty.Value) (cty.Value, error) { return stdlib.Chomp(s) })
	case "trimspace":
		return one(func(s cty.Value) (cty.Value, error) { return stdlib.TrimSpace(s) })
	case "indent":
		if len(args) != 2 {
			return cty.NilVal
		}
		n := p.plain(args[0])
		from := len(p.blanks.list)
		out := one(func(s cty.Value) (cty.Value, error) {
			if p.l.budget.charge(indentSize([]cty.Value{n, s})/64) != nil {
				return cty.NilVal, errWork
			}
			return stdlib.Indent(n, s)
		})
		for i := from; i < min(len(p.blanks.list), maxBlanks-1); i++ {
			p.blanks.list[i].indented = true
		}
		return out
	case "yamlencode", "jsonencode":
		if len(args) != 1 {
			return cty.NilVal
		}
		x := p.partial(args[0])
		if !x.IsWhollyKnown() {
			return cty.NilVal
		}
		out, err := p.l.functions[e.Name].Call([]cty.Value{x})
		if err != nil {
			return cty.NilVal
		}
		return out
	case "templatefile":
		if len(args) != 2 {
			return cty.NilVal
		}
		name, marks := p.plain(args[0]).Unmark()
		if !name.IsKnown() || name.IsNull() || name.Type() != cty.String || len(secretsOf(marks)) > 0 {
			return cty.NilVal
		}
		t, missing, err := p.l.templateAt(name.AsString())
		if err != nil || missing != nil {
			return cty.NilVal
		}
		vars := p.plain(args[1])
		if bare, _ := vars.Unmark(); !bare.IsKnown() {
			return cty.NilVal
		}
		return p.render(t, vars, p.partial(args[1]))
	}
	return cty.NilVal
}

func (p *partialEnv) join(sep, list cty.Value) cty.Value {
	if !list.IsKnown() || list.IsNull() || !list.CanIterateElements() {
		return cty.NilVal
	}
	var parts []string
	size := 0
	for it := list.ElementIterator(); it.Next(); {
		_, x := it.Element()
		s, err := convert.Convert(x, cty.String)
		if err != nil || !s.IsKnown() || s.IsNull() {
			return cty.NilVal
		}
		parts = append(parts, s.AsString())
		size += len(s.AsString()) + len(sep.AsString())
	}
	if p.l.budget.charge(int64(size/64)) != nil {
		return cty.NilVal
	}
	return cty.StringVal(strings.Join(parts, sep.AsString()))
}

// gapIn is a blank that stands in what e makes, without its causes.
func (p *partialEnv) gapIn(e hclsyntax.Expression) blank {
	return blank{name: nameOf(e), lines: holdsLines(e), pos: at(e.Range())}
}

// blank puts one in. The last that there can be stands for all further ones.
func (p *partialEnv) blank(x blank) cty.Value {
	last := maxBlanks - 1
	if spent := p.l.budget.spent; spent != nil {
		x.causes, x.sensitive = []Cause{p.l.limit(spent.Error(), x.pos)}, false
	}
	switch n := len(p.blanks.list); {
	case n > last:
		return cty.StringVal(blankText(last))
	case n == last:
		x = blank{causes: []Cause{p.l.limit("more gaps in a text than are followed", x.pos)}, name: "…", lines: true}
	}
	return cty.StringVal(p.blanks.add(x))
}

// fill puts blanks like gap in place of everything in v that is not known or is
// sensitive. The result has no marks.
func (p *partialEnv) fill(v cty.Value, gap blank) cty.Value {
	b, marks := v.Unmark()
	put := func() cty.Value {
		gap.causes = sortCauses(Causes(v))
		return p.blank(gap)
	}
	if origins := secretsOf(marks); len(origins) > 0 {
		gap.sensitive = true
		return p.blank(gap)
	}
	if !b.IsKnown() {
		return put()
	}
	ty := b.Type()
	if b.IsNull() || !b.CanIterateElements() || b.LengthInt() == 0 || !b.ContainsMarked() && b.IsWhollyKnown() {
		return b
	}
	if ty.IsSetType() || p.l.budget.charge(1) != nil {
		return put()
	}
	if ty.IsObjectType() || ty.IsMapType() {
		out := map[string]cty.Value{}
		for it := b.ElementIterator(); it.Next(); {
			k, x := it.Element()
			out[k.AsString()] = p.fill(x, gap)
		}
		return cty.ObjectVal(out)
	}
	var out []cty.Value
	for it := b.ElementIterator(); it.Next(); {
		_, x := it.Element()
		out = append(out, p.fill(x, gap))
	}
	return cty.TupleVal(out)
}

// nameOf names an expression for people.
func nameOf(e hclsyntax.Expression) string {
	switch e := bare(e).(type) {
	case *hclsyntax.ScopeTraversalExpr:
		return traversalText(e.Traversal)
	case *hclsyntax.FunctionCallExpr:
		return e.Name + "(…)"
	case *hclsyntax.TemplateWrapExpr:
		return nameOf(e.Wrapped)
	}
	return "…"
}

// holdsLines reports whether an expression may write lines of its own: it
// holds a line break, or makes a document.
func holdsLines(e hclsyntax.Expression) bool {
	found := false
	_ = hclsyntax.VisitAll(bare(e), func(n hclsyntax.Node) hcl.Diagnostics {
		if x, ok := n.(hclsyntax.Expression); ok {
			n = bare(x)
		}
		switch n := n.(type) {
		case *hclsyntax.LiteralValueExpr:
			if n.Val.Type() == cty.String && n.Val.IsKnown() && !n.Val.IsNull() && strings.Contains(n.Val.AsString(), "\n") {
				found = true
			}
		case *hclsyntax.FunctionCallExpr:
			found = found || slices.Contains([]string{"yamlencode", "file", "templatefile"}, n.Name)
		}
		return nil
	})
	return found
}

// describe writes a text with blanks for people.
func (b *blanks) describe(s string) string {
	texts, numbers, ok := b.split(s)
	if !ok {
		return ""
	}
	var out strings.Builder
	for i, t := range texts {
		out.WriteString(t)
		if i < len(numbers) {
			if x := b.list[numbers[i]]; x.sensitive {
				out.WriteString("${sensitive}")
			} else {
				fmt.Fprintf(&out, "${%s}", x.name)
			}
		}
	}
	return out.String()
}

// flagPrefix is the name of a flag that is given something.
var flagPrefix = regexp.MustCompile(`^--[a-z0-9-]+=`)

// node makes the node of a text: a scalar, or what its blanks make of it.
func (b *blanks) node(s string, origin Origin) *Node {
	if !hasBlankMarks(s) {
		return &Node{Kind: Scalar, Scalar: s, Origin: origin}
	}
	texts, numbers, ok := b.split(s)
	if !ok {
		return &Node{Kind: Unknown, Causes: []Cause{{CauseError, "text with private-use characters", origin.Position}}, Origin: origin}
	}
	n := &Node{Kind: Unknown, Origin: origin}
	for _, i := range numbers {
		if b.list[i].sensitive {
			return &Node{Kind: Sensitive, Origin: origin, Text: flagPrefix.FindString(texts[0])}
		}
		n.Causes = append(n.Causes, b.list[i].causes...)
	}
	n.Causes = sortCauses(n.Causes)
	if strings.Join(texts, "") != "" {
		n.Text = b.describe(s)
	}
	return n
}

// shape reports why the lines of a document with blanks are not certain: a
// blank is there that writes lines of its own, such as a directive. Any other
// stands for text in its place; where that cannot be, as between two keys, the
// document with the blank is not YAML, and so unknown as a whole. It returns
// nil when there is no such blank.
func (b *blanks) shape(s string) *Node {
	_, numbers, ok := b.split(s)
	if !ok {
		return &Node{Kind: Unknown, Causes: []Cause{{Kind: CauseError, Name: "text with private-use characters"}}}
	}
	for _, n := range numbers {
		x := b.list[n]
		if !x.lines || x.indented {
			continue
		}
		if x.sensitive {
			return &Node{Kind: Sensitive}
		}
		return &Node{Kind: Unknown, Causes: x.causes}
	}
	return nil
}
