package migrate

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// defaultWaveSize is how many repositories a wave after the canary holds.
const defaultWaveSize = 8

// UnknownRepository is the code of the finding about a repository that was
// asked for and is not there.
const UnknownRepository = "UNKNOWN_REPOSITORY"

// Codes of the findings about a repository in whose manifests something is left
// out or cannot work; see [Plan.Incomplete].
const (
	factsUnknown = "FACTS_UNKNOWN"
	neverSynced  = "NEVER_SYNCED"
	// Of package discover: pods that run by other settings have left the mark.
	rolloutUnfinished = "AGENT_ROLLOUT_UNFINISHED"
	// whereSynced is where a finding stands that the last commit is not known.
	whereSynced    = "synced"
	urlUnsupported = "URL_UNSUPPORTED"
	// Of package flux1: what Flux v2 leaves out is not told.
	sourceIgnoreUnreadable = "SOURCE_IGNORE_UNREADABLE"
	// Of package flux1: a path that is not told, and a file or path that is not read.
	notGenerated = "GENERATION_NOT_TOLD"
	stuck        = "FLUX1_STUCK"
	tooLarge     = "TREE_TOO_LARGE"
	// Of package proof: a Kustomization that cannot be built.
	buildFailed = "BUILD_FAILED"

	sopsEncrypted   = "SOPS_ENCRYPTED"
	patchNotCarried = "PATCH_NOT_CARRIED"
)

// Build maps an Inventory to a Plan. It is pure: no clock, no network, the
// same input gives the same plan. Verbs of objects are left empty; package
// proof predicts them. A Repository that a finding holds back is planned as
// far as it can be, and marked Blocked.
func Build(inv Inventory, opts Options) Plan {
	// In whatever order the agents come, the plan is the same.
	inv.Agents = slices.Clone(inv.Agents)
	slices.SortFunc(inv.Agents, func(a, b Flux1Agent) int { return strings.Compare(a.ID, b.ID) })
	plan := Plan{
		APIVersion: APIVersion, Kind: "Plan", Proof: "offline",
		Inputs: PlanInputs{
			Cluster: inv.Cluster.UID, Server: inv.Cluster.Server, Version: inv.Cluster.Version,
			Agents: map[string]Fingerprint{}, Options: opts,
		},
		ClusterAgent: clusterAgent(inv, opts),
		// A list that is empty is one in its JSON, never null.
		Sources: []*unstructured.Unstructured{}, Credentials: []Credential{}, Repositories: []Repository{},
		Findings: append([]Finding{}, inv.Findings...),
	}
	plan.Findings = append(plan.Findings, clusterFindings(inv, opts)...)
	names := newNaming(inv)
	for i := range inv.Agents {
		agent := &inv.Agents[i]
		plan.Inputs.Agents[agent.ID] = FingerprintOf(agent)
		if len(opts.Repositories) > 0 && !slices.Contains(opts.Repositories, agent.ID) {
			continue
		}
		b := repositoryBuilder{agent: agent, name: names.repository[agent.ID], names: names, home: inv.Cluster.Home, there: inv.Cluster.Namespaces, kinds: inv.Cluster.Kinds, clusterRead: inv.Cluster.From == "cluster", plan: &plan, opts: opts}
		plan.Repositories = append(plan.Repositories, b.build())
	}
	var ids []string
	for _, a := range inv.Agents {
		ids = append(ids, a.ID)
	}
	for _, id := range opts.Repositories {
		if !slices.Contains(ids, id) {
			plan.Findings = append(plan.Findings, Finding{
				Severity: Blocker, Code: UnknownRepository, Subject: id,
				Message: "no Flux v1 agent of this id was found", Hint: NearIDs(id, ids) + `; "fluxover discover" lists them`,
			})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(opts.Owners)) {
		if id != "*" && !slices.Contains(ids, id) {
			// It may have been there when the plan was made: that stops nobody else.
			plan.Findings = append(plan.Findings, Finding{
				Severity: Warning, Code: UnknownRepository, Subject: id,
				Message: fmt.Sprintf("--credential-owner %s=%s says who keeps the Secrets of an agent that was not found, so it is of no effect", id, opts.Owners[id]),
				Hint:    NearIDs(id, ids) + `; "fluxover discover" lists them`,
			})
		}
	}
	plan.Findings = append(plan.Findings, nameClashes(&plan)...)
	plan.Findings = append(plan.Findings, namesTaken(&plan, inv.Cluster.Control)...)
	plan.Findings = append(plan.Findings, orderRepositories(&plan, inv)...)
	plan.Findings = append(plan.Findings, autoscaled(&plan, inv)...)
	plan.Settle(opts.Decisions)
	plan.SetWaves()
	return plan
}

// nameClashes finds control objects of two repositories that would have one
// name, so that one would overwrite the other. Names are made so that there is
// none; should one slip through, it stops both.
func nameClashes(plan *Plan) []Finding {
	owners := map[string][]string{}
	note := func(id, owner string) {
		if !slices.Contains(owners[id], owner) {
			owners[id] = append(owners[id], owner)
		}
	}
	for _, r := range plan.Repositories {
		for _, u := range slices.Concat(r.Kustomizations, r.Supporting) {
			note(ObjectID(u), r.ID)
		}
		for _, s := range r.Sources {
			note(s.Namespace+"_"+s.Name+"_source.toolkit.fluxcd.io_GitRepository", r.ID)
		}
	}
	for _, c := range plan.Credentials {
		note(c.To.Namespace+"_"+c.To.Name+"__Secret", c.Agent)
	}
	var findings []Finding
	for id, ids := range owners {
		if len(ids) < 2 {
			continue
		}
		slices.Sort(ids)
		for _, repo := range ids {
			findings = append(findings, Finding{
				Severity: Blocker, Code: "NAME_CLASH", Subject: repo + " " + id, Repository: repo, Where: strings.Join(ids, ", "),
				Message: fmt.Sprintf("%s would be made for %s, and one would overwrite the other", DisplayID(id), strings.Join(ids, " and ")),
				Hint:    `migrate one of them with "--group-by path", or rename a folder`,
			})
		}
	}
	return findings
}

// namesTaken finds live objects that fluxover did not make, under names that
// the plan wants. Of a repository that is handed over somebody else may keep the
// Secrets by now: their owner.
func namesTaken(plan *Plan, live []ControlObject) []Finding {
	var findings []Finding
	for i := range plan.Repositories {
		r := &plan.Repositories[i]
		wanted := map[ControlObject]bool{}
		for _, u := range slices.Concat(r.Kustomizations, r.Supporting) {
			wanted[ControlObject{Kind: u.GetKind(), Name: u.GetName()}] = true
		}
		for _, s := range r.Sources {
			wanted[ControlObject{Kind: sourcev1.GitRepositoryKind, Name: s.Name}] = true
		}
		if !slices.ContainsFunc(live, func(c ControlObject) bool {
			return c.Kind == kustomizev1.KustomizationKind && c.Repository == r.ID
		}) {
			for _, c := range plan.Credentials {
				if c.Agent == r.ID {
					wanted[ControlObject{Kind: "Secret", Name: c.To.Name}] = true
				}
			}
		}
		for _, c := range live {
			if c.Repository != "" || !wanted[ControlObject{Kind: c.Kind, Name: c.Name}] {
				continue
			}
			name := c.Kind + "/" + AgentNamespace + "/" + c.Name
			findings = append(findings, Finding{
				Severity: Blocker, Code: "NAME_TAKEN", Subject: r.ID + " " + name, Repository: r.ID,
				Message: fmt.Sprintf("%s exists, fluxover did not make it, and the plan needs its name", name),
				Hint:    "rename or remove it, after a look at what uses it",
			})
		}
	}
	return findings
}

// Settle sorts the findings, takes note of the decisions that accept one, and
// marks the repositories that a blocker still holds back. It is called again
// when findings are added to a plan.
func (p *Plan) Settle(decisions []Decision) {
	p.Findings = SortFindings(p.Findings)
	p.Accepted = []Decision{}
	meant := make([]Decision, len(decisions))
	for i, d := range decisions {
		meant[i], _ = p.meant(d)
	}
	blocked := map[string]bool{}
	for _, f := range p.Findings {
		if Accepts(meant, f) {
			d := Decision{Code: f.Code, Subject: f.Subject}
			for _, given := range meant {
				if given.names(f) {
					d.Reason = given.Reason
				}
			}
			if !slices.Contains(p.Accepted, d) {
				p.Accepted = append(p.Accepted, d)
			}
		} else if f.Severity == Blocker {
			blocked[f.Repository] = true
		}
	}
	for i := range p.Repositories {
		p.Repositories[i].Blocked = blocked[""] || blocked[p.Repositories[i].ID]
	}
}

// IsAccepted reports whether the plan holds a decision that accepts f.
func (p *Plan) IsAccepted(f Finding) bool { return Accepts(p.Accepted, f) }

func clusterAgent(inv Inventory, opts Options) ClusterAgent {
	agent := ClusterAgent{Engine: cmp.Or(opts.Engine, "bundled"), Namespace: AgentNamespace}
	if agent.Engine != "existing" {
		agent.Release = "flux-agent"
	}
	confined := slices.ContainsFunc(inv.Agents, func(a Flux1Agent) bool { return a.Confined() })
	if confined {
		// A tenant who may write Kustomizations must gain nothing by leaving
		// the account out (design, section 6).
		agent.Args = []string{"--default-service-account=fluxover-no-rights", "--no-cross-namespace-refs=true"}
	}
	return agent
}

func clusterFindings(inv Inventory, opts Options) []Finding {
	var findings []Finding
	if len(inv.Cluster.Flux2) > 0 && opts.Engine != "existing" {
		findings = append(findings, Finding{
			Severity: Blocker, Code: "FLUX2_RUNNING", Where: strings.Join(inv.Cluster.Flux2, ", "),
			Message: "controllers of Flux v2 already run in this cluster, and a second engine would fight with them",
			Hint:    `use them with "--engine existing", or remove them`,
		})
	}
	unread := slices.ContainsFunc(inv.Findings, func(f Finding) bool { return f.Unread() && f.Repository == "" })
	if len(inv.Agents) == 0 && !unread {
		findings = append(findings, Finding{
			Severity: Blocker, Code: "NO_AGENTS", Message: "no Flux v1 agent was found, so there is nothing to migrate",
			Hint: `check the kubeconfig's context, or which folders and values were given; "fluxover discover" says what was found there`,
		})
	}
	return findings
}

// repositoryBuilder plans one Repository.
type repositoryBuilder struct {
	agent *Flux1Agent
	// name of its GitRepository and account.
	name string
	home []HomeBinding
	// there are the namespaces that exist; none if that is not known.
	there []string
	// kinds are those that the cluster serves.
	kinds []ServedKind
	names naming
	// keys is the name of the Secret of spec.decryption; empty without.
	keys string
	// clusterRead is true if the inventory is of a cluster that was asked.
	clusterRead bool
	plan        *Plan
	opts        Options
}

func (b *repositoryBuilder) find(f Finding) {
	f.Repository = b.agent.ID
	f.Subject = cmp.Or(f.Subject, b.agent.ID)
	b.plan.Findings = append(b.plan.Findings, f)
}

// graver finds what discovery has found already, less grave since it knows no plan,
// in the place of that.
func (b *repositoryBuilder) graver(findings []Finding) {
	type about struct{ code, subject, where string }
	said := map[about]bool{}
	for _, f := range findings {
		said[about{f.Code, f.Subject, f.Where}] = true
	}
	b.plan.Findings = slices.DeleteFunc(b.plan.Findings, func(f Finding) bool { return said[about{f.Code, f.Subject, f.Where}] })
	for _, f := range findings {
		b.find(f)
	}
}

func (b *repositoryBuilder) build() Repository {
	repo := Repository{
		ID: b.agent.ID, Commit: b.agent.Synced.Commit, Sources: []ObjectRef{}, Kustomizations: []*unstructured.Unstructured{},
		Applications: []Application{}, Objects: []ObjectPlan{}, Adds: []Addition{},
	}
	b.checkFacts()
	patterns := ignores(b.agent)
	more, found := takeBack(b.agent, patterns)
	patterns = append(patterns, more...)
	told := slices.ContainsFunc(b.plan.Findings, func(f Finding) bool { return f.Code == sourceIgnoreUnreadable && f.Repository == b.agent.ID })
	if !told { // by discovery, which names the files; nothing else is found then
		b.plan.Findings = append(b.plan.Findings, found...)
	}
	apps, found := applications(b.agent, b.opts.GroupBy)
	b.plan.Findings = append(b.plan.Findings, found...)
	apps = slices.DeleteFunc(apps, b.buildsNothing)
	b.names.applications(b.agent.ID, apps)
	ordered, circle, found := setDependencies(b.agent, apps, b.opts.GroupBy == "path")
	if circle != nil {
		b.find(Finding{
			Severity: Info, Code: "ONE_APPLICATION", Where: strings.Join(circle, ", "),
			Message: "these applications need each other's namespaces, kinds or services, so each path becomes one Kustomization",
		})
		apps, _ = applications(b.agent, "path")
		apps = slices.DeleteFunc(apps, b.buildsNothing)
		b.names.applications(b.agent.ID, apps)
		ordered, _, found = setDependencies(b.agent, apps, true)
	}
	b.plan.Findings = append(b.plan.Findings, found...)
	b.plan.Findings = append(b.plan.Findings, b.names.lengthened(b.agent.ID, apps)...)
	secret, proxy := b.credentials()
	b.keys = b.decryption(ordered)
	supporting := b.account()
	source := func(name string, patterns []string) {
		ref := ObjectRef{Namespace: AgentNamespace, Name: name}
		if !slices.Contains(repo.Sources, ref) {
			repo.Sources = append(repo.Sources, ref)
			b.plan.Sources = append(b.plan.Sources, b.source(ref, secret, proxy, patterns))
		}
	}
	for _, app := range ordered {
		app.Source = b.name
		switch {
		case app.loose:
			app.Source = sourceName(app.Name)
			source(app.Source, append(slices.Clone(patterns), folders(app.except)...))
		case app.file != "":
			app.Source = sourceName(app.Name)
			source(app.Source, onlyFile(app.dir, app.file))
		case app.build != nil && len(unhidden(app.build.Reads, patterns)) < len(patterns):
			app.Source = sourceName(app.Name)
			source(app.Source, unhidden(app.build.Reads, patterns))
		default:
			source(app.Source, patterns)
		}
		app.Path = app.path()
		repo.Kustomizations = append(repo.Kustomizations, b.kustomization(app))
		repo.Applications = append(repo.Applications, app.Application)
		for _, o := range app.objects {
			repo.Objects = append(repo.Objects, ObjectPlan{ID: o.ID, Application: app.Name})
			repo.Adds = append(repo.Adds, additions(o)...)
			repo.Adds = append(repo.Adds, noted(o)...)
		}
	}
	repo.Supporting, repo.Rights = supporting, b.rights(supporting)
	b.filledNamespaces()
	b.laterCommits(ordered)
	slices.SortFunc(repo.Objects, func(x, y ObjectPlan) int { return strings.Compare(x.ID, y.ID) })
	if len(repo.Kustomizations) == 0 && (b.agent.Tree != nil || b.agent.Synced.Commit != "") {
		b.find(Finding{
			Severity: Blocker, Code: "EMPTY_SET", Message: "nothing that fluxd applies was found at the synced commit; an empty set is never taken for an answer",
			Hint: "see the other findings of this repository for what could not be read",
		})
	}
	return repo
}

// filledNamespaces says how the namespaces that fluxd fills in are carried.
func (b *repositoryBuilder) filledNamespaces() {
	count, first, namespace := 0, "", ""
	for i := range b.agent.Objects {
		o := &b.agent.Objects[i]
		if o.NamespaceFilled && o.Manifest != nil && applies(o) {
			if count++; count == 1 {
				first, namespace = fmt.Sprintf("%s:%d", o.File, o.Line), o.Manifest.GetNamespace()
			}
		}
	}
	if count > 0 {
		b.find(Finding{
			Severity: Warning, Code: "NAMESPACES_FILLED", Where: first,
			Message: fmt.Sprintf("fluxd fills in the namespace %s for %s without one; the new agent does so by a patch for each, so that a manifest that is added later has to name its namespace", namespace, Count(count, "object")),
			Hint:    "write the namespace into these manifests before or after the migration: for fluxd that changes nothing",
		})
	}
}

// buildsNothing reports whether every file of the application is ignored. A
// folder that Kustomize builds, and of which nothing is known, is planned: a
// finding says why it cannot be built.
func (b *repositoryBuilder) buildsNothing(a application) bool {
	if a.build != nil && len(a.objects) == 0 {
		return false
	}
	for _, o := range a.objects {
		if !leftOutWhole(b.agent, o) {
			return false
		}
	}
	return true
}

// planned are the settings that a plan cannot do without, by their names in an
// Inventory's JSON, and the fields of which manifests hold them. Where one is
// unknown the field is left out: a default would be a guess.
var planned = []struct {
	name, kind string
	fields     []string
}{
	{"git.url", sourcev1.GitRepositoryKind, []string{"url"}},
	{"git.branch", sourcev1.GitRepositoryKind, []string{"ref"}},
	{"git.paths", kustomizev1.KustomizationKind, []string{"path"}},
	{"git.pollInterval", sourcev1.GitRepositoryKind, []string{"interval"}},
	{"git.timeout", sourcev1.GitRepositoryKind, []string{"timeout"}},
	{"sync.interval", kustomizev1.KustomizationKind, []string{"interval", "retryInterval"}},
	{"sync.timeout", kustomizev1.KustomizationKind, []string{"timeout"}},
	{"sync.garbageCollection", kustomizev1.KustomizationKind, []string{"prune"}},
	{"manifestGeneration", "", nil},
	{"sops", "", nil},
	{"defaultNamespace", "", nil},
	{"allowedNamespaces", "", nil},
	{"serviceAccount", "", nil},
	{"confinement", "", nil},
	{"git.secretName", "", nil},
}

// unknown reports whether a setting of the agent is not known.
func (b *repositoryBuilder) unknown(name string) bool {
	return slices.Contains(b.agent.Unknown, name)
}

// known takes out of a manifest what would be a guess.
func (b *repositoryBuilder) known(u *unstructured.Unstructured) *unstructured.Unstructured {
	for _, p := range planned {
		if p.kind == u.GetKind() && b.unknown(p.name) {
			for _, f := range p.fields {
				unstructured.RemoveNestedField(u.Object, "spec", f)
			}
		}
	}
	return u
}

// checkFacts reports what must be known or so before a repository can be
// migrated at all.
func (b *repositoryBuilder) checkFacts() {
	a := b.agent
	var unknown []string
	for _, p := range planned {
		if b.unknown(p.name) {
			unknown = append(unknown, p.name)
		}
	}
	if len(unknown) > 0 {
		hint := "see the other findings of this repository, or let discovery read the cluster in which the agent runs"
		if b.unknown("installedBy") { // nothing tells of the agent but whoever asked for a folder to be read
			hint = "give what the flags of a checkout tell (--git-url, --git-branch, --default-namespace), or where its agent is declared (--terraform, --values); or let discovery read the cluster in which it runs"
		}
		if rights := unread(b.plan.Findings, a.ID, "clusterroles", "clusterrolebindings", "roles", "rolebindings"); b.unknown("confinement") && len(rights) > 0 {
			hint = "have list on " + strings.Join(rights, ", ") + " granted to you, or use an account that has it (--context, --as)"
			if len(unknown) > 1 {
				hint += ", for confinement; for the others, see the other findings of this repository"
			}
		}
		b.find(Finding{
			Severity: Blocker, Code: factsUnknown, Where: strings.Join(unknown, ", "),
			Message: fmt.Sprintf("what the plan needs is not known: %s; fields that would be a guess are left out of it", strings.Join(unknown, ", ")),
			Hint:    hint,
		})
	}
	found := slices.ContainsFunc(b.plan.Findings, func(f Finding) bool {
		return (f.Code == neverSynced || f.Code == rolloutUnfinished) && f.Repository == a.ID
	})
	rights := a.Untold(b.plan.Findings)
	unnamed := slices.ContainsFunc([]string{"git.syncTag", "git.secretName", "sync.state"}, b.unknown)
	switch {
	case a.Synced.Commit != "" || found:
	case b.unknown("synced") && len(rights) > 0:
		b.find(Finding{
			Severity: Blocker, Code: factsUnknown, Where: whereSynced,
			Message: fmt.Sprintf("what the agent applied last is not known, since you may not get %s; it may well have synced", strings.Join(rights, ", ")),
			Hint:    fmt.Sprintf("have get on %s in namespace %s granted to you, or use an account that has it (--context, --as)", strings.Join(rights, ", "), a.Namespace),
		})
	default:
		f := Finding{
			Severity: Blocker, Code: neverSynced, Message: "the agent's sync mark was not found, so what it applied last is not known",
			Hint: "let it finish one sync, and see its log for why it has not",
		}
		asked := a.Running != nil || b.clusterRead || !slices.Contains(a.Unknown, "running") && !b.unknown("installedBy")
		if !asked && (a.Sync.State == "secret" || a.Tree != nil && b.unknown("sync.state")) {
			f.Message = "its sync mark stands, or may stand, in a Secret of the cluster, which was not asked, so what it applied last is not known"
			f.Hint = "let the cluster be asked as well (without --no-cluster)"
		} else if a.Tree == nil {
			f.Message, f.Hint = "its repository was not read, so what it applied last is not known", "mend what the other findings of this repository name"
			if !asked { // and so no Git server
				f.Hint = "give a checkout of it (--checkout URL=DIR)"
				if b.unknown("git.url") {
					f.Hint = "mend what the other findings say of its URL, and " + f.Hint
				}
			}
		} else if !asked && b.unknown("git.syncTag") {
			f.Message = "the name of its sync tag is not known, so what it applied last is not known, too"
			f.Hint = "mend what the other findings say of git.syncTag, or give where its agent is declared (--terraform, --values); or let the cluster be asked as well (without --no-cluster)"
		} else if !asked {
			f.Message = "the folder that was read holds no sync mark, so what the agent applied last is not known"
			f.Hint = "give a clone with the agent's branch and its tags (git fetch --tags); where the agent has never finished a sync, see its log for why"
		} else if unnamed {
			f.Message, f.Hint = "where its sync mark stands is not known, so what it applied last is not known, too", "mend what the other findings of this repository name"
		}
		b.find(f)
	}
	var unserved []Finding
	for _, o := range a.Objects {
		away := "move it to a file of its own, which is then ignored, or remove it"
		if o.Build != nil {
			away = fmt.Sprintf("take it out of what %s is built of, or leave it out there with a patch that deletes it", display(cleanPath(o.Build.Folder)))
		}
		if o.Class == ClassForeign && !leftOutWhole(a, &o) {
			b.find(Finding{
				Severity: Blocker, Code: "FOREIGN_OBJECT", Subject: a.ID + " " + o.ID, Where: fmt.Sprintf("%s:%d", o.File, o.Line),
				Message: fmt.Sprintf("%s is outside the agent's allowed namespaces, so fluxd skips it; the new agent would try to apply it", DisplayID(o.ID)),
				Hint:    away,
			})
		}
		if o.Class == ClassUnknownKind && !leftOutWhole(a, &o) {
			shown := DisplayID(o.ID)
			var gvk schema.GroupVersionKind
			if o.Manifest != nil {
				gvk = o.Manifest.GroupVersionKind()
				shown += fmt.Sprintf(" (%s, %s)", o.Manifest.GetAPIVersion(), o.Manifest.GetKind())
			}
			unserved = append(unserved, Finding{
				Severity: Blocker, Code: "UNKNOWN_KIND", Subject: a.ID + " " + o.ID, Where: fmt.Sprintf("%s:%d", o.File, o.Line),
				Message: fmt.Sprintf("the cluster does not serve the kind of %s, so fluxd leaves it out; the new agent would fail on it", shown),
				Hint:    KindRemedy(gvk, b.kinds, away),
			})
		}
		if why := uncarried(&o); why != "" {
			b.find(Finding{
				Severity: Blocker, Code: patchNotCarried, Subject: a.ID + " " + o.ID, Where: o.Build.PatchFile,
				Message: fmt.Sprintf("what %s makes of %s cannot be a patch of its Kustomization: %s", o.Build.PatchFile, DisplayID(o.ID), why),
				Hint:    "write what the file says of the object into its manifest, or under images in the folder's kustomization.yaml, and take the object out of the file; let the old agent sync, and plan again",
			})
		}
	}
	b.graver(unserved)
	for _, s := range a.Settings {
		if s.Fate == Blocks {
			b.find(Finding{
				Severity: Blocker, Code: "SETTING_BLOCKS", Subject: a.ID + " " + s.Name,
				Message: fmt.Sprintf("%s has no counterpart yet: %s", s.Name, s.Why),
				Hint:    "do without the setting first, or leave this repository with Flux v1; what else is possible stands with the finding that goes with it",
			})
		}
	}
}

// source makes a GitRepository.
func (b *repositoryBuilder) source(ref ObjectRef, secret, proxy string, patterns []string) *unstructured.Unstructured {
	git := b.agent.Git
	url, err := SourceURL(git.URL)
	if err == nil && SymbolForm.MatchString(url) {
		err = fmt.Errorf("the Git URL holds %s, which is not set or whose value is not known", strings.Join(SymbolForm.FindAllString(url, -1), " and "))
	}
	if err != nil && !b.unknown("git.url") {
		b.find(Finding{
			Severity: Blocker, Code: urlUnsupported, Subject: b.agent.ID, Message: err.Error(),
			Hint: "give the agent a --git-url that is plain http://, https:// or ssh://, without a query: Flux v2 reads no other",
		})
	}
	g := &sourcev1.GitRepository{
		TypeMeta:   metav1.TypeMeta{APIVersion: sourcev1.GroupVersion.String(), Kind: sourcev1.GitRepositoryKind},
		ObjectMeta: b.meta(ref),
		Spec: sourcev1.GitRepositorySpec{
			URL:       url,
			Interval:  b.interval("git-poll-interval", "git.pollInterval", git.PollInterval),
			Timeout:   &metav1.Duration{Duration: max(git.Timeout.Duration, time.Minute)},
			Reference: &sourcev1.GitRepositoryRef{Branch: git.Branch},
			Ignore:    ignoreText(patterns),
		},
	}
	if secret != "" {
		g.Spec.SecretRef = &meta.LocalObjectReference{Name: secret}
	}
	if proxy != "" {
		g.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: proxy}
	}
	u := manifest(g)
	u.Object["spec"].(map[string]any)["timeout"] = SourceTimeout(g.Spec.Timeout.Duration)
	return b.known(u)
}

// shortestInterval is the shortest that a plan gives.
const shortestInterval = time.Second

// interval is what a flag of fluxd says as Flux v2 can take it. To fluxd none is at
// once, again and again; to Flux v2 it is never again, and its definitions know no
// less than none, nor microseconds.
func (b *repositoryBuilder) interval(flag, name string, of metav1.Duration) metav1.Duration {
	if of.Duration >= shortestInterval || b.unknown(name) {
		return of
	}
	f := Finding{
		Severity: Warning, Code: "INTERVAL_TOO_SHORT", Subject: b.agent.ID + " --" + flag, Repository: b.agent.ID,
		Message: fmt.Sprintf("--%s=%s has fluxd begin again at once, and Flux v2 would not begin again at all; %s is planned", flag, of.Duration, shortestInterval),
		Hint:    "give the old agent the interval that is wanted, such as the default of 5m, and plan again",
	}
	if of.Duration > 0 {
		f.Message = fmt.Sprintf("--%s=%s is less than Flux v2 takes in each form; %s is planned", flag, of.Duration, shortestInterval)
	}
	if !slices.Contains(b.plan.Findings, f) { // each source and Kustomization has one
		b.find(f)
	}
	return metav1.Duration{Duration: shortestInterval}
}

// SourceTimeout writes a timeout as the definition of GitRepository takes it, which
// knows no hours: 90m0s.
func SourceTimeout(timeout time.Duration) string {
	if timeout < time.Hour {
		return timeout.String()
	}
	minutes := timeout.Truncate(time.Minute)
	return fmt.Sprintf("%dm%s", int(minutes.Minutes()), timeout-minutes)
}

// kustomization makes an application's Kustomization with its final values.
func (b *repositoryBuilder) kustomization(app application) *unstructured.Unstructured {
	sync := b.agent.Sync
	interval := b.interval("sync-interval", "sync.interval", sync.Interval)
	k := &kustomizev1.Kustomization{
		TypeMeta:   metav1.TypeMeta{APIVersion: kustomizev1.GroupVersion.String(), Kind: kustomizev1.KustomizationKind},
		ObjectMeta: b.meta(ObjectRef{Namespace: AgentNamespace, Name: app.Name}),
		Spec: kustomizev1.KustomizationSpec{
			Interval:           interval,
			RetryInterval:      &metav1.Duration{Duration: min(interval.Duration, time.Minute)},
			Timeout:            &metav1.Duration{Duration: max(sync.Timeout.Duration, time.Minute)},
			Path:               app.Path,
			Prune:              sync.GarbageCollection == CollectOn,
			DeletionPolicy:     kustomizev1.DeletionPolicyOrphan,
			ServiceAccountName: b.name,
			SourceRef:          kustomizev1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: app.Source},
			Patches:            patches(app.objects),
		},
	}
	if app.encrypted() {
		k.Spec.Decryption = &kustomizev1.Decryption{Provider: "sops", SecretRef: &meta.LocalObjectReference{Name: b.keys}}
	}
	for _, d := range app.DependsOn {
		k.Spec.DependsOn = append(k.Spec.DependsOn, kustomizev1.DependencyReference{Name: d.Name})
	}
	return b.known(manifest(k))
}

func (b *repositoryBuilder) meta(ref ObjectRef) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: ref.Namespace, Name: ref.Name,
		Labels: map[string]string{
			LabelManaged: "true", LabelNamespace: b.agent.Namespace, LabelRelease: b.agent.Release,
		},
		Annotations: map[string]string{AnnotationRepository: b.agent.ID},
	}
}

// manifest turns a typed object into the form in which it is shown and
// applied: without status and without empty times.
func manifest(obj runtime.Object) *unstructured.Unstructured {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		// The types are upstream's and convert; else a programming error.
		panic(fmt.Sprintf("convert %T: %v", obj, err))
	}
	u := &unstructured.Unstructured{Object: m}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	return u
}

func folders(dirs []string) []string {
	var patterns []string
	for _, d := range dirs {
		patterns = append(patterns, "/"+escapeIgnore(d)+"/")
	}
	return patterns
}

// onlyFile ignores everything in dir but one file.
func onlyFile(dir, file string) []string {
	return []string{path.Join("/", escapeIgnore(dir), "*"), "!/" + escapeIgnore(file)}
}
