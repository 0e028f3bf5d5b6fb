package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	fluxelection "github.com/fluxcd/pkg/runtime/leaderelection"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestAgentActsOnlyWhileItHoldsAllLeases(t *testing.T) {
	l := inLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const namespace = "leases"
	if err := l.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	stock := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kustomize-controller-leader-election"},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("stock"), LeaseDurationSeconds: ptr.To[int32](3600), RenewTime: ptr.To(metav1.NowMicro()), AcquireTime: ptr.To(metav1.NowMicro())}}
	if err := l.client.Create(ctx, stock); err != nil {
		t.Fatal(err)
	}
	opts := testOptions(t.TempDir())
	opts.Namespace, opts.EnableLeaderElection = namespace, true
	opts.LeaseDuration, opts.RenewDeadline, opts.RetryPeriod = 4*time.Second, 2*time.Second, 200*time.Millisecond
	held, err := newLeases(l.plane.Config(), opts, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	acting := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- held.hold(ctx, func(ctx context.Context) error {
			close(acting)
			<-ctx.Done()
			return nil
		})
	}()
	waitFor(t, "a wait for the stock controller's lease", func() bool {
		err := held.ready()
		return err != nil && strings.Contains(err.Error(), "kustomize-controller-leader-election")
	})
	select {
	case <-acting:
		t.Fatal("acts beside a stock controller")
	default:
	}
	if err := l.client.Delete(ctx, stock); err != nil {
		t.Fatal(err)
	}
	select {
	case <-acting:
	case <-time.After(20 * time.Second):
		t.Fatal("does not act though all leases are free")
	}
	if err := held.ready(); err != nil {
		t.Errorf("acts, but is not ready: %v", err)
	}
	// A stock controller takes its lease by force.
	stolen := &coordinationv1.Lease{ObjectMeta: stock.ObjectMeta}
	waitFor(t, "the lease to be taken", func() bool {
		if err := l.client.Get(ctx, client.ObjectKeyFromObject(stock), stolen); err != nil {
			return false
		}
		stolen.Spec.HolderIdentity, stolen.Spec.RenewTime = ptr.To("thief"), ptr.To(metav1.NowMicro())
		stolen.Spec.LeaseDurationSeconds = ptr.To[int32](3600)
		return l.client.Update(ctx, stolen) == nil
	})
	select {
	case err := <-ended:
		if !errors.Is(err, errLeaseLost) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("goes on without its lease")
	}
	for _, name := range []string{agentLease, "source-controller-leader-election"} {
		lease := &coordinationv1.Lease{}
		if err := l.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, lease); err != nil {
			t.Fatal(err)
		}
		if holder := ptr.Deref(lease.Spec.HolderIdentity, ""); holder != "" {
			t.Errorf("lease %s is not given back but held by %s", name, holder)
		}
	}
}

// An agent that cannot take its lease, though nobody has it, does not stand by.
func TestAnAgentThatCannotTakeItsOwnLeaseIsNotReady(t *testing.T) {
	l := inLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const namespace = "leases-nowhere"
	opts := testOptions(t.TempDir())
	opts.Namespace, opts.RetryPeriod = namespace, 200*time.Millisecond
	hold := func() (*leases, chan error) {
		held, err := newLeases(l.plane.Config(), opts, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- held.hold(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil }) }()
		return held, ended
	}
	first, firstEnded := hold()
	for range 5 { // tries to take it come and go
		if err := first.ready(); err == nil || !strings.Contains(err.Error(), namespace+"/"+agentLease) {
			t.Fatalf("its namespace is not there, and it is ready: %v", err)
		}
		time.Sleep(opts.RetryPeriod) // the next try: it has to stay so
	}
	if err := l.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "all leases", func() bool { return first.waitingFor.Load() == nil })
	if err := first.ready(); err != nil {
		t.Errorf("acts, but is not ready: %v", err)
	}
	second, secondEnded := hold()
	waitFor(t, "the second to stand by", func() bool { return second.ready() == nil })
	if waiting := second.waitingFor.Load(); waiting == nil || waiting.name != agentLease {
		t.Error("both act")
	}
	cancel()
	for _, ended := range []chan error{firstEnded, secondEnded} {
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// A holder that died is not waited for: who may read its lease and not take it is not
// ready. So is a shard that cannot take its own, and one that can stands by.
func TestAnAgentDoesNotStandByForADeadOne(t *testing.T) {
	l := inLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const namespace, shard = "leases-dead", "shard=a"
	if err := l.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fluxelection.GenerateID(agentLease, shard)},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("other"), LeaseDurationSeconds: ptr.To[int32](2), RenewTime: ptr.To(metav1.NowMicro()), AcquireTime: ptr.To(metav1.NowMicro())}}
	if err := l.client.Create(ctx, lease); err != nil {
		t.Fatal(err)
	}
	opts := testOptions(t.TempDir())
	opts.Namespace, opts.RetryPeriod, opts.WatchLabelSelector = namespace, 200*time.Millisecond, shard
	mayRead := l.plane.Config()
	mayRead.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet {
				return nil, errors.New("may only read")
			}
			return next.RoundTrip(r)
		})
	})
	held, err := newLeases(mayRead, opts, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- held.hold(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil }) }()
	renew := func() {
		lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
		if err := l.client.Update(ctx, lease); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the shard to stand by", func() bool { return held.ready() == nil })
	for began := time.Now(); time.Since(began) < 3*time.Second; time.Sleep(opts.RetryPeriod) { // longer than the lease lasts
		renew()
		if err := held.ready(); err != nil {
			t.Fatalf("its holder renews the lease, and it does not stand by: %v", err)
		}
	}
	waitFor(t, "the shard to see that nobody holds the lease", func() bool {
		err := held.ready()
		return err != nil && strings.Contains(err.Error(), "nobody was seen to hold it")
	})
	renew()
	waitFor(t, "the shard to stand by again", func() bool { return held.ready() == nil })
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestLeasesAreGivenBackAtTheEnd(t *testing.T) {
	l := inLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const namespace = "leases-end"
	if err := l.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	opts := testOptions(t.TempDir())
	opts.Namespace, opts.RetryPeriod = namespace, 200*time.Millisecond
	for range 2 { // the second takes over at once
		held, err := newLeases(l.plane.Config(), opts, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		run, end := context.WithCancel(ctx)
		if err := held.hold(run, func(ctx context.Context) error { end(); <-ctx.Done(); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if ctx.Err() != nil {
		t.Error("taking over took longer than a minute")
	}
}

func TestLeasesLastAndAreRenewedAsTheFlagsSay(t *testing.T) {
	l := inLab(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const namespace = "leases-flags"
	if err := l.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	opts := withFlags(t, t.TempDir(), "--leader-election-lease-duration=17s", "--leader-election-renew-deadline=12s", "--leader-election-retry-period=300ms", "--runtime-namespace="+namespace)
	held, err := newLeases(l.plane.Config(), opts, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	run, end := context.WithCancel(ctx)
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- held.hold(run, func(ctx context.Context) error { <-ctx.Done(); return nil }) }()
	renewals := map[time.Time]bool{}
	// The retry period is the only one of the three in which so many fit.
	waitFor(t, "three renewals", func() bool {
		lease := &coordinationv1.Lease{}
		if l.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: agentLease}, lease) != nil || lease.Spec.RenewTime == nil {
			return false
		}
		if got := ptr.Deref(lease.Spec.LeaseDurationSeconds, 0); got != 17 {
			t.Fatalf("the lease holds for %d s", got)
		}
		renewals[lease.Spec.RenewTime.Time] = true
		return len(renewals) > 3
	})
	end()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
