package flux1

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"gopkg.in/yaml.v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	sigsyaml "sigs.k8s.io/yaml"
)

// document is one YAML document of a file, as fluxd sees it.
type document struct {
	line int
	// kindless is true if it has content and no kind: fluxd passes over it.
	kindless bool
	// emptyList names the kind of a custom ...List without items.
	emptyList string
	objects   []*loaded
}

// loaded is one object on its way to a migrate.Object.
type loaded struct {
	head
	place
	manifest *unstructured.Unstructured
	// encrypted objects have no manifest that could be applied; decrypted ones
	// have, and stand encrypted in their file.
	encrypted, decrypted bool
	// noJSON objects cannot be written as JSON; their manifest holds their head
	// alone.
	noJSON bool
	// keyNoText is a key of it that is a number, as a path; empty without.
	keyNoText string
	// noText are name and namespace, where Git gives them as something else than text.
	noText    []string
	namespace string // effective; filled in by classify
	// checksum is that of migrate.Object.
	checksum string
	// generated is set for an object that is generated, and by tells the path that it
	// is generated for from others; 0 is for all that are not generated.
	generated *Parsed
	by        int
}

// head is what fluxd itself reads of every object (flux:
// pkg/cluster/kubernetes/resource/resource.go). Values that are not strings
// are taken as yaml.v2 takes them: an unquoted true becomes "true".
type head struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Namespace   string            `yaml:"namespace"`
		Name        string            `yaml:"name"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"metadata"`
}

// alone is an object that has nothing but its head.
func (h head) alone() *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAPIVersion(h.APIVersion)
	u.SetKind(h.Kind)
	u.SetNamespace(h.Metadata.Namespace)
	u.SetName(h.Metadata.Name)
	u.SetAnnotations(h.Metadata.Annotations)
	return u
}

// fault is why a file cannot be loaded.
type fault struct {
	code    Code
	line    int
	message string
}

// gitCryptHead begins every file that git-crypt encrypts (git-crypt: commands.cpp).
// fluxd has no key for one, and reads it as it is.
const gitCryptHead = "\x00GITCRYPT\x00"

// decode reads a file's documents with fluxd's YAML library, each decoded
// without types, written again and decoded anew, as fluxd does (flux:
// pkg/cluster/kubernetes/resource/load.go). At the first fault it stops and
// returns what it has; later documents are unknown.
func decode(content []byte, limits Limits) (docs []document, bad *fault) {
	lines := documentLines(content)
	defer func() {
		// yaml.v2 turns its own panics into errors; what it overlooks is a
		// file that cannot be read, not a crash.
		if r := recover(); r != nil {
			bad = &fault{Stuck, lineOf(lines, len(docs)), "the YAML cannot be read"}
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for n := 0; ; n++ {
		line := lineOf(lines, n)
		if n >= limits.Documents {
			return docs, &fault{TooLarge, line, fmt.Sprintf("it holds more than %d documents", limits.Documents)}
		}
		var value any
		switch err := decoder.Decode(&value); {
		case errors.Is(err, io.EOF):
			if n != len(lines) {
				for i := range docs {
					docs[i].setLine(0) // the lines do not fit: better none than wrong ones
				}
			}
			return docs, nil
		case err != nil:
			return docs, &fault{Stuck, errorLine(err, 0, line), "the YAML cannot be read: " + plainYAMLError(err)}
		}
		if depth(value, limits.Depth) > limits.Depth {
			return docs, &fault{TooLarge, line, fmt.Sprintf("it is nested deeper than %d levels", limits.Depth)}
		}
		d, err := readDocument(value, line)
		if err != nil {
			return docs, &fault{Stuck, line, err.Error()}
		}
		docs = append(docs, d)
	}
}

// Parsed is an object that was read, and the place where its document begins;
// Line is 0 if not known.
type Parsed struct {
	File     string
	Line     int
	Manifest *unstructured.Unstructured
	// Build, Origin and Patches are those of migrate.Object, for an object that
	// is generated.
	Build   *migrate.KustomizeBuild
	Origin  string
	Patches []*unstructured.Unstructured
}

// ErrTooLarge: a file exceeds the limits on what is read.
var ErrTooLarge = errors.New("too large")

// Parse reads the objects of a file as fluxd does, within the limits (zero
// means DefaultLimits). An error is a fault of the file, ErrTooLarge if it
// exceeds the limits; what stands before it is returned all the same. It quotes
// no value.
func Parse(file string, content []byte, limits Limits) ([]Parsed, error) {
	if limits == (Limits{}) {
		limits = DefaultLimits
	}
	if int64(len(content)) > limits.FileBytes {
		return nil, fmt.Errorf("read %s: %w: it holds more than %d bytes", file, ErrTooLarge, limits.FileBytes)
	}
	docs, bad := decode(content, limits)
	var out []Parsed
	for _, d := range docs {
		for _, o := range d.objects {
			if o.noJSON {
				return out, fmt.Errorf("read %s: the %s cannot be written as JSON", place{file, o.line}, o.Kind)
			}
			out = append(out, Parsed{File: file, Line: o.line, Manifest: o.manifest})
		}
	}
	switch {
	case bad == nil:
		return out, nil
	case bad.code.Name == TooLarge.Name:
		return out, fmt.Errorf("read %s: %w: %s", place{file, bad.line}, ErrTooLarge, bad.message)
	default:
		return out, fmt.Errorf("read %s: %s", place{file, bad.line}, bad.message)
	}
}

func (d *document) setLine(line int) {
	d.line = line
	for _, o := range d.objects {
		o.line = line
	}
}

func lineOf(lines []int, n int) int {
	if n < len(lines) {
		return lines[n]
	}
	return 0
}

// readDocument finds the objects of one document. Its errors are those at
// which fluxd gives up.
func readDocument(value any, line int) (document, error) {
	d := document{line: line}
	text, err := yaml.Marshal(value)
	if err != nil {
		return d, errors.New("the document cannot be written as YAML")
	}
	var h head
	if err := yaml.Unmarshal(text, &h); err != nil {
		return d, errors.New("the document is not an object that fluxd can read: " + plainYAMLError(err))
	}
	switch {
	case h.Kind == "":
		d.kindless = value != nil
		return d, nil
	case strings.HasSuffix(h.Kind, "List"):
		return readList(d, h, text)
	}
	o, err := readObject(h, text, line)
	if err != nil {
		return d, err
	}
	o.keyNoText = keyNoText(value, "")
	d.objects = append(d.objects, o)
	return d, nil
}

// readList takes a list's items for objects, whatever the list's kind.
func readList(d document, h head, text []byte) (document, error) {
	var list struct {
		Items []map[string]any `yaml:"items"`
	}
	if err := yaml.Unmarshal(text, &list); err != nil {
		return d, fmt.Errorf("the items of the %s cannot be read: %s", h.Kind, plainYAMLError(err))
	}
	if list.Items == nil && h.Kind != "List" {
		d.emptyList = h.Kind
	}
	for i, item := range list.Items {
		text, err := yaml.Marshal(item)
		if err != nil {
			return d, fmt.Errorf("item %d of the %s cannot be written as YAML", i, h.Kind)
		}
		var head head
		if err := yaml.Unmarshal(text, &head); err != nil || head.Kind == "" {
			// fluxd keeps an empty entry and then dereferences it (flux:
			// pkg/cluster/kubernetes/resource/resource.go, load.go).
			return d, fmt.Errorf("item %d of the %s is no object, at which fluxd crashes", i, h.Kind)
		}
		o, err := readObject(head, text, d.line)
		if err != nil {
			return d, fmt.Errorf("item %d of the %s: %w", i, h.Kind, err)
		}
		for _, key := range slices.Sorted(maps.Keys(item)) {
			o.keyNoText = cmp.Or(o.keyNoText, keyNoText(item[key], key))
		}
		d.objects = append(d.objects, o)
	}
	return d, nil
}

// json32 is a number that is a key, as it is written for JSON: with 32 bits.
type json32 float64

func (f json32) String() string {
	switch number := float64(f); {
	case math.IsInf(number, 1):
		return ".inf"
	case math.IsInf(number, -1):
		return "-.inf"
	case math.IsNaN(number):
		return ".nan"
	default:
		return strconv.FormatFloat(number, 'g', -1, 32)
	}
}

// keyNoText is the path of the first key that is a number; empty without one. What
// YAML 1.1 alone takes for a truth value (yes, on) is text to Kustomize: the proof
// compares what both make of such.
func keyNoText(v any, path string) string {
	switch v := v.(type) {
	case map[any]any:
		var found []string
		for key, inner := range v {
			if number, ok := key.(float64); ok { // as kubectl makes text of it (sigs.k8s.io/yaml)
				key = json32(number)
			}
			below := strings.TrimPrefix(fmt.Sprintf("%s.%v", path, key), ".")
			switch key.(type) {
			case int, int64, uint64, json32:
				found = append(found, below)
			default:
				if in := keyNoText(inner, below); in != "" {
					found = append(found, in)
				}
			}
		}
		if len(found) > 0 {
			return slices.Min(found)
		}
	case []any:
		for i, inner := range v {
			if in := keyNoText(inner, fmt.Sprintf("%s[%d]", path, i)); in != "" {
				return in
			}
		}
	}
	return ""
}

// readObject checks an object as fluxd does by its kind, and makes the
// manifest that kubectl would send.
func readObject(h head, text []byte, line int) (*loaded, error) {
	if err := checkShape(h.Kind, text); err != nil {
		return nil, fmt.Errorf("the %s cannot be read: %s", h.Kind, plainYAMLError(err))
	}
	asJSON, err := sigsyaml.YAMLToJSON(text)
	if err != nil {
		// fluxd does not notice; kubectl does, at this object alone.
		return &loaded{head: h, place: place{line: line}, noJSON: true, manifest: h.alone(), checksum: checksum(h, text)}, nil
	}
	content := map[string]any{}
	if err := utiljson.Unmarshal(asJSON, &content); err != nil {
		return nil, fmt.Errorf("the %s cannot be read as JSON", h.Kind)
	}
	return &loaded{head: h, place: place{line: line}, manifest: &unstructured.Unstructured{Object: content}, checksum: checksum(h, text)}, nil
}

// podTemplate has the fields that fluxd decodes with types, so that a wrong
// type in them is an error (flux: pkg/cluster/kubernetes/resource/spec.go).
type podTemplate struct {
	Metadata struct {
		Labels, Annotations map[string]string
	}
	Spec struct {
		ImagePullSecrets []struct{ Name string }
		Volumes          []struct {
			Name   string
			Secret struct{ SecretName string }
		}
		Containers     []container
		InitContainers []container `yaml:"initContainers"`
	}
}

type container struct {
	Name, Image string
	Args        []string
	Ports       []struct {
		ContainerPort int
		Name          string
	}
	Env []struct{ Name, Value string }
}

// checkShape decodes the kinds that fluxd knows by type as it does.
func checkShape(kind string, text []byte) error {
	switch kind {
	case "Deployment", "DaemonSet", "StatefulSet":
		var w struct {
			Spec struct {
				Replicas int
				Template podTemplate
			}
		}
		if kind == "DaemonSet" { // its replicas are not looked at
			var d struct {
				Spec struct{ Template podTemplate }
			}
			return yaml.Unmarshal(text, &d)
		}
		return yaml.Unmarshal(text, &w)
	case "CronJob":
		var c struct {
			Spec struct {
				JobTemplate struct {
					Spec struct{ Template podTemplate }
				} `yaml:"jobTemplate"`
			}
		}
		return yaml.Unmarshal(text, &c)
	case "HelmRelease":
		var r struct {
			Spec struct{ Values map[string]any }
		}
		return sigsyaml.Unmarshal(text, &r)
	}
	return nil
}

// marker is a line that begins or ends a document, wherever it stands: YAML
// knows no place where one could be content.
var marker = regexp.MustCompile(`^(---|\.\.\.)([ \t]|$)`)

// documentLines gives the first line, from 1, of each document's content:
// one entry per document that the YAML library will find.
func documentLines(content []byte) []int {
	var starts []int
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	open, pending := false, false // inside a document; content not yet seen
	for i, raw := range bytes.Split(content, []byte("\n")) {
		line := strings.TrimSuffix(string(raw), "\r")
		blank := strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#")
		mark := (strings.HasPrefix(line, "---") || strings.HasPrefix(line, "...")) && marker.MatchString(line)
		switch {
		case mark && line[0] == '-':
			rest := strings.TrimSpace(line[3:])
			starts = append(starts, i+1)
			open, pending = true, rest == "" || strings.HasPrefix(rest, "#")
		case mark:
			open, pending = false, false
		case blank || !open && strings.HasPrefix(line, "%"):
		case pending:
			starts[len(starts)-1], pending = i+1, false
		case !open:
			starts, open = append(starts, i+1), true
		}
	}
	return starts
}

// depth measures nesting, and stops a little beyond limit.
func depth(v any, limit int) int {
	if limit < 0 {
		return 1
	}
	deepest := 0
	switch v := v.(type) {
	case map[any]any:
		for k, e := range v {
			deepest = max(deepest, depth(e, limit-1), depth(k, limit-1))
		}
	case []any:
		for _, e := range v {
			deepest = max(deepest, depth(e, limit-1))
		}
	default:
		return 0
	}
	return deepest + 1
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// errorLine is the line that a YAML error names, counted from a document's
// own beginning if offset is its line; else fallback.
func errorLine(err error, offset, fallback int) int {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return fallback
	}
	n, convErr := strconv.Atoi(m[1])
	if convErr != nil {
		return fallback
	}
	return n + offset
}

var quoted = regexp.MustCompile("`[^`]*`|\"[^\"]*\"")

// plainYAMLError gives a YAML error on one line without the values it quotes,
// which may be secret, and without the line, which is said apart.
func plainYAMLError(err error) string {
	text := yamlLine.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	text, _, _ = strings.Cut(text, "\n")
	if strings.Contains(text, " into ") {
		return "a value is of the wrong type"
	}
	return quoted.ReplaceAllString(text, "a value")
}
