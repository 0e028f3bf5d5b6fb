package migrate

import (
	"gopkg.in/yaml.v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Annotations are those of a manifest from Git, as fluxd reads them: a value that is
// no text counts as it is written, so that an unquoted true is "true" (flux:
// pkg/cluster/kubernetes/resource/resource.go, baseObject). GetAnnotations has none
// at all where one value is no text.
func Annotations(u *unstructured.Unstructured) map[string]string { return texts(u, "annotations") }

// Labels are those of a manifest from Git, read as [Annotations].
func Labels(u *unstructured.Unstructured) map[string]string { return texts(u, "labels") }

func texts(u *unstructured.Unstructured, field string) map[string]string {
	values, found, err := unstructured.NestedFieldNoCopy(u.Object, "metadata", field)
	if !found || err != nil {
		return nil
	}
	written, err := yaml.Marshal(values)
	if err != nil {
		return nil // it came out of YAML or JSON; the build would fail on it
	}
	var out map[string]string
	_ = yaml.Unmarshal(written, &out) // it fails for a mapping or list, which is left out: fluxd gives up there
	return out
}
