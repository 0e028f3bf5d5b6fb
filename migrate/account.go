package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// account makes the ServiceAccount under which the repository's objects are
// applied, with bindings equal to those of the old agent's account and never
// wider. Roles that the old Helm release owns are copied, since they go with
// it; others are bound as they are. What the old one may change in the whole cluster
// is given in the namespaces that its agent keeps to, where they do.
func (b *repositoryBuilder) account() []*unstructured.Unstructured {
	out := []*unstructured.Unstructured{manifest(&corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: b.meta(ObjectRef{Namespace: AgentNamespace, Name: b.name}),
	})}
	subject := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: AgentNamespace, Name: b.name}
	made, keptTo, narrower := map[string]bool{}, b.keptTo(), false
	for _, bind := range b.agent.Rights {
		if everybody(bind.Group) {
			continue // the new account is a member as well
		}
		role := bind.Role
		if bind.ReleaseOwned {
			role.Name = b.roleName(bind.Role.Name)
			ref := ObjectRef{Name: role.Name}
			if role.Kind == "Role" {
				ref.Namespace = bind.Namespace
			}
			if key := role.Kind + "/" + ref.Namespace + "/" + ref.Name; !made[key] {
				made[key] = true
				out = append(out, b.role(role.Kind, ref, bind.Rules))
			}
		}
		if bind.Namespace == "" && len(keptTo) > 0 && changesThings(bind.Rules) {
			narrower = true
			for _, ns := range keptTo {
				out = append(out, b.bound(ObjectRef{Namespace: ns, Name: b.roleName(NarrowerBinding + bind.Name)}, role, subject))
			}
			continue
		}
		out = append(out, b.bound(ObjectRef{Namespace: bind.Namespace, Name: b.roleName(bind.Name)}, role, subject))
	}
	if narrower {
		b.find(Finding{
			Severity: Warning, Code: "CLUSTER_SCOPE_LOST",
			Message: fmt.Sprintf("the new account may change nothing outside of %s, to which the agent keeps by itself: a later commit with an object in no namespace fails its Kustomization", strings.Join(keptTo, ", ")),
			Hint:    "bind the new account to what such an object needs before one is committed",
		})
	}
	b.confinementFindings()
	return out
}

// bound binds a role in a namespace, or in the whole cluster.
func (b *repositoryBuilder) bound(ref ObjectRef, role rbacv1.RoleRef, subject rbacv1.Subject) *unstructured.Unstructured {
	if ref.Namespace == "" {
		return manifest(&rbacv1.ClusterRoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
			ObjectMeta: b.meta(ref), RoleRef: role, Subjects: []rbacv1.Subject{subject},
		})
	}
	return manifest(&rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
		ObjectMeta: b.meta(ref), RoleRef: role, Subjects: []rbacv1.Subject{subject},
	})
}

// keptTo are the namespaces in which the new account gets what the old one may change
// in the whole cluster: fluxd keeps to them by itself (--k8s-allow-namespace), as no
// Kustomization does. None if that would not do: fluxd applies whatever is in no
// namespace, but for a Namespace that is not of the list (flux:
// pkg/cluster/kubernetes/kubernetes.go); what is not there cannot be bound in, nor can
// what a cluster that is built again gets from this repository alone; and none if others
// let the new account do everything all the same.
func (b *repositoryBuilder) keptTo() []string {
	allowed := b.agent.AllowedNamespaces
	scoped := slices.ContainsFunc(b.needed(), func(n ScopedKinds) bool { return n.Namespace == "" }) ||
		slices.ContainsFunc(b.agent.Objects, func(o Object) bool { return o.NamespaceUnknown && applies(&o) })
	if scoped || b.adminAnyway() || len(b.there) > 0 && slices.ContainsFunc(allowed, func(ns string) bool { return !slices.Contains(b.there, ns) }) {
		return nil
	}
	return allowed
}

// adminAnyway reports whether the new account may do everything whatever it is bound to:
// as a member of a group, or since somebody bound it in advance.
func (b *repositoryBuilder) adminAnyway() bool {
	all := func(bind Binding) bool {
		return bind.Namespace == "" && slices.ContainsFunc(bind.Rules, func(r rbacv1.PolicyRule) bool {
			return slices.Contains(r.Verbs, "*") && slices.Contains(r.APIGroups, "*") && slices.Contains(r.Resources, "*") && len(r.ResourceNames) == 0
		})
	}
	return slices.ContainsFunc(b.agent.Rights, func(bind Binding) bool { return everybody(bind.Group) && all(bind) }) ||
		slices.ContainsFunc(b.home, func(h HomeBinding) bool { return (h.Account == "" || h.Account == b.name) && all(h.Binding) })
}

// changesThings reports whether rules let more than look.
func changesThings(rules []rbacv1.PolicyRule) bool {
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return slices.ContainsFunc(r.Verbs, func(v string) bool { return !slices.Contains([]string{"get", "list", "watch", "use"}, v) })
	})
}

// NarrowerBinding begins the names of bindings that stand in a namespace for one in
// the whole cluster, before the name of that one.
const NarrowerBinding = "ClusterRoleBinding:"

// roleName names a copy of a role or binding. Colons, which names of RBAC
// objects may hold and others may not, keep the parts apart.
func (b *repositoryBuilder) roleName(of string) string { return "fluxover:" + b.name + ":" + of }

func (b *repositoryBuilder) role(kind string, ref ObjectRef, rules []rbacv1.PolicyRule) *unstructured.Unstructured {
	if kind == "Role" {
		return manifest(&rbacv1.Role{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: kind},
			ObjectMeta: b.meta(ref), Rules: rules,
		})
	}
	return manifest(&rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: b.meta(ref), Rules: rules,
	})
}

// confinementFindings asks for a decision where an agent may do everything,
// and says what would be enough.
func (b *repositoryBuilder) confinementFindings() {
	switch b.agent.Confinement.Kind {
	case "cluster-admin":
		if len(b.keptTo()) > 0 {
			return
		}
		needs := b.needsText()
		if allowed := b.agent.AllowedNamespaces; len(allowed) > 0 {
			needs = fmt.Sprintf("today it keeps to %s by itself (--k8s-allow-namespace), as nothing would afterwards; %s", strings.Join(allowed, ", "), needs)
		}
		b.find(Finding{
			Severity: Blocker, Code: "CLUSTER_ADMIN", Acceptable: true,
			Message: "the agent may do everything in the cluster, and its new account would too; " + needs,
			Hint:    "confine the old agent first, or accept it, one by one or CLUSTER_ADMIN=* for all",
		})
	case "none":
		b.find(Finding{
			Severity: Blocker, Code: "NO_RIGHTS", Message: fmt.Sprintf("no binding names the agent's account %s/%s, so nothing it applies would be allowed", b.agent.Namespace, b.agent.ServiceAccount),
			Hint: noRightsRemedy,
		})
	}
}

// needsText says what the repository's objects need of an account, in a clause.
func (b *repositoryBuilder) needsText() string {
	var namespaces, cluster []string
	for _, n := range b.needed() {
		if n.Namespace == "" {
			cluster = n.Kinds
		} else {
			namespaces = append(namespaces, n.Namespace)
		}
	}
	var parts []string
	switch {
	case len(namespaces) == 1:
		parts = append(parts, "namespace "+namespaces[0])
	case len(namespaces) > 1:
		parts = append(parts, "namespaces "+strings.Join(namespaces, ", "))
	}
	unknown, homeless := map[string]bool{}, map[string]bool{}
	for i := range b.agent.Objects {
		o := &b.agent.Objects[i]
		if o.Manifest == nil {
			continue
		}
		switch kind := o.Manifest.GroupVersionKind().GroupKind().String(); {
		case o.ScopeUnknown:
			unknown[kind] = true
		case o.NamespaceUnknown && applies(o):
			homeless[kind] = true
		}
	}
	if len(homeless) > 0 {
		parts = append(parts, fmt.Sprintf("the agent's default namespace, which is not known (%s)", strings.Join(sortedKeys(homeless), ", ")))
	}
	cluster = slices.DeleteFunc(cluster, func(kind string) bool { return unknown[kind] })
	if len(cluster) > 0 {
		parts = append(parts, "cluster-scoped "+strings.Join(cluster, ", "))
	}
	if len(unknown) > 0 {
		parts = append(parts, strings.Join(sortedKeys(unknown), ", ")+", whose scope is not known,")
	}
	if len(parts) == 0 {
		return "what its objects need is not known, since none could be read"
	}
	return "its objects need only " + strings.TrimSuffix(strings.Join(parts, " and "), ",")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
