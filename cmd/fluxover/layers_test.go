package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layersOf reads the table of docs/design.md, section 3: a package imports only
// packages of a lower layer.
func layersOf(t *testing.T) map[string]int {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "design.md"))
	if err != nil {
		t.Fatal(err)
	}
	layers := map[string]int{}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d) \\| `([a-z0-9/]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		if layers[row[2]], err = strconv.Atoi(row[1]); err != nil {
			t.Fatal(err)
		}
	}
	return layers
}

// alone are the modules that one package alone may call, by the same table.
var alone = map[string][]string{
	"reconcile/build": {"sigs.k8s.io/kustomize/", "github.com/fluxcd/pkg/kustomize", "github.com/getsops/"},
}

func TestPackagesImportOnlyLowerLayers(t *testing.T) {
	const module = "github.com/fluxover/fluxover/"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	layers, seen := layersOf(t), 0
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		seen++
		if strings.HasPrefix(name, "e2e/") || name == "e2e" {
			for _, i := range append(p.Imports, append(p.TestImports, p.XTestImports...)...) {
				if ours, ok := strings.CutPrefix(i, module); ok && !strings.HasPrefix(ours, "e2e/") {
					t.Errorf("%s imports %s: the laboratory must not share beliefs with the product", name, ours)
				}
			}
			continue
		}
		layer, known := layers[name]
		if !known {
			t.Errorf("package %s is not in the layer table of docs/design.md", name)
			continue
		}
		for _, i := range p.Imports {
			ours, ok := strings.CutPrefix(i, module)
			if !ok {
				for only, modules := range alone {
					if name != only && slices.ContainsFunc(modules, func(m string) bool { return strings.HasPrefix(i, m) }) {
						t.Errorf("%s imports %s, which %s alone may", name, i, only)
					}
				}
				continue
			}
			if strings.HasPrefix(ours, "e2e/") {
				t.Errorf("%s imports %s: the product must not contain the laboratory", name, ours)
			} else if l, known := layers[ours]; !known || l >= layer {
				t.Errorf("%s (layer %d) imports %s (layer %d)", name, layer, ours, l)
			}
		}
	}
	if seen < len(layers)/2 {
		t.Fatalf("go list named only %d packages", seen)
	}
}
