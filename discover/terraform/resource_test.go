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

// Of several fields that do not fit, the same one is told each time.
func TestTheFirstFieldThatDoesNotFitIsTold(t *testing.T) {
	const fields = `{ z = [], y = [], m = [], b = [], a = [] }`
	for variable, want := range map[string]string{
		"type = map(object({on = bool}))\ndefault = " + fields:                                                                                     `var.v: attribute "a": object required, but have tuple`,
		"type = map(map(string))\ndefault = " + fields:                                                                                             `var.v: attribute "a": map of string required`,
		"type = list(object({z = bool, y = bool, m = bool, b = bool, a = bool}))\ndefault = [" + fields + "]":                                      `var.v: element 0: attribute "a": bool required, but have tuple`,
		"type = map(list(object({z = bool, y = bool, m = bool, b = bool, a = bool})))\ndefault = {k = [" + fields + "]}":                           `var.v: attribute "k": element 0: attribute "a": bool required, but have tuple`,
		"type = object({z = object({q = bool}), a = optional(map(object({on = bool})))})\ndefault = { z = [], a = { z = {}, a = { on = true } } }": `var.v: attribute "a": attribute "z": attribute "on" is required`,
	} {
		dir := writeTree(t, map[string]string{"main.tf": "variable \"v\" {\n" + variable + "\n}\noutput \"o\" {\n value = var.v\n}\n"})
		for range 20 {
			r, err := Load(t.Context(), Options{Dir: dir, Root: dir})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Diagnostics) != 1 || r.Diagnostics[0].Detail != want {
				t.Fatalf("%s: %v, want %q", variable, r.Diagnostics, want)
			}
		}
	}
}
