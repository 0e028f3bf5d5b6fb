package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// right is what one request needs. An empty namespace means all of them, or a
// kind that lies in none; an empty name means every object of the resource. A
// resource may have a subresource after a slash.
type right struct{ verb, group, resource, namespace, name string }

func (r right) String() string {
	s := r.verb + " " + r.resource
	if r.group != "" {
		s += "." + r.group
	}
	if r.name != "" {
		s += " " + r.name
	}
	if r.namespace != "" {
		s += " in namespace " + r.namespace
	}
	return s
}

// covers reports whether who has r needs not be given o beside it.
func (r right) covers(o right) bool {
	return r.verb == o.verb && r.group == o.group && r.resource == o.resource &&
		(r.namespace == "" || r.namespace == o.namespace) && (r.name == "" || r.name == o.name)
}

// need is a set of rights: each verb on each resource, on each of the names.
type need struct {
	group     string
	resources []string
	verbs     []string
	// names of the objects; nil means every object.
	names []string
	// namespace; empty means all, or kinds that lie in none.
	namespace string
}

// rights takes a need apart.
func (n need) rights() []right {
	names := n.names
	if names == nil {
		names = []string{""}
	}
	var out []right
	for _, resource := range n.resources {
		for _, name := range names {
			for _, verb := range n.verbs {
				out = append(out, right{verb, n.group, resource, n.namespace, name})
			}
		}
	}
	return out
}

// API groups of the table.
const (
	groupAdmission = "admissionregistration.k8s.io"
	groupCRDs      = "apiextensions.k8s.io"
	groupLeases    = "coordination.k8s.io"
	groupRBAC      = "rbac.authorization.k8s.io"
	groupSources   = "source.toolkit.fluxcd.io"
	groupApplies   = "kustomize.toolkit.fluxcd.io"
)

// agentDefinitions are those that come with the bundled agent.
var agentDefinitions = []string{"gitrepositories." + groupSources, "kustomizations." + groupApplies}

// scope is what a command's rights depend on: what the cluster serves and the
// plan names.
type scope struct {
	// kinds that the API server lists, less those that discovery leaves out.
	kinds []schema.GroupResource
	// resource finds the resource of a kind.
	resource func(schema.GroupKind) (schema.GroupResource, bool)
	// namespaces that exist.
	namespaces []string
	// agents are the old agents that are handed over.
	agents []scopeAgent
	// plan is the zero plan where a command needs none.
	plan migrate.Plan
	// capacitor is true where a flux-capacitor is used.
	capacitor bool
}

// scopeAgent is one old agent.
type scopeAgent struct {
	id, namespace, workload, account string
	// alone is true where nobody else uses the account.
	alone bool
}

// commands of the table, in the order in which help names them.
var rightsCommands = []string{"discover", "plan", "prove", "migrate", "rollback", "pause", "status", "agent"}

// rightsRow is one row of the table of rights.
type rightsRow struct {
	// commands that need it.
	commands []string
	// why, for people: it stands over the rule in what `fluxover rbac` prints.
	why string
	// reported rows are those whose lack discovery and proof report as
	// findings, so that migrate does not ask for them by itself.
	reported bool
	needs    func(s scope) []need
}

var (
	readers  = []string{"discover", "plan", "prove", "migrate", "rollback"}
	changers = []string{"migrate", "rollback"}
)

// rightsTable is the one place that says what each command may need: `fluxover
// rbac` prints it, migrate asks for it before it changes anything, and what is
// missing is named in its words. Beside it a command needs what Kubernetes
// gives everybody who is logged in: to ask which kinds there are
// (system:discovery) and what one may do oneself (system:basic-user).
var rightsTable = []rightsRow{
	{readers, "finds the agents, and their marks and ignore annotations, which may be on objects of any kind; Helm keeps its releases in Secrets or ConfigMaps, and agents their credentials", true, func(s scope) []need {
		byGroup := map[string][]string{}
		add := func(kinds ...schema.GroupResource) {
			for _, k := range kinds {
				if !slices.Contains(byGroup[k.Group], k.Resource) {
					byGroup[k.Group] = append(byGroup[k.Group], k.Resource)
				}
			}
		}
		add(s.kinds...)
		// Served at the latest once an agent of Flux v2 is installed.
		add(schema.GroupResource{Group: groupSources, Resource: "gitrepositories"}, schema.GroupResource{Group: groupApplies, Resource: "kustomizations"})
		var needs []need
		for _, group := range slices.Sorted(maps.Keys(byGroup)) {
			slices.Sort(byGroup[group])
			needs = append(needs, need{group: group, resources: byGroup[group], verbs: []string{"get", "list"}})
		}
		return needs
	}},
	{[]string{"plan", "prove", "status"}, "reads the journals", false, func(scope) []need {
		return []need{{resources: []string{"configmaps"}, verbs: []string{"get", "list"}, namespace: migrate.StateNamespace}}
	}},
	{[]string{"status"}, "reads the Lease", false, func(scope) []need {
		return []need{
			{group: groupLeases, resources: []string{"leases"}, verbs: []string{"get"}, namespace: migrate.StateNamespace},
		}
	}},
	{[]string{"pause"}, "notes the wish in the record of the run, where it is heard", false, func(scope) []need {
		return []need{{resources: []string{"configmaps"}, verbs: []string{"get", "update"}, names: []string{cutover.RunRecord}, namespace: migrate.StateNamespace}}
	}},
	{[]string{"status"}, "sees whether a fence was taken down or an old agent started again", false, func(s scope) []need {
		needs := []need{{group: groupAdmission, resources: []string{"validatingadmissionpolicybindings"}, verbs: []string{"get"}, names: fences(s.agents)}}
		return append(needs, oldDeployments(s, "get")...)
	}},
	{[]string{"status"}, "sees whether the pods of an old agent that was told to end are gone, where who told it died", false, func(s scope) []need {
		var needs []need
		for _, ns := range agentNamespaces(s.agents) {
			needs = append(needs, need{resources: []string{"pods"}, verbs: []string{"list"}, namespace: ns})
		}
		return needs
	}},
	{changers, "reads what it keeps, and what others made, without which it would stop half-way", false, func(s scope) []need {
		home := s.plan.ClusterAgent.Namespace
		if s.plan.ClusterAgent.Engine == "existing" {
			home = "" // it is not known where it runs
		}
		return []need{
			{resources: []string{"configmaps", "secrets"}, verbs: []string{"get", "list"}, namespace: migrate.StateNamespace},
			{group: groupLeases, resources: []string{"leases"}, verbs: []string{"get"}, namespace: migrate.StateNamespace},
			{group: groupAdmission, resources: []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"}, verbs: []string{"get"}, names: fences(s.agents)},
			{group: "apps", resources: []string{"deployments"}, verbs: []string{"list"}},
			// Which Kustomizations apply an object, wherever they are.
			{group: groupApplies, resources: []string{"kustomizations"}, verbs: []string{"list"}},
			// Whether the agent that does not answer lives.
			{resources: []string{"pods"}, verbs: []string{"list"}, namespace: home},
			{group: groupLeases, resources: []string{"leases"}, verbs: []string{"list"}, namespace: home},
			// How many API servers must have heard of a fence.
			{group: groupLeases, resources: []string{"leases"}, verbs: []string{"list"}, namespace: metav1.NamespaceSystem},
			{group: "discovery.k8s.io", resources: []string{"endpointslices"}, verbs: []string{"list"}, namespace: metav1.NamespaceDefault},
		}
	}},
	{[]string{"prove", "migrate", "rollback"}, "tries writes as the old agents, which are never carried out: the plan's, and those that the fence must refuse", false, func(s scope) []need {
		accounts := map[string][]string{}
		for _, a := range s.agents {
			accounts[a.namespace] = append(accounts[a.namespace], a.account)
		}
		return impersonation(accounts)
	}},
	{[]string{"prove", "migrate"}, "tries writes, which are never carried out, as the accounts under which the new agent will apply", false, func(s scope) []need {
		return impersonation(futureAccounts(s.plan))
	}},
	{changers, "tries writes as a pod of an old agent whose account others use too, to see that the fence refuses it", false, func(s scope) []need {
		if !slices.ContainsFunc(s.agents, func(a scopeAgent) bool { return !a.alone }) {
			return nil
		}
		return []need{{group: "authentication.k8s.io", resources: []string{"userextras/authentication.kubernetes.io/pod-name"}, verbs: []string{"impersonate"}}}
	}},
	{[]string{"migrate"}, "makes the namespaces that are not there", false, func(s scope) []need {
		if len(missingNamespaces(s)) == 0 {
			return nil
		}
		return []need{{resources: []string{"namespaces"}, verbs: []string{"create"}}}
	}},
	{[]string{"migrate"}, "begins journals, and keeps Snapshots in Secrets", false, func(scope) []need {
		return []need{{resources: []string{"configmaps", "secrets"}, verbs: []string{"create"}, namespace: migrate.StateNamespace}}
	}},
	{changers, "writes the journals, removes Snapshots, and takes the Lease that lets one operator in", false, func(scope) []need {
		return []need{
			{resources: []string{"configmaps"}, verbs: []string{"update"}, namespace: migrate.StateNamespace},
			{resources: []string{"secrets"}, verbs: []string{"delete"}, namespace: migrate.StateNamespace},
			{group: groupLeases, resources: []string{"leases"}, verbs: []string{"create", "update"}, namespace: migrate.StateNamespace},
		}
	}},
	{[]string{"migrate"}, "puts the fence up", false, func(s scope) []need {
		policies := []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"}
		return []need{
			{group: groupAdmission, resources: policies, verbs: []string{"create"}}, // no name is known to who authorises a create
			{group: groupAdmission, resources: policies, verbs: []string{"update"}, names: fences(s.agents)},
		}
	}},
	{changers, "takes the fence down", false, func(s scope) []need {
		return []need{{group: groupAdmission, resources: []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"}, verbs: []string{"delete"}, names: fences(s.agents)}}
	}},
	{changers, "stops the old agents, and starts them again", false, func(s scope) []need { return oldDeployments(s, "patch") }},
	{[]string{"migrate"}, "waits until their pods are gone", false, func(s scope) []need {
		var needs []need
		for _, ns := range agentNamespaces(s.agents) {
			needs = append(needs, need{resources: []string{"pods"}, verbs: []string{"watch"}, namespace: ns})
		}
		return needs
	}},
	{[]string{"migrate"}, "stages credentials, accounts, sources and Kustomizations, and follows them", false, func(scope) []need {
		return []need{
			{resources: []string{"secrets", "serviceaccounts"}, verbs: []string{"create", "patch"}, namespace: migrate.AgentNamespace},
			{group: groupSources, resources: []string{"gitrepositories"}, verbs: []string{"watch", "create", "patch"}, namespace: migrate.AgentNamespace},
			{group: groupApplies, resources: []string{"kustomizations"}, verbs: []string{"watch", "create", "patch"}, namespace: migrate.AgentNamespace},
		}
	}},
	{changers, "stops the new agent for a repository that goes back, and removes what was staged for it", false, func(scope) []need {
		return []need{
			{resources: []string{"secrets", "serviceaccounts"}, verbs: []string{"delete"}, namespace: migrate.AgentNamespace},
			{group: groupSources, resources: []string{"gitrepositories"}, verbs: []string{"patch", "delete"}, namespace: migrate.AgentNamespace},
			{group: groupApplies, resources: []string{"kustomizations"}, verbs: []string{"patch", "delete"}, namespace: migrate.AgentNamespace},
		}
	}},
	{[]string{"migrate"}, "gives the new accounts the rights of the old ones; Kubernetes refuses to give more than one has without the verbs escalate and bind", false, func(s scope) []need {
		return granting(supporting(s.plan), "create", "patch")
	}},
	{changers, "takes those rights away again", false, func(s scope) []need { return removing(supporting(s.plan)) }},
	{[]string{"migrate"}, "installs the new agent by Helm, or upgrades it; its account is bound to cluster-admin", false, func(s scope) []need {
		agent := s.plan.ClusterAgent
		if agent.Engine == "existing" {
			return nil
		}
		ns := agent.Namespace
		return []need{
			{group: groupCRDs, resources: []string{"customresourcedefinitions"}, verbs: []string{"create"}},
			{group: groupCRDs, resources: []string{"customresourcedefinitions"}, verbs: []string{"patch"}, names: agentDefinitions},
			{resources: []string{"secrets"}, verbs: []string{"create", "update", "delete"}, namespace: ns}, // Helm's record
			{resources: []string{"serviceaccounts", "services"}, verbs: []string{"create", "patch"}, namespace: ns},
			{group: "apps", resources: []string{"deployments"}, verbs: []string{"create", "patch"}, namespace: ns},
			{group: "networking.k8s.io", resources: []string{"networkpolicies"}, verbs: []string{"create", "patch"}, namespace: ns},
			{group: groupRBAC, resources: []string{"clusterrolebindings"}, verbs: []string{"create"}},
			{group: groupRBAC, resources: []string{"clusterrolebindings"}, verbs: []string{"patch"}, names: []string{agentBinding(agent)}},
			{group: groupRBAC, resources: []string{"clusterroles"}, verbs: []string{"bind"}, names: []string{"cluster-admin"}},
		}
	}},
	{[]string{"rollback"}, "uninstalls the new agent (--uninstall-agent)", false, func(s scope) []need {
		agent := s.plan.ClusterAgent
		if agent.Engine == "existing" {
			return nil
		}
		ns := agent.Namespace
		return []need{
			{group: groupCRDs, resources: []string{"customresourcedefinitions"}, verbs: []string{"delete"}, names: agentDefinitions},
			{resources: []string{"secrets"}, verbs: []string{"update", "delete"}, namespace: ns},
			{resources: []string{"serviceaccounts", "services"}, verbs: []string{"delete"}, namespace: ns},
			{group: "apps", resources: []string{"deployments"}, verbs: []string{"patch", "delete"}, namespace: ns},
			{group: "networking.k8s.io", resources: []string{"networkpolicies"}, verbs: []string{"delete"}, namespace: ns},
			{group: groupRBAC, resources: []string{"clusterrolebindings"}, verbs: []string{"delete"}, names: []string{agentBinding(agent)}},
		}
	}},
	{changers, "gives the objects of a repository that goes back their marks and owners again", false, givingBack},
	{[]string{"migrate"}, "sets the flux-capacitor up; the account that applies it must be able to write the roles of each repository", false, func(s scope) []need {
		if !s.capacitor {
			return nil
		}
		return append(capacitorRoles("create", "patch", "delete", "escalate"), capacitorBindings("create", "patch", "delete", "bind")...)
	}},
	{[]string{"rollback"}, "removes what syncs the flux-capacitor", false, func(s scope) []need {
		if !s.capacitor {
			return nil
		}
		return append(capacitorRoles("delete"), capacitorBindings("delete")...)
	}},
	{[]string{"agent"}, "reconciles sources and Kustomizations, and writes their status", false, func(scope) []need {
		return []need{
			{group: groupSources, resources: []string{"gitrepositories"}, verbs: []string{"get", "list", "watch", "patch"}},
			{group: groupSources, resources: []string{"gitrepositories/status"}, verbs: []string{"patch"}},
			{group: groupApplies, resources: []string{"kustomizations"}, verbs: []string{"get", "list", "watch", "patch"}},
			{group: groupApplies, resources: []string{"kustomizations/status"}, verbs: []string{"patch"}},
		}
	}},
	{[]string{"agent"}, "reads credentials, keys and variables, and whether an account exists", false, func(scope) []need {
		return []need{{resources: []string{"configmaps", "secrets", "serviceaccounts"}, verbs: []string{"get"}, namespace: migrate.AgentNamespace}}
	}},
	{[]string{"agent"}, "acts only while it holds its leases and those of the stock controllers, and tells what it does", false, func(scope) []need {
		return []need{
			{group: groupLeases, resources: []string{"leases"}, verbs: []string{"get", "create", "update"}, namespace: migrate.AgentNamespace},
			{resources: []string{"events"}, verbs: []string{"create", "patch"}, namespace: migrate.AgentNamespace},
		}
	}},
	{[]string{"agent"}, "applies as the account that each Kustomization names; one that names none could do nothing", false, func(s scope) []need {
		var needs []need
		accounts := futureAccounts(s.plan)
		for _, ns := range slices.Sorted(maps.Keys(accounts)) {
			needs = append(needs, need{resources: []string{"serviceaccounts"}, verbs: []string{"impersonate"}, names: unique(accounts[ns]), namespace: ns})
		}
		return needs
	}},
	{[]string{"agent"}, "sees drift on objects of the kinds that it applies", false, func(s scope) []need {
		byGroup := map[string][]string{}
		for _, o := range plannedKinds(s) {
			byGroup[o.Group] = append(byGroup[o.Group], o.Resource)
		}
		var needs []need
		for _, group := range slices.Sorted(maps.Keys(byGroup)) {
			needs = append(needs, need{group: group, resources: unique(byGroup[group]), verbs: []string{"list", "watch"}})
		}
		return needs
	}},
}

// fences are the names of the admission policies and of their bindings.
func fences(agents []scopeAgent) []string {
	names := []string{}
	for _, a := range agents {
		names = append(names, migrate.FencePrefix+strings.Replace(a.id, "/", ".", 1))
	}
	return unique(names)
}

func agentNamespaces(agents []scopeAgent) []string {
	var out []string
	for _, a := range agents {
		out = append(out, a.namespace)
	}
	return unique(out)
}

// oldDeployments are the verbs on the old agents' Deployments, by name.
func oldDeployments(s scope, verbs ...string) []need {
	var needs []need
	for _, ns := range agentNamespaces(s.agents) {
		var names []string
		for _, a := range s.agents {
			if a.namespace == ns {
				names = append(names, a.workload)
			}
		}
		needs = append(needs, need{group: "apps", resources: []string{"deployments"}, verbs: verbs, names: unique(names), namespace: ns})
	}
	return needs
}

// impersonation of accounts, by namespace, with the groups that are sent along.
func impersonation(accounts map[string][]string) []need {
	if len(accounts) == 0 {
		return nil
	}
	var needs []need
	var groups []string
	for _, ns := range slices.Sorted(maps.Keys(accounts)) {
		needs = append(needs, need{resources: []string{"serviceaccounts"}, verbs: []string{"impersonate"}, names: unique(accounts[ns]), namespace: ns})
		groups = append(groups, cluster.ServiceAccountGroups(ns)...)
	}
	return append(needs, need{resources: []string{"groups"}, verbs: []string{"impersonate"}, names: unique(groups)})
}

// futureAccounts are those that the plan's Kustomizations name, by namespace.
func futureAccounts(plan migrate.Plan) map[string][]string {
	accounts := map[string][]string{}
	for _, r := range plan.Repositories {
		for _, k := range r.Kustomizations {
			if name, _, _ := unstructured.NestedString(k.Object, "spec", "serviceAccountName"); name != "" {
				accounts[k.GetNamespace()] = append(accounts[k.GetNamespace()], name)
			}
		}
	}
	return accounts
}

// supporting are the roles and bindings of a plan.
func supporting(plan migrate.Plan) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, r := range plan.Repositories {
		for _, o := range r.Supporting {
			if o.GroupVersionKind().Group == groupRBAC {
				out = append(out, o)
			}
		}
	}
	return out
}

// rbacPlace is where roles or bindings stand.
type rbacPlace struct{ resource, namespace string }

// rbacNames are the names of roles and bindings by place.
func rbacNames(objects []*unstructured.Unstructured) map[rbacPlace][]string {
	out := map[rbacPlace][]string{}
	for _, o := range objects {
		p := rbacPlace{strings.ToLower(o.GetKind()) + "s", o.GetNamespace()}
		out[p] = append(out[p], o.GetName())
	}
	return out
}

func sortedPlaces[V any](m map[rbacPlace]V) []rbacPlace {
	return slices.SortedFunc(maps.Keys(m), func(a, b rbacPlace) int {
		return strings.Compare(a.namespace+" "+a.resource, b.namespace+" "+b.resource)
	})
}

// granting is what it takes to write roles and bindings: each by name, escalate
// on the roles, and bind on those that the bindings refer to.
func granting(objects []*unstructured.Unstructured, verbs ...string) []need {
	var needs []need
	names := rbacNames(objects)
	for _, p := range sortedPlaces(names) {
		verbs := verbs
		if p.resource == "roles" || p.resource == "clusterroles" {
			verbs = append(slices.Clone(verbs), "escalate")
		}
		needs = append(needs, need{group: groupRBAC, resources: []string{p.resource}, verbs: verbs, names: unique(names[p]), namespace: p.namespace})
	}
	bound := map[rbacPlace][]string{}
	for _, o := range objects {
		if role, found, _ := unstructured.NestedString(o.Object, "roleRef", "name"); found {
			kind, _, _ := unstructured.NestedString(o.Object, "roleRef", "kind")
			// It is asked for in the binding's namespace, also for a ClusterRole.
			p := rbacPlace{strings.ToLower(kind) + "s", o.GetNamespace()}
			bound[p] = append(bound[p], role)
		}
	}
	for _, p := range sortedPlaces(bound) {
		needs = append(needs, need{group: groupRBAC, resources: []string{p.resource}, verbs: []string{"bind"}, names: unique(bound[p]), namespace: p.namespace})
	}
	return needs
}

func removing(objects []*unstructured.Unstructured) []need {
	var needs []need
	names := rbacNames(objects)
	for _, p := range sortedPlaces(names) {
		needs = append(needs, need{group: groupRBAC, resources: []string{p.resource}, verbs: []string{"delete"}, names: unique(names[p]), namespace: p.namespace})
	}
	return needs
}

// agentBinding is the ClusterRoleBinding that the chart of the bundled agent
// makes.
func agentBinding(agent migrate.ClusterAgent) string { return agent.Namespace + "-fluxover-agent" }

// plannedKinds are the resources of the objects that the plan's repositories
// hold, each once.
func plannedKinds(s scope) []schema.GroupResource {
	var out []schema.GroupResource
	for _, r := range s.plan.Repositories {
		for _, o := range r.Objects {
			_, _, kind, err := migrate.ParseObjectID(o.ID)
			if err != nil {
				continue
			}
			if resource, ok := s.resource(kind); ok && !slices.Contains(out, resource) {
				out = append(out, resource)
			}
		}
	}
	return out
}

// givingBack is what it takes to write labels, annotations and owners of the
// plan's objects. Names are left open: what a team adds after the migration
// must be able to go back too. Kubernetes takes every write of a role for a
// grant of what is in it.
func givingBack(s scope) []need {
	type place struct{ group, namespace string }
	found := map[place][]string{}
	for _, r := range s.plan.Repositories {
		for _, o := range r.Objects {
			namespace, _, kind, err := migrate.ParseObjectID(o.ID)
			if err != nil || o.Verb == migrate.Skip || o.Verb == migrate.Unmanage {
				continue
			}
			if resource, ok := s.resource(kind); ok {
				p := place{resource.Group, namespace}
				found[p] = append(found[p], resource.Resource)
			}
		}
	}
	var needs []need
	for _, p := range slices.SortedFunc(maps.Keys(found), func(a, b place) int { return strings.Compare(a.namespace+" "+a.group, b.namespace+" "+b.group) }) {
		resources := unique(found[p])
		needs = append(needs, need{group: p.group, resources: resources, verbs: []string{"update", "patch"}, namespace: p.namespace})
		if p.group != groupRBAC {
			continue
		}
		for _, resource := range resources {
			switch resource {
			case "roles", "clusterroles":
				needs = append(needs, need{group: groupRBAC, resources: []string{resource}, verbs: []string{"escalate"}, namespace: p.namespace})
			case "clusterrolebindings":
				needs = append(needs, need{group: groupRBAC, resources: []string{"clusterroles"}, verbs: []string{"bind"}})
			case "rolebindings":
				needs = append(needs, need{group: groupRBAC, resources: []string{"clusterroles", "roles"}, verbs: []string{"bind"}, namespace: p.namespace})
			}
		}
	}
	return needs
}

// capacitorRoles and capacitorBindings are what the flux-capacitor's account
// gets: one role in the agent's namespace, and one ClusterRole for each
// repository.
func capacitorRoles(verbs ...string) []need {
	return []need{
		{group: groupRBAC, resources: []string{"roles"}, verbs: verbs, names: []string{"flux-capacitor"}, namespace: migrate.AgentNamespace},
		{group: groupRBAC, resources: []string{"clusterroles"}, verbs: verbs},
	}
}

func capacitorBindings(verbs ...string) []need {
	var needs []need
	if i := slices.Index(verbs, "bind"); i >= 0 {
		verbs = slices.Delete(slices.Clone(verbs), i, i+1)
		needs = []need{
			{group: groupRBAC, resources: []string{"roles"}, verbs: []string{"bind"}, names: []string{"flux-capacitor"}, namespace: migrate.AgentNamespace},
			{group: groupRBAC, resources: []string{"clusterroles"}, verbs: []string{"bind"}},
		}
	}
	return append(needs,
		need{group: groupRBAC, resources: []string{"rolebindings"}, verbs: verbs, names: []string{"flux-capacitor"}, namespace: migrate.AgentNamespace},
		need{group: groupRBAC, resources: []string{"clusterrolebindings"}, verbs: verbs},
	)
}

// missingNamespaces are those of fluxover's own that are not there.
func missingNamespaces(s scope) []string {
	var out []string
	for _, ns := range unique([]string{migrate.StateNamespace, migrate.AgentNamespace}) {
		if !slices.Contains(s.namespaces, ns) {
			out = append(out, ns)
		}
	}
	return out
}

func unique(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// grant is one rule of a role, with its reason.
type grant struct {
	need
	why string
}

// grantsOf are the rules that a command needs, none of which another one makes
// needless.
func grantsOf(command string, s scope) []grant {
	var all []grant
	for _, row := range rightsTable {
		if slices.Contains(row.commands, command) {
			for _, n := range row.needs(s) {
				all = append(all, grant{n, row.why})
			}
		}
	}
	type entry struct {
		right
		from int
	}
	var entries []entry
	for i, g := range all {
		for _, r := range g.rights() {
			entries = append(entries, entry{r, i})
		}
	}
	var out []grant
	for i, g := range all {
		needed := func(r right) bool {
			return !slices.ContainsFunc(entries, func(o entry) bool {
				return o.covers(r) && (o.right != r || o.from < i)
			})
		}
		// By resource and name, the verbs that are left; equal ones become one rule.
		type key struct{ verbs, names string }
		rules := map[key]*grant{}
		var order []key
		for _, resource := range g.resources {
			byVerbs := map[string][]string{} // verbs → names
			names := g.names
			if names == nil {
				names = []string{""}
			}
			var verbSets []string
			for _, name := range names {
				var verbs []string
				for _, verb := range g.verbs {
					if needed(right{verb, g.group, resource, g.namespace, name}) {
						verbs = append(verbs, verb)
					}
				}
				if len(verbs) == 0 {
					continue
				}
				set := strings.Join(verbs, ",")
				if byVerbs[set] == nil {
					verbSets = append(verbSets, set)
				}
				byVerbs[set] = append(byVerbs[set], name)
			}
			for _, set := range verbSets {
				k := key{set, strings.Join(byVerbs[set], "\x00")}
				if rules[k] == nil {
					one := &grant{need{group: g.group, verbs: strings.Split(set, ","), namespace: g.namespace}, g.why}
					if g.names != nil {
						one.names = byVerbs[set]
					}
					rules[k] = one
					order = append(order, k)
				}
				rules[k].resources = append(rules[k].resources, resource)
			}
		}
		for _, k := range order {
			out = append(out, *rules[k])
		}
	}
	return out
}

// rightsToMigrate are the rights without which a migration would stop half-way,
// or could not go back. What discovery and proof need they report themselves.
func rightsToMigrate(s scope) []right {
	var out []right
	for _, row := range rightsTable {
		if row.reported || !slices.Contains(row.commands, "migrate") {
			continue
		}
		for _, n := range row.needs(s) {
			for _, r := range n.rights() {
				if !slices.Contains(out, r) {
					out = append(out, r)
				}
			}
		}
	}
	return out
}

// mayMigrate refuses a user who lacks a right that the migration will need,
// before anything is changed.
func mayMigrate(ctx context.Context, c *cluster.Client, plan migrate.Plan, capacitor bool) error {
	if everything, err := mayDo(ctx, c, right{"*", "*", "*", "", ""}); err != nil || everything {
		return err
	}
	s := scopeOf(plan)
	s.capacitor = capacitor
	// A group that does not answer holds no kind that the cut-over writes by
	// itself; for its own kinds in the plan the proof has asked.
	if _, err := s.read(ctx, c); err != nil {
		return err
	}
	rights := rightsToMigrate(s)
	missing := make([]bool, len(rights))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, r := range rights {
		g.Go(func() error {
			allowed, err := mayDo(ctx, c, r)
			missing[i] = err == nil && !allowed
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var lacks []right
	for i, r := range rights {
		if missing[i] {
			lacks = append(lacks, r)
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	err := errors.New("you lack rights that a migration needs: " + strings.Join(shortened(inWords(lacks), 6), "; "))
	return &exitError{Code: exitBlocked, Err: err, Hints: []string{"nothing has changed", hintRights("migrate")}}
}

// mayDo asks whether the client's user has a right.
func mayDo(ctx context.Context, c *cluster.Client, r right) (bool, error) {
	resource, sub, _ := strings.Cut(r.resource, "/")
	review, err := c.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: r.verb, Group: r.group, Resource: resource, Subresource: sub, Namespace: r.namespace, Name: r.name,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask what you may do: %w", err)
	}
	return review.Status.Allowed, nil
}

// hintRights says how to get a command's rights.
func hintRights(command string) string {
	return fmt.Sprintf(`have the right granted ("fluxover rbac --for %s" prints what is needed), or use an account that has it (--context, --as)`, command)
}

// inWords names rights for people: those on the same resource in one place
// together, by name where they are by name.
func inWords(rights []right) []string {
	type place struct{ group, resource, namespace, verbs string }
	at := map[place][]string{}
	var places []place
	for i := 0; i < len(rights); {
		r := rights[i]
		verbs := []string{}
		for ; i < len(rights); i++ { // those that stand together are for the same
			next := rights[i]
			if next.verb = r.verb; next != r {
				break
			}
			verbs = append(verbs, rights[i].verb)
		}
		p := place{r.group, r.resource, r.namespace, strings.Join(verbs, ", ")}
		if at[p] == nil {
			places = append(places, p)
		}
		at[p] = append(at[p], r.name)
	}
	var out []string
	for _, p := range places {
		list := slices.DeleteFunc(at[p], func(name string) bool { return name == "" })
		out = append(out, right{p.verbs, p.group, p.resource, p.namespace, strings.Join(shortened(list, 3), ", ")}.String())
	}
	return out
}

// shortened keeps the first n items and says how many more there are.
func shortened(items []string, n int) []string {
	if len(items) <= n {
		return items
	}
	return append(slices.Clone(items[:n]), fmt.Sprintf("and %d more", len(items)-n))
}
