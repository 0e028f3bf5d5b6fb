package terraform

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What is said to be known while some variables have no value stays true
// whatever values they get: no default and no branch was taken in their place.
func TestWhatIsKnownStaysTrueWhateverTheUnknownTurnsOutToBe(t *testing.T) {
	dirs, err := filepath.Glob("testdata/forms/*")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, dir := range dirs {
		f, opts := readForm(t, dir)
		open, err := Load(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		var unset []Input
		for _, v := range open.Variables {
			if causes := Causes(v.Value); !v.Sensitive && !v.Set && len(causes) > 0 && causes[0].Kind == CauseVariable {
				unset = append(unset, v)
			}
		}
		if len(unset) == 0 {
			continue
		}
		before := HelmReleases(t.Context(), open)
		for round := range 6 {
			vars := map[string]string{}
			for k, v := range f.Vars {
				vars[k] = v
			}
			for i, v := range unset {
				ty := v.Value.Type()
				texts := []string{"", "x", "a,b", "true", "git@example.com:x/y", "other.example.com"}
				switch {
				case ty.FriendlyName() == "bool":
					texts = []string{"true", "false"}
				case ty.IsListType():
					texts = []string{`[]`, `["p"]`, `["p", "q"]`}
				case ty.IsMapType() && ty.ElementType().IsObjectType():
					texts = []string{`{}`, `{ x = { url = "u" } }`, `{ x = { url = "u" }, y = { url = "" } }`}
				case ty.IsMapType():
					texts = []string{`{}`, `{ "git.branch" = "set" }`, `{ "git.url" = "u", other = "v" }`}
				}
				vars[v.Name] = texts[(round+i)%len(texts)]
			}
			settled := opts
			settled.Arguments = f.arguments(vars)
			r, err := Load(t.Context(), settled)
			if err != nil {
				t.Fatal(err)
			}
			after := map[string]*HelmRelease{}
			for _, h := range HelmReleases(t.Context(), r) {
				after[h.Address] = h
			}
			if slices.ContainsFunc(r.Diagnostics, func(d Diagnostic) bool { return d.Summary == "a value cannot be set" }) {
				continue // Helm refuses such a value, so the unknown is never it
			}
			name := fmt.Sprintf("%s with %v", filepath.Base(dir), vars)
			for _, b := range before {
				pattern := openAddress(b.Address)
				found := false
				for address, a := range after {
					if strings.Contains(b.Address, "[*]") && !pattern.MatchString(address) || !strings.Contains(b.Address, "[*]") && address != b.Address {
						continue
					}
					found = true
					compared++
					for what, pair := range map[string][2]*Node{
						"name": {b.Name, a.Name}, "namespace": {b.Namespace, a.Namespace}, "version": {b.Version, a.Version},
						"repository": {b.Repository, a.Repository}, "values": {b.Values, a.Values},
					} {
						for _, problem := range contradictions(pair[0], pair[1], what) {
							t.Errorf("%s: %s: %s", name, address, problem)
						}
					}
				}
				if !found && len(b.Unknown) == 0 {
					t.Errorf("%s: %s was said to exist", name, b.Address)
				}
			}
			for address := range after {
				known := false
				for _, b := range before {
					known = known || b.Address == address || strings.Contains(b.Address, "[*]") && openAddress(b.Address).MatchString(address)
				}
				if !known {
					t.Errorf("%s: %s was said not to exist", name, address)
				}
			}
		}
	}
	if compared < 50 {
		t.Fatalf("only %d releases were compared", compared)
	}
}

// contradictions lists where b, with fewer unknowns, says other than a.
func contradictions(a, b *Node, path string) []string {
	switch {
	case a == nil && b == nil:
		return nil
	case a == nil:
		return []string{path + " was said not to be set"}
	case a.Kind == Unknown || a.Kind == Sensitive:
		return nil
	case b == nil:
		for _, l := range a.Leaves() {
			if l.Node.Kind == Scalar {
				return []string{path + " was said to be set"}
			}
		}
		return nil
	case b.Kind == Unknown || b.Kind == Sensitive:
		return []string{path + " was said to be known"}
	case a.Kind != b.Kind:
		return []string{fmt.Sprintf("%s was a %s and is a %s", path, a.Kind, b.Kind)}
	case a.Kind == Scalar && !reflect.DeepEqual(a.Scalar, b.Scalar):
		return []string{fmt.Sprintf("%s was %v and is %v", path, a.Scalar, b.Scalar)}
	}
	var out []string
	for k, v := range a.Map {
		out = append(out, contradictions(v, b.Map[k], path+"."+k)...)
	}
	for k := range b.Map {
		if a.Map[k] == nil && len(a.Causes) == 0 {
			out = append(out, path+"."+k+" was said not to be set")
		}
	}
	if a.Kind == List && len(a.List) != len(b.List) {
		return append(out, path+" has another length")
	}
	for i := range a.List {
		out = append(out, contradictions(a.List[i], b.List[i], fmt.Sprintf("%s[%d]", path, i))...)
	}
	return out
}
