package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// workloadInstance is a kubernetes_manifest of a state that runs fluxd, with
// more in its pods.
func workloadInstance(resource, name, more string) string {
	manifest := fmt.Sprintf(`{"value":{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":%q,"namespace":"flux"},"spec":{"template":{"spec":{"containers":[{"name":"flux","image":"fluxcd/flux:1.25.4","args":["--git-url=git@h:a"]}]%s}}}},"type":["object",{}]}`, name, more)
	return fmt.Sprintf(`{"mode":"managed","type":"kubernetes_manifest","name":%q,"provider":"provider[\"registry.terraform.io/hashicorp/kubernetes\"]","instances":[{"attributes":{"manifest":%s,"object":%[2]s}}]}`, resource, manifest)
}

// Fields with long names, and many of them, are listed within bounds: what is
// not, the field that holds it is, and a finding says so.
func TestTheFieldsOfADeploymentAreListedWithinBounds(t *testing.T) {
	zeros := strings.TrimSuffix(strings.Repeat("0,", 100_000), ",")
	for name, c := range map[string]struct {
		more string
		cut  bool
	}{
		"few":         {`,"tolerations":[{"key":"a"},{"key":"b"}]`, false},
		"a long name": {fmt.Sprintf(`,%q:[%s]`, strings.Repeat("x", 1<<20), zeros), true},
		"many":        {fmt.Sprintf(`,"a":[%s],"b":[%[1]s],"c":[%[1]s],"d":[%[1]s]`, zeros), true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := written(t, map[string]string{"s.tfstate": stateText(workloadInstance("flux", "flux", c.more))})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			inv := heldBy(t, filepath.Join(dir, "s.tfstate"))
			runtime.ReadMemStats(&after)
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 1200 {
				t.Errorf("%d MiB were taken", took)
			}
			equal(t, "agents", agentIDs(inv), []string{"flux/flux"})
			length := 0
			for _, s := range inv.Agents[0].Settings {
				length += len(s.Name)
			}
			if length > maxLedger {
				t.Errorf("the names of settings are %d bytes", length)
			}
			if c.cut {
				said(t, inv, "TERRAFORM_NOT_UNDERSTOOD", "flux/flux", "has more fields")
				rest := false
				for _, s := range inv.Agents[0].Settings {
					rest = rest || s.Value == "***" && s.Fate == migrate.Unknown
				}
				if !rest {
					t.Error("what is not listed is not accounted for")
				}
				return
			}
			equal(t, "a field", settingOf(t, inv.Agents[0], "spec.template.spec.tolerations[1].key").Value, "***")
		})
	}
}

// A Deployment of many fields does not take the place of those of another.
func TestADeploymentOfManyFieldsLeavesRoomForOthers(t *testing.T) {
	many := fmt.Sprintf(`,"a":[%s]`, strings.TrimSuffix(strings.Repeat("0,", 400_000), ","))
	dir := written(t, map[string]string{"s.tfstate": stateText(workloadInstance("a", "a", many), workloadInstance("b", "b", `,"tolerations":[{"key":"a"}]`))})
	inv := heldBy(t, filepath.Join(dir, "s.tfstate"))
	equal(t, "agents", agentIDs(inv), []string{"flux/a", "flux/b"})
	equal(t, "a field", settingOf(t, inv.Agents[1], "spec.template.spec.tolerations[0].key").Fate, migrate.Dropped)
}

// Objects of long addresses are named in findings that stay short.
func TestObjectsOfLongAddressesAreNamedInShortFindings(t *testing.T) {
	for _, long := range []int{3 << 9, 20 << 10} {
		var instances []string
		for i := range 100 {
			instances = append(instances, workloadInstance(fmt.Sprintf("d%s%04d", strings.Repeat("d", long), i), "flux", ""))
		}
		dir := written(t, map[string]string{"s.tfstate": stateText(instances...)})
		s, err := readState(t.Context(), filepath.Join(dir, "s.tfstate"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := stateAlone(t.Context(), stateFile{name: "s", state: s})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "agents", len(c.agents), 100)
		for _, d := range c.agents {
			for _, f := range d.findings {
				if f.Code == TerraformObjects.Name && len(f.Message) > maxListed+100 {
					t.Fatalf("a finding has %d bytes", len(f.Message))
				}
			}
		}
	}
	equal(t, "words", []string{listed([]string{"a", "b", "c"}, 5, 2), listed([]string{"a"}, 1, 2), listed([]string{strings.Repeat("a", maxListed+1)}, 3, 2)},
		[]string{"a, b and 3 more", "a", "3 of which the names are too long to be listed"})
}

// Objects of one name by the thousand are named in findings that stay short.
func TestObjectsOfOneNameAreNamedInShortFindings(t *testing.T) {
	var instances []string
	for i := range 3000 {
		instances = append(instances, workloadInstance(fmt.Sprintf("d%04d", i), "flux", ""))
	}
	dir := written(t, map[string]string{"s.tfstate": stateText(instances...)})
	s, err := readState(t.Context(), filepath.Join(dir, "s.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	c, err := stateAlone(t.Context(), stateFile{name: "s", state: s})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	equal(t, "agents", len(c.agents), 3000)
	length := 0
	for _, d := range c.agents {
		for _, f := range d.findings {
			if f.Code != TerraformObjects.Name {
				continue
			}
			length += len(f.Message)
			if !strings.Contains(f.Message, "and 2950 more") {
				t.Fatalf("it says %.200s", f.Message)
			}
		}
	}
	if length > 10<<20 {
		t.Errorf("the findings have %d bytes", length)
	}
}

// Bitnami's chart of the name flux is Flux v2, also where the state does not
// tell its repository.
func TestFluxV2OfBitnamiInAStateIsNoAgent(t *testing.T) {
	release := func(name, chart, repository, version, app string) string {
		return fmt.Sprintf(`{"mode":"managed","type":"helm_release","name":%q,"provider":"provider[\"registry.terraform.io/hashicorp/helm\"]","instances":[{"attributes":{"name":%[1]q,"namespace":"flux","chart":%q,"repository":%s,"version":%q,"metadata":[{"name":%[1]q,"namespace":"flux","chart":"flux","version":%[4]q,"app_version":%q,"values":"{}"}]}}]}`, name, chart, repository, version, app)
	}
	dir := written(t, map[string]string{"s.tfstate": stateText(
		release("alias", "bitnami/flux", "null", "1.3.0", ""),
		release("oci", "oci://registry-1.docker.io/bitnamicharts/flux", "null", "2.4.0", "2.5.1"),
		release("mirrored", "oci://registry.example.com/charts/flux", "null", "0.3.5", "0.41.2"),
		release("plain", "flux", "null", "2.4.0", "v2.5.1"),
		release("one", "fluxcd/flux", "null", "1.13.3", "1.25.4"),
		release("local", "./charts/flux", "null", "1.3.0", ""),
	)})
	inv := heldBy(t, filepath.Join(dir, "s.tfstate"))
	equal(t, "agents", agentIDs(inv), []string{"flux/local", "flux/one"})
	// A company's own copy may be numbered so as well.
	said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "helm_release.plain", "v2.5.1")
	said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "helm_release.mirrored", "0.41.2")
	s, err := readState(t.Context(), filepath.Join(dir, "s.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "agents that no configuration declares", len(stateAgents(s)), 2)
}

// What a state alone holds as deposed, and what it hides, is told: of whatever
// kind and name.
func TestWhatAStateAloneHidesOrDestroysIsTold(t *testing.T) {
	hidden := func(kind, typ, name string) string {
		return fmt.Sprintf(`{"mode":"managed","type":%q,"name":%q,"provider":"provider[\"registry.terraform.io/hashicorp/kubernetes\"]","instances":[{"attributes":{"metadata":[{"name":%[2]q,"namespace":"ops"}],"manifest":{"value":{"kind":%q,"metadata":{"name":%[2]q}},"type":["object",{}]}},"sensitive_attributes":[[{"type":"get_attr","value":"spec"}],[{"type":"get_attr","value":"manifest"}]]}]}`, typ, name, kind)
	}
	deposed := strings.Replace(workloadInstance("old", "old", ""), `"instances":[{`, `"instances":[{"deposed":"aaaa0000",`, 1)
	dir := written(t, map[string]string{"s.tfstate": stateText(stateInstance("shop", "shop", ""), stateInstance("gone", "gone", `"deposed":"aaaa0000",`), deposed,
		hidden("", "kubernetes_stateful_set_v1", "flux-daemon"), hidden("", "kubernetes_deployment_v1", "gitops"), hidden("", "kubernetes_daemonset", "other"), hidden("", "kubernetes_manifest", "anything"))})
	inv := heldBy(t, filepath.Join(dir, "s.tfstate"))
	equal(t, "agents", agentIDs(inv), []string{"flux/shop"})
	said(t, inv, "TERRAFORM_STATE_ONLY", "helm_release.gone", "deposed")
	said(t, inv, "TERRAFORM_STATE_ONLY", "kubernetes_manifest.old", "deposed")
	said(t, inv, "TERRAFORM_STATE_HIDDEN", "kubernetes_stateful_set_v1.flux-daemon", "StatefulSet ops/flux-daemon")
	said(t, inv, "TERRAFORM_STATE_HIDDEN", "none is named for Flux: kubernetes_daemonset.other, kubernetes_deployment_v1.gitops, kubernetes_manifest.anything")
}

// Agents of several states that go through provider configurations of the same
// name are listed together, which is said unless a person has said so first.
func TestAgentsOfSeveralStatesAreSaidToBeTakenTogether(t *testing.T) {
	dir := written(t, map[string]string{"a.tfstate": stateText(stateInstance("a", "a", "")), "b.tfstate": stateText(stateInstance("b", "b", "")), "none.tfstate": `{"version":4}`})
	a, b := filepath.Join(dir, "a.tfstate"), filepath.Join(dir, "b.tfstate")
	inv := heldBy(t, a, b)
	equal(t, "agents", agentIDs(inv), []string{"flux/a", "flux/b"})
	said(t, inv, "TERRAFORM_STATES_TOGETHER", a+", "+b)
	named, err := Terraform(t.Context(), TerraformOptions{StateFiles: []string{a, b}, Provider: "default"})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "agents", agentIDs(named), []string{"flux/a", "flux/b"})
	for _, f := range append(named.Findings, heldBy(t, a, filepath.Join(dir, "none.tfstate")).Findings...) {
		if f.Code == TerraformStatesTogether.Name {
			t.Errorf("it is said: %v", f)
		}
	}
}

// A state that hides what a workload of another kind runs, and repeats it less
// what is secret, hides nothing.
func TestWhatAProviderRepeatsIsNotHidden(t *testing.T) {
	s, err := terraform.ReadState(t.Context(), strings.NewReader(stateText(`{"mode":"managed","type":"kubectl_manifest","name":"flux","provider":"provider[\"registry.terraform.io/gavinbunney/kubectl\"]","instances":[{"attributes":{"kind":"StatefulSet","name":"flux","namespace":"flux","yaml_body_parsed":"kind: StatefulSet\nmetadata: {name: flux}\n"},"sensitive_attributes":[[{"type":"get_attr","value":"yaml_body"}]]}]}`)), terraform.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Resources[0].Object.Hidden {
		t.Error("it is taken for hidden")
	}
}

// sameAddress are states with two resources of one address, of which one is no
// release.
func sameAddress() map[string]string {
	show := func(address, typ, values string) string {
		return fmt.Sprintf(`{"address":%q,"mode":"managed","type":%q,"name":"shop","provider_name":"registry.terraform.io/hashicorp/helm","values":%s}`, address, typ, values)
	}
	release := show("helm_release.shop", "helm_release", `{"name":"shop","namespace":"flux","chart":"flux","version":"1.13.3"}`)
	return map[string]string{
		"show.json":      `{"format_version":"1.0","values":{"root_module":{"resources":[` + release + "," + show("helm_release.shop", "null_resource", "{}") + `]}}}`,
		"mode.tfstate":   stateText(stateInstance("shop", "shop", ""), strings.Replace(stateInstance("shop", "shop", ""), `"mode":"managed"`, `"mode":"other"`, 1)),
		"twice.tfstate":  stateText(stateInstance("shop", "shop", ""), stateInstance("shop", "shop", "")),
		"module.tfstate": stateText(strings.Replace(stateInstance("shop", "shop", ""), `"mode"`, `"module":"","mode"`, 1)),
	}
}

// A state that no Terraform writes is read for what it holds.
func TestAStateWithTwoResourcesOfOneAddressIsRead(t *testing.T) {
	files := sameAddress()
	dir := written(t, files)
	for name := range files {
		if ids := agentIDs(heldBy(t, filepath.Join(dir, name))); !slices.Contains(ids, "flux/shop") {
			t.Errorf("%s: the agents are %v", name, ids)
		}
	}
}

// No state makes reading it alone panic.
func FuzzStateAlone(f *testing.F) {
	for _, text := range sameAddress() {
		f.Add(text)
	}
	states, err := filepath.Glob("terraform/testdata/states/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range states {
		if data, err := os.ReadFile(name); err == nil {
			f.Add(string(data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := terraform.ReadState(t.Context(), strings.NewReader(text), terraform.Limits{FileBytes: 1 << 16})
		if err != nil {
			return
		}
		if _, err := stateAlone(t.Context(), stateFile{name: "s", state: s}); err != nil {
			t.Error(err)
		}
	})
}

// Workloads that a state hides by the thousand are told in the time that their
// number takes.
func TestManyHiddenWorkloadsAreToldInTime(t *testing.T) {
	s := &terraform.State{Version: "4"}
	for i := range 20_000 {
		s.Resources = append(s.Resources, &terraform.StateResource{Mode: "managed", Address: fmt.Sprintf("%s%05d", strings.Repeat("x", 4<<10), i), Object: &terraform.StateObject{Kind: "Deployment", Name: "x", Hidden: true}})
	}
	c := &configuration{}
	begun := time.Now()
	c.hidden(stateFile{name: "s", state: s})
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	equal(t, "findings", len(c.said), 1)
}
