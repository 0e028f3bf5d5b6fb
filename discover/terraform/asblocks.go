package terraform

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// mapArguments are the arguments of the kubernetes provider's workloads that
// are maps; every other object in them is a block.
var mapArguments = map[string]bool{
	"labels": true, "annotations": true, "match_labels": true, "node_selector": true, "limits": true, "requests": true,
	"volume_attributes": true, "options": true,
}

// writtenAsBlocks makes blocks of what a resource of the kubernetes provider
// writes as arguments, as the JSON syntax does, and HCL up to Terraform 0.11
// may: "metadata" of all of them, and "spec" of workloads. What is no object
// that is written out stays an argument.
func writtenAsBlocks(b *hclsyntax.Block) {
	typ := b.Labels[0]
	if !strings.HasPrefix(typ, "kubernetes_") || typ == "kubernetes_manifest" {
		return
	}
	for _, name := range []string{"metadata", "spec"} {
		a := b.Body.Attributes[name]
		if a == nil || name == "spec" && deploymentTypes[typ] == "" {
			continue
		}
		if blocks := objectBlocks(name, a.Expr, a.NameRange); blocks != nil {
			delete(b.Body.Attributes, name)
			b.Body.Blocks = append(b.Body.Blocks, blocks...)
		}
	}
}

// objectBlocks are the blocks that an object, or a list of objects, stands
// for; nil if it is anything else.
func objectBlocks(name string, e hclsyntax.Expression, r hcl.Range) []*hclsyntax.Block {
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
				return dynamicBlocks(value)
			case mapArguments[key], isManifestList(key):
				return nil
			}
			return objectBlocks(key, value, r)
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
func dynamicBlocks(e hclsyntax.Expression) []*hclsyntax.Block {
	types, ok := e.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return nil
	}
	var out []*hclsyntax.Block
	for _, item := range types.Items {
		typ, ok := keyText(item.KeyExpr)
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
				return objectBlocks(key, value, r)
			})
			if body == nil {
				return nil
			}
			r := item.KeyExpr.Range()
			out = append(out, &hclsyntax.Block{Type: "dynamic", Labels: []string{typ}, LabelRanges: []hcl.Range{r}, Body: body, TypeRange: r, OpenBraceRange: r, CloseBraceRange: r})
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
