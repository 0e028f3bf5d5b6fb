package journey

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// access is one verb on one resource in one place. An empty namespace or name
// stands for all.
type access struct{ verb, group, resource, namespace, name string }

func (a access) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s.%s %s/%s", a.verb, a.resource, a.group, a.namespace, a.name))
}

// allows reports whether a printed access lets a request pass.
func (a access) allows(asked access) bool {
	return a.verb == asked.verb && a.group == asked.group && a.resource == asked.resource &&
		(a.namespace == "" || a.namespace == asked.namespace) && (a.name == "" || a.name == asked.name)
}

// printedRole is a Role or, without a namespace, a ClusterRole.
type printedRole struct {
	name, namespace string
	rules           []rbacv1.PolicyRule
}

// accesses takes a rule apart.
func (r printedRole) accesses(rule rbacv1.PolicyRule) []access {
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	var out []access
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				for _, name := range names {
					out = append(out, access{verb, group, resource, r.namespace, name})
				}
			}
		}
	}
	return out
}

// printed is what `fluxover rbac` printed for an account, and applied.
type printed struct {
	command    string
	user       string // as the API server names it
	kubeconfig string
	since      time.Time
	roles      []printedRole
}

func (p *printed) all() []access {
	var out []access
	for _, role := range p.roles {
		for _, rule := range role.rules {
			out = append(out, role.accesses(rule)...)
		}
	}
	return out
}

// grant prints the rights of a command for an account, applies them as they
// were printed, and gives the account a kubeconfig with a token of its own. An
// account that is not in namespace default is somebody else's and gets none.
func (w *world) grant(command, account string, args ...string) *printed {
	w.t.Helper()
	namespace, name, _ := strings.Cut(account, "/")
	p := &printed{command: command, user: "system:serviceaccount:" + namespace + ":" + name, since: time.Now()}
	args = append([]string{"rbac", "--for", command, "--service-account", account}, args...)
	text := w.run(0, args...).out
	file := filepath.Join(w.t.TempDir(), "rights.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.kubectl("apply", "-f", file)
	var list struct {
		Items []struct {
			Kind     string
			Metadata metav1.ObjectMeta
			Rules    []rbacv1.PolicyRule
		}
	}
	if err := json.Unmarshal([]byte(w.run(0, append(args, "-o", "json")...).out), &list); err != nil {
		w.t.Fatal(err)
	}
	for _, item := range list.Items {
		if item.Kind == "Role" || item.Kind == "ClusterRole" {
			p.roles = append(p.roles, printedRole{item.Metadata.Name, item.Metadata.Namespace, item.Rules})
		}
	}
	if namespace != "default" {
		return p
	}
	w.kubectl("create", "serviceaccount", "-n", namespace, name)
	token, err := w.kube().CoreV1().ServiceAccounts(namespace).CreateToken(w.t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	p.kubeconfig = w.kubeconfig(w.ControlPlane.Server, token.Status.Token)
	return p
}

// with runs the program as the account.
func (p *printed) with(w *world, args ...string) result {
	w.t.Helper()
	return w.try(nil, append(args, "--kubeconfig", p.kubeconfig)...)
}

// succeeds runs it and demands the exit code, and no word about rights.
func (p *printed) succeeds(w *world, want int, args ...string) result {
	w.t.Helper()
	r := p.with(w, args...)
	if r.code != want || speaksOfRights(r) {
		w.t.Fatalf("fluxover %s under the rights of %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), p.command, r.code, want, r.out, r.stderr)
	}
	return r
}

// speaksOfRights reports whether a run named a right that is missing.
func speaksOfRights(r result) bool {
	text := words(r.out + r.stderr)
	return slices.ContainsFunc([]string{"you may not ", "you lack rights", "forbidden", "Forbidden", "RBAC_MISSING", "NAMES_UNREAD"}, func(s string) bool { return strings.Contains(text, s) })
}

// setRules writes the rules of a role.
func (w *world) setRules(role printedRole, rules []rbacv1.PolicyRule) {
	w.t.Helper()
	ctx, api := w.t.Context(), w.kube().RbacV1()
	if role.namespace == "" {
		live, err := api.ClusterRoles().Get(ctx, role.name, metav1.GetOptions{})
		if err == nil {
			live.Rules = rules
			_, err = api.ClusterRoles().Update(ctx, live, metav1.UpdateOptions{})
		}
		if err != nil {
			w.t.Fatal(err)
		}
		return
	}
	live, err := api.Roles(role.namespace).Get(ctx, role.name, metav1.GetOptions{})
	if err == nil {
		live.Rules = rules
		_, err = api.Roles(role.namespace).Update(ctx, live, metav1.UpdateOptions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// may asks the API server.
func (w *world) may(user string, a access) bool {
	w.t.Helper()
	resource, sub, _ := strings.Cut(a.resource, "/")
	parts := strings.Split(user, ":") // system:serviceaccount:namespace:name
	review, err := w.kube().AuthorizationV1().SubjectAccessReviews().Create(w.t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + parts[2], "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: a.verb, Group: a.group, Resource: resource, Subresource: sub, Namespace: a.namespace, Name: a.name},
	}}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return review.Status.Allowed
}

// without takes one rule away while do runs. It fails where the rule was
// needless: where another one gives the same, all of it or a part.
func (w *world) without(p *printed, role printedRole, i int, do func(rule string)) {
	w.t.Helper()
	rule := role.rules[i]
	w.setRules(role, slices.Delete(slices.Clone(role.rules), i, i+1))
	taken := slices.DeleteFunc(role.accesses(rule), func(a access) bool {
		return w.may("system:serviceaccount:default:nobody-in-particular", a) // Kubernetes gives it to all
	})
	if len(taken) == 0 {
		w.t.Fatalf("everybody has what rule %d of %s in %q gives", i, role.name, role.namespace)
	}
	name := fmt.Sprintf("rule %d of %s in %q (%s)", i, role.name, role.namespace, taken[0])
	settled := func(allowed bool) {
		for _, a := range taken {
			w.eventually(10*time.Second, fmt.Sprintf("%s: may %s is %v", name, a, allowed), func(context.Context) bool { return w.may(p.user, a) == allowed })
		}
	}
	settled(false)
	do(name)
	w.setRules(role, role.rules)
	settled(true)
}

// rulePlace names one rule of a printed role.
type rulePlace struct {
	role printedRole
	i    int
}

// sample is every rule that fits with LONG=1, else n of them.
func (p *printed) sample(t *testing.T, n int, fits func(printedRole, rbacv1.PolicyRule) bool) []rulePlace {
	t.Helper()
	var all []rulePlace
	for _, role := range p.roles {
		for i, rule := range role.rules {
			if fits(role, rule) {
				all = append(all, rulePlace{role, i})
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("no rule of %s fits", p.command)
	}
	return sample(t, n, all)
}

func readsOnly(rule rbacv1.PolicyRule) bool {
	return !slices.ContainsFunc(rule.Verbs, func(v string) bool { return v != "get" && v != "list" })
}

// requests are what a user did, as the audit log has it, since a time. Those
// refused are left out, but not those that found nothing or somebody first.
func (w *world) requests(user string, since time.Time) []access {
	w.t.Helper()
	var out []access
	seen := map[access]bool{}
	add := func(a access) {
		if !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	type event struct {
		auditor.Event
		ImpersonatedUser *struct {
			Username string
			Groups   []string
		} `json:"impersonatedUser"`
	}
	audited(w, func(e *event) {
		if e.User.Username != user || e.StageTimestamp.Before(since) || e.ObjectRef == nil || e.ResponseStatus == nil {
			return
		}
		if e.ImpersonatedUser != nil {
			// It was allowed, whatever became of the request.
			parts := strings.Split(e.ImpersonatedUser.Username, ":")
			add(access{"impersonate", "", "serviceaccounts", parts[2], parts[3]})
			for _, group := range e.ImpersonatedUser.Groups {
				add(access{"impersonate", "", "groups", "", group})
			}
			return
		}
		if code := e.ResponseStatus.Code; code >= 400 && code != 404 && code != 409 {
			return
		}
		resource := e.ObjectRef.Resource
		if e.ObjectRef.Subresource != "" {
			resource += "/" + e.ObjectRef.Subresource
		}
		namespace := e.ObjectRef.Namespace
		if resource == "namespaces" {
			namespace = ""
		}
		a := access{e.Verb, e.ObjectRef.APIGroup, resource, namespace, e.ObjectRef.Name}
		add(a)
		if a.verb == "patch" && e.ResponseStatus.Code == 201 {
			a.verb = "create"
			add(a)
		}
	})
	return out
}

// unused are the rights that a run in which all goes well does not use, and
// when they are used; an empty field fits everything.
var unused = []struct {
	command string
	access
	why string
}{
	{"", access{verb: "escalate"}, "asked for inside a write of a role"},
	{"", access{verb: "bind"}, "asked for inside a write of a binding"},
	{"prove", access{verb: "impersonate", namespace: "flux-system"}, "only once the old accounts are fenced"},
	{"prove", access{verb: "impersonate", name: "system:serviceaccounts:flux-system"}, "as above"},
	{"migrate", access{verb: "delete"}, "only when a repository fails and is put back, or Helm was cut off"},
	{"migrate", access{verb: "patch", resource: "deployments", namespace: "flux-system"}, "only when our own release is upgraded or taken over after a crash"},
	{"migrate", access{verb: "patch", resource: "services", namespace: "flux-system"}, "as above"},
	{"migrate", access{verb: "patch", resource: "networkpolicies", namespace: "flux-system"}, "as above"},
	{"migrate", access{verb: "patch", resource: "clusterrolebindings", name: "flux-system-fluxover-agent"}, "as above"},
	{"migrate", access{verb: "patch", resource: "serviceaccounts", namespace: "flux-system"}, "as above, besides staging"},
	{"rollback", access{verb: "create", resource: "leases"}, "only when somebody deleted the Lease"},
	{"rollback", access{verb: "patch", resource: "gitrepositories"}, "only with a flux-capacitor, or when no controller takes the finalizer away"},
	{"status", access{verb: "list", resource: "pods"}, "only when who told an old agent to end died"},
	{"agent", access{verb: "get", resource: "gitrepositories"}, "only when what it remembers is behind"},
	{"agent", access{verb: "get", resource: "configmaps"}, "only for spec.postBuild.substituteFrom"},
	{"agent", access{verb: "get", resource: "serviceaccounts"}, "only when an apply is refused, to say why"},
	{"agent", access{verb: "patch", resource: "events"}, "only when an event is repeated"},
	{"agent", access{verb: "create", resource: "leases"}, "only when the leases are not there yet"},
	{"agent", access{verb: "list"}, "only where the API server cannot begin a watch with a list"},
}

func excused(command, namespace string, a access, teams []string) bool {
	// Objects are written when they are given back.
	if command == "migrate" && (a.verb == "update" || a.verb == "patch") && (slices.Contains(teams, namespace) || a.namespace == "" && a.resource == "namespaces") {
		return true
	}
	return slices.ContainsFunc(unused, func(u struct {
		command string
		access
		why string
	}) bool {
		fits := func(want, is string) bool { return want == "" || want == is }
		return fits(u.command, command) && fits(u.verb, a.verb) && fits(u.group, a.group) && fits(u.resource, a.resource) && fits(u.namespace, a.namespace) && fits(u.name, a.name)
	})
}

// justly demands that what a command did is what was printed for it, no more
// and no less.
func (w *world) justly(p *printed) {
	w.t.Helper()
	did := w.requests(p.user, p.since)
	if len(did) == 0 {
		w.t.Errorf("%s asked for nothing", p.command)
	}
	allowed := p.all()
	for _, a := range did {
		if p.command == "agent" && a.resource == "groups" {
			continue // it sends none along: the API server fills them in, and asks for no right
		}
		if a.group == "authorization.k8s.io" && a.resource == "selfsubjectaccessreviews" {
			continue // everybody may ask what he may do
		}
		if !slices.ContainsFunc(allowed, func(o access) bool { return o.allows(a) }) {
			w.t.Errorf("%s did what was not printed: %s", p.command, a)
		}
	}
	var teams []string
	for _, team := range w.Teams {
		teams = append(teams, team.Namespace)
	}
	for _, role := range p.roles {
		for _, rule := range role.rules {
			used := func(a access) bool {
				// Any of the names will do: which one it is is not up to the command.
				return slices.ContainsFunc(did, a.allows)
			}
			all := role.accesses(rule)
			if readsOnly(rule) {
				// Objects of any kind may carry a mark: that one kind of the group is looked at is enough.
				if !slices.ContainsFunc(all, used) && !slices.ContainsFunc(all, func(a access) bool { return excused(p.command, role.namespace, a, teams) }) {
					w.t.Errorf("%s never used %v in %q", p.command, rule, role.namespace)
				}
				continue
			}
			for _, a := range all {
				if !used(a) && !excused(p.command, role.namespace, a, teams) {
					w.t.Errorf("%s never used what was printed: %s", p.command, a)
				}
			}
		}
	}
}

func TestEachCommandRunsUnderExactlyThePrintedRights(t *testing.T) {
	beside(t)
	w := up(t, laboratory.Options{Teams: 2, Apps: 1, Seed: 11})
	file := filepath.Join(t.TempDir(), "plan.json")

	discoverer := w.grant("discover", "default/discoverer")
	discoverer.succeeds(w, 0, "discover")
	planner := w.grant("plan", "default/planner")
	if r := planner.with(w, planArgs()...); r.code != 3 || !strings.Contains(words(r.out), "proof offline") || strings.Count(words(r.out), "you may not") != strings.Count(words(r.out), "you may not impersonate") {
		t.Fatalf("plan without impersonation: exit code %d\n%s%s", r.code, r.out, r.stderr)
	}
	prover := w.grant("prove", "default/prover")
	prover.succeeds(w, 0, planArgs("--out", file)...)
	prover.succeeds(w, 0, append([]string{"diff"}, acceptAll...)...)
	w.justly(discoverer)
	w.justly(planner)
	w.justly(prover)
	for _, r := range discoverer.sample(t, 3, func(printedRole, rbacv1.PolicyRule) bool { return true }) {
		w.without(discoverer, r.role, r.i, func(rule string) {
			if got := discoverer.with(w, "discover"); !speaksOfRights(got) {
				t.Errorf("discover does not say that it lacks %s\n%s%s", rule, got.out, got.stderr)
			}
		})
	}
	for _, r := range prover.sample(t, 2, func(_ printedRole, rule rbacv1.PolicyRule) bool { return !readsOnly(rule) }) {
		w.without(prover, r.role, r.i, func(rule string) {
			got := prover.with(w, planArgs()...)
			future := r.role.namespace == "flux-system" || slices.Equal(r.role.rules[r.i].ResourceNames, []string{"system:serviceaccounts:flux-system"})
			if !future && (got.code != 3 || !speaksOfRights(got)) {
				t.Errorf("plan does not say that it lacks %s: exit code %d\n%s%s", rule, got.code, got.out, got.stderr)
			}
		})
	}

	migrator := w.grant("migrate", "default/migrator", file)
	args := []string{"migrate", file, "--yes", "--image", image}
	for _, r := range migrator.sample(t, 4, func(_ printedRole, rule rbacv1.PolicyRule) bool { return !readsOnly(rule) }) {
		before := w.dump()
		w.without(migrator, r.role, r.i, func(rule string) {
			got := migrator.with(w, args...)
			if got.code != 3 || !speaksOfRights(got) || !strings.Contains(words(got.stderr), "nothing has changed") {
				t.Fatalf("migrate does not refuse without %s: exit code %d\n%s%s", rule, got.code, got.out, got.stderr)
			}
		})
		for id := range w.dump() {
			if before[id] == nil && !strings.HasPrefix(id, "default_") {
				t.Errorf("%s was made without %v", id, r.role.rules[r.i])
			}
		}
	}
	migrator.succeeds(w, 0, args...)
	w.justly(migrator)

	watcher := w.grant("status", "default/watcher", file)
	watcher.succeeds(w, 0, "status")
	w.justly(watcher)
	for _, r := range watcher.sample(t, 1, func(_ printedRole, r rbacv1.PolicyRule) bool { return !slices.Contains(r.Resources, "pods") }) {
		w.without(watcher, r.role, r.i, func(rule string) {
			if got := watcher.with(w, "status"); got.code != 1 || !speaksOfRights(got) {
				t.Errorf("status does not fail without %s: exit code %d\n%s%s", rule, got.code, got.out, got.stderr)
			}
		})
	}

	pauser := w.grant("pause", "default/pauser")
	pauser.succeeds(w, 0, "pause")
	pauser.succeeds(w, 0, "resume")
	w.justly(pauser)
	if got := watcher.with(w, "pause"); got.code != 1 || !speaksOfRights(got) {
		t.Errorf("who may only look may pause: exit code %d\n%s%s", got.code, got.out, got.stderr)
	}

	w.testAgentRights(file)

	returner := w.grant("rollback", "default/returner", file)
	back := []string{"rollback", "--yes", "--uninstall-agent"}
	for _, r := range returner.sample(t, 1, func(_ printedRole, rule rbacv1.PolicyRule) bool {
		return !readsOnly(rule) && !slices.ContainsFunc(rule.Verbs, func(v string) bool { return v == "escalate" || v == "bind" })
	}) {
		w.without(returner, r.role, r.i, func(rule string) {
			got := returner.with(w, back...)
			excuse := true
			for _, a := range r.role.accesses(r.role.rules[r.i]) {
				// Whoever may not try whether the fence is down believes it after a while.
				excuse = excuse && (a.verb == "impersonate" || excused("rollback", r.role.namespace, a, nil))
			}
			if !excuse && !speaksOfRights(got) {
				t.Errorf("rollback says nothing without %s: exit code %d\n%s%s", rule, got.code, got.out, got.stderr)
			}
		})
		// The same command goes on once the right is there.
		returner.succeeds(w, 0, back...)
		w.synced() // or what the new agent applied since looks like drift
		w.migrate()
	}
	returner.succeeds(w, 0, back...)
	returner.succeeds(w, 0, "abort", "--yes") // what is unfinished; here nothing
	w.justly(returner)
	w.synced()
}

// A flux-capacitor asks for more of whoever migrates and goes back, and that is what
// is printed for it; the rights without it do not do.
func TestAFluxCapacitorNeedsExactlyThePrintedRights(t *testing.T) {
	beside(t)
	w := up(t, laboratory.Options{Teams: 2, Apps: 1, Seed: 14})
	c := newCapacitor(w)
	file := filepath.Join(t.TempDir(), "plan.json")
	w.run(0, planArgs("--out", file)...)
	args := append([]string{"migrate", file, "--yes", "--image", image}, c.flags(c.writer, c.knownHosts)...)

	plain := w.grant("migrate", "default/plain", file)
	before := w.dump()
	if got := plain.with(w, args...); got.code != 3 || !speaksOfRights(got) || !strings.Contains(words(got.stderr), "nothing has changed") {
		t.Fatalf("migrate does not refuse without the rights for a flux-capacitor: exit code %d\n%s%s", got.code, got.out, got.stderr)
	}
	for id := range w.dump() {
		if before[id] == nil && !strings.HasSuffix(id, "kube-root-ca.crt__ConfigMap") && !strings.HasSuffix(id, "_default__ServiceAccount") {
			t.Errorf("%s was made without the rights for a flux-capacitor", id)
		}
	}
	w.justlyAndBack(file, args, []string{"rollback", "--yes", "--uninstall-agent"}, "--capacitor")
}

// Where controllers that already run take over, nothing is installed, and so less is asked for.
func TestControllersThatAlreadyRunNeedExactlyThePrintedRights(t *testing.T) {
	beside(t)
	needStock(t)
	w := up(t, laboratory.Options{Teams: 2, Apps: 1, Seed: 15})
	w.installStock()
	file := filepath.Join(t.TempDir(), "plan.json")
	w.run(0, planArgs("--engine", "existing", "--out", file)...)
	w.justlyAndBack(file, []string{"migrate", file, "--yes"}, []string{"rollback", "--yes"})
}

// justlyAndBack migrates as a plan says and goes back, each by an account of exactly
// the rights that are printed for it.
func (w *world) justlyAndBack(plan string, migrate, back []string, with ...string) {
	w.t.Helper()
	migrator := w.grant("migrate", "default/migrator", append([]string{plan}, with...)...)
	migrator.succeeds(w, 0, migrate...)
	w.justly(migrator)
	returner := w.grant("rollback", "default/returner", append([]string{plan}, with...)...)
	returner.succeeds(w, 0, back...)
	w.justly(returner)
	w.synced()
}

// testAgentRights lets the bundled agent work under the printed rights alone,
// from its start on.
func (w *world) testAgentRights(plan string) {
	const binding = "flux-system-fluxover-agent"
	wide := w.kubectl("get", "clusterrolebinding", binding, "-o", "json")
	agent := w.grant("agent", "flux-system/fluxover-agent", plan)
	w.kubectl("delete", "clusterrolebinding", binding)
	w.eventually(10*time.Second, "the agent is no cluster-admin", func(context.Context) bool {
		return !w.may(agent.user, access{verb: "delete", resource: "nodes"})
	})
	w.kubectl("delete", "pod", "-n", "flux-system", "--all")
	agent.since = time.Time{} // what it did while it might do everything counts as well
	for _, team := range w.Teams {
		w.arrives(team, w.commit(team))
	}
	w.justly(agent)
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(w.ControlPlane.BinDir, "kubectl"), "create", "-f", "-")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig)
	cmd.Stdin = strings.NewReader(wide)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("give the agent its binding back: %v\n%s", err, out)
	}
}
