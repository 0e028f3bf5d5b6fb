package discover

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	rbacv1 "k8s.io/api/rbac/v1"
	sigsyaml "sigs.k8s.io/yaml"
)

var (
	bindingInText = regexp.MustCompile(`\b(?:Cluster)?RoleBinding\b`)
	// subjectsKey begins the subjects of a binding in a template, nextKey is a key behind them,
	// and subjectBegin where one of them begins, in a list of either form.
	subjectsKey  = regexp.MustCompile(`(?m)^([ \t]*)["']?subjects["']?:`)
	nextKey      = regexp.MustCompile(`(?m)^([ \t]*)["']?\w+["']?:`)
	subjectBegin = regexp.MustCompile(`(?m)^[ \t]*-[ \t]|[\[,]\s*\{(?:[^{]|$)`)
	subjectKind  = regexp.MustCompile(`\bkind["']?:\s*["']?(?:Group|User)\b`)
	// boundName and boundPlace are the name of a subject and its namespace, foldedName begins a
	// name on a line of its own, templateOfHelm is a part of one that Helm fills in, which may be
	// a comment, ofRelease one that it fills in by the release, plainValue a text with one value
	// filled in, and accountsInText a name of accounts in what is evaluated.
	boundName       = regexp.MustCompile(`\bname` + textOfField)
	boundPlace      = regexp.MustCompile(`\bnamespace` + textOfField)
	foldedName      = regexp.MustCompile(`(\bname["']?:[ \t]*)[>|][-+0-9]*[ \t]*\n[ \t]*`)
	ofRelease       = regexp.MustCompile(`\{\{-?\s*\$?\.Release\.(Name|Namespace)\s*(?:\|\s*(?:s?quote|toString)\s*)?-?\}\}`)
	accountsInText  = regexp.MustCompile(`\bsystem:(?:serviceaccount|authenticated\b)`)
	plainValue      = regexp.MustCompile(`^[^{}]*\{\{-?\s*\.Values\.[\w.]+\s*(?:\|\s*(?:s?quote|toString)\s*)?-?\}\}[^{}]*$`)
	templateOfHelm  = regexp.MustCompile(`\{\{.*?\}\}`)
	templateComment = regexp.MustCompile(`\{\{-?\s*/\*(?s:.*?)\*/\s*-?\}\}`)
	// textInTemplate is a text that stands in a template, or is all that one defines.
	textInTemplate = regexp.MustCompile(`["\x60]([a-z0-9][a-z0-9.-]*)["\x60]|\}\}\s*([a-z0-9][a-z0-9.-]*)\s*\{\{`)
	// ofItself is what fills in the name of the chart's own account, unless a value names
	// another one, and ofNoAccount what a value is called that does not.
	ofItself    = regexp.MustCompile(`(?i)serviceAccount|fullname|nameOverride|\.Release\.|\.Chart\.`)
	ofNoAccount = regexp.MustCompile(`(?i)namespace|image|repository|tag$|version$`)
)

// textOfField is the text of a field in a template.
const textOfField = `["']?:[ \t]*(?:"((?:\{\{.*?\}\}|[^"\n])*)"|'((?:\{\{.*?\}\}|[^'\n])*)'|((?:\{\{.*?\}\}|[^\s,}#])+))`

// maxWithin bounds the subjects that are looked for among others.
const maxWithin = 20

// templateBindings are whom the bindings among a chart's templates bind, which are not
// rendered.
type templateBindings struct {
	subjects []templateSubject
	// texts stand in the templates and may be filled in, as may be the chart's defaults.
	texts    []string
	defaults []*terraform.Node
	// bytes of both, as much as is looked at for each release.
	bytes int
}

// templateSubject is one whom a binding in a template binds, with the parts that Helm fills in:
// an account, or whoever has a name that Kubernetes gives to one, or to a group of them. Its
// namespace is empty where that is not told. person is true of a user or a group.
type templateSubject struct {
	name, namespace string
	person          bool
}

// installed is a release of a chart.
type installed struct{ name, namespace, values *terraform.Node }

// boundByTemplates finds whom the bindings among a chart's templates bind.
func boundByTemplates(chart string, files map[string][]byte) *templateBindings {
	out := &templateBindings{texts: []string{chart}}
	for _, file := range sortedNames(files) {
		if path.Base(file) == "values.yaml" {
			var values any
			if sigsyaml.Unmarshal(files[file], &values) == nil {
				out.defaults = append(out.defaults, nodeOf(values, terraform.Origin{}))
				out.bytes += len(files[file])
			} else {
				out.defaults = append(out.defaults, &terraform.Node{Kind: terraform.Unknown})
			}
		}
		if !strings.Contains("/"+file, "/templates/") {
			continue
		}
		text := templateComment.ReplaceAllString(string(files[file]), "")
		for _, m := range textInTemplate.FindAllStringSubmatch(text, -1) {
			out.texts = append(out.texts, m[1]+m[2])
			out.bytes += len(m[0])
		}
		for _, document := range strings.Split("\n"+text, "\n---") {
			if !bindingInText.MatchString(document) {
				continue
			}
			keys := nextKey.FindAllStringSubmatchIndex(document, -1)
			end, within := 0, 0 // of those among which others stand, and how many
			for _, at := range subjectsKey.FindAllStringSubmatchIndex(document, -1) {
				if within++; at[0] >= end {
					within = 0
				}
				if within > maxWithin {
					out.subjects = append(out.subjects, templateSubject{name: anyName})
					continue
				}
				subjects := document[at[1]:]
				behind, _ := slices.BinarySearchFunc(keys, at[1], func(key []int, at int) int { return cmp.Compare(key[0], at) })
				for _, next := range keys[behind:] {
					if next[3]-next[2] <= at[3]-at[2] {
						subjects = document[at[1]:next[0]]
						break
					}
				}
				end = max(end, at[1]+len(subjects))
				out.subjects = append(out.subjects, subjectsInText(foldedName.ReplaceAllString(subjects, "$1"))...)
			}
		}
	}
	if len(out.subjects) == 0 {
		return nil
	}
	slices.SortFunc(out.subjects, func(a, b templateSubject) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.namespace, b.namespace))
	})
	out.subjects = slices.Compact(out.subjects)
	return out
}

// anyName is the name of subjects that are filled in as a whole.
const anyName = "{{ .Values }}"

// subjectsInText are the subjects that stand in a part of a template.
func subjectsInText(text string) (out []templateSubject) {
	begins := subjectBegin.FindAllStringIndex(text, -1)
	if len(begins) == 0 {
		return []templateSubject{{name: anyName}}
	}
	for i, at := range begins {
		end := len(text)
		if i+1 < len(begins) {
			end = begins[i+1][0]
		}
		subject := text[at[0]:end]
		s := templateSubject{person: subjectKind.MatchString(subject)}
		if places := boundPlace.FindAllStringSubmatch(subject, -1); len(places) == 1 { // else one of several
			s.namespace = places[0][1] + places[0][2] + places[0][3]
		}
		names := boundName.FindAllStringSubmatch(subject, -1)
		if len(names) == 0 {
			names = [][]string{{"", anyName, "", ""}}
		}
		for _, m := range names {
			s.name = m[1] + m[2] + m[3]
			out = append(out, s)
		}
	}
	return out
}

// ofAccounts reports whether a name may be one that Kubernetes gives to an account, or to a
// group of them, by what is known of it.
func ofAccounts(name string) bool {
	return strings.HasPrefix(name, "system:serviceaccount") || name == "system:authenticated" || strings.HasPrefix(name, "system:") && unknownPart.MatchString(name)
}

// of are the subjects that may be bound in a release. What is filled in of a value may be any
// text of the values that are given, of the chart's defaults and of its templates: which one is
// not looked at. Users and groups that are filled in are those of a directory, unless their
// names are, or begin as, those of accounts.
func (b *templateBindings) of(r installed) (out []terraform.Subject) {
	if b == nil {
		return nil
	}
	node := func(text string) *terraform.Node {
		if unknownPart.MatchString(text) {
			return &terraform.Node{Kind: terraform.Unknown, Text: text}
		}
		return &terraform.Node{Kind: terraform.Scalar, Scalar: text}
	}
	kind := func(name string) *terraform.Node { return &terraform.Node{Kind: terraform.Scalar, Scalar: name} }
	released := func(text string) string {
		return ofRelease.ReplaceAllStringFunc(text, func(part string) string {
			of := r.name
			if strings.Contains(part, "Namespace") {
				of = r.namespace
			}
			if known, ok := of.Str(); ok && known != "" {
				return known
			}
			if of != nil && of.Kind == terraform.Unknown && unknownPart.MatchString(of.Text) {
				return of.Text
			}
			return "${template}"
		})
	}
	bound := func(s templateSubject, name string) {
		switch {
		case ofAccounts(name):
			out = append(out, terraform.Subject{Kind: kind(rbacv1.GroupKind), Name: node(name)}, terraform.Subject{Kind: kind(rbacv1.UserKind), Name: node(name)})
		case name != "" && !s.person:
			place := &terraform.Node{Kind: terraform.Unknown}
			if namespace := templateOfHelm.ReplaceAllString(released(s.namespace), "$${template}"); namespace != "" {
				place = node(namespace)
			}
			out = append(out, terraform.Subject{Kind: kind(rbacv1.ServiceAccountKind), Name: node(name), Namespace: place})
		}
	}
	anyText, ownText := b.filledIn(r, false), b.filledIn(r, true)
	for i, s := range b.subjects {
		name := released(s.name)
		parts := templateOfHelm.FindAllStringIndex(name, -1)
		if len(parts) == 0 {
			bound(s, name)
			continue
		}
		pattern := templateOfHelm.ReplaceAllString(name, "$${template}")
		first, last := name[:parts[0][0]], name[parts[len(parts)-1][1]:]
		own := !slices.ContainsFunc(templateOfHelm.FindAllString(name, -1), func(p string) bool { return !ofItself.MatchString(p) })
		with := anyText
		if own {
			with = ownText
		}
		if s.person && !strings.HasPrefix(first, "system:") {
			if accountsInText.MatchString(name) { // as by printf, or a default
				bound(s, "system:${template}")
			}
			for _, word := range sortedNames(anyText.words) {
				if first == "" && ofAccounts(word) {
					bound(s, word+last)
				}
			}
			continue
		}
		if len(parts) > 1 && !own || i >= maxFilledNames || len(with.words) > maxFilledWords {
			bound(s, pattern)
			continue
		}
		for _, word := range sortedNames(with.words) {
			bound(s, first+word+last)
		}
		if ofAccounts(pattern) && !plainValue.MatchString(name) { // what is filled in may be the namespace
			bound(s, first+released("{{ .Release.Namespace }}")+last)
		}
		for _, text := range sortedNames(with.unknown) {
			whole := pattern
			if text != "" {
				whole = first + text + last
			}
			bound(s, whole)
		}
	}
	return out
}

// Bounds of the names that are filled in one by one, and of the words for each; beyond
// them, any may be.
const (
	maxFilledNames = 100
	maxFilledWords = 5000
)

// fillable are the words that may be filled in for a name, and what is known of texts of
// which not all is; empty, if nothing is.
type fillable struct{ words, unknown map[string]bool }

// filledIn are the words that stand in the values of a release, the defaults of its chart or
// its templates. As the name of the chart's own account, those count that are given so.
func (b *templateBindings) filledIn(r installed, own bool) fillable {
	out := fillable{map[string]bool{}, map[string]bool{}}
	fill := func(text string) {
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\"',[]{}", r) }) {
			out.words[word] = true
		}
	}
	var walk func(n *terraform.Node)
	walk = func(n *terraform.Node) {
		if n == nil {
			return
		}
		if text := fmt.Sprint(n.Scalar); n.Kind == terraform.Scalar && unknownPart.MatchString(text) {
			out.unknown[text] = true // which others may substitute
		} else if n.Kind == terraform.Scalar {
			fill(text)
		} else if !own && (n.Kind == terraform.Unknown || n.Kind == terraform.Sensitive || len(n.Causes) > 0) {
			text := ""
			if n.Kind == terraform.Unknown && unknownPart.MatchString(n.Text) {
				text = n.Text
			}
			out.unknown[text] = true
		}
		for _, key := range sortedNames(n.Map) {
			if !own || !ofNoAccount.MatchString(key) {
				walk(n.Map[key])
			}
		}
		for _, e := range n.List {
			walk(e)
		}
	}
	for _, n := range append(slices.Clone(b.defaults), r.values, r.name) {
		walk(n)
	}
	for _, text := range b.texts {
		fill(text)
	}
	return out
}
