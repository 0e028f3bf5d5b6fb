package main

import (
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	"github.com/fluxover/fluxover/migrate/proof"
)

// codes are the kinds of findings of this package.
var codes = []migrate.Code{
	{
		Name: "NAMES_UNREAD", Severity: migrate.Warning,
		Cause:       "you may not list the objects of a kind in the new agent's namespace",
		Consequence: "names that are taken there are not known, and a clash with one would show only when the object is made",
		Remedy:      "have the right granted, or use an account that has it (--context, --as)",
	},
}

// catalogue lists every kind of finding that the program makes, by name; the
// source of docs/findings.md.
func catalogue() []migrate.Code {
	all := slices.Concat(migrate.Codes(), flux1.Codes(), chart.Codes(), proof.Codes(), discover.Codes(), cutover.Codes(), codes)
	slices.SortFunc(all, func(a, b migrate.Code) int { return strings.Compare(a.Name, b.Name) })
	return all
}
