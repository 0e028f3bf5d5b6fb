package discover

import (
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// The kinds of findings of this package.
var (
	RBACMissing = flux1.Code{
		Name: "RBAC_MISSING", Severity: migrate.Blocker,
		Otherwise:   []migrate.Variant{{Severity: migrate.Warning, When: "all that is unknown is whether policies limit what the agents' pods may reach, which no plan hangs on"}},
		Cause:       "you may not read something that discovery needs",
		Consequence: "what it would say is unknown",
		Remedy:      "have the right granted to you, or use an account that has it (--context, --as)",
	}
	AgentsUnknown = flux1.Code{
		Name: "AGENTS_UNKNOWN", Severity: migrate.Blocker,
		Cause:       "you may not list Deployments where agents are looked for",
		Consequence: "which Flux v1 agents there are is unknown, also whether there are any",
		Remedy:      `have list on deployments.apps granted to you ("fluxover rbac --for discover" prints all that is needed), use an account that has it (--context, --as), or have discover alone look where you may list them (--namespace)`,
	}
	OneNamespace = flux1.Code{
		Name: "OTHER_NAMESPACES_UNREAD", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "agents were looked for in the namespace of --namespace alone",
		Consequence: "agents of other namespaces that sync the same objects, or use the same sync tag, are not seen, nor are controllers of Flux v2 and operators there",
		Remedy:      "leave --namespace away where you may list Deployments everywhere; of what was saved so, accept this finding only if nothing else applies these objects",
	}
	APIGroupDown = flux1.Code{
		Name: "API_GROUP_DOWN", Severity: migrate.Blocker, Acceptable: true,
		Otherwise:   []migrate.Variant{{Severity: migrate.Warning, When: "the group is one of metrics, whose objects nobody keeps in Git"}},
		Cause:       "the API server cannot say what an API group serves",
		Consequence: "fluxd cannot sync while it lasts, and objects of these kinds look as if nothing served them",
		Remedy:      "mend or remove the APIService, or accept this finding if no repository holds such objects",
	}
	APIKindDown = flux1.Code{
		Name: "API_KIND_DOWN", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the API server does not give the objects of a kind, mostly since the conversion webhook that its CRD names is gone, or fails",
		Consequence: "which of them Flux v1 applied is unknown; and the old agents are stuck while it lasts, since fluxd lists every kind that it may list and is not told to leave out",
		Remedy:      "mend what the message names: bring the webhook back, or take the conversion (spec.conversion) out of the CRD, or remove the CRD if nothing needs its objects; accept this finding if no repository holds such objects",
	}
	ReleaseCorrupt = flux1.Code{
		Name: "HELM_RELEASE_CORRUPT", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the Secret or ConfigMap in which Helm keeps the agent's release cannot be read",
		Consequence: "the chart's version and what belongs to the release are unknown, and the release cannot be put back on rollback",
		Remedy:      `look at it with "helm get all"; "helm rollback" to a revision that can be read, or accept this finding`,
	}
	ReleaseMissing = flux1.Code{
		Name: "HELM_RELEASE_MISSING", Severity: migrate.Warning,
		Cause:       "the agent's labels name a Helm release that Helm's storage in the cluster does not hold",
		Consequence: "the release was deleted, or Helm keeps it in an SQL database; it cannot be put back on rollback",
		Remedy:      "make sure how the agent was installed",
	}
	HelmOperator = flux1.Code{
		Name: "HELM_OPERATOR_IN_RELEASE", Severity: migrate.Warning,
		Cause:       "the agent's release also runs a helm-operator",
		Consequence: "removing the release stops it, and HelmRelease objects of version 1 with it",
		Remedy:      "give the helm-operator a release of its own before you finalize",
	}
	AmbiguousRelease = flux1.Code{
		Name: "RELEASE_WITH_TWO_AGENTS", Severity: migrate.Warning,
		Cause:       "several agents carry the name of the same Helm release, or one agent's release has the name of another's Deployment",
		Consequence: "they are told apart by their Deployments' names",
		Remedy:      "look at how they were installed; one of them may be a leftover",
	}
	GitUnreadable = flux1.Code{
		Name: "GIT_UNREADABLE", Severity: migrate.Blocker,
		Cause:       "the agent's repository cannot be read with the agent's own credentials, or from the clone that was given for it, or has no branch of the name that the agent reads",
		Consequence: "what it syncs is unknown",
		Remedy:      "make the repository reachable from here, and see that the agent's key or password is still valid",
	}
	GitAuth = flux1.Code{
		Name: "GIT_AUTH", Severity: migrate.Blocker,
		Cause:       "the Git server refuses the agent's own credentials",
		Consequence: "what the agent syncs is unknown, and the new agent would be refused as well",
		Remedy:      "renew the deploy key or password in the place that the finding names",
	}
	GitHostKey = flux1.Code{
		Name: "GIT_HOST_KEY", Severity: migrate.Blocker,
		Cause:       "the Git server's host key is not among those that the agent trusts",
		Consequence: "no connection is made, here and by the new agent",
		Remedy:      "give the agent the server's line of known_hosts (chart value ssh.known_hosts), verified with its owner",
	}
	CredentialMissing = flux1.Code{
		Name: "CREDENTIAL_MISSING", Severity: migrate.Blocker,
		Cause:       "the place of the agent's Git credential is empty or missing",
		Consequence: "the repository cannot be read, and there is nothing to copy",
		Remedy:      "put the credential where the finding says",
	}
	AgentSecretMissing = flux1.Code{
		Name: "AGENT_SECRET_MISSING", Severity: migrate.Warning,
		Cause:       "a Secret that the agent's Deployment names, or a key of it, is not there",
		Consequence: "a pod of the agent that runs goes on; a new one does not start, neither after a change of the release nor after a rollback",
		Remedy:      "make the Secret, or take its name out of the agent's release",
	}
	CredentialPlace = flux1.Code{
		Name: "CREDENTIAL_PLACE", Severity: migrate.Blocker,
		Cause:       "the agent's password stands in plain text outside of a Secret, or in a .netrc that does not tell its server's login alone",
		Consequence: "it cannot be copied from there",
		Remedy:      "move it to a Secret, alone under a key, and refer to it in the agent's release and its URL",
	}
	NeverSynced = flux1.Code{
		Name: "NEVER_SYNCED", Severity: migrate.Blocker,
		Cause:       "the agent has no sync mark",
		Consequence: "it is unknown which commit it applied; its branch's head is looked at instead",
		Remedy:      "let the agent sync once, or find out from its log why it does not",
	}
	MarkUnknown = flux1.Code{
		Name: "SYNC_MARK_UNKNOWN", Severity: migrate.Blocker,
		Cause:       "the agent's sync mark names a commit that its repository does not hold",
		Consequence: "what it applied is unknown",
		Remedy:      "let the agent sync once; if history was rewritten, look at what is live",
	}
	MarkOffBranch = flux1.Code{
		Name: "SYNC_MARK_OFF_BRANCH", Severity: migrate.Blocker,
		Cause:       "the commit that the agent synced last is not on its branch",
		Consequence: "the branch was rewritten, or another agent uses the same sync tag; the new source could not be pinned to that commit",
		Remedy:      "let the agent sync the branch as it is now",
	}
	StuckAtHead = flux1.Code{
		Name: "FLUX1_STUCK_AT_HEAD", Severity: migrate.Warning,
		Cause:       "the branch's head holds what fluxd cannot load",
		Consequence: "v1 is stuck at an earlier commit; the new agent may fail on the head as well",
		Remedy:      "mend the file in Git",
	}
	HeadNotTold = flux1.Code{
		Name: "HEAD_NOT_TOLD", Severity: migrate.Warning,
		Cause:       "it cannot be told what fluxd loads at the branch's head",
		Consequence: "v1 may be stuck at an earlier commit, or apply what is not known here; the new agent may fail on the head as well, and no rollback begins but with --ignore-head",
		Remedy:      "mend in Git what the finding names, or, where a right to read is missing, give it; then discover again",
	}
	Undecided = flux1.Code{
		Name: "SETTINGS_UNDECIDED", Severity: migrate.Warning,
		Cause:       "the agent has settings of which nothing here tells what they change, and no other finding tells of them",
		Consequence: "the new agent has nothing in their place; what they change of the objects or of the way to the Git server shows when these are compared and fetched, and anything else that they do ends with the old agent",
		Remedy:      "look at each of them (discover -o yaml says what is known of it), and give the new agent by hand what is still needed",
	}
	AgentStopped = flux1.Code{
		Name: "AGENT_STOPPED", Severity: migrate.Warning,
		Cause:       "no pod of the agent runs",
		Consequence: "nothing is synced, and what is live may differ from its last commit",
		Remedy:      "start it and let it sync, or remove it if it is no longer wanted",
	}
	AgentNotReady = flux1.Code{
		Name: "AGENT_NOT_READY", Severity: migrate.Warning,
		Cause:       "a pod of the agent is there, and its fluxd is not ready: it cannot start, ends again and again, or has only just begun",
		Consequence: "nothing may be synced, and what is live may differ from its last commit",
		Remedy:      "see why in the pod's events and log, and let the agent sync, or remove it if it is no longer wanted; if it has only just begun, discover again",
	}
	AgentDeleted = flux1.Code{
		Name: "AGENT_BEING_DELETED", Severity: migrate.Blocker,
		Cause:       "the agent's Deployment, or its namespace, is being deleted",
		Consequence: "it ends by itself, with its credentials where its namespace goes; it could not be started again by a rollback",
		Remedy:      "see what holds the deletion back (finalizers), let it end and discover again; if the agent is still wanted, install it anew and let it sync",
	}
	RolloutUnfinished = flux1.Code{
		Name: "AGENT_ROLLOUT_UNFINISHED", Severity: migrate.Blocker,
		Cause:       "a pod of the agent runs with other settings than its Deployment has now: the rollout is paused, stuck or under way",
		Consequence: "what is told of the agent's settings, and of what it syncs, is that of the Deployment and not what runs; another set of objects would be handed over",
		Remedy:      "finish the rollout (resume it, or mend what keeps the new pod from running) or set the Deployment back to what runs, let the agent sync, and discover again",
	}
	ManyReplicas = flux1.Code{
		Name: "AGENT_REPLICAS", Severity: migrate.Warning,
		Cause:       "the agent's Deployment asks for more than one pod",
		Consequence: "several fluxd apply the same objects",
		Remedy:      "set replicas to 1",
	}
	SharedAccount = flux1.Code{
		Name: "SHARED_ACCOUNT", Severity: migrate.Info,
		Cause:       "other workloads use the agent's ServiceAccount",
		Consequence: "the account cannot be fenced as a whole; the agent's pods are, by the names in their tokens",
		Remedy:      "give the agent an account of its own",
	}
	TokenSecret = flux1.Code{
		Name: "ACCOUNT_TOKEN", Severity: migrate.Warning,
		Cause:       "a Secret holds a token of the agent's ServiceAccount that is bound to no pod",
		Consequence: "the account is fenced as a whole, so that whoever uses the token is refused every write together with the old agent",
		Remedy:      "find out who uses it, give them an account of their own, and delete the Secret",
	}
	TokenPasses = flux1.Code{
		Name: "ACCOUNT_TOKEN_NOT_FENCED", Severity: migrate.Warning,
		Cause:       "a Secret holds a token of the agent's ServiceAccount that is bound to no pod, and other workloads use the account as well",
		Consequence: "the fence goes by the names of pods there, so that it does not hold whoever uses the token, such as a fluxd outside of the cluster",
		Remedy:      "find out who uses it, give them an account of their own, and delete the Secret",
	}
	AgentUsesToken = flux1.Code{
		Name: "AGENT_WITH_UNBOUND_TOKEN", Severity: migrate.Blocker,
		Cause:       "the agent's Deployment uses a token that is bound to no pod, and others use its account as well",
		Consequence: "the fence goes by the names of pods there, so that it would not hold the old agent",
		Remedy:      "give the agent an account of its own, or let it use the token that Kubernetes mounts by itself",
	}
	KubernetesOld = flux1.Code{
		Name: "KUBERNETES_TOO_OLD", Severity: migrate.Blocker,
		Cause:       "the API server is older than Kubernetes 1.30",
		Consequence: "it has no ValidatingAdmissionPolicy, so that nothing keeps an old agent from coming back and writing beside the new one",
		Remedy:      "upgrade the cluster to Kubernetes 1.30 or later first; withdrawing bindings instead of fencing is not built",
	}
	FenceNotServed = flux1.Code{
		Name: "FENCE_NOT_SERVED", Severity: migrate.Blocker,
		Cause:       "the API server does not serve ValidatingAdmissionPolicy and its binding in admissionregistration.k8s.io/v1",
		Consequence: "nothing keeps an old agent from coming back and writing beside the new one",
		Remedy:      "have this API turned on in the API server (--runtime-config and the admission plug-in ValidatingAdmissionPolicy)",
	}
	Flux2Found = flux1.Code{
		Name: "FLUX2_FOUND", Severity: migrate.Info,
		Cause:       "controllers of Flux v2 are installed",
		Consequence: "an engine for the migrated repositories may be there already; two cannot work side by side",
		Remedy:      `hand the repositories to it ("--engine existing"), or remove it first`,
	}
	EngineTakesOver = flux1.Code{
		Name: "ENGINE_TAKES_OVER", Severity: migrate.Blocker,
		Cause:       "an engine that runs is told to take over fields of more field managers than Flux v2 does by itself (--override-manager)",
		Consequence: "what these managers set, and Git does not say, would go at the adoption: no plan foretells it, and no rollback puts it back",
		Remedy:      "take the flag away until every repository is handed over",
	}
	ClusterAgentFound = flux1.Code{
		Name: "CLUSTER_AGENT_FOUND", Severity: migrate.Info,
		Cause:       "the agent of fluxover is installed",
		Consequence: "repositories were handed over before, or are to be; it is used again where it is as the plan needs it",
		Remedy:      `"fluxover status" says where each repository stands`,
	}
	HelmOperatorFound = flux1.Code{
		Name: "HELM_OPERATOR_FOUND", Severity: migrate.Info,
		Cause:       "a helm-operator is installed",
		Consequence: "it goes on with HelmRelease objects of version 1, which a migration leaves as they are",
		Remedy:      "keep it for as long as HelmRelease objects of version 1 are in use",
	}
	Confined = flux1.Code{
		Name: "ALLOW_LIST_WITHOUT_RBAC", Severity: migrate.Info,
		Cause:       "the agent is limited by --k8s-allow-namespace, but its account may do more",
		Consequence: "where it applies nothing outside of these namespaces, the new account has these rights in them alone; else it has those of the old one, which CLUSTER_ADMIN asks about",
		Remedy:      "narrow the account's rights",
	}
	GitConfig = flux1.Code{
		Name: "GIT_CONFIG", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the agent runs with a git configuration of its own",
		Consequence: "it may rewrite the URL, fetch credentials, name a proxy or certificates (http.proxy, http.sslCAInfo) or turn their check off (http.sslVerify), and Flux v2 reads none",
		Remedy:      "set the URL and credential directly, the proxy by https_proxy, certificates by a mount at /etc/ssl/certs/ca-certificates.crt; or accept this finding if the configuration does none of this",
	}
	SSHConfig = flux1.Code{
		Name: "SSH_CONFIG", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the agent runs with an ssh configuration of its own",
		Consequence: "it may change host and port or add a proxy, and Flux v2 reads none",
		Remedy:      "write the real host and port into the URL, or accept this finding if the configuration changes neither",
	}
	Sidecar = flux1.Code{
		Name: "SIDECAR", Severity: migrate.Warning,
		Cause:       "another container runs beside fluxd",
		Consequence: "what it does ends with the agent",
		Remedy:      "find out whether it is still needed",
	}
	SeveralFluxds = flux1.Code{
		Name: "SEVERAL_FLUXDS", Severity: migrate.Blocker,
		Cause:       "one pod runs several fluxds",
		Consequence: "handing over the agent that is read would stop the others too, whose repositories nobody has read",
		Remedy:      "give each fluxd a Deployment of its own, and look again",
	}
	ShellArguments = flux1.Code{
		Name: "ARGUMENTS_IN_SHELL", Severity: migrate.Blocker,
		Cause:       "a container that is told apart as fluxd, by its image or otherwise, starts a shell, a script or another program, so that fluxd's arguments cannot be read",
		Consequence: "the agent's settings are unknown, and where fluxd is not seen, whether it is an agent at all",
		Remedy:      "start fluxd directly: without a command, or with one that names fluxd, and with all arguments in the Deployment; where it runs no fluxd, leave it out (--repo names the others)",
	}
	FallbackUnknown = flux1.Code{
		Name: "DEFAULT_NAMESPACE_UNKNOWN", Severity: migrate.Blocker,
		Cause:       "the agent's kubeconfig, which names its default namespace, cannot be read",
		Consequence: "it is unknown where objects go that name no namespace",
		Remedy:      "mend what the finding names",
	}
	TwoAgentsOneObject = flux1.Code{
		Name: "OBJECT_IN_TWO_AGENTS", Severity: migrate.Blocker,
		Cause:       "two agents apply the same object",
		Consequence: "they overwrite each other now, and two Kustomizations would do so for ever",
		Remedy:      "remove it from one of the repositories; where both read one file, let the paths (--git-path) of one agent alone hold it",
	}
	SameSet = flux1.Code{
		Name: "SAME_SYNC_SET", Severity: migrate.Blocker,
		Cause:       "two agents sync the same URL, branch and paths",
		Consequence: "all their objects are claimed twice, and neither can be told from the other by its marks",
		Remedy:      "remove one of the agents",
	}
	SharedTag = flux1.Code{
		Name: "SYNC_TAG_SHARED", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "two agents keep their sync mark in the same tag of the same repository, or in the same Secret",
		Consequence: "each overwrites the other's mark, so that it does not say what either of them applied",
		Remedy:      "give each agent a tag (git.label, --git-label) or a Secret (git.secretName, --k8s-secret-name) of its own and let both sync",
	}
	AgentInGit = flux1.Code{
		Name: "AGENT_IN_GIT", Severity: migrate.Blocker,
		Cause:       "an agent's own Deployment, or the HelmRelease that installs it, is managed by an agent's repository",
		Consequence: "stopping the old agent is undone by the next sync",
		Remedy:      `annotate the object in Git with fluxcd.io/ignore: "true" and let the agent sync, which then neither applies nor deletes it; with garbage collection on do not take it out of Git: the agent would delete itself, or the helm-operator uninstall it with its key`,
	}
	AgentInGitOnly = flux1.Code{
		Name: "AGENT_IN_GIT_ONLY", Severity: migrate.Warning,
		Cause:       "the repository of an agent declares another agent, and no such agent was found",
		Consequence: "it is in no plan; the next sync may start it, the new agent's as well as the old one's, and it writes in the cluster with an account of its own",
		Remedy:      "find out whether it is meant to run: let the agent sync it and discover again, or take it out of Git before the hand-over",
	}
	CopiedByOperator = flux1.Code{
		Name: "MARK_HANDED_DOWN", Severity: migrate.Warning,
		Cause:       "the mark that fluxd put on an object is on objects that others own as well, of which none is a Pod: an operator hands its labels down to what it makes",
		Consequence: "when the hand-over takes the mark off and puts the owner labels of Flux v2 on, the operator may hand that down too",
		Remedy:      "tell the operator to leave out labels that begin with fluxcd.io/ and kustomize.toolkit.fluxcd.io/, or see that new labels on what it makes do no harm",
	}
	CopiedToPods = flux1.Code{
		Name: "MARK_HANDED_TO_PODS", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the mark that fluxd put on an object is on Pods that others own: an operator hands its labels down to what it makes",
		Consequence: "when the hand-over takes the mark off and puts the owner labels of Flux v2 on, the operator may hand that down too; pods whose template changes by it are replaced",
		Remedy:      "tell the operator to leave out labels that begin with fluxcd.io/ and kustomize.toolkit.fluxcd.io/, or accept this for a time at which a restart does no harm",
	}
	ForeignMarks = flux1.Code{
		Name: "MARKS_OF_UNKNOWN_SET", Severity: migrate.Info,
		Cause:       "live objects carry a mark that no agent of this cluster would write",
		Consequence: "they were applied by an agent that is gone, is set otherwise now or is not found; nobody here manages them",
		Remedy:      "look at them; nothing is done to them",
	}
)

// Findings about repositories that are read from folders.
var (
	FolderRead = flux1.Code{
		Name: "CHECKOUT_READ", Severity: migrate.Info,
		Cause:       "the agent's repository was read from a folder in place of the server",
		Consequence: "branch and sync tag are as they were when the clone was fetched last; the server may be ahead",
		Remedy:      `"git fetch --tags --force" in the folder brings both up to date`,
	}
	FolderPlain = flux1.Code{
		Name: "CHECKOUT_WITHOUT_GIT", Severity: migrate.Warning,
		Cause:       "the folder given for the agent's repository is no Git clone",
		Consequence: "which commit its files are of, and what the agent synced last, is not known",
		Remedy:      "give a clone, or let the repository be read from its server",
	}
	FolderShallow = flux1.Code{
		Name: "CHECKOUT_SHALLOW", Severity: migrate.Info,
		Cause:       "the clone given for the agent's repository does not hold the whole history",
		Consequence: "how far behind the agent is, and whether what it synced is on its branch, is not known",
		Remedy:      `complete it with "git fetch --unshallow"`,
	}
	FolderBehind = flux1.Code{
		Name: "CHECKOUT_BEHIND", Severity: migrate.Blocker,
		Cause:       "the agent synced a commit that the clone given for its repository does not have on its branch yet",
		Consequence: "what the agent applied is not known",
		Remedy:      `fetch in the clone ("git fetch --tags origin"), and discover again; if the clone is up to date, the branch was rewritten: let the agent sync it as it is now`,
	}
	FolderUnused = flux1.Code{
		Name: "CHECKOUT_UNUSED", Severity: migrate.Warning,
		Cause:       "no agent reads the repository that a folder was given for",
		Consequence: "the folder was not looked at",
		Remedy:      "compare the URL with those of the agents; host and path must be the same",
	}
	FoldersUnread = flux1.Code{
		Name: "FOLDERS_UNREAD", Severity: migrate.Info,
		Cause:       "a repository that was read from a folder holds manifests that none of the agents that were found reads",
		Consequence: "they are in no plan; an agent that was not found, of another cluster or installed by hand, may apply them",
		Remedy:      "find out who applies them; an agent that is missing here is found in the cluster that it runs in",
	}
	NotSaved = flux1.Code{
		Name: "NOT_SAVED", Severity: migrate.Warning,
		Cause:       "a file of the repository cannot be read whole, so it is not known what in it is secret",
		Consequence: "the saved inventory holds its name alone, and a plan made of it fails where the file is needed",
		Remedy:      "mend the file; fluxd stumbles over it too",
	}
	EncryptedNotSaved = flux1.Code{
		Name: "SOPS_NOT_SAVED", Severity: migrate.Blocker,
		Cause:       "files are encrypted with SOPS, and a saved inventory holds no keys",
		Consequence: "a plan made of the saved inventory cannot build their objects, and compares nothing",
		Remedy:      "plan from the cluster, where the keys are",
	}
	SavedNames = flux1.Code{
		Name: "SAVED_SECRET_NAMES", Severity: migrate.Info,
		Cause:       "a kustomization file generates a Secret whose name ends in a hash of its values",
		Consequence: "the saved inventory does not hold the values, so in a plan made of it the name ends otherwise",
		Remedy:      "plan from the cluster where that name matters",
	}
	MarkInCluster = flux1.Code{
		Name: "SYNC_MARK_IN_CLUSTER", Severity: migrate.Warning,
		Cause:       "the agent keeps its sync mark in a Secret of the cluster, or may do so, and no cluster was asked",
		Consequence: "what it applied last is unknown; what is said of its repository is about the branch's head",
		Remedy:      "let the cluster be asked as well",
	}
	AgentByObject = flux1.Code{
		Name: "AGENT_BY_OBJECT_IN_GIT", Severity: migrate.Warning,
		Cause:       "the repository holds something from which a tool may install an agent: an object of that tool, a command of a pod or in a ConfigMap, a Template of OpenShift, a release of Helmfile, a program of Jsonnet, a chart in the tree",
		Consequence: "what is installed of it is not read from the repository; the cluster may have an agent that is not listed",
		Remedy:      "discover the cluster itself, which finds the agent however it was installed",
	}
	ReleasePostRendered = flux1.Code{
		Name: "RELEASE_POST_RENDERED", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the HelmRelease that declares the agent has post-renderers, which change what the chart has rendered before it is applied",
		Consequence: "the agent is read as the chart makes it of its values; what they make of that may be something else: other arguments, an account with other rights",
		Remedy:      "let discovery read the agent's Deployment; or look at the post-renderers, and accept this finding if they change nothing that is shown here",
	}
	OtherCluster = flux1.Code{
		Name: "AGENT_OF_ANOTHER_CLUSTER", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "a kubeconfig in the agent's container names the API server that fluxd writes to, and it is another one than its pods run at, or is not known",
		Consequence: "what the agent syncs may belong to another cluster: a plan made here would apply its manifests to this one",
		Remedy:      "migrate the agent from the cluster that it writes to, or take the kubeconfig away from it; accept this finding if the API server is this very cluster's",
	}
	CredentialInCluster = flux1.Code{
		Name: "CREDENTIAL_IN_CLUSTER", Severity: migrate.Warning,
		Cause:       "where the agent's Git credential stands is told by the cluster alone, and no cluster was asked",
		Consequence: "a plan leaves the credential's place open; that of the new source is known once the cluster is asked",
		Remedy:      "let the cluster be asked as well",
	}
)

// Codes lists every kind of finding of this package, by name.
func Codes() []flux1.Code {
	codes := []flux1.Code{
		RBACMissing, AgentsUnknown, OneNamespace, APIGroupDown, APIKindDown, ReleaseCorrupt, ReleaseMissing, HelmOperator, AmbiguousRelease, GitUnreadable, GitAuth,
		GitHostKey, CredentialMissing, AgentSecretMissing, CredentialPlace, NeverSynced, MarkUnknown, MarkOffBranch, StuckAtHead, HeadNotTold,
		AgentStopped, AgentNotReady, AgentDeleted, RolloutUnfinished, ManyReplicas, SharedAccount, TokenSecret, TokenPasses, AgentUsesToken, KubernetesOld, FenceNotServed, Flux2Found, EngineTakesOver,
		ClusterAgentFound, HelmOperatorFound, Confined, GitConfig, SSHConfig, Sidecar, SeveralFluxds, ShellArguments,
		FallbackUnknown, TwoAgentsOneObject, SameSet, SharedTag, AgentInGit, AgentInGitOnly, CopiedByOperator, CopiedToPods, ForeignMarks,
		FolderRead, FolderPlain, FolderShallow, FolderBehind, FolderUnused, FoldersUnread, MarkInCluster, AgentByObject, ReleasePostRendered, OtherCluster, CredentialInCluster, Undecided, NotSaved, EncryptedNotSaved, SavedNames,
	}
	codes = append(codes, terraformCodes...)
	codes = append(codes, reachCodes...)
	codes = append(codes, clusterCodes...)
	slices.SortFunc(codes, func(a, b flux1.Code) int { return strings.Compare(a.Name, b.Name) })
	return codes
}
