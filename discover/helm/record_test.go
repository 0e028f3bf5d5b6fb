package helm

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

func pack(t testing.TB, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if _, err := zw.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return []byte(base64.StdEncoding.EncodeToString(b.Bytes()))
}

// helm2 is a hapi.release.Release.
func helm2(namespace, name, version, manifest, values string) string {
	field := func(to []byte, number protowire.Number, value string) []byte {
		return protowire.AppendString(protowire.AppendTag(to, number, protowire.BytesType), value)
	}
	out := field(nil, 1, "shop")
	out = field(out, 2, "\x08\x01") // info, of no interest
	out = field(out, 3, string(field(field(nil, 1, string(field(field(field(nil, 1, name), 2, "home"), 4, version))), 2, "a template")))
	out = field(field(field(out, 4, string(field(nil, 1, values))), 5, manifest), 8, namespace)
	return string(protowire.AppendVarint(protowire.AppendTag(out, 7, protowire.VarintType), 3))
}

const someValues = "git:\n  url: git@h:o/r\nregistry:\n  rps: 12000000\n  burst: 0.5\n"

func TestReleasesOfHelm2AreRead(t *testing.T) {
	for name, data := range map[string][]byte{
		"packed":   pack(t, helm2("flux", "flux", "0.16.0", someManifest, someValues)),
		"unpacked": []byte(base64.StdEncoding.EncodeToString([]byte(helm2("flux", "flux", "0.16.0", someManifest, someValues)))),
	} {
		r, err := Decode(data, 2)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Chart != "flux" || r.ChartVersion != "0.16.0" || r.Namespace != "flux" || !r.Owns("Role", "flux", "shop") || r.Deployment("flux", "shop") == nil {
			t.Errorf("%s: %+v", name, r)
		}
		want := map[string]any{"git": map[string]any{"url": "git@h:o/r"}, "registry": map[string]any{"rps": int64(12000000), "burst": 0.5}}
		if diff := cmp.Diff(want, r.Values); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, values := range []string{"", "# nothing\n", "{}\n", "null"} {
		if r, err := Decode(pack(t, helm2("flux", "flux", "0.16.0", someManifest, values)), 2); err != nil || len(r.Values) != 0 {
			t.Errorf("values %q: %v, %v", values, r, err)
		}
	}
}

func TestCorruptReleasesAreErrorsWithoutContent(t *testing.T) {
	whole := string(pack(t, `{"namespace":"flux","chart":{"metadata":{"name":"flux","version":"1"}},"manifest":"a: MARKED-SECRET"}`))
	if _, err := Decode([]byte(whole), 3); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(whole)
	if err != nil {
		t.Fatal(err)
	}
	plain := func(s string) []byte { return []byte(base64.StdEncoding.EncodeToString([]byte(s))) }
	cut := helm2("flux", "flux", "1", "a: MARKED-SECRET", "b: MARKED-SECRET")
	for name, c := range map[string]struct {
		helm int
		data []byte
	}{
		"nothing":         {3, nil},
		"no base64":       {3, []byte("MARKED-SECRET!")},
		"cut base64":      {3, []byte(whole[:len(whole)-3])},
		"cut gzip":        {3, plain(string(raw[:len(raw)-12]))},
		"broken gzip":     {3, plain("\x1f\x8b\x08MARKED-SECRET")},
		"no gzip":         {3, plain("MARKED-SECRET")},
		"no JSON":         {3, pack(t, "MARKED-SECRET")},
		"wrong type":      {3, pack(t, `{"manifest":{"a":"MARKED-SECRET"}}`)},
		"nothing in it":   {3, pack(t, `{"config":{"a":"MARKED-SECRET"}}`)},
		"values a list":   {3, pack(t, `{"chart":{"metadata":{"version":"1"}},"manifest":"a","config":["MARKED-SECRET"]}`)},
		"Helm 2's":        {3, pack(t, cut)},
		"Helm 3's":        {2, []byte(whole)},
		"cut message":     {2, pack(t, cut[:len(cut)-5])},
		"cut chart":       {2, pack(t, "\x1a\x03\x0a\x7fM")},
		"values no YAML":  {2, pack(t, helm2("flux", "flux", "1", "a: b", "{MARKED-SECRET"))},
		"no chart":        {2, pack(t, helm2("flux", "", "", "a: b", "a: MARKED-SECRET"))},
		"values a number": {2, pack(t, helm2("flux", "flux", "1", "a: b", "3"))},
	} {
		r, err := Decode(c.data, c.helm)
		if !errors.Is(err, ErrCorrupt) || r != nil {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "MARKED") {
			t.Errorf("%s tells a secret: %v", name, err)
		}
	}
}

// stored is a whole revision of Helm 3 around a manifest and values.
func stored(t testing.TB, manifest, config string) []byte {
	t.Helper()
	text, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, fmt.Sprintf(`{"namespace":"flux","chart":{"metadata":{"name":"flux","version":"1.13.3"}},"manifest":%s,"config":%s}`, text, config))
}

// aliases is YAML that would be as large as the universe.
func aliases() string {
	text := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := range 30 {
		text += fmt.Sprintf("a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i+1, i+1, i, i, i, i, i, i, i, i, i)
	}
	return text
}

// bombs are small when packed.
func bombs(t testing.TB) map[string]struct {
	helm int
	data []byte
} {
	t.Helper()
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + strings.Repeat(end, n) }
	return map[string]struct {
		helm int
		data []byte
	}{
		"blanks":                 {3, pack(t, strings.Repeat(" ", maxRecord+10))},
		"many small values":      {3, stored(t, "a", `{"a":[`+strings.Repeat("0,", maxValues)+`0]}`)},
		"nested values":          {3, stored(t, "a", `{"a":`+deep("[", "]", 50_000)+`}`)},
		"nested objects":         {3, stored(t, "a", strings.Repeat(`{"a":`, 9_000)+"0"+strings.Repeat("}", 9_000))},
		"a large manifest":       {3, stored(t, strings.Repeat("a: b\n", maxManifest/5+1), "{}")},
		"many small objects":     {3, stored(t, strings.Repeat("---\na\n", maxManifest/6), "{}")},
		"objects just allowed":   {3, stored(t, strings.Repeat("---\nkind: A\n", maxObjects), "{}")},
		"one large object":       {3, stored(t, "kind: A\nx: ["+strings.Repeat("0,", maxObject/2)+"]", "{}")},
		"an object just allowed": {3, stored(t, "kind: A\nx: ["+strings.Repeat("0,", maxObject/2-20)+"]", "{}")},
		"aliases":                {3, stored(t, aliases(), "{}")},
		"a nested object":        {3, stored(t, "kind: A\nx: "+deep("[", "]", 20_000), "{}")},
		"indented":               {3, stored(t, "kind: A\nx:\n"+strings.Repeat("- ", 20_000), "{}")},
		"Helm 2, aliases":        {2, pack(t, helm2("flux", "flux", "1", aliases(), aliases()))},
		"Helm 2, large values":   {2, pack(t, helm2("flux", "flux", "1", "a: b", "a: ["+strings.Repeat("0,", maxValues)+"]"))},
		"Helm 2, many fields":    {2, pack(t, strings.Repeat("\x08\x01", maxRecord/2-10))},
	}
}

// TestBombsAreBoundedInTimeAndMemory: what a writer of Secrets may put there
// ends in an error or is left out, and costs little.
func TestBombsAreBoundedInTimeAndMemory(t *testing.T) {
	for name, c := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			if len(c.data) > 1<<20 {
				t.Fatalf("no Secret holds %d bytes", len(c.data))
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			started := time.Now()
			r, err := Decode(c.data, c.helm)
			took := time.Since(started)
			runtime.ReadMemStats(&after)
			allocated := after.TotalAlloc - before.TotalAlloc
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v", err)
			}
			t.Logf("%s, %d MiB in all: %v", took.Round(time.Millisecond), allocated>>20, err)
			if allocated > 1<<30 {
				t.Errorf("%d MiB were allocated", allocated>>20)
			}
			if took > 30*time.Second {
				t.Errorf("it took %s", took)
			}
			runtime.KeepAlive(r)
		})
	}
}

// FuzzPayload takes what stands in a release's Secret or ConfigMap, packed and
// unpacked, of either Helm. The first byte chooses.
func FuzzPayload(f *testing.F) {
	add := func(helm byte, content string) { f.Add(append([]byte{helm}, content...)) }
	add(3, `{"namespace":"flux","chart":{"metadata":{"name":"flux","version":"1.13.3"}},"manifest":"---\nkind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {containers: [{name: flux, image: fluxcd/flux, args: [--git-url=x]}]}}}\n","config":{"git":{"url":"git@h:o/r","pollInterval":1e6}}}`)
	add(2, helm2("flux", "flux", "0.16.0", someManifest, someValues))
	add(2, helm2("", "", "", aliases()[:400], "a: &a [*a]"))
	add(3, `{"chart":{"metadata":{"version":"1"}},"manifest":"kind: [\n---\n\t","config":{"a":[[[[{}]]]]}}`)
	add(4, string(pack(f, "{}")))
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) == 0 || len(input) > 64<<10 {
			t.Skip("larger inputs are bombs, which have a test of their own")
		}
		data, helm := input[1:], 2+int(input[0]&1)
		if input[0] < 4 {
			data = []byte(base64.StdEncoding.EncodeToString(data))
		}
		started := time.Now()
		r, err := Decode(data, helm)
		if (r == nil) == (err == nil) || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v, %v", r, err)
		}
		if r != nil {
			r.Deployments()
		}
		if took := time.Since(started); took > 20*time.Second {
			t.Errorf("%d bytes took %s", len(input), took)
		}
	})
}
