package chart

import (
	"io"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
)

// TestDecodedReleasesEqualTheLaboratorysChart holds Decode against the
// laboratory's own stand-in for chart 1.13.3, which was written by others. It
// quotes what it prints, makes no objects of other operators, and looks at
// values in its own way where their types are wrong; so values are well formed
// here, and only what the two charts share is compared.
func TestDecodedReleasesEqualTheLaboratorysChart(t *testing.T) {
	c, err := loader.Load(filepath.Join("..", "..", "..", "e2e", "fleet", "chart"))
	if err != nil {
		t.Fatal(err)
	}
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	g := generator{rand.New(rand.NewPCG(8, 15))}
	rendered, arguments := 0, map[string]bool{}
	for i := range 150 {
		in := wellFormed(g)
		want, whyNot := render(c, in)
		if !want.Renders {
			t.Fatalf("set %d: values %s do not render: %s", i, jsonOf(in.Values), whyNot)
		}
		rendered++
		for _, a := range want.Args {
			name, _, _ := strings.Cut(a, "=")
			arguments[name] = true
		}
		if err := compare(c.Metadata.Version, in, want); err != nil {
			t.Fatalf("set %d: release %s/%s, values %s: %v", i, in.Namespace, in.Release, jsonOf(in.Values), err)
		}
	}
	for _, row := range rows {
		if row.until == (version{}) && !arguments["--"+row.flag] {
			t.Errorf("no set of values gave --%s", row.flag)
		}
	}
	t.Logf("%d value sets, %d different arguments", rendered, len(arguments))
}

// wellFormed gives a release with values of the types that the chart expects.
func wellFormed(g generator) releaseCase {
	in := g.releaseCase(last)
	values := map[string]any{}
	for i := range keys {
		k := &keys[i]
		// Refused by the laboratory's chart, or read by it in another form.
		if slices.Contains([]string{"rbac.pspEnabled", "prometheus.serviceMonitor.create", "dashboards.enabled", "hostAliases", "fullnameOverride"}, k.path) ||
			!k.readBy(last) || g.IntN(3) != 0 {
			continue
		}
		put(values, k.path, g.value(k, false))
	}
	// Kubernetes takes no Secret without a name.
	put(values, "registry.dockercfg.secretName", "pull")
	in.Values = values
	return in
}
