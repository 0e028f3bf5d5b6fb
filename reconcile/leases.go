package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"sync/atomic"
	"time"

	fluxelection "github.com/fluxcd/pkg/runtime/leaderelection"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// agentLease is the agent's own lease; upstreamLeases are those that stock
// controllers act under. Holding all of them, in this order, the agent cannot
// act together with another agent or with stock controllers that elect leaders.
const agentLease = "fluxover-agent-leader-election"

var upstreamLeases = []string{"source-controller-leader-election", "kustomize-controller-leader-election"}

// errLeaseLost ends the process: whatever it does afterwards could collide with
// the new holder.
var errLeaseLost = errors.New("lease lost")

// leases takes and holds the leases.
type leases struct {
	client   kubernetes.Interface
	opts     Options
	identity string
	log      *slog.Logger
	// waitingFor is the lease that is not held yet, nil when all are.
	waitingFor atomic.Pointer[contended]
}

// contended is a lease that is not held yet.
type contended struct {
	name string
	own  bool // the agent's own, that of its shard if there are shards
	// seen is the last change of it, by whoever holds it; nil before it was read.
	seen atomic.Pointer[sighted]
}

// sighted is what a lease says, and when that was first read.
type sighted struct {
	resourcelock.LeaderElectionRecord
	at time.Time
}

// holder is who keeps the lease from being taken; empty if nobody is known to. Whoever
// has not renewed it for as long as it lasts does not: then it could be taken, had
// this agent the right to.
func (a *contended) holder() string {
	seen := a.seen.Load()
	if seen == nil || time.Since(seen.at) > time.Duration(seen.LeaseDurationSeconds)*time.Second {
		return ""
	}
	return seen.HolderIdentity
}

// watchedLock is a lock that notes each change of its record that it reads.
type watchedLock struct {
	resourcelock.Interface
	contended *contended
}

func (w watchedLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := w.Interface.Get(ctx)
	if err != nil {
		return record, raw, err
	}
	if was := w.contended.seen.Load(); was == nil || !reflect.DeepEqual(was.LeaderElectionRecord, *record) {
		w.contended.seen.Store(&sighted{*record, time.Now()})
	}
	return record, raw, nil
}

func newLeases(cfg *rest.Config, opts Options, log *slog.Logger) (*leases, error) {
	// A client of its own: renewals must not queue behind other requests.
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = -1, -1
	cfg.Timeout = opts.RenewDeadline / 2
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make client for leases: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this holder of leases: %w", err)
	}
	l := &leases{client: client, opts: opts, identity: host + "_" + string(uuid.NewUUID()), log: log}
	l.waitFor(agentLease)
	return l, nil
}

// waitFor notes that a lease is the next to be taken.
func (l *leases) waitFor(lease string) *contended {
	waiting := &contended{name: lease, own: lease == agentLease}
	if l.opts.WatchLabelSelector != "" {
		waiting.name = fluxelection.GenerateID(lease, l.opts.WatchLabelSelector)
	}
	l.waitingFor.Store(waiting)
	return waiting
}

// hold takes the leases one after the other, however long that takes, and calls
// act once all are held. The context of act ends when ctx ends or a lease is
// lost; in the latter case hold returns errLeaseLost. Leases are given back
// after act has returned, last taken first.
func (l *leases) hold(ctx context.Context, act func(context.Context) error) error {
	names := append([]string{agentLease}, upstreamLeases...)
	return l.holdRest(ctx, names, act)
}

func (l *leases) holdRest(ctx context.Context, names []string, act func(context.Context) error) error {
	if len(names) == 0 {
		l.waitingFor.Store(nil)
		return act(ctx)
	}
	waiting := l.waitFor(names[0])
	name := waiting.name
	l.log.Info("taking a lease", "lease", name, "namespace", l.opts.Namespace)
	// The elector gives the lease back as soon as its context ends, so that it
	// gets one that ends only after act has returned.
	electing, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	stopWaiting := context.AfterFunc(ctx, func() {
		if l.waitingFor.Load() == waiting {
			release()
		}
	})
	defer stopWaiting()
	var (
		acted  atomic.Bool
		lost   atomic.Bool
		result = make(chan error, 1)
		holder atomic.Value
	)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: name,
		Lock: watchedLock{&resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: l.opts.Namespace, Name: name},
			Client:     l.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: l.identity},
		}, waiting},
		LeaseDuration:   l.opts.LeaseDuration,
		RenewDeadline:   l.opts.RenewDeadline,
		RetryPeriod:     l.opts.RetryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				acted.Store(true)
				l.log.Info("lease taken", "lease", name)
				inner, cancel := context.WithCancel(ctx)
				defer cancel()
				defer context.AfterFunc(leading, cancel)()
				err := l.holdRest(inner, names[1:], act)
				// Leading ends because of release, or because renewing failed. This
				// must be asked before release, which may come before Run returns.
				lost.Store(leading.Err() != nil && electing.Err() == nil)
				result <- err
				release()
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				if identity != l.identity && holder.Swap(identity) != identity {
					l.log.Info("waiting for a lease", "lease", name, "holder", identity)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("elect on lease %s/%s: %w", l.opts.Namespace, name, err)
	}
	elector.Run(electing)
	if !acted.Load() {
		return ctx.Err()
	}
	err = <-result
	if lost.Load() {
		return errors.Join(fmt.Errorf("%w: %s/%s", errLeaseLost, l.opts.Namespace, name), err)
	}
	return err
}

// ready tells why the agent does not act although it runs; nil when it acts, or
// stands by for another agent.
func (l *leases) ready() error {
	waiting := l.waitingFor.Load()
	if waiting == nil {
		return nil
	}
	holder := waiting.holder()
	switch {
	case holder == "" || holder == l.identity:
		return fmt.Errorf("lease %s/%s is not taken, and nobody was seen to hold it; nothing is reconciled: see that its namespace exists (--runtime-namespace), and that this agent may get, create and update leases in it",
			l.opts.Namespace, waiting.name)
	case waiting.own:
		return nil
	}
	return fmt.Errorf("another controller, %s, holds lease %s/%s: stop it first", holder, l.opts.Namespace, waiting.name)
}
