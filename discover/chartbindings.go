package discover

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
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
	// boundName is the name of a subject, foldedName begins one on a line of its own, and
	// templateOfHelm is a part of one that Helm fills in, which may be a comment.
	boundName       = regexp.MustCompile(`\bname["']?:[ \t]*(?:"((?:\{\{.*?\}\}|[^"\n])*)"|'((?:\{\{.*?\}\}|[^'\n])*)'|((?:\{\{.*?\}\}|[^\s,}#])+))`)
	foldedName      = regexp.MustCompile(`(\bname["']?:[ \t]*)[>|][-+0-9]*[ \t]*\n[ \t]*`)
	templateOfHelm  = regexp.MustCompile(`\{\{.*?\}\}`)
	templateComment = regexp.MustCompile(`\{\{-?\s*/\*(?s:.*?)\*/\s*-?\}\}`)
	// textInTemplate is a text that stands in a template, or is all that one defines.
	textInTemplate = regexp.MustCompile(`["\x60]([a-z0-9][a-z0-9.-]*)["\x60]|\}\}\s*([a-z0-9][a-z0-9.-]*)\s*\{\{`)
	// ofItself is what fills in the name of the chart's own account, unless a value names
	// another one, and ofNoAccount what a value is called that does not.
	ofItself    = regexp.MustCompile(`(?i)serviceAccount|fullname|nameOverride|\.Release\.|\.Chart\.`)
	ofNoAccount = regexp.MustCompile(`(?i)namespace|image|repository|tag$|version$`)
)

// templateBindings are whom the bindings among a chart's templates bind, which are not
// rendered.
type templateBindings struct {
	// names are those of subjects, with the parts that Helm fills in.
	names []string
	// texts stand in the templates and may be filled in, as may be the chart's defaults.
	texts    []string
	defaults []*terraform.Node
}

// boundByTemplates finds the names of whom the bindings among a chart's templates bind.
// Users and groups that are filled in are those of a directory.
func boundByTemplates(chart string, files map[string][]byte) *templateBindings {
	out := &templateBindings{texts: []string{chart}}
	for _, file := range sortedNames(files) {
		if path.Base(file) == "values.yaml" {
			var values any
			if sigsyaml.Unmarshal(files[file], &values) == nil {
				out.defaults = append(out.defaults, nodeOf(values, terraform.Origin{}))
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
		}
		for _, document := range strings.Split("\n"+text, "\n---") {
			if !bindingInText.MatchString(document) {
				continue
			}
			for _, at := range subjectsKey.FindAllStringSubmatchIndex(document, -1) {
				subjects := document[at[1]:]
				for _, next := range nextKey.FindAllStringSubmatchIndex(subjects, -1) {
					if next[3]-next[2] <= at[3]-at[2] && next[0] > 0 {
						subjects = subjects[:next[0]]
						break
					}
				}
				out.names = append(out.names, namesOfSubjects(foldedName.ReplaceAllString(subjects, "$1"))...)
			}
		}
	}
	if len(out.names) == 0 {
		return nil
	}
	slices.Sort(out.names)
	out.names = slices.Compact(out.names)
	return out
}

// anyName is the name of subjects that are filled in as a whole.
const anyName = "{{ .Values }}"

// namesOfSubjects are the names of the subjects that stand in a part of a template.
func namesOfSubjects(text string) (out []string) {
	begins := subjectBegin.FindAllStringIndex(text, -1)
	if len(begins) == 0 {
		return []string{anyName}
	}
	for i, at := range begins {
		end := len(text)
		if i+1 < len(begins) {
			end = begins[i+1][0]
		}
		subject := text[at[0]:end]
		m := boundName.FindStringSubmatch(subject)
		if m == nil {
			out = append(out, anyName)
			continue
		}
		if name := m[1] + m[2] + m[3]; !subjectKind.MatchString(subject) || !strings.Contains(name, "{{") {
			out = append(out, name)
		}
	}
	return out
}

// of are the names of the accounts that may be bound in a release. What is filled in of a
// value may be any text of the values that are given, of the chart's defaults and of its
// templates: which one is not looked at.
func (b *templateBindings) of(h *terraform.HelmRelease) (out []*terraform.Node) {
	known := func(name string) {
		switch {
		case strings.HasPrefix(name, "system:serviceaccounts"), name == "system:authenticated":
			out = append(out, &terraform.Node{Kind: terraform.Unknown})
		case name != "":
			out = append(out, &terraform.Node{Kind: terraform.Scalar, Scalar: name[strings.LastIndexAny(name, ":")+1:]})
		}
	}
	anyText, ownText := b.filledIn(h, false), b.filledIn(h, true)
	for i, name := range b.names {
		parts := templateOfHelm.FindAllStringIndex(name, -1)
		if len(parts) == 0 {
			known(name)
			continue
		}
		pattern := templateOfHelm.ReplaceAllString(name, "$${template}")
		first, last := name[:parts[0][0]], name[parts[len(parts)-1][1]:]
		own := !slices.ContainsFunc(templateOfHelm.FindAllString(name, -1), func(p string) bool { return !ofItself.MatchString(p) })
		with := anyText
		if own {
			with = ownText
		}
		if len(parts) > 1 && !own || i >= maxFilledNames || len(with.words) > maxFilledWords {
			out = append(out, &terraform.Node{Kind: terraform.Unknown, Text: pattern})
			continue
		}
		for _, word := range sortedNames(with.words) {
			known(first + word + last)
		}
		for _, text := range sortedNames(with.unknown) {
			whole := pattern
			if text != "" {
				whole = first + text + last
			}
			out = append(out, &terraform.Node{Kind: terraform.Unknown, Text: whole})
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
func (b *templateBindings) filledIn(h *terraform.HelmRelease, own bool) fillable {
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
		if n.Kind == terraform.Scalar {
			fill(fmt.Sprint(n.Scalar))
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
	for _, n := range append(slices.Clone(b.defaults), h.Values, h.Name) {
		walk(n)
	}
	for _, text := range b.texts {
		fill(text)
	}
	return out
}
