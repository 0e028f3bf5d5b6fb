package terraform

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// addFileFunctions adds the functions that read files. They read below the
// tree's root only; any other file is unknown, by its name.
func (l *loader) addFileFunctions(t map[string]function.Function) {
	t["file"] = l.fileFunc(func(b []byte) (string, error) {
		if !utf8.Valid(b) {
			return "", errors.New("the file is not UTF-8 text; filebase64 reads it")
		}
		return string(b), nil
	})
	t["filebase64"] = l.fileFunc(func(b []byte) (string, error) { return base64.StdEncoding.EncodeToString(b), nil })
	sum := func(h func() hash.Hash, encode func([]byte) string) function.Function {
		return l.fileFunc(func(b []byte) (string, error) {
			d := h()
			_, _ = d.Write(b) // a hash never fails
			return encode(d.Sum(nil)), nil
		})
	}
	t["filemd5"], t["filesha1"] = sum(md5.New, hex.EncodeToString), sum(sha1.New, hex.EncodeToString)
	t["filesha256"], t["filesha512"] = sum(sha256.New, hex.EncodeToString), sum(sha512.New, hex.EncodeToString)
	t["filebase64sha256"], t["filebase64sha512"] = sum(sha256.New, base64.StdEncoding.EncodeToString), sum(sha512.New, base64.StdEncoding.EncodeToString)
	t["fileexists"] = l.fileexistsFunc()
	t["fileset"] = l.filesetFunc()
	t["abspath"] = text1(func(p string) string {
		if filepath.IsAbs(p) {
			return filepath.ToSlash(filepath.Clean(p))
		}
		return l.absolute(path.Join(l.dir, p))
	})
	t["pathexpand"] = function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if strings.HasPrefix(args[0].AsString(), "~") {
				return unknown(cty.String, Cause{Kind: CauseFile, Name: args[0].AsString()}), nil
			}
			return args[0], nil
		},
	})
	t["templatefile"] = l.templatefileFunc()
	t["templatestring"] = l.templatestringFunc()
	t["try"], t["can"] = l.trying(tryfunc.TryFunc, true), l.trying(tryfunc.CanFunc, false)
}

// trying is "try" or "can". In what they try, a file that is not there is an error, as
// it is for Terraform; elsewhere it only is not here. What they do not come to for
// something unknown has its causes.
func (l *loader) trying(f function.Function, several bool) function.Function {
	arg := function.Parameter{Name: "expression", Type: customdecode.ExpressionClosureType}
	spec := &function.Spec{Params: []function.Parameter{arg}, Type: function.StaticReturnType(cty.Bool)}
	if several { // of the type of what succeeds
		spec = &function.Spec{VarParam: &arg, Type: function.StaticReturnType(cty.DynamicPseudoType)}
	}
	spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		l.tries++
		defer func() { l.tries-- }()
		args = slices.Clone(args)
		for i, arg := range args {
			c := *customdecode.ExpressionClosureFromVal(arg)
			c.Expression = &evaluatedOnce{Expression: c.Expression}
			args[i] = customdecode.ExpressionClosureVal(&c)
		}
		v, err := f.Call(args)
		if err != nil || v.IsKnown() {
			return v, err
		}
		for _, arg := range args {
			tried, diags := customdecode.ExpressionClosureFromVal(arg).Value()
			if causes := Causes(tried); !diags.HasErrors() && len(causes) > 0 {
				return unknown(v.Type(), causes...).WithSameMarks(v), nil
			}
		}
		return v, nil
	}
	return function.New(spec)
}

// evaluatedOnce is an expression of which the value is kept, so that what is nested takes
// no more time with each level. It is for one context alone.
type evaluatedOnce struct {
	hcl.Expression
	value *cty.Value
	diags hcl.Diagnostics
}

func (e *evaluatedOnce) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if e.value == nil {
		v, diags := e.Expression.Value(ctx)
		e.value, e.diags = &v, diags
	}
	return *e.value, e.diags
}

// open reads a file named in the configuration.
func (l *loader) open(name string) ([]byte, error) {
	p, err := l.tree.locate(l.dir, name)
	if err != nil {
		return nil, err
	}
	return l.tree.read(p)
}

func (l *loader) fileFunc(use func([]byte) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			data, err := l.open(args[0].AsString())
			switch {
			case err != nil && l.tries > 0 && l.absent(args[0].AsString()):
				return cty.NilVal, errAbsent
			case err != nil:
				return unknown(cty.String, l.fileCause(args[0].AsString())), nil
			}
			s, err := use(data)
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(s), nil
		},
	})
}

var errAbsent = errors.New("there is no such file")

// exists is [tree.exists], charged for each folder on the way.
func (l *loader) exists(name string, folder bool) (bool, error) {
	if err := l.budget.charge(int64(strings.Count(name, "/")) + 1); err != nil {
		return false, err
	}
	return l.tree.exists(name, folder)
}

// absent reports whether a file that the tree would hold is not there.
func (l *loader) absent(name string) bool {
	p, err := l.tree.locate(l.dir, name)
	if err != nil {
		return false
	}
	ok, err := l.exists(p, false)
	return err == nil && !ok
}

// fileCause names a file that is not read, relative to the root of the tree if it lies below.
func (l *loader) fileCause(name string) Cause {
	p, err := l.tree.locate(l.dir, name)
	if err != nil {
		return Cause{Kind: CauseOutside, Name: name}
	}
	return Cause{Kind: CauseFile, Name: p}
}

func (l *loader) fileexistsFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}}, Type: function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			p, err := l.tree.locate(l.dir, args[0].AsString())
			if err == nil {
				var ok bool
				if ok, err = l.exists(p, false); err == nil {
					return cty.BoolVal(ok), nil
				}
			}
			return unknown(cty.Bool, l.fileCause(args[0].AsString())), nil
		},
	})
}

func (l *loader) filesetFunc() function.Function {
	ty := cty.Set(cty.String)
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "pattern", Type: cty.String}}, Type: function.StaticReturnType(ty),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			re, err := globPattern(args[1].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			p, err := l.tree.locate(l.dir, args[0].AsString())
			if err != nil {
				return unknown(ty, l.fileCause(args[0].AsString())), nil
			}
			if ok, err := l.exists(p, true); err == nil && !ok {
				return cty.SetValEmpty(cty.String), nil
			}
			files, err := l.tree.walk(p)
			if err != nil {
				return unknown(ty, l.fileCause(args[0].AsString())), nil
			}
			if err := l.budget.charge(int64(len(files))); err != nil {
				return cty.NilVal, err
			}
			var out []cty.Value
			for _, f := range files {
				if re.MatchString(f) {
					out = append(out, cty.StringVal(f))
				}
			}
			if out == nil {
				return cty.SetValEmpty(cty.String), nil
			}
			return cty.SetVal(out), nil
		},
	})
}

// maxGlob bounds the length of a pattern of fileset, which is tried on many
// paths.
const maxGlob = 1 << 10

// globPattern compiles a pattern of fileset: *, **, ?, [a-z] and {a,b}.
func globPattern(glob string) (*regexp.Regexp, error) {
	if len(glob) > maxGlob {
		return nil, errors.New("the pattern is too long")
	}
	var b strings.Builder
	b.WriteString("^")
	braces := 0
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '*':
			switch {
			case strings.HasPrefix(glob[i:], "**/"):
				b.WriteString("(?:[^/]+/)*")
				i += 2
			case strings.HasPrefix(glob[i:], "**"):
				b.WriteString(".*")
				i++
			default:
				b.WriteString("[^/]*")
			}
		case '?':
			b.WriteString("[^/]")
		case '[':
			end := strings.IndexByte(glob[i:], ']')
			if end < 2 {
				return nil, errors.New("the pattern has a bracket that is not closed")
			}
			class := glob[i+1 : i+end]
			if class[0] == '!' {
				class = "^" + class[1:]
			}
			b.WriteString("[" + strings.ReplaceAll(class, `\`, `\\`) + "]")
			i += end
		case '{':
			b.WriteString("(?:")
			braces++
		case '}':
			b.WriteString(")")
			braces--
		case ',':
			if braces > 0 {
				b.WriteString("|")
			} else {
				b.WriteString(",")
			}
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	b.WriteString("$")
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, errors.New("the pattern is not understood")
	}
	return re, nil
}

// templateAt parses the template in a file, once. The file's cause is set when
// it cannot be read.
func (l *loader) templateAt(name string) (*expression, *Cause, error) {
	if e, ok := l.templates[name]; ok {
		return e, nil, nil
	}
	data, err := l.open(name)
	switch {
	case err != nil && l.tries > 0 && l.absent(name):
		return nil, nil, errAbsent
	case err != nil:
		c := l.fileCause(name)
		return nil, &c, nil
	}
	p, _ := l.tree.locate(l.dir, name)
	e, err := l.syntax.template(data, p)
	if err != nil {
		return nil, nil, fmt.Errorf("the template is not read: %w", err)
	}
	l.templates[name] = e
	return e, nil, nil
}

// render evaluates a template with the variables of an object.
func (l *loader) render(e *expression, vars cty.Value) (cty.Value, error) {
	ctx, err := l.templateContext(e, vars)
	if err != nil {
		return cty.NilVal, err
	}
	if l.rendering {
		return cty.NilVal, errors.New("a template cannot call templatefile or templatestring")
	}
	l.rendering = true
	defer func() { l.rendering = false }()
	v, diags := guarded(e.Range(), func() (cty.Value, hcl.Diagnostics) { return e.Value(ctx) })
	if diags.HasErrors() {
		d := diags[0]
		msg := d.Summary
		if d.Subject != nil {
			msg = at(*d.Subject).String() + ": " + msg
		}
		if !l.mentionsSecret(e, ctx) {
			msg += ": " + d.Detail
		}
		return cty.NilVal, errors.New(msg)
	}
	return v, nil
}

func (l *loader) templateContext(e *expression, vars cty.Value) (*hcl.EvalContext, error) {
	bare, marks := vars.Unmark()
	if ty := bare.Type(); !ty.IsObjectType() && !ty.IsMapType() {
		return nil, errors.New("the variables of the template are not a map")
	}
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{}, Functions: (&scope{l: l}).functionsFor(e)}
	if bare.IsNull() {
		return ctx, nil
	}
	for it := bare.ElementIterator(); it.Next(); {
		k, v := it.Element()
		ctx.Variables[k.AsString()] = v.WithMarks(marks)
	}
	for _, t := range e.refs {
		if _, ok := ctx.Variables[t.RootName()]; !ok {
			return nil, namesError{fmt.Errorf("%s: the template refers to %q, which is not passed to it", at(t.SourceRange()), t.RootName())}
		}
	}
	return ctx, nil
}

func (l *loader) templatefileFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "path", Type: cty.String},
			{Name: "vars", Type: cty.DynamicPseudoType, AllowMarked: true, AllowUnknown: true, AllowDynamicType: true},
		},
		Type: function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			e, missing, err := l.templateAt(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			if missing != nil {
				return unknown(cty.String, *missing), nil
			}
			if bare, marks := args[1].Unmark(); !bare.IsKnown() {
				return cty.UnknownVal(cty.String).WithMarks(marks), nil
			}
			return l.render(e, args[1])
		},
	})
}

func (l *loader) templatestringFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "template", Type: cty.String},
			{Name: "vars", Type: cty.DynamicPseudoType, AllowMarked: true, AllowUnknown: true, AllowDynamicType: true},
		},
		Type: function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			e, err := l.syntax.template([]byte(args[0].AsString()), "template")
			if err != nil {
				return cty.NilVal, err
			}
			if bare, marks := args[1].Unmark(); !bare.IsKnown() {
				return cty.UnknownVal(cty.String).WithMarks(marks), nil
			}
			return l.render(e, args[1])
		},
	})
}

// templateFile is the rendered attribute of a template_file data source. Its
// template is text; up to Terraform 0.11 it could name a file.
func (r *Resource) templateFile() cty.Value {
	e, vars, cause := r.template()
	if cause != nil {
		return unknown(cty.String, *cause)
	}
	l := r.scope.l
	v, err := l.render(e, vars)
	if err != nil {
		l.diags.error(r.Position, "the template cannot be rendered", err.Error())
		return unknown(cty.String, append(Causes(vars), Cause{CauseError, r.Address, r.Position})...)
	}
	return l.settle(v, e, &hcl.EvalContext{}, r.Position)
}

// template returns the parsed template of a template_file data source and its
// variables, or why there is none.
func (r *Resource) template() (*expression, cty.Value, *Cause) {
	l := r.scope.l
	none := func(kind CauseKind, pos Position) (*expression, cty.Value, *Cause) {
		return nil, cty.NilVal, &Cause{kind, r.Address, pos}
	}
	a := r.Body.Attributes["template"]
	if a == nil {
		return none(CauseData, r.Position)
	}
	text, marks := a.raw.Unmark()
	switch {
	case !text.IsKnown():
		return nil, cty.NilVal, firstCause(marks, r)
	case text.IsNull() || text.Type() != cty.String:
		return none(CauseError, a.Position)
	}
	e, err := l.syntax.template([]byte(text.AsString()), a.Position.File)
	if err != nil {
		l.diags.error(a.Position, "the template is not read", err.Error())
		return none(CauseError, a.Position)
	}
	vars := cty.EmptyObjectVal
	if v := r.Body.Attributes["vars"]; v != nil {
		vars = asTexts(*v.raw)
	}
	for _, b := range r.Body.All("vars") { // Terraform up to 0.11
		m := map[string]cty.Value{}
		for n, x := range b.Body.Attributes {
			m[n] = asText(*x.raw)
		}
		vars = cty.ObjectVal(m)
	}
	if bare, marks := vars.Unmark(); !bare.IsKnown() {
		return nil, cty.NilVal, firstCause(marks, r)
	}
	return e, vars, nil
}

// asTexts makes texts of the variables of a template: to their providers they are
// a map of texts, so that true equals "true" in a template, and 1 is not 1.
func asTexts(vars cty.Value) cty.Value {
	bare, marks := vars.Unmark()
	if !bare.IsKnown() || bare.IsNull() || !bare.Type().IsObjectType() && !bare.Type().IsMapType() {
		return vars
	}
	all := map[string]cty.Value{}
	for it := bare.ElementIterator(); it.Next(); {
		k, v := it.Element()
		all[k.AsString()] = asText(v)
	}
	return cty.ObjectVal(all).WithMarks(marks)
}

// asText is a value as text, where it can be one.
func asText(v cty.Value) cty.Value {
	if text, err := convert.Convert(v, cty.String); err == nil {
		return text
	}
	return v
}

func firstCause(marks cty.ValueMarks, r *Resource) *Cause {
	c := append(sortCauses(causesOf(marks)), Cause{CauseData, r.Address, r.Position})
	return &c[0]
}
