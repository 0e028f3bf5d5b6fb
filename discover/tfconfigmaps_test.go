package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// What a ConfigMap of the same configuration holds is filled into arguments; what a Secret
// does never is.
func TestArgumentsAreFilledInFromConfigMapsThatAreDeclared(t *testing.T) {
	const url = "git@git.example.com:org/shop"
	object := func(typ, namespace, data, more string) string {
		return "resource \"" + typ + "\" \"m\" {\n metadata {\n name = \"m\"\n namespace = \"" + namespace + "\"\n }\n data = " + data + "\n" + more + "}\n"
	}
	taken := func(kind string) string {
		return "env {\n name = \"GIT_URL\"\n value_from {\n " + kind + "_key_ref {\n name = \"m\"\n key = \"url\"\n }\n }\n }\n"
	}
	from := func(kind, prefix string) string {
		return "env_from {\n prefix = \"" + prefix + "\"\n " + kind + "_ref {\n name = \"m\"\n }\n }\n"
	}
	const data = `{ url = "` + url + `" }`
	const manifest = `resource "kubectl_manifest" "m" {
  yaml_body = "{apiVersion: v1, kind: ConfigMap, metadata: {name: m, namespace: flux}, data: {url: '` + url + `'}}"
}
`
	for name, c := range map[string]struct {
		env, more string
		known     bool
	}{
		"of a key":                  {taken("config_map"), object("kubernetes_config_map", "flux", data, ""), true},
		"of version 1":              {taken("config_map"), object("kubernetes_config_map_v1", "flux", data, ""), true},
		"of a manifest":             {taken("config_map"), manifest, true},
		"beside another":            {taken("config_map"), object("kubernetes_config_map", "flux", `{ url = "`+url+`", other = var.x }`, ""), true},
		"as a whole":                {from("config_map", "GIT_"), object("kubernetes_config_map", "flux", strings.Replace(data, "url", "URL", 1), ""), true},
		"before a Secret":           {from("config_map", "GIT_") + from("secret", ""), object("kubernetes_config_map", "flux", strings.Replace(data, "url", "URL", 1), ""), false},
		"before a Secret of others": {from("config_map", "GIT_") + from("secret", "OTHER_"), object("kubernetes_config_map", "flux", strings.Replace(data, "url", "URL", 1), ""), true},
		"before sources unknown":    {from("config_map", "GIT_") + "dynamic \"env_from\" {\n for_each = var.x\n content {}\n }\n", object("kubernetes_config_map", "flux", strings.Replace(data, "url", "URL", 1), ""), false},
		"of an unknown value":       {taken("config_map"), object("kubernetes_config_map", "flux", `{ url = var.x }`, ""), false},
		"of unknown data":           {taken("config_map"), object("kubernetes_config_map", "flux", "var.x", ""), false},
		"without the key":           {taken("config_map"), object("kubernetes_config_map", "flux", "{}", ""), false},
		"of another namespace":      {taken("config_map"), object("kubernetes_config_map", "other", data, ""), false},
		"that may not be made":      {taken("config_map"), object("kubernetes_config_map", "flux", data, " count = var.x\n"), false},
		"that is left alone":        {taken("config_map"), object("kubernetes_config_map", "flux", data, " lifecycle {\n ignore_changes = [data]\n }\n"), false},
		"with keys set elsewhere":   {taken("config_map"), object("kubernetes_config_map", "flux", data, "") + strings.Replace(object("kubernetes_config_map_v1_data", "flux", `{ url = "other" }`, " force = true\n"), `"m" {`, `"n" {`, 1), false},
		"with other keys elsewhere": {taken("config_map"), object("kubernetes_config_map", "flux", data, "") + strings.Replace(object("kubernetes_config_map_v1_data", "flux", `{ other = "other" }`, ""), `"m" {`, `"n" {`, 1), true},
		"with any key elsewhere":    {taken("config_map"), object("kubernetes_config_map", "flux", data, "") + strings.Replace(object("kubernetes_config_map_v1_data", "flux", "var.x", ""), `"m" {`, `"n" {`, 1), false},
		"with keys of another":      {taken("config_map"), object("kubernetes_config_map", "flux", data, "") + strings.Replace(object("kubernetes_config_map_v1_data", "other", `{ url = "other" }`, ""), `"m" {`, `"n" {`, 1), true},
		"with a key of both, alike": {taken("config_map"), object("kubernetes_config_map", "flux", data, "") + strings.Replace(object("kubernetes_config_map_v1_data", "flux", data, ""), `"m" {`, `"n" {`, 1), true},
		"as a whole, with others":   {from("config_map", "GIT_"), object("kubernetes_config_map", "flux", strings.Replace(data, "url", "URL", 1), "") + strings.Replace(object("kubernetes_config_map_v1_data", "flux", `{ OTHER = "other" }`, ""), `"m" {`, `"n" {`, 1), true},
		"that nobody declares":      {taken("config_map"), "", false},
		"of a Secret":               {taken("secret"), object("kubernetes_secret", "flux", strings.Replace(data, "shop", "MARKED", 1), ""), false},
		"of a Secret of that name":  {taken("config_map"), object("kubernetes_secret", "flux", strings.Replace(data, "shop", "MARKED", 1), ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": fluxdBlocks("$(GIT_URL)", c.env, "") + c.more})
			a := inv.Agents[0]
			if strings.Contains(asJSON(inv), "MARKED") {
				t.Error("what a Secret holds is shown")
			}
			equal(t, "unknown", slices.Contains(a.Unknown, "git.url"), !c.known)
			if c.known {
				equal(t, "URL", a.Git.URL, url)
				return
			}
			if f := said(t, inv, "SYMBOLIC_FLAG", "--git-url"); !strings.Contains(f.Hint, "in the cluster") {
				t.Errorf("hint %q", f.Hint)
			}
		})
	}
}

// The variables of a release are filled in as those of a Deployment are.
func TestValuesAreFilledInFromConfigMapsThatAreDeclared(t *testing.T) {
	const url = "git@git.example.com:org/shop"
	const object = "resource \"kubernetes_config_map\" \"m\" {\n metadata {\n name = \"m\"\n namespace = \"flux\"\n }\n data = { url = \"" + url + "\", branch = \"release\" }\n}\nvariable \"x\" {}\n"
	release := func(url, more string) string {
		return "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n chart = \"flux\"\n version = \"1.13.3\"\n values = [yamlencode({ git = { url = \"" + url + "\", branch = \"main\" }, " + more + " })]\n}\n"
	}
	of := func(name, from, key string) string {
		return "{ name = \"" + name + "\", valueFrom = { " + from + "KeyRef = { name = \"m\", key = \"" + key + "\" } } }"
	}
	for name, c := range map[string]struct {
		url, more string
		want      string // empty if it is not known
	}{
		"of a key":             {"$(GIT_URL)", "extraEnvs = [" + of("GIT_URL", "configMap", "url") + "]", url},
		"of a value":           {"$(GIT_URL)", "extraEnvs = [{ name = \"GIT_URL\", value = \"" + url + "\" }]", url},
		"of one of the other":  {"$(GIT_URL)", "extraEnvs = [" + of("A", "configMap", "url") + ", { name = \"GIT_URL\", value = \"$(A)\" }]", url},
		"a part of it":         {"git@git.example.com:org/$(BRANCH)", "extraEnvs = [" + of("BRANCH", "configMap", "branch") + "]", "git@git.example.com:org/release"},
		"the last of a name":   {"$(GIT_URL)", "extraEnvs = [" + of("GIT_URL", "configMap", "url") + ", " + of("GIT_URL", "secret", "url") + "]", ""},
		"of no key":            {"$(GIT_URL)", "extraEnvs = [" + of("GIT_URL", "configMap", "other") + "]", ""},
		"of a Secret":          {"$(GIT_URL)", "extraEnvs = [" + of("GIT_URL", "secret", "url") + "]", ""},
		"beside any variable":  {"$(GIT_URL)", "extraEnvs = [" + of("GIT_URL", "configMap", "url") + ", { name = var.x, value = \"a\" }]", ""},
		"of what is not known": {"$(GIT_URL)", "extraEnvs = [{ name = \"GIT_URL\", value = var.x }]", ""},
		"of variables unknown": {"$(GIT_URL)", "extraEnvs = var.x", ""},
		"of none":              {"$(GIT_URL)", "extraEnvs = []", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": object + release(c.url, c.more)})
			a := inv.Agents[0]
			equal(t, "URL", []any{a.Git.URL, slices.Contains(a.Unknown, "git.url")}, []any{c.want, c.want == ""})
			equal(t, "said", finds(inv, "SYMBOLIC_FLAG"), c.want == "")
		})
	}
	inv := declaredBy(t, map[string]string{"main.tf": object + release(url, "additionalArgs = [\"--git-branch=$(BRANCH)\"], extraEnvs = ["+of("BRANCH", "configMap", "branch")+"]")})
	equal(t, "an argument", inv.Agents[0].Git.Branch, "release")
	inv = declaredBy(t, map[string]string{"main.tf": object + release("https://$(USER):$(KEY)@git.example.com/a", "extraEnvs = [{ name = \"USER\", value = \"me\" }, "+of("KEY", "secret", "key")+"]")})
	// Of several of one name it is not known which the cluster has.
	second := strings.NewReplacer(`"kubernetes_config_map" "m"`, `"kubernetes_config_map" "n"`, "\"release\"", "\"other\"", "variable \"x\" {}\n", "").Replace(object)
	args := "additionalArgs = [\"--git-branch=$(BRANCH)\"], extraEnvs = [" + of("BRANCH", "configMap", "branch") + ", " + of("GIT_URL", "configMap", "url") + "]"
	for _, objects := range []string{object + second, second + object} {
		a := declaredBy(t, map[string]string{"main.tf": objects + release("$(GIT_URL)", args)}).Agents[0]
		equal(t, "of two", []any{a.Git.URL, a.Git.Branch, slices.Contains(a.Unknown, "git.branch")}, []any{url, "", true})
	}
	held := `{"git":{"url":"$(GIT_URL)","branch":"main"},"extraEnvs":[{"name":"GIT_URL","valueFrom":{"configMapKeyRef":{"name":"m","key":"url"}}}]}`
	held = strings.Replace(stateInstance("flux", "flux", ""), `{\"git\":{\"url\":\"git@h:a\"}}`, strings.Trim(asJSON(held), `"`), 1)
	if applied := withStateOf(t, object+release("$(GIT_URL)", "extraEnvs = ["+of("GIT_URL", "configMap", "url")+"]"), stateText(held)); finds(applied, TerraformNotApplied.Name) {
		t.Errorf("what is applied is said not to be: %v", applied.Findings)
	}
	// What is not shown of a variable is not shown of what refers to it.
	hidden := declaredBy(t, map[string]string{"main.tf": object + release(url, "additionalArgs = [\"--git-user=$(WHO)\", \"--git-label=$(WHO)\"], extraEnvs = [{ name = \"WHO\", value = \"marked-4711\" }]")})
	equal(t, "a label of a variable", []any{hidden.Agents[0].Git.SyncTag, slices.Contains(hidden.Agents[0].Unknown, "git.syncTag"), strings.Contains(asJSON(hidden), "marked-4711")}, []any{"", true, false})
	// What no argument gives is not filled in.
	named := declaredBy(t, map[string]string{"main.tf": object + strings.Replace(release(url, "sync = { interval = \"$(EVERY)\" }, extraEnvs = [{ name = \"EVERY\", value = \"7m\" }, { name = \"NAME\", value = \"key\" }]"), "branch = \"main\"", "branch = \"main\", secretName = \"$(NAME)\"", 1)}).Agents[0]
	equal(t, "arguments alone", []any{named.Sync.Interval.Duration.String(), named.Git.SecretName, named.Credential.Identity.Name}, []any{"7m0s", "key", "$(NAME)"})

	if a := inv.Agents[0]; strings.Contains(a.Git.URL, "me:") {
		t.Errorf("what stands for a credential is filled in: %s", a.Git.URL)
	}
}

// The namespace of objects that name none is that of the kubeconfig that a declared ConfigMap
// holds.
func TestTheNamespaceOfADeclaredKubeconfig(t *testing.T) {
	volume := func(kind, name string) string {
		return "volume {\n name = \"k\"\n " + kind + " {\n " + name + " = \"m\"\n }\n }\n"
	}
	mount := func(path string) string {
		return "volume_mount {\n name = \"k\"\n mount_path = \"" + path + "\"\n }\n"
	}
	object := func(data string) string {
		return "resource \"kubernetes_config_map\" \"m\" {\n metadata {\n name = \"m\"\n namespace = \"flux\"\n }\n data = " + data + "\n}\n"
	}
	config := func(more string) string {
		return "{ config = \"{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a" + more + "}}], clusters: [{name: a, cluster: {server: 'https://kubernetes.default'}}]}\" }"
	}
	env := func(value string) string {
		return "env {\n name = \"KUBECONFIG\"\n value = " + value + "\n }\n"
	}
	for name, c := range map[string]struct {
		volume, more, object string
		want                 string // empty if it is not known
	}{
		"none":                  {"", "", "", "default"},
		"of the home":           {volume("config_map", "name"), mount("/root/.kube"), object(config(", namespace: team")), "team"},
		"of none in it":         {volume("config_map", "name"), mount("/root/.kube"), object(config("")), "default"},
		"of a variable":         {volume("config_map", "name"), mount("/k") + env(`"/k/config"`), object(config(", namespace: team")), "team"},
		"of another variable":   {volume("config_map", "name"), mount("/k") + env("var.x"), object(config(", namespace: team")), ""},
		"of a Secret":           {volume("secret", "secret_name"), mount("/root/.kube"), object(config(", namespace: team")), ""},
		"that nobody declares":  {volume("config_map", "name"), mount("/root/.kube"), "", ""},
		"that is not known":     {volume("config_map", "name"), mount("/root/.kube"), object("{ config = var.x }"), ""},
		"of a place unknown":    {volume("config_map", "name"), strings.Replace(mount("/root/.kube"), `"/root/.kube"`, "var.x", 1), object(config(", namespace: team")), ""},
		"that is not there":     {volume("config_map", "name"), mount("/root/.kube"), object(`{ other = "a" }`), ""},
		"that cannot be read":   {volume("config_map", "name"), mount("/root/.kube"), object(`{ config = "a: [" }`), ""},
		"of another namespace":  {volume("config_map", "name"), mount("/root/.kube"), strings.Replace(object(config(", namespace: team")), `"flux"`, `"other"`, 1), ""},
		"beside variables more": {volume("config_map", "name"), mount("/root/.kube") + "env_from {\n secret_ref {\n name = \"s\"\n }\n }\n", object(config(", namespace: team")), ""},
	} {
		a := declaredBy(t, map[string]string{"main.tf": fluxdBlocks("git@h:a", c.more, c.volume) + c.object}).Agents[0]
		equal(t, name, []any{a.DefaultNamespace, slices.Contains(a.Unknown, "defaultNamespace")}, []any{c.want, c.want == ""})
	}
}

// In Git a ConfigMap counts wherever it stands in the tree, but where several of one name
// may be of several clusters.
func TestArgumentsAreFilledInFromConfigMapsInGit(t *testing.T) {
	const deployment = "-- flux/kustomization.yaml --\nresources: [flux.yaml]\n-- flux/flux.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec:\n  selector: {matchLabels: {name: flux}}\n" +
		"  template:\n    metadata: {labels: {name: flux}}\n    spec: {containers: [{name: flux, image: \"fluxcd/flux:1.25.4\", args: [\"--git-url=$(GIT_URL)\"], env: [{name: GIT_URL, valueFrom: {KINDKeyRef: {name: m, key: url}}}]}]}\n"
	of := func(folder, kind, data string) string {
		return "-- " + folder + "/map.yaml --\napiVersion: v1\nkind: " + kind + "\nmetadata: {name: m, namespace: flux}\n" + data + ": {url: \"git@git.example.com:org/" + folder + "\"}\n-- " + folder + "/kustomization.yaml --\nresources: [map.yaml]\n"
	}
	for name, c := range map[string]struct{ kind, objects, url string }{
		"one":      {"configMap", of("one", "ConfigMap", "data"), "git@git.example.com:org/one"},
		"two":      {"configMap", of("one", "ConfigMap", "data") + of("two", "ConfigMap", "data"), ""},
		"a Secret": {"secret", of("MARKED", "Secret", "stringData"), ""},
	} {
		inv := readTree(t, treeOf(strings.Replace(deployment, "KIND", c.kind, 1)+c.objects), nil)
		a := agentNamed(t, inv, "flux/flux")
		equal(t, name, []any{a.Git.URL, slices.Contains(a.Unknown, "git.url")}, []any{c.url, c.url == ""})
		if strings.Contains(asJSON(inv.Findings)+asJSON(a), "MARKED@") || strings.Contains(asJSON(a), "org/MARKED") {
			t.Errorf("%s: what a Secret holds is shown", name)
		}
		if c.url == "" {
			wantFinding(t, inv, flux1.SymbolicFlag, "flux/flux (flux/flux.yaml:1 args[0])", "")
		}
	}
}

// A value that is not known is not told where another one of the same mapping is set; and what
// is sensitive is settled where it runs.
func TestWhereAValueIsNotKnown(t *testing.T) {
	const release = "variable \"b\" {\n type = string\n sensitive = true\n default = \"x\"\n}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n chart = \"flux\"\n version = \"1.13.3\"\nVALUES\n set {\n name = \"git.url\"\n value = \"git@h:a\"\n }\n}\n"
	a := declaredBy(t, map[string]string{"main.tf": strings.Replace(release, "VALUES", " values = [file(\"${path.module}/none.yaml\")]", 1)}).Agents[0]
	for name, line := range map[string]string{"--git-branch": "main.tf:6 ", "git.*": "main.tf:6 ", "git.url": "main.tf:12 "} {
		for _, s := range a.Settings {
			if s.Name == name && !strings.HasPrefix(s.From[0].Where, line) {
				t.Errorf("%s is told at %v, not %s", name, s.From, line)
			}
		}
	}
	a = declaredBy(t, map[string]string{"main.tf": strings.Replace(release, "VALUES", " values = [yamlencode({ git = { branch = var.b } })]", 1)}).Agents[0]
	i := slices.IndexFunc(a.Settings, func(s migrate.Setting) bool { return s.Name == "--git-branch" })
	equal(t, "settled by", a.Settings[i].To, "the agent's Deployment in the cluster")
}
