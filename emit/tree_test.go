package emit

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
)

func object(kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
	u.SetNamespace("flux-system")
	u.SetName(name)
	return u
}

func planned(id, account string, kustomizations ...string) (migrate.Repository, *unstructured.Unstructured) {
	r := migrate.Repository{ID: id, Sources: []migrate.ObjectRef{{Namespace: "flux-system", Name: account}}}
	r.Supporting = []*unstructured.Unstructured{object("ServiceAccount", account), object("RoleBinding", "b")}
	for _, k := range kustomizations {
		r.Kustomizations = append(r.Kustomizations, object("Kustomization", k))
	}
	return r, object("GitRepository", account)
}

func TestTreeHasTheCapacitorsLayout(t *testing.T) {
	payments, paymentsSource := planned("flux/flux-payments", "payments", "payments-api", "source")
	agent, agentSource := planned("flux/flux-agent", "agent", "agent-web")
	plan := migrate.Plan{Repositories: []migrate.Repository{payments, agent}, Sources: []*unstructured.Unstructured{paymentsSource, agentSource}}
	files, err := Tree(fstest.MapFS{}, &plan, Capacitor{Cluster: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	// A team called "agent" must not share the ClusterAgent's folder, nor an
	// application called "source" the source's file.
	want := []string{
		"capacitor.yaml", "clusters/prod/flux_flux-agent/agent-web.yaml", "clusters/prod/flux_flux-agent/rbac.yaml", "clusters/prod/flux_flux-agent/source.yaml",
		"clusters/prod/kustomization.yaml", "clusters/prod/payments/application_source.yaml", "clusters/prod/payments/payments-api.yaml", "clusters/prod/payments/rbac.yaml", "clusters/prod/payments/source.yaml",
	}
	if got := Paths(files); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for p, content := range files {
		if p == CapacitorFile || content == nil {
			continue
		}
		id := "flux/flux-payments"
		if strings.Contains(p, "agent") {
			id = "flux/flux-agent"
		}
		if subject, ok := WrittenFor(content); !ok || subject != id {
			t.Errorf("%s says it was written for %q (%v), want %q", p, subject, ok, id)
		}
	}
	again, err := Tree(fstest.MapFS{}, &plan, Capacitor{Cluster: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	for p := range files {
		if !bytes.Equal(files[p], again[p]) {
			t.Errorf("%s is not the same twice", p)
		}
	}
}

// Whatever a repository and its folders are called, an application is spoken of
// in capacitor.yaml by its own name.
func TestAnApplicationOfAReservedNameIsSpokenOfByItsOwn(t *testing.T) {
	for account, application := range map[string]string{"application": "application-source", "source": "source", "rbac": "rbac", "kustomization": "kustomization"} {
		r, source := planned("flux/flux-"+account, account, application)
		plan := migrate.Plan{Repositories: []migrate.Repository{r}, Sources: []*unstructured.Unstructured{source}}
		emitted := func(name string) (map[string][]byte, error) {
			return Tree(withSettings(nil, "clusters: {prod: {teams: {"+account+": {applications: {"+name+": {kustomization: {interval: 7m}}}}}}}\n"), &plan, Capacitor{Cluster: "prod"})
		}
		files, err := emitted(application)
		if err != nil {
			t.Errorf("%s of %s: %v", application, account, err)
		}
		changed := ""
		for p, content := range files {
			if strings.Contains(string(content), "interval: 7m0s") {
				changed += p
			}
		}
		if want := "clusters/prod/" + account + "/" + applicationFile(r.Kustomizations[0]); changed != want {
			t.Errorf("%s of %s: %q was changed, want %s", application, account, changed, want)
		}
		others := []string{otherwise + application, "other"}
		if plain, cut := strings.CutPrefix(application, "application-"); cut {
			others = append(others, plain)
		}
		for _, other := range others {
			if _, err := emitted(other); err == nil || !strings.Contains(err.Error(), `capacitor.yaml:3: there is no application "`+other+`"`) {
				t.Errorf("%s of %s: %v", other, account, err)
			}
		}
	}
}

func TestWrittenForKnowsPeoplesFiles(t *testing.T) {
	for _, content := range []string{"", "apiVersion: v1\n", "# Written by hand\n", "# Written by fluxover for x\nkind: A\n"} {
		if subject, ok := WrittenFor([]byte(content)); ok {
			t.Errorf("%q counts as written for %q", content, subject)
		}
	}
}

func TestIndexListsTheAgentsFilesAlone(t *testing.T) {
	got := string(Index("prod", "cluster prod", []string{
		"clusters/prod/agent/teams/shop.yaml", "clusters/prod/agent/source.yaml", "clusters/prod/shop/source.yaml",
		"clusters/other/agent/source.yaml", "clusters/prod/agent/README.md", "clusters/prod/agent/source.yaml",
	}))
	want := "resources:\n- agent/source.yaml\n- agent/teams/shop.yaml\n"
	if !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s", got)
	}
	if _, ok := WrittenFor([]byte(got)); !ok {
		t.Error("the index does not say who wrote it")
	}
}
