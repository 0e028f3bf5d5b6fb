package differential

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/e2e/auditor"
)

var (
	firstSeed = flag.Int64("seed", 1, "the first seed of the series")
	howMany   = flag.Int("seeds", 0, "how many seeds (default 4, with LONG=1 2000)")
	keepIn    = flag.String("keep", "", "write the cases that diverge into this folder")
)

// batch is how many cases share a cluster.
const batch = 24

// plan is what this package reads of a plan.
type plan struct {
	Sources     []unstructured.Unstructured
	Credentials []struct {
		To   struct{ Namespace, Name string }
		Kind string
		From map[string]value
	}
	Repositories []repository
	Findings     []finding
}

// value is where a part of a credential stands.
type value struct {
	Secret *struct{ Namespace, Name, Key string }
}

type repository struct {
	ID, Commit     string
	Sources        []struct{ Name string }
	Kustomizations []unstructured.Unstructured
	Supporting     []unstructured.Unstructured
	Objects        []planned
	Adds           []addition
	Blocked        bool
}

type planned struct {
	ID, Application, Verb, Why string
	Fields                     []string
}

type finding struct {
	Severity, Code, Subject, Repository, Message string
	Acceptable                                   bool
}

func TestWhatHappensIsWhatThePlanForetells(t *testing.T) {
	stockEngine(t)
	seeds := *howMany
	if seeds == 0 {
		seeds = 4
		if os.Getenv("LONG") != "" {
			seeds = 2000
		}
	}
	cases, err := kept(filepath.Join("testdata", "cases"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range seeds {
		cases = append(cases, Generate(*firstSeed+int64(i)))
		if i%4 < 2 {
			cases = append(cases, GenerateBuilt(*firstSeed+int64(i)))
		}
	}
	var sum tally
	down := true
	for part := range slices.Chunk(cases, batch) {
		ok := t.Run(part[0].Name+" and on", func(t *testing.T) { sum.add(run(t, part, down)) })
		down = !down
		if t.Context().Err() != nil || !ok && os.Getenv("LONG") == "" {
			break
		}
	}
	t.Logf("%d repositories (%d stuck under Flux v1, in others %d objects refused, all told), %d Kustomizations (%d fail, all foretold), %d objects: %v; %d of these not seen to change, since their Kustomization fails; %d in two repositories",
		sum.cases, sum.stuck, sum.refused, sum.kustomizations, sum.failed, sum.objects, sum.verbs, sum.unseen, sum.contested)
	for _, a := range assumptions {
		t.Logf("not proven, %q: %d objects", a.words, sum.unproven[a.words])
	}
	for _, text := range sum.shrugs() {
		t.Error(text)
	}
	if sum.objects == 0 {
		t.Error("nothing was compared")
	}
}

// assumption is a reason for which a plan may say "not proven" of an object.
type assumption struct {
	// words are in the plan's reason.
	words string
	// why it cannot be proven before it happens.
	why string
	// percent of a series' objects that may be so: a proof that shrugs proves
	// nothing. It is a little more than the generators bring about.
	percent int
}

// unbuilt are words of the plan for what a Kustomization that does not build may
// hold.
const unbuilt = "could not be built"

// madeFirst are words of the plan for what needs a namespace or a kind that is not
// there yet.
const madeFirst = "is itself made first"

// recreated are words of the plan for what force: enabled deletes.
const recreated = "deleted and made anew"

// refused are words of the plan for what the API server does not take.
const refused = "the dry-run was refused"

// unsteady are words of the plan for what somebody writes to all the time.
const unsteady = "changes faster than it can be tried"

// assumptions are all that are allowed; any other is a failure. Each is held
// against what happened, too, as far as it says anything.
var assumptions = []assumption{
	{unbuilt, "a Kustomization that does not build shows nothing of its objects; it must then fail, and touch none", 10},
	{madeFirst, "what is tried in a namespace, or with a kind, that is not there yet is refused; it must then be made, or its Kustomization fail", 5},
	{unsteady, "each try was made of another version than was read, as on a busy machine with what is acted on while it is planned; it must then be adopted", 1},
}

// assumptionOf finds the assumption behind a plan's reason.
func assumptionOf(why string) *assumption {
	for i := range assumptions {
		if strings.Contains(why, assumptions[i].words) {
			return &assumptions[i]
		}
	}
	return nil
}

// unseenPercent of a series' objects may be foretold to change, or to be made,
// and not be seen to, since their Kustomization fails: 2 % are, over a hundred
// seeds.
const unseenPercent = 4

// atMost is how many of a series' objects may be of some percent, as large a
// share as a short series may have by chance: three standard deviations more.
func atMost(objects, percent int) int {
	share := float64(percent) / 100
	return int(float64(objects)*share + 3*math.Sqrt(float64(objects)*share*(1-share)))
}

// shrugs says of what too much is assumed, or not seen.
func (s *tally) shrugs() []string {
	var out []string
	for _, a := range assumptions {
		if n, most := s.unproven[a.words], atMost(s.objects, a.percent); n > most {
			out = append(out, fmt.Sprintf("of %d objects %d are not proven (%q), and at most %d may be: %s", s.objects, n, a.words, most, a.why))
		}
	}
	if most := atMost(s.objects, unseenPercent); s.unseen > most {
		out = append(out, fmt.Sprintf("of %d objects %d were to change and were not seen to, since their Kustomization fails, and at most %d may be", s.objects, s.unseen, most))
	}
	return out
}

// tally counts what was compared.
type tally struct {
	cases, stuck, kustomizations, failed, objects int
	// refused are the objects that fluxd could not apply, where that can be compared.
	refused int
	// contested objects are applied by two repositories, each counted twice.
	contested int
	// unseen objects were to change or to be made, and their Kustomization fails.
	unseen   int
	verbs    map[string]int
	unproven map[string]int // by the words of the assumption
}

func (s *tally) add(o tally) {
	s.cases += o.cases
	s.stuck += o.stuck
	s.refused += o.refused
	s.kustomizations += o.kustomizations
	s.failed += o.failed
	s.objects += o.objects
	s.unseen += o.unseen
	s.contested += o.contested
	if s.verbs == nil {
		s.verbs, s.unproven = map[string]int{}, map[string]int{}
	}
	for verb, n := range o.verbs {
		s.verbs[verb] += n
	}
	for words, n := range o.unproven {
		s.unproven[words] += n
	}
}

// run plays cases in one cluster and compares; down says whether the server of
// an aggregated API fails while it is planned.
func run(t *testing.T, cases []Case, down bool) tally {
	w := newWorld(t)
	w.play(cases)
	before := w.quietDump()
	p := w.planAmidChange(before, down)
	w.stopAgents()
	if w.afterwards() {
		before = w.quietDump()
	}
	states := w.takeOver(p)
	first := w.quietDump()
	states = w.again(states)
	after := w.quietDump()
	c := comparison{w: w, plan: p, states: states, before: before, after: after, wrong: map[*played][]string{}, early: map[string]bool{}}
	c.moved = eitherTime(auditor.Diff(before, first), auditor.Diff(before, after))
	sum := c.compare()
	for _, one := range w.cases {
		for _, text := range c.wrong[one] {
			t.Errorf("%s: %s", one.Name, text)
		}
		if len(c.wrong[one]) > 0 && *keepIn != "" {
			whole := one
			if one.of != nil {
				whole = one.of
			}
			keep(t, one.prefix, whole.Case, c.wrong[one])
		}
	}
	return sum
}

// planAmidChange plans while controllers and people go on, and perhaps while the
// server of an aggregated API fails. What they do not change must be as before.
func (w *world) planAmidChange(before auditor.Dump, down bool) *plan {
	w.t.Helper()
	var want []string
	if down {
		want = []string{measures + "/v1"}
		w.serve(false)
	}
	stop := w.meanwhile()
	p := w.plan()
	if stop() == 0 {
		w.t.Error("nothing was done while it was planned")
	}
	if got := p.groupsDown(); !slices.Equal(got, want) {
		w.t.Errorf("the plan says that these APIs do not answer: %q, and it is %q", got, want)
	}
	if down {
		w.serve(true)
	}
	after := w.dump()
	moved := slices.DeleteFunc(auditor.Diff(before, after), func(d auditor.Difference) bool {
		return owned(before[d.ID]) || owned(after[d.ID]) || strings.HasPrefix(d.ID, "_"+apiService+"_") || slices.ContainsFunc(w.cases, func(one *played) bool {
			return slices.ContainsFunc(one.Acts, func(a Act) bool { return a.When == "planning" && strings.HasPrefix(d.ID, a.begins()) })
		})
	})
	if len(moved) > 0 {
		w.t.Fatalf("the cluster moved while it was planned: %v", moved)
	}
	return p
}

// keep writes a case as it is kept in testdata.
func keep(t *testing.T, prefix string, c Case, wrong []string) {
	c.Why = strings.Join(wrong, "\n")
	raw, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(raw), prefix, place)
	if err := os.WriteFile(filepath.Join(*keepIn, c.Name+".yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// comparison holds the plan against what happened.
type comparison struct {
	w             *world
	plan          *plan
	states        map[string]string
	before, after auditor.Dump
	moved         map[string]auditor.Difference
	wrong         map[*played][]string
	sum           tally
	// early are the Kustomizations that were refused for want of a namespace which
	// another repository makes at the same time: they fail, or come after it.
	early map[string]bool
}

func (c *comparison) fail(one *played, format string, args ...any) {
	c.wrong[one] = append(c.wrong[one], fmt.Sprintf(format, args...))
}

func (c *comparison) compare() tally {
	c.sum.verbs, c.sum.unproven = map[string]int{}, map[string]int{}
	for _, one := range c.w.cases {
		c.sum.cases++
		i := slices.IndexFunc(c.plan.Repositories, func(r repository) bool { return r.ID == one.id() })
		if i < 0 {
			c.fail(one, "the plan does not hold it")
			continue
		}
		c.agent(one, &c.plan.Repositories[i])
		c.kustomizations(one, &c.plan.Repositories[i])
		c.objects(one, &c.plan.Repositories[i])
		c.additions(one, &c.plan.Repositories[i])
	}
	return c.sum
}

// of are the findings about a repository.
func (c *comparison) of(one *played) []finding {
	var out []finding
	for _, f := range c.plan.Findings {
		if f.Repository == one.id() {
			out = append(out, f)
		}
	}
	return out
}

// stops are the findings that say that fluxd cannot load the newest commit, and
// mayStop those that say that perhaps it cannot.
var (
	stops   = []string{"FLUX1_STUCK", "FLUX1_STUCK_AT_HEAD", "DUPLICATE_OBJECT"}
	mayStop = []string{"LINK_OUTSIDE"}
)

// agent compares what the plan believes of the old agent.
func (c *comparison) agent(one *played, r *repository) {
	if one.stuck {
		c.sum.stuck++
	}
	if r.Commit != one.synced {
		c.fail(one, "the plan says that fluxd synced %q, and it synced %q", r.Commit, one.synced)
	}
	says := func(any []string) bool {
		return slices.ContainsFunc(c.of(one), func(f finding) bool { return slices.Contains(any, f.Code) })
	}
	c.applied(one)
	told := says(stops)
	switch {
	case one.stuck && !told && !says(mayStop):
		said := c.w.agentLog(one)
		said = said[max(0, bytes.Index(said, []byte("loading resources from repo"))):]
		c.fail(one, "fluxd cannot load the newest commit, and the plan does not say so: %s; it says: %s", codes(c.of(one)), said[:min(len(said), 1000)])
	case !one.stuck && told && !one.ahead():
		c.fail(one, "fluxd synced the newest commit, and the plan says that it cannot: %v", c.of(one))
	}
}

// unapplied counts the objects that a finding says were not applied.
var unapplied = regexp.MustCompile(`(\d+) objects? (?:is|are|was|were) `)

// applied holds what the plan believes of the objects that fluxd failed to apply at its
// last sync against what fluxd itself says of it. What people change since may be either,
// as what another agent changes, and what names a version in Git, which fluxd cannot apply
// twice.
func (c *comparison) applied(one *played) {
	if one.stuck || one.ahead() || one.Twin != nil || one.of != nil {
		return
	}
	told := 0
	var says []string
	for _, f := range c.of(one) {
		switch f.Code {
		case exported:
			return
		case "FLUX1_APPLY_FAILED":
			says = append(says, f.Message)
			for _, m := range unapplied.FindAllStringSubmatch(f.Message, -1) {
				n, err := strconv.Atoi(m[1])
				if err != nil {
					c.fail(one, "%q: %v", f.Message, err)
				}
				told += n
			}
		}
	}
	refused := c.w.refusals(one)
	c.sum.refused += len(refused)
	untouched := slices.DeleteFunc(slices.Clone(refused), func(id string) bool {
		return slices.ContainsFunc(one.Acts, func(a Act) bool { return strings.HasSuffix(id, "/"+a.Name) })
	})
	if told < len(untouched) || told > len(refused)+len(one.Acts) {
		c.fail(one, "fluxd could not apply %q, and the plan says: %q", refused, says)
	}
}

func codes(findings []finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Code)
	}
	return strings.Join(out, " ")
}

// kustomizations compares which of them the new agent can apply, and what they
// then hold.
func (c *comparison) kustomizations(one *played, r *repository) {
	foretold := map[string][]forecast{} // by its name
	application := map[string]string{}
	for _, o := range r.Objects {
		application[o.ID] = o.Application
	}
	for _, f := range c.of(one) {
		subject := strings.TrimPrefix(f.Subject, r.ID+" ")
		name := application[subject]
		if k, is := strings.CutPrefix(subject, "Kustomization/"); is {
			name = k
		}
		if seen := fails[f.Code]; seen != nil && (f.Severity == "blocker" || f.Code == exported) {
			foretold[name] = append(foretold[name], forecast{f, func(why string) bool { return seen(why, subject) }})
		}
	}
	for _, k := range r.Kustomizations {
		c.sum.kustomizations++
		name := k.GetName()
		why := c.states[name]
		c.early[name] = slices.ContainsFunc(foretold[name], func(f forecast) bool { return c.placedByAnother(r, f.Message) })
		switch {
		case c.early[name] && (why == "" || strings.HasPrefix(why, "DependencyNotReady") || missingNamespace.MatchString(why)):
		case why != "":
			c.sum.failed++
			told := slices.ContainsFunc(foretold[name], func(f forecast) bool { return f.seen(why) })
			if !told && !strings.HasPrefix(why, "DependencyNotReady") && !refusedOnceThere(r, name, why) {
				c.fail(one, "Kustomization %s fails, and no finding says why: %s (%s; of it %v)", name, why, codes(c.of(one)), foretold[name])
			}
		case slices.ContainsFunc(foretold[name], func(f forecast) bool { return slices.Contains(surely, f.Code) }):
			c.fail(one, "Kustomization %s was to fail, and is Ready: %v", name, foretold[name])
		default:
			var want []string
			for _, o := range r.Objects {
				if o.Application == name && o.Verb != "unmanage" && o.Verb != "stale" {
					want = append(want, o.ID)
				}
			}
			got := c.w.inventory(name)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) {
				c.fail(one, "Kustomization %s holds %q, and the plan says %q", name, got, want)
			}
		}
	}
}

// forecast is a finding that says that a Kustomization fails, and tells whether it is
// for that reason that it does.
type forecast struct {
	finding
	seen func(why string) bool
}

// String is the finding.
func (f forecast) String() string { return f.Code + " of " + f.Subject + ": " + f.Message }

// exported is a warning, and all that is said of an object that is not tried, since
// somebody owns it.
const exported = "EXPORTED_MANIFEST"

// fails are the codes of findings that say that a Kustomization fails, with what its
// reason and message must then be, by what the finding is about.
var fails = map[string]func(why, subject string) bool{
	"BUILD_FAILED": func(why, _ string) bool { return strings.HasPrefix(why, "BuildFailed") },
	"EMPTY_BUILD": func(why, _ string) bool {
		return strings.HasPrefix(why, "BuildFailed") || strings.HasPrefix(why, "ArtifactFailed")
	},
	"DRY_RUN_REFUSED":  tellsOf,
	"OBJECT_RECREATED": tellsOf,
	"FOREIGN_OBJECT":   tellsOf, // of what the old agent skips, and the new one would try to apply
	// Time may run out in the middle of a question, on a busy machine.
	"DEFINITION_AWAITED": func(why, subject string) bool {
		return tellsOf(why, subject) || strings.HasPrefix(why, "ReconciliationFailed") && strings.Contains(why, "context deadline")
	},
	"UNKNOWN_KIND": func(why, subject string) bool {
		return strings.Contains(why, "no matches for kind") && tellsOf(why, subject)
	},
	exported: func(why, subject string) bool {
		return (strings.Contains(why, "the object has been modified") || strings.Contains(why, "managedFields must be nil")) && tellsOf(why, subject)
	},
	// Neither side's was tried: the live object is the other's.
	"OBJECT_IN_TWO_REPOSITORIES": tellsOf,
}

// surely are those of them without which it does not do: what the others tell of may
// be tried again, and taken.
var surely = []string{"BUILD_FAILED", "DRY_RUN_REFUSED", "DEFINITION_AWAITED"}

// tellsOf reports whether a message names an object, as the API's and ssa's do.
func tellsOf(why, id string) bool {
	ns, rest, _ := strings.Cut(id, "_")
	kind := id[strings.LastIndex(id, "_")+1:]
	rest = strings.TrimSuffix(rest, "_"+kind)
	name := strings.ReplaceAll(rest[:max(0, strings.LastIndex(rest, "_"))], "__", ":")
	shown := kind + "/" + name
	if ns != "" {
		shown = kind + "/" + ns + "/" + name
	}
	return regexp.MustCompile(regexp.QuoteMeta(shown) + `($|[^a-zA-Z0-9.-])`).MatchString(why)
}

var missingNamespace = regexp.MustCompile(`namespaces "([^"]+)" not found`)

// placedByAnother reports whether a refusal is for want of a namespace that another
// repository makes.
func (c *comparison) placedByAnother(r *repository, refusal string) bool {
	name := missingNamespace.FindStringSubmatch(refusal)
	return name != nil && slices.ContainsFunc(c.plan.Repositories, func(other repository) bool {
		return other.ID != r.ID && slices.ContainsFunc(other.Objects, func(o planned) bool { return o.ID == "_"+name[1]+"__Namespace" && builds(o) })
	})
}

// refusedOnceThere reports whether a Kustomization fails by an object of it that could
// not be tried, since its namespace or kind was to be made first.
func refusedOnceThere(r *repository, kustomization, why string) bool {
	return strings.Contains(why, "dry-run failed") && slices.ContainsFunc(r.Objects, func(o planned) bool {
		return o.Application == kustomization && strings.Contains(o.Why, madeFirst) && tellsOf(why, o.ID)
	})
}

// objects compares what the plan says of each object with what became of it.
func (c *comparison) objects(one *played, r *repository) {
	known, claimed := map[string]bool{}, c.claimed(one)
	for _, o := range r.Objects {
		known[o.ID] = true
		c.sum.objects++
		c.sum.verbs[o.Verb]++
		if claimed[o.ID] && builds(o) {
			c.contested(one, o)
			continue
		}
		if claimed[o.ID] && (o.Verb == "skip" || strings.Contains(o.Why, unbuilt)) {
			continue // the other agent's plan tells of it
		}
		c.object(one, r, o)
	}
	for id, verb := range one.Verbs {
		if i := slices.IndexFunc(r.Objects, func(o planned) bool { return o.ID == id }); i < 0 {
			c.fail(one, "%s is not in the plan, and was to be %q", id, verb)
		} else if got := r.Objects[i]; got.Verb != verb {
			c.fail(one, "the plan says %q of %s (%s %v), and it is %q", got.Verb, id, got.Why, got.Fields, verb)
		}
	}
	for id := range claimed {
		known[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(c.moved)) {
		if known[id] || !strings.Contains(id, one.prefix) || strings.Contains(id, "toolkit.fluxcd.io") || c.derived(id) {
			continue
		}
		c.fail(one, "%s is not in the plan, and was %s: %v", id, c.moved[id].Kind, c.moved[id].Fields)
	}
}

// claimed are the objects of the case's other agent; true are those that its
// Kustomizations apply.
func (c *comparison) claimed(one *played) map[string]bool {
	all := map[string]bool{}
	for _, other := range c.w.cases {
		if other == one || other.of != one && one.of != other {
			continue
		}
		for _, r := range c.plan.Repositories {
			if r.ID == other.id() {
				for _, o := range r.Objects {
					all[o.ID] = builds(o)
				}
			}
		}
	}
	return all
}

// builds reports whether a Kustomization makes an object, and does not leave it alone.
func builds(o planned) bool {
	return o.Verb != "unmanage" && o.Verb != "stale" && o.Verb != "skip" && o.Application != "" && !strings.Contains(o.Why, unbuilt)
}

// twice are the findings that say that somebody else applies an object as well.
var twice = []string{"OBJECT_IN_TWO_REPOSITORIES", "OBJECT_IN_TWO_AGENTS", "OTHER_AGENT"}

// contested compares an object that two Kustomizations apply: who wins is not
// told, so both repositories must be held back.
func (c *comparison) contested(one *played, o planned) {
	c.sum.contested++
	if !slices.ContainsFunc(c.of(one), func(f finding) bool {
		return f.Severity == "blocker" && strings.HasSuffix(f.Subject, o.ID) && slices.Contains(twice, f.Code)
	}) {
		c.fail(one, "%s is applied by two repositories, and nothing holds this one back: %s", o.ID, codes(c.of(one)))
	}
	if c.moved[o.ID].Kind == "removed" {
		c.fail(one, "%s is applied by two repositories, and is gone", o.ID)
	}
}

// derived reports whether a controller of Kubernetes made an object.
func (c *comparison) derived(id string) bool {
	content := c.after[id]
	if content == nil {
		content = c.before[id]
	}
	metadata, _ := content["metadata"].(map[string]any)
	switch {
	case content == nil, owned(content):
		return true
	case automanaged(metadata):
		return true
	case strings.HasPrefix(id, agentNamespace+"_"), strings.HasPrefix(id, "flux_"):
		return true // what takes over, and what it takes over from
	}
	return strings.HasSuffix(id, "_kube-root-ca.crt__ConfigMap") || strings.HasSuffix(id, "_default__ServiceAccount") ||
		strings.Contains(id, "_fluxover:") || strings.Contains(id, "_fluxover__")
}

// owned reports whether an object of a dump follows another one: counts of pods
// have no metadata.
func owned(content map[string]any) bool {
	metadata, _ := content["metadata"].(map[string]any)
	return content != nil && (metadata == nil || metadata["ownerReferences"] != nil)
}

// automanaged reports whether the API server made an APIService for a kind that
// it serves (Kubernetes: kube-aggregator, pkg/controllers/autoregister).
func automanaged(metadata map[string]any) bool {
	labels, _ := metadata["labels"].(map[string]any)
	return labels["kube-aggregator.kubernetes.io/automanaged"] != nil
}

func (c *comparison) object(one *played, r *repository, o planned) {
	d, moved := c.moved[o.ID]
	fields := c.changes(r, o.ID, d)
	why, has := c.states[o.Application]
	failed := has && why != ""
	say := func(format string, args ...any) {
		c.fail(one, "%s was to be %q (%s %v) and %s", o.ID, o.Verb, o.Why, o.Fields, fmt.Sprintf(format, args...))
	}
	if strings.HasPrefix(o.Why, "not proven") {
		if a := assumptionOf(o.Why); a != nil {
			c.sum.unproven[a.words]++
		} else {
			say("that is no reason for which a verb may be assumed")
		}
		if o.Verb == "adopt" && moved && !strings.Contains(o.Why, unsteady) { // with what it needs there, a try would have been made
			say("was %s: %v", d.Kind, d.Fields)
			return
		}
	}
	if failed && !moved && slices.Contains([]string{"create", "change", "restart"}, o.Verb) {
		c.sum.unseen++
	}
	switch {
	case o.Verb == "conflict" && c.early[o.Application] && strings.Contains(o.Why, "refused") && d.Kind != "removed":
	case d.Kind == "removed" && o.Verb == "conflict" && strings.Contains(o.Why, recreated):
		// It is made anew at a later try only, if at all.
	case d.Kind == "removed":
		say("is gone")
	case o.Verb == "create":
		if d.Kind != "added" && !failed {
			say("was not made")
		}
	case d.Kind == "added":
		say("was made")
	case o.Verb == "skip", o.Verb == "unmanage", o.Verb == "stale":
		if moved {
			say("was changed: %v", d.Fields)
		}
	case o.Verb == "adopt":
		if len(fields) > 0 {
			say("changes: %v", fields)
		}
	case o.Verb == "change", o.Verb == "restart":
		for _, f := range fields {
			if !slices.ContainsFunc(o.Fields, func(told string) bool { return overlap(told, f) }) {
				say("also changes %s", f)
			}
		}
		for _, told := range o.Fields {
			// What protects volumes in use is put back by Kubernetes.
			volume := told == ".metadata.finalizers" && strings.Contains(o.ID, "_PersistentVolume")
			if !failed && !volume && !slices.ContainsFunc(fields, func(f string) bool { return overlap(told, f) }) {
				say("does not change in %s, but in %v", told, fields)
			}
		}
		template := slices.ContainsFunc(fields, func(f string) bool { return overlap(".spec.template", f) })
		if o.Verb == "change" && template && workload(o.ID) {
			say("its pods are replaced: %v", fields)
		}
	case o.Verb == "conflict" && strings.Contains(o.Why, " owns it"):
		say("no other Kustomization is there")
	case o.Verb == "conflict" && strings.Contains(o.Why, refused):
		if len(fields) > 0 {
			say("changes: %v", fields)
		}
	case o.Verb == "conflict": // two applications of one repository hold it
	default:
		say("there is no such verb")
	}
}

func workload(id string) bool {
	return strings.HasSuffix(id, "_apps_Deployment") || strings.HasSuffix(id, "_apps_StatefulSet") || strings.HasSuffix(id, "_apps_DaemonSet")
}

// marks come and go with every adoption.
var marks = []string{
	".metadata.labels.fluxcd.io/sync-gc-mark", ".metadata.annotations.fluxcd.io/sync-checksum",
	".metadata.annotations.kubectl.kubernetes.io/last-applied-configuration", ".metadata.annotations.kustomize.toolkit.fluxcd.io/checksum",
	".metadata.labels.kustomize.toolkit.fluxcd.io/name", ".metadata.labels.kustomize.toolkit.fluxcd.io/namespace",
	".metadata.managedFields", ".metadata.annotations.deployment.kubernetes.io/revision",
}

// changes are the fields in which an object changed, but for marks, notes of who
// wrote it, and what the plan puts on it on purpose.
func (c *comparison) changes(r *repository, id string, d auditor.Difference) []string {
	var out []string
	for _, f := range d.Fields {
		p := plain(f.Path)
		added := slices.ContainsFunc(r.Adds, func(a addition) bool {
			return a.Object == id && p == ".metadata."+a.Type+"s."+a.Key
		})
		if !added && !otherNote(f) && !slices.ContainsFunc(marks, func(m string) bool { return p == m || strings.HasPrefix(p, m+".") }) {
			out = append(out, p)
		}
	}
	return out
}

// overlap reports whether two paths are one, or one holds the other.
func overlap(a, b string) bool {
	a, b = plain(a), plain(b)
	return a == b || strings.HasPrefix(a, b+".") || strings.HasPrefix(b, a+".")
}

// plain gives paths one spelling, in which the items of a list are not told
// apart: ".spec.template.spec.containers.image".
func plain(path string) string {
	var b strings.Builder
	path = "." + strings.TrimPrefix(path, ".")
	for {
		before, rest, found := strings.Cut(path, "[")
		b.WriteString(before)
		if !found {
			return strings.ReplaceAll(strings.ReplaceAll(b.String(), `"`, ""), "..", ".")
		}
		if quoted, isKey := strings.CutPrefix(rest, `"`); isKey {
			key, after, _ := strings.Cut(quoted, `"]`)
			b.WriteString("." + key)
			path = after
			continue
		}
		_, path, _ = strings.Cut(rest, "]")
	}
}
