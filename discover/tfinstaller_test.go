package discover

import (
	"strconv"
	"strings"
	"testing"
)

func TestAnObjectThatInstallsTheFluxChartIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ object, says string }{
		"helm-operator":            {"apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nspec: {chart: {repository: https://charts.fluxcd.io, name: flux, version: 1.3.0}, values: {git: {url: 'https://u:" + markedSecret + "@h/a'}}}", "chart flux"},
		"helm-operator, from Git":  {"apiVersion: flux.weave.works/v1beta1\nkind: HelmRelease\nspec: {chart: {git: git@github.com:fluxcd/flux, path: chart/flux}}", "chart chart/flux"},
		"a copy of another name":   {"apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nspec: {chart: {repository: https://charts.example.com, name: gitops}, values: {git: {url: 'git@h:a'}}}", "git.url"},
		"Flux v2":                  {"apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec: {chart: {spec: {chart: flux, version: 1.x, sourceRef: {kind: HelmRepository, name: fluxcd}}}}", "chart flux"},
		"k3s":                      {"apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec: {repo: https://charts.fluxcd.io, chart: flux}", "chart flux"},
		"k3s, an archive":          {"apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec: {chart: https://charts.fluxcd.io/flux-1.3.0.tgz}", "flux-1.3.0.tgz"},
		"k3s, by values":           {"apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec: {repo: https://charts.example.com, chart: gitops, valuesContent: \"git: {url: 'git@h:a'}\"}", "git.url"},
		"Argo CD":                  {"apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {repoURL: https://charts.fluxcd.io, chart: flux, targetRevision: 1.3.0}}", "chart flux"},
		"Argo CD, several sources": {"apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {sources: [{repoURL: https://h/x, path: x}, {repoURL: https://charts.fluxcd.io, chart: flux}]}", "chart flux"},
		"Argo CD, a set of them":   {"apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nspec: {template: {spec: {source: {repoURL: https://charts.fluxcd.io, chart: flux}}}}", "chart flux"},
		"a part of another chart":  {"apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {repoURL: https://h/x, chart: addons, helm: {valuesObject: {flux: {git: {url: 'git@h:a'}}}}}}", "which is given flux.git.url"},
		"a part, by a parameter":   {"apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {repoURL: https://h/x, chart: addons, helm: {parameters: [{name: flux.git.url, value: 'git@h:a'}]}}}", "which is given flux.git.url"},
		"a part, by parameters":    {"apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {repoURL: https://h/x, chart: addons, helm: {parameters: [{name: gitops.git.url, value: 'git@h:a'}, {name: gitops.git.branch, value: b}, {name: gitops.git.path, value: p}]}}}", "which is given gitops.git.url"},
		"a part of no such name":   {"apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {repoURL: https://h/x, chart: addons, helm: {parameters: [{name: gitops.git.url, value: 'git@h:a'}, {name: gitops.git.branch, value: b}]}}}", ""},
		"k3s, by a single value":   {"apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec: {repo: https://charts.example.com, chart: gitops, set: {git.url: 'git@h:a'}}", "which is given a git.url"},
		"a part of a like name":    {"apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {repoURL: https://h/x, chart: addons, helm: {parameters: [{name: influxdb.git.url, value: 'git@h:a'}]}}}", ""},
		"Bitnami's is Flux v2":     {"apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec: {repo: https://charts.bitnami.com/bitnami, chart: flux}", ""},
		"another chart":            {"apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {repoURL: https://h/x, chart: fluentd, helm: {values: 'git: {branch: x}'}}}", ""},
		"a folder of that name":    {"apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {repoURL: https://h/x, path: clusters/flux}}", ""},
		"another object":           {"apiVersion: v1\nkind: ConfigMap\ndata: {chart: flux}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			body := c.object + "\nmetadata: {name: agents, namespace: flux}\n"
			for form, text := range map[string]string{
				"kubectl_manifest":    "yaml_body = " + strconv.Quote(body),
				"kubernetes_manifest": "manifest = yamldecode(" + strconv.Quote(body) + ")",
			} {
				inv := declaredBy(t, map[string]string{"main.tf": "resource \"" + form + "\" \"a\" {\n " + text + "\n}\n"})
				equal(t, form+": agents", len(inv.Agents), 0)
				if c.says == "" {
					noFinding(t, inv, TerraformInstaller)
				} else {
					said(t, inv, TerraformInstaller.Name, form+".a", c.says)
				}
				if tells(asJSON(inv)) {
					t.Errorf("%s: a secret is told", form)
				}
			}
		})
	}
}

// What of a manifest is hidden for the Secrets it speaks of may be the flux chart.
func TestAnInstallerThatIsHiddenIsNotKnown(t *testing.T) {
	release := func(kind string) string {
		return "resource \"kubectl_manifest\" \"NAME\" {\n yaml_body = " + strconv.Quote("apiVersion: helm.toolkit.fluxcd.io/v2\nkind: "+kind+"\nmetadata: {name: a}\nspec: {chart: {spec: {chart: flux}}, valuesFrom: [{kind: Secret, name: v}]}\n") + "\n}\n"
	}
	for kind, known := range map[string]bool{"HelmRelease": false, "HelmChart": false, "Application": false, "ApplicationSet": false, "Release": false, "ExternalSecret": true} {
		inv := declaredBy(t, map[string]string{"main.tf": strings.ReplaceAll(release(kind), "NAME", "a") + strings.ReplaceAll(release(kind), "NAME", "flux")})
		if known {
			noFinding(t, inv, TerraformObjectsUnknown)
			noFinding(t, inv, TerraformUncertain)
			continue
		}
		said(t, inv, TerraformObjectsUnknown.Name, "kubectl_manifest.a (its value is sensitive")
		said(t, inv, TerraformObjectsUnknown.Name, "kubectl_manifest.flux")
		noFinding(t, inv, TerraformUncertain) // it is asked of each cluster, and nobody could accept it
	}
}
