package discover

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// fluxd writes to the cluster that its kubeconfig names, since 1.18 without being told
// to. An agent of another one than its pods run in is held back; one of which all
// kubeconfigs name no server, as the image's does, or this cluster's own, is not.
func TestAnAgentOfAnotherClusterIsHeldBack(t *testing.T) {
	const objects = `apiVersion: v1
kind: Secret
metadata: {name: edge, namespace: flux}
data: {config: KUBECONFIG_BASE64}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: flux-kube-config, namespace: flux}
data: {config: "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: [{name: default, context: {cluster: '', namespace: default, user: ''}}]\ncurrent-context: default\n"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: flux}
spec:
  selector: {matchLabels: {name: flux}}
  template:
    metadata: {labels: {name: flux}}
    spec:
      volumes:
      - {name: edge, secret: {secretName: edge}}
      - {name: chart, configMap: {name: flux-kube-config}}
      - {name: host, hostPath: {path: /x}}
      containers:
      - name: flux
        image: fluxcd/flux:1.25.4
        args: ["--git-url=https://h/x", "--k8s-default-namespace=a" ARGS]
        env: [ENV]
        volumeMounts: [MOUNTS]
`
	config := func(server string) string {
		return encoded("apiVersion: v1\nkind: Config\nclusters: [{name: e, cluster: {server: '" + server + "'}}]\ncontexts: [{name: c, context: {cluster: e, user: u}}]\ncurrent-context: c\nusers: [{name: u, user: {token: " + markedSecret + "}}]\n")
	}
	const edge, own = "https://edge.example.com:6443", "https://kubernetes.default.svc"
	for name, c := range map[string]struct{ server, args, env, mounts, says, image string }{
		"none":                           {edge, "", "", "", "", ""},
		"a flag":                         {edge, `, "--kube-config=/edge/config"`, "", "{name: edge, mountPath: /edge}", "names API server https://edge.example.com:6443", ""},
		"a flag, this cluster":           {own, `, "--kube-config=/edge/config"`, "", "{name: edge, mountPath: /edge}", "", ""},
		"a flag, nothing there":          {edge, `, "--kube-config=/edge/config"`, "", "", "/edge/config comes from no volume", ""},
		"a flag, another file":           {edge, `, "--kube-config=/edge/other"`, "", "{name: edge, mountPath: /edge}", "/edge/other is not in Secret/flux/edge", ""},
		"a flag, a volume of the host":   {edge, `, "--kube-config=/edge/config"`, "", "{name: host, mountPath: /edge}", "which is neither a ConfigMap nor a Secret", ""},
		"a flag, of what is not known":   {edge, `, "--kube-config=$(IP)/config"`, "{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}", "", "hangs on what is not known", ""},
		"its home":                       {edge, "", "", "{name: edge, mountPath: /root/.kube}", "names API server", ""},
		"its home counts before it":      {edge, "", "{name: KUBECONFIG, value: /root/.kubectl/config}", "{name: edge, mountPath: /root/.kube}, {name: chart, mountPath: /root/.kubectl}", "names API server", ""},
		"a flag of nothing, a variable":  {edge, `, "--kube-config="`, "{name: KUBECONFIG, value: '/root/.kubectl/config:/edge/config'}", "{name: edge, mountPath: /edge}, {name: chart, mountPath: /root/.kubectl}", "names API server", ""},
		"the chart's own":                {edge, "", "{name: KUBECONFIG, value: /root/.kubectl/config}", "{name: chart, mountPath: /root/.kubectl}", "", ""},
		"the flag counts before it":      {edge, `, "--kube-config=/root/.kubectl/config"`, "{name: KUBECONFIG, value: /edge/config}", "{name: edge, mountPath: /edge}, {name: chart, mountPath: /root/.kubectl}", "", ""},
		"no kubeconfig":                  {"'", `, "--kube-config=/edge/config"`, "", "{name: edge, mountPath: /edge}", "cannot be read", ""},
		"the server as it is asked here": {"https://api.example.com/", `, "--kube-config=/edge/config"`, "", "{name: edge, mountPath: /edge}", "", ""},
		"a variable alone is not read":   {edge, "", "{name: KUBECONFIG, value: /edge/config}", "{name: edge, mountPath: /edge}", "", ""},
		"a flag of nothing, its home":    {edge, `, "--kube-config="`, "", "{name: edge, mountPath: /root/.kube}", "names API server", ""},
		"another home":                   {edge, "", "{name: HOME, value: /h}", "{name: edge, mountPath: /h/.kube}", "names API server", ""},
		"another home counts":            {edge, "", "{name: HOME, value: /h}", "{name: edge, mountPath: /root/.kube}", "", ""},
		"a home that is empty":           {edge, "", "{name: HOME}", "{name: edge, mountPath: /root/.kube}", "names API server", ""},
		"a home that is not known":       {edge, "", "{name: HOME, valueFrom: {fieldRef: {fieldPath: status.podIP}}}", "", "which kubeconfig the agent takes its cluster from is not known", ""},
		"what may set it is not there":   {edge, "", "]\n        envFrom: [{secretRef: {name: none}}", "{name: edge, mountPath: /root/.kube}", "names API server", ""},
		"that, and no kubeconfig":        {edge, "", "]\n        envFrom: [{secretRef: {name: none}}", "", "", ""},
		"1.17, a flag":                   {edge, `, "--kube-config=/edge/config"`, "", "{name: edge, mountPath: /edge}", "", "fluxcd/flux:1.17.1"},
		"1.17, its home":                 {edge, "", "", "{name: edge, mountPath: /root/.kube}", "", "docker.io/fluxcd/flux:1.17.1"},
		"1.17, a flag, out of cluster":   {edge, `, "--kube-config=/edge/config", "--k8s-in-cluster=false"`, "", "{name: edge, mountPath: /edge}", "names API server", "fluxcd/flux:1.17.1"},
		"1.17, its home, out of cluster": {edge, `, "--k8s-in-cluster=false"`, "", "{name: edge, mountPath: /root/.kube}", "names API server", "fluxcd/flux:1.17.1"},
		"1.17, a flag of nothing":        {edge, `, "--kube-config=", "--k8s-in-cluster=false"`, "{name: KUBECONFIG, value: /edge/config}", "{name: edge, mountPath: /edge}", "", "fluxcd/flux:1.17.1"},
		"1.18, a flag":                   {edge, `, "--kube-config=/edge/config", "--k8s-in-cluster=true"`, "", "{name: edge, mountPath: /edge}", "names API server", "fluxcd/flux:1.18.0"},
		"an image of one's own":          {edge, `, "--kube-config=/edge/config"`, "", "{name: edge, mountPath: /edge}", "names API server", "registry.example.com/flux:1.3.0"},
		"a server of the pod's own host": {"https://127.0.0.1:6443", `, "--kube-config=/edge/config"`, "", "{name: edge, mountPath: /edge}", "names API server https://127.0.0.1:6443", ""},
		"a server by that host's name":   {"https://localhost:6443", `, "--kube-config=/edge/config"`, "", "{name: edge, mountPath: /edge}", "names API server", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.NewReplacer("KUBECONFIG_BASE64", config(c.server), " ARGS]", c.args+"]", "[ENV]", "["+c.env+"]", "MOUNTS", c.mounts, "fluxcd/flux:1.25.4", cmp.Or(c.image, "fluxcd/flux:1.25.4")).Replace(objects)
			f := open(t, writtenCluster(t, text))
			if f.witness.server = "https://api.example.com"; strings.HasSuffix(c.server, ":6443") && c.server != edge {
				f.witness.server = c.server
			}
			inv, err := f.witness.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tells(asJSON(inv)) {
				t.Error("a secret is told")
			}
			if c.says != "" {
				if found := said(t, inv, OtherCluster.Name, "flux/flux", c.says); found.Severity != migrate.Blocker {
					t.Errorf("severity %s", found.Severity)
				}
			} else if slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == OtherCluster.Name }) {
				t.Errorf("it is held back: %v", inv.Findings)
			}
		})
	}

	// Without a cluster a kubeconfig in a Secret is not known.
	deployment := objects[strings.LastIndex(objects, "---\n")+4:]
	for mounts, held := range map[string]bool{"{name: edge, mountPath: /root/.kube}": true, "{name: chart, mountPath: /root/.kube}": false, "": false} {
		inv := declaredBy(t, asManifest(t, strings.NewReplacer(" ARGS]", "]", "[ENV]", "[]", "MOUNTS", mounts).Replace(deployment)))
		if slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == OtherCluster.Name }) != held {
			t.Errorf("declared with %q: %v", mounts, inv.Findings)
		}
	}
}

// A volume from which the default namespace is read is told to be that, wherever
// KUBECONFIG has it mounted.
func TestTheVolumeOfTheKubeconfigIsNoOpenQuestion(t *testing.T) {
	const objects = `apiVersion: v1
kind: ConfigMap
metadata: {name: flux-kube-config, namespace: flux}
data: {config: "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: [{name: default, context: {cluster: '', namespace: shop, user: ''}}]\ncurrent-context: default\n"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: flux, namespace: flux}
spec:
  selector: {matchLabels: {name: flux}}
  template:
    metadata: {labels: {name: flux}}
    spec:
      volumes: [{name: kubedir, configMap: {name: flux-kube-config}}]
      containers:
      - name: flux
        image: fluxcd/flux:1.25.4
        args: ["--git-url=https://h/x"]
        env: [{name: KUBECONFIG, value: FILE}]
        volumeMounts: [{name: kubedir, mountPath: /etc/fluxd/kube}]
`
	for file, open := range map[string]bool{"/etc/fluxd/kube/config": false, "/elsewhere/config": true} {
		inv := liveIn(t, strings.Replace(objects, "FILE", file, 1))
		a := inv.Agents[0]
		i := slices.IndexFunc(a.Settings, func(s migrate.Setting) bool { return s.Name == "volume.kubedir" })
		if i < 0 || (a.Settings[i].Fate == migrate.Unknown) != open || slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == Undecided.Name }) != open {
			t.Errorf("%s: %+v, %v", file, a.Settings, inv.Findings)
		}
		if !open && a.DefaultNamespace != "shop" {
			t.Errorf("the default namespace is %q", a.DefaultNamespace)
		}
	}
}
