package cutover

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/fluxover/fluxover/reconcile/cluster"
)

// objects are the objects of one list by name.
type objects map[string]*unstructured.Unstructured

// follow lists and then watches, and calls done after the list and after each
// event until it says true or fails. When ctx ends, the error is a *waited and
// names what done last said was missing. A watch that the server ends is begun
// anew, and so is all after a transient error (cluster.IsTransient), which the
// error then names too.
func follow(ctx context.Context, resource dynamic.ResourceInterface, opts metav1.ListOptions, done func(objects) (bool, string, error)) error {
	begun := time.Now()
	missing, trouble := "the API server has not answered yet", ""
	stopped := func() error { return waitEnded(ctx, begun, missing+trouble) }
	for {
		list, err := resource.List(ctx, opts)
		if err != nil {
			if !passing(ctx, err) {
				return err
			}
			if ctx.Err() == nil {
				trouble = fmt.Sprintf(" (%v)", err)
			}
			if !pause(ctx, afterTrouble) {
				return stopped()
			}
			continue
		}
		now := objects{}
		for i := range list.Items {
			now[list.Items[i].GetName()] = &list.Items[i]
		}
		check := func() (bool, error) {
			ok, lack, err := done(now)
			if lack != "" {
				missing, trouble = lack, ""
			}
			return ok, err
		}
		if ok, err := check(); ok || err != nil {
			return err
		}
		watching := opts
		watching.ResourceVersion = list.GetResourceVersion()
		watching.AllowWatchBookmarks = true
		w, err := resource.Watch(ctx, watching)
		if err != nil {
			if !passing(ctx, err) && !apierrors.IsGone(err) && !apierrors.IsResourceExpired(err) {
				return err
			}
			if ctx.Err() == nil {
				trouble = fmt.Sprintf(" (%v)", err)
			}
			if !pause(ctx, afterTrouble) {
				return stopped()
			}
			continue
		}
		ended, err := consume(ctx, w, now, check)
		w.Stop()
		if ended || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return stopped()
		}
		// A watch that ends at once, again and again, must not become a storm.
		if !pause(ctx, 100*time.Millisecond) {
			return stopped()
		}
	}
}

// waited is the error of a wait that ended before what it was for came. It
// unwraps to its context's error and cause.
type waited struct {
	missing    string
	took       time.Duration
	err, cause error
}

func (w *waited) Error() string {
	switch {
	case errors.Is(w.err, context.DeadlineExceeded):
		return fmt.Sprintf("waited %s, and %s", w.took, w.missing)
	case w.cause == nil || errors.Is(w.cause, context.Canceled):
		return fmt.Sprintf("interrupted after waiting %s: %s", w.took, w.missing)
	default:
		return fmt.Sprintf("stopped waiting after %s (%v): %s", w.took, w.cause, w.missing)
	}
}

func (w *waited) Unwrap() []error { return []error{w.err, w.cause} }

// waitEnded is the error of a wait, begun then, that ended with ctx; missing
// is a clause that says what has not come.
func waitEnded(ctx context.Context, begun time.Time, missing string) error {
	return &waited{missing: missing, took: time.Since(begun).Round(100 * time.Millisecond), err: ctx.Err(), cause: context.Cause(ctx)}
}

// afterTrouble is the pause after an error that may go away by itself; where
// many calls may be troubled at once it grows up to slowestTry.
const (
	afterTrouble = 200 * time.Millisecond
	slowestTry   = 2 * time.Second
)

// outlast calls try until it succeeds or fails for a reason that does not go
// away by itself (cluster.IsTransient), for as long as ctx lives. The first
// trouble is noted, so that a long wait is explained. try must bear to be
// repeated after a success whose answer was lost.
func (r *repository) outlast(ctx context.Context, step string, try func(context.Context) error) error {
	begun := time.Now()
	var trouble error
	for n := time.Duration(1); ; n++ {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil && trouble != nil {
			return errors.Join(waitEnded(ctx, begun, "the API server has not recovered"), trouble)
		}
		if ctx.Err() != nil || !cluster.IsTransient(err) {
			return err
		}
		if trouble == nil {
			r.note(step, "trying again until it works: %v", err)
		}
		trouble = err
		if !pause(ctx, min(n*afterTrouble, slowestTry)) {
			return errors.Join(waitEnded(ctx, begun, "the API server has not recovered"), trouble)
		}
	}
}

// passing reports whether to go on after an error of a request: it is
// transient, or only says that ctx ended.
func passing(ctx context.Context, err error) bool {
	return ctx.Err() != nil || cluster.IsTransient(err)
}

// consume applies a watch's events to now until check is satisfied or the
// watch ends.
func consume(ctx context.Context, w watch.Interface, now objects, check func() (bool, error)) (bool, error) {
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case event, open := <-w.ResultChan():
			if !open {
				return false, nil
			}
			switch event.Type {
			case watch.Bookmark:
				continue
			case watch.Error:
				if err := apierrors.FromObject(event.Object); !apierrors.IsGone(err) && !apierrors.IsResourceExpired(err) && !cluster.IsTransient(err) {
					return false, err
				}
				return false, nil
			}
			obj, ok := event.Object.(*unstructured.Unstructured)
			if !ok {
				continue
			}
			if event.Type == watch.Deleted {
				delete(now, obj.GetName())
			} else {
				now[obj.GetName()] = obj
			}
			if ok, err := check(); ok || err != nil {
				return ok, err
			}
		}
	}
}

// pause waits and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
