package discover

import (
	"strings"
	"testing"
)

// A resource of a type that is not read is named where its values speak of Flux v1, and
// not where they are of Flux v2 or of its sources.
func TestAResourceOfAnotherTypeThatSpeaksOfFluxIsNamed(t *testing.T) {
	const fluxd = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux}\nspec: {template: {spec: {containers: [{name: flux, image: 'docker.io/fluxcd/flux:1.25.4'}]}}}\n"
	for name, c := range map[string]struct{ text, says string }{
		"k8s_manifest":             {"resource \"k8s_manifest\" \"a\" {\n content = file(\"fluxd.yaml\")\n}", "k8s_manifest.a speaks of fluxcd/flux"},
		"a part of it not known":   {"variable \"tag\" {}\nresource \"k8s_manifest\" \"a\" {\n content = \"image: quay.io/weaveworks/flux:1.${var.tag}\"\n}", "k8s_manifest.a speaks of fluxcd/flux"},
		"kustomization":            {"data \"kustomization_build\" \"a\" {\n path = \"manifests\"\n}", "data.kustomization_build.a speaks of fluxcd/flux"},
		"rancher2_app":             {"resource \"rancher2_app\" \"a\" {\n catalog_name = \"fluxcd\"\n template_name = \"flux\"\n}", "rancher2_app.a speaks of the flux chart"},
		"rancher2_app, answers":    {"resource \"rancher2_app\" \"flux\" {\n answers = { \"git.url\" = \"https://u:" + markedSecret + "@h/a\" }\n}", "rancher2_app.flux speaks of git.url"},
		"rancher2_app_v2":          {"resource \"rancher2_app_v2\" \"flux\" {\n values = \"git:\\n  branch: x\\n  url: git@h:a\\n\"\n}", "rancher2_app_v2.flux speaks of git.url"},
		"a part of a chart":        {"resource \"rancher2_app_v2\" \"a\" {\n values = \"flux:\\n  enabled: true\\n  git:\\n    url: https://u:" + markedSecret + "@h/a\\n\"\n}", "rancher2_app_v2.a speaks of flux.git.url"},
		"a part, by an answer":     {"resource \"rancher2_app\" \"a\" {\n answers = { \"flux.git.url\" = \"git@h:a\" }\n}", "rancher2_app.a speaks of flux.git.url"},
		"a part, by what it syncs": {"resource \"rancher2_app_v2\" \"a\" {\n values = \"gitops:\\n  git:\\n    url: git@h:a\\n    branch: b\\n    path: p\\n\"\n}", "rancher2_app_v2.a speaks of gitops.git.url"},
		"a part, as an object":     {"resource \"argocd_application\" \"a\" {\n values = { deployer = { syncGarbageCollection = { enabled = true }, git = { url = \"git@h:a\" } } }\n}", "argocd_application.a speaks of deployer.git.url"},
		"user data":                {"resource \"aws_instance\" \"a\" {\n user_data = \"helm upgrade -i gitops fluxcd/flux --set git.url=git@h:a\"\n}", "aws_instance.a speaks of fluxcd/flux"},
		"a job":                    {"resource \"kubernetes_job\" \"a\" {\n metadata {\n name = \"a\"\n }\n spec {\n template {\n spec {\n container {\n name = \"a\"\n image = \"alpine\"\n command = [\"fluxctl\", \"install\"]\n }\n }\n }\n }\n}", "kubernetes_job.a speaks of fluxctl install"},

		"Azure's template": {"resource \"azurerm_resource_group_template_deployment\" \"a\" {\n template_content = jsonencode({ resources = [{ type = \"Microsoft.ContainerService/managedClusters/providers/sourceControlConfigurations\" }] })\n}", "azurerm_resource_group_template_deployment.a speaks of Azure's sourceControlConfigurations, which run Flux v1"},
		"Azure's resource": {"resource \"azapi_resource\" \"a\" {\n type = \"Microsoft.KubernetesConfiguration/sourceControlConfigurations@2021-03-01\"\n}", "azapi_resource.a speaks of Azure's sourceControlConfigurations, which run Flux v1"},

		"a part of another":         {"resource \"rancher2_app\" \"a\" {\n answers = { \"jenkins.git.url\" = \"git@h:a\", \"flux2.git.url\" = \"git@h:a\" }\n}", ""},
		"a part of another, YAML":   {"resource \"local_file\" \"a\" {\n content = \"gitea:\\n  git:\\n    url: git@h:a\\n\"\n}", ""},
		"Azure's of Flux v2":        {"resource \"azapi_resource\" \"a\" {\n type = \"Microsoft.KubernetesConfiguration/fluxConfigurations@2022-03-01\"\n}", ""},
		"Azure's of a site":         {"resource \"azapi_resource\" \"flux\" {\n type = \"Microsoft.Web/sites/sourcecontrols@2022-03-01\"\n}", ""},
		"Flux v2's image":           {"resource \"k8s_manifest\" \"flux\" {\n content = \"image: ghcr.io/fluxcd/flux-cli:v2.1.0\"\n}", ""},
		"Flux v2's chart":           {"resource \"rancher2_app_v2\" \"flux\" {\n repo_name = \"fluxcd-community\"\n chart_name = \"flux2\"\n}", ""},
		"Bitnami's chart":           {"resource \"rancher2_app_v2\" \"flux\" {\n repo_name = \"bitnami\"\n chart_name = \"flux\"\n}", ""},
		"its bootstrap":             {"resource \"flux_bootstrap_git\" \"a\" {\n path = \"clusters/a\"\n}", ""},
		"its sources":               {"resource \"github_repository\" \"flux\" {\n homepage_url = \"https://github.com/fluxcd/flux\"\n}", ""},
		"a key":                     {"resource \"tls_private_key\" \"flux\" {\n algorithm = \"RSA\"\n}", ""},
		"another's git.url":         {"resource \"local_file\" \"jenkins\" {\n content = \"git:\\n  url: git@h:a\\n\"\n}", ""},
		"a map of Kubernetes":       {"resource \"kubernetes_config_map\" \"a\" {\n data = { a = \"image: fluxcd/flux:1.25.4\" }\n}", ""},
		"a script, told of already": {"resource \"aws_instance\" \"a\" {\n user_data = \"helm install fluxcd/flux\"\n provisioner \"remote-exec\" {\n inline = [\"helm install fluxcd/flux\"]\n }\n}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": c.text + "\n", "fluxd.yaml": fluxd, "manifests/a/fluxd.yaml": fluxd})
			if c.says == "" {
				noFinding(t, inv, TerraformNotRead)
			} else {
				said(t, inv, TerraformNotRead.Name, c.says+", and what it installs is not read")
			}
			if strings.Contains(asJSON(inv), markedSecret) {
				t.Error("a secret is told")
			}
		})
	}
}

// A release of another chart may be given any objects to make, and those of Flux v1 are told of.
func TestAReleaseOfAnotherChartThatSpeaksOfFluxIsNamed(t *testing.T) {
	release := func(chart, more string) string {
		return "resource \"helm_release\" \"r\" {\n name = \"r\"\n repository = \"https://charts.example.com\"\n chart = \"" + chart + "\"\n" + more + "\n}\n"
	}
	for name, c := range map[string]struct{ text, says string }{
		"objects":        {release("raw", "values = [\"resources: [{kind: Deployment, spec: {template: {spec: {containers: [{image: 'fluxcd/flux:1.19.0'}]}}}}]\"]"), "speaks of fluxcd/flux, and what chart raw makes of that is not read"},
		"an image":       {release("app-template", "values = [yamlencode({ image = { repository = \"docker.io/weaveworks/flux\" } })]"), "speaks of fluxcd/flux"},
		"a set":          {release("app-template", "set {\n name = \"image.repository\"\n value = \"fluxcd/flux\"\n }"), "speaks of fluxcd/flux"},
		"an Application": {release("argocd-apps", "values = [yamlencode({ applications = { a = { source = { repoURL = \"https://charts.fluxcd.io\", chart = \"flux\" } } } })]"), "speaks of the flux chart, and what chart argocd-apps"},

		"an Application of Flux v2":  {release("argocd-apps", "values = [yamlencode({ applications = { a = { source = { repoURL = \"https://fluxcd-community.github.io/helm-charts\", chart = \"flux2\" } } } })]"), ""},
		"no values":                  {release("nginx", ""), ""},
		"the flux chart itself":      {release("flux", "version = \"1.13.3\"\n values = [\"image: {repository: fluxcd/flux}\"]"), ""},
		"a git.url, told of already": {release("gitops", "values = [\"git: {url: a}\\nimage: fluxcd/flux\"]"), ""},
	} {
		inv := declaredBy(t, map[string]string{"main.tf": c.text})
		if c.says == "" {
			noFinding(t, inv, TerraformNotRead)
		} else {
			said(t, inv, TerraformNotRead.Name, "helm_release.r "+c.says)
		}
		t.Log(name)
	}
}

func TestScriptsThatHaveAzureRunFluxAreNamed(t *testing.T) {
	script := func(command string) string {
		return "resource \"null_resource\" \"arc\" {\n provisioner \"local-exec\" {\n command = \"" + command + "\"\n }\n}\n"
	}
	for _, command := range []string{"az k8sconfiguration create --name c", "az k8s-configuration create --name c", "pwsh -c 'New-AzKubernetesConfiguration -Name c'"} {
		said(t, declaredBy(t, map[string]string{"main.tf": script(command)}), "TERRAFORM_SCRIPT", "null_resource.arc runs a script: it speaks of Flux")
	}
	for _, command := range []string{"az k8s-configuration delete --name c", "az aks create --name c"} {
		if inv := declaredBy(t, map[string]string{"main.tf": script(command)}); finds(inv, "TERRAFORM_SCRIPT") {
			t.Errorf("%s: %v", command, inv.Findings)
		}
	}
}
