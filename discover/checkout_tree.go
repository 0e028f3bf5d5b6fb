package discover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// checkoutTree is a repository as it lies on disk.
type checkoutTree struct {
	fs.FS
	// head is the commit that the tree is of, empty if that is not known;
	// branch the one that is checked out, empty outside of Git.
	head, branch string
	// dirty is true if the files are those of the folder and not of the branch
	// that was asked for.
	otherBranch bool
}

// openCheckout opens a working copy, a bare repository or a plain folder. With
// a branch, a repository is read at that branch (its own, else that of the
// remote "origin"); without one, a working copy is read as its files are, and
// a bare repository at its HEAD. Nothing outside of the folder is read.
func openCheckout(ctx context.Context, dir, branch string) (*checkoutTree, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open checkout: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open checkout %s: it is no folder", dir)
	}
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	bare := false
	switch {
	case errors.Is(err, git.ErrRepositoryNotExists):
		repo = nil
	case err != nil:
		return nil, fmt.Errorf("open the Git repository in %s: %w", dir, err)
	default:
		_, err := repo.Worktree()
		bare = errors.Is(err, git.ErrIsBareRepository)
	}
	t := &checkoutTree{}
	var commit *object.Commit
	if repo != nil {
		if ref, err := repo.Head(); err == nil {
			t.head = ref.Hash().String()
			if ref.Name().IsBranch() {
				t.branch = ref.Name().Short()
			}
		}
		if branch != "" {
			hash, found := branchCommit(repo, branch)
			switch {
			case found:
				if commit, err = repo.CommitObject(hash); err != nil {
					return nil, fmt.Errorf("read commit %s of %s: %w", hash, dir, err)
				}
				t.branch = branch
			case bare:
				return nil, fmt.Errorf("open checkout %s: the repository has no branch %s; fetch it, or name another one", dir, branch)
			default:
				t.otherBranch = true
			}
		} else if bare {
			if t.head == "" {
				return nil, fmt.Errorf("open checkout %s: the repository has no commit", dir)
			}
			if commit, err = repo.CommitObject(plumbing.NewHash(t.head)); err != nil {
				return nil, fmt.Errorf("read commit %s of %s: %w", t.head, dir, err)
			}
		}
	}
	if commit != nil {
		t.head = commit.Hash.String()
		if t.FS, err = newCommitTree(ctx, repo, commit); err != nil {
			return nil, fmt.Errorf("read commit %s of %s: %w", t.head, dir, err)
		}
		return t, nil
	}
	// The root keeps links inside the folder; it is closed when the tree is
	// no longer used.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open checkout: %w", err)
	}
	t.FS = workingFiles{root.FS()}
	return t, nil
}

func branchCommit(repo *git.Repository, branch string) (plumbing.Hash, bool) {
	for _, name := range []plumbing.ReferenceName{plumbing.NewBranchReferenceName(branch), plumbing.NewRemoteReferenceName("origin", branch)} {
		if ref, err := repo.Reference(name, true); err == nil {
			return ref.Hash(), true
		}
	}
	return plumbing.ZeroHash, false
}

// workingFiles are the files of a working copy, without Git's own.
type workingFiles struct{ fs.FS }

func hidden(name string) bool { return name == ".git" || strings.HasPrefix(name, ".git/") }

func notThere(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

func (w workingFiles) Open(name string) (fs.File, error) {
	if hidden(name) {
		return nil, notThere("open", name)
	}
	f, err := w.FS.Open(name)
	if err != nil || name != "." {
		return f, err
	}
	entries, err := w.ReadDir(".")
	if err != nil {
		_ = f.Close() // only read
		return nil, err
	}
	return &topFolder{f, entries}, nil
}

// topFolder is the opened top of a working copy, without Git's own folder.
type topFolder struct {
	fs.File
	left []fs.DirEntry
}

// ReadDir implements [fs.ReadDirFile].
func (f *topFolder) ReadDir(count int) ([]fs.DirEntry, error) {
	entries := f.left
	if count > 0 {
		if len(entries) == 0 {
			return nil, io.EOF
		}
		entries = entries[:min(count, len(entries))]
	}
	f.left = f.left[len(entries):]
	return slices.Clone(entries), nil
}

func (w workingFiles) Stat(name string) (fs.FileInfo, error) {
	if hidden(name) {
		return nil, notThere("stat", name)
	}
	return fs.Stat(w.FS, name)
}

func (w workingFiles) Lstat(name string) (fs.FileInfo, error) {
	if hidden(name) {
		return nil, notThere("lstat", name)
	}
	return fs.Lstat(w.FS, name)
}

func (w workingFiles) ReadLink(name string) (string, error) {
	if hidden(name) {
		return "", notThere("readlink", name)
	}
	return fs.ReadLink(w.FS, name)
}

func (w workingFiles) ReadFile(name string) ([]byte, error) {
	if hidden(name) {
		return nil, notThere("open", name)
	}
	return fs.ReadFile(w.FS, name)
}

func (w workingFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	if hidden(name) {
		return nil, notThere("open", name)
	}
	entries, err := fs.ReadDir(w.FS, name)
	if name == "." {
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == ".git" })
	}
	return entries, err
}

// commitTree is the tree of a commit, read from Git's objects as it is needed.
type commitTree struct {
	repo    *git.Repository
	nodes   map[string]*node
	touched time.Time
}

// node is a file, link or folder of a commit; submodules are empty folders.
type node struct {
	name     string
	mode     fs.FileMode
	hash     plumbing.Hash
	size     int64
	when     time.Time
	children []fs.DirEntry
}

func (n *node) Name() string               { return n.name }
func (n *node) Size() int64                { return n.size }
func (n *node) Mode() fs.FileMode          { return n.mode }
func (n *node) ModTime() time.Time         { return n.when }
func (n *node) IsDir() bool                { return n.mode.IsDir() }
func (n *node) Sys() any                   { return nil }
func (n *node) Type() fs.FileMode          { return n.mode.Type() }
func (n *node) Info() (fs.FileInfo, error) { return n, nil }

// Limits on the tree of a commit.
const (
	maxTreeEntries = 500_000
	maxTreeDepth   = 100
	maxLinkTarget  = 4096
	maxLinks       = 40
)

func newCommitTree(ctx context.Context, repo *git.Repository, commit *object.Commit) (*commitTree, error) {
	t := &commitTree{repo: repo, nodes: map[string]*node{}, touched: commit.Committer.When}
	t.nodes["."] = &node{name: ".", mode: fs.ModeDir | 0o755, when: t.touched}
	return t, t.add(ctx, ".", commit.TreeHash, 0)
}

func (t *commitTree) add(ctx context.Context, dir string, hash plumbing.Hash, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > maxTreeDepth {
		return fmt.Errorf("its folders are nested deeper than %d", maxTreeDepth)
	}
	tree, err := t.repo.TreeObject(hash)
	if err != nil {
		return fmt.Errorf("folder %s: %w", dir, err)
	}
	for _, e := range tree.Entries {
		if len(t.nodes) >= maxTreeEntries {
			return fmt.Errorf("it holds more than %d files", maxTreeEntries)
		}
		if !fs.ValidPath(e.Name) || e.Name == "." || strings.Contains(e.Name, "/") || filepath.Base(e.Name) != e.Name {
			return fmt.Errorf("folder %s: a name in it is not allowed", dir)
		}
		n := &node{name: e.Name, hash: e.Hash, when: t.touched}
		switch e.Mode {
		case filemode.Dir:
			n.mode = fs.ModeDir | 0o755
		case filemode.Submodule:
			n.mode = fs.ModeDir | 0o755
		case filemode.Symlink:
			n.mode = fs.ModeSymlink | 0o777
		case filemode.Executable:
			n.mode = 0o755
		default:
			n.mode = 0o644
		}
		if !n.mode.IsDir() {
			if n.size, err = t.repo.Storer.EncodedObjectSize(e.Hash); err != nil {
				return fmt.Errorf("file %s: %w", path.Join(dir, e.Name), err)
			}
		}
		at := path.Join(dir, e.Name)
		if t.nodes[at] != nil {
			return fmt.Errorf("folder %s: a name stands twice in it", dir)
		}
		t.nodes[at] = n
		if e.Mode == filemode.Dir {
			if err := t.add(ctx, at, e.Hash, depth+1); err != nil {
				return err
			}
		}
		parent := t.nodes[dir]
		parent.children = append(parent.children, n)
	}
	slices.SortFunc(t.nodes[dir].children, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return nil
}

// find follows links, also in the middle of a path, but never out of the tree;
// the last one only if follow is set.
func (t *commitTree) find(op, name string, follow bool) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	links := 0
	at, rest := ".", name
	for rest != "." && rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		next := path.Join(at, part)
		n := t.nodes[next]
		if n == nil || !t.nodes[at].IsDir() {
			return nil, notThere(op, name)
		}
		if n.mode&fs.ModeSymlink == 0 || rest == "" && !follow {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return nil, &fs.PathError{Op: op, Path: name, Err: errors.New("too many links")}
		}
		target, err := t.target(n)
		if err != nil {
			return nil, &fs.PathError{Op: op, Path: name, Err: err}
		}
		whole := path.Join(at, target, rest)
		if path.IsAbs(target) || whole == ".." || strings.HasPrefix(whole, "../") {
			return nil, &fs.PathError{Op: op, Path: name, Err: errors.New("the link leads out of the repository")}
		}
		at, rest = ".", whole
	}
	return t.nodes[at], nil
}

func (t *commitTree) target(n *node) (string, error) {
	if n.size > maxLinkTarget {
		return "", errors.New("the link is too long")
	}
	content, err := t.content(n)
	return string(content), err
}

func (t *commitTree) content(n *node) ([]byte, error) {
	blob, err := t.repo.BlobObject(n.hash)
	if err != nil {
		return nil, err
	}
	r, err := blob.Reader()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // only read
	return io.ReadAll(io.LimitReader(r, n.size))
}

// Open implements [fs.FS].
func (t *commitTree) Open(name string) (fs.File, error) {
	n, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	f := &openNode{node: n}
	if !n.IsDir() {
		content, err := t.content(n)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		f.Reader = strings.NewReader(string(content))
	}
	return f, nil
}

// Stat implements [fs.StatFS].
func (t *commitTree) Stat(name string) (fs.FileInfo, error) {
	n, err := t.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Lstat implements [fs.ReadLinkFS].
func (t *commitTree) Lstat(name string) (fs.FileInfo, error) {
	n, err := t.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// ReadLink implements [fs.ReadLinkFS].
func (t *commitTree) ReadLink(name string) (string, error) {
	n, err := t.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if n.mode&fs.ModeSymlink == 0 {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return t.target(n)
}

// ReadDir implements [fs.ReadDirFS].
func (t *commitTree) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	if !n.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a folder")}
	}
	return slices.Clone(n.children), nil
}

// openNode is an open file or folder of a commit.
type openNode struct {
	node *node
	*strings.Reader
	offset int
}

func (f *openNode) Stat() (fs.FileInfo, error) { return f.node, nil }
func (f *openNode) Close() error               { return nil }

func (f *openNode) Read(p []byte) (int, error) {
	if f.Reader == nil {
		return 0, &fs.PathError{Op: "read", Path: f.node.name, Err: errors.New("is a folder")}
	}
	return f.Reader.Read(p)
}

func (f *openNode) ReadDir(count int) ([]fs.DirEntry, error) {
	left := f.node.children[f.offset:]
	if count > 0 {
		if len(left) == 0 {
			return nil, io.EOF
		}
		left = left[:min(count, len(left))]
	}
	f.offset += len(left)
	return slices.Clone(left), nil
}
