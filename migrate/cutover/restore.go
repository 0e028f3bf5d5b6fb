package cutover

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

const (
	ownerName      = "kustomize.toolkit.fluxcd.io/name"
	ownerNamespace = "kustomize.toolkit.fluxcd.io/namespace"
	finalizerName  = "finalizers.fluxcd.io"
)

// headState is what Flux v1 will find when it starts again.
type headState struct {
	// known is false where Git could not be read.
	known     bool
	manifests map[string]string // object id → manifestHash
}

// fate of an object at rollback.
type fate int

const (
	// unchanged: Flux v1 will load it, and its manifest is that of the
	// cut-over: everything is put back.
	unchanged fate = iota
	// changedInGit: Flux v1 will load it with another manifest, or for the
	// first time: its next sync writes the marks.
	changedInGit
	// leftGit: Flux v1 would delete it if it carried the mark, so it gets none.
	leftGit
)

// fateOf tells what becomes of an object. Without Git, an object counts as
// unchanged while its status inventory lists it and all that the new agent
// applied is as in the Snapshot, and as changed otherwise, which never puts
// marks back.
func (h *headState) fateOf(id string, held *heldObject, live *unstructured.Unstructured, listed bool) fate {
	if h != nil && h.known {
		hash, loaded := h.manifests[id]
		switch {
		case !loaded:
			return leftGit
		case held == nil || hash == "" || held.manifest() != hash:
			return changedInGit
		}
		return unchanged
	}
	if held == nil || !listed || !appliesTheSame(held.Object, live) {
		return changedInGit
	}
	return unchanged
}

// appliesTheSame reports whether every field that the new agent applies to the
// live object had the same value in the held one.
func appliesTheSame(held, live *unstructured.Unstructured) bool {
	applied, err := union(live.GetManagedFields(), engines)
	if err != nil {
		return false
	}
	same := true
	applied.Leaves().Iterate(func(p fieldpath.Path) {
		if s := p.String(); s == ".metadata.labels."+ownerName || s == ".metadata.labels."+ownerNamespace {
			return
		}
		then, was := lookup(held.Object, p)
		now, is := lookup(live.Object, p)
		same = same && was == is && sameValue(then, now)
	})
	return same
}

// manifest is the hash of what Git held at the cut-over: as noted, or else of
// what the old agent's kubectl noted on the object.
func (h *heldObject) manifest() string {
	if h.Manifest != "" {
		return h.Manifest
	}
	noted := &unstructured.Unstructured{}
	if err := noted.UnmarshalJSON([]byte(h.Object.GetAnnotations()[lastApplied])); err != nil {
		return ""
	}
	return manifestHash(noted)
}

// giveBack is the undo of adopt: the new agent is stopped, then every object
// is put back as Flux v1 left it.
func giveBack(ctx context.Context, r *repository) error {
	if err := r.stopEngine(ctx); err != nil {
		return fmt.Errorf("stop the new agent: %w", err)
	}
	snap, err := r.snapshotOf(ctx)
	if err != nil {
		return err
	}
	listed, err := r.inventories(ctx)
	if err != nil {
		return err
	}
	ids := sortedKeys(listed)
	for i := range snap.Objects {
		ids = append(ids, snap.Objects[i].ID)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	restored, left := 0, []string{}
	var mu sync.Mutex
	refused, err := eachObject(ctx, ids, func(ctx context.Context, id string) error {
		f, done, err := r.restoreObject(ctx, id, snap.object(id), listed[id])
		if err != nil {
			return r.wordless(id, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if done {
			restored++
		}
		if f == leftGit {
			left = append(left, id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.leaveToOldAgent(ctx, refused); err != nil {
		return err
	}
	r.note("undo-adopt", "given back to Flux v1: %s", migrate.Count(restored, "object"))
	slices.Sort(left)
	for _, id := range left {
		r.note("undo-adopt", "%s left Git since the cut-over: it stays, without Flux v1's mark", migrate.DisplayID(id))
	}
	if err := r.stillStopped(ctx); err != nil {
		return err
	}
	// A new cut-over measures a gap of its own.
	r.j.Gap, r.j.HoldFrom = nil, nil
	return nil
}

// Tries to put an object back, and the pause before each further one.
const (
	giveBackTries = 3
	giveBackPause = time.Second
)

// eachObject calls act for every id, again for those that failed, up to
// giveBackTries times, and returns the last error of each that never
// succeeded. The error is set only when ctx ended before all were tried.
func eachObject(ctx context.Context, ids []string, act func(context.Context, string) error) (map[string]error, error) {
	for try := 1; ; try++ {
		failed := map[string]error{}
		var mu sync.Mutex
		g := errgroup.Group{}
		g.SetLimit(readParallel)
		for _, id := range ids {
			g.Go(func() error {
				if err := act(ctx, id); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed[id] = err
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil { // the functions above return none
			return nil, err
		}
		if len(failed) == 0 || try == giveBackTries && ctx.Err() == nil {
			return failed, nil
		}
		ids = sortedKeys(failed)
		if !pause(ctx, giveBackPause) {
			return nil, fmt.Errorf("give back %s: %w", migrate.DisplayID(ids[0]), errors.Join(failed[ids[0]], ctx.Err()))
		}
	}
}

// leaveToOldAgent notes objects that refused to be put back. They do not hold
// the rollback up, since no engine runs until its end: the old agent's next
// sync takes them over. Only one that the old agent would delete does: it left
// Git, and its mark could not be seen to be gone.
func (r *repository) leaveToOldAgent(ctx context.Context, refused map[string]error) error {
	r.j.NotGivenBack = sortedKeys(refused)
	for _, id := range r.j.NotGivenBack {
		reason := refused[id]
		if r.head != nil && r.head.known {
			if _, loaded := r.head.manifests[id]; !loaded {
				live, err := r.c.GetByID(ctx, id)
				marked := func() bool {
					return slices.ContainsFunc(markLabels, func(key string) bool { _, there := live.GetLabels()[key]; return there })
				}
				if err != nil && !cluster.IsGone(err) || err == nil && marked() {
					return fmt.Errorf("give back %s: it left Git, and Flux v1 would delete it: %w", migrate.DisplayID(id), errors.Join(reason, err))
				}
			}
		}
		r.note("undo-adopt", "%s could not be put back, and waits for the old agent's next sync: %v", migrate.DisplayID(id), reason)
	}
	return nil
}

// leftovers names what a rollback could not put back, and what it had to
// leave; empty if that is nothing.
func (j *journal) leftovers() string {
	left := ""
	if len(j.Left) > 0 {
		left = fmt.Sprintf("%s stays, suspended, since this run did not make it: remove it when nobody needs it (it deletes nothing then), in any case before the next migrate", strings.Join(j.Left, ", "))
	}
	if len(j.KeptKeys) > 0 {
		if left != "" {
			left += "; "
		}
		left += fmt.Sprintf("%s stays, since it holds keys that the old agent's place of them does not: give them to whoever decrypts the files now, then remove it, in any case before the next migrate", strings.Join(j.KeptKeys, ", "))
	}
	if len(j.NotGivenBack) == 0 {
		return left
	}
	if left != "" {
		left += "; "
	}
	names := make([]string, len(j.NotGivenBack))
	for i, id := range j.NotGivenBack {
		names[i] = migrate.DisplayID(id)
	}
	return left + fmt.Sprintf("refused to be put back, and left for the old agent's next sync (%s; look at labels and owners after it): %s", migrate.Count(len(names), "object"), strings.Join(names, ", "))
}

// inventories are the ids that the Repository's Kustomizations list.
func (r *repository) inventories(ctx context.Context) (map[string]bool, error) {
	ids := map[string]bool{}
	for _, k := range r.j.plan.Repository.Kustomizations {
		live, err := r.c.Get(ctx, k.GroupVersionKind(), k.GetNamespace(), k.GetName())
		if cluster.IsGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, id := range inventoryOf(live) {
			ids[id] = true
		}
	}
	return ids, nil
}

// stopEngine suspends the Kustomizations that apply the Repository's objects,
// those that were made by hand in the place of this run's too, and proves that
// no reconcile is in flight: a fresh request is echoed, twice. With no
// controller alive there is none to wait for.
func (r *repository) stopEngine(ctx context.Context) error {
	appliers, err := r.appliers(ctx)
	if err != nil {
		return err
	}
	r.j.Left = r.strangers(appliers)
	for _, name := range r.j.Left {
		r.note("undo-adopt", "%s was not made by this run: it is suspended, and stays", name)
	}
	for round := 1; round <= 2; round++ {
		token := fmt.Sprintf("%s-%d", time.Now().UTC().Format(time.RFC3339Nano), round)
		var waiting []*unstructured.Unstructured
		for _, live := range appliers {
			annotations := map[string]any{requestedAt: token}
			if r.ownKustomization(live) {
				// Who replaced it by its file took the mark away.
				annotations[annotationRun] = r.run
			}
			if live.GetDeletionTimestamp() != nil && !slices.Contains(live.GetFinalizers(), finalizerName) {
				continue
			}
			stored, err := r.patch(ctx, live, map[string]any{
				"metadata": map[string]any{"annotations": annotations},
				"spec":     map[string]any{"suspend": true, "deletionPolicy": "Orphan"},
			})
			if cluster.IsGone(err) {
				continue
			}
			if err != nil {
				return err
			}
			waiting = append(waiting, stored)
		}
		for _, k := range waiting {
			if err := r.awaitEcho(ctx, k, token); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitEcho waits until a controller has handled the request.
func (r *repository) awaitEcho(ctx context.Context, k *unstructured.Unstructured, token string) error {
	checked := time.Now()
	err := cluster.Wait(ctx, 30*time.Millisecond, r.limits.echo, func(ctx context.Context) (bool, string, error) {
		live, err := r.c.Get(ctx, k.GroupVersionKind(), k.GetNamespace(), k.GetName())
		if cluster.IsGone(err) {
			return true, "", nil
		}
		if err != nil {
			return false, "", err
		}
		if handled, _, _ := unstructured.NestedString(live.Object, "status", "lastHandledReconcileAt"); handled == token {
			return true, "", nil
		}
		// Looking for the controller's pods costs more than looking at its
		// echo, so it is done now and then.
		if time.Since(checked) > 3*time.Second {
			checked = time.Now()
			alive, err := r.engineAlive(ctx)
			if err != nil {
				// Who cannot tell waits for the echo.
				return false, fmt.Sprintf("the new agent has not answered for %s, and whether it runs is not known: %v", cluster.Describe(live), err), nil
			}
			if !alive {
				return true, "", nil
			}
		}
		return false, fmt.Sprintf("the new agent has not answered for %s; if it hangs, delete its pod", cluster.Describe(live)), nil
	})
	if err == nil || !errors.Is(err, cluster.ErrWaitExpired) {
		return err
	}
	alive, aliveErr := r.engineAlive(ctx)
	if aliveErr != nil || alive {
		return errors.Join(err, aliveErr)
	}
	return nil
}

// engineAlive reports whether a controller that acts on Kustomizations may
// still run: a pod of one exists in any namespace that may be read (see
// everywhere), terminating ones included, or one of the leases that it acts
// under is held, and renewed or just seen for the first time (see renewed). The
// lease is what tells of an agent outside the cluster, and of an image under
// another name. Without an answer to either question the result is an error.
func (r *repository) engineAlive(ctx context.Context) (bool, error) {
	record, err := store{c: r.c}.run(ctx)
	if err != nil {
		return false, err
	}
	var agent agentRecord
	if record != nil {
		agent = record.Agent
	}
	selectors, err := r.releaseSelectors(ctx, agent)
	if err != nil {
		return false, err
	}
	pods, err := everywhere(agent, func(namespace string) ([]corev1.Pod, error) {
		list, err := r.c.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("look for the new agent's pods: %w", err)
		}
		return list.Items, nil
	})
	if err != nil {
		return false, err
	}
	for i := range pods {
		p := &pods[i]
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		if engineImage(p.Spec.Containers) || p.Labels["app"] == "kustomize-controller" || ofRelease(p, agent, selectors) {
			return true, nil
		}
	}
	leases, err := everywhere(agent, func(namespace string) ([]coordinationv1.Lease, error) {
		list, err := r.c.Kube.CoordinationV1().Leases(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("look for the new agent's leases: %w", err)
		}
		return list.Items, nil
	})
	if err != nil {
		return false, err
	}
	return r.renewed(ctx, slices.DeleteFunc(leases, func(l coordinationv1.Lease) bool { return !engineLease(&l) }))
}

// renewed reports whether the holder of one of the leases lives. One renewed
// lately, by a clock that agrees with this machine's, does. Any other is
// watched for as long as its Lease holds, by this process's own clock: no
// other machine's clock is trusted to say that it is dead. What was watched in
// vain is remembered.
func (r *repository) renewed(ctx context.Context, leases []coordinationv1.Lease) (bool, error) {
	for i := range leases {
		if l := &leases[i]; l.Spec.RenewTime == nil || l.Spec.LeaseDurationSeconds == nil || freshLease(l, time.Now()) {
			return true, nil // one that notes no time counts as alive
		}
	}
	for i := range leases {
		l := &leases[i]
		key, first := l.Namespace+"/"+l.Name, renewal(l)
		if last, watched := r.silent.Load(key); watched && last == first {
			continue
		}
		term := min(time.Duration(*l.Spec.LeaseDurationSeconds)*time.Second, maxTerm)
		for begun := time.Now(); time.Since(begun) < term; {
			if !pause(ctx, leaseLook) {
				return false, waitEnded(ctx, begun, fmt.Sprintf("whether the holder of Lease/%s lives is not known", key))
			}
			// Listed, as before: that right is there.
			list, err := r.c.Kube.CoordinationV1().Leases(l.Namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return false, fmt.Errorf("look at the new agent's lease: %w", err)
			}
			i := slices.IndexFunc(list.Items, func(now coordinationv1.Lease) bool { return now.Name == l.Name })
			if i < 0 || !engineLease(&list.Items[i]) {
				break // gone or given back
			}
			if renewal(&list.Items[i]) != first {
				return true, nil
			}
		}
		r.silent.Store(key, first)
	}
	return false, nil
}

// everywhere lists in all namespaces. Who may not is answered for the
// namespace of the ClusterAgent alone, where one was installed: it is the one
// that was Ready when this began. For an engine that was found, whose
// namespace is not noted, the refusal stands.
func everywhere[T any](agent agentRecord, list func(namespace string) ([]T, error)) ([]T, error) {
	all, err := list(metav1.NamespaceAll)
	if apierrors.IsForbidden(err) && agent.Namespace != "" {
		return list(agent.Namespace)
	}
	return all, err
}

// releaseSelectors are those of the Deployments of the recorded release.
func (r *repository) releaseSelectors(ctx context.Context, agent agentRecord) ([]labels.Selector, error) {
	if agent.Namespace == "" || agent.Release == "" {
		return nil, nil
	}
	list, err := r.c.Kube.AppsV1().Deployments(agent.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("look for the new agent's Deployment: %w", err)
	}
	var out []labels.Selector
	for _, d := range list.Items {
		if d.Annotations["meta.helm.sh/release-name"] != agent.Release || d.Spec.Selector == nil {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
		if err != nil {
			return nil, fmt.Errorf("read the selector of Deployment %s/%s: %w", d.Namespace, d.Name, err)
		}
		out = append(out, selector)
	}
	return out, nil
}

// ofRelease reports whether a pod belongs to the recorded release: to one of
// its Deployments, or by its label where the Deployment is gone already.
func ofRelease(p *corev1.Pod, agent agentRecord, selectors []labels.Selector) bool {
	if agent.Release == "" || p.Namespace != agent.Namespace {
		return false
	}
	return p.Labels["app.kubernetes.io/instance"] == agent.Release ||
		slices.ContainsFunc(selectors, func(s labels.Selector) bool { return !s.Empty() && s.Matches(labels.Set(p.Labels)) })
}

// engineLeases are held by an agent that acts, and by no other program. With
// a label selector a hash follows the name.
var engineLeases = []string{"fluxover-agent-leader-election", "kustomize-controller-leader-election"}

// engineLease reports whether the Lease is one of engineLeases, and held.
func engineLease(l *coordinationv1.Lease) bool {
	return slices.ContainsFunc(engineLeases, func(name string) bool { return l.Name == name || strings.HasPrefix(l.Name, name+"-") }) &&
		l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity != ""
}

// freshLease reports whether the Lease has not expired at now, by a clock that
// is not ahead by more than clockSlack. It must note time and duration.
func freshLease(l *coordinationv1.Lease, now time.Time) bool {
	return now.Before(l.Spec.RenewTime.Add(time.Duration(*l.Spec.LeaseDurationSeconds)*time.Second)) && l.Spec.RenewTime.Sub(now) <= clockSlack
}

// engineImage recognises the bundled agent and the stock controller by their
// containers' images.
func engineImage(containers []corev1.Container) bool {
	return slices.ContainsFunc(containers, func(c corev1.Container) bool {
		image, _, _ := strings.Cut(c.Image, "@")
		if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
			image = image[:i]
		}
		name := image[strings.LastIndex(image, "/")+1:]
		return name == "kustomize-controller" || name == "fluxover" && slices.Contains(append(slices.Clone(c.Command), c.Args...), "agent")
	})
}

// finalize lets a Kustomization or source go whose controller is dead: only
// after it is seen to be suspended and to leave its objects alone.
func (r *repository) finalize(ctx context.Context, live *unstructured.Unstructured) error {
	alive, err := r.engineAlive(ctx)
	if err != nil {
		return err
	}
	if alive {
		return fmt.Errorf("%s is being deleted, and the new agent does not let it go: see its log", cluster.Describe(live))
	}
	return retryConflict(ctx, func(ctx context.Context) error {
		now, err := r.c.Get(ctx, live.GroupVersionKind(), live.GetNamespace(), live.GetName())
		if cluster.IsGone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if now.GroupVersionKind().GroupKind() == kustomizationKind.GroupKind() {
			suspended, _, _ := unstructured.NestedBool(now.Object, "spec", "suspend")
			policy, _, _ := unstructured.NestedString(now.Object, "spec", "deletionPolicy")
			if !suspended || policy != "Orphan" {
				return fmt.Errorf("%s is not suspended with deletionPolicy Orphan: its finalizer stays", cluster.Describe(now))
			}
		}
		rest := slices.DeleteFunc(now.GetFinalizers(), func(f string) bool { return f == finalizerName })
		list := make([]any, 0, len(rest))
		for _, f := range rest {
			list = append(list, f)
		}
		_, err = r.c.MergePatch(ctx, now, map[string]any{"metadata": map[string]any{"finalizers": list}}, migrate.FieldManager)
		return err
	})
}

// restoreObject puts one object back. It compares and writes only what
// differs, so it may be called again at any point.
func (r *repository) restoreObject(ctx context.Context, id string, held *heldObject, listed bool) (fate, bool, error) {
	result, done := unchanged, false
	err := retryConflict(ctx, func(ctx context.Context) error {
		live, err := r.c.GetByID(ctx, id)
		if cluster.IsGone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if held != nil && held.Object.GetUID() != live.GetUID() {
			held = nil // another object of the same name
		}
		if held == nil && !listed {
			return nil
		}
		// Before it was unpinned the new agent applied nothing but the old
		// agent's last commit, so what is in the Snapshot is in Git.
		f := r.head.fateOf(id, held, live, listed || r.j.state("unpin") == "")
		result, done = f, true
		want := live.DeepCopy()
		r.restoreMetadata(want, held, f)
		if held != nil && f == unchanged {
			for _, path := range restoreFields(want, held.Object, r.back.PodTemplates) {
				r.note("undo-adopt", "%s: %s was removed by the adoption and stays so, since putting it back would replace pods", migrate.DisplayID(id), path)
			}
		}
		if !sameValue(live.Object, want.Object) {
			if live, err = r.c.Update(ctx, want, migrate.FieldManager); err != nil {
				return err
			}
		}
		var before []metav1.ManagedFieldsEntry
		manager := ""
		if held != nil {
			before = held.Object.GetManagedFields()
			manager = applyManagerOf(before)
		}
		ownership, err := restoredOwnership(before, live.GetManagedFields(), live.Object, f != unchanged, cmp.Or(manager, "kubectl-client-side-apply"))
		if err != nil {
			return err
		}
		return r.writeOwnership(ctx, live, ownership)
	})
	return result, done, err
}

// restoreMetadata puts labels and annotations back in want, which is a copy of
// the live object.
func (r *repository) restoreMetadata(want *unstructured.Unstructured, held *heldObject, f fate) {
	labels, annotations := want.GetLabels(), want.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	heldLabels, heldAnnotations := map[string]string{}, map[string]string{}
	if held != nil {
		heldLabels, heldAnnotations = held.Object.GetLabels(), held.Object.GetAnnotations()
	}
	if r.ownedByOurs(labels) {
		for _, key := range []string{ownerName, ownerNamespace} {
			if value, was := heldLabels[key]; was { // of a Flux v2 that is gone
				labels[key] = value
			} else {
				delete(labels, key)
			}
		}
	}
	for _, a := range r.j.plan.Repository.Adds {
		if a.Object != migrate.ObjectID(want) {
			continue
		}
		switch a.Type {
		case "label":
			if _, was := heldLabels[a.Key]; !was && labels[a.Key] == a.Value {
				delete(labels, a.Key)
			}
		case "annotation":
			if _, was := heldAnnotations[a.Key]; !was && annotations[a.Key] == a.Value {
				delete(annotations, a.Key)
			}
		}
	}
	if f == unchanged {
		putBack(labels, heldLabels, markLabels)
		putBack(annotations, heldAnnotations, markAnnotations)
	} else {
		for _, key := range markLabels {
			if f == leftGit {
				delete(labels, key)
			}
		}
	}
	if !maps.Equal(labels, want.GetLabels()) {
		want.SetLabels(nilIfEmpty(labels, held != nil && held.Object.GetLabels() != nil))
	}
	if !maps.Equal(annotations, want.GetAnnotations()) {
		want.SetAnnotations(nilIfEmpty(annotations, held != nil && held.Object.GetAnnotations() != nil))
	}
}

func nilIfEmpty(m map[string]string, keep bool) map[string]string {
	if len(m) == 0 && !keep {
		return nil
	}
	return m
}

// putBack adds what is missing; of what is there, only marks are overwritten.
func putBack(into, from map[string]string, marks []string) {
	for key, value := range from {
		if _, there := into[key]; !there || slices.Contains(marks, key) {
			into[key] = value
		}
	}
}

// ownedByOurs reports whether the owner labels name one of the Repository's
// Kustomizations.
func (r *repository) ownedByOurs(labels map[string]string) bool {
	return slices.ContainsFunc(r.j.plan.Repository.Kustomizations, func(k *unstructured.Unstructured) bool {
		return k.GetName() == labels[ownerName] && k.GetNamespace() == labels[ownerNamespace]
	})
}

// restoreFields puts back, in want, the fields that adoption removed or reset:
// those that a taken-over manager owned, or that a Flux v2 that is gone had applied,
// whose value is another now, and that nobody owns. It returns those it left alone because they are part of a pod
// template and templates is false.
func restoreFields(want, held *unstructured.Unstructured, templates bool) []string {
	guessed := len(held.GetManagedFields()) == 0
	if guessed && !slices.ContainsFunc(want.GetManagedFields(), engines) {
		return nil // it was never adopted, so that nothing was taken from it
	}
	then, err := takenFields(held)
	if err != nil {
		return nil
	}
	applied, err := union(held.GetManagedFields(), engines) // under the name that adoption applies by
	if err != nil {
		return nil
	}
	then = then.Union(applied)
	now, err := union(want.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool { return !executors(e) })
	if err != nil {
		return nil
	}
	var left []string
	then.Leaves().Difference(now).Iterate(func(p fieldpath.Path) {
		if len(p) == 0 || p[0].FieldName == nil || *p[0].FieldName == "metadata" || *p[0].FieldName == "status" {
			return
		}
		before, was := lookup(held.Object, p)
		if !was || ownedAbove(now, p) || guessed && ownedOtherwise(now, p) {
			return
		}
		if current, is := lookup(want.Object, p); is && sameValue(current, before) {
			return
		}
		if !templates && proof.InPodTemplate(held, p.String()) {
			left = append(left, p.String())
			return
		}
		set(want.Object, p, deepCopy(before))
	})
	return left
}

// ownedAbove reports whether somebody owns a whole that the path is part of,
// as happens with atomic lists and maps.
func ownedAbove(set *fieldpath.Set, p fieldpath.Path) bool {
	for n := len(p) - 1; n > 0; n-- {
		if set.Has(p[:n]) && p[n].FieldName == nil && p[n].Key == nil && p[n].Value == nil {
			return true
		}
	}
	return false
}

// ownedOtherwise reports whether a path leads through a list by keys that were
// guessed, and that somebody owns as a whole or by other keys.
func ownedOtherwise(set *fieldpath.Set, p fieldpath.Path) bool {
	for n, step := range p {
		if step.Key == nil {
			continue
		}
		items := set
		for _, above := range p[:n] {
			items = items.WithPrefix(above)
		}
		if set.Has(p[:n]) && items.Empty() {
			return true
		}
		other := false
		items.Iterate(func(q fieldpath.Path) {
			other = other || q[0].Key == nil || !slices.EqualFunc(*q[0].Key, *step.Key, func(a, b value.Field) bool { return a.Name == b.Name })
		})
		if other {
			return true
		}
	}
	return false
}

func deepCopy(value any) any {
	return (&unstructured.Unstructured{Object: map[string]any{"v": value}}).DeepCopy().Object["v"]
}

// unsettle takes the files out of the capacitor. Where that is not possible
// the control objects are parked.
func unsettle(ctx context.Context, r *repository) error {
	if !r.j.InCapacitor || r.j.plan == nil {
		return nil
	}
	for _, k := range r.j.Created {
		if k.Kind != kustomizationKind.Kind && k.Kind != sourceKind.Kind {
			continue
		}
		live, err := r.c.Get(ctx, k.gvk(), k.Namespace, k.Name)
		if cluster.IsGone(err) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = r.patch(ctx, live, map[string]any{"metadata": map[string]any{"annotations": map[string]any{"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}}})
		if err != nil {
			return err
		}
	}
	if err := r.leaveCapacitor(ctx); err != nil {
		r.note("undo-settle", "the files could not be taken out of the flux-capacitor, so the control objects stay, suspended: %v", err)
		r.j.Parked = nil
		for _, k := range r.j.Created {
			r.j.Parked = append(r.j.Parked, k.key())
		}
	}
	return nil
}

func (c created) gvk() schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(c.APIVersion, c.Kind)
}

func toMap(e metav1.ManagedFieldsEntry) (map[string]any, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode managedFields of %s: %w", e.Manager, err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("encode managedFields of %s: %w", e.Manager, err)
	}
	return out, nil
}

func base64Of(value []byte) string { return base64.StdEncoding.EncodeToString(value) }

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
