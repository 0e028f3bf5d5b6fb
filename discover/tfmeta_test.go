package discover

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// What ignore_changes names is as it was applied last: the configuration alone does
// not know it, the state does, and no apply changes it.
func TestWhatIgnoreChangesNamesIsAsItWasApplied(t *testing.T) {
	const state = `{"version":4,"terraform_version":"1.5.0","serial":1,"lineage":"x","resources":[{"mode":"managed","type":"helm_release","name":"flux","provider":"provider[\"registry.terraform.io/hashicorp/helm\"]","instances":[{"attributes":` +
		`{"id":"flux","name":"flux","namespace":"flux","chart":"flux","status":"deployed","metadata":[{"name":"flux","namespace":"flux","chart":"flux","version":"1.13.3","revision":1,"values":"{\"git\":{\"url\":\"git@h:a\",\"branch\":\"old\"}}"}]}}]}]}`
	for ignored, c := range map[string]struct {
		branch, version string // as the configuration alone knows them
		applied         bool   // whether the next apply changes the branch
	}{
		"[description]":                 {"new", "1.13.2", true},
		"[values]":                      {"", "1.13.2", false},
		"[set, values]":                 {"", "1.13.2", false},
		"[set]":                         {"", "1.13.2", false},
		"[values[0]]":                   {"", "1.13.2", false},
		"[version]":                     {"new", "", true},
		"all":                           {"", "", false},
		`["values"]`:                    {"", "1.13.2", false},
		"[set_sensitive, values, name]": {"", "1.13.2", false},
	} {
		config := "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.2\"\n" +
			" values = [\"git: {url: 'git@h:a', branch: new}\"]\n lifecycle {\n ignore_changes = " + ignored + "\n prevent_destroy = true\n create_before_destroy = false\n }\n}\n"
		inv := declaredBy(t, map[string]string{"main.tf": config})
		equal(t, ignored+": agents", agentIDs(inv), []string{"flux/flux"})
		a := inv.Agents[0]
		equal(t, ignored+": alone", []string{a.Git.Branch, a.ChartVersion}, []string{c.branch, c.version})
		if c.branch == "" && !strings.Contains(asJSON(inv), "stays, since ignore_changes names it (main.tf:9") {
			t.Errorf("%s: nothing says why", ignored)
		}
		for name, want := range map[string]migrate.Fate{"ignore_changes": migrate.Dropped, "prevent_destroy": migrate.Unknown, "create_before_destroy": migrate.Dropped} {
			if s := settingOf(t, a, "helm_release.lifecycle."+name); s.Fate != want || s.Value == "" {
				t.Errorf("%s: %+v", ignored, s)
			}
		}

		inv = declaredBy(t, map[string]string{"main.tf": config, "s.json": state}, func(dir string, o *TerraformOptions) { o.StateFiles = []string{filepath.Join(dir, "s.json")} })
		equal(t, ignored+": agents", agentIDs(inv), []string{"flux/flux"})
		want := "old"
		if c.applied {
			want = "new"
		}
		equal(t, ignored+": with the state", inv.Agents[0].Git.Branch, want)
		said := slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool {
			return f.Code == TerraformNotApplied.Name && strings.Contains(f.Message, "--git-branch")
		})
		if said != c.applied {
			t.Errorf("%s: that the next apply changes the branch is said: %v", ignored, said)
		}
		if said := slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool {
			return f.Code == TerraformNotApplied.Name && strings.Contains(f.Message, "chart version")
		}); said != (c.version != "") {
			t.Errorf("%s: that the next apply changes the version is said: %v", ignored, said)
		}
	}
}

// Arguments and blocks that belong to Terraform, and those of the resources that
// hold a manifest beside it, are accounted for.
func TestWhatBelongsToTerraformIsAccountedFor(t *testing.T) {
	manifest := fluxdManifest("value: apps")
	configs := map[string]string{
		"helm_release":          "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n chart = \"flux\"\n version = \"1.13.3\"\n values = [\"git: {url: 'git@h:a'}\"]\n MORE\n}\n",
		"kubectl_manifest":      fmt.Sprintf("resource \"kubectl_manifest\" \"flux\" {\n yaml_body = %q\n force_new = true\n odd = 1\n MORE\n}\n", manifest),
		"kubernetes_manifest":   strings.Replace(fluxdPod("git@h:a", "", ""), "manifest = {", "computed_fields = [\"spec\"]\n field_manager {\n force_conflicts = true\n }\n MORE\n manifest = {", 1),
		"kubernetes_deployment": strings.Replace(fluxdBlocks("git@h:a", "", ""), " metadata {", " MORE\n metadata {", 1),
	}
	for typ, config := range configs {
		inv := declaredBy(t, map[string]string{"main.tf": strings.Replace(config, "MORE", "count = 1\n depends_on = [null_resource.x]\n lifecycle {\n ignore_changes = [values]\n}\n provisioner \"local-exec\" {\n command = \"true\"\n }", 1) + "resource \"null_resource\" \"x\" {}\n"})
		if len(inv.Agents) != 1 {
			t.Fatalf("%s: %v", typ, inv.Findings)
		}
		want := map[string]migrate.Fate{"count": migrate.Dropped, "depends_on": migrate.Dropped, "provisioner": migrate.Dropped, "lifecycle.ignore_changes": migrate.Dropped}
		switch typ {
		case "kubectl_manifest":
			want["force_new"], want["odd"] = migrate.Dropped, migrate.Unknown
		case "kubernetes_manifest":
			want["computed_fields"], want["field_manager"] = migrate.Dropped, migrate.Dropped
		}
		for name, fate := range want {
			if s := settingOf(t, inv.Agents[0], typ+"."+name); s.Fate != fate || len(s.From) != 1 || !strings.HasPrefix(s.From[0].Where, "main.tf:") {
				t.Errorf("%s.%s: %+v", typ, name, s)
			}
		}
	}
}

// What a resource leaves as the cluster has it is not what the configuration says, and
// nothing else of it becomes unknown.
func TestWhatAResourceLeavesAloneIsNotKnown(t *testing.T) {
	const more = " env {\n name = \"A\"\n value = \"b\"\n }\n"
	blocks := func(lifecycle string) string {
		config := strings.Replace(fluxdBlocks("https://h/a", more, ""), "template {", "template {\n metadata {\n annotations = { a = \"b\" }\n }\n", 1)
		return strings.Replace(config, " metadata {", " lifecycle {\n ignore_changes = "+lifecycle+"\n }\n metadata {", 1)
	}
	manifest := func(arguments string) string {
		return strings.Replace(fluxdPod("https://h/a", `env = [{ name = "A", value = "b" }]`, ""), "manifest = {", arguments+"\n manifest = {", 1)
	}
	kubectl := func(arguments string) string {
		return "variable \"x\" {}\nresource \"kubectl_manifest\" \"flux\" {\n yaml_body = <<-E\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec: {template: {spec: {containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=https://h/a']}]}}}\nE\n" + arguments + "\n}\n"
	}
	const list = "spec[0].template[0].spec[0].container[0]."
	const why = "names nothing that says how the agent runs"
	for name, c := range map[string]struct {
		config string
		unsure string // what is not known, of git.url, image and replicas
		says   string // in what is said of it
	}{
		"the arguments":              {blocks("[" + list + "args]"), "git.url", "ignore_changes names it"},
		"one of them":                {blocks("[" + list + "args[0]]"), "git.url", list + "args[0]"},
		"the image":                  {blocks("[" + list + "image]"), "image", ""},
		"in quotes, as of old":       {blocks(`["spec.0.template.0.spec.0.container.0.image"]`), "image", ""},
		"the replicas":               {blocks("[spec[0].replicas]"), "replicas", ""},
		"a container":                {blocks("[spec[0].template[0].spec[0].container[0]]"), "git.url image", ""},
		"all containers":             {blocks("[spec[0].template[0].spec[0].container]"), "git.url image", ""},
		"the pod":                    {blocks("[metadata, spec[0].template]"), "git.url image", ""},
		"all":                        {blocks("all"), "git.url image replicas", ""},
		"another container":          {blocks("[spec[0].template[0].spec[0].container[1].image]"), "", why},
		"what does not count":        {blocks("[metadata[0].annotations, spec[0].template[0].spec[0].node_selector]"), "", why},
		"an annotation":              {blocks(`[spec[0].template[0].metadata[0].annotations["kubectl.kubernetes.io/restartedAt"]]`), "", ""},
		"none":                       {blocks("[]"), "", why},
		"of a manifest, all":         {manifest("lifecycle {\n ignore_changes = [manifest]\n }"), "git.url image replicas", ""},
		"of a manifest, a field":     {manifest("lifecycle {\n ignore_changes = [manifest.spec.template.spec.containers[0].image]\n }"), "image", ""},
		"of what is live":            {manifest("lifecycle {\n ignore_changes = [object]\n }"), "git.url image replicas", ""},
		"computed fields":            {manifest(`computed_fields = ["metadata.labels", "spec.template.spec.containers[0].args"]`), "git.url", "the resource leaves it alone"},
		"computed fields of no use":  {manifest(`computed_fields = ["metadata.labels", "metadata.annotations"]`), "", ""},
		"computed fields, not known": {manifest("computed_fields = var.x"), "git.url image replicas", "var.x"},
		"one of them, not known":     {manifest(`computed_fields = ["metadata.labels", var.x]`), "git.url image replicas", "var.x"},
		"ignored fields":             {kubectl(`ignore_fields = ["spec.template.spec.containers.0.image"]`), "image", ""},
		"ignored fields above":       {kubectl(`ignore_fields = ["spec.template.spec"]`), "git.url image", ""},
		"of what kubectl applies":    {kubectl("lifecycle {\n ignore_changes = [yaml_body]\n }"), "git.url image replicas", ""},
	} {
		inv := declaredBy(t, map[string]string{"main.tf": c.config})
		equal(t, name+": agents", agentIDs(inv), []string{"flux/flux"})
		a := inv.Agents[0]
		var unsure []string
		for _, part := range []string{"git.url", "image", "replicas"} {
			if slices.Contains(a.Unknown, part) {
				unsure = append(unsure, part)
			}
		}
		equal(t, name, strings.Join(unsure, " "), c.unsure)
		equal(t, name+": what is told", []bool{a.Git.URL != "", a.Image != ""}, []bool{!slices.Contains(unsure, "git.url"), !slices.Contains(unsure, "image")})
		if c.says != "" && !strings.Contains(asJSON(inv), strings.ReplaceAll(c.says, `"`, `\"`)) {
			t.Errorf("%s: nothing says %q: %v", name, c.says, inv.Findings)
		}
		if got := slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == CloudIdentity.Name }); got && (name == "an annotation" || c.says == why) {
			t.Errorf("%s: a role is suspected", name)
		}
	}
}

// What would be unknown if it were declared is unknown where it is left to the cluster.
func TestFieldsThatNobodyKnowsAreUnknownWhereTheyAreLeftAlone(t *testing.T) {
	const in, of, env = "spec[0].template[0].spec[0].", "spec.template.spec.", " env {\n name = \"A\"\n value = \"b\"\n }\n"
	blocks := func(path string) string {
		config := strings.Replace(fluxdBlocks("https://h/a", env, ""), "template {", "template {\n metadata {\n labels = { env = \"b\" }\n }\n", 1)
		return strings.Replace(config, " metadata {", " lifecycle {\n ignore_changes = ["+path+"]\n }\n metadata {", 1)
	}
	kubectl := func(account, path string) string {
		return fmt.Sprintf("resource \"kubectl_manifest\" \"flux\" {\n yaml_body = %q\n ignore_fields = [%q]\n}\n",
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec: {template: {spec: {"+account+", containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=https://h/a'], env: [{name: A, value: b}]}]}}}\n", path)
	}
	computed := strings.Replace(fluxdPod("https://h/a", `env = [{ name = "A", value = "b" }]`, ""), "manifest = {", "computed_fields = [\"spec.template.spec.dnsConfig\"]\n manifest = {", 1)
	const found, does, left = "how the Git server is found", "what fluxd does", "ignore_changes names it"
	for name, c := range map[string]struct {
		config, setting string
		says            []string
		account         string // what is told of it, and whether it is known
	}{
		"names of hosts":                  {blocks(in + "host_aliases"), of + "hostAliases", []string{found, left}, "default true"},
		"one of them":                     {blocks(in + "host_aliases[0].ip"), of + "hostAliases", []string{found, left}, "default true"},
		"resolvers":                       {blocks(in + "dns_config[0].nameservers"), of + "dnsConfig", []string{found, left}, "default true"},
		"how names are found":             {blocks(in + "dns_policy"), of + "dnsPolicy", []string{found, left}, "default true"},
		"the network":                     {blocks(in + "host_network"), of + "hostNetwork", []string{found, left}, "default true"},
		"what prepares it":                {blocks(in + "init_container[0].image"), of + "initContainers", []string{left}, "default true"},
		"a field that nobody knows":       {blocks(in + "new_field"), of + "newField", []string{does, left}, "default true"},
		"a folder":                        {blocks(in + "container[0].working_dir"), of + "containers[0].workingDir", []string{does, left}, "default true"},
		"commands":                        {blocks(in + "container[0].lifecycle[0].post_start"), of + "containers[0].lifecycle", []string{does, left}, "default true"},
		"all of the pod":                  {blocks("spec[0].template"), of + "*", []string{left}, " false"},
		"all of the container":            {blocks(in + "container[0]"), of + "containers[0].*", []string{left}, "default true"},
		"of another container":            {blocks(in + "container[1].working_dir"), "", nil, "default true"},
		"what does not count":             {blocks(in + "host_pid, " + in + "host_ipc, " + in + "node_selector"), "", nil, "default true"},
		"a label that is called env":      {blocks(`spec[0].template[0].metadata[0].labels["env"]`), "spec.template.metadata.labels.env", nil, "default true"},
		"computed":                        {computed, of + "dnsConfig", []string{found, "the resource leaves it alone"}, "default true"},
		"of what kubectl applies":         {kubectl("serviceAccountName: own", of+"hostAliases"), of + "hostAliases", []string{found}, "own true"},
		"the account":                     {kubectl("serviceAccountName: own", of+"serviceAccountName"), of + "serviceAccountName", nil, " false"},
		"the account in the old spelling": {kubectl("serviceAccount: own", of+"serviceAccount"), of + "serviceAccount", nil, " false"},
		"the old spelling beside the new": {kubectl("serviceAccountName: own", of+"serviceAccount"), of + "serviceAccount", nil, "own true"},
	} {
		inv := declaredBy(t, map[string]string{"main.tf": c.config})
		equal(t, name+": agents", agentIDs(inv), []string{"flux/flux"})
		a := inv.Agents[0]
		equal(t, name+": account", fmt.Sprint(a.ServiceAccount, " ", !slices.Contains(a.Unknown, "serviceAccount")), c.account)
		names := []string{}
		for _, s := range a.Settings {
			names = append(names, s.Name)
			switch {
			case s.Name == c.setting:
				if known := name == "a label that is called env"; known != (s.Fate != migrate.Unknown) || slices.ContainsFunc(c.says, func(w string) bool { return !strings.Contains(s.Why, w) }) {
					t.Errorf("%s: %+v, want it to say %q", name, s, c.says)
				}
			case strings.HasSuffix(s.Name, "lifecycle.ignore_changes") && (s.Why == whyNoneLeft) != (c.setting == ""):
				t.Errorf("%s: %+v", name, s)
			case c.setting == "" && s.Fate == migrate.Unknown:
				t.Errorf("%s: unknown is %+v", name, s)
			}
		}
		if c.setting != "" && !slices.Contains(names, c.setting) {
			t.Errorf("%s: there is no %s among %q", name, c.setting, names)
		}
		if whole := strings.HasSuffix(c.setting, "*"); slices.Contains(names, "env.A") == whole {
			t.Errorf("%s: the variables are known: %v", name, !whole)
		}
	}
}

// The live Deployment tells what Terraform leaves to the cluster.
func TestWhatIsLeftToTheClusterIsToldByIt(t *testing.T) {
	config := strings.Replace(fluxdBlocks("https://h/a", "", ""), " metadata {", " lifecycle {\n ignore_changes = [spec[0].template[0].spec[0].host_aliases, spec[0].template[0].spec[0].init_container]\n }\n metadata {", 1)
	const own = "pod.hostAliases"
	live := migrate.Inventory{Cluster: migrate.Cluster{From: fromCluster}, Agents: []migrate.Flux1Agent{{ID: "flux/flux", Namespace: "flux", Workload: "flux",
		Settings: []migrate.Setting{{Name: own, Value: "[]", Fate: migrate.Unknown, To: migrate.ByPerson, Why: "it may", From: []migrate.Origin{{Witness: "cluster", Where: own}}}}}}}
	declared := declaredBy(t, map[string]string{"main.tf": config})
	merged := Merge(live, declared)
	for _, name := range []string{"spec.template.spec.hostAliases", "spec.template.spec.initContainers"} {
		if s := settingOf(t, declared.Agents[0], name); s.Fate != migrate.Unknown {
			t.Errorf("by Terraform alone: %+v", s)
		}
		if s := settingOf(t, merged.Agents[0], name); s.Fate != migrate.Dropped || !strings.Contains(s.Why, "what runs counts") || !strings.Contains(s.Why, "ignore_changes names it") {
			t.Errorf("with the cluster: %+v", s)
		}
	}
	if s := settingOf(t, merged.Agents[0], own); s.Fate != migrate.Unknown {
		t.Errorf("of the cluster: %+v", s)
	}
}

// A field that is ignored is named by a path with dots, as keys have them, too.
func TestAnIgnoredKeyWithDotsIsNotKnown(t *testing.T) {
	const role = "iam.amazonaws.com/role"
	for name, c := range map[string]struct {
		annotations, ignored string
		says                 string // of a role
	}{
		"declared":                 {"{" + role + ": a}", "metadata.labels", role},
		"declared and ignored":     {"{" + role + ": a}", "spec.template.metadata.annotations." + role, "not known"},
		"of the cluster alone":     {"{b: c}", "spec.template.metadata.annotations." + role, "not known"},
		"by what it begins with":   {"{" + role + ": a}", "spec.template.metadata.annotations.iam", "not known"},
		"another":                  {"{b: c}", "spec.template.metadata.annotations.example.com/x", ""},
		"in brackets":              {"{b: c}", "spec.template.metadata.annotations[\\\"" + role + "\\\"]", "not known"},
		"what begins like its own": {"{" + role + ": a}", "spec.template.metadata.annotations.ia", role},
	} {
		manifest := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec: {template: {metadata: {annotations: " + c.annotations + "}, spec: {containers: [{name: flux, image: 'fluxcd/flux:1.25.4', args: ['--git-url=https://h/a']}]}}}\n"
		inv := declaredBy(t, map[string]string{"main.tf": fmt.Sprintf("resource \"kubectl_manifest\" \"flux\" {\n yaml_body = %q\n ignore_fields = [\"%s\"]\n}\n", manifest, c.ignored)})
		equal(t, name+": agents", agentIDs(inv), []string{"flux/flux"})
		var said string
		for _, f := range inv.Findings {
			if f.Code == CloudIdentity.Name {
				said += f.Message + "\n"
			}
		}
		if (said != "") != (c.says != "") || !strings.Contains(said, c.says) || c.says == role && strings.Contains(said, "not known") {
			t.Errorf("%s: of a role is said %q, want %q", name, said, c.says)
		}
	}
}

// postrender is a block of the provider up to version 2, and an argument since and
// in JSON syntax.
func TestAProgramThatChangesTheManifestIsAccountedFor(t *testing.T) {
	hcl := func(postrender string) map[string]string {
		return map[string]string{"main.tf": "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n chart = \"flux\"\n version = \"1.13.3\"\n values = [\"git: {url: 'git@h:a'}\"]\n " + postrender + "\n}\n"}
	}
	for name, c := range map[string]struct {
		files map[string]string
		told  bool
	}{
		"a block":       {hcl("postrender {\n binary_path = \"/bin/x\"\n }"), true},
		"an argument":   {hcl(`postrender = { binary_path = "/bin/x" }`), true},
		"in JSON":       {map[string]string{"main.tf.json": `{"resource":{"helm_release":{"flux":{"name":"flux","namespace":"flux","chart":"flux","version":"1.13.3","postrender":[{"binary_path":"/bin/x"}],"values":["git: {url: 'git@h:a'}"]}}}}`}, true},
		"null":          {hcl("postrender = null"), false},
		"none":          {hcl(""), false},
		"what is open":  {hcl("postrender = var.x\n}\nvariable \"x\" {"), true},
		"an empty list": {hcl("postrender = []"), false},
	} {
		inv := declaredBy(t, c.files)
		equal(t, name+": agents", agentIDs(inv), []string{"flux/flux"})
		i := slices.IndexFunc(inv.Agents[0].Settings, func(s migrate.Setting) bool { return s.Name == "helm_release.postrender" })
		if (i >= 0) != c.told || i >= 0 && inv.Agents[0].Settings[i].Fate != migrate.Unknown {
			t.Errorf("%s: the ledger has %+v", name, inv.Agents[0].Settings)
		}
		told := slices.DeleteFunc(slices.Clone(inv.Findings), func(f migrate.Finding) bool { return f.Code != TerraformPostRendered.Name })
		if (len(told) == 1) != c.told || c.told && (told[0].Severity != migrate.Blocker || told[0].Repository != "flux/flux") {
			t.Errorf("%s: said %v", name, inv.Findings)
		}
		if finds(inv, Undecided.Name) {
			t.Errorf("%s: it is said twice: %v", name, inv.Findings)
		}
		// What runs tells what the program made.
		live := Merge(migrate.Inventory{Agents: []migrate.Flux1Agent{{ID: "flux/flux", Namespace: "flux", Release: "flux"}}}, inv)
		if finds(live, TerraformPostRendered.Name) || finds(live, Undecided.Name) {
			t.Errorf("%s: beside what runs is said %v", name, live.Findings)
		}
	}
}

// What a release takes from a whole Secret means what it means of a Deployment.
func TestWholeSecretsOfAReleaseMeanWhatThoseOfADeploymentDo(t *testing.T) {
	for name, c := range map[string]struct {
		values string   // of the chart
		args   []string // the same in a Deployment
		prefix string
		want   migrate.Fate
	}{
		"nothing":              {"", nil, "", migrate.Unknown},
		"SOPS":                 {"sops: {enabled: true}", []string{"--sops"}, "", migrate.Unknown},
		"generated manifests":  {"manifestGeneration: true", []string{"--manifest-generation=true"}, "", migrate.Unknown},
		"a reference":          {"additionalArgs: ['--git-label=$(TAG)']", []string{"--git-label=$(TAG)"}, "", migrate.Carried},
		"a prefix that fits":   {"additionalArgs: ['--git-label=$(TAG)']", []string{"--git-label=$(TAG)"}, "T", migrate.Carried},
		"a prefix of others":   {"additionalArgs: ['--git-label=$(TAG)']", []string{"--git-label=$(TAG)"}, "NET_", migrate.Unknown},
		"SOPS and a reference": {"{additionalArgs: ['--git-label=$(TAG)'], sops: {enabled: true}}", []string{"--git-label=$(TAG)", "--sops"}, "", migrate.Unknown},
	} {
		from := fmt.Sprintf("[{secretRef: {name: net}, prefix: %q}]", c.prefix)
		manifest := fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec: {template: {spec: {containers: [{name: flux, image: fluxcd/flux, args: ['--git-url=https://h/a', %s], envFrom: %s}]}}}\n", "'"+strings.Join(append(c.args, "--git-branch=b"), "', '")+"'", from)
		release := func(more string) migrate.Inventory {
			return declaredBy(t, map[string]string{"main.tf": fmt.Sprintf("resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n values = [%q, %q, %q]\n}\n", "git: {url: https://h/a}", c.values, more)})
		}
		live := settingOf(t, declaredBy(t, map[string]string{"main.tf": fmt.Sprintf("resource \"kubectl_manifest\" \"flux\" {\n yaml_body = %q\n}\n", manifest)}).Agents[0], "envFrom")
		declared := settingOf(t, release("extraEnvsFrom: " + from).Agents[0], "extraEnvsFrom[0].secretRef.name")
		if live.Fate != c.want || live.Fate != declared.Fate || live.To != declared.To || live.Why != declared.Why {
			t.Errorf("%s: of a release %+v, of a Deployment %+v", name, declared, live)
		}
		if c.prefix != "" {
			continue
		}
		if s := settingOf(t, release("env: {secretName: net}").Agents[0], "env.secretName"); s.Fate != live.Fate || s.To != live.To || s.Why != live.Why {
			t.Errorf("%s: of env.secretName %+v, of a Deployment %+v", name, s, live)
		}
	}
}

// Commands and decryption may read any variable, those that git would heed among them.
func TestAVariableOfGitsMayBeReadByMoreThanGit(t *testing.T) {
	for _, c := range []struct {
		values, arg string
		want        migrate.Fate
	}{
		{"", "--git-branch=b", migrate.Dropped}, {"manifestGeneration: true", "--manifest-generation", migrate.Unknown}, {"sops: {enabled: true}", "--sops", migrate.Unknown},
	} {
		for _, name := range []string{"HOME", "GIT_SSL_CAINFO", "ALL_PROXY"} {
			manifest := fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: flux}\nspec: {template: {spec: {containers: [{name: flux, image: fluxcd/flux, args: ['--git-url=https://h/a', %s], env: [{name: %s, value: /x}]}]}}}\n", c.arg, name)
			live := settingOf(t, declaredBy(t, asManifest(t, manifest)).Agents[0], "env."+name)
			release := declaredBy(t, map[string]string{"main.tf": fmt.Sprintf("resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n values = [%q, %q]\n}\n",
				"{git: {url: https://h/a}, extraEnvs: [{name: "+name+", value: /x}]}", c.values)})
			if of := settingOf(t, release.Agents[0], "extraEnvs[0].name"); live.Fate != c.want || of.Fate != c.want {
				t.Errorf("%s with %s: of a Deployment %+v, of a release %+v", name, c.arg, live, of)
			}
		}
	}
}

// Of several variables of a name the last counts, so that KUBECONFIG of extraEnvs
// is that of fluxd.
func TestAKubeconfigOfExtraEnvsIsNotTheCharts(t *testing.T) {
	for envs, known := range map[string]bool{
		"[]": true, "[{ name = \"A\", value = \"b\" }]": true, "[{ name = \"KUBECONFIG\", value = \"/root/.kubectl/config\" }]": true,
		"[{ name = \"KUBECONFIG\", value = \"/x\" }]": false, "[{ name = \"KUBECONFIG\", valueFrom = { secretKeyRef = { name = \"s\", key = \"k\" } } }]": false,
		"var.x": false, "[{ name = var.x, value = \"b\" }]": false, "[{ name = \"KUBECONFIG\", value = var.x }]": false, "[{ name = \"A\", value = var.x }]": true,
	} {
		inv := declaredBy(t, map[string]string{"main.tf": "variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n" +
			" values = [yamlencode({ git = { url = \"git@h:a\" }, extraEnvs = " + envs + " })]\n}\n"})
		a := inv.Agents[0]
		if got := !slices.Contains(a.Unknown, "defaultNamespace"); got != known || got != (a.DefaultNamespace == "default") {
			t.Errorf("%s: %q, not known are %v", envs, a.DefaultNamespace, a.Unknown)
		}
	}
}

// A role is of an agent whose account has it in its own cluster; where that is not known
// the agent may have it.
func TestARoleOfAnAccountIsOfTheAgentsThatHaveIt(t *testing.T) {
	account := func(name, provider, metadata, more string) string {
		if provider != "" {
			more += "\n provider = kubernetes." + provider
		}
		return "resource \"kubernetes_service_account\" \"" + name + "\" {\n " + more + "\n metadata {\n " + metadata + "\n annotations = { \"eks.amazonaws.com/role-arn\" = \"arn\" }\n }\n}\n"
	}
	release := func(namespace, account, provider string) string {
		return "variable \"x\" {}\nresource \"helm_release\" \"a\" {\n name = \"flux\"\n namespace = " + namespace + "\n chart = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n version = \"1.13.3\"\n " + provider +
			"\n values = [yamlencode({ git = { url = \"git@h:a\" }, serviceAccount = { create = false, name = " + account + " } })]\n}\n"
	}
	both := func(provider string, eu, us string) string {
		return strings.ReplaceAll(providerOf("eu", eu)+providerOf("us", us), `"helm"`, `"`+provider+`"`)
	}
	blocks := func(eu, us string) string {
		flat := func(alias, arguments string) string {
			return "provider \"kubernetes\" {\n alias = \"" + alias + "\"\n " + arguments + "\n}\n"
		}
		return both("helm", eu, us) + flat("eu", eu) + flat("us", us)
	}
	const flux = "name = \"flux\"\n namespace = \"flux\""
	const eu, us = `host = "https://eu"`, `host = "https://us"`
	for name, c := range map[string]struct{ config, want string }{
		"its own":                        {release(`"flux"`, `"flux"`, "") + account("a", "", flux, ""), "has"},
		"another's":                      {release(`"flux"`, `"other"`, "") + account("a", "", flux, ""), ""},
		"of a name that is not known":    {release(`"flux"`, `"flux"`, "") + account("a", "", "name = var.x\n namespace = \"flux\"", ""), "may have"},
		"of no name":                     {release(`"flux"`, `"flux"`, "") + account("a", "", "generate_name = \"flux\"\n namespace = \"flux\"", ""), ""},
		"of an agent of which it is not": {release(`"flux"`, "var.x", "") + account("a", "", flux, ""), "may have"},
		"of another namespace":           {release(`"flux"`, "var.x", "") + account("a", "", "name = \"flux\"\n namespace = \"b\"", ""), ""},
		"if it exists":                   {release(`"flux"`, `"flux"`, "") + account("a", "", flux, "count = var.x ? 1 : 0"), "may have"},
		"of its cluster":                 {blocks(eu, us) + release(`"flux"`, `"flux"`, "provider = helm.eu") + account("a", "eu", flux, ""), "has"},
		"of another cluster":             {blocks(eu, us) + release(`"flux"`, `"flux"`, "provider = helm.eu") + account("a", "us", flux, ""), ""},
		"of another place":               {blocks("exec {\n args = [\"-i\", \"p\", \"--region\", \"eu\"]\n }", "exec {\n args = [\"-i\", \"p\", \"--region\", \"us\"]\n }") + release(`"flux"`, `"flux"`, "provider = helm.eu") + account("a", "us", flux, ""), ""},
		"of its cluster by another way":  {blocks(eu, eu) + release(`"flux"`, `"flux"`, "provider = helm.eu") + account("a", "us", flux, ""), "has"},
		"of the cluster of another role": {blocks("exec {\n args = [\"-i\", \"p\", \"-r\", \"arn:aws:iam::8:role/a\"]\n }", "exec {\n args = [\"-i\", \"p\", \"-r\", \"arn:aws:iam::9:role/a\"]\n }") + release(`"flux"`, `"flux"`, "provider = helm.eu") + account("a", "us", flux, ""), "may have"},
		"of what may be another cluster": {blocks(eu, "") + release(`"flux"`, `"flux"`, "provider = helm.eu") + account("a", "us", flux, ""), "may have"},
	} {
		inv := declaredBy(t, map[string]string{"main.tf": c.config})
		equal(t, name+": agents", len(inv.Agents), 1)
		got := ""
		for _, f := range inv.Findings {
			if f.Code == CloudIdentity.Name {
				got += f.Message
			}
		}
		if (got == "") != (c.want == "") || !strings.HasPrefix(strings.TrimPrefix(got, "the agent's account "), c.want) {
			t.Errorf("%s: is said %q, want %q", name, got, c.want)
		}
	}
}

// A role in a cloud that the pods have, or their account, is found without a cluster,
// too, and it is said where it is not known whether they have one.
func TestARoleOfThePodsIsFoundWhereTheyAreDeclared(t *testing.T) {
	release := func(values string) string {
		return "variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n values = [yamlencode(" + values + ")]\n}\n"
	}
	pod := func(args, metadata string) string {
		return strings.Replace(manifestOf("flux", podWith(`[{ name = "flux", image = "fluxcd/flux:1.25.4", args = [`+args+`] }]`, "")), "template = {", "template = { metadata = "+metadata+", ", 1)
	}
	account := func(typ, metadata string) string {
		return "\nresource \"" + typ + "\" \"flux\" {\n metadata {\n name = \"flux\"\n namespace = \"flux\"\n " + metadata + "\n }\n}\n"
	}
	blocks := func(metadata string) string {
		return strings.Replace(fluxdBlocks("git@h:a", "", ""), "template {", "template {\n metadata {\n "+metadata+"\n }\n", 1)
	}
	const role, of = `"iam.amazonaws.com/role"`, `"eks.amazonaws.com/role-arn"`
	for name, c := range map[string]struct{ config, code, setting string }{
		"an annotation of a release":      {release(`{ git = { url = "git@h:a" }, annotations = { ` + role + ` = "flux" } }`), "CLOUD_IDENTITY", "annotations.iam.amazonaws.com/role"},
		"a label of a release":            {release(`{ git = { url = "git@h:a" }, podLabels = { aadpodidbinding = "flux" } }`), "CLOUD_IDENTITY", "podLabels.aadpodidbinding"},
		"a role that is not told":         {release(`{ git = { url = "git@h:a" }, annotations = { ` + role + ` = var.x } }`), "CLOUD_IDENTITY", "annotations.iam.amazonaws.com/role"},
		"one that may decrypt":            {release(`{ git = { url = "git@h:a" }, sops = { enabled = true }, annotations = { ` + role + ` = "flux" } }`), "CLOUD_IDENTITY_USED", "annotations.iam.amazonaws.com/role"},
		"an empty one":                    {release(`{ git = { url = "git@h:a" }, annotations = { ` + role + ` = "" } }`), "", ""},
		"another annotation":              {release(`{ git = { url = "git@h:a" }, annotations = { other = "flux" } }`), "", ""},
		"an annotation of a Deployment":   {pod(`"--git-url=git@h:a"`, `{ annotations = { `+role+` = "flux" } }`), "CLOUD_IDENTITY", "spec.template.metadata.annotations.iam.amazonaws.com/role"},
		"a label of a Deployment":         {pod(`"--git-url=git@h:a", "--sops"`, `{ labels = { aadpodidbinding = "flux" } }`), "CLOUD_IDENTITY_USED", "spec.template.metadata.labels.aadpodidbinding"},
		"beside a map that is not":        {release(`{ git = { url = "git@h:a" }, annotations = merge({ ` + role + ` = "flux" }, var.x) }`), "CLOUD_IDENTITY: have", "annotations.iam.amazonaws.com/role"},
		"perhaps in a map that is not":    {release(`{ git = { url = "git@h:a" }, annotations = merge({ a = "b" }, var.x) }`), "CLOUD_IDENTITY: may have var.x", "annotations.*"},
		"perhaps, and one may decrypt":    {release(`{ git = { url = "git@h:a" }, sops = { enabled = true }, podLabels = var.x }`), "CLOUD_IDENTITY_USED: may have var.x", "podLabels"},
		"of the account":                  {release(`{ git = { url = "git@h:a" }, serviceAccount = { annotations = { ` + of + ` = "arn" } } }`), "CLOUD_IDENTITY: has", "serviceAccount.annotations.eks.amazonaws.com/role-arn"},
		"of the account, beside a map":    {release(`{ git = { url = "git@h:a" }, sops = { enabled = true }, serviceAccount = { annotations = merge({ ` + of + ` = "arn" }, var.x) } }`), "CLOUD_IDENTITY_USED: has", "serviceAccount.annotations.eks.amazonaws.com/role-arn"},
		"of the account, perhaps":         {release(`{ git = { url = "git@h:a" }, serviceAccount = { annotations = merge({ a = "b" }, var.x) } }`), "CLOUD_IDENTITY: may have var.x", "serviceAccount.annotations.*"},
		"of the account, if at all":       {release(`{ git = { url = "git@h:a" }, serviceAccount = merge({ create = true }, var.x) }`), "CLOUD_IDENTITY: may have var.x", "serviceAccount.*"},
		"of an account beside":            {release(`{ git = { url = "git@h:a" } }`) + account("kubernetes_service_account", "annotations = { "+of+` = "arn" }`), "CLOUD_IDENTITY: has", ""},
		"of an account beside, perhaps":   {release(`{ git = { url = "git@h:a" } }`) + account("kubernetes_service_account_v1", "annotations = merge({ a = 1 }, var.x)"), "CLOUD_IDENTITY: may have var.x", ""},
		"of an account beside, both":      {release(`{ git = { url = "git@h:a" } }`) + account("kubernetes_service_account_v1", "annotations = merge({ "+of+" = 1 }, var.x)"), "CLOUD_IDENTITY: has var.x", ""},
		"of an account that is another":   {release(`{ git = { url = "git@h:a" } }`) + strings.Replace(account("kubernetes_service_account", "annotations = { "+of+` = "arn" }`), `name = "flux"`, `name = "other"`, 1), "", ""},
		"of an account of blocks":         {blocks("") + strings.ReplaceAll(account("kubernetes_service_account", "annotations = { "+of+` = var.x }`), `name = "flux"`, `name = "default"`), "CLOUD_IDENTITY: has var.x", ""},
		"of an account of a manifest":     {blocks("") + "resource \"kubernetes_manifest\" \"a\" {\n manifest = { apiVersion = \"v1\", kind = \"ServiceAccount\", metadata = { name = \"default\", namespace = \"flux\", annotations = merge({}, var.x) } }\n}\n", "CLOUD_IDENTITY: may have var.x", ""},
		"of annotations alone":            {blocks("") + "resource \"kubernetes_annotations\" \"a\" {\n api_version = \"v1\"\n kind = \"ServiceAccount\"\n metadata {\n name = \"default\"\n namespace = \"flux\"\n }\n annotations = { " + of + " = \"arn\" }\n}\n", "CLOUD_IDENTITY: has", ""},
		"of blocks, beside a map":         {blocks("annotations = merge({ " + role + " = \"flux\" }, var.x)"), "CLOUD_IDENTITY: have", "spec.template.metadata.annotations.iam.amazonaws.com/role"},
		"of blocks, perhaps":              {blocks("labels = merge({ app = \"flux\" }, var.x)"), "CLOUD_IDENTITY: may have var.x", "spec.template.metadata.labels.*"},
		"of a manifest, perhaps":          {pod(`"--git-url=git@h:a"`, `{ annotations = var.x }`), "CLOUD_IDENTITY: may have var.x", "spec.template.metadata.annotations"},
		"one of a Deployment that is not": {pod(`"--git-url=git@h:a"`, `{ annotations = { `+role+` = var.x } }`), "CLOUD_IDENTITY", "spec.template.metadata.annotations.iam.amazonaws.com/role"},
	} {
		inv := declaredBy(t, map[string]string{"main.tf": c.config})
		equal(t, name+": agents", agentIDs(inv), []string{"flux/flux"})
		var codes []string
		code, words, _ := strings.Cut(c.code, ": ")
		for _, f := range inv.Findings {
			if !strings.HasPrefix(f.Code, "CLOUD_IDENTITY") {
				continue
			}
			codes = append(codes, f.Code)
			maybe := strings.Contains(f.Message, "may have")
			settles := strings.TrimPrefix(strings.TrimPrefix(words, "may have"), "has")
			if words != "" && (maybe != strings.HasPrefix(words, "may") || !strings.Contains(f.Message, strings.TrimSpace(strings.TrimPrefix(settles, "have")))) {
				t.Errorf("%s: %s", name, f.Message)
			}
		}
		equal(t, name, strings.Join(codes, " "), code)
		if c.setting == "" {
			continue
		}
		if s := settingOf(t, inv.Agents[0], c.setting); s.Fate != migrate.Unknown {
			t.Errorf("%s: %+v", name, s)
		}
		if strings.Contains(asJSON(inv), "IT_IS_NOT_TOLD") {
			t.Errorf("%s: the placeholder is told", name)
		}
	}
}

func TestAnAgentThatIsNotEnabledIsSaidToBeSo(t *testing.T) {
	inv := declaredBy(t, map[string]string{"main.tofu": "resource \"helm_release\" \"f\" {\n name = \"flux\"\n chart = \"flux\"\n lifecycle {\n enabled = false\n }\n}\n"})
	said(t, inv, "TERRAFORM_NO_AGENT", "helm_release.f declares no Flux v1 agent: its enabled is false (lifecycle at main.tofu:5)")
}

// Of a name, and of the annotations of an account, which ignore_changes names, what is there
// counts, and that is said.
func TestNamesAndAnnotationsThatAreLeftAloneAreTold(t *testing.T) {
	const role = "\"eks.amazonaws.com/role-arn\""
	left := func(names string) string { return " lifecycle {\n  ignore_changes = [" + names + "]\n }\n" }
	account := func(more, annotations string) string {
		return fluxdBlocks("git@h:a", "", "service_account_name = \"flux\"") + "resource \"kubernetes_service_account\" \"flux\" {\n" + more + " metadata {\n  name = \"flux\"\n  namespace = \"flux\"\n" + annotations + " }\n}\n"
	}
	manifest := fluxdBlocks("git@h:a", "", "service_account_name = \"flux\"") + "resource \"kubernetes_manifest\" \"flux\" {\n computed_fields = [\"FIELD\"]\n manifest = { apiVersion = \"v1\", kind = \"ServiceAccount\", metadata = { name = \"flux\", namespace = \"flux\" } }\n}\n"
	for name, c := range map[string]struct {
		config string
		said   []string
	}{
		"no annotations, that are left":    {account(left("metadata[0].annotations"), ""), []string{"may have a role", "ignore_changes names it"}},
		"an annotation that is left":       {account(left("metadata[0].annotations["+role+"]"), "  annotations = { "+role+" = \"x\" }\n"), []string{"has a role", "ignore_changes names it"}},
		"all metadata":                     {account(left("metadata"), ""), []string{"may have a role"}},
		"all":                              {strings.Replace(account(left("[]"), ""), "[[]]", "all", 1), []string{"may have a role"}},
		"labels that are left":             {account(left("metadata[0].labels"), ""), nil},
		"annotations of a manifest":        {strings.Replace(manifest, "FIELD", "metadata.annotations", 1), []string{"may have a role"}},
		"a manifest of which labels are":   {strings.Replace(manifest, "FIELD", "metadata.labels", 1), nil},
		"annotations that are set, beside": {account("", "") + "resource \"kubernetes_annotations\" \"a\" {\n" + left("annotations") + " api_version = \"v1\"\n kind = \"ServiceAccount\"\n metadata {\n  name = \"flux\"\n  namespace = \"flux\"\n }\n annotations = {}\n}\n", []string{"may have a role"}},
	} {
		inv := declaredBy(t, map[string]string{"main.tf": c.config})
		if c.said == nil {
			for _, f := range inv.Findings {
				if f.Code == "CLOUD_IDENTITY" {
					t.Errorf("%s: %s", name, f.Message)
				}
			}
			continue
		}
		said(t, inv, "CLOUD_IDENTITY", c.said...)
	}

	const release = "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n chart = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n version = \"1.13.3\"\n values = [\"git: {url: 'git@h:a'}\"]\n"
	for config, kept := range map[string]bool{
		release + left("namespace") + "}\n": true, release + left("values") + "}\n": false, release + left("metadata") + "}\n": false,
		strings.Replace(fluxdBlocks("git@h:a", "", ""), " metadata {", left("metadata")+" metadata {", 1):           true,
		strings.Replace(fluxdBlocks("git@h:a", "", ""), " metadata {", left("metadata[0].name")+" metadata {", 1):   true,
		strings.Replace(fluxdBlocks("git@h:a", "", ""), " metadata {", left("metadata[0].labels")+" metadata {", 1): false,
	} {
		a := declaredBy(t, map[string]string{"main.tf": config}).Agents[0]
		s := settingOf(t, a, map[bool]string{true: "helm_release", false: "kubernetes_deployment"}[strings.Contains(config, "helm_release")]+".lifecycle.ignore_changes")
		equal(t, s.Value+": keeps its name", strings.Contains(s.Why, "keeps the name and namespace"), kept)
	}
}
