package laboratory

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/restmapper"

	"github.com/fluxover/fluxover/e2e/fleet"
	"github.com/fluxover/fluxover/e2e/gitserver"
)

const (
	// syncTag is where Flux v1 notes the commit it synced (reference 2.2).
	syncTag = "flux-sync"
	// syncLimit bounds WaitSynced, and syncLimitPerTeam is added for each team.
	syncLimit        = 3 * time.Minute
	syncLimitPerTeam = 10 * time.Second
	syncPoll         = 300 * time.Millisecond
)

// WaitSynced waits until each given team's (all teams' if none is given) sync
// tag is at the head of its branch and every object that the head holds is live.
// The error after its limit, three minutes and ten seconds per team, says what
// is missing.
func (l *Lab) WaitSynced(ctx context.Context, teams ...fleet.Team) error {
	if len(teams) == 0 {
		teams = l.Teams
	}
	ctx, cancel := context.WithTimeout(ctx, syncLimit+syncLimitPerTeam*time.Duration(len(teams)))
	defer cancel()
	live, err := newLiveObjects(l)
	if err != nil {
		return fmt.Errorf("wait for sync: %w", err)
	}
	tick := time.NewTicker(syncPoll)
	defer tick.Stop()
	last, said := errors.New("not looked yet"), time.Now()
	for waiting := teams; ; {
		var still []fleet.Team
		for _, team := range waiting {
			missing := l.missing(ctx, team, live)
			if ctx.Err() != nil {
				return fmt.Errorf("wait for sync of %d of %d teams: %w: %w", len(waiting), len(teams), context.Cause(ctx), last)
			}
			if missing != nil {
				still, last = append(still, team), missing
			}
		}
		waiting = still
		if len(waiting) == 0 {
			if len(teams) > 1 {
				l.log.line("synced: %d of %d teams", len(teams), len(teams))
			}
			return nil
		}
		if len(teams) > 1 && time.Since(said) > 5*time.Second {
			said = time.Now()
			l.log.line("synced: %d of %d teams", len(teams)-len(waiting), len(teams))
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// missing says what a team's sync still lacks; nil is nothing.
func (l *Lab) missing(ctx context.Context, team fleet.Team, live *liveObjects) error {
	head, err := l.Git.Head(ctx, team.Repo, team.Branch)
	if err != nil {
		return err
	}
	tag, err := l.Git.Tag(ctx, team.Repo, syncTag)
	if err != nil && !errors.Is(err, gitserver.ErrNotFound) {
		return err
	}
	if tag != head {
		return fmt.Errorf("team %s: tag %s is at %q, branch %s at %s", team.Name, syncTag, tag, team.Branch, head)
	}
	files, err := l.Git.Tree(ctx, team.Repo, head)
	if err != nil {
		return err
	}
	objects, err := fleet.ObjectsIn(files, team.Path)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := live.exists(ctx, object); err != nil {
			return fmt.Errorf("team %s: %w", team.Name, err)
		}
	}
	return nil
}

// liveObjects looks objects up in the cluster. Those once seen are not asked
// for again.
type liveObjects struct {
	client  metadata.Interface
	mapper  meta.RESTMapper
	mapping map[schema.GroupVersionKind]*meta.RESTMapping
	seen    map[fleet.Object]bool
}

func newLiveObjects(l *Lab) (*liveObjects, error) {
	config := l.ControlPlane.Config()
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &liveObjects{
		client:  client,
		mapper:  restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(typed.Discovery())),
		mapping: map[schema.GroupVersionKind]*meta.RESTMapping{},
		seen:    map[fleet.Object]bool{},
	}, nil
}

func (o *liveObjects) exists(ctx context.Context, object fleet.Object) error {
	if o.seen[object] {
		return nil
	}
	mapping := o.mapping[object.GroupVersionKind]
	if mapping == nil {
		var err error
		if mapping, err = o.mapper.RESTMapping(object.GroupKind(), object.Version); err != nil {
			return fmt.Errorf("look for %s: %w", object, err)
		}
		o.mapping[object.GroupVersionKind] = mapping
	}
	_, err := o.client.Resource(mapping.Resource).Namespace(object.Namespace).Get(ctx, object.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s is not live; see the agent's log", object)
	}
	if err != nil {
		return fmt.Errorf("look for %s: %w", object, err)
	}
	o.seen[object] = true
	return nil
}
