package terraform

import (
	"maps"
	"path"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// SpokenWorkspaces are names of workspaces that the configuration itself speaks
// of, sorted: those that it compares terraform.workspace with, and the keys of
// maps that it looks terraform.workspace up in. There may be others.
func (r *Result) SpokenWorkspaces() []string {
	l := r.loader
	if l == nil || !l.workspaceUsed {
		return nil
	}
	w := spokenWorkspaces{l: l, found: map[string]bool{}, seen: map[spokenKey]bool{}}
	for e := range l.syntax.prepare {
		_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics { // the function gives none
			if x, ok := n.(hclsyntax.Expression); ok {
				w.look(bare(x))
			}
			return nil
		})
	}
	names := slices.Sorted(maps.Keys(w.found))
	return names[:min(len(names), maxWorkspaces)]
}

// spokenWorkspaces collects names of workspaces.
type spokenWorkspaces struct {
	l     *loader
	found map[string]bool
	seen  map[spokenKey]bool // what was collected from
}

// spokenKey is an expression, and how many names may be followed from it.
type spokenKey struct {
	e     hclsyntax.Expression
	depth int
}

func (w *spokenWorkspaces) look(e hclsyntax.Expression) {
	switch e := e.(type) {
	case *hclsyntax.BinaryOpExpr:
		if e.Op != hclsyntax.OpEqual && e.Op != hclsyntax.OpNotEqual {
			return
		}
		if w.l.isWorkspace(e.LHS, maxNamed) {
			w.literal(e.RHS)
		} else if w.l.isWorkspace(e.RHS, maxNamed) {
			w.literal(e.LHS)
		}
	case *hclsyntax.IndexExpr:
		if w.l.isWorkspace(e.Key, maxNamed) {
			w.keys(e.Collection, maxNamed)
		}
	case *hclsyntax.FunctionCallExpr:
		if (e.Name == "lookup" || e.Name == "contains") && len(e.Args) > 1 && w.l.isWorkspace(e.Args[1], maxNamed) {
			w.keys(e.Args[0], maxNamed)
		}
	}
}

// maxNamed bounds how many names are followed to what they stand for.
const maxNamed = 4

// isWorkspace reports whether an expression is terraform.workspace, or a local
// value that is.
func (l *loader) isWorkspace(e hclsyntax.Expression, depth int) bool {
	e = bare(e)
	if w, ok := e.(*hclsyntax.TemplateWrapExpr); ok {
		e = bare(w.Wrapped)
	}
	x, ok := e.(*hclsyntax.ScopeTraversalExpr)
	if !ok || len(x.Traversal) != 2 {
		return false
	}
	if x.Traversal.RootName() == "terraform" {
		name := step(x.Traversal, 1)
		return name == "workspace" || name == "env"
	}
	named := l.named(x)
	return named != nil && depth > 0 && l.isWorkspace(named, depth-1)
}

// named is the expression that a local value has, or the default of a
// variable that is not sensitive, in the module that refers to it; nil for
// anything else.
func (l *loader) named(x *hclsyntax.ScopeTraversalExpr) hclsyntax.Expression {
	m := l.modules[path.Dir(x.SrcRange.Filename)]
	if m == nil {
		return nil
	}
	switch name := step(x.Traversal, 1); x.Traversal.RootName() {
	case "local":
		if a := m.locals[name]; a != nil {
			return a.Expr
		}
	case "var":
		if v := m.variables[name]; v != nil && v.value != nil && !v.sensitive {
			return v.value
		}
	}
	return nil
}

// literal collects a text that is written out.
func (w *spokenWorkspaces) literal(e hclsyntax.Expression) {
	v, diags := bare(e).Value(nil)
	if diags.HasErrors() || v.IsMarked() || v.Type() != cty.String || !v.IsKnown() || v.IsNull() {
		return
	}
	if name := v.AsString(); name != "" && name != "default" {
		w.found[name] = true
	}
}

// keys collects the elements of a list that is written out, and the keys of a
// map.
func (w *spokenWorkspaces) keys(e hclsyntax.Expression, depth int) {
	e = bare(e)
	if w.seen[spokenKey{e, depth}] {
		return
	}
	w.seen[spokenKey{e, depth}] = true
	switch e := e.(type) {
	case *hclsyntax.ObjectConsExpr:
		for _, item := range e.Items {
			w.literal(item.KeyExpr)
		}
	case *hclsyntax.TupleConsExpr:
		for _, x := range e.Exprs {
			w.literal(x)
		}
	case *hclsyntax.ScopeTraversalExpr:
		if named := w.l.named(e); len(e.Traversal) == 2 && depth > 0 && named != nil {
			w.keys(named, depth-1)
		}
	case *hclsyntax.FunctionCallExpr:
		if slices.Contains([]string{"tomap", "toset", "tolist", "keys", "merge", "concat"}, e.Name) {
			for _, x := range e.Args {
				w.keys(x, depth)
			}
		}
	}
}
