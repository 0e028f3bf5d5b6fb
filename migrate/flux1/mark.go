package flux1

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// MarkLabel is the label by which fluxd knows what it applied. It is put on
// every object, also when garbage collection is off (flux:
// pkg/cluster/kubernetes/sync.go).
const MarkLabel = "fluxcd.io/sync-gc-mark"

// OldMarkLabel is MarkLabel as fluxd before 1.14 wrote it.
const OldMarkLabel = "flux.weave.works/sync-gc-mark"

// ChecksumAnnotation goes with MarkLabel.
const ChecksumAnnotation = "fluxcd.io/sync-checksum"

// OldChecksumAnnotation goes with OldMarkLabel.
const OldChecksumAnnotation = "flux.weave.works/sync-checksum"

// LastApplied is the annotation in which kubectl notes what it applied, as JSON.
const LastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// SyncMarkAnnotation of the deploy key's Secret holds the commit last synced
// when an agent keeps its state in a Secret (flux: pkg/sync/secret.go).
const SyncMarkAnnotation = "flux.weave.works/sync-hwm"

// ClusterScope stands for the namespace of objects that have none.
const ClusterScope = "<cluster>"

// ResourceID is fluxd's name of an object, "<namespace>:<kind>/<name>" with
// the kind in lower case; the namespace is empty for objects that have none.
// The API group is not part of it (flux: pkg/resource/id.go).
func ResourceID(namespace, kind, name string) string {
	if namespace == "" {
		namespace = ClusterScope
	}
	return namespace + ":" + strings.ToLower(kind) + "/" + name
}

// SetName names what one agent syncs: a hash of what [SafeURL] gives for its
// URL, its branch and its paths as configured, simply put one after the other
// (flux: pkg/daemon/sync.go).
func SetName(safeURL, branch string, paths []string) string {
	h := sha256.New()
	_, _ = io.WriteString(h, safeURL) // a hash never fails to write
	_, _ = io.WriteString(h, branch)
	for _, p := range paths {
		_, _ = io.WriteString(h, p)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Mark is the value of MarkLabel on the object with the given ResourceID,
// when the agent that syncs the set applied it (flux:
// pkg/cluster/kubernetes/sync.go).
func Mark(setName, resourceID string) string {
	sum := sha256.Sum256([]byte(setName + resourceID))
	return "sha256." + base64.RawURLEncoding.EncodeToString(sum[:])
}

// checksum is the value of ChecksumAnnotation on an object that fluxd read as text:
// a document, or an item of a list, as yaml.v2 writes it again, before a namespace
// is filled in. It is empty for an object that has the annotation in Git, where
// fluxd keeps that (flux: pkg/cluster/kubernetes/sync.go).
func checksum(h head, text []byte) string {
	if h.Metadata.Annotations[ChecksumAnnotation] != "" {
		return ""
	}
	sum := sha1.Sum(text)
	return hex.EncodeToString(sum[:])
}

// Applied reports whether kubectl's note on a live object, the value of
// [LastApplied], says what the manifest says, but for the namespace and what fluxd
// adds. It is false for what is no such note.
func Applied(note string, manifest *unstructured.Unstructured) bool {
	noted := map[string]any{}
	if manifest == nil || utiljson.Unmarshal([]byte(note), &noted) != nil {
		return false
	}
	return reflect.DeepEqual(asGiven(noted), asGiven(manifest.DeepCopy().Object))
}

// asGiven takes away from an object what fluxd or kubectl adds when it is applied.
func asGiven(object map[string]any) map[string]any {
	metadata, _ := object["metadata"].(map[string]any)
	delete(metadata, "namespace")
	for field, keys := range map[string][]string{"labels": {MarkLabel, OldMarkLabel}, "annotations": {ChecksumAnnotation, OldChecksumAnnotation, LastApplied}} {
		values, isMap := metadata[field].(map[string]any)
		for _, key := range keys {
			delete(values, key)
		}
		if isMap && len(values) == 0 || metadata[field] == nil {
			delete(metadata, field)
		}
	}
	return object
}
