package discover

import "testing"

// The arguments of an override file count before those of the provider block that
// they are for.
func TestAnOverrideFileSaysTheCluster(t *testing.T) {
	inv := declaredBy(t, map[string]string{
		"main.tf":               providerOf("", `host = "https://a.example.com"`) + providerOf("west", `host = "https://west.example.com"`) + releaseBlock("a", "") + releaseBlock("b", "helm.west"),
		"providers_override.tf": providerOf("", `host = "https://b.example.com"`),
	}, func(_ string, o *TerraformOptions) { o.Provider = "default" })
	equal(t, "agents", agentIDs(inv), []string{"flux/a"})
	equal(t, "server", inv.Agents[0].Cluster.Server, "https://b.example.com")
	said(t, inv, "TERRAFORM_OTHER_CLUSTER", "flux/b", "https://west.example.com")
}
