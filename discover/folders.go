package discover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/source"
)

// Folder is an agent's repository on disk, which is read in place of the
// server: a clone (working copy or bare), or a plain folder.
type Folder struct {
	// URL as an agent has it, or as anybody spells it; if empty, the URLs of
	// the clone's remotes.
	URL string
	// Dir is the folder.
	Dir string
	// Branch, if given, is the only one of which agents are read from it.
	Branch string
}

// folders are those given, opened.
type folders []*folder

// folder is one of them. It is itself the gitReader of its repository: what the
// server had when the clone was fetched last.
type folder struct {
	dir    string
	urls   []string
	branch string
	// plain is true outside of Git.
	plain bool
	used  bool
}

// openFolders looks at the folders. An error means that one cannot be read, or
// that it is not known whose repository it holds.
func openFolders(given []Folder) (folders, error) {
	var out folders
	for _, g := range given {
		if err := mustBeFolder(g.Dir); err != nil {
			return nil, err
		}
		f := &folder{dir: g.Dir, branch: g.Branch}
		repo, err := openRepository(g.Dir)
		if err != nil {
			return nil, err
		}
		f.plain = repo == nil
		if f.urls, err = g.URLs(); err != nil {
			return nil, err
		}
		if len(f.urls) == 0 {
			return nil, fmt.Errorf("whose repository %s holds is not known, since it names no remote: write URL=%s", g.Dir, g.Dir)
		}
		out = append(out, f)
	}
	return out, nil
}

// URLs are those by which an agent may have the repository: the one that is given or, of a
// clone, those of its remotes. Of a plain folder none is known.
func (f Folder) URLs() ([]string, error) {
	if f.URL != "" {
		return []string{f.URL}, nil
	}
	repo, err := openRepository(f.Dir)
	if err != nil || repo == nil {
		return nil, err
	}
	urls, err := remoteURLs(repo)
	if err != nil {
		return nil, fmt.Errorf("read the remotes of %s: %w", f.Dir, err)
	}
	return urls, nil
}

// of is the folder from which what an agent reads is read; nil if none is.
func (list folders) of(git migrate.AgentGit) *folder {
	for _, f := range list {
		if (f.branch == "" || f.branch == git.Branch) && slices.ContainsFunc(f.urls, func(u string) bool { return SameRepository(u, git.URL) }) {
			return f
		}
	}
	return nil
}

// name is a folder for people, without where it lies on this machine.
func (f *folder) name() string { return filepath.Base(filepath.Clean(f.dir)) }

// branchRefs are where a clone keeps what the server had: its remote "origin"
// or, in a mirror or a repository without one, its own branches.
var branchRefs = []string{"refs/remotes/origin/", "refs/heads/"}

// refs implements gitReader.
func (f *folder) refs(_ context.Context, _ source.Remote) (map[string]string, error) {
	repo, err := openRepository(f.dir)
	if err != nil {
		return nil, err
	}
	iter, err := repo.References()
	if err != nil {
		return nil, fmt.Errorf("list the references of the clone: %w", err)
	}
	found := map[string]string{}
	own := map[string]string{}
	err = iter.ForEach(func(ref *plumbing.Reference) error {
		name, hash := ref.Name().String(), ref.Hash()
		if ref.Type() != plumbing.HashReference {
			return nil
		}
		if short, ok := strings.CutPrefix(name, branchRefs[0]); ok {
			found["refs/heads/"+short] = hash.String()
		} else if strings.HasPrefix(name, branchRefs[1]) {
			own[name] = hash.String()
		} else if strings.HasPrefix(name, "refs/tags/") {
			if tag, err := repo.TagObject(hash); err == nil {
				commit, err := tag.Commit()
				if err != nil {
					return nil // a tag of something else than a commit
				}
				hash = commit.Hash
			}
			found[name] = hash.String()
		}
		return nil
	})
	for name, hash := range own {
		if _, ok := found[name]; !ok {
			found[name] = hash
		}
	}
	return found, err
}

// errShallow: a clone does not hold the whole history.
var errShallow = errors.New(`the clone is shallow, so how far apart two commits are is not known; "git fetch --unshallow" completes it`)

// ancestry implements gitReader.
func (f *folder) ancestry(ctx context.Context, _ source.Remote, from, to string) (behind int, isAncestor bool, err error) {
	repo, err := openRepository(f.dir)
	if err != nil {
		return 0, false, err
	}
	commits := map[string]*object.Commit{}
	for _, sha := range []string{from, to} {
		c, err := repo.CommitObject(plumbing.NewHash(sha))
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			return 0, false, fmt.Errorf("%w: the clone does not hold commit %s: fetch it", source.ErrReferenceNotFound, sha)
		} else if err != nil {
			return 0, false, fmt.Errorf("read commit %s: %w", sha, err)
		}
		commits[sha] = c
	}
	if from == to {
		return 0, true, nil
	}
	known := map[plumbing.Hash]bool{}
	walk := func(start *object.Commit, visit func(*object.Commit)) error {
		seen := map[plumbing.Hash]bool{}
		for h := range known {
			seen[h] = true
		}
		err := object.NewCommitPreorderIter(start, seen, nil).ForEach(func(c *object.Commit) error {
			visit(c)
			return ctx.Err()
		})
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			return errShallow
		}
		return err
	}
	old := map[plumbing.Hash]bool{}
	if err := walk(commits[from], func(c *object.Commit) { old[c.Hash] = true }); err != nil {
		return 0, false, err
	}
	known = old
	if known[commits[to].Hash] {
		return 0, false, nil
	}
	err = walk(commits[to], func(c *object.Commit) {
		behind++
		isAncestor = isAncestor || slices.Contains(c.ParentHashes, commits[from].Hash)
	})
	return behind, isAncestor, err
}

// olderThan says in a clause how a clone is older than a commit that an agent synced:
// it does not hold it, or its branch's head is an ancestor of it; empty if neither.
func (f *folder) olderThan(ctx context.Context, mark, head string) (string, error) {
	_, before, err := f.ancestry(ctx, source.Remote{}, head, mark)
	switch {
	case errors.Is(err, source.ErrReferenceNotFound):
		return fmt.Sprintf("folder %s, whose branch is at commit %s, does not hold it", f.name(), short(head)), nil
	case errors.Is(err, errShallow):
		return "", nil // which is said apart
	case err != nil || !before:
		return "", err
	}
	return fmt.Sprintf("the branch in folder %s is at the earlier commit %s", f.name(), short(head)), nil
}

// tree implements gitReader.
func (f *folder) tree(ctx context.Context, _ source.Remote, ref source.Reference) (fs.FS, func(), error) {
	repo, err := openRepository(f.dir)
	if err != nil {
		return nil, nil, err
	}
	commit, err := repo.CommitObject(plumbing.NewHash(ref.Commit))
	if err != nil {
		return nil, nil, fmt.Errorf("the clone does not hold commit %s: %w", ref.Commit, err)
	}
	tree, err := newCommitTree(ctx, repo, commit)
	if err != nil {
		return nil, nil, fmt.Errorf("read commit %s: %w", ref.Commit, err)
	}
	return tree, func() {}, nil
}

// readPlain reads an agent's repository from a folder that is no clone: its
// files as they are, of a commit that is not known.
func (w *witness) readPlain(ctx context.Context, a *agent, f *folder, l *live, facts migrate.Cluster) error {
	files, err := openFiles(ctx, f.dir)
	if err != nil {
		return w.gitFailed(ctx, a, "read the folder that was given for it", err)
	}
	a.Unknown = append(a.Unknown, "synced")
	w.find(FolderPlain.Finding(a.ID, f.name(), fmt.Sprintf("the repository was read from folder %s, which is no clone: its files were taken as they are", f.name())))
	return w.loadTree(ctx, a, l, facts, origin{git: fixedTree{files}}, source.Reference{})
}

// fixedTree is a gitReader that knows one tree and no commits.
type fixedTree struct{ files fs.FS }

func (fixedTree) refs(context.Context, source.Remote) (map[string]string, error) { return nil, nil }
func (fixedTree) ancestry(context.Context, source.Remote, string, string) (int, bool, error) {
	return 0, false, nil
}
func (t fixedTree) tree(context.Context, source.Remote, source.Reference) (fs.FS, func(), error) {
	return t.files, func() {}, nil
}

// unusedFolders reports folders that no agent reads.
func (w *witness) unusedFolders() {
	for _, f := range w.folders {
		if f.used {
			continue
		}
		var shown []string
		for _, u := range f.urls {
			shown = append(shown, flux1.DisplayURL(u))
		}
		w.find(FolderUnused.About("", f.name(), f.name(), fmt.Sprintf("no agent reads %s, which folder %s was given for", strings.Join(shown, " or "), f.name())))
	}
}

// notApplied are groups of what looks like objects and is for tools alone.
var notApplied = []string{"eksctl.io", "kind.x-k8s.io", "kustomize.config.k8s.io"}

// unreadFolders reports, of each repository, the folders with manifests that none of its
// agents reads. Where what one of them reads is not told, or is of another commit, nothing is.
func (w *witness) unreadFolders(agents []*agent) {
	for i, a := range agents {
		if a.read == nil || slices.ContainsFunc(agents[:i], a.sameTree) {
			continue // or told of the first one
		}
		read, untold := map[string]bool{}, false
		var readers []*agent
		for _, b := range agents {
			open := func(name string) bool { return slices.Contains(b.Unknown, name) }
			switch {
			case open("git.url"), !SameRepository(a.Git.URL, b.Git.URL), !open("git.branch") && a.Git.Branch != b.Git.Branch:
				continue
			case open("git.branch"), open("git.paths"), !b.sameTree(a):
				untold = true
				continue
			}
			readers, untold = append(readers, b), untold || len(b.read.untold) > 0
			for _, o := range b.read.inUse {
				for _, name := range append([]string{o.file}, o.files...) {
					read[name] = true
				}
				for _, p := range o.patches {
					read[p.file] = true
				}
			}
			for _, build := range b.Builds {
				for _, name := range build.Reads {
					read[name] = true
				}
			}
		}
		if untold {
			continue
		}
		isRead := func(name string) bool {
			return read[name] || slices.ContainsFunc(readers, func(b *agent) bool { return b.read.inPaths(name, true) })
		}
		var unread []string
		holds := map[string]bool{} // folders with files that are read, and those above them
		for _, name := range a.read.index.files {
			ext := path.Ext(name)
			switch {
			case isRead(name):
				for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
					holds[dir] = true
				}
			case ext != ".yaml" && ext != ".yml" && ext != ".json", strings.HasPrefix(name, "."), a.read.inChart(name): // as those of a forge
			case slices.ContainsFunc(a.read.objectsIn(name), func(o flux1.Parsed) bool {
				return !slices.Contains(notApplied, o.Manifest.GroupVersionKind().Group) && !strings.HasPrefix(o.Manifest.GetAPIVersion(), "skaffold/")
			}):
				unread = append(unread, name)
			}
		}
		var told []string
		for _, name := range unread {
			top := name // or the topmost folder of which nothing is read
			for dir := path.Dir(name); dir != "." && !holds[dir]; dir = path.Dir(dir) {
				top = dir
			}
			if !slices.Contains(told, top) {
				told = append(told, top)
			}
		}
		if len(told) > 0 {
			manifests := "1 manifest"
			if len(unread) > 1 {
				manifests = fmt.Sprint(len(unread), " manifests")
			}
			w.find(FoldersUnread.Finding(a.ID, "", fmt.Sprintf("of the repository %s no agent that was found reads what %s holds (%s)", flux1.DisplayURL(a.Git.URL), few(told), manifests)))
		}
	}
}

// Repositories reads, from folders, the repositories of agents that were found
// without a cluster: what they applied last where a clone holds their sync tag,
// and else what is at their branch's head. Agents for which no folder is given, and those
// whose repository was read before, are left as they are. Agents that a repository declares
// are added: those that an agent applies as installed by it, and the others, which nobody is
// known to apply, as manifests. Folders that no agent reads are told. The Inventory that is
// given is not changed.
func Repositories(ctx context.Context, inv migrate.Inventory, given []Folder, grants *Grants, progress func(string)) (migrate.Inventory, error) {
	list, err := openFolders(given)
	if err != nil {
		return inv, err
	}
	w := &witness{folders: list, opts: Options{Progress: progress, Parallel: defaultParallel}}
	var found, next []*agent
	for _, a := range inv.Agents {
		if a.Tree != nil {
			found = append(found, &agent{Flux1Agent: a, counted: !slices.Contains(a.Unknown, "counts")})
			continue
		}
		next = append(next, &agent{Flux1Agent: a})
	}
	for len(next) > 0 {
		for _, a := range next {
			if w.folders.of(a.Git) != nil { // what of it stays unknown is found anew
				a.Unknown = slices.DeleteFunc(slices.Clone(a.Unknown), func(name string) bool { return name == "synced" })
			}
		}
		if err := w.readRepositories(ctx, next, nil, inv.Cluster); err != nil {
			return inv, err
		}
		found = append(found, next...)
		read := next
		next = nil
		for _, a := range read {
			next = append(next, w.appliedAgents(a, slices.Concat(found, next))...)
		}
		for _, a := range read {
			more, err := w.agentsBeside(ctx, a, slices.Concat(found, next))
			if err != nil {
				return inv, fmt.Errorf("agent %s: look for agents in its repository: %w", a.ID, err)
			}
			next = append(next, more...)
		}
	}
	slices.SortStableFunc(found, func(a, b *agent) int { return strings.Compare(a.ID, b.ID) })
	w.unusedFolders()
	w.unreadFolders(found)
	w.rightsAcross(ctx, found, grants)
	w.sharedObjects(found)
	w.agentsInGit(found)
	w.gitWitness(found)
	w.agentsInGitOnly(found)
	inv.Agents = []migrate.Flux1Agent{}
	for _, a := range found {
		inv.Agents = append(inv.Agents, a.finished())
	}
	inv.Findings = slices.Concat(inv.Findings, w.findings)
	sayUndecided(&inv)
	if inv.Cluster.Kinds == nil {
		inv.Cluster.Kinds = ownKinds().served
	}
	return inv, nil
}

// remoteURLs are the URLs of a clone's remotes.
func remoteURLs(repo *git.Repository) ([]string, error) {
	remotes, err := repo.Remotes()
	var urls []string
	for _, r := range remotes {
		urls = append(urls, r.Config().URLs...)
	}
	return urls, err
}

// openRepository opens a clone; nil and no error outside of Git.
func openRepository(dir string) (*git.Repository, error) {
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the Git repository in %s: %w", dir, err)
	}
	return repo, nil
}
