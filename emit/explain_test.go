package emit

import (
	"slices"
	"strings"
	"testing"

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
	e := explainer{report: &report}
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
