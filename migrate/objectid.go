package migrate

import (
	"fmt"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/object"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ObjectID is the Flux inventory id of an object,
// "<namespace>_<name>_<group>_<Kind>", the spelling used everywhere for
// objects. Names of RBAC objects write ":" as "__" (source: fluxcd/cli-utils
// pkg/object).
func ObjectID(u *unstructured.Unstructured) string {
	return object.UnstructuredToObjMetadata(u).String()
}

// ParseObjectID is the inverse of ObjectID.
func ParseObjectID(id string) (namespace, name string, gk schema.GroupKind, err error) {
	m, err := object.ParseObjMetadata(id)
	if err != nil {
		return "", "", schema.GroupKind{}, fmt.Errorf("parse object id %q: %w", id, err)
	}
	return m.Namespace, m.Name, m.GroupKind, nil
}

// DisplayID writes an object id for people: "Deployment/shop/web". Where the id does
// not tell which "_" of it parts namespace and name, since one of them holds some in
// Git, where no API server takes them, it leaves both together.
func DisplayID(id string) string {
	ns, name, gk, err := ParseObjectID(id)
	if err != nil {
		return id
	}
	both := strings.TrimSuffix(id, "_"+gk.Group+"_"+gk.Kind)
	if ns != "" && !object.RBACGroupKind[gk] && strings.Count(both, "_") > 1 {
		return gk.Kind + "/" + both
	}
	return strings.Join(append(append([]string{gk.Kind}, nonEmpty(ns)...), name), "/")
}

// DisplaySubject writes a finding's subject with object ids for people.
func DisplaySubject(subject string) string {
	words := strings.Fields(subject)
	for i, word := range words {
		// An object id ends with its kind; addresses of Terraform hold
		// underscores as well.
		kind := word[strings.LastIndex(word, "_")+1:]
		if kind != "" && kind[0] >= 'A' && kind[0] <= 'Z' {
			words[i] = DisplayID(word)
		}
	}
	return strings.Join(words, " ")
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
