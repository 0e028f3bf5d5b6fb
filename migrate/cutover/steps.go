package cutover

import (
	"context"
	"time"

	"github.com/fluxover/fluxover/migrate"
)

// step is one row of the runbook.
type step struct {
	Name string
	// Check confirms, after a restart, that what the journal says is done is
	// still so; an error means that the step is done again. Nil confirms.
	Check func(context.Context, *repository) error
	// Before notes before-values in the journal; they are written with
	// "started", before anything is changed, and by each try anew: it must keep
	// those of an earlier one that got further.
	Before func(context.Context, *repository) error
	// Do may be called again after a crash at any point of it.
	Do func(context.Context, *repository) error
	// Undo brings back what was before Do, from any half-done state of it. Nil
	// where nothing was changed.
	Undo func(context.Context, *repository) error
	// Always: Check is asked even when later steps have begun, until the old
	// agent is told to end.
	Always bool
	// Limit bounds Before and Do together.
	Limit func(*repository) time.Duration
	// Urgent: between the moment in this step at which the old agent is told to
	// end, and the end of the last urgent one, no pause and no interrupt is
	// heard, because no engine could write.
	Urgent bool
	// Loud: the step reads and tries many objects, or makes the agent do so, and
	// is not begun while another Repository is in its gap, which would last longer
	// for it.
	Loud bool
	// Retreat: when Do fails it is undone at once, so that the old agent is
	// not kept out without need.
	Retreat bool
	// Manual is the equal of Do by hand, and ManualUndo that of Undo: lines for a
	// shell, see Runbook.
	Manual, ManualUndo func(*repository) (string, error)
	// Leaves says what a failure leaves behind, for people.
	Leaves string
}

// undoLimit bounds the undo of one step.
const undoLimit = 15 * time.Minute

// steps is the runbook of one Repository. Going back runs the undos from the
// last to the first.
var steps = []step{
	{
		Name:  "lock",
		Do:    checkLock,
		Check: checkLock,
		Limit: within(time.Minute),
		Manual: text("# Nobody else may be at work, and the repository may not be under way. If status says that an operator has died, delete this Lease.\nfluxover status\n" +
			"test -z \"$(kubectl -n " + migrate.StateNamespace + " get lease " + leaseName + " --ignore-not-found -o 'jsonpath={.spec.holderIdentity}')\""),
		Leaves: "nothing was changed",
	},
	{
		Name:   "recheck",
		Loud:   true,
		Check:  recheckedHere,
		Always: true,
		Do:     recheck,
		Limit:  within(10 * time.Minute),
		Manual: manualRecheck,
		Leaves: "nothing was changed",
	},
	{
		Name:   "snapshot",
		Loud:   true,
		Check:  snapshotHere,
		Always: true,
		Do:     takeSnapshot,
		Undo:   dropSnapshot,
		Limit:  within(5 * time.Minute),
		Manual: manualSnapshot,
		Leaves: "nothing but Secrets of the snapshot in fluxover-system",
	},
	{
		Name:   "credentials",
		Do:     copyCredentials,
		Undo:   removeMade("credentials"),
		Limit:  within(2 * time.Minute),
		Manual: manualCredentials, ManualUndo: manualCredentialsUndo,
		Leaves: "copies of the Git credentials and of the keys for encrypted files; the old agent works as before",
	},
	{
		Name:   "stage",
		Loud:   true,
		Check:  stagedHere,
		Always: true,
		Do:     stage,
		Undo:   removeMade("stage"),
		Limit: func(r *repository) time.Duration {
			return max(r.limits.source, r.limits.echo) + 3*time.Minute + time.Duration(len(r.j.plan.Repository.Objects))*trialAllowance
		},
		Manual: manualStage, ManualUndo: manualStageUndo,
		Leaves: "suspended Kustomizations that apply nothing; the old agent works as before",
	},
	{
		Name:   "fence",
		Check:  fencedStill,
		Before: noteReplicas,
		Do:     fence,
		Undo:   unfence,
		Limit: func(r *repository) time.Duration {
			// With the turns of others before it.
			return r.limits.fence + r.syncWait + r.limits.pods + r.limits.source + 20*time.Minute
		},
		Urgent: true, Retreat: true,
		Manual: manualFence, ManualUndo: manualFenceUndo,
		Leaves: "the fence was taken down again and the old agent's replicas put back",
	},
	{
		Name:   "top-up",
		Do:     topUp,
		Limit:  within(10 * time.Minute),
		Urgent: true, Retreat: true,
		Manual: manualTopUp,
		Leaves: "the fence was taken down again and the old agent's replicas put back",
	},
	{
		Name:   "adopt",
		Check:  adoptedStill,
		Do:     adopt,
		Undo:   giveBack,
		Limit:  func(r *repository) time.Duration { return r.limits.adopt + time.Minute },
		Urgent: true,
		Manual: manualAdopt, ManualUndo: manualAdoptUndo,
		Leaves: "the new agent is resumed, the old one fenced: nothing is synced twice; workloads run as before",
	},
	{
		Name:   "verify",
		Loud:   true,
		Do:     verify,
		Limit:  func(r *repository) time.Duration { return r.limits.adopt + 2*time.Minute },
		Manual: manualVerify,
		Leaves: "the new agent syncs at the pinned commit and deletes nothing; the old one is fenced",
	},
	{
		Name:   "unpin",
		Loud:   true, // commits made meanwhile are fetched and applied
		Do:     unpin,
		Limit:  func(r *repository) time.Duration { return r.limits.source + time.Minute },
		Manual: manualUnpin,
		Leaves: "the new agent syncs, at the pinned commit; the old one is fenced",
	},
	{
		Name:   "hold",
		Do:     holdAndWatch,
		Limit:  func(r *repository) time.Duration { return r.hold + 5*time.Minute },
		Manual: manualHold,
		Leaves: "the new agent syncs; the old one is fenced",
	},
	{
		Name:   "settle",
		Do:     settle,
		Undo:   unsettle,
		Limit:  within(30 * time.Minute),
		Manual: text("# Commit the repository's files to the flux-capacitor, if there is one: fluxover plan --emit DIR writes them."),
		Leaves: "the new agent syncs; the old one is fenced",
	},
}

func within(d time.Duration) func(*repository) time.Duration {
	return func(*repository) time.Duration { return d }
}

func text(s string) func(*repository) (string, error) {
	return func(*repository) (string, error) { return s, nil }
}
