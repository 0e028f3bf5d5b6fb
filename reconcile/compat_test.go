package reconcile

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write what the stock controllers do to testdata/stock (needs SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER and STOCK_CRDS)")

// compatNamespace is always the same, since digests depend on it.
const compatNamespace = "compat"

// TestStatusObjectsAndEventsAreThoseOfStockControllers runs one scenario and
// compares status, events, managed objects and owned fields with what stock
// controllers made of it. testdata/stock holds their side. With
// SOURCE_CONTROLLER and KUSTOMIZE_CONTROLLER naming the real programs, and
// STOCK_CRDS folders with the definitions of all their kinds (listed as in
// PATH), -update writes it anew, and without -update the real programs are
// compared with it.
func TestStatusObjectsAndEventsAreThoseOfStockControllers(t *testing.T) {
	named := func(variable string) bool { return os.Getenv(variable) != "" }
	if (named("SOURCE_CONTROLLER") || named("KUSTOMIZE_CONTROLLER")) && !(named("SOURCE_CONTROLLER") && named("KUSTOMIZE_CONTROLLER") && named("STOCK_CRDS")) {
		t.Fatal("of SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER and STOCK_CRDS only some are named: all three, or none")
	}
	e := &team{laboratory: inLab(t), t: t, namespace: compatNamespace, repo: "compat"}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	e.ctx = ctx
	labels := map[string]string{}
	stock := os.Getenv("SOURCE_CONTROLLER") != ""
	if stock {
		labels[shardKey] = "stock"
		e.startStock()
	} else if *update {
		t.Fatal("-update needs SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER and STOCK_CRDS")
	}
	commits := e.compatScenario(labels)
	for name, got := range e.compatDump(commits) {
		path := filepath.Join("testdata", "stock", name+".yaml")
		if *update {
			e.must(os.MkdirAll(filepath.Dir(path), 0o755))
			header := "# Made by stock source-controller v1.9.1 and kustomize-controller v1.9.4; see compat_test.go.\n"
			e.must(os.WriteFile(path, []byte(header+got), 0o644))
			continue
		}
		content, err := os.ReadFile(path)
		e.must(err)
		_, want, _ := strings.Cut(string(content), "\n")
		if diff := cmp.Diff(tolerated(t, want), tolerated(t, got)); diff != "" {
			t.Errorf("%s (-stock +agent):\n%s", name, diff)
		}
	}
}

// compatScenario makes namespace, sources and Kustomizations, and returns once
// all have come to rest. The commits it made are returned in order.
func (e *team) compatScenario(labels map[string]string) []string {
	t := e.t
	e.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.namespace}})
	e.must(e.git.CreateRepo(e.ctx, e.repo, "main"))
	e.must(e.git.AllowUser(e.repo, gitUser, gitPassword, true))
	ns := e.namespace
	commits := []string{e.push("first commit with a subject that is longer than fifty characters", map[string]string{
		"web/web.yaml":         fmt.Sprintf(deploymentYAML, ns),
		"prune/a.yaml":         configMapYAML(ns, "prune-a", "1"),
		"prune/b.yaml":         configMapYAML(ns, "prune-b", "1"),
		"keep/a.yaml":          configMapYAML(ns, "keep-a", "1"),
		"keep/b.yaml":          configMapYAML(ns, "keep-b", "1"),
		"bad/x.yaml":           "kind: ConfigMap\nmetadata: {name: x}\n",
		"unknown/x.yaml":       "apiVersion: example.org/v1\nkind: Nothing\nmetadata: {name: x, namespace: " + ns + "}\n",
		"nonamespace/x.yaml":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
		"healthy/x.yaml":       configMapYAML(ns, "healthy", "1"),
		"staged/role.yaml":     "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'compat:staged'}\nrules: []\n",
		"staged/ns.yaml":       "apiVersion: v1\nkind: Namespace\nmetadata: {name: compat-staged}\n",
		"staged/cm.yaml":       configMapYAML("compat-staged", "x", "1"),
		"disabled/x.yaml":      strings.Replace(configMapYAML(ns, "disabled", "1"), "metadata:\n", "metadata:\n  annotations: {kustomize.toolkit.fluxcd.io/reconcile: disabled}\n", 1),
		"disabled/y.yaml":      configMapYAML(ns, "disabled-y", "1"),
		"forbidden/x.yaml":     configMapYAML(ns, "forbidden", "1"),
		"overlay/x.yaml":       configMapYAML(ns, "overlay", "${value}"),
		"secret/x.yaml":        "apiVersion: v1\nkind: Secret\nmetadata: {name: text, namespace: " + ns + "}\nstringData: {a: b}\n",
		"adopt/cm.yaml":        configMapYAML(ns, "adopted", "1"),
		"adopt/deployment.yml": strings.ReplaceAll(strings.Split(fmt.Sprintf(deploymentYAML, ns), "---")[0], "web", "adopted"),
	})}
	e.create(&corev1.Secret{ObjectMeta: e.meta("git"), StringData: map[string]string{"username": gitUser, "password": gitPassword}})
	e.create(&corev1.Secret{ObjectMeta: e.meta("ssh"), StringData: map[string]string{"identity": "x"}})
	e.create(&corev1.ServiceAccount{ObjectMeta: e.meta("weak")})
	e.create(&corev1.ConfigMap{ObjectMeta: e.meta("values"), Data: map[string]string{"value": "from-map"}})
	// As fluxd left them, and a hand has been at one.
	mark := func(manifest string) string {
		return strings.Replace(manifest, "metadata:\n", "metadata:\n  annotations: {fluxcd.io/sync-checksum: abc}\n", 1)
	}
	e.kubectl(mark(configMapYAML(ns, "adopted", "1")), "apply", "-f", "-")
	e.kubectl(mark(strings.ReplaceAll(strings.Split(fmt.Sprintf(deploymentYAML, ns), "---")[0], "web", "adopted")), "apply", "-f", "-")
	e.kubectl("", "-n", ns, "label", "configmap,deployment", "adopted", "fluxcd.io/sync-gc-mark=sha256.x")
	e.kubectl("", "-n", ns, "annotate", "configmap", "adopted", "by=hand")

	repository := func(name string, change func(*sourcev1.GitRepository)) *sourcev1.GitRepository {
		r := e.repository(name)
		r.Labels = labels
		change(r)
		e.create(r)
		return r
	}
	app := repository("app", func(*sourcev1.GitRepository) {})
	until(e, app, "ready", ready)
	repository("no-secret", func(r *sourcev1.GitRepository) { r.Spec.SecretRef.Name = "absent" })
	repository("no-known-hosts", func(r *sourcev1.GitRepository) {
		r.Spec.URL, r.Spec.SecretRef.Name = "ssh://git@127.0.0.1:1/compat", "ssh"
	})
	repository("no-branch", func(r *sourcev1.GitRepository) { r.Spec.Reference.Branch = "absent" })
	repository("suspended", func(r *sourcev1.GitRepository) {
		r.Spec.Suspend = true
		r.Annotations = map[string]string{fluxmeta.ReconcileRequestAnnotation: "asked"}
	})
	repository("ignore", func(r *sourcev1.GitRepository) {
		ignore := "/web\n"
		// Pinned: the agent would learn of the second commit from its neighbour.
		r.Spec.Ignore, r.Spec.Reference.Commit = &ignore, commits[0]
	})
	repository("by-commit", func(r *sourcev1.GitRepository) {
		r.Spec.Reference = &sourcev1.GitRepositoryRef{Branch: "main", Commit: commits[0]}
	})
	repository("by-name", func(r *sourcev1.GitRepository) {
		r.Spec.Reference = &sourcev1.GitRepositoryRef{Name: "refs/heads/main"}
	})

	failing := map[string]string{
		"bad": fluxmeta.BuildFailedReason, "unknown": fluxmeta.ReconciliationFailedReason, "nonamespace": fluxmeta.ReconciliationFailedReason,
		"absent": fluxmeta.ArtifactFailedReason, "forbidden": fluxmeta.ReconciliationFailedReason,
		"no-dependency": fluxmeta.DependencyNotReadyReason, "no-source": fluxmeta.ArtifactFailedReason, "no-artifact": fluxmeta.ArtifactFailedReason,
	}
	var all []*kustomizev1.Kustomization
	for _, name := range []string{"web", "prune", "keep", "bad", "unknown", "nonamespace", "healthy", "staged", "disabled", "forbidden",
		"overlay", "secret", "adopt", "absent", "no-dependency", "dependent", "no-source", "no-artifact", "suspended"} {
		k := e.kustomization(name, "./"+name, func(k *kustomizev1.Kustomization) {
			k.Labels = labels
			k.Spec.RetryInterval = nil
			switch name {
			case "keep":
				k.Spec.Prune = false
			case "healthy":
				k.Spec.Wait = true
			case "forbidden":
				k.Spec.ServiceAccountName = "weak"
			case "overlay":
				k.Spec.NamePrefix = "pre-"
				k.Spec.CommonMetadata = &kustomizev1.CommonMetadata{Labels: map[string]string{"team": "x"}}
				k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "ConfigMap", Name: "values"}}}
			case "no-dependency":
				k.Spec.Path, k.Spec.DependsOn = "./web", []kustomizev1.DependencyReference{{Name: "nowhere"}}
			case "dependent":
				k.Spec.Path, k.Spec.DependsOn = "./healthy", []kustomizev1.DependencyReference{{Name: "bad"}}
			case "no-source":
				k.Spec.SourceRef.Name = "nowhere"
			case "no-artifact":
				k.Spec.SourceRef.Name = "no-branch"
			case "suspended":
				k.Spec.Suspend = true
				k.Annotations = map[string]string{fluxmeta.ReconcileRequestAnnotation: "asked"}
			}
		})
		e.create(k)
		all = append(all, k)
	}
	failing["dependent"] = fluxmeta.DependencyNotReadyReason
	rest := func(commit string) {
		t.Helper()
		for _, k := range all {
			switch {
			case k.Name == "suspended":
				until(e, k, "echo", func(k *kustomizev1.Kustomization) bool { return k.Status.GetLastHandledReconcileRequest() == "asked" })
			case failing[k.Name] != "":
				until(e, k, failing[k.Name]+" at "+commit, func(k *kustomizev1.Kustomization) bool {
					return conditions.IsFalse(k, fluxmeta.ReadyCondition) && conditions.GetReason(k, fluxmeta.ReadyCondition) == failing[k.Name] &&
						(k.Status.LastAttemptedRevision == "" || strings.HasSuffix(k.Status.LastAttemptedRevision, commit))
				})
			default:
				e.untilReady(k, commit)
			}
		}
	}
	rest(commits[0])
	commits = append(commits, e.push("second", map[string]string{
		"prune/a.yaml": configMapYAML(ns, "prune-a", "2"), "prune/b.yaml": "", "keep/b.yaml": "", "adopt/new.yaml": configMapYAML(ns, "adopt-new", "1"),
	}))
	e.request(app, "second")
	until(e, app, "second revision", func(r *sourcev1.GitRepository) bool {
		return ready(r) && r.Status.Artifact.HasRevision("main@sha1:"+commits[1])
	})
	rest(commits[1])
	e.request(all[0], "again")
	until(e, all[0], "echo", func(k *kustomizev1.Kustomization) bool {
		return k.Status.GetLastHandledReconcileRequest() == "again" && conditions.IsReady(k)
	})
	e.untilGone(e.configMap("prune-b"))
	return commits
}

var (
	ephemeralTemp     = regexp.MustCompile(`/tmp/kustomization-[0-9]+/?`)
	ephemeralDuration = regexp.MustCompile(`(?:[0-9]+(?:\.[0-9]+)?(?:h|ms|µs|ns|m|s))+`)
	ephemeralAddress  = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
)

// compatDump prints what is compared, by file.
func (e *team) compatDump(commits []string) map[string]string {
	clean := func(text string) string {
		for i, commit := range commits {
			text = strings.ReplaceAll(text, commit, fmt.Sprintf("COMMIT%d", i+1))
		}
		text = ephemeralTemp.ReplaceAllString(text, "")
		return ephemeralAddress.ReplaceAllString(text, "ADDRESS")
	}
	dump := map[string]string{}
	controls := map[string]any{}
	kustomizations, repositories := &kustomizev1.KustomizationList{}, &sourcev1.GitRepositoryList{}
	e.must(e.client.List(e.ctx, kustomizations, client.InNamespace(e.namespace)))
	e.must(e.client.List(e.ctx, repositories, client.InNamespace(e.namespace)))
	for i := range kustomizations.Items {
		k := &kustomizations.Items[i]
		controls["Kustomization/"+k.Name] = e.control(k, &k.Status)
	}
	for i := range repositories.Items {
		r := &repositories.Items[i]
		controls["GitRepository/"+r.Name] = e.control(r, &r.Status)
	}
	dump["controls"] = clean(e.yaml(controls))

	managed := map[string]any{}
	for _, kind := range []string{"ConfigMap", "Secret", "Service", "Namespace", "Deployment", "ClusterRole"} {
		list := &unstructured.UnstructuredList{}
		version := map[string]string{"Deployment": "apps/v1", "ClusterRole": "rbac.authorization.k8s.io/v1"}[kind]
		if version == "" {
			version = "v1"
		}
		list.SetAPIVersion(version)
		list.SetKind(kind + "List")
		e.must(e.client.List(e.ctx, list, client.MatchingLabels{ownerNamespace: e.namespace}))
		for i := range list.Items {
			managed[kind+"/"+list.Items[i].GetName()] = withoutTraces(&list.Items[i])
		}
	}
	dump["objects"] = clean(e.yaml(managed))

	events := &corev1.EventList{}
	e.must(e.client.List(e.ctx, events, client.InNamespace(e.namespace)))
	var lines []string
	for _, event := range events.Items {
		if event.Source.Component != sourceController && event.Source.Component != kustomizeController {
			continue
		}
		var annotations []string
		for key, value := range event.Annotations {
			annotations = append(annotations, key+"="+value)
		}
		sort.Strings(annotations)
		message := event.Message
		if strings.Contains(message, "finished in") || strings.Contains(message, "passed in") {
			message = ephemeralDuration.ReplaceAllString(message, "TIME")
		}
		line := clean(fmt.Sprintf("%s/%s %s %s %s: %s %v", event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Source.Component, event.Type, event.Reason, message, annotations))
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	sort.Strings(lines)
	dump["events"] = e.yaml(lines)
	return dump
}

// control is what is compared of a GitRepository or Kustomization.
func (e *team) control(object client.Object, status any) map[string]any {
	var content map[string]any
	e.must(yaml.Unmarshal([]byte(e.yaml(status)), &content))
	if list, ok := content["conditions"].([]any); ok {
		for _, item := range list {
			if condition, ok := item.(map[string]any); ok {
				delete(condition, "lastTransitionTime")
				if message, ok := condition["message"].(string); ok && strings.HasPrefix(message, "Health check passed") {
					condition["message"] = ephemeralDuration.ReplaceAllString(message, "TIME")
				}
			}
		}
	}
	if artifact, ok := content["artifact"].(map[string]any); ok {
		delete(artifact, "lastUpdateTime")
	}
	if history, ok := content["history"].([]any); ok {
		for _, item := range history {
			if snapshot, ok := item.(map[string]any); ok {
				for _, key := range []string{"firstReconciled", "lastReconciled", "lastReconciledDuration", "totalReconciliations"} {
					delete(snapshot, key)
				}
			}
		}
	}
	var managers []string
	for _, entry := range object.GetManagedFields() {
		if manager := entry.Manager + " " + string(entry.Operation) + " " + entry.Subresource; strings.Contains(entry.Manager, "controller") && !slices.Contains(managers, manager) {
			managers = append(managers, manager)
		}
	}
	sort.Strings(managers)
	return map[string]any{"status": content, "finalizers": object.GetFinalizers(), "managers": managers}
}

// withoutTraces takes away what differs between any two runs.
func withoutTraces(u *unstructured.Unstructured) map[string]any {
	for _, key := range []string{"uid", "resourceVersion", "creationTimestamp"} {
		unstructured.RemoveNestedField(u.Object, "metadata", key)
	}
	for _, key := range []string{"clusterIP", "clusterIPs"} {
		unstructured.RemoveNestedField(u.Object, "spec", key)
	}
	delete(u.Object, "status")
	var kept []any
	fields, _, _ := unstructured.NestedSlice(u.Object, "metadata", "managedFields")
	for _, item := range fields {
		if entry, ok := item.(map[string]any); ok && entry["manager"] != "kube-controller-manager" {
			delete(entry, "time")
			kept = append(kept, entry)
		}
	}
	_ = unstructured.SetNestedSlice(u.Object, kept, "metadata", "managedFields")
	return u.Object
}

func (e *team) yaml(value any) string {
	e.t.Helper()
	text, err := yaml.Marshal(value)
	e.must(err)
	return string(text)
}

// startStock runs the real controllers on the shard "stock" until the test ends.
func (e *team) startStock() {
	e.t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("STOCK_CRDS")) {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		e.must(err)
		for _, file := range files {
			content, err := os.ReadFile(file)
			e.must(err)
			crd := &unstructured.Unstructured{}
			e.must(yaml.Unmarshal(content, &crd.Object))
			if !e.exists(crd.DeepCopy()) {
				e.create(crd)
			}
		}
	}
	address, err := freeAddress()
	e.must(err)
	common := []string{"--watch-label-selector=" + shardKey + "=stock", "--metrics-addr=0", "--health-addr=0", "--enable-leader-election=false"}
	for program, args := range map[string][]string{
		os.Getenv("SOURCE_CONTROLLER"):    {"--storage-path=" + e.t.TempDir(), "--storage-addr=" + address, "--storage-adv-addr=" + address},
		os.Getenv("KUSTOMIZE_CONTROLLER"): nil,
	} {
		command := exec.Command(program, append(args, common...)...)
		command.Env = append(os.Environ(), "KUBECONFIG="+e.plane.Kubeconfig, "RUNTIME_NAMESPACE=default", "TMPDIR=/tmp")
		if log := os.Getenv("AGENT_LOG"); log != "" {
			file, err := os.Create(log + "." + filepath.Base(program))
			e.must(err)
			command.Stderr, command.Stdout = file, file
		}
		e.must(command.Start())
		e.t.Cleanup(func() {
			_ = command.Process.Kill()
			_ = command.Wait()
		})
	}
}

// differences are texts that are meant to differ: the same failure at the same
// place in other words, without the path of a temporary folder, without a URL,
// or with the file that is at fault.
var differences = []*regexp.Regexp{
	regexp.MustCompile(`(failed to checkout and determine revision: ).*`),
	regexp.MustCompile(`(failed to configure authentication options: ).*('known_hosts' is required)`),
	regexp.MustCompile(`(failed to get secret '[^']*': )(?:failed to get secret '[^']*': )?`),
	regexp.MustCompile(`(kustomization path not found: ).*`),
	regexp.MustCompile(`(failed to decode Kubernetes apiVersion, kind and name from: ).*`),
}

// tolerated takes out what is meant to differ, and doubles that are left then.
func tolerated(t *testing.T, text string) any {
	t.Helper()
	var content any
	if err := yaml.Unmarshal([]byte(text), &content); err != nil {
		t.Fatal(err)
	}
	var walk func(any) any
	walk = func(value any) any {
		switch value := value.(type) {
		case string:
			for _, difference := range differences {
				value = difference.ReplaceAllString(value, "${1}…")
			}
			return value
		case []any:
			var list []any
			for _, item := range value {
				item = walk(item)
				if text, ok := item.(string); !ok || !slices.Contains(list, any(text)) {
					list = append(list, item)
				}
			}
			return list
		case map[string]any:
			for key, item := range value {
				value[key] = walk(item)
			}
		}
		return value
	}
	return walk(content)
}
