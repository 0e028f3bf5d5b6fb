package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Rights compare what the old agent's account may do with what the new one
// may: the bindings of a plan, taken apart. What both get as any account of
// the cluster is left out.
type Rights struct {
	// From and To are the accounts, "namespace/name".
	From string `json:"from"`
	To   string `json:"to"`
	// Kept is what both may do; Lost what only the old one may, and Gained what
	// only the new one may. A plan that is not blocked gains nothing.
	Kept   []ScopedRules `json:"kept"`
	Lost   []ScopedRules `json:"lost"`
	Gained []ScopedRules `json:"gained"`
	// Needs are the objects that the repository holds: the narrower
	// alternative, by namespace.
	Needs []ScopedKinds `json:"needs"`
}

// ScopedRules are rights in one namespace, or in the whole cluster if it is
// empty.
type ScopedRules struct {
	Namespace string              `json:"namespace,omitempty"`
	Rules     []rbacv1.PolicyRule `json:"rules"`
}

// ScopedKinds are kinds of objects in one namespace; those of an empty one are
// cluster-scoped.
type ScopedKinds struct {
	Namespace string   `json:"namespace,omitempty"`
	Kinds     []string `json:"kinds"`
}

// Place says where the rules hold: "in namespace shop", or "in the whole
// cluster".
func (s ScopedRules) Place() string {
	if s.Namespace == "" {
		return "in the whole cluster"
	}
	return "in namespace " + s.Namespace
}

// Texts writes the rules for people, one each, without their place: verbs, and
// what they are for. All of the core group is core/*, and * alone are URLs.
func (s ScopedRules) Texts() []string {
	texts := make([]string, 0, len(s.Rules))
	for _, r := range s.Rules {
		texts = append(texts, ruleText(r, "core/*"))
	}
	return texts
}

// Lines writes the rights for people, one per rule.
func (s ScopedRules) Lines() []string {
	lines := s.Texts()
	for i := range lines {
		lines[i] = s.Place() + ": " + lines[i]
	}
	return lines
}

// HomeBinding is a binding that gives rights to accounts of [AgentNamespace]
// that are not there yet: to the group of all its accounts, or to one by name.
type HomeBinding struct {
	Binding
	// Account is empty for the group.
	Account string
}

// grant is one right: a verb on the objects of a resource, or on a URL.
type grant struct{ namespace, verb, group, resource, name, url string }

// covers reports whether who has g may do all that o grants (source:
// Kubernetes, pkg/apis/rbac/v1/evaluation_helpers.go).
func (g grant) covers(o grant) bool {
	any := func(mine, other string) bool { return mine == "*" || mine == other }
	if (g.url == "") != (o.url == "") || !any(g.verb, o.verb) {
		return false
	}
	if g.url != "" {
		prefix, wild := strings.CutSuffix(g.url, "*")
		return g.url == o.url || wild && strings.HasPrefix(o.url, prefix)
	}
	resource := any(g.resource, o.resource)
	if sub, ok := strings.CutPrefix(g.resource, "*/"); ok {
		_, other, _ := strings.Cut(o.resource, "/")
		resource = resource || sub == other
	}
	return (g.namespace == "" || g.namespace == o.namespace) && any(g.group, o.group) && resource && (g.name == "" || g.name == o.name)
}

// grants takes bindings apart.
func grants(bindings []Binding) []grant {
	var out []grant
	for _, b := range bindings {
		for _, r := range b.Rules {
			names := r.ResourceNames
			if len(names) == 0 {
				names = []string{""}
			}
			for _, verb := range r.Verbs {
				for _, group := range r.APIGroups {
					for _, resource := range r.Resources {
						for _, name := range names {
							out = append(out, grant{b.Namespace, verb, group, resource, name, ""})
						}
					}
				}
				for _, url := range r.NonResourceURLs {
					if b.Namespace == "" { // a RoleBinding gives no right to a URL
						out = append(out, grant{verb: verb, url: url})
					}
				}
			}
		}
	}
	return out
}

// divide sorts the grants of one side by whether the other side covers them.
func divide(mine, others []grant) (covered, alone []grant) {
	for _, g := range mine {
		if slices.ContainsFunc(others, func(o grant) bool { return o.covers(g) }) {
			covered = append(covered, g)
		} else {
			alone = append(alone, g)
		}
	}
	return covered, alone
}

// scoped puts grants together to rules again, sorted, each right once.
func scoped(list []grant) []ScopedRules {
	out := []ScopedRules{}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b grant) int {
		return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.url, b.url), strings.Compare(a.group, b.group),
			strings.Compare(a.resource, b.resource), strings.Compare(a.name, b.name), strings.Compare(a.verb, b.verb))
	})
	list = slices.Compact(list)
	for i := 0; i < len(list); {
		g := list[i]
		rule := rbacv1.PolicyRule{}
		for ; i < len(list); i++ {
			same := list[i]
			same.verb = g.verb
			if same != g {
				break
			}
			rule.Verbs = append(rule.Verbs, list[i].verb)
		}
		switch {
		case g.url != "":
			rule.NonResourceURLs = []string{g.url}
		default:
			rule.APIGroups, rule.Resources = []string{g.group}, []string{g.resource}
			if g.name != "" {
				rule.ResourceNames = []string{g.name}
			}
		}
		if n := len(out); n == 0 || out[n-1].Namespace != g.namespace {
			out = append(out, ScopedRules{Namespace: g.namespace})
		}
		into := &out[len(out)-1]
		// Resources with the same verbs share a rule, as people write them.
		if n := len(into.Rules); n > 0 && g.url == "" && slices.Equal(into.Rules[n-1].APIGroups, rule.APIGroups) &&
			slices.Equal(into.Rules[n-1].Verbs, rule.Verbs) && slices.Equal(into.Rules[n-1].ResourceNames, rule.ResourceNames) {
			into.Rules[n-1].Resources = append(into.Rules[n-1].Resources, rule.Resources...)
			continue
		}
		into.Rules = append(into.Rules, rule)
	}
	return out
}

// everybody are the groups that every account is in, old or new.
func everybody(group string) bool {
	return group == "system:serviceaccounts" || group == "system:authenticated"
}

// rights compares the agent's rights with those that the manifests give, which
// are read as the API server will read them, and with what accounts of the new
// namespace are given by others.
func (b *repositoryBuilder) rights(supporting []*unstructured.Unstructured) *Rights {
	if slices.Contains(b.agent.Unknown, "confinement") {
		return nil // a finding says why
	}
	var before []Binding
	for _, bind := range b.agent.Rights {
		if !everybody(bind.Group) {
			before = append(before, bind)
		}
	}
	after := b.boundBy(supporting)
	var outside []Binding
	for _, h := range b.home {
		if h.Account == "" || h.Account == b.name {
			outside = append(outside, h.Binding)
		}
	}
	old, planned := grants(before), grants(after)
	now := slices.Concat(planned, grants(outside))
	// Nothing is lost where each binding is made anew with its rules, which this
	// shows; of one that is made in some namespaces only, these are kept.
	kept, lost := divide(old, now)
	narrower, _ := divide(now, lost)
	kept = append(kept, narrower...)
	_, gained := divide(now, old)
	r := &Rights{
		From: b.agent.Namespace + "/" + b.agent.ServiceAccount, To: AgentNamespace + "/" + b.name,
		Kept: scoped(kept), Lost: scoped(lost), Gained: scoped(gained), Needs: b.needed(),
	}
	if len(gained) > 0 {
		var lines, by []string
		for _, s := range r.Gained {
			lines = append(lines, s.Lines()...)
		}
		for _, bind := range outside {
			by = append(by, bindingName(bind))
		}
		slices.Sort(by)
		b.find(Finding{
			Severity: Blocker, Code: "RIGHTS_WIDER", Where: strings.Join(slices.Compact(by), ", "),
			Message: fmt.Sprintf("the account %s would have rights that %s does not have: %s", r.To, r.From, few(lines, 5)),
			Hint:    "name the accounts that are meant in that binding, in place of the group or of an account that is not there yet",
		})
	}
	return r
}

// boundBy reads what manifests of roles and bindings give to the new account.
// Roles that are not among them are those that the old account is bound to.
func (b *repositoryBuilder) boundBy(supporting []*unstructured.Unstructured) []Binding {
	roles := map[string][]rbacv1.PolicyRule{}
	key := func(kind, namespace, name string) string {
		if kind == "ClusterRole" {
			namespace = ""
		}
		return kind + "/" + namespace + "/" + name
	}
	for _, bind := range b.agent.Rights {
		roles[key(bind.Role.Kind, bind.Namespace, bind.Role.Name)] = bind.Rules
	}
	read := func(u *unstructured.Unstructured, into any) {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
			panic(fmt.Sprintf("read the manifest of %s %s: %v", u.GetKind(), u.GetName(), err)) // made by manifest, from the same types
		}
	}
	for _, u := range supporting {
		if u.GetKind() == "Role" || u.GetKind() == "ClusterRole" {
			var role rbacv1.ClusterRole // the rules of both stand in the same field
			read(u, &role)
			roles[key(u.GetKind(), u.GetNamespace(), u.GetName())] = role.Rules
		}
	}
	var out []Binding
	for _, u := range supporting {
		if !strings.HasSuffix(u.GetKind(), "RoleBinding") {
			continue
		}
		var binding rbacv1.RoleBinding
		read(u, &binding)
		for _, s := range binding.Subjects {
			if s.Kind == rbacv1.ServiceAccountKind && s.Namespace == AgentNamespace && s.Name == b.name {
				out = append(out, Binding{Namespace: u.GetNamespace(), Name: u.GetName(), Role: binding.RoleRef,
					Rules: roles[key(binding.RoleRef.Kind, u.GetNamespace(), binding.RoleRef.Name)]})
			}
		}
	}
	return out
}

// needed lists the kinds that the repository's objects are of, by namespace; without
// those that lie in the default one where that is not known.
func (b *repositoryBuilder) needed() []ScopedKinds {
	kinds := map[string]map[string]bool{}
	for i := range b.agent.Objects {
		o := &b.agent.Objects[i]
		if o.Manifest == nil || !applies(o) || o.NamespaceUnknown {
			continue
		}
		ns, gk := o.Manifest.GetNamespace(), o.Manifest.GroupVersionKind().GroupKind()
		if kinds[ns] == nil {
			kinds[ns] = map[string]bool{}
		}
		kinds[ns][gk.String()] = true
	}
	out := []ScopedKinds{}
	for _, ns := range sortedKeys(kinds) {
		out = append(out, ScopedKinds{Namespace: ns, Kinds: sortedKeys(kinds[ns])})
	}
	return out
}

// bindingName writes a binding as "RoleBinding/namespace/name".
func bindingName(b Binding) string {
	if b.Namespace == "" {
		return "ClusterRoleBinding/" + b.Name
	}
	return "RoleBinding/" + b.Namespace + "/" + b.Name
}

// few joins the first of many.
func few(list []string, most int) string {
	if len(list) <= most {
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(list[:most], "; "), len(list)-most)
}
