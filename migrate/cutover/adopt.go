package cutover

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// topUp looks once more, now that nobody can write: at the mark and at every
// object. If the mark moved, or what the old agent owns was changed, it is
// predicted again before anything is adopted.
func topUp(ctx context.Context, r *repository) error {
	var now *snapshot
	var m Marks
	var intact error // counts only where the keys are not copied again
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		intact = r.outlast(gctx, "top-up", r.copiesIntact)
		return nil
	})
	g.Go(func() (err error) {
		m, err = r.readMarks(gctx)
		return err
	})
	g.Go(func() error {
		return r.outlast(gctx, "top-up", func(ctx context.Context) (err error) {
			now, err = r.readAll(ctx)
			return err
		})
	})
	if len(r.j.Fence.ExemptPods) > 0 {
		// The pods are gone, and with them the reason for the exemption.
		g.Go(func() error { return r.raise(gctx, nil) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	before, err := r.snapshotOf(ctx)
	if err != nil {
		return err
	}
	r.j.Fence.ExemptPods = nil
	moved := r.moved(m)
	changed := drifted(before, now)
	if moved {
		if err := r.repin(ctx, "top-up"); err != nil {
			return err
		}
		if err := r.awaitSources(ctx, r.limits.source); err != nil {
			return err
		}
	} else if len(changed) > 0 {
		r.note("top-up", "predicting again: %s changed since the snapshot (%s)", migrate.Count(len(changed), "object"), migrate.DisplayID(changed[0]))
		commit := r.j.Commit
		if err := r.predictAgain(ctx, "top-up"); err != nil {
			return err
		}
		if r.j.Commit != commit {
			return fmt.Errorf("%w: the sync mark, from %s to %s", ErrMoved, short(commit), short(r.j.Commit))
		}
		if err := r.copyKeys(ctx); err != nil {
			return err
		}
	} else if intact != nil {
		return intact
	}
	if !moved && len(changed) == 0 && sameReadings(before, now) {
		return nil // the Snapshot stands
	}
	if moved {
		return r.snapshotAgain(ctx, "top-up")
	}
	// What only the first reading knows.
	now.Deployment, now.Release = before.Deployment, before.Release
	for i := range now.Objects {
		if o := &now.Objects[i]; o.Manifest == "" {
			if old := before.object(o.ID); old != nil {
				o.Manifest = old.Manifest
			}
		}
	}
	return r.keepSnapshot(ctx, now)
}

// snapshotAgain reads all objects anew, once the plan is another.
func (r *repository) snapshotAgain(ctx context.Context, step string) error {
	before, err := r.snapshotOf(ctx)
	if err != nil {
		return err
	}
	var now *snapshot
	err = r.outlast(ctx, step, func(ctx context.Context) (err error) {
		now, err = r.readAll(ctx)
		return err
	})
	if err != nil {
		return err
	}
	now.Deployment, now.Release = before.Deployment, before.Release // which only the first reading knows
	return r.keepSnapshot(ctx, now)
}

// drifted lists objects that came, went, or of which a field that adoption
// takes over has another value: then the prediction may no longer hold.
func drifted(before, now *snapshot) []string {
	var ids []string
	for i := range before.Objects {
		old := &before.Objects[i]
		live := now.object(old.ID)
		if live == nil || live.Object.GetUID() != old.Object.GetUID() || !reflect.DeepEqual(takenValues(old.Object), takenValues(live.Object)) {
			ids = append(ids, old.ID)
		}
	}
	for i := range now.Objects {
		if before.object(now.Objects[i].ID) == nil {
			ids = append(ids, now.Objects[i].ID)
		}
	}
	return ids
}

// takenValues are the fields that adoption takes over, with their values. Of an
// object without managedFields there are none: any of its fields may be an
// autoscaler's or a controller's, which write all the time, and a prediction anew
// would make the gap longer.
func takenValues(u *unstructured.Unstructured) map[string]any {
	set, err := union(u.GetManagedFields(), takenOver)
	if err != nil {
		return nil
	}
	out := map[string]any{}
	set.Leaves().Iterate(func(p fieldpath.Path) {
		value, _ := lookup(u.Object, p)
		out[p.String()] = value
	})
	return out
}

func sameReadings(a, b *snapshot) bool {
	if len(a.Objects) != len(b.Objects) {
		return false
	}
	for i := range a.Objects {
		other := b.object(a.Objects[i].ID)
		if other == nil || stable(a.Objects[i].Object) != stable(other.Object) {
			return false
		}
	}
	return true
}

// adopt resumes the Kustomizations, level by level as they depend on each
// other, and waits until each is Ready at the pinned revision with the
// expected inventory.
func adopt(ctx context.Context, r *repository) error {
	if !r.fenced {
		// Another process put the fence up; somebody may have started the old
		// agent since.
		if err := fence(ctx, r); err != nil {
			return fmt.Errorf("make sure of the fence: %w", err)
		}
	}
	token := time.Now().UTC().Format(time.RFC3339Nano)
	for _, level := range levels(r.j.plan.Repository.Kustomizations) {
		want := func(name string) bool { return slices.Contains(level, name) }
		for attempt := 1; ; attempt++ {
			if err := r.putKustomizations(ctx, resumed, want, token); err != nil {
				return err
			}
			err := r.awaitKustomizations(ctx, level, token)
			if err == nil {
				break
			}
			if !errors.Is(err, errReconcileFailed) || attempt == adoptAttempts || !pause(ctx, time.Second) {
				return err
			}
			r.note("adopt", "asking once more: %v", err)
			token = time.Now().UTC().Format(time.RFC3339Nano)
		}
	}
	if r.j.Fence.GoneAt != nil && r.j.Gap == nil {
		gap := Gap{From: *r.j.Fence.GoneAt, To: time.Now().UTC()}
		if r.j.Fence.StoppedAt != nil {
			gap.WaitingForOldPod.Duration = gap.From.Sub(*r.j.Fence.StoppedAt)
		}
		gap.AtMost = r.j.Fence.GoneUnseen
		r.j.Gap = &gap
		if gap.AtMost {
			r.note("adopt", "gap %.2fs at most: nobody saw when the old pod ended", gap.Duration().Seconds())
		} else {
			r.note("adopt", "gap %.2fs, waited %.2fs for the old pod", gap.Duration().Seconds(), gap.WaitingForOldPod.Seconds())
		}
	}
	return nil
}

// adoptAttempts is how often a Kustomization is asked to reconcile before its
// failure counts: one may be a passing trouble of the API server.
const adoptAttempts = 3

var errReconcileFailed = errors.New("the new agent could not apply it")

// levels orders Kustomizations so that each comes after those it depends on.
// What is left in a circle forms the last level: the agent will say so.
func levels(all []*unstructured.Unstructured) [][]string {
	needs := map[string][]string{}
	for _, k := range all {
		needs[k.GetName()] = nil
	}
	for _, k := range all {
		list, _, _ := unstructured.NestedSlice(k.Object, "spec", "dependsOn")
		for _, item := range list {
			m, _ := item.(map[string]any)
			name, _ := m["name"].(string)
			if _, mine := needs[name]; mine {
				needs[k.GetName()] = append(needs[k.GetName()], name)
			}
		}
	}
	var out [][]string
	done := map[string]bool{}
	for len(done) < len(needs) {
		var level []string
		for _, k := range all {
			name := k.GetName()
			if !done[name] && !slices.ContainsFunc(needs[name], func(n string) bool { return !done[n] }) {
				level = append(level, name)
			}
		}
		if len(level) == 0 {
			for _, k := range all {
				if !done[k.GetName()] {
					level = append(level, k.GetName())
				}
			}
		}
		for _, name := range level {
			done[name] = true
		}
		out = append(out, level)
	}
	return out
}

// expectedInventory is what a Kustomization's status inventory must list.
func (r *repository) expectedInventory(name string) []string {
	var ids []string
	for _, o := range r.j.plan.Repository.Objects {
		if o.Application == name && o.Verb != migrate.Unmanage && o.Verb != migrate.Stale {
			ids = append(ids, o.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func inventoryOf(k *unstructured.Unstructured) []string {
	entries, _, _ := unstructured.NestedSlice(k.Object, "status", "inventory", "entries")
	var ids []string
	for _, e := range entries {
		m, _ := e.(map[string]any)
		if id, _ := m["id"].(string); id != "" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// awaitKustomizations waits until the named ones are Ready: the newest spec
// seen, the request handled, the pinned revision applied, the inventory as
// expected. An old Ready=True proves nothing (reference H71), so all of it is
// asked. With no token only spec and Ready count.
func (r *repository) awaitKustomizations(ctx context.Context, names []string, token string) error {
	limited, cancel := context.WithTimeout(ctx, r.limits.adopt)
	defer cancel()
	return r.followKustomizations(limited, names, func(ks []*unstructured.Unstructured) (bool, string, error) {
		for _, k := range ks {
			if ok, lack, err := r.kustomizationReady(k, token); !ok || err != nil {
				return false, lack, err
			}
		}
		return true, "", nil
	})
}

// followKustomizations calls done with the named ones of each namespace until
// it says true for every namespace, or fails; see follow. It may call done for
// several namespaces at once. One that is deleted meanwhile is an error.
func (r *repository) followKustomizations(ctx context.Context, names []string, done func([]*unstructured.Unstructured) (bool, string, error)) error {
	byNamespace := map[string][]string{}
	for _, k := range r.j.plan.Repository.Kustomizations {
		if slices.Contains(names, k.GetName()) {
			byNamespace[k.GetNamespace()] = append(byNamespace[k.GetNamespace()], k.GetName())
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	for namespace, wanted := range byNamespace {
		g.Go(func() error {
			resource, err := r.c.Resource(kustomizationKind, namespace)
			if err != nil {
				return err
			}
			opts := metav1.ListOptions{}
			if selector, ok := commonLabels(r.j.plan.Repository.Kustomizations); ok {
				opts.LabelSelector = selector
			}
			return follow(gctx, resource, opts, func(now objects) (bool, string, error) {
				var ks []*unstructured.Unstructured
				for _, name := range wanted {
					k := now[name]
					if k == nil {
						return false, "", fmt.Errorf("Kustomization/%s/%s was deleted meanwhile", namespace, name)
					}
					ks = append(ks, k)
				}
				return done(ks)
			})
		})
	}
	return g.Wait()
}

// commonLabels selects the Repository's Kustomizations among all others.
func commonLabels(all []*unstructured.Unstructured) (string, bool) {
	if len(all) == 0 {
		return "", false
	}
	namespace, release := all[0].GetLabels()[migrate.LabelNamespace], all[0].GetLabels()[migrate.LabelRelease]
	for _, k := range all {
		if k.GetLabels()[migrate.LabelNamespace] != namespace || k.GetLabels()[migrate.LabelRelease] != release {
			return "", false
		}
	}
	if namespace == "" || release == "" {
		return "", false
	}
	return migrate.LabelNamespace + "=" + namespace + "," + migrate.LabelRelease + "=" + release, true
}

func (r *repository) kustomizationReady(k *unstructured.Unstructured, token string) (bool, string, error) {
	what := cluster.Describe(k)
	if suspended, _, _ := unstructured.NestedBool(k.Object, "spec", "suspend"); suspended {
		return false, "", fmt.Errorf("%s was suspended by somebody meanwhile", what)
	}
	ready, stalled := conditionOf(k, "Ready"), conditionOf(k, "Stalled")
	if token != "" {
		if handled, _, _ := unstructured.NestedString(k.Object, "status", "lastHandledReconcileAt"); handled != token {
			return false, what + ": the new agent has not taken it up yet", nil
		}
	}
	if !caughtUp(k) {
		lack := what + " is being reconciled"
		if ready.status == "False" {
			lack = fmt.Sprintf("%s is not Ready: %s: %s", what, ready.reason, told(k, ready))
			// ArtifactFailed tells of the source, which may be fetched or
			// served the next moment.
			if token != "" && !slices.Contains([]string{"DependencyNotReady", "Progressing", "ArtifactFailed"}, ready.reason) {
				return false, "", fmt.Errorf("%s: %w: %s: %s", what, errReconcileFailed, ready.reason, told(k, ready))
			}
		}
		return false, lack, nil
	}
	if stalled.status == "True" {
		return false, "", fmt.Errorf("%s cannot go on: %s: %s", what, stalled.reason, told(k, stalled))
	}
	if ready.status != "True" {
		return false, fmt.Sprintf("%s is not Ready: %s: %s", what, ready.reason, told(k, ready)), nil
	}
	if token == "" {
		return true, "", nil
	}
	applied, _, _ := unstructured.NestedString(k.Object, "status", "lastAppliedRevision")
	if !strings.HasSuffix(applied, "sha1:"+r.j.Commit) {
		return false, fmt.Sprintf("%s applied %s, not yet %s", what, applied, short(r.j.Commit)), nil
	}
	if lack := difference("its inventory", r.expectedInventory(k.GetName()), inventoryOf(k)); len(lack) > 0 {
		return false, "", fmt.Errorf("%s: %w: %s", what, ErrPredictionFailed, lack[0])
	}
	return true, "", nil
}

// adoptedStill confirms an adoption after a restart.
func adoptedStill(ctx context.Context, r *repository) error {
	for _, k := range r.j.plan.Repository.Kustomizations {
		live, err := r.c.Get(ctx, k.GroupVersionKind(), k.GetNamespace(), k.GetName())
		if err != nil {
			return err
		}
		if ok, lack, err := r.kustomizationReady(live, ""); !ok || err != nil {
			return errors.Join(err, errors.New(lack))
		}
	}
	return nil
}

// verify compares every object with the prediction made for it; only then may
// the new agent delete what leaves Git, if the old one did.
func verify(ctx context.Context, r *repository) error {
	snap, err := r.snapshotOf(ctx)
	if err != nil {
		return err
	}
	var live map[string]*unstructured.Unstructured
	err = r.outlast(ctx, "verify", func(ctx context.Context) (err error) {
		live, err = readObjects(ctx, r.c, managedIDs(&r.j.plan.Repository, nil))
		return err
	})
	if err != nil {
		return err
	}
	var wrong []error
	for _, o := range r.j.plan.Repository.Objects {
		if err := r.asPredicted(o, snap.object(o.ID), live[o.ID]); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w: %w", migrate.DisplayID(o.ID), ErrPredictionFailed, err))
		}
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	if err := r.putKustomizations(ctx, final, nil); err != nil {
		return err
	}
	return r.awaitKustomizations(ctx, keys(r.j.plan.Repository.Kustomizations, (*unstructured.Unstructured).GetName), "")
}

// asPredicted tells whether an object is now as its verb foretold.
func (r *repository) asPredicted(o migrate.ObjectPlan, held *heldObject, live *unstructured.Unstructured) error {
	if o.Verb == migrate.Create && held == nil {
		if live == nil {
			return errors.New("it was not made")
		}
		return nil
	}
	if held == nil {
		return nil // absent then; whether it should be there now is the inventory's to say
	}
	if live == nil {
		return errors.New("it is gone")
	}
	if live.GetUID() != held.Object.GetUID() {
		return errors.New("it was deleted and made anew")
	}
	for _, path := range changedPaths(content(held.Object), content(live)) {
		if foretold(path, o) {
			continue
		}
		if by := ownersOf(live, path); len(by) > 0 && !slices.Contains(by, engineManager) {
			r.note("verify", "%s: %s was changed by %s meanwhile, not by the cut-over", migrate.DisplayID(o.ID), path, strings.Join(by, ", "))
			continue
		}
		return fmt.Errorf("%s changed, and that was not foretold (%s)", path, o.Verb)
	}
	if o.Application != "" && o.Verb != migrate.Skip && o.Verb != migrate.Conflict {
		for _, mark := range markLabels[:1] {
			if _, there := live.GetLabels()[mark]; there && !mergesOnly(live) {
				return fmt.Errorf("it still carries the label %s", mark)
			}
		}
	}
	return nil
}

func mergesOnly(u *unstructured.Unstructured) bool {
	const key = "kustomize.toolkit.fluxcd.io/ssa"
	return strings.EqualFold(u.GetAnnotations()[key], "Merge") || strings.EqualFold(u.GetLabels()[key], "Merge") ||
		strings.EqualFold(u.GetAnnotations()[key], "IfNotPresent") || strings.EqualFold(u.GetAnnotations()[key], "Ignore")
}

// changedPaths lists where two objects differ, as JSON paths in the form of
// migrate.ObjectPlan.Fields, without values. Lists of another length are one
// path.
func changedPaths(a, b any) []string {
	var out []string
	var walk func(path string, a, b any)
	walk = func(path string, a, b any) {
		if sameValue(a, b) {
			return
		}
		x, okX := a.(map[string]any)
		y, okY := b.(map[string]any)
		if okX && okY {
			names := map[string]bool{}
			for k := range x {
				names[k] = true
			}
			for k := range y {
				names[k] = true
			}
			for _, k := range sortedKeys(names) {
				walk(path+"."+k, x[k], y[k])
			}
			return
		}
		l, okL := a.([]any)
		m, okM := b.([]any)
		if okL && okM && len(l) == len(m) {
			for i := range l {
				walk(fmt.Sprintf("%s[%d]", path, i), l[i], m[i])
			}
			return
		}
		out = append(out, path)
	}
	walk("", a, b)
	return out
}

// foretold reports whether a changed path is one of the plan's for the object.
// The plan may write list items by key or index, so items are not told apart.
func foretold(path string, o migrate.ObjectPlan) bool {
	switch o.Verb {
	case migrate.Change, migrate.Restart, migrate.Create:
	default:
		return false
	}
	plain := withoutItems(path)
	for _, f := range o.Fields {
		g := withoutItems(f)
		if plain == g || strings.HasPrefix(plain, g+".") || strings.HasPrefix(g, plain+".") {
			return true
		}
	}
	return false
}

// withoutItems drops "[…]" from a JSON path. Brackets inside quotes do not
// occur in the names of list items that matter here.
func withoutItems(path string) string {
	var b strings.Builder
	depth := 0
	for _, c := range path {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case depth == 0:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// ownersOf lists the field managers that own something at or below a path.
func ownersOf(u *unstructured.Unstructured, path string) []string {
	var owners []string
	plain := withoutItems(path)
	for _, e := range u.GetManagedFields() {
		set, err := fieldsOf(e)
		if err != nil {
			continue
		}
		found := false
		set.Iterate(func(p fieldpath.Path) {
			s := withoutItems(p.String())
			found = found || s == plain || strings.HasPrefix(s, plain+".")
		})
		if found && !slices.Contains(owners, e.Manager) {
			owners = append(owners, e.Manager)
		}
	}
	return owners
}

// unpin lets the sources follow their branch: from here on later commits are
// ordinary syncs.
func unpin(ctx context.Context, r *repository) error {
	if err := r.putSources(ctx, false); err != nil {
		return err
	}
	for _, ref := range r.j.plan.Repository.Sources {
		resource, err := r.c.Resource(sourceKind, ref.Namespace)
		if err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, r.limits.source)
		err = follow(limited, resource, metav1.ListOptions{FieldSelector: "metadata.name=" + ref.Name}, func(now objects) (bool, string, error) {
			source := now[ref.Name]
			if source == nil {
				return false, "", fmt.Errorf("GitRepository/%s/%s was deleted meanwhile", ref.Namespace, ref.Name)
			}
			ready := conditionOf(source, "Ready")
			return caughtUp(source) && ready.status == "True", fmt.Sprintf("GitRepository/%s/%s is not Ready: %s", ref.Namespace, ref.Name, ready.message), nil
		})
		cancel()
		if err != nil {
			return fmt.Errorf("wait for the source after unpinning: %w", err)
		}
	}
	return nil
}

// holdAndWatch keeps an eye on the Repository for the hold time, counted from
// when it first began. A Kustomization that is not Ready at its end fails; an
// old agent that somebody started again is reported, and kept out by the
// fence. An abort ends it. A pause does not stop the watching, which changes
// nothing: it holds up the next step.
func holdAndWatch(ctx context.Context, r *repository) error {
	if r.j.HoldFrom == nil {
		now := time.Now().UTC()
		r.j.HoldFrom = &now
		if err := r.save(ctx, "hold"); err != nil {
			return err
		}
	}
	zombies, told := false, false
	for {
		var pods []corev1.Pod
		err := r.outlast(ctx, "hold", func(ctx context.Context) (err error) {
			pods, err = r.oldPods(ctx)
			return err
		})
		if err != nil {
			return err
		}
		if len(pods) > 0 && !zombies {
			r.note("hold", "Pod/%s/%s of the old agent runs again: the fence refuses what it writes; set replicas to 0 where its release is declared", pods[0].Namespace, pods[0].Name)
		}
		zombies = len(pods) > 0
		left := r.hold - time.Since(*r.j.HoldFrom)
		if left <= 0 {
			break
		}
		paused, err := r.pausedBy(ctx)
		if err != nil {
			return err
		}
		if paused != "" && !told {
			r.note("hold", "paused by %s: it is watched on, and settles after \"fluxover resume\"", paused)
		}
		told = paused != ""
		if !pause(ctx, min(left, 5*time.Second)) {
			return ctx.Err()
		}
	}
	if r.hold > 0 {
		if err := r.outlast(ctx, "hold", func(ctx context.Context) error { return adoptedStill(ctx, r) }); err != nil {
			return fmt.Errorf("at the end of the hold: %w", err)
		}
	}
	return nil
}

// settle gives the control objects away: to the capacitor, if there is one,
// and the executor's field ownership in any case.
func settle(ctx context.Context, r *repository) error {
	if r.capacitor != nil {
		if err := r.enterCapacitor(ctx); err != nil {
			return err
		}
	} else {
		r.j.Findings = []migrate.Finding{{
			Severity: migrate.Warning, Code: "NO_CAPACITOR", Subject: r.id, Repository: r.id,
			Message: "its sources and Kustomizations stand in the cluster only, in no repository",
			Hint:    `"fluxover plan --emit DIR" writes them as files; they carry the label ` + migrate.LabelManaged,
		}}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readParallel)
	for _, c := range r.j.Created {
		g.Go(func() error {
			return r.outlast(gctx, "settle", func(ctx context.Context) error { return r.disown(ctx, c) })
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.dropSuperseded(ctx)
}

// disown drops the executor's managedFields entries of a control object.
func (r *repository) disown(ctx context.Context, c created) error {
	return retryConflict(ctx, func(ctx context.Context) error {
		live, err := r.c.Get(ctx, c.gvk(), c.Namespace, c.Name)
		if cluster.IsGone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		var kept []metav1.ManagedFieldsEntry
		for _, e := range live.GetManagedFields() {
			if !executors(e) {
				kept = append(kept, e)
			}
		}
		return r.writeOwnership(ctx, live, kept)
	})
}

// writeOwnership sets managedFields, and nothing else, at the version that was
// read. The API server takes the list of such a write as it is; because no
// other field changes, the writer gets no entry of its own. An empty list
// would be taken for a client that does not know of managedFields; one empty
// entry is how they are cleared (source: Kubernetes, server-side apply,
// "clearing managedFields").
func (r *repository) writeOwnership(ctx context.Context, live *unstructured.Unstructured, want []metav1.ManagedFieldsEntry) error {
	if sameOwnership(live.GetManagedFields(), want) {
		return nil
	}
	list := []any{}
	for _, e := range want {
		item, err := toMap(e)
		if err != nil {
			return err
		}
		list = append(list, item)
	}
	if len(list) == 0 {
		list = append(list, map[string]any{})
	}
	_, err := r.c.MergePatch(ctx, live, map[string]any{"metadata": map[string]any{"managedFields": list}}, migrate.FieldManager)
	return err
}
