package migrate

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
)

func linesOf(list []ScopedRules) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.Lines()...)
	}
	return out
}

func rules(verbs, groups, resources string, names ...string) []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{Verbs: strings.Split(verbs, ","), APIGroups: strings.Split(groups, ","), Resources: strings.Split(resources, ","), ResourceNames: names}}
}

func TestTheNewAccountHasTheRightsOfTheOldOne(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml", "p/ns/namespace.yaml")
	a.Rights = []Binding{
		{Namespace: "team", Name: "r", Role: rbacv1.RoleRef{Kind: "Role", Name: "r"}, ReleaseOwned: true, Rules: rules("*", "*", "*")},
		{Name: "crd", Role: rbacv1.RoleRef{Kind: "ClusterRole", Name: "crd"}, ReleaseOwned: true, Rules: rules("watch,list", "apiextensions.k8s.io", "customresourcedefinitions")},
		{Namespace: "web", Name: "edit", Role: rbacv1.RoleRef{Kind: "ClusterRole", Name: "edit"}, Rules: rules("get", "apps,", "deployments,configmaps", "one")},
		{Namespace: "all", Name: "g", Group: "system:serviceaccounts:flux", Role: rbacv1.RoleRef{Kind: "Role", Name: "g"}, Rules: rules("get", "", "pods")},
		{Name: "everybody", Group: "system:authenticated", Role: rbacv1.RoleRef{Kind: "ClusterRole", Name: "x"}, Rules: rules("get", "", "nodes")},
	}
	r := planOf(a).Repositories[0].Rights
	if r.From != "flux/flux-team" || r.To != "flux-system/team" || len(r.Lost) > 0 || len(r.Gained) > 0 {
		t.Errorf("from %s to %s, lost %v, gained %v", r.From, r.To, r.Lost, r.Gained)
	}
	want := []string{
		"in the whole cluster: list,watch apiextensions.k8s.io/customresourcedefinitions",
		"in namespace all: get pods",
		"in namespace team: * */*",
		"in namespace web: get configmaps,deployments named one",
		"in namespace web: get apps/configmaps,apps/deployments named one",
	}
	if d := cmp.Diff(want, linesOf(r.Kept)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]ScopedKinds{{Kinds: []string{"Namespace"}}, {Namespace: "team", Kinds: []string{"ConfigMap"}}}, r.Needs); d != "" {
		t.Error(d)
	}
}

// fluxd keeps to namespaces by itself, and a Kustomization cannot: an account with
// every right, equal to the old one, would let it apply anything anywhere.
func TestAnAgentThatKeepsToNamespacesByItselfIsBoundInTheseAlone(t *testing.T) {
	everywhere := []string{"in the whole cluster: * */*"}
	inTeam := []string{"in namespace team: * */*"}
	const looking = "in the whole cluster: get,list apiextensions.k8s.io/customresourcedefinitions"
	looks := Binding{Name: "crd", Role: rbacv1.RoleRef{Kind: "ClusterRole", Name: "crd"}, ReleaseOwned: true, Rules: rules("get,list", "apiextensions.k8s.io", "customresourcedefinitions")}
	for name, c := range map[string]struct {
		files, there []string
		kind         string
		kept, lost   []string
		asked        bool
	}{
		"all is in them":           {[]string{"p/shop/a.yaml"}, nil, "cluster-admin", inTeam, everywhere, false},
		"and they are there":       {[]string{"p/shop/a.yaml"}, []string{"default", "team"}, "cluster-admin", inTeam, everywhere, false},
		"and are applied":          {[]string{"p/shop/a.yaml", "p/ns/namespace.yaml"}, nil, "cluster-admin", everywhere, nil, true},
		"one is not there":         {[]string{"p/shop/a.yaml"}, []string{"default"}, "cluster-admin", everywhere, nil, true},
		"of no namespace":          {[]string{"p/shop/a.yaml", "p/role.yaml"}, nil, "cluster-admin", everywhere, nil, true},
		"by rights of its own":     {[]string{"p/shop/a.yaml"}, nil, "custom", append([]string{looking}, inTeam...), everywhere, false},
		"a namespace and no admin": {[]string{"p/ns/namespace.yaml"}, nil, "custom", append(everywhere, looking), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := agentWith("flux/flux-team", []string{"p"}, c.files...)
			a.Confinement.Kind, a.AllowedNamespaces = c.kind, []string{"team"}
			if c.kind == "custom" {
				a.Rights = append(a.Rights, looks)
			}
			for i := range a.Objects {
				if a.Objects[i].File == "p/role.yaml" {
					a.Objects[i].Manifest.Object = map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": "reader"}}
				}
			}
			p := Build(Inventory{Cluster: Cluster{Namespaces: c.there}, Agents: []Flux1Agent{a}}, Options{})
			r := p.Repositories[0].Rights
			for what, d := range map[string]string{"kept": cmp.Diff(c.kept, linesOf(r.Kept)), "lost": cmp.Diff(c.lost, linesOf(r.Lost)), "gained": cmp.Diff([]string(nil), linesOf(r.Gained))} {
				if d != "" {
					t.Errorf("%s: %s", what, d)
				}
			}
			asks := slices.IndexFunc(p.Findings, func(f Finding) bool {
				return f.Code == "CLUSTER_ADMIN" && strings.Contains(f.Message, "keeps to team by itself")
			})
			if asks >= 0 != c.asked || hasFinding(p, "CLUSTER_ADMIN") != c.asked {
				t.Errorf("asks: %v", p.Findings)
			}
			if warned := hasFinding(p, "CLUSTER_SCOPE_LOST"); warned != (len(c.lost) > 0) {
				t.Errorf("it is warned: %v; lost: %q", warned, c.lost)
			}
			if len(p.ClusterAgent.Args) == 0 {
				t.Error("the new agent does not keep repositories apart")
			}
		})
	}

	// An account that may do everything all the same is not bound in these alone.
	all := rules("*", "*", "*")
	for name, change := range map[string]func(*Inventory){
		"as everybody": func(inv *Inventory) {
			inv.Agents[0].Rights = []Binding{{Name: "open", Group: "system:authenticated", Role: rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"}, Rules: all}}
		},
		"by a group of the new namespace": func(inv *Inventory) {
			inv.Cluster.Home = []HomeBinding{{Binding: Binding{Name: "open", Group: "system:serviceaccounts:flux-system", Role: rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"}, Rules: all}}}
		},
	} {
		a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
		a.Confinement.Kind, a.AllowedNamespaces = "cluster-admin", []string{"team"}
		inv := Inventory{Agents: []Flux1Agent{a}}
		change(&inv)
		if p := Build(inv, Options{}); !hasFinding(p, "CLUSTER_ADMIN") {
			t.Errorf("%s: nobody is asked: %v", name, p.Findings)
		}
	}
}

func TestRightsThatOthersGiveInTheNewNamespaceBlock(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	a.Rights = []Binding{{Namespace: "team", Name: "r", Role: rbacv1.RoleRef{Kind: "Role", Name: "r"}, ReleaseOwned: true, Rules: rules("*", "*", "*")}}
	plan := func(home ...HomeBinding) Plan {
		return Build(Inventory{Cluster: Cluster{Home: home}, Agents: []Flux1Agent{a}}, Options{})
	}
	group := HomeBinding{Binding: Binding{Name: "legacy", Group: "system:serviceaccounts:flux-system", Role: rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"}, Rules: rules("get", "", "secrets")}}
	named := group
	named.Group, named.Account = "", "team"
	for name, c := range map[string]struct {
		home HomeBinding
		wide bool
	}{
		"to the group of all accounts": {group, true},
		"to an account of that name":   {named, true},
		"to another account":           {HomeBinding{Binding: group.Binding, Account: "other"}, false},
		"of what the old one may":      {HomeBinding{Binding: Binding{Namespace: "team", Name: "x", Rules: rules("get", "", "secrets")}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan(c.home)
			if got := hasFinding(p, "RIGHTS_WIDER"); got != c.wide || p.Repositories[0].Blocked != c.wide {
				t.Errorf("wider: %v, blocked: %v; findings %v", got, p.Repositories[0].Blocked, p.Findings)
			}
			if c.wide {
				if d := cmp.Diff([]string{"in the whole cluster: get secrets"}, linesOf(p.Repositories[0].Rights.Gained)); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

func TestCoversAsKubernetesDoes(t *testing.T) {
	for _, c := range []struct {
		have, want grant
		covered    bool
	}{
		{grant{verb: "*", group: "*", resource: "*"}, grant{namespace: "a", verb: "get", group: "apps", resource: "deployments/scale", name: "x"}, true},
		{grant{namespace: "a", verb: "get", group: "", resource: "pods"}, grant{namespace: "a", verb: "get", group: "", resource: "pods/log"}, false},
		{grant{verb: "get", group: "", resource: "*/log"}, grant{verb: "get", group: "", resource: "pods/log"}, true},
		{grant{verb: "get", group: "", resource: "*/log"}, grant{verb: "get", group: "", resource: "pods"}, false},
		{grant{namespace: "a", verb: "get", group: "", resource: "pods"}, grant{verb: "get", group: "", resource: "pods"}, false},
		{grant{verb: "get", group: "", resource: "pods", name: "x"}, grant{verb: "get", group: "", resource: "pods"}, false},
		{grant{verb: "get", url: "/metrics/*"}, grant{verb: "get", url: "/metrics/x"}, true},
		{grant{verb: "*", group: "*", resource: "*"}, grant{verb: "get", url: "/metrics"}, false},
		{grant{verb: "get", group: "apps", resource: "deployments"}, grant{verb: "get", group: "", resource: "deployments"}, false},
	} {
		if c.have.covers(c.want) != c.covered {
			t.Errorf("%+v covers %+v: want %v", c.have, c.want, c.covered)
		}
	}
}
