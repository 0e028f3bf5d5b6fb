package discover

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// What a Kustomization of Flux v2 makes of the objects that it applies: changes by its spec, and
// variables (kustomize-controller: api/v1, kustomization_types.go; fluxcd/pkg: kustomize,
// kustomize_generator.go and kustomize_varsub.go).

func isKustomization2(u *unstructured.Unstructured) bool {
	return u.GetKind() == "Kustomization" && u.GroupVersionKind().Group == "kustomize.toolkit.fluxcd.io"
}

// appliedBy are the Kustomizations of Flux v2 that apply an object of a set, as far as the
// repository tells.
func (c *checkout) appliedBy(set declaration, o flux1.Parsed) []flux1.Parsed {
	var out []flux1.Parsed
	for _, k := range set.beside {
		u := k.Manifest
		if !isKustomization2(u) || slices.ContainsFunc(out, func(o flux1.Parsed) bool { return o.File == k.File && o.Line == k.Line }) { // of the set, and of all
			continue
		}
		text := func(path ...string) string {
			s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, path...)...)
			return s
		}
		own := cmp.Or(u.GetNamespace(), c.agent.DefaultNamespace)
		of := c.sourceIn(set.beside, text("sourceRef", "kind"), cmp.Or(text("sourceRef", "namespace"), own), text("sourceRef", "name"))
		if of != nil && c.agent.Git.URL != "" {
			if url, _, _ := unstructured.NestedString(of.Object, "spec", "url"); of.GetKind() == "GitRepository" && !strings.Contains(url, "${") && !SameRepository(url, c.agent.Git.URL) {
				continue // it applies another one
			}
		}
		dir := strings.Trim(path.Clean("/"+text("path")), "/")
		if within := func(name string) bool { return dir == "" || name == dir || strings.HasPrefix(name, dir+"/") }; within(o.File) || within(set.dir) {
			out = append(out, k)
		}
	}
	return out
}

// changedBy says which Kustomization of Flux v2 applies an object, as far as the repository
// tells, and changes what is told of it; empty if none does. What becomes of images is not asked
// here.
func (c *checkout) changedBy(set declaration, o flux1.Parsed) string {
	for _, k := range c.appliedBy(set, o) {
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
		if patches(u, o.Manifest) {
			by = append(by, "patches")
		}
		if components, _, _ := unstructured.NestedSlice(u.Object, "spec", "components"); len(components) > 0 {
			by = append(by, "components")
		}
		labels, _, _ := unstructured.NestedStringMap(u.Object, "spec", "commonMetadata", "labels")
		if chartVersionOf(labels) != chartVersionOf(o.Manifest.GetLabels()) && chartVersionOf(labels) != "" {
			by = append(by, "commonMetadata")
		}
		if len(by) > 0 {
			return fmt.Sprintf("Kustomization %s, which applies it, changes it to what is not known here (spec.%s)",
				strings.TrimPrefix(cmp.Or(u.GetNamespace(), c.agent.DefaultNamespace)+"/"+u.GetName(), "/"), strings.Join(by, ", spec."))
		}
	}
	return ""
}

// patches reports whether a patch of a Kustomization of Flux v2 may be of an object.
func patches(u, of *unstructured.Unstructured) bool {
	kind, name := of.GetKind(), of.GetName()
	for _, field := range []string{"patches", "patchesStrategicMerge", "patchesJson6902"} {
		patches, _, _ := unstructured.NestedSlice(u.Object, "spec", field)
		for _, x := range patches {
			m, _ := x.(map[string]any)
			target, targeted := m["target"].(map[string]any)
			if !targeted {
				if text := fmt.Sprint(x); strings.Contains(text, kind) && strings.Contains(text, name) {
					return true
				}
				continue
			}
			fits := func(key, value string) bool { // Kustomize matches the whole of it
				of, err := regexp.Compile("^(?:" + scalarText(target[key]) + ")$")
				return scalarText(target[key]) == "" || err != nil || of.MatchString(value)
			}
			if fits("kind", kind) && fits("name", name) {
				return true
			}
		}
	}
	return false
}

// imageOf is the image of a container after what Kustomizations of Flux v2 put in its place, and
// why it is not known: they do not agree, or may substitute a part of it.
func (c *checkout) imageOf(set declaration, o flux1.Parsed, image string) (made, why string) {
	if strings.Contains(image, placeholder) {
		return "", maySubstitute
	}
	name, rest := image, ""
	if i := strings.IndexAny(image[strings.LastIndex(image, "/")+1:], ":@"); i >= 0 {
		i += strings.LastIndex(image, "/") + 1
		name, rest = image[:i], image[i:]
	}
	made = image
	for i, k := range c.appliedBy(set, o) {
		now := image
		images, _, _ := unstructured.NestedSlice(k.Manifest.Object, "spec", "images")
		for _, x := range images {
			m, _ := x.(map[string]any)
			if scalarText(m["name"]) != name {
				continue
			}
			tag, digest := scalarText(m["newTag"]), scalarText(m["digest"])
			now = cmp.Or(scalarText(m["newName"]), name)
			if tag+digest == "" {
				now += rest
			}
			if tag != "" {
				now += ":" + tag
			}
			if digest != "" {
				now += "@" + digest
			}
		}
		switch {
		case strings.Contains(now, "${"):
			return "", maySubstitute
		case i > 0 && now != made:
			return "", "Kustomizations of Flux v2, which apply it, make different ones of it"
		}
		made = now
	}
	return made, ""
}

// maySubstitute says why what holds a variable is not known.
const maySubstitute = "kustomize-controller may substitute it"

// substitutes reports whether a Kustomization of Flux v2 may put values in the place of variables
// of an object (kustomize-controller: spec.postBuild; it leaves those out that say so).
func substitutes(u *unstructured.Unstructured) bool {
	const key, disabled = "kustomize.toolkit.fluxcd.io/substitute", "disabled"
	return u.GetLabels()[key] != disabled && u.GetAnnotations()[key] != disabled
}

// substituted are values of an object of Flux v2, of which those that hold variables are not known.
func substituted(u *unstructured.Unstructured, v any) any {
	if !substitutes(u) {
		return v
	}
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "${") {
			return chart.Unknown{Cause: maySubstitute}
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = substituted(u, e)
		}
		return out
	case map[string]any:
		out, open := map[string]any{}, false
		for k, e := range v {
			if strings.Contains(k, "${") {
				open = true
				continue
			}
			out[k] = substituted(u, e)
		}
		if open {
			return chart.Partial{Known: out, Cause: maySubstitute}
		}
		return out
	}
	return v
}

// postBuild is what is put in the place of variables of an object.
type postBuild struct {
	values map[string]string
	// whole is true if no other variable gets a value, so that defaults are taken.
	whole bool
}

// variablesOf are those of the one Kustomization that applies an object, if the repository holds
// it as it is applied.
func (c *checkout) variablesOf(set declaration, o flux1.Parsed) postBuild {
	by := c.appliedBy(set, o)
	if len(by) != 1 || c.changedBy(set, by[0]) != "" {
		return postBuild{}
	}
	post, _, _ := unstructured.NestedMap(by[0].Manifest.Object, "spec", "postBuild")
	given, _ := post["substitute"].(map[string]any)
	from, _ := post["substituteFrom"].([]any)
	out := postBuild{values: map[string]string{}, whole: len(from) == 0 && (len(given) > 0 || post["substituteStrategy"] == "Always")}
	for name, v := range given {
		text, ok := v.(string)
		if !ok || strings.Contains(text, "${") && substitutes(by[0].Manifest) || chart.NamesSecret(name) {
			out.whole = false // nor is a secret put where it would be told
			continue
		}
		out.values[name] = strings.ReplaceAll(text, "\n", "")
	}
	return out
}

// ofVariables is what variables may make, from the first to the last of a text.
var ofVariables = regexp.MustCompile(`(?s)\$\{.*\}`)

// fill puts values in the place of variables, and the placeholder where they are not known. As the
// controller reads the YAML that comes of it once more, a text may become something else.
func (v postBuild) fill(value any) any {
	switch value := value.(type) {
	case string:
		if !strings.Contains(value, "${") {
			return value
		}
		open := false
		text, err := envsubst.Eval(value, func(name string) (string, bool) {
			s, ok := v.values[name]
			open = open || !ok && !v.whole
			return s, ok
		})
		var read any
		if err != nil || open || sigsyaml.Unmarshal([]byte(text), &read) != nil {
			return ofVariables.ReplaceAllLiteralString(value, placeholder)
		}
		switch read := read.(type) {
		case string:
			if read == text {
				return text
			}
		case float64:
			if read == float64(int64(read)) {
				return int64(read)
			}
		case bool:
			return read
		}
		return ofVariables.ReplaceAllLiteralString(value, placeholder)
	case []any:
		out := make([]any, len(value))
		for i, e := range value {
			out[i] = v.fill(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(value))
		for k, e := range value {
			out[fmt.Sprint(v.fill(k))] = v.fill(e)
		}
		return out
	}
	return value
}

// deploymentIn is the Deployment that an object is, with the placeholder in the place of variables
// that are not known; nil if it is none. open are the numbers among its fields that are not known.
func (c *checkout) deploymentIn(set declaration, o flux1.Parsed) (d *appsv1.Deployment, open []string) {
	u := o.Manifest
	if substitutes(u) && holds(u.Object, "${") {
		object, _ := c.variablesOf(set, o).fill(u.Object).(map[string]any)
		u = &unstructured.Unstructured{Object: object}
		isOpen := func(v any) bool { return holds(v, placeholder) }
		if spec, _ := object["spec"].(map[string]any); isOpen(spec["replicas"]) {
			delete(spec, "replicas")
			open = append(open, "replicas")
		}
		containers, _, _ := unstructured.NestedSlice(object, "spec", "template", "spec", "containers")
		for _, k := range containers {
			if k, _ := k.(map[string]any); k != nil && isOpen(k["resources"]) {
				delete(k, "resources")
				if !slices.Contains(open, "requests") {
					open = append(open, "requests")
				}
			}
		}
		if len(containers) > 0 {
			_ = unstructured.SetNestedSlice(object, containers, "spec", "template", "spec", "containers")
		}
	}
	d, ok := typed[appsv1.Deployment](u)
	if !ok {
		return nil, nil
	}
	return d, open
}

// holds reports whether a text stands anywhere in a value.
func holds(v any, text string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, text)
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return holds(e, text) })
	case map[string]any:
		for k, e := range v {
			if strings.Contains(k, text) || holds(e, text) {
				return true
			}
		}
	}
	return false
}

// notSubstituted says of what is around the arguments of a container in Git why it is not known.
func (e *environment) notSubstituted() {
	isOpen := func(v any) bool {
		text, err := json.Marshal(v)
		return err != nil || strings.Contains(string(text), placeholder)
	}
	for i, v := range e.container.Env {
		switch {
		case strings.Contains(v.Name, placeholder):
			e.unnamed = maySubstitute
		case isOpen(v):
			if e.causes == nil {
				e.causes = map[int]string{}
			}
			e.causes[i] = maySubstitute
		}
	}
	if isOpen(e.container.EnvFrom) {
		e.unsourced = maySubstitute
	}
	if isOpen([]any{e.container.VolumeMounts, e.pod.Volumes}) {
		e.unmounted, e.unkeyed, e.kubeconfig = maySubstitute, maySubstitute, maySubstitute
	}
}
