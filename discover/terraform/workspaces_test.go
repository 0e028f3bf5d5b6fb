package terraform

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Only what is written out as a name of a workspace is taken for one: no text
// that a function makes something else of, and no key that is sensitive.
func TestSpokenWorkspacesAreNamesThatAreWrittenOut(t *testing.T) {
	dir := writeTree(t, map[string]string{"main.tf": `
variable "secret" {
  sensitive = true
  default   = { ` + marker + ` = 1 }
}
variable "plain" {
  default = { of-default = 1 }
}
locals {
  a = lookup(merge({ merged-one = 1 }, var.plain), terraform.workspace, 0)
  b = contains(keys({ key = 1 }), terraform.workspace)
  c = terraform.workspace == "compared" || "other" != "${terraform.workspace}"
  d = lookup(jsondecode("{\"` + marker + `\":1}"), terraform.workspace, 0)
  e = lookup(yamldecode(file("` + marker + `.yaml")), terraform.workspace, 0)
  f = lookup(var.secret, terraform.workspace, 0)
  g = lookup(local.loop, terraform.workspace, 0)
  h = terraform.workspace == "default"
  loop = local.loop2
  loop2 = local.loop
}
output "o" { value = [local.a, local.b, local.c, local.d, local.e, local.f, local.g, local.h] }
`})
	for range 5 { // whatever the order of maps
		r, err := Load(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff("compared key merged-one of-default other", strings.Join(r.SpokenWorkspaces(), " ")); d != "" {
			t.Fatalf("(-want +got): %s", d)
		}
	}
}
