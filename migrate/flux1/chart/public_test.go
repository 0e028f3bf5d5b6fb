package chart

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/google/go-cmp/cmp"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	rbacv1 "k8s.io/api/rbac/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "record what the charts in FLUX_CHARTS give as goldens")

// facts is what a rendered release shows, and [Decode] is to say.
type facts struct {
	Renders        bool     `json:"renders"`
	Args           []string `json:"args,omitempty"`
	Workload       string   `json:"workload,omitempty"`
	Image          string   `json:"image,omitempty"`
	Replicas       string   `json:"replicas,omitempty"`
	ServiceAccount string   `json:"serviceAccount,omitempty"`
	// Namespace of the kubeconfig's current context.
	Namespace  string   `json:"namespace,omitempty"`
	KnownHosts []string `json:"knownHosts,omitempty"`
	CPU        string   `json:"cpu,omitempty"`
	Memory     string   `json:"memory,omitempty"`
	Mounts     []string `json:"mounts,omitempty"`
	Env        []string `json:"env,omitempty"`
	EnvFrom    []string `json:"envFrom,omitempty"`
	Sidecars   []string `json:"sidecars,omitempty"`
	Init       []string `json:"init,omitempty"`
	// Objects as "Kind namespace/name".
	Objects []string `json:"objects,omitempty"`
	// Granted are the namespaces in which the account may do everything, "*"
	// for the cluster; Bound the ClusterRole that is not the release's.
	Granted []string `json:"granted,omitempty"`
	Bound   string   `json:"bound,omitempty"`
	// Bindings are those of the account, with their roles and rules.
	Bindings []string `json:"bindings,omitempty"`
}

// render renders a chart as helm install would and reads the facts off the
// manifests. What Helm or the API server would refuse does not render, and
// whyNot says why.
func render(c *helmchart.Chart, in releaseCase) (f facts, whyNot string) {
	refuse := func(why any) (facts, string) { return facts{}, fmt.Sprint(why) }
	values, err := chartutil.ToRenderValues(c, in.Values, chartutil.ReleaseOptions{Name: in.Release, Namespace: in.Namespace, Revision: 1, IsInstall: true},
		&chartutil.Capabilities{KubeVersion: chartutil.KubeVersion{Version: "v1.20.0", Major: "1", Minor: "20"}, APIVersions: chartutil.DefaultVersionSet})
	if err != nil {
		return refuse(err)
	}
	files, err := engine.Render(c, values)
	if err != nil {
		return refuse(err)
	}
	var objects []map[string]any
	for name, text := range files {
		if strings.HasSuffix(name, "NOTES.txt") || filepath.Base(name)[0] == '_' || strings.TrimSpace(text) == "" {
			continue
		}
		docs := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
		for {
			doc, err := docs.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return refuse(err)
			}
			var o map[string]any
			if err := yaml.Unmarshal(doc, &o); err != nil {
				return refuse(err)
			}
			if len(o) > 0 {
				objects = append(objects, o)
			}
		}
	}
	f, ok := factsOf(objects, in)
	if !ok {
		return refuse("Kubernetes would refuse it")
	}
	return f, ""
}

// dig reads a nested field; nil if it is not there.
func dig(x any, path ...string) any {
	for _, p := range path {
		m, _ := x.(map[string]any)
		x = m[p]
	}
	return x
}

func str(x any) string {
	if x == nil {
		return ""
	}
	return fmt.Sprint(x)
}

func items(x any) []any { l, _ := x.([]any); return l }

// clusterScoped kinds have no namespace, whatever a manifest says.
var clusterScoped = map[string]bool{"ClusterRole": true, "ClusterRoleBinding": true, "PodSecurityPolicy": true, "CustomResourceDefinition": true}

// factsOf reads the facts; ok is false where Kubernetes would refuse the agent.
func factsOf(objects []map[string]any, in releaseCase) (f facts, ok bool) {
	f.Renders = true
	everything := map[string]bool{}
	made, rules := map[string]bool{}, map[string]string{}
	var bindings []map[string]any
	for _, o := range objects {
		kind, name, ns := str(o["kind"]), dig(o, "metadata", "name"), str(dig(o, "metadata", "namespace"))
		if _, text := name.(string); !text {
			return f, false
		}
		for _, l := range labelsOf(o) {
			if _, text := l.(string); !text {
				return f, false
			}
		}
		if x := dig(o, "metadata", "namespace"); x != nil {
			if _, text := x.(string); !text {
				return f, false
			}
		}
		if ns == "" {
			ns = in.Namespace
		}
		if clusterScoped[kind] {
			ns = ""
		}
		id := fmt.Sprintf("%s %s/%s", kind, ns, name)
		if !slices.Contains(f.Objects, id) {
			f.Objects = append(f.Objects, id)
		}
		switch {
		case kind == "Role" || kind == "ClusterRole":
			made[id] = true
			var typed []rbacv1.PolicyRule
			if err := json.Unmarshal([]byte(jsonOf(o["rules"])), &typed); err != nil {
				return f, false
			}
			rules[id] = jsonOf(typed)
			for _, r := range items(o["rules"]) {
				if slices.Contains(items(dig(r, "resources")), any("*")) {
					everything[id] = true
				}
			}
		case strings.HasSuffix(kind, "Binding"):
			bindings = append(bindings, o)
		case kind == "ConfigMap" && strings.HasSuffix(str(name), "-kube-config"):
			var config struct {
				Current  string `json:"current-context"`
				Contexts []struct {
					Name    string
					Context struct{ Namespace string }
				}
			}
			if yaml.Unmarshal([]byte(str(dig(o, "data", "config"))), &config) != nil {
				f.Namespace = "unreadable"
				continue
			}
			f.Namespace = "default"
			for _, c := range config.Contexts {
				if c.Name == config.Current && c.Context.Namespace != "" {
					f.Namespace = c.Context.Namespace
				}
			}
		case kind == "ConfigMap" && strings.HasSuffix(str(name), "-ssh-config"):
			f.KnownHosts = lines(str(dig(o, "data", "known_hosts")))
		}
		if kind != "Deployment" {
			continue
		}
		pod := dig(o, "spec", "template", "spec")
		for _, c := range items(dig(pod, "containers")) {
			if str(dig(c, "name")) != "flux" || strings.HasSuffix(str(name), "-memcached") || strings.HasSuffix(str(name), "-helm-operator") {
				continue
			}
			f.Workload, f.Image, f.Replicas = str(name), str(dig(c, "image")), str(dig(o, "spec", "replicas"))
			account := dig(pod, "serviceAccountName")
			if _, text := account.(string); account != nil && !text {
				return f, false
			}
			f.ServiceAccount = str(account)
			if f.ServiceAccount == "" {
				f.ServiceAccount = "default"
			}
			for _, a := range items(dig(c, "args")) {
				text, isText := a.(string)
				if !isText {
					return f, false
				}
				f.Args = append(f.Args, text)
			}
			asked := func(resource string) string { // for its limit, where it asks for nothing
				if text := str(dig(c, "resources", "requests", resource)); text != "" {
					return text
				}
				return str(dig(c, "resources", "limits", resource))
			}
			f.CPU, f.Memory = asked("cpu"), asked("memory")
			for _, e := range items(dig(c, "env")) {
				f.Env = append(f.Env, fmt.Sprintf("%v=%s", dig(e, "name"), str(dig(e, "value"))+
					ref(dig(e, "valueFrom", "secretKeyRef"), "Secret")+ref(dig(e, "valueFrom", "configMapKeyRef"), "ConfigMap")))
			}
			for _, e := range items(dig(c, "envFrom")) {
				name := str(dig(e, "secretRef", "name")) + str(dig(e, "configMapRef", "name"))
				if _, text := dig(e, "secretRef", "name").(string); name == "" || !text && dig(e, "secretRef") != nil {
					return f, false
				}
				f.EnvFrom = append(f.EnvFrom, strings.TrimSpace(str(dig(e, "prefix"))+" "+ref(dig(e, "secretRef"), "Secret")+ref(dig(e, "configMapRef"), "ConfigMap")))
			}
			for _, m := range items(dig(c, "volumeMounts")) {
				line := fmt.Sprintf("%v %v", dig(m, "name"), dig(m, "mountPath"))
				for _, volume := range items(dig(pod, "volumes")) {
					if dig(volume, "name") != dig(m, "name") {
						continue
					}
					v, _ := volume.(map[string]any)
					if _, text := dig(v, "secret", "secretName").(string); v["secret"] != nil && !text {
						return f, false
					}
					if _, text := dig(v, "configMap", "name").(string); v["configMap"] != nil && !text {
						return f, false
					}
					switch {
					case v["secret"] != nil:
						line += " Secret " + str(dig(v, "secret", "secretName"))
					case v["configMap"] != nil:
						line += " ConfigMap " + str(dig(v, "configMap", "name"))
					case v["emptyDir"] != nil:
						line += " EmptyDir"
					case v["hostPath"] != nil:
						line += " HostPath"
					}
				}
				f.Mounts = append(f.Mounts, strings.TrimSpace(line))
			}
			for _, other := range items(dig(pod, "containers")) {
				if str(dig(other, "name")) != "flux" {
					f.Sidecars = append(f.Sidecars, str(dig(other, "name"))+" "+str(dig(other, "image")))
				}
			}
			for _, i := range items(dig(pod, "initContainers")) {
				f.Init = append(f.Init, str(dig(i, "name")))
			}
		}
	}
	for _, b := range bindings {
		for _, subject := range items(b["subjects"]) {
			if name, _ := dig(subject, "name").(string); name == "" {
				return f, false
			}
		}
		kind, role, ns := str(dig(b, "roleRef", "kind")), str(dig(b, "roleRef", "name")), str(dig(b, "metadata", "namespace"))
		if ns == "" {
			ns = in.Namespace
		}
		id := kind + " /" + role
		if kind == "Role" {
			id = fmt.Sprintf("%s %s/%s", kind, ns, role)
		}
		if made[id] {
			place := ns
			if str(b["kind"]) == "ClusterRoleBinding" {
				place = ""
			}
			if text := fmt.Sprintf("%s/%s %s %s", place, str(dig(b, "metadata", "name")), id, rules[id]); !slices.Contains(f.Bindings, text) {
				f.Bindings = append(f.Bindings, text) // a namespace that is listed twice has them twice
			}
		}
		switch {
		case everything[id] && str(b["kind"]) == "ClusterRoleBinding":
			f.Granted = append(f.Granted, "*")
		case everything[id]:
			if !slices.Contains(f.Granted, ns) {
				f.Granted = append(f.Granted, ns)
			}
		case !made[id]:
			f.Bound = role
		}
	}
	for _, s := range []*[]string{&f.Objects, &f.Granted, &f.Bindings, &f.Mounts, &f.Sidecars, &f.Init, &f.KnownHosts} {
		slices.Sort(*s)
	}
	return f, true
}

// labelsOf are the values of an object's labels, which are to be text.
func labelsOf(o map[string]any) []any {
	var out []any
	labels, _ := dig(o, "metadata", "labels").(map[string]any)
	for _, l := range labels {
		out = append(out, l)
	}
	return out
}

func ref(x any, kind string) string {
	if x == nil {
		return ""
	}
	return strings.TrimSuffix(kind+" "+str(dig(x, "name"))+" "+str(dig(x, "key")), " ")
}

func lines(s string) []string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// decoded is the same as Decode sees it.
func decoded(version string, in releaseCase) (facts, Rendered) {
	r := Decode(Release{Name: in.Release, Namespace: in.Namespace, Version: version}, any(in.Values))
	if !r.Renders {
		return facts{}, r
	}
	f := facts{
		Renders: true, Workload: r.Workload, Image: r.Image, ServiceAccount: r.ServiceAccount, Namespace: r.FallbackNamespace,
		KnownHosts: lines(r.KnownHosts), CPU: r.Requests.CPU, Memory: r.Requests.Memory, Init: r.InitContainers, Bound: r.BoundClusterRole,
	}
	if r.Replicas != nil {
		f.Replicas = fmt.Sprint(*r.Replicas)
	}
	for _, a := range r.Args {
		f.Args = append(f.Args, string(a.Text))
	}
	for _, m := range r.Mounts {
		f.Mounts = append(f.Mounts, strings.TrimSpace(strings.TrimSpace(m.Volume+" "+m.Path+" "+m.Kind)+" "+m.Name))
	}
	for _, e := range r.Env {
		text := string(e.Value)
		if e.Secret != nil {
			text = "Secret " + e.Secret.Name + " " + e.Secret.Key
		}
		if e.ConfigMap != "" {
			text = "ConfigMap " + e.ConfigMap + " " + e.Key
		}
		f.Env = append(f.Env, e.Name+"="+text)
	}
	for _, e := range r.EnvFrom {
		f.EnvFrom = append(f.EnvFrom, strings.TrimSpace(e.Prefix+" "+e.Kind+" "+e.Name))
	}
	for _, c := range r.Sidecars {
		f.Sidecars = append(f.Sidecars, c.Name+" "+c.Image)
	}
	for _, o := range r.Objects {
		id := fmt.Sprintf("%s %s/%s", o.Kind, o.Namespace, o.Name)
		if !slices.Contains(f.Objects, id) {
			f.Objects = append(f.Objects, id)
		}
	}
	for _, b := range r.Rights {
		id := b.Role.Kind + " " + b.Namespace + "/" + b.Role.Name
		f.Bindings = append(f.Bindings, fmt.Sprintf("%s/%s %s %s", b.Namespace, b.Name, id, jsonOf(b.Rules)))
	}
	switch r.Confinement.Kind {
	case "cluster-admin":
		f.Granted = []string{"*"}
	case "namespaces":
		f.Granted = slices.Clone(r.Confinement.Namespaces)
	}
	for _, s := range []*[]string{&f.Objects, &f.Granted, &f.Bindings, &f.Mounts, &f.Sidecars, &f.Init, &f.KnownHosts} {
		slices.Sort(*s)
	}
	return f, r
}

// compare holds Decode against what a chart rendered.
func compare(version string, in releaseCase, want facts) error {
	got, r := decoded(version, in)
	if r.Unknown["confinement"] != "" {
		// Rights of a role that is not the release's are not summed up, nor are those
		// that others gave.
		want.Granted, got.Granted, want.Bindings, got.Bindings = nil, nil, nil, nil
	}
	if want.Renders && got.Renders {
		config, settings, _ := flux1.ParseArgs(want.Args)
		if want.Replicas != got.Replicas && r.Unknown["replicas"] != "" {
			got.Replicas = want.Replicas // no whole number, which is said
		}
		if r.Unknown["fallbackNamespace"] != "" && (want.Namespace == "" || want.Namespace == "unreadable") {
			want.Namespace, got.Namespace = "", ""
		}
		known := r.Config
		if len(known.Unknown) == 0 {
			if diff := cmp.Diff(config, known); diff != "" {
				return fmt.Errorf("configuration (-chart +decoded):\n%s", diff)
			}
		} else if diff := cmp.Diff(config.Unknown, known.Unknown); diff != "" {
			return fmt.Errorf("unknown (-chart +decoded):\n%s", diff)
		}
		for _, s := range settings {
			if !slices.ContainsFunc(r.Settings, func(o migrate.Setting) bool {
				return o.Name == s.Name && (o.Value == flux1.DisplayURL(s.Value) || o.Value == hiddenText && flux1.FlagNamed(strings.TrimPrefix(s.Name, "--")) == nil) && o.Fate == s.Fate && o.To == s.To && o.Why == s.Why
			}) {
				return fmt.Errorf("setting %s=%q (%s) of the chart's arguments is not among the decoded", s.Name, s.Value, s.Fate)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		why := ""
		if !got.Renders {
			why = fmt.Sprintf("\nfindings: %v", r.Findings)
		}
		return fmt.Errorf("(-chart +decoded):\n%s%s", diff, why)
	}
	return nil
}

// golden is what a public chart gave, recorded.
type golden struct {
	Origin struct {
		Repository, Tag, RenderedWith string
	} `json:"origin"`
	Cases []struct {
		releaseCase
		Facts facts `json:"facts"`
	} `json:"cases"`
}

// goldenVersions are those whose results are kept.
var goldenVersions = []string{"0.5.0", "0.16.0", "1.0.0", "1.1.0", "1.11.0", "1.13.3"}

func TestDecodedReleasesEqualTheRecordedOnesOfThePublicCharts(t *testing.T) {
	for _, version := range goldenVersions {
		data, err := os.ReadFile(filepath.Join("testdata", "charts", version+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var g golden
		if err := json.Unmarshal(data, &g); err != nil {
			t.Fatal(err)
		}
		if len(g.Cases) < 20 || g.Origin.Tag != "chart-"+version {
			t.Fatalf("%s: %d cases of %q", version, len(g.Cases), g.Origin.Tag)
		}
		for i, c := range g.Cases {
			if err := compare(version, c.releaseCase, c.Facts); err != nil {
				t.Errorf("chart %s, case %d, values %s: %v", version, i, jsonOf(c.Values), err)
			}
		}
	}
}

// publicCharts is the folder of the published charts, which are no part of this
// repository: what they gave when they were looked at last is kept as goldens.
func publicCharts(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("FLUX_CHARTS")
	if dir == "" {
		t.Skip("FLUX_CHARTS names no folder of public flux charts")
	}
	return dir
}

// TestDecodedReleasesEqualThePublicCharts compares with the charts in the
// folder FLUX_CHARTS, which holds one folder for each version, named after it.
// With -update it also records the goldens.
func TestDecodedReleasesEqualThePublicCharts(t *testing.T) {
	dir := publicCharts(t)
	log.SetOutput(io.Discard) // Helm warns of values of the wrong shape
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, e := range entries {
		at, err := parseVersion(e.Name())
		if err != nil || !at.known() {
			t.Logf("%s is no version to compare", e.Name())
			continue
		}
		c, err := loader.Load(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		compared++
		t.Run(e.Name(), func(t *testing.T) {
			if c.Metadata.Version != at.String() {
				t.Fatalf("the folder holds chart %s", c.Metadata.Version)
			}
			g := generator{rand.New(rand.NewPCG(uint64(at[0]*10000+at[1]*100+at[2]), 7))}
			var record golden
			record.Origin.Repository, record.Origin.Tag = "https://github.com/fluxcd/flux", "chart-"+at.String()
			record.Origin.RenderedWith = "helm.sh/helm/v3/pkg/engine v3.21.4"
			rendered, failed := 0, 0
			sets := 400
			if testing.Short() {
				sets = 60
			}
			for i := range sets {
				in := g.releaseCase(at)
				if i == 0 {
					in.Values = map[string]any{}
				}
				want, _ := render(c, in)
				if want.Renders {
					rendered++
				}
				if err := compare(at.String(), in, want); err != nil {
					if failed++; failed <= 3 {
						t.Errorf("set %d: release %s/%s, values %s: %v", i, in.Namespace, in.Release, jsonOf(in.Values), err)
					}
				}
				if i < 40 {
					record.Cases = append(record.Cases, struct {
						releaseCase
						Facts facts `json:"facts"`
					}{in, want})
				}
			}
			t.Logf("chart %s: %d value sets, of which %d render, %d differ", at, sets, rendered, failed)
			if rendered < sets/3 || rendered == sets {
				t.Errorf("%d of %d sets render: the sets prove little", rendered, sets)
			}
			if *update && slices.Contains(goldenVersions, at.String()) {
				var out bytes.Buffer
				enc := json.NewEncoder(&out)
				enc.SetEscapeHTML(false)
				enc.SetIndent("", " ")
				if err := enc.Encode(record); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join("testdata", "charts", at.String()+".json"), out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if compared == 0 {
		t.Fatalf("FLUX_CHARTS=%s holds no folder of a known version", dir)
	}
}
