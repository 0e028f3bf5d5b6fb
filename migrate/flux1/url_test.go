package flux1

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

func TestSafeURLIsSpelledAsFluxdSpellsIt(t *testing.T) {
	for raw, want := range map[string]string{
		"git@github.com:org/app.git":           "ssh://git@github.com/org/app.git",
		"github.com:org/app":                   "ssh://github.com/org/app",
		"git@host:2222/org/app":                "ssh://git@host/2222/org/app",
		"git@host:/abs/app":                    "ssh://git@host/abs/app",
		"git@host:org/my+app":                  "ssh://git@host/org/my?+app", // fluxd's URL library cuts there
		"ssh://git@host:2222/org/app":          "ssh://git@host:2222/org/app",
		"https://bot:pw@host/app.git":          "https://bot@host/app.git",
		"https://host/app":                     "https://host/app",
		"git+ssh://git@host/app":               "git+ssh://git@host/app",
		"https://us%40er:p%2Fw@host/app":       "https://us%40er@host/app",
		"git@vs-ssh.visualstudio.com:v3/a/b/c": "ssh://git@vs-ssh.visualstudio.com/v3/a/b/c",
	} {
		got, err := SafeURL(raw)
		if err != nil || got != want {
			t.Errorf("SafeURL(%q) = %q, %v, want %q", raw, got, err, want)
		}
	}
	if got, err := SafeURL("https://bot:MARKED-SECRET%zz@host/app"); err == nil || strings.Contains(got+err.Error(), "MARKED") {
		t.Errorf("a URL that cannot be taken apart gave %q, %v", got, err)
	}
}

func TestCredentialsOfAURLAreTakenOutAsWritten(t *testing.T) {
	for raw, want := range map[string]URLCredentials{
		"git@host:org/repo.git":        {Scheme: "ssh", Username: "git"},
		"host:org/repo":                {Scheme: "ssh", Username: "git"},
		"ssh://bot:pw@host:22/org":     {Scheme: "ssh", Username: "bot"},
		"https://us%40er:p%2Fw@host/x": {Scheme: "https", Username: "us%40er", Password: "p%2Fw", HasPassword: true},
		"https://$(U):$(P)@host/x":     {Scheme: "https", Username: "$(U)", Password: "$(P)", HasPassword: true},
		"https://token@host/x":         {Scheme: "https", Username: "token"},
		"https://token:@host/x":        {Scheme: "https", Username: "token", HasPassword: true},
		"https://host:8443/x@y":        {Scheme: "https"},
	} {
		_, got, err := FluxV2URL(raw)
		if err != nil || got != want {
			t.Errorf("FluxV2URL(%q): got %q %q %v, %v", raw, got.Username, got.Password, got.HasPassword, err)
		}
	}
	for _, raw := range []string{"https://host/x?token=MARKED-SECRET", "https://u:MARKED-SECRET%zz@host/x", "https:/u:MARKED-SECRET@host/x/y"} {
		got, creds, err := FluxV2URL(raw)
		if err == nil || strings.Contains(fmt.Sprint(got, creds, err), "MARKED") {
			t.Errorf("FluxV2URL(%q) = %q, %v, %v", raw, got, creds, err)
		}
	}
}

func TestShownURLsHoldNoSecret(t *testing.T) {
	for raw, want := range map[string]string{
		"https://bot:MARKED-SECRET@host/x":           "https://bot@host/x",
		"https://MARKED-SECRET@host/x":               "https://***@host/x",
		"https://MARKED-SECRET:x-oauth-basic@host/x": "https://***@host/x",
		"https://MARKED-SECRET:@host/x":              "https://***@host/x",
		"https://bot:MARKED%zzSECRET@host/x":         "https://***@host/x",
		"https://bot:MARKED/SECRET@host/x":           "https://***@host/x",
		"https://host/x?private_token=MARKED-SECRET": "https://host/x?***",
		"https://bot:$(PW)@host/x":                   "https://bot@host/x",
		"https://$(USER):$(PW)@host/x":               "https://$(USER)@host/x",
		"ssh://git@host:2222/x":                      "ssh://git@host:2222/x",
		"git@host:org/x@1":                           "git@host:org/x@1",
		"bot:MARKED-SECRET@host/x":                   "***@host/x",
		"https:/bot:MARKED-SECRET@host/x":            "***@host/x",
		"https://bot:a,MARKED-SECRET@host/x":         "https://bot@host/x",
		"HTTPS://MARKED-SECRET@host/x":               "HTTPS://***@host/x",
		"git+https://MARKED-SECRET@host/x":           "git+https://***@host/x",
		"git::https://MARKED-SECRET@host/x.git":      "git::https://***@host/x.git",
		"git::https://bot:MARKED-SECRET@host/x.git":  "git::https://bot@host/x.git",
		"git::https://bot:MARKED%zzSECRET@host/x":    "git::https://***@host/x",
		"git::ssh://git@host/x":                      "git::ssh://git@host/x",
		"git::git@host:o/x.git":                      "git::git@host:o/x.git",
		"git::bot:MARKED-SECRET@host:o/x.git":        "git::***@host:o/x.git",
		"oci://MARKED-SECRET@host/charts":            "oci://***@host/charts",
		"git@host:o/x.git?ref=a&sshkey=MARKED":       "git@host:o/x.git?ref=a&***",
		"host/o/x?ref=a&sshkey=MARKED-SECRET":        "host/o/x?ref=a&***",
		"host/o/x?token=MARKED&depth=1&k=MARKED":     "host/o/x?***&depth=1&***",
		"host/o/x?MARKED&k=MARKED":                   "host/o/x?***",
		"git::https://MARKED@h/m//x?ref=v1.2.3-rc":   "git::https://***@h/m//x?ref=v1.2.3-rc",
		"https://h/x.zip?archive=false&version=~1.0": "https://h/x.zip?archive=false&version=~1.0",
		"https://h/x?ref=https://u:MARKED@h":         "https://h/x?***",
		"https://h/x?ref=a;token=MARKED":             "https://h/x?***",
		"https://h/x?ref=a,u:MARKED@h":               "https://h/x?***",
		"https://h/x?ref=v1?token=MARKED":            "https://h/x?***",
		"https://h/x?href=MARKED&ref=":               "https://h/x?***",
		"https://bot:1?ref=MARKED@host/x":            "https://***",
		"https://bot?ref=MARKED@host/x":              "https://bot?***",
		"https://bot:MARKED?ref=a@host/x":            "https://***@host/x",
		"host/o/x?ref=a#MARKED-SECRET":               "host/o/x?***",
		"https://host/https://MARKED-SECRET@other/x": "https://host/https://***@other/x",
		"https://host/a/u:MARKED-SECRET@other/x":     "https://host/***@other/x",
		"https:///u:MARKED-SECRET@other/x":           "https:///***@other/x",
		"https://bot:1234/MARKED-SECRET@host/x":      "https://***",
		"https://host:8443/a/x":                      "https://host:8443/a/x",
		"https://host/x@1":                           "https://host/x@1",
		"https://h/a,https://bot:MARKED@other/b":     "https://h/a,https://bot@other/b",
		"https://h,https://bot:MARKED@other/b":       "https://h,https://bot@other/b",
		"https://bot:MARKED@h/a,bot:MARKED@other/b":  "https://bot@h/a,***@other/b",
		"https://h/a,bot:MARKED@other/b,plain":       "https://h/a,***@other/b,plain",
		"plain,u:MARKED@other":                       "***@other",
		"how is it?":                                 "how is it?",
	} {
		if got := DisplayURL(raw); got != want {
			t.Errorf("DisplayURL(%q) = %q, want %q", raw, got, want)
		}
		u := RawURL(raw)
		asJSON, err := json.Marshal(struct{ U RawURL }{u})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{fmt.Sprint(u), fmt.Sprintf("%+v", struct{ U RawURL }{u}), fmt.Sprintf("%#v", u), string(asJSON)} {
			if strings.Contains(s, "MARKED") {
				t.Errorf("RawURL shows %s", s)
			}
		}
	}
}

// fluxd asks net/url, which takes a scheme in any case; its git does not.
func TestASchemeInCapitalsIsToldAsWhatItIs(t *testing.T) {
	for raw, http := range map[string]bool{"HTTPS://u:MARKED@host/x": true, "Http://host/x": true, "https://$(MY VAR):$(P)@host/x": true, "SSH://git@host/x": false, "git@host:x": false, "https://u:%zz@h/x": false} {
		if c := (&Config{URL: RawURL(raw)}); c.HTTP() != http {
			t.Errorf("%s: HTTP is %t", raw, !http)
		}
	}
	for _, raw := range []string{"HTTPS://u:MARKED@host/x", "sSh://git@host/x"} {
		if _, _, err := FluxV2URL(raw); err == nil || !strings.Contains(err.Error(), "its scheme is written in capitals") || strings.Contains(err.Error(), "MARKED") {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if _, _, err := FluxV2URL("my-token+x://host/x"); err == nil || !strings.Contains(err.Error(), "URLs of this scheme are not supported") {
		t.Errorf("of a scheme that is not shown: %v", err)
	}
}

func FuzzShownURLsHoldNoPassword(f *testing.F) {
	f.Add("user", "host/x")
	f.Add("", "host:22/x?y#z")
	f.Fuzz(func(t *testing.T, user, rest string) {
		if strings.ContainsAny(user+rest, "@/:?#") {
			t.Skip("not a URL of this form: nothing to check") // fuzz input
		}
		raw := "https://" + user + ":MARKED-SECRET@" + rest
		if s := DisplayURL(raw); strings.Contains(s, "MARKED") {
			t.Errorf("DisplayURL(%q) = %q", raw, s)
		}
		if s, _, err := FluxV2URL(raw); strings.Contains(s, "MARKED") || err != nil && strings.Contains(err.Error(), "MARKED") {
			t.Errorf("FluxV2URL(%q) = %q, %v", raw, s, err)
		}
	})
}

// The planner, which reads URLs without this package, means the same by a
// reference.
func TestThePlannerSeesTheSameReferences(t *testing.T) {
	for _, text := range []string{"", "x", "$(A)", "$(1X)", "$(MY VAR)/$(B)", "$()", "$(A", "$A", "a$(B)c$", "$(a$(b))"} {
		var names []string
		for _, m := range migrate.SymbolForm.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		if want := Symbols(text); !slices.Equal(names, want) {
			t.Errorf("%q refers to %q, and to the planner to %q", text, want, names)
		}
	}
}

// The planner has no other form of a URL than the shown one.
func TestAShownURLLeadsToTheSameSourceOrToNone(t *testing.T) {
	for raw, same := range map[string]bool{
		"https://host/x": true, "https://bot:pw@host:8443/a/b.git": true, "https://token@host/x": true, "ssh://git@host:2222/x": true, "git@host:o/x.git": true,
		"https://$(U):$(P)@host/x": true, "https://host:8443/scm/bob%40corp/x.git": true, "ssh://host:7999/bob/x.git": true,
		"https://host:8443/scm/~bob@corp.com/x.git": false, "ssh://host:7999/~bob@corp.com/x.git": false, "https://host/a:b@c/x": false, "https://host/u,v:w@c/x": false,
	} {
		want, _, err := FluxV2URL(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := migrate.SourceURL(DisplayURL(raw))
		if (err == nil) != same || err == nil && got != want {
			t.Errorf("%s is shown as %s, which leads to %q, %v; want %q", raw, DisplayURL(raw), got, err, want)
		}
	}
}
