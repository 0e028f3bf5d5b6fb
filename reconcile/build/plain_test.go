package build

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	apiskustomize "github.com/fluxcd/pkg/apis/kustomize"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

var (
	seed  = flag.Uint64("seed", 1, "seed of the generated folders")
	trees = flag.Int("trees", 400, "how many folders are generated")
)

// samePlainAndKustomize renders a folder on both paths and compares. It says
// whether the plain path took the folder.
func samePlainAndKustomize(t *testing.T, a *Artifact, dir string, patches ...apiskustomize.Patch) (taken bool) {
	t.Helper()
	ks := &kustomizev1.Kustomization{}
	ks.Name, ks.Namespace, ks.Spec.Patches = "k", "flux-system", patches
	marks, ok := marksOf(patches)
	if !ok {
		return false
	}
	plain, ok := buildPlain(t.Context(), a, dir, marks)
	if !ok {
		return false
	}
	built, err := buildKustomize(t.Context(), a, dir, Input{Kustomization: ks})
	if err != nil {
		t.Fatalf("the plain path took what kustomize refuses: %v", err)
	}
	wantDigest, err := digest(built)
	if err != nil {
		t.Fatal(err)
	}
	gotDigest, err := digest(plain)
	if err != nil {
		t.Fatal(err)
	}
	if wantDigest != gotDigest {
		t.Errorf("digest: kustomize %s, plain %s", wantDigest, gotDigest)
	}
	asKustomize, asPlain := &Rendering{built: built}, &Rendering{built: plain}
	errWant, errGot := asKustomize.finish(t.Context(), ks), asPlain.finish(t.Context(), ks)
	if fmt.Sprint(errWant) != fmt.Sprint(errGot) {
		t.Fatalf("kustomize: %v\nplain: %v", errWant, errGot)
	}
	if diff := cmp.Diff(asKustomize.Objects, asPlain.Objects); diff != "" {
		t.Errorf("(-kustomize +plain)\n%s", diff)
	}
	return true
}

func TestPlainFoldersOfTheFixturesRenderAsByKustomize(t *testing.T) {
	taken := map[string]bool{}
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			a, err := NewArtifact(f.tree, f.in.SpecIgnore)
			if err != nil {
				t.Fatal(err)
			}
			if isFolder, ok := a.Has("apps"); ok && isFolder {
				taken[f.name] = samePlainAndKustomize(t, a, "apps")
			}
		})
	}
	// The comparison is worth nothing if the plain path takes nothing, and
	// wrong if it takes what only kustomize does right.
	for name, want := range map[string]bool{
		"plain-folder": true, "lists": true, "local-config-is-dropped": true, "yaml-oddities": true, "empty-files": true,
		"one-name-in-two-namespaces": true, "order-of-kinds": false, "same-object-twice": false, "normalisation": true,
		"role-binding-names-an-account-of-the-build": false, "kustomization-file-is-used": false,
		"subfolder-with-kustomization-file": false, "annotations-that-are-no-text": false,
		"kustomize-annotations-are-removed": false, "malformed-workload": false, "list-kind-without-name": false,
		"one-custom-object-in-two-namespaces": false, "unparsable-document": false,
	} {
		if got, ok := taken[name]; !ok || got != want {
			t.Errorf("%s: taken %v (compared %v), want %v", name, got, ok, want)
		}
	}
}

func TestGeneratedFoldersRenderAsByKustomize(t *testing.T) {
	count := 0
	for i := range *trees {
		r := rand.New(rand.NewPCG(*seed, uint64(i)))
		tree := generatedFolder(r)
		a, err := NewArtifact(tree, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if samePlainAndKustomize(t, a, ".") {
				count++
			}
			if t.Failed() {
				for name, file := range tree {
					t.Logf("%s:\n%q", name, file.Data)
				}
			}
		})
	}
	t.Logf("seed %d: the plain path took %d of %d folders", *seed, count, *trees)
	if count < *trees/4 {
		t.Errorf("the plain path took only %d of %d folders: the comparison is too weak", count, *trees)
	}
}

// generatedFolder writes manifests with everything that parsers disagree on.
func generatedFolder(r *rand.Rand) fstest.MapFS {
	tree := fstest.MapFS{}
	g := &generator{r: r}
	for f := range 1 + r.IntN(2) {
		var b strings.Builder
		if g.chance(15) {
			b.WriteString(g.pick("---\n", "--- # first\n", "# comment\n---\n", "\n\n", "%YAML 1.2\n---\n", "\ufeff"))
		}
		for d := range 1 + r.IntN(2) {
			if d > 0 {
				b.WriteString(g.pick("---\n", "---\n", "---\n", "--- # next\n", "---\n---\n", "---\n# only a comment\n---\n", "---   \n", "...\n---\n"))
			}
			b.WriteString(g.document(fmt.Sprintf("o%d-%d", f, d)))
		}
		text := b.String()
		if g.chance(10) {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		if g.chance(10) {
			text = strings.TrimSuffix(text, "\n")
		}
		dir := g.pick("", "", "sub/", ".hidden/")
		tree[dir+fmt.Sprintf("f%d", f)+g.pick(".yaml", ".yml")] = &fstest.MapFile{Data: []byte(text)}
	}
	return tree
}

type generator struct {
	r *rand.Rand
}

func (g *generator) chance(percent int) bool       { return g.r.IntN(100) < percent }
func (g *generator) pick(choices ...string) string { return choices[g.r.IntN(len(choices))] }
func (g *generator) indent(text, with string) string {
	return strings.ReplaceAll(text, "\n", "\n"+with)
}

func (g *generator) document(name string) string {
	switch g.r.IntN(20) {
	case 0:
		return "# nothing here\n"
	case 1:
		items := ""
		for i := range g.r.IntN(3) {
			items += "- " + g.indent(strings.TrimSuffix(g.object(fmt.Sprintf("%s-%d", name, i)), "\n"), "  ") + "\n"
		}
		if items == "" {
			return "apiVersion: v1\nkind: List\nitems: []\n"
		}
		return "apiVersion: v1\nkind: " + g.pick("List", "ConfigMapList") + "\nitems:\n" + items
	case 2:
		return `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "` + name + `"}, "data": {"a": "\u00e4\n", "b": "x"}}` + "\n"
	}
	return g.object(name)
}

func (g *generator) object(name string) string {
	meta := "metadata:\n  name: " + name + "\n"
	if g.chance(70) {
		meta += "  namespace: " + g.pick("shop", "default", `"other"`, "'shop'") + "\n"
	}
	if g.chance(30) {
		meta += "  labels:\n    " + g.key() + ": " + g.text() + "\n"
	}
	if g.chance(30) {
		meta += "  annotations: # why\n    " + g.key() + ": " + g.text() + "\n"
	}
	if g.chance(5) {
		meta += "  annotations:\n    config.kubernetes.io/local-config: " + g.pick(`"true"`, `"false"`, "true", "''") + "\n"
	}
	switch g.r.IntN(4) {
	case 0:
		body := ""
		for i := range g.r.IntN(5) {
			body += fmt.Sprintf("  k%d: %s\n", i, g.text())
		}
		if body != "" {
			body = "data:\n" + body
		}
		return "apiVersion: v1\nkind: " + g.pick("ConfigMap", "ConfigMap", `"ConfigMap"`) + "\n" + meta + body
	case 1:
		return "apiVersion: apps/v1\nkind: Deployment\n" + meta + `spec:
  replicas: ` + g.pick("1", "0", "0x2", "010", "3", "2", "null", "1.0") + `
  selector: {matchLabels: {app: ` + name + `}}
  template:
    metadata: {labels: {app: ` + name + `}}
    spec:
      containers:
      - name: c
        image: c:1
        args: [` + g.value(2) + `]
        resources: {limits: {cpu: ` + g.pick("1", "100m", "0.5", `"1"`) + `}}
        ports: [{containerPort: 80}]
`
	case 2:
		return "apiVersion: v1\nkind: Secret\n" + meta + "stringData:\n  a: " + g.text() + "\n"
	}
	body := "spec:\n"
	for i := range 1 + g.r.IntN(5) {
		body += fmt.Sprintf("  %s%d: %s\n", g.pick("a", "b", "yes", "on", "n", "~", "1"), i, g.value(3))
	}
	if g.chance(20) {
		body += "  base: &base {x: 1, y: [a, ~]}\n  copy: *base\n"
		if g.chance(50) {
			body += "  merged:\n    <<: *base\n    z: 1\n"
		}
	}
	if g.chance(4) {
		body += "  twice: 1\n  twice: 2\n"
	}
	if g.chance(10) {
		body += "status: {ready: true}\n"
	}
	return "apiVersion: example.org/v1\nkind: " + g.pick("Widget", "Gadget", "AllowList") + "\n" + meta + body
}

func (g *generator) key() string {
	return g.pick("app", "example.org/x", "'quoted'", "yes", `"on"`, "n", "app.kubernetes.io/name", "1")
}

// text is mostly a string.
func (g *generator) text() string {
	if g.chance(3) {
		return g.scalar()
	}
	return g.pick(`"yes"`, `'no'`, "plain", "with space", `"1"`, `"010"`, "'it''s'", `"tab\t"`, `"\u2028x"`, "a: b"[:1], "ä ö", `"\U0001F600"`, `""`,
		"|\n      two\n      lines", "|-\n      stripped", ">\n      folded\n      lines\n\n      end", "|+\n      kept\n\n", "\"---\"", "|\n      ---\n      x: y",
		"!!str 12", `"null"`, "2020x", `"# no comment"`, "a#b", "\"\\x7f\"", `"{{ .Values.x }}"`, "$(VAR)", "${VAR}", "'%'", "'@x'", "\"`\"", "'- x'", "'a: b'", "\"a\\\n      b\"", "\" lead\"", "'trail '",
		"multi\n      line plain", "\"\\r\\n\"", `"\ufeffx"`, `"\u0085"`)
}

func (g *generator) scalar() string {
	if g.chance(3) {
		return g.pick("1e400", ".inf", "-.Inf", ".nan", "!custom x", "<<", "!!int '3'")
	}
	return g.pick("yes", "no", "on", "off", "y", "n", "true", "True", "TRUE", "false", "null", "~", "", "Null", "NULL",
		"0", "1", "-1", "+1", "-0", "007", "010", "0o17", "0x1F", "0b11", "1_000", "12345678901", "9007199254740993", "-9007199254740993",
		"9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", "123456789012345678901234567890",
		"1.0", "1.50", "1e3", "1E+3", "1e21", "1e-7", ".5", "5.", "-.0", "0.1", "100000000000000000000.5", "1.7976931348623157e308",
		"2020-01-01", "2020-01-01T10:00:00Z", "2020-01-01 10:00:00", "12:30:45", "1:30", "0.0.0.0", "1.2.3", "!!binary aGk=", "!!float 3", "=")
}

func (g *generator) value(depth int) string {
	if depth == 0 || g.chance(60) {
		return strings.ReplaceAll(g.flowScalar(), "\n", " ")
	}
	var parts []string
	if g.chance(50) {
		for range g.r.IntN(4) {
			parts = append(parts, g.value(depth-1))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	for i := range g.r.IntN(4) {
		parts = append(parts, fmt.Sprintf("%s%d: %s", g.pick("a", "b", "'c'", "yes"), i, g.value(depth-1)))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (g *generator) flowScalar() string {
	if g.chance(50) {
		return g.scalar()
	}
	return g.pick(`"yes"`, "plain", "'it''s'", `"\u2028"`, `""`, `"1"`, "!!str 12", `"\U0001F600"`, `"a\nb"`)
}

func TestParserPanicsAreErrors(t *testing.T) {
	for _, text := range []string{"- ", "a", "[]", "- - -", "kind: ConfigMap\nmetadata: x", "kind: [a]\nmetadata: {name: a}", "? {a: b}\n: c",
		"apiVersion: v1\nkind: List\nitems: {a: b}", "apiVersion: v1\nkind: List\nitems:\n- x", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [a]}",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: [x]}", "--- x\n", "\x00", "kind: ConfigMap\nmetadata: {name: a}\n<<: *none"} {
		in := Input{Tree: fstest.MapFS{"a.yaml": {Data: []byte(text)}}, Kustomization: &kustomizev1.Kustomization{}}
		objects, err := Objects(t.Context(), in)
		t.Logf("%q: %d objects, %v", text, len(objects), err)
		if err == nil && len(objects) > 0 {
			t.Errorf("%q gives objects", text)
		}
		if err != nil && !strings.Contains(err.Error(), "a.yaml") && !strings.Contains(err.Error(), "/a") {
			t.Errorf("%q: %v names no file", text, err)
		}
	}
}

func TestErrorsHoldNoContentOfObjects(t *testing.T) {
	const secret = "c2VjcmV0"
	for name, text := range map[string]string{
		"nameless":   "apiVersion: v1\nkind: Secret\nmetadata: {annotations: {last: " + secret + "}}\ndata: {a: " + secret + "}\n",
		"no version": "kind: Secret\nmetadata: {name: a}\ndata: {a: " + secret + "}\n",
		"twice":      "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {a: " + secret + "}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {a: " + secret + "}\n",
	} {
		in := Input{Tree: fstest.MapFS{"a.yaml": {Data: []byte(text)}}, Kustomization: &kustomizev1.Kustomization{}}
		if _, err := Objects(t.Context(), in); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAliasesThatWouldKillTheProcessAreRefused(t *testing.T) {
	bomb := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\na0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	const cycle = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &a {b: *a}\n"
	const good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	patch := kustomizev1.KustomizationSpec{Patches: []apiskustomize.Patch{{Patch: cycle}}}
	for name, c := range map[string]struct {
		tree fstest.MapFS
		spec kustomizev1.KustomizationSpec
	}{
		"cycle":                    {tree: fstest.MapFS{"a.yaml": {Data: []byte(cycle)}}},
		"cycle in a sequence":      {tree: fstest.MapFS{"a.yaml": {Data: []byte("&a [*a]\n")}}},
		"cycle in a later part":    {tree: fstest.MapFS{"a.yaml": {Data: []byte(good + "...\nb: [\n---\r\n" + cycle)}}},
		"bomb":                     {tree: fstest.MapFS{"a.yaml": {Data: []byte(bomb)}}},
		"cycle under kustomize":    {tree: fstest.MapFS{"kustomization.yaml": {Data: []byte("resources: [a.txt]\n")}, "a.txt": {Data: []byte(cycle)}}},
		"cycle in a patch file":    {tree: fstest.MapFS{"kustomization.yaml": {Data: []byte("resources: [a.yaml]\npatches: [{path: p.yaml}]\n")}, "a.yaml": {Data: []byte(good)}, "p.yaml": {Data: []byte(cycle)}}},
		"cycle in an inline patch": {tree: fstest.MapFS{"kustomization.yaml": {Data: []byte("resources: [a.yaml]\npatches:\n- patch: |\n    " + strings.ReplaceAll(cycle, "\n", "\n    ") + "\n")}, "a.yaml": {Data: []byte(good)}}},
		"cycle in a transformer":   {tree: fstest.MapFS{"kustomization.yaml": {Data: []byte("resources: [a.yaml]\ntransformers:\n- |\n    " + strings.ReplaceAll(cycle, "\n", "\n    ") + "\n")}, "a.yaml": {Data: []byte(good)}}},
		"cycle in spec.patches":    {tree: fstest.MapFS{"a.yaml": {Data: []byte(good)}}, spec: patch},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := Objects(t.Context(), Input{Tree: c.tree, Kustomization: &kustomizev1.Kustomization{Spec: c.spec}})
			if !errors.Is(err, ErrAliases) {
				t.Errorf("%d objects, %v", len(objects), err)
			}
		})
	}
}
