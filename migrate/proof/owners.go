package proof

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
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
	{"argocd.argoproj.io/tracking-id", "Argo CD application"},
	{"argocd.argoproj.io/instance", "Argo CD application"},
}

// owned reports whether a Kustomization other than the planned one holds the
// live object, which settles its verb, and finds other claims on it, which a
// person may know to be harmless.
func (p *prover) owned(ctx context.Context, o *migrate.ObjectPlan, old *migrate.Object, e *Evidence) (bool, error) {
	if e.Live == nil {
		return false, nil
	}
	name := migrate.DisplayID(o.ID)
	for _, look := range []func(context.Context, *migrate.ObjectPlan, *migrate.Object, *Evidence) (bool, error){p.labelled, p.released} {
		if settled, err := look(ctx, o, old, e); settled || err != nil {
			return settled, err
		}
	}
	for _, mark := range otherOwners {
		value := annotationOrLabel(e.Live, mark.key)
		if value == "" || annotationOrLabel(e.New, mark.key) != "" {
			continue
		}
		if mark.tool == "Helm release" && e.Live.GetLabels()[labelRelease] != "" && annotationOrLabel(e.New, labelRelease) == "" {
			continue // released told of it
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
	return false, nil
}

// labelled looks whether the Kustomization that the live object's labels name holds
// it. Labels alone do not: they stay when a Flux v2 is uninstalled, and come with
// manifests that were exported from another cluster. The new agent, as any
// Kustomization, puts its own in their place.
func (p *prover) labelled(ctx context.Context, o *migrate.ObjectPlan, old *migrate.Object, e *Evidence) (settled bool, err error) {
	labels := e.Live.GetLabels()
	owner, ns := labels[LabelOwnerName], labels[LabelOwnerNamespace]
	if owner == "" || owner == o.Application && ns == migrate.AgentNamespace {
		return false, nil
	}
	name, called, inGit, clean := migrate.DisplayID(o.ID), ns+"/"+owner, "", ""
	if old != nil && old.Manifest != nil && migrate.Labels(old.Manifest)[LabelOwnerName] == owner {
		inGit, clean = "; Git holds that label, as in a manifest that was exported", "; take the label out of Git"
	}
	kustomization, err := p.owners.read(p.world, kustomizations, ns, owner)
	switch {
	case err != nil && (ctx.Err() != nil || !judged(err)):
		return false, fmt.Errorf("read Kustomization %s, which %s is labelled with: %w", called, name, err)
	case err == nil && kustomization != nil && !elsewhere(kustomization) && lists(kustomization, o.ID):
		o.Verb, o.Why = migrate.Conflict, fmt.Sprintf("Kustomization %s owns it", called)
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OBJECT_OWNED", Subject: o.ID, Where: where(old),
			Message: fmt.Sprintf("%s is already owned by Kustomization %s", name, called),
			Hint:    "remove it from one of the two",
		})
		return true, nil
	case err != nil:
		o.Verb, o.Why = migrate.Conflict, fmt.Sprintf("it may be that Kustomization %s owns it", called)
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OBJECT_OWNED", Subject: o.ID, Where: where(old),
			Message: fmt.Sprintf("%s bears the labels of Kustomization %s, and whether that is there is not known: %s", name, called, cluster.Wordless(err)),
			Hint:    "see to it that it can be read, or remove the object from one of the two",
		})
		return true, nil
	case kustomization != nil:
		but := "does not list it in its status"
		if elsewhere(kustomization) {
			but = "applies by a kubeconfig of its own (spec.kubeConfig), so that what it lists may be of another cluster or of this one"
		}
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OBJECT_OWNED", Subject: o.ID, Where: where(old), Acceptable: true,
			Message: fmt.Sprintf("%s bears the labels of Kustomization %s, which exists and %s; the new agent puts its own in their place%s", name, called, but, inGit),
			Hint:    "see whether it applies to this cluster and its repository holds the object, and remove it from one of the two; accept it if only the label is left" + clean,
		})
		return false, nil
	}
	if slices.ContainsFunc(e.Live.GetManagedFields(), ownApply) {
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OWNER_GONE", Subject: o.ID, Where: where(old), Acceptable: true,
			Message: fmt.Sprintf("%s was applied by the Flux v2 Kustomization %s, which is not in this cluster: that Flux v2 was removed, or is in another cluster and applies here (spec.kubeConfig), and then the two would fight over the object%s", name, called, inGit),
			Hint:    "if that Kustomization is in another cluster, remove the object from one of the two; accept it if that Flux v2 is gone" + clean,
		})
		return false, nil
	}
	p.find(migrate.Finding{
		Severity: migrate.Warning, Code: "OWNER_GONE", Subject: o.ID, Where: where(old),
		Message: fmt.Sprintf("%s bears the labels of Kustomization %s, which does not exist; the new agent puts its own in their place%s", name, called, inGit),
		Hint:    "nothing, where that Flux v2 was removed on purpose" + clean,
	})
	return false, nil
}

// Labels of the HelmRelease of Flux v2 that an object was applied for (hc:
// internal/postrender).
const (
	labelRelease          = "helm.toolkit.fluxcd.io/name"
	labelReleaseNamespace = "helm.toolkit.fluxcd.io/namespace"
)

// released looks whether the HelmRelease that the live object's labels name is there, as
// labelled does for a Kustomization. Its labels stay beside those of the new agent, so
// that Helm's other marks are looked at only where they say more.
func (p *prover) released(ctx context.Context, o *migrate.ObjectPlan, old *migrate.Object, e *Evidence) (settled bool, err error) {
	labels := e.Live.GetLabels()
	owner, ns := labels[labelRelease], labels[labelReleaseNamespace]
	if owner == "" {
		return false, nil
	}
	name, called := migrate.DisplayID(o.ID), "Flux v2 HelmRelease "+ns+"/"+owner
	release, err := p.owners.read(p.world, helmReleases, ns, owner)
	if err != nil && (ctx.Err() != nil || !judged(err)) {
		return false, fmt.Errorf("read HelmRelease %s/%s, which %s is labelled with: %w", ns, owner, name, err)
	}
	f := migrate.Finding{
		Severity: migrate.Blocker, Code: "OTHER_OWNER", Subject: o.ID, Where: where(old),
		Message: fmt.Sprintf("%s is also managed by %s, and two tools would fight over it", name, called),
		Hint:    "remove it from one of the two; take the labels helm.toolkit.fluxcd.io/name and namespace away where they are all that is left",
	}
	switch {
	case err != nil:
		f.Message = fmt.Sprintf("%s bears the labels of %s, and whether that is there is not known: %s", name, called, cluster.Wordless(err))
	case release == nil && annotationOrLabel(e.New, labelRelease) != "":
		return false, nil // it was exported, with the label
	case release == nil:
		f.Acceptable = true
		f.Message = fmt.Sprintf("%s bears the labels of %s, which is not in this cluster: it was removed, or is in another cluster and applies here (spec.kubeConfig), and then two tools would fight over the object", name, called)
		f.Hint = "if that HelmRelease is in another cluster, remove the object from one of the two; accept it if it is gone"
	case elsewhere(release), inventoried(release) && !lists(release, o.ID):
		f.Acceptable = true
		f.Message = fmt.Sprintf("%s bears the labels of %s, which exists and does not list it in its status, or applies by a kubeconfig of its own (spec.kubeConfig)", name, called)
		f.Hint = "see whether it applies to this cluster and its chart holds the object, and remove it from one of the two; accept it if only the labels are left"
	}
	p.find(f)
	if !f.Acceptable {
		o.Verb, o.Why = migrate.Conflict, fmt.Sprintf("%s owns it", called)
	}
	return !f.Acceptable, nil
}

// owners are the Kustomizations and HelmReleases that live objects are labelled with,
// each read once for all repositories of a proof: many objects name the same.
type owners struct {
	// ctx is the proof's: what one repository asked first is an answer for all, also
	// when that one fails for another reason.
	ctx   context.Context
	mu    sync.Mutex
	asked map[ownerRef]func() (*unstructured.Unstructured, error)
}

type ownerRef struct {
	schema.GroupKind
	namespace, name string
}

var (
	kustomizations = schema.GroupKind{Group: kustomizev1.GroupVersion.Group, Kind: kustomizev1.KustomizationKind}
	helmReleases   = schema.GroupKind{Group: "helm.toolkit.fluxcd.io", Kind: "HelmRelease"}
)

// read gives an object of Flux v2 in the version that the server prefers; nil if it
// does not exist.
func (o *owners) read(w World, kind schema.GroupKind, namespace, name string) (*unstructured.Unstructured, error) {
	if namespace == "" {
		return nil, nil // each is in one
	}
	ref := ownerRef{kind, namespace, name}
	o.mu.Lock()
	ask := o.asked[ref]
	if ask == nil {
		ask = sync.OnceValues(func() (*unstructured.Unstructured, error) {
			u := &unstructured.Unstructured{Object: map[string]any{}}
			u.SetGroupVersionKind(kind.WithVersion(""))
			u.SetNamespace(namespace)
			u.SetName(name)
			return w.Live(o.ctx, u)
		})
		o.asked[ref] = ask
	}
	o.mu.Unlock()
	return ask()
}

// elsewhere reports whether an owner applies to the cluster that a kubeconfig of its
// own names: what its status lists is there, which mostly is not here.
func elsewhere(owner *unstructured.Unstructured) bool {
	_, other, _ := unstructured.NestedFieldNoCopy(owner.Object, "spec", "kubeConfig")
	return other
}

// inventoried reports whether an owner's status lists objects: a HelmRelease's does
// from Flux 2.8 on.
func inventoried(owner *unstructured.Unstructured) bool {
	_, found, _ := unstructured.NestedFieldNoCopy(owner.Object, "status", "inventory", "entries")
	return found
}

// lists reports whether an owner's status says that it applied an object.
func lists(owner *unstructured.Unstructured, id string) bool {
	entries, _, _ := unstructured.NestedSlice(owner.Object, "status", "inventory", "entries")
	return slices.ContainsFunc(entries, func(e any) bool {
		entry, _ := e.(map[string]any)
		return entry["id"] == id
	})
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
	if !cluster.IsGone(err) {
		return false
	}
	if namespaceIsGone(err) {
		return m.namespaces[u.GetNamespace()]
	}
	// A kind that nobody serves is no object that was not found.
	return m.kinds[u.GroupVersionKind().GroupKind()] || m.namespaces[u.GetNamespace()] && apierrors.IsNotFound(err)
}

// namespaceIsGone reports whether an API server, which serves the object's kind,
// says that its namespace is not there (its admission NamespaceLifecycle).
func namespaceIsGone(err error) bool {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) || !apierrors.IsNotFound(err) {
		return false
	}
	about := answer.Status().Details
	return about != nil && about.Group == "" && about.Kind == "namespaces"
}
