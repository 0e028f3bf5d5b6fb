package chart

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// chartName is the chart's own name, after which it names what it makes.
const chartName = "flux"

// scope is what the templates of one release read.
type scope struct {
	at      version
	release Release
	values  any
	// failures are reasons for which Helm cannot render the chart, each once.
	failures []failure
}

// failure is one reason for which the chart does not render; lacks is what it looks for
// in a value that is no mapping.
type failure struct{ key, why, lacks string }

const notRendered = "the chart does not render with these values"

func (s *scope) fail(key, format string, args ...any) value {
	return s.failWith(failure{key: key, why: fmt.Sprintf(format, args...)})
}

func (s *scope) failWith(f failure) value {
	if !slices.Contains(s.failures, f) {
		s.failures = append(s.failures, f)
	}
	return value{unknown: notRendered, keys: []string{f.key}}
}

// reasons are the failures in words, with the value that each is about: what is looked for
// in one value is one of them.
func (s *scope) reasons() (out []failure) {
	for i, f := range s.failures {
		same := func(o failure) bool { return f.lacks != "" && o.lacks != "" && o.key == f.key && o.why == f.why }
		if slices.ContainsFunc(s.failures[:i], same) {
			continue
		}
		var lacks []string
		for _, o := range s.failures[i:] {
			if same(o) {
				lacks = append(lacks, o.lacks)
			}
		}
		if slices.Sort(lacks); len(lacks) > 0 {
			if more := len(lacks) - 3; more > 1 {
				lacks = append(lacks[:3], fmt.Sprintf("and %d more values", more))
			}
			f.why += ", and the chart looks for " + strings.Join(lacks, ", ") + " in it"
		}
		out = append(out, f)
	}
	return out
}

// get reads a value as a template does: what is missing is null, but to look
// into what is no mapping ends the rendering.
func (s *scope) get(path string) value {
	current := s.values
	parts := strings.Split(path, ".")
	for i, part := range parts {
		switch m := current.(type) {
		case Unknown:
			return value{unknown: m.Cause, keys: []string{path}}
		case Partial:
			next, ok := m.Known[part]
			if !ok {
				return value{unknown: m.Cause, keys: []string{path}}
			}
			current = next
		case tree:
			current = m[part]
		default:
			at := strings.Join(parts[:i], ".")
			return s.failWith(failure{key: at, why: "it is " + typeName(current), lacks: part})
		}
	}
	if u, ok := current.(Unknown); ok {
		return value{unknown: u.Cause, keys: []string{path}}
	}
	return value{of: current, keys: []string{path}}
}

// is reads a value as a condition.
func (s *scope) is(path string) truth { return s.get(path).truth() }

// equals compares with true, false or a text as a template does: with null it
// is false, and a value of another type ends the rendering.
func (s *scope) equals(path string, want any) truth {
	x := s.get(path)
	switch {
	case x.unknown != "":
		return truth{unknown: x.unknown}
	case x.of == nil:
		return truth{}
	case reflect.TypeOf(x.of) != reflect.TypeOf(want):
		s.fail(path, "it is %s, and the chart compares it with %s", typeName(x.of), typeName(want))
		return truth{unknown: notRendered}
	}
	return truth{is: x.of == want}
}

// textual reads a value that the templates hand to a function of texts, which
// ends the rendering for anything else. An empty one of any type passes where
// only set values get that far.
func (s *scope) textual(path string, evenIfEmpty bool) value {
	x := s.get(path)
	if x.unknown != "" {
		return x
	}
	if _, ok := x.of.(string); !ok && (evenIfEmpty || x.truth().is) {
		return s.fail(path, "it is %s, and the chart takes it for text", typeName(x.of))
	}
	return x
}

// name is the chart's name in labels (flux: chart/flux/templates/_helpers.tpl).
func (s *scope) name() value {
	n := s.textual("nameOverride", false).or(value{of: chartName})
	if n.unknown == "" {
		n.of = shortened(fmt.Sprint(n.of))
	}
	return n
}

// fullname is what the chart names its objects after.
func (s *scope) fullname() value {
	if full := s.textual("fullnameOverride", false); full.unknown != "" || full.truth().is {
		if full.unknown == "" {
			full.of = shortened(fmt.Sprint(full.of))
		}
		return full
	}
	n := s.textual("nameOverride", false).or(value{of: chartName})
	if n.unknown != "" {
		return n
	}
	if s.release.Name == "" {
		return value{unknown: s.release.cause("name"), keys: n.keys}
	}
	word := fmt.Sprint(n.of)
	full := s.release.Name
	if !strings.Contains(full, word) {
		full += "-" + word
	}
	return value{of: shortened(full), keys: n.keys}
}

func shortened(name string) string {
	if len(name) > 63 {
		name = name[:63]
	}
	return strings.TrimSuffix(name, "-")
}

// named is the full name with an ending.
func (s *scope) named(ending string) value {
	n := s.fullname()
	if n.unknown == "" {
		n.of = fmt.Sprint(n.of) + ending
	}
	return n
}

// namespace is the release's.
func (s *scope) namespace() value {
	if s.release.Namespace == "" {
		return value{unknown: s.release.cause("namespace")}
	}
	return value{of: s.release.Namespace}
}

// confined says whether the agent has no cluster role of the chart's making;
// before 0.11.0 it always has.
func (s *scope) confined() truth {
	if s.at.before(v("0.11.0")) {
		return truth{}
	}
	return s.is("clusterRole.create").not()
}

// namespaces are those that a confined agent may act in; before 1.1.0 only
// its own. The list may hold anything that the user wrote.
func (s *scope) namespaces() value {
	own := s.namespace()
	if s.at.before(v("1.1.0")) {
		if own.unknown == "" {
			own.of = []any{own.of}
		}
		return own
	}
	given := s.get("allowedNamespaces")
	if given.unknown != "" {
		return given
	}
	items, ok := given.of.([]any)
	if !ok {
		return s.fail("allowedNamespaces", "it is %s, and the chart takes it for a list", typeName(given.of))
	}
	for _, x := range items {
		if c, ok := unknownIn(x); ok {
			return value{unknown: c, keys: given.keys}
		}
	}
	if own.unknown != "" {
		return value{unknown: own.unknown, keys: given.keys}
	}
	return value{of: append(append([]any{}, items...), own.of), keys: given.keys}
}

// account is the ServiceAccount's name. Before 0.5.2 the Deployment names it
// only if the chart makes it (flux: chart/flux/templates/deployment.yaml).
func (s *scope) account() value {
	create := s.is("serviceAccount.create")
	name := s.get("serviceAccount.name")
	if create.unknown != "" {
		return value{unknown: create.unknown, keys: []string{"serviceAccount.create"}}
	}
	switch {
	case create.is:
		name = name.or(s.fullname())
	case s.at.before(v("0.5.2")):
		name = value{of: "default", keys: []string{"serviceAccount.create"}}
	default:
		name = name.or(value{of: "default"})
		// A text that YAML takes for null names no account, so that Kubernetes
		// fills one in; but it takes no binding without a name.
		var parsed any
		if printed, unknown := name.printed(); unknown == "" && yaml.Unmarshal([]byte(printed), &parsed) == nil && parsed == nil {
			psp := !s.at.before(v("0.11.0")) && !s.is("rbac.pspEnabled").no()
			if s.is("rbac.create").no() && !psp {
				name.of = "default"
			}
		}
	}
	return s.word(name)
}

// clusterRole is the name of the cluster role that is made or bound.
func (s *scope) clusterRole() value {
	if s.at.before(v("0.12.0")) {
		return s.fullname()
	}
	name := s.get("clusterRole.name")
	switch create := s.is("clusterRole.create"); {
	case create.unknown != "":
		return value{unknown: create.unknown, keys: []string{"clusterRole.create"}}
	case create.is:
		name = name.or(s.fullname())
	default:
		name = name.or(value{of: "default"})
	}
	return s.word(name)
}

// keySecret is the Secret whose key is mounted.
func (s *scope) keySecret() value { return s.word(s.get("git.secretName").or(s.named("-git-deploy"))) }

// word is a value as it stands in a manifest behind "name:", unquoted.
func (s *scope) word(x value) value {
	printed, unknown := x.printed()
	if unknown != "" {
		return value{unknown: unknown, keys: x.keys}
	}
	parsed, ok := inManifest(printed)
	if !ok {
		return s.fail(x.keys[0], "it is printed into the manifest unquoted, where it is no text")
	}
	x.of = parsed
	return x
}

// inManifest is what a text means that a template prints unquoted into a YAML
// list: a comment is cut off, blanks around it go, and what looks like
// something else than text is no text.
func inManifest(printed string) (string, bool) {
	if strings.HasPrefix(printed, "--") && !strings.ContainsFunc(printed, special) {
		return printed, true // what most arguments are, without the parser
	}
	if plainWord.MatchString(printed) {
		return printed, true // as most names are
	}
	// The item in its place between others; what it does to the next one
	// shows whether it is one item.
	doc := "a:\n          - " + printed + "\n          - end\n"
	var got map[string]any
	if err := yaml.Unmarshal([]byte(doc), &got); err != nil || len(got) != 1 {
		return "", false
	}
	items, _ := got["a"].([]any)
	if len(items) != 2 || items[1] != "end" {
		return "", false
	}
	text, ok := items[0].(string)
	return text, ok
}

// plainWord is a text that means itself in YAML: it begins as no number does, and no
// word that means something holds a dash.
var plainWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._/]*-[A-Za-z0-9._/-]*$`)

// special reports whether a character may mean something to YAML, or end a
// line, in the middle of a text that is not quoted.
func special(r rune) bool {
	return r <= ' ' || r == ':' || r == '#' || r > '~'
}
