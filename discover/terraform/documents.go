package terraform

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"sigs.k8s.io/yaml"
)

// localFile is the content that a local_file data source reads.
func (r *Resource) localFile() cty.Value {
	a := r.Body.Attributes["filename"]
	if a == nil {
		return unknown(cty.String, Cause{CauseData, r.Address, r.Position})
	}
	name, marks := a.raw.Unmark()
	if !name.IsKnown() || name.IsNull() || name.Type() != cty.String {
		return unknown(cty.String, *firstCause(marks, r))
	}
	data, err := r.scope.l.open(name.AsString())
	if err != nil {
		return unknown(cty.String, r.scope.l.fileCause(name.AsString()))
	}
	return cty.StringVal(string(data)).WithMarks(marks)
}

// documents are the attributes documents and manifests of the provider
// kubectl's data sources, which split YAML: of an argument, or of the files that
// a pattern matches, each a template (gavinbunney/kubectl 1.19,
// kubernetes/data_source_kubectl_{file,path}_documents.go).
func (r *Resource) documents() (documents, manifests cty.Value) {
	texts, cause := r.documentTexts()
	if cause != nil {
		v := unknown(cty.DynamicPseudoType, *cause)
		return v, v
	}
	l := r.scope.l
	var list []cty.Value
	named := map[string]cty.Value{}
	for _, t := range texts {
		text, marks := t.Unmark()
		if !text.IsKnown() {
			v := cty.DynamicVal.WithMarks(marks)
			return v, v
		}
		if text.IsNull() {
			return r.noDocuments(errors.New("a template is rendered to nothing"))
		}
		for i, doc := range strings.Split(text.AsString(), "\n---") {
			if err := cmp.Or(checkYAML(doc, l.limits.Nesting), l.budget.afford(documentWork(doc))); err != nil {
				return r.noDocuments(err)
			}
			if i > 0 { // what stands on the line of the separator is not of the document
				_, doc, _ = strings.Cut(doc, "\n")
			}
			doc = strings.TrimSpace(doc)
			var m map[string]any
			if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
				return r.noDocuments(errors.New("a document is not a map in YAML"))
			}
			if len(m) == 0 {
				continue
			}
			canonical, err := yaml.Marshal(m)
			if err != nil {
				return r.noDocuments(err)
			}
			link := selfLink(m)
			if _, twice := named[link]; twice {
				return r.noDocuments(errors.New("two documents are of one object, which the provider refuses"))
			}
			list = append(list, cty.StringVal(doc).WithMarks(marks))
			named[link] = cty.StringVal(string(canonical)).WithMarks(marks)
		}
	}
	return cty.TupleVal(list), cty.ObjectVal(named)
}

func (r *Resource) noDocuments(why error) (documents, manifests cty.Value) {
	r.scope.l.diags.error(r.Position, "the documents are not read", why.Error())
	v := unknown(cty.DynamicPseudoType, Cause{CauseError, r.Address, r.Position})
	return v, v
}

// documentTexts are the texts to split, or why they are not known.
func (r *Resource) documentTexts() ([]cty.Value, *Cause) {
	l := r.scope.l
	name := "content"
	if r.Type == "kubectl_path_documents" {
		name = "pattern"
	}
	a := r.Body.Attributes[name]
	if a == nil {
		return nil, &Cause{CauseData, r.Address, r.Position}
	}
	v, marks := a.raw.Unmark()
	if !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
		return nil, firstCause(marks, r)
	}
	if name == "content" {
		return []cty.Value{*a.raw}, nil
	}
	files, err := l.matching(v.AsString())
	if err != nil {
		cause := l.fileCause(v.AsString())
		cause.Position = a.Position
		return nil, &cause
	}
	vars, cause := r.templateVars()
	if cause != nil {
		return nil, cause
	}
	plain := false
	if d := r.Body.Attributes["disable_template"]; d != nil {
		b := bareOf(*d.raw)
		if !b.IsKnown() {
			return nil, firstCause(nil, r)
		}
		plain = b.Type() == cty.Bool && !b.IsNull() && b.True()
	}
	var out []cty.Value
	for _, f := range files {
		data, err := l.tree.read(f)
		if err != nil {
			return nil, &Cause{CauseFile, f, a.Position}
		}
		if plain {
			out = append(out, cty.StringVal(string(data)))
			continue
		}
		e, err := l.syntax.template(data, f)
		var text cty.Value
		if err == nil {
			text, err = l.render(e, vars)
		}
		if err != nil {
			l.diags.error(r.Position, "the template cannot be rendered", err.Error())
			return nil, &Cause{CauseError, r.Address, r.Position}
		}
		if text = l.settle(text, e, &hcl.EvalContext{}, r.Position); bareOf(text).Type() != cty.String && bareOf(text).IsKnown() {
			return nil, &Cause{CauseError, r.Address, r.Position}
		}
		out = append(out, text)
	}
	return out, nil
}

// templateVars are the variables of a template, plain and sensitive.
func (r *Resource) templateVars() (cty.Value, *Cause) {
	all := map[string]cty.Value{}
	for _, name := range []string{"vars", "sensitive_vars"} {
		a := r.Body.Attributes[name]
		if a == nil {
			continue
		}
		v, marks := a.raw.Unmark()
		if !v.IsKnown() {
			return cty.NilVal, firstCause(marks, r)
		}
		if v.IsNull() || !v.Type().IsObjectType() && !v.Type().IsMapType() {
			continue
		}
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			all[k.AsString()] = asText(e).WithMarks(marks)
		}
	}
	return cty.ObjectVal(all), nil
}

// matching are the files of the tree that a pattern of Go's filepath.Glob
// matches, sorted.
func (l *loader) matching(pattern string) ([]string, error) {
	if len(pattern) > maxGlob {
		return nil, fmt.Errorf("the pattern is too long")
	}
	fixed := pattern
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		fixed = pattern[:i]
	}
	base, rest := "", pattern
	if i := strings.LastIndex(fixed, "/"); i >= 0 {
		base, rest = pattern[:i+1], pattern[i+1:]
	}
	dir, err := l.tree.locate(l.dir, cmp.Or(base, "."))
	if err != nil {
		return nil, err
	}
	if ok, err := l.exists(dir, true); err != nil || !ok {
		return nil, err
	}
	files, err := l.tree.walk(dir)
	if err != nil {
		return nil, err
	}
	if err := l.budget.charge(int64(len(files))); err != nil {
		return nil, err
	}
	var out []string
	for _, f := range files {
		ok, err := path.Match(rest, f)
		if err != nil {
			return nil, fmt.Errorf("the pattern is not understood: %w", err)
		}
		if ok {
			out = append(out, path.Join(dir, f))
		}
	}
	return out, nil
}

// selfLink is the key of a manifest among the provider's manifests.
func selfLink(m map[string]any) string {
	text := func(v any) string { s, _ := v.(string); return s }
	meta, _ := m["metadata"].(map[string]any)
	if link := text(meta["selfLink"]); link != "" {
		return link
	}
	var b strings.Builder
	version, kind := text(m["apiVersion"]), text(m["kind"])
	b.WriteString("/api")
	if version != "v1" {
		b.WriteString("s")
	}
	if version != "" {
		b.WriteString("/" + version)
	}
	if ns := text(meta["namespace"]); ns != "" {
		b.WriteString("/namespaces/" + ns)
	}
	if kind != "" {
		b.WriteString("/" + strings.ToLower(kind))
		if strings.HasSuffix(kind, "s") {
			b.WriteString("e")
		}
		b.WriteString("s")
	}
	if name := text(meta["name"]); name != "" {
		b.WriteString("/" + name)
	}
	return b.String()
}
