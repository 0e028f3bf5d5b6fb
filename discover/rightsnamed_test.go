package discover

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWhoIsBoundIsToldAsByALookAtEachSubject compares with a look at all subjects of all bindings.
func TestWhoIsBoundIsToldAsByALookAtEachSubject(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	names := []string{"", "a", "b", "a:b", "b:a"}
	own, grouped, atHome := 0, 0, 0
	for range 300 {
		r := &rights{clusterRoles: map[string]*rbacv1.ClusterRole{"x": {Rules: rulesOfClusterAdmin()}}, roles: map[string]*rbacv1.Role{"a/x": {Rules: rulesOfClusterAdmin()}}}
		subjects := func() (out []rbacv1.Subject) {
			for range random.IntN(5) {
				s := rbacv1.Subject{Kind: one("User", "Group", "ServiceAccount", "ServiceAccount", "Other"), Namespace: one(names...), Name: one(names...)}
				switch s.Kind {
				case "User":
					s.Name = one("", "system:serviceaccount:") + one(names...) + ":" + one(names...)
				case "Group":
					s.Name = one("system:serviceaccounts", "system:serviceaccounts:a", "system:serviceaccounts:", "system:authenticated", "x")
				}
				out = append(out, s)
			}
			return out
		}
		for i := range random.IntN(6) {
			name := one("", "fluxover:") + fmt.Sprint("c", i)
			r.clusterRoleBindings = append(r.clusterRoleBindings, rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects(), RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: one("x", "y")}})
		}
		for i := range random.IntN(6) { // several of a name are among manifests
			r.roleBindings = append(r.roleBindings, rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: one(names...), Name: fmt.Sprint("r", i/2)}, Subjects: subjects(), RoleRef: rbacv1.RoleRef{Kind: one("ClusterRole", "Role"), Name: "x"}})
		}
		owned := func(kind, namespace, name string, _ metav1.ObjectMeta) bool { return kind == "Role" }
		for _, namespace := range names {
			var home []migrate.HomeBinding
			accounts := map[string]bool{}
			for _, name := range names {
				got, want := r.of(namespace, name, owned), lookedAt(r, namespace, name, owned)
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("%q/%q: got %+v\nwant %+v\nof %+v\n%+v", namespace, name, got, want, r.clusterRoleBindings, r.roleBindings)
				}
				for _, b := range lookedAt(r, namespace, name, func(string, string, string, metav1.ObjectMeta) bool { return false }) {
					if b.Group == "" {
						own++
						accounts[name] = true
					} else {
						grouped++
					}
				}
			}
			note := func(subjects []rbacv1.Subject) { // users may have longer names
				for _, s := range subjects {
					if name, is := strings.CutPrefix(s.Name, "system:serviceaccount:"+namespace+":"); is && s.Kind == "User" {
						accounts[name] = true
					}
				}
			}
			add := func(name, through string) {
				for _, b := range lookedAt(r, namespace, name, func(string, string, string, metav1.ObjectMeta) bool { return false }) {
					if b.Group == through && !strings.HasPrefix(b.Name, "fluxover:") {
						home = append(home, migrate.HomeBinding{Binding: b, Account: name})
					}
				}
			}
			add("", "system:serviceaccounts:"+namespace)
			for _, b := range r.clusterRoleBindings {
				note(b.Subjects)
			}
			for _, b := range r.roleBindings {
				note(b.Subjects)
			}
			for _, name := range slices.Sorted(maps.Keys(accounts)) {
				add(name, "")
			}
			if got := r.home(namespace); !reflect.DeepEqual(got, home) {
				t.Fatalf("%q: got %+v\nwant %+v", namespace, got, home)
			}
			atHome += len(home)
		}
	}
	if own < 1000 || grouped < 1000 || atHome < 1000 {
		t.Errorf("%d by themselves, %d by groups, %d at home", own, grouped, atHome)
	}
}

// lookedAt is what rights.of gives.
func lookedAt(r *rights, namespace, name string, owned func(kind, namespace, name string, meta metav1.ObjectMeta) bool) []migrate.Binding {
	var out []migrate.Binding
	add := func(b migrate.Binding, subjects []rbacv1.Subject, ref rbacv1.RoleRef) {
		group, ok := bindingSubject(subjects, b.Namespace, namespace, name)
		if !ok {
			return
		}
		b.Group, b.Role = group, ref
		if role := r.clusterRoles[ref.Name]; ref.Kind == "ClusterRole" && role != nil {
			b.Rules, b.ReleaseOwned = role.Rules, owned("ClusterRole", "", ref.Name, role.ObjectMeta)
		}
		if role := r.roles[b.Namespace+"/"+ref.Name]; ref.Kind != "ClusterRole" && role != nil {
			b.Rules, b.ReleaseOwned = role.Rules, owned("Role", b.Namespace, ref.Name, role.ObjectMeta)
		}
		out = append(out, b)
	}
	for _, b := range r.clusterRoleBindings {
		add(migrate.Binding{Name: b.Name}, b.Subjects, b.RoleRef)
	}
	for _, b := range r.roleBindings {
		add(migrate.Binding{Namespace: b.Namespace, Name: b.Name}, b.Subjects, b.RoleRef)
	}
	slices.SortFunc(out, func(a, b migrate.Binding) int {
		return strings.Compare(a.Namespace+"\x00"+a.Name, b.Namespace+"\x00"+b.Name)
	})
	return out
}
