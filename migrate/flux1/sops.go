package flux1

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v2"
)

// encryptedFile reports whether a file is encrypted with SOPS: its first
// document has a mapping "sops" at its top. (Without one, fluxd loads the
// file as it is; flux: pkg/cluster/kubernetes/resource/load.go.) fluxd decrypts
// it whole; where that can be done here, and Flux v2 can do it too, its objects
// are those that come out. Else they are known by what stands in plain text.
func (l *loader) encryptedFile(p string, content []byte) bool {
	var first struct {
		SOPS map[string]any `yaml:"sops"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(content)).Decode(&first); err != nil || len(first.SOPS) == 0 {
		return false
	}
	docs, bad := decode(content, l.cfg.Limits)
	if bad != nil {
		l.find(bad.code, place{p, bad.line}, "%s: %s", p, bad.message)
	}
	concealed := false
	for _, d := range docs {
		for _, o := range d.objects {
			o.encrypted = true
		}
		if d.kindless || hidden(d) {
			l.find(EncryptedKind, place{p, d.line}, "%s hides the kind or name of its objects", p)
			concealed = true
		} else if l.cfg.Decrypt != nil && hidesMetadata(d) {
			l.find(EncryptedKind, place{p, d.line}, "%s hides labels, annotations or other metadata of its objects", p)
			concealed = true
		}
	}
	switch {
	case l.cfg.Decrypt == nil:
		l.encrypted = append(l.encrypted, p+keyKinds(first.SOPS))
	case bad != nil || concealed:
		// What was found says why it is not carried; fluxd may decrypt it.
		_, _ = l.decrypt(p, content, first.SOPS)
	default:
		plain, err := l.decrypted(p, content, docs, first.SOPS)
		if err == nil {
			docs = plain
			break
		}
		l.find(Encrypted, place{file: p}, "%s is encrypted with SOPS and is not carried over: %v", p, err)
	}
	for _, d := range docs {
		if !d.kindless && !hidden(d) {
			l.document(p, d)
		}
	}
	return true
}

// decrypt asks for the plain text of a whole file, and tells of a failure.
func (l *loader) decrypt(p string, content []byte, metadata map[string]any) ([]byte, error) {
	plain, err := l.cfg.Decrypt(content)
	if err != nil && l.cfg.Closed != nil {
		l.cfg.Closed(Closed{p, err, forOtherKeys(metadata)})
	}
	return plain, err
}

// decrypted gives the documents of a file as they are in plain text. The error
// says why the file cannot be carried over; it holds no value.
func (l *loader) decrypted(p string, content []byte, sealed []document, metadata map[string]any) ([]document, error) {
	plain, failed := l.decrypt(p, content, metadata)
	for _, d := range sealed {
		for _, o := range d.objects {
			// Flux v2 decrypts each object by its own metadata, after it has taken
			// lists apart (kc: internal/decryptor/decryptor.go).
			metadata, _ := o.manifest.Object["sops"].(map[string]any)
			switch name := ResourceID(o.Metadata.Namespace, o.Kind, o.Metadata.Name); {
			case metadata["mac"] == nil:
				return nil, fmt.Errorf("%s bears no metadata of SOPS itself, without which Flux v2 does not decrypt it; give it a document of its own, not one in a list", name)
			case strings.EqualFold(o.Metadata.Annotations[keepEncrypted], "disabled"):
				return nil, fmt.Errorf("%s has the annotation %s: disabled, at which Flux v2 leaves it encrypted; remove it", name, keepEncrypted)
			}
		}
	}
	if failed != nil {
		return nil, failed
	}
	docs, bad := decode(plain, l.cfg.Limits)
	if bad != nil {
		return nil, errors.New("what it decrypts to cannot be read: " + bad.message)
	}
	if len(docs) != len(sealed) {
		return nil, errors.New("what it decrypts to has another number of documents")
	}
	for i := range docs {
		if len(docs[i].objects) != len(sealed[i].objects) {
			return nil, errors.New("what it decrypts to has another number of objects")
		}
		docs[i].setLine(sealed[i].line)
		for _, o := range docs[i].objects {
			o.decrypted = true
		}
	}
	return docs, nil
}

// keepEncrypted is the annotation by which Flux v2 is told not to decrypt.
const keepEncrypted = "kustomize.toolkit.fluxcd.io/decrypt"

// sopsKeys are the kinds of keys that a file may be encrypted for, by their
// fields and as people call them (sops: stores/stores.go).
var sopsKeys = []struct{ field, name string }{
	{"age", "age"}, {"azure_kv", "Azure Key Vault"}, {"gcp_kms", "Google Cloud KMS"}, {"hc_vault", "HashiCorp Vault"}, {"kms", "AWS KMS"}, {"pgp", "PGP"},
}

// forOtherKeys reports whether a file is encrypted for keys of a cloud or the
// like, too, by itself or in a group: an agent may have those by an identity.
func forOtherKeys(metadata map[string]any) bool {
	if groups, _ := metadata["key_groups"].([]any); len(groups) > 0 {
		return true // whatever they hold
	}
	for field, value := range metadata {
		if list, ok := value.([]any); ok && len(list) > 0 && field != "age" && field != "pgp" {
			return true
		}
	}
	return false
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

// hidesMetadata reports whether SOPS encrypted anything in the metadata of an
// object, which is told where values are not.
func hidesMetadata(d document) bool {
	var within func(v any) bool
	within = func(v any) bool {
		switch v := v.(type) {
		case map[string]any:
			for key := range v {
				if within(v[key]) {
					return true
				}
			}
		case []any:
			return slices.ContainsFunc(v, within)
		case string:
			return strings.HasPrefix(v, "ENC[")
		}
		return false
	}
	return slices.ContainsFunc(d.objects, func(o *loaded) bool { return o.manifest != nil && within(o.manifest.Object["metadata"]) })
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
