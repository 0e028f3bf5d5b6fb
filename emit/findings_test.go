package emit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fluxover/fluxover/migrate"
)

func TestALongFindingFitsTheScreen(t *testing.T) {
	var out strings.Builder
	err := Findings(&out, []migrate.Finding{{
		Severity: migrate.Warning, Code: "OBJECT_LEFT_ALONE", Subject: "flux/flux-payments payments_api-gateway_apps_Deployment",
		Where: "production/api-gateway/deployment.yaml:12", Message: "it is left alone",
	}, {
		Severity: migrate.Info, Code: "STALE_OBJECT", Subject: "flux/flux-shop", Where: "shop.yaml:1", Message: "it stays",
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `warning OBJECT_LEFT_ALONE
    flux/flux-payments Deployment/payments/api-gateway at
    production/api-gateway/deployment.yaml:12
    it is left alone
info STALE_OBJECT flux/flux-shop at shop.yaml:1
    it stays
`
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
}

// What is said of many objects is said once, and not of the first of them.
func TestWhatIsSaidOfManyObjectsNamesNone(t *testing.T) {
	var out strings.Builder
	finding := func(subject, message string) migrate.Finding {
		return migrate.Finding{Severity: migrate.Warning, Code: "IGNORE_WITHOUT_EFFECT", Subject: "flux/shop " + subject, Message: message}
	}
	err := Findings(&out, []migrate.Finding{
		finding("_demo__Namespace", `<cluster>:namespace/demo has fluxcd.io/ignore: "false"`),
		finding("shop_web_apps_Deployment", `shop:deployment/web has fluxcd.io/ignore: "false"`),
		finding("shop_web__Service", `shop:service/web has fluxcd.io/ignore: "no"`),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `warning IGNORE_WITHOUT_EFFECT (3) flux/shop
    (2) Namespace/demo, Deployment/shop/web
      each has fluxcd.io/ignore: "false"
    Service/shop/web
      shop:service/web has fluxcd.io/ignore: "no"
`
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
}

// An annotation whose value is another on every object is one entry.
func TestWhatIsPutOnObjectsIsSaidOnceForAllValues(t *testing.T) {
	var adds []migrate.Addition
	for i := range 5 {
		id := fmt.Sprintf("shop_a%d__ConfigMap", i)
		adds = append(adds, migrate.Addition{Object: id, Type: "annotation", Key: "config.kubernetes.io/origin", Value: fmt.Sprintf("path: a%d.yaml\n", i), Why: "noted"},
			migrate.Addition{Object: id, Type: "annotation", Key: "prune", Value: "disabled", Why: "kept"})
	}
	r := Report{Plan: migrate.Plan{Repositories: []migrate.Repository{{ID: "flux/shop", Adds: adds}}}}
	got := r.adds()
	if len(got) != 2 || got[0].What != "annotation config.kubernetes.io/origin, of 5 values" || len(got[0].Objects) != 5 || got[1].What != "annotation prune: disabled" {
		t.Errorf("%+v", got)
	}
}

// Of a code, one finding may say what another does not, or show elsewhere: whoever
// reads any form reads each of them, with its place and what to do.
func TestWhatFindingsOfOneCodeSayIsReadInEveryForm(t *testing.T) {
	var findings []migrate.Finding
	for _, severity := range []migrate.Severity{migrate.Blocker, migrate.Warning, migrate.Info} {
		for _, acceptable := range []bool{true, false} {
			code := strings.ToUpper(string(severity)) + map[bool]string{true: "_ACCEPTABLE", false: ""}[acceptable]
			for _, id := range []string{"shop", "pay"} {
				findings = append(findings, migrate.Finding{
					Severity: severity, Code: code, Acceptable: acceptable, Subject: "flux/" + id + " " + id + "_web_apps_Deployment", Repository: "flux/" + id, Where: id + "/" + code + ".yaml:7",
					Message: "the images of " + code + " in " + id + " are " + id + ":1", Hint: "accept " + id + " with " + code,
				})
			}
			for i, file := range []string{"one", "two", "three"} { // alike but for the place, or for the subject
				findings = append(findings,
					migrate.Finding{Severity: severity, Code: code + "_FILE", Acceptable: acceptable, Subject: "flux/shop", Repository: "flux/shop", Where: file + "/" + code + ".yaml", Message: "it is taken back", Hint: "move it"},
					migrate.Finding{Severity: severity, Code: code + "_REPO", Acceptable: acceptable, Subject: "flux/" + file, Repository: "flux/" + file, Where: fmt.Sprintf("%s:%d", code, i), Message: "it is so with flux/" + file, Hint: "leave it"})
			}
		}
	}
	decisions := []migrate.Decision{{Code: "BLOCKER_ACCEPTABLE", Subject: "*", Reason: "all are known"}}
	report := Report{Plan: migrate.Plan{Findings: findings, Accepted: decisions}}
	var text, markdown strings.Builder
	if err := Findings(&text, findings, decisions); err != nil {
		t.Fatal(err)
	}
	if err := Markdown(&markdown, report, 0); err != nil {
		t.Fatal(err)
	}
	for form, said := range map[string]string{"text": text.String(), "Markdown": markdown.String(), "HTML": htmlOf(t, report)} {
		said = readable(said)
		for _, f := range findings {
			for _, want := range []string{f.Message, f.Where, f.Hint, migrate.DisplaySubject(f.Subject)} {
				if want == f.Hint && migrate.Accepts(decisions, f) || strings.HasSuffix(f.Code, "_REPO") && want == f.Message {
					continue // an accepted one needs no word on what to do; the other says the same but for its subject
				}
				if !strings.Contains(said, want) {
					t.Errorf("the %s does not tell %q of %s", form, want, f.Code)
				}
			}
		}
		if n := strings.Count(said, "it is so with"); n != 6 {
			t.Errorf("the %s says %d times what is the same of all but for the subject", form, n)
		}
	}
}

// An error of several lines, as of a build, is shown in lines, and other control
// characters keep harmless.
func TestTheLinesOfAMessageAreLinesInEveryForm(t *testing.T) {
	f := migrate.Finding{Severity: migrate.Blocker, Code: "BUILD_FAILED", Subject: "flux/shop", Repository: "flux/shop", Message: "it fails:\n  line one\n\n  line two\x1b[2J\n"}
	report := Report{Plan: migrate.Plan{Findings: []migrate.Finding{f}}}
	var text, markdown strings.Builder
	if err := Findings(&text, report.Plan.Findings, nil); err != nil {
		t.Fatal(err)
	}
	if err := Markdown(&markdown, report, 0); err != nil {
		t.Fatal(err)
	}
	for form, c := range map[string]struct{ got, want string }{
		"text":     {text.String(), "    it fails:\n      line one\n      line two\\u001b[2J\n"},
		"Markdown": {markdown.String(), "it fails:<br>  line one<br>  line two"},
		"HTML":     {htmlOf(t, report), "it fails:<br>  line one<br>  line two\\u001b[2J"},
	} {
		if !strings.Contains(c.got, c.want) || strings.Contains(c.got, "u000a") {
			t.Errorf("the %s is\n%s\nwant in it\n%s", form, c.got, c.want)
		}
	}
}

// Whoever reads a plan in any form sees which blockers a person may accept, and
// copies how; what is copied is taken.
func TestWhatCanBeAcceptedSaysHowInEveryForm(t *testing.T) {
	finding := func(severity migrate.Severity, code, subject string, acceptable bool) migrate.Finding {
		id, _, _ := strings.Cut(subject, " ")
		return migrate.Finding{Severity: severity, Code: code, Subject: subject, Repository: id, Message: "it is so", Hint: "see to it", Acceptable: acceptable}
	}
	plan := migrate.Plan{Findings: []migrate.Finding{
		finding(migrate.Blocker, "ALONE", "flux/shop shop_web_apps_Deployment", true),
		finding(migrate.Blocker, "CLUSTER", "", true),
		finding(migrate.Blocker, "MANY", "flux/shop", true), finding(migrate.Blocker, "MANY", "flux/pay", true), finding(migrate.Blocker, "MANY", "flux/stock", true),
		finding(migrate.Blocker, "ALIKE", "flux/shop shop_web_apps_Deployment", true), finding(migrate.Blocker, "ALIKE", "flux/shop shop_web_example.com_Deployment", true),
		finding(migrate.Blocker, "NEVER", "flux/shop", false), finding(migrate.Warning, "WARNED", "flux/shop", true), finding(migrate.Blocker, "DONE", "flux/shop", true),
		finding(migrate.Blocker, "QUOTED", "flux/shop it's", true),
		finding(migrate.Blocker, "LONG", "flux/a-release-with-a-long-name a-namespace-with-a-long-name_a-deployment-with-a-long-name_apps_Deployment", true),
	}}
	plan.Settle([]migrate.Decision{{Code: "DONE", Subject: "*"}})
	want := []string{
		`--accept 'ALIKE=*'`, `--accept 'ALIKE=flux/shop shop_web_apps_Deployment'`, `--accept 'ALONE=flux/shop Deployment/shop/web'`, `--accept 'CLUSTER=*'`,
		`--accept 'LONG=flux/a-release-with-a-long-name Deployment/a-namespace-with-a-long-name/a-deployment-with-a-long-name'`,
		`--accept 'MANY=*'`, `--accept 'MANY=flux/pay'`, `--accept 'QUOTED=flux/shop it'\''s'`,
	}
	flag := regexp.MustCompile(`--accept '(?:[^'\n]|'\\'')*'`)
	report := Report{Plan: plan}
	var text, markdown strings.Builder
	if err := Review(&text, report, Style{}); err != nil {
		t.Fatal(err)
	}
	if err := Markdown(&markdown, report, 0); err != nil {
		t.Fatal(err)
	}
	unescaped := strings.NewReplacer(`\\`, `\`, `\-`, "-", `\*`, "*", `\_`, "_").Replace(markdown.String())
	page := strings.NewReplacer("&#39;", "'").Replace(htmlOf(t, report))
	for form, said := range map[string]string{"text": text.String(), "Markdown": unescaped, "HTML": page} {
		got := slices.Sorted(slices.Values(flag.FindAllString(said, -1)))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", form, d)
		}
	}
	for _, copied := range want {
		code, subject, _ := strings.Cut(strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(copied, "--accept '"), "'"), `'\''`, "'"), "=")
		if plan.Settle([]migrate.Decision{{Code: code, Subject: subject}}); len(plan.Accepted) == 0 {
			t.Errorf("%s accepts nothing", copied)
		}
	}
}

// Beside a plan file nothing is accepted, so the flags are for making it anew.
func TestAPlanOfAFileSaysWhereItsFlagsGo(t *testing.T) {
	plan := migrate.Plan{Findings: []migrate.Finding{
		{Severity: migrate.Blocker, Code: "C", Subject: "a/b", Message: "m", Acceptable: true}, {Severity: migrate.Blocker, Code: "C", Subject: "a/c", Message: "m", Acceptable: true},
		{Severity: migrate.Blocker, Code: "C", Subject: "a/d", Message: "a graver thing", Acceptable: true}}}
	for ofFile, want := range map[bool]string{
		false: "    accept: --accept 'C=*' (all 3 of this code, whatever they say)\n        or: --accept 'C=a/b' (this one alone)\n",
		true:  "    to accept it, plan anew with:\n    --accept 'C=*' (all 3 of this code, whatever they say)\n        or: --accept 'C=a/b' (this one alone)\n",
	} {
		var text strings.Builder
		if err := Review(&text, Report{Plan: plan}, Style{OfFile: ofFile}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text.String(), want) {
			t.Errorf("of a file: %t, got\n%s", ofFile, text.String())
		}
	}
}

// A finding about a place names it once.
func TestAPlaceThatIsWhatAFindingIsAboutIsNamedOnce(t *testing.T) {
	for want, at := range map[string]foundAt{"main.tf:7": {"main.tf:7", "main.tf:7"}, "flux/shop at main.tf:7": {"flux/shop", "main.tf:7"}} {
		if got := at.String(); got != want {
			t.Errorf("it is written %q", got)
		}
	}
}

// A list of places that the words hold as well is not read twice.
func TestAListThatAFindingSaysIsNotSaidAgain(t *testing.T) {
	f := migrate.Finding{Severity: migrate.Blocker, Code: "FACTS_UNKNOWN", Subject: "flux/shop", Where: "git.url, git.branch", Message: "not known: git.url, git.branch; left out"}
	report := Report{Plan: migrate.Plan{Findings: []migrate.Finding{f}}}
	var text, markdown strings.Builder
	if err := Review(&text, report, Style{}); err != nil {
		t.Fatal(err)
	}
	if err := Markdown(&markdown, report, 0); err != nil {
		t.Fatal(err)
	}
	for form, said := range map[string]string{"text": text.String(), "Markdown": markdown.String(), "HTML": htmlOf(t, report)} {
		if n := strings.Count(said, "git.url, git.branch"); n != 1 {
			t.Errorf("the %s names them %d times", form, n)
		}
	}
}

// Blockers that nobody can accept are mended in Git, all in one way: what to do is
// said once. One that can be accepted is decided by itself.
func TestBlockersOfOneRemedyAreToldTogether(t *testing.T) {
	for _, acceptable := range []bool{false, true} {
		findings := []migrate.Finding{
			{Severity: migrate.Blocker, Code: "TWICE", Acceptable: acceptable, Subject: "flux/shop", Where: "a.yaml:1", Message: "a stands twice", Hint: "remove one"},
			{Severity: migrate.Blocker, Code: "TWICE", Acceptable: acceptable, Subject: "flux/shop", Where: "b.yaml:1", Message: "b stands twice", Hint: "remove one"},
		}
		var review strings.Builder
		if err := findingsText(&review, grouped(findings, nil), Style{}); err != nil {
			t.Fatal(err)
		}
		want := map[bool]int{false: 1, true: 2}[acceptable]
		if n := strings.Count(review.String(), "remove one"); n != want {
			t.Errorf("acceptable %v: the remedy is said %d times, want %d:\n%s", acceptable, n, want, review.String())
		}
	}
}
