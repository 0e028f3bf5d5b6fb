package emit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/migrate"
)

// chromium is the browser that pages are opened in.
func chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("no Chromium on PATH, and in continuous integration the page must be opened")
	}
	t.Skip("no Chromium on PATH: the page was not opened in a browser")
	return ""
}

// headless are the arguments of a browser that shows nothing, asks nobody and
// keeps nothing.
func headless(t testing.TB) []string {
	t.Helper()
	return []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir=" + filepath.Join(t.TempDir(), "profile"), "--window-size=1280,1000",
	}
}

// browse opens a page and gives Chromium's output for the arguments.
func browse(t testing.TB, page []byte, args ...string) string {
	t.Helper()
	program, file := chromium(t), filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, page, 0o600); err != nil {
		t.Fatal(err)
	}
	all := append(headless(t), args...)
	for attempt := 1; ; attempt++ {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		cmd := exec.CommandContext(ctx, program, append(all, "file://"+file)...)
		cmd.WaitDelay = 5 * time.Second
		out, err := cmd.Output()
		cancel()
		if err == nil {
			return string(out)
		}
		if attempt == 3 {
			t.Fatalf("chromium: %v", err)
		}
		t.Logf("chromium, tried again: %v", err) // it may crash where memory is short
	}
}

func htmlOf(t testing.TB, r Report) string {
	t.Helper()
	var b strings.Builder
	if err := HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// largeReport is of 40 repositories with six applications each and so many
// objects, one in twenty of which changes.
func largeReport(objects int) Report {
	r := Report{Objects: objects, After: migrate.Requests{CPU: "100m", Memory: "128Mi"}, Plan: migrate.Plan{
		Proof: "server", ClusterAgent: migrate.ClusterAgent{Engine: "bundled"}, Inputs: migrate.PlanInputs{Server: "https://prod.example.com", Version: "v1.33.2"},
	}}
	const teams, apps = 40, 6
	for team := range teams {
		id := fmt.Sprintf("flux/flux-team-%02d", team)
		r.Inventory.Agents = append(r.Inventory.Agents, migrate.Flux1Agent{ID: id, Requests: migrate.Requests{CPU: "1", Memory: "512Mi"}})
		repo := migrate.Repository{ID: id, Commit: "0123456789abcdef", Wave: 1 + (team+7)/8, Blocked: team == 13}
		for app := range apps {
			name := fmt.Sprintf("team-%02d-app-%d", team, app)
			repo.Applications = append(repo.Applications, migrate.Application{Name: name, Path: fmt.Sprintf("./production/app-%d", app), Why: "a folder below the agent's path"})
		}
		for i := range objects / teams {
			o := migrate.ObjectPlan{ID: fmt.Sprintf("team-%02d_object-%d_apps_Deployment", team, i), Application: fmt.Sprintf("team-%02d-app-%d", team, i%apps), Verb: migrate.Adopt}
			if i%20 == 3 {
				o.Verb, o.Fields = migrate.Change, []string{".spec.replicas"}
				r.Differences = append(r.Differences, Difference{Repository: id, ObjectPlan: o, Where: "production/app/web.yaml:1", Changes: []Change{
					{Path: ".spec.replicas", In: "cluster", Live: int64(5), After: int64(3), Flux1: int64(3), New: int64(3), Why: "Git says so; the live value was set by kubectl-edit"},
					{Path: ".spec.template.spec.containers[name=web].env[name=LEVEL]", In: "cluster", Live: map[string]any{"name": "LEVEL", "value": "debug"}, Why: "set by kubectl-edit, and not in Git"},
				}})
				r.Plan.Findings = append(r.Plan.Findings, migrate.Finding{Severity: migrate.Warning, Code: "OBJECT_CHANGES", Subject: id + " " + o.ID, Repository: id, Message: "it will change: .spec.replicas", Hint: "commit what is live to keep it"})
			}
			repo.Objects = append(repo.Objects, o)
		}
		r.Plan.Repositories = append(r.Plan.Repositories, repo)
	}
	r.Plan.Findings = append(r.Plan.Findings, migrate.Finding{Severity: migrate.Blocker, Code: "KNOWN_HOSTS_MISSING", Subject: "flux/flux-team-13", Repository: "flux/flux-team-13", Message: "no known_hosts line was found", Hint: "give the agent the line"})
	r.Plan.Findings = migrate.SortFindings(r.Plan.Findings)
	return r
}

// reached says of the element that has the focus what it is and whether a person
// sees that it has it: a ring around it, of which nothing is cut off.
const reached = `
	const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
	const out = parseFloat(style.outlineOffset) + parseFloat(style.outlineWidth);
	let ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && box.width > 0;
	for (let a = e.parentElement; a && a !== document.documentElement; a = a.parentElement) {
		const s = getComputedStyle(a), around = a.getBoundingClientRect();
		if (s.contentVisibility !== "auto" && s.overflow === "visible") { continue; }
		const left = around.left + a.clientLeft, top = around.top + a.clientTop;
		ring = ring && box.left - out >= left && box.top - out >= top && box.right + out <= left + a.clientWidth && box.bottom + out <= top + a.clientHeight;
	}
	const under = document.elementFromPoint(box.left + box.width / 2, box.top + 2);
	return { What: e.tagName + " " + (e.id || e.className || e.textContent.trim().slice(0, 40)), Ring: ring, Shown: e.contains(under) || under && under.contains(e),
		Place: Array.from(document.getElementsByTagName("*")).indexOf(e) };`

func TestTheReportIsUsedByKeyboardAlone(t *testing.T) {
	b := openTab(t, htmlOf(t, largeReport(800)), "")
	stops := map[string]bool{}
	for last, n := -1, 0; ; n++ {
		var at struct {
			What        string
			Ring, Shown bool
			Place       int
		}
		b.press("Tab")
		b.ask(reached, &at)
		if strings.HasPrefix(at.What, "BODY") || at.Place < last {
			if n < 60 {
				t.Errorf("the focus comes back after %d stops, at %s", n, at.What)
			}
			break
		}
		last = at.Place
		stops[at.What] = true
		if !at.Ring || !at.Shown {
			t.Errorf("that the focus is at %s is not seen: %+v", at.What, at)
		}
		if strings.Contains(at.What, "flux/flux-team-05") && strings.HasPrefix(at.What, "SUMMARY") {
			b.press("Enter") // what is in it is reached then
		}
		if n > 400 {
			t.Fatal("the focus never comes back")
		}
	}
	for _, want := range []string{"A skip", "INPUT search", "BUTTON expand", "BUTTON collapse", "BUTTON theme", "A chip"} {
		if !stops[want] {
			t.Errorf("%s is not reached by keys: %v", want, stops)
		}
	}
	var open bool
	const repository = `document.getElementById("repository-flux/flux-team-05")`
	if b.ask(`return `+repository+`.open`, &open); !open {
		t.Error("Enter does not open a repository")
	}
	b.ask(repository+`.querySelector("summary").focus();`, nil)
	b.press(" ")
	if b.ask(`return `+repository+`.open`, &open); open {
		t.Error("a space does not close a repository")
	}
}

func TestTheReportIsSearched(t *testing.T) {
	b := openTab(t, htmlOf(t, largeReport(800)), "")
	type state struct {
		At                                    string
		Found, Sections                       string
		Hits, Hidden, Repositories, Open, Top int
		Seen                                  bool
	}
	look := func() (s state) {
		t.Helper()
		b.ask(`
			await tick(200);
			const e = document.activeElement;
			return { At: e.id || e.tagName, Found: document.getElementById("found").textContent, Seen: e.checkVisibility(), Top: Math.round(scrollY),
				Hits: all(".item").filter((e) => !e.hidden).length, Hidden: all(".item[hidden]").length,
				Repositories: all("details.repository").filter((d) => d.checkVisibility()).length, Open: all("details.repository[open]").length,
				Sections: all("main > section").filter((s) => s.checkVisibility()).map((s) => s.id).join(" ") };`, &s)
		return s
	}
	b.ask(`scrollTo(0, 1500);`, nil)
	before := look()
	b.press("/")
	if s := look(); s.At != "search" {
		t.Fatalf("a slash does not lead to the search: %+v", s)
	}
	b.write("team-07 object-3")
	if s := look(); s.Hits < 1 || s.Hits > 20 || s.Found != fmt.Sprintf("%d of %d", s.Hits, s.Hits+s.Hidden) || s.Repositories != 1 || s.Open != 1 || s.Sections != "findings repositories" || s.Top > 0 {
		t.Errorf("what is found is not all that is seen, from the top: %+v", s)
	}
	b.press("Enter")
	if s := look(); s.At == "search" || s.At == "BODY" || !s.Seen {
		t.Errorf("Enter does not lead to what is found: %+v", s)
	}
	b.press("Escape")
	if s := look(); s.Found != "" || s.Hidden != 0 || s.Open != before.Open || s.Repositories != before.Repositories || s.Sections != before.Sections {
		t.Errorf("Escape does not end the search: %+v, before %+v", s, before)
	}
	b.press("/")
	b.write("nothing has this name")
	if s := look(); s.Hits != 0 || s.Repositories != 0 || !strings.HasPrefix(s.Found, "0 of ") {
		t.Errorf("where nothing is found, it is not said: %+v", s)
	}
	b.press("Escape")
	if s := look(); s.At != "BODY" || s.Found != "" {
		t.Errorf("Escape does not leave the search: %+v", s)
	}
	// A link to a repository opens it, again after it was closed.
	for range 2 {
		b.ask(`all(".waves a.chip").find((a) => a.textContent === "flux/flux-team-09").click();`, nil)
		if s := look(); s.Open != 1 {
			t.Errorf("a link does not open the repository: %+v", s)
		}
		b.ask(`document.getElementById("collapse").click();`, nil)
	}
}

func TestALinkThatIsNoneDoesNotStopTheReport(t *testing.T) {
	b := openTab(t, htmlOf(t, largeReport(80)), "#%")
	b.press("/")
	var at string
	if b.ask(`return location.hash + document.activeElement.id`, &at); at != "#%search" {
		t.Errorf("the search is not reached: %s", at)
	}
}

func TestTheReportIsLightOrDark(t *testing.T) {
	b := openTab(t, htmlOf(t, largeReport(800)), "")
	type look struct {
		Background, Scheme, Theme string
		Faint                     []string
	}
	see := func() (l look) {
		t.Helper()
		b.ask(`
			document.getElementById("expand").click();
			const rgb = (c) => (c.match(/[\d.]+/g) || []).map(Number);
			const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
			const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) { return c; } } return [255, 255, 255]; };
			const faint = new Set();
			all("body *").forEach((e) => {
				if (!Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.textContent.trim()) || ["STYLE", "SCRIPT", "text"].includes(e.tagName)) { return; }
				const a = light(rgb(getComputedStyle(e).color).slice(0, 3)), b = light(ground(e).slice(0, 3));
				if ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5) { faint.add(e.tagName + "." + e.className); }
			});
			const root = getComputedStyle(document.documentElement);
			return { Background: getComputedStyle(document.body).backgroundColor, Scheme: root.colorScheme, Theme: document.documentElement.dataset.theme || "", Faint: Array.from(faint) };`, &l)
		return l
	}
	const white, black = "rgb(255, 255, 255)", "rgb(20, 23, 28)"
	for _, c := range []struct{ media, scheme, choice, want, asks string }{
		{"screen", "light", "", white, "light"}, {"screen", "dark", "", black, "dark"},
		{"screen", "light", "dark", black, "dark"}, {"screen", "dark", "light", white, "light"},
		{"print", "dark", "", white, "light"}, {"print", "light", "dark", white, "light"},
	} {
		b.ask(`delete document.documentElement.dataset.theme;`, nil)
		b.emulate("screen", c.scheme)
		if c.choice != "" {
			b.ask(`document.getElementById("theme").click();`, nil)
		}
		b.emulate(c.media, c.scheme)
		if got := see(); got.Background != c.want || got.Scheme != c.asks || got.Theme != c.choice || len(got.Faint) > 0 {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

// Whatever is open, nothing is wider than the screen or the paper.
func TestTheReportFitsScreensAndPaper(t *testing.T) {
	r := largeReport(800)
	long := strings.Repeat("a-long-name-without-a-space-", 8)
	d := &r.Differences[0]
	d.ID, d.Where = "namespace_"+long+"_apps_Deployment", long+".yaml:1"
	d.Changes[0].Path, d.Changes[0].After = ".data."+long, long+long
	r.Plan.Repositories[0].Objects[0].ID = "namespace_" + long + "__ConfigMap"
	r.Plan.Repositories[0].Applications[0].Name, r.Plan.Repositories[0].Applications[0].Path = long, long
	r.Plan.Findings[0].Message, r.Plan.Findings[0].Subject = long, long
	b := openTab(t, htmlOf(t, r), "")
	for _, c := range []struct {
		media string
		width int
	}{{"screen", 1280}, {"screen", 800}, {"screen", 400}, {"screen", 320}, {"print", 700}} {
		b.emulate(c.media, "light")
		b.widen(c.width)
		var wide []string
		b.ask(`
			all("details").forEach((d) => { d.open = true; });
			const width = document.documentElement.clientWidth;
			return all("body *").filter((e) => !e.closest(".hidden, .skip, svg, script") && e.getBoundingClientRect().right > width + 1).map((e) => e.tagName + "." + e.className + " " + e.textContent.trim().slice(0, 30))
				.concat(document.documentElement.scrollWidth > width ? ["the page"] : []);`, &wide)
		if len(wide) > 0 {
			t.Errorf("wider than %d columns of %s are %d elements: %.300q", c.width, c.media, len(wide), wide)
		}
	}
}

func TestTheReportLoadsNothingAndRunsNothingButItsOwn(t *testing.T) {
	const evil = `"><img src=http://127.0.0.1:9/x onerror="document.title='PWNED'"><script>document.title='PWNED'</script></details></pre>{{.}}`
	r := largeReport(400)
	r.Plan.Inputs.Server, r.Plan.Repositories[0].ID, r.Inventory.Agents[0].ID = evil, evil, evil
	r.Plan.Repositories[0].Commit, r.Plan.Repositories[0].Applications[0].Why = evil, evil
	for i := range r.Plan.Findings {
		r.Plan.Findings[i].Message, r.Plan.Findings[i].Hint, r.Plan.Findings[i].Where, r.Plan.Findings[i].Code = evil, evil, evil, evil
	}
	for i := range r.Differences {
		d := &r.Differences[i]
		d.ID, d.Where, d.Why, d.Verb = "x_"+evil+"__ConfigMap", evil, evil, migrate.Verb(evil)
		d.Changes = []Change{{Path: ".data[" + evil, In: "cluster", Live: evil, After: "javascript:alert(1)\n</script>" + evil, Why: evil}}
	}
	r.Plan.Repositories[0].Objects[0].Verb = migrate.Verb(evil)
	page := htmlOf(t, r)
	// A script that is not the page's own must be refused by its policy.
	page = strings.Replace(page, "</main>", `<script>document.documentElement.dataset.foreign = "ran"</script><img id="foreign" src="http://127.0.0.1:9/y"></main>`, 1)
	var got struct {
		Error, Title, Foreign string
		Images, Scripts       int
		Requests              []string
	}
	openTab(t, page, "").ask(`
		document.getElementById("expand").click();
		await tick(200);
		return { Title: document.title, Foreign: document.documentElement.dataset.foreign || "", Images: document.images.length,
			Scripts: document.scripts.length, Requests: performance.getEntriesByType("resource").map((e) => e.name).filter((n) => n.startsWith("http") && !n.endsWith("/y")) };`, &got)
	if got.Error != "" || got.Title == "PWNED" || got.Foreign != "" || len(got.Requests) > 0 {
		t.Errorf("%+v", got)
	}
	if got.Images != 1 || got.Scripts != 2 { // the test's own, beside the page's one script
		t.Errorf("a name became an element: %+v", got)
	}
	for _, outside := range []string{"src=", "@import", "url(", "<link", "<iframe"} {
		if strings.Contains(htmlOf(t, largeReport(80)), outside) {
			t.Errorf("the page holds %q", outside)
		}
	}
}

// workload is for how long a page keeps its main thread at work, in milliseconds of
// processor time: how much else the machine does is no matter.
type workload struct {
	// Open is to read the page, lay it out and run its script, Search to search all
	// of it, Unfold to open a repository.
	Open, Search, Unfold float64
	Elements             int
	Hits                 string
}

// workOf opens a page, searches it and opens the first repository of it.
func workOf(t *testing.T, page string) (w workload) {
	t.Helper()
	b := openTab(t, "<!doctype html><title>x</title>", "")
	b.do("Performance.enable", map[string]any{"timeDomain": "threadTicks"}, nil)
	last := 0.0
	passed := func() float64 {
		var got struct {
			Metrics []struct {
				Name  string
				Value float64
			}
		}
		b.do("Performance.getMetrics", nil, &got)
		before := last
		for _, m := range got.Metrics {
			if m.Name == "ThreadTime" {
				last = m.Value
			}
		}
		if last <= before {
			t.Fatal("the browser does not tell for how long a page was at work")
		}
		return 1000 * (last - before)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	const laidOut = `document.body.getBoundingClientRect().height; all("details.repository").forEach((d) => d.getBoundingClientRect().height);`
	passed()
	if err := b.open("file://" + file); err != nil {
		t.Fatal(err)
	}
	b.ask(laidOut, nil)
	w.Open = passed()
	b.ask(`return document.getElementsByTagName("*").length;`, &w.Elements)
	passed()
	b.ask(`
		const search = document.getElementById("search");
		search.focus();
		search.value = "setting-17";
		search.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
		`+laidOut+`
		return document.getElementById("found").textContent;`, &w.Hits)
	w.Search = passed()
	b.ask(`
		const search = document.getElementById("search");
		search.focus();
		search.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));`+laidOut, nil)
	passed()
	b.ask(`document.querySelector("details.repository > summary").click();`+laidOut, nil)
	w.Unfold = passed()
	return w
}

// least is the work of the same page as far as nothing else got in its way.
func (w workload) least(other workload) workload {
	if other.Elements > 0 {
		w.Open, w.Search, w.Unfold = min(w.Open, other.Open), min(w.Search, other.Search), min(w.Unfold, other.Unfold)
	}
	return w
}

// tooMuch says what of the work on a page of so many objects is more than is allowed:
// what was promised, and half as much again as it is today, beside the yardstick.
func (w workload) tooMuch(yard workload, objects int) []string {
	var out []string
	for _, part := range []struct {
		name        string
		took, limit float64
	}{
		{"elements", float64(w.Elements), 4 * float64(objects)},
		{"opening it", w.Open, min(2000, 0.5*yard.Open)},
		{"searching it", w.Search, min(2000, 2.1*yard.Search)},
		{"opening a repository", w.Unfold, 1000},
	} {
		if part.took > part.limit {
			out = append(out, fmt.Sprintf("%s: %.0f, more than %.0f", part.name, part.took, part.limit))
		}
	}
	return out
}

// yardstick is a page by which the work on a report is measured: both take longer
// where a processor is slower, or shared.
func yardstick() string {
	var b strings.Builder
	b.WriteString(`<!doctype html><title>x</title><style>p { margin: 4px; padding: 2px; border: 1px solid; }</style><input id="search"><i id="found">1 of 10</i><details class="repository"><summary>x</summary></details>`)
	for i := range 4000 {
		fmt.Fprintf(&b, `<details><summary>name-%[1]d <b>b</b></summary><p>setting-%[1]d is another text</p></details>`, i)
	}
	b.WriteString(`<script>addEventListener("keydown", function () { document.querySelectorAll("details").forEach(function (d) { d.open = d.textContent.toLowerCase().includes("setting-17"); }); });</script>`)
	return b.String()
}

func TestTenThousandObjectsOpenInTwoSecondsAndStayUsable(t *testing.T) {
	inv := inventoryOf(t, 40, 227)
	begun := time.Now()
	planned := NewReport(proved(t, inv), inv, requestsOfTheChart)
	t.Logf("planned and proved in %v: %d objects, %d differences", time.Since(begun), planned.Objects, len(planned.Differences))
	if applications := planned.picture().Kustomizations; applications < 240 || planned.Objects < 10000 || len(planned.Differences) < 500 {
		t.Fatalf("the plan has %d applications, %d objects and %d differences", applications, planned.Objects, len(planned.Differences))
	}
	page := htmlOf(t, planned)
	t.Logf("the page has %d KiB", len(page)/1024)
	// Something else may always get in the way, and nothing makes work less: the
	// least of a few tries is what the page takes.
	const tries = 6
	var yard, got, twice workload
	for n := 1; ; n++ {
		yard, got = workOf(t, yardstick()).least(yard), workOf(t, page).least(got)
		t.Logf("milliseconds of processor time: %+v; the yardstick %+v", got, yard)
		if !strings.Contains(got.Hits, " of 10") {
			t.Fatalf("the search says %q", got.Hits)
		}
		slow := got.tooMuch(yard, planned.Objects)
		if len(slow) == 0 {
			break
		}
		if n == tries {
			t.Fatalf("the least of %d tries is too much: %s", n, strings.Join(slow, "; "))
		}
	}
	// A page that has to do everything twice is seen as one.
	main := page[strings.Index(page, "<main") : strings.Index(page, "</main>")+len("</main>")]
	doubled := strings.Replace(page, "</main>", "</main>"+main, 1)
	for n := 1; ; n++ {
		yard, twice = workOf(t, yardstick()).least(yard), workOf(t, doubled).least(twice)
		t.Logf("doubled: %+v", twice)
		slow := twice.tooMuch(yard, planned.Objects)
		if len(slow) >= 3 {
			break
		}
		if n == tries {
			t.Fatalf("twice the page is too much only by this: %q", slow)
		}
	}
}

// On paper stands all that a reviewer signs, whatever the reader had closed or
// searched for, and the page is then as it was.
func TestTheReportPrintsAllThatMatters(t *testing.T) {
	r := largeReport(400)
	r.Plan.Repositories[0].Objects[0].Verb = migrate.Skip
	b := openTab(t, htmlOf(t, r), "")
	b.press("/")
	b.write("team-07")
	b.ask(`
		await tick(200);
		const look = () => ({ open: all("details[open]").length, hidden: all("main [hidden]").length, sections: all("main > section").filter((s) => s.checkVisibility()).length });
		window.look = look;
		window.before = look();
		addEventListener("beforeprint", function () {
			window.printed = Object.assign(look(), { closed: all("details:not([open])").map((d) => d.className + " " + d.querySelector("summary").textContent.trim()) });
		});`, nil)
	var pdf struct{ Data string }
	b.do("Page.printToPDF", map[string]any{"printBackground": true}, &pdf)
	var got struct {
		Before, After, Printed struct{ Open, Hidden, Sections int }
		Closed                 []string
	}
	b.ask(`await tick(200); return { Before: before, Printed: printed, Closed: printed.closed, After: look() };`, &got)
	if got.Printed.Hidden != 0 || got.Printed.Sections != 5 || got.Before.Hidden == 0 || got.Before != got.After || len(pdf.Data) == 0 {
		t.Errorf("before, on paper, after: %+v", got)
	}
	for _, closed := range got.Closed {
		if !strings.HasPrefix(closed, "quiet adopt ") {
			t.Errorf("not on paper: %s", closed)
		}
	}
	if len(got.Closed) == 0 {
		t.Error("on paper stand the names of all that stays as it is")
	}
}

// Where no script may run, as in a viewer of attachments, paper shows what is closed all
// the same, and what is told of an object stands on one page.
func TestPaperShowsWhatIsClosedWithoutTheScript(t *testing.T) {
	r := largeReport(400)
	r.Plan.Repositories[0].Objects[0].Verb = migrate.Skip
	b := openTab(t, htmlOf(t, r), "")
	b.emulate("print", "light")
	var got struct {
		Closed, Unseen, Names int
		Torn                  []string
	}
	b.ask(`
		const closed = all("main details:not([open])"), named = (d) => d.matches(".quiet:not(.told)"), seen = (d) => d.lastElementChild.checkVisibility();
		const whole = (e) => getComputedStyle(e).breakInside === "avoid";
		return {
			Closed: closed.length,
			Unseen: closed.filter((d) => !named(d) && !seen(d)).length,
			Names: closed.filter((d) => named(d) && seen(d)).length,
			Torn: all(".object, .finding").filter((e) => whole(e) === !!e.querySelector("pre, li")).map((e) => e.className),
		};`, &got)
	if got.Closed == 0 || got.Unseen > 0 || got.Names > 0 || len(got.Torn) > 0 {
		t.Errorf("on paper: %+v", got)
	}
}
