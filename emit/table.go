package emit

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Table writes rows in columns, the first row being the heading.
func Table(w io.Writer, rows [][]string) error { return table(w, "", rows) }

// table writes rows in columns two spaces apart. Columns named in right are
// set flush right. The first row is the heading.
func table(w io.Writer, indent string, rows [][]string, right ...int) error {
	return paintedTable(w, indent, rows, func(_, _ int, cell string) string { return cell }, right...)
}

// paintedTable is table with attributes, which take no room, given to each cell
// by its row and column.
func paintedTable(w io.Writer, indent string, rows [][]string, painted func(row, column int, cell string) string, right ...int) error {
	var widths []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	flush := map[int]bool{}
	for _, i := range right {
		flush[i] = true
	}
	for n, r := range rows {
		var line strings.Builder
		line.WriteString(indent)
		for i, cell := range r {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			cell = painted(n, i, cell)
			if flush[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		if _, err := io.WriteString(w, strings.TrimRight(line.String(), " ")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// shorten cuts text to width characters, with an ellipsis.
func shorten(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	r := []rune(s)
	return string(r[:width-1]) + "…"
}

// Wrap breaks text into lines of at most width characters, each after the
// first with the indent. Words longer than a line stay whole.
func Wrap(s string, width int, indent string) string {
	return wrapWords(strings.Fields(s), width, indent)
}

// wrapWords is Wrap for words that may hold spaces.
func wrapWords(words []string, width int, indent string) string {
	var lines []string
	line := ""
	for _, word := range words {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return strings.Join(append(lines, line), "\n"+indent)
}
