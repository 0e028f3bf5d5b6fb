package auditor

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"testing"
)

func TestAValueIsFoundInEveryFormAndOnlyThere(t *testing.T) {
	const value = `MARKED "&<é>/+ value`
	raw, err := json.Marshal(map[string]string{"a": value})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"plain": "password: " + value, "JSON": string(raw), "Go": fmt.Sprintf("%q", value), "ASCII": fmt.Sprintf("%+q", value), "HTML": html.EscapeString(value),
		"query": "?" + url.Values{"a": {value}}.Encode(), "URL": (&url.URL{Scheme: "https", Host: "h", User: url.UserPassword("u", value)}).String(), "hexadecimal": fmt.Sprintf("%x", value),
		"base64":              base64.StdEncoding.EncodeToString([]byte(value)),
		"base64 amid others":  base64.StdEncoding.EncodeToString([]byte("u:" + value + ":x")),
		"base64 one later":    base64.StdEncoding.EncodeToString([]byte("u" + value)),
		"base64, of a header": "Authorization: Basic " + base64.URLEncoding.EncodeToString([]byte("user:"+value)),
	} {
		if len(Shown(text, value)) == 0 {
			t.Errorf("%s: not found in %s", name, text)
		}
	}
	if found := Shown("MARKED value, and ***", value); len(found) > 0 {
		t.Errorf("found %q where there is none", found)
	}
	if found := Shown(value, value); !slices.Contains(found, "as it is") {
		t.Errorf("only %q", found)
	}
}
