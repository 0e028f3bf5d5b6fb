package emit

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fluxover/fluxover/migrate"
)

// mostLines is how many lines of one change are written unless all are asked
// for.
const mostLines = 40

// DiffText is how WriteDifferences writes.
type DiffText struct {
	Style
	// Whole writes every line of every change, however many, and what was not
	// shown because every hand-over does it.
	Whole bool
	// Objects is how many there are.
	Objects int
	// Unrendered is as in a Report.
	Unrendered []string
}

// WriteDifferences writes them for people: each object with what happens to it
// and each place that differs, '-' for what is live and goes, '+' for what comes.
func WriteDifferences(w io.Writer, differences []Difference, t DiffText) error {
	var b strings.Builder
	repository := ""
	for i := range differences {
		d := &differences[i]
		if d.Repository != repository {
			if repository != "" {
				b.WriteString("\n")
			}
			repository = d.Repository
			fmt.Fprintf(&b, "%s\n", t.paint(repository, bold))
		}
		t.difference(&b, d)
	}
	if len(differences) > 0 {
		b.WriteString("\n")
	}
	b.WriteString(t.summary(differences))
	_, err := io.WriteString(w, b.String())
	return err
}

func (t DiffText) difference(b *strings.Builder, d *Difference) {
	verb, name, where := fmt.Sprintf("%-8s", d.Verb), printable(migrate.DisplayID(d.ID)), printable(d.Where)
	fmt.Fprintf(b, "  %s %s", t.paint(verb, verbColor(d.Verb)...), t.paint(name, bold))
	if where != "" {
		between := "  "
		if utf8.RuneCountInString("  "+verb+" "+name+between+where) > t.width() {
			between = "\n    "
		}
		b.WriteString(between + t.paint(where, dim))
	}
	b.WriteString("\n")
	if why := d.told(); why != "" {
		fmt.Fprintf(b, "    %s\n", t.paint(Wrap(printable(why), t.width()-4, "    "), dim))
	}
	for i := range d.Changes {
		c := &d.Changes[i]
		if c.Path != "" {
			fmt.Fprintf(b, "    %s\n", t.paint(printable(c.Path), cyan))
		}
		if c.Why != "" {
			for line := range strings.SplitSeq(Wrap(printable(c.Why), t.width()-6, ""), "\n") {
				fmt.Fprintf(b, "      %s\n", t.paint(line, dim))
			}
		}
		all := c.lines()
		shown := all
		if !t.Whole && len(all) > mostLines {
			shown = all[:mostLines]
		}
		for _, l := range shown {
			fmt.Fprintf(b, "      %s\n", t.paint(l.String(), markColor(l.mark)...))
		}
		if len(shown) < len(all) {
			more := fmt.Sprintf("… %d more lines: \"--object %s\" shows all", len(all)-len(shown), name)
			fmt.Fprintf(b, "      %s\n", t.paint(Wrap(more, t.width()-6, "      "), dim))
		}
	}
	if t.Whole {
		for _, why := range slices.Sorted(maps.Keys(d.Hidden)) {
			fmt.Fprintf(b, "    %s\n", t.paint(Wrap(fmt.Sprintf("not shown: %d, %s", d.Hidden[why], why), t.width()-4, "    "), dim))
		}
	}
}

// String writes a line with its mark.
func (l editLine) String() string {
	switch l.mark {
	case gap:
		return "  … " + l.text
	case remark:
		return "  # " + l.text
	}
	return string(l.mark) + " " + printable(l.text)
}

// extent says how much there is to see of so many objects.
func extent(objects int, differences []Difference, unrendered []string) string {
	not := uncompared(differences)
	text := migrate.Count(objects-not, "object") + " compared, "
	if not > 0 {
		text += fmt.Sprintf("%d could not be compared, ", not)
	}
	switch {
	case objects == 0 && len(differences) == 0:
		text = "no object was there to be compared"
	case len(differences) > 0:
		text += fmt.Sprintf("%d with something to look at", len(differences))
	case len(unrendered) > 0:
		text += "no difference in what was compared but the marks of ownership"
	default:
		text += "no difference but the marks of ownership"
	}
	if len(unrendered) > 0 {
		text += "; what else there is to compare is not known: " + few(unrendered)
	}
	return text
}

func (t DiffText) summary(differences []Difference) string {
	counts, text := verbCounts(differences), extent(t.Objects, differences, t.Unrendered)
	if len(counts) == 0 {
		return Wrap(text, t.width()-2, "  ") + "\n"
	}
	if line := text + ": " + strings.Join(counts, " "); utf8.RuneCountInString(line) <= t.width() {
		return line + "\n"
	}
	return Wrap(text+":", t.width()-2, "  ") + "\n  " + wrapWords(counts, t.width()-2, "  ") + "\n"
}

// verbCounts says how many objects have each verb, gravest first, as the parts
// of a list.
func verbCounts(differences []Difference) []string {
	counts := map[migrate.Verb]int{}
	for _, d := range differences {
		counts[d.Verb]++
	}
	verbs := slices.SortedFunc(maps.Keys(counts), func(a, b migrate.Verb) int { return gravity(a) - gravity(b) })
	parts := make([]string, 0, len(verbs))
	for i, v := range verbs {
		comma := ","
		if i == len(verbs)-1 {
			comma = ""
		}
		parts = append(parts, fmt.Sprintf("%d %s%s", counts[v], v, comma))
	}
	return parts
}
