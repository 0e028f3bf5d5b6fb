package auditor

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Forms are the ways in which a program may write a value, by name, so that a
// search for a secret does not only find it as it stands: encoded as in a URL, in
// JSON, Go or HTML, in hexadecimal, and in base64, also amid other bytes (of
// which only whole groups of the value are looked for).
func Forms(value string) map[string]string {
	forms := map[string]string{
		"as it is": value, "in a URL's query": url.QueryEscape(value), "in a URL's path": url.PathEscape(value), "as a URL's password": password(value),
		"in HTML": html.EscapeString(value), "in Go": unquoted(strconv.Quote(value)), "in ASCII": unquoted(strconv.QuoteToASCII(value)), "in hexadecimal": hex.EncodeToString([]byte(value)),
	}
	for name, escape := range map[string]bool{"in JSON": false, "in JSON for HTML": true} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(escape)
		if e.Encode(value) == nil { // a text can be
			forms[name] = unquoted(strings.TrimSpace(b.String()))
		}
	}
	for name, encoding := range map[string]*base64.Encoding{"in base64": base64.RawStdEncoding, "in base64 for URLs": base64.RawURLEncoding} {
		// Three bytes make four letters, wherever they begin.
		for skip := range 3 {
			if whole := (len(value) - skip) / 3 * 3; whole >= 6 { // less may stand there by chance
				forms[name+" from byte "+strconv.Itoa(skip)] = encoding.EncodeToString([]byte(value[skip : skip+whole]))
			}
		}
	}
	return forms
}

// Shown names the forms in which a text holds a value, sorted; none is what is
// hoped for.
func Shown(text, value string) []string {
	var found []string
	for name, form := range Forms(value) {
		if strings.Contains(text, form) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

func password(value string) string {
	_, after, _ := strings.Cut(url.UserPassword("u", value).String(), ":")
	return after
}

func unquoted(s string) string { return strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`) }
