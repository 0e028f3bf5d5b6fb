package cutover

import (
	"context"
	"fmt"
	"strings"
	"time"
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
	// Manual is the equal of Do by hand.
	Manual func(*repository) string
	// Leaves says what a failure leaves behind, for people.
	Leaves string
}

// undoLimit bounds the undo of one step.
const undoLimit = 15 * time.Minute

// steps is the runbook of one Repository. Going back runs the undos from the
// last to the first.
var steps = []step{
	{
		Name:   "lock",
		Do:     checkLock,
		Check:  checkLock,
		Limit:  within(time.Minute),
		Manual: text("kubectl -n fluxover-system get lease fluxover   # nobody else may be at work"),
		Leaves: "nothing was changed",
	},
	{
		Name:   "recheck",
		Loud:   true,
		Check:  recheckedHere,
		Always: true,
		Do:     recheck,
		Limit:  within(10 * time.Minute),
		Manual: func(r *repository) string { return "fluxover plan --repo " + r.id + "   # compare with the plan" },
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
		Manual: manualCredentials,
		Leaves: "copies of the Git credentials and of the keys for encrypted files; the old agent works as before",
	},
	{
		Name:   "stage",
		Loud:   true,
		Check:  stagedHere,
		Always: true,
		Do:     stage,
		Undo:   removeMade("stage"),
		Limit:  func(r *repository) time.Duration { return max(r.limits.source, r.limits.echo) + 3*time.Minute },
		Manual: manualStage,
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
		Manual: manualFence,
		Leaves: "the fence was taken down again and the old agent's replicas put back",
	},
	{
		Name:   "top-up",
		Do:     topUp,
		Limit:  within(10 * time.Minute),
		Urgent: true, Retreat: true,
		Manual: text("kubectl get, for every managed object: compare with the snapshot; compare the sync mark with the pinned commit"),
		Leaves: "the fence was taken down again and the old agent's replicas put back",
	},
	{
		Name:   "adopt",
		Check:  adoptedStill,
		Do:     adopt,
		Undo:   giveBack,
		Limit:  func(r *repository) time.Duration { return r.limits.adopt + time.Minute },
		Urgent: true,
		Manual: manualAdopt,
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
		Manual: text("flux get kustomizations -n flux-system --watch"),
		Leaves: "the new agent syncs; the old one is fenced",
	},
	{
		Name:   "settle",
		Do:     settle,
		Undo:   unsettle,
		Limit:  within(30 * time.Minute),
		Manual: text("commit the repository's files to the flux-capacitor"),
		Leaves: "the new agent syncs; the old one is fenced",
	},
}

func within(d time.Duration) func(*repository) time.Duration {
	return func(*repository) time.Duration { return d }
}

func text(s string) func(*repository) string { return func(*repository) string { return s } }

// StepInfo is a row of the runbook, for documents and "--explain".
type StepInfo struct {
	Name   string `json:"name"`
	Manual string `json:"manual"`
	Leaves string `json:"leaves"`
}

// Runbook gives the steps for one planned Repository with the equal manual
// commands.
func Runbook(p Planned) ([]StepInfo, error) {
	slice, err := slicePlan(&p.Plan, p.Agent.ID)
	if err != nil {
		return nil, err
	}
	r := &repository{env: &env{}, id: p.Agent.ID, j: &journal{Repository: p.Agent.ID, Agent: factsOf(&p.Agent), plan: slice, Commit: slice.Repository.Commit}}
	var out []StepInfo
	for i := range steps {
		out = append(out, StepInfo{Name: steps[i].Name, Manual: steps[i].Manual(r), Leaves: steps[i].Leaves})
	}
	return out, nil
}

func manualSnapshot(r *repository) string {
	lines := []string{fmt.Sprintf("kubectl -n %s get deployment %s -o yaml --show-managed-fields > deployment.yaml", r.j.Agent.Namespace, r.j.Agent.Workload)}
	if r.j.Agent.Release != "" {
		lines = append(lines, fmt.Sprintf("kubectl -n %s get secret,configmap -l owner=helm,name=%s -o yaml > release.yaml", r.j.Agent.Namespace, r.j.Agent.Release))
	}
	return strings.Join(append(lines, "kubectl get <each managed object> -o yaml --show-managed-fields > objects.yaml"), "\n")
}

func manualCredentials(r *repository) string {
	var lines []string
	for _, c := range r.j.plan.Credentials {
		lines = append(lines, fmt.Sprintf("kubectl -n %s create secret generic %s   # %s, from what Deployment %s/%s uses", c.To.Namespace, c.To.Name, c.Kind, r.j.Agent.Namespace, r.j.Agent.Workload))
	}
	if len(lines) == 0 {
		return "# anonymous access: nothing to copy"
	}
	return strings.Join(lines, "\n")
}

func manualStage(r *repository) string {
	var lines []string
	for _, s := range r.j.plan.Repository.Sources {
		lines = append(lines, fmt.Sprintf("kubectl apply GitRepository/%s/%s with spec.ref.commit: %s; wait until it is Ready", s.Namespace, s.Name, r.j.Commit))
	}
	for _, k := range r.j.plan.Repository.Kustomizations {
		lines = append(lines, fmt.Sprintf("kubectl apply Kustomization/%s/%s with suspend: true, prune: false, deletionPolicy: Orphan", k.GetNamespace(), k.GetName()))
	}
	lines = append(lines, fmt.Sprintf("kubectl annotate each Kustomization %s=<now>; wait until status.lastHandledReconcileAt says the same: the new agent sees it", requestedAt))
	return strings.Join(lines, "\n")
}

func manualFence(r *repository) string {
	return fmt.Sprintf("kubectl apply ValidatingAdmissionPolicy and binding %s, refusing every write by system:serviceaccount:%s:%s\n"+
		"kubectl -n %s scale deployment %s --replicas=0\nkubectl -n %s wait --for=delete pod -l <selector of %s>",
		fenceName(r.id), r.j.Agent.Namespace, r.j.Agent.ServiceAccount, r.j.Agent.Namespace, r.j.Agent.Workload, r.j.Agent.Namespace, r.j.Agent.Workload)
}

func manualAdopt(r *repository) string {
	var lines []string
	for _, k := range r.j.plan.Repository.Kustomizations {
		lines = append(lines, fmt.Sprintf("flux -n %s resume kustomization %s", k.GetNamespace(), k.GetName()))
	}
	return strings.Join(lines, "\n")
}

func manualVerify(r *repository) string {
	var lines []string
	for _, k := range r.j.plan.Repository.Kustomizations {
		lines = append(lines, fmt.Sprintf("compare the objects of Kustomization/%s/%s with the snapshot, then set its spec.prune as planned", k.GetNamespace(), k.GetName()))
	}
	return strings.Join(lines, "\n")
}

func manualUnpin(r *repository) string {
	var lines []string
	for _, s := range r.j.plan.Repository.Sources {
		lines = append(lines, fmt.Sprintf("kubectl -n %s patch gitrepository %s --type=json -p '[{\"op\":\"remove\",\"path\":\"/spec/ref/commit\"}]'", s.Namespace, s.Name))
	}
	return strings.Join(lines, "\n")
}
