package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
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
		"no way to a proxy":   {&url.Error{Op: "Get", Err: &net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}}}, true},
		"unknown to a proxy":  {&url.Error{Op: "Get", Err: &net.OpError{Op: "proxyconnect", Err: x509.UnknownAuthorityError{}}}, false},
		"rate limiter":        {errors.New("client rate limiter Wait returned an error: rate: Wait(n=1) would exceed context deadline"), true},
		"deadline of a reply": {&url.Error{Op: "Get", Err: context.DeadlineExceeded}, true},
		"stream that broke":   {errors.New("stream error when reading response body, may be caused by closed connection. Please retry. Original error: stream ID 3"), true},
		"stream that ended":   {&url.Error{Op: "Get", Err: errors.New("stream error: stream ID 17; INTERNAL_ERROR; received from peer")}, true},
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

// busy is a client of an API server that refuses questions so many times, with what it
// says of when to ask again; asked counts them.
func busy(t *testing.T, code int, after string, times int32) (c *Client, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if asked.Add(1) <= times {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(code)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"its cache is not ready","reason":"TooManyRequests","code":429}`)
			return
		}
		fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"shop"}}`)
	}))
	t.Cleanup(server.Close)
	c, err := ForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c, asked
}

// A server that says to wait for long is not waited for without a word, ten times.
func TestAServerThatSaysToWaitForLongIsHeardAtOnce(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	read := func(c *Client) func(context.Context) (*corev1.Namespace, error) {
		return func(ctx context.Context) (*corev1.Namespace, error) {
			return c.Kube.CoreV1().Namespaces().Get(ctx, "shop", metav1.GetOptions{})
		}
	}
	c, asked := busy(t, 429, "30", 1000)
	if _, err := read(c)(ctx); !apierrors.IsTooManyRequests(err) || !strings.Contains(err.Error(), "its cache is not ready") || asked.Load() != 1 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
	c, asked = busy(t, 429, "30", 1000)
	if _, err := AskPatiently(ctx, nil, "namespaces", read(c)); !strings.Contains(fmt.Sprint(err), "its cache is not ready") || asked.Load() != 1 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
	// What is written goes the way of client-go, which asks again itself.
	c, asked = busy(t, 503, "0", 3)
	if _, err := c.Kube.CoreV1().Namespaces().Update(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.UpdateOptions{}); err != nil || asked.Load() != 4 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
	// One that is busy for a moment is waited for.
	c, asked = busy(t, 429, "1", 1)
	if _, err := read(c)(ctx); err != nil || asked.Load() != 2 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
	c, asked = busy(t, 429, "1", 1)
	var said []string
	patience := &Patience{Limit: time.Hour, Say: func(what string, err error) { said = append(said, what+": "+err.Error()) }}
	if _, err := AskPatiently(ctx, patience, "namespaces", read(c)); err != nil || asked.Load() != 2 || len(said) != 1 || !strings.Contains(said[0], "namespaces: its cache") {
		t.Errorf("asked %d times: %v; said %q", asked.Load(), err, said)
	}
}

// Questions that share one patience end together, and a webhook that cannot be called is
// not asked for all of it.
func TestPatienceIsSharedAndEnds(t *testing.T) {
	asked := 0
	ask := func(p *Patience, err error) error {
		_, err = AskPatiently(t.Context(), p, "x", func(context.Context) (int, error) { asked++; return 0, err })
		return err
	}
	spent := &Patience{Limit: time.Hour, until: time.Now().Add(-time.Second)}
	if err := ask(spent, apierrors.NewServiceUnavailable("down")); !IsFailing(err) || asked != 1+askAgain.Steps {
		t.Errorf("asked %d times: %v", asked, err)
	}
	asked = 0
	if err := ask(&Patience{}, apierrors.NewServiceUnavailable("down")); !IsFailing(err) || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	asked = 0
	if err := ask(&Patience{Limit: time.Hour}, apierrors.NewInternalError(errors.New("conversion webhook failed"))); !IsFailing(err) || asked != 4 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	asked = 0
	if err := ask(&Patience{Limit: time.Hour}, apierrors.NewBadRequest("no")); IsFailing(err) || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	for name, err := range map[string]error{"gone": apierrors.NewNotFound(schema.GroupResource{}, "x"), "cancelled": &url.Error{Op: "Get", Err: context.Canceled}} {
		if IsFailing(err) || IsUnreachable(err) {
			t.Errorf("%s: the server answers, or nobody waits", name)
		}
	}
	for name, err := range map[string]error{
		"refused": &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "cut off": io.EOF, "no way to it": &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded},
		"not trusted": &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "no handshake": errors.New("net/http: TLS handshake timeout"), "no TLS": tls.RecordHeaderError{Msg: "no"},
		"no way to a proxy": &net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}},
	} {
		err = &url.Error{Op: "Get", Err: err}
		if IsFailing(err) || !IsUnreachable(err) {
			t.Errorf("%s: the server cannot be reached", name)
		}
	}
	// Whether a server can be reached whose connection ended, another question tells.
	for name, err := range map[string]error{
		"cut off": io.EOF, "in the middle": fmt.Errorf("list x: %w", io.ErrUnexpectedEOF), "reset": &net.OpError{Op: "read", Err: syscall.ECONNRESET},
		"of HTTP/2": errors.New("stream error: stream ID 3; INTERNAL_ERROR; received from peer"),
	} {
		err = &url.Error{Op: "Get", Err: err}
		if !IsCut(err) {
			t.Errorf("%s: the connection ended", name)
		}
	}
	for name, err := range map[string]error{
		"refused": &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "cancelled": fmt.Errorf("%w: %w", context.Canceled, io.EOF), "busy": apierrors.NewServiceUnavailable("down"),
		"reset at once": &net.OpError{Op: "dial", Err: syscall.ECONNRESET}, "by a proxy": &net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "dial", Err: syscall.ECONNRESET}}, "nothing is wrong": nil,
	} {
		if IsCut(err) {
			t.Errorf("%s: no connection ended", name)
		}
	}
	// Nor by what the API server says of another one.
	for _, of := range []string{"stream error: stream ID 3; INTERNAL_ERROR", "http2: client connection lost", "net/http: TLS handshake timeout"} {
		err := apierrors.NewInternalError(errors.New(`failed calling webhook "x": ` + of))
		if IsCut(err) || IsUnreachable(err) || !IsFailing(err) || IsUnanswered(err) {
			t.Errorf("%s: the server answers", err)
		}
	}
	for name, err := range map[string]error{"busy": apierrors.NewServiceUnavailable("down"), "silent": &url.Error{Op: "Get", Err: context.DeadlineExceeded}} {
		if !IsFailing(err) || IsUnreachable(err) {
			t.Errorf("%s: the server can be reached", name)
		}
	}
}

// closing is a connection of a client that says when that closes it.
type closing struct {
	net.Conn
	once   *sync.Once
	closed chan struct{}
}

func (c closing) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// dialing is a client of a server, and the connections that it makes.
func dialing(t *testing.T, server *httptest.Server) (*Client, <-chan closing) {
	t.Helper()
	config, dialed := &rest.Config{Host: server.URL}, make(chan closing, 10)
	if server.TLS != nil {
		config.CAData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	}
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := closing{conn, &sync.Once{}, make(chan struct{})}
		dialed <- c
		return c, nil
	}
	c, err := ForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c, dialed
}

// serveHTTP2 has a server take the first frame of a kind, do something, and end the connection.
func serveHTTP2(t *testing.T, first http2.FrameType, act func(frames *http2.Framer, stream uint32)) *httptest.Server {
	server := httptest.NewUnstartedServer(nil)
	server.TLS = &tls.Config{NextProtos: []string{http2.NextProtoTLS}}
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){http2.NextProtoTLS: func(_ *http.Server, conn *tls.Conn, _ http.Handler) {
		_, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface)))
		frames := http2.NewFramer(conn, conn)
		if err = errors.Join(err, frames.WriteSettings()); err != nil {
			t.Error(err)
			return
		}
		for {
			frame, err := frames.ReadFrame()
			if err != nil {
				t.Error(err)
				return
			}
			if frame.Header().Type == first {
				act(frames, frame.Header().StreamID)
				break
			}
		}
		conn.CloseWrite()         // and not at once all of it: what was written would be lost
		io.Copy(io.Discard, conn) // till the client closes it
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// What a connection that ends has net/http say is trouble that passes.
func TestAConnectionThatEndsIsCut(t *testing.T) {
	// Of reads client-go would ask again by itself, for ten seconds.
	ask := func(ctx context.Context, c *Client) error {
		return c.Kube.CoreV1().RESTClient().Delete().AbsPath("/x").Do(ctx).Error()
	}
	begin := func(frames *http2.Framer, stream uint32) { // an answer
		var headers bytes.Buffer
		hpack.NewEncoder(&headers).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: headers.Bytes(), EndHeaders: true})
		frames.WriteData(stream, false, []byte("{"))
	}
	for name, c := range map[string]struct {
		act  func(frames *http2.Framer, stream uint32)
		says string
	}{
		"closed":                 {func(*http2.Framer, uint32) {}, "unexpected EOF"},
		"by a server that stops": {func(f *http2.Framer, stream uint32) { f.WriteGoAway(stream, http2.ErrCodeNo, nil) }, "sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR"},
		"by one that failed":     {func(f *http2.Framer, stream uint32) { f.WriteGoAway(stream, http2.ErrCodeInternal, []byte("x")) }, "sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=INTERNAL_ERROR"},
		"not taken":              {func(f *http2.Framer, _ uint32) { f.WriteGoAway(0, http2.ErrCodeInternal, nil) }, "received GOAWAY from server ErrCode:INTERNAL_ERROR"},
		"in the middle": {func(f *http2.Framer, stream uint32) {
			begin(f, stream)
			f.WriteGoAway(stream, http2.ErrCodeNo, nil)
		}, "Please retry. Original error: http2: server sent GOAWAY and closed"},
		"in the middle, not taken": {func(f *http2.Framer, stream uint32) {
			begin(f, stream)
			f.WriteGoAway(0, http2.ErrCodeNo, nil)
		}, "Please retry. Original error: http2: Transport received Server's graceful shutdown GOAWAY"},
		"one answer": {func(f *http2.Framer, stream uint32) { f.WriteRSTStream(stream, http2.ErrCodeInternal) }, "stream error: stream ID 1; INTERNAL_ERROR"},
	} {
		client, _ := dialing(t, serveHTTP2(t, http2.FrameHeaders, c.act))
		err := ask(t.Context(), client)
		if !strings.Contains(fmt.Sprint(err), c.says) || !IsCut(err) || !IsTransient(err) || !IsUnanswered(err) || IsUnreachable(err) != (name != "one answer") {
			t.Errorf("%s: %v", name, err)
		}
	}

	isCut := func(name, says string, err error) {
		t.Helper()
		if !strings.Contains(fmt.Sprint(err), says) || !IsCut(err) || !IsTransient(err) || !IsUnanswered(err) || !IsUnreachable(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// By the client itself, as where its certificate is renewed.
	var dialed <-chan closing
	var client *Client
	client, dialed = dialing(t, serveHTTP2(t, http2.FrameHeaders, func(*http2.Framer, uint32) { (<-dialed).Close() }))
	isCut("by the client", "use of closed network connection", ask(t.Context(), client))

	// Before the first request, and between two.
	had := func(then func()) context.Context {
		return httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
			then()
			<-(<-dialed).closed
		}})
	}
	client, dialed = dialing(t, serveHTTP2(t, http2.FrameWindowUpdate, func(*http2.Framer, uint32) {}))
	isCut("before the first request", "http2: client conn could not be established", ask(had(func() {}), client))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	t.Cleanup(server.Close)
	client, dialed = dialing(t, server)
	if err := ask(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	isCut("between two", "http: server closed idle connection", ask(had(server.CloseClientConnections), client))

	// Who gave up is told nothing of the connection.
	ctx, cancel := context.WithCancel(t.Context())
	client, _ = dialing(t, serveHTTP2(t, http2.FrameHeaders, func(f *http2.Framer, stream uint32) {
		f.WriteGoAway(stream, http2.ErrCodeNo, nil)
		cancel()
		for frame, err := f.ReadFrame(); err == nil && frame.Header().Type != http2.FrameRSTStream; {
			frame, err = f.ReadFrame()
		}
	}))
	if err := ask(ctx, client); !errors.Is(err, context.Canceled) || IsTransient(err) || IsCut(err) || IsUnreachable(err) {
		t.Error(err)
	}
}

// Questions that get no answer at all are waited for together.
func TestSilenceIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Patience{Limit: 20 * time.Second}
		silent := func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, &url.Error{Op: "Get", Err: ctx.Err()}
		}
		begun := time.Now()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := AskPatiently(t.Context(), p, "x", silent); !IsFailing(err) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(begun); took != AnswerLimit {
			t.Errorf("eight at once took %s", took)
		}
		begun = time.Now()
		for range 10 {
			if _, err := AskPatiently(t.Context(), p, "x", silent); !IsFailing(err) {
				t.Error(err)
			}
		}
		if took := time.Since(begun); took != 10*30*time.Second {
			t.Errorf("ten one after the other took %s", took)
		}
		// One that takes its time is heard, also at the very end, and where it is accepted as down.
		slow := func(ctx context.Context) (int, error) {
			select {
			case <-ctx.Done():
				return 0, &url.Error{Op: "Get", Err: ctx.Err()}
			case <-time.After(29 * time.Second):
				return 1, nil
			}
		}
		for name, p := range map[string]*Patience{"after a silence": p, "accepted": Impatience()} {
			if _, err := AskPatiently(t.Context(), p, "x", slow); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		asked := 0
		if _, err := AskPatiently(t.Context(), &Patience{Limit: time.Hour, until: time.Now()}, "x", func(ctx context.Context) (int, error) {
			if asked++; asked == 1 {
				return 0, apierrors.NewServiceUnavailable("down")
			}
			return slow(ctx)
		}); err != nil {
			t.Errorf("asked %d times: %v", asked, err)
		}
	})
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
