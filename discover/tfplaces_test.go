package discover

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// ofCloud writes a provider configuration whose server is read from the cloud's
// cluster of the name prod, by a configuration of the cloud's provider with some
// arguments.
func ofCloud(alias, provider, source, arguments, own string) string {
	return fmt.Sprintf("provider %q {\n alias = %q\n %s\n}\ndata %q %q {\n provider = %s.%s\n name = \"prod\"\n %s\n}\n", provider, alias, arguments, source, alias, provider, alias, own) +
		providerOf(alias, "host = data."+source+"."+alias+".endpoint")
}

// inEKS is ofCloud of a cluster of EKS, and inGKE of GKE, inAKS of AKS.
func inEKS(alias, arguments string) string {
	return ofCloud(alias, "aws", "aws_eks_cluster", arguments, "")
}

func inGKE(alias, arguments, own string) string {
	return ofCloud(alias, "google", "google_container_cluster", arguments, own)
}

func inAKS(alias, arguments, own string) string {
	return ofCloud(alias, "azurerm", "azurerm_kubernetes_cluster", arguments, own)
}

// byToken writes a provider configuration whose token is asked for a cluster of the
// name prod.
func byToken(alias, arguments string) string {
	return providerOf(alias, "exec {\n args = [\"eks\", \"get-token\", \"--cluster-name\", \"prod\""+arguments+"]\n }")
}

func assuming(role string) string {
	return "assume_role {\n role_arn = \"arn:aws:iam::" + role + "\"\n }\n"
}

const placeVariables = "variable \"x\" {}\nvariable \"y\" {}\n"

// Names of clusters are unique in a region of an account, and no further: two of
// one name are never taken for one where their places are known to be different, and
// --terraform-provider and the kubeconfig tell them apart.
func TestClustersOfOneNameInTwoPlacesAreTwo(t *testing.T) {
	const arn, gke = "arn:aws:eks:eu-west-1:1:cluster/prod", "gke_p_europe-west1-b_prod"
	for name, c := range map[string]struct {
		config, kubeconfig string
		found              bool // whether the kubeconfig's name tells that it is that of eu
	}{
		"regions of the provider":         {inEKS("eu", `region = "eu-west-1"`) + inEKS("us", `region = "us-east-1"`), arn, true},
		"regions of the program":          {byToken("eu", `, "--region", "eu-west-1"`) + byToken("us", `, "--region=us-east-1"`), arn, true},
		"regions of its variables":        {providerOf("eu", "exec {\n args = [\"-i\", \"prod\"]\n env = { AWS_REGION = \"eu-west-1\" }\n }") + providerOf("us", "exec {\n args = [\"-i\", \"prod\"]\n env = { AWS_DEFAULT_REGION = \"us-east-1\" }\n }"), arn, true},
		"regions of the name":             {providerOf("eu", "exec {\n args = [\"-i\", \""+arn+"\"]\n }") + byToken("us", `, "--region", "us-east-1"`), arn, true},
		"a region as eksctl has it":       {inEKS("eu", `region = "eu-west-1"`) + inEKS("us", `region = "us-east-1"`), "prod.eu-west-1.eksctl.io", true},
		"accounts":                        {inEKS("eu", `region = "eu-west-1"`+"\n"+assuming("1:role/ci")) + inEKS("us", `region = "eu-west-1"`+"\n"+assuming("2:role/ci")), arn, true},
		"the last of several roles":       {inEKS("eu", assuming("3:role/ci")+assuming("1:role/ci")) + inEKS("us", assuming("1:role/ci")+assuming("3:role/ci")), arn, true},
		"accounts that are allowed":       {inEKS("eu", `allowed_account_ids = ["1"]`) + inEKS("us", `allowed_account_ids = ["2"]`), arn, true},
		"accounts of the program's roles": {byToken("eu", `, "--role-arn", "arn:aws:iam::8:role/a"`) + byToken("us", `, "--role-arn", "arn:aws:iam::9:role/a"`), arn, false},
		"projects":                        {inGKE("eu", `project = "p"`, `location = "europe-west1-b"`) + inGKE("us", `project = "q"`, `location = "europe-west1-b"`), gke, true},
		"zones":                           {inGKE("eu", `project = "p"`, `zone = "europe-west1-b"`) + inGKE("us", `project = "p"`, `zone = "europe-west1-c"`), gke, true},
		"zones of the provider":           {inGKE("eu", "region = \"europe-west1\"\n zone = \"europe-west1-b\"", "") + inGKE("us", "region = \"europe-west1\"\n zone = \"europe-west1-c\"", ""), gke, true},
		"resource groups":                 {inAKS("eu", "", `resource_group_name = "a"`) + inAKS("us", "", `resource_group_name = "b"`), "prod", false},
		"subscriptions":                   {inAKS("eu", `subscription_id = "1"`, `resource_group_name = "a"`) + inAKS("us", `subscription_id = "2"`, `resource_group_name = "a"`), "prod", false},
		"clouds":                          {inEKS("eu", "") + inGKE("us", "", ""), arn, true},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"main.tf": c.config + releaseBlock("a", "helm.eu") + releaseBlock("b", "helm.us")}
			inv := declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Provider = "eu" })
			equal(t, "agents of eu", agentIDs(inv), []string{"flux/a"})
			said(t, inv, "TERRAFORM_OTHER_CLUSTER", "flux/b")
			equal(t, "its name", inv.Agents[0].Cluster.Name, "prod")

			inv = declaredBy(t, files, func(_ string, o *TerraformOptions) {
				o.LookedAt = &LookedAt{Server: "https://k.example.com", Name: c.kubeconfig}
			})
			if !c.found {
				equal(t, "agents of the kubeconfig's", agentIDs(inv), []string{})
				said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", "helm.eu", "helm.us")
			} else {
				equal(t, "agents of the kubeconfig's", agentIDs(inv), []string{"flux/a"})
				said(t, inv, "TERRAFORM_OTHER_CLUSTER", "flux/b")
			}

			inv = declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Provider = "prod" })
			equal(t, "agents of what both are called", agentIDs(inv), []string{})
			words := `several clusters are meant by "prod"`
			if name == "accounts of the program's roles" { // which may be of one
				words = `several clusters may be meant by "prod"`
			}
			said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", words)
		})
	}
	files := map[string]string{"main.tf": inEKS("eu", `region = "eu-west-1"`+"\n"+assuming("1:role/ci")) + inEKS("us", `region = "us-east-1"`) + releaseBlock("a", "helm.eu") + releaseBlock("b", "helm.us")}
	for word, want := range map[string]string{"1/eu-west-1/prod": "flux/a", "eu-west-1/prod": "flux/a", "us-east-1/prod": "flux/b"} {
		inv := declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Provider = word })
		equal(t, word, agentIDs(inv), []string{want})
	}
	inv := declaredBy(t, files, func(_ string, o *TerraformOptions) {
		o.LookedAt = &LookedAt{Server: "https://k", Name: "arn:aws:eks:ap-south-1:1:cluster/prod"}
	})
	equal(t, "agents of a third", agentIDs(inv), []string{})
	said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", "ap-south-1", "names others", "cluster 1/eu-west-1/prod", "cluster us-east-1/prod")
}

// What is not known of a place does not tell two clusters apart, nor do a role, a
// profile or another way to the same cluster.
func TestWhatIsNotKnownOfItsPlaceDoesNotSplitACluster(t *testing.T) {
	eu := `region = "eu-west-1"`
	for name, config := range map[string]string{
		"two roles of one account":           inEKS("eu", eu+"\n"+assuming("1:role/platform")) + inEKS("us", eu+"\n"+assuming("1:role/apps")),
		"a role and none":                    inEKS("eu", eu+"\n"+assuming("1:role/platform")) + inEKS("us", eu),
		"a role that is not known":           inEKS("eu", eu+"\n"+assuming("1:role/platform")) + inEKS("us", eu+"\nassume_role {\n role_arn = var.x\n }"),
		"profiles":                           inEKS("eu", eu+"\nprofile = \"a\"") + inEKS("us", eu+"\nprofile = \"b\""),
		"regions of two variables":           inEKS("eu", "region = var.x") + inEKS("us", "region = var.y"),
		"a region of a variable":             inEKS("eu", eu) + inEKS("us", "region = var.x"),
		"a region of the environment":        inEKS("eu", eu) + inEKS("us", ""),
		"a region of a part":                 inEKS("eu", eu) + inEKS("us", "region = \"${var.x}-1\""),
		"an account in one, a region in one": inEKS("eu", assuming("1:role/ci")) + inEKS("us", eu),
		"the program without a region":       inEKS("eu", eu) + byToken("us", ""),
		"the program with it":                inEKS("eu", eu) + byToken("us", `, "--region", "eu-west-1"`),
		"the program's role of elsewhere":    inEKS("eu", eu+"\n"+assuming("1:role/ci")) + byToken("us", `, "--role-arn", "arn:aws:iam::9:role/ci"`),
		"one data source, and two roles":     inEKS("eu", eu) + providerOf("us", "host = data.aws_eks_cluster.eu.endpoint\n exec {\n args = [\"-i\", \"prod\", \"-r\", \"arn:aws:iam::9:role/ci\"]\n env = { AWS_REGION = \"us-east-1\" }\n }"),
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"main.tf": placeVariables + config + releaseBlock("a", "helm.eu") + releaseBlock("b", "helm.us")}
			for way, o := range map[string]TerraformOptions{
				"nothing": {}, "the kubeconfig": {LookedAt: &LookedAt{Server: "https://k", Name: "arn:aws:eks:eu-west-1:1:cluster/prod"}}, "its name alone": {LookedAt: &LookedAt{Server: "https://k", Name: "prod"}}, "a person": {Provider: "prod"},
			} {
				inv := declaredBy(t, files, func(_ string, to *TerraformOptions) { to.LookedAt, to.Provider = o.LookedAt, o.Provider })
				equal(t, "told by "+way, agentIDs(inv), []string{"flux/a", "flux/b"})
			}
		})
	}
	// So in two folders, of which each has its region from outside.
	one := placeVariables + "provider \"aws\" {\n region = var.x\n}\ndata \"aws_eks_cluster\" \"x\" {\n name = \"prod\"\n}\n" + providerOf("", "host = data.aws_eks_cluster.x.endpoint")
	dir := written(t, map[string]string{"east/main.tf": one + releaseBlock("a", ""), "west/main.tf": one + releaseBlock("b", "")})
	for _, o := range []TerraformOptions{{}, {Provider: "default"}, {LookedAt: &LookedAt{Server: "https://k", Name: "arn:aws:eks:eu-west-1:1:cluster/prod"}}} {
		o.Root, o.Dirs = dir, []string{filepath.Join(dir, "east"), filepath.Join(dir, "west")}
		inv, err := Terraform(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "of two folders", agentIDs(inv), []string{"flux/a", "flux/b"})
	}
}

// Nor does it join two: what may be of one cluster as well as of another of the name
// is said, and left out.
func TestWhatMayBeOfTwoClustersOfOneNameIsOfNeither(t *testing.T) {
	eu, us, open := inEKS("eu", `region = "eu-west-1"`)+releaseBlock("a", "helm.eu"), inEKS("us", `region = "us-east-1"`)+releaseBlock("b", "helm.us"), placeVariables+inEKS("open", "region = var.x")+releaseBlock("c", "helm.open")
	arn := func(region string) *LookedAt {
		return &LookedAt{Server: "https://k", Name: "arn:aws:eks:" + region + ":1:cluster/prod"}
	}
	for name, c := range map[string]struct {
		config   string
		at       *LookedAt
		want     []string
		notSaid  bool
		anywhere string
	}{
		"two that are known":               {eu + us + open, arn("eu-west-1"), []string{"flux/a"}, true, ""},
		"two that are known, in reverse":   {open + us + eu, arn("us-east-1"), []string{"flux/b"}, true, ""},
		"none of them is the kubeconfig's": {eu + us + open, arn("ap-south-1"), []string{}, false, "it is not known which"},
		"one that is not the kubeconfig's": {us + open, arn("eu-west-1"), []string{}, false, "it is not known which"},
		"no kubeconfig":                    {eu + us + open, nil, []string{}, false, "it is not known which"},
		"the name alone":                   {eu + us + open, &LookedAt{Server: "https://k", Name: "prod"}, []string{}, false, "it is not known which"},
	} {
		inv := declaredBy(t, map[string]string{"main.tf": c.config}, func(_ string, o *TerraformOptions) { o.LookedAt = c.at })
		equal(t, name, agentIDs(inv), c.want)
		if c.notSaid {
			said(t, inv, "TERRAFORM_CLUSTER_NOT_SAID", "flux/c", "several clusters of that name")
		}
		if c.anywhere != "" {
			said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", c.anywhere)
		}
	}
}

// A data source or resource that is no cluster may tell the servers of several: it
// joins none, and neither its name nor its place is a cluster's.
func TestWhatTellsServersOfSeveralClustersIsNoCluster(t *testing.T) {
	program := func(cluster string) string {
		return "\n exec {\n args = [\"eks\", \"get-token\", \"--cluster-name\", \"" + cluster + "\", \"--region\", \"eu-west-1\"]\n }"
	}
	for name, c := range map[string]struct{ source, eu, us string }{
		"a program":           {"data \"external\" \"x\" {\n program = [\"clusters\"]\n}\n", `data.external.x.result["eu"]`, `data.external.x.result["us"]`},
		"a secret":            {"data \"aws_secretsmanager_secret_version\" \"x\" {\n secret_id = \"x\"\n}\n", "jsondecode(data.aws_secretsmanager_secret_version.x.secret_string).eu", "jsondecode(data.aws_secretsmanager_secret_version.x.secret_string).us"},
		"a resource":          {"resource \"consul_keys\" \"x\" {\n name = \"both\"\n}\n", "consul_keys.x.var.eu", "consul_keys.x.var.us"},
		"clusters":            {"data \"aws_eks_clusters\" \"x\" {\n}\n", "data.aws_eks_clusters.x.names[0]", "data.aws_eks_clusters.x.names[1]"},
		"clusters of a list":  {"variable \"all\" {}\ndata \"aws_eks_cluster\" \"x\" {\n for_each = toset(var.all)\n name = each.key\n}\n", `data.aws_eks_cluster.x["eu"].endpoint`, `data.aws_eks_cluster.x["us"].endpoint`},
		"parameters, by name": {"data \"aws_ssm_parameter\" \"x\" {\n name = \"/platform\"\n}\n", "jsondecode(data.aws_ssm_parameter.x.value).eu", "jsondecode(data.aws_ssm_parameter.x.value).us"},
	} {
		files := map[string]string{"main.tf": c.source + providerOf("eu", "host = "+c.eu+program("prod-eu")) + providerOf("us", "host = "+c.us+program("prod-us")) + releaseBlock("a", "helm.eu") + releaseBlock("b", "helm.us")}
		inv := declaredBy(t, files, func(_ string, o *TerraformOptions) {
			o.LookedAt = &LookedAt{Server: "https://k", Name: "arn:aws:eks:eu-west-1:1:cluster/prod-eu"}
		})
		equal(t, name, agentIDs(inv), []string{"flux/a"})
		said(t, inv, "TERRAFORM_OTHER_CLUSTER", "flux/b", "prod-us")
		equal(t, "its name", inv.Agents[0].Cluster.Name, "prod-eu")
		inv = declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Provider = "eu-west-1/prod-us" })
		equal(t, name+", by its place", agentIDs(inv), []string{"flux/b"})
	}
	// What the data source of a cluster leaves open of its place, the program tells.
	inv := declaredBy(t, map[string]string{"main.tf": "data \"aws_eks_cluster\" \"x\" {\n name = \"prod\"\n}\n" + providerOf("eu", "host = data.aws_eks_cluster.x.endpoint"+program("prod")) + byToken("us", `, "--region", "us-east-1"`) + releaseBlock("a", "helm.eu") + releaseBlock("b", "helm.us")},
		func(_ string, o *TerraformOptions) { o.Provider = "eu-west-1/prod" })
	equal(t, "the program's region", agentIDs(inv), []string{"flux/a"})
}

// A word that is the alias of one cluster and the name of another means neither, nor
// does an alias that two root modules have for different ones.
func TestAWordThatMeansTwoClustersMeansNeither(t *testing.T) {
	east := providerOf("prod", "exec {\n args = [\"-i\", \"main\"]\n }") + releaseBlock("a", "helm.prod")
	for name, c := range map[string]struct {
		other string
		want  []string
	}{
		"another name":      {providerOf("x", "exec {\n args = [\"-i\", \"prod\"]\n }"), nil},
		"the same name":     {providerOf("x", "exec {\n args = [\"-i\", \"main\"]\n }"), []string{"flux/a", "flux/b"}},
		"nothing":           {providerOf("x", ""), []string{"flux/a"}},
		"a server and name": {providerOf("x", "host = \"https://k\"\n exec {\n args = [\"-i\", \"prod\"]\n }"), nil},
	} {
		inv := declaredBy(t, map[string]string{"main.tf": east + c.other + releaseBlock("b", "helm.x")}, func(_ string, o *TerraformOptions) { o.Provider = "prod" })
		equal(t, name, agentIDs(inv), c.want)
		if c.want == nil {
			said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", `several clusters are meant by "prod"`)
		}
	}
	one := func(host, name string) string {
		return providerOf("prod", "host = \""+host+"\"") + releaseBlock(name, "helm.prod")
	}
	dir := written(t, map[string]string{"east/main.tf": one("https://east", "a"), "west/main.tf": one("https://west", "b")})
	for word, want := range map[string][]string{"prod": {}, "https://west": {"flux/b"}} {
		inv, err := Terraform(t.Context(), TerraformOptions{Root: dir, Dirs: []string{filepath.Join(dir, "east"), filepath.Join(dir, "west")}, Provider: word})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, word, agentIDs(inv), want)
	}
}

// A server that is known to be another is another, whatever its name, and what
// bears this one's name beside it is not said to be of it.
func TestANameDoesNotOutweighAServer(t *testing.T) {
	at := func(name string) func(string, *TerraformOptions) {
		return func(_ string, o *TerraformOptions) {
			o.LookedAt = &LookedAt{Server: "https://k.example.com", Name: name}
		}
	}
	one := func(alias, host string) string {
		return providerOf(alias, "host = \""+host+"\"\n exec {\n args = [\"-i\", \"prod\"]\n }") + releaseBlock(alias, "helm."+alias)
	}
	inv := declaredBy(t, map[string]string{"main.tf": one("a", "https://k.example.com") + one("b", "https://other.example.com") + byToken("c", "") + releaseBlock("c", "helm.c")}, at("prod"))
	equal(t, "agents", agentIDs(inv), []string{"flux/a"})
	said(t, inv, "TERRAFORM_OTHER_CLUSTER", "flux/b")
	said(t, inv, "TERRAFORM_CLUSTER_NOT_SAID", "flux/c")
	// The server tells its place, too.
	inv = declaredBy(t, map[string]string{"main.tf": strings.Replace(one("a", "https://k.example.com"), `"prod"]`, `"prod", "--region", "eu-west-1"]`, 1) + byToken("c", `, "--region", "us-east-1"`) + releaseBlock("c", "helm.c")}, at("prod"))
	equal(t, "agents", agentIDs(inv), []string{"flux/a"})
	said(t, inv, "TERRAFORM_OTHER_CLUSTER", "flux/c")
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
