package emit

import (
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// MarkdownLimit is how many characters a comment on a pull request may have:
// less than the 65,536 of GitHub, so that something can be put around it.
const MarkdownLimit = 60000

// Markdown writes a report for a comment on a pull request, in at most limit
// characters (0 means MarkdownLimit). What does not fit is left out, the least
// grave first, and the last lines say what.
func Markdown(w io.Writer, r Report, limit int) error {
	if limit == 0 {
		limit = MarkdownLimit
	}
	m := markdown{limit: limit, room: limit - len(markdownCut(1<<20, 1<<20, 1<<20)) - 100}
	if r.DiffOnly {
		summary := DiffText{Objects: r.Objects, Unrendered: r.Unrendered}.summary(r.Differences)
		m.must(fmt.Sprintf("### Differences on %s\n\n%s", code(clusterName(r.Plan)), escape(strings.Join(strings.Fields(summary), " "))) + "\n\n") // its lines are a terminal's
	} else {
		m.overview(&r)
		m.grounds(&r)
		m.findings(&r)
	}
	m.differences(&r)
	if m.bare+m.gone+m.lost > 0 {
		m.b.WriteString(markdownCut(m.bare, m.gone, m.lost))
	}
	_, err := io.WriteString(w, m.b.String())
	return err
}

// markdown is a text that has so much room left.
type markdown struct {
	b           strings.Builder
	limit, room int
	// What was left out: details of so many objects, so many objects, so many
	// findings or rows.
	bare, gone, lost int
}

func (m *markdown) must(s string) {
	m.b.WriteString(s)
	m.room -= len(s)
}

// try writes a part if there is room for it.
func (m *markdown) try(s string) bool {
	if len(s) > m.room {
		return false
	}
	m.must(s)
	return true
}

func markdownCut(bare, gone, lost int) string {
	var parts []string
	if bare > 0 {
		parts = append(parts, "the details of "+migrate.Count(bare, "object"))
	}
	if gone > 0 {
		parts = append(parts, migrate.Count(gone, "object")+" altogether")
	}
	if lost > 0 {
		parts = append(parts, migrate.Count(lost, "line")+" of repositories, rights, credentials and findings")
	}
	return fmt.Sprintf("\n> **Cut to fit a comment:** %s. `fluxover plan -o html` has everything.\n", strings.Join(parts, ", "))
}

func (m *markdown) overview(r *Report) {
	p := r.picture()
	said, stands := verdict(r.Plan)
	mark := map[standing]string{standsFree: "🟢", standsHeld: "🔴", standsOpen: "🟡"}[stands]
	m.must(fmt.Sprintf("### Plan for %s\n\n%s **%s** · proof: %s\n\n", code(clusterName(r.Plan)), mark, escape(said), escape(proofText(r.Plan))))
	m.must("| | before | after | freed |\n|---|---|---|---|\n")
	m.must(fmt.Sprintf("| agents | %d × Flux v1 | 1 (%s) | %d |\n", p.Agents, escape(p.Engine), max(0, p.Agents-1)))
	m.must(fmt.Sprintf("| CPU asked for | %s | %s | %s |\n", p.BeforeCPU(), orDash(p.After.CPU), orDash(p.Freed.CPU)))
	m.must(fmt.Sprintf("| memory asked for | %s | %s | %s |\n", p.BeforeMemory(), orDash(p.After.Memory), orDash(p.Freed.Memory)))
	m.must(fmt.Sprintf("| objects of Flux v2 | | %s, %s | |\n\n", migrate.Count(p.Sources, "GitRepository"), migrate.Count(p.Kustomizations, "Kustomization")))
	used := usedVerbs(r.Plan)
	head, rule := "| wave | repository | commit | apps |", "|---:|---|---|---:|"
	for _, v := range used {
		head, rule = head+" "+string(v)+" |", rule+"---:|"
	}
	m.must(fmt.Sprintf("<details><summary>%s in %s</summary>\n\n%s |\n%s---|\n", migrate.Count(len(r.Plan.Repositories), "repository"), migrate.Count(len(r.waves()), "wave"), head, rule))
	for _, repo := range r.Plan.Repositories {
		row := fmt.Sprintf("| %d | %s | %s | %d |", repo.Wave, code(repo.ID), code(shortCommit(repo.Commit)), len(repo.Kustomizations))
		counts := countVerbs(repo.Objects)
		for _, v := range used {
			row += fmt.Sprintf(" %d |", counts[v])
		}
		if repo.Blocked {
			row += " **blocked** |\n"
		} else {
			row += " |\n"
		}
		if m.room < m.limit/2 /* for what comes after */ || !m.try(row) {
			m.lost++
		}
	}
	m.must("\n</details>\n\n")
}

// grounds writes why the plan is as it is: the order, the rights, the
// credentials and what is added, each folded away.
func (m *markdown) grounds(r *Report) {
	var order []string
	for _, w := range r.waves() {
		text := fmt.Sprintf("wave %d: %s", w.Number, escape(w.Why))
		for _, after := range w.After {
			text += "<br>" + escape(after)
		}
		order = append(order, text)
	}
	m.folded("Why these waves", order)
	if len(r.Plan.Repositories) > 0 {
		v := r.rights()
		var lines []string
		add := func(word string, groups []rightsGroup) {
			if len(groups) == 0 {
				lines = append(lines, word+": "+v.None)
			}
			for _, g := range groups {
				text := word + ": " + escape(g.Text())
				if names := g.Names(); names != "" {
					text += "<br>" + escape(names)
				}
				lines = append(lines, text)
			}
		}
		add("gained", v.Gained)
		add("lost", v.Lost)
		add("kept", v.Kept)
		if len(v.Unknown) > 0 {
			lines = append(lines, "not known: "+escape(strings.Join(v.Unknown, ", ")))
		}
		flags := "flags of the agent: none; "
		if len(v.Flags) > 0 {
			flags = "flags of the agent: " + code(strings.Join(v.Flags, " ")) + "; "
		}
		m.folded("Rights of the new accounts: "+v.verdict(), append(lines, flags+escape(v.FlagsWhy)))
	}
	var waits []string
	for _, o := range r.order() {
		waits = append(waits, escape(o.Text(list)))
	}
	m.folded("Applications that others of their repository wait for", waits)
	var owners []string
	for _, o := range r.owners() {
		owners = append(owners, fmt.Sprintf("%s, %s: %s", escape(string(o.Owner)), escape(o.Why), escape(strings.Join(o.Secrets, ", "))))
	}
	m.folded(migrate.Count(len(r.Plan.Credentials), "copied credential")+", by who makes them anew for a cluster that is built again", owners)
	var adds []string
	for _, a := range r.adds() {
		adds = append(adds, fmt.Sprintf("%s: %s: %s", code(a.What), escape(a.Why), escape(strings.Join(a.Objects, ", "))))
	}
	m.folded("What is put on objects on purpose", adds)
}

// folded writes a list below a summary.
func (m *markdown) folded(summary string, lines []string) {
	if len(lines) == 0 {
		return
	}
	m.must("<details><summary>" + inHTML(summary) + "</summary>\n\n")
	for _, line := range lines {
		if m.room < m.limit/3 /* for findings and differences */ || !m.try("- "+line+"\n") {
			m.lost++
		}
	}
	m.must("\n</details>\n\n")
}

func (m *markdown) findings(r *Report) {
	for _, run := range byRemedy(grouped(r.Plan.Findings, r.Plan.Accepted)) {
		g := run[0]
		word := map[migrate.Severity]string{migrate.Blocker: "🔴 blocker", migrate.Warning: "🟡 warning", migrate.Info: "🔵 info"}[g.Severity]
		if g.Accepted {
			word = "⚪ accepted " + string(g.Severity)
		}
		text := fmt.Sprintf("- %s **%s** ", word, escape(g.Code))
		repository := sharedRepository(run)
		if len(run) > 1 {
			text += fmt.Sprintf("(%d) ", countOf(run))
			if repository != "" {
				text += code(repository)
			}
		} else {
			text += strings.TrimSpace(g.about(code) + " " + escapeLines(g.Message))
			if each := g.Each(); len(each) > 0 {
				text += "<br>these: " + escape(few(each))
			}
		}
		if len(g.Reasons) > 0 {
			text += "<br>reason: " + escape(strings.Join(g.Reasons, "; "))
		}
		if g.Hint != "" && !g.Accepted {
			text += "<br>→ " + escape(g.Hint)
		}
		for i, a := range g.Accept {
			text += "<br>" + []string{"accept: ", "or: "}[min(i, 1)] + code(a.Flag)
			if a.About != "" {
				text += " (" + a.About + ")"
			}
		}
		if m.room < m.limit/8 || !m.try(text+"\n") {
			if m.lost += len(run); len(run) > 1 {
				m.lost++
			}
			continue
		}
		if len(run) == 1 {
			continue
		}
		for _, g := range run {
			if m.room < m.limit/8 || !m.try("  - "+g.within(repository).heading(code)+" "+escapeLines(g.Message)+"\n") {
				m.lost++
			}
		}
	}
	m.must("\n")
}

// differences writes the gravest first, with their details while there is
// room, then without, then not at all.
func (m *markdown) differences(r *Report) {
	for _, d := range byGravity(r.Differences) {
		name := fmt.Sprintf("%s %s <i>%s</i>", inHTML(string(d.Verb)), codeHTML(migrate.DisplayID(d.ID)), inHTML(d.Repository))
		if why := d.told(); why != "" {
			name += ": " + inHTML(why)
		}
		if text := d.diffText(); text != "" {
			fence := fenceFor(text)
			// Some room is for naming those that are not shown whole.
			whole := fmt.Sprintf("<details><summary>%s</summary>\n\n%sdiff\n%s%s\n\n</details>\n", name, fence, text, fence)
			if len(whole) < m.room-m.limit/5 && m.try(whole) {
				continue
			}
			m.bare++
		}
		if !m.try(fmt.Sprintf("<div>%s</div>\n\n", name)) {
			if d.diffText() != "" {
				m.bare--
			}
			m.gone++
		}
	}
}

// fenceFor is longer than any run of backticks in the text.
func fenceFor(text string) string {
	longest, run := 0, 0
	for _, r := range text {
		if r == '`' {
			run++
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	return strings.Repeat("`", max(3, longest+1))
}

// code writes text in a code span that nothing in it can end.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + escape(s) + "</code>"
}

// codeHTML is code where a line begins with a tag: there Markdown does not read
// its own signs, nor backslashes before them.
func codeHTML(s string) string { return "<code>" + inHTML(s) + "</code>" }

func inHTML(s string) string {
	return strings.ReplaceAll(html.EscapeString(strings.ReplaceAll(printable(s), "\n", " ")), "@", "&#64;")
}

// escapeLines is escape of each line of what is said.
func escapeLines(s string) string {
	lines := messageLines(s)
	for i, line := range lines {
		lines[i] = escape(line)
	}
	return strings.Join(lines, "<br>")
}

// escape writes text so that neither Markdown nor HTML reads anything in it.
func escape(s string) string {
	// Entities of their own, since a backslash within one would end it.
	entities := map[rune]string{'<': "&lt;", '>': "&gt;", '&': "&amp;", '@': "&#64;" /* nobody is to be called */}
	var b strings.Builder
	for _, r := range strings.ReplaceAll(printable(s), "\n", " ") {
		switch {
		case entities[r] != "":
			b.WriteString(entities[r])
		case strings.ContainsRune("\\`*_{}[]()#+-!|~", r):
			fmt.Fprintf(&b, "\\%c", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
