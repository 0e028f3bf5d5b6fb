package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

// rightsPlan is a plan of two repositories, one of them confined, with an
// account that somebody else uses too.
func rightsPlan(t *testing.T) migrate.Plan {
	t.Helper()
	object := func(text string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		return u
	}
	return migrate.Plan{
		APIVersion: migrate.APIVersion, Kind: "Plan",
		ClusterAgent: migrate.ClusterAgent{Engine: "bundled", Namespace: "flux-system", Release: "flux-agent"},
		Inputs: migrate.PlanInputs{Cluster: "uid", Agents: map[string]migrate.Fingerprint{
			"old/shop": {"account": "shop-flux", "workload": "shop"},
			"old/till": {"account": "till-flux", "workload": "till"},
		}},
		Findings: []migrate.Finding{{Repository: "old/till", Code: discover.SharedAccount.Name}},
		Repositories: []migrate.Repository{
			{ID: "old/shop", Kustomizations: []*unstructured.Unstructured{object(`{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {namespace: flux-system, name: shop-web}, spec: {serviceAccountName: shop}}`)},
				Supporting: []*unstructured.Unstructured{
					object(`{apiVersion: v1, kind: ServiceAccount, metadata: {namespace: flux-system, name: shop}}`),
					object(`{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {namespace: shop, name: "fluxover:shop:flux"}}`),
					object(`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {namespace: shop, name: "fluxover:shop:flux"}, roleRef: {kind: ClusterRole, name: edit}}`),
				},
				Objects: []migrate.ObjectPlan{{ID: "shop_web_apps_Deployment"}, {ID: "shop_own_rbac.authorization.k8s.io_RoleBinding"}, {ID: "_shop__Namespace"}, {ID: "shop_kept__Secret", Verb: migrate.Skip}}},
			{ID: "old/till", Kustomizations: []*unstructured.Unstructured{object(`{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {namespace: flux-system, name: till-web}, spec: {serviceAccountName: till}}`)},
				Objects: []migrate.ObjectPlan{{ID: "till_c__ConfigMap"}}},
		},
	}
}

func rightsScope(t *testing.T) scope {
	t.Helper()
	s := scopeOf(rightsPlan(t))
	s.kinds = []schema.GroupResource{{Resource: "configmaps"}, {Resource: "secrets"}, {Group: "apps", Resource: "deployments"}}
	s.namespaces = []string{"old", "shop", "till", "default", "kube-system"}
	return s
}

func TestEveryRowOfTheTableIsForCommandsThatThereAre(t *testing.T) {
	s := rightsScope(t)
	s.capacitor = true
	for _, row := range rightsTable {
		if len(row.commands) == 0 || row.why == "" || len(row.needs(s)) == 0 {
			t.Errorf("an empty row: %q for %v", row.why, row.commands)
		}
		for _, command := range row.commands {
			if !slices.Contains(rightsCommands, command) {
				t.Errorf("%q is for %q", row.why, command)
			}
		}
	}
	for _, command := range rightsCommands {
		if len(grantsOf(command, s)) == 0 {
			t.Errorf("%s needs nothing", command)
		}
	}
}

func TestWhatMoreRightsCoverIsNotPrintedTwice(t *testing.T) {
	s := rightsScope(t)
	for _, command := range rightsCommands {
		var all []right
		for _, g := range grantsOf(command, s) {
			all = append(all, g.rights()...)
		}
		for i, r := range all {
			for j, o := range all {
				if i != j && o.covers(r) {
					t.Errorf("%s: %q is needless beside %q", command, r, o)
				}
			}
		}
		// Nothing was lost.
		for _, row := range rightsTable {
			if !slices.Contains(row.commands, command) {
				continue
			}
			for _, n := range row.needs(s) {
				for _, r := range n.rights() {
					if !slices.ContainsFunc(all, func(o right) bool { return o.covers(r) }) {
						t.Errorf("%s: %q is not printed", command, r)
					}
				}
			}
		}
	}
}

func TestRightsNameWhatThePlanNames(t *testing.T) {
	s := rightsScope(t)
	for _, c := range []struct {
		command string
		right
		want bool
	}{
		{"prove", right{"impersonate", "", "serviceaccounts", "old", "shop-flux"}, true},
		{"prove", right{"impersonate", "", "groups", "", "system:serviceaccounts:old"}, true},
		{"prove", right{"impersonate", "", "serviceaccounts", "flux-system", "shop"}, true},
		{"prove", right{"impersonate", "", "serviceaccounts", "old", ""}, false},
		{"discover", right{"impersonate", "", "serviceaccounts", "old", "shop-flux"}, false},
		{"migrate", right{"impersonate", "authentication.k8s.io", "userextras/authentication.kubernetes.io/pod-name", "", ""}, true},
		{"migrate", right{"escalate", groupRBAC, "roles", "shop", "fluxover:shop:flux"}, true},
		{"migrate", right{"escalate", groupRBAC, "roles", "shop", ""}, false},
		{"migrate", right{"bind", groupRBAC, "clusterroles", "shop", "edit"}, true},
		{"migrate", right{"bind", groupRBAC, "clusterroles", "", "cluster-admin"}, true},
		{"migrate", right{"create", "", "namespaces", "", ""}, true},
		{"migrate", right{"patch", "apps", "deployments", "old", "till"}, true},
		{"migrate", right{"delete", "apps", "deployments", "flux-system", ""}, false},
		{"rollback", right{"delete", "apps", "deployments", "flux-system", ""}, true},
		{"rollback", right{"update", "apps", "deployments", "shop", ""}, true},
		{"rollback", right{"bind", groupRBAC, "clusterroles", "shop", ""}, true},
		{"rollback", right{"update", "", "namespaces", "", ""}, true},
		{"rollback", right{"update", "", "secrets", "shop", ""}, false}, // it is left alone
		{"status", right{"get", groupAdmission, "validatingadmissionpolicybindings", "", "fluxover-fence.old.shop"}, true},
		{"status", right{"list", "", "pods", "old", ""}, true},
		{"agent", right{"impersonate", "", "serviceaccounts", "flux-system", "till"}, true},
		{"agent", right{"watch", "apps", "deployments", "", ""}, true},
	} {
		var all []right
		for _, g := range grantsOf(c.command, s) {
			all = append(all, g.rights()...)
		}
		if got := slices.ContainsFunc(all, func(r right) bool { return r.covers(c.right) }); got != c.want {
			t.Errorf("%s may %q: %v, want %v", c.command, c.right, got, c.want)
		}
	}
	s.plan.ClusterAgent.Engine = "existing"
	for _, g := range grantsOf("migrate", s) {
		if slices.Contains(g.names, "cluster-admin") || slices.Contains(g.resources, "networkpolicies") {
			t.Errorf("an engine that is there needs no %v", g.need)
		}
	}
}

func TestAnAgentOfWhichNothingIsKnownGivesNoRightToAll(t *testing.T) {
	plan := rightsPlan(t)
	plan.Inputs.Agents = nil
	for _, g := range grantsOf("migrate", scopeOf(plan)) {
		if slices.Contains(g.verbs, "impersonate") && len(g.names) == 0 || slices.Contains(g.names, "") {
			t.Errorf("%v", g.need)
		}
	}
}

func TestRolesArePrintedWithTheirReasonsAndReadBackTheSame(t *testing.T) {
	s := rightsScope(t)
	roles, homeless := rolesOf("migrate", grantsOf("migrate", s), append(s.namespaces, "fluxover-system", "flux-system"))
	if len(homeless) > 0 || roles[0].namespace != "" {
		t.Errorf("%v, first %q", homeless, roles[0].namespace)
	}
	subjects := []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "a/b"}, {Kind: "ServiceAccount", Namespace: "ci", Name: "bot"}}
	var text bytes.Buffer
	if err := writeRoles(&text, []string{"fluxover-system"}, roles, subjects); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(listOf([]string{"fluxover-system"}, roles, subjects))
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []map[string]any }
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	var read []map[string]any
	for _, document := range strings.Split(text.String(), "---\n")[1:] {
		var m map[string]any
		if err := yaml.UnmarshalStrict([]byte(document), &m); err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		read = append(read, m)
	}
	for _, m := range list.Items { // what only a server fills in
		delete(m, "status")
		delete(m, "spec")
	}
	if diff := cmp.Diff(list.Items, read); diff != "" {
		t.Error(diff)
	}
	for _, want := range []string{"# puts the fence up\n", "name: fluxover:migrate:user:a:b\n", "name: fluxover:migrate:serviceaccount:ci:bot\n", "fluxover.dev/managed: \"true\"\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(text.String(), "null") {
		t.Errorf("null in:\n%s", text.String())
	}
	_, homeless = rolesOf("migrate", grantsOf("migrate", s), []string{"old"})
	if !slices.Contains(homeless, "shop") {
		t.Errorf("nobody says that namespace shop is not there: %v", homeless)
	}
}

// freshDiscovery asks anew each time.
type freshDiscovery struct{ discovery.DiscoveryInterface }

func (freshDiscovery) Fresh() bool { return true }
func (freshDiscovery) Invalidate() {}

// asked is a cluster whose user may do everything but deny.
func asked(t *testing.T, plan migrate.Plan, deny func(right) bool) (*cluster.Client, *[]right) {
	t.Helper()
	kube := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "old"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	var rights []right
	kube.PrependReactor("create", "selfsubjectaccessreviews", func(a kubetesting.Action) (bool, runtime.Object, error) {
		review := a.(kubetesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		at := review.Spec.ResourceAttributes
		r := right{at.Verb, at.Group, at.Resource, at.Namespace, at.Name}
		if at.Subresource != "" {
			r.resource += "/" + at.Subresource
		}
		rights = append(rights, r) // a fake client calls its reactors one at a time
		review.Status.Allowed = !deny(r)
		return true, review, nil
	})
	return &cluster.Client{Kube: kube, Discovery: freshDiscovery{kube.Discovery()}}, &rights
}

func TestMigrateIsRefusedWithoutAnyOneOfItsRightsWhichIsNamed(t *testing.T) {
	plan := rightsPlan(t)
	everything := right{"*", "*", "*", "", ""}
	c, rights := asked(t, plan, func(r right) bool { return r == everything })
	if err := mayMigrate(t.Context(), c, plan, false); err != nil {
		t.Fatal(err)
	}
	needed := slices.DeleteFunc(slices.Clone(*rights), func(r right) bool { return r == everything })
	if len(needed) < 50 {
		t.Fatalf("only %d rights are asked for: %v", len(needed), needed)
	}
	for _, lack := range needed {
		c, _ := asked(t, plan, func(r right) bool { return r == lack || r == everything })
		err := mayMigrate(t.Context(), c, plan, false)
		var exit *exitError
		if !errors.As(err, &exit) || exit.Code != exitBlocked || !strings.HasSuffix(err.Error(), ": "+lack.String()) ||
			!strings.Contains(fmt.Sprint(exit.Hints), "fluxover rbac --for migrate") {
			t.Errorf("without %q: %v", lack, err)
		}
	}
	c, rights = asked(t, plan, func(right) bool { return false })
	if err := mayMigrate(t.Context(), c, plan, false); err != nil || len(*rights) != 1 {
		t.Errorf("who may do everything is asked %d questions: %v", len(*rights), err)
	}
}

func TestRightsInWordsStandTogether(t *testing.T) {
	got := inWords([]right{
		{"create", "", "secrets", "a", ""}, {"patch", "", "secrets", "a", ""},
		{"impersonate", "", "groups", "", "g1"}, {"impersonate", "", "groups", "", "g2"}, {"impersonate", "", "groups", "", "g3"}, {"impersonate", "", "groups", "", "g4"},
		{"create", "", "namespaces", "", ""},
	})
	want := []string{"create, patch secrets in namespace a", "impersonate groups g1, g2, g3, and 1 more", "create namespaces"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRightsAreBoundToWhomTheFlagsName(t *testing.T) {
	cluster := answering(t, map[string]string{
		"/version":           `{"major":"1","minor":"33","gitVersion":"v1.33.0"}`,
		"/api":               `{"kind":"APIVersions","versions":["v1"]}`,
		"/apis":              `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
		"/api/v1":            `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"configmaps","kind":"ConfigMap","namespaced":true,"verbs":["get","list"]}]}`,
		"/api/v1/namespaces": `{"kind":"NamespaceList","apiVersion":"v1","items":[]}`,
	})
	code, out, stderr := try(t, append([]string{"rbac", "--for", "discover", "-o", "json", "--user", "ann", "--group", "platform,oncall", "--service-account", "ci/bot"}, cluster...)...)
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var list struct{ Items []unstructured.Unstructured }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	want := []any{
		map[string]any{"kind": "User", "apiGroup": groupRBAC, "name": "ann"},
		map[string]any{"kind": "Group", "apiGroup": groupRBAC, "name": "platform"},
		map[string]any{"kind": "Group", "apiGroup": groupRBAC, "name": "oncall"},
		map[string]any{"kind": "ServiceAccount", "namespace": "ci", "name": "bot"},
	}
	var got []any
	for _, item := range list.Items {
		if item.GetKind() == "ClusterRoleBinding" {
			subjects, _, err := unstructured.NestedSlice(item.Object, "subjects")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, subjects...)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("bound to: %s", d)
	}
}

func TestRBACRefusesWhatItCannotPrint(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, value any) string {
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	earlier := rightsPlan(t)
	earlier.Inputs.Agents = map[string]migrate.Fingerprint{}
	sealed := rightsPlan(t)
	for _, p := range []*migrate.Plan{&earlier, &sealed} {
		if err := p.SealUp(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "--for"},
		{[]string{"--for", "everything"}, "want one of discover, plan, prove, migrate, rollback"},
		{[]string{"--for", "prove", "--service-account", "ci"}, "want NAMESPACE/NAME"},
		{[]string{"--for", "prove", "--user", "a,"}, "empty"},
		{[]string{"--for", "prove", "--engine", "other"}, "--engine other"},
		{[]string{"--for", "prove", "-o", "text"}, "-o text"},
		{[]string{"--for", "prove", "a", "b"}, "one plan file"},
		{[]string{"--for", "prove", "--repo", "a/b", file("plan.json", sealed)}, "--repo"},
		{[]string{"--for", "prove", file("status.json", map[string]string{"kind": "Status"})}, "holds no plan"},
		{[]string{"--for", "prove", file("earlier.json", earlier)}, "earlier version"},
	} {
		var out, stderr bytes.Buffer
		if code := run(t.Context(), append([]string{"rbac"}, c.args...), nil, &out, &stderr); code != exitUsage || !strings.Contains(strings.Join(strings.Fields(stderr.String()), " "), c.says) {
			t.Errorf("rbac %q: exit code %d, says %s", c.args, code, stderr.String())
		}
		if out.Len() > 0 {
			t.Errorf("rbac %q prints %s", c.args, out.String())
		}
	}
}
