package build

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	apiskustomize "github.com/fluxcd/pkg/apis/kustomize"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// mark is what a patch does that sets annotations and no more on what it selects.
type mark struct {
	target      *kustypes.SelectorRegex
	namespaced  bool // whether it selects by namespace, too
	annotations map[string]any
}

// marks are found by the name that they select, as most select one.
type marks struct {
	all    []mark
	byName map[string][]int // places in all, in their order
	others []int            // of those that select by more than a name
}

// oneName is a selector of names that is a name itself.
var oneName = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

func (m *marks) add(next mark, name string) {
	if oneName.MatchString(name) {
		m.byName[name] = append(m.byName[name], len(m.all))
	} else {
		m.others = append(m.others, len(m.all))
	}
	m.all = append(m.all, next)
}

// of are the marks that may select an object of a name, in their order.
func (m *marks) of(name string) []int {
	out := slices.Concat(m.byName[name], m.others)
	slices.Sort(out)
	return out
}

// marksOf reads patches as a plan writes them to mark objects. It says no (ok
// false) if one does anything else, or might.
func marksOf(patches []apiskustomize.Patch) (out *marks, ok bool) {
	out = &marks{byName: map[string][]int{}}
	for _, p := range patches {
		if p.Target == nil || p.Target.LabelSelector != "" || p.Target.AnnotationSelector != "" || strings.Contains(p.Patch, "---") {
			return nil, false
		}
		target, err := kustypes.NewSelectorRegex(selector(p.Target))
		if err != nil {
			return nil, false
		}
		var operations []map[string]any
		if err := yaml.UnmarshalStrict([]byte(p.Patch), &operations); err != nil || len(operations) == 0 {
			return nil, false
		}
		m := mark{target: target, namespaced: p.Target.Namespace != "", annotations: map[string]any{}}
		for _, o := range operations {
			at, _ := o["path"].(string)
			step, found := strings.CutPrefix(at, "/metadata/annotations/")
			key := strings.ReplaceAll(step, "~1", "/")
			value, text := o["value"].(string)
			if len(o) != 3 || o["op"] != "add" || !found || strings.Contains(step, "/") || !text || !plainText(value) || !annotationKey.MatchString(key) || ofKustomize(key) {
				return nil, false
			}
			m.annotations[key] = value
		}
		out.add(m, p.Target.Name)
	}
	return out, true
}

var annotationKey = regexp.MustCompile(`^([a-z0-9][a-z0-9.-]*/)?[A-Za-z][A-Za-z0-9._-]*$`)

// ofKustomize reports whether an annotation means something to kustomize itself.
func ofKustomize(key string) bool {
	return slices.ContainsFunc([]string{"config.kubernetes.io/", "config.k8s.io/", "kustomize.config"}, func(part string) bool { return strings.Contains(key, part) })
}

// put sets the annotations of the marks that select an object. ok is false if
// kustomize has to say whether one does.
func put(marks *marks, apiVersion, kind string, meta map[string]any) (changed, ok bool) {
	name, _ := meta["name"].(string)
	namespace, _ := meta["namespace"].(string)
	if namespace == "" {
		namespace = resid.DefaultNamespace
	}
	gvk := resid.Gvk{Kind: kind}
	gvk.Group, gvk.Version = resid.ParseGroupVersion(apiVersion)
	for _, i := range marks.of(name) {
		m := &marks.all[i]
		if !m.target.MatchName(name) || !m.target.MatchGvk(gvk) {
			continue
		}
		// What has no namespace to kustomize is in none, whatever it says.
		if m.namespaced && !namespacedKinds[apiVersion+"/"+kind] && (!strings.Contains(gvk.Group, ".") || strings.HasSuffix(gvk.Group, ".k8s.io")) {
			return false, false
		}
		if !m.target.MatchNamespace(namespace) {
			continue
		}
		annotations, _ := meta["annotations"].(map[string]any)
		if annotations == nil {
			annotations = map[string]any{}
			meta["annotations"] = annotations
		}
		maps.Copy(annotations, m.annotations)
		changed = true
	}
	return changed, true
}
