package discover

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
	rbacv1 "k8s.io/api/rbac/v1"
)

const (
	confinedRelease = "resource \"helm_release\" \"%s\" {\n name = \"flux\"\n namespace = \"%s\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n" +
		" values = [\"{git: {url: 'git@h:%s', branch: main}, clusterRole: {create: %t}}\"]\n}\n"
	adminOf = "resource \"kubernetes_cluster_role_binding\" \"b\" {\n metadata {\n name = \"b\"\n }\n role_ref {\n api_group = \"rbac.authorization.k8s.io\"\n kind = \"ClusterRole\"\n name = \"%s\"\n }\n" +
		" subject {\n kind = \"ServiceAccount\"\n name = \"flux\"\n namespace = \"team\"\n }\n}\n"
)

// What binds the account of an agent counts wherever it is declared: in another folder of
// Terraform, in Terraform for an agent of Git, and in what another agent applies.
func TestWhatBindsAnAccountElsewhereCounts(t *testing.T) {
	const inGit = "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: flux, namespace: team}\nspec:\n  releaseName: flux\n  chart: {repository: 'https://charts.fluxcd.io', name: flux, version: 1.13.3}\n" +
		"  values: {git: {url: 'git@h:team', branch: main}, clusterRole: {create: false}}\n"
	const released = "apiVersion: helm.fluxcd.io/v1\nkind: HelmRelease\nmetadata: {name: r, namespace: team}\nspec:\n  chart: {git: 'git@h:team', path: charts/r}\n"
	bindingInGit := func(role string) string {
		return "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: " + role + "}\nsubjects: [{kind: ServiceAccount, name: flux, namespace: team}]\n"
	}
	jobInGit := func(account string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: bind, namespace: root}\nspec: {template: {spec: {containers: [{name: k, image: k, command: [kubectl, create, clusterrolebinding, b, '--clusterrole=cluster-admin', '--serviceaccount=" + account + "']}]}}}\n"
	}
	roleInGit := func(verb string) string {
		return "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: few}\nrules: [{apiGroups: ['*'], resources: ['*'], verbs: [" + verb + "]}, {nonResourceURLs: ['*'], verbs: ['*']}]\n"
	}
	reading := func(path string) string {
		return strings.Replace(fmt.Sprintf(confinedRelease, "root", "flux", "root", true), "branch: main", "branch: main, path: "+path, 1)
	}
	team, root := fmt.Sprintf(confinedRelease, "team", "team", "team", false), fmt.Sprintf(confinedRelease, "root", "flux", "root", true)
	for name, c := range map[string]struct {
		folders []string          // of Terraform
		git     map[string]string // of the repository of the agent of all rights
		own     map[string]string // of the team's
		want    string
		finding string
	}{
		"nothing":                                         {[]string{root, team}, nil, nil, "namespaces", ""},
		"of Terraform, in one folder":                     {[]string{team + fmt.Sprintf(adminOf, "cluster-admin")}, nil, nil, "cluster-admin", ""},
		"of Terraform, in another":                        {[]string{team, fmt.Sprintf(adminOf, "cluster-admin")}, nil, nil, "cluster-admin", ""},
		"an agent of Git alone":                           {[]string{root}, map[string]string{"a.yaml": inGit}, nil, "namespaces", ""},
		"an agent of Git, by Terraform":                   {[]string{root + fmt.Sprintf(adminOf, "cluster-admin")}, map[string]string{"a.yaml": inGit}, nil, "cluster-admin", ""},
		"an agent of Git, to a role that is not declared": {[]string{root + fmt.Sprintf(adminOf, "edit")}, map[string]string{"a.yaml": inGit}, nil, "", "kubernetes_cluster_role_binding.b"},
		"of Terraform, by Git":                            {[]string{root + team}, map[string]string{"b.yaml": bindingInGit("cluster-admin")}, nil, "cluster-admin", ""},
		"of Terraform, by Git to a role not declared":     {[]string{root + team}, map[string]string{"b.yaml": bindingInGit("edit")}, nil, "", "the repository of flux/flux binds it"},
		"of Git, by Git to a role of another folder":      {[]string{reading("cluster")}, map[string]string{"cluster/a.yaml": inGit, "cluster/b.yaml": bindingInGit("few"), "install/r.yaml": roleInGit("get")}, nil, "custom", ""},
		"of Terraform, by Git to one":                     {[]string{reading("cluster") + team}, map[string]string{"cluster/b.yaml": bindingInGit("few"), "install/r.yaml": roleInGit("get")}, nil, "custom", ""},
		"by Git to one of all rights":                     {[]string{reading("cluster") + team}, map[string]string{"cluster/b.yaml": bindingInGit("few"), "install/r.yaml": roleInGit("'*'")}, nil, "cluster-admin", ""},
		"by Git to one of another environment":            {[]string{reading("cluster") + team}, map[string]string{"cluster/b.yaml": bindingInGit("few"), "prod/r.yaml": roleInGit("get")}, nil, "", "is declared in prod/r.yaml:1, which may be for another cluster"},
		"by Git to one of two":                            {[]string{reading("cluster") + team}, map[string]string{"cluster/b.yaml": bindingInGit("few"), "x/r.yaml": roleInGit("get"), "y/r.yaml": roleInGit("list")}, nil, "", "in several ways"},
		"by Git to one that it applies":                   {[]string{reading("cluster") + team}, map[string]string{"cluster/b.yaml": bindingInGit("few") + "---\n" + roleInGit("get"), "y/r.yaml": roleInGit("'*'")}, nil, "custom", ""},
		"by what it applies itself, which it may": {[]string{root + team + fmt.Sprintf(adminOf, "e") + "resource \"kubernetes_cluster_role\" \"e\" {\n metadata {\n name = \"e\"\n }\n rule {\n api_groups = [\"rbac.authorization.k8s.io\"]\n resources = [\"*\"]\n verbs = [\"*\"]\n }\n}\n"},
			nil, map[string]string{"b.yaml": bindingInGit("cluster-admin")}, "cluster-admin", ""},
		"by a chart that it has another install": {[]string{root + team}, nil, map[string]string{"r.yaml": released, "charts/r/Chart.yaml": "name: r\nversion: 1.0.0\n", "charts/r/values.yaml": "a: b\n", "charts/r/templates/b.yaml": bindingInGit("cluster-admin")}, "", "installs the chart in charts/r"},
		"by a chart of another's":                {[]string{root + team}, map[string]string{"r.yaml": strings.Replace(released, "h:team", "h:root", 1), "charts/r/Chart.yaml": "name: r\nversion: 1.0.0\n", "charts/r/values.yaml": "a: b\n", "charts/r/templates/b.yaml": bindingInGit("cluster-admin")}, nil, "", "installs the chart in charts/r"},
		"by a Job of another's":                  {[]string{root + team}, map[string]string{"r.yaml": jobInGit("team:flux")}, nil, "", "root:job/bind in r.yaml:1 runs commands that bind accounts, and may bind it"},
		"by a Job of another's, of another":      {[]string{root + team}, map[string]string{"r.yaml": jobInGit("team:other")}, nil, "namespaces", ""},
		"by a Job that it applies itself":        {[]string{root + team}, nil, map[string]string{"r.yaml": strings.Replace(jobInGit("team:flux"), "namespace: root", "namespace: team", 1)}, "", "team:job/bind in r.yaml:1 runs commands"},
		"by what it applies itself":              {[]string{root + team}, nil, map[string]string{"b.yaml": bindingInGit("cluster-admin")}, "namespaces", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := TerraformOptions{Grants: &Grants{}}
			for _, config := range c.folders {
				o.Dirs = append(o.Dirs, written(t, map[string]string{"main.tf": config}))
			}
			inv, err := Terraform(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			var folders []Folder
			for url, files := range map[string]map[string]string{"git@h:root": c.git, "git@h:team": c.own} {
				if files != nil {
					folders = append(folders, Folder{URL: url, Dir: written(t, files)})
				}
			}
			if inv, err = Repositories(t.Context(), inv, folders, o.Grants, nil); err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return a.ID == "team/flux" })
			if i < 0 {
				t.Fatalf("no agent team/flux: %v", agentIDs(inv))
			}
			if a := inv.Agents[i]; a.Confinement.Kind != c.want || slices.Contains(a.Unknown, "confinement") != (c.want == "") {
				t.Errorf("%+v, unknown %v, not %q: %v", a.Confinement, a.Unknown, c.want, inv.Findings)
			}
			told := func(f migrate.Finding) bool { return f.Code == RightsUnknown.Name && f.Repository == "team/flux" }
			if j := slices.IndexFunc(inv.Findings, told); j >= 0 != (c.finding != "") || j >= 0 && !strings.Contains(inv.Findings[j].Message, c.finding) {
				t.Errorf("not told as %q: %v", c.finding, inv.Findings)
			}
		})
	}
}

// The namespace and the account of an agent are told of also where another folder declares
// them.
func TestWhatAnotherFolderDeclaresOfAnAgentIsToldOf(t *testing.T) {
	const beside = "resource \"kubernetes_namespace\" \"n\" {\n metadata {\n name = \"team\"\n }\n}\n" +
		"resource \"kubernetes_service_account\" \"a\" {\n metadata {\n name = \"flux\"\n namespace = \"team\"\n annotations = { \"eks.amazonaws.com/role-arn\" = \"arn:aws:iam::111111111111:role/x\" }\n }\n}\n"
	team := fmt.Sprintf(confinedRelease, "team", "team", "team", false)
	inv, err := Terraform(t.Context(), TerraformOptions{Dirs: []string{written(t, map[string]string{"main.tf": team}), written(t, map[string]string{"main.tf": beside})}})
	if err != nil {
		t.Fatal(err)
	}
	said(t, inv, "TERRAFORM_OWNS_NAMESPACE", "kubernetes_namespace.n")
	said(t, inv, "CLOUD_IDENTITY", "kubernetes_service_account.a")
}

// A module that is not there may bind the account of an agent, which is said of those that
// are known not to be allowed everything.
func TestAModuleThatIsNotReadMayBindAccounts(t *testing.T) {
	const module = "module \"m\" {\n source = \"git::https://example.com/m\"\n}\n"
	for all, want := range map[bool]string{false: "these agents may do more than is told of them: team/flux", true: ""} {
		inv := declaredBy(t, map[string]string{"main.tf": fmt.Sprintf(confinedRelease, "team", "team", "team", all) + module})
		f := said(t, inv, "TERRAFORM_MODULE_UNREAD", "module.m", want)
		if all && strings.Contains(f.Message, "may do more") {
			t.Error(f)
		}
		if !all && inv.Agents[0].Confinement.Kind != "namespaces" {
			t.Errorf("%+v", inv.Agents[0].Confinement)
		}
	}
}

// A helm-operator is told of also where not all is known of the release.
func TestAHelmOperatorOfAReleaseThatIsNotKnownInAllIsToldOf(t *testing.T) {
	const release = "variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n name = %s\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"%s\"\n values = [\"{git: {url: 'git@h:a'}, helmOperator: {create: %t}}\"]\n}\n"
	for _, c := range []struct {
		name, version string
		create, want  bool
	}{{`"flux"`, "0.14.1", true, true}, {"var.x", "0.14.1", true, true}, {`"flux"`, "0.4.1", true, true}, {"var.x", "0.14.1", false, false}, {"var.x", "1.13.3", true, false}} {
		inv := declaredBy(t, map[string]string{"main.tf": fmt.Sprintf(release, c.name, c.version, c.create)})
		if slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool { return f.Code == HelmOperator.Name }) != c.want {
			t.Errorf("%+v: %v", c, inv.Findings)
		}
	}
}

// A repository is not to blame where the agent names no branch.
func TestAnAgentThatNamesNoBranchIsToldOf(t *testing.T) {
	clone, _, _ := clonedShop(t)
	inv, err := Values(t.Context(), []ValuesFile{{Name: "flux/shop", File: "shop.yaml", Content: []byte("git: {url: 'git@git.example.com:org/shop', branch: ''}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	if inv, err = Repositories(t.Context(), inv, []Folder{{URL: "git@git.example.com:org/shop", Dir: clone}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if f := said(t, inv, "GIT_UNREADABLE", "the agent names no branch"); !strings.Contains(f.Hint, "git.branch") {
		t.Errorf("the hint is %q", f.Hint)
	}
}

// Groups that every account is in give it what they may change, and each cluster lets
// them read and ask.
func TestWhatEverybodyMayChangeIsARightOfEachAgent(t *testing.T) {
	rule := func(group, resource string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
	}
	write, read := rule("apps", "*", "*"), rule("", "secrets", "get", "list")
	ask := rule("authorization.k8s.io", "selfsubjectaccessreviews", "create")
	discovery := rbacv1.PolicyRule{NonResourceURLs: []string{"/version"}, Verbs: []string{"get"}}
	for name, c := range map[string]struct {
		binding migrate.Binding
		want    migrate.Confinement
	}{
		"as each cluster has it":       {migrate.Binding{Group: "system:authenticated", Rules: []rbacv1.PolicyRule{ask, discovery, read}}, migrate.Confinement{Kind: "none"}},
		"a role that is not known":     {migrate.Binding{Group: "system:authenticated"}, migrate.Confinement{Kind: "none"}},
		"to write, in all namespaces":  {migrate.Binding{Group: "system:serviceaccounts", Rules: []rbacv1.PolicyRule{read, write}}, migrate.Confinement{Kind: "custom"}},
		"to write, in one":             {migrate.Binding{Group: "system:serviceaccounts", Namespace: "shop", Rules: []rbacv1.PolicyRule{write}}, migrate.Confinement{Kind: "namespaces", Namespaces: []string{"shop"}}},
		"to read in one":               {migrate.Binding{Group: "system:serviceaccounts", Namespace: "shop", Rules: []rbacv1.PolicyRule{read}}, migrate.Confinement{Kind: "none"}},
		"its own, to read in one":      {migrate.Binding{Namespace: "shop", Rules: []rbacv1.PolicyRule{read}}, migrate.Confinement{Kind: "namespaces", Namespaces: []string{"shop"}}},
		"that of its namespace's, one": {migrate.Binding{Group: "system:serviceaccounts:flux", Namespace: "shop", Rules: []rbacv1.PolicyRule{write}}, migrate.Confinement{Kind: "namespaces", Namespaces: []string{"shop"}}},
	} {
		equal(t, name, confinement([]migrate.Binding{c.binding}), c.want)
	}
}
