package proof

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/migrate"
)

func findingsOf(t *testing.T, inv migrate.Inventory, w World, code string) []migrate.Finding {
	t.Helper()
	r, err := Prove(t.Context(), inv, migrate.Options{}, w)
	if err != nil {
		t.Fatal(err)
	}
	// Who makes a credential anew is said of every agent that has one, and what a
	// new folder needs of every path that is split.
	return slices.DeleteFunc(r.Plan.Findings, func(f migrate.Finding) bool {
		return code != "" && f.Code != code || f.Code == "CREDENTIAL_OWNER" || f.Code == "NEW_FOLDER_NOT_APPLIED"
	})
}

func TestWhatCannotBeBuiltIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ code, bad, good string }{
		"an object without a name": {"BUILD_FAILED",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-, namespace: team}\n", configMap("a", "{}")},
		"nothing but what Kustomize leaves out": {"EMPTY_BUILD",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: team, annotations: {config.kubernetes.io/local-config: \"true\"}}\n", configMap("a", "{}")},
	} {
		t.Run(name, func(t *testing.T) {
			found := findingsOf(t, inventoryOf(t, map[string]string{"p/app/a.yaml": c.bad}), nil, c.code)
			if len(found) != 1 || found[0].Subject != "flux/flux-team Kustomization/team-app" || found[0].Acceptable {
				t.Errorf("the findings are %+v", found)
			}
			if found := findingsOf(t, inventoryOf(t, map[string]string{"p/app/a.yaml": c.good}), nil, ""); len(found) > 0 {
				t.Errorf("what can be built is found as well: %v", found)
			}
		})
	}
}

func TestOneObjectInTwoApplicationsBlocks(t *testing.T) {
	// With and without its namespace: fluxd takes either.
	files := map[string]string{"p/one/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
		"p/two/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n"}
	found := findingsOf(t, inventoryOf(t, files), nil, "OBJECT_IN_TWO_APPLICATIONS")
	if len(found) != 1 || found[0].Where != "p/one/a.yaml:1, p/two/a.yaml:1" || !strings.Contains(found[0].Message, "team-one and team-two") || found[0].Severity != migrate.Blocker {
		t.Errorf("the findings are %+v", found)
	}
	files["p/three/a.yaml"] = files["p/two/a.yaml"]
	files["p/two/a.yaml"] += "---\n" + configMap("b", "{}") // what is defined twice alone would be of one application
	found = findingsOf(t, inventoryOf(t, files), nil, "OBJECT_IN_TWO_APPLICATIONS")
	if len(found) != 1 || !strings.Contains(found[0].Message, "the Kustomizations team-one, team-three and team-two,") {
		t.Errorf("of three the findings are %+v", found)
	}
	delete(files, "p/three/a.yaml")
	files["p/two/a.yaml"] = configMap("b", "{}")
	if found := findingsOf(t, inventoryOf(t, files), nil, "OBJECT_IN_TWO_APPLICATIONS"); len(found) > 0 {
		t.Errorf("two objects are found as well: %v", found)
	}
}

func TestTheRepositoriesOfOneObjectAreNamed(t *testing.T) {
	inv := inventoryOf(t, map[string]string{"p/app/a.yaml": configMap("a", "{}")})
	other := inv.Agents[0]
	other.ID, other.Release = "flux/flux-other", "flux-other"
	inv.Agents = append(inv.Agents, other)
	found := findingsOf(t, inv, nil, "OBJECT_IN_TWO_REPOSITORIES")
	if len(found) != 2 || found[0].Where != "flux/flux-other p/app/a.yaml:1; flux/flux-team p/app/a.yaml:1" {
		t.Errorf("the findings are %+v", found)
	}
}

// servingWorld stores what it is given, as it is given.
type servingWorld struct {
	live map[string]*unstructured.Unstructured
}

func (w *servingWorld) Live(_ context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return w.live[migrate.ObjectID(o)], nil
}

func (w *servingWorld) LiveIn(context.Context, schema.GroupVersionKind, string, int) (map[string]*unstructured.Unstructured, bool) {
	return nil, false
}

func (w *servingWorld) DryRun(_ context.Context, _ Account, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return o.DeepCopy(), nil
}

func (w *servingWorld) DryRunChange(_ context.Context, _ Account, _, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return o, nil
}

const webDeployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: team}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"}]}
`

// deployed is the Deployment as it lives, changed.
func deployed(t *testing.T, manager, fields string, change func(spec map[string]any)) map[string]*unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(webDeployment), &u.Object); err != nil {
		t.Fatal(err)
	}
	u = Normalized(u)
	change(u.Object["spec"].(map[string]any))
	u.SetUID("u")
	u.SetManagedFields([]metav1.ManagedFieldsEntry{entry(manager, update, "", fields)})
	return map[string]*unstructured.Unstructured{"team_web_apps_Deployment": u}
}

func TestPodsThatWouldBeReplacedNeedAWord(t *testing.T) {
	inv := inventoryOf(t, map[string]string{"p/app/web.yaml": webDeployment})
	for name, c := range map[string]struct {
		manager, fields, path string
		change                func(spec map[string]any)
	}{
		"the mark of a rollout restart": {"kubectl-rollout", `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`,
			"restartedAt", func(spec map[string]any) {
				spec["template"].(map[string]any)["metadata"].(map[string]any)["annotations"] = map[string]any{"kubectl.kubernetes.io/restartedAt": "now"}
			}},
		"another image than in Git": {"kubectl-set", `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{"f:image":{}}}}}}}`,
			"image", func(spec map[string]any) {
				containers := spec["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)
				containers[0].(map[string]any)["image"] = "web:2"
			}},
	} {
		t.Run(name, func(t *testing.T) {
			found := findingsOf(t, inv, &servingWorld{live: deployed(t, c.manager, c.fields, c.change)}, "PODS_RESTART")
			if len(found) != 1 || found[0].Severity != migrate.Blocker || !found[0].Acceptable || !strings.Contains(found[0].Message, c.path) {
				t.Errorf("the findings are %+v", found)
			}
		})
	}
	if found := findingsOf(t, inv, &servingWorld{live: deployed(t, "kubectl-edit", `{}`, func(map[string]any) {})}, ""); len(found) > 0 {
		t.Errorf("a Deployment as Git has it is found as well: %v", found)
	}
}

func TestWhetherPodsAreReplacedIsForItsControllerToSay(t *testing.T) {
	object := func(kind, more string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(kind+"\nmetadata: {name: web}\nspec:\n  template: {spec: {containers: [{name: web}]}}\n"+more), &u.Object); err != nil {
			t.Fatal(err)
		}
		return u
	}
	const apps = "apiVersion: apps/v1\nkind: "
	for name, c := range map[string]struct {
		live *unstructured.Unstructured
		want bool
	}{
		"a Deployment":                    {object(apps+"Deployment", ""), true},
		"a StatefulSet":                   {object(apps+"StatefulSet", ""), true},
		"a DaemonSet":                     {object(apps+"DaemonSet", "  updateStrategy: {type: RollingUpdate}\n"), true},
		"a DaemonSet once pods are gone":  {object(apps+"DaemonSet", "  updateStrategy: {type: OnDelete}\n"), false},
		"a StatefulSet, likewise":         {object(apps+"StatefulSet", "  updateStrategy: {type: OnDelete}\n"), false},
		"a ReplicaSet":                    {object(apps+"ReplicaSet", ""), false},
		"a ReplicationController":         {object("apiVersion: v1\nkind: ReplicationController", ""), false},
		"a Job":                           {object("apiVersion: batch/v1\nkind: Job", ""), false},
		"an Argo Rollout":                 {object("apiVersion: argoproj.io/v1alpha1\nkind: Rollout", ""), true},
		"a CloneSet of OpenKruise":        {object("apiVersion: apps.kruise.io/v1alpha1\nkind: CloneSet", ""), true},
		"a Service of Knative":            {object("apiVersion: serving.knative.dev/v1\nkind: Service", ""), true},
		"another kind, without any pods":  {&unstructured.Unstructured{Object: map[string]any{"kind": "Widget", "spec": map[string]any{"template": map[string]any{"a": "b"}}}}, false},
		"a Rollout that names a workload": {&unstructured.Unstructured{Object: map[string]any{"kind": "Rollout", "spec": map[string]any{"workloadRef": map[string]any{"name": "web"}}}}, false},
	} {
		if got := replacesPods(c.live, []string{".spec.template.spec.containers[0].env"}); got != c.want {
			t.Errorf("%s: pods are replaced: %t, want %t", name, got, c.want)
		}
		if replacesPods(c.live, []string{".spec.replicas", ".spec.templateRef"}) {
			t.Errorf("%s: its template does not change, and pods are said to be replaced", name)
		}
	}
}

func TestPodTemplatesAreFoundWhereverAnObjectHoldsThem(t *testing.T) {
	const ray = "apiVersion: ray.io/v1\nkind: RayCluster\nspec:\n  headGroupSpec: {size: 1, template: {spec: {containers: [{name: head}]}}}\n  workerGroupSpecs: [{groupName: a, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: worker}]}}}]\n"
	const cron = "apiVersion: batch/v1\nkind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a}]}}}}}\n"
	const elastic = "apiVersion: elasticsearch.k8s.elastic.co/v1\nkind: Elasticsearch\nspec: {nodeSets: [{name: a, config: {x: y}, podTemplate: {spec: {containers: [{name: a}]}}}]}\n"
	const policy = "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec: {rules: [{name: a, validate: {pattern: {spec: {containers: [{image: '*:*', resources: {}}]}}}}, {name: b, validate: {pattern: {spec: {containers: [{name: '*'}]}}}}]}\n"
	const analysis = "apiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nspec: {metrics: [{name: a, provider: {job: {spec: {template: {spec: {containers: [{name: a}]}}}}}}]}\n"
	for _, c := range []struct {
		object, field string
		want          bool
	}{
		{policy, ".spec.rules", false},
		{policy, ".spec.rules[0].validate.pattern.spec.containers", false},
		{analysis, ".spec.metrics[0].provider.job.spec.template.spec.containers[0].image", false},
		{ray, ".spec.headGroupSpec.template.spec.hostname", true},
		{ray, ".spec.headGroupSpec", true}, // which holds one
		{ray, ".spec.headGroupSpec.size", false},
		{ray, ".spec.headGroupSpec.templateName", false},
		{ray, `.spec.workerGroupSpecs[0].template.metadata.labels["a.b/c"]`, true},
		{ray, `.spec.workerGroupSpecs[groupName="a"].template.spec.hostname`, true}, // as managedFields have it
		{elastic, `.spec.nodeSets["a"].podTemplate.spec.hostname`, false},           // a key, not an item
		{elastic, ".spec.nodeSets[0].podTemplate.spec.hostname", true},
		{elastic, ".spec.nodeSets[0].config.x", false},
		{cron, ".spec.jobTemplate.spec.template.spec.containers[0].env", false},
		{"apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a}]}\n", ".spec.containers[0].image", false},
	} {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(c.object), &u.Object); err != nil {
			t.Fatal(err)
		}
		if got := replacesPods(u, []string{".spec.replicas", c.field}); got != c.want {
			t.Errorf("%s, %s: its pods are replaced: %t, want %t", u.GetKind(), c.field, got, c.want)
		}
	}
}

func TestAnotherNumberOfReplicasNeedsAWord(t *testing.T) {
	inv := inventoryOf(t, map[string]string{"p/app/web.yaml": webDeployment})
	found := findingsOf(t, inv, &servingWorld{live: deployed(t, "kubectl-scale", `{"f:spec":{"f:replicas":{}}}`, func(spec map[string]any) { spec["replicas"] = int64(3) })}, "OBJECT_CHANGES")
	if len(found) != 1 || found[0].Severity != migrate.Blocker || !found[0].Acceptable {
		t.Errorf("the findings are %+v", found)
	}
}

// What an object does needs a word; what is merely written on it is warned of.
func TestWhatAnObjectDoesNeedsAWordWhereItChanges(t *testing.T) {
	for _, c := range []struct {
		apiVersion, kind, field string
		want                    migrate.Severity
	}{
		{"apps/v1", "Deployment", ".metadata.labels.team", migrate.Warning},
		{"apps/v1", "Deployment", `.metadata.annotations["example.com/note"]`, migrate.Warning},
		{"apps/v1", "Deployment", ".spec.strategy.type", migrate.Blocker},
		{"v1", "ConfigMap", ".data.key", migrate.Blocker},
		{"rbac.authorization.k8s.io/v1", "Role", ".rules[0].verbs", migrate.Blocker},
		{"networking.k8s.io/v1", "NetworkPolicy", ".spec.ingress", migrate.Blocker},
		{"v1", "PersistentVolumeClaim", ".metadata.finalizers", migrate.Blocker},
		{"v1", "Service", ".spec.loadBalancerSourceRanges", migrate.Blocker},
		{"v1", "Service", `.metadata.annotations["service.beta.kubernetes.io/aws-load-balancer-internal"]`, migrate.Blocker},
		{"networking.k8s.io/v1", "Ingress", `.metadata.annotations["nginx.ingress.kubernetes.io/whitelist-source-range"]`, migrate.Blocker},
		{"v1", "Namespace", `.metadata.labels["pod-security.kubernetes.io/enforce"]`, migrate.Blocker},
		{"v1", "ServiceAccount", `.metadata.annotations["eks.amazonaws.com/role-arn"]`, migrate.Blocker},
		{"rbac.authorization.k8s.io/v1", "ClusterRole", `.metadata.labels["rbac.authorization.k8s.io/aggregate-to-admin"]`, migrate.Blocker},
		{"storage.k8s.io/v1", "StorageClass", `.metadata.annotations["storageclass.kubernetes.io/is-default-class"]`, migrate.Blocker},
		{"serving.knative.dev/v1", "Service", ".metadata.labels.team", migrate.Warning},
	} {
		live := &unstructured.Unstructured{}
		live.SetAPIVersion(c.apiVersion)
		live.SetKind(c.kind)
		if got := changeSeverity(live, []string{c.field}); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.field, c.kind, got, c.want)
		}
	}
}

func TestManyClashesAreFoundInOneGo(t *testing.T) {
	const count = 40_000
	var inv migrate.Inventory
	var repos []migrate.Repository
	evidence := map[string]map[string]*Evidence{}
	for _, agent := range []string{"flux/a", "flux/b"} {
		a := migrate.Flux1Agent{ID: agent}
		evidence[agent] = map[string]*Evidence{}
		for i := range count {
			id := fmt.Sprintf("namespace-of-a-team_config-map-%05d__ConfigMap", i)
			a.Objects = append(a.Objects, migrate.Object{ID: id, File: agent + ".yaml", Line: i + 1})
			evidence[agent][id] = &Evidence{New: &unstructured.Unstructured{}}
		}
		inv.Agents, repos = append(inv.Agents, a), append(repos, migrate.Repository{ID: agent})
	}
	start := time.Now()
	findings := clashes(inv, repos, evidence)
	if d := time.Since(start); d > time.Minute {
		t.Errorf("it took %s", d)
	}
	if len(findings) != 2*count {
		t.Fatalf("%d findings", len(findings))
	}
	for _, f := range findings {
		if strings.Contains(f.Subject, "map-00007_") && f.Where != "flux/a flux/a.yaml:8; flux/b flux/b.yaml:8" {
			t.Errorf("it is at %q", f.Where)
		}
	}
}

func TestReplicasThatAnAutoscalerOfTheClusterSetsAreNamedThoughTheyAgreeJustNow(t *testing.T) {
	const autoscaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web, namespace: team}\nspec: {maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n"
	scaled := entry("kube-controller-manager", update, "scale", `{"f:spec":{"f:replicas":{}}}`)
	for name, c := range map[string]struct {
		files map[string]string
		by    metav1.ManagedFieldsEntry
		want  string
	}{
		"an autoscaler that is live only": {map[string]string{"p/app/web.yaml": webDeployment}, scaled, "kube-controller-manager sets the number"},
		"one that Git holds":              {map[string]string{"p/app/web.yaml": webDeployment, "p/app/hpa.yaml": autoscaler}, scaled, "HorizontalPodAutoscaler/team/web sets it too"},
		"somebody with kubectl scale":     {map[string]string{"p/app/web.yaml": webDeployment}, entry("kubectl", update, "scale", `{"f:spec":{"f:replicas":{}}}`), ""},
		"Git says no number":              {map[string]string{"p/app/web.yaml": strings.Replace(webDeployment, "  replicas: 1\n", "", 1)}, scaled, ""},
		"set by hand":                     {map[string]string{"p/app/web.yaml": webDeployment}, entry("kubectl-edit", update, "", `{"f:spec":{"f:replicas":{}}}`), ""},
	} {
		live := deployed(t, "x", `{}`, func(map[string]any) {})
		live["team_web_apps_Deployment"].SetManagedFields([]metav1.ManagedFieldsEntry{c.by})
		inv := inventoryOf(t, c.files)
		inv.Agents[0].Objects = slices.Clone(inv.Agents[0].Objects)
		found := findingsOf(t, inv, &servingWorld{live: live}, "REPLICAS_AND_AUTOSCALER")
		if c.want == "" && len(found) > 0 || c.want != "" && (len(found) != 1 || !strings.Contains(found[0].Message, c.want)) {
			t.Errorf("%s: the findings are %v", name, found)
		}
	}
}

func TestTheNumberOfReplicasInGitIsNotedByItself(t *testing.T) {
	noted := func(text string, live map[string]*unstructured.Unstructured) migrate.ObjectInputs {
		p, err := Plan(t.Context(), inventoryOf(t, map[string]string{"p/app/web.yaml": text}), migrate.Options{}, &servingWorld{live: live})
		if err != nil {
			t.Fatal(err)
		}
		return p.Inputs.Objects["flux/flux-team"]["team_web_apps_Deployment"]
	}
	live := deployed(t, "hpa", `{"f:spec":{"f:replicas":{}}}`, func(spec map[string]any) { spec["replicas"] = int64(5) })
	was := noted(webDeployment, live)
	image := noted(strings.Replace(webDeployment, "web:1", "web:2", 1), live)
	number := noted(strings.Replace(webDeployment, "replicas: 1", "replicas: 2", 1), live)
	if was.Replicas == "" || image.Replicas != was.Replicas || image.Rendered == was.Rendered || number.Replicas == was.Replicas {
		t.Errorf("as it is %+v, with another image %+v, with another number %+v", was, image, number)
	}
	for name, in := range map[string]migrate.ObjectInputs{
		"Git says none":            noted(strings.Replace(webDeployment, "  replicas: 1\n", "", 1), live),
		"it is not in the cluster": noted(webDeployment, nil),
	} {
		if in.Replicas != "" || in.Rendered == "" {
			t.Errorf("%s: %+v", name, in)
		}
	}
	// Of a few numbers a hash tells which it is.
	one := live["team_web_apps_Deployment"]
	if got := replicasDigest(&Evidence{New: one, Live: one, Encrypted: true}); got != "" {
		t.Errorf("of what is encrypted in Git: %s", got)
	}
}
