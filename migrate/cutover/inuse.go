package cutover

import (
	"context"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// allKustomizations are those of all namespaces; none where the cluster does
// not serve the kind.
func (s store) allKustomizations(ctx context.Context) ([]*unstructured.Unstructured, error) {
	list, err := s.c.Dynamic.Resource(kustomizationKind.GroupVersion().WithResource("kustomizations")).List(ctx, metav1.ListOptions{})
	if cluster.IsGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the Kustomizations of all namespaces: %w", err)
	}
	out := make([]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		out[i] = &list.Items[i]
	}
	return out, nil
}

// usedBy lists the control objects that a Repository uses, as its live
// Kustomizations refer to them. It serves where no journal tells.
func (s store) usedBy(ctx context.Context, id string) ([]created, error) {
	all, err := s.allKustomizations(ctx)
	if err != nil {
		return nil, err
	}
	var out []created
	add := func(apiVersion, kind, namespace, name string) {
		c := created{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name}
		if name != "" && !slices.ContainsFunc(out, func(o created) bool { return o.key() == c.key() }) {
			out = append(out, c)
		}
	}
	text := func(u *unstructured.Unstructured, path ...string) string {
		value, _, _ := unstructured.NestedString(u.Object, path...)
		return value
	}
	accounts := map[[2]string]bool{}
	for _, k := range all {
		if k.GetAnnotations()[migrate.AnnotationRepository] != id {
			continue
		}
		ns := k.GetNamespace()
		add(k.GetAPIVersion(), k.GetKind(), ns, k.GetName())
		add("v1", "Secret", ns, text(k, "spec", "decryption", "secretRef", "name"))
		if account := text(k, "spec", "serviceAccountName"); account != "" {
			add("v1", "ServiceAccount", ns, account)
			accounts[[2]string{ns, account}] = true
		}
		ref := sourceOf(k)
		if ref.Kind != sourceKind.Kind {
			continue
		}
		add(sourceKind.GroupVersion().String(), sourceKind.Kind, ref.Namespace, ref.Name)
		source, err := s.c.Get(ctx, sourceKind, ref.Namespace, ref.Name)
		if cluster.IsGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		add("v1", "Secret", ref.Namespace, text(source, "spec", "secretRef", "name"))
	}
	if len(accounts) == 0 {
		return out, nil
	}
	bound := func(subjects []rbacv1.Subject, namespace string) bool {
		return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
			ns := s.Namespace
			if ns == "" {
				ns = namespace
			}
			return s.Kind == rbacv1.ServiceAccountKind && accounts[[2]string{ns, s.Name}]
		})
	}
	rbac, managed := s.c.Kube.RbacV1(), metav1.ListOptions{LabelSelector: migrate.LabelManaged}
	wide, err := rbac.ClusterRoleBindings().List(ctx, managed)
	if err != nil {
		return nil, fmt.Errorf("list ClusterRoleBindings: %w", err)
	}
	for _, b := range wide.Items {
		if bound(b.Subjects, "") {
			add(rbacv1.SchemeGroupVersion.String(), "ClusterRoleBinding", "", b.Name)
			add(rbacv1.SchemeGroupVersion.String(), b.RoleRef.Kind, "", b.RoleRef.Name)
		}
	}
	narrow, err := rbac.RoleBindings(metav1.NamespaceAll).List(ctx, managed)
	if err != nil {
		return nil, fmt.Errorf("list RoleBindings: %w", err)
	}
	for _, b := range narrow.Items {
		if bound(b.Subjects, b.Namespace) {
			add(rbacv1.SchemeGroupVersion.String(), "RoleBinding", b.Namespace, b.Name)
			ns := b.Namespace
			if b.RoleRef.Kind == "ClusterRole" {
				ns = ""
			}
			add(rbacv1.SchemeGroupVersion.String(), b.RoleRef.Kind, ns, b.RoleRef.Name)
		}
	}
	return out, nil
}

// sourceRef is what a Kustomization reads.
type sourceRef struct{ Kind, Namespace, Name string }

func sourceOf(k *unstructured.Unstructured) sourceRef {
	text := func(field string) string {
		value, _, _ := unstructured.NestedString(k.Object, "spec", "sourceRef", field)
		return value
	}
	ref := sourceRef{Kind: text("kind"), Namespace: text("namespace"), Name: text("name")}
	if ref.Namespace == "" {
		ref.Namespace = k.GetNamespace()
	}
	return ref
}
