package cutover

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// Phase is how far a Repository is, in one word.
type Phase string

// Phases of a Repository.
const (
	PhasePending     Phase = "pending"
	PhaseBlocked     Phase = "blocked"
	PhaseStaged      Phase = "staged"
	PhaseFenced      Phase = "fenced"
	PhaseAdopting    Phase = "adopting"
	PhaseVerifying   Phase = "verifying"
	PhaseHolding     Phase = "holding"
	PhaseSettling    Phase = "settling"
	PhaseSettled     Phase = "settled"
	PhaseFinalized   Phase = "finalized"
	PhaseRollingBack Phase = "rolling-back"
	PhaseRolledBack  Phase = "rolled-back"
	PhaseAborted     Phase = "aborted"
	PhaseFailed      Phase = "failed"
)

// StatusReport says where each Repository stands. Its JSON form is a contract
// (docs/schemas).
type StatusReport struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // "Status"
	// Paused is true while "pause" holds a migration up.
	Paused bool `json:"paused"`
	// Operator holds the Lease; null if nobody does.
	Operator *OperatorStatus `json:"operator"`
	// Message is about the cluster as a whole: a dead operator, an abort.
	Message      string             `json:"message,omitempty"`
	Repositories []RepositoryStatus `json:"repositories"`
}

// OperatorStatus is who holds the Lease.
type OperatorStatus struct {
	Holder
	// Expired: the operator is seen to be dead, or, by the clocks of both
	// machines, has not renewed the Lease for as long as it holds. Who wants to
	// take it watches first whether that is so.
	Expired bool `json:"expired"`
}

// RepositoryStatus is where one Repository stands.
type RepositoryStatus struct {
	ID    string `json:"id"`
	Phase Phase  `json:"phase"`
	// Step that was begun last; empty before the first.
	Step  string     `json:"step"`
	Since *time.Time `json:"since"`
	// Gap is how long no engine could write it, as a Go duration; null until
	// the old agent has ended, and growing until it is adopted. Where nobody saw
	// it end it counts from when it was told to, so that it is at most that.
	Gap *metav1.Duration `json:"gap"`
	// GapAtMost: nobody saw the old agent end.
	GapAtMost bool `json:"gapAtMost,omitempty"`
	// WaitingForOldPod is how long the old agent took to end before that.
	WaitingForOldPod *metav1.Duration `json:"waitingForOldPod,omitempty"`
	Message          string           `json:"message"`
	Commit           string           `json:"commit,omitempty"`
	Attempt          int              `json:"attempt,omitempty"`
	Parked           []string         `json:"parked,omitempty"`
}

// Status reads where everything stands from the journals and the cluster. It
// changes nothing, and needs no Lease.
func Status(ctx context.Context, c *cluster.Client) (StatusReport, error) {
	report := StatusReport{APIVersion: migrate.APIVersion, Kind: "Status", Repositories: []RepositoryStatus{}}
	s := store{c: c}
	run, err := s.run(ctx)
	if err != nil {
		return report, err
	}
	aborted := false
	if run != nil {
		report.Paused = run.paused != ""
		if run.abort != "" {
			aborted = true
			report.Message = "an abort was asked for by " + run.abort + `: "fluxover abort" carries it out, "fluxover resume" lifts it`
		}
	}
	live, err := c.Kube.CoordinationV1().Leases(migrate.StateNamespace).Get(ctx, leaseName, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return report, fmt.Errorf("read the Lease: %w", err)
	}
	if err == nil {
		if h := holderOf(live); h != nil {
			now := time.Now()
			dead := processDead(live.Annotations[annotationProcess])
			report.Operator = &OperatorStatus{Holder: *h, Expired: dead || h.expired(now)}
			ways := `: "fluxover migrate" goes on, "fluxover rollback" goes back`
			if aborted { // which migrate would be refused by
				ways = "; " + report.Message
			}
			switch ahead := h.ahead(now); {
			case dead:
				report.Message = fmt.Sprintf("the operator %s@%s has died on this machine", h.User, h.Host) + ways
			case report.Operator.Expired:
				report.Message = fmt.Sprintf("the operator %s@%s has not been heard of since %s, by the clocks of both machines", h.User, h.Host, h.Expires.Add(-h.term).Format(time.RFC3339)) + ways
			case ahead > clockSlack:
				report.Message = fmt.Sprintf("the clock of the operator %s@%s is %s ahead of this machine's, so whether it lives is not known", h.User, h.Host, ahead.Round(time.Second)) + ways
			}
		}
	}
	journals, err := s.list(ctx)
	if err != nil {
		return report, err
	}
	for _, j := range journals {
		one := statusOf(j)
		if j.broken != nil {
			if j.Closed == "" {
				one.Phase = PhaseFailed
			}
			one.Message = oneLine(j.broken.Error())
			report.Repositories = append(report.Repositories, one)
			continue
		}
		tended := report.Operator != nil && !report.Operator.Expired
		if err := lookAround(ctx, c, j, tended, &one); err != nil {
			return report, err
		}
		report.Repositories = append(report.Repositories, one)
	}
	return report, nil
}

// Settled are the Repositories, by id, whose hand-over has ended, as their
// journals tell: a migration has nothing to do for them, also where a fence was
// taken down since, which Status says. One whose journal cannot be read is none of
// them. It changes nothing, and needs no Lease.
func Settled(ctx context.Context, c *cluster.Client) (map[string]bool, error) {
	journals, err := store{c: c}.list(ctx)
	if err != nil {
		return nil, err
	}
	settled := map[string]bool{}
	for _, j := range journals {
		if phase := phaseOf(j); j.broken == nil && (phase == PhaseSettled || phase == PhaseFinalized) {
			settled[j.Repository] = true
		}
	}
	return settled, nil
}

func statusOf(j *journal) RepositoryStatus {
	one := RepositoryStatus{ID: j.Repository, Phase: phaseOf(j), Commit: j.Commit, Attempt: j.Attempt, Parked: j.Parked, Message: j.Blocked}
	if last := j.last(); last != nil {
		at := last.At
		one.Step, one.Since = last.Step, &at
		one.Message = last.Message
	}
	failed := lastFailure(j)
	switch {
	case failed != nil && (one.Phase == PhaseFailed || one.Phase == PhaseBlocked):
		one.Step, one.Message = failed.Step, failed.Message
	case one.Phase == PhaseBlocked:
		one.Message = j.Blocked
	}
	if one.Phase == PhaseBlocked {
		one.Message = oneLine(one.Message)
	}
	if j.Gap != nil {
		one.Gap, one.GapAtMost = &metav1.Duration{Duration: j.Gap.Duration()}, j.Gap.AtMost
		if !j.Gap.AtMost {
			waiting := j.Gap.WaitingForOldPod
			one.WaitingForOldPod = &waiting
		}
	}
	if from := runningGap(j); from != nil {
		if j.Fence.StoppedAt != nil && !j.Fence.GoneUnseen {
			one.WaitingForOldPod = &metav1.Duration{Duration: from.Sub(*j.Fence.StoppedAt)}
		}
		one.tellGap(*from, j.Fence.GoneUnseen)
	}
	if one.Phase == PhaseRolledBack && len(j.Parked) > 0 {
		one.Message = "parked: its control objects stay, suspended, until its files leave the flux-capacitor: " + j.afterParking()
	}
	if left := j.leftovers(); left != "" && (one.Phase == PhaseRolledBack || one.Phase == PhaseAborted || one.Phase == PhaseRollingBack) {
		one.add(left)
	}
	if one.Phase == PhaseSettled && len(j.Findings) > 0 {
		one.Message = j.Findings[0].Message
	}
	return one
}

// tellGap says that no engine can write the Repository since then, or, where nobody
// saw the old agent end, since some time after.
func (s *RepositoryStatus) tellGap(from time.Time, unseen bool) {
	s.Gap, s.GapAtMost = &metav1.Duration{Duration: max(time.Since(from).Round(time.Millisecond), 0)}, unseen
	message := "no engine can write it since " + from.Format(time.RFC3339)
	if unseen {
		message += " at the earliest: its old agent was told to end then, and nobody saw when it did"
	}
	s.add(message)
}

func (s *RepositoryStatus) add(message string) {
	if s.Message != "" {
		s.Message += "; "
	}
	s.Message += message
}

// runningGap is since when no engine can write the Repository; nil if one can,
// or if a gap was measured already. A rollback that has begun to undo the
// adoption is not counted: when its gap began is not noted.
func runningGap(j *journal) *time.Time {
	if !mayBeInGap(j) {
		return nil
	}
	return j.Fence.GoneAt
}

// mayBeInGap reports whether no engine can write the Repository once its old agent
// has ended.
func mayBeInGap(j *journal) bool {
	if j.Closed != "" || j.Gap != nil || !begun(j.state("fence")) {
		return false
	}
	switch j.state("adopt") {
	case "", Started, Failed:
		return true
	}
	return false
}

// oneLine is a message without the line breaks of what it quotes.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// heldBack reports whether a failed entry says that the Repository was held
// back: no failure of a step, but a finding or a commit that nobody accepted.
func (e *Entry) heldBack() bool {
	return e.HeldBack || e.State == Failed && (strings.Contains(e.Message, ErrBlocked.Error()) || strings.Contains(e.Message, ErrMoved.Error()))
}

// lastFailure is the newest failed entry that nothing went past.
func lastFailure(j *journal) *Entry {
	for i := len(j.Entries) - 1; i >= 0; i-- {
		switch e := &j.Entries[i]; e.State {
		case Failed:
			return e
		case Undone, Undoing:
		default:
			return nil
		}
	}
	return nil
}

// phaseOf derives the phase from the journal alone.
func phaseOf(j *journal) Phase {
	switch j.Closed {
	case closedSettled:
		return PhaseSettled
	case closedFinalized:
		return PhaseFinalized
	case closedRolledBack:
		return PhaseRolledBack
	case closedAborted:
		return PhaseAborted
	}
	switch {
	case j.GoingBack:
		return PhaseRollingBack
	case len(j.Entries) == 0 && j.Blocked != "":
		return PhaseBlocked
	case lastFailure(j) != nil && !begun(j.state("fence")) && lastFailure(j).heldBack():
		return PhaseBlocked // the old agent works as before, or does again
	case lastFailure(j) != nil && lastFailure(j).Step == "settle" && j.InCapacitor:
		return PhaseSettling // the new agent syncs; only its files are not in Git yet
	case lastFailure(j) != nil:
		return PhaseFailed
	}
	for i := len(steps) - 1; i >= 0; i-- {
		state := j.state(steps[i].Name)
		if !begun(state) {
			continue
		}
		switch steps[i].Name {
		case "settle":
			return PhaseSettling
		case "hold":
			return PhaseHolding
		case "unpin", "verify":
			return PhaseVerifying
		case "adopt":
			if state == Done {
				return PhaseVerifying
			}
			return PhaseAdopting
		case "fence":
			if state == Done || j.Fence.StoppedAt != nil {
				return PhaseFenced
			}
			return PhaseStaged // it waits, and the old agent works
		case "top-up":
			return PhaseFenced
		case "stage":
			if state == Done {
				return PhaseStaged
			}
		}
		return PhasePending
	}
	return PhasePending
}

// lookAround adds what the journal cannot know: an old agent that came back, a
// fence that somebody took down, one that nobody tends.
func lookAround(ctx context.Context, c *cluster.Client, j *journal, tended bool, one *RepositoryStatus) error {
	if !tended && mayBeInGap(j) && j.Fence.StoppedAt != nil && j.Fence.GoneAt == nil {
		// Who waited for the old agent to end died, or lost the Lease.
		pods, err := (&repository{env: &env{c: c}, j: j}).exemptPods(ctx)
		switch {
		case err != nil:
			one.add(fmt.Sprintf("whether any engine can write it is not known: %v", err))
		case len(pods) == 0:
			one.tellGap(*j.Fence.StoppedAt, true)
		}
	}
	untended := j.Closed == "" && j.Fence.StoppedAt == nil && begun(j.state("fence")) && j.state("fence") != Done && !tended
	switch one.Phase {
	case PhaseStaged, PhaseFailed, PhaseRollingBack:
		if !untended {
			return nil
		}
	case PhaseFenced, PhaseAdopting, PhaseVerifying, PhaseHolding, PhaseSettling, PhaseSettled:
	default:
		return nil
	}
	_, err := c.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, fenceName(j.Repository), metav1.GetOptions{})
	if err == nil && untended {
		one.add(fmt.Sprintf("a run ended while it waited for its turn, and its fence %s refuses pods of the old agent that were started since: \"fluxover migrate\" goes on, \"fluxover rollback --repo %s\" takes it down", fenceName(j.Repository), j.Repository))
	}
	gone := apierrors.IsNotFound(err)
	if gone && j.state("fence") == Done {
		one.add(fmt.Sprintf("the fence %s was taken down by somebody, so that nothing refuses what the old agent writes if it is started: keep its replicas at 0 where its release is declared; \"fluxover rollback --repo %s\" and then \"fluxover migrate\" put it up anew", fenceName(j.Repository), j.Repository))
	} else if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("look for the fence of %s: %w", j.Repository, err)
	}
	d, err := c.Kube.AppsV1().Deployments(j.Agent.Namespace).Get(ctx, j.Agent.Workload, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the old agent of %s: %w", j.Repository, err)
	}
	if j.state("fence") == Done && (d.Spec.Replicas == nil || *d.Spec.Replicas > 0) {
		what := "the fence refuses what it writes"
		if gone {
			what = "no fence refuses what it writes, beside the new one"
		}
		one.add("the old agent was started again; " + what + ": set its replicas to 0 where its release is declared")
	}
	return nil
}
