package cutover

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

const (
	// snapshotPart is the most one Secret holds; etcd takes 1.5 MiB a request,
	// and base64 adds a third.
	snapshotPart = 700 << 10
	snapshotType = "fluxover.dev/snapshot"
	// readParallel bounds concurrent reads of one Repository's objects.
	readParallel = 16

	checksumAnnotation    = flux1.ChecksumAnnotation
	oldChecksumAnnotation = flux1.OldChecksumAnnotation
	lastApplied           = flux1.LastApplied
)

// snapshot is how a Repository's part of the cluster was before: what rollback
// needs to put everything back. It holds Secret values and is therefore kept
// in Secrets.
type snapshot struct {
	Repository string `json:"repository"`
	// Commit that the old agent had applied.
	Commit string `json:"commit"`
	// Deployment of the old agent, whole.
	Deployment *unstructured.Unstructured `json:"deployment,omitempty"`
	// Release holds the Secrets or ConfigMaps of the Helm release's live
	// revision and of those that were begun since, so that finalize can be
	// undone.
	Release []*unstructured.Unstructured `json:"release,omitempty"`
	Objects []heldObject                 `json:"objects"`

	index sync.Once
	byID  map[string]*heldObject
}

// heldObject is one managed object as it was: labels, annotations, ownership
// and every field, less its status.
type heldObject struct {
	ID     string                     `json:"id"`
	Object *unstructured.Unstructured `json:"object"`
	// Manifest is a SHA-256 of what Git held; empty if that is not known. At
	// rollback it tells whether the manifest is unchanged.
	Manifest string `json:"manifest,omitempty"`
}

// snapshotRef says where a snapshot stands.
type snapshotRef struct {
	Secrets []string `json:"secrets,omitempty"`
	SHA256  string   `json:"sha256,omitempty"`
	// Sequence counts the snapshots of an attempt.
	Sequence int `json:"sequence,omitempty"`
	// Superseded Secrets are of earlier snapshots. They are deleted once a stored
	// journal names a later one, but not while the old agent is stopped: that can wait.
	Superseded []string `json:"superseded,omitempty"`
}

// object finds one by id; nil if it was not there. Safe for concurrent use, as
// long as Objects does not change any more.
func (s *snapshot) object(id string) *heldObject {
	s.index.Do(func() {
		s.byID = map[string]*heldObject{}
		for i := range s.Objects {
			s.byID[s.Objects[i].ID] = &s.Objects[i]
		}
	})
	return s.byID[id]
}

// readObjects reads objects by id, in parallel; absent ones are left out.
// Status is dropped.
func readObjects(ctx context.Context, c *cluster.Client, ids []string) (map[string]*unstructured.Unstructured, error) {
	found := make([]*unstructured.Unstructured, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readParallel)
	for i, id := range ids {
		g.Go(func() error {
			obj, err := c.GetByID(ctx, id)
			if cluster.IsGone(err) {
				return nil
			}
			if err != nil {
				return err
			}
			unstructured.RemoveNestedField(obj.Object, "status")
			found[i] = obj
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make(map[string]*unstructured.Unstructured, len(ids))
	for i, id := range ids {
		if found[i] != nil {
			out[id] = found[i]
		}
	}
	return out, nil
}

// managedIDs are all objects that a cut-over may touch or must leave alone:
// what the plan names and what carries the old agent's mark.
func managedIDs(p *migrate.Repository, marked []string) []string {
	ids := slices.Clone(marked)
	for _, o := range p.Objects {
		ids = append(ids, o.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// manifestHash is a SHA-256 over a manifest as Flux v1 would apply it, less
// its marks and the empty parts that YAML tools leave behind.
func manifestHash(manifest *unstructured.Unstructured) string {
	if manifest == nil {
		return ""
	}
	m := manifest.DeepCopy()
	for _, key := range markLabels {
		unstructured.RemoveNestedField(m.Object, "metadata", "labels", key)
	}
	for _, key := range markAnnotations {
		unstructured.RemoveNestedField(m.Object, "metadata", "annotations", key)
	}
	unstructured.RemoveNestedField(m.Object, "metadata", "creationTimestamp")
	for _, field := range []string{"labels", "annotations"} {
		if inner, found, _ := unstructured.NestedMap(m.Object, "metadata", field); found && len(inner) == 0 {
			unstructured.RemoveNestedField(m.Object, "metadata", field)
		}
	}
	raw, err := json.Marshal(m.Object)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// stable is what counts when two readings of an object are compared: all but
// what changes by itself (resourceVersion, generation, ownership of
// subresources such as status).
func stable(u *unstructured.Unstructured) string {
	m := u.DeepCopy()
	var kept []metav1.ManagedFieldsEntry
	for _, e := range m.GetManagedFields() {
		if e.Subresource == "" {
			e.Time = nil
			kept = append(kept, e)
		}
	}
	m.SetManagedFields(kept)
	m.SetResourceVersion("")
	m.SetGeneration(0)
	unstructured.RemoveNestedField(m.Object, "status")
	raw, err := json.Marshal(m.Object)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// content is what a workload is, for "untouched": everything but metadata and
// status.
func content(u *unstructured.Unstructured) map[string]any {
	m := u.DeepCopy().Object
	delete(m, "metadata")
	delete(m, "status")
	delete(m, "apiVersion")
	delete(m, "kind")
	return m
}

// saveSnapshot writes the snapshot as compressed Secrets and returns where it
// stands. The Secrets of an earlier one stay, see snapshotRef.Superseded.
func (s store) saveSnapshot(ctx context.Context, j *journal, snap *snapshot) (snapshotRef, error) {
	raw, err := json.Marshal(snap)
	if err != nil {
		return snapshotRef{}, fmt.Errorf("encode the snapshot: %w", err)
	}
	packed, err := compress(raw)
	if err != nil {
		return snapshotRef{}, fmt.Errorf("compress the snapshot: %w", err)
	}
	sum := sha256.Sum256(packed)
	ref := snapshotRef{SHA256: hex.EncodeToString(sum[:]), Sequence: j.Snapshot.Sequence + 1}
	ref.Superseded = append(slices.Clone(j.Snapshot.Superseded), j.Snapshot.Secrets...)
	immutable := true
	for part := 0; len(packed) > 0 || part == 0; part++ {
		chunk := packed[:min(len(packed), snapshotPart)]
		packed = packed[len(chunk):]
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace:   migrate.StateNamespace,
				Name:        fmt.Sprintf("snapshot.%s.%d-%d.%d", strings.Replace(j.Repository, "/", ".", 1), j.Attempt, ref.Sequence, part),
				Labels:      repositoryLabels(j.Repository, stateSnapshot),
				Annotations: map[string]string{migrate.AnnotationRepository: j.Repository, annotationRun: j.Run},
			},
			Type: snapshotType, Immutable: &immutable, Data: map[string][]byte{"snapshot": chunk},
		}
		if err := s.putSecret(ctx, secret); err != nil {
			return snapshotRef{}, fmt.Errorf("write snapshot Secret/%s/%s: %w", secret.Namespace, secret.Name, err)
		}
		ref.Secrets = append(ref.Secrets, secret.Name)
	}
	return ref, nil
}

// putSecret creates a Secret of a snapshot; one of the same name is left by a
// run that died before it was noted in the journal, and is replaced.
func (s store) putSecret(ctx context.Context, secret *corev1.Secret) error {
	secrets := s.c.Kube.CoreV1().Secrets(secret.Namespace)
	_, err := secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: migrate.FieldManager})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	if err := s.deleteSnapshotSecret(ctx, secret.Name, secret.Annotations[annotationRun]); err != nil {
		return err
	}
	_, err = secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: migrate.FieldManager})
	return err
}

// deleteSnapshotSecret deletes one Secret of a snapshot of this run.
func (s store) deleteSnapshotSecret(ctx context.Context, name, run string) error {
	secrets := s.c.Kube.CoreV1().Secrets(migrate.StateNamespace)
	live, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if live.Type != snapshotType || live.Annotations[annotationRun] != run {
		return fmt.Errorf("delete Secret/%s/%s: %w", live.Namespace, name, ErrBudget)
	}
	err = secrets.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &live.UID}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// dropSuperseded deletes the Secrets of earlier snapshots. The stored journal must
// name the one that stands.
func (r *repository) dropSuperseded(ctx context.Context) error {
	for _, name := range r.j.Snapshot.Superseded {
		if err := r.store.deleteSnapshotSecret(ctx, name, r.run); err != nil {
			return fmt.Errorf("delete an earlier snapshot: %w", err)
		}
	}
	r.j.Snapshot.Superseded = nil
	return nil
}

// loadSnapshot reads the snapshot that the journal names and checks it.
func (s store) loadSnapshot(ctx context.Context, j *journal) (*snapshot, error) {
	var packed []byte
	for _, name := range j.Snapshot.Secrets {
		secret, err := s.c.Kube.CoreV1().Secrets(migrate.StateNamespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read the snapshot of %s: %w", j.Repository, err)
		}
		packed = append(packed, secret.Data["snapshot"]...)
	}
	sum := sha256.Sum256(packed)
	if hex.EncodeToString(sum[:]) != j.Snapshot.SHA256 {
		return nil, fmt.Errorf("read the snapshot of %s: its Secrets in %s were changed since they were written", j.Repository, migrate.StateNamespace)
	}
	raw, err := decompress(packed)
	if err != nil {
		return nil, fmt.Errorf("read the snapshot of %s: %w", j.Repository, err)
	}
	snap := &snapshot{}
	if err := json.Unmarshal(raw, snap); err != nil {
		return nil, fmt.Errorf("read the snapshot of %s: %w", j.Repository, err)
	}
	return snap, nil
}
