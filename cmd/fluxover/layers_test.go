package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// layers is the table of docs/design.md, section 3: a package imports only
// packages of a lower layer.
var layers = map[string]int{
	"reconcile/source": 0, "reconcile/build": 0, "reconcile/cluster": 0,
	"migrate":       1,
	"migrate/flux1": 2, "discover/terraform": 2, "discover/helm": 2,
	"migrate/flux1/chart": 3,
	"migrate/proof":       4, "discover": 4,
	"emit":            5,
	"migrate/cutover": 6, "emit/upkeep": 6, "reconcile": 6,
	// The chart is data with a loader; the executor installs it.
	"reconcile/chart": 5,
	"cmd/fluxover":    7,
}

func TestPackagesImportOnlyLowerLayers(t *testing.T) {
	const module = "github.com/fluxover/fluxover/"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
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
