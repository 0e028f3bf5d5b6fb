package discover

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	sigsyaml "sigs.k8s.io/yaml"
)

// liveIn is what a cluster says that holds these objects.
func liveIn(t *testing.T, objects string) migrate.Inventory {
	t.Helper()
	inv, err := open(t, writtenCluster(t, objects)).witness.inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// writtenCluster is a folder for open that holds these objects.
func writtenCluster(t *testing.T, objects string) string {
	t.Helper()
	return written(t, map[string]string{"cluster.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system, uid: the-uid}\n---\n" + objects})
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// asManifest declares an object as a kubernetes_manifest.
func asManifest(t *testing.T, object string) map[string]string {
	t.Helper()
	return asManifests(t, object)
}

// asManifests is asManifest of several objects.
func asManifests(t *testing.T, objects string) map[string]string {
	t.Helper()
	var resources []string
	for i, object := range strings.Split(objects, "---\n") {
		asJSON, err := sigsyaml.YAMLToJSON([]byte(object))
		if err != nil {
			t.Fatal(err)
		}
		name := "flux"
		if i > 0 {
			name += strconv.Itoa(i)
		}
		resources = append(resources, `"`+name+`":{"manifest":`+strings.ReplaceAll(string(asJSON), "${", "$${")+`}`)
	}
	return map[string]string{"main.tf.json": `{"resource":{"kubernetes_manifest":{` + strings.Join(resources, ",") + `}}}`}
}

const deploymentOfMuch = `apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: flux}
spec:
  replicas: 1
  selector: {matchLabels: {name: flux}}
  template:
    metadata: {labels: {name: flux}}
    spec:
      serviceAccountName: flux
      volumes:
      - name: git-key
        secret: {secretName: flux-git-deploy}
      containers:
      - name: flux
        image: fluxcd/flux:1.25.4
        args: ["--git-url=https://MARKED-SECRET-token@git.example.com/org/a", "--git-branch=main", "--token=MARKED-SECRET-connect"]
        env:
        - {name: HTTPS_PROXY, value: "http://old.example.com:3128"}
        - name: GIT_TOKEN
          valueFrom: {secretKeyRef: {name: token, key: value}}
        envFrom:
        - configMapRef: {name: more}
        resources: {requests: {cpu: 50m}}
        volumeMounts:
        - {name: git-key, mountPath: /etc/fluxd/ssh}
      - name: recv
        image: fluxcd/flux-recv:0.4.0
`

// Each thing in which the live Deployment is not what is declared is a finding of
// its own, also where only what is hidden differs; and what differs has not both
// origins.
func TestEachDisagreementOfWitnessesIsSaid(t *testing.T) {
	merged := Merge(liveIn(t, deploymentOfMuch), declaredBy(t, asManifest(t, deploymentOfMuch)))
	for _, f := range merged.Findings {
		if f.Code == WitnessesDisagree.Name {
			t.Errorf("one Deployment is said to differ from itself: %v", f)
		}
	}
	if s := settingOf(t, merged.Agents[0], "env.HTTPS_PROXY"); s.Value != "***" || len(s.From) != 2 {
		t.Errorf("a value that both have: %+v", s)
	}
	for name, c := range map[string]struct{ old, new, subject, says string }{
		"the value of a variable": {"http://old.example.com", "http://MARKED-SECRET.example.com", "env.HTTPS_PROXY", "another live than in Terraform"},
		"where a variable stands": {"{name: token, key: value}", "{name: token, key: other}", "env.GIT_TOKEN", `"key other of Secret token" live, and "key value of Secret token" in Terraform`},
		"a variable":              {"        - name: GIT_TOKEN\n          valueFrom: {secretKeyRef: {name: token, key: value}}\n", "", "env.GIT_TOKEN", "not given live"},
		"what brings variables":   {"configMapRef: {name: more}", "secretRef: {name: more}", "envFrom.Secret more", "given live, and not given in Terraform"},
		"the key's Secret":        {"secretName: flux-git-deploy", "secretName: another-key", "volume./etc/fluxd/ssh", `"Secret another-key" live, and "Secret flux-git-deploy" in Terraform`},
		"the number of pods":      {"replicas: 1", "replicas: 0", "replicas", `"0" live, and "1" in Terraform`},
		"what it asks for":        {"cpu: 50m", "cpu: 60m", "requests.cpu", `"60m" live`},
		"a sidecar":               {"flux-recv:0.4.0", "flux-recv:0.5.0", "container.recv", `"fluxcd/flux-recv:0.5.0" live`},
		"its account":             {"serviceAccountName: flux", "serviceAccountName: other", "serviceAccount", "other live, and flux in Terraform"},
		"the repository":          {"git.example.com/org/a", "git.example.com/org/b", "--git-url", `"https://***@git.example.com/org/b" live, and "https://***@git.example.com/org/a" in Terraform`},
		"the token in the URL":    {"MARKED-SECRET-token", "MARKED-SECRET-other", "--git-url", "which differ in what is not shown"},
		"another token":           {"MARKED-SECRET-connect", "MARKED-SECRET-other", "--token", "which differ in what is not shown"},
	} {
		t.Run(name, func(t *testing.T) {
			live := strings.Replace(deploymentOfMuch, c.old, c.new, 1)
			if live == deploymentOfMuch {
				t.Fatal("nothing is changed")
			}
			merged := Merge(liveIn(t, live), declaredBy(t, asManifest(t, deploymentOfMuch)))
			f := said(t, merged, WitnessesDisagree.Name, "flux/flux "+c.subject, c.says)
			if !strings.Contains(f.Where, "Deployment/flux/flux") && !strings.Contains(f.Where, "cluster: args") || !strings.Contains(f.Where, "main.tf.json") {
				t.Errorf("places: %s", f.Where)
			}
			if tells(asJSON(merged)) {
				t.Error("a secret is shown")
			}
			if c.subject == "env.HTTPS_PROXY" {
				var rows []migrate.Setting
				for _, s := range merged.Agents[0].Settings {
					if s.Name == c.subject {
						rows = append(rows, s)
					}
				}
				if len(rows) != 2 || len(rows[0].From) != 1 || len(rows[1].From) != 1 {
					t.Errorf("two values are told as one: %+v", rows)
				}
			}
		})
	}
}

// What an account may do by the chart, and what by the cluster.
func TestADisagreementAboutRightsIsSaid(t *testing.T) {
	declared := declaredBy(t, map[string]string{"main.tf": ordinaryRelease})
	live := liveAgent("flux/shop", "--git-url=git@github.com:example/shop", "--git-path=a,b")
	for kind, differs := range map[string]bool{"cluster-admin": false, "none": true} {
		live.Confinement = migrate.Confinement{Kind: kind}
		merged := Merge(migrate.Inventory{Agents: []migrate.Flux1Agent{live}}, declared)
		found := slices.ContainsFunc(merged.Findings, func(f migrate.Finding) bool {
			return f.Code == WitnessesDisagree.Name && strings.HasPrefix(f.Message, "confinement of flux/shop is "+kind+" live, and cluster-admin")
		})
		if found != differs {
			t.Errorf("%s: %t, want %t", kind, found, differs)
		}
	}
}

// A release makes the Deployment that Helm renders of it, in all that is compared:
// this one is of chart 1.13.3 with each of these values.
func TestTheDeploymentOfAReleaseIsComparedAsItIsRendered(t *testing.T) {
	rendered := func(replicas int32, more func(*corev1.PodSpec)) map[string]migrate.Part {
		d := &appsv1.Deployment{}
		d.Spec.Replicas = &replicas
		pod := &d.Spec.Template.Spec
		secret := func(name, of string) corev1.Volume {
			return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: of}}}
		}
		configMap := func(name, of string) corev1.Volume {
			v := corev1.Volume{Name: name}
			v.ConfigMap = &corev1.ConfigMapVolumeSource{}
			v.ConfigMap.Name = of
			return v
		}
		pod.Volumes = []corev1.Volume{
			configMap("kubedir", "flux-kube-config"), secret("git-key", "flux-git-deploy"), {Name: "git-keygen"},
		}
		c := corev1.Container{Name: "flux", Env: []corev1.EnvVar{{Name: "KUBECONFIG", Value: "/root/.kubectl/config"}}, VolumeMounts: []corev1.VolumeMount{
			{Name: "kubedir", MountPath: "/root/.kubectl"}, {Name: "git-key", MountPath: "/etc/fluxd/ssh"}, {Name: "git-keygen", MountPath: "/var/fluxd/keygen"},
		}}
		c.Resources = requestsOf(t, "50m", "64Mi")
		pod.Containers = []corev1.Container{c}
		if more != nil {
			more(pod)
		}
		return podParts(d, &pod.Containers[0])
	}
	decoded := func(values map[string]any) map[string]migrate.Part {
		r := chart.Decode(chart.Release{Name: "flux", Namespace: "flux", Version: "1.13.3"}, values)
		return renderedParts(&r, podOf(&r))
	}
	proxy := func(value string) map[string]any {
		return map[string]any{"extraEnvs": []any{map[string]any{"name": "HTTPS_PROXY", "value": value}}}
	}
	for name, c := range map[string]struct {
		live   map[string]migrate.Part
		values any
		differ []string
	}{
		"nothing given": {rendered(1, nil), nil, nil},
		"a variable": {rendered(1, func(p *corev1.PodSpec) {
			p.Containers[0].Env = append(p.Containers[0].Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "a"})
		}), proxy("a"), nil},
		"another value": {rendered(1, func(p *corev1.PodSpec) {
			p.Containers[0].Env = append(p.Containers[0].Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "a"})
		}), proxy("b"), []string{"env.HTTPS_PROXY"}},
		"another Secret": {rendered(1, nil), map[string]any{"git": map[string]any{"secretName": "own"}}, []string{"volume./etc/fluxd/ssh"}},
		"stopped":        {rendered(0, nil), nil, []string{"replicas"}},
		"values unknown": {rendered(1, nil), map[string]any{"extraEnvs": chart.Unknown{Cause: "x"}, "replicaCount": chart.Unknown{Cause: "x"}, "resources": chart.Unknown{Cause: "x"}, "extraVolumeMounts": chart.Unknown{Cause: "x"}, "git": map[string]any{"secretName": chart.Unknown{Cause: "x"}}}, nil},
		"more by hand":   {rendered(1, func(p *corev1.PodSpec) { p.Containers = append(p.Containers, corev1.Container{Name: "x", Image: "y"}) }), nil, []string{"container.x"}},
		"unknown beside": {rendered(1, func(p *corev1.PodSpec) { p.Containers = append(p.Containers, corev1.Container{Name: "x", Image: "y"}) }), map[string]any{"extraContainers": chart.Unknown{Cause: "x"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			values, _ := c.values.(map[string]any)
			var differ []string
			for _, d := range partDifferences(c.live, decoded(values)) {
				differ = append(differ, d.name)
			}
			equal(t, "differ", differ, c.differ)
		})
	}
}

func requestsOf(t *testing.T, cpu, memory string) corev1.ResourceRequirements {
	t.Helper()
	out := corev1.ResourceRequirements{Requests: corev1.ResourceList{}}
	for name, text := range map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory} {
		q, err := resource.ParseQuantity(text)
		if err != nil {
			t.Fatal(err)
		}
		out.Requests[name] = q
	}
	return out
}
