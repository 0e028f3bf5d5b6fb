package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/cli-utils/pkg/object"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apiacl "github.com/fluxcd/pkg/apis/acl"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/fluxcd/pkg/ssa"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/fluxover/fluxover/reconcile/build"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

const (
	// statusOwner is the field manager of Kustomization status, as with stock Flux.
	statusOwner = "gotk-" + kustomizeController
	// grace is how long a Kustomization waits without a word for a dependency
	// that is being reconciled, or for what is removed together with it.
	grace = 2 * time.Second
)

// kustomizer reconciles Kustomizations.
type kustomizer struct {
	client   client.Client // cached
	live     client.Reader
	accounts *accounts
	trees    *trees
	events   *events
	lanes    *lanes
	drift    *driftWatch // nil without
	opts     Options
	now      func() time.Time
	log      *slog.Logger
	// neighbourLimit is the constant of that name.
	neighbourLimit time.Duration
	// renderings are as many as are done at a time for others that may not wait for
	// them any more.
	renderings chan struct{}

	mu     sync.Mutex
	states map[types.NamespacedName]*kustomizationState
}

// kustomizationState is what is remembered of a Kustomization between two
// looks. One worker at a time has it: the queue hands out a name only once.
type kustomizationState struct {
	written string // resource version of the last status written
	last    *check
	health  *pendingHealth
	seen    sightings
	// awaited are the objects whose health decides, and jobs those among them
	// that may be gone.
	awaited []*unstructured.Unstructured
	jobs    map[object.ObjMetadata]bool
	// waitingSince is when a pending dependency was first met.
	waitingSince time.Time
	// untoldSince is when it could first not be told what others have of a removed one.
	untoldSince time.Time
	// driftGap and mendedAt bound how often drift is mended.
	driftGap time.Duration
	mendedAt time.Time
}

// setback is an attempt that did not succeed, with the reason for Ready=False.
type setback struct {
	reason string
	err    error
}

func (s *setback) Error() string { return s.err.Error() }
func (s *setback) Unwrap() error { return s.err }

func (r *kustomizer) state(name types.NamespacedName) *kustomizationState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.states[name] == nil {
		if r.states == nil {
			r.states = map[types.NamespacedName]*kustomizationState{}
		}
		r.states[name] = &kustomizationState{}
	}
	return r.states[name]
}

func (r *kustomizer) forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.states, name)
}

// Reconcile brings one Kustomization up to date, or finds that nothing is due.
func (r *kustomizer) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	state := r.state(request.NamespacedName)
	k := &kustomizev1.Kustomization{}
	if err := freshest(ctx, r.client, r.live, request.NamespacedName, k, state.written); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(request.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, err
	}
	if !k.DeletionTimestamp.IsZero() {
		return r.remove(ctx, state, k)
	}
	if !controllerutil.ContainsFinalizer(k, kustomizev1.KustomizationFinalizer) {
		before := k.DeepCopy()
		controllerutil.AddFinalizer(k, kustomizev1.KustomizationFinalizer)
		if err := setFinalizers(ctx, r.client, before, k, statusOwner); err != nil {
			return ctrl.Result{}, err
		}
	}
	before := k.DeepCopy()
	if k.Spec.Suspend {
		state.health, state.last = nil, nil
		return ctrl.Result{}, r.settle(ctx, state, before, k)
	}
	result, err := r.attempt(ctx, state, before, k)
	if err != nil {
		return ctrl.Result{}, err
	}
	return result, r.settle(ctx, state, before, k)
}

// attempt does what is due and leaves the outcome in k's status. Its error is
// one that no status can tell, such as an API server that does not answer.
func (r *kustomizer) attempt(ctx context.Context, state *kustomizationState, before, k *kustomizev1.Kustomization) (ctrl.Result, error) {
	if message := unsupported(kustomizationFields, k); message != "" {
		r.stall(state, k, UnsupportedFieldReason, message)
		k.Status.ObservedGeneration = k.Generation
		return ctrl.Result{}, nil
	}
	if message := r.accessDenied(k); message != "" {
		r.stall(state, k, apiacl.AccessDeniedReason, message)
		return ctrl.Result{}, nil
	}
	conditions.Delete(k, fluxmeta.StalledCondition)
	artifact, result, err := r.source(ctx, k)
	if artifact == nil {
		return result, err
	}
	if result, err := r.dependencies(ctx, state, k, artifact.Revision, r.client); err != nil || result != nil {
		return *orNow(result), err
	}
	referred, err := r.referredVersion(ctx, k)
	if err != nil {
		return ctrl.Result{}, err
	}

	in := inputsOf(k, artifact, referred)
	if state.health != nil && state.last != nil && state.last.inputs == in {
		return r.awaitHealth(ctx, state, k, artifact.Revision)
	}
	drifted, mendAfter := r.drifted(state, k)
	todo, why, next := decide(r.now(), r.opts.FullCheck, k, in, state.last, drifted)
	if mendAfter > 0 {
		next = earlier(next, r.now().Add(mendAfter))
	}
	after := func() ctrl.Result { return ctrl.Result{RequeueAfter: max(next.Sub(r.now()), time.Millisecond)} }
	switch todo {
	case idle:
		return after(), nil
	case checkHealth:
		if len(state.awaited) == 0 {
			return after(), nil
		}
		state.health = &pendingHealth{
			objects: state.awaited, finishedJobs: state.jobs, began: r.now(), deadline: r.now().Add(k.GetTimeout()), quiet: true,
		}
		return r.awaitHealth(ctx, state, k, artifact.Revision)
	}

	// The dependencies seemed ready in the cache. Before acting on it ask the
	// server: the cache may be a moment behind.
	if result, err := r.dependencies(ctx, state, k, artifact.Revision, r.live); err != nil || result != nil {
		return *orNow(result), err
	}
	t, done := r.trees.use(sourceName(k), artifact.Revision, artifact.Digest)
	if t == nil {
		return r.noTree(k), nil // woken when it comes
	}
	defer done()
	enter := r.lanes.enter
	if state.last == nil && k.Status.LastAppliedRevision == "" {
		enter = r.lanes.enterFirst
	}
	leave, err := enter(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	defer leave()
	r.log.Debug("reconciling", "kustomization", client.ObjectKeyFromObject(k).String(), "why", why, "revision", artifact.Revision)
	return r.reconcile(ctx, state, before, k, t, in, todo == verify)
}

// reconcile renders, applies, prunes and checks health. A quiet one writes no
// status unless it finds something.
func (r *kustomizer) reconcile(ctx context.Context, state *kustomizationState, before, k *kustomizev1.Kustomization, t *tree, in inputs, quiet bool) (ctrl.Result, error) {
	name := client.ObjectKeyFromObject(k)
	began := r.now()
	timeout := k.GetTimeout()
	working, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	state.health = nil

	if !quiet {
		if isFolder, found := t.artifact.Has(build.Folder(k.Spec.Path)); found && isFolder {
			k.Status.LastAttemptedRevision = t.revision
		}
		conditions.MarkUnknown(k, fluxmeta.ReadyCondition, fluxmeta.ProgressingReason, "%s", "Reconciliation in progress")
		conditions.MarkReconciling(k, fluxmeta.ProgressingReason, "Building manifests for revision %s with a timeout of %s", t.revision, timeout)
		if err := r.write(ctx, state, before, k); err != nil {
			return ctrl.Result{}, err
		}
		*before = *k.DeepCopy()
	}

	outcome := &finding{revision: t.revision}
	err := r.bring(working, state, k, t, in.referred, outcome)
	if err != nil && ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err() // ending; status keeps saying that work was going on
	}
	var failed *setback
	if err != nil && !errors.As(err, &failed) {
		failed = &setback{fluxmeta.ReconciliationFailedReason, err}
	}
	if failed != nil {
		state.last = &check{inputs: in, at: r.now(), failed: true, retryAt: r.now().Add(k.GetRetryInterval())}
		r.fail(k, failed, t.revision, outcome.digest, began)
		return ctrl.Result{RequeueAfter: k.GetRetryInterval()}, nil
	}

	state.last = &check{inputs: in, at: r.now()}
	k.Status.LastAttemptedRevision = t.revision
	r.log.Info("reconciled", "kustomization", name.String(), "revision", t.revision, "changed", outcome.changed, "took", r.now().Sub(began).String())
	state.awaited, err = awaited(k, outcome.changes)
	state.jobs = outcome.jobs
	switch {
	case err != nil:
		r.fail(k, &setback{fluxmeta.HealthCheckFailedReason, err}, t.revision, outcome.digest, began)
		return ctrl.Result{RequeueAfter: k.GetRetryInterval()}, nil
	case len(state.awaited) > 0:
		state.health = &pendingHealth{
			objects: state.awaited, finishedJobs: state.jobs, digest: outcome.digest,
			began: began, deadline: r.now().Add(timeout), quiet: quiet && !outcome.changed,
			news: !conditions.IsTrue(before, fluxmeta.HealthyCondition) || (k.Status.LastAppliedRevision != t.revision && outcome.applied),
		}
		return r.awaitHealth(ctx, state, k, t.revision)
	}
	conditions.Delete(k, fluxmeta.HealthyCondition)
	if quiet && !outcome.changed {
		fullChecksTotal.Inc()
	} else {
		r.succeed(k, t.revision, outcome.digest, began)
	}
	return ctrl.Result{RequeueAfter: k.GetRequeueAfter()}, nil
}

// finding is what an attempt found.
type finding struct {
	revision string
	digest   string
	changes  *ssa.ChangeSet
	changed  bool // something was written or deleted
	applied  bool // something was written by applying
	// empty is why nothing may be deleted; the build has no object then, and all that
	// there was had moved when it was looked.
	empty error
	jobs  map[object.ObjMetadata]bool
}

// bring renders the objects and makes the cluster hold them, and not those that
// are no longer among them. It sets the inventory once all stages were applied.
func (r *kustomizer) bring(ctx context.Context, state *kustomizationState, k *kustomizev1.Kustomization, t *tree, referred string, out *finding) error {
	input, err := r.input(ctx, k, t.artifact)
	if err != nil {
		return &setback{fluxmeta.BuildFailedReason, err}
	}
	rendering, err := r.render(ctx, input)
	switch {
	case errors.Is(err, build.ErrPathNotFound):
		return &setback{fluxmeta.ArtifactFailedReason, err}
	case errors.Is(err, build.ErrEncrypted):
		return &setback{fluxmeta.ReconciliationFailedReason, err}
	case err != nil:
		return &setback{fluxmeta.BuildFailedReason, err}
	}
	if out.digest, err = rendering.Digest(); err != nil {
		return &setback{fluxmeta.BuildFailedReason, err}
	}
	t.built.Store(builtAs{kustomization: k.UID, generation: k.Generation}, finished(referred, idsOf(rendering.Objects)))
	if out.empty = refuseEmptyBuild(k, len(rendering.Objects), t.revision); out.empty != nil && !r.allMoved(ctx, k, t) {
		return &setback{fluxmeta.PruneFailedReason, out.empty}
	}
	out.jobs = map[object.ObjMetadata]bool{}
	for _, id := range ssautil.ExtractJobsWithTTL(rendering.Objects) {
		out.jobs[id] = true
	}

	writer, err := r.accounts.client(k)
	if err != nil {
		return &setback{fluxmeta.ReconciliationFailedReason, fmt.Errorf("failed to build kube client: %w", err)}
	}
	manager := newManager(writer, &state.seen, r.opts.ConcurrentSSA)
	changes, changed, err := apply(ctx, manager, k, rendering, r.opts.OverrideManagers)
	if err != nil {
		return &setback{fluxmeta.ReconciliationFailedReason, err}
	}
	out.changes, out.applied, out.changed = changes, changed != "", changed != ""
	if changed != "" {
		r.tell(k, severityInfo, changed, t.revision, nil)
	}
	return r.prune(ctx, state, manager, k, t, out)
}

// input is what the objects of k are rendered from: an artifact, variables and keys.
func (r *kustomizer) input(ctx context.Context, k *kustomizev1.Kustomization, artifact *build.Artifact) (build.Input, error) {
	variables, err := r.variables(ctx, k)
	if err != nil {
		return build.Input{}, fmt.Errorf("post build failed: %w", err)
	}
	keys, err := r.decryptionKeys(ctx, k)
	if err != nil {
		return build.Input{}, err
	}
	return build.Input{Artifact: artifact, Kustomization: k, Variables: variables, StrictSubstitution: true, Keys: keys}, nil
}

// render builds the objects.
func (r *kustomizer) render(ctx context.Context, input build.Input) (*build.Rendering, error) {
	buildsTotal.Inc()
	return build.Render(ctx, input)
}

// prune records the new inventory and deletes what left it, but for what another
// Kustomization has: that stays in the inventory until the other has applied it.
func (r *kustomizer) prune(ctx context.Context, state *kustomizationState, manager *ssa.ResourceManager, k *kustomizev1.Kustomization, t *tree, out *finding) error {
	old := k.Status.Inventory
	k.Status.Inventory = inventoryOf(out.changes)
	applied := *k.Status.Inventory
	// At the end: what is read to delete it, or to see whose it is, is not watched.
	defer r.watchKinds(state, &applied)
	stale, err := leftOut(old, k.Status.Inventory)
	if err != nil {
		k.Status.Inventory = old
		return &setback{fluxmeta.ReconciliationFailedReason, err}
	}
	if !k.Spec.Prune || len(stale) == 0 {
		return nil
	}
	heirs, err := r.heirs(ctx, k, t, stale)
	if err != nil {
		retain(k.Status.Inventory, stale)
		return &setback{fluxmeta.PruneFailedReason, fmt.Errorf("%d objects left the build, and nothing was deleted: %w", len(stale), err)}
	}
	if stale, err = r.leaveToHeirs(ctx, manager, k, stale, heirs, out.revision); err != nil {
		return &setback{fluxmeta.PruneFailedReason, err}
	}
	if len(stale) == 0 {
		return nil
	}
	if out.empty != nil { // who had them a moment ago may be gone
		retain(k.Status.Inventory, stale)
		return &setback{fluxmeta.PruneFailedReason, out.empty}
	}
	if err := refuseOverBudget(k, len(stale), r.opts.DeletionBudget); err != nil {
		retain(k.Status.Inventory, stale)
		return &setback{fluxmeta.PruneFailedReason, err}
	}
	deleted, err := deleteOwned(ctx, manager, k, stale)
	if err != nil {
		retain(k.Status.Inventory, unconfirmed(stale, deleted))
		return &setback{fluxmeta.PruneFailedReason, err}
	}
	if deleted != nil && len(deleted.Entries) > 0 {
		out.changed = true
		r.tell(k, severityInfo, deleted.String(), out.revision, nil)
		r.log.Info("pruned", "kustomization", client.ObjectKeyFromObject(k).String(), "objects", len(deleted.Entries))
	}
	return nil
}

// awaitHealth looks at what is awaited. It holds no worker until all is healthy:
// it says when to look again.
func (r *kustomizer) awaitHealth(ctx context.Context, state *kustomizationState, k *kustomizev1.Kustomization, revision string) (ctrl.Result, error) {
	pending := state.health
	reader, err := r.accounts.client(k)
	if err != nil {
		return ctrl.Result{}, err
	}
	done, err := pending.look(ctx, reader, r.now())
	took := r.now().Sub(pending.began)
	switch {
	case err != nil:
		state.health = nil
		state.last.failed, state.last.retryAt = true, r.now().Add(k.GetRetryInterval())
		conditions.MarkFalse(k, fluxmeta.HealthyCondition, fluxmeta.HealthCheckFailedReason, "%s", err)
		r.fail(k, &setback{fluxmeta.HealthCheckFailedReason, fmt.Errorf("health check failed after %s: %w", took, err)}, revision, pending.digest, pending.began)
		return ctrl.Result{RequeueAfter: k.GetRetryInterval()}, nil
	case done:
		state.health = nil
		if !pending.quiet || !conditions.IsTrue(k, fluxmeta.HealthyCondition) || !conditions.IsReady(k) {
			message := fmt.Sprintf("Health check passed in %s", took)
			if pending.news {
				r.tell(k, severityInfo, message, revision, nil)
			}
			conditions.MarkTrue(k, fluxmeta.HealthyCondition, fluxmeta.SucceededReason, "%s", message)
			r.succeed(k, revision, pending.digest, pending.began)
		}
		return ctrl.Result{RequeueAfter: k.GetRequeueAfter()}, nil
	}
	message := fmt.Sprintf("Running health checks for revision %s with a timeout of %s", revision, k.GetTimeout())
	conditions.MarkReconciling(k, fluxmeta.ProgressingReason, "%s", message)
	conditions.MarkUnknown(k, fluxmeta.ReadyCondition, fluxmeta.ProgressingReason, "%s", "Reconciliation in progress")
	conditions.MarkUnknown(k, fluxmeta.HealthyCondition, fluxmeta.ProgressingReason, "%s", message)
	return ctrl.Result{RequeueAfter: min(healthPoll, max(pending.deadline.Sub(r.now()), time.Millisecond))}, nil
}

// accessDenied returns a message, in the words of Flux, when k refers to another
// namespace although that is not allowed.
func (r *kustomizer) accessDenied(k *kustomizev1.Kustomization) string {
	if !r.opts.NoCrossNamespaceRefs {
		return ""
	}
	const message = "can't access '%s/%s', cross-namespace references have been blocked"
	if name := sourceName(k); name.Namespace != k.Namespace {
		return fmt.Sprintf(message, k.Spec.SourceRef.Kind, name)
	}
	for _, reference := range k.Spec.DependsOn {
		if name := dependencyName(k, reference); name.Namespace != k.Namespace {
			return fmt.Sprintf(message, kustomizev1.KustomizationKind, name)
		}
	}
	return ""
}

// source returns the artifact that k builds from, nil when there is none; then
// k's status says why.
func (r *kustomizer) source(ctx context.Context, k *kustomizev1.Kustomization) (*fluxmeta.Artifact, ctrl.Result, error) {
	name := sourceName(k)
	repository := &sourcev1.GitRepository{}
	if err := r.client.Get(ctx, name, repository); err != nil {
		if !apierrors.IsNotFound(err) {
			return nil, ctrl.Result{}, err
		}
		conditions.MarkFalse(k, fluxmeta.ReadyCondition, fluxmeta.ArtifactFailedReason, "%s", err)
		return nil, ctrl.Result{RequeueAfter: k.GetRetryInterval()}, nil
	}
	if repository.Status.Artifact == nil {
		conditions.MarkFalse(k, fluxmeta.ReadyCondition, fluxmeta.ArtifactFailedReason,
			"Source artifact not found, retrying in %s", r.opts.RequeueDependency)
		return nil, ctrl.Result{RequeueAfter: r.opts.RequeueDependency}, nil
	}
	return repository.Status.Artifact, ctrl.Result{}, nil
}

// noTree is the outcome when the tree of the artifact is not there yet, as right
// after a start. What is Ready stays so.
func (r *kustomizer) noTree(k *kustomizev1.Kustomization) ctrl.Result {
	if !conditions.IsReady(k) {
		conditions.MarkFalse(k, fluxmeta.ReadyCondition, fluxmeta.ArtifactFailedReason,
			"Source is not ready, artifact not found, retrying in %s", r.opts.RequeueDependency)
	}
	return ctrl.Result{RequeueAfter: r.opts.RequeueDependency}
}

// dependencies returns a result when k has to wait for a dependency.
func (r *kustomizer) dependencies(ctx context.Context, state *kustomizationState, k *kustomizev1.Kustomization, revision string, reader client.Reader) (*ctrl.Result, error) {
	err := checkDependencies(ctx, reader, k, revision)
	var unmet *unmetDependency
	if !errors.As(err, &unmet) {
		state.waitingSince = time.Time{}
		return nil, err
	}
	now := r.now()
	if state.waitingSince.IsZero() {
		state.waitingSince = now
	}
	if left := grace - now.Sub(state.waitingSince); unmet.pending && left > 0 {
		return &ctrl.Result{RequeueAfter: left}, nil
	}
	if conditions.GetMessage(k, fluxmeta.ReadyCondition) != unmet.message {
		conditions.MarkFalse(k, fluxmeta.ReadyCondition, fluxmeta.DependencyNotReadyReason, "%s", unmet.message)
		r.tell(k, severityInfo, fmt.Sprintf("Dependencies do not meet ready condition, retrying in %s", r.opts.RequeueDependency), revision, nil)
	}
	return &ctrl.Result{RequeueAfter: r.opts.RequeueDependency}, nil
}

// drifted tells whether a watch saw an object of k differ. If drift was mended a
// moment ago it says when to look again instead.
func (r *kustomizer) drifted(state *kustomizationState, k *kustomizev1.Kustomization) (mend bool, after time.Duration) {
	if r.drift == nil {
		return false, 0
	}
	id, found := r.drift.drifted(state.seen.all())
	if !found {
		return false, 0
	}
	now := r.now()
	if since := now.Sub(state.mendedAt); since < state.driftGap {
		return false, state.driftGap - since
	} else if since > k.GetRequeueAfter() {
		state.driftGap = firstDriftGap
	} else {
		state.driftGap = min(2*state.driftGap, max(k.GetRequeueAfter(), firstDriftGap))
	}
	state.mendedAt = now
	driftsTotal.Inc()
	r.log.Info("drift seen", "kustomization", client.ObjectKeyFromObject(k).String(), "object", ssautil.FmtObjMetadata(id))
	return true, 0
}

// watchKinds watches the kinds of an inventory for drift, and forgets what k no
// longer has.
func (r *kustomizer) watchKinds(state *kustomizationState, inventory *kustomizev1.ResourceInventory) {
	var ids []object.ObjMetadata
	for _, entry := range inventory.Entries {
		if id, err := object.ParseObjMetadata(entry.ID); err == nil {
			ids = append(ids, id)
			if r.drift != nil {
				r.drift.watch(id.GroupKind.WithVersion(entry.Version))
			}
		}
	}
	state.seen.keepOnly(ids)
}

// variables reads the ConfigMaps and Secrets of postBuild.substituteFrom, later
// ones overruling earlier ones.
func (r *kustomizer) variables(ctx context.Context, k *kustomizev1.Kustomization) (map[string]string, error) {
	if k.Spec.PostBuild == nil {
		return nil, nil
	}
	variables := map[string]string{}
	for _, reference := range k.Spec.PostBuild.SubstituteFrom {
		key := client.ObjectKey{Namespace: k.Namespace, Name: reference.Name}
		var err error
		switch reference.Kind {
		case "ConfigMap":
			found := &corev1.ConfigMap{}
			if err = r.live.Get(ctx, key, found); err == nil {
				for name, value := range found.Data {
					variables[name] = strings.ReplaceAll(value, "\n", "")
				}
			}
		case "Secret":
			found := &corev1.Secret{}
			if err = r.live.Get(ctx, key, found); err == nil {
				for name, value := range found.Data {
					variables[name] = strings.ReplaceAll(string(value), "\n", "")
				}
			}
		default:
			err = fmt.Errorf("kind is neither ConfigMap nor Secret")
		}
		if err != nil && !(reference.Optional && apierrors.IsNotFound(err)) {
			return nil, fmt.Errorf("substitute from '%s/%s' error: %w", reference.Kind, reference.Name, err)
		}
	}
	return variables, nil
}

// decryptionKeys reads the Secret of spec.decryption.secretRef; nil if k names
// none. Neither keys nor Secret are kept between two attempts.
func (r *kustomizer) decryptionKeys(ctx context.Context, k *kustomizev1.Kustomization) (*build.Keys, error) {
	if k.Spec.Decryption == nil || k.Spec.Decryption.SecretRef == nil {
		return nil, nil
	}
	provider, key := k.Spec.Decryption.Provider, client.ObjectKey{Namespace: k.Namespace, Name: k.Spec.Decryption.SecretRef.Name}
	secret := &corev1.Secret{}
	if err := r.live.Get(ctx, key, secret); err != nil {
		return nil, fmt.Errorf("cannot get %s decryption Secret '%s': %w", provider, key, err)
	}
	keys, err := build.ReadKeys(secret.Data)
	if err != nil {
		return nil, fmt.Errorf("%s decryption Secret '%s': %w", provider, key, err)
	}
	return keys, nil
}

// referredVersion tells versions of the objects that k's rendering takes values
// from, those of substituteFrom and the Secret of decryption, without reading
// their content. It is "" where there are none.
func (r *kustomizer) referredVersion(ctx context.Context, k *kustomizev1.Kustomization) (string, error) {
	var referred []kustomizev1.SubstituteReference
	if k.Spec.PostBuild != nil {
		referred = slices.Clone(k.Spec.PostBuild.SubstituteFrom)
	}
	if d := k.Spec.Decryption; d != nil && d.SecretRef != nil {
		referred = append(referred, kustomizev1.SubstituteReference{Kind: "Secret", Name: d.SecretRef.Name})
	}
	var version strings.Builder
	for _, reference := range referred {
		m := &metav1.PartialObjectMetadata{}
		m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(reference.Kind))
		err := r.live.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: reference.Name}, m)
		if err != nil && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("look at %s %s/%s: %w", reference.Kind, k.Namespace, reference.Name, err)
		}
		fmt.Fprintf(&version, "%s/%s=%s/%s ", reference.Kind, reference.Name, m.UID, m.ResourceVersion)
	}
	return version.String(), nil
}

// remove lets go of a Kustomization that is being deleted: what it applied is
// deleted too where its fields say so (deletesOnRemoval), and kept in every
// other case.
func (r *kustomizer) remove(ctx context.Context, state *kustomizationState, k *kustomizev1.Kustomization) (ctrl.Result, error) {
	name := client.ObjectKeyFromObject(k)
	if !controllerutil.ContainsFinalizer(k, kustomizev1.KustomizationFinalizer) {
		r.forget(name)
		return ctrl.Result{}, nil
	}
	if deletesOnRemoval(k) {
		// The cache may not yet know that it was orphaned a moment ago.
		if err := r.live.Get(ctx, name, k); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
	}
	if deletesOnRemoval(k) {
		leave, err := r.lanes.enter(ctx)
		if err != nil {
			return ctrl.Result{}, err
		}
		defer leave()
		before := k.DeepCopy()
		if err := r.deleteAll(ctx, state, k); err != nil {
			why, retry := untold{}, k.GetRetryInterval()
			if errors.As(err, &why) && why.early {
				if state.untoldSince.IsZero() {
					state.untoldSince = r.now()
				}
				if r.now().Sub(state.untoldSince) < r.opts.RequeueDependency {
					return ctrl.Result{RequeueAfter: grace}, nil
				}
				retry = min(retry, r.opts.RequeueDependency)
			}
			r.log.Error("objects of a removed Kustomization stay", "kustomization", name.String(), "error", err)
			var refused *setback
			if errors.As(err, &refused) {
				if conditions.GetMessage(k, fluxmeta.ReadyCondition) != err.Error() {
					conditions.MarkFalse(k, fluxmeta.ReadyCondition, refused.reason, "%s", err)
					r.tell(k, severityError, err.Error(), k.Status.LastAppliedRevision, nil)
				}
				// Woken by the annotation that allows it, or by orphaning.
				return ctrl.Result{RequeueAfter: retry}, r.write(ctx, state, before, k)
			}
			return ctrl.Result{}, err
		}
	}
	before := k.DeepCopy()
	controllerutil.RemoveFinalizer(k, kustomizev1.KustomizationFinalizer)
	if err := setFinalizers(ctx, r.client, before, k, statusOwner); err != nil {
		return ctrl.Result{}, err
	}
	r.forget(name)
	return ctrl.Result{}, nil
}

// deleteAll deletes the inventory of k, as k's account. When that account is
// gone nothing is deleted and an event says what stays, as with stock Flux.
func (r *kustomizer) deleteAll(ctx context.Context, state *kustomizationState, k *kustomizev1.Kustomization) error {
	revision := k.Status.LastAppliedRevision
	if k.Spec.KubeConfig != nil {
		return &setback{UnsupportedFieldReason, errors.New("this agent does not support spec.kubeConfig: what this Kustomization applied to another cluster is not deleted; set deletionPolicy to Orphan to let go of it")}
	}
	objects, err := inventoryObjects(k.Status.Inventory)
	if err != nil {
		return err
	}
	if err := refuseOverBudget(k, len(objects), r.opts.DeletionBudget); err != nil {
		return &setback{fluxmeta.PruneFailedReason, err}
	}
	there, err := r.accounts.exists(ctx, k)
	if err != nil {
		return err
	}
	if !there {
		r.tell(k, severityError, fmt.Sprintf("unable to prune objects: \n%s", ssautil.FmtUnstructuredList(objects)), revision, nil)
		return nil
	}
	writer, err := r.accounts.client(k)
	if err != nil {
		return err
	}
	if objects, err = r.withoutHeirs(ctx, k, objects); err != nil {
		return &setback{fluxmeta.PruneFailedReason, err}
	}
	manager := newManager(writer, &state.seen, r.opts.ConcurrentSSA)
	deleted, err := deleteOwned(ctx, manager, k, objects)
	if err != nil {
		r.tell(k, severityError, "pruning for deleted resource failed", revision, nil)
		return err
	}
	if deleted == nil || len(deleted.Entries) == 0 {
		return nil
	}
	r.tell(k, severityInfo, deleted.String(), revision, nil)
	if k.GetDeletionPolicy() == kustomizev1.DeletionPolicyWaitForTermination {
		if err := manager.WaitForSetTermination(deleted, ssa.WaitOptions{Interval: healthPoll, Timeout: k.GetTimeout()}); err != nil {
			r.log.Error("objects do not go away", "kustomization", client.ObjectKeyFromObject(k).String(), "error", err)
			r.tell(k, severityError, "failed to wait for resources termination", revision, nil)
		}
	}
	return nil
}

// succeed marks k as applied at revision.
func (r *kustomizer) succeed(k *kustomizev1.Kustomization, revision, digest string, began time.Time) {
	k.Status.LastAppliedRevision = revision
	k.Status.LastAppliedOriginRevision = "" // only artifacts of other kinds have one
	conditions.MarkTrue(k, fluxmeta.ReadyCondition, fluxmeta.ReconciliationSucceededReason, "Applied revision: %s", revision)
	r.remember(k, digest, began, fluxmeta.ReconciliationSucceededReason, revision)
	r.tell(k, severityInfo, fmt.Sprintf("Reconciliation finished in %s, next run in %s", r.now().Sub(began), k.Spec.Interval.Duration),
		revision, map[string]string{metaCommitStatus: commitStatusUpdate})
}

// fail marks k as not applied.
func (r *kustomizer) fail(k *kustomizev1.Kustomization, failed *setback, revision, digest string, began time.Time) {
	// Reconciling keeps telling how far the attempt came.
	stage := "Detecting drift"
	switch failed.reason {
	case fluxmeta.ArtifactFailedReason:
		stage = "Fetching manifests"
	case fluxmeta.BuildFailedReason:
		stage = "Building manifests"
	case fluxmeta.HealthCheckFailedReason:
		stage = "Running health checks"
	}
	conditions.MarkReconciling(k, fluxmeta.ProgressingReason, "%s for revision %s with a timeout of %s", stage, revision, k.GetTimeout())
	conditions.MarkFalse(k, fluxmeta.ReadyCondition, failed.reason, "%s", failed.err)
	if digest != "" && failed.reason != fluxmeta.BuildFailedReason {
		r.remember(k, digest, began, failed.reason, revision)
	}
	r.tell(k, severityError, failed.Error(), revision, nil)
	r.log.Error("not reconciled", "kustomization", client.ObjectKeyFromObject(k).String(), "reason", failed.reason,
		"revision", revision, "retry", k.GetRetryInterval().String(), "error", failed.err)
}

func (r *kustomizer) remember(k *kustomizev1.Kustomization, digest string, began time.Time, reason, revision string) {
	if digest == "" {
		// A look at the health alone renders nothing; its digest is the last one's.
		latest := k.Status.History.Latest()
		if latest == nil {
			return
		}
		digest = latest.Digest
	}
	k.Status.History.Upsert(digest, r.now(), r.now().Sub(began), reason, map[string]string{"revision": revision})
}

// stall marks k as not worth trying again before it changes.
func (r *kustomizer) stall(state *kustomizationState, k *kustomizev1.Kustomization, reason, message string) {
	state.last, state.health = nil, nil
	news := !conditions.IsStalled(k) || conditions.GetMessage(k, fluxmeta.ReadyCondition) != message
	conditions.MarkFalse(k, fluxmeta.ReadyCondition, reason, "%s", message)
	conditions.MarkStalled(k, reason, "%s", message)
	if news {
		r.tell(k, severityError, message, "", nil)
	}
}

func (r *kustomizer) tell(k *kustomizev1.Kustomization, severity, message, revision string, metadata map[string]string) {
	all := map[string]string{metaRevision: revision}
	for key, value := range metadata {
		all[key] = value
	}
	reason := conditions.GetReason(k, fluxmeta.ReadyCondition)
	if reason == "" {
		reason = severity
	}
	r.events.send(k, group, severity, reason, message, all)
}

// settle completes the status of a finished look and writes it if it differs.
// A suspended Kustomization comes here too: it echoes requests and nothing else.
func (r *kustomizer) settle(ctx context.Context, state *kustomizationState, before, k *kustomizev1.Kustomization) error {
	if value, ok := fluxmeta.ReconcileAnnotationValue(k.GetAnnotations()); ok {
		k.Status.SetLastHandledReconcileRequest(value)
	}
	if conditions.IsTrue(k, fluxmeta.ReadyCondition) {
		conditions.Delete(k, fluxmeta.ReconcilingCondition)
		k.Status.ObservedGeneration = k.Generation
	}
	if conditions.IsFalse(k, fluxmeta.ReadyCondition) && conditions.Has(k, fluxmeta.ReconcilingCondition) {
		reconciling := conditions.Get(k, fluxmeta.ReconcilingCondition)
		reconciling.Reason = fluxmeta.ProgressingWithRetryReason
		conditions.Set(k, reconciling)
	}
	return r.write(ctx, state, before, k)
}

func (r *kustomizer) write(ctx context.Context, state *kustomizationState, before, k *kustomizev1.Kustomization) error {
	version, err := writeStatus(ctx, r.client, before, k, statusOwner)
	if version != "" {
		state.written = version
	}
	return err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func orNow(result *ctrl.Result) *ctrl.Result {
	if result == nil {
		return &ctrl.Result{}
	}
	return result
}
