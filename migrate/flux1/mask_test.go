package flux1

import (
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"

	"github.com/fluxover/fluxover/migrate"
)

// maskForTest is no secret keeper, and tells equal texts.
func maskForTest(plain string) string {
	h := fnv.New64a()
	h.Write([]byte(plain)) // never fails
	return fmt.Sprintf("masked-%x", h.Sum64())
}

func TestURLsAreMaskedWhereTheyHoldASecret(t *testing.T) {
	for text, want := range map[string]string{
		"see https://git.example.com/a":               "see https://git.example.com/a",
		"https://user:pw@git.example.com/a":           "https://user:" + maskForTest("pw") + "@git.example.com/a",
		"--git-url=https://token@h/a,ssh://git@h/b":   "--git-url=https://" + maskForTest("token") + "@h/a,ssh://git@h/b",
		"https://$(GIT_USER):$(GIT_KEY)@h/a":          "https://$(GIT_USER):$(GIT_KEY)@h/a",
		"https://$(GIT_TOKEN)@h/a":                    "https://$(GIT_TOKEN)@h/a",
		"ssh://git:pw@h/a git+ssh://a:b@h":            "ssh://git:" + maskForTest("pw") + "@h/a git+ssh://a:" + maskForTest("b") + "@h",
		"mail to a@b.example and http://h:8080/x@y":   "mail to a@b.example and http://h:8080/x@y",
		"{\"url\":\"https://u:p@h\"} 'https://u:p@h'": "{\"url\":\"https://u:" + maskForTest("p") + "@h\"} 'https://u:" + maskForTest("p") + "@h'",
		"--git-url=https://bot:p@ssw0rd@h/x":          "--git-url=https://bot:" + maskForTest("p@ssw0rd") + "@h/x",
		"https://bot:it's@h/x 'https://bot:it''s@h/'": "https://bot:" + maskForTest("it's") + "@h/x 'https://bot:" + maskForTest("it''s") + "@h/'",
		"'https://bot:it'\\''s@h/x'":                  "'https://bot:" + maskForTest(`it'\''s`) + "@h/x'",
		"['https://h','a@b'], 'https://u:p@h'":        "['https://h','a@b'], 'https://u:" + maskForTest("p") + "@h'",
		"git::HTTPS://token@h/a?x=y":                  "git::HTTPS://" + maskForTest("token") + "@h/a?x=" + maskForTest("y"),
		"https://h/a?t=s&u=v#f https://h?x":           "https://h/a?t=" + maskForTest("s") + "&u=" + maskForTest("v") + "#f https://h?x",
		"https://h/a?t=s&amp;u=v":                     "https://h/a?t=" + maskForTest("s") + "&amp;u=" + maskForTest("v"),
		"{\"a\":\"https://h/a?t=s\\u0026u=v\"}":       "{\"a\":\"https://h/a?t=" + maskForTest("s") + "\\u0026u=" + maskForTest("v") + "\"}",
		"{\\\"a\\\": \\\"https://h/a?t=s\\\"}":        "{\\\"a\\\": \\\"https://h/a?t=" + maskForTest("s") + "\\\"}",
		"{a: https://h/a?t=s}, [https://h/a?t=s,b]":   "{a: https://h/a?t=" + maskForTest("s") + "}, [https://h/a?t=" + maskForTest("s") + ",b]",
		"'https://h/a?t=it''s', see (https://h?t=s)":  "'https://h/a?t=" + maskForTest("it''s") + "', see (https://h?t=" + maskForTest("s") + ")",
		"https://h/a?t=$(TOKEN)&u=$(A)b":              "https://h/a?t=$(TOKEN)&u=" + maskForTest("$(A)b"),
		"https://h?back=https://o/x&t=s":              "https://h?back=https://o/x&t=" + maskForTest("s"),
		"https://u:p@h/a?t=s=":                        "https://u:" + maskForTest("p") + "@h/a?t=" + maskForTest("s="),
		"oci://token@h/a postgres://u:p@h/b":          "oci://" + maskForTest("token") + "@h/a postgres://u:" + maskForTest("p") + "@h/b",
		"https://token:x-oauth-basic@h https://t:@h":  "https://" + maskForTest("token") + ":x-oauth-basic@h https://" + maskForTest("t") + ":@h",
		"https://bot:p/w@h/x, https://h:80/u:p@h":     "https://bot:" + maskForTest("p/w") + "@h/x, https://h:80/u:p@h",
		"git+ssh://git@h/a git://u@h ssh://a@h,b@c":   "git+ssh://git@h/a git://u@h ssh://a@h,b@c",
		"https://h/https://t@o/x https://a:b@$(H)/c":  "https://h/https://" + maskForTest("t") + "@o/x https://a:" + maskForTest("b") + "@$(H)/c",
	} {
		if got := MaskURLs(text, maskForTest); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// FuzzMask demands of every file of manifests that its objects are the same
// when it is masked, at the same places.
func FuzzMask(f *testing.F) {
	for _, seed := range []string{
		"", "a: b\n", "--- # one\nkind: Secret\nmetadata: {name: a}\ndata: {a: Yg==}\n---\n\n# two\nkind: ConfigMap\nmetadata: {name: b}\n...\n",
		"kind: List\nitems:\n- kind: Secret\n  metadata: {name: a}\n  stringData: &x {a: |\n   b\n   c\n  }\n",
		"--- {kind: Secret, stringData: {a: 1, b: null, c: [d]}}\n--- \"text\"\n--- !!binary YQ==\n",
		"\ufeffkind: Secret\r\nmetadata:\r\n  name: a\r\nstringData:\r\n  b: \"c\\u2028\"\r\n---\r\nkind: X\r\n",
		"a: https://h/x?t=s\nb: {c: https://h/x?t=s&u=v, d: 'https://h?t=s'}\ngenerators: [\"kind: SecretGenerator\\nliterals: [a=b]\\n\"]\n",
		"secretGenerator: [{literals: [a=b]}]\npatches: [{target: {kind: Secret}, patch: '[{op: add, value: eA==}]'}, {patch: \"kind: Secret\\nstringData: {a: b}\\n\"}]\n",
	} {
		f.Add([]byte(seed))
	}
	limits := Limits{FileBytes: 1 << 16, TotalBytes: 1 << 18, Documents: 50, Objects: 200, Files: 10, Depth: 30}
	load := func(t *testing.T, content []byte) []string {
		_, objects, _, err := Load(fstest.MapFS{"a.yaml": {Data: content}}, LoadConfig{DefaultNamespace: "d", KindsAssumed: true, Limits: limits})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, o := range objects {
			out = append(out, fmt.Sprintf("%s %s:%d %s", o.Class, o.File, o.Line, o.ID))
		}
		return out
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<14 {
			t.Skip("longer than the masking of one file need be tried with")
		}
		masked, err := Mask(content, maskForTest, limits)
		if err != nil {
			return // and then nothing of it is used
		}
		before, after := load(t, content), load(t, masked)
		if strings.Join(before, "\n") != strings.Join(after, "\n") {
			t.Errorf("objects differ:\n%s\nmasked:\n%s\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"), masked)
		}
		objects, err := Parse("a.yaml", masked, limits)
		if err != nil {
			t.Fatalf("what is masked cannot be read: %v\n%s", err, masked)
		}
		for _, o := range objects {
			values, _ := o.Manifest.Object["stringData"].(map[string]any)
			if o.Manifest.GetKind() != "Secret" {
				continue
			}
			for key, v := range values {
				if s, ok := v.(string); v != nil && (!ok || !strings.HasPrefix(s, "masked-")) {
					t.Errorf("%s of %s is not masked: %v", key, migrate.ObjectID(o.Manifest), v)
				}
			}
		}
	})
}

// A patch may be of several documents, of which each may be a Secret's.
func TestEachDocumentOfAPatchIsMasked(t *testing.T) {
	target := map[string]any{"name": "a"}
	for text, want := range map[string]string{
		"metadata: {labels: {a: b}}\n":                                                                                                   "metadata: {labels: {a: b}}\n",
		"metadata: {labels: {a: b}}\n---\nkind: Secret\nstringData: {a: MARKED}\n":                                                       "metadata: {labels: {a: b}}\n---\n{\"kind\":\"Secret\",\"stringData\":{\"a\":\"" + maskForTest("MARKED") + "\"}}\n",
		"---\n- {op: add, path: /metadata/labels/a, value: b}\n--- # and\n- {op: add, path: /stringData/a, value: MARKED}\n":             "",
		"kind: Secret\nstringData: {a: MARKED}\n---\nkind: Secret\nmetadata: {name: b}\ndata: {a: TUFSS0VE}\n---\nmetadata: {name: c}\n": "",
	} {
		masked, err := MaskPatch([]byte(text), target, maskForTest)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := string(masked); strings.Contains(got, "MARKED") || strings.Contains(got, "TUFSS0VE") || want != "" && got != want {
			t.Errorf("%q is masked as %q, want %q", text, got, want)
		}
		if a, b := strings.Count(text, "---"), strings.Count(string(masked), "---"); a != b {
			t.Errorf("%q is masked as %q, with other documents", text, masked)
		}
	}
	for _, text := range []string{
		"a: b\n---\nstringData: {a: MARKED\n", "a: b\n...\nstringData: {a: MARKED}\n", "a: b\n... # end\r\n# and\n\n- {op: add, path: /data/a, value: MARKED}", "a: b\n---\nc: d\n...\n  e: MARKED\n",
	} {
		if masked, err := MaskPatch([]byte(text), target, maskForTest); err == nil {
			t.Errorf("%q, which cannot be read whole, is kept as %q", text, masked)
		}
	}
	for _, text := range []string{"a: b\n...\n", "a: b\n...\n# end\n---\nc: d\n", "a: b...\nc: |\n  ...\nd: e\n"} {
		if masked, err := MaskPatch([]byte(text), target, maskForTest); err != nil || string(masked) != text {
			t.Errorf("%q is masked as %q: %v", text, masked, err)
		}
	}
}

// A patch that may be of a Secret is as often one of an agent, with its URLs; a comment
// above a Secret's may tell what it hides.
func TestNothingSecretOfAPatchStaysOutsideOfItsValues(t *testing.T) {
	for text, want := range map[string]string{
		"- {op: add, path: /spec/template/spec/containers/0/args/-, value: \"--git-url=https://u:MARKED@git.example.com/x\"}\n": "",
		"spec: {template: {spec: {containers: [{name: flux, args: [--git-url=https://u:MARKED@git.example.com/x]}]}}}\n":        "",
		"- {op: add, path: /data/a, value: eA==}\n- {op: add, path: /spec/x, value: \"https://h/x?token=MARKED\"}\n":            "",
		"# MARKED\n---\nstringData: {a: b}\n":                                   "---\n{\"stringData\":{\"a\":\"" + maskForTest("b") + "\"}}\n",
		"a: b\n# MARKED\n---\nstringData: {a: b}\n":                             "a: b\n---\n{\"stringData\":{\"a\":\"" + maskForTest("b") + "\"}}\n",
		"a: b # kept\n# kept\n\n # MARKED\n# MARKED\n---\nstringData: {a: b}\n": "a: b # kept\n# kept\n\n---\n{\"stringData\":{\"a\":\"" + maskForTest("b") + "\"}}\n",
		"kind: List\nitems: [{stringData: {a: MARKED}}]\n":                      "{\"items\":[{\"stringData\":{\"a\":\"" + maskForTest("MARKED") + "\"}}],\"kind\":\"List\"}\n",
		"kind: SecretList\nitems: [{kind: Secret, data: {a: TUFSS0VE}}, {kind: List, items: [{kind: Secret, stringData: {a: MARKED}}]}]\n": "",
		"- {op: add, path: \"\", value: {kind: List, items: [{kind: Secret, stringData: {a: MARKED}}]}}\n":                                 "",
		"kind: Template\nobjects: [{kind: Secret, stringData: {a: MARKED}}]\n":                                                             "",
		"kind: Secret\nstringData: {a: 'ENC[b]'}\nextra: MARKED\nsops: {mac: x}\n":                                                         "",
		"kind: Deployment\nspec: {template: {metadata: {labels: {a: b}}}}\n":                                                               "kind: Deployment\nspec: {template: {metadata: {labels: {a: b}}}}\n",
	} {
		masked, err := MaskPatch([]byte(text), map[string]any{"name": "flux"}, maskForTest)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := string(masked); strings.Contains(got, "MARKED") || strings.Contains(got, "TUFSS0VE") || want != "" && got != want {
			t.Errorf("%q is masked as %q, want %q", text, got, want)
		}
	}
}

// What a Secret has is seen in any spelling, so that a file which cannot be read is not
// kept for its name's sake.
func TestATraceOfASecretIsSeen(t *testing.T) {
	for text, want := range map[string]bool{
		"kind: Secret\n---\n{{ x }}": true, "  - kind:   'Secret'": true, `{"kind" : "Secret"`: true, "kind: !!str Secret": true, "kind: &a Secret": true, "sops:\n  mac: x": true, `"sops":{`: true,
		"kind: Config\nusers: {{ x }}": true, `{"kind": "Config"}`: true, "kind: Configuration": false,
		"a: ENC[AES256_GCM,data:x]": true, "kind: SecretGenerator": true, "stringData: {{ .x }}": true,
		"kind: ConfigMap\n{{ x }}": false, "mode=fast": false, "# the Secret of it": false, "kinds: Secret": false,
	} {
		if got := MayHoldSecret(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

// What is masked inline is read again by whoever builds the folder.
func TestDocumentsThatAreMaskedInlineCanBeRead(t *testing.T) {
	for _, text := range []string{
		"---\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: MARKED}\n",
		"kind: ConfigMap\nmetadata: {name: a}\n---\nkind: Secret\nmetadata: {name: b}\nstringData: {a: MARKED}\n--- # and one more\nkind: Secret\nmetadata: {name: c}\nstringData: {a: MARKED}\n",
	} {
		m := &masker{mask: maskForTest}
		masked := m.documents(text)
		if m.failed || strings.Contains(masked, "MARKED") {
			t.Errorf("%q is masked as %q (failed: %t)", text, masked, m.failed)
		}
		decoder, documents := yaml.NewDecoder(strings.NewReader(masked)), 0
		for {
			var document map[string]any
			err := decoder.Decode(&document)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%q: %v", masked, err)
			}
			if document != nil {
				documents++
			}
		}
		if want := strings.Count(text, "kind:"); documents != want {
			t.Errorf("%q holds %d documents, want %d", masked, documents, want)
		}
	}
}
