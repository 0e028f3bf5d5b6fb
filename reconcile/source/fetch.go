package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

// Fetch makes the tree of the commit that a reference names available. Many
// callers for one URL, credential and commit share one fetch and one tree. As
// little is transferred as the server allows: one commit without history, less
// what earlier fetches brought; only where a server gives no single commit that
// is not the tip of a reference, the history of the branch (of all branches, if
// none was given).
//
// The Snapshot must be closed. A caller whose context ends stops waiting; the
// shared fetch goes on, up to the Remote's timeout, for the others. If no
// Snapshot is returned, nothing is held.
func (s *Store) Fetch(ctx context.Context, r Remote, ref Reference) (*Snapshot, error) {
	snapshot, err := s.fetch(ctx, r, ref)
	if err != nil {
		return nil, fmt.Errorf("fetch %s of %s: %w", ref, SafeURL(r.URL), err)
	}
	return snapshot, nil
}

func (s *Store) fetch(ctx context.Context, r Remote, ref Reference) (*Snapshot, error) {
	if _, err := parseURL(r.URL); err != nil {
		return nil, err
	}
	// A commit that is unpacked needs no server, unless it must be shown to
	// be on a branch.
	if ref.Commit != "" && ref.Branch == "" {
		rev, err := bareCommit(ref.Commit)
		if err != nil {
			return nil, err
		}
		if t := s.hold(hashed(r.key(), rev.SHA)); t != nil {
			return s.snapshot(r, rev, t), nil
		}
	}
	// The key holds the reference, not the commit: which commit it is is only
	// known once the server is asked, and that too is shared.
	key := hashed(r.key(), fmt.Sprintf("%+v", ref))
	f, err := s.join(ctx, key, r, ref)
	if err != nil {
		return nil, err
	}
	defer s.leave(f)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-f.done:
	}
	if f.err != nil {
		return nil, f.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	f.tree.holders++
	return s.snapshot(r, f.rev, f.tree), nil
}

// flight is a fetch that several callers wait for. It holds its tree until
// the last of them has left, so that none finds it removed.
type flight struct {
	done chan struct{}
	// waiting callers; the fetch itself counts as one. Guarded by Store.mu.
	waiting int

	rev  Revision
	tree *tree
	err  error
}

// join starts a fetch or joins the one that is under way.
func (s *Store) join(ctx context.Context, key string, r Remote, ref Reference) (*flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if f := s.flights[key]; f != nil {
		f.waiting++
		return f, nil
	}
	f := &flight{done: make(chan struct{}), waiting: 2}
	s.flights[key] = f
	s.flying.Go(func() {
		// One caller that gives up must not end it for the others; Close does.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout())
		defer cancel()
		defer context.AfterFunc(s.closing, cancel)()
		f.rev, f.tree, f.err = s.fetchShared(ctx, r, ref)
		s.mu.Lock()
		delete(s.flights, key)
		s.mu.Unlock()
		close(f.done)
		s.leave(f)
	})
	return f, nil
}

func (s *Store) leave(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiting--; f.waiting == 0 && f.tree != nil {
		s.giveUpLocked(f.tree)
	}
}

// fetchShared asks the server, and fetches and unpacks the commit unless it is
// there. The tree it returns is held.
func (s *Store) fetchShared(ctx context.Context, r Remote, ref Reference) (Revision, *tree, error) {
	if ref.Commit != "" && ref.Branch == "" {
		rev, err := bareCommit(ref.Commit)
		if err != nil {
			return Revision{}, nil, err
		}
		if t, err := s.unpackKept(ctx, r, rev); t != nil || err != nil {
			return rev, t, err
		}
	}
	se, err := s.connect(ctx, r)
	if err != nil {
		return Revision{}, nil, err
	}
	defer se.Close()
	rev, err := resolve(se.refs, ref)
	if err != nil {
		return Revision{}, nil, err
	}
	if ref.Commit != "" && ref.Branch != "" {
		if err := s.mustBeOnBranch(ctx, r, se.refs, rev, ref.Branch); err != nil {
			return Revision{}, nil, err
		}
	}
	treeKey := hashed(r.key(), rev.SHA)
	// Two references may name one commit.
	unlock, err := s.lock(ctx, r.key()+"-objects")
	if err != nil {
		return Revision{}, nil, err
	}
	defer unlock()
	if t := s.hold(treeKey); t != nil {
		return rev, t, nil
	}
	started := time.Now()
	t, err := s.fetchTree(ctx, r, se, rev, ref.Branch)
	if err != nil {
		return Revision{}, nil, err
	}
	if err := s.keep(treeKey, t); err != nil {
		return Revision{}, nil, errors.Join(err, t.remove())
	}
	s.options.Log.Debug("fetched", "url", SafeURL(r.URL), "revision", rev.String(), "bytes", t.bytes, "took", time.Since(started))
	return rev, t, nil
}

// unpackKept unpacks a commit that an earlier fetch with the same credential
// left in the kept clone: it needs no server. The tree is held; nil and no error
// if the commit is not there, or not whole.
func (s *Store) unpackKept(ctx context.Context, r Remote, rev Revision) (*tree, error) {
	unlock, err := s.lock(ctx, r.key()+"-objects")
	if err != nil {
		return nil, err
	}
	defer unlock()
	key := hashed(r.key(), rev.SHA)
	if t := s.hold(key); t != nil {
		return t, nil
	}
	c, err := s.openClone(r.key(), "objects")
	if err != nil {
		return nil, err
	}
	defer c.close()
	sha := plumbing.NewHash(rev.SHA)
	if !c.hasCommit(sha) {
		return nil, nil
	}
	t, err := s.unpack(ctx, c, sha)
	switch {
	case errors.Is(err, ErrTooLarge) || ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, nil // a commit without its files: the server has them
	}
	if err := s.keep(key, t); err != nil {
		return nil, errors.Join(err, t.remove())
	}
	return t, nil
}

// fetchTree brings the commit's objects into the kept clone and unpacks them.
func (s *Store) fetchTree(ctx context.Context, r Remote, se *session, rev Revision, branch string) (*tree, error) {
	c, err := s.openClone(r.key(), "objects")
	if err != nil {
		return nil, err
	}
	defer func() { c.close() }()
	sha := plumbing.NewHash(rev.SHA)
	if c.hasCommit(sha) {
		if t, err := s.unpack(ctx, c, sha); err == nil || errors.Is(err, ErrTooLarge) || ctx.Err() != nil {
			return t, err
		}
		// A commit without its files, from a fetch that was cut off.
	}
	err = s.fetchCommit(ctx, r, se, c, sha, branch)
	var t *tree
	if err == nil {
		t, err = s.unpack(ctx, c, sha)
	}
	if err == nil {
		return t, c.remember(sha)
	}
	if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrReferenceNotFound) || ctx.Err() != nil || !c.held || errors.Is(classify(err, se.auth), ErrNetwork) {
		return nil, classify(err, se.auth)
	}
	// What was kept may be broken, or the server may not understand what we
	// say we have: once more from nothing.
	s.options.Log.Debug("fetching anew without the kept clone", "url", SafeURL(r.URL), "error", se.auth.scrub(err.Error()))
	again, err := s.connect(ctx, r) // first: what is kept may be all that can be had
	if err != nil {
		return nil, err
	}
	defer again.Close()
	if err := s.renew(c, r.key(), "objects"); err != nil {
		return nil, err
	}
	if err := s.fetchCommit(ctx, r, again, c, sha, branch); err != nil {
		return nil, classify(err, se.auth)
	}
	if t, err = s.unpack(ctx, c, sha); err != nil {
		return nil, classify(err, se.auth)
	}
	return t, c.remember(sha)
}

// fetchCommit asks for one commit without history, by the cheapest way the
// server allows.
func (s *Store) fetchCommit(ctx context.Context, r Remote, se *session, c *clone, sha plumbing.Hash, branch string) error {
	target, advertised := wanted(se.refs, sha)
	err := s.fetchPack(ctx, se, c, want{shas: []plumbing.Hash{target}, depth: 1, have: c.kept(8)})
	if err == nil || advertised || ctx.Err() != nil || errors.Is(err, ErrTooLarge) {
		return err
	}
	// Many servers give only tips of references by name (git's own default
	// for protocol 0). The commit may lie in the history.
	s.options.Log.Debug("server gives no single commit; fetching history", "url", SafeURL(r.URL))
	again, errConnect := s.connect(ctx, r)
	if errConnect != nil {
		return errors.Join(err, errConnect)
	}
	defer again.Close()
	tips, err := branchTips(again.refs, branch)
	if err != nil {
		return err
	}
	if err := s.fetchPack(ctx, again, c, want{shas: tips}); err != nil {
		return err
	}
	if !c.hasCommit(sha) {
		return fmt.Errorf("%w: commit %s is in no history that the server shows", ErrReferenceNotFound, sha)
	}
	return nil
}

// wanted gives the object to ask for to get a commit, and whether the server
// advertises it: the commit, or an annotated tag of it.
func wanted(refs *packp.AdvRefs, sha plumbing.Hash) (target plumbing.Hash, advertised bool) {
	target = sha
	for full, at := range refs.References {
		if at == sha {
			return sha, true
		}
		if refs.Peeled[full] == sha {
			target, advertised = at, true
		}
	}
	return target, advertised
}

func branchTips(refs *packp.AdvRefs, branch string) ([]plumbing.Hash, error) {
	if branch != "" {
		sha, ok := refs.References["refs/heads/"+branch]
		if !ok {
			return nil, fmt.Errorf("%w: branch %s", ErrReferenceNotFound, branch)
		}
		return []plumbing.Hash{sha}, nil
	}
	var tips []plumbing.Hash
	for full, sha := range refs.References {
		if strings.HasPrefix(full, "refs/heads/") || strings.HasPrefix(full, "refs/tags/") {
			tips = append(tips, sha)
		}
	}
	if len(tips) == 0 {
		return nil, fmt.Errorf("%w: the repository has no branch", ErrReferenceNotFound)
	}
	return tips, nil
}

// mustBeOnBranch fails unless the commit is on the branch as the server has it
// now.
func (s *Store) mustBeOnBranch(ctx context.Context, r Remote, refs *packp.AdvRefs, rev Revision, branch string) error {
	head, ok := lookUp(refs, "refs/heads/"+branch)
	if !ok {
		return fmt.Errorf("%w: branch %s", ErrReferenceNotFound, branch)
	}
	if head.String() == rev.SHA {
		return nil
	}
	_, on, err := s.ancestry(ctx, r, plumbing.NewHash(rev.SHA), head, branch)
	if err != nil {
		return fmt.Errorf("look for the commit on branch %s: %w", branch, err)
	}
	if !on {
		return fmt.Errorf("%w: commit %s is not on branch %s", ErrReferenceNotFound, rev.SHA, branch)
	}
	return nil
}

// unpack makes a commit's files readable: in memory as far as there is room for
// it, else below a new folder of the store.
func (s *Store) unpack(ctx context.Context, c *clone, sha plumbing.Hash) (*tree, error) {
	commit, err := object.GetCommit(c.storage, sha)
	if err != nil {
		return nil, fmt.Errorf("%w: read commit %s: %w", ErrInvalid, sha, err)
	}
	top, err := object.GetTree(c.storage, commit.TreeHash)
	if err != nil {
		return nil, fmt.Errorf("%w: read the tree of commit %s: %w", ErrInvalid, sha, err)
	}
	u := &unpacker{ctx: ctx, maxBytes: s.options.MaxTreeBytes, maxFiles: s.options.MaxTreeFiles}
	t, err := s.unpackToMemory(u, top, commit.Committer.When)
	if t == nil && err == nil {
		t, err = s.unpackToDisk(u, top)
	}
	if err != nil {
		return nil, err
	}
	t.bytes, t.files = u.bytes, u.files
	t.info = commitInfo{sha: sha.String(), author: commit.Author.Name, email: commit.Author.Email, message: commit.Message, when: commit.Committer.When}
	return t, nil
}

// unpackToMemory gives no tree and no error if there is no room for it.
func (s *Store) unpackToMemory(u *unpacker, top *object.Tree, when time.Time) (*tree, error) {
	s.mu.Lock()
	room := s.options.MemoryBytes - s.memory
	s.mu.Unlock()
	if room <= 0 {
		return nil, nil
	}
	files := NewFiles(when)
	small := *u
	small.to, small.maxBytes = inMemory{files}, min(room, u.maxBytes)
	switch err := small.folder(top, ".", 0); {
	case errors.Is(err, ErrTooLarge) && small.maxBytes < u.maxBytes:
		return nil, nil
	case err != nil:
		return nil, err
	}
	files.Sort()
	u.bytes, u.files = small.bytes, small.files
	return &tree{memory: files}, nil
}

func (s *Store) unpackToDisk(u *unpacker, top *object.Tree) (*tree, error) {
	tmp, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "tree-")
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	done := false
	defer func() {
		if !done {
			_ = os.RemoveAll(tmp) // Open clears what is left
		}
	}()
	root, err := os.OpenRoot(tmp)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	u.to = onDisk{root}
	err = u.folder(top, ".", 0)
	if err = errors.Join(err, root.Close()); err != nil {
		return nil, err
	}
	final := filepath.Join(s.dir, "trees", filepath.Base(tmp))
	if err := os.Rename(tmp, final); err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	done = true
	if root, err = os.OpenRoot(final); err != nil {
		return nil, errors.Join(fmt.Errorf("unpack: %w", err), os.RemoveAll(final))
	}
	return &tree{dir: final, root: root}, nil
}

// place is where a tree is unpacked to.
type place interface {
	folder(p string) error
	// file copies in, and gives how much it was.
	file(p string, executable bool, size int64, in io.Reader) (int64, error)
	link(p, target string) error
}

// onDisk writes through an os.Root, so that no entry can reach outside, whatever
// links the tree holds.
type onDisk struct{ root *os.Root }

func (d onDisk) folder(p string) error       { return d.root.Mkdir(p, 0o700) }
func (d onDisk) link(p, target string) error { return d.root.Symlink(target, p) }

func (d onDisk) file(p string, executable bool, _ int64, in io.Reader) (int64, error) {
	mode := os.FileMode(0o400)
	if executable {
		mode = 0o500
	}
	out, err := d.root.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, in)
	return n, errors.Join(err, out.Close())
}

// inMemory keeps what it is given.
type inMemory struct{ files *Files }

func (m inMemory) folder(p string) error { return m.files.Put(p, fs.ModeDir|0o700, 0, nil) }

func (m inMemory) link(p, target string) error {
	return m.files.PutContent(p, fs.ModeSymlink|0o777, []byte(target))
}

func (m inMemory) file(p string, executable bool, size int64, in io.Reader) (int64, error) {
	mode := fs.FileMode(0o400)
	if executable {
		mode = 0o500
	}
	content, err := io.ReadAll(io.LimitReader(in, size+1))
	if err != nil {
		return 0, err
	}
	return int64(len(content)), m.files.PutContent(p, mode, content)
}

// maxDepth is the deepest folder nesting that is unpacked; paths beyond it
// fit no operating system.
const maxDepth = 512

// maxNames is how many bytes all paths of a commit may have together: few objects of
// Git, each many times in another, make very many and very long ones.
const maxNames = 128 << 20

// unpacker reads a tree within its bounds.
type unpacker struct {
	ctx      context.Context
	to       place
	maxBytes int64
	maxFiles int
	bytes    int64
	files    int
	names    int
}

func (u *unpacker) folder(t *object.Tree, dir string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: folders are nested deeper than %d", ErrTooLarge, maxDepth)
	}
	if err := u.ctx.Err(); err != nil {
		return err
	}
	seen := make(map[string]bool, len(t.Entries))
	for _, e := range t.Entries {
		p := path.Join(dir, e.Name)
		if !safeName(e.Name) || seen[e.Name] {
			return fmt.Errorf("%w: the tree holds an entry that Git would not write: %q", ErrInvalid, p)
		}
		seen[e.Name] = true
		if u.files++; u.files > u.maxFiles {
			return fmt.Errorf("%w: the commit has more than %d files and folders", ErrTooLarge, u.maxFiles)
		}
		if u.names += len(p); u.names > maxNames {
			return fmt.Errorf("%w: the paths of the commit's files are longer than %d bytes together", ErrTooLarge, maxNames)
		}
		if err := u.entry(t, e, p, depth); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) entry(t *object.Tree, e object.TreeEntry, p string, depth int) error {
	switch e.Mode {
	case filemode.Dir:
		if err := u.to.folder(p); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		below, err := t.Tree(e.Name)
		if err != nil {
			return fmt.Errorf("%w: read folder %s: %w", ErrInvalid, p, err)
		}
		return u.folder(below, p, depth+1)
	case filemode.Submodule:
		if err := u.to.folder(p); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		return nil
	case filemode.Regular, filemode.Executable, filemode.Deprecated, filemode.Symlink:
	default:
		return fmt.Errorf("%w: %s has the unknown mode %s", ErrInvalid, p, e.Mode)
	}
	f, err := t.TreeEntryFile(&e)
	if err != nil {
		return fmt.Errorf("%w: read file %s: %w", ErrInvalid, p, err)
	}
	if u.bytes += f.Size; u.bytes > u.maxBytes {
		return fmt.Errorf("%w: the commit has more than %d bytes", ErrTooLarge, u.maxBytes)
	}
	in, err := f.Reader()
	if err != nil {
		return fmt.Errorf("%w: read file %s: %w", ErrInvalid, p, err)
	}
	defer in.Close()
	if e.Mode == filemode.Symlink {
		return u.link(in, f.Size, p)
	}
	n, err := u.to.file(p, e.Mode == filemode.Executable, f.Size, in)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", p, err)
	}
	if n != f.Size {
		return fmt.Errorf("%w: %s has %d bytes where %d were announced", ErrInvalid, p, n, f.Size)
	}
	return nil
}

// maxLink is the longest link target; Linux allows no longer one.
const maxLink = 4096

func (u *unpacker) link(in io.Reader, size int64, p string) error {
	if size >= maxLink || size == 0 {
		return fmt.Errorf("%w: %s is a link to a path of %d bytes", ErrInvalid, p, size)
	}
	target, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("%w: read link %s: %w", ErrInvalid, p, err)
	}
	if strings.ContainsRune(string(target), 0) {
		return fmt.Errorf("%w: %s is a link to a path with a zero byte", ErrInvalid, p)
	}
	// The target may lead anywhere: it is only followed inside the tree.
	if err := u.to.link(p, string(target)); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

// safeName refuses what Git itself refuses in trees.
func safeName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.EqualFold(name, ".git") &&
		!strings.ContainsAny(name, "/\x00")
}
