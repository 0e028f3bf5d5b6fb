package discover

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// What is unknown for one cause is said together, with all that it concerns, and what is
// dropped anyway does not block.
func TestWhatIsUnknownForOneCauseIsSaidOnce(t *testing.T) {
	const helm = "variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.6.0\"\n values = [VALUES]\n}\n"
	count := func(inv migrate.Inventory, words string) (n int) {
		for _, f := range inv.Findings {
			if f.Code == "CHART_VALUE_NOT_KNOWN" && strings.Contains(f.Message, words) {
				n++
			}
		}
		return n
	}
	inv := declaredBy(t, map[string]string{"main.tf": strings.Replace(helm, "VALUES", "var.x", 1)})
	equal(t, "together", count(inv, " are unknown: "), 1)
	equal(t, "any flag", count(inv, "may set any flag"), 1)
	equal(t, "all", count(inv, ""), 2)
	said(t, inv, "CHART_VALUE_NOT_KNOWN", "--git-branch, --git-label, --git-path", "--sops", `variable "var.x"`)
	said(t, inv, "NOTIFICATIONS_STOP", "whether the agent reports to an upstream service is not known", `variable "var.x"`)

	// Few of them stand for themselves.
	for name, config := range map[string]string{
		"helm":   strings.Replace(helm, "VALUES", `"git: {url: 'git@h:a', branch: '${var.x}', label: '${var.x}'}\ntoken: '${var.x}'"`, 1),
		"blocks": strings.Replace(fluxdBlocks("git@h:a", "", ""), `"--git-url=git@h:a"`, `"--git-url=git@h:a", "--git-branch=${var.x}", "--git-label=${var.x}", "--connect=${var.x}"`, 1),
	} {
		inv = declaredBy(t, map[string]string{"main.tf": config})
		equal(t, name, []int{count(inv, "--git-branch is unknown"), count(inv, "--git-label is unknown"), count(inv, "--connect")}, []int{1, 1, 0})
		f := said(t, inv, "NOTIFICATIONS_STOP", "whether the agent reports to an upstream service is not known")
		equal(t, name+": severity", f.Severity, migrate.Warning)
		equal(t, name+": in the ledger", settingOf(t, inv.Agents[0], "--connect").Fate, migrate.Unknown)
	}
}

// What Terragrunt works out is mended in its own file, where no variable reaches.
func TestTheHintAboutAFileOfTerragruntNamesIt(t *testing.T) {
	inv := declaredBy(t, map[string]string{"main.tf": "variable \"a\" {}\nlocals { b = [1][5] }\noutput \"b\" { value = local.b }\n",
		"terragrunt.hcl": "generate \"p\" {\n path = \"p.tf\"\n if_exists = \"overwrite\"\n contents = dependency.x.outputs.y\n}\n"})
	if f := said(t, inv, "TERRAFORM_NOT_UNDERSTOOD", "generate p", "terragrunt.hcl:1"); !strings.HasPrefix(f.Hint, "mend it in terragrunt.hcl") {
		t.Errorf("hint %q", f.Hint)
	}
	if f := said(t, inv, "TERRAFORM_NOT_UNDERSTOOD", "main.tf"); f.Hint != TerraformProblem.Remedy {
		t.Errorf("of a file of Terraform: %q", f.Hint)
	}
}

// Beside what an agent without Helm is made of, what it uses is named.
func TestWhatAHelmOperatorUsesTooIsNotTheAgentsAlone(t *testing.T) {
	const named = "  metadata {\n    name = \"%s\"\n    namespace = \"flux\"\n  }\n"
	deployment := func(name, image string) string {
		return "resource \"kubernetes_deployment\" \"" + strings.ReplaceAll(name, "-", "_") + "\" {\n" + fmt.Sprintf(named, name) + `  spec {
    template {
      spec {
        service_account_name = "flux"
        volume {
          name = "git-key"
          secret {
            secret_name = kubernetes_secret.deploy.metadata.0.name
          }
        }
        container {
          name  = "main"
          image = "` + image + `"
          args  = ["--git-url=git@github.com:a/b", "--k8s-secret-name=flux-git-deploy"]
          volume_mount {
            name       = "git-key"
            mount_path = "/etc/fluxd/ssh"
          }
        }
      }
    }
  }
}
`
	}
	config := deployment("flux", "docker.io/fluxcd/flux:1.21.0") + "resource \"kubernetes_secret\" \"deploy\" {\n" + fmt.Sprintf(named, "flux-git-deploy") + "}\n" +
		"resource \"kubernetes_service_account\" \"flux\" {\n" + fmt.Sprintf(named, "flux") + "}\n"
	alone := "the agent is made of kubernetes_deployment.flux, kubernetes_secret.deploy, kubernetes_service_account.flux"
	equal(t, "said without a helm-operator", said(t, declaredBy(t, map[string]string{"main.tf": config}), "TERRAFORM_OBJECTS", "flux/flux").Message, alone)
	config += deployment("helm-operator", "docker.io/fluxcd/helm-operator:1.2.0")
	equal(t, "said beside one", said(t, declaredBy(t, map[string]string{"main.tf": config}), "TERRAFORM_OBJECTS", "flux/flux").Message,
		"the agent is made of kubernetes_deployment.flux; it uses kubernetes_secret.deploy, kubernetes_service_account.flux, as others may")
}

func TestWhatAnAgentUsesIsNamedWithWhatItIsMadeOf(t *testing.T) {
	object := func(typ, name string) string {
		return "resource \"" + typ + "\" \"" + strings.ReplaceAll(name, "-", "_") + "\" {\n metadata {\n name = \"" + name + "\"\n namespace = \"flux\"\n }\n}\n"
	}
	config := strings.Replace(fluxdBlocks("git@h:a", `env {
   name = "A"
   value_from {
    secret_key_ref {
     name = "from-key"
     key  = "a"
    }
   }
  }
  env_from {
   config_map_ref {
    name = "from-map"
   }
  }
  volume_mount {
   name       = "key"
   mount_path = "/etc/fluxd/ssh"
  }`, `volume {
   name = "key"
   secret {
    secret_name = "flux-key"
   }
  }
  volume {
   name = "not-mounted"
   secret {
    secret_name = "unused"
   }
  }
  image_pull_secrets {
   name = "registry"
  }`), `"--git-url=git@h:a"`, `"--git-url=git@h:a", "--memcached-hostname=cache.flux"`, 1)
	for _, name := range []string{"flux-key", "from-key", "unused", "registry", "flux-git-deploy"} {
		config += object("kubernetes_secret", name)
	}
	config += object("kubernetes_config_map", "from-map") + object("kubernetes_deployment", "cache") + object("kubernetes_deployment", "memcached")
	f := said(t, declaredBy(t, map[string]string{"main.tf": config}), "TERRAFORM_OBJECTS", "flux/flux")
	equal(t, "said", f.Message, "the agent is made of kubernetes_deployment.flux, kubernetes_secret.flux_git_deploy; it uses kubernetes_config_map.from_map, kubernetes_deployment.cache, kubernetes_secret.flux_key, kubernetes_secret.from_key, kubernetes_secret.registry, as others may")
}

// Objects that manifests make, and those that a release of a chart is given that makes any,
// are the agent's, too.
func TestObjectsOfManifestsAndOfRawChartsAreTheAgents(t *testing.T) {
	manifest := func(kind, name string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: %s, metadata: {name: %s, namespace: flux}}", kind, name)
	}
	config := fluxdBlocks("git@h:a", "", "") +
		"resource \"kubernetes_manifest\" \"account\" {\n manifest = yamldecode(\"" + manifest("ServiceAccount", "flux") + "\")\n}\n" +
		"resource \"kubectl_manifest\" \"key\" {\n yaml_body = \"" + manifest("ConfigMap", "flux-git-deploy") + "\"\n}\n" +
		"resource \"kubectl_manifest\" \"other\" {\n yaml_body = \"" + manifest("ConfigMap", "other") + "\"\n}\n" +
		"resource \"k8s_manifest\" \"account\" {\n content = \"" + manifest("ServiceAccount", "flux") + "\"\n}\n" +
		"resource \"helm_release\" \"raw\" {\n name = \"r\"\n chart = \"itscontained/raw\"\n values = [\"{resources: [" + manifest("Secret", "flux-git-deploy") + "], templates: ['" + manifest("ServiceAccount", "flux") + "']}\"]\n}\n" +
		"resource \"helm_release\" \"raw_other\" {\n name = \"o\"\n chart = \"raw\"\n values = [\"resources: [" + manifest("Secret", "other") + "]\"]\n}\n" +
		"resource \"helm_release\" \"nginx\" {\n name = \"n\"\n chart = \"nginx\"\n values = [\"resources: [" + manifest("Secret", "flux") + "]\"]\n}\n"
	for name, namespace := range map[string]string{"raw_here": "namespace = \"flux\"", "raw_there": "namespace = \"other\"", "raw_default": "", "raw_anywhere": "namespace = var.namespace"} {
		config += "resource \"helm_release\" \"" + name + "\" {\n name = \"" + name + "\"\n chart = \"raw\"\n " + namespace + "\n values = [\"resources: [" + strings.Replace(manifest("Secret", "flux-git-deploy"), ", namespace: flux", "", 1) + "]\"]\n}\n"
	}
	config += "variable \"namespace\" {}\nresource \"helm_release\" \"raw_role\" {\n name = \"role\"\n chart = \"raw\"\n namespace = \"other\"\n values = [\"resources: [" + strings.Replace(manifest("ClusterRole", "flux"), ", namespace: flux", "", 1) + "]\"]\n}\n"
	f := said(t, declaredBy(t, map[string]string{"main.tf": config}), "TERRAFORM_OBJECTS", "flux/flux")
	equal(t, "said", f.Message, "the agent is made of helm_release.raw, helm_release.raw_anywhere, helm_release.raw_here, helm_release.raw_role, k8s_manifest.account, kubectl_manifest.key, kubernetes_deployment.flux, kubernetes_manifest.account")
}

// What else a configuration makes for an agent that is declared without Helm is told apart
// from what others in it use as well.
func TestWhatIsMadeForAnAgentIsToldFromWhatOthersUse(t *testing.T) {
	const meta = "metadata {\n  name = \"%s\"\n  namespace = \"%s\"\n }\n"
	object := func(typ, label, name, namespace, more string) string {
		return "resource \"" + typ + "\" \"" + label + "\" {\n " + fmt.Sprintf(meta, name, namespace) + more + "}\n"
	}
	manifest := func(label, kind, name, namespace, more string) string {
		return "resource \"kubernetes_manifest\" \"" + label + "\" {\n manifest = {\n  apiVersion = \"v1\"\n  kind = \"" + kind + "\"\n  metadata = { name = \"" + name + "\", namespace = \"" + namespace + "\" }\n " + more + "\n }\n}\n"
	}
	subject := func(name string) string {
		return " subject {\n  kind = \"ServiceAccount\"\n  name = \"" + name + "\"\n  namespace = \"flux\"\n }\n"
	}
	role := func(kind, name string) string {
		return " role_ref {\n  api_group = \"rbac.authorization.k8s.io\"\n  kind = \"" + kind + "\"\n  name = \"" + name + "\"\n }\n"
	}
	pod := func(label, namespace, spec string) string {
		return object("kubernetes_deployment", label, label, namespace, " spec {\n template {\n spec {\n"+spec+"\n }\n }\n }\n")
	}
	agent := fluxdBlocks("git@h:a", "", "service_account_name = \"flux\"")
	const key, account = "kubernetes_secret.key", "kubernetes_service_account.flux"
	secret := object("kubernetes_secret", "key", "flux-git-deploy", "flux", "")
	its := agent + secret + object("kubernetes_service_account", "flux", "flux", "flux", "")
	const namespace = "resource \"kubernetes_namespace\" \"flux\" {\n metadata {\n  name = \"flux\"\n }\n}\n"
	made := func(addresses ...string) string {
		return "the agent is made of " + strings.Join(slices.Sorted(slices.Values(append(addresses, "kubernetes_deployment.flux"))), ", ")
	}
	uses := func(addresses ...string) string {
		return "; it uses " + strings.Join(addresses, ", ") + ", as others may"
	}
	open := func(what string) string { return "; whether these do is not known: " + what }
	module := func(source, more string) string {
		return "module \"m\" {\n source = \"" + source + "\"\n " + more + "\n}\n"
	}
	values := func(name, namespace, chart, values string) string {
		return "resource \"helm_release\" \"" + name + "\" {\n name = \"" + name + "\"\n namespace = \"" + namespace + "\"\n chart = \"" + chart + "\"\n values = [\"" + values + "\"]\n}\n"
	}
	for name, c := range map[string]struct{ config, want string }{
		"a Secret as a manifest": {agent + manifest("key", "Secret", "flux-git-deploy", "flux", "stringData = { identity = \""+markedSecret+"\" }"), made("kubernetes_manifest.key")},
		"a Secret as a text": {agent + "resource \"kubectl_manifest\" \"key\" {\n yaml_body = \"{apiVersion: v1, kind: Secret, metadata: {name: flux-git-deploy, namespace: flux}, stringData: {identity: " + markedSecret + "}}\"\n}\n",
			made("kubectl_manifest.key")},
		"a Secret as a text in a namespace that is laid over": {agent + "resource \"kubectl_manifest\" \"key\" {\n override_namespace = \"flux\"\n yaml_body = \"{apiVersion: v1, kind: Secret, metadata: {name: flux-git-deploy}, stringData: {identity: " + markedSecret + "}}\"\n}\n",
			made("kubectl_manifest.key")},
		"a Secret elsewhere": {agent + manifest("key", "Secret", "flux-git-deploy", "other", ""), made()},
		"a Secret whose name is secret": {agent + "variable \"n\" {\n sensitive = true\n default = \"flux-git-deploy\"\n}\n" +
			strings.Replace(manifest("key", "Secret", "N", "flux", ""), `"N"`, "var.n", 1), made()},

		"what an init container mounts": {its + pod("other", "flux", "volume {\n name = \"k\"\n secret {\n secret_name = \"flux-git-deploy\"\n }\n }\n init_container {\n name = \"i\"\n image = \"i\"\n volume_mount {\n name = \"k\"\n mount_path = \"/k\"\n }\n }\n container {\n name = \"c\"\n image = \"i\"\n }"),
			made(account) + uses(key)},
		"what an init container takes a variable from": {its + pod("other", "flux", "init_container {\n name = \"i\"\n image = \"i\"\n env {\n name = \"A\"\n value_from {\n secret_key_ref {\n name = \"flux-git-deploy\"\n key = \"a\"\n }\n }\n }\n }\n container {\n name = \"c\"\n image = \"i\"\n }"),
			made(account) + uses(key)},
		"a pod elsewhere that has one of that name": {its + pod("other", "other", "volume {\n name = \"k\"\n secret {\n secret_name = \"flux-git-deploy\"\n }\n }\n container {\n name = \"c\"\n image = \"i\"\n }"),
			made(key, account)},
		"a chart that is given it":                      {its + values("x", "flux", "nginx", "tls: {existingSecret: flux-git-deploy}"), made(account) + uses(key)},
		"a chart that is set it":                        {its + strings.Replace(values("x", "flux", "nginx", ""), "values = [\"\"]", "set {\n name = \"tls.existingSecret\"\n value = \"flux-git-deploy\"\n }", 1), made(account) + uses(key)},
		"a chart elsewhere":                             {its + values("x", "other", "nginx", "tls: {existingSecret: flux-git-deploy}"), made(key, account)},
		"a chart that is given the account":             {its + values("x", "flux", "nginx", "serviceAccount: {create: false, name: flux}"), made(key) + uses(account)},
		"a chart that is given the account in one word": {its + values("x", "flux", "nginx", "serviceAccountName: flux"), made(key) + uses(account)},
		"a chart named like the account":                {its + values("x", "flux", "nginx", "fullnameOverride: flux"), made(key, account)},
		"a chart that makes a pod": {its + values("x", "flux", "raw", "resources: [{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {serviceAccountName: flux, containers: [{name: c, envFrom: [{secretRef: {name: flux-git-deploy}}]}]}}]"),
			made() + uses(key, account)},
		"a chart that makes a pod of a text": {its + values("x", "flux", "raw", "templates: ['{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {serviceAccountName: flux}}']"),
			made(key) + uses(account)},
		"an account as a manifest that another pod has": {agent + secret + manifest("account", "ServiceAccount", "flux", "flux", "") + pod("other", "flux", "service_account_name = \"flux\"\n container {\n name = \"c\"\n image = \"i\"\n }"),
			made(key) + uses("kubernetes_manifest.account")},

		"a binding elsewhere": {its + object("kubernetes_role_binding", "apps", "agent", "apps", role("Role", "writer")+subject("flux")) +
			object("kubernetes_role", "apps", "writer", "apps", " rule {\n  api_groups = [\"\"]\n  resources = [\"pods\"]\n  verbs = [\"get\"]\n }\n") +
			object("kubernetes_role", "other", "writer", "other", ""),
			made("kubernetes_role.apps", "kubernetes_role_binding.apps", key, account)},
		"a binding of the cluster by another name": {its + "resource \"kubernetes_cluster_role_binding\" \"all\" {\n metadata {\n  name = \"any\"\n }\n" + role("ClusterRole", "cluster-admin") + subject("flux") + "}\n",
			made("kubernetes_cluster_role_binding.all", key, account)},
		"a binding of others, too": {its + object("kubernetes_role_binding", "apps", "agent", "apps", role("Role", "writer")+subject("flux")+subject("other")) + object("kubernetes_role", "apps", "writer", "apps", ""),
			made(key, account) + uses("kubernetes_role.apps", "kubernetes_role_binding.apps")},
		"a role that another binding gives, too": {its + object("kubernetes_role_binding", "apps", "agent", "apps", role("Role", "writer")+subject("flux")) + object("kubernetes_role", "apps", "writer", "apps", "") +
			object("kubernetes_role_binding", "b", "b", "apps", role("Role", "writer")+subject("other")),
			made("kubernetes_role_binding.apps", key, account) + uses("kubernetes_role.apps")},
		"a binding of another": {its + object("kubernetes_role_binding", "apps", "agent", "apps", role("Role", "writer")+subject("other")), made(key, account)},
		"a binding as a manifest": {its + strings.Replace(manifest("b", "RoleBinding", "b", "apps", "roleRef = { kind = \"ClusterRole\", name = \"edit\" }\n subjects = [{ kind = \"ServiceAccount\", name = \"flux\", namespace = \"flux\" }]"), `"v1"`, `"rbac.authorization.k8s.io/v1"`, 1),
			made("kubernetes_manifest.b", key, account)},

		"a namespace":                              {its + namespace, made("kubernetes_namespace.flux", key, account)},
		"a namespace in which another pod runs":    {its + namespace + pod("other", "flux", "container {\n name = \"c\"\n image = \"i\"\n }"), made(key, account) + uses("kubernetes_namespace.flux")},
		"a namespace of a release":                 {its + namespace + values("x", "flux", "nginx", ""), made(key, account) + uses("kubernetes_namespace.flux")},
		"a namespace, and a release elsewhere":     {its + namespace + values("x", "other", "nginx", ""), made("kubernetes_namespace.flux", key, account)},
		"a namespace, and a release it is unknown": {its + namespace + "variable \"ns\" {}\n" + strings.Replace(values("x", "NS", "nginx", ""), `"NS"`, "var.ns", 1), made(key, account) + uses("kubernetes_namespace.flux") + open("helm_release.x (variable \"var.ns\" has no value (main.tf:38))")},
		"a namespace that holds another's Secret":  {its + namespace + object("kubernetes_secret", "other", "other", "flux", ""), made(key, account) + uses("kubernetes_namespace.flux")},
		"a namespace, and an object it is unknown": {its + namespace + "variable \"ns\" {}\n" + strings.Replace(object("kubernetes_secret", "x", "x", "NS", ""), `"NS"`, "var.ns", 1), made(key, account) + uses("kubernetes_namespace.flux") + open("kubernetes_secret.x (variable \"var.ns\" has no value (main.tf:38))")},
		"a namespace, and an object elsewhere":     {its + namespace + "variable \"ns\" {}\n" + strings.Replace(object("kubernetes_secret", "x", "x", "NS", ""), `"NS"`, "\"other-${var.ns}\"", 1), made("kubernetes_namespace.flux", key, account)},
		"a namespace, and any manifest":            {its + namespace + "resource \"kubernetes_manifest\" \"x\" {\n manifest = yamldecode(file(\"missing.yaml\"))\n}\n", made(key, account) + uses("kubernetes_namespace.flux") + open("kubernetes_manifest.x (file \"missing.yaml\" cannot be read (main.tf:39))")},
		"a namespace, and any manifests":           {its + namespace + "data \"kubectl_file_documents\" \"d\" {\n content = file(\"missing.yaml\")\n}\nresource \"kubectl_manifest\" \"x\" {\n for_each = data.kubectl_file_documents.d.manifests\n yaml_body = each.value\n}\n", made(key, account) + uses("kubernetes_namespace.flux") + open("kubectl_manifest.x[*] (file \"missing.yaml\" cannot be read (main.tf:39))")},
		"a namespace of a module":                  {its + namespace + module("example/app/x", "namespace = kubernetes_namespace.flux.metadata[0].name"), made(key, account) + uses("kubernetes_namespace.flux") + open("module.m (the module (source example/app/x) is not in the folder)")},
		"another namespace of a module":            {its + namespace + module("example/app/x", "namespace = \"other\""), made("kubernetes_namespace.flux", key, account)},
		"a name that is that of a module":          {its + namespace + module("example/app/x", "name = \"flux\""), made("kubernetes_namespace.flux", key, account)},
		"a namespace of a module of a cloud":       {its + namespace + module("terraform-aws-modules/iam/aws//modules/irsa", "namespace = \"flux\"\n service_account = \"flux\""), made("kubernetes_namespace.flux", key, account)},
		"an account of a module":                   {its + module("example/app/x", "service_account_name = kubernetes_service_account.flux.metadata[0].name"), made(key) + uses(account) + open("module.m (the module (source example/app/x) is not in the folder)")},
		"another account of a module":              {its + module("example/app/x", "service_account_name = \"other\""), made(key, account)},
		"a namespace with the agent's cache": {its + namespace + object("kubernetes_deployment", "memcached", "memcached", "flux", " spec {\n template {\n spec {\n container {\n name = \"m\"\n image = \"memcached:1\"\n }\n }\n }\n }\n"),
			made("kubernetes_namespace.flux", key, account) + uses("kubernetes_deployment.memcached")},

		"what stands in another cluster": {agent + "provider \"kubernetes\" {\n host = \"https://a\"\n}\nprovider \"kubernetes\" {\n alias = \"b\"\n host = \"https://b\"\n}\n" + strings.Replace(secret, "metadata", "provider = kubernetes.b\n metadata", 1), made()},
		"what names no namespace":        {agent + "resource \"kubernetes_secret\" \"key\" {\n metadata {\n  name = \"flux-git-deploy\"\n }\n}\n", made()},
		"what names one that is unknown": {agent + "variable \"ns\" {}\nresource \"kubernetes_secret\" \"key\" {\n metadata {\n  name = \"flux-git-deploy\"\n  namespace = var.ns\n }\n}\n", made(key)},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": c.config})
			equal(t, "said", said(t, inv, "TERRAFORM_OBJECTS", "flux/flux").Message, c.want)
			if tells(fmt.Sprintf("%+v", inv) + asJSON(inv)) {
				t.Error("a secret is shown")
			}
		})
	}
}
