package discover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// fluxdInGit is a Deployment of fluxd as a repository declares it.
func fluxdInGit(name, namespace string, args ...string) string {
	return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %[1]s, namespace: %[2]s}\nspec:\n  replicas: 2\n  selector: {matchLabels: {name: %[1]s}}\n  template:\n    metadata: {labels: {name: %[1]s}}\n"+
		"    spec:\n      containers:\n      - name: flux\n        image: fluxcd/flux:1.25.4\n        args:\n        - %[3]s\n", name, namespace, strings.Join(args, "\n        - "))
}

// What the cluster, Terraform and Git say of one agent is compared; one finding names what each
// says of a setting, and where.
func TestGitIsAWitnessOfTheAgentsThatItDeclares(t *testing.T) {
	commit := strings.Repeat("1", 40)
	inv, err := open(t, written(t, map[string]string{
		"cluster.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system, uid: the-uid}\n---\n" + fluxdNamed("outer", "") +
			fluxdNamed("shop", "", "--git-branch=hotfix", "--git-path=a", "--registry-rps=7"),
		"git.yaml":                         fmt.Sprintf("https://h/outer: {refs: {refs/heads/master: %q, refs/tags/flux-sync: %[1]q}}\n", commit),
		"commits/" + commit + "/shop.yaml": fluxdInGit("shop", "flux", "--git-url=https://h/shop", "--git-branch=staging", "--git-path=a", "--git-user=Team"),
	})).witness.inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	said(t, inv, "WITNESSES_DISAGREE", "flux/shop --git-branch", `"hotfix" live, and "staging" in Git`, "cluster: Deployment/flux/shop args[1]; git: shop.yaml:15 args[1]")
	said(t, inv, "WITNESSES_DISAGREE", "flux/shop --registry-rps", `"7" live, and "50" (the daemon's default) in Git`, "git: shop.yaml:1")
	said(t, inv, "WITNESSES_DISAGREE", "flux/shop --git-user", `in Git`)
	said(t, inv, "WITNESSES_DISAGREE", "flux/shop replicas", `"1" live, and "2" in Git`)
	shop := inv.Agents[slices.IndexFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return a.ID == "flux/shop" })]
	equal(t, "the live branch counts", shop.Git.Branch, "hotfix")
	equal(t, "the path is in both", settingOf(t, shop, "--git-path").From, []migrate.Origin{{Witness: "cluster", Where: "Deployment/flux/shop args[2]"}, {Witness: "git", Where: "shop.yaml:16 args[2]"}})
	equal(t, "the branch is not", settingOf(t, shop, "--git-branch").From, []migrate.Origin{{Witness: "cluster", Where: "Deployment/flux/shop args[1]"}})
	for _, f := range inv.Findings {
		if f.Code == WitnessesDisagree.Name && strings.Contains(f.Subject, "--git-path") || strings.HasPrefix(f.Subject, "flux/outer --") {
			t.Errorf("what is equal disagrees: %v", f)
		}
	}

	merged := Merge(inv, declaredBy(t, map[string]string{"main.tf": ordinaryRelease}))
	f := said(t, merged, "WITNESSES_DISAGREE", "flux/shop --git-branch", `"hotfix" live, and "staging" in Git; "hotfix" live, and "master" in Terraform`, "git: shop.yaml:15 args[1]", "; values: git.branch (default of chart 1.13.3)")
	if n := strings.Count(f.Where, "cluster: "); n != 1 {
		t.Errorf("the cluster's place stands %d times in %s", n, f.Where)
	}
	for i, f := range merged.Findings {
		if f.Code == WitnessesDisagree.Name && slices.ContainsFunc(merged.Findings[:i], func(o migrate.Finding) bool { return o.Code == f.Code && o.Subject == f.Subject }) {
			t.Errorf("%s is told twice", f.Subject)
		}
	}
}

// Without a cluster Terraform and Git are compared.
func TestGitIsAWitnessBesideTerraform(t *testing.T) {
	dir := t.TempDir()
	const release = "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: shop, namespace: flux}\nspec:\n  releaseName: shop\n  chart: {repository: 'https://charts.fluxcd.io', name: flux, version: 1.13.3}\n" +
		"  values:\n    git:\n      url: git@github.com:example/shop\n      branch: hotfix\n"
	for _, path := range []string{"a", "b"} {
		if err := errors.Join(os.Mkdir(filepath.Join(dir, path), 0o755), os.WriteFile(filepath.Join(dir, "a", "shop.yaml"), []byte(release), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	declared := declaredBy(t, map[string]string{"main.tf": ordinaryRelease})
	inv, err := Repositories(t.Context(), declared, []Folder{{URL: declared.Agents[0].Git.URL, Dir: dir}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "agents", agentIDs(inv), []string{"flux/shop"})
	said(t, inv, "WITNESSES_DISAGREE", "flux/shop --git-branch", `"master" in Terraform, and "hotfix" in Git`, "git: a/shop.yaml:10 git.branch")
	url := settingOf(t, inv.Agents[0], "--git-url").From
	if !slices.ContainsFunc(url, func(o migrate.Origin) bool { return o.Witness == "git" && strings.HasPrefix(o.Where, "a/shop.yaml:9 ") }) {
		t.Errorf("the URL is from %v", url)
	}
	noFinding(t, inv, AgentInGitOnly)
}

// Agents that a repository declares and that were not found are named, at the sync mark and at
// the head; those that were found, or that are not applied, are not.
func TestAgentsThatGitAloneDeclaresAreNamed(t *testing.T) {
	const application = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: %[1]s, namespace: argocd}\nspec:\n  source: {repoURL: 'https://charts.fluxcd.io', chart: flux, targetRevision: 1.13.3}\n"
	found := &agent{Flux1Agent: migrate.Flux1Agent{ID: "flux/outer", Namespace: "flux", Workload: "outer", DefaultNamespace: "shop"}}
	live := &agent{Flux1Agent: migrate.Flux1Agent{ID: "shop/live", Namespace: "shop", Workload: "live"}}
	mark := "-- a.yaml --\n" + fluxdInGit("outer", "flux", "--git-url=https://h/outer") + "---\n" + fluxdInGit("live", "shop", "--git-url=https://h/live") + "---\n" + fluxdInGit("gone", "shop", "--git-url=https://u:MARKED@h/gone") +
		"---\n" + strings.Replace(fluxdInGit("ignored", "shop", "--git-url=https://h/ignored"), "namespace: shop}", "namespace: shop, annotations: {fluxcd.io/ignore: 'true'}}", 1) + "---\n" + fmt.Sprintf(application, "live")
	head := mark + "---\n" + fluxdInGit("later", "hidden", "--git-url=https://h/later") + "---\n" + fmt.Sprintf(application, "other")
	w := &witness{opts: Options{Namespaces: []string{"flux", "shop"}}}
	if err := w.loadTree(t.Context(), found, nil, migrate.Cluster{}, origin{git: fixedTree{treeOf(mark)}}, source0()); err != nil {
		t.Fatal(err)
	}
	found.Synced.Head = strings.Repeat("2", 40)
	if err := w.checkHead(t.Context(), found, migrate.Cluster{}, origin{git: fixedTree{treeOf(head)}}, source0()); err != nil {
		t.Fatal(err)
	}
	w.findings = nil
	w.agentsInGitOnly([]*agent{found, live})
	inv := migrate.Inventory{Findings: w.findings}
	said(t, inv, "AGENT_IN_GIT_ONLY", "flux/outer shop/gone", "a.yaml:", "which is to sync https://", "no such agent was found")
	said(t, inv, "AGENT_IN_GIT_ONLY", "flux/outer hidden/later", "at the branch's head (commit 222222222222, not synced yet)", "whether it runs is not known")
	said(t, inv, "AGENT_IN_GIT_ONLY", "flux/outer argocd_other_argoproj.io_Application", "installs a chart", "at the branch's head")
	if text := dump(t, inv); len(w.findings) != 3 || strings.Contains(text, "MARKED") {
		t.Errorf("said is %s", text)
	}
}
