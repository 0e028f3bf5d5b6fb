package terraform

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Every form has a folder with what it is expected to mean, and every folder is
// of a form.
func TestEachFormHasItsCase(t *testing.T) {
	folders := map[string]bool{}
	names := map[[2]string]bool{}
	for _, f := range Forms() {
		if names[[2]string{f.Group, f.Name}] {
			t.Errorf("%s %q is listed twice", f.Group, f.Name)
		}
		names[[2]string{f.Group, f.Name}] = true
		folders[f.Folder] = true
		entries, err := os.ReadDir(filepath.FromSlash(f.Folder))
		if err != nil || len(entries) == 0 {
			t.Errorf("%s %q has no case: %v", f.Group, f.Name, err)
		}
	}
	dirs, err := filepath.Glob("testdata/forms/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !folders[filepath.ToSlash(d)] {
			t.Errorf("%s is of no form", d)
		}
	}
	groups := []string{}
	for _, f := range Forms() {
		if !slices.Contains(groups, f.Group) {
			groups = append(groups, f.Group)
		}
	}
	if len(names) < 100 || len(groups) < 9 {
		t.Errorf("only %d forms of %d groups are listed", len(names), len(groups))
	}
}

// causeKinds are the constants of cause.go, by value.
func causeKinds(t *testing.T) []CauseKind {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "cause.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []CauseKind
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "CauseKind" {
				for _, v := range spec.Values {
					out = append(out, CauseKind(strings.Trim(v.(*ast.BasicLit).Value, `"`)))
				}
			}
		}
		return true
	})
	return out
}

// Every reason for which something is unknown is the reason in an example.
func TestEachCauseHasItsCase(t *testing.T) {
	kinds := causeKinds(t)
	if len(kinds) < 10 {
		t.Fatalf("only the causes %v are found", kinds)
	}
	seen := map[CauseKind]bool{}
	done := map[string]bool{}
	for _, f := range Forms() {
		if done[f.Folder] || !strings.Contains(f.Folder, "/forms/") {
			continue
		}
		done[f.Folder] = true
		_, o := readForm(t, filepath.FromSlash(f.Folder))
		r, err := Load(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		noteCauses(reflect.ValueOf([]any{
			HelmReleases(t.Context(), r), HelmRepositories(t.Context(), r), Workloads(t.Context(), r), Scripts(t.Context(), r), r.Blocks, r.Modules,
		}), seen, map[uintptr]bool{})
		for _, in := range r.Variables {
			noteCauses(reflect.ValueOf(Causes(in.Value)), seen, map[uintptr]bool{})
		}
		for _, out := range r.Outputs {
			noteCauses(reflect.ValueOf(Causes(out.Value)), seen, map[uintptr]bool{})
		}
	}
	elsewhere := []CauseKind{CauseLimit, CauseState, CauseLive, CauseReused} // of what is too large, of a state alone, of what is left alone or reused: tests of their own
	for _, k := range kinds {
		if !seen[k] && !slices.Contains(elsewhere, k) {
			t.Errorf("nothing is unknown for the cause %q in any form: add one below testdata/forms", k)
		}
	}
}

// noteCauses notes the kind of each cause in a value.
func noteCauses(v reflect.Value, seen map[CauseKind]bool, been map[uintptr]bool) {
	if v.IsValid() && v.Type() == reflect.TypeFor[Cause]() {
		seen[CauseKind(v.FieldByName("Kind").String())] = true
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && !been[v.Pointer()] {
			been[v.Pointer()] = true
			noteCauses(v.Elem(), seen, been)
		}
	case reflect.Interface:
		noteCauses(v.Elem(), seen, been)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			noteCauses(v.Index(i), seen, been)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			noteCauses(v.MapIndex(k), seen, been)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				noteCauses(v.Field(i), seen, been)
			}
		}
	}
}
