package journey

import (
	"bytes"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/fleet"
)

// Marks of the two engines on the objects that they apply (flux: pkg/sync,
// pkg/cluster/kubernetes/sync.go; kustomize-controller: labels of the owner).
const (
	flux1Label      = "fluxcd.io/sync-gc-mark"
	flux1Annotation = "fluxcd.io/sync-checksum"
	flux2Label      = "kustomize.toolkit.fluxcd.io/name"
)

// owned fails the test unless every object that a team's branch holds is live,
// carries the marks of one engine and none of the other, and, for Deployments,
// runs the images that the branch says.
func (w *world) owned(team fleet.Team, byFlux2 bool) {
	w.t.Helper()
	ctx := w.t.Context()
	head, err := w.Git.Head(ctx, team.Repo, team.Branch)
	if err != nil {
		w.t.Fatal(err)
	}
	files, err := w.Git.Tree(ctx, team.Repo, head)
	if err != nil {
		w.t.Fatal(err)
	}
	objects, err := fleet.ObjectsIn(files, team.Path)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(objects) == 0 {
		w.t.Fatalf("%s holds no object in %s", team.Repo, team.Path)
	}
	images := imagesIn(files, team.Path)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(w.kube().Discovery()))
	client := w.dynamic()
	for _, object := range objects {
		mapping, err := mapper.RESTMapping(object.GroupKind(), object.Version)
		if err != nil {
			w.t.Fatal(err)
		}
		live, err := client.Resource(mapping.Resource).Namespace(object.Namespace).Get(ctx, object.Name, metav1.GetOptions{})
		if err != nil {
			w.t.Errorf("%s: %v", object, err)
			continue
		}
		_, label := live.GetLabels()[flux1Label]
		_, annotation := live.GetAnnotations()[flux1Annotation]
		_, ours := live.GetLabels()[flux2Label]
		if label == byFlux2 || annotation == byFlux2 || ours != byFlux2 {
			w.t.Errorf("%s: Flux v1's label %v, its annotation %v, Flux v2's label %v; want the marks of Flux v2 alone: %v", object, label, annotation, ours, byFlux2)
		}
		if object.Kind == "Deployment" {
			if got := image0(live); got != images[object.Namespace+"/"+object.Name] {
				w.t.Errorf("%s runs %q, %s says %q", object, got, team.Repo, images[object.Namespace+"/"+object.Name])
			}
		}
	}
}

func image0(deployment *unstructured.Unstructured) string {
	containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if len(containers) == 0 {
		return ""
	}
	first, _ := containers[0].(map[string]any)
	image, _ := first["image"].(string)
	return image
}

// imagesIn are the images of the Deployments in a folder's manifests, by
// namespace and name.
func imagesIn(files map[string][]byte, folder string) map[string]string {
	images := map[string]string{}
	for name, content := range files {
		if !strings.HasPrefix(name, folder+"/") {
			continue
		}
		for _, document := range bytes.Split(append([]byte("\n"), content...), []byte("\n---\n")) {
			var d appsv1.Deployment
			if err := yaml.Unmarshal(document, &d); err == nil && d.Kind == "Deployment" {
				images[d.Namespace+"/"+d.Name] = d.Spec.Template.Spec.Containers[0].Image
			}
		}
	}
	return images
}
