package migrate

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func codesOf(findings []Finding) []string {
	var codes []string
	for _, f := range findings {
		codes = append(codes, f.Code)
	}
	return codes
}

func TestEachFindingOfThePlannerComesFromItsCause(t *testing.T) {
	plain := func() Flux1Agent {
		return agentWith("flux/flux-team", []string{"production"}, "production/shop/a.yaml", "production/shop/b.yaml")
	}
	// Who makes its credential anew is nobody's but a person's to say, and what
	// is to be done with a folder that is new.
	if codes := codesOf(planOf(plain()).Findings); !slices.Equal(codes, []string{"NEW_FOLDER_NOT_APPLIED", "CREDENTIAL_OWNER"}) {
		t.Fatalf("an ordinary agent gives %v", codes)
	}
	for name, c := range map[string]struct {
		agent   func(*Flux1Agent)
		code    string
		blocked bool
	}{
		"an account that no binding names": {func(a *Flux1Agent) { a.Confinement.Kind = "none" }, "NO_RIGHTS", true},
		"a server whose key is not known":  {func(a *Flux1Agent) { a.Credential.KnownHosts = "other.example.com " + testHostKey + "\n" }, "KNOWN_HOSTS_MISSING", true},
		"a setting without a counterpart": {func(a *Flux1Agent) {
			a.Settings = []Setting{{Name: "git-secret", Value: "true", Fate: Blocks, Why: "Flux v2 has none"}}
		}, "SETTING_BLOCKS", true},
		"nothing that fluxd applies": {func(a *Flux1Agent) { a.Files, a.Objects = nil, nil }, "EMPTY_SET", true},
		"an agent that never synced": {func(a *Flux1Agent) { a.Synced.Commit = "" }, "NEVER_SYNCED", true},
	} {
		t.Run(name, func(t *testing.T) {
			a := plain()
			c.agent(&a)
			p := planOf(a)
			if codes := codesOf(p.Findings); !slices.Contains(codes, c.code) {
				t.Errorf("the findings are %v, without %s", codes, c.code)
			}
			if p.Repositories[0].Blocked != c.blocked {
				t.Errorf("held back: %t", p.Repositories[0].Blocked)
			}
		})
	}
	for name, c := range map[string]struct {
		inv  Inventory
		code string
	}{
		"no agent":                           {Inventory{}, "NO_AGENTS"},
		"controllers of Flux v2 are running": {Inventory{Agents: []Flux1Agent{plain()}, Cluster: Cluster{Flux2: []string{"flux-system/kustomize-controller"}}}, "FLUX2_RUNNING"},
	} {
		if codes := codesOf(Build(c.inv, Options{}).Findings); !slices.Contains(codes, c.code) {
			t.Errorf("%s: the findings are %v, without %s", name, codes, c.code)
		}
	}
}

func TestWhatFluxdLeavesOutBesideWhatItAppliesHoldsBack(t *testing.T) {
	for class, code := range map[ObjectClass]string{ClassForeign: "FOREIGN_OBJECT", ClassUnknownKind: "UNKNOWN_KIND"} {
		for name, c := range map[string]struct {
			file string
			want bool
		}{
			"in a file with what fluxd applies": {"production/shop/a.yaml", true},
			"in a file of its own":              {"production/shop/c.yaml", false},
		} {
			a := agentWith("flux/flux-team", []string{"production"}, "production/shop/a.yaml", "production/shop/c.yaml")
			a.Objects = a.Objects[:1]
			u := a.Objects[0].Manifest.DeepCopy()
			u.SetName("left-out")
			a.Objects = append(a.Objects, Object{ID: ObjectID(u), Class: class, File: c.file, Line: 9, Manifest: u})
			p := planOf(a)
			if got := slices.Contains(codesOf(p.Findings), code); got != c.want || p.Repositories[0].Blocked != c.want {
				t.Errorf("%s, %s: finding %s: %t, held back: %t", class, name, code, got, p.Repositories[0].Blocked)
			}
			// What discovery says of a kind that is not served is not said twice.
			said := Finding{Severity: Warning, Code: "UNKNOWN_KIND", Subject: a.ID + " " + ObjectID(u), Repository: a.ID, Where: c.file + ":9"}
			elsewhere := said
			elsewhere.Where = "production/shop/d.yaml:1"
			var got []string
			for _, f := range Build(Inventory{Agents: []Flux1Agent{a}, Findings: []Finding{said, elsewhere}}, Options{}).Findings {
				if f.Code == said.Code {
					got = append(got, string(f.Severity)+" "+f.Where)
				}
			}
			want := []string{"warning " + said.Where, "warning " + elsewhere.Where}
			if c.want && class == ClassUnknownKind {
				want[0] = "blocker " + said.Where
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: it says %q, want %q", class, name, got, want)
			}
		}
	}
}

func TestAServerWhoseKeyIsNotKnownHoldsBack(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	for lines, want := range map[string]bool{
		"git.example.com " + testHostKey + "\n":   false,
		"other.example.com " + testHostKey + "\n": true,
		"": true,
	} {
		a.Credential.KnownHosts = lines
		if got := hasFinding(planOf(a), "KNOWN_HOSTS_MISSING"); got != want {
			t.Errorf("with %q: KNOWN_HOSTS_MISSING is %t", lines, got)
		}
	}
}

func TestWhatTakesOthersWithItIsNeverPruned(t *testing.T) {
	object := func(apiVersion, kind string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": "x"}}}
	}
	for _, c := range []struct {
		apiVersion, kind string
		want             bool
	}{
		{"v1", "Namespace", true},
		{"v1", "PersistentVolumeClaim", true},
		{"v1", "PersistentVolume", true},
		{"apiextensions.k8s.io/v1", "CustomResourceDefinition", true},
		{"helm.fluxcd.io/v1", "HelmRelease", true},
		{"flux.weave.works/v1beta1", "HelmRelease", true},
		{"helm.toolkit.fluxcd.io/v2", "HelmRelease", false},
		{"v1", "Endpoints", true},
		{"v1", "ConfigMap", false},
		{"example.com/v1", "Namespace", false},
	} {
		u := object(c.apiVersion, c.kind)
		got := false
		for _, a := range additions(&Object{ID: ObjectID(u), Class: ClassApplied, Manifest: u}) {
			got = got || a.Key == annotationPrune && a.Value == disabled
		}
		if got != c.want {
			t.Errorf("%s %s: protected %t", c.apiVersion, c.kind, got)
		}
	}
}

func TestADecisionIsTakenAsItsSubjectIsShown(t *testing.T) {
	const id = "shop_fluxover__web_rbac.authorization.k8s.io_Role"
	f := Finding{Severity: Blocker, Code: "OBJECT_CHANGES", Subject: "flux/shop " + id, Repository: "flux/shop", Acceptable: true}
	if shown := DisplaySubject(f.Subject); shown != "flux/shop Role/shop/fluxover:web" {
		t.Fatalf("it is shown as %q", shown)
	}
	for subject, want := range map[string]bool{
		f.Subject: true, "flux/shop Role/shop/fluxover:web": true, "*": true,
		"flux/shop": false, "flux/shop Role/shop/fluxover:we": false, "flux/other Role/shop/fluxover:web": false, "Role/shop/fluxover:web": false, "": false,
	} {
		p := Plan{Findings: []Finding{f}, Repositories: []Repository{{ID: "flux/shop"}}}
		p.Settle([]Decision{{Code: "OBJECT_CHANGES", Subject: subject, Reason: "known"}, {Code: "OTHER", Subject: "*"}})
		if got := len(p.Accepted) == 1; got != want || p.Repositories[0].Blocked == want {
			t.Errorf("%q: accepted %v", subject, p.Accepted)
		}
		// The plan holds the subject itself, whatever was written.
		if len(p.Accepted) == 1 && p.Accepted[0] != (Decision{Code: "OBJECT_CHANGES", Subject: f.Subject, Reason: "known"}) {
			t.Errorf("%q is kept as %v", subject, p.Accepted)
		}
	}
}

func TestADecisionOnWhatIsShownAlikeIsForNone(t *testing.T) {
	const service, theirs = "flux/shop shop_web__Service", "flux/shop shop_web_serving.knative.dev_Service"
	for subject, want := range map[string][]string{"flux/shop Service/shop/web": nil, service: {service}, theirs: {theirs}, "*": {service, theirs}} {
		p := Plan{Repositories: []Repository{{ID: "flux/shop"}}}
		for _, f := range []Finding{{Code: "OBJECT_CHANGES", Subject: service}, {Code: "OBJECT_CHANGES", Subject: theirs}, {Code: "PODS_RESTART", Subject: service}} {
			f.Severity, f.Acceptable, f.Repository = Blocker, true, "flux/shop"
			p.Findings = append(p.Findings, f)
		}
		d := Decision{Code: "OBJECT_CHANGES", Subject: subject}
		p.Settle([]Decision{d, {Code: "PODS_RESTART", Subject: "flux/shop Service/shop/web"}}) // which is one
		var got []string
		for _, a := range p.Accepted {
			if a.Code == d.Code {
				got = append(got, a.Subject)
			}
		}
		if !slices.Equal(got, want) || len(p.Accepted) != len(want)+1 {
			t.Errorf("%q accepts %q, want %q; in all %v", subject, got, want, p.Accepted)
		}
		said := strings.Join(p.Idle([]Decision{d}), "; ")
		if (said == "") != (want != nil) || want == nil && (!strings.Contains(said, service) || !strings.Contains(said, theirs)) {
			t.Errorf("%q: said %q", subject, said)
		}
	}
}

func TestADecisionThatAcceptsNothingIsSaid(t *testing.T) {
	p := Plan{
		Inputs: PlanInputs{Agents: map[string]Fingerprint{"flux/shop": {}, "flux/other": {}}}, Repositories: []Repository{{ID: "flux/shop"}},
		Findings: []Finding{
			{Code: "OBJECT_CHANGES", Subject: "flux/shop shop_web_apps_Deployment", Acceptable: true},
			{Code: "OBJECT_OWNED", Subject: "flux/shop shop_web_apps_Deployment"},
		},
	}
	for d, want := range map[Decision]string{
		{Code: "OBJECT_CHANGES", Subject: "flux/shop Deployment/shop/web"}:      "",
		{Code: "OBJECT_CHANGES", Subject: "flux/shop shop_web_apps_Deployment"}: "",
		{Code: "OBJECT_CHANGES", Subject: "*"}:                                  "",
		{Code: "PODS_RESTART", Subject: "*"}:                                    "", // whichever there may be
		{Code: "PODS_RESTART", Subject: "flux/other Deployment/shop/web"}:       "", // which is not planned
		{Code: "OBJECT_CHANGES", Subject: "flux/shop Deployment/shop/wbe"}:      "no OBJECT_CHANGES is about that; near it: flux/shop Deployment/shop/web",
		{Code: "OBJECT_CHANGES", Subject: "flux/shpo Deployment/shop/web"}:      "near it: flux/shop Deployment/shop/web",
		{Code: "PODS_RESTART", Subject: "flux/shop Deployment/shop/web"}:        "it finds no PODS_RESTART that can be accepted",
		{Code: "OBJECT_OWNED", Subject: "flux/shop Deployment/shop/web"}:        "cannot be accepted in this case",
		{Code: "OBJECT_OWNED", Subject: "*"}:                                    "cannot be accepted in this case",
	} {
		got := strings.Join(p.Idle([]Decision{d}), "; ")
		if want == "" && got != "" || !strings.Contains(got, want) || want != "" && !strings.Contains(got, d.Code+"="+d.Subject+" accepts nothing: ") {
			t.Errorf("%s=%s: %q, want %q", d.Code, d.Subject, got, want)
		}
	}
}

// An agent of which no sync mark is known is told of once, with what is to be done.
// mayNotRead is the finding that something may not be read, of a repository or at all.
func mayNotRead(repository, resources string) Finding {
	return Finding{Severity: Blocker, Code: "RBAC_MISSING", Repository: repository, Subject: repository, Where: resources, Message: "you may not get " + resources}
}

func TestUnknownFactsNameTheRightThatWouldSettleThem(t *testing.T) {
	for name, c := range map[string]struct {
		unknown  []string
		findings []Finding
		hint     string
	}{
		"bindings": {[]string{"confinement"}, []Finding{mayNotRead("", "rolebindings"), mayNotRead("", "cronjobs.batch")},
			"have list on rolebindings granted to you, or use an account that has it (--context, --as)"},
		"bindings and more": {[]string{"confinement", "git.branch"}, []Finding{mayNotRead("", "rolebindings"), mayNotRead("", "clusterroles")},
			"have list on clusterroles, rolebindings granted to you, or use an account that has it (--context, --as), for confinement; for the others, see the other findings of this repository"},
		"nothing of what is unknown": {[]string{"git.branch"}, []Finding{mayNotRead("", "rolebindings")},
			"see the other findings of this repository, or let discovery read the cluster in which the agent runs"},
	} {
		a := agentWith("flux/shop", []string{"production"}, "production/shop/a.yaml")
		a.Unknown = c.unknown
		var hints []string
		for _, f := range Build(Inventory{Agents: []Flux1Agent{a}, Findings: c.findings}, Options{}).Findings {
			if f.Code == "FACTS_UNKNOWN" {
				hints = append(hints, f.Hint)
			}
		}
		if !slices.Equal(hints, []string{c.hint}) {
			t.Errorf("%s: %q, want one: %s", name, hints, c.hint)
		}
	}
}

func TestWhyTheLastCommitIsNotKnownIsSaidOnce(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Inventory)
		says   []string
	}{
		"as discovery has it": {func(inv *Inventory) {
			inv.Findings = append(inv.Findings, Finding{Severity: Blocker, Code: "NEVER_SYNCED", Repository: "flux/shop", Subject: "flux/shop", Message: "said", Hint: "wait"})
		}, []string{"said: wait"}},
		"of another agent": {func(inv *Inventory) {
			inv.Findings = append(inv.Findings, Finding{Severity: Blocker, Code: "NEVER_SYNCED", Repository: "flux/bank", Subject: "flux/bank", Message: "said", Hint: "wait"})
		}, []string{"said: wait", "its repository was not read, so what it applied last is not known: mend what the other findings of this repository name"}},
		"declared alone": {func(inv *Inventory) { inv.Agents[0].Unknown = []string{"running"} },
			[]string{"its repository was not read, so what it applied last is not known: give a checkout of it (--checkout URL=DIR)"}},
		"declared alone, with its mark in the cluster": {func(inv *Inventory) { inv.Agents[0].Unknown, inv.Agents[0].Sync.State = []string{"running"}, "secret" },
			[]string{"its sync mark stands, or may stand, in a Secret of the cluster, which was not asked, so what it applied last is not known: let the cluster be asked as well (without --no-cluster)"}},
		"with its mark in the cluster, which was asked": {func(inv *Inventory) { inv.Agents[0].Sync.State = "secret" },
			[]string{"its repository was not read, so what it applied last is not known: mend what the other findings of this repository name"}},
		"declared with a URL that is not known": {func(inv *Inventory) { inv.Agents[0].Unknown = []string{"running", "git.url"} },
			[]string{"its repository was not read, so what it applied last is not known: mend what the other findings say of its URL, and give a checkout of it (--checkout URL=DIR)"}},
		"with its mark where you may not read": {func(inv *Inventory) {
			inv.Agents[0].Unknown, inv.Agents[0].Sync.State, inv.Agents[0].Git.SecretName = []string{"synced"}, "secret", "flux-mark"
			inv.Findings = append(inv.Findings, mayNotRead("flux/shop", "secrets/flux-mark"))
		}, []string{"synced: what the agent applied last is not known, since you may not get secrets/flux-mark; it may well have synced"}},
		"with its key where you may not read": {func(inv *Inventory) {
			inv.Agents[0].Unknown, inv.Agents[0].Credential.Identity.Name = []string{"synced"}, "flux-key"
			inv.Findings = append(inv.Findings, mayNotRead("flux/shop", "secrets/flux-key, secrets/flux-other"))
		}, []string{"synced: what the agent applied last is not known, since you may not get secrets/flux-key, secrets/flux-other; it may well have synced"}},
		"with something else that you may not read": {func(inv *Inventory) {
			inv.Agents[0].Unknown = []string{"synced"}
			inv.Findings = append(inv.Findings, mayNotRead("", "cronjobs.batch"), mayNotRead("flux/shop", "pods"))
		}, []string{"its repository was not read, so what it applied last is not known: mend what the other findings of this repository name"}},
		"with an object of its own that you may not read": {func(inv *Inventory) {
			inv.Agents[0].Unknown = []string{"synced"}
			inv.Findings = append(inv.Findings, mayNotRead("flux/shop", "configmaps/known-hosts"))
		}, []string{"synced: what the agent applied last is not known, since you may not get configmaps/known-hosts; it may well have synced"}},
		"with the name of its mark where you may not read": {func(inv *Inventory) {
			inv.Agents[0].Unknown, inv.Agents[0].Tree = []string{"git.syncTag", "synced"}, fstest.MapFS{}
			running := true
			inv.Agents[0].Running = &running
			inv.Findings = append(inv.Findings, mayNotRead("flux/shop", "configmaps/flags"))
		}, []string{"synced: what the agent applied last is not known, since you may not get configmaps/flags; it may well have synced"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := agentWith("flux/shop", []string{"production"}, "production/shop/a.yaml")
			a.Synced.Commit = ""
			inv := Inventory{Agents: []Flux1Agent{a}}
			c.change(&inv)
			var says []string
			for _, f := range Build(inv, Options{}).Findings {
				if f.Code == "NEVER_SYNCED" {
					says = append(says, f.Message+": "+f.Hint)
				}
				if f.Code == "FACTS_UNKNOWN" && f.Where == "synced" {
					says = append(says, f.Where+": "+f.Message)
				}
			}
			slices.Sort(says)
			slices.Sort(c.says)
			if !slices.Equal(says, c.says) {
				t.Errorf("it says %q", says)
			}
		})
	}
}
