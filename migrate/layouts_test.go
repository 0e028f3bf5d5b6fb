package migrate_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/answers"
	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/proof"
)

var servedKinds = []migrate.ServedKind{
	{Version: "v1", Kind: "ConfigMap", Namespaced: true}, {Version: "v1", Kind: "Secret", Namespaced: true},
	{Version: "v1", Kind: "Service", Namespaced: true}, {Version: "v1", Kind: "Namespace"},
	{Version: "v1", Kind: "PersistentVolumeClaim", Namespaced: true},
	{Group: "apps", Version: "v1", Kind: "Deployment", Namespaced: true},
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
}

// agentReading is an agent whose repository holds the files, read as fluxd
// reads them.
func agentReading(t *testing.T, id string, files map[string]string, paths, allowed []string, generation bool) migrate.Flux1Agent {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	ns, release, _ := strings.Cut(id, "/")
	a := migrate.Flux1Agent{
		ID: id, Namespace: ns, Release: release, Workload: release, ServiceAccount: release, InstalledBy: "helm",
		Git: migrate.AgentGit{URL: "https://git.example.com/" + release, Branch: "main", Paths: paths,
			PollInterval: metav1.Duration{Duration: time.Minute}, Timeout: metav1.Duration{Duration: 20 * time.Second}},
		Sync:        migrate.AgentSync{Interval: metav1.Duration{Duration: 5 * time.Minute}, Timeout: metav1.Duration{Duration: time.Minute}, GarbageCollection: migrate.CollectOn},
		Confinement: migrate.Confinement{Kind: "custom"}, Credential: migrate.AgentCredential{Kind: "none"},
		Synced: migrate.Synced{Commit: strings.Repeat("c", 40)}, Tree: tree, ManifestGeneration: generation,
		AllowedNamespaces: allowed, DefaultNamespace: "fallback",
	}
	var err error
	a.Files, a.Objects, _, err = flux1.Load(tree, flux1.LoadConfig{Repository: id, Paths: paths, AllowedNamespaces: allowed,
		ManifestGeneration: generation, DefaultNamespace: a.DefaultNamespace, Kinds: servedKinds})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// builds renders every Kustomization of a repository, and gives the objects'
// ids with the Kustomizations that build each.
func builds(t *testing.T, p *migrate.Plan, a *migrate.Flux1Agent) map[string][]string {
	t.Helper()
	owners := map[string][]string{}
	for _, k := range p.Repository(a.ID).Kustomizations {
		objects, err := proof.Render(t.Context(), a, p, k)
		if err != nil {
			t.Errorf("%s does not build: %v", k.GetName(), err)
			continue
		}
		if len(objects) == 0 {
			t.Errorf("%s builds nothing", k.GetName())
		}
		for _, o := range objects {
			owners[migrate.ObjectID(o)] = append(owners[migrate.ObjectID(o)], k.GetName())
		}
	}
	return owners
}

// checkBuilds demands that every object that fluxd applies or knowingly leaves
// alone is built once, by the application that the plan names, and nothing
// else is.
func checkBuilds(t *testing.T, p *migrate.Plan, a *migrate.Flux1Agent) {
	t.Helper()
	owners := builds(t, p, a)
	planned := map[string]string{}
	for _, o := range p.Repository(a.ID).Objects {
		if planned[o.ID] != "" {
			t.Errorf("%s is planned twice", o.ID)
		}
		planned[o.ID] = o.Application
	}
	want := map[string]bool{}
	for _, o := range a.Objects {
		switch o.Class {
		case migrate.ClassApplied, migrate.ClassSyncOnly, migrate.ClassIgnored:
			want[o.ID] = true
			if got := owners[o.ID]; len(got) != 1 || got[0] != planned[o.ID] {
				t.Errorf("%s (%s:%d, %s) is built by %q, planned for %q", o.ID, o.File, o.Line, o.Class, got, planned[o.ID])
			}
		}
	}
	for id, by := range owners {
		if !want[id] {
			t.Errorf("%s is built by %q, and fluxd does not apply it", id, by)
		}
	}
}

// checkRendering demands that what is built is what fluxd applies, place by
// place.
func checkRendering(t *testing.T, a *migrate.Flux1Agent) {
	t.Helper()
	res, err := proof.Prove(t.Context(), migrate.Inventory{Agents: []migrate.Flux1Agent{*a}}, migrate.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range res.Plan.Findings {
		if f.Code == "RENDERING_DIFFERS" || f.Code == "OBJECT_LOST" {
			t.Error(f)
		}
	}
}

// checkOrder demands that Kustomizations depend on earlier ones alone.
func checkOrder(t *testing.T, r *migrate.Repository) {
	t.Helper()
	seen := map[string]bool{}
	for i, k := range r.Kustomizations {
		deps, _, _ := unstructured.NestedSlice(k.Object, "spec", "dependsOn")
		if len(deps) != len(r.Applications[i].DependsOn) {
			t.Errorf("%s: %d dependencies, explained are %d", k.GetName(), len(deps), len(r.Applications[i].DependsOn))
		}
		for j, d := range deps {
			name := d.(map[string]any)["name"].(string)
			if !seen[name] || r.Applications[i].DependsOn[j].Name != name || r.Applications[i].DependsOn[j].Why == "" {
				t.Errorf("%s depends on %s, which does not come before it, or nothing says why", k.GetName(), name)
			}
		}
		seen[k.GetName()] = true
	}
}

func configMap(name, namespace string) string {
	if namespace != "" {
		namespace = ", namespace: " + namespace
	}
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + namespace + "}\ndata: {k: v}\n"
}

func namespace(name string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n"
}

// layouts are repositories as people lay them out.
var layouts = map[string]struct {
	paths, allowed []string
	generation     bool
	files          map[string]string
	want           []string // name=path, in order
}{
	"environment and application folders": {
		paths: []string{"production"},
		files: map[string]string{"production/shop/web.yaml": configMap("web", "shop"), "production/shop/db/db.yaml": configMap("db", "shop"),
			"production/pay/api.yaml": configMap("api", "pay"), "staging/shop/web.yaml": configMap("web", "shop")},
		want: []string{"team-pay=./production/pay", "team-shop=./production/shop"},
	},
	"a flat folder": {
		paths: []string{"deploy/"},
		files: map[string]string{"deploy/a.yaml": configMap("a", "shop"), "deploy/b.yml": configMap("b", ""), "README.md": "x"},
		want:  []string{"team-deploy=./deploy"},
	},
	"namespaces as folders": {
		files: map[string]string{"shop/namespace.yaml": namespace("shop"), "shop/web.yaml": configMap("web", "shop"),
			"pay/namespace.yaml": namespace("pay"), "pay/api.yaml": configMap("api", "pay"), "pay/to-shop.yaml": configMap("c", "shop")},
		want: []string{"team-shop=./shop", "team-pay=./pay"}, // pay puts an object into shop
	},
	"a single file": {
		paths: []string{"deploy/all.yaml"},
		files: map[string]string{"deploy/all.yaml": configMap("a", "shop") + "---\n" + namespace("shop"), "deploy/other.yaml": configMap("b", "shop"), "deploy/x/c.yaml": configMap("c", "shop")},
		want:  []string{"team-all=./deploy"},
	},
	"several paths": {
		paths: []string{"base", "clusters/eu", "extra.yaml"},
		files: map[string]string{"base/shop/a.yaml": configMap("a", "shop"), "clusters/eu/shop/b.yaml": configMap("b", "shop"), "clusters/us/shop/b.yaml": configMap("b", "shop"),
			"extra.yaml": configMap("c", "shop")},
		want: []string{"team-base-shop=./base/shop", "team-clusters-eu-shop=./clusters/eu/shop", "team-extra=./"},
	},
	"loose files beside folders": {
		paths: []string{"p"},
		files: map[string]string{"p/a.yaml": configMap("a", "shop"), "p/ns.yaml": namespace("shop"), "p/shop/b.yaml": configMap("b", "shop"), "p/web[1]/c.yaml": configMap("c", "shop"),
			"p/notes/values.yaml": "replicas: 1\n"},
		want: []string{"team-files=./p", "team-shop=./p/shop", "team-web-1=./p/web[1]"},
	},
	"loose files beside a folder that is called files": {
		paths: []string{"p"},
		files: map[string]string{"p/a.yaml": configMap("a", "shop"), "p/files/b.yaml": configMap("b", "shop"), "p/files/more/c.yaml": configMap("c", "shop"), "p/shop/d.yaml": configMap("d", "shop")},
		want:  []string{"team-p-files-ae464ace=./p/files", "team-p-files-0f9cc374=./p", "team-shop=./p/shop"},
	},
	"kustomization files that fluxd does not honour": {
		paths: []string{"p"},
		files: map[string]string{"p/shop/a.yaml": configMap("a", "shop"), "p/shop/b.yaml": configMap("b", ""), "p/shop/kustomization.yaml": "resources: [a.yaml]\nnamePrefix: x-\n",
			"p/web/base/c.yaml": configMap("c", "web"), "p/web/base/Kustomization": "resources: [c.yaml]\n", "p/web/overlay/kustomization.yml": "resources: [../base]\n", "p/web/overlay/d.yaml": configMap("d", "web")},
		want: []string{"team-shop=./p/shop", "team-web-base=./p/web/base", "team-web-overlay=./p/web/overlay"},
	},
	"a kustomization file at the path": {
		paths: []string{"p"},
		files: map[string]string{"p/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [shop/a.yaml]\n",
			"p/shop/a.yaml": configMap("a", "shop"), "p/web/b.yaml": configMap("b", "web")},
		want: []string{"team-p=./p"},
	},
	"with generation switched on and nothing to generate from": {
		paths: []string{"p"}, generation: true,
		files: map[string]string{"p/shop/a.yaml": configMap("a", "shop"), "p/shop/kustomization.yaml": "resources: []\n", "p/web/.flux.yaml": "version: 1\nscanForFiles: {}\n", "p/web/b.yaml": configMap("b", "web")},
		want:  []string{"team-shop=./p/shop", "team-web=./p/web"},
	},
	"charts, values and CI files": {
		files: map[string]string{"shop/a.yaml": configMap("a", "shop"), "charts/shop/Chart.yaml": "name: shop\n", "charts/shop/values.yaml": "a: 1\n", "charts/shop/templates/x.yaml": "{{ .Values }}",
			".gitlab-ci.yml": "stages: []\n", ".github/workflows/x.yaml": "on: push\n", "shop/values.yaml": "a: 1\n"},
		want: []string{"team-shop=./shop"},
	},
	"hidden folders and names that Flux v2 leaves out by default": {
		files: map[string]string{"shop/a.yaml": configMap("a", "shop"), ".tekton/b.yaml": configMap("b", "ci"), ".github/c.yaml": configMap("c", "ci"), "cloudbuild.yaml": configMap("d", "ci")},
		want:  []string{"team-github=./.github", "team-tekton=./.tekton", "team-files=./", "team-shop=./shop"},
	},
	"a .sourceignore that leaves out what fluxd applies": {
		paths: []string{"p"},
		files: map[string]string{".sourceignore": "p/shop\n!p/shop/keep.yaml\n", "p/web/.sourceignore": "b.yaml\n", "p/shop/a.yaml": configMap("a", "shop"), "p/shop/keep.yaml": configMap("keep", "shop"),
			"p/web/b.yaml": configMap("b", "web"), "p/web/c.yaml": configMap("c", "web"), "p/loose.yaml": configMap("loose", "web")},
		want: []string{"team-files=./p", "team-shop=./p/shop", "team-web=./p/web"},
	},
	"objects that fluxd leaves out": {
		paths: []string{"p"}, allowed: []string{"shop", "fallback"},
		files: map[string]string{"p/shop/a.yaml": configMap("a", "shop"), "p/other/b.yaml": configMap("b", "elsewhere"), "p/shop/unknown.yaml": "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\n",
			"p/shop/ignored.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ignored, annotations: {fluxcd.io/ignore: \"true\"}}\n",
			"p/shop/once.yaml":    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: once, namespace: shop, annotations: {flux.weave.works/ignore: sync_only}}\n"},
		want: []string{"team-shop=./p/shop"},
	},
	"objects that name a namespace and have none": {
		paths: []string{"p"},
		files: map[string]string{"p/shop/role.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: wide, namespace: shop}\n---\n" + strings.Replace(namespace("shop"), "}", ", namespace: other, annotations: {a: b}}", 1),
			"p/gadgets/gadget.yaml": strings.NewReplacer("Widget", "Gadget", "widgets", "gadgets", "Namespaced", "Cluster").Replace(crd) + "---\napiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g, namespace: shop}\n"},
		want: []string{"team-gadgets=./p/gadgets", "team-shop=./p/shop"},
	},
	"kinds and their definitions apart": {
		paths: []string{"p"},
		files: map[string]string{"p/a-widgets/w.yaml": "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n", "p/z-crds/crd.yaml": crd},
		want:  []string{"team-z-crds=./p/z-crds", "team-a-widgets=./p/a-widgets"},
	},
	"a webhook, its service, and what it admits": {
		paths: []string{"p"},
		files: map[string]string{"p/a-widgets/w.yaml": "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\n",
			"p/b-webhook/webhook.yaml": webhook, "p/c-operator/service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: operator, namespace: system}\nspec: {ports: [{port: 443}]}\n",
			"p/c-operator/crd.yaml": crd},
		want: []string{"team-c-operator=./p/c-operator", "team-b-webhook=./p/b-webhook", "team-a-widgets=./p/a-widgets"},
	},
}

const crd = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`

const webhook = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: widgets}
webhooks:
- name: widgets.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {service: {namespace: system, name: operator, path: /}}
  rules: [{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [widgets]}]
`

func TestEveryLayoutBuildsWhatFluxdApplies(t *testing.T) {
	for name, c := range layouts {
		t.Run(name, func(t *testing.T) {
			a := agentReading(t, "flux/flux-team", c.files, c.paths, c.allowed, c.generation)
			p := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, migrate.Options{})
			var got []string
			for _, app := range p.Repositories[0].Applications {
				got = append(got, app.Name+"="+app.Path)
				if app.Why == "" {
					t.Errorf("%s: nothing says why it is an application", app.Name)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			checkBuilds(t, &p, &a)
			checkRendering(t, &a)
			checkOrder(t, &p.Repositories[0])

			// Grouped by path it is the same objects in fewer Kustomizations.
			whole := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, migrate.Options{GroupBy: "path"})
			if n, most := len(whole.Repositories[0].Kustomizations), max(1, len(c.paths)); n > most {
				t.Errorf("%d Kustomizations for %d paths", n, most)
			}
			checkBuilds(t, &whole, &a)

			inv := migrate.Inventory{Agents: []migrate.Flux1Agent{a}}
			res, err := proof.Prove(t.Context(), inv, migrate.Options{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "layout-"+strings.NewReplacer(" ", "-", ",", "", ".", "").Replace(name), inv, res.Plan)
		})
	}
}

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// golden compares a plan with testdata/plan/NAME.yaml, which -update writes, and
// asks where each line that is emitted of it comes from.
func golden(t *testing.T, name string, inv migrate.Inventory, p migrate.Plan) {
	t.Helper()
	report := emit.Report{Plan: p, Inventory: inv, Capacitor: emit.Capacitor{Cluster: "prod"}}
	files, err := emit.Tree(fstest.MapFS{}, &p, report.Capacitor)
	if err != nil {
		t.Fatal(err)
	}
	explain := emit.Explainer(report)
	answers.Ask(func(subject string) any { return explain(subject) }).Lines(t, answers.Tree(files))
	raw, err := yaml.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "plan", name+".yaml")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(raw)); d != "" {
		t.Error(d)
	}
}

// A file that cannot be read stops fluxd: what it would apply is not known, and
// the repository is held back.
func TestAFileThatStopsFluxdHoldsBack(t *testing.T) {
	a := agentReading(t, "flux/flux-team", map[string]string{"shop/a.yaml": configMap("a", "shop"), "docs/x.yaml": "a: [\n"}, nil, nil, false)
	_, _, found, err := flux1.Load(a.Tree, flux1.LoadConfig{Repository: a.ID, DefaultNamespace: a.DefaultNamespace, Kinds: servedKinds})
	if err != nil {
		t.Fatal(err)
	}
	p := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}, Findings: found}, migrate.Options{})
	if !p.Repositories[0].Blocked || !slices.ContainsFunc(p.Findings, func(f migrate.Finding) bool {
		return f.Code == "FLUX1_STUCK" && strings.HasPrefix(f.Where, "docs/x.yaml")
	}) {
		t.Errorf("blocked %t by %v", p.Repositories[0].Blocked, p.Findings)
	}
	// Nothing is said of what the file holds, and no manifest is written that would
	// leave it out once it is mended.
	if slices.ContainsFunc(p.Findings, func(f migrate.Finding) bool { return f.Code == "FILE_LEFT_OUT" }) || p.Incomplete(&p.Repositories[0]) == "" {
		t.Errorf("incomplete %q, and %v", p.Incomplete(&p.Repositories[0]), p.Findings)
	}
}

// generated is a repository drawn at random. Names are unique, so that fluxd
// can load it.
func generated(random *rand.Rand) (files map[string]string, paths []string) {
	files = map[string]string{}
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	folder := func(depth int) string {
		dir := ""
		for range random.IntN(depth + 1) {
			dir = path.Join(dir, pick("shop", "web", "base", "prod", "eu", "files", ".hidden", ".github", "a[b]", "data*", "db", "x y"))
		}
		return dir
	}
	namespaces := []string{"one", "two", "three"}
	for i := range 2 + random.IntN(18) {
		var docs []string
		for j := range 1 + random.IntN(3) {
			name := fmt.Sprintf("n%d-%d", i, j)
			docs = append(docs, []func() string{
				func() string { return configMap(name, pick(namespaces...)) },
				func() string { return configMap(name, "") },
				func() string { return namespace(name) },
				func() string {
					return "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: " + name + ", namespace: " + pick(namespaces...) + "}\n"
				},
				func() string { return "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: " + name + "}\n" },
				func() string {
					return strings.Replace(configMap(name, ""), "}\ndata", ", annotations: {fluxcd.io/ignore: 'true'}}\ndata", 1)
				},
				func() string {
					return strings.Replace(configMap(name, "two"), "}\ndata", ", annotations: {a: b, fluxcd.io/ignore: sync_only}}\ndata", 1)
				},
				func() string {
					return "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(configMap(name, "one")), "\n", "\n  ") + "\n"
				},
			}[random.IntN(8)]())
		}
		files[path.Join(folder(4), fmt.Sprintf("f%d.%s", i, pick("yaml", "yml")))] = strings.Join(docs, "---\n")
	}
	for range random.IntN(3) { // definitions and who needs them
		if random.IntN(2) == 0 {
			files[path.Join(folder(3), "crd.yaml")] = crd
			files[path.Join(folder(3), "widget.yaml")] = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: one}\n"
		}
		for _, ns := range namespaces {
			if random.IntN(3) == 0 {
				files[path.Join(folder(3), "namespace-"+ns+".yaml")] = namespace(ns)
			}
		}
	}
	// What fluxd passes over.
	for range random.IntN(4) {
		files[path.Join(folder(4), pick("values.yaml", "ci.yml"))] = "some: values\n"
		files[path.Join(folder(4), "kustomization.yaml")] = pick("resources: []\n", "namePrefix: x-\n", "resources: [../missing]\n")
	}
	if random.IntN(3) == 0 {
		dir := path.Join(folder(3), "chart")
		files[path.Join(dir, "Chart.yaml")], files[path.Join(dir, "values.yaml")], files[path.Join(dir, "templates", "x.yaml")] = "name: x\n", "a: 1\n", "{{ x }}"
	}
	if random.IntN(3) == 0 {
		files[path.Join(folder(2), ".sourceignore")] = pick("*.yml\n", "shop/\n", "/web\n!f1.yaml\n", "**/db/**\n", "# nothing\n")
	}
	// One CRD and one namespace of a name, wherever they were put.
	once := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		base := path.Base(name)
		if base == "crd.yaml" || base == "widget.yaml" || strings.HasPrefix(base, "namespace-") {
			if once[base] {
				delete(files, name)
			}
			once[base] = true
		}
	}
	if random.IntN(2) == 0 {
		tops := map[string]bool{}
		for name := range files {
			top, _, inFolder := strings.Cut(name, "/")
			if inFolder || strings.HasSuffix(top, ".yaml") {
				tops[top] = true
			}
		}
		for _, top := range slices.Sorted(maps.Keys(tops)) {
			if random.IntN(2) == 0 {
				paths = append(paths, top)
			}
		}
	}
	return files, paths
}

func TestGeneratedRepositoriesBuildWhatFluxdApplies(t *testing.T) {
	count := 40
	if os.Getenv("LONG") != "" {
		count = 2000
	}
	built, circles := 0, 0
	for seed := range uint64(count) {
		files, paths := generated(rand.New(rand.NewPCG(seed, 1)))
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			a := agentReading(t, "flux/flux-team", files, paths, nil, false)
			for _, groupBy := range []string{"", "path"} {
				p := migrate.Build(migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, migrate.Options{GroupBy: groupBy})
				if len(a.Objects) == 0 {
					continue
				}
				checkBuilds(t, &p, &a)
				checkOrder(t, &p.Repositories[0])
				built += len(p.Repositories[0].Kustomizations)
				for _, f := range p.Findings {
					if f.Code == "DEPENDENCY_CIRCLE" {
						circles++
					}
				}
			}
			checkRendering(t, &a)
			if t.Failed() {
				for _, name := range slices.Sorted(maps.Keys(files)) {
					t.Logf("%s: %q", name, files[name])
				}
				t.Logf("paths %q", paths)
			}
		})
	}
	if built < 2*count {
		t.Errorf("%d Kustomizations from %d repositories: too few to say much", built, count)
	}
	t.Logf("%d Kustomizations, %d circles cut", built, circles)
}

func TestTheOrderOfAgentsChangesNothing(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 2))
		var agents []migrate.Flux1Agent
		for i := range 6 {
			files, paths := generated(random)
			agents = append(agents, agentReading(t, fmt.Sprintf("flux/flux-%d", i), files, paths, nil, false))
		}
		plan := func() string {
			raw, err := json.Marshal(migrate.Build(migrate.Inventory{Agents: agents}, migrate.Options{WaveSize: 2}))
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		}
		want := plan()
		for range 3 {
			random.Shuffle(len(agents), func(i, j int) { agents[i], agents[j] = agents[j], agents[i] })
			if d := cmp.Diff(want, plan()); d != "" {
				t.Fatalf("seed %d: %s", seed, d)
			}
		}
	}
}
