package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// A limit is what is asked for where there is no request, wherever it stands.
func TestALimitCountsWhereThereIsNoRequest(t *testing.T) {
	limited := strings.Replace(deploymentOfMuch, "requests: {cpu: 50m}", "requests: {cpu: 50m}, limits: {cpu: 1, memory: 256Mi}", 1)
	want := migrate.Requests{CPU: "50m", Memory: "256Mi"}
	equal(t, "live", liveIn(t, limited).Agents[0].Requests, want)
	equal(t, "declared", declaredBy(t, asManifest(t, limited)).Agents[0].Requests, want)
	for _, c := range []struct {
		resources any
		want      migrate.Requests
	}{
		{map[string]any{"requests": map[string]any{"cpu": nil, "memory": nil}, "limits": map[string]any{"cpu": "500m"}}, migrate.Requests{CPU: "500m"}},
		{map[string]any{"requests": nil, "limits": map[string]any{"memory": "1Gi"}}, migrate.Requests{Memory: "1Gi"}},
		{map[string]any{"limits": map[string]any{"cpu": "500m"}}, migrate.Requests{CPU: "50m", Memory: "64Mi"}},
	} {
		r := chart.Decode(chart.Release{Name: "flux", Namespace: "flux", Version: "1.13.3"}, map[string]any{"resources": c.resources})
		equal(t, "by the chart", r.Requests, c.want)
	}
	unknown := asManifest(t, strings.Replace(deploymentOfMuch, "requests: {cpu: 50m}", "limits: {cpu: '${var.x}'}", 1))
	unknown["main.tf.json"] = strings.Replace(strings.Replace(unknown["main.tf.json"], "$${", "${", -1), `{"resource"`, `{"variable":{"x":{}},"resource"`, 1)
	if a := declaredBy(t, unknown).Agents[0]; !slices.Contains(a.Unknown, "requests") {
		t.Errorf("requests %+v, unknown %v", a.Requests, a.Unknown)
	}
}
