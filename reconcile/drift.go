package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fluxcd/cli-utils/pkg/object"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
)

const (
	ownerName      = group + "/name"
	ownerNamespace = group + "/namespace"
	// signatureKey holds the signature of an object in the cache of a watch, in
	// place of the metadata it was computed from.
	signatureKey = "fluxover.dev/signature"
	// firstDriftGap is the least time between two mendings of one Kustomization.
	// It doubles while drift comes back, up to the interval, so that somebody who
	// keeps setting a field cannot keep the agent busy.
	firstDriftGap = 2 * time.Second
)

// driftWatch watches the metadata of all objects that carry owner labels, kind
// by kind as kinds turn up in inventories. It keeps a name, a version and a
// signature of each. It writes nothing and decides nothing: it wakes the owner.
type driftWatch struct {
	client    metadata.Interface
	mapper    meta.RESTMapper
	namespace string // "" is all
	wake      func(owner types.NamespacedName)
	log       *slog.Logger

	mu        sync.Mutex
	ctx       context.Context
	informers map[schema.GroupVersionKind]cache.SharedIndexInformer
}

// Start lets watches run until ctx ends.
func (d *driftWatch) Start(ctx context.Context) error {
	d.mu.Lock()
	d.ctx = ctx
	for _, informer := range d.informers {
		go informer.Run(ctx.Done())
	}
	d.mu.Unlock()
	<-ctx.Done()
	return nil
}

// watch makes sure that a kind is watched. A kind that the server does not serve
// now is left out; the next apply of such an object asks again.
func (d *driftWatch) watch(gvk schema.GroupVersionKind) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.informers[gvk] != nil {
		return
	}
	mapping, err := d.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		d.log.Warn("kind is not watched for drift", "kind", gvk.String(), "error", err)
		return
	}
	informer := metadatainformer.NewFilteredMetadataInformer(d.client, mapping.Resource, d.namespace, 0,
		cache.Indexers{}, func(options *metav1.ListOptions) { options.LabelSelector = ownerName }).Informer()
	// Neither fails before the informer is started.
	_ = informer.SetTransform(condense)
	_ = informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		d.log.Debug("watch for drift interrupted", "kind", gvk.String(), "error", err)
	})
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { d.tell(o) },
		UpdateFunc: func(before, now any) {
			if signatureIn(before) != signatureIn(now) {
				d.tell(before)
				d.tell(now)
			}
		},
		DeleteFunc: func(o any) {
			if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = last.Obj
			}
			d.tell(o)
		},
	})
	if d.informers == nil {
		d.informers = map[schema.GroupVersionKind]cache.SharedIndexInformer{}
	}
	d.informers[gvk] = informer
	if d.ctx != nil {
		go informer.Run(d.ctx.Done())
	}
}

// tell wakes the Kustomization that the labels of o name.
func (d *driftWatch) tell(o any) {
	m, ok := o.(metav1.Object)
	if !ok {
		return
	}
	labels := m.GetLabels()
	if labels[ownerName] != "" && labels[ownerNamespace] != "" {
		d.wake(types.NamespacedName{Namespace: labels[ownerNamespace], Name: labels[ownerName]})
	}
}

// drifted returns the first object found that looks different from when it was
// last seen; ok is false when there is none. Kinds whose watch has not caught up
// are passed over.
func (d *driftWatch) drifted(seen map[object.ObjMetadata]sighting) (id object.ObjMetadata, ok bool) {
	for id, sight := range seen {
		d.mu.Lock()
		informer := d.informers[sight.gvk]
		d.mu.Unlock()
		if informer == nil || !informer.HasSynced() {
			continue
		}
		if olderThan(informer.LastSyncResourceVersion(), sight.resourceVersion) {
			continue // the watch has not yet told of what the agent itself did
		}
		key := id.Name
		if id.Namespace != "" {
			key = id.Namespace + "/" + id.Name
		}
		o, found, err := informer.GetStore().GetByKey(key)
		if err != nil {
			continue
		}
		if !found {
			return id, true
		}
		m, isObject := o.(metav1.Object)
		if !isObject || olderThan(m.GetResourceVersion(), sight.resourceVersion) {
			continue
		}
		if signatureIn(o) != sight.signature {
			return id, true
		}
	}
	return id, false
}

// condense replaces what a watch delivers by what drift needs of it.
func condense(o any) (any, error) {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return o, nil
	}
	if m.Annotations[signatureKey] != "" && len(m.ManagedFields) == 0 {
		return m, nil // condensed before
	}
	small := &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta}
	small.Namespace, small.Name = m.Namespace, m.Name
	small.UID, small.ResourceVersion = m.UID, m.ResourceVersion
	small.Labels = map[string]string{ownerName: m.Labels[ownerName], ownerNamespace: m.Labels[ownerNamespace]}
	small.Annotations = map[string]string{signatureKey: signature(m)}
	return small, nil
}

func signatureIn(o any) string {
	m, ok := o.(metav1.Object)
	if !ok {
		return ""
	}
	return m.GetAnnotations()[signatureKey]
}
