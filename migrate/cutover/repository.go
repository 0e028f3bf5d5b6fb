package cutover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/build"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// When says where, around a journal entry, a crash is simulated.
type When string

const (
	BeforeStarted When = "before-started"
	AfterStarted  When = "after-started"
	BeforeDone    When = "before-done"
	AfterDone     When = "after-done"
)

// Marks are what a Git server says about a Repository.
type Marks struct {
	// Synced is the commit that the old agent's sync mark names.
	Synced string
	// Head of the branch; empty if not known.
	Head string
}

// MarksFunc reads an agent's sync mark and its branch's head, with the
// smallest query there is. credential is the data of the copied Git Secret;
// nil for anonymous access. It must not keep it.
type MarksFunc func(ctx context.Context, agent AgentGit, credential map[string][]byte) (Marks, error)

// AgentGit is what must be known to read an agent's sync mark.
type AgentGit struct {
	Repository string
	// URL in the form of Flux v2, without credentials.
	URL     string
	Branch  string
	SyncTag string
	// State is "git" (a tag) or "secret" (an annotation on Secret
	// Namespace/SecretName; this package reads it itself).
	State, Namespace, SecretName string
}

// env is what steps of all Repositories share.
type env struct {
	c     *cluster.Client
	store store
	who   Identity
	run   string
	emit  func(Event)
	crash func(repository, step string, when When) bool
	marks MarksFunc
	// held ends when the Lease is lost: then nothing may be written.
	held context.Context
	// gaps holds an element for each Repository that is without an engine.
	gaps chan struct{}
	// quiet is shared by loud steps and had alone by a Repository in its gap.
	quiet *semaphore.Weighted
	// silent holds, by namespace/name, what leases of engines said that were
	// watched and not renewed.
	silent sync.Map
	// shared serialises writes to objects that several Repositories use.
	shared sync.Mutex

	replan    Replan
	capacitor Capacitor
	commits   Commits
	hold      time.Duration
	syncWait  time.Duration
	limits    limits
	back      backOptions
}

// limits of waits that depend on other programs.
type limits struct {
	source, pods, adopt, fence, echo, ready time.Duration
}

var defaultLimits = limits{
	source: 2 * time.Minute,
	pods:   5 * time.Minute,
	adopt:  5 * time.Minute,
	fence:  30 * time.Second,
	echo:   time.Minute,
	ready:  5 * time.Minute,
}

// repository is one Repository on its way, forward or back.
type repository struct {
	*env
	id string
	j  *journal
	// interruptible ends when a person interrupts the run; nil: never. What
	// must not be left half-done runs on held instead.
	interruptible context.Context
	// fresh is true once this process has checked the plan's inputs, taken once
	// it has taken the snapshot.
	fresh, taken bool
	// syncDue is true if the newest inventory found the branch ahead of the mark
	// of an old agent that is not scaled to 0.
	syncDue bool
	// manifests by object id as Flux v1 applies them, and ids of live objects
	// with the old agent's mark; from the newest inventory of this process.
	manifests map[string]*unstructured.Unstructured
	marked    []string
	// keys are those with which the newest plan was proved; nil if this process
	// made none.
	keys *build.Keys
	snap *snapshot
	// answered is true once the new agent has answered this process for every
	// staged Kustomization.
	answered bool
	// credential is the copied Git Secret, once read.
	credential map[string][]byte
	// inGap is true while this Repository holds an element of gaps.
	inGap bool
	// hushed is true while it has the quiet alone.
	hushed bool
	// fenced is true once this process has seen the fence in force and no pod.
	fenced bool
	head   *headState
}

func (r *repository) note(step, format string, args ...any) {
	r.emit(Event{At: time.Now(), Repository: r.id, Step: step, State: EventNote, Message: fmt.Sprintf(format, args...)})
}

// record writes one entry, with whatever else of the journal changed.
func (r *repository) record(ctx context.Context, step string, state State, message string) error {
	r.j.add(Entry{Step: step, State: state, At: time.Now().UTC(), By: r.who.who(), Message: message})
	return r.save(ctx, step)
}

// save writes the journal, and outlasts passing trouble of the API server for
// at most troubleLimit.
func (r *repository) save(ctx context.Context, step string) error {
	limited, cancel := context.WithTimeout(ctx, troubleLimit)
	defer cancel()
	return r.outlast(limited, step, func(ctx context.Context) error { return r.store.save(ctx, r.j) })
}

// troubleLimit bounds how long passing trouble of the API server is outlasted
// where no step's limit does; about as long as a control plane takes to restart.
const troubleLimit = 3 * time.Minute

// errors of recording after a failure get a short time of their own.
const recordLimit = 15 * time.Second

// forward runs one step: before-values and "started" first, then the act, then
// "done" with what came of it.
func (r *repository) forward(ctx context.Context, s *step) error {
	begun := time.Now()
	if r.crashed(r.id, s.Name, BeforeStarted) {
		return errCrash
	}
	limit := s.Limit(r)
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	fail := func(err error) error {
		if errors.Is(err, errCrash) {
			return err
		}
		if ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("the step's limit of %s has passed: %w", limit, err)
		}
		if errors.Is(err, errPaused) {
			return err
		}
		interrupted := errors.Is(ctx.Err(), context.Canceled) || errors.Is(err, context.Canceled) && r.interruptedBy() != nil
		if interrupted && context.Cause(r.held) == nil {
			// Interrupted by a person: that is no failure of the step, which
			// the next run begins again.
			return fmt.Errorf("hand over %s: interrupted in step %s: %w", r.id, s.Name, context.Canceled)
		}
		err = r.recorded(ctx, s.Name, Failed, r.withCause(err))
		r.emit(Event{At: time.Now(), Repository: r.id, Step: s.Name, State: failedOrBlocked(err), Message: err.Error(), Elapsed: time.Since(begun)})
		return &StepError{Repository: r.id, Step: s.Name, Leaves: s.Leaves, Err: err}
	}
	if s.Before != nil {
		if err := s.Before(limited, r); err != nil {
			return fail(err)
		}
	}
	if err := r.record(ctx, s.Name, Started, ""); err != nil {
		return fail(err)
	}
	if r.crashed(r.id, s.Name, AfterStarted) {
		return errCrash
	}
	r.emit(Event{At: begun, Repository: r.id, Step: s.Name, State: EventStarted})
	if err := s.Do(limited, r); err != nil {
		return fail(err)
	}
	if r.crashed(r.id, s.Name, BeforeDone) {
		return errCrash
	}
	if err := r.record(ctx, s.Name, Done, ""); err != nil {
		return fail(err)
	}
	if r.crashed(r.id, s.Name, AfterDone) {
		return errCrash
	}
	r.emit(Event{At: time.Now(), Repository: r.id, Step: s.Name, State: EventDone, Elapsed: time.Since(begun)})
	return nil
}

// recorded writes down that a step ended by err, also where ctx has ended, and
// gives err with what came of that. Nothing is written where the journal may be
// somebody else's by now.
func (r *repository) recorded(ctx context.Context, step string, state State, err error) error {
	if errors.Is(err, ErrJournal) || r.held != nil && context.Cause(r.held) != nil {
		return err
	}
	tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	return errors.Join(err, r.record(tidy, step, state, err.Error()))
}

// withCause adds to an error why the Lease was lost, if it was: most say no more
// than that they were cancelled, and none is written down.
func (r *repository) withCause(err error) error {
	if r.held == nil {
		return err
	}
	if cause := context.Cause(r.held); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// failedOrBlocked is how an event shows the end of a step by err.
func failedOrBlocked(err error) EventState {
	if errors.Is(err, ErrBlocked) {
		return EventBlocked
	}
	return EventFailed
}

// backward undoes one step.
func (r *repository) backward(ctx context.Context, s *step) error {
	name := "undo-" + s.Name
	begun := time.Now()
	if r.crashed(r.id, name, BeforeStarted) {
		return errCrash
	}
	fail := func(err error) error {
		if errors.Is(err, errCrash) {
			return err
		}
		err = r.recorded(ctx, s.Name, Undoing, r.withCause(err))
		r.emit(Event{At: time.Now(), Repository: r.id, Step: name, State: EventFailed, Message: err.Error(), Elapsed: time.Since(begun)})
		return &StepError{Repository: r.id, Step: name, Err: err, GoingBack: r.j.GoingBack, Leaves: "what was undone so far stays undone; nothing is lost"}
	}
	if err := r.record(ctx, s.Name, Undoing, ""); err != nil {
		return fail(err)
	}
	if r.crashed(r.id, name, AfterStarted) {
		return errCrash
	}
	r.emit(Event{At: begun, Repository: r.id, Step: name, State: EventStarted})
	if s.Undo != nil {
		limited, cancel := context.WithTimeout(ctx, undoLimit)
		defer cancel()
		if err := s.Undo(limited, r); err != nil {
			return fail(err)
		}
	}
	if r.crashed(r.id, name, BeforeDone) {
		return errCrash
	}
	if err := r.record(ctx, s.Name, Undone, ""); err != nil {
		return fail(err)
	}
	if r.crashed(r.id, name, AfterDone) {
		return errCrash
	}
	r.emit(Event{At: time.Now(), Repository: r.id, Step: name, State: EventUndone, Elapsed: time.Since(begun)})
	return nil
}

// put applies a control object, as manager fluxover and marked as ours, and
// notes it in the journal. An object of that name that this run did not make
// is never touched. Passing trouble of the API server is outlasted.
func (r *repository) put(ctx context.Context, step string, want *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	var stored *unstructured.Unstructured
	err := r.outlast(ctx, step, func(ctx context.Context) (err error) {
		stored, err = r.putOnce(ctx, step, want)
		return err
	})
	return stored, err
}

func (r *repository) putOnce(ctx context.Context, step string, want *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live, err := r.c.Get(ctx, want.GroupVersionKind(), want.GetNamespace(), want.GetName())
	if err != nil && !cluster.IsGone(err) {
		return nil, err
	}
	if err == nil && !r.ours(live) {
		return nil, fmt.Errorf("%s exists and was not made by fluxover: rename or remove it", cluster.Describe(live))
	}
	obj := want.DeepCopy()
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[annotationRun] = r.run
	if annotations[migrate.AnnotationRepository] == "" {
		annotations[migrate.AnnotationRepository] = r.id
	}
	obj.SetAnnotations(annotations)
	labels := obj.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[migrate.LabelManaged] = "true"
	obj.SetLabels(labels)
	stored, err := r.c.Apply(ctx, obj, migrate.FieldManager)
	if err != nil {
		return nil, err
	}
	r.made(step, stored)
	return stored, nil
}

func (r *repository) ours(live *unstructured.Unstructured) bool {
	return live.GetAnnotations()[annotationRun] == r.run
}

// made notes an object in the journal, which the caller saves.
func (r *repository) made(step string, obj *unstructured.Unstructured) {
	c := created{
		APIVersion: obj.GetAPIVersion(), Kind: obj.GetKind(), Namespace: obj.GetNamespace(), Name: obj.GetName(),
		UID: obj.GetUID(), Step: step, Keys: obj.GetAnnotations()[annotationKeys] != "",
	}
	for i := range r.j.Created {
		if r.j.Created[i].key() == c.key() {
			r.j.Created[i] = c
			return
		}
	}
	r.j.Created = append(r.j.Created, c)
}

// deletable are the kinds that an undo may delete.
var deletable = map[schema.GroupKind]bool{
	{Kind: "Secret"}:         true,
	{Kind: "ServiceAccount"}: true,
	{Group: "rbac.authorization.k8s.io", Kind: "Role"}:               true,
	{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}:        true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}:        true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}: true,
	{Group: "source.toolkit.fluxcd.io", Kind: "GitRepository"}:       true,
	{Group: "kustomize.toolkit.fluxcd.io", Kind: "Kustomization"}:    true,
}

// remove deletes one control object of this run and waits until it is gone.
// It is the only place that deletes anything (beside the fence, the Snapshot
// and the ClusterAgent's release, which are known by name and run), and it
// refuses what is not ours with ErrBudget. finalize, if not nil, is asked when
// the object hangs on its finalizer.
func (r *repository) remove(ctx context.Context, c created, finalize func(context.Context, *unstructured.Unstructured) error) error {
	gvk := schema.FromAPIVersionAndKind(c.APIVersion, c.Kind)
	live, err := r.c.Get(ctx, gvk, c.Namespace, c.Name)
	if cluster.IsGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if live.GetUID() != c.UID && !r.ours(live) {
		// Somebody else's of the same name, or never made by us.
		r.note("", "%s was not made by this run, so it stays", cluster.Describe(live))
		return nil
	}
	if !deletable[gvk.GroupKind()] {
		return fmt.Errorf("delete %s: %w", cluster.Describe(live), ErrBudget)
	}
	if live.GetDeletionTimestamp() == nil {
		if err := r.c.Delete(ctx, live, cluster.DeleteOptions{}); err != nil {
			return err
		}
	}
	uid := live.GetUID()
	gone := func(ctx context.Context) (bool, string, error) {
		now, err := r.c.Get(ctx, gvk, c.Namespace, c.Name)
		if cluster.IsGone(err) {
			return true, "", nil
		}
		if err != nil {
			return false, "", err
		}
		return now.GetUID() != uid, fmt.Sprintf("%s waits for its finalizers %v", cluster.Describe(now), now.GetFinalizers()), nil
	}
	err = cluster.Wait(ctx, 100*time.Millisecond, r.limits.echo, gone)
	if !errors.Is(err, cluster.ErrWaitExpired) || finalize == nil {
		return err
	}
	if err := finalize(ctx, live); err != nil {
		return err
	}
	return cluster.Wait(ctx, 100*time.Millisecond, r.limits.echo, gone)
}

// sharedWith lists the Repositories, of those whose journals are open, that
// use the object too.
func (r *repository) sharedWith(journals []*journal, c created) []string {
	var users []string
	for _, j := range journals {
		if j.Repository == r.id || j.Closed == closedRolledBack || j.Closed == closedAborted {
			continue
		}
		if slices.ContainsFunc(j.Created, func(o created) bool { return o.key() == c.key() }) {
			users = append(users, j.Repository)
		}
	}
	return users
}

// patch sends a merge patch to a control object whatever its version. Passing
// trouble of the API server is outlasted.
func (r *repository) patch(ctx context.Context, obj *unstructured.Unstructured, patch map[string]any) (*unstructured.Unstructured, error) {
	bare := &unstructured.Unstructured{}
	bare.SetGroupVersionKind(obj.GroupVersionKind())
	bare.SetNamespace(obj.GetNamespace())
	bare.SetName(obj.GetName())
	bare.SetUID(obj.GetUID())
	var stored *unstructured.Unstructured
	err := r.outlast(ctx, "", func(ctx context.Context) (err error) {
		stored, err = r.c.MergePatch(ctx, bare, patch, migrate.FieldManager)
		return err
	})
	return stored, err
}

// retryConflict calls write again while the object was changed in between.
func retryConflict(ctx context.Context, write func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		err := write(ctx)
		if err == nil || !apierrors.IsConflict(err) || attempt == 20 {
			return err
		}
		if !pause(ctx, time.Duration(attempt)*10*time.Millisecond) {
			return errors.Join(err, ctx.Err())
		}
	}
}

// sources are the manifests of the Repository's GitRepositories.
func (p *planSlice) sources() ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for _, raw := range p.Sources {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw); err != nil {
			return nil, fmt.Errorf("read a GitRepository of the plan: %w", err)
		}
		out = append(out, u)
	}
	return out, nil
}

// slicePlan takes out of a plan what one Repository needs.
func slicePlan(plan *migrate.Plan, id string) (*planSlice, error) {
	repo := plan.Repository(id)
	if repo == nil {
		return nil, fmt.Errorf("the plan holds no repository %s", id)
	}
	p := &planSlice{Repository: *repo, adopted: map[string]migrate.ObjectInputs{}}
	for _, ref := range repo.Sources {
		source := plan.Source(ref)
		if source == nil {
			return nil, fmt.Errorf("the plan of %s names GitRepository/%s/%s and does not hold it", id, ref.Namespace, ref.Name)
		}
		raw, err := json.Marshal(source)
		if err != nil {
			return nil, fmt.Errorf("encode GitRepository/%s/%s: %w", ref.Namespace, ref.Name, err)
		}
		p.Sources = append(p.Sources, raw)
	}
	for _, c := range plan.Credentials {
		if c.Agent == id {
			p.Credentials = append(p.Credentials, c)
		}
	}
	for _, f := range plan.Findings {
		if f.Repository == id {
			p.Findings = append(p.Findings, f)
		}
	}
	for _, o := range repo.Objects {
		inputs := plan.Inputs.Objects[id][o.ID]
		switch o.Verb {
		case migrate.Change, migrate.Restart:
			said := inputs
			inputs = migrate.ObjectInputs{Change: said.Change}
			if onlyReplicas(o) && said.Change != "" {
				inputs.Rendered, inputs.Replicas = said.Rendered, said.Replicas
			}
		case migrate.Create:
			inputs = migrate.ObjectInputs{Rendered: inputs.Rendered}
		case migrate.Adopt:
			p.adopted[o.ID] = inputs
			continue
		default:
			continue
		}
		if p.Inputs == nil {
			p.Inputs = map[string]migrate.ObjectInputs{}
		}
		p.Inputs[o.ID] = inputs
	}
	return p, nil
}

// factsOf takes out of an inventory what the journal keeps of an agent.
func factsOf(a *migrate.Flux1Agent) agentFacts {
	return agentFacts{
		Namespace: a.Namespace, Release: a.Release, Workload: a.Workload, InstalledBy: a.InstalledBy,
		ServiceAccount: a.ServiceAccount, SharedAccount: a.SharedAccount, Selector: a.Selector, Replicas: a.Replicas,
		Fingerprint: migrate.FingerprintOf(a), Git: a.Git, SyncState: a.Sync.State,
	}
}

// take remembers what an inventory says about the Repository's objects.
func (r *repository) take(a *migrate.Flux1Agent) {
	r.manifests, r.keys = map[string]*unstructured.Unstructured{}, a.Keys
	for i := range a.Objects {
		if o := &a.Objects[i]; o.Manifest != nil && (o.Class == migrate.ClassApplied || o.Class == migrate.ClassSyncOnly) {
			r.manifests[o.ID] = o.Manifest
		}
	}
	r.marked = a.Marked
}

// agentGit is what a MarksFunc needs.
func (r *repository) agentGit() (AgentGit, error) {
	sources, err := r.j.plan.sources()
	if err != nil {
		return AgentGit{}, err
	}
	g := AgentGit{
		Repository: r.id, Branch: r.j.Agent.Git.Branch, SyncTag: r.j.Agent.Git.SyncTag,
		State: r.j.Agent.SyncState, Namespace: r.j.Agent.Namespace, SecretName: r.j.Agent.Git.SecretName,
	}
	if len(sources) > 0 {
		g.URL, _, _ = unstructured.NestedString(sources[0].Object, "spec", "url")
	}
	return g, nil
}

// selector of the old agent's pods.
func (f agentFacts) podSelector() (string, error) {
	if f.Selector == nil || len(f.Selector.MatchLabels)+len(f.Selector.MatchExpressions) == 0 {
		return "", fmt.Errorf("the Deployment %s/%s has no selector that could find its pods", f.Namespace, f.Workload)
	}
	s, err := metav1.LabelSelectorAsSelector(f.Selector)
	if err != nil {
		return "", fmt.Errorf("read the selector of Deployment %s/%s: %w", f.Namespace, f.Workload, err)
	}
	return s.String(), nil
}
