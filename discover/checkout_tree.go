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
	"strings"
	"sync"
	"time"

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
// a bare repository at its HEAD. Nothing outside of the folder is read. With an error
// that is [source.ErrTooLarge] the checkout is given without its files.
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
		files, err := newCommitTree(ctx, repo, commit)
		if err != nil {
			return t, fmt.Errorf("read commit %s of %s: %w", t.head, filepath.Base(filepath.Clean(dir)), err)
		}
		t.FS = files
		return t, nil
	}
	files, err := openFiles(ctx, dir)
	if err != nil {
		return t, err
	}
	t.FS = files
	return t, nil
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

// openFiles gives the files of a folder as they are, without Git's own. An error that
// is [source.ErrTooLarge] says that it holds more than is read.
func openFiles(ctx context.Context, dir string) (*source.Files, error) {
	// The root keeps links inside the folder; it is closed when the tree is
	// no longer used.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open checkout: %w", err)
	}
	d := &diskTree{treeList: newTreeList(time.Time{}), open: []openFolder{{".", root}}}
	if err := d.add(ctx, ".", root, 0); err != nil {
		return nil, fmt.Errorf("open checkout %s: %w", filepath.Base(filepath.Clean(dir)), err)
	}
	d.files.Sort()
	return d.files, nil
}

func branchCommit(repo *git.Repository, branch string) (plumbing.Hash, bool) {
	for _, name := range []plumbing.ReferenceName{plumbing.NewBranchReferenceName(branch), plumbing.NewRemoteReferenceName("origin", branch)} {
		if ref, err := repo.Reference(name, true); err == nil {
			return ref.Hash(), true
		}
	}
	return plumbing.ZeroHash, false
}

// Limits on a tree, whose folders count as its files do.
const (
	maxTreeEntries = 500_000
	maxTreeDepth   = 100
	maxTreeNames   = 128 << 20 // bytes of all paths together
)

// treeList gathers a tree within the limits.
type treeList struct {
	files          *source.Files
	entries, names int
}

func newTreeList(touched time.Time) treeList { return treeList{files: source.NewFiles(touched)} }

// count takes one more path into account; [source.ErrTooLarge].
func (t *treeList) count(at string) error {
	t.entries++
	t.names += len(at)
	switch {
	case t.entries > maxTreeEntries:
		return fmt.Errorf("%w: it holds more than %d files and folders", source.ErrTooLarge, maxTreeEntries)
	case t.names > maxTreeNames:
		return fmt.Errorf("%w: the paths of its files are longer than %d bytes together", source.ErrTooLarge, maxTreeNames)
	}
	return nil
}

// enter is called for each folder before what it holds is listed.
func (t *treeList) enter(ctx context.Context, depth int) error {
	if depth > maxTreeDepth {
		return fmt.Errorf("%w: its folders are nested deeper than %d", source.ErrTooLarge, maxTreeDepth)
	}
	return ctx.Err()
}

// diskTree lists a folder of the disk; files are read as they are needed. No link is
// followed by it: [source.Files] does that, inside the tree.
type diskTree struct {
	treeList
	mu sync.Mutex
	// open are the folders down to the one from which a file was read last, so that
	// no path is opened from the top for every file.
	open []openFolder
}

type openFolder struct {
	name string
	root *os.Root
}

// entriesAtATime is how many entries of a folder are read at a time, which bounds what a folder
// of very many takes.
const entriesAtATime = 1000

// add lists a folder, which root has open.
func (d *diskTree) add(ctx context.Context, dir string, root *os.Root, depth int) error {
	if err := d.enter(ctx, depth); err != nil {
		return err
	}
	f, err := root.Open(".")
	if errors.Is(err, fs.ErrPermission) && dir != "." {
		return nil // it is said where it is looked into
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	for {
		entries, err := f.ReadDir(entriesAtATime)
		for _, e := range entries {
			if dir == "." && e.Name() == ".git" {
				continue
			}
			if err := d.put(ctx, dir, e.Name(), root, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("folder %s: %w", dir, err)
		}
	}
}

// put adds one entry of a folder, and what lies below it. What is gone by now is left out.
func (d *diskTree) put(ctx context.Context, dir, name string, root *os.Root, depth int) error {
	at := path.Join(dir, name)
	if err := d.count(at); err != nil {
		return err
	}
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("file %s: %w", at, err)
	case info.Mode()&fs.ModeSymlink != 0:
		return d.files.Put(at, info.Mode(), 0, func() ([]byte, error) {
			target, err := d.link(dir, name)
			return []byte(target), err
		})
	case !info.IsDir():
		return d.files.Put(at, info.Mode(), info.Size(), func() ([]byte, error) { return d.read(dir, name, info) })
	}
	below, err := root.OpenRoot(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil { // it is said where it is looked into
		return d.files.Put(at, info.Mode(), 0, func() ([]byte, error) { return nil, err })
	}
	defer func() { _ = below.Close() }() // only read
	if err := d.files.Put(at, info.Mode(), 0, nil); err != nil {
		return err
	}
	return d.add(ctx, at, below, depth+1)
}

// folder opens a folder, from the one that was opened last as far as their ways are one.
func (d *diskTree) folder(dir string) (*os.Root, error) {
	var parts []string
	if dir != "." {
		parts = strings.Split(dir, "/")
	}
	same := 1
	for same < len(d.open) && same <= len(parts) && d.open[same].name == parts[same-1] {
		same++
	}
	for _, f := range d.open[same:] {
		_ = f.root.Close() // only read
	}
	d.open = d.open[:same]
	for _, name := range parts[same-1:] {
		below, err := d.open[len(d.open)-1].root.OpenRoot(name)
		if err != nil {
			return nil, err
		}
		d.open = append(d.open, openFolder{name, below})
	}
	return d.open[len(d.open)-1].root, nil
}

func (d *diskTree) link(dir, name string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	root, err := d.folder(dir)
	if err != nil {
		return "", err
	}
	return root.Readlink(name)
}

// read gives the content of a file as it was listed. To open a named pipe waits for
// whoever writes to it, and to open a device may do anything: Git holds neither.
func (d *diskTree) read(dir, name string, was fs.FileInfo) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	root, err := d.folder(dir)
	if err != nil {
		return nil, err
	}
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is neither a file nor a folder")
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	content, err := io.ReadAll(io.LimitReader(f, was.Size()+1))
	if err == nil && int64(len(content)) > was.Size() {
		return nil, errors.New("it grew while the folder was read")
	}
	return content, err
}

// commitTree reads the folders of a commit; files are read as they are needed.
type commitTree struct {
	treeList
	repo *git.Repository
	// trees and sizes are what was read before: one object may stand in very many places.
	trees map[plumbing.Hash]*object.Tree
	sizes map[plumbing.Hash]int64
}

// newCommitTree lists a commit. An error that is [source.ErrTooLarge] says that it holds
// more than is read.
func newCommitTree(ctx context.Context, repo *git.Repository, commit *object.Commit) (*source.Files, error) {
	t := &commitTree{newTreeList(commit.Committer.When), repo, map[plumbing.Hash]*object.Tree{}, map[plumbing.Hash]int64{}}
	if err := t.add(ctx, ".", commit.TreeHash, 0); err != nil {
		return nil, err
	}
	t.files.Sort()
	return t.files, nil
}

// add reads a folder of a commit.
func (t *commitTree) add(ctx context.Context, dir string, hash plumbing.Hash, depth int) error {
	if err := t.enter(ctx, depth); err != nil {
		return err
	}
	tree := t.trees[hash]
	if tree == nil {
		var err error
		if tree, err = t.repo.TreeObject(hash); err != nil {
			return fmt.Errorf("folder %s: %w", dir, err)
		}
		t.trees[hash] = tree
	}
	for _, e := range tree.Entries {
		at := path.Join(dir, e.Name)
		if err := t.count(at); err != nil {
			return err
		}
		if !fs.ValidPath(e.Name) || e.Name == "." || strings.Contains(e.Name, "/") || filepath.Base(e.Name) != e.Name {
			return fmt.Errorf("folder %s: a name in it is not allowed", dir)
		}
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
	size, known := t.sizes[e.Hash]
	if !known {
		var err error
		if size, err = t.repo.Storer.EncodedObjectSize(e.Hash); err != nil {
			return fmt.Errorf("file %s: %w", at, err)
		}
		t.sizes[e.Hash] = size
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
