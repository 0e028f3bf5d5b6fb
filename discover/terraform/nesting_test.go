package terraform

import (
	"strings"
	"testing"
	"time"
)

// What is tried within what is tried takes no more time than what it is: it is not
// evaluated once more for each of them.
func TestWhatIsTriedWithinWhatIsTriedTakesNoTimeOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct{ open, inner string }{
		"a value":         {"try(", "1"},
		"an unknown one":  {"try(", "var.x"},
		"an error":        {"try(", "file(\"none\")"},
		"whether it can":  {"can(", "var.x"},
		"by turns":        {"try(can(", "var.x"},
		"a part of a map": {"try(", "var.x.a.b"},
	} {
		t.Run(name, func(t *testing.T) {
			const depth = 40
			text := strings.Repeat(c.open, depth) + c.inner + strings.Repeat(")", depth*strings.Count(c.open, "("))
			dir := writeTree(t, map[string]string{"main.tf": "variable \"x\" {}\noutput \"a\" {\n value = " + text + "\n}\n"})
			start := time.Now()
			r, err := Load(t.Context(), Options{Dir: dir, Root: dir})
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("%d levels took %v", depth, took)
			}
			for _, d := range r.Diagnostics { // nor does it use up what evaluation may cost
				if d.Summary == limitReached || strings.Contains(d.Detail, "limit") {
					t.Error(d)
				}
			}
			if c.inner == "1" && !r.Outputs[0].Value.IsKnown() {
				t.Errorf("the value is lost: %#v", r.Outputs[0].Value)
			}
		})
	}
}
