package discover

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/discover/terraform"
)

// chartTemplate is one as the flux chart has it.
const chartTemplate = `apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
      - name: {{ .Chart.Name }}
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
        args:
        - --k8s-secret-name={{ .Values.git.secretName }}
        - --git-url={{ .Values.git.url }}
        - --git-branch={{ .Values.git.branch }}
        - --git-path={{ .Values.git.path }}
        - --git-user={{ .Values.git.user }}
        - --git-email={{ .Values.git.email }}
        - --git-poll-interval={{ .Values.git.pollInterval }}
        - --registry-rps={{ .Values.registry.rps }}
        - --registry-burst={{ .Values.registry.burst }}
`

// packed is a chart as "helm package" packs it.
func packed(t *testing.T, files map[string]string) string {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for _, name := range sortedNames(files) {
		if err := archive.WriteHeader(&tar.Header{Name: "team-sync/" + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	for _, close := range []func() error{archive.Close, zip.Close} {
		if err := close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func TestACopyOfTheFluxChartUnderAnotherNameIsNotPassedOver(t *testing.T) {
	release := func(name, chart, values string) string {
		return fmt.Sprintf("resource \"helm_release\" %q {\n name = %[1]q\n namespace = \"ops\"\n chart = %s\n values = [%q]\n}\n", name, chart, values)
	}
	const url = "git: {url: \"git@h:a\", branch: prod}"
	inv := declaredBy(t, map[string]string{
		"main.tf": "variable \"chart\" {}\n" +
			release("copy", `"./charts/team-sync"`, url) + release("packed", `"./charts/team-sync-1.0.0.tgz"`, url) + release("renumbered", `"./charts/renumbered"`, url) +
			release("named", "\"renumbered\"\n repository = \"./charts\"", url) + release("own", `"./charts/own"`, "repository: a") + release("image", `"./charts/image"`, "") + release("part", `"./charts/part"`, "") +
			release("remote", `"gitops-agent"`, url) + release("unknown", "var.chart", url) + release("above", `"../../elsewhere/sync"`, url) +
			release("nginx", `"./charts/nginx"`, "controller: {git: {url: a}}") + release("jenkins", `"jenkins"`, "git: {}") + release("influx", `"./charts/influx"`, "") +
			release("few", `"./charts/few"`, url) + release("app", `"./charts/app"`, url) + release("sub", `"./charts/sub"`, url) + release("noapp", `"./charts/noapp"`, url) +
			release("vendored", `"./charts/vendored"`, "") + release("bitnami", `"./charts/bitnami"`, "") + release("comment", `"./charts/comment"`, "") +
			release("packedsub", `"./charts/packedsub"`, url) + release("deep", `"./charts/deep"`, "") + release("packedimage", `"./charts/packedimage"`, "") + release("deepflux", `"./charts/deepflux"`, ""),
		"charts/packedsub/Chart.yaml":                "name: packedsub\nversion: 1.0.0\n",
		"charts/packedsub/charts/x-1.0.0.tgz":        packed(t, map[string]string{"Chart.yaml": "name: x\n", "templates/d.yaml": chartTemplate}),
		"charts/deep/Chart.yaml":                     "name: deep\nversion: 1.0.0\n",
		"charts/deep/charts/x.tgz":                   packed(t, map[string]string{"Chart.yaml": "name: x\n", "charts/y.tgz": packed(t, map[string]string{"Chart.yaml": "name: y\n", "templates/d.yaml": chartTemplate})}),
		"charts/deepflux/Chart.yaml":                 "name: deepflux\nversion: 1.0.0\n",
		"charts/deepflux/charts/x.tgz":               packed(t, map[string]string{"Chart.yaml": "name: x\n", "charts/y.tgz": packed(t, map[string]string{"Chart.yaml": "name: flux\nversion: 1.13.3\n"})}),
		"charts/packedimage/Chart.yaml":              "name: packedimage\nversion: 1.0.0\n",
		"charts/packedimage/charts/x.tgz":            packed(t, map[string]string{"Chart.yaml": "name: x\n", "values.yaml": "image: docker.io/fluxcd/flux:1.25.4\n"}),
		"charts/few/Chart.yaml":                      "name: few\nversion: 1.0.0\nappVersion: 1.12.0\n",
		"charts/few/templates/deployment.yaml":       "args: [\"--git-url={{ .Values.git.url }}\", \"--git-branch={{ .Values.git.branch }}\"]\n",
		"charts/app/Chart.yaml":                      "name: app\nversion: 1.0.0\nappVersion: 3.2.0\n",
		"charts/app/templates/deployment.yaml":       chartTemplate,
		"charts/noapp/Chart.yaml":                    "name: noapp\nversion: 1.0.0\n",
		"charts/noapp/templates/deployment.yaml":     chartTemplate,
		"charts/sub/Chart.yaml":                      "name: sub\nversion: 1.0.0\nappVersion: 1.12.0\n",
		"charts/sub/charts/x/templates/d.yaml":       chartTemplate,
		"charts/vendored/Chart.yaml":                 "name: vendored\nversion: 1.0.0\n",
		"charts/vendored/charts/flux-1.13.3.tgz":     packed(t, map[string]string{"Chart.yaml": "name: flux\nversion: 1.13.3\nhome: https://fluxcd.io\n"}),
		"charts/bitnami/Chart.yaml":                  "name: bitnami\nversion: 1.0.0\n",
		"charts/bitnami/charts/flux-0.3.5.tgz":       packed(t, map[string]string{"Chart.yaml": "name: redis\nversion: 0.3.5\n"}),
		"charts/comment/Chart.yaml":                  "name: comment\nversion: 1.0.0\n",
		"charts/comment/values.yaml":                 "# see https://github.com/fluxcd/flux\nimage: nginx # not weaveworks/flux\n",
		"charts/comment/templates/NOTES.txt":         "as with https://github.com/fluxcd/flux\n",
		"charts/team-sync/Chart.yaml":                "name: team-sync\nversion: 1.13.3\nappVersion: 1.25.4\n",
		"charts/team-sync/templates/deployment.yaml": chartTemplate,
		"charts/team-sync-1.0.0.tgz":                 packed(t, map[string]string{"Chart.yaml": "name: team-sync\nversion: 1.12.0\nappVersion: 1.25.3\n", "templates/deployment.yaml": chartTemplate}),
		"charts/renumbered/Chart.yaml":               "name: agents\nversion: 0.0.7\n",
		"charts/renumbered/templates/agent.yaml":     chartTemplate,
		"charts/own/Chart.yaml":                      "name: own\nversion: 1.13.3\n",
		"charts/own/templates/d.yaml":                "args: [--git-url={{ .Values.repository }}, --git-branch=main]\n",
		"charts/image/Chart.yaml":                    "name: image\nversion: 1.0.0\n",
		"charts/image/values.yaml":                   "image: docker.io/fluxcd/flux:1.25.4\n",
		"charts/part/Chart.yaml":                     "name: part\nversion: 1.0.0\n",
		"charts/part/charts/flux/Chart.yaml":         "name: flux\nversion: 1.13.3\n",
		"charts/nginx/Chart.yaml":                    "name: nginx\nversion: 1.0.0\n",
		"charts/nginx/templates/d.yaml":              "image: fluxcd/flux-recv:1\nargs: [--git-url=x]\n",
		"charts/influx/Chart.yaml":                   "name: influx\nversion: 1.0.0\n",
		"charts/influx/values.yaml":                  "image: influxdata/influxdb:2\n",
	})
	equal(t, "agents", agentIDs(inv), []string{"ops/copy", "ops/packed"})
	for i, want := range []string{"1.13.3", "1.12.0"} {
		a := inv.Agents[i]
		equal(t, a.ID, []any{a.ChartVersion, a.Git.URL, a.Git.Branch}, []any{want, "git@h:a", "prod"})
	}
	said(t, inv, "TERRAFORM_LOCAL_CHART_CHANGED", "version 1.13.3", "it has no values.yaml")
	for name, why := range map[string]string{
		"named": "its templates/agent.yaml has", "renumbered": "its templates/agent.yaml has arguments of fluxd", "own": "its templates/d.yaml has arguments of fluxd", "image": "its values.yaml names fluxd's image",
		"few": "its templates/deployment.yaml has", "app": "its templates/deployment.yaml has", "noapp": "its templates/deployment.yaml has", "sub": "its charts/x/templates/d.yaml has",
		"packedsub": "its charts/x-1.0.0.tgz/templates/d.yaml has arguments of fluxd", "deep": "its charts/x.tgz/charts/y.tgz/templates/d.yaml has arguments of fluxd", "packedimage": "its charts/x.tgz/values.yaml names fluxd's image",
		"remote": "it is given a git.url", "above": "it is given a git.url",
	} {
		said(t, inv, "TERRAFORM_CHART_OF_FLUXD", "helm_release."+name+" installs an agent", why)
	}
	for _, name := range []string{"part", "vendored", "deepflux"} {
		said(t, inv, "TERRAFORM_CHART_HOLDS_FLUX", "helm_release."+name+" installs an agent")
	}
	said(t, inv, "TERRAFORM_CHART_UNKNOWN", "helm_release.unknown")
	for _, f := range inv.Findings {
		for _, other := range []string{"nginx", "jenkins", "influx", "bitnami", "comment"} {
			if strings.Contains(f.Message, "helm_release."+other) {
				t.Errorf("of %s it is said: %+v", other, f)
			}
		}
	}
}

func TestAPackedChartThatIsTooLargeOrBrokenTellsNothing(t *testing.T) {
	broken := packed(t, map[string]string{"Chart.yaml": "name: team-sync\nversion: 1.12.0\n", "templates/a.yaml": strings.Repeat("#", chartFileBytes+1) + chartTemplate})
	inv := declaredBy(t, map[string]string{
		"main.tf": `resource "helm_release" "a" {
  name = "a"
  chart = "./a.tgz"
}
resource "helm_release" "b" {
  name = "b"
  chart = "./b.tgz"
}
`,
		"a.tgz": broken, "b.tgz": broken[:len(broken)/2],
	})
	equal(t, "agents", agentIDs(inv), []string{})
	said(t, inv, "TERRAFORM_CHART_NOT_READ", "helm_release.a installs", "it has a templates/a.yaml of more than 1 MiB")
	said(t, inv, "TERRAFORM_CHART_NOT_READ", "helm_release.b installs")
}

func TestWhatIsNotReadOfAChartBesideTheConfigurationIsSaid(t *testing.T) {
	files, main := map[string]string{}, ""
	chart := func(name string, more map[string]string) {
		main += fmt.Sprintf("resource \"helm_release\" %q {\n name = %[1]q\n chart = \"./charts/%[1]s\"\n}\n", name)
		files["charts/"+name+"/Chart.yaml"] = "name: app\nversion: 1.0.0\n"
		for file, content := range more {
			files["charts/"+name+"/"+file] = content
		}
	}
	many, large, bombs := map[string]string{}, map[string]string{}, map[string]string{}
	for i := range chartFiles {
		many[fmt.Sprintf("templates/%03d.yaml", i)] = "#\n"
	}
	for i := range 20 {
		large[fmt.Sprintf("templates/%03d.yaml", i)] = strings.Repeat("#", chartFileBytes)
	}
	bomb := packed(t, map[string]string{"A.bin": strings.Repeat("\x00", 8<<20), "Chart.yaml": "name: x\n"})
	for i := range 30 {
		bombs[fmt.Sprintf("charts/%02d.tgz", i)] = bomb
	}
	chart("small", map[string]string{"templates/a.yaml": "#\n", "README": "x", "charts/redis.tgz": packed(t, map[string]string{"Chart.yaml": "name: redis\n"})})
	chart("big", map[string]string{"templates/a.yaml": strings.Repeat("#", chartFileBytes+1)})
	chart("many", many)
	chart("large", large)
	chart("bombs", bombs)
	parts := map[string]string{"Chart.yaml": "name: x\n"}
	for i := range chartFiles / 2 {
		parts[fmt.Sprintf("templates/%03d.yaml", i)] = "#\n"
	}
	chart("parts", map[string]string{"charts/a.tgz": packed(t, parts), "charts/b.tgz": packed(t, parts)})
	chart("nothing", map[string]string{"charts/a.tgz": "x"})
	chart("empty", map[string]string{"charts/a.tgz": packed(t, map[string]string{"values.yaml": "a: b\n"})})
	chart("linked", nil)
	chart("linkedfile", nil)
	chart("other", nil)
	chart("unreadable", nil)
	files["charts/unreadable/Chart.yaml"] = "a: [b\n"
	files["main.tf"] = main
	dir := written(t, files)
	for name, target := range map[string]string{"linked/templates": "../small/templates", "linkedfile/values.yaml": "../small/Chart.yaml", "other/README": "../small/README"} {
		if err := os.Symlink(target, filepath.Join(dir, "charts", name)); err != nil {
			t.Fatal(err)
		}
	}
	inv, err := Terraform(t.Context(), TerraformOptions{Dirs: []string{dir}, Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	for name, why := range map[string]string{
		"big": "its templates/a.yaml has more than 1 MiB", "many": "it has more than 500 files", "parts": "it has more than 500 files", "large": "its files have more than 16 MiB",
		"bombs": "or within 64 MiB", "nothing": "its charts/a.tgz cannot be unpacked", "empty": "its charts/a.tgz shows no Chart.yaml",
		"linked": "its templates is a link", "linkedfile": "its values.yaml is a link", "unreadable": "its Chart.yaml cannot be read",
	} {
		said(t, inv, "TERRAFORM_CHART_NOT_READ", "helm_release."+name+" installs", why)
	}
	for _, f := range inv.Findings {
		if f.Code == "TERRAFORM_CHART_NOT_READ" && (strings.Contains(f.Message, "helm_release.small ") || strings.Contains(f.Message, "helm_release.other ")) {
			t.Errorf("it is said that not all was read: %s", f.Message)
		}
	}
}

func TestAReadingOfAChartEndsWithItsContext(t *testing.T) {
	dir := written(t, map[string]string{"own/Chart.yaml": "name: own\nversion: 1.0.0\n", "own/templates/d.yaml": chartTemplate})
	if got := readChart(t.Context(), os.DirFS(dir), "own"); got.runsFluxd == "" {
		t.Fatalf("it was read as %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := readChart(ctx, os.DirFS(dir), "own"); !reflect.DeepEqual(got, localChart{}) {
		t.Errorf("it was read to its end: %+v", got)
	}
}

// A chart that many releases install is read once: what it holds cannot change
// between two of them.
func TestAChartBesideTheConfigurationIsReadOnce(t *testing.T) {
	dir := written(t, map[string]string{"flux/Chart.yaml": "name: flux\nversion: 1.13.3\nappVersion: 1.25.4\n"})
	c := &configuration{root: dir, result: &terraform.Result{Dir: "."}}
	first := c.localChart(t.Context(), "./flux")
	if first.version != "1.13.3" {
		t.Fatalf("it was read as %+v", first)
	}
	if err := os.RemoveAll(filepath.Join(dir, "flux")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"./flux", "flux", filepath.Join(dir, "flux")} {
		if again := c.localChart(t.Context(), name); !reflect.DeepEqual(again, first) {
			t.Errorf("%s was read again: %+v", name, again)
		}
	}
}

// Charts that are beside a configuration are read as far as all of them may come to: of those
// beyond that it is said.
func TestAllChartsBesideAConfigurationAreBounded(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "Chart.yaml"), []byte("name: flux\nversion: 1.3.0\nhome: https://fluxcd.io\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := &configuration{root: dir, result: &terraform.Result{Dir: "."}}
	before := chartsBytes - 1
	c.chartsSize = before
	equal(t, "the first one's version", c.localChart(t.Context(), "./a").version, "1.3.0")
	if c.chartsSize <= before {
		t.Error("what is read of a chart is not counted")
	}
	c.chartsSize = chartsBytes + 1
	second := c.localChart(t.Context(), "./b")
	equal(t, "the second one's version", second.version, "")
	if !strings.Contains(second.left, "have more than 256 MiB") || second.left != c.localChart(t.Context(), "./b").left {
		t.Errorf("what is left is told as %q", second.left)
	}
	equal(t, "one that was read", c.localChart(t.Context(), "./a").version, "1.3.0")
}
