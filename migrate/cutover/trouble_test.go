package cutover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/fluxover/fluxover/reconcile/cluster"
)

// troubles answers, in place of the API server, the first requests of each
// kind with errors that pass.
type troubles struct {
	mu     sync.Mutex
	on     bool
	seen   map[string]int
	answer []string
}

// passingAnswers are the ones that each request meets, one after the other.
var passingAnswers = []struct {
	code   int
	reason string
}{{503, "ServiceUnavailable"}, {429, "TooManyRequests"}}

func (f *troubles) before(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(request *http.Request) (*http.Response, error) {
		if answer := f.meet(request); answer != nil {
			return answer, nil
		}
		return next.RoundTrip(request)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// meet is the answer of the trouble that the request meets; nil if it meets
// none.
func (f *troubles) meet(request *http.Request) *http.Response {
	f.mu.Lock()
	defer f.mu.Unlock()
	// What a proof or a probe tries in vain, and reads of the operator's own
	// Lease, are no part of this.
	plain := f.on && request.Header.Get("Impersonate-User") == "" && !strings.Contains(request.URL.Path, "/leases") && request.Method != http.MethodGet
	key := request.Method + " " + request.URL.Path
	if !plain || f.seen[key] == len(passingAnswers) {
		return nil
	}
	now := passingAnswers[f.seen[key]]
	if f.seen[key]++; f.seen[key] == 1 {
		f.answer = append(f.answer, key)
	}
	if request.Body != nil {
		_ = request.Body.Close()
	}
	return answered(request, now.code, metav1.StatusReason(now.reason), "in trouble")
}

// answered is an answer in place of the API server's.
func answered(request *http.Request, code int, reason metav1.StatusReason, message string) *http.Response {
	body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"reason":%q,"code":%d}`, message, reason, code)
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Request: request, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader([]byte(body))),
	}
}

func (f *troubles) turn(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = on
}

func TestPassingTroubleOfTheServerIsOutlastedInTheGap(t *testing.T) {
	tm := newTeam(t)
	before := tm.picture()
	f := &troubles{seen: map[string]int{}}
	config := rest.CopyConfig(tm.lab.cp.Config())
	config.Wrap(f.before)
	c, err := cluster.ForConfig(config)
	tm.must(err)
	o := tm.options()
	o.Crash = func(_, step string, when When) bool {
		switch {
		case step == "fence" && when == AfterStarted:
			f.turn(true)
		case step == "verify" && when == AfterDone:
			f.turn(false)
		}
		return false
	}
	tm.must(New(c, tm.plan, tm.replan, o, tm.record).Migrate(tm.ctx()))
	// The trouble was met where it counts.
	for _, write := range []string{
		"POST /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
		"POST /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
		"PATCH /apis/apps/v1/namespaces/" + tm.flux + "/deployments/flux",
		"PATCH /apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/" + tm.name + "-web",
		"PUT /api/v1/namespaces/fluxover-system/configmaps/" + journalName(tm.id),
	} {
		if f.seen[write] != len(passingAnswers) {
			t.Errorf("%s met %d troubles: it tests nothing", write, f.seen[write])
		}
	}
	noted := 0
	for _, e := range tm.events {
		if e.State == EventNote && strings.Contains(e.Message, "trying again") && strings.Contains(e.Message, "in trouble") {
			noted++
		}
	}
	if noted == 0 {
		t.Error("nothing was said of the trouble")
	}
	tm.must(tm.rollback())
	tm.same("there and back", before, tm.picture())
}

func TestOutlastingEndsWithTheLimitAndNeverHidesARefusal(t *testing.T) {
	t.Parallel()
	r := &repository{env: &env{emit: func(Event) {}}, id: "flux/a"}
	refusal := apierrors.NewForbidden(schema.GroupResource{Resource: "kustomizations"}, "web", errors.New("no"))
	calls := 0
	err := r.outlast(t.Context(), "adopt", func(context.Context) error { calls++; return refusal })
	if !apierrors.IsForbidden(err) || calls != 1 {
		t.Errorf("a refusal is an answer: %d calls, %v", calls, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	calls = 0
	err = r.outlast(ctx, "adopt", func(context.Context) error {
		calls++
		return fmt.Errorf("patch web: %w", apierrors.NewServiceUnavailable("restarting"))
	})
	if calls < 2 || !errors.Is(err, context.DeadlineExceeded) || !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), "patch web") {
		t.Errorf("%d calls, %v", calls, err)
	}
}
