// Command schemas writes the JSON Schemas of what fluxover prints as JSON, from
// the Go types, their comments and tags. It is a module of its own, so that the
// program does not carry its libraries.
//
// Usage, in the folder of this file: go run . FOLDER
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
)

const module = "github.com/fluxover/fluxover"

// documents are what is printed, by file name; kind is the field of that name,
// empty where the document has none.
var documents = []struct {
	name, kind string
	value      any
}{
	{"inventory", "Inventory", migrate.Inventory{}},
	{"plan", "Plan", migrate.Plan{}},
	{"status", "Status", cutover.StatusReport{}},
	{"rollback-plan", "RollbackPlan", cutover.RollbackPlan{}},
	{"diff", "Diff", emit.Diff{}},
	{"verification", "Verification", cutover.Verification{}},
	{"explanations", "Explanations", emit.Explanations{}},
}

// words are the values of types that are texts of a few.
var words = map[reflect.Type][]any{
	reflect.TypeFor[migrate.Severity](): {migrate.Blocker, migrate.Warning, migrate.Info},
	reflect.TypeFor[migrate.Fate]():     {migrate.Carried, migrate.Dropped, migrate.Blocks, migrate.Unknown},
	reflect.TypeFor[migrate.Verb](): {migrate.Adopt, migrate.Change, migrate.Restart, migrate.Create, migrate.Skip,
		migrate.Unmanage, migrate.Stale, migrate.Conflict},
	reflect.TypeFor[cutover.Phase](): {cutover.PhasePending, cutover.PhaseBlocked, cutover.PhaseStaged, cutover.PhaseFenced, cutover.PhaseAdopting,
		cutover.PhaseVerifying, cutover.PhaseHolding, cutover.PhaseSettling, cutover.PhaseSettled, cutover.PhaseFinalized,
		cutover.PhaseRollingBack, cutover.PhaseRolledBack, cutover.PhaseAborted, cutover.PhaseFailed},
	reflect.TypeFor[cutover.VerifiedState]():     {cutover.VerifiedHolds, cutover.VerifiedMoved, cutover.VerifiedBlocked, cutover.VerifiedUnknown},
	reflect.TypeFor[migrate.GarbageCollection](): {migrate.CollectOn, migrate.CollectOff, migrate.CollectDry},
}

// knownAlways are what is known of every agent; all else is null where it is
// not known.
var knownAlways = []string{"id", "settings", "unknown"}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . FOLDER")
		os.Exit(64)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "error: write schemas: %v\n", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	// Comments are found by the path of the package from the module's root.
	if err := os.Chdir("../.."); err != nil {
		return err
	}
	r := &jsonschema.Reflector{Anonymous: true, Mapper: known}
	for _, folder := range []string{"./migrate", "./emit"} {
		if err := r.AddGoComments(module, folder, jsonschema.WithFullComment()); err != nil {
			return fmt.Errorf("read the comments of %s: %w", folder, err)
		}
	}
	if r.CommentMap[module+"/migrate.Plan"] == "" {
		return errors.New("the comments of the types were not found")
	}
	for name, text := range r.CommentMap {
		r.CommentMap[name] = strings.Join(strings.Fields(text), " ")
	}
	for _, d := range documents {
		t := reflect.TypeOf(d.value)
		s := r.ReflectFromType(t)
		for element := t; ; element = element.Elem() {
			if element.Kind() != reflect.Slice {
				admitNull(s, element, d.kind == "Plan", map[reflect.Type]bool{})
				break
			}
		}
		admitUnknown(s)
		if d.kind != "" {
			root := s.Definitions[t.Name()]
			constant(root, "kind", d.kind)
			constant(root, "apiVersion", migrate.APIVersion)
		}
		s.Title = "fluxover " + d.name
		raw, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, d.name+".schema.json"), append(raw, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// known gives the schemas of types whose JSON is not that of their fields.
func known(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[metav1.Duration]():
		return &jsonschema.Schema{Type: "string", Description: "a duration in Go's form, such as 1m30s", Pattern: `^-?([0-9.]+(ns|us|µs|ms|s|m|h))+$|^0s?$`}
	case reflect.TypeFor[unstructured.Unstructured]():
		return &jsonschema.Schema{Type: "object", Description: "a complete manifest", Required: []string{"apiVersion", "kind", "metadata"}}
	}
	if values, ok := words[t]; ok {
		return &jsonschema.Schema{Type: "string", Enum: values}
	}
	return nil
}

func constant(s *jsonschema.Schema, property, value string) {
	if p, ok := s.Properties.Get(property); ok {
		p.Const = value
	}
}

// admitNull lets null stand for what is nil in Go: lists, maps and pointers
// that are printed always. In a document whose lists are made, only pointers.
func admitNull(s *jsonschema.Schema, t reflect.Type, made bool, seen map[reflect.Type]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] || known(t) != nil {
		return
	}
	seen[t] = true
	fields(t, func(f reflect.StructField, name string, omitted bool) {
		admitNull(s, f.Type, made, seen)
		definition := s.Definitions[t.Name()]
		if definition == nil || omitted {
			return
		}
		switch kind := f.Type.Kind(); {
		case kind == reflect.Pointer, !made && (kind == reflect.Slice || kind == reflect.Map):
			if p, ok := definition.Properties.Get(name); ok {
				orNull(definition, name, p)
			}
		}
	})
}

// admitUnknown lets null stand for what may be unknown of an agent: the members
// of its objects, which are there always.
func admitUnknown(s *jsonschema.Schema) {
	for _, t := range []reflect.Type{
		reflect.TypeFor[migrate.Flux1Agent](), reflect.TypeFor[migrate.AgentGit](), reflect.TypeFor[migrate.AgentSync](),
		reflect.TypeFor[migrate.Confinement](), reflect.TypeFor[migrate.Synced](), reflect.TypeFor[migrate.Counts](), reflect.TypeFor[migrate.Requests](),
	} {
		definition := s.Definitions[t.Name()]
		if definition == nil {
			continue // not in this document
		}
		fields(t, func(_ reflect.StructField, name string, omitted bool) {
			p, ok := definition.Properties.Get(name)
			if !ok || omitted || p.Ref != "" || len(p.AnyOf) > 0 || slices.Contains(knownAlways, name) {
				return
			}
			orNull(definition, name, p)
		})
	}
}

// orNull lets a member be null as well.
func orNull(definition *jsonschema.Schema, name string, p *jsonschema.Schema) {
	description := p.Description
	p.Description = ""
	definition.Properties.Set(name, &jsonschema.Schema{Description: description, AnyOf: []*jsonschema.Schema{p, {Type: "null"}}})
}

// fields visits the fields of a struct that stand in its JSON, those of
// embedded structs as its own.
func fields(t reflect.Type, visit func(f reflect.StructField, name string, omitted bool)) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct:
			fields(f.Type, visit)
		case name != "-" && f.IsExported():
			visit(f, name, strings.Contains(options, "omitempty"))
		}
	}
}
