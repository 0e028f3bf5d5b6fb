package build

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ErrCiphertext: an object holds what SOPS encrypted and nothing decrypted.
var ErrCiphertext = errors.New("SOPS encrypted it and nothing decrypts it here")

// sopsValue is the form in which SOPS writes one encrypted value (source:
// getsops/sops, aes/cipher.go). A text in which it is a part, or with anything
// else in the places of the base64, is nobody's ciphertext but a text about it.
var sopsValue = regexp.MustCompile(`^` + sopsForm + `$`)

// holdsSOPSValue finds that form within a text.
var holdsSOPSValue = regexp.MustCompile(sopsForm)

const sopsForm = `ENC\[AES256_GCM,data:[A-Za-z0-9+/]+=*,iv:[A-Za-z0-9+/]+=*,tag:[A-Za-z0-9+/]+=*,type:[a-z]+\]`

// Undecrypted reports whether an object as it would be applied still is what SOPS
// encrypted; decryption says whether its Kustomization has spec.decryption. The
// error is an ErrCiphertext, names the field and says what to do; nil if nothing
// of it is ciphertext.
//
// Ciphertext is a value that is as a whole what SOPS writes, wherever it stands,
// and decoded where it stands in the data of a Secret or the binaryData of a
// ConfigMap: SOPS decrypts objects by
// the metadata that they bear themselves, and what is taken out of an encrypted
// list bears none. So is an object with that metadata, but for a SopsSecret where
// nothing is to be decrypted, which an operator decrypts in the cluster. An object
// with the annotation decrypt: disabled is meant as it is.
//
// A text that holds such a value among others is not, and so neither is a
// document, or a whole encrypted file, within a value. A build with decryption
// refuses such a file in a ConfigMap or a Secret that is not decrypted; see [Render].
func Undecrypted(u *unstructured.Unstructured, decryption bool) error {
	if decryptionDisabled(u) {
		return nil
	}
	if _, bears := u.Object["sops"].(map[string]any); bears {
		switch {
		case decryption:
			return fmt.Errorf("%w: the metadata of SOPS that it bears has no MAC, which is how it is told to be encrypted; encrypt it again", ErrCiphertext)
		case strings.HasSuffix(u.GetKind(), operatorKind):
			return nil
		}
		return fmt.Errorf("%w: it bears the metadata of SOPS, and the Kustomization has no spec.decryption", ErrCiphertext)
	}
	field := encryptedField(u.Object, "")
	if field == "" && u.GetAPIVersion() == "v1" {
		switch u.GetKind() {
		case "Secret":
			field = encryptedData(u.Object, "data")
		case "ConfigMap":
			field = encryptedData(u.Object, "binaryData")
		}
	}
	if field == "" {
		return nil
	}
	return fmt.Errorf("%w: its field %s holds the ciphertext, and it bears no metadata of SOPS itself; encrypt each object as a document of its own, not within a list, or annotate it with %s: disabled if the ciphertext is to be applied",
		ErrCiphertext, field, keyDecrypt)
}

// operatorKind ends the names of the kinds that bear SOPS's metadata as a field of
// their own, for an operator in the cluster that decrypts them (SopsSecret of
// isindir.github.com and craftypath.github.io, GlobalSopsSecret of
// addons.projectcapsule.dev).
const operatorKind = "SopsSecret"

// encryptedField is the path of the first value, in the order of keys, that is
// ciphertext; "" if there is none.
func encryptedField(v any, path string) string {
	switch v := v.(type) {
	case string:
		if isCiphertext(v) {
			return path
		}
	case map[string]any:
		for _, key := range sortedKeys(v) {
			if found := encryptedField(v[key], path+"."+key); found != "" {
				return found
			}
		}
	case []any:
		for i, item := range v {
			if found := encryptedField(item, fmt.Sprintf("%s[%d]", path, i)); found != "" {
				return found
			}
		}
	}
	return ""
}

// undecryptedFile is Undecrypted for what is only ciphertext where there is
// decryption: a value of a ConfigMap that is a whole encrypted file, as one that
// was generated of such a file holds. Files are decrypted for Secrets alone. When
// ctx ends, the answer means nothing.
func undecryptedFile(ctx context.Context, u *unstructured.Unstructured) error {
	if u.GetKind() != "ConfigMap" || u.GetAPIVersion() != "v1" || decryptionDisabled(u) {
		return nil
	}
	for _, field := range []string{"binaryData", "data"} {
		values, _ := u.Object[field].(map[string]any)
		for _, key := range sortedKeys(values) {
			value, _ := values[key].(string)
			text := []byte(value)
			if field == "binaryData" {
				var err error
				if text, err = base64.StdEncoding.DecodeString(value); err != nil {
					continue // left to the API server to refuse
				}
			}
			if isEncryptedFile(ctx, text) {
				return fmt.Errorf("%w: its field '%s' in %s is an encrypted file, which is decrypted for Secrets alone; make a Secret of it, or annotate the object with %s: disabled if the ciphertext is to be applied",
					ErrCiphertext, key, field, keyDecrypt)
			}
		}
	}
	return nil
}

// encryptedData is the path of the first value, of a field whose values are in
// base64, that is ciphertext when it is decoded; "" if there is none.
func encryptedData(object map[string]any, field string) string {
	data, _ := object[field].(map[string]any)
	for _, key := range sortedKeys(data) {
		text, _ := data[key].(string)
		// What is not in base64 is left to the API server to refuse.
		if decoded, err := base64.StdEncoding.DecodeString(text); err == nil && isCiphertext(string(decoded)) {
			return "." + field + "." + key
		}
	}
	return ""
}

func isCiphertext(text string) bool {
	text = strings.TrimSpace(text)
	return strings.HasPrefix(text, "ENC[") && sopsValue.MatchString(text)
}
