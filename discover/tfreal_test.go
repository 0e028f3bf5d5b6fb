package discover

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/google/go-cmp/cmp"
)

// realConfiguration is one configuration found in public, with the inputs it is
// read with. Its SOURCE.md says where it comes from and what a migration of it
// has to produce.
type realConfiguration struct {
	name   string // of the golden
	folder string // below testdata/real
	dir    string // the root module below it
	vars   map[string]string
	check  func(*testing.T, migrate.Inventory)
	// repository is the checkout that its one agent reads, below testdata/real; a
	// [standIn] if its own is not public.
	repository string
	// planned holds the plan of its one agent against what its SOURCE.md says of it.
	planned func(*testing.T, planOfReal)
}

// one is the only agent.
func one(t *testing.T, inv migrate.Inventory) migrate.Flux1Agent {
	t.Helper()
	if len(inv.Agents) != 1 {
		t.Fatalf("%d agents, want one: %v", len(inv.Agents), inv.Findings)
	}
	return inv.Agents[0]
}

// none demands that no agent is listed.
func none(t *testing.T, inv migrate.Inventory) {
	t.Helper()
	for _, a := range inv.Agents {
		t.Errorf("agent %s (%s) is listed", a.ID, a.Terraform.Address)
	}
}

// said demands a finding of the code whose text holds all the words.
func said(t *testing.T, inv migrate.Inventory, code string, words ...string) migrate.Finding {
	t.Helper()
	for _, f := range inv.Findings {
		text := f.Subject + " " + f.Where + " " + f.Message
		if f.Code == code && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return f
		}
	}
	t.Errorf("no finding %s says %q; there are:", code, words)
	for _, f := range inv.Findings {
		t.Log(f)
	}
	return migrate.Finding{}
}

func settingOf(t *testing.T, a migrate.Flux1Agent, name string) migrate.Setting {
	t.Helper()
	i := slices.IndexFunc(a.Settings, func(s migrate.Setting) bool { return s.Name == name })
	if i < 0 {
		t.Errorf("%s has no setting %s", a.ID, name)
		return migrate.Setting{}
	}
	return a.Settings[i]
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(got)); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

// variables are -var arguments, by name.
func variables(values map[string]string) []terraform.Argument {
	var out []terraform.Argument
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, terraform.Argument{Name: name, Value: values[name]})
	}
	return out
}

func readDeclared(t *testing.T, c realConfiguration) migrate.Inventory {
	t.Helper()
	root := filepath.Join("testdata", "real", c.folder)
	inv, err := Terraform(t.Context(), TerraformOptions{Dirs: []string{filepath.Join(root, c.dir)}, Root: root, Arguments: variables(c.vars)})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// Every configuration found in public gives the inventory and the findings of
// its golden, and what its SOURCE.md says of it.
func TestConfigurationsFoundInPublicGiveWhatTheirSourcesSay(t *testing.T) {
	for _, c := range realConfigurations {
		t.Run(c.name, func(t *testing.T) {
			inv := readDeclared(t, c)
			c.check(t, inv)
			got, err := json.MarshalIndent(inv, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			equalsGolden(t, filepath.Join("testdata", "terraform", c.name+".json"), string(got)+"\n")
		})
	}
}

func datacube(t *testing.T, a migrate.Flux1Agent, branch, path string) {
	t.Helper()
	equal(t, "branch", a.Git.Branch, branch)
	if path == "" {
		equal(t, "paths", a.Git.Paths, []string{})
	} else {
		equal(t, "paths", a.Git.Paths, []string{path})
	}
	equal(t, "garbage collection", a.Sync.GarbageCollection, migrate.CollectOff)
}

// carriedURL is the URL that the GitRepository gets.
func carriedURL(t *testing.T, a migrate.Flux1Agent) string {
	t.Helper()
	u, err := migrate.SourceURL(a.Git.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// teks are the variables of an agent of particuleio/teks that is confined to the
// namespace apps, with values of the caller's, which come last.
func teks(values string) map[string]string {
	return map[string]string{"flux": fmt.Sprintf(`{
  enabled = true
  create_iam_resources_kiam = false
  version = "1.16.0"
  chart_version = "0.16.0"
  namespace = "flux"
  allowed_namespaces = "apps"
  timeout = 3600
  force_update = false
  recreate_pods = false
  wait = true
  default_network_policy = true
  extra_values = %q
}`, values)}
}

// sourceSpec is the spec of a plan's only GitRepository.
func sourceSpec(t *testing.T, plan planOfReal) map[string]any {
	t.Helper()
	if len(plan.Sources) != 1 {
		t.Fatalf("%d sources, want one: %v", len(plan.Sources), plan.Findings)
	}
	spec, _ := plan.Sources[0].Object["spec"].(map[string]any)
	return spec
}

// onlyKustomization is the spec of a plan's only Kustomization, of this path, the
// root by "", pruning and interval.
func onlyKustomization(t *testing.T, plan planOfReal, path string, prune bool, interval string) map[string]any {
	t.Helper()
	all := plan.Repositories[0].Kustomizations
	if len(all) != 1 {
		t.Fatalf("%d Kustomizations, want one: %v", len(all), plan.Findings)
	}
	spec, _ := all[0].Object["spec"].(map[string]any)
	got, _ := spec["path"].(string)
	equal(t, "path, prune and interval", []any{strings.TrimSuffix(got, "./"), spec["prune"], spec["interval"]}, []any{path, prune, interval})
	return spec
}

// heldBack demands a blocker that says what is not known.
func heldBack(t *testing.T, plan planOfReal, code, unknown string) {
	t.Helper()
	if !slices.ContainsFunc(plan.Findings, func(f migrate.Finding) bool {
		return f.Severity == migrate.Blocker && f.Code == code && strings.Contains(f.Where, unknown)
	}) {
		t.Errorf("no %s of %s: %v", code, unknown, plan.Findings)
	}
}

var realConfigurations = []realConfiguration{
	{name: "osdu-helm", folder: "Azure__osdu-infrastructure", dir: "archive/infra/templates/osdu-r3-mvp/service_resources",
		check: func(t *testing.T, inv migrate.Inventory) {
			a := one(t, inv)
			// Variables without defaults are named, never guessed.
			equal(t, "unknown", unknownOf(a), []string{"git.url"})
			equal(t, "url", a.Git.URL, "")
			said(t, inv, "CHART_VALUE_NOT_KNOWN", "flux/flux", "var.gitops_ssh_url", "variables.tf:227")
			s := settingOf(t, a, "git.url")
			equal(t, "git.url", []any{s.Value, s.Fate}, []any{"", migrate.Unknown})
			// Every chart coordinate is a local; git.label is set.
			equal(t, "coordinates", []string{a.ID, a.ChartVersion, a.Git.SyncTag, a.Git.SecretName}, []string{"flux/flux", "1.5.0", "flux-sync", "flux-git-deploy"})
			// prune: true; interval 5m.
			equal(t, "garbage collection", a.Sync.GarbageCollection, migrate.CollectOn)
			equal(t, "interval", a.Git.PollInterval.Duration, 5*time.Minute)
		},
		// Without its URL, there is no source, and nothing is guessed.
		planned: func(t *testing.T, plan planOfReal) {
			equal(t, "sources and Kustomizations", []any{len(plan.Sources), len(plan.Repositories[0].Kustomizations)}, []any{0, 0})
			heldBack(t, plan, "FACTS_UNKNOWN", "git.url")
		}},
	{name: "osdu-helm-given", folder: "Azure__osdu-infrastructure", dir: "archive/infra/templates/osdu-r3-mvp/service_resources",
		vars: map[string]string{"gitops_ssh_url": "git@ssh.dev.azure.com:v3/org/project/repo", "gitops_path": "providers/azure"},
		check: func(t *testing.T, inv migrate.Inventory) {
			a := one(t, inv)
			equal(t, "unknown", unknownOf(a), []string{})
			equal(t, "url and paths", []any{a.Git.URL, a.Git.Paths}, []any{"git@ssh.dev.azure.com:v3/org/project/repo", []string{"providers/azure"}})
		},
		planned: func(t *testing.T, plan planOfReal) {
			spec := sourceSpec(t, plan)
			equal(t, "source", []any{spec["url"], spec["ref"], spec["interval"]},
				[]any{"ssh://git@ssh.dev.azure.com/v3/org/project/repo", map[string]any{"branch": "master"}, "5m0s"})
			onlyKustomization(t, plan, "./providers/azure", true, "5m0s")
		}},
	{name: "osdu-script", folder: "Azure__osdu-infrastructure", dir: "archive/infra/templates/osdu-r3-resources/configurations/service_resources",
		check: func(t *testing.T, inv migrate.Inventory) {
			// The script is found and named, through two modules.
			none(t, inv)
			said(t, inv, "TERRAFORM_SCRIPT", "module.aks-gitops.module.flux.null_resource.deploy_flux[0]", "archive/infra/modules/providers/azure/flux/main.tf")
			said(t, inv, "TERRAFORM_MODULE_UNREAD", "module.aks-gitops.module.aks", "../aks")
		}},
	{name: "osdu-gitops-module", folder: "Azure__osdu-infrastructure", dir: "archive/infra/modules/providers/azure/aks-gitops",
		check: func(t *testing.T, inv migrate.Inventory) {
			none(t, inv)
			said(t, inv, "TERRAFORM_SCRIPT", "module.flux.null_resource.deploy_flux[0]")
		}},
	{name: "kubernetes-on-air", folder: "evry-ace__kubernetes-on-air", dir: ".",
		repository: "evry-ace__kubernetes-on-air",
		check: func(t *testing.T, inv migrate.Inventory) {
			a := one(t, inv)
			equal(t, "source", carriedURL(t, a), "ssh://git@github.com/evry-ace/kubernetes-on-air")
			equal(t, "branch", a.Git.Branch, "master")
			equal(t, "origin of the branch", settingOf(t, a, "--git-branch").From[0], migrate.Origin{Witness: "values", Where: "git.branch (default of chart 1.5.0)"})
			equal(t, "paths", a.Git.Paths, []string{"gitops/"})
			equal(t, "garbage collection", a.Sync.GarbageCollection, migrate.CollectOn)
			// No git.secretName: the chart's own Secret, with the key that fluxd
			// made, and known_hosts that Flux v1 had in its image.
			equal(t, "key", a.Credential.Identity, migrate.SecretKey{Namespace: "flux", Name: "flux-git-deploy", Key: "identity"})
			if !strings.Contains(a.Credential.KnownHosts, "github.com ") {
				t.Errorf("no host key of github.com in %q", a.Credential.KnownHosts)
			}
			// Settings without a counterpart are reported, not dropped in silence.
			for _, name := range []string{"registry.includeImage", "dashboards.enabled", "prometheus.enabled", "prometheus.serviceMonitor.create"} {
				s := settingOf(t, a, name)
				if s.Fate != migrate.Dropped || s.Why == "" || !strings.HasPrefix(s.From[0].Where, "flux.tf:") {
					t.Errorf("%s: %+v", name, s)
				}
			}
			said(t, inv, "HELM_OPERATOR_FOUND", "helm_release.helm_operator")
			said(t, inv, "TERRAFORM_OWNS_NAMESPACE", "kubernetes_namespace.flux")
		},
		planned: func(t *testing.T, plan planOfReal) {
			spec := sourceSpec(t, plan)
			equal(t, "source", []any{spec["url"], spec["ref"]}, []any{"ssh://git@github.com/evry-ace/kubernetes-on-air", map[string]any{"branch": "master"}})
			for _, k := range plan.Repositories[0].Kustomizations {
				spec := k.Object["spec"].(map[string]any)
				equal(t, k.GetName()+": prune", spec["prune"], true)
				path, _ := spec["path"].(string)
				if path != "./gitops" && !strings.HasPrefix(path, "./gitops/") || spec["interval"] == nil || spec["serviceAccountName"] == nil {
					t.Errorf("%s: path, interval or account: %v", k.GetName(), spec)
				}
			}
			equal(t, "key and host keys", []any{plan.Credentials[0].From["identity"].Secret, strings.Contains(plan.Credentials[0].KnownHosts, "github.com ")},
				[]any{&migrate.SecretKey{Namespace: "flux", Name: "flux-git-deploy", Key: "identity"}, true})
		}},
	{name: "datacube-2019-off", folder: "opendatacube__datacube-k8s-eks", dir: "2019-06-terraform-0.11/addons",
		check: func(t *testing.T, inv migrate.Inventory) {
			none(t, inv)
			said(t, inv, "TERRAFORM_NO_AGENT", "helm_release.flux", "its count is 0", "2019-06-terraform-0.11/addons/flux.tf:45")
		}},
	{name: "datacube-2019-on", folder: "opendatacube__datacube-k8s-eks", dir: "2019-06-terraform-0.11/addons", vars: map[string]string{"flux_enabled": "true"},
		check: func(t *testing.T, inv migrate.Inventory) {
			a := one(t, inv)
			// No chart version is pinned, which is said; the defaults come from
			// the variables.
			said(t, inv, "CHART_VERSION_UNKNOWN", "no chart version is pinned")
			equal(t, "chart", a.ChartVersion, "")
			datacube(t, a, "dev", "")
			equal(t, "url", a.Git.URL, "git@github.com:opendatacube/datacube-k8s-eks")
			equal(t, "interval", a.Git.PollInterval.Duration, time.Minute)
			if !slices.Contains(a.Unknown, "chartVersion") {
				t.Errorf("the chart's version is not unknown: %v", a.Unknown)
			}
		},
		planned: func(t *testing.T, plan planOfReal) {
			equal(t, "ref", sourceSpec(t, plan)["ref"], map[string]any{"branch": "dev"})
			onlyKustomization(t, plan, "", false, "1m0s")
		}},
	{name: "datacube-2020-on", folder: "opendatacube__datacube-k8s-eks", dir: "2020-03-template_file/odc_k8s", vars: map[string]string{"flux_enabled": "true"},
		check: func(t *testing.T, inv migrate.Inventory) {
			a := one(t, inv)
			datacube(t, a, "dev", "")
			// git.label comes from a variable of a file that is not here.
			equal(t, "unknown", unknownOf(a), []string{"git.syncTag"})
			said(t, inv, "TERRAFORM_NOT_UNDERSTOOD", "var.cluster_id")
			// helmOperator.create is a value that chart 1.0.0 no longer reads.
			said(t, inv, "CHART_VALUE_IGNORED", "helmOperator.create")
			said(t, inv, "HELM_OPERATOR_FOUND", "helm_release.flux-helm-operator[0]")
		},
		planned: func(t *testing.T, plan planOfReal) {
			equal(t, "ref", sourceSpec(t, plan)["ref"], map[string]any{"branch": "dev"})
			onlyKustomization(t, plan, "", false, "1m0s")
			heldBack(t, plan, "CHART_VALUE_NOT_KNOWN", "git.label")
		}},
	{name: "datacube-2020-args", folder: "opendatacube__datacube-k8s-eks", dir: "2020-03-template_file/odc_k8s",
		vars: map[string]string{"flux_enabled": "true", "flux_additional_args": "--connect=ws://fluxcloud"},
		check: func(t *testing.T, inv migrate.Inventory) {
			// The template's %{ if } is true now.
			a := one(t, inv)
			equal(t, "argument", settingOf(t, a, "--connect").Value, "ws://fluxcloud")
			said(t, inv, "NOTIFICATIONS_STOP", "flux/flux")
		},
		planned: func(t *testing.T, plan planOfReal) {
			equal(t, "ref", sourceSpec(t, plan)["ref"], map[string]any{"branch": "dev"})
			onlyKustomization(t, plan, "", false, "1m0s")
			heldBack(t, plan, "CHART_VALUE_NOT_KNOWN", "git.label")
		}},
	{name: "datacube-2025-off", folder: "opendatacube__datacube-k8s-eks", dir: "2025-templatefile/examples/stage/02_odc_k8s",
		check: func(t *testing.T, inv migrate.Inventory) {
			// With flux_enabled = false there is nothing to migrate; it is said.
			none(t, inv)
			f := said(t, inv, "TERRAFORM_NO_AGENT", "module.odc_k8s.helm_release.flux", "its count is 0", "2025-templatefile/odc_k8s/flux.tf:105")
			equal(t, "severity", f.Severity, migrate.Info)
		}},
	{name: "datacube-2025-on", folder: "opendatacube__datacube-k8s-eks", dir: "2025-templatefile/odc_k8s", vars: map[string]string{
		"flux_enabled": "true", "flux_version": "1.10.2", "flux_git_repo_url": "git@github.com:opendatacube/flux-odc-sample.git",
		"flux_git_branch": "master", "flux_git_path": "flux", "flux_git_poll_interval": "3m",
		"flux_registry_ecr": `{regions = ["eu-west-1"], includeIds = ["1"], excludeIds = ["602401143452"]}`},
		check: func(t *testing.T, inv migrate.Inventory) {
			a := one(t, inv)
			equal(t, "source", carriedURL(t, a), "ssh://git@github.com/opendatacube/flux-odc-sample.git")
			datacube(t, a, "master", "flux")
			equal(t, "interval", a.Git.PollInterval.Duration, 3*time.Minute)
			for _, name := range []string{"registry.ecr.region", "registry.ecr.includeId", "registry.ecr.excludeId", "registry.pollInterval"} {
				if s := settingOf(t, a, name); s.Fate != migrate.Dropped || s.Why == "" {
					t.Errorf("%s: %+v", name, s)
				}
			}
			// helm-operator is a release of its own.
			said(t, inv, "HELM_OPERATOR_FOUND", "helm_release.flux_helm_operator[0]")
		},
		planned: func(t *testing.T, plan planOfReal) {
			spec := sourceSpec(t, plan)
			equal(t, "source", []any{spec["url"], spec["ref"]}, []any{"ssh://git@github.com/opendatacube/flux-odc-sample.git", map[string]any{"branch": "master"}})
			onlyKustomization(t, plan, "./flux", false, "3m0s")
		}},
	{name: "teks", folder: "particuleio__teks", dir: "terraform/modules/eks-addons",
		check: func(t *testing.T, inv migrate.Inventory) {
			// The live settings are inputs that are not here.
			none(t, inv)
			f := said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "helm_release.flux[*]", `var.flux["enabled"]`)
			equal(t, "severity", f.Severity, migrate.Blocker)
		}},
	{name: "teks-off", folder: "particuleio__teks", dir: "terraform/modules/eks-addons", vars: map[string]string{"flux": `{enabled = false, create_iam_resources_kiam = false}`},
		check: func(t *testing.T, inv migrate.Inventory) {
			none(t, inv) // enabled = false means no instance
			said(t, inv, "TERRAFORM_NO_AGENT", "helm_release.flux", "its count is 0")
		}},
	{name: "teks-on", folder: "particuleio__teks", dir: "terraform/modules/eks-addons", vars: teks("git:\n  url: git@github.com:example/manifests\n  pollInterval: 2m\nrbac:\n  create: false\nhelmOperator:\n  create: false\n"),
		check: func(t *testing.T, inv migrate.Inventory) {
			a := one(t, inv)
			// The last document wins: no helm-operator, no RBAC; git.url exists
			// in it alone.
			equal(t, "url", a.Git.URL, "git@github.com:example/manifests")
			equal(t, "interval", a.Git.PollInterval.Duration, 2*time.Minute)
			equal(t, "helmOperator.create", settingOf(t, a, "helmOperator.create").Value, "false")
			equal(t, "rbac.create", settingOf(t, a, "rbac.create").Value, "false")
			for _, f := range inv.Findings {
				if f.Code == HelmOperator.Name {
					t.Errorf("a helm-operator that the last document turns off: %v", f)
				}
			}
			// The first document still counts where the last is silent.
			equal(t, "image", a.Image, "docker.io/fluxcd/flux:1.16.0")
			// The confinement is kept to be carried over.
			equal(t, "namespaces", a.AllowedNamespaces, []string{"apps"})
			equal(t, "fate", settingOf(t, a, "--k8s-allow-namespace").Fate, migrate.Carried)
		},
		planned: func(t *testing.T, plan planOfReal) {
			equal(t, "interval", sourceSpec(t, plan)["interval"], "2m0s")
			onlyKustomization(t, plan, "", false, "2m0s")
			// Without the chart's own, its rights are those that the module grants beside it.
			var may []string
			for _, scope := range plan.Repositories[0].Rights.Kept {
				may = append(may, scope.Lines()...)
			}
			equal(t, "rights", may, []string{"in namespace flux: * core/*", "in namespace flux: * apps/*", "in namespace flux: * batch/*", "in namespace flux: * extensions/*"})
			if slices.ContainsFunc(plan.Findings, func(f migrate.Finding) bool { return f.Code == "FACTS_UNKNOWN" }) {
				t.Errorf("what is declared is not known: %v", plan.Findings)
			}
		}},
	{name: "teks-confined", folder: "particuleio__teks", dir: "terraform/modules/eks-addons", vars: teks("git:\n  url: git@github.com:example/manifests\n"),
		check: func(t *testing.T, inv migrate.Inventory) {
			a := one(t, inv)
			// The chart's account is a cluster-admin, which the flag alone confines.
			equal(t, "account and namespaces", []any{a.Confinement.Kind, a.AllowedNamespaces}, []any{"cluster-admin", []string{"apps"}})
			said(t, inv, "HELM_OPERATOR_IN_RELEASE", "helm_release.flux[0]")
		},
		// Bound in the allowed namespaces alone: nothing widens what it may do.
		planned: func(t *testing.T, plan planOfReal) {
			account := onlyKustomization(t, plan, "", false, "5m0s")["serviceAccountName"]
			rights := plan.Repositories[0].Rights
			equal(t, "account", migrate.AgentNamespace+"/"+fmt.Sprint(account), rights.To)
			var may []string
			for _, scope := range rights.Kept {
				may = append(may, scope.Lines()...)
			}
			equal(t, "rights", may, []string{"in the whole cluster: use policy/podsecuritypolicies named flux", "in namespace apps: * */*"})
			equal(t, "gained", len(rights.Gained), 0)
		}},
	{name: "rtlnl", folder: "rtlnl__terraform-kubernetes-flux", dir: ".",
		check: func(t *testing.T, inv migrate.Inventory) {
			a := one(t, inv)
			said(t, inv, "CHART_VALUE_NOT_KNOWN", "--git-url", "var.git_url")
			if !slices.Contains(a.Unknown, "git.url") || a.Git.URL != "" {
				t.Errorf("the URL is known: %q, unknown is %v", a.Git.URL, a.Unknown)
			}
		},
		planned: func(t *testing.T, plan planOfReal) {
			equal(t, "sources", len(plan.Sources), 0)
			heldBack(t, plan, "FACTS_UNKNOWN", "git.url")
		}},
	{name: "rtlnl-given", folder: "rtlnl__terraform-kubernetes-flux", dir: ".", vars: map[string]string{"git_url": "git@github.com:myname/repo", "install_helm_operator": "true"},
		check: func(t *testing.T, inv migrate.Inventory) {
			a := one(t, inv)
			equal(t, "id", a.ID, "flux/flux")
			equal(t, "interval", a.Git.PollInterval.Duration, time.Minute)
			equal(t, "garbage collection", a.Sync.GarbageCollection, migrate.CollectOff)
			equal(t, "branch", a.Git.Branch, "master")
			equal(t, "paths", a.Git.Paths, []string{})
			equal(t, "key", a.Credential.Identity, migrate.SecretKey{Namespace: "flux", Name: "flux-git-deploy", Key: "identity"})
			// What has to leave the state.
			for _, address := range []string{"kubernetes_namespace.flux", "kubernetes_cluster_role.flux", "kubernetes_cluster_role_binding.flux",
				"kubernetes_deployment.flux", "kubernetes_service.flux", "kubernetes_secret.flux_git_deploy"} {
				said(t, inv, "TERRAFORM_OBJECTS", address)
			}
			said(t, inv, "TERRAFORM_OWNS_NAMESPACE", "kubernetes_namespace.flux")
			said(t, inv, "HELM_OPERATOR_FOUND", "kubernetes_deployment.helm_operator[0]")
		},
		planned: func(t *testing.T, plan planOfReal) {
			spec := sourceSpec(t, plan)
			equal(t, "source", []any{spec["url"], spec["ref"], spec["interval"]}, []any{"ssh://git@github.com/myname/repo", map[string]any{"branch": "master"}, "1m0s"})
			// How often Git is looked at, 1m, is the source's; fluxd applies what is
			// there every 5m (--sync-interval, which is not set).
			onlyKustomization(t, plan, "", false, "5m0s")
		}},
	{name: "rtlnl-remote", folder: "rtlnl__terraform-kubernetes-flux", dir: "examples/minimal",
		check: func(t *testing.T, inv migrate.Inventory) {
			none(t, inv)
			said(t, inv, "TERRAFORM_MODULE_UNREAD", "module.flux", "rtlnl/flux/aws", "examples/minimal/main.tf:1")
		}},
}
