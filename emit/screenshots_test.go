package emit

import (
	"crypto/sha256"
	"fmt"
	"html"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// screenshots is the folder of the pictures, and pages the file beside them that
// says of each, by hashes, what it shows.
var (
	screenshots = filepath.Join("..", "docs", "screenshots")
	pages       = "pages.txt"
)

// TestScreenshots writes the pictures of docs/screenshots ("make screenshots"),
// and beside them what they are of.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		t.Skip("SCREENSHOTS names no folder for the pictures")
	}
	all := shots(t)
	for _, s := range all {
		shoot(t, dir, s)
	}
	if t.Failed() {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, pages), []byte(pagesOf(t, dir, all)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheScreenshotsShowWhatIsWrittenToday(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(screenshots, pages))
	if err != nil {
		t.Fatal(err)
	}
	all := shots(t)
	if got := pagesOf(t, screenshots, all); got != string(want) {
		t.Errorf("docs/screenshots are not of what plan, diff and the report write: run \"make screenshots\", look at the pictures, and commit them\n%s", cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")))
	}
	files, err := filepath.Glob(filepath.Join(screenshots, "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(all) {
		t.Errorf("there are %d pictures, and %d are made: %s", len(files), len(all), files)
	}
}

// shot is what a picture is taken of.
type shot struct {
	name, page    string
	width, height int
}

// ofNoLook is what a page holds and does not show.
var ofNoLook = regexp.MustCompile(`(?s)<script>.*?</script>|<meta http-equiv="Content-Security-Policy"[^>]*>`)

// pagesOf has a line for each picture: hashes of what it is taken of, and of the
// picture in the folder.
func pagesOf(t *testing.T, dir string, all []shot) string {
	t.Helper()
	hash := func(raw []byte) string { return fmt.Sprintf("%.12x", sha256.Sum256(raw)) }
	lines := []string{"# Made by \"make screenshots\": the hash of what each picture is of, and its own."}
	for _, s := range all {
		raw, err := os.ReadFile(filepath.Join(dir, s.name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		of := fmt.Appendf(nil, "%d %d %s", s.width, s.height, ofNoLook.ReplaceAllString(s.page, ""))
		lines = append(lines, hash(of)+" "+hash(raw)+" "+s.name+".png")
	}
	return strings.Join(lines, "\n") + "\n"
}

// shots are a terminal with a fleet of twelve agents, and the page of one of
// forty, which the planner and the proof looked at.
func shots(t *testing.T) []shot {
	t.Helper()
	var out []shot
	r, inv := fleet(t, 12)
	small := NewReport(r, inv, requestsOfTheChart)
	for _, columns := range []int{80, 120} {
		style := Style{Color: true, Width: columns}
		var plan, diff strings.Builder
		if err := Review(&plan, small, style); err != nil {
			t.Fatal(err)
		}
		if err := WriteDifferences(&diff, small.Differences, DiffText{Style: style, Objects: small.Objects}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ name, text string }{{"plan", "$ fluxover plan\n" + plan.String()}, {"diff", "$ fluxover diff\n" + diff.String()}} {
			if width := widestLine(c.text); width > columns {
				t.Errorf("%s is %d characters wide, on %d columns", c.name, width, columns)
			}
			if c.name == "diff" && columns > 80 {
				continue // it is no wider
			}
			out = append(out, shot{fmt.Sprintf("%s-%d", c.name, columns), terminalPage(c.text, columns), columns*9 + 80, strings.Count(c.text, "\n")*20 + 80})
		}
	}
	r, inv = fleet(t, 40)
	page := htmlOf(t, NewReport(r, inv, requestsOfTheChart))
	out = append(out,
		shot{"report-light", page, 1280, 1500},
		shot{"report-dark", strings.Replace(page, `<html lang="en">`, `<html lang="en" data-theme="dark">`, 1), 1280, 1500},
		shot{"report-narrow", page, 500, 1400},
	)
	// The repositories with differences alone, these opened as a reader would.
	page = regexp.MustCompile(`(?s)<section id="overview">.*?<section id="repositories">`).ReplaceAllString(page, `<section id="repositories">`)
	page = strings.ReplaceAll(page, `<details class="object item">`, `<details class="object item" open>`)
	const begin = `<details class="repository"`
	parts := strings.Split(page, begin)
	opened := parts[0]
	for i, part := range parts[1:] {
		switch {
		case strings.Contains(part, `<details class="object`):
			opened += begin + " open" + part
		case i == len(parts)-2: // it ends the page
			opened += begin + part
		}
	}
	return append(out, shot{"report-repository", opened, 1280, 1400})
}

// shoot takes a picture of a page, small enough for the repository.
func shoot(t *testing.T, dir string, s shot) {
	t.Helper()
	taken := filepath.Join(t.TempDir(), s.name+".png")
	browse(t, []byte(s.page), "--hide-scrollbars", fmt.Sprintf("--window-size=%d,%d", s.width, s.height), "--screenshot="+taken)
	file, err := os.Open(taken)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatalf("read what Chromium took of %s: %v", s.name, err)
	}
	savePicture(t, filepath.Join(dir, s.name+".png"), cropped(picture))
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
div{padding:14px 16px;width:calc(%dch + 2px);overflow:hidden;color:#e6edf3;font:14px/19px "DejaVu Sans Mono",monospace}
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
