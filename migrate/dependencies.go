package migrate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/object"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Dependency says that something has to be there first, and why.
type Dependency struct {
	// Name of an application, or id of a repository.
	Name string `json:"name"`
	// Why is a clause: "it defines Namespace shop".
	Why string `json:"why"`
}

// edge is a need of one group of objects for another.
type edge struct {
	to   int
	whys []string
	// soft edges may be left out where the needs form a circle: a webhook
	// refuses or changes objects, but they can be applied before it is there.
	soft bool
}

// definitions is what a group of objects brings that others may need.
type definitions struct {
	namespaces, kinds, services, apis map[string]int
	webhooks                          []webhook
	// labels of the namespaces, for the selectors of webhooks.
	labels map[string]labels.Set
}

// webhook is one entry of a webhook configuration that refuses what it cannot
// be asked about.
type webhook struct {
	owner                int
	config               string
	rules                []webhookRule
	objects, inNamespace labels.Selector
}

type webhookRule struct{ groups, versions, resources, operations []string }

// needs tells which groups of objects need which others: for the namespaces,
// kinds and APIs that these define, for the services that stand behind
// webhooks and aggregated APIs, and for webhooks without which an object is
// not admitted. fluxd needed no such order: it applied namespaces and CRDs
// first and tried again what failed. Of two that define the same thing the
// first counts: such an object blocks in any case.
func needs(groups [][]*Object) [][]edge {
	d := define(groups)
	out := make([][]edge, len(groups))
	for i, objects := range groups {
		found := map[int]*edge{}
		need := func(to int, ok, soft bool, why string) {
			if !ok || to == i {
				return
			}
			e := found[to]
			if e == nil {
				e = &edge{to: to, soft: true}
				found[to] = e
			}
			e.soft = e.soft && soft
			if !slices.Contains(e.whys, why) {
				e.whys = append(e.whys, why)
			}
		}
		for _, o := range objects {
			if o.Manifest == nil || o.Class == ClassForeign {
				continue
			}
			d.needsOf(o.Manifest, need)
		}
		for _, e := range found {
			slices.Sort(e.whys)
			out[i] = append(out[i], *e)
		}
		slices.SortFunc(out[i], func(a, b edge) int { return a.to - b.to })
	}
	return out
}

// define collects what each group brings.
func define(groups [][]*Object) definitions {
	d := definitions{namespaces: map[string]int{}, kinds: map[string]int{}, services: map[string]int{}, apis: map[string]int{}, labels: map[string]labels.Set{}}
	first := func(m map[string]int, key string, i int) {
		if _, taken := m[key]; !taken {
			m[key] = i
		}
	}
	for i, objects := range groups {
		for _, o := range objects {
			if o.Manifest == nil || !applies(o) {
				continue
			}
			u := o.Manifest
			switch gk := u.GroupVersionKind().GroupKind(); {
			case gk == schema.GroupKind{Kind: "Namespace"}:
				first(d.namespaces, u.GetName(), i)
				d.labels[u.GetName()] = Labels(u)
			case gk == schema.GroupKind{Kind: "Service"}:
				first(d.services, u.GetNamespace()+"/"+u.GetName(), i)
			case gk == schema.GroupKind{Group: "apiregistration.k8s.io", Kind: "APIService"}:
				group, _, _ := unstructured.NestedString(u.Object, "spec", "group")
				version, _, _ := unstructured.NestedString(u.Object, "spec", "version")
				first(d.apis, group+"/"+version, i)
			case gk.Group == "admissionregistration.k8s.io" && strings.HasSuffix(gk.Kind, "WebhookConfiguration"):
				d.webhooks = append(d.webhooks, webhooksOf(u, i)...)
			case object.IsCRD(u):
				if defined, ok := object.GetCRDGroupKind(u); ok {
					first(d.kinds, defined.String(), i)
				}
			}
		}
	}
	return d
}

func (d *definitions) needsOf(u *unstructured.Unstructured, need func(to int, ok, soft bool, why string)) {
	gvk := u.GroupVersionKind()
	if ns := u.GetNamespace(); ns != "" {
		to, ok := d.namespaces[ns]
		need(to, ok, false, "it defines Namespace "+ns)
	}
	to, ok := d.kinds[gvk.GroupKind().String()]
	need(to, ok, false, "it defines the kind "+gvk.Kind)
	to, ok = d.apis[gvk.Group+"/"+gvk.Version]
	need(to, ok, false, "it registers the API "+gvk.Group+"/"+gvk.Version)
	for _, service := range servicesBehind(u) {
		to, ok = d.services[service]
		need(to, ok, false, fmt.Sprintf("it runs Service %s, which %s %s calls", service, gvk.Kind, u.GetName()))
	}
	for _, w := range d.webhooks {
		if w.matches(u, d.labels) {
			need(w.owner, true, true, fmt.Sprintf("its %s admits %s", w.config, gvk.Kind))
		}
	}
}

// servicesBehind names the services, "namespace/name", that the API server
// calls because of an object.
func servicesBehind(u *unstructured.Unstructured) []string {
	var out []string
	note := func(fields map[string]any, path ...string) {
		namespace, _, _ := unstructured.NestedString(fields, append(path, "namespace")...)
		name, _, _ := unstructured.NestedString(fields, append(path, "name")...)
		if s := namespace + "/" + name; name != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	switch group := u.GroupVersionKind().Group; {
	case group == "apiregistration.k8s.io":
		note(u.Object, "spec", "service")
	case group == "admissionregistration.k8s.io":
		for _, entry := range webhookEntries(u) {
			note(entry, "clientConfig", "service")
		}
	case object.IsCRD(u):
		note(u.Object, "spec", "conversion", "webhook", "clientConfig", "service")
		note(u.Object, "spec", "conversion", "webhookClientConfig", "service") // v1beta1
	}
	return out
}

func webhookEntries(u *unstructured.Unstructured) []map[string]any {
	list, _, _ := unstructured.NestedSlice(u.Object, "webhooks")
	var out []map[string]any
	for _, entry := range list {
		if m, ok := entry.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// webhooksOf reads the entries that refuse what they cannot be asked about
// (failurePolicy Fail, the default of v1; v1beta1 has Ignore).
func webhooksOf(u *unstructured.Unstructured, owner int) []webhook {
	var out []webhook
	for _, entry := range webhookEntries(u) {
		policy, _, _ := unstructured.NestedString(entry, "failurePolicy")
		if policy == "" && u.GroupVersionKind().Version == "v1beta1" {
			policy = "Ignore"
		}
		if policy == "Ignore" {
			continue
		}
		w := webhook{owner: owner, config: u.GetKind() + " " + u.GetName(), objects: selector(entry, "objectSelector"), inNamespace: selector(entry, "namespaceSelector")}
		rules, _, _ := unstructured.NestedSlice(entry, "rules")
		for _, r := range rules {
			fields, _ := r.(map[string]any)
			list := func(name string) []string {
				l, _, _ := unstructured.NestedStringSlice(fields, name)
				return l
			}
			w.rules = append(w.rules, webhookRule{list("apiGroups"), list("apiVersions"), list("resources"), list("operations")})
		}
		out = append(out, w)
	}
	return out
}

// selector reads a label selector; one that cannot be read selects everything,
// as an absent one does.
func selector(entry map[string]any, field string) labels.Selector {
	m, _, _ := unstructured.NestedMap(entry, field)
	var s metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &s); err != nil {
		return labels.Everything()
	}
	out, err := metav1.LabelSelectorAsSelector(&s)
	if err != nil || m == nil {
		return labels.Everything()
	}
	return out
}

// matches reports whether an object cannot be made without asking the webhook,
// as far as it can be told: the labels of a namespace that is not in Git are
// not known and count as selected. Resources are guessed from kinds, as the
// fields of a webhook name them.
func (w webhook) matches(u *unstructured.Unstructured, namespaces map[string]labels.Set) bool {
	gvk := u.GroupVersionKind()
	// Webhook configurations are admitted by none of them (Kubernetes:
	// apiserver, plugin/webhook/rules).
	if gvk.Group == "admissionregistration.k8s.io" || !w.objects.Matches(labels.Set(Labels(u))) {
		return false
	}
	name := u.GetNamespace()
	if gvk.Group == "" && gvk.Kind == "Namespace" {
		name = u.GetName()
	}
	if set, known := namespaces[name]; known {
		whole := labels.Merge(set, labels.Set{"kubernetes.io/metadata.name": name})
		if !w.inNamespace.Matches(whole) {
			return false
		}
	}
	resource := guessResource(gvk)
	has := func(list []string, value string) bool {
		return slices.Contains(list, value) || slices.Contains(list, "*")
	}
	return slices.ContainsFunc(w.rules, func(r webhookRule) bool {
		return has(r.groups, gvk.Group) && has(r.versions, gvk.Version) &&
			(has(r.resources, resource) || slices.Contains(r.resources, "*/*")) && (has(r.operations, "CREATE") || has(r.operations, "UPDATE"))
	})
}

// inOrder gives the groups in an order that respects the edges, those that are
// ready at the same time in their own order, level by level. Where edges form a
// circle, the soft ones in it are left out, and then, if drop is set, all of
// it: what was left out is returned, by group. Without drop, circle names the
// groups of a circle that remains, and there is no order.
func inOrder(edges [][]edge, drop bool) (order []int, left [][]edge, circle []int) {
	kept := make([][]edge, len(edges))
	for i := range edges {
		kept[i] = slices.Clone(edges[i])
	}
	left = make([][]edge, len(edges))
	remove := func(hardToo bool) {
		component := components(kept)
		for i := range kept {
			kept[i] = slices.DeleteFunc(kept[i], func(e edge) bool {
				inCircle := component[i] == component[e.to] && (e.soft || hardToo)
				if inCircle {
					left[i] = append(left[i], e)
				}
				return inCircle
			})
		}
	}
	remove(false)
	if drop {
		remove(true)
	}
	placed := make([]bool, len(edges))
	for len(order) < len(edges) {
		var level []int
		for i := range kept {
			if !placed[i] && !slices.ContainsFunc(kept[i], func(e edge) bool { return !placed[e.to] }) {
				level = append(level, i)
			}
		}
		if len(level) == 0 {
			component := components(kept)
			for i := range kept {
				if slices.ContainsFunc(kept[i], func(e edge) bool { return component[e.to] == component[i] }) {
					circle = append(circle, i)
				}
			}
			return nil, left, circle
		}
		for _, i := range level {
			placed[i] = true
		}
		order = append(order, level...)
	}
	return order, left, nil
}

// components numbers the groups so that two have one number if each can be
// reached from the other (Tarjan's algorithm).
func components(edges [][]edge) []int {
	n := len(edges)
	index, low, number := make([]int, n), make([]int, n), make([]int, n)
	onStack := make([]bool, n)
	var stack []int
	next, count := 1, 0
	var visit func(v int)
	visit = func(v int) {
		index[v], low[v] = next, next
		next++
		stack, onStack[v] = append(stack, v), true
		for _, e := range edges[v] {
			if index[e.to] == 0 {
				visit(e.to)
				low[v] = min(low[v], low[e.to])
			} else if onStack[e.to] {
				low[v] = min(low[v], index[e.to])
			}
		}
		if low[v] != index[v] {
			return
		}
		for {
			w := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			onStack[w], number[w] = false, count
			if w == v {
				break
			}
		}
		count++
	}
	for v := range n {
		if index[v] == 0 {
			visit(v)
		}
	}
	return number
}

// guessResource gives the resource of a kind, as it is nearly always named.
func guessResource(gvk schema.GroupVersionKind) string {
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	return plural.Resource
}

// applies reports whether fluxd applies the object.
func applies(o *Object) bool { return o.Class == ClassApplied || o.Class == ClassSyncOnly }
