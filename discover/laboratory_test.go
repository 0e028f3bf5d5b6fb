package discover_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/gitserver"
	"github.com/fluxover/fluxover/e2e/laboratory"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/cluster"
	"github.com/fluxover/fluxover/reconcile/source"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// lab starts a fleet of eight teams on a real control plane and Git server,
// synced by the Flux v1 stand-in.
func lab(t *testing.T) *laboratory.Lab {
	t.Helper()
	bin := t.TempDir()
	if err := laboratory.Build(t.Context(), bin, false); err != nil {
		t.Fatal(err)
	}
	l, err := laboratory.Up(t.Context(), laboratory.Options{
		Dir: filepath.Join(t.TempDir(), "lab"), BinDir: bin, Teams: 8, Apps: 3, Seed: 7, PollInterval: 5 * time.Second, WaitSynced: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// discovered runs a discovery and checks what holds for each.
func discovered(t *testing.T, config *rest.Config, o discover.Options) migrate.Inventory {
	t.Helper()
	c, err := cluster.ForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	store, err := source.Open(t.TempDir(), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	var mu sync.Mutex
	lines := 0
	o.Store, o.Progress = store, func(string) { mu.Lock(); lines++; mu.Unlock() }
	started := time.Now()
	inv, err := discover.Cluster(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("discovered %d agents in %s, %d lines of progress, %d findings", len(inv.Agents), time.Since(started).Round(time.Millisecond), lines, len(inv.Findings))
	return inv
}

// TestAFleetOnARealControlPlaneIsFoundWhole compares an Inventory with what
// the fleet's generator knows.
func TestAFleetOnARealControlPlaneIsFoundWhole(t *testing.T) {
	l := lab(t)
	config := l.ControlPlane.Config()
	inv := discovered(t, config, discover.Options{})
	if len(inv.Agents) != len(l.Teams) {
		t.Fatalf("%d agents, want %d", len(inv.Agents), len(l.Teams))
	}
	if inv.Cluster.UID == "" || inv.Cluster.Version != l.ControlPlane.Version || len(inv.Cluster.Kinds) < 50 || len(inv.Cluster.Flux2) != 0 ||
		!slices.Contains(inv.Cluster.Namespaces, "kube-system") {
		t.Errorf("cluster: %+v", inv.Cluster)
	}
	for _, f := range inv.Findings {
		if f.Severity == migrate.Blocker {
			t.Errorf("%s", f)
		}
	}
	for _, team := range l.Teams {
		checkTeam(t, l, team, inv)
	}
	text, err := json.Marshal(inv)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets(t, config) {
		if strings.Contains(string(text), secret) {
			t.Errorf("the inventory tells a secret")
		}
	}
	again := discovered(t, config, discover.Options{Parallel: 2})
	if diff := cmp.Diff(inv, again, cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.String(), "Tree") }, cmp.Ignore())); diff != "" {
		t.Errorf("a second discovery differs: %s", diff)
	}

	t.Run("the saved file and Terraform say the same", func(t *testing.T) { witnessesAgree(t, l, inv) })
	t.Run("agents that are behind, stuck or unreadable are kept", func(t *testing.T) { changedFleet(t, l) })
	t.Run("a narrow account yields findings", func(t *testing.T) { narrowAccount(t, l) })
}

// witnessesAgree compares what the cluster says with what is read back from the
// saved file, and with what Terraform that declares the fleet says, in all that
// each can know.
func witnessesAgree(t *testing.T, l *laboratory.Lab, live migrate.Inventory) {
	var file bytes.Buffer
	if err := discover.Save(t.Context(), &file, live); err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets(t, l.ControlPlane.Config()) {
		if strings.Contains(file.String(), secret) {
			t.Error("the saved file tells a secret")
		}
	}
	t.Logf("saved %d agents in %d bytes", len(live.Agents), file.Len())
	saved, err := discover.Open(t.Context(), &file)
	if err != nil {
		t.Fatal(err)
	}
	// Trees are read anew, and what witnesses were compared by is not kept.
	notSaved := cmp.FilterPath(func(p cmp.Path) bool {
		return slices.ContainsFunc([]string{"Tree", "HeadObjects", "HeadProblem", "Parts", "Digest"}, func(field string) bool { return strings.HasSuffix(p.String(), field) })
	}, cmp.Ignore())
	if diff := cmp.Diff(live, saved, notSaved, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("read back, the inventory differs: %s", diff)
	}
	for _, groupBy := range []string{"", "path"} {
		var plans []string
		for _, inv := range []migrate.Inventory{live, saved} {
			plan, err := proof.Plan(t.Context(), inv, migrate.Options{GroupBy: groupBy}, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.MarshalIndent(plan, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			plans = append(plans, string(text))
		}
		if diff := cmp.Diff(plans[0], plans[1]); diff != "" {
			t.Errorf("group by %q: the plan from the saved file differs: %s", groupBy, diff)
		}
	}

	dir := t.TempDir()
	declared := map[string]any{}
	for _, team := range l.Teams {
		declared[team.Release] = map[string]any{"namespace": team.AgentNamespace, "values": team.ChartValues(l.Git)}
	}
	values, err := json.Marshal(declared)
	if err != nil {
		t.Fatal(err)
	}
	configuration := fmt.Sprintf(`locals {
  teams = jsondecode(file("${path.module}/teams.json"))
}
resource "helm_release" "flux" {
  for_each  = local.teams
  name      = each.key
  namespace = each.value.namespace
  chart     = "flux"
  version   = %q
  values    = [yamlencode(each.value.values)]
}
`, live.Agents[0].ChartVersion)
	for name, content := range map[string][]byte{"main.tf": []byte(configuration), "teams.json": values} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tf, err := discover.Terraform(t.Context(), discover.TerraformOptions{Dirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	parts := func(a migrate.Flux1Agent) map[string]any {
		// What only one of the witnesses can know is left out.
		all := map[string]any{
			"git": a.Git, "sync": a.Sync, "manifestGeneration": a.ManifestGeneration, "sops": a.SOPS, "allowedNamespaces": a.AllowedNamespaces,
			"defaultNamespace": a.DefaultNamespace, "imageAutomation": a.ImageAutomation, "serviceAccount": a.ServiceAccount, "confinement": a.Confinement.Kind,
			"chartVersion": a.ChartVersion, "workload": a.Workload, "cpu": a.Requests.CPU, "credential": a.Credential.Kind, "known hosts": a.Credential.KnownHosts, "identity": a.Credential.Identity,
		}
		for _, name := range a.Unknown { // the last three without a cluster
			if !slices.Contains([]string{"confinement", "counts", "running", "synced"}, name) {
				t.Errorf("%s: %s is unknown", a.ID, name)
			}
		}
		return all
	}
	if len(tf.Agents) != len(live.Agents) {
		t.Fatalf("Terraform declares %d agents, and %d run", len(tf.Agents), len(live.Agents))
	}
	for i, a := range live.Agents {
		if diff := cmp.Diff(parts(a), parts(tf.Agents[i]), cmpopts.EquateEmpty()); a.ID != tf.Agents[i].ID || diff != "" {
			t.Errorf("%s, in Terraform %s: %s", a.ID, tf.Agents[i].ID, diff)
		}
	}
	// The state of the same releases says so without the configuration.
	var resources []map[string]any
	for _, team := range l.Teams {
		values, err := json.Marshal(team.ChartValues(l.Git))
		if err != nil {
			t.Fatal(err)
		}
		metadata := map[string]any{"name": team.Release, "namespace": team.AgentNamespace, "chart": "flux", "version": live.Agents[0].ChartVersion, "values": string(values)}
		resources = append(resources, map[string]any{
			"mode": "managed", "type": "helm_release", "name": "flux", "provider": `provider["registry.terraform.io/hashicorp/helm"]`,
			"instances": []any{map[string]any{"index_key": team.Release, "attributes": map[string]any{"name": team.Release, "metadata": []any{metadata}}}},
		})
	}
	text, err := json.Marshal(map[string]any{"version": 4, "resources": resources})
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "fleet.tfstate")
	if err := os.WriteFile(state, text, 0o600); err != nil {
		t.Fatal(err)
	}
	alone, err := discover.Terraform(t.Context(), discover.TerraformOptions{StateFiles: []string{state}})
	if err != nil {
		t.Fatal(err)
	}
	if len(alone.Agents) != len(live.Agents) {
		t.Fatalf("the state holds %d agents, and %d run", len(alone.Agents), len(live.Agents))
	}
	for i, a := range live.Agents {
		if diff := cmp.Diff(parts(a), parts(alone.Agents[i]), cmpopts.EquateEmpty()); a.ID != alone.Agents[i].ID || diff != "" {
			t.Errorf("%s, in the state %s: %s", a.ID, alone.Agents[i].ID, diff)
		}
	}
	for _, other := range []migrate.Inventory{tf, alone} {
		for _, f := range discover.Merge(live, other).Findings {
			if f.Code == discover.WitnessesDisagree.Name || f.Code == discover.LiveNotDeclared.Name || f.Code == discover.DeclaredNotLive.Name {
				t.Errorf("%s", f)
			}
		}
	}
}

func checkTeam(t *testing.T, l *laboratory.Lab, team fleet.Team, inv migrate.Inventory) {
	t.Helper()
	id := team.AgentNamespace + "/" + team.Release
	i := slices.IndexFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return a.ID == id })
	if i < 0 {
		t.Errorf("no agent %s", id)
		return
	}
	a := inv.Agents[i]
	head, err := l.Git.Head(t.Context(), team.Repo, team.Branch)
	if err != nil {
		t.Fatal(err)
	}
	collection := migrate.CollectOff
	if team.GarbageCollection {
		collection = migrate.CollectOn
	}
	type facts struct {
		Release, ChartVersion, InstalledBy, Workload, Branch, SyncTag, State, DefaultNamespace, Account, Confinement, Commit, CPU string
		Paths                                                                                                                     []string
		Poll, Sync                                                                                                                time.Duration
		Collection                                                                                                                migrate.GarbageCollection
		Objects, Applications, Behind, Marked                                                                                     int
		Running, Images                                                                                                           bool
	}
	got := facts{a.Release, a.ChartVersion, a.InstalledBy, a.Workload, a.Git.Branch, a.Git.SyncTag, a.Sync.State, a.DefaultNamespace,
		a.ServiceAccount, a.Confinement.Kind, a.Synced.Commit, a.Requests.CPU, a.Git.Paths, a.Git.PollInterval.Duration, a.Sync.Interval.Duration,
		a.Sync.GarbageCollection, a.Counts.Objects, a.Counts.Applications, a.Synced.Behind, len(a.Marked), a.Running != nil && *a.Running, a.ImageAutomation}
	want := facts{team.Release, got.ChartVersion, "helm", team.Release, team.Branch, "flux-sync", "git", "default",
		team.Release, "cluster-admin", head, "1", []string{team.Path}, 5 * time.Second, 5 * time.Minute,
		collection, team.Objects, 4, 0, team.Objects, true, false} // three applications and the namespace's folder
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", id, diff)
	}
	if a.ChartVersion == "" || len(a.Unknown) != 0 || a.SharedAccount {
		t.Errorf("%s: chart %q, unknown %v, shared account %v", id, a.ChartVersion, a.Unknown, a.SharedAccount)
	}
	kind := "basic"
	if team.SSH {
		kind = "ssh"
	}
	if a.Credential.Kind != kind {
		t.Errorf("%s: credential %+v", id, a.Credential)
	}
	// What fluxd applied, as it marked it, is what Load finds in Git.
	var inGit []string
	for _, o := range a.Objects {
		if o.Class != migrate.ClassApplied || o.Line == 0 || o.Manifest == nil {
			t.Errorf("%s: object %+v", id, o)
		}
		inGit = append(inGit, o.ID)
	}
	slices.Sort(inGit)
	if diff := cmp.Diff(inGit, a.Marked); diff != "" {
		t.Errorf("%s: marked objects differ from those in Git: %s", id, diff)
	}
	owned := slices.ContainsFunc(a.Rights, func(b migrate.Binding) bool {
		return b.Role.Kind == "ClusterRole" && b.Role.Name == team.Release && b.ReleaseOwned && b.Group == "" && len(b.Rules) > 0
	})
	if !owned {
		t.Errorf("%s: rights %+v", id, a.Rights)
	}
	for _, s := range a.Settings {
		if s.Fate == migrate.Unknown || s.Fate == migrate.Blocks ||
			!strings.HasPrefix(s.From[0].Where, "Deployment/"+id) && !strings.HasPrefix(s.From[0].Where, "Secret/"+team.AgentNamespace+"/sh.helm.release.v1."+team.Release+".v") {
			t.Errorf("%s: setting %+v", id, s)
		}
	}
}

// secrets are all passwords and keys of the cluster.
func secrets(t *testing.T, config *rest.Config) []string {
	t.Helper()
	c, err := cluster.ForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.Kube.CoreV1().Secrets(fleet.AgentNamespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, s := range list.Items {
		for key, value := range s.Data {
			if key == "identity" || key == "GIT_AUTHKEY" {
				values = append(values, strings.TrimSpace(string(value)))
			}
		}
	}
	if len(values) < 8 {
		t.Fatalf("only %d secrets", len(values))
	}
	return values
}

func find(inv migrate.Inventory, id, code string) *migrate.Finding {
	for i, f := range inv.Findings {
		if f.Repository == id && f.Code == code {
			return &inv.Findings[i]
		}
	}
	return nil
}

// changedFleet stops the agents, so that nothing moves, and changes what is
// around them.
func changedFleet(t *testing.T, l *laboratory.Lab) {
	config := l.ControlPlane.Config()
	c, err := cluster.ForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	id := func(i int) string { return l.Teams[i].AgentNamespace + "/" + l.Teams[i].Release }
	for _, team := range l.Teams {
		_, err := c.Kube.AppsV1().Deployments(team.AgentNamespace).Patch(t.Context(), team.Release, types.MergePatchType,
			[]byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	err = cluster.Wait(t.Context(), 100*time.Millisecond, time.Minute, func(ctx context.Context) (bool, string, error) {
		pods, err := c.Kube.CoreV1().Pods(fleet.AgentNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app=flux"})
		if err != nil {
			return false, "", err
		}
		return len(pods.Items) == 0, fmt.Sprintf("%d pods are left", len(pods.Items)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	commit := func(i int, files map[string][]byte) {
		if _, err := l.Git.Commit(t.Context(), l.Teams[i].Repo, l.Teams[i].Branch, "change", files); err != nil {
			t.Fatal(err)
		}
	}
	commit(0, map[string][]byte{"README.md": []byte("one")})
	commit(0, map[string][]byte{"README.md": []byte("two")})
	commit(1, map[string][]byte{l.Teams[1].Path + "/broken.yaml": []byte("{broken")})
	if err := l.Git.Fail(l.Teams[2].Repo, gitserver.Refuse); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Git.Fail(l.Teams[2].Repo, gitserver.None); err != nil {
			t.Error(err)
		}
	})
	// A key that the server does not know, and a release that is no release.
	sshTeam := slices.IndexFunc(l.Teams, func(team fleet.Team) bool {
		return team.SSH && team.Repo != l.Teams[0].Repo && team.Repo != l.Teams[2].Repo
	})
	if _, err := c.Kube.CoreV1().Secrets(l.Teams[sshTeam].AgentNamespace).Patch(t.Context(), l.Teams[sshTeam].KeySecret(), types.MergePatchType,
		[]byte(`{"data":{"identity":"TUFSS0VELVNFQ1JFVA=="}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kube.CoreV1().Secrets(l.Teams[4].AgentNamespace).Patch(t.Context(), "sh.helm.release.v1."+l.Teams[4].Release+".v1", types.MergePatchType,
		[]byte(`{"data":{"release":"TUFSS0VELVNFQ1JFVA=="}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	// A live object is told to be ignored.
	a5 := l.Teams[5]
	if _, err := c.Kube.CoreV1().Namespaces().Patch(t.Context(), a5.Namespace, types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"fluxcd.io/ignore":"true"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}

	inv := discovered(t, config, discover.Options{})
	if len(inv.Agents) != len(l.Teams) {
		t.Fatalf("%d agents, want %d", len(inv.Agents), len(l.Teams))
	}
	agent := func(i int) migrate.Flux1Agent {
		return inv.Agents[slices.IndexFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return a.ID == id(i) })]
	}
	if a := agent(0); a.Synced.Behind != 2 || a.Synced.Head == a.Synced.Commit || *a.Running {
		t.Errorf("%s: %+v, running %v", a.ID, a.Synced, *a.Running)
	}
	if f := find(inv, id(1), discover.StuckAtHead.Name); f == nil || !strings.Contains(f.Where, "broken.yaml:1") || !strings.Contains(f.Message, agent(1).Synced.Commit[:12]) {
		t.Errorf("stuck at head: %v", f)
	}
	if a := agent(1); a.Counts.Objects != l.Teams[1].Objects {
		t.Errorf("%s: %+v", a.ID, a.Counts)
	}
	if f := find(inv, id(2), discover.GitUnreadable.Name); f == nil && find(inv, id(2), discover.GitAuth.Name) == nil {
		t.Errorf("no finding for the repository that cannot be read: %v", inv.Findings)
	}
	if a := agent(2); !slices.Contains(a.Unknown, "synced") || a.Counts.Objects != 0 || len(a.Marked) != l.Teams[2].Objects {
		t.Errorf("%s: unknown %v, %+v, %d marked", a.ID, a.Unknown, a.Counts, len(a.Marked))
	}
	if f := find(inv, id(sshTeam), discover.GitAuth.Name); f == nil || !strings.Contains(f.Where, l.Teams[sshTeam].KeySecret()) {
		t.Errorf("wrong key: %v", f)
	}
	if f := find(inv, id(4), discover.ReleaseCorrupt.Name); f == nil || !strings.Contains(f.Where, "sh.helm.release.v1."+l.Teams[4].Release+".v1") {
		t.Errorf("corrupt release: %v", f)
	}
	i := slices.IndexFunc(agent(5).Objects, func(o migrate.Object) bool { return o.ID == "_"+a5.Namespace+"__Namespace" })
	if i < 0 || agent(5).Objects[i].Class != migrate.ClassIgnored || agent(5).Counts.Objects != a5.Objects-1 {
		t.Errorf("%s: the live ignore annotation has no effect: %+v", id(5), agent(5).Counts)
	}
	text, err := json.Marshal(inv)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "MARKED-SECRET") {
		t.Error("the inventory tells a secret")
	}
}

// narrowAccount looks at the cluster as an account that may list Deployments
// only, and as one that may do nothing.
func narrowAccount(t *testing.T, l *laboratory.Lab) {
	c, err := cluster.ForConfig(l.ControlPlane.Config())
	if err != nil {
		t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Name: "narrow", Namespace: "default"}
	if _, err := c.Kube.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	as := rest.CopyConfig(l.ControlPlane.Config())
	as.Impersonate = rest.ImpersonationConfig{UserName: cluster.ServiceAccountUser("default", "narrow"), Groups: cluster.ServiceAccountGroups("default")}
	inv := discovered(t, as, discover.Options{})
	if f := find(inv, "", discover.RBACMissing.Name); len(inv.Agents) != 0 || f == nil {
		t.Errorf("an account without rights: %d agents, %v", len(inv.Agents), inv.Findings)
	}
	_, err = c.Kube.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "narrow"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"list"}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Kube.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "narrow"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "narrow"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: "narrow"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = cluster.Wait(t.Context(), 100*time.Millisecond, 30*time.Second, func(ctx context.Context) (bool, string, error) {
		narrow, err := cluster.ForConfig(as)
		if err != nil {
			return false, "", err
		}
		_, err = narrow.Kube.AppsV1().Deployments("").List(ctx, metav1.ListOptions{Limit: 1})
		return err == nil, fmt.Sprint(err), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	inv = discovered(t, as, discover.Options{})
	if len(inv.Agents) != len(l.Teams) {
		t.Fatalf("%d agents, want %d", len(inv.Agents), len(l.Teams))
	}
	for _, resource := range []string{"namespaces", "rolebindings", "clusterrolebindings", "secrets", "pods", "configmaps"} {
		if !slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool {
			return f.Code == discover.RBACMissing.Name && strings.Contains(f.Message, resource) && strings.Contains(f.Message, "unknown")
		}) {
			t.Errorf("no finding names %s", resource)
		}
	}
	for _, a := range inv.Agents {
		if !slices.Contains(a.Unknown, "confinement") || !slices.Contains(a.Unknown, "synced") || !slices.Contains(a.Unknown, "defaultNamespace") ||
			a.Confinement.Kind != "" || a.DefaultNamespace != "" || a.Synced.Commit != "" {
			t.Errorf("%s: unknown %v, %+v", a.ID, a.Unknown, a.Confinement)
		}
	}
}
