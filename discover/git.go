package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/source"
	"golang.org/x/sync/errgroup"
)

// gitReader is what is asked of Git servers.
type gitReader interface {
	// refs gives the branches and tags, tags by the commit they tag.
	refs(ctx context.Context, r source.Remote) (map[string]string, error)
	// ancestry counts the commits of to that from does not have.
	ancestry(ctx context.Context, r source.Remote, from, to string) (behind int, isAncestor bool, err error)
	// tree gives a commit's files, valid until release is called.
	tree(ctx context.Context, r source.Remote, ref source.Reference) (tree fs.FS, release func(), err error)
}

// storeReader asks through a Store.
type storeReader struct{ store *source.Store }

func (s storeReader) refs(ctx context.Context, r source.Remote) (map[string]string, error) {
	return s.store.Refs(ctx, r)
}

func (s storeReader) ancestry(ctx context.Context, r source.Remote, from, to string) (int, bool, error) {
	return s.store.Ancestry(ctx, r, from, to)
}

func (s storeReader) tree(ctx context.Context, r source.Remote, ref source.Reference) (fs.FS, func(), error) {
	snapshot, err := s.store.Fetch(ctx, r, ref)
	if err != nil {
		return nil, nil, err
	}
	return snapshot.Tree, func() { _ = snapshot.Close() }, nil // closing only gives up a reference
}

// minGitTimeout is what a Git operation gets if the agent's own limit is
// shorter: an agent has a clone already, discovery starts with none.
const minGitTimeout = 2 * time.Minute

// readRepositories reads every agent's repository, several at a time. A
// repository that cannot be read is a finding; the agent is kept.
func (w *witness) readRepositories(ctx context.Context, agents []*agent, l *live, facts migrate.Cluster) error {
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(w.opts.Parallel)
	agents = slices.DeleteFunc(slices.Clone(agents), func(a *agent) bool {
		return len(w.opts.Repositories) > 0 && !slices.Contains(w.opts.Repositories, a.ID) || w.git == nil && w.folders.of(a.Git) == nil
	})
	if len(agents) > 0 {
		w.say(fmt.Sprintf("reading %d repositories, %d at a time", len(agents), w.opts.Parallel))
	}
	var read atomic.Int32
	for _, a := range agents {
		group.Go(func() error {
			err := w.readRepository(gctx, a, l, facts)
			if err == nil {
				err = a.settleDecryption()
			}
			if err != nil {
				return fmt.Errorf("agent %s: %w", a.ID, err)
			}
			w.say(fmt.Sprintf("read %d of %d repositories: that of %s", read.Add(1), len(agents), a.ID))
			return nil
		})
	}
	return group.Wait()
}

func (w *witness) readRepository(ctx context.Context, a *agent, l *live, facts migrate.Cluster) error {
	for _, needed := range []string{"git.url", "git.branch", "git.paths"} {
		if slices.Contains(a.Unknown, needed) {
			a.Unknown = append(a.Unknown, "synced")
			return nil // a finding says why
		}
	}
	from, ok, err := w.origin(ctx, a)
	if err != nil {
		return err
	}
	if !ok {
		a.Unknown = append(a.Unknown, "synced")
		return nil
	}
	if from.folder != nil && from.folder.plain {
		return w.readPlain(ctx, a, from.folder, l, facts)
	}
	refs, err := from.git.refs(ctx, from.remote)
	if errors.Is(err, source.ErrNetwork) && from.remote.Auth.ProxyURL != "" {
		// The agent's proxy may not be there for us, and the server may.
		direct := *from.remote.Auth
		direct.ProxyURL, direct.ProxyUsername, direct.ProxyPassword = "", "", ""
		without := from
		without.remote.Auth = &direct
		if found, again := from.git.refs(ctx, without.remote); again == nil {
			refs, err, from = found, nil, without
		}
	}
	if err != nil {
		return w.gitFailed(ctx, a, "list its branches and tags", err)
	}
	head, ok := refs["refs/heads/"+a.Git.Branch]
	if !ok {
		a.Unknown = append(a.Unknown, "synced")
		if a.Git.Branch == "" {
			f := GitUnreadable.Finding(a.ID, a.Git.URL, "the agent names no branch: its --git-branch is empty")
			f.Hint = "give the agent the branch that it is to read (git.branch), and discover again"
			w.find(f)
			return nil
		}
		w.find(noBranch(a, from.folder, refs))
		return nil
	}
	a.Synced.Head = head
	if from.folder != nil {
		w.find(FolderRead.Finding(a.ID, from.folder.name(), fmt.Sprintf("the repository was read from folder %s, whose branch %s is at commit %s", from.folder.name(), a.Git.Branch, short(head))))
	}
	mark, err := w.syncMark(ctx, a, refs)
	if err != nil {
		return err
	}
	if mark == "" {
		return w.loadTree(ctx, a, l, facts, from, source.Reference{Commit: head})
	}
	behind, isAncestor := 0, true
	if mark != head {
		behind, isAncestor, err = from.git.ancestry(ctx, from.remote, mark, head)
	}
	if from.folder != nil && (errors.Is(err, source.ErrNotFound) || err == nil && !isAncestor) {
		old, err := from.folder.olderThan(ctx, mark, head)
		if err != nil {
			return w.gitFailed(ctx, a, "compare its sync mark with its branch", err)
		}
		if old != "" {
			w.find(FolderBehind.Finding(a.ID, from.folder.name(), fmt.Sprintf("the agent synced commit %s, and %s", short(mark), old)))
			a.Unknown = append(a.Unknown, "synced")
			return nil
		}
	}
	switch {
	case errors.Is(err, source.ErrNotFound):
		w.find(MarkUnknown.Finding(a.ID, a.Git.URL, fmt.Sprintf("the sync mark %s is in no branch or tag of the repository", short(mark))))
		a.Unknown = append(a.Unknown, "synced")
		return nil
	case errors.Is(err, errShallow):
		behind, isAncestor = -1, true // as far as is known
		w.find(FolderShallow.Finding(a.ID, from.folder.name(), err.Error()))
	case err != nil:
		return w.gitFailed(ctx, a, "compare its sync mark with its branch", err)
	}
	a.Synced.Commit, a.Synced.Behind = mark, behind
	// The server has told what the branch holds; it is not asked again for what
	// is kept. A commit that no reference names is looked for on its branch.
	ref := source.Reference{Commit: mark}
	if isAncestor && a.Sync.State == "secret" && mark != head {
		ref.Branch = a.Git.Branch
	}
	if !isAncestor {
		w.find(MarkOffBranch.Finding(a.ID, a.Git.URL, fmt.Sprintf("the last synced commit %s is not on branch %s", short(mark), a.Git.Branch)))
	}
	if err := w.loadTree(ctx, a, l, facts, from, ref); err != nil {
		return err
	}
	if head == mark {
		a.setHead(a.Objects, a.troubles)
		return nil
	}
	return w.checkHead(ctx, a, facts, from, source.Reference{Commit: head})
}

// noBranch says that what was read of an agent's repository, which has those references,
// lacks the agent's branch. folder is nil where the server was asked.
func noBranch(a *agent, folder *folder, refs map[string]string) migrate.Finding {
	var there []string
	for name := range refs {
		if branch, ok := strings.CutPrefix(name, "refs/heads/"); ok {
			there = append(there, branch)
		}
	}
	branches := "it has none"
	if len(there) > 0 {
		branches = migrate.NearIDs(a.Git.Branch, there)
	}
	f := GitUnreadable.Finding(a.ID, a.Git.URL, fmt.Sprintf("the repository has no branch %s; %s", a.Git.Branch, branches))
	f.Hint = fmt.Sprintf("without its branch the agent syncs nothing: push branch %s again, or have the agent read one that is there (--git-branch); let it sync, and discover again", a.Git.Branch)
	if folder != nil {
		f.Where = folder.name()
		f.Message = fmt.Sprintf("folder %s, from which the repository is read, lacks the agent's branch %s; %s", folder.name(), a.Git.Branch, branches)
		f.Hint = fmt.Sprintf(`fetch it there ("git fetch --tags origin +%s:refs/remotes/origin/%s"), or give another clone that has it (--checkout), and discover again; if the server has no such branch either, the agent syncs nothing`, a.Git.Branch, a.Git.Branch)
	}
	return f
}

// origin is where a repository is read from.
type origin struct {
	git    gitReader
	remote source.Remote
	// folder is set if it is read from disk.
	folder *folder
}

// origin finds where an agent's repository is to be read. It is not ok if it
// cannot be, for which there is a finding.
func (w *witness) origin(ctx context.Context, a *agent) (origin, bool, error) {
	if f := w.folders.of(a.Git); f != nil {
		w.mu.Lock()
		f.used = true
		w.mu.Unlock()
		return origin{git: f, folder: f}, true, nil
	}
	if w.git == nil {
		return origin{}, false, nil
	}
	remote, ok, err := w.remote(ctx, a)
	return origin{git: w.git, remote: remote}, ok, err
}

func short(commit string) string {
	return commit[:min(12, len(commit))]
}

// gitFailed turns a failure to read a repository into a finding; only the end
// of our own context stays an error.
func (w *witness) gitFailed(ctx context.Context, a *agent, doing string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a.Unknown = append(a.Unknown, "synced")
	code := GitUnreadable
	switch {
	case errors.Is(err, source.ErrAuth):
		code = GitAuth
	case errors.Is(err, source.ErrKnownHosts):
		code = GitHostKey
	case errors.Is(err, source.ErrTooLarge):
		code = flux1.TooLarge
	}
	where := a.Git.URL
	if code.Name == GitAuth.Name {
		where = a.credentialPlace()
	}
	f := code.Finding(a.ID, where, fmt.Sprintf("cannot %s (%s): %v", doing, a.Git.URL, err))
	folder := w.folders.of(a.Git)
	if folder != nil { // and so no server was asked
		f.Where = folder.name()
	}
	switch {
	case code.Name == flux1.TooLarge.Name:
		f.Hint = wholeTooLarge
	case folder != nil:
		f.Hint = "see that the folder is a whole clone that git itself can read (git fsck), or give another one (--checkout), and discover again"
	}
	w.find(f)
	return nil
}

// wholeTooLarge is the remedy where nothing of a repository is read.
const wholeTooLarge = "take out of the branch what holds so many files and folders, or so deep ones, or split the repository, and discover again"

// credentialPlace says where the credential stands.
func (a *agent) credentialPlace() string {
	c := a.Credential
	switch {
	case c.Kind == "ssh":
		return fmt.Sprintf("Secret/%s/%s key %s", c.Identity.Namespace, c.Identity.Name, c.Identity.Key)
	case c.Password.Secret != nil:
		return fmt.Sprintf("Secret/%s/%s key %s", c.Password.Secret.Namespace, c.Password.Secret.Name, c.Password.Secret.Key)
	}
	return a.where("--git-url")
}

// remote reads the agent's credential from the cluster, for this connection
// only. It is not ok if the credential is missing, which is reported.
func (w *witness) remote(ctx context.Context, a *agent) (source.Remote, bool, error) {
	bare, inURL, err := flux1.FluxV2URL(string(a.config.URL))
	if err != nil {
		return source.Remote{}, false, nil // reported with the arguments
	}
	r := source.Remote{URL: bare, Timeout: max(a.config.GitTimeout, minGitTimeout), Auth: &source.Auth{}}
	switch a.Credential.Kind {
	case "ssh":
		key, ok, err := a.env.reveal(ctx, a.Credential.Identity, "the deploy key")
		if err != nil || !ok {
			return r, false, err
		}
		known, _ := migrate.ReadKnownHosts(a.Credential.KnownHosts)
		r.Auth.Identity, r.Auth.KnownHosts = key, []byte(known)
	case "basic":
		for _, part := range []struct {
			written string
			to      *string
		}{{inURL.Username, &r.Auth.Username}, {inURL.Password, &r.Auth.Password}} {
			filled, ok, err := a.env.fill(ctx, part.written)
			if err != nil {
				return r, false, err
			}
			if !ok {
				return r, false, nil // a missing variable, reported with the credential
			}
			decoded, err := url.PathUnescape(filled)
			if err != nil {
				w.find(GitAuth.Finding(a.ID, a.credentialPlace(), "the credential in the URL is not percent-encoded as a URL demands"))
				return r, false, nil
			}
			*part.to = decoded
		}
		if inURL.Password == "" {
			found, err := a.env.netrc(ctx, bare, r.Auth.Username)
			switch {
			case errors.Is(err, errUnreadable):
				return r, false, nil // reported with the credential
			case err != nil:
				return r, false, err
			case found.Login != nil:
				r.Auth.Username, r.Auth.Password = found.User, found.Password
			}
		}
	}
	if err := a.reach(ctx, bare, r.Auth); err != nil {
		return r, false, err
	}
	return r, true, nil
}

// markNames are the settings on which it hangs where an agent's mark stands, by its
// sync.state, which may itself not be known.
var markNames = map[string][]string{
	"git": {"git.syncTag"}, "secret": {"git.secretName"}, "": {"sync.state"},
}

// syncMark gives the commit that the agent synced last; empty if there is
// none, which is reported.
func (w *witness) syncMark(ctx context.Context, a *agent, refs map[string]string) (string, error) {
	mark, where := refs["refs/tags/"+a.Git.SyncTag], "tag "+a.Git.SyncTag
	if a.env == nil && (a.Sync.State == "secret" || slices.Contains(a.Unknown, "sync.state")) {
		a.Unknown = append(a.Unknown, "synced")
		w.find(MarkInCluster.Finding(a.ID, a.Git.URL, "the agent's sync mark is not known without the cluster, so its repository was read at the branch's head"))
		return "", nil
	}
	if a.syncedOtherwise || slices.ContainsFunc(markNames[a.Sync.State], func(name string) bool { return slices.Contains(a.Unknown, name) }) {
		a.Unknown = append(a.Unknown, "synced")
		return "", nil // a finding says why
	}
	if a.Sync.State == "secret" {
		where = "Secret/" + a.Namespace + "/" + a.Git.SecretName + " annotation " + flux1.SyncMarkAnnotation
		s, err := a.env.secret(ctx, a.Git.SecretName, "the last synced commit")
		if errors.Is(err, errUnreadable) {
			a.Unknown = append(a.Unknown, "synced")
			return "", nil
		}
		if err != nil {
			return "", err
		}
		mark = ""
		if s != nil {
			mark = s.Annotations[flux1.SyncMarkAnnotation]
		}
	}
	if mark == "" {
		a.Unknown = append(a.Unknown, "synced")
		w.find(NeverSynced.Finding(a.ID, where, "the agent has left no sync mark"))
	}
	return mark, nil
}

// reading is how the agent reads a tree.
func (a *agent) reading(tree fs.FS, facts migrate.Cluster) *reading {
	r := &reading{agent: a, tree: tree, config: flux1.LoadConfig{
		Repository: a.ID, Paths: a.Git.Paths, ManifestGeneration: a.ManifestGeneration, SOPS: a.SOPS,
		ImageAutomation: a.ImageAutomation, DefaultNamespace: a.DefaultNamespace, AllowedNamespaces: a.AllowedNamespaces,
		Kinds: facts.Kinds,
	}}
	if facts.From != fromCluster { // none was asked
		assumeKinds(&r.config)
	}
	return r
}

// loadTree reads the commit as fluxd would. The tree stays valid until the
// Store is closed.
func (w *witness) loadTree(ctx context.Context, a *agent, l *live, facts migrate.Cluster, from origin, ref source.Reference) error {
	tree, _, err := from.git.tree(ctx, from.remote, ref)
	if err != nil {
		return w.gitFailed(ctx, a, "fetch commit "+short(ref.Commit), err)
	}
	a.Tree = tree
	r := a.reading(tree, facts)
	if a.DefaultNamespace == "" && !r.config.KindsAssumed {
		return nil // a finding says why objects stay unknown
	}
	if err := r.load(ctx); err != nil {
		return err
	}
	if l != nil {
		var ids []object.ObjMetadata
		for _, o := range a.Objects {
			if id, err := object.ParseObjMetadata(o.ID); err == nil { // nameless objects have none
				ids = append(ids, id)
			}
		}
		var ignored map[string]string
		var unmarked map[string]*liveObject
		ignored, unmarked, err = w.ignoredLive(ctx, l, ids, a.config.ExcludedKinds)
		if err != nil {
			return err
		}
		if from.folder == nil { // a clone may be older than what was applied
			a.unmarked = unmarked
		}
		if len(ignored) > 0 {
			r.findings = nil
			r.config.LiveIgnored = func(id string) string { return ignored[id] }
			if err := r.load(ctx); err != nil {
				return err
			}
		}
	}
	a.troubles = r.troubles()
	for i := range r.findings {
		if r.findings[i].Code == flux1.Stuck.Name {
			r.findings[i].Message += ", at commit " + short(ref.Commit)
		}
	}
	a.undecrypted, _ = r.undecrypted()
	a.loaded = len(r.untold) == 0 && !slices.ContainsFunc(r.findings, func(f migrate.Finding) bool { return f.Severity == migrate.Blocker })
	if err := r.survey(ctx); err != nil {
		return err
	}
	if a.declares, err = r.applied(ctx); err != nil {
		return err
	}
	w.find(r.findings...)
	if l == nil {
		a.read = r
	}
	if slices.Contains(a.Unknown, "allowedNamespaces") || slices.Contains(a.Unknown, "manifestGeneration") && (a.deployment != nil || r.mayGenerate()) {
		a.loaded = false // which files and objects count hangs on what is not known
		return nil
	}
	a.count()
	return nil
}

// checkHead reads what is at the branch's head, and reports what fluxd cannot load there, and
// where it cannot be told what it loads.
func (w *witness) checkHead(ctx context.Context, a *agent, facts migrate.Cluster, from origin, ref source.Reference) error {
	tree, release, err := from.git.tree(ctx, from.remote, ref)
	if err != nil {
		return w.gitFailed(ctx, a, "fetch commit "+short(ref.Commit), err)
	}
	defer release()
	head := &agent{Flux1Agent: a.Flux1Agent, deployment: a.deployment, keysUnknown: a.keysUnknown}
	r := head.reading(tree, facts)
	if a.DefaultNamespace == "" && !r.config.KindsAssumed {
		return nil
	}
	if err := r.load(ctx); err != nil {
		return err
	}
	if a.atHead, err = r.applied(ctx); err != nil {
		return err
	}
	all := r.troubles()
	a.setHead(head.Objects, all)
	for _, t := range all {
		switch says := fmt.Sprintf("%s, at the branch's head; the agent last reached commit %s", t.message, short(a.Synced.Commit)); {
		case t.stuck:
			w.find(StuckAtHead.Finding(a.ID, t.where, says))
		case t.said, slices.Contains(a.troubles, t): // of the commit that it reached
		default:
			f := HeadNotTold.Finding(a.ID, t.where, says)
			f.Hint = cmp.Or(t.hint, f.Hint)
			w.find(f)
		}
	}
	return nil
}

// setHead fills in what fluxd loads at the branch's head, which is not known where there is trouble.
func (a *agent) setHead(objects []migrate.Object, troubles []trouble) {
	if a.HeadObjects = objects; len(troubles) > 0 {
		a.HeadObjects, a.HeadProblem = nil, troubles[0].message
	}
}
