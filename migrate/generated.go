package migrate

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/fluxcd/pkg/apis/kustomize"
	sigsyaml "sigs.k8s.io/yaml"
)

// builtPatches are the patches of an object that is built of a folder: what the
// .flux.yaml's patch file makes of it, and what [patches] do to any other. They
// are applied among the folder's own patches, before its kustomization file sets
// namespaces, prefixes and images (source: sigs.k8s.io/kustomize
// api/internal/target/kusttarget_configplugin.go), where fluxd patched what was
// built; whether that comes to the same, the proof tells.
func builtPatches(o *Object) []kustomize.Patch {
	var out []kustomize.Patch
	target := builtTarget(o)
	add := func(content map[string]any) {
		out = append(out, kustomize.Patch{Patch: yamlOf(content), Target: target})
	}
	if uncarried(o) == "" {
		for _, p := range o.Patches {
			content := withoutOrder(p.Object).(map[string]any)
			removals := takeAway(content)
			add(content)
			if removals != "" {
				out = append(out, kustomize.Patch{Patch: removals, Target: target})
			}
		}
	}
	// Annotations are merged: which the object has by then is not known.
	if added := additions(o); len(added) > 0 {
		annotations := map[string]any{}
		for _, a := range added {
			annotations[a.Key] = a.Value
		}
		add(map[string]any{
			"apiVersion": o.Manifest.GetAPIVersion(), "kind": o.Manifest.GetKind(),
			"metadata": map[string]any{"name": o.Manifest.GetName(), "annotations": annotations},
		})
	}
	if o.NamespaceFilled || o.NamespaceDropped {
		// A merged patch cannot set a namespace, so this is one of operations.
		out = append(out, kustomize.Patch{Patch: namespaceOperation(o), Target: target})
	}
	return out
}

// originAnnotation is where Kustomize notes where an object comes from.
const originAnnotation = "config.kubernetes.io/origin"

// noted is the annotation that Flux v2 has Kustomize write onto every object of
// a folder whose kustomization file names no resources, so that Kustomize does
// not take it for empty (source: fluxcd/pkg kustomize/kustomize_generator.go).
// No patch can keep it away that would not fail once the file names some.
func noted(o *Object) []Addition {
	if o.Build == nil || !o.Build.NoResources || o.Class == ClassIgnored {
		return nil
	}
	return []Addition{{
		Object: o.ID, Type: "annotation", Key: originAnnotation, Value: o.Origin,
		Why: "Flux v2 has Kustomize note it where a kustomization file names no resources but bases alone",
	}}
}

// generatedName is a name that ends in a hash of the content, in the letters
// that Kustomize uses for it (source: sigs.k8s.io/kustomize api/hasher/hasher.go).
var generatedName = regexp.MustCompile(`^(.+)-[bcdfghkmt2456789]{10}$`)

// builtTarget selects the object by what it is called when the folder's patches
// are applied: before its kustomization file sets a namespace, a prefix and a
// suffix, and before a hash is put behind the name of what is generated.
func builtTarget(o *Object) *kustomize.Selector {
	s := target(o)
	b := o.Build
	name, kind := o.Manifest.GetName(), o.Manifest.GroupVersionKind().GroupKind().String()
	switch kind {
	case "Namespace", "CustomResourceDefinition.apiextensions.k8s.io", "APIService.apiregistration.k8s.io":
		return s // they keep their names
	case "ConfigMap", "Secret":
		m := generatedName.FindStringSubmatch(name)
		if file := path.Base(o.File); m != nil && strings.HasPrefix(strings.ToLower(file), "kustomization") {
			name = m[1]
		}
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, b.NamePrefix), b.NameSuffix)
	s.Name = "^" + regexp.QuoteMeta(name) + "$"
	if b.Namespace != "" {
		s.Namespace = "" // it is not known what it was; there is one of that name afterwards
	}
	return s
}

// orderDirective begins the keys by which fluxd's patches tell the order of a
// list, which Kustomize does not read: what it merges stays where it is.
const orderDirective = "$setElementOrder/"

// withoutOrder copies a patch without its directives about the order of lists.
func withoutOrder(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, inner := range v {
			if !strings.HasPrefix(key, orderDirective) {
				out[key] = withoutOrder(inner)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = withoutOrder(inner)
		}
		return out
	}
	return v
}

// takeAway has a patch set the labels and annotations that it takes away, and gives the
// operations that remove them after it: with a target, Kustomize sets the text null for
// null, and an operation that removes what is not there fails the build, also of a later
// commit.
func takeAway(patch map[string]any) string {
	var ops strings.Builder
	metadata, _ := patch["metadata"].(map[string]any)
	for _, field := range []string{"annotations", "labels"} {
		given, _ := metadata[field].(map[string]any)
		for _, key := range sortedKeys(given) {
			if given[key] == nil {
				given[key] = ""
				fmt.Fprintf(&ops, "- op: remove\n  path: %q\n", "/metadata/"+field+"/"+strings.ReplaceAll(key, "/", "~1"))
			}
		}
	}
	return ops.String()
}

// keptByKustomize names labels or annotations that a patch takes away and [takeAway] does
// not: all of them at once, beside a directive, and keys that are no text to Kustomize.
func keptByKustomize(patch map[string]any) string {
	metadata, _ := patch["metadata"].(map[string]any)
	for _, field := range []string{"annotations", "labels"} {
		if all, has := metadata[field]; has && all == nil {
			return field
		}
		given, _ := metadata[field].(map[string]any)
		_, directive := given["$patch"]
		for _, key := range sortedKeys(given) {
			var read any
			err := sigsyaml.Unmarshal([]byte(key), &read)
			if _, text := read.(string); given[key] == nil && (directive || err != nil || !text || strings.Contains(key, "~")) {
				return field + " " + key
			}
		}
	}
	return ""
}

// uncarried says why what a patch file makes of an object cannot be written as
// patches of a Kustomization, in a clause; empty if it can.
func uncarried(o *Object) string {
	for _, p := range o.Patches {
		_, data := p.Object["data"]
		_, text := p.Object["stringData"]
		if o.Manifest.GroupVersionKind().GroupKind().String() == "Secret" && (data || text) {
			return "it sets values of a Secret, and a plan holds none"
		}
		if key := keptByKustomize(p.Object); key != "" {
			return fmt.Sprintf("Kustomize does not take away its %s", key)
		}
		if directive := strangeDirective(p.Object); directive != "" {
			return fmt.Sprintf("Kustomize does not read its directive %s", directive)
		}
	}
	return ""
}

// strangeDirective finds a directive of strategic merge patches that Kustomize
// would take for a field; of several, the first in the order of their names.
func strangeDirective(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			if strings.HasPrefix(key, "$") && key != "$patch" && !strings.HasPrefix(key, orderDirective) {
				return key
			}
			if found := strangeDirective(v[key]); found != "" {
				return found
			}
		}
	case []any:
		for _, inner := range v {
			if found := strangeDirective(inner); found != "" {
				return found
			}
		}
	}
	return ""
}

// namespaceOperation sets the namespace that an object has for fluxd. Where it
// has none, one is set first, so that the patch still applies once Git names none.
func namespaceOperation(o *Object) string {
	set := jsonAdd("/metadata/namespace", fmt.Sprintf("%q", o.Manifest.GetNamespace()))
	if o.NamespaceDropped {
		set += "- op: remove\n  path: /metadata/namespace\n"
	}
	return set
}

// yamlOf writes content that came out of YAML or JSON.
func yamlOf(content map[string]any) string {
	raw, err := sigsyaml.Marshal(content)
	if err != nil {
		panic(fmt.Sprintf("write a patch: %v", err)) // a programming error
	}
	return string(raw)
}
