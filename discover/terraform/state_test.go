package terraform

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Each file in testdata/states is of one form that a state can have.
func TestEachFormOfAStateIsRead(t *testing.T) {
	entries, err := os.ReadDir("testdata/states")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".expected.json") {
			continue
		}
		read++
		t.Run(e.Name(), func(t *testing.T) {
			s := readStateFile(t, filepath.Join("testdata/states", e.Name()))
			golden(t, filepath.Join("testdata/states", e.Name()+".expected.json"), s)
			data, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), marker) {
				t.Errorf("a secret of the state is kept")
			}
		})
	}
	if read < 5 {
		t.Fatalf("testdata/states has only %d states", read)
	}
}

func TestAnAddressThatStandsForAllMatchesItsInstances(t *testing.T) {
	p := openAddress(`module.a[*].helm_release.flux[*]`)
	for address, want := range map[string]bool{
		`module.a["x"].helm_release.flux[0]`:     true,
		`module.a["x]\"y"].helm_release.flux`:    true,
		`module.a.helm_release.flux["b"]`:        true,
		`module.a["x"].helm_release.flux2[0]`:    false,
		`module.ab["x"].helm_release.flux[0]`:    false,
		`module.a["x"].b.helm_release.flux["c"]`: false,
	} {
		if got := p.MatchString(address); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

// The instances of a block are found in a state by its address as a look at each finds them.
func TestInstancesOfOpenBlocksAreFound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func(keys ...string) string {
		out := ""
		for range random.IntN(3) {
			out += "module." + []string{"a", "ab"}[random.IntN(2)] + keys[random.IntN(len(keys))] + "."
		}
		return out + "helm_release." + []string{"f", "f2", "g"}[random.IntN(3)] + keys[random.IntN(len(keys))]
	}
	keys, paired := []string{"", "[0]", "[1]", `["x"]`, `["x.y"]`, `["[0]"]`, `["a\"]"]`}, 0
	for range 300 {
		r, s, used := &Result{}, &State{}, map[string]bool{}
		for range 40 {
			s.Resources = append(s.Resources, &StateResource{Address: address(keys...), Mode: "managed", Type: "helm_release"})
		}
		for range 5 {
			r.Resources = append(r.Resources, &Resource{Address: address(append(keys, "[*]", "[*]", "[*]")...), Mode: "managed", Type: "helm_release"})
		}
		got, want := map[string]string{}, map[string]string{}
		for _, m := range MatchState(r, s, "helm_release") {
			if m.Config != nil && m.State != nil && strings.Contains(m.Config.Address, "[*]") {
				got[m.Address] = m.Config.Address
			}
		}
		for _, c := range r.Resources {
			pattern, open := openAddress(c.Address), strings.Contains(c.Address, "[*]")
			for _, x := range s.Resources {
				if open && pattern.MatchString(x.Address) && !used[x.Address] {
					want[x.Address] = c.Address
				}
			}
			for _, m := range MatchState(&Result{Resources: []*Resource{c}}, s, "helm_release") {
				used[m.Address] = used[m.Address] || m.Config != nil && m.State != nil
			}
		}
		paired += len(want)
		if !maps.Equal(got, want) {
			t.Fatalf("paired are %v, want %v", got, want)
		}
	}
	if paired < 300 {
		t.Errorf("only %d are paired", paired)
	}
	// Many blocks, and many instances of another, are not held against each other.
	r, s := &Result{}, &State{}
	for i := range 2_000 {
		r.Resources = append(r.Resources, &Resource{Address: fmt.Sprintf("helm_release.b%d[*]", i), Mode: "managed", Type: "helm_release"})
	}
	for i := range 5_000 {
		s.Resources = append(s.Resources, &StateResource{Address: fmt.Sprintf("helm_release.f[%d]", i), Mode: "managed", Type: "helm_release"})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	MatchState(r, s, "helm_release")
	runtime.ReadMemStats(&after)
	if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 80 {
		t.Errorf("it allocated %d MiB", grown)
	}
}

// The name of a provider configuration is read as states write it, whatever
// modules are called.
func TestProviderConfigurationsOfAStateAreRead(t *testing.T) {
	for text, want := range map[string]ProviderRef{
		`provider["registry.terraform.io/hashicorp/helm"]`:                                   {Name: "helm"},
		`provider["registry.terraform.io/hashicorp/helm"].west`:                              {Name: "helm", Alias: "west"},
		`provider["registry.opentofu.org/hashicorp/helm"].west["one.two"]`:                   {Name: "helm", Alias: "west", Key: `["one.two"]`},
		`module.a["x.y"].module.b[0].provider["registry.terraform.io/hashicorp/helm"].w`:     {Name: "helm", Module: `module.a["x.y"].module.b[0]`, Alias: "w"},
		`module.myprovider["a"].provider["registry.terraform.io/hashicorp/helm"].w`:          {Name: "helm", Module: `module.myprovider["a"]`, Alias: "w"},
		`module.provider.provider["registry.terraform.io/hashicorp/helm"]`:                   {Name: "helm", Module: `module.provider`},
		`module.a["provider[\"x\"]"].provider["registry.terraform.io/hashicorp/kubernetes"]`: {Name: "kubernetes", Module: `module.a["provider[\"x\"]"]`},
		`provider.helm`:                         {Name: "helm"},
		`provider.helm.west`:                    {Name: "helm", Alias: "west"},
		`module.my-provider.provider.helm.west`: {Name: "helm", Module: "module.my-provider", Alias: "west"},
		`module.provider.provider.helm`:         {Name: "helm", Module: "module.provider"},
		`registry.terraform.io/hashicorp/helm`:  {Name: "helm"},
		``:                                      {},
	} {
		if got := providerRef(text); got.Name != want.Name || got.Module != want.Module || got.Alias != want.Alias || got.Key != want.Key {
			t.Errorf("%s is %+v, want %+v", text, got, want)
		}
	}
}

// What false or zero says of a workload is told, where it is not what the
// provider writes for what is not set.
func TestFalseAndZeroInAStateAreTold(t *testing.T) {
	s, err := ReadState(t.Context(), strings.NewReader(`{"version":4,"resources":[{"mode":"managed","type":"kubernetes_deployment_v1","name":"flux","instances":[{"attributes":{
	  "metadata":[{"name":"flux","namespace":"flux"}],
	  "spec":[{"replicas":"0","min_ready_seconds":0,"revision_history_limit":0,"paused":false,"template":[{"spec":[{"automount_service_account_token":false,"enable_service_links":false,"host_network":false,
	    "termination_grace_period_seconds":0,"container":[{"name":"flux","image":"fluxcd/flux:1.25.4","tty":false,"security_context":[{"allow_privilege_escalation":false,"privileged":false}]}]}]}]}]}}]}]}`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(s.Workloads("s")[0].Tree())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"Deployment","metadata":{"name":"flux","namespace":"flux"},"spec":{"replicas":"0","revisionHistoryLimit":0,"template":{"spec":{"automountServiceAccountToken":false,` +
		`"containers":[{"image":"fluxcd/flux:1.25.4","name":"flux","securityContext":{"allowPrivilegeEscalation":false}}],"enableServiceLinks":false,"terminationGracePeriodSeconds":0}}}}`
	if string(data) != want {
		t.Errorf("it is %s\nwant  %s", data, want)
	}
}

// With a set_wo_revision the provider keeps no values, and says {}: that is not
// that Helm got none.
func TestValuesThatAStateDoesNotKeepAreUnknown(t *testing.T) {
	for revision, want := range map[string]NodeKind{"null": Map, "0": Map, "1": Unknown} {
		s, err := ReadState(t.Context(), strings.NewReader(`{"version":4,"resources":[{"mode":"managed","type":"helm_release","name":"flux","instances":[{"attributes":{
		  "name":"flux","namespace":"flux","set_wo":null,"set_wo_revision":`+revision+`,"metadata":{"name":"flux","namespace":"flux","revision":1,"values":"{}"}}}]}]}`), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.HelmReleases("s")[0].Values; got.Kind != want || want == Map && len(got.Map)+len(got.Causes) > 0 {
			t.Errorf("with set_wo_revision %s, the values are %s, want %s", revision, got, want)
		}
	}
}

// override_namespace counts over the namespace of a manifest, in the
// configuration and in the state.
func TestANamespaceThatIsOverriddenIsNotTheManifests(t *testing.T) {
	const manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: of-manifest}\nspec: {template: {spec: {containers: [{name: flux, image: 'fluxcd/flux:1.25.4'}]}}}\n"
	for argument, want := range map[string]string{
		`override_namespace = "other"`:     "other",
		`override_namespace = ""`:          "of-manifest",
		`override_namespace = null`:        "of-manifest",
		`override_namespace = var.missing`: "unknown",
		``:                                 "of-manifest",
	} {
		r, err := Load(t.Context(), Options{Dir: writeTree(t, map[string]string{"main.tf": "variable \"missing\" {}\nresource \"kubectl_manifest\" \"flux\" {\n " + argument + "\n yaml_body = <<-Y\n" + manifest + "Y\n}\n"})})
		if err != nil {
			t.Fatal(err)
		}
		got, ok := Workloads(t.Context(), r)[0].Namespace.Str()
		if !ok {
			got = "unknown"
		}
		if got != want {
			t.Errorf("with %s it is %s", argument, got)
		}
	}
	for attributes, want := range map[string]string{
		`"override_namespace":"other","namespace":"other"`: "other",
		`"override_namespace":null`:                        "of-manifest",
		`"override_namespace":""`:                          "of-manifest",
	} {
		text, err := json.Marshal(manifest)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ReadState(t.Context(), strings.NewReader(`{"version":4,"resources":[{"mode":"managed","type":"kubectl_manifest","name":"flux","instances":[{"attributes":{`+attributes+`,"kind":"Deployment","name":"flux","yaml_body":`+string(text)+`}}]}]}`), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		w := s.Workloads("s")[0]
		if got, _ := w.Namespace.Str(); got != want {
			t.Errorf("with %s in the state it is %s", attributes, got)
		}
		if o := s.Resources[0].Object; want == "other" && o.Namespace != want {
			t.Errorf("the object is in %s", o.Namespace)
		}
	}
}
