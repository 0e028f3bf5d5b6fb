package emit

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// Explanation says of one thing in a plan, or of one setting of Flux v1, where
// it came from and where it went.
type Explanation struct {
	// Subject is what is explained.
	Subject string `json:"subject"`
	// Value it has; empty if it has none or may not be shown.
	Value string `json:"value,omitempty"`
	// From are the places it comes from, To what it became.
	From []string `json:"from,omitempty"`
	To   []string `json:"to,omitempty"`
	// Why it is so.
	Why string `json:"why,omitempty"`
}

// Explanations is what "plan --explain" answers, as JSON.
type Explanations struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Asked is the subject as it was given.
	Asked string `json:"asked"`
	// Explanations of what the subject names: one for each field of an object,
	// each agent that has a setting, each place of a finding. There is at least
	// one.
	Explanations []Explanation `json:"explanations"`
}

// NewExplanations is the document that holds explanations of a subject.
func NewExplanations(asked string, explanations []Explanation) Explanations {
	return Explanations{APIVersion: migrate.APIVersion, Kind: "Explanations", Asked: asked, Explanations: explanations}
}

// Explain finds what there is to say of a subject: a setting of Flux v1, as a
// flag ("--git-poll-interval") or a chart value ("git.pollInterval"); a
// repository's id; an object that is written ("Kustomization/flux-system/shop"),
// those included with which the flux-capacitor is synced, or one of its fields
// ("Kustomization/flux-system/shop .spec.interval"); a file of the
// flux-capacitor, or a line of one ("clusters/prod/shop/source.yaml:12"); an
// object of a repository, by id or as people write it; a flag of the
// ClusterAgent, or "ClusterAgent"; the code of a finding; a place from which settings are or
// which findings are about, as they tell it ("main.tf:24", "helm_release.flux"). A repository's id and a space before it limit it to that
// repository. Nothing is given for what is none of these.
func Explain(r Report, subject string) []Explanation { return Explainer(r)(subject) }

// Explainer is [Explain] for who asks for much of one report, which must not
// change meanwhile. It is not safe for concurrent use.
func Explainer(r Report) func(subject string) []Explanation {
	e := newExplainer(&r)
	return func(subject string) []Explanation { return e.explain(subject) }
}

func (e explainer) explain(subject string) []Explanation {
	subject = strings.TrimSpace(subject)
	if id, rest, both := strings.Cut(subject, " "); both && e.report.Plan.Repository(id) != nil {
		e.only, subject = id, strings.TrimSpace(rest)
	}
	for _, look := range []func(string) []Explanation{
		e.repository, e.clusterAgent, e.written, e.files, e.line, e.object, e.setting, e.code, e.place,
	} {
		if found := look(subject); len(found) > 0 {
			return found
		}
	}
	return nil
}

// WriteExplanations writes them for people.
func WriteExplanations(w io.Writer, explanations []Explanation, style Style) error {
	for i, e := range explanations {
		var b strings.Builder
		if i > 0 {
			b.WriteString("\n")
		}
		head := style.paint(printable(e.Subject), bold)
		if e.Value != "" {
			head += " = " + printable(shorten(strings.Join(strings.Fields(e.Value), " "), 2*style.width()))
		}
		b.WriteString(head + "\n")
		part := func(word string, texts []string) {
			for _, text := range texts {
				fmt.Fprintf(&b, "  %-5s %s\n", word, Wrap(printable(text), style.width()-8, "        "))
				word = ""
			}
		}
		part("from", e.From)
		part("to", e.To)
		if e.Why != "" {
			part("why", []string{e.Why})
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}

type explainer struct {
	report *Report
	// settings of capacitor.yaml, or the defaults.
	settings Settings
	// only this repository; empty means all.
	only string
	// objects that are written, by only, once they have been asked for.
	objects map[string][]writtenObject
	// emitted files, by only and name, once they have been asked for.
	emitted map[[2]string]*emittedFile
}

func newExplainer(r *Report) *explainer {
	e := &explainer{report: r, settings: r.Settings, objects: map[string][]writtenObject{}, emitted: map[[2]string]*emittedFile{}}
	e.settings.fill()
	return e
}

// agents are those that are looked at.
func (e *explainer) agents() []*migrate.Flux1Agent {
	var out []*migrate.Flux1Agent
	for i := range e.report.Inventory.Agents {
		if a := &e.report.Inventory.Agents[i]; e.only == "" || a.ID == e.only {
			out = append(out, a)
		}
	}
	return out
}

func (e *explainer) repositories() []*migrate.Repository {
	var out []*migrate.Repository
	for i := range e.report.Plan.Repositories {
		if r := &e.report.Plan.Repositories[i]; e.only == "" || r.ID == e.only {
			out = append(out, r)
		}
	}
	return out
}

// repository explains an agent as a whole.
func (e *explainer) repository(id string) []Explanation {
	r := e.report.Plan.Repository(id)
	if r == nil {
		return nil
	}
	out := Explanation{Subject: id, From: []string{}}
	for _, a := range e.report.Inventory.Agents {
		if a.ID != id {
			continue
		}
		out.From = append(out.From, declared(&a)...)
	}
	for _, s := range r.Sources {
		out.To = append(out.To, "GitRepository/"+s.Namespace+"/"+s.Name)
	}
	for i, k := range r.Kustomizations {
		text := "Kustomization/" + k.GetNamespace() + "/" + k.GetName()
		if i < len(r.Applications) {
			text += ": " + r.Applications[i].Path + ", " + r.Applications[i].Why
		}
		out.To = append(out.To, text)
	}
	out.Why = fmt.Sprintf("wave %d: %s", r.Wave, e.report.waveWhy(r))
	return []Explanation{out}
}

// clusterAgent explains the agent that takes over, or one of its flags.
func (e *explainer) clusterAgent(subject string) (out []Explanation) {
	agent := e.report.Plan.ClusterAgent
	name, whole := strings.CutPrefix(subject, "ClusterAgent")
	name, _, _ = strings.Cut(strings.TrimSpace(name), "=")
	if !whole && !strings.HasPrefix(name, "--") {
		return nil
	}
	say := func(field, value, from, to, why string) {
		if value != "" && (name == "" || name == field) {
			out = append(out, Explanation{Subject: "ClusterAgent " + field, Value: value, From: []string{from}, To: []string{to}, Why: why})
		}
	}
	engine := "--engine of plan and migrate"
	if e.report.Plan.Inputs.Options.Engine == "" {
		engine = "no --engine is given: the default"
	}
	say("engine", agent.Engine, engine, "what is installed, or found running, before any repository is handed over", "one agent takes the place of all")
	say("namespace", agent.Namespace, alike+"it runs where its objects stand", "the namespace of the ClusterAgent", "no namespace of an old release, which may go with it")
	say("release", agent.Release, alike+"an agent that migrate installs is a Helm release of this name", "the Helm release of the ClusterAgent", "so that it can be found, upgraded and removed by Helm")
	for _, arg := range agent.Args {
		flag, value, _ := strings.Cut(arg, "=")
		if name != "" && flag != name {
			continue
		}
		x := Explanation{Subject: "ClusterAgent " + flag, Value: value, To: []string{"the Deployment of the ClusterAgent"}, Why: "an agent that is confined " + staysConfined}
		for _, a := range e.report.Inventory.Agents {
			switch {
			case a.Confinement.Kind == "cluster-admin" && a.Confined():
				x.From = append(x.From, a.ID+" keeps to namespaces by --k8s-allow-namespace")
			case a.Confined():
				x.From = append(x.From, a.ID+" has rights of kind "+cmp.Or(a.Confinement.Kind, "unknown"))
			}
		}
		out = append(out, x)
	}
	return out
}

// setting explains a flag or a chart value, in each agent that has it, or what
// becomes of it where it is given.
func (e *explainer) setting(name string) []Explanation {
	var out []Explanation
	flag := flux1.FlagNamed(strings.TrimPrefix(name, "--"))
	if !strings.HasPrefix(name, "--") {
		flag = nil
		for i := range flux1.Flags {
			if flux1.Flags[i].Chart == name {
				flag = &flux1.Flags[i]
			}
		}
	}
	if name == "memcached" {
		out = e.memcached()
	}
	for _, a := range e.agents() {
		for _, s := range a.Settings {
			if s.Name != name && !strings.HasPrefix(s.Name, name+".") && !strings.HasPrefix(s.Name, name+"[") && (flag == nil || s.Name != "--"+flag.Name) {
				continue
			}
			out = append(out, e.ofSetting(a, s))
		}
	}
	if len(out) > 0 {
		return out
	}
	if s, ok := chart.Explain(name); ok && !strings.HasPrefix(name, "--") {
		return []Explanation{{Subject: "chart value " + name, From: []string{"no agent that was read gives it"}, To: fate(s.Fate, s.To), Why: cmp.Or(s.Why, "that is its counterpart")}}
	}
	if flag == nil {
		return nil
	}
	from := "no agent gives it"
	if flag.Default != "" {
		from += "; fluxd's default is " + flag.Default
	}
	if flag.Chart != "" {
		from += "; the chart gives it from " + flag.Chart
	}
	return []Explanation{{Subject: "--" + flag.Name, From: []string{from}, To: fate(flag.Fate, flag.To), Why: cmp.Or(flag.Why, "that is its counterpart")}}
}

// memcached explains the caches of the agents by what they ask for.
func (e *explainer) memcached() []Explanation {
	var out []Explanation
	for _, a := range e.agents() {
		x := Explanation{Subject: a.ID + " memcached", To: fate(migrate.Dropped, ""), Why: "the image cache goes with fluxd, and Flux v2 has none"}
		switch m := a.Memcached; {
		case slices.Contains(a.Unknown, "memcached"):
			x.Value, x.Why = unknown, x.Why+"; whether one goes with the agent, or what it asks for, is not known"
		case m.CPU == "" && m.Memory == "":
			continue
		default:
			x.Value = cmp.Or(m.CPU, "no") + " CPU, " + cmp.Or(inUnits(m.Memory), "no") + " memory"
		}
		out = append(out, x)
	}
	return out
}

func (e *explainer) ofSetting(a *migrate.Flux1Agent, s migrate.Setting) Explanation {
	out := Explanation{Subject: a.ID + " " + s.Name, Value: s.Value, To: append(fate(s.Fate, s.To), e.wentTo(a, s)...), Why: s.Why}
	for _, o := range s.From {
		out.From = append(out.From, origin(o))
	}
	if out.Why == "" {
		out.Why = "that is its counterpart"
	}
	return out
}

func origin(o migrate.Origin) string { return o.Witness + ": " + o.Where }

// fate says in words where a setting went.
func fate(f migrate.Fate, to string) []string {
	switch f {
	case migrate.Carried:
		return []string{"carried to " + to}
	case migrate.Dropped:
		return []string{"dropped"}
	case migrate.Blocks:
		return []string{"nothing yet: it blocks"}
	}
	return []string{"not known; settled by " + cmp.Or(to, migrate.ByPerson)}
}

// object explains an object of a repository.
func (e *explainer) object(name string) []Explanation {
	var out []Explanation
	for _, r := range e.repositories() {
		places, _, _ := placesOf(e.report.Inventory, r.ID)
		for _, o := range r.Objects {
			if o.ID != name && migrate.DisplayID(o.ID) != name {
				continue
			}
			x := Explanation{Subject: r.ID + " " + migrate.DisplayID(o.ID), Why: o.Why, To: []string{string(o.Verb)}}
			if place := places[o.ID]; place != "" {
				x.From = append(x.From, fmt.Sprintf("git: %s at %s", place, shortCommit(r.Commit)))
			} else {
				x.From = append(x.From, "cluster: it carries the agent's mark")
			}
			if o.Application != "" {
				x.To[0] += fmt.Sprintf(" by Kustomization/%s/%s", migrate.AgentNamespace, o.Application)
			}
			if len(o.Fields) > 0 {
				x.To = append(x.To, "fields that change: "+strings.Join(o.Fields, ", "))
			}
			for _, add := range r.Adds {
				if add.Object == o.ID {
					x.To = append(x.To, fmt.Sprintf("gets the %s %s=%s: %s", add.Type, add.Key, add.Value, add.Why))
				}
			}
			out = append(out, x)
		}
	}
	return out
}

// code explains a kind of finding, and where the plan has it.
func (e *explainer) code(name string) []Explanation {
	out := Explanation{}
	for _, c := range e.report.Codes {
		if !strings.EqualFold(c.Name, name) {
			continue
		}
		name = c.Name
		out = Explanation{
			Subject: fmt.Sprintf("%s (%s)", name, c.Grade()),
			From:    []string{c.Cause}, To: []string{c.Consequence}, Why: "to do: " + c.Remedy,
		}
		for _, v := range c.Otherwise {
			out.To = append(out.To, fmt.Sprintf("%s where %s", v.Grade(), v.When))
		}
		if c.Acceptable {
			out.To = append(out.To, fmt.Sprintf("go on in spite of it: --accept %s=SUBJECT, or a line of the decisions file", name))
		}
	}
	var found []Explanation
	for _, f := range e.report.Plan.Findings {
		if f.Code != name || e.only != "" && f.Repository != e.only {
			continue
		}
		found = append(found, e.ofFinding(f))
	}
	if out.Why != "" {
		return append([]Explanation{out}, found...)
	}
	return found
}

func (e *explainer) ofFinding(f migrate.Finding) Explanation {
	x := Explanation{Subject: strings.TrimSpace(f.Code + " " + migrate.DisplaySubject(f.Subject)), Why: f.Message}
	if f.Where != "" {
		x.From = []string{f.Where}
	}
	if f.Hint != "" {
		x.To = []string{"to do: " + f.Hint}
	}
	if e.report.Plan.IsAccepted(f) {
		x.To = append(x.To, "accepted")
	}
	return x
}

// place explains what is told of a place: the settings that are from it, and the findings
// about it.
func (e *explainer) place(name string) []Explanation {
	if !strings.ContainsAny(name, ":./") {
		return nil
	}
	whole := regexp.MustCompile(`(?:^|[\s(])` + regexp.QuoteMeta(name) + `(?:$|[\s);,:])`)
	var out []Explanation
	for _, a := range e.agents() {
		for _, s := range a.Settings {
			if slices.ContainsFunc(s.From, func(o migrate.Origin) bool { return whole.MatchString(o.Where) }) {
				out = append(out, e.ofSetting(a, s))
			}
		}
	}
	for _, f := range e.report.Plan.Findings {
		if (e.only == "" || f.Repository == e.only) && (whole.MatchString(f.Where) || whole.MatchString(f.Subject)) {
			out = append(out, e.ofFinding(f))
		}
	}
	return out
}

// written explains an object that the plan makes, or one of its fields.
func (e *explainer) written(subject string) []Explanation {
	name, path := subject, ""
	if before, after, found := strings.Cut(subject, " "); found {
		name, path = before, after
	} else if i := strings.IndexAny(subject, ".["); i > 0 && strings.Count(subject[:i], "/") > 0 {
		// "Kustomization/flux-system/shop.spec.interval" as well.
		name, path = subject[:i], subject[i:]
	}
	var out []Explanation
	for _, o := range e.writtenObjects() {
		if !named(o.object, name) {
			continue
		}
		out = append(out, e.fieldsOf(o, path)...)
	}
	return out
}

// fieldsOf explains the fields of an object at a path and below it; all of them
// where the path is empty.
func (e *explainer) fieldsOf(o writtenObject, path string) []Explanation {
	var out []Explanation
	for _, f := range fieldsWritten(o.object) {
		if path != "" && f.path != path && !strings.HasPrefix(f.path, path+".") && !strings.HasPrefix(f.path, path+"[") {
			continue
		}
		x := Explanation{Subject: migrate.DisplayID(migrate.ObjectID(o.object)) + " " + f.path, Value: f.value}
		x.From, x.Why = e.fieldOrigin(o, f.path)
		switch {
		case o.file != "":
			x.To = []string{o.file + " of the flux-capacitor"}
		case o.object.GetKind() == "Secret":
			x.To = []string{"the cluster alone: no file of the flux-capacitor holds a Secret"}
		default:
			x.To = []string{"no file yet: " + e.report.Plan.Incomplete(o.repository)}
		}
		out = append(out, x)
	}
	return out
}

func named(u *unstructured.Unstructured, name string) bool {
	id := migrate.ObjectID(u)
	return id == name || migrate.DisplayID(id) == name || u.GetKind()+"/"+u.GetName() == name
}

type writtenObject struct {
	object *unstructured.Unstructured
	// agents that it is for.
	agents     []*migrate.Flux1Agent
	repository *migrate.Repository
	// file of the flux-capacitor that holds it; empty for Secrets, which none
	// holds.
	file string
	// capacitor is true of what the ClusterAgent syncs the flux-capacitor with.
	capacitor bool
}

// writtenObjects are all that the plan makes, credentials as Secrets with the
// places of their values, and what a flux-capacitor is synced with.
func (e *explainer) writtenObjects() []writtenObject {
	if e.objects[e.only] == nil {
		e.objects[e.only] = e.makeObjects()
	}
	return e.objects[e.only]
}

func (e *explainer) makeObjects() []writtenObject {
	var out []writtenObject
	agentsOf := func(ids ...string) []*migrate.Flux1Agent {
		return slices.DeleteFunc(e.agents(), func(a *migrate.Flux1Agent) bool { return !slices.Contains(ids, a.ID) })
	}
	for _, s := range e.report.Plan.Sources {
		var ids []string
		var of *migrate.Repository
		for _, r := range e.repositories() {
			if slices.Contains(r.Sources, migrate.ObjectRef{Namespace: s.GetNamespace(), Name: s.GetName()}) {
				ids, of = append(ids, r.ID), r
			}
		}
		if of != nil {
			out = append(out, e.inCapacitor(writtenObject{object: s, agents: agentsOf(ids...), repository: of}))
		}
	}
	for _, r := range e.repositories() {
		for _, o := range slices.Concat(r.Kustomizations, r.Supporting) {
			out = append(out, e.inCapacitor(writtenObject{object: o, agents: agentsOf(r.ID), repository: r}))
		}
	}
	for _, c := range e.report.Plan.Credentials {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret"}}
		u.SetNamespace(c.To.Namespace)
		u.SetName(c.To.Name)
		data := map[string]any{}
		for key, v := range c.From {
			data[key] = v.String()
		}
		if c.KnownHosts != "" {
			data["known_hosts"] = "the lines the agent trusts"
		}
		u.Object["data"] = data
		if of := agentsOf(c.Agent); len(of) > 0 {
			out = append(out, writtenObject{object: u, agents: of, repository: e.report.Plan.Repository(c.Agent)})
		}
	}
	return append(out, e.capacitorObjects()...)
}

// inCapacitor gives an object as it stands in the flux-capacitor, with what
// capacitor.yaml says of it, and the file in which it does; none if the plan does
// not know all of its repository.
func (e *explainer) inCapacitor(o writtenObject) writtenObject {
	cluster, kind, name := e.report.Capacitor.Cluster, o.object.GetKind(), accountFile
	switch kind {
	case sourceKind().Kind:
		name = sourceFile
		o.object = e.settings.apply(cluster, TeamName(o.repository), "", o.object)
	case kustomizationKind().Kind:
		name = applicationFile(o.object)
		o.object = e.settings.apply(cluster, TeamName(o.repository), o.object.GetName(), o.object)
	}
	if e.report.Plan.Incomplete(o.repository) == "" {
		o.file = path.Join(TeamFolder(o.repository, cluster), name)
	}
	return o
}

type writtenField struct{ path, value string }

// fieldsWritten are the fields of an object that hold a value, sorted.
func fieldsWritten(u *unstructured.Unstructured) []writtenField {
	var out []writtenField
	var walk func(steps []step, v any)
	walk = func(steps []step, v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(append(slices.Clip(steps), step{field: k}), v[k])
			}
			if len(v) > 0 {
				return
			}
		case []any:
			for i := range v {
				walk(append(slices.Clip(steps), step{item: true, index: i}), v[i])
			}
			if len(v) > 0 {
				return
			}
		}
		out = append(out, writtenField{pathOf(steps), strings.Join(lines(v, true), "\n")})
	}
	walk(nil, u.Object)
	return out
}

// alike begins an origin that is no place: what fluxover does alike for everybody.
const alike = "a rule of fluxover, for all alike: "

// fieldRow says where the fields of one kind, at a path and below it, come
// from.
type fieldRow struct {
	kind, path string
	// settings of the agent that decide it, as flags without dashes, beside those
	// whose row of the ledger says that they are carried to it.
	settings []string
	// of names what else decides it; nil if nothing does.
	of  func(e *explainer, o writtenObject, path string) []string
	why string
}

// ruled is the origin of what is the same for everybody.
func ruled(text string) func(*explainer, writtenObject, string) []string {
	return func(*explainer, writtenObject, string) []string { return []string{alike + text} }
}

// fieldRows are looked through from the top: the first row that is about a
// field explains it. Every field that a plan may write has one, and each row
// names an origin, which tests hold the planner to.
var fieldRows = []fieldRow{
	{"", ".apiVersion", nil, ruled("Flux v2's API, or Kubernetes' own"), "the API that the agent serves"},
	{"", ".kind", nil, ruled("a GitRepository reads, a Kustomization applies each application, under an account with the old one's rights"), "the kind of Flux v2 or Kubernetes that does what the Flux v1 agent did"},
	{"Kustomization", ".metadata.name", []string{"git-path"}, (*explainer).applicationAt, "made of the release's name and of the folder, unique and at most 63 characters long"},
	{"Role", ".metadata.name", nil, (*explainer).boundAs, "made of the repository's name and of the old role's"},
	{"ClusterRole", ".metadata.name", nil, (*explainer).boundAs, "made of the repository's name and of the old role's"},
	{"RoleBinding", ".metadata.name", nil, (*explainer).boundAs, "made of the repository's name and of the old binding's"},
	{"ClusterRoleBinding", ".metadata.name", nil, (*explainer).boundAs, "made of the repository's name and of the old binding's"},
	{"", ".metadata.name", nil, (*explainer).deployed, "made of the release's name, unique among all repositories"},
	{"Role", ".metadata.namespace", nil, (*explainer).boundAs, "where the old role stands"},
	{"RoleBinding", ".metadata.namespace", nil, (*explainer).boundAs, "where the old binding stands, or a namespace that the old agent keeps to"},
	{"", ".metadata.namespace", nil, ruled("sources, Kustomizations, accounts and credentials stand in " + migrate.AgentNamespace), "the ClusterAgent's namespace, in which all its objects stand"},
	{"", `.metadata.labels["` + migrate.LabelManaged + `"]`, nil, ruled("what it makes bears this label"), "tells what fluxover made from what others did"},
	{"", ".metadata.labels", nil, (*explainer).deployed, "the repository that it was made for, so that it is found again"},
	{"", ".metadata.annotations", nil, (*explainer).deployed, "the id of the repository that it was made for"},
	{"GitRepository", ".spec.url", []string{"git-url"}, nil, "the same address in the form that Flux v2 reads"},
	{"GitRepository", ".spec.ref", []string{"git-branch"}, nil, "the branch that the agent follows; a migration pins it to the commit synced last until the objects are adopted"},
	{"GitRepository", ".spec.interval", []string{"git-poll-interval"}, nil, "how often the agent asks Git for news"},
	{"GitRepository", ".spec.timeout", []string{"git-timeout"}, nil, "the agent's, at least 1m"},
	{"GitRepository", ".spec.ignore", []string{"git-path"}, ruled("what fluxd passes over is left out, and what it applies is not; each line says why it is there"), "files that fluxd does not load, or that another source reads"},
	{"GitRepository", ".spec.secretRef", []string{"k8s-secret-name", "k8s-secret-data-key", "git-url"}, (*explainer).copied, "a copy of the agent's credential, in the shape that Flux v2 reads"},
	{"GitRepository", ".spec.proxySecretRef", nil, (*explainer).copied, "the proxy through which the agent's git reaches its server"},
	{"Kustomization", ".spec.interval", []string{"sync-interval"}, nil, "how often the agent applies everything again"},
	{"Kustomization", ".spec.retryInterval", []string{"sync-interval"}, nil, "the agent's, at most 1m: fluxd tries again at its next sync"},
	{"Kustomization", ".spec.timeout", []string{"sync-timeout"}, nil, "the agent's, at least 1m"},
	{"Kustomization", ".spec.path", []string{"git-path"}, (*explainer).applicationAt, "the application's folder"},
	{"Kustomization", ".spec.prune", []string{"sync-garbage-collection", "sync-garbage-collection-dry"}, nil, "whether the agent deletes what left Git; off while objects are adopted"},
	{"Kustomization", ".spec.wait", nil, nil, "whether it is ready only once what it applied is healthy; fluxd did not wait"},
	{"Kustomization", ".spec.ignore", nil, nil, "which fields are left to whoever sets them; fluxd put every field of Git back"},
	{"Kustomization", ".spec.deletionPolicy", nil, ruled("Orphan, until people decide otherwise"), "removing a fluxd never deleted workloads, and neither shall removing a Kustomization"},
	{"Kustomization", ".spec.serviceAccountName", []string{"k8s-allow-namespace", "k8s-namespace-whitelist"}, (*explainer).oldAccount, "an account with the rights of the agent's, and no more"},
	{"Kustomization", ".spec.sourceRef", []string{"git-url"}, (*explainer).applicationAt, "the source that reads the repository"},
	{"Kustomization", ".spec.patches", []string{"k8s-default-namespace"}, (*explainer).patched, "what Flux v1 did to an object and Flux v2 would not: the patch file of a .flux.yaml, the namespace of objects that name none, objects left alone or never deleted"},
	{"Kustomization", ".spec.dependsOn", nil, (*explainer).needed, "the application that defines the namespaces, kinds or webhooks that this one needs; fluxd applied these first"},
	{"Kustomization", ".spec.decryption", []string{"sops"}, (*explainer).encrypted, "fluxd decrypts files of SOPS"},
	{"Role", ".rules", nil, (*explainer).boundAs, "the rules of the role that the old release owns, which goes with it"},
	{"ClusterRole", ".rules", nil, (*explainer).boundAs, "the rules of the role that the old release owns, which goes with it"},
	{"RoleBinding", ".roleRef", nil, (*explainer).boundAs, "the role of the old binding, or the copy of it"},
	{"RoleBinding", ".subjects", nil, (*explainer).oldAccount, "the new account in place of the old one"},
	{"ClusterRoleBinding", ".roleRef", nil, (*explainer).boundAs, "the role of the old binding, or the copy of it"},
	{"ClusterRoleBinding", ".subjects", nil, (*explainer).oldAccount, "the new account in place of the old one"},
	{"Secret", ".data", nil, (*explainer).copied, "copied from the place that is named when the migration begins; the plan holds no value"},
}

// about reports whether a row of a kind and a path is about a field of an object.
func about(kind, at string, u *unstructured.Unstructured, field string) bool {
	return (kind == "" || kind == u.GetKind()) &&
		(at == "." || field == at || strings.HasPrefix(field, at+".") || strings.HasPrefix(field, at+"["))
}

// fieldOrigin explains one field of an object.
func (e *explainer) fieldOrigin(o writtenObject, path string) (from []string, why string) {
	if o.capacitor {
		return e.capacitorOrigin(o, path)
	}
	i := slices.IndexFunc(fieldRows, func(r fieldRow) bool { return about(r.kind, r.path, o.object, path) })
	if i < 0 {
		return nil, ""
	}
	row := fieldRows[i]
	if o.file != "" {
		if given := e.settings.override(e.report.Capacitor.Cluster, TeamName(o.repository), o.object, path); given != "" {
			return []string{given}, row.why + "; people decided otherwise than Flux v1 had it"
		}
	}
	from = given(o, row, path)
	if row.of != nil {
		from = append(from, row.of(e, o, path)...)
	}
	return from, row.why
}
