package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/getsops/sops/v3/keyservice"

	"github.com/fluxover/fluxover/e2e/sops"
)

// Each of these, unbounded, ends the process, fills its memory, or keeps it busy
// for minutes.
func TestHostileTextsAreRefused(t *testing.T) {
	k := sopsKeys()
	keys := readKeys(t, map[string]string{"a.agekey": k.age.Private})
	all := sops.Options{Keys: []sops.Key{k.age}}
	yaml := func(text string) string { return text + encrypt(t, "z: 1\n", "yaml", all) }
	notes := strings.TrimPrefix(encrypt(t, "{\"z\": 1}", "json", all), "{")
	rule := func(name, pattern string) string {
		var text strings.Builder
		for i := range 20_000 {
			fmt.Fprintf(&text, "a%d: b # c\n", i%2_000+i/2_000*10_000)
		}
		return strings.Replace(yaml(text.String()), "unencrypted_suffix: _unencrypted", name+": "+pattern, 1)
	}
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	var many strings.Builder
	for i := range 2 * maxKeys {
		fmt.Fprintf(&many, "a%d:\n", i)
	}
	for name, c := range map[string]struct {
		f    format
		text string
		want error
	}{
		"too large":                    {yamlFormat, yaml(strings.Repeat("#", maxEncryptedFile)), nil},
		"an alias in its anchor":       {yamlFormat, yaml("a: &a {b: *a}\n"), ErrAliases},
		"the same in a later document": {yamlFormat, yaml("") + "---\na: &a {b: *a}\n", ErrAliases},
		"aliases that multiply":        {yamlFormat, yaml("") + "---\n" + laughs.String(), ErrAliases},
		"aliases of a long text":       {yamlFormat, yaml("a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a, ", 1000) + "x]\n"), ErrAliases},
		"aliases that nest": {yamlFormat, func() string {
			var text strings.Builder
			text.WriteString("a0: &a0 x\n")
			for i := 1; i <= maxNesting; i++ {
				fmt.Fprintf(&text, "a%d: &a%d [*a%d]\n", i, i, i-1)
			}
			return yaml("") + "---\n" + text.String()
		}(), errTooLarge},
		"lists in lists":            {yamlFormat, yaml("a: " + strings.Repeat("[", maxNesting+1) + strings.Repeat("]", maxNesting+1) + "\n"), errTooLarge},
		"objects in objects":        {jsonFormat, "{\"a\": " + strings.Repeat("{\"a\":", 800_000) + "1" + strings.Repeat("}", 800_000-1) + "}," + notes, errTooLarge},
		"arrays in arrays":          {binary, "{\"a\": " + strings.Repeat("[", 2_000_000) + strings.Repeat("]", 2_000_000) + "," + notes, errTooLarge},
		"a bracket within a text":   {jsonFormat, "{\"a\": \"" + strings.Repeat("\\\"[", 600) + "\"," + notes, errPlainValue},
		"keys of one mapping":       {yamlFormat, yaml(many.String()), errTooLarge},
		"a key again and again":     {yamlFormat, yaml("b:\n" + strings.Repeat("  a:\n", 10_000)), nil},
		"the same of mappings":      {yamlFormat, yaml("b:\n" + strings.Repeat("  ? {}\n  :\n", 5_000)), nil},
		"values, before any count":  {yamlFormat, yaml("a: [" + strings.Repeat("a,", 2_000_000) + "a]\n"), errTooLarge},
		"keys of one section":       {iniFormat, encrypt(t, "[z]\nz = 1\n", "ini", all) + "[b]\n" + strings.Repeat("a =\n", 1_000_000), errTooLarge},
		"lines of SOPS in dotenv":   {dotenvFormat, strings.Repeat("sops_a=\n", 400_000) + encrypt(t, "Z=1\n", "dotenv", all), errTooLarge},
		"names that nest":           {dotenvFormat, "sops_a" + strings.Repeat("__map_a", 600_000) + "=1\n" + encrypt(t, "Z=1\n", "dotenv", all), errTooLarge},
		"names that nest, in INI":   {iniFormat, encrypt(t, "[z]\nz = 1\n", "ini", all) + "age" + strings.Repeat("__list_0", 600_000) + " = 1\n", errTooLarge},
		"sections":                  {iniFormat, strings.Repeat("[a]\n", maxKeys+1) + encrypt(t, "[z]\nz = 1\n", "ini", all), errTooLarge},
		"long paths":                {jsonFormat, "{\"" + strings.Repeat("a", 1<<20) + "\": [" + strings.Repeat("\"\",", 10_000) + "\"\"]," + notes, errTooLarge},
		"values that are copied":    {jsonFormat, "{\"a\": [" + strings.Repeat("1,", 1_000_000) + "1]," + notes, errTooLarge},
		"an expression":             {yamlFormat, rule("encrypted_regex", "((a{100}){10}){1}"+strings.Repeat("(b{1000})", 100)), errTooLarge},
		"an expression on comments": {yamlFormat, rule("encrypted_comment_regex", "(a{1000})"), errTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := decryption{in: c.f, out: c.f, keys: keys}.decrypt(t.Context(), []byte(c.text))
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error: %v, want %v", err, c.want)
			}
			if spent := time.Since(start); spent > 30*time.Second {
				t.Errorf("took %v", spent)
			}
		})
	}
}

// A message that no key is needed for says nothing about who made the file, and
// one that grows without bound fills the memory.
func TestOnlyAShortEncryptedMessageGivesADataKey(t *testing.T) {
	k := sopsKeys()
	keys := readKeys(t, map[string]string{"a.asc": k.pgp.Private, "b.agekey": k.age.Private})
	armored := func(write func(into *bytes.Buffer)) []byte {
		var text, body bytes.Buffer
		write(&body)
		w, err := armor.Encode(&text, "PGP MESSAGE", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return text.Bytes()
	}
	literal := func(into *bytes.Buffer, text []byte) {
		w, err := packet.SerializeLiteral(nopCloser{into}, true, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	plain := armored(func(into *bytes.Buffer) { literal(into, make([]byte, 32)) })
	if _, _, err := keys.decryptPGP(plain); err == nil {
		t.Error("a message that is not encrypted gives a data key")
	}
	grows := armored(func(into *bytes.Buffer) {
		w, err := packet.SerializeCompressed(nopCloser{into}, packet.CompressionZLIB, nil)
		if err != nil {
			t.Fatal(err)
		}
		var inner bytes.Buffer
		literal(&inner, make([]byte, 64<<20))
		if _, err := w.Write(inner.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	})
	if text, _, err := keys.decryptPGP(grows); err == nil {
		t.Errorf("%d bytes", len(text))
	}
	for name, kind := range map[string]*keyservice.Key{
		"PGP": {KeyType: &keyservice.Key_PgpKey{PgpKey: &keyservice.PgpKey{}}}, "age": {KeyType: &keyservice.Key_AgeKey{AgeKey: &keyservice.AgeKey{}}},
	} {
		key := k.pgp
		if name == "age" {
			key = k.age
		}
		for size, fits := range map[int]bool{32: true, 33: true, maxDataKey + 1: false, 8 << 20: false} {
			message, err := sops.EncryptKey(key, make([]byte, size))
			if err != nil {
				t.Fatal(err)
			}
			left := len(message)
			for _, left := range []int{left, left - 1} {
				got, err := (&keyService{ctx: t.Context(), keys: keys, left: left}).Decrypt(context.Background(), &keyservice.DecryptRequest{Key: kind, Ciphertext: message})
				if want := fits && left == len(message); (err == nil) != want || want && len(got.GetPlaintext()) != size {
					t.Errorf("%s, %d bytes, %d left: %v", name, size, left, err)
				}
			}
		}
	}
}

type nopCloser struct{ *bytes.Buffer }

func (nopCloser) Close() error { return nil }

// Nobody but the Secret gives keys.
func TestNoKeyIsTakenFromTheEnvironment(t *testing.T) {
	k := sopsKeys()
	home := t.TempDir()
	for name, value := range map[string]string{
		"HOME": home, "XDG_CONFIG_HOME": home, "SOPS_AGE_KEY": k.age.Private, "SOPS_AGE_KEY_CMD": "echo " + k.age.Private, "GNUPGHOME": home,
	} {
		t.Setenv(name, value)
	}
	text := []byte(encrypt(t, "a: "+secretValue+"\n", "yaml", sops.Options{Keys: []sops.Key{k.age}}))
	if _, err := DecryptFile(t.Context(), text, &Keys{}); err == nil || !strings.Contains(err.Error(), "no key was given") {
		t.Errorf("error: %v", err)
	}
	if _, err := ReadKeys(map[string][]byte{"a.agekey": []byte("AGE-PLUGIN-YUBIKEY-1QYQSZQGPQYQSZQGPQYQSZQGP")}); err == nil || !strings.Contains(err.Error(), "plugin") {
		t.Errorf("a plugin: %v", err)
	}
	if said := fmt.Sprintf("%v %+v %#v %s", Keys{}, &Keys{}, *readKeys(t, map[string]string{"a.agekey": k.age.Private}), readKeys(t, map[string]string{"a.asc": k.pgp.Private})); said != "*** *** *** ***" {
		t.Errorf("keys print as %s", said)
	}
}
