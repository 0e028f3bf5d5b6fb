package auditor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite want.json")

// failing says for each case of testdata which checks fail; none means that the
// verdict is pass. It stands beside the goldens so that -update cannot turn a
// case round unseen.
var failing = map[string][]string{
	"handed-over":                       nil,
	"figures-disagree":                  {CheckFigures},
	"gap-too-long":                      {CheckGap},
	"gap-from-the-fence":                nil,
	"gap-ignores-a-policy-of-the-owner": nil,
	"gap-never-closed":                  {CheckGap},
	"given-up-halfway":                  nil,
	"rolled-back":                       nil,
	"rolled-back-without-pod-status":    nil,
	"rolled-back-and-handed-over-again": nil,
	"interleaved":                       {CheckInterleaved},
	"new-engine-writes-during-rollback": {CheckInterleaved},
	"resumed-too-early":                 {CheckBothMay},
	"deleted":                           {CheckDeleted},
	"deletion-was-a-dry-run":            nil,
	"deletion-was-expected":             nil,
	"deleted-behind-a-finalizer":        {CheckDeleted},
	"deleted-with-a-collection":         {CheckDeleted},
	"recreated":                         {CheckDeleted, CheckRecreated},
	"changed":                           {CheckChanged},
	"changed-as-planned":                nil,
	"changed-by-flux1":                  nil,
	"change-was-expected":               nil,
	"change-blamed-on-its-writer-though-logged-late": {CheckChanged},
	"scaled-by-an-autoscaler":                        nil,
	"unpredicted":                                    {CheckUnpredicted},
	"content-missing-from-the-log":                   {CheckUnjudged},
	"secret-known-by-the-inventory":                  nil,
	"secret-recreated":                               {CheckDeleted, CheckRecreated},
	"secret-deletion-was-a-dry-run":                  nil,
	"metadata-only-answers":                          nil,
	"unreadable-line":                                {CheckLog},
	"torn-last-line":                                 nil,
	"nothing-managed":                                {CheckLog},
	"shared-account-told-apart-by-pod":               nil,
}

func TestVerdictOfEachLog(t *testing.T) {
	dirs, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, d := range dirs {
		seen[d.Name()] = true
		t.Run(d.Name(), func(t *testing.T) {
			want, ok := failing[d.Name()]
			if !ok {
				t.Fatal("the case is not in the table of verdicts")
			}
			report := judgeCase(t, filepath.Join("testdata", d.Name()))
			var got []string
			for _, c := range report.Checks {
				if !c.OK {
					got = append(got, c.Name)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("failing checks = %v, want %v\n%s", got, want, asText(t, report))
			}
			if verdict := map[bool]string{true: "pass", false: "fail"}[len(want) == 0]; report.Verdict != verdict {
				t.Errorf("verdict = %s, want %s", report.Verdict, verdict)
			}
			compareGolden(t, filepath.Join("testdata", d.Name(), "want.json"), report)
			for _, line := range strings.Split(asText(t, report), "\n") {
				if utf8.RuneCountInString(line) > columns {
					t.Errorf("line is wider than %d columns: %s", columns, line)
				}
			}
		})
	}
	for name := range failing {
		if !seen[name] {
			t.Errorf("testdata/%s is missing", name)
		}
	}
}

// judgeCase reads a case with the files that lie beside its log.
func judgeCase(t *testing.T, dir string) *Report {
	t.Helper()
	var opts Options
	var more struct {
		Since   time.Time `json:"since"`
		MaxGap  string    `json:"maxGap"`
		Managed []string  `json:"managed"`
	}
	each := map[string]func([]byte) error{
		"plan.json":    func(raw []byte) (err error) { opts.Plan, err = ParsePlan(raw); return err },
		"status.json":  func(raw []byte) (err error) { opts.Status, err = ParseStatus(raw); return err },
		"expect.json":  func(raw []byte) (err error) { opts.Expected, err = ParseExpectations(raw); return err },
		"options.json": func(raw []byte) error { return json.Unmarshal(raw, &more) },
	}
	for name, use := range each {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = use(raw)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	opts.Since, opts.Managed = more.Since, more.Managed
	if more.MaxGap != "" {
		gap, err := time.ParseDuration(more.MaxGap)
		if err != nil {
			t.Fatal(err)
		}
		opts.MaxGap = gap
	}
	log, err := os.Open(filepath.Join(dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	a := New(opts)
	if err := a.Read(context.Background(), log); err != nil {
		t.Fatal(err)
	}
	return a.Report()
}

func asText(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func compareGolden(t *testing.T, file string, report *Report) {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(report); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("report differs from %s (-want +got):\n%s", file, diff)
	}
}
