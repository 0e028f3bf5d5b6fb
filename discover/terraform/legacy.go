package terraform

import (
	"bytes"
	"regexp"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// modernize rewrites what HCL 1 (Terraform up to 0.11) accepted and HCL 2 does
// not, keeping every line where it is. It reports whether it changed anything:
//
//   - dotted keys, as in labels { a.b = "c" }, get quotes;
//   - a block whose body has quoted keys, as in labels { "a/b" = "c" }, becomes an
//     attribute;
//   - quotes escaped inside an interpolation, "${lookup(m, \"k\")}", lose the
//     backslash;
//   - attributes on one line, { type = "string" default = "x" }, get a line
//     each, and blank lines after them go, so that what follows stays in place.
//
// Where no blank line follows, moved says by how many lines what follows moves.
func modernize(src []byte, name string) (out []byte, changed bool, moved int) {
	out = unescapeInterpolations(src)
	out = quoteDotted(out, name)
	out = blocksToObjects(out, name)
	out, moved = splitLines(out, name)
	return out, !bytes.Equal(out, src), moved
}

// splitLines gives each attribute a line of its own where several stand on one.
func splitLines(src []byte, name string) ([]byte, int) {
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	type brace struct {
		start int  // index of the token
		split bool // its attributes are given lines
	}
	var open []brace
	breaks := map[int]bool{} // bytes before which a line ends
	for i, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace:
			open = append(open, brace{start: i})
		case hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			open = append(open, brace{start: -1})
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			if len(open) == 0 {
				continue
			}
			if top := open[len(open)-1]; top.split && i > 0 && tokens[i-1].Type != hclsyntax.TokenNewline {
				breaks[t.Range.Start.Byte] = true
			}
			open = open[:len(open)-1]
		case hclsyntax.TokenIdent:
			if i == 0 || i+1 >= len(tokens) || tokens[i+1].Type != hclsyntax.TokenEqual || len(open) == 0 || open[len(open)-1].start < 0 || !endsValue(tokens[i-1].Type) {
				continue
			}
			top := &open[len(open)-1]
			if first := tokens[top.start+1]; !top.split && first.Type != hclsyntax.TokenNewline {
				breaks[first.Range.Start.Byte] = true
			}
			top.split = true
			breaks[t.Range.Start.Byte] = true
		}
	}
	if len(breaks) == 0 {
		return src, 0
	}
	out := make([]byte, 0, len(src)+len(breaks))
	moved := 0
	for i, c := range src {
		if breaks[i] {
			out = append(out, '\n')
			moved++
		}
		if c == '\n' && moved > 0 && bytes.HasSuffix(out, []byte("\n")) {
			moved-- // a blank line makes room
			continue
		}
		out = append(out, c)
	}
	return out, moved
}

// endsValue reports whether a value can end with such a token.
func endsValue(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenCQuote, hclsyntax.TokenNumberLit, hclsyntax.TokenIdent, hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenCParen:
		return true
	}
	return false
}

// unescapeInterpolations replaces \" inside ${ } of quoted strings by a quote
// and a space outside of it, so that columns stay.
func unescapeInterpolations(src []byte) []byte {
	out := bytes.Clone(src)
	depth, inside := 0, false
	for i := 0; i+1 < len(out); i++ {
		switch {
		case out[i] == '\n':
			depth, inside = 0, false
		case out[i] == '$' && out[i+1] == '{' && (i == 0 || out[i-1] != '$'):
			depth++
			i++
		case depth > 0 && out[i] == '}':
			depth--
		case depth > 0 && out[i] == '\\' && out[i+1] == '"':
			if out[i], out[i+1] = ' ', '"'; inside {
				out[i], out[i+1] = '"', ' '
			}
			inside = !inside
			i++
		}
	}
	return out
}

// dottedKey is what looks like a key that holds dots.
var dottedKey = regexp.MustCompile(`[\w-]\.[\w.-]+[ \t]*=`)

// quoteDotted puts quotes around the keys that hold dots.
func quoteDotted(src []byte, name string) []byte {
	if !dottedKey.Match(src) {
		return src
	}
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	var out []byte
	last := 0
	for i := range tokens {
		if tokens[i].Type != hclsyntax.TokenIdent || !startsLine(tokens, i) {
			continue
		}
		n := i + 1
		for n < len(tokens) && (tokens[n].Type == hclsyntax.TokenDot || tokens[n].Type == hclsyntax.TokenIdent || tokens[n].Type == hclsyntax.TokenNumberLit) &&
			tokens[n].Range.Start.Byte == tokens[n-1].Range.End.Byte {
			n++
		}
		if n == i+1 || n == len(tokens) || tokens[n].Type != hclsyntax.TokenEqual {
			continue
		}
		start, end := tokens[i].Range.Start.Byte, tokens[n-1].Range.End.Byte
		out = append(out, src[last:start]...)
		out = append(out, '"')
		out = append(out, src[start:end]...)
		out = append(out, '"')
		last = end
	}
	if last == 0 {
		return src
	}
	return append(out, src[last:]...)
}

// blocksToObjects puts an equals sign between a word and the brace after it
// where the braces hold quoted keys: such a block is a map.
func blocksToObjects(src []byte, name string) []byte {
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	var out []byte
	last := 0
	for i := 0; i+1 < len(tokens); i++ {
		if tokens[i].Type != hclsyntax.TokenIdent || tokens[i+1].Type != hclsyntax.TokenOBrace || !startsLine(tokens, i) || !hasQuotedKey(tokens[i+2:]) {
			continue
		}
		end := tokens[i].Range.End.Byte
		out = append(out, src[last:end]...)
		out = append(out, " ="...)
		last = end
	}
	if last == 0 {
		return src
	}
	return append(out, src[last:]...)
}

func startsLine(tokens hclsyntax.Tokens, i int) bool {
	return i == 0 || tokens[i-1].Type == hclsyntax.TokenNewline || tokens[i-1].Type == hclsyntax.TokenOBrace || tokens[i-1].Type == hclsyntax.TokenComment
}

// hasQuotedKey looks at the tokens of one body, the nested ones left out.
func hasQuotedKey(tokens hclsyntax.Tokens) bool {
	depth := 0
	for i, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			if depth--; depth < 0 {
				return false
			}
		case hclsyntax.TokenCQuote:
			if depth == 0 && i+1 < len(tokens) && tokens[i+1].Type == hclsyntax.TokenEqual {
				return true
			}
		}
	}
	return false
}
