package emit

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
)

// Difference is what `fluxover diff` shows of one object.
type Difference struct {
	Repository string `json:"repository"`
	migrate.ObjectPlan
	// Lines compare Flux v1's rendering with the new one, and the live object
	// with what the dry-run made of it, as YAML with a mark before each line.
	Lines []string `json:"lines,omitempty"`
}

// Differences gives the objects on which something happens, or, with all,
// every object; sorted by repository and object. Values of Secrets are
// replaced by marks that tell only which of them differ.
func Differences(r proof.Result, all bool) []Difference {
	var out []Difference
	for _, repo := range r.Plan.Repositories {
		for _, o := range repo.Objects {
			e := r.Evidence[repo.ID][o.ID]
			d := Difference{Repository: repo.ID, ObjectPlan: o}
			if e != nil {
				if e.Old != nil && e.New != nil {
					d.Lines = append(d.Lines, unified("Flux v1's rendering", "new rendering", proof.Plain(e.Old), proof.Plain(e.New))...)
				}
				if e.Live != nil && e.After != nil {
					d.Lines = append(d.Lines, unified("live", "after adoption", proof.Plain(e.Live), proof.Plain(e.After))...)
				}
			}
			if all || len(d.Lines) > 0 || len(o.Fields) > 0 || (o.Verb != migrate.Adopt && o.Verb != migrate.Skip) {
				out = append(out, d)
			}
		}
	}
	return out
}

// WriteDifferences writes them for people.
func WriteDifferences(w io.Writer, differences []Difference, total int) error {
	for _, d := range differences {
		fmt.Fprintf(w, "%-8s  %s  (%s, %s)\n", d.Verb, migrate.DisplayID(d.ID), d.Repository, d.Application)
		for _, f := range d.Fields {
			fmt.Fprintf(w, "          %s\n", f)
		}
		for _, l := range d.Lines {
			fmt.Fprintf(w, "          %s\n", l)
		}
	}
	_, err := fmt.Fprintf(w, "%d of %s with something to look at\n", len(differences), plural(total, "object"))
	return err
}

// unified compares two objects as YAML, line by line, with three lines of
// context. Nothing is returned when they are equal.
func unified(nameA, nameB string, a, b *unstructured.Unstructured) []string {
	a, b = masked(a, b)
	la, lb := lines(a), lines(b)
	if slices.Equal(la, lb) {
		return nil
	}
	out := []string{"--- " + nameA, "+++ " + nameB}
	edits := edit(la, lb)
	const context = 3
	last := -1
	for i, e := range edits {
		near := false
		for j := max(0, i-context); j <= min(len(edits)-1, i+context); j++ {
			near = near || edits[j].mark != ' '
		}
		if e.mark != ' ' || near {
			if last >= 0 && i > last+1 {
				out = append(out, "…")
			}
			out = append(out, string(e.mark)+" "+e.line)
			last = i
		}
	}
	return out
}

type editLine struct {
	mark byte
	line string
}

// edit is the shortest edit script by longest common subsequence; manifests
// are short enough for the quadratic table.
func edit(a, b []string) []editLine {
	lcs := make([][]int, len(a)+1)
	for i := range lcs {
		lcs[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				lcs[i][j] = lcs[i+1][j+1] + 1
			} else {
				lcs[i][j] = max(lcs[i+1][j], lcs[i][j+1])
			}
		}
	}
	var out []editLine
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, editLine{' ', a[i]})
			i++
			j++
		case j >= len(b) || i < len(a) && lcs[i+1][j] >= lcs[i][j+1]:
			out = append(out, editLine{'-', a[i]})
			i++
		default:
			out = append(out, editLine{'+', b[j]})
			j++
		}
	}
	return out
}

func lines(u *unstructured.Unstructured) []string {
	raw, err := yaml.Marshal(u.Object)
	if err != nil {
		return []string{"(cannot be written: " + err.Error() + ")"}
	}
	return strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
}

// masked replaces the values of two Secrets by marks that tell only which
// values differ. Other objects are given back as they are.
func masked(a, b *unstructured.Unstructured) (*unstructured.Unstructured, *unstructured.Unstructured) {
	if a.GetKind() != "Secret" || a.GroupVersionKind().Group != "" {
		return a, b
	}
	a, b = a.DeepCopy(), b.DeepCopy()
	for _, field := range []string{"data", "stringData"} {
		va, _, _ := unstructured.NestedMap(a.Object, field)
		vb, _, _ := unstructured.NestedMap(b.Object, field)
		for k := range va {
			if other, both := vb[k]; both && other == va[k] {
				va[k], vb[k] = "***", "***"
			} else if va[k] = "*** (one value)"; both {
				vb[k] = "*** (another value)"
			}
		}
		for k := range vb {
			if _, both := va[k]; !both {
				vb[k] = "***"
			}
		}
		setMap(a, va, field)
		setMap(b, vb, field)
	}
	return a, b
}

func setMap(u *unstructured.Unstructured, m map[string]any, field string) {
	if len(m) > 0 {
		u.Object[field] = m
	}
}
