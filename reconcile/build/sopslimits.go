package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp/syntax"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"
)

// The library recurses with the nesting of what it reads, follows aliases
// wherever they lead, and does some work for every pair of things. A stack that
// grows beyond its bound ends the process, which nothing can recover from. So a
// text is measured before the library sees it, and what it read is measured
// before it is decrypted. No manifest comes near these bounds.
const (
	// maxEncryptedFile is how many bytes a text may have (source of the figure:
	// kustomize-controller, internal/decryptor/decryptor.go).
	maxEncryptedFile = 5 << 20
	// maxNesting is how deep values may be nested.
	maxNesting = 500
	// maxKeys is how many keys one mapping may have; each is compared with each.
	maxKeys = 20_000
	// maxLines is how many lines a text in INI may have, for the same reason, and
	// maxNotes how many of a dotenv text may be SOPS's own, which are taken out one
	// by one.
	maxLines = 10_000
	maxNotes = 2_000
	// maxSigns is how many line ends and commas a text in YAML may have: about as
	// many values are read before they can be counted. A value that SOPS encrypted
	// has five of them and no less than 90 bytes.
	maxSigns = 300_000
	// maxPaths is how many bytes the paths to all values may have together; each
	// value is authenticated with its path.
	maxPaths = 256 << 20
	// maxMatching is how many instructions of the rule's regular expression may
	// be compiled: SOPS compiles it for every key on the way to every value.
	maxMatching = 100_000_000
	// maxPrinting is how many bytes may be copied: what is printed as JSON is
	// copied for every value in it.
	maxPrinting = 20_000_000_000
)

// errTooLarge: decrypting a text would take too much.
var errTooLarge = errors.New("it is nested too deep or holds too much to be decrypted")

// checkText measures a text. What cannot be read is left to the library, which
// does not come further with it either.
func checkText(ctx context.Context, text []byte, f format) error {
	if len(text) > maxEncryptedFile {
		return fmt.Errorf("it has %d bytes; what may be decrypted has at most %d", len(text), maxEncryptedFile)
	}
	switch f {
	case yamlFormat:
		return checkYAML(ctx, text)
	case jsonFormat, binary:
		if nesting(text) > maxNesting {
			return errTooLarge
		}
	case dotenvFormat, iniFormat:
		return checkLines(text, f)
	}
	return nil
}

func checkYAML(ctx context.Context, text []byte) error {
	if bytes.Count(text, []byte("\n"))+bytes.Count(text, []byte(",")) > maxSigns {
		return errTooLarge
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	nodes, size := 0, 0
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var document yaml.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return decryption{in: yamlFormat}.unreadable()
		}
		x, ok := measure(&document)
		if !ok {
			return ErrAliases
		}
		nodes, size = nodes+x.nodes, size+x.bytes
		if x.depth > maxNesting || x.keys > maxKeys || nodes > maxNodes || size > maxExpanded {
			return errTooLarge
		}
		if repeats(&document, map[*yaml.Node]bool{}) {
			return decryption{in: yamlFormat}.unreadable()
		}
	}
}

// repeats reports whether a mapping has a key twice. The library refuses that
// too, with one more line of its error for every pair of equal keys.
func repeats(n *yaml.Node, seen map[*yaml.Node]bool) bool {
	if n == nil || seen[n] {
		return false
	}
	seen[n] = true
	if n.Kind == yaml.MappingNode {
		type key struct {
			kind  yaml.Kind
			value string
		}
		keys := make(map[key]bool, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			k := key{n.Content[i].Kind, n.Content[i].Value}
			if keys[k] {
				return true
			}
			keys[k] = true
		}
	}
	for _, c := range n.Content {
		if repeats(c, seen) {
			return true
		}
	}
	return false
}

// nesting is how deep the brackets outside of strings are nested.
func nesting(text []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// checkLines measures a text of assignments. The names in it say how the
// metadata is nested, and what stands in INI is compared with each other.
func checkLines(text []byte, f format) error {
	lines, notes := 0, 0
	for line := range bytes.Lines(text) {
		if bytes.Count(line, []byte("__map_"))+bytes.Count(line, []byte("__list_")) > maxNesting {
			return errTooLarge
		}
		lines++
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("sops_")) {
			notes++
		}
	}
	if f == iniFormat && lines > maxLines || f == dotenvFormat && notes > maxNotes {
		return errTooLarge
	}
	return nil
}

// checkTree measures what was read of a text of some bytes. Its nesting is
// bounded by then.
func checkTree(tree *sops.Tree, size int) error {
	t := tally{}
	for _, branch := range tree.Branches {
		t.add(branch, 0, 0)
	}
	m := &tree.Metadata
	matching := 0
	for _, rule := range []string{m.EncryptedRegex, m.UnencryptedRegex} {
		matching += instructions(rule) * t.segments
	}
	for _, rule := range []string{m.EncryptedCommentRegex, m.UnencryptedCommentRegex} {
		matching += instructions(rule) * t.values * t.comments
	}
	if t.paths > maxPaths || matching > maxMatching || t.values*size > maxPrinting {
		return errTooLarge
	}
	return nil
}

// instructions is what it takes to compile a regular expression, and no less
// than its length. One that is not valid matches nothing.
func instructions(pattern string) int {
	if pattern == "" {
		return 0
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return len(pattern)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return len(pattern)
	}
	return len(pattern) + len(program.Inst)
}

// tally counts what a tree holds.
type tally struct {
	// values, comments among them.
	values, comments int
	// paths is how many bytes the paths to all values have, and segments how
	// many keys.
	paths, segments int
}

func (t *tally) add(v any, path, depth int) {
	switch v := v.(type) {
	case sops.TreeBranch:
		for _, item := range v {
			switch key := item.Key.(type) {
			case sops.Comment:
				t.add(key, path, depth)
			case string:
				t.add(item.Value, path+len(key)+1, depth+1)
			}
		}
	case []any:
		for _, item := range v {
			t.add(item, path, depth)
		}
	default:
		if _, is := v.(sops.Comment); is {
			t.comments++
		}
		t.values++
		t.paths += path
		t.segments += depth
	}
}
