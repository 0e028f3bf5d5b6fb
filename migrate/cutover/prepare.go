package cutover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

var (
	sourceKind        = schema.GroupVersionKind{Group: "source.toolkit.fluxcd.io", Version: "v1", Kind: "GitRepository"}
	kustomizationKind = schema.GroupVersionKind{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization"}
)

// Flux v1's traces that Flux v2's first apply removes, and those of fluxd
// before 1.14 (reference 2.11).
var (
	markLabels      = []string{flux1.MarkLabel, flux1.OldMarkLabel}
	markAnnotations = []string{checksumAnnotation, oldChecksumAnnotation, lastApplied}
)

// checkLock fails once the Lease is lost.
func checkLock(_ context.Context, r *repository) error {
	if r.held == nil {
		return errors.New("the Lease is not held")
	}
	return context.Cause(r.held)
}

// recheckedHere: a plan may be old by the time a run goes on, so a process
// that has not looked itself looks again.
func recheckedHere(_ context.Context, r *repository) error {
	if !r.fresh {
		return errors.New("not checked by this run yet")
	}
	return nil
}

// recheck plans the Repository again from fresh facts, and takes the new plan
// where it is equal enough. What moved is said.
func recheck(ctx context.Context, r *repository) error {
	return r.predictAtRest(ctx, "recheck")
}

// aSync is how long a sync of an old agent may take.
const aSync = 30 * time.Second

// predictAtRest is predictAgain where the old agent still runs. In the middle of
// a sync live objects are ahead of its mark, which shows as a move that is none:
// such a sync is waited for, as long as awaitSyncEnd would. A move is believed
// when it is seen twice, since a whole sync may fall between reading the mark
// and reading the objects.
func (r *repository) predictAtRest(ctx context.Context, step string) error {
	until := time.Now().Add(min(r.syncWait, aSync)) // others' gaps wait for this step
	for tries := 1; ; tries++ {
		err := r.predictAgain(ctx, step)
		if err == nil || !errors.Is(err, ErrMoved) && !errors.Is(err, ErrBlocked) {
			return err
		}
		left := time.Until(until)
		switch {
		case left <= 0 || tries > 1 && !r.syncDue:
			return err
		case r.syncDue && tries == 1:
			r.note(step, "the old agent is syncing another commit than its mark says: waiting up to %s for the end of that", left.Round(time.Second))
		}
		if r.syncDue && !pause(ctx, min(left, time.Second)) {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// predictAgain asks for a new inventory and plan and compares it with the one
// in the journal.
func (r *repository) predictAgain(ctx context.Context, step string) error {
	if r.replan == nil {
		return errors.New("no way to plan again was given")
	}
	asking := ctx
	if r.inGap {
		asking = Urgently(asking)
	}
	if step != "recheck" {
		// Adoption knows no retreat, so it must not be the future account's first
		// try of a commit that came after staging.
		asking = AsStaged(asking)
	}
	inv, plan, err := r.replan(asking, []string{r.id})
	if err != nil {
		return fmt.Errorf("plan again: %w", err)
	}
	var agent *migrate.Flux1Agent
	for i := range inv.Agents {
		if inv.Agents[i].ID == r.id {
			agent = &inv.Agents[i]
		}
	}
	if agent == nil {
		for _, f := range inv.Findings {
			if migrate.AgentsUnknown([]migrate.Finding{f}) { // as where a right was withdrawn meanwhile
				return fmt.Errorf("%w: whether the agent's Deployment is still there is not known: %s (%s)", ErrBlocked, f, f.Hint)
			}
		}
		return fmt.Errorf("%w: the agent's Deployment is gone", ErrMoved)
	}
	r.syncDue = agent.Replicas > 0 && agent.Synced.Head != "" && agent.Synced.Head != agent.Synced.Commit
	fresh, err := slicePlan(&plan, r.id)
	if err != nil {
		return err
	}
	var blocked error
	if fresh.Repository.Blocked {
		blocked = fmt.Errorf("%w: %s", ErrBlocked, blockers(fresh, plan.Accepted))
	}
	fresh = withReviewedReplicas(r.j.plan, fresh)
	// What blocks shows as a move too, and says more: of a refusal of the future
	// account no plan that is made as the old one can tell.
	if err := errors.Join(comparePlans(r.j, fresh, agent, r.commits), blocked); err != nil {
		return err
	}
	if fresh.Repository.Commit != r.j.Commit {
		r.note(step, "commit %s instead of %s: %s", short(fresh.Repository.Commit), short(r.j.Commit), strings.Join(append([]string{"it plans to the same"}, unkept(&fresh.Repository)...), "; "))
	}
	r.j.Commit = fresh.Repository.Commit
	// When it is its turn was decided among all repositories, not by itself.
	if was := r.j.plan; was != nil {
		fresh.Repository.Wave, fresh.Repository.After = was.Repository.Wave, was.Repository.After
	}
	if err := r.j.setPlan(fresh); err != nil {
		return err
	}
	facts := factsOf(agent)
	if r.j.Agent.Workload != "" {
		// What was so before the fence counts, not what the fence made of it.
		facts.Replicas, facts.Selector = r.j.Agent.Replicas, r.j.Agent.Selector
	}
	if step == "recheck" && r.j.Fence.StoppedAt == nil {
		facts.Replicas, facts.Selector = agent.Replicas, agent.Selector
	}
	r.j.Agent = facts
	r.take(agent)
	r.fresh = true
	return nil
}

func short(commit string) string {
	if len(commit) > 12 {
		return commit[:12]
	}
	return commit
}

func blockers(p *planSlice, accepted []migrate.Decision) string {
	var out []string
	for _, f := range p.Findings {
		if f.Severity == migrate.Blocker && !migrate.Accepts(accepted, f) {
			out = append(out, f.String())
		}
	}
	if len(out) == 0 {
		return "a finding about the whole cluster blocks"
	}
	return strings.Join(out, "; ")
}

// comparePlans fails with ErrMoved, saying what moved, unless the new plan may
// be carried out in place of the recorded one. Release, account and rights
// must always be as planned; what a commit may change depends on commits.
func comparePlans(j *journal, fresh *planSlice, agent *migrate.Flux1Agent, commits Commits) error {
	var moved []string
	if was := j.Agent.Fingerprint; len(was) > 0 {
		moved = was.Moved(migrate.FingerprintOf(agent))
	}
	moved = append(moved, differences(j.plan, fresh, commits)...)
	if len(moved) > 0 {
		return fmt.Errorf("%w: %s; %s", ErrMoved, strings.Join(moved, "; "), j.afterMove())
	}
	return nil
}

// Moved says in what a new plan of a Repository is another than the one before,
// beyond what commits allow; nothing means that it may be carried out in its
// place. What moved of its agent, the fingerprints say.
func Moved(before, now *migrate.Plan, id string, commits Commits) ([]string, error) {
	was, err := slicePlan(before, id)
	if err != nil {
		return nil, err
	}
	is, err := slicePlan(now, id)
	if err != nil {
		return nil, err
	}
	return differences(was, is, commits), nil
}

// differences says in what a new plan is another than the one before, beyond
// what commits allow.
func differences(before, fresh *planSlice, commits Commits) []string {
	fresh = withReviewedReplicas(before, fresh)
	var moved []string
	old := &before.Repository
	now := &fresh.Repository
	if old.Commit != now.Commit && commits == CommitsExact {
		moved = append(moved, fmt.Sprintf("the commit, from %s to %s", short(old.Commit), short(now.Commit)))
	}
	if !reflect.DeepEqual(withoutCommit(before), withoutCommit(fresh)) {
		moved = append(moved, "the GitRepositories")
	}
	if commits != CommitsAny {
		moved = append(moved, difference("applications", keys(old.Applications, applicationKey), keys(now.Applications, applicationKey))...)
		moved = append(moved, difference("Kustomizations", keys(old.Kustomizations, manifestKey), keys(now.Kustomizations, manifestKey))...)
		moved = append(moved, difference("verbs", keys(old.Objects, verbKey), keys(now.Objects, verbKey))...)
		if other := otherValues(before, fresh); len(other) > 0 {
			moved = append(moved, "values, to or from others than were reviewed ("+some(other)+")")
		}
		key := findingKey(before, fresh)
		moved = append(moved, difference("findings", keys(notOurDoing(before.Findings), key), keys(notOurDoing(fresh.Findings), key))...)
	}
	return append(moved, difference("accounts and rights", keys(old.Supporting, manifestKey), keys(now.Supporting, manifestKey))...)
}

// unkept says which Secrets get values of which a plan keeps nothing, no hash either: a
// later commit may give them others than were reviewed.
func unkept(r *migrate.Repository) []string {
	var ids []string
	for _, o := range r.Objects {
		if o.Verb != migrate.Create && o.Verb != migrate.Change || !strings.HasSuffix(o.ID, "__Secret") {
			continue
		}
		fields := slices.DeleteFunc(slices.Clone(o.Fields), func(f string) bool { return strings.HasPrefix(f, ".metadata") })
		if o.Verb == migrate.Create || len(fields) > 0 {
			ids = append(ids, strings.TrimSpace(migrate.DisplayID(o.ID)+" "+strings.Join(fields, " ")))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return []string{"the values, perhaps others, that this commit gives to " + some(ids) + ": a plan keeps none of a Secret, so that they are not compared"}
}

// replicasField is what an autoscaler sets all the time.
const replicasField = ".spec.replicas"

// withReviewedReplicas is the new plan in which an object of which but the number
// of replicas was to change still does, though just now nothing would, and Git says
// the number that it said: the old agent puts it back at each sync, and the
// autoscaler sets it again. That is less than what was reviewed. An object of which
// the number was not to change is not let off: nobody was asked whether it may.
func withReviewedReplicas(before, fresh *planSlice) *planSlice {
	if before == nil {
		return fresh
	}
	reviewed := map[string]migrate.ObjectPlan{}
	for _, o := range before.Repository.Objects {
		if onlyReplicas(o) {
			reviewed[o.ID] = o
		}
	}
	out := *fresh
	out.Repository.Objects, out.Inputs = slices.Clone(fresh.Repository.Objects), maps.Clone(fresh.Inputs)
	kept := map[string]bool{} // by the subjects of their findings
	for i := range out.Repository.Objects {
		o := &out.Repository.Objects[i]
		was, is := reviewed[o.ID]
		if !is || o.Verb != migrate.Adopt || !sameReplicas(before.Inputs[o.ID], fresh.adopted[o.ID]) {
			continue
		}
		kept[out.Repository.ID+" "+o.ID] = true
		o.Verb, o.Fields, o.Why = was.Verb, was.Fields, was.Why
		if out.Inputs == nil {
			out.Inputs = map[string]migrate.ObjectInputs{}
		}
		out.Inputs[o.ID] = before.Inputs[o.ID]
	}
	if len(kept) == 0 {
		return fresh
	}
	out.Findings = slices.Clone(fresh.Findings)
	for _, f := range before.Findings {
		if f.Code == "OBJECT_CHANGES" && kept[f.Subject] {
			out.Findings = append(out.Findings, f)
		}
	}
	return &out
}

// sameReplicas reports whether Git says the number of replicas that it said. Where
// a plan did not note the number alone, all that Git says must be the same.
func sameReplicas(was, is migrate.ObjectInputs) bool {
	if was.Replicas != "" && is.Replicas != "" {
		return was.Replicas == is.Replicas
	}
	return was.Rendered != "" && was.Rendered == is.Rendered
}

// onlyReplicas reports whether but the number of replicas of an object changes.
func onlyReplicas(o migrate.ObjectPlan) bool {
	return o.Verb == migrate.Change && slices.Equal(o.Fields, []string{replicasField})
}

// ofTheMoment are the codes of findings that come and go by themselves.
var ofTheMoment = []string{"AGENT_STOPPED", "AGENT_NOT_READY", "FLUX1_APPLY_FAILED", "NAMESPACE_NOT_THERE", "REPLICAS_AND_AUTOSCALER"}

// notOurDoing leaves out what the cut-over itself brings about: once it has
// stopped the old agent, discovery finds it stopped, no pod that is not ready, and nothing that
// it fails to apply. That an autoscaler has set replicas comes and goes with it, as what another
// repository makes first; verbs and values tell what it means.
func notOurDoing(findings []migrate.Finding) []migrate.Finding {
	var out []migrate.Finding
	for _, f := range findings {
		if !slices.Contains(ofTheMoment, f.Code) {
			out = append(out, f)
		}
	}
	return out
}

func withoutCommit(p *planSlice) []string {
	var out []string
	for _, raw := range p.Sources {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw); err == nil {
			unstructured.RemoveNestedField(u.Object, "spec", "ref", "commit")
			out = append(out, manifestKey(u))
		}
	}
	slices.Sort(out)
	return out
}

func applicationKey(a migrate.Application) string {
	return fmt.Sprintf("%s at %s from %s", a.Name, a.Path, a.Source)
}

func verbKey(o migrate.ObjectPlan) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", o.Verb, migrate.DisplayID(o.ID), strings.Join(o.Fields, " ")))
}

// findingKey tells the findings of two plans apart. Their words do not count, which may
// name managers that come and go, but for the images that one names: another image is
// another finding. Of those that can be accepted, how grave they are does not count
// either: another version may warn where this one asks for a person's word, and a new
// plan that is not blocked has that word. One that is blocked may lack it.
func findingKey(before, fresh *planSlice) func(migrate.Finding) string {
	type about struct{ code, subject string }
	grades := map[about]migrate.Severity{}
	for _, f := range slices.Concat(before.Findings, fresh.Findings) {
		if f.Acceptable && !fresh.Repository.Blocked {
			grades[about{f.Code, f.Subject}] = f.Severity
		}
	}
	return func(f migrate.Finding) string {
		grade, accepted := grades[about{f.Code, f.Subject}]
		if !accepted {
			grade = f.Severity
		}
		key := strings.TrimSpace(fmt.Sprintf("%s %s %s", grade, f.Code, f.Subject))
		if f.Code == "IMAGE_DIFFERS" {
			key += ": " + f.Message
		}
		return key
	}
}

// otherValues are the objects, each with what happens to it, that are still to be
// changed or made, and of which other values would change, or another object be
// made. What one of the plans did not note is not compared.
func otherValues(before, fresh *planSlice) []string {
	was := map[string]string{}
	for _, o := range before.Repository.Objects {
		was[o.ID] = verbKey(o)
	}
	var out []string
	for _, o := range fresh.Repository.Objects {
		old, noted := valuesOf(before, o.ID)
		now, again := valuesOf(fresh, o.ID)
		if noted && again && old != now && old != (migrate.ObjectInputs{}) && now != (migrate.ObjectInputs{}) && was[o.ID] == verbKey(o) {
			out = append(out, verbKey(o))
		}
	}
	slices.Sort(out)
	return out
}

// valuesOf are the hashes of an object of a plan that tell whether it is changed
// to, or made of, other values.
func valuesOf(p *planSlice, id string) (values migrate.ObjectInputs, noted bool) {
	values, noted = p.Inputs[id]
	if values.Change != "" {
		values.Rendered, values.Replicas = "", ""
	}
	return values, noted
}

// manifestKey names a manifest with all it holds; difference cuts it for show.
func manifestKey(u *unstructured.Unstructured) string {
	raw, err := json.Marshal(u.Object)
	if err != nil {
		return cluster.Describe(u)
	}
	return cluster.Describe(u) + " " + string(raw)
}

func keys[T any](items []T, key func(T) string) []string {
	out := make([]string, 0, len(items))
	for _, i := range items {
		out = append(out, key(i))
	}
	slices.Sort(out)
	return out
}

// difference says what came and what went, a few of each.
func difference(what string, old, now []string) []string {
	only := func(a, b []string) []string {
		var out []string
		for _, s := range a {
			if _, found := slices.BinarySearch(b, s); !found {
				name, _, _ := strings.Cut(s, " {")
				out = append(out, name)
			}
		}
		return out
	}
	came, went := only(now, old), only(old, now)
	if len(came)+len(went) == 0 {
		return nil
	}
	var parts []string
	for _, side := range []struct {
		word  string
		items []string
	}{{"new", came}, {"no longer", went}} {
		if len(side.items) == 0 {
			continue
		}
		more := ""
		if len(side.items) > 3 {
			more = fmt.Sprintf(" and %d more", len(side.items)-3)
		}
		parts = append(parts, side.word+": "+strings.Join(side.items[:min(3, len(side.items))], ", ")+more)
	}
	return []string{what + " (" + strings.Join(parts, "; ") + ")"}
}

// takeSnapshot stores how everything is, so that it can be put back.
func takeSnapshot(ctx context.Context, r *repository) error {
	snap, err := r.readAll(ctx)
	if err != nil {
		return err
	}
	if snap.Deployment == nil {
		return fmt.Errorf("%w: Deployment %s/%s is gone", ErrMoved, r.j.Agent.Namespace, r.j.Agent.Workload)
	}
	if snap.Release, err = releasePayload(ctx, r.c, r.j.Agent); err != nil {
		return err
	}
	if err := r.replaceSnapshot(ctx, snap); err != nil {
		return err
	}
	r.taken = true
	return nil
}

// snapshotHere: what is kept may be old by the time a run goes on.
func snapshotHere(_ context.Context, r *repository) error {
	if !r.taken {
		return errors.New("not taken by this run yet")
	}
	return nil
}

func (r *repository) keepSnapshot(ctx context.Context, snap *snapshot) error {
	ref, err := r.store.saveSnapshot(ctx, r.j, snap)
	if err != nil {
		return err
	}
	r.j.Snapshot, r.snap = ref, snap
	return nil
}

// replaceSnapshot keeps a snapshot and deletes those before it: each holds values
// of Secrets, and who tries to hand over for days would pile them up.
func (r *repository) replaceSnapshot(ctx context.Context, snap *snapshot) error {
	if err := r.keepSnapshot(ctx, snap); err != nil {
		return err
	}
	if len(r.j.Snapshot.Superseded) == 0 {
		return nil
	}
	if err := r.save(ctx, "snapshot"); err != nil {
		return err
	}
	return r.dropSuperseded(ctx)
}

// readAll reads the old Deployment and every managed object.
func (r *repository) readAll(ctx context.Context) (*snapshot, error) {
	snap := &snapshot{Repository: r.id, Commit: r.j.Commit}
	ids := managedIDs(&r.j.plan.Repository, r.marked)
	var live map[string]*unstructured.Unstructured
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		live, err = readObjects(gctx, r.c, ids)
		return err
	})
	g.Go(func() error {
		d, err := r.c.Get(gctx, appsv1.SchemeGroupVersion.WithKind("Deployment"), r.j.Agent.Namespace, r.j.Agent.Workload)
		if cluster.IsGone(err) {
			return nil
		}
		snap.Deployment = d
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("read what is there: %w", err)
	}
	for _, id := range ids {
		if live[id] != nil {
			snap.Objects = append(snap.Objects, heldObject{ID: id, Object: live[id], Manifest: manifestHash(r.manifests[id])})
		}
	}
	return snap, nil
}

// snapshotOf gives the snapshot, reading it when this process did not take it.
func (r *repository) snapshotOf(ctx context.Context) (*snapshot, error) {
	if r.snap == nil {
		snap, err := r.store.loadSnapshot(ctx, r.j)
		if err != nil {
			return nil, err
		}
		r.snap = snap
	}
	return r.snap, nil
}

// dropSnapshot deletes the Snapshot's Secrets; it is the last of the undos.
func dropSnapshot(ctx context.Context, r *repository) error {
	for _, name := range append(slices.Clone(r.j.Snapshot.Superseded), r.j.Snapshot.Secrets...) {
		if err := r.store.deleteSnapshotSecret(ctx, name, r.run); err != nil {
			return err
		}
	}
	// One that was written and not noted in the journal.
	list, err := r.c.Kube.CoreV1().Secrets(migrate.StateNamespace).List(ctx, metav1.ListOptions{LabelSelector: labelState + "=" + stateSnapshot})
	if err != nil {
		return fmt.Errorf("look for left snapshots: %w", err)
	}
	for _, s := range list.Items {
		if s.Annotations[migrate.AnnotationRepository] == r.id {
			if err := r.store.deleteSnapshotSecret(ctx, s.Name, r.run); err != nil {
				return err
			}
		}
	}
	r.j.Snapshot = snapshotRef{}
	return nil
}

// copyCredentials copies what the old agent gives to the Git server, and the keys
// with which it decrypts files, into Secrets of the shape that Flux v2 reads.
// Values are read here and written there; what the Deployment itself holds, its
// snapshot keeps too. It may be called again, and brings the copies up to date.
func copyCredentials(ctx context.Context, r *repository) error {
	for _, cred := range r.j.plan.Credentials {
		if err := r.copyCredential(ctx, cred, false); err != nil {
			return err
		}
	}
	return nil
}

// copyCredential copies one credential; with unlessThere, keys that the copy holds
// already are not written again.
func (r *repository) copyCredential(ctx context.Context, cred migrate.Credential, unlessThere bool) error {
	var data map[string][]byte
	var there bool
	annotations := map[string]string{}
	err := r.outlast(ctx, "credentials", func(ctx context.Context) (err error) {
		if data, err = r.credentialData(ctx, cred); err != nil || cred.Kind != migrate.KindDecryption {
			return err
		}
		annotations[annotationKeys] = keysHash(data)
		there, err = r.mayCopyKeys(ctx, cred, data)
		return err
	})
	if err != nil {
		return fmt.Errorf("copy the %s of %s to Secret/%s/%s: %w", whatIs(cred), r.id, cred.To.Namespace, cred.To.Name, err)
	}
	if there && unlessThere {
		return nil
	}
	secret := &unstructured.Unstructured{}
	secret.SetAPIVersion("v1")
	secret.SetKind("Secret")
	secret.SetNamespace(cred.To.Namespace)
	secret.SetName(cred.To.Name)
	namespace, release, _ := strings.Cut(r.id, "/")
	secret.SetLabels(map[string]string{migrate.LabelNamespace: namespace, migrate.LabelRelease: release})
	secret.SetAnnotations(annotations)
	encoded := map[string]any{}
	for key, value := range data {
		encoded[key] = base64Of(value)
	}
	secret.Object["type"] = "Opaque"
	secret.Object["data"] = encoded
	if _, err := r.put(ctx, "credentials", secret); err != nil {
		return err
	}
	if toGit(cred) {
		r.credential = data
	}
	return nil
}

// credentialData reads the values of one credential.
func (r *repository) credentialData(ctx context.Context, cred migrate.Credential) (map[string][]byte, error) {
	data := map[string][]byte{}
	for _, key := range sortedKeys(cred.From) {
		value, err := r.value(ctx, key, cred.From[key])
		if err != nil {
			return nil, err
		}
		data[key] = value
	}
	if cred.KnownHosts != "" {
		data["known_hosts"] = []byte(cred.KnownHosts)
	}
	if cred.Kind == kindProxy {
		return proxyData(string(data["address"]))
	}
	return data, nil
}

// kindProxy is the kind of the credential that goes to a proxy, not to the Git
// server.
const kindProxy = "proxy"

// toGit reports whether a credential goes to the Git server itself.
func toGit(c migrate.Credential) bool {
	return c.Kind != kindProxy && c.Kind != migrate.KindDecryption
}

// whatIs says of a credential what it is.
func whatIs(c migrate.Credential) string {
	if c.Kind == migrate.KindDecryption {
		return "decryption keys"
	}
	return "Git credential"
}

// proxyData takes apart the address of a proxy as git reads it from the
// environment: a scheme may be left out (then it is http), and user and
// password, percent-encoded, may stand before the host (source: curl,
// lib/url.c). Errors hold no part of it.
func proxyData(address string) (map[string][]byte, error) {
	address = strings.TrimSpace(address)
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errors.New("the address of the proxy is no URL")
	}
	data := map[string][]byte{}
	if u.User != nil {
		data["username"] = []byte(u.User.Username())
		if password, given := u.User.Password(); given {
			data["password"] = []byte(password)
		}
		u.User = nil
	}
	data["address"] = []byte(u.String())
	return data, nil
}

// netrcPart is the user name or the password of a login in a .netrc.
func netrcPart(netrc []byte, key string, v migrate.Value) ([]byte, error) {
	login := migrate.NetrcLogin(string(netrc), v.Netrc, "")
	if login == nil || login.User == "" {
		return nil, fmt.Errorf("the .netrc in Secret/%s/%s under the key %q holds no login with a user and a password for %s", v.Secret.Namespace, v.Secret.Name, v.Secret.Key, v.Netrc)
	}
	if key == "password" {
		return []byte(login.Password), nil
	}
	return []byte(login.User), nil
}

func (r *repository) value(ctx context.Context, key string, v migrate.Value) ([]byte, error) {
	var value []byte
	switch {
	case v.Secret != nil:
		secret, err := r.c.Kube.CoreV1().Secrets(v.Secret.Namespace).Get(ctx, v.Secret.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read Secret/%s/%s: %w", v.Secret.Namespace, v.Secret.Name, err)
		}
		found := false
		if value, found = secret.Data[v.Secret.Key]; !found || len(value) == 0 {
			return nil, fmt.Errorf("Secret/%s/%s holds no value under the key %q", v.Secret.Namespace, v.Secret.Name, v.Secret.Key)
		}
		if v.Netrc != "" {
			return netrcPart(value, key, v)
		}
	case v.ConfigMap != nil:
		config, err := r.c.Kube.CoreV1().ConfigMaps(v.ConfigMap.Namespace).Get(ctx, v.ConfigMap.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read ConfigMap/%s/%s: %w", v.ConfigMap.Namespace, v.ConfigMap.Name, err)
		}
		if value = []byte(config.Data[v.ConfigMap.Key]); len(value) == 0 {
			return nil, fmt.Errorf("ConfigMap/%s/%s holds no value under the key %q", v.ConfigMap.Namespace, v.ConfigMap.Name, v.ConfigMap.Key)
		}
	case v.Argument:
		username, password, err := r.urlCredential(ctx)
		if err != nil {
			return nil, err
		}
		if value = []byte(username); key == "password" {
			value = []byte(password)
		}
		if len(value) == 0 {
			return nil, fmt.Errorf("the --git-url of Deployment %s/%s holds no %s", r.j.Agent.Namespace, r.j.Agent.Workload, key)
		}
		// userinfo of a URL is decoded by urlCredential.
		return value, nil
	case v.Variable != "":
		var err error
		if value, err = r.variable(ctx, v.Variable); err != nil {
			return nil, err
		}
	default:
		value = []byte(v.Literal)
	}
	if !v.PercentEncoded {
		return value, nil
	}
	plain, err := url.PathUnescape(strings.TrimSpace(string(value)))
	if err != nil {
		return nil, fmt.Errorf("the value of %s is not percent-encoded as a URL's part", key)
	}
	return []byte(plain), nil
}

// agentContainer reads the container of the Deployment that is given --git-url,
// which is fluxd's, and the URL as it is written; empty if that is part of a
// shell's command.
func (r *repository) agentContainer(ctx context.Context) (*corev1.Container, string, error) {
	d, err := r.c.Kube.AppsV1().Deployments(r.j.Agent.Namespace).Get(ctx, r.j.Agent.Workload, metav1.GetOptions{})
	if err != nil {
		return nil, "", fmt.Errorf("read Deployment %s/%s: %w", r.j.Agent.Namespace, r.j.Agent.Workload, err)
	}
	pod := d.Spec.Template.Spec
	containers := slices.Concat(pod.Containers, pod.InitContainers) // it may be a sidecar among these
	for i := range containers {
		container := &containers[i]
		last, found := "", false // of several the last counts
		args := slices.Concat(container.Command, container.Args)
		for i, arg := range args {
			if raw, ok := strings.CutPrefix(arg, "--git-url="); ok {
				last = raw
			} else if arg == "--git-url" && i+1 < len(args) {
				last = args[i+1]
			}
			found = found || strings.Contains(arg, "--git-url")
		}
		if found {
			return container, last, nil
		}
	}
	return nil, "", fmt.Errorf("Deployment %s/%s has no --git-url argument", r.j.Agent.Namespace, r.j.Agent.Workload)
}

// variable reads what stands in plain text in a variable of fluxd's container.
func (r *repository) variable(ctx context.Context, name string) ([]byte, error) {
	container, _, err := r.agentContainer(ctx)
	if err != nil {
		return nil, err
	}
	if v := migrate.LastVariable(container, name); v != nil && v.Value != "" {
		return []byte(v.Value), nil
	}
	return nil, fmt.Errorf("Deployment %s/%s sets no variable %s to a text", r.j.Agent.Namespace, r.j.Agent.Workload, name)
}

// gitCredential is the plan's credential for the Git server itself; nil
// without.
func (r *repository) gitCredential() *migrate.Credential {
	for i := range r.j.plan.Credentials {
		if c := &r.j.plan.Credentials[i]; toGit(*c) {
			return c
		}
	}
	return nil
}

// urlCredential reads user and password out of the Deployment's --git-url.
// Errors hold neither.
func (r *repository) urlCredential(ctx context.Context) (username, password string, err error) {
	_, raw, err := r.agentContainer(ctx)
	if err != nil {
		return "", "", err
	}
	u, err := url.Parse(flux1.Literal(raw))
	if err != nil || u.User == nil {
		return "", "", fmt.Errorf("the --git-url of Deployment %s/%s cannot be read as a URL with a user", r.j.Agent.Namespace, r.j.Agent.Workload)
	}
	password, _ = u.User.Password()
	return u.User.Username(), password, nil
}

// readCredential gives the data of the copied Git Secret.
func (r *repository) readCredential(ctx context.Context) (map[string][]byte, error) {
	cred := r.gitCredential()
	if r.credential != nil || cred == nil {
		return r.credential, nil
	}
	to := cred.To
	secret, err := r.c.Kube.CoreV1().Secrets(to.Namespace).Get(ctx, to.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Secret/%s/%s: %w", to.Namespace, to.Name, err)
	}
	r.credential = secret.Data
	return r.credential, nil
}

// stage puts everything in place that does nothing yet: account, sources
// pinned to the commit that the old agent applied, suspended Kustomizations;
// tries each object as the future account; waits for the sources, and until
// the new agent has answered for each Kustomization.
func stage(ctx context.Context, r *repository) error {
	if r.j.Commit == "" {
		return errors.New("the commit that the old agent applied last is not known")
	}
	// What was copied may be old by the time a run goes on.
	if err := copyCredentials(ctx, r); err != nil {
		return err
	}
	for _, s := range r.j.plan.Repository.Supporting {
		if _, err := r.put(ctx, "stage", s); err != nil {
			return err
		}
	}
	if err := r.putSources(ctx, true); err != nil {
		return err
	}
	token := time.Now().UTC().Format(time.RFC3339Nano)
	if err := r.putKustomizations(ctx, staged, nil, token); err != nil {
		return err
	}
	if err := r.save(ctx, "stage"); err != nil { // the UIDs, before a long wait
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.tryObjects(gctx) })
	g.Go(func() error { return r.awaitSources(gctx, r.limits.source) })
	g.Go(func() error { return r.awaitEngine(gctx, token) })
	return g.Wait()
}

// awaitEngine waits until a controller has answered the request on each
// Kustomization. One that is suspended is applied by none, but finalizer and
// answer are written before that is looked at (source: kustomize-controller,
// Reconcile and finalizeStatus, v1.0 to v1.9; the bundled agent alike). Without
// an answer the fence would shut the old agent out and nobody would follow: a
// label selector, a shard or a namespace may leave these Kustomizations out.
func (r *repository) awaitEngine(ctx context.Context, token string) error {
	limited, cancel := context.WithTimeout(ctx, r.limits.echo)
	defer cancel()
	all := keys(r.j.plan.Repository.Kustomizations, (*unstructured.Unstructured).GetName)
	err := r.followKustomizations(limited, all, func(ks []*unstructured.Unstructured) (bool, string, error) {
		var silent []*unstructured.Unstructured
		for _, k := range ks {
			if handled, _, _ := unstructured.NestedString(k.Object, "status", "lastHandledReconcileAt"); handled != token {
				silent = append(silent, k)
			}
		}
		if len(silent) == 0 {
			return true, "", nil
		}
		seen := "nor has one put its finalizer there"
		if slices.Contains(silent[0].GetFinalizers(), finalizerName) {
			seen = "though its finalizer is there, so that one saw it once"
		}
		return false, fmt.Sprintf("no controller has answered for %s (%d of %d in namespace %s have no answer), %s",
			cluster.Describe(silent[0]), len(silent), len(ks), silent[0].GetNamespace(), seen), nil
	})
	if err == nil {
		r.answered = true
		return nil
	}
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	advice := "see that the controller's --watch-label-selector, its shard and the namespaces that it watches take these Kustomizations in, and that it does not hang (its log, or delete its pod)"
	if alive, aliveErr := r.engineAlive(ctx); aliveErr == nil && !alive {
		advice = "no pod and no lease of a controller for Kustomizations is in the cluster: start or install one"
	}
	return fmt.Errorf("make sure that the new agent acts on what was staged: %w; %s", err, advice)
}

// putSources applies the GitRepositories, pinned or as planned. One that
// another Repository already uses is left as it is.
func (r *repository) putSources(ctx context.Context, pinned bool) error {
	sources, err := r.j.plan.sources()
	if err != nil {
		return err
	}
	for _, s := range sources {
		unstructured.RemoveNestedField(s.Object, "spec", "ref", "commit")
		if pinned {
			if err := unstructured.SetNestedField(s.Object, r.j.Commit, "spec", "ref", "commit"); err != nil {
				return fmt.Errorf("pin %s: %w", cluster.Describe(s), err)
			}
		}
		if err := r.putShared(ctx, s, pinned); err != nil {
			return err
		}
	}
	return nil
}

func (r *repository) putShared(ctx context.Context, source *unstructured.Unstructured, pinned bool) error {
	r.shared.Lock()
	defer r.shared.Unlock()
	journals, err := r.store.list(ctx)
	if err != nil {
		return err
	}
	users := r.sharedWith(journals, created{APIVersion: source.GetAPIVersion(), Kind: source.GetKind(), Namespace: source.GetNamespace(), Name: source.GetName()})
	if len(users) > 0 {
		live, err := r.c.Get(ctx, source.GroupVersionKind(), source.GetNamespace(), source.GetName())
		if err == nil && pinned {
			r.made("stage", live)
			return nil
		}
		if err != nil && !cluster.IsGone(err) {
			return err
		}
		if !pinned && !r.othersVerified(ctx, users) {
			r.note("unpin", "%s stays pinned until %s are verified too", cluster.Describe(source), strings.Join(users, ", "))
			return nil
		}
	}
	_, err = r.put(ctx, "stage", source)
	return err
}

// othersVerified reports whether the other users of a source are past the
// point at which they need it pinned. Not knowing counts as no.
func (r *repository) othersVerified(ctx context.Context, users []string) bool {
	for _, id := range users {
		j, err := r.store.load(ctx, id)
		if err != nil || j == nil || j.state("verify") != Done {
			return false
		}
	}
	return true
}

// forms of a Kustomization on its way.
type form int

const (
	staged  form = iota // suspended, deletes nothing
	resumed             // syncs, deletes nothing
	final               // as planned
)

// shape gives a planned Kustomization in one of its forms.
func shape(planned *unstructured.Unstructured, f form) *unstructured.Unstructured {
	k := planned.DeepCopy()
	spec, _ := k.Object["spec"].(map[string]any)
	if spec == nil {
		spec = map[string]any{}
		k.Object["spec"] = spec
	}
	delete(spec, "suspend")
	spec["deletionPolicy"] = "Orphan"
	if f == staged {
		spec["suspend"] = true
	}
	if f != final {
		spec["prune"] = false
	}
	return k
}

const requestedAt = "reconcile.fluxcd.io/requestedAt"

// putKustomizations applies the Kustomizations that want names (nil: all), in
// parallel. With token each is asked to reconcile now.
func (r *repository) putKustomizations(ctx context.Context, f form, want func(name string) bool, token ...string) error {
	var mu sync.Mutex // guards the journal's list
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readParallel)
	for _, planned := range r.j.plan.Repository.Kustomizations {
		if want != nil && !want(planned.GetName()) {
			continue
		}
		g.Go(func() error {
			k := shape(planned, f)
			if len(token) > 0 {
				annotations := k.GetAnnotations()
				if annotations == nil {
					annotations = map[string]string{}
				}
				annotations[requestedAt] = token[0]
				k.SetAnnotations(annotations)
			}
			side := &repository{env: r.env, id: r.id, j: &journal{Repository: r.id}}
			stored, err := side.put(ctx, "stage", k)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			r.made("stage", stored)
			return nil
		})
	}
	return g.Wait()
}

// awaitSources waits until each GitRepository has fetched the pinned commit.
func (r *repository) awaitSources(ctx context.Context, limit time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, ref := range r.j.plan.Repository.Sources {
		resource, err := r.c.Resource(sourceKind, ref.Namespace)
		if err != nil {
			return err
		}
		err = follow(limited, resource, metav1.ListOptions{FieldSelector: "metadata.name=" + ref.Name}, func(now objects) (bool, string, error) {
			source := now[ref.Name]
			if source == nil {
				return false, "", fmt.Errorf("GitRepository/%s/%s was deleted meanwhile", ref.Namespace, ref.Name)
			}
			ready := conditionOf(source, "Ready")
			revision, _, _ := unstructured.NestedString(source.Object, "status", "artifact", "revision")
			if caughtUp(source) && ready.status == "True" && strings.HasSuffix(revision, "sha1:"+r.j.Commit) {
				return true, "", nil
			}
			lack := fmt.Sprintf("GitRepository/%s/%s has not fetched %s yet", ref.Namespace, ref.Name, short(r.j.Commit))
			if ready.message != "" && ready.status != "True" {
				lack += ": " + ready.message
			}
			if stalled := conditionOf(source, "Stalled"); stalled.status == "True" && caughtUp(source) {
				return false, "", fmt.Errorf("GitRepository/%s/%s cannot be fetched: %s", ref.Namespace, ref.Name, stalled.message)
			}
			return false, lack, nil
		})
		if err != nil {
			return fmt.Errorf("wait for the sources: %w", err)
		}
	}
	return nil
}

type condition struct{ status, reason, message string }

func conditionOf(u *unstructured.Unstructured, kind string) condition {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok || m["type"] != kind {
			continue
		}
		c := condition{}
		c.status, _ = m["status"].(string)
		c.reason, _ = m["reason"].(string)
		c.message, _ = m["message"].(string)
		return c
	}
	return condition{}
}

// caughtUp reports whether a controller has seen the newest spec.
func caughtUp(u *unstructured.Unstructured) bool {
	observed, found, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	return found && observed == u.GetGeneration()
}

// tryObjects dry-runs every object as the account that will apply it, and
// compares what comes out with what the old agent's account gets.
func (r *repository) tryObjects(ctx context.Context) error {
	old, err := r.account(r.j.Agent.Namespace, r.j.Agent.ServiceAccount)
	if err != nil {
		return err
	}
	of, accounts := map[string]*account{}, map[string]*account{} // by Kustomization, by name
	for _, k := range r.j.plan.Repository.Kustomizations {
		name, _, _ := unstructured.NestedString(k.Object, "spec", "serviceAccountName")
		if name == "" {
			continue
		}
		key := k.GetNamespace() + "/" + name
		if accounts[key] == nil {
			if accounts[key], err = r.account(k.GetNamespace(), name); err != nil {
				return err
			}
		}
		of[k.GetName()] = accounts[key]
	}
	var trials []*trial
	var applied []*unstructured.Unstructured
	for _, o := range r.j.plan.Repository.Objects {
		manifest := r.manifests[o.ID]
		if manifest == nil || of[o.Application] == nil || o.Verb == migrate.Skip || o.Verb == migrate.Unmanage || o.Verb == migrate.Stale {
			continue
		}
		applied = append(applied, manifest)
		trials = append(trials, &trial{
			id: o.ID, manifest: manifest, old: old, new: of[o.Application],
			wordless: func(err error) error { return r.wordless(o.ID, err) },
		})
	}
	made := proof.MadeBy(applied)
	for _, t := range trials {
		t.made = made
	}
	err = runTrials(ctx, trials, func(ctx context.Context) bool { return pause(ctx, stampStep) })
	if not := uncompared(trials); not != "" {
		r.note("stage", "%s", not)
	}
	return err
}

// stagedHere: what was staged may have been changed, and the new agent stopped,
// since another run looked, so each process stages again before it fences.
func stagedHere(_ context.Context, r *repository) error {
	if !r.answered {
		return errors.New("not staged by this run yet")
	}
	return nil
}

// removeMade is the undo of a step that made control objects: Kustomizations
// first, so that nothing is left that could act, then all else, newest first.
func removeMade(stepName string) func(context.Context, *repository) error {
	return func(ctx context.Context, r *repository) error {
		mine := []created{}
		for _, c := range r.j.Created {
			if c.Step == stepName {
				mine = append(mine, c)
			}
		}
		mine = append(mine, r.planned(stepName, mine)...)
		journals, err := r.store.list(ctx)
		if err != nil {
			return err
		}
		if stepName == "credentials" {
			kept, err := r.keptKeys(ctx)
			if err != nil {
				return err
			}
			for _, k := range kept {
				r.note("undo-"+stepName, "%s stays: it holds what the old agent's place of the keys does not, and may be the only place of a key", k)
				if !slices.Contains(r.j.KeptKeys, k.String()) {
					r.j.KeptKeys = append(r.j.KeptKeys, k.String())
				}
				same := func(c created) bool { return c.key() == k.key() }
				mine, r.j.Created = slices.DeleteFunc(mine, same), slices.DeleteFunc(r.j.Created, same)
			}
		}
		slices.Reverse(mine)
		slices.SortStableFunc(mine, func(a, b created) int { return deletionRank(a.Kind) - deletionRank(b.Kind) })
		for _, c := range mine {
			if slices.Contains(r.j.Parked, c.key()) {
				continue
			}
			if users := r.sharedWith(journals, c); len(users) > 0 {
				r.note("undo-"+stepName, "%s/%s/%s stays: %s uses it", c.Kind, c.Namespace, c.Name, strings.Join(users, ", "))
				continue
			}
			if err := r.remove(ctx, c, r.finalize); err != nil {
				return err
			}
			r.j.Created = slices.DeleteFunc(r.j.Created, func(o created) bool { return o.key() == c.key() })
		}
		return nil
	}
}

func deletionRank(kind string) int {
	switch kind {
	case "Kustomization":
		return 0
	case "GitRepository":
		return 1
	default:
		return 2
	}
}

// planned lists what a step may have made and not noted before it died. They
// are deleted only if they carry this run's annotation.
func (r *repository) planned(stepName string, noted []created) []created {
	if r.j.plan == nil {
		return nil
	}
	var want []created
	add := func(apiVersion, kind, namespace, name string) {
		want = append(want, created{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name, Step: stepName})
	}
	switch stepName {
	case "credentials":
		for _, c := range r.j.plan.Credentials {
			add("v1", "Secret", c.To.Namespace, c.To.Name)
			want[len(want)-1].Keys = c.Kind == migrate.KindDecryption
		}
	case "stage":
		for _, s := range r.j.plan.Repository.Supporting {
			add(s.GetAPIVersion(), s.GetKind(), s.GetNamespace(), s.GetName())
		}
		for _, s := range r.j.plan.Repository.Sources {
			add(sourceKind.GroupVersion().String(), sourceKind.Kind, s.Namespace, s.Name)
		}
		for _, k := range r.j.plan.Repository.Kustomizations {
			add(k.GetAPIVersion(), k.GetKind(), k.GetNamespace(), k.GetName())
		}
	}
	return slices.DeleteFunc(want, func(w created) bool {
		return slices.ContainsFunc(noted, func(n created) bool { return n.key() == w.key() })
	})
}
