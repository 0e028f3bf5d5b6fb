package discover

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Grants are the roles and bindings that [Terraform] found, for agents that others declare.
type Grants struct {
	index *grantIndex
	// cluster is that of the agents that Terraform declares.
	cluster terraform.Cluster
}

// rightsAcross adds to what agents may do, who were found without a cluster, what binds
// their accounts elsewhere: in Terraform, those that it does not declare, and in what
// another agent applies from its repository, all. What an agent applies itself counts
// not: an API server lets nobody give himself more than he has, but who may bind or escalate;
// what it has another install does.
func (w *witness) rightsAcross(ctx context.Context, found []*agent, grants *Grants) {
	byAgent := map[*agent]*rights{}
	for _, a := range found {
		var its []flux1.Parsed
		for _, o := range a.Objects {
			if applies(o) && o.Manifest != nil && mayGiveRights(o.Manifest) {
				its = append(its, flux1.Parsed{File: o.File, Line: o.Line, Manifest: o.Manifest})
			}
		}
		if len(its) > 0 {
			if a.read != nil {
				byAgent[a] = a.read.rightsApplied(ctx, its)
			} else {
				byAgent[a] = rightsIn(its, nil, nil, a.DefaultNamespace, decoded{})
			}
		}
	}
	for _, a := range found {
		if a.Terraform == nil && grants != nil {
			d := &declared{Flux1Agent: a.Flux1Agent, cluster: grants.cluster, grants: grants.index}
			d.setGranted()
			a.Rights, a.Confinement, a.Unknown = d.Rights, d.Confinement, d.Unknown
			w.find(d.reported()...)
		}
		for _, other := range found {
			r := byAgent[other]
			if r == nil || a.Namespace == "" || a.ServiceAccount == "" {
				continue
			}
			if other == a && !mayEscalate(a.Rights) {
				r = &rights{given: r.given}
			}
			w.boundBy(a, other, r)
		}
	}
}

// rightsApplied are the rights that an agent gives by what it applies. A role counts that
// its repository declares elsewhere where the agent applies none of that name (see rightsOf).
func (r *reading) rightsApplied(ctx context.Context, applied []flux1.Parsed) *rights {
	if r.index == nil {
		return rightsIn(applied, nil, nil, r.agent.DefaultNamespace, decoded{})
	}
	var all []flux1.Parsed // with what charts take their values from
	for _, o := range r.agent.Objects {
		if applies(o) && o.Manifest != nil {
			all = append(all, flux1.Parsed{File: o.File, Line: o.Line, Manifest: o.Manifest})
		}
	}
	charts := r.search(nil).boundByCharts(ctx, []declaration{{objects: applied}}, func(declaration) []flux1.Parsed { return all })
	if !r.look(0) {
		return &rights{given: []givenToChart{{what: "what the repository of " + r.agent.ID + " declares is too much to be looked at,", more: true}}}
	}
	keyOf := func(u *unstructured.Unstructured, kind, name string) string {
		return roleKey(kind, cmp.Or(u.GetNamespace(), r.agent.DefaultNamespace, unknownNamespace), name)
	}
	missing := map[string][]string{} // roles, and the files that bind them
	for _, o := range applied {
		if b, ok := typed[rbacv1.RoleBinding](o.Manifest); ok && strings.HasSuffix(o.Manifest.GetKind(), "RoleBinding") {
			key := keyOf(o.Manifest, b.RoleRef.Kind, b.RoleRef.Name)
			missing[key] = append(missing[key], o.File)
		}
	}
	delete(missing, roleKey("ClusterRole", "", "cluster-admin")) // which each cluster has
	for _, o := range applied {
		delete(missing, keyOf(o.Manifest, o.Manifest.GetKind(), o.Manifest.GetName()))
	}
	if len(missing) == 0 {
		return rightsIn(applied, nil, charts, r.agent.DefaultNamespace, decoded{})
	}
	var roles []perhapsThere
	for _, set := range r.search(nil).declarations(ctx) {
		for _, o := range set.objects {
			if o.Manifest.GroupVersionKind().Group != rbacv1.GroupName {
				continue
			}
			if bound := missing[keyOf(o.Manifest, o.Manifest.GetKind(), o.Manifest.GetName())]; bound != nil {
				roles = append(roles, perhapsThere{o, !slices.ContainsFunc(bound, func(file string) bool { return !ofOtherEnvironment(o.File, file) })})
			}
		}
	}
	return rightsIn(applied, roles, charts, r.agent.DefaultNamespace, decoded{})
}

// mayEscalate reports whether some of the rights let an account bind roles that it does not
// have, or write into them what it may not do, in all of the cluster.
func mayEscalate(rights []migrate.Binding) bool {
	has := func(list []string, words ...string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return s == "*" || slices.Contains(words, s) })
	}
	return slices.ContainsFunc(rights, func(b migrate.Binding) bool {
		return b.Namespace == "" && slices.ContainsFunc(b.Rules, func(r rbacv1.PolicyRule) bool {
			return has(r.APIGroups, rbacv1.GroupName) && has(r.Verbs, "bind", "escalate")
		})
	})
}

// boundBy adds what another agent binds the account of one to.
func (w *witness) boundBy(a, other *agent, r *rights) {
	if a.Confinement.Kind == "cluster-admin" {
		return
	}
	more, untold := r.declaredFor(a.Namespace, a.ServiceAccount)
	told := untold == ""
	more = slices.DeleteFunc(more, func(b migrate.Binding) bool {
		return slices.ContainsFunc(a.Rights, func(had migrate.Binding) bool { return reflect.DeepEqual(had, b) })
	})
	if told && len(more) == 0 {
		return
	}
	all := append(slices.Clone(a.Rights), more...)
	unknown := slices.Contains(a.Unknown, "confinement")
	switch sum := confinement(all); {
	case sum.Kind == "cluster-admin": // whatever else there is
		a.Rights, a.Confinement = all, sum
		a.Unknown = slices.DeleteFunc(slices.Clone(a.Unknown), func(name string) bool { return name == "confinement" })
	case unknown: // it stays so
	case told:
		a.Rights, a.Confinement = all, sum
	default:
		a.Confinement = migrate.Confinement{}
		a.Unknown = append(slices.Clone(a.Unknown), "confinement")
		w.find(rightsNotKnown(a.ID, migrate.DisplayURL(other.Git.URL), fmt.Sprintf("the repository of %s binds it, and %s", other.ID, untold)))
	}
}
