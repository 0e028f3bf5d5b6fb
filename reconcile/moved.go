package reconcile

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fluxcd/cli-utils/pkg/object"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/fluxcd/pkg/ssa"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/reconcile/build"
)

const (
	// neighbourLimit is how long it is waited at most for another to be rendered, to
	// see what it has.
	neighbourLimit = 20 * time.Second
	// brokenFor is how long it is remembered that another cannot be rendered.
	brokenFor = time.Minute
)

// errSlow says that a rendering for which somebody waited in vain still goes on.
var errSlow = errors.New("it is still being rendered")

// heir is a Kustomization that has an object which left another's build, or that
// may have it.
type heir struct {
	name string
	// lists is true once its status inventory holds the object.
	lists bool
	// broken is why it is not known what it builds; empty if it is.
	broken string
	// passing is true where that was not answered: it may be known the next time.
	passing bool
	// but is why it may not apply the object as it is; empty if it will.
	but string
}

// said tells that u was left to h, and how bad that is.
func (h heir) said(u *unstructured.Unstructured) (severity, message string) {
	name := ssautil.FmtUnstructured(u)
	switch {
	case h.broken != "": // somebody has to act
		return severityError, fmt.Sprintf("%s is not deleted: Kustomization %s may have it now, and cannot be built: %s", name, h.name, h.broken)
	case h.but != "":
		return severityError, fmt.Sprintf("%s is left to Kustomization %s, %s", name, h.name, h.but)
	}
	return severityInfo, fmt.Sprintf("%s is left to Kustomization %s", name, h.name)
}

// neighbour is a Kustomization that may have what another one had, with its source:
// nil if that is gone.
type neighbour struct {
	*kustomizev1.Kustomization
	from *sourcev1.GitRepository
}

// neighbours are the Kustomizations of k's namespace, but for k, whose GitRepository
// has the URL of own, which is k's. Where that is gone it is nil, and those count
// that name it too.
func (r *kustomizer) neighbours(ctx context.Context, k *kustomizev1.Kustomization) (own *sourcev1.GitRepository, found []neighbour, err error) {
	sources := &sourcev1.GitRepositoryList{}
	if err := r.live.List(ctx, sources, client.InNamespace(sourceName(k).Namespace)); err != nil {
		return nil, nil, fmt.Errorf("list GitRepositories: %w", err)
	}
	byName := map[types.NamespacedName]*sourcev1.GitRepository{}
	for i := range sources.Items {
		byName[client.ObjectKeyFromObject(&sources.Items[i])] = &sources.Items[i]
	}
	own = byName[sourceName(k)]
	others := &kustomizev1.KustomizationList{}
	if err := r.live.List(ctx, others, client.InNamespace(k.Namespace)); err != nil {
		return nil, nil, fmt.Errorf("list Kustomizations: %w", err)
	}
	for i := range others.Items {
		other := &others.Items[i]
		from := byName[sourceName(other)]
		same := sourceName(other) == sourceName(k)
		if own != nil {
			same = from != nil && from.Spec.URL == own.Spec.URL
		}
		// Those with a kubeConfig have their objects in another cluster.
		if same && other.Name != k.Name && other.DeletionTimestamp.IsZero() && other.Spec.KubeConfig == nil {
			found = append(found, neighbour{other, from})
		}
	}
	return own, found, nil
}

// heirs finds those of the objects that left the build of k, at the revision of
// t, which another Kustomization of the same Git repository builds: a file that
// moved from one folder to another must not be deleted and made anew because the
// folder that it left is looked at first. Stock kustomize-controller does not
// look; there the order decides.
//
// Others count if they are in k's namespace and their GitRepository has the same
// URL. They are rendered at k's revision where they follow the same reference,
// else at their own; where that is not there, their inventory counts. Of one that
// cannot be rendered, in neighbourLimit, it is not known what it would take over: it
// counts as an heir of all, but for those that its files do not name where names
// stand in files as they are. An object without a namespace is that of the same kind
// and name in any: a patch of one Kustomization may fill in or take away what the
// other leaves.
func (r *kustomizer) heirs(ctx context.Context, k *kustomizev1.Kustomization, t *tree, left []*unstructured.Unstructured) (map[object.ObjMetadata]heir, error) {
	own, others, err := r.neighbours(ctx, k)
	if err != nil {
		return nil, err
	}
	if own == nil {
		return nil, untold{error: fmt.Errorf("GitRepository %s is gone", sourceName(k)), lasts: true, early: true}
	}
	wanted := map[object.ObjMetadata][]object.ObjMetadata{} // by what they are without a namespace
	for id := range idsOf(left) {
		wanted[unplaced(id)] = append(wanted[unplaced(id)], id)
	}
	found := map[object.ObjMetadata]heir{}
	for _, other := range others {
		listed, unreadable := listedBy(other.Kustomization)
		from, done, err := r.builtFrom(other.Kustomization, other.from, own, t)
		var built map[object.ObjMetadata]bool
		switch {
		case err != nil:
		case from.artifact == nil:
			built, err = listed, unreadable
		default:
			built, err = r.wouldBuild(ctx, other.Kustomization, from, t)
		}
		if err != nil {
			for _, u := range left {
				if id := object.UnstructuredToObjMetadata(u); mayBuild(other.Kustomization, from.artifact, u.GetName()) && found[id].name == "" {
					found[id] = heir{name: other.Name, broken: err.Error(), passing: unanswered(err)}
				}
			}
		}
		done()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("look whether others take them over: %w", context.Cause(ctx))
		}
		for id, applied := range built {
			for _, w := range wanted[unplaced(id)] {
				if err != nil || id.Namespace != w.Namespace && id.Namespace != "" && w.Namespace != "" {
					continue
				}
				h := heir{name: other.Name, lists: found[w].lists || listed[id], but: waits(other.Kustomization)}
				switch {
				case h.but != "":
				case !applied:
					h.but = "which leaves it alone, as it is marked"
				case id.Namespace == "" && w.Namespace != "":
					h.but = "where it has no namespace"
				}
				if was := found[w]; h.but != "" && was.name != "" && was.broken == "" {
					h.name, h.but = was.name, was.but
				}
				found[w] = h
			}
		}
	}
	return found, nil
}

// unanswered reports whether an error of a rendering says nothing of what is rendered:
// it took too long, or the API server did not give what it reads there.
func unanswered(err error) bool {
	status := apierrors.APIStatus(nil)
	return errors.Is(err, errSlow) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &status) && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err)
}

// waits is why a Kustomization does not apply what it builds; empty if it does.
func waits(k *kustomizev1.Kustomization) string {
	switch {
	case k.Spec.Suspend:
		return "which is suspended"
	case conditions.IsStalled(k):
		return "which is stalled: " + conditions.GetReason(k, fluxmeta.StalledCondition)
	}
	return ""
}

// unplaced is an id without its namespace.
func unplaced(id object.ObjMetadata) object.ObjMetadata {
	id.Namespace = ""
	return id
}

// allMoved reports whether everything that k applied is known to be built by
// others at the revision of t: a build without objects then deletes nothing.
func (r *kustomizer) allMoved(ctx context.Context, k *kustomizev1.Kustomization, t *tree) bool {
	objects, err := inventoryObjects(k.Status.Inventory)
	if err != nil {
		return false
	}
	heirs, err := r.heirs(ctx, k, t, objects)
	return err == nil && !slices.ContainsFunc(objects, func(u *unstructured.Unstructured) bool {
		h, moved := heirs[object.UnstructuredToObjMetadata(u)]
		return !moved || h.broken != ""
	})
}

// untold is why it is not known which objects of a Kustomization others have.
type untold struct {
	error
	// lasts is true where waiting is not known to help: the annotation that allows
	// deletions overrules it.
	lasts bool
	// early is true where it may be known in a moment, as while a source and all that
	// build from it are removed one after the other.
	early bool
}

func (u untold) Unwrap() error { return u.error }

// withoutHeirs gives those of the objects of k, which is removed, that no other
// Kustomization of the repository builds: what moved there, and was not applied by
// it yet, is its own. It is an error if that cannot be told. The annotation that
// allows deletions overrules what nobody knows, and neither what others are known to
// build nor that there was no answer.
func (r *kustomizer) withoutHeirs(ctx context.Context, k *kustomizev1.Kustomization, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	left, err := r.unclaimed(ctx, k, objects, allowedDeletions(k) >= len(objects))
	if err == nil {
		return left, nil
	}
	remedy := "it is tried again"
	if why := (untold{}); errors.As(err, &why) && why.lasts {
		remedy = fmt.Sprintf("if they shall go, annotate this Kustomization with %s=%d", AllowDeletionsAnnotation, len(objects))
	}
	return nil, fmt.Errorf("it cannot be told which of %d objects other Kustomizations of the repository have: %w; nothing was deleted; %s, and if they shall stay, set its deletionPolicy to Orphan",
		len(objects), err, remedy)
}

// unclaimed gives those of the objects that no other Kustomization is known to build.
// Those of which it is not known are among them if they are allowed to go.
func (r *kustomizer) unclaimed(ctx context.Context, k *kustomizev1.Kustomization, objects []*unstructured.Unstructured, allowed bool) ([]*unstructured.Unstructured, error) {
	own, others, err := r.neighbours(ctx, k)
	if err != nil || len(others) == 0 {
		return objects, err
	}
	if own == nil || own.Status.Artifact == nil {
		if allowed {
			return objects, nil
		}
		return nil, untold{error: fmt.Errorf("GitRepository %s is gone, or was never fetched", sourceName(k)), lasts: true, early: true}
	}
	t, done := r.trees.use(sourceName(k), own.Status.Artifact.Revision, own.Status.Artifact.Digest)
	if t == nil {
		// As after a start: it comes, but for one that cannot be fetched any more.
		lasts := own.Spec.Suspend || conditions.IsFalse(own, fluxmeta.ReadyCondition)
		if lasts && allowed {
			return objects, nil
		}
		return nil, untold{error: fmt.Errorf("revision %s of GitRepository %s is not fetched yet", own.Status.Artifact.Revision, sourceName(k)), lasts: lasts, early: true}
	}
	defer done()
	heirs, err := r.heirs(ctx, k, t, objects)
	if err != nil {
		return nil, err
	}
	var left, claimed []*unstructured.Unstructured
	for _, u := range objects {
		switch h, moved := heirs[object.UnstructuredToObjMetadata(u)]; {
		case h.broken != "" && h.passing:
			return nil, untold{error: fmt.Errorf("it was not answered what Kustomization %s builds: %s", h.name, h.broken), early: true}
		case h.broken != "" && !allowed:
			return nil, untold{error: fmt.Errorf("Kustomization %s cannot be built: %s", h.name, h.broken), lasts: true}
		case moved && h.broken == "":
			claimed = append(claimed, u)
		default:
			left = append(left, u)
		}
	}
	for _, u := range claimed {
		severity, said := heirs[object.UnstructuredToObjMetadata(u)].said(u)
		r.tell(k, severity, said, t.revision, nil)
	}
	return left, nil
}

// leaveToHeirs gives those objects that nobody else has. The others stay in the
// inventory of k until an heir has applied them, which is when they are marked as
// its own: what is listed may also be skipped.
func (r *kustomizer) leaveToHeirs(ctx context.Context, manager *ssa.ResourceManager, k *kustomizev1.Kustomization, left []*unstructured.Unstructured, heirs map[object.ObjMetadata]heir, revision string) ([]*unstructured.Unstructured, error) {
	var stale []*unstructured.Unstructured
	for i, u := range left {
		h, moved := heirs[object.UnstructuredToObjMetadata(u)]
		if !moved {
			stale = append(stale, u)
			continue
		}
		if h.lists {
			live := u.DeepCopy()
			err := manager.Client().Get(ctx, client.ObjectKeyFromObject(u), live)
			if err != nil && !apierrors.IsNotFound(err) {
				retain(k.Status.Inventory, append(stale, left[i:]...))
				return nil, fmt.Errorf("%d objects left the build, and nothing was deleted: see whose %s is: %w", len(left), ssautil.FmtUnstructured(u), err)
			}
			labels := live.GetLabels()
			if err != nil || labels[ownerName] != k.Name || labels[ownerNamespace] != k.Namespace {
				continue // gone, or the heir's by now
			}
		}
		retain(k.Status.Inventory, []*unstructured.Unstructured{u})
		severity, said := h.said(u)
		r.log.Info("left to another", "kustomization", client.ObjectKeyFromObject(k).String(), "object", ssautil.FmtUnstructured(u), "to", h.name)
		r.tell(k, severity, said, revision, nil)
	}
	return stale, nil
}

// listedBy are the objects of a Kustomization's status inventory.
func listedBy(k *kustomizev1.Kustomization) (map[object.ObjMetadata]bool, error) {
	objects, err := inventoryObjects(k.Status.Inventory)
	if err != nil {
		return nil, fmt.Errorf("Kustomization %s: %w", k.Name, err)
	}
	return idsOf(objects), nil
}

// idsOf are the ids of objects: false for those that a mark keeps from being applied.
func idsOf(objects []*unstructured.Unstructured) map[object.ObjMetadata]bool {
	ids := map[object.ObjMetadata]bool{}
	for _, u := range objects {
		ids[object.UnstructuredToObjMetadata(u)] = !ssautil.AnyInMetadata(u, leftAlone)
	}
	return ids
}

// origin is what a Kustomization is built from: an artifact of a tree, nil if that is
// not there. What of it differs from the tree looked from is said by as.
type origin struct {
	artifact *build.Artifact
	tree     *tree
	as       builtAs
}

// builtFrom is what a Kustomization with the source from is built from: at the
// revision of t, a tree of the source own, if it follows the same reference. done
// must be called.
func (r *kustomizer) builtFrom(k *kustomizev1.Kustomization, from, own *sourcev1.GitRepository, t *tree) (o origin, done func(), err error) {
	done = func() {}
	o = origin{tree: t, as: builtAs{kustomization: k.UID, generation: k.Generation}}
	switch {
	case from.Name == own.Name && from.Namespace == own.Namespace:
		o.artifact = t.artifact
		return o, done, nil
	case reflect.DeepEqual(from.Spec.Reference, own.Spec.Reference):
		o.as.source, o.as.sourceGeneration = from.UID, from.Generation
		o.artifact, err = t.artifact.Ignoring(from.Spec.Ignore)
		return o, done, err
	case from.Status.Artifact == nil:
		return o, done, nil
	}
	theirs, free := r.trees.use(sourceName(k), from.Status.Artifact.Revision, from.Status.Artifact.Digest)
	if theirs == nil {
		return o, done, nil
	}
	o.artifact, o.tree, o.as.digest = theirs.artifact, theirs, theirs.digest
	return o, free, nil
}

// builtAs names what a Kustomization renders to of its spec, that of its source, and
// a tree. What it reads in the cluster decides, too: see rendition.referred.
type builtAs struct {
	kustomization, source        types.UID
	generation, sourceGeneration int64
	digest                       string // of the tree, if it is another than the one looked from
}

// rendition is what a Kustomization builds, as idsOf gives it, or why that is not
// known. It is read once done is closed.
type rendition struct {
	referred string // versions of what it reads in the cluster
	late     atomic.Bool
	done     chan struct{}
	objects  map[object.ObjMetadata]bool
	err      error
	until    time.Time // that err is remembered
}

// finished is a rendition that is known.
func finished(referred string, objects map[object.ObjMetadata]bool) *rendition {
	r := &rendition{referred: referred, done: make(chan struct{}), objects: objects}
	close(r.done)
	return r
}

// stale reports whether r says nothing of what is built now, where versions are
// those of what is read in the cluster.
func (r *rendition) stale(versions string, now time.Time) bool {
	select {
	case <-r.done:
		return r.referred != versions || r.err != nil && now.After(r.until)
	default:
		return r.referred != versions
	}
}

// wouldBuild are the objects that a Kustomization builds, as idsOf gives them. It
// gives up after neighbourLimit, and at once for one that took that long before and
// is still not done.
//
// When a base changes, each of those built of it asks the same of all the others: who
// asks while it is found out waits for the same. An answer is kept with the tree t,
// though nobody should wait for it any more, since kustomize cannot be interrupted; one
// that it cannot be rendered is kept for brokenFor, and that something was not answered
// is not.
func (r *kustomizer) wouldBuild(ctx context.Context, k *kustomizev1.Kustomization, from origin, t *tree) (map[object.ObjMetadata]bool, error) {
	limited, cancel := context.WithTimeout(ctx, r.neighbourLimit)
	defer cancel()
	versions, err := r.referredVersion(limited, k)
	if err != nil {
		return nil, err
	}
	mine := &rendition{referred: versions, done: make(chan struct{})}
	known, there := t.built.LoadOrStore(from.as, mine)
	if there && known.(*rendition).stale(versions, r.now()) {
		known, there = mine, !t.built.CompareAndSwap(from.as, known, mine)
		if there { // another did
			known, there = t.built.LoadOrStore(from.as, mine)
		}
	}
	asked := known.(*rendition)
	if !there {
		go r.renderInto(context.WithoutCancel(ctx), mine, k, from, t, r.trees.share(from.tree))
	}
	if asked.late.Load() {
		cancel()
	}
	select {
	case <-asked.done:
		return asked.objects, asked.err
	default:
	}
	select {
	case <-asked.done:
		return asked.objects, asked.err
	case <-limited.Done():
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		asked.late.Store(true)
		return nil, fmt.Errorf("not done after %s: %w", r.neighbourLimit, errSlow)
	}
}

// renderInto finds out what a rendition is, and calls done at the end.
func (r *kustomizer) renderInto(ctx context.Context, into *rendition, k *kustomizev1.Kustomization, from origin, t *tree, done func()) {
	defer done()
	defer close(into.done)
	defer func() {
		if p := recover(); p != nil {
			into.err = fmt.Errorf("recovered from panic while rendering: %v", p)
		}
		if into.until = r.now().Add(brokenFor); into.err != nil && unanswered(into.err) {
			t.built.CompareAndDelete(from.as, into)
		}
	}()
	r.renderings <- struct{}{}
	defer func() { <-r.renderings }()
	into.objects, into.err = r.rendered(ctx, k, from.artifact)
}

// rendered are the objects that a Kustomization builds from an artifact: none if
// its folder is gone.
func (r *kustomizer) rendered(ctx context.Context, k *kustomizev1.Kustomization, artifact *build.Artifact) (map[object.ObjMetadata]bool, error) {
	reading, cancel := context.WithTimeout(ctx, 2*r.neighbourLimit) // longer than anybody waits for it
	input, err := r.input(reading, k, artifact)
	cancel()
	if err != nil {
		return nil, err
	}
	rendering, err := r.render(ctx, input)
	switch {
	case errors.Is(err, build.ErrPathNotFound):
		return map[object.ObjMetadata]bool{}, nil
	case err != nil:
		return nil, err
	}
	return idsOf(rendering.Objects), nil
}

// mayBuild reports whether a Kustomization that cannot be rendered may build an
// object of a name. It does not if nothing changes names on the way from its files,
// and none of them holds this one.
func mayBuild(k *kustomizev1.Kustomization, artifact *build.Artifact, name string) bool {
	s := &k.Spec
	if artifact == nil || s.NamePrefix != "" || s.NameSuffix != "" || len(s.Components) > 0 || s.PostBuild != nil {
		return true
	}
	for _, p := range s.Patches {
		if mayName(p.Patch, name) {
			return true
		}
	}
	named, err := artifact.Names(build.Folder(s.Path), name)
	return named || err != nil
}

// mayName reports whether a patch may give an object a name. One that is merged
// cannot (kustomize keeps the name of what it is merged into), operations can.
func mayName(patch, name string) bool {
	var content any
	if strings.Contains(patch, name) || yaml.Unmarshal([]byte(patch), &content) != nil {
		return true
	}
	operations, isList := content.([]any)
	if _, merged := content.(map[string]any); !isList {
		return !merged
	}
	return slices.ContainsFunc(operations, func(o any) bool {
		fields, _ := o.(map[string]any)
		at, found := fields["path"].(string)
		return !found || at == "" || at == "/" || at == "/metadata" || at == "/metadata/name"
	})
}
