package reconcile

import (
	"io"
	"sync"

	"github.com/fluxover/fluxover/reconcile/build"
	"k8s.io/apimachinery/pkg/types"
)

// tree is the unpacked content of a GitRepository's artifact, shared by all
// Kustomizations that build from it. It is freed when it has been replaced and
// the last of them is done.
type tree struct {
	revision string
	digest   string
	artifact *build.Artifact
	snapshot io.Closer
	// built is what Kustomizations build from it, a *rendition by builtAs.
	built sync.Map

	users    int
	replaced bool
}

// trees holds the present tree of each GitRepository.
type trees struct {
	mu   sync.Mutex
	held map[types.NamespacedName]*tree
}

// put makes t the tree of a repository. Nil takes the present one away.
func (s *trees) put(repository types.NamespacedName, t *tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.held[repository]; old != nil {
		old.replaced = true
		old.freeIfUnused()
	}
	delete(s.held, repository)
	if t != nil {
		if s.held == nil {
			s.held = map[types.NamespacedName]*tree{}
		}
		s.held[repository] = t
	}
}

// use returns the tree of a repository if it is the one with that revision and
// digest; done must be called once it is no longer read.
func (s *trees) use(repository types.NamespacedName, revision, digest string) (t *tree, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t = s.held[repository]
	if t == nil || t.revision != revision || t.digest != digest {
		return nil, nil
	}
	return t, s.taken(t)
}

// share is use for another one that reads t, which is in use.
func (s *trees) share(t *tree) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken(t)
}

// taken counts a user of t until done is called.
func (s *trees) taken(t *tree) (done func()) {
	t.users++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		t.users--
		t.freeIfUnused()
	})
}

// has tells whether use would return a tree.
func (s *trees) has(repository types.NamespacedName, revision, digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.held[repository]
	return t != nil && t.revision == revision && t.digest == digest
}

func (t *tree) freeIfUnused() {
	if t.replaced && t.users == 0 && t.snapshot != nil {
		// Nothing can be done about a folder that stays; the store removes it
		// when it needs the room.
		_ = t.snapshot.Close()
		t.snapshot = nil
	}
}
