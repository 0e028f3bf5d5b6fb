package discover

import (
	"fmt"
	"path/filepath"
	"testing"
)

// Names of clusters are unique in a region of an account, and no further: two of
// one name are never taken for one, and --terraform-provider and the kubeconfig
// tell them apart.
func TestClustersOfOneNameInTwoPlacesAreTwo(t *testing.T) {
	cloud := func(alias, arguments string) string {
		return fmt.Sprintf("provider \"aws\" {\n alias = %q\n %s\n}\ndata \"aws_eks_cluster\" %q {\n provider = aws.%s\n name = \"prod\"\n}\n", alias, arguments, alias, alias) +
			providerOf(alias, "host = data.aws_eks_cluster."+alias+".endpoint")
	}
	token := func(alias, arguments string) string {
		return providerOf(alias, "exec {\n args = [\"eks\", \"get-token\", \"--cluster-name\", \"prod\""+arguments+"]\n }")
	}
	const variables = "variable \"a\" {}\nvariable \"b\" {}\n"
	for name, c := range map[string]struct {
		config string
		arn    []string // the agents of the cluster that the kubeconfig names
	}{
		"regions of the provider":   {cloud("eu", `region = "eu-west-1"`) + cloud("us", `region = "us-east-1"`), []string{"flux/a"}},
		"regions of the program":    {token("eu", `, "--region", "eu-west-1"`) + token("us", `, "--region=us-east-1"`), []string{"flux/a"}},
		"one region that is told":   {token("eu", `, "--region", "eu-west-1"`) + token("us", `, "--region", var.a`) + variables, nil},
		"regions that are not told": {cloud("eu", `region = var.a`) + cloud("us", `region = var.b`) + variables, nil},
		"variables of the program": {providerOf("eu", "exec {\n args = [\"-i\", \"prod\"]\n env = { AWS_REGION = \"eu-west-1\" }\n }") +
			providerOf("us", "exec {\n args = [\"-i\", \"prod\"]\n env = { AWS_REGION = \"us-east-1\" }\n }"), []string{"flux/a"}},
		"profiles": {cloud("eu", "region = \"eu-west-1\"\n profile = \"a\"") + cloud("us", "region = \"eu-west-1\"\n profile = \"b\""), nil},
		"accounts": {cloud("eu", "region = \"eu-west-1\"\n assume_role {\n role_arn = \"arn:aws:iam::1:role/ci\"\n }") +
			cloud("us", "region = \"eu-west-1\"\n assume_role {\n role_arn = \"arn:aws:iam::2:role/ci\"\n }"), []string{"flux/a"}},
		"projects": {"provider \"google\" {\n alias = \"eu\"\n project = \"a\"\n}\nprovider \"google\" {\n alias = \"us\"\n project = \"b\"\n}\n" +
			"data \"google_container_cluster\" \"eu\" {\n provider = google.eu\n name = \"prod\"\n location = \"l\"\n}\ndata \"google_container_cluster\" \"us\" {\n provider = google.us\n name = \"prod\"\n location = \"l\"\n}\n" +
			providerOf("eu", "host = data.google_container_cluster.eu.endpoint") + providerOf("us", "host = data.google_container_cluster.us.endpoint"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"main.tf": c.config + releaseBlock("a", "helm.eu") + releaseBlock("b", "helm.us")}
			inv := declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Provider = "eu" })
			equal(t, "agents of eu", agentIDs(inv), []string{"flux/a"})
			said(t, inv, "TERRAFORM_OTHER_CLUSTER", "flux/b")

			inv = declaredBy(t, files, func(_ string, o *TerraformOptions) {
				o.LookedAt = &LookedAt{Server: "https://k.example.com", Name: "arn:aws:eks:eu-west-1:1:cluster/prod"}
			})
			equal(t, "agents of the kubeconfig's", agentIDs(inv), append([]string{}, c.arn...))
			if c.arn == nil {
				said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", "helm.eu", "helm.us")
			}

			inv = declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Provider = "prod" })
			equal(t, "agents of what both are called", agentIDs(inv), []string{})
			said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", `several clusters are called "prod"`)
		})
	}
	// One that is told twice is one all the same.
	for name, config := range map[string]string{
		"both from the cloud":     cloud("eu", `region = "eu-west-1"`) + providerOf("us", "host = data.aws_eks_cluster.eu.endpoint"),
		"the program without it":  cloud("eu", `region = "eu-west-1"`) + token("us", ""),
		"the program with it":     cloud("eu", `region = "eu-west-1"`) + token("us", `, "--region", "eu-west-1"`),
		"a region that is a word": cloud("eu", `region = var.a`) + providerOf("us", "host = data.aws_eks_cluster.eu.endpoint") + variables,
	} {
		inv := declaredBy(t, map[string]string{"main.tf": config + releaseBlock("a", "helm.eu") + releaseBlock("b", "helm.us")}, func(_ string, o *TerraformOptions) { o.Provider = "eu" })
		equal(t, name, agentIDs(inv), []string{"flux/a", "flux/b"})
	}
}

// A kubeconfig that a folder names beside itself is another than that of another
// folder, and so is one that nothing tells.
func TestAKubeconfigBesideTheConfigurationIsOfItsFolder(t *testing.T) {
	for file, same := range map[string]bool{`"kubeconfig"`: false, `"./kubeconfig"`: false, "var.file": false, `"/etc/kubeconfig"`: true, `"~/.kube/config"`: true} {
		one := "variable \"file\" {}\n" + providerOf("", "config_path = "+file+"\n config_context = \"default\"") + releaseBlock("shop", "")
		dir := written(t, map[string]string{"east/main.tf": one, "west/main.tf": one})
		east := filepath.Join(dir, "east")
		o := TerraformOptions{Root: dir, Dirs: []string{east, filepath.Join(dir, "west")}}
		inv, err := Terraform(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if same {
			equal(t, file, agentIDs(inv), []string{"flux/shop"})
			said(t, inv, "TERRAFORM_DECLARED_TWICE", "flux/shop")
			continue
		}
		equal(t, file, agentIDs(inv), []string{})
		said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", "context default")
		noFinding(t, inv, TerraformTwice)
		if file != `"kubeconfig"` {
			continue
		}
		o.Provider = filepath.Join(east, "kubeconfig") + "#default"
		if inv, err = Terraform(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		equal(t, "as somebody says", agentIDs(inv), []string{"flux/shop"})
		said(t, inv, "TERRAFORM_OTHER_CLUSTER", "flux/shop")
	}
}

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
