package proof

import (
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	cliobject "github.com/fluxcd/cli-utils/pkg/object"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// Marks by which an object tells Flux v2 how to treat it (kc:
// api/v1/kustomization_types.go). They may be labels or annotations, and the
// case of a value does not matter (pkg: ssa/utils/meta.go).
const (
	keyReconcile = "kustomize.toolkit.fluxcd.io/reconcile"
	keySSA       = "kustomize.toolkit.fluxcd.io/ssa"
	keyForce     = "kustomize.toolkit.fluxcd.io/force"
	keyPrune     = "kustomize.toolkit.fluxcd.io/prune"
)

// policy reports whether one of the objects, some of which may be nil, carries
// the mark with that value.
func policy(key, value string, objects ...*unstructured.Unstructured) bool {
	return slices.ContainsFunc(objects, func(u *unstructured.Unstructured) bool {
		return u != nil && (strings.EqualFold(u.GetLabels()[key], value) || strings.EqualFold(u.GetAnnotations()[key], value))
	})
}

// setAside reports whether a manifest tells Flux v2 to leave its object alone.
func setAside(u *unstructured.Unstructured) bool {
	return policy(keyReconcile, "disabled", u) || policy(keySSA, "Ignore", u)
}

// left says why Flux v2 leaves an object alone; empty if it does not (pkg:
// ssa/manager_apply.go).
func (p *prover) left(e *Evidence) string {
	for _, m := range []struct{ key, value string }{{keyReconcile, "disabled"}, {keySSA, "Ignore"}} {
		switch {
		case policy(m.key, m.value, e.New):
			return "its manifest says " + m.key + ": " + m.value
		case policy(m.key, m.value, e.Live):
			return "the live object says " + m.key + ": " + m.value
		}
	}
	if e.Live != nil && policy(keySSA, "IfNotPresent", e.New) {
		return "its manifest says " + keySSA + ": IfNotPresent, and it is there"
	}
	return ""
}

// otherOwners are marks that other tools leave on what they manage. Git may
// hold them too, in manifests that were exported: then they say nothing.
var otherOwners = []struct{ key, tool string }{
	{"meta.helm.sh/release-name", "Helm release"},
	{"helm.toolkit.fluxcd.io/name", "Flux v2 HelmRelease"},
	{"argocd.argoproj.io/tracking-id", "Argo CD application"},
	{"argocd.argoproj.io/instance", "Argo CD application"},
}

// owned reports whether a Kustomization other than the planned one holds the
// live object, which settles its verb, and finds other claims on it, which a
// person may know to be harmless.
func (p *prover) owned(o *migrate.ObjectPlan, old *migrate.Object, e *Evidence) bool {
	if e.Live == nil {
		return false
	}
	name, labels := migrate.DisplayID(o.ID), e.Live.GetLabels()
	owner, ns := labels[LabelOwnerName], labels[LabelOwnerNamespace]
	if owner != "" && (owner != o.Application || ns != migrate.AgentNamespace) {
		o.Verb, o.Why = migrate.Conflict, fmt.Sprintf("Kustomization %s/%s owns it", ns, owner)
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OBJECT_OWNED", Subject: o.ID, Where: where(old),
			Message: fmt.Sprintf("%s is already owned by Kustomization %s/%s", name, ns, owner),
			Hint:    "remove it from one of the two",
		})
		return true
	}
	for _, mark := range otherOwners {
		value := annotationOrLabel(e.Live, mark.key)
		if value == "" || annotationOrLabel(e.New, mark.key) != "" {
			continue
		}
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OTHER_OWNER", Subject: o.ID, Where: where(old), Acceptable: true,
			Message: fmt.Sprintf("%s is also managed by %s %s (%s), and two tools would fight over it", name, mark.tool, value, mark.key),
			Hint:    "remove it from one of the two; accept it if that tool is gone and only its mark is left",
		})
		break
	}
	if others := p.others[o.ID]; len(others) > 0 && !p.marked[o.ID] {
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OTHER_AGENT", Subject: o.ID, Where: where(old), Acceptable: true,
			Message: fmt.Sprintf("%s carries the mark of %s: that agent applied it last, not this one", name, strings.Join(others, " and ")),
			Hint:    "remove it from the repository of one of the two, and let the other sync",
		})
	}
	return false
}

// sparedSoFar finds an object that fluxd never deletes, since another object owns
// it (flux: pkg/cluster/kubernetes/sync.go), and that the new agent will delete.
func (p *prover) sparedSoFar(o *migrate.ObjectPlan, old *migrate.Object, e *Evidence) {
	if p.agent.Sync.GarbageCollection != migrate.CollectOn || !applies(old) || e.Live == nil || policy(keyPrune, "disabled", e.New, e.Live) {
		return
	}
	owners := e.Live.GetOwnerReferences()
	if len(owners) == 0 {
		return
	}
	p.find(migrate.Finding{
		Severity: migrate.Warning, Code: "PRUNED_FROM_NOW_ON", Subject: o.ID, Where: where(old),
		Message: fmt.Sprintf("%s is owned by %s/%s, so Flux v1 would leave it alone once it leaves Git; Flux v2 deletes it", migrate.DisplayID(o.ID), owners[0].Kind, owners[0].Name),
		Hint:    "annotate it in Git with " + keyPrune + ": disabled if it is to stay",
	})
}

// Made is what objects of one repository define, and its agent applies, that
// others of them need: namespaces and kinds.
type Made struct {
	namespaces map[string]bool
	kinds      map[schema.GroupKind]bool
}

// MadeBy is what objects define. Those that bear a mark by which the agent leaves
// them alone make nothing.
func MadeBy(objects []*unstructured.Unstructured) Made {
	m := Made{namespaces: map[string]bool{}, kinds: map[schema.GroupKind]bool{}}
	for _, u := range objects {
		if setAside(u) {
			continue
		}
		switch gk := u.GroupVersionKind().GroupKind(); {
		case gk == schema.GroupKind{Kind: "Namespace"}:
			m.namespaces[u.GetName()] = true
		case cliobject.IsCRD(u):
			if defined, ok := cliobject.GetCRDGroupKind(u); ok {
				m.kinds[defined] = true
			}
		}
	}
	return m
}

// Awaited reports whether trying an object failed because its namespace or its
// kind, which is not there, is made by the same repository: the agent applies those
// first and waits for them (pkg: ssa/manager_apply.go, ApplyAllStaged).
func (m Made) Awaited(u *unstructured.Unstructured, err error) bool {
	if m.kinds[u.GroupVersionKind().GroupKind()] {
		return cluster.IsGone(err)
	}
	// A kind that nobody serves is no object that was not found.
	return m.namespaces[u.GetNamespace()] && apierrors.IsNotFound(err)
}
