package fleet

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// Object names one object that a team's agent applies.
type Object struct {
	schema.GroupVersionKind
	Namespace, Name string
}

// String is apiVersion/kind namespace/name.
func (o Object) String() string {
	return o.GroupVersion().String() + "/" + o.Kind + " " + strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")
}

// ObjectsIn lists the objects that plain manifests below a folder hold, sorted
// by file and place in it. Documents without kind are left out.
func ObjectsIn(files map[string][]byte, folder string) ([]Object, error) {
	var names []string
	for name := range files {
		if strings.HasPrefix(name, folder+"/") && (strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var objects []Object
	for _, name := range names {
		for _, document := range bytes.Split(append([]byte("\n"), files[name]...), []byte("\n---\n")) {
			var header struct {
				APIVersion string `json:"apiVersion"`
				Kind       string `json:"kind"`
				Metadata   struct {
					Namespace string `json:"namespace"`
					Name      string `json:"name"`
				} `json:"metadata"`
			}
			if err := yaml.Unmarshal(document, &header); err != nil {
				return nil, fmt.Errorf("read manifest %s: %w", name, err)
			}
			if header.Kind != "" {
				kind := schema.FromAPIVersionAndKind(header.APIVersion, header.Kind)
				objects = append(objects, Object{kind, header.Metadata.Namespace, header.Metadata.Name})
			}
		}
	}
	return objects, nil
}
