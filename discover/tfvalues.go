package discover

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// causes says in words why a node is not known.
func causes(n *terraform.Node) string {
	switch {
	case n == nil:
		return "it is not set"
	case n.Kind == terraform.Sensitive:
		return fmt.Sprintf("%s (%s)", isSensitive, place(n.Origin.Position))
	case len(n.Causes) == 0:
		return "it is not known (" + place(n.Origin.Position) + ")"
	}
	return causeWords(n.Causes)
}

// isSensitive says why a value that is sensitive is not known.
const isSensitive = "its value is sensitive and is not kept"

func causeWords(list []terraform.Cause) string {
	var words []string
	for _, c := range list {
		c.Position.Column = 0
		if s := c.String(); !slices.Contains(words, s) {
			words = append(words, s)
		}
	}
	return firstFew(words)
}

// firstFew are the first causes in words, and how many more there are.
func firstFew(words []string) string {
	const most = 3
	if len(words) > most {
		words = append(words[:most:most], fmt.Sprintf("and %d more", len(words)-most))
	}
	return strings.Join(words, "; ")
}

// place is a position for people: file and line.
func place(p terraform.Position) string {
	p.Column = 0
	return p.String()
}

// chartValues makes of a release's values what [chart.Decode] reads.
func chartValues(n *terraform.Node) any {
	if n == nil {
		return map[string]any{}
	}
	switch n.Kind {
	case terraform.Map:
		out := make(map[string]any, len(n.Map))
		for k, v := range n.Map {
			out[k] = chartValues(v)
		}
		if len(n.Causes) > 0 {
			return chart.Partial{Known: out, Cause: causes(n)}
		}
		return out
	case terraform.List:
		out := make([]any, len(n.List))
		for i, v := range n.List {
			out[i] = chartValues(v)
		}
		return out
	case terraform.Scalar:
		return n.Scalar
	}
	prefix, _, _ := strings.Cut(n.Text, "${")
	return chart.Unknown{Cause: causes(n), Prefix: prefix}
}

// locate finds the node of a value by its path as [chart.Decode] writes it,
// "extraEnvs[0].name", or the nearest one above it. Keys may hold dots.
func locate(n *terraform.Node, path string) *terraform.Node {
	for path != "" && n != nil {
		switch n.Kind {
		case terraform.Map:
			var best, name string
			for k := range n.Map {
				for _, as := range []string{k, strings.ReplaceAll(k, ".", `\.`)} {
					if len(as) >= len(best) && (path == as || strings.HasPrefix(path, as+".") || strings.HasPrefix(path, as+"[")) {
						best, name = as, k
					}
				}
			}
			next, ok := n.Map[name]
			if !ok {
				return n
			}
			n, path = next, strings.TrimPrefix(path[len(best):], ".")
		case terraform.List:
			var i int
			if _, err := fmt.Sscanf(path, "[%d]", &i); err != nil || i < 0 || i >= len(n.List) {
				return n
			}
			_, path, _ = strings.Cut(path, "]")
			n, path = n.List[i], strings.TrimPrefix(path, ".")
		default:
			return n
		}
	}
	return n
}

// candidates are the chart's versions that a release may be of. One of the
// right form that the chart never had is returned as it is. Unless there is
// exactly one, why says what would tell.
func candidates(n *terraform.Node) (versions []string, why string) {
	all := chart.Versions()
	if n == nil || n.Kind == terraform.Scalar && (n.Scalar == nil || n.Scalar == "" || n.Scalar == "*") {
		return all, "no chart version is pinned"
	}
	text, ok := n.Str()
	if !ok {
		return all, causes(n)
	}
	if _, err := semver.StrictNewVersion(strings.TrimPrefix(text, "v")); err == nil {
		return []string{strings.TrimPrefix(text, "v")}, ""
	}
	constraint, err := semver.NewConstraint(text)
	if err != nil {
		return []string{text}, ""
	}
	for _, v := range all {
		if parsed, err := semver.NewVersion(v); err == nil && constraint.Check(parsed) {
			versions = append(versions, v)
		}
	}
	switch len(versions) {
	case 0:
		return []string{text}, ""
	case 1:
		return versions, ""
	}
	return versions, fmt.Sprintf("the chart version %q fits several", text)
}

// configPart is one setting of a [flux1.Config], by its name in an Inventory.
type configPart struct {
	name string
	of   func(*flux1.Config) any
	copy func(to, from *flux1.Config)
}

var configParts = []configPart{
	{"git.url", func(c *flux1.Config) any { return c.URL }, func(t, f *flux1.Config) { t.URL = f.URL }},
	{"git.branch", func(c *flux1.Config) any { return c.Branch }, func(t, f *flux1.Config) { t.Branch = f.Branch }},
	{"git.paths", func(c *flux1.Config) any { return strings.Join(c.Paths, "\x00") }, func(t, f *flux1.Config) { t.Paths = f.Paths }},
	{"git.pollInterval", func(c *flux1.Config) any { return c.PollInterval }, func(t, f *flux1.Config) { t.PollInterval = f.PollInterval }},
	{"git.timeout", func(c *flux1.Config) any { return c.GitTimeout }, func(t, f *flux1.Config) { t.GitTimeout = f.GitTimeout }},
	{"git.readonly", func(c *flux1.Config) any { return c.ReadOnly }, func(t, f *flux1.Config) { t.ReadOnly = f.ReadOnly }},
	{"git.secretName", func(c *flux1.Config) any { return c.SecretName + "\x00" + c.SecretKey }, func(t, f *flux1.Config) { t.SecretName, t.SecretKey = f.SecretName, f.SecretKey }},
	{"git.syncTag", func(c *flux1.Config) any { return c.SyncTag }, func(t, f *flux1.Config) { t.SyncTag, t.NotesRef = f.SyncTag, f.NotesRef }},
	{"sync.interval", func(c *flux1.Config) any { return c.SyncInterval }, func(t, f *flux1.Config) { t.SyncInterval = f.SyncInterval }},
	{"sync.timeout", func(c *flux1.Config) any { return c.SyncTimeout }, func(t, f *flux1.Config) { t.SyncTimeout = f.SyncTimeout }},
	{"sync.garbageCollection", func(c *flux1.Config) any { return c.GarbageCollection }, func(t, f *flux1.Config) { t.GarbageCollection = f.GarbageCollection }},
	{"sync.state", func(c *flux1.Config) any { return c.State }, func(t, f *flux1.Config) { t.State = f.State }},
	{"manifestGeneration", func(c *flux1.Config) any { return c.ManifestGeneration }, func(t, f *flux1.Config) { t.ManifestGeneration = f.ManifestGeneration }},
	{"sops", func(c *flux1.Config) any { return c.SOPS }, func(t, f *flux1.Config) { t.SOPS = f.SOPS }},
	{"allowedNamespaces", func(c *flux1.Config) any { return strings.Join(c.AllowedNamespaces, "\x00") }, func(t, f *flux1.Config) { t.AllowedNamespaces = f.AllowedNamespaces }},
	{"defaultNamespace", func(c *flux1.Config) any { return c.DefaultNamespace }, func(t, f *flux1.Config) { t.DefaultNamespace = f.DefaultNamespace }},
	{"imageAutomation", func(c *flux1.Config) any { return c.ImageAutomation }, func(t, f *flux1.Config) { t.ImageAutomation = f.ImageAutomation }},
}

// defaultOf begins what is said of a value that is not given, behind its name.
const defaultOf = " (default of chart "

// maxTried is how many versions of the chart are tried for the releases of a
// configuration, or of a repository, that do not say which one they are of; each takes
// about half a millisecond.
const maxTried = 50_000

// decodeAny is [chart.Decode] for a release whose chart's version is one of
// several: only what all of them agree on is known. why says what would tell
// the version. tried counts the versions; beyond maxTried none is tried.
func decodeAny(release chart.Release, versions []string, why string, values any, tried *int) chart.Rendered {
	if len(versions) > 1 {
		if *tried += len(versions); *tried > maxTried {
			release.Version = ""
			out := chart.Decode(release, values)
			for i := range out.Findings {
				if out.Findings[i].Code == chart.VersionUnknown.Name {
					out.Findings[i].Message += "; " + why + ", and there are too many such releases to try each version for each of them"
				}
			}
			return out
		}
	}
	var all []chart.Rendered
	for _, v := range versions {
		release.Version = v
		if r := chart.Decode(release, values); r.Renders || len(versions) == 1 {
			all = append(all, r)
		}
	}
	if len(versions) == 1 {
		return all[0]
	}
	release.Version = ""
	out := chart.Decode(release, values)
	if len(all) == 0 {
		return out
	}
	first := all[0]
	agreed := func(of func(*chart.Rendered) any) bool {
		return !slices.ContainsFunc(all, func(r chart.Rendered) bool { return !reflect.DeepEqual(of(&r), of(&first)) })
	}
	// What the chart makes around fluxd.
	parts := map[string]struct {
		of   func(*chart.Rendered) any
		copy func()
	}{
		"workload":       {func(r *chart.Rendered) any { return r.Workload }, func() { out.Workload = first.Workload }},
		"replicas":       {func(r *chart.Rendered) any { return r.Replicas }, func() { out.Replicas = first.Replicas }},
		"serviceAccount": {func(r *chart.Rendered) any { return r.ServiceAccount }, func() { out.ServiceAccount = first.ServiceAccount }},
		"confinement": {func(r *chart.Rendered) any { return [2]any{r.Confinement, r.Rights} }, func() {
			out.Confinement, out.Rights = first.Confinement, first.Rights
		}},
		"requests":          {func(r *chart.Rendered) any { return r.Requests }, func() { out.Requests = first.Requests }},
		"memcached":         {func(r *chart.Rendered) any { return r.Memcached }, func() { out.Memcached = first.Memcached }},
		"keySecret":         {func(r *chart.Rendered) any { return r.KeySecret }, func() { out.KeySecret = first.KeySecret }},
		"knownHosts":        {func(r *chart.Rendered) any { return r.KnownHosts }, func() { out.KnownHosts = first.KnownHosts }},
		"fallbackNamespace": {func(r *chart.Rendered) any { return r.FallbackNamespace }, func() { out.FallbackNamespace = first.FallbackNamespace }},
		"helmOperator":      {func(r *chart.Rendered) any { return r.HelmOperator }, func() { out.HelmOperator = first.HelmOperator }},
		"gitConfig":         {func(r *chart.Rendered) any { return r.GitConfig }, func() { out.GitConfig = first.GitConfig }},
		"sshConfig":         {func(r *chart.Rendered) any { return r.SSHConfig }, func() { out.SSHConfig = first.SSHConfig }},
		"environment":       {func(r *chart.Rendered) any { return r.Env }, func() { out.Env = first.Env }},
		"sidecars":          {func(r *chart.Rendered) any { return r.Sidecars }, func() { out.Sidecars = first.Sidecars }},
	}
	for name, p := range parts {
		if agreed(p.of) && !slices.ContainsFunc(all, func(r chart.Rendered) bool { return r.Unknown[name] != "" }) {
			p.copy()
			delete(out.Unknown, name)
		} else if out.Unknown[name] = why; first.Unknown[name] != "" && agreed(func(r *chart.Rendered) any { return r.Unknown[name] }) {
			out.Unknown[name] = first.Unknown[name]
		}
	}
	// What versions before others do not read, and nothing else changes.
	var known bool
	if out.EnvFrom, known = agreedByReaders(all, func(r *chart.Rendered) []chart.Source { return r.EnvFrom }); !known {
		out.Unknown["environmentFrom"] = why
	}
	if out.Mounts, known = agreedByReaders(all, func(r *chart.Rendered) []chart.Mount { return ofGit(r.Mounts) }); !known {
		out.Unknown["extraMounts"] = why
	}
	// What fluxd is told.
	for _, p := range configParts {
		if slices.ContainsFunc(all, func(r chart.Rendered) bool { return slices.Contains(r.Config.Unknown, p.name) }) {
			continue
		}
		if agreed(func(r *chart.Rendered) any { return p.of(&r.Config) }) {
			p.copy(&out.Config, &first.Config)
			out.Config.Unknown = slices.DeleteFunc(out.Config.Unknown, func(n string) bool { return n == p.name })
		}
	}
	// The ledger. Of a default it is told which versions have it, from the first to the last.
	span := map[[2]string][2]string{} // by the setting and the value that it comes from
	each := func(r *chart.Rendered, s migrate.Setting, where string, told func(key [2]string) string) string {
		parts := strings.Split(where, ", ")
		for i, part := range parts {
			if name, isDefault := strings.CutSuffix(part, defaultOf+r.Version+")"); isDefault {
				parts[i] = name + told([2]string{s.Name, name})
			}
		}
		return strings.Join(parts, ", ")
	}
	for i := range all {
		for _, s := range all[i].Settings {
			for _, o := range s.From {
				each(&all[i], s, o.Where, func(key [2]string) string {
					span[key] = [2]string{cmp.Or(span[key][0], all[i].Version), all[i].Version}
					return ""
				})
			}
		}
	}
	for i := range all {
		for _, s := range all[i].Settings {
			s.From = slices.Clone(s.From)
			for j := range s.From {
				s.From[j].Where = each(&all[i], s, s.From[j].Where, func(key [2]string) string {
					if ends := span[key]; ends[0] != ends[1] {
						return defaultOf + ends[0] + " to " + ends[1] + ")"
					}
					return defaultOf + span[key][0] + ")"
				})
			}
			same := func(o migrate.Setting) bool {
				return o.Name == s.Name && o.Value == s.Value && o.Fate == s.Fate && o.To == s.To && (o.Why == s.Why || strings.HasPrefix(o.Why, "gives --"))
			}
			i := slices.IndexFunc(out.Settings, func(o migrate.Setting) bool { return o.Name == s.Name })
			switch {
			case !slices.ContainsFunc(all, func(r chart.Rendered) bool { return !slices.ContainsFunc(r.Settings, same) }):
			case s.Fate == migrate.Unknown && s.To != migrate.ByFinding: // what a finding tells of may not be of this version
			default:
				s.Fate, s.To, s.Why, s.Value = migrate.Unknown, "the chart's version", "versions of the chart differ in it, and "+why, ""
			}
			switch {
			case i < 0:
				out.Settings = append(out.Settings, s)
			case out.Settings[i].To == "the chart's version" && s.To != "the chart's version":
				out.Settings[i] = s
			}
		}
	}
	slices.SortStableFunc(out.Settings, func(a, b migrate.Setting) int { return cmp.Compare(a.Name, b.Name) })
	var findings []migrate.Finding
	for _, f := range out.Findings {
		if f.Code == chart.VersionUnknown.Name {
			f.Message = fmt.Sprintf("the chart's version is not known (%s); only what its versions %s to %s agree on is taken", why, versions[0], versions[len(versions)-1])
		}
		findings = append(findings, f)
	}
	for _, f := range first.Findings {
		if !slices.ContainsFunc(all, func(r chart.Rendered) bool { return !slices.Contains(r.Findings, f) }) {
			findings = append(findings, f)
		}
	}
	out.Findings = migrate.SortFindings(findings)
	return out
}

// agreedByReaders is what all versions of a chart make of a list, of those that
// read the most of the values for it: an agent that is given them is taken to have
// a version that reads them. It is not known if these differ.
func agreedByReaders[T any](all []chart.Rendered, of func(*chart.Rendered) []T) (list []T, known bool) {
	known = true
	for i := range all {
		switch next := of(&all[i]); {
		case len(next) > len(list):
			list, known = next, true
		case len(next) == len(list):
			known = known && (len(next) == 0 || reflect.DeepEqual(next, list))
		}
	}
	if !known {
		return nil, false
	}
	return list, true
}

// whereGiven turns the origins of decoded settings, which name chart values,
// into the places in the configuration that give them. What the chart gives by
// default stays of the witness "values".
func whereGiven(settings []migrate.Setting, values *terraform.Node, address string) {
	for i := range settings {
		var from []migrate.Origin
		for _, o := range settings[i].From {
			for part := range strings.SplitSeq(o.Where, ", ") {
				origin := migrate.Origin{Witness: chart.Witness, Where: part}
				at := givenAt(values, part)
				if !strings.Contains(part, " ") && at.File != "" {
					origin = migrate.Origin{Witness: "terraform", Where: fmt.Sprintf("%s (%s)", place(at), address)}
					if at.Line == 0 { // of a state, which has no lines to name
						origin.Where += " " + part
					}
				}
				if !slices.Contains(from, origin) {
					from = append(from, origin)
				}
			}
		}
		settings[i].From = from
	}
}

// givenAt is where a value is given, by its path, or the nearest one above it. What a
// mapping of which not all is known does not hold may be given anywhere, and is not said to
// be where another of its values is; no file is named if that is not told.
func givenAt(values *terraform.Node, path string) terraform.Position {
	n := locate(values, strings.TrimSuffix(path, ".*"))
	switch {
	case n == nil:
		return terraform.Position{}
	case n.Kind == terraform.Map && len(n.Causes) > 0:
		return values.Origin.Position
	}
	return n.Origin.Position
}

// ofGit are the mounts in which something may stand that git reads beside what
// the chart itself mounts.
func ofGit(mounts []chart.Mount) []chart.Mount {
	var out []chart.Mount
	for _, m := range mounts {
		switch m.Volume {
		case "kubedir", "sshdir", "git-config", "git-key", "git-keygen", "acr-credentials", "docker-credentials", "gpg-keys", "gpg-public-keys":
		default:
			out = append(out, m)
		}
	}
	return out
}
