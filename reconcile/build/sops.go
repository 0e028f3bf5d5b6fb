package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/logging"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"
	corev1 "k8s.io/api/core/v1"
)

// SOPS logs comments that it cannot decrypt, and failures to decrypt, to the
// process's output. Nothing is logged at the level of panics.
func init() { logging.SetLevel(0) }

// ErrNotEncrypted: a text holds nothing that SOPS put there.
var ErrNotEncrypted = errors.New("it holds no metadata of SOPS")

// format is how a text that SOPS encrypts is written.
type format int

const (
	binary format = iota // anything, as one value within JSON
	dotenvFormat
	iniFormat
	jsonFormat
	yamlFormat
)

// formats says of each its name, and what of it is in every encrypted text
// (source: kustomize-controller, internal/decryptor/decryptor.go).
var formats = map[format]struct {
	name, marker string
	store        func(*config.StoresConfig) sops.Store
}{
	binary:       {"binary", `"mac": "ENC[`, func(c *config.StoresConfig) sops.Store { return json.NewBinaryStore(&c.JSONBinary) }},
	dotenvFormat: {"dotenv", "sops_mac=ENC[", func(c *config.StoresConfig) sops.Store { return dotenv.NewStore(&c.Dotenv) }},
	iniFormat:    {"INI", "[sops]", func(c *config.StoresConfig) sops.Store { return ini.NewStore(&c.INI) }},
	jsonFormat:   {"JSON", `"mac": "ENC[`, func(c *config.StoresConfig) sops.Store { return json.NewStore(&c.JSON) }},
	yamlFormat:   {"YAML", "mac: ENC[", func(c *config.StoresConfig) sops.Store { return yaml.NewStore(&c.YAML) }},
}

func (f format) String() string { return formats[f].name }

// store reads and writes a format. No file configures it.
func (f format) store() sops.Store { return formats[f].store(config.NewStoresConfig()) }

// formatOf is the format of a file or of a Secret's key, by its name.
func formatOf(name string) format {
	ends := func(with ...string) bool {
		return slices.ContainsFunc(with, func(s string) bool { return strings.HasSuffix(name, s) })
	}
	switch {
	case ends(".yaml", ".yml"):
		return yamlFormat
	case ends(".json", corev1.DockerConfigJsonKey):
		return jsonFormat
	case ends(".env"):
		return dotenvFormat
	case ends(".ini"):
		return iniFormat
	}
	return binary
}

// marked gives the format in which a text is encrypted, and whether it is. Of a
// text with the marks of two, kustomize-controller picks one at random; here it
// is the one whose mark says most.
func marked(text []byte) (format, bool) {
	for _, f := range []format{jsonFormat, dotenvFormat, yamlFormat, iniFormat} {
		if bytes.Contains(text, []byte(formats[f].marker)) {
			return f, true
		}
	}
	return binary, false
}

// isEncryptedFile reports whether a text is a whole file that SOPS encrypted, in
// whatever format, and not one that only speaks of such: it can be read with the
// metadata of SOPS, a MAC in it, and holds an encrypted value. It may have been
// written anew since, as JSON in one line or with other line ends. What is beyond
// the bounds of checkText is none; no object that an API server takes is.
func isEncryptedFile(ctx context.Context, text []byte) bool {
	if !bytes.Contains(text, []byte("sops")) || !holdsSOPSValue.Match(text) {
		return false
	}
	text = bytes.ReplaceAll(bytes.TrimPrefix(text, []byte("\ufeff")), []byte("\r\n"), []byte("\n"))
	// What is encrypted as binary is JSON.
	for _, f := range []format{jsonFormat, dotenvFormat, yamlFormat, iniFormat} {
		if isEncryptedAs(ctx, text, f) {
			return true
		}
	}
	return false
}

func isEncryptedAs(ctx context.Context, text []byte, f format) (is bool) {
	// The library and its parsers panic on some malformed input.
	defer func() {
		if recover() != nil {
			is = false
		}
	}()
	tree, err := decryption{in: f, out: f}.load(ctx, text)
	return err == nil && tree.Metadata.MessageAuthenticationCode != ""
}

// DecryptFile decrypts a whole file as YAML, as fluxd does with --sops, and
// checks its MAC as fluxd does (fluxcd/flux:
// pkg/cluster/kubernetes/resource/load.go). The error is ErrNotEncrypted if SOPS
// did not encrypt it, which fluxd then takes as it is. No error quotes a value.
// When ctx ends, the error is its own.
func DecryptFile(ctx context.Context, content []byte, keys *Keys) ([]byte, error) {
	if !bytes.Contains(content, []byte("sops:")) {
		return nil, ErrNotEncrypted
	}
	return decryption{in: yamlFormat, out: yamlFormat, keys: keys, checkMAC: true}.decrypt(ctx, content)
}

// decryption is how a text is decrypted.
type decryption struct {
	in, out format
	keys    *Keys
	// checkMAC makes a change of anything in the text an error. A build changes
	// objects before they are decrypted, which is why upstream checks none.
	checkMAC bool
}

// decrypt is SOPS's own decryption, within bounds. What the library says is not
// passed on: it quotes keys and values that it cannot use, and those may be in
// plain text. The context is looked at between the documents of a text, between
// keys and between values; what the library reads at once is bounded by
// checkText and takes seconds at most.
func (d decryption) decrypt(ctx context.Context, text []byte) ([]byte, error) {
	plain, err := d.decryptWithin(ctx, text)
	if stopped := ctx.Err(); stopped != nil {
		return nil, fmt.Errorf("its decryption was stopped: %w", stopped)
	}
	return plain, err
}

func (d decryption) decryptWithin(ctx context.Context, text []byte) (plain []byte, err error) {
	stage := d.unreadable()
	// The library and its parsers panic on some malformed input.
	defer func() {
		if recover() != nil {
			plain, err = nil, stage
		}
	}()
	tree, err := d.load(ctx, text)
	if err != nil {
		return nil, err
	}
	stage = errors.New("the data keys in it cannot be read")
	key, err := dataKey(ctx, &tree.Metadata, d.keys)
	if err != nil {
		return nil, err
	}
	stage = errPlainValue
	c := &valueCipher{ctx: ctx}
	mac, err := tree.Decrypt(key, c)
	if err != nil {
		if strings.Contains(err.Error(), "non-string key") {
			return nil, errors.New("a key in it is not text, which SOPS knows no values of")
		}
		if c.err != nil {
			return nil, c.err
		}
		return nil, errPlainValue
	}
	if d.checkMAC {
		noted, err := c.Decrypt(tree.Metadata.MessageAuthenticationCode, key, tree.Metadata.LastModified.Format(time.RFC3339))
		if err != nil || noted != mac {
			return nil, errors.New("it was changed after SOPS encrypted it: its MAC does not match")
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stage = fmt.Errorf("what is encrypted as %s cannot be written as %s", d.in, d.out)
	if plain, err = d.out.store().EmitPlainFile(tree.Branches); err != nil {
		return nil, stage
	}
	return plain, nil
}

// load reads a text and measures it before and after. It may panic.
func (d decryption) load(ctx context.Context, text []byte) (sops.Tree, error) {
	if err := checkText(ctx, text, d.in); err != nil {
		return sops.Tree{}, err
	}
	tree, err := d.in.store().LoadEncryptedFile(text)
	if err != nil {
		return sops.Tree{}, d.notLoaded(err)
	}
	if err := ctx.Err(); err != nil {
		return sops.Tree{}, err
	}
	return tree, checkTree(&tree, len(text))
}

func (d decryption) unreadable() error {
	return fmt.Errorf("it cannot be read as %s that SOPS encrypted", d.in)
}

// notLoaded tells the faults apart that a text may have, as far as the library
// does.
func (d decryption) notLoaded(err error) error {
	if errors.Is(err, sops.MetadataNotFound) {
		return ErrNotEncrypted
	}
	for words, say := range map[string]string{
		"Cannot use more than one of": "it has several rules for what of it is encrypted",
		"No keys found in file":       "it is encrypted for no key",
		"Found duplicate sops entry":  "it has the metadata of SOPS twice",
	} {
		if strings.Contains(err.Error(), words) {
			return errors.New(say)
		}
	}
	return d.unreadable()
}

// dataKey gets the key that the values of a file are encrypted with.
func dataKey(ctx context.Context, m *sops.Metadata, keys *Keys) ([]byte, error) {
	service := keyservice.NewCustomLocalClient(&keyService{ctx: ctx, keys: keys, left: maxKeyTexts})
	key, err := m.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{service}, sops.DefaultDecryptionOrder)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot get its data key: it is encrypted for %s, and %s", recipients(m), keys.have())
	case len(key) != 32:
		return nil, errors.New("its data key has another length than SOPS gives it")
	}
	return key, nil
}

// have says why keys do not decrypt a file.
func (k *Keys) have() string {
	if k == nil || len(k.pgp)+len(k.age)+len(k.unused) == 0 {
		return "no key was given"
	}
	say := "none of the keys given decrypts it"
	if k.locked > 0 {
		say += "; PGP keys under a passphrase cannot be used"
	}
	if len(k.unused) > 0 {
		say += "; what the Secret holds as " + strings.Join(k.unused, ", ") + " is not used by this engine, which knows PGP and age keys"
	}
	return say
}

// keyKinds are what SOPS calls the kinds of keys.
var keyKinds = map[string]string{
	"age": "age", "pgp": "PGP", "kms": "AWS KMS", "gcp_kms": "Google Cloud KMS", "azure_kv": "Azure Key Vault",
	"hc_vault": "Vault", "hckms": "Huawei Cloud KMS",
}

// maxNames is how many keys an error names.
const maxNames = 5

// recipients names the keys that a file is encrypted for, which are public. The
// text says them, so it may say anything.
func recipients(m *sops.Metadata) string {
	var names []string
	for _, group := range m.KeyGroups {
		for _, k := range group {
			if len(names) < maxNames {
				names = append(names, strings.TrimSpace(keyKinds[k.TypeToIdentifier()]+" "+shortened(k.ToString())))
			}
		}
	}
	list := strings.Join(names, ", ")
	switch total := m.MasterKeyCount(); {
	case total == 0:
		return "no key"
	case total > maxNames:
		list += fmt.Sprintf(" and %d other keys", total-maxNames)
	}
	if len(m.KeyGroups) > 1 {
		list += fmt.Sprintf(" (keys of %d of %d groups are needed)", m.ShamirThreshold, len(m.KeyGroups))
	}
	return list
}

// some lists names, as far as an error should.
func some(names []string) string {
	if len(names) > maxNames {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:maxNames], ", "), len(names)-maxNames)
	}
	return strings.Join(names, ", ")
}

// shortened is a name of a key as it can stand in a message.
func shortened(name string) string {
	const most = 200
	if len(name) > most {
		name = name[:most] + "..."
	}
	quoted := strconv.QuoteToASCII(name)
	return quoted[1 : len(quoted)-1]
}

// errPlainValue: the file's rule and its values do not fit.
var errPlainValue = errors.New("a value that has to be encrypted by the file's own rule stands in plain text")

// valueCipher is SOPS's cipher, without what that one keeps of every value to
// encrypt it alike again, the whole path to it included. The error says which of
// the faults was met, since the library passes on only a text that may quote the
// value.
type valueCipher struct {
	ctx context.Context
	err error
}

// Decrypt implements sops.Cipher. The keys on the way to a value are
// authenticated with it, so that one that was moved does not open.
func (c *valueCipher) Decrypt(text string, key []byte, path string) (any, error) {
	if c.err = c.ctx.Err(); c.err != nil {
		return nil, c.err
	}
	plain, err := aes.NewCipher().Decrypt(text, key, path)
	if err == nil {
		return plain, nil
	}
	switch said := err.Error(); {
	case strings.HasPrefix(said, "Could not decrypt with AES_GCM"):
		c.err = errors.New("a value was changed or moved after SOPS encrypted it")
	case strings.HasPrefix(said, "Input string"):
		c.err = errPlainValue
	default:
		c.err = errors.New("a value is encrypted in a form that is not SOPS's")
	}
	return nil, c.err
}

// Encrypt implements sops.Cipher. Nothing is encrypted here.
func (*valueCipher) Encrypt(any, []byte, string) (string, error) { return "", errors.ErrUnsupported }
