package discover

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/cluster"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/discovery"
	fakediscovery "k8s.io/client-go/discovery/fake"
	k8stesting "k8s.io/client-go/testing"
	sigsyaml "sigs.k8s.io/yaml"
)

// planGolden compares the plan of an Inventory, proved in a world that may be
// nil, with testdata/plan/NAME.yaml. cmd/fluxover demands that the goldens show
// every hazard that a plan can show.
func planGolden(t *testing.T, name string, inv migrate.Inventory, w proof.World) {
	t.Helper()
	planGoldenWith(t, name, inv, migrate.Options{}, w)
}

// planGoldenWith is planGolden of a plan that is made with options.
func planGoldenWith(t *testing.T, name string, inv migrate.Inventory, opts migrate.Options, w proof.World) {
	t.Helper()
	raw, err := sigsyaml.Marshal(planOfInventory(t, inv, opts, w))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), markedSecret) {
		t.Error("a secret is told")
	}
	equalsGolden(t, filepath.Join("testdata", "plan", name+".yaml"), string(raw))
}

// The clusters of testdata/cluster are planned as they are discovered.
func TestDiscoveredClustersArePlanned(t *testing.T) {
	folders, err := filepath.Glob("testdata/cluster/*")
	if err != nil || len(folders) == 0 {
		t.Fatal("no cases", err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			inv, err := open(t, folder).witness.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			planGolden(t, "cluster-"+filepath.Base(folder), inv, nil)
		})
	}
	t.Run("without admission policies", func(t *testing.T) {
		f := open(t, "testdata/cluster/one-agent")
		f.kube.Discovery().(*fakediscovery.FakeDiscovery).Resources = slices.DeleteFunc(slices.Clone(served), func(l *metav1.APIResourceList) bool {
			return strings.HasPrefix(l.GroupVersion, "admissionregistration")
		})
		inv, err := f.witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		planGolden(t, "cluster-no-admission-policies", inv, nil)
	})
	t.Run("with an API that is down", func(t *testing.T) {
		f := open(t, "testdata/cluster/one-agent")
		f.witness.disco = failingDiscovery{f.witness.disco, &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{{Group: "custom.example.org", Version: "v1"}: errors.New("503")}}}
		inv, err := f.witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		planGolden(t, "cluster-api-down", inv, nil)
	})
	t.Run("with a kind that is down", func(t *testing.T) {
		f := open(t, "testdata/cluster/one-agent")
		f.witness.patience = &cluster.Patience{}
		f.meta.PrependReactor("list", "helmreleases", func(a k8stesting.Action) (bool, runtime.Object, error) {
			return a.GetResource().Group == "helm.fluxcd.io", nil, apierrors.NewTooManyRequests(`storage is (re)initializing: conversion webhook for helm.fluxcd.io/v1, Kind=HelmRelease failed: service "helm-operator" not found`, 30)
		})
		inv, err := f.witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		planGolden(t, "cluster-kind-down", inv, nil)
	})
}

// The trees that show how fluxd loads are planned as well.
func TestTreesOfEachRuleAreBuiltOnce(t *testing.T) {
	folders, err := filepath.Glob("../migrate/flux1/testdata/load/*")
	if err != nil || len(folders) == 0 {
		t.Fatal("no cases", err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			config, err := os.ReadFile(filepath.Join(folder, "config.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			var in struct {
				Paths                    []string
				ManifestGeneration, SOPS bool
				DefaultNamespace         string
				AllowedNamespaces        []string
			}
			if err := sigsyaml.Unmarshal(config, &in); err != nil {
				t.Fatal(err)
			}
			inv, err := Checkout(t.Context(), CheckoutOptions{
				FS: os.DirFS(filepath.Join(folder, "tree")), ID: "flux/team", URL: "https://git.example.com/team", Branch: "main", Paths: in.Paths, AllowedNamespaces: in.AllowedNamespaces,
				ManifestGeneration: &in.ManifestGeneration, SOPS: &in.SOPS, DefaultNamespace: in.DefaultNamespace, Kinds: hazardKinds,
			})
			if err != nil {
				t.Fatal(err)
			}
			planGolden(t, "load-"+filepath.Base(folder), asRun(inv), nil)
		})
	}
}

var hazardKinds = []migrate.ServedKind{
	{Version: "v1", Kind: "ConfigMap", Namespaced: true}, {Version: "v1", Kind: "Secret", Namespaced: true}, {Version: "v1", Kind: "Service", Namespaced: true},
	{Version: "v1", Kind: "Namespace"}, {Version: "v1", Kind: "PersistentVolumeClaim", Namespaced: true},
	{Group: "apps", Version: "v1", Kind: "Deployment", Namespaced: true}, {Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler", Namespaced: true},
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
}

// asRun gives an agent of which only the repository was read what else is known
// of one that a cluster runs.
func asRun(inv migrate.Inventory) migrate.Inventory {
	for i := range inv.Agents {
		a := &inv.Agents[i]
		a.Namespace, a.Release, _ = strings.Cut(a.ID, "/")
		a.ServiceAccount, a.Workload = "flux", "flux"
		a.Git.PollInterval.Duration, a.Git.Timeout.Duration = 5*time.Minute, 20*time.Second
		a.Sync = migrate.AgentSync{Interval: metav1.Duration{Duration: 5 * time.Minute}, Timeout: metav1.Duration{Duration: time.Minute}, GarbageCollection: migrate.CollectOn}
		a.Confinement = migrate.Confinement{Kind: "custom"}
		a.Synced.Commit, a.Unknown = strings.Repeat("c", 40), nil
	}
	return inv
}

// hazardCases are repositories in which a hazard would come true, each by itself.
// cmd/fluxover says which golden shows which. cluster holds what is live, in which
// fields that people set belong to them; an object that is not there is as in Git.
var hazardCases = map[string]struct {
	files string
	// args of the agent, in place of what it is else described by.
	args []string
	// other are the files of a second agent, flux/other.
	other   string
	cluster string
	refuse  map[string]error
	absent  []string
	// engine, if it is not the bundled agent.
	engine string
	// kinds that are served beside those of hazardKinds.
	kinds  []migrate.ServedKind
	change func(*migrate.Flux1Agent)
}{
	"nothing-special": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a")},
	"policy-that-no-fence-reaches": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/policy.yaml --\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: team}\nspec: {policyName: team, validationActions: [Deny]}\n",
		kinds: []migrate.ServedKind{{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"}}},
	"one-object-is-refused": {
		files:  "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/bad.yaml --\n" + plainConfigMap("bad"),
		refuse: map[string]error{"shop_bad__ConfigMap": apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "bad", field.ErrorList{field.Invalid(field.NewPath("data").Key("k"), "v", "is not good enough")})}},
	"cluster-scoped-object-of-a-confined-agent": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/role.yaml --\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: wide}\n",
		refuse: map[string]error{
			"_wide_rbac.authorization.k8s.io_ClusterRole": apierrors.NewForbidden(schema.GroupResource{Group: rbacv1.GroupName, Resource: "clusterroles"}, "wide", errors.New(`User "system:serviceaccount:flux:flux" cannot patch resource`))},
		change: func(a *migrate.Flux1Agent) {
			a.Confinement = migrate.Confinement{Kind: "namespaces", Namespaces: []string{"shop"}}
			a.Rights = []migrate.Binding{{Namespace: "shop", Name: "flux", Role: roleRef("Role", "flux"), ReleaseOwned: true, Rules: allRules()}}
		}},
	"namespace-that-nobody-makes": {
		files:  "-- p/app/lost.yaml --\n" + strings.Replace(plainConfigMap("lost"), "namespace: shop", "namespace: gone", 1),
		refuse: map[string]error{"gone_lost__ConfigMap": apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "gone")}},
	"immutable-field": {
		files:  "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		refuse: map[string]error{"shop_a__ConfigMap": apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "a", field.ErrorList{field.Forbidden(field.NewPath("data"), "field is immutable when `immutable` is set")})}},
	"unknown-field": {
		files:  "-- p/app/web.yaml --\n" + strings.Replace(webDeployment, "replicas: 2", "replica: 2", 1),
		refuse: map[string]error{"shop_web_apps_Deployment": apierrors.NewBadRequest(".spec.replica: field not declared in schema")}},
	"webhook-that-refuses-dry-runs": {
		files:  "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		refuse: map[string]error{"shop_a__ConfigMap": apierrors.NewInternalError(errors.New(`admission webhook "quota.example.com" does not support dry run`))}},
	"hand-set-fields": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/b.yaml --\n" + plainConfigMap("b"),
		cluster: `
apiVersion: v1
kind: ConfigMap
metadata:
  name: a
  namespace: shop
  managedFields:
  - {manager: kubectl-edit, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:data": {"f:by-hand": {}}}}
data: {k: v, by-hand: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: shop}
data: {k: other}
`},
	"restarted-by-hand": {
		files: "-- p/app/web.yaml --\n" + webDeployment,
		cluster: strings.Replace(strings.Replace(webDeployment, "metadata: {labels: {app: web}}", `metadata: {labels: {app: web}, annotations: {kubectl.kubernetes.io/restartedAt: "2026-01-01T00:00:00Z"}}`, 1), "metadata: {name: web, namespace: shop}",
			`metadata: {name: web, namespace: shop, managedFields: [{manager: kubectl-rollout, operation: Update, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:template": {"f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/restartedAt": {}}}}}}}]}`, 1)},
	"another-image": {
		files:   "-- p/app/web.yaml --\n" + webDeployment,
		cluster: strings.Replace(webDeployment, "web:1", "web:2", 1)},
	"image-in-the-patch-file": {
		files: "-- p/.flux.yaml --\n" + patchUpdated + "-- p/kustomization.yaml --\n" + kustomizeFile("resources: [web.yaml]\n") + "-- p/web.yaml --\n" + shopDeployment + "-- p/flux-patch.yaml --\n" + imagePatch,
		args:  hazardArgs("--manifest-generation")},
	"patch-that-kustomize-does-not-read": {
		files: "-- p/.flux.yaml --\n" + patchUpdated + "-- p/kustomization.yaml --\n" + kustomizeFile("resources: [web.yaml]\n") + "-- p/web.yaml --\n" + shopDeployment +
			"-- p/flux-patch.yaml --\n" + strings.Replace(imagePatch, "    spec:\n", "    spec:\n      $retainKeys: [containers]\n", 1),
		args: hazardArgs("--manifest-generation")},
	"generated-by-another-command": {
		files: "-- p/.flux.yaml --\nversion: 1\npatchUpdated:\n  generators:\n  - command: helm template .\n  patchFile: flux-patch.yaml\n-- p/web.yaml --\n" + shopDeployment,
		args:  hazardArgs("--manifest-generation")},
	"replicas-and-an-autoscaler": {
		files:   "-- p/app/web.yaml --\n" + webDeployment + "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web, namespace: shop}\nspec: {minReplicas: 2, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n",
		cluster: strings.Replace(webDeployment, "replicas: 2", "replicas: 5", 1)},
	"image-automation": {
		files: "-- p/app/web.yaml --\n" + strings.Replace(webDeployment, "namespace: shop}", `namespace: shop, annotations: {fluxcd.io/automated: "true", fluxcd.io/tag.web: "regexp:^1.*$"}}`, 1)},
	"not-in-the-cluster": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a"), absent: []string{"shop_a__ConfigMap"}},
	"owned-by-another-kustomization": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		cluster: strings.Replace(plainConfigMap("a"), "namespace: shop", "namespace: shop, labels: {kustomize.toolkit.fluxcd.io/name: other, kustomize.toolkit.fluxcd.io/namespace: flux-system}", 1) +
			"---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: other, namespace: flux-system}\nstatus: {inventory: {entries: [{id: shop_a__ConfigMap, v: v1}]}}\n"},
	"labels-of-a-flux2-that-is-gone": {
		files:   "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		cluster: strings.Replace(plainConfigMap("a"), "namespace: shop", "namespace: shop, labels: {kustomize.toolkit.fluxcd.io/name: other, kustomize.toolkit.fluxcd.io/namespace: flux-system}", 1),
		absent:  []string{"flux-system_other_kustomize.toolkit.fluxcd.io_Kustomization"}},
	"one-object-in-two-repositories": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/b.yaml --\n" + plainConfigMap("b"), other: "-- p/app/a.yaml --\n" + plainConfigMap("a")},
	"files-that-move-under-stock-flux2": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/shop/b.yaml --\n" + plainConfigMap("b"), engine: "existing"},
	"no-longer-in-git": {
		files:  "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		change: func(a *migrate.Flux1Agent) { a.Marked = []string{"shop_a__ConfigMap", "shop_left__ConfigMap"} }},
	"garbage-collection-off": {
		files:  "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		change: func(a *migrate.Flux1Agent) { a.Sync.GarbageCollection = migrate.CollectOff }},
	"garbage-collection-dry": {
		files:  "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		change: func(a *migrate.Flux1Agent) { a.Sync.GarbageCollection = migrate.CollectDry }},
	"takes-others-with-it": {
		files: "-- p/app/ns.yaml --\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: shop}\n---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {name: disk}\n",
		kinds: []migrate.ServedKind{{Version: "v1", Kind: "PersistentVolume"}}},
	"definition-in-git": {
		files: "-- p/app/crd.yaml --\n" + widgetDefinition},
	"kind-defined-beside-its-objects": {
		files: "-- p/kinds/crd.yaml --\n" + widgetDefinition + "-- p/app/widget.yaml --\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\n"},
	"kind-no-longer-served": {
		files:  "-- p/app/a.yaml --\n" + plainConfigMap("a") + "---\napiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: web, namespace: shop}\n",
		kinds:  []migrate.ServedKind{{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress", Namespaced: true}},
		absent: []string{"shop_web_extensions_Ingress"},
		refuse: map[string]error{"shop_web_extensions_Ingress": &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "extensions", Kind: "Ingress"}, SearchedVersions: []string{"v1beta1"}}}},
	"release-of-the-helm-operator": {
		files: "-- p/app/release.yaml --\napiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: cache, namespace: shop}\nspec: {chart: {repository: https://charts.example.com, name: redis, version: 1.2.3}}\n",
		kinds: []migrate.ServedKind{{Group: "helm.fluxcd.io", Version: "v1", Kind: "HelmRelease", Namespaced: true}}},
	"object-of-flux2": {
		files: "-- p/app/source.yaml --\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: apps, namespace: shop}\nspec: {url: https://git.example.com/apps, interval: 1m}\n",
		kinds: []migrate.ServedKind{{Group: "source.toolkit.fluxcd.io", Version: "v1", Kind: "GitRepository", Namespaced: true}}},
	"agent-in-git": {
		files: "-- p/app/flux.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: other, namespace: flux}\nspec:\n  selector: {matchLabels: {name: other}}\n  template:\n    metadata: {labels: {name: other}}\n" +
			"    spec: {containers: [{name: flux, image: \"fluxcd/flux:1.25.4\", args: [--git-url=https://git.example.com/other, --git-branch=main]}]}\n"},
	"ignored-by-fluxd": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "---\n" + strings.Replace(plainConfigMap("b"), "namespace: shop", "namespace: shop, annotations: {fluxcd.io/ignore: 'true'}", 1) + "---\n" +
			strings.Replace(plainConfigMap("c"), "namespace: shop", "namespace: shop, annotations: {fluxcd.io/ignore: sync_only}", 1)},
	"outside-of-the-allowed-namespaces": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "---\n" + strings.Replace(plainConfigMap("b"), "namespace: shop", "namespace: bank", 1) + "-- p/bank/c.yaml --\n" + strings.Replace(plainConfigMap("c"), "namespace: shop", "namespace: bank", 1),
		args:  hazardArgs("--k8s-allow-namespace=shop")},
	"no-namespace": {
		files: "-- p/app/a.yaml --\n" + strings.Replace(plainConfigMap("a"), ", namespace: shop", "", 1)},
	"no-name": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/b.yaml --\n" + strings.Replace(plainConfigMap("b"), "name: b", "generateName: b-", 1)},
	"left-out-by-flux2": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/b.yaml --\n" + strings.Replace(plainConfigMap("b"), "namespace: shop", "namespace: shop, annotations: {config.kubernetes.io/local-config: 'true'}", 1)},
	"linked-file": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- shared/b.yaml --\n" + plainConfigMap("b") + "-- p/app/b.yaml -> ../../shared/b.yaml --\n"},
	"no-manifest": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/values.yaml --\nreplicas: 2\n-- p/mixed/b.yaml --\nreplicas: 2\n---\n" + plainConfigMap("b")},
	"chart-in-the-tree": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/chart/Chart.yaml --\nname: web\nversion: 1.0.0\n-- p/chart/values.yaml --\nname: web\n-- p/chart/templates/web.yaml --\n{{- if .Values.name }}\n" + plainConfigMap("web") + "{{- end }}\n"},
	"files-of-ci": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/.gitlab/ci.yaml --\nstages: [test]\n-- p/.github/workflows/test.yaml --\non: push\n-- p/.github/b.yaml --\n" + plainConfigMap("b")},
	"sourceignore": {
		files: "-- .sourceignore --\n/p/app/b.yaml\n-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/b.yaml --\n" + plainConfigMap("b") + "-- p/.github/workflows/test.yaml --\non: push\n"},
	"sourceignore-that-cannot-be-read": {
		files: "-- .sourceignore -> p --\n-- p/app/a.yaml --\n" + plainConfigMap("a")},
	"yaml-1-1": {
		files: "-- p/app/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\ndata: {on: 'yes'}\n"},
	"a-key-that-stands-twice": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "kind: ConfigMap\n"},
	"a-number-for-text": {
		files: "-- p/app/a.yaml --\n" + strings.Replace(plainConfigMap("a"), "namespace: shop", "namespace: shop, annotations: {mode: 17}", 1)},
	"an-annotation-that-is-no-text-and-keeps-it-local": {
		files: "-- p/app/a.yaml --\n" + strings.Replace(plainConfigMap("a"), "namespace: shop", "namespace: shop, annotations: {config.kubernetes.io/local-config: true}", 1) + "-- p/app/b.yaml --\n" + plainConfigMap("b")},
	"name-that-is-a-number": {
		files: "-- p/app/a.yaml --\n" + strings.Replace(plainConfigMap("a"), "namespace: shop", "namespace: 42", 1) + "-- p/app/b.yaml --\n" + plainConfigMap("123")},
	"patch-of-a-list-that-fluxd-replaces": {
		files: "-- p/.flux.yaml --\nversion: 1\ncommandUpdated:\n  generators:\n  - command: kustomize build .\n-- p/kustomization.yaml --\n" + kustomizeFile("resources: [tidy.yaml]\npatchesStrategicMerge: [more.yaml]\n") +
			"-- p/tidy.yaml --\n" + tidyCronJob("[{name: tidy, image: tidy, args: [--all]}]") + "-- p/more.yaml --\n" + tidyCronJob("[{name: tidy, image: 'tidy:2'}]"),
		args: hazardArgs("--manifest-generation"), kinds: []migrate.ServedKind{{Group: "batch", Version: "v1", Kind: "CronJob", Namespaced: true}}},
	"patch-that-kustomize-passes-over": {
		files: "-- p/.flux.yaml --\nversion: 1\ncommandUpdated:\n  generators:\n  - command: kustomize build .\n-- p/kustomization.yaml --\n" + kustomizeFile("resources: [web.yaml]\npatchesStrategicMerge: [more.yaml]\n") +
			"-- p/web.yaml --\n" + shopDeployment + "-- p/more.yaml --\n" + strings.Replace(imagePatch, "    spec:\n", "    spec:\n      $retainKeys: [containers]\n", 1),
		args: hazardArgs("--manifest-generation")},
	"patch-that-is-loaded-as-an-object": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/patch.yaml --\n" + plainConfigMap("b") + "$patch: delete\n"},
	"large": {
		files: "-- p/app/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\ndata: {k: '" + strings.Repeat("x", 262144) + "'}\n"},
	"too-large-to-read": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/b.yaml --\n" + strings.Repeat("---\n", 30_000)},
	"path-that-leads-outside": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		args:  []string{"--git-url=https://git.example.com/team", "--git-branch=main", "--git-path=../elsewhere"}},
	"path-from-the-root": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		args:  []string{"--git-url=https://git.example.com/team", "--git-branch=main", "--git-path=/p"}},
	"no-branch": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		args:  []string{"--git-url=https://git.example.com/team", "--git-path=p"}},
	"nothing-at-the-path": {
		files: "-- p/README.md --\nGone.\n"},
	"signatures": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		args:  hazardArgs("--git-verify-signatures")},
	"git-secret": {
		files: "-- .gitsecret/paths/mapping.cfg --\nx\n-- p/app/password.yaml.secret --\nx\n-- p/app/a.yaml --\n" + plainConfigMap("a"),
		args:  hazardArgs("--git-secret")},
	"kinds-that-fluxd-does-not-look-at": {
		files: "-- p/app/web.yaml --\n" + webDeployment,
		args:  hazardArgs("--k8s-unsafe-exclude-resource=apps/v1/Deployment")},
	"notifications": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		args:  hazardArgs("--connect=ws://fluxcloud")},
	"unknown-host-key": {
		files:  "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		args:   []string{"--git-url=git@git.example.com:team", "--git-branch=main", "--git-path=p"},
		change: func(a *migrate.Flux1Agent) { a.Credential = deployKey("") }},
	"deploy-key": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		args:  []string{"--git-url=git@git.example.com:team", "--git-branch=main", "--git-path=p"},
		change: func(a *migrate.Flux1Agent) {
			a.Credential = deployKey("git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n")
		}},
	"submodules": {
		files: "-- .gitmodules --\n[submodule \"lib\"]\n\tpath = lib\n\turl = https://example.org/lib\n-- p/app/a.yaml --\n" + plainConfigMap("a")},
	"exported-from-a-cluster": {
		files: "-- p/app/a.yaml --\n" + strings.Replace(plainConfigMap("a"), "namespace: shop", "namespace: shop, uid: 0b7a5c4e, resourceVersion: '12', creationTimestamp: '2020-01-01T00:00:00Z'", 1)},
	"mark-in-git": {
		files: "-- p/app/a.yaml --\n" + strings.Replace(plainConfigMap("a"), "namespace: shop", "namespace: shop, labels: {fluxcd.io/sync-gc-mark: sha256.k9L-nKM9beP_v-RyAgs0-gHnZF4p2s870B_of22Mvbw}", 1)},
	"nothing-is-built": {
		files: "-- p/app/a.yaml --\n" + strings.Replace(plainConfigMap("a"), "namespace: shop", "namespace: shop, annotations: {config.kubernetes.io/local-config: 'true'}", 1)},
	"substitution": {
		files: "-- p/app/a.yaml --\n" + strings.Replace(plainConfigMap("a"), "k: v", "k: '${HOME}'", 1)},
	"git-lfs": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "-- p/app/large.yaml --\nversion https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"},
	"roles-of-the-release": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		change: func(a *migrate.Flux1Agent) {
			a.Rights = []migrate.Binding{{Namespace: "shop", Name: "flux", Role: roleRef("Role", "flux"), ReleaseOwned: true, Rules: allRules()}, {Name: "flux-view", Role: roleRef("ClusterRole", "view"), Rules: allRules()}}
		}},
}

func TestHazardsArePlanned(t *testing.T) {
	for name, c := range hazardCases {
		t.Run(name, func(t *testing.T) {
			opts := CheckoutOptions{
				FS: treeOf(c.files), ID: "flux/team", URL: "https://git.example.com/team", Branch: "main", Paths: []string{"p"}, DefaultNamespace: "shop",
				Kinds: slices.Concat(hazardKinds, c.kinds),
			}
			config, settings, found := flux1.ParseArgs(c.args)
			if len(c.args) > 0 {
				opts.URL, opts.Branch, opts.Paths = string(config.URL), config.Branch, config.Paths
				opts.AllowedNamespaces, opts.ManifestGeneration = config.AllowedNamespaces, &config.ManifestGeneration
			}
			inv, err := Checkout(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			if c.other != "" {
				opts.FS, opts.ID, opts.URL = treeOf(c.other), "flux/other", "https://git.example.com/other"
				other, err := Checkout(t.Context(), opts)
				if err != nil {
					t.Fatal(err)
				}
				inv.Agents, inv.Findings = append(inv.Agents, other.Agents...), append(inv.Findings, other.Findings...)
			}
			inv = asRun(inv)
			if len(c.args) > 0 {
				inv.Agents[0].Settings = settings
				for _, f := range found {
					f.Repository, f.Subject = "flux/team", "flux/team"
					inv.Findings = append(inv.Findings, f)
				}
			}
			if c.change != nil {
				c.change(&inv.Agents[0])
			}
			w := &hazardWorld{live: map[string]*unstructured.Unstructured{}, refuse: c.refuse, absent: c.absent}
			for doc := range strings.SplitSeq(c.cluster, "\n---\n") {
				u := &unstructured.Unstructured{}
				if err := sigsyaml.Unmarshal([]byte(doc), &u.Object); err != nil {
					t.Fatal(err)
				}
				if u.Object != nil {
					live := proof.Normalized(u)
					if status, has := u.Object["status"]; has { // which no manifest keeps
						live.Object["status"] = status
					}
					w.live[migrate.ObjectID(u)] = live
				}
			}
			planGoldenWith(t, "hazard-"+name, inv, migrate.Options{Engine: c.engine}, w)
		})
	}
}

// tidyCronJob is a CronJob of a kind that only Kustomize 5 has a schema of.
func tidyCronJob(containers string) string {
	return "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: tidy, namespace: shop}\nspec: {schedule: 0 1 * * *, jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: " + containers + "}}}}}\n"
}

func plainConfigMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: shop}\ndata: {k: v}\n"
}

const webDeployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"}]}
`

// imagePatch is fluxPatch of an image that a person chose.
var imagePatch = strings.Replace(fluxPatch, "  annotations: {fluxcd.io/automated: \"true\", fluxcd.io/tag.web: \"semver:~1\"}\n", "", 1)

const widgetDefinition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec: {group: example.com, names: {kind: Widget, plural: widgets}, scope: Namespaced, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}
`

// hazardArgs are those of an agent that is as the others, with more.
func hazardArgs(more ...string) []string {
	return append([]string{"--git-url=https://git.example.com/team", "--git-branch=main", "--git-path=p"}, more...)
}

// deployKey is a credential as the chart makes it.
func deployKey(knownHosts string) migrate.AgentCredential {
	return migrate.AgentCredential{Kind: "ssh", Identity: migrate.SecretKey{Namespace: "flux", Name: "team-git-deploy", Key: "identity"}, KnownHosts: knownHosts}
}

// hazardWorld is a cluster in which every object is as in Git, but for those
// that live holds. It answers as an API server does, field owners included.
type hazardWorld struct {
	live   map[string]*unstructured.Unstructured
	refuse map[string]error
	absent []string
}

func (w *hazardWorld) Live(_ context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	id := migrate.ObjectID(o)
	for _, a := range w.absent {
		if a == id {
			return nil, nil
		}
	}
	if live := w.live[id]; live != nil {
		return live.DeepCopy(), nil
	}
	live := o.DeepCopy()
	labels := live.GetLabels()
	delete(labels, proof.LabelOwnerName)
	delete(labels, proof.LabelOwnerNamespace)
	live.SetLabels(labels)
	if live.GetKind() == "CustomResourceDefinition" { // of which the API server reports
		live.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}}
	}
	return live, nil
}

func (w *hazardWorld) LiveIn(context.Context, schema.GroupVersionKind, string, int) (map[string]*unstructured.Unstructured, bool) {
	return nil, false
}

func (w *hazardWorld) DryRun(ctx context.Context, _ proof.Account, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if err := w.refuse[migrate.ObjectID(o)]; err != nil {
		return nil, err
	}
	live, err := w.Live(ctx, o)
	if err != nil || live == nil {
		return o.DeepCopy(), err
	}
	merge(live.Object, o.DeepCopy().Object)
	raw, err := json.Marshal(fieldsOf(o.Object))
	if err != nil {
		return nil, err
	}
	live.SetManagedFields(append(live.GetManagedFields(), metav1.ManagedFieldsEntry{
		Manager: "kustomize-controller", Operation: metav1.ManagedFieldsOperationApply, APIVersion: o.GetAPIVersion(), FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(raw)),
	}))
	return live, nil
}

func (w *hazardWorld) DryRunChange(_ context.Context, _ proof.Account, _, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return o, nil
}

// merge lets what is applied stand over what is live; lists are taken whole.
func merge(live, applied map[string]any) {
	for key, value := range applied {
		below, isMap := value.(map[string]any)
		if held, both := live[key].(map[string]any); isMap && both {
			merge(held, below)
			continue
		}
		live[key] = value
	}
}

// fieldsOf is a set of fields as managedFields hold it.
func fieldsOf(object map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range object {
		if key == "apiVersion" || key == "kind" || key == "name" || key == "namespace" {
			continue
		}
		below, _ := value.(map[string]any)
		out["f:"+key] = fieldsOf(below)
	}
	return out
}

func roleRef(kind, name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
}

func allRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}
}
