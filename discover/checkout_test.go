package discover

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// realCheckouts are public repositories, as their SOURCE.md says how they were
// read by fluxd.
var realCheckouts = map[string]CheckoutOptions{
	"sdp-flux dev":              {Dir: "equinor__sdp-flux", URL: "git@github.com:equinor/sdp-flux", Branch: "dev", Paths: []string{"dev"}, DefaultNamespace: "flux"},
	"sdp-flux prod":             {Dir: "equinor__sdp-flux", URL: "git@github.com:equinor/sdp-flux", Branch: "prod", Paths: []string{"prod"}, DefaultNamespace: "flux"},
	"sdp-flux undescribed":      {Dir: "equinor__sdp-flux"},
	"flux-get-started":          {Dir: "fluxcd__flux-get-started", URL: "git@github.com:fluxcd/flux-get-started", Branch: "master"},
	"flux-kustomize staging":    {Dir: "fluxcd__flux-kustomize-example", Paths: []string{"staging"}},
	"flux-kustomize production": {Dir: "fluxcd__flux-kustomize-example", Paths: []string{"production"}},
	"helm-operator-get-started": {Dir: "fluxcd__helm-operator-get-started", URL: "git@github.com:fluxcd/helm-operator-get-started", Branch: "master"},
	"multi-tenancy":             {Dir: "fluxcd__multi-tenancy", URL: "git@github.com:org/dev-cluster", Branch: "master", Paths: []string{"cluster"}, DefaultNamespace: "flux-system"},
	"multi-tenancy undescribed": {Dir: "fluxcd__multi-tenancy"},
	"multi-tenancy-team1":       {Dir: "fluxcd__multi-tenancy-team1", URL: "git@github.com:org/dev-team1", Branch: "master", AllowedNamespaces: []string{"team1"}, DefaultNamespace: "team1"},
	"gitops-istio before":       {Dir: "stefanprodan__gitops-istio/before-flux1"},
	"gitops-istio after":        {Dir: "stefanprodan__gitops-istio/after-flux2"},
	"eks-quickstart-app-dev":    {Dir: "weaveworks__eks-quickstart-app-dev"},
}

// realTree is a folder of the public repositories.
func realTree(dir string) fs.FS {
	return os.DirFS(filepath.Join("testdata", "real", filepath.FromSlash(dir)))
}

// readReal reads one of realCheckouts and checks what holds for all.
func readReal(t *testing.T, name string) migrate.Inventory {
	t.Helper()
	o, ok := realCheckouts[name]
	if !ok {
		t.Fatalf("no checkout %q", name)
	}
	o.Dir = filepath.Join("testdata", "real", filepath.FromSlash(o.Dir))
	inv, err := Checkout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	checkInventory(t, inv)
	return inv
}

// checkInventory checks what holds for the Inventory of every checkout.
func checkInventory(t *testing.T, inv migrate.Inventory) {
	t.Helper()
	known := slices.Concat(Codes(), flux1.Codes(), chart.Codes())
	for _, f := range inv.Findings {
		if !slices.ContainsFunc(known, func(c flux1.Code) bool { return c.Name == f.Code }) || f.Hint == "" || f.Repository == "" || f.Message == "" {
			t.Errorf("finding of no table, or of no repository: %v", f)
		}
	}
	ids := map[string]bool{}
	for _, a := range inv.Agents {
		if ids[a.ID] || a.ID == "" {
			t.Errorf("two agents have the id %q", a.ID)
		}
		ids[a.ID] = true
		if a.Running != nil {
			t.Errorf("%s: no cluster was asked whether it runs", a.ID)
		}
		for _, s := range a.Settings {
			if s.Fate == "" || s.Fate != migrate.Carried && s.Why == "" || len(s.From) == 0 || s.From[0].Where == "" {
				t.Errorf("%s: setting without an account: %+v", a.ID, s)
			}
		}
	}
}

func TestRealRepositoriesAreReadFromDisk(t *testing.T) {
	for name := range realCheckouts {
		t.Run(name, func(t *testing.T) {
			got := dump(t, readReal(t, name))
			if strings.Contains(got, "testdata") {
				t.Error("a path of this machine is told")
			}
			equalsGolden(t, filepath.Join("testdata", "checkout", strings.ReplaceAll(name, " ", "-")+".json"), got)
		})
	}
}

// findingsOf gives the findings of a code as "subject (where): message".
func findingsOf(inv migrate.Inventory, code flux1.Code) []string {
	var out []string
	for _, f := range inv.Findings {
		if f.Code == code.Name {
			out = append(out, f.Subject+" ("+f.Where+"): "+f.Message)
		}
	}
	return out
}

// wantFinding demands a finding of a code whose text holds all parts.
func wantFinding(t *testing.T, inv migrate.Inventory, code flux1.Code, parts ...string) {
	t.Helper()
	all := findingsOf(inv, code)
	if !slices.ContainsFunc(all, func(text string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
	}) {
		t.Errorf("no finding %s with %q; there are %q", code.Name, parts, all)
	}
}

// noFinding demands that there is no finding of a code.
func noFinding(t *testing.T, inv migrate.Inventory, code flux1.Code) {
	t.Helper()
	if all := findingsOf(inv, code); len(all) > 0 {
		t.Errorf("findings %s: %q", code.Name, all)
	}
}

func agentNamed(t *testing.T, inv migrate.Inventory, id string) migrate.Flux1Agent {
	t.Helper()
	for _, a := range inv.Agents {
		if a.ID == id {
			return a
		}
	}
	t.Fatalf("no agent %s", id)
	return migrate.Flux1Agent{}
}

// What follows asserts each sentence under "Why it is here" of the SOURCE.md
// files, as far as a checkout can show it.

func TestSdpFluxGeneratesAboveItsPathsWithoutUpdaters(t *testing.T) {
	for _, branch := range []string{"dev", "prod"} {
		inv := readReal(t, "sdp-flux "+branch)
		wantFinding(t, inv, flux1.ManifestGeneration, `path "`+branch+`"`, "commandUpdated", "(.flux.yaml)", "above")
		wantFinding(t, inv, flux1.NoUpdaters, ".flux.yaml")
		wantFinding(t, inv, flux1.OldKustomizeFields, branch+"/kustomization.yaml", "bases, patchesStrategicMerge")
		// As it stands, the overlay patches releases that its base leaves out.
		wantFinding(t, inv, flux1.NotGenerated, "no matches for Id HelmRelease.v1.helm.fluxcd.io")
		for _, release := range []string{"velero", "gitlab", "verdaccio", "external-dns", "nginx-ingress"} {
			wantFinding(t, inv, flux1.HelmRelease1Patch, branch+"/"+release+"/helm-release-patch.yaml:", release)
		}
		wantFinding(t, inv, flux1.SealedSecrets, "SealedSecret")
		if a := agentNamed(t, inv, "checkout/sdp-flux"); a.Git.Branch != branch || !slices.Equal(a.Git.Paths, []string{branch}) {
			t.Errorf("git: %+v", a.Git)
		}
	}
	whole := readReal(t, "sdp-flux undescribed")
	releases, patches := findingsOf(whole, flux1.HelmRelease1Object), findingsOf(whole, flux1.HelmRelease1Patch)
	if len(releases)+len(patches) != 20 {
		t.Errorf("%d HelmRelease objects and %d patches of some, and there are 20 in all", len(releases), len(patches))
	}
	wantFinding(t, whole, flux1.SealedSecrets, "16 SealedSecret objects")
}

func TestFluxGetStartedHasAutomationAndAChart(t *testing.T) {
	inv := readReal(t, "flux-get-started")
	wantFinding(t, inv, flux1.ImageAutomation, "images are updated automatically: demo:deployment/podinfo")
	wantFinding(t, inv, flux1.ImagePolicy, "deployment/podinfo", "fluxcd.io/automated: true", "fluxcd.io/tag.podinfod: semver:~3.1", "fluxcd.io/tag.init: regex:^3.10.*")
	wantFinding(t, inv, flux1.ImagePolicy, "helmrelease/ghost", "glob:3.1.1-debian-9-*")
	wantFinding(t, inv, flux1.ImagePolicy, "helmrelease/redis", "fluxcd.io/locked: true")
	wantFinding(t, inv, flux1.ImageFilter, "deployment/podinfo", "regex:^3.10.*")
	for _, text := range findingsOf(inv, flux1.ImageFilter) {
		if strings.Contains(text, "redis") || strings.Contains(text, "ghost") {
			t.Errorf("what is locked or not automated is not updated: %s", text)
		}
	}
	wantFinding(t, inv, flux1.ChartInTree, "charts/ghost")
	wantFinding(t, inv, flux1.HelmRelease1, "ghost", "mongodb", "redis")
	wantFinding(t, inv, flux1.HelmRelease1Object, "helmrelease/ghost", "charts/ghost", "this very repository")
	a := agentNamed(t, inv, "checkout/flux-get-started")
	for _, o := range a.Objects {
		if strings.HasPrefix(o.File, "charts/") {
			t.Errorf("fluxd does not look into charts: %s", o.File)
		}
	}
	if a.Counts.Objects != 8 || len(a.Git.Paths) != 0 {
		t.Errorf("%d objects, paths %q", a.Counts.Objects, a.Git.Paths)
	}
}

func TestFluxKustomizeExampleKeepsStateInItsPatchFile(t *testing.T) {
	inv := readReal(t, "flux-kustomize production")
	wantFinding(t, inv, flux1.ManifestGeneration, "patchUpdated", `path "production"`, "above")
	wantFinding(t, inv, flux1.FluxPatch, "production/flux-patch.yaml:2", "deployment/podinfo", "flux.weave.works/locked")
	noFinding(t, inv, flux1.NotGenerated)
	deployment := func(inv migrate.Inventory, id, name string) (image, replicas any) {
		for _, o := range agentNamed(t, inv, id).Objects {
			if o.Manifest.GetKind() == "Deployment" && o.Manifest.GetName() == name {
				spec := o.Manifest.Object["spec"].(map[string]any)
				template := spec["template"].(map[string]any)["spec"].(map[string]any)
				return template["containers"].([]any)[0].(map[string]any)["image"], spec["replicas"]
			}
		}
		t.Fatalf("no Deployment %s", name)
		return nil, nil
	}
	inv = readReal(t, "flux-kustomize staging")
	wantFinding(t, inv, flux1.FluxPatch, "staging/flux-patch.yaml:2", "podinfod=stefanprodan/podinfo:1.4.4", "flux.weave.works/automated")
	if image, _ := deployment(inv, "checkout/fluxcd__flux-kustomize-example", "podinfo"); image != "stefanprodan/podinfo:1.4.4" {
		t.Errorf("fluxd applies image %v: the patch file comes on top", image)
	}
	inv = readReal(t, "multi-tenancy-team1")
	for _, name := range []string{"frontend", "backend"} {
		wantFinding(t, inv, flux1.FluxPatch, "deployment/"+name, "podinfod=quay.io/stefanprodan/podinfo:1.7.0", "flux.weave.works/tag.podinfod")
		if image, _ := deployment(inv, "checkout/dev-team1", name); image != "quay.io/stefanprodan/podinfo:1.7.0" {
			t.Errorf("%s: image %v", name, image)
		}
	}
	wantFinding(t, inv, flux1.ManifestGeneration, "patchUpdated")
}

func TestHelmOperatorGetStartedHasReleasesOfItsOwnCharts(t *testing.T) {
	inv := readReal(t, "helm-operator-get-started")
	for _, r := range []struct{ env, name, filter string }{{"dev", "podinfo-dev", "glob:dev-*"}, {"stg", "podinfo-rc", "glob:stg-*"}, {"prod", "podinfo-prod", "semver:~0.4"}} {
		wantFinding(t, inv, flux1.HelmRelease1Object, "releases/"+r.env+"/podinfo.yaml:2", "Helm release "+r.name, "in namespace "+r.env,
			"charts/podinfo of git@github.com:fluxcd/helm-operator-get-started", "this very repository")
		wantFinding(t, inv, flux1.ImagePolicy, "helmrelease/"+r.name, "filter.fluxcd.io/chart-image: "+r.filter)
	}
	wantFinding(t, inv, flux1.HelmRelease1Object, "adm:helmrelease/sealed-secrets", "chart sealed-secrets 1.6.1 from https://")
	wantFinding(t, inv, flux1.ChartInTree, "charts/podinfo")
	if filters := findingsOf(inv, flux1.ImageFilter); len(filters) != 2 {
		t.Errorf("the two globs have no counterpart: %q", filters)
	}
}

func TestNestedAgentsOfMultiTenancyAreFound(t *testing.T) {
	inv := readReal(t, "multi-tenancy")
	// The described reader is the agent that install/ declares.
	if len(inv.Agents) != 2 {
		t.Fatalf("%d agents, want the cluster's and the team's", len(inv.Agents))
	}
	cluster, team := agentNamed(t, inv, "flux-system/flux"), agentNamed(t, inv, "team1/flux")
	if cluster.InstalledBy != "manifest" || team.InstalledBy != "flux1" {
		t.Errorf("installed by %s and %s", cluster.InstalledBy, team.InstalledBy)
	}
	if !slices.Equal(cluster.Git.Paths, []string{"cluster"}) || cluster.Git.URL != "git@github.com:org/dev-cluster" || cluster.DefaultNamespace != "flux-system" {
		t.Errorf("cluster: %+v", cluster.Git)
	}
	if cluster.Confinement.Kind != "cluster-admin" || cluster.Counts.Objects != 13 {
		t.Errorf("cluster: %+v %+v", cluster.Confinement, cluster.Counts)
	}
	if team.Git.URL != "git@github.com:org/dev-team1" || team.Git.Branch != "master" || len(team.Git.Paths) != 0 ||
		!slices.Equal(team.AllowedNamespaces, []string{"team1"}) || team.DefaultNamespace != "team1" || !team.ManifestGeneration {
		t.Errorf("team: %+v", team)
	}
	if team.Image != "fluxcd/flux:1.17.0" || team.ServiceAccount != "flux" || !slices.Equal(team.Confinement.Namespaces, []string{"team1"}) {
		t.Errorf("team: image %s, account %s, %+v", team.Image, team.ServiceAccount, team.Confinement)
	}
	// Each setting names the line of the patch, or of the base.
	for name, where := range map[string]string{
		"--git-url": "cluster/team1/flux-patch.yaml:18 args[7]", "--k8s-allow-namespace": "cluster/team1/flux-patch.yaml:17 args[6]",
		"env.KUBECONFIG": "base/flux/deployment.yaml:59 env KUBECONFIG",
	} {
		i := slices.IndexFunc(team.Settings, func(s migrate.Setting) bool { return s.Name == name })
		if i < 0 || team.Settings[i].From[0] != (migrate.Origin{Witness: "git", Where: where}) {
			t.Errorf("%s: %+v", name, team.Settings)
		}
	}
	wantFinding(t, inv, AgentInGit, "team1/flux (base/flux/deployment.yaml:1)", "flux-system/flux")
	// An argument that only the base holds is not in force: patches replace it.
	if slices.ContainsFunc(team.Settings, func(s migrate.Setting) bool { return s.Name == "--listen-metrics" || s.Name == "--git-path" }) {
		t.Errorf("settings of the base alone: %+v", team.Settings)
	}

	inv = readReal(t, "multi-tenancy undescribed")
	for _, id := range []string{"flux-system/flux", "team1/flux"} {
		if a := agentNamed(t, inv, id); a.InstalledBy != "manifest" {
			t.Errorf("%s is installed by %s, and it is not known who applies it", id, a.InstalledBy)
		}
	}
	wantFinding(t, inv, flux1.RemoteBase, "cluster/flagger/kustomization.yaml", "github.com/weaveworks/flagger")
}

func TestGitopsIstioNeedsKindsThatOthersBring(t *testing.T) {
	inv := readReal(t, "gitops-istio before")
	wantFinding(t, inv, flux1.HelmRelease1, "istio-system:helmrelease/flagger, istio-system:helmrelease/flagger-grafana")
	wantFinding(t, inv, flux1.KindsAssumed, "Gateway.networking.istio.io", "Sidecar.networking.istio.io")
	for _, text := range findingsOf(inv, flux1.KindsAssumed) {
		if strings.Contains(text, "Canary") || strings.Contains(text, "IstioOperator") {
			t.Errorf("the repository defines it: %s", text)
		}
	}
	noFinding(t, inv, flux1.Flux2InGit)

	inv = readReal(t, "gitops-istio after")
	for _, name := range []string{"istio-operator", "istio-system", "istio-gateway", "apps"} {
		wantFinding(t, inv, flux1.Flux2InGit, "flux-system:kustomization/"+name, "it applies ./", "of GitRepository flux-system and deletes what leaves it")
	}
	wantFinding(t, inv, flux1.Flux2InGit, "helmrelease/flagger", "it installs Helm release flagger of chart flagger")
	noFinding(t, inv, flux1.HelmRelease1)
	// Two kustomization files with a kind are one object to fluxd.
	wantFinding(t, inv, flux1.Duplicate, "<cluster>:kustomization/")
}

func TestEksQuickstartIsPlainManifestsAndThreeReleases(t *testing.T) {
	inv := readReal(t, "eks-quickstart-app-dev")
	if releases := findingsOf(inv, flux1.HelmRelease1Object); len(releases) != 3 {
		t.Errorf("releases: %q", releases)
	}
	a := inv.Agents[0]
	folders := map[string]bool{}
	for _, o := range a.Objects {
		if o.Manifest.GetKind() == "Namespace" {
			folders[filepath.Dir(o.File)] = true
		}
	}
	if len(folders) != 1 || !folders["namespaces"] {
		t.Errorf("namespaces stand in %v", folders)
	}
	noFinding(t, inv, flux1.Stuck)
	noFinding(t, inv, flux1.ManifestGeneration)
}
