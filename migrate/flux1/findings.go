package flux1

import (
	"slices"

	"github.com/fluxover/fluxover/migrate"
)

// Code is one kind of finding: its stable name and what people are told about
// it. The tables of codes are the source of the documentation.
type Code struct {
	// Name is stable, such as "FLUX1_STUCK".
	Name     string
	Severity migrate.Severity
	// Acceptable is true if a person may go on in spite of it.
	Acceptable bool
	// Cause, Consequence and Remedy, each one sentence without a full stop.
	Cause, Consequence, Remedy string
}

// Finding makes a finding of this kind about a Repository, or about the
// cluster if repository is empty. The message says what is so in this case.
func (c Code) Finding(repository, where, message string) migrate.Finding {
	return migrate.Finding{
		Severity: c.Severity, Code: c.Name, Subject: repository, Repository: repository,
		Where: where, Message: message, Hint: c.Remedy, Acceptable: c.Acceptable,
	}
}

// About is Finding with a subject narrower than the Repository: an object id,
// which is prefixed by the Repository's.
func (c Code) About(repository, object, where, message string) migrate.Finding {
	f := c.Finding(repository, where, message)
	f.Subject = repository + " " + object
	if repository == "" {
		f.Subject = object
	}
	return f
}

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
		Cause:       "a flag's value cannot be read as fluxd reads it",
		Consequence: "the setting is unknown, and fluxd does not start with it",
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
		Remedy:      "remove one of the definitions from Git",
	}
	HiddenDuplicate = Code{
		Name: "HIDDEN_DUPLICATE", Severity: migrate.Blocker,
		Cause:       "one object is defined once with its namespace and once without",
		Consequence: "fluxd applies one of the two at random, and Flux v2 cannot build them together",
		Remedy:      "remove one of the definitions from Git",
	}
	TooLarge = Code{
		Name: "TREE_TOO_LARGE", Severity: migrate.Blocker,
		Cause:       "a file, its nesting, or all files together exceed what is read",
		Consequence: "the objects in it are not known",
		Remedy:      "take the file out of the agent's paths, or split it",
	}
	LinkOutside = Code{
		Name: "LINK_OUTSIDE", Severity: migrate.Blocker,
		Cause:       "a symbolic link leads out of the repository",
		Consequence: "what fluxd reads through it cannot be known, and Flux v2 drops links",
		Remedy:      "replace the link by the file",
	}
	LinkedFile = Code{
		Name: "LINKED_FILE", Severity: migrate.Blocker,
		Cause:       "a manifest is a symbolic link",
		Consequence: "fluxd reads through it, Flux v2 drops it, so its objects would no longer be managed",
		Remedy:      "replace the link by a copy of the file",
	}
	ManifestGeneration = Code{
		Name: "MANIFEST_GENERATION", Severity: migrate.Blocker,
		Cause:       "a path's manifests are generated by the commands of a .flux.yaml",
		Consequence: "Flux v2 runs no commands, and converting them is not supported yet, so the path's objects are not known",
		Remedy:      "render the manifests in CI and commit them, then remove the .flux.yaml",
	}
	Encrypted = Code{
		Name: "SOPS_ENCRYPTED", Severity: migrate.Blocker,
		Cause:       "files are encrypted with SOPS and the agent decrypts them",
		Consequence: "carrying the keys over is not supported yet, so their objects cannot be built",
		Remedy:      "leave this repository with Flux v1 for now, or replace the encrypted files",
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
		Cause:       "a label or annotation in Git is not a string",
		Consequence: "fluxd leaves that object alone or fails on it alone, Flux v2 fails to build all that is beside it",
		Remedy:      "put the value in quotes",
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
	UnknownKind = Code{
		Name: "UNKNOWN_KIND", Severity: migrate.Warning,
		Cause:       "the cluster does not serve the kind of an object, and no CRD in the agent's paths defines it",
		Consequence: "fluxd leaves it out until the kind is served",
		Remedy:      "install what serves the kind, update the apiVersion, or remove the object from Git",
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
)

// Codes lists every kind of finding of this package, by name.
func Codes() []Code {
	codes := []Code{
		UnknownFlag, BadFlag, SymbolicFlag, NoURL, UnsupportedURL, PathAbsolute, PathList, PathOutside,
		GitSecret, VerifySignatures, Notifications, ExcludedKinds,
		Stuck, Duplicate, HiddenDuplicate, TooLarge, LinkOutside, LinkedFile, ManifestGeneration, Encrypted,
		EncryptedKind, KindlessDocument, ListWithoutItems, Nameless, LocalConfig, NotAString, DuplicateKey,
		CopiedMark, UnknownKind, Foreign, HelmRelease1, ImageAutomation, Flux2InGit,
	}
	slices.SortFunc(codes, func(a, b Code) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return codes
}
