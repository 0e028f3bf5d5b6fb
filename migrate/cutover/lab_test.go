package cutover

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/controlplane"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/chart"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// lab is the control plane that all tests of this package share. Each test has
// namespaces and a Repository of its own.
type lab struct {
	cp     *controlplane.ControlPlane
	c      *cluster.Client
	engine *engineDouble
	stop   context.CancelFunc
}

var (
	sharedLab  *lab
	labOnce    sync.Once
	labErr     error
	fleetCount int
)

func TestMain(m *testing.M) {
	if kubeconfig := os.Getenv(childVariable); kubeconfig != "" {
		os.Exit(child(kubeconfig))
	}
	code := m.Run()
	if sharedLab != nil {
		sharedLab.stop()
		if err := sharedLab.cp.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the control plane:", err)
			code = 1
		}
		if err := os.RemoveAll(sharedLab.cp.Dir); err != nil {
			fmt.Fprintln(os.Stderr, "remove the control plane's folder:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// laboratory starts the shared control plane, the engine's double and a player
// of the kubelet's part, once.
func laboratory(t *testing.T) *lab {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane; not with -short")
	}
	labOnce.Do(func() { sharedLab, labErr = startLab() })
	if labErr != nil {
		t.Fatal(labErr)
	}
	return sharedLab
}

func startLab() (*lab, error) {
	dir, err := os.MkdirTemp("", "fluxover-cutover-")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	cp, err := controlplane.Start(ctx, controlplane.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	c, err := cluster.ForConfig(cp.Config())
	if err != nil {
		return nil, err
	}
	l := &lab{cp: cp, c: c}
	if err := l.installCRDs(ctx); err != nil {
		return nil, err
	}
	if err := (store{c: c}).ensureNamespace(ctx, migrate.AgentNamespace); err != nil {
		return nil, err
	}
	if err := (store{c: c}).ensureNamespace(ctx, migrate.StateNamespace); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	l.stop = stop
	if l.engine, err = startEngine(running, cp.Config()); err != nil {
		return nil, err
	}
	go playKubelet(running, c)
	if err := stockControllers(ctx, c, 1); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *lab) installCRDs(ctx context.Context) error {
	loaded, err := chart.Load()
	if err != nil {
		return err
	}
	crds, err := chartDefinitions(loaded)
	if err != nil {
		return err
	}
	for _, crd := range crds {
		if _, err := l.c.Apply(ctx, crd, "test"); err != nil {
			return err
		}
		if err := awaitServed(ctx, l.c, crd.GetName()); err != nil {
			return err
		}
	}
	return nil
}

// playKubelet makes every pod with the label "test: flux1" run and Ready. A
// pod that is bound to no node is gone as soon as it is deleted, unless a
// test holds it by a finalizer.
func playKubelet(ctx context.Context, c *cluster.Client) {
	for ctx.Err() == nil {
		w, err := c.Kube.CoreV1().Pods(metav1.NamespaceAll).Watch(ctx, metav1.ListOptions{LabelSelector: "test=flux1"})
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		for event := range w.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok || pod.Status.Phase == corev1.PodRunning || pod.DeletionTimestamp != nil {
				continue
			}
			status := fmt.Sprintf(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":%q}]}}`, time.Now().UTC().Format(time.RFC3339))
			_, err := c.Kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, []byte(status), metav1.PatchOptions{FieldManager: "kubelet"}, "status")
			if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "kubelet's part:", err)
			}
		}
	}
}

// team is one repository under Flux v1, as a test sees it.
type team struct {
	t    *testing.T
	lab  *lab
	id   string
	flux string // namespace of the old agent
	shop string // namespace of the workloads
	name string
	// git is what the repository holds, by application.
	git map[string][]*unstructured.Unstructured
	// gone are ids that the repository no longer holds at its head.
	commit string
	head   string
	shared bool
	plan   migrate.Plan
	// verbs differing from adopt, by object name.
	verbs map[string]migrate.ObjectPlan
	// crash ends a run at a point.
	crash func(repository, step string, when When) bool
	// blockedOnReplan is a finding that planning again brings up.
	blockedOnReplan *migrate.Finding
	events          []Event
	// replans says of each plan made anew whether it is to be tried as the future
	// account.
	replans []bool
	// url and credential replace those of a repository that no server has.
	url        string
	credential *migrate.Credential
	// keys are those that its agent decrypts files with, by the keys of their
	// Secret; encrypts is true if there are such files.
	keys     map[string]string
	encrypts bool
}

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func manifest(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

// newTeam installs a Flux v1 agent and lets it sync a small repository.
func newTeam(t *testing.T, change ...func(*team)) *team {
	t.Helper()
	l := laboratory(t)
	fleetCount++
	n := fleetCount
	tm := &team{
		t: t, lab: l, name: fmt.Sprintf("team%d", n), flux: fmt.Sprintf("flux-%d", n), shop: fmt.Sprintf("shop-%d", n),
		commit: commitA, head: commitA, verbs: map[string]migrate.ObjectPlan{},
	}
	tm.id = tm.flux + "/flux"
	ns := tm.shop
	tm.git = map[string][]*unstructured.Unstructured{
		"base": {manifest(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+ns+"}\n")},
		"web": {
			manifest(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: `+ns+`, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example/web:1
        ports: [{containerPort: 80}]
        env: [{name: MODE, value: live}]
`),
			manifest(t, `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: `+ns+`}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80}]
`),
			manifest(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: "+ns+", annotations: {team: shop}}\ndata: {colour: blue}\n"),
		},
		"store": {
			manifest(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: "+ns+"}\ndata: {token: c2VjcmV0LXZhbHVlLW9mLXRlYW0=}\n"),
			manifest(t, "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: "+ns+"}\nspec: {minAvailable: 1, selector: {matchLabels: {app: web}}}\n"),
		},
	}
	for _, c := range change {
		c(tm)
	}
	tm.install()
	if tm.keys != nil {
		tm.putKeys()
	}
	tm.sync()
	tm.handEdits()
	tm.plan = tm.makePlan()
	for _, k := range tm.plan.Repositories[0].Kustomizations {
		app := strings.TrimPrefix(k.GetName(), tm.name+"-")
		l.engine.serve(k.GetName(), commitA, tm.git[app])
	}
	l.engine.setHead(tm.name, commitA)
	// The cluster is shared: what a test leaves goes back, and that it can is
	// one more thing tested.
	t.Cleanup(func() {
		tm.crash, tm.t = nil, t
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		err := Rollback(ctx, l.c, RollbackOptions{Repositories: []string{tm.id}, Head: tm.headObjects, Limits: testLimits}, nil)
		if err != nil && !strings.Contains(err.Error(), "nothing was ever done") && !t.Failed() {
			t.Errorf("roll back at the end of the test: %v", err)
		}
	})
	return tm
}

func (tm *team) ctx() context.Context {
	ctx, cancel := context.WithTimeout(tm.t.Context(), 5*time.Minute)
	tm.t.Cleanup(cancel)
	return ctx
}

func (tm *team) must(err error) {
	tm.t.Helper()
	if err != nil {
		tm.t.Fatal(err)
	}
}

// install makes namespace, account, rights, Git Secret and Deployment, as Helm
// would.
func (tm *team) install() {
	ctx, kube := tm.ctx(), tm.lab.c.Kube
	create := metav1.CreateOptions{FieldManager: "helm"}
	tm.must((store{c: tm.lab.c}).ensureNamespace(ctx, tm.flux))
	_, err := kube.CoreV1().ServiceAccounts(tm.flux).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "flux"}}, create)
	tm.must(err)
	_, err = kube.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: tm.flux},
		RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: tm.flux, Name: "flux"}},
	}, create)
	tm.must(err)
	_, err = kube.CoreV1().Secrets(tm.flux).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "flux-git-deploy"}, Data: map[string][]byte{"identity": []byte("private-key-of-" + tm.name)},
	}, create)
	tm.must(err)
	_, err = kube.CoreV1().Secrets(tm.flux).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "sh.helm.release.v1.flux.v1", Labels: map[string]string{"owner": "helm", "name": "flux", "version": "1", "status": "deployed"}},
		Type:       "helm.sh/release.v1", Data: map[string][]byte{"release": []byte("payload")},
	}, create)
	tm.must(err)
	one := int32(1)
	labels := map[string]string{"test": "flux1", "app": "flux"}
	_, err = kube.AppsV1().Deployments(tm.flux).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "flux"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{ServiceAccountName: "flux", Containers: []corev1.Container{{Name: "flux", Image: "docker.io/fluxcd/flux:1.25.4"}}},
			},
		},
	}, create)
	tm.must(err)
	tm.awaitReady()
}

func (tm *team) awaitReady() {
	tm.t.Helper()
	tm.must(cluster.Wait(tm.ctx(), 50*time.Millisecond, time.Minute, func(ctx context.Context) (bool, string, error) {
		d, err := tm.lab.c.Kube.AppsV1().Deployments(tm.flux).Get(ctx, "flux", metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas == 1 && d.Status.ObservedGeneration == d.Generation, "flux is not Ready", err
	}))
}

// kubectl runs the real kubectl, as the old agent's account if as is set.
func (tm *team) kubectl(as bool, input string, args ...string) (string, error) {
	args = append([]string{"--kubeconfig", tm.lab.cp.Kubeconfig}, args...)
	if as {
		args = append(args, "--as=system:serviceaccount:"+tm.flux+":flux")
	}
	cmd := exec.CommandContext(tm.ctx(), filepath.Join(tm.lab.cp.BinDir, "kubectl"), args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// marked is a manifest as fluxd sends it.
func (tm *team) marked(u *unstructured.Unstructured) *unstructured.Unstructured {
	m := u.DeepCopy()
	labels, annotations := m.GetLabels(), m.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	set := flux1.SetName("ssh://git@git.example/"+tm.name, "main", nil)
	labels[flux1.MarkLabel] = flux1.Mark(set, flux1.ResourceID(u.GetNamespace(), u.GetKind(), u.GetName()))
	annotations[flux1.ChecksumAnnotation] = manifestHash(u)[:40]
	m.SetLabels(labels)
	m.SetAnnotations(annotations)
	return m
}

// sync applies the repository the way fluxd does: kubectl apply with marks.
func (tm *team) sync() {
	tm.t.Helper()
	var stream bytes.Buffer
	for _, app := range []string{"base", "web", "store"} {
		for _, u := range tm.git[app] {
			raw, err := json.Marshal(tm.marked(u).Object)
			tm.must(err)
			stream.WriteString("---\n")
			stream.Write(raw)
			stream.WriteString("\n")
		}
	}
	// Built-in kinds are merged alike without the server's OpenAPI, in a third of
	// the time.
	out, err := tm.kubectl(true, stream.String(), "apply", "--openapi-patch=false", "-f", "-")
	if err != nil {
		tm.t.Fatalf("sync of Flux v1: %v\n%s", err, out)
	}
}

// handEdits are what people did with kubectl beside Git: adoption removes it.
func (tm *team) handEdits() {
	tm.t.Helper()
	out, err := tm.kubectl(false, "", "-n", tm.shop, "patch", "deployment", "web", "--type=merge", "-p", `{"spec":{"minReadySeconds":7,"revisionHistoryLimit":3}}`)
	if err != nil {
		tm.t.Fatalf("%v\n%s", err, out)
	}
	if out, err = tm.kubectl(false, "", "-n", tm.shop, "label", "configmap", "settings", "by-hand=yes"); err != nil {
		tm.t.Fatalf("%v\n%s", err, out)
	}
	// Somebody who is not taken over.
	_, err = tm.lab.c.Kube.CoreV1().ConfigMaps(tm.shop).Patch(tm.ctx(), "settings", types.MergePatchType, []byte(`{"data":{"size":"xl"}}`), metav1.PatchOptions{FieldManager: "operator"})
	tm.must(err)
	tm.verbs["Deployment/web"] = migrate.ObjectPlan{Verb: migrate.Change, Fields: []string{".spec.minReadySeconds", ".spec.revisionHistoryLimit"}}
}

func (tm *team) makePlan() migrate.Plan {
	uid, err := clusterUID(tm.ctx(), tm.lab.c)
	tm.must(err)
	labels := map[string]any{migrate.LabelManaged: "true", migrate.LabelNamespace: tm.flux, migrate.LabelRelease: "flux"}
	meta := func(name string) map[string]any {
		return map[string]any{"name": name, "namespace": migrate.AgentNamespace, "labels": labels, "annotations": map[string]any{migrate.AnnotationRepository: tm.id}}
	}
	source := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": sourceKind.GroupVersion().String(), "kind": sourceKind.Kind, "metadata": meta(tm.name),
		"spec": map[string]any{"url": "ssh://git@git.example/" + tm.name, "interval": "1m0s", "ref": map[string]any{"branch": "main"}, "secretRef": map[string]any{"name": tm.name + "-git"}},
	}}
	repo := migrate.Repository{ID: tm.id, Commit: tm.commit, Wave: 1, Sources: []migrate.ObjectRef{{Namespace: migrate.AgentNamespace, Name: tm.name}}}
	for _, app := range []string{"base", "web", "store"} {
		if tm.git[app] == nil {
			continue
		}
		k := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": kustomizationKind.GroupVersion().String(), "kind": kustomizationKind.Kind, "metadata": meta(tm.name + "-" + app),
			"spec": map[string]any{
				"interval": "5m0s", "path": "./" + app, "prune": true, "deletionPolicy": "Orphan", "serviceAccountName": tm.name,
				"sourceRef": map[string]any{"kind": "GitRepository", "name": tm.name},
			},
		}}
		if app != "base" {
			k.Object["spec"].(map[string]any)["dependsOn"] = []any{map[string]any{"name": tm.name + "-base"}}
		}
		repo.Kustomizations = append(repo.Kustomizations, k)
		repo.Applications = append(repo.Applications, migrate.Application{Name: k.GetName(), Path: "./" + app, Source: tm.name})
		for _, u := range tm.git[app] {
			o := migrate.ObjectPlan{ID: migrate.ObjectID(u), Application: k.GetName(), Verb: migrate.Adopt}
			if v, ok := tm.verbs[u.GetKind()+"/"+u.GetName()]; ok {
				o.Verb, o.Fields = v.Verb, v.Fields
			}
			repo.Objects = append(repo.Objects, o)
		}
	}
	repo.Supporting = []*unstructured.Unstructured{
		{Object: map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(tm.name)}},
		{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
			"metadata": map[string]any{"name": "fluxover-" + tm.name, "labels": labels},
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": migrate.AgentNamespace, "name": tm.name}},
		}},
	}
	plan := migrate.Plan{
		APIVersion: migrate.APIVersion, Kind: "Plan", Proof: "server",
		Inputs:       migrate.PlanInputs{Cluster: uid, Agents: map[string]migrate.Fingerprint{}},
		ClusterAgent: migrate.ClusterAgent{Engine: engineExisting, Namespace: migrate.AgentNamespace},
		Sources:      []*unstructured.Unstructured{source},
		Credentials: []migrate.Credential{{
			To: migrate.ObjectRef{Namespace: migrate.AgentNamespace, Name: tm.name + "-git"}, Kind: "ssh", Agent: tm.id, KnownHosts: "git.example ssh-ed25519 AAAA",
			From: map[string]migrate.Value{"identity": {Secret: &migrate.SecretKey{Namespace: tm.flux, Name: "flux-git-deploy", Key: "identity"}}},
		}},
		Repositories: []migrate.Repository{repo},
	}
	if tm.url != "" {
		source.Object["spec"].(map[string]any)["url"] = tm.url
	}
	if tm.credential != nil {
		c := *tm.credential
		c.To, c.Agent = plan.Credentials[0].To, tm.id
		plan.Credentials[0] = c
	}
	tm.planKeys(&plan)
	agent := tm.agent()
	plan.Inputs.Agents[tm.id] = migrate.FingerprintOf(&agent)
	return plan
}

// agent is what discovery would find.
func (tm *team) agent() migrate.Flux1Agent {
	running := true
	a := migrate.Flux1Agent{
		ID: tm.id, Namespace: tm.flux, Release: "flux", InstalledBy: "helm", Workload: "flux", Running: &running,
		Git:            migrate.AgentGit{URL: "git@git.example:" + tm.name, Branch: "main", SyncTag: "flux-sync"},
		Sync:           migrate.AgentSync{State: "git", GarbageCollection: migrate.CollectOn},
		ServiceAccount: "flux", SharedAccount: tm.shared, Synced: migrate.Synced{Commit: tm.commit, Head: tm.head}, Replicas: 1,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"test": "flux1", "app": "flux"}},
	}
	for _, app := range []string{"base", "web", "store"} {
		for _, u := range tm.git[app] {
			a.Objects = append(a.Objects, migrate.Object{ID: migrate.ObjectID(u), Class: migrate.ClassApplied, Manifest: u})
			a.Marked = append(a.Marked, migrate.ObjectID(u))
		}
	}
	tm.withKeys(&a)
	return a
}

func (tm *team) replan(ctx context.Context, _ []string) (migrate.Inventory, migrate.Plan, error) {
	tm.replans = append(tm.replans, Staged(ctx))
	plan := tm.makePlan()
	if f := tm.blockedOnReplan; f != nil {
		plan.Findings = append(plan.Findings, *f)
		plan.Repositories[0].Blocked = true
	}
	return migrate.Inventory{Agents: []migrate.Flux1Agent{tm.agent()}}, plan, nil
}

func (tm *team) marks(context.Context, AgentGit, map[string][]byte) (Marks, error) {
	return Marks{Synced: tm.commit, Head: tm.head}, nil
}

func (tm *team) headObjects(context.Context, string) ([]migrate.Object, error) {
	return tm.agent().Objects, nil
}

var testLimits = Limits{
	Source: 2 * time.Minute, Pods: 2 * time.Minute, Adopt: 2 * time.Minute, Fence: time.Minute, Echo: time.Minute, Ready: 2 * time.Minute,
}

func (tm *team) options() Options {
	return Options{Marks: tm.marks, Head: tm.headObjects, SyncWait: -1, Limits: testLimits, Identity: Identity{User: "alice", Host: "console"}, Crash: tm.crash}
}

func (tm *team) record(e Event) { tm.events = append(tm.events, e) }

func (tm *team) migrate(change ...func(*Options)) error {
	o := tm.options()
	for _, c := range change {
		c(&o)
	}
	return New(tm.lab.c, tm.plan, tm.replan, o, tm.record).Migrate(tm.ctx())
}

func (tm *team) rollback(change ...func(*RollbackOptions)) error {
	o := RollbackOptions{Repositories: []string{tm.id}, Head: tm.headObjects, Limits: testLimits, Identity: Identity{User: "bob", Host: "laptop"}, Crash: tm.crash}
	for _, c := range change {
		c(&o)
	}
	err := Rollback(tm.ctx(), tm.lab.c, o, tm.record)
	if err == nil {
		if got, want := tm.state(), tm.stays(); !slices.Equal(got, want) {
			tm.t.Errorf("after a rollback %s holds %q, and docs/cutover.md says %q", migrate.StateNamespace, got, want)
		}
	}
	return err
}

// breakLease lets the next operator begin at once after a simulated crash: the
// "dead" process is this one, which lives.
func (tm *team) breakLease() {
	tm.t.Helper()
	err := tm.lab.c.Kube.CoordinationV1().Leases(migrate.StateNamespace).Delete(tm.ctx(), leaseName, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		tm.t.Fatal(err)
	}
}

func (tm *team) status() RepositoryStatus {
	tm.t.Helper()
	report, err := Status(tm.ctx(), tm.lab.c)
	tm.must(err)
	for _, r := range report.Repositories {
		if r.ID == tm.id {
			return r
		}
	}
	tm.t.Fatalf("status does not know %s", tm.id)
	return RepositoryStatus{}
}

// picture is the content of the cluster that concerns a team, normalised by
// the list of exceptions in design section 7: resourceVersion, generation,
// status and times do not count. Pods and ReplicaSets are left out, since the
// old agent's pods are made anew; its ReplicaSets are the controllers' own.
type picture map[string]any

func (tm *team) picture() picture {
	tm.t.Helper()
	pic := picture{}
	keep := func(u *unstructured.Unstructured) {
		var entries []string
		for _, e := range u.GetManagedFields() {
			if e.Subresource != "" {
				continue
			}
			set, err := fieldsOf(e)
			tm.must(err)
			raw, err := set.ToJSON()
			tm.must(err)
			entries = append(entries, entryKey(e)+" "+string(raw))
		}
		slices.Sort(entries)
		u.SetManagedFields(nil)
		u.SetResourceVersion("")
		u.SetGeneration(0)
		delete(u.Object, "status")
		unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
		if u.GetKind() == "Lease" || u.GetNamespace() == migrate.StateNamespace {
			return
		}
		list := []any{}
		for _, e := range entries {
			list = append(list, e)
		}
		u.Object["managedFields"] = list
		pic[u.GetAPIVersion()+" "+cluster.Describe(u)] = u.Object
	}
	for _, u := range tm.listed(metav1.NamespaceAll, "pods", "replicasets", "events", "endpoints", "endpointslices", "leases", "componentstatuses", "controllerrevisions") {
		mine := strings.Contains(u.GetNamespace(), tm.flux) || u.GetNamespace() == tm.shop || u.GetName() == tm.shop || u.GetName() == tm.flux ||
			strings.Contains(u.GetName(), tm.name) || u.GetAnnotations()[migrate.AnnotationRepository] == tm.id
		if mine {
			keep(u)
		}
	}
	if len(pic) < 10 {
		tm.t.Fatalf("the picture holds %d objects: it would compare nothing", len(pic))
	}
	return pic
}

// listed are the objects of all kinds but those given, in one namespace or in all
// and without.
func (tm *team) listed(namespace string, but ...string) []*unstructured.Unstructured {
	tm.t.Helper()
	lists, err := tm.lab.c.Discovery.ServerPreferredResources()
	tm.must(err)
	var out []*unstructured.Unstructured
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		tm.must(err)
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || slices.Contains(but, r.Name) || namespace != "" && !r.Namespaced {
				continue
			}
			all, err := tm.lab.c.Dynamic.Resource(gv.WithResource(r.Name)).Namespace(namespace).List(tm.ctx(), metav1.ListOptions{})
			tm.must(err)
			for i := range all.Items {
				out = append(out, &all.Items[i])
			}
		}
	}
	return out
}

// state are the objects of the state's namespace that are of this team, or of no
// single one, as Kind/name.
func (tm *team) state() []string {
	tm.t.Helper()
	mine, others := "."+strings.Replace(tm.id, "/", ".", 1)+".", regexp.MustCompile(`^(ConfigMap/journal|Secret/snapshot)\.`)
	var out []string
	for _, u := range tm.listed(migrate.StateNamespace, "events") {
		name := u.GetKind() + "/" + u.GetName()
		if u.GetAnnotations()[migrate.AnnotationRepository] == tm.id || strings.Contains(name+".", mine) || !others.MatchString(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// stays are, as docs/cutover.md says, the objects of the state's namespace that
// are there after a rollback of the team, with what Kubernetes makes in each.
func (tm *team) stays() []string {
	tm.t.Helper()
	doc, err := os.ReadFile("../../docs/cutover.md")
	tm.must(err)
	_, said, found := strings.Cut(string(doc), "**What stays.**")
	said, _, _ = strings.Cut(said, "\n\n")
	if !found {
		tm.t.Fatal("docs/cutover.md does not say what stays")
	}
	out := []string{"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}
	for _, m := range regexp.MustCompile("(ConfigMap|Lease|Secret)\\s`([^`]+)`").FindAllStringSubmatch(said, -1) {
		out = append(out, m[1]+"/"+strings.NewReplacer("<namespace>", tm.flux, "<release>", "flux").Replace(m[2]))
	}
	slices.Sort(out)
	return out
}

// same fails unless two pictures are equal.
func (tm *team) same(what string, want, got picture) {
	tm.t.Helper()
	if diff := cmp.Diff(normal(tm.t, want), normal(tm.t, got)); diff != "" {
		tm.t.Fatalf("%s: (-want +got)\n%s", what, diff)
	}
}

func normal(t *testing.T, p picture) any {
	t.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// uids of the managed objects.
func (tm *team) uids() map[string]types.UID {
	tm.t.Helper()
	out := map[string]types.UID{}
	for _, objs := range tm.git {
		for _, u := range objs {
			live, err := tm.lab.c.GetByID(tm.ctx(), migrate.ObjectID(u))
			tm.must(err)
			out[migrate.ObjectID(u)] = live.GetUID()
		}
	}
	return out
}

func (tm *team) live(kind, name string) *unstructured.Unstructured {
	tm.t.Helper()
	for _, objs := range tm.git {
		for _, u := range objs {
			if u.GetKind() == kind && u.GetName() == name {
				live, err := tm.lab.c.GetByID(tm.ctx(), migrate.ObjectID(u))
				tm.must(err)
				return live
			}
		}
	}
	tm.t.Fatalf("the team has no %s %s", kind, name)
	return nil
}

func (tm *team) kustomization(app string) *unstructured.Unstructured {
	tm.t.Helper()
	k, err := tm.lab.c.Get(tm.ctx(), kustomizationKind, migrate.AgentNamespace, tm.name+"-"+app)
	tm.must(err)
	return k
}

// someKustomization of a team that does not exist.
func (tm *team) someKustomization() *unstructured.Unstructured {
	return manifest(tm.t, `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: `+tm.name+`, namespace: `+migrate.AgentNamespace+`}
spec: {interval: 5m, path: ./, prune: false, sourceRef: {kind: GitRepository, name: none}}
`)
}
