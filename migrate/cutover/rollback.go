package cutover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// HeadFunc gives the objects that Flux v1 would load from a Repository if it
// were started now, as migrate/flux1 reads them at the branch's head. An error
// means that Flux v1 could not load the repository.
type HeadFunc func(ctx context.Context, repository string) ([]migrate.Object, error)

// RollbackOptions says how far to go back.
type RollbackOptions struct {
	// Repositories limits it to these ids; empty means all that are not
	// finalized and not yet rolled back.
	Repositories []string
	// Unfinished limits it to those not settled: what "abort" does.
	Unfinished bool
	// Asked: the abort was asked for already (AskAbort), and may be carried out, or
	// lifted, by now.
	Asked bool
	// Head tells what Flux v1 will find. Nil: it is told from the cluster.
	Head HeadFunc
	// IgnoreHead goes on though Head fails for a Repository.
	IgnoreHead bool
	// PodTemplates puts back fields of pod templates too, which replaces pods.
	PodTemplates bool
	// UninstallAgent removes the ClusterAgent, if this run installed it and no
	// Repository uses it any more.
	UninstallAgent bool
	// SyncWait waits, for at most so long, until the old agent's mark is at
	// the branch's head again; 0 does not wait. Needs Marks.
	SyncWait time.Duration
	Marks    MarksFunc
	// MaxParallel Repositories at once; 0 means 4.
	MaxParallel int
	Capacitor   Capacitor
	Identity    Identity
	Crash       func(repository, step string, when When) bool
	Limits      Limits
}

type backOptions struct {
	PodTemplates bool
}

// RollbackPlan says what a rollback will do. Its JSON form is for scripts.
type RollbackPlan struct {
	APIVersion   string             `json:"apiVersion"`
	Kind         string             `json:"kind"` // "RollbackPlan"
	Repositories []RepositoryReturn `json:"repositories"`
	// UninstallAgent is true if the ClusterAgent will be removed.
	UninstallAgent bool `json:"uninstallAgent"`
}

// RepositoryReturn is the way back of one Repository.
type RepositoryReturn struct {
	ID    string `json:"id"`
	Phase Phase  `json:"phase"`
	// Actions in their order, for people.
	Actions []string `json:"actions"`
	// Restored counts objects that get marks and ownership back.
	Restored int `json:"restored"`
	// LeftGit are objects that stay, without Flux v1's mark.
	LeftGit []string `json:"leftGit"`
	// Changed are objects whose manifest is another than at the cut-over: the
	// old agent's next sync writes their marks.
	Changed []string `json:"changed"`
	// Left are Kustomizations that this run did not make: they are suspended,
	// and stay.
	Left []string `json:"left,omitempty"`
	// Blocked says why the way back is not open, and what to do; empty if it
	// is open.
	Blocked string `json:"blocked,omitempty"`
}

// Text is the plan for people.
func (p RollbackPlan) Text() string {
	var b strings.Builder
	switch {
	case len(p.Repositories) > 0:
	case p.UninstallAgent:
		b.WriteString("no repository is left to roll back\n")
	default:
		b.WriteString("nothing to roll back\n")
	}
	for _, r := range p.Repositories {
		fmt.Fprintf(&b, "%s (%s)\n", r.ID, r.Phase)
		if r.Blocked != "" {
			fmt.Fprintf(&b, "  blocked: %s\n", r.Blocked)
		}
		for i, a := range r.Actions {
			fmt.Fprintf(&b, "  %d. %s\n", i+1, a)
		}
		for _, name := range r.Left {
			fmt.Fprintf(&b, "  not made by this run, is suspended and stays: %s\n", name)
		}
		for _, id := range r.LeftGit {
			fmt.Fprintf(&b, "  left Git, stays without Flux v1's mark: %s\n", migrate.DisplayID(id))
		}
		for _, id := range r.Changed {
			fmt.Fprintf(&b, "  changed in Git, marked by the old agent's next sync: %s\n", migrate.DisplayID(id))
		}
	}
	if p.UninstallAgent {
		b.WriteString("then the ClusterAgent is uninstalled\n")
	}
	return b.String()
}

// Blocked are the ids of the Repositories whose way back is not open.
func (p RollbackPlan) Blocked() []string {
	var ids []string
	for _, r := range p.Repositories {
		if r.Blocked != "" {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// PlanRollback reads what a rollback would do, and changes nothing. What
// cannot be found out about one Repository blocks that one alone.
func PlanRollback(ctx context.Context, c *cluster.Client, o RollbackOptions) (RollbackPlan, error) {
	s := &env{c: c, store: store{c: c}, emit: func(Event) {}, limits: o.Limits.filled()}
	plan := RollbackPlan{APIVersion: migrate.APIVersion, Kind: "RollbackPlan", Repositories: []RepositoryReturn{}}
	record, err := s.store.run(ctx)
	if err != nil {
		return plan, err
	}
	plan.UninstallAgent = o.UninstallAgent && record != nil && record.Agent.removable()
	journals, err := returning(ctx, s.store, o)
	if err != nil {
		return plan, err
	}
	for _, j := range journals {
		s.run = j.Run
		one, err := (&repository{env: s, id: j.Repository, j: j}).planReturn(ctx, o)
		if ctx.Err() != nil {
			return plan, fmt.Errorf("plan the rollback of %s: %w", j.Repository, errors.Join(ctx.Err(), err))
		}
		if err != nil && one.Blocked == "" {
			one.Blocked = err.Error()
		}
		plan.Repositories = append(plan.Repositories, one)
	}
	return plan, nil
}

// returning are the journals that a rollback is about, waves last to first.
func returning(ctx context.Context, s store, o RollbackOptions) ([]*journal, error) {
	all, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range o.Repositories {
		if !slices.ContainsFunc(all, func(j *journal) bool { return j.Repository == id }) {
			return nil, fmt.Errorf("no journal of %s is in the cluster: nothing was ever done to it", id)
		}
	}
	var out []*journal
	for _, j := range all {
		switch {
		case len(o.Repositories) > 0 && !slices.Contains(o.Repositories, j.Repository):
		case (j.Closed == closedRolledBack || j.Closed == closedAborted) && (len(j.Parked) == 0 || o.Capacitor == nil):
		case j.Closed == closedFinalized:
			if len(o.Repositories) > 0 {
				return nil, fmt.Errorf("%s is finalized: its old release must be installed again first", j.Repository)
			}
		case j.broken != nil:
			out = append(out, j)
		case o.Unfinished && j.Closed == closedSettled:
		case len(j.Entries) == 0:
		default:
			out = append(out, j)
		}
	}
	slices.SortStableFunc(out, func(a, b *journal) int { return wave(b) - wave(a) })
	return out, nil
}

func wave(j *journal) int {
	if j.plan == nil {
		return 0
	}
	return j.plan.Repository.Wave
}

func begun(s State) bool { return s != "" && s != Undone }

func (r *repository) planReturn(ctx context.Context, o RollbackOptions) (RepositoryReturn, error) {
	out := RepositoryReturn{ID: r.id, Phase: phaseOf(r.j), Actions: []string{}, LeftGit: []string{}, Changed: []string{}}
	if r.j.broken != nil {
		out.Phase = PhaseFailed
		_, err := r.mayReturn(ctx)
		return out, err
	}
	act := func(format string, args ...any) { out.Actions = append(out.Actions, fmt.Sprintf(format, args...)) }
	head, err := headOf(ctx, o.Head, r.id)
	if err != nil && !o.IgnoreHead && !o.Unfinished {
		out.Blocked = fmt.Sprintf("Flux v1 could not load the repository, or it is not known that it could (--ignore-head goes back all the same): %v", err)
	}
	r.head = head
	stopped, err := r.mayReturn(ctx)
	if err != nil {
		return out, err
	}
	out.Left = r.strangers(stopped)
	var kustomizations, sources, others int
	for _, c := range r.j.Created {
		switch c.Kind {
		case kustomizationKind.Kind:
			kustomizations++
		case sourceKind.Kind:
			sources++
		default:
			others++
		}
	}
	switch {
	case r.j.InCapacitor && o.Capacitor != nil:
		act("take its files out of the flux-capacitor")
	case r.j.InCapacitor:
		act("park its control objects, suspended, since no access to the flux-capacitor is given")
	}
	if begun(r.j.state("adopt")) {
		act("suspend %d Kustomizations with deletionPolicy Orphan, and wait until the new agent has answered twice", kustomizations)
		snap, err := r.snapshotOf(ctx)
		if err != nil {
			return out, err
		}
		listed, err := r.inventories(ctx)
		if err != nil {
			return out, err
		}
		ids := sortedKeys(listed)
		for i := range snap.Objects {
			ids = append(ids, snap.Objects[i].ID)
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		live, err := readObjects(ctx, r.c, ids)
		if err != nil {
			return out, err
		}
		for _, id := range ids {
			if live[id] == nil {
				continue
			}
			switch r.head.fateOf(id, snap.object(id), live[id], listed[id] || r.j.state("unpin") == "") {
			case unchanged:
				out.Restored++
			case changedInGit:
				out.Changed = append(out.Changed, id)
			case leftGit:
				out.LeftGit = append(out.LeftGit, id)
			}
		}
		act("put labels, annotations and field ownership back on %s", migrate.Count(out.Restored, "object"))
	}
	if begun(r.j.state("fence")) {
		act("lift the fence %s", fenceName(r.id))
		act("set replicas of Deployment %s/%s to %d and wait until it is Ready", r.j.Agent.Namespace, r.j.Agent.Workload, r.j.Agent.Replicas)
	}
	kept, err := r.keptKeys(ctx)
	if err != nil {
		return out, err
	}
	for _, k := range kept {
		act("leave %s where it is: it holds what the old agent's place of the keys does not, and may be the only place of a key", k)
		if slices.ContainsFunc(r.j.Created, func(c created) bool { return c.key() == k.key() }) {
			others--
		}
	}
	if kustomizations+sources+others > 0 {
		act("delete what this run made: Kustomizations (%d), GitRepositories (%d), accounts, bindings and Secrets (%d)", kustomizations, sources, others)
	}
	act("delete the snapshot and close the journal")
	return out, nil
}

// headOf asks what Flux v1 will find.
func headOf(ctx context.Context, head HeadFunc, id string) (*headState, error) {
	if head == nil {
		return &headState{}, nil
	}
	objects, err := head(ctx, id)
	if err != nil {
		return &headState{}, err
	}
	h := &headState{known: true, manifests: map[string]string{}}
	for _, o := range objects {
		if o.Class == migrate.ClassApplied || o.Class == migrate.ClassSyncOnly {
			h.manifests[o.ID] = manifestHash(o.Manifest)
		}
	}
	return h, nil
}

// Rollback takes Repositories back to Flux v1, from whatever state they are
// in. It may be called again, from any machine, until it succeeds. An abort that
// was not carried out is lifted with it once nothing is unfinished.
func Rollback(ctx context.Context, c *cluster.Client, o RollbackOptions, events func(Event)) (err error) {
	s, err := begin(ctx, c, o.Identity, oneAtATime(events), o.Crash)
	if err != nil {
		return err
	}
	defer func() { err = s.end(err) }()
	if err := rollBack(ctx, s, o, closedRolledBack); err != nil {
		return err
	}
	return s.endAbort(ctx)
}

// endAbort lifts an abort that was left over, once nothing is unfinished any
// more: what it asked for was done by others.
func (s *session) endAbort(ctx context.Context) error {
	if s.record.abort == "" {
		return nil
	}
	unfinished, err := returning(ctx, s.store, RollbackOptions{Unfinished: true})
	if err != nil || len(unfinished) > 0 {
		return err
	}
	_, err = s.store.changeRun(ctx, func(r *runRecord) { r.abort = "" })
	return err
}

func rollBack(ctx context.Context, s *session, o RollbackOptions, closed string) error {
	s.limits, s.capacitor, s.marks = o.Limits.filled(), o.Capacitor, o.Marks
	s.back = backOptions{PodTemplates: o.PodTemplates}
	if _, err := bindCapacitor(ctx, s, o.Capacitor); err != nil {
		return err
	}
	journals, err := returning(ctx, s.store, o)
	if err != nil {
		return err
	}
	g := errgroup.Group{}
	g.SetLimit(max(o.MaxParallel, 4))
	if o.MaxParallel > 0 {
		g.SetLimit(o.MaxParallel)
	}
	errs := make([]error, len(journals))
	for i, j := range journals {
		g.Go(func() error {
			if ctx.Err() == nil {
				errs[i] = (&repository{env: s.env, id: j.Repository, j: j}).toFlux1(ctx, o, closed)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil { // the functions above return none
		return err
	}
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return err
	}
	if err := retireCapacitor(ctx, s, o.Capacitor); err != nil {
		return err
	}
	if o.UninstallAgent {
		return uninstallEngine(ctx, s)
	}
	return nil
}

// toFlux1 takes one Repository back.
func (r *repository) toFlux1(ctx context.Context, o RollbackOptions, closed string) error {
	if r.j.broken != nil {
		_, err := r.mayReturn(ctx)
		return fmt.Errorf("roll back %s: nothing was changed: %w", r.id, err)
	}
	if len(r.j.Parked) > 0 && r.j.Closed != "" {
		return r.unpark(withHeld(ctx, r.held))
	}
	head, err := headOf(ctx, o.Head, r.id)
	if err != nil && o.IgnoreHead {
		r.note("", "what Flux v1 will find in Git is not known, so it is told from the cluster: %v", err)
	}
	if err != nil && !o.IgnoreHead {
		return fmt.Errorf("roll back %s: Flux v1 could not load the repository, or it is not known that it could, so nothing was changed; \"fluxover rollback --ignore-head\" goes back all the same, by what the cluster says: %w", r.id, err)
	}
	r.head = head
	stopped, err := r.mayReturn(ctx)
	if err != nil {
		return fmt.Errorf("roll back %s: nothing was changed: %w", r.id, err)
	}
	r.j.Left = r.strangers(stopped)
	if !begun(r.j.state("adopt")) && slices.ContainsFunc(stopped, func(k *unstructured.Unstructured) bool { return !suspended(k) }) {
		// Nothing was adopted, so that no undo stops what somebody made or
		// resumed meanwhile.
		if err := r.stopEngine(withHeld(ctx, r.held)); err != nil {
			return fmt.Errorf("roll back %s: stop the new agent: %w", r.id, err)
		}
	}
	if err := r.retreat(withHeld(ctx, r.held), 0, closed); err != nil {
		return err
	}
	if left := r.j.leftovers(); left != "" {
		r.note("", "rolled back, but %s", left)
	}
	if o.SyncWait > 0 && o.Marks != nil && r.j.plan != nil && r.j.Agent.Replicas > 0 {
		return r.awaitOldSync(ctx, o.SyncWait)
	}
	return nil
}

// awaitOldSync waits until the old agent's mark is at the branch's head.
func (r *repository) awaitOldSync(ctx context.Context, limit time.Duration) error {
	data := map[string][]byte(nil)
	if cred := r.gitCredential(); cred != nil {
		// The copy is deleted by now; the original is where it always was.
		var err error
		if data, err = r.credentialData(ctx, *cred); err != nil {
			return err
		}
	}
	r.credential = data
	return cluster.Wait(ctx, time.Second, limit, func(ctx context.Context) (bool, string, error) {
		m, err := r.readMarks(ctx)
		if err != nil {
			return false, err.Error(), nil
		}
		return m.Head != "" && m.Head == m.Synced, fmt.Sprintf("the old agent of %s has synced %s, not yet %s", r.id, short(m.Synced), short(m.Head)), nil
	})
}

// Pause lets a running migration, or the next one, stop before its next step. It
// fails with ErrNothingBegun where there is none to pause.
func Pause(ctx context.Context, c *cluster.Client, who Identity) error {
	_, err := flag(ctx, c, who, func(r *runRecord, by string) { r.paused = by })
	return err
}

// Resume lifts a pause, and an abort that nobody has carried out; lifted is false
// where there was neither. It fails with ErrNothingBegun as Pause does.
func Resume(ctx context.Context, c *cluster.Client, who Identity) (lifted bool, err error) {
	before, err := flag(ctx, c, who, func(r *runRecord, _ string) { r.paused, r.abort = "", "" })
	return before.paused != "" || before.abort != "", err
}

// flag changes the record of the run that there is, and gives what it was before.
func flag(ctx context.Context, c *cluster.Client, who Identity, change func(*runRecord, string)) (before runRecord, err error) {
	who, err = who.filled()
	if err != nil {
		return before, err
	}
	s := store{c: c}
	run, err := s.run(ctx)
	if err != nil {
		return before, err
	}
	if run == nil {
		// Somebody may have deleted the record alone.
		journals, err := s.list(ctx)
		switch {
		case apierrors.IsForbidden(err): // as for who may change the record alone, and cannot make it anew
			return before, fmt.Errorf("%w, or its record, ConfigMap %s/%s, was deleted since; with the right to list ConfigMaps there it could be told (%w)", ErrNothingBegun, migrate.StateNamespace, RunRecord, err)
		case err != nil:
			return before, err
		case len(journals) == 0:
			return before, ErrNothingBegun
		}
	}
	by := fmt.Sprintf("%s at %s", who.who(), time.Now().UTC().Format(time.RFC3339))
	_, err = s.changeRun(ctx, func(r *runRecord) {
		before = *r
		change(r, by)
	})
	return before, err
}

// AskAbort asks a running migration, and the next one, to stop and to roll back
// what is not settled. It fails with ErrNothingBegun as Pause does.
func AskAbort(ctx context.Context, c *cluster.Client, who Identity) error {
	_, err := flag(ctx, c, who, func(r *runRecord, by string) { r.abort = by })
	return err
}

// Abort stops a migration and rolls back what is not settled, also where Head
// fails, as with IgnoreHead; ErrNothingBegun where there is none. While another
// operator is at work it only asks for that (AskAbort), and returns when it was done by that
// one or the Lease is free; then it does it itself.
func Abort(ctx context.Context, c *cluster.Client, o RollbackOptions, events func(Event)) (err error) {
	emit := oneAtATime(events)
	if !o.Asked {
		if err := AskAbort(ctx, c, o.Identity); err != nil {
			return err
		}
	}
	var s *session
	for told := false; ; {
		s, err = begin(ctx, c, o.Identity, emit, o.Crash)
		if err == nil {
			break
		}
		var locked *LockedError
		if !errors.As(err, &locked) {
			return err
		}
		if !told {
			emit(Event{At: time.Now(), State: EventNote, Message: fmt.Sprintf("asked %s@%s to stop and roll back", locked.User, locked.Host)})
			told = true
		}
		if !pause(ctx, 500*time.Millisecond) {
			return ctx.Err()
		}
	}
	defer func() { err = s.end(err) }()
	if s.record.abort == "" && o.Asked {
		return errors.New("the abort was lifted meanwhile, by \"fluxover resume\" or because another operator has carried it out: this one changed nothing")
	}
	// An abort that a silent Git server could stop would be none.
	o.Unfinished, o.IgnoreHead = true, true
	if err := rollBack(ctx, s, o, closedAborted); err != nil {
		return err
	}
	_, err = s.store.changeRun(ctx, func(r *runRecord) { r.abort, r.paused = "", "" })
	return err
}

// clusterUID is the UID of kube-system, the only identity a cluster keeps.
func clusterUID(ctx context.Context, c *cluster.Client) (string, error) {
	ns, err := c.Kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("ask for the cluster's identity: %w", err)
	}
	return string(ns.UID), nil
}
