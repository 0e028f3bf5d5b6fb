package helm

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	sigsyaml "sigs.k8s.io/yaml"
)

// Bounds of what is unpacked. A Secret holds 1 MiB, packed; etcd takes objects
// of 1.5 MiB.
const (
	// maxRecord is the most that a whole revision unpacks to.
	maxRecord = 32 << 20
	// maxManifest is the most that all its objects are, as text.
	maxManifest = 8 << 20
	// maxObject is the most that one of them is.
	maxObject = 3 << 19
	// maxObjects is how many there are at most.
	maxObjects = 5000
	// maxValues is the most that the user's values are.
	maxValues = 1 << 20
	// maxDepth of the values.
	maxDepth = 200
)

// ErrCorrupt: the revision is there and cannot be read as one.
var ErrCorrupt = errors.New("corrupt release")

// Record is what is read of one revision. It holds what the user gave, which
// may be secret: it is not for printing.
type Record struct {
	// Chart and ChartVersion as the chart names itself.
	Chart, ChartVersion string
	// Namespace is that of the release's objects that name none.
	Namespace string
	// Values are those that the user gave. Numbers are int64 where they are
	// whole, as in --set: one that was given as a larger float was printed with
	// an exponent, with which fluxd does not start.
	Values map[string]any
	// Skipped counts objects of the manifest that could not be read.
	Skipped int

	owned map[string]bool
	// deployments as JSON, which is read many times as fast as YAML.
	deployments map[string][]byte
}

// Owns reports whether the manifest holds an object. A namespace is empty for
// objects that are in none.
func (r *Record) Owns(kind, namespace, name string) bool {
	return r != nil && r.owned[kind+"/"+namespace+"/"+name]
}

// Deployment is a Deployment as the manifest has it; nil if it has none of
// that name that can be read.
func (r *Record) Deployment(namespace, name string) *appsv1.Deployment {
	kept, ok := r.deployments[namespace+"/"+name]
	if !ok {
		return nil
	}
	d := &appsv1.Deployment{}
	if err := json.Unmarshal(kept, d); err != nil {
		return nil
	}
	d.Namespace = namespace
	return d
}

// Deployments are the Deployments of the manifest that can be read, sorted by
// namespace and name.
func (r *Record) Deployments() []*appsv1.Deployment {
	var all []*appsv1.Deployment
	for _, key := range slices.Sorted(maps.Keys(r.deployments)) {
		namespace, name, _ := strings.Cut(key, "/")
		if d := r.Deployment(namespace, name); d != nil {
			all = append(all, d)
		}
	}
	return all
}

// payload is a stored revision, as either Helm writes it.
type payload struct {
	namespace           string
	chart, chartVersion string
	manifest            string
	values              []byte // JSON
}

// Decode unpacks base64 of gzip (or, from very old Helm, of nothing) of JSON
// (Helm 3) or of a protocol buffer (Helm 2). Its errors wrap [ErrCorrupt] and
// never quote the content, which holds the user's values.
func Decode(data []byte, helm int) (*Record, error) {
	raw, err := unpack(data)
	if err != nil {
		return nil, err
	}
	read := readJSON
	if helm == 2 {
		read = readProto
	}
	p, err := read(raw)
	if err != nil {
		return nil, err
	}
	switch {
	case p.chartVersion == "" || p.manifest == "":
		return nil, fmt.Errorf("%w: it names no chart or holds no manifest", ErrCorrupt)
	case len(p.manifest) > maxManifest:
		return nil, fmt.Errorf("%w: its manifest is larger than %d bytes", ErrCorrupt, maxManifest)
	case strings.Count(p.manifest, "\n---") > maxObjects:
		return nil, fmt.Errorf("%w: its manifest holds more than %d objects", ErrCorrupt, maxObjects)
	case len(p.values) > maxValues:
		return nil, fmt.Errorf("%w: its values are larger than %d bytes", ErrCorrupt, maxValues)
	}
	r := &Record{Chart: p.chart, ChartVersion: p.chartVersion, Namespace: p.namespace,
		owned: map[string]bool{}, deployments: map[string][]byte{}}
	if r.Values, err = readValues(p.values); err != nil {
		return nil, err
	}
	r.readManifest(p.manifest)
	return r, nil
}

func unpack(data []byte) ([]byte, error) {
	if base64.StdEncoding.DecodedLen(len(data)) > maxRecord {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrCorrupt, maxRecord)
	}
	raw, err := base64.StdEncoding.DecodeString(string(data))
	if err != nil || len(raw) == 0 {
		return nil, fmt.Errorf("%w: not base64", ErrCorrupt)
	}
	if !bytes.HasPrefix(raw, []byte{0x1f, 0x8b, 0x08}) {
		return raw, nil
	}
	zr, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%w: not gzip", ErrCorrupt)
	}
	if raw, err = io.ReadAll(io.LimitReader(zr, maxRecord+1)); err != nil {
		return nil, fmt.Errorf("%w: gzip ends too early", ErrCorrupt)
	}
	if len(raw) > maxRecord {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrCorrupt, maxRecord)
	}
	return raw, nil
}

func readJSON(raw []byte) (payload, error) {
	var stored struct {
		Namespace string
		Chart     struct {
			Metadata struct{ Name, Version string }
		}
		Manifest string
		Config   json.RawMessage
	}
	if err := json.Unmarshal(raw, &stored); err != nil {
		return payload{}, fmt.Errorf("%w: not the JSON of a release", ErrCorrupt)
	}
	return payload{namespace: stored.Namespace, chart: stored.Chart.Metadata.Name, chartVersion: stored.Chart.Metadata.Version,
		manifest: stored.Manifest, values: stored.Config}, nil
}

func readValues(config []byte) (map[string]any, error) {
	if len(config) == 0 {
		return nil, nil
	}
	var values map[string]any
	decoder := json.NewDecoder(bytes.NewReader(config))
	decoder.UseNumber()
	if tooDeep(config) || decoder.Decode(&values) != nil {
		return nil, fmt.Errorf("%w: its values are not an object, or nested deeper than %d", ErrCorrupt, maxDepth)
	}
	values, _ = numbers(values).(map[string]any)
	return values, nil
}

// tooDeep reports whether JSON is nested too deeply, by its brackets.
func tooDeep(text []byte) bool {
	depth, inText := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// numbers gives values the types that Helm has them in when it prints them.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // JSON's numbers are floats; a larger one is infinite
		return f
	}
	return v
}

// head is what is read of every object.
type head struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
}

// readManifest notes the objects of a manifest.
func (r *Record) readManifest(manifest string) {
	for _, doc := range strings.Split("\n"+manifest, "\n---") {
		if empty(doc) {
			continue
		}
		if len(doc) > maxObject {
			r.Skipped++
			continue
		}
		object, err := sigsyaml.YAMLToJSON([]byte(doc))
		var o head
		if err != nil || json.Unmarshal(object, &o) != nil {
			r.Skipped++
			continue
		}
		if o.Kind == "" {
			continue
		}
		ns := o.Metadata.Namespace
		if ns == "" && !strings.HasPrefix(o.Kind, "Cluster") {
			ns = r.Namespace
		}
		r.owned[o.Kind+"/"+ns+"/"+o.Metadata.Name] = true
		if o.Kind == "Deployment" {
			r.deployments[ns+"/"+o.Metadata.Name] = object
		}
	}
}

// empty reports whether a document has nothing but comments.
func empty(doc string) bool {
	for line := range strings.Lines(doc) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}
