package build

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/fstest"

	apiskustomize "github.com/fluxcd/pkg/apis/kustomize"
)

const protect = "- op: add\n  path: /metadata/annotations/kustomize.toolkit.fluxcd.io~1prune\n  value: \"disabled\"\n"

func marking(patch, group, kind, namespace, name string) apiskustomize.Patch {
	return apiskustomize.Patch{Patch: patch, Target: &apiskustomize.Selector{Group: group, Kind: kind, Namespace: namespace, Name: name}}
}

func TestPatchesThatMarkRenderAsByKustomize(t *testing.T) {
	const claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: shop}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
	const release = "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: web, namespace: shop, annotations: {kustomize.toolkit.fluxcd.io/prune: enabled, kept: \"1\"}}\nspec: {values: {text: a<b>&c, n: 12345678}}\n"
	const space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
	a, err := NewArtifact(fstest.MapFS{
		"a.yaml": {Data: []byte(claim)}, "b.yaml": {Data: []byte(release)}, "c.yaml": {Data: []byte(space)},
		"d.yaml": {Data: []byte("apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: b}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: shop}}\n")},
		"e.yaml": {Data: []byte("apiVersion: v1\nkind: Endpoints\nmetadata: {name: e, namespace: shop}\n")},
		"f.yaml": {Data: []byte("apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: f, namespace: odd}\nspec: {capacity: {storage: 1Gi}}\n")},
		"g.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: g, namespace: shop}\ndata: {a: \"\u00e4\"}\n")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	two := protect + "- op: add\n  path: /metadata/annotations/note\n  value: it's \"so\"\n"
	for name, c := range map[string]struct {
		patch apiskustomize.Patch
		want  bool
	}{
		"a claim":                        {marking(protect, "^$", "^PersistentVolumeClaim$", "^shop$", "^data$"), true},
		"two annotations":                {marking(two, "^$", "^PersistentVolumeClaim$", "^shop$", "^data$"), true},
		"one that is there is replaced":  {marking(protect, `^helm\.fluxcd\.io$`, "^HelmRelease$", "^shop$", "^web$"), true},
		"a Namespace":                    {marking(protect, "^$", "^Namespace$", "", "^shop$"), true},
		"all of a kind":                  {marking(protect, "^$", "^ConfigMap$", "", "^a$|b"), true},
		"no namespace counts as default": {marking(protect, "^$", "^ConfigMap$", "^default$", "^a$"), true},
		"another namespace":              {marking(protect, "^$", "^ConfigMap$", "^default$", "^b$"), true},
		"of a version":                   {apiskustomize.Patch{Patch: protect, Target: &apiskustomize.Selector{Version: "v2", Kind: "Namespace"}}, true},
		"nothing of that name":           {marking(protect, "^$", "^Namespace$", "", "^none$"), true},
		"as JSON":                        {marking(`[{"op": "add", "path": "/metadata/annotations/a", "value": "b"}]`, "", "Namespace", "", ""), true},
		"a scope that is not certain":    {marking(protect, "^$", "^Endpoints$", "^shop$", "^e$"), false},
		"a namespace of what has none":   {marking(protect, "^$", "^PersistentVolume$", "^odd$", "^f$"), false},
		"text that is written once more": {marking(protect, "^$", "^ConfigMap$", "^shop$", "^g$"), false},
		"by labels":                      {apiskustomize.Patch{Patch: protect, Target: &apiskustomize.Selector{Kind: "Namespace", LabelSelector: "a=b"}}, false},
		"without a target":               {apiskustomize.Patch{Patch: protect}, false},
		"a target that is no expression": {marking(protect, "", "(", "", ""), false},
		"an annotation is taken away":    {marking("- {op: remove, path: /metadata/annotations/kept}\n", "", "HelmRelease", "", ""), false},
		"something else is set as well":  {marking(protect+"- {op: add, path: /metadata/namespace, value: shop}\n", "", "ConfigMap", "", "a"), false},
		"below an annotation":            {marking("- {op: add, path: /metadata/annotations/a/b, value: c}\n", "", "HelmRelease", "", ""), false},
		"a number":                       {marking("- {op: add, path: /metadata/annotations/a, value: 1}\n", "", "HelmRelease", "", ""), false},
		"one of Kustomize's own":         {marking("- {op: add, path: /metadata/annotations/config.kubernetes.io~1local-config, value: 'true'}\n", "", "HelmRelease", "", ""), false},
		"a merge patch":                  {marking("{apiVersion: v1, kind: Namespace, metadata: {name: x, annotations: {a: b}}}\n", "", "Namespace", "", ""), false},
		"operations in other letters":    {marking("- {OP: add, path: /metadata/annotations/a, value: b}\n", "", "Namespace", "", ""), false},
		"two documents":                  {marking(protect+"---\n"+protect, "", "Namespace", "", ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := samePlainAndKustomize(t, a, ".", c.patch); got != c.want {
				t.Errorf("the plain path took it: %t", got)
			}
		})
	}
}

func TestGeneratedFoldersWithMarksRenderAsByKustomize(t *testing.T) {
	count := 0
	for i := range *trees {
		g := &generator{r: rand.New(rand.NewPCG(*seed, uint64(i)))}
		tree := generatedFolder(g.r)
		a, err := NewArtifact(tree, nil)
		if err != nil {
			t.Fatal(err)
		}
		var patches []apiskustomize.Patch
		for range 1 + g.r.IntN(3) {
			text := fmt.Sprintf("- op: add\n  path: /metadata/annotations/%s\n  value: %q\n", g.pick("kustomize.toolkit.fluxcd.io~1prune", "app", "example.org~1x"), g.pick("disabled", "1", "null", "a: b", "yes", ""))
			patches = append(patches, marking(text, g.pick("", "^$", `^example\.org$`), g.pick("", "^ConfigMap$", "^Secret$", "^Widget$", "^Deployment$"), g.pick("", "^shop$", "^default$"), g.pick("", "^o0-0$", "^o.*$")))
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if samePlainAndKustomize(t, a, ".", patches...) {
				count++
			}
			if t.Failed() {
				for name, file := range tree {
					t.Logf("%s:\n%q\n%+v", name, file.Data, patches)
				}
			}
		})
	}
	t.Logf("seed %d: the plain path took %d of %d folders", *seed, count, *trees)
	if count < *trees/8 {
		t.Errorf("the plain path took only %d of %d folders: the comparison is too weak", count, *trees)
	}
}
