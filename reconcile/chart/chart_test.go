package chart

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// render returns the objects of the chart, by kind.
func render(t *testing.T, values map[string]any) map[string]*unstructured.Unstructured {
	t.Helper()
	loaded, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(loaded, values,
		chartutil.ReleaseOptions{Name: ReleaseName, Namespace: "flux-system", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(loaded, all)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]*unstructured.Unstructured{}
	for name, content := range files {
		if strings.HasSuffix(name, "NOTES.txt") || strings.TrimSpace(content) == "" {
			continue
		}
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(content), &object.Object); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, content)
		}
		objects[object.GetKind()] = object
	}
	return objects
}

func image(repository string) map[string]any {
	return map[string]any{"image": map[string]any{"repository": repository}}
}

func TestDefinitionsSayWhichVersionTheyAreOf(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for file, module := range map[string]string{
		"source.toolkit.fluxcd.io_gitrepositories.yaml":   "source-controller/api",
		"kustomize.toolkit.fluxcd.io_kustomizations.yaml": "kustomize-controller/api",
	} {
		content, err := FS.ReadFile("crds/" + file)
		if err != nil {
			t.Fatal(err)
		}
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(content, &crd.Object); err != nil {
			t.Fatal(err)
		}
		version := crd.GetAnnotations()[DefinitionVersion]
		if version == "" || !strings.Contains(string(mod), "github.com/fluxcd/"+module+" "+version+"\n") {
			t.Errorf("%s says that it is of version %q, which is not that of %s in go.mod", file, version, module)
		}
	}
}

func TestChartHasNoLintErrors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fluxover-agent")
	err := fs.WalkDir(FS, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(dir, path), 0o755)
		}
		content, err := FS.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, path), content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range lint.All(dir, image("registry.example/fluxover"), "flux-system", true).Messages {
		if message.Severity >= support.WarningSev {
			t.Error(message)
		}
	}
}

func TestChartRendersTheAgentWithClusterAdmin(t *testing.T) {
	objects := render(t, image("registry.example/team/fluxover"))
	var deployment appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects["Deployment"].Object, &deployment); err != nil {
		t.Fatal(err)
	}
	if deployment.Name != "fluxover-agent" || deployment.Namespace != "flux-system" {
		t.Errorf("deployment is %s/%s", deployment.Namespace, deployment.Name)
	}
	container := deployment.Spec.Template.Spec.Containers[0]
	if want := "registry.example/team/fluxover:0.1.0"; container.Image != want {
		t.Errorf("image %q, want %q", container.Image, want)
	}
	if container.Args[0] != "agent" || !slices.Contains(container.Args, "--enable-leader-election=true") {
		t.Errorf("arguments %v", container.Args)
	}
	if cpu := container.Resources.Requests.Cpu().String(); cpu != "100m" {
		t.Errorf("asks for %s of a core", cpu)
	}
	if memory := container.Resources.Requests.Memory().String(); memory != "128Mi" {
		t.Errorf("asks for %s of memory", memory)
	}
	binding := objects["ClusterRoleBinding"]
	if role, _, _ := unstructured.NestedString(binding.Object, "roleRef", "name"); role != "cluster-admin" {
		t.Errorf("bound to %q", role)
	}
	if objects["Service"] == nil || objects["ServiceAccount"] == nil {
		t.Error("service or service account is missing")
	}
}

// TestChartNeedsNoNewerKubernetesThanTheFence holds discovery to its word: it
// refuses an API server older than 1.30, and no other finding speaks of the
// chart.
func TestChartNeedsNoNewerKubernetesThanTheFence(t *testing.T) {
	loaded, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if need := loaded.Metadata.KubeVersion; need == "" || !chartutil.IsCompatibleRange(need, "v1.30.0") {
		t.Errorf("the chart needs Kubernetes %q, which 1.30.0 is not", need)
	}
}

func TestChartRefusesToRenderWithoutAnImage(t *testing.T) {
	loaded, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	values, err := chartutil.ToRenderValues(loaded, nil, chartutil.ReleaseOptions{Name: ReleaseName, Namespace: "flux-system"}, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Render(loaded, values); err == nil || !strings.Contains(err.Error(), "image.repository") {
		t.Errorf("error %v does not name image.repository", err)
	}
}

func TestChartSchemaRefusesUnknownAndWrongValues(t *testing.T) {
	loaded, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range map[string]map[string]any{
		"unknown value":  {"replicaCount": 1},
		"wrong duration": {"agent": map[string]any{"fullCheck": "an hour"}},
		"no workers":     {"agent": map[string]any{"concurrent": 0}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := chartutil.ToRenderValues(loaded, values, chartutil.ReleaseOptions{Name: "x", Namespace: "y"}, chartutil.DefaultCapabilities); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestChartCarriesBothDefinitionsOutsideOfTemplates(t *testing.T) {
	loaded, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, crd := range loaded.CRDObjects() {
		var object unstructured.Unstructured
		if err := yaml.Unmarshal(crd.File.Data, &object.Object); err != nil {
			t.Fatal(err)
		}
		names = append(names, object.GetName())
	}
	slices.Sort(names)
	want := []string{"gitrepositories.source.toolkit.fluxcd.io", "kustomizations.kustomize.toolkit.fluxcd.io"}
	if !slices.Equal(names, want) {
		t.Errorf("definitions %v, want %v", names, want)
	}
	if rendered := render(t, image("x"))["CustomResourceDefinition"]; rendered != nil {
		t.Error("a definition is part of the release, so uninstalling would delete it with all its objects")
	}
}

func TestChartTurnsTenancyFlagsOn(t *testing.T) {
	values := image("x")
	values["agent"] = map[string]any{"noCrossNamespaceRefs": true, "defaultServiceAccount": "nobody"}
	objects := render(t, values)
	var deployment appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects["Deployment"].Object, &deployment); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--no-cross-namespace-refs=true", "--default-service-account=nobody"} {
		if !slices.Contains(deployment.Spec.Template.Spec.Containers[0].Args, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestArtifactsAreServedToTheReleasesNamespaceOnlyUnlessTurnedOff(t *testing.T) {
	policy := func(values map[string]any) *networkingv1.NetworkPolicy {
		t.Helper()
		object := render(t, values)["NetworkPolicy"]
		if object == nil {
			return nil
		}
		var p networkingv1.NetworkPolicy
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &p); err != nil {
			t.Fatal(err)
		}
		return &p
	}
	// from says for a port who may reach it: "" is nobody, "*" everybody.
	from := func(p *networkingv1.NetworkPolicy, port string) string {
		who := ""
		for _, rule := range p.Spec.Ingress {
			if !slices.ContainsFunc(rule.Ports, func(r networkingv1.NetworkPolicyPort) bool { return r.Port != nil && r.Port.StrVal == port }) {
				continue
			}
			if len(rule.From) == 0 {
				return "*"
			}
			for _, peer := range rule.From {
				if peer.NamespaceSelector != nil || peer.IPBlock != nil || peer.PodSelector == nil {
					return "*"
				}
				who = "namespace"
			}
		}
		return who
	}
	p := policy(image("x"))
	if p == nil {
		t.Fatal("no network policy by default")
	}
	if p.Namespace != "flux-system" || p.Spec.PodSelector.MatchLabels["app.kubernetes.io/name"] != "fluxover-agent" {
		t.Errorf("it selects %v in %s", p.Spec.PodSelector, p.Namespace)
	}
	if got := []string{from(p, "artifacts"), from(p, "metrics"), from(p, "health"), from(p, "else")}; !slices.Equal(got, []string{"namespace", "*", "*", ""}) {
		t.Errorf("artifacts, metrics, health and other ports may be reached by %q", got)
	}
	both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	if !slices.Equal(p.Spec.PolicyTypes, both) || len(p.Spec.Egress) != 1 || len(p.Spec.Egress[0].To) != 0 || len(p.Spec.Egress[0].Ports) != 0 {
		t.Errorf("the agent cannot reach everything: %v %v", p.Spec.PolicyTypes, p.Spec.Egress)
	}
	values := image("x")
	values["artifacts"] = map[string]any{"enabled": false}
	if p := policy(values); p == nil || from(p, "artifacts") != "" {
		t.Errorf("without artifacts: %v", p)
	}
	values = image("x")
	values["networkPolicy"] = map[string]any{"enabled": false}
	if p := policy(values); p != nil {
		t.Errorf("turned off: %v", p)
	}
}

func TestValuesReachThePodTheyAreFor(t *testing.T) {
	for name, c := range map[string]struct {
		values map[string]any
		want   string
	}{
		"fullnameOverride":         {map[string]any{"fullnameOverride": "other"}, "name: other\n"},
		"image.pullPolicy":         {map[string]any{"image": map[string]any{"pullPolicy": "Always"}}, "imagePullPolicy: Always"},
		"imagePullSecrets":         {map[string]any{"imagePullSecrets": []any{map[string]any{"name": "pull"}}}, "imagePullSecrets:\n      - name: pull"},
		"agent.deletionBudget":     {map[string]any{"agent": map[string]any{"deletionBudget": 7}}, "--deletion-budget=7"},
		"agent.eventsAddr":         {map[string]any{"agent": map[string]any{"eventsAddr": "http://events"}}, "--events-addr=http://events"},
		"agent.leaderElection":     {map[string]any{"agent": map[string]any{"leaderElection": false}}, "--enable-leader-election=false"},
		"agent.logLevel":           {map[string]any{"agent": map[string]any{"logLevel": "debug"}}, "--log-level=debug"},
		"agent.requeueDependency":  {map[string]any{"agent": map[string]any{"requeueDependency": "9s"}}, "--requeue-dependency=9s"},
		"agent.watchLabelSelector": {map[string]any{"agent": map[string]any{"watchLabelSelector": "shard=a"}}, "--watch-label-selector=shard=a"},
		"podAnnotations":           {map[string]any{"podAnnotations": map[string]any{"a": "b"}}, "a: b"},
		"priorityClassName":        {map[string]any{"priorityClassName": "high"}, "priorityClassName: high"},
		"tolerations":              {map[string]any{"tolerations": []any{map[string]any{"key": "spot"}}}, "tolerations:\n      - key: spot"},
		"affinity":                 {map[string]any{"affinity": map[string]any{"nodeAffinity": map[string]any{}}}, "affinity:\n        nodeAffinity: {}"},
	} {
		t.Run(name, func(t *testing.T) {
			rendered := func(values map[string]any) string {
				raw, err := yaml.Marshal(render(t, chartutil.CoalesceTables(values, image("x")))["Deployment"].Object)
				if err != nil {
					t.Fatal(err)
				}
				return string(raw)
			}
			if before := rendered(map[string]any{}); strings.Contains(before, c.want) {
				t.Fatalf("the Deployment holds %q without the value as well", c.want)
			}
			if got := rendered(c.values); !strings.Contains(got, c.want) {
				t.Errorf("the Deployment lacks %q:\n%s", c.want, got)
			}
		})
	}
}
