package emit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// manyDifferences is a report with as many changed objects.
func manyDifferences(n int) Report {
	r := Report{Objects: n, Plan: migrate.Plan{Proof: "server", ClusterAgent: migrate.ClusterAgent{Engine: "bundled"}, Repositories: []migrate.Repository{{ID: "flux/flux-shop"}}}}
	for i := range n {
		o := migrate.ObjectPlan{ID: fmt.Sprintf("shop_c%d__ConfigMap", i), Verb: migrate.Change, Application: "shop-web", Fields: []string{".data.a"}}
		if i%50 == 7 {
			o.Verb = migrate.Restart
		}
		r.Plan.Repositories[0].Objects = append(r.Plan.Repositories[0].Objects, o)
		r.Differences = append(r.Differences, Difference{Repository: "flux/flux-shop", ObjectPlan: o, Changes: []Change{
			{Path: ".data.a", In: "cluster", Live: strings.Repeat("x", 60), After: strings.Repeat("y", 60), Why: "Git says so"},
		}})
	}
	return r
}

func TestMarkdownFitsACommentAndSaysWhatWasCut(t *testing.T) {
	for _, n := range []int{0, 3, 2000, 5000} {
		r := manyDifferences(n)
		for i := range n {
			r.Plan.Findings = append(r.Plan.Findings, migrate.Finding{Severity: migrate.Blocker, Code: "X", Subject: fmt.Sprint(i), Message: fmt.Sprintf("each is another %d-%d", i, i*7)})
		}
		for _, only := range []bool{false, true} {
			r.DiffOnly = only
			var b strings.Builder
			if err := Markdown(&b, r, 0); err != nil {
				t.Fatal(err)
			}
			text := b.String()
			if len(text) > MarkdownLimit {
				t.Errorf("%d differences: %d characters", n, len(text))
			}
			if cut := strings.Contains(text, "Cut to fit"); cut != (n >= 2000) {
				t.Errorf("%d differences: cut said %v", n, cut)
			}
			if strings.Count(text, "<details>") != strings.Count(text, "</details>") {
				t.Errorf("%d differences: details are not closed", n)
			}
			if n == 5000 && only {
				shown := strings.Count(text, "restart <code>")
				if shown != 100 {
					t.Errorf("the gravest come first: %d of 100 restarts are shown", shown)
				}
				detailed, bare := strings.Count(text, "</summary>"), strings.Count(text, "<div>")
				want := fmt.Sprintf("the details of %d objects, %d objects altogether", bare, n-detailed-bare)
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q but %s", want, text[len(text)-250:])
				}
			}
		}
	}
}

func TestNothingInAMarkdownReportIsReadAsMarkdownOrHTML(t *testing.T) {
	const evil = "a`b``\n</details><script>x</script> @someone ![x](http://x) | *b* `````"
	r := manyDifferences(1)
	r.Differences[0].ID, r.Differences[0].Repository, r.Differences[0].Where = "shop_"+evil+"__ConfigMap", evil, evil
	r.Differences[0].Changes[0] = Change{Path: ".data." + evil, In: "cluster", Live: evil + "\nmore", After: "```\n</details>", Why: evil}
	r.Plan.Repositories[0].ID, r.Plan.Inputs.Server = evil, evil
	r.Plan.Findings = []migrate.Finding{{Severity: migrate.Blocker, Code: "X", Subject: evil, Message: evil, Hint: evil}}
	var b strings.Builder
	if err := Markdown(&b, r, 0); err != nil {
		t.Fatal(err)
	}
	fence := ""
	for i, line := range strings.Split(b.String(), "\n") {
		switch {
		case fence == "" && strings.HasPrefix(line, "```"):
			fence = line[:len(line)-len("diff")]
			continue
		case fence != "" && line == fence:
			fence = ""
		case fence != "":
			continue // in a code block nothing is read
		}
		for _, bad := range []string{"<script", " @", "![x]", "*b*"} {
			if strings.Contains(line, bad) && !strings.HasPrefix(line, "<") {
				t.Errorf("line %d holds %q: %s", i+1, bad, line)
			}
		}
		if strings.Contains(line, "<script") || strings.Contains(line, "@someone") {
			t.Errorf("line %d: %s", i+1, line)
		}
	}
	if fence != "" || strings.Count(b.String(), "\n</details>\n") < 2 {
		t.Errorf("a value ended a block:\n%s", b.String())
	}
}

func TestSignsOfMarkdownAndHTMLAreReadAsTheyStand(t *testing.T) {
	const text = `say "--accept X='a_b'" & <wait> for #3 @noon`
	got := escape(text)
	if want := `say "\-\-accept X='a\_b'" &amp; &lt;wait&gt; for \#3 &#64;noon`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
