// Package crds checks manifests against CustomResourceDefinitions as the API
// server of a cluster that has them would, and more strictly: a field that they
// do not name, and that it would drop, is a problem too. Rules in CEL are not
// evaluated.
package crds

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"
)

// Schemas are those of the kinds that definitions define.
type Schemas map[schema.GroupVersionKind]*spec.Schema

// Read reads the definitions in a folder, one in each file.
func Read(t testing.TB, dir string) Schemas {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no definitions in %s: %v", dir, err)
	}
	out := Schemas{}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var crd struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct {
						OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(raw, &crd); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, v := range crd.Spec.Versions {
			closed(v.Schema.OpenAPIV3Schema)
			raw, err := json.Marshal(v.Schema.OpenAPIV3Schema)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			s := &spec.Schema{}
			if err := json.Unmarshal(raw, s); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out[schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}] = s
		}
	}
	return out
}

// Problems says what is wrong with an object. It is not known if no definition
// defines its kind.
func (s Schemas) Problems(object map[string]any) (problems []string, known bool) {
	u := unstructured.Unstructured{Object: object}
	of := s[u.GroupVersionKind()]
	if of == nil {
		return nil, false
	}
	for _, err := range validate.NewSchemaValidator(of, nil, "", strfmt.Default).Validate(object).Errors {
		problems = append(problems, err.Error())
	}
	return problems, true
}

// Check fails the test with what is wrong in the YAML files of a tree, and tells
// how many objects of defined kinds they hold.
func (s Schemas) Check(t testing.TB, tree fs.FS) (checked int) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".yaml" {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		decoder := yamlutil.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
		for {
			var object map[string]any
			if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			problems, known := s.Problems(object)
			if known {
				checked++
			}
			if len(problems) > 0 {
				u := unstructured.Unstructured{Object: object}
				t.Errorf("%s: %s/%s: %s", name, u.GetKind(), u.GetName(), strings.Join(problems, "; "))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return checked
}

// closed makes a schema refuse what it does not name.
func closed(schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	if len(properties) > 0 && schema["additionalProperties"] == nil && schema["x-kubernetes-preserve-unknown-fields"] != true {
		schema["additionalProperties"] = false
	}
	for _, below := range properties {
		if m, ok := below.(map[string]any); ok {
			closed(m)
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		closed(items)
	}
	if metadata, ok := properties["metadata"].(map[string]any); ok && len(metadata) == 1 {
		metadata["additionalProperties"] = true
	}
}
