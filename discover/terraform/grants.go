package terraform

import (
	"context"
	"slices"
	"strings"
)

// Grant is a role, or a binding of one, that a configuration declares or a state holds. A
// nil Node means that it does not say.
type Grant struct {
	Address string
	// Kind is ClusterRoleBinding, RoleBinding, ClusterRole or Role; empty of an object of
	// which it is not known what it is, so that it may be any of them: What says why.
	Kind            string
	What            *Node
	Name, Namespace *Node
	// RoleKind and RoleName are what a binding binds, and Subjects to whom.
	RoleKind, RoleName *Node
	Subjects           []Subject
	// Rules are those of a role: maps and lists as [Workload.Tree] has them.
	Rules []any
	// Aggregated is true of a role whose rules the cluster puts together from others.
	Aggregated bool
	// More says why there may be subjects, or rules, beside these.
	More     []Cause
	Cluster  Cluster
	Unknown  []Cause // set when it is not known whether it exists
	Position Position
	// Resource is what declares it, and State the instance that made it, where it was
	// read from a state; the other is nil.
	Resource *Resource
	State    *StateResource
}

// Subject is one to whom a binding gives a role.
type Subject struct {
	Kind, Name, Namespace *Node
}

// Binds is the kind of the role that a binding gives; empty if it is not known.
func (g *Grant) Binds() string {
	if g.Kind == "ClusterRoleBinding" {
		return "ClusterRole" // the only kind there is
	}
	kind, _ := g.RoleKind.Str()
	return kind
}

// Place is the namespace of a role or binding that is in one, and whether it is known.
func (g *Grant) Place() (namespace string, known bool) {
	if g.Namespace == nil { // as the provider fills it in
		return "default", true
	}
	return g.Namespace.Str()
}

// grantKinds are the kinds of roles and bindings by the resources that make them.
var grantKinds = map[string]string{
	"kubernetes_cluster_role_binding": "ClusterRoleBinding", "kubernetes_role_binding": "RoleBinding",
	"kubernetes_cluster_role": "ClusterRole", "kubernetes_role": "Role",
}

// isGrant reports whether a kind is that of a role or a binding.
func isGrant(kind string) bool {
	for _, k := range grantKinds {
		if k == kind {
			return true
		}
	}
	return false
}

// otherManifests are the resources of further providers that make an object of a
// manifest, with the argument that holds it: kbst/kustomization, banzaicloud/k8s and
// nabancard/k8sraw.
var otherManifests = map[string]string{"kustomization_resource": "manifest", "k8s_manifest": "content", "k8sraw_yaml": "yaml_body"}

// GrantTypes are the types of resources by which a role or a binding can be made, sorted.
func GrantTypes() []string {
	out := []string{"kubernetes_manifest", "kubectl_manifest", "helm_release"}
	for typ := range grantKinds {
		out = append(out, typ, typ+"_v1")
	}
	for typ := range otherManifests {
		out = append(out, typ)
	}
	slices.Sort(out)
	return out
}

// Manifests returns the objects that a configuration declares without Helm: its workloads,
// and all that it declares as manifests, also by resources of which no workload is read.
func Manifests(ctx context.Context, r *Result) []*Workload {
	out := Workloads(ctx, r)
	defer r.during(ctx)()
	for _, x := range r.Resources {
		if argument := otherManifests[x.Type]; x.Mode == "managed" && argument != "" {
			w := &Workload{Address: x.Address, Resource: x, Unknown: x.Unknown, Provider: x.Provider, Position: x.Position, Object: x.manifest(argument)}
			w.fromObject()
			w.takeObject(argument)
			out = append(out, w)
		}
	}
	return out
}

// Grants returns the roles that a configuration declares, and their bindings, by address.
func Grants(ctx context.Context, r *Result) []Grant {
	var out []Grant
	add := func(w *Workload) {
		if g, ok := w.grant(r.Cluster(w.Provider)); ok {
			g.Resource = w.Resource
			out = append(out, g)
		}
	}
	for _, w := range Manifests(ctx, r) {
		add(w)
	}
	defer r.during(ctx)()
	for _, x := range r.Resources {
		kind := grantKinds[strings.TrimSuffix(x.Type, "_v1")]
		if x.Mode != "managed" || kind == "" {
			continue
		}
		g := Grant{Address: x.Address, Kind: kind, Cluster: r.Cluster(x.Provider), Unknown: x.Unknown, Position: x.Position, Resource: x}
		g.Name, g.Namespace = x.Metadata("name"), x.Metadata("namespace")
		for _, b := range x.Body.nested("role_ref") {
			g.RoleKind, g.RoleName = b.field(r.loader, "kind"), b.field(r.loader, "name")
		}
		for _, b := range x.Body.nested("subject") {
			if len(b.Unknown) > 0 {
				g.More = append(g.More, b.Unknown...)
				continue
			}
			s := Subject{b.Body.field(r.loader, "kind"), b.Body.field(r.loader, "name"), b.Body.field(r.loader, "namespace")}
			if s.Namespace == nil { // as the provider fills it in
				s.Namespace = &Node{Kind: Scalar, Scalar: "default", Origin: Origin{Position: b.Position}}
			}
			g.Subjects = append(g.Subjects, s)
		}
		for _, b := range x.Body.nested("rule") {
			if len(b.Unknown) > 0 {
				g.More = append(g.More, b.Unknown...)
				continue
			}
			g.Rules = append(g.Rules, blockTree(r.loader, b.Body))
		}
		g.Aggregated = len(x.Body.nested("aggregation_rule")) > 0
		for _, left := range []string{"role_ref", "subject", "rule"} {
			if c := x.ignores(left); c != nil {
				g.More = append(g.More, *c)
			}
		}
		out = append(out, g)
	}
	return out
}

// Grants returns the roles that the state holds, and their bindings, by address, as
// [Grants] does those of a configuration; r tells to which clusters its providers lead.
// What the state hides of one is not known. What is to be destroyed is not among them; those
// that releases are given are, see [HelmRelease.Grants].
func (s *State) Grants(file string, r *Result) []Grant {
	var out []Grant
	for _, x := range s.Resources {
		if x.Mode != "managed" || x.Deposed || x.Object == nil || x.Type == "kubernetes_annotations" && x.Object.Kind != "" {
			continue // the last says something of an object that another makes
		}
		w := x.Workload(file)
		if w == nil && (isGrant(x.Object.Kind) || x.Object.Kind == "" && x.Object.anyKind) {
			what := "what " + x.Address + " is"
			w = &Workload{Address: x.Address, Resource: x.resource(file), Position: Position{File: file}}
			w.Object = &Node{Kind: Unknown, Causes: []Cause{{Kind: CauseState, Name: what, Position: w.Position}}}
			w.Provider = w.Resource.Provider
			w.fromObject()
			if x.Object.Kind != "" {
				w.Kind = &Node{Kind: Scalar, Scalar: x.Object.Kind}
			}
		}
		if w == nil {
			continue
		}
		if g, ok := w.grant(r.Cluster(w.Provider)); ok {
			g.State = x
			out = append(out, g)
		}
	}
	for _, h := range s.HelmReleases(file) {
		out = append(out, h.Grants(r.Cluster(h.Provider))...)
	}
	return out
}

// rbacGroup is the API group of roles and bindings.
const rbacGroup = "rbac.authorization.k8s.io"

// grant is a role or binding that is declared as a manifest; ok is false of any other
// object.
func (w *Workload) grant(of Cluster) (g Grant, ok bool) {
	g = Grant{Address: w.Address, What: w.Kind, Cluster: of, Unknown: w.Unknown, Position: w.Position}
	kind, known := w.Kind.Str()
	version, versionKnown := w.Object.Lookup("apiVersion").Str()
	switch {
	case w.Kind == nil || w.Object == nil, known && !isGrant(kind), versionKnown && !strings.HasPrefix(version, rbacGroup+"/"):
		return g, false
	case !known && !versionKnown && w.Object.Kind == Map && w.Object.Lookup("spec") != nil && w.Object.Lookup("spec").Kind == Map:
		return g, false // no role or binding has one
	}
	g.Kind, g.Name, g.Namespace = kind, w.Name, w.Namespace
	g.RoleKind, g.RoleName = w.Object.Lookup("roleRef", "kind"), w.Object.Lookup("roleRef", "name")
	// each is what it says of the elements of a list.
	each := func(list *Node, element func(*Node)) {
		switch {
		case list == nil || list.Kind == Scalar && list.Scalar == nil:
		case list.Kind == List:
			for _, e := range list.List {
				element(e)
			}
		case len(list.Causes) > 0:
			g.More = append(g.More, list.Causes...)
		default:
			g.More = append(g.More, Cause{Kind: CauseSensitive, Name: "what " + w.Address + " holds", Position: w.Position})
		}
	}
	each(w.Object.Lookup("subjects"), func(s *Node) {
		g.Subjects = append(g.Subjects, Subject{s.Lookup("kind"), s.Lookup("name"), s.Lookup("namespace")})
	})
	each(w.Object.Lookup("rules"), func(rule *Node) { g.Rules = append(g.Rules, rule.tree()) })
	g.Aggregated = w.Object.Lookup("aggregationRule") != nil
	for _, l := range w.Leaves() { // what the cluster has of it counts
		if len(l.Path) == 0 || slices.Contains([]string{"roleRef", "subjects", "rules", "aggregationRule"}, l.Path[0]) {
			g.More = append(g.More, l.Cause)
		}
	}
	return g, true
}
