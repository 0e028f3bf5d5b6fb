package build

import (
	"encoding/base64"
	"errors"
	"fmt"
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
  files: [a.yaml, b.json, d.txt, renamed.env=e.secret, .dockerconfigjson=f.json]
- name: envs
  envs: [g.env, h.txt]
patches:
- path: patch.yaml
`,
		"apps/plain.yaml":              configMapYAML("plain"),
		"apps/a.yaml":                  encrypt(t, "user: shop\npassword: "+secretValue+"\nport: 5432\n", "yaml", all),
		"apps/b.json":                  encrypt(t, `{"password": "`+secretValue+`", "port": 5432}`, "json", all),
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
		"no key":         {map[string]string{"apps/a.yaml": age}, nil, "it is encrypted for age " + k.age.Public + ", and no key was given"},
		"another key":    {map[string]string{"apps/a.yaml": sealed(sops.For(k.otherPGP))}, keys, "it is encrypted for PGP " + k.otherPGP.Public + ", and none of the keys given decrypts it"},
		"a cloud's":      {map[string]string{"apps/a.yaml": sealed(sops.For(sops.AWS("arn:aws:kms:eu-west-1:1:key/a")))}, keys, "it is encrypted for AWS KMS arn:aws:kms:eu-west-1:1:key/a"},
		"keys of groups": {map[string]string{"apps/a.yaml": strings.Replace(age, "    age:\n", "    key_groups:\n        - pgp: []\n        - age: []\n    others:\n", 1)}, keys, "it takes keys of several groups"},
		"plain text where the rule wants a secret": {map[string]string{"apps/a.yaml": strings.Replace(age, "stringData:\n", "stringData:\n    more: "+secretValue+"\n", 1)}, keys, "has to be encrypted"},
		"a value moved":              {map[string]string{"apps/a.yaml": strings.Replace(age, "    password:", "    secret:", 1)}, keys, "was changed or moved"},
		"a number in plain":          {map[string]string{"apps/a.yaml": strings.Replace(age, "stringData:\n", "stringData:\n    more: 770077077\n", 1)}, keys, "has to be encrypted"},
		"no metadata but the marker": {generator("a.env", "sops_mac=ENC[\nPASSWORD="+secretValue+"\n"), keys, "apps/a.env: cannot get its data key: it is encrypted for no key that is known here"},
		"a line that is none":        {generator("a.env", "sops_mac=ENC[\n"+secretValue+"\n"), keys, "apps/a.env: it cannot be read as dotenv"},
		"INI":                        {generator("a.ini", "[sops]\n["+secretValue), keys, "apps/a.ini: files in INI are not decrypted"},
		"broken YAML":                {generator("a.yaml", "mac: ENC[\n\t- "+secretValue+": {\n"), keys, "apps/a.yaml: it cannot be read as YAML"},
		"too large":                  {generator("a.txt", strings.Repeat("x", maxEncryptedFile+1)), keys, "apps/a.txt has 5242881 bytes"},
		"not there":                  {map[string]string{"apps/kustomization.yaml": "secretGenerator:\n- name: a\n  files: [a.txt]\n"}, keys, "apps names a.txt, which is no file of the artifact"},
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
		got, err := DecryptFile([]byte(encrypt(t, plain, "yaml", o)), keys)
		if err != nil || strings.ReplaceAll(string(got), "    ", "  ") != plain {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
	if _, err := DecryptFile([]byte(plain), keys); !errors.Is(err, ErrNotEncrypted) {
		t.Errorf("a plain file: %v", err)
	}
}
