package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

func TestChartValuesAloneDescribeAnAgent(t *testing.T) {
	inv, err := Values(t.Context(), []ValuesFile{
		{Name: "flux/shop", File: "dir/shop.yaml", Content: []byte("git:\n  url: https://bot:MARKED-SECRET@git.example.com/shop.git\n  branch: main\n  path: a,b\nsyncGarbageCollection:\n  enabled: true\nnosuchvalue: 1\n")},
		{File: "dir/web.yaml"},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := dump(t, inv)
	if strings.Contains(text, "MARKED-SECRET") || strings.Contains(text, "dir/") {
		t.Errorf("a secret, or a path of this machine, is told:\n%s", text)
	}
	a := agentNamed(t, inv, "flux/shop")
	if a.Git.Branch != "main" || !slices.Equal(a.Git.Paths, []string{"a", "b"}) || a.Running != nil || a.Namespace != "flux" || a.Release != "shop" || !slices.Contains(a.Unknown, "chartVersion") {
		t.Errorf("%+v", a)
	}
	if !strings.Contains(text, "shop.yaml:3 git.branch") || !strings.Contains(text, "nosuchvalue") {
		t.Errorf("the line of a value, or an unknown value, is not told:\n%s", text)
	}
	web := agentNamed(t, inv, "values/web")
	if !slices.Contains(web.Unknown, "namespace") || web.Git.URL != "" {
		t.Errorf("%+v", web)
	}
	wantFinding(t, inv, chart.VersionUnknown, "flux/shop")
	// With the version of the chart, all is known that it makes of the values.
	for version, want := range map[string]string{"1.6.0": "1.6.0", "v1.6.0": "1.6.0", "~1.6.0": "", "1.13.x": "", "9.9.9": ""} {
		inv, err := Values(t.Context(), []ValuesFile{{Name: "flux/shop", File: "shop.yaml", Version: version, Content: []byte("git: {url: \"git@h:a\"}\n")}})
		if err != nil {
			t.Fatal(err)
		}
		a := inv.Agents[0]
		if a.Requests.CPU == "" == (version != "9.9.9") || finds(inv, chart.VersionUnknown.Name) != (want == "") || want != "" && (a.ChartVersion != want || slices.Contains(a.Unknown, "chartVersion")) {
			t.Errorf("%s: chart version %q, requests %+v, unknown %v", version, a.ChartVersion, a.Requests, a.Unknown)
		}
	}
	said(t, inv, chart.VersionUnknown.Name, "--values [NAME=]FILE@VERSION does")
	equal(t, "what the versions have by default", settingOf(t, agentNamed(t, inv, "values/web"), "--git-branch").From[0].Where, "git.branch (default of chart 0.5.0 to 1.13.3)")
	for name, where := range map[string]string{"--git-poll-interval": "git.pollInterval (default of chart 0.5.0 to 1.13.3)", "--log-format": "logFormat (default of chart 0.10.0 to 1.13.3)"} {
		equal(t, "which versions have the default of "+name, settingOf(t, agentNamed(t, inv, "values/web"), name).From[0].Where, where)
	}
	for _, files := range [][]ValuesFile{
		{{File: "x.yaml", Content: []byte("- MARKED-SECRET\n")}},
		{{File: "x.yaml", Content: []byte("a: {MARKED-SECRET\n")}},
		{{Name: "a/b/c", File: "x.yaml"}},
		{{Name: "a/", File: "x.yaml"}},
		{{File: "x.yaml"}, {File: "y/x.yaml"}},
		{{File: "x.yaml", Content: []byte("a: " + strings.Repeat("x", maxValues))}},
	} {
		if _, err := Values(t.Context(), files); err == nil || strings.Contains(err.Error(), "MARKED-SECRET") {
			t.Errorf("%v: %v", files[0].Name, err)
		}
	}
}

// What chart a release is of that pins none is not tried for more releases than a second
// or so is enough for: of those beyond all is unknown that hangs on the version.
func TestVersionsAreNotTriedWithoutEnd(t *testing.T) {
	values := map[string]any{"git": map[string]any{"url": "git@h:a", "branch": "b"}}
	tried, versions := maxTried-len(chart.Versions()), chart.Versions()
	for _, last := range []bool{false, true} {
		r := decodeAny(chart.Release{Name: "f", Namespace: "flux"}, versions, "no version", values, &tried)
		equal(t, "whether the branch is not known", slices.Contains(r.Config.Unknown, "git.branch"), last)
		equal(t, "whether it is said", slices.ContainsFunc(r.Findings, func(f migrate.Finding) bool {
			return f.Code == chart.VersionUnknown.Name && strings.Contains(f.Message, "; no version, and there are too many such releases")
		}), last)
	}
	equal(t, "one that is pinned", decodeAny(chart.Release{Name: "f", Namespace: "flux"}, versions[:1], "", values, &tried).Config.Branch, "b")
}
