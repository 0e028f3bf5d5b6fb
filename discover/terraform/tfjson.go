package terraform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// jsonValue is a JSON value with the place where it ends, which is as near as
// the decoder says where it stands.
type jsonValue struct {
	pos    hcl.Pos
	scalar any // string, bool, json.Number or nil, when neither of the others
	object []jsonMember
	array  []jsonValue
	kind   byte // 's', '{' or '['
}

type jsonMember struct {
	key   string
	pos   hcl.Pos
	value jsonValue
}

// jsonBlocks says for each block type of the JSON syntax how many labels a
// block has: that many levels of objects stand above its body.
var jsonBlocks = map[string]int{
	"terraform": 0, "locals": 0, "variable": 1, "output": 1, "module": 1, "provider": 1, "check": 1,
	"resource": 2, "data": 2, "ephemeral": 2, "action": 2, "moved": 0, "removed": 0, "import": 0,
}

// parseJSON reads a file of the JSON syntax into the same tree as the native
// syntax has. Arguments that are objects stay attributes, since only a provider
// knows which of them are blocks; the dynamic blocks and provisioners that the
// language itself defines become blocks.
func (s *syntax) parseJSON(src []byte, name string) *hclsyntax.Body {
	words := 0
	for _, sign := range []string{",", ":", "[", "{"} {
		words += bytes.Count(src, []byte(sign))
	}
	err := s.count(words)
	var root jsonValue
	if err == nil {
		root, err = decodeJSON(src, s.limits.Nesting)
	}
	if err != nil {
		s.diags.error(Position{File: name}, fileNotRead, err.Error())
		return nil
	}
	body := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}}
	for _, top := range flattenJSON(root) {
		for _, m := range top.object {
			labels, ok := jsonBlocks[m.key]
			if !ok {
				continue
			}
			s.jsonBlock(body, name, m.key, nil, labels, m.value)
		}
	}
	return body
}

// jsonBlock adds the blocks of one type: below `labels` levels of objects.
func (s *syntax) jsonBlock(into *hclsyntax.Body, name, typ string, have []string, labels int, v jsonValue) {
	for _, o := range flattenJSON(v) {
		if labels > 0 {
			for _, m := range o.object {
				s.jsonBlock(into, name, typ, append(slices.Clone(have), m.key), labels-1, m.value)
			}
			continue
		}
		r := jsonRange(name, o.pos)
		block := &hclsyntax.Block{Type: typ, Labels: have, Body: s.jsonBody(o, name, typ), TypeRange: r, OpenBraceRange: r, CloseBraceRange: r}
		for range have {
			block.LabelRanges = append(block.LabelRanges, r)
		}
		into.Blocks = append(into.Blocks, block)
	}
}

// jsonNested lists the blocks that the language, not a provider, defines
// inside others, with their number of labels.
var jsonNested = map[string]map[string]int{
	"resource":  {"dynamic": 1, "provisioner": 1, "connection": 0, "lifecycle": 0},
	"data":      {"dynamic": 1, "lifecycle": 0},
	"terraform": {"backend": 1, "required_providers": 0, "cloud": 0},
	"backend":   {"workspaces": 0},
	"cloud":     {"workspaces": 0},
	"variable":  {"validation": 0},
	"dynamic":   {"content": 0},
	"content":   {"dynamic": 1},
	"removed":   {"lifecycle": 0},
}

func (s *syntax) jsonBody(o jsonValue, name, typ string) *hclsyntax.Body {
	body := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: jsonRange(name, o.pos)}
	for _, m := range o.object {
		if m.key == "//" {
			continue
		}
		if labels, ok := jsonNested[typ][m.key]; ok {
			s.jsonBlock(body, name, m.key, nil, labels, m.value)
			continue
		}
		r := jsonRange(name, m.pos)
		body.Attributes[m.key] = &hclsyntax.Attribute{Name: m.key, Expr: s.jsonExpr(m.value, name, true), SrcRange: r, NameRange: r, EqualsRange: r}
	}
	return body
}

// jsonExpr turns a JSON value into an expression; its strings are templates,
// or plain text where the file holds values only.
func (s *syntax) jsonExpr(v jsonValue, name string, templates bool) hclsyntax.Expression {
	r := jsonRange(name, v.pos)
	literal := func(c cty.Value) hclsyntax.Expression { return &hclsyntax.LiteralValueExpr{Val: c, SrcRange: r} }
	switch v.kind {
	case '{':
		out := &hclsyntax.ObjectConsExpr{SrcRange: r, OpenRange: r}
		for _, m := range v.object {
			key := s.jsonExpr(jsonValue{kind: 's', scalar: m.key, pos: m.pos}, name, templates)
			out.Items = append(out.Items, hclsyntax.ObjectConsItem{KeyExpr: &hclsyntax.ObjectConsKeyExpr{Wrapped: key, ForceNonLiteral: true}, ValueExpr: s.jsonExpr(m.value, name, templates)})
		}
		return out
	case '[':
		out := &hclsyntax.TupleConsExpr{SrcRange: r, OpenRange: r}
		for _, e := range v.array {
			out.Exprs = append(out.Exprs, s.jsonExpr(e, name, templates))
		}
		return out
	}
	switch x := v.scalar.(type) {
	case string:
		if !templates || !strings.ContainsAny(x, "$%") {
			return literal(cty.StringVal(x))
		}
		if err := s.checkTemplate([]byte(x), name); err != nil {
			s.diags.error(at(r), "the template is not read", err.Error())
			return literal(unknown(cty.String, Cause{Kind: CauseError, Name: "template", Position: at(r)}))
		}
		e, diags := hclsyntax.ParseTemplate([]byte(x), name, v.pos)
		s.diags.parse(diags)
		if diags.HasErrors() {
			return literal(unknown(cty.String, Cause{Kind: CauseError, Name: "template", Position: at(r)}))
		}
		return e
	case bool:
		return literal(cty.BoolVal(x))
	case json.Number:
		n, err := cty.ParseNumberVal(x.String())
		if err != nil {
			return literal(unknown(cty.Number, Cause{Kind: CauseError, Name: x.String(), Position: at(r)}))
		}
		return literal(n)
	}
	return literal(cty.NullVal(cty.DynamicPseudoType))
}

func jsonRange(name string, p hcl.Pos) hcl.Range {
	return hcl.Range{Filename: name, Start: p, End: p}
}

// flattenJSON returns the objects of a value that is one or a list of them.
func flattenJSON(v jsonValue) []jsonValue {
	switch v.kind {
	case '{':
		return []jsonValue{v}
	case '[':
		var out []jsonValue
		for _, e := range v.array {
			out = append(out, flattenJSON(e)...)
		}
		return out
	}
	return nil
}

// decodeJSON parses src, nested at most limit deep.
func decodeJSON(src []byte, limit int) (jsonValue, error) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	p := &jsonParser{dec: d, src: src, limit: limit, pos: hcl.InitialPos}
	v, err := p.value(0)
	if err != nil {
		return v, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, errors.New("there is more after the JSON value")
	}
	return v, nil
}

type jsonParser struct {
	dec   *json.Decoder
	src   []byte
	limit int
	pos   hcl.Pos
}

// advance moves pos to where the decoder stands.
func (p *jsonParser) advance() hcl.Pos {
	for end := int(p.dec.InputOffset()); p.pos.Byte < end; p.pos.Byte++ {
		if p.src[p.pos.Byte] == '\n' {
			p.pos.Line++
			p.pos.Column = 1
		} else {
			p.pos.Column++
		}
	}
	return p.pos
}

func (p *jsonParser) value(depth int) (jsonValue, error) {
	if depth > p.limit {
		return jsonValue{}, fmt.Errorf("nested deeper than %d levels", p.limit)
	}
	t, err := p.dec.Token()
	if err != nil {
		return jsonValue{}, fmt.Errorf("parse JSON: %w", err)
	}
	v := jsonValue{pos: p.advance()}
	if n, ok := t.(json.Number); ok && len(n) > 400 {
		return v, fmt.Errorf("line %d: the number is too large", v.pos.Line)
	}
	switch t {
	case json.Delim('{'):
		v.kind = '{'
		for p.dec.More() {
			k, err := p.dec.Token()
			if err != nil {
				return v, fmt.Errorf("parse JSON: %w", err)
			}
			key, ok := k.(string)
			if !ok {
				return v, errors.New("parse JSON: a key is not a string")
			}
			m := jsonMember{key: key, pos: p.advance()}
			if m.value, err = p.value(depth + 1); err != nil {
				return v, err
			}
			v.object = append(v.object, m)
		}
	case json.Delim('['):
		v.kind = '['
		for p.dec.More() {
			e, err := p.value(depth + 1)
			if err != nil {
				return v, err
			}
			v.array = append(v.array, e)
		}
	default:
		v.kind, v.scalar = 's', t
		return v, nil
	}
	if _, err := p.dec.Token(); err != nil {
		return v, fmt.Errorf("parse JSON: %w", err)
	}
	return v, nil
}
