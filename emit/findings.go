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

// TextWidth is the width that review texts are written for.
const TextWidth = 80

// findingGroup is one thing that is found of one or several subjects.
type findingGroup struct {
	migrate.Finding
	// Subjects as the findings have them, in their order.
	Subjects []string
	Accepted bool
	// Reasons for which they were accepted, each once.
	Reasons []string
}

// grouped puts findings that say the same of different subjects together, in
// the order in which the first of each comes. Blockers that must be mended are
// together only if they say the same but for the subject.
func grouped(findings []migrate.Finding, accepted []migrate.Decision) []*findingGroup {
	type key struct {
		severity      migrate.Severity
		code, message string
		accepted      bool
	}
	var groups []*findingGroup
	known := map[key]*findingGroup{}
	for _, f := range findings {
		k := key{severity: f.Severity, code: f.Code, accepted: migrate.Accepts(accepted, f)}
		if f.Severity == migrate.Blocker && !f.Acceptable {
			k.message = f.Message
			for _, word := range strings.Fields(f.Subject) {
				k.message = strings.ReplaceAll(k.message, word, "")
				k.message = strings.ReplaceAll(k.message, migrate.DisplayID(word), "")
			}
		}
		g := known[k]
		if g == nil {
			g = &findingGroup{Finding: f, Accepted: k.accepted}
			known[k], groups = g, append(groups, g)
		}
		g.Subjects = append(g.Subjects, f.Subject)
		if reason := reasonOf(accepted, f); k.accepted && reason != "" && !slices.Contains(g.Reasons, reason) {
			g.Reasons = append(g.Reasons, reason)
		}
	}
	return groups
}

// reasonOf is why a finding was accepted, as whoever did so wrote it.
func reasonOf(accepted []migrate.Decision, f migrate.Finding) string {
	for _, d := range accepted {
		if migrate.Accepts([]migrate.Decision{d}, f) {
			return d.Reason
		}
	}
	return ""
}

// Findings writes findings for people: worst first, those that say the same
// of many subjects once, with the subjects counted. accepted are the decisions
// that a plan took note of. Nothing is written when there are none.
func Findings(w io.Writer, findings []migrate.Finding, accepted []migrate.Decision) error {
	return findingsText(w, findings, accepted, Style{})
}

func findingsText(w io.Writer, findings []migrate.Finding, accepted []migrate.Decision, style Style) error {
	width := style.width() - 4
	for _, g := range grouped(findings, accepted) {
		word, color := string(g.Severity), severityColor(g.Severity)
		if g.Accepted {
			word, color = "accepted", []string{dim}
		}
		var about []string
		switch {
		case len(g.Subjects) > 1:
			about = append(about, fmt.Sprintf("(%d)", len(g.Subjects)))
		case g.Subject != "":
			about = append(about, printable(subject(g.Subject)))
		}
		if g.Where != "" && len(g.Subjects) == 1 {
			about = append(about, "at "+printable(g.Where))
		}
		head := style.paint(word, color...) + " " + style.paint(g.Code, bold)
		switch rest := strings.Join(about, " "); {
		case rest == "":
		case utf8.RuneCountInString(word+" "+g.Code+" "+rest) <= style.width():
			head += " " + rest
		default:
			head += "\n    " + Wrap(rest, width, "    ")
		}
		text := head + "\n    " + Wrap(printable(g.Message), width, "    ") + "\n"
		if len(g.Subjects) > 1 {
			text += "    " + style.paint(Wrap("also: "+printable(list(g.Subjects[1:])), width, "    "), dim) + "\n"
		}
		if len(g.Reasons) > 0 {
			text += "    " + Wrap("reason: "+printable(strings.Join(g.Reasons, "; ")), width, "    ") + "\n"
		}
		if g.Hint != "" && !g.Accepted {
			hint := Wrap("hint: "+printable(g.Hint), width, "    ")
			text += "    " + style.paint("hint:", cyan) + strings.TrimPrefix(hint, "hint:") + "\n"
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// subject writes a finding's subject with object ids for people.
func subject(s string) string {
	words := strings.Fields(s)
	for i, word := range words {
		// An object id ends with its kind; addresses of Terraform hold
		// underscores as well.
		kind := word[strings.LastIndex(word, "_")+1:]
		if kind != "" && kind[0] >= 'A' && kind[0] <= 'Z' {
			words[i] = migrate.DisplayID(word)
		}
	}
	return strings.Join(words, " ")
}

// list joins the first few subjects.
func list(subjects []string) string {
	out := make([]string, 0, len(subjects))
	for _, s := range subjects {
		out = append(out, subject(s))
	}
	return few(out)
}

// few joins the first of many names.
func few(names []string) string {
	const most = 6
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
}

// Notes writes what is said of one or several subjects, each thing once.
func Notes(w io.Writer, notes map[string][]string) error {
	for _, message := range slices.Sorted(maps.Keys(notes)) {
		text := Wrap(list(notes[message])+": "+message, TextWidth-2, "  ")
		if _, err := fmt.Fprintf(w, "\n%s\n", text); err != nil {
			return err
		}
	}
	return nil
}
