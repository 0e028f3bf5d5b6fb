package discover

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Groups of the policies of network plugins. Calico serves its own in the second, and
// in the first as well where its API server runs.
const (
	groupCilium    = "cilium.io"
	groupCalico    = "projectcalico.org"
	groupCalicoCRD = "crd.projectcalico.org"
)

// pluginPolicies are the policies of network plugins that may limit what leaves pods,
// by group and kind, with their resources.
var pluginPolicies = map[schema.GroupKind]string{
	{Group: groupCilium, Kind: "CiliumNetworkPolicy"}:            "ciliumnetworkpolicies",
	{Group: groupCilium, Kind: "CiliumClusterwideNetworkPolicy"}: "ciliumclusterwidenetworkpolicies",
	{Group: groupCalico, Kind: "NetworkPolicy"}:                  "networkpolicies",
	{Group: groupCalico, Kind: "GlobalNetworkPolicy"}:            "globalnetworkpolicies",
	{Group: groupCalicoCRD, Kind: "NetworkPolicy"}:               "networkpolicies",
	{Group: groupCalicoCRD, Kind: "GlobalNetworkPolicy"}:         "globalnetworkpolicies",
}

// pluginEgress lists the policies of network plugins of one kind, in a namespace or of
// the whole cluster.
func (w *witness) pluginEgress(ctx context.Context, kind migrate.ServedKind, namespace string) ([]*unstructured.Unstructured, error) {
	resource := schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: pluginPolicies[schema.GroupKind{Group: kind.Group, Kind: kind.Kind}]}
	var out []*unstructured.Unstructured
	err := each(ctx, w, resource.GroupResource().String(), namespace, "whether the agents' ways out are limited", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return w.dyn.Resource(resource).Namespace(namespace).List(ctx, o)
	}, func(u *unstructured.Unstructured) { out = append(out, u) })
	if notFound(err) || isNotListable(err) {
		return nil, nil // there is no such kind any more, or none that is kept
	}
	return out, onlyReal(err)
}

// pluginKinds are the kinds of such policies that the cluster serves, one version of
// each.
func (w *witness) pluginKinds() []migrate.ServedKind {
	if w.dyn == nil {
		return nil
	}
	byKind := map[string]migrate.ServedKind{}
	for _, k := range w.kinds {
		if pluginPolicies[schema.GroupKind{Group: k.Group, Kind: k.Kind}] == "" {
			continue
		}
		// What both of Calico's groups serve is the same.
		name := strings.TrimPrefix(k.Group, "crd.") + "/" + k.Kind
		if had, ok := byKind[name]; !ok || had.Group == groupCalicoCRD && k.Group == groupCalico {
			byKind[name] = k
		}
	}
	var out []migrate.ServedKind
	for _, name := range sortedNames(byKind) {
		out = append(out, byKind[name])
	}
	return out
}

// egressOf says how a policy of a network plugin limits what leaves some pods: with
// how many rules, and sure is false if it is not known whether it is for these. It
// does not if there are none.
func egressOf(policy *unstructured.Unstructured, namespace, account string, pod labels.Set) (rules int, sure bool) {
	ciliums := policy.GroupVersionKind().Group == groupCilium
	specs, _, _ := unstructured.NestedSlice(policy.Object, "specs")
	if spec, ok, _ := unstructured.NestedMap(policy.Object, "spec"); ok {
		specs = append(specs, spec)
	}
	sure = true
	for _, s := range specs {
		spec, _ := s.(map[string]any)
		egress, _ := spec["egress"].([]any)
		var matches, known bool
		if ciliums {
			denied, _ := spec["egressDeny"].([]any)
			if egress = append(slices.Clone(egress), denied...); len(egress) == 0 {
				continue
			}
			matches, known = ofCilium(spec, namespace, account, pod)
		} else {
			types, _, _ := unstructured.NestedStringSlice(spec, "types")
			if !slices.Contains(types, "Egress") && (types != nil || len(egress) == 0) {
				continue
			}
			matches, known = ofCalico(spec, namespace, account, pod)
		}
		if matches {
			rules, sure = rules+max(len(egress), 1), sure && known
		}
	}
	return rules, sure
}

// ofCilium reports whether a rule of Cilium selects a pod: known is false if it
// selects by what is not looked at here.
func ofCilium(spec map[string]any, namespace, account string, pod labels.Set) (matches, known bool) {
	selector, ok := spec["endpointSelector"].(map[string]any)
	if !ok {
		return false, true // of nodes
	}
	all := labels.Set{"io.kubernetes.pod.namespace": namespace, "io.cilium.k8s.policy.serviceaccount": account}
	for k, v := range pod {
		all[k] = v
	}
	known = true
	plain := func(key string) string {
		if source, rest, ok := strings.Cut(key, ":"); ok {
			if source != "k8s" && source != "any" {
				known = false
			}
			key = rest
		}
		if _, has := all[key]; !has && (strings.HasPrefix(key, "io.cilium.") || strings.HasPrefix(key, "io.kubernetes.")) {
			known = false // of the namespace, say
		}
		return key
	}
	var of metav1.LabelSelector
	if runtime.DefaultUnstructuredConverter.FromUnstructured(selector, &of) != nil {
		return true, false
	}
	byLabels := map[string]string{}
	for key, value := range of.MatchLabels {
		byLabels[plain(key)] = value
	}
	of.MatchLabels = byLabels
	for i := range of.MatchExpressions {
		of.MatchExpressions[i].Key = plain(of.MatchExpressions[i].Key)
	}
	s, err := metav1.LabelSelectorAsSelector(&of)
	if err != nil || !known {
		return true, false
	}
	return s.Matches(all), true
}

// calicoEquals and calicoHas are terms of Calico's selectors; see ofCalico.
var (
	calicoEquals = regexp.MustCompile(`^\s*([\w./-]+)\s*==\s*(?:'([^']*)'|"([^"]*)")\s*$`)
	calicoHas    = regexp.MustCompile(`\bhas\(\s*[\w./-]+\s*\)|\ball\(\s*\)`)
)

// ofCalico is ofCilium of a policy of Calico. Of the language of its selectors,
// equality is looked at, and that all terms hold; one that says more may be for any.
func ofCalico(spec map[string]any, namespace, account string, pod labels.Set) (matches, known bool) {
	// Calico gives these to pods itself.
	all := labels.Set{"projectcalico.org/namespace": namespace, "projectcalico.org/serviceaccount": account, "projectcalico.org/orchestrator": "k8s"}
	for k, v := range pod {
		all[k] = v
	}
	matches, known = true, true
	for field, set := range map[string]labels.Set{
		"selector": all, "serviceAccountSelector": {"projectcalico.org/name": account}, "namespaceSelector": {"projectcalico.org/name": namespace},
	} {
		text, _ := spec[field].(string)
		if text = strings.TrimSpace(text); text == "" || text == "all()" {
			continue
		}
		if strings.ContainsAny(calicoHas.ReplaceAllString(text, ""), "|!()") {
			return true, false
		}
		for term := range strings.SplitSeq(text, "&&") {
			m := calicoEquals.FindStringSubmatch(term)
			value, has := "", false
			if m != nil {
				value, has = set[m[1]]
			}
			switch {
			case m == nil, !has && (field != "selector" || ofCalicoItself.MatchString(m[1])):
				known = false
			case !has || value != cmp.Or(m[2], m[3]):
				matches = false
			}
		}
	}
	return matches, known || !matches
}

// ofCalicoItself are the labels that Calico gives to pods, of their namespaces and
// accounts too.
var ofCalicoItself = regexp.MustCompile(`^(?:[\w.-]*projectcalico\.org/|pcns\.|pcsa\.)`)

// pluginEgressOf says which policies of network plugins limit what leaves an agent's
// pods.
func (a *agent) pluginEgressOf(policies []*unstructured.Unstructured) []migrate.Finding {
	var out []migrate.Finding
	for _, p := range policies {
		rules, sure := egressOf(p, a.Namespace, a.ServiceAccount, a.deployment.Spec.Template.Labels)
		if rules == 0 {
			continue
		}
		place := p.GetKind() + "/" + p.GetName()
		if ns := p.GetNamespace(); ns != "" {
			place = p.GetKind() + "/" + ns + "/" + p.GetName()
		}
		says := fmt.Sprintf("%s of %s limits what the agent's pods may reach (%s)", place, p.GroupVersionKind().Group, counted(rules, "rule"))
		if !sure {
			says = fmt.Sprintf("%s of %s may limit what the agent's pods may reach (%s): whether it is for them is not looked at", place, p.GroupVersionKind().Group, counted(rules, "rule"))
		}
		out = append(out, EgressPolicy.Finding(a.ID, place, says))
	}
	return out
}
