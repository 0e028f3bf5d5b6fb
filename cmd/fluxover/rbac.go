package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

type rbacOptions struct {
	command         string
	users, groups   []string
	serviceAccounts []string
	repos           []string
	engine          string
	capacitor       bool
	output          string
}

func newRBAC(s streams, k *kube) *cobra.Command {
	var o rbacOptions
	cmd := &cobra.Command{
		Use:   "rbac --for COMMAND [PLANFILE]",
		Short: "print the least rights of a command",
		Long: `rbac prints, as manifests for "kubectl apply -f -", the least rights that a
command needs: a ClusterRole, Roles where one namespace is enough, and with
--user, --group or --service-account their bindings. Above each rule stands what
it is for. Nothing is changed.

  discover, plan   read only; the plan says "proof: offline"
  prove            plan and diff with server-side dry-runs: impersonates the
                   accounts of the old agents
  migrate          all of it, and the way back of a repository that fails
  rollback         from any state, --uninstall-agent included; also abort
  pause            pause and resume
  status           look only
  agent            the bundled agent, whose chart else binds cluster-admin

Names of accounts, roles and Deployments are those of PLANFILE, or else of a plan
made now, which takes the rights of "discover". Kinds are those that the API
server serves now: print again when kinds, teams or the plan have changed.

discover reads objects of all kinds, Secrets too. Whoever may act as accounts that
may do everything, as fluxd's of the default chart, may do everything himself.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("rbac takes one plan file at most, got %q", args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), s, k, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.command, "for", "", "the command: "+strings.Join(rightsCommands, ", "))
	f.StringSliceVar(&o.users, "user", nil, "bind the rights to this user")
	f.StringSliceVar(&o.groups, "group", nil, "bind the rights to this group")
	f.StringSliceVar(&o.serviceAccounts, "service-account", nil, "bind the rights to this account: NAMESPACE/NAME")
	f.StringSliceVar(&o.repos, "repo", nil, "without PLANFILE: for these repositories alone, by id")
	f.StringVar(&o.engine, "engine", "bundled", "without PLANFILE: the agent that takes over, bundled or existing")
	f.BoolVar(&o.capacitor, "capacitor", false, "with what migrate and rollback need for a flux-capacitor")
	f.StringVarP(&o.output, "output", "o", "yaml", "yaml or json (a List, without the reasons)")
	return cmd
}

func (o *rbacOptions) run(ctx context.Context, s streams, k *kube, args []string) error {
	subjects, err := o.check()
	if err != nil {
		return err
	}
	var plan *migrate.Plan
	if len(args) == 1 {
		if o.repos != nil || o.engine != "bundled" {
			return usage("--repo and --engine cannot change the plan of a plan file: leave them out")
		}
		if plan, err = anyPlanFile(args[0]); err != nil {
			return err
		}
	}
	c, err := k.client(ctx)
	if err != nil {
		return err
	}
	if plan == nil {
		if plan, err = o.livePlan(ctx, s, k); err != nil {
			return err
		}
	} else if err := madeFor(ctx, c, plan); err != nil {
		return err
	}
	sc := scopeOf(*plan)
	sc.capacitor = o.capacitor
	unread, err := sc.read(ctx, c)
	if err != nil {
		return err
	}
	for _, group := range unread {
		say(s.Err, "warning", fmt.Sprintf("the API server does not say what %s serves, so nothing of it is among the rights", group))
	}
	// What is not there is printed too, and need not be made by the command.
	absent := missingNamespaces(sc)
	sc.namespaces = append(sc.namespaces, absent...)
	roles, homeless := rolesOf(o.command, grantsOf(o.command, sc), sc.namespaces)
	for _, ns := range homeless {
		say(s.Err, "warning", fmt.Sprintf("namespace %s is not there, and no role was printed for it: print again when it is", ns))
	}
	absent = slices.DeleteFunc(absent, func(ns string) bool {
		return !slices.ContainsFunc(roles, func(r role) bool { return r.namespace == ns })
	})
	if o.output == "json" {
		return write(s.Out, "json", listOf(absent, roles, subjects))
	}
	return writeRoles(s.Out, absent, roles, subjects)
}

// check reads the flags.
func (o *rbacOptions) check() ([]rbacv1.Subject, error) {
	if err := checkFormat(o.output, "yaml", "json"); err != nil {
		return nil, err
	}
	if !slices.Contains(rightsCommands, o.command) {
		return nil, usage("--for %s: want one of %s", o.command, strings.Join(rightsCommands, ", "))
	}
	if o.engine != "bundled" && o.engine != "existing" {
		return nil, usage("--engine %s: want bundled or existing", o.engine)
	}
	var subjects []rbacv1.Subject
	for _, name := range o.users {
		subjects = append(subjects, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name})
	}
	for _, name := range o.groups {
		subjects = append(subjects, rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: name})
	}
	for _, account := range o.serviceAccounts {
		namespace, name, ok := strings.Cut(account, "/")
		if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
			return nil, usage("--service-account %s: want NAMESPACE/NAME", account)
		}
		subjects = append(subjects, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name})
	}
	if i := slices.IndexFunc(subjects, func(s rbacv1.Subject) bool { return s.Name == "" }); i >= 0 {
		return nil, usage("a subject's name is empty")
	}
	return subjects, nil
}

// livePlan plans from what is there now, as far as the command's rights depend
// on it. Nothing is proven: names are all that is wanted.
func (o *rbacOptions) livePlan(ctx context.Context, s streams, k *kube) (*migrate.Plan, error) {
	if o.command == "discover" || o.command == "plan" || o.command == "pause" {
		return &migrate.Plan{}, nil
	}
	f, err := newFacts(ctx, k, progressLine(s.Err))
	if err != nil {
		return nil, err
	}
	defer f.close()
	var inv migrate.Inventory
	if o.command == "status" {
		inv, err = discover.Cluster(ctx, f.client, discover.Options{SkipGit: true, Progress: f.progress})
	} else {
		inv, err = f.inventory(ctx, nil)
	}
	if err != nil {
		return nil, err
	}
	plan := migrate.Build(inv, migrate.Options{Engine: o.engine, Repositories: o.repos})
	known := []string{}
	for _, r := range plan.Repositories {
		known = append(known, r.ID)
	}
	for _, id := range o.repos {
		if !slices.Contains(known, id) {
			return nil, usage("--repo: there is no repository %s", id)
		}
	}
	lacking := slices.ContainsFunc(inv.Findings, migrate.Finding.Unread)
	switch {
	case len(known) == 0 && lacking:
		return nil, &exitError{Code: exitBlocked, Err: errors.New("no Flux v1 agent was found, and you may not read everything where one could be"), Hints: []string{
			`run this with an account that has the rights of "fluxover rbac --for discover" (--context, --as)`}}
	case len(known) == 0:
		return nil, &exitError{Code: exitBlocked, Err: errors.New("no Flux v1 agent was found, so there is nothing to give rights for")}
	case lacking:
		say(s.Err, "warning", `you may not read everything, so rights may be missing from what is printed: "fluxover discover" says which`)
	}
	unread := unreadRepositories(plan)
	if len(unread) > 0 && o.command != "status" {
		say(s.Err, "warning", fmt.Sprintf("what these hold is not known, so rights for it are missing from what is printed: %s", strings.Join(unread, ", ")))
	}
	return &plan, nil
}

// anyPlanFile reads a plan, proved or not, that says whose rights it is about.
func anyPlanFile(file string) (*migrate.Plan, error) {
	plan, err := openPlanFile(file)
	if err != nil {
		return nil, err
	}
	for _, r := range plan.Repositories {
		if f := plan.Inputs.Agents[r.ID]; f["account"] == "" || f["workload"] == "" {
			return nil, badPlan("plan file %s does not say which account and Deployment %s has: it was made by an earlier version of fluxover", file, r.ID)
		}
	}
	return plan, nil
}

// madeFor refuses a plan of another cluster: its names mean nothing here.
func madeFor(ctx context.Context, c *cluster.Client, plan *migrate.Plan) error {
	ns, err := c.Kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err) || err == nil && string(ns.UID) == plan.Inputs.Cluster:
		return nil
	case err != nil:
		return fmt.Errorf("read namespace %s: %w", metav1.NamespaceSystem, err)
	}
	return &exitError{Code: exitFailed, Err: fmt.Errorf("the plan was made for another cluster (%s) than this one (%s)", plan.Inputs.Server, c.Config.Host),
		Hints: []string{"choose the plan's cluster with --context or --kubeconfig, or leave the plan file out"}}
}

// scopeOf is what a plan says of the scope.
func scopeOf(plan migrate.Plan) scope {
	s := scope{plan: plan, resource: guessed}
	for _, r := range plan.Repositories {
		namespace, _, _ := strings.Cut(r.ID, "/")
		f := plan.Inputs.Agents[r.ID]
		if f["account"] == "" || f["workload"] == "" {
			continue // an empty name would stand for all
		}
		s.agents = append(s.agents, scopeAgent{
			id: r.ID, namespace: namespace, workload: f["workload"], account: f["account"],
			alone: !slices.ContainsFunc(plan.Findings, func(f migrate.Finding) bool {
				return f.Code == discover.SharedAccount.Name && f.Repository == r.ID
			}),
		})
	}
	return s
}

// guessed is the resource that a kind has by custom.
func guessed(kind schema.GroupKind) (schema.GroupResource, bool) {
	plural, _ := meta.UnsafeGuessKindToResource(kind.WithVersion("v1"))
	return plural.GroupResource(), true
}

// read asks the cluster for its kinds and namespaces. Groups that it does not
// describe are returned.
func (s *scope) read(ctx context.Context, c *cluster.Client) (unread []string, err error) {
	_, lists, err := c.Discovery.ServerGroupsAndResources()
	var failed *discovery.ErrGroupDiscoveryFailed
	switch {
	case errors.As(err, &failed):
		for gv := range failed.Groups {
			unread = append(unread, gv.String())
		}
		slices.Sort(unread)
	case err != nil:
		return nil, fmt.Errorf("ask which kinds are served: %w", err)
	}
	served := map[schema.GroupKind]schema.GroupResource{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("ask which kinds are served: %w", err)
		}
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") {
				continue // a subresource
			}
			gr := schema.GroupResource{Group: gv.Group, Resource: r.Name}
			served[schema.GroupKind{Group: gv.Group, Kind: r.Kind}] = gr
			// Discovery leaves these out, as fluxd did.
			unmarked := r.Name == "events" || r.Name == "componentstatuses" || strings.HasSuffix(gv.Group, "metrics.k8s.io")
			if slices.Contains(r.Verbs, "list") && !unmarked && !slices.Contains(s.kinds, gr) {
				s.kinds = append(s.kinds, gr)
			}
		}
	}
	s.resource = func(kind schema.GroupKind) (schema.GroupResource, bool) {
		if gr, ok := served[kind]; ok {
			return gr, true
		}
		return guessed(kind)
	}
	return unread, s.readNamespaces(ctx, c)
}

// readNamespaces notes which namespaces are there. Who may not list them is
// taken to find all that the plan names, but fluxover's own.
func (s *scope) readNamespaces(ctx context.Context, c *cluster.Client) error {
	list, err := c.Kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		s.namespaces = append(agentNamespaces(s.agents), metav1.NamespaceDefault, metav1.NamespaceSystem)
		return nil
	}
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	for _, ns := range list.Items {
		s.namespaces = append(s.namespaces, ns.Name)
	}
	return nil
}

// role is a ClusterRole, or a Role where it has a namespace.
type role struct {
	name, namespace string
	rules           []rbacv1.PolicyRule
	// why says of each rule what it is for.
	why []string
}

// rolesOf sorts rules into roles, the ClusterRole first. homeless are the
// namespaces that do not exist, whose roles are left out.
func rolesOf(command string, grants []grant, namespaces []string) (roles []role, homeless []string) {
	for _, g := range grants {
		if g.namespace != "" && !slices.Contains(namespaces, g.namespace) {
			homeless = append(homeless, g.namespace)
			continue
		}
		i := slices.IndexFunc(roles, func(r role) bool { return r.namespace == g.namespace })
		if i < 0 {
			i = len(roles)
			roles = append(roles, role{name: "fluxover:" + command, namespace: g.namespace})
		}
		roles[i].rules = append(roles[i].rules, rbacv1.PolicyRule{APIGroups: []string{g.group}, Resources: g.resources, ResourceNames: g.names, Verbs: g.verbs})
		roles[i].why = append(roles[i].why, g.why)
	}
	slices.SortStableFunc(roles, func(a, b role) int { return strings.Compare(a.namespace, b.namespace) })
	return roles, unique(homeless)
}

// object is the role as Kubernetes has it.
func (r role) object() any {
	m := metav1.ObjectMeta{Name: r.name, Namespace: r.namespace}
	if r.namespace == "" {
		return rbacv1.ClusterRole{TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"}, ObjectMeta: m, Rules: r.rules}
	}
	return rbacv1.Role{TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"}, ObjectMeta: m, Rules: r.rules}
}

// bindings bind the role to each subject by an object of its own, so that a
// second subject does not take the first one's rights away.
func (r role) bindings(subjects []rbacv1.Subject) []any {
	var out []any
	for _, s := range subjects {
		name := r.name + ":" + strings.ToLower(s.Kind) + ":"
		if s.Namespace != "" {
			name += s.Namespace + ":"
		}
		// The two that a name in a path may not hold.
		m := metav1.ObjectMeta{Name: name + strings.NewReplacer("/", ":", "%", ":").Replace(s.Name), Namespace: r.namespace}
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: r.name}
		if r.namespace == "" {
			out = append(out, rbacv1.ClusterRoleBinding{TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"}, ObjectMeta: m, RoleRef: ref, Subjects: []rbacv1.Subject{s}})
			continue
		}
		ref.Kind = "Role"
		out = append(out, rbacv1.RoleBinding{TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"}, ObjectMeta: m, RoleRef: ref, Subjects: []rbacv1.Subject{s}})
	}
	return out
}

func namespaceObject(name string) corev1.Namespace {
	return corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{migrate.LabelManaged: "true"}},
	}
}

func listOf(namespaces []string, roles []role, subjects []rbacv1.Subject) any {
	items := []any{}
	for _, ns := range namespaces {
		items = append(items, namespaceObject(ns))
	}
	for _, r := range roles {
		items = append(append(items, r.object()), r.bindings(subjects)...)
	}
	return map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
}

// writeRoles writes YAML with the reasons as comments.
func writeRoles(w io.Writer, namespaces []string, roles []role, subjects []rbacv1.Subject) error {
	var out bytes.Buffer
	document := func(object any) error {
		text, err := plainYAML(object)
		if err == nil {
			out.WriteString("---\n")
			out.Write(text)
		}
		return err
	}
	for _, ns := range namespaces {
		if err := document(namespaceObject(ns)); err != nil {
			return err
		}
	}
	for _, r := range roles {
		bare := r
		bare.rules = nil
		if err := document(bare.object()); err != nil {
			return err
		}
		out.Truncate(out.Len() - len("rules: null\n"))
		out.WriteString("rules:\n")
		for i, rule := range r.rules {
			if i == 0 || r.why[i] != r.why[i-1] {
				fmt.Fprintf(&out, "# %s\n", emit.Wrap(r.why[i], emit.TextWidth-2, "# "))
			}
			text, err := yaml.Marshal([]rbacv1.PolicyRule{rule})
			if err != nil {
				return fmt.Errorf("write a rule: %w", err)
			}
			out.Write(text)
		}
		for _, b := range r.bindings(subjects) {
			if err := document(b); err != nil {
				return err
			}
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// plainYAML writes an object without the fields that only a server fills in.
func plainYAML(object any) ([]byte, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("write yaml: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("write yaml: %w", err)
	}
	delete(m, "status")
	delete(m, "spec")
	text, err := yaml.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write yaml: %w", err)
	}
	return text, nil
}
