package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
)

// rateLimited begins the error of client-go when its own rate limiter gives a
// request no turn in the time left (source: client-go, rest/request.go).
const rateLimited = "client rate limiter Wait returned an error"

// brokenOff is in the error of client-go when an answer ended in the middle
// (source: client-go, rest/request.go).
const brokenOff = "Please retry. Original error"

// IsTransient says that the error tells nothing about what was asked for and
// may go away by itself: the API server is overloaded, restarting or slow, or
// the connection broke. A refusal (forbidden, not found, conflict, invalid), a
// certificate that is not trusted and a context that was cancelled are not.
func IsTransient(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	if apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) {
		return true
	}
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, broken) {
			return true
		}
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return true
	}
	var operation *net.OpError
	if errors.As(err, &operation) && (operation.Op == "dial" || operation.Op == "read" || operation.Op == "write") {
		return true
	}
	return utilnet.IsHTTP2ConnectionLost(err) || strings.Contains(err.Error(), rateLimited) || strings.Contains(err.Error(), brokenOff)
}

// askAgain are the pauses after which a question is asked again.
var askAgain = wait.Backoff{Steps: 3, Duration: 100 * time.Millisecond, Factor: 3, Jitter: 0.2}

// Ask puts a question to the API server, and again, up to three times within
// about two seconds, while it goes unanswered (IsUnanswered) and ctx lives. A
// question changes nothing: a read or a dry-run. It gives the last answer.
func Ask[T any](ctx context.Context, question func() (T, error)) (T, error) {
	pauses := askAgain
	for {
		answer, err := question()
		if pauses.Steps == 0 || !IsUnanswered(err) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(pauses.Step()):
		}
	}
}

// IsUnanswered says that the API server did not judge what it was asked: the
// connection broke, or it had no time for it. Narrower than IsTransient, since
// servers give real refusals the codes of trouble: 500 for a field that does not
// fit its schema and for a webhook that cannot be called, any code for a
// webhook's denial, and 504 once webhooks took all of the time. They would be
// the same again.
func IsUnanswered(err error) bool {
	switch {
	case !IsTransient(err), apierrors.IsTimeout(err):
		return false
	case apierrors.IsInternalError(err):
		return strings.Contains(err.Error(), "etcdserver: ") // such as "leader changed"
	}
	return !strings.Contains(err.Error(), "denied the request")
}
