package chart

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// chartFiles are the files of a chart in a folder, by their paths in it, and its defaults.
func chartFiles(t *testing.T, dir string) (files map[string][]byte, values map[string]any) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "templates", "*"))
	if err != nil {
		t.Fatal(err)
	}
	files = map[string][]byte{}
	for _, name := range append(names, filepath.Join(dir, "values.yaml")) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		short, err := filepath.Rel(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.ToSlash(short)] = content
	}
	if err := yaml.Unmarshal(files["values.yaml"], &values); err != nil {
		t.Fatal(err)
	}
	return files, values
}

func TestOnlyAPublishedChartIsAsPublished(t *testing.T) {
	files, values := chartFiles(t, "../../../discover/testdata/charts/flux-1.13.3")
	if !AsPublished("1.13.3", files) || !AsPublished("v1.13.3", files) {
		t.Error("a copy of the published chart is not one")
	}
	if over := DefaultsOf("1.13.3", values); len(over) != 0 {
		t.Errorf("its defaults are not those of the published chart: %v", over)
	}
	for _, other := range []string{"1.0.0", "1.13.4", "x", ""} {
		if AsPublished(other, files) {
			t.Errorf("it is also taken for version %q", other)
		}
	}
	changed := func(name, content string) bool {
		copied := map[string][]byte{}
		for n, c := range files {
			copied[n] = c
		}
		if copied[name] = []byte(content); content == "" {
			delete(copied, name)
		}
		return !AsPublished("1.13.3", copied)
	}
	for name, is := range map[string]bool{
		"templates/NOTES.txt": false, "README.md": false, "values.yaml": false,
		"templates/deployment.yaml": true, "templates/extra.yaml": true, "templates/sub/extra.yaml": true, "templates/_helpers.tpl": true,
	} {
		if changed(name, "kind: ClusterRoleBinding\n") != is {
			t.Errorf("another %s changes the chart: %t", name, !is)
		}
	}
	if !changed("templates/rbac.yaml", "") {
		t.Error("it is taken for the published chart without a template")
	}
}

func TestDefaultsOfACopyAreThoseThatDiffer(t *testing.T) {
	read := func(text string) (out map[string]any) {
		t.Helper()
		if err := yaml.Unmarshal([]byte(text), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	_, published := chartFiles(t, "../../../discover/testdata/charts/flux-1.13.3")
	for name, c := range map[string]struct{ over, want string }{
		"nothing":                       {"{}", "{}"},
		"a text":                        {"git: {branch: main}", "git: {branch: main}"},
		"the same in another type":      {"replicaCount: 1.0", "{}"},
		"what no template reads":        {"git: {colour: red}\nother: 1", "{}"},
		"an empty one, for another":     {"git: {pollInterval: null}", "git: {pollInterval: null}"},
		"no mapping":                    {"clusterRole: null", "clusterRole: {create: null}"},
		"a mapping less":                {"resources: {requests: {cpu: 50m, memory: null}}", "resources: {requests: {memory: null}}"},
		"a kubeconfig of the same kind": {"kube: {config: 'kind: Config'}", "{}"},
		"a kubeconfig of a namespace":   {"kube: {config: 'contexts: [{name: a, context: {namespace: team}}]\ncurrent-context: a'}", "kube: {config: 'contexts: [{name: a, context: {namespace: team}}]\ncurrent-context: a'}"},
	} {
		own := coalesce(regular(read(c.over)).tree, regular(published).tree).(tree)
		want := read(c.want)
		if d := cmp.Diff(want, DefaultsOf("1.13.3", own)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if DefaultsOf("1.99.0", read("git: {branch: main}")) != nil {
		t.Error("defaults of a version that is not known are compared")
	}
}

// TestThePublicChartsAreAsPublished reads those in the folder FLUX_CHARTS.
func TestThePublicChartsAreAsPublished(t *testing.T) {
	dir := publicCharts(t)
	for _, version := range Versions() {
		if _, err := os.Stat(filepath.Join(dir, version)); err != nil {
			t.Logf("%s is not there", version)
			continue
		}
		files, values := chartFiles(t, filepath.Join(dir, version))
		if !AsPublished(version, files) {
			t.Errorf("%s is not as published", version)
		}
		if over := DefaultsOf(version, values); len(over) != 0 {
			t.Errorf("%s has other defaults: %v", version, over)
		}
	}
}
