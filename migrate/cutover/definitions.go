package cutover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	helmchart "helm.sh/helm/v3/pkg/chart"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/chart"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

var crdKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// neededCRDs are what the cut-over and the agent meet through.
var neededCRDs = []string{"gitrepositories.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io"}

// neededFields are fields of version v1 without which nothing may be handed
// over, by definition, and why. The API server drops in silence what a
// definition does not know. What else is written is found missing when it is
// staged, which is strict about unknown fields.
var neededFields = map[string][]struct{ path, why string }{
	"kustomizations.kustomize.toolkit.fluxcd.io": {
		// Source: kustomize-controller's CHANGELOG, v1.5.0.
		{"spec.deletionPolicy", "without it, removing a Kustomization would delete the workloads that it applied"},
	},
}

// definitionLimit bounds the wait until a definition is served.
const definitionLimit = time.Minute

// definition is a CustomResourceDefinition of the chart beside the one that
// the cluster has, if any.
type definition struct {
	want, live *unstructured.Unstructured
	// own is true if this run made the live one and nobody else applies it.
	own bool
	// write is true if it is absent, or own and older.
	write bool
}

// definitionRecord is the journal of one definition that was made or updated:
// the version before, empty for none, and after.
type definitionRecord struct {
	From  string `json:"from,omitempty"`
	To    string `json:"to"`
	State State  `json:"state"`
}

func definitionVersion(crd *unstructured.Unstructured) string {
	if crd == nil {
		return ""
	}
	return crd.GetAnnotations()[chart.DefinitionVersion]
}

// judgeDefinitions compares the definitions of the chart with those of the
// cluster, and changes nothing. Helm makes what stands in a chart's crds/ where
// it is absent, and never brings it up to date, so the executor does both.
// What somebody else made, or applies since, is never touched: it is refused if
// it does not do, and told of if it is behind.
func judgeDefinitions(ctx context.Context, s *session, loaded *helmchart.Chart, want migrate.ClusterAgent) ([]definition, error) {
	wanted, err := chartDefinitions(loaded)
	if err != nil {
		return nil, err
	}
	var judged []definition
	for _, crd := range wanted {
		live, err := s.c.Get(ctx, crdKind, "", crd.GetName())
		if cluster.IsGone(err) {
			judged = append(judged, definition{want: crd, write: true})
			continue
		}
		if err != nil {
			return nil, err
		}
		d := definition{want: crd, live: live, own: madeBy(live, s.run, want.Namespace, want.Release)}
		if d.write = d.own && older(live, crd); d.write {
			err = keepsStored(live, crd)
		} else {
			err = usable(live)
		}
		if err != nil {
			return nil, err
		}
		if lacks := unknownFields(schemaOf(crd), schemaOf(live), ""); len(lacks) > 0 && !d.own {
			s.emit(Event{At: time.Now(), Step: "agent", State: EventNote, Message: fmt.Sprintf(
				"%s is not fluxover's to change (%s) and stays as it is, though it lacks %s: bring it up to date where it is declared",
				cluster.Describe(live), owners(live), strings.Join(shortList(lacks, 3), ", "))})
		}
		judged = append(judged, d)
	}
	return judged, nil
}

// chartDefinitions are the definitions in the crds/ of a chart; none for nil.
func chartDefinitions(loaded *helmchart.Chart) ([]*unstructured.Unstructured, error) {
	if loaded == nil {
		return nil, nil
	}
	var out []*unstructured.Unstructured
	for _, file := range loaded.CRDObjects() {
		for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(file.File.Data), 4096); ; {
			u := &unstructured.Unstructured{}
			err := decoder.Decode(&u.Object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("read %s of the chart %s: %w", file.Filename, loaded.Name(), err)
			}
			if u.GroupVersionKind() == crdKind {
				out = append(out, u)
			}
		}
	}
	return out, nil
}

// madeBy reports whether a definition is a run's, and nobody else applies it:
// it bears the run's mark, or Helm made it with the release.
func madeBy(live *unstructured.Unstructured, run, namespace, release string) bool {
	a := live.GetAnnotations()
	byHelm := release != "" && a["meta.helm.sh/release-name"] == release && a["meta.helm.sh/release-namespace"] == namespace
	return byHelm || a[annotationRun] == run && len(otherAppliers(live)) == 0
}

// otherAppliers are the field managers, but the executor, that own a part of
// an object's spec.
func otherAppliers(live *unstructured.Unstructured) []string {
	var names []string
	for _, entry := range live.GetManagedFields() {
		spec := entry.FieldsV1 != nil && bytes.Contains(entry.FieldsV1.GetRawBytes(), []byte(`"f:spec"`))
		if spec && entry.Subresource == "" && entry.Manager != migrate.FieldManager {
			names = append(names, entry.Manager)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func owners(live *unstructured.Unstructured) string {
	if others := otherAppliers(live); len(others) > 0 {
		return "applied by " + strings.Join(others, ", ")
	}
	return "made by another run"
}

// older reports whether the live definition is of an older version than the
// wanted one. One that does not say is as old as can be; a wanted one that does
// not say is never newer.
func older(live, want *unstructured.Unstructured) bool {
	to, err := version.ParseSemantic(definitionVersion(want))
	if err != nil {
		return false
	}
	from, err := version.ParseSemantic(definitionVersion(live))
	return err != nil || from.LessThan(to)
}

// keepsStored fails if the new definition would drop a version in which the
// cluster may hold objects.
func keepsStored(live, want *unstructured.Unstructured) error {
	stored, _, err := unstructured.NestedStringSlice(live.Object, "status", "storedVersions")
	if err != nil {
		return fmt.Errorf("read the definition %s: %w", live.GetName(), err)
	}
	versions := versionsOf(want)
	for _, v := range stored {
		if versions[v] == nil {
			return fmt.Errorf("%w: the cluster may hold objects of %s that are stored in version %s, which the definition of this fluxover (%s) no longer has: store them anew in %s and take %s out of the definition's status.storedVersions (Kubernetes calls this storage version migration)",
				ErrBlocked, live.GetName(), v, definitionVersion(want), strings.Join(sortedKeys(versions), ", "), v)
		}
	}
	return nil
}

// usable fails if a definition that stays as it is does not do.
func usable(live *unstructured.Unstructured) error {
	served, err := servedVersions(live)
	if err != nil {
		return err
	}
	if !slices.Contains(served, "v1") {
		return fmt.Errorf("%w: the cluster serves %s in %s, and version v1 is needed: upgrade Flux v2 first", ErrBlocked, live.GetName(), strings.Join(served, ", "))
	}
	for _, field := range neededFields[live.GetName()] {
		if !knows(schemaOf(live), strings.Split(field.path, ".")) {
			return fmt.Errorf("%w: the cluster's definition of %s does not know %s: %s; upgrade Flux v2 and its definitions first", ErrBlocked, live.GetName(), field.path, field.why)
		}
	}
	return nil
}

// versionsOf a definition, by name.
func versionsOf(crd *unstructured.Unstructured) map[string]map[string]any {
	out := map[string]map[string]any{}
	list, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			name, _ := m["name"].(string)
			out[name] = m
		}
	}
	return out
}

// servedVersions of a definition, sorted.
func servedVersions(crd *unstructured.Unstructured) ([]string, error) {
	if _, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions"); err != nil {
		return nil, fmt.Errorf("read the definition %s: %w", crd.GetName(), err)
	}
	var served []string
	for name, v := range versionsOf(crd) {
		if v["served"] == true {
			served = append(served, name)
		}
	}
	slices.Sort(served)
	return served, nil
}

// schemaOf is the schema of version v1; nil if there is none.
func schemaOf(crd *unstructured.Unstructured) map[string]any {
	s, _, _ := unstructured.NestedMap(versionsOf(crd)["v1"], "schema", "openAPIV3Schema")
	return s
}

// knows reports whether a schema keeps the field at a path.
func knows(s map[string]any, path []string) bool {
	if len(path) == 0 || s["x-kubernetes-preserve-unknown-fields"] == true {
		return true
	}
	properties, _ := s["properties"].(map[string]any)
	field, found := properties[path[0]].(map[string]any)
	return found && knows(field, path[1:])
}

// unknownFields lists the fields of a schema that another one does not know.
func unknownFields(want, have map[string]any, at string) []string {
	if have["x-kubernetes-preserve-unknown-fields"] == true {
		return nil
	}
	var out []string
	properties, _ := want["properties"].(map[string]any)
	known, _ := have["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		field, _ := properties[name].(map[string]any)
		same, found := known[name].(map[string]any)
		if path := strings.TrimPrefix(at+"."+name, "."); !found {
			out = append(out, path)
		} else {
			out = append(out, unknownFields(field, same, path)...)
		}
	}
	items, isList := want["items"].(map[string]any)
	if same, ok := have["items"].(map[string]any); isList && ok {
		out = append(out, unknownFields(items, same, at+"[]")...)
	}
	return out
}

// shortList keeps the first n items and says how many more there are.
func shortList(items []string, n int) []string {
	if len(items) <= n {
		return items
	}
	return append(slices.Clone(items[:n]), fmt.Sprintf("%d more fields", len(items)-n))
}

// writeDefinitions makes the definitions that are absent, and brings up to date
// those of this run that are older. It is journaled as a whole, and has no undo
// but that of the installation: a newer definition holds whatever the older one
// held.
func writeDefinitions(ctx context.Context, s *session, judged []definition) error {
	judged = slices.DeleteFunc(slices.Clone(judged), func(d definition) bool { return !d.write })
	cutOff := slices.ContainsFunc(slices.Collect(maps.Values(s.record.Agent.Definitions)), func(r definitionRecord) bool { return r.State != Done })
	if len(judged) == 0 && !cutOff {
		return nil
	}
	if err := s.dies("definitions", BeforeStarted); err != nil {
		return err
	}
	err := s.noteAgent(ctx, func(a *agentRecord) {
		if a.Definitions == nil {
			a.Definitions = map[string]definitionRecord{}
		}
		for _, d := range judged {
			a.Definitions[d.want.GetName()] = definitionRecord{From: definitionVersion(d.live), To: definitionVersion(d.want), State: Started}
		}
	})
	if err != nil {
		return err
	}
	if err := s.dies("definitions", AfterStarted); err != nil {
		return err
	}
	for _, d := range judged {
		crd := d.want.DeepCopy()
		annotations := crd.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[annotationRun] = s.run
		crd.SetAnnotations(annotations)
		if d.live != nil {
			// Whoever changed it since it was judged comes first.
			crd.SetUID(d.live.GetUID())
			crd.SetResourceVersion(d.live.GetResourceVersion())
			s.emit(Event{At: time.Now(), Step: "agent", State: EventNote, Message: fmt.Sprintf("%s is brought from version %s to %s", cluster.Describe(crd), orNone(definitionVersion(d.live)), definitionVersion(crd))})
		}
		if _, err := s.c.Apply(ctx, crd, migrate.FieldManager); err != nil {
			return err
		}
		if err := awaitServed(ctx, s.c, crd.GetName()); err != nil {
			return err
		}
	}
	s.c.Refresh()
	if err := s.dies("definitions", BeforeDone); err != nil {
		return err
	}
	err = s.noteAgent(ctx, func(a *agentRecord) {
		for name, r := range a.Definitions {
			r.State = Done
			a.Definitions[name] = r
		}
	})
	if err != nil {
		return err
	}
	return s.dies("definitions", AfterDone)
}

func orNone(v string) string {
	if v == "" {
		return "none"
	}
	return v
}

func awaitServed(ctx context.Context, c *cluster.Client, name string) error {
	return cluster.Wait(ctx, 100*time.Millisecond, definitionLimit, func(ctx context.Context) (bool, string, error) {
		live, err := c.Get(ctx, crdKind, "", name)
		if err != nil {
			return false, "", err
		}
		if refused := conditionOf(live, "NamesAccepted"); refused.status == string(metav1.ConditionFalse) {
			return false, "", fmt.Errorf("the definition %s is not served: %s", name, refused.message)
		}
		return conditionOf(live, "Established").status == string(metav1.ConditionTrue), "the definition " + name + " is not served yet", nil
	})
}
