package discover

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/proof"
)

// shopDeployment is a workload of one container and one that fluxd does not
// touch.
const shopDeployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "shop/web:1", env: [{name: A, value: a}, {name: B, value: b}]}
      - {name: sidecar, image: "shop/sidecar:1"}
`

// fluxPatch is a patch file as fluxd writes it.
const fluxPatch = `apiVersion: apps/v1
kind: Deployment
metadata:
  annotations: {fluxcd.io/automated: "true", fluxcd.io/tag.web: "semver:~1"}
  name: web
  namespace: shop
spec:
  template:
    spec:
      $setElementOrder/containers: [{name: web}, {name: sidecar}]
      containers:
      - {image: "shop/web:1.4", name: web}
`

const patchUpdated = "version: 1\npatchUpdated:\n  generators:\n  - command: kustomize build .\n  patchFile: flux-patch.yaml\n"

func kustomizeFile(rest string) string {
	return "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n" + rest
}

// proveTree plans and proves a repository from its files alone.
func proveTree(t *testing.T, tree fs.FS, change func(*CheckoutOptions), agent func(*migrate.Flux1Agent)) (migrate.Inventory, migrate.Plan) {
	t.Helper()
	inv := readTree(t, tree, change)
	if agent != nil {
		agent(&inv.Agents[0])
	}
	res, err := proof.Prove(t.Context(), inv, migrate.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return inv, res.Plan
}

// proofCodes are those by which a proof says that something would be otherwise.
var proofCodes = []string{"RENDERING_DIFFERS", "OBJECT_LOST", "BUILD_FAILED", "EMPTY_BUILD", "OBJECT_IN_TWO_APPLICATIONS"}

// differing are the findings of a plan by which it is not what fluxd does.
func differingFindings(p migrate.Plan, more ...string) (out []string) {
	for _, f := range p.Findings {
		if slices.Contains(proofCodes, f.Code) || slices.Contains(more, f.Code) {
			out = append(out, f.Code+" "+strings.TrimPrefix(f.Subject, "team/flux "))
		}
	}
	return out
}

func TestWhatKustomizeBuildsForFluxdIsBuiltByAKustomizationAlike(t *testing.T) {
	const cm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %}\ndata: {k: v}\n"
	named := func(name string) string { return strings.ReplaceAll(cm, "%", name) }
	for name, c := range map[string]struct {
		files   map[string]string
		paths   []string
		allowed []string
		// want are the Kustomizations, "name=path"; patches how many each has.
		want    []string
		patches []int
		// differs are findings, "CODE object".
		differs []string
	}{
		"a patch file on top of an overlay": {
			paths: []string{"prod"},
			files: map[string]string{".flux.yaml": patchUpdated, "base/kustomization.yaml": kustomizeFile("resources: [web.yaml]\n"), "base/web.yaml": shopDeployment,
				"prod/kustomization.yaml": kustomizeFile("bases: [../base]\npatchesStrategicMerge: [more.yaml]\ncommonAnnotations: {team: shop}\n"),
				"prod/more.yaml":          "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {replicas: 3}\n", "prod/flux-patch.yaml": fluxPatch},
			want: []string{"flux-prod=./prod"}, patches: []int{1},
		},
		"a patch file that is not there yet": {
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [web.yaml]\n"), "web.yaml": shopDeployment},
			want:  []string{"flux=./"}, patches: []int{0},
		},
		"prefix, suffix and namespace of the overlay": {
			paths: []string{"prod"},
			files: map[string]string{"prod/.flux.yaml": patchUpdated, "base/kustomization.yaml": kustomizeFile("resources: [web.yaml]\nnamePrefix: base-\n"), "base/web.yaml": shopDeployment,
				"prod/kustomization.yaml": kustomizeFile("resources: [../base, ns.yaml]\nnamePrefix: prod-\nnameSuffix: -x\nnamespace: elsewhere\n"), "prod/ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod-ns}\n",
				"prod/flux-patch.yaml": strings.NewReplacer("name: web\n  namespace: shop", "name: prod-base-web-x\n  namespace: elsewhere").Replace(fluxPatch)},
			want: []string{"flux-prod=./prod"}, patches: []int{2}, // the Namespace is kept from being pruned
		},
		"names with a hash, and no namespace": {
			files: map[string]string{".flux.yaml": "version: 1\ncommandUpdated:\n  generators:\n  - command: kustomize build .\n", "plain.yaml": named("plain"),
				"kustomization.yaml": kustomizeFile("resources: [plain.yaml]\nnamePrefix: x-\nconfigMapGenerator: [{name: made, literals: [a=b]}, {name: fixed, literals: [a=b], options: {disableNameSuffixHash: true}}]\n")},
			want: []string{"flux=./"}, patches: []int{3},
		},
		"two folders": {
			paths: []string{"p"},
			files: map[string]string{"p/.flux.yaml": "version: 1\ncommandUpdated:\n  generators:\n  - command: kustomize build a\n  - command: kustomize build ../b\n",
				"p/a/kustomization.yaml": kustomizeFile("resources: [cm.yaml]\n"), "p/a/cm.yaml": named("a"), "b/kustomization.yaml": kustomizeFile("resources: [cm.yaml]\nnamespace: shop\n"), "b/cm.yaml": named("b")},
			want: []string{"flux-b=./b", "flux-a=./p/a"}, patches: []int{0, 1},
		},
		"a generated path beside one that is scanned": {
			paths: []string{"prod", "plain"},
			files: map[string]string{"prod/.flux.yaml": patchUpdated, "prod/kustomization.yaml": kustomizeFile("resources: [../base/web.yaml]\n"), "base/web.yaml": shopDeployment, "prod/flux-patch.yaml": fluxPatch,
				"plain/cm.yaml": strings.ReplaceAll(named("c"), "name: c", "name: c, namespace: shop"), "plain/kustomization.yaml": "resources: []\n"},
			want: []string{"flux-plain=./plain", "flux-prod=./prod"}, patches: []int{0, 1},
		},
		"a base below a path that is scanned": {
			paths: []string{"gen", "plain"},
			files: map[string]string{"gen/.flux.yaml": patchUpdated, "gen/kustomization.yaml": kustomizeFile("resources: [../plain/sub]\nnamespace: other\n"),
				"plain/sub/kustomization.yaml": kustomizeFile("resources: [a.yaml]\nconfigMapGenerator: [{name: made, namespace: shop, files: [values.yaml], options: {disableNameSuffixHash: true}}]\n"), "plain/sub/values.yaml": "a: b\n",
				"plain/sub/a.yaml": strings.ReplaceAll(named("a"), "name: a", "name: a, namespace: shop")},
			want: []string{"flux-gen=./gen", "flux-sub=./plain/sub"}, patches: []int{0, 0},
		},
		"objects that are left alone": {
			files: map[string]string{".flux.yaml": "version: 1\npatchUpdated:\n  generators:\n  - command: kustomize build .\n  patchFile: p.yaml\n", "kustomization.yaml": kustomizeFile("resources: [web.yaml]\ncommonAnnotations: {a: b}\n"), "web.yaml": shopDeployment,
				"p.yaml": strings.ReplaceAll(fluxPatch, `fluxcd.io/automated: "true"`, `fluxcd.io/ignore: "true"`)},
			want: []string{"flux=./"}, patches: []int{2},
		},
		"custom resources, whose lists are replaced": {
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [w.yaml]\n"),
				"w.yaml":          "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\nspec: {list: [{name: a}, {name: b}], gone: 1, kept: 2}\n",
				"flux-patch.yaml": "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\nspec: {list: [{name: c}], gone: null}\n"},
			want: []string{"flux=./"}, patches: []int{1},
		},
		"a base that a .sourceignore leaves out": {
			paths: []string{"prod"},
			files: map[string]string{".flux.yaml": patchUpdated, ".sourceignore": "base/web.yaml\n", "base/web.yaml": shopDeployment, "prod/kustomization.yaml": kustomizeFile("resources: [../base/web.yaml]\n"), "prod/flux-patch.yaml": fluxPatch},
			want:  []string{"flux-prod=./prod"}, patches: []int{1}, differs: []string{"FILE_TAKEN_BACK team/flux"},
		},
		"images that the overlay sets after its patches": {
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [web.yaml]\nimages: [{name: shop/web, newTag: \"9\"}]\n"), "web.yaml": shopDeployment, "flux-patch.yaml": fluxPatch},
			want:  []string{"flux=./"}, patches: []int{1}, differs: []string{"RENDERING_DIFFERS shop_web_apps_Deployment"},
		},
		"a container that the patch file adds": {
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [web.yaml]\n"), "web.yaml": shopDeployment,
				"flux-patch.yaml": strings.ReplaceAll(fluxPatch, "      $setElementOrder/containers: [{name: web}, {name: sidecar}]\n", "") + "      - {image: \"shop/new:1\", name: new}\n"},
			want: []string{"flux=./"}, patches: []int{1},
		},
		"a directive that Kustomize does not read": {
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [web.yaml]\n"), "web.yaml": shopDeployment,
				"flux-patch.yaml": strings.ReplaceAll(fluxPatch, "    spec:\n", "    spec:\n      $retainKeys: [containers]\n")},
			want: []string{"flux=./"}, patches: []int{0}, differs: []string{"PATCH_NOT_CARRIED shop_web_apps_Deployment", "RENDERING_DIFFERS shop_web_apps_Deployment"},
		},
		"an annotation that the patch file takes away, and that is not there": {
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [web.yaml]\n"), "web.yaml": shopDeployment,
				"flux-patch.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop, annotations: {fluxcd.io/automated: null}}\n"},
			want: []string{"flux=./"}, patches: []int{2},
		},
		"annotations of the patch file that Kustomize keeps": {
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [web.yaml]\n"), "web.yaml": shopDeployment,
				"flux-patch.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop, annotations: {\"5\": null}}\n"},
			want: []string{"flux=./"}, patches: []int{0}, differs: []string{"PATCH_NOT_CARRIED shop_web_apps_Deployment"},
		},
		"all annotations that the patch file takes away": {
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [web.yaml]\n"),
				"web.yaml":        strings.Replace(shopDeployment, "labels: {app: web}", "labels: {app: web}, annotations: {a: b}", 1),
				"flux-patch.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop, annotations: null}\n"},
			want: []string{"flux=./"}, patches: []int{0}, differs: []string{"PATCH_NOT_CARRIED shop_web_apps_Deployment", "RENDERING_DIFFERS shop_web_apps_Deployment"},
		},
		"annotations and labels that the patch file takes away": {
			paths: []string{"prod"},
			files: map[string]string{".flux.yaml": patchUpdated, "base/kustomization.yaml": kustomizeFile("resources: [web.yaml]\n"),
				"base/web.yaml":           strings.Replace(shopDeployment, "labels: {app: web}", `labels: {app: web, example.com/tier: front}, annotations: {fluxcd.io/automated: "true", a: b}`, 1),
				"prod/kustomization.yaml": kustomizeFile("resources: [../base]\nnamePrefix: prod-\n"),
				"prod/flux-patch.yaml":    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: prod-web, namespace: shop, annotations: {fluxcd.io/automated: null, c: d}, labels: {app: null, example.com/tier: null}}\n"},
			want: []string{"flux-prod=./prod"}, patches: []int{2},
		},
		"a label that the patch file takes away and the overlay sets after its patches": {
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [web.yaml]\ncommonAnnotations: {team: shop}\n"), "web.yaml": shopDeployment,
				"flux-patch.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop, annotations: {team: null}}\n"},
			want: []string{"flux=./"}, patches: []int{2}, differs: []string{"RENDERING_DIFFERS shop_web_apps_Deployment"},
		},
		"an object that the agent may not touch": {
			allowed: []string{"shop"},
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [web.yaml, cm.yaml]\n"), "web.yaml": shopDeployment,
				"cm.yaml": strings.ReplaceAll(named("c"), "name: c", "name: c, namespace: other")},
			want: []string{"flux=./"}, patches: []int{0}, differs: []string{"FOREIGN_OBJECT other_c__ConfigMap"},
		},
		"a folder that cannot be built": {
			paths: []string{"prod"},
			files: map[string]string{".flux.yaml": patchUpdated, "prod/kustomization.yaml": kustomizeFile("resources: [nothere.yaml]\n")},
			want:  []string{"flux-prod=./prod"}, patches: []int{0}, differs: []string{"BUILD_FAILED Kustomization/flux-prod", "GENERATION_NOT_TOLD team/flux"},
		},
		"a patch file that cannot be read": {
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [web.yaml]\n"), "web.yaml": shopDeployment, "flux-patch.yaml": fluxPatch + "---\na: {b\n"},
			want:  []string{"flux=./"}, patches: []int{0}, differs: []string{"GENERATION_NOT_TOLD team/flux"},
		},
		"a patch that names the namespace which fluxd fills in later": {
			files: map[string]string{".flux.yaml": patchUpdated, "kustomization.yaml": kustomizeFile("resources: [web.yaml]\n"), "web.yaml": strings.Replace(shopDeployment, "namespace: shop, ", "", 1),
				"flux-patch.yaml": strings.Replace(fluxPatch, "namespace: shop", "namespace: team", 1)},
			want: []string{"flux=./"}, patches: []int{0}, differs: []string{"GENERATION_NOT_TOLD team/flux"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := treeOf("")
			for file, text := range c.files {
				for name, f := range treeOf("-- " + file + " --\n" + text) {
					tree[name] = f
				}
			}
			inv, plan := proveTree(t, tree, func(o *CheckoutOptions) { o.Paths, o.AllowedNamespaces = c.paths, c.allowed },
				func(a *migrate.Flux1Agent) { a.Sync.GarbageCollection = migrate.CollectOn })
			repo := plan.Repositories[0]
			var got []string
			var patches []int
			for i, k := range repo.Kustomizations {
				got = append(got, k.GetName()+"="+repo.Applications[i].Path)
				list, _, _ := unstructured.NestedSlice(k.Object, "spec", "patches")
				patches = append(patches, len(list))
				if repo.Applications[i].Why == "" {
					t.Errorf("nothing says why %s is one", k.GetName())
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(c.patches, patches); d != "" {
				t.Errorf("patches: %s", d)
			}
			if d := cmp.Diff(c.differs, differingFindings(plan, "PATCH_NOT_CARRIED", "FOREIGN_OBJECT", "FILE_TAKEN_BACK", flux1.NotGenerated.Name)); d != "" {
				t.Error(d)
				for _, f := range plan.Findings {
					t.Log(f)
				}
			}
			blocks := len(c.differs) > 0 && !strings.HasPrefix(c.differs[0], "FILE_TAKEN_BACK")
			if held := slices.ContainsFunc(plan.Findings, func(f migrate.Finding) bool {
				return f.Severity == migrate.Blocker && f.Code != "FACTS_UNKNOWN" && f.Code != "NEVER_SYNCED"
			}); held != blocks && !slices.ContainsFunc(plan.Findings, func(f migrate.Finding) bool { return f.Code == flux1.ImageAutomation.Name }) {
				t.Errorf("held back: %t", held)
			}
			wantFinding(t, inv, flux1.ManifestGeneration, ".flux.yaml")
		})
	}
}

// What a folder's kustomization file does after its patches hides an object from
// the patch that is to mark it; Kustomize says nothing of a patch that finds none.
func TestAMarkThatDoesNotReachItsObjectBlocks(t *testing.T) {
	const pvc = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: pvc}\nspec: {accessModes: [ReadWriteOnce]}\n"
	ignored := strings.Replace(shopDeployment, "metadata: {name: web, namespace: shop,", `metadata: {name: web, annotations: {fluxcd.io/ignore: "true"},`, 1)
	unsetOnly := "apiVersion: builtin\nkind: NamespaceTransformer\nmetadata: {name: ns, namespace: shop}\nunsetOnly: true\n"
	for name, c := range map[string]struct {
		kustomization, web, pvc string
		want                    []string
		verb                    migrate.Verb
	}{
		"the namespace is set after the patches": {"resources: [web.yaml, pvc.yaml]\ntransformers: [ns.yaml]\n", ignored, pvc,
			[]string{"ADDITION_NOT_CARRIED shop_pvc__PersistentVolumeClaim", "ADDITION_NOT_CARRIED shop_web_apps_Deployment"}, migrate.Create},
		"Git names the namespace": {"resources: [web.yaml, pvc.yaml]\n", strings.Replace(ignored, "name: web,", "name: web, namespace: shop,", 1),
			strings.Replace(pvc, "name: pvc", "name: pvc, namespace: shop", 1), nil, migrate.Skip},
	} {
		t.Run(name, func(t *testing.T) {
			tree := treeOf("-- .flux.yaml --\nversion: 1\ncommandUpdated:\n  generators:\n  - command: kustomize build .\n" +
				"-- kustomization.yaml --\n" + kustomizeFile(c.kustomization) + "-- ns.yaml --\n" + unsetOnly + "-- web.yaml --\n" + c.web + "-- pvc.yaml --\n" + c.pvc)
			_, plan := proveTree(t, tree, nil, func(a *migrate.Flux1Agent) { a.Sync.GarbageCollection = migrate.CollectOn })
			if d := cmp.Diff(c.want, differingFindings(plan, "ADDITION_NOT_CARRIED")); d != "" {
				t.Error(d)
			}
			for _, f := range plan.Findings {
				if f.Code == "ADDITION_NOT_CARRIED" && (f.Severity != migrate.Blocker || f.Acceptable || !strings.Contains(f.Message, "kustomize.toolkit.fluxcd.io/")) {
					t.Errorf("it does not block by itself, or names no annotation: %+v", f)
				}
			}
			for _, o := range plan.Repositories[0].Objects {
				if o.ID == "shop_web_apps_Deployment" && o.Verb != c.verb {
					t.Errorf("%s is told as %s (%s), want %s", o.ID, o.Verb, o.Why, c.verb)
				}
			}
		})
	}
}

// Of strategic merge patches Kustomize 5 reads no directive but $patch; the others stay
// where the patch has them, and a patch that is loaded as an object keeps them all. The
// agent drops them from kinds that it knows before it applies.
func TestDirectivesThatStandInAnObjectAreNamed(t *testing.T) {
	const (
		listed  = "resources: [web.yaml, role.yaml]\npatchesStrategicMerge: [more.yaml]\n"
		patch   = "# a comment\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  template:\n    spec:\n"
		role    = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, namespace: shop, labels: {a: b}}\n"
		custom  = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\n"
		command = "version: 1\ncommandUpdated:\n  generators:\n  - command: kustomize build .\n"
	)
	for name, c := range map[string]struct {
		flux, kustomization, more string
		want                      string // severity, place, object; empty for none
		says, hint                string
	}{
		"a patch tells the order of a list, which is dropped": {command, listed, patch + "      $setElementOrder/containers: [{name: web}, {name: sidecar}]\n      hostNetwork: true\n", "", "", ""},
		"a patch keeps keys": {command, "resources: [web.yaml]\npatches:\n- patch: |" + strings.ReplaceAll("\n"+patch, "\n", "\n    ") + "  $retainKeys: [containers]\n", "",
			"warning kustomization.yaml:13 shop_web_apps_Deployment", "what it is to remove stays", "op: remove"},
		"a patch removes from a list of texts": {command, listed, "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\n  $deleteFromPrimitiveList/finalizers: [a/b]\n",
			"warning more.yaml:6 shop_web_apps_Deployment", "a patch of shop:deployment/web has $deleteFromPrimitiveList/finalizers", ""},
		"a role keeps what steers a patch": {command, listed, role + "rules:\n- $retainKeys: [verbs]\n  verbs: [get]\n", "blocker more.yaml:5 shop_r_rbac.authorization.k8s.io_Role", "no API server takes", ""},
		"a custom kind keeps it, too": {command, "resources: [w.yaml]\npatchesStrategicMerge: [more.yaml]\n", custom + "spec: {$retainKeys: [a]}\n",
			"warning more.yaml:4 shop_w_example.com_Widget", "may not allow", ""},
		"Kustomize reads that a patch deletes":        {command, listed, patch + "      containers: [{name: sidecar, $patch: delete}]\n", "", "", ""},
		"fluxd's patch file is no patch of Kustomize": {patchUpdated, "resources: [web.yaml]\n", "", "", "", ""},
		"fluxd's patch file is one of Kustomize, too": {patchUpdated, "resources: [web.yaml]\npatchesStrategicMerge: [flux-patch.yaml]\n", "",
			"warning flux-patch.yaml:10 shop_web_apps_Deployment", "", "take flux-patch.yaml out of the patches"},
		"a patch stands among manifests": {"", "", "---\n" + patch + "      $retainKeys: [containers]\n---\n$patch: delete\n",
			"blocker more.yaml:9 shop_web_apps_Deployment", "the new agent would apply it without", "out of the agent's paths"},
		"a kustomization file that fluxd does not read": {"", "", "-- web.yaml --\n" + shopDeployment + "-- kustomization.yaml --\n" +
			kustomizeFile("resources: [web.yaml]\npatches:\n- patch: |"+strings.ReplaceAll("\n"+patch, "\n", "\n    ")+"  $retainKeys: [containers]\n"), "", "", ""},
		"a custom kind may have such a field": {"", "", custom + "spec: {$patch: delete}\n", "warning more.yaml:4 shop_w_example.com_Widget", "may not allow", ""},
		"fluxd leaves the object alone":       {"", "", strings.Replace(custom, "name: w", `name: w, annotations: {fluxcd.io/ignore: "true"}`, 1) + "spec: {$patch: delete}\n", "", "", ""},
		"a key that only looks like one":      {"", "", custom + "spec: {$patches: [], $ref: a, patch: $patch}\n", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := "-- more.yaml --\n" + c.more
			if c.flux != "" {
				own := strings.Replace(fluxPatch, "    spec:\n", "    spec:\n      $retainKeys: [containers]\n", 1)
				files += "-- .flux.yaml --\n" + c.flux + "-- web.yaml --\n" + shopDeployment + "-- role.yaml --\n" + role + "-- w.yaml --\n" + custom + "-- flux-patch.yaml --\n" + own + "-- kustomization.yaml --\n" + kustomizeFile(c.kustomization)
			}
			var got []string
			for _, f := range readTree(t, treeOf(files), nil).Findings {
				if f.Code == flux1.DirectiveLeft.Name || f.Code == flux1.DirectiveUnread.Name {
					got = append(got, fmt.Sprintf("%s %s %s", f.Severity, f.Where, strings.TrimPrefix(f.Subject, "team/flux ")))
					if !strings.Contains(f.Message, c.says) || !strings.Contains(f.Hint, c.hint) {
						t.Errorf("it says %q, and the remedy is %q", f.Message, f.Hint)
					}
				}
			}
			if got := strings.Join(got, "; "); got != c.want {
				t.Errorf("findings %q, want %q", got, c.want)
			}
		})
	}
}

func TestASecretInAPatchFileNeverReachesThePlan(t *testing.T) {
	const marked = "TUFSS0VELVNFQ1JFVA=="
	tree := treeOf("-- .flux.yaml --\n" + patchUpdated + "-- kustomization.yaml --\n" + kustomizeFile("resources: [s.yaml]\n") +
		"-- s.yaml --\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\ndata: {a: eA==}\n" +
		"-- flux-patch.yaml --\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop, annotations: {a: b}}\ndata: {a: " + marked + "}\n")
	_, plan := proveTree(t, tree, nil, nil)
	if got := differingFindings(plan, "PATCH_NOT_CARRIED"); !slices.Contains(got, "PATCH_NOT_CARRIED shop_s__Secret") {
		t.Errorf("findings: %q", got)
	}
	raw, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), marked) || strings.Contains(string(raw), "MARKED-SECRET") {
		t.Error("the plan holds the value of a Secret")
	}
	// What it only says of a Secret is carried.
	tree["flux-patch.yaml"].Data = []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop, annotations: {a: b}}\n")
	if _, plan = proveTree(t, tree, nil, nil); len(differingFindings(plan, "PATCH_NOT_CARRIED")) > 0 {
		t.Errorf("findings: %q", differingFindings(plan, "PATCH_NOT_CARRIED"))
	}
}

// withoutLines is a tree in which a file lacks some lines.
func withoutLines(t *testing.T, dir, file string, lines ...string) fs.FS {
	t.Helper()
	tree := treeOf("")
	root := realTree(dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if name != file {
				break
			}
			if n := strings.Count(string(content), line); n != 1 {
				t.Fatalf("%s holds %q %d times", file, line, n)
			}
			content = []byte(strings.Replace(string(content), line, "", 1))
		}
		for n, f := range treeOf("-- " + name + " --\n") {
			f.Data = content
			tree[n] = f
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// As they were copied, the overlays of sdp-flux cannot be built: they patch a
// release that their base leaves out, and one a CronJob of a version that the
// base has left behind. Without these patches each is one Kustomization
// with the path of its branch, as its SOURCE.md says, and its SealedSecrets
// pass through.
func TestSdpFluxBecomesOneKustomizationOfItsOverlay(t *testing.T) {
	const gitlab, cronJob = "- ./gitlab/helm-release-patch.yaml\n", "- ./ms-continuus/cronjob-patch.yaml\n"
	for branch, patches := range map[string][]string{"dev": {gitlab, cronJob}, "prod": {gitlab}} {
		whole, plan := proveTree(t, realTree("equinor__sdp-flux"), func(o *CheckoutOptions) {
			o.URL, o.Branch, o.Paths, o.DefaultNamespace = "git@github.com:equinor/sdp-flux", branch, []string{branch}, "flux"
		}, nil)
		wantFinding(t, whole, flux1.NotGenerated, "gitlab")
		if apps := plan.Repositories[0].Applications; len(apps) != 1 || apps[0].Path != "./"+branch || !plan.Repositories[0].Blocked {
			t.Errorf("%s: %+v", branch, apps)
		}
		tree := withoutLines(t, "equinor__sdp-flux", branch+"/kustomization.yaml", patches...)
		inv, plan := proveTree(t, tree, func(o *CheckoutOptions) {
			o.URL, o.Branch, o.Paths, o.DefaultNamespace, o.ManifestGeneration = "git@github.com:equinor/sdp-flux", branch, []string{branch}, "flux", new(true)
		}, nil)
		repo := plan.Repositories[0]
		if len(repo.Applications) != 1 || repo.Applications[0].Path != "./"+branch || len(plan.Sources) != 1 {
			t.Errorf("%s: %+v, %d sources", branch, repo.Applications, len(plan.Sources))
		}
		if got := differingFindings(plan); len(got) > 0 {
			t.Errorf("%s: %q", branch, got)
		}
		sealed, releases := 0, 0
		for _, o := range repo.Objects {
			switch {
			case o.Verb != migrate.Adopt || o.Application != repo.Applications[0].Name:
				t.Errorf("%s: %+v", branch, o)
			case strings.HasSuffix(o.ID, "_bitnami.com_SealedSecret"):
				sealed++
			case strings.HasSuffix(o.ID, "_helm.fluxcd.io_HelmRelease"):
				releases++
			}
		}
		if sealed == 0 || releases == 0 || len(repo.Objects) != inv.Agents[0].Counts.Objects {
			t.Errorf("%s: %d SealedSecrets, %d HelmReleases, %d objects of %d", branch, sealed, releases, len(repo.Objects), inv.Agents[0].Counts.Objects)
		}
		wantFinding(t, inv, flux1.HelmRelease1Patch, branch+"/velero/helm-release-patch.yaml")
	}
}

// The plans of flux-kustomize-example and multi-tenancy-team1 are what their
// SOURCE.md says a right migration produces.
func TestThePatchFilesOfPublicRepositoriesSurviveTheMigration(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		// holds are words of the patches, without which images go back.
		holds []string
	}{
		"flux-kustomize staging":    {"./staging", []string{"image: stefanprodan/podinfo:1.4.4", "flux.weave.works/tag.podinfod: semver:~1.4"}},
		"flux-kustomize production": {"./production", []string{`flux.weave.works/locked: "true"`, "Alfonso Acosta"}},
		"multi-tenancy-team1":       {"./", []string{"name: frontend", "name: backend", "image: quay.io/stefanprodan/podinfo:1.7.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			inv := readReal(t, name)
			res, err := proof.Prove(t.Context(), inv, migrate.Options{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			repo := res.Plan.Repositories[0]
			if len(repo.Kustomizations) != 1 || repo.Applications[0].Path != c.path {
				t.Fatalf("%+v", repo.Applications)
			}
			if got := differingFindings(res.Plan, "PATCH_NOT_CARRIED"); len(got) > 0 {
				t.Errorf("%q", got)
			}
			raw, err := json.Marshal(repo.Kustomizations[0].Object["spec"].(map[string]any)["patches"])
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(raw), `\"`, `"`)
			for _, words := range c.holds {
				if !strings.Contains(text, words) {
					t.Errorf("the patches lack %q: %s", words, text)
				}
			}
			// Without them the proof says so.
			unstructured.RemoveNestedField(repo.Kustomizations[0].Object, "spec", "patches")
			named := agentNamed(t, inv, repo.ID)
			objects, err := proof.Render(t.Context(), &named, &res.Plan, repo.Kustomizations[0])
			if err != nil {
				t.Fatal(err)
			}
			same := 0
			for _, o := range objects {
				// Each overlay names bases alone.
				const note = "config.kubernetes.io/origin"
				if value := o.GetAnnotations()[note]; value == "" || !slices.ContainsFunc(repo.Adds, func(a migrate.Addition) bool {
					return a.Object == migrate.ObjectID(o) && a.Key == note && a.Value == value
				}) {
					t.Errorf("%s gets the note %q, and the plan says %+v", o.GetName(), value, repo.Adds)
				}
				for _, old := range agentNamed(t, inv, repo.ID).Objects {
					if old.ID == migrate.ObjectID(o) && len(old.Patches) > 0 && cmp.Equal(bare(proof.Normalized(old.Manifest)).Object, bare(o).Object) {
						same++
					}
				}
			}
			if same > 0 {
				t.Errorf("%d patched objects are the same without their patches", same)
			}
		})
	}
}

// Of some kinds fluxd's Kustomize has no schema: a list of a strategic merge patch takes
// the place of the whole list there, and is merged by Kustomize 5. What 3.8.7 gives of
// these cases was asked of its own library (kustomize/api v0.6.5).
func TestAListThatFluxdReplacesAndKustomize5MergesIsNamed(t *testing.T) {
	const (
		command = "version: 1\ncommandUpdated:\n  generators:\n  - command: kustomize build .\n"
		cron    = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: tidy, namespace: shop}\nspec:\n  schedule: 0 1 * * *\n  jobTemplate:\n    spec:\n      template:\n        spec:\n"
		own     = cron + "          restartPolicy: Never\n          containers: [{name: tidy, image: \"tidy:1\", args: [--all]}, {name: sidecar, image: \"sidecar:1\"}]\n"
		patch   = "          containers: [{name: tidy, image: \"tidy:2\", command: [tidy]}]\n"
		listed  = "resources: [own.yaml]\npatchesStrategicMerge: [patch.yaml]\n"
		differs = "RENDERING_DIFFERS shop_tidy_batch_CronJob"
	)
	head := cron[:strings.Index(cron, "spec:")]
	for name, c := range map[string]struct {
		kustomization, own, patch string
		want                      string // place of the finding; empty for none
		says                      string
	}{
		"containers of a CronJob": {listed, own, cron + patch, "patch.yaml:1",
			"the list spec.jobTemplate.spec.template.spec.containers of shop:cronjob/tidy: fluxd's own Kustomize (up to 3.8.7) has no schema of batch/v1 CronJob and gives tidy; Kustomize 5 merges by key and gives tidy (with other args), sidecar"},
		"a patch with a target":       {"resources: [own.yaml]\npatches:\n- target: {kind: CronJob}\n  path: patch.yaml\n", own, cron + patch, "patch.yaml:1", "gives tidy;"},
		"a patch within the file":     {"resources: [own.yaml]\npatches:\n- patch: |" + strings.ReplaceAll("\n"+cron+patch, "\n", "\n    ") + "\n", own, "", "kustomization.yaml", "gives tidy;"},
		"a component's":               {"resources: [own.yaml]\ncomponents: [part]\n", own, cron + patch, "part/patch.yaml:1", "gives tidy;"},
		"items that fluxd takes away": {listed, own, cron + "          containers: []\n", "patch.yaml:1", "gives nothing; Kustomize 5 merges by key and gives tidy, sidecar"},
		"texts": {listed, strings.Replace(own, "namespace: shop", "namespace: shop, finalizers: [a/own]", 1), strings.Replace(head, "namespace: shop", "namespace: shop, finalizers: [a/more]", 1), "patch.yaml:1",
			"gives a/more; Kustomize 5 merges by key and gives a/more, a/own"},

		"a list that is the same either way":  {listed, own, cron + "          containers: [{name: tidy, image: \"tidy:1\", args: [--all]}, {name: sidecar, image: \"sidecar:1\"}]\n", "", ""},
		"a list that the object has not":      {listed, own, cron + "          volumes: [{name: a, emptyDir: {}}]\n", "", ""},
		"a list that both replace":            {listed, own, cron + "          tolerations: [{operator: Exists}]\n", "", ""},
		"no list":                             {listed, own, head + "spec: {suspend: true}\n", "", ""},
		"a JSON patch":                        {"resources: [own.yaml]\npatches:\n- target: {kind: CronJob}\n  patch: |\n    - op: remove\n      path: /spec/jobTemplate/spec/template/spec/containers/1\n", own, "", "", ""},
		"a kind that fluxd's Kustomize knows": {listed, strings.Replace(own, "batch/v1", "batch/v1beta1", 1), strings.Replace(cron+patch, "batch/v1", "batch/v1beta1", 1), "", ""},
		"a custom kind that neither knows":    {listed, strings.Replace(own, "batch/v1", "example.com/v1", 1), strings.Replace(cron+patch, "batch/v1", "example.com/v1", 1), "", ""},
		"a kind that Kustomize 5 does not know": {listed, "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a, namespace: shop}\nspec: {metrics: [{type: Resource}, {type: Pods}]}\n",
			"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a, namespace: shop}\nspec: {metrics: [{type: Pods}]}\n", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			part := ""
			if strings.HasPrefix(c.want, "part/") {
				part = "part/"
			}
			tree := treeOf("-- .flux.yaml --\n" + command + "-- kustomization.yaml --\n" + kustomizeFile(c.kustomization) + "-- own.yaml --\n" + c.own + "-- " + part + "patch.yaml --\n" + c.patch +
				"-- part/kustomization.yaml --\napiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatchesStrategicMerge: [patch.yaml]\n")
			inv, plan := proveTree(t, tree, nil, nil)
			var got []string
			for _, f := range inv.Findings {
				if f.Code == "PATCH_LIST_MERGED" {
					got = append(got, f.Where)
					if !strings.Contains(f.Message, c.says) {
						t.Errorf("it says %q", f.Message)
					}
				}
			}
			if got := strings.Join(got, "; "); got != c.want {
				t.Errorf("found at %q, want %q", got, c.want)
			}
			var want []string // what the two build is no longer called the same
			if c.want != "" {
				want = []string{differs}
			}
			if d := cmp.Diff(want, differingFindings(plan)); d != "" {
				t.Error(d)
			}
		})
	}
}
