package auditor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Names of marks and labels that both engines leave on objects.
const (
	labelFlux1Mark      = "fluxcd.io/sync-gc-mark"
	annotationChecksum  = "fluxcd.io/sync-checksum"
	annotationLastApply = "kubectl.kubernetes.io/last-applied-configuration"
	labelKSName         = "kustomize.toolkit.fluxcd.io/name"
	labelKSNamespace    = "kustomize.toolkit.fluxcd.io/namespace"
	fluxoverPrefix      = "fluxover.dev/"
)

// Field is one difference between two states of an object.
type Field struct {
	// Path is for people: spec.template.spec.containers[app].image, with keys
	// that hold a dot or a slash in quotes.
	Path string `json:"path"`
	// Section is labels, annotations, finalizers, ownerReferences, spec,
	// podTemplate, data, or the name of another top-level field.
	Section string `json:"section"`
	// Before and After are compact JSON, cut to 80 characters; empty means
	// absent. Values of Secrets are hashes.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`

	tokens []token
}

// isContent tells whether the field counts as changed in the sense of the
// package comment, rather than as metadata.
func (f Field) isContent() bool {
	switch f.Section {
	case "labels", "annotations", "finalizers", "ownerReferences":
		return false
	}
	return true
}

// token is one step of a path; an element of a list has its index and, if it
// has one, its name.
type token struct {
	key   string
	index int // -1 for a key
}

// body is an object as a response or request shows it.
type body map[string]any

// decodeBody returns nil when raw holds no JSON object.
func decodeBody(raw []byte) body {
	if len(raw) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // large integers must compare exactly
	var b body
	if decoder.Decode(&b) != nil {
		return nil
	}
	return b
}

func child(m map[string]any, path ...string) map[string]any {
	for _, p := range path {
		next, ok := m[p].(map[string]any)
		if !ok {
			return nil
		}
		m = next
	}
	return m
}

func text(m map[string]any, path ...string) string {
	if len(path) > 1 {
		m = child(m, path[:len(path)-1]...)
	}
	s, _ := m[path[len(path)-1]].(string)
	return s
}

func number(m map[string]any, path ...string) (int64, bool) {
	if len(path) > 1 {
		m = child(m, path[:len(path)-1]...)
	}
	n, ok := m[path[len(path)-1]].(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

func list(m map[string]any, path ...string) []any {
	if len(path) > 1 {
		m = child(m, path[:len(path)-1]...)
	}
	l, _ := m[path[len(path)-1]].([]any)
	return l
}

func (b body) kind() string          { return text(b, "kind") }
func (b body) apiVersion() string    { return text(b, "apiVersion") }
func (b body) uid() string           { return text(b, "metadata", "uid") }
func (b body) label(k string) string { return text(b, "metadata", "labels", k) }
func (b body) annotation(k string) string {
	return text(b, "metadata", "annotations", k)
}

// resourceVersion is 0 when there is none, as in a dry-run.
func (b body) resourceVersion() uint64 {
	n, err := strconv.ParseUint(text(b, "metadata", "resourceVersion"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// isGone tells whether a response with this object means that it no longer
// exists: nothing delays its deletion any more.
func (b body) isGone() bool {
	if text(b, "metadata", "deletionTimestamp") == "" {
		return false
	}
	if len(list(b, "metadata", "finalizers")) > 0 {
		return false
	}
	if b.kind() == "Namespace" && len(list(b, "spec", "finalizers")) > 0 {
		return false
	}
	grace, ok := number(b, "metadata", "deletionGracePeriodSeconds")
	return !ok || grace == 0
}

// controlled tells whether another object controls this one.
func (b body) controlled() bool {
	for _, o := range list(b, "metadata", "ownerReferences") {
		if owner, ok := o.(map[string]any); ok && owner["controller"] == true {
			return true
		}
	}
	return false
}

// content is the part of an object that is compared: all but identity,
// bookkeeping and status. Contents of Secrets are replaced by hashes.
func (b body) content(secret bool) map[string]any {
	out := map[string]any{}
	for k, v := range b {
		switch k {
		case "apiVersion", "kind", "status", "metadata":
		default:
			out[k] = v
		}
	}
	meta := map[string]any{}
	for _, k := range []string{"labels", "annotations", "finalizers", "ownerReferences"} {
		if v, ok := child(b, "metadata")[k]; ok {
			meta[k] = v
		}
	}
	if len(meta) > 0 {
		out["metadata"] = meta
	}
	if secret {
		hideSecret(out)
	}
	return out
}

// hideSecret replaces every value that may hold a part of a Secret by its hash.
func hideSecret(content map[string]any) {
	for _, k := range []string{"data", "stringData"} {
		values, ok := content[k].(map[string]any)
		if !ok {
			continue
		}
		hidden := map[string]any{}
		for name, v := range values {
			hidden[name] = hash(v)
		}
		content[k] = hidden
	}
	annotations := child(content, "metadata", "annotations")
	if v, ok := annotations[annotationLastApply]; ok {
		copied := map[string]any{}
		for k, a := range annotations {
			copied[k] = a
		}
		copied[annotationLastApply] = hash(v)
		content["metadata"].(map[string]any)["annotations"] = copied
	}
}

func hash(v any) string {
	sum := sha256.Sum256([]byte(compact(v)))
	return "sha256:" + hex.EncodeToString(sum[:8])
}

func compact(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// differences lists what differs, in the order of the paths. Lists of the same
// length are compared element by element, others as a whole.
func differences(before, after map[string]any) []Field {
	var out []Field
	diffValue(nil, before, after, &out)
	return out
}

func diffValue(at []token, before, after any, out *[]Field) {
	if reflect.DeepEqual(before, after) {
		return
	}
	bm, bIsMap := before.(map[string]any)
	am, aIsMap := after.(map[string]any)
	// A map that appears or goes is taken apart, so that one added annotation
	// reads the same whether or not there were others.
	appears := (bIsMap || before == nil) && (aIsMap || after == nil) && len(at) < 3
	if keys := sortedKeys(bm, am); len(keys) > 0 && (appears || bIsMap && aIsMap) {
		for _, k := range keys {
			diffValue(append(slices.Clip(at), token{key: k, index: -1}), bm[k], am[k], out)
		}
		return
	}
	bl, bIsList := before.([]any)
	al, aIsList := after.([]any)
	if bIsList && aIsList && len(bl) == len(al) {
		for i := range bl {
			diffValue(append(slices.Clip(at), token{key: elementName(bl[i], al[i]), index: i}), bl[i], al[i], out)
		}
		return
	}
	*out = append(*out, Field{
		Path: pathText(at), Section: section(at), Before: brief(before), After: brief(after), tokens: slices.Clone(at),
	})
}

func sortedKeys(maps ...map[string]any) []string {
	var keys []string
	for _, m := range maps {
		for k := range m {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// elementName is the name both elements share, or empty.
func elementName(a, b any) string {
	am, _ := a.(map[string]any)
	bm, _ := b.(map[string]any)
	name, _ := am["name"].(string)
	if other, _ := bm["name"].(string); other != name {
		return ""
	}
	return name
}

func pathText(at []token) string {
	var s strings.Builder
	for i, t := range at {
		switch {
		case t.index >= 0 && t.key != "":
			s.WriteString("[" + t.key + "]")
		case t.index >= 0:
			s.WriteString("[" + strconv.Itoa(t.index) + "]")
		case strings.ContainsAny(t.key, "./[] "):
			s.WriteString("[" + strconv.Quote(t.key) + "]")
		default:
			if i > 0 {
				s.WriteString(".")
			}
			s.WriteString(t.key)
		}
	}
	return s.String()
}

func section(at []token) string {
	key := func(i int) string {
		if i < len(at) {
			return at[i].key
		}
		return ""
	}
	switch key(0) {
	case "metadata":
		return key(1)
	case "data", "binaryData", "stringData":
		return "data"
	case "spec":
		if key(1) == "template" || (key(1) == "jobTemplate" && key(2) == "spec" && key(3) == "template") {
			return "podTemplate"
		}
	}
	return key(0)
}

func brief(v any) string {
	if v == nil {
		return ""
	}
	const limit = 80
	s := compact(v)
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-3], "") + "..."
}
