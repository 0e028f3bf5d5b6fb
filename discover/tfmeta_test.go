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
		want := map[string]migrate.Fate{"count": migrate.Dropped, "depends_on": migrate.Dropped, "provisioner": migrate.Dropped, "lifecycle.ignore_changes": migrate.Unknown}
		switch typ {
		case "helm_release":
			want["lifecycle.ignore_changes"] = migrate.Dropped
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
	}
}
