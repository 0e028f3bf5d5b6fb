package discover

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// The lines of names are those that a search from the top finds, which goes through the text once for each.
func TestTheLineOfANameIsFoundAsBySearch(t *testing.T) {
	search := func(content string, line int, names []string) int {
		indent := -1
		for _, part := range names {
			found := 0
			for i, text := range strings.Split(content, "\n") {
				if i < line {
					continue
				}
				trimmed := strings.TrimLeft(text, " ")
				if strings.HasPrefix(text, "---") || trimmed != "" && trimmed[0] != '#' && indent >= 0 && len(text)-len(trimmed) <= indent {
					break
				}
				if strings.HasPrefix(trimmed, part+":") {
					found, indent = i+1, len(text)-len(trimmed)
					break
				}
			}
			if found == 0 {
				return line
			}
			line = found
		}
		return line
	}
	const seed = 1
	r := rand.New(rand.NewPCG(seed, seed))
	words := []string{"a", "b", "c", "a:b", "'a'", "- a", "# a", ""}
	found := 0
	for range 20_000 {
		var text bytes.Buffer
		for range r.IntN(14) {
			text.WriteString([]string{"", "", "---\n", "\n"}[r.IntN(4)])
			text.WriteString(strings.Repeat(" ", r.IntN(5)) + words[r.IntN(len(words))] + []string{":", ": x", "", ":y"}[r.IntN(4)])
			text.WriteString([]string{"\n", "\n", "\r\n"}[r.IntN(3)])
		}
		content := text.String()
		line := r.IntN(strings.Count(content, "\n") + 1)
		names := words[r.IntN(4):][:1+r.IntN(3)]
		want, got := search(content, line, names), splitLines([]byte(content)).of(line, names)
		if want != got {
			t.Fatalf("%v from line %d is at %d, and not at %d, in\n%s", names, line, want, got, content)
		}
		if want != line {
			found++
		}
	}
	if found < 2000 {
		t.Errorf("only %d were found", found)
	}
}
