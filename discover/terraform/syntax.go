package terraform

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// expression is a parsed expression, prepared for evaluation: every node that
// can produce much from little is metered.
type expression struct {
	hclsyntax.Expression
	refs  []hcl.Traversal // references into the scope of the module
	calls []string        // names of the functions called
	names map[string]bool // attribute names and literal strings that are mentioned
}

// syntax parses and prepares source text. All that it parses shares a budget.
type syntax struct {
	budget  *budget
	limits  Limits
	diags   *diagnostics
	prepare map[hclsyntax.Expression]*expression
	names   map[string]bool // union of all expressions' names
	tokens  int             // that were parsed
	// newer reports whether a folder is written for Terraform since 0.12; nil if nobody knows.
	newer func(dir string) bool
	// templates are those that were parsed, by file and text: the same one is
	// often rendered for each instance of something.
	templates map[[2]string]*expression
	// functions are those of the language; nil before they are known.
	functions map[string]function.Function
}

// parse reads a file of HCL. What Terraform 0.11 accepted and later versions
// do not is rewritten first. It returns nil when nothing could be read.
func (s *syntax) parse(src []byte, name string) *hclsyntax.Body {
	body, _ := s.parseWhole(src, name)
	return body
}

// parseWhole is parse, and returns the line of the first error; 0 without one.
func (s *syntax) parseWhole(src []byte, name string) (body *hclsyntax.Body, wrong int) {
	if err := s.check(src, name); err != nil {
		s.diags.error(Position{File: name}, fileNotRead, err.Error())
		return nil, 1
	}
	file, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		newer := sync.OnceValue(func() bool { return writtenForHCL2(src, name) || s.newer != nil && s.newer(path.Dir(name)) })
		if old, changed, moved := modernize(src, name, newer); changed && s.check(old, name) == nil {
			if f, d := hclsyntax.ParseConfig(old, name, hcl.InitialPos); !d.HasErrors() {
				file, diags = f, d
				if moved > 0 {
					s.diags.warn(Position{File: name}, "line numbers are not exact", fmt.Sprintf("the file has several arguments, or blocks in blocks, on one line, as Terraform up to 0.11 allowed; lines after them are counted up to %d too high", moved))
				}
			}
		}
	}
	s.diags.parse(diags)
	for _, d := range diags {
		if d.Severity == hcl.DiagError && d.Subject != nil && (wrong == 0 || d.Subject.Start.Line < wrong) {
			wrong = d.Subject.Start.Line
		}
	}
	if diags.HasErrors() {
		wrong = max(wrong, 1)
	}
	if file == nil {
		return nil, max(wrong, 1)
	}
	body, _ = file.Body.(*hclsyntax.Body)
	return body, wrong
}

// template parses the text of a template.
func (s *syntax) template(src []byte, name string) (*expression, error) {
	key := [2]string{name, string(src)}
	if e := s.templates[key]; e != nil {
		return e, nil
	}
	if err := s.checkTemplate(src, name); err != nil {
		return nil, err
	}
	e, diags := hclsyntax.ParseTemplate(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, fmt.Errorf("%s: %s", at(*diags[0].Subject), diags[0].Summary)
	}
	s.templates[key] = s.expr(e)
	return s.templates[key], nil
}

// literal parses one expression, such as the value of a -var.
func (s *syntax) literal(src, name string) (*expression, error) {
	if err := s.check([]byte(src), name); err != nil {
		return nil, err
	}
	e, diags := hclsyntax.ParseExpression([]byte(src), name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, fmt.Errorf("%s", diags[0].Summary)
	}
	return s.expr(e), nil
}

func (s *syntax) check(src []byte, name string) error {
	return s.checkTokens(src, name, 1, hclsyntax.LexConfig)
}

func (s *syntax) checkTemplate(src []byte, name string) error {
	// What is put into a text takes more memory than other syntax.
	return s.checkTokens(src, name, 2, hclsyntax.LexTemplate)
}

func (s *syntax) checkTokens(src []byte, name string, weight int, lex func([]byte, string, hcl.Pos) (hclsyntax.Tokens, hcl.Diagnostics)) error {
	if err := s.count(0); err != nil {
		return err
	}
	tokens, _ := lex(src, name, hcl.InitialPos) // the parser reports what is wrong
	if err := s.count(weight * len(tokens)); err != nil {
		return err
	}
	return checkNesting(tokens, s.limits.Nesting)
}

// count adds to what is parsed, and refuses more than is allowed: a tree of
// syntax is a hundred times larger than its text.
func (s *syntax) count(tokens int) error {
	if s.tokens += tokens; s.tokens > s.limits.Tokens {
		return fmt.Errorf("all that is read is more than %d words and signs", s.limits.Tokens)
	}
	return nil
}

// checkNesting refuses what would take the recursive parser and evaluator too
// deep: brackets in brackets, template directives in directives, and chains of
// operators, which nest as well.
func checkNesting(tokens hclsyntax.Tokens, limit int) error {
	type level struct {
		lines bool // a newline ends what stands on the line
		ops   int
	}
	open := []level{{lines: true}}
	directives := 0
	for i, t := range tokens {
		top := &open[len(open)-1]
		switch t.Type {
		case hclsyntax.TokenOBrace:
			open = append(open, level{lines: true})
		case hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			open = append(open, level{})
		case hclsyntax.TokenTemplateControl:
			open = append(open, level{})
			if i+1 < len(tokens) {
				switch word := string(tokens[i+1].Bytes); {
				case word == "if" || word == "for":
					directives++
				case strings.HasPrefix(word, "end") && directives > 0:
					directives--
				}
			}
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			if len(open) > 1 {
				open = open[:len(open)-1]
			}
		case hclsyntax.TokenComma:
			top.ops = 0
		case hclsyntax.TokenNewline:
			if top.lines {
				top.ops = 0
			}
		case hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPercent,
			hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenBang, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual,
			hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenQuestion:
			top.ops++
		case hclsyntax.TokenNumberLit:
			if e := bytes.IndexAny(t.Bytes, "eE"); len(t.Bytes) > 400 || e >= 0 && len(t.Bytes)-e > 6 {
				return fmt.Errorf("line %d: the number is too large", t.Range.Start.Line)
			}
		}
		if len(open) > limit || directives > limit || open[len(open)-1].ops > limit {
			return fmt.Errorf("line %d: nested deeper than %d levels", t.Range.Start.Line, limit)
		}
	}
	return nil
}

// expr prepares e, once.
func (s *syntax) expr(e hclsyntax.Expression) *expression {
	if x, ok := e.(*expression); ok {
		return x
	}
	if x, ok := s.prepare[e]; ok {
		return x
	}
	x := &expression{refs: hclsyntax.Variables(e), names: map[string]bool{}}
	x.Expression = s.meter(e, x)
	for n := range x.names {
		s.names[n] = true
	}
	s.prepare[e] = x
	return x
}

// UnwrapExpression lets the HCL library see what is prepared.
func (e *expression) UnwrapExpression() hcl.Expression { return e.Expression }

// part returns a part of e as an expression of its own, with the references
// that stand in it.
func (e *expression) part(sub hclsyntax.Expression) *expression {
	out := &expression{Expression: sub, calls: e.calls, names: e.names}
	r := sub.Range()
	for _, t := range e.refs {
		if at := t.SourceRange(); at.Filename == r.Filename && at.Start.Byte >= r.Start.Byte && at.End.Byte <= r.End.Byte {
			out.refs = append(out.refs, t)
		}
	}
	return out
}

// metered charges the budget for what an expression produced, and for what is made of
// it where it stands.
type metered struct {
	hclsyntax.Expression
	budget *budget
	made   func(*comparisons, cty.Value) // nil where it is taken as it is
	work   int64                         // of evaluating it, whatever it produces
}

// condition charges the budget for what bringing its results to one type takes.
type condition struct {
	*hclsyntax.ConditionalExpr
	budget *budget
}

// UnwrapExpression lets the HCL library see what is metered.
func (c *condition) UnwrapExpression() hcl.Expression { return c.ConditionalExpr }

// Value evaluates the condition, whose first result is evaluated before the second.
func (c *condition) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	e, first := *c.ConditionalExpr, &kept{Expression: c.TrueResult}
	e.TrueResult = first
	e.FalseResult = &metered{Expression: c.FalseResult, budget: c.budget, made: func(n *comparisons, v cty.Value) { n.either(first.value, v) }}
	return e.Value(ctx)
}

// lookup is a call of that function, which makes of a default what the elements of a map are.
type lookup struct {
	*hclsyntax.FunctionCallExpr
	budget *budget
}

// UnwrapExpression lets the HCL library see what is metered.
func (l *lookup) UnwrapExpression() hcl.Expression { return l.FunctionCallExpr }

// Value evaluates the call, whose arguments are evaluated in their order.
func (l *lookup) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	e, in := *l.FunctionCallExpr, &kept{Expression: l.Args[0]}
	e.Args = slices.Clone(l.Args)
	e.Args[0] = in
	e.Args[2] = &metered{Expression: l.Args[2], budget: l.budget, made: func(n *comparisons, v cty.Value) {
		if ty := in.value.Type(); ty.IsMapType() {
			n.convert(v, ty.ElementType())
		}
	}}
	return e.Value(ctx)
}

// kept keeps what an expression gave.
type kept struct {
	hclsyntax.Expression
	value cty.Value
}

// UnwrapExpression lets the HCL library see what is kept.
func (k *kept) UnwrapExpression() hcl.Expression { return k.Expression }

// Value evaluates the expression.
func (k *kept) Value(ctx *hcl.EvalContext) (v cty.Value, diags hcl.Diagnostics) {
	k.value, diags = k.Expression.Value(ctx)
	return k.value, diags
}

// textWork is what evaluating an expression takes by its length, whatever it produces:
// lists may be written out of which nothing stays.
func textWork(e hclsyntax.Expression) int64 {
	return int64(e.Range().End.Byte-e.Range().Start.Byte) / 16
}

// UnwrapExpression lets the HCL library see what is metered.
func (m *metered) UnwrapExpression() hcl.Expression { return m.Expression }

// Value evaluates the expression, or refuses to once the budget is used up.
func (m *metered) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if m.budget.spent != nil {
		return cty.DynamicVal, m.refuse(m.budget.spent)
	}
	if err := m.budget.charge(m.work); err != nil {
		return cty.DynamicVal, m.refuse(err)
	}
	v, diags := m.Expression.Value(ctx)
	if m.made != nil {
		if err := m.budget.foresee(func(c *comparisons) { m.made(c, v) }); err != nil {
			return cty.DynamicVal, m.refuse(err)
		}
		return v, diags
	}
	if err := m.budget.chargeValue(v); err != nil {
		return cty.DynamicVal, m.refuse(err)
	}
	if t, ok := m.Expression.(*hclsyntax.ScopeTraversalExpr); ok && !diags.HasErrors() {
		v = nameWhole(v, t.Traversal)
	}
	return v, diags
}

// nameWhole lets the cause of an unknown value name all that the reference t
// asks for: data.x.y.outputs.url, where only data.x.y.outputs is known to be
// computed.
func nameWhole(v cty.Value, t hcl.Traversal) cty.Value {
	bare, marks := v.Unmark()
	causes := causesOf(marks)
	if bare.IsKnown() || len(causes) != 1 || causes[0].Kind != CauseComputed && causes[0].Kind != CauseData && causes[0].Kind != CauseInput && causes[0].Kind != CauseOutput {
		return v
	}
	c := causes[0]
	whole := traversalText(t)
	for k := len(t) - 1; k > 0; k-- {
		if head := traversalText(t[:k]); strings.HasSuffix(c.Name, head) {
			c.Name += strings.TrimPrefix(whole, head)
			delete(marks, causes[0])
			marks[c] = struct{}{}
			return bare.WithMarks(marks)
		}
	}
	return v
}

func (m *metered) refuse(err error) hcl.Diagnostics {
	return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "evaluation stopped", Detail: err.Error(), Subject: m.Range().Ptr()}}
}

// bare returns the expression without meters.
func bare(e hclsyntax.Expression) hclsyntax.Expression {
	for {
		switch x := e.(type) {
		case *metered:
			e = x.Expression
		case *condition:
			e = x.ConditionalExpr
		case *lookup:
			e = x.FunctionCallExpr
		case *expression:
			e = x.Expression
		default:
			return e
		}
	}
}

// meter rewrites the tree below e so that references, calls, templates and
// the bodies of loops are metered, and notes in x what is mentioned.
func (s *syntax) meter(e hclsyntax.Expression, x *expression) hclsyntax.Expression {
	wrap := func(e hclsyntax.Expression) hclsyntax.Expression { return &metered{Expression: e, budget: s.budget} }
	made := func(e hclsyntax.Expression, made func(*comparisons, cty.Value)) hclsyntax.Expression {
		return &metered{Expression: e, budget: s.budget, made: made}
	}
	all := func(list []hclsyntax.Expression) {
		for i := range list {
			list[i] = s.meter(list[i], x)
		}
	}
	switch e := e.(type) {
	case nil:
		return nil
	case *hclsyntax.ScopeTraversalExpr:
		mention(e.Traversal, x)
		return wrap(e)
	case *hclsyntax.RelativeTraversalExpr:
		mention(e.Traversal, x)
		e.Source = s.meter(e.Source, x)
		return e
	case *hclsyntax.FunctionCallExpr:
		x.calls = append(x.calls, e.Name)
		if e.Name == "lookup" && len(e.Args) > 1 {
			mentionKey(e.Args[1], x)
		}
		all(e.Args)
		for i, last := range e.Args {
			if to := s.parameter(e.Name, i); to != cty.DynamicPseudoType && to != cty.NilType {
				e.Args[i] = made(last, argument(to, e.ExpandFinal && i == len(e.Args)-1))
			}
		}
		if strings.TrimPrefix(e.Name, "core::") == "lookup" && len(e.Args) == 3 {
			return wrap(&lookup{e, s.budget})
		}
		return wrap(e)
	case *hclsyntax.ConditionalExpr:
		e.Condition, e.TrueResult, e.FalseResult = s.meter(e.Condition, x), s.meter(e.TrueResult, x), s.meter(e.FalseResult, x)
		return &condition{e, s.budget}
	case *hclsyntax.BinaryOpExpr:
		e.LHS, e.RHS = s.meter(e.LHS, x), s.meter(e.RHS, x)
	case *hclsyntax.UnaryOpExpr:
		e.Val = s.meter(e.Val, x)
	case *hclsyntax.ParenthesesExpr:
		e.Expression = s.meter(e.Expression, x)
	case *hclsyntax.IndexExpr:
		mentionKey(e.Key, x)
		e.Collection, e.Key = s.meter(e.Collection, x), s.meter(e.Key, x)
	case *hclsyntax.SplatExpr:
		e.Source, e.Each = s.meter(e.Source, x), s.meter(e.Each, x)
		return wrap(e)
	case *hclsyntax.ForExpr:
		e.CollExpr = s.meter(e.CollExpr, x)
		turn := func(e hclsyntax.Expression) hclsyntax.Expression {
			return &metered{Expression: s.meter(e, x), budget: s.budget, work: textWork(e)}
		}
		if e.KeyExpr != nil {
			e.KeyExpr = turn(e.KeyExpr)
		}
		if e.CondExpr != nil {
			e.CondExpr = turn(e.CondExpr)
		}
		e.ValExpr = turn(e.ValExpr)
	case *hclsyntax.ObjectConsExpr:
		for i := range e.Items {
			e.Items[i].KeyExpr, e.Items[i].ValueExpr = s.meter(e.Items[i].KeyExpr, x), s.meter(e.Items[i].ValueExpr, x)
		}
	case *hclsyntax.ObjectConsKeyExpr:
		// A key that is a bare word is not a reference, and must stay as it is.
		if hcl.ExprAsKeyword(e.Wrapped) == "" || e.ForceNonLiteral {
			if _, ok := e.Wrapped.(*hclsyntax.ScopeTraversalExpr); !ok {
				e.Wrapped = s.meter(e.Wrapped, x)
			}
		}
	case *hclsyntax.TupleConsExpr:
		all(e.Exprs)
	case *hclsyntax.TemplateExpr:
		all(e.Parts)
		return wrap(e)
	case *hclsyntax.TemplateJoinExpr:
		e.Tuple = s.meter(e.Tuple, x)
		return wrap(e)
	case *hclsyntax.TemplateWrapExpr:
		e.Wrapped = s.meter(e.Wrapped, x)
	}
	return e
}

// unified are the types of which functions make an argument that they take as it is.
var unified = map[string]cty.Type{
	"tolist": cty.List(cty.DynamicPseudoType), "toset": cty.Set(cty.DynamicPseudoType), "tomap": cty.Map(cty.DynamicPseudoType),
	"setproduct": cty.List(cty.DynamicPseudoType),
}

// parameter is the type of which a function's i-th argument is made, where that may take
// more than the argument is large; else none.
func (s *syntax) parameter(name string, i int) cty.Type {
	if ty, ok := unified[strings.TrimPrefix(name, "core::")]; ok {
		return ty
	}
	f, ok := s.functions[name]
	if !ok {
		return cty.NilType
	}
	ty := cty.NilType
	if params := f.Params(); i < len(params) {
		ty = params[i].Type
	} else if f.VarParam() != nil {
		ty = f.VarParam().Type
	}
	if ty == cty.NilType || !ty.IsCollectionType() {
		return cty.NilType
	}
	return ty
}

// argument counts what making an argument of a type takes, or, of one that holds several,
// each of them.
func argument(to cty.Type, several bool) func(*comparisons, cty.Value) {
	if !several {
		return func(c *comparisons, v cty.Value) { c.convert(v, to) }
	}
	return func(c *comparisons, v cty.Value) {
		v, _ = v.Unmark()
		if v == cty.NilVal || !v.IsKnown() || v.IsNull() || !v.CanIterateElements() {
			return
		}
		for it := v.ElementIterator(); it.Next() && c.n <= c.limit; {
			_, e := it.Element()
			c.convert(e, to)
		}
	}
}

// mentionKey notes the name that an index or a lookup gives as literal text.
func mentionKey(e hclsyntax.Expression, x *expression) {
	if t, ok := e.(*hclsyntax.TemplateExpr); ok && t.IsStringLiteral() {
		if v, diags := t.Value(nil); !diags.HasErrors() {
			x.names[v.AsString()] = true
		}
	}
}

func mention(t hcl.Traversal, x *expression) {
	for _, step := range t {
		switch step := step.(type) {
		case hcl.TraverseAttr:
			x.names[step.Name] = true
		case hcl.TraverseIndex:
			if step.Key.Type() == cty.String && step.Key.IsKnown() && !step.Key.IsNull() {
				x.names[step.Key.AsString()] = true
			}
		}
	}
}
