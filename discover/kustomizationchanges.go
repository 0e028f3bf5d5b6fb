package discover

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apiskustomize "github.com/fluxcd/pkg/apis/kustomize"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/build"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	sigsyaml "sigs.k8s.io/yaml"
)

// What of a Kustomization of Flux v2 changes an object that it applies.

// decidesNothing are the fields of a Kustomization that change neither what it applies nor what it makes of
// it; variables are asked for by themselves.
var decidesNothing = []string{"postBuild", "decryption", "interval", "retryInterval", "timeout", "wait", "prune", "force", "dependsOn", "healthChecks", "healthCheckExprs", "deletionPolicy"}

// decides reports whether a patch of a Kustomization may change what that applies, or makes of it, or whether
// it is applied itself: in doubt it does, as where Kustomize may refuse it, and so applies nothing. Kustomize takes
// each document of a strategic merge, and keeps kind, name and namespace of what it merges that into (kustomize:
// api, resource.go and PatchTransformer.go).
func decides(p apiskustomize.Patch, k *unstructured.Unstructured) bool {
	if text := strings.TrimSpace(p.Patch); strings.HasPrefix(text, "[") && !json.Valid([]byte(text)) {
		return true // Kustomize refuses it
	}
	documents := 0
	for decoder := yaml.NewDecoder(strings.NewReader(p.Patch)); ; {
		var document any
		if err := decoder.Decode(&document); err != nil {
			return !errors.Is(err, io.EOF) || documents == 0 || documents > 1 && p.Target != nil
		}
		var changed [][]string // fields
		if document != nil {
			documents++
		}
		switch d := document.(type) {
		case nil: // nothing stands between two lines of dashes
		case []any:
			for _, operation := range d {
				o, _ := operation.(map[string]any)
				to, _ := o["path"].(string)
				from, _ := o["from"].(string)
				switch o["op"] {
				case "add", "replace":
					from = path.Dir(to)
				case "remove":
					from = to
				case "move", "copy":
					if !isThere(k, path.Dir(to)) {
						return true
					}
				default:
					return true // a test, or none
				}
				if !isThere(k, from) {
					return true
				}
				changed = append(changed, pointedAt(to))
				if o["op"] == "move" || o["op"] == "copy" {
					changed = append(changed, pointedAt(from))
				}
			}
		case map[string]any:
			if version, _ := d["apiVersion"].(string); strings.HasPrefix(version, kustomizev1.GroupVersion.Group+"/") {
				delete(d, "apiVersion")
			}
			delete(d, "kind")
			if of, _ := d["metadata"].(map[string]any); of != nil {
				delete(of, "name")
				delete(of, "namespace")
				if len(of) == 0 {
					delete(d, "metadata")
				}
			}
			changed = mergedFields(d)
		default:
			return true
		}
		if slices.ContainsFunc(changed, fieldDecides) {
			return true
		}
	}
}

// pointedAt is the field that a path of JSON names.
func pointedAt(path string) []string {
	field := strings.Split(path, "/")[1:]
	for i := range field {
		field[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(field[i])
	}
	return field
}

// isThere reports whether an object has the field that a path of JSON names, as it is written.
func isThere(u *unstructured.Unstructured, path string) bool {
	value, there, err := unstructured.NestedFieldNoCopy(u.Object, pointedAt(path)...)
	return there && value != nil && err == nil
}

// mergedFields are the fields that a merge changes, as far as three of them lie in each other.
func mergedFields(merged map[string]any, in ...string) (fields [][]string) {
	for name, value := range merged {
		at := append(slices.Clone(in), name)
		if inner, _ := value.(map[string]any); len(inner) > 0 && len(at) < 3 {
			fields = append(fields, mergedFields(inner, at...)...)
		} else {
			fields = append(fields, at)
		}
	}
	return fields
}

// fieldDecides reports whether a field of a Kustomization decides what that applies, or whether it is applied.
func fieldDecides(field []string) bool {
	switch {
	case len(field) > 1 && field[0] == "spec":
		return !slices.Contains(decidesNothing, field[1])
	case len(field) == 3 && field[0] == "metadata" && (field[1] == "labels" || field[1] == "annotations"):
		return strings.Contains(field[2], kustomizev1.GroupVersion.Group) || strings.HasPrefix(field[2], "$") // which deletes or replaces all
	}
	return true
}

// leftAlone are the marks, as labels or annotations, of what Flux v2 does not apply (kustomize-controller:
// kustomization_controller.go; fluxcd/pkg: ssa, manager_apply.go).
var leftAlone = map[string]string{
	kustomizev1.GroupVersion.Group + "/reconcile": kustomizev1.DisabledValue,
	kustomizev1.GroupVersion.Group + "/ssa":       kustomizev1.IgnoreValue,
}

// madeOnce are the marks of what Flux v2 makes where it is missing, and changes no more (fluxcd/pkg: ssa,
// manager_apply.go, shouldSkipApply).
var madeOnce = map[string]string{kustomizev1.GroupVersion.Group + "/ssa": kustomizev1.IfNotPresentValue}

// mayHaveMade says of what is marked so that a Kustomization may have made it.
func mayHaveMade(name string) string {
	return fmt.Sprintf("Kustomization %s of Flux v2 may have made it, and changes it no more (%s/ssa: %s)", name, kustomizev1.GroupVersion.Group, kustomizev1.IfNotPresentValue)
}

// leaves reports whether an object has one of these marks, and a Kustomization leaves it there.
func (c *checkout) leaves(marks map[string]string, set declaration, k, o flux1.Parsed) bool {
	if !ssautil.AnyInMetadata(o.Manifest, marks) {
		return false
	}
	common, _, _ := unstructured.NestedFieldNoCopy(k.Manifest.Object, "spec", "commonMetadata")
	by := c.changes(set, k, o)
	return !slices.Contains(by, "patches") && !slices.Contains(by, "components") && !holds(common, kustomizev1.GroupVersion.Group)
}

// changes are the fields by which a Kustomization of Flux v2 changes what is told of an object that
// it applies to what is not known. What becomes of images is asked here where a folder has others.
func (c *checkout) changes(set declaration, k, o flux1.Parsed) []string {
	u := k.Manifest
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, path...)...)
		return s
	}
	var by []string
	if target := text("targetNamespace"); target != "" && target != o.Manifest.GetNamespace() {
		by = append(by, "targetNamespace")
	}
	if to, _, _ := unstructured.NestedMap(u.Object, "spec", "kubeConfig"); len(to) > 0 {
		by = append(by, "kubeConfig") // of another cluster, or as somebody else
	}
	for _, field := range []string{"namePrefix", "nameSuffix"} {
		if text(field) != "" {
			by = append(by, field)
		}
	}
	if patches, known := c.patchesBy(set, k, o); !known || len(patches) > 0 {
		by = append(by, "patches")
	}
	if components, _, _ := unstructured.NestedSlice(u.Object, "spec", "components"); len(components) > 0 {
		by = append(by, "components")
	}
	labels, _, _ := unstructured.NestedStringMap(u.Object, "spec", "commonMetadata", "labels")
	if chartVersionOf(labels) != chartVersionOf(o.Manifest.GetLabels()) && chartVersionOf(labels) != "" {
		by = append(by, "commonMetadata")
	}
	if images, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "images"); images != nil && set.dir != "" &&
		slices.ContainsFunc(c.reached(set.dir), func(r *overlay) bool { return imagesKey.Match(r.content) }) {
		by = append(by, "images") // which are put among those
	}
	return by
}

// imagesKey begins the images of a kustomization file.
var imagesKey = regexp.MustCompile(`(?m)^\s*["']?images["']?\s*:`)

// changedBy says which Kustomization of Flux v2 applies an object, as far as the repository
// tells, and changes what is told of it; empty if none does.
func (c *checkout) changedBy(set declaration, o flux1.Parsed) string {
	for _, k := range c.appliedBy(set, o) {
		if by := c.changes(set, k.Parsed, o); len(by) > 0 {
			return c.changesIt(k.Parsed, by, k.doubt.why)
		}
	}
	return ""
}

// changesIt says by which fields a Kustomization changes an object to what is not known.
func (c *checkout) changesIt(k flux1.Parsed, fields []string, unsure string) string {
	does, and := "applies", ""
	if unsure != "" {
		does, and = "may apply", " ("+unsure+")"
	}
	if suspended(k) {
		and += " and is suspended"
	}
	return fmt.Sprintf("Kustomization %s, which "+does+" it%s, changes it to what is not known here (spec.%s)", c.nameOf(k), and, strings.Join(fields, ", spec."))
}

// nameOf is a Kustomization for people.
func (c *checkout) nameOf(k flux1.Parsed) string {
	return strings.TrimPrefix(cmp.Or(k.Manifest.GetNamespace(), c.agent.DefaultNamespace)+"/"+k.Manifest.GetName(), "/")
}

// suspended reports whether a Kustomization, or a HelmRelease, is, or may be, suspended: then it applies
// nothing. It may have done so before, and go on at any time, so that of what it changes nothing is known.
func suspended(k flux1.Parsed) bool {
	value, _, _ := unstructured.NestedFieldNoCopy(k.Manifest.Object, "spec", "suspend")
	return value != nil && value != false
}

// suspendedBy says of an agent that a Kustomization which is suspended applies it.
func suspendedBy(name, id string) string {
	return fmt.Sprintf("Kustomization %s of Flux v2, which applies it, is suspended: what is told of agent %s is what it says; what runs may be of an earlier commit, or nothing, until that goes on", name, id)
}

// namesVariable is a patch that names what it is for by a variable.
var namesVariable = regexp.MustCompile(`(?m)\b(?:kind|name|namespace)["']?:[^\n]*\$\{`)

// patchesBy are the patches of a Kustomization of Flux v2 that are of an object, by what Kustomize
// goes by; known is false if that is not told of all.
func (c *checkout) patchesBy(set declaration, k, o flux1.Parsed) (out []apiskustomize.Patch, known bool) {
	objects := []*unstructured.Unstructured{o.Manifest}
	if set.dir != "" { // by what it was before it was changed, too
		for _, written := range c.objectsIn(o.File) {
			if written.Line == o.Line && written.Manifest.GetKind() == o.Manifest.GetKind() {
				objects = append(objects, written.Manifest)
			}
		}
	}
	known = true
	for _, field := range []string{"patches", "patchesStrategicMerge", "patchesJson6902"} { // the last two of before v1
		value, _, _ := unstructured.NestedFieldNoCopy(k.Manifest.Object, "spec", field)
		list, isList := value.([]any)
		known = known && (isList || value == nil)
		for _, x := range list {
			m, _ := x.(map[string]any)
			if field == "patchesStrategicMerge" {
				m = map[string]any{"patch": x}
			}
			p, ok := patchOf(m)
			if !c.look(10 + len(p.Patch)/10) {
				return nil, false
			}
			if !ok || substitutes(k.Manifest) && (holds(m["target"], "${") || p.Target == nil && namesVariable.MatchString(p.Patch)) {
				known = false
				continue
			}
			for _, u := range objects {
				selects, err := build.Selects(p, u)
				known = known && err == nil
				if selects {
					out = append(out, p)
					break
				}
			}
		}
	}
	return out, known
}

// patchOf reads a patch of a Kustomization; ok is false if it is none.
func patchOf(m map[string]any) (p apiskustomize.Patch, ok bool) {
	m = maps.Clone(m)
	if _, isText := m["patch"].(string); !isText && m["patch"] != nil { // as they were before v1
		text, err := sigsyaml.Marshal(m["patch"])
		if err != nil {
			return p, false
		}
		m["patch"] = string(text)
	}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &p)
	return p, err == nil && p.Patch != ""
}
