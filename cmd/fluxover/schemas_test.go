package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
	"github.com/fluxover/fluxover/migrate/proof"
)

// schemaOf compiles one of the published schemas.
func schemaOf(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(filepath.Join(moduleRoot, "docs/schemas", name+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// validate demands that a JSON document is what its schema says.
func validate(t *testing.T, s *jsonschema.Schema, what string, raw []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := s.Validate(value); err != nil {
		t.Errorf("%s is not what the schema says: %v", what, err)
	}
}

func TestInventoriesOfTheGoldensAreWhatTheSchemaSays(t *testing.T) {
	schema, n := schemaOf(t, "inventory"), 0
	err := filepath.WalkDir(filepath.Join(moduleRoot, "discover/testdata"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".json" || strings.Contains(filepath.ToSlash(name), "/testdata/real/") {
			return err
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var document struct{ Kind string }
		if json.Unmarshal(raw, &document) != nil || document.Kind != "Inventory" {
			return nil
		}
		n++
		validate(t, schema, name, raw)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 10 {
		t.Errorf("only %d goldens hold an inventory", n)
	}
}

// A list that is empty is one: the schema of a plan knows no null, so that
// jq '.accepted[]' fails on none.
func TestPlansOfTheGoldensAreWhatTheSchemaSays(t *testing.T) {
	schema := schemaOf(t, "plan")
	_, texts := goldenPlans(t)
	for name, text := range texts {
		var plan map[string]any
		if err := yaml.Unmarshal([]byte(text), &plan); err != nil {
			t.Fatal(err)
		}
		delete(plan, "builds") // which the test that writes them adds
		raw, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		validate(t, schema, name, raw)
	}
}

func TestAnEmptyPlanHoldsNoNull(t *testing.T) {
	schema := schemaOf(t, "plan")
	for name, inv := range map[string]migrate.Inventory{"without agents": {}, "of an agent of which nothing is known": {Agents: []migrate.Flux1Agent{{ID: "a/b"}}}} {
		res, err := proof.Prove(t.Context(), inv, migrate.Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(res.Plan)
		if err != nil {
			t.Fatal(err)
		}
		validate(t, schema, name, raw)
		if i := bytes.Index(raw, []byte("null")); i >= 0 {
			t.Errorf("%s: …%s…", name, raw[max(i-60, 0):i+4])
		}
	}
}

// Whoever reads the phase of a status or of a way back finds in its schema all that it
// can be.
func TestTheSchemasNameEachPhase(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(moduleRoot, "migrate/cutover/status.go"))
	if err != nil {
		t.Fatal(err)
	}
	var phases []string
	for _, match := range regexp.MustCompile(`Phase\s+= "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
		phases = append(phases, match[1])
	}
	if len(phases) == 0 {
		t.Fatal("the source declares no phase")
	}
	for name, definition := range map[string]string{"status": "RepositoryStatus", "rollback-plan": "RepositoryReturn"} {
		raw, err := os.ReadFile(filepath.Join(moduleRoot, "docs/schemas", name+".schema.json"))
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			Defs map[string]struct {
				Properties struct{ Phase struct{ Enum []string } }
			} `json:"$defs"`
		}
		if err := json.Unmarshal(raw, &schema); err != nil {
			t.Fatal(err)
		}
		if got := schema.Defs[definition].Properties.Phase.Enum; !slices.Equal(got, phases) {
			t.Errorf("a %s may be %q, and its schema says %q", name, phases, got)
		}
	}
}

func TestWhatIsPrintedIsWhatTheSchemasSay(t *testing.T) {
	manifest := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": "a"}}}
	inventory := migrate.Inventory{APIVersion: migrate.APIVersion, Kind: "Inventory", Agents: []migrate.Flux1Agent{
		{ID: "a/b", Unknown: []string{"git.url", "sync", "synced", "requests", "allowedNamespaces", "sops"}},
		{ID: "a/c", Sync: migrate.AgentSync{GarbageCollection: migrate.CollectOn}},
	}}
	plan := migrate.Build(inventory, migrate.Options{})
	plan.Sources = append(plan.Sources, manifest)
	was, is := reviewed(), reviewed()
	is.Repositories[0].Commit, is.Inputs.Cluster = "bbbb", "uid-2"
	verification, err := cutover.Verify(&was, &is, nil)
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string]any{
		"inventory":     inventory,
		"plan":          plan,
		"status":        cutover.StatusReport{APIVersion: migrate.APIVersion, Kind: "Status", Repositories: []cutover.RepositoryStatus{{ID: "a/b", Phase: cutover.PhasePending}}},
		"rollback-plan": cutover.RollbackPlan{APIVersion: migrate.APIVersion, Kind: "RollbackPlan", Repositories: []cutover.RepositoryReturn{{ID: "a/b", Phase: cutover.PhaseHolding}}},
		"verification":  verification,
		"explanations":  emit.NewExplanations("--sync-interval", emit.Explain(emit.Report{Plan: plan, Inventory: inventory}, "--sync-interval")),
		"diff": emit.NewDiff(emit.Report{Plan: migrate.Plan{Proof: "server"}, Objects: 1, Differences: []emit.Difference{
			{Repository: "a/b", ObjectPlan: migrate.ObjectPlan{ID: "c", Verb: migrate.Change, Fields: []string{".spec"}}},
		}}),
	}
	published, err := filepath.Glob(filepath.Join(moduleRoot, "docs/schemas/*.json"))
	if err != nil || len(published) != len(printed) {
		t.Errorf("%d schemas are published (%v), and %d documents looked at", len(published), err, len(printed))
	}
	for name, value := range printed {
		var out bytes.Buffer
		if err := write(&out, "json", value); err != nil {
			t.Fatal(err)
		}
		schema := schemaOf(t, name)
		validate(t, schema, name, out.Bytes())
		// What the schema does not know is refused, so that it cannot fall behind.
		if strings.HasPrefix(out.String(), "{") {
			unknown := strings.Replace(out.String(), "{", `{"unheardOf": 1,`, 1)
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(unknown))
			if err != nil {
				t.Fatal(err)
			}
			if schema.Validate(value) == nil {
				t.Errorf("%s: a field that the schema does not know is let through", name)
			}
		}
	}
}
