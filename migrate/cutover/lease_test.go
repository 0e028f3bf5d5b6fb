package cutover

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/fluxover/fluxover/migrate"
)

// heldLease is held by an operator on another machine, whose clock says
// renewed; it holds for one second.
func heldLease(renewed time.Time) *coordinationv1.Lease {
	holder, seconds, at := "carol@bastion/1", int32(1), metav1.NewMicroTime(renewed)
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: migrate.StateNamespace, Name: leaseName, ResourceVersion: "1",
			Annotations: map[string]string{annotationUser: "carol", annotationHost: "bastion", annotationProcess: "another-boot pid:[1] 7"},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &at, RenewTime: &at},
	}
}

// renewing lets the holder live until the test ends: it moves its renewal on
// by its own clock.
func renewing(t *testing.T, kube kubernetes.Interface) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		leases := kube.CoordinationV1().Leases(migrate.StateNamespace)
		for pause(ctx, 200*time.Millisecond) {
			live, err := leases.Get(ctx, leaseName, metav1.GetOptions{})
			if err != nil || live.Spec.HolderIdentity == nil || *live.Spec.HolderIdentity != "carol@bastion/1" {
				return
			}
			at := metav1.NewMicroTime(live.Spec.RenewTime.Add(200 * time.Millisecond))
			live.Spec.RenewTime = &at
			if _, err := leases.Update(ctx, live, metav1.UpdateOptions{}); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
}

// taken tries to take the Lease, and says how long that took and what was told.
func taken(t *testing.T, kube kubernetes.Interface) (time.Duration, []Event, error) {
	t.Helper()
	who, err := Identity{User: "a", Host: "h"}.filled()
	if err != nil {
		t.Fatal(err)
	}
	var told []Event
	begun := time.Now()
	l, _, err := acquire(t.Context(), kube, who, func(e Event) { told = append(told, e) })
	took := time.Since(begun)
	if err == nil {
		if err := l.release(t.Context()); err != nil {
			t.Error(err)
		}
	}
	return took, told, err
}

func TestALiveOperatorIsRefusedForWhateverItsClockSays(t *testing.T) {
	for name, skew := range map[string]time.Duration{"behind by an hour": -time.Hour, "ahead by an hour": time.Hour, "right": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kube := fake.NewClientset(heldLease(time.Now().Add(skew)))
			renewing(t, kube)
			_, _, err := taken(t, kube)
			var locked *LockedError
			if !errors.As(err, &locked) || locked.User != "carol" || locked.Host != "bastion" {
				t.Fatalf("want to be refused by name, got %v", err)
			}
			if skew < 0 && !locked.Expires.After(time.Now()) {
				t.Errorf("told to try again at %s, which is over", locked.Expires)
			}
		})
	}
}

func TestADeadOperatorIsReplacedOnlyAfterItsLeaseWasWatchedForItsTerm(t *testing.T) {
	for name, skew := range map[string]time.Duration{"long ago": -time.Hour, "by a clock ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			took, told, err := taken(t, fake.NewClientset(heldLease(time.Now().Add(skew))))
			if err != nil {
				t.Fatalf("a dead operator keeps others out: %v", err)
			}
			if took < time.Second || took > 20*time.Second {
				t.Errorf("taken after %s, want a little more than its second", took)
			}
			if len(told) != 1 || !strings.Contains(told[0].Message, "carol@bastion") {
				t.Errorf("the wait was not told of: %v", told)
			}
		})
	}
}

func TestAFreshLeaseIsRefusedWithoutWatching(t *testing.T) {
	_, told, err := taken(t, fake.NewClientset(heldLease(time.Now())))
	if !errors.Is(err, ErrLocked) || len(told) != 0 {
		t.Errorf("got %v, told %v", err, told)
	}
}

func TestALeaseThatIsGivenBackWhileItIsWatchedIsTakenAtOnce(t *testing.T) {
	lease := heldLease(time.Now().Add(-time.Hour))
	long := int32(120)
	lease.Spec.LeaseDurationSeconds = &long
	kube := fake.NewClientset(lease)
	who, err := Identity{User: "a", Host: "h"}.filled()
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := acquire(t.Context(), kube, who, func(Event) {
		given := lease.DeepCopy()
		given.Spec.HolderIdentity, given.Spec.RenewTime = nil, nil
		if _, err := kube.CoordinationV1().Leases(migrate.StateNamespace).Update(t.Context(), given, metav1.UpdateOptions{}); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALeaseThatWasLostSaysHow(t *testing.T) {
	for name, c := range map[string]struct {
		lease *coordinationv1.Lease
		want  string
	}{
		"deleted":    {nil, "the Lease was lost: somebody deleted it"},
		"taken over": {heldLease(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), "the Lease was lost: carol@bastion took it over at 2026-01-02T03:04:05Z"},
		"given back": {func() *coordinationv1.Lease {
			l := heldLease(time.Now())
			l.Spec.HolderIdentity, l.Spec.RenewTime = nil, nil
			return l
		}(), "the Lease was lost: another operator took it over, and has given it back"},
	} {
		kube := fake.NewClientset()
		if c.lease != nil {
			kube = fake.NewClientset(c.lease)
		}
		err := (&lease{kube: kube, who: Identity{User: "a", Host: "h", token: "1"}}).renew(t.Context())
		var locked *LockedError
		if !errors.Is(err, ErrLeaseLost) || errors.As(err, &locked) || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}
