package terraform

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Severity of a Diagnostic.
type Severity string

// An Error means that something in the files was not understood; a Warning
// that it was, and that a person should look at it.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Diagnostic is a problem in the files read. Its texts hold no sensitive value.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"`
	Detail   string   `json:"detail,omitempty"`
	Position Position `json:"position,omitzero"`
}

func (d Diagnostic) String() string {
	s := string(d.Severity) + ": " + d.Summary
	if p := d.Position.String(); p != "" {
		s = p + ": " + s
	}
	if d.Detail != "" {
		s += ": " + d.Detail
	}
	return s
}

// maxDiagnostics bounds how many are kept: one hostile file can hold millions.
const maxDiagnostics = 1000

// The summaries of what keeps a whole file, or all that follows, from being
// understood.
const (
	limitReached = "a limit is reached"
	fileNotRead  = "the file is not read"
)

type diagnostics struct {
	list []Diagnostic
	seen map[Diagnostic]bool
	full bool
}

func (d *diagnostics) add(n Diagnostic) {
	if d.seen == nil {
		d.seen = map[Diagnostic]bool{}
	}
	// What was not read at all is said even so.
	whole := n.Summary == limitReached || n.Summary == fileNotRead
	if d.seen[n] || d.full && (!whole || len(d.list) > 2*maxDiagnostics) {
		return
	}
	if len(d.list) == maxDiagnostics && !d.full {
		d.full = true
		d.list = append(d.list, Diagnostic{Severity: Error, Summary: "more problems than are listed"})
		if !whole {
			return
		}
	}
	d.seen[n] = true
	d.list = append(d.list, n)
}

// forgetEmptyIndexes takes back, of what was added since there were n, that a block takes
// an element of a collection without elements: where it is not known whether the block
// makes anything, that may never be asked for.
func (d *diagnostics) forgetEmptyIndexes(n int, b *hclsyntax.Block) {
	whole := b.Range()
	end := max(whole.End.Line, b.Body.SrcRange.End.Line, b.Body.EndRange.End.Line)
	d.list = append(d.list[:n], slices.DeleteFunc(slices.Clone(d.list[n:]), func(x Diagnostic) bool {
		in := x.Position.File == whole.Filename && x.Position.Line >= whole.Start.Line && x.Position.Line <= end
		return in && x.Summary == "Invalid index" && strings.Contains(x.Detail, "has no elements")
	})...)
}

func (d *diagnostics) error(p Position, summary, detail string) {
	d.add(Diagnostic{Severity: Error, Summary: summary, Detail: detail, Position: p})
}

func (d *diagnostics) warn(p Position, summary, detail string) {
	d.add(Diagnostic{Severity: Warning, Summary: summary, Detail: detail, Position: p})
}

// parse adds the diagnostics of a parser, which quote no values.
func (d *diagnostics) parse(ds hcl.Diagnostics) {
	for _, n := range ds {
		d.hcl(n, "")
	}
}

// hcl adds one diagnostic of the HCL library, without its detail when there is
// a reason to withhold it: it might quote a secret.
func (d *diagnostics) hcl(n *hcl.Diagnostic, withhold string) {
	out := Diagnostic{Severity: Error, Summary: n.Summary, Detail: strings.Join(strings.Fields(n.Detail), " ")}
	if n.Severity == hcl.DiagWarning {
		out.Severity = Warning
	}
	if withhold != "" {
		out.Detail = "the detail is withheld, since " + withhold
	}
	if len(out.Detail) > 500 {
		out.Detail = strings.ToValidUTF8(out.Detail[:500], "") + "…"
	}
	if n.Subject != nil {
		out.Position = at(*n.Subject)
	}
	d.add(out)
}

func (d *diagnostics) sorted() []Diagnostic {
	out := slices.Clone(d.list)
	slices.SortStableFunc(out, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Position.File, b.Position.File), cmp.Compare(a.Position.Line, b.Position.Line), cmp.Compare(a.Position.Column, b.Position.Column))
	})
	return out
}
