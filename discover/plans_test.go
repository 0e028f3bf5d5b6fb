package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/fluxover/fluxover/e2e/answers"
	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
	sigsyaml "sigs.k8s.io/yaml"
)

// planOfReal is a whole plan, and what each of its Kustomizations would build.
type planOfReal struct {
	migrate.Plan
	// Builds are the ids of the objects by Kustomization, or why it cannot be
	// built.
	Builds map[string]any `json:"builds"`
}

// ofNoPlace are refusals about what stands in no one file and no one object: of
// the cluster, of a whole repository, or of several files that the message names.
var ofNoPlace = []string{
	"API_GROUP_DOWN", "BUILD_FAILED", "CLUSTER_ADMIN", "EMPTY_BUILD", "EMPTY_SET", "HELMRELEASE_V1", "IMAGE_AUTOMATION", "KNOWN_HOSTS_MISSING",
	"KUBERNETES_TOO_OLD", "MARK_HANDED_TO_PODS", "NEVER_SYNCED", "NO_AGENTS", "NO_RIGHTS", "SETTING_BLOCKS", "SOPS_ENCRYPTED", "SOURCE_IGNORE_UNREADABLE",
	"TOKEN_IN_PLAIN_TEXT",
}

// everyRefusalIsPlacedAndMended checks that each blocker says what is refused,
// where it stands, and what to do.
func everyRefusalIsPlacedAndMended(t *testing.T, plan migrate.Plan) {
	t.Helper()
	for _, f := range plan.Findings {
		if f.Severity != migrate.Blocker {
			continue
		}
		if f.Message == "" || f.Hint == "" {
			t.Errorf("%s of %q says %q, and to do %q", f.Code, f.Subject, f.Message, f.Hint)
		}
		if f.Where == "" && !slices.Contains(ofNoPlace, f.Code) {
			t.Errorf("%s of %q has no place", f.Code, f.Subject)
		}
	}
}

// planReal plans a public repository from its files alone.
func planReal(t *testing.T, name string) planOfReal {
	t.Helper()
	return planOfInventory(t, readReal(t, name), migrate.Options{}, nil)
}

// planOfInventory plans, and proves in a world, which may be nil. It checks that
// everything that fluxd applies is built once, as far as it can be built; where
// it is not, a finding must hold it back.
func planOfInventory(t *testing.T, inv migrate.Inventory, opts migrate.Options, w proof.World) planOfReal {
	t.Helper()
	res, err := proof.Prove(t.Context(), inv, opts, w)
	if err != nil {
		t.Fatal(err)
	}
	plan := res.Plan
	everyLineExplained(t, plan, inv)
	everyRefusalIsPlacedAndMended(t, plan)
	out := planOfReal{Plan: plan, Builds: map[string]any{}}
	heldBack := func(id string, codes ...string) bool {
		return slices.ContainsFunc(plan.Findings, func(f migrate.Finding) bool {
			return f.Severity == migrate.Blocker && slices.Contains(codes, f.Code) && (strings.HasSuffix(f.Subject, " "+id) || strings.HasSuffix(f.Subject, " "+migrate.DisplayID(id)))
		})
	}
	builtBy := map[string]string{} // over all repositories
	for i := range plan.Repositories {
		r := &plan.Repositories[i]
		a := agentNamed(t, inv, r.ID)
		if kind := a.Confinement.Kind; r.Rights != nil && (kind == "cluster-admin" || kind == "namespaces") && len(r.Rights.Kept) == 0 {
			t.Errorf("the rights of %s are known (%s), and its new account gets none", r.ID, a.Confinement.Kind)
		}
		if a.Tree == nil {
			continue // it was not read, which a finding says
		}
		failed := map[string]bool{}
		planned := map[string]string{} // the Kustomization of each object
		for _, o := range r.Objects {
			planned[o.ID] = o.Application
		}
		for _, k := range r.Kustomizations {
			objects, err := proof.Render(t.Context(), &a, &plan, k)
			if err != nil {
				out.Builds[k.GetName()], failed[k.GetName()] = err.Error(), true
				continue
			}
			var ids []string
			for _, o := range objects {
				id := migrate.ObjectID(o)
				if by := builtBy[id]; by != "" && !heldBack(id, "OBJECT_IN_TWO_APPLICATIONS", "OBJECT_IN_TWO_REPOSITORIES") {
					t.Errorf("%s is built by %s and by %s", id, by, k.GetName())
				}
				builtBy[id] = k.GetName()
				ids = append(ids, id)
			}
			slices.Sort(ids)
			out.Builds[k.GetName()] = ids
		}
		for _, o := range a.Objects {
			if (o.Class == migrate.ClassApplied || o.Class == migrate.ClassSyncOnly) && builtBy[o.ID] == "" && !failed[planned[o.ID]] && !heldBack(o.ID, "OBJECT_LOST", "METADATA_NOT_STRING") {
				t.Errorf("%s is applied by fluxd, and nothing builds it", o.ID)
			}
		}
	}
	return out
}

// everyLineExplained demands an answer for each line of what is emitted of a
// plan, and for each setting that it was made of.
func everyLineExplained(t *testing.T, plan migrate.Plan, inv migrate.Inventory) {
	t.Helper()
	report := emit.Report{Plan: plan, Inventory: inv, Capacitor: emit.Capacitor{URL: "https://git.example.com/flux-capacitor", Branch: "main", Cluster: "prod"}}
	changes, err := emit.Tree(fstest.MapFS{}, &plan, report.Capacitor)
	if err != nil {
		t.Fatal(err)
	}
	explain := emit.Explainer(report)
	ask := answers.Ask(func(subject string) any { return explain(subject) })
	ask.Lines(t, answers.Tree(changes))
	ask.Settings(t, inv)
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

// standIn is a checkout for an agent whose own repository is not public: fluxd
// finds one object, and what it needs, at each of its paths.
func standIn(t *testing.T, paths []string, namespace bool) string {
	t.Helper()
	dir := t.TempDir()
	if len(paths) == 0 {
		paths = []string{""}
	}
	for i, path := range paths {
		manifest := fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: settings-%d, namespace: apps}}\n", i)
		if i == 0 && namespace {
			manifest += "---\n{apiVersion: v1, kind: Namespace, metadata: {name: apps}}\n"
		}
		err := os.MkdirAll(filepath.Join(dir, path), 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, path, "settings.yaml"), []byte(manifest), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestConfigurationsFoundInPublicArePlannedAsTheirSourcesSay(t *testing.T) {
	for _, c := range realConfigurations {
		t.Run(c.name, func(t *testing.T) {
			inv := readDeclared(t, c)
			dir := filepath.Join("testdata", "real", c.repository)
			if len(inv.Agents) == 1 && inv.Agents[0].Git.URL != "" {
				git := inv.Agents[0].Git
				if c.repository == "" {
					dir = standIn(t, git.Paths, len(inv.Agents[0].AllowedNamespaces) == 0) // which others make then
				}
				var err error
				if inv, err = Repositories(t.Context(), inv, []Folder{{URL: git.URL, Dir: dir}}, nil, nil); err != nil {
					t.Fatal(err)
				}
			}
			plan := planOfInventory(t, inv, migrate.Options{}, nil)
			switch {
			case c.planned != nil:
				c.planned(t, plan)
			case len(inv.Agents) > 0:
				t.Error("it is not held against what its source says")
			}
			raw, err := sigsyaml.Marshal(plan)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.IsAbs(dir) && strings.Contains(string(raw), dir) {
				t.Error("a path of this machine is told")
			}
			equalsGolden(t, filepath.Join("testdata", "plan", "terraform-"+c.name+".yaml"), string(raw))
		})
	}
}
