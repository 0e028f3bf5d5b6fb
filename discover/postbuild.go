package discover

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/envsubst"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// What Flux v2 puts in the place of variables (kustomize-controller: spec.postBuild; fluxcd/pkg: kustomize,
// kustomize_varsub.go).

// maySubstitute says why what holds a variable is not known.
const maySubstitute = "kustomize-controller may substitute it"

// substitutes reports whether a Kustomization of Flux v2 may put values in the place of variables
// of an object (kustomize-controller: spec.postBuild; it leaves those out that say so).
func substitutes(u *unstructured.Unstructured) bool {
	const key, disabled = "kustomize.toolkit.fluxcd.io/substitute", "disabled"
	return u.GetLabels()[key] != disabled && u.GetAnnotations()[key] != disabled
}

// substituted are values of an object of Flux v2, of which those that hold variables are not known.
func substituted(v any) any {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "${") {
			return chart.Unknown{Cause: maySubstitute}
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = substituted(e)
		}
		return out
	case map[string]any:
		out, open := map[string]any{}, false
		for k, e := range v {
			if strings.Contains(k, "${") {
				open = true
				continue
			}
			out[k] = substituted(e)
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
	// none is true if nothing is put in the place of any.
	none bool
}

// variablesOf are those of a Kustomization, if the repository holds it as it is applied: without any
// variable the controller leaves all as it is written, unless it is told otherwise
// (kustomize-controller: kustomization_controller.go; fluxcd/pkg: kustomize_varsub.go).
func (c *checkout) variablesOf(set declaration, k flux1.Parsed) postBuild {
	out, known := set.by.variables[k.Manifest]
	if !known {
		out = c.readVariables(set, k)
		set.by.variables[k.Manifest] = out
	}
	return out
}

func (c *checkout) readVariables(set declaration, k flux1.Parsed) postBuild {
	if c.changedBy(declaration{beside: set.beside, by: set.by}, k) != "" {
		return postBuild{}
	}
	value, _, _ := unstructured.NestedFieldNoCopy(k.Manifest.Object, "spec", "postBuild")
	if value == nil {
		return postBuild{none: true}
	}
	post, isMap := value.(map[string]any)
	given, givenMap := post["substitute"].(map[string]any)
	from, fromList := post["substituteFrom"].([]any)
	strategy := cmp.Or[any](post["substituteStrategy"], "")
	always := strategy == string(kustomizev1.SubstituteStrategyAlways)
	if !isMap || !givenMap && post["substitute"] != nil || !fromList && post["substituteFrom"] != nil || !always && strategy != "" && strategy != string(kustomizev1.SubstituteStrategyWithVariables) {
		return postBuild{}
	}
	out := postBuild{values: map[string]string{}, whole: len(from) == 0, none: len(from)+len(given) == 0 && !always}
	for name, v := range given {
		text, ok := v.(string)
		if !ok || strings.Contains(text, "${") && substitutes(k.Manifest) || chart.NamesSecret(name) {
			out.whole = false // nor is a secret put where it would be told
			continue
		}
		out.values[name] = strings.ReplaceAll(text, "\n", "")
	}
	return out
}

// mayFill reports whether Flux v2 may put values in the place of variables of an object: who is not
// known to apply it may do so.
func (c *checkout) mayFill(set declaration, o flux1.Parsed) bool {
	by := c.appliedBy(set, o)
	return substitutes(o.Manifest) && (len(by) == 0 || slices.ContainsFunc(by, func(k applier) bool { return !c.variablesOf(set, k.Parsed).none }))
}

// filled is an object with values in the place of variables.
func (v postBuild) filled(u *unstructured.Unstructured) *unstructured.Unstructured {
	object, _ := v.fill(u.Object).(map[string]any)
	return &unstructured.Unstructured{Object: object}
}

// ofVariables is what variables may make, from the first to the last of a text.
var ofVariables = regexp.MustCompile(`(?s)\$\{.*\}`)

// fill puts values in the place of variables, and the placeholder where they are not known. As the
// controller reads the YAML that comes of it once more, a text may become something else.
func (v postBuild) fill(value any) any {
	if v.none {
		return value
	}
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
