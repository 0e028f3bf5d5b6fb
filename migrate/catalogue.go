package migrate

// Code is one kind of finding: its stable name and what people are told about
// it. The tables of codes are the source of docs/findings.md; a finding whose
// code stands in none of them fails a test.
type Code struct {
	// Name is stable, such as "FLUX1_STUCK".
	Name     string
	Severity Severity
	// Acceptable is true if a person may go on in spite of it.
	Acceptable bool
	// Otherwise lists the special cases in which it is graded differently.
	Otherwise []Variant
	// Cause, Consequence and Remedy, each one sentence without a full stop.
	Cause, Consequence, Remedy string
}

// Variant is a special case of a Code.
type Variant struct {
	Severity   Severity
	Acceptable bool
	// When completes the sentence "it is graded so where …".
	When string
}

// Grade says what a finding of this kind does to a plan.
func (c Code) Grade() string { return graded(c.Severity, c.Acceptable) }

// Grade says what a finding does to a plan in this case.
func (v Variant) Grade() string { return graded(v.Severity, v.Acceptable) }

func graded(s Severity, acceptable bool) string {
	if acceptable && s == Blocker {
		return "blocker until it is accepted"
	}
	return string(s)
}

// Finding makes a finding of this kind about a Repository, or about the
// cluster if repository is empty. The message says what is so in this case.
func (c Code) Finding(repository, where, message string) Finding {
	return Finding{
		Severity: c.Severity, Code: c.Name, Subject: repository, Repository: repository,
		Where: where, Message: message, Hint: c.Remedy, Acceptable: c.Acceptable,
	}
}

// About is Finding with a subject narrower than the Repository: an object id,
// which is prefixed by the Repository's.
func (c Code) About(repository, object, where, message string) Finding {
	f := c.Finding(repository, where, message)
	f.Subject = repository + " " + object
	if repository == "" {
		f.Subject = object
	}
	return f
}

const noRightsRemedy = "bind the account to what the agent is to apply (the chart does, unless rbac.create or clusterRole.create is false), or see in the findings of discovery which bindings could not be read"

// codes are the kinds of findings that the planner makes, beside those it
// shares with discovery.
var codes = []Code{
	{
		Name: "CLUSTER_ADMIN", Severity: Blocker, Acceptable: true,
		Cause:       "the agent's account may do everything in the cluster, as with the default chart",
		Consequence: "its new account would too, and whoever may write to the repository with it",
		Remedy:      "accept it to keep what is so today, or confine the old agent to what the message says it needs, and plan again",
	},
	{
		Name: "CLUSTER_SCOPE_LOST", Severity: Warning,
		Cause:       "the agent keeps to namespaces by itself (--k8s-allow-namespace), and its account could change more than these: the new account is bound in them alone",
		Consequence: "fluxd would apply an object without a namespace that a later commit brings, such as a ClusterRole or CRD; the new account may not, and nothing of that Kustomization is applied then",
		Remedy:      "nothing while the repository holds no such object; else bind the new account to what it needs, before it is committed",
	},
	{
		Name: "NO_RIGHTS", Severity: Blocker,
		Cause:       "no binding names the agent's account",
		Consequence: "nothing that the agent applies is allowed, and nothing would be afterwards",
		Remedy:      noRightsRemedy,
	},
	{
		Name: "ONE_APPLICATION", Severity: Info,
		Cause:       "a path of the agent cannot be split into applications without changing what is built or in which order",
		Consequence: "the path becomes one Kustomization",
		Remedy:      "nothing, if that is fine; else take away what the message names",
	},
	{
		Name: "NAME_LENGTHENED", Severity: Info,
		Cause:       "the plain name of a Kustomization is, or may become, that of another repository or of the flux-capacitor itself",
		Consequence: "it has a longer name",
		Remedy:      "nothing",
	},
	{
		Name: "INTERVAL_TOO_SHORT", Severity: Warning,
		Cause:       "--sync-interval or --git-poll-interval is less than a second: fluxd then begins again at once, or almost",
		Consequence: "Flux v2 takes an interval of 0 for never again, and refuses one below 0; one second is planned",
		Remedy:      "give the old agent the interval that is wanted, such as the default of 5m, and plan again",
	},
	{
		Name: "NAME_CLASH", Severity: Blocker,
		Cause:       "two repositories would make an object of the same name",
		Consequence: "one would overwrite the other",
		Remedy:      `migrate one of them with "--group-by path", or rename a folder`,
	},
	{
		Name: "NAME_TAKEN", Severity: Blocker,
		Cause:       "an object that fluxover did not make has a name that the plan needs",
		Consequence: "the migration would overwrite it",
		Remedy:      "rename or remove it, after a look at what uses it",
	},
	{
		Name: "KNOWN_HOSTS_MISSING", Severity: Blocker,
		Cause:       "no line of known_hosts that the agent trusts tells a key of the Git server: none names its host and port or can be read, its key is revoked, an authority of the same type stands before it, or only an authority for certificates is named, which the new agent asks no server for",
		Consequence: "Flux v2 connects to no server whose key it does not know",
		Remedy:      "give the agent the line (chart value ssh.known_hosts), verified with the server's owner",
	},
	{
		Name: "KNOWN_HOSTS_LEFT_OUT", Severity: Info,
		Cause:       "lines of known_hosts cannot be read by Flux v2's library, which refuses the whole file for one of them, while another line tells a key of the Git server",
		Consequence: "they are not copied; a key that only such a line tells is not trusted",
		Remedy:      "mend them where the agent has them (chart value ssh.known_hosts), if they are of use",
	},
	{
		Name: "KNOWN_HOSTS_FIRST_KEY", Severity: Warning,
		Cause:       "known_hosts has several keys of one type for the Git server, as after a change of its key, and the engine is stock Flux v2, which takes the first alone; OpenSSH and the bundled agent take each",
		Consequence: "if the server shows another than the first, its source does not become ready; migrate sees that before the old agent is stopped",
		Remedy:      "take the keys out that the server no longer shows (chart value ssh.known_hosts), or put the one that it shows first",
	},
	{
		Name: "TOKEN_IN_PLAIN_TEXT", Severity: Blocker,
		Cause:       "a user name without password, which may be a token, stands in plain text in the agent's environment",
		Consequence: "it cannot be carried over, since a plan holds no secret",
		Remedy:      "take it from a Secret (env valueFrom), as the chart does with git.secretName",
	},
	{
		Name: "USERNAME_MISSING", Severity: Blocker,
		Cause:       "the Git URL holds a password and no user name",
		Consequence: "Flux v2 refuses such a credential",
		Remedy:      "put a user name before the password in --git-url; for a token any will do with most servers",
	},
	{
		Name: UnknownRepository, Severity: Blocker,
		Otherwise:   []Variant{{Severity: Warning, When: "--credential-owner names it: then nothing is decided of any credential"}},
		Cause:       "a repository was asked for that no Flux v1 agent of the cluster syncs",
		Consequence: "nothing is planned of it",
		Remedy:      `see "fluxover discover" for the ids that there are`,
	},
	{
		Name: "FLUX2_RUNNING", Severity: Blocker,
		Cause:       "controllers of Flux v2 already run in the cluster",
		Consequence: "a second engine would fight with them",
		Remedy:      `use them with "--engine existing", or remove them`,
	},
	{
		Name: "NO_AGENTS", Severity: Blocker,
		Cause:       "no Flux v1 agent was found, though everything could be read",
		Consequence: "there is nothing to migrate",
		Remedy:      `check the kubeconfig's context, or which folders and values were given; "fluxover discover" says what was found there`,
	},
	{
		Name: "EMPTY_SET", Severity: Blocker,
		Cause:       "nothing that fluxd applies was found at the synced commit",
		Consequence: "nothing is planned: an empty set is never taken for an answer, since the new agent would prune everything",
		Remedy:      "see the other findings of the repository for what could not be read",
	},
	{
		Name: "FOREIGN_OBJECT", Severity: Blocker,
		Cause:       "an object outside of the agent's allowed namespaces stands in a file beside objects that the agent applies",
		Consequence: "fluxd skips it; the new agent would try to apply it",
		Remedy:      "move it to a file of its own, which is then ignored, or remove it",
	},
	{
		Name: "SETTING_BLOCKS", Severity: Blocker,
		Cause:       "a setting of the agent has no counterpart in Flux v2, or none that is built yet",
		Consequence: "the repository would not be synced as before",
		Remedy:      "do without the setting first, or leave this repository with Flux v1; what else is possible stands with the finding that goes with it",
	},
	{
		Name: "CREDENTIAL_OWNER", Severity: Info,
		Cause:       "nobody is named who makes the copy of a Git credential anew",
		Consequence: "a cluster that is built again would lack the Secret, and its sources with it",
		Remedy:      `name who does, with "--credential-owner ID=terraform" or "=external" (or without the id, for all)`,
	},
	{
		Name: "OWNER_NOT_SUPPORTED", Severity: Blocker,
		Cause:       "a credential is to be kept encrypted in the flux-capacitor, whose own Kustomizations do not decrypt",
		Consequence: "the encrypted Secret would stop its team's folder",
		Remedy:      "name another owner, or use an engine whose own Kustomization of the flux-capacitor decrypts (--engine existing)",
	},
	{
		Name: "REPOSITORIES_IN_CIRCLE", Severity: Info,
		Cause:       "two repositories need each other's namespaces or kinds",
		Consequence: "neither can be cut over before the other",
		Remedy:      "nothing: what both need is live, and no wave waits for another in the cluster",
	},
	{
		Name: "DEPENDENCY_CIRCLE", Severity: Warning,
		Cause:       "two applications of a repository need each other's namespaces or kinds",
		Consequence: "no order can be given to Flux v2, so that a cluster made anew may need several tries or stay half built",
		Remedy:      "nothing for now, since all of it is live; for a cluster made anew, move what both need to a folder of its own",
	},
	{
		Name: "FILE_TAKEN_BACK", Severity: Warning,
		Cause:       "fluxd applies a file, or what Kustomize makes of one, that a .sourceignore or Flux v2's default exclusions leave out",
		Consequence: "the new source takes it back, but no others that are added beside it",
		Remedy:      "move it to a path that is not excluded, or take the pattern out of .sourceignore",
	},
	{
		Name: "REPLICAS_AND_AUTOSCALER", Severity: Warning,
		Cause:       "Git says how many replicas a workload has, and an autoscaler sets the number as well",
		Consequence: "fluxd puts it back at each sync and the new agent whenever it is changed, so that each time the workload runs with the number of Git until the autoscaler sets its own again",
		Remedy:      ReplicasRemedy,
	},
	{
		Name: "NEW_FOLDER_NOT_APPLIED", Severity: Warning,
		Cause:       "each folder below a path of the agent becomes a Kustomization, and no file lies in the path itself, whose Kustomization would cover what is added beside these folders; or a path holds nothing yet, and becomes none",
		Consequence: "fluxd would apply a folder or a file that is added beside them, and the new agent does not, while every Kustomization stays Ready; a folder that goes leaves its Kustomization failing, and what it applied stays, where fluxd's garbage collection would delete it. With garbage collection, what a file holds that moves to a folder that no Kustomization builds is deleted, which fluxd keeps, and made anew once there is one: add the Kustomization first, and move the file then",
		Remedy:      newFolderRemedy,
	},
	{
		Name: "FILE_LEFT_OUT", Severity: Warning,
		Otherwise:   []Variant{{Severity: Info, When: "no document of the files has a kind"}},
		Cause:       "fluxd applies nothing of a file today: the cluster serves no kind of what it holds, its objects are not the agent's to apply, or no document in it has a kind",
		Consequence: "the new source leaves it out by its name, for good; what it holds later, fluxd would apply and the new agent does not",
		Remedy:      leftOutRemedy,
	},
	{
		Name: "IGNORE_ANNOTATIONS", Severity: Warning,
		Cause:       "objects bear an ignore annotation of Flux v1",
		Consequence: "the new agent heeds it by a patch for each of them; a manifest that comes later with such an annotation is applied, and deleted once it leaves Git, if that is on",
		Remedy:      ignoreRemedy,
	},
	{
		Name: "FENCE_DOES_NOT_REACH", Severity: Warning,
		Cause:       "a repository holds ValidatingAdmissionPolicies, MutatingAdmissionPolicies or their bindings, which the API server asks no policy about",
		Consequence: "the fence refuses everything that an old agent writes if it is started again, but for these: it and the new agent then apply them in turn",
		Remedy:      unfencedRemedy,
	},
	{
		Name: "MOVED_FILE_DELETED", Severity: Warning,
		Cause:       "garbage collection is on, a repository becomes several Kustomizations, and the engine is stock Flux v2, which does not look at the others before one of them deletes what left it",
		Consequence: "a file that moves from one application to another may be deleted, with what runs of it, and made anew; where capacitor.yaml turns deletion on that Flux v1 had off, that is so as well, and plan --emit says it",
		Remedy:      movedFileRemedy,
	},
	{
		Name: patchNotCarried, Severity: Blocker,
		Cause:       "the patch file of a .flux.yaml sets values of a Secret, or uses a directive that Kustomize does not read",
		Consequence: "it cannot be written as a patch of the Kustomization, and without it the object would change",
		Remedy:      "write what the file says of the object into its manifest, or under images in the folder's kustomization.yaml, and take the object out of the file",
	},
	{
		Name: "NAMESPACES_FILLED", Severity: Warning,
		Cause:       "objects in Git name no namespace, and fluxd fills one in",
		Consequence: "the new agent does so by a patch for each; a manifest that is added later has to name its namespace",
		Remedy:      "write the namespace into these manifests before or after the migration: for fluxd that changes nothing",
	},
	{
		Name: "FACTS_UNKNOWN", Severity: Blocker,
		Cause:       "something that the plan needs is not known",
		Consequence: "fields that would be a guess are left out of the plan, so that it cannot be carried out",
		Remedy:      "see the other findings of the repository, or let discovery read the cluster in which the agent runs",
	},
	{
		Name: "RIGHTS_WIDER", Severity: Blocker,
		Cause:       "the new account would have rights that the old one does not have, by a binding of a group or of accounts not there yet",
		Consequence: "confinement would be lost",
		Remedy:      "name the accounts that are meant in that binding",
	},
}

// Codes lists the kinds of findings of this package.
func Codes() []Code { return codes }
