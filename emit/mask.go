package emit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate/proof"
)

// secretPaths are the fields of a Secret whose values are never shown. kubectl
// keeps a copy of them in an annotation.
func secretPath(steps []step) bool {
	switch {
	case len(steps) > 0 && (steps[0].field == "data" || steps[0].field == "stringData"):
		return true
	case len(steps) == 3 && steps[1].field == "annotations":
		return steps[2].field == "kubectl.kubernetes.io/last-applied-configuration"
	}
	return false
}

// encryptedPath are the fields of an object from an encrypted file whose values
// are never shown: all but what names it.
func encryptedPath(steps []step) bool {
	return len(steps) > 0 && steps[0].field != "apiVersion" && steps[0].field != "kind" &&
		(steps[0].field != "metadata" || len(steps) > 1 && steps[1].field == "annotations")
}

// encryptedValue reports whether SOPS wrote a value.
func encryptedValue(v any) bool {
	s, ok := v.(string)
	return ok && strings.HasPrefix(s, "ENC[")
}

// encrypted reports whether SOPS wrote an object, or a value in it.
func encrypted(u *unstructured.Unstructured) bool {
	if u == nil {
		return false
	}
	if _, is := u.Object["sops"]; is {
		return true
	}
	var within func(v any) bool
	within = func(v any) bool {
		switch v := v.(type) {
		case map[string]any:
			for _, below := range v {
				if within(below) {
					return true
				}
			}
		case []any:
			return slices.ContainsFunc(v, within)
		}
		return encryptedValue(v)
	}
	return within(u.Object)
}

// masks tells which values of an object must be masked, or nil if none. A file
// that is encrypted is not known by what was decrypted: fromEncrypted says it.
func masks(e *proof.Evidence, fromEncrypted bool) func([]step) bool {
	for _, u := range []*unstructured.Unstructured{e.Old, e.New, e.Live, e.After} {
		switch {
		case fromEncrypted || e.Encrypted || encrypted(u):
			return encryptedPath
		case u != nil && u.GetKind() == "Secret" && u.GroupVersionKind().Group == "" && !encrypted(e.Old) && !encrypted(e.New):
			return secretPath
		}
	}
	return nil
}

// mask replaces, in all versions of one object, each value that secret names by
// a mark. Marks at one place are equal if and only if the values are, so that no
// change is lost; they tell nothing else, not even a length.
func mask(versions []map[string]any, secret func([]step) bool) []map[string]any {
	in := make([]any, len(versions))
	for i, v := range versions {
		if v != nil {
			in[i] = v
		}
	}
	out := make([]map[string]any, len(versions))
	for i, v := range maskAt(nil, in, secret) {
		out[i], _ = v.(map[string]any)
	}
	return out
}

func maskAt(steps []step, versions []any, secret func([]step) bool) []any {
	out := make([]any, len(versions))
	keys, all := fieldsOf(versions)
	if all && len(keys) > 0 {
		for i, v := range versions {
			if m, ok := v.(map[string]any); ok {
				out[i] = make(map[string]any, len(m))
			}
		}
		for key := range keys {
			below := make([]any, len(versions))
			for i, v := range versions {
				m, _ := v.(map[string]any)
				below[i] = m[key]
			}
			for i, v := range maskAt(append(steps[:len(steps):len(steps)], step{field: key}), below, secret) {
				if m, ok := versions[i].(map[string]any); ok {
					if _, has := m[key]; has {
						out[i].(map[string]any)[key] = v
					}
				}
			}
		}
		return out
	}
	if secret(steps) {
		return marksFor(versions)
	}
	for i, v := range versions {
		if out[i] = v; len(keys) == 0 {
			continue
		}
		if m, ok := v.(map[string]any); ok { // beside something that is none
			out[i] = maskAt(steps, []any{m}, secret)[0]
		}
	}
	return out
}

// fieldsOf gives the keys of those versions that are maps, and whether each is
// one or absent.
func fieldsOf(versions []any) (keys map[string]bool, all bool) {
	keys, all = map[string]bool{}, true
	for _, v := range versions {
		m, ok := v.(map[string]any)
		all = all && (ok || v == nil)
		for k := range m {
			keys[k] = true
		}
	}
	return keys, all
}

// marksFor gives one mark per distinct value: "***" if there is one, else with
// a letter each.
func marksFor(versions []any) []any {
	marks := map[string]int{}
	texts := make([]string, len(versions))
	sops := map[string]bool{}
	for i, v := range versions {
		if v == nil {
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			raw = fmt.Appendf(nil, "%#v", v)
		}
		texts[i] = string(raw)
		if _, seen := marks[texts[i]]; !seen {
			marks[texts[i]] = len(marks)
		}
		sops[texts[i]] = encryptedValue(v)
	}
	out := make([]any, len(versions))
	for i, v := range versions {
		switch text := texts[i]; {
		case v == nil:
		case sops[text]:
			out[i] = "*** (encrypted)"
			if len(marks) > 1 {
				out[i] = fmt.Sprintf("*** (encrypted, %c)", 'A'+marks[text])
			}
		case len(marks) == 1:
			out[i] = "***"
		default:
			out[i] = fmt.Sprintf("*** (%c)", 'A'+marks[text])
		}
	}
	return out
}
