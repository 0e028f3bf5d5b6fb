package discover

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// jsonNames are the fields of a type as they stand in manifests.
func jsonNames(of any) []string {
	var out []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(of)) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		out = append(out, name)
	}
	return out
}

func TestFieldsOfPodsThatNobodyKnowsAreUnknown(t *testing.T) {
	for _, c := range []struct {
		of    any
		lists [][]string
	}{
		{corev1.PodSpec{}, [][]string{podReadElsewhere, podRuns, resolving}},
		{corev1.Container{}, [][]string{containerReadElsewhere, containerRuns}},
		{appsv1.DeploymentSpec{}, [][]string{workloadRuns}},
	} {
		names := jsonNames(c.of)
		for _, name := range slices.Concat(c.lists...) {
			if !slices.Contains(names, name) {
				t.Errorf("%T has no field %s", c.of, name)
			}
		}
	}
	yes := true
	pod := &corev1.PodSpec{
		HostAliases: []corev1.HostAlias{{IP: "10.0.0.9", Hostnames: []string{"git.corp"}}}, DNSPolicy: corev1.DNSNone, RestartPolicy: corev1.RestartPolicyAlways,
		EphemeralContainers: []corev1.EphemeralContainer{{}}, ServiceAccountName: "flux", NodeSelector: map[string]string{"a": "b"},
		Containers: []corev1.Container{{
			Name: "flux", Image: "fluxcd/flux:1.25.4", WorkingDir: "/elsewhere", ImagePullPolicy: corev1.PullAlways,
			Lifecycle:       &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "git config --global http.proxy MARKED-SECRET"}}}},
			SecurityContext: &corev1.SecurityContext{Privileged: &yes},
		}},
	}
	var a migrate.Flux1Agent
	readSurroundings(&a, &flux1.Config{}, pod, &pod.Containers[0], nil, func(where string) migrate.Origin { return migrate.Origin{Witness: "cluster", Where: where} }, func(...migrate.Finding) {})
	got := map[string]string{}
	for _, s := range a.Settings {
		if s.Fate != migrate.Unknown || s.Why == "" || s.To == "" || len(s.From) != 1 {
			t.Errorf("%+v", s)
		}
		got[s.Name] = s.Value
	}
	want := map[string]string{
		"pod.hostAliases": `[{"hostnames":["git.corp"],"ip":"10.0.0.9"}]`, "pod.dnsPolicy": `"None"`, "pod.ephemeralContainers": "***",
		"container.workingDir": "***", "container.lifecycle": "***",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	pod.DNSPolicy = corev1.DNSClusterFirst // what the API server fills in
	for _, f := range unknownPodFields(pod, &pod.Containers[0]) {
		if f.name == "pod.dnsPolicy" {
			t.Errorf("%+v", f)
		}
	}
}

func TestEnvFromIsCarriedOnlyWhereAnArgumentMayReferToIt(t *testing.T) {
	from := func(prefix string) []corev1.EnvFromSource {
		return []corev1.EnvFromSource{{Prefix: prefix, SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "net"}}}}
	}
	for name, c := range map[string]struct {
		container corev1.Container
		want      migrate.Fate
	}{
		"no reference":         {corev1.Container{EnvFrom: from("")}, migrate.Unknown},
		"a reference":          {corev1.Container{EnvFrom: from(""), Args: []string{"--git-label=$(TAG)"}}, migrate.Carried},
		"an escaped one":       {corev1.Container{EnvFrom: from(""), Args: []string{"--git-label=$$(TAG)"}}, migrate.Unknown},
		"a prefix that fits":   {corev1.Container{EnvFrom: from("T"), Args: []string{"--git-label=$(TAG)"}}, migrate.Carried},
		"a prefix of others":   {corev1.Container{EnvFrom: from("NET_"), Args: []string{"--git-label=$(TAG)"}}, migrate.Unknown},
		"a variable beside it": {corev1.Container{EnvFrom: from(""), Args: []string{"--git-label=$(TAG)"}, Env: []corev1.EnvVar{{Name: "TAG", Value: "x"}}}, migrate.Unknown},
		"one of two beside it": {corev1.Container{EnvFrom: from(""), Args: []string{"--git-label=$(TAG)$(B)"}, Env: []corev1.EnvVar{{Name: "TAG", Value: "x"}}}, migrate.Carried},
		"by a variable of env": {corev1.Container{EnvFrom: from(""), Env: []corev1.EnvVar{{Name: "TAG", Value: "$(B)"}}, Args: []string{"--git-label=$(TAG)"}}, migrate.Carried},
	} {
		var a migrate.Flux1Agent
		pod := &corev1.PodSpec{Containers: []corev1.Container{c.container}}
		readSurroundings(&a, &flux1.Config{}, pod, &pod.Containers[0], nil, func(where string) migrate.Origin { return migrate.Origin{Where: where} }, func(...migrate.Finding) {})
		i := slices.IndexFunc(a.Settings, func(s migrate.Setting) bool { return s.Name == "envFrom" })
		if i < 0 || a.Settings[i].Fate != c.want {
			t.Errorf("%s: %+v", name, a.Settings)
		}
	}
}

func TestAFluxdIsFoundBesideFlux2AndUnderItsLabel(t *testing.T) {
	fluxd1 := corev1.Container{Name: "a", Image: "example/mirror:1", Args: []string{"--git-url=git@h:a"}}
	controller := corev1.Container{Name: "manager", Image: "ghcr.io/fluxcd/source-controller:v1.9.1", Args: []string{"--storage-path=/data"}}
	deployment := func(labels map[string]string, containers ...corev1.Container) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: containers}}}}
	}
	part := map[string]string{"app.kubernetes.io/part-of": "flux"}
	for name, c := range map[string]struct {
		d    *appsv1.Deployment
		want string
	}{
		"under the label of Flux v2": {deployment(part, fluxd1), "a"},
		"beside a controller":        {deployment(nil, controller, fluxd1), "a"},
		"a controller":               {deployment(part, controller), ""},
		"what is named like fluxd":   {deployment(part, corev1.Container{Name: "flux", Image: "example/flux:2"}), ""},
		"the same without the label": {deployment(nil, corev1.Container{Name: "flux", Image: "example/flux:2"}), "flux"},
	} {
		got := ""
		if found := fluxd(c.d); found != nil {
			got = found.Name
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestWhatAVariableRefersToIsAccountedForWithIt(t *testing.T) {
	variable := func(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }
	pod := &corev1.PodSpec{Containers: []corev1.Container{{
		Args: []string{"--git-url=$(URL)"},
		Env:  []corev1.EnvVar{variable("GIT_PORT", "22"), variable("GIT_HOST", "git.$(DOMAIN):$(GIT_PORT)"), variable("URL", "ssh://git@$(GIT_HOST)/r"), variable("OTHER", "$(NOT_ASKED)")},
		EnvFrom: []corev1.EnvFromSource{
			{Prefix: "DOM", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "domain"}}},
			{Prefix: "NOT", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "other"}}},
		},
	}}}
	var a migrate.Flux1Agent
	readSurroundings(&a, &flux1.Config{URL: "$(URL)"}, pod, &pod.Containers[0], nil, func(where string) migrate.Origin { return migrate.Origin{Where: where} }, func(...migrate.Finding) {})
	got := map[string]migrate.Fate{}
	for _, s := range a.Settings {
		if s.Name == "envFrom" {
			s.Name += " " + s.Value
		}
		got[s.Name] = s.Fate
	}
	for name, want := range map[string]migrate.Fate{"env.GIT_PORT": migrate.Carried, "env.GIT_HOST": migrate.Carried, "env.URL": migrate.Carried, "env.OTHER": migrate.Dropped} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	carried := 0
	for _, s := range a.Settings {
		if s.Name == "envFrom" && s.Fate == migrate.Carried {
			carried++
		}
	}
	if carried != 1 {
		t.Errorf("%d sources of variables are carried, want that of DOMAIN: %v", carried, got)
	}
}
