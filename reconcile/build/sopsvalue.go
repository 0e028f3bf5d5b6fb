package build

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// valueCipher decrypts the values of one file (source: getsops/sops,
// aes/cipher.go).
type valueCipher struct {
	block cipher.Block
	rule  rule
}

func newValueCipher(key []byte, r rule) (*valueCipher, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errors.New("its data key has another length than SOPS gives it")
	}
	return &valueCipher{block: block, rule: r}, nil
}

var encryptedForm = regexp.MustCompile(`^ENC\[AES256_GCM,data:(.+),iv:(.+),tag:(.+),type:(.+)\]`)

// errPlainValue: the file's rule and its values do not fit.
var errPlainValue = errors.New("a value that has to be encrypted by the file's own rule stands in plain text")

// comment is what an encrypted comment decrypts to, also where it stands in the
// place of a list's item.
type comment string

// leaf gives a value in plain text: a string, int, float64, bool, time.Time,
// comment, or what is not encrypted as it is.
func (c *valueCipher) leaf(v any, path []string) (any, error) {
	if v == nil || !c.rule(path) {
		return v, nil
	}
	text, ok := v.(string)
	switch {
	case !ok:
		return nil, errPlainValue
	case text == "":
		return "", nil
	}
	return c.open(text, path)
}

// open decrypts one value. The keys on the way to it are part of what is
// authenticated, so that a value that was moved does not open.
func (c *valueCipher) open(text string, path []string) (any, error) {
	parts := encryptedForm.FindStringSubmatch(text)
	if parts == nil {
		return nil, errPlainValue
	}
	var raw [3][]byte
	for i := range raw {
		var err error
		if raw[i], err = base64.StdEncoding.DecodeString(parts[i+1]); err != nil {
			return nil, errors.New("a value is encrypted in a form that is not SOPS's")
		}
	}
	data, nonce, tag := raw[0], raw[1], raw[2]
	gcm, err := cipher.NewGCMWithNonceSize(c.block, len(nonce))
	if err != nil {
		return nil, errors.New("a value is encrypted in a form that is not SOPS's")
	}
	plain, err := gcm.Open(nil, nonce, append(data, tag...), []byte(strings.Join(path, ":")+":"))
	if err != nil {
		return nil, errors.New("a value was changed or moved after SOPS encrypted it")
	}
	var value any
	switch s := string(plain); parts[4] {
	case "str", "bytes":
		value = s
	case "int":
		value, err = strconv.Atoi(s)
	case "float":
		value, err = strconv.ParseFloat(s, 64)
	case "bool":
		value, err = strconv.ParseBool(s)
	case "time":
		var t time.Time
		err = t.UnmarshalText(plain)
		value = t
	case "comment":
		value = comment(s)
	default:
		err = errors.New("another type")
	}
	if err != nil { // it quotes the value
		return nil, errors.New("a value is not of the type that SOPS notes beside it")
	}
	return value, nil
}

// decryptJSON decrypts an object in JSON; where a file of another kind was put
// into one, that file is given.
func decryptJSON(text []byte, whole bool, keys *Keys) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	v, err := readJSON(decoder)
	object, ok := v.(fields)
	if err != nil || !ok {
		return nil, unreadable(jsonFormat)
	}
	at := object.index("sops")
	if at < 0 {
		return nil, ErrNotEncrypted
	}
	noted, err := writeJSON(object[at].value)
	if err != nil {
		return nil, err
	}
	m, err := readMetadata(noted)
	if err != nil {
		return nil, err
	}
	c, err := m.cipher(keys)
	if err != nil {
		return nil, err
	}
	plain, err := c.walk(append(object[:at:at], object[at+1:]...), nil)
	if err != nil {
		return nil, err
	}
	if whole {
		object, _ := plain.(fields)
		if at := object.index("data"); at >= 0 {
			if data, ok := object[at].value.(string); ok {
				return []byte(data), nil
			}
		}
		return nil, errors.New("it holds no file that SOPS put into JSON")
	}
	out, err := writeJSON(plain)
	if err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, out, "", "\t"); err != nil {
		return nil, errors.New("what it holds cannot be written as JSON")
	}
	return append(indented.Bytes(), '\n'), nil
}

// fields is an object in JSON in the order of its text, which ends up in
// Secrets that are made of files.
type fields []member

type member struct {
	key   string
	value any
}

func (f fields) index(key string) int {
	for i := range f {
		if f[i].key == key {
			return i
		}
	}
	return -1
}

// walk decrypts all values below v.
func (c *valueCipher) walk(v any, path []string) (any, error) {
	switch v := v.(type) {
	case fields:
		for i := range v {
			plain, err := c.walk(v[i].value, append(path[:len(path):len(path)], v[i].key))
			if err != nil {
				return nil, err
			}
			v[i].value = plain
		}
		return v, nil
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			plain, err := c.walk(item, path)
			if err != nil {
				return nil, err
			}
			if _, is := plain.(comment); !is {
				out = append(out, plain)
			}
		}
		return out, nil
	}
	return c.leaf(v, path)
}

// readJSON reads one value.
func readJSON(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := fields{}
		for decoder.More() {
			key, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			name, ok := key.(string)
			if !ok {
				return nil, errors.New("a key is no string")
			}
			value, err := readJSON(decoder)
			if err != nil {
				return nil, err
			}
			object = append(object, member{name, value})
		}
		_, err := decoder.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			value, err := readJSON(decoder)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := decoder.Token()
		return list, err
	}
	if number, ok := token.(json.Number); ok {
		if whole, err := number.Int64(); err == nil {
			return int(whole), nil
		}
		return number.Float64()
	}
	return token, nil
}

func writeJSON(v any) ([]byte, error) {
	var out bytes.Buffer
	write := func(v any) error {
		text, err := json.Marshal(v)
		if err != nil {
			return errors.New("what it holds cannot be written as JSON")
		}
		out.Write(text)
		return nil
	}
	var list []any
	switch v := v.(type) {
	case fields:
		out.WriteByte('{')
		for i, f := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := write(f.key); err != nil {
				return nil, err
			}
			out.WriteByte(':')
			value, err := writeJSON(f.value)
			if err != nil {
				return nil, err
			}
			out.Write(value)
		}
		out.WriteByte('}')
		return out.Bytes(), nil
	case []any:
		list = v
	default:
		err := write(v)
		return out.Bytes(), err
	}
	out.WriteByte('[')
	for i, item := range list {
		if i > 0 {
			out.WriteByte(',')
		}
		value, err := writeJSON(item)
		if err != nil {
			return nil, err
		}
		out.Write(value)
	}
	out.WriteByte(']')
	return out.Bytes(), nil
}

// flatMetadata is the form of a key under which dotenv files hold the metadata.
var flatMetadata = regexp.MustCompile(`^sops_([a-z_]+?)(?:__list_(\d+)__map_([a-z_]+))?$`)

// decryptDotenv decrypts lines of KEY=value.
func decryptDotenv(text []byte, keys *Keys) ([]byte, error) {
	noted, lists := map[string]any{}, map[string]map[string]map[string]any{}
	type line struct{ key, value string } // the key is empty for a comment
	var lines []line
	for _, l := range strings.Split(string(text), "\n") {
		key, value, assigned := strings.Cut(l, "=")
		value = strings.ReplaceAll(value, `\n`, "\n")
		at := flatMetadata.FindStringSubmatch(key)
		switch {
		case l == "":
		case l[0] == '#':
			lines = append(lines, line{value: l[1:]})
		case !assigned:
			return nil, unreadable(dotenvFormat)
		case at == nil:
			lines = append(lines, line{key, value})
		case at[2] == "":
			noted[at[1]] = value
		default:
			if lists[at[1]] == nil {
				lists[at[1]] = map[string]map[string]any{}
			}
			if lists[at[1]][at[2]] == nil {
				lists[at[1]][at[2]] = map[string]any{}
			}
			lists[at[1]][at[2]][at[3]] = value
		}
	}
	for name, items := range lists {
		var list []any
		for i := 0; items[strconv.Itoa(i)] != nil; i++ {
			list = append(list, items[strconv.Itoa(i)])
		}
		noted[name] = list
	}
	if len(noted) == 0 {
		return nil, ErrNotEncrypted
	}
	raw, err := json.Marshal(noted)
	if err != nil {
		return nil, unreadable(dotenvFormat)
	}
	m, err := readMetadata(raw)
	if err != nil {
		return nil, err
	}
	c, err := m.cipher(keys)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	for _, l := range lines {
		if l.key == "" {
			fmt.Fprintf(&out, "#%s\n", c.comment(l.value, nil))
			continue
		}
		plain, err := c.leaf(l.value, []string{l.key})
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%s=%s\n", l.key, strings.ReplaceAll(fmt.Sprint(plain), "\n", `\n`))
	}
	return []byte(out.String()), nil
}

// comment decrypts a comment; one that is not encrypted stays as it is.
func (c *valueCipher) comment(text string, path []string) string {
	if !c.rule(path) || text == "" {
		return text
	}
	plain, err := c.open(text, path)
	if err != nil {
		return text
	}
	return fmt.Sprint(plain)
}

// decryptYAML decrypts the documents of a file, and writes them as SOPS does.
func decryptYAML(text []byte, keys *Keys) ([]byte, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(4)
	var c *valueCipher
	for n := 0; ; n++ {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
			return nil, unreadable(yamlFormat)
		}
		root := document.Content[0]
		if root.Kind != yaml.MappingNode {
			if root.ShortTag() != "!!null" {
				return nil, unreadable(yamlFormat)
			}
			root = &yaml.Node{Kind: yaml.MappingNode, HeadComment: root.HeadComment}
			document.Content[0] = root
		}
		noted := takeOut(root, "sops")
		if n == 0 {
			if noted == nil || noted.Kind != yaml.MappingNode {
				return nil, ErrNotEncrypted
			}
			if c, err = cipherOf(noted, keys); err != nil {
				return nil, err
			}
		}
		if document.Content[0], err = c.node(root, nil); err != nil {
			return nil, err
		}
		for _, comments := range []*string{&document.HeadComment, &document.LineComment, &document.FootComment} {
			*comments = c.comments(*comments, nil)
		}
		if err := encoder.Encode(&document); err != nil {
			return nil, errors.New("what it holds cannot be written as YAML")
		}
	}
	if err := encoder.Close(); err != nil {
		return nil, errors.New("what it holds cannot be written as YAML")
	}
	return out.Bytes(), nil
}

// takeOut removes a key of a mapping and gives its value; nil without.
func takeOut(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			value := mapping.Content[i+1]
			mapping.Content = append(mapping.Content[:i:i], mapping.Content[i+2:]...)
			return value
		}
	}
	return nil
}

func cipherOf(noted *yaml.Node, keys *Keys) (*valueCipher, error) {
	var content map[string]any
	if err := noted.Decode(&content); err != nil {
		return nil, errors.New("the metadata of SOPS in it cannot be read")
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return nil, errors.New("the metadata of SOPS in it cannot be read")
	}
	m, err := readMetadata(raw)
	if err != nil {
		return nil, err
	}
	return m.cipher(keys)
}

// node gives the plain form of a node: with all styles left to the encoder, as
// SOPS leaves them, and with its comments.
func (c *valueCipher) node(n *yaml.Node, path []string) (*yaml.Node, error) {
	out := &yaml.Node{Kind: n.Kind}
	out.HeadComment, out.LineComment, out.FootComment = c.comments(n.HeadComment, path), c.comments(n.LineComment, path), c.comments(n.FootComment, path)
	switch n.Kind {
	case yaml.AliasNode:
		return c.node(n.Alias, path)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := *n.Content[i]
			if key.Kind != yaml.ScalarNode {
				return nil, unreadable(yamlFormat)
			}
			value, err := c.node(n.Content[i+1], append(path[:len(path):len(path)], key.Value))
			if err != nil {
				return nil, err
			}
			if key.ShortTag() == "!!str" {
				if err := key.Encode(n.Content[i].Value); err != nil {
					return nil, unreadable(yamlFormat)
				}
			}
			for from, to := range map[*string]*string{&n.Content[i].HeadComment: &key.HeadComment, &n.Content[i].LineComment: &key.LineComment, &n.Content[i].FootComment: &key.FootComment} {
				*to = c.comments(*from, path)
			}
			below := n.Content[i+1]
			value.HeadComment, value.LineComment, value.FootComment = c.comments(below.HeadComment, path), c.comments(below.LineComment, path), c.comments(below.FootComment, path)
			out.Content = append(out.Content, &key, value)
		}
		return out, nil
	case yaml.SequenceNode:
		for _, item := range n.Content {
			plain, err := c.node(item, path)
			if err != nil {
				return nil, err
			}
			if plain != nil {
				out.Content = append(out.Content, plain)
			}
		}
		return out, nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, unreadable(yamlFormat)
	}
	plain, err := c.leaf(v, path)
	if err != nil {
		return nil, err
	}
	if _, is := plain.(comment); is {
		return nil, nil // SOPS keeps the comments of lists as items
	}
	if err := out.Encode(plain); err != nil {
		return nil, errors.New("what it holds cannot be written as YAML")
	}
	out.HeadComment, out.LineComment, out.FootComment = c.comments(n.HeadComment, path), c.comments(n.LineComment, path), c.comments(n.FootComment, path)
	return out, nil
}

// comments decrypts the lines of a comment, each of which SOPS encrypts for
// itself.
func (c *valueCipher) comments(text string, path []string) string {
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if rest, ok := strings.CutPrefix(l, "#"); ok {
			lines[i] = "#" + c.comment(rest, path)
		}
	}
	return strings.Join(lines, "\n")
}
