package flux1

import (
	"slices"

	"github.com/fluxover/fluxover/migrate"
)

// Code is [migrate.Code].
type Code = migrate.Code

// The kinds of findings about a command line.
var (
	UnknownFlag = Code{
		Name: "UNKNOWN_FLAG", Severity: migrate.Warning,
		Cause:       "the command line holds a flag that fluxd 1.25 does not know",
		Consequence: "what it does is not carried over; fluxd itself refuses to start with an unknown flag",
		Remedy:      "remove the flag, or make sure by hand that its effect is not needed",
	}
	BadFlag = Code{
		Name: "BAD_FLAG", Severity: migrate.Blocker,
		Cause:       "a flag's value cannot be read as fluxd reads it, or is one with which fluxd ends at its start",
		Consequence: "the setting is unknown, and fluxd does not run with it",
		Remedy:      "mend the value in the agent's release",
	}
	SymbolicFlag = Code{
		Name: "SYMBOLIC_FLAG", Severity: migrate.Blocker,
		Cause:       "a setting is filled in from the environment, and its value is not known",
		Consequence: "what the agent really uses is unknown",
		Remedy:      "give the right to read where the value stands, or write it into the agent's release",
	}
	NoURL = Code{
		Name: "NO_GIT_URL", Severity: migrate.Blocker,
		Cause:       "no --git-url is given",
		Consequence: "the agent syncs nothing, so there is nothing to hand over",
		Remedy:      "remove the agent, or configure it",
	}
	UnsupportedURL = Code{
		Name: "URL_UNSUPPORTED", Severity: migrate.Blocker,
		Cause:       "the Git URL is of a form that Flux v2 cannot use",
		Consequence: "no source can be made for it",
		Remedy:      "serve the repository over https or ssh and set that URL",
	}
	PathAbsolute = Code{
		Name: "GIT_PATH_ABSOLUTE", Severity: migrate.Blocker,
		Cause:       "a --git-path begins with a slash",
		Consequence: "fluxd does not start (flux: cmd/fluxd/main.go)",
		Remedy:      "write the path relative to the repository's root",
	}
	PathList = Code{
		Name: "GIT_PATH_LIST", Severity: migrate.Blocker,
		Cause:       "a YAML list was given as git.path, which the chart prints as [a b]",
		Consequence: "the agent looks for a folder of that very name and syncs nothing",
		Remedy:      `write the paths as one string, "a,b"`,
	}
	PathOutside = Code{
		Name: "GIT_PATH_OUTSIDE", Severity: migrate.Blocker,
		Cause:       "a --git-path leads out of the repository",
		Consequence: "what fluxd reads there cannot be known, and Flux v2 refuses it",
		Remedy:      "write the path relative to the repository's root, without leaving it",
	}
	GitSecret = Code{
		Name: "GIT_SECRET", Severity: migrate.Blocker,
		Cause:       "the agent decrypts files with git-secret",
		Consequence: "Flux v2 has no counterpart, so the files stay encrypted",
		Remedy:      "encrypt the files with SOPS instead",
	}
	VerifySignatures = Code{
		Name: "SIGNATURES_WEAKER", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the agent verifies the signatures of all commits since the last sync",
		Consequence: "the new source does not verify them",
		Remedy:      "protect the branch so that only signed commits enter, and accept this finding",
	}
	Notifications = Code{
		Name: "NOTIFICATIONS_STOP", Severity: migrate.Warning,
		Cause:       "the agent reports to an upstream service (--connect) or is told of pushes by a sidecar",
		Consequence: "notifications and webhooks stop with it",
		Remedy:      "set up a Provider with an Alert, and a Receiver, of Flux v2",
	}
	ExcludedKinds = Code{
		Name: "EXCLUDED_KINDS", Severity: migrate.Warning,
		Cause:       "the agent leaves kinds out of its view (--k8s-unsafe-exclude-resource)",
		Consequence: "it saw no ignore annotations on live objects of them and never collected them; the new agent treats them as any other",
		Remedy:      "look at the objects of these kinds in the plan",
	}
)

// The kinds of findings about a tree.
var (
	Stuck = Code{
		Name: "FLUX1_STUCK", Severity: migrate.Blocker,
		Cause:       "a file or path of the repository cannot be loaded",
		Consequence: "fluxd gives up the whole sync and applies nothing until it is mended",
		Remedy:      "mend the file in Git and let the old agent sync once",
	}
	Duplicate = Code{
		Name: "DUPLICATE_OBJECT", Severity: migrate.Blocker,
		Cause:       "one object (kind, namespace and name; the group does not count) is defined twice in the agent's paths",
		Consequence: "v1 cannot sync this: it gives up the whole sync",
		Remedy:      "remove one of the definitions from Git; where there is but one, let one of the agent's paths (--git-path) alone lead to it",
	}
	HiddenDuplicate = Code{
		Name: "HIDDEN_DUPLICATE", Severity: migrate.Blocker,
		Cause:       "one object is defined once with its namespace and once without",
		Consequence: "fluxd applies one of the two at random, and Flux v2 cannot build them together",
		Remedy:      "remove one of the definitions from Git",
	}
	TooLarge = Code{
		Name: "TREE_TOO_LARGE", Severity: migrate.Blocker,
		Otherwise:   []migrate.Variant{{Severity: migrate.Warning, When: "it is a kustomization folder outside of the agent's paths, in which another agent may be declared"}},
		Cause:       "a file, its nesting, or all files and folders together exceed what is read, as do more than a thousand agents that one repository declares, or what Kustomize would do to build a folder exceeds what it is let do",
		Consequence: "the objects in it are not known",
		Remedy:      "take the file out of the agent's paths, or split it; have a folder made of fewer folders, files, objects and patches, or several of it",
	}
	LinkOutside = Code{
		Name: "LINK_OUTSIDE", Severity: migrate.Blocker,
		Cause:       "a symbolic link leads out of the repository",
		Consequence: "what fluxd reads through it cannot be known, and if nothing is there it syncs nothing any more; Flux v2 drops links",
		Remedy:      "replace the link by the file",
	}
	LinkedFile = Code{
		Name: "LINKED_FILE", Severity: migrate.Blocker,
		Cause:       "a manifest is a symbolic link",
		Consequence: "fluxd reads through it, Flux v2 drops it, so its objects would no longer be managed",
		Remedy:      "replace the link by a copy of the file",
	}
	ManifestGeneration = Code{
		Name: "MANIFEST_GENERATION", Severity: migrate.Info,
		Cause:       "a path's manifests are generated by the commands of a .flux.yaml",
		Consequence: "Flux v2 runs no commands; where each only has Kustomize build a folder, that folder becomes a Kustomization, with what the patch file holds as its patches, and both renderings are compared",
		Remedy:      "nothing for the hand-over, unless GENERATION_NOT_TOLD or PATCH_NOT_CARRIED is said of it; afterwards remove the .flux.yaml, and write what a patch file (patchUpdated) holds into the manifests, or under images in the folder's kustomization.yaml",
	}
	Encrypted = Code{
		Name: "SOPS_ENCRYPTED", Severity: migrate.Blocker,
		Cause:       "files are encrypted with SOPS, the agent decrypts them, and the new agent could not",
		Consequence: "their objects cannot be built; files for PGP and age keys that stand in Secrets of the agent's namespace are carried over, those for keys of a cloud or of Vault are not",
		Remedy:      "where no cluster was asked, let discovery read the agent's keys; else encrypt the files for a PGP or age key as well (sops --add-age, updatekeys), give the agent that key in a Secret, and let it sync; or leave this repository with Flux v1 for now",
	}
	Ciphertext = Code{
		Name: "SOPS_CIPHERTEXT", Severity: migrate.Blocker,
		Cause:       "an object is what SOPS encrypted, or holds a value that is, and the old agent does not decrypt it",
		Consequence: "fluxd applies the ciphertext, or the API server refuses it; the new agent applies no ciphertext: its whole application would stand still, or, where it decrypts, the object would change",
		Remedy:      "encrypt each object as a document of its own, not within a list, and have the agent decrypt (--sops); where ciphertext is what is to be applied, annotate the object with kustomize.toolkit.fluxcd.io/decrypt: disabled, and let the agent sync that",
	}
	EncryptedKind = Code{
		Name: "SOPS_KIND_ENCRYPTED", Severity: migrate.Blocker,
		Cause:       "a SOPS file hides the kind or name of its objects",
		Consequence: "fluxd decrypts before it parses, Flux v2 parses before it decrypts and refuses the file",
		Remedy:      "encrypt it again with --encrypted-regex '^(data|stringData)$'",
	}
	KindlessDocument = Code{
		Name: "KINDLESS_DOCUMENT", Severity: migrate.Blocker,
		Cause:       "a file holds objects and also a document without a kind",
		Consequence: "fluxd passes over the document, Flux v2 cannot build the folder",
		Remedy:      "move the document to a file of its own",
	}
	ListWithoutItems = Code{
		Name: "LIST_WITHOUT_ITEMS", Severity: migrate.Warning,
		Cause:       "an object's kind ends in List and it has no items",
		Consequence: "fluxd takes it for an empty list and never applies it; Flux v2 may",
		Remedy:      "look at it in the plan; remove it from Git if it is not wanted",
	}
	Nameless = Code{
		Name: "NAMELESS_OBJECT", Severity: migrate.Blocker,
		Cause:       "an object has no name, or a generateName only",
		Consequence: "fluxd fails to apply it alone, Flux v2 fails to build all that is beside it",
		Remedy:      "give it a name, or move it out of the agent's paths",
	}
	LocalConfig = Code{
		Name: "LOCAL_CONFIG", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "an object carries the annotation config.kubernetes.io/local-config",
		Consequence: "fluxd applies it, Kustomize leaves it out, so it would no longer be managed",
		Remedy:      "remove the annotation in Git",
	}
	NotAString = Code{
		Name: "METADATA_NOT_STRING", Severity: migrate.Blocker,
		Cause:       "a label, annotation, name or namespace in Git is not a string",
		Consequence: "fluxd leaves that object alone or fails on it alone; Flux v2 fails to build all that is beside it, is refused with all that is beside it, or, where it is the name, passes over the object",
		Remedy:      "put the value in quotes",
	}
	DirectiveLeft = Code{
		Name: "PATCH_DIRECTIVE_LEFT", Severity: migrate.Blocker,
		Cause:       "what steers a strategic merge patch ($setElementOrder, $retainKeys, $deleteFromPrimitiveList, $patch) stands in an object of Kubernetes' own as a field: a patch is loaded as an object, or Kustomize left it there",
		Consequence: "kubectl refuses the object, and fluxd goes on with the others; of most kinds the new agent drops the field and applies the rest, of roles it keeps it, is refused, and applies nothing of the Kustomization",
		Remedy:      "move a file that is a patch, and no object, out of the agent's paths; where a patch is built in, take the directive out of it. Let the old agent sync, and plan again",
	}
	DirectiveUnread = Code{
		Name: "PATCH_DIRECTIVE_UNREAD", Severity: migrate.Warning,
		Cause:       "a patch that is built in holds a directive that Kustomize 5 does not read ($retainKeys, $deleteFromPrimitiveList), or an object of a custom kind has a directive of patches as a field",
		Consequence: "what fluxd's own Kustomize (up to 3.8) removes by the patch, Kustomize 5 leaves; an object of a custom kind is refused, and its whole Kustomization with it, unless its definition allows the field",
		Remedy:      "take the directive out, and remove by a JSON patch (op: remove) what it removed; let the old agent sync, and plan again",
	}
	ListMerged = Code{
		Name: "PATCH_LIST_MERGED", Severity: migrate.Warning,
		Cause:       "a strategic merge patch of a kustomization file that fluxd builds holds a list of a kind that fluxd's own Kustomize (up to 3.8.7) has no schema of, as CronJob of batch/v1",
		Consequence: "there the patch's list replaces the whole list, and Kustomize 5 merges the two by key: items and fields that the patch leaves out, and fluxd never applied, come back at the hand-over",
		Remedy:      "replace the list by a JSON patch (patches, op: replace), which both apply alike, with what runs today; let the old agent sync, and plan again",
	}
	NoJSON = Code{
		Name: "NOT_JSON", Severity: migrate.Blocker,
		Cause:       "an object holds what cannot be written as JSON: a number that is none (.nan, .inf), or a key that is null",
		Consequence: "fluxd loads it, and kubectl fails on that object alone; Flux v2 fails to build all that is beside it",
		Remedy:      "put the value in quotes if a text is meant, or remove it",
	}
	KeyNotText = Code{
		Name: "KEY_NOT_TEXT", Severity: migrate.Blocker,
		Cause:       "a key of an object is a number, as the ports are under tcp in the values of a HelmRelease",
		Consequence: "fluxd and kubectl take it for text; Flux v2 fails to build all that is beside it",
		Remedy:      "write the key as the text that the finding shows, in quotes (\"1.2\" for 1.20, \"511\" for 0777), which changes nothing for fluxd, and let it sync",
	}
	DuplicateKey = Code{
		Name: "DUPLICATE_KEY", Severity: migrate.Blocker,
		Cause:       "a mapping holds the same key twice",
		Consequence: "fluxd takes the last one, Flux v2 fails to build",
		Remedy:      "remove the key that is not meant",
	}
	CopiedMark = Code{
		Name: "COPIED_MARK", Severity: migrate.Warning,
		Cause:       "a manifest in Git carries a mark of Flux v1's garbage collection",
		Consequence: "fluxd keeps it in place of its own, so it never collects the object; Flux v2 strips it at each sync",
		Remedy:      "remove the label from the manifest",
	}
	Exported = Code{
		Name: "EXPORTED_MANIFEST", Severity: migrate.Warning,
		Cause:       "a manifest in Git holds what a cluster wrote into it: a checksum of fluxd, kubectl's note of what it applied, a UID, a version, a time, a status",
		Consequence: "kubectl sends it along and the API server passes over most of it; Flux v2 takes it for fields of its own, so that the object may count as changed at every sync, or is refused",
		Remedy:      "remove these fields from the manifest; for fluxd that changes nothing",
	}
	LargeObject = Code{
		Name: "LARGE_OBJECT", Severity: migrate.Warning,
		Cause:       "an object is so large that kubectl's note of it does not fit into the annotations that an object may have (256 KiB), or nearly so",
		Consequence: "fluxd, which applies with kubectl, fails on it alone, now or once it grows; the new agent needs no such note and applies it, and after a rollback fluxd fails on it",
		Remedy:      "nothing for the hand-over; before a rollback make the object smaller, or apply it by hand from then on",
	}
	UnknownKind = Code{
		Name: "UNKNOWN_KIND", Severity: migrate.Warning,
		Otherwise:   []migrate.Variant{{Severity: migrate.Blocker, When: "the file that holds it cannot be left out as a whole, so that the new agent would fail on it"}},
		Cause:       "the cluster does not serve the kind of an object, and no CRD in the agent's paths defines it",
		Consequence: "fluxd leaves it out until the kind is served",
		Remedy:      "install what serves the kind, write the apiVersion under which the cluster serves it, or remove the object from Git",
	}
	Foreign = Code{
		Name: "FOREIGN_NAMESPACE", Severity: migrate.Info,
		Cause:       "an object lies in a namespace that the agent may not act in",
		Consequence: "fluxd passes over it; Flux v2 would try to apply it",
		Remedy:      "move it to the repository of that namespace's owner",
	}
	HelmRelease1 = Code{
		Name: "HELMRELEASE_V1", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the repository holds HelmRelease objects of the helm-operator",
		Consequence: "they are carried as plain objects that are never pruned; they work only while the helm-operator runs",
		Remedy:      "keep the helm-operator running and accept this finding, or migrate the releases first",
	}
	FluxHelmRelease = Code{
		Name: "FLUX_HELM_RELEASE", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the repository holds FluxHelmRelease objects, the alpha API of the helm-operator (up to 0.4), which a later one does not read",
		Consequence: "they are carried as plain objects; where no helm-operator of that age runs, they have had no effect for long, and their Helm releases are as somebody left them",
		Remedy:      "remove the objects that no helm-operator reads from Git, or write them as HelmRelease (helm.fluxcd.io/v1) of the same releaseName; where a helm-operator up to 0.4 runs, keep it running and accept this finding",
	}
	ImageAutomation = Code{
		Name: "IMAGE_AUTOMATION", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "workloads are annotated for automatic image updates",
		Consequence: "fluxd's commits with new image tags stop with it",
		Remedy:      "accept this finding, and set up image automation of Flux v2 afterwards",
	}
	Flux2InGit = Code{
		Name: "FLUX2_OBJECT_IN_GIT", Severity: migrate.Blocker, Acceptable: true,
		Cause:       "the repository holds objects of Flux v2",
		Consequence: "once the new agent is installed they come to life, and may manage what is already managed",
		Remedy:      "move them out of the agent's paths",
	}
	NotGenerated = Code{
		Name: "GENERATION_NOT_TOLD", Severity: migrate.Blocker,
		Cause:       "a command of a .flux.yaml is not a plain build of a folder by Kustomize, or that build fails",
		Consequence: "the objects that fluxd applies for the path are not known, and nothing is planned for it",
		Remedy:      "make each generator a plain \"kustomize build FOLDER\", or render the manifests in CI, commit them, a Secret only as SOPS encrypts it and the agent decrypts it (--sops), and remove the .flux.yaml; let the old agent sync, and plan again; where the build fails, mend what the message names",
	}
	FluxPatch = Code{
		Name: "FLUX_PATCH_STATE", Severity: migrate.Warning,
		Cause:       "the patch file of a .flux.yaml holds what fluxd wrote back: annotations, images or locks that stand nowhere else",
		Consequence: "Flux v2 does not read the file; the plan carries its content as patches of the Kustomization, so that no image goes back, but what is committed to the file later has no effect",
		Remedy:      "nothing for the hand-over, unless PATCH_NOT_CARRIED is said of it; afterwards write what the file says into the manifests, or under images in the folder's kustomization.yaml. Do not name the file itself there: Kustomize looks for its names before it sets a namespace, and since 3.9 leaves fluxd's $setElementOrder in the objects, which kubectl refuses",
	}
	NoUpdaters = Code{
		Name: "GENERATION_WITHOUT_UPDATERS", Severity: migrate.Info,
		Cause:       "a .flux.yaml of the form commandUpdated names no updaters",
		Consequence: "fluxd cannot write images back for the path, so its automation annotations have no effect",
		Remedy:      "nothing; there is no automation to carry over",
	}
	FluxYAMLUnused = Code{
		Name: "FLUX_YAML_UNUSED", Severity: migrate.Info,
		Cause:       "a .flux.yaml stands where the agent does not read it: below its paths, hidden by a nearer one, or with manifest generation off",
		Consequence: "it has no effect, now or later",
		Remedy:      "remove the file if nothing else uses it",
	}
	ChartInTree = Code{
		Name: "CHART_IN_TREE", Severity: migrate.Info,
		Cause:       "a folder below the agent's paths holds Chart.yaml and values.yaml",
		Consequence: "fluxd passes over it with all that is in it; Flux v2 does not, and its templates are no YAML",
		Remedy:      "nothing where the plan's ignore rules leave the folder out; look for them in the plan",
	}
	GitSecretFiles = Code{
		Name: "GIT_SECRET_FILES", Severity: migrate.Warning,
		Cause:       "the repository holds files of git-secret",
		Consequence: "fluxd reveals them if it runs with --git-secret; Flux v2 has no counterpart, and the files stay encrypted",
		Remedy:      "encrypt the files with SOPS instead",
	}
	Submodules = Code{
		Name: "SUBMODULES", Severity: migrate.Info,
		Cause:       "the repository has submodules",
		Consequence: "neither fluxd nor Flux v2 by its defaults fetches them: what they hold is not applied",
		Remedy:      "leave GitRepository.spec.recurseSubmodules off, so that nothing new is applied",
	}
	LFSFiles = Code{
		Name: "GIT_LFS", Severity: migrate.Warning,
		Cause:       "files of the repository are kept in Git LFS",
		Consequence: "neither fluxd nor Flux v2 fetches them: both read the pointer in place of the content, which is no manifest",
		Remedy:      `take what the agent reads out of LFS ("git lfs migrate export"); other files do not matter`,
	}
	TemplateFiles = Code{
		Name: "TEMPLATE_FILES", Severity: migrate.Info,
		Cause:       "the agent's paths hold templates of manifests (.yaml.tmpl), which some tool has to fill in first",
		Consequence: "fluxd and Flux v2 both pass over them",
		Remedy:      "make sure that what is to be applied is committed in its rendered form",
	}
	KustomizationIgnored = Code{
		Name: "KUSTOMIZATION_FILE_IGNORED", Severity: migrate.Info,
		Cause:       "a kustomization file lies below the agent's paths, and nothing has the agent build its folder (--manifest-generation and a .flux.yaml)",
		Consequence: "fluxd does not honour it, and applies what it would change or leave out as it stands; the new source ignores it, so that the same objects are built",
		Remedy:      "nothing",
	}
	SourceIgnore = Code{
		Name: "SOURCE_IGNORE", Severity: migrate.Info,
		Cause:       "the repository holds a .sourceignore, which says what Flux v2 is to leave out of it",
		Consequence: "fluxd does not heed it; the new source takes back what fluxd applies all the same (FILE_TAKEN_BACK), and no more",
		Remedy:      "nothing for the hand-over; after it take patterns out that leave out what is to be applied",
	}
	SourceIgnoreUnreadable = Code{
		Name: "SOURCE_IGNORE_UNREADABLE", Severity: migrate.Blocker,
		Cause:       "a .sourceignore file of the repository cannot be read, or these files hold too many patterns for its size",
		Consequence: "it cannot be told what Flux v2 would leave out",
		Remedy:      "mend or remove the file that the message names, or take patterns out of it",
	}
	LinkedFolder = Code{
		Name: "LINKED_FOLDER", Severity: migrate.Info,
		Cause:       "a symbolic link below the agent's paths leads to a folder",
		Consequence: "fluxd does not follow it and Flux v2 drops it, so nothing is loaded through it",
		Remedy:      "nothing, unless a kustomization file refers to it; then replace it by the folder",
	}
	RemoteBase = Code{
		Name: "KUSTOMIZE_REMOTE_BASE", Severity: migrate.Warning,
		Cause:       "a kustomization file refers to something outside of the repository",
		Consequence: "what it brings is not fixed by the commit and was not looked at; the new agent refuses remote bases",
		Remedy:      "copy the base into the repository at the version that is in use",
	}
	OldKustomizeFields = Code{
		Name: "KUSTOMIZE_OLD_FIELDS", Severity: migrate.Info,
		Cause:       "a kustomization file uses fields that Kustomize has since replaced",
		Consequence: "Kustomize 5 still builds them, and later versions will not",
		Remedy:      `"kustomize edit fix" rewrites them; compare what is built before and after`,
	}
	KustomizeFails = Code{
		Name: "KUSTOMIZE_FAILS", Severity: migrate.Warning,
		Cause:       "a kustomization folder of the repository cannot be built in memory",
		Consequence: "the objects that it would give are not looked at, agents among them included",
		Remedy:      "mend what the finding names, or look at the folder by hand",
	}
	KindsRemoved = Code{
		Name: "KINDS_REMOVED", Severity: migrate.Warning,
		Cause:       "no cluster was asked, and the repository holds objects of API versions that Kubernetes dropped before 1.30, the oldest that can be migrated",
		Consequence: "fluxd leaves them out, and Flux v2 applies nothing of a Kustomization with one of them; a plan made with the cluster leaves their files out or holds the repository back (UNKNOWN_KIND)",
		Remedy:      "write the apiVersion that took their place, let the old agent sync, and plan again",
	}
	KindsAssumed = Code{
		Name: "KINDS_ASSUMED", Severity: migrate.Info,
		Cause:       "no cluster was asked which kinds it serves",
		Consequence: "objects of custom kinds are listed as applied; fluxd leaves out those that are not served, a Flux v2 Kustomization stops at the first of them",
		Remedy:      "ask the cluster as well; see that what brings these kinds (an operator, a Helm release) comes before the objects that use them",
	}
	NamespaceNotGiven = Code{
		Name: "DEFAULT_NAMESPACE_NOT_GIVEN", Severity: migrate.Warning,
		Cause:       "objects name no namespace, and what the agent fills in is not known from the repository alone",
		Consequence: "these objects are listed without a namespace",
		Remedy:      "give the agent's default namespace (--default-namespace), or let discovery read the agent itself",
	}
	ScopeNotKnown = Code{
		Name: "SCOPE_NOT_KNOWN", Severity: migrate.Warning,
		Cause:       "objects of custom kinds name no namespace, and neither a cluster nor a CRD in the repository was there to tell whether their kinds have one",
		Consequence: "they are listed as objects of the cluster; if a kind has a namespace, fluxd fills in its own, and a Kustomization made without the cluster applies nothing of its set",
		Remedy:      "let discovery read the cluster as well before anything of this plan is used, or write the namespace into the manifests",
	}
	BranchNotThere = Code{
		Name: "CHECKOUT_BRANCH", Severity: migrate.Warning,
		Cause:       "the checkout has no branch of the name that the agent reads",
		Consequence: "the files of the folder were read as they are, whatever branch they are of",
		Remedy:      "fetch the branch, or check it out, and discover again",
	}
	HelmRelease1Object = Code{
		Name: "HELMRELEASE_V1_RELEASE", Severity: migrate.Info,
		Cause:       "a HelmRelease of the helm-operator stands for a Helm release",
		Consequence: "converted, it must name that very release and namespace, or Helm installs a second one beside it",
		Remedy:      "set releaseName, targetNamespace and storageNamespace to what the finding says when you convert it",
	}
	HelmRelease1Patch = Code{
		Name: "HELMRELEASE_V1_PATCH", Severity: migrate.Warning,
		Cause:       "a Kustomize patch changes HelmRelease objects of the helm-operator",
		Consequence: "once these are converted it finds no target, and the whole folder fails to build",
		Remedy:      "convert the patch in the same commit as the object",
	}
	ImageFilter = Code{
		Name: "IMAGE_FILTER", Severity: migrate.Warning,
		Cause:       "a workload is updated by fluxd to the newest image by build time (a glob or regexp filter, or none)",
		Consequence: "Flux v2 orders images by their tags alone, and has no counterpart for this",
		Remedy:      "give the tags a part that can be ordered, or use a version range",
	}
	ImagePolicy = Code{
		Name: "IMAGE_POLICY", Severity: migrate.Info,
		Cause:       "an object carries annotations of Flux v1's image automation (filters, locks, automated)",
		Consequence: "Flux v2 does not read them",
		Remedy:      "carry filters over to ImagePolicy objects, and leave markers away where an object is locked",
	}
	IgnoreWithoutEffect = Code{
		Name: "IGNORE_WITHOUT_EFFECT", Severity: migrate.Warning,
		Cause:       `an ignore annotation has another value than "true" or "sync_only"`,
		Consequence: "fluxd applies the object all the same, and so will Flux v2",
		Remedy:      `write "true" if the object is to be left alone, or remove the annotation`,
	}
	SealedSecrets = Code{
		Name: "SEALED_SECRETS", Severity: migrate.Info,
		Cause:       "the repository holds SealedSecret objects",
		Consequence: "they are carried as they are; the Secrets are made by the sealed-secrets controller, as before",
		Remedy:      "keep that controller and its keys",
	}
)

// Codes lists every kind of finding of this package, by name.
func Codes() []Code {
	codes := []Code{
		UnknownFlag, BadFlag, SymbolicFlag, NoURL, UnsupportedURL, PathAbsolute, PathList, PathOutside,
		GitSecret, VerifySignatures, Notifications, ExcludedKinds,
		Stuck, Duplicate, HiddenDuplicate, TooLarge, LinkOutside, LinkedFile, ManifestGeneration, Encrypted,
		Ciphertext, EncryptedKind, KindlessDocument, ListWithoutItems, Nameless, LocalConfig, NotAString, DirectiveLeft, DirectiveUnread, ListMerged, NoJSON, KeyNotText, DuplicateKey,
		CopiedMark, Exported, LargeObject, UnknownKind, Foreign, HelmRelease1, FluxHelmRelease, ImageAutomation, Flux2InGit,
		NotGenerated, FluxPatch, NoUpdaters, FluxYAMLUnused, ChartInTree, GitSecretFiles, Submodules, LFSFiles, TemplateFiles,
		KustomizationIgnored, SourceIgnore, SourceIgnoreUnreadable, LinkedFolder, RemoteBase, OldKustomizeFields, KustomizeFails, KindsAssumed, KindsRemoved, NamespaceNotGiven, ScopeNotKnown, BranchNotThere,
		HelmRelease1Object, HelmRelease1Patch, ImageFilter, ImagePolicy, IgnoreWithoutEffect, SealedSecrets,
	}
	slices.SortFunc(codes, func(a, b Code) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return codes
}
