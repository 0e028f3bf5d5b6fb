package terraform

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// NodeKind is the kind of a Node.
type NodeKind string

// The kinds of nodes.
const (
	Map       NodeKind = "map"
	List      NodeKind = "list"
	Scalar    NodeKind = "scalar"
	Unknown   NodeKind = "unknown"
	Sensitive NodeKind = "sensitive" // it is set, and to what is not kept
)

// Node is a value of a release, or a part of one, with where it is set.
type Node struct {
	Kind   NodeKind
	Map    map[string]*Node
	List   []*Node
	Scalar any // string, bool, int64, float64 or nil

	// Text is what is known of an unknown string, with ${name} where something
	// is not known: git@${var.host}:team/repo. It is for people to read. Of a
	// sensitive one it is the name of the flag that it is given to: --git-url=.
	Text string
	// Causes say what would settle the node. On a map they say that it may
	// hold further keys.
	Causes []Cause
	Origin Origin
}

// Origin is where a value is set: values[0], set, set_list, an argument.
type Origin struct {
	Argument string   `json:"argument,omitempty"`
	Position Position `json:"position,omitzero"`
}

func (o Origin) String() string {
	if o.Argument == "" {
		return o.Position.String()
	}
	return o.Argument + " at " + o.Position.String()
}

// Lookup returns the node at the end of the path, or nil when no such key is
// set. Below an unknown or sensitive node it returns that node.
func (n *Node) Lookup(path ...string) *Node {
	for _, k := range path {
		switch {
		case n == nil:
			return nil
		case n.Kind == Unknown || n.Kind == Sensitive:
			return n
		case n.Kind == Map:
			next, ok := n.Map[k]
			if !ok && len(n.Causes) > 0 {
				return &Node{Kind: Unknown, Causes: n.Causes, Origin: n.Origin}
			}
			n = next
		case n.Kind == List:
			i, err := strconv.Atoi(k)
			if err != nil || i < 0 || i >= len(n.List) {
				return nil
			}
			n = n.List[i]
		default:
			return nil
		}
	}
	return n
}

// Str returns a known string, and whether the node is one.
func (n *Node) Str() (string, bool) {
	if n == nil || n.Kind != Scalar {
		return "", false
	}
	s, ok := n.Scalar.(string)
	return s, ok
}

// Gap is a part of a tree that is not known or is sensitive.
type Gap struct {
	Path      []string `json:"path"` // empty for the whole
	Sensitive bool     `json:"sensitive,omitempty"`
	Open      bool     `json:"open,omitempty"` // a map that may hold further keys
	Text      string   `json:"text,omitempty"`
	Causes    []Cause  `json:"causes,omitempty"`
	Origin    Origin   `json:"origin,omitzero"`
}

// Plain returns the known values as maps, lists and scalars, and all that is
// left out of them.
func (n *Node) Plain() (map[string]any, []Gap) {
	var gaps []Gap
	v, _ := n.plain(nil, &gaps)
	m, ok := v.(map[string]any)
	if !ok {
		m = map[string]any{}
	}
	return m, gaps
}

func (n *Node) plain(path []string, gaps *[]Gap) (any, bool) {
	if n == nil {
		return nil, false
	}
	if n.Kind == Unknown || n.Kind == Sensitive || len(n.Causes) > 0 {
		*gaps = append(*gaps, Gap{Path: slices.Clone(path), Sensitive: n.Kind == Sensitive, Open: n.Kind == Map, Text: n.Text, Causes: n.Causes, Origin: n.Origin})
	}
	switch n.Kind {
	case Map:
		out := map[string]any{}
		for _, k := range sortedKeys(n.Map) {
			if v, ok := n.Map[k].plain(append(path, k), gaps); ok {
				out[k] = v
			}
		}
		return out, true
	case List:
		out := make([]any, 0, len(n.List))
		for i, e := range n.List {
			v, ok := e.plain(append(path, strconv.Itoa(i)), gaps)
			if !ok {
				return nil, false // a list with a hole would be another list
			}
			out = append(out, v)
		}
		return out, true
	case Scalar:
		return n.Scalar, true
	}
	return nil, false
}

// Leaf is one value at the end of a path.
type Leaf struct {
	Path []string
	Node *Node
}

// Leaves returns every scalar, unknown, sensitive or empty node by its path.
func (n *Node) Leaves() []Leaf {
	var out []Leaf
	n.leaves(nil, &out)
	return out
}

// leaves reuses path; only a leaf keeps a copy of it.
func (n *Node) leaves(path []string, out *[]Leaf) {
	switch {
	case n == nil:
	case n.Kind == Map && len(n.Map) > 0:
		for _, k := range sortedKeys(n.Map) {
			n.Map[k].leaves(append(path, k), out)
		}
	case n.Kind == List && len(n.List) > 0:
		for i, e := range n.List {
			e.leaves(append(path, strconv.Itoa(i)), out)
		}
	default:
		*out = append(*out, Leaf{slices.Clone(path), n})
	}
}

// MarshalJSON writes known values as they are; what is not known is an object
// with the key "$unknown" and its causes, what is sensitive one with
// "$sensitive".
func (n *Node) MarshalJSON() ([]byte, error) { return json.Marshal(n.tree()) }

func (n *Node) tree() any {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case Map:
		out := map[string]any{}
		for k, v := range n.Map {
			out[k] = v.tree()
		}
		if len(n.Causes) > 0 {
			out["$open"] = causeTexts(n.Causes)
		}
		return out
	case List:
		out := make([]any, len(n.List))
		for i, v := range n.List {
			out[i] = v.tree()
		}
		return out
	case Scalar:
		return n.Scalar
	case Sensitive:
		return map[string]any{"$sensitive": true}
	}
	out := map[string]any{"$unknown": causeTexts(n.Causes)}
	if n.Text != "" {
		out["$text"] = n.Text
	}
	return out
}

func causeTexts(causes []Cause) []string {
	out := []string{}
	for _, c := range causes {
		out = append(out, c.String())
	}
	return out
}

// String is the node for people to read.
func (n *Node) String() string {
	if n == nil {
		return "not set"
	}
	switch n.Kind {
	case Scalar:
		return fmt.Sprint(n.Scalar)
	case Sensitive:
		return "sensitive, set"
	case Unknown:
		s := "unknown: " + strings.Join(causeTexts(n.Causes), "; ")
		if n.Text != "" {
			s = n.Text + " (" + s + ")"
		}
		return s
	}
	b, err := n.MarshalJSON()
	if err != nil {
		return string(n.Kind)
	}
	return string(b)
}

// Over returns n laid over what holds where n says nothing, as Helm lays values over the
// defaults of a chart.
func (n *Node) Over(defaults *Node) *Node { return merge(defaults, n) }

// merge lays b over a as Helm's provider does with the documents of values:
// maps are merged, everything else is replaced.
func merge(a, b *Node) *Node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case b.Kind == Map && a.Kind == Map:
		out := &Node{Kind: Map, Map: maps.Clone(a.Map), Causes: a.Causes, Origin: a.Origin}
		if len(b.Causes) > 0 {
			out = out.cover(b.Causes, b.Origin)
		}
		if out.Map == nil {
			out.Map = map[string]*Node{}
		}
		for k, v := range b.Map {
			if old, ok := out.Map[k]; ok {
				v = merge(old, v)
			}
			out.Map[k] = v
		}
		return out
	case b.Kind == Map && a.Kind == Unknown:
		// What is not known may be a map, and then it is merged.
		return &Node{Kind: Map, Map: b.Map, Causes: sortCauses(slices.Concat(a.Causes, b.Causes)), Origin: b.Origin}
	}
	return b
}

// cover returns the map n under one that is not known and may set anything:
// nothing in it is certain any more.
func (n *Node) cover(causes []Cause, origin Origin) *Node {
	out := &Node{Kind: Map, Map: map[string]*Node{}, Causes: sortCauses(slices.Concat(n.Causes, causes)), Origin: n.Origin}
	for k, v := range n.Map {
		switch v.Kind {
		case Map:
			out.Map[k] = v.cover(causes, origin)
		default:
			u := &Node{Kind: Unknown, Causes: sortCauses(slices.Concat(v.Causes, causes)), Origin: v.Origin, Text: v.Text}
			if v.Kind == Scalar && u.Text == "" {
				u.Text = fmt.Sprint(v.Scalar)
			}
			out.Map[k] = u
		}
	}
	return out
}

// spread opens every map below an open one: what is not known may set keys in
// each of them as well. Lists are replaced as a whole, never merged.
func (n *Node) spread(above []Cause) {
	if n.Kind != Map {
		return
	}
	if len(above) > 0 {
		n.Causes = sortCauses(slices.Concat(n.Causes, above))
	}
	for _, v := range n.Map {
		v.spread(n.Causes)
	}
}
