package chart

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// publishedTemplates are digests of the templates of each version, see [AsPublished]
// (flux: chart/flux/templates at the tags chart-0.5.0 to chart-1.13.3).
var publishedTemplates = map[string]string{
	"0.5.0":  "941f87d751596125f7024061f632f3ed",
	"0.5.1":  "e87557fde0b3614e78771d13f6c22361",
	"0.5.2":  "720eadaff0fc18d4ced5502a90c1d5ca",
	"0.6.0":  "981336bb9f98214ea42c3b60cd971338",
	"0.6.1":  "89e7e5ce67655677617ad8c969508e7a",
	"0.6.2":  "1bc0104ce502ac990b536266fea22ee6",
	"0.6.3":  "86790ca7de9a76692d355ddf75e8845a",
	"0.7.0":  "4ba7725dabe1e5d9645b91705f25ec6a",
	"0.8.0":  "4f1e8b3d75a4402e6653168acd1560f7",
	"0.9.0":  "fef044d4b1281f57cee87ddd895407c9",
	"0.9.1":  "8752deefe67dec2b8f11f6c928f7f821",
	"0.9.2":  "72758745f75c82cb4e08622ee3a925e6",
	"0.9.3":  "7b72a716d8cc2485c96fa270114083a8",
	"0.9.4":  "7b72a716d8cc2485c96fa270114083a8",
	"0.9.5":  "7b72a716d8cc2485c96fa270114083a8",
	"0.10.0": "7612b6d04aed1a5cb5173515a92f204e",
	"0.10.1": "e4f10028410cdd821c08584b4d0b38c8",
	"0.10.2": "e4f10028410cdd821c08584b4d0b38c8",
	"0.11.0": "2f366d66f1940dc9792f94704092335a",
	"0.12.0": "c2b97a8f80a360bbde2826e785a985db",
	"0.13.0": "31d637201d99e31e1aa66cd06bf8285c",
	"0.14.0": "1b2398b1bdf4d59966f34a3e8ca8beaa",
	"0.14.1": "1b2398b1bdf4d59966f34a3e8ca8beaa",
	"0.15.0": "c94beec656a34193d34c3725ef7531ea",
	"0.16.0": "58ee3cfc4c2788388e89646d67a849a8",
	"1.0.0":  "bfc09b2c4df64681515fffd7cee4e1b0",
	"1.1.0":  "082ecb856fb99b331b80c64ae94e942d",
	"1.2.0":  "8ed07e7b7730246e3334eb50bce56505",
	"1.3.0":  "8f3cbd85401b67c0c79fdb69b32f37d8",
	"1.4.0":  "f293ad8c6e87412fa9d0b763a50f9c60",
	"1.4.1":  "1798ff35878e4117a122529a809b3cb2",
	"1.5.0":  "0743121d75a2c622278d7bd1859b6b24",
	"1.6.0":  "3adadeb444145057d3831c6907f18c12",
	"1.6.1":  "e3baa8a39390765a1e0311cbe4ca487e",
	"1.6.2":  "87a6641132a2c761da2d96720c745ad0",
	"1.7.0":  "87a6641132a2c761da2d96720c745ad0",
	"1.8.0":  "87a6641132a2c761da2d96720c745ad0",
	"1.9.0":  "a34e151d36504c8920f23f4cb896d8af",
	"1.10.0": "dd19d8425822cef69db545a96d2a1fd6",
	"1.10.1": "dd19d8425822cef69db545a96d2a1fd6",
	"1.10.2": "dd19d8425822cef69db545a96d2a1fd6",
	"1.11.0": "6b6ecf5317019fc94e46e69102bedfb5",
	"1.11.1": "6b6ecf5317019fc94e46e69102bedfb5",
	"1.11.2": "dd19d8425822cef69db545a96d2a1fd6",
	"1.11.3": "dd19d8425822cef69db545a96d2a1fd6",
	"1.11.4": "dd19d8425822cef69db545a96d2a1fd6",
	"1.12.0": "dd19d8425822cef69db545a96d2a1fd6",
	"1.13.0": "40bc72ed3b6206018a9d3b7f3449c4db",
	"1.13.1": "40bc72ed3b6206018a9d3b7f3449c4db",
	"1.13.2": "40bc72ed3b6206018a9d3b7f3449c4db",
	"1.13.3": "40bc72ed3b6206018a9d3b7f3449c4db",
}

// AsPublished reports whether a copy of a version of the chart has the templates of the
// published one and no others. Of its files, by their paths in it, NOTES.txt and how lines
// end do not count. It is false for a version that is not known.
func AsPublished(version string, files map[string][]byte) bool {
	sum := sha256.New()
	for _, name := range sortedKeys(files) {
		if !strings.HasPrefix(name, "templates/") || path.Base(name) == "NOTES.txt" {
			continue
		}
		content := bytes.ReplaceAll(files[name], []byte("\r\n"), []byte("\n"))
		_, _ = fmt.Fprintf(sum, "%s %d\n", name, len(content)) // a hash takes all that is written
		_, _ = sum.Write(content)
	}
	at, err := parseVersion(version)
	published := publishedTemplates[at.String()]
	return err == nil && published != "" && published == hex.EncodeToString(sum.Sum(nil)[:16])
}

// DefaultsOf returns what the values.yaml of a copy of a version of the chart says in
// another way than the published one, of what the templates of that version read: as
// values that, laid over those of the published chart, give those of the copy. What only
// the published one sets is null in them.
func DefaultsOf(version string, copied map[string]any) map[string]any {
	at, err := parseVersion(version)
	if err != nil || !at.known() {
		return nil
	}
	own, _ := regular(copied).tree.(tree)
	out := tree{}
	for i := range keys {
		k := &keys[i]
		if !k.readBy(at) {
			continue
		}
		published, has := k.byDefault(at)
		if !has {
			published = nil
		}
		var given any = own
		for _, p := range strings.Split(k.path, ".") {
			m, _ := given.(tree)
			given = m[p]
		}
		differs, same := differing(given, published)
		if same || k.path == "kube.config" && given != nil && contextNamespace(given) == contextNamespace(published) {
			continue
		}
		put(out, k.path, differs)
	}
	return out
}

// differing is what, laid over one default, gives another; same is whether that is nothing.
func differing(own, published any) (over any, same bool) {
	a, isMap := own.(tree)
	b, both := published.(tree)
	if !isMap || !both {
		return own, equalJSON(own, published)
	}
	out := tree{}
	for k := range b {
		if x, same := differing(a[k], b[k]); !same {
			out[k] = x
		}
	}
	for k, x := range a {
		if _, has := b[k]; !has && x != nil {
			out[k] = x
		}
	}
	return out, len(out) == 0
}

// equalJSON compares values that may be numbers of several types.
func equalJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
