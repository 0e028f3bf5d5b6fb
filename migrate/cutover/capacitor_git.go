package cutover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
	"github.com/fluxover/fluxover/reconcile/source"
)

// CapacitorOptions say where the flux-capacitor is.
type CapacitorOptions struct {
	// URL in the form of GitRepository.spec.url, without a credential.
	URL string
	// Branch to push to, and which the ClusterAgent follows; default "main".
	Branch string
	// Cluster names the folder below clusters/ that is this cluster's.
	Cluster string
	// Secret is the credential in the shape of GitRepository.spec.secretRef
	// (see source.AuthFromSecret). It must be good for pushing; the ClusterAgent
	// gets a copy. Empty for anonymous access.
	Secret map[string][]byte
	// Limit of each wait for the ClusterAgent; default 5 m.
	Limit time.Duration
}

// GitCapacitor is the flux-capacitor in a Git repository. One serves a whole
// run; it may be used by several goroutines.
type GitCapacitor struct {
	store  *source.Store
	remote source.Remote
	branch string
	// cluster names the folder clusters/<cluster>.
	cluster string
	secret  map[string][]byte
	limit   time.Duration
	// unusable says why Git cannot be reached at all, if it is known already.
	unusable error
	// env of the run, and the UID of its cluster; set when the executor begins.
	env      *env
	identity string

	mu      sync.Mutex
	waiting []*capacitorEdit
	covered map[[2]string]bool
	pushing sync.Mutex
}

var _ Capacitor = (*GitCapacitor)(nil)

var clusterName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// NewCapacitor checks the options and reaches nobody.
func NewCapacitor(git *source.Store, o CapacitorOptions) (*GitCapacitor, error) {
	g := &GitCapacitor{
		store: git, remote: source.Remote{URL: o.URL}, branch: o.Branch, cluster: o.Cluster, secret: o.Secret, limit: o.Limit,
		covered: map[[2]string]bool{},
	}
	if g.branch == "" {
		g.branch = "main"
	}
	if g.limit == 0 {
		g.limit = 5 * time.Minute
	}
	if !clusterName.MatchString(g.cluster) {
		return nil, fmt.Errorf("the cluster's name in the flux-capacitor, %q, must be letters, digits, dots, dashes and underscores", o.Cluster)
	}
	if len(o.Secret) > 0 {
		auth, err := source.AuthFromSecret(o.URL, o.Secret)
		if err != nil {
			return nil, err
		}
		g.remote.Auth = auth
	}
	return g, nil
}

// MayBegin asks whether the credential may push; Check has shown that it may
// fetch. Nothing is written. A flux-capacitor that is in use is not asked: who
// goes on with a hand-over must not wait for a server that takes no push now.
func (g *GitCapacitor) MayBegin(ctx context.Context) error {
	err := g.store.MayPush(ctx, g.remote)
	// Some servers deny that there is what may not be written.
	if errors.Is(err, source.ErrAuth) || errors.Is(err, source.ErrNotFound) {
		return fmt.Errorf("%w: give a credential that may write", err)
	}
	return err
}

// Check fetches the flux-capacitor, which proves that address, credential and
// host key are right, and reads capacitor.yaml. A repository without any commit
// is fine: it is begun. Nothing is written.
func (g *GitCapacitor) Check(ctx context.Context) error {
	snapshot, err := g.store.Fetch(ctx, g.remote, source.Reference{Branch: g.branch})
	if source.IsEmpty(err) {
		return nil
	}
	if errors.Is(err, source.ErrReferenceNotFound) {
		return fmt.Errorf("%w: push the branch first, or name another", err)
	}
	if err != nil {
		return err
	}
	defer snapshot.Close()
	_, _, err = emit.SettingsOf(snapshot.Tree)
	return err
}

// layout is what the files of this cluster's part are made from.
func (g *GitCapacitor) layout() *emit.Capacitor {
	return &emit.Capacitor{URL: g.remote.URL, Branch: g.branch, Cluster: g.cluster, Identity: g.identity, Credential: len(g.secret) > 0, Stamp: g.stamped}
}

// capacitorEdit is one Repository's part of a commit.
type capacitorEdit struct {
	// subject for the commit's message.
	verb, subject string
	// change is given the files and the changes gathered so far, and adds its
	// own. It may be called more than once.
	change func(files fs.FS, settings emit.Settings, changes map[string][]byte) error

	finished bool
	rev      source.Revision
	err      error
}

// commit brings an edit into the repository, in one commit with those that
// others want at the same time where that can be, and returns the commit that
// holds it.
func (g *GitCapacitor) commit(ctx context.Context, e *capacitorEdit) (source.Revision, error) {
	if g.unusable != nil {
		return source.Revision{}, g.unusable
	}
	g.mu.Lock()
	g.waiting = append(g.waiting, e)
	g.mu.Unlock()
	g.pushing.Lock()
	defer g.pushing.Unlock()
	if e.finished && (e.err == nil || ctx.Err() != nil || !errors.Is(e.err, context.Canceled) && !errors.Is(e.err, context.DeadlineExceeded)) {
		return e.rev, e.err
	}
	g.mu.Lock()
	batch := g.waiting
	g.waiting = nil
	g.mu.Unlock()
	if !slices.Contains(batch, e) { // whoever pushed it gave up; its own try
		batch = append(batch, e)
	}
	g.push(ctx, batch)
	return e.rev, e.err
}

// push makes one commit of the edits and notes in each what came of it. Where
// they are refused for what the repository holds, each is tried alone: a file that
// stands in the way of one Repository is no matter of the others.
func (g *GitCapacitor) push(ctx context.Context, batch []*capacitorEdit) {
	var refused error
	rev, _, err := g.store.Push(ctx, g.remote, source.Change{
		Branch: g.branch, Message: message(batch), Author: "fluxover", Email: "fluxover@" + g.cluster + ".invalid",
		Edit: func(files fs.FS) (changes map[string][]byte, err error) {
			changes, refused = g.edit(files, batch)
			return changes, refused
		},
	})
	if refused != nil && len(batch) > 1 {
		for _, one := range batch {
			g.push(ctx, []*capacitorEdit{one})
		}
		return
	}
	for _, b := range batch {
		b.rev, b.err, b.finished = rev, err, true
	}
}

func message(batch []*capacitorEdit) string {
	byVerb := map[string][]string{}
	for _, e := range batch {
		byVerb[e.verb] = append(byVerb[e.verb], e.subject)
	}
	var subjects, body []string
	for _, verb := range sortedKeys(byVerb) {
		list := byVerb[verb]
		slices.Sort(list)
		if len(list) == 1 {
			subjects = append(subjects, verb+" "+list[0])
			continue
		}
		subjects = append(subjects, fmt.Sprintf("%s %d repositories", verb, len(list)))
		for _, s := range list {
			body = append(body, "- "+s)
		}
	}
	text := "clusters: " + strings.Join(subjects, ", ") + "\n"
	if len(body) > 0 {
		text += "\n" + strings.Join(body, "\n") + "\n"
	}
	return text
}

// edit gathers the changes of a batch, with what is common to all.
func (g *GitCapacitor) edit(files fs.FS, batch []*capacitorEdit) (map[string][]byte, error) {
	return g.layout().Edit(files, func(settings emit.Settings, changes map[string][]byte) error {
		for _, e := range batch {
			if err := e.change(files, settings, changes); err != nil {
				return err
			}
		}
		return nil
	})
}

// Settle brings the Repository's files into the flux-capacitor, and returns
// when its Kustomization's status inventory lists exactly the Repository's
// control objects at a commit that holds them.
func (g *GitCapacitor) Settle(ctx context.Context, repo migrate.Repository) error {
	j, err := g.env.store.load(ctx, repo.ID)
	if err != nil {
		return err
	}
	if j == nil || j.plan == nil {
		return fmt.Errorf("no journal of %s holds its plan", repo.ID)
	}
	sources, err := j.plan.sources()
	if err != nil {
		return err
	}
	for _, s := range sources {
		unstructured.RemoveNestedField(s.Object, "spec", "ref", "commit")
	}
	settled := repo
	settled.Kustomizations = nil
	for _, k := range repo.Kustomizations {
		settled.Kustomizations = append(settled.Kustomizations, shape(k, final))
	}
	access, err := emit.AccessOf(&repo)
	if err != nil {
		return err
	}
	for _, o := range access {
		if err := g.put(ctx, o); err != nil {
			return err
		}
	}
	rev, err := g.commit(ctx, &capacitorEdit{
		verb: "settle", subject: repo.ID,
		change: func(tree fs.FS, settings emit.Settings, changes map[string][]byte) error {
			return g.layout().Add(tree, settings, &settled, sources, changes)
		},
	})
	if err != nil {
		return err
	}
	g.note(repo.ID, "settle", "its files are in %s as of %s", source.SafeURL(g.remote.URL), short(rev.SHA))
	if err := g.poke(ctx, rev); err != nil {
		return err
	}
	var want []string
	for _, o := range slices.Concat(sources, repo.Supporting, repo.Kustomizations) {
		want = append(want, migrate.ObjectID(o))
	}
	slices.Sort(want)
	name := emit.ChildName(emit.TeamName(&repo))
	err = g.await(ctx, rev, name, func(k *unstructured.Unstructured) string {
		if lack := difference("its inventory", want, inventoryOf(k)); len(lack) > 0 {
			return fmt.Sprintf("%s: %s", cluster.Describe(k), lack[0])
		}
		return ""
	})
	if err != nil {
		return err
	}
	return g.disown(ctx, access)
}

// Withdraw takes the Repository's files out again and returns when no status
// inventory lists its control objects any more: the Kustomization that applied
// them is gone, and left them as they are.
func (g *GitCapacitor) Withdraw(ctx context.Context, repo migrate.Repository) error {
	if g.unusable != nil {
		return g.unusable
	}
	pseudo := g.pseudo()
	alive, err := pseudo.engineAlive(ctx)
	if err != nil {
		return err
	}
	if !alive {
		// Its first act after a start would be to put the objects back.
		return errors.New("the new agent does not run, and must, to let go of what the flux-capacitor holds")
	}
	rev, err := g.commit(ctx, &capacitorEdit{
		verb: "withdraw", subject: repo.ID,
		change: func(tree fs.FS, _ emit.Settings, changes map[string][]byte) error {
			return g.layout().Remove(tree, &repo, changes)
		},
	})
	if err != nil {
		return err
	}
	g.note(repo.ID, "undo-settle", "its files left %s with %s", source.SafeURL(g.remote.URL), short(rev.SHA))
	if err := g.poke(ctx, rev); err != nil {
		return err
	}
	child := g.layout().Child(&repo, emit.Settings{})
	id := migrate.ObjectID(child)
	err = g.await(ctx, rev, emit.CapacitorName, func(k *unstructured.Unstructured) string {
		if slices.Contains(inventoryOf(k), id) {
			return fmt.Sprintf("the status inventory of %s still lists %s", cluster.Describe(k), child.GetName())
		}
		return ""
	})
	if err != nil {
		return err
	}
	if err := g.awaitGone(ctx, child.GetName()); err != nil {
		return err
	}
	access, err := emit.AccessOf(&repo)
	if err != nil {
		return err
	}
	return g.remove(ctx, access)
}

func (g *GitCapacitor) awaitGone(ctx context.Context, name string) error {
	return cluster.Wait(ctx, 200*time.Millisecond, g.limit, func(ctx context.Context) (bool, string, error) {
		live, err := g.env.c.Get(ctx, kustomizationKind, migrate.AgentNamespace, name)
		if cluster.IsGone(err) {
			return true, "", nil
		}
		if err != nil {
			return false, "", err
		}
		return false, fmt.Sprintf("%s still applies the files that left the flux-capacitor: see its status", cluster.Describe(live)), nil
	})
}

// poke asks the ClusterAgent for news of the repository and waits until it has
// the commit; then it asks the capacitor's Kustomization to apply it.
func (g *GitCapacitor) poke(ctx context.Context, rev source.Revision) error {
	if err := g.request(ctx, sourceKind.Kind); err != nil {
		return err
	}
	err := cluster.Wait(ctx, 200*time.Millisecond, g.limit, func(ctx context.Context) (bool, string, error) {
		live, err := g.env.c.Get(ctx, sourceKind, migrate.AgentNamespace, emit.CapacitorName)
		if err != nil {
			return false, "", err
		}
		revision, _, _ := unstructured.NestedString(live.Object, "status", "artifact", "revision")
		if g.covers(ctx, rev.SHA, revision) {
			return true, "", nil
		}
		return false, lackOf(live, fmt.Sprintf("has fetched %s, not yet %s", orNothing(revision), short(rev.SHA))), nil
	})
	if err != nil {
		return fmt.Errorf("wait for the flux-capacitor's source: %w", err)
	}
	return g.request(ctx, kustomizationKind.Kind)
}

func orNothing(revision string) string {
	if revision == "" {
		return "nothing"
	}
	return revision
}

// lackOf says what is missing, with the reason that the object's status gives.
func lackOf(u *unstructured.Unstructured, lack string) string {
	lack = cluster.Describe(u) + " " + lack
	if suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); suspended {
		return lack + ": it is suspended"
	}
	if ready := conditionOf(u, "Ready"); ready.status == "False" {
		lack += ": " + ready.message
	}
	return lack
}

// request asks for a reconcile of the capacitor's source or Kustomization.
func (g *GitCapacitor) request(ctx context.Context, kind string) error {
	gvk := sourceKind
	if kind == kustomizationKind.Kind {
		gvk = kustomizationKind
	}
	bare := &unstructured.Unstructured{}
	bare.SetGroupVersionKind(gvk)
	bare.SetNamespace(migrate.AgentNamespace)
	bare.SetName(emit.CapacitorName)
	_, err := g.env.c.MergePatch(ctx, bare, map[string]any{"metadata": map[string]any{
		"annotations": map[string]any{requestedAt: time.Now().UTC().Format(time.RFC3339Nano)},
	}}, migrate.FieldManager)
	return err
}

// await waits until a Kustomization has applied the commit, or a later one, and
// lack finds nothing missing.
func (g *GitCapacitor) await(ctx context.Context, rev source.Revision, name string, lack func(*unstructured.Unstructured) string) error {
	err := cluster.Wait(ctx, 200*time.Millisecond, g.limit, func(ctx context.Context) (bool, string, error) {
		live, err := g.env.c.Get(ctx, kustomizationKind, migrate.AgentNamespace, name)
		if cluster.IsGone(err) {
			missing := fmt.Sprintf("Kustomization/%s/%s was not made yet", migrate.AgentNamespace, name)
			if root, err := g.env.c.Get(ctx, kustomizationKind, migrate.AgentNamespace, emit.CapacitorName); err == nil && name != emit.CapacitorName {
				missing += "; " + lackOf(root, "makes it")
			}
			return false, missing, nil
		}
		if err != nil {
			return false, "", err
		}
		applied, _, _ := unstructured.NestedString(live.Object, "status", "lastAppliedRevision")
		if !g.covers(ctx, rev.SHA, applied) {
			return false, lackOf(live, fmt.Sprintf("has applied %s, not yet %s", orNothing(applied), short(rev.SHA))), nil
		}
		if missing := lack(live); missing != "" {
			return false, missing, nil
		}
		return conditionOf(live, "Ready").status == "True" && caughtUp(live), lackOf(live, "is not Ready"), nil
	})
	if err != nil {
		return fmt.Errorf("wait until the flux-capacitor is applied: %w", err)
	}
	return nil
}

// covers reports whether a revision is the commit or one that came after it:
// others push to the branch as well. What Git cannot tell now counts as no.
func (g *GitCapacitor) covers(ctx context.Context, commit, revision string) bool {
	_, at, found := strings.Cut(revision, "sha1:")
	if !found {
		return false
	}
	if at == commit {
		return true
	}
	g.mu.Lock()
	known, seen := g.covered[[2]string{commit, at}]
	g.mu.Unlock()
	if seen {
		return known
	}
	_, covers, err := g.store.Ancestry(ctx, g.remote, commit, at)
	if err != nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.covered[[2]string{commit, at}] = covers
	return covers
}

func (g *GitCapacitor) note(repository, step, format string, args ...any) {
	g.env.emit(Event{At: time.Now(), Repository: repository, Step: step, State: EventNote, Message: fmt.Sprintf(format, args...)})
}
