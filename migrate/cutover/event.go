package cutover

import (
	"errors"
	"fmt"
	"time"
)

// EventState says what an Event reports.
type EventState string

const (
	EventStarted EventState = "started"
	EventDone    EventState = "done"
	EventFailed  EventState = "failed"
	EventUndone  EventState = "undone"
	// EventBlocked: a finding that nobody accepted holds the Repository back;
	// its old agent works as before, or does again. Not a failure of the run's.
	EventBlocked EventState = "blocked"
	// EventNote is progress or a warning inside a step.
	EventNote EventState = "note"
)

// Event is one thing worth showing while a migration or rollback runs. It
// never holds a secret.
type Event struct {
	At time.Time
	// Repository is the id; empty for what concerns the whole cluster.
	Repository string
	// Step is a name of the step table, or "agent" for step 0; empty for a
	// Repository that is blocked before its first step.
	Step    string
	State   EventState
	Message string
	// Elapsed is the time the step took; set with done, failed, undone and,
	// in a step, blocked.
	Elapsed time.Duration
}

var (
	// ErrLocked: another operator holds the Lease. The error is a *LockedError.
	ErrLocked = errors.New("another operator is at work in this cluster")
	// ErrLeaseLost: the Lease was held, and is not any more: another operator took
	// it over, somebody deleted it, or it could not be renewed in time. What was
	// begun is as its journals say, and this run writes nothing more.
	ErrLeaseLost = errors.New("the Lease was lost")
	// ErrBlocked: a finding that nobody accepted holds the Repository, or the
	// whole cluster, back. Nothing was changed.
	ErrBlocked = errors.New("held back")
	// ErrMoved: what the plan was made from is no longer so. The Repository
	// was not changed, or was put back.
	ErrMoved = errors.New("moved since the plan was made")
	// ErrBudget: a delete was attempted that the tool must never do. It is a
	// programming error and stops everything.
	ErrBudget = errors.New("refused to delete what this run did not create")
	// ErrJournal: somebody else wrote the journal meanwhile.
	ErrJournal = errors.New("the journal was written by somebody else")
	// ErrAborted: "abort" was asked for, and what was unfinished rolled back.
	ErrAborted = errors.New("aborted")
	// ErrNothingBegun: no migration was begun in this cluster, as far as may be
	// seen, so there is none to pause, to resume or to abort. Nothing was changed.
	ErrNothingBegun = errors.New("no migration was begun in this cluster")
	// ErrPredictionFailed: after adoption an object is not as was predicted.
	ErrPredictionFailed = errors.New("not as predicted")

	// errCrash is a crash simulated by a test's hook: nothing is tidied up.
	errCrash = errors.New("crash asked for by a test")
)

// NotBegunError says why a run did not begin with a Repository, or go on with
// it. Nothing of it was changed, and nothing waits to be gone on with: Err says
// what to do first.
type NotBegunError struct {
	Repository string
	Err        error
}

func (e *NotBegunError) Error() string {
	return fmt.Sprintf("hand over %s: nothing was changed by this run: %v", e.Repository, e.Err)
}

func (e *NotBegunError) Unwrap() error { return e.Err }

// StepError says which step of which Repository failed, and how things stand.
type StepError struct {
	Repository, Step string
	// Leaves says what the failure leaves behind.
	Leaves string
	// GoingBack is true where the Repository was on its way back for good: only
	// a rollback goes on with it.
	GoingBack bool
	Err       error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("hand over %s: step %s: %v", e.Repository, e.Step, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }
