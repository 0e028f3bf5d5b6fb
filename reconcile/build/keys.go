package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

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
	// names are the Secret's keys that pgp and age were read from.
	names struct {
		pgp map[*openpgp.Entity]string
		age []string
	}
	// sums are hashes of the values, by the Secret's keys.
	sums map[string][sha256.Size]byte
	// locked counts PGP keys under a passphrase, which nothing can give.
	locked int
	// unused are those of cloudKeys that the Secret holds.
	unused []string
	used   *usedKeys
}

// usedKeys are the Secret's keys that decrypted something.
type usedKeys struct {
	mu    sync.Mutex
	names map[string]bool
}

// Used are the Secret's keys whose values decrypted something since they were
// read, sorted. Where a file is encrypted for several of them, the first that was
// tried is.
func (k *Keys) Used() []string {
	if k.used == nil {
		return nil // none were read
	}
	k.used.mu.Lock()
	defer k.used.mu.Unlock()
	return sortedKeys(k.used.names)
}

func (k *Keys) use(name string) {
	k.used.mu.Lock()
	defer k.used.mu.Unlock()
	k.used.names[name] = true
}

// Are reports whether they are what ReadKeys would read from the data of a
// Secret: the same values under the same keys. Nil are never.
func (k *Keys) Are(data map[string][]byte) bool {
	return k != nil && maps.Equal(k.sums, sumsOf(data))
}

// sumsOf hashes the values that ReadKeys reads.
func sumsOf(data map[string][]byte) map[string][sha256.Size]byte {
	sums := map[string][sha256.Size]byte{}
	for name, value := range data {
		if ext := path.Ext(name); ext == PGPKeySuffix || ext == AgeKeySuffix {
			sums[name] = sha256.Sum256(value)
		}
	}
	return sums
}

// Format writes the same for all keys, whatever is asked for.
func (k Keys) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "***") }

// ReadKeys reads the data of a Secret that spec.decryption.secretRef names.
// Errors name the Secret's key at fault, and none of its value. Credentials for
// key services (sops.aws-kms and its like) are not used: this engine decrypts
// with PGP and age keys alone, and says so where that is why a file stays
// closed. Plugins of age are programs, and are refused.
func ReadKeys(data map[string][]byte) (*Keys, error) {
	keys := &Keys{sums: sumsOf(data), used: &usedKeys{names: map[string]bool{}}}
	keys.names.pgp = map[*openpgp.Entity]string{}
	names := make([]string, 0, len(data))
	for name := range data {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		var err error
		switch path.Ext(name) {
		case PGPKeySuffix:
			err = keys.addPGP(name, data[name])
		case AgeKeySuffix:
			err = keys.addAge(name, string(data[name]))
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

// addPGP adds the PGP keys of one of the Secret's keys: any number of armoured
// blocks, or keys in binary form. The library's errors are not passed on: they may
// quote what they read.
func (k *Keys) addPGP(name string, value []byte) (err error) {
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
		k.names.pgp[e] = name
		if e.PrivateKey != nil && e.PrivateKey.Encrypted {
			k.locked++
		}
	}
	k.pgp = append(k.pgp, read...)
	return nil
}

// addAge adds the age identities of one of the Secret's keys. The library's errors
// quote what they cannot read, which may be a key: only the line's number is told.
func (k *Keys) addAge(name, value string) error {
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
		for range read {
			k.names.age = append(k.names.age, name)
		}
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
	var with string
	var err error
	switch request.GetKey().GetKeyType().(type) {
	case *keyservice.Key_PgpKey:
		plain, with, err = s.keys.decryptPGP(request.GetCiphertext())
	case *keyservice.Key_AgeKey:
		plain, with, err = s.keys.decryptAge(request.GetCiphertext())
	default:
		return nil, errNoKeyFits
	}
	if err != nil || len(plain) > maxDataKey {
		return nil, errNoKeyFits
	}
	s.keys.use(with)
	return &keyservice.DecryptResponse{Plaintext: plain}, nil
}

// decryptPGP reads at most one byte more than a data key has, and says with which
// of the Secret's keys.
func (k *Keys) decryptPGP(message []byte) (plain []byte, with string, err error) {
	block, err := pgparmor.Decode(bytes.NewReader(message))
	if err != nil {
		return nil, "", err
	}
	limit := int64(maxKeyTexts)
	m, err := openpgp.ReadMessage(block.Body, k.pgp, nil, &packet.Config{MaxDecompressedMessageSize: &limit})
	if err != nil {
		return nil, "", err
	}
	if !m.IsEncrypted {
		return nil, "", errors.New("it is not encrypted")
	}
	plain, err = io.ReadAll(io.LimitReader(m.UnverifiedBody, maxDataKey+1))
	return plain, k.names.pgp[m.DecryptedWith.Entity], err
}

// decryptAge is like decryptPGP.
func (k *Keys) decryptAge(message []byte) (plain []byte, with string, err error) {
	for i, identity := range k.age {
		opened, err := age.Decrypt(armor.NewReader(bytes.NewReader(message)), identity)
		if err != nil {
			continue
		}
		plain, err = io.ReadAll(io.LimitReader(opened, maxDataKey+1))
		return plain, k.names.age[i], err
	}
	return nil, "", errNoKeyFits
}
