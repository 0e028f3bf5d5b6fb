package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"
)

var (
	// ErrRefused: the server took the commit and did not let it onto the
	// branch, as a protected branch or a hook does.
	ErrRefused = errors.New("push refused")
	// ErrBusy: others pushed to the branch each time that Push had a commit
	// ready.
	ErrBusy = errors.New("the branch moved each time")
)

// pushTries is how often Push begins anew because the branch moved.
const pushTries = 8

// Change is what Push brings to a branch, in one commit.
type Change struct {
	// Branch to push to. It is begun in a repository that holds no commit at
	// all; in any other it must exist.
	Branch string
	// Message of the commit.
	Message string
	// Author and Email of the commit, as author and committer.
	Author, Email string
	// Edit is given the files at the branch's tip and returns what changes: new
	// content by path ("a/b.yaml"), nil to remove a file. Files not named stay.
	// It is called again, with newer files, when the branch moved meanwhile, so
	// it must depend on nothing but what it is given.
	Edit func(files fs.FS) (map[string][]byte, error)
}

// Push brings a change to a branch in one commit on top of its tip, and never
// rewrites anything: when somebody else's commit comes first it begins anew on
// top of that, at most eight times (ErrBusy). A change that changes nothing
// makes no commit: pushed is then false and the revision that of the tip. After
// an error the branch holds the commit or not, and Push may be called again.
// Beside the package's marks the error may be ErrRefused, or what Edit returned.
func (s *Store) Push(ctx context.Context, r Remote, c Change) (rev Revision, pushed bool, err error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return Revision{}, false, fmt.Errorf("push to branch %s of %s: %w", c.Branch, SafeURL(r.URL), err)
	}
	defer end()
	for try := 1; ; try++ {
		rev, pushed, err = s.pushOnce(ctx, r, c)
		if err == nil || !errors.Is(err, errMoved) {
			break
		}
		if try == pushTries {
			err = fmt.Errorf("%w, %d times", ErrBusy, try)
			break
		}
		timer := time.NewTimer(time.Duration(try) * 50 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			err = ctx.Err()
		case <-timer.C:
			continue
		}
		break
	}
	if err != nil {
		return Revision{}, false, fmt.Errorf("push to branch %s of %s: %w", c.Branch, SafeURL(r.URL), err)
	}
	return rev, pushed, nil
}

// errMoved: the branch is no longer at the commit that was built upon.
var errMoved = errors.New("the branch moved")

// IsEmpty reports whether an error means that the repository is there and
// holds no commit at all.
func IsEmpty(err error) bool { return errors.Is(err, transport.ErrEmptyRemoteRepository) }

func (s *Store) pushOnce(ctx context.Context, r Remote, c Change) (Revision, bool, error) {
	base, old, top, err := s.tip(ctx, r, c.Branch)
	if err != nil {
		return Revision{}, false, err
	}
	if base != nil {
		defer base.Close()
	}
	changes, err := s.edit(base, c.Edit)
	if err != nil {
		return Revision{}, false, err
	}
	made, sha, err := s.commit(ctx, r, old, top, changes, c)
	if err != nil {
		return Revision{}, false, err
	}
	if sha == old {
		return Revision{SHA: old.String(), Name: c.Branch}, false, nil
	}
	rev := Revision{SHA: sha.String(), Name: c.Branch}
	err = s.send(ctx, r, made, packp.Command{Name: plumbing.NewBranchReferenceName(c.Branch), Old: old, New: sha})
	if err == nil {
		s.options.Log.Debug("pushed", "url", SafeURL(r.URL), "revision", rev.String(), "files", len(changes))
		return rev, true, nil
	}
	if errors.Is(err, errMoved) || ctx.Err() != nil {
		return Revision{}, false, err
	}
	// The server's words for "somebody was faster" differ, and an answer may be
	// lost on its way: where the branch is now tells.
	now, resolveErr := s.Resolve(ctx, r, Reference{Branch: c.Branch})
	switch {
	case resolveErr == nil && now.SHA == rev.SHA:
		return rev, true, nil
	case resolveErr == nil && now.SHA != old.String():
		return Revision{}, false, errMoved
	}
	return Revision{}, false, err
}

// tip fetches what the branch holds; all is zero for an empty repository.
func (s *Store) tip(ctx context.Context, r Remote, branch string) (*Snapshot, plumbing.Hash, plumbing.Hash, error) {
	base, err := s.Fetch(ctx, r, Reference{Branch: branch})
	if IsEmpty(err) {
		return nil, plumbing.ZeroHash, plumbing.ZeroHash, nil
	}
	if err != nil {
		return nil, plumbing.ZeroHash, plumbing.ZeroHash, err
	}
	sha := plumbing.NewHash(base.Revision.SHA)
	var top plumbing.Hash
	err = s.withObjects(ctx, r, sha, branch, func(objects storer.EncodedObjectStorer) error {
		commit, err := object.GetCommit(objects, sha)
		if err != nil {
			return fmt.Errorf("%w: read commit %s: %w", ErrInvalid, sha, err)
		}
		top = commit.TreeHash
		return nil
	})
	if err != nil {
		return nil, plumbing.ZeroHash, plumbing.ZeroHash, errors.Join(err, base.Close())
	}
	return base, sha, top, nil
}

// withObjects gives access to the objects of a commit that was fetched. A kept
// clone may have been thrown away since; then the commit is fetched anew.
func (s *Store) withObjects(ctx context.Context, r Remote, sha plumbing.Hash, branch string, use func(storer.EncodedObjectStorer) error) error {
	unlock, err := s.lock(ctx, r.key()+"-objects")
	if err != nil {
		return err
	}
	defer unlock()
	c, err := s.openClone(r.key(), "objects")
	if err != nil {
		return err
	}
	defer c.close()
	if !c.hasCommit(sha) {
		ctx, cancel := context.WithTimeout(ctx, r.timeout())
		defer cancel()
		se, err := s.connect(ctx, r)
		if err != nil {
			return err
		}
		defer se.Close()
		if err := s.fetchCommit(ctx, r, se, c, sha, branch); err != nil {
			return classify(err, r.Auth)
		}
	}
	return use(c.storage)
}

// edit asks what changes.
func (s *Store) edit(base *Snapshot, edit func(fs.FS) (map[string][]byte, error)) (map[string][]byte, error) {
	if base != nil {
		return edit(base.Tree)
	}
	empty, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "empty-")
	if err != nil {
		return nil, fmt.Errorf("make an empty folder: %w", err)
	}
	defer os.RemoveAll(empty) // Open clears what is left
	return edit(os.DirFS(empty))
}

// commit makes the objects of a new commit; the commit is the old one when
// nothing changes.
func (s *Store) commit(ctx context.Context, r Remote, old, top plumbing.Hash, changes map[string][]byte, c Change) (*newObjects, plumbing.Hash, error) {
	for name := range changes {
		if !fs.ValidPath(name) || name == "." || slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return !safeName(part) }) {
			return nil, plumbing.ZeroHash, fmt.Errorf("%w: %q is no path for a file", ErrInvalid, name)
		}
	}
	made := &newObjects{storage: memory.NewStorage()}
	build := func(objects storer.EncodedObjectStorer) (err error) {
		made.old = objects
		top, err = made.folder(top, changes)
		return err
	}
	before := top
	var err error
	if old.IsZero() {
		err = build(memory.NewStorage())
	} else {
		err = s.withObjects(ctx, r, old, c.Branch, build)
	}
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	if top == before && !old.IsZero() || top.IsZero() && old.IsZero() {
		return made, old, nil
	}
	if top.IsZero() {
		// The last file goes: a commit of the empty tree.
		if top, err = made.store(&object.Tree{}); err != nil {
			return nil, plumbing.ZeroHash, err
		}
	}
	who := object.Signature{Name: c.Author, Email: c.Email, When: time.Now()}
	commit := &object.Commit{Author: who, Committer: who, Message: c.Message, TreeHash: top}
	if !old.IsZero() {
		commit.ParentHashes = []plumbing.Hash{old}
	}
	sha, err := made.store(commit)
	return made, sha, err
}

// newObjects gathers the objects of a commit that the server has not.
type newObjects struct {
	storage *memory.Storage
	old     storer.EncodedObjectStorer
	hashes  []plumbing.Hash
}

func (n *newObjects) store(o interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	encoded := n.storage.NewEncodedObject()
	if err := o.Encode(encoded); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("make a Git object: %w", err)
	}
	return n.keep(encoded)
}

func (n *newObjects) keep(encoded plumbing.EncodedObject) (plumbing.Hash, error) {
	sha, err := n.storage.SetEncodedObject(encoded)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("make a Git object: %w", err)
	}
	if !slices.Contains(n.hashes, sha) {
		n.hashes = append(n.hashes, sha)
	}
	return sha, nil
}

func (n *newObjects) blob(content []byte) (plumbing.Hash, error) {
	encoded := n.storage.NewEncodedObject()
	encoded.SetType(plumbing.BlobObject)
	w, err := encoded.Writer()
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("make a Git object: %w", err)
	}
	if _, err := w.Write(content); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("make a Git object: %w", err)
	}
	if err := w.Close(); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("make a Git object: %w", err)
	}
	return n.keep(encoded)
}

// folder gives the tree that comes of another (zero: an empty one) by changes,
// whose paths are relative to it; zero if no file is left. It works on the
// objects alone, so no link can lead it anywhere.
func (n *newObjects) folder(at plumbing.Hash, changes map[string][]byte) (plumbing.Hash, error) {
	if len(changes) == 0 {
		return at, nil
	}
	entries := map[string]object.TreeEntry{}
	if !at.IsZero() {
		tree, err := object.GetTree(n.old, at)
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("%w: read folder %s: %w", ErrInvalid, at, err)
		}
		for _, e := range tree.Entries {
			entries[e.Name] = e
		}
	}
	below := map[string]map[string][]byte{}
	for name, content := range changes {
		first, rest, deep := strings.Cut(name, "/")
		if deep {
			if below[first] == nil {
				below[first] = map[string][]byte{}
			}
			below[first][rest] = content
			continue
		}
		if content == nil {
			if entries[first].Mode != filemode.Dir {
				delete(entries, first)
			}
			continue
		}
		sha, err := n.blob(content)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		mode := filemode.Regular
		switch entries[first].Mode {
		case filemode.Dir, filemode.Submodule:
			return plumbing.ZeroHash, fmt.Errorf("%w: %s is a folder where a file is to be written", ErrInvalid, first)
		case filemode.Executable:
			mode = filemode.Executable
		}
		entries[first] = object.TreeEntry{Name: first, Mode: mode, Hash: sha}
	}
	for name, changes := range below {
		sub := plumbing.ZeroHash
		if e, there := entries[name]; there {
			if e.Mode != filemode.Dir {
				return plumbing.ZeroHash, fmt.Errorf("%w: %s is a file where a folder is to be", ErrInvalid, name)
			}
			sub = e.Hash
		}
		sha, err := n.folder(sub, changes)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if delete(entries, name); !sha.IsZero() {
			entries[name] = object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: sha}
		}
	}
	if len(entries) == 0 {
		return plumbing.ZeroHash, nil
	}
	tree := &object.Tree{}
	for _, e := range entries {
		tree.Entries = append(tree.Entries, e)
	}
	sort.Sort(object.TreeEntrySorter(tree.Entries))
	return n.store(tree)
}

// send gives the server the objects and asks it to move the branch. The error
// is errMoved if the branch is not where it is believed to be.
func (s *Store) send(ctx context.Context, r Remote, made *newObjects, command packp.Command) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	u, auth, err := endpoint(r)
	if err != nil {
		return err
	}
	var pack bytes.Buffer
	if _, err := packfile.NewEncoder(&pack, made.storage, false).Encode(made.hashes, 0); err != nil {
		return fmt.Errorf("make a pack: %w", err)
	}
	return within(ctx, func() error {
		return s.receivePack(ctx, u, auth, func(se transport.ReceivePackSession, refs *packp.AdvRefs) error {
			return sendPack(ctx, se, refs, auth, pack.Bytes(), command)
		})
	})
}

// MayPush asks the server whether it lets pushes begin, as it does not where a
// key or a password may only read (ErrAuth). Nothing is written. That a branch
// is protected, or what a hook says, a server tells only of a push itself.
func (s *Store) MayPush(ctx context.Context, r Remote) error {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return fmt.Errorf("ask to push to %s: %w", SafeURL(r.URL), err)
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	u, auth, err := endpoint(r)
	if err != nil {
		return err
	}
	err = within(ctx, func() error {
		return s.receivePack(ctx, u, auth, func(transport.ReceivePackSession, *packp.AdvRefs) error { return nil })
	})
	if err != nil {
		return fmt.Errorf("ask to push to %s: %w", SafeURL(r.URL), err)
	}
	return nil
}

// within returns at the latest when ctx ends: the SSH transport dials without
// a context.
func within(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, errMoved) {
		return ctx.Err()
	}
	return err
}

// receivePack opens a session that may push, and gives what the server says of
// its references.
func (s *Store) receivePack(ctx context.Context, u *url.URL, auth *Auth, use func(transport.ReceivePackSession, *packp.AdvRefs) error) error {
	d, err := s.dialer(ctx, u, auth)
	if err != nil {
		return classifyPush(err, auth)
	}
	se, err := d.NewReceivePackSession(d.endpoint, d.auth)
	if err != nil {
		return classifyPush(d.explain(err), auth)
	}
	// A session is no object for two goroutines: when ctx ends, what reads and
	// writes with it returns, and this closes it.
	defer se.Close()
	refs, err := se.AdvertisedReferencesContext(ctx)
	if err != nil {
		return classifyPush(err, auth)
	}
	return use(se, refs)
}

func sendPack(ctx context.Context, se transport.ReceivePackSession, refs *packp.AdvRefs, auth *Auth, pack []byte, command packp.Command) error {
	if at := refs.References[command.Name.String()]; at != command.Old {
		return errMoved
	}
	req := packp.NewReferenceUpdateRequestFromCapabilities(refs.Capabilities)
	req.Commands = []*packp.Command{&command}
	req.Packfile = io.NopCloser(bytes.NewReader(pack))
	report, err := se.ReceivePack(ctx, req)
	if report != nil && report.Error() != nil {
		return &classified{mark: ErrRefused, text: auth.scrub(report.Error().Error()), cause: opaque{report.Error()}}
	}
	return classifyPush(err, auth)
}

// classifyPush is classify, and knows how SSH servers say that a key may only
// read: in words of their own on stderr (GitHub, GitLab, Bitbucket, Gitea,
// sshd).
func classifyPush(err error, auth *Auth) error {
	marked := classify(err, auth)
	if !errors.Is(marked, ErrInvalid) {
		return marked
	}
	text := auth.scrub(err.Error())
	lower := strings.ToLower(text)
	for _, word := range []string{"read only", "read-only", "only read", "denied", "not allowed", "permission", "write access", "not authorized", "unauthorized", "forbidden"} {
		if strings.Contains(lower, word) {
			return &classified{mark: ErrAuth, text: text, cause: opaque{err}}
		}
	}
	return marked
}
