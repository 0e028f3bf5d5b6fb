package discover

import (
	"context"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// grantsOf are the roles and bindings that the configuration declares.
func (c *configuration) grantsOf(ctx context.Context) []terraform.Grant {
	if c.grants == nil && c.alone == nil {
		c.grants = append([]terraform.Grant{}, terraform.Grants(ctx, c.result)...)
	}
	return c.grants
}

// setGranted adds to what is known of the rights of a declared agent what the
// configuration itself grants its account: rights only add up, so that one binding to do
// everything decides, and one of which not all is known makes them unknown in all.
func (d *declared) setGranted() {
	if d.Confinement.Kind == "cluster-admin" {
		return
	}
	rights := slices.Clone(d.Rights)
	var others []string
	if d.boundRole != "" {
		g := &terraform.Grant{Kind: "ClusterRoleBinding", RoleName: &terraform.Node{Kind: terraform.Scalar, Scalar: d.boundRole}}
		if rules, _ := d.rulesBy(g); slices.ContainsFunc(rules, everything) { // whatever else it binds
			rights = append(rights, migrate.Binding{Name: d.boundRole, Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: d.boundRole}, Rules: rules})
			d.grantedBeside = true
		}
	}
	for i := range d.grants {
		g := &d.grants[i]
		if g.RoleName == nil || !d.mayBeHere(g.Cluster) {
			continue
		}
		bound, sure, group := d.boundBy(g)
		if !bound {
			continue
		}
		rules, why := d.rulesBy(g)
		_, placed := g.Place()
		switch all := g.Kind == "ClusterRoleBinding" && slices.ContainsFunc(rules, everything); {
		case len(g.Unknown) > 0:
			why = causeWords(g.Unknown)
		case !sure:
			why = "whom it binds is not known"
		case !d.isHere(g.Cluster):
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
			rights = append(rights, b)
			continue
		}
		others = append(others, g.Address+" ("+why+")")
	}
	known := func(sum migrate.Confinement) {
		d.Rights, d.Confinement = rights, sum
		d.Unknown = slices.DeleteFunc(d.Unknown, func(name string) bool { return name == "confinement" })
	}
	switch sum := confinement(rights); {
	case sum.Kind == "cluster-admin": // whatever else there is
		known(sum)
	case len(others) > 0:
		d.Confinement = migrate.Confinement{}
		d.unknown("confinement")
		d.find(TerraformGranted.Finding("", d.where(), "what the agent's account may do is not known: the configuration binds it, or may bind it, by "+listed(others, len(others), maxEnds)))
	case len(rights) > len(d.Rights) && (d.grantedBeside || !slices.Contains(d.Unknown, "confinement")):
		known(sum)
	}
}

// mayBeHere and isHere report whether something in a cluster may be, or is, where the agent is.
func (d *declared) mayBeHere(its terraform.Cluster) bool {
	return !(clusterGroup{{cluster: d.cluster}}).differs(clusterGroup{{cluster: its}}, (*namesake).isNot)
}

func (d *declared) isHere(its terraform.Cluster) bool {
	own, other := &end{cluster: d.cluster}, &end{cluster: its}
	return own.key() == other.key() || own.agrees(other) && !(clusterGroup{own}).differs(clusterGroup{other}, (*namesake).isHardly)
}

// boundBy reports whether a binding may name the agent's account, whether that is known,
// and through which group it does, if not by itself.
func (d *declared) boundBy(g *terraform.Grant) (may, sure bool, group string) {
	is := func(n *terraform.Node, unset, want string) (may, sure bool) {
		text, known := n.Str()
		if n == nil {
			text, known = unset, true
		}
		return !known || want == "" || text == want, known && want != ""
	}
	may = len(g.More) > 0
	for _, s := range g.Subjects {
		kind, kindKnown := s.Kind.Str()
		name, nameKnown := s.Name.Str()
		switch {
		case !kindKnown:
			may = true
		case kind == rbacv1.ServiceAccountKind:
			own := ""
			if g.Kind == "RoleBinding" {
				own, _ = g.Namespace.Str()
			}
			byName, nameSure := is(s.Name, "", d.ServiceAccount)
			byPlace, placeSure := is(s.Namespace, own, d.Namespace)
			if byName && byPlace && nameSure && placeSure {
				return true, true, ""
			}
			may = may || byName && byPlace
		case kind == rbacv1.UserKind && nameKnown && d.Namespace != "" && d.ServiceAccount != "":
			if name == "system:serviceaccount:"+d.Namespace+":"+d.ServiceAccount {
				return true, true, ""
			}
		case !nameKnown:
			may = true
		case kind == rbacv1.GroupKind && slices.Contains(groupsOf(d.Namespace), name):
			// Of what everybody may, only everything says something: see confinement.
			rules, _ := d.rulesBy(g)
			if g.Kind == "ClusterRoleBinding" && slices.ContainsFunc(rules, everything) || name == "system:serviceaccounts:"+d.Namespace {
				may, sure, group = true, true, name
			}
		}
	}
	return may, sure, group
}

// rulesBy are the rules of the role that a binding gives, as far as they are known, and
// why they may not be all.
func (d *declared) rulesBy(g *terraform.Grant) (rules []rbacv1.PolicyRule, why string) {
	kind, name, known := g.Binds(), "", false
	if name, known = g.RoleName.Str(); !known || kind == "" {
		return nil, "which role it gives is not known"
	}
	if kind == "ClusterRole" && name == "cluster-admin" { // of every cluster
		return rulesOfClusterAdmin(), ""
	}
	of := kind + " " + name
	for i := range d.grants {
		role := &d.grants[i]
		n, named := role.Name.Str()
		if role.Kind != kind || !named || n != name || !d.mayBeHere(role.Cluster) {
			continue
		}
		if kind == "Role" {
			own, ownKnown := role.Place()
			its, itsKnown := g.Place()
			if ownKnown && itsKnown && own != its {
				continue
			}
			if !ownKnown || !itsKnown {
				why = "the namespace of " + of + " is not known"
				continue
			}
		}
		switch {
		case len(role.Unknown) > 0:
			return nil, "whether " + of + " is made is not known: " + causeWords(role.Unknown)
		case !d.isHere(role.Cluster):
			return nil, of + " may be of another cluster"
		case role.Aggregated:
			why = of + " is made of other roles in the cluster"
		case len(role.More) > 0:
			why = "what " + of + " may do is not known: " + causeWords(role.More)
		}
		for _, rule := range role.Rules {
			r, whole := policyRule(rule)
			if !whole && why == "" {
				why = "what " + of + " may do is not known in all"
			}
			if whole || len(r.ResourceNames) == 0 && gap(at(rule, "resourceNames")) == "" && openGap(rule) == "" {
				rules = append(rules, r)
			}
		}
		return rules, why
	}
	if why == "" {
		why = of + " is not declared here"
	}
	return nil, why
}

// policyRule is a rule of a declared role; whole is false if not all of it is known.
func policyRule(rule any) (out rbacv1.PolicyRule, whole bool) {
	whole = openGap(rule) == ""
	words := func(field string) []string {
		var out []string
		whole = whole && gap(at(rule, field)) == ""
		for _, w := range items(at(rule, field)) {
			if gap(w) != "" {
				whole = false
				continue
			}
			out = append(out, scalarText(w))
		}
		return out
	}
	out = rbacv1.PolicyRule{
		Verbs: words("verbs"), APIGroups: words("apiGroups"), Resources: words("resources"), ResourceNames: words("resourceNames"),
		NonResourceURLs: append(words("nonResourceURLs"), words("nonResourceUrls")...), // as the provider has it
	}
	return out, whole
}
