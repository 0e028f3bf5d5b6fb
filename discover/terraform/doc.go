// Package terraform reads Terraform and OpenTofu configuration and state, and
// says which resources they declare, with which values.
//
// It evaluates: variables and what sets them, locals, count and for_each,
// dynamic blocks, local modules, templates and the language's functions. What
// cannot be evaluated from the files alone (a variable without a value, a
// module that is not here, an attribute the provider computes) is unknown, and
// each unknown value carries the causes that would settle it. An unknown value
// is never replaced by a default, and a decision that rests on one is not
// taken.
//
// It reads nothing outside the tree it is given, follows no symbolic link out
// of it, runs no program, opens no connection and needs no provider. Hostile
// input is bounded by Limits and ends in a Diagnostic. Values that the
// configuration or the state marks as sensitive leave this package only as the
// fact that they are set.
package terraform
