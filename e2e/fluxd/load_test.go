package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/fluxover/fluxover/e2e/sops"
	"github.com/rogpeppe/go-internal/txtar"
)

var updateLoad = flag.Bool("update-load", false, "rewrite the listings of testdata/load")

// knownKinds stands for discovery.
type knownKinds map[string]bool

func (k knownKinds) namespaced(apiVersion, kind string) (bool, error) {
	namespaced, ok := k[apiVersion+"/"+kind]
	if !ok {
		return false, fmt.Errorf("resource %w for API %s, kind %s", errUnknownKind, apiVersion, kind)
	}
	return namespaced, nil
}

var someKinds = knownKinds{
	"v1/ConfigMap": true, "v1/Namespace": false, "apps/v1/Deployment": true, "v1/Secret": true,
	"apiextensions.k8s.io/v1/CustomResourceDefinition": false, "rbac.authorization.k8s.io/v1/ClusterRole": false,
}

// TestLoadListsWhatTheRulesSay loads the tree of every case folder and compares
// the listing. A case holds tree.txtar, with a section "flags" of loader options
// and paths, "links" of symbolic links, and the files; and listing.txt: each
// object with its source and what ignore annotation it has, or the error.
func TestLoadListsWhatTheRulesSay(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/load/*/tree.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := listing(t, archive)
			golden := filepath.Join(filepath.Dir(path), "listing.txt")
			if *updateLoad {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func listing(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	l := loader{generatorTimeout: 10 * time.Second, env: os.Environ()}
	var paths []string
	var links string
	for _, file := range archive.Files {
		switch file.Name {
		case "flags":
			for _, word := range strings.Fields(string(file.Data)) {
				switch word {
				case "--manifest-generation":
					l.generate = true
				case "--sops":
					l.keys = func() ([]string, error) { return nil, nil }
				default:
					paths = append(paths, word)
				}
			}
		case "links":
			links = string(file.Data)
		default:
			path := filepath.Join(dir, filepath.FromSlash(file.Name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, file.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(links), "\n") {
		if from, to, ok := strings.Cut(line, " -> "); ok {
			if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var log strings.Builder
	p := &placer{scope: someKinds, defaultNamespace: "fallback", log: newLogger(&log, "fmt"), warned: map[identity]bool{}}
	l.place = p.place
	set, err := l.load(context.Background(), dir, paths)
	if err != nil {
		return "error: " + strings.ReplaceAll(err.Error(), dir, ".") + "\n"
	}
	var lines []string
	for id, m := range set {
		line := fmt.Sprintf("%s from %s", id, m.source)
		if policy := ignorePolicy(m.annotations); policy != "" {
			line += " ignore=" + policy
		}
		lines = append(lines, line+"\n")
	}
	for id := range p.warned {
		lines = append(lines, fmt.Sprintf("left out: %s\n", id))
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}

func TestEncryptedFilesAreDecryptedWholeWithTheKeysOfThePod(t *testing.T) {
	pgp, err := sops.NewPGP()
	if err != nil {
		t.Fatal(err)
	}
	age, err := sops.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	root := podRoot(t.TempDir())
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func(text string, set *settings) (manifestSet, error) {
		dir := t.TempDir()
		write(filepath.Join(dir, "a.yaml"), text)
		p := &placer{scope: someKinds, defaultNamespace: "fallback", log: newLogger(&strings.Builder{}, "fmt"), warned: map[identity]bool{}}
		l := loader{keys: decryptionKeys(set, root), place: p.place}
		return l.load(t.Context(), dir, nil)
	}
	// A list, whole, and each kind of key in its place.
	const plain = "apiVersion: v1\nkind: List\nitems:\n    - apiVersion: v1\n      kind: Secret\n      metadata: {name: s}\n      stringData: {password: hidden-in-git}\n"
	none, imports := &settings{}, &settings{gitGPGKeyImport: []string{root.path("/gpg")}}
	for name, c := range map[string]struct {
		key sops.Key
		at  string
		set *settings
	}{
		"pgp": {pgp, "/gpg/private.key", imports},
		"age": {age, "/root/.config/sops/age/keys.txt", none},
	} {
		text, err := sops.Encrypt(plain, "yaml", sops.For(c.key))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "hidden-in-git") {
			t.Fatalf("not encrypted: %s", text)
		}
		if _, err := load(text, c.set); err == nil || !strings.Contains(err.Error(), "failed to decrypt") {
			t.Errorf("%s, without the key: %v, want a failure to decrypt", name, err)
		}
		write(root.path(c.at), c.key.Private)
		set, err := load(text, c.set)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m := set[newIdentity("fallback", "Secret", "s")]; m == nil || !strings.Contains(string(m.body), "hidden-in-git") {
			t.Errorf("%s: not decrypted: %v", name, set)
		}
	}
	if set, err := load("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\ndata: {a: 'sops: none'}\n", none); err != nil || len(set) != 1 {
		t.Errorf("a file that only has the word: %v, %v", set, err)
	}
}

func TestCRDInTheSetTellsTheScopeOfItsKind(t *testing.T) {
	t.Parallel()
	set, err := parseDocuments([]byte(`
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}, spec: {group: x.io, scope: Cluster, names: {kind: A}, versions: [{name: v1}]}}
---
{apiVersion: apiextensions.k8s.io/v1beta1, kind: CustomResourceDefinition, metadata: {name: b}, spec: {group: x.io, scope: Namespaced, names: {kind: B}, version: v2}}
---
{apiVersion: x.io/v1, kind: A, metadata: {name: a, namespace: dropped}}
---
{apiVersion: x.io/v2, kind: B, metadata: {name: b}}
---
{apiVersion: x.io/v1, kind: B, metadata: {name: other-version}}
`), "a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := &placer{scope: someKinds, defaultNamespace: "fallback", log: newLogger(&strings.Builder{}, "fmt"), warned: map[identity]bool{}}
	placed, err := p.place(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []identity{{"", "a", "a"}, {"fallback", "b", "b"}} {
		if placed[id] == nil {
			t.Errorf("%s is missing in %v", id, placed)
		}
	}
	if len(placed) != 3 {
		t.Errorf("%d objects are placed, want both and the first CRD", len(placed))
	}
}
