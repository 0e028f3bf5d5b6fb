// Package reconcile is the bundled ClusterAgent: one process that reconciles
// GitRepository and Kustomization objects (API v1 of Flux 2.9) of a cluster. It
// writes the same conditions, reasons, inventory ids, owner labels, events and
// artifacts as stock source-controller and kustomize-controller, so that either
// can take the other's place without a write to a workload.
//
// It exists because of cost. When nothing changed it makes no clone, no
// rendering, no dry-run and no write: one query for a reference per distinct
// (URL, credential, reference) and interval. All Kustomizations of a repository
// share one fetch and one unpacked tree per commit. Whether an object drifted is
// read from a metadata watch; beside it every object is fully checked at least
// once per Options.FullCheck and per twelve intervals (schedule.go).
//
// It refuses: fields of the API that it does not know how to honour (fields.go,
// the object is Stalled, never half reconciled); remote bases; deletions beyond
// Options.DeletionBudget; taking an empty build for "delete everything"
// (prune.go); acting beside stock controllers (leases.go). It renders only
// through reconcile/build and reads Git only through reconcile/source.
package reconcile
