package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
)

var updateDocs = flag.Bool("update-docs", false, "write the generated documents below docs")

// severitySetAfterwards are the places that grade a finding after it is made,
// each with the reason why its row is still true.
var severitySetAfterwards = map[string]string{
	"discover/cluster.go facts":             "API_GROUP_DOWN, as its row says",
	"discover/cluster.go lacked":            "RBAC_MISSING, as its row says",
	"discover/mergewitnesses.go Merge":      "what Terraform alone could not tell is info once the live agent tells it; said in the head of docs/findings.md",
	"discover/repository_index.go tooLarge": "TREE_TOO_LARGE, as its row says",
	"discover/terraform/diagnostic.go hcl":  "a diagnostic of Terraform, not a finding",
}

func TestEveryFindingHasARowInTheCatalogueAndEveryRowAFinding(t *testing.T) {
	found := parseSource(t).findings()
	rows := map[string]migrate.Code{}
	for _, c := range catalogue() {
		if _, twice := rows[c.Name]; twice {
			t.Errorf("%s stands twice in the catalogue", c.Name)
		}
		rows[c.Name] = c
		if len(found.sites[c.Name]) == 0 {
			t.Errorf("%s (%s) has a row and nothing makes such a finding", c.Name, found.rows[c.Name])
		}
		for what, sentence := range map[string]string{"cause": c.Cause, "consequence": c.Consequence, "remedy": c.Remedy} {
			if sentence == "" || strings.HasSuffix(sentence, ".") {
				t.Errorf("%s: its %s is %q, which is no sentence without a full stop", c.Name, what, sentence)
			}
		}
	}
	for code, at := range found.rows {
		if _, ok := rows[code]; !ok {
			t.Errorf("%s: %s is not in its package's Codes()", at, code)
		}
	}
	for code, sites := range found.sites {
		row, ok := rows[code]
		for _, s := range sites {
			switch {
			case !ok:
				t.Errorf("%s %s makes the finding %s, which has no row in a table of codes (see migrate/catalogue.go)", s.file, s.function, code)
			case s.literal != nil && !gradedSo(row, *s.literal):
				t.Errorf("%s: %s is %q here (acceptable: %t), and its row says otherwise", s.literal.at, code, s.literal.severity, s.literal.acceptable)
			}
		}
	}
	for _, o := range found.odd {
		place, _, set := strings.Cut(o, ": ")
		if !set || severitySetAfterwards[place] == "" {
			t.Errorf("%s: nothing can be held to its row that way", o)
		}
	}
}

// gradedSo reports whether a literal's severity is that of the row, or of one
// of its special cases. What is computed needs special cases to be true.
func gradedSo(c migrate.Code, g literalGrade) bool {
	variants := append([]migrate.Variant{{Severity: c.Severity, Acceptable: c.Acceptable}}, c.Otherwise...)
	if g.severity == "" {
		return len(c.Otherwise) > 0
	}
	return slices.ContainsFunc(variants, func(v migrate.Variant) bool {
		return string(v.Severity) == g.severity && v.Acceptable == g.acceptable
	})
}

func TestEveryKindOfFindingIsShownByATest(t *testing.T) {
	src := parseSource(t)
	shown := testWords(t)
	names := identifiersOfCodes(src)
	for _, c := range catalogue() {
		if shown[c.Name] == "" && names[c.Name] == "" && !slices.Contains(knownGaps["finding"], c.Name) {
			t.Errorf("%s: no test and no golden shows it", c.Name)
		}
	}
}

// identifiersOfCodes gives, for each code whose row is a variable that a test
// uses, one such test file.
func identifiersOfCodes(src *goSource) map[string]string {
	variables, constants := map[codeVariable]string{}, map[codeVariable]string{}
	for _, name := range sortedNames(src.files) {
		src.rows(name, src.files[name], map[string]string{}, variables, constants)
	}
	out := map[string]string{}
	for _, name := range sortedNames(src.tests) {
		file := src.tests[name]
		packages := imports(file)
		if strings.HasPrefix(name, "cmd/fluxover/") && slices.Contains([]string{"hazards_test.go", "coverage_test.go", "catalogue_test.go"}, path.Base(name)) {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			key := codeVariable{}
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if p, ok := n.X.(*ast.Ident); ok && packages[p.Name] != "" {
					key = codeVariable{packages[p.Name], n.Sel.Name}
				}
			case *ast.Ident:
				key = codeVariable{path.Dir(name), n.Name}
			}
			if code, ok := variables[key]; ok && out[code] == "" {
				out[code] = name
			}
			return true
		})
	}
	return out
}

func TestEveryKindOfFindingIsExplained(t *testing.T) {
	report := emit.Report{Codes: catalogue()}
	for _, c := range report.Codes {
		found := emit.Explain(report, strings.ToLower(c.Name))
		if len(found) != 1 || found[0].Subject != c.Name+" ("+c.Grade()+")" || found[0].Why != "to do: "+c.Remedy {
			t.Errorf("%s: %+v", c.Name, found)
		}
	}
	if found := emit.Explain(report, "NO_SUCH_CODE"); found != nil {
		t.Errorf("a code that does not exist is explained: %+v", found)
	}
}

func TestFindingsPageIsWhatTheCodeSays(t *testing.T) {
	checkDocument(t, "findings.md", findingsPage(t))
}

// checkDocument compares a generated document with docs, or writes it.
func checkDocument(t *testing.T, name, want string) {
	t.Helper()
	file := filepath.Join(moduleRoot, "docs", filepath.FromSlash(name))
	if *updateDocs {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/%s is not what the code says: run make generate", name)
	}
}

// findingsPage writes docs/findings.md.
func findingsPage(t *testing.T) string {
	found := parseSource(t).findings()
	examples := goldenMessages(t)
	hazardsOf := map[string][]string{}
	for _, h := range hazards {
		for _, c := range h.codes {
			hazardsOf[c] = append(hazardsOf[c], fmt.Sprintf("[H%d](hazards.md#h%d)", h.number, h.number))
		}
	}
	all := catalogue()
	var b strings.Builder
	fmt.Fprintf(&b, `# Findings

Generated from the code by `+"`make generate`"+`; edit the tables of codes there (`+"`migrate/catalogue.go`"+` says how).

A finding is one thing that a person should know before a migration. Its code is stable. A *blocker* holds back its
repository, or all of them where it is about the cluster, until it is mended or, where that is possible, accepted:
`+"`--accept CODE=SUBJECT`"+`, or a line of the decisions file with a reason. A *warning* should be read, an *info* is a
fact worth a line. What Terraform alone could not tell of an agent is an info as soon as the live agent tells it.

The examples are messages as they stand in the goldens of the tests; where … stands for what is filled in, it is the
message as the code has it.

| code | severity | what is so |
|---|---|---|
`)
	for _, c := range all {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", c.Name, strings.ToLower(c.Name), c.Grade(), cell(c.Cause))
	}
	for _, c := range all {
		fmt.Fprintf(&b, "\n## %s\n\n%s.", c.Name, sentenceCase(c.Grade()))
		for _, v := range c.Otherwise {
			fmt.Fprintf(&b, " %s where %s.", sentenceCase(v.Grade()), v.When)
		}
		fmt.Fprintf(&b, "\n\n- Cause: %s.\n- Consequence: %s.\n- Remedy: %s.\n", c.Cause, c.Consequence, c.Remedy)
		if example := example(examples[c.Name], found.sites[c.Name]); example != "" {
			fmt.Fprintf(&b, "- Example: %s\n", example)
		}
		fmt.Fprintf(&b, "- Made in: %s\n", strings.Join(places(found.sites[c.Name]), ", "))
		if len(hazardsOf[c.Name]) > 0 {
			fmt.Fprintf(&b, "- Hazards: %s\n", strings.Join(hazardsOf[c.Name], ", "))
		}
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func sentenceCase(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func example(golden string, sites []site) string {
	if golden != "" {
		return golden
	}
	for _, s := range sites {
		if s.message != "" {
			return s.message
		}
	}
	return ""
}

func places(sites []site) []string {
	seen := map[string]bool{}
	for _, s := range sites {
		seen[fmt.Sprintf("`%s` (%s)", s.file, s.function)] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// goldenMessages gives for each code the shortest message that a golden of the
// product's packages shows.
func goldenMessages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	note := func(code, message string) {
		if message == "" || code == "" {
			return
		}
		if had := out[code]; had == "" || len(message) < len(had) || len(message) == len(had) && message < had {
			out[code] = message
		}
	}
	for _, folder := range productFolders {
		err := filepath.WalkDir(filepath.Join(moduleRoot, folder), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(name) != ".json" || !strings.Contains(filepath.ToSlash(name), "/testdata/") {
				return err
			}
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			var value any
			if json.Unmarshal(content, &value) == nil {
				walkFindings(value, note)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// walkFindings calls note for everything in a JSON value that looks like a
// finding.
func walkFindings(value any, note func(code, message string)) {
	switch v := value.(type) {
	case map[string]any:
		code, _ := v["code"].(string)
		message, _ := v["message"].(string)
		if _, ok := v["severity"]; ok {
			note(code, message)
		}
		for _, m := range v {
			walkFindings(m, note)
		}
	case []any:
		for _, m := range v {
			walkFindings(m, note)
		}
	}
}
