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
	"k8s.io/client-go/util/retry"
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

// askAgain is how often, and after which pauses, a question is asked.
var askAgain = wait.Backoff{Steps: 4, Duration: 100 * time.Millisecond, Factor: 3, Jitter: 0.2}

// Ask puts a question to the API server again, three times within about two
// seconds, while it goes unanswered (IsTransient). A question changes nothing:
// a read or a dry-run. An admission webhook that cannot be called is an answer.
func Ask[T any](question func() (T, error)) (answer T, err error) {
	err = retry.OnError(askAgain, func(err error) bool { return IsTransient(err) && !IsWebhookFailure(err) }, func() error {
		answer, err = question()
		return err
	})
	return answer, err
}

// IsWebhookFailure says that the API server answers with the failure of an
// admission webhook (source: k8s.io/apiserver, admission/plugin/webhook/errors).
func IsWebhookFailure(err error) bool {
	return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook")
}
