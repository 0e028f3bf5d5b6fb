package discover

import (
	"fmt"
	"reflect"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// grantIndex finds roles by their names and bindings by whom they bind, and remembers what was
// found for an account: a configuration can declare thousands of each, and as many agents.
type grantIndex struct {
	list []granted
	// at are the clusters that they are of, by their numbers.
	at []int
	// named are roles by their names, as their places in the list, placed the Roles among them by
	// their namespaces, too, and elsewhere those whose namespace is not known.
	named, placed, elsewhere map[grantedRole][]int
	// bindings are all, bound those that bind nobody but whom they name, by each name, and open
	// those that may bind others.
	bindings, open []int
	bound          map[string][]int
	// clusters are those that were met, each once, and apart what two of them are to each other.
	clusters map[clusterMet][]int
	met      []terraform.Cluster
	apart    map[[2]int]toEachOther
	rules    map[rulesAsked]rulesFound
	accounts map[accountAsked]*boundTo
	looks    int // see maxBindingLooks
}

type grantedRole struct{ kind, name, namespace string }

// toEachOther is whether two clusters may be one, or are.
type toEachOther struct{ may, are bool }

type clusterMet struct {
	provider string
	at       terraform.Position
}

type rulesAsked struct {
	cluster int
	role    grantedRole
	placed  bool
}

type rulesFound struct {
	rules []rbacv1.PolicyRule
	why   string
}

type accountAsked struct {
	cluster            int
	namespace, account string
}

// boundTo is what bindings give an account: others are those of which that is not known, with
// the reason, and only those of rights that stand in a state alone.
type boundTo struct {
	rights       []migrate.Binding
	others, only []string
	rules        int // of all rights together
}

func newGrantIndex(list []granted) *grantIndex {
	x := &grantIndex{
		list: list, named: map[grantedRole][]int{}, placed: map[grantedRole][]int{}, elsewhere: map[grantedRole][]int{}, bound: map[string][]int{}, clusters: map[clusterMet][]int{},
		apart: map[[2]int]toEachOther{}, rules: map[rulesAsked]rulesFound{}, accounts: map[accountAsked]*boundTo{},
	}
	for i := range list {
		g := &list[i]
		x.at = append(x.at, x.cluster(g.Cluster))
		if name, named := g.Name.Str(); named && (g.Kind == "Role" || g.Kind == "ClusterRole") {
			of := grantedRole{kind: g.Kind, name: name}
			x.named[of] = append(x.named[of], i)
			if namespace, known := g.Place(); !known {
				x.elsewhere[of] = append(x.elsewhere[of], i)
			} else {
				of.namespace = namespace
				x.placed[of] = append(x.placed[of], i)
			}
		}
		if !g.mayBind() {
			continue
		}
		x.bindings = append(x.bindings, i)
		names, all := g.bindsOnly()
		if !all {
			x.open = append(x.open, i)
			continue
		}
		for _, name := range names {
			x.bound[name] = append(x.bound[name], i)
		}
	}
	return x
}

// mayBind reports whether it may be a binding of an agent's account.
func (g *granted) mayBind() bool {
	return (g.RoleName != nil || g.Kind == "ClusterRoleBinding" || g.Kind == "RoleBinding") && (g.Kind != "" || !ofFlux2(g.What)) && g.Kind != "Role" && g.Kind != "ClusterRole"
}

// bindsOnly are the users and groups that a binding names, and all is whether it can bind
// nobody else, see [declared.boundBy].
func (g *granted) bindsOnly() (names []string, all bool) {
	text := func(n *terraform.Node, unset string) (string, bool) {
		if n == nil {
			return unset, true
		}
		return n.Str()
	}
	all = len(g.More) == 0
	for _, s := range g.Subjects {
		kind, kindKnown := s.Kind.Str()
		name, nameKnown := text(s.Name, "")
		all = all && kindKnown && nameKnown
		if kind == rbacv1.ServiceAccountKind {
			own := ""
			if g.Kind == "RoleBinding" {
				own, _ = g.Namespace.Str()
			}
			namespace, known := text(s.Namespace, own)
			all, name = all && known, userOf(namespace, name)
		} else if s.Name == nil { // as what is not known
			all = false
		}
		names = append(names, name)
	}
	return names, all
}

// userOf is what an account is called as a user.
func userOf(namespace, account string) string {
	return "system:serviceaccount:" + namespace + ":" + account
}

// thatMayBind are the bindings that may name an account, by their places in the list.
func (x *grantIndex) thatMayBind(namespace, account string) []int {
	if namespace == "" || account == "" {
		return x.bindings
	}
	out := slices.Concat(x.open, x.bound[userOf(namespace, account)])
	for _, group := range groupsOf(namespace) {
		out = append(out, x.bound[group]...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// rolesOf are the roles of a name, by their places in the list; a Role in any namespace if it is
// not known in which one is meant.
func (x *grantIndex) rolesOf(of grantedRole, placed bool) []int {
	named := grantedRole{kind: of.kind, name: of.name}
	if of.kind != "Role" || !placed {
		return x.named[named]
	}
	out := slices.Concat(x.placed[of], x.elsewhere[named])
	slices.Sort(out)
	return out
}

// cluster is the number of one that was met.
func (x *grantIndex) cluster(c terraform.Cluster) int {
	key := clusterMet{c.Provider.String(), c.Position}
	for _, n := range x.clusters[key] {
		if reflect.DeepEqual(x.met[n], c) {
			return n
		}
	}
	n := len(x.met)
	x.met, x.clusters[key] = append(x.met, c), append(x.clusters[key], n)
	return n
}

// enough reports whether so many looks are left.
func (x *grantIndex) enough(n int) bool {
	x.looks += n
	return x.looks <= maxBindingLooks
}

// tooMany says of what there is more than is looked at.
func (x *grantIndex) tooMany() string {
	return fmt.Sprintf("one of %d bindings, which are too many to be looked at for each of so many agents", len(x.bindings))
}

// here is what the cluster of an agent, and that of one in the list, are to each other.
func (x *grantIndex) here(d *declared, cluster, i int) toEachOther {
	key := [2]int{cluster, x.at[i]}
	out, known := x.apart[key]
	if !known {
		out = toEachOther{d.mayBeHere(x.list[i].Cluster), d.isHere(x.list[i].Cluster)}
		x.apart[key] = out
	}
	return out
}

// boundTo is what the bindings of an agent's cluster give its account.
func (x *grantIndex) boundTo(d *declared) *boundTo {
	cluster := x.cluster(d.cluster)
	key := accountAsked{cluster, d.Namespace, d.ServiceAccount}
	if out := x.accounts[key]; out != nil {
		return out
	}
	out := &boundTo{}
	x.accounts[key] = out
	may := x.thatMayBind(d.Namespace, d.ServiceAccount)
	if !x.enough(len(may)) {
		out.others = []string{x.tooMany()}
		return out
	}
	for _, i := range may {
		g := &x.list[i]
		here := x.here(d, cluster, i)
		if !here.may {
			continue
		}
		bound, sure, group := d.boundBy(&g.Grant)
		if !bound {
			continue
		}
		rules, why := d.rulesBy(&g.Grant)
		if !x.enough(perBinding + len(rules)) {
			out.others = append(out.others, x.tooMany())
			break
		}
		_, placed := g.Place()
		switch all := g.Kind == "ClusterRoleBinding" && slices.ContainsFunc(rules, everything); {
		case len(g.Unknown) > 0:
			why = causeWords(g.Unknown)
		case g.Kind == "":
			why = "what it makes is not known: " + causes(g.What)
		case !sure:
			why = "whom it binds is not known"
		case !here.are:
			why = "it may be of another cluster"
		case g.Kind == "RoleBinding" && !placed:
			why = "in which namespace it holds is not known"
		case all || why == "":
			b := migrate.Binding{Group: group, Rules: rules}
			b.Name, _ = g.Name.Str()
			b.Role = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: g.Binds()}
			b.Role.Name, _ = g.RoleName.Str()
			if g.Kind == "RoleBinding" {
				b.Namespace, _ = g.Place()
			}
			out.rights, out.rules = append(out.rights, b), out.rules+len(rules)
			if g.only {
				out.only = append(out.only, g.String())
			}
			continue
		}
		out.others = append(out.others, g.String()+" ("+why+")")
	}
	return out
}
