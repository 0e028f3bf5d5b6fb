package differential

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"path"
	"strconv"
	"strings"
)

// GenerateBuilt makes the case of a seed whose manifests are generated: a
// .flux.yaml has Kustomize build an overlay, and its patch file holds what fluxd
// wrote back. The same seed, the same case.
func GenerateBuilt(seed int64) Case {
	g := &generator{
		Rand: rand.New(rand.NewPCG(uint64(seed), 0x6b757374)), files: map[string]string{},
		c: Case{Name: "built-" + strconv.FormatInt(seed, 10), ManifestGeneration: true}, namespaces: []string{place + "-a", place + "-b"},
	}
	root := pick(g, "prod", "envs/prod", "")
	if root != "" {
		g.c.Paths = []string{root}
	}
	g.c.GarbageCollection, g.c.Namespaces = g.chance(50), g.namespaces
	if g.chance(50) {
		g.c.DefaultNamespace = g.namespaces[0]
	}
	o := overlay{generator: g, dir: pick(g, root, root, path.Join(root, "built")), base: path.Join("base", "app")}
	if root == "" {
		o.dir = ""
	}
	o.write()
	config := pick(g, ".flux.yaml", path.Join(root, ".flux.yaml"))
	command := "kustomize build " + pick(g, ".", "./")
	if o.dir != root {
		command = "kustomize build built"
	}
	if g.chance(15) { // more than to have Kustomize build a folder
		command += pick(g, " | cat", " && true", " 2>/dev/null", " | sed s/web:1/web:5/")
	}
	if root == "envs/prod" && g.chance(50) {
		// Another environment, of the same base. Its own folder may have no
		// .flux.yaml.
		g.c.Paths = append(g.c.Paths, "envs/staging")
		dir := strings.Replace(o.dir, "prod", "staging", 1)
		g.files[path.Join(dir, "kustomization.yaml")] = kustomizationHead + "resources: [" + strings.Repeat("../", strings.Count(dir, "/")+1) + o.base + "]\nnamePrefix: st-\n" +
			pick(g, "", "namespace: "+g.namespaces[1]+"\n")
	} else if g.chance(15) { // a second folder
		g.files[path.Join(root, "more", "kustomization.yaml")] = kustomizationHead + "resources: [cm.yaml]\n"
		g.files[path.Join(root, "more", "cm.yaml")] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + place + "-more, namespace: " + g.namespaces[0] + "}\ndata: {k: v}\n"
		command += "\n  - command: kustomize build ./more"
	}
	text := "version: 1\n" + pick(g, "commandUpdated", "patchUpdated", "patchUpdated", "patchUpdated") + ":\n  generators:\n  - command: " + command + "\n"
	if strings.Contains(text, "patchUpdated") {
		text += "  patchFile: flux-patch.yaml\n"
		if patch := o.patchFile(); patch != "" {
			g.files[path.Join(root, "flux-patch.yaml")] = patch
		}
	}
	g.files[config] = text
	g.c.Commits = []Commit{{Files: g.files}}
	for _, t := range o.own { // as they are live
		t.name = o.prefix + t.name + o.suffix
		t.namespace = cmp.Or(o.namespace, t.namespace, g.c.DefaultNamespace)
		g.made = append(g.made, t)
	}
	for range g.IntN(3) {
		g.act()
	}
	return g.c
}

const kustomizationHead = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"

// overlay is a folder that Kustomize builds, over one base.
type overlay struct {
	*generator
	dir, base                 string
	prefix, suffix, namespace string
	// own are the objects of the base that a patch file may name, as the base
	// says it.
	own []thing
}

// write makes the files of both.
func (o *overlay) write() {
	var resources []string
	for i, k := range []string{"Deployment", pick(o.generator, "ConfigMap", "Deployment", "Service"), pick(o.generator, "Secret", "PersistentVolumeClaim", "ConfigMap")} {
		name := fmt.Sprintf("%s-%s%d", place, strings.ToLower(k[:2]), i)
		ns := pick(o.generator, o.namespaces...)
		where := "\n  namespace: " + ns
		if o.c.DefaultNamespace != "" && o.chance(40) {
			where, ns = "", ""
		}
		ignored := ""
		if o.chance(15) {
			ignored = "\n  annotations: {fluxcd.io/ignore: \"" + pick(o.generator, "true", "sync_only") + "\"}"
		}
		version, resource, body := "v1", strings.ToLower(k)+"s", "data: {a: aGVsbG8=}\n"
		switch k {
		case "Deployment":
			version = "apps/v1"
			body = "spec:\n  replicas: 0\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers:\n" +
				"      - {name: web, image: \"registry.example.com/web:1\", env: [{name: A, value: a}, {name: B, value: b}]}\n      - {name: sidecar, image: \"registry.example.com/sidecar:1\"}\n"
		case "Service":
			body = "spec: {ports: [{name: http, port: 80}], selector: {app: web}}\n"
		case "PersistentVolumeClaim":
			body = "spec: {accessModes: [ReadWriteOnce], storageClassName: \"\", resources: {requests: {storage: 1Gi}}}\n"
		}
		file := fmt.Sprintf("m%d.yaml", i)
		o.files[path.Join(o.base, file)] = "apiVersion: " + version + "\nkind: " + k + "\nmetadata:\n  name: " + name + where + ignored + "\n" + body
		resources = append(resources, file)
		o.own = append(o.own, thing{k, version + "/" + resource, ns, name, file})
	}
	if o.chance(30) {
		name := place + "-wide"
		o.files[path.Join(o.base, "role.yaml")] = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: " + name + pick(o.generator, "", ", namespace: "+o.namespaces[0]) + "}\nrules: []\n"
		resources = append(resources, "role.yaml")
	}
	o.files[path.Join(o.base, "kustomization.yaml")] = kustomizationHead + "resources: [" + strings.Join(resources, ", ") + "]\n"

	up := strings.Repeat("../", strings.Count(o.dir, "/")+1)
	if o.dir == "" {
		up = ""
	}
	text := kustomizationHead + pick(o.generator, "resources", "bases") + ": [" + up + o.base + "]\n"
	if o.chance(30) {
		o.prefix = "x-"
		text += "namePrefix: x-\n"
	}
	if o.chance(20) {
		o.suffix = "-y"
		text += "nameSuffix: -y\n"
	}
	if o.chance(30) {
		o.namespace = o.namespaces[1]
		text += "namespace: " + o.namespace + "\n"
	}
	if o.chance(30) {
		text += "commonAnnotations: {team: shop}\n"
	}
	if o.chance(15) {
		text += "images: [{name: registry.example.com/" + pick(o.generator, "web", "sidecar") + ", newTag: \"7\"}]\n"
	}
	if o.chance(30) {
		text += "configMapGenerator: [{name: " + place + "-made, " + pick(o.generator, "", "namespace: "+o.namespaces[0]+", ") + "literals: [a=b]}]\n"
	}
	if o.chance(30) {
		text += "patchesStrategicMerge:\n- |-\n  apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: " + o.own[0].name
		if o.own[0].namespace != "" {
			text += ", namespace: " + o.own[0].namespace
		}
		text += "}\n  spec: {revisionHistoryLimit: 3}\n"
	}
	o.files[path.Join(o.dir, "kustomization.yaml")] = text
}

// patchFile is what fluxd wrote back, or people wrote in its place.
func (o *overlay) patchFile() string {
	if o.chance(15) {
		return "" // it is not there yet
	}
	var docs []string
	for _, t := range o.own {
		if t.kind != "Deployment" && o.chance(60) {
			continue
		}
		ns := t.namespace
		if o.namespace != "" {
			ns = o.namespace
		}
		head := "metadata:\n  annotations: {fluxcd.io/automated: \"true\", note: \"" + strconv.Itoa(o.IntN(9)) + "\"}\n  name: " + o.prefix + t.name + o.suffix + "\n"
		if ns != "" {
			head += "  namespace: " + ns + "\n"
		}
		version, _, _ := strings.Cut(t.resource, "/")
		body := ""
		switch t.kind {
		case "Deployment":
			version = "apps/v1"
			body = "spec:\n  template:\n    spec:\n      $setElementOrder/containers:\n      - name: web\n      - name: sidecar\n      containers:\n      - image: registry.example.com/web:1.4\n        name: web\n"
			if o.chance(20) {
				body += "        env: [{name: C, value: c}, {name: A, value: other}]\n"
			}
		case "ConfigMap":
			body = "data: {b: aGk=}\n"
		case "Secret":
			body = pick(o.generator, "", "data: {b: aGk=}\n")
		}
		docs = append(docs, "apiVersion: "+version+"\nkind: "+t.kind+"\n"+head+body)
	}
	return strings.Join(docs, "---\n")
}
