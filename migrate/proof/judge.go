package proof

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa/utils"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/build"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// judge finds the verb of one object. o is the plan's entry, old what the
// repository holds of it (nil if nothing).
func (p *prover) judge(ctx context.Context, o *migrate.ObjectPlan, old *migrate.Object, e *Evidence) error {
	done, err := p.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	unbuilt := p.unbuilt[p.planned[o.ID]]
	if o.Verb != "" {
		return nil
	}
	carried := p.carried(o, old, e)
	switch {
	case old != nil && old.Class == migrate.ClassIgnored && carried:
		o.Verb, o.Why = migrate.Skip, "ignored by annotation, and kept so"
		if p.world == nil || e.New == nil {
			return nil
		}
		live, err := p.live(ctx, e.New)
		if err == nil {
			p.awaitedInVain(o, old, e.New, live)
		}
		return ctx.Err() // one that cannot be read is not touched either
	case e.New == nil && unbuilt:
		// Whether it would be lost is not known: nothing was built.
		o.Application = p.planned[o.ID]
		o.Verb, o.Why = migrate.Adopt, notProven+"Kustomization "+o.Application+" could not be built"
		return nil
	case e.New == nil && applies(old):
		o.Verb, o.Why = migrate.Unmanage, "the new agent does not build it; it stays as it is"
		if p.held(o.ID, "METADATA_NOT_STRING", "the name of") || p.held(o.ID, "METADATA_NOT_STRING", "the namespace of") {
			return nil // that says why, and what to do; it cannot be accepted, so that nothing is hidden by it
		}
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OBJECT_LOST", Subject: o.ID, Where: where(old), Acceptable: true,
			Message: fmt.Sprintf("%s is applied by fluxd and would not be by the new agent", migrate.DisplayID(o.ID)),
			Hint:    lostRemedy,
		})
		return nil
	case e.New == nil:
		o.Verb, o.Why = migrate.Skip, "fluxd leaves it out, and so will the new agent"
		return nil
	}
	if applies(old) {
		if fields := differences(reduced(Normalized(e.Old).Object, p.added(o.ID)), reduced(e.New.Object, p.added(o.ID))); len(fields) > 0 {
			e.differs = true
			p.find(migrate.Finding{
				Severity: migrate.Blocker, Code: "RENDERING_DIFFERS", Subject: o.ID, Where: where(old), Acceptable: true,
				Message: fmt.Sprintf("the new rendering of %s differs from fluxd's in %s", migrate.DisplayID(o.ID), strings.Join(fields, ", ")),
				Hint:    `look at it with "fluxover diff", and mend the file so that both read it alike`,
			})
		}
	}
	if p.world == nil {
		o.Verb, o.Why = migrate.Adopt, offline
		if !applies(old) {
			o.Verb = migrate.Create
		}
		return nil
	}
	return p.judgeLive(ctx, o, old, e)
}

const (
	// notProven begins the reason of every verb that is only assumed.
	notProven = "not proven: "
	// offline is that reason where only the renderings could be compared.
	offline = notProven + "no cluster was asked"
)

// carried reports whether the new rendering of an object bears all annotations
// that the plan says it puts on it, and finds those that it does not: a patch
// that selects nothing is no error for Kustomize. An object that is not built
// needs none.
func (p *prover) carried(o *migrate.ObjectPlan, old *migrate.Object, e *Evidence) bool {
	if e.New == nil {
		return true
	}
	var missing []string
	grave := migrate.Warning
	for _, a := range p.adds[o.ID] {
		if e.New.GetAnnotations()[a.Key] == a.Value {
			continue
		}
		missing = append(missing, a.Key+": "+a.Value)
		if a.Key != keyPrune || old != nil && old.Class == migrate.ClassSyncOnly || p.agent.Sync.GarbageCollection == migrate.CollectOn {
			grave = migrate.Blocker
		}
	}
	if len(missing) == 0 {
		return true
	}
	slices.Sort(missing)
	p.find(migrate.Finding{
		Severity: grave, Code: "ADDITION_NOT_CARRIED", Subject: o.ID, Where: where(old),
		Message: fmt.Sprintf("Kustomization %s does not put %s on %s: its patch does not find the object as it is called when patches are applied", o.Application, strings.Join(missing, ", "), migrate.DisplayID(o.ID)),
		Hint:    "write the annotation on the object in Git, or its namespace and name as they become where transformers, replacements or generators of the kustomization file set them",
	})
	return false
}

// judgeLive compares with the cluster.
func (p *prover) judgeLive(ctx context.Context, o *migrate.ObjectPlan, old *migrate.Object, e *Evidence) error {
	name := migrate.DisplayID(o.ID)
	live, err := p.live(ctx, e.New)
	if errors.Is(err, cluster.ErrNoNamespace) {
		o.Verb, o.Why = migrate.Conflict, "it names no namespace"
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "DRY_RUN_REFUSED", Subject: o.ID, Where: where(old),
			Message: fmt.Sprintf("%s names no namespace, and Flux v2 refuses what is of a kind that lies in one", name),
			Hint:    "write its namespace in Git; where its file is encrypted, mend what is said of that",
		})
		return nil
	}
	if apierrors.IsForbidden(err) {
		what := "get objects of kind " + e.New.GetKind()
		if namespace := e.New.GetNamespace(); namespace != "" {
			what += " in namespace " + namespace
		}
		p.lacks(o, what)
		return nil
	}
	if err != nil && ctx.Err() == nil && judged(err) {
		o.Verb, o.Why = migrate.Adopt, notProven+"the API server cannot give the live object"
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OBJECT_UNREAD", Subject: o.ID, Where: where(old),
			Message: fmt.Sprintf("the API server cannot give the live object %s: %s", name, refusal(e, err)),
			Hint:    "mend what it names; where that is a conversion webhook of its kind that is gone, its CRD says which",
		})
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	e.Live = live
	if why := p.left(e); why != "" {
		o.Verb, o.Why = migrate.Skip, why
		if applies(old) {
			p.find(migrate.Finding{
				Severity: migrate.Warning, Code: "OBJECT_LEFT_ALONE", Subject: o.ID, Where: where(old),
				Message: fmt.Sprintf("fluxd applies %s, and the new agent will leave it as it is: %s", name, why),
				Hint:    "take the mark from Git and from the live object, if it is to be applied",
			})
		}
		p.awaitedInVain(o, old, e.New, live)
		return nil
	}
	if settled, err := p.owned(ctx, o, old, e); settled || err != nil {
		return err
	}
	p.sparedSoFar(o, old, e)
	refused, err := p.tryOut(ctx, e)
	var missing *MissingRight
	switch {
	case errors.As(err, &missing):
		p.lacks(o, missing.What)
		return nil
	case errors.Is(err, errUnsteady):
		o.Verb, o.Why = migrate.Adopt, notProven+"it changes faster than it can be tried"
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OBJECT_UNSTEADY", Subject: o.ID, Where: where(old),
			Message: fmt.Sprintf("%s was written to by somebody between reading and trying it, %d times in a row", name, tries),
			Hint:    "plan again; if it stays so, its managedFields name who writes to it",
		})
		return nil
	case err != nil:
		return fmt.Errorf("try %s: %w", name, err)
	case refused != nil && e.Live == nil && p.makes.Awaited(e.New, refused) && !p.held(o.ID, "UNKNOWN_KIND", ""):
		o.Verb, o.Why = migrate.Create, notProven+"what it needs (its namespace or kind) is itself made first"
	case refused != nil:
		p.refused(o, old, e, refused)
		return nil
	case e.Live == nil:
		o.Verb, o.Why = migrate.Create, "it is not in the cluster; the dry-run made it"
	default:
		p.compare(o, old, e)
		return nil
	}
	p.find(migrate.Finding{
		Severity: migrate.Warning, Code: "OBJECT_CREATED", Subject: o.ID, Where: where(old),
		Message: fmt.Sprintf("%s is in Git but not in the cluster, and will be created", name),
		Hint:    unkept(e, nil),
	})
	return nil
}

// unkept says of an object whose values a plan keeps nothing of, no hash either, that
// others may come in the place of those that are reviewed. fields are those that change;
// nil if the object is made.
func unkept(e *Evidence, fields []string) string {
	const taken = "a plan keeps none of its values, so that a later commit with others for the same keys is taken"
	secret := e.New.GroupVersionKind().GroupKind().String() == "Secret"
	values := slices.ContainsFunc(fields, func(f string) bool { return !strings.HasPrefix(f, ".metadata") })
	switch {
	case !e.Encrypted && !secret || fields != nil && !values:
		return ""
	case secret:
		return taken + ", and named"
	}
	return taken
}

// awaitedInVain tells of an object of a kind that is applied before all others, if
// it is not in the cluster and the new agent leaves it alone, or if it is there and
// is not ready: Flux v2 waits for these, also for one that it left alone (fluxcd/pkg:
// ssa, ApplyAllStaged), where fluxd goes on. What is live tells no more than how it
// is before it is applied: what its controller is still at work on, or what the
// adoption changes (o.Fields), may be ready by then, and a person decides.
func (p *prover) awaitedInVain(o *migrate.ObjectPlan, old *migrate.Object, object, live *unstructured.Unstructured) {
	if !utils.IsClusterDefinition(object) && !utils.IsClassDefinition(object) {
		return
	}
	f := migrate.Finding{
		Severity: migrate.Blocker, Code: "DEFINITION_AWAITED", Subject: o.ID, Where: where(old),
		Message: fmt.Sprintf("Kustomization %s would wait in vain for %s, which is not in the cluster and which it leaves alone: %s", o.Application, migrate.DisplayID(o.ID), o.Why),
		Hint:    "remove it from Git, make it in the cluster, or take the mark away so that it is applied",
	}
	if live != nil {
		result, err := status.Compute(live) // whom Flux v2 asks, too
		if err != nil || result.Status == status.CurrentStatus {
			return // what cannot be computed, the dry-run would have refused
		}
		why := strings.TrimSuffix(fmt.Sprintf("%s: %s", result.Status, result.Message), ": ")
		changed := slices.ContainsFunc(o.Fields, func(field string) bool { return !strings.HasPrefix(field, ".metadata") })
		f.Message = fmt.Sprintf("Kustomization %s would wait in vain for %s, which is in the cluster and is not ready: %s", o.Application, migrate.DisplayID(o.ID), why)
		f.Hint = "see why it is not ready, or remove it from Git"
		if result.Status == status.InProgressStatus || changed && result.Status != status.TerminatingStatus {
			f.Acceptable = true
			f.Message = fmt.Sprintf("Kustomization %s would wait for %s, which is in the cluster and is not ready now: %s; whether it will be is not known", o.Application, migrate.DisplayID(o.ID), why)
			if changed {
				f.Message += ", since the adoption changes it"
			}
			f.Hint = "plan again once it is ready; accept it if you know that it will be, within the Kustomization's timeout; or remove it from Git"
		}
	}
	p.find(f)
}

// judged reports whether an error is the API server's own word about what it was
// asked for, which it would say again, and not about who asks. An internal error
// is one where it speaks of making an object of what is stored.
func judged(err error) bool {
	if apierrors.IsInternalError(err) && !ofStored.MatchString(err.Error()) {
		return false
	}
	return apierrors.ReasonForError(err) != metav1.StatusReasonUnknown && !apierrors.IsUnauthorized(err) && !cluster.IsUnanswered(err) && !apierrors.IsTimeout(err)
}

// ofStored is what the API server says where it cannot convert, decode or
// decrypt what is stored.
var ofStored = regexp.MustCompile(`(?i)\bconver(?:t|sion)|\b(?:en|de)(?:cod|crypt)|unmarshal|unable to transform`)

// compare finds the verb of an object that is live and was tried.
func (p *prover) compare(o *migrate.ObjectPlan, old *migrate.Object, e *Evidence) {
	if tried := p.account(); tried != p.oldAccount() {
		e.After = NotesAside(e.After, e.Live, p.oldAccount(), tried)
	}
	if !policy(keySSA, "Merge", e.New, e.Live) { // which keeps the marks
		e.After = withLabels(withoutMarks(e.After, e.New), labelsByDefault(e.Live))
	}
	name, added := migrate.DisplayID(o.ID), p.added(o.ID)
	before, after := reduced(e.Live.Object, added), reduced(e.After.Object, added)
	p.replicasSetTwice(o, old, e)
	o.Fields = differences(before, after)
	p.awaitedInVain(o, old, e.New, e.Live)
	git := reduced(e.New.Object, added)
	e.change = changeDigest(e.Live, before, after, git, e.Encrypted)
	if len(o.Fields) == 0 {
		o.Verb, o.Why = migrate.Adopt, "both renderings, the live object and the dry-run agree"
		switch {
		case !applies(old):
			o.Why = "the live object and the dry-run agree; fluxd does not apply it"
		case e.differs:
			o.Why = "the live object and the dry-run agree, though fluxd's rendering differs from the new agent's"
		}
		return
	}
	reason, hint := whyChanges(e.Live, o.Fields, removals(before, after), unsaid(o.Fields, git, after)), "commit what is live to keep it"
	severity := changeSeverity(e.Live, o.Fields)
	if onlyLabels(o.Fields, labelsByDefault(e.Live)) {
		hint = "give it a label of its own in Git to keep it without these"
		reason = "the API server gives an object without labels those of its pod template, and it has none between the mark of Flux v1 and the labels of Flux v2"
	}
	if replacesPods(e.Live, o.Fields) {
		o.Verb, o.Why = migrate.Restart, "the pod template changes: "+reason
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "PODS_RESTART", Subject: o.ID, Where: where(old), Acceptable: true,
			Message: fmt.Sprintf("the pods of %s will be replaced: %s; %s", name, strings.Join(o.Fields, ", "), reason),
			Hint:    "commit what is live to keep it, or accept it",
		})
	} else {
		o.Verb, o.Why = migrate.Change, reason
		if severity == migrate.Blocker {
			hint += ", or accept it"
		}
		if more := unkept(e, o.Fields); more != "" {
			hint += "; " + more
		}
		p.find(migrate.Finding{
			Severity: severity, Code: "OBJECT_CHANGES", Subject: o.ID, Where: where(old), Acceptable: true,
			Message: fmt.Sprintf("%s will change: %s; %s", name, strings.Join(o.Fields, ", "), reason),
			Hint:    hint,
		})
	}
	if images := imageChanges(e.Live.Object, e.After.Object); len(images) > 0 {
		if e.Encrypted { // a container's name may be encrypted, too
			images = []string{fmt.Sprintf("%d containers, which are not named here since the object is encrypted", len(images))}
		}
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "IMAGE_DIFFERS", Subject: o.ID, Where: where(old), Acceptable: true,
			Message: fmt.Sprintf("%s runs another image than Git names: %s", name, strings.Join(images, "; ")),
			Hint:    "commit the image that runs, let fluxd sync, and plan again; where Flux v1 updates images, see that its last commit was pushed",
		})
	}
}

const (
	replicasPath = ".spec.replicas"
	replicasCode = "REPLICAS_AND_AUTOSCALER"
)

// scaledLive names the autoscaler that set the replicas of a live object through its
// scale subresource; empty if none did, or a person.
func scaledLive(live *unstructured.Unstructured) string {
	for _, m := range live.GetManagedFields() {
		if set, err := fieldSet(m); m.Subresource == "scale" && movesByItself(m.Manager) && err == nil && ownsAny(set, []string{replicasPath}) {
			return m.Manager
		}
	}
	return ""
}

// replicasSetTwice finds an object for which Git says how many replicas there are
// while something in the cluster sets the number, whether or not both agree just
// now. Of autoscalers in Git the planner tells.
func (p *prover) replicasSetTwice(o *migrate.ObjectPlan, old *migrate.Object, e *Evidence) {
	who := scaledLive(e.Live)
	replicas, says, _ := unstructured.NestedFieldNoCopy(e.New.Object, "spec", "replicas")
	if who == "" || !says || replicas == nil {
		return
	}
	if e.Encrypted {
		replicas = "*** (encrypted)"
	}
	p.find(migrate.Finding{
		Severity: migrate.Warning, Code: replicasCode, Subject: o.ID, Where: where(old),
		Message: fmt.Sprintf("Git says replicas: %v for %s, and %s sets the number as autoscalers do; fluxd puts it back at each sync, the new agent whenever it is changed", replicas, migrate.DisplayID(o.ID), who),
		Hint:    migrate.ReplicasRemedy,
	})
}

// changeSeverity: what an object does needs a person's word where it changes, such as
// the number of its replicas or who may reach it. Labels and annotations are warned of
// (but see actedOn).
func changeSeverity(live *unstructured.Unstructured, fields []string) migrate.Severity {
	acts := actedOn[live.GroupVersionKind().GroupKind()]
	for _, field := range fields {
		marks := strings.HasPrefix(field, ".metadata.labels") || strings.HasPrefix(field, ".metadata.annotations")
		if !marks || acts {
			return migrate.Blocker
		}
	}
	return migrate.Warning
}

// actedOn are the kinds whose labels or annotations decide what may be reached, run or
// done: by load balancers, by ingress controllers, by the admission of pods, as the
// cloud role of an account, as a part of other roles, and as what is taken by default.
var actedOn = map[schema.GroupKind]bool{
	{Kind: "Service"}:                                         true,
	{Kind: "Namespace"}:                                       true,
	{Kind: "ServiceAccount"}:                                  true,
	{Group: "networking.k8s.io", Kind: "Ingress"}:             true,
	{Group: "networking.k8s.io", Kind: "IngressClass"}:        true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}: true,
	{Group: "storage.k8s.io", Kind: "StorageClass"}:           true,
}

// lacks notes that an object could not be proven for want of a right, which is
// reported once.
func (p *prover) lacks(o *migrate.ObjectPlan, what string) {
	o.Verb, o.Why = migrate.Adopt, notProven+"you may not "+what
	p.mu.Lock()
	known := p.lacking[what]
	p.lacking[what] = true
	p.mu.Unlock()
	if known {
		return
	}
	p.find(migrate.Finding{
		Severity: migrate.Blocker, Code: "RBAC_MISSING",
		Message: fmt.Sprintf("you may not %s, so it cannot be tried in the cluster what will happen to the objects", what),
		Hint:    "have the right granted to you, or use an account that has it (--context, --as)",
	})
}

// tryOut fills in what the first apply of the new agent would make of the
// object, tried as account says: e.After. It gives the API server's refusal,
// if it refuses; a try that went unanswered is an error, never a refusal. The
// live object is read again when it changes meanwhile.
func (p *prover) tryOut(ctx context.Context, e *Evidence) (refused, err error) {
	for attempt := 1; ; attempt++ {
		account := p.account()
		e.After, err = p.world.DryRun(ctx, account, e.New)
		if err != nil {
			var missing *MissingRight
			if ctx.Err() != nil || errors.As(err, &missing) || cluster.IsUnanswered(err) {
				return nil, err
			}
			if p.fencedOff(account, err) {
				continue
			}
			return p.allOf(ctx, account, e.New, err), nil
		}
		if sameVersion(e) {
			if e.Live == nil || policy(keySSA, "Merge", e.New, e.Live) {
				return nil, nil
			}
			var gone []string
			var left *unstructured.Unstructured
			if left, gone, err = Removals(e.Live, e.After); err != nil || len(gone) == 0 {
				return nil, err
			}
			account = p.account() // a fence may have gone up meanwhile
			after, err := p.world.DryRunChange(ctx, account, e.Live, left)
			switch {
			case err == nil:
				e.After = after
				return nil, nil
			case p.fencedOff(account, err):
				continue
			case errors.As(err, new(*MissingRight)), cluster.IsUnanswered(err):
				return nil, err
			case ctx.Err() != nil || !apierrors.IsConflict(err):
				return err, ctx.Err()
			}
		}
		if attempt == tries {
			return nil, errUnsteady
		}
		if e.Live, err = p.world.Live(ctx, e.New); err != nil {
			return nil, err
		}
	}
}

// sameVersion reports whether a dry-run was made on the live object as it was
// read: one that changed in between would show as a change of the dry-run. A
// dry-run stores nothing, so its answer bears the version that it found; where it
// found nothing, that of the manifest, as an exported one has.
func sameVersion(e *Evidence) bool {
	found := e.Live
	if found == nil {
		found = e.New
	}
	return found.GetResourceVersion() == e.After.GetResourceVersion()
}

// oldAccount is the old agent's.
func (p *prover) oldAccount() Account {
	return Account{Namespace: p.agent.Namespace, Name: p.agent.ServiceAccount}
}

// account is who tries: the old agent's account, or once the one that will act is
// staged, and in any case once the old one is fenced off, that one.
func (p *prover) account() Account {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.future {
		return p.oldAccount()
	}
	name, _, _ := unstructured.NestedString(p.repo.Kustomizations[0].Object, "spec", "serviceAccountName")
	return Account{Namespace: migrate.AgentNamespace, Name: name}
}

// fencedOff reports whether the refusal is that of a fence around the old
// account, and notes it, so that the next try is the new account's.
func (p *prover) fencedOff(tried Account, err error) bool {
	if tried != p.oldAccount() || !strings.Contains(err.Error(), "'"+migrate.FencePrefix) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.future = true
	return true
}

// tries is how often an object that changes meanwhile is looked at.
const tries = 5

// errUnsteady: each try of an object was made of another version than was read.
var errUnsteady = errors.New("it changes all the time")

// Normalized is an object as the renderer leaves it: through the kind's own
// type, which writes some empty fields out (fluxcd/pkg: ssa/normalize). Kinds
// without a known type stay as they are.
func Normalized(u *unstructured.Unstructured) *unstructured.Unstructured {
	out := u.DeepCopy()
	// Kustomize makes text of metadata that is none, and the kind's own type cannot hold
	// it otherwise: that alone is to differ.
	written := map[string]any{}
	for _, field := range []string{"annotations", "labels"} {
		if _, _, err := unstructured.NestedStringMap(u.Object, "metadata", field); err != nil {
			written[field], _, _ = unstructured.NestedFieldCopy(u.Object, "metadata", field)
		}
	}
	if len(written) > 0 {
		out.SetAnnotations(migrate.Annotations(u))
		out.SetLabels(migrate.Labels(u))
	}
	if err := build.Normalize(out); err != nil {
		return u // the renderer would have failed on it too, and said so
	}
	for field, value := range written {
		_ = unstructured.SetNestedField(out.Object, value, "metadata", field) // which Normalize has left a mapping
	}
	return out
}

// added are the annotation keys that the plan puts on the object on purpose.
func (p *prover) added(id string) map[string]bool {
	keys := map[string]bool{}
	for _, a := range p.adds[id] {
		keys[a.Key] = true
	}
	return keys
}

func applies(o *migrate.Object) bool {
	return o != nil && o.Manifest != nil && (o.Class == migrate.ClassApplied || o.Class == migrate.ClassSyncOnly)
}

func where(o *migrate.Object) string {
	if o == nil {
		return ""
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}
