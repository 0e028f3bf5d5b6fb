package build

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/ProtonMail/go-crypto/openpgp"
	pgparmor "github.com/ProtonMail/go-crypto/openpgp/armor"
)

// The ends of the keys of a Secret that spec.decryption.secretRef names, which
// tell what their values are (source: kustomize-controller,
// internal/decryptor/decryptor.go). Values under any other key are not read.
const (
	// PGPKeySuffix: private PGP keys, armoured or not, without a passphrase.
	PGPKeySuffix = ".asc"
	// AgeKeySuffix: age identities, one a line.
	AgeKeySuffix = ".agekey"
)

// Keys are private keys that decrypt what SOPS encrypted. They are safe for
// concurrent use, and their values come out nowhere.
type Keys struct {
	pgp openpgp.EntityList
	age []age.Identity
}

// Format writes the same for all keys, whatever is asked for.
func (k *Keys) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "***") }

// ReadKeys reads the data of a Secret that spec.decryption.secretRef names.
// Errors name the Secret's key at fault, and none of its value. Credentials for
// the key services of clouds (sops.aws-kms and its like) are not read: this
// engine decrypts with PGP and age keys alone.
func ReadKeys(data map[string][]byte) (*Keys, error) {
	keys := &Keys{}
	names := make([]string, 0, len(data))
	for name := range data {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		var err error
		switch path.Ext(name) {
		case PGPKeySuffix:
			err = keys.addPGP(data[name])
		case AgeKeySuffix:
			err = keys.addAge(string(data[name]))
		}
		if err != nil {
			return nil, fmt.Errorf("failed to import '%s': %w", name, err)
		}
	}
	return keys, nil
}

// addPGP adds PGP keys: any number of armoured blocks, or keys in binary form.
func (k *Keys) addPGP(value []byte) error {
	const begin = "-----BEGIN PGP "
	if !bytes.Contains(value, []byte(begin)) {
		read, err := openpgp.ReadKeyRing(bytes.NewReader(value))
		if err != nil {
			return fmt.Errorf("it is no PGP key: %w", err)
		}
		k.pgp = append(k.pgp, read...)
		return nil
	}
	for _, text := range strings.Split(string(value), begin)[1:] {
		read, err := openpgp.ReadArmoredKeyRing(strings.NewReader(begin + text))
		if err != nil {
			return fmt.Errorf("it is no PGP key: %w", err)
		}
		k.pgp = append(k.pgp, read...)
	}
	return nil
}

// addAge adds age identities. The library's errors quote what they cannot read,
// which may be a key: only the line's number is told.
func (k *Keys) addAge(value string) error {
	number := 0
	for line := range strings.Lines(value) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		read, err := age.ParseIdentities(strings.NewReader(line))
		if err != nil {
			return fmt.Errorf("line %d is no age identity", number)
		}
		k.age = append(k.age, read...)
	}
	return nil
}

// errNoKeyFits: a text is encrypted for none of the keys.
var errNoKeyFits = errors.New("none of the keys decrypts it")

// none reports whether there is no key at all.
func (k *Keys) none() bool { return k == nil || len(k.pgp)+len(k.age) == 0 }

func (k *Keys) decryptPGP(message string) ([]byte, error) {
	block, err := pgparmor.Decode(strings.NewReader(message))
	if err != nil {
		return nil, errors.New("it is not in PGP's armour")
	}
	m, err := openpgp.ReadMessage(block.Body, k.pgp, nil, nil)
	if err != nil {
		return nil, errNoKeyFits
	}
	return io.ReadAll(m.UnverifiedBody)
}

func (k *Keys) decryptAge(message string) ([]byte, error) {
	if len(k.age) == 0 {
		return nil, errNoKeyFits
	}
	plain, err := age.Decrypt(armor.NewReader(strings.NewReader(message)), k.age...)
	if err != nil {
		return nil, errNoKeyFits
	}
	return io.ReadAll(plain)
}
