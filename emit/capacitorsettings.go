package emit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
)

// Settings are what people decide in capacitor.yaml, the one file of a
// flux-capacitor that they edit.
type Settings struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	// Source: how the cluster reads the flux-capacitor itself.
	Source struct {
		// Interval between two looks at the repository; default 1m.
		Interval duration `yaml:"interval"`
	} `yaml:"source"`
	// Sync: how it applies the flux-capacitor itself.
	Sync struct {
		// Interval after which what was applied is looked at without news;
		// default 10m.
		Interval duration `yaml:"interval"`
	} `yaml:"sync"`
	// Defaults hold for every repository of every cluster; what is said of a
	// cluster, a team of it or an application of that overrules them, the
	// narrowest last.
	Defaults Override                    `yaml:"defaults"`
	Clusters map[string]*ClusterOverride `yaml:"clusters"`

	// lines where each key stands, by its path; length of the whole in lines.
	lines  map[string]int
	length int
}

// Override is what is written in place of what Flux v1 had. What is not given
// stays.
type Override struct {
	GitRepository struct {
		// Interval between two looks at a repository.
		Interval *duration `yaml:"interval"`
		// Timeout of one.
		Timeout *duration `yaml:"timeout"`
	} `yaml:"gitRepository"`
	Kustomization KustomizationOverride `yaml:"kustomization"`
}

// KustomizationOverride is what is written into a Kustomization.
type KustomizationOverride struct {
	// Interval after which what was applied is looked at without news.
	Interval *duration `yaml:"interval"`
	// RetryInterval after a failure.
	RetryInterval *duration `yaml:"retryInterval"`
	// Timeout of building, applying and waiting.
	Timeout *duration `yaml:"timeout"`
	// Prune deletes what left Git, but no Namespace and no other object that
	// takes more with it: those of the plan are protected from their adoption on,
	// later ones once they are applied with it ([migrate.ProtectPrecious]).
	Prune *bool `yaml:"prune"`
	// Wait until what was applied is healthy.
	Wait *bool `yaml:"wait"`
	// Ignore names fields of applied objects that are left as they are when others
	// set them. The rules of a narrower place stand in the place of all wider ones.
	Ignore []IgnoreRule `yaml:"ignore"`
}

// IgnoreRule is a rule of a Kustomization's spec.ignore.
type IgnoreRule struct {
	// Paths of fields, as JSON pointers: "/spec/replicas".
	Paths []string `yaml:"paths"`
	// Target chooses the objects; without it all of the Kustomization are meant.
	Target *IgnoreTarget `yaml:"target"`
}

// IgnoreTarget chooses objects by what is given; each is a regular expression that
// must match the whole, the selectors excepted.
type IgnoreTarget struct {
	Group              string `yaml:"group"`
	Version            string `yaml:"version"`
	Kind               string `yaml:"kind"`
	Namespace          string `yaml:"namespace"`
	Name               string `yaml:"name"`
	LabelSelector      string `yaml:"labelSelector"`
	AnnotationSelector string `yaml:"annotationSelector"`
}

// rulesOf are the rules as they stand in a manifest.
func rulesOf(rules []IgnoreRule) []any {
	var out []any
	for _, rule := range rules {
		written := map[string]any{"paths": anys(rule.Paths)}
		if rule.Target != nil {
			target := map[string]any{}
			given := reflect.ValueOf(*rule.Target)
			for i := range given.NumField() {
				if text := given.Field(i).String(); text != "" {
					target[given.Type().Field(i).Tag.Get("yaml")] = text
				}
			}
			written["target"] = target
		}
		out = append(out, written)
	}
	return out
}

// ClusterOverride is what holds for one cluster, by the name of its folder.
type ClusterOverride struct {
	Override `yaml:",inline"`
	Teams    map[string]*TeamOverride `yaml:"teams"`
}

// TeamOverride is what holds for one repository, by the name of its folder.
type TeamOverride struct {
	Override `yaml:",inline"`
	// Applications by the names of their Kustomizations.
	Applications map[string]*ApplicationOverride `yaml:"applications"`
}

// ApplicationOverride is what holds for one application. GitRepositories are
// its team's, so that nothing can be said of them here.
type ApplicationOverride struct {
	Kustomization KustomizationOverride `yaml:"kustomization"`
}

// duration is a time as Kubernetes writes it, "10m0s"; a second or more.
type duration time.Duration

// String writes it as it stands in a manifest.
func (d duration) String() string { return time.Duration(d).String() }

// UnmarshalYAML reads it, and names the line where it is none.
func (d *duration) UnmarshalYAML(node *yaml.Node) error {
	read, err := time.ParseDuration(node.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is no duration such as 30s, 10m or 1h", node.Line, node.Value)
	}
	if read < time.Second {
		return fmt.Errorf("line %d: %s is too short, want 1s or more", node.Line, node.Value)
	}
	*d = duration(read)
	return nil
}

// FirstSettings is the first capacitor.yaml. It is written once.
const FirstSettings = `# What people decide about this flux-capacitor. fluxover wrote this file once,
# reads it whenever it writes others, and never writes it again.
apiVersion: fluxover.dev/v1
kind: Capacitor
source:
  # how often the cluster asks this repository for news
  interval: 1m0s
sync:
  # how often it looks, without news, whether all is as written here
  interval: 10m0s
# For all teams, one line here is a change everywhere. What is not given stays
# as Flux v1 had it. The same may stand below a cluster, a team and an
# application, and the narrowest holds. Where prune turns on what Flux v1 had
# off, namespaces, volumes, definitions and HelmReleases are not deleted: those of
# the hand-over are marked since then, later ones once they are applied with prune
# on. So turn it on while all is Ready, and not with a commit that takes one away.
# Flux v2's own kustomize-controller then also deletes, and makes anew, what moves
# from one folder to another: "fluxover plan --explain MOVED_FILE_DELETED".
# Fields that are left to whoever sets them, as replicas to an autoscaler, stand in
# kustomization.ignore; the narrowest list holds alone.
#
# defaults:
#   gitRepository: {interval: 1m, timeout: 1m}
#   kustomization: {interval: 10m, retryInterval: 1m, timeout: 5m, prune: true, wait: false}
# clusters:
#   prod:
#     kustomization: {interval: 5m}
#     teams:
#       shop:
#         kustomization: {timeout: 10m}
#         applications:
#           shop-web:
#             kustomization:
#               wait: true
#               ignore: [{paths: [/spec/replicas], target: {kind: Deployment, name: web}}]
`

var unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)

// ReadSettings reads capacitor.yaml; what it does not say has its default. An
// error names the file and the line: nothing in it is passed over.
func ReadSettings(content []byte) (Settings, error) {
	var s Settings
	fail := func(format string, args ...any) (Settings, error) {
		return s, fmt.Errorf("read %s of the flux-capacitor: %w", CapacitorFile, fmt.Errorf(format, args...))
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	var several *yaml.TypeError
	switch err := decoder.Decode(&s); {
	case errors.Is(err, io.EOF): // nothing but comments
	case errors.As(err, &several):
		return fail("%s", unknownField.ReplaceAllString(strings.Join(several.Errors, "; "), "there is no setting \"$1\" here"))
	case err != nil:
		return fail("%s", strings.TrimPrefix(err.Error(), "yaml: "))
	case s.Kind != "Capacitor" || s.APIVersion != migrate.APIVersion:
		return fail("want apiVersion %s and kind Capacitor, got %q and %q", migrate.APIVersion, s.APIVersion, s.Kind)
	}
	if err := decoder.Decode(new(any)); err == nil {
		return fail("it holds more than one YAML document")
	}
	s.fill()
	s.lines, s.length = map[string]int{}, len(linesOf(content))
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err == nil && len(document.Content) > 0 {
		s.noteLines("", document.Content[0])
	}
	for at, rules := range s.ignoreRules() {
		for _, rule := range rules {
			if len(rule.Paths) == 0 || slices.ContainsFunc(rule.Paths, func(p string) bool { return !strings.HasPrefix(p, "/") }) {
				return fail("line %d: a rule of ignore needs paths such as /spec/replicas, got %q", s.lines[at], rule.Paths)
			}
		}
	}
	return s, nil
}

// ignoreRules are the rules of ignore, by where they stand.
func (s *Settings) ignoreRules() map[string][]IgnoreRule {
	const below = "/kustomization/ignore"
	out := map[string][]IgnoreRule{"/defaults" + below: s.Defaults.Kustomization.Ignore}
	for cluster, c := range s.Clusters {
		if c == nil {
			continue
		}
		at := "/clusters/" + cluster
		out[at+below] = c.Kustomization.Ignore
		for team, t := range c.Teams {
			if t == nil {
				continue
			}
			at := at + "/teams/" + team
			out[at+below] = t.Kustomization.Ignore
			for application, a := range t.Applications {
				if a != nil {
					out[at+"/applications/"+application+below] = a.Kustomization.Ignore
				}
			}
		}
	}
	return out
}

// fill gives what is not said its default.
func (s *Settings) fill() {
	s.Source.Interval = cmp.Or(s.Source.Interval, duration(time.Minute))
	s.Sync.Interval = cmp.Or(s.Sync.Interval, duration(10*time.Minute))
}

// noteLines remembers where each key stands, by its path.
func (s *Settings) noteLines(path string, node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		below := path + "/" + node.Content[i].Value
		s.lines[below] = node.Content[i].Line
		s.noteLines(below, node.Content[i+1])
	}
}

// overrides are those that hold for an application, the widest first; with an
// empty application those for the whole team.
func (s *Settings) overrides(cluster, team, application string) []*Override {
	out := []*Override{&s.Defaults}
	c := s.Clusters[cluster]
	if c == nil {
		return out
	}
	out = append(out, &c.Override)
	t := c.Teams[team]
	if t == nil {
		return out
	}
	out = append(out, &t.Override)
	if a := t.Applications[application]; a != nil {
		out = append(out, &Override{Kustomization: a.Kustomization})
	}
	return out
}

// apply gives a GitRepository or Kustomization with what the settings say of
// it; the one it is given is not changed. Where they have it prune and Flux v1
// did not, Namespaces and what else holds others are kept from it.
func (s *Settings) apply(cluster, team, application string, object *unstructured.Unstructured) *unstructured.Unstructured {
	out := object.DeepCopy()
	spec, _ := out.Object["spec"].(map[string]any)
	if spec == nil {
		spec = map[string]any{}
		out.Object["spec"] = spec
	}
	for _, o := range s.overrides(cluster, team, application) {
		given := reflect.ValueOf(o.GitRepository)
		if object.GetKind() == kustomizationKind().Kind {
			given = reflect.ValueOf(o.Kustomization)
		}
		for i := range given.NumField() {
			field := given.Type().Field(i).Tag.Get("yaml")
			switch value := given.Field(i).Interface().(type) {
			case *duration:
				switch {
				case value == nil:
				case field == "timeout" && object.GetKind() == sourceKind().Kind:
					spec[field] = migrate.SourceTimeout(time.Duration(*value))
				default:
					spec[field] = value.String()
				}
			case []IgnoreRule:
				switch {
				case value == nil:
				case len(value) == 0: // a narrower place takes back what a wider one says
					delete(spec, field)
				default:
					spec[field] = rulesOf(value)
				}
			case *bool:
				if value != nil {
					spec[field] = *value
				}
			}
		}
	}
	if prunes(out) && !prunes(object) && object.GetKind() == kustomizationKind().Kind {
		patches, _ := spec["patches"].([]any)
		spec["patches"] = append(patches, migrate.ProtectPrecious()...)
	}
	return out
}

// prunes reports whether a Kustomization deletes what leaves Git.
func prunes(k *unstructured.Unstructured) bool {
	on, _, _ := unstructured.NestedBool(k.Object, "spec", "prune")
	return on
}

// PruneTurnedOn says, with its line, of each place of the settings that has
// Kustomizations of the plan delete what leaves Git where Flux v1 deletes nothing,
// what follows from it: of the rest of what the plan says, nothing tells that.
func (s *Settings) PruneTurnedOn(cluster string, plan *migrate.Plan) []string {
	kustomizations, repositories, apart := map[string]int{}, map[string][]string{}, map[string][]string{}
	for i := range plan.Repositories {
		r := &plan.Repositories[i]
		if plan.Incomplete(r) != "" { // whose files are left as they are
			continue
		}
		team := TeamName(r)
		for _, k := range r.Kustomizations {
			if prunes(k) || !prunes(s.apply(cluster, team, k.GetName(), k)) {
				continue
			}
			at := s.override(cluster, team, k, ".spec.prune")
			kustomizations[at]++
			if slices.Contains(repositories[at], r.ID) {
				continue
			}
			repositories[at] = append(repositories[at], r.ID)
			if len(r.Kustomizations) > 1 && plan.ClusterAgent.Engine != "bundled" {
				apart[at] = append(apart[at], r.ID)
			}
		}
	}
	var out []string
	for _, at := range slices.Sorted(maps.Keys(kustomizations)) {
		text := fmt.Sprintf("%s: %s of %s will delete what leaves Git, where Flux v1 deletes nothing; let each be Ready first, and take nothing away in the same commit, since what the plan does not know, as a namespace of a later commit, is spared only once it is applied so",
			at, migrate.Count(kustomizations[at], "Kustomization"), someOf(repositories[at]))
		if len(apart[at]) > 0 {
			text += fmt.Sprintf("; this engine deletes and makes anew a file that moves from one application to another, in %s: \"fluxover plan --explain MOVED_FILE_DELETED\" tells how to move one", someOf(apart[at]))
		}
		out = append(out, text)
	}
	return out
}

// someOf names a few repositories of many.
func someOf(ids []string) string {
	const most = 3
	if len(ids) <= most {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ", "), len(ids)-most)
}

// applicationsOf are those of a team that the settings speak of.
func (s *Settings) applicationsOf(cluster, team string) []string {
	c := s.Clusters[cluster]
	if c == nil || c.Teams[team] == nil {
		return nil
	}
	return slices.Collect(maps.Keys(c.Teams[team].Applications))
}

// Unmatched names, with their lines, what the settings say of clusters, teams
// and applications that there are not: a slip there would change nothing, in
// silence. clusters are those that have a folder; applications are those of
// this cluster, by team.
func (s *Settings) Unmatched(cluster string, clusters []string, applications map[string][]string) []string {
	type slip struct {
		line int
		text string
	}
	var slips []slip
	miss := func(path, kind, name string, there []string) {
		slips = append(slips, slip{s.lines[path], fmt.Sprintf("%s:%d: there is no %s %q; %s", CapacitorFile, s.lines[path], kind, name, migrate.NearIDs(name, there))})
	}
	for name, c := range s.Clusters {
		at := "/clusters/" + name
		if name != cluster && !slices.Contains(clusters, name) {
			miss(at, "cluster", name, append(slices.Clone(clusters), cluster))
		}
		if name != cluster || c == nil {
			continue
		}
		var teams []string
		for team := range applications {
			teams = append(teams, team)
		}
		slices.Sort(teams)
		for team, t := range c.Teams {
			own, known := applications[team]
			if !known {
				miss(at+"/teams/"+team, "team", team, teams)
				continue
			}
			if t == nil {
				continue
			}
			for application := range t.Applications {
				if !slices.Contains(own, application) {
					miss(at+"/teams/"+team+"/applications/"+application, "application", application, own)
				}
			}
		}
	}
	slices.SortFunc(slips, func(a, b slip) int { return cmp.Or(a.line-b.line, strings.Compare(a.text, b.text)) })
	out := make([]string, 0, len(slips))
	for _, s := range slips {
		out = append(out, s.text)
	}
	return out
}
