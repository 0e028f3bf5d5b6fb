// Package auditor judges a migration from Flux v1 to the ClusterAgent by what
// the API server itself recorded: its audit log and, when asked, the live
// cluster. It believes nothing that the product says of itself; the product's
// figures are only compared with its own.
//
// # Words
//
// A Write is a successful, non-dry-run create, update, patch or delete of an
// object or one of its subresources.
//
// A managed object is one that ever carried the label fluxcd.io/sync-gc-mark
// or kustomize.toolkit.fluxcd.io/name, stands in the status inventory of a
// Kustomization, or is named by Options.Managed or the plan. Not managed are
// Flux's own control objects (groups *.toolkit.fluxcd.io), objects that carry
// a label of fluxover.dev and never carried Flux v1's mark, objects with a
// controlling owner, and Endpoints and EndpointSlices, which copy their
// Service's labels.
//
// Engines: "flux1" is the service account of a Deployment with a container
// argument --git-url=, told apart from others that share the account by the pod
// name that the API server records; "flux2" is the account of the
// ClusterAgent, itself or impersonating others, or the field manager
// kustomize-controller; "executor" is the field manager fluxover;
// "controller" is a component of Kubernetes or a bystander named by
// Options; all else is "other".
//
// Changed means that spec, data or any other top-level field but metadata and
// status differs between two consecutive responses of one UID. A generation
// that rises alone is no change. What Flux v1 changes is listed, not judged: it
// syncs commits as before. Writes of the subresources status and scale by
// Kubernetes' controllers are counted apart.
//
// Interleaving, per object, in the order of resourceVersion: the first writer
// is legal; a switch flux1 → flux2 is legal while no rollback is under way; a
// switch flux2 → flux1 is legal only while a rollback is under way. A
// rollback of a Kustomization is under way from a write of the executor that
// turns spec.suspend from false to true, or deletes the Kustomization, until a
// write turns it to false again. A Kustomization created suspended is staged,
// which starts no rollback. Every other switch is an interleaving.
//
// The gap of a repository runs from the moment the old agent can no longer
// write until the last of the repository's Kustomizations is Ready, at its
// current generation, with a revision that ends in the commit its source is
// pinned to, if it is pinned. The old agent can no longer write when the last
// Pod of its Deployment is really gone while the Deployment wants no Pod, or
// when a write as its account is first refused in the name of a
// ValidatingAdmissionPolicy that is fluxover's, whichever is first. The way
// back is measured from the suspension of the last Kustomization until an old
// Pod is Ready.
//
// All times are the API server's (stageTimestamp of ResponseComplete).
//
// # What it refuses to do
//
// It writes nothing to the cluster. It does not pass what it could not see: an
// unreadable line, a managed object written without its content in the log
// (Secrets excepted, whose content the log must not hold), or a log without a
// managed object fails the verdict. Contents of Secrets are never kept or
// printed; with audit level Metadata a server-side dry-run delete of a Secret
// looks like a delete, unless a Survey shows the Secret alive and older.
//
// Memory grows with the number of live objects and the writes to managed ones,
// not with the size of the log.
package auditor
