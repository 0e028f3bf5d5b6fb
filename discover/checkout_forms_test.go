package discover

import (
	"bytes"
	gocmp "cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	"github.com/fluxover/fluxover/reconcile/build"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// treeOf makes files of a text in which "-- NAME --" lines begin each; "-- NAME
// -> TARGET --" is a link.
func treeOf(text string) fstest.MapFS {
	tree := fstest.MapFS{}
	name := ""
	var content strings.Builder
	end := func() {
		if name, target, link := strings.Cut(name, " -> "); link {
			tree[name] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink}
		} else if name != "" {
			tree[name] = &fstest.MapFile{Data: []byte(content.String())}
		}
		content.Reset()
	}
	for _, line := range strings.SplitAfter(text, "\n") {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok && strings.HasSuffix(rest, " --") {
			end()
			name = strings.TrimSuffix(rest, " --")
			continue
		}
		content.WriteString(line)
	}
	end()
	return tree
}

func readTree(t *testing.T, tree fs.FS, change func(*CheckoutOptions)) migrate.Inventory {
	t.Helper()
	o := CheckoutOptions{FS: tree, ID: "team/flux", DefaultNamespace: "team"}
	if change != nil {
		change(&o)
	}
	inv, err := Checkout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	checkInventory(t, inv)
	return inv
}

// What Kubernetes no longer has is no kind of somebody else's, and no cluster that
// can be migrated serves it: without one, nothing but this says so.
func TestKindsThatKubernetesNoLongerHasAreNamed(t *testing.T) {
	const names = "metadata: {name: a, namespace: shop}\n"
	inv := readTree(t, treeOf("-- old.yaml --\napiVersion: extensions/v1beta1\nkind: Deployment\n"+names+
		"---\napiVersion: networking.k8s.io/v1beta1\nkind: Ingress\n"+names+"---\napiVersion: networking.k8s.io/v1beta1\nkind: Ingress\nmetadata: {name: b, namespace: shop}\n"+
		"---\napiVersion: policy/v1beta1\nkind: PodSecurityPolicy\nmetadata: {name: a}\n"+
		"---\napiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: left, namespace: shop, annotations: {fluxcd.io/ignore: \"true\"}}\n"+
		"-- new.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: new, namespace: shop}\n"), nil)
	wantFinding(t, inv, flux1.KindsRemoved, "Deployment of extensions/v1beta1 (gone in Kubernetes 1.16, now of apps/v1), Ingress of networking.k8s.io/v1beta1 (gone in Kubernetes 1.22, now of networking.k8s.io/v1), PodSecurityPolicy of policy/v1beta1 (gone in Kubernetes 1.25)")
	noFinding(t, inv, flux1.KindsAssumed)
	for _, f := range inv.Findings {
		if strings.Contains(f.Message, "CronJob") && f.Code == flux1.KindsRemoved.Name {
			t.Errorf("one that is ignored: %s", f.Message)
		}
	}
	inv = readTree(t, treeOf("-- new.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: new, namespace: shop}\n"), nil)
	noFinding(t, inv, flux1.KindsRemoved)
}

func TestWhatStandsBesideManifestsIsNamed(t *testing.T) {
	tree := treeOf(`
-- .gitmodules --
[submodule "lib"]
	path = lib
	url = https://example.org/lib
-- .gitsecret/paths/mapping.cfg --
x
-- apps/password.yaml.secret --
x
-- apps/deploy.yaml.tmpl --
kind: {{ .Kind }}
-- apps/sub/.flux.yaml --
version: 1
scanForFiles: {}
-- apps/cm.yaml --
apiVersion: v1
kind: ConfigMap
metadata:
  name: one
  annotations:
    fluxcd.io/ignore: "yes"
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: two
  annotations:
    flux.weave.works/ignore: "true"
---
apiVersion: v1
kind: ConfigMap
metadata: {name: three, annotations: {fluxcd.io/ignore: sync_only}}
-- apps/old.yaml --
apiVersion: flux.weave.works/v1beta1
kind: HelmRelease
metadata: {name: web, namespace: shop}
spec:
  targetNamespace: shop-run
  chart: {repository: "https://bot:hunter2@charts.example.org", name: web, version: 1.2.3}
-- apps/plain.yaml --
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, annotations: {flux.weave.works/automated: "true"}}
spec: {template: {spec: {containers: [{name: agent, image: "agent:1"}]}}}
-- apps/odd.yaml --
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: odd, annotations: {fluxcd.io/automated: "yes"}}
spec: {template: {spec: {containers: [{name: odd, image: "odd:1"}]}}}
-- apps/sealed.yaml --
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: sealed}
-- apps/enc.yaml --
apiVersion: v1
kind: Secret
metadata: {name: enc}
data: {a: "ENC[AES256_GCM,data:x]"}
sops: {version: 3.7.1}
-- apps/chart/Chart.yaml --
name: c
-- apps/chart/values.yaml --
a: b
-- apps/chart/templates/x.yaml --
{{ nonsense
-- other/x.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: elsewhere}
`)
	tree["apps/linked"] = &fstest.MapFile{Data: []byte("../other"), Mode: fs.ModeSymlink | 0o777}
	tree["apps/cm2.yaml"] = &fstest.MapFile{Data: []byte("../other/x.yaml"), Mode: fs.ModeSymlink | 0o777}
	inv := readTree(t, tree, func(o *CheckoutOptions) { o.Paths = []string{"apps"} })
	for code, parts := range map[*flux1.Code][]string{
		&flux1.Submodules:          {".gitmodules", "lib"},
		&flux1.GitSecretFiles:      {"apps/password.yaml.secret"},
		&flux1.TemplateFiles:       {"apps/deploy.yaml.tmpl"},
		&flux1.FluxYAMLUnused:      {"apps/sub/.flux.yaml"},
		&flux1.IgnoreWithoutEffect: {"apps/cm.yaml:1", `fluxcd.io/ignore: "yes"`},
		&flux1.HelmRelease1Object:  {"release shop-shop-run-web of Helm 2, whose history Tiller keeps", "chart web 1.2.3 from https://", "; convert it to Helm 3 first"},
		&flux1.ImageFilter:         {"daemonset/agent", "no filter"},
		&flux1.SealedSecrets:       {"sealedsecret/sealed"},
		&flux1.Encrypted:           {"apps/enc.yaml"},
		&flux1.ChartInTree:         {"apps/chart"},
		&flux1.LinkedFolder:        {"apps/linked"},
		&flux1.LinkedFile:          {"apps/cm2.yaml"},
	} {
		wantFinding(t, inv, *code, parts...)
	}
	if strings.Contains(dump(t, inv), "hunter2") {
		t.Error("a password is told")
	}
	if got := findingsOf(inv, flux1.ImageFilter); len(got) != 1 {
		t.Errorf(`"yes" does not turn automation on: %q`, got)
	}
	a := inv.Agents[0]
	classes := map[string]migrate.ObjectClass{}
	for _, o := range a.Objects {
		classes[o.ID] = o.Class
	}
	for id, want := range map[string]migrate.ObjectClass{
		"team_one__ConfigMap": migrate.ClassApplied, "team_two__ConfigMap": migrate.ClassIgnored, "team_three__ConfigMap": migrate.ClassSyncOnly,
		"team_elsewhere__ConfigMap": migrate.ClassApplied, // through the link to the file
	} {
		if classes[id] != want {
			t.Errorf("%s is %q, want %q", id, classes[id], want)
		}
	}
	if !slices.Contains(a.Unknown, "sops") {
		t.Error("it is not known whether the agent decrypts")
	}
}

func TestGeneratorsThatAreMoreThanKustomizeAreNotGuessed(t *testing.T) {
	for command, says := range map[string]string{
		"kustomize build . | envsubst":           "not a plain kustomize build",
		"helm template x":                        "not a plain kustomize build",
		"kustomize build ../../other":            "outside of the repository",
		"kustomize build https://example.org/x":  "another repository",
		"kustomize build --enable_alpha_plugins": "option --enable_alpha_plugins",
		"kustomize build nothere":                "no kustomization file",
		"PASSWORD=hunter2 kustomize build .":     "not a plain kustomize build",
	} {
		tree := treeOf("-- .flux.yaml --\nversion: 1\ncommandUpdated:\n  generators:\n  - command: " + fmt.Sprintf("%q", command) + `
-- kustomization.yaml --
resources: [cm.yaml]
-- cm.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
`)
		inv := readTree(t, tree, nil)
		wantFinding(t, inv, flux1.NotGenerated, says)
		i := slices.IndexFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == flux1.NotGenerated.Name })
		if broken := command == "kustomize build nothere"; broken == strings.Contains(inv.Findings[i].Hint, "make each generator") {
			t.Errorf("%s: %s", command, inv.Findings[i].Hint)
		}
		if len(inv.Agents[0].Objects) != 0 {
			t.Errorf("%s: objects were guessed", command)
		}
		if strings.Contains(dump(t, inv), "hunter2") {
			t.Errorf("%s: a secret is told", command)
		}
	}
	tree := treeOf(`
-- .flux.yaml --
version: 1
commandUpdated:
  generators:
  - command: kustomize build --load_restrictor 'none' "over"
  updaters:
  - containerImage: {command: x}
-- over/kustomization.yaml --
resources: [../cm.yaml]
-- cm.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
`)
	inv := readTree(t, tree, nil)
	noFinding(t, inv, flux1.NotGenerated)
	noFinding(t, inv, flux1.NoUpdaters)
	if objects := inv.Agents[0].Objects; len(objects) != 1 || objects[0].File != "cm.yaml" || objects[0].Line != 1 || objects[0].ID != "team_a__ConfigMap" {
		t.Errorf("objects: %+v", objects)
	}
	// One that says that the files are scanned after all is read, too, and hides the
	// one above it; one that is not valid stops the sync.
	for content, wanted := range map[string]*flux1.Code{"version: 1\nscanForFiles: {}\n": nil, "version: 2\n": &flux1.Stuck} {
		reset := fstest.MapFS{"apps/.flux.yaml": {Data: []byte(content)}, "apps/cm.yaml": tree["cm.yaml"], ".flux.yaml": tree[".flux.yaml"]}
		inv = readTree(t, reset, func(o *CheckoutOptions) { o.Paths = []string{"apps"} })
		wantFinding(t, inv, flux1.FluxYAMLUnused, ".flux.yaml is not read")
		for _, f := range inv.Findings {
			if f.Code == flux1.FluxYAMLUnused.Name && strings.Contains(f.Message, "apps/.flux.yaml") {
				t.Errorf("%q: %s", content, f.Message)
			}
		}
		if wanted != nil {
			wantFinding(t, inv, *wanted, "apps/.flux.yaml")
		}
	}
	off := false
	inv = readTree(t, tree, func(o *CheckoutOptions) { o.ManifestGeneration = &off })
	noFinding(t, inv, flux1.ManifestGeneration)
	wantFinding(t, inv, flux1.FluxYAMLUnused, ".flux.yaml")
	if len(inv.Agents[0].Objects) != 1 {
		t.Errorf("with generation off the files are scanned: %+v", inv.Agents[0].Objects)
	}
}

const fluxRelease = `
-- cluster/flux-shop.yaml --
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: helm.fluxcd.io/v1
kind: HelmRelease
metadata:
  name: flux-shop
  namespace: shop
spec:
  releaseName: flux-shop
  chart:
    repository: https://charts.fluxcd.io
    name: flux
    version: 1.13.3
  values:
    git:
      url: git@github.com:org/shop
      branch: main
      path: deploy
      pollInterval: 2m
    syncGarbageCollection:
      enabled: true
    clusterRole:
      create: false
    allowedNamespaces: [shop]
    workers: 3
`

// An agent stands in a repository as it is built, and as what it is built of.
func TestAnAgentThatIsDeclaredTwiceAlikeIsOne(t *testing.T) {
	const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: flux}
spec:
  selector: {matchLabels: {name: flux}}
  template:
    metadata: {labels: {name: flux}}
    spec: {containers: [{name: flux, image: "fluxcd/flux:1.25.4", args: ["--git-url=git@git.example.com:org/shop", --git-path=prod, --k8s-default-namespace=till]}]}
`
	for other, ids := range map[string][]string{
		deployment: {"flux/flux"},
		strings.Replace(deployment, "--git-path=prod", "--git-path=test", 1): {"flux/flux", "flux/flux@manifests"},
	} {
		inv := readTree(t, treeOf("-- overlay/kustomization.yaml --\nresources: [flux.yaml]\n-- overlay/flux.yaml --\n"+deployment+"-- build.yaml --\n# rendered\n"+other), func(o *CheckoutOptions) {
			o.URL, o.Paths, o.DefaultNamespace = "https://git.example.com/org/shop.git", []string{"prod"}, "till"
		})
		var got []string
		for _, a := range inv.Agents {
			got = append(got, a.ID)
		}
		if !slices.Equal(got, ids) || agentNamed(t, inv, "flux/flux").Tree == nil {
			t.Errorf("agents %v, want %v, the first of which reads this repository", got, ids)
		}
	}
}

// A file that a scanned path holds is no candidate of a generated path above it.
func TestAWorkloadIsNamedByOneOfTwoPaths(t *testing.T) {
	const web = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, annotations: {fluxcd.io/automated: \"true\"}}\nspec: {template: {spec: {containers: [{name: web, image: 'web:1'}]}}}\n"
	tree := treeOf("-- all/.flux.yaml --\nversion: 1\ncommandUpdated: {generators: [{command: helm template x}]}\n-- all/web/.flux.yaml --\nversion: 1\nscanForFiles: {}\n-- all/web/web.yaml --\n" + web)
	for _, paths := range [][]string{{"all", "all/web"}, {"all"}} {
		inv := readTree(t, tree, func(o *CheckoutOptions) { o.Paths = paths })
		for _, code := range []flux1.Code{flux1.ImageAutomation, flux1.ImageFilter, flux1.ImagePolicy} {
			if got := findingsOf(inv, code); len(got) != 1 {
				t.Errorf("%v: %q", paths, got)
			}
		}
	}
}

// Of an annotation that is on or off fluxd knows "true" alone.
func TestAutomationThatIsOffIsNoPolicy(t *testing.T) {
	const cm = "-- a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {fluxcd.io/automated: \"%\", fluxcd.io/locked: \"%\"}}\n"
	for value, want := range map[string]int{"true": 1, "false": 0, "yes": 0} {
		if got := findingsOf(readTree(t, treeOf(strings.ReplaceAll(cm, "%", value)), nil), flux1.ImagePolicy); len(got) != want {
			t.Errorf("%s: %q", value, got)
		}
	}
}

// A value that is no text is told, and hides nothing that stands beside it: fluxd reads
// it as the text that is written.
// What a generator prints that decrypts must not be committed.
func TestNobodyIsToldToCommitWhatAGeneratorDecrypts(t *testing.T) {
	for command, says := range map[string]string{
		"for f in $(grep -lr ENC *); do sops -i -d $f; done && kustomize build .": "its commands decrypt (sops)",
		"kustomize build --enable_alpha_plugins . | age -d -i key":                "its commands decrypt (age -d)",
		"../gen.sh dev": "its commands decrypt (git-crypt in gen.sh)",
		"ytt -f .":      "",
	} {
		inv := readTree(t, treeOf("-- p/.flux.yaml --\nversion: 1\ncommandUpdated:\n  generators:\n  - command: "+fmt.Sprintf("%q", command)+
			"\n-- gen.sh --\n#!/bin/sh\ngit-crypt unlock key\n-- p/cm.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), func(o *CheckoutOptions) { o.Paths = []string{"p"} })
		wantFinding(t, inv, flux1.NotGenerated, says)
		for _, f := range inv.Findings {
			if f.Code != flux1.NotGenerated.Name {
				continue
			}
			if told := strings.HasPrefix(f.Hint, "commit nothing of what these commands print"); told != (says != "") || !told && !strings.Contains(f.Hint, "a Secret only as SOPS encrypts it") {
				t.Errorf("%s: %s", command, f.Hint)
			}
		}
	}
}

// What a generator fetches is applied, though nothing else fetches submodules.
func TestSubmodulesThatAGeneratorFetchesAreNotCalledUnused(t *testing.T) {
	for command, fetched := range map[string]bool{"git submodule update --init --remote": true, "git config user.name x": false} {
		inv := readTree(t, treeOf("-- .flux.yaml --\nversion: 1\ncommandUpdated:\n  generators:\n  - command: "+command+"\n  - command: kustomize build .\n"+
			"-- .gitmodules --\n[submodule \"lib\"]\n\tpath = lib\n-- kustomization.yaml --\nresources: [cm.yaml]\n-- cm.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), nil)
		i := slices.IndexFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == flux1.Submodules.Name })
		if i < 0 {
			t.Fatalf("%s: %+v", command, inv.Findings)
		}
		f := inv.Findings[i]
		if strings.Contains(f.Message, "a command of .flux.yaml fetches them") != fetched || strings.Contains(f.Hint, "recurseSubmodules off") == fetched {
			t.Errorf("%s: %+v", command, f)
		}
	}
}

// fluxd notes automation in the patch file, whatever else is generated.
func TestAutomationOfAPatchFileIsToldThoughWhatIsGeneratedIsNot(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s, namespace: %s, annotations: {fluxcd.io/automated: %s}}\n"
	for name, c := range map[string]struct{ web, patch, want string }{
		"set":                          {fmt.Sprintf(deployment, "web", "shop", "'false'"), fmt.Sprintf(deployment, "web", "shop", "'true'"), "shop:deployment/web"},
		"taken away":                   {fmt.Sprintf(deployment, "web", "shop", "'true'"), fmt.Sprintf(deployment, "web", "shop", "null"), ""},
		"of what is ignored":           {fmt.Sprintf(deployment, "web", "shop", "'true'"), fmt.Sprintf(deployment, "web", "shop", "'true', fluxcd.io/ignore: 'true'"), ""},
		"of a namespace set elsewhere": {fmt.Sprintf(deployment, "web", `""`, "'false'"), fmt.Sprintf(deployment, "web", "shop", "'true'"), "shop:deployment/web"},
		"of what is made elsewhere":    {fmt.Sprintf(deployment, "api", "shop", "'false'"), fmt.Sprintf(deployment, "web", "shop", "'true'"), "shop:deployment/web"},
	} {
		t.Run(name, func(t *testing.T) {
			inv := readTree(t, treeOf("-- .flux.yaml --\n"+strings.Replace(patchUpdated, "kustomize build .", "ytt -f .", 1)+"-- web.yaml --\n"+c.web+"-- flux-patch.yaml --\n"+c.patch), nil)
			wantFinding(t, inv, flux1.NotGenerated, "ytt")
			if c.want == "" {
				noFinding(t, inv, flux1.ImageAutomation)
				return
			}
			wantFinding(t, inv, flux1.ImageAutomation, "1 objects stand", c.want)
			wantFinding(t, inv, flux1.ImagePolicy, "(flux-patch.yaml:", "fluxcd.io/automated: true")
		})
	}
}

func TestAnAnnotationThatIsNoTextHidesNoOther(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\n  annotations:\n    fluxcd.io/automated: true\n    fluxcd.io/tag.web: 'glob:dev-*'\n    example.org/count: 1\n"
	const generator = "-- over/.flux.yaml --\nversion: 1\ncommandUpdated:\n  generators: [{command: %s}]\n  updaters: [{containerImage: {command: a}, policy: {command: a}}]\n"
	for name, tree := range map[string]string{
		"scanned":  "-- over/web.yaml --\n" + deployment,
		"not told": fmt.Sprintf(generator, "ytt -f .") + "-- over/web.yaml --\n" + deployment,
		"by a patch": fmt.Sprintf(generator, "kustomize build .") + "-- over/kustomization.yaml --\nresources: [web.yaml]\npatches: [{path: patch.yaml}]\n-- over/patch.yaml --\n" + deployment +
			"-- over/web.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n",
	} {
		t.Run(name, func(t *testing.T) {
			inv := readTree(t, treeOf(tree), func(o *CheckoutOptions) { o.Paths = []string{"over"} })
			wantFinding(t, inv, flux1.ImageAutomation, "shop:deployment/web")
			wantFinding(t, inv, flux1.ImagePolicy, "fluxcd.io/automated: true", "fluxcd.io/tag.web: glob:dev-*")
			wantFinding(t, inv, flux1.ImageFilter, "fluxcd.io/tag.web: glob:dev-*")
			if name == "by a patch" {
				wantFinding(t, inv, flux1.ImagePolicy, "(over/patch.yaml:7)")
			}
		})
	}
}

func TestAPathThatIsNotThereIsNoFileToMend(t *testing.T) {
	inv := readTree(t, treeOf("-- apps/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), func(o *CheckoutOptions) { o.Paths = []string{"nope"} })
	i := slices.IndexFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == flux1.Stuck.Name })
	if i < 0 || !strings.Contains(inv.Findings[i].Hint, "--git-path") {
		t.Errorf("%+v", inv.Findings)
	}
}

func TestTheVersionOfARemoteBaseIsTold(t *testing.T) {
	inv := readTree(t, treeOf("-- kustomization.yaml --\nresources: [\"github.com/org/base?ref=v1.2.3\", \"https://git.example.com/b?token=hunter2\", \"https://git.example.com/c?token=hunter2&ref=v1\"]\n"), nil)
	wantFinding(t, inv, flux1.RemoteBase, "github.com/org/base?ref=v1.2.3, https://git.example.com/b?***, https://git.example.com/c?***&ref=v1")
	if strings.Contains(dump(t, inv), "hunter2") {
		t.Error("a token is told")
	}
}

// What fluxd leaves alone is neither applied nor updated by it, nor by the new agent.
func TestWhatFluxdIgnoresAsksForNoDecision(t *testing.T) {
	const release = "-- web.yaml --\napiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: web, namespace: shop, annotations: {fluxcd.io/automated: \"true\", fluxcd.io/ignore: \"%\"}}\nspec: {chart: {name: web, version: 1.0.0, repository: \"https://charts.example.com\"}}\n"
	codes := []flux1.Code{flux1.HelmRelease1, flux1.HelmRelease1Object, flux1.ImageAutomation, flux1.ImageFilter, flux1.ImagePolicy}
	for value, held := range map[string]bool{"true": false, "sync_only": true} {
		inv := readTree(t, treeOf(strings.Replace(release, "%", value, 1)), nil)
		for _, code := range codes {
			if got := len(findingsOf(inv, code)) > 0; got != held {
				t.Errorf("ignore: %s: %s found: %t", value, code.Name, got)
			}
		}
	}
}

// Rights of roles that a repository does not declare are not known, but for the one
// that is the same in each cluster.
func TestTheRightsOfADeclaredDeploymentAreKnownAsFarAsItsRolesAre(t *testing.T) {
	const deployment = "-- flux.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec:\n  selector: {matchLabels: {name: flux}}\n" +
		"  template:\n    metadata: {labels: {name: flux}}\n    spec: {serviceAccountName: flux, containers: [{name: flux, image: \"fluxcd/flux:1.25.4\", args: [\"--git-url=git@git.example.com:org/shop\"]}]}\n"
	for role, want := range map[string]string{"cluster-admin": "cluster-admin", "edit": "", "": ""} {
		text := deployment
		if role != "" {
			text += "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: flux}\n" +
				"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: " + role + "}\nsubjects: [{kind: ServiceAccount, name: flux, namespace: flux}]\n"
		}
		a := agentNamed(t, readTree(t, treeOf(text), nil), "flux/flux")
		if a.Confinement.Kind != want || slices.Contains(a.Unknown, "confinement") != (want == "") {
			t.Errorf("bound to %q: %q, unknown %v", role, a.Confinement.Kind, a.Unknown)
		}
	}
}

// An annotation that a patch of a kustomization sets is told where it stands.
func TestAutomationIsToldAtThePatchThatSetsIt(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  selector: {matchLabels: {a: b}}\n  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: web, image: \"web:1\"}]}}\n"
	tree := treeOf("-- over/.flux.yaml --\nversion: 1\ncommandUpdated:\n  generators: [{command: kustomize build .}]\n  updaters: [{containerImage: {command: a}, policy: {command: a}}]\n" +
		"-- over/kustomization.yaml --\nresources: [../base]\npatches: [{path: patch.yaml}]\n-- over/patch.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\n  annotations:\n    fluxcd.io/automated: \"true\"\n" +
		"-- base/kustomization.yaml --\nresources: [web.yaml]\n-- base/web.yaml --\n" + deployment)
	inv := readTree(t, tree, func(o *CheckoutOptions) { o.Paths = []string{"over"} })
	wantFinding(t, inv, flux1.ImagePolicy, "(over/patch.yaml:7)")
	wantFinding(t, inv, flux1.ImageFilter, "(over/patch.yaml:7)", "it has no filter")
}

// Declared roles add up as those of a cluster do; one that the cluster puts together of
// others, and one that is bound nobody knows where, leave the rights unknown.
func TestDeclaredRolesAddUp(t *testing.T) {
	const deployment = "-- flux.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec:\n  selector: {matchLabels: {name: flux}}\n" +
		"  template:\n    metadata: {labels: {name: flux}}\n    spec: {serviceAccountName: flux, containers: [{name: flux, image: \"fluxcd/flux:1.25.4\", args: [\"--git-url=git@git.example.com:org/shop\"]}]}\n"
	const rules = "rules: [{apiGroups: [apps], resources: [deployments], verbs: [get]}]\n"
	object := func(kind, metadata, more string) string {
		return "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: " + kind + "\nmetadata: {name: r" + metadata + "}\n" + more
	}
	bound := func(kind string) string {
		return "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: " + kind + ", name: r}\nsubjects: [{kind: ServiceAccount, name: flux, namespace: flux}]\n"
	}
	for name, c := range map[string]struct {
		objects, byDefault string
		want               migrate.Confinement
	}{
		"everywhere":                          {object("ClusterRole", "", rules) + object("ClusterRoleBinding", "", bound("ClusterRole")), "", migrate.Confinement{Kind: "custom"}},
		"in a namespace":                      {object("Role", ", namespace: a", rules) + object("RoleBinding", ", namespace: a", bound("Role")), "", migrate.Confinement{Kind: "namespaces", Namespaces: []string{"a"}}},
		"in a namespace, and to use a policy": {object("Role", ", namespace: a", rules) + object("RoleBinding", ", namespace: a", bound("Role")) + object("ClusterRole", "", "rules: [{apiGroups: [policy], resources: [podsecuritypolicies], verbs: [use]}]\n") + object("ClusterRoleBinding", "", bound("ClusterRole")), "", migrate.Confinement{Kind: "namespaces", Namespaces: []string{"a"}}},
		"in a namespace, and policies":        {object("Role", ", namespace: a", rules) + object("RoleBinding", ", namespace: a", bound("Role")) + object("ClusterRole", "", "rules: [{apiGroups: [policy], resources: [podsecuritypolicies], verbs: ['*']}]\n") + object("ClusterRoleBinding", "", bound("ClusterRole")), "", migrate.Confinement{Kind: "custom", Namespaces: []string{"a"}}},
		"in the default one":                  {object("Role", "", rules) + object("RoleBinding", "", bound("Role")), "team", migrate.Confinement{Kind: "namespaces", Namespaces: []string{"team"}}},
		"in nobody knows which":               {object("Role", "", rules) + object("RoleBinding", "", bound("Role")), "", migrate.Confinement{}},
		"put together of others":              {object("ClusterRole", "", "aggregationRule: {clusterRoleSelectors: []}\n"+rules) + object("ClusterRoleBinding", "", bound("ClusterRole")), "", migrate.Confinement{}},
		"bound in two ways": {object("ClusterRole", "", rules) + object("ClusterRoleBinding", "", strings.Replace(bound("ClusterRole"), "namespace: flux", "namespace: other", 1)) +
			object("ClusterRoleBinding", "", bound("ClusterRole")) + object("Role", ", namespace: a", rules) + object("RoleBinding", ", namespace: a", bound("Role")), "", migrate.Confinement{}},
		"with two roles of one name": {object("ClusterRole", "", rules) + object("ClusterRole", "", strings.Replace(rules, "get", "list", 1)) + object("ClusterRoleBinding", "", bound("ClusterRole")), "", migrate.Confinement{}},
		"of another namespace":       {object("Role", ", namespace: b", rules) + object("RoleBinding", ", namespace: a", bound("Role")), "", migrate.Confinement{}},
	} {
		a := agentNamed(t, readTree(t, treeOf(deployment+c.objects), func(o *CheckoutOptions) { o.DefaultNamespace = c.byDefault }), "flux/flux")
		equal(t, name, a.Confinement, c.want)
		equal(t, name+", unknown", slices.Contains(a.Unknown, "confinement"), c.want.Kind == "")
		if strings.Contains(asJSON(a), unknownNamespace) {
			t.Errorf("%s: rights in a namespace that is none: %+v", name, a.Rights)
		}
	}
}

// What another folder binds may be of another cluster: it is known where it is built or
// applied together with the agent, and where another declaration of the agent stands beside it.
func TestWhatAnotherFolderBindsIsNotKnown(t *testing.T) {
	const agent = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec:\n  selector: {matchLabels: {name: flux}}\n" +
		"  template:\n    metadata: {labels: {name: flux}}\n    spec: {serviceAccountName: flux, containers: [{name: flux, image: \"fluxcd/flux:1.25.4\", args: [\"--git-url=git@git.example.com:org/shop\"]}]}\n---\n"
	object := func(kind, name, more string) string {
		return "apiVersion: rbac.authorization.k8s.io/v1\nkind: " + kind + "\nmetadata: {name: " + name + "}\n" + more + "\n---\n"
	}
	bound := func(name, role, subject string) string {
		return object("ClusterRoleBinding", name, "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "+role+"}\nsubjects: [{"+subject+"}]")
	}
	const account = "kind: ServiceAccount, name: flux, namespace: flux"
	role := func(verb string) string {
		return object("ClusterRole", "few", "rules: [{apiGroups: [apps], resources: [deployments], verbs: ["+verb+"]}]")
	}
	proxier := func(verbs string) string { // as sealed-secrets has it
		in := func(o string) string {
			return strings.NewReplacer("Cluster", "", "}\n", ", namespace: kube-system}\n").Replace(o)
		}
		return in(bound("all", "speak", "kind: Group, name: 'system:authenticated'")) + in(object("ClusterRole", "speak", "rules: [{apiGroups: [''], resources: [services/proxy], verbs: ["+verbs+"]}]"))
	}
	raw := func(values string) string {
		return "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: raw, namespace: flux}\nspec:\n  chart: {repository: 'https://charts.helm.sh/incubator', name: raw, version: 0.2.5}\n  values: {" + values + "}\n---\n"
	}
	held := func(version, kind, spec string) string {
		return "apiVersion: " + version + "\nkind: " + kind + "\nmetadata: {name: a, namespace: flux}\nspec: {" + spec + "}\n---\n"
	}
	given := func(subject string) string {
		return "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: z}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{" + subject + "}]}"
	}
	file := func(name, content string) string { return "-- " + name + " --\n" + content }
	ownBinding := func(whom string) string { // of OpenShift
		return file("os.yaml", "apiVersion: authorization.openshift.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: z}\nroleRef: {name: cluster-admin}\n"+whom+"\n")
	}
	release2 := func(values string) string {
		return file("hr.yaml", "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: raw, namespace: flux}\nspec: {chart: {spec: {chart: raw, sourceRef: {kind: HelmRepository, name: x}}}, values: {"+values+"}}\n")
	}
	patching := func(patch string) string { // in a folder of its own, all of the repository
		return file("ks/k.yaml", "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: k, namespace: flux}\nspec:\n  path: ./\n  sourceRef: {kind: GitRepository, name: x}\n"+patch)
	}
	ofRelease2 := func(patch string) string {
		return patching("  patches:\n  - target: {kind: HelmRelease, name: raw}\n    patch: |\n      " + patch + "\n")
	}
	policy := func(rule string) string {
		return held("kyverno.io/v1", "ClusterPolicy", "rules: [{name: a, "+rule+"}]")
	}
	matching := func(kind string) string { return "match: {any: [{resources: {kinds: ['" + kind + "']}}]}, " }
	few, admin := bound("few", "few", account)+role("get"), bound("admin", "cluster-admin", account)
	kustomization := func(dir string) string { return "-- " + dir + "/kustomization.yaml --\nresources: [all.yaml]\n" }
	built := func(dir, content string) string { return kustomization(dir) + file(dir+"/all.yaml", content) }
	for name, c := range map[string]struct {
		tree  string
		paths []string
		want  string // the kind; empty for unknown
		says  string
	}{
		"in one build":                          {built("dev", agent+few+admin), nil, "cluster-admin", ""},
		"in another build":                      {built("dev", agent+few) + built("prod", admin), nil, "", "ClusterRoleBinding admin in prod/all.yaml:1 binds it, which may be for another cluster"},
		"in another build, of the same name":    {built("dev", agent+few) + built("prod", bound("few", "cluster-admin", account)), nil, "", "few in prod/all.yaml:1"},
		"in two others":                         {built("dev", agent+few) + built("prod", admin) + built("test", bound("admin", "few", account)), nil, "", "admin in prod/all.yaml:1 or test/all.yaml:1"},
		"in another build, the same":            {built("dev", agent+few+admin) + built("prod", admin), nil, "cluster-admin", ""},
		"in another build, less":                {built("dev", agent+admin) + built("prod", few), nil, "cluster-admin", ""},
		"in another build, of another account":  {built("dev", agent+few) + built("prod", bound("admin", "cluster-admin", "kind: ServiceAccount, name: other, namespace: flux")), nil, "custom", ""},
		"in another build, of all accounts":     {built("dev", agent+few) + built("prod", bound("admin", "cluster-admin", "kind: Group, name: 'system:serviceaccounts'")), nil, "", "admin in prod/all.yaml:1"},
		"in another build, little of everybody": {built("dev", agent+few) + built("prod", bound("all", "view", "kind: Group, name: 'system:authenticated'")), nil, "custom", ""},
		"in a plain file":                       {built("dev", agent+few) + file("more/b.yaml", admin), nil, "", "admin in more/b.yaml:1"},
		"in a build beside a plain agent":       {file("flux/a.yaml", agent+few) + built("more", admin), nil, "", "admin in more/all.yaml:1"},
		"in plain files":                        {file("flux/a.yaml", agent+few) + file("rbac/b.yaml", admin), nil, "cluster-admin", ""},
		"in plain files of one environment":     {file("prod/flux/a.yaml", agent+few) + file("prod/rbac/b.yaml", admin), nil, "cluster-admin", ""},
		"in plain files for all environments":   {file("prod/flux/a.yaml", agent+few) + file("rbac/b.yaml", admin), nil, "cluster-admin", ""},
		"in a plain file of another":            {file("clusters/dev/a.yaml", agent+few) + file("clusters/prod/b.yaml", admin), nil, "", "admin in clusters/prod/b.yaml:1"},
		"in a plain file of one":                {file("flux/a.yaml", agent+few) + file("eu-prod/b.yaml", admin), nil, "", "admin in eu-prod/b.yaml:1"},
		"in plain files of one, by two names":   {file("production/flux/a.yaml", agent+few) + file("prod/rbac/b.yaml", admin), nil, "cluster-admin", ""},
		"in a plain file of one like it":        {file("eu-prod/a.yaml", agent+few) + file("us-production/b.yaml", admin), nil, "", "admin in us-production/b.yaml:1"},
		"in a plain file of another cluster":    {file("clusters/eu/a.yaml", agent+few) + file("clusters/us/b.yaml", admin), nil, "", "admin in clusters/us/b.yaml:1"},
		"in a plain file for all clusters":      {file("clusters/eu/a.yaml", agent+few) + file("clusters/b.yaml", admin), nil, "cluster-admin", ""},
		"in a build of one environment":         {file("clusters/prod/flux/a.yaml", agent+few) + built("clusters/prod/rbac", admin), nil, "cluster-admin", ""},
		"in a build of one cluster":             {built("clusters/eu/flux", agent+few) + built("clusters/eu/rbac", admin), nil, "cluster-admin", ""},
		"in plain files beside such a build":    {built("envs/eu/flux", agent+few) + file("envs/eu/b.yaml", admin), nil, "cluster-admin", ""},
		"in a build of one of two in it":        {file("prod/clusters/eu/a.yaml", agent+few) + built("prod/clusters/us", admin), nil, "", "admin in prod/clusters/us/all.yaml:1"},
		"in a build of one with two agents":     {built("prod/a", agent+few) + file("prod/b/a.yaml", strings.Replace(agent, "shop", "other", 1)) + built("prod/c", admin), nil, "", "admin in prod/c/all.yaml:1"},
		"in one with an agent not built":        {file("prod/a/a.yaml", agent+few) + built("prod/c", admin) + "-- prod/b/kustomization.yaml --\nresources: [all.yaml, missing.yaml]\n" + file("prod/b/all.yaml", strings.Replace(agent, "shop", "other", 1)), nil, "", "admin in prod/c/all.yaml:1"},
		"in a build of another, of its files":   {file("prod/flux/a.yaml", agent+few) + built("prod/rbac", admin) + "-- dev/kustomization.yaml --\nresources: [../prod/rbac]\n", nil, "", "admin in prod/rbac/all.yaml:1"},
		"applied together":                      {file("flux/a.yaml", agent+few) + file("test/b.yaml", admin), []string{"flux", "test"}, "cluster-admin", ""},
		"built, and applied together":           {built("dev", agent+few) + built("prod", admin), []string{"dev", "prod"}, "cluster-admin", ""},
		"one of them applied":                   {file("flux/a.yaml", agent+few) + file("test/b.yaml", admin), []string{"flux"}, "", "admin in test/b.yaml:1"},
		"with an agent of its own":              {built("a", agent+few) + built("b", agent+admin), nil, "custom", ""},
		"beside a plain agent of its own":       {file("a/flux.yaml", agent+few) + file("b/flux.yaml", strings.Replace(agent, "shop", "other", 1)) + file("b/rbac.yaml", admin), nil, "custom", ""},
		"for both plain agents":                 {file("x/a/flux.yaml", agent+few) + file("x/b/flux.yaml", strings.Replace(agent, "shop", "other", 1)) + file("x/rbac.yaml", admin), nil, "cluster-admin", ""},
		"a role of another build":               {built("flux", agent+bound("few", "few", account)) + built("roles", role("get")), nil, "custom", ""},
		"a role of another environment":         {built("flux", agent+bound("few", "few", account)) + built("prod", role("get")), nil, "", "ClusterRole few, which ClusterRoleBinding few gives it, is declared in prod/all.yaml:1"},
		"another role of the name":              {built("flux", agent+few) + built("roles", role("list")), nil, "", "in several ways"},
		"another role, of an environment":       {built("flux", agent+few) + built("prod", role("list")), nil, "custom", ""},
		"in a folder that is not built":         {"-- a/kustomization.yaml --\nresources: [all.yaml, missing.yaml]\n" + file("a/all.yaml", agent+few+admin), nil, "cluster-admin", ""},
		"in its base":                           {"-- a/kustomization.yaml --\nresources: [all.yaml, missing.yaml, ../base]\n" + file("a/all.yaml", agent+few) + built("base", admin), nil, "cluster-admin", ""},
		"given to a chart":                      {file("a.yaml", agent+few+raw("resources: [{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: b}, roleRef: {kind: ClusterRole, name: cluster-admin}, subjects: [{"+account+"}]}]")), nil, "", "flux:helmrelease/raw in a.yaml:"},
		"given to a chart, as a text":           {file("a.yaml", agent+few+raw("templates: ['{kind: ClusterRoleBinding, roleRef: {kind: ClusterRole, name: cluster-admin}, subjects: [{"+account+"}]}']")), nil, "", "may bind it"},
		"given to a chart, for another":         {file("a.yaml", agent+few+raw("resources: [{kind: ClusterRoleBinding, roleRef: {kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: other, namespace: flux}]}]")), nil, "custom", ""},
		"a subject, to a chart":                 {file("a.yaml", agent+few+raw("bindings: [{role: cluster-admin, subjects: [{"+account+"}]}]")), nil, "", "gives its chart subjects"},
		"a subject of no namespace":             {file("a.yaml", agent+few+raw("subjects: [{kind: ServiceAccount, name: flux}]")), nil, "", "gives its chart subjects"},
		"a subject that is filled in":           {file("a.yaml", agent+few+raw("subjects: [{kind: ServiceAccount, name: '{{ .Release.Name }}', namespace: flux}]")), nil, "", "gives its chart subjects"},
		"a subject, in a text":                  {file("a.yaml", agent+few+raw("more: 'subjects: [{"+account+"}]'")), nil, "", "gives its chart subjects"},
		"another subject":                       {file("a.yaml", agent+few+raw("subjects: [{kind: ServiceAccount, name: other, namespace: flux}]")), nil, "custom", ""},
		"a subject of another namespace":        {file("a.yaml", agent+few+raw("subjects: [{kind: ServiceAccount, name: flux, namespace: other}]")), nil, "custom", ""},
		"what is patched":                       {file("a.yaml", agent+few+raw("patches: [{target: {"+account+"}}]")), nil, "custom", ""},
		"a command of a chart":                  {file("a.yaml", agent+few+raw("command: [kubectl, create, clusterrolebinding, '--serviceaccount=flux:flux']")), nil, "", "gives its chart subjects"},
		"its words apart":                       {file("a.yaml", agent+few+raw("command: [kubectl, create, clusterrolebinding, '--serviceaccount', 'flux:flux']")), nil, "", "gives its chart subjects"},
		"as a user":                             {file("a.yaml", agent+few+raw("users: ['system:serviceaccount:flux:flux']")), nil, "", "gives its chart subjects"},
		"to an operator of bindings":            {file("a.yaml", agent+few+strings.Replace(object("RBACDefinition", "a", "rbacBindings: [{name: a, subjects: [{"+account+"}], clusterRoleBindings: [{clusterRole: cluster-admin}]}]"), "rbac.authorization.k8s.io/v1", "rbacmanager.reactiveops.io/v1beta1", 1)), nil, "", "is made into bindings of its subjects"},
		"to one of policies":                    {file("a.yaml", agent+few+strings.Replace(object("ClusterPolicy", "a", "spec: {exclude: {subjects: [{"+account+"}]}}"), "rbac.authorization.k8s.io/v1", "kyverno.io/v1", 1)), nil, "custom", ""},
		"by Crossplane":                         {file("a.yaml", agent+few+held("kubernetes.crossplane.io/v1alpha2", "Object", "forProvider: {manifest: "+given(account)+"}")), nil, "", "object/a in a.yaml:"},
		"by Crossplane, another":                {file("a.yaml", agent+few+held("kubernetes.crossplane.io/v1alpha2", "Object", "forProvider: {manifest: "+given("kind: ServiceAccount, name: other, namespace: flux")+"}")), nil, "custom", ""},
		"by a work":                             {file("a.yaml", agent+few+held("work.open-cluster-management.io/v1", "ManifestWork", "workload: {manifests: ["+given(account)+"]}")), nil, "", "holds bindings, which are not read, and may bind it"},
		"by a template, of a parameter":         {file("a.yaml", agent+few+strings.Replace(held("template.openshift.io/v1", "Template", "objects: ["+given("kind: ServiceAccount, name: '${WHO}', namespace: flux")+"]"), "spec: ", "x: ", 1)), nil, "", "holds bindings"},
		"by a set, of an input":                 {file("a.yaml", agent+few+held("fluxcd.controlplane.io/v1", "ResourceSet", "resources: ["+given("kind: ServiceAccount, name: << inputs.who >>, namespace: flux")+"]")), nil, "", "holds bindings"},
		"by a set, of a text":                   {file("a.yaml", agent+few+held("fluxcd.controlplane.io/v1", "ResourceSet", "resourcesTemplate: \"kind: ClusterRoleBinding\\nroleRef: {name: admin}\"")), nil, "", "holds bindings"},
		"by a policy":                           {file("a.yaml", agent+few+held("kyverno.io/v1", "ClusterPolicy", "rules: [{generate: {kind: ClusterRoleBinding, data: {roleRef: {kind: ClusterRole, name: cluster-admin}, subjects: [{kind: Group, name: 'system:serviceaccounts'}]}}}]")), nil, "", "holds bindings"},
		"by a policy of it":                     {file("a.yaml", agent+few+held("kyverno.io/v1", "ClusterPolicy", "rules: [{validate: {pattern: {roleRef: {name: '!cluster-admin'}, subjects: [{name: '!x'}]}}}]")), nil, "custom", ""},
		"by a policy that leaves it out":        {file("a.yaml", agent+few+held("kyverno.io/v1", "ClusterPolicy", "rules: [{validate: {pattern: {roleRef: {name: '!cluster-admin'}}}, exclude: {subjects: [{"+account+"}]}}]")), nil, "custom", ""},
		"by a constraint":                       {file("a.yaml", agent+few+held("constraints.gatekeeper.sh/v1beta1", "K8sRestrictRoleBindings", "parameters: {roleRef: {name: cluster-admin}, allowed: [{"+account+"}]}")), nil, "custom", ""},
		"by a patch, of another folder":         {file("a.yaml", agent+few) + file("ks.yaml", "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: k, namespace: x}\nspec: {path: ./other, sourceRef: {kind: GitRepository, name: x}, patches: [{patch: \"kind: ClusterRoleBinding\\nmetadata: {name: z}\\nroleRef: {name: admin}\"}]}\n"), nil, "custom", ""},
		"by a template, to a user":              {file("a.yaml", agent+few+strings.Replace(held("template.openshift.io/v1", "Template", "objects: [{apiVersion: authorization.openshift.io/v1, kind: RoleBinding, roleRef: {name: admin}, userNames: ['system:serviceaccount:flux:flux']}]"), "spec: ", "x: ", 1)), nil, "", "holds bindings"},
		"by a template, to a group":             {file("a.yaml", agent+few+strings.Replace(held("template.openshift.io/v1", "Template", "objects: [{apiVersion: authorization.openshift.io/v1, kind: RoleBinding, roleRef: {name: admin}, groupNames: ['system:serviceaccounts']}]"), "spec: ", "x: ", 1)), nil, "", "holds bindings"},
		"by a patch of a release":               {file("a.yaml", agent+few) + release2("") + ofRelease2("[{op: add, path: /spec/values/resources, value: ["+given(account)+"]}]"), nil, "", "kustomization/k in ks/k.yaml:1 holds bindings"},
		"by a patch of one, of another":         {file("a.yaml", agent+few) + release2("") + ofRelease2("[{op: add, path: /spec/values/resources, value: ["+given("kind: ServiceAccount, name: other, namespace: flux")+"]}]"), nil, "custom", ""},
		"a subject, by a patch of one":          {file("a.yaml", agent+few) + release2("") + ofRelease2("{kind: HelmRelease, metadata: {name: raw}, spec: {values: {admins: [{"+account+"}]}}}"), nil, "", "kustomization/k in ks/k.yaml:1 holds subjects"},
		"a name, by a patch of one":             {file("a.yaml", agent+few) + release2("resources: ["+given("kind: ServiceAccount, name: other, namespace: flux")+"]") + ofRelease2("[{op: replace, path: /spec/values/resources/0/subjects/0/name, value: flux}]"), nil, "", "HelmRelease raw in hr.yaml:1 is not known as it is written (Kustomization flux/k, which applies it, changes it"},
		"no name, by a patch of one":            {file("a.yaml", agent+few) + release2("resources: ["+given("kind: ServiceAccount, name: other, namespace: flux")+"]") + ofRelease2("[{op: replace, path: /spec/interval, value: 5m}]"), nil, "custom", ""},
		"by a patch, of before v1":              {file("a.yaml", agent+few) + release2("") + patching("  patchesStrategicMerge: [{kind: HelmRelease, metadata: {name: raw}, spec: {values: {resources: ["+given(account)+"]}}}]\n"), nil, "", "holds bindings"},
		"by a variable of Flux v2":              {file("a.yaml", agent+few) + patching("  postBuild: {substitute: {b: \"kind: ClusterRoleBinding\\nroleRef: {name: cluster-admin}\"}}\n"), nil, "", "holds bindings"},
		"by OpenShift's own, to a user":         {file("a.yaml", agent+few) + ownBinding("userNames: ['system:serviceaccount:flux:flux']"), nil, "", "clusterrolebinding/z in os.yaml:1 is a binding, which is not read"},
		"by OpenShift's own, to a group":        {file("a.yaml", agent+few) + ownBinding("groupNames: ['system:serviceaccounts:flux']"), nil, "", "is a binding, which is not read"},
		"by OpenShift's own, to its group":      {file("a.yaml", agent+few) + ownBinding("subjects: [{kind: SystemGroup, name: 'system:serviceaccounts:flux'}]"), nil, "", "is a binding, which is not read"},
		"by OpenShift's own, to another group":  {file("a.yaml", agent+few) + ownBinding("groupNames: ['system:serviceaccounts:other']"), nil, "custom", ""},
		"a group, to a chart":                   {file("a.yaml", agent+few+raw("admins: [{kind: Group, name: 'system:serviceaccounts:flux'}]")), nil, "", "gives its chart subjects"},
		"another group, to a chart":             {file("a.yaml", agent+few+raw("admins: [{kind: Group, name: 'system:serviceaccounts:other'}]")), nil, "custom", ""},
		"by a policy, for another":              {file("a.yaml", agent+few+policy("exclude: {subjects: [{"+account+"}]}, generate: {kind: ClusterRoleBinding, data: {roleRef: {kind: ClusterRole, name: admin}, subjects: [{kind: User, name: joe}]}}")), nil, "custom", ""},
		"by a policy, of OpenShift's own":       {file("a.yaml", agent+few+policy("generate: {kind: RoleBinding, data: {roleRef: {name: admin}, groupNames: ['system:serviceaccounts']}}")), nil, "", "holds bindings"},
		"by a policy that adds it":              {file("a.yaml", agent+few+policy(matching("ClusterRoleBinding")+"mutate: {patchStrategicMerge: {subjects: [{"+account+"}]}}")), nil, "", "clusterpolicy/a in a.yaml:21 has bindings made or changed"},
		"by one that adds it to all":            {file("a.yaml", agent+few+policy(matching("rbac.authorization.k8s.io/*/*")+"mutate: {patchesJson6902: '[{op: add, path: /subjects/-, value: {"+account+"}}]'}")), nil, "", "has bindings made or changed"},
		"by one that changes what is there":     {file("a.yaml", agent+few+policy(matching("Namespace")+"mutate: {targets: [{kind: RoleBinding, name: x}], patchStrategicMerge: {roleRef: {name: admin}}}")), nil, "", "has bindings made or changed"},
		"by one that labels all":                {file("a.yaml", agent+few+policy(matching("*")+"mutate: {patchStrategicMerge: {metadata: {labels: {a: b}}}}")), nil, "custom", ""},
		"by a policy that copies one":           {file("a.yaml", agent+few+policy(matching("Namespace")+"generate: {kind: RoleBinding, name: t, clone: {namespace: x, name: t}}")), nil, "", "has bindings made or changed"},
		"by a policy that copies several":       {file("a.yaml", agent+few+policy(matching("Namespace")+"generate: {cloneList: {namespace: x, kinds: [v1/Secret, rbac.authorization.k8s.io/v1/RoleBinding]}}")), nil, "", "has bindings made or changed"},
		"by a policy that copies for each":      {file("a.yaml", agent+few+policy(matching("Namespace")+"generate: {foreach: [{list: x, kind: RoleBinding, clone: {namespace: x, name: t}}]}")), nil, "", "has bindings made or changed"},
		"by a policy that copies another":       {file("a.yaml", agent+few+policy(matching("RoleBinding")+"generate: {kind: Secret, name: t, clone: {namespace: x, name: t}}")), nil, "custom", ""},
		"by a policy of Kubernetes":             {file("a.yaml", agent+few+held("admissionregistration.k8s.io/v1beta1", "MutatingAdmissionPolicy", "matchConstraints: {resourceRules: [{apiGroups: [rbac.authorization.k8s.io], resources: [clusterrolebindings]}]}, mutations: [{applyConfiguration: {expression: 'Object{subjects: x}'}}]")), nil, "", "has bindings made or changed"},
		"by a policy that generates":            {file("a.yaml", agent+few+held("policies.kyverno.io/v1alpha1", "GeneratingPolicy", "generate: [{expression: 'generator.Apply(x, [resource.Get(\"rbac.authorization.k8s.io/v1\", \"rolebindings\", \"a\", \"b\")])'}]")), nil, "", "has bindings made or changed"},
		"by a policy that refuses":              {file("a.yaml", agent+few+held("policies.kyverno.io/v1alpha1", "ValidatingPolicy", "matchConstraints: {resourceRules: [{resources: [rolebindings]}]}, validations: [{expression: object.subjects == null}]")), nil, "custom", ""},
		"by Gatekeeper":                         {file("a.yaml", agent+few+held("mutations.gatekeeper.sh/v1", "Assign", "applyTo: [{groups: [rbac.authorization.k8s.io], kinds: [RoleBinding], versions: [v1]}], location: subjects, parameters: {assign: {value: [{"+account+"}]}}")), nil, "", "has bindings made or changed"},
		"by a schema":                           {file("a.yaml", agent+few+held("apiextensions.k8s.io/v1", "CustomResourceDefinition", "schema: {properties: {roleRef: {description: 'of a ClusterRoleBinding, its roleRef: x'}, subjects: {type: array}}}")), nil, "custom", ""},
		"only named to a chart":                 {file("a.yaml", agent+few+raw("kinds: [{kind: ClusterRoleBinding}]")), nil, "custom", ""},
		"of everybody, and nothing else":        {built("flux", agent+role("get")+bound("all", "few", "kind: Group, name: 'system:authenticated'")), nil, "", nothingBinds},
		"of everybody, unknown":                 {built("flux", agent+few+bound("all", "mine", "kind: Group, name: 'system:authenticated'")), nil, "", "ClusterRole mine"},
		"of everybody, to edit":                 {built("flux", agent+few+bound("all", "edit", "kind: Group, name: 'system:authenticated'")), nil, "", "ClusterRole edit, which ClusterRoleBinding all gives it, is not declared there"},
		"of everybody, to edit one":             {built("flux", agent+few+strings.Replace(strings.Replace(bound("all", "admin", "kind: Group, name: 'system:serviceaccounts'"), "ClusterRoleBinding", "RoleBinding", 1), "{name: all}", "{name: all, namespace: shop}", 1)), nil, "", "ClusterRole admin, which RoleBinding all gives it"},
		"of everybody, to edit in another":      {built("dev", agent+few) + built("prod", bound("all", "edit", "kind: Group, name: 'system:authenticated'")), nil, "", "ClusterRoleBinding all in prod/all.yaml:1 binds it"},
		"of everybody, to speak with a Service": {built("flux", agent+few) + built("a", proxier("get")) + built("b", proxier("get, create")), nil, "custom", ""},
		"of everybody, to change it":            {built("flux", agent+few) + built("a", proxier("get")) + built("b", strings.Replace(proxier("get, create"), "services/proxy", "services", 1)), nil, "", "RoleBinding all in a/all.yaml:1 or b/all.yaml:1 binds it"},
		"of everybody, to ask":                  {built("flux", agent+few+bound("all", "system:basic-user", "kind: Group, name: 'system:authenticated'")), nil, "custom", ""},
		"of everybody, little":                  {built("flux", agent+few+bound("all", "view", "kind: Group, name: 'system:authenticated'")), nil, "custom", ""},
		"of the accounts of its namespace":      {built("flux", agent+few+bound("all", "view", "kind: Group, name: 'system:serviceaccounts:flux'")), nil, "", "ClusterRole view"},
		"of all, put together of others":        {built("flux", agent+few+bound("all", "x", "kind: Group, name: 'system:authenticated'")+object("ClusterRole", "x", "aggregationRule: {clusterRoleSelectors: []}")), nil, "", "made of other roles"},
	} {
		t.Run(name, func(t *testing.T) {
			inv := readTree(t, treeOf(c.tree), func(o *CheckoutOptions) { o.Paths = c.paths })
			a := agentNamed(t, inv, "flux/flux")
			equal(t, "rights", []any{a.Confinement.Kind, slices.Contains(a.Unknown, "confinement")}, []any{c.want, c.want == ""})
			if c.want == "" {
				wantFinding(t, inv, RightsUnknown, c.says)
			}
		})
	}
	// Each of two declarations of an agent has what is built with it.
	inv := readTree(t, treeOf(built("dev", agent+few)+built("prod", agent+admin)), nil)
	equal(t, "the other's", agentNamed(t, inv, "flux/flux@prod").Confinement.Kind, "cluster-admin")
}

// A chart of the repository that something of it has installed binds whom its templates name,
// or may name by the values that it is given.
func TestWhatChartsOfTheRepositoryBindIsNotKnown(t *testing.T) {
	const agent = "-- flux.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec:\n  selector: {matchLabels: {name: flux}}\n" +
		"  template:\n    metadata: {labels: {name: flux}}\n    spec: {serviceAccountName: flux, containers: [{name: flux, image: \"fluxcd/flux:1.25.4\", args: [\"--git-url=git@git.example.com:org/shop\"]}]}\n---\n" +
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: flux, namespace: flux}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: few}\nsubjects: [{kind: ServiceAccount, name: flux, namespace: flux}]\n---\n" +
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: few}\nrules: [{apiGroups: [apps], resources: [deployments], verbs: [get]}]\n"
	chart := func(dir, subjects string) string {
		return "-- " + dir + "/Chart.yaml --\napiVersion: v2\nname: rbac\nversion: 1.0.0\n-- " + dir + "/values.yaml --\na: b\n-- " + dir + "/templates/b.yaml --\n" +
			"kind: ClusterRoleBinding\nmetadata: {name: {{ .Release.Name }}}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\nsubjects: " + subjects + "\n"
	}
	const account, filled = "[{kind: ServiceAccount, name: flux, namespace: flux}]", "[{kind: ServiceAccount, name: {{ .Values.account }}, namespace: flux}]"
	object := func(api, kind, spec string) string {
		return "-- r.yaml --\napiVersion: " + api + "\nkind: " + kind + "\nmetadata: {name: rbac, namespace: flux}\nspec: " + spec + "\n"
	}
	operator := func(more string) string {
		return object("helm.fluxcd.io/v1", "HelmRelease", "{chart: {git: 'ssh://git@github.com/o/r', path: charts/rbac, ref: master}"+more+"}")
	}
	flux2 := func(of, more string) string {
		return object("helm.toolkit.fluxcd.io/v2", "HelmRelease", "{chart: {spec: {chart: ./charts/rbac, sourceRef: {kind: "+of+", name: all}}}"+more+"}")
	}
	source := func(url string) string {
		return "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: all, namespace: flux}\nspec: {url: '" + url + "'}\n"
	}
	argo := func(more string) string {
		return object("argoproj.io/v1alpha1", "Application", "{destination: {namespace: flux}, source: {repoURL: 'https://github.com/o/r.git', path: charts/rbac"+more+"}}")
	}
	const values = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: values, namespace: flux}\ndata: {values.yaml: 'account: flux'}\n"
	// umbrella is a chart without templates that has another as a part.
	umbrella := func(file, part, folder string) string {
		out := "-- charts/rbac/values.yaml --\na: b\n-- charts/rbac/Chart.yaml --\nname: rbac\nversion: 1.0.0\n"
		if file != "Chart.yaml" {
			out += "-- charts/rbac/" + file + " --\n"
		}
		return out + "dependencies: [{name: " + part + ", version: 1.0.0, repository: 'file://" + folder + "'}]\n"
	}
	job := func(container string, pod ...string) string {
		return "-- r.yaml --\napiVersion: batch/v1\nkind: Job\nmetadata: {name: bind, namespace: apps}\nspec: {template: {spec: {" + strings.Join(pod, "") + "restartPolicy: Never, containers: [{name: k, image: 'bitnami/kubectl:1', " + container + "}]}}}\n"
	}
	const binds = "kubectl create clusterrolebinding x --clusterrole=cluster-admin --serviceaccount=flux:flux"
	const mounted, ofSecret = "volumes: [{name: s, configMap: {name: s}}], ", "volumes: [{name: s, secret: {secretName: s}}], "
	ofChart := func(command, more string) string {
		return "-- charts/rbac/Chart.yaml --\nname: rbac\nversion: 1.0.0\n-- charts/rbac/templates/j.yaml --\n{{- if .Values.job }}\napiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {{ .Release.Name }}\n  labels:\n    {{- include \"x\" . | nindent 4 }}\nspec:\n  template:\n    spec:\n      containers:\n      - name: k\n        image: \"bitnami/kubectl:{{ .Values.tag }}\"\n        " + command + "\n" + more + "{{- end }}\n"
	}
	held := func(kind, data string) string {
		return "---\napiVersion: v1\nkind: " + kind + "\nmetadata: {name: s, namespace: apps}\n" + data + "\n"
	}
	for name, c := range map[string]struct {
		tree string
		says string // empty where it is known
	}{
		"nothing":                           {chart("charts/rbac", account), ""},
		"by the operator":                   {operator("") + chart("charts/rbac", account), "flux:helmrelease/rbac in r.yaml:1 installs the chart in charts/rbac, in whose templates there are bindings"},
		"another account":                   {operator("") + chart("charts/rbac", strings.Replace(account, "name: flux", "name: other", 1)), ""},
		"another chart":                     {operator("") + chart("charts/other", account), ""},
		"of another repository":             {strings.Replace(operator(""), "o/r", "o/x", 1) + chart("charts/rbac", account), ""},
		"from a repository of charts":       {object("helm.fluxcd.io/v1", "HelmRelease", "{chart: {repository: 'https://charts.example.com', name: charts/rbac, version: 1.0.0}}") + chart("charts/rbac", account), ""},
		"filled in by a value":              {operator(", values: {account: flux}") + chart("charts/rbac", filled), "charts/rbac"},
		"filled in by another":              {operator(", values: {account: other}") + chart("charts/rbac", filled), ""},
		"filled in by a ConfigMap":          {operator(", valuesFrom: [{configMapKeyRef: {name: values}}]") + values + chart("charts/rbac", filled), "charts/rbac"},
		"filled in by a ConfigMap, another": {operator(", valuesFrom: [{configMapKeyRef: {name: values}}]") + strings.Replace(values, "account: flux", "account: other", 1) + chart("charts/rbac", filled), ""},
		"filled in by a Secret":             {operator(", valuesFrom: [{secretKeyRef: {name: values}}]") + chart("charts/rbac", filled), "charts/rbac"},
		"filled in by its namespace":        {operator("") + chart("charts/rbac", "[{kind: Group, name: 'system:serviceaccounts:{{ .Release.Namespace }}'}]"), "charts/rbac"},
		"filled in by another namespace":    {operator(", targetNamespace: other") + chart("charts/rbac", "[{kind: Group, name: 'system:serviceaccounts:{{ .Release.Namespace }}'}]"), ""},
		"too large":                         {operator("") + chart("charts/rbac", "[]\n# "+strings.Repeat("x", chartFileBytes)), "of which not all was read, since its templates/b.yaml has more than 1 MiB"},
		"by Flux v2":                        {flux2("GitRepository", "") + source("https://github.com/o/r") + chart("charts/rbac", account), "charts/rbac"},
		"by Flux v2, of nobody knows what":  {flux2("GitRepository", "") + chart("charts/rbac", account), "charts/rbac"},
		"by Flux v2, of another repository": {flux2("GitRepository", "") + source("https://github.com/o/x") + chart("charts/rbac", account), ""},
		"by Flux v2, of charts":             {flux2("HelmRepository", "") + chart("charts/rbac", account), ""},
		"by Flux v2, filled in":             {flux2("GitRepository", ", values: {account: '${x}'}") + chart("charts/rbac", filled), "charts/rbac"},
		"by Argo CD":                        {argo("") + chart("charts/rbac", account), "charts/rbac"},
		"by Argo CD, of another repository": {strings.Replace(argo(""), "o/r", "o/x", 1) + chart("charts/rbac", account), ""},
		"by Argo CD, filled in":             {argo(", helm: {values: 'account: flux'}") + chart("charts/rbac", filled), "charts/rbac"},
		"by Argo CD, filled in by a file":   {argo(", helm: {valueFiles: [../v.yaml]}") + "-- charts/v.yaml --\naccount: flux\n" + chart("charts/rbac", filled), "charts/rbac"},
		"by Argo CD, by another file":       {argo(", helm: {valueFiles: [../v.yaml]}") + "-- charts/v.yaml --\naccount: other\n" + chart("charts/rbac", filled), ""},
		"by Argo CD, by none that is there": {argo(", helm: {valueFiles: [$x/v.yaml]}") + chart("charts/rbac", filled), "charts/rbac"},
		"by a set of Argo CD":               {object("argoproj.io/v1alpha1", "ApplicationSet", "{template: {spec: {sources: [{path: charts/rbac, repoURL: 'git@github.com:o/r'}]}}}") + chart("charts/rbac", account), "charts/rbac"},

		// A part that lies beside a chart is of it.
		"a part of it":                 {operator("") + umbrella("Chart.yaml", "real", "../real") + chart("charts/real", account), "charts/rbac, in whose templates"},
		"a part, as for Helm 2":        {operator("") + umbrella("requirements.yaml", "real", "../real") + chart("charts/real", account), "charts/rbac, in whose templates"},
		"a part of another account":    {operator("") + umbrella("Chart.yaml", "real", "../real") + chart("charts/real", strings.Replace(account, "name: flux", "name: other", 1)), ""},
		"a part of a part":             {operator("") + umbrella("Chart.yaml", "middle", "../middle") + strings.ReplaceAll(umbrella("Chart.yaml", "real", "../../real"), "charts/rbac", "charts/middle") + chart("real", account), "charts/rbac, in whose templates"},
		"parts of each other":          {operator("") + umbrella("Chart.yaml", "middle", "../middle") + strings.ReplaceAll(umbrella("Chart.yaml", "rbac", "../rbac"), "charts/rbac", "charts/middle"), ""},
		"a part that is not there":     {operator("") + umbrella("Chart.yaml", "real", "../../../real"), "of which not all was read, since its part \"real\" is not in the folder that it names"},
		"a part by a file's name":      {operator("") + umbrella("Chart.yaml", "real.tgz", "../nowhere") + "-- charts/rbac/charts/real.tgz --\nx\n", "its charts/real.tgz"},
		"a part that is packed beside": {operator("") + umbrella("Chart.yaml", "real", "../nowhere") + "-- charts/rbac/charts/real/Chart.yaml --\nname: real\n", ""},

		// Other tools install charts as well.
		"by Helmfile":                      {"-- helmfile.yaml --\nreleases: [{name: a, namespace: flux, chart: ./charts/rbac}]\n" + chart("charts/rbac", account), "helmfile.yaml has Helmfile install the chart in charts/rbac, in whose templates"},
		"by Helmfile, another account":     {"-- helmfile.yaml --\nreleases: [{name: a, chart: ./charts/rbac}, 1, {chart: [x]}]\n" + chart("charts/rbac", strings.Replace(account, "name: flux", "name: other", 1)), ""},
		"by Helmfile, another chart":       {"-- helmfile.yaml --\nreleases: [{name: a, namespace: flux, chart: stable/rbac}, {name: rbac}]\n" + chart("charts/rbac", account), ""},
		"by Helmfile, from another folder": {"-- envs/helmfile.d/a.yaml --\nreleases: [{name: a, namespace: flux, chart: ../../charts/rbac}]\n" + chart("charts/rbac", account), "envs/helmfile.d/a.yaml has"},
		"by Helmfile, filled in":           {"-- helmfile.yaml --\nreleases: [{name: a, chart: ./charts/rbac, values: [{account: flux}]}]\n" + chart("charts/rbac", filled), "charts/rbac"},
		"by Helmfile, filled in by one":    {"-- helmfile.yaml --\nreleases: [{name: a, chart: ./charts/rbac, set: [{name: account, value: flux}]}]\n" + chart("charts/rbac", filled), "charts/rbac"},
		"by Helmfile, filled in by a file": {"-- helmfile.yaml --\nreleases: [{name: a, chart: ./charts/rbac, values: [v.yaml]}]\n-- v.yaml --\naccount: flux\n" + chart("charts/rbac", filled), "charts/rbac"},
		"by Helmfile, filled in by none":   {"-- helmfile.yaml --\nreleases: [{name: a, chart: ./charts/rbac, values: [{account: other}]}]\n" + chart("charts/rbac", filled), ""},
		"by Helmfile, by a template":       {"-- helmfile.yaml --\nreleases: [{name: a, chart: ./charts/rbac, values: [{account: '{{ .Values.x }}'}]}]\n" + chart("charts/rbac", filled), "charts/rbac"},
		"by a template of Helmfile":        {"-- helmfile.yaml --\n{{ range .x }}\nreleases:\n- name: {{ . }}\n  chart: ./charts/rbac\n{{ end }}\n" + chart("charts/rbac", filled), "charts/rbac"},
		"by Helmfile, by its secrets":      {"-- helmfile.yaml --\nreleases: [{name: a, chart: ./charts/rbac, secrets: [s.yaml]}]\n" + chart("charts/rbac", filled), "charts/rbac"},
		"by Helmfile, by a text":           {"-- helmfile.yaml --\nreleases: [{name: a, chart: ./charts/rbac, setString: [{name: account, value: flux}]}]\n" + chart("charts/rbac", filled), "charts/rbac"},
		"by Helmfile, inherited":           {"-- helmfile.yaml --\ntemplates: {t: {chart: ./charts/rbac, values: [{account: flux}]}}\nreleases: [{name: a, inherit: [{template: t}]}]\n" + chart("charts/rbac", filled), "charts/rbac"},
		"by Helmfile, inherited elsewhere": {"-- helmfile.yaml --\nreleases: [{name: a, inherit: [{template: t}]}]\n" + chart("charts/rbac", account), "helmfile.yaml has Helmfile install what it names by a template, so that it is not known which chart, and may"},
		"by Helmfile, a part":              {"-- helmfile.yaml --\nreleases: [{name: a, chart: stable/x, dependencies: [{chart: ./charts/rbac, version: 1.0.0}]}]\n" + chart("charts/rbac", account), "charts/rbac"},
		"by Helmfile, a chart by template": {"-- helmfile.yaml --\nreleases: [{name: rbac, chart: './charts/{{`{{ .Release.Name }}`}}'}]\n" + chart("charts/rbac", account), "it is not known which chart"},
		"by Helmfile, of no chart here":    {"-- helmfile.yaml --\nreleases: [{name: rbac, chart: './charts/{{`{{ .Release.Name }}`}}'}]\n", ""},
		"by Helmfile, one of a repository": {"-- helmfile.yaml --\nreleases: [{name: rbac, chart: 'stable/{{`{{ .Release.Name }}`}}'}]\n" + chart("charts/rbac", account), ""},
		"by a template, of a chart":        {"-- helmfile.yaml --\n{{ range .x }}\nreleases:\n- name: {{ . }}\n  chart: ./charts/{{ . }}\n{{ end }}\n" + chart("charts/rbac", account), "it is not known which chart"},
		"by a template, of a repository's": {"-- helmfile.yaml --\n{{ range .x }}\nreleases:\n- name: {{ . }}\n  chart: stable/{{ . }}\n{{ end }}\n" + chart("charts/rbac", account), ""},
		"by a base of Helmfile":            {"-- helmfile.yaml --\nbases: [envs/base.yaml]\n-- envs/base.yaml --\nreleases: [{name: a, chart: ./charts/rbac}]\n" + chart("charts/rbac", account), "envs/base.yaml has Helmfile install the chart in charts/rbac"},
		"by another file of Helmfile":      {"-- helmfile.yaml --\nhelmfiles: [{path: sub/*.yaml}, 'git::https://h/x@a.yaml']\n-- sub/apps.yaml --\nreleases: [{name: a, chart: ../charts/rbac}]\nhelmfiles: [../helmfile.yaml]\n" + chart("charts/rbac", account), "sub/apps.yaml has Helmfile install the chart in charts/rbac"},
		"by another, by a template":        {"-- helmfile.yaml --\n{{ if .x }}\nhelmfiles:\n# all\n- path: sub/apps.yaml\n{{ end }}\n-- sub/apps.yaml --\nreleases: [{name: a, chart: ../charts/rbac}]\n" + chart("charts/rbac", account), "sub/apps.yaml has Helmfile install the chart in charts/rbac"},
		"by another, in a template":        {"-- helmfile.yaml --\nhelmfiles: ['sub/{{ .x }}.yaml']\n" + chart("charts/rbac", account), "it is not known which chart"},
		"by Kustomize, of a version":       {"-- k/kustomization.yaml --\nhelmCharts: [{name: rbac, repo: 'https://h', version: 1.0.0, releaseName: a}]\n" + chart("k/charts/rbac-1.0.0/rbac", account), "render the chart in k/charts/rbac-1.0.0/rbac"},
		"by Kustomize, as it was":          {"-- k/kustomization.yaml --\nhelmChartInflationGenerator: [{chartName: rbac, releaseName: a}]\n" + chart("k/charts/rbac", account), "k/kustomization.yaml has Kustomize render the chart in k/charts/rbac"},
		"by Kustomize, by a generator":     {"-- k/kustomization.yaml --\ngenerators: [g.yaml, 1, x]\n-- k/g.yaml --\napiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: x}\nname: rbac\n" + chart("k/charts/rbac", account), "k/kustomization.yaml has Kustomize render the chart in k/charts/rbac"},
		"by Kustomize, by a written one":   {"-- k/kustomization.yaml --\ngenerators:\n- |\n  apiVersion: builtin\n  kind: HelmChartInflationGenerator\n  metadata: {name: x}\n  chartHome: ../charts\n  name: rbac\n" + chart("charts/rbac", account), "k/kustomization.yaml has Kustomize render the chart in charts/rbac"},
		"by Kustomize":                     {"-- k/kustomization.yaml --\nhelmCharts: [{name: rbac, releaseName: a, namespace: flux}, 1, {name: [x]}]\n" + chart("k/charts/rbac", account), "k/kustomization.yaml has Kustomize render the chart in k/charts/rbac"},
		"by Kustomize, from another home":  {"-- k/kustomization.yaml --\nhelmGlobals: {chartHome: ../charts}\nhelmCharts: [{name: rbac}]\n" + chart("charts/rbac", account), "render the chart in charts/rbac"},
		"by Kustomize, filled in":          {"-- k/kustomization.yaml --\nhelmCharts: [{name: rbac, valuesInline: {account: flux}}]\n" + chart("k/charts/rbac", filled), "k/charts/rbac"},
		"by Kustomize, by a file":          {"-- k/kustomization.yaml --\nhelmCharts: [{name: rbac, valuesFile: v.yaml}]\n-- k/v.yaml --\naccount: flux\n" + chart("k/charts/rbac", filled), "k/charts/rbac"},
		"by Kustomize, another":            {"-- k/kustomization.yaml --\nhelmCharts: [{name: rbac, valuesInline: {account: other}}]\n" + chart("k/charts/rbac", filled), ""},

		// So do commands that pods run.
		"by a Job":                       {job(`command: [kubectl, create, clusterrolebinding, x, '--clusterrole=cluster-admin', '--serviceaccount=flux:flux']`), "apps:job/bind in r.yaml:1 runs commands that bind accounts, and may bind it"},
		"by a Job, another account":      {job(`command: [kubectl, create, clusterrolebinding, x, '--clusterrole=cluster-admin', '--serviceaccount=flux:other']`), ""},
		"by a Job, and a group":          {job(`command: [kubectl, create, clusterrolebinding, x, '--clusterrole=cluster-admin', '--serviceaccount=flux:other', '--group=x']`), "runs commands (what kubectl makes in its script is not read) and may bind it"},
		"by a Job, filled in":            {job(`command: [sh, -c, 'kubectl create rolebinding x --clusterrole=edit --serviceaccount=flux:$NAME']`), "what kubectl makes in its script"},
		"by a Job, from a file":          {job(`command: [sh, -c, 'set -e; kubectl apply -f /all']`), "what kubectl makes in its script"},
		"by a Job, by the program alone": {job(`args: [create, clusterrolebinding, x, '--clusterrole=cluster-admin', '--serviceaccount', 'flux:flux']`), "runs commands that bind accounts"},
		"by a Job, by another program":   {strings.Replace(job(`args: [create, clusterrolebinding, x, '--serviceaccount=flux:flux']`), "kubectl:1", "web:1", 1), "what its script makes of roles and bindings"},
		"by a Job, nothing of rights":    {job(`command: [sh, -c, 'kubectl rollout restart deploy/web && kubectl delete pod x']`), ""},
		"by a Job, a chart that binds":   {job(`command: [helm, install, x, incubator/raw]`), "what its script makes of roles and bindings"},
		"by a Job, a chart":              {job(`command: [helm, upgrade, x, stable/redis]`), ""},
		"by a Job, in its environment":   {job(`command: [sh, -c, '$(RUN)'], env: [{name: RUN, value: kubectl apply -f x}]`), "what kubectl makes in its script"},
		"by a Job, in what it mounts": {job(`command: [sh, /s/run.sh], volumeMounts: [{name: s, mountPath: /s}]`, `volumes: [{name: s, configMap: {name: s}}], `) +
			"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: s, namespace: apps}\ndata: {run.sh: 'kubectl create clusterrolebinding x --clusterrole=cluster-admin --serviceaccount=flux:flux'}\n", "runs commands that bind accounts"},
		"by a Job, what it mounts and does not run": {job(`command: [web], volumeMounts: [{name: s, mountPath: /s}]`, `volumes: [{name: s, configMap: {name: s}}], `) +
			"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: s, namespace: apps}\ndata: {help.txt: 'kubectl apply -f x'}\n", ""},
		"by a Job, in a key without an ending":     {job(`command: [sh, /s/run], volumeMounts: [{name: s, mountPath: /s}]`, mounted) + held("ConfigMap", "data: {run: '"+binds+"'}"), "runs commands that bind accounts"},
		"by a Job, in a key that a shell is given": {job(`command: [sh, -c, 'sh < /s/in.txt'], volumeMounts: [{name: s, mountPath: /s}]`, mounted) + held("ConfigMap", "data: {in.txt: '"+binds+"'}"), "runs commands that bind accounts"},
		"by a Job, in a key that is run":           {job(`command: [/s/run], volumeMounts: [{name: s, mountPath: /s/}]`, mounted) + held("ConfigMap", "data: {run: '"+binds+"'}"), "runs commands that bind accounts"},
		"by a Job, in another key":                 {job(`command: [web, --config=/s/run], volumeMounts: [{name: s, mountPath: /s}]`, mounted) + held("ConfigMap", "data: {run: 'a: b', notes.md: 'kubectl apply -f x'}"), ""},
		"by a Job, in bytes":                       {job(`command: [sh, /s/run.sh], volumeMounts: [{name: s, mountPath: /s}]`, mounted) + held("ConfigMap", "binaryData: {run.sh: "+base64.StdEncoding.EncodeToString([]byte(binds))+"}"), "runs commands that bind accounts"},
		"by a Job, in a Secret":                    {job(`command: [sh, /s/run.sh], volumeMounts: [{name: s, mountPath: /s}]`, ofSecret) + held("Secret", "stringData: {run.sh: 'A="+markedSecret+" "+binds+"; kubectl apply -f "+markedSecret+"'}"), "runs commands (what kubectl makes in its script is not read)"},
		"by a Job, in a Secret, projected":         {job(`command: [sh, /s/run.sh], volumeMounts: [{name: s, mountPath: /s}]`, `volumes: [{name: s, projected: {sources: [{secret: {name: s}}]}}], `) + held("Secret", "data: {run.sh: "+base64.StdEncoding.EncodeToString([]byte(binds))+"}"), "runs commands that bind accounts"},
		"by a Job, in a Secret that is encrypted":  {job(`command: [sh, /s/run.sh], volumeMounts: [{name: s, mountPath: /s}]`, ofSecret) + held("Secret", "stringData: {run.sh: 'ENC[AES256_GCM,data:x]'}"), "what it runs of the Secret s is not known from the repository"},
		"by a Job, in what is not there":           {job(`command: [sh, /s/run.sh], volumeMounts: [{name: s, mountPath: /s}]`, mounted), "runs commands (what it runs of the ConfigMap s is not known from the repository)"},
		"by a Job, it reads what is not there":     {job(`command: [sh, -c, 'web --config=/s/a.yaml'], volumeMounts: [{name: s, mountPath: /s}]`, mounted), ""},
		"by a Job, in variables of a ConfigMap":    {job(`command: [sh, -c, '$CMD'], envFrom: [{configMapRef: {name: s}}]`) + held("ConfigMap", "data: {CMD: '"+binds+"'}"), "runs commands that bind accounts"},
		"by a Job, in a variable of a Secret":      {job(`command: [sh, -c, '$CMD'], env: [{name: CMD, valueFrom: {secretKeyRef: {name: s, key: c}}}]`) + held("Secret", "stringData: {c: '"+binds+"'}"), "runs commands that bind accounts"},
		"by a Job, in variables that are not here": {job(`command: [sh, -c, '$CMD'], envFrom: [{configMapRef: {name: s}}]`), "what it runs of the ConfigMap s is not known"},
		"by a Job, with variables that are not":    {job(`command: [sh, -c, 'web $CMD'], envFrom: [{configMapRef: {name: s}}]`), ""},
		"by a Job, as it is asked how it is":       {job(`command: [web], readinessProbe: {exec: {command: [sh, -c, '` + binds + `']}}`), "runs commands that bind accounts"},
		"by a Job, by the image of Terraform":      {strings.Replace(job(`args: [apply, -auto-approve]`), "bitnami/kubectl:1", "hashicorp/terraform:1", 1), "what terraform apply makes in its script"},
		"by a Job, by it, which plans":             {strings.Replace(job(`args: [plan]`), "bitnami/kubectl:1", "hashicorp/terraform:1", 1), ""},
		"by a Job of a chart":                      {operator("") + ofChart("command: [kubectl, create, clusterrolebinding, x, '--clusterrole=cluster-admin', '--serviceaccount=flux:flux']", ""), "installs the chart in charts/rbac, which runs commands that bind accounts,"},
		"by a Job of a chart, another account":     {operator("") + ofChart("command: [kubectl, create, clusterrolebinding, x, '--clusterrole=cluster-admin', '--serviceaccount=flux:other']", ""), ""},
		"by a Job of a chart, filled in":           {operator("") + ofChart("command: [kubectl, create, clusterrolebinding, x, '--clusterrole=cluster-admin', '--serviceaccount={{ .Release.Namespace }}:flux']", ""), "which runs commands (what kubectl makes in its script is not read)"},
		"by a Job of a chart, nothing of rights":   {operator("") + ofChart("command: [kubectl, get, pods]", ""), ""},
		"by a Job of a chart, in what it mounts":   {operator("") + ofChart("command: [sh, /s/run]\n        volumeMounts: [{name: s, mountPath: /s}]\n      volumes: [{name: s, configMap: {name: '{{ .Release.Name }}-s'}}]", "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-s'}\ndata:\n  run: |\n    "+binds+"\n"), "which runs commands that bind accounts,"},
		"by a Job of a chart that is no YAML":      {operator("") + ofChart("command: [sh, -c, {{- range .x }} 'kubectl apply -f x', {{ end }} ]: a", ""), "which runs commands (what kubectl makes in its script is not read)"},
		"by a PodTemplate":                         {"-- r.yaml --\napiVersion: v1\nkind: PodTemplate\nmetadata: {name: bind, namespace: apps}\ntemplate: {spec: {containers: [{name: k, image: x, command: [sh, -c, '" + binds + "']}]}}\n", "apps:podtemplate/bind in r.yaml:1 runs commands that bind"},
		"by a Task of Tekton":                      {object("tekton.dev/v1", "Task", "{steps: [{image: x, script: '"+binds+"'}]}"), "task/rbac in r.yaml:1 runs commands that bind"},
		"by a template of a trigger":               {object("triggers.tekton.dev/v1beta1", "TriggerTemplate", "{resourcetemplates: [{kind: TaskRun, spec: {taskSpec: {steps: [{image: x, script: '"+binds+"'}]}}}]}"), "triggertemplate/rbac in r.yaml:1 runs commands that bind"},
		"by a Pipeline of Tekton":                  {object("tekton.dev/v1", "Pipeline", "{tasks: [{taskSpec: {steps: [{image: x, command: [kubectl], args: [apply, -f, x]}]}}]}"), "pipeline/rbac in r.yaml:1 runs commands (what kubectl makes"},
		"by a Workflow of Argo":                    {object("argoproj.io/v1alpha1", "WorkflowTemplate", "{templates: [{script: {image: x, source: '"+binds+"'}}]}"), "workflowtemplate/rbac in r.yaml:1 runs commands that bind"},
		"by a Task, nothing of rights":             {object("tekton.dev/v1", "Task", "{steps: [{image: x, script: make-coffee}]}"), ""},
		"by a Job, nobody knows what":              {strings.Replace(job(`command: {a: b}, args: [1, [x], {y: z}], env: [1], lifecycle: [x]`, `volumes: {a: b}, initContainers: [1], `), "kubectl:1", "web:1", 1), ""},
		"by a hook of a Deployment":                {"-- r.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: apps}\nspec: {template: {spec: {containers: [{name: web, image: web, lifecycle: {postStart: {exec: {command: [kubectl, apply, -f, x]}}}}]}}}\n", "apps:deployment/web in r.yaml:1 runs commands"},
		"by a CronJob":                             {"-- r.yaml --\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: bind, namespace: apps}\nspec: {jobTemplate: {spec: {template: {spec: {initContainers: [{name: k, image: x, command: [kubectl, apply, -f, x]}], containers: [{name: w, image: w}]}}}}}\n", "apps:cronjob/bind"},
		"by a Pod":                                 {"-- r.yaml --\napiVersion: v1\nkind: Pod\nmetadata: {name: bind, namespace: apps}\nspec: {containers: [{name: k, image: x, command: [kubectl, apply, -f, x]}]}\n", "apps:pod/bind"},
	} {
		t.Run(name, func(t *testing.T) {
			inv := readTree(t, treeOf(agent+c.tree), func(o *CheckoutOptions) { o.URL = "git@github.com:o/r" })
			a := agentNamed(t, inv, "flux/flux")
			equal(t, "unknown", []bool{a.Confinement.Kind == "", slices.Contains(a.Unknown, "confinement")}, []bool{c.says != "", c.says != ""})
			if c.says != "" {
				wantFinding(t, inv, RightsUnknown, c.says, "may bind it")
			}
			for _, f := range inv.Findings {
				if strings.Contains(f.Message, markedSecret) {
					t.Errorf("%s", f)
				}
			}
		})
	}
	// What is read of charts counts against the limits on all files.
	inv := readTree(t, treeOf(agent+operator("")+chart("charts/rbac", "[]\n# "+strings.Repeat("x", 10_000))), func(o *CheckoutOptions) {
		o.URL, o.Paths, o.Limits = "git@github.com:o/r", []string{"apps"}, flux1.DefaultLimits
		o.Limits.TotalBytes = 5000
	})
	wantFinding(t, inv, RightsUnknown, "of which not all was read, since its templates/b.yaml cannot be read")
}

func TestAgentsDeclaredByHelmReleasesAreFound(t *testing.T) {
	inv := readTree(t, treeOf(fluxRelease), nil)
	a := agentNamed(t, inv, "shop/flux-shop")
	if a.InstalledBy != "flux1" || a.ChartVersion != "1.13.3" || a.Release != "flux-shop" || a.Git.URL != "git@github.com:org/shop" ||
		a.Git.Branch != "main" || !slices.Equal(a.Git.Paths, []string{"deploy"}) || a.Git.PollInterval.Duration != 2*time.Minute ||
		a.Sync.GarbageCollection != migrate.CollectOn || a.DefaultNamespace != "shop" {
		t.Errorf("agent: %+v", a)
	}
	i := slices.IndexFunc(a.Settings, func(s migrate.Setting) bool { return s.Name == "git.branch" })
	if i < 0 || a.Settings[i].From[0].Witness != "git" || !strings.HasPrefix(a.Settings[i].From[0].Where, "cluster/flux-shop.yaml:19 ") {
		t.Errorf("git.branch: %+v", a.Settings)
	}
	wantFinding(t, inv, AgentInGit, "shop/flux-shop (cluster/flux-shop.yaml:5)", "HelmRelease")

	// What binds its account beside the release adds up.
	confined := treeOf(strings.Replace(fluxRelease, "    workers: 3\n", "    workers: 3\n    clusterRole: {create: false}\n", 1))
	if got := agentNamed(t, readTree(t, confined, nil), "shop/flux-shop").Confinement.Kind; got != "namespaces" {
		t.Errorf("a confined release: %q", got)
	}
	confined["cluster/binding.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: more}\n" +
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\nsubjects: [{kind: ServiceAccount, name: flux-shop, namespace: shop}]\n")}
	if got := agentNamed(t, readTree(t, confined, nil), "shop/flux-shop").Confinement.Kind; got != "cluster-admin" {
		t.Errorf("with cluster-admin beside it: %q", got)
	}

	// Where the release gives it no rights, they are those that are declared beside it.
	others := treeOf(strings.Replace(fluxRelease, "    workers: 3\n", "    workers: 3\n    rbac: {create: false}\n", 1))
	if a := agentNamed(t, readTree(t, others, nil), "shop/flux-shop"); !slices.Contains(a.Unknown, "confinement") {
		t.Errorf("with rights of others: %+v", a.Confinement)
	}
	others["cluster/binding.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: more, namespace: shop}\n" +
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: more}\nsubjects: [{kind: ServiceAccount, name: flux-shop, namespace: shop}]\n---\n" +
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: more, namespace: shop}\nrules: [{apiGroups: [apps], resources: [deployments], verbs: [get]}]\n")}
	equal(t, "with rights declared beside it", agentNamed(t, readTree(t, others, nil), "shop/flux-shop").Confinement, migrate.Confinement{Kind: "namespaces", Namespaces: []string{"shop"}})

	// Values from elsewhere come before these; what may be in them is unknown.
	more := strings.Replace(fluxRelease, "  values:\n", "  valuesFrom:\n  - secretKeyRef: {name: more}\n  values:\n", 1)
	a = agentNamed(t, readTree(t, treeOf(more), nil), "shop/flux-shop")
	for _, name := range []string{"git.url", "git.branch", "sync.interval", "sync.garbageCollection"} {
		if !slices.Contains(a.Unknown, name) { // additionalArgs from there may set each
			t.Errorf("with valuesFrom, %s is taken for known: %+v", name, a.Git)
		}
	}

	// Those of ConfigMaps in the repository are read, later ones over earlier ones.
	from := func(list string) fstest.MapFS {
		tree := treeOf(strings.Replace(fluxRelease, "  values:\n", "  valuesFrom:\n"+list+"  values:\n", 1))
		tree["cluster/values.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: shop}\ndata:\n  values.yaml: |\n    git: {branch: one, url: none}\n    sync: {interval: 7m}\n---\n" +
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: shop}\ndata:\n  v: |\n    sync: {interval: 8m}\n    extraEnvs: [{name: A, value: b}]\n")}
		return tree
	}
	const one, two, url = "  - configMapKeyRef: {name: one}\n", "  - configMapKeyRef: {name: two, key: v}\n", "  - externalSourceRef: {url: 'https://me:marked-4711@git.example.com/v'}\n"
	a = agentNamed(t, readTree(t, from(one+two), nil), "shop/flux-shop")
	equal(t, "values of ConfigMaps", []any{a.Git.URL, a.Sync.Interval.Duration, slices.Contains(a.Unknown, "git.url")}, []any{"git@github.com:org/shop", 8 * time.Minute, false})
	if where := settingOf(t, a, "--sync-interval").From[0].Where; where != "cluster/values.yaml:9 sync.interval" {
		t.Errorf("the interval comes from %s", where)
	}
	if where := settingOf(t, a, "extraEnvs[0].value").From[0].Where; !strings.HasPrefix(where, "cluster/values.yaml:9 ") {
		t.Errorf("the variable comes from %s", where)
	}
	for list, cause := range map[string]string{
		one + url + two: "spec.valuesFrom[1] of the HelmRelease brings values of https://me@git.example.com/v, which is not read",
		"  - configMapKeyRef: {name: three, optional: true}\n": "spec.valuesFrom[0] of the HelmRelease brings values of ConfigMap three, of which the repository does not hold exactly one",
		"  - chartFileRef: {path: a.yaml}\n":                   "file a.yaml of the chart",
		"  - configMapKeyRef: {name: one, key: none}\n":        "key none of ConfigMap one",
	} {
		inv := readTree(t, from(list), nil)
		wantFinding(t, inv, chart.ValueNotKnown, cause)
		if a := agentNamed(t, inv, "shop/flux-shop"); !slices.Contains(a.Unknown, "sync.interval") || strings.Contains(asJSON(inv), "marked-4711") {
			t.Errorf("%s: %+v", list, a)
		}
	}
	noFinding(t, readTree(t, from("  - configMapKeyRef: {name: one, key: none, optional: true}\n"), nil), chart.ValueNotKnown)
	for name, another := range map[string]string{
		"several":             "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: shop}\ndata: {values.yaml: 'sync: {interval: 9m}'}\n",
		"without a namespace": "",
	} {
		tree := from(one)
		tree["other/values.yaml"] = &fstest.MapFile{Data: []byte(another)}
		if another == "" {
			values := tree["cluster/values.yaml"]
			values.Data = []byte(strings.ReplaceAll(string(values.Data), ", namespace: shop", ""))
		}
		inv := readTree(t, tree, nil)
		wantFinding(t, inv, chart.ValueNotKnown, "ConfigMap one, of which the repository does not hold exactly one")
		if a := agentNamed(t, inv, "shop/flux-shop"); !slices.Contains(a.Unknown, "sync.interval") {
			t.Errorf("%s: the interval is told as %s", name, a.Sync.Interval.Duration)
		}
	}

	// What stands around fluxd is found as it is of any release.
	around := strings.Replace(fluxRelease, "    workers: 3\n", `    workers: 3
    replicaCount: 0
    ssh: {known_hosts: "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\\n", config: "Host x"}
    extraContainers: [{name: recv, image: fluxcd/flux-recv}, {name: other, image: busybox}]
`, 1)
	found := readTree(t, treeOf(around), nil)
	for _, code := range []flux1.Code{AgentStopped, SSHConfig, flux1.Notifications, Sidecar} {
		wantFinding(t, found, code, "shop/flux-shop", "cluster/flux-shop.yaml:5")
	}
	if got := agentNamed(t, found, "shop/flux-shop").Credential; got.Kind != "ssh" || got.Identity != (migrate.SecretKey{Namespace: "shop", Name: "flux-shop-git-deploy", Key: "identity"}) || !strings.Contains(got.KnownHosts, "git.example.com") {
		t.Errorf("credential: %+v", got)
	}
	proxied := strings.Replace(strings.Replace(fluxRelease, "git@github.com:org/shop", "https://git.example.com/shop", 1), "    workers: 3\n", "    replicaCount: 2\n    extraEnvs: [{name: HTTPS_PROXY, value: 'p:1'}]\n", 1)
	found = readTree(t, treeOf(proxied), nil)
	wantFinding(t, found, Proxy, "shop/flux-shop")
	wantFinding(t, found, ManyReplicas, "shop/flux-shop")
	if got := agentNamed(t, found, "shop/flux-shop").Credential; got.Kind != "none" || got.Proxy.Literal != "p:1" {
		t.Errorf("credential: %+v", got)
	}

	// A copy of the chart in a repository is known by its folder and a git.url; what
	// else may install one is named.
	chartOf := regexp.MustCompile(`(?s)  chart:\n.*?  (values:|releaseName:)`)
	inGit := func(path string) string {
		return chartOf.ReplaceAllString(fluxRelease, "  chart: {git: 'git@h:org/ops', path: "+path+"}\n  $1")
	}
	if a := agentNamed(t, readTree(t, treeOf(inGit("charts/flux")), nil), "shop/flux-shop"); !slices.Contains(a.Unknown, "chartVersion") {
		t.Errorf("of a copy of the chart: %+v", a)
	}
	anything := readTree(t, treeOf(inGit("deploy/gitops")), nil)
	wantFinding(t, anything, AgentByObject, "cluster/flux-shop.yaml:5", "given a git.url")
	if len(anything.Agents) != 1 {
		t.Errorf("agents of a folder that may hold anything: %d", len(anything.Agents))
	}
	ofFlux2 := readTree(t, treeOf("-- a.yaml --\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: old, namespace: flux}\nspec:\n  chart:\n    spec: {chart: flux, version: 1.13.3, sourceRef: {kind: HelmRepository, name: fluxcd}}\n"), nil)
	wantFinding(t, ofFlux2, AgentByObject, "a.yaml:1", "which is of chart flux")

	// Bitnami's chart of the name is Flux v2.
	bitnami := regexp.MustCompile(`repository: .*`).ReplaceAllString(fluxRelease, "repository: https://charts.bitnami.com/bitnami")
	if inv := readTree(t, treeOf(bitnami), nil); len(inv.Agents) != 1 {
		t.Errorf("agents with Bitnami's chart: %d", len(inv.Agents))
	}

	// Another chart is none.
	other := strings.Replace(fluxRelease, "name: flux\n", "name: fluentd\n", 1)
	if inv := readTree(t, treeOf(other), nil); len(inv.Agents) != 1 {
		t.Errorf("agents: %d", len(inv.Agents))
	}
}

// What Flux v2 installs from a HelmRelease is read as what the helm-operator does.
func TestAgentsDeclaredByHelmReleasesOfFlux2AreFound(t *testing.T) {
	values := fluxRelease[strings.Index(fluxRelease, "  values:\n"):]
	const repository = "-- cluster/sources.yaml --\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: fluxcd, namespace: flux-system}\nspec: {url: 'https://charts.fluxcd.io'}\n---\n" +
		"apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: flux, namespace: flux-system}\nspec: {url: 'https://github.com/fluxcd/flux'}\n---\n" +
		"apiVersion: source.toolkit.fluxcd.io/v1beta2\nkind: OCIRepository\nmetadata: {name: packed, namespace: shop}\nspec: {url: 'oci://ghcr.io/org/charts/flux', ref: {tag: 1.13.3}}\n---\n" +
		"apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmChart\nmetadata: {name: chart, namespace: shop}\nspec: {chart: flux, version: 1.13.3, sourceRef: {kind: HelmRepository, name: fluxcd, namespace: flux-system}}\n---\n" +
		"apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: bitnami, namespace: shop}\nspec: {url: 'https://charts.bitnami.com/bitnami'}\n---\n" +
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: shop}\ndata:\n  values.yaml: |\n    git: {branch: one, url: none}\n    sync: {interval: 7m}\n  interval: 8m\n  quoted: '\"9\"'\n"
	const ofRepository = "chart: {spec: {chart: flux, version: 1.13.3, sourceRef: {kind: HelmRepository, name: fluxcd, namespace: flux-system}}}"
	release := func(version, chart, more string) string {
		return repository + "-- cluster/flux-shop.yaml --\napiVersion: helm.toolkit.fluxcd.io/" + version + "\nkind: HelmRelease\nmetadata:\n  name: flux-shop\n  namespace: shop\nspec:\n  " + chart + "\n" + more + values
	}
	asV1 := agentNamed(t, readTree(t, treeOf(fluxRelease), nil), "shop/flux-shop")
	for name, text := range map[string]string{
		"v2":                  release("v2", ofRepository, ""),
		"v2beta1":             release("v2beta1", ofRepository, ""),
		"v2beta2":             release("v2beta2", ofRepository, ""),
		"a HelmChart":         release("v2", "chartRef: {kind: HelmChart, name: chart}", ""),
		"an OCI artifact":     release("v2", "chartRef: {kind: OCIRepository, name: packed}", ""),
		"a range of versions": release("v2", strings.Replace(ofRepository, "1.13.3", "'>=1.13.3'", 1), ""),
	} {
		inv := readTree(t, treeOf(text), nil)
		a := agentNamed(t, inv, "shop/flux-shop")
		if !sameDeclaration(asV1, a) {
			a.Settings, asV1.Settings = nil, nil
			t.Errorf("%s: %s", name, cmp.Diff(asJSON(asV1), asJSON(a)))
		}
		if a.InstalledBy != "flux1" {
			t.Errorf("%s: installed by %q", name, a.InstalledBy)
		}
		wantFinding(t, inv, AgentManaged, "shop/flux-shop", "cluster/flux-shop.yaml:1", "Flux v2, by HelmRelease shop/flux-shop,")
		noFinding(t, inv, AgentInGit)
		noFinding(t, inv, AgentByObject)
	}
	read := func(more string) migrate.Flux1Agent {
		t.Helper()
		return agentNamed(t, readTree(t, treeOf(release("v2", ofRepository, more)), nil), "shop/flux-shop")
	}
	a := read("  valuesFrom:\n  - {kind: ConfigMap, name: one}\n  - {kind: ConfigMap, name: one, valuesKey: interval, targetPath: sync.interval}\n")
	equal(t, "values of ConfigMaps", []any{a.Git.URL, a.Sync.Interval.Duration, slices.Contains(a.Unknown, "git.url")}, []any{"git@github.com:org/shop", 8 * time.Minute, false})
	if where := settingOf(t, a, "--sync-interval").From[0].Where; where != "cluster/sources.yaml:26 sync.interval" {
		t.Errorf("the interval comes from %s", where)
	}
	for list, cause := range map[string]string{
		"valuesFrom: [{kind: Secret, name: marked}]":                                          "spec.valuesFrom[0] of the HelmRelease brings values of Secret marked",
		"valuesFrom: [{kind: ConfigMap, name: none, optional: true}]":                         "ConfigMap none, of which the repository does not hold exactly one",
		"valuesFrom: [{kind: ConfigMap, name: one, valuesKey: none}]":                         "key none of ConfigMap one",
		"valuesFrom: [{kind: ConfigMap, name: one, valuesKey: quoted, targetPath: 'a[0].b'}]": "key quoted of ConfigMap one",
		"valuesFrom: [{kind: ConfigMap, name: one, valuesKey: quoted, targetPath: '='}]":      "key quoted of ConfigMap one",
	} {
		inv := readTree(t, treeOf(release("v2", ofRepository, "  "+list+"\n")), nil)
		wantFinding(t, inv, chart.ValueNotKnown, cause)
		if a := agentNamed(t, inv, "shop/flux-shop"); !slices.Contains(a.Unknown, "sync.interval") {
			t.Errorf("%s: %+v", list, a.Sync)
		}
	}
	// Where it goes, and under which name.
	for more, id := range map[string]string{
		"  targetNamespace: run\n  storageNamespace: kept\n": "run/run-flux-shop",
		"  targetNamespace: run\n  releaseName: flux\n":      "run/flux",
	} {
		agentNamed(t, readTree(t, treeOf(release("v2", ofRepository, more)), nil), id)
	}
	// What it does not tell.
	wantFinding(t, readTree(t, treeOf(release("v2", ofRepository, "  postRenderers: [{kustomize: {}}]\n")), nil), ReleasePostRendered, "shop/flux-shop", "cluster/flux-shop.yaml:1")
	suspended := readTree(t, treeOf(release("v2", ofRepository, "  suspend: true\n")), nil)
	wantFinding(t, suspended, AgentByObject, "is suspended", "shop/flux-shop")
	noFinding(t, suspended, AgentManaged)
	agentNamed(t, suspended, "shop/flux-shop")
	for name, c := range map[string]struct{ text, says string }{
		"in another cluster":   {release("v2", ofRepository, "  kubeConfig: {secretRef: {name: prod}}\n"), "in the cluster of the kubeconfig in Secret prod, which is not known"},
		"as a ConfigMap tells": {release("v2", ofRepository, "  kubeConfig: {configMapRef: {name: prod}}\n"), "in the cluster that ConfigMap prod tells of, which is not known"},
		"under a long name":    {release("v2", ofRepository, "  releaseName: "+strings.Repeat("long-", 12)+"name\n"), "longer than Helm allows"},
		"of any folder":        {release("v2", "chart: {spec: {chart: ./deploy/gitops, sourceRef: {kind: GitRepository, name: flux, namespace: flux-system}}}", ""), "given a git.url"},
		"of an unknown chart":  {release("v2", "chartRef: {kind: OCIRepository, name: none}", ""), "given a git.url"},
	} {
		inv := readTree(t, treeOf(c.text), nil)
		if got := findingsOf(inv, AgentByObject); len(inv.Agents) != 1 || len(got) != 1 || !strings.Contains(got[0], c.says) {
			t.Errorf("%s: %d agents, %q", name, len(inv.Agents), got)
		}
	}
	inGit := readTree(t, treeOf(release("v2", "chart: {spec: {chart: ./chart/flux, sourceRef: {kind: GitRepository, name: flux, namespace: flux-system}}}", "")), nil)
	if a := agentNamed(t, inGit, "shop/flux-shop"); !slices.Contains(a.Unknown, "chartVersion") {
		t.Errorf("of the chart in its own repository: %+v", a)
	}
	if inv := readTree(t, treeOf(release("v2", "chart: {spec: {chart: flux, version: 2.4.0, sourceRef: {kind: HelmRepository, name: bitnami}}}", "")), nil); len(inv.Agents) != 1 {
		t.Errorf("agents with Bitnami's chart: %d", len(inv.Agents))
	}
}

// Of a HelmRelease of Flux v2 nothing is told as known that other objects, or files, give or change.
func TestWhatOthersGiveToAHelmReleaseOfFlux2IsNotKnown(t *testing.T) {
	const sources = "-- src.yaml --\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: fluxcd, namespace: flux}\nspec: {url: 'https://charts.fluxcd.io'}\n---\n" +
		"apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: own, namespace: flux}\nspec: {url: 'oci://ghcr.io/company/charts'}\n---\n" +
		"apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: git, namespace: flux}\nspec: {url: 'https://github.com/fluxcd/flux'}\n---\n" +
		"apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmChart\nmetadata: {name: chart, namespace: flux}\nspec: {chart: flux, version: 1.13.3, sourceRef: {kind: HelmRepository, name: fluxcd}, valuesFiles: [values.yaml, prod.yaml]}\n---\n" +
		"apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: packed, namespace: flux}\nspec: {url: 'oci://ghcr.io/fluxcd/charts/flux', ref: {tag: 1.3.0, digest: 'sha256:01'}}\n---\n" +
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: vals, namespace: flux}\ndata:\n  list: '{a,b}'\n  number: '20231231'\n  quotes: \"\\\"'x'\\\"\"\n  open: 'a/${b}'\n  git: \"{git: {branch: others, path: others}}\"\n"
	const ofFlux = "chart: {spec: {chart: flux, version: 1.13.3, sourceRef: {kind: HelmRepository, name: fluxcd}}}"
	release := func(spec, values string) string {
		return sources + "-- apps/hr.yaml --\napiVersion: helm.toolkit.fluxcd.io/v2beta2\nkind: HelmRelease\nmetadata: {name: old, namespace: flux}\nspec:\n  " + spec + "\n  values: " + values + "\n"
	}
	const url = "{git: {url: 'git@h:a'}}"
	from := func(more string) string {
		return ofFlux + "\n  valuesFrom: [{kind: ConfigMap, name: vals, " + more + "}]"
	}
	all := []string{"git.url", "git.branch", "git.paths"}
	for name, c := range map[string]struct {
		text    string
		unknown []string // of all
		branch  string
		paths   []string
	}{
		"variables":                {release(ofFlux, "{git: {url: 'git@h:${a}', branch: '${b:=main}', path: x}}"), []string{"git.url", "git.branch"}, "", []string{"x"}},
		"variables that are left":  {strings.Replace(release(ofFlux, "{git: {url: 'git@h:a', branch: 'x${b}'}}"), "{name: old,", "{annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}, name: old,", 1), nil, "x${b}", []string{}},
		"variables of a ConfigMap": {release(from("valuesKey: open, targetPath: git.path"), url), []string{"git.paths"}, "master", nil},
		"files of a HelmChart":     {release("chartRef: {kind: HelmChart, name: chart}", "{git: {url: 'git@h:a', branch: b}}"), all, "", nil},
		"a file":                   {release(strings.Replace(ofFlux, "chart: flux", "chart: flux, valuesFile: prod.yaml", 1), "{additionalArgs: [], git: {url: 'git@h:a', path: p}}"), []string{"git.branch"}, "", []string{"p"}},
		"the chart's own file":     {release(strings.Replace(ofFlux, "chart: flux", "chart: flux, valuesFile: values.yaml", 1), url), nil, "master", []string{}},
		"a literal":                {release(from("valuesKey: list, targetPath: git.path, literal: true"), url), nil, "master", []string{"{a", "b}"}},
		"a number":                 {release(from("valuesKey: number, targetPath: git.branch"), url), nil, "20231231", []string{}},
		"quotes":                   {release(from("valuesKey: quotes, targetPath: git.branch"), url), nil, "x", []string{}},
		// As the helm-controller does it: a path is set in the own values where nothing before it has that mapping.
		"a path beside own values":         {release(from("valuesKey: number, targetPath: git.branch"), "{git: {url: 'git@h:a', branch: own}}"), nil, "20231231", []string{}},
		"a path, in a mapping of others":   {release(ofFlux+"\n  valuesFrom: [{kind: ConfigMap, name: vals, valuesKey: git}, {kind: ConfigMap, name: vals, valuesKey: number, targetPath: git.branch}]", "{git: {url: 'git@h:a', branch: own}}"), nil, "own", []string{"others"}},
		"a path, and others after it":      {release(ofFlux+"\n  valuesFrom: [{kind: ConfigMap, name: vals, valuesKey: number, targetPath: git.path}, {kind: ConfigMap, name: vals, valuesKey: git}]", url), nil, "others", []string{"20231231"}},
		"a path, after what is not known":  {release(ofFlux+"\n  valuesFrom: [{kind: Secret, name: s}, {kind: ConfigMap, name: vals, valuesKey: number, targetPath: git.branch}]", "{additionalArgs: [], git: {url: 'git@h:a', branch: own, path: p}}"), []string{"git.branch"}, "", []string{"p"}},
		"a path of a variable, beside own": {release(from("valuesKey: open, targetPath: git.path"), "{git: {url: 'git@h:a', path: own}}"), []string{"git.paths"}, "master", nil},
		"a missing key, which is optional": {release(from("valuesKey: none, optional: true"), url), nil, "master", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			a := agentNamed(t, readTree(t, treeOf(c.text), nil), "flux/old")
			var unknown []string
			for _, name := range all {
				if slices.Contains(a.Unknown, name) {
					unknown = append(unknown, name)
				}
			}
			equal(t, "unknown", unknown, c.unknown)
			if !slices.Contains(unknown, "git.branch") {
				equal(t, "branch", a.Git.Branch, c.branch)
			}
			if !slices.Contains(unknown, "git.paths") {
				equal(t, "paths", a.Git.Paths, c.paths)
			}
		})
	}
	packed := readTree(t, treeOf(release("chartRef: {kind: OCIRepository, name: packed}", url)), nil)
	if a := agentNamed(t, packed, "flux/old"); !slices.Contains(a.Unknown, "chartVersion") {
		t.Errorf("of a digest: chart %s", a.ChartVersion)
	}

	applies := func(spec string) string {
		return "-- ks.yaml --\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: flux-system}\nspec: {sourceRef: {kind: GitRepository, name: it}, " + spec + "}\n"
	}
	named := release(ofFlux, url)
	for name, c := range map[string]struct{ text, says string }{
		"a namespace":       {named + applies("path: ./apps, targetNamespace: other"), "Kustomization flux-system/apps, which applies it, changes it"},
		"a patch":           {named + applies("path: ./, patches: [{patch: x, target: {kind: HelmRelease}}]"), "Kustomization flux-system/apps, which applies it, changes it"},
		"a patch by itself": {named + applies("patches: [{patch: 'kind: HelmRelease, metadata: {name: old}'}]"), "Kustomization flux-system/apps, which applies it, changes it"},
		"a variable":        {strings.Replace(named, "namespace: flux}\nspec:\n  chart: {spec", "namespace: 'f${x}'}\nspec:\n  chart: {spec", 1), "not known: kustomize-controller may substitute it"},
		"a later chart":     {release("chart: {spec: {chart: flux, version: 2.15.0, sourceRef: {kind: HelmRepository, name: own}}}", "{}"), "which is of chart flux"},
	} {
		inv := readTree(t, treeOf(c.text), nil)
		if got := findingsOf(inv, AgentByObject); len(inv.Agents) != 1 || len(got) != 1 || !strings.Contains(got[0], c.says) {
			t.Errorf("%s: %d agents, %q", name, len(inv.Agents), got)
		}
	}
	for _, text := range []string{
		applies("path: ./web, targetNamespace: other"), applies("path: ./apps, targetNamespace: flux"),
		strings.Replace(applies("targetNamespace: other"), "name: it", "name: git, namespace: flux", 1), // which is another repository
		applies("patches: [{patch: x, target: {kind: Deployment}}]"), applies("patches: [{patch: x, target: {kind: HelmRelease, name: ol}}]"),
	} {
		agentNamed(t, readTree(t, treeOf(named+text), func(o *CheckoutOptions) { o.URL = "git@h:org/ops" }), "flux/old")
	}
}

// The reader is not taken for an agent of which it is not known what it reads.
func TestAReaderIsNoAgentWhosePathsAreNotKnown(t *testing.T) {
	const release = "-- hr.yaml --\napiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: flux, namespace: shop}\nspec:\n  releaseName: flux\n  chart: {repository: 'https://charts.fluxcd.io', name: flux, version: 1.13.3}\n" +
		"  MORE: [{name: secret}]\n  values: {additionalArgs: [], git: {url: 'git@h:org/ops', GIVEN: main}}\n"
	for _, c := range []struct {
		more, given string
		want        []string
	}{
		{"valueFileSecrets", "branch", []string{"shop/flux", "team/flux"}},
		{"valueFileSecrets", "path", []string{"shop/flux", "team/flux"}},
		{"others", "branch", []string{"shop/flux"}},
	} {
		text := strings.NewReplacer("MORE", c.more, "GIVEN", c.given).Replace(release)
		inv := readTree(t, treeOf(text), func(o *CheckoutOptions) {
			o.URL, o.DefaultNamespace = "git@h:org/ops", ""
			if c.given == "path" {
				o.Paths = []string{"main"}
			}
		})
		equal(t, c.more+" "+c.given, agentIDs(inv), c.want)
	}
}

// What is none of an object of the repository and may install an agent is named.
func TestWhatElseMayInstallAnAgentIsNamed(t *testing.T) {
	const text = "-- charts/ops/Chart.yaml --\nname: ops\ndependencies: [{name: flux, version: 1.3.0, repository: 'https://charts.fluxcd.io'}, {name: web}]\n-- charts/ops/values.yaml --\na: b\n-- charts/ops/charts/flux-1.3.0.tgz --\nx\n" +
		"-- umb/Chart.yaml --\nname: umb\ndependencies: [{name: flux, version: 1.2.0, repository: 'https://charts.fluxcd.io'}]\n" +
		"-- charts/own/Chart.yaml --\nname: own\n-- charts/own/values.yaml --\na: b\n-- charts/own/templates/d.yaml --\nkind: Deployment\nargs: ['--git-url={{ .Values.url }}']\n-- charts/own/templates/e.yaml --\nargs: [--verbose]\n" +
		"-- helmfile.yaml --\nreleases:\n- name: web\n  chart: stable/fluxion\n- name: flux\n  chart: fluxcd/flux\n# - chart: fluxcd/flux\n- name: two\n  chart: fluxcd/flux\n- chart: bitnami/flux\n-- cd/helmfile.d/a.yaml --\nreleases: [{name: web, chart: stable/web}]\n" +
		"-- lib/flux.libsonnet --\n{\n  image: 'fluxcd/flux:1.25.4',\n}\n-- lib/old.jsonnet --\n// fluxd had --git-url\n{} # and weaveworks/flux:1\n-- lib/web.jsonnet --\n{image: 'fluxcd/flux-cli:1'}\n" +
		"-- kh/kustomization.yaml --\nhelmCharts:\n- {name: flux, repo: 'https://charts.fluxcd.io', version: 1.13.3}\n-- kb/kustomization.yaml --\nhelmCharts:\n- {name: flux, repo: 'https://charts.bitnami.com/bitnami', version: 2.0.0}\n"
	got := findingsOf(readTree(t, treeOf(text), nil), AgentByObject)
	want := []string{
		"team/flux (charts/ops/Chart.yaml): chart charts/ops has the flux chart as a part (flux 1.3.0)",
		"team/flux (umb/Chart.yaml): chart umb has the flux chart as a part (flux 1.2.0)",
		"team/flux (charts/ops/charts/flux-1.3.0.tgz): charts/ops/charts/flux-1.3.0.tgz is the packed flux chart",
		"team/flux (charts/own/templates/d.yaml:2): a template of a chart holds what looks like fluxd (--git-url)",
		"team/flux (helmfile.yaml:5): helmfile.yaml names a release of chart fluxcd/flux, which Helmfile installs",
		"team/flux (helmfile.yaml:8): helmfile.yaml names a release of chart fluxcd/flux, which Helmfile installs",
		"team/flux (lib/flux.libsonnet:2): lib/flux.libsonnet holds what looks like fluxd (fluxcd/flux), in Jsonnet, which is not evaluated",
		"team/flux (kh/kustomization.yaml:1): kh/kustomization.yaml has Kustomize render the flux chart (flux 1.13.3)",
	}
	slices.Sort(got)
	slices.Sort(want)
	equal(t, "named", got, want)
}

// A folder that cannot be built and changes an agent which its base declares is named: what
// it makes of that one is not what the base says.
func TestAFolderThatCannotBeBuiltAndChangesAnAgentIsNamed(t *testing.T) {
	const flux = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: base}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=git@h:a']}]}}}\n"
	const web = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: base}\n"
	for name, c := range map[string]struct {
		base, over string
		named      bool
	}{
		"a namespace over an agent": {flux, "resources: [../base, gone.yaml]\nnamespace: prod\n", true},
		"a patch of an agent":       {flux, "resources: [../base, gone.yaml]\npatches: [{patch: '[{\"op\": \"remove\", \"path\": \"/spec\"}]', target: {kind: Deployment}}]\n", true},
		"an agent as it is":         {flux, "resources: [../base, gone.yaml]\n", false},
		"a namespace over no agent": {web, "resources: [../base, gone.yaml]\nnamespace: prod\n", false},
	} {
		inv := readTree(t, treeOf("-- app/a.yaml --\n"+web+"-- base/kustomization.yaml --\nresources: [f.yaml]\n-- base/f.yaml --\n"+c.base+"-- over/kustomization.yaml --\n"+c.over), func(o *CheckoutOptions) { o.Paths = []string{"app"} })
		named := slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool {
			return f.Code == flux1.KustomizeFails.Name && strings.HasPrefix(f.Where, "over/")
		})
		equal(t, name, named, c.named)
	}
}

// A fluxd that is no Deployment is named wherever it runs, and so is one of eksctl.
func TestAFluxdOfGitThatIsNoDeploymentIsNamed(t *testing.T) {
	const pod = "containers: [{name: flux, image: 'docker.io/fluxcd/flux:1.21.0', args: ['--git-url=git@h:a']}]"
	text := "-- pod.yaml --\napiVersion: v1\nkind: Pod\nmetadata: {name: flux, namespace: a}\nspec: {" + pod + "}\n" +
		"-- cron.yaml --\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: flux, namespace: a}\nspec: {schedule: '1 1 1 1 1', jobTemplate: {spec: {template: {spec: {" + pod + "}}}}}\n" +
		"-- eksctl.yaml --\napiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: dev, region: eu}\ngit: {repo: {url: 'https://me:MARKED-SECRET@h/a', branch: main}}\n" +
		"-- flux2.yaml --\napiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: new, region: eu}\ngitops: {flux: {gitProvider: github}}\n" +
		"-- web.yaml --\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web, namespace: a}\nspec: {template: {spec: {containers: [{name: web, image: web}]}}}\n"
	want := []string{"StatefulSet", "DaemonSet", "ReplicaSet", "DeploymentConfig", "Rollout", "CloneSet"}
	for _, kind := range want {
		text += "-- " + kind + ".yaml --\napiVersion: apps/v1\nkind: " + kind + "\nmetadata: {name: flux, namespace: a}\nspec: {template: {spec: {" + pod + "}}}\n"
	}
	text = strings.Replace(text, "apps/v1\nkind: DeploymentConfig", "apps.openshift.io/v1\nkind: DeploymentConfig", 1)
	text = strings.Replace(text, "apps/v1\nkind: Rollout", "argoproj.io/v1alpha1\nkind: Rollout", 1)
	text = strings.Replace(text, "apps/v1\nkind: CloneSet", "apps.kruise.io/v1alpha1\nkind: CloneSet", 1)
	inv := readTree(t, treeOf(text), nil)
	for _, kind := range append(want, "Pod", "CronJob") {
		said(t, inv, "FLUXD_IS_NO_DEPLOYMENT", "a:"+strings.ToLower(kind)+"/flux runs fluxd (image docker.io/fluxcd/flux:1.21.0)")
	}
	f := said(t, inv, "AGENT_BY_OBJECT_IN_GIT", "<cluster>:clusterconfig/dev has eksctl install a fluxd that syncs https://")
	if strings.Contains(f.Message, "MARKED-SECRET") {
		t.Errorf("%s", f)
	}
	equal(t, "named", len(findingsOf(inv, FluxdElsewhere))+len(findingsOf(inv, AgentByObject)), 9)
}

// What runs fluxctl install, or gives a chart the values of a part that is the flux chart, may install an
// agent.
func TestWhatMayInstallAnAgentFromGitIsNamed(t *testing.T) {
	job := func(command string) string {
		return "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x, namespace: a}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: k, image: alpine/k8s, command: " + command + "}]}}}}}\n"
	}
	const release = "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: x, namespace: a}\nspec: {chart: {repository: 'https://h', name: addons, version: 1.0.0}, values: "
	const ofFlux2 = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: x, namespace: a}\nspec: {chart: {spec: {chart: addons, sourceRef: {kind: HelmRepository, name: h}}}, values: "
	for name, c := range map[string]struct{ object, says string }{
		"fluxctl install":            {job("[sh, -c, 'fluxctl install --git-url=git@h:a | kubectl apply -f -']"), "a:cronjob/x runs a command that speaks of fluxctl install"},
		"fluxctl install, its words": {job("[fluxctl, install, '--git-url=git@h:a']"), "a:cronjob/x runs a command that speaks of fluxctl install"},
		"a chart, by helm":           {job("[helm, install, flux, fluxcd/flux]"), "a:cronjob/x runs a command that speaks of fluxcd/flux"},
		"a part of a chart":          {release + "{flux: {git: {url: 'git@h:a'}}}}\n", "a:helmrelease/x installs a chart, which is given flux.git.url"},
		"a part, by its interval":    {release + "{deployer: {git: {url: 'git@h:a', pollInterval: 1m}}}}\n", "a:helmrelease/x installs a chart, which is given deployer.git.url"},
		"a part, by what it syncs":   {ofFlux2 + "{deployer: {git: {url: 'git@h:a', branch: main, path: apps}}}}\n", "a:helmrelease/x installs a chart, which is given deployer.git.url"},
		"a part of it, by Flux v2":   {ofFlux2 + "{platform: {fluxcd: {git: {url: 'git@h:a'}}}}}\n", "a:helmrelease/x installs a chart, which is given platform.fluxcd.git.url"},

		"an image, by kubectl": {job("[sh, -c, 'kubectl create deployment flux --image=fluxcd/flux:1.25.4']"), "a:cronjob/x runs a command that speaks of fluxcd/flux"},
		"an image, by docker":  {job("[docker, run, 'fluxcd/flux:1.25.4']"), "a:cronjob/x runs a command that speaks of fluxcd/flux"},

		"a scanner":               {job("[trivy, image, 'fluxcd/flux:1.25.4']"), ""},
		"a scanner, in a shell":   {job("[sh, -c, 'grype docker.io/fluxcd/flux:1.25.4 > /report']"), ""},
		"a copy of the image":     {job("[sh, -c, 'docker pull fluxcd/flux:1.25.4 && docker tag fluxcd/flux:1.25.4 h/flux']"), ""},
		"a copy, of an engine":    {job("[sh, -c, 'set -e; docker --context x image pull fluxcd/flux:1.25.4; sudo /usr/bin/skopeo copy docker://fluxcd/flux:1.25.4 dir:x || exit 1']"), ""},
		"a look, beside another":  {job("[sh, -c, \"trivy image --quiet fluxcd/flux:${TAG} 2>&1 && kubectl apply -f /report\"]"), ""},
		"an operator's Flux":      {"apiVersion: flux.codesink.net/v1alpha1\nkind: Flux\nmetadata: {name: x, namespace: a}\nspec: {gitUrl: 'https://me:" + markedSecret + "@h/a'}\n", "a:flux/x has the flux-operator install a fluxd that syncs https://"},
		"Azure Arc's GitConfig":   {"apiVersion: clusterconfig.azure.com/v1beta1\nkind: GitConfig\nmetadata: {name: x, namespace: a}\nspec: {giturl: 'https://me:" + markedSecret + "@h/a', operatorType: flux}\n", "a:gitconfig/x has Azure Arc install a fluxd that syncs https://"},
		"a script in a ConfigMap": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: a}\ndata: {a.sh: ls, up.sh: 'fluxctl install --git-url=https://me:" + markedSecret + "@h/a | kubectl apply -f -'}\n", "a:configmap/x holds up.sh, which speaks of fluxctl install"},
		"OpenShift's Template":    {"apiVersion: template.openshift.io/v1\nkind: Template\nmetadata: {name: x, namespace: a}\nobjects: [{apiVersion: apps/v1, kind: Deployment, spec: {replicas: '${{N}}', template: {spec: {containers: [{args: ['--git-url=${URL}']}]}}}}]\nparameters: [{name: URL}]\n", "a:template/x holds what looks like fluxd (--git-url)"},

		"Azure's of Flux v2":     {"apiVersion: clusterconfig.azure.com/v1\nkind: FluxConfiguration\nmetadata: {name: x, namespace: a}\nspec: {giturl: 'git@h:a', url: 'git@h:a'}\n", ""},
		"another ConfigMap":      {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: a}\ndata: {up.sh: 'fluxctl sync; helm install', image: 'fluxcd/flux:1.25.4'}\n", ""},
		"another Template":       {"apiVersion: template.openshift.io/v1\nkind: Template\nmetadata: {name: x, namespace: a}\nobjects: [{apiVersion: v1, kind: Service}]\n", ""},
		"another job":            {job("[fluxctl, sync]"), ""},
		"another chart":          {release + "{dags: {git: {url: 'git@h:a', branch: b}}}}\n", ""},
		"another chart, a path":  {release + "{dags: {git: {url: 'git@h:a', path: dags}}}}\n", ""},
		"Flux v2's chart":        {release + "{flux2: {git: {url: 'git@h:a'}}}}\n", ""},
		"what stands in Flux v2": {ofFlux2 + "{flux-system: {git: {url: 'git@h:a'}}}}\n", ""},
	} {
		inv := readTree(t, treeOf("-- x.yaml --\n"+c.object), nil)
		if c.says == "" {
			noFinding(t, inv, AgentByObject)
		} else {
			said(t, inv, AgentByObject.Name, c.says)
			equal(t, name+": named", len(findingsOf(inv, AgentByObject)), 1)
		}
		noFinding(t, inv, FluxdElsewhere)
		for _, f := range inv.Findings {
			if tells(f.Message) {
				t.Errorf("%s: %s", name, f)
			}
		}
		t.Log(name)
	}
	// Whatever else names the image may run it, by whatever name its program goes.
	for _, command := range []string{
		"$KUBECTL create deployment flux --image=fluxcd/flux:1.25.4", "$(which kubectl) create deployment flux --image=fluxcd/flux:1.25.4",
		"kubectl.exe create deployment flux --image=fluxcd/flux:1.25.4", "microk8s.kubectl create deployment flux --image=fluxcd/flux:1.25.4",
		"k create deployment flux --image=fluxcd/flux:1.25.4", "docker container run fluxcd/flux:1.25.4", "docker --context x run -d fluxcd/flux:1.25.4",
		"docker service create fluxcd/flux:1.25.4", "ctr run docker.io/fluxcd/flux:1.25.4 flux", "argocd app set flux --kustomize-image fluxcd/flux:1.25.4",
		"docker pull fluxcd/flux:1.25.4 && k run flux --image fluxcd/flux:1.25.4", "crane export fluxcd/flux:1.25.4 - | ctr run x",
		"k run flux --image $(crane digest --full-ref fluxcd/flux:1.25.4)", "k debug -c crane --image fluxcd/flux:1.25.4",
		"crane digest $(k run flux --image fluxcd/flux:1.25.4)", "docker run pull fluxcd/flux:1.25.4", "skopeo list-tags x `k run flux --image fluxcd/flux:1.25.4`",
	} {
		inv := readTree(t, treeOf("-- x.yaml --\n"+job("[sh, -c, '"+command+"']")), nil)
		said(t, inv, AgentByObject.Name, "a:cronjob/x runs a command that speaks of fluxcd/flux")
		t.Log(command)
	}
}

// A HelmRelease that names no chart is a patch of one, and installs nothing by itself.
func TestAPatchOfAReleaseInstallsNothing(t *testing.T) {
	const release = "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: x, namespace: flux}\nspec: {CHARTvalues: {git: {url: 'git@h:a'}}}\n"
	for chart, want := range map[string]int{"": 0, "chart: {repository: 'https://h', name: gitops, version: 1.0.0}, ": 1} {
		inv := readTree(t, treeOf("-- p.yaml --\n"+strings.Replace(release, "CHART", chart, 1)), nil)
		equal(t, "named "+chart, len(findingsOf(inv, AgentByObject)), want)
	}
}

// Of a chart whose version nothing gives, what all of its versions agree on is known.
func TestAReleaseOfNoVersionIsReadAsFarAsAllVersionsAgree(t *testing.T) {
	for name, of := range map[string]string{
		"from Git":     "{git: 'https://github.com/fluxcd/flux', path: chart/flux, ref: master}",
		"without":      "{repository: 'https://charts.fluxcd.io', name: flux}",
		"a wide range": "{repository: 'https://charts.fluxcd.io', name: flux, version: '>=0.5.0'}",
	} {
		inv := readTree(t, treeOf("-- hr.yaml --\napiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: flux, namespace: flux}\nspec: {chart: "+of+", values: {git: {url: 'git@h:a', branch: main}}}\n"), nil)
		a := agentNamed(t, inv, "flux/flux-flux")
		equal(t, name, []any{a.Git.URL, a.Git.Branch, a.ChartVersion}, []any{"git@h:a", "main", ""})
		said(t, inv, "CHART_VERSION_UNKNOWN", "0.5.0 to 1.13.3")
		why := "(no chart version is pinned)"
		if name == "a wide range" {
			why = `(the chart version ">=0.5.0" fits several)`
		}
		said(t, inv, "CHART_VERSION_UNKNOWN", why)
	}
}

// A Deployment and a HelmRelease of one environment have one credential, with the
// ConfigMaps beside them.
func TestAnAgentThatGitDeclaresReachesItsServerAsALiveOneDoes(t *testing.T) {
	const deployment = `
-- a/flux.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux-shop, namespace: shop}
spec:
  template:
    spec:
      volumes: [{name: ca, configMap: {name: ca}}, {name: ssh, configMap: {name: ssh}}]
      containers:
      - name: flux
        image: fluxcd/flux:1.25.4
        args: [--git-url=URL]
        env: [{name: HTTPS_PROXY, valueFrom: {configMapKeyRef: {name: net, key: proxy}}}]
        envFrom: [{secretRef: {name: git-auth}}]
        volumeMounts: [{name: ca, mountPath: /etc/ssl/certs}, {name: ssh, mountPath: /root/.ssh}]
`
	const release = `
-- a/flux.yaml --
apiVersion: helm.fluxcd.io/v1
kind: HelmRelease
metadata: {name: flux-shop, namespace: shop}
spec:
  releaseName: flux-shop
  chart: {repository: https://charts.fluxcd.io, name: flux, version: 1.13.3}
  values:
    git: {url: "URL"}
    env: {secretName: git-auth}
    extraEnvs: [{name: HTTPS_PROXY, valueFrom: {configMapKeyRef: {name: net, key: proxy}}}]
    extraVolumes: [{name: ca, configMap: {name: ca}}, {name: ssh, configMap: {name: ssh}}]
    extraVolumeMounts: [{name: ca, mountPath: /etc/ssl/certs}, {name: ssh, mountPath: /root/.ssh}]
`
	const beside = `
-- a/maps.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: net, namespace: shop}
data: {proxy: "p:3128"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca, namespace: shop}
data: {own.pem: x}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ssh, namespace: shop}
data: {config: Host x}
`
	inSecret := func(key string) migrate.Value {
		return migrate.Value{Secret: &migrate.SecretKey{Namespace: "shop", Name: "git-auth", Key: key}, PercentEncoded: true}
	}
	https := migrate.AgentCredential{Kind: "basic", Username: inSecret("U"), Password: inSecret("P")}
	whole := https
	whole.Proxy, whole.CA = migrate.Value{Literal: "p:3128"}, migrate.Value{ConfigMap: &migrate.SecretKey{Namespace: "shop", Name: "ca", Key: "own.pem"}}
	codes := []flux1.Code{Proxy, ProxyUnknown, CustomCA, SSHConfig, CredentialMissing, CredentialInCluster}
	for form, tree := range map[string]string{"Deployment": deployment, "HelmRelease": release} {
		for name, c := range map[string]struct {
			url, beside string
			want        migrate.AgentCredential
			codes       []flux1.Code
		}{
			"https":            {"https://$(U):$(P)@git.example.com/shop", beside, whole, []flux1.Code{Proxy}},
			"https, not there": {"https://$(U):$(P)@git.example.com/shop", "", https, []flux1.Code{ProxyUnknown, CustomCA}},
			"ssh": {"git@git.example.com:shop", beside, migrate.AgentCredential{Kind: "ssh", Identity: migrate.SecretKey{Namespace: "shop",
				Name: map[string]string{"Deployment": "flux-git-deploy", "HelmRelease": "flux-shop-git-deploy"}[form], Key: "identity"}}, []flux1.Code{SSHConfig}},
		} {
			t.Run(form+" "+name, func(t *testing.T) {
				inv := readTree(t, treeOf(strings.Replace(tree, "URL", c.url, 1)+c.beside), nil)
				if d := cmp.Diff(c.want, agentNamed(t, inv, "shop/flux-shop").Credential); d != "" {
					t.Error(d)
				}
				for _, code := range codes {
					if slices.ContainsFunc(c.codes, func(k flux1.Code) bool { return k.Name == code.Name }) {
						wantFinding(t, inv, code, "shop/flux-shop")
					} else {
						noFinding(t, inv, code)
					}
				}
			})
		}
	}
}

func TestOverlaysOfSeveralClustersDeclareAgentsOfOneName(t *testing.T) {
	overlay := func(cluster string) string {
		return `
-- ` + cluster + `/kustomization.yaml --
namespace: flux
resources: [../base]
patches:
- path: args.yaml
-- ` + cluster + `/args.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux}
spec:
  template:
    spec:
      containers:
      - name: flux
        args:
        - --git-url=https://$(USER):$(PASSWORD)@git.example.org/` + cluster + `
        - --git-ci-skip
`
	}
	inv := readTree(t, treeOf(overlay("a")+overlay("b")+`
-- base/kustomization.yaml --
resources: [flux.yaml]
-- base/flux.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux}
spec:
  template:
    spec:
      containers:
      - name: flux
        image: fluxcd/flux:1.25.4
        envFrom: [{secretRef: {name: git-auth}}]
      - name: fluxcloud
        image: topfreegames/fluxcloud
`), func(o *CheckoutOptions) { o.Paths = []string{"a"} })
	for id, url := range map[string]string{"flux/flux": "https://$(USER):***@git.example.org/a", "flux/flux@b": "https://$(USER):***@git.example.org/b"} {
		a := agentNamed(t, inv, id)
		if !strings.HasSuffix(a.Git.URL, "@git.example.org/"+url[len(url)-1:]) {
			t.Errorf("%s: %s", id, a.Git.URL)
		}
		if !slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return f.Repository == id && f.Code == flux1.Notifications.Name }) {
			t.Errorf("%s: its sidecar is not named: %v", id, inv.Findings)
		}
		// That a Secret of envFrom may set KUBECONFIG too does not say that it does.
		if a.DefaultNamespace != "default" {
			t.Errorf("%s: objects that name no namespace go to %q", id, a.DefaultNamespace)
		}
	}
	noFinding(t, inv, FallbackUnknown)
}

// repository makes a Git repository with a branch that is checked out and one
// that is not.
func repository(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatalf("the tests of this project need git: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "team")
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_AUTHOR_DATE=2020-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2020-01-01T00:00:00Z") // so that the goldens can name the commits
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	write("apps/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-main}\n")
	run("init", "-q", "-b", "main", ".")
	run("add", ".")
	run("commit", "-q", "-m", "one")
	run("checkout", "-q", "-b", "prod")
	write("apps/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-prod}\n")
	write("apps/deep/b.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: deep}\n")
	if err := os.Symlink("../../apps/a.yaml", filepath.Join(dir, "apps", "deep", "link.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "apps", "deep", "out.yaml")); err != nil {
		t.Fatal(err)
	}
	run("add", ".")
	run("commit", "-q", "-m", "two")
	run("checkout", "-q", "main")
	run("clone", "-q", "--bare", ".", filepath.Join(dir, "..", "bare.git"))
	write("apps/uncommitted.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: uncommitted}\n")
	return dir
}

// A List within a List is an object to fluxd, of a kind that no cluster serves, as are
// other kinds of the core group that are no objects.
func TestWhatNoClusterKeepsIsNotApplied(t *testing.T) {
	inv := readTree(t, treeOf("-- list.yaml --\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: outer}\n"+
		"- apiVersion: v1\n  kind: List\n  items:\n  - apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: inner}\n"+
		"-- status.yaml --\napiVersion: v1\nkind: Status\nmetadata: {name: none}\n"), nil)
	wantFinding(t, inv, flux1.UnknownKind, "list.yaml", "v1, List")
	wantFinding(t, inv, flux1.UnknownKind, "status.yaml", "v1, Status")
	noFinding(t, inv, flux1.KindsAssumed)
	for _, o := range inv.Agents[0].Objects {
		if applies := o.Class == migrate.ClassApplied; applies != (o.Manifest.GetName() == "outer") {
			t.Errorf("%s is %s", o.ID, o.Class)
		}
	}
}

// Without a cluster nothing tells whether a custom kind has a namespace, but what is
// known of kinds that many repositories hold.
func TestObjectsOfUnknownScopeAreNamed(t *testing.T) {
	inv := readTree(t, treeOf("-- a.yaml --\napiVersion: example.org/v1\nkind: Thing\nmetadata: {name: homeless}\n"+
		"---\napiVersion: example.org/v1\nkind: Thing\nmetadata: {name: housed, namespace: shop}\n"+
		"---\napiVersion: networking.istio.io/v1alpha3\nkind: Gateway\nmetadata: {name: public}\n"+
		"---\napiVersion: external-secrets.io/v1beta1\nkind: ClusterSecretStore\nmetadata: {name: vault}\n"), nil)
	wantFinding(t, inv, flux1.ScopeNotKnown, "whether their kinds have one is not known: Thing homeless")
	for _, o := range inv.Agents[0].Objects {
		name := o.Manifest.GetName()
		if o.ScopeUnknown != (name == "homeless") || o.NamespaceFilled != (name == "public") {
			t.Errorf("%s: scope unknown %v, namespace filled in %v", o.ID, o.ScopeUnknown, o.NamespaceFilled)
		}
	}
	noFinding(t, readTree(t, treeOf("-- a.yaml --\napiVersion: example.org/v1\nkind: Thing\nmetadata: {name: housed, namespace: shop}\n"), nil), flux1.ScopeNotKnown)
}

// Only what has images and is not locked is given newer ones.
func TestImagesAreAutomatedWhereFluxdUpdatesThem(t *testing.T) {
	of := func(apiVersion, kind, name, annotations string) string {
		return "---\napiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: " + name + ", annotations: {" + annotations + "}}\n"
	}
	const automated = "fluxcd.io/automated: 'true'"
	inv := readTree(t, treeOf("-- a.yaml --\n"+of("apps/v1", "Deployment", "updated", automated)+of("helm.fluxcd.io/v1", "HelmRelease", "released", "flux.weave.works/automated: 'true'")+
		of("apps/v1", "DaemonSet", "locked", automated+", flux.weave.works/locked: 'true'")+of("v1", "Service", "imageless", automated)+
		of("helm.toolkit.fluxcd.io/v2", "HelmRelease", "newer", automated)), nil)
	wantFinding(t, inv, flux1.ImageAutomation, "images are updated automatically: team:deployment/updated, team:helmrelease/released")
	for _, f := range inv.Findings {
		if f.Code == flux1.ImageFilter.Name && !strings.Contains(f.Message, "deployment/updated") && !strings.Contains(f.Message, "helmrelease/released") {
			t.Errorf("%s: %s", f.Code, f.Message)
		}
	}
}

// fluxd looks for a filter by each container's name, and takes the newest image where
// there is none.
func TestAContainerWithoutAFilterOfItsOwnIsUpdatedByBuildTime(t *testing.T) {
	const pod = "{containers: [{name: c, image: 'x:1'}, {name: d, image: 'y:1'}], initContainers: [{name: i, image: 'z:1'}]}"
	for name, c := range map[string]struct {
		filters, spec string
		want          string // of IMAGE_FILTER; empty for none
		policy        string
	}{
		"none":             {"", "", "it has no filter", ""},
		"of one":           {"fluxcd.io/tag.c: 'semver:~1'", "", "container d has no filter, container i has no filter", ""},
		"of two":           {"fluxcd.io/tag.c: 'semver:~1', filter.fluxcd.io/d: 'glob:v*'", "", "filter.fluxcd.io/d: glob:v*, container i has no filter", ""},
		"of all":           {"fluxcd.io/tag.c: 'semver:~1', filter.fluxcd.io/d: 'semver:*', flux.weave.works/tag.i: 'semver:*'", "", "", ""},
		"of no container":  {"fluxcd.io/tag.drone: 'semver:~1'", "", "no filter names a container of it", "fluxcd.io/tag.drone: semver:~1 (which names no container, and has no effect)"},
		"of one too many":  {"fluxcd.io/tag.c: 'semver:~1', fluxcd.io/tag.d: 'semver:~1', fluxcd.io/tag.i: 'semver:~1', fluxcd.io/tag.e: 'glob:*'", "", "", "tag.e: glob:* (which names no container"},
		"a patch, perhaps": {"fluxcd.io/tag.drone: 'semver:~1'", "{template: {spec: " + pod + "}}", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			spec := c.spec
			if spec == "" {
				spec = "{selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: " + pod + "}}"
			}
			inv := readTree(t, treeOf("-- a.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop, annotations: {fluxcd.io/automated: 'true', "+c.filters+"}}\nspec: "+spec+"\n"), nil)
			got := strings.Join(findingsOf(inv, flux1.ImageFilter), "; ")
			if c.want == "" && got != "" || !strings.Contains(got, "updated by build time: "+c.want) && c.want != "" {
				t.Errorf("it says %q, want %q", got, c.want)
			}
			if c.policy != "" {
				wantFinding(t, inv, flux1.ImagePolicy, c.policy)
			}
			if strings.Contains(strings.Join(findingsOf(inv, flux1.ImagePolicy), ""), "no effect") != (c.policy != "") {
				t.Errorf("the policies are told as %q", findingsOf(inv, flux1.ImagePolicy))
			}
		})
	}
}

const fluxdAt = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: sync}
spec:
  selector: {matchLabels: {name: flux}}
  template:
    metadata: {labels: {name: flux}}
    spec:
      containers:
      - {name: flux, image: fluxcd/flux:1.25.4, args: [--git-url=git@git.example.com:org/fleet, --manifest-generation=true, --git-path=%s]}
`

// An agent's own manifest, with flags for which the tree holds nothing, is that of the
// reader whose repository it is, by the URL that is given or that the clone has.
func TestTheReaderIsTheAgentThatItsRepositoryDeclares(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fleet")
	gitIn(t, ".", "init", "-q", "-b", "master", dir)
	if err := os.WriteFile(filepath.Join(dir, "flux.yaml"), fmt.Appendf(nil, fluxdAt, ""), 0o644); err != nil {
		t.Fatal(err)
	}
	gitIn(t, dir, "add", ".")
	gitIn(t, dir, "-c", "user.name=ci", "-c", "user.email=ci@example.com", "commit", "-q", "-m", "all")
	agents := func(o CheckoutOptions) (ids []string) {
		o.Dir = dir
		inv, err := Checkout(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range inv.Agents {
			ids = append(ids, a.ID)
		}
		return ids
	}
	const url = "git@git.example.com:org/fleet.git"
	if got := agents(CheckoutOptions{URL: url}); !slices.Equal(got, []string{"sync/flux"}) {
		t.Errorf("with its URL: %q", got)
	}
	if got := agents(CheckoutOptions{}); len(got) != 2 {
		t.Errorf("without a URL: %q", got)
	}
	if got := agents(CheckoutOptions{URL: url, ManifestGeneration: new(bool)}); len(got) != 2 {
		t.Errorf("of a reader that generates nothing: %q", got)
	}
	gitIn(t, dir, "remote", "add", "origin", "https://git.example.com/org/fleet")
	if got := agents(CheckoutOptions{}); !slices.Equal(got, []string{"sync/flux"}) {
		t.Errorf("with a remote: %q", got)
	}
}

// A folder that no path of the agent reads and that cannot be built is of no use to whoever
// asks about that agent, but for what it takes from elsewhere, which nobody looked at.
func TestFoldersThatTheAgentDoesNotReadAndCannotBeBuiltAreLeftOut(t *testing.T) {
	tree := treeOf("-- p/kustomization.yaml --\nresources: [gone.yaml]\n-- other/kustomization.yaml --\nresources: [gone.yaml, flux.yaml]\n" +
		"-- other/flux.yaml --\n" + fmt.Sprintf(fluxdAt, "") + "-- far/kustomization.yaml --\nresources: [\"https://github.com/fluxcd/flux//deploy?ref=1.25.4\"]\n" +
		"-- charts/kustomization.yaml --\nhelmCharts: [{name: flux, repo: 'https://charts.fluxcd.io', version: 1.3.0}]\n-- above/kustomization.yaml --\nresources: [../far]\n")
	inv := readTree(t, tree, func(o *CheckoutOptions) { o.Paths = []string{"p"} })
	wantFinding(t, inv, flux1.KustomizeFails, "p/kustomization.yaml", "folder p cannot be built")
	wantFinding(t, inv, flux1.KustomizeFails, "far/kustomization.yaml", "folder far is made of the manifests of Flux v1")
	wantFinding(t, inv, flux1.KustomizeFails, "where an agent may be declared, is not looked at (2): above, charts")
	wantFinding(t, inv, flux1.KustomizeFails, "sync/flux", "folder other, which declares this agent, cannot be built")
	for _, text := range findingsOf(inv, flux1.KustomizeFails) {
		if strings.Contains(text, "folder other cannot be built") {
			t.Errorf("a folder that the agent does not read: %s", text)
		}
	}
	wantFinding(t, readTree(t, tree, nil), flux1.KustomizeFails, "folder other cannot be built")
}

// An ignore annotation that says no is no slip.
func TestAnIgnoreAnnotationThatSaysNoIsNoFinding(t *testing.T) {
	manifest := "-- a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {fluxcd.io/ignore: '%s'}}\n"
	for _, value := range []string{"false", "False", "no", "0", ""} {
		noFinding(t, readTree(t, treeOf(fmt.Sprintf(manifest, value)), nil), flux1.IgnoreWithoutEffect)
	}
	for _, value := range []string{"True", "yes", "1", "sync-only"} {
		wantFinding(t, readTree(t, treeOf(fmt.Sprintf(manifest, value)), nil), flux1.IgnoreWithoutEffect, value)
	}
}

// A .flux.yaml at the root mostly stands for folders below it, of which the agent is told.
func TestARootThatGeneratesNothingAsksForPaths(t *testing.T) {
	tree := treeOf("-- .flux.yaml --\nversion: 1\ncommandUpdated:\n  generators:\n  - command: kustomize build .\n-- prod/kustomization.yaml --\nresources: [a.yaml]\n-- prod/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
	for _, f := range readTree(t, tree, nil).Findings {
		if f.Code == flux1.NotGenerated.Name && !strings.Contains(f.Hint, "--git-path") {
			t.Errorf("the remedy is %q", f.Hint)
		}
	}
	wantFinding(t, readTree(t, tree, nil), flux1.NotGenerated, "has no kustomization file")
	noFinding(t, readTree(t, tree, func(o *CheckoutOptions) { o.Paths = []string{"prod"} }), flux1.NotGenerated)
}

// Numbers are keys that fluxd takes for text, and Kustomize for nothing.
func TestKeysThatAreNoTextAreNamed(t *testing.T) {
	inv := readTree(t, treeOf("-- a.yaml --\napiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: ingress}\nspec:\n  values:\n    '80': quoted\n    tcp: {2222: 'shop/builder:2222'}\n"+
		"---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: listed}, data: {1.20: b}}\n"), nil)
	wantFinding(t, inv, flux1.KeyNotText, "team:helmrelease/ingress in a.yaml:1 has the key spec.values.tcp.2222")
	wantFinding(t, inv, flux1.KeyNotText, "team:configmap/listed in a.yaml:9 has the key data.1.2, which")
	noFinding(t, readTree(t, treeOf("-- a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {'1': b}\n"), nil), flux1.KeyNotText)
}

// What cannot be built may still say that it is an agent.
func TestAgentsOfAFolderThatCannotBeBuiltAreFound(t *testing.T) {
	inv := readTree(t, treeOf("-- flux/kustomization.yaml --\nresources: [flux.yaml, nowhere.yaml]\n-- flux/flux.yaml --\n"+fmt.Sprintf(fluxdAt, "apps")), nil)
	if len(inv.Agents) != 2 || inv.Agents[0].ID != "sync/flux" || !slices.Equal(inv.Agents[0].Git.Paths, []string{"apps"}) {
		t.Errorf("agents: %+v", inv.Agents)
	}
	wantFinding(t, inv, flux1.KustomizeFails, "sync/flux", "folder flux, which declares this agent, cannot be built")
	inv = readTree(t, treeOf("-- flux/kustomization.yaml --\nresources: [a.yaml, b.yaml]\n-- flux/a.yaml --\n"+fmt.Sprintf(fluxdAt, "a")+"-- flux/b.yaml --\n"+fmt.Sprintf(fluxdAt, "b")+
		"-- apps/a.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), func(o *CheckoutOptions) { o.Paths = []string{"apps"} })
	if len(inv.Agents) != 3 || inv.Agents[1].ID != "sync/flux@flux/b.yaml" {
		t.Errorf("two agents of one name in a folder that cannot be built: %+v", inv.Agents)
	}
}

// What a patch changes of a base in another repository, which is not fetched, is no agent that is
// known, since others may change it as well: each folder is told that may declare one.
func TestAPatchOverABaseOfAnotherRepositoryMayBeAnAgent(t *testing.T) {
	const (
		ofFlux  = "bases: [\"github.com/fluxcd/flux//deploy?ref=v1.17.0\"]\n"
		ofOther = "bases: [\"github.com/org/base?ref=v1\"]\n"
		patched = "patchesStrategicMerge: [patch.yaml]\n"
		args    = "spec: {template: {spec: {containers: [{name: flux, args: [--git-url=git@h:org/apps]}]}}}"
		made    = "folder flux is made of the manifests of Flux v1 (github.com/fluxcd/flux//deploy?ref=v1.17.0), which are not fetched"
	)
	patch := func(dir, name, content string) string {
		return "-- " + dir + "/patch.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + "}\n" + content + "\n"
	}
	looks := func(of, what string) string {
		return "folder flux is made of github.com/" + of + ", which is not fetched, and patches what looks like fluxd in it (" + what + ")"
	}
	for name, c := range map[string]struct {
		tree string
		want []string // what is said of folders that may declare an agent
	}{
		"no patch":               {"-- flux/kustomization.yaml --\n" + ofFlux, []string{made}},
		"arguments":              {"-- flux/kustomization.yaml --\n" + ofFlux + patched + patch("flux", "flux", args), []string{looks("fluxcd/flux//deploy?ref=v1.17.0", "Deployment flux")}},
		"another base":           {"-- flux/kustomization.yaml --\n" + ofOther + patched + patch("flux", "sync", args), []string{looks("org/base?ref=v1", "Deployment sync")}},
		"replicas alone":         {"-- flux/kustomization.yaml --\n" + ofOther + patched + patch("flux", "flux", "spec: {replicas: 0}"), []string{looks("org/base?ref=v1", "Deployment flux")}},
		"a patch of JSON":        {"-- flux/kustomization.yaml --\n" + ofOther + "patches: [{path: json.yaml, target: {kind: 'Deploy.*'}}]\n-- flux/json.yaml --\n- {op: add, path: /spec/template/spec/containers/0/args/-, value: --git-path=a}\n", []string{looks("org/base?ref=v1", "flags of fluxd in flux/json.yaml")}},
		"two patches of two":     {"-- flux/kustomization.yaml --\n" + ofOther + "patchesStrategicMerge: [a/patch.yaml, b/patch.yaml, patch.yaml]\n" + patch("flux", "flux", args) + patch("flux/a", "flux", args) + patch("flux/b", "fluxd", args), []string{looks("org/base?ref=v1", "Deployment flux, Deployment fluxd")}},
		"deleted":                {"-- flux/kustomization.yaml --\n" + ofFlux + patched + patch("flux", "flux", "$patch: delete"), nil},
		"patched, and deleted":   {"-- flux/kustomization.yaml --\n" + ofOther + "patchesStrategicMerge: [patch.yaml, b/patch.yaml]\n" + patch("flux", "flux", args) + patch("flux/b", "flux", "$patch: delete"), nil},
		"another one deleted":    {"-- flux/kustomization.yaml --\n" + ofFlux + patched + patch("flux", "memcached", "$patch: delete"), []string{made}},
		"deleted of a target":    {"-- flux/kustomization.yaml --\n" + ofFlux + "patches: [{path: patch.yaml, target: {kind: Deployment, name: memcached}}]\n" + patch("flux", "flux", "$patch: delete"), []string{made}},
		"of something else":      {"-- flux/kustomization.yaml --\n" + ofOther + patched + patch("flux", "web", "spec: {template: {spec: {containers: [{name: web, args: [--verbose]}]}}}"), nil},
		"of what stands here":    {"-- flux/kustomization.yaml --\n" + ofOther + "resources: [flux.yaml]\n" + patched + patch("flux", "flux", args) + "-- flux/flux.yaml --\n" + fmt.Sprintf(fluxdAt, ""), nil},
		"each folder, and above": {"-- flux/kustomization.yaml --\n" + ofFlux + "-- top/kustomization.yaml --\nresources: [../flux]\nnamePrefix: team-\n" + patched + patch("top", "flux", args), []string{made, strings.Replace(looks("fluxcd/flux//deploy?ref=v1.17.0", "Deployment flux"), "flux", "top", 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			inv := readTree(t, treeOf(c.tree), nil)
			if own := strings.Contains(c.tree, "flux/flux.yaml"); len(inv.Agents) != 1 && !own {
				t.Errorf("agents %q", agentIDs(inv))
			}
			var got []string
			for _, f := range inv.Findings {
				what, _, ok := strings.Cut(f.Message, ": an agent may be declared here that is not read (")
				if f.Code != flux1.KustomizeFails.Name || !ok {
					continue
				}
				got = append(got, what)
				if !strings.Contains(f.Hint, "ask the cluster") {
					t.Errorf("what settles it is %q", f.Hint)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("said\n%q, want\n%q", got, c.want)
			}
		})
	}
}

// Plain files may be those of several clusters, each with an agent of the same name.
func TestAgentsOfOneNameInPlainFilesAreAllFound(t *testing.T) {
	inv := readTree(t, treeOf("-- clusters/dev.yaml --\n"+fmt.Sprintf(fluxdAt, "dev")+"-- clusters/prod.yaml --\n"+fmt.Sprintf(fluxdAt, "prod")+"---\n"+fmt.Sprintf(fluxdAt, "test")+"-- copy/dev.yaml --\n"+fmt.Sprintf(fluxdAt, "dev")), nil)
	paths := map[string]string{}
	for _, a := range inv.Agents {
		paths[a.ID] = strings.Join(a.Git.Paths, ",")
	}
	if want := map[string]string{"team/flux": "", "sync/flux": "dev", "sync/flux@clusters/prod.yaml": "prod", "sync/flux@clusters/prod.yaml:2": "test"}; !maps.Equal(paths, want) {
		t.Errorf("agents %q, want %q", paths, want)
	}
}

func TestACheckoutIsReadAtItsBranchFromWorkingCopyAndBareRepository(t *testing.T) {
	dir := repository(t)
	read := func(dir, branch string) (migrate.Inventory, []string) {
		t.Helper()
		inv, err := Checkout(t.Context(), CheckoutOptions{Dir: dir, ID: "team/flux", Branch: branch, DefaultNamespace: "team"})
		if err != nil {
			t.Fatal(err)
		}
		checkInventory(t, inv)
		var names []string
		for _, o := range inv.Agents[0].Objects {
			names = append(names, o.Manifest.GetName())
		}
		return inv, names
	}
	bare := filepath.Join(dir, "..", "bare.git")
	for _, c := range []struct {
		dir, branch, shownBranch string
		want                     []string
		links                    bool
		golden                   string
	}{
		{dir, "", "main", []string{"from-main", "uncommitted"}, false, "repository-working-copy"},
		{dir, "main", "main", []string{"from-main"}, false, "repository-main"},
		{dir, "prod", "prod", []string{"from-prod", "deep", "from-prod"}, true, "repository-prod"},
		{bare, "", "main", []string{"from-main"}, false, "repository-bare"},
		{bare, "prod", "prod", []string{"from-prod", "deep", "from-prod"}, true, "repository-prod"},
	} {
		inv, names := read(c.dir, c.branch)
		equalsGolden(t, filepath.Join("testdata", "checkout", c.golden+".json"), dump(t, inv))
		a := inv.Agents[0]
		want := c.want
		if c.links { // the link repeats an object, which is reported and left out
			want = want[:2]
			wantFinding(t, inv, flux1.Duplicate, "apps/deep/link.yaml")
			wantFinding(t, inv, flux1.LinkOutside, "apps/deep/out.yaml")
		}
		if !slices.Equal(names, want) || a.Git.Branch != c.shownBranch || len(a.Synced.Head) != 40 {
			t.Errorf("%s at %q: %q at %q %s, want %q", filepath.Base(c.dir), c.branch, names, a.Git.Branch, a.Synced.Head, want)
		}
	}
	inv, _ := read(dir, "nothere")
	wantFinding(t, inv, flux1.BranchNotThere, "nothere")
	for _, o := range []CheckoutOptions{{Dir: bare, Branch: "nothere"}, {Dir: filepath.Join(dir, "missing")}, {}} {
		if _, err := Checkout(t.Context(), o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

func TestCommitTreesAreFileSystems(t *testing.T) {
	dir := repository(t)
	tree, err := openCheckout(t.Context(), filepath.Join(dir, "..", "bare.git"), "main")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(tree.FS, "apps/a.yaml"); err != nil {
		t.Error(err)
	}
	if tree, err = openCheckout(t.Context(), dir, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Stat(tree.FS, ".git/config"); err == nil {
		t.Error("Git's own files are seen")
	}
	if err := fstest.TestFS(tree.FS, "apps/a.yaml"); err != nil {
		t.Error(err)
	}
}

func TestHostileRepositoriesEndInAFinding(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i <= 'j'; i++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	self := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: &a {b: *a}\n"
	deep := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: " + strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000) + "\n"
	huge := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: '" + strings.Repeat("x", 3<<20) + "'}\n"
	overlay := "resources: [x.yaml]\n"
	numbered := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	twice := ""
	for i := range 25 {
		twice += fmt.Sprintf("-- l%d/kustomization.yaml --\nresources: [p, q]\n-- l%d/p/kustomization.yaml --\nresources: [../../l%d]\nnamePrefix: p-\n-- l%d/q/kustomization.yaml --\nresources: [../../l%d]\nnamePrefix: q-\n", i, i, i+1, i, i+1)
	}
	twice += "-- l25/kustomization.yaml --\nresources: [x.yaml]\n-- l25/x.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
	patches := "patches:\n" + numbered(300, "- {target: {kind: ConfigMap}, patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {k%d: v}}'}\n")
	objects := numbered(4000, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x%d}\n")
	generator := ".flux.yaml --\nversion: 1\ncommandUpdated:\n  generators: [{command: kustomize build .}]\n"
	tooLarge := map[string]string{ // what is named
		"folders of folders": "folder l0 is not built", "folders beside the paths": "folder l0 is not built", "patches of all": "folder . is not built",
		"patches of all generating": "folder . is not built", "a file of many generators": "folder . is not built", "a generator of a large file": "f: too large to be built: it has",
	}
	for name, tree := range map[string]fstest.MapFS{
		"alias bomb":                treeOf("-- x.yaml --\nkind: ConfigMap\n" + bomb),
		"alias bomb in overlay":     treeOf("-- kustomization.yaml --\n" + overlay + "-- x.yaml --\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n" + bomb),
		"alias bomb of overlay":     treeOf("-- kustomization.yaml --\n" + bomb),
		"alias of itself":           treeOf("-- kustomization.yaml --\n" + overlay + "-- x.yaml --\n" + self),
		"deep":                      treeOf("-- x.yaml --\n" + deep),
		"deep in overlay":           treeOf("-- kustomization.yaml --\n" + overlay + "-- x.yaml --\n" + deep),
		"huge":                      treeOf("-- x.yaml --\n" + huge),
		"folders in a circle":       treeOf("-- a/kustomization.yaml --\nresources: [../b]\n-- b/kustomization.yaml --\nresources: [../a]\n"),
		"alias bomb generating":     treeOf("-- .flux.yaml --\nversion: 1\ncommandUpdated:\n  generators: []\n" + bomb),
		"deep generating":           treeOf("-- .flux.yaml --\n" + strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000)),
		"patch of wrong types":      treeOf("-- .flux.yaml --\nversion: 1\npatchUpdated:\n  generators: [{command: kustomize build .}]\n  patchFile: p.yaml\n-- kustomization.yaml --\nresources: [d.yaml]\n-- d.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {spec: {containers: [{name: a}]}}}\n-- p.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {spec: {volumes: {a: b}, containers: [{name: [a]}]}}}\n"),
		"folders of folders":        treeOf(twice),
		"folders beside the paths":  treeOf(twice + "-- apps/x.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"),
		"patches of all":            treeOf("-- kustomization.yaml --\n" + overlay + patches + "-- x.yaml --\n" + objects),
		"patches of all generating": treeOf("-- " + generator + "-- kustomization.yaml --\n" + overlay + patches + "-- x.yaml --\n" + objects),
		"a file of many generators": treeOf("-- kustomization.yaml --\nconfigMapGenerator:\n" + numbered(400, "- {name: g%d, files: [f]}\n") + "-- f --\n" + strings.Repeat("x", 10<<20)),
		"patterns for each file":    treeOf("-- .sourceignore --\n" + numbered(60_000, "*-%d.txt\n") + numbered(1000, "-- apps/%d.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")),
		"patterns for each file, with many wildcards": treeOf("-- .sourceignore --\n" + numbered(500, "*"+strings.Repeat("a", 110)+"b%d\n") + numbered(500, "-- apps/"+strings.Repeat("a", 200)+"%d.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")),
		"generators of one folder, many times":        treeOf("-- kustomization.yaml --\ngenerators:\n" + strings.Repeat("- gen\n", 3000) + numbered(3000, "-- gen/%d.yaml --\napiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: g}\nname: c\n")),
		"a generator of a large file":                 treeOf("-- kustomization.yaml --\nconfigMapGenerator: [{name: g, files: [f]}]\n-- f --\n" + strings.Repeat("x", 20<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			inv := readTree(t, tree, func(o *CheckoutOptions) {
				o.Limits = flux1.DefaultLimits
				o.Limits.FileBytes = 1 << 20
				// Smaller than the default, to be quick; the bound is the same.
				o.Builds = build.DefaultLimits
				o.Builds.Steps = 500_000
				if name == "folders beside the paths" {
					o.Paths = []string{"apps"}
				}
			})
			runtime.ReadMemStats(&after)
			if took := time.Since(start); took > time.Minute {
				t.Errorf("it took %s", took)
			}
			if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 2<<10 {
				t.Errorf("it allocated %d MiB", grown)
			}
			if len(inv.Findings) == 0 {
				t.Error("nothing is said of it")
			}
			if folder := tooLarge[name]; folder != "" {
				wantFinding(t, inv, flux1.TooLarge, folder, "the limit is")
				for _, f := range findingsOf(inv, flux1.KustomizeFails) {
					if strings.Contains(f, "too large to be built") {
						t.Errorf("it is told twice: %s", f)
					}
				}
				i := slices.IndexFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == flux1.TooLarge.Name })
				if i >= 0 && (inv.Findings[i].Severity == migrate.Warning) != (name == "folders beside the paths") {
					t.Errorf("it is told as %s", inv.Findings[i].Severity)
				}
			}
			if strings.HasPrefix(name, "patterns for each file") {
				wantFinding(t, inv, flux1.SourceIgnoreUnreadable, "what Flux v2 leaves out by .sourceignore cannot be told: the .sourceignore files of the tree hold", "patterns, which are too many, or too long,", "files and folders against")
				noFinding(t, inv, flux1.SourceIgnore)
				planned := migrate.Inventory{Findings: migrate.Build(inv, migrate.Options{}).Findings}
				equal(t, "it is told once in a plan", len(findingsOf(planned, flux1.SourceIgnoreUnreadable)), 1)
			}
			if name == "folders in a circle" {
				wantFinding(t, inv, flux1.KustomizeFails, "folder a cannot be built", "cycle")
			}
			t.Logf("%s, %d MiB", time.Since(start).Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
		})
	}
}

// Many agents of one repository, and what binds each, end in findings, and a discovery of them
// ends when it is told to.
func TestHostileDeclarationsEndInAFinding(t *testing.T) {
	const agent = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: f%d, namespace: a}\nspec: {template: {spec: {serviceAccountName: f%d, containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=git@h:a%d']}]}}}\n---\n"
	const binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b$}\nroleRef: {kind: ClusterRole, name: cluster-admin}\nsubjects: [{"
	const own, ofAll = "kind: ServiceAccount, name: f$, namespace: a", "kind: Group, name: 'system:serviceaccounts:a'"
	many := func(n, bindings int, subject string) fstest.MapFS {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, agent, i, i, i)
		}
		for i := range bindings {
			b.WriteString(strings.ReplaceAll(binding+subject+"}]\n---\n", "$", strconv.Itoa(i)))
		}
		return fstest.MapFS{"a.yaml": {Data: []byte(b.String())}}
	}
	inv := readTree(t, many(maxDeclared+2, 0, own), nil)
	if n := len(inv.Agents); n != maxDeclared+1 { // with the reader itself
		t.Errorf("%d agents", n)
	}
	wantFinding(t, inv, flux1.TooLarge, "declares 1000 agents or more", fmt.Sprintf("a.yaml:%d", 5*maxDeclared+1))
	// As they are rendered for many clusters, agents are the same ones.
	const copies = 101
	tree, all := "", many(10, 0, own)
	for i := range copies {
		tree += fmt.Sprintf("-- clusters/%d/kustomization.yaml --\nresources: [../../base]\n", i)
	}
	rendered := treeOf(tree + "-- base/kustomization.yaml --\nresources: [a.yaml]\n")
	rendered["base/a.yaml"] = all["a.yaml"]
	inv = readTree(t, rendered, nil)
	if len(inv.Agents) != 11 {
		t.Errorf("%d agents of %d copies of 10", len(inv.Agents), copies)
	}
	noFinding(t, inv, flux1.TooLarge)
	defer func(n int) { maxBindingLooks = n }(maxBindingLooks)
	maxBindingLooks = 10_000
	noFinding(t, readTree(t, many(50, 210, own), nil), RightsUnknown) // of which each has one
	inv = readTree(t, many(50, 210, ofAll), nil)
	if len(inv.Agents) != 51 {
		t.Errorf("%d agents of 50", len(inv.Agents)-1)
	}
	wantFinding(t, inv, RightsUnknown, "a/f49", "too many to be looked at for each of so many agents, and may bind it")
	for _, f := range findingsOf(inv, RightsUnknown) {
		if strings.HasPrefix(f, "a/f0 ") && strings.Contains(f, "too many") {
			t.Errorf("the first is not looked at: %s", f)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &checkout{}
	if _, _, err := c.agentsOf(ctx, declaration{objects: make([]flux1.Parsed, 1)}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("told to end: %v", err)
	}
}

// What a repository declares of one thing, and of another that each of them is held against, grows
// in two ways at once: each such pair is counted, and the count ends in a finding.
func TestHostilePairsEndInAFinding(t *testing.T) {
	const agent = "-- agent.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: a}\nspec: {template: {spec: {serviceAccountName: flux, containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=git@h:a']}]}}}\n"
	const chartFiles = "-- charts/x/Chart.yaml --\nname: x\nversion: 1.0.0\n-- charts/x/values.yaml --\n"
	const binding = "-- charts/x/templates/rb.yaml --\nkind: ClusterRoleBinding\nroleRef: {kind: ClusterRole, name: admin}\nsubjects:\n- kind: ServiceAccount\n  name: {{ .Values.name }}\n"
	each := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(format, "$", strconv.Itoa(i)))
		}
		return b.String()
	}
	values := each(1000, "v$: 0123456789\n") // 16 kB
	indented := each(1000, "    v$: 0123456789\n")
	for name, tree := range map[string]string{ // of which each takes more than 15,000 looks, by one way to count them
		"agents of one name and bindings": each(40, "-- $/a.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: f, namespace: a}\nspec: {template: {spec: {containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=git@h:a$']}]}}}\n") +
			each(40, "-- $.yaml --\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b$}\nroleRef: {kind: ClusterRole, name: view}\nsubjects: [{kind: ServiceAccount, name: default, namespace: a}]\n"),
		"folders and Kustomizations": each(40, "-- k$/kustomization.yaml --\nresources: [a.yaml]\n-- k$/a.yaml --\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: n$}\n") +
			"-- ks.yaml --\n" + each(200, "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: k$, namespace: f}\nspec: {path: ./other, sourceRef: {kind: GitRepository, name: a}}\n"),
		"objects and what a Kustomization reaches": "-- rb.yaml --\n" + each(200, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: b$}\n") +
			"-- top/kustomization.yaml --\nresources:\n" + each(100, "- ../k$\n") + each(100, "-- k$/kustomization.yaml --\nresources: [a.yaml]\n-- k$/a.yaml --\napiVersion: v1\nkind: Namespace\nmetadata: {name: n$}\n") +
			"-- ks.yaml --\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: k, namespace: f}\nspec: {path: ./top, sourceRef: {kind: GitRepository, name: a}}\n",
		"bindings and Kustomizations": "-- rb.yaml --\n" + each(100, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b$}\nroleRef: {kind: ClusterRole, name: view}\nsubjects: [{kind: ServiceAccount, name: f$, namespace: a}]\n") +
			"-- ks.yaml --\n" + each(200, "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: k$, namespace: f}\nspec: {path: ./other, sourceRef: {kind: GitRepository, name: a}}\n"),
		"releases and a chart": chartFiles + values + binding + each(20, "-- r$.yaml --\napiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: r$, namespace: a}\nspec: {chart: {git: 'git@h:a', ref: master, path: charts/x}}\n"),
		"releases and a ConfigMap": chartFiles + "a: 1\n" + binding + "-- cm.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: v, namespace: a}\ndata:\n  values.yaml: |\n" + indented +
			each(20, "-- r$.yaml --\napiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: r$, namespace: a}\nspec: {chart: {git: 'git@h:a', ref: master, path: charts/x}, valuesFrom: [{configMapKeyRef: {name: v}}]}\n"),
		"releases and ConfigMaps": chartFiles + "a: 1\n" + binding + "-- cm.yaml --\n" + each(4000, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: v$, namespace: a}\n") +
			each(60, "-- r$.yaml --\napiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: r$, namespace: a}\nspec: {chart: {git: 'git@h:a', ref: master, path: charts/x}, valuesFrom: [{configMapKeyRef: {name: v}}]}\n"),
		"releases of Flux v2 and ConfigMaps": chartFiles + "a: 1\n" + binding + "-- cm.yaml --\n" + each(4000, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: v$, namespace: a}\n") +
			each(60, "-- r$.yaml --\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: r$, namespace: a}\nspec: {chart: {spec: {chart: charts/x, sourceRef: {kind: GitRepository, name: a}}}, valuesFrom: [{kind: ConfigMap, name: v}]}\n"),
		"releases of Flux v2 and a ConfigMap": chartFiles + "a: 1\n" + binding + "-- cm.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: v, namespace: a}\ndata:\n  values.yaml: |\n" + indented +
			each(20, "-- r$.yaml --\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: r$, namespace: a}\nspec: {chart: {spec: {chart: charts/x, sourceRef: {kind: GitRepository, name: a}}}, valuesFrom: [{kind: ConfigMap, name: v}]}\n"),
		"applications and a file of values": chartFiles + "a: 1\n" + binding + "-- charts/x/more.yaml --\n" + values +
			each(20, "-- r$.yaml --\napiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: r$, namespace: a}\nspec: {source: {repoURL: 'git@h:a', path: charts/x, helm: {valueFiles: [more.yaml]}}}\n"),
		"Helmfile and a file of values":   chartFiles + "a: 1\n" + binding + "-- more.yaml --\n" + values + "-- helmfile.yaml --\nreleases:\n" + each(20, "- {name: r$, chart: ./charts/x, values: [more.yaml]}\n"),
		"Helmfile and patterns of files":  each(300, "-- h/$.txt --\na\n") + "-- helmfile.yaml --\nhelmfiles:\n" + each(900, "- h/$*.yaml\n"),
		"folders and a generator":         "-- all/g.yaml --\nkind: HelmChartInflationGenerator\nname: x\nvaluesInline:\n" + indented + each(20, "-- k$/kustomization.yaml --\ngenerators: [../all]\n"),
		"folders of generators and files": each(2000, "-- h/$.txt --\na\n") + each(80, "-- k$/kustomization.yaml --\ngenerators: [g.yaml]\n"),
		"folders and ConfigMaps":          "-- cm.yaml --\n" + each(2000, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c$}\n") + each(100, "-- k$/kustomization.yaml --\nresources: [a.yaml]\n-- k$/a.yaml --\napiVersion: v1\nkind: Namespace\nmetadata: {name: n$}\n"),
	} {
		t.Run(name, func(t *testing.T) {
			declares := treeOf(agent + tree)
			noFinding(t, readTree(t, declares, nil), flux1.TooLarge)
			defer func(n int) { maxLooks = n }(maxLooks)
			maxLooks = 15_000
			wantFinding(t, readTree(t, declares, nil), flux1.TooLarge, "too much to be held against each other", "(more than 15000 looks): what is declared there, and in what is read after it, is not looked at")
		})
	}
	// What it takes to hold files against the patterns of sources is a count of its own, which ends in a doubt.
	sources := treeOf(agent + each(1000, "-- h/$.txt --\na\n") + "-- ks.yaml --\n" + each(40, "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: k$, namespace: f}\nspec: {path: ./, sourceRef: {kind: GitRepository, name: a$}}\n"+
		"---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: a$, namespace: f}\nspec: {ignore: /x$/}\n"))
	noFinding(t, readTree(t, sources, nil), AgentByObject)
	defer func(looks, compared int) { maxLooks, maxCompared = looks, compared }(maxLooks, maxCompared)
	maxLooks = 15_000
	noFinding(t, readTree(t, sources, nil), flux1.TooLarge)
	maxCompared = 15_000 // which last for five of them
	inv := readTree(t, sources, nil)
	noFinding(t, inv, flux1.TooLarge)
	equal(t, "agents", len(inv.Agents), 2)
	wantFinding(t, inv, AgentByObject, "Kustomization f/k5 of Flux v2 may apply it, or something else (what its source leaves out is not known)")
	for _, f := range findingsOf(inv, AgentByObject) {
		if strings.Contains(f, "f/k0") {
			t.Errorf("the first is not looked at: %s", f)
		}
	}
}

// nestedFolders makes a bare repository whose branch main has folders in folders, each of
// which holds the same one under each of the names: few objects, and very many paths.
func nestedFolders(t *testing.T, depth int, names ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "nested.git")
	repo, err := git.PlainInit(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	store := func(o interface {
		Encode(plumbing.EncodedObject) error
	}) plumbing.Hash {
		t.Helper()
		to := repo.Storer.NewEncodedObject()
		if err := o.Encode(to); err != nil {
			t.Fatal(err)
		}
		hash, err := repo.Storer.SetEncodedObject(to)
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	folder := store(&object.Tree{})
	for range depth {
		above := &object.Tree{}
		for _, name := range names {
			above.Entries = append(above.Entries, object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: folder})
		}
		folder = store(above)
	}
	commit := store(&object.Commit{TreeHash: folder, Message: "nested"})
	for _, ref := range []*plumbing.Reference{plumbing.NewHashReference("refs/heads/main", commit), plumbing.NewSymbolicReference(plumbing.HEAD, "refs/heads/main")} {
		if err := repo.Storer.SetReference(ref); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestHostileFoldersEndInAFinding(t *testing.T) {
	long := func(first string) string { return first + strings.Repeat("x", 250) }
	working := t.TempDir()
	if err := os.MkdirAll(filepath.Join(working, strings.Repeat("d/", maxTreeDepth+1)), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ dir, want string }{
		"a deep working copy": {working, "nested deeper than 100"},
		"a deep commit":       {nestedFolders(t, maxTreeDepth+1, "d"), "nested deeper than 100"},
		"many folders":        {nestedFolders(t, 10, "a", "b", "c", "d"), "more than 500000 files and folders"},
		"long paths":          {nestedFolders(t, 90, long("a"), long("b")), "longer than 134217728 bytes together"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			inv := readTree(t, nil, func(o *CheckoutOptions) {
				o.FS, o.Dir, o.URL, o.ID = nil, tc.dir, "git@git.example.com:org/x", "flux/x"
			})
			runtime.ReadMemStats(&after)
			if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 2<<10 {
				t.Errorf("it allocated %d MiB", grown)
			}
			wantFinding(t, inv, flux1.TooLarge, "nothing of the repository is read", tc.want)
			if a := agentNamed(t, inv, "flux/x"); a.Tree != nil || !slices.Contains(a.Unknown, "counts") || len(a.Objects) > 0 {
				t.Errorf("of what was not read it says %+v", a)
			}
			// And so where it is the repository of an agent that is known otherwise.
			described, err := Values(t.Context(), []ValuesFile{{Name: "flux/x", File: "x.yaml", Content: []byte("git: {url: 'git@git.example.com:org/x', branch: main}\n")}})
			if err != nil {
				t.Fatal(err)
			}
			if inv, err = Repositories(t.Context(), described, []Folder{{URL: "git@git.example.com:org/x", Dir: tc.dir}}, nil, nil); err != nil {
				t.Fatal(err)
			}
			wantFinding(t, inv, flux1.TooLarge, tc.want)
			noFinding(t, inv, GitUnreadable)
		})
	}
}

// What is opened once is not opened again from the top: a folder that is moved away
// meanwhile is still read.
func TestFoldersOfAWorkingCopyAreOpenedOnce(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b", "c")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "y", "grown"} {
		if err := os.WriteFile(filepath.Join(deep, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "top"), []byte("top"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := openFiles(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	read := func(name, want string) {
		t.Helper()
		if got, err := tree.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	read("a/b/c/x", "x")
	if err := os.WriteFile(filepath.Join(deep, "grown"), []byte("more than before"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := tree.ReadFile("a/b/c/grown"); err == nil {
		t.Errorf("of a file that grew it reads %q", got)
	}
	if err := os.Rename(filepath.Join(dir, "a", "b"), filepath.Join(dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	// Where it was, a link leads out of the folder.
	outside := t.TempDir()
	if err := os.MkdirAll(filepath.Join(outside, "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "c", "x"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "a", "b")); err != nil {
		t.Fatal(err)
	}
	read("a/b/c/y", "y")
	read("a/top", "top")
	if got, err := tree.ReadFile("a/b/c/x"); err == nil {
		t.Errorf("through a link out of the folder it reads %q", got)
	}
}

// To open a named pipe waits for whoever writes to it.
func TestANamedPipeDoesNotHoldUpACheckout(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"kustomization.yaml": "resources: [own.yaml]\nconfigMapGenerator: [{name: a, files: [deep/pipe.yaml]}]\n",
		"own.yaml":           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\n",
		"deep/other.yaml":    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"deep/pipe.yaml", "deep/.flux.yaml", ".sourceignore", "deep/kustomization.yaml"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inv := readTree(t, nil, func(o *CheckoutOptions) { o.FS, o.Dir = nil, dir })
	wantFinding(t, inv, flux1.Stuck, "deep/pipe.yaml cannot be read: it is a named pipe")
	if n := len(inv.Agents[0].Objects); n != 2 {
		t.Errorf("%d objects beside the pipes, want 2", n)
	}
}

func TestCheckoutStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Checkout(ctx, CheckoutOptions{FS: treeOf("-- a.yaml --\nkind: x\n")}); err == nil {
		t.Error("no error")
	}
}

// cancelling is a tree that ends a context when a file is read, and counts the files
// that are read all the same.
type cancelling struct {
	fstest.MapFS
	cancel context.CancelFunc
	read   *int
}

func (c cancelling) ReadFile(name string) ([]byte, error) {
	*c.read++
	c.cancel()
	return c.MapFS.ReadFile(name)
}

func TestNoFileIsReadOnceTheContextHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	read := 0
	tree := cancelling{fstest.MapFS{}, cancel, &read}
	for i := range 100 {
		tree.MapFS[fmt.Sprintf("%d.yaml", i)] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")}
	}
	if _, err := Checkout(ctx, CheckoutOptions{FS: tree}); err == nil || read != 1 {
		t.Errorf("%d files are read, %v", read, err)
	}
}

// FuzzCheckout reads hostile repositories of four files, one of them also a chart's template.
func FuzzCheckout(f *testing.F) {
	for _, dir := range []string{"fluxcd__multi-tenancy/base/flux", "fluxcd__multi-tenancy/cluster/team1", "equinor__sdp-flux/dev/velero"} {
		files, err := filepath.Glob(filepath.Join("testdata", "real", filepath.FromSlash(dir), "*.yaml"))
		if err != nil || len(files) == 0 {
			f.Fatal("no seeds", err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add([]byte("resources: [x.yaml]\npatchesStrategicMerge: [p.yaml]\n"), content, []byte("version: 1\npatchUpdated:\n  generators: [{command: kustomize build .}]\n  patchFile: p.yaml\n"), []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux}\nspec: {template: {spec: {containers: [{name: flux, args: [--git-url=a@b:c]}]}}}\n"))
		}
	}
	f.Add([]byte(""), []byte(fluxRelease), []byte("version: 1\nscanForFiles: {}\n"), []byte(""))
	// What Flux v2 applies, what it gives to releases, and what binds an account.
	const patched = `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: apps, namespace: shop}
spec:
  path: ./
  sourceRef: {kind: GitRepository, name: it}
  targetNamespace: shop
  postBuild: {substitute: {b: next}, substituteFrom: [{kind: ConfigMap, name: vals}]}
  images: [{name: fluxcd/flux, newTag: 1.10.0, digest: 'sha256:a'}]
  patches: [{patch: '- {op: remove, path: /spec/replicas}', target: {kind: Deployment, name: fl.*, labelSelector: a=b}}]
  commonMetadata: {labels: {a: b}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: shop, labels: {a: b}}
spec: {replicas: 2, template: {spec: {serviceAccountName: flux, containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=git@h:a', '--git-branch=${b:=main}']}]}}}
`
	const given = `apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: fluxcd, namespace: flux}
spec: {url: 'https://charts.fluxcd.io'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: vals, namespace: flux}
data: {list: '{a,b}', git: '{git: {branch: others}}', k: 'account: flux'}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: old, namespace: flux}
spec:
  chart: {spec: {chart: flux, version: 1.13.3, sourceRef: {kind: HelmRepository, name: fluxcd}}}
  valuesFrom: [{kind: ConfigMap, name: vals, valuesKey: list, targetPath: git.path}, {kind: ConfigMap, name: vals, valuesKey: git}, {kind: Secret, name: s}, {kind: ConfigMap, name: vals, valuesKey: k, targetPath: '='}]
  values: {git: {url: 'git@h:a'}, additionalArgs: ['--sync-gc']}
`
	const bound = `apiVersion: apps/v1
kind: Deployment
metadata: {name: own, namespace: shop}
spec: {template: {spec: {serviceAccountName: flux, containers: [{name: flux, image: 'fluxcd/flux:${tag}', args: ['--git-url=git@h:a', '--k8s-secret-name=s']}]}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: bind}
spec: {template: {spec: {containers: [{name: k, image: kubectl, command: [sh, -c, 'kubectl create clusterrolebinding x --clusterrole=view --serviceaccount=shop:flux']}]}}}
---
apiVersion: helm.fluxcd.io/v1
kind: HelmRelease
metadata: {name: old, namespace: flux}
spec: {chart: {git: 'git@h:a', path: c, ref: main}, valuesFrom: [{configMapKeyRef: {name: vals, key: k}}], values: {git: {url: x}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: all}
roleRef: {kind: ClusterRole, name: cluster-admin}
subjects: [{kind: Group, name: 'system:serviceaccounts:${ns}'}]
`
	const template = "{{- if .Values.rbac }}\n" + "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: c}\nroleRef: {kind: Role, name: r}\nsubjects:\n- kind: ServiceAccount\n  name: {{ .Values.account }}\n{{- end }}\n"
	// What is around the arguments may be named by a variable.
	const named = `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: apps, namespace: shop}
spec: {path: ./, sourceRef: {kind: GitRepository, name: it}, postBuild: {substituteFrom: [{kind: ConfigMap, name: vals}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: shop, labels: {'a${x}': '${x}'}}
spec:
  template:
    metadata: {annotations: {'iam.amazonaws.com/role': '${x}'}}
    spec:
      serviceAccountName: 'a${x}'
      volumes: [{name: 'v${x}', secret: {secretName: s}}, {name: w, secret: {secretName: 'a${x}'}}]
      containers:
      - name: 'f${x}'
        image: fluxcd/flux:1.25.4
        args: ['--git-url=git@h:a', '--${x}=y', '--git-path=a${x}', '--k8s-allow-namespace=${x}']
        env: [{name: 'X${x}', value: v}, {name: B, value: '${x}'}]
        envFrom: [{secretRef: {name: 's${x}'}}, {prefix: 'p${x}', configMapRef: {name: c}}]
        volumeMounts: [{name: 'v${x}', mountPath: /v}, {name: w, mountPath: '/w${x}'}]
`
	for _, manifest := range []string{patched, given, bound, named, patched + "---\n" + given + "---\n" + bound} {
		f.Add([]byte(""), []byte(manifest), []byte(""), []byte(template))
		f.Add([]byte("resources: [x.yaml]\n"), []byte(manifest), []byte("version: 1\nscanForFiles: {}\n"), []byte(patched))
	}
	inv, err := Checkout(f.Context(), CheckoutOptions{FS: fstest.MapFS{"x.yaml": {Data: []byte(patched)}}, ID: "team/flux"})
	if err != nil || !slices.ContainsFunc(inv.Agents, func(a migrate.Flux1Agent) bool {
		return a.Git.URL == "git@h:a" && slices.Contains(a.Unknown, "replicas")
	}) {
		f.Errorf("Kustomize does not make the patch of the seed, and of that alone: %v, %+v", err, inv.Agents)
	}
	known := slices.Concat(Codes(), flux1.Codes(), chart.Codes())
	f.Fuzz(func(t *testing.T, overlay, manifest, config, patch []byte) {
		tree := fstest.MapFS{"kustomization.yaml": {Data: overlay}, "x.yaml": {Data: manifest}, ".flux.yaml": {Data: config}, "p.yaml": {Data: patch},
			"c/Chart.yaml": {Data: []byte("name: c\nversion: 1.0.0\n")}, "c/templates/p.yaml": {Data: patch}}
		if len(overlay) == 0 {
			delete(tree, "kustomization.yaml")
		}
		inv, err := Checkout(t.Context(), CheckoutOptions{FS: tree, ID: "team/flux", Limits: flux1.Limits{
			FileBytes: 1 << 16, TotalBytes: 1 << 19, Documents: 100, Objects: 500, Files: 100, Depth: 50}})
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range inv.Findings {
			if !slices.ContainsFunc(known, func(c flux1.Code) bool { return c.Name == finding.Code }) {
				t.Errorf("finding of no table: %v", finding)
			}
		}
		again, err := Checkout(t.Context(), CheckoutOptions{FS: tree, ID: "team/flux", Limits: flux1.Limits{
			FileBytes: 1 << 16, TotalBytes: 1 << 19, Documents: 100, Objects: 500, Files: 100, Depth: 50}})
		if err != nil || !bytes.Equal([]byte(dump(t, inv)), []byte(dump(t, again))) {
			t.Errorf("read twice, it differs: %v", err)
		}
		const mark = "IT_IS_NOT_TOLD" // of what is not known, which nobody is shown
		if strings.Contains(dump(t, inv), mark) && !bytes.Contains(slices.Concat(overlay, manifest, config, patch), []byte(mark)) {
			t.Errorf("the mark of what is not known is shown:\n%s", dump(t, inv))
		}
	})
}

// A Kustomization of Flux v2 keeps what it applies, and no more; where it is not certain that it does, it is
// not told as known what it would change.
func TestWhatAKustomizationMayApplyIsToldAsThat(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: shop}\nspec: {template: {spec: {containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=git@h:org/a']}]}}}\n"
	const patches = ", patches: [{target: {kind: Deployment}, patch: '- {op: replace, path: /spec/template/spec/containers/0/args, value: [--git-url=git@h:org/OTHER]}'}]"
	const source = "-- src.yaml --\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: it, namespace: flux-system}\nspec: {url: 'git@h:team/x', ref: {branch: main}"
	const root = "-- root.yaml --\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: root, namespace: flux-system}\nspec: {path: ./clusters, sourceRef: {kind: GitRepository, name: it}"
	k := func(spec string) string {
		return source + "}\n-- clusters/k.yaml --\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: flux-system}\nspec: {sourceRef: {kind: GitRepository, name: it}, " + spec + "}\n"
	}
	patched := func(target, patch string) string {
		return k("path: ./apps") + "-- apps/d.yaml --\n" + deployment + root + fmt.Sprintf(", patches: [{%spatch: %q}]}\n", target, patch)
	}
	const variable, other = ", postBuild: {substitute: {b: wrong}}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\n"
	ignoring := func(n int, patterns string) string { // as many sources, each of patterns of its own
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, strings.NewReplacer("name: it", "name: it%[1]d", "name: apps", "name: apps%[1]d", "ref: {branch: main}", "ref: {branch: main}, ignore: \""+patterns+"/x%[1]d/\"", "src.yaml", "src%[1]d.yaml", "k.yaml", "k%[1]d.yaml").Replace(k("path: ./apps")), i)
		}
		return b.String()
	}
	const apps, its = "target: {kind: Kustomization, name: apps}, ", "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: flux-system}\n"
	const unknown = "may apply it, or something else (Kustomization flux-system/root, which applies it, changes it to what is not known here (spec.patches)"
	const nested = "-- all/kustomization.yaml --\nresources: [../prod]\n-- prod/kustomization.yaml --\nresources: [../base]\n-- base/kustomization.yaml --\nresources: [d.yaml]\n-- base/d.yaml --\n" + deployment
	for name, c := range map[string]struct {
		text  string
		kept  bool   // by Flux v2, certainly
		says  string // of what it may do
		known bool   // the URL is told
	}{
		"its path":               {k("path: ./apps") + "-- apps/d.yaml --\n" + deployment, true, "", true},
		"another path":           {k("path: ./web") + "-- apps/d.yaml --\n" + deployment, false, "", true},
		"not listed":             {k("path: ./apps") + "-- apps/kustomization.yaml --\nresources: [x.yaml]\n-- apps/x.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n-- apps/flux/d.yaml --\n" + deployment, false, "", true},
		"listed":                 {k("path: ./apps") + "-- apps/kustomization.yaml --\nresources: [flux/d.yaml]\n-- apps/flux/d.yaml --\n" + deployment, true, "", true},
		"a base":                 {k("path: ./base") + "-- dev/kustomization.yaml --\nnamespace: dev\nresources: [../base]\n-- base/kustomization.yaml --\nresources: [d.yaml]\n-- base/d.yaml --\n" + deployment, false, "may apply it, or something else (it builds base, of which folder dev makes this)", false},
		"a part of another":      {k("path: ./prod"+patches) + nested, false, "which may apply it (it builds prod, of which folder all makes this), changes it", false},
		"a variable":             {k("path: './apps/${cluster}'"+patches) + "-- apps/prod/d.yaml --\n" + deployment, false, "which may apply it (its path holds a variable), changes it", false},
		"a variable, elsewhere":  {k("path: './web/${cluster}'"+patches) + "-- apps/prod/d.yaml --\n" + deployment, false, "", true},
		"a variable, no changes": {k("path: './apps/${cluster}'") + "-- apps/prod/d.yaml --\n" + deployment, false, "may apply it, or something else (its path holds a variable)", true},
		"an artifact":            {strings.ReplaceAll(k("path: ./apps"), "sourceRef: {kind: GitRepository", "sourceRef: {kind: OCIRepository") + "-- apps/d.yaml --\n" + deployment, false, "may apply it, or something else (its source is no Git repository)", true},
		"patched by another":     {k("path: ./apps") + "-- apps/d.yaml --\n" + deployment + root + ", patches: [{target: {kind: Kustomization, name: apps}, patch: '- {op: add, path: /spec/suspend, value: true}'}]}\n", false, "may apply it, or something else (Kustomization flux-system/root, which applies it, changes it", false},
		"merged by another":      {k("path: ./apps") + "-- apps/d.yaml --\n" + deployment + root + ", patches: [{target: {kind: Kustomization, name: apps}, patch: '{kind: Kustomization, spec: {images: []}}'}]}\n", false, "changes it to what is not known here (spec.patches)", false},
		"deleted by another":     {k("path: ./apps") + "-- apps/d.yaml --\n" + deployment + root + ", patches: [{target: {kind: Kustomization, name: apps}, patch: '{$patch: delete, kind: Kustomization}'}]}\n", false, "changes it to what is not known here (spec.patches)", false},
		"decrypts by another":    {k("path: ./apps") + "-- apps/d.yaml --\n" + deployment + root + ", patches: [{target: {kind: Kustomization}, patch: '{kind: Kustomization, spec: {decryption: {provider: sops}}}'}]}\n", true, "", true},
		"moved by another":       {patched(apps, "- {op: move, from: /spec/path, path: /spec/interval}"), false, unknown, false},
		"another namespace":      {patched(apps, "- {op: replace, path: /metadata/namespace, value: x}"), false, unknown, false},
		"another kind":           {patched(apps, "apiVersion: example.com/v1\nkind: Kustomization\n"), false, unknown, false},
		"disabled by another":    {patched(apps, "- {op: add, path: /metadata/annotations/kustomize.toolkit.fluxcd.io~1reconcile, value: disabled}"), false, unknown, false},
		"ignored by another":     {patched("", strings.Replace(its, "}", ", labels: {kustomize.toolkit.fluxcd.io/ssa: Ignore}}", 1)), false, unknown, false},
		"annotated anew":         {patched(apps, "- {op: replace, path: /metadata/annotations, value: {a: b}}"), false, unknown, false},
		"no annotations":         {patched(apps, "{kind: Kustomization, metadata: {annotations: null}}"), false, unknown, false},
		"other annotations":      {patched(apps, "{kind: Kustomization, metadata: {annotations: {$patch: replace, a: b}}}"), false, unknown, false},
		"emptied by another":     {patched("", its+"spec: null\n"), false, unknown, false},
		"a second document":      {patched("", its+"spec: {interval: 1m}\n---\n"+its+"spec: {path: ./web}\n"), false, unknown, false},
		"no patch":               {patched(apps, "- {op: add, path: /spec/interval, value: 1m}\n---\n[\n"), false, unknown, false},
		"as JSON, and none":      {patched(apps, "[{op: add, path: /spec/interval, value: 1m}]"), false, unknown, false},
		"as JSON":                {patched(apps, `[{"op": "add", "path": "/spec/interval", "value": "1m"}]`), true, "", true},
		"two documents":          {patched("", "---\n"+its+"spec: {interval: 1m}\n---\n"+strings.Replace(its, "}", ", annotations: {a: b}}", 1)), true, "", true},
		"an annotation":          {strings.NewReplacer("name: apps,", "name: apps, annotations: {a: b},", ", path: ./apps", ", path: ./apps, interval: 9m").Replace(patched(apps, "- {op: add, path: /metadata/annotations/a~1b, value: c}\n- {op: copy, from: /spec/interval, path: /spec/timeout}\n- {op: replace, path: /spec/retryInterval, value: 1m}\n- {op: remove, path: /spec/interval}")), true, "", true},
		"an annotation of none":  {patched(apps, "- {op: add, path: /metadata/annotations/a~1b, value: c}"), false, unknown, false},
		"removed, not there":     {patched(apps, "- {op: remove, path: /spec/timeout}"), false, unknown, false},
		"copied, not there":      {patched(apps, "- {op: copy, from: /spec/interval, path: /spec/timeout}"), false, unknown, false},
		"a test":                 {patched(apps, "- {op: test, path: /spec/interval, value: 9m}"), false, unknown, false},
		"no operation":           {patched(apps, "- {op: frob, path: /spec/timeout}"), false, unknown, false},
		"blanks":                 {patched(apps, "   "), false, unknown, false},
		"two, of a target":       {patched(apps, its+"spec: {interval: 1m}\n---\n"+its+"spec: {timeout: 1m}\n"), false, unknown, false},
		"left out":               {strings.Replace(k("path: ./apps"), "ref: {branch: main}", "ref: {branch: main}, ignore: '/apps/d.yaml'", 1) + "-- apps/d.yaml --\n" + deployment, false, "", true},
		"below another build":    {k("path: ./apps"+variable) + "-- apps/x/kustomization.yaml --\nresources: [y.yaml]\n-- apps/x/y.yaml --\n" + other + "-- apps/x/flux/d.yaml --\n" + deployment, false, "", true},
		"below a build, empty":   {k("path: ./apps") + "-- apps/x/kustomization.yaml --\nnamePrefix: a-\n-- apps/x/d.yaml --\n" + deployment, false, "", true},
		"beside another build":   {k("path: ./apps") + "-- apps/x/kustomization.yaml --\nresources: [y.yaml]\n-- apps/x/y.yaml --\n" + other + "-- apps/flux/d.yaml --\n" + deployment, true, "", true},
		"a build below another":  {k("path: ./apps") + "-- apps/x/kustomization.yaml --\nresources: [y.yaml]\n-- apps/x/y.yaml --\n" + other + "-- apps/x/flux/kustomization.yaml --\nresources: [d.yaml]\n-- apps/x/flux/d.yaml --\n" + deployment, false, "", true},
		"a build of its own":     {k("path: ./apps") + "-- apps/x/kustomization.yaml --\nresources: [d.yaml]\n-- apps/x/d.yaml --\n" + deployment, true, "", true},
		"the root":               {k("path: ./") + "-- apps/d.yaml --\n" + deployment, true, "", true},
		"not listed by the root": {k("path: ./") + "-- kustomization.yaml --\nresources: [y.yaml]\n-- y.yaml --\n" + other + "-- apps/d.yaml --\n" + deployment, false, "", true},
		"listed by the root":     {k("path: .") + "-- kustomization.yaml --\nresources: [apps/d.yaml]\n-- apps/d.yaml --\n" + deployment, true, "", true},
		"many sources":           {ignoring(25, "/apps/\\n") + "-- apps/d.yaml --\n" + deployment, false, "", true},
		"kept by many sources":   {ignoring(25, "/*\\n!/apps\\n") + "-- apps/d.yaml --\n" + deployment, true, "", true},
		"kept by the last":       {ignoring(25, "/apps/\\n") + strings.Replace(strings.Replace(k("path: ./apps"), "src.yaml", "last.yaml", 1), "}", ", ignore: ''}", 1) + "-- apps/d.yaml --\n" + deployment, true, "", true},
		"left out, a build":      {strings.Replace(k("path: ./apps"), "ref: {branch: main}", "ref: {branch: main}, ignore: kustomization.yaml", 1) + "-- apps/kustomization.yaml --\nresources: [y.yaml]\n-- apps/y.yaml --\n" + other + "-- apps/d.yaml --\n" + deployment, true, "", true},
		"local configuration":    {k("path: ./apps") + "-- apps/d.yaml --\n" + strings.Replace(deployment, "name: flux,", "name: flux, annotations: {config.kubernetes.io/local-config: 'true'},", 1), false, "", true},
		"no local configuration": {k("path: ./apps") + "-- apps/d.yaml --\n" + strings.Replace(deployment, "name: flux,", "name: flux, annotations: {config.kubernetes.io/local-config: 'false'},", 1), true, "", true},
		"left out by a file":     {k("path: ./apps") + "-- .sourceignore --\nd.yaml\n-- apps/d.yaml --\n" + deployment, false, "", true},
		"a folder, of no URL":    {strings.Replace(k("path: ./apps"), "git@h:team/x", "git@other:z/y", 1) + "-- apps/d.yaml --\n" + deployment, false, "may apply it, or something else (its source names a URL, and which this repository has is not known: give it (--git-url))", true},
		"a folder, no source":    {strings.Replace(k("path: ./apps"), "kind: GitRepository\nmetadata: {name: it", "kind: GitRepository\nmetadata: {name: its", 1) + "-- apps/d.yaml --\n" + deployment, true, "", true},
		"another URL":            {strings.Replace(k("path: ./apps"), "git@h:team/x", "git@other:z/y", 1) + "-- apps/d.yaml --\n" + deployment, false, "", true},
		"a URL of a variable":    {strings.Replace(k("path: ./apps"), "git@h:team/x", "ssh://git@h/${org}/x", 1) + "-- apps/d.yaml --\n" + deployment, false, "may apply it, or something else (its source's URL holds a variable)", true},
		"a host of a variable":   {strings.Replace(k("path: ./apps"), "git@h:team/x", "https://${host:=h}/team/x.${ext}", 1) + "-- apps/d.yaml --\n" + deployment, false, "(its source's URL holds a variable)", true},
		"a variable for a URL":   {strings.Replace(k("path: ./apps"), "git@h:team/x", "${url}", 1) + "-- apps/d.yaml --\n" + deployment, false, "(its source's URL holds a variable)", true},
		"another, of a variable": {strings.Replace(k("path: ./apps"), "git@h:team/x", "ssh://git@h/${org}/y", 1) + "-- apps/d.yaml --\n" + deployment, false, "", true},
		"a port of a variable":   {strings.Replace(k("path: ./apps"), "git@h:team/x", "ssh://git@h:${port}/team/x", 1) + "-- apps/d.yaml --\n" + deployment, false, "(its source's URL holds a variable)", true},
	} {
		inv := readTree(t, treeOf(c.text), func(o *CheckoutOptions) {
			o.URL, o.Paths = "git@h:team/x", []string{"team"}
			if strings.HasPrefix(name, "a folder") {
				o.URL = ""
			}
		})
		var said []string
		for _, f := range inv.Findings {
			said = append(said, f.Message)
		}
		all := strings.Join(said, "\n")
		i := slices.IndexFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return a.Workload == "flux" })
		known := i >= 0 && inv.Agents[i].Git.URL == "git@h:org/a"
		if kept := len(findingsOf(inv, AgentManaged)) > 0; kept != c.kept || known != c.known || !strings.Contains(all, c.says) || c.says == "" && strings.Contains(all, "may apply it") {
			t.Errorf("%s: kept %t, known %t:\n%s", name, kept, known, all)
		}
	}
}

// Where the history of a release is kept hangs on the version of Helm, which an operator that is not told keeps
// at 2.
func TestTheHistoryOfAReleaseHangsOnItsVersionOfHelm(t *testing.T) {
	for _, c := range []struct{ apiVersion, version, says, not string }{
		{"helm.fluxcd.io/v1", "v3", "is Helm release r, its history in namespace shop, of chart c 1.0.0 from https://c", "migrate"},
		{"helm.fluxcd.io/v1", "v2", "is release r of Helm 2, whose history Tiller keeps, of chart c 1.0.0 from https://c; convert it to Helm 3 first", "in namespace"},
		{"helm.fluxcd.io/v1", "", "its history in namespace shop, of chart c 1.0.0 from https://c; it does not say that it is of Helm 3 (spec.helmVersion): if Tiller", "whose history"},
		{"flux.weave.works/v1beta1", "", "is release r of Helm 2, whose history Tiller keeps", "in namespace"},
	} {
		text := fmt.Sprintf("apiVersion: %s\nkind: HelmRelease\nmetadata: {name: r, namespace: shop}\nspec: {releaseName: r, helmVersion: %q, chart: {repository: 'https://c', name: c, version: 1.0.0}}\n", c.apiVersion, c.version)
		inv := readTree(t, treeOf("-- a.yaml --\n"+text), nil)
		wantFinding(t, inv, flux1.HelmRelease1Object, c.says)
		if said := findingsOf(inv, flux1.HelmRelease1Object)[0]; strings.Contains(said, c.not) {
			t.Errorf("%s, %q: %s", c.apiVersion, c.version, said)
		}
	}
}

// What Flux v2 may make of an entry around the arguments of which not even the name is known is
// listed as a setting that is unknown.
func TestNoEntryAroundTheArgumentsOfADeclaredDeploymentDisappears(t *testing.T) {
	text := "-- apps/flux.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: shop}\nspec:\n  template:\n    spec:\n" +
		"      volumes: [{name: 'v${x}', secret: {secretName: s}}, {name: w, secret: {secretName: 'a${x}'}}, {name: z, emptyDir: {}}]\n" +
		"      containers:\n      - name: flux\n        image: fluxcd/flux:1.25.4\n        args: ['--git-url=git@h:org/a']\n" +
		"        env: [{name: 'X${x}', value: v}, {name: B, value: '${x}'}]\n" +
		"        envFrom: [{secretRef: {name: 's${x}'}}, {prefix: 'p${x}', configMapRef: {name: c}}, {configMapRef: {name: d}}]\n" +
		"        volumeMounts: [{name: 'v${x}', mountPath: /v}, {name: w, mountPath: /w}, {name: z, mountPath: '/z${x}'}]\n" +
		"-- a.yaml --\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: flux-system}\n" +
		"spec: {path: ./apps, sourceRef: {kind: GitRepository, name: it}, postBuild: {substituteFrom: [{kind: ConfigMap, name: c}]}}\n"
	for name, c := range map[string]struct {
		text string
		want []string // settings that are unknown, of what may be named by a variable
	}{
		"names that are variables": {text, []string{"env", "envFrom", "volumeMounts"}},
		"names that are known":     {strings.NewReplacer("X${x}", "X", "s${x}", "s", "p${x}", "p", "v${x}", "v", "/z${x}", "/z").Replace(text), nil},
	} {
		t.Run(name, func(t *testing.T) {
			inv := readTree(t, treeOf(c.text), func(o *CheckoutOptions) { o.Paths = []string{"team"} })
			var unknown []string
			for _, s := range agentNamed(t, inv, "shop/flux").Settings {
				if s.To == "a known value" {
					equal(t, s.Name, []any{s.Fate, s.From[0].Where, strings.Contains(s.Why, maySubstitute)}, []any{migrate.Unknown, "apps/flux.yaml:1 " + s.Name, true})
					unknown = append(unknown, s.Name)
				}
			}
			equal(t, "unknown", unknown, c.want)
			if text := asJSON(inv); strings.Contains(text, placeholder) {
				t.Errorf("what is not known is shown by the mark for it:\n%s", text)
			}
		})
	}
}

// Of a Deployment that Flux v2 applies nothing is told as known that its variables give or its
// Kustomization changes, unless the repository says to what.
func TestWhatFlux2MakesOfADeclaredDeploymentIsNotToldAsItIsWritten(t *testing.T) {
	const deployment = "-- apps/flux.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: shop}\nspec:\n  replicas: 1\n  template:\n    spec:\n      serviceAccountName: flux\n" +
		"      containers:\n      - name: flux\n        image: fluxcd/flux:1.25.4\n        env: [{name: HTTPS_PROXY, value: 'http://p'}]\n        args:\n        - --git-url=git@h:org/a\n        - --git-branch=main\n        - --git-path=p\n"
	applies := func(spec string) string {
		return "-- a.yaml --\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: flux-system}\nspec: {path: ./apps, sourceRef: {kind: GitRepository, name: it}, " + spec + "}\n"
	}
	with := func(old, now string) string { return strings.Replace(deployment, old, now, 1) }
	const built = "-- apps/kustomization.yaml --\nresources: [flux.yaml]\n" // and not read by fluxd, to which it is none
	for name, c := range map[string]struct {
		text    string
		unknown []string // beside those of each
		want    []any    // URL, branch, paths, image, replicas
		paths   string   // of the fluxd that reads the repository, which applies nothing of it without
	}{
		"nothing":               {deployment, nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a variable":            {with("branch=main", "branch=${b}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a default":             {with("branch=main", "branch=${b:=main}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a part of a URL":       {with("org/a", "${org}/a"), []string{"git.url"}, []any{"", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a whole argument":      {with("--git-path=p", "'${more}'"), []string{"git.url", "git.branch", "git.paths"}, []any{"", "", "", "fluxcd/flux:1.25.4", 1}, ""},
		"a number":              {built + with("replicas: 1", "replicas: ${n}"), []string{"replicas"}, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"an image":              {with("flux:1.25.4", "flux:${tag}"), []string{"image"}, []any{"git@h:org/a", "main", "p", "", 1}, ""},
		"an account":            {with("Name: flux", "Name: '${who}'"), []string{"serviceAccount"}, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"given":                 {with("branch=main", "branch=${b}") + applies("postBuild: {substitute: {b: next}}"), nil, []any{"git@h:org/a", "next", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"given by one":          {with("branch=main", "branch=${b}") + applies("postBuild: {substitute: {b: next}, substituteFrom: [{kind: ConfigMap, name: c}]}"), nil, []any{"git@h:org/a", "next", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a default, and given":  {with("branch=main", "branch=${b:=main}") + applies("postBuild: {substitute: {c: next}}"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"no default, nor given": {with("branch=main", "branch=${b}") + applies("postBuild: {substitute: {c: next}}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"others give it":        {with("branch=main", "branch=${b:=main}") + applies("postBuild: {substitute: {c: next}, substituteFrom: [{kind: ConfigMap, name: c}]}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"given by a variable":   {with("branch=main", "branch=${b}") + applies("postBuild: {substitute: {b: '${x}'}}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"given to another":      {with("branch=main", "branch=${b}") + strings.Replace(applies("postBuild: {substitute: {b: next}}"), "./apps", "./web", 1), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"no text is given":      {with("branch=main", "branch=${b}") + applies("postBuild: {substitute: {b: 'a: b'}}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"escaped":               {with("branch=main", "branch=$${b}") + applies("postBuild: {substitute: {b: next}}"), nil, []any{"git@h:org/a", "${b}", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"disabled": {strings.Replace(with("branch=main", "branch=${b}"), "name: flux, namespace", "labels: {kustomize.toolkit.fluxcd.io/substitute: disabled}, name: flux, namespace", 1), nil,
			[]any{"git@h:org/a", "${b}", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"another tag":             {deployment + applies("images: [{name: fluxcd/flux, newTag: 1.10.0}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.10.0", 1}, ""},
		"a mirror":                {deployment + applies("images: [{name: fluxcd/flux, newName: 'mirror:5000/flux'}, {name: flux, newTag: x}]"), nil, []any{"git@h:org/a", "main", "p", "mirror:5000/flux:1.25.4", 1}, ""},
		"a tag and a digest":      {deployment + applies("images: [{name: fluxcd/flux, newTag: 1.10.0, digest: 'sha256:a'}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.10.0@sha256:a", 1}, ""},
		"a secret is given":       {with("branch=main", "branch=${TOKEN}") + applies("postBuild: {substitute: {TOKEN: "+markedSecret+"}}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a variable of an image":  {deployment + applies("images: [{name: fluxcd/flux, newTag: '${t}'}]"), []string{"image"}, []any{"git@h:org/a", "main", "p", "", 1}, ""},
		"two that do not agree":   {deployment + applies("images: [{name: fluxcd/flux, newTag: 1.10.0}]") + strings.Replace(applies("prune: true"), "-- a.yaml --", "---", 1), []string{"image"}, []any{"git@h:org/a", "main", "p", "", 1}, ""},
		"its own namespace":       {deployment + applies("targetNamespace: shop, commonMetadata: {labels: {a: b}}"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a patch of another":      {deployment + applies("patches: [{patch: x, target: {kind: Deployment, name: web}}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"components of elsewhere": {deployment + strings.Replace(applies("components: [../c]"), "./apps", "./web", 1), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},

		// Where nothing is to be substituted the controller leaves the text.
		"no variables":            {with("branch=main", "branch=${b}") + applies("prune: true"), nil, []any{"git@h:org/a", "${b}", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"none that are given":     {with("branch=main", "branch=${b}") + applies("postBuild: {}"), nil, []any{"git@h:org/a", "${b}", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"defaults, always":        {with("branch=main", "branch=${b:=next}") + applies("postBuild: {substituteStrategy: Always}"), nil, []any{"git@h:org/a", "next", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"from others alone":       {with("branch=main", "branch=${b}") + applies("postBuild: {substituteFrom: [{kind: ConfigMap, name: c, optional: true}]}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"variables that are none": {with("branch=main", "branch=${b}") + applies("postBuild: [1]"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"patched to have some": {with("branch=main", "branch=${b}") + applies("prune: true") + "-- b.yaml --\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: all, namespace: flux-system}\n" +
			"spec: {sourceRef: {kind: GitRepository, name: it}, patches: [{patch: '- {op: add, path: /spec/postBuild, value: {}}', target: {kind: Kustomization}}]}\n", []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},

		// A namespace is that of the Kustomization, whatever the manifest says.
		"into a namespace":    {with(", namespace: shop", "") + applies("targetNamespace: shop"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"made once, into one": {with("name: flux, namespace: shop", "labels: {kustomize.toolkit.fluxcd.io/ssa: IfNotPresent}, name: flux, namespace: old") + applies("targetNamespace: shop"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"perhaps into one":    {with(", namespace: shop", "") + strings.Replace(applies("targetNamespace: shop"), "kind: GitRepository", "kind: OCIRepository", 1), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"into another one":    {with("namespace: shop", "namespace: old") + applies("targetNamespace: shop"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"patched, into another": {with("namespace: shop", "namespace: old") + strings.Replace(applies("targetNamespace: shop"), "a.yaml", "k/a.yaml", 1) + "-- b.yaml --\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: all, namespace: flux-system}\n" +
			"spec: {path: ./k, sourceRef: {kind: GitRepository, name: it}, patches: [{patch: '- {op: add, path: /spec/suspend, value: true}', target: {kind: Kustomization}}]}\n", []string{"git.url", "git.branch", "git.paths", "image", "replicas", "serviceAccount", "chartVersion", "requests"}, []any{"", "", "", "", 1}, ""},
		"into one, by its tag": {with(", namespace: shop", "") + applies("targetNamespace: shop, images: [{name: fluxcd/flux, newTag: 1.10.0}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.10.0", 1}, ""},

		// A patch is of what Kustomize selects.
		"a patch of another namespace":  {deployment + applies("patches: [{patch: x, target: {kind: Deployment, namespace: 'sho'}}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a patch of other labels":       {deployment + applies("patches: [{patch: x, target: {labelSelector: 'app=web'}}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a patch of other annotations":  {deployment + applies("patches: [{patch: x, target: {annotationSelector: 'app'}}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a patch of another group":      {deployment + applies("patches: [{patch: x, target: {group: batch, kind: .*}}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a patch that names another":    {deployment + applies("patches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: flux, namespace: other}}'}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a patch of before that is not": {deployment + applies("patchesStrategicMerge: [{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {flux: Deployment}}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},

		// What a Kustomization that is suspended changes, it may have changed before.
		"suspended":                   {deployment + applies("suspend: true"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"suspended, another tag":      {deployment + applies("suspend: true, images: [{name: fluxcd/flux, newTag: 1.10.0}]"), []string{"image"}, []any{"git@h:org/a", "main", "p", "", 1}, ""},
		"suspended, given":            {with("branch=main", "branch=${b}") + applies("suspend: true, postBuild: {substitute: {b: next}}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"suspended or not, given":     {with("branch=main", "branch=${b}") + applies("suspend: '${s}', postBuild: {substitute: {b: next}}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"suspended, given, and fluxd": {with("branch=main", "branch=${b}") + applies("suspend: true, postBuild: {substitute: {b: next}}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, "apps"},

		// What a fluxd applies as well is known where both make the same of it.
		"both":                         {deployment + applies("prune: true"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, no variables":           {with("branch=main", "branch=${b}") + applies("prune: true"), nil, []any{"git@h:org/a", "${b}", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, given":                  {with("branch=main", "branch=${b}") + applies("postBuild: {substitute: {b: next}}"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, another tag":            {deployment + applies("images: [{name: fluxcd/flux, newTag: 1.10.0}]"), []string{"image"}, []any{"git@h:org/a", "main", "p", "", 1}, "apps"},
		"both, a label":                {deployment + applies("commonMetadata: {labels: {chart: flux-1.3.0}}"), []string{"chartVersion"}, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, replicas":               {deployment + applies("patches: [{patch: '- {op: replace, path: /spec/replicas, value: 2}', target: {kind: Deployment}}]"), []string{"replicas"}, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, an argument":            {deployment + applies("patches: [{patch: '- {op: replace, path: /spec/template/spec/containers/0/args/1, value: --git-branch="+markedSecret+"}', target: {name: fl.x}}]"), []string{"git.branch"}, []any{"git@h:org/a", "", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, one more":               {deployment + applies("patches: [{patch: '- {op: add, path: /spec/template/spec/containers/0/args/-, value: --sync-interval=9m}', target: {name: flux}}]"), []string{"git.url", "git.branch", "git.paths"}, []any{"", "", "", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, an account":             {deployment + applies("patches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: flux, namespace: shop}, spec: {template: {spec: {serviceAccountName: other}}}}'}]"), []string{"serviceAccount"}, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, what is no patch":       {deployment + applies("patches: [{patch: x, target: {kind: Deployment}}]"), []string{"git.url", "git.branch", "git.paths", "image", "replicas", "serviceAccount", "chartVersion", "requests"}, []any{"", "", "", "", 1}, "apps"},
		"both, components":             {deployment + applies("components: [../c]"), []string{"git.url", "git.branch", "git.paths", "image", "replicas", "serviceAccount", "chartVersion", "requests"}, []any{"", "", "", "", 1}, "apps"},
		"both, a sidecar":              {deployment + applies("patches: [{patch: '- {op: add, path: /spec/template/spec/containers/-, value: {name: side, image: busybox, resources: {requests: {cpu: 4}}}}', target: {name: flux}}]"), []string{"requests"}, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, at the beginning":       {deployment + applies("patches: [{patch: '- {op: add, path: /spec/template/spec/initContainers, value: [{name: side, image: busybox, restartPolicy: Always, resources: {requests: {cpu: 4}}}]}', target: {name: flux}}]"), []string{"requests"}, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"suspended, of a sidecar":      {with("      - name: flux\n", "      - {name: side, image: busybox, resources: {requests: {cpu: '${cpu}'}}}\n      - name: flux\n") + applies("suspend: true, postBuild: {substitute: {cpu: '4'}}"), []string{"requests"}, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a sidecar of a variable":      {with("      - name: flux\n", "      - {name: side, image: 'busybox:${tag}'}\n      - name: flux\n"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"one to begin of a variable":   {with("      containers:\n", "      initContainers: [{name: first, image: 'busybox:${tag}'}]\n      containers:\n"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"a variable, at the beginning": {with("      containers:\n", "      initContainers: [{name: first, image: busybox, resources: {requests: {cpu: '${cpu}'}}}]\n      containers:\n"), []string{"requests"}, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, ""},
		"both, to another":             {deployment + applies("targetNamespace: other, images: [{name: fluxcd/flux, newTag: 1.10.0}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, deleted":                {deployment + applies("patches: [{patch: '{$patch: delete, apiVersion: apps/v1, kind: Deployment, metadata: {name: flux}}', target: {kind: Deployment}}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, a time":                 {with("  template:\n    spec:", "  template:\n    metadata: {creationTimestamp: '2020-01-01T00:00:00Z'}\n    spec:") + applies("patches: [{patch: '- {op: replace, path: /spec/template/metadata/creationTimestamp, value: \"2021-01-01T00:00:00Z\"}', target: {kind: Deployment}}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, a size":                 {with("      containers:", "      volumes: [{name: a, emptyDir: {sizeLimit: 1Gi}}]\n      containers:") + applies("patches: [{patch: '- {op: replace, path: /spec/template/spec/volumes/0/emptyDir/sizeLimit, value: 2Gi}', target: {kind: Deployment}}]"), []string{"git.url", "git.branch", "git.paths", "image", "replicas", "serviceAccount", "chartVersion", "requests"}, []any{"", "", "", "", 1}, "apps"},
		"both, another name":           {deployment + applies("patches: [{patch: '- {op: replace, path: /metadata/name, value: second}', target: {kind: Deployment}}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, another kind":           {deployment + applies("patches: [{patch: '- {op: replace, path: /kind, value: StatefulSet}', target: {kind: Deployment}}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, patched to another":     {deployment + applies("patches: [{patch: '[{\"op\": \"replace\", \"path\": \"/metadata/namespace\", \"value\": \"other\"}, {\"op\": \"replace\", \"path\": \"/spec/replicas\", \"value\": 2}]', target: {kind: Deployment}}]"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
		"both, elsewhere":              {deployment + applies("kubeConfig: {secretRef: {name: other}}"), nil, []any{"git@h:org/a", "main", "p", "fluxcd/flux:1.25.4", 1}, "apps"},
	} {
		t.Run(name, func(t *testing.T) {
			inv := readTree(t, treeOf(c.text), func(o *CheckoutOptions) { o.Paths = []string{gocmp.Or(c.paths, "team")} })
			a := agentNamed(t, inv, "shop/flux")
			equal(t, "in Git", len(findingsOf(inv, AgentInGit)), len(c.paths)/len("apps"))
			var unknown []string
			for _, name := range []string{"git.url", "git.branch", "git.paths", "image", "replicas", "serviceAccount", "chartVersion", "requests"} {
				if slices.Contains(a.Unknown, name) {
					unknown = append(unknown, name)
				}
			}
			equal(t, "unknown", unknown, c.unknown)
			if name == "both, deleted" {
				noFinding(t, inv, AgentManaged)
			}
			if slices.Contains([]string{"both, another name", "both, another kind", "both, patched to another", "both, to another", "both, elsewhere"}, name) {
				noFinding(t, inv, AgentManaged)
				wantFinding(t, inv, AgentByObject, "Kustomization flux-system/apps of Flux v2 makes another one of it (spec.")
			}
			equal(t, "what is told", []any{a.Git.URL, a.Git.Branch, strings.Join(a.Git.Paths, ","), a.Image, int(a.Replicas)}, c.want)
			if text := asJSON(inv); strings.Contains(text, placeholder) || strings.Contains(text, markedSecret) || len(unknown) > 0 && unknown[0] != "image" && unknown[0] != "replicas" && unknown[0] != "requests" && !strings.Contains(text, maySubstitute) && !strings.Contains(text, "may make different things of it") && !strings.Contains(text, "may apply it, or something else") && !strings.Contains(text, "is suspended") {
				t.Errorf("what settles it is not told:\n%s", text)
			}
		})
	}
	for name, c := range map[string]struct{ text, says string }{
		"a flag that is one":     {with("value: 'http://p'", "value: '${GC}'") + applies("postBuild: {substitute: {GC: 'true'}}"), "runs fluxd, and cannot be read"},
		"a port":                 {built + with("        args:", "        ports: [{containerPort: '${PORT}'}]\n        args:"), "runs fluxd, and cannot be read"},
		"a list for a name":      {built + with("      containers:\n", "      containers:\n      - {name: [x], image: busybox}\n") + applies("suspend: true, commonMetadata: {labels: {a: b}}"), "runs fluxd, and cannot be read"},
		"a namespace, suspended": {deployment + applies("suspend: true, targetNamespace: other"), "Kustomization flux-system/apps, which applies it and is suspended, changes it to what is not known here (spec.targetNamespace)"},
		"a namespace of a name":  {deployment + applies("targetNamespace: '${ns}'"), "Kustomization flux-system/apps, which applies it, changes it to what is not known here (spec.targetNamespace)"},
		"two namespaces":         {deployment + applies("targetNamespace: other") + strings.Replace(applies("targetNamespace: third"), "-- a.yaml --", "---", 1), "put it into different namespaces"},
		"images over others":     {built + "images: [{name: fluxcd/flux, newTag: 1.9.0}]\n" + deployment + applies("images: [{name: fluxcd/flux, newTag: 1.10.0}]"), "(spec.images)"},
		"images that are none":   {deployment + applies("images: [1]"), "(spec.images)"},
		"a patch of a namespace": {deployment + applies("patches: [{patch: x, target: {namespace: 'sh.*', annotationSelector: '!a'}}]"), "(spec.patches)"},
		"a patch of labels":      {with("name: flux, namespace", "labels: {app: flux}, name: flux, namespace") + applies("patches: [{patch: x, target: {labelSelector: 'app in (flux)'}}]"), "(spec.patches)"},
		"a patch by a variable":  {deployment + applies("patches: [{patch: x, target: {name: '${n}'}}]"), "(spec.patches)"},
		"what is no selector":    {deployment + applies("patches: [{patch: x, target: {name: '('}}]"), "(spec.patches)"},
		"what are no patches":    {deployment + applies("patches: {a: b}"), "(spec.patches)"},
		"a patch of before v1":   {deployment + applies("patchesJson6902: [{patch: [{op: remove, path: /spec}], target: {kind: Deployment}}]"), "(spec.patches)"},
		"a patch by its names":   {deployment + applies("patchesStrategicMerge: [{apiVersion: apps/v1, kind: Deployment, metadata: {name: flux, namespace: shop}}]"), "(spec.patches)"},
		"another cluster":        {deployment + applies("kubeConfig: {secretRef: {name: other}}"), "(spec.kubeConfig)"},
		"a prefix":               {deployment + applies("namePrefix: a-, nameSuffix: -b"), "(spec.namePrefix, spec.nameSuffix)"},
		"a patch":                {deployment + applies("patches: [{patch: x, target: {kind: Deployment}}]"), "(spec.patches)"},
		"components":             {deployment + applies("components: [../c]"), "(spec.components)"},
		"a label":                {deployment + applies("commonMetadata: {labels: {chart: flux-1.3.0}}"), "(spec.commonMetadata)"},
		"a variable name":        {with("name: flux,", "name: 'flux-${x}',"), "runs fluxd, under a name, or in a namespace, that is not known: kustomize-controller may substitute it"},
		"another namespace":      {with("namespace: shop", "namespace: '${ns}'"), "under a name, or in a namespace, that is not known"},
	} {
		inv := readTree(t, treeOf(c.text), func(o *CheckoutOptions) { o.Paths = []string{"team"} })
		if got := findingsOf(inv, AgentByObject); len(inv.Agents) != 1 || len(got) != 1 || !strings.Contains(got[0], c.says) {
			t.Errorf("%s: %d agents, %q", name, len(inv.Agents), got)
		}
	}
	// What a fluxd and Flux v2 make differently of a pod is told as what each of them makes, and that they do.
	recv := with("      - name: flux\n", "      - {name: recv, image: fluxcd/flux-recv, args: [a]}\n      - name: flux\n")
	for patch, c := range map[string]struct {
		text, setting string
		code          *flux1.Code
		says          string
	}{
		"- {op: add, path: /spec/template/spec/hostAliases, value: [{ip: 10.0.0.1, hostnames: [h]}]}":                                    {deployment, "pod.hostAliases ***", nil, ""},
		"- {op: add, path: /spec/template/spec/dnsPolicy, value: None}":                                                                  {deployment, "pod.dnsPolicy ***", nil, ""},
		"- {op: add, path: /spec/template/spec/hostNetwork, value: true}":                                                                {deployment, "pod.hostNetwork true", nil, ""},
		"- {op: replace, path: /spec/template/spec/hostNetwork, value: true}":                                                            {with("      containers:", "      hostNetwork: false\n      containers:"), "pod.hostNetwork true", nil, ""},
		"- {op: remove, path: /spec/template/spec/hostNetwork}":                                                                          {with("      containers:", "      hostNetwork: true\n      containers:"), "pod.hostNetwork true", nil, ""},
		"- {op: add, path: /spec/template/spec/initContainers, value: [{name: prep, image: busybox}]}":                                   {deployment, "initContainer.prep busybox", nil, ""},
		"- {op: replace, path: /spec/template/spec/containers/0/name, value: fluxd}":                                                     {deployment, "", nil, ""},
		"- {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: A, value: b}}":                                          {deployment, "env.A ***", nil, ""},
		"- {op: add, path: /spec/template/spec/containers/0/env/0, value: {name: A, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}}": {deployment, "env.HTTPS_PROXY ***", nil, ""},
		"- {op: replace, path: /spec/template/spec/containers/0/env, value: [{name: A}]}":                                                {deployment, "env.A ***", nil, ""},
		"- {op: remove, path: /spec/template/spec/containers/0/env}":                                                                     {deployment, "env.HTTPS_PROXY ***", nil, ""},
		"- {op: remove, path: /spec/template/spec/containers/0/env/0}":                                                                   {strings.Replace(deployment, "env: [", "env: [{name: A, value: b}, ", 1), "env.A ***", nil, ""},
		"- {op: add, path: /spec/template/spec/containers/0/workingDir, value: /tmp}":                                                    {deployment, "container.workingDir ***", nil, ""},
		"- {op: add, path: /spec/template/metadata, value: {annotations: {iam.amazonaws.com/role: admin}}}":                              {deployment, "", &CloudIdentity, "have a role in a cloud (iam.amazonaws.com/role: not known)"},
		"- {op: add, path: /spec/template/spec/containers/-, value: {name: recv, image: fluxcd/flux-recv}}":                              {deployment, "container.recv fluxcd/flux-recv", &flux1.Notifications, "container recv (flux-recv) runs beside fluxd"},
		"- {op: remove, path: /spec/template/spec/containers/0}":                                                                         {recv, "container.recv fluxcd/flux-recv", &flux1.Notifications, "container recv (flux-recv) runs beside fluxd"},
		"- {op: add, path: /spec/template/spec/terminationGracePeriodSeconds, value: 5}":                                                 {deployment, "", nil, ""},
		"- {op: add, path: /spec/template/spec/resources, value: {requests: {cpu: 4}}}":                                                  {deployment, "", nil, ""},
	} {
		inv := readTree(t, treeOf(c.text+applies("patches: [{target: {kind: Deployment}, patch: '"+patch+"'}]")), func(o *CheckoutOptions) { o.Paths = []string{"apps"} })
		wantFinding(t, inv, AgentManaged, "which a fluxd applies as well, and they may make different things of it")
		a := agentNamed(t, inv, "shop/flux")
		noFinding(t, inv, SeveralFluxds)
		if is := func(s migrate.Setting) bool { return s.Name+" "+s.Value == c.setting }; c.setting != "" && !slices.ContainsFunc(a.Settings, is) {
			t.Errorf("%s: no setting %s in %v", patch, c.setting, a.Settings)
		}
		if c.code != nil {
			wantFinding(t, inv, *c.code, c.says)
		}
		equal(t, patch+": what is told", []any{a.Git.URL, a.Git.Branch, a.Image, slices.Contains(a.Unknown, "requests")}, []any{"git@h:org/a", "main", "fluxcd/flux:1.25.4", strings.Contains(patch, "containers/-") || strings.Contains(patch, "containers/0}") || strings.Contains(patch, "/name") || strings.Contains(patch, "initContainers") || strings.Contains(patch, "cpu")})
		if strings.Contains(asJSON(inv), placeholder) {
			t.Errorf("%s: %s", patch, asJSON(inv))
		}
	}
	for _, spec := range []string{"prune: true", "images: [{name: other, newTag: x}]", "commonMetadata: {annotations: {a: b}}"} { // which changes nothing
		for _, f := range findingsOf(readTree(t, treeOf(deployment+applies(spec)), func(o *CheckoutOptions) { o.Paths = []string{"apps"} }), AgentManaged) {
			if strings.Contains(f, "different things") {
				t.Errorf("%s: %s", spec, f)
			}
		}
	}
	// What is suspended is said, and of what is put into another namespace not what binds it there.
	team := func(o *CheckoutOptions) { o.Paths = []string{"team"} }
	wantFinding(t, readTree(t, treeOf(deployment+applies("suspend: true")), team), AgentByObject, "Kustomization flux-system/apps of Flux v2, which applies it, is suspended: what is told of agent shop/flux")
	wantFinding(t, readTree(t, treeOf(deployment+applies("prune: true")), team), AgentManaged, "Flux v2, by Kustomization flux-system/apps, keeps the Deployment of shop/flux")
	noFinding(t, readTree(t, treeOf(deployment+applies("suspend: true")), team), AgentManaged)
	// What is made once is not kept, and is told once however many may have made it.
	for _, paths := range []string{"team", "apps"} {
		var all strings.Builder
		for i := range 20 {
			all.WriteString(strings.Replace(strings.Replace(applies("images: [{name: fluxcd/flux, newTag: 1.10.0}]"), "name: apps,", fmt.Sprintf("name: k%d,", i), 1), "a.yaml", fmt.Sprintf("a%d.yaml", i), 1))
		}
		inv := readTree(t, treeOf(with("name: flux, namespace", "labels: {kustomize.toolkit.fluxcd.io/ssa: IfNotPresent}, name: flux, namespace")+all.String()), func(o *CheckoutOptions) { o.Paths = []string{paths} })
		noFinding(t, inv, AgentManaged)
		equal(t, "image", agentNamed(t, inv, "shop/flux").Image, "")
		equal(t, "told", len(findingsOf(inv, AgentByObject)), 1)
		wantFinding(t, inv, AgentByObject, "Kustomization flux-system/k0 of Flux v2 may have made it, and changes it no more (kustomize.toolkit.fluxcd.io/ssa: IfNotPresent); ", "; and 17 more: what is told of agent shop/flux is what it says")
	}
	for mark, n := range map[string]int{"annotations: {kustomize.toolkit.fluxcd.io/reconcile: Disabled}": 0, "labels: {kustomize.toolkit.fluxcd.io/ssa: Ignore}": 0, "annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}": 1} {
		marked := with("name: flux, namespace", mark+", name: flux, namespace")
		inv := readTree(t, treeOf(marked+applies("images: [{name: fluxcd/flux, newTag: 1.10.0}]")), team)
		equal(t, mark, len(findingsOf(inv, AgentManaged)), n)
		equal(t, mark, agentNamed(t, inv, "shop/flux").Image, []string{"fluxcd/flux:1.25.4", "fluxcd/flux:1.10.0"}[n])
		// Unless it takes the mark away.
		for _, spec := range []string{"commonMetadata: {annotations: {kustomize.toolkit.fluxcd.io/reconcile: enabled}}", "prune: true"} {
			inv := readTree(t, treeOf(marked+applies(spec)), team)
			equal(t, mark+" "+spec, len(findingsOf(inv, AgentManaged)), max(n, strings.Count(spec, "commonMetadata")))
		}
		wantFinding(t, readTree(t, treeOf(marked+applies("patches: [{patch: x, target: {kind: Deployment}}]")), team), AgentByObject, "(spec.patches)")
	}
	const binding = "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\nsubjects: [{kind: ServiceAccount, name: flux, namespace: other}]\n"
	inv := readTree(t, treeOf(deployment+binding+applies("targetNamespace: other")), team)
	wantFinding(t, inv, RightsUnknown, "Kustomization flux-system/apps puts what it applies into namespace other")
	equal(t, "rights", agentNamed(t, inv, "other/flux").Confinement.Kind, "")
	// Nor are its rights told as roles and bindings are written which that changes.
	const admin = "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\nrules: [{apiGroups: [''], resources: [configmaps], verbs: ['*']}]\n" +
		"---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: r}\nsubjects: [{kind: ServiceAccount, name: flux, namespace: shop}]\n"
	for name, c := range map[string]struct{ old, now, spec, says string }{
		"a label":              {"", "", "commonMetadata: {labels: {a: b}}, targetNamespace: shop", ""},
		"a patch of the role":  {"", "", "patches: [{patch: '- {op: replace, path: /rules/0/resources, value: [\"*\"]}', target: {kind: ClusterRole}}]", "ClusterRole r, which ClusterRoleBinding b gives it, is not known as it is written (Kustomization flux-system/apps, which applies it, changes it to what is not known here (spec.patches))"},
		"a patch of another":   {"", "", "patches: [{patch: x, target: {kind: ClusterRole, name: other}}]", ""},
		"a patch of a binding": {"", "", "patches: [{patch: x, target: {kind: ClusterRoleBinding}}]", "ClusterRoleBinding b in apps/flux.yaml"},
		"suspended":            {"", "", "suspend: true, patches: [{patch: x, target: {kind: ClusterRole}}]", "which applies it and is suspended, changes it"},
		"a rule":               {"resources: [configmaps]", "resources: ['${r}']", "postBuild: {substitute: {r: '\"*\"'}}", "ClusterRole r, which ClusterRoleBinding b gives it, is not known as it is written (it holds a variable, and kustomize-controller may substitute it)"},
		"a rule, left so":      {"resources: [configmaps]", "resources: ['${r}']", "prune: true", ""},
		"a rule, of nobody":    {"resources: [configmaps]", "resources: ['${r}']", "path: ./web", "it holds a variable"},
		"whom it binds":        {"subjects: [{kind: ServiceAccount, name: flux,", "subjects: [{kind: ServiceAccount, name: '${who}',", "postBuild: {substitute: {who: flux}}", "ClusterRoleBinding b in apps/flux.yaml"},
		"a subject put there":  {"namespace: shop}]", "namespace: old}]", "targetNamespace: shop", "(spec.targetNamespace)"},
	} {
		text := deployment + strings.Replace(admin, c.old, c.now, 1) + strings.Replace(applies(c.spec), "path: ./apps, sourceRef: {kind: GitRepository, name: it}, path: ./web", "path: ./web", 1)
		for _, paths := range []string{"team", "apps"} {
			inv := readTree(t, treeOf(text), func(o *CheckoutOptions) { o.Paths = []string{paths} })
			kind := agentNamed(t, inv, "shop/flux").Confinement.Kind
			got := strings.Join(findingsOf(inv, RightsUnknown), "\n")
			if (kind == "") != (c.says != "") || !strings.Contains(got, c.says) || c.says == "" && got != "" {
				t.Errorf("%s, beside %s: %q, %s", name, paths, kind, got)
			}
		}
	}
	wantFinding(t, readTree(t, treeOf(deployment+applies("images: [{name: fluxcd/flux, newTag: x}]")), nil), AgentManaged, "it is taken to read all of the repository (--git-path)")
	// Of two overlays of one name the fluxd applies one, and Flux v2 the other.
	inv = readTree(t, treeOf("-- base/kustomization.yaml --\nresources: [flux.yaml]\n"+strings.Replace(deployment, "-- apps/", "-- base/", 1)+"-- prod/kustomization.yaml --\nresources: [../base]\n-- prod/.flux.yaml --\nversion: 1\ncommandUpdated: {generators: [{command: kustomize build .}]}\n"+
		"-- dev/kustomization.yaml --\nresources: [../base]\npatches: [{patch: '- {op: replace, path: /spec/replicas, value: 2}', target: {kind: Deployment}}]\n"+strings.Replace(applies("images: [{name: fluxcd/flux, newTag: 1.10.0}]"), "./apps", "./dev", 1)), func(o *CheckoutOptions) { o.Paths = []string{"prod"} })
	var images []string
	for _, a := range inv.Agents {
		images = append(images, a.Image)
	}
	slices.Sort(images)
	equal(t, "images", images, []string{"", "fluxcd/flux:1.10.0", "fluxcd/flux:1.25.4"})
	// So it is of a HelmRelease.
	const release = "-- apps/hr.yaml --\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: flux, namespace: shop}\nspec:\n  chart: {spec: {chart: flux, version: 1.13.3, sourceRef: {kind: HelmRepository, name: fluxcd}}}\n" +
		"  values: {git: {url: 'git@h:org/a', branch: '${b}'}}\n---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: fluxcd, namespace: shop}\nspec: {url: 'https://charts.fluxcd.io'}\n"
	for spec, branch := range map[string]string{"suspend: true": "${b}", "postBuild: {substitute: {b: next}}": ""} {
		inv := readTree(t, treeOf(release+applies(spec)), team)
		equal(t, spec, agentNamed(t, inv, "shop/flux").Git.Branch, branch)
		equal(t, spec, len(findingsOf(inv, AgentByObject)), strings.Count(spec, "suspend"))
	}
	// The YAML that comes of it is read once more.
	for text, want := range map[string]any{"${n}": int64(2), "${yes}": true, "a-${n}": "a-2", "${half}": placeholder, "x${none}y": "x" + placeholder + "y", "${none:=d}": "d"} {
		v := postBuild{values: map[string]string{"n": "2", "yes": "true", "half": "1.5"}, whole: true}
		equal(t, text, v.fill(text), want)
	}
}

// Who applies an object is found out once for it: a repository may hold hundreds of Kustomizations, each
// of which the next may change.
func TestWhoAppliesAnObjectIsFoundOutOnce(t *testing.T) {
	const source = "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: %s, namespace: flux-system}\nspec: {url: 'https://git.example.com/%s'}\n"
	var text strings.Builder
	for i, url := range []string{"team", "other", "team", "other"} {
		fmt.Fprintf(&text, "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: k%d, namespace: flux-system}\nspec: {path: ./apps, sourceRef: {kind: GitRepository, name: s%d}}\n"+source, i, i, fmt.Sprintf("s%d", i), url)
	}
	fmt.Fprintf(&text, source, "s3", "team") // of which it is not known which there is
	var all []flux1.Parsed
	for i, document := range strings.Split(text.String(), "---\n")[1:] {
		u := &unstructured.Unstructured{}
		if err := sigsyaml.Unmarshal([]byte(document), &u.Object); err != nil {
			t.Fatal(err)
		}
		all = append(all, flux1.Parsed{File: "clusters/all.yaml", Line: i + 1, Manifest: u})
	}
	for _, url := range []string{"https://git.example.com/team", "git@git.example.com:team.git", "git@git-work:team", "ssh://git@git.example.com:2222/team", "git@git.example.com:fork/team.git", "/srv/mirrors/team.git"} {
		given, cloned := &checkout{reading: &reading{agent: &agent{}, index: &index{}}}, &checkout{reading: &reading{agent: &agent{}, index: &index{}}, folder: &checkoutTree{remotes: []string{url}}}
		given.agent.Git.URL = url
		it := SameRepository(url, "https://git.example.com/team")
		var doubts []string
		for _, k := range cloned.appliedBy(declaration{}.withBeside(all), flux1.Parsed{File: "apps/flux.yaml", Manifest: &unstructured.Unstructured{}}) {
			doubts = append(doubts, k.doubt.why)
		}
		const noTree = "what its source leaves out is not known"
		team := noRemote // as a remote alone may be written otherwise
		if it {
			team = noTree
		}
		equal(t, url, doubts, []string{team, noRemote, team, noTree})
		if !it {
			continue
		}
		c := given
		set := declaration{}.withBeside(append(all, all[0]))
		o := flux1.Parsed{File: "apps/flux.yaml", Manifest: &unstructured.Unstructured{}}
		var names []string
		for _, k := range c.appliedBy(set, o) {
			names = append(names, k.Manifest.GetName())
		}
		equal(t, "who applies it", names, []string{"k0", "k2", "k3"})
		equal(t, "who applies another", len(c.appliedBy(set, flux1.Parsed{File: "web/flux.yaml", Manifest: &unstructured.Unstructured{}})), 0)
		if n := testing.AllocsPerRun(10, func() { c.appliedBy(set, o); c.variablesOf(set, all[0]) }); n != 0 {
			t.Errorf("it is found out again, in %v allocations", n)
		}
	}
}
