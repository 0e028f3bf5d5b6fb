package terraform

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"helm.sh/helm/v3/pkg/strvals"
	"sigs.k8s.io/yaml"
)

// HelmRelease is one helm_release instance: what the provider would hand to
// Helm. A nil Node means that the argument is not set.
type HelmRelease struct {
	Address  string
	Resource *Resource
	// Unknown is set when it is not known whether the release exists.
	Unknown []Cause

	Name            *Node
	Namespace       *Node // without the argument: default, by the provider
	Chart           *Node
	Repository      *Node
	RepositoryURL   *Node // of Repository, if that is the name of a helm_repository
	Version         *Node
	CreateNamespace *Node
	Provider        ProviderRef

	// Values are the values documents and set arguments, merged as the
	// provider does. Chart defaults are not in them.
	Values *Node

	// State is what it was read from, where that is a state alone; else nil.
	State *StateResource `json:"-"`

	Position Position
}

// HelmRepository is a helm_repository data source or resource, of providers
// up to 1.x.
type HelmRepository struct {
	Address  string
	Name     *Node
	URL      *Node
	Position Position
}

// HelmReleases returns the releases that a configuration declares, by address.
// What is wrong with their values is added to r.Diagnostics.
func HelmReleases(ctx context.Context, r *Result) []*HelmRelease {
	defer r.during(ctx)()
	repositories := helmRepositories(r)
	var out []*HelmRelease
	for _, x := range r.Instances("helm_release") {
		h := &HelmRelease{
			Address: x.Address, Resource: x, Unknown: x.Unknown, Provider: x.Provider, Position: x.Position,
			Name: x.Field("name"), Namespace: x.Field("namespace"), Chart: x.Field("chart"), Repository: x.Field("repository"),
			Version: x.Field("version"), CreateNamespace: x.Field("create_namespace"),
		}
		if h.Namespace == nil {
			h.Namespace = &Node{Kind: Scalar, Scalar: "default", Origin: Origin{Argument: "default of the provider", Position: x.Position}}
		}
		if c := x.ignores("version"); c != nil {
			h.Version = &Node{Kind: Unknown, Causes: []Cause{*c}, Origin: Origin{Argument: "version", Position: c.Position}}
		}
		h.RepositoryURL = repositoryURL(h, repositories)
		m := &valueMerger{l: x.scope.l, resource: x}
		h.Values = m.merge()
		out = append(out, h)
	}
	return out
}

// during lets r be evaluated further under another context, until the function
// that it returns is called.
func (r *Result) during(ctx context.Context) func() {
	l := r.loader
	l.tree.ctx, l.budget.ctx = ctx, ctx
	return func() { r.Diagnostics = l.diags.sorted() }
}

// repositoryURL finds the address of a repository that is named, or that is
// the part of the chart before the slash.
func repositoryURL(h *HelmRelease, known []*HelmRepository) *Node {
	name, ok := h.Repository.Str()
	if h.Repository == nil {
		if chart, set := h.Chart.Str(); set && !strings.Contains(chart, "://") && strings.Count(chart, "/") == 1 && !strings.HasPrefix(chart, ".") {
			name, _, ok = strings.Cut(chart, "/")
		}
	}
	switch {
	case !ok:
		return h.Repository
	case strings.Contains(name, "://"):
		return h.Repository
	}
	for _, r := range known {
		if n, ok := r.Name.Str(); ok && n == name && r.URL != nil {
			return r.URL
		}
	}
	return nil
}

// HelmRepositories returns the chart repositories that a configuration names.
func HelmRepositories(ctx context.Context, r *Result) []*HelmRepository {
	defer r.during(ctx)()
	return helmRepositories(r)
}

func helmRepositories(r *Result) []*HelmRepository {
	var out []*HelmRepository
	for _, typ := range []string{"data.helm_repository", "helm_repository"} {
		for _, x := range r.Instances(typ) {
			out = append(out, &HelmRepository{Address: x.Address, Name: x.Field("name"), URL: x.Field("url"), Position: x.Position})
		}
	}
	return out
}

// Field returns an argument of a resource as a node: nil when it is not set or
// null.
func (r *Resource) Field(name string) *Node { return r.Body.field(r.scope.l, name) }

func (b *Body) field(l *loader, name string) *Node {
	a := b.Attributes[name]
	if a == nil {
		return nil
	}
	blanks := &blanks{}
	v := a.partial(l, blanks)
	if v.IsNull() {
		return nil
	}
	return nodeOf(v, blanks, Origin{Argument: name, Position: a.Position})
}

// partial evaluates an attribute with blanks for what is not known.
func (a *Attribute) partial(l *loader, b *blanks) cty.Value {
	p := &partialEnv{l: l, scope: a.scope, ctx: a.scope.context(a.expr, a.in), blanks: b}
	if a.hidden {
		return p.fill(*a.raw, p.gapIn(a.expr))
	}
	return p.partial(a.expr)
}

// nodeOf makes a node of a value that partial evaluation returned.
func nodeOf(v cty.Value, b *blanks, origin Origin) *Node {
	v, _ = v.UnmarkDeep()
	ty := v.Type()
	switch {
	case !v.IsKnown():
		return &Node{Kind: Unknown, Origin: origin}
	case v.IsNull():
		return &Node{Kind: Scalar, Origin: origin}
	case ty == cty.String:
		return b.node(v.AsString(), origin)
	case ty == cty.Bool:
		return &Node{Kind: Scalar, Scalar: v.True(), Origin: origin}
	case ty == cty.Number:
		if i, acc := v.AsBigFloat().Int64(); acc == 0 {
			return &Node{Kind: Scalar, Scalar: i, Origin: origin}
		}
		f, _ := v.AsBigFloat().Float64()
		return &Node{Kind: Scalar, Scalar: f, Origin: origin}
	case ty.IsObjectType() || ty.IsMapType():
		out := &Node{Kind: Map, Map: map[string]*Node{}, Origin: origin}
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			if causes := b.further(k.AsString()); causes != nil {
				out.Causes = sortCauses(append(out.Causes, causes...))
				continue
			}
			out.Map[k.AsString()] = nodeOf(e, b, origin)
		}
		return out
	case v.CanIterateElements():
		out := &Node{Kind: List, Origin: origin}
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			out.List = append(out.List, nodeOf(e, b, origin))
		}
		return out
	}
	return &Node{Kind: Unknown, Origin: origin}
}

// valueMerger puts the values of one release together.
type valueMerger struct {
	l        *loader
	resource *Resource
	blanks   blanks
	leaves   []*Node
	set      map[string]string // name of each set → its value, to find two of one name
}

func (m *valueMerger) merge() *Node {
	out := &Node{Kind: Map, Map: map[string]*Node{}, Origin: Origin{Position: m.resource.Position}}
	documents := m.documents()
	if c := m.resource.ignores("values"); c != nil {
		documents = []*Node{{Kind: Unknown, Causes: []Cause{*c}, Origin: Origin{Argument: "values", Position: c.Position}}}
	}
	for _, doc := range documents {
		switch doc.Kind {
		case Map:
			out = merge(out, doc)
		case Sensitive:
			out = out.cover([]Cause{{CauseSensitive, doc.Origin.Argument, doc.Origin.Position}}, doc.Origin)
		case Unknown:
			out = out.cover(doc.Causes, doc.Origin)
		}
	}
	m.set = map[string]string{}
	for _, argument := range []string{"set", "set_string", "set_list", "set_sensitive"} {
		if c := m.resource.ignores(argument); c != nil {
			out = out.cover([]Cause{*c}, Origin{Argument: argument, Position: c.Position})
			continue
		}
		for _, s := range m.settings(argument) {
			out = m.apply(out, s)
		}
	}
	out = merge(out, m.writeOnly())
	out.spread(nil)
	return out
}

// writeOnly are the values of set_wo, which the provider puts together by
// themselves and lays over the others. It reads them only with a
// set_wo_revision above 0; nil without.
func (m *valueMerger) writeOnly() *Node {
	settings := m.settings("set_wo")
	if len(settings) == 0 {
		return nil
	}
	revision, ignored := m.resource.Field("set_wo_revision"), cmp.Or(m.resource.ignores("set_wo_revision"), m.resource.ignores("set_wo"))
	var open []Cause
	switch {
	case ignored != nil:
		open = []Cause{*ignored}
	case revision != nil && revision.Kind == Unknown:
		open = revision.Causes
	case revision != nil && revision.Kind == Sensitive:
		open = []Cause{{CauseSensitive, "set_wo_revision", revision.Origin.Position}}
	default:
		if n, err := strconv.ParseFloat(revision.String(), 64); err != nil || n <= 0 {
			m.l.diags.warn(settings[0].pos, "set_wo is not read", "the provider gives Helm what it sets only with a set_wo_revision above 0")
			return nil
		}
	}
	origin := Origin{Argument: "set_wo", Position: settings[0].pos}
	out := &Node{Kind: Map, Map: map[string]*Node{}, Origin: origin}
	for _, s := range settings {
		out = m.apply(out, s)
	}
	if len(open) > 0 {
		out = out.cover(open, origin)
	}
	return out
}

// documents returns the values argument as one node for each document.
func (m *valueMerger) documents() []*Node {
	a := m.resource.Body.Attributes["values"]
	if a == nil {
		return nil
	}
	origin := Origin{Argument: "values", Position: a.Position}
	v := a.partial(m.l, &m.blanks)
	switch {
	case v.IsNull():
		return nil
	case v.Type() == cty.String:
		n := m.blanks.node(v.AsString(), origin)
		if n.Kind == Scalar {
			m.l.diags.warn(a.Position, "values is not a list", "it is read as one document")
			return []*Node{m.document(v.AsString(), origin)}
		}
		return []*Node{n}
	case !v.IsKnown() || !v.CanIterateElements():
		return []*Node{{Kind: Unknown, Causes: []Cause{{CauseError, "values", a.Position}}, Origin: origin}}
	}
	var out []*Node
	positions := elementPositions(a.expr)
	list := v.AsValueSlice()
	for i, e := range list {
		origin := Origin{Argument: fmt.Sprintf("values[%d]", i), Position: a.Position}
		if len(positions) == len(list) {
			origin.Position = positions[i]
		}
		inner := []cty.Value{e}
		if !e.IsNull() && (e.Type().IsTupleType() || e.Type().IsListType()) {
			inner = e.AsValueSlice() // ["${var.list}"] of Terraform up to 0.11
		}
		for _, d := range inner {
			if d.IsNull() {
				continue
			}
			text, err := convert.Convert(d, cty.String)
			if err != nil || !text.IsKnown() {
				m.l.diags.error(origin.Position, "a document of values is not text", origin.Argument)
				out = append(out, &Node{Kind: Unknown, Causes: []Cause{{CauseError, origin.Argument, origin.Position}}, Origin: origin})
				continue
			}
			out = append(out, m.document(text.AsString(), origin))
		}
	}
	return out
}

// elementPositions returns where the elements of a list stand, if the list is
// written out or put together by concat of such lists.
func elementPositions(e hclsyntax.Expression) []Position {
	switch e := bare(e).(type) {
	case *hclsyntax.TupleConsExpr:
		var out []Position
		for _, x := range e.Exprs {
			out = append(out, at(x.Range()))
		}
		return out
	case *hclsyntax.FunctionCallExpr:
		if e.Name != "concat" {
			return nil
		}
		var out []Position
		for _, x := range e.Args {
			list := elementPositions(x)
			if list == nil {
				return nil
			}
			out = append(out, list...)
		}
		return out
	}
	return nil
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// document parses one document of values. An error names the line and quotes
// nothing, since values hold secrets that nobody marked.
func (m *valueMerger) document(text string, origin Origin) *Node {
	if hasBlankMarks(text) {
		if n := m.blanks.shape(text); n != nil {
			n.Origin = origin
			for i := range n.Causes {
				if n.Causes[i].Position.File == "" {
					n.Causes[i].Position = origin.Position
				}
			}
			return n
		}
	}
	broken := func(why string) *Node {
		if causes := m.blanks.allCauses(text); len(causes) > 0 {
			return &Node{Kind: Unknown, Causes: causes, Origin: origin}
		}
		m.l.diags.error(origin.Position, "a document of values is not read", origin.Argument+": "+why)
		return &Node{Kind: Unknown, Causes: []Cause{{CauseError, origin.Argument, origin.Position}}, Origin: origin}
	}
	if hasTokenMarks(text) {
		return broken("it holds private-use characters")
	}
	if err := checkYAML(text, m.l.limits.Nesting); err != nil {
		return broken(err.Error())
	}
	if err := m.l.budget.charge(documentWork(text) + int64(len(text)/16)); err != nil {
		return broken(err.Error())
	}
	var tree any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		if line := yamlLine.FindString(err.Error()); line != "" {
			return broken("it is not YAML, " + line)
		}
		return broken("it is not YAML")
	}
	if tree == nil {
		return &Node{Kind: Map, Map: map[string]*Node{}, Origin: origin}
	}
	if _, ok := tree.(map[string]any); !ok {
		return broken("it is not a map")
	}
	size := 0
	n, certain := m.decode(tree, origin, &size)
	if !certain {
		return &Node{Kind: Unknown, Causes: m.blanks.allCauses(text), Origin: origin}
	}
	return n
}

// decode makes nodes of decoded YAML or of what --set made. It is not certain
// when a blank stands in a key.
func (m *valueMerger) decode(v any, origin Origin, size *int) (*Node, bool) {
	*size++
	switch v := v.(type) {
	case map[string]any:
		out := &Node{Kind: Map, Map: map[string]*Node{}, Origin: origin}
		certain := true
		for k, e := range v {
			if k == openKey {
				continue
			}
			if causes := m.blanks.further(k); causes != nil {
				out.Causes = sortCauses(append(out.Causes, causes...))
				continue
			}
			n, ok := m.decode(e, origin, size)
			certain = certain && ok && !hasBlankMarks(k)
			out.Map[k] = n
		}
		if token, ok := v[openKey].(string); ok {
			old := m.leaf(token)
			switch {
			case old == nil:
				return out, certain
			case old.Kind != Map && len(out.Map) == 0:
				return old, certain
			}
			out.Causes, out.Origin = old.Causes, old.Origin
			if old.Kind == Sensitive {
				out.Causes = []Cause{{CauseSensitive, old.Origin.Argument, old.Origin.Position}}
			}
		}
		return out, certain
	case []any:
		out := &Node{Kind: List, Origin: origin}
		certain := true
		for _, e := range v {
			n, ok := m.decode(e, origin, size)
			certain = certain && ok
			out.List = append(out.List, n)
		}
		return out, certain
	case string:
		if n := m.leaf(v); n != nil {
			return n, true
		}
		return m.blanks.node(v, origin), true
	case json.Number:
		f, _ := v.Float64()
		return &Node{Kind: Scalar, Scalar: f, Origin: origin}, true
	}
	return &Node{Kind: Scalar, Scalar: v, Origin: origin}, true
}

// To apply --set as Helm does, the tree becomes what Helm's parser works on,
// with a token in place of each leaf, so that a leaf that comes out unchanged
// keeps its origin.
const (
	openKey   = "\uE002"
	leafOpen  = '\uE003'
	leafClose = '\uE004'
)

// hasTokenMarks reports whether a text holds the characters of tokens, which
// it must not before there are any.
func hasTokenMarks(s string) bool {
	return strings.ContainsAny(s, openKey+string(leafOpen)+string(leafClose))
}

func (m *valueMerger) token(n *Node) string {
	m.leaves = append(m.leaves, n)
	return fmt.Sprintf("%c%d%c", leafOpen, len(m.leaves)-1, leafClose)
}

func (m *valueMerger) leaf(s string) *Node {
	if !strings.HasPrefix(s, string(leafOpen)) || !strings.HasSuffix(s, string(leafClose)) {
		return nil
	}
	i := 0
	if _, err := fmt.Sscanf(strings.TrimPrefix(s, string(leafOpen)), "%d", &i); err != nil || i < 0 || i >= len(m.leaves) {
		return nil
	}
	return m.leaves[i]
}

func (m *valueMerger) encode(n *Node) any {
	switch n.Kind {
	case Map:
		out := map[string]any{}
		for k, v := range n.Map {
			out[k] = m.encode(v)
		}
		if len(n.Causes) > 0 {
			out[openKey] = m.token(&Node{Kind: Map, Causes: n.Causes, Origin: n.Origin})
		}
		return out
	case List:
		out := make([]any, len(n.List))
		for i, v := range n.List {
			out[i] = m.encode(v)
		}
		return out
	case Scalar:
		if n.Scalar == nil {
			return nil
		}
		return m.token(n)
	}
	return map[string]any{openKey: m.token(n)}
}

// setting is one set, set_list, set_sensitive or set_wo.
type setting struct {
	argument string
	name     cty.Value // with blanks
	value    cty.Value // with blanks; NilVal when it is not kept
	typ      cty.Value
	items    bool // the value is a list
	omit     bool // empty items are left out, as by providers with block syntax
	unknown  []Cause
	pos      Position
}

// settings returns the settings of one argument, in block or list syntax.
func (m *valueMerger) settings(argument string) []setting {
	hidden := argument == "set_sensitive" || argument == "set_wo"
	var out []setting
	for _, b := range m.resource.Body.All(argument) {
		s := setting{argument: argument, unknown: b.Unknown, pos: b.Position, items: argument == "set_list", omit: true, name: cty.NullVal(cty.String), value: cty.NilVal, typ: cty.NullVal(cty.String)}
		if a := b.Body.Attributes["name"]; a != nil {
			s.name = a.partial(m.l, &m.blanks)
		}
		if a := b.Body.Attributes["type"]; a != nil {
			s.typ = a.partial(m.l, &m.blanks)
		}
		if a := b.Body.Attributes["value"]; a != nil && !hidden {
			s.value = a.partial(m.l, &m.blanks)
		}
		out = append(out, s)
	}
	a := m.resource.Body.Attributes[argument]
	if a == nil {
		return out
	}
	v := a.partial(m.l, &m.blanks)
	one := func(e cty.Value) {
		s := setting{argument: argument, pos: a.Position, items: argument == "set_list", name: cty.NullVal(cty.String), value: cty.NilVal, typ: cty.NullVal(cty.String)}
		if !e.IsKnown() || e.IsNull() || !e.CanIterateElements() || !(e.Type().IsObjectType() || e.Type().IsMapType()) {
			s.name = e
			out = append(out, s)
			return
		}
		for it := e.ElementIterator(); it.Next(); {
			switch k, x := it.Element(); k.AsString() {
			case "name":
				s.name = x
			case "type":
				s.typ = x
			case "value":
				if !hidden {
					s.value = x
				}
			}
		}
		out = append(out, s)
	}
	switch {
	case v.IsNull():
	case v.IsKnown() && (v.Type().IsTupleType() || v.Type().IsListType() || v.Type().IsSetType()):
		for _, e := range v.AsValueSlice() {
			one(e)
		}
	default:
		one(v)
	}
	return out
}

// apply sets one value as Helm's --set does.
func (m *valueMerger) apply(base *Node, s setting) *Node {
	origin := Origin{Argument: s.argument, Position: s.pos}
	open := func(n *Node) *Node {
		causes := n.Causes
		if n.Kind == Sensitive || len(causes) == 0 {
			causes = []Cause{{CauseSensitive, s.argument + " name", s.pos}}
		}
		return base.cover(causes, origin)
	}
	name := nodeOf(s.name, &m.blanks, origin)
	text, ok := name.Str()
	if !ok {
		if name.Kind == Unknown || name.Kind == Sensitive {
			return open(name)
		}
		m.l.diags.error(s.pos, "the name of a value is not text", s.argument)
		return base.cover([]Cause{{CauseError, s.argument, s.pos}}, origin)
	}
	origin.Argument = s.argument + " " + text
	value := m.valueText(s, origin)

	size := 0
	tree, _ := m.encode(base).(map[string]any)
	err := m.l.budget.charge(int64(len(m.leaves)/4 + 1))
	if err == nil {
		err = m.into(tree, s, text, value)
	}
	if err != nil {
		// Where the value would go something may not be known; then Helm may
		// well accept it.
		causes := []Cause{{CauseError, origin.Argument, s.pos}}
		if gaps := gapCauses(base); len(gaps) > 0 && m.into(map[string]any{}, s, text, value) == nil {
			causes = gaps
		} else {
			// The message of Helm's parser may quote the value.
			m.l.diags.error(s.pos, "a value cannot be set", fmt.Sprintf("%s %q: Helm's --set refuses it", s.argument, text))
		}
		return base.cover(causes, origin)
	}
	if old, seen := m.set[s.argument+" "+text]; seen && old != value {
		m.l.diags.warn(s.pos, "a value is set twice", fmt.Sprintf("%s %q: provider versions before 3 apply both in an order of their own", s.argument, text))
	}
	m.set[s.argument+" "+text] = value
	out, _ := m.decode(tree, origin, &size)
	m.leaves = m.leaves[:0:0]
	if out.Origin = base.Origin; m.l.budget.charge(int64(size)) != nil {
		return base.cover([]Cause{m.l.limit(errWork.Error(), s.pos)}, origin)
	}
	m.restore(out, base)
	return out
}

// into applies one value to what Helm's parser works on.
func (m *valueMerger) into(tree map[string]any, s setting, name, value string) error {
	switch typ := stringOr(s.typ, "auto"); {
	case s.argument == "set_string" || typ == "string":
		return strvals.ParseIntoString(name+"="+value, tree)
	case typ == "literal":
		return literalInto(tree, name, value)
	case typ == "auto" || typ == "":
		return strvals.ParseInto(name+"="+value, tree)
	default:
		return fmt.Errorf("type %q is not one of auto, string and literal", typ)
	}
}

// gapCauses says why something in the tree is not known.
func gapCauses(n *Node) []Cause {
	_, gaps := n.Plain()
	var out []Cause
	for _, g := range gaps {
		out = append(out, g.Causes...)
	}
	return sortCauses(out)
}

// restore gives maps, lists and nulls that were there before their origin back.
func (m *valueMerger) restore(n, old *Node) {
	if old == nil || n.Kind != old.Kind {
		return
	}
	switch n.Kind {
	case Map:
		n.Origin = old.Origin
		for k, v := range n.Map {
			m.restore(v, old.Map[k])
		}
	case List:
		n.Origin = old.Origin
		for i, v := range n.List {
			if i < len(old.List) {
				m.restore(v, old.List[i])
			}
		}
	case Scalar:
		if n.Scalar == nil && old.Scalar == nil { // which has no token
			n.Origin = old.Origin
		}
	}
}

// valueText is the right side of --set: text with blanks, or one token for
// what is sensitive or of no certain shape.
func (m *valueMerger) valueText(s setting, origin Origin) string {
	leaf := func(n *Node) string {
		n.Origin = origin
		return m.token(n)
	}
	plain := func(text string) string {
		if hasTokenMarks(text) {
			return leaf(&Node{Kind: Unknown, Causes: []Cause{{CauseError, "text with private-use characters", s.pos}}})
		}
		return text
	}
	switch {
	case s.argument == "set_sensitive" || s.argument == "set_wo":
		return leaf(&Node{Kind: Sensitive})
	case s.unknown != nil:
		return leaf(&Node{Kind: Unknown, Causes: s.unknown})
	case s.value == cty.NilVal || s.value.IsNull():
		return ""
	}
	if s.items {
		if s.value.IsKnown() && (s.value.Type().IsTupleType() || s.value.Type().IsListType() || s.value.Type().IsSetType()) {
			var items []string
			for _, e := range s.value.AsValueSlice() {
				t, err := convert.Convert(e, cty.String)
				if err != nil || !t.IsKnown() || t.IsNull() || s.omit && t.AsString() == "" {
					continue
				}
				items = append(items, t.AsString())
			}
			return plain("{" + strings.Join(items, ",") + "}")
		}
	} else if t, err := convert.Convert(s.value, cty.String); err == nil && t.IsKnown() && !t.IsNull() {
		return plain(t.AsString())
	}
	n := nodeOf(s.value, &m.blanks, origin)
	if n.Kind != Unknown && n.Kind != Sensitive {
		m.l.diags.error(s.pos, "a value is not text", origin.Argument)
		n = &Node{Kind: Unknown, Causes: []Cause{{CauseError, origin.Argument, s.pos}}}
	}
	return leaf(n)
}

func stringOr(v cty.Value, otherwise string) string {
	if v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
		return v.AsString()
	}
	return otherwise
}

// literalInto is the type "literal" of provider 3: the name is one key.
func literalInto(tree map[string]any, name, value string) error {
	if err := checkYAML(value, 200); err != nil {
		return err
	}
	var out map[string]any
	if err := yaml.Unmarshal([]byte(name+": "+value), &out); err != nil {
		return fmt.Errorf("read literal: %w", err)
	}
	tree[name] = out[name]
	return nil
}
