package auditor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Names of the checks.
const (
	CheckLog         = "log"
	CheckDeleted     = "deleted"
	CheckRecreated   = "recreated"
	CheckChanged     = "changed"
	CheckUnpredicted = "unpredicted"
	CheckInterleaved = "interleaved"
	CheckBothMay     = "both-may-write"
	CheckGap         = "gap"
	CheckFigures     = "figures"
	CheckUnjudged    = "unjudged"
)

// Report is the auditor's verdict. Its JSON form is versioned by APIVersion.
type Report struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Verdict is pass or fail; it fails when one check does.
	Verdict string     `json:"verdict"`
	Window  Window     `json:"window"`
	Log     LogSummary `json:"log"`
	Checks  []Check    `json:"checks"`
	// Violations are in the order of the checks, then of time.
	Violations []Violation `json:"violations"`
	Objects    Objects     `json:"objects"`
	// Writes are those of managed objects inside the window.
	Writes []Write `json:"writes"`
	// ByEngine counts them.
	ByEngine []EngineCount `json:"byEngine"`
	// Subresources counts the writes of subresources by Kubernetes' controllers.
	Subresources []OtherWrites `json:"subresources"`
	// Elsewhere counts what the new engine and the executor wrote that is not
	// a managed object.
	Elsewhere []OtherWrites `json:"elsewhere"`
	Handovers []Handover    `json:"handovers"`
	// Switches are the changes of engine by object, the illegal ones and those
	// of objects that were switched more than once; Switched counts all objects
	// that were.
	Switches []ObjectSwitches `json:"switches"`
	Switched int              `json:"switched"`
	Load     []Load           `json:"load"`
	Notes    []string         `json:"notes"`
}

// Window is what was judged.
type Window struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// LogSummary says what was read.
type LogSummary struct {
	Events     int       `json:"events"`
	Unreadable int       `json:"unreadable"`
	Torn       bool      `json:"torn"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
}

// Check is one line of the verdict.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Count is the number of violations.
	Count int    `json:"count"`
	Text  string `json:"text"`
}

// Violation is one thing that must not be.
type Violation struct {
	Check   string    `json:"check"`
	Subject string    `json:"subject"`
	Time    time.Time `json:"time"`
	// Engine, User and Manager are those of the write at fault, if one is.
	Engine  Engine  `json:"engine,omitempty"`
	User    string  `json:"user,omitempty"`
	Manager string  `json:"manager,omitempty"`
	What    string  `json:"what"`
	Fields  []Field `json:"fields,omitempty"`
}

// Objects counts the managed objects.
type Objects struct {
	Managed int `json:"managed"`
	Written int `json:"written"`
	// Changed by Flux v1, as it syncs commits; not judged.
	ChangedByFlux1 int `json:"changedByFlux1"`
	// WithoutContent are Secrets whose values no log shows: whether they
	// changed is for Diff to say.
	WithoutContent int `json:"withoutContent"`
}

// EngineCount is how often an engine wrote managed objects, and as whom.
type EngineCount struct {
	Engine Engine   `json:"engine"`
	Writes int      `json:"writes"`
	Users  []string `json:"users"`
}

// OtherWrites counts writes that are not judged.
type OtherWrites struct {
	Engine   Engine `json:"engine"`
	User     string `json:"user"`
	Resource string `json:"resource"`
	Verb     string `json:"verb"`
	Count    int    `json:"count"`
}

// ObjectSwitches are the changes of engine of one object.
type ObjectSwitches struct {
	ID       string   `json:"id"`
	Switches []Switch `json:"switches"`
}

// judge collects what Report finds.
type judge struct {
	*Auditor
	report   *Report
	forecast *forecast
	managed  map[string]bool
	ks       map[string]*kustomization // by inventory id
	other    map[OtherWrites]int
	sub      map[OtherWrites]int
	users    map[Engine]map[string]int
}

// Report judges all that was taken in so far. It may be called again after
// more was read.
func (a *Auditor) Report() *Report {
	r := &Report{APIVersion: "audit.fluxover.dev/v1", Kind: "AuditReport", Verdict: "pass"}
	r.Log = LogSummary{Events: a.events, Unreadable: a.unreadable, Torn: a.torn, First: a.first, Last: a.last}
	r.Window = Window{Since: a.opts.Since, Until: a.opts.Until}
	if r.Window.Since.IsZero() {
		r.Window.Since = a.first
	}
	if r.Window.Until.IsZero() {
		r.Window.Until = a.last
	}
	j := &judge{
		Auditor: a, report: r, forecast: newForecast(a.opts.Plan, a.opts.Expected), managed: map[string]bool{},
		ks: map[string]*kustomization{}, other: map[OtherWrites]int{}, sub: map[OtherWrites]int{}, users: map[Engine]map[string]int{},
	}
	j.nameManaged()
	for _, h := range j.sorted() {
		j.object(h)
	}
	j.handovers()
	j.log()
	j.survey()
	j.summarize()
	return r
}

func (j *judge) nameManaged() {
	for _, id := range j.opts.Managed {
		j.managed[id] = true
	}
	for id := range j.forecast.plan {
		j.managed[id] = true
	}
	for _, k := range j.handover.kustomizations {
		for id := range k.inventory {
			j.managed[id] = true
			j.ks[id] = k
		}
	}
	if j.opts.Survey != nil {
		for id := range j.opts.Survey.Managed {
			j.managed[id] = true
		}
	}
}

func (j *judge) sorted() []*history {
	out := make([]*history, 0, len(j.ledger.objects))
	for _, h := range j.ledger.objects {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b *history) int {
		return cmp.Or(cmp.Compare(a.key.namespace, b.key.namespace), cmp.Compare(a.key.name, b.key.name),
			cmp.Compare(a.key.group, b.key.group), cmp.Compare(a.key.resource, b.key.resource))
	})
	return out
}

// isManaged applies the definition of the package comment.
func (j *judge) isManaged(h *history, id string) bool {
	switch {
	case isFluxGroup(h.key.group):
		return false
	case h.marked && !h.controlled:
		return true
	case h.fluxover && !h.marked || h.controlled:
		return false
	}
	return h.toolkit || j.managed[id]
}

func (j *judge) object(h *history) {
	id := j.ledger.id(h)
	managed := j.isManaged(h, id)
	for _, w := range h.writes {
		w.ID = id
		w.Engine, w.Repository = j.accounts.engine(w)
	}
	if !managed {
		for _, w := range h.writes {
			if j.inWindow(w.Time) && (w.Engine == Flux2 || w.Engine == Executor) {
				j.other[OtherWrites{Engine: w.Engine, User: w.User, Resource: resourceName(h.key, w.Subresource), Verb: w.Verb}]++
			}
		}
		return
	}
	j.report.Objects.Managed++
	written := false
	changedByFlux1 := false
	for _, w := range h.writes {
		if !j.inWindow(w.Time) {
			continue
		}
		if w.Subresource != "" && w.Engine == Controller {
			j.sub[OtherWrites{Engine: w.Engine, User: w.User, Resource: resourceName(h.key, w.Subresource), Verb: w.Verb}]++
			continue
		}
		written = true
		if j.users[w.Engine] == nil {
			j.users[w.Engine] = map[string]int{}
		}
		j.users[w.Engine][w.User]++
		j.report.Writes = append(j.report.Writes, *w)
		changedByFlux1 = changedByFlux1 || w.Engine == Flux1 && len(w.contentFields()) > 0
		j.write(h, w)
	}
	if written {
		j.report.Objects.Written++
	}
	if changedByFlux1 {
		j.report.Objects.ChangedByFlux1++
	}
	if !h.bodySeen && h.isSecret() {
		j.report.Objects.WithoutContent++
	}
	for _, r := range h.recreations {
		if !j.inWindow(r.write.Time) || j.forecast.expects(id, "create", nil) {
			continue
		}
		what := "made again after a deletion"
		if r.old != "" {
			what = fmt.Sprintf("made again: UID %s became %s", r.old, r.new)
		}
		j.blame(CheckRecreated, r.write, what, nil)
	}
	j.interleaving(h, id)
}

// write judges one write of a managed object.
func (j *judge) write(h *history, w *Write) {
	if w.Deleted && !j.forecast.expects(w.ID, "delete", nil) {
		what := "deleted"
		if !w.Removed {
			what = "deletion asked for; not gone at once"
		}
		j.blame(CheckDeleted, w, what, nil)
	}
	if w.Unknown && w.Subresource == "" && !h.isSecret() && w.Engine != Flux1 && w.Engine != Controller {
		j.blame(CheckUnjudged, w, w.Why, nil)
	}
	changed := w.contentFields()
	judged := w.Engine != Flux1 && w.Engine != Controller
	if len(changed) > 0 && judged && !j.foreseesChange(w, changed) {
		j.blame(CheckChanged, w, "changed "+paths(changed), changed)
	}
	if j.opts.Plan == nil || w.Engine != Flux2 && w.Engine != Executor {
		return
	}
	if fields, bad := j.forecast.unforeseen(w); bad {
		what := "not foretold by the plan: " + w.Verb
		if len(fields) > 0 {
			what += " of " + paths(fields)
		}
		j.blame(CheckUnpredicted, w, what, fields)
	}
}

// foreseesChange tells whether a change of content is the tester's own, or
// one that the plan names.
func (j *judge) foreseesChange(w *Write, changed []Field) bool {
	if j.forecast.expects(w.ID, "change", changed) {
		return true
	}
	told, ok := j.forecast.plan[w.ID]
	if !ok {
		return false
	}
	for _, f := range changed {
		restart := slices.Contains(told.verbs, "restart") && f.Section == "podTemplate"
		if !restart && !within(f, told.fields) {
			return false
		}
	}
	return true
}

func (j *judge) interleaving(h *history, id string) {
	k := j.handover.kustomizations[h.kustomization]
	if k == nil {
		k = j.ks[id]
	}
	found := switches(h.writes, k.rollbackAt)
	if len(found) == 0 {
		return
	}
	j.report.Switched++
	illegal := false
	for _, s := range found {
		if s.Legal || !j.inWindow(s.Time) {
			continue
		}
		illegal = true
		what := fmt.Sprintf("%s wrote after %s while no rollback was under way", s.To, s.From)
		if s.To == Flux2 {
			what = fmt.Sprintf("%s wrote after %s while a rollback was under way", s.To, s.From)
		}
		j.add(Violation{Check: CheckInterleaved, Subject: id, Time: s.Time, Engine: s.To, What: what})
	}
	if illegal || len(found) > 1 {
		j.report.Switches = append(j.report.Switches, ObjectSwitches{ID: id, Switches: found})
	}
}

func (j *judge) handovers() {
	j.report.Handovers = j.handover.results(j.accounts)
	for _, h := range j.report.Handovers {
		for _, r := range h.BothMayWrite {
			if j.inWindow(r.Time) {
				j.add(Violation{Check: CheckBothMay, Subject: h.ID, Time: r.Time,
					What: "Kustomization " + r.Kustomization + " was resumed while an old Pod could still write"})
			}
		}
		end := j.report.Window.Until
		if h.Adopted != nil {
			end = *h.Adopted
		}
		if !j.inWindow(end) {
			continue
		}
		began := h.PodsGone != nil || h.Fenced != nil || h.ScaledToZero != nil
		switch {
		case h.Gap == nil && began && len(h.Kustomizations) > 0:
			j.add(Violation{Check: CheckGap, Subject: h.ID, Time: end,
				What: "the old agent stopped, and not every Kustomization was Ready by the end"})
		case h.Gap != nil && j.opts.MaxGap > 0 && *h.Gap > j.opts.MaxGap.Seconds():
			j.add(Violation{Check: CheckGap, Subject: h.ID, Time: end,
				What: fmt.Sprintf("no engine for %.3f s, longer than %s", *h.Gap, j.opts.MaxGap)})
		}
	}
	j.figures()
}

// figures compares the product's gaps with the last hand-over of each
// repository.
func (j *judge) figures() {
	if j.opts.Status == nil {
		return
	}
	tolerance := cmp.Or(j.opts.Tolerance, 200*time.Millisecond)
	ours := map[string]Handover{}
	for _, h := range j.report.Handovers {
		if h.Gap != nil && !h.Abandoned {
			ours[h.ID] = h
		}
	}
	told := map[string]bool{}
	for _, r := range j.opts.Status.Repositories {
		if r.Gap == nil {
			continue
		}
		told[r.ID] = true
		h, ok := ours[r.ID]
		switch {
		case !ok:
			j.add(Violation{Check: CheckFigures, Subject: r.ID, Time: j.last,
				What: fmt.Sprintf("the product tells a gap of %.3f s, the log shows no finished hand-over", r.Gap.Seconds())})
		case math.Abs(*h.Gap-r.Gap.Seconds()) > tolerance.Seconds():
			j.add(Violation{Check: CheckFigures, Subject: r.ID, Time: *h.Adopted,
				What: fmt.Sprintf("the product tells a gap of %.3f s, the log %.3f s", r.Gap.Seconds(), *h.Gap)})
		}
	}
	for id, h := range ours {
		if !told[id] {
			j.add(Violation{Check: CheckFigures, Subject: id, Time: *h.Adopted,
				What: fmt.Sprintf("the log shows a gap of %.3f s, the product tells none", *h.Gap)})
		}
	}
}

// log fails what could not be seen.
func (j *judge) log() {
	if j.unreadable > 0 {
		j.add(Violation{Check: CheckLog, Subject: "log", Time: j.last, What: fmt.Sprintf("%d lines could not be read", j.unreadable)})
	}
	if j.report.Objects.Managed == 0 {
		j.add(Violation{Check: CheckLog, Subject: "log", Time: j.last, What: "no managed object: there is nothing to judge"})
	}
	if j.torn {
		j.report.Notes = append(j.report.Notes, "the last line of the log is torn and was left out")
	}
	if n := j.report.Objects.WithoutContent; n > 0 {
		j.report.Notes = append(j.report.Notes, fmt.Sprintf(
			"%d Secrets: who wrote and deleted them is judged, their values are not in the log; compare dumps", n))
	}
}

// survey holds what is live against what the log says.
func (j *judge) survey() {
	if j.opts.Survey == nil {
		return
	}
	for _, h := range j.sorted() {
		id := j.ledger.id(h)
		if !j.isManaged(h, id) || len(h.writes) == 0 {
			continue
		}
		live, ok := j.opts.Survey.Managed[id]
		last := h.writes[len(h.writes)-1]
		if ok && h.exists && h.uid != "" && live.UID != h.uid {
			j.add(Violation{Check: CheckRecreated, Subject: id, Time: j.last,
				What: fmt.Sprintf("lives with UID %s, the log knows %s: part of the story is missing", live.UID, h.uid)})
		}
		if ok && last.Deleted && last.Removed && live.Created.Before(last.Time.Truncate(time.Second)) {
			j.forgive(id, last)
		}
	}
}

// forgive takes back the deletion of an object that lives and is older: the
// deletion was a dry-run.
func (j *judge) forgive(id string, w *Write) {
	j.report.Violations = slices.DeleteFunc(j.report.Violations, func(v Violation) bool {
		return (v.Check == CheckDeleted || v.Check == CheckUnpredicted) && v.Subject == id && v.Time.Equal(w.Time)
	})
	j.report.Notes = append(j.report.Notes, id+": its deletion was a dry-run: it lives, and is older")
}

func (j *judge) blame(check string, w *Write, what string, fields []Field) {
	j.add(Violation{Check: check, Subject: w.ID, Time: w.Time, Engine: w.Engine, User: w.User, Manager: w.Manager, What: what, Fields: fields})
}

func (j *judge) add(v Violation) { j.report.Violations = append(j.report.Violations, v) }

// checkTexts are the sentences of the checks, in the order they are shown.
var checkTexts = []struct{ name, text string }{
	{CheckLog, "the log can be read and holds managed objects"},
	{CheckDeleted, "no managed object was deleted"},
	{CheckRecreated, "no managed object was made again"},
	{CheckChanged, "no spec, data or pod template changed, but by Flux v1"},
	{CheckUnpredicted, "no write that the plan did not foretell"},
	{CheckInterleaved, "no object was written by two engines in turn"},
	{CheckBothMay, "nothing was resumed while the old agent could write"},
	{CheckGap, "every gap is closed and within its limit"},
	{CheckFigures, "the product's figures agree with the log"},
	{CheckUnjudged, "every write can be judged from the log"},
}

func (j *judge) summarize() {
	r := j.report
	counts := map[string]int{}
	order := map[string]int{}
	for i, c := range checkTexts {
		order[c.name] = i
	}
	for _, v := range r.Violations {
		counts[v.Check]++
	}
	slices.SortStableFunc(r.Violations, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(order[a.Check], order[b.Check]), a.Time.Compare(b.Time), cmp.Compare(a.Subject, b.Subject))
	})
	for _, c := range checkTexts {
		if c.name == CheckUnpredicted && j.opts.Plan == nil || c.name == CheckFigures && j.opts.Status == nil {
			r.Notes = append(r.Notes, "not checked: "+c.text)
			continue
		}
		r.Checks = append(r.Checks, Check{Name: c.name, OK: counts[c.name] == 0, Count: counts[c.name], Text: c.text})
	}
	if len(r.Violations) > 0 {
		r.Verdict = "fail"
	}
	for engine, users := range j.users {
		c := EngineCount{Engine: engine}
		for user, n := range users {
			c.Users = append(c.Users, user)
			c.Writes += n
		}
		slices.Sort(c.Users)
		r.ByEngine = append(r.ByEngine, c)
	}
	slices.SortFunc(r.ByEngine, func(a, b EngineCount) int { return cmp.Compare(a.Engine, b.Engine) })
	slices.SortStableFunc(r.Writes, func(a, b Write) int { return a.Time.Compare(b.Time) })
	r.Subresources, r.Elsewhere = counted(j.sub), counted(j.other)
	r.Load = loads(j.load, r.Window.Until.Sub(r.Window.Since))
}

func counted(writes map[OtherWrites]int) []OtherWrites {
	out := make([]OtherWrites, 0, len(writes))
	for w, n := range writes {
		w.Count = n
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b OtherWrites) int {
		return cmp.Or(cmp.Compare(a.Engine, b.Engine), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.User, b.User))
	})
	return out
}

func resourceName(k key, subresource string) string {
	name := strings.TrimSuffix(k.resource+"."+k.group, ".")
	if subresource != "" {
		name += "/" + subresource
	}
	return name
}

func paths(fields []Field) string {
	var out []string
	for i, f := range fields {
		if i == 5 {
			out = append(out, fmt.Sprintf("%d more", len(fields)-i))
			break
		}
		s := f.Path
		if f.Before != "" || f.After != "" {
			s += " (" + cmp.Or(f.Before, "none") + " → " + cmp.Or(f.After, "none") + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}
