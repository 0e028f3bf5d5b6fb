package flux1

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/fluxover/fluxover/e2e/sops"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/build"
)

func TestEncryptedFilesAreDecryptedWhereFluxV2CanDoSoToo(t *testing.T) {
	key, err := sops.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := build.ReadKeys(map[string][]byte{"a.agekey": []byte(key.Private)})
	if err != nil {
		t.Fatal(err)
	}
	const marked = "MARKED-value"
	secret := "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n  namespace: demo\nstringData:\n  password: " + marked + "\n"
	config := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: db\n  namespace: demo\ndata:\n  password: " + marked + "\n"
	list := "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: db, namespace: demo}\n  stringData: {password: " + marked + "}\n"
	annotated := strings.Replace(secret, "metadata:\n", "metadata:\n  annotations:\n    kustomize.toolkit.fluxcd.io/decrypt: disabled\n", 1)
	age, cloud := sops.For(key), sops.For(sops.AWS("arn:aws:kms:eu-west-1:1:key/a"))
	for name, c := range map[string]struct {
		plain   string
		options sops.Options
		change  func(string) string
		keys    *build.Keys
		// objects that are decrypted, and what the one finding says.
		objects      int
		code, reason string
	}{
		"several documents":     {plain: secret + "---\n" + config, options: age, keys: keys, objects: 2},
		"no keys are known":     {plain: secret, options: age, code: "SOPS_ENCRYPTED", reason: "files are encrypted with SOPS: a.yaml (age)"},
		"the agent has no key":  {plain: secret, options: age, keys: &build.Keys{}, code: "SOPS_ENCRYPTED", reason: "it is encrypted for age " + key.Public + ", and no key was given"},
		"the key is a cloud's":  {plain: secret, options: cloud, keys: keys, code: "SOPS_ENCRYPTED", reason: "it is encrypted for AWS KMS arn:aws:kms:eu-west-1:1:key/a"},
		"kinds are hidden":      {plain: secret, options: sops.Options{Keys: []sops.Key{key}}, keys: keys, code: "SOPS_KIND_ENCRYPTED", reason: "hides the kind"},
		"objects in a list":     {plain: list, options: age, keys: keys, code: "SOPS_ENCRYPTED", reason: "demo:secret/db bears no metadata of SOPS itself"},
		"to be left encrypted":  {plain: annotated, options: age, keys: keys, code: "SOPS_ENCRYPTED", reason: "remove it"},
		"moved after encrypted": {plain: secret, options: age, keys: keys, change: func(s string) string { return strings.Replace(s, "password:", "secret:", 1) }, code: "SOPS_ENCRYPTED", reason: "a value was changed or moved after SOPS encrypted it"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := sops.Encrypt(c.plain, "yaml", c.options)
			if err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				text = c.change(text)
			}
			cfg := LoadConfig{Repository: "flux/team", SOPS: true, DefaultNamespace: "default", Kinds: kinds}
			if c.keys != nil {
				cfg.Decrypt = func(content []byte) ([]byte, error) { return build.DecryptFile(t.Context(), content, c.keys) }
			}
			files, objects, findings, err := Load(fstest.MapFS{"a.yaml": {Data: []byte("# a comment\n" + text)}}, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if len(files) != 1 || files[0].Kind != migrate.FileEncrypted {
				t.Errorf("files: %v", files)
			}
			decrypted := 0
			for i, o := range objects {
				if o.Encrypted != (o.Manifest != nil) {
					t.Errorf("%s: encrypted %v, manifest %v", o.ID, o.Encrypted, o.Manifest)
				}
				if !o.Encrypted {
					continue
				}
				decrypted++
				raw, _ := o.Manifest.MarshalJSON()
				if !strings.Contains(string(raw), marked) || strings.Contains(string(raw), `"sops"`) {
					t.Errorf("%s is not decrypted: %s", o.ID, raw)
				}
				if lines := strings.Split("# a comment\n"+text, "\n"); !strings.HasPrefix(lines[o.Line-1], "apiVersion") {
					t.Errorf("document %d does not begin on line %d", i, o.Line)
				}
			}
			if decrypted != c.objects {
				t.Errorf("%d objects are decrypted, want %d", decrypted, c.objects)
			}
			var told []string
			for _, f := range findings {
				told = append(told, f.Code+": "+f.Message)
				if strings.Contains(f.Message, "MARKED") {
					t.Errorf("a value is told: %s", f.Message)
				}
			}
			if c.code == "" && len(told) > 0 || c.code != "" && (len(told) != 1 || !strings.HasPrefix(told[0], c.code+":") || !strings.Contains(told[0], c.reason)) {
				t.Errorf("findings: %q", told)
			}
		})
	}
}

func TestALinkToAnEncryptedFileIsNamed(t *testing.T) {
	_, _, findings, err := Load(fstest.MapFS{
		"a.txt":  {Data: []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nsops: {age: []}\n")},
		"a.yaml": {Data: []byte("a.txt"), Mode: fs.ModeSymlink},
	}, LoadConfig{Repository: "flux/team", SOPS: true, DefaultNamespace: "default", Kinds: kinds})
	if err != nil || !slices.ContainsFunc(findings, func(f migrate.Finding) bool { return f.Code == LinkedFile.Name }) {
		t.Error(err, findings)
	}
}
