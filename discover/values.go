package discover

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	sigsyaml "sigs.k8s.io/yaml"
)

// ValuesFile describes an agent by the values of its flux chart alone.
type ValuesFile struct {
	// Name is "namespace/release", or the release's name alone; empty takes
	// the file's.
	Name string
	// Version of the chart, or a constraint of it; empty if it is not known.
	Version string
	// File is where the values stand, for people; Content what they are.
	File    string
	Content []byte
}

// maxValues bounds a file of values.
const maxValues = 4 << 20

// Values makes an Inventory of agents that are described by the values of their
// charts alone. Of a chart whose version is not given, what its versions make alike
// of the values is known, and the rest is not. An error is about a file that holds no
// values.
func Values(ctx context.Context, files []ValuesFile) (migrate.Inventory, error) {
	inv := migrate.Inventory{APIVersion: migrate.APIVersion, Kind: "Inventory", Cluster: migrate.Cluster{From: "values"},
		Agents: []migrate.Flux1Agent{}, Findings: []migrate.Finding{}}
	for _, f := range files {
		d, err := valuesAgent(ctx, f)
		if err != nil {
			return inv, err
		}
		if slices.ContainsFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return a.ID == d.ID }) {
			return inv, fmt.Errorf("%s is described twice; name one of them otherwise, as namespace/release=%s", d.ID, f.File)
		}
		inv.Agents = append(inv.Agents, (&agent{Flux1Agent: d.Flux1Agent}).finished())
		inv.Findings = append(inv.Findings, d.reported()...)
	}
	slices.SortFunc(inv.Agents, func(a, b migrate.Flux1Agent) int { return strings.Compare(a.ID, b.ID) })
	sayUndecided(&inv)
	return inv, nil
}

func valuesAgent(ctx context.Context, f ValuesFile) (*declared, error) {
	if len(f.Content) > maxValues {
		return nil, fmt.Errorf("%s is larger than %d bytes", f.File, maxValues)
	}
	var given map[string]any
	if err := sigsyaml.Unmarshal(f.Content, &given); err != nil {
		// The parser's words quote what it read, which may be secret.
		return nil, fmt.Errorf("%s holds no chart values: it is no YAML mapping", f.File)
	}
	if given == nil {
		given = map[string]any{}
	}
	base := filepath.Base(f.File)
	d := &declared{at: base}
	d.InstalledBy, d.Synced.Behind = "helm", -1
	name := f.Name
	if name == "" {
		name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	namespace, release, ok := strings.Cut(name, "/")
	if !ok {
		namespace, release = "", name
	}
	if release == "" || strings.Contains(release, "/") {
		return nil, fmt.Errorf("%q is no name of an agent: write namespace/release", name)
	}
	d.Namespace, d.Release, d.ID = namespace, release, namespace+"/"+release
	described := chart.Release{Name: release, Namespace: namespace}
	if namespace == "" {
		d.ID = "values/" + release
		described.Cause = "the file's name says nothing of the namespace; --values NAMESPACE/RELEASE=FILE does"
		d.unknown("namespace")
	}
	versions, why := chart.Versions(), "chart values do not say which version of the chart they are for; --values [NAME=]FILE@VERSION does"
	if f.Version != "" {
		versions, why = candidates(&terraform.Node{Kind: terraform.Scalar, Scalar: f.Version})
	}
	r := decodeAny(described, versions, why, floats(given), new(int))
	lines := valueLines{base, splitLines(f.Content)}
	for i := range r.Settings {
		for j := range r.Settings[i].From {
			from := &r.Settings[i].From[j]
			from.Where = lines.place(from.Where)
		}
	}
	d.ChartVersion = r.Version
	d.setRendered(ctx, &r)
	for _, found := range r.Findings {
		found.Where = lines.place(found.Where)
		d.find(found)
	}
	d.unknown("running", "synced", "terraform")
	return d, nil
}

// valueLines finds the lines of values in a file.
type valueLines struct {
	file  string
	lines *textLines
}

// place puts file and line before a value's name, where it stands in the file.
func (l valueLines) place(name string) string {
	switch {
	case name == "":
		return l.file
	case strings.Contains(name, defaultOf): // which stands in no file
		return name
	}
	if n := l.lines.of(0, strings.Split(strings.TrimPrefix(name, "values."), ".")); n > 0 {
		return fileLine(l.file, n) + " " + name
	}
	return name
}
