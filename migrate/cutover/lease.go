package cutover

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/fluxover/fluxover/migrate"
)

const (
	leaseName     = "fluxover"
	leaseDuration = 30 * time.Second
	leaseRenew    = 5 * time.Second
	// maxTerm bounds how long a Lease that says otherwise is watched.
	maxTerm = 5 * time.Minute

	annotationHost    = "fluxover.dev/host"
	annotationUser    = "fluxover.dev/user"
	annotationCommand = "fluxover.dev/command"
	// annotationProcess tells a later process on the same machine whether the
	// holder still lives: boot id, pid namespace, pid.
	annotationProcess = "fluxover.dev/process"
)

// Identity says who operates. The zero value's empty fields are filled in
// with what the machine says.
type Identity struct {
	User, Host string
	// Command as given, shown to whoever is refused; no secrets.
	Command string
	// token makes each holder unique.
	token string
	// process is empty where it cannot be told for sure.
	process string
}

func (i Identity) filled() (Identity, error) {
	if i.User == "" {
		if u, err := user.Current(); err == nil {
			i.User = u.Username
		}
	}
	if i.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			return i, fmt.Errorf("ask for the host name: %w", err)
		}
		i.Host = host
	}
	if i.token == "" {
		raw := make([]byte, 6)
		if _, err := rand.Read(raw); err != nil {
			return i, fmt.Errorf("draw a lease token: %w", err)
		}
		i.token = hex.EncodeToString(raw)
	}
	if i.process == "" {
		i.process = processMark(os.Getpid())
	}
	return i, nil
}

func (i Identity) holder() string { return fmt.Sprintf("%s@%s/%s", i.User, i.Host, i.token) }

func (i Identity) who() string { return i.User + "@" + i.Host }

// processMark names a process so that a later one can tell whether it still
// runs here. Empty where the system does not say (only Linux does).
func processMark(pid int) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.Join([]string{strings.TrimSpace(string(boot)), space, strconv.Itoa(pid)}, " ")
}

// processDead reports whether the process is known to have ended: it ran on
// this machine, in this boot and pid namespace, and its pid is free. A pid in
// use again counts as alive: then the Lease expires by itself.
func processDead(mark string) bool {
	i := strings.LastIndex(mark, " ")
	if i < 0 {
		return false
	}
	pid, err := strconv.Atoi(mark[i+1:])
	if err != nil || pid <= 0 || processMark(pid) != mark {
		return false
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	return errors.Is(process.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// LockedError says who held the Lease when it was asked for, so that nothing was
// begun. One that was held and lost is ErrLeaseLost.
type LockedError struct {
	User, Host, Command string
	Since               time.Time
	// Expires is when the Lease may be taken if its holder is dead.
	Expires time.Time
}

func (e *LockedError) Error() string {
	s := fmt.Sprintf("%v: %s@%s", ErrLocked, e.User, e.Host)
	if e.Command != "" {
		s += fmt.Sprintf(" (%s)", e.Command)
	}
	return s + fmt.Sprintf(" since %s; if that one is dead, try again after %s", e.Since.Format(time.RFC3339), e.Expires.Format(time.RFC3339))
}

func (e *LockedError) Unwrap() error { return ErrLocked }

// lease is the Lease while we hold it.
type lease struct {
	kube   kubernetes.Interface
	who    Identity
	cancel context.CancelCauseFunc
	stop   chan struct{}
	ended  chan struct{}
}

// acquire takes the Lease, or fails with a *LockedError. The context returned
// is not ended by ctx; it ends when the Lease is lost or released, and nothing
// may be written after that.
//
// Whether another holder lives is judged as client-go's leader election does:
// no clock but this process's own counts. A holder that was not heard of
// lately, or whose clock cannot be right, is watched for as long as the Lease
// says, and only if it is not renewed in all that time is it taken. emit is
// told of such a wait.
func acquire(ctx context.Context, kube kubernetes.Interface, who Identity, emit func(Event)) (*lease, context.Context, error) {
	leases := kube.CoordinationV1().Leases(migrate.StateNamespace)
	live, err := leases.Get(ctx, leaseName, metav1.GetOptions{})
	if err == nil {
		live, err = vacant(ctx, leases, live, emit)
	}
	if apierrors.IsNotFound(err) {
		live, err = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
			Namespace: migrate.StateNamespace, Name: leaseName, Labels: map[string]string{migrate.LabelManaged: "true"},
		}}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("take the Lease: %w", err)
	}
	now := metav1.NowMicro()
	seconds := int32(leaseDuration / time.Second)
	holder := who.holder()
	live.Spec = coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now}
	if live.Annotations == nil {
		live.Annotations = map[string]string{}
	}
	live.Annotations[annotationHost] = who.Host
	live.Annotations[annotationUser] = who.User
	live.Annotations[annotationCommand] = who.Command
	live.Annotations[annotationProcess] = who.process
	if live.ResourceVersion == "" {
		_, err = leases.Create(ctx, live, metav1.CreateOptions{FieldManager: migrate.FieldManager})
	} else {
		_, err = leases.Update(ctx, live, metav1.UpdateOptions{FieldManager: migrate.FieldManager})
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil, nil, fmt.Errorf("take the Lease: %w: somebody took it at the same moment", ErrLocked)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("take the Lease: %w", err)
	}
	held, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	l := &lease{kube: kube, who: who, cancel: cancel, stop: make(chan struct{}), ended: make(chan struct{})}
	go l.keep(held, now.Time)
	return l, held, nil
}

// leaseLook is the pause between two looks at a Lease that is watched.
const leaseLook = 500 * time.Millisecond

// vacant returns the Lease as it was last seen once nobody holds it: given
// back, its holder's process seen to be dead, or not renewed while it was
// watched. A holder that lives is a *LockedError.
func vacant(ctx context.Context, leases coordinationclient.LeaseInterface, live *coordinationv1.Lease, emit func(Event)) (*coordinationv1.Lease, error) {
	first, begun := renewal(live), time.Now()
	for told := false; ; {
		h := holderOf(live)
		if h == nil || processDead(live.Annotations[annotationProcess]) {
			return live, nil
		}
		now := time.Now()
		if renewal(live) != first {
			// Its clock may say anything: it was renewed just now.
			return nil, h.locked(now.Add(h.term))
		}
		if h.fresh(now) {
			return nil, h.locked(h.Expires)
		}
		if now.Sub(begun) >= h.term {
			return live, nil
		}
		if !told {
			told = true
			emit(Event{At: now, State: EventNote, Message: fmt.Sprintf("%s@%s holds the Lease and may be dead: watching for %s whether it renews it", h.User, h.Host, h.term)})
		}
		if !pause(ctx, leaseLook) {
			return nil, ctx.Err()
		}
		var err error
		if live, err = leases.Get(ctx, leaseName, metav1.GetOptions{}); err != nil {
			return nil, err
		}
	}
}

// renewal is what changes in a Lease each time that its holder renews it.
func renewal(l *coordinationv1.Lease) string {
	s := ""
	if l.Spec.HolderIdentity != nil {
		s = *l.Spec.HolderIdentity
	}
	if l.Spec.RenewTime != nil {
		s += " " + l.Spec.RenewTime.UTC().Format(time.RFC3339Nano)
	}
	return s
}

// keep renews the Lease until release. It is given up, and the context with
// it, before another could take it for expired.
func (l *lease) keep(held context.Context, renewed time.Time) {
	defer close(l.ended)
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		begun := time.Now()
		err := l.renew(held)
		if err == nil {
			renewed = begun
			continue
		}
		if errors.Is(err, ErrLeaseLost) {
			l.cancel(err)
			return
		}
		if time.Since(renewed) > leaseDuration-2*leaseRenew {
			l.cancel(fmt.Errorf("%w: it could not be renewed since %s: %w", ErrLeaseLost, renewed.Format(time.RFC3339), err))
			return
		}
	}
}

// renew fails with ErrLeaseLost where the Lease is not this process's any more.
func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseRenew)
	defer cancel()
	leases := l.kube.CoordinationV1().Leases(migrate.StateNamespace)
	live, err := leases.Get(ctx, leaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: somebody deleted it", ErrLeaseLost)
	}
	if err != nil {
		return err
	}
	if live.Spec.HolderIdentity == nil || *live.Spec.HolderIdentity != l.who.holder() {
		h := holderOf(live)
		if h == nil {
			return fmt.Errorf("%w: another operator took it over, and has given it back", ErrLeaseLost)
		}
		command := ""
		if h.Command != "" {
			command = " (" + h.Command + ")"
		}
		return fmt.Errorf("%w: %s@%s%s took it over at %s", ErrLeaseLost, h.User, h.Host, command, h.Since.Format(time.RFC3339))
	}
	now := metav1.NowMicro()
	live.Spec.RenewTime = &now
	_, err = leases.Update(ctx, live, metav1.UpdateOptions{FieldManager: migrate.FieldManager})
	return err
}

// release gives the Lease back, so that the next operator need not wait. ctx
// bounds it; on failure the Lease expires by itself.
func (l *lease) release(ctx context.Context) error {
	close(l.stop)
	<-l.ended
	defer l.cancel(context.Canceled)
	leases := l.kube.CoordinationV1().Leases(migrate.StateNamespace)
	live, err := leases.Get(ctx, leaseName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("give back the Lease: %w", err)
	}
	if live.Spec.HolderIdentity == nil || *live.Spec.HolderIdentity != l.who.holder() {
		return nil
	}
	live.Spec.HolderIdentity = nil
	live.Spec.RenewTime = nil
	if _, err = leases.Update(ctx, live, metav1.UpdateOptions{FieldManager: migrate.FieldManager}); err != nil {
		return fmt.Errorf("give back the Lease: %w", err)
	}
	return nil
}

// abandon stops renewing without giving the Lease back, as a crash would.
func (l *lease) abandon() {
	close(l.stop)
	<-l.ended
	l.cancel(errCrash)
}

// Holder is who holds the Lease.
type Holder struct {
	User    string    `json:"user"`
	Host    string    `json:"host"`
	Command string    `json:"command,omitempty"`
	Since   time.Time `json:"since"`
	// Expires is when the Lease counts as given up, unless renewed, by the
	// holder's clock.
	Expires time.Time `json:"expires"`

	// term is how long the Lease holds unless it is renewed.
	term time.Duration
}

func (h *Holder) expired(now time.Time) bool { return now.After(h.Expires) }

// clockSlack is how far ahead of this machine's clock another's may be and
// still be believed.
const clockSlack = 10 * time.Second

// ahead is how far the holder's clock is ahead of this machine's, at the
// least; zero or less if that cannot be told.
func (h *Holder) ahead(now time.Time) time.Duration { return h.Expires.Add(-h.term).Sub(now) }

// fresh reports whether the Lease was renewed lately by a clock that agrees
// with this machine's.
func (h *Holder) fresh(now time.Time) bool { return !h.expired(now) && h.ahead(now) <= clockSlack }

func (h *Holder) locked(expires time.Time) *LockedError {
	return &LockedError{User: h.User, Host: h.Host, Command: h.Command, Since: h.Since, Expires: expires}
}

// holderOf tells who holds the Lease; nil if nobody.
func holderOf(l *coordinationv1.Lease) *Holder {
	if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "" {
		return nil
	}
	h := &Holder{User: l.Annotations[annotationUser], Host: l.Annotations[annotationHost], Command: l.Annotations[annotationCommand], term: leaseDuration}
	if l.Spec.AcquireTime != nil {
		h.Since = l.Spec.AcquireTime.Time
	}
	if seconds := l.Spec.LeaseDurationSeconds; seconds != nil && *seconds > 0 {
		h.term = min(time.Duration(*seconds)*time.Second, maxTerm)
	}
	if l.Spec.RenewTime != nil {
		h.Expires = l.Spec.RenewTime.Add(h.term)
	}
	return h
}
