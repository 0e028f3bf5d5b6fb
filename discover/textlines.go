package discover

import (
	"bytes"
	"iter"
	"slices"
	"strings"
)

// textLines are the lines of a text, since of a large file much is asked.
type textLines struct {
	content []byte
	// begins is where each line does, indents how many blanks it begins with, and ends the line before which
	// what lies below it ends, all from 0.
	begins, indents, ends []int32
	// keys are the lines that begin with a name, up to its colon; separators those that begin with dashes.
	keys       map[string][]int32
	separators []int32
}

func splitLines(content []byte) *textLines {
	l := &textLines{content: content, keys: map[string][]int32{}}
	var open []int32 // the lines of which the end is not found yet, each deeper than the one before
	closeTo := func(line int32, indent int32) {
		for len(open) > 0 && l.indents[open[len(open)-1]] >= indent {
			l.ends[open[len(open)-1]] = line
			open = open[:len(open)-1]
		}
	}
	for begin, more := 0, true; more; {
		line := int32(len(l.begins))
		text, _, found := bytes.Cut(content[begin:], []byte("\n"))
		trimmed := bytes.TrimLeft(text, " ")
		indent := int32(len(text) - len(trimmed))
		l.begins, l.indents, l.ends = append(l.begins, int32(begin)), append(l.indents, indent), append(l.ends, 0)
		switch {
		case bytes.HasPrefix(text, []byte("---")):
			closeTo(line, -1)
			l.separators = append(l.separators, line)
		case len(trimmed) > 0 && trimmed[0] != '#':
			closeTo(line, indent)
			open = append(open, line)
		}
		if key, _, ok := bytes.Cut(trimmed, []byte(":")); ok {
			l.keys[string(key)] = append(l.keys[string(key)], line)
		}
		begin, more = begin+len(text)+1, found
	}
	closeTo(int32(len(l.begins)), -1)
	return l
}

// text of a line, from 0.
func (l *textLines) text(line int) string {
	text, _, _ := bytes.Cut(l.content[l.begins[line]:], []byte("\n"))
	return string(text)
}

// from are the lines with their numbers, from one of them on, from 0.
func (l *textLines) from(first int) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for i := max(first, 0); i < len(l.begins); i++ {
			if !yield(i, l.text(i)) {
				return
			}
		}
	}
}

// holding is the first line of a document that holds a text, counted from 1; that where the document begins,
// which is given, where none does.
func (l *textLines) holding(begin int, text string) int {
	for i, line := range l.from(begin - 1) {
		if i+1 > begin && begin > 0 && strings.HasPrefix(line, "---") {
			break
		}
		if strings.Contains(line, text) {
			return i + 1
		}
	}
	return begin
}

// of is the line of the last name of a path that is found, each below the one before it, the first in the
// document from a line on, from 0; that line where none is found. It is counted from 1.
func (l *textLines) of(line int, names []string) int {
	end := int32(len(l.begins))
	if i, _ := slices.BinarySearch(l.separators, int32(line)); i < len(l.separators) {
		end = l.separators[i]
	}
	for _, name := range names {
		key, _, _ := strings.Cut(name, ":")
		its := l.keys[key]
		i, _ := slices.BinarySearch(its, int32(line))
		for i < len(its) && its[i] < end && key != name && !strings.HasPrefix(strings.TrimLeft(l.text(int(its[i])), " "), name+":") {
			i++
		}
		if i == len(its) || its[i] >= end {
			return line
		}
		line, end = int(its[i])+1, l.ends[its[i]]
	}
	return line
}
