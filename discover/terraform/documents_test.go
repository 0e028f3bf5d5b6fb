package terraform

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Documents are those that the provider makes, or none where it refuses.
func TestDocumentsAreThoseOfTheProvider(t *testing.T) {
	const object = "kind: K\napiVersion: v1\nmetadata: {name: a}\n"
	for name, c := range map[string]struct {
		body, template, want string // of the first document; ? if it is not known
	}{
		"a number among the variables": {`vars = { n = 2 }`, object + "n: ${jsonencode(n)}", object + `n: "2"`},
		"a template that is nothing":   {`vars = { n = null }`, "${n}", "?"},
		"one object twice":             {``, object + "---\n" + object, "?"},
		"not a map":                    {``, "- a", "?"},
		"too deep":                     {``, object + "x: " + strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "?"},
		"no template":                  {`disable_template = true`, object + "x: ${y}", object + "x: ${y}"},
		"a variable that is not given": {``, object + "x: ${y}", "?"},
		"sensitive":                    {`sensitive_vars = { n = "` + marker + `" }`, object + "x: ${n}", "?"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeTree(t, map[string]string{
				"a.yaml":  c.template,
				"main.tf": "data \"kubectl_path_documents\" \"x\" {\n pattern = \"./*.yaml\"\n " + c.body + "\n}\noutput \"o\" {\n value = data.kubectl_path_documents.x.documents[0]\n}\n",
			})
			r, err := Load(t.Context(), Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			o := r.Outputs[0]
			got := "?"
			if len(Causes(o.Value)) == 0 {
				got = stringOr(bareOf(o.Value), "nothing")
			}
			if d := cmp.Diff(strings.TrimSpace(c.want), got); d != "" {
				t.Errorf("(-want +got): %s\n%v", d, r.Diagnostics)
			}
		})
	}
}
