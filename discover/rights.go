package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/pager"
)

// rights are the bindings and roles of a whole cluster, read once.
type rights struct {
	// unknown names what could not be read; then no agent's rights are known.
	unknown             string
	clusterRoleBindings []rbacv1.ClusterRoleBinding
	roleBindings        []rbacv1.RoleBinding
	clusterRoles        map[string]*rbacv1.ClusterRole
	roles               map[string]*rbacv1.Role // "namespace/name"
	// several names, by roleKey, what manifests define in more than one way, and elsewhere
	// the roles that only manifests of another environment define, with their places.
	several map[string]bool
	// harmless tells, by roleKey, whether all roles of a name among manifests change nothing.
	harmless  map[string]bool
	elsewhere map[string]string
	// given are the objects among manifests that give a chart bindings.
	given []givenToChart
	// rewritten says, by roleKey, of roles and bindings among manifests why what they give is not known.
	rewritten map[string]string
	// perhaps are the bindings of manifests of which it is not known that they are in this
	// cluster, and places say where each stands, by roleKey.
	perhaps *rights
	places  map[string][]string
	// named tells whom the bindings name, once all are read.
	named *subjects
	once  sync.Once
}

// errUnreadable says that a right to read was missing; the finding is made
// where the error arises.
var errUnreadable = errors.New("not allowed to read")

func (w *witness) readRights(ctx context.Context) (*rights, error) {
	r := &rights{clusterRoles: map[string]*rbacv1.ClusterRole{}, roles: map[string]*rbacv1.Role{}}
	api := w.kube.RbacV1()
	const unknown = "the rights of every agent's account"
	err := errors.Join(
		each(ctx, w, "clusterrolebindings", "", unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return api.ClusterRoleBindings().List(ctx, o)
		}, func(b *rbacv1.ClusterRoleBinding) { r.clusterRoleBindings = append(r.clusterRoleBindings, *b) }),
		each(ctx, w, "rolebindings", "", unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return api.RoleBindings("").List(ctx, o)
		}, func(b *rbacv1.RoleBinding) { r.roleBindings = append(r.roleBindings, *b) }),
		each(ctx, w, "clusterroles", "", unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return api.ClusterRoles().List(ctx, o)
		}, func(c *rbacv1.ClusterRole) { r.clusterRoles[c.Name] = c }),
		each(ctx, w, "roles", "", unknown, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return api.Roles("").List(ctx, o)
		}, func(c *rbacv1.Role) { r.roles[c.Namespace+"/"+c.Name] = c }),
	)
	if errors.Is(err, errUnreadable) {
		r.unknown, err = err.Error(), onlyReal(err)
	}
	return r, err
}

// onlyReal drops the errors that have become findings.
func onlyReal(err error) error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		if errors.Is(err, errUnreadable) {
			return nil
		}
		return err
	}
	var real []error
	for _, e := range joined.Unwrap() {
		if !errors.Is(e, errUnreadable) {
			real = append(real, e)
		}
	}
	return errors.Join(real...)
}

// each lists a resource page by page. Where that is forbidden it records a
// finding that says what is unknown thereby, and returns errUnreadable.
func each[T runtime.Object](ctx context.Context, w *witness, resource, namespace, unknown string, page pager.ListPageFunc, visit func(T)) error {
	err := list(ctx, w, resource, page, visit)
	if isForbidden(err) {
		w.forbidden("list", resource, namespace, "", unknown)
		return fmt.Errorf("%w %s", errUnreadable, resource)
	}
	return err
}

// neededLimit bounds a question whose answer discovery cannot do without: longer than an API server takes by
// its own default, since one that is slow is better than none.
const neededLimit = 5 * time.Minute

// errNoAnswer says that such a question got no answer.
var errNoAnswer = errors.New("no answer")

// list lists a resource that discovery cannot do without, page by page.
func list[T runtime.Object](ctx context.Context, w *witness, resource string, page pager.ListPageFunc, visit func(T)) error {
	return pages(ctx, resource, metav1.ListOptions{}, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		limited, cancel := context.WithTimeout(ctx, neededLimit)
		defer cancel()
		defer w.awaiting(resource).Stop()
		answer, err := cluster.Ask(limited, func() (runtime.Object, error) { return page(limited, o) })
		var status apierrors.APIStatus
		if err != nil && limited.Err() != nil && ctx.Err() == nil && !errors.As(err, &status) {
			err = fmt.Errorf("%w within %s", errNoAnswer, neededLimit)
		}
		return answer, err
	}, visit)
}

// askPatiently asks for what discovery can do without.
func askPatiently[T any](ctx context.Context, w *witness, resource string, question func(context.Context) (T, error)) (T, error) {
	p := w.patience
	if slices.Contains(w.opts.Down, resource) {
		p = cluster.Impatience()
	}
	first := w.awaiting(resource) // the patience says what is asked again
	return cluster.AskPatiently(ctx, p, resource, func(ctx context.Context) (T, error) {
		defer first.Stop()
		return question(ctx)
	})
}

// listPatiently is list for what discovery can do without.
func listPatiently[T runtime.Object](ctx context.Context, w *witness, resource string, o metav1.ListOptions, page pager.ListPageFunc, visit func(T)) error {
	return pages(ctx, resource, o, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return askPatiently(ctx, w, resource, func(ctx context.Context) (runtime.Object, error) { return page(ctx, o) })
	}, visit)
}

// pages visits what a resource's pages hold.
func pages[T runtime.Object](ctx context.Context, resource string, options metav1.ListOptions, page pager.ListPageFunc, visit func(T)) error {
	p := pager.New(page)
	p.PageSize, p.PageBufferSize = pageSize, 1 // several kinds are listed at a time
	err := p.EachListItem(ctx, options, func(o runtime.Object) error {
		item, ok := o.(T)
		if !ok {
			return fmt.Errorf("the server sent a %T", o)
		}
		visit(item)
		return nil
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", resource, err)
	}
	return nil
}

// groupsOf are the groups that the API server puts a ServiceAccount in.
func groupsOf(namespace string) []string {
	return []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
}

// bindingSubject reports whether subjects name the account, and through which
// group, if not by itself.
func bindingSubject(subjects []rbacv1.Subject, bindingNamespace, namespace, account string) (group string, ok bool) {
	for _, s := range subjects {
		ns := s.Namespace
		if ns == "" {
			ns = bindingNamespace
		}
		if s.Kind == rbacv1.ServiceAccountKind && ns == namespace && s.Name == account ||
			s.Kind == rbacv1.UserKind && s.Name == userPrefix(namespace)+account {
			return "", true
		}
	}
	for _, s := range subjects {
		if s.Kind == rbacv1.GroupKind && slices.Contains(groupsOf(namespace), s.Name) {
			return s.Name, true
		}
	}
	return "", false
}

// subjects tells where bindings name accounts, users and groups: each cluster may have many of all.
type subjects struct {
	accounts      map[account][]naming
	users, groups map[string][]naming
}

type account struct{ namespace, name string }

// naming is a subject of a binding, by their numbers; those of a cluster come before those of namespaces.
type naming struct{ binding, subject int }

// subjects tells where the bindings name whom.
func (r *rights) subjects() *subjects {
	r.once.Do(func() {
		s := &subjects{accounts: map[account][]naming{}, users: map[string][]naming{}, groups: map[string][]naming{}}
		add := func(binding int, namespace string, subjects []rbacv1.Subject) {
			for i, subject := range subjects {
				switch subject.Kind {
				case rbacv1.ServiceAccountKind:
					nameOnce(s.accounts, account{cmp.Or(subject.Namespace, namespace), subject.Name}, naming{binding, i})
				case rbacv1.UserKind:
					nameOnce(s.users, subject.Name, naming{binding, i})
				case rbacv1.GroupKind:
					nameOnce(s.groups, subject.Name, naming{binding, i})
				}
			}
		}
		for i, b := range r.clusterRoleBindings {
			add(i, "", b.Subjects)
		}
		for i, b := range r.roleBindings {
			add(len(r.clusterRoleBindings)+i, b.Namespace, b.Subjects)
		}
		r.named = s
	})
	return r.named
}

// nameOnce adds the first subject of a binding that names somebody.
func nameOnce[K comparable](to map[K][]naming, whom K, n naming) {
	if is := to[whom]; len(is) == 0 || is[len(is)-1].binding != n.binding {
		to[whom] = append(is, n)
	}
}

// userPrefix begins the name by which the API server knows an account of a namespace.
func userPrefix(namespace string) string { return "system:serviceaccount:" + namespace + ":" }

// of gives the bindings that hold for an account, sorted by namespace and
// name. owned reports whether an object belongs to the agent's release.
func (r *rights) of(namespace, name string, owned func(kind, namespace, name string, meta metav1.ObjectMeta) bool) []migrate.Binding {
	return r.by(namespace, name, groupsOf(namespace), owned)
}

// bound are the numbers of the bindings of an account itself and of groups, with the group that a binding names
// first; none where it names the account.
func (r *rights) bound(namespace, name string, groups []string) map[int]string {
	named := r.subjects()
	through, first := map[int]string{}, map[int]int{}
	for _, group := range groups {
		for _, n := range named.groups[group] {
			if at, ok := first[n.binding]; !ok || n.subject < at {
				through[n.binding], first[n.binding] = group, n.subject
			}
		}
	}
	for _, n := range slices.Concat(named.accounts[account{namespace, name}], named.users[userPrefix(namespace)+name]) {
		through[n.binding] = ""
	}
	return through
}

// by gives the bindings of an account itself and of groups.
func (r *rights) by(namespace, name string, groups []string, owned func(kind, namespace, name string, meta metav1.ObjectMeta) bool) []migrate.Binding {
	through := r.bound(namespace, name, groups)
	var bindings []migrate.Binding
	fill := func(b migrate.Binding, ref rbacv1.RoleRef) {
		b.Role = ref
		if ref.Kind == "ClusterRole" {
			if role := r.clusterRoles[ref.Name]; role != nil {
				b.Rules, b.Aggregated = role.Rules, role.AggregationRule != nil
				b.ReleaseOwned = owned("ClusterRole", "", ref.Name, role.ObjectMeta)
			}
		} else if role := r.roles[b.Namespace+"/"+ref.Name]; role != nil {
			b.Rules = role.Rules
			b.ReleaseOwned = owned("Role", b.Namespace, ref.Name, role.ObjectMeta)
		}
		bindings = append(bindings, b)
	}
	for _, i := range slices.Sorted(maps.Keys(through)) {
		if i < len(r.clusterRoleBindings) {
			b := &r.clusterRoleBindings[i]
			fill(migrate.Binding{Name: b.Name, Group: through[i]}, b.RoleRef)
		} else {
			b := &r.roleBindings[i-len(r.clusterRoleBindings)]
			fill(migrate.Binding{Namespace: b.Namespace, Name: b.Name, Group: through[i]}, b.RoleRef)
		}
	}
	slices.SortFunc(bindings, func(a, b migrate.Binding) int {
		return strings.Compare(a.Namespace+"\x00"+a.Name, b.Namespace+"\x00"+b.Name)
	})
	return bindings
}

// home gives the bindings for accounts of a namespace that a plan will make:
// those of the group of all its accounts, and those that name one of them. What
// fluxover made itself is left out.
func (r *rights) home(namespace string) []migrate.HomeBinding {
	var out []migrate.HomeBinding
	add := func(name string, groups []string, through string) {
		for _, b := range r.by(namespace, name, groups, func(string, string, string, metav1.ObjectMeta) bool { return false }) {
			if b.Group == through && !strings.HasPrefix(b.Name, "fluxover:") {
				out = append(out, migrate.HomeBinding{Binding: b, Account: name})
			}
		}
	}
	add("", groupsOf(namespace), "system:serviceaccounts:"+namespace)
	named, accounts := r.subjects(), map[string]bool{}
	for user := range named.users {
		if name, ok := strings.CutPrefix(user, userPrefix(namespace)); ok {
			accounts[name] = true
		}
	}
	for account := range named.accounts {
		if account.namespace == namespace {
			accounts[account.name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(accounts)) {
		add(name, nil, "")
	}
	return out
}

// ofEverybody reports whether a group is one that the account of every agent is in.
func ofEverybody(group string) bool {
	return group == "system:authenticated" || group == "system:serviceaccounts"
}

// confinement sums bindings up. Bindings of groups that every account is in
// say nothing about this one where they let nobody change anything.
func confinement(bindings []migrate.Binding) migrate.Confinement {
	var namespaces []string
	wide, any := false, false
	for _, b := range bindings {
		if b.Namespace == "" && slices.ContainsFunc(b.Rules, everything) {
			return migrate.Confinement{Kind: "cluster-admin"}
		}
		if len(b.Rules) == 0 || ofEverybody(b.Group) && changesNothing(b.Rules) {
			continue
		}
		any = true
		switch {
		case b.Namespace == "" && !onlyLooksAround(b.Rules):
			wide = true
		case b.Namespace != "":
			namespaces = append(namespaces, b.Namespace)
		}
	}
	slices.Sort(namespaces)
	namespaces = slices.Compact(namespaces)
	switch {
	case wide:
		return migrate.Confinement{Kind: "custom", Namespaces: namespaces}
	case len(namespaces) > 0:
		return migrate.Confinement{Kind: "namespaces", Namespaces: namespaces}
	case any:
		return migrate.Confinement{Kind: "custom"}
	}
	return migrate.Confinement{Kind: "none"}
}

// changesNothing reports whether rules let nobody change any object: they read, ask what
// the asker may do, as each cluster lets everybody, use a PodSecurityPolicy, or speak with a
// Service (as sealed-secrets lets everybody with its own).
func changesNothing(rules []rbacv1.PolicyRule) bool {
	within := func(list []string, of ...string) bool {
		return len(list) > 0 && !slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(of, s) })
	}
	return !slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return !within(r.Verbs, "get", "list", "watch") && !within(r.APIGroups, "authorization.k8s.io", "authentication.k8s.io") &&
			!within(r.Resources, "podsecuritypolicies", "services/proxy") && len(r.NonResourceURLs) == 0
	})
}

func everything(rule rbacv1.PolicyRule) bool {
	return slices.Contains(rule.Verbs, "*") && slices.Contains(rule.APIGroups, "*") && slices.Contains(rule.Resources, "*") &&
		len(rule.ResourceNames) == 0
}

// rulesOfClusterAdmin are those of the ClusterRole cluster-admin of every cluster.
func rulesOfClusterAdmin() []rbacv1.PolicyRule {
	all := []string{"*"}
	return []rbacv1.PolicyRule{{Verbs: all, APIGroups: all, Resources: all}, {Verbs: all, NonResourceURLs: all}}
}

// onlyLooksAround reports whether cluster-wide rules are no more than what the
// chart gives a confined agent: to see which kinds and namespaces there are, and
// to use a PodSecurityPolicy, which no Kubernetes has since 1.25 (flux:
// chart/flux/templates/rbac-role.yaml, psp.yaml).
func onlyLooksAround(rules []rbacv1.PolicyRule) bool {
	for _, rule := range rules {
		policies := slices.Equal(rule.Resources, []string{"podsecuritypolicies"})
		for _, verb := range rule.Verbs {
			if !slices.Contains([]string{"get", "list", "watch"}, verb) && !(policies && verb == "use") {
				return false
			}
		}
		if policies {
			continue
		}
		for _, resource := range rule.Resources {
			if resource != "namespaces" && resource != "customresourcedefinitions" {
				return false
			}
		}
	}
	return true
}
