package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// heldBy reads states without any configuration.
func heldBy(t *testing.T, files ...string) migrate.Inventory {
	t.Helper()
	inv, err := Terraform(t.Context(), TerraformOptions{StateFiles: files})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// A state says of each agent what was applied, through which resource, and no
// secret, whatever kind of resource it is and whatever version the state.
func TestAStateAloneTellsItsAgents(t *testing.T) {
	dir := written(t, map[string]string{"prod.tfstate": stateText(
		stateInstance("shop", "shop", ""), stateInstance("post", "post", `"status":"tainted",`), stateInstance("old", "old", `"deposed":"aaaa0000",`),
		strings.Replace(strings.Replace(stateInstance("teams", "team-a", `"index_key":"a",`), `"values":"{`, `"values":"{\"token\":\"`+markedSecret+`\",\"additionalArgs\":[\"--git-gc\"],`, 1), "1.13.3", "1.5.0", -1),
	)})
	inv := heldBy(t, filepath.Join(dir, "prod.tfstate"))
	equal(t, "agents", agentIDs(inv), []string{"flux/post", "flux/shop", "flux/team-a"})
	team := inv.Agents[2]
	place := *team.Terraform
	equal(t, "place", place, migrate.TerraformPlace{Address: `helm_release.teams["a"]`, Instance: "a", Where: filepath.Join(dir, "prod.tfstate"), State: true})
	equal(t, "team-a", []any{team.InstalledBy, team.ChartVersion, team.Git.URL, team.Git.Branch, unknownOf(team)}, []any{"terraform", "1.5.0", "git@h:a", "master", []string{}})
	if s := settingOf(t, team, "--git-url"); len(s.From) != 1 || s.From[0].Witness != "terraform" || s.From[0].Where != place.Where+` (helm_release.teams["a"]) git.url` {
		t.Errorf("--git-url: %+v", s)
	}
	said(t, inv, "TERRAFORM_TAINTED", "flux/post", "helm_release.post")
	said(t, inv, "TERRAFORM_STATE_ALONE", "prod.tfstate")
	said(t, inv, "UNKNOWN_FLAG", "flux/team-a", "--git-gc")
	equal(t, "of the state alone", len(inv.StateOnly), 0)
	if text := fmt.Sprintf("%+v", inv) + asJSON(inv); tells(text) {
		t.Error("a secret of the state is shown")
	}

	for file, want := range map[string][]string{
		"fluxd.tfstate":    {"flux/by-deployment", "flux/by-deployment-v1", "flux/by-kubectl", "flux/by-kubectl-plain", "flux/by-manifest"},
		"fluxd-v3.tfstate": {"flux/flux"},
	} {
		t.Run(file, func(t *testing.T) {
			inv := heldBy(t, filepath.Join("terraform", "testdata", "states", file))
			equal(t, "agents", agentIDs(inv), want)
			for _, a := range inv.Agents {
				if a.ID == "flux/by-kubectl" { // whose provider withholds the URL
					equal(t, a.ID, []any{a.Git.URL, a.Git.Branch, unknownOf(a)}, []any{"", "main", []string{"confinement", "git.url"}})
					said(t, inv, "CHART_VALUE_NOT_KNOWN", a.ID, "--git-url is unknown", "the state withholds")
					continue
				}
				branch := "hunter2-branch" // no secret, for all its name
				if a.ID == "flux/flux" {
					branch = "master"
				}
				equal(t, "branch of "+a.ID, a.Git.Branch, branch)
				u, err := migrate.SourceURL(a.Git.URL)
				if err != nil {
					t.Errorf("%s: %v", a.ID, err)
				}
				equal(t, "URL of "+a.ID, u, "https://git.example.com/shop")
				equal(t, "credential of "+a.ID, a.Credential.Kind, "basic")
				equal(t, "unknown of "+a.ID, unknownOf(a), []string{"confinement"})
				said(t, inv, "TERRAFORM_OBJECTS", a.ID, a.Terraform.Address)
				if s := settingOf(t, a, "--git-url"); len(s.From) == 0 || !strings.Contains(s.From[0].Where, a.Terraform.Address+") args[") {
					t.Errorf("--git-url of %s: %+v", a.ID, s)
				}
			}
			if file == "fluxd.tfstate" {
				said(t, inv, "TERRAFORM_STATE_HIDDEN", "kubernetes_deployment_v1.hidden", "flux/flux-hidden")
				said(t, inv, "TERRAFORM_STATE_HIDDEN", "kubectl_manifest.closed", "flux/flux-closed")
				said(t, inv, "FLUXD_IS_NO_DEPLOYMENT", "kubernetes_manifest.daemon", "DaemonSet")
				said(t, inv, "HELM_OPERATOR_FOUND", "kubernetes_deployment.operator")
			}
			if text := asJSON(inv); strings.Contains(strings.ReplaceAll(text, "hunter2-branch", ""), "hunter2") {
				t.Errorf("a secret of the state is shown: %s", text)
			}
		})
	}
}

// Beside a cluster, a state alone says through which resource an agent is
// managed, and nothing of a configuration that nobody gave.
func TestAStateAloneIsJoinedWithWhatRuns(t *testing.T) {
	dir := written(t, map[string]string{"a.tfstate": stateText(stateInstance("shop", "shop", ""), stateInstance("gone", "gone", ""))})
	inv := heldBy(t, filepath.Join(dir, "a.tfstate"))
	live := migrate.Inventory{Cluster: migrate.Cluster{From: "cluster"}, Agents: []migrate.Flux1Agent{
		{ID: "flux/other", Namespace: "flux", Release: "other"}, {ID: "flux/shop", Namespace: "flux", Release: "shop"},
	}}
	merged := Merge(live, inv)
	equal(t, "address", merged.Agents[1].Terraform.Address, "helm_release.shop")
	said(t, merged, "DECLARED_NOT_LIVE", "flux/gone is in the state as helm_release.gone")
	said(t, merged, "LIVE_NOT_DECLARED", "flux/other")
	for _, f := range merged.Findings {
		if f.Code == LiveStateOnly.Name || f.Code == TerraformStateOnly.Name {
			t.Errorf("no configuration was given that could declare it: %v", f)
		}
	}
}

// Of agents of several clusters only those are taken that the person names:
// the state file has the provider configuration of each. What "terraform show
// -json" prints has not, which is said.
func TestAgentsOfSeveralClustersInOneStateAreToldApart(t *testing.T) {
	through := func(instance, provider string) string {
		return strings.Replace(instance, `provider[\"registry.terraform.io/hashicorp/helm\"]`, provider, 1)
	}
	dir := written(t, map[string]string{
		"all.tfstate": stateText(
			through(stateInstance("east", "east", ""), `provider[\"registry.terraform.io/hashicorp/helm\"].east`),
			through(stateInstance("west", "west", ""), `module.west.provider[\"registry.opentofu.org/hashicorp/helm\"].west[\"one\"]`)),
		"show.json": `{"format_version":"1.0","values":{"root_module":{"resources":[{"address":"helm_release.east","mode":"managed","type":"helm_release","name":"east","provider_name":"registry.terraform.io/hashicorp/helm","values":{"name":"east","namespace":"flux","chart":"flux","version":"1.13.3"}}]}}}`,
	})
	all := filepath.Join(dir, "all.tfstate")
	inv := heldBy(t, all)
	equal(t, "agents", agentIDs(inv), []string{})
	said(t, inv, "TERRAFORM_CLUSTER_UNKNOWN", "helm.east", `module.west.helm.west["one"]`)
	for alias, want := range map[string]string{"east": "flux/east", "west": "flux/west"} {
		inv, err := Terraform(t.Context(), TerraformOptions{StateFiles: []string{all}, Provider: alias})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "agents of "+alias, agentIDs(inv), []string{want})
		said(t, inv, "TERRAFORM_OTHER_CLUSTER", "helm_release")
	}
	said(t, heldBy(t, filepath.Join(dir, "show.json")), "TERRAFORM_STATE_ALONE", "cannot be told apart")
	twice := heldBy(t, filepath.Join(dir, "show.json"), copied(t, dir, "copy.json", "show.json"))
	said(t, twice, "TERRAFORM_DECLARED_TWICE", "helm_release.east in "+filepath.Join(dir, "show.json"), "copy.json")
}

// copied copies a file of a folder.
func copied(t *testing.T, dir, to, from string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, from))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, to), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, to)
}

// What the state alone says of an agent is what the cluster alone says of it,
// in all that both can know: for every Deployment of the clusters that the
// other tests read, as each kind of resource has it in its state.
func TestAStateAloneSaysWhatTheClusterAloneSays(t *testing.T) {
	folders, err := filepath.Glob("testdata/cluster/*")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			f := open(t, folder)
			live, err := f.witness.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			list, err := f.kube.AppsV1().Deployments(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for kind, attributes := range map[string]func(*appsv1.Deployment) string{"kubernetes_manifest": manifestAttributes, "kubectl_manifest": kubectlAttributes} {
				var instances []string
				for i := range list.Items {
					d := &list.Items[i]
					instances = append(instances, fmt.Sprintf(`{"mode":"managed","type":%q,"name":"d%d","provider":"provider[\"registry.terraform.io/example/k\"]","instances":[{"attributes":%s}]}`, kind, i, attributes(d)))
				}
				dir := written(t, map[string]string{"s.tfstate": stateText(instances...)})
				inv := heldBy(t, filepath.Join(dir, "s.tfstate"))
				for _, a := range live.Agents {
					i := slices.IndexFunc(inv.Agents, func(s migrate.Flux1Agent) bool { return s.Namespace == a.Namespace && s.Workload == a.Workload })
					if i < 0 && filepath.Base(folder) == sidecarFolder { // it is named alone
						wantFinding(t, inv, FluxdElsewhere, "a sidecar among the init containers of a Deployment")
						continue
					}
					if i < 0 {
						t.Errorf("%s: the state does not tell %s; it tells %s", kind, a.ID, agentIDs(inv))
						continue
					}
					s := &inv.Agents[i]
					for _, p := range agentParts {
						if slices.Contains(a.Unknown, p.name) || slices.Contains(s.Unknown, p.name) {
							continue
						}
						compared++
						if got, want := p.of(s), p.of(&a); !reflect.DeepEqual(got, want) && asJSON(got) != asJSON(want) {
							t.Errorf("%s: %s of %s is %v in the state, and %v in the cluster", kind, p.name, a.ID, got, want)
						}
					}
					for _, p := range partDifferences(a.Parts, s.Parts) {
						t.Errorf("%s: %s of %s is %s", kind, p.name, a.ID, p.says("in the cluster", "in the state"))
					}
					if s.Image != a.Image || s.ServiceAccount != a.ServiceAccount || s.Replicas != a.Replicas {
						t.Errorf("%s: %s is %s %s %d in the state, and %s %s %d in the cluster", kind, a.ID, s.Image, s.ServiceAccount, s.Replicas, a.Image, a.ServiceAccount, a.Replicas)
					}
				}
				if tells(asJSON(inv)) {
					t.Errorf("%s: a secret is told", kind)
				}
			}
		})
	}
	if compared < 500 {
		t.Errorf("only %d settings were compared", compared)
	}
}

func manifestAttributes(d *appsv1.Deployment) string {
	d.APIVersion, d.Kind = "apps/v1", "Deployment"
	return fmt.Sprintf(`{"manifest":{"value":%s,"type":["object",{}]},"object":{"value":%[1]s,"type":["object",{}]}}`, asJSON(d))
}

func kubectlAttributes(d *appsv1.Deployment) string {
	d.APIVersion, d.Kind = "apps/v1", "Deployment"
	return fmt.Sprintf(`{"api_version":"apps/v1","kind":"Deployment","namespace":%q,"name":%q,"yaml_body_parsed":%s}`, d.Namespace, d.Name, asJSON(asJSON(d)))
}

// What a state does not tell of an agent, or marks as sensitive, is unknown of
// it and not what the chart or Kubernetes would take.
func TestWhatAStateDoesNotTellIsUnknown(t *testing.T) {
	instance := func(kind, attributes, sensitive string) string {
		return fmt.Sprintf(`{"mode":"managed","type":%q,"name":"flux","provider":"provider[\"registry.terraform.io/example/k\"]","instances":[{"attributes":%s,"sensitive_attributes":[%s]}]}`, kind, attributes, sensitive)
	}
	path := func(name string) string { return fmt.Sprintf(`[{"type":"get_attr","value":%q}]`, name) }
	secretArgs := `["--git-url=git@h:a","--token=` + markedSecret + `"]`
	manifest := `{"value":{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"flux","namespace":"flux"},"spec":{"template":{"spec":{"containers":[{"name":"flux","image":"fluxcd/flux:1.25.4","args":["--git-url=git@h:` + markedSecret + `"]}]}}}},"type":["object",{}]}`
	blocks := `"metadata":[{"name":"flux","namespace":"flux","labels":{"of":"` + markedSecret + `"}}],"spec":[{"template":[{"spec":[{"container":[{"name":"flux","image":"fluxcd/flux:1.25.4","args":` + secretArgs + `}]}]}]}]`
	for name, c := range map[string]struct {
		instance string
		agents   []string
		unknown  []string // all of these are
		finding  []string
	}{
		"a release of which nothing is told but its chart": {instance("helm_release", `{"chart":"flux"}`, ""),
			[]string{"helm_release.flux"}, []string{"namespace", "release", "git.url", "git.branch"}, []string{"TERRAFORM_NAME_UNKNOWN", "the state does not tell the namespace of helm_release.flux"}},
		"a release whose values are not in the state": {instance("helm_release", `{"chart":"flux","name":"flux","namespace":"flux","version":"1.13.3"}`, ""),
			[]string{"flux/flux"}, []string{"git.url", "git.branch", "sync.interval"}, []string{"CHART_VALUE_NOT_KNOWN", "the state does not tell the values of helm_release.flux"}},
		"a release of lists that are sensitive": {instance("helm_release", `{"chart":"flux","name":"flux","namespace":"flux","version":"1.13.3","metadata":[{"name":"flux","namespace":"flux","chart":"flux","version":"1.13.3","values":"{\"git\":{\"url\":\"git@h:`+markedSecret+`\"}}"}]}`, path("set_list")),
			[]string{"flux/flux"}, []string{"git.url", "git.branch"}, []string{"CHART_VALUE_NOT_KNOWN", "sensitive"}},
		"a manifest that is sensitive": {instance("kubernetes_manifest", `{"manifest":`+manifest+`,"object":`+manifest+`}`, path("manifest")),
			[]string{}, nil, []string{"TERRAFORM_STATE_HIDDEN", "kubernetes_manifest.flux is Deployment flux/flux"}},
		"metadata that is sensitive": {instance("kubernetes_deployment_v1", "{"+blocks+"}", path("metadata")),
			[]string{"kubernetes_deployment_v1.flux"}, []string{"namespace", "workload"}, []string{"TERRAFORM_NAME_UNKNOWN", "the state does not tell the metadata"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := written(t, map[string]string{"s.tfstate": stateText(c.instance)})
			inv := heldBy(t, filepath.Join(dir, "s.tfstate"))
			equal(t, "agents", agentIDs(inv), c.agents)
			for _, u := range c.unknown {
				if !slices.Contains(inv.Agents[0].Unknown, u) {
					t.Errorf("%s is known: %+v", u, inv.Agents[0])
				}
			}
			said(t, inv, c.finding[0], c.finding[1:]...)
			if text := asJSON(inv); tells(text) {
				t.Errorf("a secret of the state is shown: %s", text)
			}
		})
	}

	// What is to be destroyed has the address of what replaces it.
	dir := written(t, map[string]string{
		"s.tfstate": stateText(stateInstance("shop", "shop", `"status":"tainted",`), stateInstance("shop", "shop", `"deposed":"aaaa0000",`)),
		"plan.json": `{"format_version":"1.2","planned_values":{"root_module":{}}}`,
	})
	said(t, heldBy(t, filepath.Join(dir, "s.tfstate")), "TERRAFORM_TAINTED", "flux/shop")
	said(t, heldBy(t, filepath.Join(dir, "plan.json")), "TERRAFORM_STATE_ALONE", "nothing is applied")
}

// A chart of another name that is given what the flux chart is, or that is what this was
// called at first, is told of, from a state as from a configuration.
func TestReleasesOfChartsLikeFluxAreToldOf(t *testing.T) {
	for chart, says := range map[string]string{"stable/weave-flux": "called at first", "gitops": "given a git.url", "nginx": ""} {
		release := fmt.Sprintf("resource \"helm_release\" \"a\" {\n name = \"a\"\n namespace = \"flux\"\n chart = %q\n values = [\"%s\"]\n}\n", chart, map[bool]string{true: "git: {url: 'git@h:a'}", false: "a: b"}[chart == "gitops"])
		instance := strings.ReplaceAll(stateInstance("a", "a", ""), `"chart":"flux"`, fmt.Sprintf(`"chart":%q`, filepath.Base(chart)))
		if chart != "gitops" {
			instance = strings.Replace(instance, `\"git\":{`, `\"other\":{`, 1)
		}
		dir := written(t, map[string]string{"s.tfstate": stateText(instance)})
		for witness, inv := range map[string]migrate.Inventory{"configuration": declaredBy(t, map[string]string{"main.tf": release}), "state": heldBy(t, filepath.Join(dir, "s.tfstate"))} {
			equal(t, chart+" in a "+witness, finds(inv, TerraformChartOfFluxd.Name), says != "")
			if says != "" {
				said(t, inv, "TERRAFORM_CHART_OF_FLUXD", "helm_release.a", says)
			}
		}
	}
}

// agentPart is one setting of an agent, by its name in an Inventory's JSON.
type agentPart struct {
	name string
	of   func(*migrate.Flux1Agent) any
}

var agentParts = []agentPart{
	{"git.url", func(a *migrate.Flux1Agent) any { return a.Git.URL }},
	{"git.branch", func(a *migrate.Flux1Agent) any { return a.Git.Branch }},
	{"git.paths", func(a *migrate.Flux1Agent) any { return a.Git.Paths }},
	{"git.pollInterval", func(a *migrate.Flux1Agent) any { return a.Git.PollInterval }},
	{"git.timeout", func(a *migrate.Flux1Agent) any { return a.Git.Timeout }},
	{"git.readonly", func(a *migrate.Flux1Agent) any { return a.Git.ReadOnly }},
	{"git.secretName", func(a *migrate.Flux1Agent) any { return a.Git.SecretName }},
	{"git.syncTag", func(a *migrate.Flux1Agent) any { return a.Git.SyncTag }},
	{"sync.interval", func(a *migrate.Flux1Agent) any { return a.Sync.Interval }},
	{"sync.timeout", func(a *migrate.Flux1Agent) any { return a.Sync.Timeout }},
	{"sync.garbageCollection", func(a *migrate.Flux1Agent) any { return a.Sync.GarbageCollection }},
	{"sync.state", func(a *migrate.Flux1Agent) any { return a.Sync.State }},
	{"manifestGeneration", func(a *migrate.Flux1Agent) any { return a.ManifestGeneration }},
	{"sops", func(a *migrate.Flux1Agent) any { return a.SOPS }},
	{"allowedNamespaces", func(a *migrate.Flux1Agent) any { return a.AllowedNamespaces }},
	{"defaultNamespace", func(a *migrate.Flux1Agent) any { return a.DefaultNamespace }},
	{"imageAutomation", func(a *migrate.Flux1Agent) any { return a.ImageAutomation }},
}
