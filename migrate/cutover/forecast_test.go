package cutover

import (
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/google/go-cmp/cmp"

	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// An account that may do what kubectl apply does, and no more, can be asked what
// goes with the fields that people set; and is told what an update would tell.
func TestTheForecastAsksForNoMoreThanKubectlApplyNeeds(t *testing.T) {
	tm := newTeam(t)
	account := proof.Account{Namespace: tm.shop, Name: "narrow"}
	kube := tm.lab.c.Kube
	_, err := kube.RbacV1().Roles(tm.shop).Create(tm.ctx(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "narrow"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"", "apps"}, Resources: []string{"configmaps", "services", "deployments"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
	}}, metav1.CreateOptions{})
	tm.must(err)
	_, err = kube.RbacV1().RoleBindings(tm.shop).Create(tm.ctx(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "narrow"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "narrow"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: tm.shop, Name: "narrow"}}}, metav1.CreateOptions{})
	tm.must(err)
	world := proof.ClusterWorld(tm.lab.c)
	as, err := tm.lab.c.As(cluster.ServiceAccountUser(tm.shop, "narrow"), cluster.ServiceAccountGroups(tm.shop), nil)
	tm.must(err)
	everyone := func(c *cluster.Client, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		resource, err := c.Resource(u.GroupVersionKind(), u.GetNamespace())
		tm.must(err)
		return resource.Update(tm.ctx(), u, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: "kustomize-controller"})
	}
	forecast := 0
	for _, u := range tm.git["web"] {
		live, err := world.Live(tm.ctx(), u)
		tm.must(err)
		tried, err := world.DryRun(tm.ctx(), account, u)
		tm.must(err)
		left, gone, err := proof.Removals(live, tried)
		tm.must(err)
		if len(gone) == 0 {
			continue
		}
		forecast++
		after, err := world.DryRunChange(tm.ctx(), account, live, left)
		if err != nil {
			t.Errorf("%s: %v", u.GetKind(), err)
			continue
		}
		left.SetResourceVersion(live.GetResourceVersion())
		updated, err := everyone(tm.lab.c, left)
		tm.must(err)
		if _, err := everyone(as, left); !apierrors.IsForbidden(err) {
			t.Errorf("%s: the account may update, so that nothing is shown: %v", u.GetKind(), err)
		}
		for _, o := range []*unstructured.Unstructured{after, updated} {
			o.SetManagedFields(nil)
		}
		if d := cmp.Diff(updated.Object, after.Object); d != "" {
			t.Errorf("%s: an update gives, and the forecast:\n%s", u.GetKind(), d)
		}
		if u.GetKind() == "Deployment" {
			if !slices.Contains(gone, ".spec.minReadySeconds") {
				t.Errorf("what was set by hand is not among %q", gone)
			}
			// What the API server fills in again.
			if n, _, _ := unstructured.NestedInt64(after.Object, "spec", "revisionHistoryLimit"); n != 10 {
				t.Errorf("revisionHistoryLimit becomes %d", n)
			}
			if _, found, _ := unstructured.NestedFieldNoCopy(after.Object, "spec", "minReadySeconds"); found {
				t.Error("minReadySeconds stays")
			}
		}
		stale := live.DeepCopy()
		stale.SetResourceVersion("1")
		if _, err := world.DryRunChange(tm.ctx(), account, stale, left); !apierrors.IsConflict(err) {
			t.Errorf("%s: of another version: %v, want a conflict", u.GetKind(), err)
		}
	}
	if forecast < 2 {
		t.Errorf("only %d objects lose anything", forecast)
	}
}
