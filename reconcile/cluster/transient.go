package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	if brokeOff(err) || tells(err, streamEnded) {
		return true
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return true
	}
	if slices.Contains([]string{"dial", "read", "write"}, operation(err)) {
		return true
	}
	return strings.Contains(err.Error(), rateLimited) || strings.Contains(err.Error(), brokenOff)
}

// operation is what failed of a connection, as package net calls it; empty if nothing did. What fails
// of one to a proxy, net/http names as "proxyconnect" and wraps.
func operation(err error) string {
	var failed *net.OpError
	for errors.As(err, &failed) {
		if failed.Op != "proxyconnect" {
			return failed.Op
		}
		err = failed.Err
	}
	return ""
}

// brokeOff says that a connection was refused, or ended.
func brokeOff(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || ended(err)
}

// ended says that a connection ended.
func ended(err error) bool {
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, broken) {
			return true
		}
	}
	return tells(err, connectionEnded...)
}

// connectionEnded are how net/http and golang.org/x/net/http2 say that a connection ended, where they
// export no error.
var connectionEnded = []string{
	"http2: server sent GOAWAY and closed the connection", // after it took the request
	"http2: Transport received ",                          // a GOAWAY, of a server that did not take it
	"http2: client conn",                                  // "ection lost" (no answer to a ping), " could not be established" (closed before the first request), and more
	"http: server closed idle connection",                 // as a request was sent, which may be no read
}

// tells reports whether an error has one of these texts of the client. An answer of the API server
// may have one as well, which then tells of another connection: that to a webhook.
func tells(err error, texts ...string) bool {
	var answer apierrors.APIStatus
	return !errors.As(err, &answer) && slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(err.Error(), text) })
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

// Patience bounds for how long questions are asked again that one can do without:
// for all that share it, no longer than Limit after the first that failed was put. Nor are
// such waited for that get no answer at all: once one has had none for as long as an API
// server may take, the others have [SilenceLimit] each.
type Patience struct {
	Limit time.Duration
	// Say, if set, is told once of each question that is asked again, and why.
	Say func(what string, err error)

	mu    sync.Mutex
	until time.Time
	// silent is until when a question was waited for that got no answer; zero if each got one.
	silent time.Time
}

// Impatience is for questions that are known to fail: each is put once, and given [SilenceLimit].
func Impatience() *Patience { return &Patience{silent: time.Now()} }

// answerBy is when a question is given up that has got no answer.
func (p *Patience) answerBy(begun time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent.IsZero() {
		return begun.Add(AnswerLimit)
	}
	if own := begun.Add(SilenceLimit); own.After(p.silent) {
		return own
	}
	return p.silent
}

// gaveUp notes that a question got no answer until then.
func (p *Patience) gaveUp(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent.IsZero() {
		p.silent = until
	}
}

// end is when nothing is asked again any more.
func (p *Patience) end(begun time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until.IsZero() {
		p.until = begun.Add(p.Limit)
	}
	return p.until
}

const (
	// AnswerLimit bounds a question that gets no answer: after as long an API server gives
	// up by its own default (kube-apiserver --request-timeout).
	AnswerLimit = time.Minute
	// SilenceLimit bounds such a question once another got no answer. Kinds that are slow and
	// well answer within it.
	SilenceLimit = 30 * time.Second
	// longestPause before a question is asked again, whatever the server says: a
	// webhook may be back sooner.
	longestPause = 10 * time.Second
)

// AskPatiently is Ask for questions of which a lasting failure is borne, such as
// about one kind among many: it goes by what the server says (Retry-After), and
// not longer than p allows, but as often as Ask in any case. question must pass its context on, with which the
// client itself does not wait: it would do so ten times, without a word. With no
// Patience it is asked once.
func AskPatiently[T any](ctx context.Context, p *Patience, what string, question func(context.Context) (T, error)) (T, error) {
	if p == nil {
		p = &Patience{}
	}
	begun := time.Now()
	end := p.answerBy(begun)
	pauses := wait.Backoff{Steps: 20, Duration: askAgain.Duration, Factor: askAgain.Factor, Jitter: askAgain.Jitter, Cap: longestPause}
	var last error
	for asked := 1; ; asked++ {
		try, cancel := context.WithDeadline(context.WithValue(ctx, notWaiting{}, true), end)
		answer, err := question(try)
		cut := try.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case cut && last != nil:
			return answer, last // which says more than that there was no answer
		case cut: // and it had its time
			p.gaveUp(end)
			return answer, err
		case ctx.Err() != nil, !IsTransient(err), asked > askAgain.Steps && isItsAnswer(err):
			return answer, err
		}
		until := p.end(begun)
		left := time.Until(until)
		if left <= 0 {
			if p.Limit == 0 || asked > askAgain.Steps || !IsUnanswered(err) {
				return answer, err
			}
			left = longestPause // it is asked again as often as any other question is
		}
		if last == nil && p.Say != nil {
			p.Say(what, err)
		}
		// Whoever asks at the very end is answered as well.
		last, end = err, time.Now().Add(max(time.Until(until), 0)+SilenceLimit)
		pause := pauses.Step()
		if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
			pause = max(pause, time.Duration(seconds)*time.Second)
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(min(pause, longestPause, left)):
		}
	}
}

// isItsAnswer reports whether the API server failed at what it was asked for,
// rather than at answering: that of a webhook that cannot be called.
func isItsAnswer(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code == http.StatusInternalServerError && !IsUnanswered(err)
}

// IsFailing says that the API server could not give what it was asked for, or not
// in time, while it may well give everything else: it was too busy for it, it or
// who stands between failed at it, or no answer came. Not that it cannot be reached.
func IsFailing(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		code := status.Status().Code
		return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
	}
	var network net.Error
	return errors.As(err, &network) && network.Timeout() && !errors.Is(err, context.Canceled) && !IsUnreachable(err)
}

// IsUnreachable says that there is no connection to the API server, whatever it is to be asked: none can
// be made, it is not trusted, or it broke.
func IsUnreachable(err error) bool {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return false
	case operation(err) == "dial", errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &alert):
		return true
	}
	return brokeOff(err) || tells(err, handshakeTimeout)
}

// IsCut says that there was a connection to the API server, and it ended before the answer. Whether the
// server can be reached, or what was asked for is why, another question tells.
func IsCut(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || operation(err) == "dial" {
		return false
	}
	return ended(err) || tells(err, streamEnded)
}

// streamEnded begins how golang.org/x/net/http2 says that one answer among those of a connection was ended.
const streamEnded = "stream error: stream ID "

// handshakeTimeout is how net/http says that a server took the connection and nothing more.
const handshakeTimeout = "TLS handshake timeout"

// notWaiting marks the context of a request whose refusal is given at once.
type notWaiting struct{}

// longestWait is how long a client waits by itself when a server says so, each of
// ten times. An API server that is busy says 8 s at most; 30 s says one that can
// build no cache of a kind, which lasts (kubernetes: apiserver,
// pkg/storage/cacher/delegator.go).
const longestWait = 10 * time.Second

// unwaited keeps from client-go what a server says about when to ask again,
// where nothing is written and it would wait for too long.
type unwaited struct{ next http.RoundTripper }

func (u unwaited) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := u.next.RoundTrip(r)
	if err != nil || response.StatusCode != http.StatusTooManyRequests && response.StatusCode < http.StatusInternalServerError {
		return response, err
	}
	seconds, failed := strconv.Atoi(response.Header.Get(retryAfter))
	long := failed == nil && time.Duration(seconds)*time.Second > longestWait
	if reads := r.Method == http.MethodGet || r.URL.Query().Has("dryRun"); r.Context().Value(notWaiting{}) != nil || reads && long {
		response.Header.Del(retryAfter)
	}
	return response, nil
}

// WrappedRoundTripper is what client-go looks below wrappers by.
func (u unwaited) WrappedRoundTripper() http.RoundTripper { return u.next }

const retryAfter = "Retry-After"

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
