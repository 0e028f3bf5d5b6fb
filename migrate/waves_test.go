package migrate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// repositoryOf is an agent whose one application holds the manifests, and as
// many ConfigMaps of its own as padding says.
func repositoryOf(t *testing.T, id string, padding int, texts ...string) Flux1Agent {
	t.Helper()
	a := agentWith(id, []string{"p"})
	_, release, _ := strings.Cut(id, "/")
	for i := range padding {
		texts = append(texts, fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: %s-%d, namespace: of-%s}}`, release, i, release))
	}
	for _, o := range objectsOf(t, texts...) {
		o.File = "p/app/all.yaml"
		a.Objects = append(a.Objects, *o)
	}
	a.Files = []File{{Path: "p/app/all.yaml", Kind: FileManifest, Root: "p"}}
	return a
}

func wavesOf(p Plan) map[string]int {
	out := map[string]int{}
	for _, r := range p.Repositories {
		out[r.ID] = r.Wave
	}
	return out
}

func TestWhatOthersStandOnIsCutOverEarlier(t *testing.T) {
	agents := []Flux1Agent{
		repositoryOf(t, "flux/apps", 1, someWidget),                              // the smallest, and needs both
		repositoryOf(t, "flux/platform", 9, fmt.Sprintf(someCRD, ""), shopPlain), // the largest, and needs none
		repositoryOf(t, "flux/other", 3),                                         // needs none
		repositoryOf(t, "flux/gauges", 1, someGauge),                             // needs the API
		repositoryOf(t, "flux/metrics", 2, someAPI, strings.ReplaceAll(shopPlain, "shop", "metrics")),
	}
	p := Build(Inventory{Agents: agents}, Options{WaveSize: 2})
	want := map[string]int{"flux/other": 1, "flux/metrics": 2, "flux/platform": 2, "flux/apps": 3, "flux/gauges": 3}
	if d := cmp.Diff(want, wavesOf(p)); d != "" {
		t.Error(d)
	}
	after := []Dependency{{Name: "flux/platform", Why: "it defines Namespace shop; it defines the kind Widget"}}
	if d := cmp.Diff(after, p.Repository("flux/apps").After); d != "" {
		t.Error(d)
	}
}

func TestRepositoriesThatNeedEachOtherAreReported(t *testing.T) {
	one, two := `{apiVersion: v1, kind: Namespace, metadata: {name: one}}`, `{apiVersion: v1, kind: Namespace, metadata: {name: two}}`
	in := func(ns string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: %s}}`, ns)
	}
	p := planOf(repositoryOf(t, "flux/a", 0, one, in("two")), repositoryOf(t, "flux/b", 0, two, in("one")))
	if !hasFinding(p, "REPOSITORIES_IN_CIRCLE") || p.Repositories[0].Blocked {
		t.Errorf("findings %v", p.Findings)
	}
	if d := cmp.Diff(map[string]int{"flux/a": 1, "flux/b": 2}, wavesOf(p)); d != "" {
		t.Error(d)
	}
}

func TestTheCanaryIsOneThatIsNotHeldBack(t *testing.T) {
	p := planOf(repositoryOf(t, "flux/a", 1), repositoryOf(t, "flux/b", 2), repositoryOf(t, "flux/c", 3))
	if d := cmp.Diff(map[string]int{"flux/a": 1, "flux/b": 2, "flux/c": 2}, wavesOf(p)); d != "" {
		t.Error(d)
	}
	// The proof finds something later.
	p.Findings = append(p.Findings, Finding{Severity: Blocker, Code: "X", Subject: "flux/a", Repository: "flux/a"})
	p.Settle(nil)
	p.SetWaves()
	if d := cmp.Diff(map[string]int{"flux/b": 1, "flux/a": 2, "flux/c": 2}, wavesOf(p)); d != "" {
		t.Error(d)
	}
}
