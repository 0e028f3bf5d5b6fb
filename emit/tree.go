package emit

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/migrate"
)

// provenance is the first line of every emitted file.
const provenance = "# Written by fluxover for %s. Edits are lost when it is written again.\n"

// Tree gives the files of the plan as they stand in the flux-capacitor
// (docs/design.md, section 9), by path: per repository source.yaml with its
// sources, rbac.yaml with its account and rights, and one file per
// application. They hold final values, and refer to credentials by name.
func Tree(plan migrate.Plan, cluster string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, r := range plan.Repositories {
		dir := path.Join("clusters", cluster, strings.ReplaceAll(r.ID, "/", "_"))
		var sources []*unstructured.Unstructured
		for _, ref := range r.Sources {
			if s := plan.Source(ref); s != nil {
				sources = append(sources, s)
			}
		}
		groups := map[string][]*unstructured.Unstructured{"source.yaml": sources, "rbac.yaml": r.Supporting}
		for _, k := range r.Kustomizations {
			groups[k.GetName()+".yaml"] = []*unstructured.Unstructured{k}
		}
		for name, objects := range groups {
			if len(objects) == 0 {
				continue
			}
			var b bytes.Buffer
			fmt.Fprintf(&b, provenance, r.ID)
			if err := YAML(&b, objects); err != nil {
				return nil, err
			}
			files[path.Join(dir, name)] = b.Bytes()
		}
	}
	return files, nil
}

// YAML writes objects as a stream of documents, keys sorted.
func YAML(w io.Writer, objects []*unstructured.Unstructured) error {
	for i, o := range objects {
		raw, err := yaml.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("write %s: %w", migrate.DisplayID(migrate.ObjectID(o)), err)
		}
		if i > 0 {
			raw = append([]byte("---\n"), raw...)
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	return nil
}

// Paths gives the paths of emitted files, sorted.
func Paths(files map[string][]byte) []string {
	return slices.SortedFunc(maps.Keys(files), cmp.Compare)
}
