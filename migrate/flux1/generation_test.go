package flux1

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/fluxover/fluxover/migrate"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// configMap is the manifest of a ConfigMap.
func configMap(namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	u.SetName(name)
	u.SetNamespace(namespace)
	return u
}

func TestGenerateIsAskedForPathsThatAFluxYAMLGoverns(t *testing.T) {
	tree := fstest.MapFS{
		".flux.yaml":        {Data: []byte("version: 1\npatchUpdated:\n  generators:\n  - command: kustomize build .\n  - command: cat x\n  patchFile: state/patch.yaml\n")},
		"plain/.flux.yaml":  {Data: []byte("version: 1\nscanForFiles: {}\n")},
		"plain/a.yaml":      {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: scanned}\n")},
		"prod/unused.yaml":  {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: not-scanned}\n")},
		"broken/.flux.yaml": {Data: []byte("version: 1\ncommandUpdated:\n  generators: [{command: helm template x}]\n  updaters: [{}, {}]\n")},
	}
	var asked []Generation
	_, objects, findings, err := Load(tree, LoadConfig{
		Repository: "team/flux", Paths: []string{"plain", "prod", "broken"}, ManifestGeneration: true, DefaultNamespace: "team",
		Kinds: []migrate.ServedKind{{Version: "v1", Kind: "ConfigMap", Namespaced: true}},
		Generate: func(g Generation) ([]Parsed, error) {
			asked = append(asked, g)
			if g.Root == "broken" {
				return nil, errors.New("more than is told")
			}
			return []Parsed{{File: "base/x.yaml", Line: 7, Manifest: configMap("", "built")}, {File: "base/y.yaml", Line: 1, Manifest: configMap("", "scanned")}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(asked) != 2 || asked[0].File != ".flux.yaml" || asked[0].Dir != "prod" || !asked[0].Above() || asked[0].PatchFile != "prod/state/patch.yaml" ||
		!slices.Equal(asked[0].Commands, []string{"kustomize build .", "cat x"}) || asked[1].Updaters != 2 || asked[1].Above() {
		t.Errorf("asked: %+v", asked)
	}
	var got []string
	for _, o := range objects {
		got = append(got, o.ID+" "+o.File)
	}
	if !slices.Equal(got, []string{"team_scanned__ConfigMap plain/a.yaml", "team_built__ConfigMap base/x.yaml"}) {
		t.Errorf("objects: %q", got)
	}
	var codes []string
	for _, f := range findings {
		codes = append(codes, f.Code)
	}
	slices.Sort(codes)
	if !slices.Equal(codes, []string{Duplicate.Name, NotGenerated.Name, ManifestGeneration.Name, ManifestGeneration.Name}) {
		t.Errorf("findings: %v", findings)
	}
}

func TestAConfigFileThatFluxdRefusesIsSaidToStopIt(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"a patch without its file":   {"patchUpdated: {generators: [{command: kustomize build .}]}", "names no patchFile"},
		"commands with a patch file": {"commandUpdated: {generators: [{command: x}], patchFile: p.yaml}", "has no key patchFile"},
		"a patch with updaters":      {"patchUpdated: {generators: [], patchFile: p.yaml, updaters: []}", "has no key updaters"},
		"no generators":              {"commandUpdated: {updaters: []}", "no list of generators"},
		"a generator without words":  {"commandUpdated: {generators: [{command: x}, {timeout: 5s}]}", "generator 2 of commandUpdated has no command"},
		"a command that is a list":   {"commandUpdated: {generators: [{command: [a, b]}]}", "has no command"},
		"nothing in it":              {"commandUpdated: []", "is no mapping"},
		"a timeout, which is known":  {"commandUpdated: {generators: [{command: x, timeout: 5s}]}", ""},
		"the plain way":              {"scanForFiles: {}", ""},
	} {
		_, _, findings, err := Load(fstest.MapFS{"team/.flux.yaml": {Data: []byte("version: 1\n" + c.text + "\n")}}, LoadConfig{
			Repository: "team/flux", Paths: []string{"team"}, ManifestGeneration: true, DefaultNamespace: "team",
			Generate: func(Generation) ([]Parsed, error) { return nil, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, f := range findings {
			if f.Code == Stuck.Name {
				said += f.Message
			}
		}
		if (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
			t.Errorf("%s: %q, want %q", name, said, c.says)
		}
	}
}

func TestWithoutAClusterKindsAreAssumedAndSaid(t *testing.T) {
	tree := fstest.MapFS{"a.yaml": {Data: []byte(`
apiVersion: example.org/v1
kind: Thing
metadata: {name: of-unknown-scope}
---
apiVersion: example.org/v1
kind: Thing
metadata: {name: of-unknown-scope, namespace: there}
---
apiVersion: apps/v1beta1
kind: Deployment
metadata: {name: old-version}
---
apiVersion: helm.fluxcd.io/v1
kind: HelmRelease
metadata: {name: release}
---
apiVersion: rbac.authorization.k8s.io/v1beta1
kind: ClusterRole
metadata: {name: wide, namespace: dropped}
`)}}
	cfg := LoadConfig{
		Repository: "team/flux", DefaultNamespace: "team", KindsAssumed: true,
		Kinds: []migrate.ServedKind{{Group: "apps", Version: "v1", Kind: "Deployment", Namespaced: true}, {Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}},
	}
	for _, c := range []struct {
		namespace string
		want      []string
	}{
		{"team", []string{"_of-unknown-scope_example.org_Thing", "there_of-unknown-scope_example.org_Thing", "team_old-version_apps_Deployment", "team_release_helm.fluxcd.io_HelmRelease", "_wide_rbac.authorization.k8s.io_ClusterRole"}},
		{"", []string{"_of-unknown-scope_example.org_Thing", "there_of-unknown-scope_example.org_Thing", "_old-version_apps_Deployment", "_release_helm.fluxcd.io_HelmRelease", "_wide_rbac.authorization.k8s.io_ClusterRole"}},
	} {
		cfg.DefaultNamespace = c.namespace
		_, objects, findings, err := Load(tree, cfg)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range objects {
			if o.Class != migrate.ClassApplied {
				t.Errorf("%s is %s", o.ID, o.Class)
			}
			got = append(got, o.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("with default namespace %q: %q", c.namespace, got)
		}
		said := ""
		for _, f := range findings {
			said += f.Code + ": " + f.Message + "\n"
		}
		if !strings.Contains(said, "KINDS_ASSUMED: neither Kubernetes itself nor a CRD here tells of these kinds, and objects of them are taken for served: HelmRelease.helm.fluxcd.io, Thing.example.org") {
			t.Errorf("findings: %s", said)
		}
		if strings.Contains(said, NamespaceNotGiven.Name) != (c.namespace == "") {
			t.Errorf("with default namespace %q: %s", c.namespace, said)
		}
	}
}

// testdata/config-files.json holds what fluxd 1.25.4 made of each file (its
// ParseConfigFile): the variety that it follows, "refused", or "panic" where it ends
// when it comes to generate.
func TestConfigFilesAreReadAsFluxdReadsThem(t *testing.T) {
	raw, err := os.ReadFile("testdata/config-files.json")
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]string
	if err := json.Unmarshal(raw, &files); err != nil {
		t.Fatal(err)
	}
	for content, want := range files {
		g := Generation{}
		err := readConfigFile([]byte(content), &g)
		got := g.Variety
		if err != nil {
			got = "refused"
		}
		if want == "panic" {
			want = "refused"
		}
		if got != want {
			t.Errorf("%q: %s (%v), and fluxd: %s", content, got, err, want)
		}
	}
}

// FuzzGenerationFile reads hostile .flux.yaml files.
func FuzzGenerationFile(f *testing.F) {
	for _, seed := range []string{
		"version: 1\ncommandUpdated:\n  generators:\n  - command: kustomize build .\n",
		"version: 1\npatchUpdated:\n  generators:\n  - command: kustomize build .\n    timeout: 5s\n  patchFile: flux-patch.yaml\n",
		"version: 1\nscanForFiles: {}\n", "version: 1\ncommandUpdated: []\n", "version: 1\npatchUpdated: {patchFile: ../../etc/passwd}\n",
		"version: 1\ncommandUpdated: {generators: [1, {command: [a]}], updaters: {}}\n", "a: &a [*a]\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		tree := fstest.MapFS{"team/.flux.yaml": {Data: content}}
		asked := 0
		_, _, findings, err := Load(tree, LoadConfig{
			Repository: "team/flux", Paths: []string{"team"}, ManifestGeneration: true, DefaultNamespace: "team",
			Generate: func(g Generation) ([]Parsed, error) {
				asked++
				if g.Dir != "team" || g.Variety != "commandUpdated" && g.Variety != "patchUpdated" {
					t.Errorf("asked for %+v", g)
				}
				return nil, nil
			},
		})
		if err != nil || asked > 1 {
			t.Fatalf("asked %d times: %v", asked, err)
		}
		if asked == 1 && !slices.ContainsFunc(findings, func(f migrate.Finding) bool { return f.Code == ManifestGeneration.Name }) {
			t.Error("what is generated is not said to be")
		}
	})
}

// What is generated is compared with what else is read once namespaces are filled in,
// and fluxd stops at what is there twice; what is read together, before. CRDs settle
// the scope of what is read together with them alone.
// (flux 1.25.4: pkg/manifests/configaware.go, pkg/cluster/kubernetes/manifests.go)
func TestWhatIsGeneratedIsReadByItself(t *testing.T) {
	parse := func(text string) []Parsed {
		u := &unstructured.Unstructured{}
		if err := sigsyaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		return []Parsed{{File: "gen/made.yaml", Line: 1, Manifest: u}}
	}
	const (
		bare    = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"
		placed  = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: flux}}"
		other   = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: other}}"
		strange = "{apiVersion: example.com/v1, kind: Strange, metadata: {name: a}}"
		crd     = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: stranges.example.com}, spec: {group: example.com, names: {kind: Strange}, scope: Namespaced, versions: [{name: v1}]}}"
	)
	for name, c := range map[string]struct {
		raw, made string
		paths     []string
		assumed   bool
		want      []string // codes
		objects   []string
	}{
		"no namespace and the fallback":   {bare, placed, nil, false, []string{"DUPLICATE_OBJECT"}, []string{"flux_a__ConfigMap"}},
		"the fallback and none":           {placed, bare, nil, false, []string{"DUPLICATE_OBJECT"}, []string{"flux_a__ConfigMap"}},
		"of another namespace":            {placed, other, nil, false, nil, []string{"flux_a__ConfigMap", "other_a__ConfigMap"}},
		"both raw":                        {bare + "\n---\n" + placed, other, nil, false, []string{"HIDDEN_DUPLICATE"}, []string{"flux_a__ConfigMap", "flux_a__ConfigMap", "other_a__ConfigMap"}},
		"one path twice":                  {other, bare, []string{"raw", "gen", "gen"}, false, []string{"DUPLICATE_OBJECT"}, []string{"other_a__ConfigMap", "flux_a__ConfigMap"}},
		"of a kind that nobody serves":    {strange, strange, nil, false, []string{"UNKNOWN_KIND", "UNKNOWN_KIND"}, []string{"_a_example.com_Strange", "_a_example.com_Strange"}},
		"with the CRD among the raw":      {crd, strange, nil, false, []string{"UNKNOWN_KIND"}, []string{"_stranges.example.com_apiextensions.k8s.io_CustomResourceDefinition", "_a_example.com_Strange"}},
		"with the CRD beside it":          {crd + "\n---\n" + strange, other, nil, false, nil, []string{"_stranges.example.com_apiextensions.k8s.io_CustomResourceDefinition", "flux_a_example.com_Strange", "other_a__ConfigMap"}},
		"without a cluster":               {crd, strange, nil, true, nil, []string{"_stranges.example.com_apiextensions.k8s.io_CustomResourceDefinition", "flux_a_example.com_Strange"}},
		"without a cluster, of some kind": {strange, strange, nil, true, []string{"DUPLICATE_OBJECT"}, []string{"_a_example.com_Strange"}},
	} {
		paths := c.paths
		if paths == nil {
			paths = []string{"raw", "gen"}
		}
		cfg := LoadConfig{
			Paths: paths, ManifestGeneration: true, DefaultNamespace: "flux", KindsAssumed: c.assumed,
			Kinds:    []migrate.ServedKind{{Version: "v1", Kind: "ConfigMap", Namespaced: true}, {Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}},
			Generate: func(Generation) ([]Parsed, error) { return parse(c.made), nil },
		}
		tree := fstest.MapFS{
			"raw/a.yaml":     {Data: []byte(c.raw)},
			"gen/.flux.yaml": {Data: []byte("version: 1\npatchUpdated:\n  generators: [{command: x}]\n  patchFile: p.yaml\n")},
		}
		_, objects, findings, err := Load(tree, cfg)
		if err != nil {
			t.Fatal(err)
		}
		var ids, codes []string
		for _, o := range objects {
			ids = append(ids, o.ID)
		}
		for _, f := range findings {
			if slices.Contains([]string{"DUPLICATE_OBJECT", "HIDDEN_DUPLICATE", "UNKNOWN_KIND"}, f.Code) {
				codes = append(codes, f.Code)
			}
		}
		if !slices.Equal(ids, c.objects) || !slices.Equal(codes, c.want) {
			t.Errorf("%s: %v, %v; want %v, %v", name, ids, codes, c.objects, c.want)
		}
	}
}
