package cutover

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// appliers are the live Kustomizations that apply this Repository's objects
// and that a rollback stops before it lifts the fence: those that this run
// made, and those made by hand in their place, known by the planned name and
// sourceRef. One that is at work on the objects and is neither is an error: a
// rollback must not stop what may be somebody else's, nor let two engines
// write.
func (r *repository) appliers(ctx context.Context) ([]*unstructured.Unstructured, error) {
	all, err := store{c: r.c}.allKustomizations(ctx)
	if err != nil {
		return nil, err
	}
	planned := map[[2]string]*unstructured.Unstructured{}
	var sources []sourceRef
	var paths []string
	for _, k := range r.j.plan.Repository.Kustomizations {
		planned[[2]string{k.GetNamespace(), k.GetName()}] = k
		sources, paths = append(sources, sourceOf(k)), append(paths, pathOf(k))
	}
	// Without Git, what the old agent will write is what the plan names and
	// what the new one wrote.
	listed, written := map[string]bool{}, map[string]bool{}
	for _, live := range all {
		if planned[[2]string{live.GetNamespace(), live.GetName()}] == nil {
			continue
		}
		for _, id := range inventoryOf(live) {
			listed[id], written[id] = true, true
		}
	}
	for _, o := range r.j.plan.Repository.Objects {
		written[o.ID] = true
	}
	if r.head != nil && r.head.known {
		written = map[string]bool{}
		for id := range r.head.manifests {
			written[id] = true
		}
		listed = written
	}
	var mine []*unstructured.Unstructured
	var rivals []string
	for _, live := range all {
		k := planned[[2]string{live.GetNamespace(), live.GetName()}]
		own := r.ownKustomization(live)
		switch {
		case own && (k != nil || live.GetAnnotations()[migrate.AnnotationRepository] == r.id), k != nil && sourceOf(k) == sourceOf(live):
			mine = append(mine, live)
		case idle(live), remote(live):
		case k != nil:
			rivals = append(rivals, fmt.Sprintf("%s, which has a planned name and another source,", cluster.Describe(live)))
		default:
			ids := written
			if own {
				// One of another Repository, to which objects may have moved.
				ids = listed
			}
			if i := slices.IndexFunc(inventoryOf(live), func(id string) bool { return ids[id] }); i >= 0 {
				rivals = append(rivals, fmt.Sprintf("%s, which applies %s,", cluster.Describe(live), migrate.DisplayID(inventoryOf(live)[i])))
			} else if !own && slices.Contains(sources, sourceOf(live)) && slices.Contains(paths, pathOf(live)) {
				rivals = append(rivals, fmt.Sprintf("%s, which reads %s,", cluster.Describe(live), pathOf(live)))
			}
		}
	}
	if len(rivals) > 0 {
		return nil, fmt.Errorf("%s is none that this run made for %s, and would write beside the old agent: stop it first (kubectl patch it with {\"spec\":{\"suspend\":true,\"deletionPolicy\":\"Orphan\"}}; removing it then deletes nothing), and roll back again",
			strings.Join(rivals, " and "), r.id)
	}
	return mine, nil
}

// strangers are the names of those that this run did not make.
func (r *repository) strangers(appliers []*unstructured.Unstructured) []string {
	var names []string
	for _, k := range appliers {
		if !r.ownKustomization(k) {
			names = append(names, cluster.Describe(k))
		}
	}
	return names
}

// ownKustomization reports whether this run made a live Kustomization: it
// carries the run's mark, or has the UID that was noted when it was made.
func (r *repository) ownKustomization(live *unstructured.Unstructured) bool {
	return r.ours(live) || slices.ContainsFunc(r.j.Created, func(c created) bool { return c.UID != "" && c.UID == live.GetUID() })
}

// idle reports whether a Kustomization applies nothing: suspended, and no
// reconcile of it in flight.
func idle(k *unstructured.Unstructured) bool {
	return suspended(k) && conditionOf(k, "Reconciling").status != "True"
}

func suspended(k *unstructured.Unstructured) bool {
	yes, _, _ := unstructured.NestedBool(k.Object, "spec", "suspend")
	return yes
}

// remote reports whether a Kustomization applies to another cluster.
func remote(k *unstructured.Unstructured) bool {
	_, found, _ := unstructured.NestedMap(k.Object, "spec", "kubeConfig")
	return found
}

func pathOf(k *unstructured.Unstructured) string {
	path, _, _ := unstructured.NestedString(k.Object, "spec", "path")
	return "./" + strings.Trim(strings.TrimPrefix(path, "./"), "/")
}

// stillStopped fails if a Kustomization was made or resumed since stopEngine:
// the fence must not be lifted then.
func (r *repository) stillStopped(ctx context.Context) error {
	live, err := r.appliers(ctx)
	if err != nil {
		return err
	}
	for _, k := range live {
		if !suspended(k) {
			return fmt.Errorf("%s was made or resumed by somebody while the rollback was at work: run it again", cluster.Describe(k))
		}
	}
	return nil
}

// mayReturn fails if the way back is not open, for a reason that would else
// come up half-way. It changes nothing. It returns the Kustomizations that the
// rollback will stop; none where it need not look for them.
func (r *repository) mayReturn(ctx context.Context) ([]*unstructured.Unstructured, error) {
	if r.j.Version > journalVersion {
		return nil, r.j.broken
	}
	if r.j.broken != nil {
		return nil, fmt.Errorf("%w: put it back from a backup, or go back by hand: %s", r.j.broken, r.byHand())
	}
	if !begun(r.j.state("adopt")) && !begun(r.j.state("fence")) {
		return nil, nil
	}
	if len(r.j.Snapshot.Secrets) > 0 || begun(r.j.state("adopt")) {
		if _, err := r.snapshotOf(ctx); err != nil {
			if ctx.Err() != nil || cluster.IsTransient(err) {
				return nil, err
			}
			return nil, fmt.Errorf("%w: put Secret %s in %s back from a backup, or go back by hand: %s", err, strings.Join(r.j.Snapshot.Secrets, ", "), migrate.StateNamespace, r.byHand())
		}
	}
	return r.appliers(ctx)
}

// byHand says how to go back without a journal or a snapshot.
func (r *repository) byHand() string {
	namespace, release, _ := strings.Cut(r.id, "/")
	return fmt.Sprintf("suspend the Kustomizations of labels %s=%s,%s=%s, delete ValidatingAdmissionPolicyBinding and ValidatingAdmissionPolicy %s, and give the old agent's Deployment in %s its replicas back: its next sync marks its objects again",
		migrate.LabelNamespace, namespace, migrate.LabelRelease, release, fenceName(r.id), namespace)
}
