package discover

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// egressTarget selects pods: those that all of it says. One that says nothing selects
// every pod.
type egressTarget struct {
	namespaces, pods *metav1.LabelSelector
	// namespace is the only one of which it selects pods, and account their only
	// account; empty for any.
	namespace, account string
	// unclear is true if it selects by what is not looked at here.
	unclear bool
}

// denials are the actions and types of rules that let something not pass.
var denials = []any{"Deny", "Drop", "Reject"}

// deniedEgress is what limits what leaves pods in a specification whose rules let pass
// what none of them denies: nothing, if none does.
func deniedEgress(group string, spec map[string]any, egress []any) []egressSpec {
	rule := func(v any) map[string]any { m, _ := v.(map[string]any); return m }
	if !slices.ContainsFunc(egress, func(r any) bool {
		return slices.Contains(denials, rule(r)["action"]) || slices.Contains(denials, rule(r)["type"])
	}) {
		return nil
	}
	switch group {
	case groupAdmin:
		subject, _ := spec["subject"].(map[string]any)
		return []egressSpec{{rules: len(egress), targets: []egressTarget{ofSubject(subject)}}}
	case groupAntrea:
		if to, _ := spec["appliedTo"].([]any); len(to) > 0 {
			return []egressSpec{{rules: len(egress), targets: appliedTo(to)}}
		}
		var out []egressSpec
		for _, r := range egress { // each says for itself what it is for
			to, _ := rule(r)["appliedTo"].([]any)
			out = append(out, egressSpec{rules: 1, targets: appliedTo(to)})
		}
		return out
	}
	return []egressSpec{{rules: len(egress), targets: []egressTarget{{}}}} // for all pods of its namespace
}

// selector reads a selector; nil if there is none, and unclear if it cannot be read.
func (t *egressTarget) selector(v any) *metav1.LabelSelector {
	written, ok := v.(map[string]any)
	if !ok {
		t.unclear = t.unclear || v != nil
		return nil
	}
	var out metav1.LabelSelector
	if runtime.DefaultUnstructuredConverter.FromUnstructured(written, &out) != nil {
		t.unclear = true
		return nil
	}
	return &out
}

// ofSubject reads the subject of an AdminNetworkPolicy and its like: some namespaces, or
// some pods of some.
func ofSubject(subject map[string]any) (t egressTarget) {
	if pods, ok := subject["pods"].(map[string]any); ok {
		t.namespaces, t.pods = t.selector(pods["namespaceSelector"]), t.selector(pods["podSelector"])
		return t
	}
	t.namespaces = t.selector(subject["namespaces"])
	t.unclear = t.unclear || t.namespaces == nil
	return t
}

// appliedTo reads what a policy of Antrea, or a rule of one, is for.
func appliedTo(to []any) (out []egressTarget) {
	for _, v := range to {
		var t egressTarget
		given, _ := v.(map[string]any)
		for field, x := range given {
			switch field {
			case "podSelector":
				t.pods = t.selector(x)
			case "namespaceSelector":
				t.namespaces = t.selector(x)
			case "serviceAccount":
				account, _ := x.(map[string]any)
				t.namespace, _ = account["namespace"].(string)
				t.account, _ = account["name"].(string)
			default: // groups, external entities, nodes
				t.unclear = true
			}
		}
		out = append(out, t)
	}
	return out
}

// ofTargets reports whether one of several targets selects a pod: known is false if
// that hangs on what is not looked at here, such as most labels of namespaces.
func ofTargets(targets []egressTarget, namespace, account string, pod labels.Set) (matches, known bool) {
	known = true
	for _, t := range targets {
		does, sure := true, !t.unclear
		if t.namespace != "" && t.namespace != namespace || t.account != "" && t.account != account {
			does = false
		}
		for _, s := range []struct {
			selector *metav1.LabelSelector
			set      labels.Set
			whole    bool // no other label is there
		}{{t.namespaces, labels.Set{corev1.LabelMetadataName: namespace}, false}, {t.pods, pod, true}} {
			if s.selector == nil {
				continue
			}
			selector, err := metav1.LabelSelectorAsSelector(s.selector)
			if err != nil {
				sure = false
				continue
			}
			requirements, some := selector.Requirements()
			does = does && some
			for _, r := range requirements {
				switch {
				case s.whole || s.set.Has(r.Key()):
					does = does && r.Matches(s.set)
				default:
					sure = false
				}
			}
		}
		switch {
		case does && sure:
			return true, true
		case does:
			matches, known = true, false
		}
	}
	return matches, known
}
