package discover

import (
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// maxOfOneCause is how many settings may be said to be unknown one by one for the same
// cause; more are said together.
const maxOfOneCause = 3

// byCause are the findings of an agent, with those together that say of many settings that
// they are unknown for one cause: to settle that settles all.
func byCause(findings []migrate.Finding) []migrate.Finding {
	unknown := map[string][]string{} // what is unknown, by the cause
	parts := func(f migrate.Finding) (what, why string, ok bool) {
		what, why, ok = strings.Cut(f.Message, " is unknown: ")
		return what, why, ok && f.Code == chart.ValueNotKnown.Name
	}
	for _, f := range findings {
		if what, why, ok := parts(f); ok && !slices.Contains(unknown[why], what) {
			unknown[why] = append(unknown[why], what)
		}
	}
	var out []migrate.Finding
	said := map[string]bool{}
	for _, f := range findings {
		_, why, ok := parts(f)
		if names := unknown[why]; ok && len(names) > maxOfOneCause {
			if said[why] {
				continue
			}
			said[why] = true
			slices.Sort(names)
			f.Message = strings.Join(names, ", ") + " are unknown: " + why
		}
		out = append(out, f)
	}
	return out
}

// The kinds of findings about Terraform, and about witnesses that differ.
var (
	TerraformProblem = flux1.Code{
		Name: "TERRAFORM_NOT_UNDERSTOOD", Severity: migrate.Warning,
		Cause:       "something in the Terraform files cannot be evaluated",
		Consequence: "what depends on it is unknown, and an agent that it declares may be missing here",
		Remedy:      "mend what the finding names, or give what is missing (--var, --var-file)",
	}
	TerraformModuleUnread = flux1.Code{
		Name: "TERRAFORM_MODULE_UNREAD", Severity: migrate.Warning,
		Cause:       "the source of a Terraform module is not in the folder that is read",
		Consequence: "what the module declares is unknown; it may declare agents",
		Remedy:      `run "terraform init" in the folder first, or name the folder that also holds the module (--terraform-root)`,
	}
	TerraformUncertain = flux1.Code{
		Name: "TERRAFORM_AGENT_UNCERTAIN", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "it is not known whether the configuration, or a state without one, has a Flux v1 agent, or how many",
		Consequence: "an agent may be missing here or, where the finding is about one that is listed, that may be none",
		Remedy:      "give what the finding names (--var, --var-file, --workspace), or the state (--terraform-state); accept this finding if you know that no agent is missing here for it",
	}
	TerraformObjectsUnknown = flux1.Code{
		Name: "TERRAFORM_OBJECTS_UNKNOWN", Severity: migrate.Warning,
		Cause:       "the configuration declares objects of which it does not tell what they are, or which images they run, and none of them is named as a Flux v1 agent is",
		Consequence: "one of them may be an agent, and then it is missing here",
		Remedy:      "give what the finding names (--var, --var-file), or discover the cluster itself, as has to be done for what is sensitive: that finds the agent however it was installed",
	}
	TerraformNoAgent = flux1.Code{
		Name: "TERRAFORM_NO_AGENT", Severity: migrate.Info,
		Cause:       "a Flux v1 agent is written in the configuration and not declared, since its count is 0, its for_each empty or its enabled false",
		Consequence: "there is nothing to migrate of it",
		Remedy:      "if it is applied with other values, or in another workspace, give them (--var, --var-file, --workspace)",
	}
	TerraformScript = flux1.Code{
		Name: "TERRAFORM_SCRIPT", Severity: migrate.Warning,
		Cause:       "the configuration runs a script that may install Flux v1",
		Consequence: "what a script installs cannot be read from Terraform; the cluster may have an agent that is not listed",
		Remedy:      "discover the cluster itself, which finds the agent however it was installed",
	}
	TerraformTools = flux1.Code{
		Name: "TERRAFORM_SCRIPT_TOOLS", Severity: migrate.Info,
		Cause:       "the configuration runs scripts that use kubectl, helm or the like, or whose command is not known",
		Consequence: "they do not speak of Flux, but what they install is not read",
		Remedy:      "look at them, or discover the cluster itself",
	}
	TerraformRendered = flux1.Code{
		Name: "TERRAFORM_CHART_RENDERED", Severity: migrate.Warning,
		Cause:       "the configuration renders the flux chart (data \"helm_template\"), for something else to apply",
		Consequence: "what is applied of it cannot be read from Terraform; the cluster may have an agent that is not listed",
		Remedy:      "discover the cluster itself, which finds the agent however it was installed",
	}
	TerraformPartOfChart = flux1.Code{
		Name: "TERRAFORM_CHART_HOLDS_FLUX", Severity: migrate.Warning,
		Cause:       "the configuration installs a chart that lies beside it and has the flux chart as a part, and what becomes of its parts is not read",
		Consequence: "it may install an agent, which is not listed from the configuration alone",
		Remedy:      "discover the cluster itself, which finds the agent however it was installed",
	}
	TerraformChartOfFluxd = flux1.Code{
		Name: "TERRAFORM_CHART_OF_FLUXD", Severity: migrate.Warning,
		Cause:       "the configuration installs a chart that is not named as the flux chart is, and that runs fluxd or is given the flux chart's values",
		Consequence: "it may install an agent, which is not listed from the configuration alone",
		Remedy:      "discover the cluster itself, which finds the agent however it was installed; a copy of the flux chart is read if it lies beside the configuration and has the version and app version that it was copied from",
	}
	TerraformChartNotRead = flux1.Code{
		Name: "TERRAFORM_CHART_NOT_READ", Severity: migrate.Warning,
		Cause:       "the configuration installs a chart that lies beside it, of which not all was read: it is larger or has more files than is read of a chart, a part of it is a link, or it cannot be unpacked",
		Consequence: "what was read shows no fluxd; the rest may install an agent, which is not listed from the configuration alone",
		Remedy:      "discover the cluster itself, which finds the agent however it was installed, or look into the chart",
	}
	TerraformInstaller = flux1.Code{
		Name: "TERRAFORM_CHART_BY_OBJECT", Severity: migrate.Warning,
		Cause:       "the configuration declares an object from which something in the cluster installs the flux chart, such as a HelmRelease, a HelmChart of k3s or an Application of Argo CD",
		Consequence: "what is installed of it is not read from Terraform; the cluster may have an agent that is not listed",
		Remedy:      "discover the cluster itself, which finds the agent however it was installed",
	}
	TerraformNotRead = flux1.Code{
		Name: "TERRAFORM_RESOURCE_NOT_READ", Severity: migrate.Warning,
		Cause:       "a resource of a type, or a release of a chart, that is not read here speaks of Flux v1: of its image or chart, of \"fluxctl install\", of Azure's sourceControlConfigurations or, being of Flux, of the git.url that the chart is given",
		Consequence: "it may install an agent, which is not listed from the configuration alone",
		Remedy:      "discover the cluster itself, which finds the agent however it was installed",
	}
	TerraformOtherCluster = flux1.Code{
		Name: "TERRAFORM_OTHER_CLUSTER", Severity: migrate.Info,
		Cause:       "the configuration declares a Flux v1 agent through a provider configuration of another cluster",
		Consequence: "it is an agent of another cluster and is left out here",
		Remedy:      "to look at that cluster, name it (--terraform-provider with its alias, server, context or name)",
	}
	TerraformClusters = flux1.Code{
		Name: "TERRAFORM_CLUSTER_UNKNOWN", Severity: migrate.Blocker,
		Cause:       "the configuration declares agents of several clusters, or of another than the kubeconfig names",
		Consequence: "it is not known which of them belong to this cluster, so none is taken",
		Remedy:      "name the one of this cluster (--terraform-provider with its alias, server, context or name)",
	}
	TerraformClusterNotSaid = flux1.Code{
		Name: "TERRAFORM_CLUSTER_NOT_SAID", Severity: migrate.Blocker,
		Cause:       "a Flux v1 agent is declared through a provider configuration that does not say its cluster, or not where that is, and those of the same name lead to several",
		Consequence: "it may be of this cluster, and is left out here",
		Remedy:      "read its folder by itself, or leave the folder out where it is of another cluster",
	}
	TerraformWorkspace = flux1.Code{
		Name: "TERRAFORM_WORKSPACE_UNKNOWN", Severity: migrate.Warning,
		Cause:       "the configuration depends on the selected workspace, and none is named",
		Consequence: "what depends on it is unknown",
		Remedy:      "name the workspace of this cluster (--workspace)",
	}
	TerraformOtherWorkspace = flux1.Code{
		Name: "TERRAFORM_OTHER_WORKSPACE", Severity: migrate.Info,
		Cause:       "another workspace of the configuration has a Flux v1 agent",
		Consequence: "it is of another state, most often of another cluster, and is left out here",
		Remedy:      "to look at it, name its workspace (--workspace)",
	}
	TerraformStateElsewhere = flux1.Code{
		Name: "TERRAFORM_STATE_ELSEWHERE", Severity: migrate.Info,
		Cause:       "the Terraform state is not in the folder",
		Consequence: "whether what is declared was applied, and what else the state holds, is not known",
		Remedy:      "have terraform print it (--terraform-show), or give what \"terraform show -json\" printed (--terraform-state)",
	}
	TerraformWorkspacesElsewhere = flux1.Code{
		Name: "TERRAFORM_WORKSPACES_ELSEWHERE", Severity: migrate.Info,
		Cause:       "the configuration is made for several workspaces, and its backend alone knows which there are",
		Consequence: "agents of the other workspaces, most often of other clusters, are not listed",
		Remedy:      "list them (\"terraform workspace list\") and look at each by itself (--workspace NAME, with --terraform-show for its state)",
	}
	TerraformWorkspaceRemote = flux1.Code{
		Name: "TERRAFORM_WORKSPACE_REMOTE", Severity: migrate.Warning,
		Cause:       "the backend gives the workspace one name where terraform runs on one's own machine and another where HCP Terraform runs it, and the configuration asks for the name",
		Consequence: "what depends on it was read with the one, and is wrong where the configuration is applied with the other",
		Remedy:      "if HCP Terraform applies it, name the workspace as HCP Terraform does (--workspace)",
	}
	TerraformVarFile = flux1.Code{
		Name: "TERRAFORM_VAR_FILE", Severity: migrate.Info,
		Cause:       "a file beside the configuration sets variables that have no value otherwise",
		Consequence: "Terraform does not read it by itself, so neither was it read here",
		Remedy:      "if it is the one of this cluster, give it (--var-file)",
	}
	TerraformRemoteState = flux1.Code{
		Name: "TERRAFORM_REMOTE_STATE", Severity: migrate.Warning,
		Cause:       "something of an agent is an output of another Terraform state, which is not in the folder",
		Consequence: "it is unknown",
		Remedy:      "give that state, or what \"terraform output -json\" prints of it (--terraform-state ADDRESS=FILE)",
	}
	TerraformTainted = flux1.Code{
		Name: "TERRAFORM_TAINTED", Severity: migrate.Warning,
		Cause:       "the Terraform state marks the agent as tainted",
		Consequence: "the next apply uninstalls the agent and installs it anew, with its key Secret and account",
		Remedy:      `apply it, or run "terraform untaint", before the migration`,
	}
	TerraformNotInState = flux1.Code{
		Name: "TERRAFORM_NOT_IN_STATE", Severity: migrate.Warning,
		Cause:       "an agent is declared, and the Terraform state does not hold it",
		Consequence: "the next apply installs it, or fails where the cluster has it already",
		Remedy:      "find out whether the state given is the one in use; an agent that was installed otherwise can be imported",
	}
	TerraformTwice = flux1.Code{
		Name: "TERRAFORM_DECLARED_TWICE", Severity: migrate.Blocker,
		Cause:       "two places of the given Terraform declare an agent of the same namespace and name",
		Consequence: "only one of them can be in force, and which is not known",
		Remedy:      "leave out the folder that is not of this cluster, or remove one of the two",
	}
	TerraformChartUnknown = flux1.Code{
		Name: "TERRAFORM_CHART_UNKNOWN", Severity: migrate.Blocker,
		Cause:       "the chart of a release is not known",
		Consequence: "it may be Flux v1, and then an agent is missing here",
		Remedy:      "give what the finding names (--var, --var-file)",
	}
	TerraformLocalChart = flux1.Code{
		Name: "TERRAFORM_LOCAL_CHART", Severity: migrate.Info,
		Cause:       "the release is of a copy of the flux chart that lies beside the configuration, with the templates of the published one",
		Consequence: "it is read as the published chart of that version, with the defaults of its own values.yaml",
		Remedy:      "nothing, unless the copy is changed before it is applied",
	}
	TerraformChartChanged = flux1.Code{
		Name: "TERRAFORM_LOCAL_CHART_CHANGED", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the release is of a copy of the flux chart that lies beside the configuration, and the copy's templates are not those of the published one",
		Consequence: "the agent is read as if it were installed by the published chart of that version, with the defaults of the copy's values.yaml; what the changed templates make of them may be something else: other arguments, an account with other rights, objects beside it",
		Remedy:      "let discovery read the agent's Deployment; or compare the copy's templates with the published ones (https://github.com/fluxcd/flux, the tag chart-VERSION, chart/flux/templates), and accept this finding if they change nothing that is shown here",
	}
	TerraformPostRendered = flux1.Code{
		Name: "TERRAFORM_POST_RENDERED", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the release has a post-renderer (postrender), a program that changes what the chart has rendered before it is applied",
		Consequence: "the agent is read as the chart makes it of its values; what the program makes of that may be something else: other arguments, an account with other rights, objects beside it",
		Remedy:      "let discovery read the agent's Deployment; or look at the program, and accept this finding if it changes nothing that is shown here",
	}
	TerraformName = flux1.Code{
		Name: "TERRAFORM_NAME_UNKNOWN", Severity: migrate.Blocker,
		Cause:       "the namespace or name of a declared agent is not known",
		Consequence: "it cannot be told which agent of the cluster it is",
		Remedy:      "give what the finding names (--var, --var-file), or the state (--terraform-state)",
	}
	TerraformNamespace = flux1.Code{
		Name: "TERRAFORM_OWNS_NAMESPACE", Severity: migrate.Warning,
		Cause:       "the agent's namespace is itself a resource of the configuration",
		Consequence: "destroying it together with the agent deletes everything else in the namespace",
		Remedy:      `take it out of the state without destroying it ("removed" with destroy = false), or keep it`,
	}
	RightsUnknown = flux1.Code{
		Name: "RIGHTS_UNKNOWN", Severity: migrate.Warning,
		Cause:       "the agent's account is bound, or may be, by what is not all known, such as a role that is not declared beside it, or by nothing that was read",
		Consequence: "what the account may do in all is not known without the cluster",
		Remedy:      "give what the finding says is not known, or let discovery read the cluster in which the agent runs, which has all of its bindings",
	}
	TerraformObjects = flux1.Code{
		Name: "TERRAFORM_OBJECTS", Severity: migrate.Info,
		Cause:       "the agent is declared without Helm, by single resources: those that are named after it or after its account and Git key, and the bindings of its account, in whatever namespace",
		Consequence: "all that it is made of has to leave the Terraform state together; what it uses as others may has to stay",
		Remedy:      "look at the list before the agent is finalized; what uses these objects and is not declared beside the agent is not known here",
	}
	TerraformStateOnly = flux1.Code{
		Name: "TERRAFORM_STATE_ONLY", Severity: migrate.Warning,
		Cause:       "the Terraform state holds a release of the flux chart, or a Deployment of fluxd, that the configuration does not declare, or as deposed",
		Consequence: "the next apply destroys it, and with it the agent",
		Remedy:      "find out whether the configuration given is the one in use",
	}
	TerraformStateAlone = flux1.Code{
		Name: "TERRAFORM_STATE_ALONE", Severity: migrate.Info,
		Cause:       "a Terraform state was given without the configuration that it is of",
		Consequence: "the agents are listed as they were applied last; what the configuration says by now is not known, nor what its scripts do, which no state holds",
		Remedy:      "name the folder in which one would run terraform as well (--terraform)",
	}
	TerraformStatesTogether = flux1.Code{
		Name: "TERRAFORM_STATES_TOGETHER", Severity: migrate.Warning,
		Cause:       "several Terraform states were given without the configurations that they are of, and agents of more than one of them are listed",
		Consequence: "the states do not tell whether they are of one cluster; their agents are listed as if they were",
		Remedy:      "leave out the states of other clusters, or say that all are of this one (--terraform-provider, as the finding has it)",
	}
	TerraformStateHidden = flux1.Code{
		Name: "TERRAFORM_STATE_HIDDEN", Severity: migrate.Warning,
		Cause:       "a Terraform state marks as sensitive what a workload runs",
		Consequence: "it may be an agent, and then it is missing here",
		Remedy:      "name the folder that declares it (--terraform), or discover the cluster itself",
	}
	TerraformNotApplied = flux1.Code{
		Name: "TERRAFORM_NOT_APPLIED", Severity: migrate.Warning,
		Cause:       "a setting in the configuration is not the one that was applied last, as the state has it",
		Consequence: "the next apply changes the agent",
		Remedy:      "apply the configuration, or undo the change in it, before the migration",
	}
	WitnessesDisagree = flux1.Code{
		Name: "WITNESSES_DISAGREE", Severity: migrate.Warning,
		Cause:       "the live agent, its declaration in Terraform and that in the Git repository of an agent differ in a setting",
		Consequence: "the live arguments count, and where no cluster was asked those of Terraform; the next apply of the configuration, or sync of the repository, changes the agent",
		Remedy:      "find out which of them is meant and bring the other in line before the migration",
	}
	EditedByHand = flux1.Code{
		Name: "EDITED_BY_HAND", Severity: migrate.Warning,
		Cause:       "the agent's live arguments are not what its Helm release gives it",
		Consequence: "somebody edited the Deployment, or a webhook does; the live arguments count, and the next upgrade of the release undoes the edit",
		Remedy:      "find out which of the two is meant and bring the other in line before the migration",
	}
	DeclaredNotLive = flux1.Code{
		Name: "DECLARED_NOT_LIVE", Severity: migrate.Warning,
		Cause:       "the configuration declares an agent that the cluster does not have",
		Consequence: "there is nothing to hand over; the next apply installs the agent",
		Remedy:      "find out whether it is of another cluster, was never applied, or was removed by hand, and remove it from the configuration",
	}
	LiveStateOnly = flux1.Code{
		Name: "LIVE_STATE_ONLY", Severity: migrate.Warning,
		Cause:       "the agent runs and is in the Terraform state, and the configuration does not declare it any more",
		Consequence: "the next apply uninstalls it, whether it is handed over or not",
		Remedy:      "find out whether the configuration given is the one in use; else apply it, or take the agent out of the state (\"removed\" with destroy = false)",
	}
	LiveNotDeclared = flux1.Code{
		Name: "LIVE_NOT_DECLARED", Severity: migrate.Info,
		Cause:       "none of the given Terraform declares the agent",
		Consequence: "where it is declared, or whether it is at all, is unknown",
		Remedy:      "name the folder that declares it as well (--terraform), if there is one",
	}
)

var terraformCodes = []flux1.Code{
	TerraformProblem, TerraformModuleUnread, TerraformUncertain, TerraformObjectsUnknown, TerraformNoAgent, TerraformScript, TerraformTools, TerraformRendered, TerraformPartOfChart, TerraformChartOfFluxd, TerraformInstaller, TerraformChartNotRead, TerraformNotRead,
	TerraformOtherCluster, TerraformClusters, TerraformClusterNotSaid, TerraformWorkspace, TerraformOtherWorkspace, TerraformStateElsewhere, TerraformWorkspacesElsewhere, TerraformWorkspaceRemote, TerraformVarFile, TerraformRemoteState, TerraformTainted, TerraformNotInState, TerraformTwice, TerraformChartUnknown, TerraformLocalChart, TerraformChartChanged, TerraformPostRendered, TerraformName,
	TerraformNamespace, RightsUnknown, TerraformObjects, TerraformStateOnly, TerraformStateAlone, TerraformStatesTogether, TerraformStateHidden, TerraformNotApplied, WitnessesDisagree, EditedByHand,
	DeclaredNotLive, LiveStateOnly, LiveNotDeclared,
}
