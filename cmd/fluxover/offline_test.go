package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/crds"
	"github.com/fluxover/fluxover/migrate"
)

// runOffline runs a command with no cluster to be found.
func runOffline(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// teamRepository is a clone of a team's repository as an agent with sync tag
// left it.
func teamRepository(t *testing.T, more map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"apps/web/web.yaml":       "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web:1}]}\n",
		"apps/web/secret.yaml":    "apiVersion: v1\nkind: Secret\nmetadata: {name: web, namespace: shop}\nstringData: {password: MARKED-SECRET}\n",
		"apps/shop/namespace.yml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
	}
	maps.Copy(files, more)
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main", "."}, {"add", "."}, {"commit", "-q", "-m", "one"}, {"tag", "-a", "-m", "Sync pointer", "flux-sync"}} {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	return dir
}

// shopWitness are the flags by which an agent is described without a cluster.
func shopWitness(t *testing.T) []string {
	t.Helper()
	return shopWith(t, nil)
}

// shopWith is shopWitness with more files in the repository.
func shopWith(t *testing.T, more map[string]string) []string {
	t.Helper()
	values := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(values, []byte("git: {url: 'git@git.example.com:shop/shop', branch: main, path: apps}\nssh: {known_hosts: 'git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--no-cluster", "--values", "flux/shop=" + values, "--checkout", "git@git.example.com:shop/shop=" + teamRepository(t, more)}
}

func TestAPlanIsMadeWithoutAClusterAndTheSameFromTheSavedFile(t *testing.T) {
	dir, witness := t.TempDir(), shopWitness(t)
	saved, planFile := filepath.Join(dir, "inventory.json"), filepath.Join(dir, "plan.json")
	if code, _, errs := runOffline(t, append([]string{"discover", "--save", saved}, witness...)...); code != exitDone {
		t.Fatalf("discover: exit code %d: %s", code, errs)
	}
	code, direct, errs := runOffline(t, append([]string{"plan", "-o", "json", "--out", planFile}, witness...)...)
	codeSaved, fromFile, errsSaved := runOffline(t, "plan", "-o", "json", "--inventory", saved)
	if code != codeSaved || direct != fromFile {
		t.Errorf("exit codes %d and %d; the plans differ:\n%s\n%s\n%s\n%s", code, codeSaved, direct, fromFile, errs, errsSaved)
	}
	var plan migrate.Plan
	if err := json.Unmarshal([]byte(direct), &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Proof != "offline" || len(plan.Repositories) != 1 || len(plan.Repositories[0].Objects) != 3 || len(plan.Repositories[0].Kustomizations) != 2 || len(plan.Repositories[0].Commit) != 40 {
		t.Errorf("the plan: %s", direct)
	}
	for _, f := range plan.Findings {
		if f.Code == "RENDERING_DIFFERS" || f.Code == "OBJECT_LOST" || f.Code == "BUILD_FAILED" {
			t.Errorf("%s", f)
		}
	}
	// What the renderers write out differently counts as a difference.
	code, text, errs := runOffline(t, "diff", "--inventory", saved, "--all")
	if code == exitBlocked || code == exitFailed || !strings.Contains(errs, "no cluster was asked") || !strings.Contains(text, "Secret/shop/web") {
		t.Errorf("diff: exit code %d:\n%s\n%s", code, text, errs)
	}
	if code, _, errs := runOffline(t, "migrate", planFile, "--image", "x", "--yes"); code != exitUsage || !strings.Contains(errs, "proved offline") {
		t.Errorf("migrate took a plan that no cluster proved: exit code %d: %s", code, errs)
	}
	content, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	if all := direct + fromFile + text + errs + errsSaved + string(content); strings.Contains(all, "MARKED-SECRET") {
		t.Error("a secret is told")
	}
}

// oddSecret is written differently in nearly every form of text.
const oddSecret = `MARKED "&<é>/+ $ECRET`

// Every form of output is searched for every form of a secret: of Git's
// password, of a Secret in Git and of an encoded one.
func TestNoFormOfOutputHoldsAnyFormOfASecret(t *testing.T) {
	dir := t.TempDir()
	values := filepath.Join(dir, "values.yaml")
	content := "git: {url: 'https://bot:" + url.QueryEscape(oddSecret) + "@git.example.com/shop', branch: main, path: apps, label: $(TOKEN), user: a $(ALIAS)}\nextraEnvs: [{name: TOKEN, value: '" + oddSecret + "'}, {name: ALIAS, value: $(TOKEN)}]\n"
	if err := os.WriteFile(values, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(oddSecret)
	if err != nil {
		t.Fatal(err)
	}
	clone := teamRepository(t, map[string]string{
		"apps/agents/other.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: other, namespace: flux}\nspec: {template: {spec: {containers: [{name: flux, image: \"docker.io/fluxcd/flux:1.25.4\",\n" +
			"  env: [{name: API_TOKEN, value: " + string(quoted) + "}, {name: ALIAS, value: a $(API_TOKEN)}],\n" +
			"  args: [\"--git-url=git@git.example.com:shop/other\", --git-branch=main, --git-label=$(API_TOKEN), \"--git-user=$(ALIAS)\", \"--connect=$(API_TOKEN)\"]}]}}}\n",
		"apps/web/odd.yaml":  "apiVersion: v1\nkind: Secret\nmetadata: {name: odd, namespace: shop}\nstringData: {password: " + string(quoted) + "}\ndata: {encoded: " + base64.StdEncoding.EncodeToString([]byte(oddSecret)) + "}\n",
		"apps/web/same.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: same}\ndata: {encoded: " + base64.StdEncoding.EncodeToString([]byte(oddSecret)) + ", other: null}\n",
	})
	// What runs beside an agent of Terraform's may bind its account, and is named for it.
	config := t.TempDir()
	declared := "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"shared\"\n chart = \"flux\"\n version = \"1.13.3\"\n values = [\"{git: {url: 'git@git.example.com:shop/shared'}, clusterRole: {create: false}}\"]\n}\n"
	for i, command := range []string{"terraform -var=password=MARKED-SECRET apply", "terragrunt --terragrunt-source=git::https://u:MARKED-SECRET@git.example.com/x apply", "/opt/MARKED-SECRET/kubectl --token=MARKED-SECRET apply -f x"} {
		declared += fmt.Sprintf("resource \"null_resource\" \"s%d\" {\n provisioner \"local-exec\" {\n command = %q\n }\n}\n", i, command)
	}
	if err := os.WriteFile(filepath.Join(config, "main.tf"), []byte(declared), 0o600); err != nil {
		t.Fatal(err)
	}
	witness := []string{"--no-cluster", "--values", "flux/shop=" + values, "--checkout", "https://git.example.com/shop=" + clone, "--terraform", config}
	emitted, saved, file := filepath.Join(dir, "emitted"), filepath.Join(dir, "inventory.json"), filepath.Join(dir, "plan.json")
	commands := [][]string{
		{"discover", "--save", saved}, {"plan", "--out", file, "--emit", emitted, "--capacitor", "https://git.example.com/capacitor", "--capacitor-cluster", "prod"},
		{"plan", "--explain", "flux/shop"}, {"plan", "--explain", "flux/other"}, {"plan", "--explain", "--git-label"}, {"plan", "--explain", "git.user"}, {"plan", "--explain", "Secret/shop/odd"}, {"plan", "--explain", "--git-url"}, {"plan", "--explain", "extraEnvs", "-o", "json"},
		{"plan", "--explain", "clusters/prod/shop/source.yaml:5", "--capacitor-cluster", "prod"}, {"plan", "--explain", "git.url"},
		{"diff", "--object", "Secret/shop/odd"}, {"diff", "--object", "Secret/shop/odd", "-o", "html"},
	}
	for _, output := range []string{"text", "json", "yaml", "markdown", "html"} {
		commands = append(commands, []string{"plan", "-o", output}, []string{"diff", "--all", "-o", output})
		if output != "markdown" && output != "html" {
			commands = append(commands, []string{"discover", "-o", output})
		}
	}
	said := map[string]string{}
	for _, command := range commands {
		code, out, errs := runOffline(t, append(slices.Clone(command), witness...)...)
		if code == exitFailed || code == exitUsage && !slices.Contains(command, "--explain") {
			t.Errorf("%q: exit code %d: %s", command, code, errs)
		}
		said[strings.Join(command, " ")] = out + errs
	}
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == values {
			return err
		}
		content, err := os.ReadFile(name)
		said[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	compared, inGit, scripts := false, false, false
	for where, text := range said {
		compared, inGit = compared || strings.Contains(text, "Secret/shop/odd"), inGit || strings.Contains(text, "$(API_TOKEN)")
		scripts = scripts || strings.Contains(text, "null_resource.s0") && strings.Contains(text, "null_resource.s2")
		found := append(auditor.Shown(text, oddSecret), auditor.Shown(text, "MARKED-SECRET")...)
		if found = append(found, auditor.Shown(strings.ToLower(text), "marked-secret")...); len(found) > 0 {
			t.Errorf("%s holds a secret %s", where, strings.Join(found, ", "))
		}
	}
	if !compared || !inGit || !scripts || len(said) < len(commands)+5 {
		t.Errorf("only %d outputs were searched, and the Secret is named: %t, an agent in Git: %t, the scripts: %t", len(said), compared, inGit, scripts)
	}
}

func TestWhatIsEmittedIsExplainedWithWhatPeopleDecided(t *testing.T) {
	dir, witness := t.TempDir(), shopWitness(t)
	settings := "apiVersion: fluxover.dev/v1\nkind: Capacitor\nsource: {interval: 30s}\ndefaults:\n  kustomization: {interval: 9m}\n"
	if err := os.WriteFile(filepath.Join(dir, "capacitor.yaml"), []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	explain := func(subject string, more ...string) string {
		t.Helper()
		code, out, errs := runOffline(t, append(append([]string{"plan", "--explain", subject, "--capacitor-cluster", "prod"}, more...), witness...)...)
		if code != exitDone {
			t.Errorf("%s: exit code %d: %s", subject, code, errs)
		}
		return strings.Join(strings.Fields(out), " ")
	}
	emit := []string{"--emit", dir, "--capacitor", "https://git.example.com/capacitor"}
	for subject, want := range map[string]string{
		"Kustomization/flux-system/shop-web .spec.interval":             "= 9m0s from capacitor.yaml:5 defaults.kustomization.interval to clusters/prod/shop/shop-web.yaml",
		"GitRepository/flux-system/flux-capacitor .spec.interval":       "= 30s from capacitor.yaml:3 source.interval to clusters/prod/agent/source.yaml",
		"GitRepository/flux-system/flux-capacitor .spec.url":            "= https://git.example.com/capacitor from --capacitor of plan and migrate",
		"clusters/prod/agent/rbac.yaml":                                 "Role/flux-system/flux-capacitor",
		"ClusterRole/flux-capacitor-shop .metadata.annotations":         "the repository that it is for",
		"flux/shop Kustomization/flux-system/flux-capacitor-shop .spec": "--capacitor-cluster",
	} {
		if got := explain(subject, emit...); !strings.Contains(got, want) {
			t.Errorf("%s: want %q in %s", subject, want, got)
		}
		for path, content := range map[string]string{"clusters/prod/shop/shop-web.yaml": "interval: 9m0s", "clusters/prod/agent/source.yaml": "interval: 30s"} {
			written, err := os.ReadFile(filepath.Join(dir, path))
			if err != nil || !strings.Contains(string(written), content) {
				t.Errorf("%s does not hold what was explained, %s: %v\n%s", path, content, err, written)
			}
		}
	}
	if crds.Read(t, filepath.Join(moduleRoot, "reconcile/chart/crds")).Check(t, os.DirFS(dir)) < 4 {
		t.Error("hardly anything was emitted")
	}
	// Without --emit nothing is decided, and nothing has an address.
	if got := explain("GitRepository/flux-system/flux-capacitor .spec.url"); !strings.Contains(got, "= what --capacitor says") {
		t.Errorf("without a URL: %s", got)
	}
	if code, _, errs := runOffline(t, append([]string{"plan", "--explain", "clusters/prod/no-such-file.yaml"}, witness...)...); code != exitUsage || !strings.Contains(strings.Join(strings.Fields(errs), " "), "no setting of Flux v1, object, field, file") {
		t.Errorf("a file that there is not: exit code %d: %s", code, errs)
	}
}

func TestALineOfCapacitorYAMLIsShownAsTheSweepThatItIs(t *testing.T) {
	dir, witness := t.TempDir(), shopWitness(t)
	emits := func() (code int, said string) {
		t.Helper()
		code, _, errs := runOffline(t, append([]string{"plan", "--emit", dir, "--capacitor", "https://git.example.com/capacitor", "--capacitor-cluster", "prod"}, witness...)...)
		return code, strings.Join(strings.Fields(errs), " ")
	}
	before, _ := emits()
	file := filepath.Join(dir, "capacitor.yaml")
	settings, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decide := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, append(slices.Clone(settings), text...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	decide("defaults: {kustomization: {interval: 9m}}\n")
	code, said := emits()
	if want := "Kustomization .spec.interval: 5m0s -> 9m0s 2 files: clusters/prod/shop/shop-shop.yaml, clusters/prod/shop/shop-web.yaml"; code != before || !strings.Contains(said, want) {
		t.Errorf("exit code %d, before %d; want %q in %s", code, before, want, said)
	}
	if _, said := emits(); strings.Contains(said, "->") {
		t.Errorf("once more, something changes: %s", said)
	}
	decide("defaults: {kustomization: {intervall: 9m}}\n")
	slip := fmt.Sprintf("capacitor.yaml of the flux-capacitor: line %d: there is no setting \"intervall\" here", len(strings.Split(string(settings), "\n")))
	if code, said := emits(); code != exitFailed || !strings.Contains(said, slip) {
		t.Errorf("exit code %d; want %q in %s", code, slip, said)
	}
}

// The repository alone tells no interval, and no file is one with a guess in it.
func TestWhatIsNotKnownIsNotEmittedAndSaid(t *testing.T) {
	dir, clone := t.TempDir(), teamRepository(t, nil)
	kept := filepath.Join(dir, "clusters", "prod", "shop", "source.yaml")
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		t.Fatal(err)
	}
	const content = "# Written by fluxover for checkout/shop. Edits are lost when it is written again.\nkind: GitRepository\n"
	if err := os.WriteFile(kept, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runOffline(t, "plan", "--no-cluster", "--checkout", "git@git.example.com:shop/shop="+clone, "--git-branch", "main", "--git-path", "apps",
		"--emit", dir, "--capacitor", "https://git.example.com/capacitor", "--capacitor-cluster", "prod")
	said := strings.Join(strings.Fields(errs), " ")
	if code != exitBlocked || !strings.Contains(said, "nothing was written for checkout/shop, and files of it were left as they are: FACTS_UNKNOWN: what the plan needs is not known: git.pollInterval") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if now, err := os.ReadFile(kept); err != nil || string(now) != content {
		t.Errorf("the file is now %q (%v)", now, err)
	}
	if found, err := filepath.Glob(filepath.Join(dir, "clusters/prod/shop/*")); err != nil || len(found) != 1 {
		t.Errorf("%q (%v)", found, err)
	}
}

func TestADifferenceThatCouldNotBeSeenIsNotNone(t *testing.T) {
	witness := shopWith(t, map[string]string{"apps/bad/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-, namespace: shop}\n", "apps/bad/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: shop}\n"})
	code, out, errs := runOffline(t, append([]string{"diff"}, witness...)...)
	if code != exitBlocked || !strings.Contains(strings.Join(strings.Fields(errs), " "), "not all of these could be compared, so this is less than the whole difference: flux/shop (2 of 5 objects)") || !strings.Contains(out, "ConfigMap/shop/b") || !strings.Contains(out, "not proven: Kustomization shop-bad could not be built") {
		t.Errorf("exit code %d:\n%s\n%s", code, out, errs)
	}
	// What was asked for is compared.
	if code, out, errs := runOffline(t, append([]string{"diff", "--application", "shop-shop"}, witness...)...); code != exitDone {
		t.Errorf("of another application: exit code %d:\n%s\n%s", code, out, errs)
	}
	if code, out, errs := runOffline(t, append([]string{"diff", "--object", "ConfigMap/shop/b"}, witness...)...); code != exitBlocked {
		t.Errorf("of the object: exit code %d:\n%s\n%s", code, out, errs)
	}
}

// What fluxd generates is not known, nor what the new agent builds of it: neither is an object.
func TestWhatNobodyCanRenderIsNoEmptyDifference(t *testing.T) {
	clone := teamRepository(t, map[string]string{
		".flux.yaml":         "version: 1\ncommandUpdated:\n  generators: [{command: kustomize build .}]\n",
		"kustomization.yaml": "resources: [not-there.yaml]\n",
	})
	witness := []string{"--no-cluster", "--checkout", "git@git.example.com:shop/shop=" + clone, "--git-branch", "main", "--default-namespace", "shop", "--manifest-generation"}
	out := offlineWords(t, exitBlocked, append([]string{"diff"}, witness...)...)
	for _, want := range []string{"no object was there to be compared; what else there is to compare is not known: checkout/shop", "checkout/shop .flux.yaml (GENERATION_NOT_TOLD)", "(BUILD_FAILED)", "less than the whole difference"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	for _, format := range []string{"json", "markdown", "html"} {
		if out := offlineWords(t, exitBlocked, append([]string{"diff", "-o", format}, witness...)...); !strings.Contains(out, "GENERATION_NOT_TOLD") {
			t.Errorf("%s does not say what is not known: %s", format, out)
		}
	}
}

// fluxd stands still at a file that is no YAML, and the new agent's source leaves it out.
func TestAFileThatNobodyReadsIsNoEmptyDifference(t *testing.T) {
	witness := shopWith(t, map[string]string{"apps/web/bad.yaml": "a: [\n"})
	if out := offlineWords(t, exitBlocked, append([]string{"diff"}, witness...)...); !strings.Contains(out, "apps/web/bad.yaml") || !strings.Contains(out, "(FLUX1_STUCK)") {
		t.Errorf("it is %s", out)
	}
}

// What fluxd generates for a path may be of any application.
func TestWhatIsGeneratedMayBeOfTheApplicationThatIsAskedFor(t *testing.T) {
	clone := teamRepository(t, map[string]string{
		"gen/.flux.yaml": "version: 1\ncommandUpdated:\n  generators: [{command: ./gen.sh}]\n",
		"gen/cm.yaml":    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own, namespace: shop}\n",
	})
	witness := []string{"--no-cluster", "--checkout", "git@git.example.com:shop/shop=" + clone, "--git-branch", "main", "--git-path", "apps,gen", "--default-namespace", "shop", "--manifest-generation"}
	if out := offlineWords(t, exitBlocked, append([]string{"diff", "--application", "shop-shop"}, witness...)...); !strings.Contains(out, "gen/.flux.yaml (GENERATION_NOT_TOLD)") {
		t.Errorf("it is %s", out)
	}
}

// offlineWords is what a command says in one line of words, of which it must end
// with a code.
func offlineWords(t *testing.T, want int, args ...string) string {
	t.Helper()
	code, out, errs := runOffline(t, args...)
	if code != want {
		t.Errorf("%q: exit code %d, want %d:\n%s\n%s", args, code, want, out, errs)
	}
	return strings.Join(strings.Fields(out+errs), " ")
}

func TestADifferenceIsNarrowedToAnApplicationOrAnObject(t *testing.T) {
	// Only this one differs: fluxd decodes the number as YAML 1.1 does.
	witness := shopWith(t, map[string]string{
		"apps/web/odd.yaml":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: odd, namespace: shop, annotations: {when: 2001-12-14}}\ndata: {k: v}\n",
		"apps/shop/also.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: also, namespace: shop}\ndata: {k: v}\n",
	})
	diff := func(want int, args ...string) string {
		t.Helper()
		return offlineWords(t, want, append(append([]string{"diff", "--all"}, args...), witness...)...)
	}
	of := func(text string) (named []string) {
		for _, object := range []string{"Deployment/shop/web", "ConfigMap/shop/odd", "ConfigMap/shop/also", "Namespace/shop"} {
			if strings.Contains(text, object) {
				named = append(named, object)
			}
		}
		return named
	}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"an application":         {[]string{"--application", "shop-shop"}, []string{"ConfigMap/shop/also", "Namespace/shop"}},
		"an object":              {[]string{"--object", "Deployment/shop/web"}, []string{"Deployment/shop/web"}},
		"an object by its id":    {[]string{"--object", "shop_web_apps_Deployment"}, []string{"Deployment/shop/web"}},
		"an object of the other": {[]string{"--object", "ConfigMap/shop/also", "--application", "shop-shop"}, []string{"ConfigMap/shop/also"}},
		"the repository":         {[]string{"--repo", "flux/shop", "--application", "shop-web"}, []string{"Deployment/shop/web", "ConfigMap/shop/odd"}},
	} {
		code, out, errs := runOffline(t, append(append([]string{"diff", "--all"}, c.args...), witness...)...)
		if got := of(out); !slices.Equal(got, c.want) || code != exitDone && code != exitDifferences {
			t.Errorf("%s: exit code %d, %q, want %q:\n%s\n%s", name, code, got, c.want, out, errs)
		}
	}
	for _, args := range [][]string{
		{"--object", "Deployment/shop/wbe"}, {"--application", "shop-none"}, {"--object", "Deployment/shop/web", "--application", "shop-shop"},
	} {
		if text := diff(exitUsage, args...); !strings.Contains(text, "no object of the plan is named by --application") {
			t.Errorf("%q: it is not said that this is nothing: %s", args, text)
		}
	}
}

// The version of the chart stands behind the file of values, unless that is called so.
func TestValuesAreOfTheChartsVersionThatIsGiven(t *testing.T) {
	dir := t.TempDir()
	for name, branch := range map[string]string{"v.yaml": "main", "v@1.0.0": "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("git: {url: 'git@git.example.com:shop/shop', branch: "+branch+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for entry, want := range map[string]string{"v.yaml@1.6.0": `"1.6.0" "main"`, "v@1.0.0@1.6.0": `"1.6.0" "other"`, "v@1.0.0": `"" "other"`, "v.yaml": `"" "main"`} {
		code, out, errs := runOffline(t, "discover", "--no-cluster", "-o", "json", "--values", "flux/shop="+filepath.Join(dir, entry))
		var inv migrate.Inventory
		if err := json.Unmarshal([]byte(out), &inv); err != nil || code != exitDone || len(inv.Agents) != 1 {
			t.Fatalf("%s: exit code %d: %v: %s", entry, code, err, errs)
		}
		if got := fmt.Sprintf("%q %q", inv.Agents[0].ChartVersion, inv.Agents[0].Git.Branch); got != want {
			t.Errorf("%s: %s, want %s", entry, got, want)
		}
	}
	if code, _, errs := runOffline(t, "discover", "--no-cluster", "--values", filepath.Join(dir, "none.yaml@1.6.0")); code != exitUsage || !strings.Contains(errs, "none.yaml") {
		t.Errorf("no such file: exit code %d: %s", code, errs)
	}
}

func TestColourIsAsAskedFor(t *testing.T) {
	witness := shopWitness(t)
	for _, command := range []string{"plan", "diff", "discover"} {
		for color, want := range map[string]bool{"always": true, "never": false, "auto": false} { // what it is written to is no terminal
			_, out, _ := runOffline(t, append([]string{command, "--color", color}, witness...)...)
			if command == "diff" {
				_, out, _ = runOffline(t, append([]string{command, "--all", "--color", color}, witness...)...)
			}
			if got := strings.Contains(out, "\x1b["); got != want {
				t.Errorf("%s --color %s: colour %t", command, color, got)
			}
		}
		if text := offlineWords(t, exitUsage, append([]string{command, "--color", "blue"}, witness...)...); !strings.Contains(text, "--color blue: want auto, always or never") {
			t.Errorf("%s: %s", command, text)
		}
	}
}

func TestADecisionIsTakenAsShownAndASlipInOneIsSaid(t *testing.T) {
	witness := shopWith(t, map[string]string{
		"apps/web/odd.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: odd, namespace: shop, annotations: {config.kubernetes.io/local-config: \"true\"}}\ndata: {k: v}\n",
	})
	_, text, _ := runOffline(t, append([]string{"plan"}, witness...)...)
	const shown = "flux/shop ConfigMap/shop/odd"
	if !strings.Contains(text, "OBJECT_LOST "+shown) {
		t.Fatalf("the subject is not shown as %s:\n%s", shown, text)
	}
	file := func(subject string) string {
		name := filepath.Join(t.TempDir(), "decisions.yaml")
		if err := os.WriteFile(name, []byte("- {code: OBJECT_LOST, subject: "+subject+", reason: it is so}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, c := range map[string]struct {
		args     []string
		accepted bool
		says     string
	}{
		"as it is shown":            {[]string{"--accept", "OBJECT_LOST=" + shown}, true, ""},
		"as it is shown, in a file": {[]string{"--decisions", file(shown)}, true, ""},
		"as JSON has it":            {[]string{"--accept", "OBJECT_LOST=flux/shop shop_odd__ConfigMap"}, true, ""},
		"of every subject":          {[]string{"--accept", "OBJECT_LOST=*", "--accept", "PODS_RESTART=*"}, true, ""},
		"a slip in the subject":     {[]string{"--accept", "OBJECT_LOST=flux/shop ConfigMap/shop/ood"}, false, "decision OBJECT_LOST=flux/shop ConfigMap/shop/ood accepts nothing: no OBJECT_LOST is about that; near it: " + shown},
		"a slip in a file":          {[]string{"--decisions", file("flux/shop ConfigMap/shop/ood")}, false, "accepts nothing"},
	} {
		for _, command := range []string{"plan", "diff"} {
			_, out, errs := runOffline(t, append(append([]string{command, "-o", "json"}, c.args...), witness...)...)
			if said := strings.Contains(errs, "decision "); said != (c.says != "") || !strings.Contains(errs, c.says) {
				t.Errorf("%s, %s: %q, want %q", command, name, errs, c.says)
			}
			var plan migrate.Plan
			if command == "plan" && (json.Unmarshal([]byte(out), &plan) != nil || c.accepted != slices.ContainsFunc(plan.Accepted, func(d migrate.Decision) bool {
				return d.Subject == "flux/shop shop_odd__ConfigMap"
			})) {
				t.Errorf("%s: accepted %v", name, plan.Accepted)
			}
		}
	}
	// What is shown to be copied does what it says.
	shownFlags := regexp.MustCompile(`--accept '([^']+)'`).FindAllStringSubmatch(text, -1)
	if len(shownFlags) == 0 {
		t.Error("no flag is shown")
	}
	for _, flag := range shownFlags {
		_, out, errs := runOffline(t, append([]string{"plan", "-o", "json", "--accept", flag[1]}, witness...)...)
		code, _, _ := strings.Cut(flag[1], "=")
		var plan migrate.Plan
		if err := json.Unmarshal([]byte(out), &plan); err != nil || !slices.ContainsFunc(plan.Accepted, func(d migrate.Decision) bool { return d.Code == code }) || strings.Contains(errs, "accepts nothing") {
			t.Errorf("%s accepts nothing: %v %s", flag[0], plan.Accepted, errs)
		}
	}
	// A file of decisions outlives findings.
	if _, _, errs := runOffline(t, append([]string{"plan", "--accept", "TLS_NOT_VERIFIED=flux/shop"}, witness...)...); !strings.Contains(errs, "TLS_NOT_VERIFIED=flux/shop") {
		t.Errorf("a decision on what is found no more: %s", errs)
	}
	for decision, says := range map[string]string{
		"OBJECT_LOS=*": "there is no finding of that code; near it: OBJECT_LOST", "NEVER_SYNCED=flux/shop": "a finding of that code cannot be accepted",
	} {
		if text := offlineWords(t, exitUsage, append([]string{"plan", "--accept", decision}, witness...)...); !strings.Contains(text, decision+": "+says) {
			t.Errorf("%s: %s", decision, text)
		}
	}
}

func TestWhoKeepsACredentialIsAsNamed(t *testing.T) {
	witness := shopWitness(t)
	for name, c := range map[string]struct {
		args       []string
		owner, why string
		found      string // a finding that is there only then
	}{
		"nobody is named": {nil, "external", "by default, since nobody was named", "CREDENTIAL_OWNER"},
		"for all":         {[]string{"--credential-owner", "terraform"}, "terraform", "it was decided so", ""},
		"for this one":    {[]string{"--credential-owner", "external", "--credential-owner", "flux/shop=terraform"}, "terraform", "it was decided so", ""},
		"for another one": {[]string{"--credential-owner", "flux/other=terraform"}, "external", "by default, since nobody was named", "CREDENTIAL_OWNER"},
		"the bundled agent decrypts none of its own": {[]string{"--credential-owner", "sops"}, "sops", "it was decided so", "OWNER_NOT_SUPPORTED"},
		"another engine may":                         {[]string{"--credential-owner", "sops", "--engine", "existing"}, "sops", "it was decided so", ""},
	} {
		_, out, errs := runOffline(t, append(append([]string{"plan", "-o", "json"}, c.args...), witness...)...)
		var plan migrate.Plan
		if err := json.Unmarshal([]byte(out), &plan); err != nil || len(plan.Credentials) != 1 {
			t.Fatalf("%s: %v: %s%s", name, err, out, errs)
		}
		if got := plan.Credentials[0]; string(got.Owner) != c.owner || got.OwnerWhy != c.why {
			t.Errorf("%s: %s, %s", name, got.Owner, got.OwnerWhy)
		}
		for _, code := range []string{"CREDENTIAL_OWNER", "OWNER_NOT_SUPPORTED"} {
			if got := slices.ContainsFunc(plan.Findings, func(f migrate.Finding) bool { return f.Code == code }); got != (code == c.found) {
				t.Errorf("%s: %s is found: %t", name, code, got)
			}
		}
	}
	if text := offlineWords(t, exitUsage, append([]string{"plan", "--credential-owner", "flux/shop=me"}, witness...)...); !strings.Contains(text, "want terraform, external or sops") {
		t.Errorf("%s", text)
	}
}

func TestTheFluxCapacitorIsReadAsTheFlagsSay(t *testing.T) {
	witness := shopWitness(t)
	source := func(args ...string) string {
		t.Helper()
		dir := t.TempDir()
		_, _, errs := runOffline(t, append(append([]string{"plan", "--emit", dir, "--capacitor", "https://git.example.com/capacitor", "--capacitor-cluster", "prod"}, args...), witness...)...)
		content, err := os.ReadFile(filepath.Join(dir, "clusters/prod/agent/source.yaml"))
		if err != nil {
			t.Fatalf("%v: %s", err, errs)
		}
		return string(content)
	}
	if got := source(); !strings.Contains(got, "branch: main") || strings.Contains(got, "secretRef") {
		t.Errorf("by default:\n%s", got)
	}
	if got := source("--capacitor-branch", "live", "--capacitor-secret"); !strings.Contains(got, "branch: live") || !strings.Contains(got, "secretRef:\n    name: flux-capacitor") {
		t.Errorf("with both flags:\n%s", got)
	}
	if text := offlineWords(t, exitUsage, append([]string{"plan", "--capacitor-branch", "live"}, witness...)...); !strings.Contains(text, "--capacitor-branch is about what --emit writes") {
		t.Errorf("%s", text)
	}
}
