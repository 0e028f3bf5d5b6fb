package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// What the configuration grants to an agent's account beside its release counts: to do
// everything is known, and whatever else it is bound to is not known to be all.
func TestWhatTheConfigurationGrantsTheAccountCounts(t *testing.T) {
	const release = "variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.5.0\"\n" +
		" values = [\"{git: {url: 'git@h:a'}, clusterRole: {create: false}, allowedNamespaces: [flux]}\"]\n}\n"
	deployment := strings.Replace(fluxdBlocks("git@h:a", "", ""), " spec {\n template {\n spec {", " spec {\n template {\n spec {\n service_account_name = \"flux\"", 1)
	binding := func(typ, role, subject, more string) string {
		return "resource \"" + typ + "\" \"b\" {\n metadata {\n name = \"b\"\n namespace = \"flux\"\n }\n role_ref {\n api_group = \"rbac.authorization.k8s.io\"\n kind = \"ClusterRole\"\n name = " + role + "\n }\n subject {\n" + subject + "\n }\n" + more + "}\n"
	}
	const account, admin = "kind = \"ServiceAccount\"\n name = \"flux\"\n namespace = \"flux\"", `"cluster-admin"`
	role := func(rule string) string {
		return "resource \"kubernetes_cluster_role\" \"r\" {\n metadata {\n name = \"r\"\n }\n rule {\n" + rule + "\n }\n}\n"
	}
	const all = "api_groups = [\"*\"]\n resources = [\"*\"]\n verbs = [\"*\"]"
	const manifest = `resource "kubectl_manifest" "b" {
  yaml_body = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: b}, roleRef: {kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: flux, namespace: flux}]}"
}
`
	for name, c := range map[string]struct {
		more string
		want string // cluster-admin, empty for unknown, or as it is without
	}{
		"nothing":                       {"", "as it is"},
		"to do everything":              {binding("kubernetes_cluster_role_binding", admin, account, ""), "cluster-admin"},
		"version 1":                     {binding("kubernetes_cluster_role_binding_v1", admin, account, ""), "cluster-admin"},
		"as a manifest":                 {manifest, "cluster-admin"},
		"as a user":                     {binding("kubernetes_cluster_role_binding", admin, "kind = \"User\"\n name = \"system:serviceaccount:flux:flux\"", ""), "cluster-admin"},
		"as all accounts":               {binding("kubernetes_cluster_role_binding", admin, "kind = \"Group\"\n name = \"system:serviceaccounts\"", ""), "cluster-admin"},
		"a declared role":               {binding("kubernetes_cluster_role_binding", "kubernetes_cluster_role.r.metadata[0].name", account, "") + role(all), "cluster-admin"},
		"a declared role of one object": {binding("kubernetes_cluster_role_binding", `"r"`, account, "") + role(all+"\n resource_names = [\"a\"]"), ""},
		"a role that is not known":      {binding("kubernetes_cluster_role_binding", "var.x", account, ""), ""},
		"another role":                  {binding("kubernetes_cluster_role_binding", `"edit"`, account, ""), ""},
		"in one namespace":              {binding("kubernetes_role_binding", admin, account, ""), ""},
		"perhaps":                       {binding("kubernetes_cluster_role_binding", admin, account, " count = var.x\n"), ""},
		"perhaps it":                    {binding("kubernetes_cluster_role_binding", admin, "kind = \"ServiceAccount\"\n name = var.x\n namespace = \"flux\"", ""), ""},
		"another account":               {binding("kubernetes_cluster_role_binding", admin, strings.Replace(account, `name = "flux"`, `name = "other"`, 1), ""), "as it is"},
		"another namespace":             {binding("kubernetes_cluster_role_binding", admin, "kind = \"ServiceAccount\"\n name = \"flux\"", ""), "as it is"}, // the provider says "default"
		"what all accounts may":         {binding("kubernetes_cluster_role_binding", `"view"`, "kind = \"Group\"\n name = \"system:serviceaccounts\"", ""), "as it is"},
		"none":                          {binding("kubernetes_cluster_role_binding", admin, account, " count = 0\n"), "as it is"},
	} {
		t.Run(name, func(t *testing.T) {
			for config, without := range map[string]migrate.Confinement{release: {Kind: "namespaces", Namespaces: []string{"flux"}}, deployment: {}} {
				inv := declaredBy(t, map[string]string{"main.tf": config + c.more})
				a := inv.Agents[0]
				want := without
				if c.want != "as it is" {
					want = migrate.Confinement{Kind: c.want}
				}
				equal(t, "rights", a.Confinement, want)
				equal(t, "unknown", slices.Contains(a.Unknown, "confinement"), want.Kind == "")
				equal(t, "said", finds(inv, TerraformGranted.Name), c.want == "")
				if want.Kind == "cluster-admin" { // a plan gives them to the new account
					i := slices.IndexFunc(a.Rights, func(b migrate.Binding) bool { return b.Name == "b" && slices.ContainsFunc(b.Rules, everything) })
					if i < 0 || (a.Rights[i].Group != "") != (name == "as all accounts") {
						t.Errorf("rights: %+v", a.Rights)
					}
				}
				if c.want == "" {
					said(t, inv, "TERRAFORM_GRANTED_BESIDE", "flux/flux", "_binding.b")
				}
			}
		})
	}
}
