package flux1

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/fluxover/fluxover/e2e/sops"
	"github.com/fluxover/fluxover/migrate"
)

func TestCiphertextThatWouldBeAppliedIsNamedWithItsFile(t *testing.T) {
	key, err := sops.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	const object = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n  namespace: demo\nstringData:\n  password: MARKED\n"
	list := "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(object), "\n", "\n  ") + "\n"
	sealed := func(plain string) string {
		text, err := sops.Encrypt(plain, "yaml", sops.For(key))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, c := range map[string]struct {
		text string
		sops bool
		want string
	}{
		"a list, which nobody decrypts":    {text: sealed(list), want: "demo:secret/db in p/a.yaml:1 would be applied as ciphertext: SOPS encrypted it and nothing decrypts it here: its field .stringData.password"},
		"an object, which nobody decrypts": {text: sealed(object), want: "with the metadata of SOPS"},
		"ciphertext within what fluxd reads as plain": {sops: true, text: object + "  more: " + ciphertextOf(t, sealed(object)) + "\n",
			want: "demo:secret/db in p/a.yaml:1 would be applied as ciphertext: SOPS encrypted it and nothing decrypts it here: its field .stringData.more"},
		"meant as it is, beside an annotation that is no text": {sops: true,
			text: strings.Replace(object, "metadata:\n", "metadata:\n  annotations: {kustomize.toolkit.fluxcd.io/decrypt: disabled, n: 1}\n", 1) + "  more: " + ciphertextOf(t, sealed(object)) + "\n"},
		"plain text": {text: object},
	} {
		t.Run(name, func(t *testing.T) {
			_, objects, findings, err := Load(fstest.MapFS{"p/a.yaml": {Data: []byte(c.text)}},
				LoadConfig{Repository: "flux/team", Paths: []string{"p"}, SOPS: c.sops, DefaultNamespace: "default", Kinds: kinds})
			if err != nil || len(objects) != 1 {
				t.Fatal(err, objects)
			}
			var told []string
			for _, f := range findings {
				if f.Code == Ciphertext.Name {
					told = append(told, f.Message)
				}
				if f.Severity != migrate.Blocker || strings.Contains(f.Message, "ENC[") {
					t.Errorf("%v", f)
				}
			}
			if said := strings.Join(told, "\n"); len(told) > 1 || (said == "") != (c.want == "") || !strings.Contains(said, c.want) {
				t.Errorf("findings: %q", told)
			}
		})
	}
}

// ciphertextOf is the value under password of an encrypted object.
func ciphertextOf(t *testing.T, text string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "password: ")
	token, _, _ := strings.Cut(rest, "\n")
	if !found {
		t.Fatal("no value is encrypted")
	}
	return token
}
