package build

import (
	"bytes"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// maxNodes is how many values one YAML document may have with its aliases
// expanded: some ten times what the largest object that etcd stores can hold.
const maxNodes = 1_000_000

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
		e := expansion{open: map[*yaml.Node]bool{}, size: map[*yaml.Node]int{}}
		if n, ok := e.measure(&document); !ok || n > maxNodes {
			return ErrAliases
		}
	}
	return nil
}

// expansion counts the values of a document with aliases expanded, each
// anchor once.
type expansion struct {
	open map[*yaml.Node]bool
	size map[*yaml.Node]int
}

// measure is not ok if the node contains itself. The count stops growing
// beyond maxNodes.
func (e expansion) measure(n *yaml.Node) (count int, ok bool) {
	if n == nil {
		return 0, true
	}
	if size, known := e.size[n]; known {
		return size, true
	}
	if e.open[n] {
		return 0, false
	}
	e.open[n] = true
	defer delete(e.open, n)
	count = 1
	if n.Kind == yaml.AliasNode {
		if count, ok = e.measure(n.Alias); !ok {
			return 0, false
		}
	}
	for _, c := range n.Content {
		below, ok := e.measure(c)
		if !ok {
			return 0, false
		}
		count = min(count+below, maxNodes+1)
	}
	e.size[n] = count
	return count, true
}
