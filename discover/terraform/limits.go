package terraform

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Limits bound what reading a tree may cost. A zero field takes its default.
type Limits struct {
	FileBytes   int64 // size of one file; default 2 MiB
	TotalBytes  int64 // size of all files read; default 128 MiB
	Files       int   // files read; default 20,000
	Modules     int   // module instances; default 2,000
	ModuleDepth int   // modules inside modules; default 32
	Instances   int   // resource instances, and elements of one count, for_each or dynamic block; default 20,000
	Tokens      int   // words and signs of all configuration and templates that are parsed; default 1,500,000
	Nesting     int   // brackets inside brackets, and operators in one chain; default 200
	Work        int64 // values produced, in elements and in 64 bytes of text; default 5,000,000
}

func (l Limits) withDefaults() Limits {
	set := func(p *int, d int) {
		if *p <= 0 {
			*p = d
		}
	}
	set64 := func(p *int64, d int64) {
		if *p <= 0 {
			*p = d
		}
	}
	set64(&l.FileBytes, 2<<20)
	set64(&l.TotalBytes, 128<<20)
	set(&l.Files, 20_000)
	set(&l.Modules, 2_000)
	set(&l.ModuleDepth, 32)
	set(&l.Instances, 20_000)
	set(&l.Tokens, 1_500_000)
	set(&l.Nesting, 200)
	set64(&l.Work, 5_000_000)
	return l
}

// Work is what [Limits.Work] counts of what was read so far, and parsing beside it, for others to
// share a budget with it.
func (r *Result) Work() int64 {
	l := r.loader
	if l == nil {
		return 0
	}
	return l.limits.Work - max(l.budget.left, 0) + int64(l.syntax.tokens)/4
}

// WorkSpent reports whether there was more to evaluate than [Limits.Work] allows, or to parse than
// [Limits.Tokens].
func (r *Result) WorkSpent() bool {
	l := r.loader
	return l != nil && (l.budget.spent != nil || l.syntax.tokens > l.limits.Tokens)
}

// DefaultWork is what [Limits.Work] is if nothing else is said.
func DefaultWork() int64 { return Limits{}.withDefaults().Work }

// maxChain bounds how deep one reference leads to the next.
const maxChain = 1_000

// errWork is returned by evaluation once Limits.Work is used up.
var errWork = errors.New("evaluating the configuration takes more work than is allowed")

// budget counts what evaluation produces. It is not safe for concurrent use.
type budget struct {
	ctx   context.Context
	left  int64
	spent error // why evaluation has stopped, nil while it goes on
}

// charge takes n units, and reports why evaluation must stop, if it must.
func (b *budget) charge(n int64) error {
	if b.spent != nil {
		return b.spent
	}
	b.left -= n
	if b.left < 0 {
		b.spent = errWork
	}
	if err := b.ctx.Err(); err != nil {
		b.spent = fmt.Errorf("evaluate configuration: %w", err)
	}
	return b.spent
}

// afford is charge for one thing of many: what would take more than is left is
// refused by itself, and takes nothing from the others.
func (b *budget) afford(n int64) error {
	if b.spent == nil && n > b.left {
		return errWork
	}
	return b.charge(n)
}

func (b *budget) chargeValue(v cty.Value) error {
	n := int64(0)
	sizeOf(v, &n, b.left)
	return b.charge(n)
}

// sizeOf adds the size of v to n: one for each element, one more for each 64
// bytes of text. It stops soon after n exceeds limit, since values can share
// parts and be exponentially larger than the memory they hold.
func sizeOf(v cty.Value, n *int64, limit int64) {
	*n++
	if v == cty.NilVal || *n > limit {
		return
	}
	bare, marks := v.Unmark()
	*n += int64(len(marks))
	if !bare.IsKnown() || bare.IsNull() {
		return
	}
	switch bare.Type() {
	case cty.String:
		*n += int64(len(bare.AsString()) / 64)
		return
	case cty.Number:
		// A number with a large exponent has as many digits as text.
		if e := int64(bare.AsBigFloat().MantExp(nil)); e > 1024 || e < -1024 {
			*n += max(e, -e) / 16
		}
		return
	}
	if !bare.CanIterateElements() {
		return
	}
	for it := bare.ElementIterator(); it.Next() && *n <= limit; {
		_, e := it.Element()
		sizeOf(e, n, limit)
	}
}

// documentWork is what decoding a document of YAML or JSON costs: two for each
// value that it may hold, and one for each 64 bytes.
func documentWork(text string) int64 {
	return int64(2*(strings.Count(text, ",")+strings.Count(text, ":")+strings.Count(text, "\n")) + len(text)/64)
}
