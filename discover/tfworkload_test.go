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
