package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// A limit is what is asked for where there is no request, wherever it stands.
func TestALimitCountsWhereThereIsNoRequest(t *testing.T) {
	limited := strings.Replace(deploymentOfMuch, "requests: {cpu: 50m}", "requests: {cpu: 50m}, limits: {cpu: 1, memory: 256Mi}", 1)
	want := migrate.Requests{CPU: "50m", Memory: "256Mi"}
	equal(t, "live", liveIn(t, limited).Agents[0].Requests, want)
	equal(t, "declared", declaredBy(t, asManifest(t, limited)).Agents[0].Requests, want)
	for _, c := range []struct {
		resources any
		want      migrate.Requests
	}{
		{map[string]any{"requests": map[string]any{"cpu": nil, "memory": nil}, "limits": map[string]any{"cpu": "500m"}}, migrate.Requests{CPU: "500m"}},
		{map[string]any{"requests": nil, "limits": map[string]any{"memory": "1Gi"}}, migrate.Requests{Memory: "1Gi"}},
		{map[string]any{"limits": map[string]any{"cpu": "500m"}}, migrate.Requests{CPU: "50m", Memory: "64Mi"}},
	} {
		r := chart.Decode(chart.Release{Name: "flux", Namespace: "flux", Version: "1.13.3"}, map[string]any{"resources": c.resources})
		equal(t, "by the chart", r.Requests, c.want)
	}
	unknown := asManifest(t, strings.Replace(deploymentOfMuch, "requests: {cpu: 50m}", "limits: {cpu: '${var.x}'}", 1))
	unknown["main.tf.json"] = strings.Replace(strings.Replace(unknown["main.tf.json"], "$${", "${", -1), `{"resource"`, `{"variable":{"x":{}},"resource"`, 1)
	if a := declaredBy(t, unknown).Agents[0]; !slices.Contains(a.Unknown, "requests") {
		t.Errorf("requests %+v, unknown %v", a.Requests, a.Unknown)
	}
}

// What an agent holds is what its pod was given, with defaults of its namespace and sidecars, and what its template says
// where no pod is seen.
func TestWhatAnAgentHoldsIsAskedOfItsPod(t *testing.T) {
	object := func(template, pod string) string {
		text := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: " + template + "}}\n"
		if pod != "" {
			text += "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: flux, labels: {a: b}}\nspec: " + pod + "\nstatus: {phase: Running}\n"
		}
		return text
	}
	const asks, fluxd = "resources: {requests: {cpu: 50m, memory: 64Mi}}", "name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=git@h:a/b']"
	for name, c := range map[string]struct {
		template, pod string
		want          migrate.Requests
	}{
		"nothing":                 {"{containers: [{" + fluxd + "}]}", "{containers: [{" + fluxd + "}]}", migrate.Requests{}},
		"defaults":                {"{containers: [{" + fluxd + "}]}", "{containers: [{" + fluxd + ", " + asks + "}]}", migrate.Requests{CPU: "50m", Memory: "64Mi"}},
		"an injected container":   {"{containers: [{" + fluxd + "}]}", "{containers: [{name: mesh, image: m, " + asks + "}, {" + fluxd + ", " + asks + "}]}", migrate.Requests{CPU: "100m", Memory: "128Mi"}},
		"no pod":                  {"{containers: [{" + fluxd + ", " + asks + "}]}", "", migrate.Requests{CPU: "50m", Memory: "64Mi"}},
		"a pod of somebody else":  {"{containers: [{" + fluxd + ", " + asks + "}]}", "{containers: [{name: other, image: o}]}", migrate.Requests{CPU: "50m", Memory: "64Mi"}},
		"a sidecar":               {"{initContainers: [{name: mesh, image: m, restartPolicy: Always, " + asks + "}], containers: [{" + fluxd + ", " + asks + "}]}", "", migrate.Requests{CPU: "100m", Memory: "128Mi"}},
		"a beginning":             {"{initContainers: [{name: i, image: i, " + asks + "}], containers: [{" + fluxd + ", " + asks + "}]}", "", migrate.Requests{CPU: "50m", Memory: "64Mi"}},
		"a larger beginning":      {"{initContainers: [{name: mesh, image: m, restartPolicy: Always, " + asks + "}, {name: i, image: i, resources: {requests: {cpu: 1}}}], containers: [{" + fluxd + ", " + asks + "}]}", "", migrate.Requests{CPU: "1050m", Memory: "128Mi"}},
		"a pod's own requests":    {"{containers: [{" + fluxd + "}]}", "{resources: {requests: {cpu: 1}, limits: {cpu: 2, memory: 1Gi}}, overhead: {cpu: 250m}, containers: [{" + fluxd + ", " + asks + "}]}", migrate.Requests{CPU: "1250m", Memory: "64Mi"}},
		"a pod's own limits":      {"{resources: {limits: {cpu: 2, memory: 1Gi}}, containers: [{" + fluxd + ", resources: {requests: {cpu: 50m}}}]}", "", migrate.Requests{CPU: "50m", Memory: "1Gi"}},
		"what a pod itself costs": {"{overhead: {cpu: 250m}, containers: [{" + fluxd + ", " + asks + "}]}", "", migrate.Requests{CPU: "300m", Memory: "64Mi"}},
	} {
		equal(t, name, liveIn(t, object(c.template, c.pod)).Agents[0].Requests, c.want)
	}
	// Of several pods, one counts that stays, and is of the Deployment's present template.
	pod := func(name, meta, cpu string) string {
		return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: flux, labels: {a: b}" + meta + "}\nspec: {containers: [{" + fluxd + ", resources: {requests: {cpu: " + cpu + "}}}]}\nstatus: {phase: Running}\n"
	}
	set := func(name, template string) string {
		return "---\napiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: " + name + ", namespace: flux, uid: " + name + ", ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: flux, uid: u, controller: true}]}\n" +
			"spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b, pod-template-hash: " + name + "}}, spec: " + template + "}}\n"
	}
	of := func(name string) string {
		return ", ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: " + name + ", uid: " + name + ", controller: true}]"
	}
	const deleted = ", deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [example.com/x]"
	present := "{containers: [{" + fluxd + ", resources: {requests: {cpu: 50m}}}]}"
	sets := set("now", present) + set("old", strings.Replace(present, "50m", "3", 1))
	for name, c := range map[string]struct{ pods, cpu string }{
		"one goes":             {pod("p-1", deleted, "2") + pod("p-2", "", "100m"), "100m"},
		"all go":               {pod("p-1", deleted, "2"), "50m"},
		"an older template":    {sets + pod("p-1", of("old"), "3") + pod("p-2", of("now"), "100m"), "100m"},
		"older templates only": {sets + pod("p-1", of("old"), "3"), "50m"},
		"of no known set":      {set("now", present) + pod("p-1", of("old"), "3") + pod("p-2", of("now"), "100m"), "100m"},
		"none of a known set":  {pod("p-1", of("old"), "3"), "50m"},
		"nothing that stays":   {sets + pod("p-1", of("old")+deleted, "3") + pod("p-2", of("now")+deleted, "100m"), "50m"},
	} {
		equal(t, name, liveIn(t, object(present, "")+c.pods).Agents[0].Requests, migrate.Requests{CPU: c.cpu})
	}
	cache := strings.NewReplacer("name: flux, namespace", "name: memcached, namespace", "a: b", "a: c").Replace(object("{containers: [{name: memcached, image: memcached}]}", "{containers: [{name: memcached, image: memcached, "+asks+"}]}"))
	cache = strings.Replace(cache, "name: p,", "name: q,", 1)
	equal(t, "memcached", liveIn(t, object("{containers: [{"+fluxd+"}]}", "")+"---\n"+cache).Agents[0].Memcached, migrate.Requests{CPU: "50m", Memory: "64Mi"})
	unknown := asManifest(t, object("{initContainers: [{name: mesh, image: m, restartPolicy: Always, resources: {requests: {cpu: 'VAR'}}}], containers: [{"+fluxd+"}]}", ""))
	unknown["main.tf.json"] = strings.Replace(strings.Replace(unknown["main.tf.json"], "VAR", "${var.x}", 1), `{"resource"`, `{"variable":{"x":{}},"resource"`, 1)
	if a := declaredBy(t, unknown).Agents[0]; !slices.Contains(a.Unknown, "requests") {
		t.Errorf("requests %+v, unknown %v", a.Requests, a.Unknown)
	}
}

// What the memcached of an agent asks for is told beside it: once, of all its pods, of
// the agent's own release or namespace, and the same by the chart and by the cluster.
func TestTheMemcachedThatGoesWithAnAgentIsCountedOnce(t *testing.T) {
	release := func(object, name string) string {
		return strings.Replace(object, "namespace: flux}", "namespace: flux, labels: {heritage: Helm, release: "+name+"}}", 1)
	}
	named := func(object, name string) string { return strings.Replace(object, "name: flux,", "name: "+name+",", 1) }
	cache := func(name string, replicas string) string {
		return "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + ", namespace: flux}\nspec: {replicas: " + replicas + ", selector: {matchLabels: {a: b}}, " +
			"template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: registry.example.com/memcached:1, resources: {requests: {cpu: 50m, memory: 64Mi}}}]}}}\n"
	}
	one, thrice := migrate.Requests{CPU: "50m", Memory: "64Mi"}, migrate.Requests{CPU: "150m", Memory: "192Mi"}
	for what, c := range map[string]struct {
		objects string
		want    []migrate.Requests
	}{
		"none":                  {deploymentOfMuch, []migrate.Requests{{}}},
		"by its name":           {deploymentOfMuch + cache("memcached", "1"), []migrate.Requests{one}},
		"of no agent":           {deploymentOfMuch + cache("shop-cache", "1"), []migrate.Requests{{}}},
		"as the agent is told":  {strings.Replace(deploymentOfMuch, `"--git-branch=main"`, `"--git-branch=main", "--memcached-hostname=shop-cache.flux"`, 1) + cache("shop-cache", "1"), []migrate.Requests{one}},
		"of three pods":         {deploymentOfMuch + cache("memcached", "3"), []migrate.Requests{thrice}},
		"of its release":        {release(deploymentOfMuch, "shop") + release(cache("shop-cache", "1"), "shop"), []migrate.Requests{one}},
		"of another release":    {release(deploymentOfMuch, "shop") + release(cache("memcached", "1"), "other"), []migrate.Requests{{}}},
		"of a release, not its": {deploymentOfMuch + release(cache("memcached", "1"), "other"), []migrate.Requests{{}}},
		"stopped":               {deploymentOfMuch + cache("memcached", "0"), []migrate.Requests{{}}},
		"of two agents":         {deploymentOfMuch + "---\n" + named(deploymentOfMuch, "second") + cache("memcached", "1"), []migrate.Requests{one, {}}},
		"another program":       {deploymentOfMuch + strings.Replace(cache("memcached", "1"), "com/memcached:1", "com/redis:1", 1), []migrate.Requests{{}}},
	} {
		var got []migrate.Requests
		for _, a := range liveIn(t, c.objects).Agents {
			got = append(got, a.Memcached)
		}
		equal(t, what, got, c.want)
		if strings.Contains(c.objects, "heritage: Helm") {
			continue
		}
		// Declared, it is the same, but that nobody has looked where none is declared.
		got = nil
		open := 0
		for _, a := range readTree(t, treeOf("-- a.yaml --\n"+c.objects), nil).Agents {
			switch {
			case a.InstalledBy == "": // the reader
			case slices.Contains(a.Unknown, "memcached"):
				open++
				fallthrough
			default:
				got = append(got, a.Memcached)
			}
		}
		declared := declaredBy(t, asManifests(t, c.objects))
		for i, a := range declared.Agents {
			equal(t, what+", in Terraform", a.Memcached, c.want[i])
		}
		equal(t, what+", in Git", got, c.want)
		unknown := 0
		for _, a := range declared.Agents {
			if slices.Contains(a.Unknown, "memcached") {
				unknown++
			}
		}
		none := what == "none" || what == "of no agent" || what == "another program"
		equal(t, what+", not known", []bool{open > 0, unknown > 0}, []bool{none, none})
	}
	// What is not known of it makes it unknown.
	for what, files := range map[string]map[string]string{
		"how many":      asManifests(t, deploymentOfMuch+strings.Replace(cache("memcached", "1"), "replicas: 1", "replicas: \"VAR\"", 1)),
		"for how much":  asManifests(t, deploymentOfMuch+strings.Replace(cache("memcached", "1"), "cpu: 50m, memory", "cpu: VAR, memory", 1)),
		"where it runs": asManifests(t, deploymentOfMuch+strings.Replace(cache("memcached", "1"), "namespace: flux", "namespace: VAR", 1)),
		"of the host":   asManifests(t, strings.Replace(deploymentOfMuch, `"--git-branch=main"`, `"--git-branch=main", "--memcached-hostname=VAR"`, 1)+cache("memcached", "1")),
	} {
		files["main.tf.json"] = strings.Replace(strings.Replace(files["main.tf.json"], "VAR", "${var.x}", 1), `{"resource"`, `{"variable":{"x":{}},"resource"`, 1)
		if a := declaredBy(t, files).Agents[0]; !slices.Contains(a.Unknown, "memcached") || a.Memcached != (migrate.Requests{}) {
			t.Errorf("%s: %+v, unknown %v", what, a.Memcached, a.Unknown)
		}
	}
	for _, c := range []struct {
		version string
		values  map[string]any
		want    migrate.Requests
	}{
		{"1.13.3", nil, one},
		{"1.2.0", nil, migrate.Requests{}}, // it asks for nothing there
		{"1.2.0", map[string]any{"memcached": map[string]any{"resources": map[string]any{"limits": map[string]any{"cpu": "50m", "memory": "64Mi"}}}}, one},
		{"1.13.3", map[string]any{"memcached": map[string]any{"enabled": false}}, migrate.Requests{}},
		{"1.13.3", map[string]any{"registry": map[string]any{"disableScanning": true}}, migrate.Requests{}},
	} {
		equal(t, "by chart "+c.version, chart.Decode(chart.Release{Name: "flux", Namespace: "flux", Version: c.version}, c.values).Memcached, c.want)
	}
	config := func(resources string) map[string]string {
		return map[string]string{"main.tf": `
variable "cpu" {}
resource "helm_release" "flux" {
  name       = "flux"
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = [yamlencode({ git = { url = "git@h:a/b" }, memcached = { resources = ` + resources + ` } })]
}
`}
	}
	equal(t, "declared", declaredBy(t, config(`{ requests = { cpu = "150m", memory = "192Mi" } }`)).Agents[0].Memcached, thrice)
	if a := declaredBy(t, config(`{ requests = { cpu = var.cpu } }`)).Agents[0]; !slices.Contains(a.Unknown, "memcached") || slices.Contains(a.Unknown, "requests") || a.Memcached != (migrate.Requests{}) {
		t.Errorf("%+v, unknown %v", a.Memcached, a.Unknown)
	}
}
