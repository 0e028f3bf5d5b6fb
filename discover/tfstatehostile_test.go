package discover

import (
	"context"
	"errors"
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
		c, err := stateAlone(t.Context(), stateFile{name: "s", state: s}, nil)
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
	c, err := stateAlone(t.Context(), stateFile{name: "s", state: s}, nil)
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

// releaseOfChart is a helm_release of a state, of a chart named flux.
func releaseOfChart(name, chart, repository, version, app, more string) string {
	return fmt.Sprintf(`{"mode":"managed","type":"helm_release","name":%q,"provider":"provider[\"registry.terraform.io/hashicorp/helm\"]","instances":[{"attributes":{"name":%[1]q,"namespace":"flux","chart":%q,"repository":%s,"version":%q,%s"metadata":[{"name":%[1]q,"namespace":"flux","chart":"flux","version":%[4]q,"app_version":%[6]q,"values":"{}"}]}}]}`, name, chart, repository, version, more, app)
}

// ofValues gives a release in a state values.
func ofValues(release, values string) string {
	return strings.Replace(release, `"values":"{}"`, fmt.Sprintf(`"values":%q`, values), 1)
}

// Charts named flux: Flux v1's, Bitnami's of Flux v2, and copies of either that
// a state without their repository does not name as such.
func chartsNamedFlux() string {
	const mirror = "oci://registry.example.com/charts/flux"
	rendered := func(image string) string {
		return fmt.Sprintf(`"manifest":%q,`, fmt.Sprintf(`{"flux/deployment.apps/apps/v1/x":{"spec":{"template":{"spec":{"containers":[{"image":%q}]}}}},"service/v1/x":{"spec":{"template":1}}}`, image))
	}
	return stateText(
		releaseOfChart("alias", "bitnami/flux", "null", "1.3.0", "", ""),
		releaseOfChart("oci", "oci://registry-1.docker.io/bitnamicharts/flux", "null", "2.4.0", "2.5.1", ""),
		releaseOfChart("mirrored", mirror, "null", "0.3.5", "0.41.2", ""),
		releaseOfChart("plain", "flux", "null", "2.4.0", "v2.5.1", ""),
		releaseOfChart("first", mirror, "null", "1.0.3", "1.1.1", ""),
		ofValues(releaseOfChart("controllers", mirror, "null", "2.4.0", "2.5.1", ""), `{"sourceController":{"replicaCount":2},"git":null}`),
		releaseOfChart("rendered", mirror, "null", "2.4.0", "2.5.1", rendered("docker.io/bitnami/fluxcd-source-controller:1.1.1")),
		ofValues(releaseOfChart("both", mirror, "null", "2.4.0", "2.5.1", ""), `{"git":{},"kustomizeController":{}}`),
		releaseOfChart("one", "fluxcd/flux", "null", "1.13.3", "1.25.4", ""),
		releaseOfChart("first-chart", "fluxcd/flux", "null", "0.5.0", "1.8.1", ""),
		releaseOfChart("local", "./charts/flux", "null", "1.3.0", "", ""),
		ofValues(releaseOfChart("forked", "acme/flux", "null", "3.0.0", "2024.1", ""), `{"git":{"url":"git@h:a"}}`),
		releaseOfChart("forked-rendered", "acme/flux", "null", "3.0.0", "2024.1", rendered("registry.example.com/fluxd:acme")),
	)
}

// A chart named flux is told apart by what it installs, and an agent of which
// it is not known is listed and blocks.
func TestAChartNamedFluxInAStateIsToldByWhatItInstalls(t *testing.T) {
	dir := written(t, map[string]string{"s.tfstate": chartsNamedFlux()})
	inv := heldBy(t, filepath.Join(dir, "s.tfstate"))
	unsure := []string{"flux/both", "flux/first", "flux/mirrored", "flux/plain"}
	sure := []string{"flux/first-chart", "flux/forked", "flux/forked-rendered", "flux/local", "flux/one"}
	equal(t, "agents", agentIDs(inv), slices.Sorted(slices.Values(slices.Concat(unsure, sure))))
	equal(t, "not known", reportedOf(inv, TerraformUncertain.Name), unsure)
	said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "helm_release.plain", "v2.5.1")
	said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "helm_release.mirrored", "0.41.2")
	said(t, inv, "TERRAFORM_AGENT_UNCERTAIN", "helm_release.both", "Flux v1 and what speaks of Flux v2")

	// The cluster settles it: what it has is an agent, and the rest is none.
	live := migrate.Inventory{Cluster: migrate.Cluster{From: "cluster"}, Agents: []migrate.Flux1Agent{{ID: "flux/plain", Namespace: "flux", Release: "plain"}}}
	merged := Merge(live, inv)
	equal(t, "not known", reportedOf(merged, TerraformUncertain.Name), []string{})
	equal(t, "address", merged.Agents[0].Terraform.Address, "helm_release.plain")
	equal(t, "severity", said(t, merged, "DECLARED_NOT_LIVE", "flux/mirrored", "of another cluster or none").Severity, migrate.Info)
	equal(t, "severity", said(t, merged, "DECLARED_NOT_LIVE", "flux/one").Severity, migrate.Warning)
}

// reportedOf are the agents of which findings of a code are, sorted.
func reportedOf(inv migrate.Inventory, code string) []string {
	out := []string{}
	for _, f := range inv.Findings {
		if f.Code == code {
			out = append(out, f.Repository)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Beside a configuration that does not declare them, such charts are told as
// those of Flux v1 are.
func TestAChartNamedFluxThatAStateAloneHoldsIsTold(t *testing.T) {
	inv := declaredBy(t, map[string]string{"main.tf": releaseBlock("shop", ""), "terraform.tfstate": chartsNamedFlux()})
	var told []string
	for _, s := range inv.StateOnly {
		told = append(told, strings.TrimPrefix(s.ID, "flux/"))
	}
	slices.Sort(told)
	equal(t, "told", told, []string{"both", "first", "first-chart", "forked", "forked-rendered", "local", "mirrored", "one", "plain"})
	said(t, inv, "TERRAFORM_STATE_ONLY", "helm_release.plain", "not known whether it is Flux v1", "v2.5.1", "no given configuration declares it")
	said(t, inv, "TERRAFORM_STATE_ONLY", "helm_release.one (release flux/one) is in the state")
}

// A configuration tells such a chart by the same clues, by its state's and by
// those of a chart that lies beside it.
func TestAChartNamedFluxInAConfigurationIsToldByWhatItInstalls(t *testing.T) {
	release := func(name, chart, more string) string {
		return fmt.Sprintf("resource \"helm_release\" %q {\n name = %q\n namespace = \"flux\"\n repository = \"https://charts.example.com\"\n chart = %s\n %s\n}\n", name, name, chart, more)
	}
	const url, controllers = "values = [\"git: {url: \\\"git@h:a\\\"}\"]", "values = [\"sourceController: {replicaCount: 2}\"]"
	inv := declaredBy(t, map[string]string{
		"main.tf": "variable \"chart\" {}\n" +
			release("controllers", `"flux"`, controllers) + release("forked", `"flux"`, "version = \"3.0.0\"\n"+url) + release("plain", `"flux"`, "version = \"2.4.0\"") + release("mirrored", `"flux"`, "") +
			release("vendored", `"./bitnami"`, "") + release("local", `"./fork"`, url) + release("local-plain", `"./fork"`, "") +
			release("wrapped", `"./wrapper"`, url) + release("wrapped-old", `"./old"`, url) + release("gitops", "var.chart", url) + release("other", "var.chart", ""),
		"bitnami/Chart.yaml":    "name: flux\nversion: 2.4.0\nappVersion: 2.5.1\nhome: https://bitnami.com\n",
		"fork/Chart.yaml":       "name: flux\nversion: 1.13.3\nappVersion: 2024.1\nsources: any\n",
		"wrapper/Chart.yaml":    "name: platform\nversion: 1.0.0\ndependencies: [{name: flux, repository: \"https://charts.fluxcd.io\"}]\n",
		"old/Chart.yaml":        "name: flux\nversion: 1.0.0\n",
		"old/requirements.yaml": "dependencies: [{name: flux, repository: \"https://charts.fluxcd.io\"}]\n",
		"terraform.tfstate": stateText(releaseOfChart("mirrored", "flux", `"https://charts.example.com"`, "2.4.0", "2.5.1", ""),
			releaseOfChart("gitops", "flux", `"https://charts.fluxcd.io"`, "1.13.3", "1.25.4", ""), strings.ReplaceAll(releaseOfChart("other", "nginx", "null", "1.0.0", "1.0.0", ""), `"chart":"flux"`, `"chart":"nginx"`)),
	})
	equal(t, "agents", agentIDs(inv), []string{"flux/forked", "flux/gitops", "flux/local", "flux/local-plain", "flux/mirrored", "flux/plain"})
	equal(t, "not known", reportedOf(inv, TerraformUncertain.Name), []string{"flux/local-plain", "flux/mirrored"})
	for _, name := range []string{"wrapped", "wrapped-old"} {
		said(t, inv, "TERRAFORM_CHART_HOLDS_FLUX", "helm_release."+name+" installs an agent", "has the flux chart as a part")
	}
	equal(t, "gitops", []any{inv.Agents[1].Git.URL, inv.Agents[1].Terraform.State}, []any{"git@h:a", true})
	equal(t, "of the state alone", len(inv.StateOnly), 0)
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
	said(t, inv, "TERRAFORM_STATE_HIDDEN", "none is named as a Flux v1 agent is: kubernetes_daemonset.other, kubernetes_deployment_v1.gitops, kubernetes_manifest.anything")
}

// Agents of several states that go through provider configurations of the same
// name are listed together, which is said unless a person has said so first.
func TestAgentsOfSeveralStatesAreSaidToBeTakenTogether(t *testing.T) {
	west := func(instance string) string {
		return strings.Replace(instance, `/helm\"]"`, `/helm\"].west"`, 1)
	}
	dir := written(t, map[string]string{
		"a.tfstate": stateText(stateInstance("a", "a", "")), "b.tfstate": stateText(stateInstance("b", "b", ""), stateInstance("c", "c", "")), "none.tfstate": `{"version":4}`,
		"copy.tfstate": stateText(stateInstance("a", "a", "")), "west-a.tfstate": stateText(west(stateInstance("a", "a", ""))), "west-b.tfstate": stateText(west(stateInstance("b", "b", ""))),
	})
	in := func(name string) string { return filepath.Join(dir, name+".tfstate") }
	a, b := in("a"), in("b")
	inv := heldBy(t, a, b)
	equal(t, "agents", agentIDs(inv), []string{"flux/a", "flux/b", "flux/c"})
	for _, files := range [][]string{{"a", "b"}, {"west-a", "west-b"}} {
		// What it says to do settles it.
		inv := heldBy(t, in(files[0]), in(files[1]))
		f := said(t, inv, "TERRAFORM_STATES_TOGETHER", in(files[0])+", "+in(files[1]))
		_, word, _ := strings.Cut(f.Message, "--terraform-provider ")
		word, _, _ = strings.Cut(word, " ")
		named, err := Terraform(t.Context(), TerraformOptions{StateFiles: []string{in(files[0]), in(files[1])}, Provider: word})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "agents of "+word, agentIDs(named), agentIDs(inv))
		notSaid(t, named, TerraformStatesTogether.Name)
	}
	// Of the others none is listed.
	notSaid(t, heldBy(t, a, in("none")), TerraformStatesTogether.Name)
	notSaid(t, heldBy(t, a, in("copy")), TerraformStatesTogether.Name)

	// A cluster that has all of them, or those of one state alone, tells it.
	for ids, want := range map[string]bool{"flux/a flux/b flux/c": false, "flux/a": false, "flux/b flux/c": false, "flux/a flux/b": true} {
		live := migrate.Inventory{Cluster: migrate.Cluster{From: "cluster"}}
		for id := range strings.FieldsSeq(ids) {
			live.Agents = append(live.Agents, migrate.Flux1Agent{ID: id, Namespace: "flux", Release: strings.TrimPrefix(id, "flux/")})
		}
		if merged := Merge(live, inv); want {
			said(t, merged, "TERRAFORM_STATES_TOGETHER", a+", "+b)
		} else {
			notSaid(t, merged, TerraformStatesTogether.Name)
		}
	}
}

// notSaid demands that no finding of a code is made.
func notSaid(t *testing.T, inv migrate.Inventory, code string) {
	t.Helper()
	for _, f := range inv.Findings {
		if f.Code == code {
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
		if _, err := stateAlone(t.Context(), stateFile{name: "s", state: s}, nil); err != nil {
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
	if err := c.hidden(t.Context(), stateFile{name: "s", state: s}); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	equal(t, "findings", len(c.said), 1)
}

// Reading a state alone ends when it is told to, however much the state hides.
func TestReadingAStateAloneCanBeEnded(t *testing.T) {
	s := &terraform.State{Version: "4"}
	for i := range 1000 {
		s.Resources = append(s.Resources, &terraform.StateResource{Mode: "managed", Address: fmt.Sprintf("flux%d", i), Object: &terraform.StateObject{Kind: "Deployment", Name: "flux", Hidden: true}})
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	c := &configuration{}
	if err := c.hidden(ctx, stateFile{name: "s", state: s}); !errors.Is(err, context.Canceled) || len(c.said) > 0 {
		t.Errorf("%d findings were made: %v", len(c.said), err)
	}
	if _, err := stateAlone(ctx, stateFile{name: "s", state: s}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

// What grows in two ways at once takes no more than the sum of them: namespaces of one
// name and agents in it, and blocks that declare nothing in one file.
func TestWhatTerraformDeclaresOftenIsReadOnce(t *testing.T) {
	var nothing strings.Builder
	for i := range 500 {
		fmt.Fprintf(&nothing, "resource \"helm_release\" \"f%d\" {\n count = 0\n chart = \"flux\"\n}\n", i)
	}
	for name, c := range map[string]struct {
		text     string
		findings int // of one code, for all of it
		code     string
	}{
		"namespaces of agents":        {"resource \"kubernetes_namespace\" \"n\" {\n count = 200\n metadata {\n name = \"flux\"\n }\n}\n" + strings.ReplaceAll(releaseBlock("f", ""), " name = \"f\"", " count = 10\n name = \"f${count.index}\""), 10, TerraformNamespace.Name},
		"blocks that declare nothing": {nothing.String(), 500, TerraformNoAgent.Name},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			inv := declaredBy(t, map[string]string{"main.tf": c.text})
			runtime.ReadMemStats(&after)
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 1<<10 {
				t.Errorf("%d MiB were taken", took)
			}
			n := 0
			for _, f := range inv.Findings {
				if f.Code == c.code {
					n++
				}
			}
			equal(t, "findings", n, c.findings)
			if c.code == TerraformNamespace.Name {
				said(t, inv, c.code, "flux/f3", "kubernetes_namespace.n[0], kubernetes_namespace.n[100], ", "kubernetes_namespace.n[117] and 180 more are each the namespace flux of the agent")
			}
		})
	}
}
