package flux1

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/fluxover/fluxover/migrate"
	"github.com/google/go-cmp/cmp"
	sigsyaml "sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// kinds a small cluster serves.
var kinds = []migrate.ServedKind{
	{Version: "v1", Kind: "Namespace"},
	{Version: "v1", Kind: "ConfigMap", Namespaced: true},
	{Version: "v1", Kind: "Secret", Namespaced: true},
	{Group: "apps", Version: "v1", Kind: "Deployment", Namespaced: true},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
	{Group: "helm.fluxcd.io", Version: "v1", Kind: "HelmRelease", Namespaced: true},
}

// TestTreesAreLoadedAsFluxdLoadsThem runs each folder of testdata/load:
// config.yaml says how, tree holds the repository, want.yaml what comes out.
func TestTreesAreLoadedAsFluxdLoadsThem(t *testing.T) {
	folders, err := filepath.Glob("testdata/load/*")
	if err != nil || len(folders) == 0 {
		t.Fatal("no cases", err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			config, err := os.ReadFile(filepath.Join(folder, "config.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			var in struct {
				Paths                    []string
				ManifestGeneration, SOPS bool
				ImageAutomation          bool
				DefaultNamespace         string
				AllowedNamespaces        []string
				LiveIgnored              map[string]string
			}
			if err := sigsyaml.UnmarshalStrict(config, &in); err != nil {
				t.Fatal(err)
			}
			if in.DefaultNamespace == "" {
				in.DefaultNamespace = "default"
			}
			files, objects, findings, err := Load(os.DirFS(filepath.Join(folder, "tree")), LoadConfig{
				Repository: "flux/team", Paths: in.Paths, ManifestGeneration: in.ManifestGeneration, SOPS: in.SOPS,
				ImageAutomation: in.ImageAutomation, DefaultNamespace: in.DefaultNamespace, AllowedNamespaces: in.AllowedNamespaces,
				Kinds: kinds, LiveIgnored: func(id string) string { return in.LiveIgnored[id] },
			})
			if err != nil {
				t.Fatal(err)
			}
			got := golden(t, files, objects, findings)
			if strings.Contains(got, "MARKED") {
				t.Errorf("a secret is told:\n%s", got)
			}
			file := filepath.Join(folder, "want.yaml")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// golden writes what Load gave, for people.
func golden(t *testing.T, files []migrate.File, objects []migrate.Object, findings []migrate.Finding) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("files:\n")
	for _, f := range files {
		fmt.Fprintf(&b, "- %s %s root=%q", f.Kind, f.Path, f.Root)
		if f.Kustomization {
			b.WriteString(" kustomization")
		}
		b.WriteString("\n")
	}
	b.WriteString("objects:\n")
	for _, o := range objects {
		fmt.Fprintf(&b, "- %s %s %s:%d", o.Class, o.ID, o.File, o.Line)
		if o.NamespaceFilled {
			b.WriteString(" filled")
		}
		if o.Manifest == nil {
			b.WriteString(" encrypted\n")
			continue
		}
		asJSON, err := json.Marshal(o.Manifest.Object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\n  %s\n", asJSON)
	}
	b.WriteString("findings:\n")
	for _, f := range findings {
		fmt.Fprintf(&b, "- %s\n", f)
	}
	return b.String()
}

func TestHostileTreesAreBounded(t *testing.T) {
	object := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: demo}\n"
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'z'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 10), ","))
	}
	for name, tc := range map[string]struct {
		content string
		limits  Limits
		code    Code
	}{
		"alias bomb":         {bomb, DefaultLimits, Stuck},
		"self-reference":     {"a: &a [*a]\n", DefaultLimits, Stuck},
		"deep flow":          {strings.Repeat("[", 9000) + strings.Repeat("]", 9000), DefaultLimits, TooLarge},
		"absurdly deep flow": {strings.Repeat("[", 2_000_000), DefaultLimits, Stuck},
		"deep blocks":        {deepBlocks(500), DefaultLimits, TooLarge},
		"many documents":     {strings.Repeat("---\n", 30_000), DefaultLimits, TooLarge},
		"large file":         {strings.Repeat("#", 100), Limits{FileBytes: 99, TotalBytes: 1000, Documents: 9, Objects: 9, Files: 9, Depth: 9}, TooLarge},
		"many objects":       {fmt.Sprintf(object, "a") + "---\n" + fmt.Sprintf(object, "b"), Limits{FileBytes: 999, TotalBytes: 1000, Documents: 9, Objects: 1, Files: 9, Depth: 9}, TooLarge},
		"binary":             {"\x00\x01\xff\xfe", DefaultLimits, Stuck},
		"metadata is null":   {"apiVersion: v1\nkind: ConfigMap\nmetadata: null\n", DefaultLimits, Nameless},
		"odd keys":           {"? [a, b]\n: c\n", DefaultLimits, Stuck},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, _, findings, err := Load(fstest.MapFS{"x.yaml": {Data: []byte(tc.content)}}, LoadConfig{
				DefaultNamespace: "default", Kinds: kinds, Limits: tc.limits,
			})
			runtime.ReadMemStats(&after)
			if d := time.Since(start); d > time.Minute {
				t.Errorf("it took %s", d)
			}
			if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 1<<10 {
				t.Errorf("it allocated %d MiB", grown)
			}
			t.Logf("%s, %d MiB", time.Since(start).Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(findings, func(f migrate.Finding) bool { return f.Code == tc.code.Name }) {
				t.Errorf("no %s in %v", tc.code.Name, findings)
			}
		})
	}
	files := fstest.MapFS{}
	for i := range 20 {
		files[fmt.Sprintf("%02d.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, object, fmt.Sprint("n", i))}
	}
	for _, limits := range []Limits{
		{FileBytes: 999, TotalBytes: 9999, Documents: 9, Objects: 99, Files: 10, Depth: 9},
		{FileBytes: 999, TotalBytes: 500, Documents: 9, Objects: 99, Files: 99, Depth: 9},
	} {
		_, objects, findings, err := Load(files, LoadConfig{DefaultNamespace: "default", Kinds: kinds, Limits: limits})
		if err != nil || len(findings) != 1 || findings[0].Code != TooLarge.Name || len(objects) == 20 {
			t.Errorf("limits %+v: %d objects, %v, %v", limits, len(objects), findings, err)
		}
	}
}

func deepBlocks(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestPathsThatLeaveTheTreeAreNotFollowed(t *testing.T) {
	tree := os.DirFS("testdata/load/ordinary/tree")
	for _, p := range []string{"/prod", "../tree/prod", "prod/../../tree", "..", "a\x00b", "no/such"} {
		files, objects, findings, err := Load(tree, LoadConfig{Paths: []string{p}, DefaultNamespace: "default", Kinds: kinds})
		if err != nil || len(files)+len(objects) != 0 || len(findings) != 1 || findings[0].Code != Stuck.Name {
			t.Errorf("path %q: %v %v %v %v", p, files, objects, findings, err)
		}
	}
	for _, p := range []string{"prod/", "./prod", "prod/.", "staging/../prod"} {
		_, objects, findings, err := Load(tree, LoadConfig{Paths: []string{p}, DefaultNamespace: "default", Kinds: kinds})
		if err != nil || len(objects) != 4 || len(findings) != 0 {
			t.Errorf("path %q: %d objects, %v %v", p, len(objects), findings, err)
		}
	}
}

func TestLoadRefusesAnUnusableConfiguration(t *testing.T) {
	if _, _, _, err := Load(nil, LoadConfig{DefaultNamespace: "x"}); err == nil {
		t.Error("no tree was accepted")
	}
	if _, _, _, err := Load(fstest.MapFS{}, LoadConfig{}); err == nil {
		t.Error("no default namespace was accepted")
	}
}

func TestLinesAreThoseOfTheFirstContent(t *testing.T) {
	for text, want := range map[string][]int{
		"":                                    nil,
		"# only\n":                            nil,
		"a: 1\n":                              {1},
		"\n# c\na: 1\n---\n\nb: 1\n":          {3, 6},
		"---\na: 1\n---\n---\nb: 1\n---\n":    {2, 3, 5, 6},
		"%YAML 1.1\n---\na: 1\n...\n":         {3},
		"--- {a: 1}\n--- # c\nb: 1\n":         {1, 3},
		"a: |\n  x\n ---\n  y\n---\nb: 1\r\n": {1, 6},
	} {
		if got := documentLines([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("documentLines(%q) = %v, want %v", text, got, want)
		}
	}
}

func FuzzNoFileCrashesTheLoader(f *testing.F) {
	_ = filepath.WalkDir("testdata/load", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if content, err := os.ReadFile(p); err == nil {
				f.Add(content)
			}
		}
		return nil
	})
	f.Fuzz(func(t *testing.T, content []byte) {
		_, objects, findings, err := Load(fstest.MapFS{"x.yaml": {Data: content}, ".flux.yaml": {Data: content}}, LoadConfig{
			DefaultNamespace: "default", Kinds: kinds, SOPS: true, ManifestGeneration: len(content)%2 == 0, ImageAutomation: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.Manifest != nil {
				_ = o.Manifest.DeepCopy() // panics on values that JSON does not know
			}
		}
		_ = findings
	})
}

// TestParseRefusesWhatItWouldShorten: an object that cannot be written as JSON is
// no object without content.
func TestParseRefusesWhatItWouldShorten(t *testing.T) {
	const text = "apiVersion: v1\nkind: Secret\nmetadata: {name: before}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: MARKED, b: .inf}\n"
	objects, err := Parse("a.yaml", []byte(text), Limits{})
	if err == nil || !strings.Contains(err.Error(), "a.yaml:5: the Secret cannot be written as JSON") || strings.Contains(err.Error(), "MARKED") {
		t.Errorf("it says %v", err)
	}
	if len(objects) != 1 || objects[0].Manifest.GetName() != "before" {
		t.Errorf("it gives %v", objects)
	}
}
