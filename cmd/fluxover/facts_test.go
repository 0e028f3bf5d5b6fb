package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// What is accepted of one kind is not waited for; of any kind it may pass.
func TestAKindThatIsAcceptedAsDownIsNamed(t *testing.T) {
	got := kindsDown([]migrate.Decision{{Code: "API_KIND_DOWN", Subject: "convs.conv.example.com"}, {Code: "API_KIND_DOWN", Subject: "*"}, {Code: "API_GROUP_DOWN", Subject: "a/v1"}})
	if len(got) != 1 || got[0] != "convs.conv.example.com" {
		t.Error(got)
	}
}

func TestNamesThatAreTakenAreReadFromTheCluster(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	object := func(apiVersion, kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind, "spec": spec}}
		u.SetNamespace(namespace)
		u.SetName(name)
		return u
	}
	const kustomize, source = "kustomize.toolkit.fluxcd.io", "source.toolkit.fluxcd.io"
	ours := object(kustomize+"/v1", "Kustomization", migrate.AgentNamespace, "shop-web", map[string]any{"path": "./web", "serviceAccountName": "shop"})
	ours.SetLabels(map[string]string{migrate.LabelManaged: "true"})
	ours.SetAnnotations(map[string]string{migrate.AnnotationRepository: "flux/flux-shop"})
	client := fake.NewSimpleDynamicClientWithCustomListKinds(scheme, map[schema.GroupVersionResource]string{
		{Group: kustomize, Version: "v1", Resource: "kustomizations"}: "KustomizationList",
		{Group: source, Version: "v1", Resource: "gitrepositories"}:   "GitRepositoryList",
	}, ours,
		object(kustomize+"/v1", "Kustomization", migrate.AgentNamespace, "platform", nil),
		object(kustomize+"/v1", "Kustomization", "elsewhere", "shop-web", nil),
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: migrate.AgentNamespace, Name: "shop-git"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "other-git"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: migrate.AgentNamespace, Name: "default"}})
	read := func(answer error) ([]migrate.ControlObject, []migrate.Finding, error) {
		client.PrependReactor("list", "gitrepositories", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, answer })
		control, findings, err := controlObjects(context.Background(), &cluster.Client{Dynamic: client})
		for i := range control {
			// The fake answers typed objects without their kind; a server does not.
			switch control[i].Name {
			case "default":
				control[i].Kind = "ServiceAccount"
			case "shop-git":
				control[i].Kind = "Secret"
			}
		}
		slices.SortFunc(control, func(a, b migrate.ControlObject) int { return strings.Compare(a.Name, b.Name) })
		return control, findings, err
	}
	want := []migrate.ControlObject{
		{Kind: "ServiceAccount", Name: "default"}, {Kind: "Kustomization", Name: "platform"}, {Kind: "Secret", Name: "shop-git"},
		{Kind: "Kustomization", Name: "shop-web", Repository: "flux/flux-shop", Path: "./web", Account: "shop"},
	}
	resource := schema.GroupResource{Group: source, Resource: "gitrepositories"}
	got, findings, err := read(apierrors.NewNotFound(resource, ""))
	if d := cmp.Diff(want, got); d != "" || err != nil || len(findings) > 0 {
		t.Errorf("a kind that is not served: %v %v %s", err, findings, d)
	}
	got, findings, err = read(apierrors.NewForbidden(resource, "", errors.New("no")))
	if d := cmp.Diff(want, got); d != "" || err != nil || len(findings) != 1 || findings[0].Code != "NAMES_UNREAD" {
		t.Errorf("a kind that may not be read: %v %v %s", err, findings, d)
	}
	if _, _, err = read(errors.New("connection refused")); err == nil {
		t.Error("an error counts as nothing found")
	}
}
