package discover

import (
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

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
		Name: "TERRAFORM_AGENT_UNCERTAIN", Severity: migrate.Blocker,
		Cause:       "it is not known whether the configuration declares a Flux v1 agent, or how many",
		Consequence: "an agent may be missing here",
		Remedy:      "give what the finding names (--var, --var-file, --workspace), or the state (--terraform-state)",
	}
	TerraformNoAgent = flux1.Code{
		Name: "TERRAFORM_NO_AGENT", Severity: migrate.Info,
		Cause:       "a Flux v1 agent is written in the configuration and not declared, since its count is 0",
		Consequence: "there is nothing to migrate of it",
		Remedy:      "if it is applied with other values, give them (--var, --var-file)",
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
	TerraformOtherCluster = flux1.Code{
		Name: "TERRAFORM_OTHER_CLUSTER", Severity: migrate.Info,
		Cause:       "the configuration declares a Flux v1 agent through another provider configuration than the others",
		Consequence: "it is an agent of another cluster and is left out here",
		Remedy:      "to look at that cluster, name its provider configuration (--terraform-provider)",
	}
	TerraformClusters = flux1.Code{
		Name: "TERRAFORM_CLUSTER_UNKNOWN", Severity: migrate.Blocker,
		Cause:       "the configuration declares agents through several provider configurations, and none is the default one",
		Consequence: "it is not known which of them belong to this cluster, so none is taken",
		Remedy:      "name the one of this cluster (--terraform-provider)",
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
		Name: "TERRAFORM_LOCAL_CHART", Severity: migrate.Warning,
		Cause:       "the release is of a copy of the flux chart that lies beside the configuration",
		Consequence: "it is read as the published chart of that version; the copy may differ from it",
		Remedy:      "compare the copy with the published chart, or let discovery read the agent's Deployment",
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
	TerraformObjects = flux1.Code{
		Name: "TERRAFORM_OBJECTS", Severity: migrate.Info,
		Cause:       "the agent is declared without Helm, by single resources",
		Consequence: "all of them have to leave the Terraform state together",
		Remedy:      "look at the list before the agent is finalized",
	}
	TerraformStateOnly = flux1.Code{
		Name: "TERRAFORM_STATE_ONLY", Severity: migrate.Warning,
		Cause:       "the Terraform state holds a release of the flux chart that the configuration does not declare",
		Consequence: "the next apply destroys it, and with it the agent",
		Remedy:      "find out whether the configuration given is the one in use",
	}
	TerraformNotApplied = flux1.Code{
		Name: "TERRAFORM_NOT_APPLIED", Severity: migrate.Warning,
		Cause:       "a setting in the configuration is not the one that was applied last, as the state has it",
		Consequence: "the next apply changes the agent",
		Remedy:      "apply the configuration, or undo the change in it, before the migration",
	}
	WitnessesDisagree = flux1.Code{
		Name: "WITNESSES_DISAGREE", Severity: migrate.Warning,
		Cause:       "the live agent and its declaration in Terraform differ in a setting",
		Consequence: "the live arguments count; the next apply of the configuration changes the agent",
		Remedy:      "find out which of them is meant and bring the other in line before the migration",
	}
	EditedByHand = flux1.Code{
		Name: "EDITED_BY_HAND", Severity: migrate.Warning,
		Cause:       "the agent's live arguments are not what its Helm release gives it",
		Consequence: "somebody edited the Deployment; the live arguments count, and the next upgrade of the release undoes the edit",
		Remedy:      "find out which of the two is meant and bring the other in line before the migration",
	}
	DeclaredNotLive = flux1.Code{
		Name: "DECLARED_NOT_LIVE", Severity: migrate.Warning,
		Cause:       "the configuration declares an agent that the cluster does not have",
		Consequence: "there is nothing to hand over; the next apply installs the agent",
		Remedy:      "find out whether it is of another cluster, was never applied, or was removed by hand, and remove it from the configuration",
	}
	LiveNotDeclared = flux1.Code{
		Name: "LIVE_NOT_DECLARED", Severity: migrate.Info,
		Cause:       "none of the given Terraform declares the agent",
		Consequence: "where it is declared, or whether it is at all, is unknown",
		Remedy:      "name the folder that declares it as well (--terraform), if there is one",
	}
)

var terraformCodes = []flux1.Code{
	TerraformProblem, TerraformModuleUnread, TerraformUncertain, TerraformNoAgent, TerraformScript, TerraformTools,
	TerraformOtherCluster, TerraformClusters, TerraformTwice, TerraformChartUnknown, TerraformLocalChart, TerraformName,
	TerraformNamespace, TerraformObjects, TerraformStateOnly, TerraformNotApplied, WitnessesDisagree, EditedByHand,
	DeclaredNotLive, LiveNotDeclared,
}
