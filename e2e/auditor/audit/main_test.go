package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
)

const cases = "../testdata/"

func TestExitCodes(t *testing.T) {
	tests := []struct {
		desc   string
		args   []string
		code   int
		stderr string
	}{
		{"clean", []string{"--log", cases + "handed-over/audit.jsonl", "--plan", cases + "handed-over/plan.json"}, 0, ""},
		{"violations", []string{"--log", cases + "deleted/audit.jsonl"}, 1, ""},
		{"outside the window", []string{"--log", cases + "deleted/audit.jsonl", "--until", "2026-11-22T10:00:25Z"}, 0, ""},
		{"status disagrees", []string{"--log", cases + "handed-over/audit.jsonl", "--status", cases + "figures-disagree/status.json"}, 1, ""},
		{"tolerated", []string{"--log", cases + "handed-over/audit.jsonl", "--status", cases + "figures-disagree/status.json", "--tolerance", "1s"}, 0, ""},
		{"no log", nil, 64, "no --log"},
		{"unknown flag", []string{"--lgo", "x"}, 64, "unknown flag"},
		{"bad time", []string{"--log", "x", "--since", "yesterday"}, 64, "--since"},
		{"bad output", []string{"--log", "x", "-o", "xml"}, 64, "--output"},
		{"argument", []string{"x"}, 64, "unexpected argument"},
		{"missing file", []string{"--log", cases + "none"}, 1, "open audit log"},
		{"missing plan", []string{"--log", cases + "handed-over/audit.jsonl", "--plan", cases + "none"}, 1, "none"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			var out, errOut bytes.Buffer
			if code := run(context.Background(), tt.args, &out, &errOut); code != tt.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.code, out.String(), errOut.String())
			}
			if !strings.Contains(errOut.String(), tt.stderr) || tt.stderr == "" && errOut.Len() > 0 {
				t.Errorf("stderr = %q, want %q in it", errOut.String(), tt.stderr)
			}
		})
	}
}

func TestOutputInBothForms(t *testing.T) {
	log := cases + "deleted/audit.jsonl"
	var text, asJSON, errOut bytes.Buffer
	run(context.Background(), []string{"--log", log}, &text, &errOut)
	if !strings.HasPrefix(text.String(), "FAIL  ") {
		t.Errorf("the text does not begin with the verdict:\n%s", text.String())
	}
	run(context.Background(), []string{"--log", log, "-o", "json"}, &asJSON, &errOut)
	var report struct {
		APIVersion, Verdict string
		Violations          []struct{ Subject string }
	}
	if err := json.Unmarshal(asJSON.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if report.APIVersion != "audit.fluxover.dev/v1" || report.Verdict != "fail" || len(report.Violations) != 1 ||
		report.Violations[0].Subject != "shop_settings__ConfigMap" {
		t.Errorf("unexpected report: %+v", report)
	}
}
