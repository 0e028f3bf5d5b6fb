package main

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whoever finds a name on an object must be able to look up what it means.
func TestEveryNameThatIsAddedIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(moduleRoot, "docs", "cutover.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "\n## Names that are added\n")
	if !found {
		t.Fatal("docs/cutover.md has no table of names")
	}
	name := regexp.MustCompile(`fluxover\.dev/[a-z][a-z-]*`)
	written := map[string]bool{}
	src := parseSource(t)
	for _, file := range src.files {
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				for _, found := range name.FindAllString(literal.Value, -1) {
					written[found] = true
				}
			}
			return true
		})
	}
	delete(written, "fluxover.dev/v") // the version of the documents
	documented := name.FindAllString(table, -1)
	for found := range written {
		if !slices.Contains(documented, found) {
			t.Errorf("%s is written and not in the table of docs/cutover.md", found)
		}
	}
	for _, found := range documented {
		if !written[found] {
			t.Errorf("%s is in the table of docs/cutover.md, and nothing writes it", found)
		}
	}
	if len(written) < 15 {
		t.Errorf("only %d names were found", len(written))
	}
}
