package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/google/go-cmp/cmp"
)

// blocksOfAgent is an agent and its rights, of all that the provider has as blocks.
const blocksOfAgent = `
resource "kubernetes_config_map" "names" {
  metadata {
    name      = "names"
    namespace = "flux"
  }
  data = { user = "joe" }
}
resource "kubernetes_service_account" "flux" {
  metadata {
    name        = "flux"
    namespace   = "flux"
    annotations = { "eks.amazonaws.com/role-arn" = "arn:aws:iam::111111111111:role/flux" }
  }
}
resource "kubernetes_cluster_role" "flux" {
  metadata {
    name = "flux"
  }
  rule {
    api_groups = ["*"]
    resources  = ["*"]
    verbs      = ["*"]
  }
  rule {
    non_resource_urls = ["*"]
    verbs             = ["*"]
  }
}
resource "kubernetes_cluster_role_binding" "flux" {
  metadata {
    name = "flux"
  }
  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "ClusterRole"
    name      = kubernetes_cluster_role.flux.metadata[0].name
  }
  subject {
    kind      = "ServiceAccount"
    name      = "flux"
    namespace = "flux"
  }
}
resource "kubernetes_deployment" "flux" {
  metadata {
    name      = "flux"
    namespace = "flux"
  }
  spec {
    replicas = 1
    template {
      metadata {
        labels = { app_name = "flux" }
      }
      spec {
        service_account_name = "flux"
        node_selector        = { disk_type = "ssd" }
        volume {
          name = "key"
          secret {
            secret_name  = "mykey"
            default_mode = "0400"
          }
        }
        volume {
          name = "kubedir"
          config_map {
            name = "kc"
          }
        }
        container {
          name  = "flux"
          image = "fluxcd/flux:1.25.4"
          args  = ["--git-url=https://$(U):$(P)@git.example.com/a"]
          env {
            name = "U"
            value_from {
              config_map_key_ref {
                name = "names"
                key  = "user"
              }
            }
          }
          env {
            name = "P"
            value_from {
              secret_key_ref {
                name = "git"
                key  = "token"
              }
            }
          }
          env {
            name  = "HTTPS_PROXY"
            value = "http://proxy:3128"
          }
          volume_mount {
            name       = "key"
            mount_path = "/etc/fluxd/ssh"
          }
          volume_mount {
            name       = "kubedir"
            mount_path = "/root/.kube"
          }
          resources {
            requests = { cpu = "50m" }
          }
        }
      }
    }
  }
}
`

// asLists writes each block below the resources in place of blocks as an argument that is
// a list: of all those of its type, one after the other.
func asLists(config string) string {
	lines := strings.Split(config, "\n")
	indent := func(line string) string { return line[:len(line)-len(strings.TrimLeft(line, " "))] }
	isBlock := func(line string) string {
		if name, ok := strings.CutSuffix(line, " {"); ok && !strings.ContainsAny(name, `="`) {
			return name
		}
		return ""
	}
	var out []string
	for i, line := range lines {
		name := isBlock(line)
		switch {
		case name != "" && i > 0 && out[len(out)-1] == indent(line)+"}]" && sameAbove(lines, i, name):
			out[len(out)-1] = indent(line) + "}, {"
		case name != "":
			out = append(out, name+" = [{")
		case strings.TrimSpace(line) == "}" && indent(line) != "":
			out = append(out, line+"]")
		default:
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// sameAbove reports whether the block that ends above line i is of the same type.
func sameAbove(lines []string, i int, name string) bool {
	depth := 0
	for i--; i >= 0; i-- {
		depth += strings.Count(lines[i], "}") - strings.Count(lines[i], "{")
		if depth == 0 {
			return lines[i] == name+" {"
		}
	}
	return false
}

// Blocks count alike however they are written: as blocks, as lists or objects that are
// arguments, as Terraform up to 0.11 has them, as values of variables, and maps as blocks.
func TestBlocksCountHoweverTheyAreWritten(t *testing.T) {
	type told struct {
		Confinement, Rights any
		Secret, Account     string
		Requests            migrate.Requests
		Unknown             []string
		Settings            []string
		Findings            []string
	}
	tell := func(config string) told {
		t.Helper()
		inv := declaredBy(t, map[string]string{"main.tf": config})
		if len(inv.Agents) != 1 {
			t.Fatalf("%d agents: %+v", len(inv.Agents), inv.Findings)
		}
		a := inv.Agents[0]
		out := told{a.Confinement, a.Rights, a.Git.SecretName, a.ServiceAccount, a.Requests, a.Unknown, nil, nil}
		for _, s := range a.Settings {
			out.Settings = append(out.Settings, s.Name+"="+s.Value+" "+string(s.Fate)+" "+s.Why)
		}
		for _, f := range inv.Findings {
			out.Findings = append(out.Findings, f.Code+" "+f.Message)
		}
		slices.Sort(out.Settings)
		return out
	}
	want := tell(blocksOfAgent)
	if a := want; a.Confinement.(migrate.Confinement).Kind != "cluster-admin" || !slices.Contains(a.Unknown, "defaultNamespace") || len(a.Settings) < 10 {
		t.Fatalf("it says too little to compare: %+v", want)
	}
	lists := asLists(blocksOfAgent)
	if strings.Count(lists, "}, {") < 5 {
		t.Fatalf("lists are not made:\n%s", lists)
	}
	maps := strings.NewReplacer("labels = { app_name = \"flux\" }", "labels {\n app_name = \"flux\"\n }", "node_selector        = {", "node_selector {\n",
		"\"ssd\" }", "\"ssd\"\n }", "data = { user = \"joe\" }", "data {\n user = \"joe\"\n }", "requests = { cpu = \"50m\" }", "requests {\n cpu = \"50m\"\n }")
	values := lists
	for _, name := range []string{"rule", "subject", "role_ref", "volume", "env", "volume_mount", "container"} {
		begin := strings.Index(values, name+" = [")
		line := strings.LastIndex(values[:begin], "\n") + 1
		end := line + strings.Index(values[line:], "\n"+values[line:begin]+"}]") + len("\n"+values[line:begin]+"}]")
		values = values[:line] + values[line:begin] + name + " = local." + name + values[end:] + "\nlocals {\n" + values[line:end] + "\n}\n"
	}
	spliced := strings.NewReplacer("= local.env", "= [\"${local.env}\"]", "= local.rule", "= [\"${local.rule}\"]").Replace(values)
	for name, config := range map[string]string{
		"lists": lists, "objects": objectsOf(lists, "role_ref", "resources", "secret", "config_map"),
		"maps as blocks": maps.Replace(blocksOfAgent),
		"values":         values, "values in lists": spliced,
	} {
		t.Run(name, func(t *testing.T) {
			for _, ssh := range []bool{false, true} { // only with it the key that is mounted counts
				want, config := want, config
				if ssh {
					want, config = tell(bySSH(blocksOfAgent)), bySSH(config)
				}
				if diff := cmp.Diff(want, tell(config)); diff != "" {
					t.Errorf("not as blocks (-want +got):\n%s\n%s", diff, config)
				}
			}
		})
	}
}

// objectsOf writes lists of one object as objects.
func objectsOf(config string, names ...string) string {
	lines := strings.Split(config, "\n")
	for i, line := range lines {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !slices.Contains(names, name) || !strings.HasSuffix(line, "[{") {
			continue
		}
		in := line[:len(line)-len(strings.TrimLeft(line, " "))]
		lines[i] = in + name + " = {"
		for j := i; j < len(lines); j++ {
			if lines[j] == in+"}]" {
				lines[j] = in + "}"
				break
			}
		}
	}
	return strings.Join(lines, "\n")
}

func bySSH(config string) string {
	return strings.Replace(config, "https://$(U):$(P)@git.example.com/a", "git@git.example.com:a", 1)
}

// What stands in the place of blocks and is not known may be any of them.
func TestWhatStandsInThePlaceOfBlocksMayBeAnyOfThem(t *testing.T) {
	lists := asLists(blocksOfAgent)
	without := func(name string) string {
		begin := strings.Index(lists, name+" = [")
		line := strings.LastIndex(lists[:begin], "\n") + 1
		closing := "\n" + lists[line:begin] + "}]"
		return "variable \"x\" {}\n" + lists[:begin] + name + " = var.x" + lists[line+strings.Index(lists[line:], closing)+len(closing):]
	}
	for name, c := range map[string]struct{ unknown, says string }{
		"rule": {"confinement", "var.x"}, "subject": {"confinement", "whom it binds is not known"}, "role_ref": {"confinement", "which role it gives is not known"},
		"env": {"defaultNamespace", "var.x"}, "volume": {"", "var.x"}, "volume_mount": {"defaultNamespace", "var.x"},
	} {
		t.Run(name, func(t *testing.T) {
			config := without(name)
			if strings.HasPrefix(name, "volume") {
				config = bySSH(config)
			}
			for _, config := range []string{config, strings.Replace(config, "= var.x", "= [var.x]", 1)} {
				inv := declaredBy(t, map[string]string{"main.tf": config})
				if len(inv.Agents) != 1 || c.unknown != "" && !slices.Contains(inv.Agents[0].Unknown, c.unknown) {
					t.Errorf("%s is not unknown: %+v", c.unknown, inv.Findings)
				}
				if !slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return strings.Contains(f.Message, c.says) }) {
					t.Errorf("nothing says what settles it: %+v", inv.Findings)
				}
			}
		})
	}
	t.Run("container", func(t *testing.T) {
		inv := declaredBy(t, map[string]string{"main.tf": without("container")})
		if len(inv.Agents) == 0 && !slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool {
			return f.Code == TerraformObjectsUnknown.Name || f.Code == TerraformUncertain.Name
		}) {
			t.Errorf("the agent disappears: %+v", inv.Findings)
		}
	})
}
