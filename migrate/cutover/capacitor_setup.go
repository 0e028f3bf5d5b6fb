package cutover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
	"github.com/fluxover/fluxover/reconcile/source"
)

// capacitorRecord is the journal of setting the flux-capacitor up.
type capacitorRecord struct {
	// State is Started, Done, Undoing, Undone or empty.
	State   State     `json:"state,omitempty"`
	URL     string    `json:"url,omitempty"`
	Branch  string    `json:"branch,omitempty"`
	Cluster string    `json:"cluster,omitempty"`
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty"`
}

func (r capacitorRecord) inUse() bool { return begun(r.State) }

// CapacitorInUse tells which flux-capacitor an earlier run has set up: URL,
// branch and cluster. found is false if none is.
func CapacitorInUse(ctx context.Context, c *cluster.Client) (o CapacitorOptions, found bool, err error) {
	record, err := store{c: c}.run(ctx)
	if err != nil || record == nil || !record.Capacitor.inUse() {
		return o, false, err
	}
	r := record.Capacitor
	return CapacitorOptions{URL: r.URL, Branch: r.Branch, Cluster: r.Cluster}, true, nil
}

// FindCapacitor gives the flux-capacitor that an earlier run has set up, with
// the credential that the ClusterAgent uses unless secret holds another; nil if
// there is none. Where the credential is gone, what is given back fails to
// settle and to withdraw, saying so.
func FindCapacitor(ctx context.Context, c *cluster.Client, git *source.Store, secret map[string][]byte) (*GitCapacitor, error) {
	o, found, err := CapacitorInUse(ctx, c)
	if err != nil || !found {
		return nil, err
	}
	if o.Secret = secret; len(secret) == 0 {
		live, err := c.Kube.CoreV1().Secrets(migrate.AgentNamespace).Get(ctx, emit.CapacitorName, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("read the credential of the flux-capacitor: %w", err)
		}
		if err == nil {
			o.Secret = live.Data
		}
	}
	g, err := NewCapacitor(git, o)
	if err == nil {
		return g, nil
	}
	o.Secret = nil
	g, unusable := NewCapacitor(git, o)
	if unusable != nil {
		return nil, unusable
	}
	g.unusable = err
	return g, nil
}

// bindCapacitor lets the flux-capacitor, if one is used, write as this run.
func bindCapacitor(ctx context.Context, s *session, c Capacitor) (*GitCapacitor, error) {
	g, ok := c.(*GitCapacitor)
	if !ok || g == nil {
		return nil, nil
	}
	uid, err := clusterUID(ctx, s.c)
	if err != nil {
		return nil, err
	}
	g.env, g.identity = s.env, uid
	return g, nil
}

// prepareCapacitor sets the flux-capacitor up before anything is handed over,
// so that a wrong credential or a missing right stops the run while nothing has
// changed: the ClusterAgent gets the credential, with which a rollback can
// always take back what follows; the files of agent/ are pushed; then it gets
// an account, source and Kustomization, and must have applied those files.
// Without a flux-capacitor it does nothing.
func prepareCapacitor(ctx context.Context, s *session, c Capacitor) (err error) {
	g, err := bindCapacitor(ctx, s, c)
	if g == nil || err != nil {
		return err
	}
	if r := s.record.Capacitor; r.inUse() && (r.URL != g.remote.URL || r.Branch != g.branch || r.Cluster != g.cluster) {
		return fmt.Errorf("%w: this cluster already syncs the flux-capacitor %s, branch %s, as %s: use that one, or roll everything back first", ErrBlocked, source.SafeURL(r.URL), r.Branch, r.Cluster)
	}
	begun := time.Now()
	s.emit(Event{At: begun, Step: "capacitor", State: EventStarted})
	defer func() {
		event := Event{At: time.Now(), Step: "capacitor", State: EventDone, Elapsed: time.Since(begun)}
		if err != nil {
			event.State, event.Message = EventFailed, err.Error()
			err = fmt.Errorf("set up the flux-capacitor: %w", err)
		}
		s.emit(event)
	}()
	if err := s.dies("capacitor", BeforeStarted); err != nil {
		return err
	}
	begins := !s.record.Capacitor.inUse()
	if s.record.Capacitor.State != Done {
		if err := g.nobodysNames(ctx, s.record); err != nil {
			return err
		}
		if err := s.noteCapacitor(ctx, func(r *capacitorRecord) {
			*r = capacitorRecord{State: Started, URL: g.remote.URL, Branch: g.branch, Cluster: g.cluster}
		}); err != nil {
			return err
		}
	}
	if err := s.dies("capacitor", AfterStarted); err != nil {
		return err
	}
	if len(g.secret) > 0 {
		if err := g.put(ctx, g.secretObject()); err != nil {
			return err
		}
		if err := s.dies("capacitor-secret", AfterDone); err != nil {
			return err
		}
	}
	var settings emit.Settings
	rev, err := g.commit(ctx, &capacitorEdit{
		verb: "set up", subject: g.cluster,
		change: func(_ fs.FS, read emit.Settings, _ map[string][]byte) error {
			settings = read
			return nil
		},
	})
	if err != nil {
		// Where an answer may be lost, or an earlier try got as far, the files may
		// be there, and a rollback takes both away.
		if begins && ctx.Err() == nil && !errors.Is(err, source.ErrNetwork) && !errors.Is(err, context.DeadlineExceeded) {
			err = errors.Join(err, g.forget(ctx, s))
		}
		return err
	}
	if err := s.dies("capacitor-push", AfterDone); err != nil {
		return err
	}
	files := g.layout().AgentObjects(settings)
	objects := slices.Concat(files["rbac.yaml"], files["source.yaml"], files["sync.yaml"])
	for _, o := range objects {
		if err := g.put(ctx, o); err != nil {
			return err
		}
		if err := s.dies("capacitor-"+strings.ToLower(o.GetKind()), AfterDone); err != nil {
			return err
		}
	}
	if s.record.Capacitor.State != Done {
		if err := g.resume(ctx); err != nil {
			return err
		}
	}
	if err := g.poke(ctx, rev); err != nil {
		return err
	}
	err = g.await(ctx, rev, emit.CapacitorName, func(k *unstructured.Unstructured) string {
		listed := inventoryOf(k)
		for _, o := range objects {
			if !slices.Contains(listed, migrate.ObjectID(o)) {
				return fmt.Sprintf("%s does not list %s", cluster.Describe(k), cluster.Describe(o))
			}
		}
		return ""
	})
	if err != nil {
		return err
	}
	if err := s.dies("capacitor-sync", AfterDone); err != nil {
		return err
	}
	if err := g.disown(ctx, objects); err != nil {
		return err
	}
	if err := s.dies("capacitor", BeforeDone); err != nil {
		return err
	}
	if err := s.noteCapacitor(ctx, func(r *capacitorRecord) { r.State = Done }); err != nil {
		return err
	}
	return s.dies("capacitor", AfterDone)
}

// forget takes the credential back after a first push that came to nothing: the
// repository holds nothing of this cluster, and nobody needs it.
func (g *GitCapacitor) forget(ctx context.Context, s *session) error {
	if err := g.remove(ctx, []*unstructured.Unstructured{g.secretObject()}); err != nil {
		return fmt.Errorf("its credential stays in the cluster, and a rollback takes it away: %w", err)
	}
	return s.noteCapacitor(ctx, func(r *capacitorRecord) { *r = capacitorRecord{State: Undone} })
}

// nobodysNames fails if one of the capacitor's objects exists and is not this
// run's, before anything is written.
func (g *GitCapacitor) nobodysNames(ctx context.Context, record *runRecord) error {
	for _, o := range append(g.base(), g.secretObject()) {
		live, err := g.env.c.Get(ctx, o.GroupVersionKind(), o.GetNamespace(), o.GetName())
		if cluster.IsGone(err) {
			continue
		}
		if err != nil {
			return err
		}
		if live.GetAnnotations()[annotationRun] != record.Run {
			return fmt.Errorf("%w: %s exists and was not made by fluxover: rename or remove it", ErrBlocked, cluster.Describe(live))
		}
	}
	return nil
}

func (s *session) noteCapacitor(ctx context.Context, change func(*capacitorRecord)) error {
	record, err := s.store.changeRun(ctx, func(r *runRecord) {
		change(&r.Capacitor)
		r.Capacitor.At, r.Capacitor.By = time.Now().UTC(), s.who.who()
	})
	if err == nil {
		s.record = record
	}
	return err
}

// retireCapacitor is the undo of prepareCapacitor, once no Repository is in the
// flux-capacitor or may yet come into it. Its objects go; then, if Git can be
// reached, the files of agent/; then the credential, which whoever goes on after
// a crash needs until then. capacitor.yaml stays: people edit it.
func retireCapacitor(ctx context.Context, s *session, c Capacitor) error {
	g, err := bindCapacitor(ctx, s, c)
	if g == nil || err != nil || !s.record.Capacitor.inUse() {
		return err
	}
	journals, err := s.store.list(ctx)
	if err != nil {
		return err
	}
	for _, j := range journals {
		closed := j.Closed == closedRolledBack || j.Closed == closedAborted
		if j.InCapacitor || !closed && len(j.Entries) > 0 {
			return nil
		}
	}
	if err := s.dies("undo-capacitor", BeforeStarted); err != nil {
		return err
	}
	if err := s.noteCapacitor(ctx, func(r *capacitorRecord) { r.State = Undoing }); err != nil {
		return err
	}
	if err := s.dies("undo-capacitor", AfterStarted); err != nil {
		return err
	}
	if err := g.stop(ctx); err != nil {
		return fmt.Errorf("stop syncing the flux-capacitor: %w", err)
	}
	if err := s.dies("undo-capacitor-sync", AfterDone); err != nil {
		return err
	}
	takeAway := func(o *unstructured.Unstructured) error {
		if err := g.remove(ctx, []*unstructured.Unstructured{o}); err != nil {
			return fmt.Errorf("remove what syncs the flux-capacitor: %w", err)
		}
		return s.dies("undo-capacitor-"+strings.ToLower(o.GetKind()), AfterDone)
	}
	for _, o := range g.base() {
		if err := takeAway(o); err != nil {
			return err
		}
	}
	_, err = g.commit(ctx, &capacitorEdit{
		verb: "remove", subject: g.cluster,
		change: func(tree fs.FS, _ emit.Settings, changes map[string][]byte) error {
			delete(changes, emit.CapacitorFile)
			for name := range g.layout().AgentObjects(emit.Settings{}) {
				changes[emit.AgentFile(g.cluster, name)] = nil
			}
			return nil
		},
	})
	if err != nil {
		g.note("", "capacitor", "the files of %s stay in the flux-capacitor, where no cluster reads them: %v", emit.ClusterFolder(g.cluster), err)
	}
	if err := s.dies("undo-capacitor-push", AfterDone); err != nil {
		return err
	}
	if err := takeAway(g.secretObject()); err != nil {
		return err
	}
	if err := s.dies("undo-capacitor", BeforeDone); err != nil {
		return err
	}
	if err := s.noteCapacitor(ctx, func(r *capacitorRecord) { *r = capacitorRecord{State: Undone} }); err != nil {
		return err
	}
	return s.dies("undo-capacitor", AfterDone)
}

// stop suspends the capacitor's Kustomization and proves that no reconcile is
// in flight.
func (g *GitCapacitor) stop(ctx context.Context) error {
	p := g.pseudo()
	for round := 1; round <= 2; round++ {
		live, err := g.env.c.Get(ctx, kustomizationKind, migrate.AgentNamespace, emit.CapacitorName)
		if cluster.IsGone(err) || err == nil && !p.ours(live) {
			return nil
		}
		if err != nil {
			return err
		}
		token := fmt.Sprintf("%s-%d", time.Now().UTC().Format(time.RFC3339Nano), round)
		live, err = p.patch(ctx, live, map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{requestedAt: token}},
			"spec":     map[string]any{"suspend": true, "deletionPolicy": "Orphan"},
		})
		if err != nil {
			return err
		}
		if err := p.awaitEcho(ctx, live, token); err != nil {
			return err
		}
	}
	return nil
}

// resume undoes stop, after which a rollback may have got no further. One that
// somebody suspended once it was set up stays so.
func (g *GitCapacitor) resume(ctx context.Context) error {
	live, err := g.env.c.Get(ctx, kustomizationKind, migrate.AgentNamespace, emit.CapacitorName)
	if err != nil || !suspended(live) {
		return err
	}
	_, err = g.pseudo().patch(ctx, live, map[string]any{"spec": map[string]any{"suspend": nil}})
	return err
}

// enterCapacitor is the part of settling that concerns the flux-capacitor. The
// journal says first that the files may be there from now on.
func (r *repository) enterCapacitor(ctx context.Context) error {
	if !r.j.InCapacitor {
		r.j.InCapacitor = true
		if err := r.store.save(ctx, r.j); err != nil {
			return err
		}
	}
	if err := r.capacitor.Settle(ctx, r.j.plan.Repository); err != nil {
		return fmt.Errorf("bring the files into the flux-capacitor: %w", err)
	}
	r.j.Findings = nil
	return nil
}

// leaveCapacitor is the undo of enterCapacitor, after the control objects were
// annotated so that the ClusterAgent leaves them alone.
func (r *repository) leaveCapacitor(ctx context.Context) error {
	if r.capacitor == nil {
		return errors.New("no access to the flux-capacitor was given")
	}
	if err := r.capacitor.Withdraw(ctx, r.j.plan.Repository); err != nil {
		return err
	}
	r.j.InCapacitor, r.j.Parked = false, nil
	return nil
}

// unpark ends a rollback that could not reach the flux-capacitor: the files
// leave it, and then the parked control objects go.
func (r *repository) unpark(ctx context.Context) error {
	if err := r.leaveCapacitor(ctx); err != nil {
		return fmt.Errorf("roll back %s: its control objects stay parked: take its files out of the flux-capacitor: %w", r.id, err)
	}
	for _, step := range []string{"stage", "credentials"} {
		if err := removeMade(step)(ctx, r); err != nil {
			return err
		}
	}
	return r.store.save(ctx, r.j)
}

// pseudo stands for the capacitor where the executor's own means of writing
// and removing are used for its objects.
func (g *GitCapacitor) pseudo() *repository {
	return &repository{env: g.env, id: emit.CapacitorName, j: &journal{Repository: emit.CapacitorName}}
}

// put applies an object of the capacitor's, marked as this run's. One of that
// name that this run did not make is never touched.
func (g *GitCapacitor) put(ctx context.Context, want *unstructured.Unstructured) error {
	live, err := g.env.c.Get(ctx, want.GroupVersionKind(), want.GetNamespace(), want.GetName())
	if err != nil && !cluster.IsGone(err) {
		return err
	}
	if err == nil && live.GetAnnotations()[annotationRun] != g.env.run {
		return fmt.Errorf("%w: %s exists and was not made by fluxover: rename or remove it", ErrBlocked, cluster.Describe(live))
	}
	_, err = g.env.c.Apply(ctx, g.stamped([]*unstructured.Unstructured{want})[0], migrate.FieldManager)
	return err
}

// stamped gives copies that carry this run's mark, which live control objects
// carry too: one that somebody deletes is made anew from its file, and must
// still be known as this run's when going back.
func (g *GitCapacitor) stamped(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	out := make([]*unstructured.Unstructured, 0, len(objects))
	for _, o := range objects {
		o = o.DeepCopy()
		annotations := o.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[annotationRun] = g.env.run
		o.SetAnnotations(annotations)
		out = append(out, o)
	}
	return out
}

// disown gives up the executor's field ownership of objects that the
// flux-capacitor applies.
func (g *GitCapacitor) disown(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		c := created{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
		if err := g.pseudo().disown(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes those of the objects that this run made.
func (g *GitCapacitor) remove(ctx context.Context, objects []*unstructured.Unstructured) error {
	p := g.pseudo()
	for _, o := range objects {
		c := created{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
		if err := p.remove(ctx, c, p.finalize); err != nil {
			return err
		}
	}
	return nil
}

// secretObject is the copy of the credential that the ClusterAgent uses.
func (g *GitCapacitor) secretObject() *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "Opaque"}}
	u.SetNamespace(migrate.AgentNamespace)
	u.SetName(emit.CapacitorName)
	u.SetLabels(map[string]string{migrate.LabelManaged: "true"})
	data := map[string]any{}
	for key, value := range g.secret {
		data[key] = base64Of(value)
	}
	u.Object["data"] = data
	return u
}

// base names all objects of the capacitor itself, for removal: those that act
// first.
func (g *GitCapacitor) base() []*unstructured.Unstructured {
	var settings emit.Settings
	files := g.layout().AgentObjects(settings)
	rights := files["rbac.yaml"]
	slices.Reverse(rights)
	return slices.Concat(files["sync.yaml"], files["source.yaml"], rights)
}
