package emit

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

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
	head := fmt.Sprintf("  %s %s", t.paint(fmt.Sprintf("%-8s", d.Verb), verbColor(d.Verb)...), t.paint(printable(migrate.DisplayID(d.ID)), bold))
	if d.Where != "" {
		head += t.paint("  "+printable(d.Where), dim)
	}
	fmt.Fprintln(b, head)
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
			fmt.Fprintf(b, "      %s\n", t.paint(fmt.Sprintf("… %d more lines: \"--object %s\" shows all", len(all)-len(shown), migrate.DisplayID(d.ID)), dim))
		}
	}
	if t.Whole {
		for _, why := range slices.Sorted(maps.Keys(d.Hidden)) {
			fmt.Fprintf(b, "    %s\n", t.paint(fmt.Sprintf("not shown: %d, %s", d.Hidden[why], why), dim))
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
func extent(objects int, differences []Difference) string {
	not := uncompared(differences)
	text := plural(objects-not, "object") + " compared, "
	if not > 0 {
		text += fmt.Sprintf("%d could not be compared, ", not)
	}
	if len(differences) == 0 {
		return text + "no difference but the marks of ownership"
	}
	return text + fmt.Sprintf("%d with something to look at", len(differences))
}

func (t DiffText) summary(differences []Difference) string {
	counts, text := verbCounts(differences), extent(t.Objects, differences)
	if counts != "" {
		text += ": " + counts
	}
	return Wrap(text, t.width()-2, "  ") + "\n"
}

// verbCounts says how many objects have each verb, gravest first.
func verbCounts(differences []Difference) string {
	counts := map[migrate.Verb]int{}
	for _, d := range differences {
		counts[d.Verb]++
	}
	verbs := slices.SortedFunc(maps.Keys(counts), func(a, b migrate.Verb) int { return gravity(a) - gravity(b) })
	parts := make([]string, 0, len(verbs))
	for _, v := range verbs {
		parts = append(parts, fmt.Sprintf("%d %s", counts[v], v))
	}
	return strings.Join(parts, ", ")
}
