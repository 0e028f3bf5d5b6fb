package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/ssa/normalize"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/build"
)

// parallel bounds how many requests to the API server are under way at once.
const parallel = 16

// Account names a service account.
type Account struct{ Namespace, Name string }

// World is what a proof asks of a cluster. It is read-only: DryRun must send
// dryRun=All.
type World interface {
	// Live reads one object, by kind, namespace and name; nil and no error if
	// it does not exist.
	Live(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error)
	// DryRun tries a server-side apply as the account, with the field manager
	// of Flux v2 and ownership forced, and gives the object as it would be.
	DryRun(ctx context.Context, as Account, object *unstructured.Unstructured) (*unstructured.Unstructured, error)
	// DryRunUpdate tries to store the object as it is given, as the account,
	// and gives it as it would be: with the API server's defaults.
	DryRunUpdate(ctx context.Context, as Account, object *unstructured.Unstructured) (*unstructured.Unstructured, error)
}

// Evidence is what one object's verb was judged from. Secrets are held as
// they are: mask them before they are shown.
type Evidence struct {
	// Old is what fluxd applies, less its marks; nil if it does not.
	Old *unstructured.Unstructured
	// New is what the new agent applies; nil if it does not.
	New *unstructured.Unstructured
	// Live is the object in the cluster; nil if absent or not asked.
	Live *unstructured.Unstructured
	// After is what the dry-run made of it; nil if not tried.
	After *unstructured.Unstructured
}

// Result is a proved plan with what it was judged from, by Repository id and
// object id.
type Result struct {
	Plan     migrate.Plan
	Evidence map[string]map[string]*Evidence
}

// Plan makes a plan and proves it as far as w allows; w is nil without a
// cluster. An error means that the world could not be asked; everything that
// is wrong with the repositories themselves is a finding.
func Plan(ctx context.Context, inv migrate.Inventory, opts migrate.Options, w World) (migrate.Plan, error) {
	r, err := Prove(ctx, inv, opts, w)
	return r.Plan, err
}

// Prove is Plan with the evidence.
func Prove(ctx context.Context, inv migrate.Inventory, opts migrate.Options, w World) (Result, error) {
	res := Result{Plan: migrate.Build(inv, opts), Evidence: map[string]map[string]*Evidence{}}
	requests := make(chan struct{}, parallel)
	var mu sync.Mutex
	tried := false
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range res.Plan.Repositories {
		repo := &res.Plan.Repositories[i]
		agent := agentOf(inv, repo.ID)
		p := &prover{plan: &res.Plan, repo: repo, agent: agent, world: w, requests: requests, evidence: map[string]*Evidence{}, lacking: map[string]bool{}}
		g.Go(func() error {
			if err := p.prove(ctx); err != nil {
				return fmt.Errorf("prove the plan of %s: %w", repo.ID, err)
			}
			mu.Lock()
			defer mu.Unlock()
			res.Evidence[repo.ID] = p.evidence
			tried = tried || len(p.evidence) > 0 && len(p.lacking) == 0
			res.Plan.Findings = append(res.Plan.Findings, p.findings...)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return Result{}, err
	}
	if w != nil && tried {
		// Repositories that were not tried are held back by a finding.
		res.Plan.Proof = "server"
	}
	res.Plan.Findings = append(res.Plan.Findings, clashes(res.Plan.Repositories, res.Evidence)...)
	res.Plan.Settle(opts.Decisions)
	res.Plan.SetWaves()
	return res, nil
}

func agentOf(inv migrate.Inventory, id string) *migrate.Flux1Agent {
	for i := range inv.Agents {
		if inv.Agents[i].ID == id {
			return &inv.Agents[i]
		}
	}
	return nil
}

// prover proves one Repository.
type prover struct {
	plan     *migrate.Plan
	repo     *migrate.Repository
	agent    *migrate.Flux1Agent
	world    World
	requests chan struct{}

	mu       sync.Mutex
	evidence map[string]*Evidence
	findings []migrate.Finding
	// fenced is true once a fence was seen around the old account.
	fenced bool
	// lacking are the rights that were found missing.
	lacking map[string]bool
}

func (p *prover) find(f migrate.Finding) {
	f.Repository = p.repo.ID
	if f.Subject == "" {
		f.Subject = p.repo.ID
	} else {
		f.Subject = p.repo.ID + " " + f.Subject
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.findings = append(p.findings, f)
}

func (p *prover) prove(ctx context.Context) error {
	if p.agent.Tree == nil {
		for i := range p.repo.Objects {
			p.repo.Objects[i].Why = "not proven: the repository could not be read"
		}
		return nil
	}
	old := map[string]*migrate.Object{}
	for i := range p.agent.Objects {
		o := &p.agent.Objects[i]
		old[o.ID] = o
	}
	rendered := p.render(ctx)
	byID := map[string]*migrate.ObjectPlan{}
	var ids []string
	note := func(id, app string) *migrate.ObjectPlan {
		if byID[id] == nil {
			byID[id] = &migrate.ObjectPlan{ID: id, Application: app}
			p.evidence[id] = &Evidence{}
			ids = append(ids, id)
		}
		return byID[id]
	}
	for id, o := range old {
		note(id, "")
		p.evidence[id].Old = o.Manifest
	}
	for _, r := range rendered {
		id := migrate.ObjectID(r.object)
		if o := byID[id]; o != nil && o.Application != "" {
			p.find(migrate.Finding{
				Severity: migrate.Blocker, Code: "OBJECT_IN_TWO_APPLICATIONS", Subject: id, Where: o.Application + ", " + r.application,
				Message: fmt.Sprintf("%s would be applied by two Kustomizations, which would fight over it", migrate.DisplayID(id)),
				Hint:    "remove one of its copies from Git",
			})
			o.Verb = migrate.Conflict
			continue
		}
		note(id, r.application).Application = r.application
		p.evidence[id].New = r.object
	}
	for _, id := range p.agent.Marked {
		if byID[id] == nil {
			o := note(id, "")
			o.Verb, o.Why = migrate.Stale, "it carries the old agent's mark and is not in Git at the synced commit"
			p.find(migrate.Finding{
				Severity: migrate.Info, Code: "STALE_OBJECT", Subject: id,
				Message: fmt.Sprintf("%s carries the old agent's mark but is not in Git; nobody will manage it, and it stays", migrate.DisplayID(id)),
				Hint:    "delete it yourself if it is not wanted",
			})
		}
	}
	slices.Sort(ids)
	g, ctx := errgroup.WithContext(ctx)
	for _, id := range ids {
		g.Go(func() error { return p.judge(ctx, byID[id], old[id], p.evidence[id]) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	p.repo.Objects = make([]migrate.ObjectPlan, 0, len(ids))
	for _, id := range ids {
		p.repo.Objects = append(p.repo.Objects, *byID[id])
	}
	return nil
}

// renderedObject is one object of the new rendering.
type renderedObject struct {
	application string
	object      *unstructured.Unstructured
}

// render builds every Kustomization of the repository; what cannot be built
// is a finding.
func (p *prover) render(ctx context.Context) []renderedObject {
	var out []renderedObject
	for _, u := range p.repo.Kustomizations {
		objects, err := Render(ctx, p.agent.Tree, p.plan, u)
		if err != nil {
			p.find(migrate.Finding{
				Severity: migrate.Blocker, Code: "BUILD_FAILED", Subject: "Kustomization/" + u.GetName(),
				Message: fmt.Sprintf("the new agent could not build it: %v", err),
				Hint:    "mend the repository; fluxd tolerates what Flux v2 does not",
			})
			continue
		}
		if len(objects) == 0 {
			p.find(migrate.Finding{
				Severity: migrate.Blocker, Code: "EMPTY_BUILD", Subject: "Kustomization/" + u.GetName(),
				Message: "it would build nothing; an empty set is never taken for an answer",
				Hint:    "see which files its source ignores",
			})
		}
		for _, o := range objects {
			out = append(out, renderedObject{application: u.GetName(), object: o})
		}
	}
	return out
}

// Render builds one Kustomization of a plan from a tree, as the agent will.
func Render(ctx context.Context, tree fs.FS, plan *migrate.Plan, kustomization *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	var k kustomizev1.Kustomization
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(kustomization.Object, &k); err != nil {
		return nil, fmt.Errorf("decode Kustomization %s: %w", kustomization.GetName(), err)
	}
	in := build.Input{Tree: tree, Kustomization: &k}
	source := plan.Source(migrate.ObjectRef{Namespace: k.Namespace, Name: k.Spec.SourceRef.Name})
	if source == nil {
		return nil, fmt.Errorf("the plan holds no GitRepository %s/%s", k.Namespace, k.Spec.SourceRef.Name)
	}
	if text, ok, _ := unstructured.NestedString(source.Object, "spec", "ignore"); ok {
		in.SpecIgnore = &text
	}
	return build.Objects(ctx, in)
}

// judge finds the verb of one object. o is the plan's entry, old what the
// repository holds of it (nil if nothing).
func (p *prover) judge(ctx context.Context, o *migrate.ObjectPlan, old *migrate.Object, e *Evidence) error {
	select {
	case p.requests <- struct{}{}:
		defer func() { <-p.requests }()
	case <-ctx.Done():
		return ctx.Err()
	}
	added := p.added(o.ID)
	ignored := old != nil && old.Class == migrate.ClassIgnored
	switch {
	case o.Verb != "":
		return nil
	case ignored:
		o.Verb, o.Why = migrate.Skip, "ignored by annotation, and kept so"
		return nil
	case e.New == nil && applies(old):
		o.Verb, o.Why = migrate.Unmanage, "the new agent does not build it; it stays as it is"
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OBJECT_LOST", Subject: o.ID, Where: where(old), Acceptable: true,
			Message: fmt.Sprintf("%s is applied by fluxd and would not be by the new agent", migrate.DisplayID(o.ID)),
			Hint:    "see what excludes its file (default exclusions, .sourceignore, local-config)",
		})
		return nil
	case e.New == nil:
		o.Verb, o.Why = migrate.Skip, "fluxd leaves it out, and so will the new agent"
		return nil
	}
	if applies(old) {
		if fields := differences(reduced(normalized(e.Old).Object, added), reduced(e.New.Object, added)); len(fields) > 0 {
			p.find(migrate.Finding{
				Severity: migrate.Blocker, Code: "RENDERING_DIFFERS", Subject: o.ID, Where: where(old), Acceptable: true,
				Message: fmt.Sprintf("the new rendering of %s differs from fluxd's in %s", migrate.DisplayID(o.ID), strings.Join(fields, ", ")),
				Hint:    `look at it with "fluxover diff", and mend the file so that both read it alike`,
			})
		}
	}
	if p.world == nil {
		o.Verb, o.Why = migrate.Adopt, "not proven: no cluster was asked"
		if !applies(old) {
			o.Verb = migrate.Create
		}
		return nil
	}
	return p.judgeLive(ctx, o, e, added)
}

// judgeLive compares with the cluster.
func (p *prover) judgeLive(ctx context.Context, o *migrate.ObjectPlan, e *Evidence, added map[string]bool) error {
	name := migrate.DisplayID(o.ID)
	live, err := p.world.Live(ctx, e.New)
	if apierrors.IsForbidden(err) {
		what := "get objects of kind " + e.New.GetKind()
		if namespace := e.New.GetNamespace(); namespace != "" {
			what += " in namespace " + namespace
		}
		p.lacks(o, what)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	e.Live = live
	if live != nil {
		owner := live.GetLabels()[LabelOwnerName]
		if ns := live.GetLabels()[LabelOwnerNamespace]; owner != "" && (owner != o.Application || ns != migrate.AgentNamespace) {
			o.Verb, o.Why = migrate.Conflict, fmt.Sprintf("Kustomization %s/%s owns it", ns, owner)
			p.find(migrate.Finding{
				Severity: migrate.Blocker, Code: "OBJECT_OWNED", Subject: o.ID,
				Message: fmt.Sprintf("%s is already owned by Kustomization %s/%s", name, ns, owner),
				Hint:    "remove it from one of the two",
			})
			return nil
		}
	}
	refused, err := p.tryOut(ctx, e)
	var missing *MissingRight
	if errors.As(err, &missing) {
		p.lacks(o, missing.What)
		return nil
	}
	if err != nil {
		return fmt.Errorf("try %s: %w", name, err)
	}
	if refused != "" {
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "DRY_RUN_REFUSED", Subject: o.ID,
			Message: fmt.Sprintf("the API server refuses %s, tried as %s/%s: %s", name, p.agent.Namespace, p.agent.ServiceAccount, refused),
			Hint:    "one refused object would hold back its whole Kustomization; mend it in Git",
		})
		o.Verb, o.Why = migrate.Conflict, "the dry-run was refused"
		return nil
	}
	live = e.Live
	if live == nil {
		o.Verb, o.Why = migrate.Create, "it is not in the cluster; the dry-run made it"
		p.find(migrate.Finding{
			Severity: migrate.Warning, Code: "OBJECT_CREATED", Subject: o.ID,
			Message: fmt.Sprintf("%s is in Git but not in the cluster, and will be created", name),
		})
		return nil
	}
	o.Fields = differences(reduced(live.Object, added), reduced(e.After.Object, added))
	switch {
	case replacesPods(live.GetKind(), o.Fields):
		o.Verb, o.Why = migrate.Restart, "fields of the pod template change or go"
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "PODS_RESTART", Subject: o.ID, Acceptable: true,
			Message: fmt.Sprintf("the pods of %s will be replaced: %s", name, strings.Join(o.Fields, ", ")),
			Hint:    fmt.Sprintf(`put the fields into Git to keep them, or accept it with "--accept PODS_RESTART='%s %s'"`, p.repo.ID, o.ID),
		})
	case len(o.Fields) > 0:
		o.Verb, o.Why = migrate.Change, "fields set by hand go, or the live object has drifted from Git"
		p.find(migrate.Finding{
			Severity: changeSeverity(o.Fields), Code: "OBJECT_CHANGES", Subject: o.ID, Acceptable: true,
			Message: fmt.Sprintf("%s will change: %s", name, strings.Join(o.Fields, ", ")),
			Hint:    "put the fields into Git to keep them",
		})
	default:
		o.Verb, o.Why = migrate.Adopt, "both renderings, the live object and the dry-run agree"
	}
	return nil
}

// changeSeverity: another number of replicas needs a person's word, since
// fewer may be too few.
func changeSeverity(fields []string) migrate.Severity {
	if slices.Contains(fields, ".spec.replicas") {
		return migrate.Blocker
	}
	return migrate.Warning
}

// lacks notes that an object could not be proven for want of a right, which is
// reported once.
func (p *prover) lacks(o *migrate.ObjectPlan, what string) {
	o.Verb, o.Why = migrate.Adopt, "not proven: you may not "+what
	p.mu.Lock()
	known := p.lacking[what]
	p.lacking[what] = true
	p.mu.Unlock()
	if known {
		return
	}
	p.find(migrate.Finding{
		Severity: migrate.Blocker, Code: "RBAC_MISSING",
		Message: fmt.Sprintf("you may not %s, so it cannot be tried in the cluster what will happen to the objects", what),
		Hint:    "have the right granted to you, or use an account that has it (--context, --as)",
	})
}

// tryOut fills in what the first apply of the new agent would make of the
// object, tried as the old account (or as the new one, when the old one is
// fenced off already): e.After. It gives the API server's refusal,
// if it refuses. The live object is read again when it changes meanwhile.
func (p *prover) tryOut(ctx context.Context, e *Evidence) (refused string, err error) {
	for attempt := 1; ; attempt++ {
		account := p.account()
		e.After, err = p.world.DryRun(ctx, account, e.New)
		if err != nil {
			var missing *MissingRight
			if ctx.Err() != nil || errors.As(err, &missing) {
				return "", err
			}
			if p.fencedOff(account, err) {
				continue
			}
			return refusal(e.New, err), nil
		}
		if e.Live == nil || strings.EqualFold(annotationOrLabel(e.New, "kustomize.toolkit.fluxcd.io/ssa"), "Merge") {
			return "", nil
		}
		left, gone, err := Removals(e.Live, e.After)
		if err != nil || len(gone) == 0 {
			return "", err
		}
		left.SetResourceVersion(e.Live.GetResourceVersion())
		account = p.account() // a fence may have gone up meanwhile
		after, err := p.world.DryRunUpdate(ctx, account, left)
		switch {
		case err == nil:
			e.After = after
			return "", nil
		case p.fencedOff(account, err):
			continue
		case errors.As(err, new(*MissingRight)):
			return "", err
		case ctx.Err() != nil || !apierrors.IsConflict(err):
			return refusal(e.New, err), ctx.Err()
		case attempt == tries:
			return "", fmt.Errorf("it changes all the time: %w", err)
		}
		if e.Live, err = p.world.Live(ctx, e.New); err != nil {
			return "", err
		}
	}
}

// account is who tries: the old agent's account, or once that is fenced off,
// the one that will act, which is staged by then.
func (p *prover) account() Account {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.fenced {
		return Account{Namespace: p.agent.Namespace, Name: p.agent.ServiceAccount}
	}
	name, _, _ := unstructured.NestedString(p.repo.Kustomizations[0].Object, "spec", "serviceAccountName")
	return Account{Namespace: migrate.AgentNamespace, Name: name}
}

// fencedOff reports whether the refusal is that of a fence around the old
// account, and notes it, so that the next try is the new account's.
func (p *prover) fencedOff(tried Account, err error) bool {
	if tried.Namespace != p.agent.Namespace || tried.Name != p.agent.ServiceAccount || !strings.Contains(err.Error(), "'"+migrate.FencePrefix) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fenced = true
	return true
}

// tries is how often an object that changes meanwhile is looked at.
const tries = 5

// normalized is an object as the renderer leaves it: through the kind's own
// type, which writes some empty fields out (fluxcd/pkg: ssa/normalize). Kinds
// without a known type stay as they are.
func normalized(u *unstructured.Unstructured) *unstructured.Unstructured {
	out := u.DeepCopy()
	if err := normalize.Unstructured(out); err != nil {
		return u // the renderer would have failed on it too, and said so
	}
	return out
}

// added are the annotation keys that the plan puts on the object on purpose.
func (p *prover) added(id string) map[string]bool {
	keys := map[string]bool{}
	for _, a := range p.repo.Adds {
		if a.Object == id && a.Type == "annotation" {
			keys[a.Key] = true
		}
	}
	return keys
}

func applies(o *migrate.Object) bool {
	return o != nil && o.Manifest != nil && (o.Class == migrate.ClassApplied || o.Class == migrate.ClassSyncOnly)
}

func where(o *migrate.Object) string {
	if o == nil {
		return ""
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

func annotationOrLabel(u *unstructured.Unstructured, key string) string {
	return cmp.Or(u.GetAnnotations()[key], u.GetLabels()[key])
}

// refusal writes an API server's refusal without the values it may quote.
func refusal(u *unstructured.Unstructured, err error) string {
	var status apierrors.APIStatus
	if u.GetKind() != "Secret" || !errors.As(err, &status) {
		return err.Error()
	}
	var fields []string
	if d := status.Status().Details; d != nil {
		for _, c := range d.Causes {
			fields = append(fields, c.Field)
		}
	}
	return fmt.Sprintf("%s (%s)", status.Status().Reason, strings.Join(fields, ", "))
}

// clashes finds objects that two Repositories would apply.
func clashes(repos []migrate.Repository, evidence map[string]map[string]*Evidence) []migrate.Finding {
	owners := map[string][]string{}
	for _, r := range repos {
		for id, e := range evidence[r.ID] {
			if e.New != nil {
				owners[id] = append(owners[id], r.ID)
			}
		}
	}
	var findings []migrate.Finding
	for id, ids := range owners {
		if len(ids) < 2 {
			continue
		}
		slices.Sort(ids)
		for _, repo := range ids {
			findings = append(findings, migrate.Finding{
				Severity: migrate.Blocker, Code: "OBJECT_IN_TWO_REPOSITORIES", Subject: repo + " " + id, Repository: repo, Where: strings.Join(ids, ", "),
				Message: fmt.Sprintf("%s is in the repositories of %s, and two Kustomizations would fight over it", migrate.DisplayID(id), strings.Join(ids, " and ")),
				Hint:    "remove it from all but one",
			})
		}
	}
	return findings
}
