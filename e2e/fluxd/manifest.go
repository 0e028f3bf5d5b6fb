package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	yamlv2 "gopkg.in/yaml.v2"
	"sigs.k8s.io/yaml"
)

// manifest is one object as loaded from Git.
type manifest struct {
	id         identity
	apiVersion string
	kind       string
	// source says where it came from: a file relative to the repository, or a
	// generator's configuration file.
	source string
	// body is the document after decoding and re-encoding with yaml.v2, before a
	// namespace is filled in. Its checksum goes on the object.
	body        []byte
	annotations map[string]string
}

// header is what every object is decoded into. Scalars that are no strings are
// taken by their text, as yaml.v2 does.
type header struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name        string            `yaml:"name"`
		Namespace   string            `yaml:"namespace"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"metadata"`
}

// manifestSet holds manifests by identity.
type manifestSet map[identity]*manifest

// add puts a manifest in, or reports the one that is there already.
func (s manifestSet) add(m *manifest) error {
	if other, ok := s[m.id]; ok {
		return fmt.Errorf("duplicate definition of '%s' (in %s and %s)", m.id, other.source, m.source)
	}
	s[m.id] = m
	return nil
}

// merge adds every manifest of more.
func (s manifestSet) merge(more manifestSet) error {
	for _, m := range more {
		if err := s.add(m); err != nil {
			return err
		}
	}
	return nil
}

// parseDocuments decodes all YAML documents of one text (reference 2.3): those
// without a kind are left out, lists are replaced by their items, an identity
// that occurs twice is an error.
func parseDocuments(text []byte, source string) (manifestSet, error) {
	set := manifestSet{}
	decoder := yamlv2.NewDecoder(bytes.NewReader(text))
	for {
		var document any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return set, nil
		}
		if err != nil {
			return nil, fmt.Errorf("scanning multidoc from %q: %w", source, err)
		}
		if err := addDocument(set, document, source); err != nil {
			return nil, fmt.Errorf("parsing YAML doc from %q: %w", source, err)
		}
	}
}

// addDocument re-encodes one document and adds its object, or its items if it
// is a list. A list among the items is an object of its own, which no cluster
// knows.
func addDocument(set manifestSet, document any, source string) error {
	m, err := readObject(document, source)
	if err != nil || m == nil {
		return err
	}
	if !strings.HasSuffix(m.kind, "List") {
		return set.add(m)
	}
	var list struct {
		Items []map[string]any `yaml:"items"`
	}
	if err := yamlv2.Unmarshal(m.body, &list); err != nil {
		return err
	}
	for i, raw := range list.Items {
		item, err := readObject(raw, source)
		if err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
		if item == nil {
			// fluxd 1.25.4 crashes here; loading nothing of the commit is the same
			// without the crash loop.
			return fmt.Errorf("item %d of a %s has no kind", i, m.kind)
		}
		if err := set.add(item); err != nil {
			return err
		}
	}
	return nil
}

// readObject returns nil for a document without a kind.
func readObject(document any, source string) (*manifest, error) {
	body, err := yamlv2.Marshal(document)
	if err != nil {
		return nil, err
	}
	var h header
	if err := yamlv2.Unmarshal(body, &h); err != nil {
		return nil, err
	}
	if h.Kind == "" {
		return nil, nil
	}
	if err := checkShape(h.Kind, body); err != nil {
		return nil, err
	}
	return &manifest{
		id:          newIdentity(h.Metadata.Namespace, h.Kind, h.Metadata.Name),
		apiVersion:  h.APIVersion,
		kind:        h.Kind,
		source:      source,
		body:        body,
		annotations: h.Metadata.Annotations,
	}, nil
}

// podTemplate is as much of a pod template as fluxd decodes. A manifest that
// does not fit it makes the whole sync fail, although only kubectl should mind.
type podTemplate struct {
	Metadata struct {
		Labels      map[string]string
		Annotations map[string]string
	}
	Spec struct {
		Volumes []struct {
			Name   string
			Secret struct{}
		}
		Containers     []container
		InitContainers []container `yaml:"initContainers"`
	}
}

type container struct {
	Name  string
	Image string
	Args  []string
	Ports []struct{ Name string }
	Env   []struct{ Name, Value string }
}

// checkShape decodes the kinds that fluxd decodes beyond their header.
func checkShape(kind string, body []byte) error {
	switch kind {
	case "Deployment", "StatefulSet":
		return yamlv2.Unmarshal(body, &struct {
			Spec struct {
				Replicas int
				Template podTemplate
			}
		}{})
	case "DaemonSet":
		return yamlv2.Unmarshal(body, &struct {
			Spec struct{ Template podTemplate }
		}{})
	case "CronJob":
		return yamlv2.Unmarshal(body, &struct {
			Spec struct {
				JobTemplate struct {
					Spec struct{ Template podTemplate }
				} `yaml:"jobTemplate"`
			}
		}{})
	case "HelmRelease":
		text, err := yaml.YAMLToJSON(body)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &struct {
			Spec struct{ Values map[string]any }
		}{})
	}
	return nil
}

// Values of the ignore annotation that have an effect.
const (
	ignoreTrue     = "true"
	ignoreSyncOnly = "sync_only"
)

// ignorePolicy is the value of fluxd's ignore annotation, under either prefix;
// "" when there is none or it has no effect (reference 2.6).
func ignorePolicy(annotations map[string]string) string {
	for _, key := range []string{"fluxcd.io/ignore", "flux.weave.works/ignore"} {
		switch value := annotations[key]; value {
		case ignoreTrue, ignoreSyncOnly:
			return value
		}
	}
	return ""
}

// inNamespace returns the manifest as an object of that namespace.
func (m *manifest) inNamespace(namespace string) *manifest {
	out := *m
	out.id.namespace = namespace
	return &out
}

// forKubectl returns the document that goes to kubectl: namespace, mark and
// checksum filled in where the manifest does not hold them already.
func (m *manifest) forKubectl(setName string) ([]byte, error) {
	object := map[any]any{}
	if err := yamlv2.Unmarshal(m.body, &object); err != nil {
		return nil, err
	}
	metadata := childMap(object, "metadata")
	if m.id.namespace != "" {
		setMissing(metadata, "namespace", m.id.namespace)
	}
	setMissing(childMap(metadata, "labels"), markLabel, mark(setName, m.id.String()))
	setMissing(childMap(metadata, "annotations"), checksumAnnotation, checksum(m.body))
	return yamlv2.Marshal(object)
}

// childMap returns the map below key, making it when there is none.
func childMap(parent map[any]any, key string) map[any]any {
	if child, ok := parent[key].(map[any]any); ok {
		return child
	}
	child := map[any]any{}
	parent[key] = child
	return child
}

func setMissing(m map[any]any, key, value string) {
	if old := m[key]; old == nil || old == "" {
		m[key] = value
	}
}

// scope answers whether a kind is namespaced.
type scope interface {
	// namespaced returns errUnknownKind when the cluster does not serve the kind.
	namespaced(apiVersion, kind string) (bool, error)
}

// errUnknownKind makes fluxd leave an object out instead of failing the sync.
var errUnknownKind = errors.New("not found")

// placer fills in namespaces (reference 2.4).
type placer struct {
	scope            scope
	defaultNamespace string
	log              *logger
	// warned holds the objects left out so far, to say it once.
	warned map[identity]bool
}

// place returns the set with every object in its effective namespace. Objects
// of unknown kinds are left out with a warning. Two objects that only now turn
// out to be the same are merged: one wins.
func (p *placer) place(set manifestSet) (manifestSet, error) {
	declared := scopesOfCRDs(set)
	placed := manifestSet{}
	for _, m := range set {
		namespaced, err := p.scope.namespaced(m.apiVersion, m.kind)
		if err != nil {
			inSet, known := declared[m.apiVersion+"/"+m.kind]
			switch {
			case known:
				namespaced = inSet
			case errors.Is(err, errUnknownKind):
				if !p.warned[m.id] {
					name := m.id.kind + "/" + m.id.name
					p.log.line("warn", fmt.Sprintf("cannot find scope of resource %s: %v", name, err),
						"impact", fmt.Sprintf("resource %s will be excluded until its scope is available", name))
					p.warned[m.id] = true
				}
				continue
			default:
				return nil, err
			}
		}
		if p.warned[m.id] {
			p.log.line("info", fmt.Sprintf("found scope of resource %s, back in business!", m.id))
			delete(p.warned, m.id)
		}
		namespace := ""
		if namespaced {
			namespace = m.id.namespace
			if namespace == "" {
				namespace = p.defaultNamespace
			}
		}
		at := m.inNamespace(namespace)
		placed[at.id] = at
	}
	return placed, nil
}

// scopesOfCRDs reads which kinds the set's own CRDs define, and whether they are
// namespaced. The key is apiVersion/kind.
func scopesOfCRDs(set manifestSet) map[string]bool {
	scopes := map[string]bool{}
	for _, m := range set {
		if m.kind != "CustomResourceDefinition" {
			continue
		}
		var crd struct {
			Spec struct {
				Group    string
				Scope    string
				Version  string
				Names    struct{ Kind string }
				Versions []struct{ Name string }
			}
		}
		if err := yamlv2.Unmarshal(m.body, &crd); err != nil {
			continue // kubectl will say what is wrong with it
		}
		versions := []string{crd.Spec.Version}
		if len(crd.Spec.Versions) > 0 {
			versions = nil
			for _, v := range crd.Spec.Versions {
				versions = append(versions, v.Name)
			}
		}
		for _, v := range versions {
			scopes[crd.Spec.Group+"/"+v+"/"+crd.Spec.Names.Kind] = crd.Spec.Scope == "Namespaced"
		}
	}
	return scopes
}
