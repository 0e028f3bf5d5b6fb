package terraform

import (
	"context"
	"strings"
)

// Grant is a role, or a binding of one, that a configuration declares. A nil Node means
// that it does not say.
type Grant struct {
	Address         string
	Kind            string // ClusterRoleBinding, RoleBinding, ClusterRole or Role
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

// Grants returns the roles that a configuration declares, and their bindings, by address.
func Grants(ctx context.Context, r *Result) []Grant {
	var out []Grant
	for _, w := range Workloads(ctx, r) {
		kind, _ := w.Kind.Str()
		for _, k := range grantKinds {
			if k == kind {
				out = append(out, w.grant(r, kind))
			}
		}
	}
	defer r.during(ctx)()
	for _, x := range r.Resources {
		kind := grantKinds[strings.TrimSuffix(x.Type, "_v1")]
		if x.Mode != "managed" || kind == "" {
			continue
		}
		g := Grant{Address: x.Address, Kind: kind, Cluster: r.Cluster(x.Provider), Unknown: x.Unknown, Position: x.Position}
		for _, m := range x.Body.All("metadata") {
			g.Name, g.Namespace = m.Body.field(r.loader, "name"), m.Body.field(r.loader, "namespace")
		}
		for _, b := range x.Body.All("role_ref") {
			g.RoleKind, g.RoleName = b.Body.field(r.loader, "kind"), b.Body.field(r.loader, "name")
		}
		for _, b := range x.Body.All("subject") {
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
		for _, b := range x.Body.All("rule") {
			if len(b.Unknown) > 0 {
				g.More = append(g.More, b.Unknown...)
				continue
			}
			g.Rules = append(g.Rules, blockTree(r.loader, b.Body))
		}
		g.Aggregated = len(x.Body.All("aggregation_rule")) > 0
		for _, left := range []string{"role_ref", "subject", "rule"} {
			if c := x.ignores(left); c != nil {
				g.More = append(g.More, *c)
			}
		}
		out = append(out, g)
	}
	return out
}

// grant is a role or binding that is declared as a manifest.
func (w *Workload) grant(r *Result, kind string) Grant {
	g := Grant{
		Address: w.Address, Kind: kind, Name: w.Name, Namespace: w.Namespace, Cluster: r.Cluster(w.Provider), Unknown: w.Unknown, Position: w.Position,
		RoleKind: w.Object.Lookup("roleRef", "kind"), RoleName: w.Object.Lookup("roleRef", "name"),
	}
	if list := w.Object.Lookup("subjects"); list != nil && list.Kind == List {
		for _, s := range list.List {
			g.Subjects = append(g.Subjects, Subject{s.Lookup("kind"), s.Lookup("name"), s.Lookup("namespace")})
		}
	} else if list != nil {
		g.More = append(g.More, list.Causes...)
	}
	g.Aggregated = w.Object.Lookup("aggregationRule") != nil
	if list := w.Object.Lookup("rules"); list != nil && list.Kind == List {
		for _, rule := range list.List {
			g.Rules = append(g.Rules, rule.tree())
		}
	} else if list != nil {
		g.More = append(g.More, list.Causes...)
	}
	return g
}
