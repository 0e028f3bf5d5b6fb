// Package proof turns facts into a proved plan. [Plan] is the one path from
// an Inventory to a Plan with a verb for every object: it renders what the
// new agent will apply with the renderer the agent itself uses, compares it
// with what fluxd applied and with what is live, tries each object by a
// server-side dry-run, and forecasts what the change of ownership removes.
//
// It reads. The only requests it makes that look like writes carry
// dryRun=All. Without a World it proves what can be proved from files alone,
// and says of each object what it did not prove.
package proof
