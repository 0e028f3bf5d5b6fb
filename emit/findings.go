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

// findingGroup is one thing that is found once or at several places.
type findingGroup struct {
	migrate.Finding
	// Found are the subjects and places, in the order of the findings.
	Found    []foundAt
	Accepted bool
	// Reasons for which they were accepted, each once.
	Reasons []string
	// Accept are the flags by which a person goes on in spite of them: none if nobody
	// can, or if they hold nothing back.
	Accept []acceptance
}

// acceptance is a flag to copy, and what it is about where there are several.
type acceptance struct{ Flag, About string }

// foundAt is what a finding is about and where it shows; each may be empty.
type foundAt struct{ Subject, Where string }

// String writes it for people.
func (f foundAt) String() string {
	switch {
	case f.Where == "", f.Where == f.Subject: // a place is what it is about
		return migrate.DisplaySubject(f.Subject)
	case f.Subject == "":
		return f.Where
	}
	return migrate.DisplaySubject(f.Subject) + " at " + f.Where
}

// grouped puts findings that say the same but for their subjects and places
// together, in the order in which the first of each comes: what one of them says
// in other words is read in its own. What several say names no object.
func grouped(findings []migrate.Finding, accepted []migrate.Decision) []*findingGroup {
	type key struct {
		severity   migrate.Severity
		code, said string
		accepted   bool
		acceptable bool
	}
	var groups []*findingGroup
	known := map[key]*findingGroup{}
	for _, f := range findings {
		k := key{severity: f.Severity, code: f.Code, said: f.Message + "\n" + f.Hint, accepted: migrate.Accepts(accepted, f), acceptable: f.Acceptable}
		ofEach := f.Message
		for _, word := range strings.Fields(f.Subject) {
			shown := migrate.DisplayID(word)
			if shown != word {
				for _, name := range []string{shown, fluxdName(shown)} {
					ofEach = strings.ReplaceAll(ofEach, name, "each")
				}
			}
			_, named, _ := strings.Cut(shown, "/") // of an object, namespace and name
			for _, name := range []string{word, shown, fluxdName(shown), named} {
				if strings.Contains(name, "/") {
					k.said = strings.ReplaceAll(k.said, name, "")
				}
			}
		}
		g := known[k]
		if g == nil {
			g = &findingGroup{Finding: f, Accepted: k.accepted}
			known[k], groups = g, append(groups, g)
		} else if ofEach != f.Message {
			g.Message = ofEach
		}
		g.Found = append(g.Found, foundAt{f.Subject, f.Where})
		if reason := reasonOf(accepted, f); k.accepted && reason != "" && !slices.Contains(g.Reasons, reason) {
			g.Reasons = append(g.Reasons, reason)
		}
	}
	for _, g := range groups {
		g.Accept = acceptances(g, findings)
	}
	return groups
}

// byRemedy puts together the groups of a code that have one remedy, in the order in
// which the first of each comes. What can be accepted stands alone: it is decided by
// itself.
func byRemedy(groups []*findingGroup) [][]*findingGroup {
	var runs [][]*findingGroup
	for _, g := range groups {
		i := slices.IndexFunc(runs, func(run []*findingGroup) bool {
			f := run[0]
			return len(f.Accept)+len(g.Accept) == 0 && !f.Accepted && !g.Accepted && f.Severity == g.Severity && f.Code == g.Code && f.Hint == g.Hint
		})
		if i < 0 {
			runs = append(runs, []*findingGroup{g})
			continue
		}
		runs[i] = append(runs[i], g)
	}
	return runs
}

// sharedRepository is the one that all of the groups are about, and each of
// which names it before what it is about; empty if there is none.
func sharedRepository(run []*findingGroup) string {
	common := ""
	for _, g := range run {
		for _, f := range g.Found {
			id, _, more := strings.Cut(f.Subject, " ")
			if !more || common != "" && id != common {
				return ""
			}
			common = id
		}
	}
	return common
}

// within is the group as it is told below its repository's name.
func (g *findingGroup) within(repository string) *findingGroup {
	if repository == "" {
		return g
	}
	inner := *g
	inner.Found = slices.Clone(g.Found)
	for i := range inner.Found {
		inner.Found[i].Subject = strings.TrimPrefix(inner.Found[i].Subject, repository+" ")
	}
	return &inner
}

// countOf is how often the groups were found.
func countOf(run []*findingGroup) (n int) {
	for _, g := range run {
		n += len(g.Found)
	}
	return n
}

// acceptances are the flags that accept a group of all the findings. Each gives its
// subject as it is shown, where that is one subject only.
func acceptances(g *findingGroup, all []migrate.Finding) []acceptance {
	if g.Severity != migrate.Blocker || !g.Acceptable || g.Accepted {
		return nil
	}
	subject := g.Found[0].Subject
	shown := migrate.DisplaySubject(subject)
	if slices.ContainsFunc(all, func(f migrate.Finding) bool {
		return f.Code == g.Code && f.Subject != subject && migrate.DisplaySubject(f.Subject) == shown
	}) {
		shown = subject
	}
	one := acceptance{Flag: migrate.AcceptFlag(g.Code, shown)}
	if !slices.ContainsFunc(g.Found, func(f foundAt) bool { return f.Subject != subject }) {
		return []acceptance{one}
	}
	one.About = "this one alone"
	every := acceptance{migrate.AcceptFlag(g.Code, "*"), "all of this code"}
	if n := countCode(all, g.Code); n > len(g.Found) {
		every.About = fmt.Sprintf("all %d of this code, whatever they say", n)
	}
	return []acceptance{every, one}
}

// countCode is how many of the findings are of a code and can be accepted.
func countCode(findings []migrate.Finding, code string) (n int) {
	for _, f := range findings {
		if f.Code == code && f.Acceptable {
			n++
		}
	}
	return n
}

// fluxdName is how fluxd writes the object that people call shown, Kind/namespace/name
// or Kind/name.
func fluxdName(shown string) string {
	kind, name, _ := strings.Cut(shown, "/")
	namespace, rest, ok := strings.Cut(name, "/")
	if !ok {
		namespace, rest = "<cluster>", name
	}
	return namespace + ":" + strings.ToLower(kind) + "/" + rest
}

// Common is what all of them are about, and where all of them show, as far as
// that is the same. A list of places is left out that the message holds as well.
func (g *findingGroup) Common() foundAt {
	common := g.Found[0]
	if strings.Contains(common.Where, ", ") && strings.Contains(g.Message, common.Where) {
		common.Where = ""
	}
	for _, f := range g.Found {
		if f.Subject != common.Subject {
			common.Subject = ""
		}
		if f.Where != common.Where {
			common.Where = ""
		}
	}
	return common
}

// Each names what they are about and where each shows, less what is common to all;
// nothing if there is one.
func (g *findingGroup) Each() []string {
	if len(g.Found) == 1 {
		return nil
	}
	common := g.Common()
	out := make([]string, 0, len(g.Found))
	for _, f := range g.Found {
		if f.Subject == common.Subject {
			f.Subject = ""
		}
		if f.Where == common.Where {
			f.Where = ""
		}
		out = append(out, f.String())
	}
	return out
}

// about are the words behind a group's code: how many they are, and what they have
// in common as show writes it.
func (g *findingGroup) about(show func(string) string) string {
	common := g.Common()
	text := show(common.String())
	if common.Subject == "" && common.Where != "" {
		text = "at " + text
	}
	if len(g.Found) > 1 {
		text = fmt.Sprintf("(%d) ", len(g.Found)) + text
	}
	return strings.TrimSpace(text)
}

// heading are the words before what a group says where it stands among others of
// its code: each subject and place, as show writes them.
func (g *findingGroup) heading(show func(string) string) string {
	about, each := g.about(show), g.Each()
	if len(each) == 0 {
		return about
	}
	if g.Common() != (foundAt{}) {
		about += ":"
	}
	return about + " " + show(few(each))
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
// that a plan took note of. Nothing is written when there are none. What can be
// accepted is said by a [Review], since that is a matter of plans.
func Findings(w io.Writer, findings []migrate.Finding, accepted []migrate.Decision) error {
	return coloured(w, findings, accepted, Style{})
}

// coloured is Findings in a style.
func coloured(w io.Writer, findings []migrate.Finding, accepted []migrate.Decision, style Style) error {
	groups := grouped(findings, accepted)
	for _, g := range groups {
		g.Accept = nil
	}
	return findingsText(w, groups, style)
}

// findingsText writes groups of findings in a style, those of a code that have one
// remedy below one head; each flag that accepts one stands on one line, whole, to be
// copied.
func findingsText(w io.Writer, groups []*findingGroup, style Style) error {
	for _, run := range byRemedy(groups) {
		g := run[0]
		word, color := string(g.Severity), severityColor(g.Severity)
		if g.Accepted {
			word, color = "accepted", []string{dim}
		}
		about, repository := g.about(printable), ""
		if len(run) > 1 {
			repository = sharedRepository(run)
			about = strings.TrimSpace(fmt.Sprintf("(%d) %s", countOf(run), printable(repository)))
		}
		var text strings.Builder // of many groups, one by one
		text.WriteString(style.paint(word, color...) + " " + style.paint(g.Code, bold))
		switch {
		case about == "":
		case utf8.RuneCountInString(word+" "+g.Code+" "+about) <= style.width():
			text.WriteString(" " + about)
		default:
			text.WriteString("\n" + style.indented(4, about))
		}
		text.WriteString("\n")
		indent := 4
		for _, g := range run {
			if len(run) > 1 {
				g, indent = g.within(repository), 6
				text.WriteString(style.indented(4, g.heading(printable)) + "\n")
			}
			for _, line := range messageLines(g.Message) {
				deeper := len(line) - len(strings.TrimLeft(line, " "))
				text.WriteString(style.indented(indent+min(deeper, 8), line) + "\n")
			}
			if each := g.Each(); len(each) > 0 && len(run) == 1 {
				text.WriteString("    " + style.paint(Wrap("these: "+printable(few(each)), style.width()-4, "    "), dim) + "\n")
			}
		}
		if len(g.Reasons) > 0 {
			text.WriteString(style.indented(4, "reason: "+printable(strings.Join(g.Reasons, "; "))) + "\n")
		}
		if g.Hint != "" && !g.Accepted {
			hint := Wrap("hint: "+printable(g.Hint), style.width()-4, "    ")
			text.WriteString("    " + style.paint("hint:", cyan) + strings.TrimPrefix(hint, "hint:") + "\n")
		}
		for i, a := range g.Accept {
			word, about := "accept:", ""
			switch {
			case i > 0:
				word = "    or:"
			case style.OfFile:
				word = "to accept it, plan anew with:"
			}
			if a.About != "" {
				about = " (" + a.About + ")"
			}
			flag, sep := printable(a.Flag), " "
			if 4+utf8.RuneCountInString(word+sep+flag+about) > style.width() {
				sep = "\n    "
			}
			text.WriteString("    " + style.paint(word, cyan) + sep + flag + style.paint(about, dim) + "\n")
		}
		if _, err := io.WriteString(w, text.String()); err != nil {
			return err
		}
	}
	return nil
}

// list joins the first few subjects.
func list(subjects []string) string {
	out := make([]string, 0, len(subjects))
	for _, s := range subjects {
		out = append(out, migrate.DisplaySubject(s))
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
