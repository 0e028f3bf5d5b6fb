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

	"github.com/fluxover/fluxover/reconcile/source"
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
	// remotes are the URLs of the clone's remotes.
	remotes []string
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
		if t.remotes, err = remoteURLs(repo); err != nil {
			return nil, fmt.Errorf("read the remotes of %s: %w", dir, err)
		}
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
	if err := w.openable(name); err != nil {
		return nil, err
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

// openable refuses what is neither a file nor a folder: to open a named pipe waits for
// whoever writes to it, and to open a device may do anything. Git holds neither.
func (w workingFiles) openable(name string) error {
	info, err := fs.Stat(w.FS, name)
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("it is neither a file nor a folder")}
	}
	return err
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
	if err := w.openable(name); err != nil {
		return nil, err
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

// Limits on the tree of a commit.
const (
	maxTreeEntries = 500_000
	maxTreeDepth   = 100
)

// commitTree reads the folders of a commit; files are read as they are needed.
type commitTree struct {
	repo    *git.Repository
	files   *source.Files
	entries int
}

func newCommitTree(ctx context.Context, repo *git.Repository, commit *object.Commit) (*source.Files, error) {
	t := &commitTree{repo: repo, files: source.NewFiles(commit.Committer.When)}
	err := t.add(ctx, ".", commit.TreeHash, 0)
	t.files.Sort()
	return t.files, err
}

// add reads a folder of a commit.
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
		if t.entries++; t.entries > maxTreeEntries {
			return fmt.Errorf("it holds more than %d files", maxTreeEntries)
		}
		if !fs.ValidPath(e.Name) || e.Name == "." || strings.Contains(e.Name, "/") || filepath.Base(e.Name) != e.Name {
			return fmt.Errorf("folder %s: a name in it is not allowed", dir)
		}
		at := path.Join(dir, e.Name)
		if err := t.put(at, e); err != nil {
			return err
		}
		if e.Mode == filemode.Dir {
			if err := t.add(ctx, at, e.Hash, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// put adds one entry of a folder; submodules are empty folders.
func (t *commitTree) put(at string, e object.TreeEntry) error {
	mode := fs.FileMode(0o644)
	switch e.Mode {
	case filemode.Dir, filemode.Submodule:
		return t.files.Put(at, fs.ModeDir|0o755, 0, nil)
	case filemode.Symlink:
		mode = fs.ModeSymlink | 0o777
	case filemode.Executable:
		mode = 0o755
	}
	size, err := t.repo.Storer.EncodedObjectSize(e.Hash)
	if err != nil {
		return fmt.Errorf("file %s: %w", at, err)
	}
	return t.files.Put(at, mode, size, func() ([]byte, error) { return blob(t.repo, e.Hash, size) })
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
