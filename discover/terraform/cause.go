package terraform

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Position is a place in a file. File is relative to Options.Root, with
// slashes; Line and Column count from 1 and are 0 where they are not known.
type Position struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

func at(r hcl.Range) Position {
	return Position{File: r.Filename, Line: r.Start.Line, Column: r.Start.Column}
}

// CauseKind says what kind of thing would settle an unknown value.
type CauseKind string

// The kinds of causes.
const (
	CauseVariable  CauseKind = "variable"  // an input variable without a value
	CauseModule    CauseKind = "module"    // a module whose source is not in the tree
	CauseComputed  CauseKind = "computed"  // an attribute that a provider computes
	CauseData      CauseKind = "data"      // a data source, read when Terraform runs
	CauseFile      CauseKind = "file"      // a file that is missing or too large
	CauseOutside   CauseKind = "outside"   // a file outside the tree
	CauseFunction  CauseKind = "function"  // a function that this package does not have, or whose result changes
	CauseWorkspace CauseKind = "workspace" // the name of the selected workspace
	CauseInput     CauseKind = "input"     // a Terragrunt input that is not literal
	CauseError     CauseKind = "error"     // an expression that is in error; a Diagnostic says how
	CauseOutput    CauseKind = "output"    // an output of another state, which is not at hand
	CauseLimit     CauseKind = "limit"     // a limit of this package was reached
	CauseState     CauseKind = "state"     // a state that is read without its configuration does not tell it
	CauseIgnored   CauseKind = "ignored"   // lifecycle.ignore_changes names it, so that what was applied last stays
	CauseReused    CauseKind = "reused"    // Helm takes it over from what was applied last
	CauseLive      CauseKind = "live"      // an argument of the resource leaves it as the cluster has it
	CauseSensitive CauseKind = "sensitive" // the value is known and marked sensitive, so it is withheld
)

// Cause is one reason why a value is unknown: what would settle it, by its
// name in the configuration, and where it was met.
type Cause struct {
	Kind     CauseKind `json:"kind"`
	Name     string    `json:"name"`
	Position Position  `json:"position,omitzero"`
}

// String says what would settle the value, in words.
func (c Cause) String() string {
	var s string
	switch c.Kind {
	case CauseVariable:
		s = fmt.Sprintf("variable %q has no value", c.Name)
	case CauseModule:
		s = fmt.Sprintf("module source %q is not in the tree", c.Name)
	case CauseComputed:
		s = c.Name + " is computed by its provider"
	case CauseData:
		s = c.Name + " is read when Terraform runs"
	case CauseFile:
		s = fmt.Sprintf("file %q cannot be read", c.Name)
	case CauseOutside:
		s = fmt.Sprintf("file %q lies outside of the folder that may be read, for which --terraform-root can name one above it", c.Name)
	case CauseFunction:
		s = fmt.Sprintf("function %q is not evaluated here", c.Name)
		if why, ok := notEvaluated[c.Name]; ok {
			s += ", since " + why
		}
	case CauseWorkspace:
		s = "the workspace is not named"
	case CauseInput:
		s = fmt.Sprintf("input %q is not literal", c.Name)
	case CauseOutput:
		s = c.Name + " is an output of another state, which is not at hand"
	case CauseLimit:
		s = c.Name
	case CauseState:
		s = "the state does not tell " + c.Name
	case CauseIgnored:
		s = fmt.Sprintf("what was applied last of %q stays, since ignore_changes names it", c.Name)
	case CauseReused:
		s = "what was applied last of the values that are not given stays, since " + c.Name
	case CauseLive:
		s = fmt.Sprintf("what the live object has of %q stays, since the resource leaves it alone", c.Name)
	case CauseSensitive:
		s = c.Name + " is sensitive"
	default:
		s = c.Name + " is in error"
	}
	if c.Position.File != "" {
		s += " (" + c.Position.String() + ")"
	}
	return s
}

func compareCauses(a, b Cause) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Position.File, b.Position.File),
		cmp.Compare(a.Position.Line, b.Position.Line), cmp.Compare(a.Position.Column, b.Position.Column))
}

// maxCauses bounds how many causes of one value are named.
const maxCauses = 100

// furtherCauses stands for those that are not.
var furtherCauses = Cause{Kind: CauseLimit, Name: fmt.Sprintf("it has more than %d causes, of which not all are named", maxCauses)}

// sortCauses sorts causes and leaves out of too many those that are not the first of
// their kind.
func sortCauses(c []Cause) []Cause {
	slices.SortFunc(c, compareCauses)
	c = slices.Compact(c)
	if len(c) <= maxCauses+1 {
		return c
	}
	kinds := 1 // that of furtherCauses
	for i := range c {
		if c[i] != furtherCauses && (i == 0 || c[i].Kind != c[i-1].Kind) {
			kinds++
		}
	}
	out := make([]Cause, 0, maxCauses+1)
	others := maxCauses + 1 - kinds
	for i := range c {
		switch {
		case c[i] == furtherCauses:
		case i == 0 || c[i].Kind != c[i-1].Kind:
			out = append(out, c[i])
		case others > 0:
			others--
			out = append(out, c[i])
		}
	}
	i, _ := slices.BinarySearchFunc(out, furtherCauses, compareCauses)
	return slices.Insert(out, i, furtherCauses)
}

// fewCauses is sortCauses for what marks a value, which is in no order, if there are too many.
func fewCauses(c []Cause) []Cause {
	if len(c) <= maxCauses+1 {
		return c
	}
	return sortCauses(slices.Clone(c))
}

// secret marks a sensitive value; origin names what made it so.
type secret struct{ origin string }

// unknown is a value of type ty that is not known because of the causes.
func unknown(ty cty.Type, causes ...Cause) cty.Value {
	marks := make(cty.ValueMarks, len(causes))
	for _, c := range causes {
		marks[c] = struct{}{}
	}
	return cty.UnknownVal(ty).WithMarks(marks) // at once, since each time copies those before
}

func causesOf(m cty.ValueMarks) []Cause {
	var out []Cause
	for mark := range m {
		if c, ok := mark.(Cause); ok {
			out = append(out, c)
		}
	}
	return out
}

func secretsOf(m cty.ValueMarks) []string {
	var out []string
	for mark := range m {
		if s, ok := mark.(secret); ok {
			out = append(out, s.origin)
		}
	}
	slices.Sort(out)
	return out
}

// Causes says why v, or something in v, is not known; nil when all is known.
func Causes(v cty.Value) []Cause {
	var out []Cause
	collectCauses(v, nil, &out)
	return sortCauses(out)
}

func collectCauses(v cty.Value, above []Cause, out *[]Cause) {
	if v == cty.NilVal {
		return
	}
	bare, marks := v.Unmark()
	own := causesOf(marks)
	if len(own) == 0 {
		own = above
	}
	switch {
	case !bare.IsKnown():
		*out = append(*out, own...)
	case bare.IsNull():
	case bare.CanIterateElements():
		for it := bare.ElementIterator(); it.Next(); {
			_, e := it.Element()
			collectCauses(e, own, out)
		}
	}
}

// tidy returns v with causes on unknown parts only, each unknown part carrying
// at least one: its own, else those of what holds it, else the given ones.
// Marks of secrets stay where they are.
func tidy(v cty.Value, fallback func() []Cause) cty.Value {
	out, _ := tidyPart(v, nil, fallback)
	return out
}

// tidyPart reports also whether v is wholly known.
func tidyPart(v cty.Value, above []Cause, fallback func() []Cause) (cty.Value, bool) {
	bare, marks := v.Unmark()
	own := causesOf(marks)
	keep := cty.ValueMarks{}
	for m := range marks {
		if _, ok := m.(Cause); !ok {
			keep[m] = struct{}{}
		}
	}
	if len(own) == 0 {
		own = above
	}
	if !bare.IsKnown() {
		if len(own) == 0 {
			own = fallback()
		}
		for _, c := range fewCauses(own) {
			keep[c] = struct{}{}
		}
		return bare.WithMarks(keep), false
	}
	ty := bare.Type()
	if bare.IsNull() || ty.IsPrimitiveType() || ty.IsCapsuleType() || !bare.CanIterateElements() {
		return bare.WithMarks(keep), true
	}
	if ty.IsSetType() {
		if bare.IsWhollyKnown() {
			return bare.WithMarks(keep), true
		}
		if len(own) == 0 {
			own = fallback()
		}
		for _, c := range fewCauses(own) {
			keep[c] = struct{}{}
		}
		return bare.WithMarks(keep), false
	}
	known := true
	rebuilt := rebuild(bare, func(e cty.Value) cty.Value {
		e, ok := tidyPart(e, own, fallback)
		known = known && ok
		return e
	})
	return rebuilt.WithMarks(keep), known
}

// rebuild returns a copy of the known, unmarked list, tuple, map or object v
// with each element passed through f, which must keep the element's type.
func rebuild(v cty.Value, f func(cty.Value) cty.Value) cty.Value {
	ty := v.Type()
	if v.LengthInt() == 0 {
		return v
	}
	if ty.IsObjectType() || ty.IsMapType() {
		out := make(map[string]cty.Value, v.LengthInt())
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			out[k.AsString()] = f(e)
		}
		if ty.IsObjectType() {
			return cty.ObjectVal(out)
		}
		return cty.MapVal(out)
	}
	out := make([]cty.Value, 0, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		out = append(out, f(e))
	}
	if ty.IsTupleType() {
		return cty.TupleVal(out)
	}
	return cty.ListVal(out)
}

// redact returns v with everything sensitive replaced by an unknown value
// whose cause says so.
func redact(v cty.Value) cty.Value {
	if v == cty.NilVal {
		return v
	}
	bare, marks := v.Unmark()
	if origins := secretsOf(marks); len(origins) > 0 {
		var causes []Cause
		for _, o := range origins {
			causes = append(causes, Cause{Kind: CauseSensitive, Name: o})
		}
		return unknown(cty.DynamicPseudoType, causes...)
	}
	if !bare.IsKnown() {
		return v
	}
	ty := bare.Type()
	if bare.IsNull() || ty.IsSetType() || !bare.CanIterateElements() || bare.LengthInt() == 0 || !bare.ContainsMarked() {
		return v
	}
	// A list or map whose elements are partly withheld has no single element
	// type any more, so it becomes a tuple or an object.
	var out cty.Value
	if ty.IsObjectType() || ty.IsMapType() {
		m := make(map[string]cty.Value, bare.LengthInt())
		for it := bare.ElementIterator(); it.Next(); {
			k, e := it.Element()
			m[k.AsString()] = redact(e)
		}
		out = cty.ObjectVal(m)
	} else {
		l := make([]cty.Value, 0, bare.LengthInt())
		for it := bare.ElementIterator(); it.Next(); {
			_, e := it.Element()
			l = append(l, redact(e))
		}
		out = cty.TupleVal(l)
	}
	return out.WithMarks(marks)
}

func isSensitive(v cty.Value) bool {
	n := int64(0)
	return holdsSecret(v, &n)
}

// holdsSecret is isSensitive, and adds to n how many values were looked at.
func holdsSecret(v cty.Value, n *int64) bool {
	if *n++; v == cty.NilVal {
		return false
	}
	bare, marks := v.Unmark()
	for m := range marks {
		if _, ok := m.(secret); ok {
			return true
		}
	}
	if !bare.IsKnown() || bare.IsNull() || !bare.CanIterateElements() {
		return false
	}
	for it := bare.ElementIterator(); it.Next(); {
		if _, e := it.Element(); holdsSecret(e, n) {
			return true
		}
	}
	return false
}
