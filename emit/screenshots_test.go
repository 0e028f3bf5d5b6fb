package emit

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestScreenshots writes the pictures of docs/screenshots ("make screenshots"),
// of a fleet of 40 agents that the planner and the proof looked at.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		t.Skip("SCREENSHOTS names no folder for the pictures")
	}
	r, inv := fleet(t, 40)
	report := NewReport(r, inv, requestsOfTheChart)
	for _, columns := range []int{80, 120} {
		style := Style{Color: true, Width: columns}
		var plan, diff strings.Builder
		if err := Review(&plan, report, style); err != nil {
			t.Fatal(err)
		}
		if err := WriteDifferences(&diff, report.Differences, DiffText{Style: style, Objects: report.Objects}); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"plan": "$ fluxover plan\n" + plan.String(), "diff": "$ fluxover diff\n" + diff.String()} {
			if width := widestLine(text); width > columns {
				t.Errorf("%s is %d characters wide, on %d columns", name, width, columns)
			}
			shoot(t, dir, fmt.Sprintf("%s-%d", name, columns), []byte(terminalPage(text, columns)), columns*9+48, strings.Count(text, "\n")*19+62)
		}
	}
	page := htmlOf(t, report)
	shoot(t, dir, "report-light", []byte(page), 1280, 1500)
	shoot(t, dir, "report-dark", []byte(strings.Replace(page, `<html lang="en">`, `<html lang="en" data-theme="dark">`, 1)), 1280, 1500)
	// The differences of one repository, opened as a reader would.
	opened := strings.Replace(page, `id="repository-flux/flux-search"`, `open id="repository-flux/flux-search"`, 1)
	opened = strings.ReplaceAll(opened, `<details class="object item">`, `<details class="object item" open>`)
	opened = regexp.MustCompile(`(?s)<section id="overview">.*?<section id="repositories">`).ReplaceAllString(opened, `<section id="repositories">`)
	shoot(t, dir, "report-repository", []byte(opened), 1280, 1100)
}

func shoot(t *testing.T, dir, name string, page []byte, width, height int) {
	t.Helper()
	browse(t, page, "--hide-scrollbars", fmt.Sprintf("--window-size=%d,%d", width, height), "--screenshot="+filepath.Join(dir, name+".png"))
}

var ansi = regexp.MustCompile("\x1b\\[([0-9;]*)m")

func widestLine(text string) int {
	most := 0
	for line := range strings.Lines(ansi.ReplaceAllString(text, "")) {
		most = max(most, len([]rune(strings.TrimRight(line, "\n"))))
	}
	return most
}

// terminalPage shows text as a terminal does.
func terminalPage(text string, columns int) string {
	colors := map[string]string{bold: "font-weight:700", dim: "opacity:.62", red: "color:#ff7b72", green: "color:#7ee787", yellow: "color:#e3b341", cyan: "color:#79c0ff"}
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html><meta charset="utf-8"><style>
body{margin:0;background:#0d1117}
div{margin:12px;padding:10px 12px;background:#161b22;border:1px solid #30363d;border-radius:8px;width:calc(%dch + 2px);overflow:hidden;color:#e6edf3;font:15px/19px "DejaVu Sans Mono",monospace}
pre{margin:0;font:inherit}</style><div><pre>`, columns)
	last, open := 0, false
	for _, m := range ansi.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(html.EscapeString(text[last:m[0]]))
		last = m[1]
		if open {
			b.WriteString("</span>")
			open = false
		}
		var css []string
		for code := range strings.SplitSeq(text[m[2]:m[3]], ";") {
			if c := colors[code]; c != "" {
				css = append(css, c)
			}
		}
		if len(css) > 0 {
			fmt.Fprintf(&b, `<span style="%s">`, strings.Join(css, ";"))
			open = true
		}
	}
	b.WriteString(html.EscapeString(text[last:]) + "</pre></div>")
	return b.String()
}
