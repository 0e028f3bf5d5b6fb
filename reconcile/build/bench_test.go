package build

import (
	"fmt"
	"testing"
	"testing/fstest"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apiskustomize "github.com/fluxcd/pkg/apis/kustomize"
)

// benchTree is the laboratory's fleet in one tree: 280 folders of four
// objects each.
func benchTree() (fstest.MapFS, []string) {
	tree, dirs := fstest.MapFS{}, []string(nil)
	for i := range 280 {
		dir := fmt.Sprintf("team-%02d/app-%d", i/7, i%7)
		dirs = append(dirs, dir)
		for kind, text := range map[string]string{
			"config":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\ndata:\n  settings.ini: |\n    a=1\n    b=two\n  level: info\n",
			"secret":  "apiVersion: v1\nkind: Secret\nmetadata: {name: web, namespace: shop}\nstringData: {token: abc}\n",
			"service": "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec:\n  selector: {app: web}\n  ports:\n  - {name: http, port: 80, targetPort: 8080}\n",
			"deployment": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  labels: {app: web, team: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example.org/shop/web:1.2.3
        ports: [{containerPort: 8080}]
        env:
        - {name: LEVEL, valueFrom: {configMapKeyRef: {name: web, key: level}}}
        resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 256Mi}}
        readinessProbe: {httpGet: {path: /healthz, port: 8080}}
`,
		} {
			tree[dir+"/"+kind+".yaml"] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return tree, dirs
}

func benchmark(b *testing.B, change func(*kustomizev1.Kustomization)) {
	tree, dirs := benchTree()
	b.ReportAllocs()
	for b.Loop() {
		a, err := NewArtifact(tree, nil)
		if err != nil {
			b.Fatal(err)
		}
		for _, dir := range dirs {
			ks := &kustomizev1.Kustomization{}
			ks.Name, ks.Namespace, ks.Spec.Path = "k", "flux-system", dir
			change(ks)
			objects, err := Objects(b.Context(), Input{Artifact: a, Kustomization: ks})
			if err != nil || len(objects) != 4 {
				b.Fatal(len(objects), err)
			}
		}
	}
}

// Benchmark280PlainFolders renders the fleet once per iteration.
func Benchmark280PlainFolders(b *testing.B) { benchmark(b, func(*kustomizev1.Kustomization) {}) }

// Benchmark280FoldersByKustomize is the same through kustomize.
func Benchmark280FoldersByKustomize(b *testing.B) {
	benchmark(b, func(ks *kustomizev1.Kustomization) { ks.Spec.TargetNamespace = "shop" })
}

// Benchmark280FoldersWithMarks is the fleet of which a plan protects one object of
// each folder.
func Benchmark280FoldersWithMarks(b *testing.B) {
	benchmark(b, func(ks *kustomizev1.Kustomization) {
		ks.Spec.Patches = []apiskustomize.Patch{marking(protect, "^$", "^Secret$", "^shop$", "^web$")}
	})
}

// Benchmark300MarksInOneFolder renders as many objects, each with a patch of its own.
func Benchmark300MarksInOneFolder(b *testing.B) {
	tree := fstest.MapFS{}
	ks := &kustomizev1.Kustomization{}
	ks.Name, ks.Namespace = "k", "flux-system"
	for i := range 300 {
		name := fmt.Sprintf("web-%d", i)
		tree[name+".yaml"] = &fstest.MapFile{Data: []byte("apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: " + name + ", namespace: shop}\nspec:\n  releaseName: " + name +
			"\n  chart: {repository: \"https://charts.example.org/\", name: web, version: 1.2.3}\n  values: {replicas: 2, image: {tag: 1.2.3}, ingress: {enabled: true}}\n")}
		ks.Spec.Patches = append(ks.Spec.Patches, marking(protect, `^helm\.fluxcd\.io$`, "^HelmRelease$", "^shop$", "^"+name+"$"))
	}
	a, err := NewArtifact(tree, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		objects, err := Objects(b.Context(), Input{Artifact: a, Kustomization: ks})
		if err != nil || len(objects) != 300 || objects[0].GetAnnotations()["kustomize.toolkit.fluxcd.io/prune"] != "disabled" {
			b.Fatal(len(objects), err)
		}
	}
}

// Benchmark10FoldersByUpstream renders ten of the folders as
// kustomize-controller does, from an artifact on disk.
func Benchmark10FoldersByUpstream(b *testing.B) {
	tree, dirs := benchTree()
	small := fstest.MapFS{}
	for _, dir := range dirs[:10] {
		for name, file := range tree {
			if len(name) > len(dir) && name[:len(dir)+1] == dir+"/" {
				small[name] = file
			}
		}
	}
	for b.Loop() {
		for _, dir := range dirs[:10] {
			ks := &kustomizev1.Kustomization{}
			ks.Name, ks.Namespace, ks.Spec.Path = "k", "flux-system", dir
			if objects, _, err := upstream(b, fixture{tree: small, in: Input{Kustomization: ks}}); err != nil || len(objects) != 4 {
				b.Fatal(len(objects), err)
			}
		}
	}
}
