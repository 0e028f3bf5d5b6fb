// Package chart knows Flux v1's Helm chart, 0.5.0 to 1.13.3: what a release
// with given values is, without the chart. From values it tells the arguments
// of fluxd, in the chart's order, and so the same settings that the rendered
// Deployment would give; what stands around them (environment, mounts,
// account, rights, other objects); and what becomes of every value.
//
// It is pure, and holds facts of the chart, not the chart: each version's
// defaults, which values its templates read, and what they make of them,
// including what they make of values of the wrong type. A value may be
// [Unknown]; then so is all that depends on it, and no default takes its
// place. What cannot be known is reported, never guessed.
//
// It renders no manifest, reads no release and asks no cluster. Live arguments
// and a rendered manifest, where there are any, come before what is said here.
//
// The file of fluxcd/flux that shows a fact is named beside it as "flux:
// path"; it is meant at the tag of the chart's version, such as chart-1.13.3.
package chart
