package build

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
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
			s.file(data, path.Dir(p))
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

// file takes the values from a file of manifests, patches or a kustomization.
func (s *secretValues) file(data []byte, dir string) {
	decoder := kyaml.NewDecoder(bytes.NewReader(data))
	for {
		var document any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			s.unreadable(string(data))
			return
		}
		if _, text := document.(string); !text { // else it would be read again and again
			s.walk(document, dir)
		}
	}
}

// dataBegins is where the values of a Secret may begin in a text that is no YAML.
var dataBegins = regexp.MustCompile(`(?m)\b(stringData|data|secretGenerator)["']?[ \t]*:`)

// valueInText is what may be a value in such a text.
var valueInText = regexp.MustCompile(`[:=][ \t]*([^\n]+)|(?m)^[ \t]*([^\s:=]+)[ \t]*$`)

func (s *secretValues) unreadable(text string) {
	at := dataBegins.FindStringIndex(text)
	if at == nil {
		return
	}
	for _, m := range valueInText.FindAllStringSubmatch(text[at[0]:], -1) {
		s.add(m[1] + m[2])
	}
}

func (s *secretValues) walk(v any, dir string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			s.walk(e, dir)
		}
	case string:
		// A patch, or an object that another holds as text.
		if strings.Contains(v, "data") || strings.Contains(v, "stringData") {
			s.file([]byte(v), dir)
		}
	case map[string]any:
		_, text := v["stringData"]
		if text || v["kind"] == "Secret" {
			s.all(v["stringData"])
			s.encoded(v["data"])
		}
		if at, _ := v["path"].(string); strings.HasPrefix(at, "/data") || strings.HasPrefix(at, "/stringData") {
			s.encoded(v["value"])
		}
		for name, field := range v {
			if name == "secretGenerator" {
				s.generators(field, dir)
			}
			s.walk(field, dir)
		}
	}
}

// generators takes the values of a kustomization's secretGenerator.
func (s *secretValues) generators(v any, dir string) {
	list, _ := v.([]any)
	for _, g := range list {
		generator, _ := g.(map[string]any)
		for _, literal := range texts(generator["literals"]) {
			_, value, pair := strings.Cut(literal, "=")
			if !pair {
				value = literal
			}
			s.add(value)
		}
		for _, field := range []string{"env", "envs", "files"} {
			for _, name := range texts(generator[field]) {
				if _, file, renamed := strings.Cut(name, "="); renamed {
					name = file
				}
				content, err := s.read(path.Join(dir, name))
				if err != nil {
					continue // nothing of it can be quoted
				}
				for line := range strings.Lines(string(content)) {
					if _, value, pair := strings.Cut(line, "="); pair && field != "files" {
						line = value
					}
					s.add(line)
				}
			}
		}
	}
}

func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			if text, ok := e.(string); ok {
				out = append(out, text)
			}
		}
		return out
	}
	return nil
}

// all takes every value below v.
func (s *secretValues) all(v any) {
	switch v := v.(type) {
	case nil:
	case []any:
		for _, e := range v {
			s.all(e)
		}
	case map[string]any:
		for _, e := range v {
			s.all(e)
		}
	default:
		s.add(fmt.Sprint(v))
	}
}

// encoded takes every value below v, and what it says in base64.
func (s *secretValues) encoded(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			s.encoded(e)
		}
	case map[string]any:
		for _, e := range v {
			s.encoded(e)
		}
	case string:
		s.add(v)
		if plain, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(v), "")); err == nil && utf8.Valid(plain) {
			s.add(string(plain))
		}
	default:
		s.all(v)
	}
}

const (
	// leastPiece is the shortest text that is hidden: shorter ones stand in any text.
	leastPiece = 3
	// leastWithin is the shortest that is hidden within a word, too.
	leastWithin = 6
)

// add takes a value apart where a program that prints it may write something else or
// break the line.
func (s *secretValues) add(value string) {
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
		text = regexp.MustCompile(`(^|[^A-Za-z0-9])`+regexp.QuoteMeta(piece)+`($|[^A-Za-z0-9])`).ReplaceAllString(text, "${1}***${2}")
	}
	return text
}
