package chart

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// releaseCase is one release: what the chart is given.
type releaseCase struct {
	Release   string         `json:"release"`
	Namespace string         `json:"namespace"`
	Values    map[string]any `json:"values"`
}

// last is the newest version.
var last = v(released[len(released)-1])

// texts are what people write, and what YAML takes for something else.
var texts = []string{
	"", "a", "plain text", "main", "flux-system", "deploy/key.pem", "a,b", "a, b", "x*", "1.10", "5m", "90s", "true", "null",
	"git@example.org:team/app", "ssh://git@example.org:2222/team/app.git", "https://$(GIT_USER):$(GIT_TOKEN)@example.org/team/app",
	"with # a comment", "#leading", "key: value", "ends:", " blanks ", "'quoted'", `"quoted`, "{brace}", "[list]", "- dash", "*star", "%percent",
	"two\nlines", "last line\n", "tab\tinside", "é", "@at", "`tick`", `back\slash`, "<no value>", "a: b: c", "| pipe", "> fold", "!tag", "? what",
}

// plainTexts render as they are.
var plainTexts = []string{"a", "main", "plain text", "a,b", "team/app", "90s", "1h", "git@example.org:team/app", "x", "flux-system"}

type generator struct{ *rand.Rand }

func (g generator) one(of []string) string { return of[g.IntN(len(of))] }

// value gives a value for a key: well formed, or, with odd set, perhaps not.
func (g generator) value(k *chartKey, odd bool) any {
	if odd && g.IntN(3) == 0 {
		return g.odd(k)
	}
	switch k.kind {
	case boolean:
		return g.IntN(2) == 0
	case number:
		return float64(g.IntN(5) * g.IntN(60))
	case list:
		var out []any
		if k.path == "additionalArgs" {
			for range g.IntN(3) {
				out = append(out, g.one([]string{"--git-path=extra", "--git-branch=other", "--connect=ws://fluxcloud", "--unheard-of=1",
					"--k8s-allow-namespace=more", "--git-poll-interval", "7m", "--sync-garbage-collection=false", "stray", "--git-ci-skip-message=a: b # c", "--registry-rps=3"}))
			}
		} else {
			for range g.IntN(3) {
				out = append(out, g.one([]string{"team-a", "team-b", "default"}))
			}
		}
		if out == nil {
			return []any{}
		}
		return out
	case free:
		return g.free(k)
	}
	switch {
	case strings.HasSuffix(k.path, "nterval") || strings.HasSuffix(k.path, "imeout") || strings.HasSuffix(k.path, "Expiry"):
		return g.one([]string{"5m", "90s", "1h30m", "20s", "1s"})
	case k.path == "kube.config":
		return g.one([]string{"", "apiVersion: v1", "current-context: b\ncontexts:\n- name: a\n  context: {namespace: wrong}\n- name: b\n  context:\n    namespace: right\n"})
	case k.path == "service.type":
		return g.one([]string{"ClusterIP", "NodePort"})
	case k.path == "ssh.known_hosts" || k.path == "ssh.config":
		return g.one([]string{"", "example.org ssh-ed25519 AAAA", "one\ntwo\n"})
	case odd && strings.HasSuffix(k.path, "Override"):
		return g.one([]string{"", "1.10", "true", "null", "a: b", "ends:", "[list]", "@at", "*star", "two\nlines", " blanks ", "-dash", "é"})
	case odd:
		x := g.one(texts)
		if k.flag == "" && (x == "!tag" || x == "<no value>") {
			return "a" // an empty name, which Helm takes and Kubernetes does not
		}
		return x
	case strings.HasSuffix(k.path, "Override"), strings.HasSuffix(k.path, "ame"), strings.HasSuffix(k.path, "amespace"), strings.HasSuffix(k.path, "nameprefix"):
		return g.one([]string{"", "alpha", "beta-flux", strings.Repeat("long-", 14) + "name"})
	}
	return g.one(plainTexts)
}

// odd gives a value of a type that the chart does not expect.
func (g generator) odd(k *chartKey) any {
	switch g.IntN(8) {
	case 0:
		return nil
	case 1:
		return g.one([]string{"true", "false", "", "0"})
	case 2:
		return float64(g.IntN(3))
	case 3:
		return 1.5
	case 4:
		return g.IntN(2) == 0
	case 5:
		if k.kind == free {
			return nil
		}
		return []any{"a", "b"}
	case 6:
		if k.kind == free {
			return nil
		}
		return map[string]any{"x": "y"}
	}
	return float64(123456789)
}

// free gives what is copied into a manifest, well formed.
func (g generator) free(k *chartKey) any {
	last := k.path[strings.LastIndex(k.path, ".")+1:]
	switch last {
	case "extraEnvs":
		return []any{map[string]any{"name": "GIT_USER", "value": g.one(plainTexts)},
			map[string]any{"name": "GIT_TOKEN", "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": "token", "key": "t"}}},
			map[string]any{"name": "REGION", "valueFrom": map[string]any{"configMapKeyRef": map[string]any{"name": "cm", "key": "r"}}}}
	case "extraEnvsFrom":
		return []any{map[string]any{"configMapRef": map[string]any{"name": "special"}}, map[string]any{"prefix": "P_", "secretRef": map[string]any{"name": "more"}}}
	case "extraVolumes":
		return []any{map[string]any{"name": "ca", "configMap": map[string]any{"name": "authorities"}}}
	case "extraVolumeMounts":
		return []any{map[string]any{"name": "ca", "mountPath": "/etc/ssl/own"}}
	case "extraContainers":
		return []any{map[string]any{"name": "recv", "image": "docker.io/fluxcd/flux-recv:0.4.0"}}
	case "initContainers":
		return map[string]any{"prepare": map[string]any{"image": "busybox:1", "args": []any{"true"}}}
	case "tolerations", "hostAliases":
		return []any{}
	case "resources":
		return map[string]any{"requests": map[string]any{"cpu": g.one([]string{"100m", "1", "2"})}, "limits": map[string]any{"memory": "1Gi"}}
	case "repositories":
		return []any{map[string]any{"name": "r", "url": "https://charts.example.org", "password": "p"}}
	case "securityContext":
		return map[string]any{"runAsUser": float64(1)}
	case "affinity", "dnsConfig":
		return map[string]any{}
	}
	return map[string]any{"example.org/x": g.one([]string{"a", "b"})}
}

// releaseCase gives a release of a version; every third one is odd.
func (g generator) releaseCase(at version) releaseCase {
	c := releaseCase{Release: g.one([]string{"flux", "team-a", "my-flux", "x", strings.Repeat("r", 53)}), Namespace: g.one([]string{"flux", "team-a", "ns"}), Values: map[string]any{}}
	odd := g.IntN(3) == 0
	chance := 2 + g.IntN(12)
	for i := range keys {
		k := &keys[i]
		if g.IntN(chance) != 0 || !k.readBy(at) && g.IntN(6) != 0 {
			continue
		}
		put(c.Values, k.path, g.value(k, odd && judged(k)))
	}
	if odd && g.IntN(12) == 0 {
		path := g.one([]string{"git", "registry.ecr", "memcached", "sync", "gpgKeys", "clusterRole", "kube", "rbac", "ssh", "image", "helmOperator"})
		put(c.Values, path, []any{nil, "text", float64(1), []any{"x"}}[g.IntN(4)])
	}
	if g.IntN(4) == 0 {
		put(c.Values, fmt.Sprintf("git.pol%dInterval", g.IntN(9)), "1m")
	}
	return c
}

// judged reports whether a value's form decides what Decode says. Others only
// end up in manifests that are not the agent's, or in parts of its pod that
// are not read.
func judged(k *chartKey) bool {
	switch k.role {
	case pod, cache, metrics, operator, registries, resolving, identity, keySecret, sidecars, prepares, volumes:
		return false
	}
	return k.flag != "" || k.kind != free
}

func jsonOf(x any) string {
	b, err := json.Marshal(x)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
