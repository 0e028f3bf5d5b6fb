package migrate

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
)

func TestWhatMovedIsSaidPartByPart(t *testing.T) {
	base := func() *Flux1Agent {
		a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
		a.Image, a.ChartVersion = "fluxcd/flux:1.25.4", "1.13.3"
		a.Settings = []Setting{
			{Name: "--git-branch", Value: "main", From: []Origin{{Witness: "cluster", Where: "args"}}},
			{Name: "--git-path", Value: "p"}, {Name: "--token", Value: "***"},
		}
		a.Rights = append(a.Rights, Binding{Namespace: "team", Name: "edit", Role: rbacv1.RoleRef{Kind: "Role", Name: "edit"},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "patch"}}}})
		return &a
	}
	for name, c := range map[string]struct {
		change func(*Flux1Agent)
		want   []string
	}{
		"nothing":               {func(*Flux1Agent) {}, nil},
		"a commit":              {func(a *Flux1Agent) { a.Synced.Commit = strings.Repeat("b", 40) }, nil},
		"where a value is read": {func(a *Flux1Agent) { a.Settings[0].From = []Origin{{Witness: "terraform", Where: "main.tf:3"}} }, nil},
		"the image":             {func(a *Flux1Agent) { a.Image = "fluxcd/flux:1.24.0" }, []string{"image (fluxcd/flux:1.25.4, now fluxcd/flux:1.24.0)"}},
		"the chart":             {func(a *Flux1Agent) { a.ChartVersion = "1.12.0" }, []string{"chart version (1.13.3, now 1.12.0)"}},
		"an argument, which sets a value too": {func(a *Flux1Agent) { a.Settings[0].Value, a.Git.Branch = "prod", "prod" },
			[]string{"--git-branch (main, now prod)"}},
		"a value that no argument sets": {func(a *Flux1Agent) { a.Git.Branch = "prod" }, []string{"Git branch (main, now prod)"}},
		"an argument more": {func(a *Flux1Agent) {
			a.Settings = append(a.Settings, Setting{Name: "--sync-garbage-collection", Value: "true"})
		}, []string{"--sync-garbage-collection (new: true)"}},
		"an argument less":            {func(a *Flux1Agent) { a.Settings = a.Settings[:2] }, []string{"--token (gone, was ***)"}},
		"an argument given once more": {func(a *Flux1Agent) { a.Settings = append(a.Settings, Setting{Name: "--git-path", Value: "q"}) }, []string{"--git-path (p, now p, q)"}},
		"an account":                  {func(a *Flux1Agent) { a.ServiceAccount = "other" }, []string{"account (flux-team, now other)"}},
		"the rules of a role": {func(a *Flux1Agent) { a.Rights[1].Rules[0].Verbs = []string{"get", "patch", "delete"} },
			[]string{"RoleBinding/team/edit (Role/edit: get,patch apps/deployments, now Role/edit: get,patch,delete apps/deployments)"}},
		"a binding more": {func(a *Flux1Agent) {
			a.Rights = append(a.Rights, Binding{Name: "admin", Role: rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}})
		}, []string{"ClusterRoleBinding/admin (new: ClusterRole/cluster-admin: * */*)"}},
		"a binding to all of the core group, as earlier versions wrote it": {func(a *Flux1Agent) {
			a.Rights = append(a.Rights, Binding{Name: "core", Role: rbacv1.RoleRef{Kind: "ClusterRole", Name: "core"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"*"}, Verbs: []string{"*"}}}})
		}, []string{"ClusterRoleBinding/core (new: ClusterRole/core: * *)"}},
		"a binding less": {func(a *Flux1Agent) { a.Rights = a.Rights[:1] }, []string{"RoleBinding/team/edit (gone, was Role/edit: get,patch apps/deployments)"}},
		"the place of the key": {func(a *Flux1Agent) { a.Credential.Identity.Name = "other" },
			[]string{"credential identity (Secret/flux/key key identity, now Secret/flux/other key identity)"}},
		"the keys of a credential": {func(a *Flux1Agent) {
			a.Credential = AgentCredential{Kind: "basic", Username: Value{Literal: "bot"}, Password: Value{Argument: true}}
		}, []string{
			"credential (ssh, now basic)", "credential identity (gone, was Secret/flux/key key identity)", "credential password (new: in the --git-url argument)",
			"credential username (new: bot)", "known hosts (gone, was git.example.com " + testHostKey + ")",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			is := base()
			c.change(is)
			// As it is after a time in a plan file.
			raw, err := json.Marshal(FingerprintOf(base()))
			if err != nil {
				t.Fatal(err)
			}
			var was Fingerprint
			if err := json.Unmarshal(raw, &was); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, was.Moved(FingerprintOf(is))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestLongValuesAreComparedWholeAndKeptShort(t *testing.T) {
	long := func(end string) *Flux1Agent {
		a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
		a.Credential.KnownHosts = strings.Repeat("git.example.com ssh-rsa AAAA\n", 400) + end
		return &a
	}
	moved := FingerprintOf(long("a")).Moved(FingerprintOf(long("b")))
	if len(moved) != 1 || len(moved[0]) > 400 || !strings.HasPrefix(moved[0], "known hosts (") {
		t.Errorf("moved: %q", moved)
	}
}

func TestTheFingerprintOfAnEarlierVersionIsReadAndNeverTakenForEqual(t *testing.T) {
	var p PlanInputs
	if err := json.Unmarshal([]byte(`{"agents":{"flux/a":"3f2a","flux/b":""}}`), &p); err != nil {
		t.Fatal(err)
	}
	a := agentWith("flux/a", nil, "a.yaml")
	if moved := p.Agents["flux/a"].Moved(FingerprintOf(&a)); len(moved) != 1 || !strings.Contains(moved[0], "earlier version") {
		t.Errorf("moved: %q", moved)
	}
	if len(p.Agents["flux/b"]) != 0 {
		t.Error("an empty one holds something")
	}
	if err := json.Unmarshal([]byte(`{"agents":{"flux/a":7}}`), &p); err == nil {
		t.Error("a number is taken")
	}
}

func TestAFingerprintHoldsNoSecret(t *testing.T) {
	a := agentWith("flux/a", nil, "a.yaml")
	a.Credential = AgentCredential{Kind: "basic", Username: Value{Argument: true}, Password: Value{Secret: &SecretKey{Namespace: "flux", Name: "s", Key: "k"}}}
	a.Git.URL = "https://***@host/x"
	for name, value := range FingerprintOf(&a) {
		if name == "credential username" && value != "in the --git-url argument" || name == "credential password" && value != "Secret/flux/s key k" {
			t.Errorf("%s is %q", name, value)
		}
	}
	if FingerprintOf(&a)["Git URL"] != a.Git.URL {
		t.Error("the URL is not part of it")
	}
}

func TestEveryArgumentThatMovedIsNamed(t *testing.T) {
	was := Fingerprint{"--git-poll-interval": "5m0s", "--sync-interval": "5m0s", "Git poll interval": "5m0s", "sync interval": "5m0s"}
	is := Fingerprint{"--git-poll-interval": "1m0s", "--sync-interval": "1m0s", "Git poll interval": "1m0s", "sync interval": "1m0s"}
	want := []string{"--git-poll-interval (5m0s, now 1m0s)", "--sync-interval (5m0s, now 1m0s)"}
	if got := was.Moved(is); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
