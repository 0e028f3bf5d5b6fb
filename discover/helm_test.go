package discover

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart"
	helmrelease "helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/client-go/kubernetes/fake"
)

func pack(t *testing.T, content string) []byte {
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

func TestReleasesWrittenByHelmAreRead(t *testing.T) {
	kube := fake.NewClientset()
	secrets := driver.NewSecrets(kube.CoreV1().Secrets("flux"))
	for version, chartVersion := range []string{"", "1.0.0", "1.13.3"} {
		if version == 0 {
			continue
		}
		r := &helmrelease.Release{
			Name: "shop", Namespace: "flux", Version: version, Info: &helmrelease.Info{},
			Chart:    &chart.Chart{Metadata: &chart.Metadata{Name: "flux", Version: chartVersion}},
			Manifest: "---\n# Source: x\nkind: Role\nmetadata:\n  name: shop\n---\nkind: ClusterRole\nmetadata:\n  name: shop\n",
		}
		if err := secrets.Create("sh.helm.release.v1.shop.v"+string(rune('0'+version)), r); err != nil {
			t.Fatal(err)
		}
	}
	w := &witness{kube: kube}
	r, err := w.readRelease(t.Context(), "flux", "shop")
	if err != nil {
		t.Fatal(err)
	}
	if r.chart != "flux" || r.chartVersion != "1.13.3" || r.secret != "flux/sh.helm.release.v1.shop.v2" {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(map[string]bool{"Role/flux/shop": true, "ClusterRole//shop": true}, r.owned); diff != "" {
		t.Error(diff)
	}
	if _, err := w.readRelease(t.Context(), "flux", "other"); !errors.Is(err, errNoRelease) {
		t.Errorf("a release that is not there: %v", err)
	}
}

func TestCorruptReleasesAreErrorsWithoutContent(t *testing.T) {
	whole := string(pack(t, `{"namespace":"flux","chart":{"metadata":{"name":"flux","version":"1"}},"manifest":"a: MARKED-SECRET"}`))
	if _, err := decodeRelease([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"nothing":       nil,
		"no base64":     []byte("MARKED-SECRET!"),
		"cut base64":    []byte(whole[:len(whole)-3]),
		"cut gzip":      []byte(base64.StdEncoding.EncodeToString(raw[:len(raw)-12])),
		"broken gzip":   []byte(base64.StdEncoding.EncodeToString(append([]byte{0x1f, 0x8b, 0x08}, []byte("MARKED-SECRET")...))),
		"no gzip":       []byte(base64.StdEncoding.EncodeToString([]byte("MARKED-SECRET"))),
		"no JSON":       pack(t, "MARKED-SECRET"),
		"wrong type":    pack(t, `{"manifest":{"a":"MARKED-SECRET"}}`),
		"nothing in it": pack(t, `{"config":{"a":"MARKED-SECRET"}}`),
		"a bomb":        pack(t, strings.Repeat(" ", maxRelease+10)),
	} {
		r, err := decodeRelease(data)
		if !errors.Is(err, errCorrupt) || r != nil {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "MARKED") {
			t.Errorf("%s tells a secret: %v", name, err)
		}
	}
}
