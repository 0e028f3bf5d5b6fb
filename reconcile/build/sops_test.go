package build

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/fluxover/fluxover/e2e/sops"
)

// marked values are in plain text nowhere but where they are decrypted to.
const secretValue = "hunter-two-is-in-no-error"

// sopsKeys are a PGP and an age key, made once, and others that nothing is
// encrypted for.
var sopsKeys = sync.OnceValue(func() (keys struct{ pgp, age, otherPGP, otherAge sops.Key }) {
	for _, k := range []struct {
		key  *sops.Key
		make func() (sops.Key, error)
	}{{&keys.pgp, sops.NewPGP}, {&keys.otherPGP, sops.NewPGP}, {&keys.age, sops.NewAge}, {&keys.otherAge, sops.NewAge}} {
		var err error
		if *k.key, err = k.make(); err != nil {
			panic(err)
		}
	}
	return keys
})

func encrypt(t testing.TB, plain, format string, o sops.Options) string {
	t.Helper()
	text, err := sops.Encrypt(plain, format, o)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, secretValue) {
		t.Fatalf("not encrypted: %s", text)
	}
	return text
}

func readKeys(t testing.TB, data map[string]string) *Keys {
	t.Helper()
	raw := map[string][]byte{}
	for k, v := range data {
		raw[k] = []byte(v)
	}
	keys, err := ReadKeys(raw)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// decrypting renders the folder apps of some files, with decryption.
func decrypting(files map[string]string, keys *Keys, change ...func(*kustomizev1.Kustomization)) Input {
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	ks := &kustomizev1.Kustomization{}
	ks.Name, ks.Namespace = "shop", "flux-system"
	ks.Spec.Path, ks.Spec.Decryption = "./apps", &kustomizev1.Decryption{Provider: "sops"}
	for _, c := range change {
		c(ks)
	}
	return Input{Tree: tree, Kustomization: ks, Keys: keys}
}

func secretYAML(name string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata:\n  name: " + name + "\n  namespace: shop\nstringData:\n  password: " + secretValue + "\n"
}

func configMapYAML(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n  namespace: shop\ndata:\n  password: " + secretValue + "\n"
}

// value is a field of data of one object, decoded if it is a Secret's.
func value(t testing.TB, objects []*unstructured.Unstructured, kind, name, key string) string {
	t.Helper()
	for _, u := range objects {
		if u.GetKind() != kind || !strings.HasPrefix(u.GetName(), name) {
			continue
		}
		if _, left := u.Object["sops"]; left {
			t.Errorf("%s/%s still holds SOPS's metadata", kind, name)
		}
		text, _, _ := unstructured.NestedString(u.Object, "data", key)
		if kind != "Secret" {
			return text
		}
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(decoded)
	}
	t.Fatalf("%s/%s was not built: %s", kind, name, printed(t, objects))
	return ""
}

func TestObjectsOfAnyKindAreDecryptedWithPGPAndAgeKeys(t *testing.T) {
	k := sopsKeys()
	for name, c := range map[string]struct {
		options sops.Options
		keys    map[string]string
	}{
		"age":                        {sops.For(k.age), map[string]string{"age.agekey": k.age.Private}},
		"pgp":                        {sops.For(k.pgp), map[string]string{"pgp.asc": k.pgp.Private}},
		"one of two":                 {sops.For(k.pgp, k.age), map[string]string{"a.agekey": k.age.Private}},
		"one beside that of a cloud": {sops.For(sops.AWS("arn:aws:kms:eu-west-1:1:key/a"), k.pgp), map[string]string{"a.asc": k.pgp.Private}},
		"several keys in one value":  {sops.For(k.pgp), map[string]string{"a.asc": k.otherPGP.Private + "\n" + k.pgp.Private}},
		"of two groups":              {sops.Options{EncryptedRegex: "^(data|stringData)$", Groups: [][]sops.Key{{k.otherAge}, {k.age}, {k.pgp}}, Threshold: 2}, map[string]string{"a.asc": k.pgp.Private, "b.agekey": k.age.Private}},
		"identities on two lines":    {sops.For(k.age), map[string]string{"a.agekey": k.otherAge.Private + "\r\n" + k.age.Private}},
	} {
		t.Run(name, func(t *testing.T) {
			in := decrypting(map[string]string{
				"apps/secret.yaml": encrypt(t, secretYAML("secret"), "yaml", c.options),
				"apps/config.yaml": encrypt(t, configMapYAML("config"), "yaml", c.options),
				"apps/plain.yaml":  configMapYAML("plain"),
			}, readKeys(t, c.keys), func(ks *kustomizev1.Kustomization) {
				// Changes after the encryption, over which MACs are not taken.
				ks.Spec.TargetNamespace = "other"
				ks.Spec.CommonMetadata = &kustomizev1.CommonMetadata{Labels: map[string]string{"team": "shop"}}
			})
			objects, err := Objects(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"config", "plain"} {
				if got := value(t, objects, "ConfigMap", name, "password"); got != secretValue {
					t.Errorf("ConfigMap %s holds %q", name, got)
				}
			}
			if got := value(t, objects, "Secret", "secret", "password"); got != secretValue {
				t.Errorf("Secret holds %q", got)
			}
			if objects[0].GetNamespace() != "other" || objects[0].GetLabels()["team"] != "shop" {
				t.Errorf("not finished: %v", objects[0])
			}
		})
	}
}

func TestFilesThatGeneratorsAndPatchesReadAreDecrypted(t *testing.T) {
	k := sopsKeys()
	all := sops.Options{Keys: []sops.Key{k.age}}
	files := map[string]string{
		"apps/kustomization.yaml": `resources: [plain.yaml, ../base]
components: [../component]
secretGenerator:
- name: files
  files: [a.yaml, b.json, c.ini, d.txt, renamed.env=e.secret, .dockerconfigjson=f.json]
- name: envs
  envs: [g.env, h.txt]
patches:
- path: patch.yaml
`,
		"apps/plain.yaml":              configMapYAML("plain"),
		"apps/a.yaml":                  encrypt(t, "user: shop\npassword: "+secretValue+"\nport: 5432\n", "yaml", all),
		"apps/b.json":                  encrypt(t, `{"password": "`+secretValue+`", "port": 5432}`, "json", all),
		"apps/c.ini":                   encrypt(t, "[db]\npassword = "+secretValue+"\n", "ini", all),
		"apps/d.txt":                   encrypt(t, secretValue, "binary", all),
		"apps/e.secret":                encrypt(t, "password="+secretValue+"\n", "dotenv", all),
		"apps/f.json":                  encrypt(t, `{"auths": "`+secretValue+`"}`, "json", all),
		"apps/g.env":                   encrypt(t, "G="+secretValue+"\n", "dotenv", all),
		"apps/h.txt":                   encrypt(t, "H="+secretValue+"\n", "dotenv", all),
		"apps/patch.yaml":              encrypt(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: shop}\ndata: {patched: "+secretValue+"}\n", "yaml", sops.For(k.age)),
		"base/kustomization.yaml":      "secretGenerator:\n- name: base\n  files: [x.txt]\n",
		"base/x.txt":                   encrypt(t, secretValue, "binary", all),
		"component/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nsecretGenerator:\n- name: component\n  envs: [x.env]\n",
		"component/x.env":              encrypt(t, "X="+secretValue+"\n", "dotenv", all),
	}
	in := decrypting(files, readKeys(t, map[string]string{"a.agekey": k.age.Private}))
	before := fmt.Sprint(hashTree(t, in.Tree))
	objects, err := Objects(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(hashTree(t, in.Tree)) != before {
		t.Error("the tree changed")
	}
	for place, want := range map[[3]string]string{
		{"Secret", "files-", "a.yaml"}:            "user: shop\npassword: " + secretValue + "\nport: 5432\n",
		{"Secret", "files-", "b.json"}:            "{\n\t\"password\": \"" + secretValue + "\",\n\t\"port\": 5432\n}\n",
		{"Secret", "files-", "c.ini"}:             "[db]\npassword = " + secretValue + "\n",
		{"Secret", "files-", "d.txt"}:             secretValue,
		{"Secret", "files-", "renamed.env"}:       "password=" + secretValue + "\n",
		{"Secret", "files-", ".dockerconfigjson"}: "{\n\t\"auths\": \"" + secretValue + "\"\n}\n",
		{"Secret", "envs-", "G"}:                  secretValue,
		{"Secret", "envs-", "H"}:                  secretValue,
		{"Secret", "base-", "x.txt"}:              secretValue,
		{"Secret", "component-", "X"}:             secretValue,
		{"ConfigMap", "plain", "patched"}:         secretValue,
	} {
		if got := value(t, objects, place[0], place[1], place[2]); got != want {
			t.Errorf("%v: %q, want %q", place, got, want)
		}
	}
	// The name of a generated Secret ends in a hash of its values: of the plain
	// ones, so that a new encryption of the same values replaces nothing.
	again := files
	again["base/x.txt"] = encrypt(t, secretValue, "binary", all)
	more, err := Objects(t.Context(), decrypting(again, in.Keys))
	if err != nil || printed(t, more) != printed(t, objects) {
		t.Errorf("another encryption of the same builds something else: %v", err)
	}
}

func TestAValueOfASecretMayBeAnEncryptedFile(t *testing.T) {
	k := sopsKeys()
	all := sops.Options{Keys: []sops.Key{k.pgp}}
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	in := decrypting(map[string]string{"apps/a.yaml": fmt.Sprintf(
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: shop}\ndata: {a.yaml: %s, plain: %s, env: %s}\n",
		encode(encrypt(t, "password: "+secretValue+"\n", "yaml", all)), encode("x"), encode(encrypt(t, secretValue, "binary", all)),
	)}, readKeys(t, map[string]string{"a.asc": k.pgp.Private}))
	objects, err := Objects(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"a.yaml": "password: " + secretValue + "\n", "plain": "x", "env": secretValue} {
		if got := value(t, objects, "Secret", "a", key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

func TestWhatIsMarkedStaysEncrypted(t *testing.T) {
	text := encrypt(t, strings.Replace(secretYAML("a"), "metadata:\n", "metadata:\n  annotations: {kustomize.toolkit.fluxcd.io/decrypt: Disabled}\n", 1), "yaml", sops.For(sopsKeys().age))
	objects, err := Objects(t.Context(), decrypting(map[string]string{"apps/a.yaml": text}, readKeys(t, map[string]string{"a.agekey": sopsKeys().age.Private})))
	if err != nil {
		t.Fatal(err)
	}
	if text := printed(t, objects); strings.Contains(text, secretValue) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(secretValue))) {
		t.Errorf("decrypted: %s", text)
	}
}

func TestFaultsOfDecryptionAreToldWithoutAValue(t *testing.T) {
	k := sopsKeys()
	keys := map[string]string{"a.agekey": k.age.Private, "a.asc": k.pgp.Private}
	sealed := func(o sops.Options) string { return encrypt(t, secretYAML("a"), "yaml", o) }
	age := sealed(sops.For(k.age))
	generator := func(name, text string) map[string]string {
		return map[string]string{"apps/kustomization.yaml": "secretGenerator:\n- name: a\n  files: [" + name + "]\n", "apps/" + name: text}
	}
	for name, c := range map[string]struct {
		files map[string]string
		keys  map[string]string
		want  string
	}{
		"no key":      {map[string]string{"apps/a.yaml": age}, nil, "it is encrypted for age " + k.age.Public + ", and no key was given"},
		"another key": {map[string]string{"apps/a.yaml": sealed(sops.For(k.otherPGP))}, keys, "it is encrypted for PGP " + k.otherPGP.Public + ", and none of the keys given decrypts it"},
		"a cloud's":   {map[string]string{"apps/a.yaml": sealed(sops.For(sops.AWS("arn:aws:kms:eu-west-1:1:key/a")))}, keys, "it is encrypted for AWS KMS arn:aws:kms:eu-west-1:1:key/a"},
		"keys of two groups, of which one is missing": {map[string]string{"apps/a.yaml": sealed(sops.Options{EncryptedRegex: "^stringData$", Groups: [][]sops.Key{{k.age}, {k.otherAge}}, Threshold: 2})}, keys,
			"it is encrypted for age " + k.age.Public + ", age " + k.otherAge.Public + " (keys of 2 of 2 groups are needed), and none of the keys given decrypts it"},
		"more keys than an error should name":      {map[string]string{"apps/a.yaml": sealed(sops.For(k.otherAge, k.otherPGP, k.otherAge, k.otherPGP, k.otherAge, k.otherPGP, k.otherAge))}, keys, "PGP " + k.otherPGP.Public + ", age " + k.otherAge.Public + ", age " + k.otherAge.Public + " and 2 other keys, and"},
		"credentials of a cloud":                   {map[string]string{"apps/a.yaml": sealed(sops.For(sops.AWS("arn:aws:kms:eu-west-1:1:key/a")))}, map[string]string{"sops.aws-kms": secretValue}, "what the Secret holds as sops.aws-kms is not used by this engine"},
		"several rules":                            {generator("a.yaml", strings.Replace(age, "sops:\n", "sops:\n    encrypted_suffix: _secret\n", 1)), keys, "apps/a.yaml: it has several rules"},
		"a key twice":                              {generator("a.yaml", "kind: "+secretValue+"\n"+age), keys, "apps/a.yaml: it cannot be read as YAML"},
		"the metadata twice":                       {generator("a.json", strings.Replace(encrypt(t, `{"a": "`+secretValue+`"}`, "json", sops.Options{Keys: []sops.Key{k.age}}), "{", `{"sops": {"mac": "x"}, `, 1)), keys, "apps/a.json: it has the metadata of SOPS twice"},
		"a key that is a number":                   {generator("a.yaml", "77: "+secretValue+"\n"+age), keys, "apps/a.yaml: a key in it is not text"},
		"JSON under a name of YAML is YAML":        {generator("a.yaml", encrypt(t, `["`+secretValue+`"]`, "binary", sops.Options{Keys: []sops.Key{k.otherAge}})+`{"mac: ENC[":`), keys, "apps/a.yaml: it cannot be read as YAML"},
		"plain text where the rule wants a secret": {map[string]string{"apps/a.yaml": strings.Replace(age, "stringData:\n", "stringData:\n    more: "+secretValue+"\n", 1)}, keys, "has to be encrypted"},
		"a value moved":                            {map[string]string{"apps/a.yaml": strings.Replace(age, "    password:", "    secret:", 1)}, keys, "was changed or moved"},
		"a number in plain":                        {map[string]string{"apps/a.yaml": strings.Replace(age, "stringData:\n", "stringData:\n    more: 770077077\n", 1)}, keys, "has to be encrypted"},
		"no metadata but the marker":               {generator("a.env", "sops_lastmodified=2026-01-02T03:04:05Z\nsops_mac=ENC[\nPASSWORD="+secretValue+"\n"), keys, "apps/a.env: it is encrypted for no key"},
		"a line that is none":                      {generator("a.env", "sops_mac=ENC[\n"+secretValue+"\n"), keys, "apps/a.env: it cannot be read as dotenv"},
		"broken INI":                               {generator("a.ini", "[sops]\n["+secretValue), keys, "apps/a.ini: it cannot be read as INI"},
		"broken YAML":                              {generator("a.yaml", "mac: ENC[\n\t- "+secretValue+": {\n"), keys, "apps/a.yaml: it cannot be read as YAML"},
		"too large":                                {generator("a.txt", strings.Repeat("x", maxEncryptedFile+1)), keys, "apps/a.txt has 5242881 bytes"},
		"not there":                                {map[string]string{"apps/kustomization.yaml": "secretGenerator:\n- name: a\n  files: [a.txt]\n"}, keys, "apps names a.txt, which is no file of the artifact"},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := Objects(t.Context(), decrypting(c.files, readKeys(t, c.keys)))
			if err == nil || objects != nil {
				t.Fatalf("no error; %d objects", len(objects))
			}
			if text := err.Error(); !strings.Contains(text, c.want) || strings.Contains(text, secretValue) || strings.Contains(text, "770077077") || strings.Contains(text, "ENC[") {
				t.Errorf("error: %v", err)
			}
		})
	}
}

func TestTheGuardHoldsWhereNothingIsDecrypted(t *testing.T) {
	k := sopsKeys()
	files := map[string]string{"apps/a.yaml": encrypt(t, secretYAML("a"), "yaml", sops.For(k.age))}
	keys := readKeys(t, map[string]string{"a.agekey": k.age.Private})
	_, err := Objects(t.Context(), decrypting(files, keys, func(ks *kustomizev1.Kustomization) { ks.Spec.Decryption = nil }))
	if !errors.Is(err, ErrEncrypted) {
		t.Errorf("without spec.decryption: %v", err)
	}
	// Without a MAC it is not taken for encrypted, and is refused all the same.
	files["apps/a.yaml"] = "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: shop}\nsops: {age: []}\n"
	if _, err := Objects(t.Context(), decrypting(files, keys)); !errors.Is(err, ErrEncrypted) {
		t.Errorf("without a MAC: %v", err)
	}
}

func TestKeysThatCannotBeReadAreNamedAndNotShown(t *testing.T) {
	k := sopsKeys()
	for name, c := range map[string]struct{ key, value, want string }{
		"age":      {"a.agekey", "# a comment\n" + strings.ToLower(k.age.Private[len(k.age.Private)-20:]), "failed to import 'a.agekey': line 2 is no age identity"},
		"pgp":      {"b.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n" + secretValue, "failed to import 'b.asc': it is no PGP key"},
		"no block": {"c.asc", secretValue, "failed to import 'c.asc': it is no PGP key"},
	} {
		_, err := ReadKeys(map[string][]byte{c.key: []byte(c.value)})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), secretValue) || strings.Contains(err.Error(), c.value[len(c.value)-10:]) {
			t.Errorf("%s: the error holds the value: %v", name, err)
		}
	}
	if _, err := ReadKeys(map[string][]byte{"sops.aws-kms": []byte("x"), "note": []byte("x")}); err != nil {
		t.Errorf("keys of other kinds are read: %v", err)
	}
}

func TestAWholeFileIsDecryptedAsFluxdDoes(t *testing.T) {
	k := sopsKeys()
	keys := readKeys(t, map[string]string{"a.agekey": k.age.Private})
	plain := secretYAML("a") + "---\n" + configMapYAML("b")
	for name, o := range map[string]sops.Options{"some fields": sops.For(k.age), "all of it, kinds too": {Keys: []sops.Key{k.age}}} {
		got, err := DecryptFile(t.Context(), []byte(encrypt(t, plain, "yaml", o)), keys)
		if err != nil || strings.ReplaceAll(string(got), "    ", "  ") != plain {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
	for name, text := range map[string]string{"plain": plain, "not YAML": "\t{", "with a word of it": "a: 1 # sops: later\n"} {
		if _, err := DecryptFile(t.Context(), []byte(text), keys); !errors.Is(err, ErrNotEncrypted) {
			t.Errorf("a file that is %s: %v", name, err)
		}
	}
	// fluxd checks the MAC, which is taken over what is not encrypted too.
	changed := strings.Replace(encrypt(t, plain, "yaml", sops.For(k.age)), "name: b", "name: c", 1)
	if _, err := DecryptFile(t.Context(), []byte(changed), keys); err == nil || !strings.Contains(err.Error(), "MAC does not match") {
		t.Errorf("a file that was changed: %v", err)
	}
}

// What the file's text decrypts to is what SOPS writes, byte for byte.
func TestTheBytesOfADecryptedFileAreThoseOfSOPS(t *testing.T) {
	k := sopsKeys()
	plain := `# at the head
a: # of a mapping
    # within it
    b: ` + secretValue + ` # beside it
    # at its end
c:
    # of an item
    - one # beside it
    - 2
    - true
    - 1.50
    # after the items
d: &x
    e: "0123"
    f: |
        two
        lines
g: *x
h: 2026-01-02T03:04:05Z
i: ""
j: null
# at the end
`
	for name, o := range map[string]sops.Options{"all": {Keys: []sops.Key{k.age}}, "one field": {EncryptedRegex: "^b$", Keys: []sops.Key{k.age}}} {
		text := []byte(encrypt(t, plain, "yaml", o))
		want, err := sops.DecryptYAML(text, k.age.Private)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecryptFile(t.Context(), text, readKeys(t, map[string]string{"a.agekey": k.age.Private}))
		if err != nil || string(got) != string(want) || !strings.Contains(string(got), "# at the end") {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
	}
}

func TestAKustomizationWithItsOwnSchemaIsDecrypted(t *testing.T) {
	k := sopsKeys()
	objects, err := Objects(t.Context(), decrypting(map[string]string{
		"apps/kustomization.yaml": "openapi: {path: schema.json}\nsecretGenerator:\n- name: a\n  files: [a.txt]\n",
		"apps/schema.json":        `{"definitions": {}}`,
		"apps/a.txt":              encrypt(t, secretValue, "binary", sops.Options{Keys: []sops.Key{k.age}}),
	}, readKeys(t, map[string]string{"a.agekey": k.age.Private})))
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, objects, "Secret", "a", "a.txt"); got != secretValue {
		t.Errorf("%q", got)
	}
}

// kustomize, the substitution and the normalisation quote what they fail on.
func TestFaultsInWhatWasDecryptedAreToldWithoutAValue(t *testing.T) {
	k := sopsKeys()
	all := sops.Options{Keys: []sops.Key{k.age}}
	keys := readKeys(t, map[string]string{"a.agekey": k.age.Private})
	post := func(ks *kustomizev1.Kustomization) {
		ks.Spec.PostBuild = &kustomizev1.PostBuild{Substitute: map[string]string{"a": "b"}}
	}
	for name, c := range map[string]struct {
		files  map[string]string
		change func(*kustomizev1.Kustomization)
		want   string
	}{
		"an env file that is not UTF-8": {map[string]string{
			"apps/kustomization.yaml": "secretGenerator:\n- name: a\n  envs: [a.env]\n",
			"apps/a.env":              encrypt(t, "A="+secretValue+"\xff\n", "dotenv", all),
		}, nil, "kustomize build failed over the plain text of apps/a.env"},
		"a patch that is none": {map[string]string{
			"apps/kustomization.yaml": "resources: [b.yaml]\npatches:\n- path: a.yaml\n",
			"apps/b.yaml":             configMapYAML("b"),
			"apps/a.yaml":             encrypt(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "+secretValue+"}\n", "yaml", all),
		}, nil, "kustomize build failed over the plain text of apps/a.yaml"},
		"a kustomization file that is none": {map[string]string{
			"apps/kustomization.yaml":  "resources: [../other]\nsecretGenerator:\n- name: a\n  files: [x=../other/kustomization.yaml]\n",
			"other/kustomization.yaml": encrypt(t, "? {"+secretValue+": }\n: a\n", "binary", all),
		}, nil, "other/kustomization.yaml, which is encrypted,"},
		"a file that a kustomization file names": {map[string]string{
			"apps/kustomization.yaml":  "resources: [../other]\nsecretGenerator:\n- name: a\n  files: [x=../other/kustomization.yaml]\n",
			"other/kustomization.yaml": encrypt(t, "secretGenerator:\n- name: a\n  files: ["+secretValue+"]\n", "binary", all),
		}, nil, "other/kustomization.yaml, which is encrypted,"},
		"a variable in an object": {map[string]string{
			"apps/a.yaml": encrypt(t, strings.Replace(secretYAML("a"), secretValue, "x${"+strings.ReplaceAll(secretValue, "-", "_")+"}", 1), "yaml", sops.For(k.age)),
		}, post, "a variable in what was decrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			in := decrypting(c.files, keys)
			if c.change != nil {
				c.change(in.Kustomization)
			}
			in.StrictSubstitution = true
			_, err := Objects(t.Context(), in)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error: %v", err)
			}
			for _, s := range []string{secretValue, strings.ReplaceAll(secretValue, "-", "_"), "770077077", base64.StdEncoding.EncodeToString([]byte(secretValue))} {
				if strings.Contains(err.Error(), s) {
					t.Errorf("quotes a value: %v", err)
				}
			}
		})
	}
	// A fault that has nothing to do with it is told.
	_, err := Objects(t.Context(), decrypting(map[string]string{
		"apps/kustomization.yaml": "resources: [none.yaml]\nsecretGenerator:\n- name: a\n  files: [a.txt]\n",
		"apps/a.txt":              encrypt(t, secretValue, "binary", all),
	}, keys))
	if err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("the fault is not told: %v", err)
	}
}

func TestARenderingSaysWhichObjectsHoldWhatWasDecrypted(t *testing.T) {
	k := sopsKeys()
	keys := readKeys(t, map[string]string{"a.agekey": k.age.Private})
	plain := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: b}\ndata: {k: v}\n"
	sealed := encrypt(t, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: sealed\n  namespace: b\ndata:\n  k: "+secretValue+"\n", "yaml", sops.For(k.age))
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"each by itself": {map[string]string{"apps/a.yaml": plain, "apps/b.yaml": sealed}, "ConfigMap/plain false, ConfigMap/sealed true"},
		"one file":       {map[string]string{"apps/a.yaml": plain + "---\n" + sealed}, "ConfigMap/plain false, ConfigMap/sealed true"},
		"values of a Secret": {map[string]string{
			"apps/a.yaml": plain, "apps/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: b}\ndata:\n  k.yaml: " + base64.StdEncoding.EncodeToString([]byte(sealed)) + "\n",
		}, "ConfigMap/plain false, Secret/s true"},
		"a generator's file": {map[string]string{
			"apps/a.yaml": plain, "apps/f.yaml": encrypt(t, "f: "+secretValue+"\n", "yaml", sops.Options{Keys: []sops.Key{k.age}}),
			"apps/kustomization.yaml": "resources: [a.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\nsecretGenerator: [{name: s, files: [f.yaml]}]\nconfigMapGenerator: [{name: c, files: [f.yaml]}]\n",
		}, "ConfigMap/c true, ConfigMap/plain true, Secret/s true"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Render(t.Context(), decrypting(c.files, keys))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range r.Objects {
				got = append(got, fmt.Sprintf("%s/%s %v", o.GetKind(), o.GetName(), r.Decrypted(o)))
			}
			slices.Sort(got)
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("got %s, want %s", text, c.want)
			}
		})
	}
	without := decrypting(map[string]string{"apps/a.yaml": plain}, nil)
	without.Kustomization.Spec.Decryption = nil
	r, err := Render(t.Context(), without)
	if err != nil || len(r.Objects) != 1 || r.Decrypted(r.Objects[0]) {
		t.Errorf("without decryption: %v", err)
	}
}

func TestKeysSayWhichOfThemWereUsed(t *testing.T) {
	k := sopsKeys()
	data := map[string]string{"a.agekey": k.age.Private, "p.asc": k.pgp.Private, "other.asc": k.otherPGP.Private, "other.agekey": k.otherAge.Private}
	keys := readKeys(t, data)
	if used := keys.Used(); len(used) > 0 {
		t.Errorf("used before anything was decrypted: %v", used)
	}
	for _, key := range []sops.Key{k.pgp, k.age} {
		text := encrypt(t, "a: b\n", "yaml", sops.Options{Keys: []sops.Key{key}})
		if _, err := DecryptFile(t.Context(), []byte(text), keys); err != nil {
			t.Fatal(err)
		}
	}
	if used := keys.Used(); !slices.Equal(used, []string{"a.agekey", "p.asc"}) {
		t.Errorf("used: %v", used)
	}
	same := map[string][]byte{"note": []byte("is not read")}
	for name, value := range data {
		same[name] = []byte(value)
	}
	other, fewer := maps.Clone(same), maps.Clone(same)
	other["a.agekey"] = append([]byte("\n"), other["a.agekey"]...)
	delete(fewer, "a.agekey")
	var none *Keys
	if !keys.Are(same) || keys.Are(other) || keys.Are(fewer) || none.Are(nil) {
		t.Errorf("are: %v %v %v %v", keys.Are(same), keys.Are(other), keys.Are(fewer), none.Are(nil))
	}
}
