package auditor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/controlplane"
)

// Names of the story.
const (
	oldUser    = "system:serviceaccount:flux:flux-team"
	agentUser  = "system:serviceaccount:flux-system:fluxover-agent"
	tenantUser = "system:serviceaccount:flux-system:flux-team"
	settings   = "shop_settings__ConfigMap"
	web        = "shop_web_apps_Deployment"
	token      = "shop_token__Secret"
	commit     = "0123456789abcdef0123456789abcdef01234567"
)

// stage is a control plane on which a test plays every part with kubectl.
type stage struct {
	*testing.T
	ctx        context.Context
	cp         *controlplane.ControlPlane
	admin      *kubernetes.Clientset
	kubelet    *kubernetes.Clientset
	agentToken string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute) // a first run builds Kubernetes
	t.Cleanup(cancel)
	cp, err := controlplane.Start(ctx, controlplane.Options{Dir: t.TempDir(), Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &stage{T: t, ctx: ctx, cp: cp}
	if s.admin, err = kubernetes.NewForConfig(cp.Config()); err != nil {
		t.Fatal(err)
	}
	if s.kubelet, err = kubernetes.NewForConfig(cp.KubeletConfig()); err != nil {
		t.Fatal(err)
	}
	return s
}

// try runs kubectl with stdin and returns its output.
func (s *stage) try(stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(s.ctx, filepath.Join(s.cp.BinDir, "kubectl"), append([]string{"--kubeconfig", s.cp.Kubeconfig, "--cache-dir", s.TempDir()}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (s *stage) kubectl(stdin string, args ...string) {
	s.Helper()
	if _, err := s.try(stdin, args...); err != nil {
		s.Fatal(err)
	}
}

// asAgent are the flags by which the agent impersonates the tenant's account.
func (s *stage) asAgent() []string { return []string{"--token", s.agentToken, "--as", tenantUser} }

func (s *stage) eventually(what string, check func() error) {
	s.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			s.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

// judge reads the whole log.
func (s *stage) judge(opts auditor.Options) *auditor.Report {
	s.Helper()
	log, err := os.Open(s.cp.AuditLog)
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	a := auditor.New(opts)
	if err := a.Read(s.ctx, log); err != nil {
		s.Fatal(err)
	}
	return a.Report()
}

// wantFailing compares the failing checks of the writes since a moment.
func (s *stage) wantFailing(since time.Time, want ...string) *auditor.Report {
	s.Helper()
	report := s.judge(auditor.Options{Since: since})
	var got []string
	for _, c := range report.Checks {
		if !c.OK {
			got = append(got, c.Name)
		}
	}
	if !slices.Equal(got, want) {
		var b bytes.Buffer
		if err := report.WriteText(&b); err != nil {
			s.Fatal(err)
		}
		s.Fatalf("failing checks %v, want %v\n%s", got, want, b.String())
	}
	return report
}

const crds = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kustomizations.kustomize.toolkit.fluxcd.io}
spec:
  group: kustomize.toolkit.fluxcd.io
  scope: Namespaced
  names: {kind: Kustomization, plural: kustomizations}
  versions: [{name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gitrepositories.source.toolkit.fluxcd.io}
spec:
  group: source.toolkit.fluxcd.io
  scope: Namespaced
  names: {kind: GitRepository, plural: gitrepositories}
  versions: [{name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

const installed = `
apiVersion: v1
kind: Namespace
metadata: {name: flux}
---
apiVersion: v1
kind: Namespace
metadata: {name: flux-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: flux-team, namespace: flux}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: fluxover-agent, namespace: flux-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: engines}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects:
- {kind: ServiceAccount, name: flux-team, namespace: flux}
- {kind: ServiceAccount, name: flux-team, namespace: flux-system}
- {kind: ServiceAccount, name: fluxover-agent, namespace: flux-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux-team, namespace: flux, annotations: {meta.helm.sh/release-name: team}}
spec:
  replicas: 1
  selector: {matchLabels: {app: flux}}
  template:
    metadata: {labels: {app: flux}}
    spec:
      serviceAccountName: flux-team
      containers: [{name: flux, image: "flux:1", args: ["--git-url=ssh://git@git.example/team"]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: fluxover-agent, namespace: flux-system}
spec:
  replicas: 0
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      serviceAccountName: fluxover-agent
      containers: [{name: agent, image: "fluxover:1", args: [agent]}]
`

const control = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: team, namespace: flux-system, labels: {fluxover.dev/namespace: flux, fluxover.dev/release: team}}
spec: {url: "ssh://git@git.example/team", ref: {branch: main, commit: ` + commit + `}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: team-web, namespace: flux-system, labels: {fluxover.dev/namespace: flux, fluxover.dev/release: team}}
spec: {suspend: true, prune: false, path: ./web, sourceRef: {kind: GitRepository, name: team}}
`

const fence = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: old-agent-fence}
spec:
  matchConstraints: {resourceRules: [{apiGroups: ["*"], apiVersions: ["*"], operations: [CREATE, UPDATE, DELETE], resources: ["*"]}]}
  validations: [{expression: "request.userInfo.username != '` + oldUser + `'", message: fenced}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: old-agent-fence}
spec: {policyName: old-agent-fence, validationActions: [Deny]}
`

// workloads are the repository's objects with the labels and annotations of an
// engine, in YAML flow form.
func workloads(labels, annotations string) string {
	meta := "labels: {" + labels + "}, annotations: {" + annotations + "}"
	return `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop, ` + meta + `}
data: {colour: blue}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: shop, ` + meta + `}
stringData: {token: hunter2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, ` + meta + `}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "shop:1"}]}
`
}

var (
	byFlux1 = workloads("fluxcd.io/sync-gc-mark: sha256.abc", "fluxcd.io/sync-checksum: abc")
	byFlux2 = workloads("kustomize.toolkit.fluxcd.io/name: team-web, kustomize.toolkit.fluxcd.io/namespace: flux-system", "")
)

// applyAsFlux2 does what kustomize-controller does to each object: a dry-run,
// a patch that takes Flux v1's traces away, an apply.
func (s *stage) applyAsFlux2() {
	s.Helper()
	ssa := append(s.asAgent(), "apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller", "-f", "-")
	s.kubectl(byFlux2, append(slices.Clone(ssa), "--dry-run=server")...)
	for _, object := range []string{"configmap/settings", "secret/token", "deployment/web"} {
		s.kubectl("", append(s.asAgent(), "patch", "-n", "shop", object, "--field-manager=kustomize-controller", "--type=json", "-p",
			`[{"op":"remove","path":"/metadata/labels/fluxcd.io~1sync-gc-mark"},{"op":"remove","path":"/metadata/annotations"}]`)...)
	}
	s.kubectl(byFlux2, ssa...)
}

// oldPod waits for the only Pod of the old agent.
func (s *stage) oldPod() corev1.Pod {
	s.Helper()
	var pod corev1.Pod
	s.eventually("old agent's Pod", func() error {
		pods, err := s.admin.CoreV1().Pods("flux").List(s.ctx, metav1.ListOptions{})
		if err == nil && len(pods.Items) != 1 {
			err = fmt.Errorf("%d Pods", len(pods.Items))
		}
		if err == nil {
			pod = pods.Items[0]
		}
		return err
	})
	return pod
}

// startOldPod plays the kubelet: it binds the Pod and reports it Ready.
func (s *stage) startOldPod() {
	s.Helper()
	pod := s.oldPod()
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: "flux"}, Target: corev1.ObjectReference{Kind: "Node", Name: "lab"}}
	if err := s.kubelet.CoreV1().Pods("flux").Bind(s.ctx, binding, metav1.CreateOptions{}); err != nil {
		s.Fatal(err)
	}
	pod = s.oldPod()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
	if _, err := s.kubelet.CoreV1().Pods("flux").UpdateStatus(s.ctx, &pod, metav1.UpdateOptions{}); err != nil {
		s.Fatal(err)
	}
}

// endOldPod waits until the Pod is told to end, and removes it as the kubelet
// does when the process is gone.
func (s *stage) endOldPod() {
	s.Helper()
	s.eventually("Pod is Terminating", func() error {
		if s.oldPod().DeletionTimestamp == nil {
			return errors.New("not deleted")
		}
		return nil
	})
	zero := int64(0)
	if err := s.kubelet.CoreV1().Pods("flux").Delete(s.ctx, s.oldPod().Name, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) executorPatch(args ...string) {
	s.Helper()
	s.kubectl("", append([]string{"patch", "--type=merge", "--field-manager=fluxover"}, args...)...)
}

func (s *stage) ready() {
	s.Helper()
	ks, err := s.try("", "get", "kustomizations.kustomize.toolkit.fluxcd.io", "-n", "flux-system", "team-web", "-o", "jsonpath={.metadata.generation}")
	if err != nil {
		s.Fatal(err)
	}
	s.kubectl("", "--token", s.agentToken, "patch", "-n", "flux-system", "kustomizations.kustomize.toolkit.fluxcd.io", "team-web", "--subresource=status", "--type=merge", "-p",
		`{"status":{"observedGeneration":`+ks+`,"lastAppliedRevision":"main@sha1:`+commit+`","conditions":[{"type":"Ready","status":"True"}],
		"inventory":{"entries":[{"id":"`+settings+`","v":"v1"},{"id":"`+token+`","v":"v1"},{"id":"`+web+`","v":"v1"}]}}}`)
}

func TestTheAuditorTellsTheTruthOfARealAPIServer(t *testing.T) {
	s := newStage(t)
	const ks = "kustomizations.kustomize.toolkit.fluxcd.io"
	s.kubectl(crds, "apply", "-f", "-")
	s.kubectl("", "wait", "--for=condition=Established", "--timeout=60s", "crd", ks, "gitrepositories.source.toolkit.fluxcd.io")
	s.kubectl(installed, "apply", "-f", "-")
	request, err := s.admin.CoreV1().ServiceAccounts("flux-system").CreateToken(s.ctx, "fluxover-agent", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.agentToken = request.Status.Token
	s.startOldPod()
	s.kubectl(byFlux1, "--as", oldUser, "apply", "-f", "-")
	s.kubectl(control, "apply", "--server-side", "--field-manager=fluxover", "-f", "-")

	// There.
	s.kubectl("", "patch", "-n", "flux", "deployment", "flux-team", "--subresource=scale", "--type=merge", "--field-manager=fluxover", "-p", `{"spec":{"replicas":0}}`)
	s.kubectl(fence, "apply", "--server-side", "--field-manager=fluxover", "-f", "-")
	var stopFrom, stopTo time.Time
	s.eventually("the fence is in force", func() error {
		stopFrom = time.Now()
		_, err := s.try("", "create", "configmap", "-n", "flux", "probe", "--as", oldUser, "--dry-run=server")
		if stopTo = time.Now(); err == nil {
			return errors.New("a write as the old account is not refused")
		}
		if !strings.Contains(err.Error(), "old-agent-fence") {
			return err
		}
		return nil
	})
	s.endOldPod()
	s.executorPatch("-n", "flux-system", ks, "team-web", "-p", `{"spec":{"suspend":false}}`)
	s.applyAsFlux2()
	readyFrom := time.Now()
	s.ready()
	readyTo := time.Now()

	report := s.wantFailing(time.Time{})
	if report.Objects.Managed != 3 || report.Switched != 3 {
		t.Errorf("managed %d and switched %d objects, want 3 and 3", report.Objects.Managed, report.Switched)
	}
	writers := map[auditor.Engine][]string{}
	for _, e := range report.ByEngine {
		writers[e.Engine] = e.Users
	}
	if !slices.Equal(writers[auditor.Flux1], []string{oldUser}) || !slices.Equal(writers[auditor.Flux2], []string{tenantUser}) || len(writers) != 2 {
		t.Errorf("writers of managed objects: %v", writers)
	}
	if len(report.Handovers) != 1 || report.Handovers[0].ID != "flux/team" || report.Handovers[0].Gap == nil || report.Handovers[0].WaitingForOldPod == nil {
		t.Fatalf("hand-overs: %+v", report.Handovers)
	}
	gap := *report.Handovers[0].Gap
	if least, most := readyFrom.Sub(stopTo).Seconds(), readyTo.Sub(stopFrom).Seconds(); gap < least || gap > most {
		t.Errorf("gap %.3f s, but by the test's clock it lies between %.3f and %.3f", gap, least, most)
	}

	// Back: suspended first, then the old agent.
	since := time.Now()
	s.executorPatch("-n", "flux-system", ks, "team-web", "-p", `{"spec":{"suspend":true}}`)
	s.kubectl("", "delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "old-agent-fence")
	s.eventually("the fence is lifted", func() error {
		_, err := s.try("", "create", "configmap", "-n", "flux", "probe", "--as", oldUser, "--dry-run=server")
		return err
	})
	s.executorPatch("-n", "flux", "deployment", "flux-team", "-p", `{"spec":{"replicas":1}}`)
	s.startOldPod()
	s.kubectl(byFlux1, "--as", oldUser, "apply", "-f", "-")
	report = s.wantFailing(since)
	if h := report.Handovers[0]; h.RollbackGap == nil || h.OldPodReady == nil {
		t.Errorf("no way back in %+v", h)
	}

	// Now what must not be.
	since = time.Now()
	s.kubectl("", append(s.asAgent(), "label", "-n", "shop", "configmap", "settings", "x=y", "--field-manager=kustomize-controller")...)
	report = s.wantFailing(since, auditor.CheckInterleaved)
	if v := report.Violations[0]; v.Subject != settings || v.Engine != auditor.Flux2 {
		t.Errorf("blamed %s of %s", v.Engine, v.Subject)
	}

	since = time.Now()
	s.executorPatch("-n", "shop", "deployment", "web", "-p", `{"spec":{"template":{"metadata":{"annotations":{"restarted":"now"}}}}}`)
	report = s.wantFailing(since, auditor.CheckChanged)
	if v := report.Violations[0]; v.Subject != web || v.Engine != auditor.Executor || v.Fields[0].Section != "podTemplate" {
		t.Errorf("unexpected: %+v", v)
	}

	since = time.Now()
	s.kubectl("", "delete", "-n", "shop", "configmap", "settings", "--dry-run=server")
	s.wantFailing(since)
	s.kubectl("", "delete", "-n", "shop", "configmap", "settings")
	s.kubectl(byFlux1, "--as", oldUser, "apply", "-f", "-")
	report = s.wantFailing(since, auditor.CheckDeleted, auditor.CheckRecreated)
	for _, v := range report.Violations {
		if v.Subject != settings {
			t.Errorf("blamed %s", v.Subject)
		}
	}

	since = time.Now()
	s.kubectl("", "delete", "-n", "shop", "secret", "token", "--dry-run=server")
	s.wantFailing(since, auditor.CheckDeleted) // the level Metadata shows no difference …
	survey, err := auditor.TakeSurvey(s.ctx, s.cp.Config())
	if err != nil {
		t.Fatal(err)
	}
	if report = s.judge(auditor.Options{Since: since, Survey: survey}); report.Verdict != "pass" {
		t.Errorf("… but the live Secret does: %+v", report.Violations)
	}
	if _, ok := survey.Managed[token]; !ok || len(survey.Managed) != 3 {
		t.Errorf("the survey knows %v", survey.Managed)
	}

	since = time.Now()
	s.kubectl("", "delete", "namespace", "shop", "--wait=false")
	s.eventually("the namespace is empty", func() error {
		_, err := s.admin.CoreV1().Namespaces().Get(s.ctx, "shop", metav1.GetOptions{})
		if err == nil {
			return errors.New("still there")
		}
		return nil
	})
	report = s.wantFailing(since, auditor.CheckDeleted)
	if len(report.Violations) != 3 {
		t.Errorf("%d objects deleted with their namespace, want 3: %+v", len(report.Violations), report.Violations)
	}
}

func TestDumpsOfARealClusterDifferByWhatWasDone(t *testing.T) {
	s := newStage(t)
	s.kubectl("", "create", "namespace", "shop")
	s.kubectl(byFlux1, "apply", "-f", "-")
	s.eventually("the rollout has begun", func() error {
		pods, err := s.admin.CoreV1().Pods("shop").List(s.ctx, metav1.ListOptions{})
		if err == nil && len(pods.Items) != 2 {
			err = fmt.Errorf("%d Pods", len(pods.Items))
		}
		return err
	})
	dump := func() auditor.Dump {
		d, err := auditor.TakeDump(s.ctx, s.cp.Config(), auditor.DumpOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	text := func(a, b auditor.Dump) string {
		var out bytes.Buffer
		if err := auditor.WriteDifferences(&out, auditor.Diff(a, b)); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	before := dump()
	for _, id := range []string{settings, web, token, "_shop__Namespace", "shop_default__ServiceAccount"} {
		if _, ok := before[id]; !ok {
			t.Errorf("the dump lacks %s", id)
		}
	}
	s.kubectl("", "delete", "pods", "-n", "shop", "--all", "--wait=false", "--grace-period=0", "--force")
	s.eventually("the Pods are replaced", func() error {
		pods, err := s.admin.CoreV1().Pods("shop").List(s.ctx, metav1.ListOptions{})
		if err == nil && len(pods.Items) != 2 {
			err = fmt.Errorf("%d Pods", len(pods.Items))
		}
		return err
	})
	s.kubectl("", "label", "-n", "shop", "configmap", "settings", "x=y", "--field-manager=kubectl-client-side-apply")
	s.kubectl("", "label", "-n", "shop", "configmap", "settings", "x-", "--field-manager=kubectl-client-side-apply")
	if got := text(before, dump()); got != "" {
		t.Errorf("there and back differs:\n%s", got)
	}
	s.kubectl("", "patch", "-n", "shop", "secret", "token", "-p", `{"stringData":{"token":"other"}}`, "--field-manager=kubectl-client-side-apply")
	s.kubectl("", "annotate", "-n", "shop", "configmap", "settings", "a=b", "--field-manager=someone")
	s.kubectl("", "create", "configmap", "-n", "shop", "more")
	after := dump()
	got := text(before, after)
	for _, want := range []string{
		"added shop_more__ConfigMap\n", "changed " + settings + "\n", "    metadata.annotations.a: none → \"b\"\n",
		`    metadata.managedFields["someone Update"]`, "changed " + token + "\n", "    data.token: \"sha256:",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Count(got, "\nchanged ")+strings.Count(got, "\nadded ") > 3 || strings.Contains(got, "aHVudGVyMg") {
		t.Errorf("more than what was done:\n%s", got)
	}
}
