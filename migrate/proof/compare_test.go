package proof

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDifferencesNamesFieldsAndOnlyThose(t *testing.T) {
	for name, c := range map[string]struct {
		a, b string
		want []string
	}{
		"equal":                          {"{a: {b: 1}}", "{a: {b: 1}}", nil},
		"number types":                   {"{a: 1}", "{a: 1.0}", nil},
		"a number and its text":          {"{a: 1}", `{a: "1"}`, []string{".a"}},
		"a boolean and its text":         {"{a: true}", `{a: "true"}`, []string{".a"}},
		"large numbers one apart":        {"{a: 9007199254740993}", "{a: 9007199254740995}", []string{".a"}},
		"null and absent":                {"{c: null}", "{}", nil},
		"an empty map is not absent":     {"{a: {}}", "{}", []string{".a"}},
		"an empty list is not absent":    {"{a: []}", "{}", []string{".a"}},
		"an empty text is not absent":    {`{a: ""}`, "{}", []string{".a"}},
		"nested, list item":              {"{a: [{b: 1}, {b: 2}]}", "{a: [{b: 1}, {b: 3}]}", []string{".a[1].b"}},
		"lists of two lengths":           {"{a: [1]}", "{a: [1, 2]}", []string{".a"}},
		"added map":                      {"{}", "{a: {b: 1, c: {d: 2}}}", []string{".a.b", ".a.c.d"}},
		"keys with dots and slashes":     {"{a: {x.y/z: 1}}", "{a: {x.y/z: 2}}", []string{`.a["x.y/z"]`}},
		"a map where there was a scalar": {"{a: 1}", "{a: {b: 1}}", []string{".a"}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := object(t, c.a), object(t, c.b)
			if d := cmp.Diff(c.want, differences(a, b)); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(c.want, differences(b, a)); d != "" {
				t.Errorf("the other way round: %s", d)
			}
		})
	}
}

func TestReducedDropsMarksAndKeepsEverythingElse(t *testing.T) {
	got := reduced(object(t, `
metadata:
  name: web
  uid: u
  generation: 2
  labels: {app: web, fluxcd.io/sync-gc-mark: sha256.x, kustomize.toolkit.fluxcd.io/name: n, kustomize.toolkit.fluxcd.io/namespace: n}
  annotations: {fluxcd.io/sync-checksum: x, kubectl.kubernetes.io/last-applied-configuration: "{}", mine: kept, added: disabled}
  finalizers: [kept]
spec: {a: 1}
status: {b: 2}
`), map[string]bool{"added": true})
	want := object(t, `{metadata: {name: web, labels: {app: web}, annotations: {mine: kept}, finalizers: [kept]}, spec: {a: 1}}`)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
