package discover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/source"
)

// gitIn runs git in a folder and gives what it says.
func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_ALLOW_PROTOCOL=file")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// clonedShop makes a repository of the commits of the fixture "ordinary", which
// are one behind the other, with the sync tag at the first of two, and a clone
// of it. Its head is two commits ahead.
func clonedShop(t *testing.T) (clone, mark, head string) {
	t.Helper()
	dir := t.TempDir()
	origin := filepath.Join(dir, "shop.git")
	work := filepath.Join(dir, "work")
	gitIn(t, dir, "init", "-q", "--bare", "-b", "main", origin)
	gitIn(t, dir, "clone", "-q", origin, work)
	for _, commit := range []string{strings.Repeat("1", 40), strings.Repeat("2", 40)} {
		if err := os.RemoveAll(filepath.Join(work, "production")); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(work, "extra")); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(work, os.DirFS(filepath.Join("testdata", "cluster", "ordinary", "commits", commit))); err != nil {
			t.Fatal(err)
		}
		gitIn(t, work, "add", "-A")
		gitIn(t, work, "commit", "-q", "-m", "of the fixture")
		if mark == "" {
			mark = gitIn(t, work, "rev-parse", "HEAD")
			gitIn(t, work, "tag", "-a", "-m", "Sync pointer", "flux-sync")
			gitIn(t, work, "commit", "-q", "--allow-empty", "-m", "between")
		}
	}
	head = gitIn(t, work, "rev-parse", "HEAD")
	gitIn(t, work, "push", "-q", "origin", "HEAD:main", "--tags")
	clone = filepath.Join(dir, "shop")
	gitIn(t, dir, "clone", "-q", origin, clone)
	return clone, mark, head
}

// noServer is a Git server that must not be asked.
type noServer struct{ t *testing.T }

func (n noServer) refs(context.Context, source.Remote) (map[string]string, error) {
	n.t.Error("the server was asked")
	return nil, errors.New("asked")
}

func (n noServer) ancestry(context.Context, source.Remote, string, string) (int, bool, error) {
	n.t.Error("the server was asked")
	return 0, false, errors.New("asked")
}

func (n noServer) tree(context.Context, source.Remote, source.Reference) (fs.FS, func(), error) {
	n.t.Error("the server was asked")
	return nil, nil, errors.New("asked")
}

func TestARepositoryIsReadFromAFolderBesideTheCluster(t *testing.T) {
	const url = "https://git.example.com/org/shop" // as somebody else spells it
	server := open(t, filepath.Join("testdata", "cluster", "ordinary"))
	want, err := server.witness.inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	clone, mark, head := clonedShop(t)
	bare := filepath.Join(t.TempDir(), "bare.git")
	gitIn(t, clone, "clone", "-q", "--mirror", "file://"+filepath.Join(clone, "..", "shop.git"), bare)
	read := func(given ...Folder) migrate.Inventory {
		t.Helper()
		f := open(t, filepath.Join("testdata", "cluster", "ordinary"))
		f.witness.git = noServer{t}
		if f.witness.folders, err = openFolders(given); err != nil {
			t.Fatal(err)
		}
		inv, err := f.witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return inv
	}
	// A local branch that is not pushed is nothing that fluxd sees.
	gitIn(t, clone, "commit", "-q", "--allow-empty", "-m", "not pushed")
	for _, dir := range []string{clone, bare} {
		inv := read(Folder{URL: url, Dir: dir})
		got, from := inv.Agents[0], want.Agents[0]
		if got.Synced.Commit != mark || got.Synced.Head != head || got.Synced.Behind != 2 {
			t.Errorf("%s: synced %+v, want %s, two behind %s", filepath.Base(dir), got.Synced, mark, head)
		}
		places := func(objects []migrate.Object) (out []string) {
			for _, o := range objects {
				out = append(out, string(o.Class)+" "+o.ID+" "+fileLine(o.File, o.Line))
			}
			return out
		}
		if !slices.Equal(places(got.Objects), places(from.Objects)) || !slices.Equal(places(got.HeadObjects), places(from.HeadObjects)) || got.HeadProblem != from.HeadProblem || got.Counts != from.Counts {
			t.Errorf("%s: read otherwise than from the server: %q, want %q", filepath.Base(dir), places(got.Objects), places(from.Objects))
		}
		wantFinding(t, inv, FolderRead, filepath.Base(dir), short(head))
		wantFinding(t, inv, StuckAtHead, "broken.yaml")
	}

	shallow := filepath.Join(t.TempDir(), "shallow")
	gitIn(t, clone, "clone", "-q", "--depth", "1", "file://"+filepath.Join(clone, "..", "shop.git"), shallow)
	gitIn(t, shallow, "fetch", "-q", "--depth", "1", "origin", "tag", "flux-sync")
	inv := read(Folder{URL: url, Dir: shallow})
	wantFinding(t, inv, FolderShallow, "unshallow")
	if a := inv.Agents[0]; a.Synced.Commit != mark || a.Synced.Behind != -1 || len(a.Objects) == 0 {
		t.Errorf("shallow: %+v, %d objects", a.Synced, len(a.Objects))
	}

	// What is synced may be newer than the clone: that is no rewritten branch.
	stale := filepath.Join(t.TempDir(), "stale")
	gitIn(t, clone, "clone", "-q", "file://"+filepath.Join(clone, "..", "shop.git"), stale)
	gitIn(t, stale, "update-ref", "refs/remotes/origin/main", mark)
	gitIn(t, stale, "tag", "-f", "flux-sync", head)
	inv = read(Folder{URL: url, Dir: stale})
	wantFinding(t, inv, FolderBehind, "commit "+short(head), "at the earlier commit "+short(mark))
	noFinding(t, inv, MarkOffBranch)
	if err := os.WriteFile(filepath.Join(stale, ".git", "refs", "tags", "flux-sync"), []byte(strings.Repeat("9", 40)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	inv = read(Folder{URL: url, Dir: stale})
	wantFinding(t, inv, FolderBehind, "commit 9999999", "does not hold it")
	noFinding(t, inv, MarkUnknown)
	if a := inv.Agents[0]; a.Synced.Commit != "" || !slices.Contains(a.Unknown, "synced") {
		t.Errorf("stale: %+v, unknown %v", a.Synced, a.Unknown)
	}

	// A clone of another branch alone, as "git clone --single-branch" makes it.
	single := filepath.Join(t.TempDir(), "single")
	gitIn(t, clone, "clone", "-q", "file://"+filepath.Join(clone, "..", "shop.git"), single)
	gitIn(t, single, "branch", "-m", "main", "mine")
	gitIn(t, single, "update-ref", "-d", "refs/remotes/origin/main")
	inv = read(Folder{URL: url, Dir: single})
	wantFinding(t, inv, GitUnreadable, "folder single", "lacks the agent's branch main", "mine")
	for _, f := range inv.Findings {
		if f.Code == GitUnreadable.Name && (!strings.Contains(f.Hint, "+main:refs/remotes/origin/main") || strings.Contains(f.Hint, "key")) {
			t.Errorf("the remedy of a clone without the branch is %q", f.Hint)
		}
	}

	plain := t.TempDir()
	if err := os.CopyFS(plain, os.DirFS(filepath.Join("testdata", "cluster", "ordinary", "commits", strings.Repeat("1", 40)))); err != nil {
		t.Fatal(err)
	}
	inv = read(Folder{URL: url, Dir: plain})
	wantFinding(t, inv, FolderPlain, filepath.Base(plain))
	if a := inv.Agents[0]; a.Synced.Commit != "" || len(a.Objects) == 0 || !slices.Contains(a.Unknown, "synced") {
		t.Errorf("plain: %+v, %d objects", a.Synced, len(a.Objects))
	}

	inv = read(Folder{URL: url, Dir: clone}, Folder{URL: "https://user:MARKED-SECRET@git.example.com/org/other", Dir: plain})
	wantFinding(t, inv, FolderUnused, "git.example.com/org/other")
	if strings.Contains(dump(t, inv), "MARKED-SECRET") {
		t.Error("a password is told")
	}
	gitIn(t, clone, "remote", "set-url", "origin", url+".git")
	if inv = read(Folder{Dir: clone}); inv.Agents[0].Synced.Commit != mark {
		t.Error("the clone's remote does not tell whose repository it is")
	}
	for _, given := range []Folder{{Dir: plain}, {URL: url, Dir: filepath.Join(plain, "none")}, {URL: url, Dir: filepath.Join(plain, "extra", "values.yaml")}} {
		if _, err := openFolders([]Folder{given}); err == nil {
			t.Errorf("%+v: no error", given)
		}
	}
}

func TestAnAgentWithoutAClusterIsReadFromAFolder(t *testing.T) {
	clone, mark, head := clonedShop(t)
	describe := func(values string) migrate.Inventory {
		t.Helper()
		inv, err := Values(t.Context(), []ValuesFile{{Name: "flux/shop", File: "shop.yaml", Content: []byte(values)}})
		if err != nil {
			t.Fatal(err)
		}
		before := dump(t, inv)
		out, err := Repositories(t.Context(), inv, []Folder{{URL: "git@git.example.com:org/shop", Dir: clone}}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if dump(t, inv) != before {
			t.Error("the Inventory that was given is changed")
		}
		return out
	}
	const git = "git: {url: 'git@git.example.com:org/shop.git', branch: main, path: production}\n"
	inv := describe(git)
	a := inv.Agents[0]
	if a.Synced.Commit != mark || a.Synced.Head != head || a.Counts.Objects == 0 || len(a.Objects) == 0 {
		t.Errorf("%+v, %d objects", a.Synced, len(a.Objects))
	}
	wantFinding(t, inv, StuckAtHead, "broken.yaml")
	inv = describe(git + "sync: {state: secret}\n")
	wantFinding(t, inv, MarkInCluster, "flux/shop")
	if a := inv.Agents[0]; a.Synced.Commit != "" || a.Synced.Head != head {
		t.Errorf("%+v", a.Synced)
	}
}

// Whether an agent reads a .flux.yaml is not told where that is not known.
func TestAFileOfGenerationIsNotCalledUselessWhereNobodyKnows(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{".flux.yaml": "version: 1\ncommandUpdated: {generators: [{command: kustomize build .}]}\n", "a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const url = "git@git.example.com:org/shop"
	for known, values := range map[bool]string{true: "manifestGeneration: false\n", false: ""} {
		inv, err := Values(t.Context(), []ValuesFile{{Name: "flux/shop", File: "shop.yaml", Content: []byte("git: {url: '" + url + "', branch: main}\n" + values)}})
		if err != nil {
			t.Fatal(err)
		}
		if !known {
			inv.Agents[0].Unknown = append(inv.Agents[0].Unknown, "manifestGeneration")
			inv.Agents[0].ManifestGeneration = false
		} else {
			inv.Agents[0].Unknown = slices.DeleteFunc(inv.Agents[0].Unknown, func(name string) bool { return name == "manifestGeneration" })
		}
		if inv, err = Repositories(t.Context(), inv, []Folder{{URL: url, Dir: dir}}, nil, nil); err != nil {
			t.Fatal(err)
		}
		// Nor is it told how much is applied.
		if slices.Contains(inv.Agents[0].Unknown, "counts") == known {
			t.Errorf("known %v: %d objects, unknown are %v", known, inv.Agents[0].Counts.Objects, inv.Agents[0].Unknown)
		}
		if known {
			wantFinding(t, inv, flux1.FluxYAMLUnused, ".flux.yaml")
		} else {
			noFinding(t, inv, flux1.FluxYAMLUnused)
		}
	}
}

// Agents that a repository declares count without a cluster, too, and so do those that
// theirs declare; one that is known already counts once.
func TestAgentsThatARepositoryDeclaresAreAdded(t *testing.T) {
	folder := func(name string, manifests ...string) Folder {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, m := range manifests {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)+".yaml"), []byte(m), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return Folder{URL: "git@git.example.com:org/" + name, Dir: dir}
	}
	deployment := func(team string) string {
		return strings.NewReplacer("org/fleet", "org/"+team, "namespace: sync", "namespace: "+team).Replace(fmt.Sprintf(fluxdAt, "."))
	}
	const release = "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: %[1]s, namespace: %[2]s}\nspec:\n  releaseName: %[1]s\n  chart: {repository: 'https://charts.fluxcd.io', name: flux, version: 1.13.3}\n  values: {git: {url: 'git@git.example.com:org/%[3]s'}}\n"
	inv, err := Values(t.Context(), []ValuesFile{{Name: "flux/platform", File: "platform.yaml", Content: []byte("git: {url: 'git@git.example.com:org/platform', branch: main}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	inv, err = Repositories(t.Context(), inv, []Folder{
		folder("platform", deployment("one"), fmt.Sprintf(release, "two", "two", "two"), fmt.Sprintf(release, "platform", "flux", "platform"),
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: one}\n"),
		folder("one", deployment("three")), folder("two", deployment("two")),
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkInventory(t, inv)
	objects := map[string]int{}
	for _, a := range inv.Agents {
		objects[a.ID] = len(a.Objects)
		if a.ID != "flux/platform" && (a.InstalledBy != "flux1" || !slices.Contains(a.Unknown, "running")) {
			t.Errorf("%s: installed by %q, unknown %q", a.ID, a.InstalledBy, a.Unknown)
		}
	}
	if want := map[string]int{"flux/platform": 4, "one/flux": 1, "two/two": 1, "two/flux": 1, "three/flux": 0}; !maps.Equal(objects, want) {
		t.Errorf("agents and how many objects each applies: %v, want %v", objects, want)
	}
	wantFinding(t, inv, AgentInGit, "the repository of one/flux holds this agent's own Deployment")
}

// describedBy are agents by their chart values, by their names, with the repository org/top read from a folder of files.
func describedBy(t *testing.T, values, files map[string]string) migrate.Inventory {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var described []ValuesFile
	for _, name := range slices.Sorted(maps.Keys(values)) {
		described = append(described, ValuesFile{Name: name, File: "flux.yaml", Version: "1.13.3", Content: []byte(values[name])})
	}
	inv, err := Values(t.Context(), described)
	if err != nil {
		t.Fatal(err)
	}
	if inv, err = Repositories(t.Context(), inv, []Folder{{URL: "git@h:org/top", Dir: dir}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	return inv
}

// What Flux v2 does to an agent is told also of one that is known already, whether its HelmRelease
// is applied or stands beside what is.
func TestWhatFlux2MakesOfAKnownAgentIsTold(t *testing.T) {
	const release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: flux, namespace: NAMESPACE}\nspec:\n  chart: {spec: {chart: flux, version: 1.13.3, sourceRef: {kind: HelmRepository, name: fluxcd}}}\n" +
		"  postRenderers: [{kustomize: {patches: []}}]\n  values: {git: {url: 'git@h:org/x', branch: main}}\n---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: fluxcd, namespace: NAMESPACE}\nspec: {url: 'https://charts.fluxcd.io'}\n"
	const x = "git: {url: 'git@h:org/x', branch: main}\n"
	inv := describedBy(t, map[string]string{"top/flux": "git: {url: 'git@h:org/top', branch: main, path: agents}\n", "one/flux": x, "two/flux": x}, map[string]string{
		"agents/hr.yaml": strings.ReplaceAll(release, "NAMESPACE", "one"), "beside/hr.yaml": strings.ReplaceAll(release, "NAMESPACE", "two")})
	equal(t, "agents", agentIDs(inv), []string{"one/flux", "top/flux", "two/flux"})
	for _, code := range []flux1.Code{AgentManaged, ReleasePostRendered} {
		wantFinding(t, inv, code, "one/flux", "agents/hr.yaml:1")
		wantFinding(t, inv, code, "two/flux", "beside/hr.yaml:1")
	}
}

// What keeps an agent is to be suspended as it can be, and not deleted: all such controllers delete what they made.
func TestWhatIsToBeDoneAboutAKeeperIsOfItsKind(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: shop}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=git@h:a/b']}]}}}\n"
	kept := func(by string) migrate.Inventory {
		return liveIn(t, strings.Replace(deployment, "namespace: shop}", "namespace: shop, "+by+"}", 1))
	}
	for name, c := range map[string]struct {
		inv  migrate.Inventory
		want string
	}{
		"Kustomization":             {kept("labels: {kustomize.toolkit.fluxcd.io/name: apps, kustomize.toolkit.fluxcd.io/namespace: x}"), suspendKustomization},
		"HelmRelease of Flux v2":    {kept("labels: {helm.toolkit.fluxcd.io/name: flux, helm.toolkit.fluxcd.io/namespace: x}"), suspendHelmRelease},
		"HelmRelease of Flux v1":    {kept("annotations: {helm.fluxcd.io/antecedent: 'x:helmrelease/flux'}"), stopHelmOperator},
		"Application":               {kept("annotations: {argocd.argoproj.io/tracking-id: 'platform:apps/Deployment:shop/flux'}"), stopApplication},
		"Kustomization, in Git":     {readTree(t, treeOf("-- a/d.yaml --\n"+deployment+"-- k.yaml --\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: x}\nspec: {path: ./a, sourceRef: {kind: GitRepository, name: it}}\n"), nil), suspendKustomization},
		"HelmRelease of v2, in Git": {readTree(t, treeOf("-- a.yaml --\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: flux, namespace: shop}\nspec: {chart: {spec: {chart: flux, version: 1.13.3, sourceRef: {kind: HelmRepository, name: fluxcd}}}, values: {git: {url: 'git@h:a/b'}}}\n---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: fluxcd, namespace: shop}\nspec: {url: 'https://charts.fluxcd.io'}\n"), nil), suspendHelmRelease},
	} {
		var hints []string
		for _, f := range c.inv.Findings {
			if f.Code == AgentManaged.Name {
				hints = append(hints, f.Hint)
			}
		}
		equal(t, name, hints, []string{c.want})
	}
}

// What an agent applies stays in Git, also where a Kustomization that it does not apply has Flux v2
// do so as well; of what that changes it is not known whose is live.
func TestAnAgentThatFlux2AppliesAsWellStaysInGit(t *testing.T) {
	for spec, unknown := range map[string][]string{
		"prune: true":           nil,
		"path: ./other":         nil,
		"targetNamespace: more": nil,
		"images: [{name: fluxcd/flux, newTag: 1.10.0}]":                                                                        {"image"},
		"commonMetadata: {labels: {chart: flux-1.3.0}}":                                                                        {"chartVersion"},
		"patches: [{patch: '- {op: add, path: /spec/replicas, value: 3}', target: {kind: Deployment}}]":                        {"replicas"},
		"patches: [{patch: '- {op: add, path: /spec/replicas, value: 3}', target: {kind: Deployment}}], targetNamespace: more": nil,
		"suspend: true, images: [{name: fluxcd/flux, newTag: 1.10.0}]":                                                         {"image"},
	} {
		if !strings.Contains(spec, "path: ./") {
			spec += ", path: ./agents"
		}
		inv := describedBy(t, map[string]string{"top/top": "git: {url: 'git@h:org/top', branch: main, path: agents}\n"}, map[string]string{
			"agents/flux.yaml":  fluxdInGit("flux", "one", "--git-url=git@h:org/one"),
			"clusters/all.yaml": "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: all, namespace: flux-system}\nspec: {sourceRef: {kind: GitRepository, name: top}, " + spec + "}\n"})
		equal(t, spec+": agents", agentIDs(inv), []string{"one/flux", "top/top"})
		wantFinding(t, inv, AgentInGit, "the repository of top/top holds this agent's own Deployment")
		a := agentNamed(t, inv, "one/flux")
		var got []string
		for _, name := range []string{"image", "chartVersion", "replicas", "git.url"} {
			if slices.Contains(a.Unknown, name) {
				got = append(got, name)
			}
		}
		equal(t, spec+": unknown", got, unknown)
		if says := "makes another one of it (spec.targetNamespace)"; strings.Contains(spec, "targetNamespace") {
			wantFinding(t, inv, AgentByObject, says)
		} else if unknown != nil && !strings.Contains(spec, "suspend") {
			wantFinding(t, inv, AgentManaged, "which a fluxd applies as well")
		}
	}
}

// Objects of one name in two namespaces are two, also in one file.
func TestAnAgentBesideOneOfItsNameThatIsAppliedIsFound(t *testing.T) {
	ignored := strings.Replace(fluxdInGit("flux", "one", "--git-url=git@h:org/one"), "namespace: one}", "namespace: one, annotations: {fluxcd.io/ignore: 'true'}}", 1)
	inv := describedBy(t, map[string]string{"top/top": "git: {url: 'git@h:org/top', branch: main, path: agents}\n"}, map[string]string{
		"agents/flux.yaml": ignored + "---\n" + fluxdInGit("flux", "two", "--git-url=git@h:org/two")})
	equal(t, "agents", agentIDs(inv), []string{"one/flux", "top/top", "two/flux"})
	equal(t, "installed by", agentNamed(t, inv, "one/flux").InstalledBy, "manifest")
}

// What no agent reads is told of manifests alone, and only where it is known what all agents of the repository read.
func TestWhatNoAgentReadsIsToldWhereItIsKnown(t *testing.T) {
	const object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: y}\n"
	files := map[string]string{"a/x.yaml": object, "b/x.yaml": strings.Replace(object, "name: x", "name: b", 1), "c/x.yaml": strings.Replace(object, "name: x", "name: c", 1),
		"skaffold.yaml": "apiVersion: skaffold/v2beta1\nkind: Config\n", "d/cluster.yaml": "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: c}\n"}
	of := func(more string) string { return "git: {url: 'git@h:org/top', branch: main, " + more + "}\n" }
	inv := describedBy(t, map[string]string{"one/flux": of("path: a"), "two/flux": of("path: b"), "three/flux": strings.Replace(of("path: c"), "main", "other", 1)}, files)
	equal(t, "unread", len(findingsOf(inv, FoldersUnread)), 1)
	wantFinding(t, inv, FoldersUnread, "reads what c holds (1 manifest)")

	one, two := &agent{}, &agent{}
	for a, path := range map[*agent]string{one: "a", two: "b"} {
		a.Git = migrate.AgentGit{URL: "git@h:org/top", Branch: "main", Paths: []string{path}}
		w := &witness{}
		if err := w.loadTree(t.Context(), a, nil, migrate.Cluster{}, origin{git: fixedTree{treeOf("-- a/x.yaml --\n" + object + "-- c/x.yaml --\n" + object)}}, source0()); err != nil {
			t.Fatal(err)
		}
		a.Synced.Commit = "1"
	}
	w := &witness{}
	w.unreadFolders([]*agent{one, two})
	equal(t, "told", len(w.findings), 1)
	two.Synced.Commit = "2"
	w.unreadFolders([]*agent{one, two})
	two.Synced.Commit, two.Unknown = "1", []string{"git.paths"}
	w.unreadFolders([]*agent{one, two})
	two.Unknown, two.read = nil, nil
	w.unreadFolders([]*agent{one, two})
	w.unreadFolders([]*agent{two, one})
	equal(t, "told where one differs, is not known or was not read", len(w.findings), 1)
}

// Of agents whose namespace is not known those alone are one that read the same.
func TestAgentsWithoutANamespaceAreOneOnlyWhereTheyReadTheSame(t *testing.T) {
	const release = "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: flux, namespace: NAMESPACE}\nspec:\n  releaseName: flux\n  chart: {repository: 'https://charts.fluxcd.io', name: flux, version: 1.13.3}\n" +
		"  values: {git: {url: 'git@git.example.com:org/shop', branch: main, path: PATH}}\n"
	in := func(namespace, path string) string {
		return strings.NewReplacer("NAMESPACE", namespace, "PATH", path).Replace(release)
	}
	nameless := func(repository string) string {
		return strings.NewReplacer("org/fleet", "org/"+repository, ", namespace: sync", "").Replace(fmt.Sprintf(fluxdAt, "."))
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a/one.yaml": in("one", "a"), "a/two.yaml": in("two", "b"), "a/three.yaml": nameless("three"), "b/four.yaml": nameless("four"),
	} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	const url = "git@git.example.com:org/shop"
	inv, err := Values(t.Context(), []ValuesFile{{Name: "flux", File: "flux.yaml", Version: "1.13.3", Content: []byte("git: {url: '" + url + "', branch: main, path: a}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	if inv, err = Repositories(t.Context(), inv, []Folder{{URL: url, Dir: dir}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	var got, inGit []string
	for _, a := range inv.Agents {
		got = append(got, a.ID+" "+strings.TrimPrefix(a.Git.URL, "git@git.example.com:org/")+" "+strings.Join(a.Git.Paths, ","))
	}
	for _, f := range inv.Findings {
		if f.Code == AgentInGit.Name {
			inGit = append(inGit, f.Repository+" "+f.Where)
		}
	}
	slices.Sort(inGit)
	equal(t, "agents", got, []string{"default/flux three .", "two/flux shop b", "unknown/flux four .", "values/flux shop a"})
	equal(t, "in Git", inGit, []string{"default/flux a/three.yaml:2", "default/flux b/four.yaml:2", "two/flux a/two.yaml:1", "unknown/flux b/four.yaml:2", "values/flux a/one.yaml:1"})
}

func TestPointersOfGitLFSAreNoManifests(t *testing.T) {
	const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	inv := readTree(t, treeOf("-- .gitattributes --\n# all\n*.png filter=lfs diff=lfs\n-- apps/a.yaml --\n"+pointer+"-- apps/b.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"), nil)
	wantFinding(t, inv, flux1.LFSFiles, "apps/a.yaml")
	wantFinding(t, inv, flux1.Stuck, "apps/a.yaml")
	inv = readTree(t, treeOf("-- apps/a.yaml --\n\x00GITCRYPT\x00\x01\x02\xff\n"), nil)
	wantFinding(t, inv, flux1.Stuck, "apps/a.yaml", "git-crypt encrypts")
	inv = readTree(t, treeOf("-- apps/a.yaml --\n\x00GITCRYPT\x00\x01\n-- apps/b.yaml --\n\x00GITCRYPT\x00\x02\n-- c.yaml --\n{\n"), nil)
	if found := findingsOf(inv, flux1.Stuck); len(found) != 2 {
		t.Errorf("two files of git-crypt and a broken one are told of as %q", found)
	}
	wantFinding(t, inv, flux1.Stuck, "git-crypt encrypts", "apps/a.yaml, apps/b.yaml")
	inv = readTree(t, treeOf("-- docs/.gitattributes --\n*.png filter=lfs diff=lfs\n-- apps/b.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"), nil)
	wantFinding(t, inv, flux1.LFSFiles, "docs/*.png")
	inv = readTree(t, treeOf("-- .gitattributes --\n* text=auto\n-- apps/b.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {a: 'version https://git-lfs.github.com/spec/v1'}\n"), nil)
	noFinding(t, inv, flux1.LFSFiles)
}
