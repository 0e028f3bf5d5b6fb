package emit

import (
	"fmt"
	"strings"
	"testing"

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
