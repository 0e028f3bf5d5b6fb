package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOnlyKindsThatKubectlKnowsAreMergedWithoutOpenAPI: the real daemon's
// kubectl always reads the OpenAPI, which may be left out only where the merge
// is the same.
func TestOnlyKindsThatKubectlKnowsAreMergedWithoutOpenAPI(t *testing.T) {
	t.Parallel()
	const (
		configMap  = "---\napiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n    apiVersion: apiextensions.k8s.io/v1\n"
		custom     = "---\napiVersion: example.org/v1\nkind: Gadget\n"
		definition = "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
		service    = "---\napiVersion: apiregistration.k8s.io/v1\nkind: APIService\n"
	)
	for _, c := range []struct {
		name, verb, documents string
		without               bool
	}{
		{"built-in", "apply", configMap, true},
		{"custom", "apply", configMap + custom, true},
		{"definition", "apply", configMap + definition, false},
		{"API service", "apply", service + custom, false},
		{"delete knows no such flag", "delete", configMap, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			script := filepath.Join(dir, "kubectl")
			if err := os.WriteFile(script, []byte("#!/bin/sh\nprintf '%s ' \"$@\" >"+dir+"/args\ncat >/dev/null\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			k := &kubectl{path: script, env: os.Environ()}
			if err := k.run(newLogger(io.Discard, "fmt"), c.verb, []byte(c.documents)); err != nil {
				t.Fatal(err)
			}
			args, err := os.ReadFile(filepath.Join(dir, "args"))
			if err != nil {
				t.Fatal(err)
			}
			if without := strings.Contains(string(args), "--openapi-patch=false"); without != c.without {
				t.Errorf("kubectl was run with %q", args)
			}
		})
	}
}
