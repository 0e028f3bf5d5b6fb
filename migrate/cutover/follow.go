package cutover

import (
	"context"
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
// event until it says true or fails. When ctx ends, the error names what done
// last said was missing. A watch that the server ends is begun anew, and so is
// all after a transient error (cluster.IsTransient), which the error then names
// too.
func follow(ctx context.Context, resource dynamic.ResourceInterface, opts metav1.ListOptions, done func(objects) (bool, string, error)) error {
	missing, trouble := "no answer yet", ""
	stopped := func() error {
		return fmt.Errorf("%w while waiting: %s%s", ctx.Err(), missing, trouble)
	}
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

// afterTrouble is the pause after an error that may go away by itself.
const afterTrouble = 200 * time.Millisecond

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
