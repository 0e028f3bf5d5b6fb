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
	if err := mustBeFolder(dir); err != nil {
		return nil, err
	}
	repo, err := openRepository(dir)
	if err != nil {
		return nil, err
	}
	bare := false
	if repo != nil {
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
	t.FS, err = openFiles(dir)
	return t, err
}

func mustBeFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("open checkout: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("open checkout %s: it is no folder", dir)
	}
	return nil
}

// openFiles gives the files of a folder as they are, without Git's own.
func openFiles(dir string) (fs.FS, error) {
	// The root keeps links inside the folder; it is closed when the tree is
	// no longer used.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open checkout: %w", err)
	}
	return workingFiles{root.FS()}, nil
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

// fileTree is a tree of files whose content is read as it is needed: that of a
// commit, from Git's objects, or one that was saved.
type fileTree struct {
	nodes   map[string]*node
	touched time.Time
}

// node is a file, link or folder; submodules are empty folders.
type node struct {
	name string
	mode fs.FileMode
	size int64
	when time.Time
	// read gives a file's content, or where a link leads to.
	read     func() ([]byte, error)
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

func newFileTree() *fileTree {
	return &fileTree{nodes: map[string]*node{".": {name: ".", mode: fs.ModeDir | 0o755}}}
}

// put adds a file or link and the folders above it.
func (t *fileTree) put(name string, mode fs.FileMode, content []byte) error {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("%q is no path in a repository", name)
	}
	dir := "."
	for part := range strings.SplitSeq(path.Dir(name), "/") {
		below := path.Join(dir, part)
		if t.nodes[below] == nil {
			t.link(dir, &node{name: part, mode: fs.ModeDir | 0o755, when: t.touched})
		}
		if dir = below; !t.nodes[dir].IsDir() {
			return fmt.Errorf("%q lies below a file", name)
		}
	}
	if t.nodes[name] != nil {
		return fmt.Errorf("%q is there twice", name)
	}
	t.link(dir, &node{name: path.Base(name), mode: mode, when: t.touched, size: int64(len(content)), read: func() ([]byte, error) { return content, nil }})
	return nil
}

// link puts a node into a folder.
func (t *fileTree) link(dir string, n *node) {
	t.nodes[path.Join(dir, n.name)] = n
	t.nodes[dir].children = append(t.nodes[dir].children, n)
}

// sort orders every folder.
func (t *fileTree) sort() {
	for _, n := range t.nodes {
		slices.SortFunc(n.children, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
}

func newCommitTree(ctx context.Context, repo *git.Repository, commit *object.Commit) (*fileTree, error) {
	t := newFileTree()
	t.touched = commit.Committer.When
	err := t.add(ctx, repo, ".", commit.TreeHash, 0)
	t.sort()
	return t, err
}

// add reads a folder of a commit.
func (t *fileTree) add(ctx context.Context, repo *git.Repository, dir string, hash plumbing.Hash, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > maxTreeDepth {
		return fmt.Errorf("its folders are nested deeper than %d", maxTreeDepth)
	}
	tree, err := repo.TreeObject(hash)
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
		n := &node{name: e.Name, when: t.touched}
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
			if n.size, err = repo.Storer.EncodedObjectSize(e.Hash); err != nil {
				return fmt.Errorf("file %s: %w", path.Join(dir, e.Name), err)
			}
			n.read = func() ([]byte, error) { return blob(repo, e.Hash, n.size) }
		}
		at := path.Join(dir, e.Name)
		if t.nodes[at] != nil {
			return fmt.Errorf("folder %s: a name stands twice in it", dir)
		}
		t.link(dir, n)
		if e.Mode == filemode.Dir {
			if err := t.add(ctx, repo, at, e.Hash, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// blob reads the content of a file of a commit.
func blob(repo *git.Repository, hash plumbing.Hash, size int64) ([]byte, error) {
	b, err := repo.BlobObject(hash)
	if err != nil {
		return nil, err
	}
	r, err := b.Reader()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // only read
	return io.ReadAll(io.LimitReader(r, size))
}

// find follows links, also in the middle of a path, but never out of the tree;
// the last one only if follow is set.
func (t *fileTree) find(op, name string, follow bool) (*node, error) {
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

func (t *fileTree) target(n *node) (string, error) {
	if n.size > maxLinkTarget {
		return "", errors.New("the link is too long")
	}
	content, err := n.read()
	return string(content), err
}

// Open implements [fs.FS].
func (t *fileTree) Open(name string) (fs.File, error) {
	n, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	f := &openNode{node: n}
	if !n.IsDir() {
		content, err := n.read()
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		f.Reader = strings.NewReader(string(content))
	}
	return f, nil
}

// Stat implements [fs.StatFS].
func (t *fileTree) Stat(name string) (fs.FileInfo, error) {
	n, err := t.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Lstat implements [fs.ReadLinkFS].
func (t *fileTree) Lstat(name string) (fs.FileInfo, error) {
	n, err := t.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// ReadLink implements [fs.ReadLinkFS].
func (t *fileTree) ReadLink(name string) (string, error) {
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
func (t *fileTree) ReadDir(name string) ([]fs.DirEntry, error) {
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
