package cutover

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// The keys for encrypted files are copied once and are the new agent's from then
// on, so that a copy may be the only place of a key that somebody put there later.
// A copy bears a hash of what was written, which tells such a key, and tells
// nobody what it is: it is random.

// annotationKeys is on each Secret of copied keys.
const annotationKeys = "fluxover.dev/copied-keys"

// keysHash is what annotationKeys says of a Secret's data.
func keysHash(data map[string][]byte) string {
	h := sha256.New()
	for _, name := range sortedKeys(data) {
		fmt.Fprintf(h, "%d %s %d ", len(name), name, len(data[name]))
		h.Write(data[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// changedKeys reports whether a Secret of copied keys holds something else than
// was copied.
func changedKeys(live *corev1.Secret) bool {
	return live.Annotations[annotationKeys] != keysHash(live.Data)
}

// keyCredentials are those of the plan that hold keys for encrypted files.
func (r *repository) keyCredentials() []migrate.Credential {
	return slices.DeleteFunc(slices.Clone(r.j.plan.Credentials), func(c migrate.Credential) bool { return c.Kind != migrate.KindDecryption })
}

// copiedKeys reads a Secret of copied keys; nil if it is not there.
func (r *repository) copiedKeys(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	live, err := r.c.Kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret/%s/%s: %w", namespace, name, err)
	}
	return live, nil
}

// mayCopyKeys fails unless keys are those with which the plan was proved, and
// where the copy holds others that somebody put there. It is there if the copy
// holds them already.
func (r *repository) mayCopyKeys(ctx context.Context, cred migrate.Credential, data map[string][]byte) (there bool, err error) {
	if !r.keys.Are(data) {
		return false, fmt.Errorf("%w: the keys with which Deployment %s/%s decrypts files are not those that the plan was proved with; %s", ErrMoved, r.j.Agent.Namespace, r.j.Agent.Workload, r.j.afterMove())
	}
	live, err := r.copiedKeys(ctx, cred.To.Namespace, cred.To.Name)
	if err != nil || live == nil || live.Annotations[annotationRun] != r.run {
		return false, err // what is not this run's is not written over
	}
	if changedKeys(live) && keysHash(live.Data) != keysHash(data) {
		return false, fmt.Errorf("Secret/%s/%s holds other keys than were copied there, which may be in no other place: keep them, and remove it", live.Namespace, live.Name)
	}
	return !changedKeys(live) && keysHash(live.Data) == keysHash(data), nil
}

// copyKeys brings the copies of the keys up to date where they are not, and only
// those: it runs in the gap, too.
func (r *repository) copyKeys(ctx context.Context) error {
	for _, cred := range r.keyCredentials() {
		if err := r.copyCredential(ctx, cred, true); err != nil {
			return err
		}
	}
	return nil
}

// sameKeys fails with ErrMoved unless the old agent's keys, and the copy of them,
// are those with which the plan was proved.
func (r *repository) sameKeys(ctx context.Context) error {
	return r.outlast(ctx, "fence", func(ctx context.Context) error {
		for _, cred := range r.keyCredentials() {
			data, err := r.credentialData(ctx, cred)
			if err != nil {
				return fmt.Errorf("look at the decryption keys of %s: %w", r.id, err)
			}
			if _, err := r.mayCopyKeys(ctx, cred, data); err != nil {
				return err
			}
		}
		return r.copiesIntact(ctx)
	})
}

// copiesIntact fails with ErrMoved where the copy of the keys is gone, or holds
// something else than was copied.
func (r *repository) copiesIntact(ctx context.Context) error {
	for _, cred := range r.keyCredentials() {
		live, err := r.copiedKeys(ctx, cred.To.Namespace, cred.To.Name)
		switch {
		case err != nil:
			return err
		case live == nil:
			return fmt.Errorf("%w: Secret/%s/%s, to which the decryption keys were copied, is gone; %s", ErrMoved, cred.To.Namespace, cred.To.Name, r.j.afterMove())
		case changedKeys(live):
			return fmt.Errorf("%w: Secret/%s/%s holds other keys than were copied there; %s", ErrMoved, cred.To.Namespace, cred.To.Name, r.j.afterMove())
		}
	}
	return nil
}

// keptKeys are the Secrets of copied keys, of those that this run made, that hold
// what the old agent's place of the keys does not: somebody changed one of the two,
// and the copy may be the only place of a key. A rollback leaves them.
func (r *repository) keptKeys(ctx context.Context) ([]created, error) {
	var kept []created
	for _, c := range append(slices.Clone(r.j.Created), r.planned("credentials", r.j.Created)...) {
		if !c.Keys {
			continue
		}
		live, err := r.copiedKeys(ctx, c.Namespace, c.Name)
		if err != nil {
			return nil, err
		}
		if live == nil || live.UID != c.UID && live.Annotations[annotationRun] != r.run {
			continue
		}
		elsewhere, err := r.heldElsewhere(ctx, live)
		if err != nil {
			return nil, err
		}
		if !elsewhere {
			kept = append(kept, c)
		}
	}
	return kept, nil
}

// heldElsewhere reports whether the place that a Secret's keys were copied from
// holds the same.
func (r *repository) heldElsewhere(ctx context.Context, live *corev1.Secret) (bool, error) {
	if r.j.plan == nil {
		return false, nil
	}
	for _, cred := range r.keyCredentials() {
		if cred.To.Namespace != live.Namespace || cred.To.Name != live.Name {
			continue
		}
		data, err := r.credentialData(ctx, cred)
		if err != nil && cluster.IsTransient(err) {
			return false, fmt.Errorf("look at the decryption keys of %s: %w", r.id, err)
		}
		return err == nil && keysHash(data) == keysHash(live.Data), nil
	}
	return false, nil
}

func (c created) String() string {
	return strings.Join([]string{c.Kind, c.Namespace, c.Name}, "/")
}

// wordless is an API server's refusal of an object without its words, where they
// may quote a secret value: of a Secret, and of what an application holds whose
// files are decrypted. Any other error stays as it is.
func (r *repository) wordless(id string, err error) error {
	without := cluster.Wordless(err)
	if without == err {
		return err
	}
	_, _, kind, parsed := migrate.ParseObjectID(id)
	if parsed == nil && kind.Group == "" && kind.Kind == "Secret" || r.mayBeDecrypted(id) {
		return fmt.Errorf("%s: %w", migrate.DisplayID(id), without)
	}
	return err
}

// mayBeDecrypted reports whether the application of an object decrypts files; of
// an object that is not in the plan, whether any does.
func (r *repository) mayBeDecrypted(id string) bool {
	i := slices.IndexFunc(r.j.plan.Repository.Objects, func(o migrate.ObjectPlan) bool { return o.ID == id })
	return slices.ContainsFunc(r.j.plan.Repository.Kustomizations, func(k *unstructured.Unstructured) bool {
		return decrypts(k) && (i < 0 || k.GetName() == r.j.plan.Repository.Objects[i].Application)
	})
}

// decrypts reports whether a Kustomization decrypts files.
func decrypts(k *unstructured.Unstructured) bool {
	_, found, _ := unstructured.NestedMap(k.Object, "spec", "decryption")
	return found
}

// told is what is repeated of a Kustomization's condition. Where files are
// decrypted it may quote a value that is encrypted in Git, unless it tells of the
// source or of what is waited for.
func told(k *unstructured.Unstructured, c condition) string {
	if !decrypts(k) || slices.Contains([]string{"ArtifactFailed", "DependencyNotReady", "Progressing"}, c.reason) {
		return c.message
	}
	return fmt.Sprintf("its message may quote a value that is encrypted in Git and is not repeated; see kubectl -n %s get kustomization %s", k.GetNamespace(), k.GetName())
}
