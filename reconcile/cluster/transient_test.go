package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestOnlyPassingTroubleIsTransient(t *testing.T) {
	resource := schema.GroupResource{Resource: "configmaps"}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"503":                 {apierrors.NewServiceUnavailable("down"), true},
		"429":                 {apierrors.NewTooManyRequests("slow down", 1), true},
		"500":                 {apierrors.NewInternalError(errors.New("x")), true},
		"504":                 {apierrors.NewTimeoutError("x", 1), true},
		"server timeout":      {apierrors.NewServerTimeout(resource, "list", 1), true},
		"EOF":                 {&url.Error{Op: "Get", Err: io.EOF}, true},
		"reset":               {fmt.Errorf("get: %w", &net.OpError{Op: "read", Err: syscall.ECONNRESET}), true},
		"refused":             {&url.Error{Op: "Get", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, true},
		"rate limiter":        {errors.New("client rate limiter Wait returned an error: rate: Wait(n=1) would exceed context deadline"), true},
		"deadline of a reply": {&url.Error{Op: "Get", Err: context.DeadlineExceeded}, true},
		"stream that broke":   {errors.New("stream error when reading response body, may be caused by closed connection. Please retry. Original error: stream ID 3"), true},
		"nothing":             {nil, false},
		"cancelled":           {&url.Error{Op: "Get", Err: context.Canceled}, false},
		"certificate":         {&url.Error{Op: "Get", Err: x509.UnknownAuthorityError{}}, false},
		"forbidden":           {apierrors.NewForbidden(resource, "x", errors.New("no")), false},
		"not found":           {apierrors.NewNotFound(resource, "x"), false},
		"conflict":            {apierrors.NewConflict(resource, "x", errors.New("no")), false},
		"invalid":             {apierrors.NewBadRequest("no"), false},
		"anything else":       {errors.New("prediction failed"), false},
	} {
		if got := IsTransient(c.err); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestWaitOutlastsPassingTroubleAndNamesItAtTheLimit(t *testing.T) {
	a, c := newAPI(t)
	a.answer = func(r request) (int, any) { return status(503, metav1.StatusReasonServiceUnavailable)(r) }
	calls := 0
	read := func(ctx context.Context) (bool, string, error) {
		calls++
		if calls == 3 {
			a.mu.Lock()
			a.answer = nil
			a.mu.Unlock()
		}
		_, err := c.GetByID(ctx, "shop_web__ConfigMap")
		return err == nil, "", err
	}
	if err := Wait(t.Context(), time.Millisecond, time.Minute, read); err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
	err := Wait(t.Context(), time.Millisecond, 30*time.Millisecond, func(context.Context) (bool, string, error) {
		return false, "the source", apierrors.NewServiceUnavailable("etcd has no leader")
	})
	if !errors.Is(err, ErrWaitExpired) || !strings.Contains(err.Error(), "the source") || !strings.Contains(err.Error(), "etcd has no leader") {
		t.Error(err)
	}
	// A single call has no time to wait in.
	down := apierrors.NewServiceUnavailable("down")
	if err := Wait(t.Context(), time.Hour, 0, func(context.Context) (bool, string, error) { return false, "", down }); !errors.Is(err, error(down)) {
		t.Error(err)
	}
}

func TestAQuestionIsAskedAgainUntilItIsAnswered(t *testing.T) {
	refused := apierrors.NewBadRequest("no")
	cancelled := &url.Error{Op: "Get", URL: "x", Err: context.Canceled}
	for name, c := range map[string]struct {
		answers []error
		asked   int
		want    error
	}{
		"at once":                      {[]error{nil}, 1, nil},
		"after a connection broke":     {[]error{io.ErrUnexpectedEOF, nil}, 2, nil},
		"never":                        {[]error{io.EOF, io.EOF, io.EOF, io.EOF, nil}, 4, io.EOF},
		"with a refusal":               {[]error{refused, nil}, 1, refused},
		"with a refusal after trouble": {[]error{io.EOF, refused, nil}, 2, refused},
		"by somebody who gave up":      {[]error{cancelled, nil}, 1, cancelled},
	} {
		asked := 0
		answer, err := Ask(t.Context(), func() (int, error) {
			asked++
			return asked, c.answers[asked-1]
		})
		if answer != asked || asked != c.asked || !errors.Is(err, c.want) {
			t.Errorf("%s: asked %d times, and got %v", name, asked, err)
		}
	}
}

func TestNobodyAsksAgainWhoHasNoTimeLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	_, err := Ask(ctx, func() (int, error) {
		asked++
		cancel()
		return 0, io.EOF
	})
	if asked != 1 || !errors.Is(err, io.EOF) {
		t.Errorf("asked %d times, and got %v", asked, err)
	}
}

func TestARefusalIsAnAnswerWhateverItsCode(t *testing.T) {
	status := func(code int32, message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Message: message}}
	}
	tooMany := apierrors.NewTooManyRequests("later", 1)
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"a connection that broke":     {fmt.Errorf("get: %w", io.ErrUnexpectedEOF), true},
		"no time":                     {tooMany, true},
		"etcd between two leaders":    {apierrors.NewInternalError(errors.New("etcdserver: leader changed")), true},
		"a webhook that is not there": {apierrors.NewInternalError(errors.New(`failed calling webhook "x"`)), false},
		"a webhook's denial":          {status(500, `admission webhook "x" denied the request: no`), false},
		"a webhook's denial with 429": {&apierrors.StatusError{ErrStatus: metav1.Status{Code: 429, Reason: tooMany.Status().Reason, Message: `admission webhook "x" denied the request: no`}}, false},
		"a field of another type":     {status(500, "failed to create typed patch object (a/b; /v1, Kind=Secret): .stringData.c: expected string"), false},
		"webhooks took the time":      {apierrors.NewTimeoutError("request did not complete within 60s", 0), false},
		"nothing is wrong":            {nil, false},
	} {
		if got := IsUnanswered(c.err); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
