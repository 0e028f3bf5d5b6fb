package discover

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// deploymentOfDoubts has settings that are for a person to decide, and one of which a
// finding of its own tells.
var deploymentOfDoubts = strings.NewReplacer(
	"      serviceAccountName: flux\n", "      serviceAccountName: flux\n      hostAliases: [{ip: 10.0.0.9, hostnames: [git.example.com]}]\n      initContainers: [{name: prepare, image: busybox}]\n",
	`"--git-branch=main"`, `"--git-branch=main", "--unheard-of=MARKED-SECRET-flag"`,
	"        image: fluxcd/flux:1.25.4\n", "        image: fluxcd/flux:1.25.4\n        workingDir: /MARKED-SECRET-dir\n",
).Replace(deploymentOfMuch)

// What a person is to decide is told once of each agent, without what it is set to, and
// nothing of which another finding tells.
func TestWhatAPersonDecidesIsToldOnceOfEachAgent(t *testing.T) {
	live, declared := liveIn(t, deploymentOfDoubts), declaredBy(t, asManifest(t, deploymentOfDoubts))
	for what, c := range map[string]struct {
		inv   migrate.Inventory
		words []string
	}{
		"live":     {live, []string{"pod.hostAliases (Deployment/flux/flux pod.hostAliases)", "initContainer.prepare (Deployment/flux/flux initContainer prepare)", "container.workingDir ("}},
		"declared": {declared, []string{"hostAliases (", "initContainer.prepare (", "workingDir (", "main.tf.json"}},
		"both":     {Merge(live, declared), []string{"pod.hostAliases (Deployment/flux/flux pod.hostAliases)", "initContainer.prepare (Deployment/flux/flux initContainer prepare)", "container.workingDir ("}},
		"again":    {func() migrate.Inventory { inv := live; sayUndecided(&inv); return inv }(), []string{"initContainer.prepare ("}},
	} {
		f := said(t, c.inv, "SETTINGS_UNDECIDED", c.words...)
		if f.Severity != migrate.Warning || f.Repository != "flux/flux" || strings.Contains(f.Message, "unheard-of") || strings.Contains(f.Message, "MARKED-SECRET") {
			t.Errorf("%s: %s", what, f)
		}
		told := 0
		for _, o := range c.inv.Findings {
			if o.Code == "SETTINGS_UNDECIDED" {
				told++
			}
		}
		for _, name := range []string{"hostAliases", "initContainer", "workingDir"} {
			// Its own name, and the place of one that is of the Deployment alone.
			if n := strings.Count(f.Message, name+" ("); n > 1 {
				t.Errorf("%s: %s is named %d times: %s", what, name, n, f)
			}
		}
		if told != 1 {
			t.Errorf("%s: told %d times", what, told)
		}
		said(t, c.inv, "UNKNOWN_FLAG", "--unheard-of")
	}
}

// What keeps Terraform from destroying its resource is no setting of the agent's, and what
// to do with it is said.
func TestWhatKeepsTerraformFromDestroyingIsToBeTakenOut(t *testing.T) {
	config := func(more string) map[string]string {
		return map[string]string{"main.tf": "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n" +
			" set {\n name = \"git.url\"\n value = \"git@h:a\"\n }\n" + more + " lifecycle {\n prevent_destroy = true\n }\n}\n"}
	}
	hint := said(t, declaredBy(t, config("")), "SETTINGS_UNDECIDED", "prevent_destroy").Hint
	if !strings.HasPrefix(hint, "take lifecycle.prevent_destroy out before") {
		t.Errorf("alone: %q", hint)
	}
	hint = said(t, declaredBy(t, config(" unheard_of = 1\n")), "SETTINGS_UNDECIDED", "prevent_destroy").Hint
	if !strings.HasPrefix(hint, Undecided.Remedy) || !strings.Contains(hint, "; take lifecycle.prevent_destroy out before") {
		t.Errorf("beside another: %q", hint)
	}
}

// tellers are the codes of findings that tell of settings which are for a person to decide.
var tellers = []string{
	"UNKNOWN_FLAG", "BAD_FLAG", "SYMBOLIC_FLAG", "CHART_VALUE_UNRECOGNISED", "CLOUD_IDENTITY", "CLOUD_IDENTITY_USED", "HELM_OPERATOR_IN_RELEASE", "SSH_CONFIG", "TERRAFORM_NOT_UNDERSTOOD",
}

// No setting of which nobody knows what becomes of it is seen in the ledger alone, in
// any inventory that is kept: another finding tells of it, or SETTINGS_UNDECIDED.
func TestNoUndecidedSettingIsInTheLedgerAlone(t *testing.T) {
	var files []string
	for _, pattern := range []string{"testdata/*/*.json", "testdata/*/*/want.json", "terraform/testdata/forms/*/inventory.json"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	undecidedOnes, toldOnes := 0, 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var inv migrate.Inventory
		if json.Unmarshal(raw, &inv) != nil || inv.Kind != "Inventory" {
			continue
		}
		for _, a := range inv.Agents {
			tells := func(s migrate.Setting, codes ...string) bool {
				return slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool {
					return f.Repository == a.ID && slices.Contains(codes, f.Code) && (len(codes) > 1 || strings.Contains(f.Message, s.Name))
				})
			}
			for _, s := range a.Settings {
				switch {
				case undecided(s):
					undecidedOnes++
					if !tells(s, "SETTINGS_UNDECIDED") {
						t.Errorf("%s: %s: nothing tells of %s", file, a.ID, s.Name)
					}
				case s.Fate == migrate.Unknown && s.To == migrate.ByFinding:
					toldOnes++
					if !tells(s, tellers...) {
						t.Errorf("%s: %s: no finding tells of %s", file, a.ID, s.Name)
					}
				}
			}
		}
	}
	if undecidedOnes == 0 || toldOnes == 0 {
		t.Errorf("%d are undecided, and %d told of otherwise", undecidedOnes, toldOnes)
	}
}
