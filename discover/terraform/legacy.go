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
//     each, and blank lines after them go, so that what follows stays in place;
//   - so do blocks within a block on one line, metadata { labels { a = "b" } },
//     unless newer is true: the configuration is of later versions, which refuse them.
//
// Where no blank line follows, moved says by how many lines what follows moves.
func modernize(src []byte, name string, newer func() bool) (out []byte, changed bool, moved int) {
	out = unescapeInterpolations(src)
	out = quoteDotted(out, name)
	out = blocksToObjects(out, name)
	out, moved = splitLines(out, name, newer)
	return out, !bytes.Equal(out, src), moved
}

// newerVersion asks for a version that only Terraform since 0.12 has, or for newer ones.
var newerVersion = regexp.MustCompile(`(?m)^\s*required_version\s*=\s*"(?:[^"\n]*,)?\s*(?:=|>=|>|~>)?\s*v?(?:0\.1[2-9]|[1-9]\d*\b)`)

// writtenForHCL2 reports whether a file has what HCL 1 cannot read: a value that is
// neither a text, a number, a truth value, a list nor a map, or asks for a version of
// Terraform that reads HCL 2.
func writtenForHCL2(src []byte, name string) bool {
	if newerVersion.Match(src) {
		return true
	}
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	inText, lists := 0, []bool{}
	for i, t := range tokens[:max(len(tokens)-1, 0)] {
		switch t.Type {
		case hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			inText++
		case hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			inText--
		case hclsyntax.TokenOBrack, hclsyntax.TokenOBrace:
			lists = append(lists, t.Type == hclsyntax.TokenOBrack)
		case hclsyntax.TokenCBrack, hclsyntax.TokenCBrace:
			lists = lists[:max(len(lists)-1, 0)]
		}
		element := (t.Type == hclsyntax.TokenOBrack || t.Type == hclsyntax.TokenComma) && len(lists) > 0 && lists[len(lists)-1]
		switch {
		case inText > 0:
			continue
		case t.Type == hclsyntax.TokenColon || t.Type == hclsyntax.TokenQuestion || t.Type == hclsyntax.TokenFatArrow:
			return true
		case t.Type != hclsyntax.TokenEqual && !element:
			continue
		}
		next := tokens[i+1]
		switch word := string(next.Bytes); {
		case next.Type == hclsyntax.TokenOParen, next.Type == hclsyntax.TokenBang,
			next.Type == hclsyntax.TokenIdent && word != "true" && word != "false":
			return true
		}
	}
	return false
}

// splitLines gives each attribute a line of its own where several stand on one, and each
// block within another.
func splitLines(src []byte, name string, newer func() bool) ([]byte, int) {
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
			if i == 0 || i+1 >= len(tokens) || len(open) == 0 || open[len(open)-1].start < 0 {
				continue
			}
			top := &open[len(open)-1]
			switch after := endsValue(tokens[i-1].Type); {
			case tokens[i+1].Type == hclsyntax.TokenEqual && after:
			case (after && tokens[i-1].Type != hclsyntax.TokenIdent || top.start == i-1) && opensBlock(tokens[i+1:]) && !newer():
			default:
				continue
			}
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

// opensBlock reports whether what follows a word opens a block: labels, and a brace.
func opensBlock(tokens hclsyntax.Tokens) bool {
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOQuote, hclsyntax.TokenQuotedLit, hclsyntax.TokenCQuote:
		case hclsyntax.TokenOBrace:
			return true
		default:
			return false
		}
	}
	return false
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
