package flux1

import (
	"bytes"
	"strings"

	"gopkg.in/yaml.v2"
)

// encryptedFile reports whether a file is encrypted with SOPS: its first
// document has a mapping "sops" at its top. (Without one, fluxd loads the
// file as it is; flux: pkg/cluster/kubernetes/resource/load.go.) Of such a
// file the objects are known by what stands in plain text; fluxd decrypts it
// whole, which nothing here does.
func (l *loader) encryptedFile(p string, content []byte) bool {
	var first struct {
		SOPS map[string]any `yaml:"sops"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(content)).Decode(&first); err != nil || len(first.SOPS) == 0 {
		return false
	}
	l.encrypted = append(l.encrypted, p+keyKinds(first.SOPS))
	docs, bad := decode(content, l.cfg.Limits)
	if bad != nil {
		l.find(bad.code, place{p, bad.line}, "%s: %s", p, bad.message)
	}
	for _, d := range docs {
		for _, o := range d.objects {
			o.encrypted = true
		}
		if d.kindless || hidden(d) {
			l.find(EncryptedKind, place{p, d.line}, "%s hides the kind or name of its objects", p)
			continue
		}
		l.document(p, d)
	}
	return true
}

// sopsKeys are the kinds of keys that a file may be encrypted for, by their
// fields and as people call them (sops: stores/stores.go).
var sopsKeys = []struct{ field, name string }{
	{"age", "age"}, {"azure_kv", "Azure Key Vault"}, {"gcp_kms", "Google Cloud KMS"}, {"hc_vault", "HashiCorp Vault"}, {"kms", "AWS KMS"}, {"pgp", "PGP"},
}

// keyKinds says for which kinds of keys a file is encrypted, in brackets.
func keyKinds(sops map[string]any) string {
	var kinds []string
	for _, k := range sopsKeys {
		if list, ok := sops[k.field].([]any); ok && len(list) > 0 {
			kinds = append(kinds, k.name)
		}
	}
	if len(kinds) == 0 {
		return ""
	}
	return " (" + strings.Join(kinds, ", ") + ")"
}

// hidden reports whether SOPS encrypted what names an object.
func hidden(d document) bool {
	for _, o := range d.objects {
		for _, s := range []string{o.APIVersion, o.Kind, o.Metadata.Name, o.Metadata.Namespace} {
			if strings.HasPrefix(s, "ENC[") {
				return true
			}
		}
	}
	return false
}
