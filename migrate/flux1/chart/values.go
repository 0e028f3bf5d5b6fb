package chart

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Unknown may stand wherever a chart value may: the value is there, or may be
// there, but is not known. All that depends on it is unknown as well.
type Unknown struct {
	// Cause says why, and so what would settle it: "variable git_url has no
	// value".
	Cause string
	// Prefix is how the text is known to begin, if it is a text and that much
	// is known. It is used only to tell which flag an element of
	// additionalArgs sets, and never shown.
	Prefix string
}

// String says why, without the prefix.
func (u Unknown) String() string { return "unknown: " + u.Cause }

// GoString is String: the prefix is never shown.
func (u Unknown) GoString() string { return u.String() }

// Partial may stand wherever a mapping may, also for all values: what Known
// holds is known; everything else below it, at any depth, may be given as well
// and is unknown. It is what remains where a values document that cannot be
// read is overlaid by one that can.
type Partial struct {
	Known map[string]any
	// Cause is that of [Unknown].
	Cause string
}

// Sensitive may stand wherever a chart value may: the value is used and never
// shown, as with set_sensitive of Terraform's helm_release.
type Sensitive struct{ Value any }

// String hides the value.
func (Sensitive) String() string { return hiddenText }

// GoString hides the value.
func (Sensitive) GoString() string { return hiddenText }

// Format hides the value from every verb.
func (Sensitive) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hiddenText)) }

// MarshalJSON hides the value from encoders.
func (Sensitive) MarshalJSON() ([]byte, error) { return json.Marshal(hiddenText) }

const hiddenText = "***"

// Bounds on what is read. Values of real releases are far below them.
const (
	maxDepth  = 64
	maxLeaves = 20000
)

// given is the user's values made regular: mappings are map[string]any or
// Partial, lists []any, numbers int64 or float64; Sensitive is unwrapped.
type given struct {
	tree any // tree, Partial or Unknown
	// hidden holds the paths of Sensitive values; all below them is hidden.
	hidden map[string]bool
	// leaves counted, and whether there were too many.
	leaves int
	tooBig bool
}

func regular(values any) *given {
	g := &given{hidden: map[string]bool{}}
	g.tree = g.regular(values, "", 0)
	if g.tree == nil {
		g.tree = tree{}
	}
	return g
}

func (g *given) regular(value any, path string, depth int) any {
	if depth > maxDepth {
		g.tooBig = true
		return Unknown{Cause: "it is nested too deep"}
	}
	mapping := func(m map[string]any) tree {
		out := make(tree, len(m))
		for _, k := range sortedKeys(m) {
			out[k] = g.regular(m[k], join(path, k), depth+1)
		}
		return out
	}
	switch x := value.(type) {
	case map[string]any:
		return mapping(x)
	case map[any]any:
		m := make(tree, len(x))
		for k, v := range x {
			m[fmt.Sprint(k)] = v
		}
		return mapping(m)
	case Partial:
		return Partial{Known: mapping(x.Known), Cause: cause(x.Cause)}
	case *Partial:
		if x != nil {
			return g.regular(*x, path, depth)
		}
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = g.regular(x[i], path+"["+strconv.Itoa(i)+"]", depth+1)
		}
		return out
	case []string:
		out := make([]any, len(x))
		for i := range x {
			out[i] = g.regular(x[i], path, depth+1)
		}
		return out
	case Sensitive:
		g.hidden[path] = true
		return g.regular(x.Value, path, depth+1)
	case *Sensitive:
		if x != nil {
			return g.regular(*x, path, depth)
		}
	}
	if g.leaves++; g.leaves > maxLeaves {
		g.tooBig = true
		return Unknown{Cause: "there are too many values"}
	}
	switch x := value.(type) {
	case nil, string, bool, int64, float64:
		return x
	case Unknown:
		x.Cause = cause(x.Cause)
		return x
	case *Unknown:
		if x != nil {
			return Unknown{Cause: cause(x.Cause), Prefix: x.Prefix}
		}
		return nil
	case *Partial, *Sensitive: // nil, or handled above
		return nil
	case int:
		return int64(x)
	case int32:
		return int64(x)
	case uint32:
		return int64(x)
	case uint64:
		if x <= math.MaxInt64 {
			return int64(x)
		}
		return float64(x)
	case float32:
		return float64(x)
	case json.Number:
		// Helm itself reads numbers of YAML and JSON as floating point.
		if f, err := x.Float64(); err == nil {
			return f
		}
	}
	return Unknown{Cause: fmt.Sprintf("a %T is no chart value", value)}
}

func cause(s string) string {
	if s == "" {
		return "its value is not known"
	}
	return s
}

// isHidden reports whether a path is, or lies below, a Sensitive value.
func (g *given) isHidden(path string) bool {
	path = strings.ReplaceAll(path, `\.`, ".")
	for p := range g.hidden {
		if p == path || strings.HasPrefix(path, p) && (p == "" || path[len(p)] == '.' || path[len(p)] == '[') {
			return true
		}
	}
	return false
}

// coalesce lays the user's values over the chart's defaults as Helm does:
// mappings are merged, all else is replaced, null takes a default away.
func coalesce(user, defaults any) any {
	switch u := user.(type) {
	case Unknown:
		return u
	case Partial:
		known := make(tree, len(u.Known))
		for k, x := range u.Known {
			if m, ok := x.(tree); ok {
				x = Partial{Known: m, Cause: u.Cause}
			}
			known[k] = coalesce(x, nil)
		}
		return Partial{Known: known, Cause: u.Cause}
	case tree:
		d, _ := defaults.(tree)
		out := make(tree, len(u)+len(d))
		for k, x := range d {
			out[k] = x
		}
		for k, x := range u {
			out[k] = coalesce(x, d[k])
		}
		return out
	}
	return user
}

// defaultsOf is what a version's values are when the user gives none.
func defaultsOf(at version) tree {
	out := tree{}
	for i := range keys {
		value, ok := keys[i].byDefault(at)
		if !ok {
			continue
		}
		put(out, keys[i].path, value)
	}
	return out
}

// put sets a value by its path; a part that is no mapping gives way.
func put(values tree, path string, v any) {
	parts := strings.Split(path, ".")
	for _, p := range parts[:len(parts)-1] {
		next, ok := values[p].(tree)
		if !ok {
			next = tree{}
			values[p] = next
		}
		values = next
	}
	values[parts[len(parts)-1]] = v
}

// value is what a template reads: known, or unknown with a cause.
type value struct {
	of any
	// keys are the chart values that it was made of.
	keys []string
	// unknown says why it is not known.
	unknown string
}

// truth is a condition of a template: true, false or unknown.
type truth struct {
	is      bool
	unknown string
}

func (t truth) yes() bool { return t.unknown == "" && t.is }
func (t truth) no() bool  { return t.unknown == "" && !t.is }

func (t truth) not() truth { return truth{!t.is, t.unknown} }

func (t truth) and(o truth) truth {
	switch {
	case t.no() || o.no():
		return truth{}
	case t.unknown != "":
		return t
	}
	return o
}

func (t truth) or(o truth) truth { return t.not().and(o.not()).not() }

// truth is how a template's "if" takes a value: false, zero, the empty text,
// list or mapping, and null are false, all else is true. So the text "false"
// is true.
func (x value) truth() truth {
	if x.unknown != "" {
		return truth{unknown: x.unknown}
	}
	switch t := x.of.(type) {
	case nil:
		return truth{}
	case bool:
		return truth{is: t}
	case string:
		return truth{is: t != ""}
	case int64:
		return truth{is: t != 0}
	case float64:
		return truth{is: t != 0}
	case []any:
		return truth{is: len(t) > 0}
	case tree:
		return truth{is: len(t) > 0}
	case Partial:
		if len(t.Known) == 0 {
			return truth{unknown: t.Cause}
		}
	}
	return truth{is: true}
}

// or is the value, or another one where it counts as empty.
func (x value) or(other value) value {
	keys := slices.Concat(x.keys, other.keys)
	switch t := x.truth(); {
	case t.unknown != "":
		return value{unknown: t.unknown, keys: keys}
	case t.is:
		return x
	}
	other.keys = keys
	return other
}

// printed is how a template prints the value. Lists and mappings print as Go
// prints them, null prints nothing.
func (x value) printed() (s, unknown string) {
	if x.unknown != "" {
		return "", x.unknown
	}
	if x.of == nil {
		return "", ""
	}
	if c, ok := unknownIn(x.of); ok {
		return "", c
	}
	// Helm takes this mark of Go's templates out of all it renders.
	return strings.ReplaceAll(fmt.Sprint(x.of), "<no value>", ""), ""
}

// unknownIn finds something unknown at any depth.
func unknownIn(x any) (cause string, found bool) {
	switch t := x.(type) {
	case Unknown:
		return t.Cause, true
	case Partial:
		return t.Cause, true
	case []any:
		for _, e := range t {
			if c, ok := unknownIn(e); ok {
				return c, true
			}
		}
	case tree:
		for _, k := range sortedKeys(t) {
			if c, ok := unknownIn(t[k]); ok {
				return c, true
			}
		}
	}
	return "", false
}

func sortedKeys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// typeName says in people's words what a value is.
func typeName(x any) string {
	switch x.(type) {
	case nil:
		return "null"
	case string:
		return "text"
	case bool:
		return "true or false"
	case int64, float64:
		return "a number"
	case []any:
		return "a list"
	case tree, Partial:
		return "a mapping"
	}
	return "unknown"
}
