package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/cluster"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// listable is a kind that can be listed.
type listable struct {
	gvr        schema.GroupVersionResource
	kind       string
	namespaced bool
}

// liveObject is what is read of a live object: never its content, and of its
// metadata no more than is asked for, since there may be a great many.
type liveObject struct {
	*listable
	namespace, name string
	// marks by label, the current one first; empty if it has none.
	marks [2]string
	// ignore is the value of its ignore annotation, as [flux1.IgnoreValue].
	ignore string
	// checksum of the manifest that fluxd applied last; empty if it noted none.
	checksum string
	// owned is true if another object owns it.
	owned bool
}

func newLiveObject(m *metav1.PartialObjectMetadata, r *listable) *liveObject {
	return &liveObject{
		listable: r, namespace: m.Namespace, name: m.Name,
		marks:  [2]string{m.Labels[flux1.MarkLabel], m.Labels[flux1.OldMarkLabel]},
		ignore: flux1.IgnoreValue(m.Annotations), checksum: checksumOn(m.Annotations), owned: len(m.OwnerReferences) > 0,
	}
}

// checksumOn is the checksum of the manifest that fluxd noted on an object; empty without.
func checksumOn(annotations map[string]string) string {
	return cmp.Or(annotations[flux1.ChecksumAnnotation], annotations[flux1.OldChecksumAnnotation])
}

// id is the Flux inventory id.
func (o *liveObject) id() string {
	return object.ObjMetadata{Namespace: o.namespace, Name: o.name,
		GroupKind: schema.GroupKind{Group: o.gvr.Group, Kind: o.kind}}.String()
}

// resourceID is fluxd's name of it.
func (o *liveObject) resourceID() string { return flux1.ResourceID(o.namespace, o.kind, o.name) }

// markedBy reports whether it carries the mark of a set.
func (o *liveObject) markedBy(set, resourceID string) bool {
	mark := flux1.Mark(set, resourceID)
	return o.marks[0] == mark || o.marks[1] == mark
}

// ignored is the effect of the object's ignore annotation. fluxd does not see
// that of objects that another object owns (flux:
// pkg/cluster/kubernetes/sync.go).
func (o *liveObject) ignored() string {
	if o.owned {
		return ""
	}
	return o.ignore
}

// live is what is known of live objects.
type live struct {
	kinds map[schema.GroupKind]*listable
	// marked objects by inventory id.
	marked map[string]*liveObject
	mu     sync.Mutex
	// unreadable kinds, "resource.group", which a finding tells of.
	unreadable map[string]bool
}

// cannotRead notes that a kind cannot be read, of which a finding tells.
func (l *live) cannotRead(r *listable) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unreadable[r.gvr.GroupResource().String()] = true
}

func (l *live) canRead(r *listable) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.unreadable[r.gvr.GroupResource().String()]
}

// kindDown reports a kind that the API server does not give, and has it left alone. It is an
// error if the server does not answer at all.
func (w *witness) kindDown(ctx context.Context, l *live, r *listable, err error) error {
	l.cannotRead(r)
	return w.failing(ctx, r.gvr, r.kind, "which of them Flux v1 applied, and which it is told to ignore", err)
}

// failing reports once that the API server does not give the objects of a kind, and
// what is unknown without them. It is an error if the server does not answer at all.
func (w *witness) failing(ctx context.Context, gvr schema.GroupVersionResource, kind, unknown string, err error) error {
	name := gvr.GroupResource().String()
	says := "There was no answer in time"
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		says = "It says: " + words(err)
	} else if silent := w.answers(ctx); silent != nil {
		return silent
	} else if cluster.IsCut(err) {
		says = "The connection ended before the answer did, while other questions are answered"
	}
	f := APIKindDown.About("", name, kind+" of "+gvr.GroupVersion().String(), "")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down[name+unknown] {
		return nil
	}
	if w.down == nil {
		w.down = map[string]bool{}
	}
	w.down[name+unknown] = true
	f.Message = fmt.Sprintf("the API server cannot give %s, so this is unknown: %s; and fluxd, which lists all that it may list and is not told to leave out, cannot sync while that lasts. %s", name, unknown, says)
	w.findings = append(w.findings, f)
	return nil
}

// isDown reports whether an error may be one of the kind that was asked for alone.
func isDown(ctx context.Context, err error) bool {
	return ctx.Err() == nil && (cluster.IsFailing(err) || cluster.IsCut(err))
}

// ErrUnreachable says that the API server does not answer any more, whatever it is asked.
var ErrUnreachable = errors.New("the API server can no longer be reached")

// ErrNotAnswered says that the API server does not answer what discovery cannot do without, and answers all the same.
var ErrNotAnswered = errors.New("the API server answers other questions")

// ending is the error that discovery ends with. Where a question got no answer, it is that the API server
// cannot be reached, or which question that was, where the server answers others.
func (w *witness) ending(ctx context.Context, err error) error {
	var status apierrors.APIStatus
	unanswered := errors.Is(err, errNoAnswer) || cluster.IsUnreachable(err) || cluster.IsCut(err) || cluster.IsFailing(err) && !errors.As(err, &status)
	if ctx.Err() != nil || errors.Is(err, ErrUnreachable) || !unanswered {
		return err
	}
	if silent := w.answers(ctx); silent != nil {
		return silent
	}
	text := err.Error()
	for _, r := range requestsIn(err) { // whose addresses hold more than people need
		text = strings.ReplaceAll(text, r.Error(), r.Err.Error())
	}
	return fmt.Errorf("%s, while %w", strings.ReplaceAll(text, "\n", "; "), ErrNotAnswered)
}

// requestsIn are the errors of requests within an error.
func requestsIn(err error) (out []*url.Error) {
	switch e := err.(type) {
	case *url.Error:
		return []*url.Error{e}
	case interface{ Unwrap() error }:
		return requestsIn(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			out = append(out, requestsIn(one)...)
		}
	}
	return out
}

// answers makes sure that the API server answers anything, where a question got no answer.
func (w *witness) answers(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, cluster.AnswerLimit)
	defer cancel()
	_, err := w.kube.CoreV1().Namespaces().Get(soon, metav1.NamespaceSystem, metav1.GetOptions{})
	var status apierrors.APIStatus
	switch {
	case err == nil || errors.As(err, &status):
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case cluster.IsFailing(err):
		return fmt.Errorf("%w: it takes connections and answers nothing, not within %s", ErrUnreachable, cluster.AnswerLimit)
	case cluster.IsUnreachable(err) || cluster.IsCut(err):
		return fmt.Errorf("%w: %w", ErrUnreachable, cause(err))
	}
	return err
}

// words are what an API server said, or why there is no answer, without what was asked.
func words(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Message != "" {
		return fmt.Sprintf("%s (%d)", strings.TrimSpace(status.Status().Message), status.Status().Code)
	}
	return cause(err).Error()
}

// cause is that of an error without the request, whose address holds more than people need.
func cause(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}

// parallelLists bounds how many kinds are listed at a time.
const parallelLists = 8

// marked lists every live object that carries a mark of Flux v1, metadata
// only and page by page.
func (w *witness) marked(ctx context.Context, resources []listable) (*live, error) {
	l := &live{kinds: map[schema.GroupKind]*listable{}, marked: map[string]*liveObject{}, unreadable: map[string]bool{}}
	for i := range resources {
		r := &resources[i]
		l.kinds[schema.GroupKind{Group: r.gvr.Group, Kind: r.kind}] = r
	}
	forbidden := map[string]bool{}
	var mu sync.Mutex
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelLists)
	for i := range resources {
		r := &resources[i]
		if r.gvr.Resource == "events" || r.gvr.Resource == "componentstatuses" || strings.HasSuffix(r.gvr.Group, "metrics.k8s.io") {
			continue // fluxd does not look at them
		}
		group.Go(func() error {
			for _, label := range []string{flux1.MarkLabel, flux1.OldMarkLabel} {
				err := w.listMeta(gctx, r, "", label, func(m *metav1.PartialObjectMetadata) {
					o := newLiveObject(m, r)
					mu.Lock()
					defer mu.Unlock()
					l.marked[o.id()] = o
				})
				switch {
				case err == nil:
				case isForbidden(err):
					mu.Lock()
					forbidden[r.gvr.GroupResource().String()] = true
					mu.Unlock()
					l.cannotRead(r)
					return nil
				case notFound(err) || isNotListable(err):
					return nil // the kind went meanwhile, or an aggregated API lists nothing
				case isDown(gctx, err):
					return w.kindDown(gctx, l, r, err)
				default:
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if len(forbidden) > 0 {
		names := slices.Sorted(maps.Keys(forbidden))
		what := strings.Join(names[:min(6, len(names))], ", ")
		if n := len(names) - 6; n > 0 {
			what += fmt.Sprintf(" and %d more kinds", n)
		}
		f := RBACMissing.Finding("", what, fmt.Sprintf("you may not list %s in all namespaces, so this is unknown: which of these objects Flux v1 applied, and which it is told to ignore", what))
		f.Hint = "have get, list and watch on all resources granted to you, or use an account that has them (--context, --as)"
		w.find(f)
	}
	return l, nil
}

func isNotListable(err error) bool {
	var status interface{ Status() metav1.Status }
	return errors.As(err, &status) && status.Status().Code == 405
}

func (w *witness) listMeta(ctx context.Context, r *listable, namespace, selector string, visit func(*metav1.PartialObjectMetadata)) error {
	return listPatiently(ctx, w, r.gvr.GroupResource().String(), metav1.ListOptions{LabelSelector: selector}, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return w.meta.Resource(r.gvr).Namespace(namespace).List(ctx, o)
	}, visit)
}

// ignoredLive finds the ignore annotations of live objects that are named in
// Git and carry no mark: fluxd sees them, a list by label does not. Those of the
// kinds that its agent is told to leave out of its view have no effect. It also
// gives what is live of all that it looked at for it, as [witness.look].
func (w *witness) ignoredLive(ctx context.Context, l *live, ids []object.ObjMetadata, excluded []string) (found map[string]string, unmarked map[string]*liveObject, err error) {
	found = map[string]string{}
	var unknown []object.ObjMetadata
	for _, m := range ids {
		r, ok := l.kinds[m.GroupKind]
		if !ok {
			continue // not served, so not live
		}
		if !flux1.Lists(excluded, r.gvr.GroupVersion().WithKind(r.kind)) {
			continue
		}
		if o := l.marked[m.String()]; o == nil {
			unknown = append(unknown, m)
		} else if v := o.ignored(); v != "" {
			found[m.String()] = v
		}
	}
	unmarked = map[string]*liveObject{}
	err = w.look(ctx, l, unknown, "which live objects carry an ignore annotation", func(id string, r *listable, m *metav1.PartialObjectMetadata) {
		if unmarked[id] = nil; m == nil {
			return
		}
		o := newLiveObject(m, r)
		unmarked[id] = o
		if v := o.ignored(); v != "" {
			found[id] = v
		}
	})
	return found, unmarked, err
}

// look asks for the metadata of objects of kinds that are served, several of a kind and
// namespace at once, and has each visited, nil if it is not live. Those that may not be read
// are not visited; what is unknown without them is reported.
func (w *witness) look(ctx context.Context, l *live, ids []object.ObjMetadata, unknown string, visit func(id string, r *listable, m *metav1.PartialObjectMetadata)) error {
	type place struct {
		*listable
		namespace string
	}
	names := map[place]map[string]string{} // → id by name
	for _, m := range ids {
		r := l.kinds[m.GroupKind]
		if m.Name == "" || len(content.IsPathSegmentName(m.Name)) > 0 || len(content.IsPathSegmentName(m.Namespace)) > 0 {
			continue // no object can be called so, so not live; the client would refuse to ask
		}
		if !l.canRead(r) {
			continue // reported already
		}
		p := place{r, m.Namespace}
		if names[p] == nil {
			names[p] = map[string]string{}
		}
		names[p][m.Name] = m.String()
	}
	for p, want := range names {
		if len(want) > 5 {
			seen := map[string]bool{}
			err := w.listMeta(ctx, p.listable, p.namespace, "", func(m *metav1.PartialObjectMetadata) {
				if id, ok := want[m.Name]; ok {
					seen[m.Name] = true
					visit(id, p.listable, m)
				}
			})
			switch {
			case err == nil || notFound(err):
				for name, id := range want {
					if !seen[name] {
						visit(id, p.listable, nil)
					}
				}
			case isForbidden(err):
				w.forbidden("list", p.gvr.GroupResource().String(), p.namespace, "", unknown)
			case isDown(ctx, err):
				if err := w.kindDown(ctx, l, p.listable, err); err != nil {
					return err
				}
			default:
				return err
			}
			continue
		}
		for name, id := range want {
			if !l.canRead(p.listable) {
				break
			}
			m, err := askPatiently(ctx, w, p.gvr.GroupResource().String(), func(ctx context.Context) (*metav1.PartialObjectMetadata, error) {
				return w.meta.Resource(p.gvr).Namespace(p.namespace).Get(ctx, name, metav1.GetOptions{})
			})
			switch {
			case err == nil:
				visit(id, p.listable, m)
			case notFound(err):
				visit(id, p.listable, nil)
			case isForbidden(err):
				w.forbidden("get", p.gvr.GroupResource().String(), p.namespace, "", unknown)
			case isDown(ctx, err):
				if err := w.kindDown(ctx, l, p.listable, err); err != nil {
					return err
				}
			default:
				return fmt.Errorf("read %s %s/%s: %w", p.gvr.GroupResource(), p.namespace, name, err)
			}
		}
	}
	return nil
}
