package discover

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// What the configuration grants to an agent's account beside its release counts: rights
// add up as far as the roles are declared, and are not known in all where one is not.
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
	const look = "api_groups = [\"apps\"]\n resources = [\"deployments\"]\n verbs = [\"get\"]"
	inOne := func(roleNamespace string) string {
		return strings.Replace(binding("kubernetes_role_binding", `"r"`, account, ""), `"ClusterRole"`, `"Role"`, 1) +
			strings.NewReplacer("kubernetes_cluster_role", "kubernetes_role", `name = "r"`, "name = \"r\"\n namespace = \""+roleNamespace+`"`).Replace(role(look))
	}
	const roleOfManifest = `resource "kubernetes_manifest" "r" {
  manifest = { apiVersion = "rbac.authorization.k8s.io/v1", kind = "ClusterRole", metadata = { name = "r" }, rules = [{ apiGroups = ["apps"], resources = ["deployments"], verbs = ["get"] }] }
}
`
	byRole := binding("kubernetes_cluster_role_binding", `"r"`, account, "")
	for name, c := range map[string]struct {
		more string
		want string // the kind, empty for unknown, or as it is without
	}{
		"nothing":                       {"", "as it is"},
		"to do everything":              {binding("kubernetes_cluster_role_binding", admin, account, ""), "cluster-admin"},
		"version 1":                     {binding("kubernetes_cluster_role_binding_v1", admin, account, ""), "cluster-admin"},
		"as a manifest":                 {manifest, "cluster-admin"},
		"as a user":                     {binding("kubernetes_cluster_role_binding", admin, "kind = \"User\"\n name = \"system:serviceaccount:flux:flux\"", ""), "cluster-admin"},
		"as all accounts":               {binding("kubernetes_cluster_role_binding", admin, "kind = \"Group\"\n name = \"system:serviceaccounts\"", ""), "cluster-admin"},
		"a declared role":               {binding("kubernetes_cluster_role_binding", "kubernetes_cluster_role.r.metadata[0].name", account, "") + role(all), "cluster-admin"},
		"a declared role of one object": {byRole + role(all+"\n resource_names = [\"a\"]"), "custom"},
		"a declared role of some":       {byRole + role(look), "custom"},
		"a role that is a manifest":     {byRole + roleOfManifest, "custom"},
		"a declared role in one":        {binding("kubernetes_role_binding", `"r"`, account, "") + role(look), "namespaces"},
		"a role of a namespace":         {inOne("flux"), "namespaces"},
		"a role of another namespace":   {inOne("other"), ""},
		"a role put together elsewhere": {byRole + strings.Replace(role(look), " rule {", " aggregation_rule {\n cluster_role_selectors {\n match_labels = { a = \"b\" }\n }\n }\n rule {", 1), ""},
		"as a manifest, put together":   {byRole + strings.Replace(roleOfManifest, "rules = [", "aggregationRule = { clusterRoleSelectors = [] }, rules = [", 1), ""},
		"a role with an unknown verb":   {byRole + role(strings.Replace(look, `"get"`, "var.x", 1)), ""},
		"a role with unknown rules":     {byRole + strings.Replace(role(look), " rule {", " dynamic \"rule\" {\n for_each = var.x\n content {\n verbs = [\"get\"]\n }\n }\n rule {", 1), ""},
		"of one object or of all":       {byRole + role(all+"\n resource_names = var.x"), ""},
		"everything, and more":          {byRole + role(all) + strings.NewReplacer(`"b"`, `"c"`).Replace(binding("kubernetes_cluster_role_binding", `"edit"`, account, "")), "cluster-admin"},
		"a role that is left alone":     {byRole + strings.Replace(role(look), " metadata {", " lifecycle {\n ignore_changes = [rule]\n }\n metadata {", 1), ""},
		"a role that may not be made":   {byRole + strings.Replace(role(look), " metadata {", " count = var.x\n metadata {", 1), ""},
		"a role that is not known":      {binding("kubernetes_cluster_role_binding", "var.x", account, ""), ""},
		"another role":                  {binding("kubernetes_cluster_role_binding", `"edit"`, account, ""), ""},
		"in one namespace":              {binding("kubernetes_role_binding", admin, account, ""), "namespaces"},
		"in a namespace unknown":        {strings.Replace(binding("kubernetes_role_binding", admin, account, ""), "namespace = \"flux\"", "namespace = var.x", 1), ""},
		"labels that are left alone":    {binding("kubernetes_cluster_role_binding", admin, strings.Replace(account, `name = "flux"`, `name = "other"`, 1), " lifecycle {\n ignore_changes = [metadata[0].labels]\n }\n"), "as it is"},
		"perhaps":                       {binding("kubernetes_cluster_role_binding", admin, account, " count = var.x\n"), ""},
		"perhaps it":                    {binding("kubernetes_cluster_role_binding", admin, "kind = \"ServiceAccount\"\n name = var.x\n namespace = \"flux\"", ""), ""},
		"another account":               {binding("kubernetes_cluster_role_binding", admin, strings.Replace(account, `name = "flux"`, `name = "other"`, 1), ""), "as it is"},
		"another namespace":             {binding("kubernetes_cluster_role_binding", admin, "kind = \"ServiceAccount\"\n name = \"flux\"", ""), "as it is"}, // the provider says "default"
		"what all accounts may":         {binding("kubernetes_cluster_role_binding", `"view"`, "kind = \"Group\"\n name = \"system:serviceaccounts\"", ""), "as it is"},
		"none":                          {binding("kubernetes_cluster_role_binding", admin, account, " count = 0\n"), "as it is"},
	} {
		t.Run(name, func(t *testing.T) {
			others := strings.Replace(release, "clusterRole: {create: false}, allowedNamespaces: [flux]", "rbac: {create: false}", 1)
			for config, without := range map[string]migrate.Confinement{release: {Kind: "namespaces", Namespaces: []string{"flux"}}, deployment: {}, others: {}} {
				inv := declaredBy(t, map[string]string{"main.tf": config + c.more})
				a := inv.Agents[0]
				want := without
				switch c.want {
				case "as it is":
				case "namespaces":
					want = migrate.Confinement{Kind: c.want, Namespaces: []string{"flux"}}
				case "custom": // beside what there is without
					want.Kind = c.want
				default:
					want = migrate.Confinement{Kind: c.want}
				}
				equal(t, "rights", a.Confinement, want)
				equal(t, "unknown", slices.Contains(a.Unknown, "confinement"), want.Kind == "")
				equal(t, "said", finds(inv, TerraformGranted.Name), c.want == "")
				if c.want != "as it is" && c.want != "" { // a plan gives them to the new account
					i := slices.IndexFunc(a.Rights, func(b migrate.Binding) bool {
						return b.Name == "b" && len(b.Rules) > 0 && b.Role.Name != "" && b.Role.Kind != "" && (b.Namespace == "flux") == (c.want == "namespaces")
					})
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

	// An existing role that the release binds is known where it is the same in each cluster.
	for role, want := range map[string]string{"cluster-admin": "cluster-admin", "edit": ""} {
		a := declaredBy(t, map[string]string{"main.tf": strings.Replace(release, "create: false}, allowedNamespaces: [flux]", "create: false, name: "+role+"}", 1)}).Agents[0]
		equal(t, "bound to "+role, []any{a.Confinement.Kind, slices.Contains(a.Unknown, "confinement")}, []any{want, want == ""})
	}
}
