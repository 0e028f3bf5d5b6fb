package build

import (
	"bytes"
	"context"
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
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/getsops/sops/v3/keyservice"
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

// cloudKeys are the keys of the Secret that kustomize-controller reads
// credentials for key services from, and this engine does not.
var cloudKeys = []string{"sops.aws-kms", "sops.azure-kv", "sops.gcp-kms", "sops.vault-token"}

// Keys are private keys that decrypt what SOPS encrypted. They are safe for
// concurrent use, and their values come out nowhere.
type Keys struct {
	pgp openpgp.EntityList
	age []age.Identity
	// locked counts PGP keys under a passphrase, which nothing can give.
	locked int
	// unused are those of cloudKeys that the Secret holds.
	unused []string
}

// Format writes the same for all keys, whatever is asked for.
func (k Keys) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "***") }

// ReadKeys reads the data of a Secret that spec.decryption.secretRef names.
// Errors name the Secret's key at fault, and none of its value. Credentials for
// key services (sops.aws-kms and its like) are not used: this engine decrypts
// with PGP and age keys alone, and says so where that is why a file stays
// closed. Plugins of age are programs, and are refused.
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
		if slices.Contains(cloudKeys, name) {
			keys.unused = append(keys.unused, name)
		}
	}
	return keys, nil
}

// addPGP adds PGP keys: any number of armoured blocks, or keys in binary form.
// The library's errors are not passed on: they may quote what they read.
func (k *Keys) addPGP(value []byte) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it is no PGP key")
		}
	}()
	const begin = "-----BEGIN PGP "
	var read openpgp.EntityList
	if !bytes.Contains(value, []byte(begin)) {
		if read, err = openpgp.ReadKeyRing(bytes.NewReader(value)); err != nil {
			return errors.New("it is no PGP key")
		}
	} else {
		for _, text := range strings.Split(string(value), begin)[1:] {
			block, err := openpgp.ReadArmoredKeyRing(strings.NewReader(begin + text))
			if err != nil {
				return errors.New("it is no PGP key")
			}
			read = append(read, block...)
		}
	}
	for _, e := range read {
		if e.PrivateKey != nil && e.PrivateKey.Encrypted {
			k.locked++
		}
	}
	k.pgp = append(k.pgp, read...)
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
		if strings.HasPrefix(line, "AGE-PLUGIN-") {
			return fmt.Errorf("line %d needs a plugin of age, which is a program; this engine runs none", number)
		}
		read, err := age.ParseIdentities(strings.NewReader(line))
		if err != nil {
			return fmt.Errorf("line %d is no age identity", number)
		}
		k.age = append(k.age, read...)
	}
	return nil
}

const (
	// maxDataKey is how many bytes the text may have that is encrypted for a
	// key: a data key has 32, and its share where it takes several keys one more.
	maxDataKey = 64
	// maxKeyTexts is how many bytes the data keys of one file may have in their
	// encrypted form: those of some sixty people. Each may take a private key's
	// work for every few bytes.
	maxKeyTexts = 64 << 10
)

// keyService gives the data keys of one file. SOPS asks it in the place of its
// own service, which would look for keys in the environment, in the home folder
// and with gpg.
type keyService struct {
	keyservice.UnimplementedKeyServiceServer
	// ctx is that of the decryption; the library asks with none of its own.
	ctx  context.Context
	keys *Keys
	// left is how much of maxKeyTexts is left.
	left int
}

var errNoKeyFits = errors.New("none of the keys decrypts it")

// Decrypt implements keyservice.KeyServiceServer.
func (s *keyService) Decrypt(_ context.Context, request *keyservice.DecryptRequest) (*keyservice.DecryptResponse, error) {
	if s.left -= len(request.GetCiphertext()); s.left < 0 || s.keys == nil || s.ctx.Err() != nil {
		return nil, errNoKeyFits
	}
	var plain []byte
	var err error
	switch request.GetKey().GetKeyType().(type) {
	case *keyservice.Key_PgpKey:
		plain, err = s.keys.decryptPGP(request.GetCiphertext())
	case *keyservice.Key_AgeKey:
		plain, err = s.keys.decryptAge(request.GetCiphertext())
	default:
		return nil, errNoKeyFits
	}
	if err != nil || len(plain) > maxDataKey {
		return nil, errNoKeyFits
	}
	return &keyservice.DecryptResponse{Plaintext: plain}, nil
}

// decryptPGP reads at most one byte more than a data key has.
func (k *Keys) decryptPGP(message []byte) ([]byte, error) {
	block, err := pgparmor.Decode(bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	limit := int64(maxKeyTexts)
	m, err := openpgp.ReadMessage(block.Body, k.pgp, nil, &packet.Config{MaxDecompressedMessageSize: &limit})
	if err != nil {
		return nil, err
	}
	if !m.IsEncrypted {
		return nil, errors.New("it is not encrypted")
	}
	return io.ReadAll(io.LimitReader(m.UnverifiedBody, maxDataKey+1))
}

// decryptAge reads at most one byte more than a data key has.
func (k *Keys) decryptAge(message []byte) ([]byte, error) {
	if len(k.age) == 0 {
		return nil, errNoKeyFits
	}
	plain, err := age.Decrypt(armor.NewReader(bytes.NewReader(message)), k.age...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(plain, maxDataKey+1))
}
