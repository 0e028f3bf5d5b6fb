package reconcile

import (
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"k8s.io/apimachinery/pkg/types"
)

// maxIntervals is how many of its intervals a Kustomization may let pass
// without a full check.
const maxIntervals = 12

// inputs is all that decides what a Kustomization renders to. Equal inputs
// render to equal objects.
type inputs struct {
	uid        types.UID
	generation int64
	// revision and digest are those of the source's artifact. A change of ignore
	// keeps the revision and changes the digest.
	revision string
	digest   string
	// requestedAt is the value of reconcile.fluxcd.io/requestedAt.
	requestedAt string
	// allowDeletions is the value of AllowDeletionsAnnotation.
	allowDeletions string
	// referred tells versions of the objects of substituteFrom and of the Secret
	// of decryption.
	referred string
}

// check is what is remembered of the last full check of a Kustomization: its
// inputs were rendered, dry-run against the cluster and applied where they
// differed. It is kept in memory only, so that the first thing after a start is
// a full check of everything.
type check struct {
	inputs inputs
	at     time.Time
	// failed holds back further tries until retryAt, unless the inputs change.
	failed  bool
	retryAt time.Time
}

// action is what a reconciliation of a Kustomization has to do.
type action int

const (
	// idle: nothing is due.
	idle action = iota
	// checkHealth: only look whether what was applied is healthy.
	checkHealth
	// verify: render and compare, because it is time or because something
	// drifted. Status is written only if that finds a change.
	verify
	// run: render, compare and apply, because the inputs changed or the last try
	// failed. Status tells of it from the beginning.
	run
)

// fullCheckAfter returns how long a Kustomization may rest.
func fullCheckAfter(limit, interval time.Duration) time.Duration {
	return min(limit, maxIntervals*interval)
}

// decide returns what is due now and why, and when to look again if nothing
// happens before. drifted tells that a watch saw an object differ from what was
// applied.
func decide(now time.Time, limit time.Duration, k *kustomizev1.Kustomization, in inputs, last *check, drifted bool) (action, string, time.Time) {
	interval := k.GetRequeueAfter()
	next := now.Add(interval)
	switch {
	case last == nil:
		// Right after a start the object may be as it should; only a change or a
		// failure will be told.
		if conditions.IsReady(k) && k.Status.ObservedGeneration == k.Generation &&
			k.Status.LastAppliedRevision == in.revision && k.Status.GetLastHandledReconcileRequest() == in.requestedAt {
			return verify, "first check after start", next
		}
		return run, "not yet reconciled", next
	case last.inputs != in:
		return run, changedInput(last.inputs, in), next
	case last.failed && now.Before(last.retryAt):
		return idle, "waiting to try again", last.retryAt
	case last.failed:
		return run, "trying again", next
	case !conditions.IsReady(k):
		return run, "not ready", next
	case drifted:
		return verify, "drift seen", next
	}
	due := last.at.Add(fullCheckAfter(limit, interval))
	if !now.Before(due) {
		return verify, "full check due", next
	}
	if due.Before(next) {
		next = due
	}
	if k.Spec.Wait || len(k.Spec.HealthChecks) > 0 {
		return checkHealth, "health", next
	}
	return idle, "nothing changed", next
}

// changedInput names the first input that differs, for the log.
func changedInput(before, now inputs) string {
	switch {
	case before.uid != now.uid:
		return "object was recreated"
	case before.generation != now.generation:
		return "spec changed"
	case before.revision != now.revision:
		return "source revision changed"
	case before.digest != now.digest:
		return "source content changed"
	case before.requestedAt != now.requestedAt:
		return "reconciliation requested"
	case before.allowDeletions != now.allowDeletions:
		return "allowed deletions changed"
	default:
		return "variables or keys changed"
	}
}

// inputsOf collects the inputs of k with the given artifact.
func inputsOf(k *kustomizev1.Kustomization, artifact *meta.Artifact, referred string) inputs {
	requestedAt, _ := meta.ReconcileAnnotationValue(k.GetAnnotations())
	return inputs{
		uid:            k.UID,
		generation:     k.Generation,
		revision:       artifact.Revision,
		digest:         artifact.Digest,
		requestedAt:    requestedAt,
		allowDeletions: k.GetAnnotations()[AllowDeletionsAnnotation],
		referred:       referred,
	}
}
