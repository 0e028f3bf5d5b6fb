package terraform

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// HCL 1 reads blocks within a block on one line as it does those on lines of their own; a
// configuration that HCL 1 cannot read at all is of later versions, which refuse them.
func TestBlocksOnOneLineAreReadAsHCL1Does(t *testing.T) {
	const lines = `resource "kubernetes_deployment" "flux" {
  metadata {
    name = "flux"
    labels {
      name = "flux"
    }
  }
  spec {
    selector {
      match_labels {
        name = "flux"
      }
    }
    template {
      metadata {
        labels {
          name = "flux"
        }
      }
    }
  }
}
resource "null_resource" "a" {
  provisioner "local-exec" {
    command = "kubectl version"
  }
  triggers {
    a = "b"
  }
}
`
	const one = `resource "kubernetes_deployment" "flux" {
  metadata { name = "flux" labels { name = "flux" } }
  spec { selector { match_labels { name = "flux" } } template { metadata { labels { name = "flux" } } } }
}
resource "null_resource" "a" { provisioner "local-exec" { command = "kubectl version" } triggers { a = "b" } }
`
	read := func(files map[string]string) (bodies string, broken []Position) {
		t.Helper()
		r, err := Load(t.Context(), Options{Dir: writeTree(t, files)})
		if err != nil {
			t.Fatal(err)
		}
		var all []any
		for _, x := range r.Resources {
			all = append(all, x.Body)
		}
		for _, s := range Scripts(t.Context(), r) {
			all = append(all, s.Tools)
		}
		data, err := json.MarshalIndent(all, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(data), r.Broken
	}
	want, _ := read(map[string]string{"main.tf": lines})
	if !strings.Contains(want, `"name": "flux"`) || !strings.Contains(want, `"kubectl"`) {
		t.Fatalf("it is read as %s", want)
	}
	for name, files := range map[string]map[string]string{
		"of one file":        {"main.tf": one},
		"with text of later": {"main.tf": one, "variables.tf": "variable \"x\" { default = \"${map(\"a\", \"b ? c : d = e\")}\" }\n"},
		"asks for less":      {"main.tf": one, "versions.tf": "terraform {\n required_version = \">= 0.11, < 0.12\"\n}\n"},
		"asks for another":   {"main.tf": one, "versions.tf": "terraform {\n required_version = \"!= 0.12.0\"\n}\n"},
		"asks for 0.11":      {"main.tf": one, "versions.tf": "terraform { required_version = \">= 0.11.2\" }\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, broken := read(files)
			if d := cmp.Diff(want, got); d != "" || len(broken) > 0 {
				t.Errorf("broken at %v; (-on lines of their own +on one):\n%s", broken, d)
			}
		})
	}
	for name, files := range map[string]map[string]string{
		"a reference":         {"main.tf": one + "output \"o\" {\n value = var.x\n}\n"},
		"one in a list":       {"main.tf": one + "output \"o\" {\n value = [\"a\", var.x]\n}\n"},
		"a condition":         {"main.tf": one + "output \"o\" {\n value = 1 > 2 ? 3 : 4\n}\n"},
		"one in another file": {"main.tf": one, "variables.tf": "variable \"x\" {\n type = string\n}\n"},
		"asks for later":      {"main.tf": one, "versions.tf": "terraform {\n required_version = \">= 0.13\"\n}\n"},
		"asks for one":        {"main.tf": one, "versions.tf": "terraform {\n required_version = \"~> 1.5.0\"\n}\n"},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			if _, broken := read(files); len(broken) != 1 || broken[0].File != "main.tf" || broken[0].Line == 0 {
				t.Errorf("broken at %v", broken)
			}
		})
	}
}
