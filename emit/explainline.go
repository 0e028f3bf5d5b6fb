package emit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
)

// line explains one line of a file of the flux-capacitor,
// "clusters/prod/shop/source.yaml:12", by what stands in it.
func (e *explainer) line(subject string) []Explanation {
	i := strings.LastIndex(subject, ":")
	if i < 0 {
		return nil
	}
	n, err := strconv.Atoi(subject[i+1:])
	if err != nil || n < 1 {
		return nil
	}
	name := strings.TrimPrefix(subject[:i], "./")
	switch name {
	case CapacitorFile:
		return e.settingsLine(n)
	case IndexPath(e.report.Capacitor.Cluster):
		return e.indexLine(n)
	}
	file := e.file(name)
	if file == nil {
		return nil
	}
	held, texts := file.objects, file.texts
	if n > len(texts) {
		return nil
	}
	switch texts[n-1] {
	case texts[0]:
		return []Explanation{e.firstLine(name, e.subjectOf(held[0]))}
	case "---":
		return []Explanation{{Subject: subject, From: []string{"the form of YAML"}, To: []string{name + " of the flux-capacitor"}, Why: "another object begins here"}}
	}
	at := fieldAt(file.fields, n)
	if at.object >= len(held) {
		return nil
	}
	o := held[at.object]
	if at.path == ".spec.ignore" && n > at.line {
		return []Explanation{e.ignored(o, strings.TrimSpace(texts[n-1]))}
	}
	return e.fieldsOf(o, at.path)
}

// escaped is a special character of gitignore that is meant as it is.
var escaped = regexp.MustCompile(`\\(.)`)

// ignored explains one pattern of a GitRepository's spec.ignore.
func (e *explainer) ignored(o writtenObject, pattern string) Explanation {
	x := Explanation{
		Subject: migrate.DisplayID(migrate.ObjectID(o.object)) + " .spec.ignore", Value: pattern,
		To: []string{o.file + " of the flux-capacitor"}, Why: "left out of what this source reads",
	}
	var readers []migrate.Application
	for _, app := range o.repository.Applications {
		if app.Source == o.object.GetName() {
			readers = append(readers, app)
		}
	}
	if len(readers) == 1 {
		x.Why = fmt.Sprintf("this source is there for %s alone (%s), and leaves out all else", readers[0].Name, readers[0].Why)
	}
	taken, isTaken := strings.CutPrefix(pattern, "!")
	name := escaped.ReplaceAllString(strings.Trim(taken, "/"), "$1")
	if slices.Contains(strings.Split(strings.Join([]string{sourceignore.ExcludeExt, sourceignore.ExcludeCI, sourceignore.ExcludeExtra}, ","), ","), pattern) {
		x.From, x.Why = []string{"the default exclusions of Flux v2"}, "any pattern switches them off, so they are said again"
		return x
	}
	if isTaken {
		x.Why = strings.Replace(x.Why, "and leaves out all else", "and reads this", 1)
		x.From = []string{fmt.Sprintf("git: %s at %s", name, shortCommit(o.repository.Commit))}
		for _, f := range e.report.Plan.Findings {
			if f.Code == "FILE_TAKEN_BACK" && f.Where == name && f.Repository == o.repository.ID {
				x.Why = f.Message
			}
		}
	}
	for _, a := range o.agents {
		for _, f := range a.Files {
			why := ""
			switch {
			case isTaken:
			case f.Kind == migrate.FileChart && path.Dir(f.Path) == name:
				why = "the folder is a Helm chart, which fluxd passes over and Flux v2 would try to build"
			case f.Path != name:
			case f.Kustomization:
				why = "fluxd does not honour this kustomization file, and Flux v2 would build its folder from it"
			case f.Kind == migrate.FileSilent:
				why = "no document in it has a kind, so that fluxd passes over it and Flux v2 would fail on it"
			case f.Kind == migrate.FileUnread:
				why = "what it holds is not known, since it cannot be read; a finding says so, and holds the repository back until it is mended"
			case f.Kind == migrate.FileManifest:
				why = "fluxd leaves out all that it holds: it may not apply it, or the cluster does not serve its kind"
			}
			if why != "" {
				x.From, x.Why = []string{fmt.Sprintf("git: %s at %s", f.Path, shortCommit(o.repository.Commit))}, why
			}
		}
	}
	if len(x.From) == 0 {
		// What another application reads, or all but one file.
		for _, app := range o.repository.Applications {
			if at := strings.TrimPrefix(app.Path, "./"); app.Source != o.object.GetName() && (at == name || strings.HasPrefix(at, name+"/")) {
				x.From = append(x.From, fmt.Sprintf("git: %s, which Kustomization/%s/%s applies", app.Path, migrate.AgentNamespace, app.Name))
			}
		}
		for _, app := range readers {
			x.From = append(x.From, fmt.Sprintf("git: %s, of which Kustomization/%s/%s applies the rest", app.Path, migrate.AgentNamespace, app.Name))
		}
	}
	return x
}

// subjectOf names for what the file that holds an object is written.
func (e *explainer) subjectOf(o writtenObject) string {
	if o.repository != nil {
		return o.repository.ID
	}
	return e.report.Capacitor.Subject()
}

func (e *explainer) firstLine(name, subject string) Explanation {
	if e.report.Plan.Repository(subject) != nil {
		subject = "repository " + subject
	}
	return Explanation{
		Subject: name + ":1", From: []string{subject}, To: []string{name + " of the flux-capacitor"},
		Why: "says for what the file was written, so that it is never overwritten or removed for something else",
	}
}

// indexLine explains a line of the list of what is applied of the cluster's
// folder as a whole.
func (e *explainer) indexLine(n int) []Explanation {
	cluster := e.report.Capacitor.Cluster
	var names []string
	for _, o := range e.writtenObjects() {
		names = append(names, o.file)
	}
	name := IndexPath(cluster)
	texts := linesOf(Index(cluster, e.report.Capacitor.Subject(), names))
	if n > len(texts) {
		return nil
	}
	if n == 1 {
		return []Explanation{e.firstLine(name, e.report.Capacitor.Subject())}
	}
	if listed, ok := strings.CutPrefix(texts[n-1], "- "); ok {
		return e.files(ClusterFolder(cluster) + "/" + listed)
	}
	return e.files(name)
}

// settingsLine explains a line of capacitor.yaml; where none was read, of the
// one that is written first.
func (e *explainer) settingsLine(n int) []Explanation {
	s := e.settings
	if s.length == 0 {
		first, err := ReadSettings([]byte(FirstSettings))
		if err != nil {
			return nil
		}
		s = first
	}
	if n > s.length {
		return nil
	}
	out := e.files(CapacitorFile)
	for i := range out {
		out[i].Subject = fmt.Sprintf("%s:%d", CapacitorFile, n)
		for at, line := range s.lines {
			if line == n {
				out[i].From = append(out[i].From, "says "+strings.ReplaceAll(strings.TrimPrefix(at, "/"), "/", "."))
			}
		}
		slices.Sort(out[i].From)
	}
	return out
}

func linesOf(content []byte) []string {
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
}

// fieldLine is where a field of an object begins in a file; object counts those
// of the file.
type fieldLine struct {
	object, line int
	path         string
}

// fieldAt finds the field that a line is about: the innermost that begins on
// it or, for text of several lines, above it.
func fieldAt(fields []fieldLine, line int) (at fieldLine) {
	for _, f := range fields {
		if f.line <= line {
			at = f // they come in the order of the file
		}
	}
	return at
}

// fieldLines are the fields of all objects of a file, in its order.
func fieldLines(content []byte) (fields []fieldLine) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for object := 0; ; object++ {
		var document yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) || err != nil {
			return fields // what was written here is YAML
		}
		var walk func(steps []step, n *yaml.Node)
		walk = func(steps []step, n *yaml.Node) {
			for i, inner := range n.Content {
				below := slices.Clip(steps)
				switch n.Kind {
				case yaml.MappingNode:
					if i%2 == 0 {
						fields = append(fields, fieldLine{object, inner.Line, pathOf(append(below, step{field: inner.Value}))})
						continue
					}
					below = append(below, step{field: n.Content[i-1].Value})
				case yaml.SequenceNode:
					below = append(below, step{item: true, index: i})
					fields = append(fields, fieldLine{object, inner.Line, pathOf(below)})
				}
				walk(below, inner)
			}
		}
		walk(nil, &document)
	}
}

// emittedFile is a file of the flux-capacitor as it is written.
type emittedFile struct {
	objects []writtenObject
	texts   []string
	fields  []fieldLine
}

// file gives the file of that name; nil if none is written.
func (e *explainer) file(name string) *emittedFile {
	key := [2]string{e.only, name}
	if known, looked := e.emitted[key]; looked {
		return known
	}
	var out *emittedFile
	var objects []*unstructured.Unstructured
	for _, o := range e.writtenObjects() {
		if o.file == name {
			if out == nil {
				out = &emittedFile{}
			}
			out.objects, objects = append(out.objects, o), append(objects, o.object)
		}
	}
	if out != nil {
		content, err := File(e.subjectOf(out.objects[0]), objects)
		if err != nil {
			return nil // nor can it be emitted, which says why
		}
		out.texts, out.fields = linesOf(content), fieldLines(content)
	}
	e.emitted[key] = out
	return out
}
