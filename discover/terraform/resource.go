package terraform

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Resource is one instance of a resource or data block.
type Resource struct {
	// Address as Terraform writes it: module.a["x"].helm_release.flux[0]. Where
	// it is not known which instances there are, one stands for all, with the
	// key [*].
	Address string
	Module  string // address of the module instance, "" for the root module
	Mode    string // managed, data, ephemeral or action
	Type    string
	Name    string
	Key     string // "", [0], ["a"] or [*]

	// Unknown is set when it is not known whether, or how often, the instance
	// exists: what its count or for_each, or that of a module above, needs.
	Unknown []Cause

	Provider  ProviderRef
	DependsOn []string
	Meta      []Meta
	Position  Position
	Body      *Body

	block *hclsyntax.Block
	scope *scope
	in    iteration // what count or for_each give the instance
	value *cty.Value
}

// Meta is an argument or block of a resource that belongs to the language and not
// to the resource: count, provider, lifecycle.ignore_changes.
type Meta struct {
	Name string
	// Text of an argument of lifecycle, as written; … for what is more than names.
	Text string
	// Names are the references in it.
	Names    []string
	Position Position
}

// Body is the arguments of a block.
type Body struct {
	Attributes map[string]*Attribute
	Blocks     []*Block
}

// Attribute is an argument with its value. What is sensitive is unknown in it,
// with a cause that says so.
type Attribute struct {
	Name     string
	Value    cty.Value
	Position Position

	expr  *expression
	scope *scope
	in    iteration
	raw   *cty.Value // with what is sensitive; never leaves the package

	hidden bool         // its provider keeps it, or part of it, secret
	object hiddenObject // of which it is the manifest, if it is hidden and that is no secret
}

// Block is a nested block, or one that a dynamic block makes.
type Block struct {
	Type     string
	Labels   []string
	Body     *Body
	Position Position
	Unknown  []Cause // set when it is not known whether, or how often, a dynamic block makes it
}

// All returns the blocks of one type in order.
func (b *Body) All(typ string) []*Block {
	var out []*Block
	for _, n := range b.Blocks {
		if n.Type == typ {
			out = append(out, n)
		}
	}
	return out
}

// open reports whether nothing is known of a block, not even what it holds.
func (b *Block) open() bool {
	return len(b.Unknown) > 0 && len(b.Body.Attributes)+len(b.Body.Blocks) == 0
}

func (b *Block) unknown(argument string) *Node {
	return &Node{Kind: Unknown, Causes: b.Unknown, Origin: Origin{Argument: argument, Position: b.Position}}
}

// field is an argument of a block as a node: nil when it is not set or null, unknown
// where nothing is known of the block.
func (b *Block) field(l *loader, name string) *Node {
	if b.open() {
		return b.unknown(name)
	}
	return b.Body.field(l, name)
}

// Metadata is an argument of the metadata of a resource of the kubernetes provider.
func (r *Resource) Metadata(name string) *Node {
	var out *Node
	for _, m := range r.Body.nested("metadata") {
		out = m.field(r.scope.l, name)
	}
	return out
}

// metaArguments belong to the language and not to the resource.
var metaArguments = map[string]bool{"count": true, "for_each": true, "provider": true, "providers": true, "depends_on": true}

// metaBlocks likewise.
var metaBlocks = map[string]bool{"lifecycle": true, "connection": true, "provisioner": true}

// body evaluates the arguments and blocks of b. At the top of a resource the
// language's own arguments are left out.
func (s *scope) body(b *hclsyntax.Body, it iteration, top bool) *Body {
	out := &Body{Attributes: map[string]*Attribute{}}
	for _, name := range sortedKeys(b.Attributes) {
		if top && metaArguments[name] {
			continue
		}
		a := b.Attributes[name]
		out.Attributes[name] = s.attribute(name, s.l.prepared(a), at(a.SrcRange), it)
	}
	for _, n := range b.Blocks {
		switch {
		case top && metaBlocks[n.Type]:
		case n.Type == "dynamic" && len(n.Labels) == 1:
			out.Blocks = append(out.Blocks, s.dynamic(n, it)...)
		default:
			out.Blocks = append(out.Blocks, &Block{Type: n.Type, Labels: n.Labels, Body: s.body(n.Body, it, false), Position: at(n.DefRange())})
		}
	}
	return out
}

func (s *scope) attribute(name string, e *expression, pos Position, it iteration) *Attribute {
	v := s.eval(e, it)
	return &Attribute{Name: name, Value: redact(v), Position: pos, expr: e, scope: s, in: it, raw: &v}
}

// dynamic makes the blocks of one dynamic block.
func (s *scope) dynamic(b *hclsyntax.Block, it iteration) []*Block {
	typ, pos := b.Labels[0], at(b.DefRange())
	each, ok := b.Body.Attributes["for_each"]
	i := slices.IndexFunc(b.Body.Blocks, func(n *hclsyntax.Block) bool { return n.Type == "content" })
	if !ok || i < 0 {
		s.l.diags.error(pos, "the dynamic block is not complete", "it needs for_each and a content block")
		return nil
	}
	content := b.Body.Blocks[i].Body
	iterator := typ
	if a, ok := b.Body.Attributes["iterator"]; ok {
		if iterator = hcl.ExprAsKeyword(bare(s.l.prepared(a))); iterator == "" {
			if v := s.l.constant(s.l.prepared(a)); v.Type() == cty.String {
				iterator = v.AsString()
			}
		}
	}
	make1 := func(key, value cty.Value, causes []Cause) *Block {
		in := it.with(iterator, cty.ObjectVal(map[string]cty.Value{"key": key, "value": value}))
		out := &Block{Type: typ, Body: s.body(content, in, false), Position: pos, Unknown: causes}
		if a, ok := b.Body.Attributes["labels"]; ok {
			if v := redact(s.eval(s.l.prepared(a), in)); v.CanIterateElements() && v.IsWhollyKnown() {
				for e := v.ElementIterator(); e.Next(); {
					if _, l := e.Element(); l.Type() == cty.String && !l.IsNull() {
						out.Labels = append(out.Labels, l.AsString())
					}
				}
			}
		}
		return out
	}
	v, marks := s.eval(s.l.prepared(each), it).Unmark()
	if v.IsKnown() && !v.IsNull() && !v.CanIterateElements() {
		s.l.diags.error(at(each.Expr.Range()), "for_each is not a collection", "")
		v, marks = cty.DynamicVal, cty.NewValueMarks(Cause{CauseError, "for_each", at(each.Expr.Range())})
	}
	if !v.IsKnown() {
		u := v.WithMarks(marks)
		return []*Block{make1(unknown(cty.DynamicPseudoType, causesOf(marks)...), u, sortCauses(causesOf(marks)))}
	}
	if v.IsNull() {
		return nil
	}
	if s.l.instances += v.LengthInt(); s.l.instances > s.l.limits.Instances {
		c := s.l.limit("more blocks than are followed", pos)
		return []*Block{make1(unknown(cty.DynamicPseudoType, c), unknown(cty.DynamicPseudoType, c), []Cause{c})}
	}
	hidden := cty.ValueMarks{}
	for _, o := range secretsOf(marks) {
		hidden[secret{o}] = struct{}{}
	}
	var out []*Block
	for e := v.ElementIterator(); e.Next(); {
		k, x := e.Element()
		out = append(out, make1(k.WithMarks(hidden), x.WithMarks(hidden), nil))
	}
	return out
}

// modeOf is the mode of what a block declares.
func modeOf(b *hclsyntax.Block) string {
	if b.Type == "resource" {
		return "managed"
	}
	return b.Type
}

// instances evaluates the instances of one block of the module.
func (s *scope) instances(name string) []*Resource {
	if have, ok := s.l.resources[s.address(name)]; ok {
		return have
	}
	b := s.mod.resources[name]
	pos := at(b.DefRange())
	x := s.expand(name, b.Body, pos)
	mode, typ, rest := modeOf(b), b.Labels[0], b.Labels[1]
	var out []*Resource
	for i := range x.keys {
		r := &Resource{
			Address: s.address(name) + x.suffix(i), Module: s.path, Mode: mode, Type: typ, Name: rest, Key: x.suffix(i),
			Unknown: sortCauses(append(slices.Clone(x.unknown), s.uncertain()...)), Position: pos, block: b, scope: s, in: x.in[i],
		}
		r.Provider = s.providerFor(b, typ, r.in)
		r.DependsOn = traversals(b.Body.Attributes["depends_on"])
		r.Meta = metaOf(b.Body)
		known := len(s.l.diags.list)
		r.Body = s.body(b.Body, r.in, true)
		if x.unknown != nil {
			s.l.diags.forgetEmptyIndexes(known, b)
		}
		if hasBlocks(typ) {
			valuesAsBlocks(typ, r.Body, true)
		}
		r.hide()
		out = append(out, r)
	}
	s.l.resources[s.address(name)] = out
	return out
}

// provisioners evaluates the provisioner blocks of r, in which self is the
// resource itself.
func (r *Resource) provisioners() []*Block {
	var out []*Block
	for _, n := range r.block.Body.Blocks {
		if n.Type != "provisioner" {
			continue
		}
		in := r.in.with("self", r.object())
		b := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: n.Body.SrcRange}
		for name, a := range n.Body.Attributes {
			if name != "when" && name != "on_failure" {
				b.Attributes[name] = a
			}
		}
		body := r.scope.body(b, in, false)
		if a, ok := n.Body.Attributes["when"]; ok {
			word := hcl.ExprAsKeyword(bare(r.scope.l.prepared(a)))
			if word == "" {
				if v := r.scope.l.constant(r.scope.l.prepared(a)); v.Type() == cty.String {
					word = v.AsString()
				}
			}
			body.Attributes["when"] = &Attribute{Name: "when", Value: cty.StringVal(word), Position: at(a.SrcRange)} // not evaluated: it is a word
		}
		out = append(out, &Block{Type: n.Type, Labels: n.Labels, Body: body, Position: at(n.DefRange())})
	}
	return out
}

func (r *Resource) blockName() string {
	return r.blockType() + "." + r.Name
}

// resourceValue is what TYPE.NAME stands for in an expression: what the
// configuration sets is known, and every other attribute that is mentioned
// anywhere is computed.
func (s *scope) resourceValue(name string, pos Position) cty.Value {
	b, ok := s.mod.resources[name]
	if !ok {
		s.l.diags.error(pos, "no such resource", s.address(name))
		return unknown(cty.DynamicPseudoType, Cause{CauseError, s.address(name), pos})
	}
	return s.cached(name, at(b.DefRange()), func() cty.Value {
		x := s.expand(name, b.Body, at(b.DefRange()))
		if x.unknown != nil {
			return unknown(cty.DynamicPseudoType, x.unknown...)
		}
		list := s.instances(name)
		return assemble(x, func(i int) cty.Value { return list[i].object() })
	})
}

// resourceIn is what TYPE.NAME stands for in e. Up to Terraform 0.11 the one instance
// that a count makes could be meant without its index; since then that is an error
// wherever it stands, in "try" as well.
func (s *scope) resourceIn(e *expression, name string, pos Position) cty.Value {
	v := s.resourceValue(name, pos)
	if x := s.expands[name]; x == nil || x.kind != counted || x.unknown != nil || len(x.keys) != 1 || !v.IsKnown() {
		return v
	}
	for _, t := range e.refs {
		n := 2
		if t.RootName() == "data" {
			n = 3
		}
		if len(t) < n || traversalText(t[:n]) != name {
			continue
		}
		if len(t) == n {
			return v // whole, or of "*"
		}
		if _, attribute := t[n].(hcl.TraverseAttr); !attribute {
			return v
		}
	}
	list, marks := v.Unmark()
	return list.Index(cty.NumberIntVal(0)).WithMarks(marks)
}

// object is the value of a resource in expressions.
func (r *Resource) object() cty.Value {
	if r.value != nil {
		return *r.value
	}
	kind := CauseComputed
	if r.Mode == "data" {
		kind = CauseData
	}
	known := r.known()
	v := r.scope.bodyValue(r.Body, kind, r.Address, r.Position, known)
	r.value = &v
	return v
}

// unitsOfName are those of an attribute of which it is known alone that it is mentioned.
const unitsOfName = 4

// bodyValue makes an object of a body. Blocks of one type become a list, which
// is what all but a few providers have them as.
func (s *scope) bodyValue(b *Body, kind CauseKind, address string, pos Position, known map[string]cty.Value) cty.Value {
	out := map[string]cty.Value{}
	for n, v := range known {
		out[n] = v
	}
	for n, a := range b.Attributes {
		if _, ok := out[n]; !ok && !(a.raw.IsKnown() && a.raw.IsNull()) {
			out[n] = *a.raw
		}
	}
	lists := map[string][]cty.Value{}
	open := map[string][]Cause{}
	for _, n := range b.Blocks {
		if n.Unknown != nil {
			open[n.Type] = append(open[n.Type], n.Unknown...)
		}
		lists[n.Type] = append(lists[n.Type], s.bodyValue(n.Body, kind, address+"."+n.Type, n.Position, nil))
	}
	for t, l := range lists {
		if out[t] = cty.TupleVal(l); open[t] != nil {
			out[t] = unknown(cty.DynamicPseudoType, open[t]...)
		}
	}
	if s.l.budget.charge(int64(len(s.l.syntax.names)*(unitsOfName+len(address)/64))) != nil {
		return unknown(cty.DynamicPseudoType, s.l.limit(s.l.budget.spent.Error(), pos))
	}
	for n := range s.l.syntax.names {
		if _, ok := out[n]; !ok {
			out[n] = unknown(cty.DynamicPseudoType, Cause{kind, address + "." + n, pos})
		}
	}
	return cty.ObjectVal(out)
}

// known returns the attributes that are not in the configuration and known
// all the same, since the provider derives them from nothing else.
func (r *Resource) known() map[string]cty.Value {
	raw := func(name string) cty.Value {
		if a := r.Body.Attributes[name]; a != nil {
			return *a.raw
		}
		return cty.NilVal
	}
	out := map[string]cty.Value{}
	set := func(name string, v cty.Value) {
		if v != cty.NilVal {
			out[name] = v
		}
	}
	switch r.blockType() {
	case "data.template_file":
		set("rendered", r.templateFile())
	case "data.terraform_remote_state":
		_, outputs := r.remoteState()
		set("outputs", outputs)
		if bare, marks := outputs.Unmark(); bare.IsKnown() { // up to Terraform 0.11 they stand beside the arguments
			for it := bare.ElementIterator(); it.Next(); {
				k, v := it.Element()
				if name := k.AsString(); r.Body.Attributes[name] == nil && name != "outputs" {
					set(name, v.WithMarks(marks))
				}
			}
		}
	case "data.local_file":
		set("content", r.localFile())
	case "data.local_sensitive_file":
		set("content", r.localFile().Mark(secret{r.Address + ".content"}))
	case "data.kubectl_file_documents", "data.kubectl_path_documents":
		documents, manifests := r.documents()
		set("documents", documents)
		set("manifests", manifests)
	case "data.null_data_source":
		set("outputs", raw("inputs"))
	case "terraform_data":
		set("output", raw("input"))
	case "helm_release":
		set("id", raw("name"))
	case "kubernetes_namespace", "kubernetes_namespace_v1", "kubernetes_cluster_role", "kubernetes_cluster_role_v1":
		for _, m := range r.Body.All("metadata") {
			if a := m.Body.Attributes["name"]; a != nil && m.Unknown == nil {
				set("id", *a.raw)
			}
		}
	case "data.helm_repository", "helm_repository":
		if name := raw("name"); name != cty.NilVal {
			m := map[string]cty.Value{"name": name}
			if url := raw("url"); url != cty.NilVal {
				m["url"] = url
			}
			set("id", name)
			set("metadata", cty.TupleVal([]cty.Value{cty.ObjectVal(m)}))
		}
	}
	return out
}

func (r *Resource) blockType() string {
	if r.Mode != "managed" {
		return r.Mode + "." + r.Type
	}
	return r.Type
}

// traversals writes the references of a list such as depends_on, quoted or not.
func traversals(a *hclsyntax.Attribute) []string {
	if a == nil {
		return nil
	}
	list, diags := hcl.ExprList(bare(a.Expr))
	if diags.HasErrors() {
		list = []hcl.Expression{a.Expr}
	}
	var out []string
	for _, e := range list {
		if t, diags := hcl.AbsTraversalForExpr(e); !diags.HasErrors() {
			out = append(out, traversalText(t))
		} else if v, diags := e.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() && !v.IsMarked() {
			out = append(out, v.AsString())
		}
	}
	return out
}

func traversalText(t hcl.Traversal) string {
	var b strings.Builder
	for _, s := range t {
		switch s := s.(type) {
		case hcl.TraverseRoot:
			b.WriteString(s.Name)
		case hcl.TraverseAttr:
			b.WriteString("." + s.Name)
		case hcl.TraverseIndex:
			switch key := s.Key; {
			case key.IsMarked() || !key.IsKnown() || key.IsNull(): // of a file that ends in it
				b.WriteString("[…]")
			case key.Type() == cty.Number:
				b.WriteString("[" + key.AsBigFloat().Text('f', -1) + "]")
			case key.Type() == cty.String:
				b.WriteString("[" + quoteKey(key.AsString()) + "]")
			default:
				b.WriteString("[…]")
			}
		}
	}
	return b.String()
}

// metaOf are what belongs to the language in a resource, by name.
func metaOf(b *hclsyntax.Body) []Meta {
	var out []Meta
	for _, n := range sortedKeys(b.Attributes) {
		if metaArguments[n] {
			out = append(out, Meta{Name: n, Position: at(b.Attributes[n].SrcRange)})
		}
	}
	for _, n := range b.Blocks {
		switch {
		case n.Type == "lifecycle":
			out = append(out, lifecycle(n.Body)...)
		case metaBlocks[n.Type]:
			out = append(out, Meta{Name: n.Type, Position: at(n.DefRange())})
		}
	}
	slices.SortStableFunc(out, func(a, b Meta) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func lifecycle(b *hclsyntax.Body) []Meta {
	var out []Meta
	for _, n := range sortedKeys(b.Attributes) {
		a := b.Attributes[n]
		m := Meta{Name: "lifecycle." + n, Text: "…", Position: at(a.SrcRange)}
		if v, diags := a.Expr.Value(nil); !diags.HasErrors() && v.Type() == cty.Bool && v.IsKnown() && !v.IsNull() {
			m.Text = map[bool]string{true: "true", false: "false"}[v.True()]
		} else if list, diags := hcl.ExprList(bare(a.Expr)); !diags.HasErrors() && len(list) == 0 {
			m.Text = "[]"
		} else if m.Names = traversals(a); m.Names != nil {
			m.Text = "[" + strings.Join(m.Names, ", ") + "]"
			if _, diags := hcl.ExprList(bare(a.Expr)); diags.HasErrors() {
				m.Text = m.Names[0]
			}
		}
		out = append(out, m)
	}
	for _, n := range b.Blocks {
		out = append(out, Meta{Name: "lifecycle." + n.Type, Position: at(n.DefRange())})
	}
	return out
}

// ignores says why an argument is not what the configuration says: ignore_changes
// names it, or a part of it, or all, so that what was applied last stays.
func (r *Resource) ignores(argument string) *Cause {
	for _, m := range r.Meta {
		if m.Name != "lifecycle.ignore_changes" {
			continue
		}
		for _, n := range m.Names {
			if i := strings.IndexAny(n, ".["); i >= 0 {
				n = n[:i]
			}
			if n == argument || n == "all" || n == "*" { // the last up to Terraform 0.11
				return &Cause{CauseIgnored, argument, m.Position}
			}
		}
	}
	return nil
}
