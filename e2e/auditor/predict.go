package auditor

import (
	"slices"
	"strconv"
	"strings"
)

// Plan is what the auditor reads of fluxover's plan: which writes were foretold.
type Plan struct {
	Repositories []struct {
		ID      string `json:"id"`
		Objects []struct {
			ID     string   `json:"id"`
			Verb   string   `json:"verb"`
			Fields []string `json:"fields"`
		} `json:"objects"`
		// Adds are keys of labels and annotations put on purpose.
		Adds []any `json:"adds"`
	} `json:"repositories"`
}

// Expectation is something that the one who runs the test did on purpose while
// the migration ran, such as a commit.
type Expectation struct {
	// ID is the inventory id of the object.
	ID string `json:"id"`
	// Verbs are change, create, delete.
	Verbs []string `json:"verbs"`
	// Fields limit a change; none means any.
	Fields []string `json:"fields,omitempty"`
}

// foretold is what may happen to one object.
type foretold struct {
	verbs  []string
	fields []string // canonical
}

// forecast knows what the plan and the expectations allow.
type forecast struct {
	plan     map[string]foretold
	expected map[string][]foretold
	adds     []string
}

func newForecast(plan *Plan, expected []Expectation) *forecast {
	f := &forecast{plan: map[string]foretold{}, expected: map[string][]foretold{}}
	for _, e := range expected {
		f.expected[e.ID] = append(f.expected[e.ID], foretold{verbs: e.Verbs, fields: canonicalAll(e.Fields)})
	}
	if plan == nil {
		return f
	}
	for _, r := range plan.Repositories {
		for _, o := range r.Objects {
			known := f.plan[o.ID]
			known.verbs = append(known.verbs, o.Verb)
			known.fields = append(known.fields, canonicalAll(o.Fields)...)
			f.plan[o.ID] = known
		}
		for _, add := range r.Adds {
			switch a := add.(type) {
			case string:
				f.adds = append(f.adds, canonical(a))
			case map[string]any:
				for _, k := range []string{"key", "name", "label", "annotation"} {
					if s, ok := a[k].(string); ok {
						f.adds = append(f.adds, canonical(s))
					}
				}
			}
		}
	}
	return f
}

// expects tells whether the tester announced this for the object.
func (f *forecast) expects(id, verb string, fields []Field) bool {
	for _, e := range f.expected[id] {
		if !slices.Contains(e.verbs, verb) {
			continue
		}
		if len(e.fields) == 0 || !slices.ContainsFunc(fields, func(field Field) bool { return !within(field, e.fields) }) {
			return true
		}
	}
	return false
}

// allowedKeys may come and go with every adoption.
var allowedKeys = canonicalAll([]string{
	"metadata.labels." + labelFlux1Mark, "metadata.annotations." + annotationChecksum,
	"metadata.annotations." + annotationLastApply, "metadata.annotations.kustomize.toolkit.fluxcd.io/checksum",
	"metadata.labels." + labelKSName, "metadata.labels." + labelKSNamespace,
	// Written by the Deployment controller through status, which may not be logged.
	"metadata.annotations.deployment.kubernetes.io/revision",
})

// unforeseen returns the fields of a write that the plan does not foretell, and
// whether the write as a whole is unforeseen.
func (f *forecast) unforeseen(w *Write) ([]Field, bool) {
	told, ok := f.plan[w.ID]
	has := func(verb string) bool { return slices.Contains(told.verbs, verb) }
	if w.Deleted {
		return nil, !f.expects(w.ID, "delete", nil)
	}
	if w.Created {
		return nil, !(ok && has("create")) && !f.expects(w.ID, "create", nil)
	}
	announced := func(field Field) bool { return f.expects(w.ID, "change", []Field{field}) }
	if !ok || !(has("adopt") || has("change") || has("restart") || has("create")) {
		all := len(w.Fields) > 0 && !slices.ContainsFunc(w.Fields, func(field Field) bool { return !announced(field) })
		return w.Fields, !all
	}
	var out []Field
	for _, field := range w.Fields {
		switch {
		case within(field, allowedKeys), within(field, told.fields), f.isAdd(field), announced(field):
		case has("restart") && field.Section == "podTemplate":
		default:
			out = append(out, field)
		}
	}
	return out, len(out) > 0
}

func (f *forecast) isAdd(field Field) bool {
	if field.Section != "labels" && field.Section != "annotations" || len(field.tokens) != 3 {
		return false
	}
	key := canonical(field.tokens[2].key)
	return slices.ContainsFunc(f.adds, func(add string) bool { return add == key || strings.HasSuffix(add, "."+key) })
}

// within tells whether the field is one of those named or lies below one.
func within(field Field, named []string) bool {
	byIndex, byName := "", ""
	for _, t := range field.tokens {
		index := t.key
		if t.index >= 0 {
			index = strconv.Itoa(t.index)
		}
		name := t.key
		if name == "" {
			name = index
		}
		byIndex += "." + canonical(index)
		byName += "." + canonical(name)
	}
	if byIndex == "" {
		return false
	}
	for _, n := range named {
		for _, path := range []string{byIndex[1:], byName[1:]} {
			if path == n || strings.HasPrefix(path, n+".") {
				return true
			}
		}
	}
	return false
}

func canonicalAll(paths []string) []string {
	out := make([]string, 0, len(paths))
	for _, p := range paths {
		out = append(out, canonical(p))
	}
	return out
}

// canonical gives JSON pointers, dotted paths and paths with brackets or quotes
// one spelling, so that plans may write them either way.
func canonical(path string) string {
	path = strings.NewReplacer("~1", ".", "~0", "~", "name=", "").Replace(path)
	words := strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(`./[]"'`, r) })
	return strings.Join(words, ".")
}
