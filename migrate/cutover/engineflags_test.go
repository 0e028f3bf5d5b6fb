package cutover

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// engineDeployment is one with a container of that image.
func engineDeployment(namespace, image string, args ...string) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: imageName(image)}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "sidecar", Image: "envoy"}, {Name: "manager", Image: image, Args: args}}
	return d
}

func TestTheFlagsOfEveryEngineThatTenantsMayReachAreCompared(t *testing.T) {
	const account, refs = "--default-service-account=fluxover-no-rights", "--no-cross-namespace-refs=true"
	none := int32(0)
	scaled := engineDeployment("flux-system", "kustomize-controller:v1")
	scaled.Spec.Replicas = &none
	variable := engineDeployment("flux-system", "kustomize-controller:v1", "--default-service-account=$(ACCOUNT)", "--no-cross-namespace-refs=$(OTHER)")
	variable.Spec.Template.Spec.Containers[1].Env = []corev1.EnvVar{{Name: "ACCOUNT", Value: "fluxover-no-rights"}, {Name: "OTHER", ValueFrom: &corev1.EnvVarSource{}}}
	mirrored := engineDeployment("flux-system", "registry:5000/acme/kc@sha256:0", "manager")
	mirrored.Name, mirrored.Spec.Template.Labels = "kc", map[string]string{"app": "kustomize-controller"}
	renamed := engineDeployment("agents", "registry:5000/tools/gitops:1", "agent", account)
	renamed.Labels = map[string]string{"app.kubernetes.io/name": "fluxover-agent", "app.kubernetes.io/part-of": "fluxover"}
	renamed.Spec.Template.Spec.Containers = renamed.Spec.Template.Spec.Containers[1:]
	for name, c := range map[string]struct {
		deployment *appsv1.Deployment
		// lacks are the flags that are missing, by what stands in their place.
		lacks map[string]string
	}{
		"nothing is set":                     {engineDeployment("flux-system", "ghcr.io/fluxcd/kustomize-controller:v1.9.4"), map[string]string{"--default-service-account": "", "--no-cross-namespace-refs": ""}},
		"both are set":                       {engineDeployment("flux-system", "kustomize-controller:v1", account, refs), nil},
		"in other words":                     {engineDeployment("flux-system", "kustomize-controller:v1", "--default-service-account", "fluxover-no-rights", "--no-cross-namespace-refs"), nil},
		"the last one counts":                {engineDeployment("flux-system", "kustomize-controller:v1", account, refs, "--no-cross-namespace-refs=0", "--default-service-account="), map[string]string{"--default-service-account": "", "--no-cross-namespace-refs": "0"}},
		"another account":                    {engineDeployment("flux-system", "kustomize-controller:v1", "--default-service-account=default", refs), map[string]string{"--default-service-account": "default"}},
		"behind the end of flags":            {engineDeployment("flux-system", "kustomize-controller:v1", "--", account, refs), map[string]string{"--default-service-account": "", "--no-cross-namespace-refs": ""}},
		"variables that are known":           {variable, map[string]string{"--no-cross-namespace-refs": "$(OTHER)"}},
		"of another image's name":            {mirrored, map[string]string{"--default-service-account": "", "--no-cross-namespace-refs": ""}},
		"the bundled agent in its own words": {renamed, map[string]string{"--no-cross-namespace-refs": ""}},
		"scaled to 0":                        {scaled, nil},
		"one that sees its own namespace":    {engineDeployment("team", "kustomize-controller:v1", "--watch-all-namespaces=false"), nil},
		"one for a shard that tenants may choose": {
			engineDeployment("flux-system", "kustomize-controller:v1", account, "--watch-label-selector=sharding.fluxcd.io/key=a"), map[string]string{"--no-cross-namespace-refs": ""}},
		"one whose objects may name ours":     {engineDeployment("flux-system", "helm-controller:v1"), map[string]string{"--no-cross-namespace-refs": ""}},
		"one that knows neither flag":         {engineDeployment("flux-system", "source-controller:v1"), nil},
		"one that is no controller of Flux's": {engineDeployment("flux-system", "nginx:1"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := installedEngines(t.Context(), &cluster.Client{Kube: fake.NewClientset(c.deployment)})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, l := range lacking(found, migrate.ClusterAgent{Namespace: "flux-system", Args: []string{account, refs}}) {
				got[l.flag] = l.have
				if !strings.Contains(l.String(), "Deployment/"+c.deployment.Namespace+"/"+c.deployment.Name) || !strings.Contains(l.String(), l.flag+"="+l.want) {
					t.Errorf("said without a name: %s", l)
				}
			}
			if c.lacks == nil {
				c.lacks = map[string]string{}
			}
			if diff := cmp.Diff(c.lacks, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheFlagsReachEveryControllerOfTheFlux2Chart(t *testing.T) {
	want := migrate.ClusterAgent{Engine: engineFlux2, Args: []string{"--default-service-account=none", "--no-cross-namespace-refs=true"}}
	args := func(list ...any) map[string]any {
		return map[string]any{"container": map[string]any{"additionalArgs": list}}
	}
	if diff := cmp.Diff(map[string]any{
		"kustomizeController":       args("--default-service-account=none", "--no-cross-namespace-refs=true"),
		"helmController":            args("--no-cross-namespace-refs=true"),
		"notificationController":    args("--no-cross-namespace-refs=true"),
		"imageAutomationController": args("--no-cross-namespace-refs=true"),
	}, flagValues(want)); diff != "" {
		t.Error(diff)
	}
	before := map[string]any{"kustomizeController": args("--concurrent=9", "--default-service-account=other"), "cli": map[string]any{"image": "x"}}
	over := overRelease(before, flagValues(want))
	if diff := cmp.Diff(args("--concurrent=9", "--default-service-account=none", "--no-cross-namespace-refs=true"), over["kustomizeController"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"kustomizeController": args("--concurrent=9", "--default-service-account=other"), "cli": map[string]any{"image": "x"}}, before); diff != "" {
		t.Errorf("the values before were changed: %s", diff)
	}
}
