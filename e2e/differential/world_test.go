package differential

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/gitserver"
	"github.com/fluxover/fluxover/e2e/laboratory"
	"github.com/fluxover/fluxover/e2e/machine"
	"github.com/fluxover/fluxover/e2e/sops"
)

var (
	kustomizations  = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
	gitRepositories = schema.GroupVersionResource{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: "gitrepositories"}
	deployments     = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	pods            = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	namespaces      = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	secrets         = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

const agentNamespace = "flux-system"

// syncTag marks the commit that an agent synced last.
const syncTag = "flux-sync"

// world is a laboratory in which cases are played.
type world struct {
	*laboratory.Lab
	t      *testing.T
	client dynamic.Interface
	cases  []*played
	disco  discovery.DiscoveryInterface
	// hooks answers the API server's questions about admission.
	hooks *httptest.Server
	aggregated
}

// played is a case and what became of it.
type played struct {
	Case
	prefix string
	team   fleet.Team
	// synced is the last commit that the agent synced; stuck is true if it could
	// not load the newest.
	synced string
	stuck  bool
	// of is the case whose twin this is.
	of  *played
	key sops.Key
}

func (p *played) id() string { return fleet.AgentNamespace + "/" + p.team.Release }

func newWorld(t *testing.T) *world {
	t.Helper()
	// One team of the ordinary fleet, which minds its own business.
	lab, err := laboratory.Up(t.Context(), laboratory.Options{Dir: t.TempDir(), Teams: 1, Apps: 1, PollInterval: 3 * time.Second, SyncInterval: time.Hour, WaitSynced: true,
		// Autoscalers are looked at each second, and not four times a minute. Without
		// the other controller a claim that is deleted never goes.
		Controllers: []string{"horizontal-pod-autoscaler-controller", "persistentvolumeclaim-protection-controller"}, ManagerArgs: []string{"--horizontal-pod-autoscaler-sync-period=1s"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Down(); err != nil {
			t.Errorf("end the laboratory: %v", err)
		}
	})
	config := rest.CopyConfig(lab.ControlPlane.Config())
	config.QPS, config.Burst, config.WarningHandler = 200, 400, rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	// fluxd's image has kustomize; kubectl builds alike.
	script := "#!/bin/sh\n[ \"$1\" = build ] && shift\nexec kubectl kustomize \"$@\"\n"
	if err := os.WriteFile(filepath.Join(lab.BinDir, "kustomize"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	w := &world{Lab: lab, t: t, client: client, disco: disco, hooks: httptest.NewTLSServer(http.HandlerFunc(decide))}
	t.Cleanup(w.hooks.Close)
	w.startEngine()
	w.kubectl("apply", "--server-side", "-f", filepath.Join("testdata", "helmreleases.yaml"))
	w.aggregate()
	return w
}

// stockEngine are the stock controllers and the folders with their definitions,
// empty if the bundled agent is to run. To name only some of them is an error:
// the test would show something else than whoever named them believes.
func stockEngine(t *testing.T) (source, kustomize string, crds []string) {
	t.Helper()
	source, kustomize, crds = os.Getenv("SOURCE_CONTROLLER"), os.Getenv("KUSTOMIZE_CONTROLLER"), filepath.SplitList(os.Getenv("STOCK_CRDS"))
	if (source != "" || kustomize != "") && (source == "" || kustomize == "" || len(crds) == 0) {
		t.Fatal("of SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER and STOCK_CRDS only some are named: all three, or none")
	}
	return source, kustomize, crds
}

// startEngine runs the Flux v2 agent against the cluster: the bundled one, or
// the stock controllers where they are named.
func (w *world) startEngine() {
	w.t.Helper()
	definitions := filepath.Join("..", "..", "reconcile", "chart", "crds")
	if source, kustomize, crds := stockEngine(w.t); source != "" {
		for _, dir := range crds {
			w.kubectl("apply", "--server-side", "-f", dir)
		}
		address := freeAddress(w.t)
		common := []string{"--metrics-addr=" + freeAddress(w.t), "--events-addr=", "--enable-leader-election=false", "--watch-all-namespaces=true"}
		w.start(source, append([]string{"--storage-path=" + w.t.TempDir(), "--storage-addr=" + address, "--storage-adv-addr=" + address, "--health-addr=" + freeAddress(w.t)}, common...)...)
		common[0] = "--metrics-addr=" + freeAddress(w.t)
		w.start(kustomize, append([]string{"--health-addr=" + freeAddress(w.t)}, common...)...)
	} else {
		w.kubectl("apply", "--server-side", "-f", definitions)
		w.start(filepath.Join(w.BinDir, "fluxover"), "agent", "--storage-path", w.t.TempDir(), "--storage-addr=", "--metrics-addr=0", "--health-addr=0",
			"--enable-leader-election=false", "--runtime-namespace", agentNamespace)
	}
	w.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", kustomizations.Resource+"."+kustomizations.Group, gitRepositories.Resource+"."+gitRepositories.Group)
	w.make(namespaces, "", object("v1", "Namespace", "", agentNamespace))
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := machine.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// start runs a program until the test ends.
func (w *world) start(program string, args ...string) {
	w.t.Helper()
	log, err := os.Create(filepath.Join(w.Dir, filepath.Base(program)+".log"))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig, "RUNTIME_NAMESPACE="+agentNamespace)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := cmd.Wait(); ctx.Err() == nil {
			w.t.Errorf("%s ended by itself: %v", filepath.Base(program), err)
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-ended
		log.Close()
		if w.t.Failed() {
			if raw, err := os.ReadFile(log.Name()); err == nil {
				w.t.Logf("%s says at the end: %s", filepath.Base(program), raw[max(0, len(raw)-2000):])
			}
		}
	})
}

func (w *world) kubectl(args ...string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(w.ControlPlane.BinDir, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func object(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// make creates an object, or leaves the one that is there.
func (w *world) make(gvr schema.GroupVersionResource, namespace string, u *unstructured.Unstructured) {
	w.t.Helper()
	if _, err := w.client.Resource(gvr).Namespace(namespace).Create(w.t.Context(), u, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatalf("create %s %s: %v", gvr.Resource, u.GetName(), err)
	}
}

// agentsAtOnce is how many agents make their first sync at a time.
const agentsAtOnce = 6

// play brings the cases to the point at which somebody plans.
func (w *world) play(cases []Case) {
	w.t.Helper()
	for i, c := range cases {
		prefix := fmt.Sprintf("c%03d", i)
		at, err := c.at(prefix)
		if err != nil {
			w.t.Fatal(err)
		}
		w.cases = append(w.cases, &played{Case: at, prefix: prefix})
	}
	group, ctx := errgroup.WithContext(w.t.Context())
	group.SetLimit(agentsAtOnce)
	for _, c := range slices.Clone(w.cases) {
		var twin *played
		if c.Twin != nil {
			twin = &played{Case: *c.Twin, prefix: c.prefix, of: c}
			w.cases = append(w.cases, twin)
		}
		group.Go(func() error {
			if err := w.playOne(ctx, c, twin); err != nil {
				return fmt.Errorf("case %s: %w", c.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		w.t.Fatal(err)
	}
	w.autoscalersDecided()
}

func (w *world) playOne(ctx context.Context, c, twin *played) error {
	for _, ns := range slices.Concat(c.Namespaces, c.Allowed) {
		if _, err := w.client.Resource(namespaces).Create(ctx, object("v1", "Namespace", "", ns), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	if err := w.admit(ctx, c, false); err != nil {
		return err
	}
	if err := w.sync(ctx, c); err != nil {
		return err
	}
	if twin != nil {
		if err := w.sync(ctx, twin); err != nil {
			return fmt.Errorf("its twin: %w", err)
		}
	}
	if err := w.admit(ctx, c, true); err != nil {
		return err
	}
	return w.actAll(ctx, c.Acts, "", 0)
}

// actAll does what is due at some time; round is how often it was done before.
func (w *world) actAll(ctx context.Context, acts []Act, when string, round int) error {
	for _, a := range acts {
		if a.When != when {
			continue
		}
		a.Body = strings.ReplaceAll(a.Body, "ROUND", strconv.Itoa(2+round%2))
		if err := w.act(ctx, a); err != nil {
			return fmt.Errorf("%s %s %s/%s %q: %w", a.Do, a.Resource, a.Namespace, a.Name, a.Args, err)
		}
	}
	return nil
}

// meanwhile does again and again what is done while something is planned, until
// stop is called; acted says how often it was done at least.
func (w *world) meanwhile() (stop func() (acted int)) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	done, rounds := make(chan error, 1), 0
	go func() {
		for {
			for _, c := range w.cases {
				if err := w.actAll(ctx, c.Acts, "planning", rounds); err != nil && ctx.Err() == nil {
					done <- fmt.Errorf("case %s: %w", c.Name, err)
					return
				}
			}
			rounds++
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-time.After(time.Second):
			}
		}
	}()
	return func() int {
		w.t.Helper()
		cancel()
		if err := <-done; err != nil {
			w.t.Fatal(err)
		}
		return rounds
	}
}

// afterwards does what is done between planning and the take-over.
func (w *world) afterwards() (acted bool) {
	w.t.Helper()
	for _, c := range w.cases {
		if err := w.actAll(w.t.Context(), c.Acts, "planned", 0); err != nil {
			w.t.Fatalf("case %s: %v", c.Name, err)
		}
		acted = acted || slices.ContainsFunc(c.Acts, func(a Act) bool { return a.When != "" })
	}
	return acted
}

// autoscalersDecided waits until each HorizontalPodAutoscaler was looked at by
// its controller, which may write replicas.
func (w *world) autoscalersDecided() {
	w.t.Helper()
	gvr := schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	w.eventually(2*time.Minute, "a decision of every autoscaler", func(ctx context.Context) (bool, error) {
		list, err := w.client.Resource(gvr).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for _, h := range list.Items {
			if conditions, _, _ := unstructured.NestedSlice(h.Object, "status", "conditions"); len(conditions) == 0 {
				return false, fmt.Errorf("%s/%s has no conditions", h.GetNamespace(), h.GetName())
			}
		}
		return true, nil
	})
}

// sync installs a case's agent and has it sync each commit.
func (w *world) sync(ctx context.Context, c *played) error {
	if err := w.makeKey(ctx, c); err != nil {
		return err
	}
	c.team = c.asTeam()
	if first := c.Commits[0]; len(first.Links)+len(first.Submodules) > 0 { // what is there, Install leaves alone
		if err := w.Git.CreateRepo(ctx, c.team.Repo, c.team.Branch); err != nil {
			return err
		}
		if _, err := w.Git.CommitLinks(ctx, c.team.Repo, c.team.Branch, "Begin", c.team.Files, first.Links, first.Submodules); err != nil {
			return err
		}
	}
	if err := fleet.Install(ctx, w.ControlPlane.Config(), w.Git, []fleet.Team{c.team}); err != nil {
		return err
	}
	if err := w.Git.AllowUser(c.team.Repo, laboratory.User, laboratory.Password, true); err != nil {
		return err
	}
	for i, commit := range c.Commits {
		if i > 0 {
			files := c.contents(commit)
			for _, name := range commit.Removed {
				files[name] = nil
			}
			if commit.Ahead {
				if err := w.awaitRest(ctx, c); err != nil {
					return err
				}
			}
			if _, err := w.Git.Commit(ctx, c.team.Repo, c.team.Branch, "Change", files); err != nil {
				return err
			}
			if commit.Ahead {
				break
			}
			if err := w.announce(ctx, c); err != nil {
				return err
			}
		}
		if err := w.awaitSync(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// makeKey makes the key of a case with encrypted files, and puts it where its
// agent has it.
func (w *world) makeKey(ctx context.Context, c *played) error {
	if len(c.Encrypted) == 0 {
		return nil
	}
	name, err := "fluxd.asc", error(nil)
	if c.Key == "age" {
		name = "keys.txt"
		c.key, err = sops.NewAge()
	} else {
		c.key, err = sops.NewPGP()
	}
	if err != nil {
		return err
	}
	if _, err := w.client.Resource(namespaces).Create(ctx, object("v1", "Namespace", "", fleet.AgentNamespace), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	secret := object("v1", "Secret", fleet.AgentNamespace, c.keySecret())
	secret.Object["stringData"] = map[string]any{name: c.key.Private}
	_, err = w.client.Resource(secrets).Namespace(fleet.AgentNamespace).Create(ctx, secret, metav1.CreateOptions{})
	return err
}

func (c *played) keySecret() string { return c.prefix + "-sops" }

// contents are a commit's files as they stand in Git.
func (c *played) contents(commit Commit) map[string][]byte {
	files := map[string][]byte{}
	for name, text := range commit.Files {
		if slices.Contains(c.Encrypted, name) {
			// What SOPS cannot read, nobody could have encrypted.
			if hidden, err := sops.Encrypt(text, "yaml", sops.For(c.key)); err == nil {
				text = hidden
			}
		}
		files[name] = []byte(text)
	}
	return files
}

// announce tells a case's agent of a commit, as a Git server's hook does. Dozens
// of agents that look for themselves every few seconds leave the machine no time
// for anything else.
func (w *world) announce(ctx context.Context, c *played) error {
	list, err := w.client.Resource(pods).Namespace(fleet.AgentNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app=flux,release=" + c.team.Release})
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"Kind": "git", "Source": map[string]string{"URL": w.Git.HTTPURL(c.team.Repo), "Branch": c.team.Branch}})
	if err != nil {
		return err
	}
	for _, pod := range list.Items {
		ip, _, _ := unstructured.NestedString(pod.Object, "status", "podIP")
		if ip == "" {
			continue
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+net.JoinHostPort(ip, "3030")+"/api/flux/v11/notify", bytes.NewReader(body))
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return fmt.Errorf("announce a commit: %w", err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusAccepted {
			return fmt.Errorf("announce a commit: %s", answer.Status)
		}
		return nil
	}
	return fmt.Errorf("announce a commit: no Pod of %s has an address", c.team.Release)
}

// asTeam is the case as the laboratory installs it.
func (c *played) asTeam() fleet.Team {
	values := map[string]any{
		"git":      map[string]any{"path": strings.Join(c.Paths, ","), "branch": "main", "pollInterval": "1m"}, // see announce
		"sync":     map[string]any{"interval": "1h", "timeout": "10m"},
		"registry": map[string]any{"disableScanning": true},
	}
	if c.ahead() {
		values["git"].(map[string]any)["pollInterval"] = "24h"
	}
	if c.DefaultNamespace != "" {
		values["defaultNamespace"] = c.DefaultNamespace
	}
	switch {
	case len(c.Allowed) == 0:
	case c.AdminAccount:
		values["additionalArgs"] = []any{"--k8s-allow-namespace=" + strings.Join(c.Allowed, ",")}
	default:
		allowed := make([]any, 0, len(c.Allowed))
		for _, ns := range c.Allowed {
			allowed = append(allowed, ns)
		}
		values["clusterRole"], values["allowedNamespaces"] = map[string]any{"create": false}, allowed
	}
	if len(c.Encrypted) > 0 {
		values["sops"] = map[string]any{"enabled": true}
		if c.Key == "age" {
			values["extraEnvs"] = []any{map[string]any{"name": "SOPS_AGE_KEY", "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": c.keySecret(), "key": "keys.txt"}}}}
		} else {
			values["gpgKeys"] = map[string]any{"secretName": c.keySecret()}
		}
	}
	if c.ManifestGeneration {
		values["manifestGeneration"] = true
	}
	if c.GarbageCollection {
		values["syncGarbageCollection"] = map[string]any{"enabled": true}
	}
	name := c.prefix
	if c.of != nil {
		name += "-twin" // which begins as the other's does
	}
	team := fleet.Team{Name: name, Repo: name, Branch: "main", Release: "flux-" + name, AgentNamespace: fleet.AgentNamespace, Values: values, Files: c.contents(c.Commits[0])}
	values["env"] = map[string]any{"secretName": team.CredentialsSecret()}
	return team
}

// awaitSync waits until the agent synced the newest commit, or gave up on it.
func (w *world) awaitSync(ctx context.Context, c *played) error {
	head, err := w.Git.Head(ctx, c.team.Repo, c.team.Branch)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for {
		tag, err := w.Git.Tag(ctx, c.team.Repo, syncTag)
		if err != nil && !errors.Is(err, gitserver.ErrNotFound) {
			return err
		}
		if c.synced = tag; tag == head {
			c.stuck = false
			return nil
		}
		if w.gaveUp(c, head) {
			c.stuck = true
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the agent neither syncs %s nor says why not: %w\n%s", head, ctx.Err(), w.agentLog(c))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// awaitRest waits until the agent has looked at its repository after it moved
// the tag, which it does once, so that it does not see what comes then.
func (w *world) awaitRest(ctx context.Context, c *played) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for !c.stuck {
		said := w.agentLog(c)
		if i := bytes.LastIndex(said, []byte(`state="tag `+syncTag)); i >= 0 && bytes.Contains(said[i:], []byte("event=refreshed")) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the agent does not say that it looked at its repository after its sync: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

// gaveUp reports whether the agent's log says that the commit cannot be loaded.
func (w *world) gaveUp(c *played, head string) bool {
	// What it said before it saw the commit is about another one.
	_, since, seen := bytes.Cut(w.agentLog(c), []byte(head))
	return seen && (bytes.Contains(since, []byte("loading resources from repo")) || bytes.Contains(since, []byte("panic:")))
}

// agentLog is what the case's agent said so far.
func (w *world) agentLog(c *played) []byte {
	logs, err := filepath.Glob(filepath.Join(w.Dir, "kubelet", "logs", fleet.AgentNamespace+"_"+c.team.Release+"-*.log"))
	if err != nil {
		return nil
	}
	var all []byte
	for _, file := range logs {
		if raw, err := os.ReadFile(file); err == nil {
			all = append(all, raw...)
		}
	}
	return all
}

// refusedByKubectl finds the objects, by fluxd's names of them, that the log of a sync says
// kubectl could not apply.
var refusedByKubectl = regexp.MustCompile(`([^ "]+:[^ "/:]+/[^ "]+): running kubectl`)

// refusals are the objects that a case's agent could not apply at its last sync, by its log.
func (w *world) refusals(c *played) []string {
	log := w.agentLog(c)
	log = log[max(0, bytes.LastIndex(log, []byte("trying to sync git changes"))):]
	var ids []string
	for _, line := range bytes.Split(log, []byte("\n")) {
		if !bytes.Contains(line, []byte("component=daemon err=")) {
			continue
		}
		for _, m := range refusedByKubectl.FindAllSubmatch(line, -1) {
			ids = append(ids, string(m[1]))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (w *world) act(ctx context.Context, a Act) error {
	if a.Do == "kubectl" {
		return w.byKubectl(ctx, a)
	}
	resource := w.client.Resource(a.resource()).Namespace(a.Namespace)
	var subresources []string
	if a.Subresource != "" {
		subresources = []string{a.Subresource}
	}
	err := error(nil)
	switch a.Do {
	case "delete":
		err = resource.Delete(ctx, a.Name, metav1.DeleteOptions{})
	case "create":
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(a.Body), &u.Object); err != nil {
			return err
		}
		_, err = resource.Create(ctx, u, metav1.CreateOptions{FieldManager: a.Manager})
	case "apply":
		live, getErr := resource.Get(ctx, a.Name, metav1.GetOptions{})
		if getErr != nil {
			err = getErr
			break
		}
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(a.Body), &u.Object); err != nil {
			return err
		}
		u.SetAPIVersion(live.GetAPIVersion())
		u.SetKind(live.GetKind())
		u.SetName(a.Name)
		u.SetNamespace(a.Namespace)
		_, err = resource.Apply(ctx, a.Name, u, metav1.ApplyOptions{FieldManager: a.Manager, Force: true})
	case "patch":
		_, err = resource.Patch(ctx, a.Name, types.MergePatchType, []byte(a.Body), metav1.PatchOptions{FieldManager: a.Manager}, subresources...)
	default:
		return errors.New("no such act")
	}
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || err != nil && strings.Contains(err.Error(), deniedByWebhook) {
		return nil // it is not there, or may not be so: nobody could do it either
	}
	return err
}

// deniedByWebhook is what the API server says where a webhook did not allow
// something.
const deniedByWebhook = "denied the request"

// excuses are what kubectl says of an object that is not there, or that may not
// be so, and of an edit that changes nothing.
var excuses = []string{"not found", "forbidden", "invalid", deniedByWebhook, "edit cancelled", "please wait before attempting"}

// byKubectl has the real kubectl act on an object.
func (w *world) byKubectl(ctx context.Context, a Act) error {
	what := a.resource().GroupResource().String() + "/" + a.Name
	args := slices.Concat(a.Args[:1], []string{what}, a.Args[1:])
	if a.Args[0] == "rollout" || a.Args[0] == "set" { // whose first word has a second
		args = slices.Concat(a.Args[:2], []string{what}, a.Args[2:])
	}
	if a.Namespace != "" {
		args = append(args, "--namespace="+a.Namespace)
	}
	args = append(args, "--cache-dir="+filepath.Join(w.Dir, "kubectl")) // what another cluster served is not asked
	cmd := exec.CommandContext(ctx, filepath.Join(w.ControlPlane.BinDir, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig, "KUBE_EDITOR=sed -i "+a.Edit, "TMPDIR="+w.Dir)
	out, err := cmd.CombinedOutput()
	if said := strings.ToLower(string(out)); err != nil && !slices.ContainsFunc(excuses, func(e string) bool { return strings.Contains(said, e) }) {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// quietDump reads the whole cluster once nothing changes any more.
func (w *world) quietDump() auditor.Dump {
	w.t.Helper()
	last := w.dump()
	for range 20 {
		// Quiet is two equal readings, some time apart: there is no event to wait for.
		time.Sleep(500 * time.Millisecond)
		now := w.dump()
		if len(auditor.Diff(last, now)) == 0 {
			return now
		}
		last = now
	}
	w.t.Fatal("the cluster does not come to rest")
	return nil
}

func (w *world) dump() auditor.Dump {
	w.t.Helper()
	dump, err := auditor.TakeDump(w.t.Context(), w.ControlPlane.Config(), auditor.DumpOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return dump
}

// plan runs the program under test.
func (w *world) plan() *plan {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer cancel()
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(w.BinDir, "fluxover"), "plan", "-o", "json", "--accept", "CLUSTER_ADMIN=*")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig, "XDG_CACHE_HOME="+w.t.TempDir())
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) {
		w.t.Fatalf("fluxover plan: %v\n%s", err, stderr.String())
	}
	var p plan
	if err := json.Unmarshal(out.Bytes(), &p); err != nil {
		w.t.Fatalf("fluxover plan: %v", err)
	}
	return &p
}

// stopAgents stops every Flux v1 agent for good.
func (w *world) stopAgents() {
	w.t.Helper()
	// Objects of a case that fluxd put into its own namespace stay.
	ofCase := func(u unstructured.Unstructured) bool {
		return slices.ContainsFunc(w.cases, func(c *played) bool { return strings.HasPrefix(u.GetName(), c.prefix+"-") })
	}
	agents, err := w.client.Resource(deployments).Namespace(fleet.AgentNamespace).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, u := range slices.DeleteFunc(agents.Items, ofCase) {
		if err := w.client.Resource(deployments).Namespace(fleet.AgentNamespace).Delete(w.t.Context(), u.GetName(), metav1.DeleteOptions{}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.eventually(2*time.Minute, "the end of the old agents", func(ctx context.Context) (bool, error) {
		left, err := w.client.Resource(pods).Namespace(fleet.AgentNamespace).List(ctx, metav1.ListOptions{})
		return err == nil && len(slices.DeleteFunc(left.Items, ofCase)) == 0, err
	})
}

func (w *world) eventually(limit time.Duration, what string, done func(context.Context) (bool, error)) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	for {
		ok, err := done(ctx)
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("%s: not within %s: %v", what, limit, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// takeOver makes what the plan says, at the commit it was made for, also of
// repositories that it holds back, and waits until the new agent has done with
// each Kustomization: empty if it is Ready, else why it is not.
func (w *world) takeOver(p *plan) map[string]string {
	w.t.Helper()
	commits := map[string]string{}
	for _, r := range p.Repositories {
		for _, s := range r.Sources {
			commits[s.Name] = r.Commit
		}
		for i := range r.Supporting {
			u := &r.Supporting[i]
			w.make(resourceOf(u), u.GetNamespace(), u)
		}
	}
	for _, c := range p.Credentials {
		secret := object("v1", "Secret", c.To.Namespace, c.To.Name)
		switch c.Kind {
		case "ssh":
			continue // the ordinary team's, whose Kustomizations are not looked at
		case "decryption":
			secret.Object["data"] = w.copied(c.From)
		default:
			secret.Object["stringData"] = map[string]any{"username": laboratory.User, "password": laboratory.Password}
		}
		w.make(secrets, c.To.Namespace, secret)
	}
	for i := range p.Sources {
		u := &p.Sources[i]
		if err := unstructured.SetNestedField(u.Object, commits[u.GetName()], "spec", "ref", "commit"); err != nil {
			w.t.Fatal(err)
		}
		w.make(gitRepositories, u.GetNamespace(), u)
	}
	wanted := map[string]bool{}
	for _, r := range p.Repositories {
		for i := range r.Kustomizations {
			w.make(kustomizations, r.Kustomizations[i].GetNamespace(), &r.Kustomizations[i])
			if w.caseOf(r.ID) != nil {
				wanted[r.Kustomizations[i].GetName()] = true
			}
		}
	}
	states := map[string]string{}
	w.eventually(3*time.Minute, "an end of every Kustomization", func(ctx context.Context) (bool, error) {
		list, err := w.client.Resource(kustomizations).Namespace(agentNamespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		byName := map[string]*unstructured.Unstructured{}
		for i := range list.Items {
			byName[list.Items[i].GetName()] = &list.Items[i]
		}
		clear(states)
		for name := range wanted {
			why, done := ended(byName, name)
			if !done {
				return false, fmt.Errorf("%s is at %q", name, why)
			}
			states[name] = why
		}
		return true, nil
	})
	return states
}

// copied reads the values of a credential where the plan says that they stand.
func (w *world) copied(from map[string]value) map[string]any {
	w.t.Helper()
	data := map[string]any{}
	for key, v := range from {
		if v.Secret == nil {
			w.t.Fatalf("the plan takes the key %s from elsewhere than a Secret", key)
		}
		u, err := w.client.Resource(secrets).Namespace(v.Secret.Namespace).Get(w.t.Context(), v.Secret.Name, metav1.GetOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		text, _, _ := unstructured.NestedString(u.Object, "data", v.Secret.Key)
		data[key] = text
	}
	return data
}

// ended tells whether a Kustomization is Ready or has failed for good.
func ended(all map[string]*unstructured.Unstructured, name string) (why string, done bool) {
	k := all[name]
	if k == nil {
		return "it is not there", false
	}
	conditions, _, _ := unstructured.NestedSlice(k.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] != "Ready" {
			continue
		}
		why := fmt.Sprintf("%v: %v", condition["reason"], condition["message"])
		observed, _, _ := unstructured.NestedInt64(k.Object, "status", "observedGeneration")
		switch condition["reason"] {
		case "ReconciliationSucceeded":
			return "", observed == k.GetGeneration()
		case "ReconciliationFailed":
			// Of two that apply an object at once, one may come too late to take
			// over who manages its fields: it tries again.
			return why, !strings.Contains(why, "metadata.managedFields cleanup failed")
		case "BuildFailed", "HealthCheckFailed", "PruneFailed", "UnsupportedField":
			return why, true
		case "ArtifactFailed":
			// Before the source has an artifact it is said of all.
			return why, strings.Contains(why, "path")
		case "DependencyNotReady":
			needs, _, _ := unstructured.NestedSlice(k.Object, "spec", "dependsOn")
			for _, n := range needs {
				need, _ := n.(map[string]any)
				other, _ := need["name"].(string)
				if below, done := ended(all, other); done && below != "" {
					return why, true
				}
			}
			return why, false
		default:
			return why, false
		}
	}
	return "no condition", false
}

func (w *world) caseOf(id string) *played {
	for _, c := range w.cases {
		if c.id() == id {
			return c
		}
	}
	return nil
}

// resourceOf knows the kinds that support a plan.
func resourceOf(u *unstructured.Unstructured) schema.GroupVersionResource {
	gvk := u.GroupVersionKind()
	return schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: strings.ToLower(gvk.Kind) + "s"}
}

// inventory is what a Kustomization says that it holds.
func (w *world) inventory(name string) []string {
	w.t.Helper()
	k, err := w.client.Resource(kustomizations).Namespace(agentNamespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	entries, _, _ := unstructured.NestedSlice(k.Object, "status", "inventory", "entries")
	var ids []string
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		id, _ := entry["id"].(string)
		ids = append(ids, id)
	}
	return ids
}
