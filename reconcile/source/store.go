package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Options of a Store. Zero values mean the defaults.
type Options struct {
	// MaxTreeBytes is the most that the files of one commit may hold
	// together; default 1 GiB.
	MaxTreeBytes int64
	// MaxTreeFiles is the most files and folders of one commit; default
	// 200,000.
	MaxTreeFiles int
	// MaxPackBytes is the most that one fetch may transfer; default 1 GiB.
	MaxPackBytes int64
	// MaxBytes bounds the unpacked trees together: the least recently used
	// that nobody holds go first; default 8 GiB. Trees in use are never
	// removed, so it can be exceeded while they are.
	MaxBytes int64
	// MemoryBytes is how much of the trees is held in memory together; those
	// beyond are unpacked to files. Default none.
	MemoryBytes int64
	// MaxCloneBytes bounds each kept clone: one that has grown beyond is
	// thrown away before the next fetch; default 1 GiB.
	MaxCloneBytes int64
	// Log gets a debug line per fetch; default none.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	const gib = 1 << 30
	setDefault(&o.MaxTreeBytes, gib)
	setDefault(&o.MaxTreeFiles, 200_000)
	setDefault(&o.MaxPackBytes, gib)
	setDefault(&o.MaxBytes, 8*gib)
	setDefault(&o.MaxCloneBytes, gib)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Store fetches and keeps. It is safe for concurrent use.
type Store struct {
	dir     string
	options Options
	// owned keeps other processes out of dir while it is open.
	owned *os.File
	// close ends closing, and with it what is under way of fetches, pushes and looks at
	// the history, which flying counts.
	closing context.Context
	close   context.CancelFunc
	flying  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	clients map[string]*http.Client
	trees   map[string]*tree
	bytes   int64
	// memory is how much of bytes is in memory.
	memory  int64
	locks   map[string]*keyLock
	flights map[string]*flight
}

// keyLock serialises the work on one clone.
type keyLock struct {
	mu      sync.Mutex
	holders int
}

// tree is one unpacked commit.
type tree struct {
	// dir and root of a tree on disk, else memory.
	dir    string
	root   *os.Root
	memory *Files
	bytes  int64
	files  int
	// info is the commit without name and URL, which differ by caller.
	info     commitInfo
	holders  int
	lastUsed time.Time
}

// remove frees what the tree takes.
func (t *tree) remove() error {
	if t.memory != nil {
		return nil
	}
	return errors.Join(t.root.Close(), os.RemoveAll(t.dir))
}

func (t *tree) content() fs.FS {
	if t.memory != nil {
		return t.memory
	}
	return t.root.FS()
}

type commitInfo struct {
	sha, author, email, message string
	when                        time.Time
}

// ErrFolderInUse: another Store, of this or another process, has the folder.
var ErrFolderInUse = errors.New("the folder is in use")

// Open makes a Store in a folder, which is created. The folder belongs to this
// Store alone until Close (ErrFolderInUse if another has it); clones found in it are
// used again, trees are not.
func Open(dir string, o Options) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open the source store: %w", err)
	}
	s := &Store{
		dir: dir, options: o.withDefaults(),
		clients: map[string]*http.Client{}, trees: map[string]*tree{}, locks: map[string]*keyLock{},
		flights: map[string]*flight{},
	}
	s.closing, s.close = context.WithCancel(context.Background())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the source store: %w", err)
	}
	if s.owned, err = lockFolder(filepath.Join(dir, "lock")); err != nil {
		return nil, fmt.Errorf("open the source store: %w", err)
	}
	if err := s.prepare(); err != nil {
		s.owned.Close()
		return nil, fmt.Errorf("open the source store: %w", err)
	}
	return s, nil
}

// prepare clears what an earlier Store left and makes the folders.
func (s *Store) prepare() error {
	for _, sub := range []string{"trees", "tmp"} {
		if err := os.RemoveAll(filepath.Join(s.dir, sub)); err != nil {
			return fmt.Errorf("clear %s: %w", sub, err)
		}
	}
	for _, sub := range []string{"trees", "tmp", "clones"} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the fetches, pushes and looks at the history that are under way, waits until
// they have ended, and removes the unpacked trees, also those
// still held: their Snapshots must not be used from then on, and those of trees on disk
// give errors. Clones stay for the next Open. A second Close does nothing, and awaits nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.close()
	s.flying.Wait() // else they would write into a folder that is another's by then
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for key, t := range s.trees {
		errs = append(errs, t.remove())
		delete(s.trees, key)
	}
	s.bytes, s.memory = 0, 0
	for _, c := range s.clients {
		c.CloseIdleConnections()
	}
	return errors.Join(append(errs, s.owned.Close())...)
}

// errClosed is the answer of a closed Store.
var errClosed = errors.New("the source store is closed")

// begin notes that something is under way that Close has to end and to await: it has the
// context that is given back, and calls end in the end.
func (s *Store) begin(ctx context.Context) (during context.Context, end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errClosed
	}
	during, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.closing, cancel)
	s.flying.Add(1)
	return during, func() {
		stop()
		cancel()
		s.flying.Done()
	}, nil
}

// Snapshot is one commit's tree, held until Close.
type Snapshot struct {
	// URL as asked for, without password.
	URL string
	// Revision names the commit.
	Revision Revision
	// Author is the author's name, Email their address, Message the whole
	// message, When the committer's time.
	Author, Email, Message string
	When                   time.Time
	// Bytes and Files of the tree (files and folders).
	Bytes int64
	Files int
	// Tree is the commit's tree. It can follow and read symbolic links
	// (fs.ReadLinkFS) but never leaves the tree: a link that leads out gives
	// an error. Submodules are empty folders, LFS files their pointers.
	Tree fs.FS

	close func()
	once  sync.Once
}

// Close gives the tree up. The Tree must not be used after it. Closing again
// is harmless.
func (s *Snapshot) Close() error {
	s.once.Do(s.close)
	return nil
}

// hold takes a tree for a Snapshot; nil if it is not there.
func (s *Store) hold(key string) *tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trees[key]
	if t == nil {
		return nil
	}
	t.holders++
	t.lastUsed = time.Now()
	return t
}

// keep adds an unpacked tree, held once for whoever unpacked it, and makes
// room.
func (s *Store) keep(key string, t *tree) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	t.holders, t.lastUsed = 1, time.Now()
	s.trees[key] = t
	s.bytes += t.bytes
	if t.memory != nil {
		s.memory += t.bytes
	}
	s.evict()
	return nil
}

func (s *Store) giveUp(t *tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveUpLocked(t)
}

func (s *Store) giveUpLocked(t *tree) {
	t.holders--
	t.lastUsed = time.Now()
	s.evict()
}

// evict removes unheld trees, the longest unused first, until the bound holds.
// The lock is held.
func (s *Store) evict() {
	for s.bytes > s.options.MaxBytes {
		oldestKey := ""
		var oldest *tree
		for key, t := range s.trees {
			if t.holders == 0 && (oldest == nil || t.lastUsed.Before(oldest.lastUsed)) {
				oldestKey, oldest = key, t
			}
		}
		if oldest == nil {
			return
		}
		delete(s.trees, oldestKey)
		s.bytes -= oldest.bytes
		if oldest.memory != nil {
			s.memory -= oldest.bytes
		}
		if err := oldest.remove(); err != nil {
			s.options.Log.Warn("cannot remove an unused tree", "error", err)
		}
	}
}

func (s *Store) snapshot(r Remote, rev Revision, t *tree) *Snapshot {
	return &Snapshot{
		URL: SafeURL(r.URL), Revision: rev,
		Author: t.info.author, Email: t.info.email, Message: t.info.message, When: t.info.when,
		Bytes: t.bytes, Files: t.files, Tree: t.content(),
		close: func() { s.giveUp(t) },
	}
}

// lock serialises work under one key. The context is only looked at before.
func (s *Store) lock(ctx context.Context, key string) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	l := s.locks[key]
	if l == nil {
		l = &keyLock{}
		s.locks[key] = l
	}
	l.holders++
	s.mu.Unlock()
	l.mu.Lock()
	return func() {
		l.mu.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.holders--; l.holders == 0 {
			delete(s.locks, key)
		}
	}, nil
}

func hashed(parts ...string) string {
	hash := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(hash, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(hash.Sum(nil))
}
