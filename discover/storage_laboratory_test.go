package discover_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/e2e/controlplane"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/machine"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/cluster"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protowire"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientdiscovery "k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// plane starts a control plane without agents.
func plane(t *testing.T) (*controlplane.ControlPlane, *cluster.Client) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane; not with -short")
	}
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Dir: filepath.Join(t.TempDir(), "plane")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := cluster.ForConfig(cp.Config())
	if err != nil {
		t.Fatal(err)
	}
	return cp, c
}

// installer installs agents with Helm's own library.
type installer struct {
	t *testing.T
	c *cluster.Client
	// namespace of the getter.
	namespace string
}

func (i installer) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(i.c.Config), nil }

func (i installer) ToDiscoveryClient() (clientdiscovery.CachedDiscoveryInterface, error) {
	return i.c.Discovery, nil
}

func (i installer) ToRESTMapper() (meta.RESTMapper, error) { return i.c.Mapper, nil }

func (i installer) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: i.namespace}})
}

func (i installer) helm(namespace, driver string) *action.Configuration {
	i.t.Helper()
	i.namespace = namespace
	config := &action.Configuration{}
	if err := config.Init(i, namespace, driver, func(string, ...any) {}); err != nil {
		i.t.Fatal(err)
	}
	return config
}

// values of an agent; replicas 0, since nothing runs pods here.
func values(branch string) map[string]any {
	return map[string]any{
		"replicaCount": 0, "token": "MARKED-SECRET-token",
		"git":       map[string]any{"url": "https://bot:MARKED-SECRET-url@git.example.com/org/app", "branch": branch, "path": "deploy"},
		"extraEnvs": []any{map[string]any{"name": "PASSWORD", "value": "MARKED-SECRET-env"}},
	}
}

func (i installer) install(namespace, name, driver string, values map[string]any) *action.Configuration {
	i.t.Helper()
	_, err := i.c.Kube.CoreV1().Namespaces().Create(i.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil {
		i.t.Fatal(err)
	}
	chart, err := fleet.Chart()
	if err != nil {
		i.t.Fatal(err)
	}
	config := i.helm(namespace, driver)
	install := action.NewInstall(config)
	install.ReleaseName, install.Namespace = name, namespace
	if _, err := install.RunWithContext(i.t.Context(), chart, values); err != nil {
		i.t.Fatal(err)
	}
	return config
}

func (i installer) upgrade(config *action.Configuration, namespace, name string, values map[string]any) error {
	i.t.Helper()
	chart, err := fleet.Chart()
	if err != nil {
		i.t.Fatal(err)
	}
	upgrade := action.NewUpgrade(config)
	upgrade.Namespace = namespace
	_, err = upgrade.RunWithContext(i.t.Context(), name, chart, values)
	return err
}

// workload is the Deployment that a release made.
func (i installer) workload(namespace string) *appsv1.Deployment {
	i.t.Helper()
	list, err := i.c.Kube.AppsV1().Deployments(namespace).List(i.t.Context(), metav1.ListOptions{LabelSelector: "app=flux"})
	if err != nil || len(list.Items) != 1 {
		i.t.Fatalf("Deployments of namespace %s: %v, %v", namespace, list, err)
	}
	return &list.Items[0]
}

// read discovers without Git, and checks that no secret is told.
func read(t *testing.T, config *rest.Config) migrate.Inventory {
	t.Helper()
	c, err := cluster.ForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var lines []string
	inv, err := discover.Cluster(t.Context(), c, discover.Options{SkipGit: true, Progress: func(s string) { mu.Lock(); lines = append(lines, s); mu.Unlock() }})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(inv)
	if err != nil {
		t.Fatal(err)
	}
	if all := string(text) + strings.Join(lines, "\n"); strings.Contains(all, "MARKED-SECRET") {
		t.Errorf("a secret is told: …%s…", all[max(0, strings.Index(all, "MARKED-SECRET")-200):strings.Index(all, "MARKED-SECRET")])
	}
	return inv
}

// wants checks that an agent has a finding whose message holds all words.
func wants(t *testing.T, inv migrate.Inventory, id string, code flux1.Code, words ...string) {
	t.Helper()
	var seen []string
	for _, f := range inv.Findings {
		if f.Repository != id || f.Code != code.Name {
			continue
		}
		text := f.Subject + " " + f.Where + " " + f.Message
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return
		}
		seen = append(seen, text)
	}
	t.Errorf("%s: no %s with %q, only %q", id, code.Name, words, seen)
}

// lacks checks that an agent has no finding of a kind.
func lacks(t *testing.T, inv migrate.Inventory, id string, codes ...flux1.Code) {
	t.Helper()
	for _, f := range inv.Findings {
		if f.Repository == id && slices.ContainsFunc(codes, func(c flux1.Code) bool { return c.Name == f.Code }) {
			t.Errorf("%s: %s", id, f)
		}
	}
}

// TestReleasesAreReadHoweverHelmKeepsThem has Helm's own library install,
// upgrade and fail on a real API server, by both of its drivers, and changes
// things behind its back.
func TestReleasesAreReadHoweverHelmKeepsThem(t *testing.T) {
	_, c := plane(t)
	i := installer{t: t, c: c}
	kube, ctx := c.Kube, t.Context()
	odd := []flux1.Code{discover.ReleaseMissing, discover.ReleaseCorrupt, discover.ReleasePending, discover.ReleaseNotDeployed, discover.EditedByHand, discover.RenderedOtherwise, discover.Helm2Release, discover.ReleaseElsewhere}

	plain := i.install("plain", "plain", "secret", values("one"))
	if err := i.upgrade(plain, "plain", "plain", values("main")); err != nil {
		t.Fatal(err)
	}
	i.install("maps", "maps", "configmap", values("main"))
	i.install("edited", "edited", "configmap", values("main"))
	d := i.workload("edited")
	args := slices.Clone(d.Spec.Template.Spec.Containers[0].Args)
	for n, arg := range args {
		if arg == "--git-branch=main" {
			args[n] = "--git-branch=hotfix"
		}
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{
		"name": d.Spec.Template.Spec.Containers[0].Name, "image": "mirror.example.com/flux:debug", "args": append(args, "--git-timeout=3m"),
	}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kube.AppsV1().Deployments("edited").Patch(ctx, d.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}

	bad := values("next")
	bad["replicaCount"] = -1
	if err := i.upgrade(i.install("failed", "failed", "secret", values("main")), "failed", "failed", bad); err == nil {
		t.Fatal("the upgrade was to fail")
	}
	cut := i.install("cut", "cut", "secret", values("main"))
	last, err := cut.Releases.Last("cut")
	if err != nil {
		t.Fatal(err)
	}
	last.Version, last.Info.Status = 2, release.StatusPendingUpgrade
	if err := cut.Releases.Create(last); err != nil {
		t.Fatal(err)
	}
	i.install("moved", "moved", "secret", values("main"))
	moveSecret(t, c, "moved", "sh.helm.release.v1.moved.v1", "plain", "sh.helm.release.v1.moved.v9")
	i.install("sql", "sql", "memory", values("main"))
	i.install("old", "old", "memory", values("main"))
	makeHelm2(t, c, "old", i.workload("old"))

	inv := read(t, c.Config)
	if len(inv.Agents) != 8 {
		t.Fatalf("%d agents, want 8: %v", len(inv.Agents), inv.Findings)
	}
	for _, a := range inv.Agents {
		if a.ChartVersion != "1.13.3" || a.InstalledBy != "helm" {
			t.Errorf("%s: chart %q, installed by %q", a.ID, a.ChartVersion, a.InstalledBy)
		}
		branch := settingNamed(a, "--git-branch")
		kinds := map[string]int{}
		for _, o := range branch.From {
			kinds[strings.SplitN(o.Where, "/", 2)[0]]++
		}
		want := map[string]map[string]int{
			"plain/plain": {"Deployment": 1, "Secret": 2}, "maps/maps": {"Deployment": 1, "ConfigMap": 2}, "edited/edited": {"Deployment": 1, "ConfigMap": 2},
			"failed/failed": {"Deployment": 1, "Secret": 2}, "cut/cut": {"Deployment": 1, "Secret": 2}, "moved/moved": {"Deployment": 1, "Secret": 2},
			"sql/sql": {"Deployment": 1}, "old/old": {"Deployment": 1, "ConfigMap": 2},
		}[a.ID]
		if fmt.Sprint(kinds) != fmt.Sprint(want) {
			t.Errorf("%s: --git-branch comes from %v, want %v: %+v", a.ID, kinds, want, branch)
		}
	}
	lacks(t, inv, "plain/plain", odd...)
	lacks(t, inv, "maps/maps", odd...)
	wants(t, inv, "edited/edited", discover.EditedByHand, "edited/edited --git-branch", `"hotfix" live, "main" in the manifest of its release, and "main" by the values of its release`,
		"cluster: Deployment/edited/", "cluster: ConfigMap/edited/sh.helm.release.v1.edited.v1 manifest args[", "values: ConfigMap/edited/sh.helm.release.v1.edited.v1 git.branch")
	wants(t, inv, "edited/edited", discover.EditedByHand, "edited/edited --git-timeout", `"3m0s" live`)
	wants(t, inv, "edited/edited", discover.EditedByHand, "edited/edited image", `"mirror.example.com/flux:debug" live`)
	if a := agentNamed(inv, "edited/edited"); a.Git.Branch != "hotfix" || a.Git.Timeout.Duration != 3*time.Minute {
		t.Errorf("what is live does not count: %+v", a.Git)
	}
	lacks(t, inv, "failed/failed", slices.DeleteFunc(slices.Clone(odd), func(c flux1.Code) bool { return c.Name == discover.ReleaseNotDeployed.Name })...)
	wants(t, inv, "failed/failed", discover.ReleaseNotDeployed, "Secret/failed/sh.helm.release.v1.failed.v2", "revision 2", "failed", "revision 1, which is deployed")
	wants(t, inv, "cut/cut", discover.ReleasePending, "revision 2", "pending-upgrade")
	wants(t, inv, "moved/moved", discover.ReleaseElsewhere, "Secret/plain/sh.helm.release.v1.moved.v9")
	lacks(t, inv, "moved/moved", discover.EditedByHand)
	wants(t, inv, "sql/sql", discover.ReleaseMissing, "HELM_DRIVER=sql")
	wants(t, inv, "old/old", discover.Helm2Release, "ConfigMap/kube-system/old.v1", "deployed")
	lacks(t, inv, "old/old", discover.EditedByHand, discover.ReleaseMissing)

	t.Run("without the right to list Secrets the Deployments are read, and what is missing is said", func(t *testing.T) {
		inv := read(t, withoutSecrets(t, c))
		if len(inv.Agents) != 8 {
			t.Fatalf("%d agents, want 8", len(inv.Agents))
		}
		wants(t, inv, "plain/plain", discover.RBACMissing, "list secrets in namespace plain", "Helm release plain/plain", "the Deployment alone counts")
		lacks(t, inv, "maps/maps", discover.ReleaseMissing)
		if a := agentNamed(inv, "plain/plain"); a.Git.Branch != "main" || a.ChartVersion == "" {
			t.Errorf("%+v", a.Git)
		}
		wants(t, inv, "edited/edited", discover.EditedByHand, "edited/edited --git-branch") // kept in a ConfigMap, which may be read
	})
}

func settingNamed(a migrate.Flux1Agent, name string) migrate.Setting {
	for _, s := range a.Settings {
		if s.Name == name {
			return s
		}
	}
	return migrate.Setting{}
}

func agentNamed(inv migrate.Inventory, id string) migrate.Flux1Agent {
	for _, a := range inv.Agents {
		if a.ID == id {
			return a
		}
	}
	return migrate.Flux1Agent{}
}

// moveSecret puts a release's Secret into another namespace.
func moveSecret(t *testing.T, c *cluster.Client, namespace, name, to, as string) {
	t.Helper()
	s, err := c.Kube.CoreV1().Secrets(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Kube.CoreV1().Secrets(to).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: as, Labels: s.Labels}, Type: s.Type, Data: s.Data}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Kube.CoreV1().Secrets(namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// makeHelm2 keeps a Deployment's release as Tiller would.
func makeHelm2(t *testing.T, c *cluster.Client, name string, d *appsv1.Deployment) {
	t.Helper()
	manifest, err := json.Marshal(map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": d.Name}, "spec": d.Spec})
	if err != nil {
		t.Fatal(err)
	}
	field := func(to []byte, number protowire.Number, value string) []byte {
		return protowire.AppendString(protowire.AppendTag(to, number, protowire.BytesType), value)
	}
	text := field(nil, 3, string(field(nil, 1, string(field(field(nil, 1, "flux"), 4, "1.13.3")))))
	text = field(field(field(text, 4, string(field(nil, 1, "git:\n  branch: main\n"))), 5, "---\n"+string(manifest)), 8, d.Namespace)
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if _, err := zw.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = c.Kube.CoreV1().ConfigMaps("kube-system").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name + ".v1", Labels: map[string]string{"OWNER": "TILLER", "NAME": name, "VERSION": "1", "STATUS": "DEPLOYED"}},
		Data:       map[string]string{"release": base64.StdEncoding.EncodeToString(b.Bytes())},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Kube.AppsV1().Deployments(d.Namespace).Patch(t.Context(), d.Name, types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"heritage":"Tiller","app.kubernetes.io/managed-by":null},"annotations":{"meta.helm.sh/release-name":null,"meta.helm.sh/release-namespace":null}}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// withoutSecrets is an account that may read everything but Secrets.
func withoutSecrets(t *testing.T, c *cluster.Client) *rest.Config {
	t.Helper()
	_, lists, err := c.Discovery.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	var rules []rbacv1.PolicyRule
	for _, list := range lists {
		group, _, _ := strings.Cut(list.GroupVersion, "/")
		if !strings.Contains(list.GroupVersion, "/") {
			group = ""
		}
		rule := rbacv1.PolicyRule{APIGroups: []string{group}, Verbs: []string{"get", "list"}}
		for _, r := range list.APIResources {
			if r.Name != "secrets" && !strings.Contains(r.Name, "/") {
				rule.Resources = append(rule.Resources, r.Name)
			}
		}
		if len(rule.Resources) > 0 {
			rules = append(rules, rule)
		}
	}
	name := metav1.ObjectMeta{Name: "without-secrets"}
	if _, err := c.Kube.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: name, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = c.Kube.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: name,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name.Name},
		Subjects: []rbacv1.Subject{{Kind: "User", Name: name.Name, APIGroup: rbacv1.GroupName}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	as := rest.CopyConfig(c.Config)
	as.Impersonate = rest.ImpersonationConfig{UserName: name.Name, Groups: []string{"system:authenticated"}}
	narrow, err := cluster.ForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	err = cluster.Wait(t.Context(), 100*time.Millisecond, 30*time.Second, func(ctx context.Context) (bool, string, error) {
		_, err := narrow.Kube.AppsV1().Deployments("").List(ctx, metav1.ListOptions{Limit: 1})
		return err == nil, fmt.Sprint(err), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return as
}

// TestAThousandAgentsObjectsAreReadInBoundedTimeAndMemory makes agents that do
// not run, each with objects of its own, and some of nobody.
func TestAThousandAgentsObjectsAreReadInBoundedTimeAndMemory(t *testing.T) {
	agents, each := 60, 10
	if os.Getenv("LONG") != "" {
		agents, each = 1000, 25
	}
	_, c := plane(t)
	ctx, kube := t.Context(), c.Kube
	create := metav1.CreateOptions{}
	padding := strings.Repeat("x", 2000) // as large as a last-applied annotation is
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for n := range agents {
		group.Go(func() error {
			ns := fmt.Sprintf("team-%d", n)
			if _, err := kube.CoreV1().Namespaces().Create(gctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, create); err != nil {
				return err
			}
			url := fmt.Sprintf("https://git.example.com/org/team-%d", n)
			none := int32(0)
			labels := map[string]string{"name": "flux"}
			if _, err := kube.AppsV1().Deployments(ns).Create(gctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "flux"}, Spec: appsv1.DeploymentSpec{
				Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{
					{Name: "flux", Image: "docker.io/fluxcd/flux:1.25.4", Args: []string{"--git-url=" + url, "--git-branch=main"}}}}},
			}}, create); err != nil {
				return err
			}
			mine, gone := flux1.SetName(url, "main", nil), flux1.SetName("https://git.example.com/org/gone", "main", nil)
			for k := range each + 1 {
				name, set := fmt.Sprintf("object-%d", k), mine
				if k == each {
					set = gone
				}
				m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{flux1.MarkLabel: flux1.Mark(set, flux1.ResourceID(ns, "ConfigMap", name))},
					Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": padding}}, Data: map[string]string{"a": padding}}
				if _, err := kube.CoreV1().ConfigMaps(ns).Create(gctx, m, create); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	var peak uint64
	done, sampled := make(chan struct{}), make(chan struct{})
	runtime.GC()
	go func() {
		defer close(sampled)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse+m.StackInuse)
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	started := time.Now()
	inv := read(t, c.Config)
	took := time.Since(started)
	close(done)
	<-sampled
	t.Logf("%d agents with %d objects: %s, %d MiB at most", agents, agents*(each+1), took.Round(time.Millisecond), peak>>20)
	if len(inv.Agents) != agents {
		t.Fatalf("%d agents, want %d", len(inv.Agents), agents)
	}
	for _, a := range inv.Agents {
		if len(a.Marked) != each {
			t.Fatalf("%s: %d objects carry its mark, want %d", a.ID, len(a.Marked), each)
		}
	}
	wants(t, inv, "", discover.ForeignMarks, fmt.Sprintf("%d live objects", agents), "1 in namespace team-0 (team-0:configmap/object-")
	if peak > 512<<20 {
		t.Errorf("%d MiB of memory", peak>>20)
	}
	// What the clock says hangs on what else the machine does: the best of three
	// counts, and where processes queue for a processor, as much longer as they do.
	limit := func() time.Duration { return time.Duration(machine.Crowd() * float64(30*time.Second)) }
	for again := 0; took > limit() && again < 2; again++ {
		started = time.Now()
		read(t, c.Config)
		took = min(took, time.Since(started))
	}
	if took > limit() {
		t.Errorf("it took %s at best, want %s at most", took, limit())
	}
}
