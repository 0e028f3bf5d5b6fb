package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Ancestry compares two commits by their full hashes: behind is how many
// commits are reachable from to but not from from (as `git rev-list --count
// from..to`), isAncestor whether from is reachable from to (a commit is its
// own ancestor). Commits are fetched without files where the server can do
// that, and kept: a later question costs only what is new, and nothing if both
// are known. A commit that the server does not show is an
// ErrReferenceNotFound.
func (s *Store) Ancestry(ctx context.Context, r Remote, from, to string) (behind int, isAncestor bool, err error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("compare commits %s and %s of %s: %w", from, to, SafeURL(r.URL), err)
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	a, err := bareCommit(from)
	if err != nil {
		return 0, false, err
	}
	b, err := bareCommit(to)
	if err != nil {
		return 0, false, err
	}
	behind, isAncestor, err = s.ancestry(ctx, r, plumbing.NewHash(a.SHA), plumbing.NewHash(b.SHA), "")
	if err == nil && behind < 0 {
		err = fmt.Errorf("%w: commit %s is in no history that the server shows", ErrReferenceNotFound, a.SHA)
	}
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		err = ctx.Err() // whatever that made of what was under way
	}
	if err != nil {
		return 0, false, fmt.Errorf("compare commits %s and %s of %s: %w", from, to, SafeURL(r.URL), err)
	}
	return behind, isAncestor, nil
}

// ancestry is Ancestry for commits; behind is -1 if from is not known. The
// history is that of the branch, or of all branches and tags if none is given.
func (s *Store) ancestry(ctx context.Context, r Remote, from, to plumbing.Hash, branch string) (behind int, isAncestor bool, err error) {
	unlock, err := s.lock(ctx, r.key()+"-history")
	if err != nil {
		return 0, false, err
	}
	defer unlock()
	c, err := s.openClone(r.key(), "history")
	if err != nil {
		return 0, false, err
	}
	defer func() { c.close() }()
	behind, isAncestor, err = s.ancestryIn(ctx, r, c, from, to, branch)
	if c.held && ctx.Err() == nil && (errors.Is(err, errBroken) || c.unreadable(from) || c.unreadable(to)) {
		// What is kept is broken: once more from nothing.
		if err := s.renew(c, r.key(), "history"); err != nil {
			return 0, false, err
		}
		return s.ancestryIn(ctx, r, c, from, to, branch)
	}
	return behind, isAncestor, err
}

// errBroken: a commit that leads on from one that is there cannot be read.
var errBroken = fmt.Errorf("%w: its history is not whole", ErrInvalid)

// ancestryIn is ancestry in an open clone.
func (s *Store) ancestryIn(ctx context.Context, r Remote, c *clone, from, to plumbing.Hash, branch string) (behind int, isAncestor bool, err error) {
	// A commit is only there with its whole history: fetches have no depth.
	if !c.hasCommit(to) || !c.hasCommit(from) {
		if err := s.fetchHistory(ctx, r, c, branch); err != nil {
			return 0, false, err
		}
	}
	if !c.hasCommit(to) {
		return 0, false, fmt.Errorf("%w: commit %s is in no history that the server shows", ErrReferenceNotFound, to)
	}
	if !c.hasCommit(from) {
		return -1, false, nil
	}
	old, err := reachable(ctx, c, from, nil)
	if err != nil {
		return 0, false, err
	}
	fresh, err := reachable(ctx, c, to, old)
	if err != nil {
		return 0, false, err
	}
	if old[to] {
		return 0, from == to, nil
	}
	isAncestor, err = leadsTo(c, fresh, from)
	return len(fresh), isAncestor, err
}

// leadsTo says whether one of the commits has target as a parent. Since the
// commits are all that to reaches outside target's own history, target is an
// ancestor of to exactly then.
func leadsTo(c *clone, commits map[plumbing.Hash]bool, target plumbing.Hash) (bool, error) {
	for sha := range commits {
		commit, err := object.GetCommit(c.storage, sha)
		if err != nil {
			return false, fmt.Errorf("%w: read commit %s: %w", errBroken, sha, err)
		}
		for _, p := range commit.ParentHashes {
			if p == target {
				return true, nil
			}
		}
	}
	return false, nil
}

// reachable gives the commits that start reaches, itself included, without
// those in except and what they reach.
func reachable(ctx context.Context, c *clone, start plumbing.Hash, except map[plumbing.Hash]bool) (map[plumbing.Hash]bool, error) {
	found := map[plumbing.Hash]bool{}
	next := []plumbing.Hash{start}
	for len(next) > 0 {
		sha := next[len(next)-1]
		next = next[:len(next)-1]
		if found[sha] || except[sha] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		commit, err := object.GetCommit(c.storage, sha)
		if err != nil {
			return nil, fmt.Errorf("%w: read commit %s: %w", errBroken, sha, err)
		}
		found[sha] = true
		next = append(next, commit.ParentHashes...)
	}
	return found, nil
}

// fetchHistory brings the history of the branch, or of everything, up to date.
func (s *Store) fetchHistory(ctx context.Context, r Remote, c *clone, branch string) error {
	se, err := s.connect(ctx, r)
	if err != nil {
		return err
	}
	defer se.Close()
	tips, err := branchTips(se.refs, branch)
	if err != nil {
		return err
	}
	var missing []plumbing.Hash
	seen := map[plumbing.Hash]bool{}
	for _, tip := range tips {
		if _, err := c.storage.EncodedObject(plumbing.AnyObject, tip); err != nil && !seen[tip] {
			seen[tip] = true
			missing = append(missing, tip)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	err = s.fetchPack(ctx, se, c, want{shas: missing, have: c.kept(32), commitsOnly: true})
	if err != nil && c.held && ctx.Err() == nil && !errors.Is(err, ErrTooLarge) && !errors.Is(classify(err, se.auth), ErrNetwork) {
		// As in fetchTree: what is kept may be broken.
		again, err := s.connect(ctx, r)
		if err != nil {
			return err
		}
		defer again.Close()
		if err := s.renew(c, r.key(), "history"); err != nil {
			return err
		}
		if err := s.fetchPack(ctx, again, c, want{shas: tips, commitsOnly: true}); err != nil {
			return classify(err, se.auth)
		}
	} else if err != nil {
		return classify(err, se.auth)
	}
	for _, tip := range tips {
		if c.hasCommit(tip) {
			if err := c.remember(tip); err != nil {
				return fmt.Errorf("remember what was fetched: %w", err)
			}
		}
	}
	return nil
}
