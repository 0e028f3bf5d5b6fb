package emit

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// explained fails unless a subject is explained, each time with a reason and
// with a place on one side.
func explained(t *testing.T, r Report, subject string) []Explanation {
	t.Helper()
	found := Explain(r, subject)
	if len(found) == 0 {
		t.Errorf("%q has no explanation", subject)
	}
	for _, e := range found {
		if e.Why == "" {
			t.Errorf("%q is explained without a reason: %+v", subject, e)
		}
	}
	return found
}

func TestEverySettingOfFlux1IsExplained(t *testing.T) {
	r, inv := fleet(t, 2)
	report := Report{Plan: r.Plan, Inventory: inv}
	for _, f := range flux1.Flags {
		for _, e := range explained(t, report, "--"+f.Name) {
			if len(e.From) == 0 || len(e.To) == 0 {
				t.Errorf("--%s: %+v", f.Name, e)
			}
		}
	}
	for _, path := range chart.Paths() {
		for _, e := range explained(t, report, path) {
			if len(e.From) == 0 || len(e.To) == 0 {
				t.Errorf("%s: %+v", path, e)
			}
		}
	}
	for _, a := range inv.Agents {
		for _, s := range a.Settings {
			found := explained(t, report, a.ID+" "+s.Name)
			if len(found) != 1 || len(found[0].From) == 0 || found[0].Value != s.Value {
				t.Errorf("%s %s: %+v", a.ID, s.Name, found)
			}
		}
	}
	if found := Explain(report, "--no-such-flag"); found != nil {
		t.Errorf("what there is not is explained: %+v", found)
	}
}

func TestEveryFieldThatAPlanWritesIsExplained(t *testing.T) {
	r, inv := fleet(t, 3)
	report := Report{Plan: r.Plan, Inventory: inv}
	e := newExplainer(&report)
	fields := 0
	for _, o := range e.writtenObjects() {
		name := migrate.DisplayID(migrate.ObjectID(o.object))
		all := explained(t, report, name)
		written := fieldsWritten(o.object)
		if len(all) < len(written) {
			t.Errorf("%s: %d of %d fields are explained", name, len(all), len(written))
		}
		for _, f := range written {
			fields++
			found := explained(t, report, name+" "+f.path)
			if !slices.ContainsFunc(found, func(e Explanation) bool { return strings.HasSuffix(e.Subject, f.path) && e.Value == f.value }) {
				t.Errorf("%s %s: %+v", name, f.path, found)
			}
		}
	}
	if fields < 300 {
		t.Errorf("only %d fields were tried", fields)
	}
	interval := explained(t, report, "Kustomization/flux-system/payments-web .spec.interval")
	if len(interval) != 1 || len(interval[0].From) != 1 || !strings.Contains(interval[0].From[0], "flux/flux-payments --sync-interval=5m0s (cluster: Deployment/flux/flux-payments container flux args[4])") {
		t.Errorf("the interval: %+v", interval)
	}
	timeout := explained(t, report, "Kustomization/payments-web.spec.timeout")
	if len(timeout) != 1 || !strings.Contains(strings.Join(timeout[0].From, ""), "fluxd's default, 1m0s") {
		t.Errorf("a default: %+v", timeout)
	}
	for _, arg := range r.Plan.ClusterAgent.Args {
		explained(t, report, strings.SplitN(arg, "=", 2)[0])
	}
}

// What is emitted with a URL holds the objects of agent/ as well, and whoever
// reads a line of any file must be able to ask for it.
func TestEveryLineOfTheFluxCapacitorIsExplained(t *testing.T) {
	r, inv := fleet(t, 3)
	const yaml = `apiVersion: fluxover.dev/v1
kind: Capacitor
source: {interval: 30s}
defaults:
  kustomization: {interval: 9m}
clusters:
  prod:
    gitRepository: {interval: 2m}
    teams:
      payments:
        kustomization: {timeout: 7m}
        applications:
          payments-web:
            kustomization: {timeout: 8m}
`
	files := fstest.MapFS{CapacitorFile: {Data: []byte(yaml)}}
	tree := treeOf(t, files, &r.Plan, prod)
	settings, _, err := SettingsOf(files)
	if err != nil {
		t.Fatal(err)
	}
	report := Report{Plan: r.Plan, Inventory: inv, Capacitor: prod, Settings: settings}
	agent := 0
	for name, file := range tree {
		explained(t, report, name)
		everyLineExplained(t, report, name, file.Data)
		if name == CapacitorFile || name == IndexPath("prod") {
			continue
		}
		decoder := yamlutil.NewYAMLToJSONDecoder(bytes.NewReader(file.Data))
		for {
			u := &unstructured.Unstructured{}
			if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, AgentFile("prod", "")) {
				agent++
			}
			// Of names that are given more than once, as those of Flux's objects
			// and of Kubernetes', the kind tells them apart.
			id := migrate.DisplayID(migrate.ObjectID(u))
			for _, f := range fieldsWritten(u) {
				found := explained(t, report, id+" "+f.path)
				if !slices.ContainsFunc(found, func(e Explanation) bool {
					return e.Subject == id+" "+f.path && e.Value == f.value && slices.Equal(e.To, []string{name + " of the flux-capacitor"})
				}) {
					t.Errorf("%s: %s %s = %s: %+v", name, id, f.path, f.value, found)
				}
			}
		}
	}
	if agent != 5+3*3 {
		t.Errorf("%d objects of agent/ were looked at", agent)
	}
	for subject, want := range map[string]string{
		"GitRepository/flux-system/flux-capacitor .spec.interval":                "capacitor.yaml:3 source.interval",
		"Kustomization/flux-system/flux-capacitor .spec.interval":                "capacitor.yaml does not give sync.interval: the default",
		"GitRepository/flux-system/flux-capacitor .spec.url":                     "--capacitor of plan and migrate",
		"Kustomization/flux-system/payments-api .spec.interval":                  "capacitor.yaml:5 defaults.kustomization.interval",
		"Kustomization/flux-system/payments-api .spec.timeout":                   "capacitor.yaml:11 clusters.prod.teams.payments.kustomization.timeout",
		"Kustomization/flux-system/payments-web .spec.timeout":                   "capacitor.yaml:14 clusters.prod.teams.payments.applications.payments-web.kustomization.timeout",
		"GitRepository/flux-system/checkout .spec.interval":                      "capacitor.yaml:8 clusters.prod.gitRepository.interval",
		"flux/flux-payments ClusterRole/flux-capacitor-payments .rules[0].verbs": "",
	} {
		found := explained(t, report, subject)
		if len(found) == 0 || strings.Join(found[0].From, "") != want {
			t.Errorf("%s: %+v, want %s", subject, found, want)
		}
	}
	for subject, want := range map[string]string{
		"clusters/prod/payments/payments-web.yaml:1": "clusters/prod/payments/payments-web.yaml:1",
		"capacitor.yaml:5":                           "capacitor.yaml:5",
		"clusters/prod/kustomization.yaml:5":         "clusters/prod/agent/rbac.yaml ServiceAccount/flux-system/flux-capacitor",
	} {
		if found := explained(t, report, subject); len(found) == 0 || found[0].Subject != want {
			t.Errorf("%s: %+v, want %s", subject, found, want)
		}
	}
	if found := explained(t, report, "capacitor.yaml:5"); !slices.Contains(found[0].From, "says defaults.kustomization.interval") {
		t.Errorf("a setting of capacitor.yaml: %+v", found)
	}
	for _, subject := range []string{"clusters/prod/payments/source.yaml:0", "clusters/prod/payments/source.yaml:-1", "clusters/prod/no-such.yaml:1", "capacitor.yaml:x", "capacitor.yaml:99999999999999999999"} {
		if found := Explain(report, subject); found != nil {
			t.Errorf("%s: %+v", subject, found)
		}
	}
	// Where no URL is given yet, the flag that gives it stands in its place.
	report.Capacitor.URL = ""
	if found := explained(t, report, "GitRepository/flux-system/flux-capacitor .spec.url"); len(found) != 1 || found[0].Value != "what --capacitor says" {
		t.Errorf("without a URL: %+v", found)
	}
}

// everyLineExplained asks for each line of an emitted file by its number, and
// demands that the answer is about what stands there.
func everyLineExplained(t *testing.T, r Report, name string, content []byte) {
	t.Helper()
	texts := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	for i, text := range texts {
		subject := name + ":" + strconv.Itoa(i+1)
		found := explained(t, r, subject)
		key, value, isField := strings.Cut(strings.TrimLeft(text, " -"), ":")
		if value = strings.Trim(value, ` "'`); !isField || strings.HasPrefix(text, "#") || name == CapacitorFile || name == IndexPath(r.Capacitor.Cluster) {
			continue
		}
		// Lines of a text are answered with the whole text.
		if !slices.ContainsFunc(found, func(e Explanation) bool {
			return strings.Contains(e.Subject, key) && (value == "" || strings.HasPrefix(value, "|") || strings.Contains(e.Value, value)) || strings.Contains(e.Value, strings.TrimLeft(text, " -"))
		}) {
			t.Errorf("%s, %q: %+v", subject, text, found)
		}
	}
	if found := Explain(r, name+":"+strconv.Itoa(len(texts)+1)); found != nil {
		t.Errorf("%s: a line behind its end is explained: %+v", name, found)
	}
}

func TestObjectsRepositoriesAndFindingsAreExplained(t *testing.T) {
	r, inv := fleet(t, 12)
	report := Report{Plan: r.Plan, Inventory: inv}
	for _, repo := range r.Plan.Repositories {
		explained(t, report, repo.ID)
		for _, o := range repo.Objects {
			found := explained(t, report, o.ID)
			if len(found) != 1 || len(found[0].From) == 0 || !strings.HasPrefix(found[0].To[0], string(o.Verb)) {
				t.Errorf("%s: %+v", o.ID, found)
			}
		}
	}
	if len(r.Plan.Findings) == 0 {
		t.Fatal("the plan has no findings")
	}
	for _, f := range r.Plan.Findings {
		explained(t, report, f.Code)
	}
	var b strings.Builder
	if err := WriteExplanations(&b, Explain(report, "Deployment/search/web"), Style{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"production/web/app.yaml:1", "change by Kustomization/flux-system/search-web", ".spec.replicas"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
