package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// rateLimited begins the error of client-go when its own rate limiter gives a
// request no turn in the time left (source: client-go, rest/request.go).
const rateLimited = "client rate limiter Wait returned an error"

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
	return utilnet.IsHTTP2ConnectionLost(err) || strings.Contains(err.Error(), rateLimited)
}
