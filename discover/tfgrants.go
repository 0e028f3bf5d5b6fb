package discover

import (
	"context"
	"regexp"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// grantsOf are the roles and bindings that count for the agents of the configuration.
func (c *configuration) grantsOf(ctx context.Context) *grantIndex {
	switch {
	case c.grants != nil:
	case c.alone != nil:
		c.grants = newGrantIndex(grantsTogether(ctx, nil, []stateFile{*c.alone}))
	default:
		c.grants = newGrantIndex(grantsTogether(ctx, []*configuration{c}, nil))
	}
	return c.grants
}

// granted is a role or binding with where it is from.
type granted struct {
	terraform.Grant
	// state is what the state is called that holds it, where it is read from one, and only
	// is true if no given configuration declares it.
	state string
	only  bool
}

func (g *granted) String() string {
	if g.state == "" {
		return g.Address
	}
	return g.Address + " in the state " + g.state
}

// grantsTogether are the roles and bindings of several configurations and their states, and
// of states without a configuration, which add up, of whatever folder they are. What a configuration does not tell of one is as
// its state has it; what both tell, and not alike, counts as either: what was applied last
// is in force until the next apply.
func grantsTogether(ctx context.Context, read []*configuration, alone []stateFile) []granted {
	out := []granted{}
	declares := map[*terraform.StateResource]bool{}
	type inState struct {
		stateFile
		result *terraform.Result
		alone  bool
	}
	var states []inState
	for _, c := range read {
		held := map[*terraform.Resource][]granted{}
		for _, s := range c.states {
			its := map[*terraform.StateResource][]granted{}
			for _, g := range s.state.Grants(s.name, c.result) {
				its[g.State] = append(its[g.State], granted{Grant: g, state: s.name})
			}
			for _, typ := range terraform.GrantTypes() {
				for _, m := range terraform.MatchState(c.result, s.state, typ) {
					if m.Config == nil || m.State == nil {
						continue
					}
					declares[m.State.Unmoved()] = true
					held[m.Config] = append(held[m.Config], its[m.State.Unmoved()]...) // of an object of another kind there are none
				}
			}
			if !slices.ContainsFunc(states, func(o inState) bool { return o.state == s.state }) {
				states = append(states, inState{s, c.result, false})
			}
		}
		own := map[*terraform.Resource][]granted{}
		for _, g := range c.declaredGrants(ctx) {
			own[g.Resource] = append(own[g.Resource], granted{Grant: g})
		}
		unsure := func(g granted) bool { return !wholeGrant(&g.Grant) }
		for _, r := range c.result.Resources {
			last, isHeld := held[r]
			if isHeld && slices.ContainsFunc(own[r], unsure) && !slices.ContainsFunc(last, unsure) {
				out = append(out, last...)
				continue
			}
			out = append(out, own[r]...)
			for _, l := range last {
				if !slices.ContainsFunc(own[r], func(g granted) bool { return sameGrant(&g.Grant, &l.Grant) }) {
					out = append(out, l)
				}
			}
		}
		out = append(out, own[nil]...) // of no resource
	}
	for _, s := range alone {
		states = append(states, inState{s, &terraform.Result{}, true})
	}
	for _, s := range states {
		for _, g := range s.state.Grants(s.name, s.result) {
			if !declares[g.State] {
				out = append(out, granted{g, s.name, !s.alone})
			}
		}
	}
	return out
}

// declaredGrants are the roles and bindings that a configuration makes by its resources, by
// what it gives to releases, and by scripts; and what modules that are not read may make. A
// state does not tell: what their scripts and charts made is in none.
func (c *configuration) declaredGrants(ctx context.Context) []terraform.Grant {
	out := terraform.Grants(ctx, c.result)
	for _, h := range c.releasesOf(ctx) {
		out = append(out, h.Grants(c.result.Cluster(h.Provider))...)
		if local, name := c.localChartOf(ctx, h); local.binds != nil || local.left != "" && local.kind == "" {
			why := terraform.Cause{Kind: terraform.CauseLimit, Name: "there are bindings in the templates of the chart " + name + ", which are not rendered here", Position: h.Position}
			if local.left != "" {
				why.Name = "of the chart " + name + " not all was read, since " + local.left
			}
			what := &terraform.Node{Kind: terraform.Unknown, Causes: []terraform.Cause{why}, Origin: terraform.Origin{Position: h.Position}}
			g := terraform.Grant{Address: h.Address, What: what, RoleName: what, Cluster: c.result.Cluster(h.Provider), Unknown: h.Unknown, Position: h.Position, Resource: h.Resource}
			g.Subjects = local.binds.of(installed{h.Name, h.Namespace, h.Values})
			if local.left != "" {
				g.More = []terraform.Cause{why}
			}
			out = append(out, g)
		}
	}
	for _, s := range c.scriptsOf(ctx) {
		if !s.Destroy {
			out = append(out, s.Grants...)
		}
	}
	return append(out, c.result.UnreadGrants()...)
}

// releasesOf and scriptsOf are the Helm releases and the scripts of the configuration.
func (c *configuration) releasesOf(ctx context.Context) []*terraform.HelmRelease {
	if c.releases == nil {
		c.releases = append([]*terraform.HelmRelease{}, terraform.HelmReleases(ctx, c.result)...)
	}
	return c.releases
}

func (c *configuration) scriptsOf(ctx context.Context) []*terraform.Script {
	if c.scripts == nil {
		c.scripts = append([]*terraform.Script{}, terraform.Scripts(ctx, c.result)...)
	}
	return c.scripts
}

// wholeGrant reports whether all is known of a role or binding.
func wholeGrant(g *terraform.Grant) bool {
	known := func(nodes ...*terraform.Node) bool {
		return !slices.ContainsFunc(nodes, func(n *terraform.Node) bool { return n != nil && n.Kind != terraform.Scalar })
	}
	if g.Kind == "" || len(g.Unknown) > 0 || len(g.More) > 0 || !known(g.Name, g.Namespace, g.RoleKind, g.RoleName) {
		return false
	}
	return !slices.ContainsFunc(g.Subjects, func(s terraform.Subject) bool { return !known(s.Kind, s.Name, s.Namespace) }) &&
		!slices.ContainsFunc(g.Rules, func(rule any) bool { _, whole := policyRule(rule); return !whole })
}

// sameGrant reports whether two roles or bindings, of which all is known, say the same.
func sameGrant(a, b *terraform.Grant) bool {
	if !wholeGrant(a) || !wholeGrant(b) || a.Kind != b.Kind || a.Aggregated != b.Aggregated {
		return false
	}
	same := func(a, b *terraform.Node) bool { return textOf(a) == textOf(b) }
	ours, _ := a.Place()
	theirs, _ := b.Place()
	placed := a.Kind == "Role" || a.Kind == "RoleBinding"
	return same(a.Name, b.Name) && (ours == theirs || !placed) && a.Binds() == b.Binds() && same(a.RoleName, b.RoleName) &&
		slices.EqualFunc(a.Subjects, b.Subjects, func(a, b terraform.Subject) bool {
			return same(a.Kind, b.Kind) && same(a.Name, b.Name) && same(a.Namespace, b.Namespace)
		}) &&
		slices.EqualFunc(a.Rules, b.Rules, func(a, b any) bool {
			x, _ := policyRule(a)
			y, _ := policyRule(b)
			return equality.Semantic.DeepEqual(x, y)
		})
}

// setGranted adds to what is known of the rights of a declared agent what the
// configuration itself grants its account: rights only add up, so that one binding to do
// everything decides, and one of which not all is known makes them unknown in all.
func (d *declared) setGranted() {
	if d.Confinement.Kind == "cluster-admin" {
		return
	}
	to := d.index().boundTo(d)
	own := slices.Clone(d.Rights)
	if d.boundRole != "" {
		g := &terraform.Grant{Kind: "ClusterRoleBinding", RoleName: &terraform.Node{Kind: terraform.Scalar, Scalar: d.boundRole}}
		if rules, _ := d.rulesBy(g); slices.ContainsFunc(rules, everything) { // whatever else it binds
			own = append(own, migrate.Binding{Name: d.boundRole, Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: d.boundRole}, Rules: rules})
			d.grantedBeside = true
		}
	}
	rights, others, only := slices.Clip(to.rights), to.others, to.only // which agents of one account have together
	if !d.grants.enough(len(rights) + to.rules) {
		rights, others = nil, append(slices.Clip(others), d.grants.tooMany())
	}
	if len(own) > 0 {
		rights = append(own, rights...)
	}
	if len(only) > 0 {
		d.find(TerraformNotApplied.About("", "confinement", d.where(), "what the agent's account may do comes from what a state holds and no given configuration declares: "+listed(only, len(only), maxEnds)))
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
		d.find(rightsNotKnown("", d.where(), "Terraform binds it, or may bind it, by "+listed(others, len(others), maxEnds)))
	case len(rights) > len(d.Rights) && (d.grantedBeside && bindsItself(rights[len(d.Rights):]) || !slices.Contains(d.Unknown, "confinement")):
		known(sum)
	}
}

// index are the roles and bindings that are declared, if any.
func (d *declared) index() *grantIndex {
	if d.grants == nil {
		d.grants = newGrantIndex(nil)
	}
	return d.grants
}

// nothingBinds is why the rights of an account are not known that nothing grants any.
const nothingBinds = "nothing that was read binds it to a role"

// rightsNotKnown says that the rights of an agent's account are not known, and why.
func rightsNotKnown(id, where, why string) migrate.Finding {
	return RightsUnknown.Finding(id, where, "what the agent's account may do is not known: "+why)
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
		return want == "" || known && text == want || !known && fits(n, want), known && want != ""
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
		case kind == rbacv1.UserKind && d.Namespace != "" && d.ServiceAccount != "":
			user := userOf(d.Namespace, d.ServiceAccount)
			if nameKnown && name == user {
				return true, true, ""
			}
			may = may || !nameKnown && mayBeName(s.Name, user)
		case kind == rbacv1.UserKind || kind == rbacv1.GroupKind && d.Namespace == "" && !slices.Contains([]string{"system:serviceaccounts", "system:authenticated"}, name):
			may = may || mayBeOfAccount(s.Name)
		case !nameKnown:
			may = may || kind != rbacv1.GroupKind || mayBeName(s.Name, groupsOf(d.Namespace)...)
		case kind == rbacv1.GroupKind && slices.Contains(groupsOf(d.Namespace), name):
			// Of what everybody may, only what changes something says something: see confinement.
			rules, why := d.rulesBy(g)
			role, _ := g.RoleName.Str()
			open := why != "" && !readsOrAsks(rbacv1.RoleRef{Kind: g.Binds(), Name: role})
			if open || !changesNothing(rules) || !ofEverybody(name) {
				may, sure, group = true, true, name
			}
		}
	}
	return may, sure, group
}

// directoryName is an attribute by which a directory or a cloud knows a user, group or
// account of its own. It makes it, so that it is none of the names that Kubernetes gives to
// the accounts of services.
var directoryName = regexp.MustCompile(`(?:^|\.)(?:azuread|azurerm|aws|google|googleworkspace|gsuite|okta|auth0|keycloak|onelogin)_\w+\.[^.]+\.(?:\w+\.)*(?:id|object_id|principal_id|client_id|application_id|unique_id|arn|email|group_key)$`)

// mayBeName reports whether a text that is not known may be one of some names that Kubernetes
// gives, by what is known of it and by whose attribute it is.
func mayBeName(n *terraform.Node, names ...string) bool {
	if n == nil || !fits(n, names...) {
		return false
	}
	whole := strings.Join(unknownPart.Split(n.Text, -1), "") == "" // and no part of a longer text
	return n.Kind == terraform.Scalar || !whole || len(n.Causes) == 0 || slices.ContainsFunc(n.Causes, func(c terraform.Cause) bool {
		return c.Kind != terraform.CauseComputed && c.Kind != terraform.CauseData || !directoryName.MatchString(c.Name)
	})
}

// fits reports whether what is known of a text is so of one of some others as well.
func fits(n *terraform.Node, others ...string) bool {
	if text, ok := n.Str(); ok {
		return slices.Contains(others, text)
	}
	if n.Kind != terraform.Unknown || !unknownPart.MatchString(n.Text) { // it may be anything
		return true
	}
	parts := unknownPart.Split(n.Text, -1)
	first, last := parts[0], parts[len(parts)-1]
	return slices.ContainsFunc(others, func(other string) bool {
		rest, ok := strings.CutPrefix(other, first)
		for _, part := range parts[1 : len(parts)-1] {
			_, after, found := strings.Cut(rest, part)
			rest, ok = after, ok && found
		}
		return ok && strings.HasSuffix(rest, last)
	})
}

// unknownPart is what stands in a text for what is not known of it.
var unknownPart = regexp.MustCompile(`\$\{[^}]*\}`)

// mayBeOfAccount reports whether a name may be one that Kubernetes gives to an account of a
// service, or to a group of them, whatever its name.
func mayBeOfAccount(n *terraform.Node) bool {
	text, known := n.Str()
	if !known {
		return mayBeName(n, groupsOf("")...) || strings.HasPrefix(textOf(n), "system:")
	}
	return strings.HasPrefix(text, "system:serviceaccount") || text == "system:authenticated"
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
	x := d.index()
	key := rulesAsked{cluster: x.cluster(d.cluster), role: grantedRole{kind: kind, name: name}, placed: true}
	if kind == "Role" {
		key.role.namespace, key.placed = g.Place()
	}
	found, had := x.rules[key]
	if !had {
		found.rules, found.why = d.rulesOf(key)
		x.rules[key] = found
	}
	return found.rules, found.why
}

// rulesOf is rulesBy for a role by its name.
func (d *declared) rulesOf(key rulesAsked) (rules []rbacv1.PolicyRule, why string) {
	x, of, declared := d.grants, key.role.kind+" "+key.role.name, false
	roles := x.rolesOf(key.role, key.placed)
	if !x.enough(len(roles)) {
		return nil, "of the name of " + of + " are more than are looked at"
	}
	for _, i := range roles {
		role, here := &x.list[i], x.here(d, key.cluster, i)
		if !here.may {
			continue
		}
		if key.role.kind == "Role" {
			if _, known := role.Place(); !known || !key.placed {
				why = "the namespace of " + of + " is not known"
				continue
			}
		}
		switch {
		case len(role.Unknown) > 0:
			return nil, "whether " + of + " is made is not known: " + causeWords(role.Unknown)
		case !here.are:
			return nil, of + " may be of another cluster"
		case role.Aggregated:
			why = of + " is made of other roles in the cluster"
		case len(role.More) > 0:
			why = "what " + of + " may do is not known: " + causeWords(role.More)
		}
		declared = true // by several, if by what was applied last as well
		for _, rule := range role.Rules {
			r, whole := policyRule(rule)
			if !whole && why == "" {
				why = "what " + of + " may do is not known in all"
			}
			if whole || len(r.ResourceNames) == 0 && gap(at(rule, "resourceNames")) == "" && openGap(rule) == "" {
				rules = append(rules, r)
			}
		}
	}
	if why == "" && !declared {
		why = of + " is not declared here"
	}
	return rules, why
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
