package emit

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
)

var (
	//go:embed report/report.html.tmpl
	reportTemplate string
	//go:embed report/report.css
	reportCSS string
	//go:embed report/report.js
	reportJS string
)

// HTML writes a report as one page that needs nothing else: no network, no
// other file. Its policy lets the browser run and load nothing but what the
// page holds, whatever stands in names and values; all of them go through
// html/template. Objects on which nothing happens are listed by name.
func HTML(w io.Writer, r Report) error {
	page, err := template.New("report").Funcs(template.FuncMap{
		"display": func(id string) string { return printable(migrate.DisplayID(id)) },
		"subject": func(s string) string { return printable(migrate.DisplaySubject(s)) },
		"lines":   messageLines,
		"clean":   printable, "commit": shortCommit, "dash": orDash,
		"needs": func(needs []migrate.Dependency) string { return printable(needsText(needs)) },
		"join":  func(texts []string) string { return printable(strings.Join(texts, ", ")) },
	}).Parse(reportTemplate)
	if err != nil {
		return fmt.Errorf("read the report's template: %w", err)
	}
	if err := page.Execute(w, pageOf(&r)); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// page is what the template shows.
type page struct {
	Title, Verdict, Proof, Cluster string
	Stands                         standing
	Policy                         string
	CSS                            template.CSS
	JS                             template.JS
	DiffOnly                       bool
	Picture                        picture
	Drawing                        drawing
	Verbs                          []verbCount
	Compared                       string
	Objects                        int
	Waves                          []waveView
	Rights                         rightsView
	RightsVerdict                  string
	Owners                         []ownerView
	Adds                           []addView
	Findings                       []pageFindings
	Repositories                   []pageRepository
}

type verbCount struct {
	Verb  migrate.Verb
	Count int
	// X and Width of its part of a bar that is 1000 wide.
	X, Width float64
}

type pageFindings struct {
	Severity migrate.Severity
	Groups   []*findingGroup
	Count    int
}

type pageRepository struct {
	*migrate.Repository
	WaveWhy     string
	Counts      []verbCount
	Credentials []pageCredential
	Differences []pageDifference
	// Quiet are the other objects, by verb.
	Quiet []quietObjects
}

// pageCredential is a copied credential with the places of its values.
type pageCredential struct {
	migrate.Credential
	Secret string
	Keys   []string
}

func credentialOf(c migrate.Credential) pageCredential {
	out := pageCredential{Credential: c, Secret: c.To.Namespace + "/" + c.To.Name}
	for _, key := range slices.Sorted(maps.Keys(c.From)) {
		out.Keys = append(out.Keys, key+" from "+c.From[key].String())
	}
	return out
}

// quietObjects are those of one verb on which nothing happens, and, of those
// whose verb is assumed, for one reason.
type quietObjects struct {
	Verb         migrate.Verb
	Assumed      string
	Count        int
	Applications []quietApplication
}

// quietApplication holds them by application, so that a page of many thousands
// names each once.
type quietApplication struct {
	Name    string
	Objects []migrate.ObjectPlan
}

func (q *quietObjects) add(o migrate.ObjectPlan) {
	q.Count++
	i := slices.IndexFunc(q.Applications, func(a quietApplication) bool { return a.Name == o.Application })
	if i < 0 {
		i, q.Applications = len(q.Applications), append(q.Applications, quietApplication{Name: o.Application})
	}
	q.Applications[i].Objects = append(q.Applications[i].Objects, o)
}

type pageDifference struct {
	Difference
	Changes       []pageChange
	Summary, Told string
}

type pageChange struct {
	Path, Why string
	Lines     []pageLine
}

type pageLine struct{ Class, Text string }

func pageOf(r *Report) page {
	title := "fluxover plan"
	if r.DiffOnly {
		title = "fluxover diff"
	}
	said, stands := verdict(r.Plan)
	p := page{
		Title: title, Verdict: said, Stands: stands, Proof: proofText(r.Plan), Cluster: clusterName(r.Plan), DiffOnly: r.DiffOnly,
		CSS: template.CSS(reportCSS), JS: template.JS(reportJS), Picture: r.picture(), Compared: extent(r.Objects, r.Differences, r.Unrendered), Objects: r.Objects,
	}
	p.Policy = fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; base-uri 'none'; form-action 'none'", hashOf(reportCSS), hashOf(reportJS))
	p.Drawing = drawn(p.Picture)
	var all []migrate.ObjectPlan
	byRepository := map[string][]Difference{}
	for _, d := range r.Differences {
		byRepository[d.Repository] = append(byRepository[d.Repository], d)
	}
	for i := range r.Plan.Repositories {
		repo := &r.Plan.Repositories[i]
		all = append(all, repo.Objects...)
		one := repositoryOf(repo, byGravity(byRepository[repo.ID]))
		one.WaveWhy = r.waveWhy(repo)
		for _, c := range r.Plan.Credentials {
			if c.Agent == repo.ID {
				one.Credentials = append(one.Credentials, credentialOf(c))
			}
		}
		p.Repositories = append(p.Repositories, one)
	}
	p.Waves, p.Rights, p.Owners, p.Adds = r.waves(), r.rights(), r.owners(), r.adds()
	p.RightsVerdict = p.Rights.verdict()
	p.Verbs = bar(all)
	for _, severity := range []migrate.Severity{migrate.Blocker, migrate.Warning, migrate.Info} {
		section := pageFindings{Severity: severity}
		for _, g := range grouped(r.Plan.Findings, r.Plan.Accepted) {
			if g.Severity == severity {
				section.Groups = append(section.Groups, g)
				section.Count += len(g.Found)
			}
		}
		if section.Count > 0 {
			p.Findings = append(p.Findings, section)
		}
	}
	return p
}

// hashOf is how a policy names the one style or script that is allowed.
func hashOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// bar counts objects by verb, gravest first, with the place of each in a bar, in
// which one of many thousands can still be seen.
func bar(objects []migrate.ObjectPlan) []verbCount {
	const least, whole = 6.0, 1000.0
	counts := countVerbs(objects)
	var out []verbCount
	sum := 0.0
	for _, v := range byVerbGravity(counts) {
		width := max(least, whole*float64(counts[v])/float64(len(objects)))
		out = append(out, verbCount{Verb: v, Count: counts[v], Width: width})
		sum += width
	}
	x := 0.0
	for i := range out {
		width := out[i].Width * whole / sum
		out[i].X, out[i].Width = round(x), round(width)
		x += width
	}
	return out
}

func byVerbGravity(counts map[migrate.Verb]int) []migrate.Verb {
	var out []migrate.Verb
	for v, n := range counts {
		if n > 0 {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b migrate.Verb) int {
		if g := gravity(a) - gravity(b); g != 0 {
			return g
		}
		return strings.Compare(string(a), string(b))
	})
	return out
}

func repositoryOf(repo *migrate.Repository, differences []Difference) pageRepository {
	out := pageRepository{Repository: repo, Counts: bar(repo.Objects)}
	shown := map[string]bool{}
	for _, d := range differences {
		shown[d.ID] = true
		out.Differences = append(out.Differences, differenceOf(d))
	}
	for _, o := range repo.Objects {
		if shown[o.ID] {
			continue
		}
		assumed := ""
		if !proof.Proven(o) {
			assumed = o.Why
		}
		i := slices.IndexFunc(out.Quiet, func(q quietObjects) bool { return q.Verb == o.Verb && q.Assumed == assumed })
		if i < 0 {
			i, out.Quiet = len(out.Quiet), append(out.Quiet, quietObjects{Verb: o.Verb, Assumed: assumed})
		}
		out.Quiet[i].add(o)
	}
	for _, q := range out.Quiet {
		slices.SortFunc(q.Applications, func(a, b quietApplication) int { return strings.Compare(a.Name, b.Name) })
	}
	slices.SortFunc(out.Quiet, func(a, b quietObjects) int {
		return cmp.Or(gravity(a.Verb)-gravity(b.Verb), strings.Compare(string(a.Verb), string(b.Verb)), strings.Compare(a.Assumed, b.Assumed))
	})
	return out
}

func differenceOf(d Difference) pageDifference {
	out := pageDifference{Difference: d, Told: d.told()}
	var paths []string
	for i := range d.Changes {
		c := &d.Changes[i]
		change := pageChange{Path: printable(c.Path), Why: printable(c.Why)}
		if c.Path != "" {
			paths = append(paths, c.Path)
		}
		for _, l := range c.lines() {
			class := map[byte]string{'-': "del", '+': "add", gap: "gap", remark: "gap"}[l.mark]
			change.Lines = append(change.Lines, pageLine{class, l.String()})
		}
		out.Changes = append(out.Changes, change)
	}
	switch {
	case out.Told != "":
		out.Summary = printable(out.Told)
	case len(paths) == 1:
		out.Summary = printable(paths[0])
	case len(paths) > 1:
		out.Summary = fmt.Sprintf("%s and %d more", printable(paths[0]), len(paths)-1)
	}
	return out
}

// drawing is the picture of before and after: each repository a dot, with an
// agent of its own before, and all at one agent after.
type drawing struct {
	Before []box
	After  []spoke
	// Left out of the picture, where there are too many to draw.
	More   int
	Height float64
	Middle float64
}

type box struct{ X, Y float64 }

type spoke struct{ X, Y, CX, CY float64 }

// mostDrawn agents; of more than that a picture tells nothing.
const mostDrawn = 60

func drawn(p picture) drawing {
	count := min(p.Agents, mostDrawn)
	const columns, pitchX, pitchY = 8, 40.0, 36.0
	rows := (count + columns - 1) / columns
	d := drawing{More: p.Agents - count, Height: max(240, float64(rows)*pitchY+70)}
	d.Middle = (d.Height - 40) / 2
	top := d.Middle - float64(rows)*pitchY/2 + pitchY/2
	const left, centre, radius = 36.0, 610.0, 86.0
	for i := range count {
		d.Before = append(d.Before, box{left + float64(i%columns)*pitchX, round(top + float64(i/columns)*pitchY)})
		angle := 2*math.Pi*float64(i)/float64(count) - math.Pi/2
		d.After = append(d.After, spoke{
			X: round(centre + radius*math.Cos(angle)), Y: round(d.Middle + radius*math.Sin(angle)),
			CX: round(centre + 30*math.Cos(angle)), CY: round(d.Middle + 30*math.Sin(angle)),
		})
	}
	return d
}

func round(f float64) float64 { return math.Round(f*10) / 10 }
