package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

// twice are folders that each include the next one twice, under different names.
func twice(n int) map[string]string {
	files := map[string]string{
		"kustomization.yaml":                     "resources: [l0]\n",
		fmt.Sprintf("l%d/kustomization.yaml", n): "resources: [a.yaml]\n",
		fmt.Sprintf("l%d/a.yaml", n):             configMaps(1),
	}
	for i := range n {
		files[fmt.Sprintf("l%d/kustomization.yaml", i)] = "resources: [p, q]\n"
		for _, s := range []string{"p", "q"} {
			files[fmt.Sprintf("l%d/%s/kustomization.yaml", i, s)] = fmt.Sprintf("resources: [../../l%d]\nnamePrefix: %s-\n", i+1, s)
		}
	}
	return files
}

func configMaps(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\ndata: {a: c0}\n", i)
	}
	return b.String()
}

// repeated joins what a format makes of the numbers up to n.
func repeated(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func inMemory(files map[string]string) fstest.MapFS {
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return tree
}

func TestHostileFoldersAreNotBuilt(t *testing.T) {
	const of4000 = "resources: [a.yaml]\n"
	patch := "- {target: {kind: ConfigMap}, patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {k%d: v}}'}\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"folders of folders":       {twice(9), "takes"},
		"many folders of folders":  {twice(60), "times"},
		"many patches":             {map[string]string{"kustomization.yaml": of4000 + "patches:\n" + repeated(300, patch), "a.yaml": configMaps(4000)}, "steps"},
		"patches by files":         {map[string]string{"kustomization.yaml": of4000 + "patches:\n" + repeated(300, "- {target: {name: .*}, path: p.yaml} # %d\n"), "a.yaml": configMaps(4000), "p.yaml": "- {op: add, path: /data/a, value: b}\n"}, "steps"},
		"patches of a component":   {map[string]string{"kustomization.yaml": of4000 + "components: [c]\n", "c/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n" + repeated(300, patch), "a.yaml": configMaps(4000)}, "steps"},
		"transformers":             {map[string]string{"kustomization.yaml": of4000 + "transformers: [t.yaml]\n", "a.yaml": configMaps(4000), "t.yaml": repeated(300, "---\napiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: t%d}\nprefix: a\n")}, "steps"},
		"replacements":             {map[string]string{"kustomization.yaml": of4000 + "replacements:\n" + repeated(2000, "- {source: {kind: ConfigMap, name: c0, fieldPath: data.a}, targets: [{select: {kind: ConfigMap}, fieldPaths: [data.x%d], options: {create: true}}]}\n"), "a.yaml": configMaps(4000)}, "steps"},
		"a file of replacements":   {map[string]string{"kustomization.yaml": of4000 + "replacements: [{path: r.yaml}]\n", "r.yaml": repeated(2000, "- {source: {kind: ConfigMap, name: c0, fieldPath: data.a}, targets: [{select: {kind: ConfigMap}, fieldPaths: [data.x%d], options: {create: true}}]}\n"), "a.yaml": configMaps(4000)}, "steps"},
		"name references":          {map[string]string{"kustomization.yaml": of4000 + "namePrefix: a-\nconfigurations: [c.yaml]\n", "c.yaml": "nameReference:\n- kind: ConfigMap\n  version: v1\n  fieldSpecs:\n" + repeated(2000, "  - {kind: ConfigMap, path: data/a} # %d\n"), "a.yaml": configMaps(4000)}, "steps"},
		"names in one object":      {map[string]string{"kustomization.yaml": of4000 + "namePrefix: a-\n", "a.yaml": configMaps(4000) + "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\nrules: [{apiGroups: [''], resources: [configmaps], verbs: [get], resourceNames: [c0" + strings.Repeat(",c1", 600_000) + "]}]\n"}, "steps"},
		"items of a list":          {map[string]string{"kustomization.yaml": of4000, "a.yaml": "apiVersion: v1\nkind: List\nitems:\n" + repeated(40_000, "- {apiVersion: v1, kind: ConfigMap, metadata: {name: c%d}}\n")}, "steps"},
		"a list by an escape":      {map[string]string{"kustomization.yaml": of4000, "a.yaml": "apiVersion: v1\nkind: \"L\\x69st\"\n\"it\\x65ms\":\n" + repeated(40_000, "- {apiVersion: v1, kind: ConfigMap, metadata: {name: c%d}}\n")}, "steps"},
		"one file many times":      {map[string]string{"kustomization.yaml": "configMapGenerator:\n" + repeated(400, "- {name: g%d, files: [f]}\n"), "f": strings.Repeat("x", 1<<20)}, "bytes"},
		"a file of many times":     {map[string]string{"kustomization.yaml": "generators: [g.yaml]\n", "g.yaml": repeated(400, "---\napiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: g%d}\nfiles: [f]\n"), "f": strings.Repeat("x", 8<<20)}, "bytes"},
		"one large file":           {map[string]string{"kustomization.yaml": "configMapGenerator: [{name: g, files: [f]}]\n", "f": strings.Repeat("x", 17<<20)}, "f: too large"},
		"many values":              {map[string]string{"kustomization.yaml": of4000, "a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: [0" + strings.Repeat(",0", 4_000_000) + "]\n"}, "values"},
		"many values without file": {map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: [0" + strings.Repeat(",0", 4_000_000) + "]\n"}, "values"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := inMemory(c.files)
			ks := &kustomizev1.Kustomization{}
			ks.Name, ks.Namespace = "k", "flux-system"
			limits := Limits{}
			if name == "folders of folders" { // smaller than the defaults, to be quick
				limits = DefaultLimits
				limits.Steps = 1_000_000
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			objects, err := Objects(t.Context(), Input{Tree: tree, Kustomization: ks, Limits: limits})
			runtime.ReadMemStats(&after)
			if len(objects) > 0 || !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d objects, and the error %.500v, want one that is too large by its %s", len(objects), err, c.want)
			}
			if d := time.Since(start); d > time.Minute {
				t.Errorf("it took %s", d)
			}
			if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 2<<10 {
				t.Errorf("it allocated %d MiB", grown)
			}
			t.Logf("%s, %d MiB: %.300v", time.Since(start).Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, err)
		})
	}
}

// What people build is far below the limits.
func TestHonestFoldersAreWithinTheLimits(t *testing.T) {
	many := map[string]string{"kustomization.yaml": "resources:\n" + repeated(400, "- d%d\n")}
	for i := range 400 {
		many[fmt.Sprintf("d%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../base]\nnamePrefix: p%d-\npatches:\n- {target: {kind: ConfigMap}, path: ../patch.yaml}\n", i)
	}
	many["base/kustomization.yaml"], many["base/a.yaml"], many["patch.yaml"] = "resources: [a.yaml]\n", configMaps(10), "- {op: add, path: /data/b, value: c}\n"
	for name, files := range map[string]map[string]string{
		"10,120 objects":           {"kustomization.yaml": "resources: [a.yaml]\nnamespace: a\npatches:\n" + repeated(50, "- {target: {kind: ConfigMap, name: c%d}, patch: '[]'}\n"), "a.yaml": configMaps(10_120)},
		"400 overlays of one base": many,
		"dashboards":               {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": repeated(40, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: d%d}\ndata:\n  items.json: |\n"+strings.Repeat("    {\"List\": \"\\u003c\", \"b\": [1, 2, 3]},\n", 10_000))},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := NewArtifact(inMemory(files), nil)
			if err != nil {
				t.Fatal(err)
			}
			cost, _, err := costOf(&overlayFS{artifact: a}, ".", DefaultLimits)
			if err != nil || cost.Exceeds(DefaultLimits) != nil {
				t.Error(err, cost.Exceeds(DefaultLimits))
			}
			t.Logf("%+v", cost)
		})
	}
}

// held is a tree with one file that is not read before the context has ended.
type held struct {
	fs.FS
	ctx  context.Context
	read chan string // every file that is opened
	end  func()
}

func (h held) Open(name string) (fs.File, error) {
	h.read <- name
	if name == "b.yaml" {
		h.end()
		<-h.ctx.Done()
	}
	return h.FS.Open(name)
}

func TestABuildEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tree := inMemory(map[string]string{"kustomization.yaml": "resources: [a.yaml, b.yaml, c.yaml]\n", "a.yaml": configMaps(1), "b.yaml": "", "c.yaml": ""})
	a, err := NewArtifact(tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := held{FS: tree, ctx: ctx, read: make(chan string, 100), end: cancel}
	a.tree = h
	_, err = awaitKustomize(ctx, &overlayFS{artifact: a, limits: DefaultLimits}, ".", nil)
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrTooLarge) {
		t.Errorf("the error is %v", err)
	}
	schemaLock.Lock() // the build holds it to its end
	//lint:ignore SA2001 to wait is all that is wanted
	schemaLock.Unlock()
	close(h.read)
	for name := range h.read {
		if name == "c.yaml" {
			t.Error("a file was read after the end")
		}
	}
	short := DefaultLimits
	short.Time = time.Nanosecond
	if _, err := awaitKustomize(t.Context(), &overlayFS{artifact: a, limits: short}, ".", nil); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "stopped after 1ns") {
		t.Errorf("without time, the error is %v", err)
	}
}
