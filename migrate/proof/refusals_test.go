package proof

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	invalid "k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/fluxover/fluxover/migrate"
)

// pickyWorld refuses one undeclared field of each map at a time, the first or the
// last, and then the values, in either order: as API servers do.
type pickyWorld struct {
	servingWorld
	last bool
}

func (w *pickyWorld) DryRun(_ context.Context, _ Account, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	var undeclared []string
	ports, _, _ := unstructured.NestedSlice(o.Object, "data", "ports")
	for _, path := range [][]string{{"data", "b"}, {"data", "d"}} {
		if _, there, _ := unstructured.NestedFieldNoCopy(o.Object, path...); there {
			undeclared = append(undeclared, "."+path[0]+"."+path[1])
		}
	}
	for _, p := range ports {
		if _, there := p.(map[string]any)["typo"]; there {
			undeclared = append(undeclared, fmt.Sprintf(`.data.ports[name="%s",protocol="TCP"].typo`, p.(map[string]any)["name"]))
		}
	}
	pick := func(n int) int {
		if w.last {
			return n - 1
		}
		return 0
	}
	if len(undeclared) > 0 {
		return nil, fmt.Errorf("failed to create typed patch object (team/a; v1, Kind=ConfigMap): %s: field not declared in schema", undeclared[pick(len(undeclared))])
	}
	wrong := invalid.ErrorList{invalid.Invalid(invalid.NewPath("data", "n"), -1, "is negative"), invalid.Required(invalid.NewPath("data", "m"), "")}
	if w.last {
		wrong[0], wrong[1] = wrong[1], wrong[0]
	}
	return nil, apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "a", wrong)
}

func TestAllThatIsRefusedIsToldInOneOrder(t *testing.T) {
	for data, want := range map[string]string{
		`{n: "-1"}`: `ConfigMap "a" is invalid: [data.m: Required value, data.n: Invalid value: -1: is negative]`,
		`{b: "1", d: "2", ports: [{name: x, typo: 1}, {name: "y.z", protocol: TCP, typo: 1}, {name: q}]}`: `failed to create typed patch object (team/a; v1, Kind=ConfigMap): ` +
			`.data.b, .data.d, .data.ports[name="x",protocol="TCP"].typo, .data.ports[name="y.z",protocol="TCP"].typo: field not declared in schema; ` +
			`without that: ConfigMap "a" is invalid: [data.m: Required value, data.n: Invalid value: -1: is negative]`,
	} {
		for _, last := range []bool{false, true} {
			found := findingsOf(t, inventoryOf(t, map[string]string{"p/app/a.yaml": configMap("a", data)}), &pickyWorld{last: last}, "DRY_RUN_REFUSED")
			if len(found) != 1 {
				t.Fatalf("the findings are %+v", found)
			}
			if d := cmp.Diff("the API server refuses ConfigMap/team/a, tried as flux/flux-team: "+want, found[0].Message); d != "" {
				t.Errorf("last %t: %s", last, d)
			}
		}
	}
}

func TestAFieldThatIsNotFoundEndsTheTries(t *testing.T) {
	p := &prover{world: &fakeWorld{broken: errors.New("not to be asked")}}
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"a": []any{int64(1)}}}}
	for _, path := range []string{".spec.b", ".spec.a.b", ".spec.a[3].b", `.spec.a[name="x"]`, ".spec.a[0].b", "spec", ".[x]"} {
		refused := fmt.Errorf("%s: field not declared in schema", path)
		if got := p.allOf(t.Context(), Account{}, o, refused); got != refused {
			t.Errorf("%s: %v", path, got)
		}
	}
	if len(o.Object["spec"].(map[string]any)) != 1 {
		t.Error("the object was changed")
	}
}

// One cause is one finding: that the kind is not served, the planner says with what
// can be done about it.
func TestThatAKindIsNotServedIsToldOnce(t *testing.T) {
	const id = "team_w_example.com_Widget"
	inv := inventoryOf(t, map[string]string{"p/app/a.yaml": configMap("a", "{}") + "---\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: team}\n"})
	noMatch := &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "example.com", Kind: "Widget"}, SearchedVersions: []string{"v1"}}
	for _, c := range []struct {
		err  error
		why  string
		want []string
	}{
		{noMatch, "the cluster does not serve its kind", []string{"UNKNOWN_KIND"}},
		{fmt.Errorf("try it: %w", noMatch), "the cluster does not serve its kind", []string{"UNKNOWN_KIND"}},
		{errors.New("policy no-widgets said no"), "the dry-run was refused", []string{"DRY_RUN_REFUSED", "UNKNOWN_KIND"}}, // it came to be served meanwhile
	} {
		r := provenOf(t, &fakeWorld{refuse: map[string]error{id: c.err}}, inv)
		var got []string
		for _, f := range r.Plan.Findings {
			if f.Subject == "flux/flux-team "+id {
				got = append(got, f.Code)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" || !r.Plan.Repositories[0].Blocked {
			t.Errorf("%v: it is held back: %t; the findings are other ones: %s", c.err, r.Plan.Repositories[0].Blocked, d)
		}
		for _, o := range r.Plan.Repositories[0].Objects {
			if o.ID == id && (o.Verb != migrate.Conflict || o.Why != c.why) {
				t.Errorf("%v: it is to %s: %s", c.err, o.Verb, o.Why)
			}
		}
	}
}
