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

// To the provider template the variables of a template are texts, whatever they
// are where they are given.
func TestTheVariablesOfATemplateAreTexts(t *testing.T) {
	for name, c := range map[string]struct{ vars, template, want string }{
		"true is the text":                 {"b = true", `%{ if b == "true" }on%{ else }off%{ endif }`, "on"},
		"true as it is written":            {"b = true", `%{ if b == true }on%{ else }off%{ endif }`, "off"},
		"a condition":                      {"b = false", `%{ if b }on%{ else }off%{ endif }`, "off"},
		"a number is the text":             {"n = 1", `%{ if n == "1" }one%{ else }other%{ endif }`, "one"},
		"a number that is counted with":    {"n = 1", `${n + 1}`, "2"},
		"a number, where another is open":  {"n = 1, open = var.x", `%{ if n == "1" }one%{ else }other%{ endif }`, "one"},
		"a text beside one that is open":   {"b = true, open = var.x", `${open}: %{ if b == "true" }on%{ else }off%{ endif }`, "?: on"},
		"one in JSON":                      {"b = true", `${jsonencode(b)}`, `"true"`},
		"one in JSON beside one that open": {"b = true, open = var.x", `${open}: ${jsonencode(b)}`, `?: "true"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeTree(t, map[string]string{
				"t.tpl": c.template,
				"main.tf": "variable \"x\" {}\ndata \"template_file\" \"t\" {\n template = file(\"t.tpl\")\n vars = { " + c.vars + " }\n}\nresource \"helm_release\" \"r\" {\n name = \"r\"\n chart = \"flux\"\n" +
					" values = [\"v: '${data.template_file.t.rendered}'\"]\n}\n",
			})
			r, err := Load(t.Context(), Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			n := HelmReleases(t.Context(), r)[0].Values.Lookup("v")
			got := strings.ReplaceAll(n.Text, "${var.x}", "?")
			if s, ok := n.Str(); ok {
				got = s
			}
			if got != c.want {
				t.Errorf("%q, want %q\n%v", got, c.want, r.Diagnostics)
			}
		})
	}
}
