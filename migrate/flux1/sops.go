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
	l.encrypted = append(l.encrypted, p)
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
