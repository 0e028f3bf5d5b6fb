package emit

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fluxover/fluxover/migrate"
)

// verbs in the order of the review's columns.
var verbs = []migrate.Verb{migrate.Adopt, migrate.Change, migrate.Restart, migrate.Create, migrate.Skip, migrate.Unmanage, migrate.Stale, migrate.Conflict}

// Review writes a plan for people, on 80 columns or the style's width: what
// there is before and after, each repository with what will happen to its
// objects, why the waves are as they are, what the new accounts may do beside
// the old ones, who keeps the copied credentials, and the findings.
func Review(w io.Writer, report Report, style Style) error {
	plan, p := report.Plan, report.picture()
	before := asking(p.Before.CPU, "CPU")
	if p.Before.Memory != "0" && p.Before.Memory != unknown {
		before += " and " + p.Before.Memory + " memory"
	}
	switch cache := p.Memcached; {
	case cache.CPU == unknown && cache.Memory == unknown:
		before += "; memcached " + unknown
	case cache.CPU != "0" || cache.Memory != "0":
		before += "; memcached " + cache.CPU + " CPU and " + cache.Memory + " memory"
	}
	fmt.Fprintf(w, "%s\n", style.paint("Plan for "+clusterName(plan), bold))
	fmt.Fprintf(w, "  before  %s\n", Wrap(migrate.Count(p.Agents, "Flux v1 agent")+", "+before, style.width()-10, strings.Repeat(" ", 10)))
	fmt.Fprintf(w, "  after   1 agent (%s), %s, %s\n", p.Engine, migrate.Count(p.Sources, "GitRepository"), migrate.Count(p.Kustomizations, "Kustomization"))
	if p.Freed.CPU != "" {
		line := "  freed   " + p.Freed.CPU + " CPU"
		if p.Freed.Memory != "" {
			line += " and " + p.Freed.Memory + " memory"
		}
		fmt.Fprintf(w, "%s, by what is asked for\n", style.paint(line, green))
	}
	color := []string{yellow}
	if plan.Proof == "server" {
		color = nil
	}
	fmt.Fprintf(w, "  proof   %s\n\n", style.paint(Wrap(proofText(plan), style.width()-10, strings.Repeat(" ", 10)), color...))
	if err := repositoryTable(w, plan, style); err != nil {
		return err
	}
	if _, err := io.WriteString(w, grounds(&report, style)); err != nil {
		return err
	}
	if err := findingsText(w, grouped(plan.Findings, plan.Accepted), style); err != nil {
		return err
	}
	if len(plan.Findings) > 0 {
		fmt.Fprintln(w)
	}
	said, stands := verdict(plan)
	color = map[standing][]string{standsFree: {bold, green}, standsHeld: {bold, red}, standsOpen: {bold, yellow}}[stands]
	_, err := fmt.Fprintln(w, style.paint(Wrap(said, style.width(), ""), color...))
	return err
}

func repositoryTable(w io.Writer, plan migrate.Plan, style Style) error {
	if len(plan.Repositories) == 0 {
		return nil
	}
	used := usedVerbs(plan)
	head := []string{"WAVE", "REPOSITORY", "COMMIT", "APPS"}
	right, commit, firstVerb := []int{0, 3}, 2, len(head)
	for _, v := range used {
		right = append(right, len(head))
		head = append(head, strings.ToUpper(string(v)))
	}
	rows := [][]string{append(head, "")}
	for _, r := range plan.Repositories {
		counts := countVerbs(r.Objects)
		row := []string{strconv.Itoa(r.Wave), r.ID, shortCommit(r.Commit), strconv.Itoa(len(r.Kustomizations))}
		for _, v := range used {
			row = append(row, strconv.Itoa(counts[v]))
		}
		mark := ""
		if r.Blocked {
			mark = "blocked"
		}
		rows = append(rows, append(row, mark))
	}
	over, err := overflow(rows, style.width())
	if err != nil {
		return err
	}
	if over > 0 { // the names are what people go on with, and -o json has the commits
		for i := range rows {
			rows[i] = slices.Delete(rows[i], commit, commit+1)
		}
		for i := range right[1:] {
			right[i+1]--
		}
		firstVerb--
		if err := narrow(rows, 1, style.width()); err != nil {
			return err
		}
	}
	last := len(rows[0]) - 1
	painted := func(row, column int, cell string) string {
		switch {
		case row == 0:
			return style.paint(cell, bold)
		case column == last:
			return style.paint(cell, bold, red)
		case cell == "0":
			return style.paint(cell, dim)
		case column >= firstVerb:
			return style.paint(cell, verbColor(used[column-firstVerb])...)
		}
		return cell
	}
	if err := paintedTable(w, "", rows, painted, right...); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w)
	return err
}

// grounds are the parts of a review that say why the plan is as it is: the
// order, the rights, the credentials and what is added, each under a heading.
func grounds(r *Report, style Style) string {
	var b strings.Builder
	heading := func(text string) { fmt.Fprintf(&b, "%s\n", style.paint(text, bold)) }
	if waves := r.waves(); len(waves) > 0 {
		heading("Waves: one begins when the one before it is done")
		for _, wave := range waves {
			for i, text := range append([]string{wave.Why}, wave.After...) {
				number := ""
				if i == 0 {
					number = strconv.Itoa(wave.Number)
				}
				fmt.Fprintf(&b, "%4s  %s\n", number, Wrap(printable(text), style.width()-6, "      "))
			}
		}
		b.WriteString("\n")
	}
	if len(r.Plan.Repositories) > 0 {
		v := r.rights()
		heading("Rights of the new accounts, beside the old ones'")
		style.rights(&b, "kept", nil, v.Kept, v.None)
		style.rights(&b, "lost", []string{yellow}, v.Lost, v.None)
		style.rights(&b, "gained", []string{bold, red}, v.Gained, v.None)
		if len(v.Unknown) > 0 {
			style.beside(&b, "unknown", []string{yellow}, printable(strings.Join(v.Unknown, ", ")))
		}
		style.beside(&b, "flags", nil, printables(v.Flags)...)
		word := ""
		if len(v.Flags) == 0 {
			word = "flags"
		}
		style.beside(&b, word, nil, v.FlagsWhy)
		b.WriteString("\n")
	}
	if order := r.order(); len(order) > 0 {
		heading("Applications that others of their repository wait for (dependsOn)")
		shown := order[:min(len(order), mostOrder)]
		for _, o := range shown {
			fmt.Fprintf(&b, "  %s\n", Wrap(printable(o.Text(few)), style.width()-4, "    "))
		}
		if more := len(order) - len(shown); more > 0 {
			fmt.Fprintf(&b, "  %s\n", style.paint(fmt.Sprintf("and %d more, which -o json and -o markdown list", more), dim))
		}
		b.WriteString("\n")
	}
	if owners := r.owners(); len(owners) > 0 {
		heading("Copied credentials, by who makes them anew for a cluster that is built again")
		for _, o := range owners {
			style.beside(&b, string(o.Owner), nil, printable(fmt.Sprintf("%s (%d)", o.Why, len(o.Secrets))))
			style.quietly(&b, strings.Join(o.Secrets, ", "))
		}
		b.WriteString("\n")
	}
	if adds := r.adds(); len(adds) > 0 {
		heading("Put on objects on purpose")
		for _, a := range adds {
			const below = "    "
			fmt.Fprintf(&b, "  %s\n", Wrap(printable(fmt.Sprintf("%s (%d)", a.What, len(a.Objects))), style.width()-2, below))
			fmt.Fprintf(&b, "%s%s\n", below, Wrap(printable(a.Why), style.width()-4, below))
			fmt.Fprintf(&b, "%s%s\n", below, style.paint(Wrap(printable(few(a.Objects)), style.width()-4, below), dim))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// mostOrder is how many applications that others wait for a text lists; in most
// fleets each repository has one, and all are alike.
const mostOrder = 3

// besides is as wide as the column of words that texts stand beside.
const besides = "            "

// beside writes texts beside a word, each wrapped; the word stands at the first.
func (s Style) beside(b *strings.Builder, word string, attributes []string, texts ...string) {
	for _, text := range texts {
		pad := strings.Repeat(" ", max(1, len(besides)-2-utf8.RuneCountInString(word)))
		fmt.Fprintf(b, "  %s%s%s\n", s.paint(word, attributes...), pad, Wrap(text, s.width()-len(besides), besides))
		word = ""
	}
}

// quietly writes names below a text that stands beside a word.
func (s Style) quietly(b *strings.Builder, names string) {
	if names != "" {
		fmt.Fprintf(b, "%s%s\n", besides, s.paint(Wrap(printable(names), s.width()-len(besides), besides), dim))
	}
}

func (s Style) rights(b *strings.Builder, word string, attributes []string, groups []rightsGroup, none string) {
	if len(groups) == 0 {
		s.beside(b, word, nil, none)
		return
	}
	for _, g := range groups {
		s.beside(b, word, attributes, printable(g.Text()))
		s.quietly(b, g.Names())
		word = ""
	}
}

func printables(texts []string) []string {
	out := make([]string, 0, len(texts))
	for _, t := range texts {
		out = append(out, printable(t))
	}
	return out
}

// narrow shortens the cells of one column so that a table fits a width, but not
// beyond what can still be told apart.
func narrow(rows [][]string, column, width int) error {
	const least = 16
	over, err := overflow(rows, width)
	if err != nil {
		return err
	}
	longest := 0
	for _, r := range rows {
		longest = max(longest, utf8.RuneCountInString(r[column]))
	}
	if over > 0 {
		for _, r := range rows {
			r[column] = shorten(r[column], max(least, longest-over))
		}
	}
	return nil
}

// overflow is by how many characters a table is wider than a width.
func overflow(rows [][]string, width int) (int, error) {
	var b strings.Builder
	if err := table(&b, "", rows); err != nil {
		return 0, err
	}
	over := 0
	for line := range strings.Lines(b.String()) {
		over = max(over, utf8.RuneCountInString(strings.TrimSuffix(line, "\n"))-width)
	}
	return over, nil
}

func clusterName(plan migrate.Plan) string {
	name := plan.Inputs.Server
	if name == "" {
		name = "a cluster that was not asked"
	}
	if plan.Inputs.Version != "" {
		name += " (Kubernetes " + plan.Inputs.Version + ")"
	}
	return name
}

func shortCommit(c string) string {
	if len(c) > 7 {
		return c[:7]
	}
	return c
}
