package main

import (
	"errors"
	"strings"
	"testing"
)

func TestLogLinesAreQuotedAsInLogfmt(t *testing.T) {
	t.Parallel()
	got := logfmt([]any{"method", "Sync", "args", "", "count", 2, "cmd", "kubectl apply -f -", "err", nil,
		"output", "a created\nb <created>", "equals", "a=b", "cause", errors.New(`said "no"`)})
	want := `method=Sync args= count=2 cmd="kubectl apply -f -" err=null output="a created\nb <created>" equals="a=b" cause="said \"no\""`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLogLinesCarryTimeCallerAndPrefix(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	newLogger(&out, "fmt").with("component", "sync-loop").line("event", "refreshed")
	if line := out.String(); !strings.HasPrefix(line, "ts=20") || !strings.Contains(line, " caller=logfmt_test.go:") ||
		!strings.HasSuffix(line, " component=sync-loop event=refreshed\n") {
		t.Errorf("line is %q", line)
	}
	out.Reset()
	newLogger(&out, "json").line("event", "refreshed", "err", nil)
	if line := out.String(); !strings.Contains(line, `"err":null`) || !strings.Contains(line, `"event":"refreshed"`) {
		t.Errorf("line is %q", line)
	}
}
