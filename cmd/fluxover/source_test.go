package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root of the module, from this package.
const moduleRoot = "../.."

// productFolders hold everything that is built into the program.
var productFolders = []string{"cmd", "migrate", "discover", "emit", "reconcile"}

// goSource is the module's Go source, parsed and not type-checked: what makes a
// finding is told by the names that the code uses, which a test can hold it to.
type goSource struct {
	fset *token.FileSet
	// files by path from the module's root; product code and tests apart.
	files, tests map[string]*ast.File
}

// parseSource reads all Go files of the module.
func parseSource(t *testing.T) *goSource {
	t.Helper()
	s := &goSource{fset: token.NewFileSet(), files: map[string]*ast.File{}, tests: map[string]*ast.File{}}
	for _, folder := range append(slices.Clone(productFolders), "e2e") {
		err := filepath.WalkDir(filepath.Join(moduleRoot, folder), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == "testdata" {
				return filepath.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(name, ".go") {
				return nil
			}
			file, err := parser.ParseFile(s.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(moduleRoot, name)
			if err != nil {
				return err
			}
			switch {
			case strings.HasSuffix(name, "_test.go"):
				s.tests[filepath.ToSlash(rel)] = file
			case folder != "e2e":
				s.files[filepath.ToSlash(rel)] = file
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(s.files) < 100 || len(s.tests) < 100 {
		t.Fatalf("only %d files and %d tests were found below %s", len(s.files), len(s.tests), moduleRoot)
	}
	return s
}

// at names a place for messages.
func (s *goSource) at(n ast.Node) string {
	p := s.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", path.Clean(strings.TrimPrefix(filepath.ToSlash(p.Filename), moduleRoot+"/")), p.Line)
}

// testFunctions gives the names of all tests and fuzz targets, by package
// folder.
func (s *goSource) testFunctions() map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for name, file := range s.tests {
		dir := path.Dir(name)
		if out[dir] == nil {
			out[dir] = map[string]bool{}
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				out[dir][f.Name.Name] = true
			}
		}
	}
	return out
}

// steps gives the names of the steps of the cut-over.
func (s *goSource) steps() []string {
	var out []string
	ast.Inspect(s.files["migrate/cutover/steps.go"], func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok {
			if name, ok := text(field(lit, "Name")); ok {
				out = append(out, name)
			}
		}
		return true
	})
	return out
}

// site is a place where findings of one kind are made.
type site struct {
	code string
	// file from the module's root, and the function around it.
	file, function string
	// severity and acceptable as a composite literal gives them; nil where the
	// row of the catalogue does.
	literal *literalGrade
	// message with … for what is filled in; empty if it is put together
	// elsewhere.
	message string
}

type literalGrade struct {
	// severity is empty where it is no constant.
	severity   string
	acceptable bool
	at         string
}

// findings is what the source says of findings.
type findings struct {
	// rows are the names of all codes in rows of a table, with their place.
	rows map[string]string
	// sites, by code.
	sites map[string][]site
	// odd are places that make a finding in a way that cannot be followed.
	odd []string
}

// codeVariable is a row of a table that has a name of its own.
type codeVariable struct{ dir, name string }

// findings looks for everything that makes a finding.
func (s *goSource) findings() findings {
	out := findings{rows: map[string]string{}, sites: map[string][]site{}}
	variables := map[codeVariable]string{}
	constants := map[codeVariable]string{}
	for _, name := range sortedNames(s.files) {
		s.rows(name, s.files[name], out.rows, variables, constants)
	}
	for _, name := range sortedNames(s.files) {
		if name == "migrate/catalogue.go" {
			continue // Code itself makes findings from rows
		}
		s.sitesOf(name, s.files[name], variables, constants, &out)
	}
	return out
}

func sortedNames(files map[string]*ast.File) []string {
	var names []string
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// isType reports whether an expression names one of our types, with or without
// its package.
func isType(e ast.Expr, name string, packages ...string) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == name
	case *ast.SelectorExpr:
		p, ok := e.X.(*ast.Ident)
		return ok && e.Sel.Name == name && slices.Contains(packages, p.Name)
	}
	return false
}

// elements gives the composite literals of a type in e: itself, or the members
// of a list of that type.
func elements(e *ast.CompositeLit, name string, packages ...string) []*ast.CompositeLit {
	if isType(e.Type, name, packages...) {
		return []*ast.CompositeLit{e}
	}
	list, ok := e.Type.(*ast.ArrayType)
	if !ok || !isType(list.Elt, name, packages...) {
		return nil
	}
	var out []*ast.CompositeLit
	for _, m := range e.Elts {
		if c, ok := m.(*ast.CompositeLit); ok && c.Type == nil {
			out = append(out, c)
		}
	}
	return out
}

func field(e *ast.CompositeLit, name string) ast.Expr {
	for _, m := range e.Elts {
		if kv, ok := m.(*ast.KeyValueExpr); ok {
			if k, ok := kv.Key.(*ast.Ident); ok && k.Name == name {
				return kv.Value
			}
		}
	}
	return nil
}

func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	v, err := strconv.Unquote(lit.Value)
	return v, err == nil
}

// rows collects the rows of tables, the variables that hold one, and constants
// that are text.
func (s *goSource) rows(name string, file *ast.File, rows map[string]string, variables, constants map[codeVariable]string) {
	dir := path.Dir(name)
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range decl.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if !ok {
				continue
			}
			for i, value := range v.Values {
				if i >= len(v.Names) {
					break
				}
				if c, ok := text(value); ok {
					constants[codeVariable{dir, v.Names[i].Name}] = c
				}
				lit, ok := value.(*ast.CompositeLit)
				if !ok {
					continue
				}
				for _, row := range elements(lit, "Code", "migrate", "flux1") {
					code, ok := text(field(row, "Name"))
					if ident, isIdent := field(row, "Name").(*ast.Ident); !ok && isIdent {
						code, ok = constants[codeVariable{dir, ident.Name}]
						if !ok {
							code = s.constant(dir, ident.Name)
						}
					}
					if code == "" {
						continue // a list of variables
					}
					rows[code] = s.at(row)
					if row == lit {
						variables[codeVariable{dir, v.Names[i].Name}] = code
					}
				}
			}
		}
	}
}

// constant finds a text constant of a package that is declared in any of its
// files.
func (s *goSource) constant(dir, name string) string {
	for file, f := range s.files {
		if path.Dir(file) != dir {
			continue
		}
		for _, d := range f.Decls {
			if decl, ok := d.(*ast.GenDecl); ok {
				for _, spec := range decl.Specs {
					if v, ok := spec.(*ast.ValueSpec); ok && len(v.Values) == len(v.Names) {
						for i, n := range v.Names {
							if c, ok := text(v.Values[i]); ok && n.Name == name {
								return c
							}
						}
					}
				}
			}
		}
	}
	return ""
}

// imports gives the package folder that each name of a file stands for, for
// packages of the module.
func imports(file *ast.File) map[string]string {
	out := map[string]string{}
	for _, i := range file.Imports {
		p, _ := text(i.Path)
		ours, ok := strings.CutPrefix(p, "github.com/fluxover/fluxover/")
		if !ok {
			continue
		}
		name := path.Base(ours)
		if i.Name != nil {
			name = i.Name.Name
		}
		out[name] = ours
	}
	return out
}

// sitesOf collects the places of one file that make findings.
func (s *goSource) sitesOf(name string, file *ast.File, variables, constants map[codeVariable]string, out *findings) {
	dir, packages := path.Dir(name), imports(file)
	// variable resolves X or package.X to the code that it holds.
	variable := func(e ast.Expr) (string, bool) {
		switch e := e.(type) {
		case *ast.Ident:
			c, ok := variables[codeVariable{dir, e.Name}]
			return c, ok
		case *ast.SelectorExpr:
			if p, ok := e.X.(*ast.Ident); ok {
				c, ok := variables[codeVariable{packages[p.Name], e.Sel.Name}]
				return c, ok && packages[p.Name] != ""
			}
		}
		return "", false
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil || f.Name.Name == "Codes" {
			continue
		}
		add := func(code, message string, grade *literalGrade) {
			out.sites[code] = append(out.sites[code], site{code: code, file: name, function: f.Name.Name, literal: grade, message: message})
		}
		messages := map[ast.Node]string{}
		skip := map[ast.Node]bool{}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				// A call that is given a code, or made on one, is where its
				// message stands.
				for _, a := range append(slices.Clone(n.Args), n.Fun) {
					e := a
					if sel, ok := a.(*ast.SelectorExpr); ok && a == n.Fun {
						e = sel.X
					}
					if _, ok := variable(e); ok {
						messages[e] = sentence(n.Args)
					}
				}
			case *ast.SelectorExpr:
				if _, ok := variable(n.X); ok && n.Sel.Name == "Name" {
					skip[n.X] = true // a comparison
				}
				if code, ok := variable(n); ok && !skip[n] {
					add(code, messages[n], nil)
					return false
				}
			case *ast.Ident:
				if code, ok := variable(n); ok && !skip[n] {
					add(code, messages[n], nil)
				}
			case *ast.CompositeLit:
				for _, lit := range elements(n, "Finding", "migrate") {
					expr := field(lit, "Code")
					if expr == nil {
						if len(lit.Elts) > 0 {
							out.odd = append(out.odd, s.at(lit)+": a finding without a code")
						}
						continue
					}
					code, ok := text(expr)
					if ident, isIdent := expr.(*ast.Ident); !ok && isIdent {
						code, ok = constants[codeVariable{dir, ident.Name}]
					}
					if sel, isSel := expr.(*ast.SelectorExpr); !ok && isSel {
						if p, isIdent := sel.X.(*ast.Ident); isIdent {
							code, ok = constants[codeVariable{packages[p.Name], sel.Sel.Name}]
						}
					}
					if !ok {
						out.odd = append(out.odd, s.at(lit)+": a finding whose code is no constant")
						continue
					}
					add(code, sentence([]ast.Expr{field(lit, "Message")}), grade(s, lit))
				}
			case *ast.AssignStmt:
				for _, l := range n.Lhs {
					if sel, ok := l.(*ast.SelectorExpr); ok && sel.Sel.Name == "Severity" {
						out.odd = append(out.odd, fmt.Sprintf("%s %s: the severity of a finding is set afterwards", name, f.Name.Name))
					}
				}
			}
			return true
		})
	}
}

func grade(s *goSource, lit *ast.CompositeLit) *literalGrade {
	g := &literalGrade{at: s.at(lit)}
	name := ""
	switch e := field(lit, "Severity").(type) {
	case *ast.Ident:
		name = e.Name
	case *ast.SelectorExpr:
		name = e.Sel.Name
	}
	if slices.Contains([]string{"Blocker", "Warning", "Info"}, name) {
		g.severity = strings.ToLower(name)
	}
	if e, ok := field(lit, "Acceptable").(*ast.Ident); ok {
		g.acceptable = e.Name == "true"
	}
	return g
}

var verb = regexp.MustCompile(`%[-+# 0]*[0-9]*(\.[0-9]+)?[a-zA-Z]`)

// sentence is the last of the arguments that is a text of several words, with
// … for what is filled in.
func sentence(args []ast.Expr) string {
	for _, a := range slices.Backward(args) {
		if m := pattern(a); strings.Contains(strings.TrimSpace(strings.ReplaceAll(m, "…", "")), " ") {
			return m
		}
	}
	return ""
}

func pattern(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if t, ok := text(e); ok {
			return verb.ReplaceAllString(t, "…")
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			l, r := pattern(e.X), pattern(e.Y)
			if l == "" {
				l = "…"
			}
			if r == "" {
				r = "…"
			}
			return l + r
		}
	case *ast.CallExpr:
		if sel, ok := e.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sprintf" && len(e.Args) > 0 {
			return pattern(e.Args[0])
		}
	}
	return ""
}

// testWords are all words in capitals that stand in tests and their data, with
// one place each: a test that names a code, or a golden that shows it.
func testWords(t *testing.T) map[string]string {
	t.Helper()
	word := regexp.MustCompile(`\b[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\b|\b[A-Z]{5,}\b`)
	out := map[string]string{}
	for _, folder := range append(slices.Clone(productFolders), "e2e") {
		err := filepath.WalkDir(filepath.Join(moduleRoot, folder), func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			rel, _ := filepath.Rel(moduleRoot, name)
			rel = filepath.ToSlash(rel)
			// This package's own tables name every code and show none.
			if slices.Contains([]string{"cmd/fluxover/hazards_test.go", "cmd/fluxover/coverage_test.go", "cmd/fluxover/catalogue_test.go"}, rel) {
				return nil
			}
			if !strings.Contains("/"+rel, "/testdata/") && !strings.HasSuffix(rel, "_test.go") {
				return nil
			}
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			for _, w := range word.FindAllString(string(content), -1) {
				if out[w] == "" {
					out[w] = rel
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}
