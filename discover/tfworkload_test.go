package discover

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// fluxdManifest is a Deployment of fluxd with a secret and a line of env.
func fluxdManifest(env string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec:\n  template:\n    spec:\n      containers:\n" +
		"      - name: flux\n        image: fluxcd/flux:1.25.4\n        args: [\"--git-url=https://u:" + markedSecret + "@h/a\", \"--git-path=$(APP)\"]\n        env: [{name: APP, " + env + "}]\n"
}

// A key of for_each stands in the address of an instance. Some take a whole
// manifest for it.
func TestAKeyThatIsAManifestIsNotShown(t *testing.T) {
	manifest := fluxdManifest("value: apps")
	config := "resource \"kubectl_manifest\" \"flux\" {\n for_each = toset([" + strconv.Quote(manifest) + "])\n yaml_body = each.value\n}\n"
	instance := func(address string) string {
		return fmt.Sprintf(`{"mode":"managed","type":"kubectl_manifest","name":"flux",%s"attributes":{"id":"x","kind":"Deployment","api_version":"apps/v1","name":"flux","namespace":"flux","yaml_body":%q,"yaml_body_parsed":%q}}]}`,
			address, manifest, manifest)
	}
	state := stateText(instance(fmt.Sprintf(`"provider":"provider[\"registry.terraform.io/gavinbunney/kubectl\"]","instances":[{"index_key":%q,`, manifest)))

	alone := written(t, map[string]string{"prod.tfstate": state})
	for name, inv := range map[string]func() string{
		"configuration": func() string {
			inv := declaredBy(t, map[string]string{"main.tf": config})
			equal(t, "agents", agentIDs(inv), []string{"flux/flux"})
			return fmt.Sprintf("%+v", inv) + asJSON(inv)
		},
		"configuration and state": func() string {
			inv := declaredBy(t, map[string]string{"main.tf": config, "terraform.tfstate": state})
			equal(t, "agents", agentIDs(inv), []string{"flux/flux"})
			if !inv.Agents[0].Terraform.State {
				t.Error("the instance is not found in the state")
			}
			return fmt.Sprintf("%+v", inv) + asJSON(inv)
		},
		"state": func() string {
			inv := heldBy(t, filepath.Join(alone, "prod.tfstate"))
			return fmt.Sprintf("%+v", inv) + asJSON(inv)
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := inv()
			if tells(text) {
				t.Error("a secret of the manifest is shown")
			}
			if !strings.Contains(text, "sha256:") {
				t.Errorf("the instance is not named: %s", text)
			}
		})
	}
}

// A key of for_each is a part of addresses, and often the URL of a repository.
func TestALabelMayBeAPassword(t *testing.T) {
	for path, shown := range map[string]bool{
		"spec.template.metadata.labels.app": true, "spec.template.metadata.labels.password": false, "spec.selector.matchLabels.app-secret": false,
		"spec.template.spec.nodeSelector.example.com/token": false, "spec.template.spec.nodeSelector.disk": true, "spec.strategy.type": true,
	} {
		if got := hideText(path, "value"); (got == "value") != shown {
			t.Errorf("%s is shown as %s", path, got)
		}
	}
}

func TestNoSecretOfAURLThatIsAKeyIsShown(t *testing.T) {
	for name, key := range map[string]string{
		"a password": "https://ci:" + markedSecret + "@git.example.com/a.git", "a token": "https://" + markedSecret + "@git.example.com/a.git",
		"a query": "https://git.example.com/a.git?token=" + markedSecret, "no scheme": "ci:" + markedSecret + "@git.example.com/a.git",
	} {
		release := "resource \"helm_release\" \"flux\" {\n for_each = toset([" + strconv.Quote(key) + "])\n name = \"flux\"\n namespace = \"flux\"\n chart = \"flux\"\n version = \"1.13.3\"\n" +
			" values = [yamlencode({ git = { url = each.key, branch = var.unset } })]\n}\nvariable \"unset\" {}\n"
		state := stateText(fmt.Sprintf(`{"mode":"managed","type":"helm_release","name":"flux","provider":"provider[\"registry.terraform.io/hashicorp/helm\"]","instances":[{"index_key":%q,"attributes":{"id":"flux","name":"flux","namespace":"flux","chart":"flux","version":"1.13.3","metadata":[{"name":"flux","namespace":"flux","chart":"flux","version":"1.13.3","revision":1,"values":"{\"git\":{\"url\":%s}}"}]}}]}`,
			key, strings.ReplaceAll(strconv.Quote(key), `"`, `\"`)))
		module := "module \"each\" {\n source = \"./release\"\n for_each = toset([" + strconv.Quote(key) + "])\n}\n"
		for how, files := range map[string]map[string]string{
			"configuration": {"main.tf": release}, "configuration and state": {"main.tf": release, "terraform.tfstate": state},
			"module": {"main.tf": module, "release/main.tf": strings.Replace(release, "for_each = toset(["+strconv.Quote(key)+"])", "count = 1", 1)},
		} {
			inv := declaredBy(t, files)
			equal(t, name+", "+how+": agents", agentIDs(inv), []string{"flux/flux"})
			_, saved := saveAndOpen(t, inv)
			text := fmt.Sprintf("%+v", inv) + asJSON(inv) + saved
			if i := strings.Index(text, markedSecret); tells(text) {
				t.Errorf("%s, %s: it is shown: …%.120s", name, how, text[max(0, i-60):])
			}
			if !strings.Contains(text, `["sha256:`) && !strings.Contains(text, `[\"sha256:`) {
				t.Errorf("%s, %s: the instance is not named: %s", name, how, text)
			}
			if how == "configuration and state" && !inv.Agents[0].Terraform.State {
				t.Errorf("%s: the instance is not found in the state", name)
			}
		}
	}
}

func TestAFluxdWhoseSpecIsAnArgumentIsNamed(t *testing.T) {
	inv := declaredBy(t, map[string]string{"main.tf": "resource \"kubernetes_deployment\" \"f\" {\n metadata {\n name = \"flux\"\n namespace = \"flux\"\n }\n" +
		" spec = { template = { spec = { containers = [{ name = \"flux\", image = \"fluxcd/flux:1.25.4\" }] } } }\n}\n"})
	equal(t, "agents", len(inv.Agents), 0)
	said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "kubernetes_deployment.f", "in the place of blocks")
}

func TestAVariableOfThePodIsNoEmptyText(t *testing.T) {
	manifest := fluxdManifest("valueFrom: {fieldRef: {fieldPath: metadata.namespace}}")
	inv := declaredBy(t, map[string]string{"main.tf": "resource \"kubectl_manifest\" \"flux\" {\n yaml_body = " + strconv.Quote(manifest) + "\n}\n"})
	equal(t, "agents", agentIDs(inv), []string{"flux/flux"})
	for _, path := range inv.Agents[0].Git.Paths {
		if path == "" || path == "." {
			t.Errorf("paths %q", inv.Agents[0].Git.Paths)
		}
	}
	if paths := inv.Agents[0].Git.Paths; len(paths) == 0 && !strings.Contains(fmt.Sprint(unknownOf(inv.Agents[0])), "git.paths") {
		t.Errorf("the path is taken for known: %q, unknown %v", paths, unknownOf(inv.Agents[0]))
	}
}

// What Flux v2's own provider makes blocks nothing, whatever it is called: it is told
// beside other objects of which it is not known what they are.
func TestWhatFlux2sProviderMakesIsNoAgent(t *testing.T) {
	config := `
data "flux_install" "main" {
  target_path = "clusters/x"
}
data "flux_sync" "main" {
  target_path = "clusters/x"
}
data "http" "sync" {
  url = "https://h/flux.yaml"
}
data "kubectl_file_documents" "install" {
  content = data.flux_install.main.content
}
locals {
  sync = [for d in split("---", data.flux_sync.main.content) : d if var.all]
}
variable "all" {}
resource "kubectl_manifest" "flux_install" {
  for_each  = data.kubectl_file_documents.install.manifests
  yaml_body = each.value
}
resource "kubectl_manifest" "flux_sync" {
  for_each  = toset(local.sync)
  yaml_body = each.value
}
`
	inv := declaredBy(t, map[string]string{"main.tf": config})
	noFinding(t, inv, TerraformUncertain)
	said(t, inv, "TERRAFORM_OBJECTS_UNKNOWN", "but for what comes from Flux v2's own provider: kubectl_manifest.flux_install[*] (data.flux_install.main.content", "kubectl_manifest.flux_sync[*] (data.flux_sync.main.content")

	inv = declaredBy(t, map[string]string{"main.tf": strings.ReplaceAll(config, "flux_install.main.content", "http.sync.body")})
	if f := said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "kubectl_manifest.flux_install[*]"); !f.Acceptable {
		t.Error("nobody can say what data.http reads")
	}
}

// A state settles what its configuration does not tell of a workload: what was applied
// is an agent, or it is none.
func TestTheStateTellsWhatAnUnknownWorkloadIs(t *testing.T) {
	config := `
data "http" "flux" {
  url = "https://h/flux.yaml"
}
variable "image" {}
resource "kubectl_manifest" "flux" {
  for_each  = toset(split("---", data.http.flux.body))
  yaml_body = each.value
}
resource "kubernetes_deployment" "flux_two" {
  metadata {
    name = "flux-two"
  }
  spec {
    template {
      spec {
        container {
          name  = "main"
          image = var.image
        }
      }
    }
  }
}
`
	manifest := func(key, kind, image string) string {
		text := fmt.Sprintf("apiVersion: apps/v1\nkind: %s\nmetadata: {name: %s, namespace: flux}\nspec: {template: {spec: {containers: [{name: main, image: '%s', args: [--git-url=git@h:a]}]}}}\n", kind, key, image)
		return fmt.Sprintf(`{"index_key":%q,"attributes":{"api_version":"apps/v1","kind":%q,"namespace":"flux","name":%q,"yaml_body_parsed":%q},"sensitive_attributes":[]}`, key, kind, key, text)
	}
	two := func(image string) string {
		return fmt.Sprintf(`{"mode":"managed","type":"kubernetes_deployment","name":"flux_two","provider":"provider[\"registry.terraform.io/hashicorp/kubernetes\"]","instances":[{"attributes":{"metadata":[{"name":"flux-two","namespace":"flux"}],"spec":[{"template":[{"spec":[{"container":[{"name":"main","image":%q,"args":["--git-url=git@h:b"]}]}]}]}]}}]}`, image)
	}
	state := func(second string, instances ...string) string {
		return `{"version":4,"terraform_version":"1.3.0","serial":1,"lineage":"a","outputs":{},"resources":[{"mode":"managed","type":"kubectl_manifest","name":"flux","provider":"provider[\"registry.terraform.io/gavinbunney/kubectl\"]","instances":[` +
			strings.Join(instances, ",") + `]},` + second + `]}`
	}
	const flux2, fluxd = "ghcr.io/fluxcd/source-controller:v0.12.0", "docker.io/fluxcd/flux:1.25.4"
	for name, c := range map[string]struct {
		state  string
		agents []string
		open   []string
	}{
		"no agents":       {state(two(flux2), manifest("source", "Deployment", flux2), manifest("flux", "Namespace", flux2)), nil, []string{}},
		"agents":          {state(two(fluxd), manifest("source", "Deployment", flux2), manifest("flux-one", "Deployment", fluxd)), []string{"flux/flux-one", "flux/flux-two"}, []string{}},
		"an installer":    {state(two(flux2), manifest("flux", "HelmRelease", flux2)), nil, []string{}},
		"a hidden one":    {state(two(flux2), strings.Replace(manifest("flux", "HelmRelease", flux2), "yaml_body_parsed", "uid", 1)), nil, []string{"kubectl_manifest.flux[*]"}},
		"nothing applied": {strings.Replace(state(two(flux2)), `"name":"flux_two"`, `"name":"other"`, 1), nil, []string{"kubectl_manifest.flux[*]", "kubernetes_deployment.flux_two"}},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": config, "terraform.tfstate": c.state})
			equal(t, "agents", agentIDs(inv), c.agents)
			open := []string{}
			for _, f := range inv.Findings {
				if f.Code == TerraformUncertain.Name {
					open = append(open, f.Subject)
				}
			}
			equal(t, "not known", open, c.open)
			for _, a := range inv.Agents {
				equal(t, a.ID, []any{a.Terraform.State, a.Terraform.Dir != "", a.Git.Branch}, []any{true, true, "master"})
			}
		})
	}
}

// An argument that holds a secret is of the flag that it names, and hides no other.
func TestASecretInAnArgumentHidesItsFlagAlone(t *testing.T) {
	config := `
variable "pw" {
  sensitive = true
  default   = "` + markedSecret + `"
}
resource "kubernetes_deployment" "flux" {
  metadata {
    name = "flux"
  }
  spec {
    template {
      spec {
        container {
          name  = "flux"
          image = "docker.io/fluxcd/flux:1.20.0"
          args  = ["--git-url=https://bot:${var.pw}@h/a", "--git-branch=main", "--git-poll-interval=1m", EXTRA]
        }
      }
    }
  }
}
`
	inv := declaredBy(t, map[string]string{"main.tf": strings.Replace(config, "EXTRA", "", 1)})
	a := agentNamed(t, inv, "default/flux")
	equal(t, "agent", []any{a.Git.URL, a.Git.Branch, unknownOf(a)}, []any{"", "main", []string{"confinement", "git.url"}})
	f := said(t, inv, "CHART_VALUE_NOT_KNOWN", "--git-url is unknown: its value is sensitive and is not kept (main.tf:")
	equal(t, "hint", f.Hint, "let discovery read the agent's Deployment: what is sensitive is not kept, whoever gives it")
	if tells(asJSON(inv)) {
		t.Error("a secret is told")
	}

	inv = declaredBy(t, map[string]string{"main.tf": strings.Replace(config, "EXTRA", `"${var.pw}=x"`, 1)})
	if a := agentNamed(t, inv, "default/flux"); a.Git.Branch != "" || tells(asJSON(inv)) {
		t.Errorf("what may be any flag leaves the branch %q", a.Git.Branch)
	}
	said(t, inv, "CHART_VALUE_NOT_KNOWN", "may set any flag")
}
