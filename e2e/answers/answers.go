// Package answers checks what "plan --explain" answers, given as its JSON: of
// each line of a flux-capacitor what stands there, where it comes from, where
// it goes and why; of each setting of Flux v1 where it went.
package answers

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// Answer is one explanation.
type Answer struct {
	Subject, Value string
	From, To       []string
	Why            string
}

// Ask gives the explanations of a subject, as anything whose JSON they are.
type Ask func(subject string) any

// place is the form of an origin: a place or a setting that can be looked up, or
// a rule that is named.
var place = regexp.MustCompile(`(?m)^(` + strings.Join([]string{
	`git: \S+`, // a file or folder
	`\S+/\S+: (Deployment/|reads |declared at|the bindings of|(Cluster)?RoleBinding/|known_hosts|\S+ is (Secret/|ConfigMap/|in the |\S+$))`, // of an agent
	`\S+ \S+=`,                        // a setting: "flux/shop --git-branch=main (cluster: …)"
	`\S+ (does not give|gives no) --`, // its default
	`Kustomization/\S+: `,
	`capacitor.yaml(:\d+| does not give) \S+`,
	`--capacitor\S*`,
	`repository \S+/\S+`,
	`a rule of fluxover, for all alike: `,
	`how the ClusterAgent syncs`,
	`the (default exclusions|form of YAML|files of)`,
	`cluster \S+`,
	`says \S+`,
	`written once`,
}, "|") + `)`)

func (ask Ask) answers(t testing.TB, subject string) []Answer {
	t.Helper()
	raw, err := json.Marshal(ask(subject))
	if err != nil {
		t.Fatal(err)
	}
	var out []Answer
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s: %v: %s", subject, err, raw)
	}
	if len(out) == 0 {
		t.Errorf("%s has no explanation", subject)
	}
	return out
}

// whole is an answer with an origin, an end and a reason.
func (a Answer) whole(t testing.TB, subject string) {
	t.Helper()
	if a.Why == "" || len(a.From) == 0 || len(a.To) == 0 || slices.Contains(a.To, "") {
		t.Errorf("%s is explained in part: %+v", subject, a)
	}
	for _, from := range a.From {
		if !place.MatchString(from) {
			t.Errorf("%s comes from what nobody can look up, %q", subject, from)
		}
	}
}

// Tree is a tree of which these are the files; one without content is none.
func Tree(files map[string][]byte) fstest.MapFS {
	tree := fstest.MapFS{}
	for name, content := range files {
		if content != nil {
			tree[name] = &fstest.MapFile{Data: content}
		}
	}
	return tree
}

// Lines asks for each line of each file of a tree by its number, and fails the
// test where an answer is not about what stands there, or leads to no setting,
// file or rule. It tells how many lines there are.
func (ask Ask) Lines(t testing.TB, tree fs.FS) (lines int) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		texts := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
		lines += len(texts)
		for i, text := range texts {
			subject := fmt.Sprintf("%s:%d", name, i+1)
			found := ask.answers(t, subject)
			for _, a := range found {
				a.whole(t, fmt.Sprintf("%s, %q", subject, text))
			}
			key, value, isField := strings.Cut(strings.TrimLeft(text, " -"), ":")
			if value = strings.Trim(value, ` "'`); !isField || strings.HasPrefix(text, "#") || name == "capacitor.yaml" || path.Base(name) == "kustomization.yaml" {
				continue
			}
			// Lines of a text are answered with the whole text.
			if !slices.ContainsFunc(found, func(a Answer) bool {
				return strings.Contains(a.Subject, key) && (value == "" || strings.HasPrefix(value, "|") || strings.HasPrefix(value, ">") || strings.Contains(a.Value, value)) || strings.Contains(a.Value, strings.TrimLeft(text, " -"))
			}) {
				t.Errorf("%s, %q: %+v", subject, text, found)
			}
		}
		if raw, err := json.Marshal(ask(fmt.Sprintf("%s:%d", name, len(texts)+1))); err != nil || string(raw) != "null" {
			t.Errorf("%s: a line behind its end is explained: %s (%v)", name, raw, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// Settings asks for each setting of each agent of an Inventory, given as its
// JSON, and fails the test where an answer does not hold all of its ledger, or
// where a field that it is said to have become does not name it in turn. It
// tells how many fields there are.
func (ask Ask) Settings(t testing.TB, inventory any) (fields int) {
	t.Helper()
	raw, err := json.Marshal(inventory)
	if err != nil {
		t.Fatal(err)
	}
	var inv struct {
		Agents []struct {
			ID       string
			Settings []struct {
				Name, Value, Fate, To string
				From                  []struct{ Where string }
			}
		}
	}
	if err := json.Unmarshal(raw, &inv); err != nil {
		t.Fatal(err)
	}
	became := regexp.MustCompile(`^([A-Z]\w+/\S+ \.\S+) = `)
	for _, a := range inv.Agents {
		for _, s := range a.Settings {
			subject := a.ID + " " + s.Name
			found := ask.answers(t, subject)
			i := slices.IndexFunc(found, func(x Answer) bool { return x.Subject == subject && x.Value == s.Value })
			if i < 0 {
				t.Errorf("%s = %q: %+v", subject, s.Value, found)
				continue
			}
			x := found[i]
			if x.Why == "" || len(x.From) != len(s.From) || len(x.To) == 0 || s.Fate == "carried" && !strings.Contains(x.To[0], s.To) {
				t.Errorf("%s: %+v", subject, x)
			}
			for _, to := range x.To[1:] {
				m := became.FindStringSubmatch(to)
				if m == nil {
					continue
				}
				fields++
				if !slices.ContainsFunc(ask.answers(t, m[1]), func(x Answer) bool {
					return strings.Contains(strings.Join(x.From, "\n"), subject+"=") || strings.Contains(strings.Join(x.From, "\n"), "capacitor.yaml:")
				}) {
					t.Errorf("%s went to %s, which does not name it", subject, m[1])
				}
			}
		}
	}
	return fields
}
