package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/fluxcd/cli-utils/pkg/object"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// sighting is what an object looked like when the agent last read or wrote it.
type sighting struct {
	gvk             schema.GroupVersionKind
	resourceVersion string
	signature       string
}

// sightings are the objects of one Kustomization. They tell drift from the
// changes that an object goes through anyway (status, fields of others).
type sightings struct {
	mu      sync.Mutex
	objects map[object.ObjMetadata]sighting
}

// signature condenses what may not change behind the agent's back: which object
// it is, which fields of it the agent owns, and traces of managers whose fields
// the agent takes over. A field that anybody else sets to another value leaves
// the set of fields owned, so the set is enough and values are not needed.
func signature(m metav1.Object) string {
	hash := sha256.New()
	add := func(parts ...string) {
		for _, part := range parts {
			hash.Write([]byte(part))
			hash.Write([]byte{0})
		}
	}
	add(string(m.GetUID()))
	if m.GetDeletionTimestamp() != nil {
		add("deleting")
	}
	for _, entry := range m.GetManagedFields() {
		if entry.Subresource != "" {
			continue
		}
		if entry.Manager == kustomizeController && entry.Operation == metav1.ManagedFieldsOperationApply {
			add("owned", canonicalFields(entry.FieldsV1))
			continue
		}
		for _, taken := range tookOver {
			if entry.Operation == taken.OperationType && strings.HasPrefix(entry.Manager, taken.Name) {
				add("foreign", entry.Manager, string(entry.Operation))
				break
			}
		}
	}
	for _, key := range removedAnnotations {
		if _, found := m.GetAnnotations()[key]; found {
			add("annotation", key)
		}
	}
	for _, key := range removedLabels {
		if _, found := m.GetLabels()[key]; found {
			add("label", key)
		}
	}
	return base64.RawStdEncoding.EncodeToString(hash.Sum(nil)[:18])
}

// canonicalFields prints a field set with sorted keys.
func canonicalFields(fields *metav1.FieldsV1) string {
	if fields == nil {
		return ""
	}
	var decoded any
	if err := json.Unmarshal(fields.GetRawBytes(), &decoded); err != nil {
		return fields.GetRawString()
	}
	sorted, err := json.Marshal(decoded)
	if err != nil {
		return fields.GetRawString()
	}
	return string(sorted)
}

// record notes what an object looks like. One without owner labels is forgotten: it is
// left alone, as it is marked, and no watch tells of it.
func (s *sightings) record(u *unstructured.Unstructured) {
	if u.GetLabels()[ownerName] == "" {
		s.forget(u)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects == nil {
		s.objects = map[object.ObjMetadata]sighting{}
	}
	s.objects[object.UnstructuredToObjMetadata(u)] = sighting{
		gvk: u.GroupVersionKind(), resourceVersion: u.GetResourceVersion(), signature: signature(u),
	}
}

func (s *sightings) forget(u *unstructured.Unstructured) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, object.UnstructuredToObjMetadata(u))
}

// keepOnly forgets all objects but those in ids.
func (s *sightings) keepOnly(ids []object.ObjMetadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.objects {
		if !slices.Contains(ids, id) {
			delete(s.objects, id)
		}
	}
}

func (s *sightings) all() map[object.ObjMetadata]sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	copied := make(map[object.ObjMetadata]sighting, len(s.objects))
	for id, seen := range s.objects {
		copied[id] = seen
	}
	return copied
}

// olderThan compares resource versions. Those that are no numbers are taken as
// newer, so that a doubt leads to a check and not to blindness.
func olderThan(a, b string) bool {
	x, errA := strconv.ParseUint(a, 10, 64)
	y, errB := strconv.ParseUint(b, 10, 64)
	return errA == nil && errB == nil && x < y
}

// sightingClient is a client that records the objects that pass through it.
type sightingClient struct {
	client.Client
	seen *sightings
}

func (c *sightingClient) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	err := c.Client.Get(ctx, key, obj, opts...)
	if u, ok := obj.(*unstructured.Unstructured); ok {
		switch {
		case err == nil:
			c.seen.record(u)
		case apierrors.IsNotFound(err):
			gone := &unstructured.Unstructured{}
			gone.SetGroupVersionKind(u.GroupVersionKind())
			gone.SetNamespace(key.Namespace)
			gone.SetName(key.Name)
			c.seen.forget(gone)
		}
	}
	return err
}

func (c *sightingClient) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	err := c.Client.Patch(ctx, obj, patch, opts...)
	options := &client.PatchOptions{}
	options.ApplyOptions(opts)
	if u, ok := obj.(*unstructured.Unstructured); ok && err == nil && len(options.DryRun) == 0 {
		c.seen.record(u)
	}
	return err
}
