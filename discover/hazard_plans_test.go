package discover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/proof"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	fakediscovery "k8s.io/client-go/discovery/fake"
	sigsyaml "sigs.k8s.io/yaml"
)

// planGolden compares the plan of an Inventory, proved in a world that may be
// nil, with testdata/plan/NAME.yaml. cmd/fluxover demands that the goldens show
// every hazard that a plan can show.
func planGolden(t *testing.T, name string, inv migrate.Inventory, w proof.World) {
	t.Helper()
	raw, err := sigsyaml.Marshal(planOfInventory(t, inv, w))
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
		f := open(t, "testdata/cluster/ordinary")
		f.kube.Discovery().(*fakediscovery.FakeDiscovery).Resources = slices.DeleteFunc(slices.Clone(served), func(l *metav1.APIResourceList) bool {
			return strings.HasPrefix(l.GroupVersion, "admissionregistration")
		})
		inv, err := f.witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		planGolden(t, "cluster-no-admission-policies", inv, nil)
	})
	t.Run("of an old Kubernetes", func(t *testing.T) {
		f := open(t, "testdata/cluster/ordinary")
		f.kube.Discovery().(*fakediscovery.FakeDiscovery).FakedServerVersion = &version.Info{GitVersion: "v1.25.3"}
		inv, err := f.witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		planGolden(t, "cluster-too-old", inv, nil)
	})
	t.Run("with an API that is down", func(t *testing.T) {
		f := open(t, "testdata/cluster/ordinary")
		f.witness.disco = failingDiscovery{f.witness.disco, &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{{Group: "custom.example.org", Version: "v1"}: errors.New("503")}}}
		inv, err := f.witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		planGolden(t, "cluster-api-down", inv, nil)
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

// The provider of a namespace that goes with the release is Terraform alone.
func TestANamespaceOfTerraformIsPlanned(t *testing.T) {
	for _, c := range realConfigurations {
		if c.name == "teks-on" {
			planGolden(t, "terraform-"+c.name, readDeclared(t, c), nil)
		}
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

// hazardCases are repositories in which a hazard would come true, and that no
// other golden of a plan shows. cluster holds what is live, in which fields that
// people set belong to them; an object that is not there is as in Git.
var hazardCases = map[string]struct {
	files   string
	args    []string
	cluster string
	refuse  map[string]error
	absent  []string
	change  func(*migrate.Flux1Agent)
}{
	"refused": {
		files: hazardFiles,
		refuse: map[string]error{
			"shop_immutable__ConfigMap":                   apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "immutable", field.ErrorList{field.Forbidden(field.NewPath("data"), "field is immutable when `immutable` is set")}),
			"gone_lost__ConfigMap":                        apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "gone"),
			"_wide_rbac.authorization.k8s.io_ClusterRole": apierrors.NewForbidden(schema.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}, "wide", errors.New(`User "system:serviceaccount:flux:flux" cannot patch resource`)),
			"shop_hooked__ConfigMap":                      apierrors.NewInternalError(errors.New(`admission webhook "quota.example.com" does not support dry run`)),
			"shop_strict__ConfigMap":                      apierrors.NewBadRequest(".spec.replica: field not declared in schema"),
		},
	},
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
	"replicas-and-an-autoscaler": {
		files:   "-- p/app/web.yaml --\n" + webDeployment + "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web, namespace: shop}\nspec: {minReplicas: 2, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n",
		cluster: strings.Replace(webDeployment, "replicas: 2", "replicas: 5", 1)},
	"not-in-the-cluster": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a"), absent: []string{"shop_a__ConfigMap"}},
	"owned-by-another-kustomization": {
		files:   "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		cluster: strings.Replace(plainConfigMap("a"), "namespace: shop", "namespace: shop, labels: {kustomize.toolkit.fluxcd.io/name: other, kustomize.toolkit.fluxcd.io/namespace: flux-system}", 1)},
	"no-longer-in-git": {
		files:  "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		change: func(a *migrate.Flux1Agent) { a.Marked = []string{"shop_a__ConfigMap", "shop_left__ConfigMap"} }},
	"garbage-collection-off": {
		files:  "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		change: func(a *migrate.Flux1Agent) { a.Sync.GarbageCollection = migrate.CollectOff }},
	"takes-others-with-it": {
		files: "-- p/app/ns.yaml --\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: shop}\n---\n" +
			"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\nspec: {group: example.com, names: {kind: Widget, plural: widgets}, scope: Namespaced, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}\n"},
	"ignored-by-fluxd": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a") + "---\n" + strings.Replace(plainConfigMap("b"), "namespace: shop", "namespace: shop, annotations: {fluxcd.io/ignore: 'true'}", 1) + "---\n" +
			strings.Replace(plainConfigMap("c"), "namespace: shop", "namespace: shop, annotations: {fluxcd.io/ignore: sync_only}", 1)},
	"no-namespace": {
		files: "-- p/app/a.yaml --\n" + strings.Replace(plainConfigMap("a"), ", namespace: shop", "", 1)},
	"yaml-1-1": {
		files: "-- p/app/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop, annotations: {mode: 0o17}}\ndata: {on: 'yes'}\n"},
	"large": {
		files: "-- p/app/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\ndata: {k: '" + strings.Repeat("x", 262144) + "'}\n"},
	"flags": {
		files: "-- p/app/a.yaml --\n" + plainConfigMap("a"),
		args:  []string{"--git-url=git@git.example.com:team", "--git-path=/p", "--git-path=../elsewhere", "--git-verify-signatures", "--git-secret", "--k8s-unsafe-exclude-resource=apps/v1/Deployment"}},
	"beside-manifests": {
		files: "-- .gitmodules --\n[submodule \"lib\"]\n\tpath = lib\n\turl = https://example.org/lib\n-- .gitsecret/paths/mapping.cfg --\nx\n-- p/app/password.yaml.secret --\nx\n-- p/app/a.yaml --\n" + plainConfigMap("a")},
	"exported-from-a-cluster": {
		files: "-- p/app/a.yaml --\n" + strings.Replace(plainConfigMap("a"), "namespace: shop", "namespace: shop, uid: 0b7a5c4e, resourceVersion: '12', creationTimestamp: '2020-01-01T00:00:00Z'", 1)},
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
			opts := CheckoutOptions{FS: treeOf(c.files), ID: "flux/team", URL: "https://git.example.com/team", Branch: "main", Paths: []string{"p"}, DefaultNamespace: "shop", Kinds: hazardKinds}
			config, settings, found := flux1.ParseArgs(c.args)
			if len(c.args) > 0 {
				opts.URL, opts.Branch, opts.Paths = string(config.URL), config.Branch, config.Paths
			}
			inv, err := Checkout(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
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
					w.live[migrate.ObjectID(u)] = proof.Normalized(u)
				}
			}
			planGolden(t, "hazard-"+name, inv, w)
		})
	}
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

var hazardFiles = func() string {
	text := "-- p/app/role.yaml --\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: wide}\n"
	for _, name := range []string{"immutable", "hooked", "strict"} {
		text += fmt.Sprintf("-- p/app/%s.yaml --\n%s", name, plainConfigMap(name))
	}
	return text + "-- p/app/lost.yaml --\n" + strings.Replace(plainConfigMap("lost"), "namespace: shop", "namespace: gone", 1)
}()

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

func (w *hazardWorld) DryRunUpdate(_ context.Context, _ proof.Account, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
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
