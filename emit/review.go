package emit

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fluxover/fluxover/migrate"
)

// verbs in the order of the review's columns.
var verbs = []migrate.Verb{migrate.Adopt, migrate.Change, migrate.Restart, migrate.Create, migrate.Skip, migrate.Unmanage, migrate.Stale, migrate.Conflict}

// Review writes a plan for people, on 80 columns or the style's width: what
// there is before and after, each repository with what will happen to its
// objects, and the findings.
func Review(w io.Writer, report Report, style Style) error {
	plan, p := report.Plan, report.picture()
	asking := "asking for " + p.Before.CPU + " CPU"
	if p.Before.Memory != "0" {
		asking += " and " + p.Before.Memory + " memory"
	}
	fmt.Fprintf(w, "%s\n", style.paint("Plan for "+clusterName(plan), bold))
	fmt.Fprintf(w, "  before  %s, %s\n", plural(p.Agents, "Flux v1 agent"), asking)
	fmt.Fprintf(w, "  after   1 agent (%s), %s, %s\n", p.Engine, plural(p.Sources, "GitRepository"), plural(p.Kustomizations, "Kustomization"))
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
	fmt.Fprintf(w, "  proof   %s\n\n", style.paint(proofText(plan), color...))
	if err := repositoryTable(w, plan, style); err != nil {
		return err
	}
	if err := findingsText(w, plan.Findings, plan.Accepted, style); err != nil {
		return err
	}
	if len(plan.Findings) > 0 {
		fmt.Fprintln(w)
	}
	said := verdict(plan)
	color = []string{bold, green}
	if strings.Contains(said, "held back") {
		color = []string{bold, red}
	}
	_, err := fmt.Fprintln(w, style.paint(said, color...))
	return err
}

func repositoryTable(w io.Writer, plan migrate.Plan, style Style) error {
	if len(plan.Repositories) == 0 {
		return nil
	}
	used := usedVerbs(plan)
	head := []string{"WAVE", "REPOSITORY", "COMMIT", "APPS"}
	right := []int{0, 3}
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
	if err := narrow(rows, 1, style.width()); err != nil {
		return err
	}
	if !style.Color {
		if err := table(w, "", rows, right...); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w)
		return err
	}
	var b strings.Builder
	if err := table(&b, "", rows, right...); err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimRight(b.String(), "\n"), "\n") {
		switch {
		case i == 0:
			line = style.paint(line, bold)
		case plan.Repositories[i-1].Blocked:
			line = strings.TrimSuffix(line, "blocked") + style.paint("blocked", bold, red)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}

// narrow shortens the cells of one column so that a table fits a width, but not
// beyond what can still be told apart.
func narrow(rows [][]string, column, width int) error {
	const least = 16
	var b strings.Builder
	if err := table(&b, "", rows); err != nil {
		return err
	}
	longest, over := 0, -width
	for _, r := range rows {
		longest = max(longest, utf8.RuneCountInString(r[column]))
	}
	for line := range strings.Lines(b.String()) {
		over = max(over, utf8.RuneCountInString(strings.TrimSuffix(line, "\n"))-width)
	}
	if over > 0 {
		for _, r := range rows {
			r[column] = shorten(r[column], max(least, longest-over))
		}
	}
	return nil
}

func clusterName(plan migrate.Plan) string {
	name := plan.Inputs.Server
	if name == "" {
		name = "no cluster"
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

func plural(n int, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case strings.HasSuffix(word, "y"):
		word = strings.TrimSuffix(word, "y") + "ie"
	}
	return strconv.Itoa(n) + " " + word + "s"
}
