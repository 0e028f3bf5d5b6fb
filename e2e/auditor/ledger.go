package auditor

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Write is one write of one object.
type Write struct {
	// Time is when the API server had answered.
	Time time.Time `json:"time"`
	Verb string    `json:"verb"`
	// ID is the Flux inventory id, namespace_name_group_Kind.
	ID          string `json:"id"`
	Subresource string `json:"subresource,omitempty"`
	// User is whose rights were used; RequestedBy who impersonated that user.
	User        string `json:"user"`
	RequestedBy string `json:"requestedBy,omitempty"`
	// Manager is the field manager, or the client's name where none was given.
	Manager string `json:"manager"`
	Engine  Engine `json:"engine"`
	// Repository is the id of the old agent that wrote; engine flux1 only.
	Repository string `json:"repository,omitempty"`
	UID        string `json:"uid,omitempty"`
	// Created, Deleted and Removed: the object came to be, its deletion was
	// asked for, it is really gone.
	Created bool `json:"created,omitempty"`
	Deleted bool `json:"deleted,omitempty"`
	Removed bool `json:"removed,omitempty"`
	// Unknown tells that what changed cannot be read from the log, and Why.
	Unknown bool   `json:"unknown,omitempty"`
	Why     string `json:"why,omitempty"`
	// Fields are the differences to the state before; none for a write that
	// changed nothing.
	Fields []Field `json:"fields,omitempty"`

	pod, requesterPod string
	rv                uint64
}

// contentFields are the fields by which the object counts as changed.
func (w *Write) contentFields() []Field {
	var out []Field
	for _, f := range w.Fields {
		if f.isContent() {
			out = append(out, f)
		}
	}
	return out
}

// Limits on what is remembered per object.
const (
	// statesKept bounds how far apart two lines of one object may be out of
	// order: requests end in parallel, and the log holds them as they ended.
	statesKept = 4
	// unmanagedWritesKept bounds the writes kept of an object that is not, or
	// not yet, known to be managed.
	unmanagedWritesKept = 128
)

// state is what an object held after a write.
type state struct {
	rv         uint64
	generation int64
	content    map[string]any
	write      *Write // nil when the state was read off something else
}

// history is what is known of one object name.
type history struct {
	key        key
	kind       string
	uid        string
	exists     bool
	marked     bool // ever carried Flux v1's label
	toolkit    bool // ever carried Flux v2's label
	fluxover   bool // ever carried a label of fluxover.dev
	controlled bool
	bodySeen   bool
	// kustomization is namespace/name of the last Kustomization that labelled it.
	kustomization string
	states        map[string][]state // by apiVersion, in order of resourceVersion
	writes        []*Write
	recreations   []recreation
}

type recreation struct {
	write    *Write
	old, new string
}

// ledger holds the histories of all objects.
type ledger struct {
	objects map[key]*history
	kinds   map[[2]string]string // group, resource → kind
	names   map[string]string    // interned strings
}

func newLedger() *ledger {
	return &ledger{objects: map[key]*history{}, kinds: map[[2]string]string{}, names: map[string]string{}}
}

func (l *ledger) intern(s string) string {
	if known, ok := l.names[s]; ok {
		return known
	}
	s = strings.Clone(s)
	l.names[s] = s
	return s
}

func (l *ledger) id(h *history) string {
	kind := h.kind
	if kind == "" {
		kind = l.kinds[[2]string{h.key.group, h.key.resource}]
	}
	if kind == "" {
		kind = builtinKinds[h.key.resource]
	}
	if kind == "" {
		kind = h.key.resource
	}
	return inventoryID(h.key.namespace, h.key.name, h.key.group, kind)
}

func (l *ledger) history(k key) *history {
	h, ok := l.objects[k]
	if !ok {
		h = &history{key: k, states: map[string][]state{}}
		l.objects[k] = h
	}
	return h
}

// record enters a successful, non-dry-run write of one object. request and
// response may be nil.
func (l *ledger) record(e *Event, request, response body) {
	ref := e.ObjectRef
	k := key{group: ref.APIGroup, resource: l.intern(ref.Resource), namespace: l.intern(ref.Namespace), name: ref.Name}
	if k.name == "" {
		k.name = text(response, "metadata", "name")
	}
	if k.name == "" {
		return // a creation with a generated name, of which the log holds no body
	}
	if ref.Resource == "namespaces" && ref.APIGroup == "" {
		k.namespace = ""
	}
	w := &Write{
		Time: e.StageTimestamp, Verb: l.intern(e.Verb), Subresource: l.intern(ref.Subresource), User: l.intern(e.actor().Username),
		Manager: l.intern(e.manager()), pod: l.intern(e.actor().pod()), Created: e.code() == 201 && ref.Subresource == "",
	}
	if e.ImpersonatedUser != nil {
		w.RequestedBy, w.requesterPod = l.intern(e.User.Username), l.intern(e.User.pod())
	}
	h := l.history(k)
	object := response
	switch kind := response.kind(); {
	case kind == "Status", kind == "Table":
		object = nil
	case ref.Subresource == "scale":
		object = nil
		h.scaled(response)
		w.rv, w.UID = response.resourceVersion(), response.uid()
	case kind != "" && kind != "PartialObjectMetadata":
		h.kind = l.intern(kind)
		l.kinds[[2]string{k.group, k.resource}] = h.kind
	}
	for _, b := range []body{request, object} {
		h.learnLabels(b)
	}
	if object != nil {
		w.UID, w.rv = object.uid(), object.resourceVersion()
	}
	if e.Verb == "delete" {
		w.Deleted = true
		if e.ResponseStatus.Details != nil && w.UID == "" {
			w.UID = e.ResponseStatus.Details.UID
		}
		h.delete(e, w, object)
	} else {
		h.write(e, w, object)
	}
	h.append(w)
}

// scaled carries a write of the subresource scale into the known states, so
// that the next write of the object itself is not blamed for it.
func (h *history) scaled(scale body) {
	replicas, _ := number(scale, "spec", "replicas") // left out when 0
	for version, states := range h.states {
		if len(states) == 0 {
			continue
		}
		last := states[len(states)-1]
		spec, ok := last.content["spec"].(map[string]any)
		if !ok || scale.resourceVersion() <= last.rv {
			continue
		}
		changed := cloneTop(last.content)
		changedSpec := cloneTop(spec)
		changedSpec["replicas"] = json.Number(strconv.FormatInt(replicas, 10))
		changed["spec"] = changedSpec
		h.states[version] = keepState(states, len(states), state{rv: scale.resourceVersion(), content: changed, generation: last.generation})
	}
}

// mayExist tells whether the object is there as far as the log can say.
func (h *history) mayExist() bool {
	return h.exists || len(h.writes) > 0 && h.writes[len(h.writes)-1].Deleted && h.writes[len(h.writes)-1].Unknown
}

func (h *history) learnLabels(b body) {
	if b == nil {
		return
	}
	labels := child(b, "metadata", "labels")
	for k := range labels {
		if strings.HasPrefix(k, fluxoverPrefix) {
			h.fluxover = true
		}
	}
	// A patch that takes a label away names it with null.
	if labels[labelFlux1Mark] != nil {
		h.marked = true
	}
	if name := text(labels, labelKSName); name != "" {
		h.toolkit = true
		h.kustomization = text(labels, labelKSNamespace) + "/" + name
	}
	h.controlled = h.controlled || b.controlled()
}

// delete enters a deletion; it leaves open whether the object is gone when a
// finalizer or a grace period holds it.
func (h *history) delete(e *Event, w *Write, object body) {
	switch {
	case object == nil:
		w.Removed = e.ResponseStatus.Status == "Success"
		if e.Level == "Metadata" {
			w.Unknown, w.Why = true, "at this audit level a dry-run looks the same"
		}
	case text(object, "metadata", "deletionTimestamp") == "":
		// Some resources answer with the object as it was, and remove it at once.
		w.Removed = len(list(object, "metadata", "finalizers")) == 0
	default:
		w.Removed = object.isGone()
	}
	if w.UID != "" {
		h.uid = w.UID
	}
	if w.Removed {
		h.forget()
	}
}

func (h *history) forget() {
	h.exists = false
	h.states = map[string][]state{}
}

// write enters anything but a deletion.
func (h *history) write(e *Event, w *Write, object body) {
	if w.UID != "" && h.uid != "" && w.UID != h.uid {
		h.recreations = append(h.recreations, recreation{write: w, old: h.uid, new: w.UID})
		h.forget()
	} else if w.UID == "" && w.Created && len(h.writes) > 0 {
		// Bodies are not in the log: a second creation of one name shows it.
		h.recreations = append(h.recreations, recreation{write: w})
		h.forget()
	}
	if w.UID != "" {
		h.uid = w.UID
	}
	if w.UID == "" && !w.Created && !h.exists && len(h.writes) > 0 {
		// The last deletion cannot have happened: it was a dry-run that the
		// level Metadata does not show.
		if last := h.writes[len(h.writes)-1]; last.Deleted {
			last.Deleted, last.Removed, last.Unknown, last.Why = false, false, false, "a dry-run: the object was written afterwards"
		}
	}
	h.exists = true
	switch {
	case e.ObjectRef.Subresource == "scale":
		return // told by the subresource itself
	case object == nil && e.ObjectRef.Subresource == "status":
		return // cannot hold a change of spec or data
	case object == nil:
		w.Unknown, w.Why = true, "the log holds no content of this object"
		return
	case object.isGone():
		w.Removed = true
		h.forget()
		return
	case object.kind() == "PartialObjectMetadata":
		h.writeMetadata(w, metadataOnly(e.RequestObject), object)
		return
	}
	h.bodySeen = true
	generation, _ := number(object, "metadata", "generation")
	h.enter(w, object.apiVersion(), state{rv: w.rv, generation: generation, content: object.content(h.isSecret()), write: w})
}

// enter puts a state in its place among those of its apiVersion and writes down
// the differences to its neighbours. Where the version is seen for the first
// time, an equal generation proves that spec did not change.
func (h *history) enter(w *Write, version string, s state) {
	states := h.states[version]
	at := len(states)
	for at > 0 && s.rv != 0 && states[at-1].rv > s.rv {
		at--
	}
	switch {
	case at > 0:
		w.Fields = differences(states[at-1].content, s.content)
	case w.Created:
		// From nothing: what it holds is not a change.
	case len(states) > 0:
		w.Unknown, w.Why = true, "the state before this write is no longer known"
	default:
		w.Unknown, w.Why = true, "first seen: the state before this write is not in the log"
		for _, others := range h.states {
			if last := others[len(others)-1]; last.generation != 0 && last.generation == s.generation {
				w.Unknown, w.Why = false, ""
			}
		}
	}
	if at < len(states) {
		if next := states[at].write; next != nil && !next.Unknown {
			next.Fields = differences(s.content, states[at].content)
		} else if next != nil && next.Unknown && at == 0 && w.Created {
			next.Unknown, next.Why = false, ""
			next.Fields = differences(s.content, states[at].content)
		}
	}
	h.states[version] = keepState(states, at, s)
}

// writeMetadata enters a write whose client asked for metadata only. Its
// content is unchanged when the generation is, or when the patch itself speaks
// of metadata alone.
func (h *history) writeMetadata(w *Write, onlyMetadata bool, object body) {
	generation, _ := number(object, "metadata", "generation")
	known := false
	for version, states := range h.states {
		last := states[len(states)-1]
		if w.rv != 0 && last.rv > w.rv {
			continue
		}
		changed := cloneTop(last.content)
		delete(changed, "metadata")
		if meta, ok := object.content(h.isSecret())["metadata"]; ok {
			changed["metadata"] = meta
		}
		if !onlyMetadata && (generation == 0 || last.generation != generation) {
			continue
		}
		known = true
		w.Fields = differences(last.content, changed)
		h.states[version] = keepState(states, len(states), state{rv: w.rv, generation: generation, content: changed, write: w})
	}
	if !known && !onlyMetadata {
		w.Unknown, w.Why = true, "the client asked for metadata only"
	}
}

// metadataOnly tells whether a patch speaks of metadata alone.
func metadataOnly(request []byte) bool {
	if patch := decodeBody(request); patch != nil {
		for k := range patch {
			if k != "metadata" && k != "apiVersion" && k != "kind" {
				return false
			}
		}
		return true
	}
	var operations []struct {
		Path string `json:"path"`
	}
	if len(request) == 0 || json.Unmarshal(request, &operations) != nil {
		return false
	}
	for _, o := range operations {
		if !strings.HasPrefix(o.Path, "/metadata/") {
			return false
		}
	}
	return true
}

func (h *history) isSecret() bool { return h.key.group == "" && h.key.resource == "secrets" }

func keepState(states []state, at int, s state) []state {
	states = slices.Insert(states, at, s)
	if len(states) > statesKept {
		states = slices.Delete(states, 0, len(states)-statesKept)
	}
	return states
}

// append keeps the writes in the order of resourceVersion where both have one,
// and in the order of the log elsewhere.
func (h *history) append(w *Write) {
	at := len(h.writes)
	for at > 0 && w.rv != 0 && h.writes[at-1].rv > w.rv {
		at--
	}
	h.writes = slices.Insert(h.writes, at, w)
	if !h.marked && !h.toolkit && len(h.writes) > unmanagedWritesKept {
		h.writes = slices.Delete(h.writes, 0, len(h.writes)-unmanagedWritesKept)
	}
}

func cloneTop(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
