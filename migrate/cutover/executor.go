package cutover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// OnFailure says what a failed Repository means for the others.
type OnFailure string

const (
	// Stop begins no further Repository; those under way come to their end.
	Stop OnFailure = "stop"
	// Continue goes on with the others.
	Continue OnFailure = "continue"
	// RollBack puts the failed one back and begins no further one. One that is
	// held back has not failed.
	RollBack OnFailure = "rollback"
)

// Commits says which commits made since the plan are taken.
type Commits string

const (
	// CommitsExact takes none.
	CommitsExact Commits = "exact"
	// CommitsEquivalent takes those that plan to the same applications,
	// findings and verbs, of what changes or is made from and to the same values.
	CommitsEquivalent Commits = "equivalent"
	// CommitsAny takes all that are not blocked.
	CommitsAny Commits = "any"
)

// Options of a migration. The zero value is a good default.
type Options struct {
	// Repositories limits the run to these ids; empty means all of the plan.
	Repositories []string
	// Wave limits the run to one wave; 0 means all, in order.
	Wave int
	// Hold is how long each Repository is watched before it settles.
	Hold time.Duration
	// MaxParallel is how many Repositories are cut over at once; 0 means 4.
	MaxParallel int
	// OnFailure is "stop" (default), "continue" or "rollback".
	OnFailure OnFailure
	// Commits is AcceptCommits of the command line: "equivalent" (default),
	// "exact" or "any".
	Commits Commits
	// Engine says how the ClusterAgent is installed; see Engine.
	Engine Engine
	// Capacitor takes over at the last step; nil without --capacitor.
	Capacitor Capacitor
	// Marks reads sync marks from Git. Nil: only agents that keep their state
	// in a Secret are looked at again before and after they are stopped.
	Marks MarksFunc
	// SyncWait bounds the wait for the end of a sync that is due when an agent
	// is about to be stopped; 0 means 30 s, negative not to wait.
	SyncWait time.Duration
	// Head tells what Flux v1 would load if it were started again; used by
	// OnFailure "rollback" and by an abort.
	Head HeadFunc
	// Identity of the operator; empty fields are filled in.
	Identity Identity
	// Crash, for tests, ends the run at once where it says true: nothing is
	// tidied up, as after kill -9.
	Crash func(repository, step string, when When) bool
	// Limits of single waits; zero fields take the defaults.
	Limits Limits
}

// Limits of waits for other programs. Zero means the default.
type Limits struct {
	// Source: until a GitRepository has fetched (2 m).
	Source time.Duration
	// Pods: until the old agent's pods are gone (5 m).
	Pods time.Duration
	// Adopt: until the Kustomizations are Ready (5 m).
	Adopt time.Duration
	// Fence: until the fence is in force, or lifted (30 s).
	Fence time.Duration
	// Echo: until the new agent answers a request (1 m).
	Echo time.Duration
	// Ready: until the old agent is Ready again (5 m).
	Ready time.Duration
}

func (l Limits) filled() limits {
	return limits{
		source: cmp.Or(l.Source, defaultLimits.source), pods: cmp.Or(l.Pods, defaultLimits.pods),
		adopt: cmp.Or(l.Adopt, defaultLimits.adopt), fence: cmp.Or(l.Fence, defaultLimits.fence),
		echo: cmp.Or(l.Echo, defaultLimits.echo), ready: cmp.Or(l.Ready, defaultLimits.ready),
	}
}

// Replan plans again from fresh facts, by the same path as the plan itself, and
// tries objects as [Staged] says. It returns at least the Repositories asked for.
type Replan func(ctx context.Context, ids []string) (migrate.Inventory, migrate.Plan, error)

type urgentKey struct{}

// Urgently gives the context of a Replan for which a Repository waits that is
// without an engine.
func Urgently(ctx context.Context) context.Context {
	return context.WithValue(ctx, urgentKey{}, true)
}

// Urgent reports whether a Replan must not be put off for others, see Urgently.
func Urgent(ctx context.Context) bool { return ctx.Value(urgentKey{}) != nil }

type stagedKey struct{}

// AsStaged gives the context of a Replan of a Repository that is staged: what it
// predicts is what the future account would do.
func AsStaged(ctx context.Context) context.Context {
	return context.WithValue(ctx, stagedKey{}, true)
}

// Staged reports whether a Replan is to try objects as the account that will apply
// them, see AsStaged and [migrate.Options].
func Staged(ctx context.Context) bool { return ctx.Value(stagedKey{}) != nil }

// Planned is a plan with the agent it was made from.
type Planned struct {
	Plan  migrate.Plan
	Agent migrate.Flux1Agent
}

// Executor carries out one plan.
type Executor struct {
	c      *cluster.Client
	plan   migrate.Plan
	replan Replan
	o      Options
	emit   func(Event)
}

// New makes an Executor. replan must not be nil; events may be, and is called
// from several goroutines, one at a time.
func New(c *cluster.Client, plan migrate.Plan, replan Replan, o Options, events func(Event)) *Executor {
	o.MaxParallel = cmp.Or(o.MaxParallel, 4)
	o.OnFailure = cmp.Or(o.OnFailure, Stop)
	o.Commits = cmp.Or(o.Commits, CommitsEquivalent)
	o.SyncWait = cmp.Or(o.SyncWait, aSync)
	return &Executor{c: c, plan: plan, replan: replan, o: o, emit: oneAtATime(events)}
}

func oneAtATime(events func(Event)) func(Event) {
	if events == nil {
		return func(Event) {}
	}
	var mu sync.Mutex
	return func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events(e)
	}
}

// session is the time during which the Lease is held.
type session struct {
	*env
	lease *lease
	// record of the run as it was when the session began.
	record *runRecord
}

// begin makes the namespace of the state, takes the Lease and reads the run
// record.
func begin(ctx context.Context, c *cluster.Client, who Identity, emit func(Event), crash func(string, string, When) bool) (*session, error) {
	s := store{c: c}
	if err := s.ensureNamespace(ctx, migrate.StateNamespace); err != nil {
		return nil, err
	}
	who, err := who.filled()
	if err != nil {
		return nil, err
	}
	l, held, err := acquire(ctx, c.Kube, who, emit)
	if err != nil {
		return nil, err
	}
	record, err := s.changeRun(ctx, func(*runRecord) {})
	if err != nil {
		return nil, errors.Join(err, l.release(context.WithoutCancel(ctx)))
	}
	return &session{
		env:    &env{c: c, store: s, who: who, run: record.Run, emit: emit, crash: crash, held: held},
		lease:  l,
		record: record,
	}, nil
}

// end gives the Lease back, unless the run "crashed".
func (s *session) end(err error) error {
	if errors.Is(err, errCrash) {
		s.lease.abandon()
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.held), recordLimit)
	defer cancel()
	return errors.Join(err, s.lease.release(ctx))
}

// Migrate carries the plan out, or goes on where an earlier run ended. It
// returns when all selected Repositories are settled, or with the errors of
// those that are not. When ctx ends, what must not be left half-done is
// finished first; everything else stops before its next step.
func (e *Executor) Migrate(ctx context.Context) (err error) {
	selected, err := e.selected()
	if err != nil {
		return err
	}
	if err := e.admissible(ctx, selected); err != nil {
		return err
	}
	s, err := begin(ctx, e.c, e.o.Identity, e.emit, e.o.Crash)
	if err != nil {
		return err
	}
	defer func() { err = s.end(err) }()
	if by := s.record.abort; by != "" {
		// It would be heard before the first step of each repository, after the
		// agent was installed.
		return fmt.Errorf("%w: asked for by %s, and not carried out to its end, so nothing was begun and nothing has changed: \"fluxover abort\" carries it out, \"fluxover resume\" lifts it", ErrAborted, by)
	}
	s.gaps, s.quiet = make(chan struct{}, atOnce), semaphore.NewWeighted(silence)
	s.replan, s.marks, s.capacitor = e.replan, e.o.Marks, e.o.Capacitor
	s.commits, s.hold, s.syncWait, s.limits = e.o.Commits, e.o.Hold, max(e.o.SyncWait, 0), e.o.Limits.filled()

	// A process that dies in the middle of a repository must find the run as
	// unfinished as it left it, so journals come before everything.
	repos, failures, err := e.open(ctx, s, selected)
	if err != nil {
		return err
	}
	for _, failed := range failures {
		e.emit(Event{At: time.Now(), Repository: failed.Repository, State: EventBlocked, Message: failed.Error()})
	}
	if len(repos) == 0 {
		return joined(failures)
	}
	if err := e.endRetreats(repos); err != nil {
		return err
	}
	if err := e.o.Engine.install(ctx, s, e.plan.ClusterAgent); err != nil {
		return err
	}
	if err := prepareCapacitor(ctx, s, e.o.Capacitor); err != nil {
		return err
	}
	waves := map[int][]*repository{}
	for _, r := range repos {
		wave := r.j.plan.Repository.Wave
		waves[wave] = append(waves[wave], r)
	}
	all := []error{joined(failures)}
	for _, wave := range sortedInts(waves) {
		errs, goOn := e.wave(ctx, s, waves[wave])
		all = append(all, errs...)
		if !goOn {
			break
		}
	}
	return errors.Join(all...)
}

func joined(failures []*NotBegunError) error {
	var errs []error
	for _, f := range failures {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

func sortedInts[V any](m map[int]V) []int {
	var out []int
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// selected are the ids to work on.
func (e *Executor) selected() ([]string, error) {
	var ids []string
	for _, id := range e.o.Repositories {
		if e.plan.Repository(id) == nil {
			return nil, fmt.Errorf("the plan holds no repository %s", id)
		}
	}
	for _, repo := range e.plan.Repositories {
		if len(e.o.Repositories) > 0 && !slices.Contains(e.o.Repositories, repo.ID) {
			continue
		}
		if e.o.Wave != 0 && repo.Wave != e.o.Wave {
			continue
		}
		ids = append(ids, repo.ID)
	}
	if len(ids) == 0 {
		return nil, errors.New("the plan holds no repository that was asked for")
	}
	return ids, nil
}

// Admissible fails where Migrate would refuse the plan as a whole before it
// changes anything: with ErrBlocked, where it was not proven against the server
// or for this cluster, where no fence can be had, or where a finding about the
// cluster stands in the way.
func (e *Executor) Admissible(ctx context.Context) error {
	selected, err := e.selected()
	if err != nil {
		return err
	}
	return e.admissible(ctx, selected)
}

// admissible checks what can be checked without changing anything.
func (e *Executor) admissible(ctx context.Context, selected []string) error {
	if e.plan.Proof != "server" {
		return fmt.Errorf("%w: the plan was proven %q; migrating needs one proven against the server: plan again as somebody who may %s", ErrBlocked, e.plan.Proof, rightsToProve(&e.plan))
	}
	uid, err := clusterUID(ctx, e.c)
	if err != nil {
		return err
	}
	if e.plan.Inputs.Cluster != "" && e.plan.Inputs.Cluster != uid {
		return fmt.Errorf("%w: the plan was made for another cluster (%s)", ErrBlocked, e.plan.Inputs.Server)
	}
	if err := e.policiesServed(); err != nil {
		return err
	}
	for _, f := range e.plan.Findings {
		if f.Severity == migrate.Blocker && f.Repository == "" && !e.plan.IsAccepted(f) {
			return fmt.Errorf("%w: %s", ErrBlocked, f)
		}
	}
	return nil
}

// rightsToProve says what the dry-runs of a proof need, beside reading.
func rightsToProve(plan *migrate.Plan) string {
	var accounts []string
	for _, repo := range plan.Repositories {
		for _, k := range repo.Kustomizations {
			name, _, _ := unstructured.NestedString(k.Object, "spec", "serviceAccountName")
			if account := "ServiceAccount/" + k.GetNamespace() + "/" + name; name != "" && !slices.Contains(accounts, account) {
				accounts = append(accounts, account)
			}
		}
	}
	slices.Sort(accounts)
	const shown = 3
	if more := len(accounts) - shown; more > 0 {
		accounts = append(accounts[:shown], fmt.Sprintf("%d more", more))
	}
	named := ""
	if len(accounts) > 0 {
		named = " (" + strings.Join(accounts, ", ") + ")"
	}
	return `"impersonate" the service accounts that the plan names` + named + ` and the old agents', with their groups (system:serviceaccounts, system:serviceaccounts:<namespace>, system:authenticated)`
}

// policiesServed fails where no fence could be put up. The server is asked, as
// it may have been upgraded since the plan was made; the version of the plan
// counts only where it does not tell.
func (e *Executor) policiesServed() error {
	const kinds = "admissionregistration.k8s.io/v1"
	list, err := e.c.Kube.Discovery().ServerResourcesForGroupVersion(kinds)
	served := err == nil && slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == "validatingadmissionpolicies" })
	if served {
		return nil
	}
	if err != nil && !apierrors.IsNotFound(err) {
		v, parseErr := version.ParseGeneric(e.plan.Inputs.Version)
		if parseErr != nil {
			return fmt.Errorf("ask whether the API server knows ValidatingAdmissionPolicies: %w", err)
		}
		if v.AtLeast(version.MajorMinor(1, 30)) {
			return nil
		}
	}
	at := ""
	if e.plan.Inputs.Version != "" {
		at = " (planned at " + e.plan.Inputs.Version + ")"
	}
	return fmt.Errorf("%w: %w; nothing was changed%s", ErrBlocked, errNoPolicies, at)
}

// open reads or begins the journals of the selected Repositories. One that
// cannot be gone on with is a failure of its own and holds back nobody else.
func (e *Executor) open(ctx context.Context, s *session, ids []string) (repos []*repository, failures []*NotBegunError, err error) {
	for _, id := range ids {
		slice, err := slicePlan(&e.plan, id)
		if err != nil {
			return nil, nil, err
		}
		j, err := s.store.load(ctx, id)
		if errors.Is(err, errBrokenJournal) {
			failures = append(failures, &NotBegunError{Repository: id, Err: err})
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		anew := false
		switch {
		case j == nil:
			j, anew = &journal{Repository: id, Attempt: 1}, true
		case j.Closed == "" && !j.GoingBack && j.untouched():
			// Only looked at, and perhaps held back: the plan given now is the
			// one that was reviewed.
			j, anew = &journal{Repository: id, Attempt: max(j.Attempt, 1), History: j.History, resourceVersion: j.resourceVersion, uid: j.uid}, true
		case j.Closed == "" && !j.GoingBack && j.Fence.StoppedAt == nil:
			if err := sameAsStaged(j, slice, e.plan.Inputs.Agents[id], e.o.Commits); err != nil {
				failures = append(failures, &NotBegunError{Repository: id, Err: err})
				continue
			}
		case j.Closed == closedRolledBack || j.Closed == closedAborted:
			last := j.last()
			history := append(slices.Clone(j.History), fmt.Sprintf("attempt %d: %s at %s", j.Attempt, j.Closed, last.At.Format(time.RFC3339)))
			if len(j.Parked) > 0 {
				failures = append(failures, &NotBegunError{Repository: id,
					Err: fmt.Errorf("it was rolled back while the flux-capacitor could not be reached, and its parked objects (%s) still stand there: do not delete them, since the flux-capacitor would make them anew, at work beside the old agent; %s", strings.Join(j.Parked, ", "), j.afterParking())})
				continue
			}
			j, anew = &journal{Repository: id, Attempt: j.Attempt + 1, History: history, resourceVersion: j.resourceVersion, uid: j.uid}, true
		}
		if anew {
			j.Commit = slice.Repository.Commit
			j.Agent.Fingerprint = e.plan.Inputs.Agents[id]
			if err := j.setPlan(slice); err != nil {
				return nil, nil, err
			}
			if slice.Repository.Blocked {
				j.Blocked = shortened(blockers(slice, e.plan.Accepted), maxMessage)
			}
		}
		j.Run = s.run
		if j.Closed == "" {
			if err := s.store.save(ctx, j); err != nil {
				return nil, nil, err
			}
		}
		repos = append(repos, &repository{env: s.env, id: id, j: j})
	}
	return repos, failures, nil
}

// wave cuts over the Repositories of one wave, MaxParallel at a time. goOn is
// false when no further wave may begin.
func (e *Executor) wave(ctx context.Context, s *session, repos []*repository) (failures []error, goOn bool) {
	var mu sync.Mutex
	stopped := false
	g := errgroup.Group{}
	g.SetLimit(e.o.MaxParallel)
	for _, r := range repos {
		g.Go(func() error {
			mu.Lock()
			skip := stopped
			mu.Unlock()
			if skip || ctx.Err() != nil {
				return nil
			}
			err := e.one(ctx, r)
			if err == nil {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			failures = append(failures, err)
			if e.o.OnFailure != Continue && !r.heldBack(err) || fatal(err) {
				stopped = true
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil { // the functions above return none
		failures = append(failures, err)
	}
	if ctx.Err() != nil && !slices.ContainsFunc(failures, func(err error) bool { return errors.Is(err, ctx.Err()) }) {
		failures = append(failures, ctx.Err())
	}
	return failures, !stopped && ctx.Err() == nil
}

// fatal errors stop everything, whatever OnFailure says.
func fatal(err error) bool {
	return errors.Is(err, ErrBudget) || errors.Is(err, ErrJournal) || errors.Is(err, ErrLeaseLost) || errors.Is(err, ErrAborted) || errors.Is(err, errCrash) || errors.Is(err, context.Canceled)
}

// heldBack reports whether err is about this Repository alone: a finding or a
// commit holds it back, and its old agent works as before. Others go on.
func (r *repository) heldBack(err error) bool {
	fence := r.j.state("fence")
	return (errors.Is(err, ErrMoved) || errors.Is(err, ErrBlocked)) && (fence == "" || fence == Undone)
}

// one takes one Repository through the runbook.
func (e *Executor) one(ctx context.Context, r *repository) error {
	if r.j.Blocked != "" && r.j.Closed == "" && len(r.j.Entries) == 0 {
		// The journal holds the beginning; remedies are found by whole findings.
		err := fmt.Errorf("hand over %s: %w: %s", r.id, ErrBlocked, blockers(r.j.plan, e.plan.Accepted))
		r.emit(Event{At: time.Now(), Repository: r.id, State: EventBlocked, Message: err.Error()})
		return err
	}
	err := r.advance(ctx)
	if err == nil || errors.Is(err, errCrash) || errors.Is(err, ErrJournal) || context.Cause(r.held) != nil {
		return err
	}
	undo := e.o.OnFailure == RollBack && !errors.Is(err, context.Canceled) && !r.heldBack(err)
	if undo || errors.Is(err, ErrAborted) {
		closed := closedRolledBack
		if errors.Is(err, ErrAborted) {
			closed = closedAborted
		}
		head, headErr := headOf(r.held, e.o.Head, r.id)
		if headErr != nil {
			r.note("", "what Flux v1 will find in Git is not known: %v", headErr)
		}
		r.head = head
		return errors.Join(err, r.retreat(r.held, 0, closed))
	}
	return err
}

// atOnce is how many Repositories may be without an engine at the same time.
// More would share the new agent and the API server, and each gap would be
// longer; everything before and after runs up to MaxParallel at once.
const atOnce = 1

const (
	// silence is what a Repository in its gap takes of the quiet, and each loud
	// step one of: with so many at once none would be left for a gap.
	silence = 1 << 20
	// silenceLimit bounds the wait for loud steps of others to end. One of them
	// may hang; the gap is then as long as it is beside them.
	silenceLimit = 15 * time.Second
	// silenceAgain bounds the same wait where the gap has begun already.
	silenceAgain = time.Second
	// silencePatience is how long the quiet is held for the old agent's pods to
	// end: until then it may write, so there is no gap to keep short.
	silencePatience = 20 * time.Second
	// silenceTold is after how long a loud step says that it waits.
	silenceTold = 5 * time.Second
)

// enterGap waits for its turn to be without an engine, and until no other
// Repository is in a loud step.
func (r *repository) enterGap(ctx context.Context) error {
	if r.inGap || r.gaps == nil {
		return nil
	}
	begun := time.Now()
	select {
	case r.gaps <- struct{}{}:
		r.inGap = true
		r.hush(ctx, silenceLimit)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the turn of %s to be without an agent: %w", r.id, waitEnded(ctx, begun, "others were still being handed over"))
	}
}

// leaveGap lets the next one in.
func (r *repository) leaveGap() {
	r.endHush()
	if r.inGap {
		r.inGap = false
		<-r.gaps
	}
}

// hush keeps others from loud steps, once those under way have ended or the
// limit has passed.
func (r *repository) hush(ctx context.Context, limit time.Duration) {
	if r.quiet == nil || r.hushed {
		return
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if r.hushed = r.quiet.Acquire(limited, silence) == nil; !r.hushed && ctx.Err() == nil {
		r.note("fence", "others are still at work after %s: the gap may be a little longer for it", limit)
	}
}

// endHush lets others begin loud steps again.
func (r *repository) endHush() {
	if r.hushed {
		r.hushed = false
		r.quiet.Release(silence)
	}
}

// aloud runs one step forward, a loud one not while another Repository is in
// its gap. The wait counts against no limit of the step.
func (r *repository) aloud(ctx context.Context, s *step) error {
	if !s.Loud {
		return r.forward(ctx, s)
	}
	done, err := r.beLoud(ctx, s.Name)
	if err != nil {
		return fmt.Errorf("hand over %s: interrupted before step %s: %w", r.id, s.Name, err)
	}
	defer done()
	return r.forward(ctx, s)
}

// beLoud waits until no other Repository is in its gap, and has others wait with
// theirs, for a time, until done is called. A long wait is told.
func (r *repository) beLoud(ctx context.Context, step string) (done func(), err error) {
	if r.quiet == nil || r.hushed {
		return func() {}, nil
	}
	tell := time.AfterFunc(silenceTold, func() { r.note(step, "waits while another repository is without an engine") })
	defer tell.Stop()
	if r.quiet.Acquire(ctx, 1) != nil {
		return nil, fmt.Errorf("another repository was without an engine: %w", context.Cause(ctx))
	}
	return func() { r.quiet.Release(1) }, nil
}

// untouched reports whether nothing beyond a look was begun.
func (j *journal) untouched() bool {
	return len(j.Created) == 0 && len(j.Snapshot.Secrets) == 0 && !slices.ContainsFunc(j.Entries, func(e Entry) bool {
		return e.Step != "lock" && e.Step != "recheck"
	})
}

// sameAsStaged fails with ErrMoved where the plan given now is not the one by
// which something was made already.
func sameAsStaged(j *journal, given *planSlice, agent migrate.Fingerprint, commits Commits) error {
	if j.plan == nil {
		return fmt.Errorf("read journal of %s: its plan is gone: %w", j.Repository, errBrokenJournal)
	}
	moved := differences(j.plan, given, commits)
	if was := j.Agent.Fingerprint; len(was) > 0 && len(agent) > 0 {
		moved = append(was.Moved(agent), moved...)
	}
	if len(moved) == 0 {
		return nil
	}
	return fmt.Errorf("%w: something was staged already by another plan than this (%s): %s", ErrMoved, strings.Join(moved, "; "), j.afterMove())
}

// afterParking says what ends a rollback that left parked objects.
func (j *journal) afterParking() string {
	return fmt.Sprintf("run \"fluxover rollback --repo %s\" where the flux-capacitor can be reached, which takes its files out and then removes them", j.Repository)
}

// afterMove says what to do about a plan that does not hold any more.
func (j *journal) afterMove() string {
	if j.untouched() {
		return "plan again and review what changed"
	}
	fence := ""
	if state := j.state("fence"); begun(state) && state != Done && j.Fence.StoppedAt == nil {
		fence = ", which also takes down the fence that an earlier run left: it refuses pods of the old agent that were started since"
	}
	return fmt.Sprintf("run \"fluxover rollback --repo %s\" first%s, then plan again and review what changed", j.Repository, fence)
}

// advance runs the steps that are not done yet.
func (r *repository) advance(ctx context.Context) error {
	defer r.leaveGap()
	if r.j.Closed == closedSettled || r.j.Closed == closedFinalized {
		return nil
	}
	if r.j.GoingBack {
		return fmt.Errorf("hand over %s: its rollback is unfinished: run \"fluxover rollback --repo %s\" to end it", r.id, r.id)
	}
	r.interruptible = ctx
	if err := r.endRetreat(); err != nil {
		return err
	}
	for i := 0; i < len(steps); i++ {
		s := &steps[i]
		if r.j.state(s.Name) == Done {
			later := slices.ContainsFunc(steps[i+1:], func(l step) bool {
				state := r.j.state(l.Name)
				return state != "" && state != Undone
			})
			if s.Always && r.j.Fence.StoppedAt == nil {
				later = false
			}
			if later || s.Check == nil {
				continue
			}
			checkCtx, cancel := context.WithTimeout(ctx, s.Limit(r))
			err := s.Check(checkCtx, r)
			cancel()
			if err == nil {
				continue
			}
			r.note(s.Name, "done before, and to be done again: %v", err)
		}
		stepCtx := ctx
		if s.Urgent {
			stepCtx = r.held
		}
		if !s.Urgent || s.Name == firstUrgent() && r.j.Fence.StoppedAt == nil {
			if err := r.mayGoOn(ctx); err != nil {
				return err
			}
		}
		if err := context.Cause(r.held); err != nil {
			return err
		}
		if err := r.aloud(withHeld(stepCtx, r.held), s); err != nil {
			if s.Retreat && !errors.Is(err, errCrash) && !errors.Is(err, ErrJournal) && context.Cause(r.held) == nil {
				// The old agent works, or is waited for: that needs no quiet.
				r.endHush()
				back := r.retreatTo(r.held, "fence")
				if errors.Is(err, errPaused) && back == nil {
					r.leaveGap()
					i-- // mayGoOn waits, and the step begins anew
					continue
				}
				err = errors.Join(err, back)
			}
			return err
		}
		if i+1 == len(steps) || !steps[i+1].Urgent {
			r.leaveGap()
		}
	}
	r.j.Closed = closedSettled
	return r.store.save(r.held, r.j)
}

func firstUrgent() string {
	for _, s := range steps {
		if s.Urgent {
			return s.Name
		}
	}
	return ""
}

// endRetreats is endRetreat for all Repositories, before the installation of the
// engine, which may take long or fail, and before the turns of others. What fails
// for one is tried again, and counts, when its turn comes; only what is fatal to
// all is an error.
func (e *Executor) endRetreats(repos []*repository) error {
	g := errgroup.Group{}
	g.SetLimit(e.o.MaxParallel)
	for _, r := range repos {
		if r.j.Closed != "" || r.j.GoingBack {
			continue
		}
		g.Go(func() error {
			err := r.endRetreat()
			if err == nil || fatal(err) || context.Cause(r.held) != nil {
				return err
			}
			r.note(firstUrgent(), "tried again when its turn comes: %v", err)
			return nil
		})
	}
	return g.Wait()
}

// endRetreat ends what a run left that died, or failed, in step fence with the
// old agent let in, or never stopped: a fence that nobody tends shuts out each
// pod that takes the place of another. The fence goes, so that all is checked
// and staged before another is put up. Whether the old agent gets Ready is not
// waited for.
func (r *repository) endRetreat() error {
	state := r.j.state(firstUrgent())
	if !begun(state) || r.j.Fence.StoppedAt != nil && state != Undoing {
		return nil
	}
	if r.j.Fence.StoppedAt != nil {
		r.note(firstUrgent(), "an earlier run ended while it let the old agent work again: its fence is taken down, its replicas are put back, and all is checked again")
	} else {
		r.note(firstUrgent(), "an earlier run ended in this step with the old agent not stopped: its fence is taken down, and all is checked again")
	}
	ctx, cancel := context.WithTimeout(r.held, undoLimit)
	defer cancel()
	if err := letIn(ctx, r); err != nil {
		return &StepError{Repository: r.id, Step: "undo-" + firstUrgent(), Err: err, Leaves: "what was undone so far stays undone; nothing is lost"}
	}
	r.j.Fence = fenceFacts{}
	return r.record(r.held, firstUrgent(), Undone, "")
}

// withHeld ends ctx also when the Lease is lost.
func withHeld(ctx, held context.Context) context.Context {
	if ctx == held {
		return ctx
	}
	joined, cancel := context.WithCancelCause(ctx)
	context.AfterFunc(held, func() { cancel(context.Cause(held)) })
	return joined
}

// mayGoOn waits while the run is paused, and fails when it is to be aborted or
// was interrupted. It is asked between steps, so that time spent paused counts
// against no step's limit.
func (r *repository) mayGoOn(ctx context.Context) error {
	told := false
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		paused, err := r.pausedBy(ctx)
		if err != nil || paused == "" {
			return err
		}
		if !told {
			r.note("", "paused by %s; \"fluxover resume\" goes on", paused)
			told = true
		}
		if !pause(ctx, time.Second) {
			return ctx.Err()
		}
	}
}

// pausedBy tells who paused the run; empty if nobody did. It fails with
// ErrAborted when the run is to be aborted.
func (r *repository) pausedBy(ctx context.Context) (string, error) {
	limited, cancel := context.WithTimeout(ctx, troubleLimit)
	defer cancel()
	var record *runRecord
	err := r.outlast(limited, "", func(ctx context.Context) (err error) {
		record, err = r.store.run(ctx)
		return err
	})
	switch {
	case err != nil:
		return "", err
	case record == nil:
		return "", fmt.Errorf("the run record in %s was deleted", migrate.StateNamespace)
	case record.abort != "":
		return "", fmt.Errorf("%w: asked for by %s", ErrAborted, record.abort)
	}
	return record.paused, nil
}

// retreatTo undoes the steps from the newest back to the named one, so that
// the old agent works again.
func (r *repository) retreatTo(ctx context.Context, name string) error {
	return r.retreat(ctx, slices.IndexFunc(steps, func(s step) bool { return s.Name == name }), "")
}

// retreat undoes, newest first, all steps that were begun, down to the one at
// index first, and closes the journal if closed is given.
func (r *repository) retreat(ctx context.Context, first int, closed string) error {
	r.j.GoingBack = closed != ""
	for i := len(steps) - 1; i >= first; i-- {
		state := r.j.state(steps[i].Name)
		if state == "" || state == Undone {
			continue
		}
		stepCtx := ctx
		if steps[i].Urgent && r.held != nil {
			// Between the stop of the new engine and the start of the old one no
			// interrupt is heard: nobody would sync the repository.
			if lastUrgent := i+1 == len(steps) || !steps[i+1].Urgent; lastUrgent && ctx.Err() != nil {
				return fmt.Errorf("roll back %s: interrupted before the new agent was stopped: %w", r.id, ctx.Err())
			}
			stepCtx = r.held
		}
		if err := r.backward(stepCtx, &steps[i]); err != nil {
			return err
		}
	}
	if closed == "" {
		return nil
	}
	r.j.Closed, r.j.GoingBack = closed, false
	return r.store.save(ctx, r.j)
}
