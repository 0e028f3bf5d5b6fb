package differential

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Generate makes the case of a seed: the same seed, the same case.
func Generate(seed int64) Case {
	g := &generator{
		Rand: rand.New(rand.NewPCG(uint64(seed), 0x666c7578)), files: map[string]string{},
		c: Case{Name: "seed-" + strconv.FormatInt(seed, 10)}, namespaces: []string{place + "-a", place + "-b"},
	}
	g.agent()
	g.confine()
	g.namespacesInGit()
	for range 1 + g.IntN(4) {
		g.application()
	}
	g.scaled()
	g.charted()
	g.mishap()
	g.corners(seed)
	g.c.Commits = append(g.c.Commits, Commit{Files: g.files, Links: g.links(), Submodules: g.submodules()})
	g.narrow()
	g.encrypt()
	if g.chance(25) {
		g.later()
	}
	g.admit()
	g.twin()
	g.outside()
	for range g.IntN(5) {
		g.act()
	}
	g.note()
	g.flat(seed)
	return g.c
}

// apart is for what is drawn beside the rest, so that this stays as it was.
func apart(seed int64, what uint64) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed), what)) }

// corners are layouts that the rest does not come to: a folder that is called as
// files beside folders are, and folders that need each other's namespaces, beside a
// path of which nothing is applied.
func (g *generator) corners(seed int64) {
	random := apart(seed, 0x636f726e)
	configMap := func(name, namespace string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + place + "-" + name + ", namespace: " + place + "-" + namespace + "}\ndata: {k: v}\n"
	}
	if random.IntN(100) < 12 {
		g.files[g.under("files", "cm.yaml")] = configMap("files", "a")
		g.files[g.under("loose.yaml")] = configMap("loose", "b")
	}
	if random.IntN(100) < 8 && len(g.c.Allowed) == 0 {
		for one, other := range map[string]string{"c": "d", "d": "c"} {
			g.files[g.under("circle-"+one, "ns.yaml")] = "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + place + "-" + one + "}\n"
			g.files[g.under("circle-"+one, "cm.yaml")] = configMap("circle", other)
		}
		if len(g.c.Paths) > 0 {
			g.c.Paths = append(g.c.Paths, "idle")
			g.files["idle/values.yaml"] = "replicaCount: 1\n"
		}
	}
}

// flat makes the second agent, in half of the cases that have one, apply the whole
// of a repository whose name is that of a folder of the first, too.
func (g *generator) flat(seed int64) {
	if g.c.Twin == nil || apart(seed, 0x666c6174).IntN(2) == 0 {
		return
	}
	g.files[g.under("twin", "cm.yaml")] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + place + "-folder, namespace: " + place + "-b}\ndata: {k: v}\n"
	files := map[string]string{}
	for name, text := range g.c.Twin.Commits[0].Files {
		files[path.Base(name)] = text
	}
	g.c.Twin.Paths, g.c.Twin.Commits[0].Files = nil, files
}

type generator struct {
	*rand.Rand
	c          Case
	namespaces []string
	files      map[string]string
	// root is the agent's first path, in which most files are.
	root string
	n    int
	made []thing
}

// thing is an object that was written, for acts and later commits.
type thing struct{ kind, resource, namespace, name, file string }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// agent chooses paths and restrictions.
func (g *generator) agent() {
	switch g.IntN(8) {
	case 0: // the whole repository
	case 1:
		g.c.Paths = []string{"deploy", "shared"}
	case 2:
		g.c.Paths = []string{"deploy/"}
	case 3:
		g.c.Paths = []string{"./deploy"}
	default:
		g.c.Paths = []string{"deploy"}
	}
	if len(g.c.Paths) > 0 {
		g.root = g.c.Paths[0]
	}
	g.c.GarbageCollection = g.chance(30)
	if g.chance(30) {
		g.c.DefaultNamespace = g.namespaces[0]
	}
	if len(g.c.Paths) > 1 {
		g.files["shared/settings.yaml"] = g.document("ConfigMap")
	}
	g.files["README.md"] = "# manifests\n"
}

// confine keeps one agent in five to one of the namespaces, or to both.
func (g *generator) confine() {
	if !g.chance(20) {
		return
	}
	g.c.Allowed = pick(g, g.namespaces[:1], g.namespaces[:1], g.namespaces[1:], g.namespaces)
	g.c.AdminAccount = g.chance(35)
}

// outside has somebody else make what a confined agent has in Git but may not
// touch.
func (g *generator) outside() {
	if len(g.c.Allowed) == 0 {
		return
	}
	for _, t := range g.made {
		if t.kind == "ConfigMap" && !slices.Contains(g.c.Allowed, t.namespace) && g.chance(50) {
			g.c.Acts = append(g.c.Acts, Act{Do: "create", Resource: t.resource, Namespace: t.namespace, Name: t.name, Manager: "kubectl-create",
				Body: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + t.name + "}\ndata: {a: of somebody else}\n"})
		}
	}
}

// namespacesInGit declares the namespaces in Git, or makes them beforehand.
func (g *generator) namespacesInGit() {
	for i, ns := range g.namespaces {
		switch {
		case g.chance(50):
			g.files[g.under("namespaces", fmt.Sprintf("ns%d.yaml", i))] = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + ns + g.namespaceExtras()
			g.made = append(g.made, thing{"Namespace", "v1/namespaces", "", ns, ""})
		default:
			g.c.Namespaces = append(g.c.Namespaces, ns)
		}
	}
}

func (g *generator) namespaceExtras() string {
	return pick(g, "\n", "\n  labels: {team: a}\n", "\n  annotations:\n    fluxcd.io/ignore: sync_only\n", "\nspec: {}\n", "\n  labels:\n")
}

// under is a path below the agent's first one.
func (g *generator) under(parts ...string) string {
	return path.Join(append([]string{g.root}, parts...)...)
}

// application writes a folder, or files beside the folders.
func (g *generator) application() {
	g.n++
	dir := pick(g, "app"+strconv.Itoa(g.n), "team/app"+strconv.Itoa(g.n), "Env_1/app."+strconv.Itoa(g.n), ".hidden"+strconv.Itoa(g.n), "")
	var docs []string
	for range 1 + g.IntN(4) {
		docs = append(docs, g.document(g.kind()))
	}
	ext := pick(g, ".yaml", ".yaml", ".yml")
	switch g.IntN(5) {
	case 0: // one file for all
		g.files[g.under(dir, "all"+strconv.Itoa(g.n)+ext)] = g.join(docs)
	case 1: // a List
		if list, ok := asList(docs); ok {
			g.files[g.under(dir, "list"+strconv.Itoa(g.n)+ext)] = list
			return
		}
		fallthrough
	default:
		for i, d := range docs {
			g.files[g.under(dir, fmt.Sprintf("m%d-%d%s", g.n, i, ext))] = d
		}
	}
}

// join puts documents into one file, with the separators people write.
func (g *generator) join(docs []string) string {
	separator := pick(g, "---\n", "\n---\n", "--- # next\n", "---\n# only a comment\n---\n", "---\n---\n")
	text := strings.Join(docs, separator)
	switch g.IntN(6) {
	case 0:
		text = "---\n" + text
	case 1:
		text += "---\n"
	case 2:
		text = "# rendered\n" + text + "\n# end\n"
	case 3:
		text = strings.ReplaceAll(text, "\n", "\r\n")
	case 4:
		text = "\ufeff" + text
	}
	return text
}

// asList makes a v1 List of documents.
func asList(docs []string) (string, bool) {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: List\nitems:\n")
	for _, d := range docs {
		if strings.Contains(d, "---") {
			return "", false
		}
		first := true
		for line := range strings.Lines(d) {
			switch {
			case first:
				b.WriteString("- " + line)
				first = false
			case strings.TrimSpace(line) == "":
				b.WriteString(line)
			default:
				b.WriteString("  " + line)
			}
		}
	}
	return b.String(), true
}

func (g *generator) kind() string {
	return pick(g, "ConfigMap", "ConfigMap", "Secret", "Service", "Deployment", "Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job",
		"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "PodDisruptionBudget", "HorizontalPodAutoscaler",
		"Ingress", "NetworkPolicy", "PersistentVolumeClaim", "ResourceQuota", "LimitRange", "PriorityClass", "Custom")
}

// odd is a scalar that YAML 1.1 and 1.2, or a library and another, may read in
// two ways, as it is written where a text is meant.
func (g *generator) odd() string {
	if g.chance(70) {
		return pick(g, "plain", `"quoted"`, "'single'", "two words", "a.b/c", `"true"`, `"012"`, "x-1", "\"\"", "|\n      block\n      text", ">-\n      folded\n      text", `"ünïcödé ☃"`, `"tab\there"`)
	}
	return pick(g, "yes", "no", "on", "off", "y", "n", "True", "~", "null", "Null", "012", "0o17", "0x1F", "1e3", "1_000", "12:30:45", "2001-12-14",
		"2001-12-14t21:59:43.10-05:00", ".inf", ".NaN", "1.0", "-0", "+1", "0b11", "9007199254740993", "1.", "=", "!!str 5", "!!binary aGk=", "", "0.10", "08", "1e400")
}

// number is an integer as people write it.
func (g *generator) number(n int) string {
	if g.chance(80) {
		return strconv.Itoa(n)
	}
	return pick(g, fmt.Sprintf("%#x", n), fmt.Sprintf("0%o", n), fmt.Sprintf("0o%o", n), fmt.Sprintf("%d.0", n), fmt.Sprintf("+%d", n), fmt.Sprintf("%de0", n), fmt.Sprintf("%q", strconv.Itoa(n)))
}

func (g *generator) boolean(v bool) string {
	if g.chance(75) {
		return strconv.FormatBool(v)
	}
	if v {
		return pick(g, "yes", "on", "True", "TRUE", "Yes")
	}
	return pick(g, "no", "off", "False", "No")
}

// document writes one object.
func (g *generator) document(kind string) string {
	g.n++
	ns, name := pick(g, g.namespaces...), fmt.Sprintf("%s-%s%d", place, strings.ToLower(kind[:2]), g.n)
	body, apiVersion, resource := "", "v1", ""
	clusterScoped := false
	switch kind {
	case "ConfigMap":
		resource, body = "configmaps", "data:\n  a: "+g.odd()+"\n  b: "+g.odd()+"\n"+pick(g, "", "  a: twice\n", "binaryData: {x: aGVsbG8=}\n", "immutable: "+g.boolean(true)+"\n")
	case "Secret":
		resource, body = "secrets", pick(g, "stringData:\n  password: "+g.odd()+"\n", "data:\n  password: aGVsbG8=\n", "type: Opaque\ndata: {a: aGVsbG8=}\nstringData: {b: text}\n", "data:\n  k: \"\"\n")
	case "Service":
		resource = "services"
		body = "spec:\n  selector: {app: web}\n  ports:\n  - " + pick(g, "", "name: http\n    ") + "port: " + g.number(80) + "\n" + pick(g, "", "    targetPort: http\n", "    targetPort: 8080\n    protocol: TCP\n", "  clusterIP: None\n", "  type: ClusterIP\n", "  sessionAffinity:\n")
	case "Deployment", "StatefulSet", "DaemonSet":
		apiVersion, resource, body = "apps/v1", strings.ToLower(kind)+"s", g.workload(kind)
	case "CronJob":
		apiVersion, resource = "batch/v1", "cronjobs"
		body = "spec:\n  schedule: \"0 3 * * *\"\n  suspend: " + g.boolean(true) + "\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          restartPolicy: Never\n          containers: [{name: job, image: \"registry.example.com/job:1\"}]\n"
	case "Job":
		apiVersion, resource = "batch/v1", "jobs"
		body = "spec:\n  suspend: true\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - name: job\n        image: registry.example.com/job:1\n"
	case "ServiceAccount":
		resource, body = "serviceaccounts", pick(g, "", "automountServiceAccountToken: "+g.boolean(false)+"\n", "imagePullSecrets: [{name: pull}]\n")
	case "Role":
		apiVersion, resource, body = "rbac.authorization.k8s.io/v1", "roles", "rules:\n- apiGroups: [\"\"]\n  resources: [pods]\n  verbs: [get"+pick(g, "", ", list")+"]\n"
	case "ClusterRole":
		apiVersion, resource, clusterScoped = "rbac.authorization.k8s.io/v1", "clusterroles", true
		body = pick(g, "rules:\n- apiGroups: [\"\"]\n  resources: [pods]\n  verbs: [get]\n", "aggregationRule:\n  clusterRoleSelectors:\n  - matchLabels: {"+place+": \"x\"}\nrules: []\n", "rules: []\n", "rules:\n")
	case "RoleBinding", "ClusterRoleBinding":
		apiVersion, resource, clusterScoped = "rbac.authorization.k8s.io/v1", strings.ToLower(kind)+"s", kind == "ClusterRoleBinding"
		body = "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\nsubjects:\n- kind: ServiceAccount\n  name: robot\n  namespace: " + ns + "\n" + pick(g, "", "- kind: Group\n  name: people\n", "- kind: User\n  name: jane\n  apiGroup: rbac.authorization.k8s.io\n")
	case "PodDisruptionBudget":
		apiVersion, resource, body = "policy/v1", "poddisruptionbudgets", "spec:\n  "+pick(g, "maxUnavailable: 1", "minAvailable: 50%", "minAvailable: \"1\"")+"\n  selector: {matchLabels: {app: web}}\n"
	case "HorizontalPodAutoscaler":
		apiVersion, resource = "autoscaling/v2", "horizontalpodautoscalers"
		body = "spec:\n  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: none}\n  minReplicas: 1\n  maxReplicas: " + g.number(3) + "\n  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]\n"
	case "Ingress":
		apiVersion, resource = "networking.k8s.io/v1", "ingresses"
		body = "spec:\n  rules:\n  - host: " + pick(g, "a.example.com", "\"*.example.com\"") + "\n    http:\n      paths:\n      - path: /\n        pathType: Prefix\n        backend: {service: {name: web, port: {number: 80}}}\n"
	case "NetworkPolicy":
		apiVersion, resource, body = "networking.k8s.io/v1", "networkpolicies", pick(g, "spec:\n  podSelector: {}\n", "spec:\n  podSelector:\n  policyTypes: [Ingress]\n", "spec:\n  podSelector: {}\n  ingress:\n  - {}\n", "spec:\n  podSelector: {}\n  ingress:\n  - from: []\n")
	case "PersistentVolumeClaim":
		resource, body = "persistentvolumeclaims", "spec:\n  accessModes: [ReadWriteOnce]\n  storageClassName: \"\"\n  resources: {requests: {storage: "+pick(g, "1Gi", "1024Mi", "1073741824", "1e9", "0.5Gi")+"}}\n"
	case "ResourceQuota":
		resource, body = "resourcequotas", "spec:\n  hard:\n    services: "+pick(g, "\"100\"", "100", "1k")+"\n    requests.cpu: "+pick(g, "\"1\"", "1.5", "1000m", "0.10")+"\n"
	case "LimitRange":
		resource, body = "limitranges", "spec:\n  limits:\n  - type: Container\n    defaultRequest: {cpu: "+pick(g, "100m", "0.1", "1", "\"1\"")+"}\n"
	case "PriorityClass":
		apiVersion, resource, clusterScoped = "scheduling.k8s.io/v1", "priorityclasses", true
		body = "value: " + g.number(1000) + "\n" + pick(g, "", "globalDefault: "+g.boolean(false)+"\n", "description: "+g.odd()+"\n")
	case "Custom":
		return g.custom(ns)
	}
	if clusterScoped {
		ns = ""
	}
	text := "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata:\n  name: " + name + "\n" + g.metadata(ns, clusterScoped) + body
	g.made = append(g.made, thing{kind, apiVersion + "/" + resource, ns, name, ""})
	if g.chance(4) {
		text += pick(g, "status: {}\n", "status:\n  phase: x\n")
	}
	return text
}

// metadata writes the rest of an object's metadata.
func (g *generator) metadata(ns string, clusterScoped bool) string {
	var b strings.Builder
	switch {
	case clusterScoped && g.chance(5):
		b.WriteString("  namespace: " + place + "-a\n") // of no effect
	case clusterScoped:
	case g.c.DefaultNamespace == ns && g.chance(50): // left to the default
	case g.c.DefaultNamespace == "" && g.chance(3): // "default", or the agent's own
	default:
		b.WriteString("  namespace: " + ns + "\n")
	}
	if g.chance(40) {
		b.WriteString("  labels:\n    app: web\n")
		if g.chance(15) {
			b.WriteString("    version: " + pick(g, "1", "1.10", "true", "yes", "\"1.10\"", "0x10", "2020-01-01", "null") + "\n")
		}
	}
	if g.chance(40) {
		b.WriteString("  annotations:\n    note: " + pick(g, "text", "\"quoted\"", "'1'", "|\n      lines\n      here") + "\n")
		if g.chance(40) {
			b.WriteString("    " + pick(g,
				"fluxcd.io/ignore: \"true\"", "fluxcd.io/ignore: true", "flux.weave.works/ignore: \"true\"", "fluxcd.io/ignore: sync_only",
				"fluxcd.io/ignore: \"false\"", "fluxcd.io/automated: \"true\"", "fluxcd.io/locked: \"true\"",
				"fluxcd.io/automated: \"true\"\n    fluxcd.io/tag.web: semver:~1", "flux.weave.works/automated: \"true\"\n    flux.weave.works/tag.web: glob:1.*", "filter.fluxcd.io/web: regexp:^1",
				"kustomize.toolkit.fluxcd.io/reconcile: disabled", "kustomize.toolkit.fluxcd.io/prune: disabled", "kustomize.toolkit.fluxcd.io/ssa: Merge",
				"kustomize.toolkit.fluxcd.io/ssa: IfNotPresent", "kustomize.toolkit.fluxcd.io/ssa: Ignore", "kustomize.toolkit.fluxcd.io/force: enabled",
				"config.kubernetes.io/local-config: \"true\"", "config.kubernetes.io/local-config: \"false\"", "config.kubernetes.io/index: \"3\"",
				"internal.config.kubernetes.io/path: x", "kubectl.kubernetes.io/last-applied-configuration: \"{}\"", "count: 3", "on: \"x\"") + "\n")
		}
	}
	if g.chance(4) {
		b.WriteString(pick(g, "  creationTimestamp: null\n", "  generation: 3\n", "  selfLink: /x\n", "  uid: 0b6c\n", "  finalizers: []\n", "  resourceVersion: \"12\"\n", "  ownerReferences: []\n", "  managedFields: []\n"))
	}
	return b.String()
}

// workload writes the spec of a workload.
func (g *generator) workload(kind string) string {
	var b strings.Builder
	b.WriteString("spec:\n")
	if kind != "DaemonSet" && g.chance(60) {
		b.WriteString("  replicas: " + g.number(g.IntN(3)) + "\n")
	}
	if kind == "StatefulSet" {
		b.WriteString("  serviceName: web\n")
	}
	b.WriteString("  selector:\n    matchLabels: {app: web}\n  template:\n    metadata:\n      labels: {app: web}\n")
	if g.chance(20) {
		b.WriteString("      annotations:\n        prometheus.io/scrape: " + pick(g, "\"true\"", "\"yes\"", "'1'") + "\n")
	}
	b.WriteString("    spec:\n")
	if g.chance(20) {
		b.WriteString("      " + pick(g, "hostNetwork: "+g.boolean(false), "enableServiceLinks: "+g.boolean(true), "terminationGracePeriodSeconds: "+g.number(10),
			"securityContext: {}", "securityContext:", "nodeSelector: {kubernetes.io/os: linux}", "nodeSelector: {}", "tolerations: []", "affinity:", "imagePullSecrets: []") + "\n")
	}
	if g.chance(15) {
		b.WriteString("      volumes:\n      - name: v\n        secret: {secretName: s, defaultMode: " + g.number(0o644) + "}\n      - name: e\n        emptyDir: {}\n")
	}
	image := pick(g, "registry.example.com/web:1", "registry.example.com/web:1.10", "\"registry.example.com/web@sha256:"+strings.Repeat("ab", 32)+"\"")
	anchored := g.chance(10)
	b.WriteString("      containers:\n      - name: web\n        image: " + image + "\n")
	if anchored {
		b.WriteString("        env: &env\n        - {name: A, value: \"1\"}\n")
	} else if g.chance(50) {
		b.WriteString("        env:\n        - name: A\n          value: " + pick(g, "\"1\"", "text", "'yes'", "\"\"", "1", "yes", "0.5", "null") + "\n")
		if g.chance(10) {
			b.WriteString("        - name: A\n          value: twice\n")
		}
	}
	if g.chance(30) {
		b.WriteString("        ports:\n        - containerPort: " + g.number(8080) + "\n")
		if g.chance(15) {
			b.WriteString("        - containerPort: 8080\n          protocol: UDP\n")
		}
	}
	if g.chance(30) {
		b.WriteString("        resources:\n          requests: {cpu: " + pick(g, "100m", "0.1", "1", "1.0", "\"1\"", "1e-1") + ", memory: " + pick(g, "64Mi", "67108864", "0.5Gi", "64e6", "1G") + "}\n")
	}
	if g.chance(10) {
		b.WriteString("        " + pick(g, "args: [\"-x\", 5]", "args: []", "command:", "args: [yes]", "tty: "+g.boolean(false), "unknownField: 1", "imagePullPolicy: Always",
			"securityContext: {runAsUser: "+g.number(1000)+"}", "securityContext: {readOnlyRootFilesystem: "+g.boolean(true)+"}") + "\n")
	}
	if anchored {
		b.WriteString("      - name: side\n        image: registry.example.com/side:1\n        env: *env\n")
	}
	return b.String()
}

// custom writes a CRD and an object of its kind, or one of an unknown kind.
func (g *generator) custom(ns string) string {
	plural := fmt.Sprintf("things%d", g.n)
	group := place + ".example.com"
	object := fmt.Sprintf("apiVersion: %s/v1\nkind: Thing%d\nmetadata:\n  name: one\n  namespace: %s\nspec:\n  size: %s\n  mode: %s\n", group, g.n, ns, g.number(3), pick(g, "fast", "\"on\"", "'1'"))
	if g.chance(25) {
		return object
	}
	crd := fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: %[1]s.%[2]s
spec:
  group: %[2]s
  scope: Namespaced
  names: {plural: %[1]s, singular: thing%[3]d, kind: Thing%[3]d}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, default: 1}
              mode: {type: string}
              extra: {type: string, default: "none"}
`, plural, group, g.n)
	g.made = append(g.made, thing{"CustomResourceDefinition", "apiextensions.k8s.io/v1/customresourcedefinitions", "", plural + "." + group, ""})
	switch g.IntN(3) {
	case 0:
		return crd
	case 1:
		g.files[g.under("crds", plural+".yaml")] = crd
		return object
	default:
		return crd + "---\n" + object
	}
}

// mishap puts something into the repository that fluxd or Flux v2 trips over.
func (g *generator) mishap() {
	if !g.chance(45) {
		return
	}
	write := func(text string, parts ...string) { g.files[g.under(parts...)] = text }
	cm := func(name string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + place + "-" + name + ", namespace: " + place + "-a}\ndata: {k: v}\n"
	}
	switch g.IntN(22) {
	case 0:
		write("replicaCount: 1\nimage: x\n", "app1", "values.yaml")
	case 1: // a chart
		write("apiVersion: v2\nname: c\nversion: 0.1.0\n", "chart", "Chart.yaml")
		write("a: 1\n", "chart", "values.yaml")
		write("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\n", "chart", "templates", "cm.yaml")
	case 2: // listed by a kustomization file, but not all
		write(cm("in"), "kust", "in.yaml")
		write(cm("out"), "kust", "out.yaml")
		write("resources: [in.yaml]\n", "kust", "kustomization.yaml")
	case 3:
		write(cm("in"), "kust", "in.yaml")
		write("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [in.yaml]\nnamePrefix: x-\n", "kust", "kustomization.yaml")
	case 4: // the same object twice
		write(cm("dup"), "dup", "a.yaml")
		write(cm("dup"), "dup", "b.yaml")
	case 5: // twice, in two groups
		write("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i, namespace: "+place+"-a}\nspec: {defaultBackend: {service: {name: a, port: {number: 80}}}}\n", "dup", "a.yaml")
		write("apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: i2, namespace: "+place+"-a}\nspec: {}\n", "dup", "b.yaml")
	case 6:
		write("a: [1\n", "broken.yaml")
	case 7:
		write(cm("ok")+"---\na: 1\nb: 2\n", "mixed.yaml")
	case 8:
		write("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x-, namespace: "+place+"-a}\n", "nameless.yaml")
	case 9:
		write("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: "+place+"-nowhere}\n", "nowhere", "cm.yaml")
	case 10:
		write("apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: x}\n", "typed-list.yaml")
	case 11:
		write("apiVersion: v1\nkind: List\nitems: []\n", "empty", "list.yaml")
	case 12:
		write("apiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: a, namespace: "+place+"-a}\nspec: {}\n", "allow", "list.yaml")
	case 13:
		write("*.txt\n", ".sourceignore")
		write(cm("ignored"), "app1", "sub", "x.yaml")
	case 14:
		write("app1/\n", ".sourceignore")
	case 15:
		write(cm("g"), ".github", "x.yaml")
		write(cm("h"), ".gitlab", "y.yaml")
	case 16: // copied from a cluster
		write("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: "+place+"-copied\n  namespace: "+place+"-a\n  labels: {fluxcd.io/sync-gc-mark: sha256.copied}\n  annotations: {fluxcd.io/sync-checksum: abc}\n  resourceVersion: \"1\"\n  uid: abc\ndata: {}\n", "copied", "cm.yaml")
	case 17:
		write("apiVersion: v1\nkind: ConfigMap\nmetadata: &m {name: "+place+"-merge, namespace: "+place+"-a}\ndata:\n  <<: {x: \"1\"}\n  y: \"2\"\n", "merge.yaml")
	case 18:
		write("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "+place+"-one, namespace: "+place+"-a}\n", "same-name", "a.yaml")
		write("apiVersion: v1\nkind: Secret\nmetadata: {name: "+place+"-one, namespace: "+place+"-a}\n", "same-name", "b.yaml")
	case 19:
		write("{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \""+place+"-json\", \"namespace\": \""+place+"-a\"}, \"data\": {\"t\": \"\\u00e9\\/\"}}\n", "json", "cm.yaml")
		write("{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\"}\n", "json", "not.json")
	case 20: // what git keeps of a file of Git LFS
		write("version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("4d", 32)+"\nsize 12345\n", "large", pick(g, "dump.yaml", "picture.png", "values.yml"))
		g.files[pick(g, ".gitattributes", g.under("large", ".gitattributes"))] = "*.png filter=lfs diff=lfs merge=lfs -text\n"
	case 21: // the same among others, in a file that is no manifest
		write("version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("4d", 32)+"\nsize 12345\n", "large", "archive.tgz")
		write(cm("beside"), "large", "cm.yaml")
	}
}

// scaled writes a Deployment whose replicas are an autoscaler's, in one
// repository of ten. Its controller decides once, from the bounds alone, since
// nothing is measured; what it decides later is played, while it is planned and
// after that.
func (g *generator) scaled() {
	if !g.chance(10) {
		return
	}
	ns, name := pick(g, g.namespaces...), place+"-scaled"
	g.files[g.under("scaled", "web.yaml")] = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + ", namespace: " + ns + "}\nspec:\n" +
		"  selector: {matchLabels: {app: scaled}}\n  template:\n    metadata: {labels: {app: scaled}}\n    spec: {containers: [{name: web, image: \"registry.example.com/web:1\"}]}\n"
	scaler := "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: " + name + ", namespace: " + ns + "}\nspec:\n" +
		"  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: " + name + "}\n  minReplicas: " + pick(g, "1", "2", "2") + "\n  maxReplicas: 4\n" +
		"  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]\n"
	if g.chance(50) {
		g.files[g.under("scaled", "hpa.yaml")] = scaler
	} else {
		g.c.Acts = append(g.c.Acts, Act{Do: "create", Resource: "autoscaling/v2/horizontalpodautoscalers", Namespace: ns, Name: name, Manager: "kubectl-create", Body: scaler})
	}
	for _, when := range []string{"", "planning", "planned"} {
		if g.chance(60) {
			replicas := map[string]string{"": "3", "planning": "ROUND", "planned": pick(g, "2", "4")}[when]
			g.c.Acts = append(g.c.Acts, Act{Do: "patch", When: when, Resource: "apps/v1/deployments", Namespace: ns, Name: name, Subresource: "scale",
				Manager: "kube-controller-manager", Body: `{"spec":{"replicas":` + replicas + `}}`})
		}
	}
}

// charted writes a HelmRelease of the helm-operator, in one repository of twelve,
// which writes its status also while it is planned.
func (g *generator) charted() {
	if !g.chance(8) {
		return
	}
	ns, name := pick(g, g.namespaces...), place+"-release"
	g.files[g.under("releases", "web.yaml")] = "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata:\n  name: " + name + "\n  namespace: " + ns + "\n" +
		pick(g, "", "  annotations: {fluxcd.io/automated: \"true\", filter.fluxcd.io/chart-image: \"semver:~1\"}\n", "  annotations: {fluxcd.io/ignore: \"true\"}\n") +
		"spec:\n  releaseName: web\n  " + pick(g, "chart: {repository: \"https://charts.example.com\", name: web, version: 1.0.0}", "chart: {git: \"git@git.example.com:charts\", path: web, ref: main}") + "\n" +
		"  values: {image: {repository: registry.example.com/web, tag: \"1\"}, debug: " + g.boolean(true) + "}\n"
	for _, when := range []string{"", "planning", "planned"} {
		if g.chance(70) {
			g.c.Acts = append(g.c.Acts, Act{Do: "patch", When: when, Resource: "helm.fluxcd.io/v1/helmreleases", Namespace: ns, Name: name, Subresource: "status",
				Manager: "helm-operator", Body: `{"status":{"observedGeneration":1,"phase":"Succeeded","releaseName":"web","revision":"1.0.ROUND"}}`})
		}
	}
}

// submodules are commits of other repositories, which fluxd does not fetch, in
// one repository of twenty.
func (g *generator) submodules() map[string]string {
	if !g.chance(5) {
		return nil
	}
	at := pick(g, "lib", g.under("lib"), g.under("lib.yaml"))
	g.files[".gitmodules"] = "[submodule \"lib\"]\n\tpath = " + at + "\n\turl = https://git.example.com/lib\n"
	return map[string]string{at: strings.Repeat("5a", 20)}
}

// manifests are the files that fluxd may load, sorted.
func (g *generator) manifests() []string {
	names := make([]string, 0, len(g.files))
	for name := range g.files {
		if strings.HasSuffix(name, "l") { // .yaml, .yml
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// narrow gives a few agents single files for paths, or paths of which one holds
// the other.
func (g *generator) narrow() {
	names := g.manifests()
	if len(names) == 0 || !g.chance(10) {
		return
	}
	name := pick(g, names...)
	switch g.IntN(5) {
	case 0:
		g.c.Paths = []string{name}
	case 1:
		g.c.Paths = nil
		for _, n := range names {
			if g.chance(60) || n == name {
				g.c.Paths = append(g.c.Paths, n)
			}
		}
	case 2: // the folder of a file, and perhaps what lies below
		g.c.Paths = []string{path.Dir(name)}
	case 3: // one path in another, which fluxd loads twice
		g.c.Paths = append(g.c.Paths, pick(g, name, path.Dir(name)))
	case 4:
		g.c.Paths = append(slices.Clone(g.c.Paths), pick(g, "deploy", "deploy/nowhere", "README.md"))
	}
}

// links are symbolic links, in one repository of twelve.
func (g *generator) links() map[string]string {
	if !g.chance(8) {
		return nil
	}
	const outside = "elsewhere/cm.yaml"
	if g.root != "" {
		g.files[outside] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + place + "-linked, namespace: " + place + "-a}\ndata: {k: v}\n"
	}
	up := strings.Repeat("../", strings.Count(path.Clean(g.root), "/")+1)
	switch g.IntN(6) {
	case 0, 1: // to a file outside of the path: fluxd follows it
		return map[string]string{g.under("linked.yaml"): up + outside}
	case 2: // to a folder: fluxd does not
		return map[string]string{g.under("linked"): up + "elsewhere"}
	case 3:
		return map[string]string{g.under("dangling.yaml"): "nothing.yaml"}
	case 4: // to a file that is loaded anyhow
		if names := g.manifests(); len(names) > 0 {
			if name := pick(g, names...); path.Dir(name) == path.Clean(g.root) {
				return map[string]string{g.under("twice.yaml"): path.Base(name)}
			}
		}
		return map[string]string{g.under("linked.txt"): up + outside}
	default: // a folder, by the name of a manifest
		return map[string]string{g.under("folder.yaml"): up + "elsewhere"}
	}
}

// encrypt has SOPS encrypt files with a Secret, in a quarter of the repositories
// that have one.
func (g *generator) encrypt() {
	if !g.chance(25) {
		return
	}
	for _, name := range g.manifests() {
		if strings.Contains(g.files[name], "kind: Secret\n") && g.chance(80) {
			g.c.Encrypted = append(g.c.Encrypted, name)
		}
	}
	if len(g.c.Encrypted) > 0 {
		g.c.Key = pick(g, "age", "pgp")
	}
}

// admit has a webhook look at one kind of object, in one case of ten.
func (g *generator) admit() {
	if !g.chance(10) {
		return
	}
	a := Admission{Do: pick(g, "refuse", "label", "label", "sidecar"), Late: g.chance(50)}
	what := pick(g, "/configmaps", "/secrets", "/services", "apps/deployments", "networking.k8s.io/ingresses")
	if a.Do == "sidecar" {
		what = pick(g, "apps/deployments", "apps/statefulsets", "apps/daemonsets")
	}
	a.Group, a.Resource, _ = strings.Cut(what, "/")
	g.c.Admission = append(g.c.Admission, a)
}

// note has a webhook write down who wrote, in one case of ten: another name is no
// change, and a person's is. Where objects are acted on while it is planned, whose
// name stands there in the end is not known.
func (g *generator) note() {
	if len(g.c.Admission) > 0 || slices.ContainsFunc(g.c.Acts, func(a Act) bool { return a.When == "planning" }) || !g.chance(15) {
		return
	}
	a := Admission{Do: "note", Late: g.chance(30)}
	a.Group, a.Resource, _ = strings.Cut(pick(g, "/configmaps", "/services", "apps/deployments", "networking.k8s.io/ingresses"), "/")
	g.c.Admission = append(g.c.Admission, a)
}

// twin adds a second agent, in one case of twelve, whose repository holds one of
// this one's files, too, as it is or changed.
func (g *generator) twin() {
	names := g.manifests()
	if len(names) == 0 || !g.chance(8) {
		return
	}
	name := pick(g, names...)
	text := g.files[name]
	if g.chance(40) {
		text = strings.NewReplacer("web:1", "web:3", "plain", "other", "app: web", "app: web3").Replace(text)
	}
	g.c.Twin = &Case{
		Name: g.c.Name + "-twin", Paths: []string{"own"}, DefaultNamespace: g.c.DefaultNamespace, GarbageCollection: g.chance(50),
		Commits: []Commit{{Files: map[string]string{
			"own/" + path.Base(name): text,
			"own/cm.yaml":            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + place + "-twin, namespace: " + place + "-a}\ndata: {k: v}\n",
		}}},
	}
}

// later makes a second commit: a change, a removal, a change of what cannot be
// changed, or one that cannot be loaded.
func (g *generator) later() {
	c := Commit{Files: map[string]string{}}
	names := g.manifests()
	if len(names) == 0 {
		return
	}
	name := pick(g, names...)
	switch g.IntN(5) {
	case 0:
		c.Removed = []string{name}
	case 1:
		c.Files[name] = strings.NewReplacer("job:1", "job:2", "web:1", "web:2", "app: web", "app: web2", "value: ", "value:  1", "clusterIP: None", "clusterIP: 10.0.0.77", "name: view", "name: edit").Replace(g.files[name])
	case 2:
		c.Files[g.under("late", "cm.yaml")] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + place + "-late, namespace: " + place + "-a}\ndata: {k: v}\n"
	case 3:
		c.Files[g.under("late", "broken.yaml")] = "a: {b\n"
	case 4:
		c.Files[name] = strings.ReplaceAll(g.files[name], "plain", "changed")
	}
	c.Ahead = g.chance(20)
	g.c.Commits = append(g.c.Commits, c)
}

// act does something to a live object.
func (g *generator) act() {
	if len(g.made) == 0 {
		return
	}
	t := pick(g, g.made...)
	a := Act{Do: "patch", Resource: t.resource, Namespace: t.namespace, Name: t.name}
	workload := t.kind == "Deployment" || t.kind == "StatefulSet" || t.kind == "DaemonSet"
	hand := pick(g, "kubectl-edit", "kubectl-patch", "kubectl-annotate", "kubectl", "before-first-apply", "kustomize-controller", "flux-client-side-apply", "helm", "some-operator")
	a.Manager = hand
	switch n := g.IntN(16); {
	case n >= 12:
		a = g.byKubectl(t, workload)
	case n == 0 && workload:
		a.Manager, a.Body = "kubectl-rollout", `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-01T00:00:00Z"}}}}}`
	case n == 1 && (t.kind == "Deployment" || t.kind == "StatefulSet"):
		a.Body = `{"spec":{"replicas":3}}`
	case n == 2 && (t.kind == "Deployment" || t.kind == "StatefulSet"):
		a.Manager, a.Subresource, a.Body = pick(g, "kube-controller-manager", "kubectl"), "scale", `{"spec":{"replicas":2}}`
	case n == 3 && workload:
		a.Manager, a.Do = pick(g, "kubectl-set", "other"), "apply"
		a.Body = `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"registry.example.com/web:9"}]}}}}`
	case n == 4 && workload:
		a.Do, a.Manager = "apply", pick(g, "kubectl", "injector")
		a.Body = `{"spec":{"template":{"spec":{"containers":[{"name":"injected","image":"registry.example.com/side:1"}]}}}}`
	case n == 5:
		a.Do = "delete"
		if t.kind == "Namespace" || t.kind == "CustomResourceDefinition" {
			return
		}
	case n == 6:
		a.Body = `{"metadata":{"annotations":{"fluxcd.io/ignore":"` + pick(g, "true", "sync_only", "false") + `"}}}`
	case n == 7:
		a.Body = `{"metadata":{"` + pick(g, "labels", "annotations") + `":{"kustomize.toolkit.fluxcd.io/` + pick(g, "reconcile\":\"disabled", "ssa\":\"Merge", "ssa\":\"Ignore", "ssa\":\"IfNotPresent", "prune\":\"disabled") + `"}}}`
	case n == 8:
		a.Body = `{"metadata":{"annotations":{"` + pick(g, "meta.helm.sh/release-name", "argocd.argoproj.io/tracking-id") + `":"other"}}}`
	case n == 9:
		a.Body = `{"metadata":{"labels":{"kustomize.toolkit.fluxcd.io/name":"other","kustomize.toolkit.fluxcd.io/namespace":"elsewhere"}}}`
	case n == 10 && t.kind == "ConfigMap":
		a.Body = `{"data":{"a":"by hand","extra":"x"}}`
	default:
		a.Body = `{"metadata":{"labels":{"extra":"` + pick(g, "x", "y") + `"},"annotations":{"extra/note":"by hand"}}}`
	}
	g.c.Acts = append(g.c.Acts, a)
}

// byKubectl is what a person does with kubectl.
func (g *generator) byKubectl(t thing, workload bool) Act {
	a := Act{Do: "kubectl", Resource: t.resource, Namespace: t.namespace, Name: t.name}
	switch n := g.IntN(9); {
	case n == 0 && (t.kind == "Deployment" || t.kind == "StatefulSet"):
		a.Args = []string{"scale", "--replicas=" + pick(g, "0", "2", "3")}
	case n == 1 && workload:
		a.Args = []string{"rollout", "restart"}
	case n == 2 && workload:
		a.Args = pick(g, []string{"set", "image", "web=registry.example.com/web:8"}, []string{"set", "env", "MODE=debug"}, []string{"set", "resources", "--requests=cpu=50m"})
	case n == 3 && workload:
		a.Args = []string{"patch", "--type=json", "--patch=" + pick(g,
			`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"registry.example.com/web:7"}]`,
			`[{"op":"add","path":"/spec/template/spec/containers/0/env","value":[{"name":"B","value":"b"}]}]`,
			`[{"op":"add","path":"/spec/template/spec/priorityClassName","value":"system-cluster-critical"}]`,
			`[{"op":"remove","path":"/spec/template/spec/containers/0/env"}]`,
			`[{"op":"add","path":"/spec/minReadySeconds","value":5}]`)}
	case n == 4:
		a.Args, a.Edit = []string{"edit"}, pick(g, "s/web:1/web:8/", "s/plain/edited/", "s/text$/changed/", "/note:/d", "/revisionHistoryLimit/d", "/version:/d")
	case n == 5:
		a.Args = []string{"label", pick(g, "extra=x", "app-", "app=other"), "--overwrite"}
	case n == 6:
		a.Args = []string{"annotate", pick(g, "extra=x", "note-", "note=other"), "--overwrite"}
	default:
		a.Args = []string{"patch", "--type=json", "--patch=" + pick(g,
			`[{"op":"add","path":"/metadata/annotations/extra","value":"x"}]`, `[{"op":"remove","path":"/metadata/labels/app"}]`,
			`[{"op":"add","path":"/metadata/labels/extra","value":"x"}]`, `[{"op":"replace","path":"/metadata/annotations/note","value":"by hand"}]`)}
	}
	if g.chance(25) && a.Args[0] != "scale" && a.Args[0] != "edit" {
		a.Args = append(a.Args, "--field-manager="+pick(g, "ci", "kubectl-other", "helm", "kustomize-controller", "some-operator"))
	}
	return a
}
