package proof

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
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
	// LiveIn reads all objects of a kind in a namespace, by name. It is not ok
	// if there are more than limit, or they cannot be listed: then Live tells of
	// each.
	LiveIn(ctx context.Context, kind schema.GroupVersionKind, namespace string, limit int) (objects map[string]*unstructured.Unstructured, ok bool)
	// DryRun tries a server-side apply as the account, with the field manager
	// of Flux v2 and ownership forced, and gives the object as it would be.
	DryRun(ctx context.Context, as Account, object *unstructured.Unstructured) (*unstructured.Unstructured, error)
	// DryRunChange tries, as the account, to make a live object what wanted is,
	// and gives it as it would be: with the API server's defaults. It needs no
	// other right than [World.DryRun] does. A live object of another version is a
	// conflict.
	DryRunChange(ctx context.Context, as Account, live, wanted *unstructured.Unstructured) (*unstructured.Unstructured, error)
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
	// Encrypted is true if SOPS encrypted the object, or part of it, in Git, and
	// one of the renderings decrypts it, or none: all its values are secret then,
	// whatever its kind.
	Encrypted bool
	// differs is true if Old and New do, beyond what the plan adds on purpose.
	differs bool
	// change is a hash of the values that would change; empty if none would.
	change string
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
	res.Plan.Inputs.Objects = map[string]map[string]migrate.ObjectInputs{}
	owners := &owners{ctx: ctx, asked: map[ownerRef]func() (*unstructured.Unstructured, error){}}
	blockers := map[string][]migrate.Finding{}
	for _, f := range res.Plan.Findings {
		if f.Severity == migrate.Blocker {
			blockers[f.Subject] = append(blockers[f.Subject], f)
		}
	}
	requests := make(chan struct{}, parallel)
	var mu sync.Mutex
	tried := false
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range res.Plan.Repositories {
		repo := &res.Plan.Repositories[i]
		p := newProver(inv, &res.Plan, repo, w)
		p.requests, p.future, p.blockers, p.owners = requests, opts.Staged, blockers, owners
		g.Go(func() error {
			if err := p.prove(ctx); err != nil {
				return fmt.Errorf("prove the plan of %s: %w", repo.ID, err)
			}
			mu.Lock()
			defer mu.Unlock()
			res.Evidence[repo.ID] = p.evidence
			if len(p.evidence) > 0 {
				res.Plan.Inputs.Objects[repo.ID] = inputs(p.evidence)
			}
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
	res.Plan.Findings = withoutTwins(res.Plan.Findings)
	clashing := clashes(inv, res.Plan.Repositories, res.Evidence)
	res.Plan.Findings = append(withoutForecasts(res.Plan.Findings, clashing), clashing...)
	res.Plan.Settle(opts.Decisions)
	res.Plan.SetWaves()
	return res, nil
}

// withoutTwins leaves out what the proof says of replicas where the planner, which
// knows the autoscaler from Git, has said it of the same object.
func withoutTwins(findings []migrate.Finding) []migrate.Finding {
	said := map[string]bool{}
	return slices.DeleteFunc(findings, func(f migrate.Finding) bool {
		if f.Code != replicasCode {
			return false
		}
		twin := said[f.Subject]
		said[f.Subject] = true
		return twin
	})
}

// withoutForecasts leaves out what an adoption alone would make of objects that are
// claimed twice: whoever accepted that would accept what does not come.
func withoutForecasts(findings, clashing []migrate.Finding) []migrate.Finding {
	shared := map[string]bool{}
	for _, f := range clashing {
		if f.Code == twoRepositoriesCode {
			shared[f.Subject] = true
		}
	}
	return slices.DeleteFunc(findings, func(f migrate.Finding) bool {
		return shared[f.Subject] && slices.Contains([]string{"OBJECT_CHANGES", "PODS_RESTART", "IMAGE_DIFFERS", "OBJECT_CREATED"}, f.Code)
	})
}

// placesOf are, by object, the files and lines where an agent's repository holds
// it; none if it stands nowhere as it is, but is made by Kustomize.
func placesOf(a *migrate.Flux1Agent) map[string]string {
	found := map[string][]string{}
	for i := range a.Objects {
		o := &a.Objects[i]
		found[o.ID] = append(found[o.ID], where(o))
	}
	out := make(map[string]string, len(found))
	for id, places := range found {
		slices.Sort(places)
		out[id] = strings.Join(slices.Compact(places), ", ")
	}
	return out
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
	// future: objects are tried as the account that will apply them, as was asked
	// for, or since a fence was seen around the old one.
	future bool
	// lacking are the rights that were found missing.
	lacking map[string]bool

	// read are live objects that were read many at once, for the first look
	// at each.
	read map[kindIn]map[string]*unstructured.Unstructured

	// planned gives the Kustomization that the planner put an object into.
	planned map[string]string
	// adds are the annotations that the plan puts on each object on purpose.
	adds map[string][]migrate.Addition
	// unbuilt are the Kustomizations that could not be built.
	unbuilt map[string]bool
	// blockers are those that were found before the proof, by subject.
	blockers map[string][]migrate.Finding
	// owners are shared by all provers of a proof.
	owners *owners
	// makes is what the repository makes that other objects need.
	makes Made
	// marked are the live objects with this agent's mark, others names the
	// agents whose marks the rest carries.
	marked map[string]bool
	others map[string][]string
}

func newProver(inv migrate.Inventory, plan *migrate.Plan, repo *migrate.Repository, w World) *prover {
	p := &prover{
		plan: plan, repo: repo, agent: agentOf(inv, repo.ID), world: w, evidence: map[string]*Evidence{}, lacking: map[string]bool{},
		planned: map[string]string{}, adds: map[string][]migrate.Addition{}, unbuilt: map[string]bool{}, marked: map[string]bool{}, others: map[string][]string{},
	}
	for _, o := range repo.Objects {
		p.planned[o.ID] = o.Application
	}
	for _, a := range repo.Adds {
		if a.Type == "annotation" {
			p.adds[a.Object] = append(p.adds[a.Object], a)
		}
	}
	for _, a := range inv.Agents {
		for _, id := range a.Marked {
			if a.ID == repo.ID {
				p.marked[id] = true
			} else {
				p.others[id] = append(p.others[id], a.ID)
			}
		}
	}
	return p
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

// held reports whether a blocker of a code was found of an object before the proof, with a
// message that begins so.
func (p *prover) held(id, code, message string) bool {
	return slices.ContainsFunc(p.blockers[p.repo.ID+" "+id], func(f migrate.Finding) bool {
		return f.Code == code && strings.HasPrefix(f.Message, message)
	})
}

func (p *prover) prove(ctx context.Context) error {
	if p.agent.Tree == nil {
		for i := range p.repo.Objects {
			p.repo.Objects[i].Why = notProven + "the repository could not be read"
		}
		return nil
	}
	old := map[string]*migrate.Object{}
	for i := range p.agent.Objects {
		o := &p.agent.Objects[i]
		old[o.ID] = o
	}
	rendered := p.render(ctx)
	places := sync.OnceValue(func() map[string]string { return placesOf(p.agent) })
	var objects []*unstructured.Unstructured
	for _, r := range rendered {
		objects = append(objects, r.object)
	}
	p.makes = MadeBy(objects)
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
		p.evidence[id].Old, p.evidence[id].Encrypted = o.Manifest, o.Encrypted || bearsSOPS(o.Manifest)
	}
	builtBy := map[string][]string{}
	for _, r := range rendered {
		id := migrate.ObjectID(r.object)
		builtBy[id] = append(builtBy[id], r.application)
		if e := p.evidence[id]; e != nil {
			// Also where another copy of it is taken: which one is live is not told.
			e.Encrypted = e.Encrypted || r.decrypted
		}
		if len(builtBy[id]) > 1 {
			continue
		}
		note(id, r.application).Application = r.application
		p.evidence[id].New = r.object
		p.evidence[id].Encrypted = p.evidence[id].Encrypted || r.decrypted
	}
	for id, apps := range builtBy {
		if len(apps) < 2 {
			continue
		}
		last := len(apps) - 1
		names := strings.Join(apps[:last], ", ") + " and " + apps[last]
		if len(slices.Compact(slices.Clone(apps))) == 1 {
			names = apps[0] + ", as two objects with one id"
		}
		p.find(migrate.Finding{
			Severity: migrate.Blocker, Code: "OBJECT_IN_TWO_APPLICATIONS", Subject: id, Where: places()[id],
			Message: fmt.Sprintf("%s would be applied by the Kustomizations %s, which would fight over it", migrate.DisplayID(id), names),
			Hint:    "remove all its copies but one from Git",
		})
		byID[id].Verb, byID[id].Why = migrate.Conflict, fmt.Sprintf("the Kustomizations %s apply it", names)
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
	if err := p.readMany(ctx); err != nil {
		return err
	}
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
	// decrypted is true if it may hold what was decrypted.
	decrypted bool
}

// bearsSOPS reports whether an object still has the metadata that SOPS gives to
// what it encrypts; u may be nil.
func bearsSOPS(u *unstructured.Unstructured) bool {
	return u != nil && u.Object["sops"] != nil
}

// render builds every Kustomization of the repository; what cannot be built
// is a finding.
func (p *prover) render(ctx context.Context) []renderedObject {
	var out []renderedObject
	filtered := artifacts{}
	for _, u := range p.repo.Kustomizations {
		rendering, err := rendered(ctx, p.agent, p.plan, u, filtered)
		if err != nil {
			p.unbuilt[u.GetName()] = true
			f := migrate.Finding{
				Severity: migrate.Blocker, Code: "BUILD_FAILED", Subject: "Kustomization/" + u.GetName(),
				Message: fmt.Sprintf("the new agent could not build it: %v", err),
				Hint:    "mend in Git what the message names; fluxd, whose Kustomize is older, may tolerate it or fail alike",
			}
			if errors.Is(err, build.ErrTooLarge) { // nothing in Git is wrong
				subject := f.Subject
				f = flux1.TooLarge.Finding(p.repo.ID, "", fmt.Sprintf("the new agent would not build it: %v", err))
				f.Subject = subject
			}
			p.find(f)
			continue
		}
		if len(rendering.Objects) == 0 {
			p.find(migrate.Finding{
				Severity: migrate.Blocker, Code: "EMPTY_BUILD", Subject: "Kustomization/" + u.GetName(),
				Message: "it would build nothing; an empty set is never taken for an answer",
				Hint:    "see what is left out (spec.ignore of its GitRepository, a .sourceignore, objects annotated config.kubernetes.io/local-config), and take away what leaves out too much",
			})
		}
		for _, o := range rendering.Objects {
			out = append(out, renderedObject{application: u.GetName(), object: o, decrypted: rendering.Decrypted(o)})
		}
	}
	return out
}

// Render builds one Kustomization of a plan from the tree of the agent that it
// replaces, as the new agent will: decrypted, where it says so, with that
// agent's keys.
func Render(ctx context.Context, agent *migrate.Flux1Agent, plan *migrate.Plan, kustomization *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	r, err := rendered(ctx, agent, plan, kustomization, artifacts{})
	if err != nil {
		return nil, err
	}
	return r.Objects, nil
}

// artifacts are those of one agent's tree, by what their sources leave out: all
// Kustomizations of a source share one.
type artifacts map[string]artifact

type artifact struct {
	*build.Artifact
	err error
}

// rendered is Render with what is known of the objects.
func rendered(ctx context.Context, agent *migrate.Flux1Agent, plan *migrate.Plan, kustomization *unstructured.Unstructured, filtered artifacts) (*build.Rendering, error) {
	var k kustomizev1.Kustomization
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(kustomization.Object, &k); err != nil {
		return nil, fmt.Errorf("decode Kustomization %s: %w", kustomization.GetName(), err)
	}
	in := build.Input{Kustomization: &k, Keys: agent.Keys}
	source := plan.Source(migrate.ObjectRef{Namespace: k.Namespace, Name: k.Spec.SourceRef.Name})
	if source == nil {
		return nil, fmt.Errorf("the plan holds no GitRepository %s/%s", k.Namespace, k.Spec.SourceRef.Name)
	}
	text, given, _ := unstructured.NestedString(source.Object, "spec", "ignore")
	key := fmt.Sprint(given, text)
	of, made := filtered[key]
	if !made {
		ignore := &text
		if !given {
			ignore = nil
		}
		of.Artifact, of.err = build.NewArtifact(agent.Tree, ignore)
		filtered[key] = of
	}
	if of.err != nil {
		return nil, of.err
	}
	in.Artifact = of.Artifact
	return build.Render(ctx, in)
}

const twoRepositoriesCode = "OBJECT_IN_TWO_REPOSITORIES"

// clashes finds objects that two Repositories would apply, whose verb is then that
// they are claimed twice, whatever was judged of each alone but another conflict, and
// says of which agents it is not known what they apply.
func clashes(inv migrate.Inventory, repos []migrate.Repository, evidence map[string]map[string]*Evidence) []migrate.Finding {
	owners := map[string][]string{}
	for _, r := range repos {
		for id, e := range evidence[r.ID] {
			if e.New != nil && !setAside(e.New) { // one that is left alone is not fought over
				owners[id] = append(owners[id], r.ID)
			}
		}
	}
	places := map[string]map[string]string{} // by agent
	for i := range inv.Agents {
		if len(evidence[inv.Agents[i].ID]) > 0 {
			places[inv.Agents[i].ID] = placesOf(&inv.Agents[i])
		}
	}
	var findings []migrate.Finding
	for _, a := range inv.Agents {
		if a.Tree == nil && len(evidence[a.ID]) == 0 && len(places) > 0 {
			findings = append(findings, migrate.Finding{
				Severity: migrate.Warning, Code: "SHARED_OBJECTS_UNKNOWN", Subject: a.ID,
				Message: fmt.Sprintf("what %s applies could not be read, so objects that other repositories share with it are not known", a.ID),
				Hint:    "mend what its own findings name, and plan again, before any repository is handed over whose objects it may hold, too",
			})
		}
	}
	shared := map[string][]string{}
	for id, ids := range owners {
		if len(ids) < 2 {
			continue
		}
		slices.Sort(ids)
		shared[id] = ids
		var where []string
		for _, repo := range ids {
			where = append(where, strings.TrimSuffix(repo+" "+places[repo][id], " "))
		}
		all, both := strings.Join(where, "; "), strings.Join(ids, " and ")
		for _, repo := range ids {
			findings = append(findings, migrate.Finding{
				Severity: migrate.Blocker, Code: twoRepositoriesCode, Subject: repo + " " + id, Repository: repo, Where: all,
				Message: fmt.Sprintf("%s is in the repositories of %s, and two Kustomizations would fight over it", migrate.DisplayID(id), both),
				Hint:    sharedRemedy,
			})
		}
	}
	for i := range repos {
		for j := range repos[i].Objects {
			o := &repos[i].Objects[j]
			if ids := shared[o.ID]; slices.Contains(ids, repos[i].ID) {
				why := "the repositories of " + strings.Join(ids, " and ") + " apply it"
				if o.Verb == migrate.Conflict {
					why = o.Why + "; " + why
				}
				o.Verb, o.Fields, o.Why = migrate.Conflict, nil, why
			}
		}
	}
	return findings
}
