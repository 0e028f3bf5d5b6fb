package terraform

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// terragruntFile is the name of Terragrunt's configuration of a folder.
const terragruntFile = "terragrunt.hcl"

// terragruntConfig is what is read of such a file.
type terragruntConfig struct {
	inputs map[string]given
	open   []Cause // why there may be inputs that are not known
	source string
	from   Position
}

// terragrunt reads the inputs of the root module from a terragrunt.hcl beside
// it, and the folder of the module from its source. Of Terragrunt's language it
// has local values, inputs, includes and the functions that name folders; what
// comes from a dependency, the environment or a program is unknown. It returns
// "" for a folder without such a file or without a source.
func (l *loader) terragrunt() (string, error) {
	name := path.Join(l.dir, terragruntFile)
	if ok, err := l.tree.exists(name, false); err != nil || !ok {
		return "", nil
	}
	c := l.readTerragrunt(name, path.Dir(name), 0)
	l.inputs, l.openInputs = c.inputs, c.open
	if c.source == "" {
		return "", nil
	}
	local := strings.Replace(c.source, "//", "/", 1)
	if !strings.HasPrefix(local, ".") && !strings.HasPrefix(local, "/") {
		l.diags.warn(c.from, "the module is not read", "its source is not in the tree: "+c.source)
		l.remote = &Cause{CauseModule, c.source, c.from}
		return "", nil
	}
	dir, err := l.tree.locate(l.dir, local)
	if err != nil {
		return "", fmt.Errorf("source %s: %w", c.source, err)
	}
	return dir, nil
}

// readTerragrunt reads one file. base is the folder of the file that includes
// it, or its own.
func (l *loader) readTerragrunt(name, base string, depth int) terragruntConfig {
	out := terragruntConfig{inputs: map[string]given{}}
	body := l.parseFile(name)
	if body == nil {
		out.open = []Cause{{CauseFile, name, Position{File: name}}}
		return out
	}
	l.prepareBody(body)
	m := &module{dir: path.Dir(name), locals: map[string]*hclsyntax.Attribute{}}
	s := l.newScope(m)
	in := iteration{vars: map[string]cty.Value{}}
	for _, root := range []string{"dependency", "include", "feature", "values", "unit", "stack"} {
		in.vars[root] = unknown(cty.DynamicPseudoType, Cause{CauseInput, root, Position{File: name}})
	}
	before := l.functions
	l.functions = l.terragruntFunctions(name, base)
	defer func() { l.functions = before }()
	for _, b := range body.Blocks {
		if b.Type == "locals" {
			maps.Copy(m.locals, b.Body.Attributes)
		}
	}
	for _, b := range body.Blocks {
		switch b.Type {
		case "include":
			a := b.Body.Attributes["path"]
			if a == nil {
				continue
			}
			v, marks := s.eval(l.prepared(a), in).Unmark()
			if !v.IsKnown() || v.IsNull() || v.Type() != cty.String || depth > 4 {
				out.open = append(out.open, append(causesOf(marks), Cause{CauseInput, "include", at(a.SrcRange)})...)
				continue
			}
			p, err := l.tree.locate(m.dir, v.AsString())
			if err != nil {
				out.open = append(out.open, Cause{CauseFile, v.AsString(), at(a.SrcRange)})
				continue
			}
			parent := l.readTerragrunt(p, m.dir, depth+1)
			maps.Copy(out.inputs, parent.inputs)
			out.open = append(out.open, parent.open...)
			if out.source == "" {
				out.source, out.from = parent.source, parent.from
			}
		case "terraform":
			if a := b.Body.Attributes["source"]; a != nil {
				v, _ := s.eval(l.prepared(a), in).Unmark()
				out.from = at(a.SrcRange)
				out.source = stringOr(v, "a source that is not literal")
			}
		}
	}
	a := body.Attributes["inputs"]
	if a == nil {
		return out
	}
	e := l.prepared(a)
	v, marks := s.eval(e, in).Unmark()
	switch {
	case !v.IsKnown():
		out.open = sortCauses(append(out.open, append(causesOf(marks), Cause{CauseInput, "inputs", at(a.SrcRange)})...))
	case v.IsNull() || !(v.Type().IsObjectType() || v.Type().IsMapType()):
		l.diags.error(at(a.SrcRange), "inputs is not a map", "")
	default:
		for it := v.ElementIterator(); it.Next(); {
			k, x := it.Element()
			out.inputs[k.AsString()] = given{value: x.WithMarks(marks), from: l.itemPosition(e, k.AsString())}
		}
	}
	return out
}

// itemPosition is where a key of an object that is written out stands.
func (l *loader) itemPosition(e *expression, key string) Position {
	if o, ok := bare(e).(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range o.Items {
			if v, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() && !v.IsMarked() && v.AsString() == key {
				return at(item.ValueExpr.Range())
			}
		}
	}
	return at(e.Range())
}

// terragruntFunctions adds Terragrunt's functions that name folders.
func (l *loader) terragruntFunctions(name, base string) map[string]function.Function {
	t := maps.Clone(l.functions)
	constant := func(s string) function.Function {
		return function.New(&function.Spec{
			Type: function.StaticReturnType(cty.String),
			Impl: func([]cty.Value, cty.Type) (cty.Value, error) { return cty.StringVal(s), nil },
		})
	}
	t["get_terragrunt_dir"] = constant(l.absolute(l.dir))
	t["get_original_terragrunt_dir"] = t["get_terragrunt_dir"]
	t["get_parent_terragrunt_dir"] = constant(l.absolute(path.Dir(name)))
	relative, included := ".", path.Dir(name)
	if rel, ok := strings.CutPrefix(base+"/", included+"/"); ok {
		relative = cmp.Or(strings.TrimSuffix(rel, "/"), ".")
	} else if included == "." {
		relative = base
	}
	t["path_relative_to_include"] = constant(relative)
	t["find_in_parent_folders"] = function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "name", Type: cty.String},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			wanted := []string{terragruntFile, "root.hcl"}
			if len(args) > 0 {
				wanted = []string{args[0].AsString()}
			}
			for dir := path.Dir(name); dir != "."; {
				dir = path.Dir(dir)
				for _, w := range wanted {
					p, err := l.tree.locate(dir, w)
					if err != nil {
						continue
					}
					if ok, err := l.tree.exists(p, false); err == nil && ok {
						return cty.StringVal(l.absolute(p)), nil
					}
				}
			}
			if len(args) > 1 {
				return args[1], nil
			}
			return unknown(cty.String, Cause{Kind: CauseFile, Name: wanted[0]}), nil
		},
	})
	return t
}
