package discover

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate/flux1"
	sigsyaml "sigs.k8s.io/yaml"
)

// installer names an object from which something in the cluster installs the
// flux chart. Where charts and their values stand differs by the installer:
// spec.chart of a HelmRelease, spec.chart.spec of one of Flux v2, spec.chart and
// spec.valuesContent of a HelmChart of k3s, spec.source or spec.sources of an
// Application of Argo CD, spec.template.spec.source of an ApplicationSet,
// spec.forProvider of a Release of Crossplane.
func (c *configuration) installer(w *terraform.Workload, kind string) {
	spec, _ := at(w.Tree(), "spec").(map[string]any)
	what := installs(spec, 0)
	if what == "" {
		return
	}
	c.find(TerraformInstaller.About("", w.Address, place(w.Position), fmt.Sprintf("%s declares a %s, %s", w.Address, kind, what)))
}

// installerKinds are the kinds of objects from which something installs a chart, as
// [configuration.installer] reads them.
var installerKinds = []string{"HelmRelease", "HelmChart", "Application", "ApplicationSet", "Release"}

// chartFolder is a folder in Git that is one of charts, such as chart/flux; empty
// for another, which may hold anything.
func chartFolder(folder string) string {
	if of := path.Base(path.Dir(path.Clean(folder))); of != "chart" && of != "charts" {
		return ""
	}
	return path.Clean(folder)
}

// maxInstaller bounds how deep in an object a chart is looked for.
const maxInstaller = 8

// givenURL and givenToPart say of what installs a chart why that may be Flux v1's.
const givenURL = "which is given a git.url, as the flux chart is"

func givenToPart(part string) string {
	return fmt.Sprintf("which is given %s.git.url, as a chart is that has the flux chart as a part", part)
}

// setNames are the names of single values that a part of an object gives a chart: spec.set of a
// HelmChart of k3s, forProvider.set of a Release of Crossplane, helm.parameters of Argo CD.
func setNames(part map[string]any) []string {
	var out []string
	for _, key := range []string{"set", "parameters"} {
		switch v := part[key].(type) {
		case map[string]any:
			out = append(out, sortedNames(v)...)
		case []any:
			for _, x := range v {
				out = append(out, scalarText(at(x, "name")))
			}
		}
	}
	return out
}

// installs says which chart of Flux v1 a part of an object names, or that it is
// given the values of one; empty if neither.
func installs(part map[string]any, depth int) string {
	if depth > maxInstaller {
		return ""
	}
	name, from := scalarText(part["chart"]), cmp.Or(scalarText(part["repo"]), scalarText(part["repoURL"]), scalarText(part["repository"]))
	if chart, ok := part["chart"].(map[string]any); ok {
		name, from = scalarText(chart["name"]), scalarText(chart["repository"])
		if name == "" {
			name = chartFolder(scalarText(chart["path"]))
		}
	}
	name = cmp.Or(name, chartFolder(scalarText(part["path"])))
	if kind := chartKind(name, from); kind == "flux" {
		return "which is of chart " + flux1.DisplayURL(name)
	}
	for _, key := range []string{"values", "valuesObject", "valuesContent"} {
		values, _ := part[key].(map[string]any)
		if text, ok := part[key].(string); ok && sigsyaml.Unmarshal([]byte(text), &values) != nil {
			continue
		}
		if url, ok := at(values, "git", "url").(string); ok && url != "" {
			return givenURL
		}
		if part := terraform.FluxPart(values); part != "" {
			return givenToPart(part)
		}
	}
	set := setNames(part)
	if slices.Contains(set, "git.url") {
		return givenURL
	}
	if part := terraform.FluxPartOf(set...); part != "" {
		return givenToPart(part)
	}
	for _, key := range []string{"spec", "chart", "source", "sources", "helm", "template", "forProvider"} {
		parts := items(part[key])
		if m, ok := part[key].(map[string]any); ok {
			parts = []any{m}
		}
		for _, x := range parts {
			m, _ := x.(map[string]any)
			if what := installs(m, depth+1); what != "" {
				return what
			}
		}
	}
	return ""
}
