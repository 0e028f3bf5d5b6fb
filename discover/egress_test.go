package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	fakediscovery "k8s.io/client-go/discovery/fake"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	k8stesting "k8s.io/client-go/testing"
	sigsyaml "sigs.k8s.io/yaml"
)

func pluginPolicy(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := sigsyaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

// What leaves pods is limited by policies of network plugins, too; one of which it is
// not known whom it is for is no policy for nobody.
func TestPoliciesOfNetworkPluginsLimitWhatTheyAreFor(t *testing.T) {
	cilium := func(spec string) string { return "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n" + spec }
	calico := func(spec string) string {
		return "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nspec: " + spec
	}
	admin := func(kind, subject, egress string) string {
		return "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: " + kind + "\nspec: {subject: " + subject + ", egress: " + egress + "}"
	}
	antrea := func(spec string) string {
		return "apiVersion: crd.antrea.io/v1beta1\nkind: ClusterNetworkPolicy\nspec: " + spec
	}
	const deny, allow = "{action: Deny, to: []}", "{action: Allow, to: []}"
	for text, c := range map[string]struct {
		rules int
		sure  bool
	}{
		admin("AdminNetworkPolicy", "{namespaces: {}}", "["+allow+", "+deny+"]"):                                                                    {2, true},
		admin("AdminNetworkPolicy", "{namespaces: {}}", "["+allow+"]"):                                                                              {0, true},
		admin("AdminNetworkPolicy", "{namespaces: {matchLabels: {kubernetes.io/metadata.name: team}}}", "["+deny+"]"):                               {1, true},
		admin("AdminNetworkPolicy", "{namespaces: {matchLabels: {kubernetes.io/metadata.name: other}}}", "["+deny+"]"):                              {0, true},
		admin("AdminNetworkPolicy", "{namespaces: {matchLabels: {tier: a}}}", "["+deny+"]"):                                                         {1, false},
		admin("AdminNetworkPolicy", "{namespaces: {matchLabels: {tier: a, kubernetes.io/metadata.name: other}}}", "["+deny+"]"):                     {0, true},
		admin("BaselineAdminNetworkPolicy", "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: flux}}}}", "["+deny+"]"):               {1, true},
		admin("BaselineAdminNetworkPolicy", "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}", "["+deny+"]"):                {0, true},
		admin("ClusterNetworkPolicy", "{pods: {namespaceSelector: {matchLabels: {a: b}}, podSelector: {}}}", "["+deny+"]"):                          {1, false},
		admin("AdminNetworkPolicy", "{somethingNew: {}}", "["+deny+"]"):                                                                             {1, false},
		admin("AdminNetworkPolicy", "{namespaces: all}", "["+deny+"]"):                                                                              {1, false},
		admin("AdminNetworkPolicy", "{namespaces: {matchExpressions: [{key: a, operator: Like}]}}", "["+deny+"]"):                                   {1, false},
		"apiVersion: k8s.ovn.org/v1\nkind: EgressFirewall\nspec: {egress: [{type: Allow, to: {}}, {type: Deny, to: {}}]}":                           {2, true},
		"apiVersion: k8s.ovn.org/v1\nkind: EgressFirewall\nspec: {egress: [{type: Allow, to: {}}]}":                                                 {0, true},
		"apiVersion: network.openshift.io/v1\nkind: EgressNetworkPolicy\nspec: {egress: [{type: Deny, to: {}}]}":                                    {1, true},
		antrea("{appliedTo: [{podSelector: {matchLabels: {app: flux}}}], egress: [{action: Drop}, {action: Allow}]}"):                               {2, true},
		antrea("{appliedTo: [{podSelector: {matchLabels: {app: web}}}], egress: [{action: Drop}]}"):                                                 {0, true},
		antrea("{appliedTo: [{podSelector: {matchLabels: {app: web}}}, {namespaceSelector: {}}], egress: [{action: Reject}]}"):                      {1, true},
		antrea("{appliedTo: [{group: some}], egress: [{action: Reject}]}"):                                                                          {1, false},
		antrea("{appliedTo: [{serviceAccount: {name: flux, namespace: team}}], egress: [{action: Drop}]}"):                                          {1, true},
		antrea("{appliedTo: [{serviceAccount: {name: flux, namespace: other}}], egress: [{action: Drop}]}"):                                         {0, true},
		antrea("{appliedTo: [{serviceAccount: {name: web, namespace: team}}], egress: [{action: Drop}]}"):                                           {0, true},
		antrea("{egress: [{action: Drop, appliedTo: [{podSelector: {}}]}, {action: Drop, appliedTo: [{podSelector: {matchLabels: {app: web}}}]}]}"): {1, true},
		antrea("{appliedTo: [{podSelector: {}}], ingress: [{action: Drop}]}"):                                                                       {0, true},
		cilium("spec: {endpointSelector: {}, egress: [{toPorts: []}, {}]}"):                                                                         {2, true},
		cilium("spec: {endpointSelector: {matchLabels: {app: flux}}, egressDeny: [{}]}"):                                                            {1, true},
		cilium("spec: {endpointSelector: {matchLabels: {'k8s:app': flux, 'any:tier': git}}, egress: [{}]}"):                                         {1, true},
		cilium("spec: {endpointSelector: {matchLabels: {app: web}}, egress: [{}]}"):                                                                 {0, true},
		cilium("spec: {endpointSelector: {matchExpressions: [{key: 'k8s:app', operator: NotIn, values: [flux]}]}, egress: [{}]}"):                   {0, true},
		cilium("spec: {endpointSelector: {}, ingress: [{}]}"):                                                                                       {0, true},
		cilium("spec: {nodeSelector: {}, egress: [{}]}"):                                                                                            {0, true},
		cilium("specs: [{endpointSelector: {matchLabels: {app: web}}, egress: [{}]}, {endpointSelector: {}, egress: [{}]}]"):                        {1, true},
		cilium("spec: {endpointSelector: {matchLabels: {'k8s:io.kubernetes.pod.namespace': team}}, egress: [{}]}"):                                  {1, true},
		cilium("spec: {endpointSelector: {matchLabels: {'k8s:io.kubernetes.pod.namespace': other}}, egress: [{}]}"):                                 {0, true},
		cilium("spec: {endpointSelector: {matchLabels: {io.cilium.k8s.policy.serviceaccount: flux}}, egress: [{}]}"):                                {1, true},
		cilium("spec: {endpointSelector: {matchLabels: {'k8s:io.cilium.k8s.namespace.labels.team': a}}, egress: [{}]}"):                             {1, false},
		cilium("spec: {endpointSelector: {matchLabels: {'reserved:host': ''}}, egress: [{}]}"):                                                      {1, false},
		calico("{types: [Egress], egress: [{action: Allow}]}"):                                                                                      {1, true},
		calico("{types: [Egress], selector: all()}"):                                                                                                {1, true},
		calico("{egress: [{action: Deny}, {action: Allow}]}"):                                                                                       {2, true},
		calico("{types: [Ingress], egress: [{}]}"):                                                                                                  {0, true},
		calico("{ingress: [{}]}"): {0, true},
		calico("{types: [Egress], selector: \"app == 'flux' && tier == 'git'\"}"):                              {1, true},
		calico("{types: [Egress], selector: \"app == 'web'\"}"):                                                {0, true},
		calico("{types: [Egress], selector: \"app == 'web' && has(tier)\"}"):                                   {0, true},
		calico("{types: [Egress], selector: \"has(app)\"}"):                                                    {1, false},
		calico("{types: [Egress], selector: \"app == 'web' || tier == 'git'\"}"):                               {1, false},
		calico("{types: [Egress], selector: \"app == 'web' && tier == 'x' || has(app)\"}"):                     {1, false},
		calico("{types: [Egress], selector: \"!(has(a) && role == 'web' && has(b))\"}"):                        {1, false},
		calico("{types: [Egress], selector: \"tier == 'svn' || app == 'flux' && team == 'b'\"}"):               {1, false},
		calico("{types: [Egress], selector: \"role == 'web' && app != 'web'\"}"):                               {1, false},
		calico("{types: [Egress], selector: \"role == 'web' && app in {'a', 'flux'}\"}"):                       {0, true},
		calico("{types: [Egress], selector: \"projectcalico.org/namespace == 'team'\"}"):                       {1, true},
		calico("{types: [Egress], selector: \"projectcalico.org/namespace == 'other'\"}"):                      {0, true},
		calico("{types: [Egress], selector: \"projectcalico.org/orchestrator == 'k8s'\"}"):                     {1, true},
		calico("{types: [Egress], selector: \"projectcalico.org/serviceaccount == 'flux' && app == 'flux'\"}"): {1, true},
		calico("{types: [Egress], selector: \"projectcalico.org/serviceaccount == 'web'\"}"):                   {0, true},
		calico("{types: [Egress], selector: \"projectcalico.org/other == 'x'\"}"):                              {1, false},
		calico("{types: [Egress], selector: \"pcns.team == 'a' && app == 'flux'\"}"):                           {1, false},
		calico("{types: [Egress], selector: \"pcsa.team == 'a'\"}"):                                            {1, false},
		calico("{types: [Egress], namespaceSelector: \"projectcalico.org/name == 'team'\"}"):                   {1, true},
		calico("{types: [Egress], namespaceSelector: \"projectcalico.org/name == 'other'\"}"):                  {0, true},
		calico("{types: [Egress], namespaceSelector: \"team == 'a'\"}"):                                        {1, false},
		calico("{types: [Egress], serviceAccountSelector: \"projectcalico.org/name == 'flux'\"}"):              {1, true},
		calico("{types: [Egress], serviceAccountSelector: \"projectcalico.org/name == 'web'\"}"):               {0, true},
		calico("{types: [Egress], serviceAccountSelector: \"team == 'a'\"}"):                                   {1, false},
	} {
		rules, sure := 0, true
		if p := reducedPolicy(pluginPolicy(t, text)); p != nil {
			rules, sure = p.limits("team", "flux", labels.Set{"app": "flux", "tier": "git"})
		}
		if rules != c.rules || sure != c.sure {
			t.Errorf("%s: %d rules, sure: %t, want %d, %t", text, rules, sure, c.rules, c.sure)
		}
	}
}

// Both of Calico's groups serve the same policies.
func TestOneGroupOfAPolicyIsEnough(t *testing.T) {
	w := &witness{dyn: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()), kinds: []migrate.ServedKind{
		{Group: "crd.projectcalico.org", Version: "v1", Kind: "NetworkPolicy", Namespaced: true}, {Group: "projectcalico.org", Version: "v3", Kind: "NetworkPolicy", Namespaced: true},
		{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy", Namespaced: true}, {Group: "crd.projectcalico.org", Version: "v1", Kind: "GlobalNetworkPolicy"},
	}}
	var got []string
	for _, k := range w.pluginKinds() {
		got = append(got, k.Group+" "+k.Kind)
	}
	equal(t, "kinds", got, []string{"crd.projectcalico.org GlobalNetworkPolicy", "projectcalico.org NetworkPolicy"})
}

// serve has a cluster serve kinds of policies, and those of some objects, with these.
func (f *fixture) serve(kinds []schema.GroupVersionKind, policies ...runtime.Object) *dynamicfake.FakeDynamicClient {
	disco := f.witness.disco.(*fakediscovery.FakeDiscovery)
	disco.Resources = slices.Clone(disco.Resources)
	lists := map[schema.GroupVersionResource]string{}
	for _, p := range policies {
		kinds = append(kinds, p.GetObjectKind().GroupVersionKind())
	}
	for _, kind := range kinds {
		resource := pluginPolicies[kind.GroupKind()]
		gvr := kind.GroupVersion().WithResource(resource)
		if lists[gvr] == "" {
			lists[gvr] = kind.Kind + "List"
			disco.Resources = append(disco.Resources, &metav1.APIResourceList{GroupVersion: kind.GroupVersion().String(), APIResources: []metav1.APIResource{
				{Name: resource, Kind: kind.Kind, Namespaced: !slices.Contains(clusterScoped, resource+"."+kind.Group)}}})
		}
	}
	dyn := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, policies...)
	f.witness.dyn = dyn
	return dyn
}

// withCilium opens a cluster that serves the policies of Cilium, with some.
func withCilium(t *testing.T, policies ...runtime.Object) (*fixture, *dynamicfake.FakeDynamicClient) {
	t.Helper()
	f := open(t, "testdata/cluster/one-agent")
	v2 := schema.GroupVersion{Group: groupCilium, Version: "v2"}
	return f, f.serve([]schema.GroupVersionKind{v2.WithKind("CiliumNetworkPolicy"), v2.WithKind("CiliumClusterwideNetworkPolicy")}, policies...)
}

// What OpenShift, Antrea and the administrators of a cluster limit is found by the kinds
// that it serves, and nothing is asked for that it does not.
func TestFurtherPoliciesOfWaysOutAreFoundWhereTheyAreServed(t *testing.T) {
	namespace := "flux"
	f := open(t, "testdata/cluster/one-agent")
	var objects []runtime.Object
	for kind, resource := range pluginPolicies {
		if slices.Contains([]string{groupCilium, groupCalico, groupCalicoCRD}, kind.Group) {
			continue // not served
		}
		u := pluginPolicy(t, "spec: {subject: {namespaces: {}}, appliedTo: [{podSelector: {}}], egress: [{action: Deny, type: Deny}]}\nmetadata: {name: own}")
		u.SetGroupVersionKind(kind.WithVersion("v1"))
		if !slices.Contains(clusterScoped, resource+"."+kind.Group) {
			u.SetNamespace(namespace)
		}
		objects = append(objects, u)
	}
	dyn := f.serve(nil, objects...)
	inv, err := f.witness.inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, found := range inv.Findings {
		if found.Code == EgressPolicy.Name {
			got = append(got, found.Message)
		}
	}
	slices.Sort(got)
	const limits, too = " limits what the agent's pods may reach (1 rule)", "; as one of the whole cluster, it may be for those of the new agent, too"
	equal(t, "policies", strings.Join(got, "\n"), strings.Join([]string{
		"AdminNetworkPolicy/own of policy.networking.k8s.io" + limits + too, "BaselineAdminNetworkPolicy/own of policy.networking.k8s.io" + limits + too,
		"ClusterNetworkPolicy/own of crd.antrea.io" + limits + too, "ClusterNetworkPolicy/own of policy.networking.k8s.io" + limits + too,
		"EgressFirewall/flux/own of k8s.ovn.org" + limits, "EgressNetworkPolicy/flux/own of network.openshift.io" + limits, "NetworkPolicy/flux/own of crd.antrea.io" + limits,
	}, "\n"))
	for _, action := range dyn.Actions() {
		if slices.Contains([]string{groupCilium, groupCalico, groupCalicoCRD}, action.GetResource().Group) {
			t.Errorf("%s is asked for, and not served", action.GetResource())
		}
	}
}

// Of each kind that may not be listed one finding says so, and where.
func TestPoliciesThatMayNotBeListedAreSaidOncePerKind(t *testing.T) {
	kind := migrate.ServedKind{Group: "cilium.io", Version: "v2", Kind: "CiliumNetworkPolicy", Namespaced: true}
	wide := migrate.ServedKind{Group: "cilium.io", Version: "v2", Kind: "CiliumClusterwideNetworkPolicy"}
	own := pluginPolicy(t, "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: own, namespace: a}\nspec: {endpointSelector: {}, egress: [{}]}\n")
	for name, c := range map[string]struct {
		kind    migrate.ServedKind
		refused func(namespace string) bool
		limit   []string
		found   int
		lists   []string
		says    []string
	}{
		"all may":                {kind, func(string) bool { return false }, nil, 1, []string{""}, nil},
		"some namespaces":        {kind, func(ns string) bool { return ns != "a" }, nil, 1, []string{"", "a", "b", "c"}, []string{"you may not list ciliumnetworkpolicies.cilium.io in 2 namespaces (b, c), so this is unknown: whether the agents' ways out are limited"}},
		"only these":             {kind, func(ns string) bool { return ns == "" }, []string{"a", "b", "c"}, 1, []string{"a", "b", "c"}, nil},
		"none":                   {kind, func(string) bool { return true }, nil, 0, []string{"", "a", "b", "c"}, []string{"you may not list ciliumnetworkpolicies.cilium.io in 3 namespaces (a, b, c), so this is unknown: whether the agents' ways out are limited"}},
		"of the whole cluster":   {wide, func(string) bool { return true }, []string{"a"}, 0, []string{""}, []string{"you may not list ciliumclusterwidenetworkpolicies.cilium.io, so this is unknown: whether the agents' ways out are limited"}},
		"of the cluster, if may": {wide, func(string) bool { return false }, []string{"a"}, 0, []string{""}, nil},
	} {
		f, dyn := withCilium(t, own.DeepCopy())
		f.witness.opts.Namespaces, f.witness.findings = c.limit, nil
		var lists []string
		dyn.PrependReactor("list", "*", func(a k8stesting.Action) (bool, runtime.Object, error) {
			lists = append(lists, a.GetNamespace())
			if c.refused(a.GetNamespace()) {
				return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", nil)
			}
			return false, nil, nil
		})
		found, err := f.witness.pluginEgress(t.Context(), c.kind, []string{"a", "b", "c"})
		if err != nil || len(found) != c.found {
			t.Errorf("%s: %d policies, want %d: %v", name, len(found), c.found, err)
		}
		f.witness.find(f.witness.lacked()...)
		equal(t, name+": lists", lists, c.lists)
		var says []string
		for _, f := range f.witness.findings {
			says = append(says, f.Message)
		}
		equal(t, name, says, c.says)
	}
}

// Policies tell what people have to see to, and hold nothing back; nor does it that they
// may not be listed, as long as nothing else is unknown.
func TestPoliciesThatMayNotBeListedHoldNothingBack(t *testing.T) {
	blocked := func(refused ...string) (out []string, severities []migrate.Severity) {
		f, dyn := withCilium(t)
		for _, resource := range refused {
			no := apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", nil)
			f.kube.PrependReactor("list", resource, func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, no })
			dyn.PrependReactor("list", resource, func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, no })
		}
		inv, err := f.witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range inv.Findings {
			if found.Code == RBACMissing.Name {
				severities = append(severities, found.Severity)
			}
		}
		for _, found := range migrate.Build(inv, migrate.Options{}).Findings {
			if found.Severity == migrate.Blocker {
				out = append(out, found.Code+" "+found.Subject)
			}
		}
		return out, severities
	}
	without, none := blocked()
	with, said := blocked("networkpolicies", "ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies")
	equal(t, "what is held back", with, without)
	equal(t, "what is said", append(none, said...), []migrate.Severity{migrate.Warning, migrate.Warning, migrate.Warning})
	if _, said := blocked("rolebindings"); !slices.Contains(said, migrate.Blocker) {
		t.Errorf("without other rights is said: %v", said)
	}
	inv := migrate.Inventory{Findings: []migrate.Finding{RBACMissing.Finding("", "policies", "")}}
	for severity, says := range map[migrate.Severity]bool{migrate.Blocker: false, migrate.Warning: true} {
		inv.Findings[0].Severity = severity
		plan := migrate.Build(inv, migrate.Options{})
		if got := slices.ContainsFunc(plan.Findings, func(f migrate.Finding) bool { return f.Code == "NO_AGENTS" }); got != says {
			t.Errorf("with a %s that there are no agents is said: %v", severity, got)
		}
	}
}
