package terraform

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// marker stands in every place of the test folders where a secret can stand.
const marker = "hunter2"

// Nothing that this package returns, prints or reports holds a value that the
// configuration or the state marks as sensitive.
func TestSensitiveValuesLeaveThePackageInNoForm(t *testing.T) {
	places := 0
	for _, name := range []string{"sensitive", "set-forms", "set-blocks", "provider-3-lists", "remote-state", "backend", "clusters-by-host", "state"} {
		dir := filepath.Join("testdata/forms", name)
		if err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				places += strings.Count(readText(t, p), marker)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		f, opts := readForm(t, dir)
		r, err := Load(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		check := func(what string, v any) {
			t.Helper()
			texts := []string{fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v)}
			if data, err := json.Marshal(v); err == nil {
				texts = append(texts, string(data))
			}
			for _, text := range texts {
				if i := strings.Index(text, marker); i >= 0 {
					t.Errorf("%s: %s holds a secret: …%.60s", name, what, text[max(0, i-30):])
				}
			}
		}
		for _, h := range HelmReleases(t.Context(), r) {
			check(h.Address, *h)
			check(h.Address, h)
			check(h.Address, h.Values)
			for _, l := range h.Values.Leaves() {
				check(h.Address, *l.Node)
			}
			plain, gaps := h.Values.Plain()
			check(h.Address+" plain", plain)
			check(h.Address+" gaps", gaps)
		}
		check("the result", *r)
		check("workloads", Workloads(t.Context(), r))
		check("scripts", Scripts(t.Context(), r))
		for _, x := range r.Resources {
			check(x.Address, *x)
			check(x.Address, *x.Body)
			for n, a := range x.Body.Attributes {
				check(x.Address+"."+n, a.Value)
				check(x.Address+"."+n, ValueTree(a.Value))
				check(x.Address+"."+n, Causes(a.Value))
				check(x.Address+"."+n, *a)
			}
		}
		for _, p := range r.Providers {
			check(p.Ref.String(), p)
		}
		for _, o := range r.Outputs {
			check("output "+o.Name, o)
		}
		for _, v := range r.Variables {
			check("variable "+v.Name, v)
		}
		for _, d := range r.Diagnostics {
			check("a diagnostic", d)
			check("a diagnostic", d.String())
		}
		if f.State == "" {
			continue
		}
		s := readStateFile(t, filepath.Join(dir, f.State))
		check("the state", *s)
		for _, x := range s.Resources {
			check(x.Address, *x)
			if x.Release != nil {
				check(x.Address, *x.Release)
				for _, l := range x.Release.Values.Leaves() {
					check(x.Address, *l.Node)
				}
			}
		}
		for _, m := range MatchState(r, s, "helm_release") {
			check(m.Address, m)
		}
	}
	if places < 15 {
		t.Fatalf("only %d secrets stand in the test folders", places)
	}
}

// An error about a state that cannot be read quotes nothing of it.
func TestErrorsAboutAStateQuoteNothingOfIt(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":        `{"version": 4, hunter2`,
		"a string":        `"hunter2"`,
		"resources":       `{"version": 4, "resources": "hunter2"}`,
		"an instance":     `{"version": 4, "resources": [{"instances": ["hunter2"]}]}`,
		"a module type":   `{"version": 4, "resources": [{"module": {"x": "hunter2"}}]}`,
		"version 3":       `{"version": 3, "modules": "hunter2"}`,
		"show":            `{"format_version": "1.0", "values": "hunter2"}`,
		"show module":     `{"format_version": "1.0", "values": {"root_module": "hunter2"}}`,
		"another version": `{"version": 2, "x": "hunter2"}`,
		"encrypted":       `{"encrypted_data": "hunter2"}`,
		"a prior state":   `{"format_version": "1.0", "prior_state": "hunter2"}`,
	} {
		_, err := ReadState(t.Context(), strings.NewReader(text), Limits{})
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), marker) {
			t.Errorf("%s: the error quotes the state: %v", name, err)
		}
	}
}
