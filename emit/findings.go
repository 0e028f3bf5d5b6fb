package emit

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// TextWidth is the width that review texts are written for.
const TextWidth = 80

// Findings writes findings for people: worst first, those that say the same
// of many subjects once, with the subjects counted. accepted are the decisions
// that a plan took note of. Nothing is written when there are none.
func Findings(w io.Writer, findings []migrate.Finding, accepted []migrate.Decision) error {
	type group struct {
		first    migrate.Finding
		subjects []string
		accepted bool
	}
	var groups []*group
	for _, f := range findings {
		ok := migrate.Accepts(accepted, f)
		i := slices.IndexFunc(groups, func(g *group) bool {
			return g.first.Code == f.Code && g.first.Severity == f.Severity && g.accepted == ok &&
				alike(g.first, f)
		})
		if i < 0 {
			groups = append(groups, &group{first: f, subjects: []string{f.Subject}, accepted: ok})
			continue
		}
		groups[i].subjects = append(groups[i].subjects, f.Subject)
	}
	for _, g := range groups {
		head := string(g.first.Severity)
		if g.accepted {
			head = "accepted"
		}
		head += " " + g.first.Code
		switch {
		case len(g.subjects) > 1:
			head += fmt.Sprintf(" (%d)", len(g.subjects))
		case g.first.Subject != "":
			head += " " + subject(g.first.Subject)
		}
		if g.first.Where != "" && len(g.subjects) == 1 {
			head += " at " + g.first.Where
		}
		text := head + "\n    " + Wrap(g.first.Message, TextWidth-4, "    ") + "\n"
		if len(g.subjects) > 1 {
			text += "    " + Wrap("also: "+list(g.subjects[1:]), TextWidth-4, "    ") + "\n"
		}
		if g.first.Hint != "" && !g.accepted {
			text += "    " + Wrap("hint: "+g.first.Hint, TextWidth-4, "    ") + "\n"
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// alike reports whether two findings of one code say the same of different
// subjects, so that one may stand for both.
func alike(a, b migrate.Finding) bool {
	without := func(f migrate.Finding) string {
		s := f.Message
		for _, word := range strings.Fields(f.Subject) {
			s = strings.ReplaceAll(s, word, "")
			s = strings.ReplaceAll(s, migrate.DisplayID(word), "")
		}
		return s
	}
	return without(a) == without(b) || a.Code == b.Code && a.Severity != migrate.Blocker || a.Acceptable && b.Acceptable
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
	const most = 6
	var out []string
	for i, s := range subjects {
		if i == most {
			return strings.Join(out, ", ") + fmt.Sprintf(" and %d more", len(subjects)-most)
		}
		out = append(out, subject(s))
	}
	return strings.Join(out, ", ")
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
