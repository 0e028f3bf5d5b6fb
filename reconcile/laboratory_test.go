package reconcile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/fluxover/fluxover/e2e/controlplane"
	"github.com/fluxover/fluxover/e2e/gitserver"
	"github.com/fluxover/fluxover/reconcile/chart"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// strict is the shard of the second agent, which keeps tenants apart.
const (
	shardKey    = "sharding.fluxcd.io/key"
	strict      = "strict"
	gitUser     = "robot"
	gitPassword = "correct-horse"
	waitLimit   = 20 * time.Second
)

// laboratory is a real control plane and Git server with agents on them, shared
// by the tests of this package.
type laboratory struct {
	plane     *controlplane.ControlPlane
	git       *gitserver.Server
	client    client.Client
	artifacts string // host:port of the first agent's artifacts
	names     atomic.Int64
}

var (
	labOnce sync.Once
	lab     *laboratory
	labErr  error
	labDone []func()
)

func TestMain(m *testing.M) {
	code := m.Run()
	for i := len(labDone) - 1; i >= 0; i-- {
		labDone[i]()
	}
	os.Exit(code)
}

// inLab returns the laboratory, which the first caller starts.
func inLab(t *testing.T) *laboratory {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane; -short is set")
	}
	labOnce.Do(func() { lab, labErr = startLab() })
	if labErr != nil {
		t.Fatalf("start laboratory: %v", labErr)
	}
	return lab
}

func startLab() (*laboratory, error) {
	ctx, cancel := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "agent-lab-")
	if err != nil {
		cancel()
		return nil, err
	}
	labDone = append(labDone, func() { _ = os.RemoveAll(dir) }, cancel)
	plane, err := controlplane.Start(ctx, controlplane.Options{Dir: filepath.Join(dir, "plane")})
	if err != nil {
		return nil, err
	}
	labDone = append(labDone, func() { _ = plane.Stop() })
	git, err := gitserver.Start(ctx, gitserver.Options{Dir: filepath.Join(dir, "git")})
	if err != nil {
		return nil, err
	}
	labDone = append(labDone, func() { _ = git.Stop() })
	cfg := plane.Config()
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	l := &laboratory{plane: plane, git: git, client: c}
	if err := l.installCRDs(ctx); err != nil {
		return nil, err
	}
	if l.artifacts, err = freeAddress(); err != nil {
		return nil, err
	}
	for name, change := range map[string]func(*Options){
		"open": func(o *Options) { o.WatchLabelSelector = "!" + shardKey; o.StorageAddr = l.artifacts },
		strict: func(o *Options) {
			o.WatchLabelSelector = shardKey + "=" + strict
			o.NoCrossNamespaceRefs, o.DefaultServiceAccount, o.DeletionBudget = true, "nobody", 3
		},
	} {
		opts := testOptions(filepath.Join(dir, name))
		change(&opts)
		stop, err := startAgent(ctx, cfg, opts)
		if err != nil {
			return nil, err
		}
		labDone = append(labDone, stop)
	}
	return l, nil
}

func testOptions(dir string) Options {
	opts := NewOptions()
	opts.StoragePath, opts.StorageAddr = dir, ""
	opts.MetricsAddr, opts.HealthAddr = "", ""
	opts.EnableLeaderElection = false // several agents share a cluster, each with its own objects
	return opts
}

// agentName is the user agent of the agents' requests, by which the audit log
// tells them apart.
const agentName = "fluxover-agent-test"

// startAgent runs an agent in this process until stop is called; changes are
// made before it runs.
func startAgent(ctx context.Context, cfg *rest.Config, opts Options, changes ...func(*agent)) (stop func(), err error) {
	cfg = rest.CopyConfig(cfg)
	if !strings.HasPrefix(cfg.UserAgent, agentName) { // a test may tell its agents apart
		cfg.UserAgent = agentName
	}
	log := slog.New(slog.DiscardHandler)
	if path := os.Getenv("AGENT_LOG"); path != "" {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		log = slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	a, err := newAgent(cfg, opts, log)
	if err != nil {
		return nil, err
	}
	for _, change := range changes {
		change(a)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := a.run(ctx); err != nil {
			panic(fmt.Sprintf("agent ended: %v", err))
		}
	}()
	return func() { cancel(); <-ended }, nil
}

func (l *laboratory) installCRDs(ctx context.Context) error {
	files, err := fs.Glob(chart.FS, "crds/*.yaml")
	if err != nil {
		return err
	}
	for _, file := range files {
		content, err := chart.FS.ReadFile(file)
		if err != nil {
			return err
		}
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(content, &crd.Object); err != nil {
			return err
		}
		if err := l.client.Create(ctx, crd); err != nil {
			return err
		}
	}
	limit, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	for {
		errKs := l.client.List(limit, &kustomizev1.KustomizationList{})
		errGit := l.client.List(limit, &sourcev1.GitRepositoryList{})
		if errKs == nil && errGit == nil {
			return nil
		}
		select {
		case <-limit.Done():
			return fmt.Errorf("definitions are not served: %v, %v", errKs, errGit)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// team is a namespace with a Git repository and a GitRepository for it.
type team struct {
	*laboratory
	t         *testing.T
	ctx       context.Context
	namespace string
	repo      string
}

// newTeam makes a namespace, a repository with files on main, the credential
// and a GitRepository named "app" with an interval that outlives the test.
func newTeam(t *testing.T, files map[string]string, change ...func(*sourcev1.GitRepository)) *team {
	t.Helper()
	l := inLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	name := fmt.Sprintf("team-%d", l.names.Add(1))
	e := &team{laboratory: l, t: t, ctx: ctx, namespace: name, repo: name}
	e.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	e.must(l.git.CreateRepo(ctx, e.repo, "main"))
	e.must(l.git.AllowUser(e.repo, gitUser, gitPassword, true))
	e.push("first", files)
	e.create(&corev1.Secret{ObjectMeta: e.meta("git"), StringData: map[string]string{"username": gitUser, "password": gitPassword}})
	repository := e.repository("app")
	for _, c := range change {
		c(repository)
	}
	e.create(repository)
	return e
}

func (e *team) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *team) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: e.namespace, Name: name}
}

func (e *team) repository(name string) *sourcev1.GitRepository {
	return &sourcev1.GitRepository{ObjectMeta: e.meta(name), Spec: sourcev1.GitRepositorySpec{
		URL: e.git.HTTPURL(e.repo), Interval: metav1.Duration{Duration: time.Hour},
		SecretRef: &fluxmeta.LocalObjectReference{Name: "git"}, Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
	}}
}

func (e *team) kustomization(name, path string, change ...func(*kustomizev1.Kustomization)) *kustomizev1.Kustomization {
	k := &kustomizev1.Kustomization{ObjectMeta: e.meta(name), Spec: kustomizev1.KustomizationSpec{
		Interval: metav1.Duration{Duration: time.Hour}, RetryInterval: &metav1.Duration{Duration: 2 * time.Second},
		Path: path, Prune: true, DeletionPolicy: kustomizev1.DeletionPolicyOrphan,
		SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
	}}
	for _, c := range change {
		c(k)
	}
	return k
}

func (e *team) create(object client.Object) {
	e.t.Helper()
	e.must(e.client.Create(e.ctx, object))
}

// push commits files to main and returns the commit. An empty content deletes.
func (e *team) push(message string, files map[string]string) string {
	e.t.Helper()
	content := map[string][]byte{}
	for name, text := range files {
		content[name] = nil
		if text != "" {
			content[name] = []byte(text)
		}
	}
	commit, err := e.git.Commit(e.ctx, e.repo, "main", message, content)
	e.must(err)
	return commit
}

// request asks for a reconciliation.
func (e *team) request(object client.Object, value string) {
	e.t.Helper()
	e.patch(object, func() {
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[fluxmeta.ReconcileRequestAnnotation] = value
		object.SetAnnotations(annotations)
	})
}

func (e *team) patch(object client.Object, change func()) {
	e.t.Helper()
	e.must(e.client.Get(e.ctx, client.ObjectKeyFromObject(object), object))
	before, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		e.t.Fatalf("%T cannot be copied", object)
	}
	change()
	e.must(e.client.Patch(e.ctx, object, client.MergeFrom(before)))
}

// until reads an object until it is as wanted, and fails the test with what it
// looked like last when that takes too long.
func until[T client.Object](e *team, object T, what string, wanted func(T) bool) T {
	e.t.Helper()
	limit, cancel := context.WithTimeout(e.ctx, waitLimit)
	defer cancel()
	for {
		err := e.client.Get(limit, client.ObjectKeyFromObject(object), object)
		if err == nil && wanted(object) {
			return object
		}
		select {
		case <-limit.Done():
			state, _ := yaml.Marshal(object)
			e.t.Fatalf("%s did not become: %s (last error %v)\n%s", client.ObjectKeyFromObject(object), what, err, state)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (e *team) untilReady(k *kustomizev1.Kustomization, commit string) *kustomizev1.Kustomization {
	e.t.Helper()
	return until(e, k, "ready at "+commit, func(k *kustomizev1.Kustomization) bool {
		return conditions.IsReady(k) && k.Status.ObservedGeneration == k.Generation && k.Status.LastAppliedRevision == "main@sha1:"+commit
	})
}

func (e *team) untilReason(k *kustomizev1.Kustomization, reason string) *kustomizev1.Kustomization {
	e.t.Helper()
	return until(e, k, "Ready=False "+reason, func(k *kustomizev1.Kustomization) bool {
		return conditions.IsFalse(k, fluxmeta.ReadyCondition) && conditions.GetReason(k, fluxmeta.ReadyCondition) == reason
	})
}

func (e *team) untilGone(object client.Object) {
	e.t.Helper()
	limit, cancel := context.WithTimeout(e.ctx, waitLimit)
	defer cancel()
	for {
		err := e.client.Get(limit, client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) {
			return
		}
		select {
		case <-limit.Done():
			e.t.Fatalf("%T %s is still there (%v)", object, client.ObjectKeyFromObject(object), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (e *team) configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: e.meta(name)}
}

func (e *team) exists(object client.Object) bool {
	e.t.Helper()
	err := e.client.Get(e.ctx, client.ObjectKeyFromObject(object), object)
	if err != nil && !apierrors.IsNotFound(err) {
		e.t.Fatal(err)
	}
	return err == nil
}

func (e *team) inventory(k *kustomizev1.Kustomization) []string {
	var ids []string
	if k.Status.Inventory != nil {
		for _, entry := range k.Status.Inventory.Entries {
			ids = append(ids, entry.ID)
		}
	}
	return ids
}

// kubectl runs the control plane's kubectl as the admin.
func (e *team) kubectl(input string, args ...string) string {
	e.t.Helper()
	command := exec.CommandContext(e.ctx, filepath.Join(e.plane.BinDir, "kubectl"), append([]string{"--kubeconfig", e.plane.Kubeconfig}, args...)...)
	command.Stdin = strings.NewReader(input)
	out, err := command.CombinedOutput()
	if err != nil {
		e.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// auditEvent is what the tests need of a line of the audit log.
type auditEvent struct {
	Verb       string `json:"verb"`
	RequestURI string `json:"requestURI"`
	UserAgent  string `json:"userAgent"`
	ObjectRef  struct {
		Resource, Namespace, Name, Subresource string
	} `json:"objectRef"`
}

// audit returns the agents' requests that were logged after the first skip
// bytes, and how long the log is now.
func (l *laboratory) audit(t *testing.T, skip int64) ([]auditEvent, int64) {
	t.Helper()
	content, err := os.ReadFile(l.plane.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	var events []auditEvent
	lines := bufio.NewScanner(bytes.NewReader(content[skip:]))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var event auditEvent
		if json.Unmarshal(lines.Bytes(), &event) == nil && strings.HasPrefix(event.UserAgent, agentName) {
			events = append(events, event)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return events, int64(len(content))
}

// configMapYAML is a manifest of a ConfigMap in the team's namespace.
func configMapYAML(namespace, name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: %s\ndata:\n  key: %q\n", name, namespace, value)
}

// nextTeam is the namespace that the next newTeam will make, for manifests.
func nextTeam(t *testing.T) string {
	return fmt.Sprintf("team-%d", inLab(t).names.Load()+1)
}
