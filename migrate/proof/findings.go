package proof

import "github.com/fluxover/fluxover/migrate"

const lostRemedy = "see what leaves it out (a default exclusion of Flux v2, a .sourceignore, the annotation config.kubernetes.io/local-config), and take that away; accept it if nobody is to manage the object from then on"

const sharedRemedy = "remove it from all but one; where all read one file, let the paths (--git-path) of one agent alone hold it"

// codes are the kinds of findings that a proof makes, beside those it shares
// with discovery.
var codes = []migrate.Code{
	{
		Name: "OBJECT_IN_TWO_APPLICATIONS", Severity: migrate.Blocker,
		Cause:       "several Kustomizations of a repository would build the same object",
		Consequence: "they would fight over it for ever",
		Remedy:      "remove all its copies but one from Git",
	},
	{
		Name: "OBJECT_IN_TWO_REPOSITORIES", Severity: migrate.Blocker,
		Cause:       "two repositories apply the same object",
		Consequence: "their agents overwrite each other now, and two Kustomizations would do so for ever",
		Remedy:      sharedRemedy,
	},
	{
		Name: "SHARED_OBJECTS_UNKNOWN", Severity: migrate.Warning,
		Cause:       "the repository of an agent could not be read",
		Consequence: "objects that it applies beside another repository are not found, and two Kustomizations would fight over them once both are handed over",
		Remedy:      "mend what its own findings name, and plan again, before any repository is handed over whose objects it may hold, too",
	},
	{
		Name: "STALE_OBJECT", Severity: migrate.Info,
		Cause:       "a live object carries the old agent's mark and is not in Git at the synced commit",
		Consequence: "it stays, and nobody will manage it",
		Remedy:      "delete it yourself if it is not wanted",
	},
	{
		Name: "BUILD_FAILED", Severity: migrate.Blocker,
		Cause:       "the new agent could not build a Kustomization",
		Consequence: "nothing of it would be applied; fluxd, whose Kustomize is older, may tolerate the same or fail alike",
		Remedy:      "mend the repository as the message says",
	},
	{
		Name: "EMPTY_BUILD", Severity: migrate.Blocker,
		Cause:       "a Kustomization would build nothing",
		Consequence: "an empty set is never taken for an answer, since the new agent would prune everything",
		Remedy:      "see what is left out (spec.ignore of its GitRepository, a .sourceignore, objects annotated config.kubernetes.io/local-config), and take away what leaves out too much",
	},
	{
		Name: "OBJECT_LOST", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "fluxd applies an object that the new agent would not build",
		Consequence: "it stays as it is, and nobody manages it",
		Remedy:      lostRemedy,
	},
	{
		Name: "RENDERING_DIFFERS", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "Flux v1 and Flux v2 read an object of Git differently",
		Consequence: "the object would change at the adoption",
		Remedy:      `look at it with "fluxover diff", and mend the file so that both read it alike`,
	},
	{
		Name: "ADDITION_NOT_CARRIED", Severity: migrate.Blocker,
		Otherwise:   []migrate.Variant{{Severity: migrate.Warning, When: "it would keep the object from being deleted, and Flux v1 deletes nothing: it is missed once somebody turns prune on"}},
		Cause:       "the patch that is to put an annotation on an object does not find it, as where transformers of a kustomization file set its namespace or name after the patches",
		Consequence: "an object that Flux v1 leaves alone would be applied, or one that must stay would be deleted once it leaves Git",
		Remedy:      "write the annotation on the object in Git, or its namespace and name as they become",
	},
	{
		Name: "OBJECT_OWNED", Severity: migrate.Blocker,
		Otherwise:   []migrate.Variant{{Severity: migrate.Blocker, Acceptable: true, When: "that Kustomization does not list the object in its status, or applies by a kubeconfig of its own (spec.kubeConfig), mostly to another cluster, so that it may be its label alone that is left"}},
		Cause:       "an object already belongs to another Kustomization",
		Consequence: "the two would fight over it for ever",
		Remedy:      "remove it from one of the two",
	},
	{
		Name: "OWNER_GONE", Severity: migrate.Warning,
		Otherwise:   []migrate.Variant{{Severity: migrate.Blocker, Acceptable: true, When: "the object's managedFields say that a Flux v2 applied it, which may be in another cluster and still apply here (spec.kubeConfig)"}},
		Cause:       "a live object bears the labels of a Kustomization that is not in this cluster, as after an uninstalled Flux v2, or in manifests that were exported from another cluster",
		Consequence: "the new agent puts its own in their place; a Flux v2 of another cluster that applies the object would fight with it over that, and delete what leaves its repository",
		Remedy:      "if that Flux v2 was removed, accept it (a warning needs nothing); if it is in another cluster and applies here, remove the object from one of the two repositories; where the labels stand in Git, take them out",
	},
	{
		Name: "DEFINITION_AWAITED", Severity: migrate.Blocker,
		Otherwise:   []migrate.Variant{{Severity: migrate.Blocker, Acceptable: true, When: "it is there and may yet become ready: its controller is still at work on it, or the adoption changes it"}},
		Cause:       "a Namespace, ClusterRole, CRD or class is in Git, and either is not in the cluster and carries a mark by which the new agent leaves it alone, or is there and is not ready, as one that is being deleted or whose names are taken",
		Consequence: "Flux v2 waits for these before it applies anything else, so the whole Kustomization fails",
		Remedy:      "see why it is not ready, and plan again once it is; or remove it from Git, make it in the cluster, or take the mark away so that it is applied",
	},
	{
		Name: "OBJECT_UNSTEADY", Severity: migrate.Blocker,
		Cause:       "an object was written to between reading and trying it, several times in a row",
		Consequence: "what would happen to it is not known; the other repositories are not held back",
		Remedy:      "plan again; if it stays so, its managedFields name who writes to it",
	},
	{
		Name: "DRY_RUN_REFUSED", Severity: migrate.Blocker,
		Cause:       "the API server refuses an object, tried by server-side dry-run as the account that applies it",
		Consequence: "one refused object would hold back its whole Kustomization",
		Remedy:      "mend it in Git as the API server's answer says",
	},
	{
		Name: "OBJECT_UNREAD", Severity: migrate.Blocker,
		Cause:       "the API server cannot give an object that is in Git, as where a conversion webhook of its kind does not answer",
		Consequence: "what would happen to it is not known, and the new agent would fail on it and on its whole Kustomization",
		Remedy:      "mend what the API server names; where that is a conversion webhook that is gone, the kind's CRD says which",
	},
	{
		Name: "OBJECT_CREATED", Severity: migrate.Warning,
		Cause:       "an object is in Git and not in the cluster",
		Consequence: "the new agent creates it",
		Remedy:      "make sure that it is wanted; why fluxd did not create it stands in the old agent's log",
	},
	{
		Name: "PODS_RESTART", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "fields of a pod template that are set in the cluster and not in Git go at the adoption, such as the mark of a rollout restart",
		Consequence: "the workload's pods are replaced",
		Remedy:      "commit what is live to keep it, or accept the restart",
	},
	{
		Name: "OBJECT_CHANGES", Severity: migrate.Warning, Acceptable: true,
		Otherwise:   []migrate.Variant{{Severity: migrate.Blocker, Acceptable: true, When: "what changes is more than labels and annotations, since it is what the object does: how many replicas run, or who may reach it; or is those of a Service, Ingress, IngressClass, Namespace, ServiceAccount, ClusterRole or StorageClass, which others act on"}},
		Cause:       "fields of an object were set by hand, or it has drifted from Git",
		Consequence: "the adoption makes it what Git says",
		Remedy:      "commit what is live to keep it",
	},
	{
		Name: "OBJECT_LEFT_ALONE", Severity: migrate.Warning,
		Cause:       "an object that fluxd applies carries a mark by which Flux v2 leaves it as it is",
		Consequence: "what is committed to it later is not applied",
		Remedy:      "take the mark (an annotation of kustomize.toolkit.fluxcd.io, as the message says) from Git and from the live object, if it is to be applied",
	},
	{
		Name: "PRUNED_FROM_NOW_ON", Severity: migrate.Warning,
		Cause:       "Flux v1 collects garbage, and a live object that it applies is owned by another object (ownerReferences)",
		Consequence: "Flux v1 never deletes such an object; Flux v2 deletes it once it leaves Git",
		Remedy:      "annotate it in Git with kustomize.toolkit.fluxcd.io/prune: disabled if it is to stay",
	},
	{
		Name: "IMAGE_DIFFERS", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "a workload runs another image than Git names",
		Consequence: "the adoption goes back to the image of Git, and the workload's pods are replaced",
		Remedy:      "commit the image that runs, let fluxd sync, and plan again; where Flux v1 updates images, see that its last commit was pushed",
	},
	{
		Name: "OBJECT_RECREATED", Severity: migrate.Blocker,
		Cause:       "an object asks Flux v2 to force its changes, and the API server refuses a change that it needs",
		Consequence: "the new agent would delete it and make it anew",
		Remedy:      "take the annotation kustomize.toolkit.fluxcd.io/force from Git and from the live object, and make Git say what is live",
	},
	{
		Name: "OTHER_OWNER", Severity: migrate.Blocker, Acceptable: true,
		Otherwise:   []migrate.Variant{{Severity: migrate.Blocker, When: "a Flux v2 HelmRelease that the object's labels name is there, or may be"}},
		Cause:       "another tool's mark on a live object says that it manages the object as well",
		Consequence: "the two would fight over it",
		Remedy:      "remove it from one of the two; accept it if that tool is gone and only its mark is left",
	},
	{
		Name: "OTHER_AGENT", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "a live object carries the mark of another Flux v1 agent, which applied it last",
		Consequence: "two repositories hold it, and would fight over it",
		Remedy:      "remove it from the repository of one of the two, and let the other sync",
	},
}

// Codes lists the kinds of findings of this package.
func Codes() []migrate.Code { return codes }
