package terraform

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// mapArguments are the arguments of the kubernetes provider's resources that are maps
// of the user's own keys; every other object in them, or list of objects, is a block.
var mapArguments = map[string]bool{
	"labels": true, "annotations": true, "match_labels": true, "node_selector": true,
	"limits": true, "requests": true, "hard": true, "min": true, "max": true, "default": true, "default_request": true, "max_limit_request_ratio": true,
	"capacity": true, "parameters": true, "volume_attributes": true, "options": true,
	"data": true, "binary_data": true, "data_wo": true, "binary_data_wo": true,
}

// isMap reports whether an argument of a type of resource is a map, or is not the
// provider's: no block in either case.
func isMap(typ, name string) bool {
	switch strings.TrimSuffix(typ, "_v1") {
	case "kubernetes_service", "kubernetes_replication_controller":
		if name == "selector" {
			return true // elsewhere it is a block
		}
	}
	return mapArguments[name] || isManifestList(name)
}

// hasBlocks reports whether a type of resource is one of the kubernetes provider whose
// objects are blocks.
func hasBlocks(typ string) bool {
	return strings.HasPrefix(typ, "kubernetes_") && typ != "kubernetes_manifest"
}

// writtenAsBlocks makes blocks of what a resource of the kubernetes provider writes as
// arguments, as the JSON syntax does, and HCL up to Terraform 0.11 may (since then
// attributes as blocks); and maps of what such HCL writes as blocks and the provider
// has as maps. What is not written out stays an argument, see [valuesAsBlocks].
func writtenAsBlocks(b *hclsyntax.Block) {
	blocks := map[string]*hclsyntax.Attribute{}
	for name, a := range b.Body.Attributes {
		if name == "lifecycle" || hasBlocks(b.Labels[0]) && !metaArguments[name] {
			blocks[name] = a
			delete(b.Body.Attributes, name)
		}
	}
	own := &hclsyntax.Body{Attributes: blocks}
	for _, n := range b.Body.Blocks {
		if hasBlocks(b.Labels[0]) && !metaBlocks[n.Type] {
			own.Blocks = append(own.Blocks, n)
		}
	}
	b.Body.Blocks = slices.DeleteFunc(b.Body.Blocks, func(n *hclsyntax.Block) bool { return slices.Contains(own.Blocks, n) })
	bodyAsBlocks(b.Labels[0], own)
	maps.Copy(b.Body.Attributes, own.Attributes)
	b.Body.Blocks = append(b.Body.Blocks, own.Blocks...)
}

// bodyAsBlocks makes blocks, and maps, of what stands in a body of a type of resource.
func bodyAsBlocks(typ string, b *hclsyntax.Body) {
	b.Blocks = slices.DeleteFunc(b.Blocks, func(n *hclsyntax.Block) bool {
		a := mapOf(typ, n)
		if a != nil && b.Attributes[a.Name] == nil {
			b.Attributes[a.Name] = a
		}
		return a != nil
	})
	for _, n := range b.Blocks {
		if n.Type != "dynamic" {
			bodyAsBlocks(typ, n.Body)
			continue
		}
		for _, content := range n.Body.Blocks {
			bodyAsBlocks(typ, content.Body)
		}
	}
	for _, name := range sortedKeys(b.Attributes) {
		if a := b.Attributes[name]; !isMap(typ, name) {
			if blocks := objectBlocks(typ, name, a.Expr, a.NameRange); blocks != nil {
				delete(b.Attributes, name)
				b.Blocks = append(b.Blocks, blocks...)
			}
		}
	}
}

// mapOf is the argument that a block stands for which the provider has as a map; nil if
// it is none, or not only of arguments.
func mapOf(typ string, n *hclsyntax.Block) *hclsyntax.Attribute {
	if !isMap(typ, n.Type) || isManifestList(n.Type) || len(n.Labels)+len(n.Body.Blocks) > 0 {
		return nil
	}
	r := n.DefRange()
	object := &hclsyntax.ObjectConsExpr{SrcRange: r, OpenRange: r}
	for _, name := range sortedKeys(n.Body.Attributes) {
		a := n.Body.Attributes[name]
		key := &hclsyntax.LiteralValueExpr{Val: cty.StringVal(name), SrcRange: a.NameRange}
		object.Items = append(object.Items, hclsyntax.ObjectConsItem{KeyExpr: &hclsyntax.ObjectConsKeyExpr{Wrapped: key, ForceNonLiteral: true}, ValueExpr: a.Expr})
	}
	return &hclsyntax.Attribute{Name: n.Type, Expr: object, SrcRange: r, NameRange: r, EqualsRange: r}
}

// valuesAsBlocks makes blocks, as [writtenAsBlocks] does, of arguments whose values are
// objects, or lists of objects, that are not written out in them.
func valuesAsBlocks(typ string, b *Body, top bool) {
	for _, name := range sortedKeys(b.Attributes) {
		a := b.Attributes[name]
		if isMap(typ, name) || top && metaArguments[name] {
			continue
		}
		objects := objectsIn(*a.raw)
		if objects == nil {
			continue
		}
		delete(b.Attributes, name)
		for _, v := range objects {
			block := &Block{Type: name, Body: &Body{Attributes: map[string]*Attribute{}}, Position: a.Position}
			if object, marks := v.Unmark(); !object.IsKnown() {
				block.Unknown = openCauses(v, name, a.Position)
			} else {
				for it := object.ElementIterator(); it.Next(); {
					k, e := it.Element()
					e = e.WithMarks(marks)
					k, _ = k.Unmark()
					block.Body.Attributes[k.AsString()] = &Attribute{Name: k.AsString(), Value: redact(e), Position: a.Position, expr: a.expr, scope: a.scope, in: a.in, raw: &e, hidden: true}
				}
			}
			b.Blocks = append(b.Blocks, block)
		}
	}
	for _, n := range b.Blocks {
		if !top || !metaBlocks[n.Type] {
			valuesAsBlocks(typ, n.Body, false)
		}
	}
}

// openCauses says why a value is not known.
func openCauses(v cty.Value, name string, pos Position) []Cause {
	if causes := Causes(redact(v)); len(causes) > 0 {
		return causes
	}
	return []Cause{{CauseError, name, pos}}
}

// nested are the blocks of one type, and one more, unknown, for an argument in their
// place of which it is not known which blocks it stands for.
func (b *Body) nested(typ string) []*Block {
	out := b.All(typ)
	if a := b.Attributes[typ]; a != nil && !redact(*a.raw).IsWhollyKnown() {
		out = append(out, &Block{Type: typ, Body: &Body{Attributes: map[string]*Attribute{}}, Position: a.Position, Unknown: openCauses(*a.raw, typ, a.Position)})
	}
	return out
}

// objectsIn are the objects that a value is, or holds as a list; up to Terraform 0.11
// also as a list in it. It is nil if it is, or holds, anything else.
func objectsIn(v cty.Value) []cty.Value {
	v, marks := v.Unmark()
	if !v.IsKnown() || v.IsNull() || !v.CanIterateElements() {
		return nil
	}
	if ty := v.Type(); ty.IsObjectType() || ty.IsMapType() {
		return []cty.Value{v.WithMarks(marks)}
	}
	var out []cty.Value
	found := false
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if bare, _ := e.Unmark(); !bare.IsKnown() {
			out = append(out, e.WithMarks(marks))
			continue
		} else if bare.IsNull() {
			continue
		}
		inner := objectsIn(e)
		if inner == nil {
			return nil
		}
		found = true
		for _, o := range inner {
			out = append(out, o.WithMarks(marks))
		}
	}
	if !found {
		return nil
	}
	return out
}

// objectBlocks are the blocks that an object, or a list of objects, stands
// for; nil if it is anything else.
func objectBlocks(typ, name string, e hclsyntax.Expression, r hcl.Range) []*hclsyntax.Block {
	var objects []hclsyntax.Expression
	switch x := e.(type) {
	case *hclsyntax.ObjectConsExpr:
		objects = []hclsyntax.Expression{x}
	case *hclsyntax.TupleConsExpr:
		objects = x.Exprs
	}
	var out []*hclsyntax.Block
	for _, o := range objects {
		x, ok := o.(*hclsyntax.ObjectConsExpr)
		if !ok {
			return nil
		}
		body := objectBody(x, func(key string, value hclsyntax.Expression, r hcl.Range) []*hclsyntax.Block {
			switch {
			case key == "dynamic":
				return dynamicBlocks(typ, value)
			case isMap(typ, key):
				return nil
			}
			return objectBlocks(typ, key, value, r)
		})
		if body == nil {
			return nil
		}
		out = append(out, &hclsyntax.Block{Type: name, Body: body, TypeRange: r, OpenBraceRange: r, CloseBraceRange: r})
	}
	return out
}

// isManifestList reports whether a key is the name of a list in a manifest, where
// the provider has blocks of another name: no resource of its is written so.
func isManifestList(key string) bool {
	if _, block := repeated[key]; block {
		return false
	}
	return slices.Contains(slices.Collect(maps.Values(repeated)), key)
}

// dynamicBlocks are the dynamic blocks that an object stands for: by type one
// of them, or a list.
func dynamicBlocks(typ string, e hclsyntax.Expression) []*hclsyntax.Block {
	types, ok := e.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return nil
	}
	var out []*hclsyntax.Block
	for _, item := range types.Items {
		label, ok := keyText(item.KeyExpr)
		objects := []hclsyntax.Expression{item.ValueExpr}
		if list, many := item.ValueExpr.(*hclsyntax.TupleConsExpr); many {
			objects = list.Exprs
		}
		for _, o := range objects {
			x, written := o.(*hclsyntax.ObjectConsExpr)
			if !ok || !written {
				return nil
			}
			body := objectBody(x, func(key string, value hclsyntax.Expression, r hcl.Range) []*hclsyntax.Block {
				if key != "content" {
					return nil
				}
				return objectBlocks(typ, key, value, r)
			})
			if body == nil {
				return nil
			}
			r := item.KeyExpr.Range()
			out = append(out, &hclsyntax.Block{Type: "dynamic", Labels: []string{label}, LabelRanges: []hcl.Range{r}, Body: body, TypeRange: r, OpenBraceRange: r, CloseBraceRange: r})
		}
	}
	return out
}

// objectBody is the body of the block that an object stands for: of each key
// the blocks that blocks returns, or an argument. It is nil if a key has to be
// evaluated.
func objectBody(x *hclsyntax.ObjectConsExpr, blocks func(key string, value hclsyntax.Expression, r hcl.Range) []*hclsyntax.Block) *hclsyntax.Body {
	out := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: x.SrcRange}
	for _, item := range x.Items {
		key, ok := keyText(item.KeyExpr)
		if !ok {
			return nil
		}
		r := item.KeyExpr.Range()
		if key == "//" { // a comment in JSON
			continue
		}
		if list := blocks(key, item.ValueExpr, r); list != nil {
			out.Blocks = append(out.Blocks, list...)
			continue
		}
		out.Attributes[key] = &hclsyntax.Attribute{Name: key, Expr: item.ValueExpr, SrcRange: r, NameRange: r, EqualsRange: r}
	}
	return out
}

// keyText is the key of an object, if it is written out.
func keyText(e hclsyntax.Expression) (string, bool) {
	if k, ok := e.(*hclsyntax.ObjectConsKeyExpr); ok {
		if word := hcl.ExprAsKeyword(k.Wrapped); word != "" && !k.ForceNonLiteral {
			return word, true
		}
		e = k.Wrapped
	}
	if t, ok := e.(*hclsyntax.TemplateExpr); ok && t.IsStringLiteral() {
		e = t.Parts[0]
	}
	l, ok := e.(*hclsyntax.LiteralValueExpr)
	if !ok || l.Val.Type() != cty.String || !l.Val.IsKnown() || l.Val.IsNull() || l.Val.IsMarked() {
		return "", false
	}
	return l.Val.AsString(), true
}
