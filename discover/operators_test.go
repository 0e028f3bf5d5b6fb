package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	fakediscovery "k8s.io/client-go/discovery/fake"
)

func TestWhatEachEngineNeedsOfKubernetesIsSaid(t *testing.T) {
	for v, want := range map[string][]string{
		"v1.29.14":            {"KUBERNETES_TOO_OLD"},
		"v1.30.0":             {"FLUX2_NEEDS_NEWER_KUBERNETES"},
		"v1.32.9-eks-036c24b": {"FLUX2_NEEDS_NEWER_KUBERNETES"},
		"v1.33.0":             nil,
		"v1.37.2+k3s1":        nil,
	} {
		w := &witness{}
		w.kubernetesFor(migrate.Cluster{Version: v, Kinds: []migrate.ServedKind{
			{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy"},
			{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"},
		}})
		var got []string
		for _, f := range w.findings {
			got = append(got, f.Code)
			if !strings.Contains(f.Message, v) {
				t.Errorf("%s is not in %q", v, f.Message)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", v, got, want)
		}
	}
}

func TestAnEngineThatTakesOverMoreThanKubectlsFieldsBlocks(t *testing.T) {
	engine := func(image string, replicas int32, args ...string) appsv1.Deployment {
		d := appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "engine"}, Spec: appsv1.DeploymentSpec{Replicas: &replicas}}
		d.Spec.Template.Spec.Containers = []corev1.Container{
			{Name: "beside", Image: "proxy:1", Args: []string{"--override-manager=not-its-flag"}},
			{Name: "manager", Image: image, Args: args, Env: []corev1.EnvVar{{Name: "OTHER", Value: "lens"}}},
		}
		return d
	}
	bundled := engine("registry.example.com/fluxover:1", 1, "agent", "--override-manager=rancher")
	bundled.Labels = map[string]string{"app.kubernetes.io/name": "fluxover-agent", "app.kubernetes.io/part-of": "fluxover"}
	bundled.Spec.Template.Spec.Containers = bundled.Spec.Template.Spec.Containers[1:]
	for name, c := range map[string]struct {
		deployment appsv1.Deployment
		want       string
	}{
		"every one that is named":  {engine("ghcr.io/fluxcd/kustomize-controller:v1.9.4", 1, "--override-manager=rancher", "--log-level=info", "--override-manager", "$(OTHER)"), "lens, rancher"},
		"the bundled agent":        {bundled, "rancher"},
		"one that does not run":    {engine("kustomize-controller:v1", 0, "--override-manager=rancher"), ""},
		"another controller":       {engine("helm-controller:v1", 1, "--override-manager=rancher"), ""},
		"one with other flags":     {engine("kustomize-controller:v1", 1, "--override-managers=rancher", "--watch-all-namespaces"), ""},
		"what is not a flag of it": {engine("kustomize-controller:v1", 1, "--", "--override-manager=rancher"), ""},
	} {
		w := &witness{}
		w.otherOperators([]appsv1.Deployment{c.deployment})
		var got []migrate.Finding
		for _, f := range w.findings {
			if f.Code == "ENGINE_TAKES_OVER" {
				got = append(got, f)
			}
		}
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s: %v", name, got)
		case c.want != "" && (len(got) != 1 || got[0].Severity != migrate.Blocker || got[0].Acceptable || !strings.Contains(got[0].Message, c.want+" ") || !strings.Contains(got[0].Message, "Deployment/flux-system/engine")):
			t.Errorf("%s: %+v does not say %q", name, got, c.want)
		}
	}
}

func TestAnAPIServerThatCannotFenceBlocksEverything(t *testing.T) {
	without := func(left ...string) []*metav1.APIResourceList {
		var lists []*metav1.APIResourceList
		for _, list := range served {
			list := list.DeepCopy()
			list.APIResources = slices.DeleteFunc(list.APIResources, func(r metav1.APIResource) bool { return slices.Contains(left, r.Kind) })
			lists = append(lists, list)
		}
		return lists
	}
	beta := without("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
	beta = append(beta, &metav1.APIResourceList{GroupVersion: "admissionregistration.k8s.io/v1beta1", APIResources: []metav1.APIResource{
		{Name: "validatingadmissionpolicies", Kind: "ValidatingAdmissionPolicy"}, {Name: "validatingadmissionpolicybindings", Kind: "ValidatingAdmissionPolicyBinding"},
	}})
	for name, c := range map[string]struct {
		version string
		served  []*metav1.APIResourceList
		code    string
		words   []string
	}{
		"the oldest that can":        {version: "v1.30.0", served: served},
		"a provider's":               {version: "v1.30.4-gke.1348000", served: served},
		"a newer one":                {version: "v1.37.2+k3s1", served: served},
		"too old":                    {version: "v1.29.14", served: without("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"), code: "KUBERNETES_TOO_OLD", words: []string{"v1.29.14", "1.30"}},
		"too old, a provider's":      {version: "v1.28.9-eks-036c24b", served: beta, code: "KUBERNETES_TOO_OLD", words: []string{"v1.28.9"}},
		"new enough, not turned on":  {version: "v1.31.0", served: beta, code: "FENCE_NOT_SERVED", words: []string{"ValidatingAdmissionPolicy and ValidatingAdmissionPolicyBinding"}},
		"one of both kinds is gone":  {version: "v1.31.0", served: without("ValidatingAdmissionPolicyBinding"), code: "FENCE_NOT_SERVED", words: []string{"serve ValidatingAdmissionPolicyBinding,"}},
		"a version that says little": {version: "unknown", served: beta, code: "FENCE_NOT_SERVED"},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, "testdata/cluster/ordinary")
			disco := f.kube.Discovery().(*fakediscovery.FakeDiscovery)
			disco.FakedServerVersion, disco.Resources = &version.Info{GitVersion: c.version}, c.served
			inv, err := f.witness.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []migrate.Finding
			for _, finding := range inv.Findings {
				if finding.Code == "KUBERNETES_TOO_OLD" || finding.Code == "FENCE_NOT_SERVED" {
					got = append(got, finding)
				}
			}
			if c.code == "" {
				if len(got) != 0 {
					t.Errorf("blocked: %v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Code != c.code || got[0].Severity != migrate.Blocker || got[0].Acceptable || got[0].Repository != "" {
				t.Fatalf("want %s, a blocker for the whole cluster that nobody can accept, got %+v", c.code, got)
			}
			for _, word := range c.words {
				if !strings.Contains(got[0].Message, word) {
					t.Errorf("%q is not in %q", word, got[0].Message)
				}
			}
			// What discovery finds is what a plan holds, and holds back.
			plan := migrate.Build(inv, migrate.Options{})
			if !slices.Contains(plan.Findings, got[0]) || len(plan.Repositories) == 0 || !plan.Repositories[0].Blocked {
				t.Errorf("the plan does not hold it: %+v", plan.Findings)
			}
		})
	}
}

// A controller of Flux v2 is one under any image, by the labels that Flux gives it.
func TestFlux2IsKnownByItsLabels(t *testing.T) {
	one, none := int32(1), int32(0)
	deployment := func(name, image, component string, replicas *int32) appsv1.Deployment {
		d := appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "gitops", Name: name}, Spec: appsv1.DeploymentSpec{Replicas: replicas}}
		d.Labels = map[string]string{"app.kubernetes.io/part-of": "flux", "app.kubernetes.io/component": component}
		d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "manager", Image: image}}
		return d
	}
	got := flux2Controllers([]appsv1.Deployment{
		deployment("mirrored", "registry.example.com/flux/source:1.5", "source-controller", &one),
		deployment("stopped", "registry.example.com/flux/source:1.5", "source-controller", &none),
		deployment("by-image", "ghcr.io/fluxcd/helm-controller:v1", "", &one),
		deployment("other", "registry.example.com/flux/web:1", "web", &one),
	})
	if want := []string{"gitops/by-image", "gitops/mirrored"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
