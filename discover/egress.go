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
	groupAdmin     = "policy.networking.k8s.io"
	groupOVN       = "k8s.ovn.org"
	groupOpenShift = "network.openshift.io"
	groupAntrea    = "crd.antrea.io"
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
	{Group: groupAdmin, Kind: "AdminNetworkPolicy"}:              "adminnetworkpolicies",
	{Group: groupAdmin, Kind: "BaselineAdminNetworkPolicy"}:      "baselineadminnetworkpolicies",
	{Group: groupAdmin, Kind: "ClusterNetworkPolicy"}:            "clusternetworkpolicies", // what takes the place of both
	{Group: groupOVN, Kind: "EgressFirewall"}:                    "egressfirewalls",
	{Group: groupOpenShift, Kind: "EgressNetworkPolicy"}:         "egressnetworkpolicies",
	{Group: groupAntrea, Kind: "NetworkPolicy"}:                  "networkpolicies",
	{Group: groupAntrea, Kind: "ClusterNetworkPolicy"}:           "clusternetworkpolicies",
}

// egressPolicy is what counts of a policy of a network plugin that limits what leaves
// some pods; its namespace is empty if it is of the whole cluster.
type egressPolicy struct {
	group, kind, namespace, name string
	specs                        []egressSpec
}

// egressSpec is one of the things that such a policy says: with how many rules, and
// what selects the pods.
type egressSpec struct {
	rules int
	// pods are those that a policy of Cilium is for; nil if it cannot be read.
	pods *metav1.LabelSelector
	// selectors are those of a policy of Calico, by field.
	selectors map[string]string
	// targets are what any other is for.
	targets []egressTarget
}

// pluginEgress lists the policies of network plugins of one kind that limit what
// leaves pods and may be for pods of some namespaces: those of all namespaces at once
// where it may.
func (w *witness) pluginEgress(ctx context.Context, kind migrate.ServedKind, namespaces []string) ([]*egressPolicy, error) {
	gvr := schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: pluginPolicies[schema.GroupKind{Group: kind.Group, Kind: kind.Kind}]}
	resource := gvr.GroupResource().String()
	in := func(namespace string) (out []*egressPolicy, err error) {
		err = listPatiently(ctx, w, resource, metav1.ListOptions{}, func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return w.dyn.Resource(gvr).Namespace(namespace).List(ctx, o)
		}, func(u *unstructured.Unstructured) {
			if p := reducedPolicy(u); p != nil && (p.namespace == "" || slices.Contains(namespaces, p.namespace)) {
				out = append(out, p)
			}
		})
		if notFound(err) || isNotListable(err) {
			return nil, nil // there is no such kind any more, or none that is kept
		}
		if isDown(ctx, err) {
			return nil, w.failing(ctx, gvr, kind.Kind, unknownWays, err)
		}
		return out, err
	}
	if !kind.Namespaced || len(w.opts.Namespaces) == 0 {
		out, err := in("")
		if !isForbidden(err) {
			return out, err
		}
		if !kind.Namespaced {
			w.forbidden("list", resource, "", "", unknownWays)
			return nil, nil
		}
	}
	var all []*egressPolicy
	var refused []string
	for _, namespace := range namespaces {
		out, err := in(namespace)
		switch {
		case isForbidden(err):
			refused = append(refused, namespace)
		case err != nil:
			return nil, err
		default:
			all = append(all, out...)
		}
	}
	for _, ns := range refused {
		w.forbidden("list", resource, ns, "", unknownWays)
	}
	return all, nil
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

// reducedPolicy is what counts of a policy of a network plugin; nil if it limits
// nothing that leaves pods.
func reducedPolicy(policy *unstructured.Unstructured) *egressPolicy {
	out := &egressPolicy{group: policy.GroupVersionKind().Group, kind: policy.GetKind(), namespace: policy.GetNamespace(), name: policy.GetName()}
	specs, _ := policy.Object["specs"].([]any)
	for _, s := range append(slices.Clone(specs), policy.Object["spec"]) {
		spec, _ := s.(map[string]any)
		egress, _ := spec["egress"].([]any)
		if out.group == groupCilium {
			denied, _ := spec["egressDeny"].([]any)
			selector, ofPods := spec["endpointSelector"].(map[string]any)
			if !ofPods || len(egress)+len(denied) == 0 { // else it is of nodes
				continue
			}
			reduced := egressSpec{rules: len(egress) + len(denied)}
			var pods metav1.LabelSelector
			if runtime.DefaultUnstructuredConverter.FromUnstructured(selector, &pods) == nil {
				reduced.pods = &pods
			}
			out.specs = append(out.specs, reduced)
			continue
		}
		if out.group != groupCalico && out.group != groupCalicoCRD {
			out.specs = append(out.specs, deniedEgress(out.group, spec, egress)...)
			continue
		}
		types, _, _ := unstructured.NestedStringSlice(spec, "types")
		if !slices.Contains(types, "Egress") && (types != nil || len(egress) == 0) {
			continue
		}
		reduced := egressSpec{rules: max(len(egress), 1), selectors: map[string]string{}}
		for _, field := range []string{"selector", "serviceAccountSelector", "namespaceSelector"} {
			text, _ := spec[field].(string)
			if text = strings.TrimSpace(text); text != "" && text != "all()" {
				reduced.selectors[field] = text
			}
		}
		out.specs = append(out.specs, reduced)
	}
	if len(out.specs) == 0 {
		return nil
	}
	return out
}

// limits says how a policy limits what leaves some pods: with how many rules, and
// sure is false if it is not known whether it is for these. It does not if there are
// none.
func (p *egressPolicy) limits(namespace, account string, pod labels.Set) (rules int, sure bool) {
	sure = true
	for _, s := range p.specs {
		matches, known := true, false
		switch {
		case s.pods != nil:
			matches, known = ofCilium(s.pods, namespace, account, pod)
		case s.selectors != nil:
			matches, known = ofCalico(s.selectors, namespace, account, pod)
		case p.group != groupCilium:
			matches, known = ofTargets(s.targets, namespace, account, pod)
		}
		if matches {
			rules, sure = rules+s.rules, sure && known
		}
	}
	return rules, sure
}

// ofCilium reports whether a rule of Cilium selects a pod: known is false if it
// selects by what is not looked at here.
func ofCilium(selector *metav1.LabelSelector, namespace, account string, pod labels.Set) (matches, known bool) {
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
	of := metav1.LabelSelector{MatchLabels: map[string]string{}, MatchExpressions: slices.Clone(selector.MatchExpressions)}
	for key, value := range selector.MatchLabels {
		of.MatchLabels[plain(key)] = value
	}
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
func ofCalico(selectors map[string]string, namespace, account string, pod labels.Set) (matches, known bool) {
	// Calico gives these to pods itself.
	all := labels.Set{"projectcalico.org/namespace": namespace, "projectcalico.org/serviceaccount": account, "projectcalico.org/orchestrator": "k8s"}
	for k, v := range pod {
		all[k] = v
	}
	matches, known = true, true
	for field, set := range map[string]labels.Set{
		"selector": all, "serviceAccountSelector": {"projectcalico.org/name": account}, "namespaceSelector": {"projectcalico.org/name": namespace},
	} {
		text := selectors[field]
		if text == "" {
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
func (a *agent) pluginEgressOf(policies []*egressPolicy) []migrate.Finding {
	var out []migrate.Finding
	for _, p := range policies {
		rules, sure := p.limits(a.Namespace, a.ServiceAccount, a.deployment.Spec.Template.Labels)
		if rules == 0 {
			continue
		}
		place := p.kind + "/" + p.name
		if p.namespace != "" {
			place = p.kind + "/" + p.namespace + "/" + p.name
		}
		says := fmt.Sprintf("%s of %s limits what the agent's pods may reach (%s)", place, p.group, counted(rules, "rule"))
		if !sure {
			says = fmt.Sprintf("%s of %s may limit what the agent's pods may reach (%s): whether it is for them is not looked at", place, p.group, counted(rules, "rule"))
		}
		if p.namespace == "" {
			says += "; as one of the whole cluster, it may be for those of the new agent, too"
		}
		out = append(out, EgressPolicy.Finding(a.ID, place, says))
	}
	return out
}
