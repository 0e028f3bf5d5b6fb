package migrate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// objectsOf reads manifests as objects that fluxd applies.
func objectsOf(t *testing.T, texts ...string) []*Object {
	t.Helper()
	var out []*Object
	for _, text := range texts {
		u := &unstructured.Unstructured{}
		if err := sigsyaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		out = append(out, &Object{ID: ObjectID(u), Class: ClassApplied, Manifest: u, File: "x.yaml", Line: 1})
	}
	return out
}

const (
	someWidget   = `{apiVersion: example.com/v1, kind: Widget, metadata: {name: w, namespace: shop, labels: {tier: web}}}`
	someCRD      = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.example.com}, spec: {group: example.com, names: {kind: Widget, plural: widgets}%s}}`
	someService  = `{apiVersion: v1, kind: Service, metadata: {name: operator, namespace: system}}`
	someHook     = `{apiVersion: admissionregistration.k8s.io/v1, kind: %s, metadata: {name: h}, webhooks: [{name: h.example.com, %s clientConfig: {service: {name: operator, namespace: system}}, rules: [{apiGroups: [%q], apiVersions: ["*"], operations: [CREATE], resources: [%q]}]}]}`
	someGauge    = `{apiVersion: metrics.example.com/v1, kind: Gauge, metadata: {name: g, namespace: shop}}`
	someAPI      = `{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1.metrics.example.com}, spec: {group: metrics.example.com, version: v1, service: {name: operator, namespace: system}}}`
	shopPlain    = `{apiVersion: v1, kind: Namespace, metadata: {name: shop}}`
	shopLabelled = `{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {inject: "on"}}}`
)

func hook(kind, more, group, resource string) string {
	return fmt.Sprintf(someHook, kind, more, group, resource)
}

func TestWhoNeedsWhom(t *testing.T) {
	validating := func(more, group, resource string) string {
		return hook("ValidatingWebhookConfiguration", more, group, resource)
	}
	for name, c := range map[string]struct {
		groups [][]string
		want   []string // "0 needs 1: why", soft ones with "?"
	}{
		"a namespace":                                 {[][]string{{someWidget}, {shopPlain}}, []string{"0 needs 1: it defines Namespace shop"}},
		"its own namespace":                           {[][]string{{someWidget, shopPlain}, {someService}}, nil},
		"a kind":                                      {[][]string{{someWidget}, {fmt.Sprintf(someCRD, "")}}, []string{"0 needs 1: it defines the kind Widget"}},
		"an aggregated API and what serves it":        {[][]string{{someGauge}, {someAPI}, {someService}}, []string{"0 needs 1: it registers the API metrics.example.com/v1", "1 needs 2: it runs Service system/operator, which APIService v1.metrics.example.com calls"}},
		"a webhook and what serves it":                {[][]string{{someWidget}, {validating("", "example.com", "widgets")}, {someService}}, []string{"0 needs 1?: its ValidatingWebhookConfiguration h admits Widget", "1 needs 2: it runs Service system/operator, which ValidatingWebhookConfiguration h calls"}},
		"a mutating webhook for everything":           {[][]string{{someWidget}, {hook("MutatingWebhookConfiguration", "", "*", "*")}}, []string{"0 needs 1?: its MutatingWebhookConfiguration h admits Widget"}},
		"a webhook that lets pass if it is not there": {[][]string{{someWidget}, {validating("failurePolicy: Ignore,", "example.com", "widgets")}}, nil},
		"a webhook for another resource":              {[][]string{{someWidget}, {validating("", "example.com", "gadgets")}}, nil},
		"a webhook for other labels":                  {[][]string{{someWidget}, {validating("objectSelector: {matchLabels: {tier: db}},", "example.com", "widgets")}}, nil},
		"a webhook for these labels":                  {[][]string{{someWidget}, {validating("objectSelector: {matchLabels: {tier: web}},", "example.com", "widgets")}}, []string{"0 needs 1?: its ValidatingWebhookConfiguration h admits Widget"}},
		"a webhook for other namespaces":              {[][]string{{someWidget, shopPlain}, {validating("namespaceSelector: {matchLabels: {inject: \"on\"}},", "example.com", "widgets")}}, nil},
		"a webhook for this namespace":                {[][]string{{someWidget, shopLabelled}, {validating("namespaceSelector: {matchLabels: {inject: \"on\"}},", "example.com", "widgets")}}, []string{"0 needs 1?: its ValidatingWebhookConfiguration h admits Widget"}},
		"a webhook for a namespace by name":           {[][]string{{someWidget, shopPlain}, {validating("namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}},", "example.com", "widgets")}}, []string{"0 needs 1?: its ValidatingWebhookConfiguration h admits Widget"}},
		"a namespace that may have the labels":        {[][]string{{someWidget}, {validating("namespaceSelector: {matchLabels: {inject: \"on\"}},", "example.com", "widgets")}}, []string{"0 needs 1?: its ValidatingWebhookConfiguration h admits Widget"}},
		"a CRD whose versions a service converts":     {[][]string{{fmt.Sprintf(someCRD, ", conversion: {webhook: {clientConfig: {service: {name: operator, namespace: system}}}}")}, {someService}}, []string{"0 needs 1: it runs Service system/operator, which CustomResourceDefinition widgets.example.com calls"}},
	} {
		t.Run(name, func(t *testing.T) {
			var groups [][]*Object
			for _, g := range c.groups {
				groups = append(groups, objectsOf(t, g...))
			}
			var got []string
			for i, edges := range needs(groups) {
				for _, e := range edges {
					mark := ""
					if e.soft {
						mark = "?"
					}
					got = append(got, fmt.Sprintf("%d needs %d%s: %s", i, e.to, mark, strings.Join(e.whys, "; ")))
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestCirclesAreCutAtWebhooksFirst(t *testing.T) {
	hard, soft := func(to int) edge { return edge{to: to, whys: []string{"w"}} }, func(to int) edge { return edge{to: to, whys: []string{"w"}, soft: true} }
	for name, c := range map[string]struct {
		edges  [][]edge
		drop   bool
		order  []int
		left   int
		circle []int
	}{
		"a chain":                              {[][]edge{{hard(1)}, {hard(2)}, nil}, false, []int{2, 1, 0}, 0, nil},
		"level by level":                       {[][]edge{{hard(2)}, nil, nil}, false, []int{1, 2, 0}, 0, nil},
		"a soft edge outside of circles stays": {[][]edge{{soft(1)}, nil}, false, []int{1, 0}, 0, nil},
		"a circle with a soft edge":            {[][]edge{{soft(1)}, {hard(0)}}, false, []int{0, 1}, 1, nil},
		"a circle that stays":                  {[][]edge{{hard(1)}, {hard(0)}, {hard(0)}}, false, nil, 0, []int{0, 1}},
		"a circle that is cut":                 {[][]edge{{hard(1)}, {hard(0)}, {hard(0)}}, true, []int{0, 1, 2}, 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			order, left, circle := inOrder(c.edges, c.drop)
			n := 0
			for _, l := range left {
				n += len(l)
			}
			if !slices.Equal(order, c.order) || n != c.left || !slices.Equal(circle, c.circle) {
				t.Errorf("order %v, %d left out, circle %v; want %v, %d, %v", order, n, circle, c.order, c.left, c.circle)
			}
		})
	}
}

func TestEveryOrderRespectsWhatIsKept(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 3))
		edges := make([][]edge, 2+random.IntN(8))
		for i := range edges {
			for j := range edges {
				if i != j && random.IntN(4) == 0 {
					edges[i] = append(edges[i], edge{to: j, soft: random.IntN(2) == 0})
				}
			}
		}
		order, left, circle := inOrder(edges, true)
		if circle != nil || len(order) != len(edges) {
			t.Fatalf("seed %d: order %v, circle %v", seed, order, circle)
		}
		at := make([]int, len(order))
		for place, i := range order {
			at[i] = place
		}
		for i := range edges {
			for _, e := range edges[i] {
				dropped := slices.ContainsFunc(left[i], func(l edge) bool { return l.to == e.to })
				if !dropped && at[e.to] >= at[i] {
					t.Fatalf("seed %d: %d comes before %d, which it needs", seed, i, e.to)
				}
			}
		}
	}
}

func TestPathsThatNeedEachOtherAreCutAndReported(t *testing.T) {
	a := agentWith("flux/flux-team", []string{"a", "b"})
	add := func(file, text string) {
		o := objectsOf(t, text)[0]
		o.File = file
		a.Objects = append(a.Objects, *o)
		a.Files = append(a.Files, File{Path: file, Kind: FileManifest, Root: file[:1]})
	}
	add("a/x.yaml", `{apiVersion: v1, kind: Namespace, metadata: {name: one}}`)
	add("a/y.yaml", `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: two}}`)
	add("b/x.yaml", `{apiVersion: v1, kind: Namespace, metadata: {name: two}}`)
	add("b/y.yaml", `{apiVersion: v1, kind: ConfigMap, metadata: {name: d, namespace: one}}`)
	p := planOf(a)
	if len(p.Repositories[0].Kustomizations) != 2 || !hasFinding(p, "DEPENDENCY_CIRCLE") || hasFinding(p, "EMPTY_SET") {
		t.Errorf("%d Kustomizations, findings %v", len(p.Repositories[0].Kustomizations), p.Findings)
	}
}
