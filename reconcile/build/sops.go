package build

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// What SOPS writes is read here by the project's own code, and not by SOPS's
// library: that one brings the clients of five clouds with it (660 packages,
// half as many again as all the rest), of which this engine would use none.

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
var formats = map[format]struct{ name, marker string }{
	binary:       {"binary", `"mac": "ENC[`},
	dotenvFormat: {"dotenv", "sops_mac=ENC["},
	iniFormat:    {"INI", "[sops]"},
	jsonFormat:   {"JSON", `"mac": "ENC[`},
	yamlFormat:   {"YAML", "mac: ENC["},
}

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

// marked gives the format in which a text is encrypted, and whether it is.
func marked(text []byte) (format, bool) {
	for _, f := range []format{dotenvFormat, iniFormat, jsonFormat, yamlFormat} {
		if bytes.Contains(text, []byte(formats[f].marker)) {
			return f, true
		}
	}
	return binary, false
}

// DecryptFile decrypts a whole file as YAML, as fluxd does with --sops
// (fluxcd/flux: pkg/cluster/kubernetes/resource/load.go). The error is
// ErrNotEncrypted if SOPS did not encrypt it; fluxd then takes it as it is. No
// error quotes a value. The MAC is not checked: fluxd checked that of what it
// applied, and Flux v2 checks none.
func DecryptFile(content []byte, keys *Keys) ([]byte, error) {
	return decrypt(content, yamlFormat, yamlFormat, keys)
}

// decrypt decrypts a text of one format and writes it in another, which may
// only differ for what stands within JSON. What parsers say is not passed on:
// they quote what they cannot read, and that may be a value in plain text.
func decrypt(text []byte, in, out format, keys *Keys) (plain []byte, err error) {
	// The parser of YAML panics on some malformed input.
	defer func() {
		if recover() != nil {
			plain, err = nil, unreadable(in)
		}
	}()
	switch {
	case in == yamlFormat && out == yamlFormat:
		return decryptYAML(text, keys)
	case in == dotenvFormat && out == dotenvFormat:
		return decryptDotenv(text, keys)
	case (in == jsonFormat || in == binary) && (out == jsonFormat || out == binary):
		return decryptJSON(text, out == binary, keys)
	case in == iniFormat:
		return nil, errors.New("files in INI are not decrypted by this engine")
	}
	return nil, fmt.Errorf("what is encrypted as %s cannot be written as %s", formats[in].name, formats[out].name)
}

func unreadable(f format) error {
	return fmt.Errorf("it cannot be read as %s that SOPS encrypted", formats[f].name)
}

// metadata is what SOPS notes beside what it encrypts, as far as it is needed
// (source: getsops/sops, stores/stores.go).
type metadata struct {
	keyGroup
	KeyGroups               []keyGroup `json:"key_groups"`
	UnencryptedSuffix       string     `json:"unencrypted_suffix"`
	EncryptedSuffix         string     `json:"encrypted_suffix"`
	UnencryptedRegex        string     `json:"unencrypted_regex"`
	EncryptedRegex          string     `json:"encrypted_regex"`
	UnencryptedCommentRegex string     `json:"unencrypted_comment_regex"`
	EncryptedCommentRegex   string     `json:"encrypted_comment_regex"`
}

// keyGroup are keys of which each alone gives the data key.
type keyGroup struct {
	PGP []struct {
		Fingerprint string `json:"fp"`
		Encrypted   string `json:"enc"`
	} `json:"pgp"`
	Age []struct {
		Recipient string `json:"recipient"`
		Encrypted string `json:"enc"`
	} `json:"age"`
	AWS []struct {
		ARN string `json:"arn"`
	} `json:"kms"`
	GCP []struct {
		ID string `json:"resource_id"`
	} `json:"gcp_kms"`
	Azure []struct {
		URL  string `json:"vault_url"`
		Name string `json:"name"`
	} `json:"azure_kv"`
	Vault []struct {
		Address string `json:"vault_address"`
		Name    string `json:"key_name"`
	} `json:"hc_vault"`
	Huawei []struct {
		ID string `json:"key_id"`
	} `json:"hckms"`
}

// readMetadata reads the JSON of what stands under "sops".
func readMetadata(text []byte) (*metadata, error) {
	m := &metadata{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, errors.New("the metadata of SOPS in it cannot be read")
	}
	return m, nil
}

// names of the keys, which are public.
func (g *keyGroup) names() []string {
	var names []string
	for _, k := range g.PGP {
		names = append(names, "PGP "+k.Fingerprint)
	}
	for _, k := range g.Age {
		names = append(names, "age "+k.Recipient)
	}
	for _, k := range g.AWS {
		names = append(names, "AWS KMS "+k.ARN)
	}
	for _, k := range g.GCP {
		names = append(names, "Google Cloud KMS "+k.ID)
	}
	for _, k := range g.Azure {
		names = append(names, "Azure Key Vault "+k.URL+"/"+k.Name)
	}
	for _, k := range g.Vault {
		names = append(names, "Vault "+k.Address+"/"+k.Name)
	}
	for _, k := range g.Huawei {
		names = append(names, "Huawei Cloud KMS "+k.ID)
	}
	return names
}

// dataKey decrypts the key that all values are encrypted with.
func (m *metadata) dataKey(keys *Keys) ([]byte, error) {
	if len(m.KeyGroups) > 1 {
		return nil, errors.New("cannot get its data key: it takes keys of several groups, which this engine cannot put together")
	}
	group := m.keyGroup
	if len(group.names()) == 0 && len(m.KeyGroups) == 1 {
		group = m.KeyGroups[0]
	}
	if !keys.none() {
		for _, k := range group.Age {
			if key, err := keys.decryptAge(k.Encrypted); err == nil {
				return key, nil
			}
		}
		for _, k := range group.PGP {
			if key, err := keys.decryptPGP(k.Encrypted); err == nil {
				return key, nil
			}
		}
	}
	have := "none of the keys given decrypts it"
	if keys.none() {
		have = "no key was given"
	}
	names := group.names()
	if len(names) == 0 {
		names = []string{"no key that is known here"}
	}
	return nil, fmt.Errorf("cannot get its data key: it is encrypted for %s, and %s", strings.Join(names, ", "), have)
}

// rule says which values are encrypted, by the keys on the way to them.
type rule func(path []string) bool

// rule of the file: one of several kinds, and by default all but what ends in
// "_unencrypted" (source: getsops/sops, sops.go).
func (m *metadata) rule() (rule, error) {
	if m.EncryptedCommentRegex != "" || m.UnencryptedCommentRegex != "" {
		return nil, errors.New("comments say what of it is encrypted, which this engine does not heed")
	}
	for _, r := range []struct {
		pattern   string
		encrypted bool
	}{{m.EncryptedRegex, true}, {m.UnencryptedRegex, false}} {
		if r.pattern == "" {
			continue
		}
		pattern, err := regexp.Compile(r.pattern)
		if err != nil {
			return nil, errors.New("its rule for what is encrypted is no regular expression")
		}
		return func(path []string) bool { return slices.ContainsFunc(path, pattern.MatchString) == r.encrypted }, nil
	}
	suffix, encrypted := m.EncryptedSuffix, true
	if suffix == "" {
		suffix, encrypted = m.UnencryptedSuffix, false
	}
	if suffix == "" {
		suffix = "_unencrypted"
	}
	return func(path []string) bool {
		return slices.ContainsFunc(path, func(key string) bool { return strings.HasSuffix(key, suffix) }) == encrypted
	}, nil
}

// cipher gives what decrypts the values of a file.
func (m *metadata) cipher(keys *Keys) (*valueCipher, error) {
	rule, err := m.rule()
	if err != nil {
		return nil, err
	}
	key, err := m.dataKey(keys)
	if err != nil {
		return nil, err
	}
	return newValueCipher(key, rule)
}
