package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/tools/reference"
)

// Names under which events are reported and fields owned, those of the stock
// controllers.
const (
	sourceController    = "source-controller"
	kustomizeController = "kustomize-controller"
)

// Metadata keys of events that notification-controller knows
// (flux: apis/event/v1beta1).
const (
	metaRevision         = "revision"
	metaDigest           = "digest"
	metaCommitStatus     = "commit_status"
	commitStatusUpdate   = "update"
	eventGroup           = "event.toolkit.fluxcd.io"
	severityInfo         = "info"
	severityError        = "error"
	notificationAttempts = 4
)

// notification is the body that notification-controller takes; its field names
// are those of Event in flux apis/event/v1beta1.
type notification struct {
	InvolvedObject      corev1.ObjectReference `json:"involvedObject"`
	Severity            string                 `json:"severity"`
	Timestamp           metav1.Time            `json:"timestamp"`
	Message             string                 `json:"message"`
	Reason              string                 `json:"reason"`
	Metadata            map[string]string      `json:"metadata,omitempty"`
	ReportingController string                 `json:"reportingController"`
	ReportingInstance   string                 `json:"reportingInstance,omitempty"`
}

// events records what happened to an object, as Kubernetes event and, if an
// address is given, with a notification-controller. Neither holds up a
// reconciliation: what cannot be queued is dropped and logged.
type events struct {
	recorder   record.EventRecorder
	scheme     *runtime.Scheme
	controller string
	address    string
	queue      chan notification
	log        *slog.Logger
}

func newEvents(recorder record.EventRecorder, scheme *runtime.Scheme, controller, address string, log *slog.Logger) *events {
	return &events{recorder: recorder, scheme: scheme, controller: controller, address: address,
		queue: make(chan notification, 1000), log: log}
}

// send records an event. metadata keys are without prefix; they become
// annotations prefixed with apiGroup, as stock controllers write them.
func (e *events) send(object runtime.Object, apiGroup, severity, reason, message string, metadata map[string]string) {
	annotations := map[string]string{}
	for key, value := range metadata {
		if value != "" {
			annotations[apiGroup+"/"+key] = value
		}
	}
	if annotated, ok := object.(metav1.Object); ok {
		maps.Copy(annotations, prefixed(annotated.GetAnnotations(), eventGroup+"/"))
	}
	kind := corev1.EventTypeNormal
	if severity == severityError {
		kind = corev1.EventTypeWarning
	}
	e.recorder.AnnotatedEventf(object, annotations, kind, reason, "%s", message)
	if e.address == "" {
		return
	}
	ref, err := reference.GetReference(e.scheme, object)
	if err != nil {
		e.log.Error("event has no object", "error", err)
		return
	}
	instance, err := os.Hostname()
	if err != nil {
		instance = e.controller
	}
	select {
	case e.queue <- notification{
		InvolvedObject: *ref, Severity: severity, Timestamp: metav1.Now(), Message: message, Reason: reason,
		Metadata: annotations, ReportingController: e.controller, ReportingInstance: instance,
	}:
	default:
		e.log.Warn("event dropped, too many are waiting", "object", ref.Namespace+"/"+ref.Name)
	}
}

// Start sends queued events to the notification-controller until ctx ends.
func (e *events) Start(ctx context.Context) error {
	if e.address == "" {
		return nil
	}
	client := &http.Client{Timeout: 5 * time.Second}
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-e.queue:
			if err := post(ctx, client, e.address, n); err != nil && ctx.Err() == nil {
				e.log.Error("event not delivered", "object", n.InvolvedObject.Namespace+"/"+n.InvolvedObject.Name, "error", err)
			}
		}
	}
}

// post delivers n, trying again while the receiver is not there or fails. 429
// says that the event is known already.
func post(ctx context.Context, client *http.Client, address string, n notification) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	for attempt, wait := 1, time.Second; ; attempt, wait = attempt+1, 2*wait {
		err = postOnce(ctx, client, address, body)
		if err == nil || attempt == notificationAttempts {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func postOnce(ctx context.Context, client *http.Client, address string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode >= 500 {
		return fmt.Errorf("post event: %s", response.Status)
	}
	return nil
}

func prefixed(annotations map[string]string, prefix string) map[string]string {
	found := map[string]string{}
	for key, value := range annotations {
		if strings.HasPrefix(key, prefix) {
			found[key] = value
		}
	}
	return found
}
