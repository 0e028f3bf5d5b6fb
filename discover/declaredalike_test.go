package discover

import (
	stdcmp "cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// sidecarFolder holds a fluxd among the init containers, which Terraform's readers name and do not read.
const sidecarFolder = "fluxd-as-a-sidecar"

// TestADeploymentMeansTheSameWhereverItIsRead declares the Deployments of the
// clusters in testdata in Terraform, in each form that takes a manifest and in the
// provider's own blocks, and compares what either witness says, in all that Terraform alone can know.
func TestADeploymentMeansTheSameWhereverItIsRead(t *testing.T) {
	folders, err := filepath.Glob("testdata/cluster/*")
	if err != nil || len(folders) == 0 {
		t.Fatal("no cases", err)
	}
	compared, settings, findings, parts := 0, 0, 0, 0
	for _, folder := range folders {
		live, err := open(t, folder).witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(folder, "cluster.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		manifests, documents, blocks := map[string]any{}, map[string]any{}, ""
		for i, doc := range strings.Split("\n"+string(content), "\n---\n") {
			var u unstructured.Unstructured
			if err := sigsyaml.Unmarshal([]byte(doc), &u.Object); err != nil || u.GetKind() != "Deployment" {
				continue
			}
			text, err := sigsyaml.Marshal(u.Object)
			if err != nil {
				t.Fatal(err)
			}
			// A dollar sign before a brace would begin a template.
			manifests[fmt.Sprint("d", i)] = map[string]any{"manifest": u.Object}
			documents[fmt.Sprint("d", i)] = map[string]any{"yaml_body": string(text)}
			blocks += fmt.Sprintf("resource \"kubernetes_deployment\" \"d%d\" {\n%s}\n", i, asBlocks(t, map[string]any{"metadata": u.Object["metadata"], "spec": u.Object["spec"]}))
		}
		for form, resources := range map[string]map[string]any{"kubernetes_manifest": manifests, "kubectl_manifest": documents, "kubernetes_deployment": nil} {
			configuration, err := json.Marshal(map[string]any{"resource": map[string]any{form: resources}})
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{"main.tf.json": string(configuration)}
			if resources == nil {
				files = map[string]string{"main.tf": blocks}
			}
			declared := declaredBy(t, files)
			for _, a := range live.Agents {
				i := slices.IndexFunc(declared.Agents, func(d migrate.Flux1Agent) bool { return d.Namespace == a.Namespace && d.Workload == a.Workload })
				if i < 0 && filepath.Base(folder) == sidecarFolder { // it is named alone
					wantFinding(t, declared, FluxdElsewhere, "a sidecar among the init containers of a Deployment")
					continue
				}
				if i < 0 {
					t.Errorf("%s: %s is not found as a %s", folder, a.ID, form)
					continue
				}
				d := declared.Agents[i]
				compared++
				known := func(of migrate.Flux1Agent) map[string]any {
					all := map[string]any{
						"git.url": of.Git.URL, "git.branch": of.Git.Branch, "git.paths": of.Git.Paths, "git.pollInterval": of.Git.PollInterval, "git.timeout": of.Git.Timeout,
						"git.readonly": of.Git.ReadOnly, "git.secretName": of.Git.SecretName, "git.syncTag": of.Git.SyncTag, "sync.interval": of.Sync.Interval,
						"sync.timeout": of.Sync.Timeout, "sync.garbageCollection": of.Sync.GarbageCollection, "sync.state": of.Sync.State, "manifestGeneration": of.ManifestGeneration,
						"sops": of.SOPS, "allowedNamespaces": of.AllowedNamespaces, "imageAutomation": of.ImageAutomation, "serviceAccount": of.ServiceAccount, "requests": of.Requests,
					}
					for _, name := range d.Unknown { // the cluster knows more
						delete(all, name)
					}
					return all
				}
				if diff := cmp.Diff(known(a), known(d), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: %s: cluster (-), %s (+)\n%s", folder, a.ID, form, diff)
				}
				for _, p := range partDifferences(a.Parts, d.Parts) {
					t.Errorf("%s: %s: %s is %s", folder, a.ID, p.name, p.says("in the cluster", "in a "+form))
				}
				parts += len(d.Parts)
				for _, name := range a.Unknown {
					part, _, _ := strings.Cut(name, ".")
					if slices.Contains([]string{"git", "sync", "sops", "manifestGeneration", "allowedNamespaces", "imageAutomation"}, part) && !slices.Contains(d.Unknown, name) {
						t.Errorf("%s: of %s the cluster does not know %s, and %s does", folder, a.ID, name, form)
					}
				}
				for _, s := range a.Settings {
					// Of a release the ledger is about the chart's values; annotations are the account's
					// own, and what a ConfigMap holds is known in the cluster alone.
					if s.From[0].Witness == "git" { // its declaration in Git says it, and is not there
						continue
					}
					if a.InstalledBy == "helm" || strings.HasPrefix(s.Name, "serviceAccount.annotations.") || s.Name != "envFrom" && strings.Contains(s.From[0].Where, "envFrom ConfigMap ") {
						continue
					}
					j := slices.IndexFunc(d.Settings, func(o migrate.Setting) bool { return o.Name == s.Name })
					if j < 0 {
						t.Errorf("%s: %s: the setting %s is lost in a %s", folder, a.ID, s.Name, form)
						continue
					}
					settings++
					if o := d.Settings[j]; o.Fate != s.Fate && (o.Fate != migrate.Unknown || !slices.Contains(hangOnContents[a.ID], s.Name)) {
						t.Errorf("%s: %s: %s is %s in the cluster and %s in a %s (%s)", folder, a.ID, s.Name, s.Fate, o.Fate, form, o.Why)
					}
				}
				if a.InstalledBy == "helm" {
					continue
				}
				if diff := cmp.Diff(credentialOf(a.Credential), credentialOf(d.Credential)); diff != "" && !slices.Contains(hangOnContents[a.ID], "credential") {
					t.Errorf("%s: %s: credential in the cluster (-), %s (+)\n%s", folder, a.ID, form, diff)
				}
				there, here := codesOf(live, a.ID), codesOf(declared, d.ID)
				here = slices.DeleteFunc(here, func(code string) bool { return code == RightsUnknown.Name }) // bindings are not declared here
				if diff := cmp.Diff(there, here, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: %s: findings in the cluster (-), %s (+)\n%s", folder, a.ID, form, diff)
				}
				findings += len(there)
			}
		}
	}
	if compared < 30 || settings < 150 || findings < 30 || parts < 150 {
		t.Errorf("%d agents with %d settings, %d findings and %d other parts are compared", compared, settings, findings, parts)
	}
}

// ofBlocks are the names that the provider's blocks have for elements of lists, and
// mapsOfBlocks the fields that stay maps (hashicorp/kubernetes: schema_pod_spec.go).
var (
	ofBlocks = map[string]string{
		"containers": "container", "initContainers": "init_container", "volumes": "volume", "volumeMounts": "volume_mount", "envFrom": "env_from", "ports": "port",
		"tolerations": "toleration", "hostAliases": "host_aliases", "httpHeaders": "http_header",
	}
	mapsOfBlocks = []string{"labels", "annotations", "matchLabels", "nodeSelector", "limits", "requests"}
	upper        = regexp.MustCompile(`[A-Z]`)
)

// asBlocks writes the fields of an object as the blocks of a resource that has them.
func asBlocks(t *testing.T, fields map[string]any) string {
	t.Helper()
	var out strings.Builder
	block := func(name string, v map[string]any) {
		out.WriteString(name + " {\n" + asBlocks(t, v) + "}\n")
	}
	for _, field := range sortedNames(fields) {
		name := upper.ReplaceAllStringFunc(field, func(c string) string { return "_" + strings.ToLower(c) })
		switch v := fields[field].(type) {
		case nil:
			continue
		case map[string]any:
			if !slices.Contains(mapsOfBlocks, field) {
				block(name, v)
				continue
			}
		case []any:
			if _, maps := append(v, nil)[0].(map[string]any); maps {
				for _, e := range v {
					block(stdcmp.Or(ofBlocks[field], name), e.(map[string]any))
				}
				continue
			}
		}
		text, err := json.Marshal(fields[field])
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(name + " = " + strings.NewReplacer("${", "$${", "%{", "%%{").Replace(string(text)) + "\n")
	}
	return out.String()
}

// clusterAlone are findings that only a cluster can make.
var clusterAlone = []flux1.Code{
	// What runs, and what binds and keeps it.
	AgentStopped, AgentNotReady, AgentDeleted, RolloutUnfinished, EarlierMarks, SharedAccount, AgentManaged, EgressPolicy, Unapplied, NoNamespace, CloudIdentityUsed, AgentInGit, ReleaseMissing, AgentSecretMissing,
	TokenSecret, TokenPasses, AgentUsesToken, CopiedByOperator, CopiedToPods,
	// What repository and objects hold.
	GitUnreadable, GitAuth, NeverSynced, StuckAtHead, HeadNotTold, TwoAgentsOneObject, SameSet, SharedTag, Orphans, flux1.Exported, flux1.HelmRelease1, flux1.Flux2InGit, flux1.GitSecretFiles, flux1.Submodules,
	AgentInGitOnly, WitnessesDisagree, flux1.ManifestGeneration, flux1.NoUpdaters,
}

// hangOnContents are, by agent, the findings and settings that hang on what a
// Secret or ConfigMap holds, and of which Terraform says that it does not know.
var hangOnContents = map[string][]string{
	"flux/from-env":    {"SYMBOLIC_FLAG", "--git-branch", "--k8s-default-namespace"},
	"flux/no-such-key": {"CREDENTIAL_MISSING", "credential"},
	"flux/shop":        {"CUSTOM_CA", "credential", "envFrom"},
}

// codesOf are the codes of an agent's findings that either witness can make,
// each once.
func codesOf(inv migrate.Inventory, id string) []string {
	var out []string
	for _, f := range inv.Findings {
		alone := strings.HasPrefix(f.Code, "TERRAFORM_") || strings.HasPrefix(f.Code, flux1.HelmRelease1.Name) || slices.ContainsFunc(clusterAlone, func(c flux1.Code) bool { return c.Name == f.Code })
		if f.Repository == id && !alone && !slices.Contains(hangOnContents[id], f.Code) && !slices.Contains(out, f.Code) {
			out = append(out, f.Code)
		}
	}
	slices.Sort(out)
	return out
}

// credentialOf is a credential but for what ConfigMaps hold.
func credentialOf(c migrate.AgentCredential) migrate.AgentCredential {
	c.KnownHosts = ""
	return c
}
