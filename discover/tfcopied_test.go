package discover

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// copyOfFlux is the public flux chart 1.13.3, as files of a folder charts/flux beside a
// release of it.
func copyOfFlux(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{"main.tf": `resource "helm_release" "flux" {
  name      = "flux"
  namespace = "flux"
  chart     = "./charts/flux"
  values    = ["git: {url: \"git@h:x\"}"]
}
`}
	const from = "testdata/charts/flux-1.13.3"
	err := filepath.WalkDir(from, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Dir(name) == from && filepath.Ext(name) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(name)
		files["charts/flux/"+strings.TrimPrefix(filepath.ToSlash(name), from+"/")] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A copy of the chart is read with its own defaults, and where its templates are not those
// of the published one, what it makes of them is not taken for known.
func TestACopyOfTheFluxChartIsReadByItsOwnDefaults(t *testing.T) {
	with := func(change func(files map[string]string)) migrate.Inventory {
		files := copyOfFlux(t)
		change(files)
		return declaredBy(t, files)
	}
	replace := func(name, old, new string) func(map[string]string) {
		return func(files map[string]string) {
			if !strings.Contains(files[name], old) {
				t.Fatalf("%s does not say %q", name, old)
			}
			files[name] = strings.Replace(files[name], old, new, 1)
		}
	}
	blockers := func(inv migrate.Inventory) (out []string) {
		for _, f := range inv.Findings {
			if f.Severity == migrate.Blocker {
				out = append(out, f.Code)
			}
		}
		return slices.Compact(out)
	}

	inv := with(func(map[string]string) {})
	a := inv.Agents[0]
	equal(t, "as published", []string{a.Git.Branch, a.Confinement.Kind, a.ChartVersion}, []string{"master", "cluster-admin", "1.13.3"})
	said(t, inv, "TERRAFORM_LOCAL_CHART", "says that it is version 1.13.3")
	if has := blockers(inv); slices.Contains(has, "TERRAFORM_LOCAL_CHART_CHANGED") || slices.Contains(has, "SETTINGS_UNDECIDED") {
		t.Errorf("a copy that is as published: %v", inv.Findings)
	}

	const values = "charts/flux/values.yaml"
	inv = with(func(files map[string]string) {
		replace(values, "branch: \"master\"", "branch: \"main\"")(files)
		replace(values, "clusterRole:\n  create: true", "clusterRole:\n  create: false")(files)
	})
	a = inv.Agents[0]
	equal(t, "own defaults", []string{a.Git.Branch, a.Confinement.Kind}, []string{"main", "namespaces"})
	var from []string
	for _, s := range a.Settings {
		if strings.Contains(asJSON(s.From), values) {
			from = append(from, s.Name)
		}
	}
	equal(t, "settings that are from the copy", from, []string{"--git-branch", "--k8s-allow-namespace", "clusterRole.create", "git.branch"})

	inv = with(func(files map[string]string) {
		replace(values, "branch: \"master\"", "branch: \"main\"")(files)
		replace("main.tf", "git: {url:", "git: {branch: prod, url:")(files)
	})
	equal(t, "given over it", inv.Agents[0].Git.Branch, "prod")

	for name, c := range map[string]struct {
		change func(map[string]string)
		says   string
	}{
		"an argument more": {replace("charts/flux/templates/deployment.yaml", "          - --git-poll-interval", "          - --git-path=extra\n          - --git-poll-interval"), "its templates are not those"},
		"a binding more": {func(files map[string]string) {
			files["charts/flux/templates/extra.yaml"] = "kind: ClusterRoleBinding\n"
		},
			"its templates are not those"},
		"a part":                       {func(files map[string]string) { files["charts/flux/charts/x/Chart.yaml"] = "name: x\nversion: 1.0.0\n" }, "a part of its own (charts/x/Chart.yaml)"},
		"no defaults that can be read": {func(files map[string]string) { files[values] = "a: [" }, "values.yaml cannot be read"},
		"no defaults":                  {func(files map[string]string) { delete(files, values) }, "it has no values.yaml"},
		"another name":                 {replace("charts/flux/Chart.yaml", "name: flux", "name: sync"), "its name is \"sync\""},
		"a file that is too large": {func(files map[string]string) {
			files["charts/flux/templates/big.yaml"] = strings.Repeat("#", chartFileBytes+1)
		},
			"not all of it was read"},
	} {
		inv := with(c.change)
		said(t, inv, "TERRAFORM_LOCAL_CHART_CHANGED", "flux", "version 1.13.3", c.says)
		if finds(inv, "TERRAFORM_LOCAL_CHART") {
			t.Errorf("%s: it is also said to be as published", name)
		}
	}

	// What was applied last was made of the same copy.
	files := copyOfFlux(t)
	replace(values, "branch: \"master\"", "branch: \"main\"")(files)
	files["s.json"] = stateText(strings.ReplaceAll(stateInstance("flux", "flux", ""), "git@h:a", "git@h:x"))
	inv = declaredBy(t, maps.Clone(files), func(dir string, o *TerraformOptions) { o.StateFiles = []string{filepath.Join(dir, "s.json")} })
	if finds(inv, "TERRAFORM_NOT_APPLIED") {
		t.Errorf("the next apply changes nothing: %v", inv.Findings)
	}
}

func TestThePackedFluxChartSaysItsVersion(t *testing.T) {
	for chart, want := range map[string]string{
		"https://charts.fluxcd.io/charts/flux-1.6.0.tgz": "1.6.0", "./flux-1.10.2.tgz": "1.10.2", "https://charts.fluxcd.io/charts/flux-latest.tgz": "", "flux": "",
	} {
		inv := declaredBy(t, map[string]string{"main.tf": "resource \"helm_release\" \"f\" {\n name = \"flux\"\n namespace = \"flux\"\n chart = \"" + chart + "\"\n values = [\"git: {url: \\\"git@h:a\\\"}\"]\n}\n"})
		for _, a := range inv.Agents {
			equal(t, chart, a.ChartVersion, want)
		}
		equal(t, chart+": unknown", finds(inv, "CHART_VERSION_UNKNOWN"), want == "" && len(inv.Agents) > 0)
	}
}
