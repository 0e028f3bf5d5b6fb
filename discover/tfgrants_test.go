package discover

import (
	"fmt"
	"path/filepath"
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
	const directory = "resource \"azuread_group\" \"a\" {\n display_name = \"a\"\n}\ndata \"azuread_group\" \"a\" {\n display_name = \"a\"\n}\n"
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
		"a group of a directory":        {binding("kubernetes_cluster_role_binding", admin, "kind = \"Group\"\n name = azuread_group.a.object_id", "") + directory, "as it is"},
		"by its id":                     {binding("kubernetes_cluster_role_binding", admin, "kind = \"Group\"\n name = azuread_group.a.id", "") + directory, "as it is"},
		"a group that is looked up":     {binding("kubernetes_cluster_role_binding", admin, "kind = \"Group\"\n name = data.azuread_group.a.object_id", "") + directory, "as it is"},
		"an identity of a cloud":        {binding("kubernetes_cluster_role_binding", admin, "kind = \"User\"\n name = azurerm_user_assigned_identity.a.principal_id", "") + "resource \"azurerm_user_assigned_identity\" \"a\" {\n name = \"a\"\n}\n", "as it is"},
		"a group with a prefix":         {binding("kubernetes_cluster_role_binding", admin, "kind = \"Group\"\n name = \"oidc:${var.x}\"", ""), "as it is"},
		"a user with a prefix":          {binding("kubernetes_cluster_role_binding", admin, "kind = \"User\"\n name = \"${var.x}@example.com\"", ""), "as it is"},
		"a group of any name":           {binding("kubernetes_cluster_role_binding", admin, "kind = \"Group\"\n name = azuread_group.a.display_name", "") + strings.Replace(directory, " display_name = \"a\"\n", "", 1), ""},
		"a group that is unknown":       {binding("kubernetes_cluster_role_binding", admin, "kind = \"Group\"\n name = var.x", ""), ""},
		"a group of accounts":           {binding("kubernetes_cluster_role_binding", admin, "kind = \"Group\"\n name = \"system:serviceaccounts:${azuread_group.a.object_id}\"", "") + directory, ""},
		"a user that is an account":     {binding("kubernetes_cluster_role_binding", admin, "kind = \"User\"\n name = \"system:serviceaccount:flux:${var.x}\"", ""), ""},
		"a user that is another":        {binding("kubernetes_cluster_role_binding", admin, "kind = \"User\"\n name = \"system:serviceaccount:other:${var.x}\"", ""), "as it is"},
		"a user without its prefix":     {binding("kubernetes_cluster_role_binding", admin, "kind = \"User\"\n name = trimprefix(\"oidc:${var.x}\", \"oidc:\")", ""), ""},
		"a user that is replaced":       {binding("kubernetes_cluster_role_binding", admin, "kind = \"User\"\n name = replace(\"a-${var.x}\", \"a-\", \"\")", ""), ""},
		"a user of two":                 {binding("kubernetes_cluster_role_binding", admin, "kind = \"User\"\n name = var.x == 1 ? \"oidc:${var.x}\" : \"system:serviceaccount:flux:flux\"", ""), ""},
		"a group in capitals":           {binding("kubernetes_cluster_role_binding", admin, "kind = \"Group\"\n name = lower(\"SYSTEM:${var.x}\")", ""), ""},
		"an account of a directory":     {binding("kubernetes_cluster_role_binding", admin, "kind = \"ServiceAccount\"\n name = azuread_group.a.object_id\n namespace = \"flux\"", "") + directory, ""},
		"some kind of a directory":      {binding("kubernetes_cluster_role_binding", admin, "kind = var.x\n name = azuread_group.a.object_id", "") + directory, ""},
		"another account":               {binding("kubernetes_cluster_role_binding", admin, strings.Replace(account, `name = "flux"`, `name = "other"`, 1), ""), "as it is"},
		"another namespace":             {binding("kubernetes_cluster_role_binding", admin, "kind = \"ServiceAccount\"\n name = \"flux\"", ""), "as it is"}, // the provider says "default"
		"what all accounts may":         {binding("kubernetes_cluster_role_binding", `"view"`, "kind = \"Group\"\n name = \"system:serviceaccounts\"", ""), "as it is"},
		"what everybody may, unknown":   {binding("kubernetes_cluster_role_binding", `"mine"`, "kind = \"Group\"\n name = \"system:authenticated\"", ""), ""},
		"what everybody may, in one":    {binding("kubernetes_role_binding", `"mine"`, "kind = \"Group\"\n name = \"system:authenticated\"", ""), ""},
		"what everybody may edit":       {binding("kubernetes_cluster_role_binding", `"edit"`, "kind = \"Group\"\n name = \"system:authenticated\"", ""), ""},
		"what everybody may edit, in 1": {binding("kubernetes_role_binding", `"admin"`, "kind = \"Group\"\n name = \"system:serviceaccounts\"", ""), ""},
		"what everybody may read in 1":  {binding("kubernetes_role_binding", `"r"`, "kind = \"Group\"\n name = \"system:authenticated\"", "") + role(look), "as it is"},
		"what everybody may write":      {binding("kubernetes_cluster_role_binding", `"r"`, "kind = \"Group\"\n name = \"system:authenticated\"", "") + role(strings.Replace(look, `"get"`, `"*"`, 1)), "everybody's"},
		"what everybody may ask":        {binding("kubernetes_cluster_role_binding", `"system:basic-user"`, "kind = \"Group\"\n name = \"system:authenticated\"", ""), "as it is"},
		"what everybody may, little":    {binding("kubernetes_cluster_role_binding", `"r"`, "kind = \"Group\"\n name = \"system:authenticated\"", "") + role(look), "as it is"},
		"what its namespace's may":      {binding("kubernetes_cluster_role_binding", `"view"`, "kind = \"Group\"\n name = \"system:serviceaccounts:flux\"", ""), ""},
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
				case "everybody's": // beside its own, which has to be known
					if want.Kind != "" {
						want.Kind = "custom"
					}
				case "namespaces":
					want = migrate.Confinement{Kind: c.want, Namespaces: []string{"flux"}}
				case "custom": // beside what there is without
					want.Kind = c.want
				default:
					want = migrate.Confinement{Kind: c.want}
				}
				equal(t, "rights", a.Confinement, want)
				equal(t, "unknown", slices.Contains(a.Unknown, "confinement"), want.Kind == "")
				equal(t, "said", finds(inv, RightsUnknown.Name), want.Kind == "")
				if c.want != "as it is" && c.want != "everybody's" && c.want != "" { // a plan gives them to the new account
					i := slices.IndexFunc(a.Rights, func(b migrate.Binding) bool {
						return b.Name == "b" && len(b.Rules) > 0 && b.Role.Name != "" && b.Role.Kind != "" && (b.Namespace == "flux") == (c.want == "namespaces")
					})
					if i < 0 || (a.Rights[i].Group != "") != (name == "as all accounts") {
						t.Errorf("rights: %+v", a.Rights)
					}
				}
				if c.want == "" {
					said(t, inv, "RIGHTS_UNKNOWN", "flux/flux", "_binding.b")
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

// grantedState is a state with an agent that its release confines, one that is a Deployment
// and has no rights of its own, and more.
func grantedState(more ...string) string {
	confined := strings.Replace(stateInstance("flux", "flux", ""), `"values":"{`, `"values":"{\"clusterRole\":{\"create\":false},\"allowedNamespaces\":[\"flux\"],`, 1)
	deployment := stateObject("kubernetes_deployment", "other", "", `{"metadata":[{"name":"other","namespace":"flux"}],"spec":[{"template":[{"spec":[{"service_account_name":"flux","container":[{"name":"flux","image":"fluxcd/flux:1.25.4","args":["--git-url=git@h:a"]}]}]}]}]}`)
	return stateText(append([]string{confined, deployment}, more...)...)
}

// stateObject is an instance of a provider's in a state.
func stateObject(typ, name, hidden, attributes string) string {
	if hidden != "" {
		hidden = fmt.Sprintf(`[{"type":"get_attr","value":%q}]`, hidden)
	}
	return fmt.Sprintf(`{"mode":"managed","type":%q,"name":%q,"provider":"provider[\"registry.terraform.io/hashicorp/kubernetes\"]","instances":[{"attributes":%s,"sensitive_attributes":[%s]}]}`, typ, name, attributes, hidden)
}

// stateBinding is a binding in a state, as the provider writes it.
func stateBinding(typ, hidden, role, subject string) string {
	return stateObject(typ, "b", hidden, `{"metadata":[{"name":"b","namespace":"flux","annotations":null,"labels":{}}],"role_ref":[{"api_group":"rbac.authorization.k8s.io","kind":"ClusterRole","name":`+role+`}],"subject":[`+subject+`]}`)
}

// Roles and bindings that a state holds count as those of a configuration do, through
// whatever resource they were made; what the state hides of them makes the rights unknown.
// Rights that are not known are told with what is not known of them.
func TestUnknownRightsAreTold(t *testing.T) {
	release := func(values string) string {
		return "variable \"x\" {}\nresource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n chart = \"flux\"\n version = \"1.13.3\"\n values = [yamlencode({ git = { url = \"git@h:a\" }, " + values + " })]\n}\n"
	}
	const binding = "resource \"kubernetes_cluster_role_binding\" \"b\" {\n metadata {\n name = \"b\"\n }\nROLE\n subject {\n kind = \"ServiceAccount\"\n name = SUBJECT\n namespace = \"flux\"\n }\n}\n"
	bound := func(role, subject string) string {
		return strings.NewReplacer("ROLE", role, "SUBJECT", subject).Replace(binding)
	}
	const confined, role = "clusterRole = { create = false }, allowedNamespaces = [\"flux\"]", " role_ref {\n api_group = \"rbac.authorization.k8s.io\"\n kind = \"ClusterRole\"\n name = \"view\"\n }"
	for name, c := range map[string]struct{ files, says string }{
		"by others":          {release("rbac = { create = false }"), "rbac.create is off"},
		"by a variable":      {release("clusterRole = { create = var.x }"), `variable "var.x"`},
		"of a role":          {release("clusterRole = { create = false, name = \"mine\" }"), "ClusterRole mine, which the release does not make"},
		"of a Deployment":    {fluxdBlocks("git@h:a", "", ""), nothingBinds},
		"of no role":         {release(confined) + bound("", `"flux"`), "kubernetes_cluster_role_binding.b (which role it gives is not known)"},
		"of a dynamic role":  {release(confined) + bound(" dynamic \"role_ref\" {\n for_each = var.x\n content {\n kind = \"ClusterRole\"\n name = \"view\"\n }\n }", `"flux"`), "kubernetes_cluster_role_binding.b (ClusterRole view is not declared here)"},
		"of unknown subject": {release(confined) + bound(role, "var.x"), "kubernetes_cluster_role_binding.b"},
		"known":              {release(confined), ""},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": c.files})
			if c.says == "" {
				noFinding(t, inv, RightsUnknown)
				return
			}
			wantFinding(t, inv, RightsUnknown, "what the agent's account may do is not known", c.says)
			equal(t, "unknown", slices.Contains(inv.Agents[0].Unknown, "confinement"), true)
		})
	}
}

func TestGrantsInAStateAlone(t *testing.T) {
	const account = `{"api_group":"","kind":"ServiceAccount","name":"flux","namespace":"flux"}`
	const other = `{"api_group":"","kind":"ServiceAccount","name":"other","namespace":"flux"}`
	const manifest = `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"b","namespace":null},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"ServiceAccount","name":"flux","namespace":"flux"}]}`
	admin := func(hidden string) string {
		return stateBinding("kubernetes_cluster_role_binding", hidden, `"cluster-admin"`, account)
	}
	role := func(typ, hidden, more, rule string) string {
		return stateObject(typ, "r", hidden, `{"metadata":[{"name":"r","namespace":"flux"}],"aggregation_rule":[`+more+`],"rule":[`+rule+`]}`)
	}
	const look = `{"api_groups":["apps"],"resources":["deployments"],"verbs":["get"],"resource_names":[],"non_resource_urls":null}`
	const all = `{"api_groups":["*"],"resources":["*"],"verbs":["*"],"resource_names":null}`
	asManifest := func(hidden, manifest string) string {
		return stateObject("kubernetes_manifest", "b", hidden, `{"manifest":{"value":`+manifest+`,"type":["object",{}]},"object":{"value":`+manifest+`,"type":["object",{}]}}`)
	}
	byRole := stateBinding("kubernetes_cluster_role_binding_v1", "", `"r"`, account)
	for name, c := range map[string]struct {
		more []string
		want string // the kind, empty for unknown, or as it is without
		says string // of what is unknown
	}{
		"nothing":                   {nil, "as it is", ""},
		"to do everything":          {[]string{admin("")}, "cluster-admin", ""},
		"as a manifest":             {[]string{asManifest("", manifest)}, "cluster-admin", ""},
		"as a manifest of kubectl":  {[]string{stateObject("kubectl_manifest", "b", "yaml_body", fmt.Sprintf(`{"api_version":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","namespace":null,"name":"b","yaml_body":"x","yaml_body_parsed":%q}`, manifest))}, "cluster-admin", ""},
		"by kustomize":              {[]string{stateObject("kustomization_resource", "b", "", fmt.Sprintf(`{"id":"x","manifest":%q}`, manifest))}, "cluster-admin", ""},
		"a role":                    {[]string{byRole, role("kubernetes_cluster_role_v1", "", "", look)}, "custom", ""},
		"a role to do everything":   {[]string{byRole, role("kubernetes_cluster_role", "", "", look+","+all)}, "cluster-admin", ""},
		"a role in one":             {[]string{stateBinding("kubernetes_role_binding", "", `"r"`, account), role("kubernetes_cluster_role", "", "", look)}, "namespaces", ""},
		"a role of a namespace":     {[]string{strings.Replace(stateBinding("kubernetes_role_binding_v1", "", `"r"`, account), `"kind":"ClusterRole"`, `"kind":"Role"`, 1), role("kubernetes_role", "", "", look)}, "namespaces", ""},
		"another account":           {[]string{stateBinding("kubernetes_cluster_role_binding", "", `"cluster-admin"`, other)}, "as it is", ""},
		"to be destroyed":           {[]string{strings.Replace(admin(""), `"instances":[{`, `"instances":[{"deposed":"aaaa0000",`, 1)}, "as it is", ""},
		"of another kind, hidden":   {[]string{stateObject("kubernetes_manifest", "b", "manifest", `{"manifest":null,"object":{"value":{"apiVersion":"v1","kind":"Secret","metadata":{"name":"b"}},"type":["object",{}]}}`)}, "as it is", ""},
		"a role put together":       {[]string{byRole, role("kubernetes_cluster_role", "", `{"cluster_role_selectors":[{"match_labels":{"a":"b"}}]}`, "")}, "", "other roles"},
		"a role that is not there":  {[]string{byRole}, "", "not declared here"},
		"subjects that are hidden":  {[]string{admin("subject")}, "", "whom it binds"},
		"a role that is hidden":     {[]string{admin("role_ref")}, "", "which role"},
		"rules that are hidden":     {[]string{byRole, role("kubernetes_cluster_role", "rule", "", look)}, "", "the rule of"},
		"all of it is hidden":       {[]string{strings.Replace(admin("x"), `[{"type":"get_attr","value":"x"}]`, `[]`, 1)}, "", "whom it binds"},
		"a role alone, hidden":      {[]string{stateObject("kubectl_manifest", "b", "yaml_body", `{"api_version":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","namespace":null,"name":"b","yaml_body":"x"}`)}, "as it is", ""},
		"annotations of a role":     {[]string{stateObject("kubernetes_annotations", "b", "", `{"api_version":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":[{"name":"view","namespace":""}],"annotations":{"a":"b"}}`)}, "as it is", ""},
		"annotations of a binding":  {[]string{stateObject("kubernetes_annotations", "b", "", `{"api_version":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":[{"name":"view","namespace":"a"}],"annotations":{"a":"b"}}`)}, "as it is", ""},
		"a hidden manifest":         {[]string{asManifest("manifest", manifest)}, "", "whom it binds"},
		"one of a kind unknown":     {[]string{asManifest("object", manifest)}, "", "what kubernetes_manifest.b is"},
		"a hidden one of kubectl":   {[]string{stateObject("kubectl_manifest", "b", "yaml_body", `{"api_version":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","namespace":null,"name":"b","yaml_body":"x"}`)}, "", "whom it binds"},
		"a hidden one of kustomize": {[]string{stateObject("kustomization_resource", "b", "manifest", `{"id":"x","manifest":"x"}`)}, "", "what kustomization_resource.b is"},
		"a part of it is withheld":  {[]string{stateObject("kubectl_manifest", "b", "", fmt.Sprintf(`{"api_version":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","name":"b","yaml_body_parsed":%q}`, strings.Replace(manifest, `[{"kind":"ServiceAccount","name":"flux","namespace":"flux"}]`, `"(sensitive value)"`, 1)))}, "", "whom it binds"},
		"through another provider":  {[]string{strings.Replace(admin(""), `kubernetes\"]`, `kubernetes\"].west`, 1)}, "", "another cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := written(t, map[string]string{"s.tfstate": grantedState(c.more...)})
			inv := heldBy(t, filepath.Join(dir, "s.tfstate"))
			equal(t, "agents", agentIDs(inv), []string{"flux/flux", "flux/other"})
			for i, without := range []migrate.Confinement{{Kind: "namespaces", Namespaces: []string{"flux"}}, {}} {
				a := inv.Agents[i]
				want := without
				switch c.want {
				case "as it is":
				case "everybody's": // beside its own, which has to be known
					if want.Kind != "" {
						want.Kind = "custom"
					}
				case "namespaces":
					want = migrate.Confinement{Kind: c.want, Namespaces: []string{"flux"}}
				case "custom":
					want.Kind = c.want
				default:
					want = migrate.Confinement{Kind: c.want}
				}
				equal(t, "rights of "+a.ID, a.Confinement, want)
				equal(t, "unknown of "+a.ID, slices.Contains(a.Unknown, "confinement"), want.Kind == "")
				if c.want == "" {
					said(t, inv, "RIGHTS_UNKNOWN", a.ID, ".b in the state ", c.says)
				}
			}
			unknown := slices.ContainsFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return slices.Contains(a.Unknown, "confinement") })
			equal(t, "said", finds(inv, RightsUnknown.Name), unknown)
		})
	}

	// What another of the given states binds counts as well.
	dir := written(t, map[string]string{"a.tfstate": grantedState(), "b.tfstate": stateText(admin(""))})
	for _, a := range heldBy(t, filepath.Join(dir, "a.tfstate"), filepath.Join(dir, "b.tfstate")).Agents {
		equal(t, "of another state: "+a.ID, a.Confinement.Kind, "cluster-admin")
	}
}

// What only a state holds beside a configuration is in force as well, until an apply; what
// the configuration does not tell of a binding, the state does.
func TestGrantsInAStateBesideItsConfiguration(t *testing.T) {
	const release = "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n" +
		" values = [\"{git: {url: 'git@h:a'}, clusterRole: {create: false}, allowedNamespaces: [flux]}\"]\n}\nvariable \"x\" {}\n"
	const account = `{"kind":"ServiceAccount","name":"flux","namespace":"flux"}`
	binding := func(name, role, more string) string {
		return "resource \"kubernetes_cluster_role_binding\" \"" + name + "\" {\n metadata {\n name = \"b\"\n }\n role_ref {\n api_group = \"rbac.authorization.k8s.io\"\n kind = \"ClusterRole\"\n name = " + role + "\n }\n subject {\n kind = \"ServiceAccount\"\n name = \"flux\"\n namespace = \"flux\"\n }\n" + more + "}\n"
	}
	admin := stateBinding("kubernetes_cluster_role_binding", "", `"cluster-admin"`, account)
	of := stateBinding("kubernetes_cluster_role_binding", "", `"r"`, account)
	role := func(verb string) string {
		return stateObject("kubernetes_cluster_role", "r", "", `{"metadata":[{"name":"r"}],"rule":[{"api_groups":["apps"],"resources":["deployments"],"verbs":["`+verb+`"]}]}`)
	}
	const declaredRole = "resource \"kubernetes_cluster_role\" \"r\" {\n metadata {\n name = \"r\"\n }\n rule {\n api_groups = [\"apps\"]\n resources = [\"deployments\"]\n verbs = [\"get\"]\n }\n}\n"
	for name, c := range map[string]struct {
		config string
		state  []string
		want   string // the kind; empty for unknown
		only   bool
	}{
		"nothing":                     {"", nil, "namespaces", false},
		"in the state only":           {"", []string{admin}, "cluster-admin", true},
		"a role in the state only":    {binding("b", `"r"`, ""), []string{of, role("get")}, "custom", false},
		"both in the state only":      {"", []string{of, role("get")}, "custom", true},
		"hidden":                      {"", []string{stateBinding("kubernetes_cluster_role_binding", "subject", `"cluster-admin"`, account)}, "", false},
		"in both":                     {binding("b", `"r"`, "") + declaredRole, []string{of, role("get")}, "custom", false},
		"in both, of another role":    {binding("b", `"r"`, "") + declaredRole, []string{admin}, "cluster-admin", false},
		"a role with more rules":      {binding("b", `"r"`, "") + declaredRole, []string{of, strings.Replace(role("*"), `["apps"],"resources":["deployments"]`, `["*"],"resources":["*"]`, 1)}, "cluster-admin", false},
		"a group in the state only":   {"", []string{stateBinding("kubernetes_cluster_role_binding", "", `"cluster-admin"`, `{"kind":"Group","name":"system:serviceaccounts:flux"}`)}, "cluster-admin", true},
		"put together of none":        {"", []string{of, strings.Replace(role("get"), `"rule":`, `"aggregation_rule":[],"rule":`, 1)}, "custom", true},
		"put together of others":      {"", []string{of, strings.Replace(role("get"), `"rule":`, `"aggregation_rule":[{"cluster_role_selectors":[{"match_labels":{"a":"b"}}]}],"rule":`, 1)}, "", false},
		"moved":                       {binding("c", `"cluster-admin"`, "") + "moved {\n from = kubernetes_cluster_role_binding.b\n to = kubernetes_cluster_role_binding.c\n}\n", []string{admin}, "cluster-admin", false},
		"an unknown number":           {binding("b", `"cluster-admin"`, " count = var.x\n"), []string{strings.Replace(admin, `"attributes":`, `"index_key":0,"attributes":`, 1)}, "cluster-admin", false},
		"an unknown number, not made": {binding("b", `"cluster-admin"`, " count = var.x\n"), nil, "", false},
		"an unknown role":             {binding("b", "var.x", ""), []string{admin}, "cluster-admin", false},
		"of another":                  {binding("b", "var.x", ""), []string{strings.Replace(admin, `"name":"flux"`, `"name":"other"`, 1)}, "namespaces", false},
	} {
		t.Run(name, func(t *testing.T) {
			inv := withStateOf(t, release+c.config, stateText(append(c.state, strings.Replace(stateInstance("flux", "flux", ""), `"values":"{`, `"values":"{\"clusterRole\":{\"create\":false},\"allowedNamespaces\":[\"flux\"],`, 1))...))
			a := inv.Agents[0]
			equal(t, "rights", []any{a.Confinement.Kind, slices.Contains(a.Unknown, "confinement")}, []any{c.want, c.want == ""})
			equal(t, "said", finds(inv, RightsUnknown.Name), c.want == "")
			told := slices.ContainsFunc(inv.Findings, func(f migrate.Finding) bool {
				return f.Code == TerraformNotApplied.Name && strings.Contains(f.Message, "no given configuration declares: kubernetes_cluster_role_binding.b in the state")
			})
			equal(t, "in the state only", told, c.only)
			if n := len(slices.DeleteFunc(slices.Clone(a.Rights), func(b migrate.Binding) bool { return b.Name != "b" })); n > 1 && name == "in both" {
				t.Errorf("it is told %d times", n)
			}
		})
	}

	// What another folder binds counts, and what its state holds is declared there.
	dir := written(t, map[string]string{"a/main.tf": release, "b/main.tf": binding("b", `"cluster-admin"`, ""), "b/s.tfstate": stateText(admin)})
	inv, err := Terraform(t.Context(), TerraformOptions{Root: dir, Dirs: []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}, StateFiles: []string{filepath.Join(dir, "b", "s.tfstate")}})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "of another folder", inv.Agents[0].Confinement.Kind, "cluster-admin")
	equal(t, "not applied", finds(inv, TerraformNotApplied.Name), false)
}

// Accounts and ConfigMaps that a state holds count as those of a configuration do, and of
// scripts, which it does not hold, the absence is said.
func TestOtherObjectsInAStateAlone(t *testing.T) {
	const of = `"annotations":{"eks.amazonaws.com/role-arn":"` + "arn" + `"}`
	deployment := func(more string) string {
		return stateObject("kubernetes_deployment", "flux", "", `{"metadata":[{"name":"flux","namespace":"flux"}],"spec":[{"template":[{"spec":[{"service_account_name":"flux","container":[{"name":"flux","image":"fluxcd/flux:1.25.4","args":["--git-url=$(GIT_URL)"],"env":[{"name":"GIT_URL","value":"","value_from":[{"config_map_key_ref":[{"name":"m","key":"url"}]}]}]}]}]}]}]`+more+`}`)
	}
	for name, c := range map[string]struct {
		more string
		role bool
		url  string
	}{
		"nothing":                {`{"mode":"managed","type":"null_resource","name":"n","instances":[{"attributes":{"id":"1","triggers":null}}]}`, false, ""},
		"an account":             {stateObject("kubernetes_service_account", "a", "", `{"metadata":[{"name":"flux","namespace":"flux",`+of+`}]}`), true, ""},
		"an account, annotated":  {stateObject("kubernetes_annotations", "a", "", `{"api_version":"v1","kind":"ServiceAccount","metadata":[{"name":"flux","namespace":"flux"}],`+of+`}`), true, ""},
		"as a manifest":          {stateObject("kubectl_manifest", "a", "", fmt.Sprintf(`{"api_version":"v1","kind":"ServiceAccount","yaml_body_parsed":%q}`, `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"flux","namespace":"flux",`+of+`}}`)), true, ""},
		"hidden":                 {stateObject("kubernetes_service_account", "a", "metadata", `{"metadata":[{"name":"flux","namespace":"flux",`+of+`}]}`), true, ""},
		"a hidden manifest":      {stateObject("kubectl_manifest", "a", "yaml_body", `{"api_version":"v1","kind":"ServiceAccount","namespace":"flux","name":"flux","yaml_body":"x"}`), true, ""},
		"a hidden one of others": {stateObject("kubectl_manifest", "a", "yaml_body", `{"api_version":"v1","kind":"ServiceAccount","namespace":"flux","name":"other","yaml_body":"x"}`), false, ""},
		"another account":        {stateObject("kubernetes_service_account", "a", "", `{"metadata":[{"name":"other","namespace":"flux",`+of+`}]}`), false, ""},
		"a ConfigMap":            {stateObject("kubernetes_config_map", "m", "", `{"metadata":[{"name":"m","namespace":"flux"}],"data":{"url":"git@h:a","empty":""}}`), false, "git@h:a"},
		"a ConfigMap, hidden":    {stateObject("kubernetes_config_map", "m", "data", `{"metadata":[{"name":"m","namespace":"flux"}],"data":{"url":"git@h:a"}}`), false, ""},
		"a part of a ConfigMap":  {stateObject("kubernetes_config_map", "m", "", `{"metadata":[{"name":"m","namespace":"flux"}],"data":{"url":"git@h:a"}}`) + "," + stateObject("kubernetes_config_map_v1_data", "m", "", `{"metadata":[{"name":"m","namespace":"flux"}],"data":{"url":"git@h:b"}}`), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := written(t, map[string]string{"s.tfstate": stateText(deployment(""), c.more)})
			inv := heldBy(t, filepath.Join(dir, "s.tfstate"))
			equal(t, "a role in a cloud", finds(inv, "CLOUD_IDENTITY") || finds(inv, "CLOUD_IDENTITY_USED"), c.role)
			equal(t, "URL", []any{inv.Agents[0].Git.URL, slices.Contains(inv.Agents[0].Unknown, "git.url")}, []any{c.url, c.url == ""})
			if name == "nothing" {
				said(t, inv, "TERRAFORM_STATE_ALONE", "which scripts these run is not read from it: null_resource.n")
			}
		})
	}
}

// What charts are given to make counts as far as it is read; what is not read, and what
// scripts may make, makes the rights unknown.
func TestGrantsByChartsAndScripts(t *testing.T) {
	const release = "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n" +
		" values = [\"{git: {url: 'git@h:a'}, clusterRole: {create: false}, allowedNamespaces: [flux]}\"]\n}\nvariable \"x\" {}\n"
	raw := func(chart, values string) string {
		return "resource \"helm_release\" \"raw\" {\n name = \"rbac\"\n namespace = \"flux\"\n chart = \"" + chart + "\"\n values = [" + values + "]\n}\n"
	}
	const head = "apiVersion: rbac.authorization.k8s.io/v1\n"
	binding := func(role, account string) string {
		return head + "kind: ClusterRoleBinding\nmetadata: {name: b}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: " + role + "}\nsubjects: [{kind: ServiceAccount, name: " + account + ", namespace: flux}]\n"
	}
	heredoc := func(text string) string { return "<<EOT\n" + text + "EOT\n" }
	indented := func(text string) string { return strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") }
	resources := func(objects ...string) string {
		text := "resources:\n"
		for _, o := range objects {
			text += "  - " + indented(o) + "\n"
		}
		return heredoc(text)
	}
	templates := func(o string) string { return heredoc("templates:\n  - |\n    " + indented(o) + "\n") }
	script := func(command string) string {
		return "resource \"null_resource\" \"s\" {\n provisioner \"local-exec\" {\n  command = <<EOT\n" + command + "\nEOT\n }\n}\n"
	}
	program := func(interpreter, command string) string {
		return "resource \"null_resource\" \"s\" {\n provisioner \"local-exec\" {\n  interpreter = [" + interpreter + "]\n  command = \"" + command + "\"\n }\n}\n"
	}
	external := func(program string) string { return "data \"external\" \"s\" {\n program = [" + program + "]\n}\n" }
	const edit = head + "kind: ClusterRole\nmetadata: {name: r}\nrules: [{apiGroups: [apps], resources: [deployments], verbs: [get]}]\n"
	admin := binding("cluster-admin", "flux")
	for name, c := range map[string]struct {
		more, file string
		want, says string
	}{
		"nothing":                          {"", "", "namespaces", ""},
		"an object":                        {raw("itscontained/raw", resources(admin)), "", "cluster-admin", ""},
		"of a repository":                  {raw("oci://ghcr.io/bedag/raw", resources(admin)), "", "cluster-admin", ""},
		"another and its role":             {raw("raw", resources(edit, binding("r", "flux"))), "", "custom", ""},
		"in the release's namespace":       {raw("raw", resources(edit, strings.Replace(binding("r", "flux"), "ClusterRoleBinding", "RoleBinding", 1))), "", "namespaces", ""},
		"another account":                  {raw("raw", resources(binding("cluster-admin", "other"))), "", "namespaces", ""},
		"another object, of any data":      {raw("raw", heredoc("resources:\n  - apiVersion: v1\n    kind: ConfigMap\n    data: ${var.x}\n")), "", "namespaces", ""},
		"a text":                           {raw("raw", templates(admin)), "", "cluster-admin", ""},
		"a text with a template":           {raw("raw", templates(strings.Replace(admin, "name: b", "name: {{ .Release.Name }}", 1))), "", "", "templates of Helm"},
		"an object with a template":        {raw("raw", resources(binding("cluster-admin", `"{{ .Release.Name }}"`))), "", "", "whom it binds"},
		"one of another with a template":   {raw("raw", resources(binding("cluster-admin", `"other-{{ .Release.Name }}"`))), "", "namespaces", ""},
		"in a chart that has more":         {raw("stable/nginx", heredoc("extraObjects:\n  - "+indented(admin)+"\n")), "", "", "makes what it is given"},
		"a subject, to a chart":            {raw("rbac", "yamlencode({ bindings = [{ role = \"cluster-admin\", subjects = [{ kind = \"ServiceAccount\", name = \"flux\", namespace = \"flux\" }] }] })"), "", "", "makes what it is given"},
		"a subject in no namespace":        {raw("rbac", "yamlencode({ subjects = [{ kind = \"ServiceAccount\", name = \"flux\" }] })"), "", "", "makes what it is given"},
		"a subject that is not known":      {raw("rbac", "yamlencode({ subjects = [{ kind = \"ServiceAccount\", name = var.x, namespace = \"flux\" }] })"), "", "", "makes what it is given"},
		"another subject":                  {raw("rbac", "yamlencode({ subjects = [{ kind = \"ServiceAccount\", name = \"other\", namespace = \"flux\" }] })"), "", "namespaces", ""},
		"a subject of another namespace":   {raw("rbac", "yamlencode({ subjects = [{ kind = \"ServiceAccount\", name = \"flux\", namespace = \"other\" }] })"), "", "namespaces", ""},
		"a subject of an object":           {raw("raw", resources("apiVersion: a/v1\nkind: Policy\nmetadata: {name: a}\nexclude: [{kind: ServiceAccount, name: flux, namespace: flux}]\n")), "", "namespaces", ""},
		"a command, to a chart":            {raw("job", "yamlencode({ command = [\"kubectl\", \"create\", \"clusterrolebinding\", \"--serviceaccount=flux:flux\"] })"), "", "", "makes what it is given"},
		"a command of another, to a chart": {raw("job", "yamlencode({ command = \"kubectl create clusterrolebinding x --serviceaccount=flux:other\" })"), "", "namespaces", ""},
		"values that are unknown":          {raw("raw", "var.x"), "", "", "var.x"},
		"an object that is unknown":        {raw("raw", "yamlencode({ resources = [var.x] })"), "", "", "var.x"},
		"a kind that is unknown":           {raw("raw", resources(strings.Replace(admin, "ClusterRoleBinding", "${var.x}", 1))), "", "", "var.x"},
		"of any kind, and no binding":      {raw("raw", "yamlencode({ resources = [{ kind = var.x, metadata = { name = \"b\" } }] })"), "", "namespaces", ""},
		"of another chart, unknown":        {raw("stable/nginx", "var.x"), "", "namespaces", ""},
		"values that are not of it":        {raw("raw", "yamlencode({ labels = { a = var.x } })"), "", "namespaces", ""},
		"perhaps":                          {strings.Replace(raw("raw", resources(admin)), "{\n", "{\n count = var.x\n", 1), "", "", "var.x"},
		"by kubectl":                       {script("kubectl create clusterrolebinding b --clusterrole=cluster-admin --serviceaccount=flux:flux"), "", "", "what kubectl makes"},
		"by kubectl, in one":               {script("kubectl -n flux create rolebinding b --clusterrole cluster-admin --serviceaccount flux:flux"), "", "", "what kubectl makes"},
		"by kubectl, with an option":       {script("kubectl create --save-config clusterrolebinding b --clusterrole=cluster-admin --serviceaccount=flux:flux"), "", "", "what kubectl makes"},
		"by kubectl, to a person":          {script("kubectl create clusterrolebinding b --clusterrole=cluster-admin --user=$(gcloud config get-value account)@example.com"), "", "namespaces", ""},
		"by kubectl, to somebody":          {script("kubectl create clusterrolebinding b --clusterrole=cluster-admin --user=${var.x}"), "", "", "what kubectl makes"},
		"by kubectl of nobody knows what":  {script("kubectl create ${var.x} b"), "", "", "what kubectl makes"},
		"by kubectl, nobody knows how":     {script("kubectl ${var.x} b"), "", "", "what kubectl makes"},
		"in a comment":                     {script("# kubectl create clusterrolebinding b --clusterrole=cluster-admin --serviceaccount=flux:flux"), "", "namespaces", ""},
		"in a text":                        {script("echo \"to undo: kubectl create clusterrolebinding b --clusterrole=cluster-admin --serviceaccount=flux:flux\""), "", "", "what kubectl makes"},
		"elsewhere":                        {script("kubectl --context=other create clusterrolebinding b --clusterrole=cluster-admin --serviceaccount=flux:flux"), "", "", "what kubectl makes"},
		"only tried":                       {script("kubectl create clusterrolebinding b --clusterrole=cluster-admin --serviceaccount=flux:flux --dry-run=server"), "", "", "what kubectl makes"},
		"by make":                          {script("make deploy"), "", "", "what make runs"},
		"by make, in a folder":             {script("cd x && make -C ../y deploy"), "", "", "what make runs"},
		"by make, of a file":               {script("make -f rbac.yaml package"), "package:\n\tzip -r a.zip src\n", "namespaces", ""},
		"by make, of one that applies":     {script("make -f rbac.yaml deploy"), "deploy:\n\t$(K) apply -f x\n", "", "makes in its script"},
		"by make, of one of several":       {script("make -f rbac.yaml package"), "include other.mk\npackage:\n\tzip -r a.zip src\n", "", "what make runs"},
		"by make, of one with a script":    {script("make -f rbac.yaml package"), "package:\n\t./missing.sh\n", "", "is not read"},
		"by make, in one gone into":        {script("cd x && make -f rbac.yaml deploy"), "deploy:\n\tzip a\n", "", "what make runs"},
		"by make, in one not known":        {script("make -C $X -f rbac.yaml deploy"), "deploy:\n\tzip a\n", "", "what make runs"},
		"by make, in this one":             {script("make -C . -f rbac.yaml deploy"), "deploy:\n\tzip a\n", "namespaces", ""},
		"by make within make":              {script("make -f rbac.yaml deploy"), "deploy:\n\t$(MAKE) -C sub deploy\n", "", "what make runs"},
		"by make, of the same within":      {script("make -f rbac.yaml deploy"), "deploy:\n\t+@$(MAKE) -f rbac.yaml all\nall:\n\tzip a\n", "namespaces", ""},
		"by make, a script not echoed":     {script("make -f rbac.yaml package"), "package:\n\t@./missing.sh\n", "", "is not read"},
		"by make, a shell not echoed":      {script("make -f rbac.yaml package"), "package:\n\t-@bash missing.sh\n", "", "is not read"},
		"by make, a script in a variable":  {script("make -f rbac.yaml package"), "package:\n\t@$(K) x\n", "", "what its script runs"},
		"by make, a program in a variable": {script("make -f rbac.yaml package"), "GO = go\npackage:\n\t@$(GO) build $(ARGS)\n", "namespaces", ""},
		"by make, what a script prints":    {script("make -f rbac.yaml package"), "X := $(shell ./missing.sh)\npackage:\n\tzip a\n", "", "is not read"},
		"by make, not a target":            {script("make -f rbac.yaml package"), "package: ./bin/x\n\tcd x && zip a\n\tzip $$HOME\n./bin/x: ./y\n", "namespaces", ""},
		"to make sure":                     {script("echo make sure; echo \"make it\""), "", "namespaces", ""},
		"by tanka":                         {script("tk apply environments/a --auto-approve=always"), "", "", "what tk apply makes"},
		"by helmsman":                      {script("helmsman --apply -f a.toml"), "", "", "what helmsman makes"},
		"of a mesh":                        {script("istioctl install -y && flux check --pre && linkerd check"), "", "namespaces", ""},
		"by k3s":                           {script("sudo k3s kubectl apply -f a.yaml"), "", "", "what kubectl makes"},
		"by kustomize":                     {script("kustomize build . | kubectl apply -f -"), "", "", "what kubectl makes"},
		"kubectl by a path":                {script("/opt/bin/kubectl apply -f a.yaml"), "", "", "what kubectl makes"},
		"kubectl by a path, reading":       {script("/opt/bin/kubectl get nodes"), "", "namespaces", ""},
		"kubectl by a variable":            {script("$KUBECTL apply -f a.yaml"), "", "", "what kubectl makes"},
		"kubectl by one within":            {script("retry 5 $${KUBECTL_BIN} apply -f a.yaml"), "", "", "what kubectl makes"},
		"kubectl by any variable":          {script("retry 5 $${CLI} apply -n x -f a.yaml"), "", "", "makes in its script"},
		"kubectl by its version":           {script("kubectl1.21 apply -f a.yaml"), "", "", "what kubectl makes"},
		"kubectl by an alias":              {script("k -n x apply -f a.yaml"), "", "", "makes in its script"},
		"kubectl by an alias, made":        {script("k create -f a.yaml"), "", "", "what k makes"},
		"the version of kubectl":           {script("echo $KUBECTL_VERSION"), "", "namespaces", ""},
		"fetched, and run":                 {script("curl -sSL https://example.com/install | sudo bash -s -- -y"), "", "", "gives a shell to run"},
		"fetched, and told to a shell":     {script("bash -c \"$(curl -fsSL https://example.com/x)\""), "", "", "gives a shell to run"},
		"fetched, and told by backticks":   {script("sh -ec `wget -qO- https://example.com/x`"), "", "", "gives a shell to run"},
		"fetched, and evaluated":           {script("eval \"$(curl -s https://example.com/x)\""), "", "", "gives a shell to run"},
		"fetched, and taken in":            {script("source <(curl -s https://example.com/x)"), "", "", "gives a shell to run"},
		"fetched, and taken in by a dot":   {script(". <(curl -s https://example.com/x)"), "", "", "gives a shell to run"},
		"fetched, and run with a variable": {script("curl -s https://example.com/x | env A=b bash"), "", "", "gives a shell to run"},
		"fetched, and run with one only":   {script("wget -qO- https://example.com/x | A=b sh"), "", "", "gives a shell to run"},
		"fetched, on a shell's input":      {script("bash <<< \"$(curl -s https://example.com/x)\""), "", "", "gives a shell to run"},
		"variables that jq prints":         {script("eval \"$(jq -r '@sh \"A=\\(.a)\"')\"\neval $(ssh-agent -s)\nX=$(curl -s https://example.com/x)\nbash -c \"echo $(date)\""), "", "namespaces", ""},
		"fetched":                          {script("curl -sSLo a.json https://raw.githubusercontent.com/a/b/main/raw/c.json && jq -r .a a.json | tee b\naws s3 cp b s3://c; echo done"), "", "namespaces", ""},
		"a shell's input":                  {script("ssh admin@master bash -s < rbac.sh"), "kubectl apply -f a.yaml\n", "", "what kubectl makes"},
		"a shell's input that only reads":  {script("ssh admin@master bash -s < rbac.sh"), "kubectl get nodes\n", "namespaces", ""},
		"in another shell":                 {script("ssh admin@master <<EOF\nkubectl create clusterrolebinding b --clusterrole=cluster-admin --serviceaccount=flux:flux\nEOF"), "", "", "what kubectl makes"},
		"a namespace, and applied":         {script("kubectl create namespace flux --dry-run=client -o yaml | kubectl apply -f -"), "", "namespaces", ""},
		"changed":                          {script("kubectl set subject clusterrolebinding b --serviceaccount=flux:flux"), "", "", "what kubectl makes"},
		"patched":                          {script("kubectl patch clusterrolebinding/b -p x"), "", "", "what kubectl makes"},
		"another thing that is patched":    {script("kubectl -n x patch deployment/b -p x"), "", "namespaces", ""},
		"a file":                           {script("kubectl apply -f rbac.yaml"), admin, "", "what kubectl makes"},
		"files":                            {script("find . | xargs -n1 kubectl apply -f"), "", "", "what kubectl makes"},
		"a file that is deleted":           {script("kubectl delete -f rbac.yaml"), admin, "namespaces", ""},
		"of another program":               {script("helm template x | kubectl apply -f -"), "", "", "what kubectl makes"},
		"by helm":                          {script("helm upgrade --install r incubator/raw -f b.yaml"), "", "", "of roles and bindings"},
		"by helm, of a chart":              {script("helm upgrade --install r stable/nginx"), "", "namespaces", ""},
		"by OpenShift":                     {script("oc adm policy add-cluster-role-to-user cluster-admin -z flux"), "", "", "is not read"},
		"by the API":                       {script("curl -d @b.json $API/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"), "", "", "of roles and bindings"},
		"in a script's file":               {script("bash ./rbac.yaml"), "kubectl create clusterrolebinding b --clusterrole=cluster-admin --serviceaccount=flux:flux\n", "", "what kubectl makes"},
		"in a script that is not there":    {script("bash ./missing.sh"), "", "", "is not read"},
		"in a script, when it is removed":  {strings.Replace(script("kubectl apply -f https://example.com/rbac.yaml"), "local-exec\" {", "local-exec\" {\n  when = destroy", 1), "", "namespaces", ""},
		"in a namespace named as a verb":   {script("kubectl -n get apply -f rbac.yaml"), "", "", "what kubectl makes"},
		"read in one named as a verb":      {script("kubectl --namespace apply get pods"), "", "namespaces", ""},
		"an option that takes no value":    {script("kubectl -v6 create clusterrolebinding top --clusterrole=cluster-admin --serviceaccount=flux:flux"), "", "", "what kubectl makes"},
		"an option with its value":         {script("kubectl -nflux apply -f config"), "", "", "what kubectl makes"},
		"an option with a value as a verb": {script("kubectl --insecure-skip-tls-verify apply -f rbac.yaml --context top"), "", "", "what kubectl makes"},
		"in a namespace named as a kind":   {script("kubectl create -n ingress -f rbac.yaml"), "", "", "what kubectl makes"},
		"a file, in one named as a kind":   {script("kubectl create -f a.yaml -n secret"), "", "", "what kubectl makes"},
		"by an image":                      {script("docker run --rm bitnami/kubectl:1.25 apply -f rbac.yaml"), "", "", "what kubectl makes"},
		"by another program":               {script("kapp deploy -a x -f ."), "", "", "what kapp makes"},
		"what is read by one":              {script("kubectl get clusterrolebinding x -o yaml | kubectl apply -f -"), "", "", "what kubectl makes"},
		"a value that is a command":        {script("kubectl --kubeconfig=$(kubectl apply -f x) get pods"), "", "", "what kubectl makes"},
		"to a person and to an account":    {script("kubectl create clusterrolebinding b --clusterrole=cluster-admin --user=a@example.com --serviceaccount=flux:flux"), "", "", "what kubectl makes"},
		"within a job that is made":        {script("kubectl create job x --image=bitnami/kubectl -- kubectl create clusterrolebinding b --clusterrole=cluster-admin --serviceaccount=flux:flux"), "", "", "what kubectl makes"},
		"within a Secret that is made":     {script("kubectl create secret generic x --from-literal=a=$(kubectl create clusterrolebinding b --clusterrole=cluster-admin --serviceaccount=flux:flux)"), "", "", "what kubectl makes"},
		"by the API itself":                {script("curl -H \"Authorization: Bearer $(kubectl create token admin)\" -d @b.json https://api/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"), "", "", "of roles and bindings"},
		"in a deployment that is made":     {script("kubectl create deployment x --image=y -- sh -c \"apply rbac.yaml\""), "", "", "what kubectl makes"},
		"applied beside a namespace":       {script("kubectl create ns x -o yaml --dry-run | kubectl apply -f - -f rbac.yaml"), "", "", "what kubectl makes"},
		"by another Terraform":             {script("cd ../rbac && terraform apply -auto-approve"), "", "", "what terraform apply makes"},
		"by helmfile":                      {script("helmfile apply"), "", "", "what helmfile makes"},
		"a Secret that is made":            {script("kubectl create secret generic x --from-literal=a=${var.x} --dry-run=client -o yaml | kubectl apply -n flux -f -"), "", "namespaces", ""},
		"awaited, with options":            {script("kubectl --kubeconfig=/tmp/k --context ${var.x} -n a wait --for=condition=ready node/a"), "", "namespaces", ""},
		"awaited and labelled":             {script("kubectl wait --for=condition=ready node/a && kubectl rollout status deployment/b\nkubectl label namespace flux a=b"), "", "namespaces", ""},
		"within a pod":                     {script("kubectl exec deployment/a -- kubectl apply -f b.yaml"), "", "", "what kubectl makes"},
		"an interpreter":                   {program(`"kubectl", "apply", "-f"`, "rbac.yaml"), "", "", "what kubectl makes"},
		"by a resource of the shell":       {"resource \"shell_script\" \"s\" {\n lifecycle_commands {\n  create = \"kubectl apply -f rbac.yaml\"\n }\n}\n", "", "", "what kubectl makes"},
		"by one of it when it is removed":  {"resource \"shell_script\" \"s\" {\n lifecycle_commands {\n  create = \"echo\"\n  delete = \"kubectl apply -f rbac.yaml\"\n }\n}\n", "", "namespaces", ""},
		"by one of it that is unknown":     {"resource \"shell_script\" \"s\" {\n lifecycle_commands {\n  create = var.x\n }\n}\n", "", "", "what its script runs"},
		"by a local command":               {"data \"local_command\" \"s\" {\n command = \"kubectl\"\n arguments = [\"apply\", \"-f\", \"rbac.yaml\"]\n}\n", "", "", "what kubectl makes"},
		"by one that reads":                {"data \"local_command\" \"s\" {\n command = \"kubectl\"\n arguments = [\"get\", \"ns\"]\n}\n", "", "namespaces", ""},
		"by an action":                     {"action \"local_command\" \"s\" {\n config {\n  command = \"kubectl\"\n  arguments = [\"apply\", \"-f\", \"rbac.yaml\"]\n }\n}\n", "", "", "what kubectl makes"},
		"by what is ephemeral":             {"ephemeral \"external\" \"s\" {\n program = [\"kubectl\", \"apply\", \"-f\", \"rbac.yaml\"]\n}\n", "", "", "what kubectl makes"},
		"by a playbook":                    {"resource \"ansible_playbook\" \"s\" {\n playbook = \"rbac.yaml\"\n}\n", "", "", "what ansible-playbook makes"},
		"an interpreter alone":             {program(`"/usr/bin/kubectl"`, "apply --filename=rbac.yaml"), "", "", "what kubectl makes"},
		"an interpreter that only reads":   {program(`"kubectl", "get"`, "pods"), "", "namespaces", ""},
		"an interpreter, OpenShift's":      {program(`"oc", "apply", "-f"`, "rbac.yaml"), "", "", "what oc makes"},
		"a tool's name in an address":      {script("aws s3 cp x s3://garden/x\ncurl -o oc.tar https://x"), "", "namespaces", ""},
		"a tool's name that is told":       {script("echo garden"), "", "namespaces", ""},
		"a tool on another machine":        {script("ssh -i k admin@host sudo kapp deploy -a x"), "", "", "what kapp makes"},
		"a tool in a condition":            {script("if true; then A=b /opt/bin/pulumi up; fi"), "", "", "what pulumi makes"},
		"a tool in a case":                 {script("case $X in a) helmfile apply;; esac"), "", "", "what helmfile makes"},
		"a tool in a text of a shell":      {script("ssh host \"oc create -f x\""), "", "", "what oc makes"},
		"a tool in a container":            {script("docker run --rm x/y kapp deploy"), "", "", "what kapp makes"},
		"a tool behind another's":          {script("aws-vault exec prod -- pulumi up"), "", "", "what pulumi makes"},
		"words to the user":                {script("echo \"please apply the -f flag\"\necho \"Done.\njust a note for the user\"\ncat <<E\nmake sure to log in\nE"), "", "namespaces", ""},
		"words to a shell":                 {script("echo \"apply -f x\" | xargs kc"), "", "", "makes in its script"},
		"kubectl that is looked for":       {script("command -v kubectl || exit 1\nif ! which kubectl >/dev/null; then gcloud components install kubectl; fi\nchmod +x ./kubectl"), "", "namespaces", ""},
		"kubectl that is found and run":    {script("which kubectl | xargs -I{} {} create -f rbac.yaml"), "", "", "what kubectl makes"},
		"kubectl that is made to run":      {script("chmod +x kubectl && ./kubectl create -f x"), "", "", "what kubectl makes"},
		"kubectl that binds nobody":        {script("kubectl port-forward svc/x 80 && kubectl auth can-i get pods"), "", "namespaces", ""},
		"kubectl that reconciles":          {script("kubectl auth reconcile -f x"), "", "", "what kubectl makes"},
		"a program of data":                {external(`"kubectl", "apply", "-f", "rbac.yaml"`), "", "", "data.external.s (what it makes is not known: what kubectl makes"},
		"a program that runs one":          {external(`"python3", "${path.module}/rbac.yaml"`), "subprocess.run(['kubectl', 'apply', '-f', 'x'])\n", "", "what kubectl makes"},
		"one that only reads":              {external(`"kubectl", "get", "pods", "-o", "json"`), "", "namespaces", ""},
		"one of a shell":                   {external(`"bash", "-c", "kubectl apply -f rbac.yaml >&2; echo {}"`), "", "", "what kubectl makes"},
		"one that is not there":            {external(`"bash", "./missing.sh"`), "", "", "data.external.s"},
		"one of a cloud":                   {external(`"aws", "sts", "get-caller-identity"`), "", "namespaces", ""},
		"a set of Helmfile":                {"resource \"helmfile_release_set\" \"s\" {\n content = \"releases: []\"\n}\n", "", "", "what helmfile makes"},
		"a request":                        {"resource \"terracurl_request\" \"s\" {\n name = \"s\"\n url = \"https://k8s/apis/rbac.authorization.k8s.io/v1/clusterrolebindings\"\n method = \"POST\"\n}\n", "", "", "of roles and bindings"},
		"a request with a binding":         {"resource \"terracurl_request\" \"s\" {\n name = \"s\"\n url = var.x\n method = \"POST\"\n request_body = jsonencode({ kind = \"RoleBinding\" })\n}\n", "", "", "of roles and bindings"},
		"another request":                  {"resource \"terracurl_request\" \"s\" {\n name = \"s\"\n url = \"https://hooks.example.com/x\"\n method = \"POST\"\n}\n", "", "namespaces", ""},
		"a script of something else":       {script("kubectl get nodes && kubectl delete pod x\naws eks update-kubeconfig --name a"), "", "namespaces", ""},
		"a script that may not be":         {strings.Replace(script("kubectl create clusterrolebinding b --clusterrole=cluster-admin --serviceaccount=flux:flux"), "{\n", "{\n count = var.x\n", 1), "", "", "var.x"},
		"and something that is known more": {script("kubectl apply -f https://example.com/x.yaml") + raw("raw", resources(admin)), "", "cluster-admin", ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"main.tf": release + c.more}
			if c.file != "" {
				files["rbac.yaml"], files["rbac.sh"] = c.file, c.file
			}
			inv := declaredBy(t, files)
			a := inv.Agents[0]
			equal(t, "rights", []any{a.Confinement.Kind, slices.Contains(a.Unknown, "confinement")}, []any{c.want, c.want == ""})
			if c.want == "" {
				said(t, inv, "RIGHTS_UNKNOWN", "flux/flux", c.says)
			}
		})
	}

	// Of a release in a state the same is read.
	raws := func(values string) string {
		return strings.NewReplacer(`"chart":"flux"`, `"chart":"raw"`, `{\"git\":{\"url\":\"git@h:a\"}}`, strings.Trim(asJSON(values), `"`)).Replace(stateInstance("raw", "raw", ""))
	}
	for values, want := range map[string]string{
		`{"resources":[{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"b"},"roleRef":{"kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"ServiceAccount","name":"flux","namespace":"flux"}]}]}`: "cluster-admin",
		`{"resources":"(sensitive value)"}`: "",
		`{"resources":[]}`:                  "namespaces",
	} {
		dir := written(t, map[string]string{"s.tfstate": grantedState(raws(values))})
		a := heldBy(t, filepath.Join(dir, "s.tfstate")).Agents[0]
		equal(t, values, []any{a.Confinement.Kind, slices.Contains(a.Unknown, "confinement")}, []any{want, want == ""})
	}
}

// A module that is not read may bind any account if it is called for that, and those that it
// is given; of others it is said that they may, and what is known stays, also beside a state:
// what its scripts and charts made is in none.
func TestModulesThatAreNotReadMayBind(t *testing.T) {
	const release = "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n" +
		" values = [\"{git: {url: 'git@h:a'}, clusterRole: {create: false}, allowedNamespaces: [flux]}\"]\n}\nvariable \"x\" {}\n"
	module := func(name, source, more string) string {
		return "module \"" + name + "\" {\n source = \"" + source + "\"\n " + more + "\n}\n"
	}
	for name, c := range map[string]struct {
		module  string
		unknown bool
	}{
		"of a cloud":           {module("vpc", "terraform-aws-modules/vpc/aws", `name = "flux"`), false},
		"roles of a cloud":     {module("roles", "terraform-aws-modules/iam/aws//modules/iam-role", `role_name = "flux"`), false},
		"by its name":          {module("rbac", "git::https://example.com/modules.git//k8s", ""), true},
		"by its source":        {module("m", "example/kubernetes-cluster-role-binding/x", ""), true},
		"the account":          {module("m", "example/m/x", `service_account_name = "flux"`), true},
		"in a list of objects": {module("m", "example/m/x", `subjects = [{ kind = "ServiceAccount", name = "flux" }]`), true},
		"as a user":            {module("m", "example/m/x", `users = ["system:serviceaccount:flux:flux"]`), true},
		"as a group":           {module("m", "example/m/x", `subjects = [{ kind = "Group", name = "system:serviceaccounts:flux" }]`), true},
		"with its namespace":   {module("m", "example/m/x", `service_accounts = ["flux/flux"]`), true},
		"as a key":             {module("m", "example/m/x", `service_accounts = { flux = { role = "edit" } }`), true},
		"in a manifest":        {module("m", "example/m/x", `manifests = ["kind: ClusterRoleBinding"]`), true},
		"a role of a cluster":  {module("eks_cluster_role", "terraform-aws-modules/iam/aws//modules/iam-assumable-role", ""), false},
		"cluster roles":        {module("flux_cluster_role", "git::https://example.com/x//modules/cluster-role", ""), true},
		"as it says itself":    {module("m", "example/m/x", `access = [{ kind = "ServiceAccount", name = "flux", namespace = "flux" }]`), true},
		"as sa":                {module("m", "example/m/x", `sa = "flux"`), true},
		"as an administrator":  {module("m", "example/m/x", `cluster_admins = ["flux:flux"]`), true},
		"with permissions":     {module("m", "example/m/x", `permissions = { flux = "cluster-admin" }`), true},
		"another account":      {module("m", "example/m/x", `service_account_name = "default"`), false},
		"an account not known": {module("m", "example/m/x", `service_account_name = var.x`), true},
		"accounts not known":   {module("m", "example/m/x", `service_accounts = var.x`), true},
		"subjects not known":   {module("m", "example/m/x", `subjects = var.x`), true},
		"a subject not known":  {module("m", "example/m/x", `subjects = [{ kind = "ServiceAccount", name = var.x }]`), true},
		"manifests not known":  {module("m", "example/m/x", `manifests = [var.x]`), true},
		"part of its name":     {module("m", "example/m/x", `service_account_name = "fl${var.x}"`), true},
		"part of another's":    {module("m", "example/m/x", `service_account_name = "other-${var.x}"`), false},
		"of a cloud's account": {module("m", "example/m/x", `service_account = google_service_account.a.email`) + "resource \"google_service_account\" \"a\" {\n account_id = \"a\"\n}\n", false},
		"a cloud's identity":   {module("irsa", "terraform-aws-modules/iam/aws//modules/iam-role-for-service-accounts-eks", `oidc_providers = { a = { namespace_service_accounts = ["flux:flux"] } }`), false},
		"a database":           {module("rds", "terraform-aws-modules/rds/aws", `username = var.x`), false},
		"a cluster":            {module("eks", "git::https://example.com/eks", "account_id = var.x\n cluster_admins = var.x\n permissions_boundary = var.x\n service_account_role_arn = var.x\n create_service_account = var.x"), false},
		"a command":            {module("m", "example/m/x", `command = "kubectl create clusterrolebinding flux --clusterrole=cluster-admin --serviceaccount=flux:flux"`), true},
		"a command of a cloud": {module("m", "terraform-google-modules/gcloud/google//modules/kubectl-wrapper", `kubectl_create_command = "kubectl apply -f rbac.yaml"`), true},
		"a command, unknown":   {module("m", "example/m/x", `create_command = "kubectl apply -f ${var.x}"`), true},
		"a command in words":   {module("m", "example/m/x", `command = ["kubectl", "apply", "-f", "x.yaml"]`), true},
		"a harmless command":   {module("m", "example/m/x", `command = "kubectl get pods"`), false},
		"in harmless words":    {module("m", "example/m/x", `command = ["kubectl", "delete", "pod", "x"]`), false},
		"no command":           {module("m", "example/m/x", `description = "what kubectl apply -f x needs"`), false},
		"by kubectl":           {module("m", "example/m/x", `user_data = "kubectl create clusterrolebinding x --user=y"`), true},
		"of a folder iam":      {module("admins", "git::https://git.example.com/iam/k8s-admins.git", `cluster_admins = ["flux:flux"]`), true},
		"a subject in a cloud": {module("m", "git::https://git.example.com/iam.git?ref=v1", `subjects = [{ kind = "ServiceAccount", name = "flux", namespace = "flux" }]`), true},
		"one that is unknown":  {module("m", "example/iam/aws", `subjects = [{ kind = "ServiceAccount", name = var.x }]`), true},
		"another's in a cloud": {module("m", "example/iam/aws", `subjects = [{ kind = "ServiceAccount", name = "other" }]`), false},
		"of a cloud, by name":  {module("m", "cloudposse/eks-iam-role/aws", `service_account_name = "flux"`), false},
		"of a cloud, by Git":   {module("m", "git::https://example.com/terraform-irsa.git?ref=v1", `service_account_name = "flux"`), false},
		"of a cloud, within":   {module("m", "git::https://example.com/modules.git//workload-identity", `service_account_name = "flux"`), false},
		"a namespace":          {module("m", "example/m/x", `namespace = var.x`), false},
	} {
		t.Run(name, func(t *testing.T) {
			inv := declaredBy(t, map[string]string{"main.tf": release + c.module})
			a := inv.Agents[0]
			equal(t, "unknown", []bool{a.Confinement.Kind == "", slices.Contains(a.Unknown, "confinement")}, []bool{c.unknown, c.unknown})
			f := said(t, inv, "TERRAFORM_MODULE_UNREAD", "module.")
			equal(t, "that there may be more is said", strings.Contains(f.Message, "these agents may do more than is told of them: flux/flux"), !c.unknown)
			if c.unknown {
				said(t, inv, "RIGHTS_UNKNOWN", "flux/flux", "module.", "is not in the folder")
			}
		})
	}
	inv := declaredBy(t, map[string]string{"main.tf": release + module("rbac", "example/rbac/x", ""), "terraform.tfstate": stateText(stateInstance("flux", "flux", ""))})
	equal(t, "beside a state", inv.Agents[0].Confinement.Kind == "", true)
}

// A chart that lies beside the configuration binds whom its templates name, or may name by
// what they are given, and its own account, which is none of an agent.
func TestGrantsInTemplatesOfCharts(t *testing.T) {
	const config = "resource \"helm_release\" \"flux\" {\n name = \"flux\"\n namespace = \"flux\"\n repository = \"https://charts.fluxcd.io\"\n chart = \"flux\"\n version = \"1.13.3\"\n" +
		" values = [\"{git: {url: 'git@h:a'}, clusterRole: {create: false}, allowedNamespaces: [flux]}\"]\n}\n" +
		"variable \"x\" {}\nresource \"helm_release\" \"r\" {\n name = \"r\"\n namespace = \"flux\"\n chart = \"${path.module}/charts/r\"\n values = [%s]\n}\n"
	item := func(name string) string { return "\n- kind: ServiceAccount\n  name: " + name + "\n  namespace: flux\n" }
	const of, other = `"a: {b: [{name: flux}]}"`, `"a: other"`
	for _, c := range []struct {
		subjects, values string
		unknown          bool
	}{
		{"[{kind: ServiceAccount, name: flux, namespace: flux}]", "", true},
		{"[{\"kind\": \"ServiceAccount\", \"namespace\": \"flux\", \"name\": \"flux\"}]", "", true},
		{"\n- kind: ServiceAccount\n  name: \"flux\"\n", "", true},
		{"\n- kind: ServiceAccount\n  name:    >-\n    flux\n", "", true},
		{item("flux {{/* x */}}"), "", true},
		{item("other"), of, false},
		{item("{{ include \"r.serviceAccountName\" . }}"), other, false},
		{item("{{ include \"r.serviceAccountName\" . }}"), "var.x", false},
		{item("{{ include \"r.serviceAccountName\" . }}"), `"namespace: flux"`, false},
		{item("{{ include \"r.serviceAccountName\" . }}"), `"serviceAccount: {name: flux}"`, true},
		{item("{{ .Values.serviceAccount.name | default (include \"r.fullname\" .) }}"), "", false},
		{item("{{ .Values.serviceAccount.name }}"), `"serviceAccount: {name: flux}"`, true},
		{item("{{ .Values.serviceAccountName }}"), `"serviceAccountName: flux"`, true},
		{item("{{ .Release.Name }}-r"), of, false},
		{item("{{ .Release.Name }}"), "", false},
		{item("{{ .Values.account }}"), "", false},
		{item("{{ .Values.account }}"), other, false},
		{item("{{ .Values.account }}"), of, true},
		{item("{{ .Values.account }}"), "var.x", true},
		{item("{{ .Values.account }}"), `"a: ${var.x}-r"`, false},
		{item("{{ .Values.account | default \"flux\" }}"), "", true},
		{item("{{ .Values.account }}-r"), of, false},
		{item("f{{ .Values.account }}x"), `"a: lu"`, true},
		{item("\"{{ index .Values \"account\" }}\""), of, true},
		{item("{{ $name }}"), of, true},
		{"\n{{- range .Values.accounts }}" + item("{{ . }}") + "{{- end }}\n", of, true},
		{"\n{{- range .Values.accounts }}" + item("{{ .name | quote }}") + "{{- end }}\n", of, true},
		{"\n{{- range $a := .Values.accounts }}" + item("\"{{ $a.name }}\"") + "{{- end }}\n", of, true},
		{"\n{{- with .Values.account }}" + item("{{ . | quote }}") + "{{- end }}\n", of, true},
		{"{{ toYaml .Values.subjects | nindent 0 }}\n", of, true},
		{"{{ toYaml .Values.subjects | nindent 0 }}\n", other, false},
		{item("{{ include \"r.fullname\" . }}") + "roleRef:\n  kind: ClusterRole\n  name: {{ .Values.role }}\n", "var.x", false},
		{"[{kind: Group, name: 'system:serviceaccounts:flux'}]", "", true},
		{"[{kind: User, name: 'system:serviceaccount:flux:flux'}]", "", true},
		{"[{kind: User, name: a@example.com}]", "", false},
		{"\n- kind: Group\n  name: {{ .Values.adminGroup }}\n", "var.x", false},
		{"[{kind: User, name: flux}]", "", false},
		{"\n- kind: Group\n  name: {{ .Values.group }}\n", `"group: 'system:authenticated'"`, true},
		{"\n- kind: Group\n  name: system:serviceaccounts:{{ .Release.Namespace }}\n", "", true},
		{"\n- kind: Group\n  name: \"system:serviceaccounts:{{ $.Release.Namespace }}-x\"\n", "", false},
		{"\n- kind: Group\n  name: {{ printf \"system:serviceaccounts:%s\" .Release.Namespace }}\n", "", true},
		{"\n- kind: Group\n  name: system:serviceaccounts:{{ .Values.in }}\n", `"in: flux"`, true},
		{"\n- kind: Group\n  name: system:serviceaccounts:{{ .Values.in }}\n", `"in: other"`, false},
		{"\n- kind: Group\n  name: system:serviceaccounts:{{ .Values.in }}\n", "var.x", true},
		{"\n- kind: Group\n  name: system:serviceaccounts:{{ include \"r.namespace\" . }}\n", other, true},
		{"\n- kind: User\n  name: system:serviceaccount:{{ .Release.Namespace }}:flux\n", "", true},
		{"\n- kind: User\n  name: system:serviceaccount:{{ .Release.Namespace }}:other\n", "", false},
		{"\n- kind: User\n  name: system:serviceaccount:other:{{ .Values.account }}\n", of, false},
		{"[{kind: ServiceAccount, name: flux, namespace: other}]", "", false},
		{"\n- kind: ServiceAccount\n  name: flux\n  namespace: {{ .Release.Namespace }}\n", "", true},
		{"\n- kind: ServiceAccount\n  name: flux\n  namespace: {{ .Release.Namespace }}-x\n", "", false},
		{"\n- kind: ServiceAccount\n  name: flux\n  namespace: {{ .Values.in }}\n", other, true},
		{"\n- kind: ServiceAccount\n  name: flux\n{{- if .Values.in }}\n  namespace: {{ .Values.in }}\n{{- else }}\n  namespace: other\n{{- end }}\n", other, true},
		{"\n- kind: ServiceAccount\n  namespace: flux\n{{- if .Values.in }}\n  name: other\n{{- else }}\n  name: flux\n{{- end }}\n", other, true},
	} {
		template := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: flux}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n"
		for at, key := range map[string]string{"templates/b.yaml": "subjects: ", "charts/sub/templates/b.yaml": "\"subjects\": "} {
			inv := declaredBy(t, map[string]string{"main.tf": fmt.Sprintf(config, c.values), "charts/r/Chart.yaml": "apiVersion: v2\nname: r\nversion: 1.0.0\n", "charts/r/charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n", "charts/r/" + at: template + key + c.subjects})
			a := inv.Agents[0]
			equal(t, at+": "+c.subjects+" of "+c.values, []bool{a.Confinement.Kind == "", slices.Contains(a.Unknown, "confinement")}, []bool{c.unknown, c.unknown})
			if c.unknown {
				said(t, inv, "RIGHTS_UNKNOWN", "flux/flux", "helm_release.r", "in the templates of the chart")
			}
		}
	}
	inv := declaredBy(t, map[string]string{"main.tf": fmt.Sprintf(config, ""), "charts/r/Chart.yaml": "apiVersion: v2\nname: r\nversion: 1.0.0\n", "charts/r/values.yaml": "account: flux\n",
		"charts/r/templates/b.yaml": "kind: ClusterRoleBinding\nsubjects:" + item("{{ .Values.account }}")})
	equal(t, "by a default", inv.Agents[0].Confinement.Kind, "")
	inv = declaredBy(t, map[string]string{"main.tf": fmt.Sprintf(config, ""), "charts/r/Chart.yaml": "apiVersion: v2\nname: r\nversion: 1.0.0\n", "charts/r/templates/b.yaml": strings.Repeat("#", chartFileBytes+1)})
	said(t, inv, "RIGHTS_UNKNOWN", "flux/flux", "helm_release.r", "not all was read, since its templates/b.yaml has more than 1 MiB")
	for folder, want := range map[string]string{"../real": "", "../other": "namespaces"} { // of a part beside it
		inv := declaredBy(t, map[string]string{"main.tf": fmt.Sprintf(config, ""), "charts/r/Chart.yaml": "name: r\nversion: 1.0.0\ndependencies: [{name: part, version: 1.0.0, repository: 'file://" + folder + "'}]\n",
			"charts/real/Chart.yaml": "name: part\nversion: 1.0.0\n", "charts/real/templates/b.yaml": "kind: ClusterRoleBinding\nsubjects:" + item("flux"), "charts/other/Chart.yaml": "name: part\nversion: 1.0.0\n"})
		equal(t, "of a part in "+folder, inv.Agents[0].Confinement.Kind, want)
	}
	for repository, want := range map[string]string{`"${path.module}/charts"`: "", `"charts"`: "", `"https://charts.example.com"`: "namespaces", `"${path.module}/other"`: "namespaces"} {
		of := strings.Replace(fmt.Sprintf(config, ""), "chart = \"${path.module}/charts/r\"", "chart = \"r\"\n repository = "+repository, 1)
		inv := declaredBy(t, map[string]string{"main.tf": of, "charts/r/Chart.yaml": "apiVersion: v2\nname: r\nversion: 1.0.0\n", "charts/r/templates/b.yaml": "kind: ClusterRoleBinding\nsubjects:" + item("flux")})
		equal(t, "of repository "+repository, inv.Agents[0].Confinement.Kind, want)
	}
}
