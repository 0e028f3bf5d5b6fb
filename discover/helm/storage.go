// Package helm reads what Helm keeps of releases in a cluster: Helm 3 in
// Secrets or ConfigMaps of the release's namespace, Helm 2 in those of
// Tiller's. It lists by labels, so that only the revisions that are asked for
// are fetched, and unpacks them within bounds, since anybody who may write a
// Secret may have written it. It changes nothing.
//
// Helm can also keep releases in an SQL database (HELM_DRIVER=sql). Nothing of
// these is in the cluster: to this package they are not there.
package helm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/pager"

	"github.com/fluxover/fluxover/reconcile/cluster"
)

// Statuses of revisions, as Helm 3 writes them; those of Helm 2 are given
// these names (source: helm, pkg/release/status.go; Helm 2,
// _proto/hapi/release/status.proto).
const (
	Deployed     = "deployed"
	Superseded   = "superseded"
	Failed       = "failed"
	Uninstalled  = "uninstalled"
	Uninstalling = "uninstalling"
	pending      = "pending-" // -install, -upgrade, -rollback
)

// Revision is one revision of a release as the labels of its object tell.
type Revision struct {
	// Kind of the object that holds it, "Secret" or "ConfigMap".
	Kind string
	// Namespace and Name of that object.
	Namespace, Name string
	// Helm is 2 or 3.
	Helm int
	// Release is the release's name.
	Release string
	// Number counts from 1.
	Number int
	Status string

	created time.Time
	// content changes whenever what the object holds does; empty if that is not
	// known.
	content string
}

// Place names the object, "Secret/namespace/name".
func (r Revision) Place() string { return r.Kind + "/" + r.Namespace + "/" + r.Name }

// Pending reports whether an operation on the release has begun and not ended.
func (r Revision) Pending() bool { return strings.HasPrefix(r.Status, pending) }

// backend is one way in which Helm keeps releases.
type backend struct {
	kind, resource string
	helm           int
	selector       string
}

// backends, those that people use most first (source: helm,
// pkg/storage/driver/labels.go and secrets.go; Helm 2,
// pkg/storage/driver/cfgmaps.go).
var backends = []backend{
	{"Secret", "secrets", 3, "owner=helm"},
	{"ConfigMap", "configmaps", 3, "owner=helm"},
	{"ConfigMap", "configmaps", 2, "OWNER=TILLER"},
	{"Secret", "secrets", 2, "OWNER=TILLER"},
}

// Storage is what is known of the releases of a cluster.
type Storage struct {
	// revisions by release name, sorted by namespace, then newest first.
	revisions map[string][]Revision
	// Unread are the resources ("secrets") that may not be listed, by
	// namespace; under "" in all namespaces at once.
	Unread map[string][]string
}

// pageSize of lists.
const pageSize = 500

// Read lists every revision of every release, in all namespaces. Where a
// resource may not be listed everywhere it is listed in the given namespaces;
// where that is not allowed either it is noted in Unread. Any other failure is
// an error.
func Read(ctx context.Context, meta metadata.Interface, namespaces []string) (*Storage, error) {
	s := &Storage{revisions: map[string][]Revision{}, Unread: map[string][]string{}}
	for _, d := range backends {
		forbidden, err := s.list(ctx, meta, d, "")
		if err != nil {
			return nil, err
		}
		if !forbidden {
			continue
		}
		for _, ns := range namespaces {
			if _, err := s.list(ctx, meta, d, ns); err != nil {
				return nil, err
			}
		}
	}
	for _, revisions := range s.revisions {
		slices.SortFunc(revisions, func(a, b Revision) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(b.Number, a.Number), cmp.Compare(a.Place(), b.Place()))
		})
	}
	return s, nil
}

// list reads the revisions of one backend, all namespaces if namespace is
// empty. That it is forbidden is noted.
func (s *Storage) list(ctx context.Context, meta metadata.Interface, d backend, namespace string) (forbidden bool, err error) {
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (apiruntime.Object, error) {
		return cluster.Ask(ctx, func() (apiruntime.Object, error) {
			return meta.Resource(schema.GroupVersionResource{Version: "v1", Resource: d.resource}).Namespace(namespace).List(ctx, o)
		})
	})
	p.PageSize, p.PageBufferSize = pageSize, 1
	err = p.EachListItem(ctx, metav1.ListOptions{LabelSelector: d.selector}, func(o apiruntime.Object) error {
		m, ok := o.(*metav1.PartialObjectMetadata)
		if !ok {
			return fmt.Errorf("the server sent a %T", o)
		}
		if r, ok := d.revision(m); ok {
			s.revisions[r.Release] = append(s.revisions[r.Release], r)
		}
		return nil
	})
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		if !slices.Contains(s.Unread[namespace], d.resource) {
			s.Unread[namespace] = append(s.Unread[namespace], d.resource)
		}
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("list %s with Helm releases: %w", d.resource, err)
	}
	return false, nil
}

// revision reads the labels; ok is false for an object that is none of Helm's.
func (d backend) revision(m *metav1.PartialObjectMetadata) (r Revision, ok bool) {
	name, version, status := m.Labels["name"], m.Labels["version"], m.Labels["status"]
	if d.helm == 2 {
		name, version, status = m.Labels["NAME"], m.Labels["VERSION"], m.Labels["STATUS"]
		status = strings.ReplaceAll(strings.ToLower(status), "_", "-")
		switch status {
		case "deleted":
			status = Uninstalled
		case "deleting":
			status = Uninstalling
		}
	}
	n, err := strconv.Atoi(version)
	if err != nil || name == "" {
		return Revision{}, false
	}
	return Revision{Kind: d.kind, Namespace: m.Namespace, Name: m.Name, Helm: d.helm, Release: name, Number: n, Status: status,
		created: m.CreationTimestamp.Time, content: contentOf(m.UID, m.ResourceVersion)}, true
}

// contentOf changes whenever an object does; empty if that is not known.
func contentOf(uid types.UID, resourceVersion string) string {
	if uid == "" || resourceVersion == "" {
		return ""
	}
	return string(uid) + "/" + resourceVersion
}

// Of gives the revisions of the releases of a name, each release's newest
// first: first that of Helm 3 in the given namespace, then those of Helm 2,
// whose namespace is Tiller's, then those of Helm 3 in other namespaces, which
// may be kept there for objects elsewhere and may as well be other releases of
// the same name: see [Record.Owns]. Where Secrets and ConfigMaps hold a release
// of one name, the one comes first that was written last.
func (s *Storage) Of(namespace, name string) [][]Revision {
	var own, tiller, elsewhere [][]Revision
	for _, r := range s.revisions[name] {
		to := &elsewhere
		switch {
		case r.Helm == 2:
			to = &tiller
		case r.Namespace == namespace:
			to = &own
		}
		i := slices.IndexFunc(*to, func(list []Revision) bool { return list[0].Namespace == r.Namespace && list[0].Kind == r.Kind })
		if i < 0 {
			*to = append(*to, []Revision{r})
			continue
		}
		(*to)[i] = append((*to)[i], r)
	}
	for _, releases := range [][][]Revision{own, tiller, elsewhere} {
		slices.SortStableFunc(releases, func(a, b []Revision) int {
			return cmp.Or(cmp.Compare(a[0].Namespace, b[0].Namespace), b[0].created.Compare(a[0].created))
		})
	}
	return slices.Concat(own, tiller, elsewhere)
}

// Names are the names of all releases, sorted.
func (s *Storage) Names() []string {
	names := make([]string, 0, len(s.revisions))
	for name := range s.revisions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Live is the revision whose manifest Helm takes for what is in the cluster:
// the newest that is deployed. A release that was never deployed, or is no
// more, has none; then it is the newest of all. Revisions must not be empty,
// the newest first.
func Live(revisions []Revision) Revision {
	for _, r := range revisions {
		if r.Status == Deployed {
			return r
		}
	}
	return revisions[0]
}

// ErrGone: the object that held a revision is not there any more.
var ErrGone = errors.New("the revision is gone")

// Open fetches and unpacks a revision. An error about its content wraps
// [ErrCorrupt], and never quotes the content.
func (r Revision) Open(ctx context.Context, kube kubernetes.Interface) (*Record, error) {
	var data []byte
	var err error
	if r.Kind == "ConfigMap" {
		m, failed := cluster.Ask(ctx, func() (*corev1.ConfigMap, error) {
			return kube.CoreV1().ConfigMaps(r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
		})
		if err = failed; err == nil {
			data = []byte(m.Data[payloadKey])
		}
	} else {
		s, failed := cluster.Ask(ctx, func() (*corev1.Secret, error) {
			return kube.CoreV1().Secrets(r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
		})
		if err = failed; err == nil {
			data = s.Data[payloadKey]
		}
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("read %s: %w", r.Place(), ErrGone)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", r.Place(), err)
	}
	return Decode(data, r.Helm)
}

// payloadKey is where Secrets and ConfigMaps hold the revision.
const payloadKey = "release"

// Opened keeps records that were opened, for those who read one cluster again
// and again: a revision that is still what it was is not fetched. It may be
// used by several at once; nil keeps nothing.
type Opened struct{ records sync.Map }

const (
	// fewToOpen revisions of a namespace are opened one by one.
	fewToOpen = 8
	// namesAtOnce bounds the length of a selector, and with it that of a URL.
	namesAtOnce = 50
	// openedAtOnce bounds how many payloads, of up to 1 MiB each, an answer
	// holds.
	openedAtOnce = 50
)

// OpenDeployed opens many revisions with few questions: those that Secrets of
// Helm 3 hold and that are deployed, which nearly all are. What it could not
// open, whatever the reason, Open will try alone, and say why it cannot.
func (o *Opened) OpenDeployed(ctx context.Context, kube kubernetes.Interface, revisions []Revision) {
	wanted := map[string]bool{}
	names := map[string][]string{} // by namespace
	for _, r := range revisions {
		if r.Kind == "Secret" && r.Helm == 3 && r.Status == Deployed && r.content != "" && o.known(r) == nil {
			wanted[r.content] = true
			names[r.Namespace] = append(names[r.Namespace], r.Release)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for namespace, all := range names {
		if len(all) < fewToOpen {
			continue
		}
		slices.Sort(all)
		for chunk := range slices.Chunk(slices.Compact(all), namesAtOnce) {
			group.Go(func() error {
				o.openNamed(ctx, kube, namespace, chunk, wanted)
				return nil
			})
		}
	}
	_ = group.Wait() // the functions above return none
}

func (o *Opened) openNamed(ctx context.Context, kube kubernetes.Interface, namespace string, names []string, wanted map[string]bool) {
	options := metav1.ListOptions{LabelSelector: fmt.Sprintf("owner=helm,status=%s,name in (%s)", Deployed, strings.Join(names, ",")), Limit: openedAtOnce}
	for {
		list, err := cluster.Ask(ctx, func() (*corev1.SecretList, error) { return kube.CoreV1().Secrets(namespace).List(ctx, options) })
		if err != nil {
			return
		}
		for i := range list.Items {
			s := &list.Items[i]
			if at := contentOf(s.UID, s.ResourceVersion); wanted[at] {
				if record, err := Decode(s.Data[payloadKey], 3); err == nil {
					o.records.Store(at, record)
				}
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return
		}
	}
}

// known is what was opened of a revision; nil if it was not.
func (o *Opened) known(r Revision) *Record {
	if o == nil || r.content == "" {
		return nil
	}
	known, _ := o.records.Load(r.content)
	record, _ := known.(*Record)
	return record
}

// Look is Open, and keeps nothing that it did not know: for revisions of which
// there may be many, and that nobody asks for twice.
func (o *Opened) Look(ctx context.Context, kube kubernetes.Interface, r Revision) (*Record, error) {
	if known := o.known(r); known != nil {
		return known, nil
	}
	return r.Open(ctx, kube)
}

// Open is [Revision.Open] with what was opened before.
func (o *Opened) Open(ctx context.Context, kube kubernetes.Interface, r Revision) (*Record, error) {
	if o == nil || r.content == "" {
		return r.Open(ctx, kube)
	}
	if known := o.known(r); known != nil {
		return known, nil
	}
	record, err := r.Open(ctx, kube)
	if err == nil {
		o.records.Store(r.content, record)
	}
	return record, err
}
