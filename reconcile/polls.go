package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fluxover/fluxover/reconcile/source"
	"k8s.io/apimachinery/pkg/types"
)

// polls shares the answers of Git servers: GitRepositories with the same URL,
// credential and reference are asked for once per interval, whichever of them is
// due first. One that learns of a new commit wakes the others.
type polls struct {
	now  func() time.Time
	wake func(types.NamespacedName)

	mu     sync.Mutex
	groups map[string]*poll
	member map[types.NamespacedName]string
}

// poll is a group of repositories with the same question.
type poll struct {
	asking  sync.Mutex
	members map[types.NamespacedName]bool
	answer  source.Revision
	at      time.Time // zero: never answered
}

// question is what is asked of a server.
type question struct {
	remote    source.Remote
	reference source.Reference
	// credential is a hash of what the server is given.
	credential string
}

func (q question) key() string {
	return fmt.Sprintf("%q %q %s", q.remote.URL, q.reference, q.credential)
}

// resolver is source.Store.Resolve.
type resolver func(context.Context, source.Remote, source.Reference) (source.Revision, error)

// resolve answers which commit the question names. The server is asked when now is
// set or the last answer is as old as interval; due is when to ask again, -1 when
// the reference is a fixed commit whose answer is known.
func (p *polls) resolve(ctx context.Context, ask resolver, name types.NamespacedName, q question, interval time.Duration, now bool) (source.Revision, time.Duration, error) {
	group := p.join(name, q.key())
	group.asking.Lock()
	defer group.asking.Unlock()
	known := !group.at.IsZero()
	if known && q.reference.Commit != "" {
		return group.answer, -1, nil
	}
	if age := p.now().Sub(group.at); known && !now && age < interval {
		return group.answer, interval - age, nil
	}
	queriesTotal.Inc()
	revision, err := ask(ctx, q.remote, q.reference)
	if err != nil {
		return source.Revision{}, 0, err
	}
	moved := known && revision != group.answer
	group.answer, group.at = revision, p.now()
	if moved {
		for other := range p.membersOf(group) {
			if other != name {
				p.wake(other)
			}
		}
	}
	return revision, interval, nil
}

// join puts a repository into the group of its question, leaving its former one.
func (p *polls) join(name types.NamespacedName, key string) *poll {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.member[name]; old != key {
		p.leaveLocked(name)
		if p.member == nil {
			p.member, p.groups = map[types.NamespacedName]string{}, map[string]*poll{}
		}
		p.member[name] = key
	}
	group := p.groups[key]
	if group == nil {
		group = &poll{members: map[types.NamespacedName]bool{}}
		p.groups[key] = group
	}
	group.members[name] = true
	return group
}

func (p *polls) leave(name types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked(name)
}

func (p *polls) leaveLocked(name types.NamespacedName) {
	key, found := p.member[name]
	if !found {
		return
	}
	delete(p.member, name)
	group := p.groups[key]
	delete(group.members, name)
	if len(group.members) == 0 {
		delete(p.groups, key)
	}
}

func (p *polls) membersOf(group *poll) map[types.NamespacedName]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	members := make(map[types.NamespacedName]bool, len(group.members))
	for name := range group.members {
		members[name] = true
	}
	return members
}
