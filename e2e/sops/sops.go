// Package sops makes keys, and encrypts and decrypts files with them by SOPS's own
// library, for tests. Nothing is taken from the environment, the home folder or
// a keyring.
package sops

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"
	agearmor "filippo.io/age/armor"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/kms"
	"github.com/getsops/sops/v3/pgp"
	"github.com/getsops/sops/v3/shamir"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"
)

// Key is a key that files are encrypted for.
type Key struct {
	// Private is what decrypts: the text of an age identity or of an armoured
	// PGP key. It is empty for the key of a cloud.
	Private string
	// Public names it: an age recipient, a PGP fingerprint, an ARN.
	Public string

	entity *openpgp.Entity
}

// NewAge makes an age key.
func NewAge() (Key, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return Key{}, fmt.Errorf("make an age key: %w", err)
	}
	return Key{Private: "# created by a test\n" + identity.String() + "\n", Public: identity.Recipient().String()}, nil
}

// NewPGP makes a PGP key without a passphrase.
func NewPGP() (Key, error) {
	entity, err := openpgp.NewEntity("fluxd", "", "fluxd@example.org", nil)
	if err != nil {
		return Key{}, fmt.Errorf("make a PGP key: %w", err)
	}
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PrivateKeyType, nil)
	if err == nil {
		err = entity.SerializePrivate(w, nil)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return Key{}, fmt.Errorf("write a PGP key: %w", err)
	}
	return Key{Private: text.String(), Public: fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint), entity: entity}, nil
}

// AWS is a key of AWS KMS, which nothing here can use.
func AWS(arn string) Key { return Key{Public: arn} }

// Options say how a file is encrypted.
type Options struct {
	// EncryptedRegex names the fields that are encrypted; empty means all but
	// those whose names end in _unencrypted.
	EncryptedRegex string
	// Keys of which each alone decrypts the file.
	Keys []Key
	// Groups of keys of which Threshold are needed, in the place of Keys.
	Groups    [][]Key
	Threshold int
}

// For encrypts the usual fields of manifests for some keys.
func For(keys ...Key) Options {
	return Options{EncryptedRegex: "^(data|stringData)$", Keys: keys}
}

// store of one of SOPS's formats: yaml, json, dotenv, ini or binary.
func store(format string) (sops.Store, error) {
	c := config.NewStoresConfig()
	switch format {
	case "yaml":
		return yaml.NewStore(&c.YAML), nil
	case "json":
		return json.NewStore(&c.JSON), nil
	case "dotenv":
		return dotenv.NewStore(&c.Dotenv), nil
	case "ini":
		return ini.NewStore(&c.INI), nil
	case "binary":
		return json.NewBinaryStore(&c.JSONBinary), nil
	}
	return nil, fmt.Errorf("format %q is not known", format)
}

// Encrypt encrypts a text in one of SOPS's formats: yaml, json, dotenv, ini or
// binary.
func Encrypt(plain, format string, o Options) (string, error) {
	s, err := store(format)
	if err != nil {
		return "", err
	}
	tree := sops.Tree{Metadata: sops.Metadata{Version: "3.13.3", EncryptedRegex: o.EncryptedRegex, ShamirThreshold: o.Threshold}}
	if o.EncryptedRegex == "" {
		tree.Metadata.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	if tree.Branches, err = s.LoadPlainFile([]byte(plain)); err != nil {
		return "", fmt.Errorf("read the plain text: %w", err)
	}
	dataKey := make([]byte, 32)
	_, _ = rand.Read(dataKey) // never fails
	groups, parts := o.Groups, [][]byte{dataKey}
	if groups == nil {
		groups = [][]Key{o.Keys}
	} else if parts, err = shamir.Split(dataKey, len(groups), o.Threshold); err != nil {
		return "", fmt.Errorf("share the data key: %w", err)
	}
	for i, group := range groups {
		var masters sops.KeyGroup
		for _, k := range group {
			master, err := k.encrypt(parts[i])
			if err != nil {
				return "", fmt.Errorf("encrypt the data key for %s: %w", k.Public, err)
			}
			masters = append(masters, master)
		}
		tree.Metadata.KeyGroups = append(tree.Metadata.KeyGroups, masters)
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(dataKey, cipher)
	if err != nil {
		return "", fmt.Errorf("encrypt: %w", err)
	}
	tree.Metadata.LastModified = time.Now().UTC().Truncate(time.Second)
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, dataKey, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return "", fmt.Errorf("encrypt the MAC: %w", err)
	}
	out, err := s.EmitEncryptedFile(tree)
	return string(out), err
}

// EncryptKey encrypts a text for one key, in the armour in which SOPS keeps data
// keys.
func EncryptKey(k Key, text []byte) ([]byte, error) {
	master, err := k.encrypt(text)
	if err != nil {
		return nil, err
	}
	return master.EncryptedDataKey(), nil
}

// encrypt encrypts a data key.
func (k Key) encrypt(dataKey []byte) (keys.MasterKey, error) {
	var text bytes.Buffer
	var wrapped, plain io.WriteCloser
	var err error
	switch {
	case k.entity != nil:
		if wrapped, err = armor.Encode(&text, "PGP MESSAGE", nil); err == nil {
			plain, err = openpgp.Encrypt(wrapped, openpgp.EntityList{k.entity}, nil, &openpgp.FileHints{IsBinary: true}, nil)
		}
	case strings.HasPrefix(k.Public, "arn:"):
		return &kms.MasterKey{Arn: k.Public, EncryptedKey: "AQICAH", CreationDate: time.Now()}, nil
	default:
		var recipient *age.X25519Recipient
		if recipient, err = age.ParseX25519Recipient(k.Public); err == nil {
			wrapped = agearmor.NewWriter(&text)
			plain, err = age.Encrypt(wrapped, recipient)
		}
	}
	if err != nil {
		return nil, err
	}
	_, err = plain.Write(dataKey)
	if err := errors.Join(err, plain.Close(), wrapped.Close()); err != nil {
		return nil, err
	}
	if k.entity != nil {
		return &pgp.MasterKey{Fingerprint: k.Public, EncryptedKey: text.String(), CreationDate: time.Now()}, nil
	}
	return &sopsage.MasterKey{Recipient: k.Public, EncryptedKey: text.String()}, nil
}

// ErrNotEncrypted: a text holds no metadata of SOPS.
var ErrNotEncrypted = errors.New("it holds no metadata of SOPS")

// DecryptYAML decrypts a file with private keys and checks its MAC, as
// `sops --decrypt` does.
func DecryptYAML(text []byte, private ...string) ([]byte, error) {
	s, err := store("yaml")
	if err != nil {
		return nil, err
	}
	tree, err := s.LoadEncryptedFile(text)
	if errors.Is(err, sops.MetadataNotFound) {
		return nil, ErrNotEncrypted
	}
	if err != nil {
		return nil, fmt.Errorf("read the encrypted text: %w", err)
	}
	service := keyservice.NewCustomLocalClient(ring{private: private})
	dataKey, err := tree.Metadata.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{service}, nil)
	if err != nil {
		return nil, fmt.Errorf("get the data key: %w", err)
	}
	cipher := aes.NewCipher()
	mac, err := tree.Decrypt(dataKey, cipher)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w", err)
	}
	noted, err := cipher.Decrypt(tree.Metadata.MessageAuthenticationCode, dataKey, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil || noted != mac {
		return nil, fmt.Errorf("the MAC does not match (%w)", err)
	}
	return s.EmitPlainFile(tree.Branches)
}

// ring decrypts data keys with private keys.
type ring struct {
	keyservice.UnimplementedKeyServiceServer
	private []string
}

// Decrypt implements keyservice.KeyServiceServer.
func (r ring) Decrypt(_ context.Context, request *keyservice.DecryptRequest) (*keyservice.DecryptResponse, error) {
	for _, private := range r.private {
		if key, err := open(private, request.GetCiphertext()); err == nil {
			return &keyservice.DecryptResponse{Plaintext: key}, nil
		}
	}
	return nil, errors.New("no private key fits")
}

func open(private string, message []byte) ([]byte, error) {
	if !strings.Contains(private, "PGP PRIVATE KEY") {
		identities, err := age.ParseIdentities(strings.NewReader(private))
		if err != nil {
			return nil, err
		}
		plain, err := age.Decrypt(agearmor.NewReader(bytes.NewReader(message)), identities...)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(plain)
	}
	entities, err := openpgp.ReadArmoredKeyRing(strings.NewReader(private))
	if err != nil {
		return nil, err
	}
	block, err := armor.Decode(bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	m, err := openpgp.ReadMessage(block.Body, entities, nil, nil)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(m.UnverifiedBody)
}
