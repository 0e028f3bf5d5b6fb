package discover

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// What is unknown for one cause is said together, with all that it concerns, and what is
// dropped anyway does not block.
func TestWhatIsUnknownForOneCauseIsSaidOnce(t *testing.T) {
	const helm = "variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.6.0\"\n values = [VALUES]\n}\n"
	count := func(inv migrate.Inventory, words string) (n int) {
		for _, f := range inv.Findings {
			if f.Code == "CHART_VALUE_NOT_KNOWN" && strings.Contains(f.Message, words) {
				n++
			}
		}
		return n
	}
	inv := declaredBy(t, map[string]string{"main.tf": strings.Replace(helm, "VALUES", "var.x", 1)})
	equal(t, "together", count(inv, " are unknown: "), 1)
	equal(t, "any flag", count(inv, "may set any flag"), 1)
	equal(t, "all", count(inv, ""), 2)
	said(t, inv, "CHART_VALUE_NOT_KNOWN", "--git-branch, --git-label, --git-path", "--sops", `variable "var.x"`)
	said(t, inv, "NOTIFICATIONS_STOP", "whether the agent reports to an upstream service is not known", `variable "var.x"`)

	// Few of them stand for themselves.
	for name, config := range map[string]string{
		"helm":   strings.Replace(helm, "VALUES", `"git: {url: 'git@h:a', branch: '${var.x}', label: '${var.x}'}\ntoken: '${var.x}'"`, 1),
		"blocks": strings.Replace(fluxdBlocks("git@h:a", "", ""), `"--git-url=git@h:a"`, `"--git-url=git@h:a", "--git-branch=${var.x}", "--git-label=${var.x}", "--connect=${var.x}"`, 1),
	} {
		inv = declaredBy(t, map[string]string{"main.tf": config})
		equal(t, name, []int{count(inv, "--git-branch is unknown"), count(inv, "--git-label is unknown"), count(inv, "--connect")}, []int{1, 1, 0})
		f := said(t, inv, "NOTIFICATIONS_STOP", "whether the agent reports to an upstream service is not known")
		equal(t, name+": severity", f.Severity, migrate.Warning)
		equal(t, name+": in the ledger", settingOf(t, inv.Agents[0], "--connect").Fate, migrate.Unknown)
	}
}

// What Terragrunt works out is mended in its own file, where no variable reaches.
func TestTheHintAboutAFileOfTerragruntNamesIt(t *testing.T) {
	inv := declaredBy(t, map[string]string{"main.tf": "variable \"a\" {}\nlocals { b = [1][5] }\noutput \"b\" { value = local.b }\n",
		"terragrunt.hcl": "generate \"p\" {\n path = \"p.tf\"\n if_exists = \"overwrite\"\n contents = dependency.x.outputs.y\n}\n"})
	if f := said(t, inv, "TERRAFORM_NOT_UNDERSTOOD", "generate p", "terragrunt.hcl:1"); !strings.HasPrefix(f.Hint, "mend it in terragrunt.hcl") {
		t.Errorf("hint %q", f.Hint)
	}
	if f := said(t, inv, "TERRAFORM_NOT_UNDERSTOOD", "main.tf"); f.Hint != TerraformProblem.Remedy {
		t.Errorf("of a file of Terraform: %q", f.Hint)
	}
}

// Beside what an agent without Helm is made of, what it uses is named.
func TestWhatAHelmOperatorUsesTooIsNotTheAgentsAlone(t *testing.T) {
	const named = "  metadata {\n    name = \"%s\"\n    namespace = \"flux\"\n  }\n"
	deployment := func(name, image string) string {
		return "resource \"kubernetes_deployment\" \"" + strings.ReplaceAll(name, "-", "_") + "\" {\n" + fmt.Sprintf(named, name) + `  spec {
    template {
      spec {
        service_account_name = "flux"
        volume {
          name = "git-key"
          secret {
            secret_name = kubernetes_secret.deploy.metadata.0.name
          }
        }
        container {
          name  = "main"
          image = "` + image + `"
          args  = ["--git-url=git@github.com:a/b", "--k8s-secret-name=flux-git-deploy"]
          volume_mount {
            name       = "git-key"
            mount_path = "/etc/fluxd/ssh"
          }
        }
      }
    }
  }
}
`
	}
	config := deployment("flux", "docker.io/fluxcd/flux:1.21.0") + "resource \"kubernetes_secret\" \"deploy\" {\n" + fmt.Sprintf(named, "flux-git-deploy") + "}\n" +
		"resource \"kubernetes_service_account\" \"flux\" {\n" + fmt.Sprintf(named, "flux") + "}\n"
	alone := "the agent is made of kubernetes_deployment.flux, kubernetes_secret.deploy, kubernetes_service_account.flux"
	equal(t, "said without a helm-operator", said(t, declaredBy(t, map[string]string{"main.tf": config}), "TERRAFORM_OBJECTS", "flux/flux").Message, alone)
	config += deployment("helm-operator", "docker.io/fluxcd/helm-operator:1.2.0")
	equal(t, "said beside one", said(t, declaredBy(t, map[string]string{"main.tf": config}), "TERRAFORM_OBJECTS", "flux/flux").Message,
		"the agent is made of kubernetes_deployment.flux; it uses kubernetes_secret.deploy, kubernetes_service_account.flux, as others may")
}

func TestWhatAnAgentUsesIsNamedWithWhatItIsMadeOf(t *testing.T) {
	object := func(typ, name string) string {
		return "resource \"" + typ + "\" \"" + strings.ReplaceAll(name, "-", "_") + "\" {\n metadata {\n name = \"" + name + "\"\n }\n}\n"
	}
	config := strings.Replace(fluxdBlocks("git@h:a", `env {
   name = "A"
   value_from {
    secret_key_ref {
     name = "from-key"
     key  = "a"
    }
   }
  }
  env_from {
   config_map_ref {
    name = "from-map"
   }
  }
  volume_mount {
   name       = "key"
   mount_path = "/etc/fluxd/ssh"
  }`, `volume {
   name = "key"
   secret {
    secret_name = "flux-key"
   }
  }
  volume {
   name = "not-mounted"
   secret {
    secret_name = "unused"
   }
  }
  image_pull_secrets {
   name = "registry"
  }`), `"--git-url=git@h:a"`, `"--git-url=git@h:a", "--memcached-hostname=cache.flux"`, 1)
	for _, name := range []string{"flux-key", "from-key", "unused", "registry", "flux-git-deploy"} {
		config += object("kubernetes_secret", name)
	}
	config += object("kubernetes_config_map", "from-map") + object("kubernetes_deployment", "cache") + object("kubernetes_deployment", "memcached")
	f := said(t, declaredBy(t, map[string]string{"main.tf": config}), "TERRAFORM_OBJECTS", "flux/flux")
	equal(t, "said", f.Message, "the agent is made of kubernetes_deployment.flux, kubernetes_secret.flux_git_deploy; it uses kubernetes_config_map.from_map, kubernetes_deployment.cache, kubernetes_secret.flux_key, kubernetes_secret.from_key, kubernetes_secret.registry, as others may")
}

// Objects that manifests make, and those that a release of a chart is given that makes any,
// are the agent's, too.
func TestObjectsOfManifestsAndOfRawChartsAreTheAgents(t *testing.T) {
	manifest := func(kind, name string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: %s, metadata: {name: %s, namespace: flux}}", kind, name)
	}
	config := fluxdBlocks("git@h:a", "", "") +
		"resource \"kubernetes_manifest\" \"account\" {\n manifest = yamldecode(\"" + manifest("ServiceAccount", "flux") + "\")\n}\n" +
		"resource \"kubectl_manifest\" \"key\" {\n yaml_body = \"" + manifest("ConfigMap", "flux-git-deploy") + "\"\n}\n" +
		"resource \"kubectl_manifest\" \"other\" {\n yaml_body = \"" + manifest("ConfigMap", "other") + "\"\n}\n" +
		"resource \"k8s_manifest\" \"account\" {\n content = \"" + manifest("ServiceAccount", "flux") + "\"\n}\n" +
		"resource \"helm_release\" \"raw\" {\n name = \"r\"\n chart = \"itscontained/raw\"\n values = [\"{resources: [" + manifest("Secret", "flux-git-deploy") + "], templates: ['" + manifest("ServiceAccount", "flux") + "']}\"]\n}\n" +
		"resource \"helm_release\" \"raw_other\" {\n name = \"o\"\n chart = \"raw\"\n values = [\"resources: [" + manifest("Secret", "other") + "]\"]\n}\n" +
		"resource \"helm_release\" \"nginx\" {\n name = \"n\"\n chart = \"nginx\"\n values = [\"resources: [" + manifest("Secret", "flux") + "]\"]\n}\n"
	for name, namespace := range map[string]string{"raw_here": "namespace = \"flux\"", "raw_there": "namespace = \"other\"", "raw_default": "", "raw_anywhere": "namespace = var.namespace"} {
		config += "resource \"helm_release\" \"" + name + "\" {\n name = \"" + name + "\"\n chart = \"raw\"\n " + namespace + "\n values = [\"resources: [" + strings.Replace(manifest("Secret", "flux-git-deploy"), ", namespace: flux", "", 1) + "]\"]\n}\n"
	}
	config += "variable \"namespace\" {}\nresource \"helm_release\" \"raw_role\" {\n name = \"role\"\n chart = \"raw\"\n namespace = \"other\"\n values = [\"resources: [" + strings.Replace(manifest("ClusterRole", "flux"), ", namespace: flux", "", 1) + "]\"]\n}\n"
	f := said(t, declaredBy(t, map[string]string{"main.tf": config}), "TERRAFORM_OBJECTS", "flux/flux")
	equal(t, "said", f.Message, "the agent is made of helm_release.raw, helm_release.raw_anywhere, helm_release.raw_here, helm_release.raw_role, k8s_manifest.account, kubectl_manifest.key, kubernetes_deployment.flux, kubernetes_manifest.account")
}
