package flux1

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"gopkg.in/yaml.v2"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	sigsyaml "sigs.k8s.io/yaml"
)

// errNotMasked: a file could not be read whole, so what is secret in it is not
// known.
var errNotMasked = errors.New("it cannot be read whole, so what is secret in it is not known")

// Mask gives a file of manifests with each value of a Secret replaced by what
// mask makes of it: under data, of the decoded value, encoded again. So are all
// values of a document that SOPS encrypted in part, but for those in its metadata
// and SOPS's own, of annotations too but for those of Flux. The values
// that a kustomization file, or what configures a generator or transformer of it,
// gives to Secrets are masked too, also where a patch may be of one, and what the users
// of a kubeconfig identify themselves with. Documents without any stay byte by byte, and
// every document begins on the line where it did, so that places hold. Passwords and
// queries in URLs are masked in all of the text. If the file cannot be read, the error says so and
// nothing may be used.
func Mask(content []byte, mask func(string) string, limits Limits) ([]byte, error) {
	docs, bad := decode(content, limits)
	starts := documentLines(content)
	if bad != nil || len(docs) != len(starts) {
		return nil, errNotMasked
	}
	lines := strings.Split(string(content), "\n")
	for _, start := range starts {
		from := start - 1
		first, dashes := lines[from], ""
		if marker.MatchString(first) {
			dashes, first = "--- ", first[3:]
		}
		to := from + 1
		for to < len(lines) && !marker.MatchString(strings.TrimSuffix(lines[to], "\r")) {
			to++
		}
		text := first + "\n" + strings.Join(lines[from+1:to], "\n")
		masked, err := maskDocument([]byte(text), mask)
		if err != nil {
			return nil, err
		}
		if masked == nil {
			continue
		}
		for i := from - 1; i >= 0 && strings.HasPrefix(strings.TrimSpace(lines[i]), "#"); i-- {
			lines[i] = "" // a comment above may tell what the document hides
		}
		// JSON is YAML, and stands on one line however long the document was.
		lines[from] = dashes + string(masked)
		for i := from + 1; i < to; i++ {
			lines[i] = ""
		}
	}
	return []byte(MaskURLs(strings.Join(lines, "\n"), mask)), nil
}

// urlStart is where a URL begins.
var urlStart = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://`)

// quoteEnd ends a text in single quotes; two of them are one that belongs to it.
var quoteEnd = regexp.MustCompile(`'([\s,\]})]|$)`)

// MaskURLs masks what a text's URLs hold of passwords and, where one stands
// alone before a host that is not reached by SSH, tokens, and of values in
// queries. Variables such as $(VAR) stay.
func MaskURLs(text string, mask func(string) string) string {
	var out strings.Builder
	const wordEnds = " \t\r\n\"<>"
	from, seen, quotes := 0, 0, 0 // quotes stand in the word before the URL
	starts := urlStart.FindAllStringIndex(text, -1)
	for i, at := range starts {
		rest := text[at[1]:]
		if i+1 < len(starts) {
			rest = text[at[1]:starts[i+1][0]]
		}
		if end := strings.IndexAny(rest, wordEnds); end >= 0 {
			rest = rest[:end]
		}
		before := text[seen:at[0]]
		if i := strings.LastIndexAny(before, wordEnds); i >= 0 {
			before, quotes = before[i+1:], 0
		}
		quotes, seen = quotes+strings.Count(before, "'"), at[0]
		if quotes%2 == 1 {
			if end := quoteEnd.FindStringIndex(rest); end != nil {
				rest = rest[:end[0]]
			}
		}
		out.WriteString(text[from:at[1]])
		from = at[1]
		sign := credentialsEnd(rest)
		if sign < 0 {
			sign = 0
		} else {
			out.WriteString(maskUser(strings.TrimSuffix(text[at[0]:at[1]], "://"), rest[:sign], mask))
		}
		out.WriteString(maskQuery(rest[sign:], mask))
		from += len(rest)
	}
	return out.String() + text[from:]
}

// maskUser masks the credentials before a URL's host.
func maskUser(scheme, info string, mask func(string) string) string {
	c := userInfo(scheme, info)
	switch {
	case c.UserMayBeToken():
		if !symbolsOnly(c.Username) {
			c.Username = urlSafe(mask(c.Username))
		}
	case c.Password != "" && !symbolsOnly(c.Password):
		c.Password = urlSafe(mask(c.Password))
	}
	if c.HasPassword {
		return c.Username + ":" + c.Password
	}
	return c.Username
}

// queryValue is a name and value in a URL's query, up to what may end the URL
// itself in YAML, JSON or a shell. JSON and HTML have spellings of their own for
// the sign between two of them.
var queryValue = regexp.MustCompile("((?:[?&;]|\\\\u0026)[^=&#,;{}()\\[\\]`\\\\]*=)((?:\\$\\([^)]*\\)|[^&#,;}\\])`\\\\])+)")

// maskQuery masks the values in the query of what stands behind a URL's
// credentials.
func maskQuery(rest string, mask func(string) string) string {
	begin := strings.IndexAny(rest, "?&")
	if begin < 0 {
		return rest
	}
	return rest[:begin] + queryValue.ReplaceAllStringFunc(rest[begin:], func(pair string) string {
		m := queryValue.FindStringSubmatch(pair)
		if symbolsOnly(m[2]) {
			return pair
		}
		return m[1] + urlSafe(mask(m[2]))
	})
}

// credentialsEnd is the place of the "@" that ends the credentials with which a
// text begins, all of which is behind "://"; -1 if it begins with none. Their
// password may hold a slash that should have been written as %2F.
func credentialsEnd(rest string) int {
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		return i
	}
	if _, port, ok := strings.Cut(authority, ":"); ok && strings.Trim(port, "0123456789") != "" {
		return strings.LastIndex(rest, "@")
	}
	return -1
}

// symbolsOnly reports whether a text is nothing but variables.
func symbolsOnly(text string) bool {
	for _, s := range Symbols(text) {
		text = strings.ReplaceAll(text, "$("+s+")", "")
	}
	return text == ""
}

func urlSafe(s string) string { return strings.ReplaceAll(s, ":", "-") }

// maskDocument gives one document masked, as JSON; nil if it holds nothing to
// mask.
func maskDocument(text []byte, mask func(string) string) ([]byte, error) {
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		return nil, errNotMasked
	}
	if value == nil {
		return nil, nil
	}
	again, err := yaml.Marshal(value)
	if err != nil {
		return nil, errNotMasked
	}
	asJSON, err := sigsyaml.YAMLToJSON(again)
	if err != nil {
		return nil, errNotMasked
	}
	var tree any
	if err := utiljson.Unmarshal(asJSON, &tree); err != nil {
		return nil, errNotMasked
	}
	m := &masker{mask: mask}
	m.walk(tree)
	if m.failed {
		return nil, errNotMasked
	}
	if !m.changed {
		return nil, nil
	}
	note := ""
	if top, _ := tree.(map[string]any); bearsSOPS(top) {
		note = " # sops:" // by which fluxd knows that it is encrypted
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(tree); err != nil {
		return nil, errNotMasked
	}
	return append(bytes.TrimSpace(out.Bytes()), note...), nil
}

// masker masks one document in place.
type masker struct {
	mask            func(string) string
	changed, failed bool
}

func (m *masker) walk(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			m.walk(e)
		}
	case map[string]any:
		if bearsSOPS(v) {
			m.sealed(v)
			return
		}
		if v["kind"] == "Secret" {
			m.secret(v)
			return
		}
		if v["kind"] == "SecretGenerator" {
			m.generator(v)
		}
		if users, ok := v["users"].([]any); ok && isKubeconfig(v) {
			m.users(users)
		}
		if list, ok := v["secretGenerator"].([]any); ok {
			for _, e := range list {
				m.generator(e)
			}
		}
		for _, field := range []string{"patches", "patchesJson6902", "patchesStrategicMerge", "generators", "transformers"} {
			switch list := v[field].(type) {
			case []any:
				for i := range list {
					list[i] = m.patch(list[i])
				}
			case string: // of a transformer's configuration
				v[field] = m.patch(list)
			}
		}
		if kind, _ := v["kind"].(string); strings.HasPrefix(kind, "Patch") && strings.HasSuffix(kind, "Transformer") {
			m.patch(v)
		}
		for _, e := range v {
			m.walk(e)
		}
	}
}

// isKubeconfig reports whether a mapping is a kubeconfig, which need not say so.
func isKubeconfig(v map[string]any) bool {
	return v["kind"] == "Config" || v["clusters"] != nil || v["contexts"] != nil || v["current-context"] != nil
}

// bearsSOPS reports whether a document has the metadata that SOPS gives to what it
// encrypts.
func bearsSOPS(document map[string]any) bool {
	metadata, _ := document["sops"].(map[string]any)
	return len(metadata) > 0
}

// sealed masks a document that SOPS encrypted, or an item of one that is a list:
// what stands in plain text beside an encrypted value is often as secret.
func (m *masker) sealed(document map[string]any) {
	for field, value := range document {
		switch field {
		case "apiVersion", "kind", "sops":
		case "metadata":
			metadata, _ := value.(map[string]any)
			annotations, _ := metadata["annotations"].(map[string]any)
			for key, text := range annotations {
				if domain, _, _ := strings.Cut(key, "/"); domain != "fluxcd.io" && domain != "flux.weave.works" && !strings.HasSuffix(domain, ".fluxcd.io") && domain != "config.kubernetes.io" {
					annotations[key] = m.all(text)
				}
			}
		case "items":
			list, _ := value.([]any)
			for i := range list {
				if item, ok := list[i].(map[string]any); ok && item["kind"] != nil {
					m.sealed(item)
				} else {
					list[i] = m.all(list[i])
				}
			}
			if list == nil {
				document[field] = m.all(value)
			}
		default:
			document[field] = m.all(value)
		}
	}
}

// all masks whatever a value holds, but for what SOPS encrypted.
func (m *masker) all(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = m.all(v[key])
		}
		return v
	case []any:
		for i := range v {
			v[i] = m.all(v[i])
		}
		return v
	case nil:
		return nil
	case string:
		if strings.HasPrefix(v, "ENC[") && strings.HasSuffix(v, "]") {
			return v
		}
		m.changed = true
		return m.mask(v)
	}
	m.changed = true
	return m.mask(fmt.Sprint(v))
}

// secret masks the values of a Secret, and what kubectl remembers of them.
func (m *masker) secret(s map[string]any) {
	for _, field := range []string{"data", "stringData"} {
		values, _ := s[field].(map[string]any)
		for key, value := range values {
			text, ok := value.(string)
			if !ok {
				if value != nil { // no value that a Secret can have
					values[key], m.changed = m.mask("not a string"), true
				}
				continue
			}
			if field == "data" {
				if plain, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err == nil {
					text = string(plain)
				}
				values[key] = base64.StdEncoding.EncodeToString([]byte(m.mask(text)))
			} else {
				values[key] = m.mask(text)
			}
			m.changed = true
		}
	}
	metadata, _ := s["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if _, ok := annotations[LastApplied]; ok {
		annotations[LastApplied], m.changed = "{}", true
	}
}

// users masks what a kubeconfig has users identify themselves with.
func (m *masker) users(list []any) {
	for _, e := range list {
		if named, _ := e.(map[string]any); named["user"] != nil {
			named["user"] = m.all(named["user"])
		}
	}
}

// generator masks the literals of a secretGenerator.
func (m *masker) generator(v any) {
	g, _ := v.(map[string]any)
	literals, _ := g["literals"].([]any)
	for i, e := range literals {
		if text, ok := e.(string); ok {
			name, value, _ := strings.Cut(text, "=")
			literals[i], m.changed = name+"="+m.mask(strings.Trim(value, `'"`)), true
		}
	}
}

// patch masks a patch of a kustomization file, inline or with a target, or what
// configures a generator or transformer.
func (m *masker) patch(v any) any {
	switch v := v.(type) {
	case string: // a file's name, or the patch itself
		return m.inline(v, nil)
	case map[string]any:
		target, _ := v["target"].(map[string]any)
		for _, field := range []string{"patch", "jsonOp"} {
			if text, ok := v[field].(string); ok {
				v[field] = m.inline(text, target)
			}
		}
	}
	return v
}

// inline masks a text that may stand for documents; a target is what they are
// applied to, nil if they say so themselves.
func (m *masker) inline(text string, target map[string]any) string {
	if !strings.Contains(text, "\n") && !strings.HasPrefix(strings.TrimSpace(text), "[") && !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return text
	}
	var out string
	if target != nil && MayPatchSecret(target) {
		var err error
		if out, err = maskPatches(text, target, m.mask); err != nil {
			m.failed = true
			return ""
		}
	} else if strings.Contains(text, "Secret") || strings.Contains(text, "sops") {
		out = m.documents(text)
	} else {
		return text
	}
	m.changed = m.changed || out != text
	return out
}

// documents masks each document of a text.
func (m *masker) documents(text string) string {
	out, err := maskDocuments(text, func(document []byte) ([]byte, error) { return maskDocument(document, m.mask) })
	m.failed = m.failed || err != nil
	return out
}

// behindEnd is what stands behind the line that ends a document, but for comments;
// commentsAtEnd are the last lines of a text, all comments.
var (
	behindEnd     = regexp.MustCompile(`(?m)^\.\.\.(?:[ \t].*)?\r?\n(?:[ \t]*(?:#.*)?\r?\n)*[ \t]*[^\s#]`)
	commentsAtEnd = regexp.MustCompile(`(?m)(?:^[ \t]*#.*(?:\n|\z))+\z`)
)

// maskDocuments puts in the place of each document of a text what mask makes of it;
// of nil, the document stays. A comment above one that is masked goes, since it may
// tell what that hides.
func maskDocuments(text string, mask func([]byte) ([]byte, error)) (string, error) {
	var out, document strings.Builder
	var failed error
	end := func() {
		masked, err := mask([]byte(document.String()))
		if err == nil && behindEnd.MatchString(document.String()) {
			err = errNotMasked // only what stands before was read
		}
		switch {
		case err != nil:
			failed = err
		case masked != nil:
			above, isMarked := strings.CutSuffix(out.String(), "---")
			out.Reset()
			out.WriteString(commentsAtEnd.ReplaceAllString(above, ""))
			if isMarked {
				out.WriteString("---")
			}
			if out.Len() > 0 {
				out.WriteByte('\n') // a document does not begin in the line of its marker
			}
			out.Write(append(masked, '\n'))
		default:
			out.WriteString(document.String())
		}
		document.Reset()
	}
	for line := range strings.SplitAfterSeq(text, "\n") {
		if strings.HasPrefix(line, "---") && marker.MatchString(strings.TrimRight(line, "\r\n")) {
			end()
			out.WriteString("---")
			line = line[3:]
		}
		document.WriteString(line)
	}
	end()
	return out.String(), failed
}

// MayPatchSecret reports whether what a patch in a kustomization file is applied
// to may be a Secret: kustomize takes the fields of a target for expressions, and
// each that is not given for any.
func MayPatchSecret(target map[string]any) bool {
	kind, _ := target["kind"].(string)
	if kind == "" || kind == "Secret" {
		return true
	}
	expression, err := regexp.Compile("^(?:" + kind + ")$")
	return err != nil || expression.MatchString("Secret")
}

// MaskPatch masks a patch whose target may be a Secret: all values of a JSON
// patch, or those of the Secret that a merge patch is; of data alone where the
// target may be of another kind. Of several documents each is masked. Passwords and
// queries in URLs are masked in all of the text, as [Mask] does.
func MaskPatch(content []byte, target map[string]any, mask func(string) string) ([]byte, error) {
	text := string(content)
	if MayPatchSecret(target) {
		var err error
		if text, err = maskPatches(text, target, mask); err != nil {
			return nil, err
		}
	}
	return []byte(MaskURLs(text, mask)), nil
}

// maskPatches masks each document of a patch.
func maskPatches(text string, target map[string]any, mask func(string) string) (string, error) {
	return maskDocuments(text, func(document []byte) ([]byte, error) { return maskPatch(document, target, mask) })
}

// maskPatch masks one document of a patch; nil if it holds nothing to mask.
func maskPatch(content []byte, target map[string]any, mask func(string) string) ([]byte, error) {
	asJSON, err := sigsyaml.YAMLToJSON(content)
	if err != nil {
		return nil, errNotMasked
	}
	var tree any
	if err := utiljson.Unmarshal(asJSON, &tree); err != nil {
		return nil, errNotMasked
	}
	m := &masker{mask: mask}
	switch tree := tree.(type) {
	case map[string]any:
		m.merged(tree)
	case []any:
		for _, e := range tree {
			operation, _ := e.(map[string]any)
			value, ok := operation["value"]
			at, _ := operation["path"].(string)
			switch field, _, _ := strings.Cut(strings.TrimPrefix(at, "/"), "/"); {
			case !ok:
			case target["kind"] == "Secret" || field == "data" || field == "stringData":
				operation["value"], m.changed = maskAll(value, mask), true
			case field == "":
				if whole, ok := value.(map[string]any); ok {
					m.merged(whole)
				}
			}
		}
	}
	if !m.changed {
		return nil, nil
	}
	return json.Marshal(tree)
}

// merged masks a merge patch of what may be a Secret, each that a list of them holds,
// and what else of secrets stands in it.
func (m *masker) merged(patch map[string]any) {
	if bearsSOPS(patch) {
		m.sealed(patch)
		return
	}
	m.secret(patch)
	items, _ := patch["items"].([]any)
	for _, e := range items {
		if item, ok := e.(map[string]any); ok {
			m.merged(item)
		}
	}
	for field, value := range patch {
		if field != "data" && field != "stringData" && field != "items" {
			m.walk(value)
		}
	}
}

// secretTrace is what a Secret, or what makes one, or a document of SOPS, or a kubeconfig
// has in any spelling of YAML or JSON.
var secretTrace = regexp.MustCompile(`(?i)["']?\bkind["']?\s*:\s*(?:[!&][^\s]*\s+)*["']?(?:Secret|Config\b)|["']?\bsops["']?\s*:|\bENC\[AES256|\bstringData\b`)

// MayHoldSecret reports whether a text that cannot be read as documents may hold a
// Secret all the same.
func MayHoldSecret(text string) bool { return secretTrace.MatchString(text) }

// maskAll masks every text below a value. What a JSON patch sets under data is
// encoded, so the masked text is too: it fits both fields.
func maskAll(v any, mask func(string) string) any {
	switch v := v.(type) {
	case string:
		if plain, err := base64.StdEncoding.DecodeString(v); err == nil && len(plain) > 0 {
			v = string(plain)
		}
		return base64.StdEncoding.EncodeToString([]byte(mask(v)))
	case map[string]any:
		for k, e := range v {
			v[k] = maskAll(e, mask)
		}
	case []any:
		for i, e := range v {
			v[i] = maskAll(e, mask)
		}
	}
	return v
}

// MaskVariables masks an env file: what stands behind each "=".
func MaskVariables(content []byte, mask func(string) string) []byte {
	lines := strings.Split(string(content), "\n")
	for i, line := range lines {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			lines[i] = name + "=" + mask(strings.TrimSuffix(value, "\r"))
		}
	}
	return []byte(strings.Join(lines, "\n"))
}
