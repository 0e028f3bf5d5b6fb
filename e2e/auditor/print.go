package auditor

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the text form.
const (
	columns         = 80
	violationsShown = 20
	rowsShown       = 15
)

// WriteText writes the report for people: verdict and checks, violations, then
// tables, no line wider than 80 columns. Long tables are cut, and say so; the
// JSON form holds all.
func (r *Report) WriteText(out io.Writer) error {
	var b bytes.Buffer
	p := printer{&b}
	p.line("%s  %s to %s, %d events", strings.ToUpper(r.Verdict), clock(r.Window.Since), clock(r.Window.Until), r.Log.Events)
	p.line("")
	for _, c := range r.Checks {
		if c.OK {
			p.line("PASS  %s", c.Text)
		} else {
			p.line("FAIL  %s: %d", c.Text, c.Count)
		}
	}
	r.writeViolations(p)
	p.line("")
	p.line("Managed objects: %d, written %d, changed by Flux v1 %d, switched %d",
		r.Objects.Managed, r.Objects.Written, r.Objects.ChangedByFlux1, r.Switched)
	r.writeTables(p)
	for _, n := range r.Notes {
		p.wrapped("note: ", n)
	}
	if _, err := out.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (r *Report) writeViolations(p printer) {
	for i, v := range r.Violations {
		if i == violationsShown {
			p.line("  … %d more: see -o json", len(r.Violations)-i)
			break
		}
		if i == 0 {
			p.line("")
		}
		p.wrapped("  ", fmt.Sprintf("%s  %s  %s", clock(v.Time), v.Check, v.Subject))
		what := v.What
		if v.User != "" {
			what += fmt.Sprintf("; by %s (%s as %s)", v.Engine, v.Manager, v.User)
		}
		p.wrapped("      ", what)
	}
}

func (r *Report) writeTables(p printer) {
	var rows [][]string
	for _, e := range r.ByEngine {
		rows = append(rows, []string{string(e.Engine), fmt.Sprint(e.Writes), strings.Join(e.Users, " ")})
	}
	p.table([]string{"ENGINE", "WRITES", "USERS"}, rows)
	rows = nil
	for _, h := range r.Handovers {
		rows = append(rows, []string{h.ID, took(h.Gap), took(h.WaitingForOldPod), took(h.RollbackGap), fmt.Sprint(len(h.Kustomizations)), handoverState(h)})
	}
	p.table([]string{"REPOSITORY", "GAP", "OLD POD", "BACK", "KS", "STATE"}, rows)
	rows = nil
	for _, w := range r.Elsewhere {
		rows = append(rows, []string{string(w.Engine), w.Verb, fmt.Sprint(w.Count), w.Resource})
	}
	p.table([]string{"ELSEWHERE", "VERB", "WRITES", "RESOURCE"}, rows)
	rows = nil
	for _, w := range r.Subresources {
		rows = append(rows, []string{w.Resource, w.Verb, fmt.Sprint(w.Count), shortUser(w.User)})
	}
	p.table([]string{"SUBRESOURCE", "VERB", "WRITES", "CONTROLLER"}, rows)
	rows = nil
	for _, l := range r.Load {
		rows = append(rows, []string{fmt.Sprint(l.Count), fmt.Sprintf("%.2f", l.PerSecond), l.Verb, l.Resource, shortUser(l.User)})
	}
	p.table([]string{"REQUESTS", "PER S", "VERB", "RESOURCE", "USER"}, rows)
}

func handoverState(h Handover) string {
	switch {
	case h.Abandoned:
		return "given up"
	case h.OldPodReady != nil:
		if h.Estimated {
			return "rolled back (estimated)"
		}
		return "rolled back"
	case h.Suspended != nil:
		return "going back"
	case h.Adopted != nil:
		return "handed over"
	case h.PodsGone != nil || h.Fenced != nil:
		return "open"
	}
	return "under Flux v1"
}

// shortUser writes the account of a service shorter: sa:namespace:name.
func shortUser(user string) string {
	if rest, ok := strings.CutPrefix(user, accountPrefix); ok {
		return "sa:" + rest
	}
	return user
}

func took(s *float64) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%.3fs", *s)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

type printer struct{ *bytes.Buffer }

func (p printer) line(format string, args ...any) {
	p.WriteString(cut(fmt.Sprintf(format, args...), columns) + "\n")
}

// wrapped breaks text at spaces, and in the middle of words that are too long.
func (p printer) wrapped(indent, text string) {
	width := columns - len(indent)
	line := ""
	flush := func() {
		if line != "" {
			p.WriteString(indent + line + "\n")
			line, indent = "", strings.Repeat(" ", len(indent))
		}
	}
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			flush()
		}
		for utf8.RuneCountInString(word) > width {
			runes := []rune(word)
			line = string(runes[:width])
			word = string(runes[width:])
			flush()
		}
		line += map[bool]string{true: " "}[line != ""] + word
	}
	flush()
}

// table writes rows below their heads, columns as wide as needed; the last
// column is cut at the edge.
func (p printer) table(head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	left := 0
	if len(rows) > rowsShown {
		left = len(rows) - rowsShown
		rows = rows[:rowsShown]
	}
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], min(utf8.RuneCountInString(cell), 40))
		}
	}
	p.line("")
	for _, row := range append([][]string{head}, rows...) {
		var s strings.Builder
		for i, cell := range row {
			if i == len(row)-1 {
				s.WriteString(cell)
				break
			}
			cell = cut(cell, widths[i])
			s.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		p.line("%s", s.String())
	}
	if left > 0 {
		p.line("… %d more: see -o json", left)
	}
}

func cut(s string, width int) string {
	s = strings.TrimRight(s, " ")
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}
