package build

import (
	"bytes"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

const (
	// maxNodes is how many values one YAML document may have with its aliases
	// expanded: some ten times what the largest object that etcd stores can hold.
	maxNodes = 1_000_000
	// maxExpanded is how many bytes of text those values may have together.
	maxExpanded = 64 << 20
)

// documentSeparator is where kustomize's reader cuts a file into documents.
var documentSeparator = regexp.MustCompile(`\n---.*\n`)

// checkAliases refuses a file whose documents kustomize cannot expand: it
// follows an alias inside its own anchor until the stack is exhausted, which no
// recover stops, and expands the rest without bound. What does not parse is
// left to kustomize, which then does not come to expanding.
func checkAliases(data []byte) error {
	if !bytes.ContainsRune(data, '&') || !bytes.ContainsRune(data, '*') {
		return nil
	}
	for _, text := range documentSeparator.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), -1) {
		if !strings.Contains(text, "&") || !strings.Contains(text, "*") {
			continue
		}
		var document yaml.Node
		if err := yaml.NewDecoder(strings.NewReader(text + "\n")).Decode(&document); err != nil {
			continue
		}
		if _, ok := measure(&document); !ok {
			return ErrAliases
		}
	}
	return nil
}

// extent is how large a document is with its aliases expanded.
type extent struct {
	// nodes and the bytes of their texts stop growing beyond their limits.
	nodes, bytes int
	// depth of nesting, and the most keys that one mapping has.
	depth, keys int
}

// measure gives the extent of a document. It is not ok if an anchor contains
// itself, or if the aliases expand without bound.
func measure(document *yaml.Node) (extent, bool) {
	e := expansion{open: map[*yaml.Node]bool{}, known: map[*yaml.Node]extent{}}
	x, ok := e.measure(document)
	return x, ok && x.nodes <= maxNodes && x.bytes <= maxExpanded
}

// expansion measures each anchor once. An anchor stands before its aliases, so
// that it is known by then: the recursion is no deeper than the text is nested.
type expansion struct {
	open  map[*yaml.Node]bool
	known map[*yaml.Node]extent
}

// measure is not ok if the node contains itself.
func (e expansion) measure(n *yaml.Node) (extent, bool) {
	if n == nil {
		return extent{}, true
	}
	if x, known := e.known[n]; known {
		return x, true
	}
	if e.open[n] {
		return extent{}, false
	}
	e.open[n] = true
	defer delete(e.open, n)
	x := extent{nodes: 1, bytes: len(n.HeadComment) + len(n.LineComment) + len(n.FootComment)}
	content := n.Content
	switch n.Kind {
	case yaml.AliasNode:
		content = []*yaml.Node{n.Alias}
	case yaml.MappingNode:
		x.keys = len(content) / 2
	case yaml.ScalarNode:
		x.bytes += len(n.Value)
	}
	for _, c := range content {
		below, ok := e.measure(c)
		if !ok {
			return extent{}, false
		}
		x.nodes, x.bytes = min(x.nodes+below.nodes, maxNodes+1), min(x.bytes+below.bytes, maxExpanded+1)
		x.depth, x.keys = max(x.depth, below.depth+1), max(x.keys, below.keys)
	}
	e.known[n] = x
	return x, true
}
