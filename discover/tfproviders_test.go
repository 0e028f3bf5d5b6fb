package discover

import (
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// OpenTofu passes a module in for_each a provider configuration by its key, each another.
func TestEachInstanceOfAModuleHasTheProviderOfItsKey(t *testing.T) {
	files := map[string]string{
		"main.tofu": "variable \"which\" {}\nlocals {\n clusters = { eu = \"https://eu\", us = \"https://us\" }\n}\n" +
			"provider \"helm\" {\n alias = \"by\"\n for_each = local.clusters\n kubernetes {\n host = each.value\n }\n}\n" +
			"module \"m\" {\n for_each = local.clusters\n source = \"./m\"\n providers = { helm = helm.by[each.key] }\n name = each.key\n}\n" +
			"module \"one\" {\n source = \"./m\"\n providers = { helm = helm.by[var.which] }\n name = \"one\"\n}\n",
		"m/main.tofu": "variable \"name\" {}\n" + strings.Replace(releaseBlock("x", ""), "name = \"x\"", "name = var.name", 1),
	}
	through := func(provider string) migrate.Inventory {
		return declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Provider = provider })
	}
	inv := through("https://us")
	equal(t, "of us", agentIDs(inv), []string{"flux/us"})
	said(t, inv, "TERRAFORM_OTHER_CLUSTER", "flux/eu", `helm.by["eu"]`, "https://eu")
	said(t, inv, "TERRAFORM_CLUSTER_NOT_SAID", "flux/one", "not known which it is", `variable "var.which" has no value`)
	inv = through("helm.by[*]")
	equal(t, "of all", agentIDs(inv), []string{})
	said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", "none is declared through")
}
