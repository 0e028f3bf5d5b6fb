// Package flux1 knows Flux v1: what a fluxd command line means, which objects
// a fluxd makes of a tree of files, and how it marks them.
//
// It is pure: it reads values and an [io/fs.FS], never a cluster, a network,
// a clock or the environment, and it runs nothing, neither the commands of a
// .flux.yaml nor a decryption. What it cannot know it reports as a
// [migrate.Finding]; an error is returned only for a mistake of the caller.
//
// Facts about fluxd are those of its last release, 1.25.4; the file of
// fluxcd/flux that shows one is named beside the rule as "flux: path".
package flux1
