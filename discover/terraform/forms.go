package terraform

import (
	"maps"
	"slices"
)

// Form is one way to write something that this package reads: a syntax, an
// input, a kind of block, a function, a form of state.
type Form struct {
	Group string // language, inputs, blocks, functions, values, resources, unknown, clusters, state
	Name  string
	// Folder is the case of it, with what it is expected to mean, relative to
	// this package.
	Folder string
}

// Forms returns every form, by group and name. Each function of the language
// that is evaluated here is one.
func Forms() []Form {
	out := slices.Clone(forms)
	functions := (&loader{}).functionTable()
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		if len(name) > 6 && name[:6] == "core::" {
			continue // another spelling of each
		}
		folder := "testdata/language"
		if own, ok := functionFolders[name]; ok {
			folder = own
		}
		out = append(out, Form{"functions", name, folder})
	}
	return out
}

const folderOfForms = "testdata/forms/"

// functionFolders are the forms in which functions stand: of those that are met in public
// configurations of Flux v1, or asked for most, one of their own; of others that a form
// uses, that one.
var functionFolders = func() map[string]string {
	out := map[string]string{}
	for _, name := range []string{
		"base64decode", "coalesce", "concat", "file", "flatten", "format", "join", "jsonencode", "length", "list", "lookup", "lower", "map",
		"max", "merge", "regex", "replace", "sha1", "substr", "templatefile", "trimspace", "try", "yamlencode",
	} {
		out[name] = folderOfForms + "function-" + name
	}
	for folder, names := range map[string][]string{
		"cloud-tags":               {"contains"},
		"count":                    {"element"},
		"for_each-set-filtered":    {"setproduct", "toset"},
		"for_each-unknown":         {"split"},
		"json-syntax":              {"upper"},
		"opentofu":                 {"base64gunzip", "base64gzip", "cidrcontains", "urldecode"}, // of which Terraform has base64gzip alone
		"paths-out-of-the-tree":    {"fileexists", "pathexpand"},
		"references":               {"can"},
		"sensitive":                {"jsondecode", "nonsensitive", "tonumber"},
		"teams-from-files":         {"basename", "fileset", "trimsuffix", "yamldecode"},
		"templatefile-unknown":     {"indent"},
		"terraform-0.11-workloads": {"formatlist"},
		"terragrunt-hierarchy":     {"dirname"},
		"values-merge":             {"compact", "sort"},
	} {
		for _, name := range names {
			out[name] = folderOfForms + folder
		}
	}
	return out
}()

var forms = []Form{
	{"language", "Terraform 0.11 and HCL 1", folderOfForms + "terraform-0.11"},
	{"language", "Terraform 0.11: blocks of several arguments on one line", folderOfForms + "terraform-0.11"},
	{"language", "Terraform 0.11: lists in lists, dotted keys, the one instance of a count without its index", folderOfForms + "terraform-0.11-workloads"},
	{"language", "blocks that are written as arguments: lists of objects, objects", folderOfForms + "terraform-0.11-workloads"},
	{"language", "Terraform since 0.12", folderOfForms + "variables-and-locals"},
	{"language", "OpenTofu: .tofu files, early evaluation, enabled, provider for_each", folderOfForms + "opentofu"},
	{"language", "OpenTofu: modules that are passed a provider by its key", folderOfForms + "opentofu"},
	{"language", "JSON syntax", folderOfForms + "json-syntax"},
	{"language", "override files", folderOfForms + "overrides"},
	{"language", "expressions: for, splat, conditional, index, heredoc", folderOfForms + "expressions"},
	{"language", "values that depend on themselves", folderOfForms + "cycles"},
	{"language", "a file that is in error, up to there", folderOfForms + "broken-file"},
	{"language", "templates: if, else, for, ~", folderOfForms + "templatefile-directives"},

	{"inputs", "defaults of variables", folderOfForms + "variables-and-locals"},
	{"inputs", "terraform.tfvars and *.auto.tfvars", folderOfForms + "variables-and-locals"},
	{"inputs", "-var and -var-file", folderOfForms + "variables-and-locals"},
	{"inputs", "TF_VAR_ in the environment", folderOfForms + "variables-and-locals"},
	{"inputs", "-var and -var-file in TF_CLI_ARGS of the environment", folderOfForms + "cli-args"},
	{"inputs", "Terragrunt inputs", folderOfForms + "terragrunt"},
	{"inputs", "Terragrunt files that read others, extra arguments, exposed includes", folderOfForms + "terragrunt-hierarchy"},
	{"inputs", "Terragrunt with a remote module", folderOfForms + "terragrunt-remote"},
	{"inputs", "the backend that Terragrunt writes: remote_state", folderOfForms + "terragrunt-remote"},
	{"inputs", "files of a folder, one for each team", folderOfForms + "teams-from-files"},

	{"blocks", "variable, locals, output", folderOfForms + "variables-and-locals"},
	{"blocks", "count", folderOfForms + "count"},
	{"blocks", "for_each over a map", folderOfForms + "for_each-map"},
	{"blocks", "for_each over a set and a filtered list", folderOfForms + "for_each-set-filtered"},
	{"blocks", "for_each over a flattened map", folderOfForms + "for_each-flattened"},
	{"blocks", "dynamic, with a renamed iterator and computed names", folderOfForms + "dynamic-blocks"},
	{"blocks", "module, nested, with inputs and outputs", folderOfForms + "modules-local"},
	{"blocks", "module that terraform init has installed", folderOfForms + "modules-outside"},
	{"blocks", "provider and its aliases", folderOfForms + "several-clusters"},
	{"blocks", "terraform with backend and required_providers", folderOfForms + "backend"},
	{"blocks", "resource and data that others refer to", folderOfForms + "references"},
	{"blocks", "lifecycle, moved, removed, import", folderOfForms + "moves"},
	{"blocks", "moved and removed, with the state that they change", folderOfForms + "moved-state"},
	{"blocks", "provisioner", folderOfForms + "scripts"},

	{"values", "values, several documents merged", folderOfForms + "values-merge"},
	{"values", "set and set_sensitive as blocks", folderOfForms + "set-blocks"},
	{"values", "values of the last release: reuse_values, reset_values", folderOfForms + "reuse-values"},
	{"values", "set_string and set_list, and errors in each form", folderOfForms + "set-forms"},
	{"values", "set, set_list, set_sensitive, set_wo as lists", folderOfForms + "provider-3-lists"},
	{"values", "Helm's escapes and lists in set", folderOfForms + "set-escapes"},
	{"values", "sensitive values", folderOfForms + "sensitive"},

	{"resources", "helm_release", folderOfForms + "for_each-map"},
	{"resources", "helm_release of a chart that has the flux chart as a part, as its values tell", folderOfForms + "umbrella-charts"},
	{"resources", "helm_repository, data and resource", folderOfForms + "helm_repository"},
	{"resources", "helm_template", folderOfForms + "helm_template"},
	{"resources", "null_data_source", folderOfForms + "null_data_source"},
	{"resources", "template_file", folderOfForms + "template_file"},
	{"resources", "kubernetes_deployment and kubernetes_deployment_v1", folderOfForms + "kubernetes-objects"},
	{"resources", "kubernetes_deployment and kubernetes_deployment_v1, in JSON syntax", folderOfForms + "kubernetes-json"},
	{"resources", "an agent of kubernetes_namespace_v1, kubernetes_cluster_role_v1, kubernetes_secret_v1 and kubernetes_deployment_v1", folderOfForms + "kubernetes-v1"},
	{"resources", "kubernetes_stateful_set and kubernetes_stateful_set_v1", folderOfForms + "kubernetes_stateful_set"},
	{"resources", "kubernetes_daemonset and kubernetes_daemon_set_v1", folderOfForms + "kubernetes_daemonset"},
	{"resources", "kubernetes_deployment whose image or port alone tells of fluxd", folderOfForms + "fluxd-by-image"},
	{"resources", "kubectl_manifest of a kind that is none of Kubernetes' own, with pods of fluxd", folderOfForms + "fluxd-by-image"},
	{"resources", "kubernetes_manifest", folderOfForms + "kubernetes-objects"},
	{"resources", "kubernetes_service_account, kubernetes_default_service_account and their _v1, and kubernetes_annotations", folderOfForms + "account-roles"},
	{"resources", "kubernetes_cluster_role_binding and kubernetes_role_binding, with their roles and _v1", folderOfForms + "grants"},
	{"resources", "helm_release of a chart that makes what it is given: raw, any-resource", folderOfForms + "grants"},
	{"resources", "kustomization_resource, k8s_manifest and k8sraw_yaml, of roles and bindings", folderOfForms + "grants"},
	{"resources", "null_resource that binds by kubectl", folderOfForms + "grants"},
	{"resources", "kubectl_manifest", folderOfForms + "kubernetes-objects"},
	{"resources", "what is left as the cluster has it: ignore_changes, computed_fields, ignore_fields", folderOfForms + "left-alone"},
	{"resources", "kubectl_file_documents and kubectl_path_documents", folderOfForms + "kubectl-documents"},
	{"resources", "local_file", folderOfForms + "kubectl-documents"},
	{"resources", "null_resource", folderOfForms + "null_resource"},
	{"resources", "null_resource and terraform_data whose triggers, environment, interpreter or files run a tool", folderOfForms + "script-inputs"},
	{"resources", "external", folderOfForms + "script-inputs"},
	{"resources", "shell_script, local_command, ansible_playbook: what runs a program, as a resource, data, an ephemeral resource or an action", folderOfForms + "script-inputs"},
	{"resources", "helmfile_release_set: releases of Helmfile", folderOfForms + "script-inputs"},
	{"resources", "terracurl_request: what is asked of whatever API", folderOfForms + "script-inputs"},
	{"resources", "terraform_remote_state", folderOfForms + "remote-state"},

	{"unknown", "a variable without a value", folderOfForms + "templatefile-unknown"},
	{"unknown", "a variable, through modules", folderOfForms + "unknown-through-modules"},
	{"unknown", "variables of modules with types, of which a part is unknown", folderOfForms + "typed-through-modules"},
	{"unknown", "the instances of for_each", folderOfForms + "for_each-unknown"},
	{"unknown", "a module that is not in the tree", folderOfForms + "modules-outside"},
	{"unknown", "an output of another state", folderOfForms + "remote-state"},
	{"unknown", "a file that is missing or outside of the tree", folderOfForms + "paths-out-of-the-tree"},
	{"unknown", "a function that gives another value each time: timestamp", folderOfForms + "references"},
	{"unknown", "the workspace", folderOfForms + "workspace-unknown"},

	{"clusters", "provider aliases", folderOfForms + "several-clusters"},
	{"clusters", "provider configurations: host, context, name", folderOfForms + "clusters-by-host"},
	{"clusters", "provider configurations: places of clusters of one name", folderOfForms + "clusters-by-place"},
	{"clusters", "terraform.workspace, named", folderOfForms + "workspace"},
	{"clusters", "terraform.workspace, as selected in the folder", folderOfForms + "workspace-selected"},
	{"clusters", "the workspace that a block cloud names", folderOfForms + "cloud-name"},
	{"clusters", "the workspace that a block cloud names, in JSON syntax", folderOfForms + "cloud-json"},
	{"clusters", "workspaces that a block cloud chooses by tags", folderOfForms + "cloud-tags"},
	{"clusters", "workspaces of backend remote, by a prefix", folderOfForms + "remote-prefix"},
	{"clusters", "several workspaces with states", folderOfForms + "workspaces"},

	{"state", "state file of version 4", folderOfForms + "state"},
	{"state", "state file of version 3", folderOfForms + "state-v3"},
	{"state", "Deployments: kubernetes_deployment, kubernetes_manifest, kubectl_manifest", folderOfForms + "state-workloads"},
	{"state", "roles and bindings: kubernetes_role_binding and others, kustomization_resource", folderOfForms + "grants"},
	{"state", "terraform show -json, of a state", folderOfForms + "state-shown"},
	{"state", "terraform show -json, of a plan", folderOfForms + "state-planned"},
	{"state", "a running terraform, asked with terraform show -json", folderOfForms + "state-running"},
	{"state", "outputs, in the file", folderOfForms + "remote-state"},
	{"state", "outputs, of terraform show -json and of terraform output -json", folderOfForms + "remote-outputs"},
	{"state", "the state of a local backend, found in the folder", folderOfForms + "workspaces"},
}
