package emit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// editLine is a line of a comparison: mark is '-' (goes), '+' (comes) or ' '
// (stays).
type editLine struct {
	mark byte
	text string
}

// lines writes a value for comparison line by line: as YAML, but for text of
// several lines, which stands as it is where plain allows it.
func lines(v any, plain bool) []string {
	if s, ok := v.(string); ok && plain && strings.Contains(s, "\n") {
		return strings.Split(s, "\n")
	}
	if m, ok := v.(map[string]any); ok {
		v = withoutBookkeeping(m)
	}
	raw, err := yaml.Marshal(v)
	if err != nil {
		return []string{"(cannot be written: " + err.Error() + ")"}
	}
	return strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
}

// withoutBookkeeping leaves out of an object what only the API server reads:
// managedFields, and a creationTimestamp that has no value yet.
func withoutBookkeeping(m map[string]any) map[string]any {
	metadata, _ := m["metadata"].(map[string]any)
	kept := maps.Clone(metadata)
	delete(kept, "managedFields")
	if kept["creationTimestamp"] == nil {
		delete(kept, "creationTimestamp")
	}
	if len(kept) == len(metadata) {
		return m
	}
	out := maps.Clone(m)
	out["metadata"] = kept
	return out
}

// Marks of lines that are no part of either side.
const (
	gap    = '~'
	remark = '#'
)

// longestEdit bounds the table of edit; beyond it all lines go and come.
const longestEdit = 4 << 20

// edit is the shortest edit script by longest common subsequence.
func edit(a, b []string) []editLine {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var out []editLine
	add := func(mark byte, texts []string) {
		for _, t := range texts {
			out = append(out, editLine{mark, t})
		}
	}
	add(' ', a[:head])
	ma, mb := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(ma)*len(mb) > longestEdit {
		add('-', ma)
		add('+', mb)
	} else {
		out = append(out, editMiddle(ma, mb)...)
	}
	add(' ', a[len(a)-tail:])
	return out
}

func editMiddle(a, b []string) []editLine {
	lcs := make([][]int32, len(a)+1)
	for i := range lcs {
		lcs[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				lcs[i][j] = lcs[i+1][j+1] + 1
			} else {
				lcs[i][j] = max(lcs[i+1][j], lcs[i][j+1])
			}
		}
	}
	var out []editLine
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, editLine{' ', a[i]})
			i++
			j++
		case j >= len(b) || i < len(a) && lcs[i+1][j] >= lcs[i][j+1]:
			out = append(out, editLine{'-', a[i]})
			i++
		default:
			out = append(out, editLine{'+', b[j]})
			j++
		}
	}
	return out
}

// around keeps what is changed, with a few lines before and after it. Lines
// left out are counted.
func around(edits []editLine, context int) []editLine {
	keep := make([]bool, len(edits))
	for i, e := range edits {
		if e.mark != ' ' {
			for j := max(0, i-context); j <= min(len(edits)-1, i+context); j++ {
				keep[j] = true
			}
		}
	}
	var out []editLine
	for i := 0; i < len(edits); i++ {
		if keep[i] {
			out = append(out, edits[i])
			continue
		}
		j := i
		for j < len(edits) && !keep[j] {
			j++
		}
		if j-i == 1 {
			out = append(out, edits[i])
		} else {
			out = append(out, editLine{gap, fmt.Sprintf("%d more lines are the same", j-i)})
		}
		i = j - 1
	}
	return out
}

// sides are the lines of the two values that a change is about, before and
// after; nil where there is none.
func sides(before, after any) []editLine {
	var a, b []string
	// Beside a structure, text that reads like it would look the same.
	plain := isText(before) && isText(after)
	if before != nil {
		a = lines(before, plain)
	}
	if after != nil {
		b = lines(after, plain)
	}
	return around(edit(a, b), 2)
}

// isText reports whether a value is text, or none.
func isText(v any) bool {
	_, is := v.(string)
	return is || v == nil
}

// lines of a change as they are shown: the live object before and after, or
// the two renderings; the versions that say something else follow by name.
func (c *Change) lines() []editLine {
	if c.In == "rendering" {
		return sides(c.Flux1, c.New)
	}
	out := sides(c.Live, c.After)
	if c.In == "both" {
		out = append(out, editLine{remark, "the renderings differ there too: Flux v1's, then the new one"})
		out = append(out, sides(c.Flux1, c.New)...)
	}
	return out
}

// messageLines are the lines of what is said, as with an error of several, without empty ones.
func messageLines(s string) []string {
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimRight(line, " \t\r"); line != "" {
			out = append(out, printable(line))
		}
	}
	return out
}

// printable keeps control characters from a terminal or a page.
func printable(s string) string {
	if !strings.ContainsFunc(s, control) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if control(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// control characters, and those that turn the direction of text around.
func control(r rune) bool {
	return r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 || slices.Contains([]rune{0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069}, r)
}
