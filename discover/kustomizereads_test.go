package discover

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	kustypes "sigs.k8s.io/kustomize/api/types"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// namesNoFile are the fields of a kustomization file that lead to no other file.
var namesNoFile = []string{
	"metadata", "namePrefix", "nameSuffix", "namespace", "commonLabels", "labels", "commonAnnotations", "images", "imageTags", "replicas", "vars",
	"sortOptions", "generatorOptions", "buildMetadata",
	"helmGlobals", // of charts, which nobody inflates
}

// What Kustomize builds for one path may be made of files of a path that fluxd
// scans, where the source leaves out what fluxd passes over.
func TestWhateverABuildReadsIsLeftInItsSource(t *testing.T) {
	const (
		cm        = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %}\ndata: {k: v}\n"
		builtin   = "apiVersion: builtin\nmetadata: {name: any}\nkind: "
		jsonPatch = "- {op: add, path: /data/more, value: x}\n"
	)
	named := func(name string) string { return strings.ReplaceAll(cm, "%", name) }
	var namesAFile []string
	for field, c := range map[string]struct {
		// kustomization is that of the folder that is built, files those of the path
		// that is scanned, which the build reads, all of them.
		kustomization string
		files         map[string]string
		// refused: the new agent builds no such folder.
		refused bool
		// notSaved are those of the files that a saved inventory lacks.
		notSaved []string
	}{
		"resources":  {"resources: [cm.yaml, ../other/base]\n", map[string]string{"base/kustomization.yaml": "resources: [b.yaml]\n", "base/b.yaml": named("b")}, false, nil},
		"bases":      {"resources: [cm.yaml]\nbases: [../other/base]\n", map[string]string{"base/kustomization.yaml": "resources: [b.yaml]\n", "base/b.yaml": named("b")}, false, nil},
		"components": {"components: [../other/c]\n", map[string]string{"c/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [b.yaml]\n", "c/b.yaml": named("b")}, false, nil},
		"crds":       {"crds: [../other/crd.yaml]\n", map[string]string{"crd.yaml": "example.org/Widget: {Schema: {description: a widget}}\n"}, false, nil},
		"openapi":    {"openapi: {path: ../other/schema.yaml}\n", map[string]string{"schema.yaml": "definitions: {}\n"}, false, nil},
		"configurations": {"configurations: [../other/names.yaml]\n",
			map[string]string{"names.yaml": "nameReference:\n- {kind: ConfigMap, fieldSpecs: [{kind: Widget, path: spec/config}]}\n"}, false, nil},
		"patches":               {"patches: [{path: ../other/p.yaml, target: {kind: ConfigMap}}]\n", map[string]string{"p.yaml": jsonPatch}, false, []string{"p.yaml"}},
		"patchesJson6902":       {"patchesJson6902: [{path: ../other/p.yaml, target: {version: v1, kind: ConfigMap, name: c}}]\n", map[string]string{"p.yaml": jsonPatch}, false, []string{"p.yaml"}},
		"patchesStrategicMerge": {"patchesStrategicMerge: [../other/p.yaml]\n", map[string]string{"p.yaml": strings.ReplaceAll(named("c"), "k: v", "more: x")}, false, nil},
		"replacements": {"replacements: [{path: ../other/r.yaml}]\n",
			map[string]string{"r.yaml": "source: {kind: ConfigMap, name: c, fieldPath: data.k}\ntargets: [{select: {kind: ConfigMap}, fieldPaths: [data.k]}]\n"}, false, nil},
		"configMapGenerator": {"configMapGenerator: [{name: a, files: [v=../other/values.yaml], envs: [../other/a.yaml]}, {name: b, env: ../other/b.yaml}]\n",
			map[string]string{"values.yaml": "a: b\n", "a.yaml": "A=b\n", "b.yaml": "B=c\n"}, false, []string{"a.yaml", "b.yaml"}},
		"secretGenerator": {"generatorOptions: {disableNameSuffixHash: true}\nsecretGenerator: [{name: a, files: [v=../other/values.yaml], envs: [../other/a.yaml]}, {name: b, env: ../other/b.yaml}]\n",
			map[string]string{"values.yaml": "a: b\n", "a.yaml": "A=b\n", "b.yaml": "B=c\n"}, false, []string{"a.yaml", "b.yaml"}},
		"generators": {"generators: [../other/g, ../other/alone.yaml]\n", map[string]string{
			"g/kustomization.yaml": "resources: [g.yaml]\n", "g/g.yaml": builtin + "ConfigMapGenerator\nfiles: [../other/values.yaml]\n", "values.yaml": "a: b\n",
			"alone.yaml": strings.ReplaceAll(builtin, "any", "alone") + "ConfigMapGenerator\nliterals: [a=b]\n"}, false, []string{"values.yaml"}},
		"transformers": {"transformers: [../other/t]\n", map[string]string{
			"t/kustomization.yaml": "resources: [t.yaml]\n", "t/t.yaml": builtin + "PatchTransformer\npath: ../other/p.yaml\ntarget: {kind: ConfigMap}\n", "p.yaml": jsonPatch}, false, []string{"p.yaml"}},
		"validators":                  {"validators: [../other/t]\n", map[string]string{"t/kustomization.yaml": "resources: [t.yaml]\n", "t/t.yaml": builtin + "AnnotationsTransformer\n"}, false, nil},
		"helmCharts":                  {"helmCharts: [{name: c, valuesFile: ../other/values.yaml}]\n", nil, true, nil},
		"helmChartInflationGenerator": {"helmChartInflationGenerator: [{chartName: c, values: ../other/values.yaml}]\n", nil, true, nil},
	} {
		t.Run(field, func(t *testing.T) {
			kustomization := kustomizeFile("namespace: built\n" + c.kustomization)
			if !strings.Contains(kustomization, "resources:") {
				kustomization += "resources: [cm.yaml]\n"
			}
			texts := map[string]string{"made/.flux.yaml": patchUpdated, "made/kustomization.yaml": kustomization, "made/cm.yaml": named("c"), "other/silent.yaml": "a: b\n"}
			want := []string{"made/cm.yaml", "made/kustomization.yaml"}
			for name, text := range c.files {
				texts["other/"+name] = text
				want = append(want, "other/"+name)
			}
			slices.Sort(want)
			tree := treeOf("")
			for file, text := range texts {
				for name, f := range treeOf("-- " + file + " --\n" + text) {
					tree[name] = f
				}
			}
			// What stands in the scanned path itself is not the agent's to apply, so
			// that every file of it is left out of the common source.
			inv, plan := proveTree(t, tree, func(o *CheckoutOptions) {
				o.Paths, o.AllowedNamespaces = []string{"made", "other"}, []string{"built"}
			}, nil)
			got := differingFindings(plan, flux1.NotGenerated.Name)
			if c.refused {
				if !slices.Equal(got, []string{"BUILD_FAILED Kustomization/flux-made", "GENERATION_NOT_TOLD team/flux"}) {
					t.Errorf("findings %q, want those of a folder that cannot be built", got)
				}
				return
			}
			if len(got) > 0 {
				t.Errorf("findings %q: %v", got, plan.Findings)
			}
			if d := cmp.Diff(want, inv.Agents[0].Builds[0].Reads); d != "" {
				t.Error(d)
			}
			again, _ := saveAndOpen(t, inv)
			var lacking []string
			for _, f := range again.Findings {
				if f.Code == NotSaved.Name {
					lacking = append(lacking, strings.TrimPrefix(f.Where, "other/"))
				}
			}
			if d := cmp.Diff(c.notSaved, lacking); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(want, again.Agents[0].Builds[0].Reads); d != "" && len(c.notSaved) == 0 {
				t.Errorf("read back: %s", d)
			}
		})
		namesAFile = append(namesAFile, field)
	}
	for i := range reflect.TypeFor[kustypes.Kustomization]().NumField() {
		f := reflect.TypeFor[kustypes.Kustomization]().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.Anonymous && !slices.Contains(namesAFile, name) && !slices.Contains(namesNoFile, name) {
			t.Errorf("the field %s has no case, and is not said to name no file", name)
		}
	}
}

// A file that the default exclusions or a .sourceignore leave out is taken back, if
// it is only built in.
func TestWhatABuildReadsIsTakenBack(t *testing.T) {
	tree := treeOf("-- .flux.yaml --\n" + patchUpdated + "-- .sourceignore --\nmotd\n" +
		"-- kustomization.yaml --\n" + kustomizeFile("configMapGenerator: [{name: a, namespace: shop, files: [logo.png, motd], options: {disableNameSuffixHash: true}}]\n") + "-- logo.png --\nx\n-- motd --\ny\n-- other.png --\nz\n")
	_, plan := proveTree(t, tree, nil, nil)
	if got := differingFindings(plan, "FILE_TAKEN_BACK"); !slices.Equal(got, []string{"FILE_TAKEN_BACK team/flux", "FILE_TAKEN_BACK team/flux"}) {
		t.Errorf("findings %q", got)
	}
	for _, f := range plan.Findings {
		if f.Code == "FILE_TAKEN_BACK" && !strings.HasPrefix(f.Message, "fluxd applies what Kustomize makes of this file and "+map[string]string{
			"logo.png": "the default exclusions", "motd": "a .sourceignore"}[f.Where]) {
			t.Errorf("said of %s: %s", f.Where, f.Message)
		}
	}
}

// Nothing is to be mended in a folder that is only too large.
func TestAFolderThatIsTooLargeIsNotPlannedAsABrokenOne(t *testing.T) {
	tree := treeOf("-- made/.flux.yaml --\n" + patchUpdated + "-- made/kustomization.yaml --\n" + kustomizeFile("resources: [cm.yaml]\nconfigMapGenerator: [{name: g, files: [f]}]\n") +
		"-- made/cm.yaml --\n" + "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: built}\n" + "-- made/f --\n" + strings.Repeat("x", 20<<20) + "\n-- plain/cm.yaml --\n" + "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d, namespace: built}\n")
	_, plan := proveTree(t, tree, func(o *CheckoutOptions) {
		o.Paths, o.AllowedNamespaces = []string{"made", "plain"}, []string{"built"}
	}, nil)
	var own []migrate.Finding
	for _, f := range plan.Findings {
		if f.Code == "BUILD_FAILED" || f.Code == flux1.KustomizeFails.Name {
			t.Errorf("it is called broken: %v", f)
		}
		if f.Code == flux1.TooLarge.Name && f.Subject == "team/flux Kustomization/flux-made" {
			own = append(own, f)
		}
	}
	if len(own) != 1 || own[0].Severity != migrate.Blocker || !strings.Contains(own[0].Message, "the limit is") || own[0].Hint != flux1.TooLarge.Remedy {
		t.Errorf("of its Kustomization it is said: %v; findings %v", own, plan.Findings)
	}
	ofOwn := func(left []string) bool {
		return slices.ContainsFunc(left, func(what string) bool { return strings.HasPrefix(what, "team/flux Kustomization/flux-made") })
	}
	if !ofOwn(plan.Unrendered("flux-made")) || ofOwn(plan.Unrendered("flux-plain")) {
		t.Errorf("not rendered: %q, and of another %q", plan.Unrendered("flux-made"), plan.Unrendered("flux-plain"))
	}
}

// What Kustomize reads as a patch, or to make or change objects, it does not leave out.
func TestAnIdleKustomizationLeavesOutWhatItDoesNotRead(t *testing.T) {
	cm := func(name string) string {
		return "-- " + name + ".yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + strings.ReplaceAll(name, "/", "-") + ", namespace: a}\n"
	}
	names := []string{"cm", "left", "merge", "p", "old", "config", "values", "env", "gen/g", "trans", "replacement", "prod/left"}
	text := "-- kustomization.yaml --\nresources: [cm.yaml]\nnamePrefix: prod\npatchesStrategicMerge: [merge.yaml]\npatches: [{path: ./p.yaml, target: {kind: ConfigMap}}]\n" +
		"patchesJson6902: [{path: old.yaml, target: {kind: ConfigMap, name: a}}]\nconfigurations: [config.yaml]\nreplacements: [{path: replacement.yaml}]\n" +
		"configMapGenerator: [{name: a, files: [v=values.yaml], envs: [env.yaml]}]\ngenerators: [gen]\ntransformers: [trans.yaml]\n"
	for _, name := range names {
		text += cm(name)
	}
	f := said(t, readTree(t, treeOf(text), nil), flux1.KustomizationIgnored.Name, "would leave out ")
	if _, rest, _ := strings.Cut(f.Message, "would leave out "); !strings.HasPrefix(rest, "left.yaml, prod/left.yaml and change what it builds by its ") {
		t.Errorf("%s", f.Message)
	}
}
