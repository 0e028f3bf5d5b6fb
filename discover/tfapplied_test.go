package discover

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// withStateOf reads a configuration with a state beside it.
func withStateOf(t *testing.T, config, state string) migrate.Inventory {
	t.Helper()
	return declaredBy(t, map[string]string{"main.tf": config, "s.json": state}, func(dir string, o *TerraformOptions) { o.StateFiles = []string{filepath.Join(dir, "s.json")} })
}

// finds reports whether a kind of finding is among those of an inventory.
func finds(inv migrate.Inventory, code string) bool {
	return slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == code })
}

// Where Helm takes over the values that were applied last, what the configuration does
// not give is as the state has it, and without a state it is not known.
func TestValuesThatHelmReusesAreThoseThatWereAppliedLast(t *testing.T) {
	release := func(more string) string {
		return "variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.6.0\"\n" + more + "\n}\n"
	}
	const url = "set {\n name = \"git.url\"\n value = \"git@h:a\"\n }\n"
	state := func(version string) string {
		return stateText(strings.NewReplacer("1.13.3", version, `{\"git\":{\"url\":\"git@h:a\"}}`, `{\"git\":{\"url\":\"git@h:a\",\"branch\":\"prod\"},\"syncGarbageCollection\":{\"enabled\":true}}`).Replace(stateInstance("flux", "flux", "")))
	}
	for name, c := range map[string]struct {
		config, state string
		branch, gc    string
		unknown       bool // of the branch
	}{
		"reused":                        {release(url + "reuse_values = true"), state("1.6.0"), "prod", "on", false},
		"reused, in text":               {release(url + "reuse_values = \"true\""), state("1.6.0"), "prod", "on", false},
		"reused, and set":               {release(url + "reuse_values = true\n values = [\"git: {branch: new}\"]"), state("1.6.0"), "new", "on", false},
		"perhaps reused":                {release(url + "reuse_values = var.x"), state("1.6.0"), "prod", "on", false},
		"reset":                         {release(url + "reuse_values = true\n reset_values = true"), state("1.6.0"), "master", "off", false},
		"not reused":                    {release(url + "reuse_values = false"), state("1.6.0"), "master", "off", false},
		"reused, and nothing is known":  {release(url + "reuse_values = true"), "", "", "", true},
		"perhaps, and nothing is known": {release(url + "reuse_values = var.x"), "", "", "", true},
		"no values":                     {release(""), state("1.6.0"), "prod", "on", false},
		"no values, reset":              {release("reset_values = true"), state("1.6.0"), "master", "off", false},
		"installed for the first time":  {release(url + "reuse_values = true"), stateText(), "master", "off", false},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": c.config})
			if c.state != "" {
				inv = withStateOf(t, c.config, c.state)
			}
			a := inv.Agents[0]
			equal(t, "branch, collection", []string{a.Git.Branch, string(a.Sync.GarbageCollection)}, []string{c.branch, c.gc})
			equal(t, "unknown", slices.Contains(a.Unknown, "git.branch"), c.unknown)
			equal(t, "collection unknown", slices.Contains(a.Unknown, "sync.garbageCollection"), c.unknown)
			if c.unknown {
				said(t, inv, "CHART_VALUE_NOT_KNOWN", "--git-branch", "reuse_values")
				return
			}
			equal(t, "unknown", unknownOf(a), []string{})
			if c.branch == "prod" {
				if s := settingOf(t, a, "--git-branch"); !strings.Contains(asJSON(s), "state (helm_release.flux)") || !strings.Contains(s.Why, "as the state has it") {
					t.Errorf("--git-branch: %+v", s)
				}
				if finds(inv, TerraformNotApplied.Name) {
					t.Errorf("the next apply changes nothing: %v", inv.Findings)
				}
			}
		})
	}

	// Another version of the chart is rendered with the defaults of the last one.
	inv := withStateOf(t, release(url+"reuse_values = true"), state("1.13.3"))
	a := inv.Agents[0]
	equal(t, "branch", a.Git.Branch, "prod")
	if !strings.Contains(asJSON(inv), "with the defaults of 1.13.3") {
		t.Errorf("nothing says whose defaults count: %v", inv.Findings)
	}
}

// What is set to something that is not known, and was not set when it was applied last, is
// not known: that it was not set then does not say that it is not now.
func TestWhatWasNeverAppliedIsNotTakenForWhatIsNotSet(t *testing.T) {
	release := func(value, lifecycle string) string {
		return "variable \"ro\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n" +
			" set {\n name = \"git.url\"\n value = \"git@h:a\"\n }\n set {\n name = \"git.readonly\"\n value = " + value + "\n }\n set {\n name = \"podLabels.x\"\n value = " + value + "\n }\n" + lifecycle + "}\n"
	}
	inv := withStateOf(t, release("var.ro", ""), stateText(stateInstance("flux", "flux", "")))
	a := inv.Agents[0]
	equal(t, "unknown", unknownOf(a), []string{"git.readonly", "imageAutomation", "sync.state"})
	said(t, inv, "CHART_VALUE_NOT_KNOWN", "--git-readonly", `variable "var.ro" has no value`)
	equal(t, "an unknown value without a flag", settingOf(t, a, "podLabels.x").Fate, migrate.Unknown)
	// Where what was applied last stays, it does.
	equal(t, "left alone", unknownOf(withStateOf(t, release("var.ro", " lifecycle {\n ignore_changes = [set]\n }\n"), stateText(stateInstance("flux", "flux", ""))).Agents[0]), []string{})

	deployment := func(lifecycle string) string {
		return strings.Replace(fluxdBlocks("git@h:a", "", "service_account_name = var.x"), " metadata {", lifecycle+" metadata {", 1)
	}
	state := deploymentState("", `"image":"fluxcd/flux:1.25.4","args":["--git-url=git@h:a"]`, "")
	equal(t, "a Deployment", unknownOf(withStateOf(t, deployment(""), state).Agents[0]), []string{"confinement", "serviceAccount"})
	equal(t, "a Deployment that is left alone", unknownOf(withStateOf(t, deployment("lifecycle {\n ignore_changes = [spec]\n }\n"), state).Agents[0]), []string{"confinement"})
}

// Of what ignore_changes names, the state settles all: also flags that were not given,
// arguments that may set any, and what the pod is made of.
func TestWhatIgnoreChangesNamesIsSettledByTheStateAsAWhole(t *testing.T) {
	const config = "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.6.0\"\n" +
		" set {\n name = \"git.url\"\n value = \"git@h:a\"\n }\n lifecycle {\n ignore_changes = [set, version]\n }\n}\n"
	inv := withStateOf(t, config, stateText(strings.Replace(stateInstance("flux", "flux", ""), "1.13.3", "1.5.0", -1)))
	a := inv.Agents[0]
	equal(t, "unknown", unknownOf(a), []string{})
	equal(t, "agent", []string{a.ChartVersion, a.Workload, a.ServiceAccount, a.Confinement.Kind, string(a.Sync.GarbageCollection), a.Requests.CPU}, []string{"1.5.0", "flux", "flux", "cluster-admin", "off", "50m"})
	for _, s := range a.Settings {
		if s.Fate == migrate.Unknown {
			t.Errorf("%+v", s)
		}
	}
	for _, f := range inv.Findings {
		if f.Code == "CHART_VALUE_NOT_KNOWN" {
			t.Errorf("the state tells it: %v", f)
		}
	}
}

// deploymentState is a state with a kubernetes_deployment named flux.
func deploymentState(key, container, more string) string {
	return stateText(`{"mode":"managed","type":"kubernetes_deployment","name":"flux","provider":"provider[\"registry.terraform.io/hashicorp/kubernetes\"]","instances":[{` + key + `"attributes":{"id":"flux/flux","metadata":[{"name":"flux","namespace":"flux"}],
"spec":[{"replicas":"1","template":[{"metadata":[{"labels":{"name":"flux"}}],"spec":[{` + more + `"container":[{"name":"flux",` + container + `}]}]}]}]}}]}`)
}

// The state tells of a Deployment what the configuration alone does not, and what is not
// applied.
func TestTheStateOfADeploymentTellsWhatItsConfigurationDoesNot(t *testing.T) {
	blocks := func(args, lifecycle, head string) string {
		c := strings.Replace(fluxdBlocks("URL", "", ""), `["--git-url=URL"]`, args, 1)
		if lifecycle != "" {
			lifecycle = "lifecycle {\n ignore_changes = [" + lifecycle + "]\n }\n"
		}
		return strings.Replace(c, " metadata {", head+lifecycle+" metadata {", 1)
	}
	const image = `"image":"fluxcd/flux:1.25.4",`
	state := deploymentState("", image+`"args":["--git-url=git@h:a","--git-branch=release"]`, "")
	for name, c := range map[string]struct {
		config, state    string
		url, branch      string
		unknown, applied string // the first setting that is not applied
	}{
		"another branch": {blocks(`["--git-url=git@h:a", "--git-branch=master"]`, "", ""), state, "git@h:a", "master", "confinement", "--git-branch"},
		"an unknown argument": {blocks(`["--git-branch=master", "--git-url=${var.x}", "--registry-scanning=false"]`, "", ""), state,
			"git@h:a", "master", "confinement", "--git-branch"},
		"unknown arguments": {blocks(`var.x`, "", ""), state, "git@h:a", "release", "confinement", ""},
		"spec left":         {blocks(`["--git-url=git@h:b"]`, "metadata, spec", ""), state, "git@h:a", "release", "confinement", ""},
		"how many":          {blocks(`["--git-url=git@h:a"]`, "", " count = var.x\n"), strings.Replace(state, `"attributes"`, `"index_key":0,"attributes"`, 1), "git@h:a", "master", "confinement", "--git-branch"},
		"hidden": {blocks(`["--git-url=git@h:a", "--git-branch=${var.x}"]`, "", ""), strings.Replace(state, `"attributes"`, `"sensitive_attributes":[[{"type":"get_attr","value":"spec"}]],"attributes"`, 1),
			"git@h:a", "", "confinement git.branch", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inv := withStateOf(t, c.config, c.state)
			equal(t, "agents", agentIDs(inv), []string{"flux/flux"})
			a := inv.Agents[0]
			equal(t, "agent", []string{a.Git.URL, a.Git.Branch, strings.Join(unknownOf(a), " ")}, []string{c.url, c.branch, c.unknown})
			equal(t, "in the state", a.Terraform.State, true)
			if c.applied != "" {
				said(t, inv, "TERRAFORM_NOT_APPLIED", c.applied, `"release" was applied last`, "state (kubernetes_deployment.flux")
			} else if finds(inv, TerraformNotApplied.Name) {
				t.Errorf("nothing is known to be changed by the next apply: %v", inv.Findings)
			}
			if c.unknown == "confinement" && finds(inv, "CHART_VALUE_NOT_KNOWN") {
				t.Errorf("the state tells it: %v", inv.Findings)
			}
		})
	}

	// An argument of which nothing is known may be any of those that were applied.
	other := withStateOf(t, blocks(`[var.x, "--git-branch=release", "--git-url=git@h:a"]`, "", ""), deploymentState("", image+`"args":["--git-url=git@h:a","--git-branch=release","--sync-garbage-collection"]`, ""))
	if !slices.Contains(other.Agents[0].Unknown, "sync.garbageCollection") {
		t.Errorf("an argument was taken for the one in its place: %+v", other.Agents[0].Sync)
	}

	// Variables that are left alone are as they were applied last.
	for _, left := range []string{"spec", "spec[0].template[0].spec[0].container[0].env"} {
		inv := withStateOf(t, blocks(`["--git-url=git@h:a"]`, left, ""), deploymentState("", image+`"args":["--git-url=git@h:a"],"env":[{"name":"HTTPS_PROXY","value":"http://proxy.example.com"}]`, ""))
		if finds(inv, TerraformNotApplied.Name) {
			t.Errorf("%s is left as it was applied: %v", left, inv.Findings)
		}
		if !slices.ContainsFunc(inv.Agents[0].Settings, func(s migrate.Setting) bool { return s.Name == "env.HTTPS_PROXY" }) {
			t.Errorf("%s: the proxy is gone: %v", left, inv.Agents[0].Settings)
		}
	}

	// What stands around fluxd as well.
	inv := withStateOf(t, blocks(`["--git-url=git@h:a"]`, "", ""), deploymentState("", `"image":"fluxcd/flux:1.20.0","args":["--git-url=git@h:a"],"env":[{"name":"A","value":"hunter2"}]`, `"service_account_name":"flux",`))
	said(t, inv, "TERRAFORM_NOT_APPLIED", "image is fluxcd/flux:1.25.4 in the configuration, and fluxcd/flux:1.20.0 was applied last")
	said(t, inv, "TERRAFORM_NOT_APPLIED", "serviceAccount is default in the configuration, and flux was applied last")
	said(t, inv, "TERRAFORM_NOT_APPLIED", "env.A is not given in the configuration")
	if strings.Contains(asJSON(inv), "hunter2") {
		t.Error("a secret of the state is shown")
	}
}
