package fleet

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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

// ID is the object's name in an inventory of Flux v2: namespace_name_group_Kind.
func (o Object) ID() string {
	return strings.Join([]string{o.Namespace, o.Name, o.Group, o.Kind}, "_")
}

// ObjectsIn lists the objects that plain manifests below a folder hold, sorted
// by file and place in it. Documents without kind are left out.
func ObjectsIn(files map[string][]byte, folder string) ([]Object, error) {
	documents, err := documentsIn(files, folder)
	var objects []Object
	for _, d := range documents {
		objects = append(objects, d.Object)
	}
	return objects, err
}

// document is an object with all that its manifest says.
type document struct {
	Object
	content map[string]any
}

func documentsIn(files map[string][]byte, folder string) ([]document, error) {
	var names []string
	for name := range files {
		if strings.HasPrefix(name, folder+"/") && (strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var documents []document
	for _, name := range names {
		for _, text := range bytes.Split(append([]byte("\n"), files[name]...), []byte("\n---\n")) {
			u := unstructured.Unstructured{}
			if err := yaml.Unmarshal(text, &u.Object); err != nil {
				return nil, fmt.Errorf("read manifest %s: %w", name, err)
			}
			if u.GetKind() != "" {
				documents = append(documents, document{Object{u.GroupVersionKind(), u.GetNamespace(), u.GetName()}, u.Object})
			}
		}
	}
	return documents, nil
}

// Changed is an object whose manifest differs between two states of a
// repository.
type Changed struct {
	Object
	// Fields are the paths of what differs, at least one: keys and places in
	// lists with dots between, as in spec.template.spec.containers.0.image. Lists
	// that are not equally long differ as a whole.
	Fields []string
}

// Changes compares the objects that plain manifests below a folder hold before
// and after commits. That only one of the states holds an object is an error:
// CI's commits (see Change) neither add nor remove any.
func Changes(before, after map[string][]byte, folder string) ([]Changed, error) {
	old, err := documentsIn(before, folder)
	if err != nil {
		return nil, err
	}
	now, err := documentsIn(after, folder)
	if err != nil {
		return nil, err
	}
	then := map[Object]map[string]any{}
	for _, d := range old {
		then[d.Object] = d.content
	}
	var changed []Changed
	for _, d := range now {
		content, found := then[d.Object]
		if !found {
			return nil, fmt.Errorf("compare manifests: %s was not there before", d.Object)
		}
		delete(then, d.Object)
		if fields := differing("", content, d.content); len(fields) > 0 {
			changed = append(changed, Changed{d.Object, fields})
		}
	}
	for object := range then {
		return nil, fmt.Errorf("compare manifests: %s is no longer there", object)
	}
	return changed, nil
}

// differing lists the paths below at in which two values differ, sorted.
func differing(at string, before, after any) []string {
	if reflect.DeepEqual(before, after) {
		return nil
	}
	parts := map[string][2]any{}
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok {
			for key := range b {
				parts[key] = [2]any{b[key], a[key]}
			}
			for key := range a {
				parts[key] = [2]any{b[key], a[key]}
			}
		}
	case []any:
		if a, ok := after.([]any); ok && len(a) == len(b) {
			for i := range b {
				parts[strconv.Itoa(i)] = [2]any{b[i], a[i]}
			}
		}
	}
	if len(parts) == 0 {
		return []string{at}
	}
	var fields []string
	for _, key := range slices.Sorted(maps.Keys(parts)) {
		fields = append(fields, differing(strings.TrimPrefix(at+"."+key, "."), parts[key][0], parts[key][1])...)
	}
	return fields
}
