package terraform

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// module is the source of one module: the files of a folder, merged.
type module struct {
	dir       string // in the tree, with slashes
	variables map[string]*variable
	locals    map[string]*hclsyntax.Attribute
	outputs   map[string]*output
	calls     map[string]*hclsyntax.Block
	resources map[string]*hclsyntax.Block // by "type.name" or "data.type.name"
	providers []*hclsyntax.Block
	provided  map[string]*hclsyntax.Block // the first of providers by name and alias
	others    []*hclsyntax.Block          // moved, removed and import
	backend   *hclsyntax.Block
}

type variable struct {
	name      string
	ty        cty.Type
	defaults  *typeexpr.Defaults
	value     *expression // the default, nil without one
	sensitive bool
	notNull   bool
	typed     bool // a type is declared
	pos       Position
}

type output struct {
	name      string
	value     *expression
	sensitive bool
	pos       Position
}

// configFiles picks the files of a folder that are configuration, in the order
// in which they are read: ordinary ones by name, then overrides. A .tofu file
// stands in for the .tf file of its name, as OpenTofu has it; those are the
// shadowed ones.
func configFiles(names []string) (files, overrides, shadowed []string) {
	has := map[string]bool{}
	for _, n := range names {
		has[n] = true
	}
	for _, n := range names {
		if strings.HasPrefix(n, ".") || strings.HasSuffix(n, "~") || strings.HasPrefix(n, "#") {
			continue
		}
		stem, json, ok := strings.TrimSuffix(n, ".json"), strings.HasSuffix(n, ".json"), false
		for _, ext := range []string{".tf", ".tofu"} {
			if s, cut := strings.CutSuffix(stem, ext); cut {
				if tofu := s + ".tofu"; ext == ".tf" && (has[tofu] && !json || json && has[tofu+".json"]) {
					shadowed = append(shadowed, n)
					break
				}
				stem, ok = s, true
				break
			}
		}
		switch {
		case !ok:
		case stem == "override" || strings.HasSuffix(stem, "_override"):
			overrides = append(overrides, n)
		default:
			files = append(files, n)
		}
	}
	return files, overrides, shadowed
}

// module reads the folder dir of the tree, once.
func (l *loader) module(dir string) (*module, error) {
	if m, ok := l.modules[dir]; ok {
		return m, nil
	}
	names, err := l.tree.list(dir)
	if err != nil {
		return nil, err
	}
	m := &module{
		dir: dir, variables: map[string]*variable{}, locals: map[string]*hclsyntax.Attribute{}, outputs: map[string]*output{}, provided: map[string]*hclsyntax.Block{},
		calls: map[string]*hclsyntax.Block{}, resources: map[string]*hclsyntax.Block{},
	}
	written := map[string]generatedFile{}
	if l.generated != nil && dir == l.generatedIn {
		for _, n := range sortedKeys(l.generated) {
			there := slices.Contains(names, n)
			if there && l.generated[n].keeps {
				continue
			}
			if written[n] = l.generated[n]; !there {
				names = append(names, n)
			}
		}
		slices.Sort(names)
	}
	parsed := func(name string) *hclsyntax.Body {
		if f, ok := written[name]; ok {
			return f.body
		}
		return l.parseFile(path.Join(dir, name))
	}
	files, overrides, shadowed := configFiles(names)
	for _, n := range shadowed {
		l.diags.warn(Position{File: path.Join(dir, n)}, "the file is left out", "a .tofu file of the same name stands in for it, as in OpenTofu; Terraform would read this one instead")
	}
	l.moduleFiles += len(files) + len(overrides)
	for _, n := range files {
		if body := parsed(n); body != nil {
			l.addFile(m, body, false)
		}
	}
	for _, n := range overrides {
		if body := parsed(n); body != nil {
			l.addFile(m, body, true)
		}
	}
	l.modules[dir] = m
	return m, nil
}

func (l *loader) parseFile(name string) *hclsyntax.Body {
	src, err := l.tree.read(name)
	if err != nil {
		l.diags.error(Position{File: name}, fileNotRead, err.Error())
		l.broken = append(l.broken, Position{File: name})
		return nil
	}
	var body *hclsyntax.Body
	line := 0
	if strings.HasSuffix(name, ".json") {
		body = l.syntax.parseJSON(src, name)
	} else {
		body, line = l.syntax.parseWhole(src, name)
	}
	if body != nil && line > 0 && !strings.HasSuffix(name, ".hcl") { // Terragrunt's, which has other blocks
		line = firstOdd(body, line)
	}
	return l.believed(body, line, name)
}

// writtenForHCL2 reports whether a file of a folder, and so all of them, is of Terraform
// since 0.12.
func (l *loader) writtenForHCL2(dir string) bool {
	if known, ok := l.newer[dir]; ok {
		return known
	}
	names, err := l.tree.list(dir)
	if err != nil {
		return false
	}
	l.newer[dir] = slices.ContainsFunc(names, func(name string) bool {
		if path.Ext(name) != ".tf" {
			return path.Ext(name) == ".tofu"
		}
		src, err := l.tree.read(path.Join(dir, name))
		return err == nil && writtenForHCL2(src, name)
	})
	return l.newer[dir]
}

// believed is what was read of a file, with what stands from the line of its first error
// on as unknown; 0 is without one.
func (l *loader) believed(body *hclsyntax.Body, line int, name string) *hclsyntax.Body {
	if body == nil || line > 0 {
		l.broken = append(l.broken, Position{File: name, Line: line})
	}
	if body != nil && line > 0 {
		l.distrust(body, Cause{CauseError, "the file", Position{File: name, Line: line}})
	}
	return body
}

// blockTypes are what may stand in a file by itself.
var blockTypes = []string{"terraform", "provider", "variable", "locals", "output", "module", "resource", "data", "ephemeral", "moved", "removed", "import", "check", "action"}

// firstOdd is the line of an error or, before it, that behind which something stands by
// itself that belongs into a block: a bracket too many has ended that.
func firstOdd(body *hclsyntax.Body, line int) int {
	for _, b := range body.Blocks {
		if !slices.Contains(blockTypes, b.Type) {
			line = min(line, b.TypeRange.Start.Line-1)
		}
	}
	for _, a := range body.Attributes {
		line = min(line, a.SrcRange.Start.Line-1)
	}
	return max(line, 1)
}

// distrust marks the blocks of a file from that in which it is in error on: of what they
// hold, and how many instances they have, nothing is certain.
func (l *loader) distrust(body *hclsyntax.Body, cause Cause) {
	for i, b := range body.Blocks {
		if i+1 < len(body.Blocks) && body.Blocks[i+1].TypeRange.Start.Line <= cause.Position.Line {
			continue // it ends before
		}
		if l.inError == nil {
			l.inError = map[*hclsyntax.Body]Cause{}
		}
		l.inError[b.Body] = cause
		if slices.Contains([]string{"locals", "variable", "output"}, b.Type) {
			for _, a := range b.Body.Attributes {
				if a.SrcRange.End.Line >= cause.Position.Line {
					a.Expr = &hclsyntax.LiteralValueExpr{Val: unknown(cty.DynamicPseudoType, cause), SrcRange: a.SrcRange}
				}
			}
		}
	}
}

func (l *loader) addFile(m *module, body *hclsyntax.Body, override bool) {
	for _, b := range body.Blocks {
		switch {
		case b.Type == "locals":
			for n, a := range b.Body.Attributes {
				l.prepareBody(&hclsyntax.Body{Attributes: hclsyntax.Attributes{n: a}})
				if old, ok := m.locals[n]; ok && !override {
					l.duplicate("local."+n, a.SrcRange, old.SrcRange)
					continue
				}
				m.locals[n] = a
			}
		case b.Type == "variable" && len(b.Labels) == 1:
			l.prepareBody(b.Body)
			l.addVariable(m, b, override)
		case b.Type == "output" && len(b.Labels) == 1:
			l.prepareBody(b.Body)
			o := &output{name: b.Labels[0], pos: at(b.DefRange()), sensitive: l.constantTrue(b.Body, "sensitive")}
			if a, ok := b.Body.Attributes["value"]; ok {
				o.value = l.syntax.expr(a.Expr)
			}
			if old := m.outputs[o.name]; old != nil && !override {
				l.duplicate("output."+o.name, b.DefRange(), hcl.Range{})
				continue
			}
			m.outputs[o.name] = o
		case b.Type == "module" && len(b.Labels) == 1:
			l.addBlock(m.calls, b.Labels[0], "module."+b.Labels[0], b, override)
		case b.Type == "resource" && len(b.Labels) == 2:
			n := b.Labels[0] + "." + b.Labels[1]
			writtenAsBlocks(b)
			l.addBlock(m.resources, n, n, b, override)
		case slices.Contains([]string{"data", "ephemeral", "action"}, b.Type) && len(b.Labels) == 2:
			n := b.Type + "." + b.Labels[0] + "." + b.Labels[1]
			writtenAsBlocks(b)
			l.addBlock(m.resources, n, n, b, override)
		case b.Type == "provider" && len(b.Labels) == 1:
			l.prepareBody(b.Body)
			ref := ProviderRef{Name: b.Labels[0], Alias: l.constantText(b.Body, "alias")}.local()
			first := m.provided[ref]
			if override && first != nil {
				overlay(first, b)
				continue
			}
			m.provided[ref] = cmp.Or(first, b)
			m.providers = append(m.providers, b)
		case b.Type == "moved" || b.Type == "removed" || b.Type == "import":
			l.prepareBody(b.Body)
			m.others = append(m.others, b)
		case b.Type == "terraform":
			for _, inner := range b.Body.Blocks {
				if inner.Type == "backend" || inner.Type == "cloud" {
					m.backend = inner
				}
			}
		}
	}
}

func (l *loader) duplicate(name string, r, first hcl.Range) {
	detail := name + " is declared twice"
	if first.Filename != "" {
		detail += "; first at " + at(first).String()
	}
	l.diags.error(at(r), "declared twice", detail)
}

// addBlock adds a block, or merges an overriding one into it: its attributes
// replace those of the same name, its nested blocks all those of their type.
func (l *loader) addBlock(into map[string]*hclsyntax.Block, key, name string, b *hclsyntax.Block, override bool) {
	l.prepareBody(b.Body)
	old, ok := into[key]
	switch {
	case !ok:
		into[key] = b
	case !override:
		l.duplicate(name, b.DefRange(), old.DefRange())
	default:
		overlay(old, b)
		if cause, bad := l.inError[b.Body]; bad {
			l.inError[old.Body] = cause
		}
	}
}

// overlay merges an overriding block into another.
func overlay(old, b *hclsyntax.Block) {
	for n, a := range b.Body.Attributes {
		old.Body.Attributes[n] = a
	}
	types := map[string]bool{}
	for _, n := range b.Body.Blocks {
		types[blockType(n)] = true
	}
	old.Body.Blocks = slices.DeleteFunc(old.Body.Blocks, func(o *hclsyntax.Block) bool { return types[blockType(o)] })
	old.Body.Blocks = append(old.Body.Blocks, b.Body.Blocks...)
}

// blockType is the type of block that b stands for.
func blockType(b *hclsyntax.Block) string {
	if b.Type == "dynamic" && len(b.Labels) == 1 {
		return b.Labels[0]
	}
	return b.Type
}

// prepareBody prepares every expression of a body for evaluation. Nesting of
// bodies is bounded by the check before parsing.
func (l *loader) prepareBody(b *hclsyntax.Body) {
	for _, a := range b.Attributes {
		a.Expr = l.syntax.expr(a.Expr)
	}
	for _, n := range b.Blocks {
		l.prepareBody(n.Body)
	}
}

// prepared returns the prepared expression of an attribute.
func (l *loader) prepared(a *hclsyntax.Attribute) *expression {
	if x, ok := a.Expr.(*expression); ok {
		return x
	}
	return l.syntax.expr(a.Expr)
}

// constantTrue reports whether an attribute is the literal true.
func (l *loader) constantTrue(b *hclsyntax.Body, name string) bool {
	a, ok := b.Attributes[name]
	if !ok {
		return false
	}
	v := l.constant(l.prepared(a))
	if v.Type() == cty.String {
		return v.AsString() == "true"
	}
	return v.Type() == cty.Bool && v.True()
}

// constantText is the literal text of an attribute; empty if it is none.
func (l *loader) constantText(b *hclsyntax.Body, name string) string {
	if a, ok := b.Attributes[name]; ok {
		if v := l.constant(l.prepared(a)); v.Type() == cty.String {
			return v.AsString()
		}
	}
	return ""
}

// constant evaluates an expression without a scope; anything but a known
// value ends as false.
func (l *loader) constant(e *expression) cty.Value {
	v, diags := e.Value(nil)
	if diags.HasErrors() || v.IsMarked() || !v.IsWhollyKnown() || v.IsNull() {
		return cty.False
	}
	return v
}

func (l *loader) addVariable(m *module, b *hclsyntax.Block, override bool) {
	v := &variable{name: b.Labels[0], ty: cty.DynamicPseudoType, pos: at(b.DefRange())}
	old, ok := m.variables[v.name]
	switch {
	case ok && !override:
		l.duplicate("var."+v.name, b.DefRange(), hcl.Range{})
		return
	case ok:
		*v = *old
	}
	if a, ok := b.Body.Attributes["type"]; ok {
		v.typed = true
		v.ty, v.defaults = l.typeConstraint(l.prepared(a))
	}
	if a, ok := b.Body.Attributes["default"]; ok {
		v.value = l.prepared(a)
	}
	if _, ok := b.Body.Attributes["sensitive"]; ok {
		v.sensitive = l.constantTrue(b.Body, "sensitive")
	}
	if a, ok := b.Body.Attributes["nullable"]; ok {
		nullable := l.constant(l.prepared(a))
		v.notNull = nullable.Type() == cty.Bool && nullable.False()
	}
	if l.constantTrue(b.Body, "ephemeral") {
		v.sensitive = true
	}
	m.variables[v.name] = v
}

// typeConstraint reads the type of a variable: an expression, or in quotes as
// up to Terraform 0.11 and in the JSON syntax.
func (l *loader) typeConstraint(e *expression) (cty.Type, *typeexpr.Defaults) {
	var expr hcl.Expression = bare(e)
	if v, diags := e.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsWhollyKnown() && !v.IsNull() && !v.IsMarked() {
		switch text := v.AsString(); text {
		case "list":
			return cty.List(cty.DynamicPseudoType), nil
		case "map":
			return cty.Map(cty.DynamicPseudoType), nil
		default:
			if l.syntax.check([]byte(text), e.Range().Filename) != nil {
				return cty.DynamicPseudoType, nil
			}
			parsed, d := hclsyntax.ParseExpression([]byte(text), e.Range().Filename, e.Range().Start)
			if d.HasErrors() {
				l.diags.parse(d)
				return cty.DynamicPseudoType, nil
			}
			expr = parsed
		}
	}
	switch hcl.ExprAsKeyword(expr) {
	case "list":
		return cty.List(cty.DynamicPseudoType), nil
	case "map":
		return cty.Map(cty.DynamicPseudoType), nil
	case "set":
		return cty.Set(cty.DynamicPseudoType), nil
	}
	ty, defaults, diags := typeexpr.TypeConstraintWithDefaults(expr)
	if diags.HasErrors() {
		l.diags.parse(diags)
		return cty.DynamicPseudoType, nil
	}
	return ty, defaults
}
