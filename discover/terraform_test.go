package discover

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/discover/helm"
	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// written writes files and returns their folder.
func written(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// declaredBy reads configuration from the files given.
func declaredBy(t *testing.T, files map[string]string, change ...func(dir string, o *TerraformOptions)) migrate.Inventory {
	t.Helper()
	dir := written(t, files)
	o := TerraformOptions{Dirs: []string{dir}, Root: dir}
	for _, f := range change {
		f(dir, &o)
	}
	inv, err := Terraform(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// unknownOf is what is unknown of an agent, less what only a cluster tells.
func unknownOf(a migrate.Flux1Agent) []string {
	return slices.DeleteFunc(append([]string{}, a.Unknown...), func(name string) bool {
		return slices.Contains([]string{"counts", "memcached", "running", "synced"}, name)
	})
}

func agentIDs(inv migrate.Inventory) []string {
	ids := []string{}
	for _, a := range inv.Agents {
		ids = append(ids, a.ID)
	}
	return ids
}

const ordinaryRelease = `
resource "helm_release" "shop" {
  name       = "shop"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [<<EOT
git:
  url: git@github.com:example/shop
  path: a,b
EOT
  ]
}
`

// Nothing that a configuration says of an agent disappears: each ends as a
// setting with a fate and an origin.
func TestEverySettingOfAConfigurationIsAccountedFor(t *testing.T) {
	inv := declaredBy(t, map[string]string{"main.tf": `
resource "helm_release" "shop" {
  name              = "shop"
  namespace         = "flux"
  chart             = "fluxcd/flux"
  version           = "1.13.3"
  timeout           = 300
  argument_of_later = "x"
  values = [<<EOT
git: {url: "git@github.com:example/shop", urll: typo, timeout: 30s}
nobody: {reads: [this, {or: that}]}
additionalArgs: [--git-gpg-key-import=/x, --no-such-flag=1]
extraEnvs: [{name: A, value: b}]
EOT
  ]
  set {
    name  = "git.anotherTypo"
    value = "y"
  }
  set_sensitive {
    name  = "also.unheard"
    value = "z"
  }
  block_of_later {
    x = 1
  }
}
resource "kubernetes_deployment" "pay" {
  metadata {
    name      = "pay"
    namespace = "flux"
  }
  spec {
    replicas = 1
    field_of_later = 3
    template {
      metadata {
        labels = { name = "flux" }
      }
      spec {
        service_account_name = "pay"
        host_aliases {
          ip        = "10.0.0.9"
          hostnames = ["git.example.com"]
        }
        container {
          name  = "flux"
          image = "fluxcd/flux:1.25.4"
          image_pull_policy = "Always"
          args  = ["--git-url=git@github.com:example/pay", "--flag-of-later=3", "stray"]
          env {
            name  = "WHATEVER"
            value = "x"
          }
          volume_mount {
            name       = "odd"
            mount_path = "/odd"
          }
          container_field = true
        }
        container {
          name  = "beside"
          image = "example/beside:1"
        }
        init_container {
          name  = "before"
          image = "example/before:1"
        }
      }
    }
  }
}
`})
	want := map[string][]string{
		"flux/shop": {
			"git.url", "git.urll", "git.timeout", "nobody.reads[0]", "nobody.reads[1].or", "additionalArgs[0]", "additionalArgs[1]", "--git-gpg-key-import",
			"--no-such-flag", "extraEnvs[0].name", "extraEnvs[0].value", "git.anotherTypo", "also.unheard", "helm_release.timeout",
			"helm_release.argument_of_later", "helm_release.block_of_later", "helm_release.name", "helm_release.namespace", "helm_release.chart", "helm_release.version",
		},
		"flux/pay": {
			"--git-url", "--flag-of-later", "argument", "env.WHATEVER", "volume.odd", "container.beside", "initContainer.before", "image",
			"spec.replicas", "spec.fieldOfLater", "spec.template.spec.containers[0].containerField", "spec.template.metadata.labels.name", "spec.template.spec.serviceAccountName",
			"spec.template.spec.hostAliases[0].ip", "spec.template.spec.containers[0].imagePullPolicy",
		},
	}
	equal(t, "agents", agentIDs(inv), []string{"flux/pay", "flux/shop"})
	for _, a := range inv.Agents {
		for _, name := range want[a.ID] {
			s := settingOf(t, a, name)
			switch s.Fate {
			case migrate.Carried, migrate.Dropped, migrate.Blocks, migrate.Unknown:
			default:
				t.Errorf("%s of %s has fate %q", name, a.ID, s.Fate)
			}
			if s.To == "" && s.Why == "" || len(s.From) == 0 || s.From[0].Where == "" {
				t.Errorf("%s of %s says neither what becomes of it nor where it is from: %+v", name, a.ID, s)
			}
		}
	}
	for _, name := range []string{"helm_release.argument_of_later", "helm_release.block_of_later", "git.urll", "--no-such-flag"} {
		equal(t, name, settingOf(t, inv.Agents[1], name).Fate, migrate.Unknown)
	}
	for name, fate := range map[string]migrate.Fate{
		"spec.fieldOfLater": migrate.Unknown, "spec.template.spec.containers[0].containerField": migrate.Unknown, "spec.template.spec.hostAliases[0].ip": migrate.Unknown,
		"spec.replicas": migrate.Dropped, "spec.template.spec.containers[0].imagePullPolicy": migrate.Dropped, "spec.template.metadata.labels.name": migrate.Dropped,
	} {
		equal(t, name, settingOf(t, inv.Agents[0], name).Fate, fate)
	}
}

// A secret stands in every place where one can: it is in no output.
func TestNoSecretOfAConfigurationOrStateIsShown(t *testing.T) {
	const m = markedSecret
	inv := declaredBy(t, map[string]string{
		"main.tf": `
variable "token" {}
variable "hidden" {
  sensitive = true
}
variable "from_env" {}
variable "from_argument" {}
terraform {
  backend "http" {
    address  = "https://user:` + m + `@states.example.com/flux?token=` + m + `"
    password = "` + m + `"
  }
}
provider "helm" {
  kubernetes {
    host  = "https://user:` + m + `@cluster.example.com"
    token = "` + m + `"
  }
}
data "terraform_remote_state" "other" {
  backend = "http"
  config  = { address = "https://user:` + m + `@states.example.com/other", password = "` + m + `" }
}
data "terraform_remote_state" "local" {
  backend = "local"
  config  = { path = "other.tfstate" }
}
locals {
  not_a_number = parseint(var.token, 10)
  not_a_time   = [for t in [var.from_argument] : formatdate("YYYY", t)]
  not_yaml     = yamldecode("{${var.from_env}")
  not_read     = jsondecode(file("secret.txt"))
  twice        = { for t in [var.token, var.token] : t => 1 }
}
resource "helm_release" "inputs" {
  name      = "inputs"
  namespace = "flux"
  chart     = "flux"
  version   = "1.13.3"
  values = [<<EOT
git: {url: "https://user:${var.from_env}@git.example.com/a.git", label: "${data.terraform_remote_state.local.outputs.secret}", branch: "${data.terraform_remote_state.other.outputs.branch}"}
additionalArgs: ["--token=${var.from_env}", "--git-user=${data.terraform_remote_state.local.outputs.secret}"]
extraEnvs: [{name: A, value: "${var.from_argument}"}]
EOT
  ]
  dynamic "set" {
    for_each = ["not_a_number", "not_a_time", "not_yaml", "not_read", "twice"]
    content {
      name  = set.value
      value = { not_a_number = local.not_a_number, not_a_time = local.not_a_time[0], not_yaml = local.not_yaml, not_read = local.not_read, twice = keys(local.twice)[0] }[set.value]
    }
  }
}
resource "helm_release" "url" {
  name                = "url"
  namespace           = "flux"
  chart               = "flux"
  version             = "1.13.3"
  repository          = "https://user:` + m + `@charts.example.com"
  repository_password = "` + m + `"
  description         = "` + m + `"
  values = [<<EOT
git: {url: "https://user:${var.token}@git.example.com/a.git", config: {enabled: true, data: "` + m + `"}}
token: ` + m + `
extraEnvs: [{name: PASSWORD, value: "` + m + `"}, {name: B, value: "${var.hidden}"}]
unheard: {of: "` + m + `"}
sidecarContainers: [{name: x, image: y, env: [{name: A, value: "` + m + `"}]}]
additionalArgs: ["--token=` + m + `", "--unheard=` + m + `", "` + m + `"]
initContainers: {x: {image: "` + m + `"}}
annotations: {a: "` + m + `"}
EOT
  ]
  set_sensitive {
    name  = "git.secretName"
    value = "` + m + `"
  }
}
resource "helm_release" "whole" {
  name      = "whole"
  namespace = "flux"
  chart     = "flux"
  version   = "1.13.3"
  set_sensitive {
    name  = "git.url"
    value = "https://` + m + `@git.example.com/a.git"
  }
}
resource "kubernetes_deployment" "args" {
  metadata {
    name        = "args"
    annotations = { a = "` + m + `" }
  }
  spec {
    template {
      spec {
        container {
          name  = "flux"
          image = "fluxcd/flux:1.25.4"
          args  = ["--git-url=https://user:${var.token}@git.example.com/a.git", "--token=` + m + `", "--git-label=${var.hidden}", "--unheard=` + m + `", "` + m + `"]
          env {
            name  = "P"
            value = "` + m + `"
          }
          lifecycle {
            post_start {
              exec {
                command = ["curl", "` + m + `"]
              }
            }
          }
        }
        container {
          name  = "beside"
          image = "x"
          args  = ["` + m + `"]
        }
      }
    }
  }
}
module "registry" {
  source = "git::https://oauth2:` + m + `@gitlab.com/o/m.git?ref=v1&sshkey=` + m + `"
}
module "token" {
  source = "git::HTTPS://` + m + `@gitlab.com/o/m.git"
}
module "short" {
  source = "git::bot:` + m + `@gitlab.com:o/m.git"
}
module "key" {
  source  = "gitlab.com/o/m?sshkey=` + m + `"
  version = "1.0.0"
}
resource "helm_release" "modules" {
  name       = "modules"
  namespace  = "flux"
  chart      = "oci://` + m + `@charts.example.com/flux"
  repository = "oci://` + m + `@charts.example.com"
  version    = "1.13.3"
  set {
    name  = "git.url"
    value = module.registry.url
  }
  set {
    name  = "git.branch"
    value = module.token.branch
  }
  set {
    name  = "git.label"
    value = "${module.short.label}-${module.key.label}"
  }
}
resource "helm_release" "words" {
  name      = "words"
  namespace = "flux"
  chart     = "flux"
  version   = "1.13.3"
  values = [<<EOT
git: {url: "https://bot:a,` + m + `@git.example.com/a.git"}
additionalArgs: ["--token ` + m + `", "--git-url https://u:` + m + `@h/a?b=c"]
extraVolumes: [{name: a, gitRepo: {repository: "https://` + m + `@h/a"}}, {name: b, csi: {driver: d, volumeAttributes: {clientSecret: "` + m + `"}}}]
EOT
  ]
}
resource "kubernetes_deployment" "volumes" {
  metadata {
    name = "volumes"
  }
  spec {
    template {
      spec {
        container {
          name  = "flux"
          image = "fluxcd/flux:1.25.4"
          args  = ["--git-url=git+https://` + m + `@git.example.com/a.git", "--token ` + m + `", "--git-user https://u:` + m + `@h/a?b=c"]
        }
        volume {
          name = "a"
          git_repo {
            repository = "https://` + m + `@h/o/r"
          }
        }
        volume {
          name = "b"
          csi {
            driver            = "d"
            volume_attributes = { clientSecret = "` + m + `" }
          }
        }
        node_selector = { a = "https://u:` + m + `@h" }
      }
    }
  }
}
resource "kubectl_manifest" "yaml" {
  yaml_body = <<EOT
apiVersion: apps/v1
kind: Deployment
metadata: {name: yaml, namespace: flux, annotations: {a: "` + m + `"}}
spec: {template: {spec: {volumes: [{name: a, gitRepo: {repository: "bot:` + m + `@h/a"}}, {name: b, flexVolume: {driver: d, options: {password: "` + m + `"}}}], containers: [{name: flux, image: "fluxcd/flux:1", args: ["--git-url=https://` + m + `@h/r", "--token", "` + m + `"], env: [{name: X, value: "` + m + `"}]}]}}}
EOT
}
`,
		"other.tfstate": `{"version":4,"outputs":{"secret":{"type":"string","value":"` + m + `","sensitive":true}},"resources":[]}`,
		"secret.txt":    "{" + m,
		"prod.tfvars": `token = "` + m + `"
hidden = "` + m + `"`,
		"state.tfstate": `{"version":4,"terraform_version":"1.5.0","serial":1,"lineage":"x","resources":[{"mode":"managed","type":"helm_release","name":"url",
"provider":"provider[\"registry.terraform.io/hashicorp/helm\"]","instances":[{"attributes":{"id":"url","name":"url","namespace":"flux","chart":"flux","version":"1.13.2",
"metadata":[{"name":"url","namespace":"flux","chart":"flux","version":"1.13.2","revision":1,"values":"{\"git\":{\"url\":\"https://u:` + m + `@h/r\",\"branch\":\"old\"},\"token\":\"` + m + `\"}"}],
"values":["git:\n  url: https://u:` + m + `@h/r\n"],"set_sensitive":[{"name":"git.secretName","value":"` + m + `"}]}}]}]}`,
	}, func(dir string, o *TerraformOptions) {
		o.Arguments = []terraform.Argument{{File: "prod.tfvars"}, {Name: "from_argument", Value: m}}
		o.StateFiles = []string{filepath.Join(dir, "state.tfstate")}
		o.Env = map[string]string{"TF_VAR_from_env": m}
	})
	equal(t, "agents", agentIDs(inv), []string{"default/args", "default/volumes", "flux/inputs", "flux/modules", "flux/url", "flux/whole", "flux/words", "flux/yaml"})
	raw, err := json.MarshalIndent(inv, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	// What is kept in memory must not show it either, where printing may reach.
	for _, out := range []string{string(raw), fmt.Sprintf("%+v", inv.Findings), fmt.Sprintf("%+v", inv.Agents)} {
		for line := range strings.Lines(out) {
			if i := strings.Index(line, m); i >= 0 {
				t.Errorf("a secret is shown: %s", line[max(0, i-300):min(len(line), i+100)])
			}
		}
	}
}

func TestAgentsOfOtherClustersAreNamedAndLeftOut(t *testing.T) {
	release := func(name, provider string) string {
		return fmt.Sprintf("resource \"helm_release\" %q {\n name = %q\n namespace = \"flux\"\n chart = \"flux\"\n version = \"1.13.3\"\n %s\n values = [\"git: {url: \\\"git@h:a\\\"}\"]\n}\n", name, name, provider)
	}
	files := map[string]string{"main.tf": release("here", "") + release("there", "provider = helm.other") + "provider \"helm\" {\n alias = \"other\"\n}\n"}
	inv := declaredBy(t, files)
	equal(t, "agents", agentIDs(inv), []string{"flux/here"})
	said(t, inv, "TERRAFORM_OTHER_CLUSTER", "flux/there", "helm.other", "helm_release.there")
	inv = declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Provider = "other" })
	equal(t, "agents of the other", agentIDs(inv), []string{"flux/there"})

	files["main.tf"] = release("a", "provider = helm.one") + release("b", "provider = helm.two")
	inv = declaredBy(t, files)
	equal(t, "agents of neither", agentIDs(inv), []string{})
	said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", "one", "two")
}

func TestAChartOfAnotherNameOrMakeIsNotFluxV1(t *testing.T) {
	for name, want := range map[string]string{
		"flux": "flux", "fluxcd/flux": "flux", "weaveworks/flux": "flux", "https://charts.fluxcd.io/flux-1.13.3.tgz": "flux", "oci://h/charts/flux": "flux",
		"./charts/flux": "flux", "helm-operator": "helm-operator", "fluxcd/helm-operator": "helm-operator",
		"flux2": "", "fluxcd-community/flux2": "", "flux2-2.9.0.tgz": "", "bitnami/flux": "", "fluxcloud": "", "influxdb": "", "flux-web-ui": "", "": "",
	} {
		if got := chartKind(name, "https://charts.example.com"); got != want {
			t.Errorf("chart %q is taken for %q, want %q", name, got, want)
		}
	}
	for _, from := range []string{"oci://ghcr.io/fluxcd-community/charts/flux2", "https://fluxcd-community.github.io/helm-charts", "oci://registry.example.com/mirror/flux2"} {
		if got := chartKind("flux", from); got != "" {
			t.Errorf("chart flux of %s is %q", from, got)
		}
	}
	if got := chartKind("flux", "oci://registry-1.docker.io/bitnamicharts"); got != "" {
		t.Errorf("Bitnami's Flux v2 is taken for %q", got)
	}
}

func TestTheStateTellsWhatTheConfigurationAloneDoesNot(t *testing.T) {
	instance := func(name, key, version, values string) string {
		v, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			key = `"index_key":` + key + `,`
		}
		return fmt.Sprintf(`{"mode":"managed","type":"helm_release","name":%q,"provider":"provider[\"registry.terraform.io/hashicorp/helm\"]","instances":[{%s"attributes":{
"id":%q,"name":%q,"namespace":"flux","chart":"flux","version":%q,"metadata":[{"name":%q,"namespace":"flux","chart":"flux","version":%q,"revision":1,"values":%s}]}}]}`, name, key, name, name, version, name, version, v)
	}
	inv := declaredBy(t, map[string]string{
		"main.tf": `
variable "url" {}
variable "on" {}
resource "helm_release" "shop" {
  name      = "shop"
  namespace = "flux"
  chart     = "flux"
  values    = ["git: {url: \"${var.url}\", branch: next, pollInterval: 1m}"]
}
resource "helm_release" "perhaps" {
  count     = var.on ? 1 : 0
  name      = "perhaps"
  namespace = "flux"
  chart     = "flux"
  version   = "1.0.0"
  values    = ["git: {url: \"git@h:perhaps\"}"]
}
`,
		"s.json": `{"version":4,"terraform_version":"1.5.0","serial":1,"lineage":"x","resources":[` + strings.Join([]string{
			instance("shop", "", "1.5.0", `{"git":{"url":"git@h:shop","branch":"old","pollInterval":"1m"}}`),
			instance("perhaps", "0", "1.0.0", `{"git":{"url":"git@h:perhaps"}}`),
			instance("gone", "", "1.5.0", `{"git":{"url":"git@h:gone"}}`),
		}, ",") + `]}`,
	}, func(dir string, o *TerraformOptions) { o.StateFiles = []string{filepath.Join(dir, "s.json")} })
	equal(t, "agents", agentIDs(inv), []string{"flux/perhaps", "flux/shop"})
	shop := inv.Agents[1]
	// The version and the URL are known from the state; the branch is the
	// configuration's, and the difference is said.
	equal(t, "shop", []string{shop.ChartVersion, shop.Git.URL, shop.Git.Branch}, []string{"1.5.0", "git@h:shop", "next"})
	equal(t, "unknown", unknownOf(shop), []string{})
	if s := settingOf(t, shop, "--git-url"); len(s.From) != 2 || !strings.Contains(s.Why, "as the state has it") {
		t.Errorf("--git-url: %+v", s)
	}
	said(t, inv, "TERRAFORM_NOT_APPLIED", "--git-branch", `"next" in the configuration`, `"old" was applied last`)
	said(t, inv, "TERRAFORM_STATE_ONLY", "helm_release.gone")
	equal(t, "place", *inv.Agents[0].Terraform, migrate.TerraformPlace{Dir: inv.Agents[0].Terraform.Dir, Address: "helm_release.perhaps[0]", Instance: "0", Where: "main.tf:10", State: true})
	for _, f := range inv.Findings {
		if f.Code == TerraformUncertain.Name || f.Code == "CHART_VALUE_NOT_KNOWN" {
			t.Errorf("the state tells it: %v", f)
		}
	}
}

func TestDeploymentsDeclaredAsManifestsAreAgents(t *testing.T) {
	inv := declaredBy(t, map[string]string{"main.tf": `
variable "url" {}
resource "kubernetes_manifest" "a" {
  manifest = {
    apiVersion = "apps/v1"
    kind       = "Deployment"
    metadata   = { name = "a", namespace = "flux" }
    spec       = { template = { spec = { serviceAccountName = "sa", containers = [
      { name = "flux", image = "mirror.example.com/flux:1.25.4", args = ["--git-url", "git@h:a", "--git-path=x,y", "--git-path", "z", "--git-branch=$(BRANCH)"],
        env = [{ name = "BRANCH", value = "live" }] },
      { name = "helm-operator", image = "fluxcd/helm-operator:1.2.0" } ] } } }
  }
}
resource "kubectl_manifest" "b" {
  yaml_body = <<EOT
apiVersion: apps/v1
kind: Deployment
metadata: {name: b, namespace: flux}
spec: {replicas: 0, template: {spec: {containers: [{name: fluxd, image: "fluxcd/flux:1", args: [--git-url, "${var.url}", --sync-garbage-collection]}]}}}
EOT
}
resource "kubernetes_deployment_v1" "c" {
  metadata {
    name = "c"
  }
  spec {
    template {
      spec {
        container {
          name  = "flux"
          image = "fluxcd/flux:1"
          args  = ["--git-url=git@h:c", var.url, "--git-branch=c"]
        }
      }
    }
  }
}
resource "kubernetes_deployment" "memcached" {
  metadata {
    name = "flux-memcached"
  }
  spec {
    template {
      spec {
        container {
          name  = "memcached"
          image = "memcached:1"
        }
      }
    }
  }
}
`})
	equal(t, "agents", agentIDs(inv), []string{"default/c", "flux/a", "flux/b"})
	a, b, c := inv.Agents[1], inv.Agents[2], inv.Agents[0]
	equal(t, "a", []any{a.Git.URL, a.Git.Branch, a.Git.Paths, a.ServiceAccount, a.Workload}, []any{"git@h:a", "live", []string{"x", "y", "z"}, "sa", "a"})
	equal(t, "b", []any{b.Git.URL, b.Sync.GarbageCollection, unknownOf(b)}, []any{"", migrate.CollectOn, []string{"confinement", "git.url"}})
	said(t, inv, "CHART_VALUE_NOT_KNOWN", "flux/b", "--git-url", "var.url")
	said(t, inv, "AGENT_STOPPED", "flux/b")
	said(t, inv, "HELM_OPERATOR_FOUND", "kubernetes_manifest.a")
	// An argument that may set any flag leaves nothing certain.
	said(t, inv, "CHART_VALUE_NOT_KNOWN", "default/c", "may set any flag", "var.url")
	if !slices.Contains(c.Unknown, "git.branch") || c.Git.Branch != "" {
		t.Errorf("c: branch %q, unknown %v", c.Git.Branch, c.Unknown)
	}
}

func TestOneAgentDeclaredTwiceIsNotGuessed(t *testing.T) {
	one, two := written(t, map[string]string{"main.tf": ordinaryRelease}), written(t, map[string]string{"main.tf": ordinaryRelease})
	inv, err := Terraform(t.Context(), TerraformOptions{Dirs: []string{one, two}})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "agents", agentIDs(inv), []string{"flux/shop"})
	equal(t, "severity", said(t, inv, "TERRAFORM_DECLARED_TWICE", "flux/shop").Severity, migrate.Blocker)
}

// liveAgent is an agent as the cluster has it.
func liveAgent(id string, args ...string) migrate.Flux1Agent {
	namespace, name, _ := strings.Cut(id, "/")
	config, settings, _ := flux1.ParseArgs(args)
	a := migrate.Flux1Agent{ID: id, Namespace: namespace, Release: name, Workload: name, InstalledBy: "helm", ChartVersion: "1.13.3", DefaultNamespace: "default", ServiceAccount: name}
	configure(&a, &config, settings)
	a.DefaultNamespace = "default"
	return a
}

func TestWhatWitnessesDisagreeInIsSaidSettingBySetting(t *testing.T) {
	declared := declaredBy(t, map[string]string{"main.tf": ordinaryRelease + strings.ReplaceAll(ordinaryRelease, "shop", "never")})
	cluster := migrate.Inventory{Cluster: migrate.Cluster{From: "cluster"}, Agents: []migrate.Flux1Agent{
		liveAgent("flux/shop", "--git-url=git@github.com:example/shop", "--git-branch=hotfix", "--git-path=a,b", "--git-poll-interval=300s", "--registry-rps=7", "--unheard-of=1"),
		liveAgent("flux/alone", "--git-url=git@h:alone"),
	}, Findings: []migrate.Finding{AgentStopped.Finding("flux/alone", "x", "kept")}}
	before, err := json.Marshal(cluster)
	if err != nil {
		t.Fatal(err)
	}
	merged := Merge(cluster, declared)
	equal(t, "agents", agentIDs(merged), []string{"flux/shop", "flux/alone"})
	shop := merged.Agents[0]
	equal(t, "the live branch counts", shop.Git.Branch, "hotfix")
	equal(t, "address", shop.Terraform.Address, "helm_release.shop")
	said(t, merged, "WITNESSES_DISAGREE", "flux/shop --git-branch", `"hotfix" live`, `"master" in Terraform`, "cluster: args[1]", "values: git.branch (default of chart 1.13.3)")
	said(t, merged, "WITNESSES_DISAGREE", "flux/shop --registry-rps", `"7" live`)
	for _, f := range merged.Findings {
		if f.Code == WitnessesDisagree.Name && (strings.Contains(f.Subject, "--git-url") || strings.Contains(f.Subject, "--git-path") || strings.Contains(f.Subject, "poll-interval")) {
			t.Errorf("equal settings disagree: %v", f)
		}
	}
	said(t, merged, "DECLARED_NOT_LIVE", "flux/never")
	said(t, merged, "LIVE_NOT_DECLARED", "flux/alone")
	said(t, merged, "AGENT_STOPPED", "kept")
	// No setting of either witness disappears, and an agreed one has both origins.
	for _, a := range []migrate.Flux1Agent{cluster.Agents[0], declared.Agents[1]} {
		for _, s := range a.Settings {
			got := settingOf(t, shop, s.Name)
			if got.Fate == "" {
				t.Errorf("%s has no fate", s.Name)
			}
		}
	}
	url := settingOf(t, shop, "--git-url")
	if len(url.From) != 2 || url.From[0].Witness != "cluster" || url.From[1].Witness != "terraform" {
		t.Errorf("origins of --git-url: %v", url.From)
	}
	if after, err := json.Marshal(cluster); err != nil || string(after) != string(before) {
		t.Errorf("Merge changed what it was given: %v", err)
	}
}

func TestAnAgentEditedByHandIsToldFromItsRelease(t *testing.T) {
	w := &witness{}
	values := map[string]any{"git": map[string]any{"url": "git@github.com:example/shop", "branch": "main"}, "unheard": map[string]any{"of": markedSecret}}
	a := &agent{release: &release{
		name: "shop", Record: &helm.Record{Namespace: "flux", Chart: "flux", ChartVersion: "1.13.3", Values: values},
		revision: helm.Revision{Kind: "Secret", Namespace: "flux", Name: "sh.helm.release.v1.shop.v3", Helm: 3, Number: 3},
	}}
	a.ID = "flux/shop"
	// As the chart gives them, but for the branch.
	var args []string
	for _, arg := range chart.Decode(chart.Release{Name: "shop", Namespace: "flux", Version: "1.13.3"}, values).Args {
		text := string(arg.Text)
		if arg.Flag == "git-branch" {
			text = "--git-branch=hotfix"
		}
		args = append(args, text)
	}
	_, a.Settings, _ = flux1.ParseArgs(args)
	if err := w.readRelease(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	inv := migrate.Inventory{Findings: w.findings}
	said(t, inv, "EDITED_BY_HAND", "flux/shop --git-branch", `"hotfix" live`, `"main" by the values`, "Secret/flux/sh.helm.release.v1.shop.v3 git.branch")
	if len(w.findings) != 1 {
		t.Errorf("%d findings, want one: %v", len(w.findings), w.findings)
	}
	equal(t, "the value is accounted for", settingOf(t, a.Flux1Agent, "unheard.of").Fate, migrate.Unknown)
	if raw, err := json.Marshal(a.Settings); err != nil || tells(string(raw)) {
		t.Errorf("a secret is shown: %v", err)
	}
}

func TestWhatIsNotKnownOfAReleaseIsNamedAndNotGuessed(t *testing.T) {
	release := func(more string) string {
		return "variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n" + more + "\n}\n"
	}
	const rest = "\n  version = \"1.13.3\"\n  values = [\"git: {url: \\\"git@h:x\\\"}\"]"
	for name, c := range map[string]struct {
		files map[string]string
		code  flux1.Code
	}{
		"its chart":     {map[string]string{"main.tf": release("  name = \"flux\"\n  namespace = \"flux\"\n  chart = var.x" + rest)}, TerraformChartUnknown},
		"its name":      {map[string]string{"main.tf": release("  name = var.x\n  namespace = \"flux\"\n  chart = \"flux\"" + rest)}, TerraformName},
		"its namespace": {map[string]string{"main.tf": release("  name = \"flux\"\n  namespace = var.x\n  chart = \"flux\"" + rest)}, TerraformName},
		"whether a chart beside the files is the published one": {map[string]string{
			"main.tf":                release("  name = \"flux\"\n  namespace = \"flux\"\n  chart = \"./charts/flux\"\n  values = [\"git: {url: \\\"git@h:x\\\"}\"]"),
			"charts/flux/Chart.yaml": "apiVersion: v1\nname: flux\nversion: 1.13.3\n",
		}, TerraformChartChanged},
		"whether an allow-list binds what may do everything": {map[string]string{
			"main.tf": release("  name = \"flux\"\n  namespace = \"flux\"\n  chart = \"flux\"\n  version = \"1.13.3\"\n  values = [\"git: {url: \\\"git@h:x\\\"}\\nadditionalArgs: [--k8s-allow-namespace=team]\"]"),
		}, Confined},
	} {
		t.Run(name, func(t *testing.T) {
			found := declaredBy(t, c.files).Findings
			if !slices.ContainsFunc(found, func(f migrate.Finding) bool { return f.Code == c.code.Name }) {
				t.Errorf("no %s in %v", c.code.Name, found)
			}
		})
	}
	for _, f := range declaredBy(t, map[string]string{"main.tf": release("  name = \"flux\"\n  namespace = \"flux\"\n  chart = \"flux\"" + rest)}).Findings {
		for _, code := range []flux1.Code{TerraformChartUnknown, TerraformName, TerraformLocalChart, TerraformChartChanged, Confined} {
			if f.Code == code.Name {
				t.Errorf("a release of which all is known has %v", f)
			}
		}
	}
}

// A release that has no name, which terraform refuses, is no reason to fail.
func TestAReleaseWithoutANameIsNamedByItsAddress(t *testing.T) {
	inv := declaredBy(t, map[string]string{"main.tf": "resource \"helm_release\" \"flux\" {\n chart = \"flux\"\n}\n"})
	equal(t, "agents", agentIDs(inv), []string{"helm_release.flux"})
	said(t, inv, "TERRAFORM_NAME_UNKNOWN", "the release of helm_release.flux is not known: it is not set", "main.tf:1")
}

func TestAPathThatMayBeASecretIsNotTold(t *testing.T) {
	inv := declaredBy(t, map[string]string{"main.tf": "resource \"null_resource\" \"flux\" {\n provisioner \"local-exec\" {\n command = \"cat > k <<E\\n" + markedSecret + "/AAAA\\nE\\n./deploy.sh\"\n }\n}\n" +
		"data \"external\" \"flux\" {\n program = [\"get/" + markedSecret + "\", \"./" + markedSecret + "\"]\n}\n"})
	said(t, inv, "TERRAFORM_SCRIPT", "null_resource.flux", "not read: ./deploy.sh and others")
	said(t, inv, "TERRAFORM_SCRIPT", "data.external.flux", "not read: what it runs from a path that is not told here")
	if tells(asJSON(inv)) {
		t.Error("a secret is shown")
	}
}
