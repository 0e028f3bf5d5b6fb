package build

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// secretValues are the pieces of what Secrets hold in the files of a build. Errors of
// kustomize, and of what it is made of, print objects, lines and values in more places
// than can be listed; so whatever an error says, none of these stands in it.
type secretValues struct {
	read   func(p string) ([]byte, error) // a file that a generator names
	pieces map[string]bool
}

// withoutSecrets gives an error whose text has none of the values of Secrets that the
// named files hold.
func withoutSecrets(err error, read func(string) ([]byte, error), files ...string) error {
	s := &secretValues{read: read, pieces: map[string]bool{}}
	for _, p := range files {
		if data, err := read(p); err == nil {
			s.file(data, path.Dir(p), false)
		}
	}
	return s.clean(err)
}

func (s *secretValues) clean(err error) error {
	text := s.mask(err.Error())
	if text == err.Error() {
		return err
	}
	return maskedError{text, err}
}

// maskedError is an error with another text.
type maskedError struct {
	text string
	err  error
}

func (e maskedError) Error() string { return e.text }
func (e maskedError) Unwrap() error { return e.err }

// file takes the values from a file of manifests, patches or a kustomization; ofSecret
// says that it is known to be about a Secret.
func (s *secretValues) file(data []byte, dir string, ofSecret bool) {
	decoder := kyaml.NewDecoder(bytes.NewReader(data))
	for {
		var document kyaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			s.unreadable(string(data))
			return
		}
		root := &document
		if root.Kind == kyaml.DocumentNode && len(root.Content) == 1 {
			root = root.Content[0]
		}
		if root.Kind != kyaml.ScalarNode { // a text would be read again and again
			s.walk(root, dir, ofSecret)
		}
	}
}

// aboutSecrets are the words of which a text that holds a Secret's values has one.
var aboutSecrets = regexp.MustCompile(`\bstringData\b|\bsecretGenerator\b|\bkind["']?[ \t]*:[ \t]*["']?Secret(?:Generator)?\b`)

// dataBegins is where the values of a Secret may begin in a text that is no YAML.
var dataBegins = regexp.MustCompile(`\b(?:stringData|data|secretGenerator)["']?[ \t]*:|\bliterals\b`)

// valueInText is what may be a value in such a text.
var valueInText = regexp.MustCompile(`(?m)[:=][ \t]*([^\n]+)|^[ \t]*([^\s:=]+)[ \t]*$`)

func (s *secretValues) unreadable(text string) {
	at := dataBegins.FindStringIndex(text)
	if at == nil || !aboutSecrets.MatchString(text) {
		return
	}
	for _, m := range valueInText.FindAllStringSubmatch(text[at[0]:], -1) {
		s.add(m[1] + m[2])
	}
}

// field is the value of a key of a mapping, or nil.
func field(n *kyaml.Node, key string) *kyaml.Node {
	if n == nil || n.Kind != kyaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func valueOf(n *kyaml.Node) string {
	if n == nil || n.Kind != kyaml.ScalarNode {
		return ""
	}
	return n.Value
}

func (s *secretValues) walk(n *kyaml.Node, dir string, ofSecret bool) {
	switch n.Kind {
	case kyaml.ScalarNode:
		// A patch, or an object that another holds as text.
		if ofSecret || aboutSecrets.MatchString(n.Value) {
			s.file([]byte(n.Value), dir, ofSecret)
		}
		return
	case kyaml.MappingNode:
		kind, target := valueOf(field(n, "kind")), field(n, "target")
		ofSecret = ofSecret || kind == "Secret" || target != nil && valueOf(field(target, "kind")) == "Secret"
		if ofSecret || field(n, "stringData") != nil {
			s.all(field(n, "stringData"))
			s.all(field(n, "data"))
		}
		if at := valueOf(field(n, "path")); strings.HasPrefix(at, "/data") || strings.HasPrefix(at, "/stringData") {
			s.all(field(n, "value"))
		}
		if kind == "SecretGenerator" {
			s.generator(n, dir)
		}
		if list := field(n, "secretGenerator"); list != nil {
			for _, generator := range list.Content {
				s.generator(generator, dir)
			}
		}
	}
	for _, e := range n.Content {
		s.walk(e, dir, ofSecret)
	}
}

// generator takes the values of one of Secrets.
func (s *secretValues) generator(n *kyaml.Node, dir string) {
	for _, literal := range texts(field(n, "literals")) {
		_, value, pair := strings.Cut(literal, "=")
		if !pair {
			value = literal
		}
		s.add(value)
		s.add(strings.Trim(value, `"'`)) // as Kustomize takes it
	}
	for _, from := range []string{"env", "envs", "files"} {
		for _, name := range texts(field(n, from)) {
			if _, file, renamed := strings.Cut(name, "="); renamed {
				name = file
			}
			content, err := s.read(path.Join(dir, name))
			if err != nil {
				continue // nothing of it can be quoted
			}
			s.add(string(content))
			for line := range strings.Lines(string(content)) {
				line = strings.TrimRight(line, "\r\n")
				if _, value, pair := strings.Cut(line, "="); pair && from != "files" {
					line = value
				}
				s.add(line)
			}
		}
	}
}

func texts(n *kyaml.Node) []string {
	if n == nil {
		return nil
	}
	if n.Kind == kyaml.ScalarNode {
		return []string{n.Value}
	}
	var out []string
	for _, e := range n.Content {
		out = append(out, texts(e)...)
	}
	return out
}

// all takes every value below a node, and what it says in base64.
func (s *secretValues) all(n *kyaml.Node) {
	switch {
	case n == nil:
	case n.Kind == kyaml.ScalarNode:
		s.add(n.Value)
		if plain, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), "")); err == nil && utf8.Valid(plain) {
			s.add(string(plain))
		}
	case n.Kind == kyaml.AliasNode:
		s.all(n.Alias)
	case n.Kind == kyaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			s.all(n.Content[i])
		}
	default:
		for _, e := range n.Content {
			s.all(e)
		}
	}
}

const (
	// leastValue is the shortest value that is hidden, and leastPiece the shortest part
	// of one: shorter ones stand in any text.
	leastValue, leastPiece = 3, 4
	// leastWithin is the shortest that is hidden within a word, too.
	leastWithin = 6
)

// add takes a value as it is, as programs quote and encode it, and in the pieces where one
// that prints it may write something else or break the line.
func (s *secretValues) add(value string) {
	value = strings.TrimSpace(value)
	if len(value) < leastValue {
		return
	}
	s.pieces[value] = true
	s.pieces[base64.StdEncoding.EncodeToString([]byte(value))] = true
	s.pieces[base64.StdEncoding.EncodeToString([]byte(value+"\n"))] = true
	s.pieces[strings.Trim(strconv.Quote(value), `"`)] = true
	if text, err := json.Marshal(value); err == nil {
		s.pieces[strings.Trim(string(text), `"`)] = true
	}
	for _, piece := range strings.FieldsFunc(value, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune("\"'`\\<>&", r)
	}) {
		if len(piece) >= leastPiece {
			s.pieces[piece] = true
		}
	}
}

// mask gives a text without the pieces.
func (s *secretValues) mask(text string) string {
	var pieces []string
	for piece := range s.pieces {
		if strings.Contains(text, piece) {
			pieces = append(pieces, piece)
		}
	}
	slices.SortFunc(pieces, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, piece := range pieces {
		if len(piece) >= leastWithin {
			text = strings.ReplaceAll(text, piece, "***")
			continue
		}
		alone := regexp.MustCompile(`(^|[^A-Za-z0-9])` + regexp.QuoteMeta(piece) + `($|[^A-Za-z0-9])`)
		for alone.MatchString(text) { // what stands between two belongs to one match alone
			text = alone.ReplaceAllString(text, "${1}***${2}")
		}
	}
	return text
}
