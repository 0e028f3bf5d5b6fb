package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// right is what one request needs.
type right struct{ verb, group, resource, namespace string }

func (r right) String() string {
	s := r.verb + " " + r.resource
	if r.group != "" {
		s += "." + r.group
	}
	if r.namespace != "" {
		s += " in namespace " + r.namespace
	}
	return s
}

// rightsToMigrate are the rights without which a migration would stop half-way:
// to keep its state, to stage, and to fence. Those of the objects themselves
// were tried by the proof.
func rightsToMigrate(plan migrate.Plan) []right {
	var rights []right
	all := func(group, namespace string, resources []string, verbs ...string) {
		for _, resource := range resources {
			for _, verb := range verbs {
				rights = append(rights, right{verb, group, resource, namespace})
			}
		}
	}
	all("", "", []string{"namespaces"}, "create")
	all("coordination.k8s.io", migrate.StateNamespace, []string{"leases"}, "get", "create", "update")
	// Going back asks which Kustomizations apply an object, and, where the new
	// agent does not answer, whether it lives: of one that was found it is not
	// known where it runs.
	all("kustomize.toolkit.fluxcd.io", "", []string{"kustomizations"}, "list")
	home := plan.ClusterAgent.Namespace
	if plan.ClusterAgent.Engine == "existing" {
		home = ""
	} else {
		all("apps", home, []string{"deployments"}, "list")
	}
	all("", home, []string{"pods"}, "list")
	all("coordination.k8s.io", home, []string{"leases"}, "list")
	all("", migrate.StateNamespace, []string{"configmaps", "secrets"}, "list", "create", "update", "delete")
	all("", migrate.AgentNamespace, []string{"secrets", "serviceaccounts"}, "create", "patch", "delete")
	all("rbac.authorization.k8s.io", "", []string{"clusterroles", "clusterrolebindings"}, "create", "patch", "delete")
	all("source.toolkit.fluxcd.io", migrate.AgentNamespace, []string{"gitrepositories"}, "create", "patch", "delete")
	all("kustomize.toolkit.fluxcd.io", migrate.AgentNamespace, []string{"kustomizations"}, "create", "patch", "delete")
	all("admissionregistration.k8s.io", "", []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"}, "create", "patch", "delete")
	if plan.ClusterAgent.Engine != "existing" {
		all("apiextensions.k8s.io", "", []string{"customresourcedefinitions"}, "create")
		all("apps", migrate.AgentNamespace, []string{"deployments"}, "create")
	}
	var namespaces []string
	for _, r := range plan.Repositories {
		if ns, _, _ := strings.Cut(r.ID, "/"); !slices.Contains(namespaces, ns) {
			namespaces = append(namespaces, ns)
			all("apps", ns, []string{"deployments"}, "patch")
			all("", ns, []string{"serviceaccounts"}, "impersonate")
		}
	}
	return rights
}

// mayMigrate refuses a user who lacks a right that the migration will need,
// before anything is changed.
func mayMigrate(ctx context.Context, c *cluster.Client, plan migrate.Plan) error {
	rights := rightsToMigrate(plan)
	missing := make([]string, len(rights))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, r := range rights {
		g.Go(func() error {
			review, err := c.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: r.verb, Group: r.group, Resource: r.resource, Namespace: r.namespace,
				}},
			}, metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("ask what you may do: %w", err)
			}
			if !review.Status.Allowed {
				missing[i] = r.String()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	missing = slices.DeleteFunc(missing, func(s string) bool { return s == "" })
	if len(missing) == 0 {
		return nil
	}
	err := errors.New("you lack rights that a migration needs: " + strings.Join(shortened(missing, 6), ", "))
	return &exitError{Code: exitBlocked, Err: err, Hints: []string{"nothing has changed", "have them granted, or use an account that has them (--context, --as)"}}
}

// shortened keeps the first n items and says how many more there are.
func shortened(items []string, n int) []string {
	if len(items) <= n {
		return items
	}
	return append(slices.Clone(items[:n]), fmt.Sprintf("and %d more", len(items)-n))
}
