package discover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// manifestOf is a Deployment as a kubernetes_manifest with var.x, which has no value.
func manifestOf(name, spec string) string {
	return "variable \"x\" {}\nresource \"kubernetes_manifest\" \"" + name + "\" {\n manifest = { apiVersion = \"apps/v1\", kind = \"Deployment\", metadata = { name = \"" + name + "\", namespace = \"flux\" },\n spec = " + spec + " }\n}\n"
}

func podWith(containers, more string) string {
	return "{ template = { spec = { containers = " + containers + more + " } } }"
}

// What may be fluxd is never passed over: one by one where the name speaks of
// Flux, else all together.
func TestAWorkloadThatMayRunFluxdIsSaid(t *testing.T) {
	const fluxd = `{ name = "flux", image = "fluxcd/flux:1.25.4", args = ["--git-url=git@h:a"] }`
	blocks := func(name, container string) string {
		return "variable \"x\" {}\nresource \"kubernetes_deployment\" \"" + name + "\" {\n metadata {\n name = \"" + name + "\"\n namespace = \"flux\"\n }\n spec {\n template {\n spec {\n" + container + "\n}\n}\n}\n}\n"
	}
	dynamic := func(image string) string {
		return "dynamic \"container\" {\n for_each = var.x\n content {\n name = container.key\n image = " + image + "\n args = container.value.args\n }\n}"
	}
	for what, config := range map[string]func(name string) string{
		"containers beside it": func(n string) string { return manifestOf(n, podWith("concat(["+fluxd+"], var.x)", "")) },
		"all containers":       func(n string) string { return manifestOf(n, podWith("var.x", "")) },
		"the spec":             func(n string) string { return manifestOf(n, "var.x") },
		"the template":         func(n string) string { return manifestOf(n, "{ template = var.x }") },
		"which containers": func(n string) string {
			return manifestOf(n, podWith("var.x ? ["+fluxd+", "+fluxd+"] : ["+fluxd+"]", ""))
		},
		"one container": func(n string) string { return manifestOf(n, podWith("[var.x]", "")) },
		"an image": func(n string) string {
			return manifestOf(n, podWith("[{ name = \"app\", image = var.x, args = [var.x] }]", ""))
		},
		"blocks": func(n string) string { return blocks(n, dynamic("container.value.image")) },
		"a document": func(n string) string {
			return "variable \"x\" {}\nresource \"kubectl_manifest\" \"" + n + "\" {\n yaml_body = var.x\n}\n"
		},
		"a line of a document": func(n string) string {
			return "variable \"x\" {}\nresource \"kubectl_manifest\" \"" + n + "\" {\n yaml_body = \"apiVersion: apps/v1\\nkind: Deployment\\nmetadata: {name: " + n + "}\\nspec: {template: {spec: {containers: ${var.x}}}}\\n\"\n}\n"
		},
	} {
		t.Run(what, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": config("flux")})
			equal(t, "agents", len(inv.Agents), 0)
			said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", ".flux", `variable "var.x"`)
			noFinding(t, inv, TerraformObjectsUnknown)

			inv = declaredBy(t, map[string]string{"main.tf": config("web")})
			equal(t, "agents", len(inv.Agents), 0)
			said(t, inv, "TERRAFORM_OBJECTS_UNKNOWN", ".web", `variable "var.x"`)
			noFinding(t, inv, TerraformUncertain)
		})
	}
	// What is known of it may tell.
	for what, config := range map[string]string{
		"arguments of an image that is named otherwise": manifestOf("agent", podWith(`[{ name = "flux", image = "example/mirror:1", args = var.x }]`, "")),
		"a container that may not be":                   blocks("agent", dynamic(`"fluxcd/flux:1.25.4"`)),
		"a Deployment of fluxd that may not be":         blocks("agent", "dynamic \"container\" {\n for_each = var.x\n content {\n name = \"flux\"\n image = \"fluxcd/flux:1.25.4\"\n args = [\"--git-url=git@h:a\"]\n }\n}"),
	} {
		inv := declaredBy(t, map[string]string{"main.tf": config})
		equal(t, what+": agents", len(inv.Agents), 0)
		said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", ".agent", `variable "var.x"`)
	}
	for what, config := range map[string]string{
		"another image's tag": manifestOf("web", podWith(`[{ name = "web", image = "nginx:${var.x}" }]`, "")),
		"another's arguments": manifestOf("web", podWith(`[{ name = "web", image = "nginx:1", args = var.x }]`, "")),
		"memcached":           manifestOf("flux-memcached", podWith(`[{ name = "memcached", image = "memcached:1", args = var.x }]`, "")),
		"a Service":           "variable \"x\" {}\nresource \"kubernetes_manifest\" \"flux\" {\n manifest = { apiVersion = \"v1\", kind = \"Service\", metadata = { name = \"flux\" }, spec = var.x }\n}\n",
	} {
		inv := declaredBy(t, map[string]string{"main.tf": config})
		if c := what + ": "; len(inv.Agents) > 0 {
			t.Errorf("%sit is taken for an agent", c)
		}
		noFinding(t, inv, TerraformUncertain)
		noFinding(t, inv, TerraformObjectsUnknown)
	}
	// So may what is known beside an image that is not.
	labelled := func(labels, container string) string {
		return manifestOf("web", "{ template = { metadata = { labels = "+labels+" }, spec = { containers = [{ "+container+", image = \"${var.x}:1\" }] } } }")
	}
	for what, c := range map[string]struct {
		config string
		said   bool
	}{
		"a name":                     {labelled(`{ app = "web" }`, `name = "web"`), false},
		"arguments":                  {labelled(`{ app = "web" }`, `name = "web", command = ["/web"], args = ["--port=80"]`), false},
		"a shell":                    {labelled(`{ app = "web" }`, `name = "web", command = ["sh", "-c", "npm start"]`), false},
		"a script":                   {labelled(`{ app = "web" }`, `name = "web", command = ["sh", "/entry.sh"]`), true},
		"a port":                     {labelled(`{ app = "web" }`, `name = "web", ports = [{ containerPort = 3030 }]`), true},
		"a port that is unknown":     {labelled(`{ app = "web" }`, `name = "web", ports = [{ containerPort = var.x }]`), true},
		"another port":               {labelled(`{ app = "web" }`, `name = "web", ports = [{ containerPort = 80 }]`), false},
		"blocks":                     {blocks("web", "container {\n name = \"web\"\n image = var.x\n args = [\"--port=80\"]\n}"), false},
		"arguments that are unknown": {labelled(`{ app = "web" }`, `name = "web", args = ["--port=${var.x}"]`), true},
		"a name that is unknown":     {labelled(`{ app = "web" }`, `name = var.x`), true},
		"labels that are unknown":    {labelled(`merge({ a = "web" }, var.x)`, `name = "web"`), true},
		"other labels than that":     {labelled(`merge({ app = "web", name = "web" }, { of = var.x })`, `name = "web"`), false},
		"a probe that is unknown":    {labelled(`{ app = "web" }`, `name = "web", livenessProbe = { httpGet = { path = var.x } }`), true},
		"the name of fluxd":          {labelled(`{ app = "web" }`, `name = "flux"`), true},
		"its label":                  {labelled(`{ app = "flux" }`, `name = "web"`), true},
		"a flag of its":              {labelled(`{ app = "web" }`, `name = "web", args = ["--git-branch=main"]`), true},
		"its probe":                  {labelled(`{ app = "web" }`, `name = "web", livenessProbe = { httpGet = { path = "/api/flux/v6/identity.pub" } }`), true},
		"an operator":                {strings.ReplaceAll(labelled(`{ app = "web" }`, `name = var.x`), `"web"`, `"flux-helm-operator"`), true},
	} {
		inv := declaredBy(t, map[string]string{"main.tf": c.config})
		equal(t, what+": agents", len(inv.Agents), 0)
		told := slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool {
			return (f.Code == TerraformObjectsUnknown.Name || f.Code == TerraformUncertain.Name) && strings.Contains(f.Message, `"var.x"`)
		})
		equal(t, what+": said", told, c.said)
		if strings.Contains(asJSON(inv), "none is named for Flux") {
			t.Errorf("%s: it is said that none is named for Flux", what)
		}
	}
	// An image is told by how it ends, too.
	inv := declaredBy(t, map[string]string{"main.tf": manifestOf("agent", podWith(`[{ name = "flux", image = "${var.x}/fluxcd/flux:1.25.4", args = ["--sync-interval=1m"] }]`, ""))})
	equal(t, "agents", agentIDs(inv), []string{"flux/agent"})
	if a := inv.Agents[0]; a.Image != "" || !slices.Contains(a.Unknown, "image") || strings.Contains(asJSON(inv), "IT_IS_NOT_TOLD") {
		t.Errorf("image %q, unknown %v", a.Image, a.Unknown)
	}
}

// fluxdPod is a Deployment of fluxd, in either form, with these parts of its pod;
// of blocks, more stands in the container and volumes in the pod.
func fluxdPod(url, lists, volumes string) string {
	return manifestOf("flux", podWith(`[{ name = "flux", image = "fluxcd/flux:1.25.4", args = ["--git-url=`+url+`"], `+lists+` }]`, volumes))
}

func fluxdBlocks(url, more, volumes string) string {
	return "variable \"x\" {}\nresource \"kubernetes_deployment\" \"flux\" {\n metadata {\n name = \"flux\"\n namespace = \"flux\"\n }\n spec {\n template {\n spec {\n" + volumes +
		"\n container {\n name = \"flux\"\n image = \"fluxcd/flux:1.25.4\"\n args = [\"--git-url=" + url + "\"]\n" + more + "\n }\n }\n }\n }\n}\n"
}

// What of fluxd's container is not known is said, in the ledger and by findings,
// and what hangs on it is not known either.
func TestUnknownListsOfFluxdAreUnknown(t *testing.T) {
	const https, ssh, cause = "https://git.example.com/a", "git@git.example.com:a", `variable "var.x"`
	const in = "spec.template.spec."
	block := func(name, content string) string {
		return "dynamic \"" + name + "\" {\n for_each = var.x\n content {\n" + content + "\n }\n}\n"
	}
	for name, c := range map[string]struct {
		config  string
		setting string
		code    string // with the cause
		unknown string
	}{
		"env":                      {fluxdPod(https, "env = [for k, v in var.x : { name = k, value = v }]", ""), "containers[0].env", "PROXY_UNKNOWN", "defaultNamespace"},
		"more of env":              {fluxdPod(https, "env = concat([{ name = \"A\", value = \"b\" }], var.x)", ""), "containers[0].env", "PROXY_UNKNOWN", "defaultNamespace"},
		"one of env":               {fluxdPod(https, "env = [var.x]", ""), "containers[0].env[0]", "PROXY_UNKNOWN", "defaultNamespace"},
		"a name in env":            {fluxdPod(https, "env = [{ name = var.x, value = \"b\" }]", ""), "containers[0].env[0].name", "PROXY_UNKNOWN", "defaultNamespace"},
		"envFrom":                  {fluxdPod(https, "envFrom = var.x", ""), "containers[0].envFrom", "", "defaultNamespace"},
		"a Secret of envFrom":      {fluxdPod(https, "envFrom = [{ secretRef = { name = var.x } }]", ""), "containers[0].envFrom[0].secretRef.name", "", "defaultNamespace"},
		"volumeMounts":             {fluxdPod(https, "volumeMounts = var.x", ""), "containers[0].volumeMounts", "CUSTOM_CA", "defaultNamespace"},
		"a place of a mount":       {fluxdPod(https, "volumeMounts = [{ name = \"a\", mountPath = var.x }]", ""), "containers[0].volumeMounts[0].mountPath", "CUSTOM_CA", "defaultNamespace"},
		"mounts beside the key":    {fluxdPod(ssh, "volumeMounts = var.x", ""), "containers[0].volumeMounts", "CREDENTIAL_IN_CLUSTER", "defaultNamespace"},
		"the rest of it":           {fluxdPod(https, "env = []", ", volumes = var.x"), "volumes", "", ""},
		"the volume of the key":    {fluxdPod(ssh, "volumeMounts = [{ name = \"k\", mountPath = \"/etc/fluxd/ssh\" }]", ", volumes = var.x"), "volumes", "CREDENTIAL_IN_CLUSTER", ""},
		"more volumes":             {fluxdPod(ssh, "volumeMounts = [{ name = \"k\", mountPath = \"/etc/fluxd/ssh\" }]", ", volumes = concat([], var.x)"), "volumes", "CREDENTIAL_IN_CLUSTER", ""},
		"one volume":               {fluxdPod(ssh, "volumeMounts = [{ name = \"k\", mountPath = \"/etc/fluxd/ssh\" }]", ", volumes = [var.x]"), "volumes[0]", "CREDENTIAL_IN_CLUSTER", ""},
		"the account":              {fluxdPod(https, "env = []", ", serviceAccountName = var.x"), "serviceAccountName", "", "serviceAccount"},
		"a block env":              {fluxdBlocks(https, block("env", "name = env.key\nvalue = env.value"), ""), "containers[0].env[0]", "PROXY_UNKNOWN", "defaultNamespace"},
		"a block env with a name":  {fluxdBlocks(https, block("env", "name = \"HTTPS_PROXY\"\nvalue = \"p\""), ""), "containers[0].env[0]", "PROXY_UNKNOWN", ""},
		"a block env of a proxy":   {fluxdBlocks(https, block("env", "name = \"https_proxy\"\nvalue = \"http://p\""), ""), "containers[0].env[0]", "PROXY_UNKNOWN", ""},
		"a block of a kubeconfig":  {fluxdBlocks(https, block("env", "name = \"KUBECONFIG\"\nvalue = \"/x\""), ""), "containers[0].env[0]", "", "defaultNamespace"},
		"a block of certificates":  {fluxdBlocks(https, block("volume_mount", "name = \"k\"\nmount_path = \"/etc/ssl/certs/own.pem\""), ""), "containers[0].volumeMounts[0]", "CUSTOM_CA", ""},
		"a volume of certificates": {fluxdPod(https, "volumeMounts = [{ name = var.x, mountPath = \"/etc/ssl/certs\" }]", ""), "containers[0].volumeMounts[0].name", "CUSTOM_CA", ""},
		"a block at /root/.kube":   {fluxdBlocks(https, block("volume_mount", "name = \"k\"\nmount_path = \"/root/.kube\""), ""), "containers[0].volumeMounts[0]", "", "defaultNamespace"},
		"a block env_from":         {fluxdBlocks(https, block("env_from", "secret_ref {\n name = \"s\"\n}"), ""), "containers[0].envFrom[0]", "", "defaultNamespace"},
		"a block volume_mount":     {fluxdBlocks(ssh, block("volume_mount", "name = \"k\"\nmount_path = \"/etc/fluxd/ssh\""), ""), "containers[0].volumeMounts[0]", "CREDENTIAL_IN_CLUSTER", ""},
		"a block volume": {fluxdBlocks(ssh, "volume_mount {\n name = \"k\"\n mount_path = \"/etc/fluxd/ssh\"\n}", block("volume", "name = \"k\"\nsecret {\n secret_name = \"s\"\n}")),
			"volumes[0]", "CREDENTIAL_IN_CLUSTER", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": c.config})
			equal(t, "agents", agentIDs(inv), []string{"flux/flux"})
			a := inv.Agents[0]
			i := slices.IndexFunc(a.Settings, func(s migrate.Setting) bool { return s.Name == in+c.setting })
			if i < 0 || a.Settings[i].Fate != migrate.Unknown || !strings.Contains(a.Settings[i].Why, cause) {
				t.Errorf("the ledger: %+v", a.Settings)
			}
			if c.code != "" {
				said(t, inv, c.code, "main.tf:", cause)
			}
			if c.unknown != "" && !slices.Contains(a.Unknown, c.unknown) {
				t.Errorf("not known are %v, without %s", a.Unknown, c.unknown)
			}
			if a.Credential.Identity != (migrate.SecretKey{}) && c.code == "CREDENTIAL_IN_CLUSTER" {
				t.Errorf("the deploy key is taken to be %+v", a.Credential.Identity)
			}
			if strings.Contains(asJSON(inv), "IT_IS_NOT_TOLD") {
				t.Error("the placeholder is told")
			}
		})
	}
}

// What is not known of a variable, a mount or a volume of which it is known what it is
// says nothing of a proxy, of certificates, of the deploy key or of a kubeconfig.
func TestWhatIsNotKnownOfAnotherPartOfThePodIsNoDoubt(t *testing.T) {
	const https, ssh, mount = "https://git.example.com/a", "git@git.example.com:a", "volumeMounts = [{ name = \"k\", mountPath = \"/etc/fluxd/ssh\" }]"
	block := func(name, content string) string {
		return "dynamic \"" + name + "\" {\n for_each = var.x ? [1] : []\n content {\n" + content + "\n }\n}\n"
	}
	for name, config := range map[string]string{
		"a block env with a name":      fluxdBlocks(https, block("env", "name = \"DD_AGENT_HOST\"\nvalue = \"h\""), ""),
		"a value in env":               fluxdPod(https, "env = [{ name = \"DD_AGENT_HOST\", value = var.x }]", ""),
		"a volume mounted elsewhere":   fluxdPod(https, "volumeMounts = [{ name = var.x, mountPath = \"/tmp\" }]", ""),
		"a block of one":               fluxdBlocks(https, block("volume_mount", "name = \"k\"\nmount_path = \"/tmp\""), ""),
		"a path in its volume":         fluxdPod(https, "volumeMounts = [{ name = \"k\", mountPath = \"/tmp\", subPath = var.x }]", ""),
		"one beside the key":           fluxdPod(ssh, "volumeMounts = [{ name = \"k\", mountPath = \"/etc/fluxd/ssh\" }, { name = var.x, mountPath = \"/tmp\" }]", `, volumes = [{ name = "k", secret = { secretName = "s" } }]`),
		"a mode of the key's volume":   fluxdPod(ssh, mount, `, volumes = [{ name = "k", secret = { secretName = "s", defaultMode = var.x } }]`),
		"a mode of the key":            fluxdPod(ssh, mount, `, volumes = [{ name = "k", secret = { secretName = "s", items = [{ key = "identity", path = "identity", mode = var.x }] } }]`),
		"a mode of a projected one":    fluxdPod(ssh, mount, `, volumes = [{ name = "k", projected = { defaultMode = var.x, sources = [{ secret = { name = "s", optional = var.x } }] } }]`),
		"a mode of a volume in blocks": fluxdBlocks(ssh, "volume_mount {\n name = \"k\"\n mount_path = \"/etc/fluxd/ssh\"\n}", "volume {\n name = \"k\"\n secret {\n secret_name = \"s\"\n default_mode = var.x\n }\n}"),
	} {
		inv := declaredBy(t, map[string]string{"main.tf": config})
		equal(t, name+": agents", agentIDs(inv), []string{"flux/flux"})
		for _, code := range []flux1.Code{ProxyUnknown, CustomCA, CredentialInCluster} {
			noFinding(t, inv, code)
		}
		a := inv.Agents[0]
		if slices.Contains(a.Unknown, "defaultNamespace") {
			t.Errorf("%s: not known are %v", name, a.Unknown)
		}
		if strings.Contains(config, ssh) && fmt.Sprint(a.Credential.Identity) != "Secret/flux/s key identity" {
			t.Errorf("%s: the deploy key is %v", name, a.Credential.Identity)
		}
	}
}

// A credential of which a name is not known is one that the cluster tells, in the
// inventory and, since that has no name then, in a plan of it.
func TestACredentialOfAnUnknownNameIsNone(t *testing.T) {
	const ssh, https, cause = "git@git.example.com:a", "https://u:$(P)@git.example.com/a", `variable "var.x"`
	const mount = "volumeMounts = [{ name = \"k\", mountPath = \"/etc/fluxd/ssh\" }]"
	entry := func(name, key string) string {
		return "env = [{ name = \"P\", valueFrom = { secretKeyRef = { name = " + name + ", key = " + key + " } } }]"
	}
	blocks := func(name, key string) string {
		return "env {\n name = \"P\"\n value_from {\n secret_key_ref {\n name = " + name + "\n key = " + key + "\n }\n }\n}"
	}
	const keyMount, s, k = "volume_mount {\n name = \"k\"\n mount_path = \"/etc/fluxd/ssh\"\n}", `"s"`, `"k"`
	none := migrate.AgentCredential{Kind: "ssh"}
	basic := migrate.AgentCredential{Kind: "basic", Username: migrate.Value{Literal: "u", PercentEncoded: true}}
	for name, c := range map[string]struct {
		config string
		want   migrate.AgentCredential
	}{
		"the Secret of the key":           {fluxdPod(ssh, mount, `, volumes = [{ name = "k", secret = { secretName = var.x } }]`), none},
		"all of its volume":               {fluxdPod(ssh, mount, `, volumes = [{ name = "k", secret = var.x }]`), none},
		"a part of its name":              {fluxdPod(ssh, mount, `, volumes = [{ name = "k", secret = { secretName = "key-${var.x}" } }]`), none},
		"a file of it":                    {fluxdPod(ssh, mount, `, volumes = [{ name = "k", secret = { secretName = "k", items = [{ key = var.x, path = "identity" }] } }]`), none},
		"a source of a projected volume":  {fluxdPod(ssh, mount, `, volumes = [{ name = "k", projected = { sources = [{ secret = { name = var.x } }] } }]`), none},
		"the Secret of the key in blocks": {fluxdBlocks(ssh, keyMount, "volume {\n name = \"k\"\n secret {\n secret_name = var.x\n }\n}"), none},
		"the Secret of a password":        {fluxdPod(https, entry("var.x", k), ""), basic},
		"a part of the Secret's name":     {fluxdPod(https, entry(`"git-${var.x}"`, k), ""), basic},
		"the key of a password":           {fluxdPod(https, entry(s, "var.x"), ""), basic},
		"all that it is taken from":       {fluxdPod(https, `env = [{ name = "P", valueFrom = var.x }]`, ""), basic},
		"the reference":                   {fluxdPod(https, `env = [{ name = "P", valueFrom = { secretKeyRef = var.x } }]`, ""), basic},
		"the Secret of one in blocks":     {fluxdBlocks(https, blocks("var.x", k), ""), basic},
		"the key of one in blocks":        {fluxdBlocks(https, blocks(s, "var.x"), ""), basic},
		"a chart's Secret": {"variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n" +
			" values = [yamlencode({ git = { url = \"" + ssh + "\", secretName = var.x } })]\n}\n", none},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": c.config})
			equal(t, "agents", agentIDs(inv), []string{"flux/flux"})
			if d := cmp.Diff(c.want, credentialOf(inv.Agents[0].Credential)); d != "" {
				t.Error(d)
			}
			said(t, inv, "CREDENTIAL_IN_CLUSTER", "main.tf:", cause)
			if strings.Contains(asJSON(inv), "IT_IS_NOT_TOLD") {
				t.Error("the placeholder is told")
			}
		})
	}
	// What is known is as it was.
	inv := declaredBy(t, map[string]string{"main.tf": fluxdPod(ssh, mount, `, volumes = [{ name = "k", secret = { secretName = "own" } }, { name = "other", secret = { secretName = var.x } }]`)})
	equal(t, "the deploy key", fmt.Sprint(inv.Agents[0].Credential.Identity), "Secret/flux/own key identity")
	noFinding(t, inv, CredentialInCluster)
}

func TestReplicasThatNothingTellsAreUnknown(t *testing.T) {
	for form, config := range map[string]string{
		"blocks":   strings.Replace(fluxdBlocks("git@h:a", "", ""), " spec {\n template", " spec {\n replicas = var.x\n template", 1),
		"manifest": strings.Replace(fluxdPod("git@h:a", "", ""), "{ template", "{ replicas = var.x, template", 1),
		"release": "variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n" +
			" values = [yamlencode({ git = { url = \"git@h:a\" }, replicaCount = var.x })]\n}\n",
	} {
		inv := declaredBy(t, map[string]string{"main.tf": config})
		equal(t, form+": agents", agentIDs(inv), []string{"flux/flux"})
		a := inv.Agents[0]
		if !slices.Contains(a.Unknown, "replicas") || a.Replicas != 1 {
			t.Errorf("%s: %d replicas, not known are %v", form, a.Replicas, a.Unknown)
		}
		if i := slices.IndexFunc(a.Settings, func(s migrate.Setting) bool {
			return strings.HasPrefix(s.Name[strings.LastIndex(s.Name, ".")+1:], "replica")
		}); i < 0 || a.Settings[i].Fate != migrate.Unknown {
			t.Errorf("%s: the ledger has %+v", form, a.Settings)
		}
	}
}

// serviceAccount is the old name of the field, which Kubernetes still takes.
func TestTheOldNameOfTheAccountCounts(t *testing.T) {
	inv := declaredBy(t, map[string]string{"main.tf": fluxdPod("git@h:a", "", `, serviceAccount = "own"`)})
	equal(t, "agents", agentIDs(inv), []string{"flux/flux"})
	if a := inv.Agents[0]; a.ServiceAccount != "own" {
		t.Errorf("the account is %q", a.ServiceAccount)
	}
	for want, pod := range map[string]corev1.PodSpec{"default": {}, "old": {DeprecatedServiceAccount: "old"}, "new": {DeprecatedServiceAccount: "old", ServiceAccountName: "new"}} {
		if got := accountOf(&pod); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A fluxd in a Pod, a ReplicationController or a Job is no agent that is handed
// over, and it is said.
func TestAFluxdInOtherPodsIsSaid(t *testing.T) {
	pod := func(image string) string {
		return "spec {\n container {\n name = \"flux\"\n image = " + image + "\n args = [\"--git-url=git@h:a\"]\n }\n }\n"
	}
	const known = `"fluxcd/flux:1.25.4"`
	for kind, c := range map[string]struct{ typ, before, after, object string }{
		"Pod":                   {"kubernetes_pod", "", "", "%s"},
		"ReplicationController": {"kubernetes_replication_controller", "spec {\n template {\n", "}\n}\n", "spec = { template = { %s } }"},
		"Job":                   {"kubernetes_job", "spec {\n template {\n", "}\n}\n", "spec = { template = { %s } }"},
		"CronJob":               {"kubernetes_cron_job", "spec {\n job_template {\n spec {\n template {\n", "}\n}\n}\n}\n", "spec = { jobTemplate = { spec = { template = { %s } } } }"},
	} {
		blocks := func(typ, image string) string {
			return "variable \"x\" {}\nresource \"" + typ + "\" \"flux\" {\n metadata {\n name = \"flux\"\n }\n" + c.before + pod(image) + c.after + "}\n"
		}
		manifest := func(containers string) string {
			return "variable \"x\" {}\nresource \"kubernetes_manifest\" \"flux\" {\n manifest = { apiVersion = \"v1\", kind = \"" + kind + "\", metadata = { name = \"flux\" }, " + fmt.Sprintf(c.object, "spec = { containers = "+containers+" }") + " }\n}\n"
		}
		for form, config := range map[string]string{
			c.typ: blocks(c.typ, known), c.typ + "_v1": blocks(c.typ+"_v1", known), "manifest": manifest(`[{ name = "flux", image = ` + known + `, args = ["--git-url=git@h:a"] }]`),
		} {
			inv := declaredBy(t, map[string]string{"main.tf": config})
			equal(t, kind+" as "+form+": agents", len(inv.Agents), 0)
			said(t, inv, "FLUXD_IS_NO_DEPLOYMENT", "declares a fluxd as "+kind, "image fluxcd/flux:1.25.4")
		}
		inv := declaredBy(t, map[string]string{"main.tf": manifest("var.x")})
		said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "whether kubernetes_manifest.flux runs a fluxd is not known", "var.x")
	}
}

// What a manifest is of is known without what it hides. No value that is sensitive is
// told, and what cannot be looked into is said.
func TestManifestsThatAreHiddenOrSensitive(t *testing.T) {
	const fluxd = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec: {template: {spec: {MORE, containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=https://u:" + markedSecret + "@h/a']}]}}}\n"
	kubectl := func(name, body string) string {
		return "resource \"kubectl_manifest\" \"" + name + "\" {\n yaml_body = " + body + "\n}\n"
	}
	manifest := func(name, body string) string {
		return "resource \"kubernetes_manifest\" \"" + name + "\" {\n manifest = " + body + "\n}\n"
	}
	variable := func(value string) string {
		return fmt.Sprintf("variable \"m\" {\n sensitive = true\n default = %q\n}\n", value)
	}
	with := func(more string) string { return strings.Replace(fluxd, "MORE", more, 1) }
	const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: n}\nstringData: {k: " + markedSecret + "}\n"
	const settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s, namespace: n}\ndata: {k: mySecret " + markedSecret + "}\n"
	for name, c := range map[string]struct{ config, agent, code, says string }{
		"a Secret":                        {kubectl("web", strconv.Quote(secret)), "", "", ""},
		"a Secret of that name":           {kubectl("flux", strconv.Quote(secret)), "", "", ""},
		"a Secret as an object":           {manifest("web", `{ apiVersion = "v1", kind = "Secret", metadata = { name = "s" }, stringData = { k = "`+markedSecret+`" } }`), "", "", ""},
		"a Secret that is sensitive":      {variable(secret) + kubectl("web", "var.m"), "", "", ""},
		"a Secret behind another object":  {kubectl("web", strconv.Quote(with("hostname: a")+"---\n"+secret)), "", "TERRAFORM_OBJECTS_UNKNOWN", "kubectl_manifest.web (its value is sensitive and is not kept (main.tf:2)"},
		"what speaks of Secrets":          {kubectl("flux", strconv.Quote(settings)), "", "", ""},
		"what cannot be read":             {kubectl("web", strconv.Quote(secret+" - {")), "", "TERRAFORM_OBJECTS_UNKNOWN", "is sensitive and is not kept (main.tf:2)"},
		"fluxd that pulls by Secrets":     {kubectl("web", strconv.Quote(with("imagePullSecrets: [{name: r}]"))), "flux/flux", "", ""},
		"fluxd and a comment":             {kubectl("web", strconv.Quote("# its Secret\n"+with("hostname: a"))), "flux/flux", "", ""},
		"flux by name, speaks of Secrets": {kubectl("web", strconv.Quote(with("hostname: mySecret"))), "", "TERRAFORM_AGENT_UNCERTAIN", "its value is sensitive and is not kept"},
		"sensitive":                       {variable(with("hostname: a")) + kubectl("web", "var.m"), "", "TERRAFORM_OBJECTS_UNKNOWN", "kubectl_manifest.web (its value is sensitive and is not kept (main.tf:6)"},
		"sensitive, of Flux by its name":  {variable(with("hostname: a")) + kubectl("flux", "var.m"), "", "TERRAFORM_AGENT_UNCERTAIN", "its value is sensitive and is not kept (main.tf:6)"},
		"sensitive and pulls by Secrets":  {variable(with("imagePullSecrets: [{name: r}]")) + kubectl("web", "var.m"), "", "TERRAFORM_OBJECTS_UNKNOWN", "is sensitive"},
		"sensitive, as an object":         {variable(with("hostname: a")) + manifest("web", "yamldecode(var.m)"), "", "TERRAFORM_OBJECTS_UNKNOWN", "kubernetes_manifest.web (its value is sensitive and is not kept"},
		"sensitive and no manifest":       {variable(markedSecret+": {") + kubectl("web", "var.m"), "", "TERRAFORM_OBJECTS_UNKNOWN", "is sensitive"},
		"sensitive in an argument of it":  {variable(markedSecret) + kubectl("web", strconv.Quote(strings.ReplaceAll(with("hostname: a"), markedSecret, "${var.m}"))), "flux/flux", "", ""},
		"sensitive in one of an object":   {variable(markedSecret) + manifest("web", "yamldecode("+strconv.Quote(strings.ReplaceAll(with("hostname: a"), markedSecret, "${var.m}"))+")"), "", "TERRAFORM_OBJECTS_UNKNOWN", "is sensitive"},
		"sensitive in one of a Secret":    {variable(markedSecret) + kubectl("flux", strconv.Quote(strings.ReplaceAll(secret, markedSecret, "${var.m}"))), "", "", ""},
		"sensitive settings of any other": {variable(settings) + kubectl("web", "var.m"), "", "TERRAFORM_OBJECTS_UNKNOWN", "is sensitive"},
	} {
		inv := declaredBy(t, map[string]string{"main.tf": c.config})
		equal(t, name+": agents", strings.Join(agentIDs(inv), " "), c.agent)
		for _, code := range []string{"TERRAFORM_OBJECTS_UNKNOWN", "TERRAFORM_AGENT_UNCERTAIN"} {
			if code == c.code {
				said(t, inv, code, c.says)
			} else if i := slices.IndexFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == code }); i >= 0 {
				t.Errorf("%s: %v", name, inv.Findings[i])
			}
		}
		if strings.Contains(asJSON(inv), markedSecret) {
			t.Errorf("%s: a secret is told", name)
		}
	}
}

// A command that is not known is told as such: no shell is seen that starts fluxd.
func TestACommandOfFluxdThatIsNotKnownIsSaid(t *testing.T) {
	inv := declaredBy(t, map[string]string{"main.tf": manifestOf("agent", podWith(`[{ name = "sync", image = "fluxcd/flux:1.25.4", command = [var.x] }]`, ""))})
	equal(t, "agents", len(inv.Agents), 1)
	said(t, inv, "CHART_VALUE_NOT_KNOWN", "the container's command is unknown, and may give fluxd any flag", `variable "var.x"`)
	noFinding(t, inv, ShellArguments)
	noFinding(t, inv, flux1.NoURL)
}
