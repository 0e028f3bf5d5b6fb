package auditor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Options say what is judged, and what the tester knows beforehand. The zero
// value judges the whole log.
type Options struct {
	// Since and Until bound what is judged and counted; zero means the ends of
	// the log. What lies before Since is still read, for the state it leaves.
	Since, Until time.Time
	// Managed names further managed objects by inventory id, for example
	// Secrets, whose labels an audit log does not show.
	Managed []string
	// Flux1Users maps the user names of old agents to repository ids, and
	// AgentUsers names users of the ClusterAgent, where the log holds no
	// Deployment that tells.
	Flux1Users map[string]string
	AgentUsers []string
	// Bystanders are users whose changes of managed objects are nobody's fault,
	// as those of Kubernetes' own controllers. Their deletions count.
	Bystanders []string
	// Plan foretells writes; nil leaves predictions unjudged.
	Plan *Plan
	// Expected is what the tester changed on purpose.
	Expected []Expectation
	// MaxGap fails the verdict when a gap is longer; 0 sets no limit.
	MaxGap time.Duration
	// Status holds the product's own figures, compared within Tolerance
	// (default 200 ms); nil compares nothing.
	Status    *Status
	Tolerance time.Duration
	// Survey is the cluster at the end of the log; nil does without.
	Survey *Survey
}

// Auditor reads an audit log once and then reports. It is not safe for
// concurrent use.
type Auditor struct {
	opts     Options
	ledger   *ledger
	accounts *accounts
	handover *handovers
	load     map[loadKey]int

	events, unreadable int
	torn               bool
	first, last        time.Time
}

// New prepares an Auditor.
func New(opts Options) *Auditor {
	a := &Auditor{
		opts: opts, ledger: newLedger(), accounts: newAccounts(), handover: newHandovers(), load: map[loadKey]int{},
	}
	for user, repository := range opts.Flux1Users {
		a.accounts.flux1Users[user] = repository
	}
	for _, user := range opts.AgentUsers {
		a.accounts.agentUsers[user] = true
	}
	for _, user := range opts.Bystanders {
		a.accounts.bystanders[user] = true
	}
	if opts.Survey != nil {
		opts.Survey.teach(a)
	}
	return a
}

// Read takes in a whole log. It may be called for several files of one log, in
// their order.
func (a *Auditor) Read(ctx context.Context, log io.Reader) error {
	return a.ReadFrom(ctx, NewReader(log))
}

// ReadFrom takes in events until the reader's end, which is no error, or until
// ctx ends, whose error it wraps: the way to stop a reader that follows.
func (a *Auditor) ReadFrom(ctx context.Context, r *Reader) error {
	unreadable := r.Unreadable
	defer func() {
		a.unreadable += r.Unreadable - unreadable
		a.torn = a.torn || r.Torn
	}()
	for {
		e, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		a.Observe(&e)
	}
}

// Observe takes in one event. It keeps nothing of e itself.
func (a *Auditor) Observe(e *Event) {
	a.events++
	if a.first.IsZero() || e.StageTimestamp.Before(a.first) {
		a.first = e.StageTimestamp
	}
	if e.StageTimestamp.After(a.last) {
		a.last = e.StageTimestamp
	}
	if a.inWindow(e.StageTimestamp) {
		k := loadKeyOf(e)
		k.user, k.verb, k.resource = a.ledger.intern(k.user), a.ledger.intern(k.verb), a.ledger.intern(k.resource)
		a.load[k]++
	}
	if !isWriteVerb(e.Verb) || e.ObjectRef == nil {
		return
	}
	if !e.succeeded() {
		a.handover.observeRefusal(e)
		return
	}
	if e.dryRun() || !changesObject(e.ObjectRef.Subresource) || untracked(e.ObjectRef) {
		return
	}
	if e.Verb == "deletecollection" {
		a.observeCollection(e)
		return
	}
	request, response := decodeBody(e.RequestObject), decodeBody(e.ResponseObject)
	a.observeRoles(e, response)
	if e.ObjectRef.Resource == "pods" && (response == nil || response.controlled()) {
		return
	}
	a.ledger.record(e, request, response)
}

// observeCollection takes a deletion of many apart: into the objects that the
// response lists, or else all that are known in that place; which of these a
// selector spared then remains open.
func (a *Auditor) observeCollection(e *Event) {
	one := func(name string, object body) {
		ref := *e.ObjectRef
		ref.Name = name
		single := *e
		single.Verb, single.ObjectRef, single.RequestObject, single.ResponseObject = "delete", &ref, nil, nil
		a.observeRoles(&single, object)
		if ref.Resource != "pods" || !object.controlled() {
			a.ledger.record(&single, nil, object)
		}
	}
	response := decodeBody(e.ResponseObject)
	items, listed := response["items"].([]any)
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			one(text(m, "metadata", "name"), body(m))
		}
	}
	if listed || strings.HasSuffix(response.kind(), "List") {
		return
	}
	for k, h := range a.ledger.objects {
		if h.mayExist() && k.group == e.ObjectRef.APIGroup && k.resource == e.ObjectRef.Resource && k.namespace == e.ObjectRef.Namespace {
			one(k.name, nil)
		}
	}
}

// observeRoles reads what tells engines apart and times hand-overs.
func (a *Auditor) observeRoles(e *Event, b body) {
	ref, at := e.ObjectRef, e.StageTimestamp
	gone := e.Verb == "delete" && (b == nil || b.kind() == "Status" || b.isGone()) || e.Verb != "delete" && b != nil && b.isGone()
	name := ref.Namespace + "/" + ref.Name
	if ref.Name == "" {
		name = ref.Namespace + "/" + text(b, "metadata", "name")
	}
	writer := &Write{User: e.actor().Username, Manager: e.manager(), pod: e.actor().pod()}
	if e.ImpersonatedUser != nil {
		writer.RequestedBy, writer.requesterPod = e.User.Username, e.User.pod()
	}
	engine, _ := a.accounts.engine(writer)
	byExecutor := engine == Executor
	switch {
	case ref.APIGroup == "apps" && ref.Resource == "deployments":
		switch {
		case gone:
			a.handover.observeReplicas(at, name, 0)
		case b.kind() == "Scale":
			replicas, _ := number(b, "spec", "replicas")
			a.handover.observeReplicas(at, name, replicas)
		case b.kind() == "Deployment":
			a.accounts.learnDeployment(b)
			if replicas, ok := number(b, "spec", "replicas"); ok {
				a.handover.observeReplicas(at, name, replicas)
			}
		}
	case ref.APIGroup == "" && ref.Resource == "pods" && b.uid() != "":
		if deployment := a.accounts.learnPod(b); deployment != "" {
			a.handover.observePod(at, a.ledger.intern(deployment), b, gone)
		}
	case ref.APIGroup == "" && ref.Resource == "pods" && ref.Subresource == "status" && strings.HasPrefix(e.User.Username, "system:node:"):
		a.handover.observeReport(at, ref.Namespace, ref.Name)
	case ref.APIGroup == "kustomize.toolkit.fluxcd.io" && ref.Resource == "kustomizations":
		if ref.Subresource == "status" && !byExecutor {
			a.accounts.agentUsers[a.ledger.intern(e.User.Username)] = true
		}
		switch {
		case gone:
			a.handover.kustomizationGone(at, name, byExecutor)
		case b.kind() == "Kustomization":
			a.handover.observeKustomization(at, name, b, byExecutor)
		}
	case ref.APIGroup == "source.toolkit.fluxcd.io" && ref.Resource == "gitrepositories":
		if gone {
			delete(a.handover.pins, name)
		} else if b.kind() == "GitRepository" {
			a.handover.pins[name] = text(b, "spec", "ref", "commit")
		}
	case ref.Resource == "validatingadmissionpolicies" && byExecutor:
		a.handover.policies[ref.Name] = ruleText(b)
	}
}

// ruleText is a policy's spec as text.
func ruleText(b body) string {
	raw, err := json.Marshal(child(b, "spec"))
	if err != nil {
		return "" // it was read from JSON
	}
	return string(raw)
}

func (a *Auditor) inWindow(at time.Time) bool {
	return (a.opts.Since.IsZero() || !at.Before(a.opts.Since)) && (a.opts.Until.IsZero() || !at.After(a.opts.Until))
}
