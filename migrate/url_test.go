package migrate

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestSourceURLRewritesToWhatTheCRDAllows(t *testing.T) {
	for raw, want := range map[string]string{
		"git@host:org/repo.git":            "ssh://git@host/org/repo.git",
		"host:org/repo":                    "ssh://git@host/org/repo",
		"git@host:2222/org/repo":           "ssh://git@host/2222/org/repo",
		"git@host:/abs/repo":               "ssh://git@host/abs/repo",
		"git@[::1]:org/repo":               "ssh://git@[::1]/org/repo",
		"ssh://git@host:2222/org/repo":     "ssh://git@host:2222/org/repo",
		"ssh://host/org/repo":              "ssh://git@host/org/repo",
		"ssh://git:pw@host/org/repo":       "ssh://git@host/org/repo",
		"https://user@host/x":              "https://host/x",
		"https://host/x/":                  "https://host/x",
		"https://u:p@host/x.git/":          "https://host/x.git",
		"ssh://git@host/x/":                "ssh://git@host/x/",
		"https://***@host/x":               "https://host/x",
		"https://us%40er:p%2Fw@host/x":     "https://host/x",
		"https://$(U):$(P)@host/x":         "https://host/x",
		"https://$(U):$(P)@$(HOST)/x":      "https://$(HOST)/x",
		"https://host:8443/x":              "https://host:8443/x",
		"https://host/org/_git/a%20repo":   "https://host/org/_git/a%20repo",
		"https://dev.azure.com/o/p/_git/r": "https://dev.azure.com/o/p/_git/r",
	} {
		got, err := SourceURL(raw)
		if err != nil || got != want {
			t.Errorf("SourceURL(%q) = %q, %v; want %q", raw, got, err, want)
		}
		if !regexp.MustCompile(`^(http|https|ssh)://.*$`).MatchString(got) {
			t.Errorf("SourceURL(%q) = %q, which the CRD refuses", raw, got)
		}
	}
	for _, raw := range []string{
		"git://host/x", "git+ssh://git@host/x", "file:///srv/x", "/srv/x", "./x", "x", "", "https://", "git@host", "ftp://host/x",
		"https://host/x?***", "https://host/x?token=MARKED-SECRET", "https://u:MARKED-SECRET%zz@host/x", "https:/u:MARKED-SECRET@host/x/y",
		"bot:MARKED-SECRET@host/x",
	} {
		got, err := SourceURL(raw)
		if err == nil {
			t.Errorf("SourceURL(%q) = %q, want an error", raw, got)
		}
		if err != nil && strings.Contains(err.Error(), "MARKED") {
			t.Errorf("SourceURL(%q) tells a secret: %v", raw, err)
		}
	}
}

// Git takes what has a user and a host, and no colon behind them, for a path.
func TestAShortURLWithoutItsColonIsToldAsSuch(t *testing.T) {
	for raw, want := range map[string]bool{"git@host/org/repo": true, "git@host.example.com/repo.git": true, "$(USER)@host/repo": true, "git@host": false, "/srv/git@host/x": false, "./git@host/x": false} {
		if _, err := SourceURL(raw); err == nil || strings.Contains(err.Error(), "no colon") != want {
			t.Errorf("SourceURL(%q): %v", raw, err)
		}
	}
}

func TestAURLThatCannotBeReadHoldsBackItsRepository(t *testing.T) {
	for _, url := range []string{"https://host/x?***", "https://$(HOST)/x", "git://host/x"} {
		a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
		a.Git.URL = url
		a.Credential = AgentCredential{Kind: "none"}
		p := planOf(a)
		if !p.Repositories[0].Blocked || !hasFinding(p, "URL_UNSUPPORTED") {
			t.Errorf("%s is planned: %v", url, p.Sources[0].Object["spec"])
		}
	}
}

func TestATokenThatStandsAloneInTheURLIsCarriedAsUserName(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	a.Git.URL = "https://***@host/x"
	place := Value{Argument: true, PercentEncoded: true}
	a.Credential = AgentCredential{Kind: "basic", Username: place}
	p := planOf(a)
	if len(p.Credentials) != 1 || len(p.Credentials[0].From) != 1 || p.Credentials[0].From["username"] != place {
		t.Errorf("credentials %+v", p.Credentials)
	}
	if p.Repositories[0].Blocked {
		t.Errorf("held back: %v", p.Findings)
	}
}

func TestATokenInPlainTextIsNeverPartOfAPlan(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	a.Git.URL = "https://$(TOKEN)@host/x"
	// As discovery finds it when a variable that is no secret holds the token.
	a.Credential = AgentCredential{Kind: "basic", Username: Value{Literal: "MARKED-SECRET"}}
	p := planOf(a)
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "MARKED") {
		t.Error("the plan holds the token")
	}
	if !p.Repositories[0].Blocked || !hasFinding(p, "TOKEN_IN_PLAIN_TEXT") {
		t.Error("it is not held back")
	}
	a.Credential.Password = Value{Secret: &SecretKey{Namespace: "flux", Name: "git", Key: "password"}}
	if p := planOf(a); p.Repositories[0].Blocked || p.Credentials[0].From["username"].Literal != "MARKED-SECRET" {
		t.Error("a user name beside a password is no secret")
	}
}

func TestAPasswordWithoutUserNameHoldsBack(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	a.Git.URL = "https://@host/x"
	a.Credential = AgentCredential{Kind: "basic", Password: Value{Argument: true}}
	if p := planOf(a); !p.Repositories[0].Blocked || !hasFinding(p, "USERNAME_MISSING") {
		t.Error("Flux v2 would refuse it")
	}
}
