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

// setGranted lays over what is known of the rights of a declared agent what the
// configuration itself grants its account: rights only add up, so that one binding to
// do everything decides, and any other makes unknown what the chart alone says.
func (d *declared) setGranted() {
	if d.Confinement.Kind == "cluster-admin" {
		return
	}
	var others []string
	for i := range d.grants {
		g := &d.grants[i]
		if g.RoleName == nil || !d.mayBeHere(g.Cluster) {
			continue
		}
		bound, sure, group := d.boundBy(g)
		rules := d.everythingBy(g)
		switch {
		case !bound:
		case rules != nil && sure && len(g.Unknown) == 0 && d.isHere(g.Cluster):
			d.Confinement = migrate.Confinement{Kind: "cluster-admin"}
			name, _ := g.Name.Str()
			role, _ := g.RoleName.Str()
			d.Rights = append(slices.Clone(d.Rights), migrate.Binding{Name: name, Group: group, Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Rules: rules})
			d.Unknown = slices.DeleteFunc(d.Unknown, func(name string) bool { return name == "confinement" })
			return
		default:
			others = append(others, g.Address)
		}
	}
	if len(others) == 0 {
		return
	}
	d.Confinement = migrate.Confinement{}
	d.unknown("confinement")
	d.find(TerraformGranted.Finding("", d.where(), "what the agent's account may do is not known: the configuration binds it, or may bind it, by "+listed(others, len(others), maxEnds)))
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
			if d.everythingBy(g) != nil || name == "system:serviceaccounts:"+d.Namespace {
				may, sure, group = true, true, name
			}
		}
	}
	return may, sure, group
}

// everythingBy are the rules of the role that a binding gives, if they are known to let do
// everything in the cluster; else nil.
func (d *declared) everythingBy(g *terraform.Grant) []rbacv1.PolicyRule {
	all := []string{"*"}
	name, ok := g.RoleName.Str()
	switch {
	case g.Kind != "ClusterRoleBinding" || !ok:
		return nil
	case name == "cluster-admin": // of every cluster
		return []rbacv1.PolicyRule{{Verbs: all, APIGroups: all, Resources: all}, {Verbs: all, NonResourceURLs: all}}
	}
	for i := range d.grants {
		role := &d.grants[i]
		if n, ok := role.Name.Str(); role.Kind != "ClusterRole" || !ok || n != name || len(role.Unknown) > 0 || !d.isHere(role.Cluster) {
			continue
		}
		var rules []rbacv1.PolicyRule
		for _, rule := range role.Rules {
			words := func(field string) []string {
				var out []string
				for _, w := range items(at(rule, field)) {
					if gap(w) == "" {
						out = append(out, scalarText(w))
					}
				}
				return out
			}
			if at(rule, "resourceNames") == nil && openGap(rule) == "" {
				rules = append(rules, rbacv1.PolicyRule{
					Verbs: words("verbs"), APIGroups: words("apiGroups"), Resources: words("resources"),
					NonResourceURLs: append(words("nonResourceURLs"), words("nonResourceUrls")...), // as the provider has it
				})
			}
		}
		if slices.ContainsFunc(rules, everything) {
			return rules
		}
	}
	return nil
}
