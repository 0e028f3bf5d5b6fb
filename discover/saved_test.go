package discover

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/e2e/sops"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/reconcile/build"
)

// saveAndOpen gives an Inventory as it is read back, and the file's text.
func saveAndOpen(t *testing.T, inv migrate.Inventory) (migrate.Inventory, string) {
	t.Helper()
	var file bytes.Buffer
	if err := Save(t.Context(), &file, inv); err != nil {
		t.Fatal(err)
	}
	text := file.String()
	again, err := Open(t.Context(), &file)
	if err != nil {
		t.Fatal(err)
	}
	return again, text
}

// likeBefore demands that what a plan is made of is as it was.
func likeBefore(t *testing.T, was, is migrate.Inventory) {
	t.Helper()
	is.Findings = slices.DeleteFunc(slices.Clone(is.Findings), func(f migrate.Finding) bool { return f.Code == SavedNames.Name || f.Code == NotSaved.Name })
	for i := range is.Agents {
		if is.Agents[i].Credential.Username.Literal != "" && is.Agents[i].Credential.Password == (migrate.Value{}) {
			is.Agents[i].Credential.Username.Literal = was.Agents[i].Credential.Username.Literal
		}
	}
	if a, b := dump(t, was), dump(t, is); a != b {
		t.Errorf("read back, it differs:\n%s", differing(a, b))
	}
	if !slices.Equal(was.Cluster.Kinds, is.Cluster.Kinds) && was.Cluster.From == fromCluster || !slices.Equal(was.Cluster.Control, is.Cluster.Control) {
		t.Error("what the cluster serves or holds differs")
	}
}

// differing are the first lines in which two texts differ.
func differing(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return strings.Join(x[max(0, i-3):min(len(x), i+5)], "\n") + "\n-- is --\n" + strings.Join(y[max(0, i-3):min(len(y), i+5)], "\n")
		}
	}
	return "one is longer"
}

func TestASavedInventoryIsReadBackAsItWas(t *testing.T) {
	folders, err := filepath.Glob("testdata/cluster/*")
	if err != nil || len(folders) == 0 {
		t.Fatal("no cases", err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			was, err := open(t, folder).witness.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			was.Cluster.Control = []migrate.ControlObject{{Kind: "Kustomization", Name: "taken", Repository: "a/b", Path: "./x", Account: "y"}}
			is, text := saveAndOpen(t, was)
			if tells(text) {
				t.Error("a secret is saved")
			}
			likeBefore(t, was, is)
		})
	}
	for name := range realCheckouts {
		t.Run(name, func(t *testing.T) {
			was := readReal(t, name)
			is, _ := saveAndOpen(t, was)
			likeBefore(t, was, is)
		})
	}
}

// secretForms hold MARKED-SECRET wherever a repository may hold the value of a
// Secret, plain (in base64 where it must be) or in a URL.
const secretForms = `
-- apps/plain.yaml --
# MARKED-SECRET in a comment above
apiVersion: v1
kind: Secret
metadata: {name: plain}
# MARKED-SECRET in a comment within
data:
  password: TUFSS0VELVNFQ1JFVA==
  wrapped: |
    TUFSS0VE
    LVNFQ1JFVA==
  not-base64: "MARKED-SECRET!"
---
apiVersion: v1
kind: ConfigMap
metadata: {name: beside, namespace: team}
data: {a: b}
---
kind: Secret
apiVersion: v1
metadata:
  name: text
  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"stringData":{"a":"MARKED-SECRET"}}'}
stringData:
  a: &anchor MARKED-SECRET
  b: *anchor
  c: |
    MARKED-SECRET
    of two lines
  d: 'MARKED-SECRET'
  empty:
-- apps/list.yaml --
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Secret
  metadata: {name: listed}
  stringData: {a: MARKED-SECRET}
-- apps/flux.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: nested}
spec:
  template:
    spec:
      containers:
      - name: flux
        image: fluxcd/flux:1.25.4
        args: ["--git-url=https://user:MARKED-SECRET@git.example.com/a", "--git-branch=main"]
      - name: other
        env: [{name: URL, value: "https://MARKED-SECRET@git.example.com/b"}, {name: HOOK, value: "https://hooks.example.com/x?id=1&token=MARKED-SECRET"}, {name: VARIABLE, value: "https://$(USER):$(PASSWORD)@git.example.com/b"}]
-- apps/values.yaml --
password: MARKED-SECRET
-- apps/overlay/kustomization.yaml --
resources: [secret.yaml, base, object.json]
generators:
- generator.yaml
- |
  apiVersion: v1
  kind: ConfigMap
  metadata: {name: settings-of-others}
  ---
  apiVersion: builtin
  kind: SecretGenerator
  metadata: {name: inline}
  literals: ["a=MARKED-SECRET"]
transformers: [transformer.yaml]
secretGenerator:
- name: generated
  literals: ["a=MARKED-SECRET"]
  files: [key=key.txt]
  envs: [vars.env]
configMapGenerator:
- name: settings
  files: [settings.ini]
patches:
- target: {kind: Secret}
  path: operations.yaml
- target: {kind: Secret, name: base}
  patch: |
    - {op: add, path: /data/x, value: TUFSS0VELVNFQ1JFVA==}
- patch: |
    apiVersion: v1
    kind: Secret
    metadata: {name: base}
    stringData: {y: MARKED-SECRET}
- target: {name: base}
  patch: '[{op: add, path: /stringData/u, value: MARKED-SECRET}, {op: add, path: /metadata/labels, value: {kept: as-it-is}}]'
- target: {name: base}
  path: untyped.yaml
- target: {kind: Sec.*, name: overlay}
  patch: |
    - {op: replace, path: /stringData, value: {a: MARKED-SECRET}}
-- apps/overlay/base/kustomization.yml --
resources: [base.yaml]
-- apps/overlay/base/base.yaml --
apiVersion: v1
kind: Secret
metadata: {name: base}
stringData: {a: MARKED-SECRET}
-- apps/overlay/secret.yaml --
apiVersion: v1
kind: Secret
metadata: {name: overlay}
stringData: {a: MARKED-SECRET}
-- apps/overlay/operations.yaml --
- {op: add, path: /stringData/z, value: MARKED-SECRET}
-- apps/overlay/untyped.yaml --
- {op: add, path: /stringData/t, value: MARKED-SECRET}
-- apps/overlay/object.json --
{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "json"}, "stringData": {"a": "MARKED-SECRET"}}
-- apps/overlay/generator.yaml --
apiVersion: builtin
kind: SecretGenerator
metadata: {name: configured}
literals: ["a=MARKED-SECRET"]
files: [more.txt]
-- apps/overlay/more.txt --
MARKED-SECRET
-- apps/overlay/transformer.yaml --
apiVersion: builtin
kind: PatchTransformer
metadata: {name: transformer}
target: {kind: Secret, name: base}
patch: '[{op: add, path: /stringData/s, value: MARKED-SECRET}]'
-- apps/overlay/key.txt --
MARKED-SECRET
-- apps/overlay/vars.env --
# settings
V=MARKED-SECRET
-- apps/overlay/settings.ini --
mode=fast
-- apps/overlay/unused.txt --
MARKED-SECRET
-- charts/web/Chart.yaml --
name: web
-- charts/web/values.yaml --
password: MARKED-SECRET
-- charts/web/templates/web.yaml --
a: {{ MARKED-SECRET }}
-- .gitmodules --
[submodule "lib"]
	path = lib
	url = https://bot:MARKED-SECRET@git.example.com/lib?token=MARKED-SECRET
-- elsewhere/notes.yaml --
password: MARKED-SECRET
`

func TestNoSecretOfARepositoryIsSaved(t *testing.T) {
	const encoded = "TUFSS0VELVNFQ1JFVA"
	was := readTree(t, treeOf(secretForms), func(o *CheckoutOptions) { o.Paths = []string{"apps", "charts"} })
	is, text := saveAndOpen(t, was)
	for what, shown := range map[string]string{"saved": text, "shown": asJSON(was), "shown of what is saved": asJSON(is)} {
		for _, secret := range []string{"MARKED-SECRET", encoded, "TUFSS0VE"} {
			for from, i := 0, 0; i >= 0; from += i + 1 {
				if i = strings.Index(shown[from:], secret); i >= 0 {
					t.Errorf("%s is: %s", what, shown[max(0, from+i-100):from+i+40])
				}
			}
		}
	}
	if !strings.Contains(text, "as-it-is") {
		t.Error("what is no value of a Secret is masked too")
	}
	wantFinding(t, was, flux1.Submodules, "lib")
	likeBefore(t, was, is)
	reader := func(inv migrate.Inventory) migrate.Flux1Agent { return agentNamed(t, inv, "team/flux") }
	places := func(inv migrate.Inventory) (out []string) {
		for _, o := range reader(inv).Objects {
			out = append(out, fileLine(o.File, o.Line)+" "+o.ID)
		}
		return out
	}
	if a, b := places(was), places(is); !slices.Equal(a, b) {
		t.Errorf("objects stand elsewhere: %q, want %q", b, a)
	}
	// Equal values stay equal, others stay different.
	values := map[string][]string{}
	for _, o := range reader(is).Objects {
		if o.Manifest.GetKind() != "Secret" {
			continue
		}
		text, _ := o.Manifest.Object["stringData"].(map[string]any)
		for k, v := range text {
			if s, ok := v.(string); ok {
				values[s] = append(values[s], o.Manifest.GetName()+"."+k)
			}
		}
	}
	equal := false
	for _, names := range values {
		slices.Sort(names)
		equal = equal || slices.Contains(names, "text.a") && slices.Contains(names, "text.b") && slices.Contains(names, "text.d") && slices.Contains(names, "listed.a") && !slices.Contains(names, "text.c")
	}
	if !equal {
		t.Errorf("equal values are no longer equal: %v", values)
	}
	for _, name := range []string{"generated", "configured", "inline"} {
		wantFinding(t, is, SavedNames, "Secret "+name+",")
	}
	if !strings.Contains(text, "apps/overlay/more.txt") {
		t.Error("what a generator is made of is not kept")
	}
	again, other := saveAndOpen(t, was)
	if other == text {
		t.Error("saved twice under one key")
	}
	likeBefore(t, was, again)
}

// A kubeconfig that lies beside manifests is one to fluxd, too; its users' tokens,
// passwords and keys are not saved, nor are they of a Secret in a list that is a patch.
func TestWhatIdentifiesUsersOfAKubeconfigIsNotSaved(t *testing.T) {
	const users = "users:\n- name: a\n  user: {token: MARKED-SECRET, client-key-data: TUFSS0VELVNFQ1JFVA==, client-certificate-data: TUFSS0VELVNFQ1JFVA==}\n- name: b\n  user:\n    username: b\n    password: MARKED-SECRET\n" +
		"    auth-provider: {name: oidc, config: {id-token: MARKED-SECRET}}\n    exec: {command: x, env: [{name: A, value: MARKED-SECRET}], args: [--token=MARKED-SECRET]}\n- name: c\n"
	const config = "apiVersion: v1\nkind: Config\ncurrent-context: kept-context\nclusters: [{name: c, cluster: {server: \"https://u:MARKED-SECRET@h\", proxy-url: \"http://u:MARKED-SECRET@proxy\"}}]\n" + users
	was := readTree(t, treeOf("-- apps/kubeconfig.yaml --\n"+config+"-- apps/more.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\n"+config+
		"-- apps/overlay/kustomization.yaml --\nconfigMapGenerator:\n- name: k\n  files: [kubeconfig, bare, broken]\npatches:\n- target: {name: a}\n  path: list.yaml\n"+
		"-- apps/overlay/kubeconfig --\n"+config+"-- apps/overlay/bare --\n"+strings.TrimPrefix(config, "apiVersion: v1\nkind: Config\n")+"-- apps/overlay/broken --\n"+config+"{{ x }}\n"+
		"-- apps/overlay/list.yaml --\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: a}\n  stringData: {a: MARKED-SECRET}\n"+
		"-- elsewhere/kubeconfig --\n"+config+"-- kubeconfig.yaml --\n"+config+"-- main.tf --\nprovider \"helm\" {\n kubernetes {\n  config_path = \"kubeconfig.yaml\"\n }\n}\n"), func(o *CheckoutOptions) { o.Paths = []string{"apps"} })
	is, text := saveAndOpen(t, was)
	for what, shown := range map[string]string{"saved": text, "shown": asJSON(was), "shown of what is saved": asJSON(is)} {
		for _, secret := range []string{"MARKED-SECRET", "TUFSS0VE"} {
			if i := strings.Index(shown, secret); i >= 0 {
				t.Errorf("%s is: %s", what, shown[max(0, i-200):i+40])
			}
		}
	}
	if strings.Count(text, "kept-context") != 4 {
		t.Errorf("the kubeconfigs are not kept: %s", text)
	}
	wantFinding(t, is, NotSaved, "apps/overlay/broken")
	likeBefore(t, was, is)
}

func TestAFileThatCannotBeReadWholeIsNotSaved(t *testing.T) {
	was := readTree(t, treeOf("-- a.yaml --\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: MARKED-SECRET}\n---\na: {MARKED-SECRET\n"), nil)
	is, text := saveAndOpen(t, was)
	wantFinding(t, is, NotSaved, "a.yaml")
	if strings.Contains(text, "MARKED-SECRET") || len(was.Agents[0].Objects) != 1 || len(is.Agents[0].Objects) != 0 {
		t.Errorf("saved is: %s", text)
	}
}

// A file of another name than a manifest's that cannot be read may hold a Secret all
// the same, and so may a document of a patch that is not its first.
func TestNoSecretBesideABadDocumentIsSaved(t *testing.T) {
	const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {p: MARKED-SECRET}\n"
	was := readTree(t, treeOf("-- apps/kustomization.yaml --\nresources: [bundle.txt]\nconfigMapGenerator:\n- name: c\n  files: [plain.txt, other.txt]\n"+
		"patches:\n- target: {name: a}\n  path: patch.yaml\n- target: {kind: Secret}\n  patch: |\n    metadata: {labels: {a: b}}\n    ---\n    stringData: {p: MARKED-SECRET}\n"+
		"-- apps/bundle.txt --\n"+secret+"---\n{{ template }}\n-- apps/other.txt --\n{{ x }}: https://u:MARKED-SECRET@h/\n-- apps/plain.txt --\nmode=fast\n"+
		"-- apps/patch.yaml --\nmetadata: {labels: {a: b}}\nspec: {args: [\"--git-url=https://u:MARKED-SECRET@h/x\"]}\n---\n"+secret), func(o *CheckoutOptions) { o.Paths = []string{"apps"} })
	is, text := saveAndOpen(t, was)
	if i := strings.Index(text, "MARKED-SECRET"); i >= 0 {
		t.Errorf("saved is: %s", text[max(0, i-200):i+40])
	}
	wantFinding(t, is, NotSaved, "apps/bundle.txt")
	for _, kept := range []string{"mode=fast", "{{ x }}: https://u:"} {
		if !strings.Contains(text, kept) {
			t.Errorf("%q is not kept", kept)
		}
	}
}

func TestWithoutItsKeysASavedInventoryDoesNotHandOverEncryptedFiles(t *testing.T) {
	key, err := sops.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sops.Encrypt("apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  namespace: b\nstringData:\n  a: MARKED-SECRET\n", "yaml", sops.For(key))
	if err != nil {
		t.Fatal(err)
	}
	partly, err := sops.Encrypt("# MARKED-COMMENT\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n  namespace: b\n  annotations: {note: MARKED-NOTE, fluxcd.io/ignore: \"false\"}\ndata:\n  password: MARKED-SECRET\n  user: MARKED-PLAIN\n  more: [\"47114711471\", {port: 47124712472}]\n", "yaml",
		sops.Options{EncryptedRegex: "^password$", Keys: []sops.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	was := readTree(t, treeOf("-- apps/a.yaml --\n"+sealed+"-- apps/c.yaml --\n"+partly), nil)
	a := &was.Agents[0]
	if a.Keys, err = build.ReadKeys(map[string][]byte{"keys.txt.agekey": []byte(key.Private)}); err != nil {
		t.Fatal(err)
	}
	a.Decryption = map[string]migrate.Value{"keys.txt.agekey": {Secret: &migrate.SecretKey{Namespace: "flux", Name: "age", Key: "keys.txt"}}}
	// As a cluster tells it: the keys decrypt, and nothing is held back.
	was.Findings = nil
	reads := &agent{Flux1Agent: *a}
	if err := reads.reading(a.Tree, was.Cluster).load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a.Objects = reads.Objects; len(a.Objects) != 2 || !a.Objects[0].Encrypted || !a.Objects[1].Encrypted {
		t.Fatalf("not decrypted: %v", a.Objects)
	}
	is, text := saveAndOpen(t, was)
	wantFinding(t, is, EncryptedNotSaved, "apps/a.yaml is encrypted with SOPS")
	for _, secret := range []string{"MARKED", "TUFSS0VE", "AGE-SECRET-KEY", "47114711471", "47124712472"} {
		if strings.Contains(text, secret) {
			t.Errorf("saved is %s", secret)
		}
	}
	if now := is.Agents[0]; len(now.Objects) != 2 || now.Objects[1].ID != a.Objects[1].ID || now.Objects[1].Manifest != nil || now.Files[1].Kind != migrate.FileEncrypted || now.Objects[0].Encrypted || now.Objects[0].Manifest != nil || now.Keys != nil || !slices.Equal(sortedNames(now.Decryption), []string{"keys.txt.agekey"}) {
		t.Errorf("read back: %+v", now)
	}
	if plan := migrate.Build(is, migrate.Options{}); !plan.Repositories[0].Blocked {
		t.Error("the plan goes on without the keys")
	}
}

func TestWhatIsNoSavedInventoryIsAnError(t *testing.T) {
	for _, text := range []string{
		"", "{", "[]", "null", `{"apiVersion":"fluxover.dev/v1","kind":"Plan"}`, `{"apiVersion":"fluxover.dev/v1","kind":"Inventory"}`,
		`{"apiVersion":"fluxover.dev/v1","kind":"Inventory","saved":{"version":2}}`,
		`{"apiVersion":"fluxover.dev/v1","kind":"Inventory","agents":[{"id":"a/b"}],"saved":{"version":1}}`,
		`{"apiVersion":"fluxover.dev/v1","kind":"Inventory","agents":[{"id":"a/b"}],"saved":{"version":1,"agents":{"a/b":{"tree":"x"}}}}`,
		`{"apiVersion":"fluxover.dev/v1","kind":"Inventory","agents":[{"id":"a/b"}],"saved":{"version":1,"agents":{"a/b":{"tree":"x"}},"trees":{"x":[{"path":"../a"}]}}}`,
		`{"apiVersion":"fluxover.dev/v1","kind":"Inventory","agents":[{"id":"a/b"}],"saved":{"version":1,"agents":{"a/b":{"tree":"x"}},"trees":{"x":[{"path":"a"},{"path":"a/b"}]}}}`,
		`{"apiVersion":"fluxover.dev/v1","kind":"Inventory","agents":[{"id":"a/b"}],"saved":{"version":1,"agents":{"a/b":{"tree":"x"}},"trees":{"x":[{"path":"a","base64":"*"}]}}}`,
		`{"apiVersion":"fluxover.dev/v1","kind":"Inventory","agents":[{"id":"a/b"}],"saved":{"version":1,"agents":{"a/b":{"tree":"x"}},"trees":{"x":[{"path":"` + strings.Repeat("a/", 513) + `a"}]}}}`,
	} {
		if _, err := Open(t.Context(), strings.NewReader(text)); !errors.Is(err, ErrNotSaved) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
