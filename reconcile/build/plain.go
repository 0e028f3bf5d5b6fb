package build

import (
	"context"
	"encoding/json"
	"path"
	"strings"

	"github.com/fluxcd/pkg/ssa/normalize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// buildPlain builds a folder that holds manifests only, without `kustomize
// build`: it reads the documents with kustomize's own parser, and leaves out
// the passes that have nothing to do there. It says no (ok false) to every
// folder where it is not certain that kustomize would give the same objects,
// and to every folder with a fault, so that there is one source of error
// messages. It touches none of kustomize's process-wide state.
//
// What the passes left out could do, and why they do nothing here: transformers
// have no configuration, but for patches that set annotations (marks), which are
// set here; names are not changed, so references to names stay,
// except that kustomize writes the namespace of a ServiceAccount or Service of
// the same build into subjects and webhooks (namespacing references); variables
// are not declared; build annotations are removed again.
func buildPlain(ctx context.Context, a *Artifact, dir string, marks *marks) (built []builtObject, ok bool) {
	// kustomize's parser panics on some malformed input.
	defer func() {
		if recover() != nil {
			built, ok = nil, false
		}
	}()
	files, nested := manifests(a, dir)
	if nested {
		return nil, false
	}
	factory := provider.NewDefaultDepProvider().GetResourceFactory()
	seen := identities{}
	for _, file := range files {
		// Such names may be taken for a URL or a flag by kustomize.
		if strings.ContainsAny(file, "?:@%\\\n") || ctx.Err() != nil {
			return nil, false
		}
		data, err := a.read(file)
		if err != nil {
			return nil, false
		}
		if values := roughly(data).Values; values > DefaultLimits.Values {
			return nil, false
		}
		resources, err := factory.SliceFromBytes(data)
		if err != nil {
			return nil, false
		}
		for _, r := range resources {
			object, keep, ok := plainObject(r, seen, marks)
			if !ok {
				return nil, false
			}
			if keep {
				built = append(built, object)
			}
		}
	}
	return built, true
}

// manifests lists the files that a generated kustomization file would name.
// nested is true if the folder or one below it has a kustomization file.
func manifests(a *Artifact, dir string) (files []string, nested bool) {
	if _, has := kustomizationFile(a, dir); has {
		return nil, true
	}
	for _, c := range a.children[dir] {
		p := path.Join(dir, c.name)
		if c.folder {
			below, nested := manifests(a, p)
			if nested {
				return nil, true
			}
			files = append(files, below...)
			continue
		}
		if isManifest(p) {
			files = append(files, p)
		}
	}
	return files, false
}

func isManifest(p string) bool {
	ext := path.Ext(p)
	return ext == ".yaml" || ext == ".yml"
}

// plainObject turns a parsed document into an object. ok is false if kustomize
// has to do it.
func plainObject(r *resource.Resource, seen identities, marks *marks) (b builtObject, keep, ok bool) {
	data, err := r.MarshalJSON()
	if err != nil {
		return b, false, false
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return b, false, false
	}
	apiVersion, _ := fields["apiVersion"].(string)
	kind, _ := fields["kind"].(string)
	meta, _ := fields["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	namespace, namespaced := meta["namespace"].(string)
	if apiVersion == "" || kind == "" || name == "" || meta["namespace"] != nil && !namespaced {
		return b, false, false
	}
	if !plainMetadata(r) || referencesNamespaces[kind] {
		return b, false, false
	}
	if !seen.add(identity{apiVersion, kind, name}, namespace) {
		return b, false, false
	}
	annotations, _ := meta["annotations"].(map[string]any)
	if v, has := annotations[konfig.IgnoredByKustomizeAnnotation]; has && v != "false" {
		return b, false, true
	}
	marked, ok := put(marks, apiVersion, kind, meta)
	if !ok {
		return b, false, false
	}
	certain := plainText(fields)
	if marked {
		if !certain { // a patch has it written and read once more
			return b, false, false
		}
		if data, err = json.Marshal(fields); err != nil {
			return b, false, false
		}
	}
	read := data
	if !certain {
		// Print and read it as upstream does between build and apply, so
		// that whatever the detour changes is changed here too.
		text, err := yaml.JSONToYAML(data)
		if err != nil {
			return b, false, false
		}
		if read, err = yaml.YAMLToJSON(text); err != nil {
			return b, false, false
		}
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(read); err != nil {
		return b, false, false
	}
	if namesOthers[kind] {
		// kustomize walks the fields that may name other objects and fails
		// on scalars in their place; a shape the API knows is safe.
		if _, err := normalize.FromUnstructured(u); err != nil {
			return b, false, false
		}
	}
	return builtObject{json: data, object: u}, true, true
}

// plainMetadata is false if kustomize would rewrite labels or annotations:
// values that are not written as strings become strings, in the spelling of
// the file (a timestamp too, which in JSON looks like a string in another
// spelling); its own annotations go.
func plainMetadata(r *resource.Resource) bool {
	metadata := r.Field("metadata")
	if metadata == nil {
		return true
	}
	for _, name := range []string{"labels", "annotations"} {
		field := metadata.Value.Field(name)
		if field == nil {
			continue
		}
		if field.Value.YNode().Kind != kyaml.MappingNode {
			return false
		}
		content := field.Value.Content()
		for i := 0; i+1 < len(content); i += 2 {
			key, value := content[i], content[i+1]
			if key.ShortTag() != kyaml.NodeTagString || value.ShortTag() != kyaml.NodeTagString {
				return false
			}
			if k := key.Value; k != konfig.IgnoredByKustomizeAnnotation && ofKustomize(k) {
				return false
			}
		}
	}
	return true
}

// plainText is true if printing as YAML and reading back is sure to give the
// same value: integers that a float64 holds exactly, and printable ASCII.
func plainText(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if !plainText(k) || !plainText(e) {
				return false
			}
		}
	case []any:
		for _, e := range v {
			if !plainText(e) {
				return false
			}
		}
	case string:
		for i := 0; i < len(v); i++ {
			if c := v[i]; (c < ' ' && c != '\n') || c > '~' {
				return false
			}
		}
	case float64:
		return v == float64(int64(v)) && v > -1<<53 && v < 1<<53
	}
	return true
}

// referencesNamespaces are kinds with a field that names an object and its
// namespace, where kustomize writes the namespace even if no name changes
// (source: kustomize api, default name references whose path ends in a map).
var referencesNamespaces = map[string]bool{
	"RoleBinding": true, "ClusterRoleBinding": true,
	"ValidatingWebhookConfiguration": true, "MutatingWebhookConfiguration": true,
}

// namesOthers are the kinds whose fields kustomize walks to find names of
// other objects (source: as above).
var namesOthers = map[string]bool{
	"APIService": true, "ClusterRole": true, "CronJob": true, "DaemonSet": true, "Deployment": true,
	"HorizontalPodAutoscaler": true, "Ingress": true, "Job": true, "Node": true, "PersistentVolume": true,
	"PersistentVolumeClaim": true, "Pod": true, "PodTemplate": true, "ReplicaSet": true,
	"ReplicationController": true, "Role": true, "Service": true, "ServiceAccount": true,
	"StatefulSet": true, "StorageClass": true, "ValidatingAdmissionPolicyBinding": true,
}

// namespacedKinds are kinds known to live in namespaces. Two objects of
// another kind with one name in two namespaces may be one object to kustomize,
// if it knows the kind to be cluster-scoped.
var namespacedKinds = map[string]bool{
	"v1/ConfigMap": true, "v1/Secret": true, "v1/Service": true, "v1/ServiceAccount": true,
	"v1/PersistentVolumeClaim": true, "v1/ResourceQuota": true, "v1/LimitRange": true, "v1/Pod": true,
	"apps/v1/Deployment": true, "apps/v1/StatefulSet": true, "apps/v1/DaemonSet": true,
	"batch/v1/Job": true, "batch/v1/CronJob": true, "autoscaling/v1/HorizontalPodAutoscaler": true,
	"networking.k8s.io/v1/Ingress": true, "networking.k8s.io/v1/NetworkPolicy": true,
	"policy/v1/PodDisruptionBudget": true, "rbac.authorization.k8s.io/v1/Role": true,
}

type identity struct{ apiVersion, kind, name string }

// identities finds objects that kustomize may take for one.
type identities map[identity]map[string]bool

// add returns false if an object that may be the same is there already. No
// namespace counts as "default" (source: kustomize kyaml/resid).
func (s identities) add(id identity, namespace string) bool {
	if namespace == "" {
		namespace = "default"
	}
	others := s[id]
	if others == nil {
		s[id] = map[string]bool{namespace: true}
		return true
	}
	if others[namespace] || !namespacedKinds[id.apiVersion+"/"+id.kind] {
		return false
	}
	others[namespace] = true
	return true
}
