package discover

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// Grants are the roles and bindings that [Terraform] found, for agents that others declare.
type Grants struct {
	list []granted
	// cluster is that of the agents that Terraform declares.
	cluster terraform.Cluster
}

// rightsAcross adds to what agents may do, who were found without a cluster, what binds
// their accounts elsewhere: in Terraform, those that it does not declare, and in what
// another agent applies from its repository, all. What an agent applies itself counts
// not: an API server lets nobody give himself more than he has, but who may bind or escalate.
func (w *witness) rightsAcross(found []*agent, grants *Grants) {
	byAgent := map[*agent]*rights{}
	for _, a := range found {
		var its []flux1.Parsed
		for _, o := range a.Objects {
			if applies(o) && o.Manifest != nil && mayGiveRights(o.Manifest) {
				its = append(its, flux1.Parsed{File: o.File, Line: o.Line, Manifest: o.Manifest})
			}
		}
		if len(its) > 0 {
			byAgent[a] = rightsIn(its, nil, a.DefaultNamespace)
		}
	}
	for _, a := range found {
		if a.Terraform == nil && grants != nil {
			d := &declared{Flux1Agent: a.Flux1Agent, cluster: grants.cluster, grants: grants.list}
			d.setGranted()
			a.Rights, a.Confinement, a.Unknown = d.Rights, d.Confinement, d.Unknown
			w.find(d.reported()...)
		}
		for _, other := range found {
			if r := byAgent[other]; r != nil && (other != a || mayEscalate(a.Rights)) && a.Namespace != "" && a.ServiceAccount != "" {
				w.boundBy(a, other, r)
			}
		}
	}
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
