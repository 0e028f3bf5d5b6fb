package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAQuestionIsAnsweredByAPersonOrByTheFlagAlone(t *testing.T) {
	stdin := os.Stdin
	t.Cleanup(func() { os.Stdin = stdin })
	for name, c := range map[string]struct {
		typed    string
		yes      bool
		want, no bool // no: there was no answer
	}{
		"nothing said":             {no: true},
		"cut off":                  {typed: "y", no: true},
		"Enter":                    {typed: "\n", want: true},
		"yes":                      {typed: "Yes\n", want: true},
		"no":                       {typed: " n\n"},
		"nothing said, with --yes": {yes: true, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "typed")
			if err := os.WriteFile(file, []byte(c.typed), 0o600); err != nil {
				t.Fatal(err)
			}
			in, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			os.Stdin = in
			got, err := (&demo{yes: c.yes}).confirm("hand over?")
			if got != c.want || (err != nil) != c.no {
				t.Errorf("%t, %v", got, err)
			}
			if c.no && !strings.Contains(err.Error(), "YES=1") {
				t.Errorf("%v does not say what to do", err)
			}
		})
	}
}
