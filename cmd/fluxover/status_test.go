package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/migrate/cutover"
)

// enough ends a context once a text was written so many times.
type enough struct {
	bytes.Buffer
	text  string
	times int
	end   context.CancelFunc
}

func (e *enough) Write(p []byte) (int, error) {
	n, err := e.Buffer.Write(p)
	if strings.Count(e.String(), e.text) >= e.times {
		e.end()
	}
	return n, err
}

func TestStatusSaysWhoIsAtWork(t *testing.T) {
	operator := &cutover.OperatorStatus{Holder: cutover.Holder{User: "ada", Host: "laptop", Command: "fluxover migrate", Since: time.Now()}}
	for name, c := range map[string]struct {
		operator *cutover.OperatorStatus
		want     bool
	}{
		"nobody":   {nil, false},
		"somebody": {operator, true},
		"the dead": {&cutover.OperatorStatus{Holder: operator.Holder, Expired: true}, false},
	} {
		var b bytes.Buffer
		if err := writeStatus(&b, cutover.StatusReport{Operator: c.operator}); err != nil {
			t.Fatal(err)
		}
		if got := strings.HasPrefix(b.String(), "at work since ") && strings.Contains(b.String(), ": ada@laptop (fluxover migrate)\n"); got != c.want {
			t.Errorf("%s: %q", name, b.String())
		}
	}
}

func TestStatusIsSaidAgainUntilInterrupted(t *testing.T) {
	cluster := answering(t, map[string]string{
		"/version": `{"major":"1","minor":"33","gitVersion":"v1.33.0"}`,
		"/api/v1/namespaces/fluxover-system/configmaps": `{"kind":"ConfigMapList","apiVersion":"v1","items":[]}`,
	})
	const said = "no migration was begun in this cluster\n"
	for name, c := range map[string]struct {
		args  []string
		times int
	}{
		"once":  {nil, 1},
		"again": {[]string{"--watch"}, 2},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var stderr bytes.Buffer
		out := &enough{text: said, times: 2, end: cancel}
		if code := run(ctx, append(append([]string{"status"}, c.args...), cluster...), nil, out, &stderr); code != exitDone {
			t.Errorf("%s: exit code %d: %s", name, code, stderr.String())
		}
		cancel()
		if got := out.String(); got != strings.Repeat(said, c.times) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
