package terraform

import (
	"strings"
	"testing"
)

// Where it is not known whether a block makes anything, it is no error that it takes an
// element of a collection without elements: that may never be asked for.
func TestAnElementThatMayNeverBeAskedForIsNoError(t *testing.T) {
	const config = "variable \"names\" {}\nresource \"null_resource\" \"none\" {\n count = 0\n}\nresource \"null_resource\" \"user\" {\n for_each = {for n in %s : n => n}\n triggers = {\n id = null_resource.none.0.id\n }\n}\n"
	for each, want := range map[string]int{"var.names": 0, "[\"a\"]": 1, "[]": 0} {
		dir := writeTree(t, map[string]string{"main.tf": strings.Replace(config, "%s", each, 1)})
		r, err := Load(t.Context(), Options{Dir: dir, Root: dir})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, d := range r.Diagnostics {
			if d.Severity == Error {
				n++
			}
		}
		if n != want {
			t.Errorf("for each of %s: %d errors, not %d: %v", each, n, want, r.Diagnostics)
		}
	}
}
