package discover

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// releaseBlock writes an agent that is declared through a provider configuration.
func releaseBlock(name, provider string) string {
	if provider != "" {
		provider = "provider = " + provider
	}
	return fmt.Sprintf("resource \"helm_release\" %q {\n name = %q\n namespace = \"flux\"\n chart = \"flux\"\n version = \"1.13.3\"\n %s\n values = [\"git: {url: \\\"git@h:a\\\"}\"]\n}\n", name, name, provider)
}

// providerOf writes a provider configuration with the arguments of its block
// kubernetes.
func providerOf(alias, arguments string) string {
	if alias != "" {
		alias = fmt.Sprintf("alias = %q", alias)
	}
	return fmt.Sprintf("provider \"helm\" {\n %s\n kubernetes {\n %s\n }\n}\n", alias, arguments)
}

func TestProviderConfigurationsThatLeadToOneClusterAreOne(t *testing.T) {
	for name, text := range map[string]string{
		"by server":  providerOf("", `host = "https://east.example.com:443/"`) + providerOf("other", `host = "https://EAST.example.com"`),
		"by context": providerOf("", `config_context = "east"`) + providerOf("other", `config_context = "east"`),
		"by cluster": providerOf("", "exec {\n args = [\"eks\", \"get-token\", \"--cluster-name\", \"east\"]\n }") +
			providerOf("other", "exec {\n args = [\"token\", \"-i\", \"east\"]\n }"),
		"by what the server is read from": "data \"aws_eks_cluster\" \"x\" {\n name = \"east\"\n}\n" + providerOf("", `host = data.aws_eks_cluster.x.endpoint`) +
			providerOf("other", "exec {\n args = [\"token\", \"-i\", \"east\"]\n }"),
	} {
		inv := declaredBy(t, map[string]string{"main.tf": text + releaseBlock("a", "") + releaseBlock("b", "helm.other")})
		equal(t, name, agentIDs(inv), []string{"flux/a", "flux/b"})
	}
}

func TestOneProviderOfEachKindLeadsToOneClusterUnlessTheyDiffer(t *testing.T) {
	deployment := deploymentBlock("b")
	inv := declaredBy(t, map[string]string{"main.tf": providerOf("", `host = "https://east.example.com"`) + releaseBlock("a", "") + deployment})
	equal(t, "agents", agentIDs(inv), []string{"flux/a", "flux/b"})
	inv = declaredBy(t, map[string]string{"main.tf": providerOf("", `host = "https://east.example.com"`) + "provider \"kubernetes\" {\n host = \"https://west.example.com\"\n}\n" + releaseBlock("a", "") + deployment})
	equal(t, "agents", agentIDs(inv), []string{})
	said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", "https://east.example.com", "https://west.example.com")
}

// The cluster that the kubeconfig names is found among those declared; agents
// of others are listed, and never taken for its own.
func TestTheClusterLookedAtIsFoundAmongThoseDeclared(t *testing.T) {
	files := map[string]string{"main.tf": providerOf("", `host = "https://east.example.com"`) + providerOf("west", `config_context = "west"`) + providerOf("north", "exec {\n args = [\"--cluster-name\", \"north\"]\n }") +
		releaseBlock("east", "") + releaseBlock("west", "helm.west") + releaseBlock("north", "helm.north")}
	for _, c := range []struct {
		at   LookedAt
		want []string
	}{
		{LookedAt{Server: "https://east.example.com:443"}, []string{"flux/east"}},
		{LookedAt{Server: "https://w", Contexts: map[string]string{"west": "https://w/"}}, []string{"flux/west"}},
		{LookedAt{Server: "https://n", Name: "arn:aws:eks:eu-west-1:1:cluster/north"}, []string{"flux/north"}},
		{LookedAt{Server: "https://elsewhere", Contexts: map[string]string{"west": "https://w"}}, []string{}},
	} {
		inv := declaredBy(t, files, func(_ string, o *TerraformOptions) { o.LookedAt = &c.at })
		equal(t, c.at.Server, agentIDs(inv), c.want)
		others := 0
		for _, f := range inv.Findings {
			if f.Code == "TERRAFORM_OTHER_CLUSTER" {
				others++
			}
		}
		equal(t, c.at.Server+", others", others, 3-len(c.want))
		if len(c.want) == 0 {
			said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", "helm.north")
		}
	}
	inv := declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Provider = "north" })
	equal(t, "by name", agentIDs(inv), []string{"flux/north"})
	equal(t, "cluster", *inv.Agents[0].Cluster, migrate.AgentCluster{Name: "north", From: "terraform"})
	inv = declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Provider = "south" })
	equal(t, "by a name that is none", agentIDs(inv), []string{})
	said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", `"south"`)
}

// A tree that names another server than the kubeconfig is not of this cluster.
func TestAgentsOfTheOnlyClusterAreLeftOutWhereTheKubeconfigNamesAnother(t *testing.T) {
	files := map[string]string{"main.tf": providerOf("", `host = "https://east.example.com"`) + releaseBlock("east", "")}
	inv := declaredBy(t, files, func(_ string, o *TerraformOptions) { o.LookedAt = &LookedAt{Server: "https://west.example.com"} })
	equal(t, "agents", agentIDs(inv), []string{})
	said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", "https://west.example.com", "https://east.example.com")
	inv = declaredBy(t, files, func(_ string, o *TerraformOptions) {
		o.LookedAt, o.Provider = &LookedAt{Server: "https://west.example.com"}, "default"
	})
	equal(t, "agents, as somebody says", agentIDs(inv), []string{"flux/east"})
}

// Two root modules of two clusters declare the same agent: neither is the
// other, and it is not declared twice.
func TestRootModulesOfSeveralClustersAreToldApart(t *testing.T) {
	dir := written(t, map[string]string{
		"east/main.tf": providerOf("", `host = "https://east.example.com"`) + releaseBlock("shop", ""),
		"west/main.tf": providerOf("", `host = "https://west.example.com"`) + releaseBlock("shop", ""),
	})
	o := TerraformOptions{Dirs: []string{filepath.Join(dir, "east"), filepath.Join(dir, "west")}, Root: dir}
	inv, err := Terraform(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "agents", agentIDs(inv), []string{})
	said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", "east.example.com", "west.example.com")
	o.LookedAt = &LookedAt{Server: "https://west.example.com"}
	if inv, err = Terraform(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	equal(t, "agents", agentIDs(inv), []string{"flux/shop"})
	equal(t, "folder", filepath.Base(inv.Agents[0].Terraform.Dir), "west")
	said(t, inv, "TERRAFORM_OTHER_CLUSTER", "flux/shop", "east.example.com")
	for _, f := range inv.Findings {
		if f.Code == "TERRAFORM_DECLARED_TWICE" {
			t.Errorf("it is of two clusters: %v", f)
		}
	}
}

// deploymentBlock writes an agent that is declared without Helm.
func deploymentBlock(name string) string {
	return fmt.Sprintf("resource \"kubernetes_deployment\" %q {\n metadata {\n name = %q\n namespace = \"flux\"\n }\n spec {\n template {\n spec {\n container {\n name = \"flux\"\n image = \"fluxcd/flux:1.25.4\"\n args = [\"--git-url=git@h:b\"]\n }\n }\n }\n }\n}\n", name, name)
}

// A provider configuration that says nothing is that of its namesake beside it.
// Where there are several of the name in other root modules, it is not guessed
// which of them it is.
func TestTheClusterOfAProviderConfigurationThatSaysNothingIsNotGuessed(t *testing.T) {
	dir := written(t, map[string]string{
		"east/main.tf":  providerOf("", `host = "https://east.example.com"`) + releaseBlock("east", ""),
		"west/main.tf":  providerOf("", `host = "https://west.example.com"`) + releaseBlock("west", "") + deploymentBlock("west-too"),
		"where/main.tf": releaseBlock("where", ""),
	})
	o := TerraformOptions{Root: dir, Dirs: []string{filepath.Join(dir, "east"), filepath.Join(dir, "west"), filepath.Join(dir, "where")}}
	for server, want := range map[string][]string{"east": {"flux/east"}, "west": {"flux/west", "flux/west-too"}} {
		o.LookedAt = &LookedAt{Server: "https://" + server + ".example.com"}
		inv, err := Terraform(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "agents of "+server, agentIDs(inv), want)
		said(t, inv, "TERRAFORM_CLUSTER_NOT_SAID", "flux/where (helm_release.where)", "does not say its cluster")
		others := 0
		for _, f := range inv.Findings {
			if f.Code == TerraformOtherCluster.Name {
				others++
			}
		}
		equal(t, "others", others, 3-len(want))
	}
	// Of one other, it is that.
	o.Dirs, o.LookedAt = o.Dirs[1:], &LookedAt{Server: "https://west.example.com"}
	inv, err := Terraform(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "agents", agentIDs(inv), []string{"flux/west", "flux/west-too", "flux/where"})
}

// throughEnd is an agent that is declared through a provider configuration which
// says a server, a name, perhaps after a project, and a context, each unless it is "".
func throughEnd(dir, alias string, says ...string) *declared {
	d := &declared{cluster: terraform.Cluster{Provider: terraform.ProviderRef{Name: "helm", Alias: alias}}}
	d.Terraform = &migrate.TerraformPlace{Dir: dir}
	for i, to := range []**terraform.Node{&d.cluster.Server, &d.cluster.Name, &d.cluster.Context} {
		if i < len(says) && says[i] != "" {
			*to = &terraform.Node{Kind: terraform.Scalar, Scalar: says[i]}
		}
	}
	if name, _ := d.cluster.Name.Str(); strings.Contains(name, "/") { // after a project
		d.cluster.Place = terraform.Place{}
		d.cluster.Place["project"], d.cluster.Name.Scalar, _ = strings.Cut(name, "/")
	}
	return d
}

// groupWords are the aliases of each group, sorted.
func groupWords(gs []clusterGroup) []string {
	var out []string
	for _, g := range gs {
		var words []string
		for _, e := range g {
			words = append(words, e.cluster.Provider.Alias)
		}
		slices.Sort(words)
		out = append(out, strings.Join(words, " "))
	}
	slices.Sort(out)
	return out
}

func TestWhatProviderConfigurationsShareJoinsThemUnlessItCannotTell(t *testing.T) {
	for name, c := range map[string]struct {
		ends []*declared
		want []string
	}{
		"by a server":                           {[]*declared{throughEnd("", "a", "https://s"), throughEnd("", "b", "S:443/"), throughEnd("", "c", "https://t")}, []string{"a b", "c"}},
		"by a name, of which one has its place": {[]*declared{throughEnd("", "a", "", "project/n"), throughEnd("", "b", "", "n"), throughEnd("", "c", "", "m")}, []string{"a b", "c"}},
		"by a name in several places":           {[]*declared{throughEnd("", "a", "", "p/n"), throughEnd("", "b", "", "n"), throughEnd("", "c", "", "q/n")}, []string{"a", "b", "c"}},
		"by a name of several servers":          {[]*declared{throughEnd("", "a", "s", "n"), throughEnd("", "b", "t", "n"), throughEnd("", "c", "", "n"), throughEnd("", "d", "", "n")}, []string{"a", "b", "c d"}},
		"by a name of one server":               {[]*declared{throughEnd("", "a", "s", "n"), throughEnd("", "b", "s", "m"), throughEnd("", "c", "", "n"), throughEnd("", "d", "", "m")}, []string{"a b c d"}},
		"by a context":                          {[]*declared{throughEnd("", "a", "s", "", "c"), throughEnd("", "b", "", "n", "c"), throughEnd("", "c", "", "", "c")}, []string{"a b c"}},
		"by a context of several servers":       {[]*declared{throughEnd("", "a", "s", "", "c"), throughEnd("", "b", "t", "", "c"), throughEnd("", "c", "", "", "c")}, []string{"a", "b", "c"}},
		"by their name, of several folders":     {[]*declared{throughEnd("1", "a"), throughEnd("2", "a"), throughEnd("1", "b")}, []string{"a a", "b"}},
		"by their name, of several servers":     {[]*declared{throughEnd("1", "a", "s"), throughEnd("2", "a", "t"), throughEnd("3", "a")}, []string{"a", "a", "a"}},
		"by their name, of different things":    {[]*declared{throughEnd("1", "a", "s"), throughEnd("2", "a", "", "n"), throughEnd("3", "a")}, []string{"a a a"}},
	} {
		for range 2 {
			equal(t, name, groupWords(clusterGroups(c.ends, nil)), c.want)
			slices.Reverse(c.ends)
		}
	}
}

// Whatever provider configurations say, those of different servers are never
// taken for one cluster, nor are those of one name in two places of one server or none, and in whatever order they come, the groups are the same.
func TestProviderConfigurationsOfDifferentServersAreNeverOne(t *testing.T) {
	pick := rand.New(rand.NewPCG(3, 14))
	one := func(of ...string) string { return of[pick.IntN(len(of))] }
	joined := 0
	for range 3000 {
		var ends []*declared
		for i := range 2 + pick.IntN(8) {
			ends = append(ends, throughEnd(fmt.Sprint(i), one("a", "b", "c"), one("", "", "s", "t"), one("", "n", "p/n", "q/n", "m"), one("", "", "c", "d")))
		}
		gs := clusterGroups(ends, nil)
		for _, g := range gs {
			server, apart, byServer := "", false, false
			for i, e := range g {
				for _, o := range g[:i] {
					a, b := e.cluster, o.cluster
					if a.Says()[saysName] == b.Says()[saysName] && a.Place.Contradicts(b.Place) {
						apart, byServer = true, byServer || a.ServerURL() != "" && b.ServerURL() != ""
					}
				}
				if s := e.cluster.ServerURL(); s != "" && server != "" && s != server {
					t.Fatalf("%s and %s are one cluster: %v", s, server, g)
				} else if s != "" {
					server = s
				}
			}
			if apart && !byServer {
				t.Fatalf("two places are one, and not by their server: %v", g)
			}
			joined += len(g) - 1
		}
		want := fmt.Sprint(gs)
		pick.Shuffle(len(ends), func(i, j int) { ends[i], ends[j] = ends[j], ends[i] })
		if got := fmt.Sprint(clusterGroups(ends, nil)); got != want {
			t.Fatalf("in another order, %s is %s", want, got)
		}
	}
	if joined < 3000 {
		t.Errorf("only %d were joined", joined)
	}
}

// manyEnds are provider configurations of as many root modules, of which every
// third says nothing, and the others all say different servers or names.
func manyEnds(n int) []*declared {
	var out []*declared
	for i := range n {
		says := [][]string{nil, {fmt.Sprintf("https://s%d", i)}, {"", fmt.Sprintf("p/n%d", i)}}[i%3]
		out = append(out, throughEnd(fmt.Sprint(i), fmt.Sprint("a", i%7), says...))
	}
	return out
}

// Provider configurations by the thousand are told apart in the time that their
// number takes.
func TestManyProviderConfigurationsAreToldApartInTime(t *testing.T) {
	silent := make([]*declared, 20_000)
	for i := range silent {
		silent[i] = throughEnd(fmt.Sprint(i), "")
	}
	for name, all := range map[string][]*declared{"silent": silent, "mixed": manyEnds(20_000)} {
		begun := time.Now()
		var said []migrate.Finding
		ofThisCluster(all, TerraformOptions{LookedAt: &LookedAt{Server: "https://s1"}}, func(f ...migrate.Finding) { said = append(said, f...) })
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		for _, f := range said {
			if len(f.Message) > 3*maxListed {
				t.Fatalf("a finding has %d bytes", len(f.Message))
			}
		}
	}
}

func BenchmarkClusterGroups(b *testing.B) {
	for _, n := range []int{40, 160, 640, 2560} {
		all := manyEnds(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				clusterGroups(all, nil)
			}
		})
	}
}

// Deployments of fluxd that a state holds and no configuration declares are
// named as Helm releases are, and matched to what runs.
func TestDeploymentsThatAStateAloneHoldsAreNamed(t *testing.T) {
	state, err := os.ReadFile("terraform/testdata/states/fluxd.tfstate")
	if err != nil {
		t.Fatal(err)
	}
	inv := declaredBy(t, map[string]string{"main.tf": releaseBlock("shop", ""), "terraform.tfstate": string(state)})
	var ids []string
	for _, s := range inv.StateOnly {
		ids = append(ids, s.ID)
	}
	equal(t, "of the state alone", ids, []string{
		"flux/flux-closed", "flux/by-kubectl", "flux/by-kubectl-plain", "flux/by-deployment", "flux/flux-hidden", "flux/by-deployment-v1", "flux/by-manifest",
	})
	said(t, inv, "TERRAFORM_STATE_ONLY", "kubernetes_deployment_v1.new", "Deployment flux/by-deployment-v1")
	said(t, inv, "TERRAFORM_STATE_ONLY", "kubernetes_manifest.typed")
	said(t, inv, "TERRAFORM_STATE_ONLY", "kubectl_manifest.closed", "hides what it runs")
	text, err := json.Marshal(inv)
	if err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("a secret of the state is shown (%v): %s", err, text)
	}
	merged := Merge(migrate.Inventory{Cluster: migrate.Cluster{From: "cluster"}, Agents: []migrate.Flux1Agent{{ID: "flux/by-manifest", Namespace: "flux", Workload: "by-manifest"}}}, inv)
	said(t, merged, "LIVE_STATE_ONLY", "flux/by-manifest", "kubernetes_manifest.typed")
}

func TestWorkspacesThatABackendAloneKnowsAreSaid(t *testing.T) {
	uses := releaseBlock("shop", "") + "\nlocals { w = terraform.workspace }\noutput \"w\" { value = local.w }\n"
	for name, c := range map[string]struct {
		text, workspace string
		want            bool
	}{
		"a bucket, and a name that depends on it":    {"terraform {\n backend \"s3\" {\n bucket = \"states\"\n key = \"flux\"\n }\n}\n" + uses, "", true},
		"a bucket, and a workspace that is named":    {"terraform {\n backend \"s3\" {\n bucket = \"states\"\n }\n}\n" + releaseBlock("shop", ""), "prod", true},
		"a bucket, and nothing speaks of several":    {"terraform {\n backend \"s3\" {\n bucket = \"states\"\n }\n}\n" + releaseBlock("shop", ""), "", false},
		"workspaces of one prefix":                   {"terraform {\n backend \"remote\" {\n organization = \"o\"\n workspaces {\n prefix = \"flux-\"\n }\n }\n}\n" + releaseBlock("shop", ""), "", true},
		"workspaces of tags":                         {"terraform {\n cloud {\n organization = \"o\"\n workspaces {\n tags = [\"flux\"]\n }\n }\n}\n" + releaseBlock("shop", ""), "", true},
		"workspaces of tags with values":             {"terraform {\n cloud {\n organization = \"o\"\n workspaces {\n tags = { of = \"flux\" }\n }\n }\n}\n" + releaseBlock("shop", ""), "", true},
		"the one workspace of a block cloud":         {"terraform {\n cloud {\n organization = \"o\"\n workspaces {\n name = \"flux\"\n }\n }\n}\n" + uses, "", false},
		"one workspace by name":                      {"terraform {\n backend \"remote\" {\n organization = \"o\"\n workspaces {\n name = \"flux\"\n }\n }\n}\n" + uses, "", false},
		"a local backend, whose folders can be read": {uses, "prod", false},
		"nothing of Flux":                            {"terraform {\n backend \"s3\" {\n bucket = \"states\"\n }\n}\noutput \"w\" { value = terraform.workspace }\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": c.text}, func(_ string, o *TerraformOptions) { o.Workspace = c.workspace })
			i := slices.IndexFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == TerraformWorkspacesElsewhere.Name })
			if c.want != (i >= 0) {
				t.Errorf("said: %v, want %v: %v", i >= 0, c.want, inv.Findings)
			}
			if i >= 0 && (!strings.Contains(inv.Findings[i].Message, "backend") || !strings.Contains(inv.Findings[i].Hint, "terraform workspace list")) {
				t.Errorf("it is %+v", inv.Findings[i])
			}
		})
	}
}

// terraform.workspace is what it is where the configuration is applied: the
// workspace that a block cloud names, one that has another name on one's own
// machine than where HCP Terraform runs, or one of those that the configuration
// speaks of.
func TestTheWorkspaceOfHCPTerraformIsNotGuessed(t *testing.T) {
	release := "locals { branches = { dev = \"develop\", prod = \"main\" } }\n" + strings.Replace(strings.ReplaceAll(releaseBlock("flux-${terraform.workspace}", ""), `"helm_release" "flux-${terraform.workspace}"`, `"helm_release" "flux"`),
		"git@h:a", "git@h:${lookup(local.branches, terraform.workspace, \"none\")}", 1)
	backend := func(text string) map[string]string {
		return map[string]string{"main.tf": "terraform {\n" + text + "\n}\n" + release}
	}
	at := func(workspace string) func(string, *TerraformOptions) {
		return func(_ string, o *TerraformOptions) { o.Workspace = workspace }
	}
	codes := func(inv migrate.Inventory) []string {
		var out []string
		for _, f := range inv.Findings {
			if strings.HasPrefix(f.Code, "TERRAFORM_WORKSPACE") {
				out = append(out, f.Code)
			}
		}
		return out
	}

	inv := declaredBy(t, backend("cloud {\n workspaces {\n name = \"prod\"\n }\n }"))
	equal(t, "of the block cloud", []any{agentIDs(inv), inv.Agents[0].Git.URL, codes(inv)}, []any{[]string{"flux/flux-prod"}, "git@h:main", []string{}})

	prefix := backend("backend \"remote\" {\n organization = \"o\"\n workspaces {\n prefix = \"shop-\"\n }\n }")
	inv = declaredBy(t, prefix, at("prod"))
	equal(t, "as here", agentIDs(inv), []string{"flux/flux-prod"})
	said(t, inv, "TERRAFORM_WORKSPACE_REMOTE", `read as "prod"`, `it is "shop-prod"`)
	said(t, inv, "TERRAFORM_WORKSPACES_ELSEWHERE", "workspace_prefix=shop-", "speaks of dev, prod")
	inv = declaredBy(t, prefix, at("shop-prod"))
	equal(t, "as HCP Terraform runs it", []any{agentIDs(inv), codes(inv)}, []any{[]string{"flux/flux-shop-prod"}, []string{"TERRAFORM_WORKSPACES_ELSEWHERE"}})

	one := backend("backend \"remote\" {\n organization = \"o\"\n workspaces {\n name = \"shop\"\n }\n }")
	inv = declaredBy(t, one)
	said(t, inv, "TERRAFORM_WORKSPACE_UNKNOWN", `"default" where terraform runs on one's own machine`, `"shop" where HCP Terraform runs it`, "speaks of dev, prod")
	if len(inv.Agents) != 1 || inv.Agents[0].Release != "" {
		t.Errorf("the name is guessed: %v", agentIDs(inv))
	}

	tags := backend("cloud {\n organization = \"o\"\n token = \"" + markedSecret + "\"\n workspaces {\n tags = [\"flux\", \"eu\"]\n }\n }")
	f := said(t, declaredBy(t, tags), "TERRAFORM_WORKSPACES_ELSEWHERE", "organization=o", "workspace_tags=eu+flux", "speaks of dev, prod")
	if tells(f.Message) {
		t.Error("the token is shown")
	}
	// What init was told beside the block counts as well.
	told := backend("backend \"remote\" {\n }")
	told[".terraform/terraform.tfstate"] = `{"version":3,"backend":{"type":"remote","config":{"organization":"o","token":"` + markedSecret + `","workspaces":[{"name":null,"prefix":"shop-"}]}}}`
	said(t, declaredBy(t, told, at("prod")), "TERRAFORM_WORKSPACE_REMOTE", `it is "shop-prod"`)
}

func stateText(instances ...string) string {
	return `{"version":4,"terraform_version":"1.5.0","serial":1,"lineage":"x","resources":[` + strings.Join(instances, ",") + `]}`
}

func stateInstance(resource, name, more string) string {
	return fmt.Sprintf(`{"mode":"managed","type":"helm_release","name":%q,"provider":"provider[\"registry.terraform.io/hashicorp/helm\"]","instances":[{%s"attributes":{
"id":%q,"name":%q,"namespace":"flux","chart":"flux","version":"1.13.3","metadata":[{"name":%q,"namespace":"flux","chart":"flux","version":"1.13.3","revision":1,"values":"{\"git\":{\"url\":\"git@h:a\"}}"}]}}]}`, resource, more, name, name, name)
}

// The state of a local backend is read from the folder, as terraform does; what
// it says of each agent is said.
func TestTheStateOfALocalBackendIsFoundInTheFolder(t *testing.T) {
	inv := declaredBy(t, map[string]string{
		"main.tf":           releaseBlock("shop", "") + releaseBlock("bank", "") + releaseBlock("post", ""),
		"terraform.tfstate": stateText(stateInstance("shop", "shop", ""), stateInstance("post", "post", `"status":"tainted",`), stateInstance("gone", "gone", "")),
	})
	equal(t, "agents", agentIDs(inv), []string{"flux/bank", "flux/post", "flux/shop"})
	equal(t, "in the state", []bool{inv.Agents[0].Terraform.State, inv.Agents[1].Terraform.State, inv.Agents[2].Terraform.State}, []bool{false, true, true})
	said(t, inv, "TERRAFORM_NOT_IN_STATE", "flux/bank", "helm_release.bank", "terraform.tfstate")
	said(t, inv, "TERRAFORM_TAINTED", "helm_release.post")
	said(t, inv, "TERRAFORM_STATE_ONLY", "helm_release.gone", "flux/gone")
	equal(t, "of the state alone", inv.StateOnly[0].ID, "flux/gone")

	// Live, each instance is matched to its release.
	live := migrate.Inventory{Cluster: migrate.Cluster{From: "cluster"}, Agents: []migrate.Flux1Agent{
		{ID: "flux/shop", Namespace: "flux", Release: "shop"}, {ID: "flux/gone", Namespace: "flux", Release: "gone"}, {ID: "flux/other", Namespace: "flux", Release: "other"},
	}}
	merged := Merge(live, inv)
	said(t, merged, "LIVE_STATE_ONLY", "flux/gone", "helm_release.gone")
	said(t, merged, "LIVE_NOT_DECLARED", "flux/other")
	said(t, merged, "DECLARED_NOT_LIVE", "flux/post", "in the state as helm_release.post")
	equal(t, "place of what the state alone holds", merged.Agents[1].Terraform.Address, "helm_release.gone")
}

func TestAStateOfAnotherBackendIsNamedWithItsPlace(t *testing.T) {
	inv := declaredBy(t, map[string]string{
		"main.tf":                      "terraform {\n backend \"s3\" {\n bucket = \"states\"\n access_key = \"" + markedSecret + "\"\n }\n}\n" + releaseBlock("shop", ""),
		"terraform.tfstate":            stateText(stateInstance("gone", "gone", "")),
		".terraform/terraform.tfstate": `{"version":3,"backend":{"type":"s3","config":{"bucket":"states","key":"prod/flux","secret_key":"` + markedSecret + `"}}}`,
	})
	f := said(t, inv, "TERRAFORM_STATE_ELSEWHERE", "bucket=states", "key=prod/flux")
	if tells(f.Message) {
		t.Error("a credential of the backend is shown")
	}
	equal(t, "of the state alone", len(inv.StateOnly), 0) // a file left from before is not the state
}

func TestAgentsOfOtherWorkspacesAreNamedAndLeftOut(t *testing.T) {
	files := map[string]string{
		"main.tf": strings.ReplaceAll(releaseBlock("flux-${terraform.workspace}", ""), `"helm_release" "flux-${terraform.workspace}"`, `"helm_release" "flux"`),
		"terraform.tfstate.d/prod/terraform.tfstate": stateText(stateInstance("flux", "flux-prod", "")),
		"terraform.tfstate.d/dev/terraform.tfstate":  stateText(stateInstance("flux", "flux-dev", ""), stateInstance("old", "old", "")),
	}
	inv := declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Workspace = "prod" })
	equal(t, "agents", agentIDs(inv), []string{"flux/flux-prod"})
	equal(t, "in the state", inv.Agents[0].Terraform.State, true)
	said(t, inv, "TERRAFORM_OTHER_WORKSPACE", "flux/flux-dev", "workspace dev")
	said(t, inv, "TERRAFORM_OTHER_WORKSPACE", "flux/old", "workspace dev")

	inv = declaredBy(t, files)
	said(t, inv, "TERRAFORM_WORKSPACE_UNKNOWN", "dev, prod")
}

// All workspaces share what reading them may take: those beyond it are named.
func TestHostileWorkspacesEndInAFinding(t *testing.T) {
	defer func(n int64) { workOfWorkspaces = n }(workOfWorkspaces)
	files := map[string]string{"main.tf": "output \"o\" {\n value = [for i in range(1000) : \"${terraform.workspace}${i}\"]\n}\n" +
		strings.ReplaceAll(releaseBlock("flux-${terraform.workspace}", ""), `"helm_release" "flux-${terraform.workspace}"`, `"helm_release" "flux"`)}
	for i := range 6 {
		files[fmt.Sprintf("terraform.tfstate.d/w%d/terraform.tfstate", i)] = stateText()
	}
	for limit, want := range map[int64]string{workOfWorkspaces: "", 10_000: "w", 1: "of 5 workspaces of"} {
		workOfWorkspaces = limit
		inv := declaredBy(t, files, func(_ string, o *TerraformOptions) { o.Workspace = "w0" })
		equal(t, "agents", agentIDs(inv), []string{"flux/flux-w0"})
		if want == "" {
			notSaid(t, inv, "TERRAFORM_NOT_UNDERSTOOD")
			said(t, inv, "TERRAFORM_OTHER_WORKSPACE", "flux/flux-w5")
			continue
		}
		said(t, inv, "TERRAFORM_NOT_UNDERSTOOD", want, "not all is read, since together they take more work than is allowed", "w5")
		if limit > 1 {
			said(t, inv, "TERRAFORM_OTHER_WORKSPACE", "flux/flux-w1")
		}
	}
}

func TestVariablesFilesThatWouldSettleWhatIsUnknownAreNamed(t *testing.T) {
	inv := declaredBy(t, map[string]string{
		"main.tf":          "variable \"url\" {}\nvariable \"unused\" {}\n" + strings.Replace(releaseBlock("shop", ""), "git@h:a", "${var.url}", 1),
		"env/prod.tfvars":  "url = \"https://" + markedSecret + "@h/r\"\nunused = 1\n",
		"env/stage.tfvars": "unused = 1\n",
		"dev.tfvars.json":  `{"url": "git@h:dev"}`,
	})
	equal(t, "unknown", unknownOf(inv.Agents[0]), []string{"git.url"})
	f := said(t, inv, "TERRAFORM_VAR_FILE", "env/prod.tfvars sets var.url,")
	said(t, inv, "TERRAFORM_VAR_FILE", "dev.tfvars.json sets var.url,")
	for _, other := range inv.Findings {
		if tells(other.Message) || strings.Contains(other.Message, "stage") || strings.Contains(f.Message, "unused") {
			t.Errorf("%v", other)
		}
	}
}

func TestTheOutputsOfAnotherStateCanBeGiven(t *testing.T) {
	files := map[string]string{
		"main.tf": "data \"terraform_remote_state\" \"net\" {\n backend = \"s3\"\n config = { bucket = \"b\", key = \"k\" }\n}\n" +
			strings.Replace(releaseBlock("shop", ""), "git@h:a", "${data.terraform_remote_state.net.outputs.url}", 1),
		"outputs.json": `{"url":{"sensitive":false,"type":"string","value":"git@h:net"}}`,
	}
	inv := declaredBy(t, files)
	equal(t, "unknown", unknownOf(inv.Agents[0]), []string{"git.url"})
	said(t, inv, "CHART_VALUE_NOT_KNOWN", "data.terraform_remote_state.net.outputs.url is an output of another state")
	said(t, inv, "TERRAFORM_REMOTE_STATE", "data.terraform_remote_state.net", "bucket=b", "key=k")
	inv = declaredBy(t, files, func(dir string, o *TerraformOptions) {
		o.StateFiles = []string{"data.terraform_remote_state.net=" + filepath.Join(dir, "outputs.json")}
	})
	equal(t, "unknown", unknownOf(inv.Agents[0]), []string{})
	equal(t, "url", inv.Agents[0].Git.URL, "git@h:net")
}

// Of what Terraform says as it fails, its error is told, and nothing of the configuration.
func TestTheErrorOfTerraformIsToldWithoutItsWarningsAndWithoutSecrets(t *testing.T) {
	const warned = "There are some problems with the CLI configuration:\n╷\n│ Warning: Unable to open CLI configuration file\n│\n│ The CLI configuration file at \"/nope\" does not exist.\n╵\n\n\n"
	lines := func(n int) string { return strings.Repeat("a line\n", n) }
	for name, c := range map[string]struct{ said, want string }{
		"after a warning": {warned + "Error: Failed to load plugin schemas\n\nError while loading schemas for plugin components: Failed to obtain provider\nschema: unavailable provider\n\"registry.terraform.io/hashicorp/helm\"..\n",
			"Error: Failed to load plugin schemas Error while loading schemas for plugin components: Failed to obtain provider schema: unavailable provider \"registry.terraform.io/hashicorp/helm\".."},
		"in colours' frame": {"╷\n│ Error: Backend initialization required, please run \"terraform init\"\n│ \n│ Reason: Backend configuration block has changed\n╵\n",
			"Error: Backend initialization required, please run \"terraform init\" Reason: Backend configuration block has changed"},
		"the configuration": {"Error: Invalid block\n\n  on main.tf line 9, in terraform:\n   9:  backend \"s3\" {\n  10:   access_key = \"" + markedSecret + "\",\n\nIt must be closed.\n",
			"Error: Invalid block on main.tf line 9, in terraform: It must be closed."},
		"a value": {"Error: Invalid function argument\n\n  on main.tf line 3, in locals:\n   3:   x = tonumber(var.tok)\n    ├────────────────\n    │ var.tok is \"" + markedSecret + "\"\n    │ var.b is \"" + markedSecret + "\"\n\nA number is required.\n",
			"Error: Invalid function argument on main.tf line 3, in locals: A number is required."},
		"a value, in the frame": {"╷\n│ Error: Invalid function argument\n│ \n│   on main.tf line 3, in locals:\n│    3:   x = tonumber(var.tok)\n│     ├────────────────\n│     │ var.tok is \"" + markedSecret + "\"\n│ \n│ A number is required.\n╵\n",
			"Error: Invalid function argument on main.tf line 3, in locals: A number is required."},
		"no error":      {"terraform: cannot run\n", "terraform: cannot run"},
		"nothing":       {"", ""},
		"as many lines": {"Error: a\n" + lines(13), "Error: a" + strings.Repeat(" a line", 13)},
		"more lines":    {"Error: a\n" + lines(15), "Error: a" + strings.Repeat(" a line", 13) + " … (2 more lines)"},
		"a long line":   {"Error: " + strings.Repeat("é", 1000), "Error: " + strings.Repeat("é", 746) + " … (it said more)"},
	} {
		equal(t, name, errorText(c.said), c.want)
	}
}

// programOnPath puts a script for sh on PATH, before all others, for the time of the test.
func programOnPath(t *testing.T, name, script string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// A program named terraform is run where asked for, in the folder, for the
// selected workspace; what it prints on failure is passed on in short.
func TestARunningTerraformIsAskedForTheState(t *testing.T) {
	programOnPath(t, "terraform", "[ \"$1 $2\" = \"show -json\" ] || exit 9\n[ -f main.tf ] || exit 8\nif [ \"$TF_WORKSPACE\" = broken ]; then echo '│ Error: no such workspace' >&2; exit 1; fi\n"+
		"if [ \"$TF_WORKSPACE\" = far ]; then echo '│ Error: GET https://user:"+markedSecret+"@states.example.com/flux?token="+markedSecret+": giving up after 3 attempts' >&2; exit 1; fi\ncat state.json")
	dir := written(t, map[string]string{
		"main.tf":    releaseBlock("shop", ""),
		"state.json": `{"format_version":"1.0","terraform_version":"1.11.4","values":{"root_module":{"resources":[{"address":"helm_release.shop","mode":"managed","type":"helm_release","name":"shop","values":{"name":"shop","namespace":"flux","chart":"flux","version":"1.13.3","metadata":[{"name":"shop","namespace":"flux","chart":"flux","version":"1.13.3","revision":2,"values":"{}"}]}}]}}}`,
	})
	o := TerraformOptions{Dirs: []string{dir}, Root: dir, Show: true}
	inv, err := Terraform(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "in the state", inv.Agents[0].Terraform.State, true)
	prefixed := written(t, map[string]string{
		"main.tf":    "terraform {\n backend \"remote\" {\n workspaces {\n prefix = \"shop-\"\n }\n }\n}\n" + releaseBlock("shop", ""),
		"state.json": `{"format_version":"1.0","values":{}}`,
	})
	_, err = Terraform(t.Context(), TerraformOptions{Dirs: []string{prefixed}, Root: prefixed, Show: true, Workspace: "shop-broken"})
	if err == nil || !strings.Contains(err.Error(), "no such workspace") {
		t.Errorf("it was not asked by its name here: %v", err)
	}
	o.Workspace = "broken"
	if _, err = Terraform(t.Context(), o); err == nil || !strings.Contains(err.Error(), "no such workspace") || !strings.Contains(err.Error(), dir) {
		t.Errorf("the error is %v", err)
	}
	o.Workspace = "far"
	if _, err = Terraform(t.Context(), o); err == nil || tells(err.Error()) || !strings.Contains(err.Error(), "GET https://states.example.com/flux") {
		t.Errorf("the error is %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err = Terraform(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--terraform-state") {
		t.Errorf("without the program, the error is %v", err)
	}
}
