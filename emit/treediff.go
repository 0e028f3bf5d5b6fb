package emit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/fluxover/fluxover/migrate"
)

// TreeChange is one thing that is different in several files of a
// flux-capacitor: one line of capacitor.yaml may change hundreds alike.
type TreeChange struct {
	// What changes, "Kustomization .spec.interval: 5m0s -> 10m0s".
	What string
	// Paths of the files, sorted.
	Paths []string
}

// TreeDiff says what changes would do to a tree: files that come, files that
// go, and each difference of an object with all the files that it is in.
func TreeDiff(files fs.FS, changes map[string][]byte) ([]TreeChange, error) {
	byWhat := map[string][]string{}
	for _, p := range Paths(changes) {
		held, err := fs.ReadFile(files, p)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read %s of the flux-capacitor: %w", p, err)
		}
		there, now := err == nil, changes[p]
		switch {
		case !there && now == nil || there && now != nil && bytes.Equal(held, now):
		case !there:
			byWhat["new"] = append(byWhat["new"], p)
		case now == nil:
			byWhat["gone"] = append(byWhat["gone"], p)
		default:
			for _, what := range fileDiff(held, now) {
				byWhat[what] = append(byWhat[what], p)
			}
		}
	}
	var out []TreeChange
	for what, paths := range byWhat {
		out = append(out, TreeChange{What: what, Paths: paths})
	}
	slices.SortFunc(out, func(a, b TreeChange) int {
		return cmp.Or(len(b.Paths)-len(a.Paths), strings.Compare(a.What, b.What))
	})
	return out, nil
}

// fileDiff says what is different between two versions of a file, object by
// object; what is no list of objects is only said to differ.
func fileDiff(was, is []byte) []string {
	before, errBefore := documents(was)
	after, errAfter := documents(is)
	if errBefore != nil || errAfter != nil {
		return []string{"its text"}
	}
	var out []string
	for _, id := range unionOf(before, after) {
		a, b := before[id], after[id]
		switch {
		case b == nil:
			out = append(out, migrate.DisplayID(id)+" goes")
		case a == nil:
			out = append(out, migrate.DisplayID(id)+" comes")
		default:
			differing(nil, a.Object, b.Object, func(steps []step, x, y any) {
				out = append(out, fmt.Sprintf("%s %s: %s -> %s", b.GetKind(), pathOf(steps), inline(x), inline(y)))
			})
		}
	}
	if len(out) == 0 {
		out = []string{"its text"} // a comment, or the order of objects
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func inline(v any) string {
	if v == nil {
		return "(none)"
	}
	text := strings.Join(lines(v, true), " ")
	return shorten(strings.Join(strings.Fields(text), " "), 60)
}

func unionOf(a, b map[string]*unstructured.Unstructured) []string {
	var ids []string
	for id := range a {
		ids = append(ids, id)
	}
	for id := range b {
		if a[id] == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// documents reads a file's objects, by id.
func documents(content []byte) (map[string]*unstructured.Unstructured, error) {
	out := map[string]*unstructured.Unstructured{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		u := &unstructured.Unstructured{}
		switch err := decoder.Decode(&u.Object); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		case len(u.Object) > 0:
			out[migrate.ObjectID(u)] = u
		}
	}
}

// WriteTreeDiff writes it for people. Nothing is written where nothing changes.
func WriteTreeDiff(w io.Writer, changes []TreeChange, style Style) error {
	for _, c := range changes {
		what := c.What
		switch what {
		case "new":
			what = style.paint("new", green)
		case "gone":
			what = style.paint("gone", red)
		default:
			what = style.paint(printable(what), yellow)
		}
		places := c.Paths
		more := ""
		if len(places) > 3 {
			places, more = places[:3], fmt.Sprintf(" and %d more", len(places)-3)
		}
		text := Wrap(fmt.Sprintf("%s: %s%s", migrate.Count(len(c.Paths), "file"), strings.Join(places, ", "), more), style.width()-4, "    ")
		if _, err := fmt.Fprintf(w, "  %s\n    %s\n", what, text); err != nil {
			return err
		}
	}
	return nil
}
