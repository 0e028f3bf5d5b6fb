package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// clone is a kept bare repository: one per URL, credential and purpose.
type clone struct {
	dir     string
	storage *filesystem.Storage
	// held is true if it held anything when it was opened.
	held bool
}

// maxPacks is how many fetches a clone gathers before it starts anew: each
// adds a pack, and looking an object up asks every pack.
const maxPacks = 50

// keptRefs is where a clone remembers the commits it has whole.
const keptRefs = "refs/fluxover/"

// openClone opens a kept clone, empty if there is none, it has grown beyond the
// bound, or a commit that it is to have cannot be read in it. The caller holds its
// lock.
func (s *Store) openClone(key, purpose string) (*clone, error) {
	dir := filepath.Join(s.dir, "clones", key+"-"+purpose)
	size, packs := measure(dir)
	if size > s.options.MaxCloneBytes || packs > maxPacks {
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("throw a grown clone away: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a clone: %w", err)
	}
	storage := filesystem.NewStorageWithOptions(osfs.New(dir, osfs.WithBoundOS()), cache.NewObjectLRU(8*cache.MiByte),
		filesystem.Options{LargeObjectThreshold: 1 << 20})
	c := &clone{dir: dir, storage: storage, held: packs > 0 || size > 0}
	if c.held && !c.whole() {
		s.options.Log.Debug("throwing a broken clone away", "purpose", purpose)
		if err := c.reset(); err != nil {
			return nil, fmt.Errorf("throw a broken clone away: %w", err)
		}
		return s.openClone(key, purpose)
	}
	return c, nil
}

// renew empties a clone that turned out to be broken, and opens it again.
func (s *Store) renew(c *clone, key, purpose string) error {
	if err := c.reset(); err != nil {
		return fmt.Errorf("throw a broken clone away: %w", err)
	}
	fresh, err := s.openClone(key, purpose)
	if err != nil {
		return err
	}
	*c = *fresh
	return nil
}

// remembered are the names of the commits that the clone is to have.
func (c *clone) remembered() []fs.DirEntry {
	entries, _ := os.ReadDir(filepath.Join(c.dir, filepath.FromSlash(keptRefs))) // there is none yet
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !plumbing.IsHash(e.Name()) })
}

// whole reports whether the commits that are remembered can be read. What the
// machine fails to read just now (no file descriptor is left, say) is not broken.
func (c *clone) whole() bool {
	for _, e := range c.remembered() {
		_, err := object.GetCommit(c.storage, plumbing.NewHash(e.Name()))
		var machine *fs.PathError
		if err != nil && (!errors.As(err, &machine) || errors.Is(err, fs.ErrNotExist)) {
			return false
		}
	}
	return true
}

// unreadable reports whether a commit is there and cannot be read.
func (c *clone) unreadable(sha plumbing.Hash) bool {
	_, err := object.GetCommit(c.storage, sha)
	return err != nil && !errors.Is(err, plumbing.ErrObjectNotFound)
}

func measure(dir string) (size int64, packs int) {
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			// Not there, or going: nothing to count.
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
			if strings.HasSuffix(p, ".pack") {
				packs++
			}
		}
		return nil
	})
	return size, packs
}

func (c *clone) close() {
	_ = c.storage.Close() // only read from; nothing is lost
}

// reset empties a clone that turned out to be broken.
func (c *clone) reset() error {
	c.close()
	return os.RemoveAll(c.dir)
}

func (c *clone) hasCommit(sha plumbing.Hash) bool {
	_, err := object.GetCommit(c.storage, sha)
	return err == nil
}

// kept are the commits remembered, most recently remembered first, at most n.
func (c *clone) kept(n int) []plumbing.Hash {
	type ref struct {
		sha plumbing.Hash
		at  int64
	}
	var refs []ref
	for _, e := range c.remembered() {
		if info, err := e.Info(); err == nil {
			refs = append(refs, ref{plumbing.NewHash(e.Name()), info.ModTime().UnixNano()})
		}
	}
	sort.Slice(refs, func(i, j int) bool { return refs[i].at > refs[j].at })
	var list []plumbing.Hash
	for _, r := range refs {
		if len(list) < n && c.hasCommit(r.sha) {
			list = append(list, r.sha)
		}
	}
	return list
}

func (c *clone) remember(sha plumbing.Hash) error {
	return c.storage.SetReference(plumbing.NewHashReference(plumbing.ReferenceName(keptRefs+sha.String()), sha))
}

// want is what a fetch asks for.
type want struct {
	shas []plumbing.Hash
	// depth 1 asks for the commits alone, 0 for their history.
	depth int
	// have are commits that need not be sent again. With depth they are held
	// without their history.
	have []plumbing.Hash
	// commitsOnly leaves files out, if the server can.
	commitsOnly bool
}

// fetchPack asks the session for a pack and stores its objects in the clone. A
// session gives one pack.
func (s *Store) fetchPack(ctx context.Context, se *session, c *clone, w want) error {
	req := packp.NewUploadPackRequestFromCapabilities(se.refs.Capabilities)
	req.Wants = append(req.Wants, w.shas...)
	req.Haves = append(req.Haves, w.have...)
	if se.wholeOnly {
		// go-git cannot read what such servers answer to "have" lines.
		if err := req.Capabilities.Set(capability.MultiACKDetailed); err != nil {
			return fmt.Errorf("prepare the fetch: %w", err)
		}
		req.Haves, w.have = nil, nil
	}
	if w.depth > 0 && se.refs.Capabilities.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(w.depth)
		if err := req.Capabilities.Set(capability.Shallow); err != nil {
			return fmt.Errorf("prepare the fetch: %w", err)
		}
		req.Shallows = append(req.Shallows, w.have...)
		if len(req.Haves) > 0 {
			// Without history the server sees no relation between the
			// commits, and sends everything, unless it may refer to objects
			// outside the pack. go-git drops the capability because its pack
			// files cannot; its parser can.
			if err := req.Capabilities.Set(capability.ThinPack); err != nil {
				return fmt.Errorf("prepare the fetch: %w", err)
			}
		}
	} else if w.depth > 0 {
		// What is held has no history, so it must not count as held.
		req.Haves = nil
	}
	if w.commitsOnly && se.refs.Capabilities.Supports(capability.Filter) {
		if err := req.Capabilities.Set(capability.Filter); err != nil {
			return fmt.Errorf("prepare the fetch: %w", err)
		}
		req.Filter = packp.FilterTreeDepth(0)
	}
	response, err := se.UploadPack(ctx, req)
	if err != nil {
		return err
	}
	defer response.Close()
	var reader io.Reader = response
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		reader = sideband.NewDemuxer(sideband.Sideband64k, reader)
	case req.Capabilities.Supports(capability.Sideband):
		reader = sideband.NewDemuxer(sideband.Sideband, reader)
	}
	limited := &limitedReader{r: reader, left: s.options.MaxPackBytes, ctx: ctx}
	var target storer.Storer = c.storage
	if req.Capabilities.Supports(capability.ThinPack) {
		target = looseStorer{c.storage}
	}
	err = packfile.UpdateObjectStorage(target, limited)
	if errors.Is(err, packfile.ErrEmptyPackfile) {
		// The server has nothing that we do not have.
		err = nil
	}
	if limited.exceeded {
		return fmt.Errorf("%w: the pack has more than %d bytes", ErrTooLarge, s.options.MaxPackBytes)
	}
	return err
}

// limitedReader fails beyond its limit instead of ending, and when the context
// ends.
type limitedReader struct {
	r        io.Reader
	left     int64
	exceeded bool
	ctx      context.Context
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		l.exceeded = true
		return 0, ErrTooLarge
	}
	return n, err
}

// looseStorer stores the objects of a pack one by one, which lets deltas
// refer to objects that are stored already. It hides that packs can be stored
// whole.
type looseStorer struct{ storer.Storer }
