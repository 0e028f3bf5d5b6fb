package discover

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
	sigsyaml "sigs.k8s.io/yaml"
)

// planOfReal plans a public repository from its files alone, and says what each
// Kustomization would build.
type planOfReal struct {
	Repositories []migrate.Repository `json:"repositories"`
	Sources      []any                `json:"sources"`
	// Builds are the ids of the objects by Kustomization, or why it cannot be
	// built.
	Builds map[string]any `json:"builds"`
	// Findings of the planner and of the proof, beside those of discovery.
	Findings []migrate.Finding `json:"findings"`
}

func planReal(t *testing.T, name string) planOfReal {
	t.Helper()
	inv := readReal(t, name)
	res, err := proof.Prove(t.Context(), inv, migrate.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plan := res.Plan
	out := planOfReal{Repositories: plan.Repositories, Builds: map[string]any{}, Findings: []migrate.Finding{}}
	for _, s := range plan.Sources {
		out.Sources = append(out.Sources, s.Object)
	}
	for _, f := range plan.Findings {
		if !slices.Contains(inv.Findings, f) {
			out.Findings = append(out.Findings, f)
		}
	}
	for i := range plan.Repositories {
		r := &plan.Repositories[i]
		a := agentNamed(t, inv, r.ID)
		builtBy := map[string]string{}
		for _, k := range r.Kustomizations {
			objects, err := proof.Render(t.Context(), &a, &plan, k)
			if err != nil {
				out.Builds[k.GetName()] = err.Error()
				continue
			}
			var ids []string
			for _, o := range objects {
				id := migrate.ObjectID(o)
				if by := builtBy[id]; by != "" {
					t.Errorf("%s is built by %s and by %s", id, by, k.GetName())
				}
				builtBy[id] = k.GetName()
				ids = append(ids, id)
			}
			slices.Sort(ids)
			out.Builds[k.GetName()] = ids
		}
		for _, o := range a.Objects {
			if (o.Class == migrate.ClassApplied || o.Class == migrate.ClassSyncOnly) && builtBy[o.ID] == "" && !r.Blocked {
				t.Errorf("%s is applied by fluxd, and nothing builds it", o.ID)
			}
		}
	}
	return out
}

func TestRealRepositoriesArePlanned(t *testing.T) {
	for name := range realCheckouts {
		t.Run(name, func(t *testing.T) {
			raw, err := sigsyaml.Marshal(planReal(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(raw), "testdata") {
				t.Error("a path of this machine is told")
			}
			equalsGolden(t, filepath.Join("testdata", "plan", strings.ReplaceAll(name, " ", "-")+".yaml"), string(raw))
		})
	}
}
