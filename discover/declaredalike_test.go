package discover

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/migrate"
)

// TestADeploymentMeansTheSameWhereverItIsRead declares the Deployments of the
// clusters in testdata in Terraform, in each form that takes a manifest, and
// compares what either witness says, in all that Terraform alone can know.
func TestADeploymentMeansTheSameWhereverItIsRead(t *testing.T) {
	folders, err := filepath.Glob("testdata/cluster/*")
	if err != nil || len(folders) == 0 {
		t.Fatal("no cases", err)
	}
	compared, settings := 0, 0
	for _, folder := range folders {
		live, err := open(t, folder).witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(folder, "cluster.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		manifests, documents := map[string]any{}, map[string]any{}
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
		}
		for form, resources := range map[string]map[string]any{"kubernetes_manifest": manifests, "kubectl_manifest": documents} {
			configuration, err := json.Marshal(map[string]any{"resource": map[string]any{form: resources}})
			if err != nil {
				t.Fatal(err)
			}
			declared := declaredBy(t, map[string]string{"main.tf.json": string(configuration)})
			for _, a := range live.Agents {
				i := slices.IndexFunc(declared.Agents, func(d migrate.Flux1Agent) bool { return d.Namespace == a.Namespace && d.Workload == a.Workload })
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
				for _, name := range a.Unknown {
					part, _, _ := strings.Cut(name, ".")
					if slices.Contains([]string{"git", "sync", "sops", "manifestGeneration", "allowedNamespaces", "imageAutomation"}, part) && !slices.Contains(d.Unknown, name) {
						t.Errorf("%s: of %s the cluster does not know %s, and %s does", folder, a.ID, name, form)
					}
				}
				for _, s := range a.Settings {
					// Of a release the ledger is about the chart's values; annotations are the account's
					// own, and what a ConfigMap holds is known in the cluster alone.
					if a.InstalledBy == "helm" || strings.HasPrefix(s.Name, "serviceAccount.annotations.") || s.Name != "envFrom" && strings.Contains(s.From[0].Where, "envFrom ConfigMap ") {
						continue
					}
					j := slices.IndexFunc(d.Settings, func(o migrate.Setting) bool { return o.Name == s.Name })
					if j < 0 {
						t.Errorf("%s: %s: the setting %s is lost in a %s", folder, a.ID, s.Name, form)
						continue
					}
					settings++
					if o := d.Settings[j]; o.Fate != migrate.Unknown && o.Fate != s.Fate {
						t.Errorf("%s: %s: %s is %s in the cluster and %s in a %s", folder, a.ID, s.Name, s.Fate, o.Fate, form)
					}
				}
			}
		}
	}
	if compared < 20 || settings < 100 {
		t.Errorf("%d agents with %d settings are compared", compared, settings)
	}
}
