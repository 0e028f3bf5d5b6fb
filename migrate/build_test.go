package migrate

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// agentWith is an agent of the uniform fleet that syncs the given files, each
// holding one ConfigMap named for it in namespace "team"; "namespace.yaml"
// files hold the Namespace.
func agentWith(id string, paths []string, files ...string) Flux1Agent {
	ns, release, _ := strings.Cut(id, "/")
	a := Flux1Agent{
		ID: id, Namespace: ns, Release: release, Workload: release, ServiceAccount: release, InstalledBy: "helm",
		Git: AgentGit{URL: "ssh://git@git.example.com/team/deploy", Branch: "main", Paths: paths,
			PollInterval: metav1.Duration{Duration: time.Minute}, Timeout: metav1.Duration{Duration: 20 * time.Second}},
		Sync:        AgentSync{Interval: metav1.Duration{Duration: 5 * time.Minute}, Timeout: metav1.Duration{Duration: time.Minute}, GarbageCollection: CollectOff, State: "git"},
		Confinement: Confinement{Kind: "custom"},
		Synced:      Synced{Commit: strings.Repeat("a", 40)},
		Credential:  AgentCredential{Kind: "ssh", Identity: SecretKey{Namespace: ns, Name: "key", Key: "identity"}, KnownHosts: "git.example.com " + testHostKey + "\n"},
		Rights: []Binding{{Name: release, Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: release}, ReleaseOwned: true,
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}}},
	}
	roots := paths
	if len(roots) == 0 {
		roots = []string{""}
	}
	for _, f := range files {
		root := ""
		for _, r := range roots {
			if strings.HasPrefix(f, cleanPath(r)) && len(r) >= len(root) {
				root = r
			}
		}
		file := File{Path: f, Kind: FileManifest, Root: root, Kustomization: strings.HasSuffix(f, "kustomization.yaml")}
		if file.Kustomization {
			file.Kind = FileSilent
		}
		a.Files = append(a.Files, file)
		if file.Kustomization {
			continue
		}
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": dnsName(f), "namespace": "team"}}}
		if strings.HasSuffix(f, "namespace.yaml") {
			u.Object = map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "team"}}
		}
		a.Objects = append(a.Objects, Object{ID: ObjectID(u), Class: ClassApplied, File: f, Line: 1, Manifest: u})
	}
	return a
}

func planOf(agents ...Flux1Agent) Plan {
	return Build(Inventory{Cluster: Cluster{UID: "uid"}, Agents: agents}, Options{})
}

func TestApplicationsAreTheTopmostFoldersThatHoldManifests(t *testing.T) {
	for name, c := range map[string]struct {
		paths, files []string
		want         []string // name=path=source
	}{
		"environment and application folders": {
			[]string{"production"}, []string{"production/shop/a.yaml", "production/shop/db/b.yaml", "production/web/a.yaml"},
			[]string{"team-shop=./production/shop=team", "team-web=./production/web=team"},
		},
		"deep folders without files on the way": {
			[]string{"clusters"}, []string{"clusters/eu/prod/shop/a.yaml", "clusters/eu/prod/web/a.yaml"},
			[]string{"team-eu-prod-shop=./clusters/eu/prod/shop=team", "team-eu-prod-web=./clusters/eu/prod/web=team"},
		},
		"flat folder": {
			[]string{"production"}, []string{"production/a.yaml", "production/b.yaml"},
			[]string{"team-production=./production=team"},
		},
		"loose files beside folders": {
			[]string{"production"}, []string{"production/a.yaml", "production/shop/b.yaml"},
			[]string{"team-files=./production=team-files-source", "team-shop=./production/shop=team"},
		},
		"repository root": {
			nil, []string{"shop/a.yaml", "web/b.yaml"},
			[]string{"team-shop=./shop=team", "team-web=./web=team"},
		},
		"a single file": {
			[]string{"production/a.yaml"}, []string{"production/a.yaml"},
			[]string{"team-a=./production=team-a-source"},
		},
		"kustomization file at the path": {
			[]string{"production"}, []string{"production/kustomization.yaml", "production/shop/b.yaml"},
			[]string{"team-production=./production=team"},
		},
		"two paths with folders of one name": {
			[]string{"east", "west"}, []string{"east/shop/a.yaml", "west/shop/b.yaml"},
			[]string{"team-east-shop=./east/shop=team", "team-west-shop=./west/shop=team"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := planOf(agentWith("flux/flux-team", c.paths, c.files...))
			var got []string
			for _, a := range p.Repositories[0].Applications {
				got = append(got, a.Name+"="+a.Path+"="+a.Source)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			for _, a := range p.Repositories[0].Applications {
				if p.Source(ObjectRef{Namespace: AgentNamespace, Name: a.Source}) == nil {
					t.Errorf("the plan lacks source %s", a.Source)
				}
			}
		})
	}
}

func TestEveryObjectBelongsToExactlyOneApplication(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"production"}, "production/a.yaml", "production/shop/b.yaml", "production/shop/x/c.yaml", "production/y/z/d.yaml")
	repo := planOf(a).Repositories[0]
	count := map[string]int{}
	for _, o := range repo.Objects {
		count[o.ID]++
	}
	for _, o := range a.Objects {
		if count[o.ID] != 1 {
			t.Errorf("%s is in %d applications", o.ID, count[o.ID])
		}
	}
}

func TestApplicationsDependOnTheOneThatDefinesTheirNamespace(t *testing.T) {
	p := planOf(agentWith("flux/flux-team", []string{"production"}, "production/web/a.yaml", "production/zz-namespace/namespace.yaml"))
	ks := p.Repositories[0].Kustomizations
	if ks[0].GetName() != "team-zz-namespace" {
		t.Errorf("%s is resumed first", ks[0].GetName())
	}
	deps, _, _ := unstructured.NestedSlice(ks[1].Object, "spec", "dependsOn")
	want := []any{map[string]any{"name": "team-zz-namespace"}}
	if d := cmp.Diff(want, deps); d != "" {
		t.Error(d)
	}
}

func TestApplicationsThatNeedEachOtherBecomeOnePerPath(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"production"}, "production/a/namespace.yaml", "production/b/x.yaml")
	// b defines a namespace that a's object lives in.
	a.Objects[0].Manifest.SetName("one")
	extra := func(file, kind, ns, name string) {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name}}}
		u.SetNamespace(ns)
		a.Objects = append(a.Objects, Object{ID: ObjectID(u), Class: ClassApplied, File: file, Manifest: u})
	}
	extra("production/a/namespace.yaml", "ConfigMap", "two", "c")
	extra("production/b/x.yaml", "Namespace", "", "two")
	extra("production/b/x.yaml", "ConfigMap", "one", "d")
	p := planOf(a)
	if n := len(p.Repositories[0].Kustomizations); n != 1 {
		t.Fatalf("%d Kustomizations, want 1", n)
	}
	if !hasFinding(p, "ONE_APPLICATION") {
		t.Error("nothing says why")
	}
}

// After a circle each path is one again: one of which nothing is built stays none.
func TestAPathThatBuildsNothingIsNoneAfterACircle(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"production", "config"}, "production/a/one.yaml", "production/b/two.yaml")
	a.Objects[0].Manifest.SetNamespace("two")
	a.Objects[1].Manifest.SetNamespace("one")
	for file, name := range map[string]string{"production/a/one.yaml": "one", "production/b/two.yaml": "two"} {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}}
		a.Objects = append(a.Objects, Object{ID: ObjectID(u), Class: ClassApplied, File: file, Manifest: u})
	}
	a.Files = append(a.Files, File{Path: "config/values.yaml", Kind: FileSilent, Root: "config"})
	p := planOf(a)
	var paths []string
	for _, app := range p.Repositories[0].Applications {
		paths = append(paths, app.Path)
	}
	if d := cmp.Diff([]string{"./production"}, paths); d != "" || !hasFinding(p, "ONE_APPLICATION") {
		t.Errorf("%s, findings %v", d, codesOf(p.Findings))
	}
}

func TestFinalValuesComeFromFluxV1(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"production"}, "production/shop/a.yaml")
	a.Sync.GarbageCollection = CollectOn
	a.Sync.Timeout.Duration = 7 * time.Minute
	p := planOf(a)
	spec := p.Repositories[0].Kustomizations[0].Object["spec"]
	want := map[string]any{
		"interval": "5m0s", "retryInterval": "1m0s", "timeout": "7m0s", "path": "./production/shop", "prune": true, "deletionPolicy": "Orphan",
		"serviceAccountName": "team", "sourceRef": map[string]any{"kind": "GitRepository", "name": "team"},
	}
	if d := cmp.Diff(want, spec); d != "" {
		t.Error(d)
	}
	want = map[string]any{"url": "ssh://git@git.example.com/team/deploy", "interval": "1m0s", "timeout": "1m0s",
		"ref": map[string]any{"branch": "main"}, "secretRef": map[string]any{"name": "team-git"}}
	if d := cmp.Diff(want, p.Sources[0].Object["spec"]); d != "" {
		t.Error(d)
	}
	a.Git.Timeout.Duration = 3 * time.Minute
	if timeout, _, _ := unstructured.NestedString(planOf(a).Sources[0].Object, "spec", "timeout"); timeout != "3m0s" {
		t.Errorf("a git timeout of more than a minute becomes %s", timeout)
	}
	// The definition of GitRepository takes no hours here.
	a.Git.Timeout.Duration = 90*time.Minute + 15*time.Second
	if timeout, _, _ := unstructured.NestedString(planOf(a).Sources[0].Object, "spec", "timeout"); timeout != "90m15s" {
		t.Errorf("a git timeout of more than an hour becomes %s", timeout)
	}
	a.Sync.GarbageCollection = CollectDry
	if prune, _, _ := unstructured.NestedBool(planOf(a).Repositories[0].Kustomizations[0].Object, "spec", "prune"); prune {
		t.Error("dry garbage collection counts as off")
	}
}

func TestAnIntervalOfNoneIsNotWrittenAsNeverAgain(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"production"}, "production/shop/a.yaml", "production/web/a.yaml")
	for given, want := range map[time.Duration]string{0: "1s", -time.Minute: "1s", 300 * time.Microsecond: "1s", time.Second: "1s", 2 * time.Second: "2s"} {
		a.Sync.Interval.Duration, a.Git.PollInterval.Duration = given, given
		p := planOf(a)
		for _, u := range append(slices.Clone(p.Repositories[0].Kustomizations), p.Sources...) {
			for _, field := range []string{"interval", "retryInterval"} {
				if got, found, _ := unstructured.NestedString(u.Object, "spec", field); found && got != want {
					t.Errorf("%s of %s is %s where fluxd has %s", field, u.GetKind(), got, given)
				}
			}
		}
		n := 0
		for _, f := range p.Findings {
			if f.Code == "INTERVAL_TOO_SHORT" {
				n++
				if !strings.Contains(f.Message, given.String()) || f.Repository != a.ID {
					t.Errorf("%+v", f)
				}
			}
		}
		if said := n == 2; said != (given < time.Second) {
			t.Errorf("%s is said %d times", given, n)
		}
	}
	a.Unknown = []string{"sync.interval", "git.pollInterval"}
	a.Sync.Interval.Duration, a.Git.PollInterval.Duration = 0, 0
	if p := planOf(a); hasFinding(p, "INTERVAL_TOO_SHORT") {
		t.Error("an interval that is not known is said to be too short")
	}
}

func TestRolesOfTheReleaseAreCopiedAndOthersReferenced(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	rules := a.Rights[0].Rules
	a.Rights = append(a.Rights, Binding{Namespace: "team", Name: "view", Role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"}})
	var got []string
	for _, u := range planOf(a).Repositories[0].Supporting {
		role, _, _ := unstructured.NestedString(u.Object, "roleRef", "name")
		got = append(got, DisplayID(ObjectID(u))+" "+role)
		if u.GetKind() == "ClusterRole" {
			raw, _ := json.Marshal(u.Object["rules"])
			var copied []rbacv1.PolicyRule
			if err := json.Unmarshal(raw, &copied); err != nil || cmp.Diff(rules, copied) != "" {
				t.Errorf("rules %s are not the release's", raw)
			}
		}
	}
	want := []string{"ServiceAccount/flux-system/team ", "ClusterRole/fluxover:team:flux-team ", "ClusterRoleBinding/fluxover:team:flux-team fluxover:team:flux-team", "RoleBinding/team/fluxover:team:view view"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestClusterAdminNeedsADecision(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	a.Confinement.Kind = "cluster-admin"
	inv := Inventory{Agents: []Flux1Agent{a}}
	if p := Build(inv, Options{}); !p.Repositories[0].Blocked || !hasFinding(p, "CLUSTER_ADMIN") {
		t.Error("it is not held back")
	}
	for _, subject := range []string{"flux/flux-team", "*"} {
		p := Build(inv, Options{Decisions: []Decision{{Code: "CLUSTER_ADMIN", Subject: subject, Reason: "r"}}})
		want := []Decision{{Code: "CLUSTER_ADMIN", Subject: "flux/flux-team", Reason: "r"}}
		if p.Repositories[0].Blocked || cmp.Diff(want, p.Accepted) != "" {
			t.Errorf("accepting %s: blocked %v, accepted %v", subject, p.Repositories[0].Blocked, p.Accepted)
		}
	}
	other := Build(inv, Options{Decisions: []Decision{{Code: "EMPTY_SET", Subject: "*"}, {Code: "CLUSTER_ADMIN", Subject: "flux/other"}}})
	if !other.Repositories[0].Blocked {
		t.Error("a decision about something else lifts it")
	}
}

func TestIgnoreKeepsTheDefaultExclusions(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	a.Files = append(a.Files, File{Path: "p/shop/values.yaml", Kind: FileSilent, Root: "p"}, File{Path: "p/chart[1]/templates/x.yaml", Kind: FileChart, Root: "p"})
	text, _, _ := unstructured.NestedString(planOf(a).Sources[0].Object, "spec", "ignore")
	for _, want := range []string{"/p/shop/values.yaml\n", "/p/chart\\[1]/templates/\n", "**/.flux.yaml\n", ".github/\n", "*.zip\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("ignore lacks %q:\n%s", want, text)
		}
	}
}

func TestNamespacesFilledByFluxdAreWrittenByPatches(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"p"}, "p/shop/a.yaml")
	a.Objects[0].NamespaceFilled = true
	patches, _, _ := unstructured.NestedSlice(planOf(a).Repositories[0].Kustomizations[0].Object, "spec", "patches")
	want := []any{map[string]any{"patch": "- op: add\n  path: /metadata/namespace\n  value: \"team\"\n",
		"target": map[string]any{"group": "^$", "kind": "^ConfigMap$", "name": "^p-shop-a-yaml$", "namespace": "^default$"}}}
	if d := cmp.Diff(want, patches); d != "" {
		t.Error(d)
	}
}

func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	make := func() string {
		raw, err := json.Marshal(planOf(
			agentWith("flux/flux-b", []string{"p"}, "p/shop/a.yaml", "p/web/b.yaml", "p/ns/namespace.yaml"),
			agentWith("flux/flux-a", []string{"p"}, "p/shop/a.yaml")))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	first := make()
	for range 20 {
		if d := cmp.Diff(first, make()); d != "" {
			t.Fatal(d)
		}
	}
}

func TestTheFirstWaveIsOneCanary(t *testing.T) {
	var agents []Flux1Agent
	for _, n := range strings.Split("abcdefghijkl", "") {
		agents = append(agents, agentWith("flux/flux-"+n, []string{"p"}, "p/shop/a.yaml", "p/web/"+n+".yaml"))
	}
	agents[3] = agentWith("flux/flux-d", []string{"p"}, "p/shop/a.yaml")
	agents[0].Synced.Commit = "" // held back, so last
	p := planOf(agents...)
	waves := map[int][]string{}
	for _, r := range p.Repositories {
		waves[r.Wave] = append(waves[r.Wave], r.ID)
	}
	if d := cmp.Diff([]string{"flux/flux-d"}, waves[1]); d != "" {
		t.Error(d)
	}
	if len(waves[2]) != 8 || len(waves[3]) != 3 {
		t.Errorf("waves of %d and %d, want 8 and 3", len(waves[2]), len(waves[3]))
	}
	if p.Repository("flux/flux-a").Wave != 3 {
		t.Error("a repository that is held back is not last")
	}
}

func TestNamesAreDNSLabelsUniqueAndShort(t *testing.T) {
	long := strings.Repeat("very-long-folder/", 6)
	p := planOf(agentWith("flux/flux-team", []string{"p"},
		"p/"+long+"one/a.yaml", "p/"+long+"two/a.yaml", "p/Shop_1/a.yaml", "p/shop.1/a.yaml", "p/shop-1/b.yaml"))
	seen := map[string]bool{}
	for _, k := range p.Repositories[0].Kustomizations {
		n := k.GetName()
		if len(n) > maxName || n != dnsName(n) || seen[n] {
			t.Errorf("name %q: %d characters, twice: %v", n, len(n), seen[n])
		}
		seen[n] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d Kustomizations, want 5", len(seen))
	}
}

func hasFinding(p Plan, code string) bool {
	for _, f := range p.Findings {
		if f.Code == code {
			return true
		}
	}
	return false
}

func TestTwoAgentsNeverShareANameBySimilarity(t *testing.T) {
	manifest := func(id string) Flux1Agent {
		a := agentWith(id, []string{"p"}, "p/shop/"+strings.ReplaceAll(id, "/", "-")+".yaml")
		a.Release, a.InstalledBy = "", "manifest"
		return a
	}
	for name, agents := range map[string][]Flux1Agent{
		"two Deployments of one namespace without Helm": {manifest("flux/a"), manifest("flux/b")},
		"one release name in two namespaces":            {agentWith("one/flux-team", []string{"p"}, "p/x/a.yaml"), agentWith("two/flux-team", []string{"p"}, "p/x/b.yaml")},
		"ids that make one name":                        {manifest("a/b-c"), manifest("a-b/c")},
	} {
		t.Run(name, func(t *testing.T) {
			p := planOf(agents...)
			seen := map[string]bool{}
			for _, r := range p.Repositories {
				for _, u := range append(r.Kustomizations, r.Supporting...) {
					if id := ObjectID(u); seen[id] {
						t.Errorf("%s is made twice", id)
					} else {
						seen[id] = true
					}
				}
			}
			if len(p.Sources) != 2 || p.Sources[0].GetName() == p.Sources[1].GetName() {
				t.Errorf("sources %v", p.Sources)
			}
		})
	}
}

// The pattern is that of the definition of GitRepository.
func TestATimeoutOfASourceIsWrittenAsItsDefinitionTakesIt(t *testing.T) {
	taken := regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m))+$`)
	for timeout, want := range map[time.Duration]string{
		1500 * time.Millisecond: "1.5s", 20 * time.Second: "20s", time.Hour - time.Second: "59m59s",
		time.Hour: "60m0s", time.Hour + 500*time.Millisecond: "60m500ms", 90*time.Minute + 15*time.Second: "90m15s", 49 * time.Hour: "2940m0s",
	} {
		got := SourceTimeout(timeout)
		if read, err := time.ParseDuration(got); got != want || !taken.MatchString(got) || err != nil || read != timeout {
			t.Errorf("%s is written %s, want %s", timeout, got, want)
		}
	}
}
