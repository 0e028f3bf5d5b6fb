package discover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

// refuse makes the fixture's API server refuse a verb on a resource.
func (f *fixture) refuse(verb, resource string, err error) {
	react := func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, err }
	f.kube.PrependReactor(verb, resource, react)
	f.meta.PrependReactor(verb, resource, react)
}

func TestWhatManyAgentsOfANamespaceUseIsReadAtOnce(t *testing.T) {
	read := func(refused bool) (string, int) {
		f := open(t, "testdata/cluster/http-credentials")
		if refused {
			for _, resource := range []string{"secrets", "configmaps", "serviceaccounts"} {
				f.kube.PrependReactor("list", resource, func(a k8stesting.Action) (bool, runtime.Object, error) {
					tokens := strings.HasPrefix(a.(k8stesting.ListAction).GetListRestrictions().Fields.String(), "type=")
					return a.GetNamespace() != "" && !tokens, nil, errors.New("too busy")
				})
			}
		}
		inv, err := f.witness.inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		alone := 0
		for _, a := range f.kube.Actions() {
			if a.GetVerb() == "get" && a.GetNamespace() == "flux" {
				alone++
			}
		}
		return dump(t, inv), alone
	}
	together, none := read(false)
	alone, some := read(true)
	if together != alone {
		t.Error("the way of reading changes what is found")
	}
	if none > 0 || some < 10 {
		t.Errorf("%d objects were read alone, and %d where they cannot be listed", none, some)
	}
}

func TestAMissingRightIsAFindingThatNamesIt(t *testing.T) {
	for _, tc := range []struct {
		verb, resource, folder string
		unknown                string // of the first agent
		agents                 bool
	}{
		{"list", "deployments", "ordinary", "", false},
		{"list", "namespaces", "ordinary", "", true},
		{"get", "namespaces", "ordinary", "", true},
		{"list", "secrets", "ordinary", "", true},
		{"get", "secrets", "ordinary", "synced", true},
		{"get", "secrets", "http-credentials", "synced", true},
		{"get", "configmaps", "ordinary", "defaultNamespace", true},
		{"get", "configmaps", "http-credentials", "git.branch", true},
		{"list", "configmaps", "ordinary", "", true},
		{"list", "pods", "ordinary", "running", true},
		{"list", "statefulsets", "ordinary", "", true},
		{"list", "daemonsets", "ordinary", "", true},
		{"list", "replicasets", "ordinary", "", true},
		{"list", "replicationcontrollers", "ordinary", "", true},
		{"list", "jobs", "ordinary", "", true},
		{"list", "cronjobs", "ordinary", "", true},
		{"list", "roles", "ordinary", "confinement", true},
		{"list", "rolebindings", "ordinary", "confinement", true},
		{"list", "clusterroles", "ordinary", "confinement", true},
		{"list", "clusterrolebindings", "ordinary", "confinement", true},
		{"list", "*", "ordinary", "", false},
	} {
		t.Run(tc.verb+" "+tc.resource+" in "+tc.folder, func(t *testing.T) {
			f := open(t, "testdata/cluster/"+tc.folder)
			no := apierrors.NewForbidden(schema.GroupResource{Resource: tc.resource}, "", errors.New("no"))
			f.refuse(tc.verb, tc.resource, no)
			if tc.verb == "get" { // who may list objects knows them as well
				f.kube.PrependReactor("list", tc.resource, func(a k8stesting.Action) (bool, runtime.Object, error) { return a.GetNamespace() != "", nil, no })
			}
			inv, err := f.witness.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(inv.Findings, func(f migrate.Finding) bool {
				return (f.Code == RBACMissing.Name || f.Code == AgentsUnknown.Name) && strings.Contains(f.Message, "may not "+tc.verb+" ") &&
					(tc.resource == "*" || strings.Contains(f.Message, tc.resource)) && (strings.Contains(f.Message, "namespace") || strings.HasPrefix(tc.resource, "cluster")) &&
					strings.Contains(f.Message, "unknown: ")
			})
			if i < 0 {
				t.Errorf("no finding names the right: %v", inv.Findings)
			}
			told := map[string]string{} // of one agent and one right, whatever the objects
			for _, f := range inv.Findings {
				kind, _, _ := strings.Cut(f.Where, "/")
				if f.Code != RBACMissing.Name || f.Repository == "" {
					continue
				}
				if before := told[f.Repository+kind]; before != "" {
					t.Errorf("told apart: %s; %s", before, f.Message)
				}
				told[f.Repository+kind] = f.Message
			}
			if tc.agents != (len(inv.Agents) > 0) {
				t.Fatalf("%d agents", len(inv.Agents))
			}
			// What may not be read is not told as missing: who follows that gives another key.
			whole, err := open(t, "testdata/cluster/"+tc.folder).witness.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			had := migrate.Build(whole, migrate.Options{}).Findings
			for _, f := range migrate.Build(inv, migrate.Options{}).Findings {
				if slices.Contains([]string{CredentialMissing.Name, "KNOWN_HOSTS_MISSING", "NEVER_SYNCED"}, f.Code) && tc.verb == "get" &&
					!slices.ContainsFunc(had, func(o migrate.Finding) bool { return o.Code == f.Code && o.Repository == f.Repository }) && !strings.Contains(f.Message, "you may not") {
					t.Errorf("told as missing: %v", f)
				}
			}
			if tc.unknown != "" && !slices.Contains(inv.Agents[0].Unknown, tc.unknown) {
				t.Errorf("%s is not unknown: %v", tc.unknown, inv.Agents[0].Unknown)
			}
			if tc.agents && (inv.Agents[0].Running == nil) != (tc.unknown == "running") {
				t.Errorf("whether it runs is told: %v", inv.Agents[0].Running)
			}
			if tc.unknown == "running" && slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == AgentStopped.Name }) {
				t.Error("an agent whose pods are not known is said to be stopped")
			}
			if tc.unknown == "confinement" && inv.Agents[0].Confinement.Kind != "" {
				t.Errorf("confinement is guessed: %v", inv.Agents[0].Confinement)
			}
			if tells(dump(t, inv)) {
				t.Error("a secret is told")
			}
		})
	}
}

func TestAFailingServerIsAnErrorAndNeverAnEmptyAnswer(t *testing.T) {
	for _, resource := range []string{"deployments", "namespaces", "secrets", "configmaps", "pods", "statefulsets", "replicasets", "jobs", "cronjobs", "roles", "clusterrolebindings"} {
		f := open(t, "testdata/cluster/ordinary")
		f.refuse("list", resource, apierrors.NewInternalError(errors.New("etcd is gone")))
		if inv, err := f.witness.inventory(t.Context()); err == nil || !strings.Contains(err.Error(), "etcd is gone") {
			t.Errorf("list %s: %v, %d agents", resource, err, len(inv.Agents))
		}
		f = open(t, "testdata/cluster/ordinary")
		f.refuse("get", resource, apierrors.NewInternalError(errors.New("etcd is gone")))
		if _, err := f.witness.inventory(t.Context()); err == nil && slices.Contains([]string{"namespaces", "secrets", "configmaps"}, resource) {
			t.Errorf("get %s: no error", resource)
		}
	}
}

func TestAnAPIGroupThatIsDownIsAFinding(t *testing.T) {
	f := open(t, "testdata/cluster/ordinary")
	down := &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{
		{Group: "custom.example.org", Version: "v1"}:  errors.New("503"),
		{Group: "metrics.k8s.io", Version: "v1beta1"}: errors.New("503"),
	}}
	f.witness.disco = failingDiscovery{f.witness.disco, down}
	inv, err := f.witness.inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]migrate.Severity{}
	for _, finding := range inv.Findings {
		if finding.Code == APIGroupDown.Name {
			got[finding.Subject] = finding.Severity
		}
	}
	want := map[string]migrate.Severity{"custom.example.org/v1": migrate.Blocker, "metrics.k8s.io/v1beta1": migrate.Warning}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	f = open(t, "testdata/cluster/ordinary")
	f.witness.disco = failingDiscovery{f.witness.disco, errors.New("no connection")}
	if _, err := f.witness.inventory(t.Context()); err == nil {
		t.Error("no error without discovery")
	}
}

// One kind that the API server does not give is no reason to tell nothing of the others, and
// never the same as a kind without objects.
func TestAKindThatTheServerDoesNotGiveIsAFinding(t *testing.T) {
	status := func(code int32) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: metav1.StatusReasonInternalError, Message: "conversion webhook for helm.fluxcd.io/v1 failed"}}
	}
	kindDown := func(inv migrate.Inventory) []migrate.Finding {
		return slices.DeleteFunc(slices.Clone(inv.Findings), func(f migrate.Finding) bool { return f.Code != APIKindDown.Name })
	}
	for name, err := range map[string]error{
		"429": apierrors.NewTooManyRequests("conversion webhook for helm.fluxcd.io/v1 failed", 30), "500": status(500), "502": status(502),
		"503": apierrors.NewServiceUnavailable("conversion webhook for helm.fluxcd.io/v1 failed"), "504": apierrors.NewTimeoutError("conversion webhook for helm.fluxcd.io/v1 failed", 0),
		"no answer in time": &url.Error{Op: "Get", URL: "https://api.example.com/apis/helm.fluxcd.io", Err: context.DeadlineExceeded},
		"connection ended":  &url.Error{Op: "Get", URL: "https://api.example.com/apis/helm.fluxcd.io", Err: io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, "testdata/cluster/ordinary")
			f.witness.patience = &cluster.Patience{}
			f.meta.PrependReactor("list", "helmreleases", func(a k8stesting.Action) (bool, runtime.Object, error) {
				return a.GetResource().Group == "helm.fluxcd.io", nil, err
			})
			inv, err := f.witness.inventory(t.Context())
			if err != nil || len(inv.Agents) == 0 {
				t.Fatal(len(inv.Agents), err)
			}
			found := kindDown(inv)
			says := "conversion webhook for helm.fluxcd.io/v1 failed"
			if name == "no answer in time" || name == "connection ended" {
				says = name
			}
			if len(found) != 1 || found[0].Subject != "helmreleases.helm.fluxcd.io" || found[0].Severity != migrate.Blocker || !found[0].Acceptable ||
				!strings.Contains(found[0].Message, says) || strings.Contains(found[0].Message, "https://") || !strings.Contains(found[0].Message, "unknown") {
				t.Errorf("%+v", found)
			}
		})
	}
	t.Run("for a moment", func(t *testing.T) {
		f := open(t, "testdata/cluster/ordinary")
		asked := 0
		f.meta.PrependReactor("list", "helmreleases", func(k8stesting.Action) (bool, runtime.Object, error) {
			asked++
			return asked < 3, nil, apierrors.NewTooManyRequests("slowly", 0)
		})
		var said []string
		f.witness.opts.Progress = func(line string) { said = append(said, line) }
		inv, err := f.witness.inventory(t.Context())
		if err != nil || len(kindDown(inv)) > 0 || asked < 4 {
			t.Errorf("asked %d times: %v, %v", asked, kindDown(inv), err)
		}
		if !slices.ContainsFunc(said, func(line string) bool {
			return strings.Contains(line, "waiting for helmreleases.helm.fluxcd.io") && strings.Contains(line, "slowly")
		}) {
			t.Errorf("it is not said what is waited for: %q", said)
		}
	})
	t.Run("accepted", func(t *testing.T) {
		f := open(t, "testdata/cluster/ordinary")
		f.witness.opts.Down = []string{"helmreleases.helm.fluxcd.io"}
		asked := 0
		f.meta.PrependReactor("list", "helmreleases", func(a k8stesting.Action) (bool, runtime.Object, error) {
			if a.GetResource().Group != "helm.fluxcd.io" {
				return false, nil, nil
			}
			asked++
			return true, nil, apierrors.NewTooManyRequests("its cache is not ready", 30)
		})
		inv, err := f.witness.inventory(t.Context())
		if found := kindDown(inv); err != nil || len(found) != 1 || found[0].Subject != f.witness.opts.Down[0] || asked != 1 {
			t.Errorf("asked %d times: %v, %v", asked, found, err)
		}
	})
	t.Run("object by object", func(t *testing.T) {
		f := open(t, "testdata/cluster/unapplied")
		f.witness.patience = &cluster.Patience{}
		f.meta.PrependReactor("get", "*", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, status(500) })
		inv, err := f.witness.inventory(t.Context())
		if err != nil || len(kindDown(inv)) == 0 || len(inv.Agents) == 0 {
			t.Errorf("%v, %v", inv.Findings, err)
		}
		if i := slices.IndexFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == Unapplied.Name }); i >= 0 {
			t.Errorf("what is not known is told: %s", inv.Findings[i])
		}
	})
	f := open(t, "testdata/cluster/ordinary")
	f.witness.patience = &cluster.Patience{}
	f.meta.PrependReactor("list", "helmreleases", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, &url.Error{Op: "Get", URL: "x", Err: syscall.ECONNREFUSED}
	})
	if _, err := f.witness.inventory(t.Context()); err == nil {
		t.Error("no error where the server cannot be reached")
	}
	// A server that answers nothing else either is not one with kinds that it does not give.
	silent := &url.Error{Op: "Get", URL: "x", Err: context.DeadlineExceeded}
	f = open(t, "testdata/cluster/ordinary")
	f.witness.patience = &cluster.Patience{}
	f.meta.PrependReactor("list", "helmreleases", func(k8stesting.Action) (bool, runtime.Object, error) {
		f.kube.PrependReactor("get", "namespaces", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, silent })
		return true, nil, silent
	})
	if _, err := f.witness.inventory(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("where nothing is answered: %v", err)
	}
	group := func(err error) (migrate.Inventory, error) {
		f := open(t, "testdata/cluster/ordinary")
		f.witness.disco = failingDiscovery{f.witness.disco, &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{{Group: "custom.example.org", Version: "v1"}: &url.Error{Op: "Get", URL: "x", Err: err}}}}
		return f.witness.inventory(t.Context())
	}
	if _, err := group(syscall.ECONNREFUSED); !cluster.IsUnreachable(err) {
		t.Errorf("where groups cannot be asked for: %v", err)
	}
	// Of several, it is always the same.
	f = open(t, "testdata/cluster/ordinary")
	groups := map[schema.GroupVersion]error{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		groups[schema.GroupVersion{Group: name + ".example.org", Version: "v1"}] = &url.Error{Op: "Get", URL: "x", Err: syscall.ECONNREFUSED}
	}
	f.witness.disco = failingDiscovery{f.witness.disco, &discovery.ErrGroupDiscoveryFailed{Groups: groups}}
	for range 5 {
		if _, err := f.witness.inventory(t.Context()); err == nil || !strings.Contains(err.Error(), "ask what a.example.org/v1 serves") {
			t.Fatalf("of several groups: %v", err)
		}
	}
	if inv, err := group(io.EOF); err != nil || !slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool {
		return f.Code == APIGroupDown.Name && f.Subject == "custom.example.org/v1"
	}) {
		t.Errorf("where the connection ends for one group alone: %v", err)
	}
}

// Discovery says that the API server cannot be reached only where nothing is answered, and
// else which question was not, without its address.
func TestWhatDiscoveryCannotDoWithoutIsNamedWhereItIsNotAnswered(t *testing.T) {
	request := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://api.example.com/apis/rbac.authorization.k8s.io", Err: err}
	}
	for name, c := range map[string]struct{ roles, probe, want error }{
		"cut":     {request(io.EOF), nil, ErrNotAnswered},
		"refused": {request(syscall.ECONNREFUSED), nil, ErrNotAnswered},
		"slow":    {request(context.DeadlineExceeded), nil, ErrNotAnswered},
		"all cut": {request(io.EOF), request(io.EOF), ErrUnreachable},
		"silence": {request(context.DeadlineExceeded), request(context.DeadlineExceeded), ErrUnreachable},
		"busy":    {apierrors.NewServiceUnavailable("down"), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := open(t, "testdata/cluster/ordinary")
			asked := false // under the lock of the client
			f.kube.PrependReactor("get", "namespaces", func(k8stesting.Action) (bool, runtime.Object, error) { return asked && c.probe != nil, nil, c.probe })
			f.kube.PrependReactor("list", "*", func(a k8stesting.Action) (bool, runtime.Object, error) {
				if r := a.GetResource().Resource; r != "roles" && r != "rolebindings" {
					return false, nil, nil
				}
				asked = true
				return true, nil, c.roles
			})
			_, err := f.witness.inventory(t.Context())
			err = f.witness.ending(t.Context(), err)
			named := c.want == ErrUnreachable || strings.Contains(fmt.Sprint(err), "list roles: ") && strings.Contains(err.Error(), "list rolebindings: ")
			if !named || strings.Contains(err.Error(), "https://") {
				t.Error(err)
			}
			for _, sentinel := range []error{ErrNotAnswered, ErrUnreachable} {
				if errors.Is(err, sentinel) != (c.want == sentinel) {
					t.Errorf("want %v: %v", c.want, err)
				}
			}
		})
	}
}

// What discovery cannot do without is waited for longer than an API server takes, and people
// are told so.
func TestWhatDiscoveryCannotDoWithoutIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		w := &witness{kube: fake.NewClientset(), opts: Options{Progress: func(line string) { said = append(said, line) }}}
		roles := func(takes time.Duration) error {
			said = nil
			return each(t.Context(), w, "roles", "", "", func(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
				select {
				case <-ctx.Done():
					return nil, &url.Error{Op: "Get", URL: "https://api.example.com", Err: ctx.Err()}
				case <-time.After(takes):
					return &rbacv1.RoleList{}, nil
				}
			}, func(*rbacv1.Role) {})
		}
		if err := roles(9 * time.Second); err != nil || len(said) > 0 {
			t.Errorf("%v; said %q", err, said)
		}
		if err := roles(65 * time.Second); err != nil || len(said) != 1 || !strings.Contains(said[0], "waiting for roles") {
			t.Errorf("%v; said %q", err, said)
		}
		err := w.ending(t.Context(), roles(time.Hour))
		if want := "list roles: no answer within 5m0s, while the API server answers other questions"; fmt.Sprint(err) != want || !errors.Is(err, ErrNotAnswered) {
			t.Errorf("got %v, want %s", err, want)
		}
		said = nil
		// The time of the bubble: nobody waits for these seconds.
		if _, err := askPatiently(t.Context(), w, "widgets", func(context.Context) (int, error) { time.Sleep(11 * time.Second); return 0, nil }); err != nil || len(said) != 1 {
			t.Errorf("%v; said %q", err, said)
		}
	})
}

// failingDiscovery gives its answers with an error.
type failingDiscovery struct {
	discovery.DiscoveryInterface
	err error
}

func (d failingDiscovery) ServerGroupsAndResources() ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
	groups, lists, err := d.DiscoveryInterface.ServerGroupsAndResources()
	if err == nil {
		err = d.err
	}
	return groups, lists, err
}

// Who may look into one namespace looks into it, and is not told that nothing is elsewhere.
func TestAgentsAreLookedForInANamespaceAlone(t *testing.T) {
	f := open(t, "testdata/cluster/ordinary")
	all, err := f.witness.inventory(t.Context())
	if err != nil || len(all.Agents) == 0 {
		t.Fatal(err)
	}
	ns := all.Agents[0].Namespace
	look := func(in string, refused func(namespace string) bool) (migrate.Inventory, string, error) {
		f := open(t, "testdata/cluster/ordinary")
		if in != "" {
			f.witness.opts.Namespaces = []string{in}
		}
		var said strings.Builder
		f.witness.opts.Progress = func(line string) { said.WriteString(line + "\n") }
		f.kube.PrependReactor("list", "deployments", func(a k8stesting.Action) (bool, runtime.Object, error) {
			return refused(a.GetNamespace()), nil, apierrors.NewForbidden(schema.GroupResource{Resource: "deployments"}, "", errors.New("no"))
		})
		inv, err := f.witness.inventory(t.Context())
		return inv, said.String(), err
	}
	has := func(inv migrate.Inventory, code string) bool {
		return slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == code })
	}
	inv, _, err := look(ns, func(namespace string) bool { return namespace != ns })
	if err != nil || len(inv.Agents) == 0 || slices.ContainsFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return a.Namespace != ns }) {
		t.Errorf("%d agents, %v", len(inv.Agents), err)
	}
	if has(inv, AgentsUnknown.Name) || !has(inv, OneNamespace.Name) {
		t.Errorf("%v", inv.Findings)
	}
	for _, in := range []string{"", ns} {
		inv, said, err := look(in, func(string) bool { return true })
		if err != nil || len(inv.Agents) > 0 || !has(inv, AgentsUnknown.Name) || strings.Contains(said, "found 0") || strings.Contains(said, "0 agents") {
			t.Errorf("in %q: %d agents, %v, %v\n%s", in, len(inv.Agents), err, inv.Findings, said)
		}
	}
	if _, _, err := look("nosuchns", func(string) bool { return false }); !errors.Is(err, ErrNoNamespace) || !strings.Contains(err.Error(), "nosuchns") {
		t.Errorf("%v", err)
	}
}

// One right that is missing is told once, for however many namespaces.
func TestARightThatIsMissingInManyNamespacesIsOneFinding(t *testing.T) {
	var objects []string
	for _, ns := range []string{"one", "two", "three"} {
		objects = append(objects, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: flux, namespace: "+ns+"}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: flux, image: fluxcd/flux:1.25.4, args: [--git-url=https://h/x]}]}}}\n")
	}
	f := open(t, writtenCluster(t, strings.Join(objects, "\n---\n")))
	no := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	f.refuse("list", "pods", no)
	inv, err := f.witness.inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, f := range inv.Findings {
		if f.Code == RBACMissing.Name && f.Where == "pods" && !strings.Contains(f.Message, "Flux v1 applied") { // which is said of all kinds at once
			said = append(said, f.Message)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "namespaces alone (") || !strings.Contains(said[0], "which agents run") || !strings.Contains(said[0], "whether a fluxd runs that is no Deployment") {
		t.Errorf("%q", said)
	}
	if slices.ContainsFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return a.Running != nil }) {
		t.Error("whether it runs is told of an agent")
	}
}

func TestAClusterWithoutAgentsGivesAnEmptyInventory(t *testing.T) {
	f := open(t, "testdata/cluster/ordinary")
	f.witness.opts.Namespaces = []string{"kube-system"}
	inv, err := f.witness.inventory(t.Context())
	if err != nil || inv.Agents == nil || len(inv.Agents) != 0 || inv.Findings == nil {
		t.Errorf("%v %v", inv, err)
	}
}
