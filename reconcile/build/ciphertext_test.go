package build

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/fluxover/fluxover/e2e/sops"
)

// encryptedToken is one value as SOPS encrypts it.
func encryptedToken(t testing.TB) string {
	t.Helper()
	text := encrypt(t, "a: "+secretValue+"\n", "yaml", sops.Options{Keys: []sops.Key{sopsKeys().age}})
	token, _, _ := strings.Cut(strings.TrimPrefix(text, "a: "), "\n")
	if !strings.HasPrefix(token, "ENC[AES256_GCM,data:") {
		t.Fatalf("no value in %s", text)
	}
	return token
}

func TestNoObjectIsAppliedAsCiphertext(t *testing.T) {
	k := sopsKeys()
	keys := readKeys(t, map[string]string{"a.agekey": k.age.Private})
	age, all := sops.For(k.age), sops.Options{Keys: []sops.Key{k.age}}
	token := encryptedToken(t)
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	item := "- apiVersion: v1\n  kind: Secret\n  metadata: {name: a, namespace: shop}\n  stringData: {password: " + secretValue + "}\n"
	list := encrypt(t, "apiVersion: v1\nkind: List\nitems:\n"+item, "yaml", age)
	secrets := encrypt(t, "apiVersion: v1\nkind: SecretList\nitems:\n"+item, "yaml", age)
	object := func(kind, fields string) string {
		return "apiVersion: v1\nkind: " + kind + "\nmetadata: {name: a, namespace: shop}\n" + fields + "\n"
	}
	operator := encrypt(t, "apiVersion: isindir.github.com/v1alpha3\nkind: SopsSecret\nmetadata:\n  name: a\n  namespace: shop\nspec:\n  data: "+secretValue+"\n", "yaml",
		sops.Options{EncryptedRegex: "^data$", Keys: []sops.Key{k.age}})
	document := "apiVersion: v1\nkind: Secret\nstringData:\n    password: " + token + "\nsops:\n    mac: " + token + "\n"
	indented := strings.ReplaceAll(strings.TrimSpace(document), "\n", "\n    ")
	annotated := func(text string) string {
		return strings.Replace(text, "metadata: {", "metadata: {annotations: {kustomize.toolkit.fluxcd.io/decrypt: disabled}, ", 1)
	}
	for name, c := range map[string]struct {
		text string
		// with and without are what is said with spec.decryption and without; ""
		// means that the object is built.
		with, without string
	}{
		"an encrypted list":                        {list, ".stringData.password", ".stringData.password"},
		"an encrypted list of Secrets":             {secrets, ".stringData.password", ".stringData.password"},
		"a list whose item is meant so":            {strings.Replace(list, "namespace: shop", "namespace: shop\n        annotations:\n            kustomize.toolkit.fluxcd.io/decrypt: disabled", 1), "", ""},
		"a value":                                  {object("ConfigMap", "data: {k: '"+token+"'}"), ".data.k", ".data.k"},
		"a value on a line of its own":             {object("ConfigMap", "data:\n  k: |\n    "+token), ".data.k", ".data.k"},
		"a value that is meant so":                 {annotated(object("ConfigMap", "data: {k: '"+token+"'}")), "", ""},
		"a value within lists":                     {object("Pod", "spec: {containers: [{name: a, image: b, env: [{name: A, value: '"+token+"'}]}]}"), ".spec.containers[0].env[0].value", ".spec.containers[0].env[0].value"},
		"any other field":                          {object("ConfigMap", "data: {k: v}\nx: {l: '"+token+"'}"), ".x.l", ".x.l"},
		"a value of a Secret":                      {object("Secret", "data: {k: "+encode(token)+"}"), ".data.k", ".data.k"},
		"a value of a Secret, not encoded":         {object("Secret", "data: {k: '"+token+"'}"), ".data.k", ".data.k"},
		"the same of another kind":                 {object("ConfigMap", "data: {k: "+encode(token)+"}"), "", ""},
		"a text that is a file":                    {object("Secret", "stringData:\n  a.yaml: |\n    "+strings.ReplaceAll(encrypt(t, "a: 1\n", "yaml", all), "\n", "\n    ")), "'a.yaml' in stringData", ""},
		"a binary value":                           {object("ConfigMap", "binaryData: {k: "+encode(token)+"}"), ".binaryData.k", ".binaryData.k"},
		"a binary value that is meant so":          {annotated(object("ConfigMap", "binaryData: {k: "+encode(token)+"}")), "", ""},
		"a binary value that is a file":            {object("ConfigMap", "binaryData: {a.bin: "+encode(encrypt(t, "a: 1\n", "yaml", all))+"}"), "'a.bin' in binaryData", ""},
		"a binary value with a word of it":         {object("ConfigMap", "binaryData: {k: "+encode("values look like "+token)+"}"), "", ""},
		"a file in one line of JSON":               {object("ConfigMap", "data: {a: '"+compact(t, encrypt(t, `{"a": 1}`, "json", all))+"'}"), "'a' in data", ""},
		"the same in a Secret":                     {object("Secret", "data: {a: "+encode(compact(t, encrypt(t, `{"a": 1}`, "json", all)))+"}"), "'a' in data", ""},
		"a file with line ends of Windows":         {object("ConfigMap", "binaryData: {a: "+encode(strings.ReplaceAll(encrypt(t, "A=1\n", "dotenv", all), "\n", "\r\n"))+"}"), "'a' in binaryData", ""},
		"a file of another kind":                   {object("Pod", "spec:\n  a: |\n    "+strings.ReplaceAll(encrypt(t, "a: 1\n", "yaml", all), "\n", "\n    ")), "", ""},
		"a file between words":                     {object("ConfigMap", "data:\n  README: |\n    Write it so.\n\n    "+strings.ReplaceAll(encrypt(t, "a: 1\n", "yaml", all), "\n", "\n    ")), "", ""},
		"a file with dots for its values":          {object("ConfigMap", "data:\n  a.yaml: |\n    "+strings.ReplaceAll(dotted(encrypt(t, "a: 1\n", "yaml", all)), "\n", "\n    ")), "", ""},
		"metadata without a MAC":                   {object("ConfigMap", "data: {k: v}\nsops: {version: 3.7.2}"), "has no MAC", "no spec.decryption"},
		"metadata":                                 {encrypt(t, configMapYAML("a"), "yaml", age), "", "no spec.decryption"},
		"a kind that an operator decrypts":         {operator, "", ""},
		"the same of another kind's name":          {strings.Replace(operator, "SopsSecret", "Database", 1), "", "no spec.decryption"},
		"a field of that name":                     {object("ConfigMap", "data: {k: v}\nsops: none"), "", ""},
		"a document of it in a ConfigMap":          {object("ConfigMap", "data:\n  README: |\n    "+indented), "", ""},
		"a document of it in a Secret's text":      {object("Secret", "stringData:\n  README: |\n    Write it so:\n    "+indented), "", ""},
		"a text with a word of it":                 {object("ConfigMap", "data: {k: 'values look like "+token+"'}"), "", ""},
		"the form without a value":                 {object("ConfigMap", "data: {k: 'ENC[AES256_GCM,data:...,iv:...,tag:...,type:str]'}"), "", ""},
		"the form without an end":                  {object("ConfigMap", "data: {k: '"+strings.TrimSuffix(token, "]")+"'}"), "", ""},
		"a configuration with a part of that name": {object("Secret", "stringData:\n  a.ini: |\n    [sops]\n    a = b"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for decryption, want := range map[bool]string{true: c.with, false: c.without} {
				objects, err := Objects(t.Context(), decrypting(map[string]string{"apps/a.yaml": c.text}, keys, func(ks *kustomizev1.Kustomization) {
					if !decryption {
						ks.Spec.Decryption = nil
					}
				}))
				switch {
				case want == "" && (err != nil || len(objects) != 1):
					t.Errorf("decryption %v: %d objects, error %v", decryption, len(objects), err)
				case want != "" && (!errors.Is(err, ErrCiphertext) || !strings.Contains(err.Error(), want) || objects != nil):
					t.Errorf("decryption %v: %d objects, error %v, want %q", decryption, len(objects), err, want)
				case err != nil && (strings.Contains(err.Error(), "ENC[") || !strings.Contains(err.Error(), "/a")):
					t.Errorf("decryption %v: the error quotes ciphertext, or does not name the object: %v", decryption, err)
				}
			}
		})
	}
	// What generators read is decrypted for Secrets alone.
	in := decrypting(map[string]string{
		"apps/kustomization.yaml": "configMapGenerator:\n- name: a\n  envs: [a.env]\n",
		"apps/a.env":              encrypt(t, "A="+secretValue+"\n", "dotenv", all),
	}, keys)
	if _, err := Objects(t.Context(), in); !errors.Is(err, ErrCiphertext) {
		t.Errorf("a generated ConfigMap: %v", err)
	}
}

func compact(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// dotted has dots in place of what the values of an encrypted text hold.
func dotted(text string) string {
	return regexp.MustCompile(`data:[^,]*,iv:[^,]*,tag:[^,]*,`).ReplaceAllString(text, "data:...,iv:...,tag:...,")
}

func TestNoConfigMapIsGeneratedOfAnEncryptedFile(t *testing.T) {
	k := sopsKeys()
	keys := readKeys(t, map[string]string{"a.agekey": k.age.Private})
	all := sops.Options{Keys: []sops.Key{k.age}}
	for name, c := range map[string]struct{ plain, format string }{
		"a.yaml": {"password: " + secretValue + "\n---\nb: " + secretValue + "\n", "yaml"},
		"a.json": {`{"password": "` + secretValue + `"}`, "json"},
		"a.ini":  {"[db]\npassword = " + secretValue + "\n", "ini"},
		"a.env":  {"PASSWORD=" + secretValue + "\n", "dotenv"},
		"a.bin":  {secretValue, "binary"},
	} {
		files := map[string]string{
			"apps/kustomization.yaml": "configMapGenerator:\n- name: made\n  namespace: shop\n  files: [" + name + ", other=" + name + "]\n",
			"apps/" + name:            encrypt(t, c.plain, c.format, all),
		}
		objects, err := Objects(t.Context(), decrypting(files, keys))
		if !errors.Is(err, ErrCiphertext) || objects != nil || !strings.Contains(fmt.Sprint(err), "ConfigMap/shop/made-") || !strings.Contains(fmt.Sprint(err), "'"+name+"' in data") || strings.Contains(fmt.Sprint(err), "ENC[") {
			t.Errorf("%s: %d objects, error %v", name, len(objects), err)
		}
		files["apps/kustomization.yaml"] += "  options: {annotations: {kustomize.toolkit.fluxcd.io/decrypt: disabled}}\n"
		if objects, err = Objects(t.Context(), decrypting(files, keys)); err != nil || len(objects) != 1 {
			t.Errorf("%s, meant so: %d objects, error %v", name, len(objects), err)
		}
	}
}

// stopping is a context that ends when it has been looked at some times.
type stopping struct {
	context.Context
	left int
}

func (s *stopping) Err() error {
	if s.left--; s.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func TestDecryptionEndsWithItsContext(t *testing.T) {
	k := sopsKeys()
	keys := readKeys(t, map[string]string{"a.agekey": k.age.Private})
	var plain strings.Builder
	for i := range 3_000 {
		fmt.Fprintf(&plain, "a%d: "+secretValue+"\n", i)
	}
	text := []byte(encrypt(t, plain.String(), "yaml", sops.Options{Keys: []sops.Key{k.age}}))
	counting := &stopping{Context: t.Context(), left: 1 << 30}
	if _, err := DecryptFile(counting, text, keys); err != nil {
		t.Fatal(err)
	}
	// Once for each value, at the least, and some times before and after.
	looks := 1<<30 - counting.left
	if looks < 3_000 {
		t.Errorf("the context was looked at %d times", looks)
	}
	for _, after := range []int{0, 1, 2, 3, 4, 5, looks / 2, looks - 2, looks - 1} {
		plain, err := DecryptFile(&stopping{Context: t.Context(), left: after}, text, keys)
		if !errors.Is(err, context.DeadlineExceeded) || plain != nil {
			t.Errorf("ended after %d looks of %d: %d bytes, error %v", after, looks, len(plain), err)
		}
	}
	// A build that ends is told as that, whatever it was decrypting.
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	files := &overlayFS{artifact: mustArtifact(t, map[string]string{"apps/kustomization.yaml": "secretGenerator:\n- name: a\n  files: [a.yaml]\n", "apps/a.yaml": string(text)}), written: map[string][]byte{}}
	if _, err := decryptSources(ctx, files, "apps/kustomization.yaml", keys); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sources: %v", err)
	}
}

func mustArtifact(t testing.TB, files map[string]string) *Artifact {
	t.Helper()
	a, err := NewArtifact(decrypting(files, nil).Tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
