package auditor

import (
	"slices"
	"strings"
	"time"
)

// Handover is what the log says of one repository's way to the ClusterAgent
// and back. Times that were not seen are nil; durations are nil with them.
type Handover struct {
	// ID is namespace/release of the old agent.
	ID string `json:"id"`
	// ScaledToZero, PodsGone, Fenced: the old Deployment was set to no replicas,
	// its last Pod was really removed, a write as its account was refused.
	ScaledToZero *time.Time `json:"scaledToZero,omitempty"`
	PodsGone     *time.Time `json:"podsGone,omitempty"`
	Fenced       *time.Time `json:"fenced,omitempty"`
	// Adopted is when the last Kustomization was Ready at the adopted revision.
	Adopted *time.Time `json:"adopted,omitempty"`
	// Gap is from the first of PodsGone and Fenced to Adopted, in seconds.
	Gap *float64 `json:"gap,omitempty"`
	// WaitingForOldPod is from ScaledToZero to PodsGone, in seconds.
	WaitingForOldPod *float64 `json:"waitingForOldPod,omitempty"`
	// Abandoned tells that the old agent came back before all was adopted; Gap
	// then ends with its Pod Ready.
	Abandoned bool `json:"abandoned,omitempty"`
	// Suspended, Echoed, OldPodReady: the last Kustomization was suspended, the
	// last of them echoed a request after that, an old Pod was Ready again.
	Suspended   *time.Time `json:"suspended,omitempty"`
	Echoed      *time.Time `json:"echoed,omitempty"`
	OldPodReady *time.Time `json:"oldPodReady,omitempty"`
	// Estimated tells that the log holds no content of Pods' status, so that
	// OldPodReady is the first status that the Pod's node reported.
	Estimated bool `json:"estimated,omitempty"`
	// RollbackGap is from Suspended to OldPodReady, in seconds.
	RollbackGap *float64 `json:"rollbackGap,omitempty"`
	// Kustomizations are namespace/name of those seen by the end.
	Kustomizations []string `json:"kustomizations"`
	// BothMayWrite names Kustomizations resumed while an old Pod was alive and
	// not fenced.
	BothMayWrite []Resumption `json:"bothMayWrite,omitempty"`
}

// Resumption is a Kustomization set going.
type Resumption struct {
	Kustomization string    `json:"kustomization"`
	Time          time.Time `json:"time"`
}

// moment is one thing that happened to a repository.
type moment struct {
	at   time.Time
	what string // see the constants
	// subject is namespace/name of the Kustomization or of the Pod.
	subject string
}

const (
	deploymentZero = "deployment-zero"
	deploymentUp   = "deployment-up"
	podCreated     = "pod-created"
	podReady       = "pod-ready"
	podReported    = "pod-reported" // a status whose content is not in the log
	podGone        = "pod-gone"
	refused        = "refused"
	ksSeen         = "kustomization-seen"
	ksSuspended    = "kustomization-suspended"
	ksResumed      = "kustomization-resumed"
	ksAdopted      = "kustomization-adopted"
	ksEchoed       = "kustomization-echoed"
	ksGone         = "kustomization-gone"
)

// kustomization is the last known state of one.
type kustomization struct {
	repository string
	source     string // namespace/name of its GitRepository
	rv         uint64 // of the newest state seen
	suspended  bool
	// resumedUntil is the version of the last state that was not suspended, while
	// it is not known who suspended it: another's write showed it first.
	resumedUntil uint64
	seen         bool
	announced    bool // seen together with its repository
	echo         string
	adopted      bool
	inventory    map[string]bool
	phases       []phase
}

// phase is a switch of a Kustomization in or out of a rollback.
type phase struct {
	rv       uint64
	at       time.Time
	rollback bool
}

// handovers collects moments; they are sorted out when the log has ended,
// since the repository of a Deployment may be learned late.
type handovers struct {
	kustomizations map[string]*kustomization
	pins           map[string]string // GitRepository → commit
	byRepository   map[string][]moment
	byDeployment   map[string][]moment
	replicas       map[string]int64
	podReady       map[string]bool     // by Deployment and Pod
	refusals       map[string][]moment // by user and Pod
	policies       map[string]string   // made by the executor, with their text
	pods           map[string]string   // namespace/pod/uid → Deployment, until it is gone
}

func newHandovers() *handovers {
	return &handovers{
		kustomizations: map[string]*kustomization{}, pins: map[string]string{}, byRepository: map[string][]moment{},
		byDeployment: map[string][]moment{}, replicas: map[string]int64{}, podReady: map[string]bool{},
		refusals: map[string][]moment{}, policies: map[string]string{}, pods: map[string]string{},
	}
}

// repositoryID reads the id of a repository off an object that fluxover made.
func repositoryID(b body) string {
	for k := range child(b, "metadata", "annotations") {
		if rest, ok := strings.CutPrefix(k, fluxoverPrefix); ok && (rest == "id" || rest == "repository") {
			if id := b.annotation(k); strings.Count(id, "/") == 1 {
				return id
			}
		}
	}
	namespace, release := b.label(fluxoverPrefix+"namespace"), b.label(fluxoverPrefix+"release")
	if namespace == "" || release == "" {
		return ""
	}
	return namespace + "/" + release
}

func (h *handovers) kustomization(name string) *kustomization {
	k, ok := h.kustomizations[name]
	if !ok {
		k = &kustomization{inventory: map[string]bool{}}
		h.kustomizations[name] = k
	}
	return k
}

func (h *handovers) add(repository string, m moment) {
	if repository != "" {
		h.byRepository[repository] = append(h.byRepository[repository], m)
	}
}

// observeKustomization enters a state of a Kustomization. byExecutor tells
// whether the executor wrote it.
func (h *handovers) observeKustomization(at time.Time, name string, b body, byExecutor bool) {
	k := h.kustomization(name)
	// Requests are logged as they are answered, which need not be the order in
	// which they were stored: an older state says nothing about now.
	suspended := child(b, "spec")["suspend"] == true
	if rv := b.resourceVersion(); rv != 0 && rv < k.rv {
		if byExecutor && suspended && k.resumedUntil != 0 && rv > k.resumedUntil {
			k.phases = append(k.phases, phase{rv: rv, at: at, rollback: true})
			k.resumedUntil = 0
		}
		return
	}
	last := k.rv
	k.rv = b.resourceVersion()
	if id := repositoryID(b); id != "" {
		k.repository = id
	}
	if ref := text(b, "spec", "sourceRef", "name"); ref != "" {
		namespace := text(b, "spec", "sourceRef", "namespace")
		if namespace == "" {
			namespace, _, _ = strings.Cut(name, "/")
		}
		k.source = namespace + "/" + ref
	}
	if !k.seen || !k.announced {
		// A state without the repository's id is announced once the id is there.
		k.announced = k.repository != ""
		h.add(k.repository, moment{at, ksSeen, name})
		if !suspended {
			h.add(k.repository, moment{at, ksResumed, name})
		}
	} else if suspended != k.suspended {
		what := ksResumed
		if suspended {
			what = ksSuspended
		}
		h.add(k.repository, moment{at, what, name})
		k.resumedUntil = 0
		if suspended && !byExecutor {
			k.resumedUntil = last
		}
		if byExecutor || !suspended {
			k.phases = append(k.phases, phase{rv: b.resourceVersion(), at: at, rollback: suspended})
		}
	}
	k.seen, k.suspended = true, suspended
	for _, e := range list(b, "status", "inventory", "entries") {
		if entry, ok := e.(map[string]any); ok && len(k.inventory) < 100_000 {
			k.inventory[text(entry, "id")] = true
		}
	}
	if echo := text(b, "status", "lastHandledReconcileAt"); echo != k.echo {
		k.echo = echo
		if suspended {
			h.add(k.repository, moment{at, ksEchoed, name})
		}
	}
	adopted := h.isAdopted(b, k)
	if adopted && !k.adopted {
		h.add(k.repository, moment{at, ksAdopted, name})
	}
	k.adopted = adopted
}

// isAdopted tells whether a Kustomization is Ready at its generation and at the
// commit its source is pinned to.
func (h *handovers) isAdopted(b body, k *kustomization) bool {
	generation, _ := number(b, "metadata", "generation")
	observed, _ := number(b, "status", "observedGeneration")
	revision := text(b, "status", "lastAppliedRevision")
	if k.suspended || generation != observed || revision == "" {
		return false
	}
	if pin := h.pins[k.source]; pin != "" && !strings.HasSuffix(revision, pin) {
		return false
	}
	return conditionTrue(b, "Ready")
}

func conditionTrue(b body, kind string) bool {
	for _, c := range list(b, "status", "conditions") {
		if condition, ok := c.(map[string]any); ok && text(condition, "type") == kind {
			return text(condition, "status") == "True"
		}
	}
	return false
}

// kustomizationGone enters the end of one.
func (h *handovers) kustomizationGone(at time.Time, name string, byExecutor bool) {
	k := h.kustomization(name)
	h.add(k.repository, moment{at, ksGone, name})
	if byExecutor {
		k.phases = append(k.phases, phase{at: at, rollback: true})
	}
	k.seen, k.adopted = false, false
}

// observeReplicas enters the number of Pods a Deployment wants.
func (h *handovers) observeReplicas(at time.Time, deployment string, replicas int64) {
	before, known := h.replicas[deployment]
	if known && before == replicas {
		return
	}
	h.replicas[deployment] = replicas
	what := deploymentUp
	if replicas == 0 {
		what = deploymentZero
	}
	h.byDeployment[deployment] = append(h.byDeployment[deployment], moment{at, what, deployment})
}

// observePod enters a state of a Pod of the Deployment; gone tells that it is
// really removed.
func (h *handovers) observePod(at time.Time, deployment string, b body, gone bool) {
	id := text(b, "metadata", "namespace") + "/" + text(b, "metadata", "name") + "/" + b.uid()
	add := func(what string) {
		h.byDeployment[deployment] = append(h.byDeployment[deployment], moment{at, what, id})
	}
	if gone {
		delete(h.pods, id)
		delete(h.podReady, id)
		add(podGone)
		return
	}
	if _, known := h.pods[id]; !known {
		h.pods[id] = deployment
		add(podCreated)
	}
	ready := conditionTrue(b, "Ready") && text(b, "metadata", "deletionTimestamp") == ""
	if ready && !h.podReady[id] {
		add(podReady)
	}
	h.podReady[id] = ready
}

// observeReport enters a status of a Pod whose content is not in the log.
func (h *handovers) observeReport(at time.Time, namespace, name string) {
	for id, deployment := range h.pods {
		if strings.HasPrefix(id, namespace+"/"+name+"/") {
			h.byDeployment[deployment] = append(h.byDeployment[deployment], moment{at, podReported, id})
			return
		}
	}
}

// observeRefusal enters a write that a ValidatingAdmissionPolicy refused.
func (h *handovers) observeRefusal(e *Event) {
	if e.ResponseStatus == nil {
		return
	}
	_, rest, ok := strings.Cut(e.ResponseStatus.Message, "ValidatingAdmissionPolicy '")
	if !ok {
		return
	}
	policy, _, _ := strings.Cut(rest, "'")
	rule, ours := h.policies[policy]
	if !ours && !strings.Contains(policy, managerExecutor) {
		return // a rule of the cluster's owner, no fence
	}
	if h.exempts(rule) {
		return // it stops those who come later; the pod that runs may still write
	}
	who := e.actor().Username + " " + e.actor().pod()
	// An old agent that runs against its fence is refused object by object.
	if seen := h.refusals[who]; len(seen) < refusalsKept {
		h.refusals[who] = append(seen, moment{at: e.StageTimestamp, what: refused, subject: who})
	}
}

// exempts tells whether a policy names, by its UID, a Pod that is still there:
// the way to let a running Pod finish.
func (h *handovers) exempts(rule string) bool {
	for id := range h.pods {
		if uid := id[strings.LastIndex(id, "/")+1:]; uid != "" && strings.Contains(rule, uid) {
			return true
		}
	}
	return false
}

// refusalsKept bounds what is remembered per account; the first after each
// change of engine is what counts.
const refusalsKept = 100_000

// results sorts out what happened, repository by repository.
func (h *handovers) results(accounts *accounts) []Handover {
	moments := map[string][]moment{}
	for id, ms := range h.byRepository {
		moments[id] = slices.Clone(ms)
	}
	for deployment, ms := range h.byDeployment {
		if w, ok := accounts.workloads[deployment]; ok && w.flux1 {
			moments[w.repository] = append(moments[w.repository], ms...)
		}
	}
	for who, ms := range h.refusals {
		user, pod, _ := strings.Cut(who, " ")
		for _, repository := range accounts.flux1Repositories(user, pod) {
			moments[repository] = append(moments[repository], ms...)
		}
	}
	var out []Handover
	for id, ms := range moments {
		slices.SortStableFunc(ms, func(a, b moment) int { return a.at.Compare(b.at) })
		out = append(out, follow(id, ms)...)
	}
	slices.SortFunc(out, func(a, b Handover) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// walk is the state of follow.
type walk struct {
	id        string
	current   Handover
	done      []Handover
	live      map[string]bool      // Pods
	ks        map[string]bool      // Kustomizations there are
	adopted   map[string]time.Time // of them
	suspended map[string]time.Time
	wantsNone bool
	newRules  bool // all adopted, not rolled back
	// abandonedFrom is when the old agent stopped, once it is wanted again
	// before all was adopted.
	abandonedFrom *time.Time
}

// follow walks through the moments of one repository, and returns one Handover
// for each time it went to the ClusterAgent; a repository that never did has
// one without a gap.
func follow(id string, moments []moment) []Handover {
	w := &walk{id: id, live: map[string]bool{}, ks: map[string]bool{}, adopted: map[string]time.Time{}, suspended: map[string]time.Time{}}
	for _, m := range moments {
		w.step(m)
	}
	w.finish()
	return w.done
}

func (w *walk) step(m moment) {
	at := m.at
	switch m.what {
	case deploymentZero:
		w.wantsNone = true
		if !w.newRules {
			w.current.ScaledToZero = &at
		}
	case deploymentUp:
		if !w.newRules && w.current.ScaledToZero != nil {
			w.abandonedFrom = w.stop()
		}
		w.wantsNone = false
	case podCreated:
		w.live[m.subject] = true
		if !w.newRules {
			w.current.PodsGone, w.current.WaitingForOldPod = nil, nil
		}
	case podGone:
		delete(w.live, m.subject)
		if len(w.live) == 0 && w.wantsNone && !w.newRules {
			w.current.PodsGone = &at
			if w.current.ScaledToZero != nil {
				w.current.WaitingForOldPod = seconds(*w.current.ScaledToZero, at)
			}
		}
	case refused:
		if !w.newRules && w.current.Fenced == nil {
			w.current.Fenced = &at
		}
	case podReady:
		w.live[m.subject] = true
		w.oldPodReady(at, false)
	case podReported:
		w.oldPodReady(at, true)
	case ksSeen:
		w.ks[m.subject] = true
	case ksGone:
		delete(w.ks, m.subject)
		delete(w.adopted, m.subject)
		w.ksStopped(m.subject, at)
	case ksSuspended:
		delete(w.adopted, m.subject)
		w.ksStopped(m.subject, at)
	case ksEchoed:
		if _, ok := w.suspended[m.subject]; ok {
			w.current.Echoed = &at
		}
	case ksResumed:
		delete(w.suspended, m.subject)
		if w.stop() == nil && !w.newRules && len(w.live) > 0 {
			w.current.BothMayWrite = append(w.current.BothMayWrite, Resumption{m.subject, at})
		}
	case ksAdopted:
		w.adopted[m.subject] = at
		if stop := w.stop(); stop != nil && !w.newRules && len(w.adopted) == len(w.ks) {
			w.newRules = true
			w.current.Adopted = &at
			w.current.Gap = seconds(*stop, at)
		}
	}
}

// stop is the moment since which the old agent cannot write, or nil. An agent
// that had no Pod when it was set to no replicas could not write from then on.
func (w *walk) stop() *time.Time {
	gone, fenced := w.current.PodsGone, w.current.Fenced
	switch {
	case gone == nil && fenced == nil && w.wantsNone && len(w.live) == 0:
		return w.current.ScaledToZero
	case gone == nil || fenced != nil && fenced.Before(*gone):
		return fenced
	}
	return gone
}

func (w *walk) ksStopped(name string, at time.Time) {
	w.suspended[name] = at
	if !w.newRules || w.current.Suspended != nil {
		return
	}
	for k := range w.ks {
		if _, ok := w.suspended[k]; !ok {
			return
		}
	}
	w.current.Suspended = &at
}

// oldPodReady ends a rollback, or a hand-over that was given up.
func (w *walk) oldPodReady(at time.Time, estimated bool) {
	switch {
	case w.newRules && w.current.Suspended != nil:
		w.current.OldPodReady = &at
		w.current.RollbackGap = seconds(*w.current.Suspended, at)
	case !w.newRules && w.abandonedFrom != nil && !w.wantsNone:
		w.current.Abandoned = true
		w.current.OldPodReady = &at
		w.current.Gap = seconds(*w.abandonedFrom, at)
	default:
		return
	}
	w.current.Estimated = estimated
	w.close()
}

func (w *walk) close() {
	w.current.ID = w.id
	w.current.Kustomizations = sortedNames(w.ks)
	w.done = append(w.done, w.current)
	w.current = Handover{}
	w.abandonedFrom, w.newRules = nil, false
	w.adopted, w.suspended = map[string]time.Time{}, map[string]time.Time{}
}

func (w *walk) finish() {
	begun := w.newRules || w.stop() != nil || w.current.ScaledToZero != nil || len(w.current.BothMayWrite) > 0
	if begun || len(w.done) == 0 {
		w.close()
	}
}

func seconds(from, to time.Time) *float64 {
	s := to.Sub(from).Seconds()
	return &s
}

func sortedNames(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for k := range set {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
