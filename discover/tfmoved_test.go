package discover

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// An instance that the configuration has moved is in the state under the address that it
// had, and is the same all the same.
func TestAnInstanceThatWasMovedIsTheOneInTheState(t *testing.T) {
	const release = `resource "helm_release" %q {
  %s
  name       = %q
  namespace  = "flux"
  repository = "https://charts.fluxcd.io"
  chart      = "flux"
  version    = "1.13.3"
  values     = ["git: {url: \"git@h:a\", branch: declared}"]
  lifecycle {
    ignore_changes = [values]
  }
}
`
	moved := func(from, to string) string { return fmt.Sprintf("moved {\n from = %s\n to = %s\n}\n", from, to) }
	each := func(name string) string { return fmt.Sprintf(release, name, "for_each = toset([\"a\"])", "flux") }
	instance := func(module, name, key string) string {
		text := strings.Replace(stateInstance(name, "flux", key), `\"url\":\"git@h:a\"`, `\"url\":\"git@h:a\",\"branch\":\"applied\"`, 1)
		if module != "" {
			text = strings.Replace(text, `{"mode"`, fmt.Sprintf(`{"module":%q,"mode"`, module), 1)
		}
		return text
	}
	for name, c := range map[string]struct {
		files   map[string]string
		state   string
		address string
		was     string
	}{
		"to a key": {map[string]string{"main.tf": moved("helm_release.old", `helm_release.new["a"]`) + each("new")},
			instance("", "old", ""), `helm_release.new["a"]`, "helm_release.old"},
		"twice": {map[string]string{"main.tf": moved("helm_release.older", "helm_release.old") + moved("helm_release.old", "helm_release.new") + fmt.Sprintf(release, "new", "", "flux")},
			instance("", "older", ""), "helm_release.new", "helm_release.older"},
		"with its keys": {map[string]string{"main.tf": moved("helm_release.old", "helm_release.new") + each("new")},
			instance("", "old", `"index_key":"a",`), `helm_release.new["a"]`, `helm_release.old["a"]`},
		"with its module": {map[string]string{
			"main.tf":   moved("module.old", `module.new["k"]`) + "module \"new\" {\n for_each = toset([\"k\"])\n source = \"./m\"\n}\n",
			"m/main.tf": fmt.Sprintf(release, "f", "", "flux")},
			instance("module.old", "f", ""), `module.new["k"].helm_release.f`, "module.old.helm_release.f"},
		"within a module": {map[string]string{
			"main.tf":   "module \"m\" {\n for_each = toset([\"k\"])\n source = \"./m\"\n}\n",
			"m/main.tf": moved("helm_release.old", "helm_release.f") + fmt.Sprintf(release, "f", "", "flux")},
			instance(`module.m["k"]`, "old", ""), `module.m["k"].helm_release.f`, `module.m["k"].helm_release.old`},
		"in JSON": {map[string]string{"main.tf": fmt.Sprintf(release, "new", "", "flux"), "moved.tf.json": `{"moved": {"from": "helm_release.old", "to": "helm_release.new"}}`},
			instance("", "old", ""), "helm_release.new", "helm_release.old"},
	} {
		t.Run(name, func(t *testing.T) {
			c.files["s.json"] = stateText(c.state)
			inv := declaredBy(t, c.files, func(dir string, o *TerraformOptions) { o.StateFiles = []string{filepath.Join(dir, "s.json")} })
			if len(inv.Agents) != 1 || len(inv.StateOnly) != 0 {
				t.Fatalf("agents %v, in the state only %v", agentIDs(inv), inv.StateOnly)
			}
			a := inv.Agents[0]
			equal(t, "agent", []any{a.Terraform.Address, a.Terraform.State, a.Git.Branch}, []any{c.address, true, "applied"})
			if from := asJSON(settingOf(t, a, "--git-branch").From); !strings.Contains(strings.ReplaceAll(from, `\`, ""), "state ("+c.was+")") {
				t.Errorf("--git-branch is from %s", from)
			}
			for _, code := range []string{"TERRAFORM_STATE_ONLY", "TERRAFORM_NOT_IN_STATE"} {
				if finds(inv, code) {
					t.Errorf("%s: %v", code, inv.Findings)
				}
			}
		})
	}

	// One that is there already is not replaced, as terraform has it.
	config := moved("helm_release.old", "helm_release.new") + fmt.Sprintf(release, "new", "", "flux")
	inv := withStateOf(t, config, stateText(instance("", "old", ""), stateInstance("new", "flux", "")))
	equal(t, "state only", []string{inv.StateOnly[0].Place.Address, inv.Agents[0].Git.Branch}, []string{"helm_release.old", "master"})
	// And two that lead to each other end.
	inv = withStateOf(t, config+moved("helm_release.new", "helm_release.old"), stateText(instance("", "old", "")))
	equal(t, "agents", agentIDs(inv), []string{"flux/flux"})

	config = "removed {\n from = helm_release.gone\n lifecycle {\n destroy = false\n }\n}\nremoved {\n from = module.all\n}\nimport {\n to = helm_release.imported\n id = \"flux/imported\"\n}\n" +
		fmt.Sprintf(release, "imported", "", "imported") + fmt.Sprintf(release, "new", "", "new")
	inv = withStateOf(t, config, stateText(instance("", "gone", ""), instance("module.all", "x", "")))
	said(t, inv, "TERRAFORM_STATE_ONLY", "helm_release.gone", "the removed block at main.tf:1 has the next apply take it out of the state, and destroy nothing")
	said(t, inv, "TERRAFORM_STATE_ONLY", "module.all.helm_release.x", "the removed block at main.tf:7 has the next apply destroy it")
	f := said(t, inv, "TERRAFORM_NOT_IN_STATE", "helm_release.imported", "by the import block at main.tf:10")
	if strings.Contains(f.Hint, "can be imported") {
		t.Errorf("it is imported: %s", f.Hint)
	}
	if f := said(t, inv, "TERRAFORM_NOT_IN_STATE", "helm_release.new"); strings.Contains(f.Message, "import block") {
		t.Errorf("nothing imports it: %s", f.Message)
	}
}

// What is moved in one folder stays where it was in another that shares the state.
func TestMovedBlocksAreOfTheirFolderAlone(t *testing.T) {
	inv := declaredBy(t, map[string]string{
		"a/main.tf": "moved {\n from = helm_release.shop\n to = helm_release.gone\n}\n",
		"b/main.tf": releaseBlock("shop", ""),
		"s.json":    stateText(stateInstance("shop", "shop", "")),
	}, func(dir string, o *TerraformOptions) {
		o.Dirs, o.StateFiles = []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}, []string{filepath.Join(dir, "s.json")}
	})
	if len(inv.Agents) != 1 || !inv.Agents[0].Terraform.State || len(inv.StateOnly) != 0 || finds(inv, "TERRAFORM_STATE_ONLY") {
		t.Errorf("agents %v, in the state only %v: %v", agentIDs(inv), inv.StateOnly, inv.Findings)
	}
}
