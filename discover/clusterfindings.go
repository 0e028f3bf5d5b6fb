package discover

import (
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// The kinds of findings about Helm's storage, about marks, and about what
// stands around agents in a cluster.
var (
	ReleaseNotDeployed = flux1.Code{
		Name: "HELM_RELEASE_NOT_DEPLOYED", Severity: migrate.Warning,
		Cause:       "the newest revision of the agent's Helm release is not deployed: it failed, or was uninstalled",
		Consequence: "what is live may be partly of one revision and partly of another; the live arguments count",
		Remedy:      `look at "helm history"; bring the release in order by "helm upgrade" or "helm rollback" before the migration`,
	}
	ReleasePending = flux1.Code{
		Name: "HELM_RELEASE_PENDING", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "an operation on the agent's Helm release has begun and not ended",
		Consequence: "somebody changes the agent now, or was cut off; Helm refuses any other operation until this one is ended",
		Remedy:      `wait for it, or end it by "helm rollback"; accept this finding if nobody is at work and the live arguments are right`,
	}
	ReleaseElsewhere = flux1.Code{
		Name: "HELM_RELEASE_ELSEWHERE", Severity: migrate.Info,
		Cause:       "Helm keeps the agent's release in another namespace than the agent is in",
		Consequence: "it is that namespace in which the release is uninstalled in the end",
		Remedy:      "know it; nothing is to be done",
	}
	ReleaseOfOtherChart = flux1.Code{
		Name: "HELM_RELEASE_OF_OTHER_CHART", Severity: migrate.Warning,
		Cause:       "the agent's Helm release is not of the flux chart, but of one that has it as a part or was made like it",
		Consequence: "its values are listed and not read; the live arguments count, then the release's manifest. The release may hold more than the agent",
		Remedy:      "look at the live arguments; take the agent out of that chart in the end, rather than uninstall the release",
	}
	Helm2Release = flux1.Code{
		Name: "HELM2_RELEASE", Severity: migrate.Warning,
		Cause:       "the agent's release is one of Helm 2, which Tiller keeps",
		Consequence: "Helm 3 does not know it, so it is not uninstalled in the end by this tool, and a Tiller that still runs may upgrade it",
		Remedy:      `convert it (the plugin helm-2to3) before you finalize, or remove it with the old client: "helm delete --purge"`,
	}
	RenderedOtherwise = flux1.Code{
		Name: "RENDERED_OTHERWISE", Severity: migrate.Info,
		Cause:       "the manifest of the agent's release says something else than its values with that chart version's defaults",
		Consequence: "the chart was changed, or a post-renderer edits what it renders; the live arguments count, then the manifest",
		Remedy:      "know that the values alone do not describe the agent",
	}
	EarlierMarks = flux1.Code{
		Name: "MARKS_OF_EARLIER_SETTINGS", Severity: migrate.Info,
		Cause:       "live objects carry a mark that fluxd wrote before its URL, branch or paths changed, or before its release went",
		Consequence: "they left Git since, or no agent applies them; fluxd collects them no more, and the new agent does not take them over",
		Remedy:      "look at them; nothing is done to them",
	}
	Orphans = flux1.Code{
		Name: "ORPHANS", Severity: migrate.Info,
		Cause:       "live objects carry the agent's mark and are not in its repository",
		Consequence: "they were left when they went out of Git; the new agent does not take them over, and nobody manages them then",
		Remedy:      "look at them, and delete by hand what is not wanted; nothing is done to them",
	}
	NoNamespace = flux1.Code{
		Name: "NAMESPACE_NOT_THERE", Severity: migrate.Warning,
		Cause:       "a namespace that objects name is not in the cluster, and no repository of an agent makes it",
		Consequence: "fluxd fails to apply these objects at each sync, and the new agent fails on their whole application",
		Remedy:      "make the namespace, put it into Git, or take the objects out of Git, and let the old agent sync",
	}
	Unapplied = flux1.Code{
		Name: "FLUX1_APPLY_FAILED", Severity: migrate.Warning,
		Cause:       "an object of the commit that the agent synced last is not live, lacks the agent's mark, or is live as of another manifest",
		Consequence: "fluxd fails to apply it at each sync, or somebody removed it since; the new agent applies it, or fails as fluxd does, and its application with it",
		Remedy:      "see why in the agent's log, or in fluxctl's list of workloads, and mend it in Git; if a sync was under way, discover again",
	}
	FluxdElsewhere = flux1.Code{
		Name: "FLUXD_IS_NO_DEPLOYMENT", Severity: migrate.Warning,
		Cause:       "a fluxd runs, or may run, as another workload than a Deployment",
		Consequence: "it is not handed over: what it syncs stays with it, and it may write the same objects as the new agent",
		Remedy:      "run it as a Deployment, or remove it",
	}
	AgentManaged = flux1.Code{
		Name: "AGENT_MANAGED", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "another controller keeps the agent's Deployment as it is",
		Consequence: "stopping the old agent may be undone by it at any time; the fence would still keep the agent from writing",
		Remedy:      "suspend what manages the agent, accept this finding, and let it go on once the hand-over is settled and the agent is taken out of what it applies; do not delete it before, nor take the agent out of it while it is not suspended: either may delete the agent, and what stands beside it",
	}
	EgressPolicy = flux1.Code{
		Name: "EGRESS_POLICY", Severity: migrate.Info,
		Cause:       "a NetworkPolicy, one of the cluster's administrators, or one of Cilium, Calico, Antrea or OpenShift limits what the agent's pods may reach",
		Consequence: "one of a namespace does not hold for the new agent, which is in another and needs the same ways out; one of the whole cluster may hold it back",
		Remedy:      "write a policy like it for the new agent's namespace, and let it reach every Git server",
	}
	Flux2NeedsNewer = flux1.Code{
		Name: "FLUX2_NEEDS_NEWER_KUBERNETES", Severity: migrate.Info,
		Cause:       "the API server is older than Kubernetes 1.33",
		Consequence: "Flux 2.9 does not support it; the bundled engine does",
		Remedy:      "take the bundled engine, hand over to an older Flux 2 (--engine existing), or upgrade the cluster",
	}
	NotifierFound = flux1.Code{
		Name: "NOTIFIER_FOUND", Severity: migrate.Info,
		Cause:       "fluxcloud or flux-recv is installed",
		Consequence: "it serves Flux v1's events or webhooks alone, and is of no use after the migration",
		Remedy:      "make a Provider and Alert, or a Receiver, of Flux v2 in its place",
	}
)

// What to do about each controller that keeps an agent. All of them delete what they made when they are told to
// make it no more (kustomize-controller and helm-controller: not while they are suspended; helm-operator: its
// HelmRelease has no finalizer; Argo CD: the finalizer resources-finalizer.argocd.argoproj.io).
const (
	suspendKustomization = "suspend that Kustomization (flux suspend kustomization), so that all that it applies stays as it is, accept this finding, and resume it once the hand-over is settled and the agent is out of its path; do not delete it before, nor take the agent out of its path while it is not suspended: with prune it deletes what it applied, the agent too"
	suspendHelmRelease   = "suspend that HelmRelease (flux suspend helmrelease), accept this finding, and delete it, still suspended, once the hand-over is settled; do not delete it, nor take it out of Git, while it is not suspended: the agent's release is uninstalled then"
	stopHelmOperator     = "scale that helm-operator to zero, so that all of its releases stay as they are, and accept this finding; delete the HelmRelease once the hand-over is settled, and before the helm-operator runs again; do not delete it, nor take it out of Git, while that runs: the agent's release is uninstalled then"
	stopApplication      = "turn off the automated sync of that Application (argocd app set NAME --sync-policy none), also where an ApplicationSet or another Application makes it, and accept this finding; turn it on once the hand-over is settled and the agent is out of its source; do not delete it before, nor sync it without the agent: either may delete what it applied, the agent too"
)

// managed is the finding that a controller keeps an agent, with what is to be done about that one.
func managed(id, where, says, remedy string) migrate.Finding {
	f := AgentManaged.Finding(id, where, says)
	f.Hint = remedy
	return f
}

// clusterCodes are the kinds of findings of this file.
var clusterCodes = []flux1.Code{
	ReleaseNotDeployed, ReleasePending, ReleaseElsewhere, ReleaseOfOtherChart, Helm2Release, RenderedOtherwise, EarlierMarks, Orphans, NoNamespace, Unapplied, FluxdElsewhere,
	AgentManaged, EgressPolicy, Flux2NeedsNewer, NotifierFound,
}
