// Package cutover carries out a plan: it hands Repositories over from their
// Flux v1 agents to the one ClusterAgent, step by step, and takes them back.
//
// [Executor.Migrate] goes forward through the table in steps.go, [Rollback]
// goes through it backwards. What was done stands in journals in the cluster
// (one ConfigMap per Repository, written before and after each step with
// compare-and-swap), so that either may be started from another machine and
// from any half-done state. Every step may be run twice.
//
// The package refuses to
//   - act without holding the Lease: one operator per cluster;
//   - put up a fence before the new agent has answered for every Kustomization
//     that it is to take over with;
//   - resume a Kustomization while a pod of the old agent is left, or without
//     a fence in force;
//   - delete anything but control objects that this run created, known by
//     their UID: another attempt is [ErrBudget] and stops everything;
//   - delete or recreate a workload;
//   - write with a field manager other than [migrate.FieldManager];
//   - put a Secret's value into a journal, an event or an error.
package cutover
