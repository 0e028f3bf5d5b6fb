package build

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// fixture is a folder of testdata: tree.txtar (the repository), kustomization.yaml
// (the object), and where they matter ignore (spec.ignore), variables.yaml
// (postBuild.substituteFrom), options ("strict") and differs (why upstream gives
// another result on purpose). The golden is want.yaml or want.error.
type fixture struct {
	name    string
	in      Input
	tree    fstest.MapFS
	differs string
}

func fixtures(t testing.TB) []fixture {
	t.Helper()
	dirs, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var list []fixture
	for _, d := range dirs {
		list = append(list, readFixture(t, d.Name()))
	}
	return list
}

func readFixture(t testing.TB, name string) fixture {
	t.Helper()
	dir := filepath.Join("testdata", name)
	f := fixture{name: name, tree: fstest.MapFS{}}
	archive, err := txtar.ParseFile(filepath.Join(dir, "tree.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range archive.Files {
		f.tree[file.Name] = &fstest.MapFile{Data: file.Data, Mode: 0o644}
	}
	optional := func(name string) (string, bool) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return string(text), err == nil
	}
	text, _ := optional("kustomization.yaml")
	ks := &kustomizev1.Kustomization{}
	if err := yaml.UnmarshalStrict([]byte(text), ks); err != nil {
		t.Fatal(err)
	}
	f.in = Input{Tree: f.tree, Kustomization: ks}
	if text, ok := optional("ignore"); ok {
		f.in.SpecIgnore = &text
	}
	if text, ok := optional("variables.yaml"); ok {
		if err := yaml.UnmarshalStrict([]byte(text), &f.in.Variables); err != nil {
			t.Fatal(err)
		}
	}
	options, _ := optional("options")
	f.in.StrictSubstitution = strings.Contains(options, "strict")
	f.differs, _ = optional("differs")
	return f
}

func printed(t testing.TB, objects []*unstructured.Unstructured) string {
	t.Helper()
	var b strings.Builder
	for i, u := range objects {
		text, err := yaml.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		b.Write(text)
	}
	return b.String()
}

func TestFixturesRenderToTheirGoldens(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			objects, err := Objects(t.Context(), f.in)
			got, golden, other := printed(t, objects), "want.yaml", "want.error"
			if err != nil {
				got, golden, other = err.Error()+"\n", "want.error", "want.yaml"
				if objects != nil {
					t.Error("objects beside an error")
				}
			}
			golden, other = filepath.Join("testdata", f.name, golden), filepath.Join("testdata", f.name, other)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(other); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("no golden for:\n%s", got)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestFixturesRenderAsUpstream(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			if strings.Contains(f.differs, "upstream tries") || strings.Contains(f.differs, "upstream runs") {
				t.Log("not asked:", f.differs)
				return
			}
			want, digest, wantErr := upstream(t, f)
			got, err := Render(t.Context(), f.in)
			if f.differs != "" {
				if err == nil || wantErr != nil {
					t.Errorf("no longer differs (%s): ours %v, upstream %v", strings.TrimSpace(f.differs), err, wantErr)
				}
				return
			}
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("ours: %v\nupstream: %v", err, wantErr)
			}
			if err != nil {
				t.Logf("ours: %v\nupstream: %v", err, wantErr)
				return
			}
			if diff := cmp.Diff(want, got.Objects); diff != "" {
				t.Errorf("(-upstream +ours)\n%s", diff)
			}
			if d, err := got.Digest(); err != nil || d != digest {
				t.Errorf("digest %s, %v; upstream %s", d, err, digest)
			}
		})
	}
}

func TestErrorsCanBeToldApart(t *testing.T) {
	for name, want := range map[string]error{
		"path-absent": ErrPathNotFound, "path-is-a-file": ErrPathNotFound, "ignored-folder-of-a-path": ErrPathNotFound,
		"remote-git-base": ErrRemoteBase, "remote-file": ErrRemoteBase, "remote-file-of-a-generator": ErrRemoteBase,
		"remote-git-base-in-scp-form": ErrRemoteBase, "remote-file-of-a-transformer": ErrRemoteBase,
		"encrypted-secret-without-decryption": ErrEncrypted,
	} {
		if _, err := Objects(t.Context(), readFixture(t, name).in); !errors.Is(err, want) {
			t.Errorf("%s: %v is not %v", name, err, want)
		}
	}
}

// Kinds of Kubernetes that no cluster keeps end the rendering, which goes on otherwise.
func TestKindsThatAreNoObjectsFail(t *testing.T) {
	for _, kind := range []string{"v1 Status", "apps/v1 DeleteOptions"} {
		version, kind, _ := strings.Cut(kind, " ")
		in := Input{Kustomization: &kustomizev1.Kustomization{}, Tree: fstest.MapFS{"a.yaml": {Data: fmt.Appendf(nil, "apiVersion: %s\nkind: %s\nmetadata: {name: a}\n", version, kind)}}}
		if _, err := Objects(t.Context(), in); err == nil || !strings.Contains(err.Error(), "no cluster keeps a "+kind+" of "+version) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestNothingSecretOfARemoteBaseIsShown(t *testing.T) {
	for _, base := range []string{
		"https://u:hidden@127.0.0.1:1/x", "https://u:p@hidden@127.0.0.1:1/x", "https://u:hidden@p@127.0.0.1:1/x", "https://hidden@127.0.0.1:1/x",
		"https://127.0.0.1:1/x?token=hidden", "https://127.0.0.1:1/x?user=a@hidden", "https://u:p?hidden@127.0.0.1:1/x", "https://u:hidden?p@127.0.0.1:1/x",
		"git::https://u:p@hidden@127.0.0.1:1/x", "ssh://git:hidden@127.0.0.1:1/x", "u:hidden@github.com/x/y", "github.com/x/y?token=hidden", "git@github.com:x/y?token=hidden",
		"https://u:hid/hidden@127.0.0.1:1/x", "https://hidden/p@127.0.0.1:1/x", "https://u:hidden/p@127.0.0.1:1/x@v1", "u:hidden/p@github.com/x", "u:p/hidden@github.com/x@v1",
		"https://u:p@hidden/p@github.com/x", "https://me@corp.com:hidden@github.com/x", "https://me@corp.com:hidden/p@github.com/x", "me@corp.com:hidden@github.com/x",
		"my.name:hidden/p@github.com/x", "https://my.name:12/hidden@h/x", "https://my.name/x:hidden@github.com/x", "https://a.b#hidden@github.com/x", "u:hidden://p@github.com/x",
		"hidden@github.com/x", "https://u:p@q/hidden?r@github.com/x",
	} {
		in := readFixture(t, "remote-git-base").in
		in.Tree = fstest.MapFS{"apps/kustomization.yaml": {Data: []byte("resources: [\"" + base + "\"]\n")}}
		_, err := Objects(t.Context(), in)
		if !errors.Is(err, ErrRemoteBase) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", base, err)
		}
	}
}

// What is no secret stays, so that one sees which base it is.
func TestTheHostOfARemoteBaseIsShown(t *testing.T) {
	for base, want := range map[string]string{
		"https://127.0.0.1:1/x": "https://127.0.0.1:1/x", "https://127.0.0.1:1/x@v1/y": "https://***@v1/y", "https://git.example.com/x@v1": "https://git.example.com/x@v1", "https://git.example.com/x/@scope/y?ref=a@b": "https://git.example.com/x/@scope/y",
		"https://u:hidden@git.example.com/x": "https://git.example.com/x", "https://u:hidden@git.example.com/x@v1": "https://***@v1", "git@github.com:x/y": "git@github.com:x/y", "github.com/x/y@v1": "github.com/x/y@v1",
		"ssh://git@github.com/x/y": "ssh://github.com/x/y", "ssh://git@github.com/x/y@v1": "ssh://***@v1", "https://u:hidden/p@git.example.com/x": "https://***@git.example.com/x", "https://git/x@v1": "https://***@v1",
	} {
		in := readFixture(t, "remote-git-base").in
		in.Tree = fstest.MapFS{"apps/kustomization.yaml": {Data: []byte("resources: [\"" + base + "\"]\n")}}
		if _, err := Objects(t.Context(), in); !errors.Is(err, ErrRemoteBase) || !strings.Contains(err.Error(), strconv.Quote(want)) {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestFaultsNameFileAndDocument(t *testing.T) {
	for name, want := range map[string]string{
		"document-without-kind": "apps/values.yaml (document 2)", "document-without-name": "apps/a.yaml (document 2)",
		"unparsable-document": "apps/a.yaml (document 3)", "hidden-folder-without-manifests-fails": "apps/.tekton/b.yaml:",
		"remote-file": "apps/sub/kustomization.yaml", "same-object-twice": "b.yaml",
	} {
		if _, err := Objects(t.Context(), readFixture(t, name).in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not name %s", name, err, want)
		}
	}
}

func TestASharedArtifactGivesTheSame(t *testing.T) {
	f := readFixture(t, "plain-folder")
	want, err := Objects(t.Context(), f.in)
	if err != nil {
		t.Fatal(err)
	}
	in := f.in
	if in.Artifact, err = NewArtifact(f.tree, nil); err != nil {
		t.Fatal(err)
	}
	in.Tree = nil
	got, err := Objects(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestInputIsNotChanged(t *testing.T) {
	for _, f := range fixtures(t) {
		before := f.in.Kustomization.DeepCopy()
		tree := fmt.Sprint(hashTree(t, f.tree))
		_, _ = Objects(t.Context(), f.in)
		if diff := cmp.Diff(before, f.in.Kustomization); diff != "" {
			t.Errorf("%s: the Kustomization changed: %s", f.name, diff)
		}
		if after := fmt.Sprint(hashTree(t, f.tree)); after != tree {
			t.Errorf("%s: the tree changed", f.name)
		}
	}
}

func hashTree(t *testing.T, tree fs.FS) map[string]string {
	t.Helper()
	sums := map[string]string{}
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(tree, p)
		sum := sha256.Sum256(data)
		sums[p] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

func TestConcurrentRenderingsAgree(t *testing.T) {
	var list []fixture
	want := map[string]string{}
	for _, f := range fixtures(t) {
		r, err := Render(t.Context(), f.in)
		if err != nil {
			continue
		}
		list = append(list, f)
		want[f.name] = printed(t, r.Objects)
	}
	const workers = 8
	done := make(chan error, workers)
	for w := range workers {
		go func() {
			for i := range list {
				// Each worker begins elsewhere, so that builds with and
				// without their own schema meet.
				f := list[(i+w*len(list)/workers)%len(list)]
				r, err := Render(context.Background(), f.in)
				if err != nil {
					done <- fmt.Errorf("%s: %w", f.name, err)
					return
				}
				if got := printed(t, r.Objects); got != want[f.name] {
					done <- fmt.Errorf("%s: %s", f.name, cmp.Diff(want[f.name], got))
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestACancelledContextEndsTheRendering(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Objects(ctx, readFixture(t, "plain-folder").in); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// What no message is known to print, is hidden wherever it stands.
func TestNoErrorHoldsAValueOfASecret(t *testing.T) {
	const secret = "MARKED-SECRET"
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	for name, c := range map[string]struct{ file, hidden string }{
		"text":                   {"kind: Secret\nstringData: {password: " + secret + "}\n", secret},
		"text in base64":         {"kind: Secret\nstringData: {password: " + secret + "}\n", encoded},
		"base64":                 {"kind: Secret\ndata: {password: " + encoded + "}\n", encoded},
		"what base64 says":       {"kind: Secret\ndata: {password: " + encoded + "}\n", secret},
		"a key that is no text":  {"kind: Secret\nstringData: {8080: x, password: " + secret + "}\n", secret},
		"a number":               {"kind: Secret\nstringData: {pin: 0123456}\n", "0123456"},
		"a long number":          {"kind: Secret\nstringData: {pin: 12345678901234567890123}\n", "12345678901234567890123"},
		"signs":                  {"kind: Secret\nstringData: {password: 'a1\"b2<c3&d4>e5'}\n", "a1\"b2<c3&d4>e5"},
		"signs in JSON":          {"kind: Secret\nstringData: {password: 'a1\"b2<c3&d4>e5'}\n", `a1\"b2\u003cc3\u0026d4\u003ee5`},
		"a word twice":           {"kind: Secret\nstringData: {password: s3cr}\n", "s3cr s3cr"},
		"in a list":              {"kind: List\nitems: [{kind: Secret, stringData: {password: " + secret + "}}]\n", secret},
		"by an alias":            {"a: &a " + secret + "\nkind: Secret\nstringData: {password: *a}\n", secret},
		"a patch":                {"stringData: {password: " + secret + "}\n", secret},
		"a patch as text":        {"patches: [{target: {kind: Secret}, patch: \"kind: Any\\ndata: {password: " + secret + "}\\n\"}]\n", secret},
		"a JSON patch as text":   {"patches: [{target: {kind: Secret}, patch: '[{\"op\": \"add\", \"path\": \"/stringData/a\", \"value\": \"" + secret + "\"}]'}]\n", secret},
		"a literal":              {"secretGenerator: [{name: a, literals: [a=" + secret + "]}]\n", encoded},
		"a literal in quotes":    {"secretGenerator: [{name: a, literals: ['a=\"" + secret + "\"']}]\n", encoded},
		"a generator":            {"apiVersion: builtin\nkind: SecretGenerator\nliterals: [a=" + secret + "]\n", encoded},
		"a line of a file":       {"secretGenerator: [{name: a, envs: [more]}]\n", encoded},
		"a file":                 {"secretGenerator: [{name: a, files: [more]}]\n", base64.StdEncoding.EncodeToString([]byte("a=" + secret + "\n"))},
		"what does not parse":    {"kind: Secret\nstringData:\n  a: " + secret + "\n b: [\n", secret},
		"behind what is no YAML": {"kind: ConfigMap\n---\nkind: Secret\n\tdata:\n  a: " + secret + "\n", secret},
	} {
		files := map[string][]byte{"app/a.yaml": []byte(c.file), "app/more": []byte("a=" + secret + "\n")}
		read := func(p string) ([]byte, error) {
			if data, ok := files[p]; ok {
				return data, nil
			}
			return nil, fs.ErrNotExist
		}
		said := "accumulating: of 'missing.yaml' the value " + c.hidden + " is out of place"
		err := withoutSecrets(fmt.Errorf("%s: %w", said, fs.ErrInvalid), read, "app/a.yaml")
		if strings.Contains(err.Error(), c.hidden) || !strings.Contains(err.Error(), "accumulating: of 'missing.yaml' the value ***") || !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is about no Secret hides nothing.
	other := []byte("kind: ConfigMap\ndata: {readme: \"How to read: [the data: in accumulating resources from file\"}\n")
	said := errors.New("accumulating resources from file")
	if err := withoutSecrets(said, func(string) ([]byte, error) { return other, nil }, "a.yaml"); err != said {
		t.Errorf("of a ConfigMap: %v", err)
	}
}

func TestErrorsOfKustomizeQuoteNoContent(t *testing.T) {
	const secret = "MARKED-SECRET"
	for name, c := range map[string]struct{ kustomization, told string }{
		"a literal that is no pair":    {"secretGenerator: [{name: db, literals: [user=a, " + secret + "]}]\n", "one is not of the form key=value"},
		"other literals of the same":   {"secretGenerator: [{name: db, literals: [password=" + secret + ", b]}]\n", "one is not of the form key=value"},
		"a line of no UTF-8":           {"secretGenerator: [{name: db, envs: [bad.env]}]\n", "has invalid utf8 bytes"},
		"a patch that does not parse":  {"patches: [{patch: \"stringData: {password: " + secret + "\"}]\n", "unable to parse SM or JSON patch"},
		"a patch and a path":           {"patches: [{path: a.yaml, patch: \"stringData: {password: " + secret + "}\"}]\n", "patch and path can't be set at the same time"},
		"a JSON patch of everything":   {"patches: [{patch: '[{\"op\": \"add\", \"path\": \"/data\", \"value\": \"" + secret + "\"}]'}]\n", "must specify a target for JSON patch"},
		"a validator that changes":     {"patches: [{target: {kind: ConfigMap}, patch: '[{\"op\": \"add\", \"path\": \"/data\", \"value\": {\"k\": \"" + secret + "\"}}]'}]\nvalidators: [\"apiVersion: builtin\\nkind: AnnotationsTransformer\\nmetadata: {name: p}\\nannotations: {a: b}\\nfieldSpecs: [{path: metadata/annotations, create: true}]\\n\"]\n", "validator shouldn't modify the resource map"},
		"an inline patch without name": {"patchesStrategicMerge: [\"kind: Secret\\nstringData: {password: " + secret + "}\\n\"]\n", "kustomize build failed"},
		"two of one name":              {"namespace: three\nresources: [two.yaml]\n", "ID conflict"},
		"no version":                   {"resources: [version.yaml]\n", "is missing"},
		"below a value":                {"resources: [cm.yaml, two.yaml]\nreplacements: [{source: {kind: Secret, name: db, namespace: one, fieldPath: stringData.password.x}, targets: [{select: {kind: ConfigMap}, fieldPaths: [data.x]}]}]\n", "kustomize build failed"},
		"an old JSON patch":            {"patchesJson6902: [{target: {kind: ConfigMap}, patch: '[{op: " + secret + "}]'}]\n", "kustomize build failed"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(c.kustomization, "resources: ") {
				c.kustomization += "resources: [cm.yaml]\n"
			}
			tree := fstest.MapFS{"apps/kustomization.yaml": {Data: []byte(c.kustomization)},
				"apps/cm.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")}, "apps/bad.env": {Data: []byte("a=" + secret + "\xff\n")},
				"apps/two.yaml":     {Data: []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: one}\nstringData: {password: " + secret + "}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: two}\ndata: {password: TUFSS0VELVNFQ1JFVA==}\n")},
				"apps/version.yaml": {Data: []byte("apiVersion: apps/v1/beta1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: " + secret + "}\n")}}
			_, err := Objects(t.Context(), Input{Tree: tree, Kustomization: readFixture(t, "plain-folder").in.Kustomization})
			if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "77 65 82 75") || !strings.Contains(err.Error(), c.told) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
