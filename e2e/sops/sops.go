// Package sops makes keys, and encrypts files for them in the form of SOPS
// (getsops/sops: aes/cipher.go, stores/stores.go), for tests. It takes no MAC of
// what it encrypts: what stands in its place opens to nothing.
package sops

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"filippo.io/age"
	agearmor "filippo.io/age/armor"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"go.yaml.in/yaml/v3"
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
	// EncryptedRegex names the fields that are encrypted; empty means all.
	EncryptedRegex string
	Keys           []Key
}

// For encrypts the usual fields of manifests for some keys.
func For(keys ...Key) Options {
	return Options{EncryptedRegex: "^(data|stringData)$", Keys: keys}
}

// Encrypt encrypts a text in one of SOPS's formats: yaml, json, dotenv or
// binary.
func Encrypt(plain, format string, o Options) (string, error) {
	s, err := newSealer(o)
	if err != nil {
		return "", err
	}
	switch format {
	case "yaml":
		return s.yaml(plain)
	case "json":
		content := map[string]any{}
		if err := json.Unmarshal([]byte(plain), &content); err != nil {
			return "", fmt.Errorf("read the plain text: %w", err)
		}
		return s.json(content)
	case "binary":
		return s.json(map[string]any{"data": plain})
	case "dotenv":
		return s.dotenv(plain)
	}
	return "", fmt.Errorf("format %q is not known", format)
}

// sealer encrypts the values of one file.
type sealer struct {
	gcm   cipher.AEAD
	regex *regexp.Regexp
	// metadata that stands in the file, but for its list of keys' order.
	metadata map[string]any
	dataKey  []byte
}

func newSealer(o Options) (*sealer, error) {
	s := &sealer{dataKey: make([]byte, 32), metadata: map[string]any{"version": "3.13.3", "lastmodified": "2026-01-02T03:04:05Z"}}
	if _, err := rand.Read(s.dataKey); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(s.dataKey)
	if err != nil {
		return nil, err
	}
	if s.gcm, err = cipher.NewGCMWithNonceSize(block, 32); err != nil {
		return nil, err
	}
	if o.EncryptedRegex != "" {
		s.metadata["encrypted_regex"], s.regex = o.EncryptedRegex, regexp.MustCompile(o.EncryptedRegex)
	} else {
		s.metadata["unencrypted_suffix"] = "_unencrypted"
	}
	lists := map[string][]any{}
	for _, k := range o.Keys {
		kind, entry, err := s.entry(k)
		if err != nil {
			return nil, fmt.Errorf("encrypt the data key for %s: %w", k.Public, err)
		}
		lists[kind] = append(lists[kind], entry)
	}
	for kind, list := range lists {
		s.metadata[kind] = list
	}
	s.metadata["mac"] = s.seal("0123", "str", []string{"2026-01-02T03", "04", "05Z"})
	return s, nil
}

// entry is the data key, encrypted for one key.
func (s *sealer) entry(k Key) (kind string, entry map[string]any, err error) {
	var text bytes.Buffer
	var wrapped, plain io.WriteCloser
	switch {
	case k.entity != nil:
		kind, entry = "pgp", map[string]any{"fp": k.Public, "created_at": "2026-01-02T03:04:05Z"}
		if wrapped, err = armor.Encode(&text, "PGP MESSAGE", nil); err == nil {
			plain, err = openpgp.Encrypt(wrapped, openpgp.EntityList{k.entity}, nil, &openpgp.FileHints{IsBinary: true}, nil)
		}
	case strings.HasPrefix(k.Public, "arn:"):
		return "kms", map[string]any{"arn": k.Public, "enc": "AQICAH", "created_at": "2026-01-02T03:04:05Z", "aws_profile": ""}, nil
	default:
		kind, entry = "age", map[string]any{"recipient": k.Public}
		var recipient *age.X25519Recipient
		if recipient, err = age.ParseX25519Recipient(k.Public); err == nil {
			wrapped = agearmor.NewWriter(&text)
			plain, err = age.Encrypt(wrapped, recipient)
		}
	}
	if err != nil {
		return "", nil, err
	}
	_, err = plain.Write(s.dataKey)
	err = errors.Join(err, plain.Close(), wrapped.Close())
	entry["enc"] = text.String()
	return kind, entry, err
}

// seal encrypts one value. The keys on the way to it are authenticated with it.
func (s *sealer) seal(value, kind string, path []string) string {
	nonce := make([]byte, s.gcm.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	out := s.gcm.Seal(nil, nonce, []byte(value), []byte(strings.Join(path, ":")+":"))
	data, tag := out[:len(out)-s.gcm.Overhead()], out[len(out)-s.gcm.Overhead():]
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("ENC[AES256_GCM,data:%s,iv:%s,tag:%s,type:%s]", encode(data), encode(nonce), encode(tag), kind)
}

func (s *sealer) sealed(path []string) bool {
	if s.regex != nil {
		return slices.ContainsFunc(path, s.regex.MatchString)
	}
	return !slices.ContainsFunc(path, func(key string) bool { return strings.HasSuffix(key, "_unencrypted") })
}

func (s *sealer) yaml(plain string) (string, error) {
	decoder := yaml.NewDecoder(strings.NewReader(plain))
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	for {
		var document, noted yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("read the plain text: %w", err)
		}
		root := document.Content[0]
		s.node(root, nil)
		if err := noted.Encode(s.metadata); err != nil {
			return "", err
		}
		root.Style = 0
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "sops"}, &noted)
		if err := encoder.Encode(&document); err != nil {
			return "", err
		}
	}
	return out.String(), encoder.Close()
}

// yamlKinds are what SOPS calls the types of scalars.
var yamlKinds = map[string]string{"!!int": "int", "!!float": "float", "!!bool": "bool", "!!timestamp": "time"}

func (s *sealer) node(n *yaml.Node, path []string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			s.node(n.Content[i+1], append(path[:len(path):len(path)], n.Content[i].Value))
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			s.node(item, path)
		}
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" || n.Value == "" || !s.sealed(path) {
			return
		}
		kind := yamlKinds[n.ShortTag()]
		if kind == "" {
			kind = "str"
		}
		*n = yaml.Node{Kind: yaml.ScalarNode, Value: s.seal(n.Value, kind, path)}
	}
}

func (s *sealer) json(content map[string]any) (string, error) {
	sealed, _ := s.value(content, nil).(map[string]any)
	sealed["sops"] = s.metadata
	out, err := json.MarshalIndent(sealed, "", "\t")
	return string(out), err
}

func (s *sealer) value(v any, path []string) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = s.value(v[key], append(path[:len(path):len(path)], key))
		}
		return v
	case []any:
		for i := range v {
			v[i] = s.value(v[i], path)
		}
		return v
	case string:
		return s.seal(v, "str", path)
	case float64:
		return s.seal(fmt.Sprint(v), "int", path)
	}
	return v
}

func (s *sealer) dotenv(plain string) (string, error) {
	var out strings.Builder
	for line := range strings.Lines(plain) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok {
			return "", errors.New("a line assigns nothing")
		}
		fmt.Fprintf(&out, "%s=%s\n", key, s.seal(value, "str", []string{key}))
	}
	for name, v := range s.metadata {
		list, ok := v.([]any)
		if !ok {
			fmt.Fprintf(&out, "sops_%s=%v\n", name, v)
		}
		for i, entry := range list {
			entry, _ := entry.(map[string]any)
			for key, value := range entry {
				fmt.Fprintf(&out, "sops_%s__list_%d__map_%s=%s\n", name, i, key, strings.ReplaceAll(fmt.Sprint(value), "\n", `\n`))
			}
		}
	}
	return out.String(), nil
}
