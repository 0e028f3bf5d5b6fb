package migrate

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kustomizationNames are a plan's names by Repository id and path.
func kustomizationNames(p Plan) map[string]string {
	names := map[string]string{}
	for _, r := range p.Repositories {
		for _, a := range r.Applications {
			names[r.ID+" "+a.Path+" "+a.Why] = a.Name
		}
	}
	return names
}

func shop() Flux1Agent {
	return agentWith("flux/flux-shop", []string{"p"}, "p/payments-api/a.yaml", "p/web/w.yaml")
}

func shopPayments() Flux1Agent {
	return agentWith("flux/flux-shop-payments", []string{"p"}, "p/api/b.yaml")
}

func TestNamesThatCouldBeAnotherRepositorysAreLengthened(t *testing.T) {
	orders := [][]Flux1Agent{{shop(), shopPayments()}, {shopPayments(), shop()}}
	var first map[string]string
	for _, agents := range orders {
		p := planOf(agents...)
		names := kustomizationNames(p)
		seen := map[string]bool{}
		for _, n := range names {
			if seen[n] || len(n) > maxName || n != dnsName(n) {
				t.Errorf("name %q: twice %v, %d characters", n, seen[n], len(n))
			}
			seen[n] = true
		}
		if len(seen) != 3 || !seen["shop-payments-api"] || !seen["shop-web"] {
			t.Errorf("names %v", names)
		}
		for _, r := range p.Repositories {
			if r.Blocked {
				t.Errorf("%s is held back: %v", r.ID, p.Findings)
			}
		}
		said := slices.ContainsFunc(p.Findings, func(f Finding) bool {
			return f.Code == "NAME_LENGTHENED" && f.Severity == Info && f.Repository == "flux/flux-shop"
		})
		if !said {
			t.Error("nothing says that a name was lengthened")
		}
		if first == nil {
			first = names
		} else if d := cmp.Diff(first, names); d != "" {
			t.Errorf("the order of discovery matters: %s", d)
		}
	}
}

// What builds the root of a repository is named as that is, which may be a folder's
// name in another.
func TestAFolderIsNotNamedAsAnotherRepository(t *testing.T) {
	for name, c := range map[string]struct {
		paths []string
		files []string
	}{
		"a folder":          {nil, []string{"web/a.yaml", "db/a.yaml"}},
		"its path":          {[]string{"web"}, []string{"web/a.yaml"}},
		"a folder of paths": {[]string{"p", "q"}, []string{"p/web/a.yaml", "q/web/a.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			shop, web := agentWith("flux/flux-shop", c.paths, c.files...), agentWith("flux/flux-shop-web", nil, "b.yaml")
			p := planOf(shop, web)
			names := kustomizationNames(p)
			if hasFinding(p, "NAME_CLASH") || !slices.Contains(slices.Collect(maps.Values(names)), "shop-web") {
				t.Errorf("names %v, findings %v", names, p.Findings)
			}
			// Whichever is planned.
			for _, id := range []string{shop.ID, web.ID} {
				for key, alone := range kustomizationNames(Build(Inventory{Agents: []Flux1Agent{shop, web}}, Options{Repositories: []string{id}})) {
					if names[key] != alone {
						t.Errorf("%s is %s alone and %s with the other", key, alone, names[key])
					}
				}
			}
		})
	}
}

func TestANameDoesNotDependOnWhatOtherRepositoriesHold(t *testing.T) {
	both := kustomizationNames(planOf(shop(), shopPayments()))
	// As in a re-check, which reads one repository and lists all agents.
	unread := shopPayments()
	unread.Files, unread.Objects, unread.Tree = nil, nil, nil
	one := Build(Inventory{Agents: []Flux1Agent{shop(), unread}}, Options{Repositories: []string{"flux/flux-shop"}})
	for key, name := range kustomizationNames(one) {
		if both[key] != name {
			t.Errorf("%s is %s alone and %s with the others", key, name, both[key])
		}
	}
}

// liveOf are the control objects that a plan's repository has in the cluster.
func liveOf(p Plan, id string) []ControlObject {
	var live []ControlObject
	r := p.Repository(id)
	for _, k := range r.Kustomizations {
		live = append(live, ControlOf(k))
	}
	for _, s := range r.Supporting {
		if s.GetKind() == "ServiceAccount" {
			live = append(live, ControlOf(s))
		}
	}
	for _, ref := range r.Sources {
		live = append(live, ControlOf(p.Source(ref)))
	}
	return live
}

func TestASettledRepositoryKeepsItsNamesWhenOthersComeAndGo(t *testing.T) {
	twin := func(id string) Flux1Agent {
		return agentWith(id, []string{"p"}, "p/x/"+strings.ReplaceAll(id, "/", "-")+".yaml")
	}
	for name, c := range map[string]struct{ before, after []Flux1Agent }{
		"a repository whose names begin alike comes":               {[]Flux1Agent{shop()}, []Flux1Agent{shop(), shopPayments()}},
		"the one with the shorter name comes":                      {[]Flux1Agent{shopPayments()}, []Flux1Agent{shop(), shopPayments()}},
		"one of the same release name comes":                       {[]Flux1Agent{twin("one/flux-team")}, []Flux1Agent{twin("two/flux-team"), twin("one/flux-team")}},
		"one of the same release name has gone, and another comes": {[]Flux1Agent{twin("one/flux-team")}, []Flux1Agent{twin("two/flux-team")}},
		"one of the same release name has gone":                    {[]Flux1Agent{twin("one/flux-team"), twin("two/flux-team")}, []Flux1Agent{twin("two/flux-team")}},
	} {
		t.Run(name, func(t *testing.T) {
			settled := planOf(c.before...)
			was := kustomizationNames(settled)
			var live []ControlObject
			for _, r := range settled.Repositories {
				live = append(live, liveOf(settled, r.ID)...)
			}
			now := Build(Inventory{Cluster: Cluster{UID: "uid", Control: live}, Agents: c.after}, Options{})
			is := kustomizationNames(now)
			for key, name := range was {
				if is[key] != "" && is[key] != name {
					t.Errorf("%s was %s and is %s", key, name, is[key])
				}
			}
			owner := map[string]string{}
			for _, l := range live {
				owner[l.Kind+" "+l.Name] = l.Repository
			}
			for _, r := range now.Repositories {
				if r.Blocked {
					t.Errorf("%s is held back: %v", r.ID, now.Findings)
				}
				for _, l := range liveOf(now, r.ID) {
					key := l.Kind + " " + l.Name
					if owner[key] != "" && owner[key] != r.ID {
						t.Errorf("%s is of %s and of %s", key, owner[key], r.ID)
					}
					owner[key] = r.ID
				}
			}
		})
	}
}

func TestANewFolderRenamesNoneThatIsThere(t *testing.T) {
	before := agentWith("flux/flux-team", []string{"east", "west"}, "east/shop/a.yaml")
	settled := planOf(before)
	after := agentWith("flux/flux-team", []string{"east", "west"}, "east/shop/a.yaml", "west/shop/b.yaml")
	now := Build(Inventory{Cluster: Cluster{Control: liveOf(settled, before.ID)}, Agents: []Flux1Agent{after}}, Options{})
	var got []string
	for _, a := range now.Repositories[0].Applications {
		got = append(got, a.Name+" "+a.Path)
	}
	if d := cmp.Diff([]string{"team-shop ./east/shop", "team-west-shop ./west/shop"}, got); d != "" {
		t.Error(d)
	}
}

// Hashes were once of keys without the slash that sets loose files apart from a
// folder called "files".
func TestLooseFilesKeepANameThatAnEarlierVersionGave(t *testing.T) {
	const id = "flux/flux-shop"
	loose := agentWith(id, []string{"p"}, "p/a.yaml", "p/web/w.yaml")
	others := []Flux1Agent{loose, agentWith("flux/flux-shop-files", nil, "a.yaml"), agentWith("flux/flux-shop-p", nil, "a.yaml")}
	long := agentWith(id, []string{strings.Repeat("long/", 12) + "p"}, strings.Repeat("long/", 12)+"p/a.yaml", strings.Repeat("long/", 12)+"p/web/w.yaml")
	for _, c := range []struct {
		agents  []Flux1Agent
		earlier string
	}{
		{others, dnsName("shop", "p/files", shortHash(id+" p/files"))},
		{others, dnsName("shop", shortHash(id+" p/files"), "files")},
		{[]Flux1Agent{long, others[1]}, dnsName("shop", strings.Repeat("long/", 12)+"p/files")},
		{[]Flux1Agent{loose}, "shop-files"},
	} {
		var live []ControlObject
		given := map[string]bool{}
		for _, o := range liveOf(planOf(c.agents...), id) {
			if o.Kind == "Kustomization" && o.Path == "./"+c.agents[0].Git.Paths[0] {
				given[o.Name], o.Name = true, c.earlier
			}
			live = append(live, o)
		}
		if len(given) != 1 || given[c.earlier] != (len(c.agents) == 1) {
			t.Fatalf("%q is named %v", c.earlier, given)
		}
		p := Build(Inventory{Cluster: Cluster{UID: "uid", Control: live}, Agents: c.agents}, Options{})
		if !slices.ContainsFunc(p.Repository(id).Applications, func(a Application) bool { return a.Name == c.earlier }) || p.Repository(id).Blocked {
			t.Errorf("%q became one of %v; %v", c.earlier, kustomizationNames(p), p.Findings)
		}
	}
}

func TestALiveObjectOfSomebodyElseHoldsBackByName(t *testing.T) {
	for _, o := range []ControlObject{{Kind: "Kustomization", Name: "shop-web"}, {Kind: "GitRepository", Name: "shop"}, {Kind: "ServiceAccount", Name: "shop"}, {Kind: "Secret", Name: "shop-git"}} {
		p := Build(Inventory{Cluster: Cluster{Control: []ControlObject{o}}, Agents: []Flux1Agent{shop()}}, Options{})
		f := slices.IndexFunc(p.Findings, func(f Finding) bool { return f.Code == "NAME_TAKEN" && f.Severity == Blocker })
		if f < 0 || !p.Repositories[0].Blocked || !strings.Contains(p.Findings[f].Message, o.Kind+"/"+AgentNamespace+"/"+o.Name) {
			t.Errorf("%+v: findings %v", o, p.Findings)
		}
		// Once it is handed over, the owner of a Secret may have made it anew.
		settled := append(liveOf(planOf(shop()), shop().ID), o)
		p = Build(Inventory{Cluster: Cluster{Control: settled}, Agents: []Flux1Agent{shop()}}, Options{})
		if got := hasFinding(p, "NAME_TAKEN"); o.Kind == "Secret" && got {
			t.Errorf("%+v is taken from its owner: %v", o, p.Findings)
		}
	}
	other := []ControlObject{{Kind: "Secret", Name: "shop-git", Repository: shop().ID}, {Kind: "Secret", Name: "shop"}, {Kind: "Secret", Name: "shop-web"}}
	if p := Build(Inventory{Cluster: Cluster{Control: other}, Agents: []Flux1Agent{shop()}}, Options{}); hasFinding(p, "NAME_TAKEN") {
		t.Errorf("names that nobody wants are taken: %v", p.Findings)
	}
}

func TestNamesOfManyRepositoriesAreUniqueWhateverTheyAreCalled(t *testing.T) {
	parts := []string{"a", "b", "a-b", "b-a", "files", "source", "a-files"}
	var agents []Flux1Agent
	for _, one := range parts {
		for _, two := range parts {
			release := one + "-" + two
			agents = append(agents, agentWith("flux/"+release, []string{"p"}, "p/loose-"+release+".yaml", "p/a/1"+release+".yaml", "p/b/2"+release+".yaml", "p/a-b/3"+release+".yaml", "p/b-a/4"+release+".yaml"))
		}
	}
	agents = append(agents, agentWith("flux/a-a-files-source", []string{"p"}, "p/x.yaml"))
	p := planOf(agents...)
	if hasFinding(p, "NAME_CLASH") {
		t.Errorf("names clash: %v", p.Findings)
	}
	// What builds the root of a repository is named as that is.
	var roots []Flux1Agent
	for _, flat := range []string{"x-a", "x-a-b", "x-files", "x-b-a", "x-b-a-b", "x-b-files", "x-files-a"} {
		roots = append(roots, agentWith("flux/"+flat, nil, "1"+flat+".yaml"))
	}
	for _, split := range []string{"x", "x-b"} {
		roots = append(roots, agentWith("flux/flux-"+split, nil, "2"+split+".yaml", "a/3"+split+".yaml", "a-b/4"+split+".yaml", "b-a/5"+split+".yaml", "files/6"+split+".yaml"))
	}
	if p := planOf(roots...); hasFinding(p, "NAME_CLASH") {
		t.Errorf("names of roots clash: %v", p.Findings)
	}
	for i := range p.Repositories {
		if n := len(p.Repositories[i].Kustomizations); n != 5 && p.Repositories[i].ID != "flux/a-a-files-source" {
			t.Fatalf("%s has %d Kustomizations", p.Repositories[i].ID, len(p.Repositories[i].Kustomizations))
		}
	}
}

func TestNoRepositoryTakesTheAccountOfANamespace(t *testing.T) {
	p := planOf(agentWith("flux/flux-default", []string{"p"}, "p/a/x.yaml"))
	if name := p.Repositories[0].Supporting[0].GetName(); name == "default" {
		t.Errorf("the account is %s", name)
	}
}

// Repositories are handed over one by one, and each is planned again when its
// turn comes: by then others, or a part of its own, are live under their names.
func TestNamesStayWhileOthersAreHandedOver(t *testing.T) {
	agents := []Flux1Agent{
		agentWith("one/flux-team", []string{"a", "b"}, "a/web/x.yaml", "b/web/x.yaml", "a/db/x.yaml"),
		agentWith("two/flux-team", []string{"p"}, "p/web/x.yaml"),
		agentWith("three/flux-team", []string{"p"}, "p/web/x.yaml"),
		agentWith("three/fluxcd", []string{"p"}, "p/web/x.yaml"),
		agentWith("two/fluxcd", []string{"p"}, "p/web/x.yaml"),
		shop(), shopPayments(),
	}
	first := planOf(agents...)
	want := kustomizationNames(first)
	var all []ControlObject
	for _, a := range agents {
		all = append(all, liveOf(first, a.ID)...)
	}
	random := rand.New(rand.NewPCG(3, 5))
	for range 500 {
		share := random.Float64()
		live := slices.DeleteFunc(slices.Clone(all), func(ControlObject) bool { return random.Float64() < share })
		p := Build(Inventory{Cluster: Cluster{UID: "uid", Control: live}, Agents: agents}, Options{})
		if d := cmp.Diff(want, kustomizationNames(p)); d != "" {
			t.Fatalf("with %v live: %s", live, d)
		}
		for _, r := range first.Repositories {
			if d := cmp.Diff(r.Sources, p.Repository(r.ID).Sources); d != "" {
				t.Fatalf("with %v live, the sources of %s: %s", live, r.ID, d)
			}
		}
	}
}

func TestNamesOfTheToolItselfAreNobodyElses(t *testing.T) {
	first := agentWith("flux/flux", []string{"p"}, "p/capacitor/shop/a.yaml", "p/web/a.yaml")
	agent := agentWith("flux/fluxover-agent", []string{"p"}, "p/x/b.yaml")
	capacitor := agentWith("team/flux-flux-capacitor", []string{"p"}, "p/x/c.yaml")
	namespace := agentWith("flux-capacitor/flux", []string{"p"}, "p/x/d.yaml") // whose every name begins so
	plan := planOf(first, agent, capacitor, namespace)
	for _, r := range plan.Repositories {
		for _, u := range slices.Concat(r.Kustomizations, r.Supporting) {
			if name := u.GetName(); name == "flux-capacitor" || strings.HasPrefix(name, "flux-capacitor-") || u.GetKind() == "ServiceAccount" && name == "fluxover-agent" {
				t.Errorf("%s: %s %s", r.ID, u.GetKind(), name)
			}
		}
	}
	// What applies a repository's folder in the flux-capacitor names that
	// repository, and another account than its own.
	settled := planOf(shop())
	child := ControlObject{Kind: "Kustomization", Name: "flux-capacitor-shop", Repository: "flux/flux-shop", Path: "./clusters/prod/shop", Account: "flux-capacitor"}
	again := Build(Inventory{Agents: []Flux1Agent{shop()}, Cluster: Cluster{Control: append(liveOf(settled, "flux/flux-shop"), child)}}, Options{})
	if d := cmp.Diff(kustomizationNames(settled), kustomizationNames(again)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(settled.Repositories[0].Sources, again.Repositories[0].Sources); d != "" {
		t.Error(d)
	}
}

// A repository that was settled before the tool kept a name for itself.
func TestWhatIsSettledKeepsItsNameAlsoWhereTheToolWantsIt(t *testing.T) {
	for id, c := range map[string]struct {
		account, folder string
		want            []string // with nothing live
	}{
		"flux/flux-source-controller": {"source-controller", "web", []string{"flux-flux-source-controller-web"}},
		"flux/flux-source":            {"source", "controller", []string{"source-p-controller"}},
		"flux/flux-fluxover":          {"fluxover", "agent", []string{"fluxover-p-agent"}},
	} {
		agent := agentWith(id, []string{"p"}, "p/"+c.folder+"/a.yaml")
		name := c.account + "-" + c.folder
		now := func(live ...ControlObject) Plan {
			return Build(Inventory{Cluster: Cluster{UID: "uid", Control: live}, Agents: []Flux1Agent{agent}}, Options{})
		}
		if got := slices.Sorted(maps.Values(kustomizationNames(now()))); !slices.Equal(got, c.want) {
			t.Errorf("%s: with nothing live it is named %v", id, got)
		}
		p := now(ControlObject{Kind: "Kustomization", Name: name, Repository: id, Path: "./p/" + c.folder, Account: c.account},
			ControlObject{Kind: "GitRepository", Name: c.account, Repository: id}, ControlObject{Kind: "ServiceAccount", Name: c.account, Repository: id})
		if got := slices.Sorted(maps.Values(kustomizationNames(p))); !slices.Equal(got, []string{name}) || p.Repositories[0].Sources[0].Name != c.account || hasFinding(p, "NAME_LENGTHENED") {
			t.Errorf("%s: settled as %s, it is named %v, its source %s: %v", id, name, got, p.Repositories[0].Sources[0].Name, codesOf(p.Findings))
		}
	}
}
