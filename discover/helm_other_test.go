package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/discover/helm"
	"github.com/fluxover/fluxover/migrate"
)

// A release of a chart that has the flux chart as a part is not of the flux chart's
// version, and each of its values is listed.
func TestValuesOfAnotherChartAreListed(t *testing.T) {
	inv := liveIn(t, strings.Replace(fluxdNamed("platform-flux", "platform"), "heritage: Helm,", "heritage: Helm, chart: flux-1.13.3,", 1)+`apiVersion: v1
kind: Secret
metadata:
  name: sh.helm.release.v1.platform.v1
  namespace: flux
  labels: {owner: helm, name: platform, version: "1", status: deployed}
  annotations:
    test/release: |
      namespace: flux
      chart: {metadata: {name: platform, version: 0.4.0}}
      config: {"flux": {"git": {"url": "https://h/MARKED-SECRET"}, "off": null}, "others": ["MARKED-SECRET"]}
      manifest: |
        ---
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: other, namespace: flux}
`)
	a := inv.Agents[0]
	equal(t, "chart", a.ChartVersion, "1.13.3")
	said(t, inv, ReleaseOfOtherChart.Name, "flux/platform", "of chart platform 0.4.0")
	var listed []string
	for _, s := range a.Settings {
		if strings.HasPrefix(s.Name, "values.") {
			listed = append(listed, s.Name)
			if s.Fate != migrate.Unknown || s.Value == "" && s.Name != "values.flux.off" {
				t.Errorf("%+v", s)
			}
		}
	}
	equal(t, "listed", listed, []string{"values.flux.git.url", "values.flux.off", "values.others"})
	if tells(asJSON(inv)) {
		t.Error("a secret is told")
	}

	many := map[string]any{}
	for i := range maxOtherValues + 100 {
		many[strings.Repeat("x", i+1)] = true
	}
	settings := (&release{Record: &helm.Record{Chart: "platform", Values: many}}).otherSettings()
	if len(settings) != maxOtherValues+1 || !slices.ContainsFunc(settings, func(s migrate.Setting) bool { return s.Name == "values.*" }) {
		t.Errorf("%d values are listed", len(settings))
	}
}
